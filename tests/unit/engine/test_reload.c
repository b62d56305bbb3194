// Another configuration while the engine runs.

#include "engine_rig.h"

#define HEAD "memory: 8MiB\nloops: 2\nworkers: 2\nsources: {base: {sqlite: a.db}}\nclasses:\n"
#define ITEM "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h, query: "
#define FULL ITEM "'SELECT kind, version FROM item WHERE id = :id'}\n"
#define SHORT ITEM "'SELECT version FROM item WHERE id = :id'}\n"
#define OTHER \
    "  other: {key: 'other:{id}', source: base, query: 'SELECT id FROM item WHERE kind = :id'}\n"

static void note(void *arg, fb_str path, bool applied) {
    char *log = arg;
    size_t len = strlen(log);
    snprintf(log + len, 1024 - len, "%.*s=%s ", FB_STR_ARG(path), applied ? "applied" : "waits");
}

static int reload(fb_engine *engine, const char *yaml) {
    fb_error error = {0};
    return rig_reload(engine, yaml, &error);
}

static void test_reload__says_what_applies_and_what_waits(void **state) {
    (void)state;
    char log[1024] = "";
    asker one;
    fb_error error;
    fb_engine *engine = rig_open(HEAD FULL);
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"kind\":\"a\",\"version\":0}");
    fb_config *config = rig_config(
        "memory: 4MiB\nloops: 3\nworkers: 2\n"
        "sources: {base: {sqlite: b.db}}\nclasses:\n"
        "  item: {key: 'item:{id}', source: base, one: true, ttl: 2h,\n"
        "         memory_ttl: 1h,\n"
        "         query: 'SELECT kind, version FROM item WHERE id = :id'}\n" OTHER);
    assert_ok(fb_reload(engine, config, note, log, &error));
    fb_config_free(config);
    assert_non_null(strstr(log, "memory=applied"));
    assert_non_null(strstr(log, "loops=waits"));
    assert_non_null(strstr(log, "classes.item.ttl=applied"));
    assert_non_null(strstr(log, "classes.other.query=applied"));
    assert_non_null(strstr(log, "sources.base.sqlite=waits"));
    assert_null(strstr(log, "workers"));
    fb_stats stats;
    assert_ok(fb_stats_read(engine, &stats));
    assert_int_equal(stats.memory_limit_bytes, 4 << 20);
    fb_stats_release(&stats);
    ask(&one);  // nothing of the class's values changed: it is still there
    assert_int_equal(one.value.tier, FB_TIER_MEMORY);
    one.request.class_name = FB_STR("other");
    one.id.value = FB_STR("b");
    assert_asked(&one, "[{\"id\":3},{\"id\":4}]");
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

static void test_reload__drops_what_another_query_gave(void **state) {
    (void)state;
    asker one, other;
    fb_engine *engine = rig_open(HEAD FULL OTHER);
    asker_init(&one, engine, NULL, "1");
    asker_init(&other, engine, NULL, "a");
    other.request.class_name = FB_STR("other");
    assert_asked(&one, "{\"kind\":\"a\",\"version\":0}");
    assert_asked(&other, "[{\"id\":1},{\"id\":2}]");
    assert_ok(reload(engine, HEAD SHORT OTHER));
    assert_asked(&one, "{\"version\":0}");
    ask(&other);
    assert_int_equal(other.value.tier, FB_TIER_MEMORY);  // the other class did not change
    assert_ok(reload(engine, HEAD FULL OTHER));
    assert_asked(&one, "{\"kind\":\"a\",\"version\":0}");
    fb_value_release(&one.value);
    fb_value_release(&other.value);
    fb_close(engine, 1000);
}

static void test_reload__drops_what_another_type_of_parameter_gave(void **state) {
    (void)state;
    asker one;
    fb_engine *engine = rig_open(HEAD ITEM "'SELECT typeof(:id) AS t'}\n");
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"t\":\"text\"}");
    assert_ok(reload(engine,
                     HEAD ITEM "'SELECT typeof(:id) AS t', parameters: {id: {type: integer}}}\n"));
    assert_asked(&one, "{\"t\":\"integer\"}");
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

