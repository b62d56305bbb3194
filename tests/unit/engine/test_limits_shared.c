// Limits of several nodes over one Redis: together they admit what the limit says, and each answers
// where Redis does not.

#include "limits_rig.h"
#include "redis_server.h"
#include "shared_rig.h"

// Patient rules, for tests that are not about time.
#define LIMITS                                                                                    \
    "limits:\n"                                                                                   \
    "  calls: {limit: 5, window: 10m, timeout: 10s, tiers: {premium: {limit: 8}}}\n"              \
    "  many: {limit: 200, window: 10m, timeout: 10s}\n"                                           \
    "  drip: {algorithm: token, limit: 100, window: 100h, burst: 7, timeout: 10s}\n"              \
    "  plan: {algorithm: fixed, limit: 6, calendar: year, timeout: 10s}\n"                        \
    "  jobs: {algorithm: slots, limit: 2, window: 10m, timeout: 10s, exempt: ['vip*']}\n"         \
    "  listed: {limit: 2, window: 10m, timeout: 10s, exempt: ['vip*'], deny: ['bad*'],\n"         \
    "           tiers: {staff: {exempt: true}}}\n"                                               \
    "  hot: {limit: 300, window: 10m, chunk: 20, timeout: 10s}\n"                                 \
    "  seen: {limit: 1, window: 10m, shadow: true, timeout: 10s}\n"                               \
    "  soon: {limit: 5, window: 10m, timeout: 50ms, instances: 2}\n"                              \
    "  open: {limit: 5, window: 10m, timeout: 50ms, on_store_error: open}\n"                      \
    "  shut: {limit: 5, window: 10m, timeout: 50ms, on_store_error: closed}\n"                    \
    "  leases: {algorithm: slots, limit: 2, window: 10m, timeout: 50ms}\n"

static fb_engine *open_node(int port) {
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "memory: 1MiB\nloops: 2\nworkers: 1\n"
                   "redis: {url: 'redis://127.0.0.1:%d', partitions: 2}\n" LIMITS,
                   port);
    return rig_open(text);
}

typedef struct pair {
    test_redis *server;
    fb_engine *nodes[2];
} pair;

static pair pair_open(void) {
    pair p = {.server = test_redis_new("")};
    for (int i = 0; i < 2; i++) {
        p.nodes[i] = open_node(p.server->port);
    }
    for (int i = 0; i < 2; i++) {
        shared_await(p.nodes[i], FB_SHARED_CONNECTED);
    }
    return p;
}

static void pair_close(pair *p) {
    fb_close(p->nodes[0], 0);
    fb_close(p->nodes[1], 0);
    test_redis_free(p->server);
}

// ---- together

static void test_limits_shared__nodes_admit_the_limit_together(void **state) {
    static const struct {
        const char *rule;
        int limit;
    } cases[] = {{"calls", 5}, {"many", 200}, {"drip", 7}, {"plan", 6}};
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_verdict verdict;
        int admitted = 0;
        for (int turn = 0; turn < 2 * cases[i].limit + 4; turn++) {
            admitted += limits_pass_one(p.nodes[turn % 2], cases[i].rule, "k");
        }
        assert_int_equal(admitted, cases[i].limit);
        assert_result(limits_ask(p.nodes[0], cases[i].rule, "k", 1, 0, &verdict), FB_LIMITED);
        assert_true(verdict.retry_us >= 1);
        assert_false(verdict.degraded);
        assert_result(limits_ask(p.nodes[1], cases[i].rule, "other", 1, 0, &verdict), FB_OK);
        assert_int_equal(verdict.source, FB_LIMIT_BY_SHARED);
        assert_int_equal(verdict.remaining, cases[i].limit - 1);
    }
    pair_close(&p);
}

static void test_limits_shared__denials_are_remembered(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_verdict verdict;
    assert_int_equal(limits_admitted(p.nodes[0], "calls", "k", 5), 5);
    rig_until(limits_ask(p.nodes[0], "calls", "k", 1, 0, &verdict) == FB_LIMITED &&
              verdict.source == FB_LIMIT_BY_REMEMBERED);
    assert_true(verdict.retry_us >= 1 && verdict.limit == 5 && verdict.remaining == 0);
    assert_true(limits_figures(p.nodes[0], "calls").remembered >= 1);
    assert_int_equal(limits_figures(p.nodes[0], "calls").degraded, 0);
    pair_close(&p);
}

