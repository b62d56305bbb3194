// Several items at once: one query where that is certain to give every item what it would get
// alone, and one query each where it is not. seen(1) counts queries for one, seen(2) for many.

#include "sqlite_fixture.h"

#include "base/log.h"

static int up(void **state) {
    (void)fixture_up(state);
    open_source(*state, 1);
    return 0;
}

static fb_class *batch_class(fixture *own, char *key, char *query, char *batch_query, bool one) {
    fb_class_options options = {.name = "package", .key = key, .source = "catalogue", .one = one,
                                .query = query, .batch_query = batch_query, .batch_by = "name"};
    return make_class(own, &options);
}

static fb_class *packages(fixture *own) {
    return batch_class(own, "package:{name}",
                       "SELECT * FROM package WHERE (SELECT seen(1)) AND name = :name",
                       "SELECT * FROM package WHERE (SELECT seen(2)) AND name IN "
                       "(SELECT value FROM json_each(:name))",
                       true);
}

static void load_names(load *one, fixture *own, const fb_class *class_, const char *const *names,
                       size_t name_count) {
    load_init(one, class_);
    for (size_t i = 0; i < name_count; i++) {
        load_add_one(one, "name", names[i]);
    }
    load_run(one, own);
}

static void assert_queries(int singles, int batches) {
    assert_int_equal(seen_counts[1], singles);
    assert_int_equal(seen_counts[2], batches);
}

