// Zones from many threads: one shared, and others that come and go. GLib keeps them in common tables.

#include "support.h"

#include "os/zone.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 200 };
#define DAY_US (INT64_C(86400) * 1000000)

typedef struct worker {
    pthread_t thread;
    const fb_zone *shared;
    uint64_t wrong;
} worker;

static void *work(void *arg) {
    worker *w = arg;
    int64_t start_us = 0, end_us = 0;

    for (int64_t i = 0; i < ROUNDS; i++) {
        fb_zone *own = NULL;
        const int64_t now_us = INT64_C(20000) * DAY_US + i * DAY_US / 7;
        w->wrong += fb_zone_new(i % 2 == 0 ? "+00:00" : "UTC", &own) != FB_OK;
        fb_zone_period(w->shared, FB_ZONE_DAY, now_us, &start_us, &end_us);
        w->wrong += start_us != now_us - now_us % DAY_US || end_us != start_us + DAY_US;
        fb_zone_period(own, FB_ZONE_DAY, now_us, &start_us, &end_us);
        w->wrong += start_us != now_us - now_us % DAY_US || end_us != start_us + DAY_US;
        fb_zone_free(own);
    }
    return NULL;
}

static void test_zone__is_for_any_thread(void **state) {
    worker workers[THREADS] = {0};
    fb_zone *shared = NULL;

    assert_ok(fb_zone_new("UTC", &shared));
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].shared = shared;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].wrong, 0);
    }
    fb_zone_free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zone__is_for_any_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
