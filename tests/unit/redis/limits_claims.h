// limits_claims.h -- what is true of limits in the shared tier, as tests: for test_limits.c, and for the
// program that takes the scripts' rules out one by one.
//
// The program that includes it sets `limits_server` and `limits_subjects` before it runs them.

#ifndef FB_TESTS_LIMITS_CLAIMS_H
#define FB_TESTS_LIMITS_CLAIMS_H

#include "limits_trial.h"

#define S_US INT64_C(1000000)
#define NOON_US (INT64_C(1767225600) * S_US + 12 * TRIAL_HOUR_US)  // of the first day of 2026

static test_redis *limits_server;
static int limits_subjects = 60;  // of the random comparison

static int limits_setup(void **state) {
    limits_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    (void)test_redis_ask(limits_server, "FLUSHALL");
    limits_open_at(rig, limits_server, LIMITS_REMOTES_MAX);
    *state = rig;
    return 0;
}

static int limits_teardown(void **state) {
    limits_rig *rig = *state;
    limits_close(rig);
    free(rig);
    return 0;
}

// ---- short ways to ask

typedef struct asked {
    const char *key, *rule, *tier;
    const fb_limit_plan *plan;
    fb_limit_act act;
    uint32_t cost;
    int64_t now_us;  // 0: the server's
    fb_str override;
} asked;

static inline fb_limit_part part_of(const asked *a) {
    int64_t window_us = a->plan->window_us;
    int64_t start_us = a->now_us - a->now_us % window_us;
    return (fb_limit_part){.plan = a->plan,
                           .rule = fb_str_of(a->rule),
                           .tier = fb_str_of(a->tier != NULL ? a->tier : ""),
                           .step = {.act = a->act,
                                    .cost = a->cost,
                                    .now_us = a->now_us,
                                    .start_us = start_us,
                                    .end_us = start_us + window_us},
                           .override = a->override};
}

static inline const limits_answer *ask_one(limits_rig *rig, const asked *a) {
    fb_limit_part part = part_of(a);
    fb_limit_request request = {.verb = FB_LIMIT_DECIDE,
                                .key = fb_str_of(a->key),
                                .parts = &part,
                                .part_count = 1,
                                .now_us = a->now_us};
    return limits_ask(rig, 0, &request);
}

static inline bool allowed(limits_rig *rig, const asked *a) {
    return LIMITS_IS(ask_one(rig, a), FB_LIMIT_DONE)->reply.parts[0].allowed;
}

static inline uint32_t remaining(limits_rig *rig, const asked *a) {
    asked look = *a;
    fb_verdict verdict = {0};
    look.act = FB_LIMIT_LOOK;
    look.cost = 1;
    const limits_answer *answer = LIMITS_IS(ask_one(rig, &look), FB_LIMIT_DONE);
    fb_limit_part part = part_of(&look);
    part.step.now_us = answer->reply.now_us;
    fb_limit_explain(a->plan, &part.step, &answer->reply.parts[0].state,
                     answer->reply.parts[0].allowed, &verdict);
    return verdict.remaining;
}

static inline int64_t integer(limits_rig *rig, const char *verb, fb_str key) {
    const fb_str args[] = {fb_str_of(verb), key};
    const limits_said *said = limits_command(rig, args, 2);
    assert_int_equal(said->type, FB_RESP_INTEGER);
    return said->integer;
}

static inline int64_t ttl_of(limits_rig *rig, const asked *a) {
    char name[4096];
    return integer(rig, "PTTL", limits_key(fb_str_of(a->key), fb_str_of(a->rule),
                                           fb_str_of(a->tier != NULL ? a->tier : ""), a->plan, "",
                                           name));
}

// Takes the state's end away, so that a write shows.
static inline void persist(limits_rig *rig, const asked *a) {
    char name[4096];
    assert_int_equal(integer(rig, "PERSIST",
                             limits_key(fb_str_of(a->key), fb_str_of(a->rule),
                                        fb_str_of(a->tier != NULL ? a->tier : ""), a->plan, "",
                                        name)), 1);
}

// ---- decisions

static void test_limits__the_script_decides_as_memory_does(void **state) {
    static trial t;

    trial_begin(&t, *state, test_seed());
    trial_run_all(&t, limits_subjects);
    if (t.differences > 0) {
        fail_msg("%s", t.first);
    }
}

