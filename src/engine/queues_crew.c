// Built-in workers: a crew for each queue whose `worker` says mail or webhook.
//
// A crew begins with the first job that this process hears of: so an engine that never mails has no
// threads for it, and no file. What may lie in the store since an earlier life is looked for when
// the journal is opened; in the shared tier when the engine begins, if the configuration speaks of
// the queue at all (an engine beside which nothing of it was ever set asks Redis nothing).
//
// Everything here happens on lane 0; at the end, on the thread that closes.

#include "engine/queues_inside.h"

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/webhook.h"
#include "engine/worker.h"

struct fb_queue_crew {
    fb_list list;  // in queues->crews, then in queues->retired
    fb_queue *queue;
    int kind;      // fb_queue_worker
    fb_worker *worker;
};

static const int64_t RETIRED_DRAIN_MS = 60000;

static void retire(fb_queue *queue) {
    fb_queue_crew *crew = queue->crew;
    queue->crew = NULL;
    fb_worker_quit(crew->worker, RETIRED_DRAIN_MS);
    fb_list_remove(&crew->list);
    fb_list_insert(&queue->queues->retired, &crew->list);
}

static int make(fb_queue *queue, const fb_queue_options *options, fb_queue_crew *crew) {
    fb_queues *queues = queue->queues;
    fb_str name = fb_str_of(queue->name);
    fb_worker_options what = {.queues = &name,
                              .queue_count = 1,
                              .concurrency = options->concurrency,
                              .work = queues->builtins[options->worker].work,
                              .arg = queues->builtins[options->worker].arg};
    crew->queue = queue;
    crew->kind = options->worker;
    return fb_worker_make(queues, &what, true, &crew->worker, NULL);
}

void fb_queue_crew_begin(fb_queue *queue) {
    fb_queues *queues = queue->queues;
    const fb_queue_terms *terms = fb_queues_find(queues, fb_str_of(queue->name));
    atomic_store(&queue->idle_crew, false);
    if (terms == NULL || queue->crew != NULL ||
        queues->builtins[terms->options->worker].work == NULL) {
        return;
    }
    fb_queue_crew *crew = fb_mem_zero(1, sizeof *crew);
    int result = crew != NULL ? make(queue, terms->options, crew) : FB_ENOMEM;
    if (result < 0) {
        fb_log(FB_LOG_ERROR, "queue_worker_failed", "queue=%s why=%s", queue->name,
               fb_log_quote(fb_str_of(fb_result_text(result)), FB_LOG_TEXT_MAX).text);
        fb_mem_free(crew);
        atomic_store(&queue->idle_crew, true);  // with the next job
        return;
    }
    queue->crew = crew;
    fb_list_insert(&queues->crews, &crew->list);
}

// ---- is there something to begin with?

static void on_look(fb_queue_trip *trip) {
    const fb_queue_look *look = &trip->reply.look;
    uint64_t jobs = look->counts[FB_JOB_SCHEDULED] + look->counts[FB_JOB_READY] +
                    look->counts[FB_JOB_LEASED];
    if (atomic_load(&trip->queues->stopped)) {
        return;
    }
    // Where the store does not answer the worker is who waits for it.
    if (trip->result < 0 || jobs > 0) {
        fb_queue_crew_begin(trip->queue);
    }
}

static bool is_spoken_of(const fb_queues *queues, const char *name) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    const fb_settings *settings = fb_config_settings(catalog->config);
    char path[FB_QUEUE_NAME_MAX + 16];
    for (const fb_queue_builtin *one = fb_queue_builtins; one->name != NULL; one++) {
        if (fb_str_equal(fb_str_of(one->name), fb_str_of(name))) {
            (void)snprintf(path, sizeof path, "queues.%s", name);
            return fb_settings_is_set(catalog->config, fb_str_of(path)) ||
                   fb_settings_is_set(catalog->config, FB_STR("mail.maildir")) ||
                   settings->mail.relay_count > 0;
        }
    }
    return true;
}

static void look_for_jobs(fb_queues *queues, const fb_queue_terms *terms) {
    fb_queue_trip *trip = NULL;
    if ((queues->shared && !is_spoken_of(queues, terms->queue->name)) ||
        !fb_queue_store_is_open(queues) ||
        fb_queue_trip_new(queues, terms, FB_STORE_LOOK, false, &trip) < 0) {
        return;
    }
    trip->done = on_look;
    trip->origin = &queues->engine->lanes[0];
    fb_queue_trip_send(trip);
}

static void review_one(fb_queues *queues, const fb_queue_terms *terms) {
    fb_queue *queue = terms->queue;
    bool wanted = terms->options->worker != FB_QUEUE_WORKER_NONE &&
                  queues->builtins[terms->options->worker].work != NULL;
    if (queue->crew != NULL && (!wanted || queue->crew->kind != terms->options->worker)) {
        retire(queue);
    }
    if (queue->crew != NULL) {
        fb_worker_resize(queue->crew->worker, terms->options->concurrency);
    } else if (wanted) {
        atomic_store(&queue->idle_crew, true);
        look_for_jobs(queues, terms);
    } else {
        atomic_store(&queue->idle_crew, false);
    }
}

void fb_queue_crews_review(fb_queues *queues) {
    const fb_queue_catalog *catalog = atomic_load(&queues->catalog);
    if (atomic_load(&queues->stopped)) {
        return;
    }
    FB_LIST_EACH_SAFE(node, after, &queues->crews) {
        fb_queue *queue = FB_LIST_OF(node, fb_queue_crew, list)->queue;
        if (fb_queues_find(queues, fb_str_of(queue->name)) == NULL) {
            retire(queue);
        }
    }
    for (size_t i = 0; i < catalog->count; i++) {
        review_one(queues, &catalog->terms[i]);
    }
}

static void end_list(fb_list *list, int64_t drain_ms) {
    while (!fb_list_empty(list)) {
        fb_queue_crew *crew = FB_LIST_OF(list->next, fb_queue_crew, list);
        fb_list_remove(&crew->list);
        fb_worker_free(crew->worker, drain_ms);
        fb_mem_free(crew);
    }
}

void fb_queue_crews_end(fb_queues *queues, int64_t drain_ms) {
    // All of them at once, so that they share the time.
    fb_list *const lists[] = {&queues->crews, &queues->retired};
    for (size_t i = 0; i < 2; i++) {
        FB_LIST_EACH(node, lists[i]) {
            fb_worker_quit(FB_LIST_OF(node, fb_queue_crew, list)->worker, drain_ms);
        }
    }
    end_list(&queues->crews, drain_ms);
    end_list(&queues->retired, drain_ms);
}
