// Memory fails at each allocation in turn, ours and SQLite's: what comes out is an answer or
// FB_ENOMEM, nothing is lost, and the next load works.

#include "sqlite_fixture.h"

// ---- SQLite's memory

static sqlite3_mem_methods plain;
static atomic_size_t sqlite_asked, sqlite_fail_at;
static atomic_bool sqlite_failed;

static bool sqlite_fails(void) {
    bool fails = ++sqlite_asked == sqlite_fail_at;
    sqlite_failed = sqlite_failed || fails;
    return fails;
}

static void *sqlite_new(int size) {
    return sqlite_fails() ? NULL : plain.xMalloc(size);
}

static void *sqlite_resize(void *ptr, int size) {
    return sqlite_fails() ? NULL : plain.xRealloc(ptr, size);
}

static void sqlite_fail(size_t n) {
    sqlite_asked = 0;
    sqlite_failed = false;
    sqlite_fail_at = n;
}

static void hook_sqlite(void) {
    sqlite3_mem_methods methods;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain) != SQLITE_OK) {
        abort();
    }
    methods = plain;
    methods.xMalloc = sqlite_new;
    methods.xRealloc = sqlite_resize;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK) {
        abort();
    }
}

// ---- the scenario

enum { ITEMS = 3 };

static const char *const expected[ITEMS] = {
    "[{\"name\":\"bash\",\"section\":\"shells\",\"size\":6469}]",
    "[]",
    "[{\"name\":\"vim\",\"section\":\"editors\",\"size\":3700}]",
};

static void check_item(const load *one, size_t index) {
    if (one->loaded[index].result == FB_OK) {
        assert_str(outcome(one, index), expected[index]);
        assert_int_equal(one->loaded[index].tag_count, index == 1 ? 0 : 1);
    } else {
        assert_result(one->loaded[index].result, FB_ENOMEM);
        assert_non_null(strstr(one->loaded[index].error, "out of memory"));
        assert_int_equal(one->loaded[index].tag_count, 0);
    }
}

static fb_class_options class_options(void) {
    static char *tags[] = {"section:{section}"};
    fb_class_options options = {
        .name = "package", .key = "package:{name}", .source = "catalogue", .tags = tags,
        .tag_count = 1, .query = "SELECT * FROM package WHERE name = :name",
        .batch_query = "SELECT * FROM package WHERE name IN (SELECT value FROM json_each(:name))",
        .batch_by = "name", .warm_query = "SELECT name FROM package"};
    return options;
}

static void count_row(void *arg, const fb_param *columns, size_t column_count) {
    assert_int_equal(column_count, 1);
    assert_str(columns[0].name, "name");
    (*(int *)arg)++;
}

// Which memory fails, and whether it has since it was told to.
typedef struct fault {
    void (*fail_nth)(size_t n);
    atomic_bool *failed;
} fault;

// A batch, one alone, rows, while allocation n fails. Whether one did.
static bool use(fixture *own, const fb_class *class_, const fault *of, size_t n) {
    load all, one;
    fb_error error;
    int rows = 0;
    load_init(&all, class_);
    load_init(&one, class_);
    load_add_one(&all, "name", "bash");
    load_add_one(&all, "name", "none");
    load_add_one(&all, "name", "vim");
    load_add_one(&one, "name", "bash");
    of->fail_nth(n);
    load_run(&all, own);
    load_run(&one, own);
    int result = own->source->type->rows(own->source, FB_STR("SELECT name FROM package"),
                                         fb_clock_now_ns() + INT64_C(60000000000), count_row, &rows,
                                         &error);
    bool failed = *of->failed;
    of->fail_nth(0);
    for (size_t i = 0; i < ITEMS; i++) {
        check_item(&all, i);
    }
    check_item(&one, 0);
    assert_true(result == FB_ENOMEM || (result == FB_OK && rows == 4));
    load_release(&all);
    load_release(&one);
    return failed;
}

static bool open_it(fixture *own, const fault *of, size_t n) {
    fb_error error;
    of->fail_nth(n);
    int result = fb_sqlite_open(FB_STR("catalogue"), own->path, own->pool, &own->source, &error);
    bool failed = *of->failed;
    of->fail_nth(0);
    if (result < 0) {
        assert_result(result, FB_ENOMEM);
        assert_non_null(strstr(error.text, "out of memory"));
        assert_true(failed);
        assert_ok(fb_sqlite_open(FB_STR("catalogue"), own->path, own->pool, &own->source, &error));
    }
    return failed;
}

static bool prepare_it(fixture *own, const fault *of, size_t n) {
    fb_class_options options = class_options();
    fb_str names[FB_CLASS_PARAMS_MAX];
    size_t name_count = 0;
    void *prepared = NULL;
    fb_error error;
    of->fail_nth(n);
    int result = own->source->type->prepare(own->source, &options, &prepared, names,
                                            FB_CLASS_PARAMS_MAX, &name_count, &error);
    bool failed = *of->failed;
    of->fail_nth(0);
    if (result < 0) {
        assert_result(result, FB_ENOMEM);
        assert_non_null(strstr(error.text, "out of memory"));
        assert_true(failed);
    } else {
        own->source->type->unprepare(own->source, prepared);
    }
    return failed;
}

// Each step with its n-th allocation failing; then all works. Whether one failed.
static bool sweep(fixture *own, const fault *of, size_t n) {
    fb_class_options options = class_options();
    assert_ok(fb_workers_new(1, &own->pool));
    bool failed = open_it(own, of, n);
    failed = prepare_it(own, of, n) || failed;
    fb_class *class_ = make_class(own, &options);
    failed = use(own, class_, of, n) || failed;
    assert_false(use(own, class_, of, 0));
    free_class(own, class_);
    close_source(own);
    return failed;
}

static void test_faults__of_our_memory(void **state) {
    test_memory *memory = test_memory_get();
    fault of = {test_memory_fail, &memory->failed};
    long live = memory->live;
    size_t n = 1;
    while (sweep(*state, &of, n)) {
        assert_int_equal(memory->live, live);
        n++;
    }
    assert_true(n > 10);
}

static void test_faults__of_sqlites_memory(void **state) {
    fault of = {sqlite_fail, &sqlite_failed};
    long live = test_memory_get()->live;
    (void)sweep(*state, &of, 0);
    sqlite3_int64 used = sqlite3_memory_used();
    size_t n = 1;
    while (sweep(*state, &of, n)) {
        assert_int_equal(test_memory_get()->live, live);
        assert_int_equal(sqlite3_memory_used(), used);
        n++;
    }
    assert_true(n > 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_up, fixture_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_faults__of_our_memory),
        TEST(test_faults__of_sqlites_memory),
    };
    (void)test_memory_get();
    hook_sqlite();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
