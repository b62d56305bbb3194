// Many threads on one table of limits, and on what stands beside it. Run under ThreadSanitizer too.

#include <pthread.h>

#include "limit/denials.h"
#include "limit/slots.h"
#include "limit/steady.h"
#include "limit/top.h"
#include "table_rig.h"

enum { THREADS = 4, STEPS = 20000, SHARED_KEYS = 7, LOG_ROOM = THREADS * STEPS };
enum { CLOCK_STEP_US = 11, LATE_US = 10000, WINDOW_US = 20000 };
_Static_assert(THREADS * STEPS * CLOCK_STEP_US + LATE_US < FB_LIMIT_JITTER_US, "see read_clock()");

typedef struct team {
    fb_limit_table *table, *other, *crowded;
    fb_limit_plan plan, other_plan, crowded_plan;
    fb_limit_denials *denials;
    fb_limit_slots *slots;
    fb_limit_plan slots_plan;
    fb_limit_top *top;
    atomic_int_least64_t clock_us;
    atomic_uint wrong, numbers;
    atomic_int held[SHARED_KEYS];
    // What passed: when, by the time that it was decided with, and of which key.
    atomic_size_t logged;
    struct {
        int64_t now_us;
        uint64_t key;
    } log[LOG_ROOM];
} team;

typedef struct worker {
    team *crew;
    fb_rng rng;
} worker;

static void run(team *crew, void *(*work)(void *)) {
    pthread_t threads[THREADS];
    worker workers[THREADS];
    fb_rng rng = test_rng();
    crew->clock_us = START_US;
    for (int i = 0; i < THREADS; i++) {
        workers[i].crew = crew;
        fb_rng_init(&workers[i].rng, fb_rng_next(&rng));
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(crew->wrong, 0);
}

static team *make_team(void) {
    team *crew = calloc(1, sizeof *crew);
    assert_non_null(crew);
    return crew;
}

// A clock of all threads that goes on with every look, read a little late. All looks together take
// less than a second: so nobody lags more, however long he slept between his look and his question.
static int64_t read_clock(worker *w) {
    int64_t step_us = (int64_t)fb_rng_below(&w->rng, CLOCK_STEP_US + 1);
    int64_t now_us = atomic_fetch_add(&w->crew->clock_us, step_us);
    return now_us - (int64_t)fb_rng_below(&w->rng, LATE_US);
}

static int by_key_and_time(const void *a, const void *b) {
    const int64_t *one = a, *other = b;
    if (one[1] != other[1]) {
        return one[1] < other[1] ? -1 : 1;
    }
    return one[0] < other[0] ? -1 : one[0] > other[0];
}

// No window of any key has more than the limit.
static void assert_within_limit(team *crew, const fb_limit_plan *plan) {
    qsort(crew->log, crew->logged, sizeof *crew->log, by_key_and_time);
    for (size_t i = plan->limit; i < crew->logged; i++) {
        size_t first = i - plan->limit;
        if (crew->log[first].key == crew->log[i].key) {
            assert_true(crew->log[i].now_us - crew->log[first].now_us >= plan->window_us);
        }
    }
}

static void log_passed(team *crew, const fb_limit_item *item, uint64_t key) {
    size_t place = crew->logged++;
    crew->log[place].now_us = item->step.now_us;
    crew->log[place].key = key;
}

static void *ask_all(void *arg) {
    worker *w = arg;
    team *crew = w->crew;
    for (int i = 0; i < STEPS; i++) {
        uint64_t key = fb_rng_below(&w->rng, SHARED_KEYS);
        int64_t now_us = read_clock(w);
        fb_limit_item items[2] = {
            item_of(crew->table, &crew->plan, key, FB_LIMIT_TAKE, 1, now_us),
            item_of(crew->other, &crew->other_plan, fb_rng_below(&w->rng, SHARED_KEYS),
                    FB_LIMIT_TAKE, 1, now_us)};
        bool both = fb_rng_below(&w->rng, 2) == 0;
        if (both && fb_rng_below(&w->rng, 2) == 0) {
            fb_limit_item swapped = items[0];  // whichever comes first
            items[0] = items[1];
            items[1] = swapped;
        }
        if (fb_limit_table_decide(items, both ? 2 : 1)) {
            log_passed(crew, items[0].table == crew->table ? &items[0] : &items[1], key);
        }
    }
    return NULL;
}

static void test_table_threads__no_window_has_more_than_the_limit(void **state) {
    static const uint32_t limits[] = {10, 100};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        team *crew = make_team();
        crew->plan = plan_of(FB_LIMIT_SLIDING, limits[i], WINDOW_US);
        crew->other_plan = plan_of(FB_LIMIT_TOKEN, 200, WINDOW_US);
        crew->table = table_of(2000, &crew->plan);
        crew->other = table_of(100, &crew->other_plan);
        run(crew, ask_all);
        assert_true(crew->logged > limits[i]);
        assert_within_limit(crew, &crew->plan);
        fb_limit_table_check(crew->table);
        fb_limit_table_check(crew->other);
        fb_limit_table_free(crew->table);
        fb_limit_table_free(crew->other);
        free(crew);
    }
}

