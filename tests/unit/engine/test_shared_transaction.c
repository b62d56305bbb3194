// Transactions of several engines over one Redis: all or nothing, only if nothing that was watched or
// read has changed, and with what was read before.

#include "shared_rig.h"

#define PATIENT "hard_timeout: 10s, soft_timeout: 100ms"

typedef struct pair {
    test_redis *server;
    fb_engine *a, *b;
    fb_transaction *on_a;
} pair;

static pair pair_open(const char *more) {
    pair p = {.server = test_redis_new("")};
    p.a = shared_open(p.server->port, more);
    p.b = shared_open(p.server->port, more);
    shared_await(p.a, FB_SHARED_CONNECTED);
    shared_await(p.b, FB_SHARED_CONNECTED);
    assert_ok(fb_transaction_new(p.a, &p.on_a));
    return p;
}

static void pair_close(pair *p) {
    fb_transaction_free(p->on_a);
    fb_close(p->a, 1000);
    fb_close(p->b, 1000);
    test_redis_free(p->server);
}

static int watch(pair *p, const char *key) {
    fb_error error = {0};
    return fb_transaction_watch(p->on_a, fb_str_of(key), &error);
}

static void ignore(int result) {
    (void)result;  // what went wrong the transaction says
}

static int run(pair *p, void (*fn)(void *arg), void *arg) {
    fb_error error = {0};
    int result = fb_transaction_run(p->on_a, fn, arg, &error);
    assert_true(result >= 0 || error.text[0] != '\0');
    return result;
}

// ---- what is done

static void set_two(void *arg) {
    pair *p = arg;
    shared_set(p->a, "x", "1");
    shared_set(p->a, "y", "2");
    assert_shared(p->a, "x", "1");       // inside it is there
    assert_shared(p->b, "x", "(miss)");  // for nobody else yet
}

static void test_transaction__all_is_done_in_one_step(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    for (int i = 0; i < 20; i++) {
        assert_true(fb_del(p.a, FB_STR("x")) >= 0);
        shared_set(p.a, "y", "0");
        rig_until(shared_is(p.b, "x", "(miss)"));
        assert_ok(run(&p, set_two, &p));
        assert_shared(p.a, "x", "1");  // at once, whatever memory had
        assert_shared(p.a, "y", "2");
        rig_until(shared_is(p.b, "x", "1") && shared_is(p.b, "y", "2"));
    }
    pair_close(&p);
}

static void take_number(void *arg, const fb_value *value) {
    char text[32];
    (void)snprintf(text, sizeof text, "%.*s", FB_STR_ARG(value->data));
    *(int *)arg = atoi(text);
}

static void read_and_write(void *arg) {
    pair *p = arg;
    int64_t number = 0, ttl_ms = 0;
    fb_str keys[] = {FB_STR("n"), FB_STR("none"), FB_STR("n")};
    int copies[3] = {0};
    void *args[] = {&copies[0], &copies[1], &copies[2]};
    int results[3];
    fb_str tag = FB_STR("red");
    fb_set_options with = {.ttl_ms = 50000, .tags = &tag, .tag_count = 1};
    assert_ok(fb_incr(p->a, FB_STR("n"), 5, &number));
    assert_int_equal(number, 15);
    assert_ok(fb_incr(p->a, FB_STR("n"), 1, &number));
    fb_get_many(p->a, keys, 3, take_number, args, results);
    assert_ok(results[0]);
    assert_result(results[1], FB_MISS);
    assert_int_equal(copies[0], 16);
    assert_int_equal(copies[2], 16);
    assert_ok(fb_set(p->a, FB_STR("t"), FB_STR("tagged"), &with));
    assert_ok(fb_ttl(p->a, FB_STR("t"), &ttl_ms));
    assert_true(ttl_ms > 0 && ttl_ms <= 50000);
    assert_ok(fb_del(p->a, FB_STR("gone")));
    assert_result(fb_del(p->a, FB_STR("gone")), FB_MISS);
    assert_result(fb_exists(p->a, FB_STR("gone")), FB_MISS);
    assert_ok(fb_expire(p->a, FB_STR("ends"), 70000));
    assert_ok(fb_ttl(p->a, FB_STR("ends"), &ttl_ms));
    assert_true(ttl_ms > 60000 && ttl_ms <= 70000);
    assert_result(fb_expire(p->a, FB_STR("none"), 70000), FB_MISS);
    assert_ok(fb_set(p->a, FB_STR("brief"), FB_STR("new"), NULL));
    assert_ok(fb_expire(p->a, FB_STR("brief"), -1));
    assert_result(fb_exists(p->a, FB_STR("brief")), FB_MISS);
    assert_result(fb_incr(p->a, FB_STR("ends"), 1, &number), FB_ETYPE);  // that call alone
}

