// fb_limit_check() and its kin in memory, end to end, with clocks that the test moves.

#include "limits_rig.h"

#define YAML                                                                                     \
    "memory: 1MiB\nloops: 1\nworkers: 1\nlimits:\n"                                              \
    "  calls: {limit: 3, window: 10s, tiers: {premium: {limit: 5}, staff: {exempt: true}}}\n"    \
    "  many: {limit: 100, window: 10s}\n"                                                        \
    "  drip: {algorithm: token, limit: 10, window: 10s, burst: 2}\n"                             \
    "  plan: {algorithm: fixed, limit: 4, calendar: day, time_zone: Europe/Berlin}\n"            \
    "  slot: {algorithm: fixed, limit: 4, window: 1m}\n"                                         \
    "  jobs: {algorithm: slots, limit: 2, window: 1m}\n"                                         \
    "  guarded: {limit: 2, window: 10s, exempt: ['ops:*', root], deny: ['bad:*']}\n"             \
    "  seen: {limit: 1, window: 10s, shadow: true}\n"                                            \
    "  tries: {limit: 3, window: 10s, charge_denied: true, per: address}\n"                      \
    "  small: {limit: 1, window: 10s, keys_max: 4, on_full: closed}\n"                           \
    "  loose: {limit: 1, window: 10s, keys_max: 4}\n"                                            \
    "  off: {limit: 1, window: 1s, enabled: false}\n"

static void test_limits_here__the_four_of_the_start_are_there(void **state) {
    fb_engine *engine = rig_open("memory: 1MiB\n");
    fb_verdict verdict;
    (void)state;
    assert_int_equal(limits_admitted(engine, "generation", "user:1", 15), 10);
    assert_int_equal(limits_admitted(engine, "api", "user:1", 150), 100);
    assert_int_equal(limits_admitted(engine, "improvement", "user:1", 30), 20);
    assert_int_equal(limits_admitted(engine, "auth", "192.0.2.1", 9), 5);
    assert_result(limits_ask(engine, "generation", "user:2", 1, 0, &verdict), FB_OK);
    assert_int_equal(verdict.remaining, 9);
    assert_int_equal(verdict.limit, 10);
    assert_int_equal(verdict.window_us, 60 * RIG_SECOND_US);
    assert_string_equal(verdict.rule, "generation");
    assert_string_equal(verdict.message, "generations");
    assert_int_equal(verdict.source, FB_LIMIT_BY_MEMORY);
    assert_false(verdict.degraded);
    fb_close(engine, 0);
}

static void test_limits_here__who_is_denied_passes_after_retry(void **state) {
    static const char *const rules[] = {"calls", "drip", "plan", "slot", "many"};
    fb_engine *engine = rig_open(YAML);
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        fb_verdict verdict;
        while (limits_ask(engine, rules[i], "k", 1, 0, &verdict) == FB_OK) {
        }
        assert_true(verdict.denied && !verdict.allowed && !verdict.impossible);
        assert_true(verdict.retry_us >= 1 && verdict.reset_us >= verdict.retry_us);
        limits_pass(engine, verdict.retry_us);
        assert_result(limits_ask(engine, rules[i], "k", 1, 0, &verdict), FB_OK);
        assert_int_equal(verdict.retry_us, 0);
    }
    fb_close(engine, 0);
}

static void test_limits_here__a_peek_charges_nothing(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict verdict;
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_result(limits_ask(engine, "calls", "k", 2, FB_LIMIT_PEEK, &verdict), FB_OK);
        assert_int_equal(verdict.remaining, 3);
    }
    assert_result(limits_ask(engine, "calls", "k", 4, 0, &verdict), FB_LIMITED);
    assert_true(verdict.impossible);
    assert_int_equal(verdict.retry_us, -1);
    assert_int_equal(limits_figures(engine, "calls").allowed, 0);
    assert_int_equal(limits_figures(engine, "calls").denied, 1);
    fb_close(engine, 0);
}

