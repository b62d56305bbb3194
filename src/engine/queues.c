// The queues of an engine: what is made of the configuration, how it is replaced, and the way down.
//
// The catalogue in force is one atomic pointer; earlier ones, each with its copy of the
// configuration, stay until the close, since trips and workers point into them. A queue that a
// reload takes out keeps its jobs in the store: nobody can reach them until it is declared again.

#include "engine/queues_inside.h"

#include <event2/event.h>
#include <stdio.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/read.h"
#include "config/values.h"
#include "engine/webhook.h"
#include "os/clock.h"

static const uint64_t TOKEN_MAX = (UINT64_C(1) << 53) - 1;

// ---- finding

const fb_queue_terms *fb_queues_find(fb_queues *queues, fb_str name) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    return catalog != NULL ? fb_map_get(&catalog->by_name, name) : NULL;
}

const fb_queue_terms *fb_queues_find_ever(fb_queues *queues, fb_str name) {
    const fb_queue_terms *terms = NULL;
    for (const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
         catalog != NULL && terms == NULL; catalog = catalog->before) {
        terms = fb_map_get(&catalog->by_name, name);
    }
    return terms;
}

int fb_queues_need(fb_queues *queues, fb_str name, const fb_queue_terms **terms, fb_error *error) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    char shown[FB_VALUE_SHOWN_SIZE];
    const char *nearest = NULL;
    size_t least = SIZE_MAX;

    *terms = fb_map_get(&catalog->by_name, name);
    if (*terms != NULL) {
        return FB_OK;
    }
    for (size_t i = 0; i < catalog->count; i++) {
        size_t distance = fb_read_distance(name, fb_str_of(catalog->terms[i].queue->name));
        if (distance < least) {
            least = distance;
            nearest = catalog->terms[i].queue->name;
        }
    }
    (void)fb_value_shown(name, shown);
    return nearest != NULL
               ? fb_error_set(error, FB_ENOQUEUE, "no queue \"%s\"; did you mean \"%s\"?", shown,
                              nearest)
               : fb_error_set(error, FB_ENOQUEUE, "no queue \"%s\" is declared", shown);
}

const fb_queue_options *fb_queues_options(fb_queues *queues, fb_str name) {
    const fb_queue_terms *terms = fb_queues_find(queues, name);
    return terms != NULL ? terms->options : NULL;
}

int64_t fb_queues_timeout_ns(const fb_queues *queues) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    return fb_config_settings(catalog->config)->queue.timeout_ns;
}

uint64_t fb_queues_token(fb_queues *queues, uint32_t count) {
    pthread_mutex_lock(&queues->lock);
    uint64_t token = 1 + fb_rng_below(&queues->rng, TOKEN_MAX - count);
    pthread_mutex_unlock(&queues->lock);
    return token;
}

uint32_t fb_queues_jitter(fb_queues *queues) {
    pthread_mutex_lock(&queues->lock);
    uint32_t jitter = (uint32_t)fb_rng_below(&queues->rng, 1024);
    pthread_mutex_unlock(&queues->lock);
    return jitter;
}

int64_t fb_queues_wall_ms(const fb_queues *queues) {
    return fb_clock_wall_ms() + atomic_load(&queues->shift_ms);
}

// ---- catalogues

static fb_queue *known_queue(const fb_queues *queues, const char *name) {
    fb_queue *queue = queues->all;
    while (queue != NULL && !fb_str_equal(fb_str_of(queue->name), fb_str_of(name))) {
        queue = queue->next;
    }
    return queue;
}

static void free_queue(fb_queue *queue) {
    fb_queue_meters_free(queue);
    pthread_mutex_destroy(&queue->look_lock);
    fb_mem_free(queue);
}

static fb_queue *make_queue(fb_queues *queues, const char *name) {
    fb_queue *queue = known_queue(queues, name);
    if (queue != NULL) {
        return queue;
    }
    queue = fb_mem_zero(1, sizeof *queue);
    if (queue == NULL) {
        return NULL;
    }
    (void)snprintf(queue->name, sizeof queue->name, "%s", name);
    queue->queues = queues;
    queue->look.next_ms = INT64_MAX;
    queue->look.store = queues->store_name;
    fb_list_init(&queue->stands);
    fb_list_init(&queue->active);
    pthread_mutex_init(&queue->look_lock, NULL);
    if (fb_queue_meters_new(queue) < 0) {
        free_queue(queue);
        return NULL;
    }
    queue->next = queues->all;
    queues->all = queue;
    return queue;
}

