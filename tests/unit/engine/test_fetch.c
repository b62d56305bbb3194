// fb_fetch, fb_fetch_start and fb_dedupe with loaders of the caller's own.

#include "base/units.h"
#include "engine_rig.h"
#include "os/clock.h"

static const char *const YAML =
    "memory: 8MiB\n"
    "loops: 2\n"
    "workers: 4\n"
    "classes:\n"
    "  item: {key: 'item:{id}', ttl: 1h, memory_ttl: 1h, hard_timeout: 20s, tags: ['kind:{id}']}\n"
    "  soon: {key: 'soon:{id}', ttl: 1ms, memory_ttl: 1ms, stale_ttl: 1h, hard_timeout: 20s}\n";

static void test_fetch__loads_once_and_then_answers_from_memory(void **state) {
    (void)state;
    gate at;
    gate_init(&at, true);
    fb_engine *engine = rig_open(YAML);
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

static int load_much(void *arg, const fb_load *load, fb_loaded *loaded) {
    (void)arg, (void)load;
    size_t len = 7 << 20;
    char *bytes = calloc(1, len);
    int result = bytes != NULL ? fb_loaded_value(loaded, (fb_str){bytes, len}) : FB_ENOMEM;
    free(bytes);
    return result;
}

static void test_fetch__what_is_too_big_to_keep_is_answered_and_explained(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    fb_param id = {FB_STR("id"), FB_STR("7")};
    fb_request request = {.class_name = FB_STR("item"), .params = &id, .param_count = 1,
                          .loader = load_much};
    fb_value value = {0};
    assert_ok(fb_fetch(engine, &request, &value, NULL));
    assert_int_equal(value.data.len, 7 << 20);
    fb_value_release(&value);
    fb_explanation told = rig_explain(engine, "item:7");
    assert_int_equal(told.tier, FB_TIER_NONE);
    assert_string_equal(told.last_miss, "its value is larger than an entry may be");
    fb_close(engine, 1000);
}

static void test_fetch__two_hundred_at_once_are_one_load(void **state) {
    (void)state;
    enum { COUNT = 200 };
    static asker askers[COUNT];
    gate at;
    gate_init(&at, false);
    fb_engine *engine = rig_open(YAML);
    for (int i = 0; i < COUNT; i++) {
        asker_init(&askers[i], engine, &at, "7");
        ask_apart(&askers[i]);
    }
    gate_await(&at, 1);
    gate_open(&at);
    for (int i = 0; i < COUNT; i++) {
        await_answer(&askers[i]);
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
        fb_engine *engine = rig_open(YAML);
        asker early, late;
        asker_init(&early, engine, &at, "7");
        asker_init(&late, engine, &at, "7");
        ask_apart(&early);
        gate_await(&at, 1);  // it has read version 0
        atomic_store(&at.version, 1);
        assert_ok(fb_invalidate(engine, &ways[i], NULL));
        ask_apart(&late);
        gate_open(&at);
        await_answer(&early);
        await_answer(&late);
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
    fb_engine *engine = rig_open(YAML);
    asker one;
    asker_init(&one, engine, &at, "7");
    ask_apart(&one);
    gate_await(&at, 1);
    assert_ok(fb_set(engine, FB_STR("item:7"), FB_STR("set"), NULL));
    gate_open(&at);
    await_answer(&one);
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
    fb_engine *engine = rig_open(YAML);
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
    fb_engine *engine = rig_open(YAML);
    asker askers[8];
    for (int i = 0; i < 8; i++) {
        asker_init(&askers[i], engine, &at, "7");
        ask_apart(&askers[i]);
    }
    gate_await(&at, 1);
    gate_open(&at);
    for (int i = 0; i < 8; i++) {
        await_answer(&askers[i]);
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
    fb_engine *engine = rig_open(YAML);
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
    fb_engine *engine = rig_open(YAML);
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
    (void)what;
    gate_pass(arg);
    return fb_loaded_value(loaded, FB_STR("done"));
}

static void *call(void *arg) {
    dedupe *one = arg;
    fb_error error;
    fb_once once = {
        .key = FB_STR("report:1"), .window_ms = 60000, .loader = work, .loader_arg = one->at};
    one->result = fb_dedupe(one->engine, &once, &one->value, &error);
    return NULL;
}

static void test_dedupe__runs_once_for_all_and_shares_within_the_window(void **state) {
    (void)state;
    enum { COUNT = 50 };
    dedupe callers[COUNT];
    gate at;
    gate_init(&at, false);
    fb_engine *engine = rig_open(YAML);
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
    fb_engine *engine = rig_open(YAML);
    for (int i = 0; i < 2; i++) {
        fb_once once = {.key = FB_STR("k"), .loader = work, .loader_arg = &at};
        assert_ok(fb_dedupe(engine, &once, &value, &error));
        fb_value_release(&value);
    }
    assert_int_equal(atomic_load(&at.loads), 2);
    fb_close(engine, 1000);
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
    fb_engine *engine = rig_open(YAML);
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
    snprintf(one->text, sizeof one->text, "%.*s", value ? (int)value->data.len : 0,
             value ? value->data.ptr : "");
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

// Waits for call number `calls`.
static void await_call(later *one, int calls) {
    pthread_mutex_lock(&one->lock);
    while (one->calls < calls) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

static void later_init(later *one) {
    *one = (later){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
}

static void test_fetch_start__calls_back_once(void **state) {
    (void)state;
    gate at;
    later one;
    asker from;
    gate_init(&at, true);
    later_init(&one);
    fb_engine *engine = rig_open(YAML);
    asker_init(&from, engine, &at, "7");
    assert_result(fb_fetch_start(engine, &from.request, answered, &one), FB_PENDING);
    await_call(&one, 1);
    assert_int_equal(one.result, FB_OK);
    assert_string_equal(one.text, "{\"version\":0}");
    assert_ok(fb_fetch_start(engine, &from.request, answered, &one));  // from memory, at once
    assert_int_equal(one.calls, 2);
    assert_string_equal(one.text, "{\"version\":0}");
    from.request.class_name = FB_STR("itme");
    assert_result(fb_fetch_start(engine, &from.request, answered, &one), FB_ENOCLASS);
    assert_int_equal(one.calls, 3);
    assert_int_equal(one.result, FB_ENOCLASS);
    fb_close(engine, 1000);
}

// The callback of one fetch asks for another value: what it was lent must stay as it is.
typedef struct chain {
    fb_engine *engine;
    fb_param id;
    later inner;
    char before[64], after[64];
} chain;

static void ask_again(void *arg, int result, const fb_value *value, const fb_error *error) {
    chain *one = arg;
    (void)error;
    assert_int_equal(result, FB_OK);
    snprintf(one->before, sizeof one->before, "%.*s", FB_STR_ARG(value->data));
    fb_request request = {
        .class_name = FB_STR("item"), .params = &one->id, .param_count = 1, .loader = work};
    assert_ok(fb_fetch_start(one->engine, &request, answered, &one->inner));
    snprintf(one->after, sizeof one->after, "%.*s", FB_STR_ARG(value->data));
}

static void test_fetch_start__lends_bytes_that_another_fetch_leaves_alone(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    chain one = {.engine = engine, .id = {FB_STR("id"), FB_STR("2")}};
    fb_param first = {FB_STR("id"), FB_STR("1")};
    fb_request request = {
        .class_name = FB_STR("item"), .params = &first, .param_count = 1, .loader = work};
    later_init(&one.inner);
    assert_ok(fb_set(engine, FB_STR("item:1"), FB_STR("first"), NULL));
    assert_ok(fb_set(engine, FB_STR("item:2"), FB_STR("other"), NULL));
    assert_ok(fb_fetch_start(engine, &request, ask_again, &one));
    assert_string_equal(one.before, "first");
    assert_string_equal(one.inner.text, "other");
    assert_string_equal(one.after, "first");
    fb_close(engine, 1000);
}

// On a loop's thread: the answer comes to that loop.
typedef struct on_loop {
    fb_engine *engine;
    asker from;
    later done;
    int asked_on, answered_on;
} on_loop;

static void note_loop(void *arg, int result, const fb_value *value, const fb_error *error) {
    on_loop *one = arg;
    one->answered_on = fb_loop_current(one->engine);
    answered(&one->done, result, value, error);
}

static void ask_on_loop(void *arg) {
    on_loop *one = arg;
    one->asked_on = fb_loop_current(one->engine);
    int result = fb_fetch_start(one->engine, &one->from.request, note_loop, one);
    (void)result;  // the test sees what comes of it
}

static void test_fetch_start__answers_on_the_loop_that_asked(void **state) {
    (void)state;
    gate at;
    gate_init(&at, true);
    fb_engine *engine = rig_open(YAML);
    for (uint32_t i = 0; i < 16; i++) {
        char id[8];
        on_loop one = {.engine = engine};
        snprintf(id, sizeof id, "%u", i);
        asker_init(&one.from, engine, &at, id);
        later_init(&one.done);
        assert_ok(fb_loop_post(engine, i % fb_loop_count(engine), ask_on_loop, &one));
        await_call(&one.done, 1);
        assert_int_equal(one.done.result, FB_OK);
        assert_int_equal(one.asked_on, i % fb_loop_count(engine));
        assert_int_equal(one.answered_on, one.asked_on);
    }
    assert_int_equal(fb_loop_current(engine), -1);
    fb_close(engine, 1000);
}

// ---- loaders and what they hold

static void test_loader__is_given_back_once_whatever_comes_of_the_request(void **state) {
    (void)state;
    fb_engine *engine = rig_open(YAML);
    atomic_int freed = 0;
    int asked = 0;
    asker one;
    fb_error error;
    asker_init(&one, engine, NULL, "7");
    one.request.loader = work;
    one.request.loader_free = count_free;
    one.request.loader_arg = &freed;
    one.request.class_name = FB_STR("itme");  // refused
    ask(&one);
    assert_int_equal(atomic_load(&freed), ++asked);
    one.request.class_name = FB_STR("item");  // answered from memory
    assert_ok(fb_set(engine, FB_STR("item:7"), FB_STR("there"), NULL));
    assert_asked(&one, "there");
    fb_value_release(&one.value);
    assert_int_equal(atomic_load(&freed), ++asked);
    later done;
    later_init(&done);
    assert_ok(fb_fetch_start(engine, &one.request, answered, &done));
    assert_int_equal(atomic_load(&freed), ++asked);
    fb_once once = {
        .key = FB_STR(""), .loader = work, .loader_arg = &freed, .loader_free = count_free};
    assert_result(fb_dedupe(engine, &once, &one.value, &error), FB_EINVAL);
    assert_int_equal(atomic_load(&freed), ++asked);
    fb_close(engine, 1000);
}

typedef struct held {
    gate at;
    atomic_int freed;
} held;

static int load_held(void *arg, const fb_load *what, fb_loaded *loaded) {
    held *one = arg;
    return rig_load(&one->at, what, loaded);
}

static void free_held(void *arg) {
    held *one = arg;
    atomic_fetch_add(&one->freed, 1);
}

static void test_loader__is_kept_while_it_runs_for_a_caller_who_left(void **state) {
    (void)state;
    held one;
    asker from;
    gate_init(&one.at, false);
    atomic_init(&one.freed, 0);
    fb_engine *engine = rig_open(YAML);
    asker_init(&from, engine, NULL, "7");
    from.request.loader = load_held;
    from.request.loader_arg = &one;
    from.request.loader_free = free_held;
    from.request.timeout_ms = 1;
    ask(&from);
    assert_result(from.result, FB_ETIMEDOUT);
    assert_int_equal(atomic_load(&one.freed), 0);
    gate_open(&one.at);
    rig_until(atomic_load(&one.freed) == 1);
    fb_close(engine, 1000);
}

static void test_loader__refreshes_what_is_stale_behind_the_answer(void **state) {
    (void)state;
    held one;
    asker from;
    gate_init(&one.at, true);
    atomic_init(&one.freed, 0);
    fb_engine *engine = rig_open(YAML);
    asker_init(&from, engine, NULL, "7");
    from.request.class_name = FB_STR("soon");  // it has no source: only callers know how to load
    from.request.loader = load_held;
    from.request.loader_arg = &one;
    from.request.loader_free = free_held;
    assert_asked(&from, "{\"version\":0}");
    atomic_store(&one.at.version, 1);
    rig_until(rig_explain(engine, "soon:7").freshness == FB_STALE);
    gate_set(&one.at, false);
    assert_asked(&from, "{\"version\":0}");
    assert_int_equal(from.value.freshness, FB_STALE);
    gate_await(&one.at, 2);
    gate_open(&one.at);
    rig_until((ask(&from), fb_str_equal(from.value.data, FB_STR("{\"version\":1}"))));
    fb_value_release(&from.value);
    fb_close(engine, 10000);
    assert_int_equal(atomic_load(&one.freed) > 2, true);
}

static int load_nonsense(void *arg, const fb_load *what, fb_loaded *loaded) {
    (void)what, (void)loaded;
    return *(int *)arg;
}

static void test_loader__that_returns_nonsense_is_an_error_with_words(void **state) {
    (void)state;
    static int results[] = {FB_OK, FB_MISS, 77};
    fb_engine *engine = rig_open(YAML);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        fb_value value;
        fb_error error;
        fb_once once = {.key = FB_STR("k"), .loader = load_nonsense, .loader_arg = &results[i]};
        assert_result(fb_dedupe(engine, &once, &value, &error), FB_ESOURCE);
        assert_true(strlen(error.text) > 20);
    }
    fb_close(engine, 1000);
}

static void test_fetch__takes_times_of_any_size(void **state) {
    (void)state;
    gate at;
    asker one;
    fb_value value;
    fb_error error;
    gate_init(&at, true);
    fb_engine *engine = rig_open(YAML);
    asker_init(&one, engine, &at, "7");
    one.request.timeout_ms = INT64_MAX;
    assert_asked(&one, "{\"version\":0}");
    one.request.timeout_ms = INT64_MIN;
    assert_asked(&one, "{\"version\":0}");
    fb_value_release(&one.value);
    fb_once once = {.key = FB_STR("k"),
                    .window_ms = INT64_MAX,
                    .timeout_ms = INT64_MAX,
                    .loader = work,
                    .loader_arg = &at};
    for (int i = 0; i < 2; i++) {
        assert_ok(fb_dedupe(engine, &once, &value, &error));
        fb_value_release(&value);
    }
    assert_int_equal(atomic_load(&at.loads), 2);
    once.window_ms = INT64_MIN;
    assert_result(fb_dedupe(engine, &once, &value, &error), FB_EINVAL);
    fb_close(engine, INT64_MAX);
}

// The gate in front of callers' loaders: a load that was too long in it is not begun.
static void test_loader__is_not_begun_after_its_time(void **state) {
    (void)state;
    gate at;
    asker holds, waits;
    gate_init(&at, false);
    fb_engine *engine = rig_open(
        "workers: 1\nclasses:\n"
        "  item: {key: 'item:{id}', hard_timeout: 50ms}\n");
    asker_init(&holds, engine, &at, "1");
    asker_init(&waits, engine, &at, "2");
    ask(&holds);
    assert_result(holds.result, FB_ETIMEDOUT);
    ask(&waits);
    assert_result(waits.result, FB_ETIMEDOUT);
    // Its load was asked for somewhat later than it asked, and has as much time from then on.
    int64_t over_ns = fb_clock_now_ns() + 50 * FB_NS_PER_MS;
    rig_until(fb_clock_now_ns() > over_ns);
    gate_open(&at);
    rig_until(rig_figures(engine, "item").loads == 2);
    assert_int_equal(atomic_load(&at.loads), 1);
    fb_close(engine, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        rig_test(test_fetch__loads_once_and_then_answers_from_memory),
        rig_test(test_fetch__what_is_too_big_to_keep_is_answered_and_explained),
        rig_test(test_fetch__two_hundred_at_once_are_one_load),
        rig_test(test_fetch__that_an_invalidation_overtook_is_stored_nowhere),
        rig_test(test_fetch__overtaken_by_a_set_answers_the_set_value_afterwards),
        rig_test(test_fetch__gives_up_at_its_time_and_the_load_goes_on),
        rig_test(test_fetch__errors_reach_all_who_wait_with_their_detail),
        rig_test(test_fetch__negative_is_known_and_remembered),
        rig_test(test_fetch__says_what_is_wrong_with_a_request),
        rig_test(test_fetch__refuses_to_block_an_engine_thread),
        rig_test(test_fetch__takes_times_of_any_size),
        rig_test(test_dedupe__runs_once_for_all_and_shares_within_the_window),
        rig_test(test_dedupe__without_a_window_keeps_nothing),
        rig_test(test_fetch_start__calls_back_once),
        rig_test(test_fetch_start__lends_bytes_that_another_fetch_leaves_alone),
        rig_test(test_fetch_start__answers_on_the_loop_that_asked),
        rig_test(test_loader__is_given_back_once_whatever_comes_of_the_request),
        rig_test(test_loader__is_kept_while_it_runs_for_a_caller_who_left),
        rig_test(test_loader__refreshes_what_is_stale_behind_the_answer),
        rig_test(test_loader__that_returns_nonsense_is_an_error_with_words),
        rig_test(test_loader__is_not_begun_after_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