static void test_limits_here__tiers_have_quotas_of_their_own(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question question = limits_question("calls", "k", 1);
    fb_verdict verdict;
    int premium = 0, none = 0;
    (void)state;
    question.tier = FB_STR("premium");
    for (int i = 0; i < 10; i++) {
        premium += fb_limit_check(engine, &question, 1, 0, &verdict, NULL) == FB_OK;
    }
    assert_int_equal(premium, 5);
    assert_int_equal(verdict.limit, 5);
    question.tier = FB_STR("of another rule");
    for (int i = 0; i < 10; i++) {
        none += fb_limit_check(engine, &question, 1, 0, &verdict, NULL) == FB_OK;
    }
    assert_int_equal(none, 3);
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 0);
    question.tier = FB_STR("staff");
    for (int i = 0; i < 10; i++) {
        assert_result(fb_limit_check(engine, &question, 1, 0, &verdict, NULL), FB_OK);
        assert_int_equal(verdict.source, FB_LIMIT_BY_EXEMPT);
    }
    fb_close(engine, 0);
}

static void test_limits_here__lists_say_who_passes_and_who_does_not(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict verdict;
    (void)state;
    assert_int_equal(limits_admitted(engine, "guarded", "ops:deploy", 9), 9);
    assert_int_equal(limits_admitted(engine, "guarded", "root", 9), 9);
    assert_int_equal(limits_admitted(engine, "guarded", "rooted", 9), 2);
    assert_result(limits_ask(engine, "guarded", "bad:1", 1, 0, &verdict), FB_LIMITED);
    assert_int_equal(verdict.source, FB_LIMIT_BY_BARRED);
    assert_int_equal(verdict.retry_us, -1);
    fb_close(engine, 0);
}

static void test_limits_here__shadow_mode_counts_and_lets_pass(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question both[2] = {limits_question("seen", "k", 1), limits_question("calls", "k", 1)};
    fb_verdict verdicts[2];
    (void)state;
    assert_result(fb_limit_check(engine, both, 2, 0, verdicts, NULL), FB_OK);
    assert_false(verdicts[0].denied);
    assert_result(fb_limit_check(engine, both, 2, 0, verdicts, NULL), FB_OK);
    assert_true(verdicts[0].denied && verdicts[0].allowed);
    assert_int_equal(verdicts[1].remaining, 1);
    fb_limit_figures figures = limits_figures(engine, "seen");
    assert_int_equal(figures.allowed, 2);
    assert_int_equal(figures.shadowed, 1);
    assert_int_equal(figures.denied, 0);
    assert_int_equal(figures.charged, 1);
    assert_true(figures.shadow);
    fb_close(engine, 0);
}

static void test_limits_here__several_are_charged_all_or_none(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question three[3] = {limits_question("many", "a", 10),
                                  limits_question("calls", "b", 2),
                                  limits_question("drip", "a", 1)};
    fb_verdict verdicts[3];
    (void)state;
    assert_result(fb_limit_check(engine, three, 3, 0, verdicts, NULL), FB_OK);
    assert_result(fb_limit_check(engine, three, 3, 0, verdicts, NULL), FB_LIMITED);
    assert_true(verdicts[0].allowed && !verdicts[1].allowed && verdicts[2].allowed);
    assert_int_equal(limits_left(engine, "many", "a"), 90);
    assert_int_equal(limits_left(engine, "calls", "b"), 1);
    assert_int_equal(limits_left(engine, "drip", "a"), 1);
    assert_int_equal(limits_figures(engine, "many").charged, 10);
    fb_close(engine, 0);
}