static void test_batch__is_one_query_for_all_items(void **state) {
    static const char *const names[] = {"vim", "bash", "none", "zsh"};
    fb_class *class_ = packages(*state);
    load one;
    load_names(&one, *state, class_, names, 4);
    assert_str(outcome(&one, 0), "{\"name\":\"vim\",\"section\":\"editors\",\"size\":3700}");
    assert_str(outcome(&one, 1), "{\"name\":\"bash\",\"section\":\"shells\",\"size\":6469}");
    assert_str(outcome(&one, 2), "FB_NEGATIVE");
    assert_str(outcome(&one, 3), "{\"name\":\"zsh\",\"section\":\"shells\",\"size\":2490}");
    assert_true(one.loaded[2].took_ns > 0);
    assert_queries(0, 1);
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__of_one_item_is_the_query_for_one(void **state) {
    static const char *const names[] = {"vim"};
    fb_class *class_ = packages(*state);
    load one;
    load_names(&one, *state, class_, names, 1);
    assert_str(outcome(&one, 0), "{\"name\":\"vim\",\"section\":\"editors\",\"size\":3700}");
    assert_queries(1, 0);
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__of_arrays_gives_each_its_rows(void **state) {
    static const char *const names[] = {"shells", "games", "editors"};
    fb_class *class_ = batch_class(
        *state, "section:{name}",
        "SELECT name AS package FROM package WHERE section = :name ORDER BY name",
        "SELECT section AS name, name AS package FROM package WHERE section IN (SELECT value FROM "
        "json_each(:name)) ORDER BY package",
        false);
    load one;
    load_names(&one, *state, class_, names, 3);
    // The query for one has no column `name`, so the rows have none either.
    assert_str(outcome(&one, 0), "[{\"package\":\"bash\"},{\"package\":\"zsh\"}]");
    assert_str(outcome(&one, 1), "[]");
    assert_str(outcome(&one, 2), "[{\"package\":\"nano\"},{\"package\":\"vim\"}]");
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__of_one_row_each_takes_the_first(void **state) {
    static const char *const names[] = {"shells", "editors"};
    fb_class *class_ = batch_class(
        *state, "section:{name}",
        "SELECT section AS name, name AS p FROM package WHERE section = :name ORDER BY p",
        "SELECT section AS name, name AS p FROM package WHERE section IN (SELECT value FROM "
        "json_each(:name)) ORDER BY p",
        true);
    load one;
    load_names(&one, *state, class_, names, 2);
    assert_str(outcome(&one, 0), "{\"name\":\"shells\",\"p\":\"bash\"}");
    assert_str(outcome(&one, 1), "{\"name\":\"editors\",\"p\":\"nano\"}");
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__other_parameters_make_batches_of_their_own(void **state) {
    static const char *const rows[][2] = {
        {"bash", "de"}, {"vim", "en"}, {"zsh", "de"}, {"bash", "en"}, {"none", "de"},
        {"bash", "fr"},
    };
    fb_class *class_ = batch_class(
        *state, "package:{name}:{lang}",
        "SELECT name, :lang AS lang FROM package WHERE (SELECT seen(1)) AND name = :name",
        "SELECT name, :lang AS lang FROM package WHERE (SELECT seen(2)) AND name IN "
        "(SELECT value FROM json_each(:name))",
        true);
    load one;
    load_init(&one, class_);
    for (size_t i = 0; i < 6; i++) {
        fb_param params[] = {{FB_STR("name"), fb_str_of(rows[i][0])},
                             {FB_STR("lang"), fb_str_of(rows[i][1])}};
        load_add(&one, params, 2);
    }
    load_run(&one, *state);
    for (size_t i = 0; i < 6; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"name\":\"%s\",\"lang\":\"%s\"}", rows[i][0],
                       rows[i][1]);
        assert_str(outcome(&one, i), i == 4 ? "FB_NEGATIVE" : text);
    }
    assert_queries(1, 2);  // fr by itself; de; en
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__the_same_value_twice_is_answered_twice(void **state) {
    static const char *const names[] = {"vim", "bash", "vim", "vim"};
    fb_class *class_ = packages(*state);
    load one;
    load_names(&one, *state, class_, names, 4);
    for (size_t i = 0; i < 4; i++) {
        char start[32];
        (void)snprintf(start, sizeof(start), "{\"name\":\"%s\"", names[i]);
        assert_true(fb_str_starts(outcome(&one, i), fb_str_of(start)));
    }
    load_release(&one);
    free_class(*state, class_);
}

static int keep_none(void **state) {
    fb_hooks_set(NULL);
    fb_hooks hooks = {.resize = test_memory_resize, .arg = test_memory_get()};
    fb_hooks_set(&hooks);
    return fixture_down(state);
}

static atomic_int strays_logged;

static void count_strays(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg;
    if (level == FB_LOG_WARN && strcmp(event, "batch_row_of_nobody") == 0) {
        assert_string_equal(fields, "class=package column=name "
                                    "effect=\"its items are loaded one by one\"");
        strays_logged++;
    }
}

// The database compares without regard to case: "BASH" is asked for, "bash" comes back. Whether
// "VIM" has a row cannot be told from the batch.
static void test_batch__rows_of_nobody_have_the_items_loaded_one_by_one(void **state) {
    static const char *const names[] = {"BASH", "VIM", "zsh", "none"};
    fb_class *class_ = batch_class(
        *state, "package:{name}",
        "SELECT name, size FROM package WHERE (SELECT seen(1)) AND name = :name COLLATE NOCASE",
        "SELECT name, size FROM package p WHERE (SELECT seen(2)) AND EXISTS (SELECT 1 FROM "
        "json_each(:name) WHERE p.name = value COLLATE NOCASE)",
        true);
    fb_hooks hooks = {.log = count_strays};
    strays_logged = 0;
    fb_hooks_set(&hooks);
    for (int round = 0; round < 2; round++) {
        load one;
        load_names(&one, *state, class_, names, 4);
        assert_str(outcome(&one, 0), "{\"name\":\"bash\",\"size\":6469}");
        assert_str(outcome(&one, 1), "{\"name\":\"vim\",\"size\":3700}");
        assert_str(outcome(&one, 2), "{\"name\":\"zsh\",\"size\":2490}");
        assert_str(outcome(&one, 3), "FB_NEGATIVE");
        load_release(&one);
    }
    assert_queries(8, 2);
    assert_int_equal(strays_logged, 1);
    free_class(*state, class_);
}

// For the database they are one value, which has one row; alone each of them has it.
static void test_batch__values_that_may_be_the_same_are_not_asked_together(void **state) {
    static const char *const names[] = {"bash", "BASH", "vim", "Bash", "none"};
    static const char *const sizes[] = {"6469", "06469", "6469.0", " 6469", "2490"};
    fb_class *by_name = batch_class(
        *state, "package:{name}", "SELECT size FROM package WHERE name = :name COLLATE NOCASE",
        "SELECT name, size FROM package p WHERE EXISTS (SELECT 1 FROM json_each(:name) WHERE "
        "p.name = value COLLATE NOCASE)",
        true);
    fb_class *by_size = batch_class(
        *state, "size:{name}", "SELECT name AS package FROM package WHERE size = :name",
        "SELECT size AS name, name AS package FROM package WHERE size IN (SELECT value FROM "
        "json_each(:name))",
        true);
    load one;
    load_names(&one, *state, by_name, names, 5);
    for (size_t i = 0; i < 4; i++) {
        assert_str(outcome(&one, i), i == 2 ? "{\"size\":3700}" : "{\"size\":6469}");
    }
    assert_str(outcome(&one, 4), "FB_NEGATIVE");
    load_release(&one);
    load_names(&one, *state, by_size, sizes, 5);
    for (size_t i = 0; i < 5; i++) {
        assert_str(outcome(&one, i), i == 4 ? "{\"package\":\"zsh\"}" : "{\"package\":\"bash\"}");
    }
    load_release(&one);
    free_class(*state, by_name);
    free_class(*state, by_size);
}

static void test_batch__values_that_json_would_change_go_alone(void **state) {
    fb_class *class_ = batch_class(
        *state, "package:{name}",
        "SELECT hex(:name) AS h FROM package WHERE (SELECT seen(1)) AND name = 'vim'",
        "SELECT value AS name, hex(value) AS h FROM json_each(:name) WHERE (SELECT seen(2))", true);
    fb_str values[] = {FB_STR("a\xff"), FB_STR("b"), FB_STR("c\0d"), FB_STR("\"\\\n\x01"),
                       FB_STR("\xc3\xbc\xf0\x9f\x90\x98")};
    static const char *const hex[] = {"61FF", "62", "630064", "225C0A01", "C3BCF09F9098"};
    load one;
    load_init(&one, class_);
    for (size_t i = 0; i < 5; i++) {
        fb_param param = {FB_STR("name"), values[i]};
        load_add(&one, &param, 1);
    }
    load_run(&one, *state);
    for (size_t i = 0; i < 5; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"h\":\"%s\"}", hex[i]);
        assert_str(outcome(&one, i), text);
    }
    assert_queries(2, 1);
    load_release(&one);
    free_class(*state, class_);
}

static void numbers(fixture *own, int type, const char *column) {
    static const char *const values[] = {"7", "2", "9223372036854775807", "-3"};
    fb_param_options types[] = {{.name = "name", .type = type, .min = INT64_MIN, .max = INT64_MAX}};
    char batch[256];
    (void)snprintf(batch, sizeof(batch),
                   "SELECT %s AS name, typeof(value) AS t FROM json_each(:name) WHERE value <> 2",
                   column);
    fb_class_options options = {.name = "number", .key = "number:{name}", .source = "catalogue",
                                .one = true, .batch_by = "name", .batch_query = batch,
                                .query = "SELECT typeof(:name) AS t WHERE :name <> 2",
                                .parameters = types, .parameter_count = 1};
    fb_class *class_ = make_class(own, &options);
    load one;
    load_names(&one, own, class_, values, 4);
    const char *text = type == FB_PARAM_INTEGER ? "{\"t\":\"integer\"}" : "{\"t\":\"real\"}";
    assert_str(outcome(&one, 0), text);
    assert_str(outcome(&one, 1), "FB_NEGATIVE");
    assert_str(outcome(&one, 2), text);
    assert_str(outcome(&one, 3), text);
    load_release(&one);
    free_class(own, class_);
}

static void test_batch__numbers_travel_as_numbers(void **state) {
    numbers(*state, FB_PARAM_INTEGER, "value");
    numbers(*state, FB_PARAM_INTEGER, "CAST(value AS TEXT)");
    numbers(*state, FB_PARAM_NUMBER, "value");
}

static void test_batch__what_is_too_large_together_is_loaded_one_by_one(void **state) {
    static const char *const names[] = {"bash", "vim", "zsh"};
    fb_class *class_ = batch_class(
        *state, "package:{name}",
        "SELECT name, zeroblob(20000000 + 10 * (SELECT seen(1))) AS z FROM package WHERE name = "
        ":name",
        "SELECT name, zeroblob(20000000 + 5 * (SELECT seen(2))) AS z FROM package WHERE name IN "
        "(SELECT value FROM json_each(:name))",
        true);
    load one;
    load_names(&one, *state, class_, names, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(outcome(&one, i).len > 26000000);
    }
    assert_queries(3, 1);
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__tags_and_their_errors_are_each_items_own(void **state) {
    static const char *const names[] = {"3", "17", "0", "16"};
    char *tags[] = {"x:{x}"};
    fb_class_options options = {
        .name = "list", .key = "list:{name}", .source = "catalogue", .tags = tags, .tag_count = 1,
        .query = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20) "
                 "SELECT x FROM c WHERE x <= CAST(:name AS INTEGER)",
        .batch_query = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < "
                       "20) SELECT value AS name, x FROM c, json_each(:name) WHERE (SELECT seen(2))"
                       " AND x <= CAST(value AS INTEGER)",
        .batch_by = "name"};
    fb_class *class_ = make_class(*state, &options);
    load one;
    load_names(&one, *state, class_, names, 4);
    assert_str(outcome(&one, 0), "[{\"x\":1},{\"x\":2},{\"x\":3}]");
    assert_int_equal(one.loaded[0].tag_count, 3);
    assert_str(fb_loaded_tag_at(&one.loaded[0], 2), "x:3");
    assert_str(outcome(&one, 1), "FB_ESOURCE");
    assert_non_null(strstr(one.loaded[1].error, "16 tags"));
    assert_int_equal(one.loaded[1].tag_count, 0);
    assert_str(outcome(&one, 2), "[]");
    assert_ok(one.loaded[3].result);
    assert_int_equal(one.loaded[3].tag_count, 16);
    assert_queries(0, 1);
    load_release(&one);
    free_class(*state, class_);
}

static void test_batch__fails_as_a_whole_at_its_deadline(void **state) {
    static const char *const names[] = {"bash", "vim"};
    fb_class *class_ = batch_class(
        *state, "package:{name}", "SELECT :name AS name",
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) "
        "SELECT count(*) AS name FROM c WHERE :name <> ''",
        true);
    load one;
    load_init(&one, class_);
    load_add_one(&one, "name", names[0]);
    load_add_one(&one, "name", names[1]);
    one.job.deadline_ns = fb_clock_now_ns() + 30000000;
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ETIMEDOUT");
    assert_str(outcome(&one, 1), "FB_ETIMEDOUT");
    load_release(&one);
    free_class(*state, class_);
}

// Whatever is asked for together, every item gets what it gets alone.
static void test_batch__random_batches_are_as_single_loads(void **state) {
    static const char *const pool[] = {"bash", "zsh", "vim", "nano", "none", "BASH", "", "a'b",
                                       "\xc3\xbc", "\xff"};
    fixture *own = *state;
    fb_rng rng = test_rng();
    run_sql(own->path, "INSERT INTO package VALUES('BASH', 'shout', 1.5), ('', NULL, x'01'),"
                       "('a''b', '\"', 2), ('\xc3\xbc', 'x', 3), (CAST(x'ff' AS TEXT), 'y', 4)");
    fb_class *class_ = packages(own);
    for (int round = 0; round < 50; round++) {
        size_t count = 1 + fb_rng_below(&rng, 12);
        load one;
        load_init(&one, class_);
        for (size_t i = 0; i < count; i++) {
            load_add_one(&one, "name", pool[fb_rng_below(&rng, 10)]);
        }
        load_run(&one, own);
        for (size_t i = 0; i < count; i++) {
            load alone;
            load_init(&alone, class_);
            load_add(&alone, one.items[i].bound.params, 1);
            load_run(&alone, own);
            assert_bytes(outcome(&one, i), outcome(&alone, 0));
            load_release(&alone);
        }
        load_release(&one);
    }
    free_class(own, class_);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, keep_none)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_batch__is_one_query_for_all_items),
        TEST(test_batch__of_one_item_is_the_query_for_one),
        TEST(test_batch__of_arrays_gives_each_its_rows),
        TEST(test_batch__of_one_row_each_takes_the_first),
        TEST(test_batch__other_parameters_make_batches_of_their_own),
        TEST(test_batch__the_same_value_twice_is_answered_twice),
        TEST(test_batch__rows_of_nobody_have_the_items_loaded_one_by_one),
        TEST(test_batch__values_that_may_be_the_same_are_not_asked_together),
        TEST(test_batch__values_that_json_would_change_go_alone),
        TEST(test_batch__numbers_travel_as_numbers),
        TEST(test_batch__what_is_too_large_together_is_loaded_one_by_one),
        TEST(test_batch__tags_and_their_errors_are_each_items_own),
        TEST(test_batch__fails_as_a_whole_at_its_deadline),
        TEST(test_batch__random_batches_are_as_single_loads),
    };
    (void)test_memory_get();
    (void)sqlite3_auto_extension((void (*)(void))add_functions);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
