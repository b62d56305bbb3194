// Two engines over one Redis: what one changes the other sees, and what they do without it.

#include "shared_rig.h"

enum { SLACK_MS = 2000 };  // beside a deadline, on a machine that has other work
#define PATIENT "hard_timeout: 5s, soft_timeout: 100ms"

typedef struct pair {
    test_redis *server;
    fb_engine *a, *b;
} pair;

static pair pair_open(const char *more) {
    pair p = {.server = test_redis_new("")};
    p.a = shared_open(p.server->port, more);
    p.b = shared_open(p.server->port, more);
    shared_await(p.a, FB_SHARED_CONNECTED);
    shared_await(p.b, FB_SHARED_CONNECTED);
    return p;
}

static void pair_close(pair *p) {
    fb_close(p->a, 1000);
    fb_close(p->b, 1000);
    test_redis_free(p->server);
}

// ---- plain keys

static void test_shared__what_one_sets_the_other_gets(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    fb_value value;
    int64_t ttl_ms = 0;
    assert_shared(p.b, "k", "(miss)");
    shared_set(p.a, "k", "one");
    assert_ok(fb_get_copy(p.b, FB_STR("k"), &value));
    assert_str(value.data, "one");
    assert_int_equal(value.tier, FB_TIER_SHARED);
    fb_value_release(&value);
    assert_true(in_memory(p.a, "k"));
    // The record of the change may come after the read, and drops what memory has.
    rig_until(shared_is(p.b, "k", "one") && in_memory(p.b, "k"));

    shared_set(p.a, "k", "two");
    rig_until(shared_is(p.b, "k", "two"));
    assert_ok(fb_expire(p.b, FB_STR("k"), 100000));
    rig_until(fb_ttl(p.a, FB_STR("k"), &ttl_ms) == FB_OK && ttl_ms > 0);
    assert_true(ttl_ms <= 100000);
    assert_ok(fb_persist(p.a, FB_STR("k")));
    rig_until(fb_ttl(p.b, FB_STR("k"), &ttl_ms) == FB_OK && ttl_ms == -1);
    assert_ok(fb_exists(p.b, FB_STR("k")));
    assert_ok(fb_del(p.b, FB_STR("k")));
    assert_result(fb_del(p.b, FB_STR("k")), FB_MISS);
    rig_until(shared_is(p.a, "k", "(miss)"));
    assert_result(fb_exists(p.a, FB_STR("k")), FB_MISS);
    assert_result(fb_ttl(p.a, FB_STR("k"), &ttl_ms), FB_MISS);
    pair_close(&p);
}

static void keep_copy(void *arg, const fb_value *value) {
    fb_value *copy = arg;
    char *text = copy->owner;
    (void)snprintf(text, 32, "%.*s", FB_STR_ARG(value->data));
}

static void test_shared__many_are_got_at_once(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    enum { COUNT = 300 };
    pair p = pair_open(PATIENT);
    static char names[COUNT][16], texts[COUNT][32];
    fb_str keys[COUNT];
    fb_value copies[COUNT];
    void *args[COUNT];
    int results[COUNT];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof names[i], "k%d", i);
        keys[i] = fb_str_of(names[i]);
        copies[i] = (fb_value){.owner = texts[i]};
        args[i] = &copies[i];
        if (i % 3 != 0) {
            shared_set(i % 2 == 0 ? p.a : p.b, names[i], names[i]);
        }
    }
    fb_get_many(p.b, keys, COUNT, keep_copy, args, results);
    for (int i = 0; i < COUNT; i++) {
        assert_result(results[i], i % 3 != 0 ? FB_OK : FB_MISS);
        assert_true(i % 3 == 0 || strcmp(texts[i], names[i]) == 0);
    }
    pair_close(&p);
}

// ---- counters and edits are decided by the shared tier

typedef struct adder {
    fb_engine *engine;
    pthread_t thread;
    int failed, won;
} adder;

enum { ADDERS = 4, ADDS = 50 };

static int set_once(void *arg, fb_edit *edit) {
    (void)arg;
    if (edit->found) {
        return FB_MISS;
    }
    edit->action = FB_EDIT_PUT;
    edit->data = FB_STR("mine");
    return FB_OK;
}