static void test_limits_here__what_is_denied_may_be_charged(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict verdict;
    (void)state;
    assert_int_equal(limits_admitted(engine, "tries", "192.0.2.7", 3), 3);
    for (int i = 0; i < 12; i++) {
        limits_pass(engine, 3 * RIG_SECOND_US);
        assert_result(limits_ask(engine, "tries", "192.0.2.7", 1, 0, &verdict), FB_LIMITED);
    }
    // Networks count as one, however they are written.
    assert_int_equal(limits_admitted(engine, "tries", "2001:db8:1:2::1", 2), 2);
    assert_int_equal(limits_admitted(engine, "tries", "[2001:DB8:1:2:ffff::2]", 2), 1);
    fb_close(engine, 0);
}

static void test_limits_here__a_refund_gives_back(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question question = limits_question("calls", "k", 2);
    fb_verdict verdict;
    (void)state;
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 3);
    assert_ok(fb_limit_refund(engine, &question, &verdict, NULL));
    assert_int_equal(verdict.remaining, 2);
    assert_true(verdict.allowed);
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 2);
    assert_int_equal(limits_figures(engine, "calls").refunded, 2);
    assert_ok(fb_limit_refund(engine, &question, NULL, NULL));
    assert_int_equal(limits_left(engine, "calls", "k"), 2);
    fb_close(engine, 0);
}

static void test_limits_here__a_reset_begins_anew(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question premium = limits_question("calls", "k", 5);
    fb_verdict verdict;
    (void)state;
    premium.tier = FB_STR("premium");
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 3);
    assert_int_equal(limits_admitted(engine, "calls", "other", 5), 3);
    assert_result(fb_limit_check(engine, &premium, 1, 0, &verdict, NULL), FB_OK);
    assert_ok(fb_limit_reset(engine, FB_STR("calls"), FB_STR("k"), NULL));
    assert_int_equal(limits_left(engine, "calls", "k"), 3);
    assert_int_equal(limits_left(engine, "calls", "other"), 0);
    assert_result(fb_limit_check(engine, &premium, 1, 0, &verdict, NULL), FB_OK);
    fb_close(engine, 0);
}

static void set_override(fb_engine *engine, const char *key, fb_limit_override_kind kind,
                         uint32_t limit, int64_t for_ms) {
    fb_limit_override override = {.kind = kind, .limit = limit, .for_ms = for_ms};
    assert_ok(fb_limit_override_set(engine, FB_STR("calls"), fb_str_of(key), &override, NULL));
}

static void test_limits_here__an_override_holds_for_its_time(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict verdict;
    (void)state;
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 3);
    set_override(engine, "k", FB_LIMIT_OVERRIDE_LIMIT, 200, 5000);
    assert_int_equal(limits_admitted(engine, "calls", "k", 250), 200);
    assert_int_equal(limits_admitted(engine, "calls", "other", 5), 3);
    set_override(engine, "k", FB_LIMIT_OVERRIDE_LIMIT, 200, 5000);
    assert_int_equal(limits_admitted(engine, "calls", "k", 250), 200);
    limits_pass(engine, 6 * RIG_SECOND_US);
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 0);
    set_override(engine, "k", FB_LIMIT_OVERRIDE_ALLOW, 0, 5000);
    assert_int_equal(limits_admitted(engine, "calls", "k", 50), 50);
    set_override(engine, "k", FB_LIMIT_OVERRIDE_DENY, 0, 60000);
    limits_pass(engine, 20 * RIG_SECOND_US);
    assert_result(limits_ask(engine, "calls", "k", 1, 0, &verdict), FB_LIMITED);
    assert_int_equal(verdict.source, FB_LIMIT_BY_BARRED);
    set_override(engine, "k", FB_LIMIT_OVERRIDE_NONE, 0, 0);
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 3);
    set_override(engine, "k", FB_LIMIT_OVERRIDE_DENY, 0, 60000);
    assert_ok(fb_limit_reset(engine, FB_STR("calls"), FB_STR("k"), NULL));
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 3);
    fb_close(engine, 0);
}