static void test_limits_shared__several_are_charged_all_or_none(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    // Two of one key, which are one step; one of another key, which is the last one asked.
    fb_limit_question all[4] = {limits_question("many", "a", 10), limits_question("drip", "a", 1),
                                limits_question("seen", "a", 1), limits_question("calls", "b", 3)};
    fb_verdict verdicts[4];
    assert_result(fb_limit_check(p.nodes[0], all, 4, 0, verdicts, NULL), FB_OK);
    for (int i = 0; i < 3; i++) {
        assert_result(fb_limit_check(p.nodes[i % 2], all, 4, 0, verdicts, NULL), FB_LIMITED);
        assert_true(verdicts[0].allowed && verdicts[1].allowed && verdicts[2].allowed);
        assert_true(verdicts[2].denied && !verdicts[3].allowed);
        if (verdicts[3].source == FB_LIMIT_BY_REMEMBERED) {
            assert_int_equal(verdicts[0].source, FB_LIMIT_BY_OPEN);  // nobody was asked
        } else {
            assert_int_equal(verdicts[0].remaining, 190);
        }
    }
    assert_int_equal(limits_left(p.nodes[1], "many", "a"), 190);
    assert_int_equal(limits_left(p.nodes[1], "drip", "a"), 6);
    assert_int_equal(limits_left(p.nodes[1], "calls", "b"), 2);
    all[1].cost = 9;  // impossible: of the same key
    assert_result(fb_limit_check(p.nodes[1], all, 2, 0, verdicts, NULL), FB_LIMITED);
    assert_true(verdicts[1].impossible && verdicts[0].allowed);
    assert_int_equal(limits_left(p.nodes[0], "many", "a"), 190);
    assert_int_equal(limits_figures(p.nodes[0], "seen").charged, 1);
    pair_close(&p);
}

static void test_limits_shared__a_refund_and_a_reset_are_for_all(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_limit_question two = limits_question("calls", "k", 2);
    fb_limit_question premium = limits_question("calls", "k", 8);
    fb_verdict verdict;
    fb_error error;
    premium.tier = FB_STR("premium");
    assert_int_equal(limits_admitted(p.nodes[0], "calls", "k", 5), 5);
    assert_ok(fb_limit_refund(p.nodes[1], &two, &verdict, &error));
    assert_int_equal(verdict.remaining, 2);
    assert_int_equal(limits_admitted(p.nodes[1], "calls", "k", 5), 2);
    assert_result(fb_limit_check(p.nodes[0], &premium, 1, 0, &verdict, &error), FB_OK);
    assert_ok(fb_limit_reset(p.nodes[0], FB_STR("calls"), FB_STR("k"), &error));
    assert_int_equal(limits_left(p.nodes[0], "calls", "k"), 5);
    assert_result(fb_limit_check(p.nodes[0], &premium, 1, 0, &verdict, &error), FB_OK);
    // The other node remembers for a second at most.
    rig_until(limits_pass_one(p.nodes[1], "calls", "k"));
    assert_int_equal(limits_left(p.nodes[0], "calls", "k"), 4);
    pair_close(&p);
}

static void set_override(fb_engine *engine, fb_limit_override_kind kind, uint32_t limit) {
    fb_limit_override override = {.kind = kind, .limit = limit, .for_ms = 600000};
    fb_error error = {0};
    if (fb_limit_override_set(engine, FB_STR("calls"), FB_STR("k"), &override, &error) < 0) {
        fail_msg("%s", error.text);
    }
}