static void test_transaction__each_call_does_what_it_does_elsewhere(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    int64_t ttl_ms = 0;
    shared_set(p.b, "n", "10");
    shared_set(p.b, "gone", "1");
    shared_set(p.b, "ends", "never");
    shared_set(p.b, "brief", "old");
    assert_ok(run(&p, read_and_write, &p));
    for (int i = 0; i < 2; i++) {
        fb_engine *engine = i == 0 ? p.a : p.b;
        rig_until(shared_is(engine, "n", "16") && shared_is(engine, "gone", "(miss)") &&
                  shared_is(engine, "brief", "(miss)") && shared_is(engine, "t", "tagged"));
        assert_ok(fb_ttl(engine, FB_STR("t"), &ttl_ms));
        assert_true(ttl_ms > 0 && ttl_ms <= 50000);
        rig_until(fb_ttl(engine, FB_STR("ends"), &ttl_ms) == FB_OK && ttl_ms > 0);
        assert_true(ttl_ms <= 70000);
        assert_shared(engine, "ends", "never");
    }
    fb_invalidation red = {.scope = FB_SCOPE_TAG, .name = FB_STR("red")};
    assert_ok(fb_invalidate(p.b, &red, NULL));
    rig_until(shared_is(p.a, "t", "(miss)"));
    pair_close(&p);
}

typedef struct blind {
    fb_engine *engine;
    int result, calls;
    fb_str key, value;
    fb_set_options options;
} blind;

static void set_one(void *arg) {
    blind *one = arg;
    one->calls++;
    one->result = fb_set(one->engine, one->key, one->value, &one->options);
}

static void test_transaction__keys_and_values_are_bytes(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    const fb_str names[] = {FB_STR(""), {"\0{\xff\r\n}", 6}, FB_STR("{tag}key")};
    fb_value value;
    for (int i = 0; i < 3; i++) {
        blind one = {.engine = p.a, .key = names[i], .value = {"\0\r\n*", 4}};
        assert_ok(run(&p, set_one, &one));
        assert_ok(one.result);
        assert_ok(fb_get_copy(p.b, names[i], &value));
        assert_int_equal(value.data.len, 4);
        assert_memory_equal(value.data.ptr, "\0\r\n*", 4);
        fb_value_release(&value);
    }
    pair_close(&p);
}

// A key of a class keeps the class's time, and other nodes judge it by its class.
static void test_transaction__keys_of_classes(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    int64_t ttl_ms = 0;
    blind one = {.engine = p.a, .key = FB_STR("mine:1"), .value = FB_STR("v")};
    assert_ok(run(&p, set_one, &one));
    assert_shared(p.b, "mine:1", "v");
    assert_ok(fb_ttl(p.b, FB_STR("mine:1"), &ttl_ms));
    assert_true(ttl_ms > 0 && ttl_ms <= 3600 * 1000);
    fb_invalidation all = {.scope = FB_SCOPE_CLASS, .name = FB_STR("mine")};
    assert_ok(fb_invalidate(p.b, &all, NULL));
    rig_until(shared_is(p.a, "mine:1", "(miss)"));
    pair_close(&p);
}