// Threads flood a table together, each with keys of its own, and forget some; what is denied stays
// so.
static void *crowd(void *arg) {
    worker *w = arg;
    team *crew = w->crew;
    const fb_limit_plan *plan = &crew->crowded_plan;
    uint64_t own = 1000000 * (uint64_t)(crew->numbers++ + 1);
    while (ask(crew->crowded, plan, own, START_US)) {
    }
    for (int i = 0; i < STEPS; i++) {
        uint64_t key = own + 1 + fb_rng_below(&w->rng, 20000);
        fb_limit_item items[3] = {
            item_of(crew->crowded, plan, key, FB_LIMIT_TAKE, 1, START_US),
            item_of(crew->crowded, plan, key + 50000, FB_LIMIT_TAKE, 1, START_US),
            item_of(crew->crowded, plan, key, FB_LIMIT_LOOK, 1, START_US)};
        (void)fb_limit_table_decide(items, i % 4 == 0 ? 2 : 1);
        if (i % 5 == 0) {
            fb_limit_table_forget(crew->crowded, items[1].hash);
        }
        crew->wrong += ask(crew->crowded, plan, own, START_US);
        if (i % 1000 == 0) {
            fb_limit_table_figures figures = figures_of(crew->crowded);
            crew->wrong += figures.keys > figures.keys_max ||
                           figures.bytes > fb_limit_table_bytes_max(crew->crowded);
            fb_limit_table_check(crew->crowded);
        }
    }
    return NULL;
}

static void test_table_threads__a_full_table_stays_within_its_bounds(void **state) {
    team *crew = make_team();
    crew->crowded_plan = plan_of(FB_LIMIT_SLIDING, 5, 3600 * SECOND_US);
    crew->crowded = table_of(5000, &crew->crowded_plan);
    run(crew, crowd);
    fb_limit_table_check(crew->crowded);
    fb_limit_table_free(crew->crowded);
    free(crew);
}

static void *remember(void *arg) {
    worker *w = arg;
    team *crew = w->crew;
    for (int i = 0; i < STEPS; i++) {
        uint64_t key = fb_rng_below(&w->rng, 50), hash = hash_of(key);
        int64_t now_us = START_US + i;
        // All that is said of a key says which key it is.
        fb_verdict verdict = {.denied = true, .cost = 1, .limit = 1000000, .retry_us = 500,
                              .remaining = (uint32_t)key, .window_us = (int64_t)key,
                              .reset_us = 2000000};
        char text[32];
        (void)snprintf(text, sizeof text, "key %llu", (unsigned long long)key);
        fb_limit_top_add(crew->top, hash, fb_str_of(text));
        switch (fb_rng_below(&w->rng, 8)) {
        case 0: fb_limit_denials_put(crew->denials, hash, &verdict, now_us); break;
        case 1: fb_limit_denials_forget(crew->denials, i % 1000 == 0 ? 0 : hash); break;
        default:
            if (fb_limit_denials_get(crew->denials, hash, 1, now_us, &verdict)) {
                crew->wrong += verdict.remaining != key || verdict.window_us != (int64_t)key ||
                               verdict.source != FB_LIMIT_BY_REMEMBERED || verdict.retry_us < 1;
            }
        }
    }
    return NULL;
}

static void test_table_threads__denials_and_the_top_are_of_their_keys(void **state) {
    team *crew = make_team();
    static fb_limit_figures figures;
    uint64_t sum = 0;
    assert_ok(fb_limit_denials_new(20, &crew->denials));
    assert_ok(fb_limit_top_new(&crew->top));
    run(crew, remember);
    fb_limit_top_read(crew->top, &figures);
    assert_int_equal(figures.top_count, FB_LIMIT_TOP);
    for (uint32_t i = 0; i < figures.top_count; i++) {
        // Fewer keys than counters: each count is exact, and these are not all.
        assert_int_equal(figures.top[i].error, 0);
        assert_int_equal(strncmp(figures.top[i].key, "key ", 4), 0);
        sum += figures.top[i].count;
    }
    assert_in_range(sum, THREADS * STEPS * FB_LIMIT_TOP / 50, THREADS * STEPS);
    fb_limit_denials_free(crew->denials);
    fb_limit_top_free(crew->top);
    free(crew);
}

static void *lease(void *arg) {
    worker *w = arg;
    team *crew = w->crew;
    fb_limit_slots_answer answer;
    for (int i = 0; i < STEPS / 2; i++) {
        uint64_t key = fb_rng_below(&w->rng, SHARED_KEYS), token = fb_rng_next(&w->rng) | 1;
        if (fb_limit_slots_acquire(crew->slots, hash_of(key), &crew->slots_plan, token, SECOND_US,
                                   START_US, &answer) != FB_OK) {
            continue;
        }
        crew->wrong += ++crew->held[key] > (int)crew->slots_plan.limit;
        if (i % 3 == 0) {
            crew->wrong += fb_limit_slots_renew(crew->slots, hash_of(key), &crew->slots_plan,
                                                token, SECOND_US, START_US) != FB_OK;
        }
        crew->held[key]--;
        crew->wrong +=
            fb_limit_slots_release(crew->slots, hash_of(key), token, START_US) != FB_OK;
    }
    return NULL;
}

static void test_table_threads__no_more_leases_live_than_the_limit(void **state) {
    team *crew = make_team();
    crew->slots_plan = plan_of(FB_LIMIT_SLOTS, 2, SECOND_US);
    assert_ok(fb_limit_slots_new(100, &crew->slots));
    run(crew, lease);
    fb_limit_table_figures figures;
    fb_limit_slots_figures_read(crew->slots, &figures);
    assert_int_equal(figures.keys, 0);
    fb_limit_slots_free(crew->slots);
    free(crew);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_threads__no_window_has_more_than_the_limit),
        cmocka_unit_test(test_table_threads__a_full_table_stays_within_its_bounds),
        cmocka_unit_test(test_table_threads__denials_and_the_top_are_of_their_keys),
        cmocka_unit_test(test_table_threads__no_more_leases_live_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
