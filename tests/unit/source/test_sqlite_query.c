// Queries as they are looked at when the configuration is read: what is accepted, what is refused,
// with which words and at which place.

#include "sqlite_fixture.h"

#include <sys/stat.h>

static int up(void **state) {
    (void)fixture_up(state);
    open_source(*state, 1);
    return 0;
}

// Places as a configuration would give them: query 10:12, batch.query 20:14, warm.query 30:15.
static fb_class_options options_of(char *query) {
    fb_class_options options = {.name = "package", .key = "package:{name}", .source = "catalogue",
                                .query = query, .file = "shop.yaml", .line = 9, .column = 3,
                                .query_line = 10, .query_column = 12, .batch_query_line = 20,
                                .batch_query_column = 14, .warm_query_line = 30,
                                .warm_query_column = 15, .tags_line = 40, .tags_column = 16};
    return options;
}

static void assert_refused(fixture *own, const fb_class_options *options, uint32_t line,
                           uint32_t column, const char *text) {
    fb_str names[FB_CLASS_PARAMS_MAX];
    size_t name_count = 0;
    void *prepared = NULL;
    fb_error error = {0};

    assert_result(own->source->type->prepare(own->source, options, &prepared, names,
                                             FB_CLASS_PARAMS_MAX, &name_count, &error),
                  FB_EINVAL);
    assert_string_equal(error.text, text);
    assert_string_equal(error.file, "shop.yaml");
    assert_int_equal(error.code, FB_EINVAL);
    assert_int_equal(error.line, line);
    assert_int_equal(error.column, column);
    assert_null(prepared);
}

static void test_query__is_refused_with_its_place_and_sqlites_words(void **state) {
    static char *const rows[][2] = {
        {"SELECT nam FROM package", "no such column: nam (line 1, column 8 of the query)"},
        {"SELECT name\nFROM package\nWHERE gr\xc3\xb6\xc3\x9f" "e = 1 AND nme = :name",
         "no such column: gr\xc3\xb6\xc3\x9f" "e (line 3, column 7 of the query)"},
        {"SELECT name FROM package WHERE '\xc3\xb6' = name AND nme = :name",
         "no such column: nme (line 1, column 47 of the query)"},
        {"SELECT * FROM pakage", "no such table: pakage"},
        {"SELEC 1", "near \"SELEC\": syntax error (line 1, column 1 of the query)"},
        {"SELECT (1", "incomplete input"},
        {"SELECT 'open", "unrecognized token: \"'open\" (line 1, column 8 of the query)"},
        {"SELECT nosuch(1)", "no such function: nosuch (line 1, column 8 of the query)"},
        {"", "it is empty: expected a SELECT"},
        {" -- nothing here\n;", "it is empty: expected a SELECT"},
        {"DELETE FROM package", "it would change the database: expected a SELECT"},
        {"INSERT INTO package(name) VALUES(:name) RETURNING name",
         "it would change the database: expected a SELECT"},
        {"CREATE TABLE x(y)", "it would change the database: expected a SELECT"},
        {"BEGIN", "it gives no rows: expected a SELECT"},
        {"ATTACH '/tmp/x.db' AS x", "it gives no rows: expected a SELECT"},
        {"PRAGMA table_info(package)", "a PRAGMA is no query: expected a SELECT"},
        {"PRAGMA case_sensitive_like = 1", "a PRAGMA is no query: expected a SELECT"},
        {"SELECT 1 AS x; SELECT 2 AS y",
         "more than one statement (line 1, column 16 of the query)"},
        {"SELECT 1 AS x;\n  DELETE FROM package",
         "more than one statement (line 2, column 3 of the query)"},
        {"SELECT 1 AS x; nonsense", "more than one statement (line 1, column 16 of the query)"},
        {"SELECT ? AS x", "a parameter without a name, '?': parameters are written :name"},
        {"SELECT :name AS x, ?3 AS y",
         "a parameter without a name, '?': parameters are written :name"},
        {"SELECT ?1 AS x", "parameter '?1': parameters are written :name"},
        {"SELECT @name AS x", "parameter '@name': parameters are written :name"},
        {"SELECT $name AS x", "parameter '$name': parameters are written :name"},
        {"SELECT a.*, b.section FROM package a, package b",
         "two columns are named 'section': give one another name with AS"},
        {"SELECT 1 AS a, 2 AS a", "two columns are named 'a': give one another name with AS"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        fb_class_options options = options_of(rows[i][0]);
        (void)snprintf(text, sizeof(text), "class package: query: %s", rows[i][1]);
        assert_refused(*state, &options, 10, 12, text);
    }
}

static void test_query__may_be_any_select(void **state) {
    static char *const queries[] = {
        "SELECT * FROM package WHERE name = :name",
        "SELECT * FROM package WHERE name = :name;",
        "SELECT * FROM package WHERE name = :name ; ; -- done",
        "/* first */ SELECT :name AS name",
        "WITH one(x) AS (SELECT :name) SELECT * FROM one",
        "VALUES(:name)",
        "SELECT value FROM json_each(:name)",
        "SELECT name FROM pragma_table_info(:name)",
        "SELECT ';' AS semicolon, '?' AS mark, :name AS name",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        free_class(*state, plain_class(*state, "package:{name}", queries[i], false));
    }
}

// Their modules ask the database PRAGMAs of their own.
static void test_query__may_search_full_text_tables(void **state) {
    fixture *own = *state;
    static char *const queries[] = {
        "SELECT name FROM text5 WHERE text5 MATCH :words ORDER BY rank",
        "SELECT name FROM text4 WHERE text4 MATCH :words",
    };
    run_sql(own->path, "CREATE VIRTUAL TABLE text5 USING fts5(name);"
                       "CREATE VIRTUAL TABLE text4 USING fts4(name)");
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        free_class(own, plain_class(own, "package:{words}", queries[i], false));
    }
}