static long evals(void) {
    char calls[64];
    test_redis_field(limits_server, "INFO commandstats", "cmdstat_evalsha:calls=", calls,
                     sizeof calls);
    return atol(calls);
}

static void test_limits__a_check_is_one_command(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    asked take = {.key = "u", .rule = "r", .plan = &plan, .cost = 1};
    fb_redis_status before, after;

    assert_true(allowed(rig, &take));  // its text is there from now on
    fb_redis_status_read(rig->redis, &before);
    long done = evals();
    assert_true(allowed(rig, &take));
    assert_false(allowed(rig, &take));
    take.act = FB_LIMIT_LOOK;
    assert_false(allowed(rig, &take));
    take.act = FB_LIMIT_GIVE;
    assert_true(allowed(rig, &take));
    fb_redis_status_read(rig->redis, &after);
    assert_int_equal(after.commands - before.commands, 4);
    assert_int_equal(evals() - done, 4);
}

static void test_limits__eight_limits_are_one_command(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan plan = limits_plan(FB_LIMIT_TOKEN, 5, 3600000);
    static const char *const RULES[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    fb_limit_part parts[8];
    fb_redis_status before, after;

    for (size_t i = 0; i < 8; i++) {
        parts[i] = part_of(&(asked){.rule = RULES[i], .plan = &plan, .cost = 5});
    }
    fb_limit_request request = {.key = FB_STR("u"), .parts = parts, .part_count = 8};
    const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    for (size_t i = 0; i < 8; i++) {
        assert_true(answer->reply.parts[i].allowed);
    }
    fb_redis_status_read(rig->redis, &before);
    answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    fb_redis_status_read(rig->redis, &after);
    assert_int_equal(after.commands - before.commands, 1);
    assert_false(answer->reply.parts[7].allowed);
}

// Denials cost no write, and neither do looks.
static void test_limits__what_changes_nothing_writes_nothing(void **state) {
    static const fb_limit_algorithm ALGORITHMS[] = {FB_LIMIT_SLIDING, FB_LIMIT_TOKEN,
                                                    FB_LIMIT_FIXED, FB_LIMIT_SLIDING};
    limits_rig *rig = *state;

    for (size_t i = 0; i < 4; i++) {
        uint32_t limit = i == 3 ? 100 : 3;
        fb_limit_plan plan = limits_plan(ALGORITHMS[i], limit, 3600000);
        asked take = {.key = "u", .rule = "r", .plan = &plan, .cost = limit, .now_us = NOON_US};
        assert_true(allowed(rig, &take));
        int64_t ttl_ms = ttl_of(rig, &take);
        assert_true(ttl_ms > 0 && ttl_ms <= plan.keep_us / 1000 + 1);
        persist(rig, &take);
        assert_false(allowed(rig, &take));
        take.cost = limit + 1;
        assert_false(allowed(rig, &take));
        take.cost = 0;
        assert_true(allowed(rig, &take));
        take.act = FB_LIMIT_LOOK;
        take.now_us += 3 * TRIAL_HOUR_US;
        assert_true(allowed(rig, &take));
        take.now_us -= 6 * TRIAL_HOUR_US;  // what memory would be like then is only said
        assert_true(allowed(rig, &take));
        assert_int_equal(ttl_of(rig, &take), -1);
        take.act = FB_LIMIT_GIVE;
        take.cost = limit;
        take.now_us += 3 * TRIAL_HOUR_US;
        assert_true(allowed(rig, &take));
        assert_int_equal(ttl_of(rig, &take), -2);  // nothing is used: no key
    }
}

static void test_limits__all_are_charged_or_none(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan wide = limits_plan(FB_LIMIT_SLIDING, 10, 3600000);
    fb_limit_plan narrow = limits_plan(FB_LIMIT_TOKEN, 1, 3600000);
    fb_limit_plan strict = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    asked of[] = {{.key = "u", .rule = "wide", .plan = &wide, .cost = 1},
                  {.key = "u", .rule = "narrow", .plan = &narrow, .cost = 1},
                  {.key = "u", .rule = "strict", .plan = &strict, .cost = 1}};
    fb_limit_part parts[] = {part_of(&of[0]), part_of(&of[1]), part_of(&of[2])};
    fb_limit_request request = {.key = FB_STR("u"), .parts = parts, .part_count = 3};

    strict.charge_denied = true;
    for (int i = 0; i < 3; i++) {
        const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
        assert_true(answer->reply.parts[0].allowed);
        assert_int_equal(answer->reply.parts[1].allowed, i == 0);
        assert_true(answer->reply.parts[2].allowed);  // it was charged once
    }
    assert_int_equal(remaining(rig, &of[0]), 9);
    assert_int_equal(remaining(rig, &of[2]), 1);
    // Who is denied under a rule that charges for it pays, he alone.
    parts[2].step.cost = 2;
    const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    assert_false(answer->reply.parts[2].allowed);
    assert_int_equal(remaining(rig, &of[0]), 9);
    assert_int_equal(remaining(rig, &of[2]), 0);
}

static void test_limits__one_rule_named_twice_counts_twice(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 3, 3600000);
    asked of = {.key = "u", .rule = "r", .plan = &plan, .cost = 2};
    fb_limit_part parts[] = {part_of(&of), part_of(&of)};
    fb_limit_request request = {.key = FB_STR("u"), .parts = parts, .part_count = 2};

    const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    assert_true(answer->reply.parts[0].allowed);
    assert_false(answer->reply.parts[1].allowed);
    assert_int_equal(remaining(rig, &of), 3);
    parts[1].step.cost = 1;
    answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    assert_true(answer->reply.parts[0].allowed && answer->reply.parts[1].allowed);
    assert_int_equal(remaining(rig, &of), 0);
}