// Not as if it had not answered: who is told why can do something about it.
static void test_limits_shared__a_refusal_is_told_in_its_words(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_limit_question two = limits_question("calls", "k", 2), job = limits_question("jobs", "k", 1);
    fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_DENY, .for_ms = 600000};
    fb_verdict verdict;
    fb_error error;
    uint64_t token = 0;
    assert_int_equal(limits_admitted(p.nodes[0], "calls", "k", 5), 5);
    assert_ok(fb_slot_acquire(p.nodes[0], &job, 0, &token, &verdict, &error));
    assert_int_equal(verdict.source, FB_LIMIT_BY_SHARED);
    (void)test_redis_ask(p.server, "CONFIG SET maxmemory 1");
    assert_result(fb_limit_refund(p.nodes[0], &two, &verdict, &error), FB_EIO);
    assert_non_null(strstr(error.text, "the shared tier did not do it: OOM "));
    assert_result(fb_limit_override_set(p.nodes[0], two.rule, two.key, &override, &error), FB_EIO);
    assert_non_null(strstr(error.text, "the shared tier did not do it: OOM "));
    assert_result(fb_slot_renew(p.nodes[0], &job, token, 0, &error), FB_EIO);
    assert_non_null(strstr(error.text, "the shared tier did not do it: OOM "));
    (void)test_redis_ask(p.server, "CONFIG SET maxmemory 0");
    assert_ok(fb_limit_refund(p.nodes[0], &two, &verdict, &error));
    assert_int_equal(verdict.remaining, 2);
    pair_close(&p);
}

static void test_limits_shared__an_override_is_for_all(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_verdict verdict;
    assert_int_equal(limits_admitted(p.nodes[0], "calls", "k", 7), 5);
    set_override(p.nodes[1], FB_LIMIT_OVERRIDE_LIMIT, 90);
    assert_int_equal(limits_admitted(p.nodes[1], "calls", "k", 40), 40);
    rig_until(limits_pass_one(p.nodes[0], "calls", "k"));
    assert_int_equal(limits_admitted(p.nodes[0], "calls", "k", 100), 49);
    set_override(p.nodes[0], FB_LIMIT_OVERRIDE_LIMIT, 90);
    rig_until(limits_pass_one(p.nodes[1], "calls", "k"));
    assert_int_equal(limits_left(p.nodes[0], "calls", "k"), 89);
    set_override(p.nodes[0], FB_LIMIT_OVERRIDE_ALLOW, 0);
    rig_until(limits_ask(p.nodes[1], "calls", "k", 1, 0, &verdict) == FB_OK &&
              verdict.source == FB_LIMIT_BY_EXEMPT);
    set_override(p.nodes[0], FB_LIMIT_OVERRIDE_DENY, 0);
    rig_until(limits_ask(p.nodes[1], "calls", "k", 1, 0, &verdict) == FB_LIMITED &&
              verdict.source == FB_LIMIT_BY_BARRED);
    assert_ok(fb_limit_reset(p.nodes[0], FB_STR("calls"), FB_STR("k"), NULL));
    rig_until(limits_ask(p.nodes[1], "calls", "k", 1, 0, &verdict) == FB_OK &&
              verdict.limit == 5);
    set_override(p.nodes[0], FB_LIMIT_OVERRIDE_DENY, 0);
    set_override(p.nodes[1], FB_LIMIT_OVERRIDE_NONE, 0);
    rig_until(limits_pass_one(p.nodes[0], "calls", "k"));
    pair_close(&p);
}

static void test_limits_shared__leases_are_of_all(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_limit_question question = limits_question("jobs", "k", 1);
    uint64_t one = 0, two = 0, three = 0;
    fb_verdict verdict;
    fb_error error;
    assert_result(fb_slot_acquire(p.nodes[0], &question, 0, &one, &verdict, &error), FB_OK);
    assert_int_equal(verdict.source, FB_LIMIT_BY_SHARED);
    assert_result(fb_slot_acquire(p.nodes[1], &question, 60000, &two, &verdict, &error), FB_OK);
    assert_int_equal(verdict.remaining, 0);
    assert_result(fb_slot_acquire(p.nodes[0], &question, 0, &three, &verdict, &error), FB_LIMITED);
    assert_true(verdict.retry_us >= 1 && verdict.retry_us <= 60 * RIG_SECOND_US);
    assert_ok(fb_slot_renew(p.nodes[1], &question, one, 1000, &error));
    assert_ok(fb_slot_release(p.nodes[0], &question, two, &error));
    assert_result(fb_slot_release(p.nodes[0], &question, two, &error), FB_MISS);
    assert_result(fb_slot_peek(p.nodes[1], &question, &verdict, &error), FB_OK);
    assert_true(verdict.remaining >= 1);
    pair_close(&p);
}