static int fill_catalog(fb_queues *queues, fb_queue_catalog *catalog) {
    const fb_settings *settings = fb_config_settings(catalog->config);
    catalog->terms = fb_mem_zero(settings->queue_count + 1, sizeof *catalog->terms);
    if (catalog->terms == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < settings->queue_count; i++) {
        const fb_queue_options *options = &settings->queues[i];
        if (!options->enabled) {
            continue;
        }
        fb_queue_terms *terms = &catalog->terms[catalog->count];
        terms->queue = make_queue(queues, options->name);
        terms->options = options;
        fb_queue_policy_of(options, &terms->policy);
        if (terms->queue == NULL ||
            fb_map_put(&catalog->by_name, fb_str_of(terms->queue->name), terms) < 0) {
            return FB_ENOMEM;
        }
        catalog->count++;
    }
    return FB_OK;
}

int fb_queues_prepare(fb_queues *queues, const fb_config *config, fb_queue_catalog **out,
                      fb_error *error) {
    *out = NULL;
    fb_queue_catalog *catalog = fb_mem_zero(1, sizeof *catalog);
    if (catalog == NULL) {
        return fb_error_set(error, FB_ENOMEM, "queues: out of memory");
    }
    int result = fb_config_copy(config, &catalog->config);
    if (result == FB_OK) {
        result = fill_catalog(queues, catalog);
    }
    if (result < 0) {
        (void)fb_error_set(error, result, "queues: out of memory");
    } else {
        result = fb_schedules_new(fb_config_settings(catalog->config), &catalog->schedules, error);
    }
    if (result < 0) {
        fb_queues_drop(catalog);
        return result;
    }
    *out = catalog;
    return FB_OK;
}

void fb_queues_drop(fb_queue_catalog *catalog) {
    if (catalog == NULL) {
        return;
    }
    fb_schedules_free(catalog->schedules);
    fb_map_release(&catalog->by_name);
    fb_mem_free(catalog->terms);
    fb_config_free(catalog->config);
    fb_mem_free(catalog);
}

int fb_queues_fit(const fb_settings *settings, fb_error *error) {
    fb_schedules *schedules = NULL;
    int result = fb_schedules_new(settings, &schedules, error);
    fb_schedules_free(schedules);
    return result;
}

// ---- opening

static bool is_shared(const fb_engine *engine, const fb_settings *settings) {
    return settings->queue.store == FB_QUEUE_STORE_REDIS ||
           (settings->queue.store == FB_QUEUE_STORE_AUTO && engine->shared != NULL);
}

static int lost_policy(fb_queue_policy *policy) {
    fb_queue_options options = {0};
    int result = fb_value_defaults(fb_queue_options_table, &options);
    if (result == FB_OK) {
        fb_queue_policy_of(&options, policy);
        fb_option_release(fb_queue_options_table, &options);
    }
    return result;
}

static void init_lists(fb_queues *queues) {
    pthread_mutex_init(&queues->lock, NULL);
    pthread_mutex_init(&queues->trouble_lock, NULL);
    fb_list_init(&queues->pending);
    fb_list_init(&queues->active);
    fb_list_init(&queues->waits);
    fb_list_init(&queues->crews);
    fb_list_init(&queues->retired);
    for (size_t i = 0; i < FB_QUEUE_SHELVES; i++) {
        pthread_mutex_init(&queues->shelves[i].lock, NULL);
        fb_list_init(&queues->shelves[i].trips);
    }
}

int fb_queues_open(fb_engine *engine, const fb_config *config, fb_error *error) {
    const fb_settings *settings = fb_config_settings(config);
    fb_queues *queues = fb_mem_zero(1, sizeof *queues);
    if (queues == NULL) {
        return fb_error_set(error, FB_ENOMEM, "queues: out of memory");
    }
    engine->queues = queues;
    queues->engine = engine;
    queues->shared = is_shared(engine, settings);
    queues->store_name = queues->shared ? "redis" : "journal";
    queues->asked_for = settings->queue.store == FB_QUEUE_STORE_JOURNAL ||
                        fb_settings_is_set(config, FB_STR("queue.file"));
    queues->timer_ns = INT64_MAX;
    init_lists(queues);
    fb_rng_init(&queues->rng, engine->seed ^ UINT64_C(0x71756575657321));
    int result = fb_queue_waits_open(queues);
    if (result == FB_OK) {
        result = fb_webhook_new(queues, &queues->webhook);
        fb_queues_builtin(queues, FB_QUEUE_WORKER_WEBHOOK, fb_webhook_work, queues->webhook);
    }
    if (result == FB_OK) {
        result = lost_policy(&queues->lost_policy);
    }
    if (result < 0) {
        return fb_error_set(error, result, "queues: out of memory");
    }
    fb_queue_catalog *catalog = NULL;
    result = fb_queues_prepare(queues, config, &catalog, error);
    if (result == FB_OK) {
        queues->store = &fb_config_settings(catalog->config)->queue;
        atomic_store(&queues->catalog, catalog);
    }
    return result;
}

void fb_queues_builtin(fb_queues *queues, fb_queue_worker which, fb_work_fn work, void *arg) {
    queues->builtins[which].work = work;
    queues->builtins[which].arg = arg;
}