// ---- clocks

static int64_t server_us(void) {
    long long s = 0, us = 0;
    assert_int_equal(sscanf(test_redis_ask(limits_server, "TIME"), "%lld %lld", &s, &us), 2);
    return s * S_US + us;
}

static void test_limits__the_servers_clock_counts(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    asked take = {.key = "u", .rule = "r", .plan = &plan, .cost = 1};

    int64_t before_us = server_us();
    int64_t now_us = LIMITS_IS(ask_one(rig, &take), FB_LIMIT_DONE)->reply.now_us;
    assert_true(before_us <= now_us && now_us <= server_us());
}

static void test_limits__another_period_is_told_and_nothing_done(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan plan = limits_plan(FB_LIMIT_FIXED, 2, 3600000);
    fb_limit_plan other = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    asked of[] = {{.rule = "other", .plan = &other, .cost = 1, .now_us = NOON_US},
                  {.rule = "fixed", .plan = &plan, .cost = 1, .now_us = NOON_US}};
    fb_limit_part parts[] = {part_of(&of[0]), part_of(&of[1])};
    fb_limit_request request = {.key = FB_STR("u"), .parts = parts, .part_count = 2};
    static const int64_t FROM_US[] = {-1, TRIAL_HOUR_US, 0, TRIAL_HOUR_US - 1};

    for (size_t i = 0; i < 4; i++) {
        request.now_us = NOON_US + FROM_US[i];
        const limits_answer *answer = limits_ask(rig, 0, &request);
        assert_int_equal(answer->reply.now_us, request.now_us);
        LIMITS_IS(answer, i < 2 ? FB_LIMIT_CLOCK : FB_LIMIT_DONE);
        assert_int_equal(atol(test_redis_ask(limits_server, "DBSIZE")), i < 2 ? 1 : 3);
    }
}

// ---- overrides

static inline void put_override(limits_rig *rig, const char *rule, fb_str bytes, int64_t for_ms) {
    fb_limit_part part = {.rule = fb_str_of(rule), .override = bytes, .ttl_us = for_ms * 1000};
    fb_limit_request request = {.verb = FB_LIMIT_OVERRIDE_PUT,
                                .key = FB_STR("u"),
                                .parts = &part,
                                .part_count = 1};
    LIMITS_IS(limits_ask(rig, 1, &request), FB_LIMIT_DONE);
}