static fb_limit_source who_says(fb_engine *engine, const char *rule, const char *key,
                                const char *tier) {
    fb_limit_question question = limits_question(rule, key, 1);
    fb_verdict verdict;
    fb_error error = {0};
    question.tier = fb_str_of(tier);
    int result = strcmp(rule, "jobs") == 0
                     ? fb_slot_peek(engine, &question, &verdict, &error)
                     : fb_limit_check(engine, &question, 1, 0, &verdict, &error);
    assert_true(result >= 0);
    return verdict.source;
}

// As in memory: what is said for a time comes before the rule's lists and exempt tiers.
static void test_limits_shared__overrides_come_before_lists(void **state) {
    static const struct {
        const char *rule, *key, *tier;
        fb_limit_override_kind kind;
        fb_limit_source before, after;
    } cases[] = {
        {"listed", "joe", "staff", FB_LIMIT_OVERRIDE_DENY, FB_LIMIT_BY_EXEMPT, FB_LIMIT_BY_BARRED},
        {"listed", "vip", "", FB_LIMIT_OVERRIDE_LIMIT, FB_LIMIT_BY_EXEMPT, FB_LIMIT_BY_SHARED},
        {"listed", "bad", "", FB_LIMIT_OVERRIDE_ALLOW, FB_LIMIT_BY_BARRED, FB_LIMIT_BY_EXEMPT},
        {"jobs", "vip", "", FB_LIMIT_OVERRIDE_DENY, FB_LIMIT_BY_EXEMPT, FB_LIMIT_BY_BARRED},
    };
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_limit_override override = {.kind = cases[i].kind, .limit = 9, .for_ms = 600000};
        const char *rule = cases[i].rule, *key = cases[i].key, *tier = cases[i].tier;
        for (int node = 0; node < 2; node++) {
            assert_int_equal(who_says(p.nodes[node], rule, key, tier), cases[i].before);
        }
        assert_ok(fb_limit_override_set(p.nodes[0], fb_str_of(rule), fb_str_of(key), &override,
                                        NULL));
        assert_int_equal(who_says(p.nodes[0], rule, key, tier), cases[i].after);
        // The other node knew a moment ago that there is none.
        rig_until(who_says(p.nodes[1], rule, key, tier) == cases[i].after);
    }
    pair_close(&p);
}

// Who is exempt or barred for a time has the leases that he had, and they end as he says.
static void test_limits_shared__overrides_leave_leases_to_their_holders(void **state) {
    static const fb_limit_override_kind KINDS[] = {FB_LIMIT_OVERRIDE_ALLOW,
                                                   FB_LIMIT_OVERRIDE_DENY};
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    for (int i = 0; i < 2; i++) {
        fb_limit_question question = limits_question("jobs", i == 0 ? "allowed" : "denied", 1);
        fb_limit_override override = {.kind = KINDS[i], .for_ms = 600000};
        fb_verdict verdict;
        uint64_t tokens[2];
        for (int j = 0; j < 2; j++) {
            assert_ok(fb_slot_acquire(p.nodes[0], &question, 60000, &tokens[j], &verdict, NULL));
        }
        assert_ok(fb_limit_override_set(p.nodes[1], question.rule, question.key, &override, NULL));
        assert_ok(fb_slot_renew(p.nodes[0], &question, tokens[0], 0, NULL));
        assert_ok(fb_slot_release(p.nodes[0], &question, tokens[1], NULL));
        override.kind = FB_LIMIT_OVERRIDE_NONE;
        assert_ok(fb_limit_override_set(p.nodes[0], question.rule, question.key, &override, NULL));
        assert_ok(fb_slot_peek(p.nodes[0], &question, &verdict, NULL));
        assert_int_equal(verdict.source, FB_LIMIT_BY_SHARED);
        assert_int_equal(verdict.remaining, 1);
        assert_true(verdict.reset_us > 300 * (int64_t)RIG_SECOND_US);
    }
    pair_close(&p);
}