static void test_reload__a_class_that_is_gone_leaves_nothing_behind(void **state) {
    (void)state;
    asker one;
    int64_t ttl_ms;
    fb_engine *engine = rig_open(HEAD FULL OTHER);
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"kind\":\"a\",\"version\":0}");
    assert_ok(reload(engine, HEAD OTHER));
    ask(&one);
    assert_result(one.result, FB_ENOCLASS);
    assert_result(fb_ttl(engine, FB_STR("item:1"), &ttl_ms), FB_MISS);
    assert_ok(fb_set(engine, FB_STR("item:1"), FB_STR("plain"), NULL));
    assert_ok(reload(engine, HEAD FULL OTHER));  // and back: the key is the class's again
    assert_asked(&one, "{\"kind\":\"a\",\"version\":0}");
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

static void test_reload__that_is_refused_changes_nothing(void **state) {
    (void)state;
    static const char *const wrong[] = {
        HEAD FULL "  bad: {key: 'bad:{id}', source: base, query: 'SELECT nothing FROM item'}\n",
        HEAD FULL "  bad: {key: 'bad:{id}', source: nowhere, query: 'SELECT 1 AS a'}\n",
        HEAD FULL "  bad: {key: 'item:{name}', source: base, query: 'SELECT :name AS a'}\n",
        "memory: 8MiB\nsources: {more: {sqlite: missing.db}}\nclasses:\n"
        "  item: {key: 'item:{id}', source: more, query: 'SELECT 1 AS a'}\n",
    };
    asker one;
    fb_engine *engine = rig_open(HEAD FULL);
    asker_init(&one, engine, NULL, "1");
    assert_asked(&one, "{\"kind\":\"a\",\"version\":0}");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fb_error error = {0};
        assert_true(rig_reload(engine, wrong[i], &error) < 0);
        assert_true(error.line > 0 && strstr(error.file, "test.yaml") != NULL);
        ask(&one);
        assert_int_equal(one.value.tier, FB_TIER_MEMORY);
    }
    fb_value_release(&one.value);
    fb_close(engine, 1000);
}

static void test_reload__opens_a_new_source(void **state) {
    (void)state;
    asker one;
    fb_engine *engine = rig_open(HEAD FULL);
    assert_ok(reload(
        engine,
        "memory: 8MiB\nsources: {base: {sqlite: a.db}, more: {sqlite: a.db}}\nclasses:\n" FULL
        "  news: {key: 'news:{id}', source: more, one: true,\n"
        "         query: 'SELECT version + 100 AS v FROM item WHERE id = :id'}\n"));
    asker_init(&one, engine, NULL, "1");
    one.request.class_name = FB_STR("news");
    assert_asked(&one, "{\"v\":100}");
    assert_ok(reload(engine, HEAD FULL));  // the source stays open, without a class
    ask(&one);
    assert_result(one.result, FB_ENOCLASS);
    fb_close(engine, 1000);
}

// A load that was begun under the old configuration answers who asked, and is stored nowhere.
static void test_reload__overtakes_loads_under_way(void **state) {
    (void)state;
    asker early, late;
    fb_engine *engine =
        rig_open(HEAD ITEM "'SELECT gate(version) AS old FROM item WHERE id = :id'}\n");
    gate_set(&rig_gate, false);
    asker_init(&early, engine, NULL, "1");
    asker_init(&late, engine, NULL, "1");
    ask_apart(&early);
    gate_await(&rig_gate, 1);
    assert_ok(reload(engine, HEAD SHORT));
    assert_asked(&late, "{\"version\":0}");
    gate_open(&rig_gate);
    await_answer(&early);
    assert_ok(early.result);
    assert_str(early.value.data, "{\"old\":0}");
    assert_asked(&late, "{\"version\":0}");
    assert_int_equal(late.value.tier, FB_TIER_MEMORY);
    fb_value_release(&early.value);
    fb_value_release(&late.value);
    fb_close(engine, 1000);
}

