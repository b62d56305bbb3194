// Threads and fibers on two nodes, while their Redis is killed, hung and emptied: nobody waits
// beyond his time, and when it is over both nodes see the same.

#include "shared_rig.h"

enum { THREADS = 4, KEYS = 12, FIBERS = 6, ROUNDS = 6, HARD_MS = 200, SLACK_MS = 5000 };

typedef struct user {
    fb_engine *engine;
    fb_rng rng;
    pthread_t thread;
    int64_t longest_ms;
    uint64_t calls;
} user;

static atomic_bool over;
static atomic_int fibers_left;

static int append_x(void *arg, fb_edit *edit) {
    char *text = arg;
    size_t len = edit->found && edit->value.data.len < 30 ? edit->value.data.len : 0;
    memcpy(text, edit->found ? edit->value.data.ptr : "", len);
    text[len] = 'x';
    edit->action = FB_EDIT_PUT;
    edit->data = fb_str_make(text, len + 1);
    return FB_OK;
}

static int invalidate(user *one, fb_str key) {
    static const fb_invalidation wide[] = {
        {FB_SCOPE_TAG, FB_STR_INIT("t"), false},
        {FB_SCOPE_CLASS, FB_STR_INIT("item"), true},
        {FB_SCOPE_PATTERN, FB_STR_INIT("k?"), false},
        {FB_SCOPE_NAMESPACE, FB_STR_INIT("things"), false},
        {FB_SCOPE_ALL, FB_STR_INIT(""), false},
    };
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = key};
    uint64_t turn = fb_rng_below(&one->rng, 10);
    fb_invalidate_options options = {.reach = turn % 3 == 0 ? FB_REACH_NODES : FB_REACH_DEFAULT,
                                     .timeout_ms = HARD_MS};
    int result =
        fb_invalidate_to(one->engine, turn < 5 ? &wide[turn] : &what, &options, NULL, NULL);
    return result == FB_REFUSED ? FB_OK : result;
}

static int lease(user *one, fb_str key) {
    fb_value value;
    uint64_t token = 0;
    int result = fb_lease_get(one->engine, key, 100, &value, &token);
    fb_value_release(&value);
    if (result == FB_MISS) {
        result = fb_lease_fill(one->engine, key, token, FB_STR("leased"), NULL);
    }
    return result;
}

static int read_own_write(user *one, fb_str key) {
    fb_receipt receipt = {.reached = FB_REACH_DEFAULT};
    fb_set_options options = {.receipt = &receipt, .ttl_ms = 60000};
    fb_value value;
    int result = fb_set(one->engine, key, FB_STR("own"), &options);
    if (result == FB_OK) {
        result = fb_get_after(one->engine, key, fb_str_of(receipt.token), &value);
        fb_value_release(&value);
    }
    return result;
}

static int call(user *one) {
    char name[16], text[64];
    fb_str tag = FB_STR("t");
    fb_set_options tagged = {.tags = &tag, .tag_count = 1};
    int64_t number;
    fb_value value;
    int result = FB_OK;
    (void)snprintf(name, sizeof name, "k%llu", (unsigned long long)fb_rng_below(&one->rng, KEYS));
    fb_str key = fb_str_of(name);
    switch (fb_rng_below(&one->rng, 9)) {
        case 0:
            return fb_set(one->engine, key, FB_STR("a value"), &tagged);
        case 1:
            return fb_del(one->engine, key);
        case 2:
            return fb_incr(one->engine, FB_STR("n"), 1, &number);
        case 3:
            return fb_edit_key(one->engine, key, append_x, text);
        case 4:
            return invalidate(one, key);
        case 5:
            return lease(one, key);
        case 6:
            return read_own_write(one, key);
        default:
            result = fb_get_copy(one->engine, key, &value);
            fb_value_release(&value);
            return result;
    }
}

static void call_timed(user *one) {
    int64_t begin_ms = test_redis_now_ms();
    int result = call(one);
    int64_t took_ms = test_redis_now_ms() - begin_ms;
    one->longest_ms = took_ms > one->longest_ms ? took_ms : one->longest_ms;
    one->calls++;
    if (result < 0 && result != FB_ETIMEDOUT && result != FB_ETYPE) {
        print_error("a call gave %s\n", fb_result_name(result));
        abort();
    }
}

static void *use(void *arg) {
    user *one = arg;
    while (!atomic_load(&over)) {
        call_timed(one);
    }
    return NULL;
}

static void converse(void *arg) {
    (void)use(arg);
    atomic_fetch_sub(&fibers_left, 1);
}

static void begin_fiber(void *arg) {
    user *one = arg;
    int result = fb_run(one->engine, converse, one);
    assert_true(result == FB_PENDING || result == FB_OK);
}

static void user_init(user *one, fb_engine *engine, fb_rng *rng) {
    *one = (user){.engine = engine};
    fb_rng_init(&one->rng, fb_rng_next(rng));
}

static void give_trouble(test_redis *server, int round) {
    static const struct timespec a_while = {0, 400 * 1000000}, moment = {0, 150 * 1000000};
    (void)nanosleep(&moment, NULL);
    switch (round % 3) {
        case 0:
            test_redis_stop(server);
            (void)nanosleep(&a_while, NULL);
            test_redis_continue(server);
            break;
        case 1:
            test_redis_kill(server);
            (void)nanosleep(&a_while, NULL);
            test_redis_start(server);
            break;
        default:
            (void)test_redis_ask(server, "FLUSHALL");
            break;
    }
}

static void assert_same(fb_engine *a, fb_engine *b) {
    shared_await(a, FB_SHARED_CONNECTED);
    shared_await(b, FB_SHARED_CONNECTED);
    for (int i = 0; i <= KEYS; i++) {
        char key[16], left[256], right[256];
        (void)snprintf(key, sizeof key, i < KEYS ? "k%d" : "n", i);
        rig_until(strcmp(shared_get(a, key, left), shared_get(b, key, right)) == 0);
    }
}

static void test_shared__in_trouble_nobody_waits_long_and_it_ends_well(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    static user users[THREADS], fibers[FIBERS];
    test_redis *server = test_redis_new("");
    fb_rng rng = test_rng();
    fb_engine *nodes[2];
    for (int i = 0; i < 2; i++) {
        nodes[i] = shared_open(server->port, "hard_timeout: 200ms, max_lag: 500ms");
        shared_await(nodes[i], FB_SHARED_CONNECTED);
    }
    atomic_store(&fibers_left, FIBERS);
    for (int i = 0; i < FIBERS; i++) {
        user_init(&fibers[i], nodes[i % 2], &rng);
        assert_ok(fb_loop_post(nodes[i % 2], (uint32_t)i / 2 % 2, begin_fiber, &fibers[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        user_init(&users[i], nodes[i % 2], &rng);
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        give_trouble(server, round);
        shared_await(nodes[0], FB_SHARED_CONNECTED);
    }
    atomic_store(&over, true);
    rig_until(atomic_load(&fibers_left) == 0);
    int64_t longest_ms = 0;
    uint64_t calls = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(users[i].thread, NULL);
        longest_ms = users[i].longest_ms > longest_ms ? users[i].longest_ms : longest_ms;
        calls += users[i].calls;
    }
    printf("%llu calls, the longest %lld ms\n", (unsigned long long)calls, (long long)longest_ms);
    assert_true(longest_ms < 4 * HARD_MS + SLACK_MS);
    assert_same(nodes[0], nodes[1]);
    fb_close(nodes[0], 1000);
    fb_close(nodes[1], 1000);
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_shared__in_trouble_nobody_waits_long_and_it_ends_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