static void *add_up(void *arg) {
    adder *one = arg;
    for (int i = 0; i < ADDS; i++) {
        int64_t number;
        char key[16];
        one->failed += fb_incr(one->engine, FB_STR("n"), 1, &number) != FB_OK;
        (void)snprintf(key, sizeof key, "once%d", i);
        int result = fb_edit_key(one->engine, fb_str_of(key), set_once, NULL);
        one->won += result == FB_OK;
        one->failed += result < 0;
    }
    return NULL;
}

static void test_shared__counters_and_edits_lose_nothing(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    adder adders[ADDERS];
    int won = 0;
    for (int i = 0; i < ADDERS; i++) {
        adders[i] = (adder){.engine = i % 2 == 0 ? p.a : p.b};
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_up, &adders[i]), 0);
    }
    for (int i = 0; i < ADDERS; i++) {
        pthread_join(adders[i].thread, NULL);
        assert_int_equal(adders[i].failed, 0);
        won += adders[i].won;
    }
    assert_int_equal(won, ADDS);
    int64_t number = 0;
    assert_ok(fb_incr(p.b, FB_STR("n"), 0, &number));
    assert_int_equal(number, ADDERS * ADDS);
    shared_set(p.a, "n", "no number");
    assert_result(fb_incr(p.b, FB_STR("n"), 1, &number), FB_ETYPE);
    shared_set(p.a, "n", "9223372036854775807");
    assert_result(fb_incr(p.b, FB_STR("n"), 1, &number), FB_ERANGE);
    pair_close(&p);
}

// ---- loads and invalidation

static void test_shared__a_cold_key_is_loaded_once(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    enum { CALLERS = 20 };
    pair p = pair_open(PATIENT);
    static asker askers[CALLERS];
    gate_set(&rig_gate, false);
    int before = atomic_load(&rig_gate.loads);
    for (int i = 0; i < CALLERS; i++) {
        asker_init(&askers[i], i % 2 == 0 ? p.a : p.b, NULL, "1");
        ask_apart(&askers[i]);
    }
    rig_until(atomic_load(&rig_gate.loads) > before);
    gate_open(&rig_gate);
    for (int i = 0; i < CALLERS; i++) {
        await_answer(&askers[i]);
        assert_ok(askers[i].result);
        assert_str(askers[i].value.data, "{\"kind\":\"a\",\"version\":0}");
        fb_value_release(&askers[i].value);
    }
    assert_int_equal(atomic_load(&rig_gate.loads), before + 1);
    pair_close(&p);
}

static void test_shared__invalidations_reach_the_other_node(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    static const fb_invalidation cases[] = {
        {FB_SCOPE_KEY, FB_STR_INIT("item:1"), false},
        {FB_SCOPE_PATTERN, FB_STR_INIT("it?m:*"), false},
        {FB_SCOPE_TAG, FB_STR_INIT("kind:a"), false},
        {FB_SCOPE_CLASS, FB_STR_INIT("item"), false},
        {FB_SCOPE_NAMESPACE, FB_STR_INIT("things"), false},
        {FB_SCOPE_ALL, FB_STR_INIT(""), false},
    };
    pair p = pair_open(PATIENT ", max_lag: 500ms");
    const fb_invalidate_options all = {.reach = FB_REACH_NODES, .timeout_ms = 20000};
    // Of a new log it is not known at first who lives.
    rig_until(fb_invalidate_to(p.a, &cases[0], &all, NULL, NULL) == FB_OK &&
              fb_invalidate_to(p.a, &cases[5], &all, NULL, NULL) == FB_OK);
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++) {
        char text[64];
        fb_receipt receipt;
        (void)snprintf(text, sizeof text, "{\"kind\":\"a\",\"version\":%d}", i);
        assert_fetched(p.a, "1", text);
        assert_fetched(p.b, "1", text);
        for (bool is_there = false; !is_there; is_there = in_memory(p.b, "item:1")) {
            assert_fetched(p.b, "1", text);
        }
        (void)snprintf(text, sizeof text, "UPDATE item SET version = %d WHERE id = 1", i + 1);
        rig_sql(text);
        // Of a node that a busy machine kept waiting it is not known whether it lives.
        int result = fb_invalidate_to(p.a, &cases[i], &all, NULL, &receipt);
        for (int tries = 0; tries < 5 && (result == FB_REFUSED || receipt.node_count == 0); tries++) {
            shared_await(p.b, FB_SHARED_CONNECTED);
            result = fb_invalidate_to(p.a, &cases[i], &all, NULL, &receipt);
        }
        assert_ok(result);
        assert_int_equal(receipt.reached, FB_REACH_NODES);
        assert_int_equal(receipt.node_count, 1);
        assert_false(in_memory(p.b, "item:1"));
        (void)snprintf(text, sizeof text, "{\"kind\":\"a\",\"version\":%d}", i + 1);
        assert_fetched(p.b, "1", text);
    }
    pair_close(&p);
}