// ---- what is refused

static void test_transaction__a_watched_key_that_changed_refuses_it(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    blind one = {.engine = p.a, .key = FB_STR("out"), .value = FB_STR("done")};
    fb_str tag = FB_STR("t");
    fb_set_options tagged = {.tags = &tag, .tag_count = 1};
    fb_invalidation by_tag = {.scope = FB_SCOPE_TAG, .name = tag};
    for (int i = 0; i < 6; i++) {
        int64_t number;
        assert_ok(fb_set(p.b, FB_STR("k"), FB_STR("7"), &tagged));
        assert_ok(watch(&p, "k"));
        assert_ok(watch(&p, "absent"));
        fb_engine *other = i % 2 == 0 ? p.a : p.b;
        switch (i) {
            case 0:
                shared_set(other, "k", "7");  // the same value, but stored anew
                break;
            case 1:
                assert_ok(fb_del(other, FB_STR("k")));
                break;
            case 2:
                assert_ok(fb_incr(other, FB_STR("k"), 1, &number));
                break;
            case 3:
                assert_ok(fb_expire(other, FB_STR("k"), 100000));
                break;
            case 4:
                assert_ok(fb_invalidate(other, &by_tag, NULL));
                break;
            default:
                shared_set(other, "absent", "not any more");
        }
        assert_result(run(&p, set_one, &one), FB_REFUSED);
        assert_int_equal(one.calls, 0);
        assert_shared(p.a, "out", "(miss)");
        assert_shared(p.b, "out", "(miss)");
        assert_true(fb_del(p.b, FB_STR("absent")) >= 0);
    }
    assert_ok(run(&p, set_one, &one));  // nothing is watched any more
    assert_shared(p.a, "out", "done");
    pair_close(&p);
}

typedef struct meddler {
    pair *p;
    int calls;
    int64_t number;
} meddler;

// Somebody changes what it has read: the first time.
static void read_then_meddle(void *arg) {
    meddler *one = arg;
    assert_ok(fb_incr(one->p->a, FB_STR("n"), 1, &one->number));
    shared_set(one->p->a, "out", "done");
    if (one->calls++ == 0) {
        shared_set(one->p->b, "n", "100");
    }
}

static void test_transaction__what_it_read_and_did_not_watch_is_read_anew(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    meddler one = {.p = &p};
    shared_set(p.a, "n", "1");
    assert_ok(run(&p, read_then_meddle, &one));
    assert_int_equal(one.calls, 2);
    assert_int_equal(one.number, 101);
    assert_shared(p.a, "n", "101");
    one.calls = 0;
    assert_ok(watch(&p, "n"));
    assert_result(run(&p, read_then_meddle, &one), FB_REFUSED);
    assert_int_equal(one.calls, 1);
    rig_until(shared_is(p.a, "n", "100"));
    pair_close(&p);
}

// What it stores is as old as what it read: an invalidation while it ran overtakes it.
static void invalidate_inside(void *arg) {
    pair *p = arg;
    fb_str tag = FB_STR("red");
    fb_set_options with = {.tags = &tag, .tag_count = 1};
    fb_invalidation red = {.scope = FB_SCOPE_TAG, .name = tag};
    assert_result(fb_exists(p->a, FB_STR("read")), FB_MISS);
    assert_ok(fb_set(p->a, FB_STR("k"), FB_STR("made of old"), &with));
    assert_ok(fb_invalidate(p->b, &red, NULL));
}

static void test_transaction__a_wide_invalidation_overtakes_it(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    assert_ok(run(&p, invalidate_inside, &p));
    assert_shared(p.b, "k", "(miss)");
    rig_until(shared_is(p.a, "k", "(miss)"));
    pair_close(&p);
}

static char long_name[FB_KEY_LEN_MAX + 2];

