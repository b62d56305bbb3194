// Each allocation fails in turn: nothing leaks, nothing is half done, and the next try succeeds.

#include "engine_rig.h"

#define HEAD "memory: 4MiB\nloops: 2\nworkers: 2\nsources: {base: {sqlite: a.db}}\nclasses:\n"
#define ITEM "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, tags: ['kind:{kind}'],\n"
#define FULL                                                                                      \
    HEAD ITEM                                                                                     \
        "         query: 'SELECT kind, version FROM item WHERE id = :id'}\n"                      \
        "  mine: {key: 'mine:{id}:end', ttl: 1h, index: [id]}\n"                                  \
        "  more: {key: 'more:{id}', source: base, one: true, ttl: 1h, warm: {query: 'SELECT id "  \
        "FROM item', top: 3},\n"                                                                  \
        "         query: 'SELECT version FROM item WHERE id = :id',\n"                            \
        "         batch: {query: 'SELECT j.value AS id, version FROM json_each(:id) j JOIN item " \
        "i\n"                                                                                     \
        "                 ON i.id = j.value', by: id, wait: 1ms}}\n"
#define SHORT                                                             \
    HEAD "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h,\n" \
         "         query: 'SELECT version FROM item WHERE id = :id'}\n"

// What a call gives: where it met the failure, once more, which must succeed.
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

typedef struct given {
    fb_config *config, *other;
    fb_engine *engine;  // with the scenarios that want an open one
    uint32_t turn;
} given;

static int open_it(void *arg) {
    given *all = arg;
    fb_engine *engine = NULL;
    fb_error error = {0};
    int result = fb_open(all->config, &engine, &error);
    assert_true(result == FB_OK || (engine == NULL && error.text[0] != '\0'));
    fb_close(engine, 1000);
    return result;
}

static int check_it(void *arg) {
    given *all = arg;
    fb_error error = {0};
    int result = fb_check(all->config, &error);
    assert_true(result == FB_OK || error.text[0] != '\0');
    return result;
}

static int load_mine(void *arg, const fb_load *what, fb_loaded *loaded) {
    (void)arg, (void)what;
    int result = fb_loaded_value(loaded, FB_STR("mine"));
    return result < 0 ? result : fb_loaded_tag(loaded, FB_STR("tag"));
}

static int fetch(fb_engine *engine, const fb_request *request) {
    fb_value value;
    fb_error error;
    int result = fb_fetch(engine, request, &value, &error);
    assert_true(result < 0 || value.owner != NULL);
    fb_value_release(&value);
    return result;
}

typedef struct later {
    atomic_int calls, result;
} later;

static void note_result(void *arg, int result, const fb_value *value, const fb_error *error) {
    later *one = arg;
    assert_true((result == FB_OK) == (value != NULL) && (result < 0) == (error != NULL));
    atomic_store(&one->result, result);
    atomic_fetch_add(&one->calls, 1);
}

static int start(fb_engine *engine, const fb_request *request) {
    later one = {0};
    int result = fb_fetch_start(engine, request, note_result, &one);
    rig_until(atomic_load(&one.calls) == 1);
    assert_true(result == FB_PENDING || result == atomic_load(&one.result));
    return atomic_load(&one.result);
}