// ---- fetches all the while

typedef struct reader {
    fb_engine *engine;
    _Atomic(int) *generation;  // of the configuration: what it says is in force before a read is
    _Atomic(bool) *stop;
    _Atomic(uint64_t) *reads;
    pthread_t thread;
    char wrong[640];
} reader;

static void *read_on(void *arg) {
    reader *one = arg;
    for (uint32_t i = 0; !atomic_load(one->stop) && one->wrong[0] == '\0'; i++) {
        asker from;
        char id[8];
        snprintf(id, sizeof id, "%u", 1 + i % 5);
        asker_init(&from, one->engine, NULL, id);
        int least = atomic_load(one->generation);
        ask(&from);
        int got = -1;
        if (from.result == FB_OK && from.value.data.len < 40) {
            char text[48];
            snprintf(text, sizeof text, "%.*s", FB_STR_ARG(from.value.data));
            (void)sscanf(text, "{\"g\":%d}", &got);
        }
        if (got < least) {
            snprintf(one->wrong, sizeof one->wrong, "%s: got %d, not %d or newer: %s",
                     fb_result_name(from.result), got, least,
                     from.result < 0 ? from.error.text : "");
        }
        fb_value_release(&from.value);
        atomic_fetch_add(one->reads, 1);
    }
    return NULL;
}

static void test_reload__nobody_who_asks_after_it_is_answered_by_an_older_query(void **state) {
    (void)state;
    enum { READERS = 4, RELOADS = 60 };
    reader readers[READERS];
    _Atomic(int) generation = 0;
    _Atomic(bool) stop = false;
    _Atomic(uint64_t) reads = 0;
    char yaml[512];
    fb_engine *engine = rig_open(HEAD ITEM "'SELECT 0 AS g WHERE :id > 0'}\n");
    for (int i = 0; i < READERS; i++) {
        readers[i] =
            (reader){.engine = engine, .generation = &generation, .stop = &stop, .reads = &reads};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (int i = 1; i <= RELOADS; i++) {
        snprintf(yaml, sizeof yaml, HEAD "%s'SELECT %d AS g WHERE :id > 0'}\n", ITEM, i);
        assert_ok(reload(engine, yaml));
        atomic_store(&generation, i);
        uint64_t so_far = atomic_load(&reads);
        rig_until(atomic_load(&reads) > so_far + READERS);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_string_equal(readers[i].wrong, "");
    }
    fb_close(engine, 1000);
}

static void test_reload__that_changes_nothing_leaves_nothing_behind(void **state) {
    (void)state;
    char log[1024] = "";
    fb_error error;
    fb_engine *engine = rig_open(HEAD FULL);
    fb_config *config = rig_config(HEAD FULL);
    assert_ok(fb_reload(engine, config, note, log, &error));
    long live = test_memory_get()->live;
    for (int i = 0; i < 100; i++) {
        assert_ok(fb_reload(engine, config, note, log, &error));
    }
    // The engine's own threads take and give back a piece now and then; one a reload would show.
    assert_true(test_memory_get()->live - live < 50);
    assert_string_equal(log, "");
    fb_config_free(config);
    fb_close(engine, 1000);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        rig_test(test_reload__says_what_applies_and_what_waits),
        rig_test(test_reload__drops_what_another_query_gave),
        rig_test(test_reload__drops_what_another_type_of_parameter_gave),
        rig_test(test_reload__a_class_that_is_gone_leaves_nothing_behind),
        rig_test(test_reload__that_is_refused_changes_nothing),
        rig_test(test_reload__opens_a_new_source),
        rig_test(test_reload__overtakes_loads_under_way),
        rig_test(test_reload__that_changes_nothing_leaves_nothing_behind),
        rig_test(test_reload__nobody_who_asks_after_it_is_answered_by_an_older_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
