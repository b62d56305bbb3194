// Threads and fibers of three nodes move amounts between accounts and count, each by transactions of
// its own: the sum stays what it was whenever it is looked at, and nothing that was counted is lost.

#include "shared_rig.h"

enum { NODES = 3, THREADS = 6, ACCOUNTS = 4, EACH = 100, MOVES = 40, COUNTS = 20 };

typedef struct teller {
    fb_engine *engine;
    fb_transaction *own;
    fb_rng rng;
    pthread_t thread;
    int from, to, moved, refused;
    int64_t had[2], sum;
} teller;

static atomic_int fibers_left;

static fb_str account(int index, char *name) {
    (void)snprintf(name, 16, "account:%d", index);
    return fb_str_of(name);
}

static void take_number(void *arg, const fb_value *value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", FB_STR_ARG(value->data));
    *(int64_t *)arg = atoll(text);
}

static void ignore(int result) {
    (void)result;  // what went wrong the transaction says
}

static int64_t amount(const teller *one, int index) {
    char name[16];
    int64_t number = INT64_MIN / 16;
    if (fb_get(one->engine, account(index, name), take_number, &number) == FB_MISS) {
        abort();  // what is there is there
    }
    return number;
}

static void put(const teller *one, int index, int64_t number) {
    char name[16], text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)number);
    ignore(fb_set(one->engine, account(index, name), fb_str_of(text), NULL));
}

static void move(void *arg) {
    const teller *one = arg;
    int64_t from = amount(one, one->from), to = amount(one, one->to);
    put(one, one->from, from - 1);
    put(one, one->to, to + 1);
}

// What clients of WATCH do: they have read before.
static void move_what_was_read(void *arg) {
    const teller *one = arg;
    put(one, one->from, one->had[0] - 1);
    put(one, one->to, one->had[1] + 1);
}

static void look(void *arg) {
    teller *one = arg;
    one->sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        one->sum += amount(one, i);
    }
}

static void count(void *arg) {
    const teller *one = arg;
    int64_t number;
    ignore(fb_incr(one->engine, FB_STR("n"), 1, &number));
}

static int watch(teller *one, int index) {
    char name[16];
    fb_error error = {0};
    return fb_transaction_watch(one->own, account(index, name), &error);
}

static int run(teller *one, void (*fn)(void *arg)) {
    fb_error error = {0};
    int result = fb_transaction_run(one->own, fn, one, &error);
    if (result < 0) {
        print_error("a transaction gave %s: %s\n", fb_result_name(result), error.text);
        abort();
    }
    return result;
}

static void move_once(teller *one) {
    bool watches = fb_rng_below(&one->rng, 2) == 0;
    one->from = (int)fb_rng_below(&one->rng, ACCOUNTS);
    one->to = (one->from + 1 + (int)fb_rng_below(&one->rng, ACCOUNTS - 1)) % ACCOUNTS;
    if (watches) {
        if (watch(one, one->from) != FB_OK || watch(one, one->to) != FB_OK) {
            abort();
        }
        one->had[0] = amount(one, one->from);
        one->had[1] = amount(one, one->to);
    }
    int result = run(one, watches ? move_what_was_read : move);
    one->moved += result == FB_OK;
    one->refused += result == FB_REFUSED;
}

static void *work(void *arg) {
    teller *one = arg;
    for (int i = 0; i < MOVES; i++) {
        move_once(one);
        if (run(one, look) == FB_OK && one->sum != ACCOUNTS * EACH) {
            print_error("the sum is %lld\n", (long long)one->sum);
            abort();
        }
        if (i < COUNTS && run(one, count) != FB_OK) {
            abort();
        }
    }
    return NULL;
}

static void work_as_fiber(void *arg) {
    (void)work(arg);
    atomic_fetch_sub(&fibers_left, 1);
}

static void begin_fiber(void *arg) {
    teller *one = arg;
    int result = fb_run(one->engine, work_as_fiber, one);
    assert_true(result == FB_PENDING || result == FB_OK);
}

static void assert_settled(fb_engine *const *nodes) {
    char text[32], name[16];
    (void)snprintf(text, sizeof text, "%d", 2 * THREADS * COUNTS);
    for (int i = 0; i < NODES; i++) {
        rig_until(shared_is(nodes[i], "n", text));
    }
    int64_t sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        char first[256], other[256];
        (void)account(i, name);
        for (int k = 1; k < NODES; k++) {
            rig_until(strcmp(shared_get(nodes[0], name, first), shared_get(nodes[k], name, other)) ==
                      0);
        }
        sum += atoll(first);
    }
    assert_int_equal(sum, ACCOUNTS * EACH);
}

static void test_transaction__sums_are_kept_and_counts_complete(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    static teller threads[THREADS], fibers[THREADS];
    test_redis *server = test_redis_new("");
    fb_rng rng = test_rng();
    fb_engine *nodes[NODES];
    char name[16];
    int moved = 0, refused = 0;
    for (int i = 0; i < NODES; i++) {
        nodes[i] = shared_open(server->port, "hard_timeout: 20s, soft_timeout: 10s");
        shared_await(nodes[i], FB_SHARED_CONNECTED);
    }
    for (int i = 0; i < ACCOUNTS; i++) {
        assert_ok(fb_set(nodes[0], account(i, name), FB_STR("100"), NULL));
    }
    atomic_store(&fibers_left, THREADS);
    for (int i = 0; i < 2 * THREADS; i++) {
        teller *one = i < THREADS ? &threads[i] : &fibers[i - THREADS];
        *one = (teller){.engine = nodes[i % NODES]};
        fb_rng_init(&one->rng, fb_rng_next(&rng));
        assert_ok(fb_transaction_new(one->engine, &one->own));
        if (i < THREADS) {
            assert_int_equal(pthread_create(&one->thread, NULL, work, one), 0);
        } else {
            assert_ok(fb_loop_post(one->engine, (uint32_t)i / NODES % 2, begin_fiber, one));
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].thread, NULL);
    }
    rig_until(atomic_load(&fibers_left) == 0);
    for (int i = 0; i < 2 * THREADS; i++) {
        teller *one = i < THREADS ? &threads[i] : &fibers[i - THREADS];
        fb_transaction_free(one->own);
        moved += one->moved;
        refused += one->refused;
    }
    printf("%d moves, %d refused\n", moved, refused);
    assert_true(moved > 0);
    assert_settled(nodes);
    for (int i = 0; i < NODES; i++) {
        fb_close(nodes[i], 1000);
    }
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_transaction__sums_are_kept_and_counts_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