static void look_for_too_long_a_key(void *arg) {
    pair *p = arg;
    fb_value value;
    int64_t ttl_ms;
    fb_str key = fb_str_of(long_name);
    assert_result(fb_get_copy(p->a, key, &value), FB_MISS);
    assert_result(fb_ttl(p->a, key, &ttl_ms), FB_MISS);
    assert_result(fb_del(p->a, key), FB_MISS);
    assert_ok(fb_set(p->a, FB_STR("k"), FB_STR("done"), NULL));
}

static void test_transaction__what_cannot_be_is_said(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    memset(long_name, 'k', sizeof long_name - 1);
    assert_result(watch(&p, "plain:1"), FB_EINVAL);
    assert_result(watch(&p, long_name), FB_ETOOBIG);
    blind plain = {.engine = p.a, .key = FB_STR("plain:1"), .value = FB_STR("v")};
    assert_result(run(&p, set_one, &plain), FB_EINVAL);
    assert_result(plain.result, FB_EINVAL);
    assert_shared(p.a, "plain:1", "(miss)");
    // What a call alone is wrong about ends nothing.
    fb_str none = FB_STR("");
    blind bad = {.engine = p.a, .key = FB_STR("k"), .value = FB_STR("v")};
    bad.options = (fb_set_options){.tags = &none, .tag_count = 1};
    assert_ok(run(&p, set_one, &bad));
    assert_result(bad.result, FB_EINVAL);
    fb_str reserved = FB_STR("\001mine");
    bad.options.tags = &reserved;
    assert_ok(run(&p, set_one, &bad));
    assert_result(bad.result, FB_EINVAL);
    bad.options = (fb_set_options){.source_version = 7};
    assert_ok(run(&p, set_one, &bad));
    assert_result(bad.result, FB_EINVAL);
    assert_shared(p.a, "k", "(miss)");
    assert_ok(run(&p, look_for_too_long_a_key, &p));
    assert_shared(p.a, "k", "done");

    fb_engine *alone = rig_open("memory: 4MiB\n");
    fb_transaction *none_such = NULL;
    assert_result(fb_transaction_new(alone, &none_such), FB_EINVAL);
    assert_null(none_such);
    fb_transaction_free(none_such);
    fb_close(alone, 1000);
    pair_close(&p);
}

typedef struct many {
    fb_engine *engine;
    int count, refused;
} many;

static void set_many(void *arg) {
    many *all = arg;
    all->refused = 0;
    for (int i = 0; i < all->count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "m%d", i);
        all->refused += fb_set(all->engine, fb_str_of(name), fb_str_of(name), NULL) == FB_ETOOBIG;
    }
}

static void test_transaction__as_many_keys_as_are_allowed(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    many all = {.engine = p.a, .count = FB_TRANSACTION_KEYS_MAX + 1};
    assert_result(run(&p, set_many, &all), FB_ETOOBIG);
    assert_int_equal(all.refused, 1);
    assert_shared(p.b, "m0", "(miss)");
    all.count = FB_TRANSACTION_KEYS_MAX;
    assert_ok(run(&p, set_many, &all));
    assert_shared(p.b, "m0", "m0");
    assert_shared(p.b, "m1023", "m1023");
    pair_close(&p);
}

// ---- one inside another, and beside

typedef struct nested {
    pair *p;
    fb_transaction *inner;
    int watched, ran;
} nested;

static void set_z(void *arg) {
    nested *one = arg;
    shared_set(one->p->b, "z", "inner");
}

static void nest(void *arg) {
    nested *one = arg;
    fb_error error = {0};
    shared_set(one->p->a, "x", "outer");
    one->watched = fb_transaction_watch(one->p->on_a, FB_STR("x"), &error);
    one->ran = fb_transaction_run(one->inner, set_z, one, &error);
    shared_set(one->p->a, "y", "outer");
    assert_shared(one->p->b, "y", "(miss)");  // not yet: it is still inside
}