static void review(void *arg) {
    fb_queue_crews_review(arg);
}

// From now on, not from the review on: a job may come in before that.
static void expect_jobs(fb_queues *queues) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    for (size_t i = 0; i < catalog->count; i++) {
        const fb_queue_terms *terms = &catalog->terms[i];
        if (queues->builtins[terms->options->worker].work != NULL) {
            atomic_store(&terms->queue->idle_crew, true);
        }
    }
}

int fb_queues_begin(fb_engine *engine, fb_error *error) {
    fb_queues *queues = engine->queues;
    fb_error why = {0};
    bool asked_for = queues->asked_for ||
                     fb_schedules_count(atomic_load(&queues->catalog)->schedules) > 0;
    if (!queues->shared && (asked_for || fb_queue_store_found(queues))) {
        int result = fb_queue_store_open(queues, &why);
        if (result < 0 && asked_for) {
            return fb_error_set(error, result, "%s", why.text);
        }
        if (result < 0) {
            fb_log(FB_LOG_WARN, "queue_store_failed", "store=journal why=%s",
                   fb_log_quote(fb_str_of(why.text), FB_LOG_TEXT_MAX).text);
        }
    }
    expect_jobs(queues);
    int result = fb_loop_post(engine, 0, review, queues);
    return result < 0 ? fb_error_set(error, result, "queues: out of memory") : FB_OK;
}

void fb_queues_publish(fb_queues *queues, fb_queue_catalog *catalog) {
    catalog->before = atomic_load(&queues->catalog);
    atomic_store(&queues->catalog, catalog);
    expect_jobs(queues);
    // Without memory for it, upkeep reviews them within a minute.
    FB_IGNORE(fb_loop_post(queues->engine, 0, review, queues));
}

// ---- upkeep

enum { TURNS_A_SECOND = 10, TURNS_A_MINUTE = 600 };

void fb_queues_upkeep(fb_queues *queues) {
    int64_t now_ns = fb_clock_now_ns();
    if (atomic_load(&queues->stopped)) {
        fb_queue_trips_tick(queues, now_ns);
        return;
    }
    fb_queue_trips_tick(queues, now_ns);
    fb_schedules_tick(queues, atomic_load(&queues->catalog));
    queues->upkeep_turn++;
    if (queues->upkeep_turn % TURNS_A_SECOND == 0) {
        fb_queue_figures_tick(queues, now_ns);
    }
    if (queues->upkeep_turn % TURNS_A_MINUTE == 0) {
        fb_queue_crews_review(queues);
    }
}

// ---- the way down

typedef struct ending {
    fb_post post;
    fb_queues *queues;
    fb_sleeper sleeper;
} ending;

static void end_waits(fb_post *post) {
    ending *one = FB_LIST_OF(post, ending, post);
    atomic_store(&one->queues->stopped, true);
    fb_queue_waits_end(one->queues);
    fb_sleeper_wake(&one->sleeper);
}

void fb_queues_stop(fb_queues *queues, int64_t drain_ms) {
    if (queues == NULL || queues->engine->lane_count == 0 ||
        queues->engine->lanes[0].loop == NULL) {
        return;
    }
    ending one = {.post.fn = end_waits, .queues = queues};
    fb_sleeper_begin(&one.sleeper, 1);
    fb_loop_submit(queues->engine->lanes[0].loop, &one.post);
    fb_sleeper_wait(&one.sleeper);
    fb_queue_crews_end(queues, drain_ms);
}

void fb_queues_end(fb_queues *queues, uint32_t lane) {
    if (queues != NULL) {
        fb_queue_trips_end(queues, lane);
    }
}

void fb_queues_close(fb_queues *queues) {
    if (queues == NULL) {
        return;
    }
    fb_queue_move_join(queues);
    fb_queue_store_close(queues);
    if (queues->timer != NULL) {
        event_free(queues->timer);
        queues->timer = NULL;
    }
}

void fb_queues_free(fb_queues *queues) {
    if (queues == NULL) {
        return;
    }
    fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    while (catalog != NULL) {
        fb_queue_catalog *before = catalog->before;
        fb_queues_drop(catalog);
        catalog = before;
    }
    while (queues->all != NULL) {
        fb_queue *next = queues->all->next;
        free_queue(queues->all);
        queues->all = next;
    }
    for (size_t i = 0; i < FB_QUEUE_SHELVES; i++) {
        FB_ASSERT(fb_list_empty(&queues->shelves[i].trips));
        pthread_mutex_destroy(&queues->shelves[i].lock);
    }
    fb_webhook_free(queues->webhook);
    fb_heap_release(&queues->timers);
    pthread_mutex_destroy(&queues->trouble_lock);
    pthread_mutex_destroy(&queues->lock);
    fb_mem_free(queues);
}
