// The beat stops while a loop hangs, and goes on when it turns again. Time is the test's own; only that a
// loop has come to run what was posted to it is waited for.

#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "daemon/pulse.h"
#include "support.h"

static const int64_t SECOND = 1000000000;

typedef struct hanging {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hangs, over;
} hanging;

static void hang(void *arg) {
    hanging *one = arg;
    pthread_mutex_lock(&one->lock);
    one->hangs = true;
    pthread_cond_broadcast(&one->changed);
    while (!one->over) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

static void await_hanging(hanging *one) {
    pthread_mutex_lock(&one->lock);
    while (!one->hangs) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

static void end_hanging(hanging *one) {
    pthread_mutex_lock(&one->lock);
    one->over = true;
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static char folder[32];

static fb_engine *open_engine(void) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {0};
    char text[300];
    (void)snprintf(folder, sizeof folder, "/tmp/fb-pulse-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(text, sizeof text,
                   "loops: 3\nmemory: 4MiB\nqueue: {file: '%s/q.db'}\nmail: {maildir: '%s/mail'}\n",
                   folder, folder);
    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config, (fb_str){text, strlen(text)}, "test", &error));
    if (fb_open(config, &engine, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    fb_config_free(config);
    return engine;
}

static int remove_one(const char *path, const struct stat *is, int kind, struct FTW *at) {
    (void)is, (void)kind, (void)at;
    return remove(path);
}

static void close_engine(fb_engine *engine) {
    fb_close(engine, 0);
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void count_one(void *arg) {
    atomic_fetch_add((atomic_uint *)arg, 1);
}

// Until every loop has come to what is posted to it now: so it has given the signs that it owed before.
static void await_signs(fb_engine *engine) {
    static const struct timespec TURN = {0, 1000000};
    atomic_uint seen = 0;
    for (uint32_t i = 0; i < fb_loop_count(engine); i++) {
        assert_ok(fb_loop_post(engine, i, count_one, &seen));
    }
    while (atomic_load(&seen) < fb_loop_count(engine)) {
        (void)nanosleep(&TURN, NULL);
    }
}

static void test_pulse__beats_while_all_loops_turn(void **state) {
    (void)state;
    fb_engine *engine = open_engine();
    fb_pulse *pulse = NULL;
    assert_ok(fb_pulse_new(engine, 4 * SECOND, &pulse));
    assert_int_equal(fb_pulse_every_ns(pulse), SECOND);
    for (int64_t turn = 1; turn < 20; turn++) {
        assert_true(fb_pulse_step(pulse, turn * 10 * SECOND));
        await_signs(engine);
    }
    close_engine(engine);
    fb_pulse_free(pulse);
    fb_pulse_free(NULL);
}

static void test_pulse__stops_while_one_loop_hangs(void **state) {
    (void)state;
    fb_engine *engine = open_engine();
    fb_pulse *pulse = NULL;
    hanging one = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    assert_ok(fb_pulse_new(engine, 4 * SECOND, &pulse));
    assert_ok(fb_loop_post(engine, 1, hang, &one));
    await_hanging(&one);
    assert_true(fb_pulse_step(pulse, SECOND));
    assert_true(fb_pulse_step(pulse, 3 * SECOND));    // half of what the manager waits
    assert_false(fb_pulse_step(pulse, 3 * SECOND + 1));
    assert_true(fb_pulse_lag_ns(pulse) > 2 * SECOND);
    assert_false(fb_pulse_step(pulse, 100 * SECOND));
    end_hanging(&one);
    await_signs(engine);
    assert_true(fb_pulse_step(pulse, 201 * SECOND));
    close_engine(engine);
    fb_pulse_free(pulse);
}

static void test_pulse__without_a_manager_it_is_looked_at_all_the_same(void **state) {
    (void)state;
    fb_engine *engine = open_engine();
    fb_pulse *pulse = NULL;
    hanging one = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    assert_ok(fb_pulse_new(engine, 0, &pulse));
    assert_int_equal(fb_pulse_every_ns(pulse), SECOND);
    assert_ok(fb_loop_post(engine, 0, hang, &one));
    await_hanging(&one);
    assert_true(fb_pulse_step(pulse, SECOND));
    assert_true(fb_pulse_step(pulse, 6 * SECOND));
    assert_false(fb_pulse_step(pulse, 6 * SECOND + 1));
    end_hanging(&one);
    close_engine(engine);  // what it owes comes to its end here
    fb_pulse_free(pulse);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pulse__beats_while_all_loops_turn),
        cmocka_unit_test(test_pulse__stops_while_one_loop_hangs),
        cmocka_unit_test(test_pulse__without_a_manager_it_is_looked_at_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