static void test_limits__another_override_is_told_and_nothing_done(void **state) {
    limits_rig *rig = *state;
    const fb_str five = FB_STR("\1\0\5\0\0\0"), deny = FB_STR("\3\0\0\0\0\0");
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    asked of[] = {{.key = "u", .rule = "a", .plan = &plan, .cost = 1},
                  {.key = "u", .rule = "b", .plan = &plan, .cost = 1}};
    fb_limit_part parts[] = {part_of(&of[0]), part_of(&of[1])};
    fb_limit_request request = {.key = FB_STR("u"), .parts = parts, .part_count = 2};

    put_override(rig, "b", five, 3600000);
    const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_OVERRIDDEN);
    assert_int_equal(answer->reply.which, 1);
    assert_bytes(answer->reply.override, five);
    assert_in_range(answer->reply.override_us, 1, TRIAL_HOUR_US);
    assert_true(answer->reply.now_us > 0);
    assert_int_equal(remaining(rig, &of[0]), 2);
    parts[1].override = five;
    LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    assert_int_equal(remaining(rig, &of[0]), 1);

    put_override(rig, "b", deny, 3600000);
    answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_OVERRIDDEN);
    assert_bytes(answer->reply.override, deny);
    put_override(rig, "b", FB_STR(""), 0);
    answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_OVERRIDDEN);
    assert_int_equal(answer->reply.override.len, 0);
    assert_int_equal(answer->reply.override_us, 0);
    parts[1].override = FB_STR("");
    LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    assert_int_equal(remaining(rig, &of[0]), 0);
}

static void test_limits__bytes_that_are_no_override_are_none(void **state) {
    limits_rig *rig = *state;
    char name[4096];
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 2, 3600000);
    asked take = {.key = "u", .rule = "r", .plan = &plan, .cost = 1};
    fb_str key = limits_key(FB_STR("u"), FB_STR("r"), FB_STR("!"), NULL, "", name);
    const fb_str set[] = {FB_STR("SET"), key, FB_STR("and so on")};

    (void)limits_command(rig, set, 3);
    assert_true(allowed(rig, &take));
    // One without an end is in force for as long as any may be.
    const fb_str endless[] = {FB_STR("SET"), key, FB_STR("\3\0\0\0\0\0")};
    (void)limits_command(rig, endless, 3);
    const limits_answer *answer = LIMITS_IS(ask_one(rig, &take), FB_LIMIT_OVERRIDDEN);
    assert_true(answer->reply.override_us == 366 * 24 * TRIAL_HOUR_US);
}

// ---- leases

typedef struct lease_oracle {
    uint64_t token[64];
    int64_t end_us[64];
    size_t count;
    uint32_t limit;
    int64_t window_us;
} lease_oracle;

static inline void oracle_tidy(lease_oracle *o, bool cut, int64_t now_us) {
    for (size_t i = 0; i < o->count;) {
        if (cut && o->end_us[i] > now_us + o->window_us) {
            o->end_us[i] = now_us + o->window_us;
        }
        if (o->end_us[i] <= now_us) {
            o->count--;
            o->token[i] = o->token[o->count];
            o->end_us[i] = o->end_us[o->count];
        } else {
            i++;
        }
    }
}

static inline size_t oracle_find(const lease_oracle *o, uint64_t token) {
    size_t i = 0;
    while (i < o->count && o->token[i] != token) {
        i++;
    }
    return i;
}

static inline void oracle_do(lease_oracle *o, fb_limit_verb verb, uint64_t token, int64_t ttl_us,
                             int64_t now_us, fb_limit_reply *reply) {
    oracle_tidy(o, verb != FB_LIMIT_RELEASE, now_us);
    size_t at = oracle_find(o, token);
    reply->found = at < o->count;
    ttl_us = ttl_us <= 0 || ttl_us > o->window_us ? o->window_us : ttl_us;
    if (verb == FB_LIMIT_RELEASE && reply->found) {
        o->count--;
        o->token[at] = o->token[o->count];
        o->end_us[at] = o->end_us[o->count];
    } else if ((verb == FB_LIMIT_ACQUIRE && (reply->found || o->count < o->limit)) ||
               (verb == FB_LIMIT_RENEW && reply->found)) {
        o->token[at] = token;
        o->end_us[at] = now_us + ttl_us;
        o->count += !reply->found;
        reply->found = true;
    }
    reply->slots.used = (uint32_t)o->count;
    reply->slots.next_us = reply->slots.last_us = 0;
    for (size_t i = 0; i < o->count; i++) {
        int64_t left_us = o->end_us[i] - now_us;
        left_us = left_us < o->window_us ? left_us : o->window_us;
        if (i == 0 || left_us < reply->slots.next_us) {
            reply->slots.next_us = left_us;
        }
        reply->slots.last_us = left_us > reply->slots.last_us ? left_us : reply->slots.last_us;
    }
}