static void test_shared__a_token_is_read_after(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    for (int i = 1; i <= 30; i++) {
        char text[64];
        fb_receipt receipt = {.reached = FB_REACH_DEFAULT};
        fb_set_options options = {.receipt = &receipt};
        fb_value value;
        (void)snprintf(text, sizeof text, "%d", i);
        assert_ok(fb_set(p.a, FB_STR("k"), fb_str_of(text), &options));
        assert_int_equal(receipt.reached, FB_REACH_SHARED);
        assert_true(receipt.token[0] != '\0');
        assert_ok(fb_get_after(p.b, FB_STR("k"), fb_str_of(receipt.token), &value));
        assert_str(value.data, text);
        fb_value_release(&value);

        fb_invalidation what = {.scope = i % 2 == 0 ? FB_SCOPE_KEY : FB_SCOPE_TAG,
                                .name = i % 2 == 0 ? FB_STR("item:1") : FB_STR("kind:a")};
        asker one;
        (void)snprintf(text, sizeof text, "UPDATE item SET version = %d WHERE id = 1", i);
        rig_sql(text);
        assert_ok(fb_invalidate_to(p.a, &what, NULL, NULL, &receipt));
        asker_init(&one, p.b, NULL, "1");
        one.request.after = fb_str_of(receipt.token);
        (void)snprintf(text, sizeof text, "{\"kind\":\"a\",\"version\":%d}", i);
        assert_asked(&one, text);
        fb_value_release(&one.value);
    }
    pair_close(&p);
}

static void test_shared__leases_are_of_all_nodes(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    fb_value value;
    uint64_t token, other;
    assert_result(fb_lease_get(p.a, FB_STR("k"), 0, &value, &token), FB_MISS);
    assert_result(fb_lease_get(p.b, FB_STR("k"), 0, &value, &other), FB_PENDING);
    assert_ok(fb_lease_fill(p.a, FB_STR("k"), token, FB_STR("x"), NULL));
    assert_ok(fb_lease_get(p.b, FB_STR("k"), 0, &value, &other));
    assert_str(value.data, "x");
    fb_value_release(&value);
    assert_result(fb_lease_get(p.a, FB_STR("l"), 0, &value, &token), FB_MISS);
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = FB_STR("l")};
    assert_ok(fb_invalidate(p.b, &what, NULL));
    assert_result(fb_lease_fill(p.a, FB_STR("l"), token, FB_STR("old"), NULL), FB_REFUSED);
    assert_shared(p.b, "l", "(miss)");
    pair_close(&p);
}

static void test_shared__versions_never_go_backwards(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    fb_set_options options = {.source_version = 5};
    assert_ok(fb_set(p.a, FB_STR("k"), FB_STR("5"), &options));
    options.source_version = 4;
    assert_result(fb_set(p.b, FB_STR("k"), FB_STR("4"), &options), FB_REFUSED);
    rig_until(shared_is(p.b, "k", "5"));
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = FB_STR("k")};
    fb_invalidate_options fence = {.source_version = 7};
    assert_ok(fb_invalidate_to(p.a, &what, &fence, NULL, NULL));
    options.source_version = 6;
    assert_result(fb_set(p.b, FB_STR("k"), FB_STR("6"), &options), FB_REFUSED);
    options.source_version = 7;
    assert_ok(fb_set(p.b, FB_STR("k"), FB_STR("7"), &options));
    pair_close(&p);
}

// ---- classes: order, layout