static void test_limits_shared__a_throttle_is_of_all(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_verdict verdict;
    int admitted = 0;
    for (int i = 0; i < 20; i++) {
        int result = fb_throttle(p.nodes[i % 2], FB_STR("k"), 4, 1, 3600, 1, &verdict, NULL);
        admitted += result == FB_OK;
    }
    // Twenty milliseconds are its patience: on a busy machine a node may have decided by itself.
    assert_true(admitted >= 5 && admitted <= 15);
    assert_result(fb_throttle(p.nodes[0], FB_STR("k"), 9, 1, 3600, 1, &verdict, NULL), FB_OK);
    pair_close(&p);
}

// ---- chunks

static void test_limits_shared__chunks_never_admit_more(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_verdict verdict;
    int admitted = 0, spent = 0;
    for (int i = 0; i < 800; i++) {
        bool allowed = limits_ask(p.nodes[i % 2], "hot", "k", 1 + (uint32_t)i % 3, 0, &verdict) ==
                       FB_OK;
        admitted += allowed ? 1 + i % 3 : 0;
        spent += verdict.source == FB_LIMIT_BY_CHUNK;
        assert_true(verdict.limit == 300 && verdict.window_us == 600 * (int64_t)RIG_SECOND_US);
        assert_true(verdict.remaining <= 300);
    }
    assert_true(admitted <= 300 && admitted > 0);
    assert_true(spent > 0);
    assert_ok(fb_limit_reset(p.nodes[0], FB_STR("hot"), FB_STR("k"), NULL));
    assert_int_equal(limits_left(p.nodes[0], "hot", "k"), 300);
    pair_close(&p);
}

// ---- on loops

typedef struct on_loop {
    fb_engine *engine;
    bool fiber;
    atomic_int done;
    int result;
    fb_verdict verdict;
} on_loop;

static void ask_here(void *arg) {
    on_loop *one = arg;
    fb_limit_question question = limits_question("calls", "k", 1);
    one->result = fb_limit_check(one->engine, &question, 1, 0, &one->verdict, NULL);
    atomic_store(&one->done, 1);
}

static void begin_here(void *arg) {
    on_loop *one = arg;
    if (!one->fiber) {
        ask_here(one);
    } else if (fb_run(one->engine, ask_here, one) < 0) {
        one->result = FB_ENOMEM;
        atomic_store(&one->done, 1);
    }
}

static void test_limits_shared__a_fiber_waits_and_a_loop_does_not(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    for (int i = 0; i < 4; i++) {
        on_loop one = {.engine = p.nodes[0], .fiber = i % 2 == 0};
        assert_ok(fb_loop_post(p.nodes[0], (uint32_t)i / 2, begin_here, &one));
        rig_until(atomic_load(&one.done) == 1);
        assert_result(one.result, FB_OK);
        assert_int_equal(one.verdict.source, one.fiber ? FB_LIMIT_BY_SHARED : FB_LIMIT_BY_LOCAL);
        assert_int_equal(one.verdict.degraded, !one.fiber);
    }
    assert_int_equal(limits_left(p.nodes[1], "calls", "k"), 3);
    pair_close(&p);
}

// ---- trouble

static void test_limits_shared__a_flush_of_scripts_changes_nothing(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    int admitted = 0;
    for (int i = 0; i < 12; i++) {
        (void)test_redis_ask(p.server, "SCRIPT FLUSH SYNC");
        admitted += limits_pass_one(p.nodes[i % 2], "calls", "k");
    }
    assert_int_equal(admitted, 5);
    pair_close(&p);
}

// Returns when it does nothing any more.
static void stop(test_redis *server) {
    test_redis_stop(server);
    assert_int_equal(waitpid(server->pid, NULL, WUNTRACED), server->pid);
}