// Whatever its name is.
static void test_limits_here__an_override_is_of_one_rule_and_key(void **state) {
    fb_engine *engine = rig_open("limits:\n"
                                 "  calls: {limit: 3, window: 10m}\n"
                                 "  mails: {limit: 3, window: 10m}\n");
    (void)state;
    set_override(engine, "calls:", FB_LIMIT_OVERRIDE_LIMIT, 9, 5000);
    set_override(engine, "mails:", FB_LIMIT_OVERRIDE_ALLOW, 0, 5000);
    assert_int_equal(limits_admitted(engine, "calls", "calls:", 20), 9);
    assert_int_equal(limits_admitted(engine, "calls", "mails:", 20), 20);
    assert_int_equal(limits_admitted(engine, "mails", "mails:", 20), 3);
    assert_int_equal(limits_admitted(engine, "mails", "calls:", 20), 3);
    fb_close(engine, 0);
}

static void test_limits_here__wrong_questions_ask_nothing(void **state) {
    static char long_key[FB_LIMIT_KEY_MAX + 1];
    fb_engine *engine = rig_open(YAML);
    fb_limit_question pair[9] = {limits_question("calls", "k", 1)};
    fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_LIMIT, .limit = 0, .for_ms = 10};
    fb_verdict verdicts[9];
    fb_error error = {0};
    (void)state;
    memset(long_key, 'x', sizeof long_key);
    for (int i = 1; i < 9; i++) {
        pair[i] = limits_question("many", "k", 1);
    }
    assert_result(fb_limit_check(engine, pair, 0, 0, verdicts, &error), FB_EINVAL);
    assert_result(fb_limit_check(engine, pair, 9, 0, verdicts, &error), FB_EINVAL);
    pair[1] = limits_question("none", "k", 1);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, &error), FB_ENOLIMIT);
    assert_string_equal(error.text, "there is no limit 'none'");
    pair[0] = limits_question("cals", "k", 1);
    assert_result(fb_limit_check(engine, pair, 1, 0, verdicts, &error), FB_ENOLIMIT);
    assert_string_equal(error.text, "there is no limit 'cals'; did you mean 'calls'?");
    pair[0] = limits_question("", "k", 1);
    assert_result(fb_limit_check(engine, pair, 1, 0, verdicts, &error), FB_ENOLIMIT);
    assert_string_equal(error.text, "there is no limit ''");
    pair[0] = limits_question("many", "k", 1);
    pair[1] = limits_question("off", "k", 1);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, &error), FB_ENOLIMIT);
    pair[1] = limits_question("jobs", "k", 1);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, &error), FB_EINVAL);
    pair[1] = limits_question("many", "", 1);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, &error), FB_EINVAL);
    pair[1].key = fb_str_make(long_key, sizeof long_key);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, &error), FB_ETOOBIG);
    pair[1] = limits_question("many", "k", FB_LIMIT_COST_MAX + 1);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, &error), FB_EINVAL);
    assert_int_equal(limits_left(engine, "calls", "k"), 3);
    assert_result(fb_limit_override_set(engine, FB_STR("calls"), FB_STR("k"), &override, &error),
                  FB_EINVAL);
    override = (fb_limit_override){.kind = FB_LIMIT_OVERRIDE_LIMIT, .limit = 3, .for_ms = 10};
    assert_result(fb_limit_override_set(engine, FB_STR("jobs"), FB_STR("k"), &override, &error),
                  FB_EINVAL);
    fb_close(engine, 0);
}