static void test_shared__shared_first_asks_there_first(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    for (int i = 0; i < 20; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        shared_set(p.a, "first:1", text);
        assert_shared(p.b, "first:1", text);  // at once: memory is not asked
    }
    shared_set(p.b, "first:2", "own");  // of the other one records may still come
    test_redis_kill(p.server);
    shared_await(p.b, FB_SHARED_AWAY);
    assert_shared(p.b, "first:2", "own");
    pair_close(&p);
}

static void test_shared__plain_layout_is_for_other_programs(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    shared_set(p.a, "plain:1", "bytes");
    assert_string_equal(test_redis_ask(p.server, "GET plain:1"), "bytes");
    assert_shared(p.b, "plain:1", "bytes");
    (void)test_redis_ask(p.server, "SET plain:1 theirs EX 100");
    rig_until(shared_is(p.b, "plain:1", "theirs") && shared_is(p.a, "plain:1", "theirs"));
    pair_close(&p);
}

// ---- trouble

static int64_t timed_ms(int64_t since_ms) {
    return test_redis_now_ms() - since_ms;
}

static void test_shared__away_at_the_start_it_works_in_memory(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    int port = server->port;
    test_redis_kill(server);
    fb_engine *engine = NULL;
    int64_t begin_ms;
    int tries = 0;
    do {
        fb_close(engine, 0);
        begin_ms = test_redis_now_ms();
        engine = shared_open(port, "");
    } while (timed_ms(begin_ms) >= SLACK_MS && ++tries < 3);
    assert_true(tries < 3);
    shared_set(engine, "k", "x");
    assert_shared(engine, "k", "x");
    assert_fetched(engine, "1", "{\"kind\":\"a\",\"version\":0}");
    shared_await(engine, FB_SHARED_AWAY);
    assert_true(shared_info(engine).why[0] != '\0');
    test_redis_start(server);
    shared_await(engine, FB_SHARED_CONNECTED);
    fb_engine *other = shared_open(port, PATIENT);
    shared_await(other, FB_SHARED_CONNECTED);
    shared_set(engine, "k", "y");
    rig_until(shared_is(other, "k", "y"));
    fb_close(engine, 1000);
    fb_close(other, 1000);
    test_redis_free(server);
}

static void test_shared__killed_and_back_what_is_owed_is_told(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("appendonly yes\nappendfsync always\n");
    fb_engine *a = shared_open(server->port, PATIENT), *b = shared_open(server->port, PATIENT);
    int64_t number = 0;
    shared_await(a, FB_SHARED_CONNECTED);
    shared_await(b, FB_SHARED_CONNECTED);
    shared_set(a, "k", "before");
    shared_set(a, "d", "before");
    shared_set(a, "n", "10");
    assert_shared(b, "k", "before");
    assert_shared(b, "d", "before");
    assert_shared(b, "n", "10");
    test_redis_kill(server);
    shared_await(a, FB_SHARED_AWAY);
    shared_await(b, FB_SHARED_AWAY);
    shared_set(a, "k", "during");
    assert_ok(fb_del(a, FB_STR("d")));
    assert_ok(fb_incr(a, FB_STR("n"), 5, &number));
    assert_int_equal(number, 15);
    assert_shared(a, "k", "during");
    assert_shared(a, "d", "(miss)");
    assert_true(shared_info(a).owed > 0);
    test_redis_start(server);
    shared_await(a, FB_SHARED_CONNECTED);
    shared_await(b, FB_SHARED_CONNECTED);
    rig_until(shared_info(a).owed == 0);
    rig_until(shared_is(b, "k", "during"));
    rig_until(shared_is(b, "d", "(miss)"));
    rig_until(shared_is(b, "n", "15"));
    fb_close(a, 1000);
    fb_close(b, 1000);
    test_redis_free(server);
}