// What each rule does without the shared tier.
static void assert_does_without(fb_engine *engine, const char *key) {
    fb_limit_question lease = limits_question("leases", key, 1);
    fb_verdict verdict;
    uint64_t token = 0;
    int admitted = 0;
    for (int i = 0; i < 10; i++) {
        admitted += limits_ask(engine, "soon", key, 1, 0, &verdict) == FB_OK;
        assert_true(verdict.degraded);
        assert_int_equal(verdict.source, FB_LIMIT_BY_LOCAL);
        assert_result(limits_ask(engine, "open", key, 1, 0, &verdict), FB_OK);
        assert_int_equal(verdict.source, FB_LIMIT_BY_OPEN);
        assert_result(limits_ask(engine, "shut", key, 1, 0, &verdict), FB_LIMITED);
        assert_int_equal(verdict.source, FB_LIMIT_BY_CLOSED);
        assert_true(verdict.degraded && verdict.retry_us >= 1);
    }
    assert_int_equal(admitted, 2);  // 5, of two instances
    assert_result(fb_slot_acquire(engine, &lease, 0, &token, &verdict, NULL), FB_OK);
    assert_int_equal(verdict.source, FB_LIMIT_BY_LOCAL);
    assert_ok(fb_slot_renew(engine, &lease, token, 0, NULL));
    assert_ok(fb_slot_release(engine, &lease, token, NULL));
    lease.rule = FB_STR("soon");
    assert_true(fb_limit_refund(engine, &lease, NULL, NULL) < 0);
    assert_true(fb_limit_reset(engine, FB_STR("soon"), FB_STR("none"), NULL) < 0);
}

static bool is_shared(fb_engine *engine, const char *key) {
    fb_verdict verdict;
    (void)limits_ask(engine, "soon", key, 0, FB_LIMIT_PEEK, &verdict);
    return verdict.source == FB_LIMIT_BY_SHARED;
}

static void test_limits_shared__each_node_does_without(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    test_redis_kill(p.server);
    assert_does_without(p.nodes[0], "killed");
    test_redis_spawn(p.server);
    rig_until(is_shared(p.nodes[0], "k"));
    stop(p.server);
    assert_does_without(p.nodes[0], "stopped");
    assert_does_without(p.nodes[1], "stopped");
    // It is known by now: nobody waits, however patient the rule is.
    for (int i = 0; i < 30; i++) {
        (void)limits_pass_one(p.nodes[0], "calls", "stopped");
    }
    assert_int_equal(limits_figures(p.nodes[0], "calls").degraded, 30);
    test_redis_continue(p.server);
    rig_until(is_shared(p.nodes[0], "k") && is_shared(p.nodes[1], "k"));
    assert_true(limits_figures(p.nodes[0], "soon").degraded >= 20);
    pair_close(&p);
}

// ---- clocks

static void test_limits_shared__the_clock_is_that_of_redis(void **state) {
    static const int64_t HOURS_US[] = {-3600, 3600, -86400 * 40, 86400 * 400};
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_verdict verdict;
    int admitted = 0;
    for (int i = 0; i < 12; i++) {
        atomic_store(&p.nodes[0]->limits->shift_us[1], HOURS_US[i % 4] * RIG_SECOND_US);
        admitted += limits_ask(p.nodes[0], "plan", "k", 1, 0, &verdict) == FB_OK;
        assert_false(verdict.degraded);
    }
    assert_int_equal(admitted, 6);
    assert_int_equal(limits_admitted(p.nodes[1], "plan", "k", 3), 0);
    pair_close(&p);
}

// ---- what people are told

static atomic_int falls, returns;

static void note_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level, (void)fields;
    atomic_fetch_add(&falls, strcmp(event, "limits_without_shared_tier") == 0);
    atomic_fetch_add(&returns, strcmp(event, "limits_by_shared_tier") == 0);
}