static void test_limits_here__a_full_table_opens_or_closes(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question pair[2] = {limits_question("calls", "k", 1),
                                 limits_question("small", "z", 1)};
    fb_verdict verdicts[2];
    char key[16];
    (void)state;
    for (int i = 0; i < 4; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(limits_admitted(engine, "small", key, 2), 1);
        assert_int_equal(limits_admitted(engine, "loose", key, 2), 1);
    }
    assert_result(limits_ask(engine, "loose", "z", 1, 0, verdicts), FB_OK);
    assert_int_equal(verdicts[0].source, FB_LIMIT_BY_OPEN);
    assert_int_equal(limits_figures(engine, "loose").untracked, 1);
    assert_result(fb_limit_check(engine, pair, 2, 0, verdicts, NULL), FB_LIMITED);
    assert_int_equal(verdicts[1].source, FB_LIMIT_BY_CLOSED);
    assert_true(verdicts[1].retry_us >= 1);
    assert_int_equal(limits_left(engine, "calls", "k"), 3);
    // Live denials are kept.
    assert_int_equal(limits_admitted(engine, "loose", "k0", 1), 0);
    fb_close(engine, 0);
}

static void test_limits_here__calendars_turn_in_their_zone(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict verdict;
    (void)state;
    assert_int_equal(limits_admitted(engine, "plan", "k", 9), 4);
    assert_result(limits_ask(engine, "plan", "k", 1, 0, &verdict), FB_LIMITED);
    assert_int_equal(verdict.retry_us, verdict.reset_us);
    assert_true(verdict.retry_us <= INT64_C(25) * 3600 * RIG_SECOND_US);
    int64_t midnight_us = fb_limits_wall_us(engine->limits) + verdict.retry_us;
    // Berlin is one or two hours ahead of UTC.
    int64_t hour = midnight_us / RIG_SECOND_US % 86400 / 3600;
    assert_true(hour == 22 || hour == 23 || hour == 21);
    limits_pass(engine, verdict.retry_us);
    assert_int_equal(limits_admitted(engine, "plan", "k", 9), 4);
    fb_close(engine, 0);
}

static void test_limits_here__a_zone_that_is_none_is_refused_with_its_place(void **state) {
    fb_config *config = rig_config("limits:\n  plan: {algorithm: fixed, limit: 4, calendar: day,"
                                   " time_zone: Europe/Atlantis}\n");
    fb_engine *engine = NULL;
    fb_error error = {0};
    (void)state;
    assert_ok(fb_config_check(config, NULL));
    assert_result(fb_check(config, &error), FB_EINVAL);
    assert_string_equal(error.text, "limits.plan.time_zone: this machine knows no time zone "
                                    "\"Europe/Atlantis\"");
    assert_int_equal(error.line, 2);
    assert_result(fb_open(config, &engine, &error), FB_EINVAL);
    assert_null(engine);
    engine = rig_open(YAML);
    assert_result(fb_reload(engine, config, NULL, NULL, &error), FB_EINVAL);
    assert_int_equal(limits_admitted(engine, "calls", "k", 5), 3);
    fb_config_free(config);
    fb_close(engine, 0);
}

// ---- reloads

static void test_limits_here__a_reload_keeps_what_was_used(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict before;
    fb_error error = {0};
    (void)state;
    assert_int_equal(limits_admitted(engine, "calls", "k", 2), 2);
    assert_int_equal(limits_admitted(engine, "many", "k", 100), 100);
    assert_int_equal(limits_admitted(engine, "drip", "k", 3), 2);
    assert_result(limits_ask(engine, "calls", "k", 0, FB_LIMIT_PEEK, &before), FB_OK);
    assert_ok(rig_reload(engine,
                         "memory: 1MiB\nloops: 1\nworkers: 1\nlimits:\n"
                         "  calls: {limit: 4, window: 10s, message: calls}\n"
                         "  many: {limit: 100, window: 20s}\n"
                         "  drip: {algorithm: token, limit: 10, window: 10s, burst: 2}\n"
                         "  fresh: {limit: 1, window: 1s}\n",
                         &error));
    assert_int_equal(limits_left(engine, "calls", "k"), 2);
    assert_int_equal(limits_left(engine, "drip", "k"), 0);
    assert_int_equal(limits_left(engine, "many", "k"), 100);
    assert_int_equal(limits_admitted(engine, "fresh", "k", 2), 1);
    assert_int_equal(limits_figures(engine, "calls").allowed, 2);
    assert_string_equal(before.rule, "calls");
    assert_string_equal(before.message, "requests");
    fb_limit_question gone = limits_question("jobs", "k", 1);
    assert_result(fb_limit_check(engine, &gone, 1, 0, &before, &error), FB_ENOLIMIT);
    fb_close(engine, 0);
}

