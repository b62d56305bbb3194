// Limits where memory fails at any one place: a question is answered whatever comes, the rest says
// so and has changed nothing, and the next try succeeds.

#include "limits_rig.h"

#define YAML                                                                                      \
    "memory: 1MiB\nloops: 1\nworkers: 1\nlimits:\n"                                               \
    "  calls: {limit: 3, window: 10m, tiers: {premium: {limit: 70}}}\n"                           \
    "  tight: {limit: 1, window: 10m, on_full: closed}\n"                                         \
    "  plan: {algorithm: fixed, limit: 4, calendar: day, time_zone: Europe/Berlin}\n"             \
    "  jobs: {algorithm: slots, limit: 2, window: 1m}\n"
#define OTHER                                                                                     \
    "memory: 1MiB\nloops: 1\nworkers: 1\nlimits:\n"                                               \
    "  calls: {limit: 4, window: 10m, exempt: [root]}\n"                                          \
    "  fresh: {limit: 4, window: 10m, deny: ['x*']}\n"

enum { KEYS = 60 };

// A table that cannot grow goes on as one that is full.
static void ask_many(fb_engine *engine) {
    static const char *const rules[] = {"calls", "tight", "plan"};
    for (int i = 0; i < 3 * KEYS; i++) {
        char key[24];
        fb_verdict verdict;
        (void)snprintf(key, sizeof key, "key:%d", i / 3);
        int result = limits_ask(engine, rules[i % 3], key, 1, 0, &verdict);
        assert_true((result == FB_OK) == verdict.allowed);
    }
}

#define again(met, call)                   \
    do {                                   \
        int first = (call);                \
        if (first == FB_ENOMEM && !*met) { \
            *met = true;                   \
            first = (call);                \
        }                                  \
        if (first < 0) {                   \
            return first;                  \
        }                                  \
    } while (0)

static int use(fb_engine *engine, bool *met) {
    fb_limit_question jobs = limits_question("jobs", "k", 1);
    fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_LIMIT, .limit = 66, .for_ms = 60000};
    limits_found found = {.name = "calls"};
    fb_verdict verdict;
    fb_error error;
    uint64_t token = 0;
    ask_many(engine);
    again(met, fb_limit_override_set(engine, FB_STR("calls"), FB_STR("k"), &override, &error));
    assert_result(limits_ask(engine, "calls", "k", 30, 0, &verdict), FB_OK);
    again(met, fb_slot_acquire(engine, &jobs, 0, &token, &verdict, &error));
    again(met, fb_slot_release(engine, &jobs, token, &error));
    again(met, fb_throttle(engine, FB_STR("k"), 5, 1, 60, 1, &verdict, &error));
    again(met, fb_limit_figures_read(engine, limits_find, &found));
    again(met, fb_limit_reset(engine, FB_STR("calls"), FB_STR("k"), &error));
    assert_int_equal(limits_left(engine, "calls", "k"), 3);
    return FB_OK;
}

typedef struct given {
    fb_config *config, *other;
} given;

static int scenario(void *arg) {
    given *all = arg;
    fb_engine *engine = NULL;
    fb_verdict verdict;
    fb_error error;
    bool met = false;
    int result = fb_open(all->config, &engine, &error);
    if (result < 0) {
        return result;
    }
    result = use(engine, &met);
    if (result == FB_OK) {
        assert_int_equal(limits_admitted(engine, "calls", "r", 2), 2);
        result = fb_reload(engine, all->other, NULL, NULL, &error);
        if (result == FB_ENOMEM && !met) {
            assert_int_equal(limits_left(engine, "calls", "r"), 1);
            met = true;
            result = fb_reload(engine, all->other, NULL, NULL, &error);
        }
        assert_ok(result);
        assert_int_equal(limits_left(engine, "calls", "r"), 2);
        assert_result(limits_ask(engine, "fresh", "x", 1, 0, &verdict), FB_LIMITED);
    }
    fb_close(engine, 1000);
    return met && result == FB_OK ? FB_ENOMEM : result;
}

static void ignore_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level, (void)event, (void)fields;
}

static int quiet(void **state) {
    static const fb_hooks hooks = {.log = ignore_event};
    (void)test_memory_get();
    fb_hooks_set(&hooks);
    return rig_up(state);
}

static void test_limits_here_faults__a_question_is_always_answered(void **state) {
    given all = {.config = rig_config(YAML), .other = rig_config(OTHER)};
    (void)state;
    assert_ok(scenario(&all));  // what a thread and a process keep is there from now on
    size_t count = test_memory_sweep(scenario, &all);
    printf("%zu allocations\n", count);
    assert_true(count > 100);
    fb_config_free(all.config);
    fb_config_free(all.other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_limits_here_faults__a_question_is_always_answered, quiet, rig_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