static void test_limits_shared__an_outage_is_told_once(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    atomic_store(&falls, 0);
    atomic_store(&returns, 0);
    test_redis_kill(p.server);
    for (int i = 0; i < 200; i++) {
        (void)limits_pass_one(p.nodes[0], "soon", "k");
    }
    rig_until(atomic_load(&falls) == 1);
    test_redis_spawn(p.server);
    rig_until(is_shared(p.nodes[0], "k") && atomic_load(&returns) >= 1);
    fb_close(p.nodes[0], 0);
    fb_close(p.nodes[1], 0);
    test_redis_free(p.server);
}

// What is of this machine alone is asked of nobody else.
static void test_limits_shared__local_questions_stay_here(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    fb_verdict verdict;
    for (int node = 0; node < 2; node++) {
        int admitted = 0;
        for (int i = 0; i < 10; i++) {
            int result =
                limits_ask(p.nodes[node], "calls", "k", 1, FB_LIMIT_LOCAL, &verdict);
            admitted += result == FB_OK;
            assert_int_equal(verdict.source, FB_LIMIT_BY_MEMORY);
            assert_false(verdict.degraded);
        }
        assert_int_equal(admitted, 5);
    }
    assert_int_equal(limits_left(p.nodes[0], "calls", "k"), 5);
    pair_close(&p);
}

typedef struct waiter {
    fb_engine *engine;
    atomic_int *asking;
    int result;
    fb_verdict verdict;
    pthread_t thread;
} waiter;

static void *wait_for_it(void *arg) {
    waiter *one = arg;
    fb_limit_question question = limits_question("calls", "k", 1);
    atomic_fetch_add(one->asking, 1);
    one->result = fb_limit_check(one->engine, &question, 1, 0, &one->verdict, NULL);
    return NULL;
}

// How many are within the engine.
static uint64_t busy(fb_engine *engine) {
    pthread_mutex_lock(&engine->idle_lock);
    uint64_t count = engine->busy;
    pthread_mutex_unlock(&engine->idle_lock);
    return count;
}

static void test_limits_shared__a_close_lets_nobody_wait(void **state) {
    SKIP_WITHOUT_REDIS();
    (void)state;
    pair p = pair_open();
    waiter waiters[3];
    atomic_int asking = 0;
    stop(p.server);
    for (int i = 0; i < 3; i++) {
        waiters[i] = (waiter){.engine = p.nodes[0], .asking = &asking};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_it, &waiters[i]), 0);
    }
    rig_until(atomic_load(&asking) == 3 && busy(p.nodes[0]) >= 3);
    fb_close(p.nodes[0], 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
        // A node that gave the server up before that has answered by itself.
        if (waiters[i].result != FB_OK || !waiters[i].verdict.degraded) {
            assert_result(waiters[i].result, FB_ECLOSED);
        }
    }
    test_redis_continue(p.server);
    fb_close(p.nodes[1], 0);
    test_redis_free(p.server);
}

int main(void) {
    static const fb_hooks hooks = {.log = note_event};
    const struct CMUnitTest tests[] = {
        rig_test(test_limits_shared__nodes_admit_the_limit_together),
        rig_test(test_limits_shared__denials_are_remembered),
        rig_test(test_limits_shared__several_are_charged_all_or_none),
        rig_test(test_limits_shared__a_refund_and_a_reset_are_for_all),
        rig_test(test_limits_shared__a_refusal_is_told_in_its_words),
        rig_test(test_limits_shared__an_override_is_for_all),
        rig_test(test_limits_shared__leases_are_of_all),
        rig_test(test_limits_shared__overrides_come_before_lists),
        rig_test(test_limits_shared__overrides_leave_leases_to_their_holders),
        rig_test(test_limits_shared__a_throttle_is_of_all),
        rig_test(test_limits_shared__chunks_never_admit_more),
        rig_test(test_limits_shared__a_fiber_waits_and_a_loop_does_not),
        rig_test(test_limits_shared__a_flush_of_scripts_changes_nothing),
        rig_test(test_limits_shared__each_node_does_without),
        rig_test(test_limits_shared__the_clock_is_that_of_redis),
        rig_test(test_limits_shared__an_outage_is_told_once),
        rig_test(test_limits_shared__local_questions_stay_here),
        rig_test(test_limits_shared__a_close_lets_nobody_wait),
    };
    fb_hooks_set(&hooks);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