// ---- leases

static void test_limits_here__leases_end_when_released_or_by_themselves(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_limit_question question = limits_question("jobs", "k", 1);
    uint64_t one = 0, two = 0, three = 0;
    fb_verdict verdict;
    (void)state;
    assert_result(fb_slot_acquire(engine, &question, 5000, &one, &verdict, NULL), FB_OK);
    assert_int_equal(verdict.remaining, 1);
    assert_result(fb_slot_acquire(engine, &question, 0, &two, &verdict, NULL), FB_OK);
    assert_true(one != 0 && two != 0 && one != two);
    assert_result(fb_slot_acquire(engine, &question, 0, &three, &verdict, NULL), FB_LIMITED);
    assert_true(verdict.retry_us >= 1 && verdict.retry_us <= 5 * RIG_SECOND_US);
    assert_ok(fb_slot_release(engine, &question, two, NULL));
    assert_result(fb_slot_release(engine, &question, two, NULL), FB_MISS);
    assert_result(fb_slot_peek(engine, &question, &verdict, NULL), FB_OK);
    assert_int_equal(verdict.remaining, 1);
    assert_ok(fb_slot_renew(engine, &question, one, 20000, NULL));
    limits_pass(engine, 10 * RIG_SECOND_US);
    assert_result(fb_slot_peek(engine, &question, &verdict, NULL), FB_OK);
    assert_int_equal(verdict.remaining, 1);
    limits_pass(engine, 11 * RIG_SECOND_US);
    assert_result(fb_slot_renew(engine, &question, one, 20000, NULL), FB_MISS);
    assert_result(fb_slot_peek(engine, &question, &verdict, NULL), FB_OK);
    assert_int_equal(verdict.remaining, 2);
    assert_result(fb_slot_acquire(engine, &question, -1, &one, &verdict, NULL), FB_EINVAL);
    question.rule = FB_STR("calls");
    assert_result(fb_slot_acquire(engine, &question, 0, &one, &verdict, NULL), FB_EINVAL);
    fb_close(engine, 0);
}

// ---- without a rule

static void test_limits_here__a_throttle_is_a_bucket_of_its_own(void **state) {
    fb_engine *engine = rig_open(YAML);
    fb_verdict verdict;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_result(fb_throttle(engine, FB_STR("k"), 2, 1, 10, 1, &verdict, NULL), FB_OK);
        assert_int_equal(verdict.limit, 3);
        assert_int_equal(verdict.remaining, 2 - i);
    }
    assert_result(fb_throttle(engine, FB_STR("k"), 2, 1, 10, 1, &verdict, NULL), FB_LIMITED);
    assert_true(verdict.retry_us > 0 && verdict.retry_us <= 10 * RIG_SECOND_US);
    assert_result(fb_throttle(engine, FB_STR("other"), 2, 1, 10, 1, &verdict, NULL), FB_OK);
    limits_pass(engine, 10 * RIG_SECOND_US);
    assert_result(fb_throttle(engine, FB_STR("k"), 2, 1, 10, 0, &verdict, NULL), FB_OK);
    assert_int_equal(verdict.remaining, 1);
    assert_result(fb_throttle(engine, FB_STR("k"), 2, 1, 10, 1, &verdict, NULL), FB_OK);
    assert_result(fb_throttle(engine, FB_STR("k"), -1, 1, 10, 1, &verdict, NULL), FB_EINVAL);
    assert_result(fb_throttle(engine, FB_STR("k"), 1, 0, 10, 1, &verdict, NULL), FB_EINVAL);
    assert_result(fb_throttle(engine, FB_STR("k"), 1, 1, 10, -1, &verdict, NULL), FB_EINVAL);
    assert_result(fb_throttle(engine, FB_STR(""), 1, 1, 10, 1, &verdict, NULL), FB_EINVAL);
    fb_close(engine, 0);
}