static void test_limits__leases_live_as_in_an_array(void **state) {
    limits_rig *rig = *state;
    fb_rng rng = test_rng();

    for (int round = 0; round < 30; round++) {
        char key[16];
        // The server's own clock, by which the whole key ends, stands nearly still meanwhile.
        fb_limit_plan plan = limits_plan(FB_LIMIT_SLOTS, 1 + (uint32_t)fb_rng_below(&rng, 8), 3600000);
        lease_oracle oracle = {.limit = plan.limit, .window_us = plan.window_us};
        int64_t now_us = NOON_US;
        snprintf(key, sizeof key, "k%d", round);
        for (int i = 0; i < 60; i++) {
            fb_limit_verb verb = FB_LIMIT_ACQUIRE + (int)fb_rng_below(&rng, 4);
            fb_limit_reply expected;
            now_us += (int64_t)fb_rng_below(&rng, (uint64_t)plan.window_us / 4) -
                      (fb_rng_below(&rng, 8) == 0 ? plan.window_us : 0);
            fb_limit_part part = {.plan = &plan,
                                  .rule = FB_STR("r"),
                                  .token = fb_rng_below(&rng, 12),
                                  .ttl_us = (int64_t)fb_rng_below(&rng, (uint64_t)plan.window_us * 2)};
            fb_limit_request request = {.verb = verb,
                                        .key = fb_str_of(key),
                                        .parts = &part,
                                        .part_count = 1,
                                        .now_us = now_us};
            oracle_do(&oracle, verb, part.token, part.ttl_us, now_us, &expected);
            const fb_limit_reply *reply =
                &LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE)->reply;
            assert_int_equal(reply->found, expected.found);
            assert_int_equal(reply->slots.used, expected.slots.used);
            assert_int_equal(reply->slots.next_us, expected.slots.next_us);
            assert_int_equal(reply->slots.last_us, expected.slots.last_us);
            assert_int_equal(reply->now_us, now_us);
        }
    }
}

static void test_limits__leases_heed_overrides_and_end_with_their_key(void **state) {
    limits_rig *rig = *state;
    char name[4096];
    const fb_str allow = FB_STR("\2\0\0\0\0\0");
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLOTS, 1, 60000);
    fb_limit_part part = {.plan = &plan, .rule = FB_STR("r"), .token = 7};
    fb_limit_request request = {.verb = FB_LIMIT_ACQUIRE,
                                .key = FB_STR("u"),
                                .parts = &part,
                                .part_count = 1};

    put_override(rig, "r", allow, 60000);
    const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_OVERRIDDEN);
    assert_int_equal(answer->reply.which, 0);
    assert_bytes(answer->reply.override, allow);
    part.override = allow;
    assert_true(LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE)->reply.found);
    fb_str key = limits_key(FB_STR("u"), FB_STR("r"), FB_STR("s"), NULL, "", name);
    assert_in_range(integer(rig, "PTTL", key), 1, 60000);
    part.token = 8;
    answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
    assert_false(answer->reply.found);
    assert_int_equal(answer->reply.slots.used, 1);
}

// ---- forgetting, names

static void test_limits__what_is_forgotten_begins_anew(void **state) {
    limits_rig *rig = *state;
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 1, 3600000);
    fb_limit_plan slots = limits_plan(FB_LIMIT_SLOTS, 1, 3600000);
    asked of[] = {{.key = "u", .rule = "r", .plan = &plan, .cost = 1},
                  {.key = "u", .rule = "r", .tier = "premium", .plan = &plan, .cost = 1},
                  {.key = "u", .rule = "other", .plan = &plan, .cost = 1},
                  {.key = "v", .rule = "r", .plan = &plan, .cost = 1}};
    fb_limit_part lease = {.plan = &slots, .rule = FB_STR("r"), .token = 1};
    fb_limit_request acquire = {.verb = FB_LIMIT_ACQUIRE,
                                .key = FB_STR("u"),
                                .parts = &lease,
                                .part_count = 1};

    for (size_t i = 0; i < 4; i++) {
        assert_true(allowed(rig, &of[i]));
    }
    assert_true(LIMITS_IS(limits_ask(rig, 0, &acquire), FB_LIMIT_DONE)->reply.found);
    put_override(rig, "r", FB_STR("\3\0\0\0\0\0"), 3600000);
    fb_limit_part parts[] = {part_of(&of[0]), part_of(&of[1])};
    fb_limit_request forget = {.verb = FB_LIMIT_FORGET,
                               .key = FB_STR("u"),
                               .parts = parts,
                               .part_count = 2};
    LIMITS_IS(limits_ask(rig, 2, &forget), FB_LIMIT_DONE);
    assert_true(allowed(rig, &of[0]));
    assert_true(allowed(rig, &of[1]));
    assert_false(allowed(rig, &of[2]));
    assert_false(allowed(rig, &of[3]));
    lease.token = 2;
    assert_true(LIMITS_IS(limits_ask(rig, 0, &acquire), FB_LIMIT_DONE)->reply.found);
}