static void test_transaction__another_engine_s_inside_it_is_its_own(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    nested one = {.p = &p};
    assert_ok(fb_transaction_new(p.b, &one.inner));
    assert_ok(run(&p, nest, &one));
    assert_result(one.watched, FB_EINVAL);
    assert_ok(one.ran);
    assert_shared(p.a, "x", "outer");
    assert_shared(p.a, "y", "outer");
    assert_shared(p.a, "z", "inner");
    fb_transaction_free(one.inner);
    pair_close(&p);
}

// Of the same engine it is part of the one around it.
static void nest_here(void *arg) {
    nested *one = arg;
    fb_error error = {0};
    blind inner = {.engine = one->p->a, .key = FB_STR("y"), .value = FB_STR("inner")};
    one->ran = fb_transaction_run(one->inner, set_one, &inner, &error);
    assert_shared(one->p->a, "y", "inner");
    assert_shared(one->p->b, "y", "(miss)");
}

static void test_transaction__one_of_its_own_engine_is_part_of_it(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    nested one = {.p = &p};
    assert_ok(fb_transaction_new(p.a, &one.inner));
    assert_ok(run(&p, nest_here, &one));
    assert_ok(one.ran);
    assert_shared(p.a, "y", "inner");
    fb_transaction_free(one.inner);
    pair_close(&p);
}

// ---- without Redis

// Keys of both loops, looked at in one go.
static void get_many(void *arg) {
    pair *p = arg;
    fb_str keys[] = {FB_STR("1"), FB_STR("2"), FB_STR("3"), FB_STR("4"), FB_STR("5"), FB_STR("6")};
    int unused[6], results[6];
    void *args[] = {unused, unused, unused, unused, unused, unused};
    fb_get_many(p->a, keys, 6, take_number, args, results);
    for (int i = 0; i < 6; i++) {
        assert_result(results[i], FB_EIO);
    }
}

static void test_transaction__without_redis_nothing_is_done(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open("hard_timeout: 500ms, soft_timeout: 100ms");
    blind one = {.engine = p.a, .key = FB_STR("k"), .value = FB_STR("v")};
    fb_error error = {0};
    assert_ok(watch(&p, "w"));
    test_redis_kill(p.server);
    shared_await(p.a, FB_SHARED_AWAY);
    assert_result(run(&p, set_one, &one), FB_EIO);
    assert_int_equal(one.calls, 0);  // the look at what is watched has failed
    assert_result(run(&p, get_many, &p), FB_EIO);
    assert_result(watch(&p, "k"), FB_EIO);
    assert_result(fb_transaction_run(p.on_a, set_one, &one, &error), FB_EIO);
    assert_non_null(strstr(error.text, "shared tier"));
    // A SET meanwhile is owed. Whatever comes first afterwards, that is not undone by it.
    shared_set(p.a, "k", "owed");
    test_redis_start(p.server);
    one.value = FB_STR("last");
    rig_until(run(&p, set_one, &one) == FB_OK);
    shared_await(p.a, FB_SHARED_CONNECTED);
    shared_await(p.b, FB_SHARED_CONNECTED);
    // It came back empty: a node that finds that out later voids what was stored before.
    assert_false(shared_is(p.a, "k", "owed"));
    assert_false(shared_is(p.b, "k", "owed"));
    pair_close(&p);
}

// ---- a fiber as the caller

typedef struct talk {
    pair *p;
    blind one;
    int result;
    atomic_bool begun, over;
} talk;

static void run_as_fiber(void *arg) {
    talk *it = arg;
    it->result = run(it->p, set_one, &it->one);
    atomic_store(&it->over, true);
}

static void begin_fiber(void *arg) {
    talk *it = arg;
    int result = fb_run(it->p->a, run_as_fiber, it);
    assert_true(result == FB_PENDING || result == FB_OK);
}