// Every call that answers callers, on an engine of its own.
static int use_all(fb_engine *engine, bool *met) {
    fb_param id = {FB_STR("id"), FB_STR("1")};
    fb_request sql = {.class_name = FB_STR("item"), .params = &id, .param_count = 1};
    fb_request many = {
        .class_name = FB_STR("more"), .params = &id, .param_count = 1, .refresh = true};
    fb_request mine = {
        .class_name = FB_STR("mine"), .params = &id, .param_count = 1, .loader = load_mine};
    fb_once once = {.key = FB_STR("k"), .window_ms = 1000, .loader = load_mine};
    fb_str tags[] = {FB_STR("a"), FB_STR("b")};
    fb_set_options options = {.ttl_ms = 1000, .tags = tags, .tag_count = 2};
    fb_invalidation index = {.scope = FB_SCOPE_PATTERN, .name = FB_STR("mine:1:*"), .soft = true};
    fb_invalidation glob = {.scope = FB_SCOPE_PATTERN, .name = FB_STR("i*m:?"), .soft = true};
    fb_invalidation key = {.scope = FB_SCOPE_KEY, .name = FB_STR("item:1"), .soft = true};
    fb_explanation told;
    fb_value value;
    fb_error error;
    fb_stats stats;
    int64_t number = 0;
    for (int turn = 0; turn < 2; turn++) {
        again(met, fetch(engine, &sql));
        again(met, fetch(engine, &many));
        again(met, fetch(engine, &mine));
        again(met, start(engine, &sql));
        again(met, start(engine, &mine));
        again(met, fb_dedupe(engine, &once, &value, &error));
        fb_value_release(&value);
    }
    again(met, fb_get_copy(engine, FB_STR("item:1"), &value));
    fb_value_release(&value);
    again(met, fb_set(engine, FB_STR("mine:2:end"), FB_STR("2"), &options));
    again(met, fb_incr(engine, FB_STR("mine:2:end"), 3, &number));
    again(met, fb_expire(engine, FB_STR("mine:2:end"), 5000));
    again(met, fb_persist(engine, FB_STR("mine:2:end")));
    again(met, fb_explain(engine, FB_STR("mine:2:end"), &told));
    again(met, fb_stats_read(engine, &stats));
    fb_stats_release(&stats);
    again(met, fb_invalidate(engine, &index, NULL));
    again(met, fb_invalidate(engine, &glob, NULL));
    again(met, fb_invalidate(engine, &key, NULL));
    again(met, fb_warm(engine, FB_STR("item"), &id, 1, NULL, &error));
    again(met, fb_warm(engine, FB_STR("more"), NULL, 0, NULL, &error));
    again(met, fb_warm_top(engine, FB_STR("item"), 5, NULL));
    return FB_OK;
}

static int use_it(void *arg) {
    given *all = arg;
    fb_engine *engine = NULL;
    fb_error error;
    bool met = false;
    int result = fb_open(all->config, &engine, &error);
    if (result == FB_OK) {
        result = use_all(engine, &met);
    }
    fb_close(engine, 1000);
    return result == FB_OK && met ? FB_ENOMEM : result;
}

static int reload_it(void *arg) {
    given *all = arg;
    fb_engine *engine = NULL;
    fb_error error;
    fb_param id = {FB_STR("id"), FB_STR("1")};
    fb_request sql = {.class_name = FB_STR("item"), .params = &id, .param_count = 1};
    fb_value value = {0};
    int result = fb_open(all->config, &engine, &error);
    if (result == FB_OK) {
        result = fb_reload(engine, all->other, NULL, NULL, &error);
        int asked = fb_fetch(engine, &sql, &value, &error);
        if (result == FB_OK && asked == FB_OK) {
            assert_str(value.data, "{\"version\":0}");
        } else if (asked == FB_OK) {  // refused: all is as before
            assert_result(result, FB_ENOMEM);
            assert_str(value.data, "{\"kind\":\"a\",\"version\":0}");
        }
        result = result == FB_OK ? asked : result;
        fb_value_release(&value);
    }
    fb_close(engine, 1000);
    return result;
}

static int sweep(int (*scenario)(void *arg), const char *name) {
    given all = {.config = rig_config(FULL), .other = rig_config(SHORT)};
    fb_error error = {0};
    if (fb_check(all.config, &error) < 0) {
        fail_msg("%s", error.text);
    }
    assert_ok(scenario(&all));  // what a thread and a process keep is there from now on
    size_t count = test_memory_sweep(scenario, &all);
    printf("%s: %zu allocations\n", name, count);
    fb_config_free(all.config);
    fb_config_free(all.other);
    return (int)count;
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

static void test_faults__checking(void **state) {
    (void)state;
    assert_true(sweep(check_it, "check") > 20);
}

static void test_faults__opening(void **state) {
    (void)state;
    assert_true(sweep(open_it, "open") > 50);
}

static void test_faults__using(void **state) {
    (void)state;
    assert_true(sweep(use_it, "use") > 100);
}

static void test_faults__reloading(void **state) {
    (void)state;
    assert_true(sweep(reload_it, "reload") > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_faults__checking, quiet, rig_down),
        cmocka_unit_test_setup_teardown(test_faults__opening, quiet, rig_down),
        cmocka_unit_test_setup_teardown(test_faults__using, quiet, rig_down),
        cmocka_unit_test_setup_teardown(test_faults__reloading, quiet, rig_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