// A subject of any bytes has a quota of its own.
static void test_limits__subjects_share_no_quota(void **state) {
    limits_rig *rig = *state;
    static const fb_str KEYS[] = {
        FB_STR_INIT("a"),      FB_STR_INIT("a}"),      FB_STR_INIT("}"),
        FB_STR_INIT("}a"),     FB_STR_INIT("{a}"),     FB_STR_INIT("a}:r"),
        FB_STR_INIT("a:"),     FB_STR_INIT("a\r\n"),   FB_STR_INIT("a}:r::x"),
        FB_STR_INIT("a\0b"),   FB_STR_INIT("a\0c"),    FB_STR_INIT("\377\376"),
        FB_STR_INIT("a}:r:!"), FB_STR_INIT(" "),       FB_STR_INIT("a}:r:premium:r3600000000.215"),
    };
    static char longest[2][FB_LIMIT_KEY_MAX];
    fb_limit_plan plan = limits_plan(FB_LIMIT_SLIDING, 1, 3600000);
    enum { KEY_COUNT = sizeof KEYS / sizeof *KEYS };

    memset(longest, '}', sizeof longest);
    longest[1][FB_LIMIT_KEY_MAX - 1] = '{';
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < KEY_COUNT + 2; i++) {
            fb_str key = i < KEY_COUNT ? KEYS[i]
                                       : fb_str_make(longest[i - KEY_COUNT], FB_LIMIT_KEY_MAX);
            for (int tier = 0; tier < 2; tier++) {
                asked of = {.rule = "r", .tier = tier ? "premium" : "", .plan = &plan, .cost = 1};
                fb_limit_part part = part_of(&of);
                fb_limit_request request = {.key = key, .parts = &part, .part_count = 1};
                const limits_answer *answer = LIMITS_IS(limits_ask(rig, 0, &request), FB_LIMIT_DONE);
                assert_int_equal(answer->reply.parts[0].allowed, round == 0);
            }
        }
    }
}

// ---- several at once

enum { HAMMER_UNDER_WAY = 64, HAMMER_WINDOWS = 6 };

typedef struct hammer {
    limits_rig *rig;
    const fb_limit_plan *plan;
    struct blow {
        limits_answer answer;
        uint32_t cost;
    } blows[LIMITS_REMOTES_MAX][HAMMER_UNDER_WAY];
    struct {
        int64_t at_us;
        uint32_t cost;
    } admitted[4096];
    size_t admitted_count, denied;
} hammer;

static inline void hammer_send(hammer *h, fb_rng *rng, size_t remote, struct blow *blow) {
    blow->cost = 1 + (uint32_t)fb_rng_below(rng, 3);
    asked take = {.key = "u", .rule = "hot", .plan = h->plan, .cost = blow->cost};
    fb_limit_part part = part_of(&take);
    fb_limit_request request = {.key = FB_STR("u"), .parts = &part, .part_count = 1};
    assert_ok(limits_send(h->rig, remote, &request, &blow->answer));
}

static inline void hammer_take(hammer *h, const struct blow *blow) {
    LIMITS_IS(&blow->answer, FB_LIMIT_DONE);
    if (!blow->answer.reply.parts[0].allowed) {
        h->denied++;
        return;
    }
    assert_true(h->admitted_count < 4096);
    h->admitted[h->admitted_count].at_us = blow->answer.reply.now_us;
    h->admitted[h->admitted_count++].cost = blow->cost;
}