static void test_query__names_of_parameters_come_once_each(void **state) {
    fixture *own = *state;
    fb_str names[FB_CLASS_PARAMS_MAX];
    size_t name_count = 0;
    void *prepared = NULL;
    fb_class_options options = options_of("SELECT :b AS b, :a AS a, :b AS c");
    options.batch_query = "SELECT value AS b, :a AS a, :c AS c FROM json_each(:b)";
    options.batch_by = "b";

    assert_ok(own->source->type->prepare(own->source, &options, &prepared, names,
                                         FB_CLASS_PARAMS_MAX, &name_count, NULL));
    assert_int_equal(name_count, 3);
    assert_str(names[0], "b");
    assert_str(names[1], "a");
    assert_str(names[2], "c");
    own->source->type->unprepare(own->source, prepared);
}

static void test_query__has_at_most_as_many_parameters_as_a_class(void **state) {
    char sql[1000] = "SELECT 1 AS x WHERE 0";
    fb_class_options options = options_of(sql);

    for (int i = 0; i <= FB_CLASS_PARAMS_MAX; i++) {
        (void)snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), " OR :p%d", i);
    }
    assert_refused(*state, &options, 10, 12, "class package: query: more than 32 parameters");
}

static void test_query__a_batch_is_refused_at_its_own_place(void **state) {
    static char *const rows[][2] = {
        {"SELECT * FROM package WHERE nme IN (SELECT value FROM json_each(:name))",
         "no such column: nme (line 1, column 29 of the query)"},
        {"UPDATE package SET size = :name", "it would change the database: expected a SELECT"},
        {"SELECT * FROM package WHERE name = ?",
         "a parameter without a name, '?': parameters are written :name"},
        {"SELECT * FROM package WHERE name IN (SELECT value FROM json_each(:names))",
         "it has no parameter :name, the one that batch.by names: in it the values come as a JSON "
         "array, for json_each(:name)"},
        {"SELECT section, size FROM package WHERE name IN (SELECT value FROM json_each(:name))",
         "its result has no column 'name', the one that batch.by names: it says which value a row "
         "belongs to"},
        {"SELECT name, section FROM package WHERE name IN (SELECT value FROM json_each(:name))",
         "its columns must be those of query, in the same order: 'size' is missing"},
        {"SELECT name, size, section FROM package WHERE name IN (SELECT value FROM "
         "json_each(:name))",
         "its columns must be those of query, in the same order: 'size' stands where query has "
         "section"},
        {"SELECT *, 1 AS more FROM package WHERE name IN (SELECT value FROM json_each(:name))",
         "its columns must be those of query, in the same order: 'more' stands where query has no "
         "more"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[256];
        fb_class_options options = options_of("SELECT * FROM package WHERE name = :name");
        options.batch_query = rows[i][0];
        options.batch_by = "name";
        (void)snprintf(text, sizeof(text), "class package: batch.query: %s", rows[i][1]);
        assert_refused(*state, &options, 20, 14, text);
    }
}

static void test_query__a_warm_query_is_refused_at_its_own_place(void **state) {
    fb_class_options options = options_of("SELECT * FROM package WHERE name = :name");

    options.warm_query = "SELECT nam AS name FROM package";
    assert_refused(*state, &options, 30, 15,
                   "class package: warm.query: no such column: nam (line 1, column 8 of the "
                   "query)");
    options.warm_query = "DELETE FROM package";
    assert_refused(*state, &options, 30, 15,
                   "class package: warm.query: it would change the database: expected a SELECT");
    options.warm_query = "SELECT name FROM package WHERE section = :section";
    assert_refused(*state, &options, 30, 15,
                   "class package: warm.query: it has the parameter ':section', and nobody to give "
                   "it: each of its rows is one set of the class's parameters");
}

// A column that is not there would leave every entry without the tag, and nobody would know.
static void test_query__tags_name_parameters_or_columns(void **state) {
    fixture *own = *state;
    char *tags[] = {"section:{section}:{name}:{{x}}", NULL};
    fb_class_options options = options_of("SELECT section, size FROM package WHERE name = :name");
    options.tags = tags;
    options.tag_count = 1;
    free_class(own, make_class(own, &options));
    options.tag_count = 2;
    tags[1] = "x:{sectoin}";
    assert_refused(own, &options, 40, 16,
                   "class package: tags: 'x:{sectoin}': 'sectoin' is neither a parameter nor a "
                   "column of the query; did you mean 'section'?");
    tags[1] = "x:{nme}";
    assert_refused(own, &options, 40, 16,
                   "class package: tags: 'x:{nme}': 'nme' is neither a parameter nor a column of "
                   "the query; did you mean 'name'?");
    tags[1] = "{maintainer}";
    assert_refused(own, &options, 40, 16,
                   "class package: tags: '{maintainer}': 'maintainer' is neither a parameter nor a "
                   "column of the query");
}

static void test_query__a_warm_query_gives_the_parameters(void **state) {
    fixture *own = *state;
    fb_param_options page = {.name = "page", .default_text = "1"};
    fb_class_options options = options_of("SELECT :section AS s, :page AS p");
    options.key = "list:{section}:{page}";
    options.parameters = &page;
    options.parameter_count = 1;
    options.warm_query = "SELECT section FROM package";
    free_class(own, make_class(own, &options));
    options.warm_query = "SELECT section, 2 AS page FROM package";
    free_class(own, make_class(own, &options));
    options.warm_query = "SELECT section AS sectoin FROM package";
    assert_refused(own, &options, 30, 15,
                   "class package: warm.query: its column 'sectoin' is no parameter of the class: "
                   "each row is one set of them; did you mean 'section'?");
    options.warm_query = "SELECT 2 AS page";
    assert_refused(own, &options, 30, 15,
                   "class package: warm.query: its result has no column 'section', a parameter "
                   "that has no default");
}

static void test_query__checking_changes_nothing(void **state) {
    fixture *own = *state;
    fb_class_options options = options_of("DELETE FROM package");
    void *prepared = NULL;
    size_t name_count = 0;

    assert_result(own->source->type->prepare(own->source, &options, &prepared, NULL, 0, &name_count,
                                             NULL),
                  FB_EINVAL);
    fb_class *class_ = plain_class(own, "count", "SELECT count(*) AS n FROM package", true);
    assert_loads(own, class_, NULL, NULL, "{\"n\":4}");
    free_class(own, class_);
}

static void refuse_open(const char *path, const char *text) {
    fb_source *source = NULL;
    fb_error error = {0};
    char expected[256];

    assert_result(fb_sqlite_open(FB_STR("catalogue"), path, NULL, &source, &error), FB_EINVAL);
    (void)snprintf(expected, sizeof(expected), text, path);
    assert_string_equal(error.text, expected);
    assert_null(source);
}

static void test_open__says_what_is_wrong_with_the_file(void **state) {
    fixture *own = *state;
    FILE *file = fopen(own->other, "w");

    assert_non_null(file);
    for (int i = 0; i < 100; i++) {
        (void)fputs("this is not a database. ", file);
    }
    (void)fclose(file);
    refuse_open(own->other, "source catalogue: file is not a database");
    assert_int_equal(unlink(own->other), 0);
    refuse_open(own->other, "source catalogue: %s: No such file or directory");
    refuse_open(":memory:", "source catalogue: %s: No such file or directory");
    refuse_open("", "source catalogue: %s: No such file or directory");
    refuse_open(own->folder, "source catalogue: disk I/O error: Is a directory");
}

static void test_open__wal_mode_wants_a_folder_to_write_to(void **state) {
    fixture *own = *state;
    fb_source *source = NULL;
    fb_error error = {0};

    if (geteuid() == 0) {
        skip();  // no folder is closed to root
    }
    run_sql(own->path, "PRAGMA journal_mode = WAL");
    assert_int_equal(chmod(own->folder, 0555), 0);
    int result = fb_sqlite_open(FB_STR("catalogue"), own->path, NULL, &source, &error);
    assert_int_equal(chmod(own->folder, 0755), 0);
    assert_result(result, FB_EINVAL);
    assert_string_equal(error.text, "source catalogue: the database is in WAL mode, and its folder "
                                    "cannot be written");
    assert_ok(fb_sqlite_open(FB_STR("catalogue"), own->path, NULL, &source, &error));
    source->type->close(source);
}

static void test_open__without_workers_is_enough_to_check(void **state) {
    fixture *own = *state;
    fb_source *source = NULL;
    fb_str names[FB_CLASS_PARAMS_MAX];
    size_t name_count = 0;
    void *prepared = NULL;
    fb_class_options options = options_of("SELECT * FROM package WHERE name = :name");

    assert_ok(fb_sqlite_open(FB_STR("catalogue"), own->path, NULL, &source, NULL));
    assert_str(source->name, "catalogue");
    assert_string_equal(source->type->name, "sqlite");
    assert_ok(source->type->prepare(source, &options, &prepared, names, FB_CLASS_PARAMS_MAX,
                                    &name_count, NULL));
    source->type->unprepare(source, prepared);
    source->type->close(source);
}

static void test_open__leaves_no_file_beside_the_database(void **state) {
    fixture *own = *state;
    struct stat file;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s-journal", own->path);
    assert_int_equal(stat(path, &file), -1);
    (void)snprintf(path, sizeof(path), "%s-wal", own->path);
    assert_int_equal(stat(path, &file), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, fixture_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_query__is_refused_with_its_place_and_sqlites_words),
        TEST(test_query__may_be_any_select),
        TEST(test_query__may_search_full_text_tables),
        TEST(test_query__names_of_parameters_come_once_each),
        TEST(test_query__has_at_most_as_many_parameters_as_a_class),
        TEST(test_query__a_batch_is_refused_at_its_own_place),
        TEST(test_query__a_warm_query_is_refused_at_its_own_place),
        TEST(test_query__tags_name_parameters_or_columns),
        TEST(test_query__a_warm_query_gives_the_parameters),
        TEST(test_query__checking_changes_nothing),
        TEST(test_open__says_what_is_wrong_with_the_file),
        TEST(test_open__wal_mode_wants_a_folder_to_write_to),
        TEST(test_open__without_workers_is_enough_to_check),
        TEST(test_open__leaves_no_file_beside_the_database),
    };
    (void)test_memory_get();
    (void)sqlite3_auto_extension((void (*)(void))add_functions);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