// ---- figures

static void test_limits_here__figures_count_and_are_reset(void **state) {
    fb_engine *engine = rig_open(YAML);
    (void)state;
    assert_int_equal(limits_admitted(engine, "calls", "loud", 10), 3);
    assert_int_equal(limits_admitted(engine, "calls", "louder", 20), 3);
    fb_limit_figures figures = limits_figures(engine, "calls");
    assert_string_equal(figures.algorithm, "sliding");
    assert_string_equal(figures.per, "user");
    assert_int_equal(figures.allowed, 6);
    assert_int_equal(figures.denied, 24);
    assert_int_equal(figures.charged, 6);
    assert_int_equal(figures.keys, 2);
    assert_int_equal(figures.keys_max, 200000);
    assert_true(figures.bytes > 0);
    assert_int_equal(figures.top_count, 2);
    assert_int_equal(figures.top[0].count, 17);
    assert_int_equal(strlen(figures.top[0].key), 16);
    fb_stats_reset(engine);
    figures = limits_figures(engine, "calls");
    assert_int_equal(figures.allowed + figures.denied + figures.charged, 0);
    assert_int_equal(figures.top_count, 0);
    assert_int_equal(figures.keys, 2);
    fb_close(engine, 0);
}

// Rules with lists, which name nobody here, go another way through the engine.
#define TWINS                                                                                     \
    "memory: 1MiB\nloops: 1\nworkers: 1\nlimits:\n"                                              \
    "  ring1: {limit: 6, window: 650000s}\n"                                                      \
    "  ring2: {limit: 6, window: 650000s, exempt: [nobody]}\n"                                    \
    "  parts1: {limit: 100, window: 650000s, charge_denied: true}\n"                              \
    "  parts2: {limit: 100, window: 650000s, charge_denied: true, deny: [nobody]}\n"              \
    "  token1: {algorithm: token, limit: 6, window: 650000s, shadow: true}\n"                     \
    "  token2: {algorithm: token, limit: 6, window: 650000s, shadow: true, deny: [nobody]}\n"     \
    "  fixed1: {algorithm: fixed, limit: 9, window: 650000s, per: address}\n"                     \
    "  fixed2: {algorithm: fixed, limit: 9, window: 650000s, per: address, deny: [nobody]}\n"

static void ask_twins(fb_engine *engine, const char *name, uint32_t cost, unsigned flags) {
    char rules[2][16];
    fb_verdict verdicts[2];
    int results[2];
    memset(verdicts, 0xff, sizeof verdicts);  // nothing of them is left as it was
    for (int i = 0; i < 2; i++) {
        (void)snprintf(rules[i], sizeof rules[i], "%s%d", name, i + 1);
        results[i] = limits_ask(engine, rules[i], "192.0.2.7", cost, flags, &verdicts[i]);
        assert_string_equal(verdicts[i].rule, rules[i]);
        assert_string_equal(verdicts[i].message, verdicts[0].message);
    }
    assert_int_equal(results[0], results[1]);
    assert_int_equal(verdicts[0].allowed, verdicts[1].allowed);
    assert_int_equal(verdicts[0].denied, verdicts[1].denied);
    assert_int_equal(verdicts[0].impossible, verdicts[1].impossible);
    assert_int_equal(verdicts[0].degraded, verdicts[1].degraded);
    assert_int_equal(verdicts[0].source, verdicts[1].source);
    assert_int_equal(verdicts[0].cost, verdicts[1].cost);
    assert_int_equal(verdicts[0].limit, verdicts[1].limit);
    assert_int_equal(verdicts[0].remaining, verdicts[1].remaining);
    assert_int_equal(verdicts[0].window_us, verdicts[1].window_us);
    assert_int_equal(verdicts[0].retry_us > 0, verdicts[1].retry_us > 0);
    assert_int_equal(verdicts[0].reset_us > 0, verdicts[1].reset_us > 0);
}

