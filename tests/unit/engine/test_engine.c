// The engine through its public headers alone: real threads, loaders that wait for conditions.

#include <pthread.h>
#include <stdatomic.h>

#include <forebay/forebay.h>

#include "support.h"

// A gate that loaders stop at until the test opens it.
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int at_gate;        // loaders that came to it
    atomic_int loads;   // loaders run
    atomic_int version; // what a load brings
    int result;
} gate;

static void gate_init(gate *one, bool open) {
    memset(one, 0, sizeof *one);
    pthread_mutex_init(&one->lock, NULL);
    pthread_cond_init(&one->changed, NULL);
    one->open = open;
}

static void gate_open(gate *one) {
    pthread_mutex_lock(&one->lock);
    one->open = true;
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static void gate_await(gate *one, int at_gate) {
    pthread_mutex_lock(&one->lock);
    while (one->at_gate < at_gate) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

// Reads the version, then stops at the gate: an invalidation can come in between.
static int load(void *arg, const fb_load *what, fb_loaded *loaded) {
    gate *one = arg;
    char text[64];
    int version = atomic_load(&one->version);
    atomic_fetch_add(&one->loads, 1);
    pthread_mutex_lock(&one->lock);
    one->at_gate++;
    pthread_cond_broadcast(&one->changed);
    while (!one->open) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
    if (one->result < 0) {
        fb_loaded_error(loaded, FB_STR("the well is dry"));
    }
    if (one->result != FB_OK) {
        return one->result;
    }
    int len = snprintf(text, sizeof text, "{\"version\":%d}", version);
    assert_true(what->param_count == 1);
    return fb_loaded_value(loaded, fb_str_make(text, (size_t)len));
}

static fb_engine *open_with(const char *yaml) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {0};
    assert_ok(fb_config_new(&config));
    if (fb_config_read(config, fb_str_of(yaml), "test.yaml", &error) < 0 ||
        fb_open(config, &engine, &error) < 0) {
        fail_msg("%s:%u:%u: %s", error.file, error.line, error.column, error.text);
    }
    fb_config_free(config);
    return engine;
}

static const char *const YAML =
    "memory: 8MiB\n"
    "loops: 2\n"
    "workers: 4\n"
    "classes:\n"
    "  item: {key: 'item:{id}', ttl: 1h, memory_ttl: 1h, hard_timeout: 20s, tags: ['kind:{id}']}\n";

typedef struct asker {
    fb_engine *engine;
    fb_request request;
    fb_param id;
    int result;
    fb_value value;
    fb_error error;
    pthread_t thread;
} asker;

static void asker_init(asker *one, fb_engine *engine, gate *at, const char *id) {
    *one = (asker){.engine = engine, .id = {FB_STR("id"), fb_str_of(id)}};
    one->request = (fb_request){.class_name = FB_STR("item"), .params = &one->id, .param_count = 1,
                                .loader = load, .loader_arg = at};
}

static void *ask(void *arg) {
    asker *one = arg;
    one->result = fb_fetch(one->engine, &one->request, &one->value, &one->error);
    return NULL;
}

static void test_fetch__loads_once_and_then_answers_from_memory(void **state) {
    (void)state;
    gate at;
    gate_init(&at, true);
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    ask(&one);
    assert_ok(one.result);
    assert_str(one.value.data, "{\"version\":0}");
    assert_int_equal(one.value.tier, FB_TIER_SOURCE);
    assert_int_equal(one.value.kind, FB_KIND_JSON);
    fb_value_release(&one.value);
    ask(&one);
    assert_ok(one.result);
    assert_str(one.value.data, "{\"version\":0}");
    assert_int_equal(one.value.tier, FB_TIER_MEMORY);
    fb_value_release(&one.value);
    assert_int_equal(atomic_load(&at.loads), 1);
    fb_stats stats;
    assert_ok(fb_stats_read(engine, &stats));
    assert_int_equal(stats.all.hits, 1);
    assert_int_equal(stats.all.misses, 1);
    assert_int_equal(stats.all.loads, 1);
    assert_true(stats.all.hit.mean_ms > 0);
    assert_true(stats.all.miss.mean_ms > 0);
    fb_stats_release(&stats);
    fb_close(engine, 1000);
}

static void test_fetch__two_hundred_at_once_are_one_load(void **state) {
    (void)state;
    enum { COUNT = 200 };
    static asker askers[COUNT];
    gate at;
    gate_init(&at, false);
    fb_engine *engine = open_with(YAML);
    for (int i = 0; i < COUNT; i++) {
        asker_init(&askers[i], engine, &at, "7");
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    gate_await(&at, 1);
    gate_open(&at);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_ok(askers[i].result);
        assert_str(askers[i].value.data, "{\"version\":0}");
        fb_value_release(&askers[i].value);
    }
    assert_int_equal(atomic_load(&at.loads), 1);
    fb_close(engine, 1000);
}

static void test_fetch__that_an_invalidation_overtook_is_stored_nowhere(void **state) {
    (void)state;
    static const fb_invalidation ways[] = {
        {.scope = FB_SCOPE_KEY, .name = FB_STR_INIT("item:7")},
        {.scope = FB_SCOPE_PATTERN, .name = FB_STR_INIT("item:*")},
        {.scope = FB_SCOPE_TAG, .name = FB_STR_INIT("kind:7")},
        {.scope = FB_SCOPE_CLASS, .name = FB_STR_INIT("item")},
        {.scope = FB_SCOPE_NAMESPACE, .name = FB_STR_INIT("default")},
        {.scope = FB_SCOPE_ALL},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        gate at;
        gate_init(&at, false);
        fb_engine *engine = open_with(YAML);
        asker early, late;
        asker_init(&early, engine, &at, "7");
        asker_init(&late, engine, &at, "7");
        assert_int_equal(pthread_create(&early.thread, NULL, ask, &early), 0);
        gate_await(&at, 1);  // it has read version 0
        atomic_store(&at.version, 1);
        assert_ok(fb_invalidate(engine, &ways[i], NULL));
        assert_int_equal(pthread_create(&late.thread, NULL, ask, &late), 0);
        gate_open(&at);
        pthread_join(early.thread, NULL);
        pthread_join(late.thread, NULL);
        assert_ok(early.result);
        assert_str(early.value.data, "{\"version\":0}");  // its read began before
        assert_ok(late.result);
        assert_str(late.value.data, "{\"version\":1}");
        fb_value_release(&early.value);
        fb_value_release(&late.value);
        ask(&late);
        assert_str(late.value.data, "{\"version\":1}");
        fb_value_release(&late.value);
        fb_close(engine, 1000);
    }
}

static void test_fetch__overtaken_by_a_set_answers_the_set_value_afterwards(void **state) {
    (void)state;
    gate at;
    gate_init(&at, false);
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    assert_int_equal(pthread_create(&one.thread, NULL, ask, &one), 0);
    gate_await(&at, 1);
    assert_ok(fb_set(engine, FB_STR("item:7"), FB_STR("set"), NULL));
    gate_open(&at);
    pthread_join(one.thread, NULL);
    assert_str(one.value.data, "{\"version\":0}");
    fb_value_release(&one.value);
    ask(&one);
    assert_ok(one.result);
    assert_str(one.value.data, "set");
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

static void test_fetch__gives_up_at_its_time_and_the_load_goes_on(void **state) {
    (void)state;
    gate at;
    gate_init(&at, false);
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    one.request.timeout_ms = 1;
    ask(&one);
    assert_result(one.result, FB_ETIMEDOUT);
    gate_open(&at);
    one.request.timeout_ms = 0;
    ask(&one);
    assert_ok(one.result);
    fb_value_release(&one.value);
    assert_int_equal(atomic_load(&at.loads), 1);
    fb_close(engine, 1000);
}

static void test_fetch__errors_reach_all_who_wait_with_their_detail(void **state) {
    (void)state;
    gate at;
    gate_init(&at, false);
    at.result = FB_ESOURCE;
    fb_engine *engine = open_with(YAML);
    asker askers[8];
    for (int i = 0; i < 8; i++) {
        asker_init(&askers[i], engine, &at, "7");
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    gate_await(&at, 1);
    gate_open(&at);
    for (int i = 0; i < 8; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_result(askers[i].result, FB_ESOURCE);
        assert_string_equal(askers[i].error.text, "the well is dry");
    }
    fb_close(engine, 1000);
}

static void test_fetch__negative_is_known_and_remembered(void **state) {
    (void)state;
    gate at;
    gate_init(&at, true);
    at.result = FB_NEGATIVE;
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    ask(&one);
    assert_result(one.result, FB_NEGATIVE);
    ask(&one);
    assert_result(one.result, FB_NEGATIVE);
    assert_int_equal(atomic_load(&at.loads), 1);
    assert_result(fb_exists(engine, FB_STR("item:7")), FB_MISS);
    fb_close(engine, 1000);
}

static void test_fetch__says_what_is_wrong_with_a_request(void **state) {
    (void)state;
    gate at;
    gate_init(&at, true);
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    one.request.class_name = FB_STR("itme");
    ask(&one);
    assert_result(one.result, FB_ENOCLASS);
    asker_init(&one, engine, &at, "7");
    one.id.name = FB_STR("nam");
    ask(&one);
    assert_result(one.result, FB_EINVAL);
    assert_non_null(strstr(one.error.text, "nam"));
    asker_init(&one, engine, &at, "7");
    one.request.loader = NULL;
    ask(&one);
    assert_result(one.result, FB_ENOSOURCE);
    fb_close(engine, 1000);
}

// ---- deduplicated calls

typedef struct dedupe {
    fb_engine *engine;
    gate *at;
    int result;
    fb_value value;
    pthread_t thread;
} dedupe;

static int work(void *arg, const fb_load *what, fb_loaded *loaded) {
    gate *one = arg;
    (void)what;
    atomic_fetch_add(&one->loads, 1);
    pthread_mutex_lock(&one->lock);
    one->at_gate++;
    pthread_cond_broadcast(&one->changed);
    while (!one->open) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
    return fb_loaded_value(loaded, FB_STR("done"));
}

static void *call(void *arg) {
    dedupe *one = arg;
    fb_error error;
    fb_once once = {.key = FB_STR("report:1"), .window_ms = 60000, .loader = work, .loader_arg = one->at};
    one->result = fb_dedupe(one->engine, &once, &one->value, &error);
    return NULL;
}

static void test_dedupe__runs_once_for_all_and_shares_within_the_window(void **state) {
    (void)state;
    enum { COUNT = 50 };
    dedupe callers[COUNT];
    gate at;
    gate_init(&at, false);
    fb_engine *engine = open_with(YAML);
    for (int i = 0; i < COUNT; i++) {
        callers[i] = (dedupe){.engine = engine, .at = &at};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    gate_await(&at, 1);
    gate_open(&at);
    for (int i = 0; i < COUNT; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_ok(callers[i].result);
        assert_str(callers[i].value.data, "done");
        fb_value_release(&callers[i].value);
    }
    assert_int_equal(atomic_load(&at.loads), 1);
    // A plain key of the same name is another thing.
    assert_result(fb_exists(engine, FB_STR("report:1")), FB_MISS);
    fb_close(engine, 1000);
}

static void test_dedupe__without_a_window_keeps_nothing(void **state) {
    (void)state;
    gate at;
    fb_value value;
    fb_error error;
    gate_init(&at, true);
    fb_engine *engine = open_with(YAML);
    for (int i = 0; i < 2; i++) {
        fb_once once = {.key = FB_STR("k"), .loader = work, .loader_arg = &at};
        assert_ok(fb_dedupe(engine, &once, &value, &error));
        fb_value_release(&value);
    }
    assert_int_equal(atomic_load(&at.loads), 2);
    fb_close(engine, 1000);
}

// ---- closing, threads of the engine's own

static void *open_gate(void *arg) {
    gate_open(arg);
    return NULL;
}

static void test_close__answers_callers_that_still_wait(void **state) {
    (void)state;
    gate at;
    gate_init(&at, false);
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    assert_int_equal(pthread_create(&one.thread, NULL, ask, &one), 0);
    gate_await(&at, 1);
    pthread_t closer;
    // The close waits for the loader, which the test lets go once the close has begun or not: either way
    // the caller gets an answer.
    assert_int_equal(pthread_create(&closer, NULL, open_gate, &at), 0);
    fb_close(engine, 0);
    pthread_join(closer, NULL);
    pthread_join(one.thread, NULL);
    assert_true(one.result == FB_OK || one.result == FB_ECLOSED);
    fb_value_release(&one.value);
}

typedef struct nested {
    fb_engine *engine;
    int result;
} nested;

static int load_nested(void *arg, const fb_load *what, fb_loaded *loaded) {
    nested *one = arg;
    fb_value value;
    fb_error error;
    (void)what;
    fb_once once = {.key = FB_STR("inner"), .loader = work};
    one->result = fb_dedupe(one->engine, &once, &value, &error);
    return fb_loaded_value(loaded, FB_STR("outer"));
}

static void test_fetch__refuses_to_block_an_engine_thread(void **state) {
    (void)state;
    fb_engine *engine = open_with(YAML);
    nested one = {.engine = engine, .result = FB_OK};
    fb_value value;
    fb_error error;
    fb_once once = {.key = FB_STR("outer"), .loader = load_nested, .loader_arg = &one};
    assert_ok(fb_dedupe(engine, &once, &value, &error));
    assert_result(one.result, FB_EINVAL);
    fb_value_release(&value);
    fb_close(engine, 1000);
}

// ---- without waiting

typedef struct later {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int calls, result;
    char text[64];
} later;

static void answered(void *arg, int result, const fb_value *value, const fb_error *error) {
    later *one = arg;
    (void)error;
    pthread_mutex_lock(&one->lock);
    one->calls++;
    one->result = result;
    snprintf(one->text, sizeof one->text, "%.*s", value ? (int)value->data.len : 0, value ? value->data.ptr : "");
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static atomic_int freed;

static void count_free(void *arg) {
    (void)arg;
    atomic_fetch_add(&freed, 1);
}

static void test_fetch_start__calls_back_once_and_frees_the_loader_once(void **state) {
    (void)state;
    gate at;
    gate_init(&at, true);
    fb_engine *engine = open_with(YAML);
    later one = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    asker from;
    asker_init(&from, engine, &at, "7");
    from.request.loader_free = count_free;
    atomic_store(&freed, 0);
    assert_result(fb_fetch_start(engine, &from.request, answered, &one), FB_PENDING);
    pthread_mutex_lock(&one.lock);
    while (one.calls == 0) {
        pthread_cond_wait(&one.changed, &one.lock);
    }
    pthread_mutex_unlock(&one.lock);
    assert_int_equal(one.result, FB_OK);
    assert_string_equal(one.text, "{\"version\":0}");
    assert_ok(fb_fetch_start(engine, &from.request, answered, &one));  // from memory, at once
    assert_int_equal(one.calls, 2);
    fb_close(engine, 1000);
    assert_int_equal(atomic_load(&freed), 2);
}

// ---- reload

static void note(void *arg, fb_str path, bool applied) {
    char *log = arg;
    size_t len = strlen(log);
    snprintf(log + len, 512 - len, "%.*s=%s ", (int)path.len, path.ptr, applied ? "applied" : "waits");
}

static void test_reload__takes_over_classes_and_says_what_waits(void **state) {
    (void)state;
    gate at;
    char log[512] = "";
    gate_init(&at, true);
    fb_engine *engine = open_with(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    ask(&one);
    fb_value_release(&one.value);
    fb_config *config = NULL;
    fb_error error;
    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config, fb_str_of("memory: 4MiB\nloops: 3\nworkers: 4\nclasses:\n"
                                               "  item: {key: 'item:{id}', ttl: 2h, memory_ttl: 1h, hard_timeout: 20s, tags: ['kind:{id}']}\n"
                                               "  more: {key: 'more:{id}'}\n"),
                             "test.yaml", &error));
    assert_ok(fb_reload(engine, config, note, log, &error));
    assert_non_null(strstr(log, "memory=applied"));
    assert_non_null(strstr(log, "loops=waits"));
    assert_non_null(strstr(log, "classes.item.ttl=applied"));
    ask(&one);  // nothing of the class's values changed: it is still there
    assert_int_equal(one.value.tier, FB_TIER_MEMORY);
    fb_value_release(&one.value);
    one.request.class_name = FB_STR("more");
    ask(&one);
    assert_ok(one.result);
    fb_value_release(&one.value);
    fb_config_free(config);
    fb_close(engine, 1000);
}

// ---- load once

static atomic_int made, dropped;

static int make(void *arg, fb_str name, void **object) {
    gate *one = arg;
    (void)name;
    int attempt = atomic_fetch_add(&made, 1);
    *object = one;
    return attempt == 0 ? FB_ESOURCE : FB_OK;
}

static void drop(void *object) {
    (void)object;
    atomic_fetch_add(&dropped, 1);
}

typedef struct getter {
    fb_registry *registry;
    gate *at;
    pthread_t thread;
    void *object;
    int result;
} getter;

static void *get_object(void *arg) {
    getter *one = arg;
    one->result = fb_registry_get(one->registry, FB_STR("model"), make, one->at, drop, &one->object);
    return NULL;
}

static void test_registry__makes_once_after_a_failure_and_drops_once(void **state) {
    (void)state;
    enum { COUNT = 16 };
    gate at;
    getter getters[COUNT];
    fb_registry *registry = NULL;
    void *object = NULL;
    gate_init(&at, true);
    atomic_store(&made, 0);
    atomic_store(&dropped, 0);
    assert_ok(fb_registry_new(&registry));
    assert_result(fb_registry_get(registry, FB_STR("model"), make, &at, drop, &object), FB_ESOURCE);
    assert_null(object);
    for (int i = 0; i < COUNT; i++) {
        getters[i] = (getter){.registry = registry, .at = &at};
        assert_int_equal(pthread_create(&getters[i].thread, NULL, get_object, &getters[i]), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        pthread_join(getters[i].thread, NULL);
        assert_ok(getters[i].result);
        assert_ptr_equal(getters[i].object, &at);
    }
    assert_int_equal(atomic_load(&made), 2);
    assert_result(fb_registry_forget(registry, FB_STR("other")), FB_MISS);
    assert_ok(fb_registry_forget(registry, FB_STR("model")));
    assert_int_equal(atomic_load(&dropped), 1);
    assert_ok(fb_registry_get(registry, FB_STR("model"), make, &at, drop, &object));
    fb_registry_free(registry);
    assert_int_equal(atomic_load(&dropped), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch__loads_once_and_then_answers_from_memory),
        cmocka_unit_test(test_fetch__two_hundred_at_once_are_one_load),
        cmocka_unit_test(test_fetch__that_an_invalidation_overtook_is_stored_nowhere),
        cmocka_unit_test(test_fetch__overtaken_by_a_set_answers_the_set_value_afterwards),
        cmocka_unit_test(test_fetch__gives_up_at_its_time_and_the_load_goes_on),
        cmocka_unit_test(test_fetch__errors_reach_all_who_wait_with_their_detail),
        cmocka_unit_test(test_fetch__negative_is_known_and_remembered),
        cmocka_unit_test(test_fetch__says_what_is_wrong_with_a_request),
        cmocka_unit_test(test_dedupe__runs_once_for_all_and_shares_within_the_window),
        cmocka_unit_test(test_dedupe__without_a_window_keeps_nothing),
        cmocka_unit_test(test_close__answers_callers_that_still_wait),
        cmocka_unit_test(test_fetch__refuses_to_block_an_engine_thread),
        cmocka_unit_test(test_fetch_start__calls_back_once_and_frees_the_loader_once),
        cmocka_unit_test(test_reload__takes_over_classes_and_says_what_waits),
        cmocka_unit_test(test_registry__makes_once_after_a_failure_and_drops_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