static void test_shared__hung_every_call_keeps_its_deadline(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open("hard_timeout: 100ms");
    int64_t number;
    fb_value value;
    uint64_t token;
    fb_invalidation what = {.scope = FB_SCOPE_TAG, .name = FB_STR("kind:a")};
    shared_set(p.a, "k", "x");
    test_redis_stop(p.server);
    // Three turns in time; one that is not says nothing where a busy machine kept this program waiting.
    for (int turns = 0, late = 0; turns < 3;) {
        int64_t begin_ms = test_redis_now_ms();
        assert_shared(p.a, "none", "(miss)");
        shared_set(p.a, "k", "y");
        assert_shared(p.a, "k", "y");
        int result = fb_incr(p.a, FB_STR("n"), 1, &number);
        assert_true(result == FB_OK || result == FB_ETIMEDOUT);
        assert_fetched(p.a, "2", "{\"kind\":\"a\",\"version\":0}");
        assert_ok(fb_invalidate(p.a, &what, NULL));
        result = fb_lease_get(p.a, FB_STR("l"), 1, &value, &token);
        assert_true(result == FB_MISS || result == FB_PENDING);
        bool in_time = timed_ms(begin_ms) < 7 * 100 + SLACK_MS;
        turns += in_time;
        late += !in_time;
        assert_true(late < 3);
    }
    test_redis_continue(p.server);
    shared_await(p.a, FB_SHARED_CONNECTED);
    shared_await(p.b, FB_SHARED_CONNECTED);
    rig_until(shared_info(p.a).owed == 0);
    // Of a change that timed out nobody knows what became of it: it may have been dropped in the
    // end, but both nodes see the same, and nothing from before.
    rig_until(!shared_is(p.b, "k", "x") && shared_is(p.a, "k", "y") == shared_is(p.b, "k", "y"));
    shared_set(p.b, "k", "z");
    rig_until(shared_is(p.a, "k", "z"));
    pair_close(&p);
}

static void test_shared__emptied_nothing_old_is_left(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT ", max_lag: 400ms");
    shared_set(p.a, "k", "x");
    assert_shared(p.b, "k", "x");
    assert_string_equal(test_redis_ask(p.server, "FLUSHALL"), "OK");
    rig_until(shared_is(p.a, "k", "(miss)") && shared_is(p.b, "k", "(miss)"));
    shared_await(p.a, FB_SHARED_CONNECTED);
    shared_await(p.b, FB_SHARED_CONNECTED);
    rig_until(fb_set(p.a, FB_STR("k"), FB_STR("y"), NULL) == FB_OK && shared_is(p.b, "k", "y"));
    pair_close(&p);
}

// ---- a region that is kept

static fb_engine *open_kept(int port, const char *name) {
    char text[4096], more[256];
    (void)snprintf(more, sizeof more, "region: {file: '%s', keep: true}\n", name);
    shared_yaml(text, sizeof text, port, PATIENT);
    (void)strncat(text, more, sizeof text - strlen(text) - 1);
    return rig_open(text);
}

static void test_shared__a_kept_region_goes_on_where_it_was(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    test_redis *server = test_redis_new("");
    char name[96];
    (void)snprintf(name, sizeof name, "/dev/shm/forebay-test-%d", (int)getpid());
    fb_engine *a = open_kept(server->port, name);
    fb_engine *b = shared_open(server->port, PATIENT);
    shared_await(a, FB_SHARED_CONNECTED);
    shared_await(b, FB_SHARED_CONNECTED);
    shared_set(a, "same", "x");
    shared_set(a, "other", "x");
    fb_close(a, 1000);
    shared_set(b, "other", "y");
    a = open_kept(server->port, name);
    shared_await(a, FB_SHARED_CONNECTED);
    assert_true(in_memory(a, "same"));
    assert_false(in_memory(a, "other"));
    assert_shared(a, "other", "y");
    fb_close(a, 1000);
    fb_close(b, 1000);
    test_redis_free(server);
    (void)unlink(name);
    (void)strcat(name, ".lock");
    (void)unlink(name);
    (void)snprintf(name, sizeof name, "/dev/shm/forebay-test-%d.hints", (int)getpid());
    (void)unlink(name);
}

// ---- fibers

typedef struct session {
    fb_engine *engine;
    int run, set, got;
    atomic_bool done, begun;
    char text[64];
    pthread_t thread;
} session;

static void copy_text(void *arg, const fb_value *value) {
    (void)snprintf(arg, 64, "%.*s", FB_STR_ARG(value->data));
}

static void converse(void *arg) {
    session *one = arg;
    asker fetch;
    atomic_store(&one->begun, true);
    one->set = fb_set(one->engine, FB_STR("k"), FB_STR("fiber"), NULL);
    one->got = fb_get(one->engine, FB_STR("k"), copy_text, one->text);
    asker_init(&fetch, one->engine, NULL, "3");
    ask(&fetch);
    one->got += fetch.result;
    fb_value_release(&fetch.value);
    assert_ptr_equal((void *)one->thread, (void *)pthread_self());
    atomic_store(&one->done, true);
}