static void test_transaction__a_fiber_runs_one_too(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open(PATIENT);
    talk it = {.p = &p, .one = {.engine = p.a, .key = FB_STR("k"), .value = FB_STR("v")}};
    assert_ok(fb_loop_post(p.a, 0, begin_fiber, &it));
    rig_until(atomic_load(&it.over));
    assert_ok(it.result);
    assert_shared(p.b, "k", "v");
    pair_close(&p);
}

// Who waits while the engine is closed is told so, in time.
static void begin_and_tell(void *arg) {
    talk *it = arg;
    atomic_store(&it->begun, true);
    begin_fiber(arg);
}

static void test_transaction__a_close_ends_one_that_waits(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open("hard_timeout: 50s");
    talk it = {.p = &p, .one = {.engine = p.a, .key = FB_STR("k"), .value = FB_STR("v")}};
    test_redis_stop(p.server);
    assert_ok(fb_loop_post(p.a, 0, begin_and_tell, &it));
    rig_until(atomic_load(&it.begun));
    fb_close(p.a, 10);
    assert_true(atomic_load(&it.over));
    assert_result(it.result, FB_ECLOSED);
    fb_transaction_free(p.on_a);
    test_redis_continue(p.server);
    fb_close(p.b, 1000);
    test_redis_free(p.server);
}

// ---- memory

static void change_several(void *arg) {
    pair *p = arg;
    int64_t number;
    fb_str tag = FB_STR("red");
    fb_set_options with = {.tags = &tag, .tag_count = 1};
    ignore(fb_set(p->a, FB_STR("x"), FB_STR("1"), &with));
    ignore(fb_incr(p->a, FB_STR("y"), 1, &number));
    ignore(fb_set(p->a, FB_STR("z"), FB_STR("1"), NULL));
}

// Wherever memory lacks: all of it or nothing.
static void test_transaction__without_memory_nothing_is_done_by_halves(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open("hard_timeout: 5s, max_lag: 500ms");
    int done = 0;
    for (size_t turn = 1; turn <= 120; turn++) {
        fb_error error = {0};
        test_memory_fail(turn);
        int result = fb_transaction_watch(p.on_a, FB_STR("w"), &error);
        if (result == FB_OK) {
            result = fb_transaction_run(p.on_a, change_several, &p, &error);
        }
        test_memory_fail(0);
        shared_await(p.a, FB_SHARED_CONNECTED);
        bool all = shared_is(p.a, "x", "1") && shared_is(p.a, "y", "1") && shared_is(p.a, "z", "1");
        bool none = shared_is(p.a, "x", "(miss)") && shared_is(p.a, "y", "(miss)") &&
                    shared_is(p.a, "z", "(miss)");
        if (result == FB_OK || result == FB_ETIMEDOUT ? !all && !(none && result < 0) : !none) {
            fail_msg("allocation %zu fails: %s (%s), all %d, none %d", turn,
                     fb_result_name(result), error.text, all, none);
        }
        done += result == FB_OK;
        assert_true(fb_del(p.a, FB_STR("x")) >= 0 && fb_del(p.a, FB_STR("y")) >= 0 &&
                    fb_del(p.a, FB_STR("z")) >= 0);
    }
    assert_true(done > 0 && done < 120);
    pair_close(&p);
}

#define TEST(name) rig_test(test_transaction__##name)

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        TEST(all_is_done_in_one_step),
        TEST(each_call_does_what_it_does_elsewhere),
        TEST(keys_and_values_are_bytes),
        TEST(keys_of_classes),
        TEST(a_watched_key_that_changed_refuses_it),
        TEST(what_it_read_and_did_not_watch_is_read_anew),
        TEST(a_wide_invalidation_overtakes_it),
        TEST(what_cannot_be_is_said),
        TEST(as_many_keys_as_are_allowed),
        TEST(another_engine_s_inside_it_is_its_own),
        TEST(one_of_its_own_engine_is_part_of_it),
        TEST(without_redis_nothing_is_done),
        TEST(a_close_ends_one_that_waits),
        TEST(without_memory_nothing_is_done_by_halves),
        TEST(a_fiber_runs_one_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