static int by_time(const void *a, const void *b) {
    const int64_t *one = a, *other = b;
    return (*one > *other) - (*one < *other);
}

// The most that any window of window_us had.
static inline uint64_t hammer_most(hammer *h, int64_t window_us) {
    uint64_t most = 0, sum = 0;
    size_t first = 0;

    qsort(h->admitted, h->admitted_count, sizeof *h->admitted, by_time);
    for (size_t i = 0; i < h->admitted_count; i++) {
        sum += h->admitted[i].cost;
        while (h->admitted[i].at_us - h->admitted[first].at_us >= window_us) {
            sum -= h->admitted[first++].cost;
        }
        most = sum > most ? sum : most;
    }
    return most;
}

// Goes on until so much was admitted that some windows went by, and something denied.
static inline void hammer_run(hammer *h, fb_rng *rng) {
    uint64_t sum = 0;
    for (size_t i = 0; i < h->rig->remote_count * HAMMER_UNDER_WAY; i++) {
        hammer_send(h, rng, i / HAMMER_UNDER_WAY, &h->blows[i / HAMMER_UNDER_WAY][i % HAMMER_UNDER_WAY]);
    }
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    for (size_t left = h->rig->remote_count * HAMMER_UNDER_WAY; left > 0;) {
        assert_true(test_redis_now_ms() < end_ms);
        limits_turn(h->rig, 20);
        for (size_t i = 0; i < h->rig->remote_count * HAMMER_UNDER_WAY; i++) {
            struct blow *blow = &h->blows[i / HAMMER_UNDER_WAY][i % HAMMER_UNDER_WAY];
            if (blow->answer.replies == 0) {
                continue;
            }
            hammer_take(h, blow);
            sum += blow->answer.reply.parts[0].allowed ? blow->cost : 0;
            blow->answer.replies = 0;
            if (sum < (uint64_t)h->plan->limit * HAMMER_WINDOWS || h->denied == 0) {
                hammer_send(h, rng, i / HAMMER_UNDER_WAY, blow);
            } else {
                left--;
            }
        }
    }
}

static void test_limits__no_window_has_more_than_the_limit(void **state) {
    static const struct {
        fb_limit_algorithm algorithm;
        uint32_t limit;
    } RULES[] = {{FB_LIMIT_SLIDING, 10}, {FB_LIMIT_SLIDING, 80}, {FB_LIMIT_TOKEN, 20}};
    static hammer h;
    fb_rng rng = test_rng();

    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        fb_limit_plan plan = limits_plan(RULES[i].algorithm, RULES[i].limit, 100);
        memset(&h, 0, sizeof h);
        h.rig = *state;
        h.plan = &plan;
        hammer_run(&h, &rng);
        // A bucket: what it holds, and what flows in.
        uint64_t most = RULES[i].limit * (RULES[i].algorithm == FB_LIMIT_TOKEN ? 2 : 1);
        assert_in_range(hammer_most(&h, plan.window_us), 1, most);
    }
}

#define LIMITS_CLAIM(name) \
    cmocka_unit_test_setup_teardown(test_limits__##name, limits_setup, limits_teardown)
#define LIMITS_CLAIMS                                              \
    LIMITS_CLAIM(the_script_decides_as_memory_does),               \
    LIMITS_CLAIM(a_check_is_one_command),                          \
    LIMITS_CLAIM(eight_limits_are_one_command),                    \
    LIMITS_CLAIM(what_changes_nothing_writes_nothing),             \
    LIMITS_CLAIM(all_are_charged_or_none),                         \
    LIMITS_CLAIM(one_rule_named_twice_counts_twice),               \
    LIMITS_CLAIM(the_servers_clock_counts),                        \
    LIMITS_CLAIM(another_period_is_told_and_nothing_done),         \
    LIMITS_CLAIM(another_override_is_told_and_nothing_done),       \
    LIMITS_CLAIM(bytes_that_are_no_override_are_none),             \
    LIMITS_CLAIM(leases_live_as_in_an_array),                      \
    LIMITS_CLAIM(leases_heed_overrides_and_end_with_their_key),    \
    LIMITS_CLAIM(what_is_forgotten_begins_anew),                   \
    LIMITS_CLAIM(subjects_share_no_quota),                         \
    LIMITS_CLAIM(no_window_has_more_than_the_limit)

#endif