static void begin_session(void *arg) {
    session *one = arg;
    one->thread = pthread_self();
    one->run = fb_run(one->engine, converse, one);
}

static void test_shared__a_fiber_waits_while_its_loop_goes_on(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    enum { COUNT = 50 };
    pair p = pair_open(PATIENT);
    static session sessions[COUNT];
    for (int i = 0; i < COUNT; i++) {
        memset(&sessions[i], 0, sizeof sessions[i]);
        sessions[i].engine = p.a;
        assert_ok(fb_loop_post(p.a, (uint32_t)i % 2, begin_session, &sessions[i]));
    }
    for (int i = 0; i < COUNT; i++) {
        rig_until(atomic_load(&sessions[i].done));
        assert_result(sessions[i].set, FB_OK);
        assert_result(sessions[i].got, FB_OK);
        assert_string_equal(sessions[i].text, "fiber");
    }
    pair_close(&p);
}

static void without_fiber(void *arg) {
    session *one = arg;
    one->set = fb_set(one->engine, FB_STR("k"), FB_STR("no"), NULL);
    one->got = fb_get(one->engine, FB_STR("k"), copy_text, one->text);
    atomic_store(&one->done, true);
}

static void test_shared__a_loop_without_fiber_has_memory_alone(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    session one = {.engine = p.a};
    shared_set(p.a, "k", "x");
    assert_ok(fb_loop_post(p.a, 0, without_fiber, &one));
    rig_until(atomic_load(&one.done));
    assert_result(one.set, FB_EINVAL);
    assert_ok(one.got);
    assert_string_equal(one.text, "x");
    pair_close(&p);
}

static void test_shared__a_close_ends_what_waits(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    enum { COUNT = 20 };
    pair p = pair_open("hard_timeout: 50s");
    static session sessions[COUNT];
    test_redis_stop(p.server);
    for (int i = 0; i < COUNT; i++) {
        memset(&sessions[i], 0, sizeof sessions[i]);
        sessions[i].engine = p.a;
        assert_ok(fb_loop_post(p.a, (uint32_t)i % 2, begin_session, &sessions[i]));
    }
    for (int i = 0; i < COUNT; i++) {
        rig_until(atomic_load(&sessions[i].begun));
    }
    int64_t begin_ms = test_redis_now_ms();
    fb_close(p.a, 10);
    assert_true(timed_ms(begin_ms) < 10000);
    for (int i = 0; i < COUNT; i++) {
        assert_true(atomic_load(&sessions[i].done));
    }
    test_redis_continue(p.server);
    fb_close(p.b, 1000);
    test_redis_free(p.server);
}

// ---- memory

typedef struct opening {
    char text[4096];
} opening;

static int open_close(void *arg) {
    opening *how = arg;
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {0};
    int result = fb_config_new(&config);
    char path[96];
    rig_path(path, sizeof path, "test.yaml");
    if (result == FB_OK) {
        result = fb_config_read(config, fb_str_of(how->text), path, &error);
    }
    if (result == FB_OK) {
        result = fb_open(config, &engine, &error);
    }
    fb_close(engine, 0);
    fb_config_free(config);
    return result;
}

static void test_shared__without_memory_it_does_not_open(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    // Nobody listens there: what happens on the loops does not take part.
    static opening how;
    shared_yaml(how.text, sizeof how.text, 1, "");
    assert_ok(open_close(&how));
    for (size_t n = 1, failed = 1; failed != 0; n++) {
        test_memory *memory = test_memory_get();
        long live = memory->live;
        test_memory_fail(n);
        int result = open_close(&how);
        failed = memory->failed;
        test_memory_fail(0);
        if (memory->live != live || (result != FB_OK && (result != FB_ENOMEM || !failed))) {
            fail_msg("allocation %zu fails: %s, %ld left over", n, fb_result_name(result),
                     memory->live - live);
        }
    }
}

// ---- calls without memory