static void test_limits_here__both_ways_through_the_engine_come_to_the_same(void **state) {
    static const char *const names[] = {"ring", "parts", "token", "fixed"};
    fb_engine *engine = rig_open(TWINS);
    fb_rng rng = test_rng();
    (void)state;
    for (int i = 0; i < 400; i++) {
        const char *name = names[fb_rng_below(&rng, 4)];
        uint32_t most = name[0] == 'p' ? 40 : 4;
        ask_twins(engine, name, (uint32_t)fb_rng_below(&rng, most) + (i % 50 == 0 ? 200 : 0),
                  fb_rng_below(&rng, 5) == 0 ? FB_LIMIT_PEEK : 0);
        limits_pass(engine, (int64_t)fb_rng_below(&rng, 40000) * RIG_SECOND_US);
    }
    for (int i = 0; i < 4; i++) {
        char rules[2][16];
        (void)snprintf(rules[0], sizeof rules[0], "%s1", names[i]);
        (void)snprintf(rules[1], sizeof rules[1], "%s2", names[i]);
        fb_limit_figures one = limits_figures(engine, rules[0]);
        fb_limit_figures other = limits_figures(engine, rules[1]);
        assert_true(one.allowed > 0 && one.charged > 0);
        assert_int_equal(one.allowed, other.allowed);
        assert_int_equal(one.denied, other.denied);
        assert_int_equal(one.shadowed, other.shadowed);
        assert_int_equal(one.charged, other.charged);
        assert_int_equal(one.top_count, other.top_count);
    }
    fb_close(engine, 0);
}

static void test_limits_here__figures_tell_the_calendar(void **state) {
    fb_engine *engine = rig_open(YAML);
    (void)state;
    assert_string_equal(limits_figures(engine, "plan").calendar, "day");
    assert_string_equal(limits_figures(engine, "slot").calendar, "");
    assert_string_equal(limits_figures(engine, "calls").calendar, "");
    fb_close(engine, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_limits_here__the_four_of_the_start_are_there),
        rig_test(test_limits_here__who_is_denied_passes_after_retry),
        rig_test(test_limits_here__a_peek_charges_nothing),
        rig_test(test_limits_here__tiers_have_quotas_of_their_own),
        rig_test(test_limits_here__lists_say_who_passes_and_who_does_not),
        rig_test(test_limits_here__shadow_mode_counts_and_lets_pass),
        rig_test(test_limits_here__several_are_charged_all_or_none),
        rig_test(test_limits_here__what_is_denied_may_be_charged),
        rig_test(test_limits_here__a_refund_gives_back),
        rig_test(test_limits_here__a_reset_begins_anew),
        rig_test(test_limits_here__an_override_holds_for_its_time),
        rig_test(test_limits_here__an_override_is_of_one_rule_and_key),
        rig_test(test_limits_here__wrong_questions_ask_nothing),
        rig_test(test_limits_here__a_full_table_opens_or_closes),
        rig_test(test_limits_here__calendars_turn_in_their_zone),
        rig_test(test_limits_here__a_zone_that_is_none_is_refused_with_its_place),
        rig_test(test_limits_here__a_reload_keeps_what_was_used),
        rig_test(test_limits_here__leases_end_when_released_or_by_themselves),
        rig_test(test_limits_here__a_throttle_is_a_bucket_of_its_own),
        rig_test(test_limits_here__figures_count_and_are_reset),
        rig_test(test_limits_here__figures_tell_the_calendar),
        rig_test(test_limits_here__both_ways_through_the_engine_come_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
