// The client under threads, forks and a daemon in all its moods. Each thread has keys of its own
// and remembers what it did with them: what it reads is that, or nothing; never anything older.

#include <forebay/client.h>

#include <sys/wait.h>

#include "fake_daemon.h"

enum { THREADS = 4, KEYS = 3 };

typedef struct crew {
    fake_daemon *fake;
    fb_client *client;
    pthread_t threads[THREADS];
    atomic_bool stop;
    atomic_ullong done[THREADS];
} crew;

typedef struct worker {
    crew *crew;
    int number;
} worker;

static void ignore(void *arg, const char *event, const char *text) {
}

static void begin(crew *c, int64_t timeout_ms) {
    c->fake = fake_new();
    fb_client_options options = {.url = fb_str_of(c->fake->url),
                                 .timeout_ms = timeout_ms,
                                 .retry_ms = 2,
                                 .warn = ignore};
    assert_ok(fb_client_open(&options, &c->client, NULL));
}

static void end(crew *c) {
    fb_client_close(c->client);
    fake_free(c->fake);
}

static void check_get(fb_client *client, fb_str key, int64_t last) {
    fb_value value = {0};
    int64_t number = 0;
    int result = fb_client_get(client, key, &value, NULL);
    FB_ASSERT(result == FB_OK || result == FB_MISS);
    if (result == FB_OK) {
        FB_ASSERT(fb_str_int(value.data, &number) == FB_OK);
        FB_ASSERT(number == last);
    }
    fb_value_release(&value);
}

// `last` of a key: what was set; 0: deleted.
static void step(fb_client *client, fb_rng *rng, fb_str key, int64_t *last, int64_t number) {
    char text[32];
    int result = FB_OK;
    switch (fb_rng_below(rng, 6)) {
        case 0:
            result = fb_client_del(client, key, NULL);
            *last = 0;
            break;
        case 1:
        case 2:
            snprintf(text, sizeof text, "%" PRId64, number);
            result = fb_client_set(client, key, fb_str_of(text), 0, NULL);
            *last = number;
            break;
        default:
            check_get(client, key, *last);
            break;
    }
    FB_ASSERT(result == FB_OK || result == FB_MISS);
}

static void *work(void *arg) {
    worker *self = arg;
    crew *c = self->crew;
    fb_rng rng;
    fb_rng_init(&rng, test_seed() + (uint64_t)self->number);
    int64_t last[KEYS] = {0};
    for (int64_t number = 1; !atomic_load(&c->stop); number++) {
        char name[32];
        int key = (int)fb_rng_below(&rng, KEYS);
        snprintf(name, sizeof name, "key:%d:%d", self->number, key);
        step(c->client, &rng, fb_str_of(name), &last[key], number);
        atomic_fetch_add(&c->done[self->number], 1);
    }
    return NULL;
}

static void start(crew *c, worker workers[THREADS]) {
    (void)test_seed();
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){c, i};
        assert_int_equal(pthread_create(&c->threads[i], NULL, work, &workers[i]), 0);
    }
}

static void stop(crew *c) {
    atomic_store(&c->stop, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(c->threads[i], NULL);
    }
}

static void test_client_threads__read_what_they_wrote(void **state) {
    static crew c;
    worker workers[THREADS];
    fb_rng rng = test_rng();
    begin(&c, 40);
    start(&c, workers);
    for (int round = 0; round < 60; round++) {
        static const fake_mood moods[] = {FAKE_HUNG, FAKE_CUT, FAKE_RUDE, FAKE_OTHER};
        uint64_t kind = fb_rng_below(&rng, 6);
        if (kind == 5) {
            fake_stop(c.fake);
            (void)poll(NULL, 0, (int)fb_rng_below(&rng, 10));
            fake_start(c.fake);
        } else if (kind == 4) {
            fake_hang_up(c.fake);
        } else {
            fake_set_mood(c.fake, moods[kind]);
            (void)poll(NULL, 0, (int)fb_rng_below(&rng, 60));
            fake_set_mood(c.fake, FAKE_GOOD);
        }
        (void)poll(NULL, 0, (int)fb_rng_below(&rng, 20));
    }
    stop(&c);
    for (int i = 0; i < THREADS; i++) {
        assert_true(atomic_load(&c.done[i]) > 0);
    }
    end(&c);
}

static int be_child(fb_client *client) {
    alarm(60);
    fb_value value;
    fb_str key = FB_STR("child");
    int result = fb_client_set(client, key, FB_STR("v"), 0, NULL);
    if (result == FB_OK) {
        result = fb_client_get(client, key, &value, NULL);
    }
    // Another child may have deleted it.
    if (result >= 0) {
        result = fb_client_del(client, key, NULL);
    }
    fb_client_close(client);
    return result >= 0 ? 0 : 1;
}

static void test_client_threads__forks_at_any_moment(void **state) {
    static crew c;
    worker workers[THREADS];
#ifdef __SANITIZE_ADDRESS__
    skip();  // a lock of gcc 12's ASan allocator, held at the fork, hangs the child (seen by gdb)
#endif
    begin(&c, 30000);
    start(&c, workers);
    for (int round = 0; round < 40; round++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(be_child(c.client));
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    stop(&c);
    end(&c);
}

static void *owe(void *arg) {
    worker *self = arg;
    crew *c = self->crew;
    fb_rng rng;
    fb_rng_init(&rng, (uint64_t)self->number);
    while (!atomic_load(&c->stop)) {
        char text[32];
        snprintf(text, sizeof text, "%u", (unsigned)fb_rng_below(&rng, 60000));
        FB_ASSERT(fb_client_del(c->client, fb_str_of(text), NULL) >= 0);
        atomic_fetch_add(&c->done[self->number % THREADS], 1);
    }
    return NULL;
}

// Privately a write costs a microsecond, and to pay for it takes a round trip.
static void test_client_threads__nobody_owes_faster_than_is_paid(void **state) {
    enum { OWERS = 12 };
    static crew c;
    worker workers[OWERS];
    pthread_t threads[OWERS];
    fb_client_figures figures = {.daemon_there = false};
    begin(&c, 30000);
    atomic_store(&c.stop, false);
    fake_stop(c.fake);
    for (int i = 0; i < OWERS; i++) {
        workers[i] = (worker){&c, i};
        assert_int_equal(pthread_create(&threads[i], NULL, owe, &workers[i]), 0);
    }
    while (atomic_load(&c.done[0]) < 100000) {
        (void)poll(NULL, 0, 1);
    }
    fake_start(c.fake);
    for (int i = 0; i < 10000 && !figures.daemon_there; i++) {
        (void)poll(NULL, 0, 1);
        fb_client_figures_read(c.client, &figures);
    }
    assert_true(figures.daemon_there);
    atomic_store(&c.stop, true);
    for (int i = 0; i < OWERS; i++) {
        pthread_join(threads[i], NULL);
    }
    end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_threads__read_what_they_wrote),
        cmocka_unit_test(test_client_threads__forks_at_any_moment),
        cmocka_unit_test(test_client_threads__nobody_owes_faster_than_is_paid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