static void note_number(int result, int64_t number) {
    assert_true(result != FB_OK || number > 0);
    assert_true(result == FB_OK || result == FB_ENOMEM || result == FB_ETIMEDOUT ||
                result == FB_ETYPE);
}

static void may_fail(int result) {
    if (result < 0 && result != FB_ENOMEM && result != FB_ETIMEDOUT) {
        fail_msg("without memory: %s", fb_result_name(result));
    }
}

static void use_all(fb_engine *engine, int turn) {
    static const fb_scope scopes[] = {FB_SCOPE_KEY, FB_SCOPE_PATTERN, FB_SCOPE_TAG, FB_SCOPE_CLASS};
    static const char *const names[] = {"item:1", "it*", "kind:a", "item"};
    fb_invalidation what = {.scope = scopes[turn % 4], .name = fb_str_of(names[turn % 4])};
    fb_invalidate_options options = {.reach = turn % 3 == 0 ? FB_REACH_NODES : FB_REACH_DEFAULT};
    fb_str tag = FB_STR("t");
    fb_set_options set = {.tags = &tag, .tag_count = 1};
    fb_value value;
    int64_t number = 1;
    uint64_t token;
    asker one;
    may_fail(fb_set(engine, FB_STR("k"), FB_STR("x"), &set));
    may_fail(fb_get_copy(engine, FB_STR("none"), &value));
    may_fail(fb_get_copy(engine, FB_STR("k"), &value));
    fb_value_release(&value);
    int result = fb_incr(engine, FB_STR("n"), 1, &number);
    note_number(result, number);
    may_fail(fb_edit_key(engine, FB_STR("e"), set_once, NULL));
    asker_init(&one, engine, NULL, "1");
    ask(&one);
    may_fail(one.result);
    fb_value_release(&one.value);
    may_fail(fb_invalidate_to(engine, &what, &options, NULL, NULL));
    if (fb_lease_get(engine, FB_STR("l"), 0, &value, &token) == FB_MISS) {
        may_fail(fb_lease_fill(engine, FB_STR("l"), token, FB_STR("x"), NULL));
    }
    fb_value_release(&value);
    may_fail(fb_del(engine, FB_STR("l")));
    may_fail(fb_del(engine, FB_STR("e")));
}

static void test_shared__without_memory_calls_fail_and_the_next_succeed(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open("hard_timeout: 2s, max_lag: 500ms");
    for (int turn = 0; turn < 400; turn++) {
        test_memory_fail((size_t)turn % 200 + 1);
        use_all(turn % 2 == 0 ? p.a : p.b, turn);
    }
    test_memory_fail(0);
    shared_await(p.a, FB_SHARED_CONNECTED);
    shared_await(p.b, FB_SHARED_CONNECTED);
    rig_until(shared_info(p.a).owed + shared_info(p.b).owed == 0);
    shared_set(p.a, "k", "at last");
    rig_until(shared_is(p.b, "k", "at last"));
    pair_close(&p);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        rig_test(test_shared__what_one_sets_the_other_gets),
        rig_test(test_shared__many_are_got_at_once),
        rig_test(test_shared__counters_and_edits_lose_nothing),
        rig_test(test_shared__a_cold_key_is_loaded_once),
        rig_test(test_shared__invalidations_reach_the_other_node),
        rig_test(test_shared__a_token_is_read_after),
        rig_test(test_shared__leases_are_of_all_nodes),
        rig_test(test_shared__versions_never_go_backwards),
        rig_test(test_shared__shared_first_asks_there_first),
        rig_test(test_shared__plain_layout_is_for_other_programs),
        rig_test(test_shared__away_at_the_start_it_works_in_memory),
        rig_test(test_shared__killed_and_back_what_is_owed_is_told),
        rig_test(test_shared__hung_every_call_keeps_its_deadline),
        rig_test(test_shared__emptied_nothing_old_is_left),
        rig_test(test_shared__a_kept_region_goes_on_where_it_was),
        rig_test(test_shared__a_fiber_waits_while_its_loop_goes_on),
        rig_test(test_shared__a_loop_without_fiber_has_memory_alone),
        rig_test(test_shared__a_close_ends_what_waits),
        rig_test(test_shared__without_memory_it_does_not_open),
        rig_test(test_shared__without_memory_calls_fail_and_the_next_succeed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
