// Loads from real databases on real worker threads: the form of values, deadlines, what happens to
// the file meanwhile, tags, rows for warming. Batches have a file of their own.

#include "sqlite_fixture.h"

#include <math.h>

#include "base/json.h"

enum { MS = 1000000 };

static int up(void **state) {
    (void)fixture_up(state);
    open_source(*state, 4);
    return 0;
}

// One worker, so that what one load leaves behind meets the next.
static int up_one(void **state) {
    (void)fixture_up(state);
    open_source(*state, 1);
    return 0;
}

// ---- values

static void test_load__one_row_is_an_object(void **state) {
    fb_class *class_ = plain_class(*state, "package:{name}",
                                   "SELECT * FROM package WHERE name = :name", true);
    assert_loads(*state, class_, "name", "bash",
                 "{\"name\":\"bash\",\"section\":\"shells\",\"size\":6469}");
    assert_loads(*state, class_, "name", "nano",
                 "{\"name\":\"nano\",\"section\":\"editors\",\"size\":null}");
    assert_loads(*state, class_, "name", "no such", "FB_NEGATIVE");
    free_class(*state, class_);
}

static void test_load__many_rows_are_an_array(void **state) {
    fb_class *class_ = plain_class(*state, "section:{section}",
                                   "SELECT name, size FROM package WHERE section = :section "
                                   "ORDER BY name",
                                   false);
    assert_loads(*state, class_, "section", "shells",
                 "[{\"name\":\"bash\",\"size\":6469},{\"name\":\"zsh\",\"size\":2490}]");
    assert_loads(*state, class_, "section", "games", "[]");
    free_class(*state, class_);
}

static void test_load__of_one_takes_the_first_row(void **state) {
    fb_class *class_ = plain_class(*state, "big", "SELECT name FROM package ORDER BY size DESC",
                                   true);
    assert_loads(*state, class_, NULL, NULL, "{\"name\":\"bash\"}");
    free_class(*state, class_);
}

static void test_load__each_type_has_its_form(void **state) {
    fb_class *class_ = plain_class(
        *state, "forms",
        "SELECT NULL AS a, 9223372036854775807 AS b, -9223372036854775808 AS c, 1.0 AS d, "
        "0.1 AS e, 1e300*1e10 AS f, -1e300*1e10 AS g, 1e300*1e10 - 1e300*1e10 AS h, '' AS i, "
        "'say \"\xc3\xbc\"' AS j, x'' AS k, x'00ff10' AS l, CAST(x'61ff62' AS TEXT) AS m, "
        "CAST(x'610062' AS TEXT) AS n, true AS o, json_array(1,2) AS p, zeroblob(3) AS \"q \"\"\"",
        true);
    assert_loads(*state, class_, NULL, NULL,
                 "{\"a\":null,\"b\":9223372036854775807,\"c\":-9223372036854775808,\"d\":1.0,"
                 "\"e\":0.1,\"f\":null,\"g\":null,\"h\":null,\"i\":\"\","
                 "\"j\":\"say \\\"\xc3\xbc\\\"\",\"k\":{\"base64\":\"\"},"
                 "\"l\":{\"base64\":\"AP8Q\"},\"m\":\"a\xef\xbf\xbd" "b\",\"n\":\"a\\u0000b\","
                 "\"o\":1,\"p\":\"[1,2]\",\"q \\\"\":{\"base64\":\"AAAA\"}}");
    free_class(*state, class_);
}

// A random row goes in through SQLite's own binding; jansson reads what comes out.
static void test_load__random_rows_come_out_as_they_went_in(void **state) {
    fixture *own = *state;
    fb_rng rng = test_rng();
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    char texts[200][40];
    double reals[200];
    int64_t integers[200];

    run_sql(own->path, "CREATE TABLE any(id INTEGER PRIMARY KEY, i INTEGER, r REAL, t TEXT)");
    assert_int_equal(sqlite3_open(own->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO any VALUES(?,?,?,?)", -1, &insert, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN", NULL, NULL, NULL), SQLITE_OK);
    for (int i = 0; i < 200; i++) {
        integers[i] = (int64_t)fb_rng_next(&rng) >> fb_rng_below(&rng, 64);
        reals[i] = (fb_rng_unit(&rng) - 0.5) * pow(10, (double)fb_rng_below(&rng, 40) - 20);
        for (size_t k = 0; k < sizeof(texts[i]); k++) {
            texts[i][k] = (char)(1 + fb_rng_below(&rng, 127));
        }
        texts[i][fb_rng_below(&rng, sizeof(texts[i]))] = '\0';
        (void)sqlite3_bind_int(insert, 1, i);
        (void)sqlite3_bind_int64(insert, 2, integers[i]);
        (void)sqlite3_bind_double(insert, 3, reals[i]);
        (void)sqlite3_bind_text(insert, 4, texts[i], -1, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
        (void)sqlite3_reset(insert);
    }
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_finalize(insert);
    (void)sqlite3_close(db);

    fb_class *class_ = plain_class(own, "any", "SELECT i, r, t FROM any ORDER BY id", false);
    load one;
    load_init(&one, class_);
    load_add(&one, NULL, 0);
    load_run(&one, own);
    fb_str text = outcome(&one, 0);
    json_t *rows = json_loadb(text.ptr, text.len, 0, NULL);
    assert_int_equal(json_array_size(rows), 200);
    for (int i = 0; i < 200; i++) {
        json_t *row = json_array_get(rows, (size_t)i);
        assert_true(json_integer_value(json_object_get(row, "i")) == integers[i]);
        assert_true(json_real_value(json_object_get(row, "r")) == reals[i]);
        assert_string_equal(json_string_value(json_object_get(row, "t")), texts[i]);
    }
    json_decref(rows);
    load_release(&one);
    free_class(own, class_);
}

static void test_load__says_what_sqlites_own_json_says(void **state) {
    fixture *own = *state;
    fb_class *ours = plain_class(own, "ours", "SELECT * FROM package ORDER BY name", false);
    fb_class *theirs = plain_class(own, "theirs",
                                   "SELECT json_group_array(json_object('name', name, 'section', "
                                   "section, 'size', size)) AS t FROM (SELECT * FROM package "
                                   "ORDER BY name)",
                                   true);
    load one, other;
    load_init(&one, ours);
    load_init(&other, theirs);
    load_add(&one, NULL, 0);
    load_add(&other, NULL, 0);
    load_run(&one, own);
    load_run(&other, own);
    fb_str text = outcome(&other, 0);
    json_t *row = json_loadb(text.ptr, text.len, 0, NULL);
    assert_str(outcome(&one, 0), json_string_value(json_object_get(row, "t")));
    json_decref(row);
    load_release(&one);
    load_release(&other);
    free_class(own, ours);
    free_class(own, theirs);
}

// ---- parameters

static void test_load__parameters_are_never_sql(void **state) {
    static const char *const values[] = {
        "x' OR '1'='1", "bash'; DROP TABLE package; --", "\" OR \"\"=\"", ":name", "?", "%", "*",
        "bash\\", "\xff\xfe",
    };
    fb_class *class_ = plain_class(*state, "package:{name}",
                                   "SELECT * FROM package WHERE name = :name", true);
    fb_class *echo = plain_class(*state, "echo:{name}", "SELECT :name AS name", true);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        assert_loads(*state, class_, "name", values[i], "FB_NEGATIVE");
    }
    assert_loads(*state, echo, "name", values[1],
                 "{\"name\":\"bash'; DROP TABLE package; --\"}");
    assert_loads(*state, echo, "name", "", "{\"name\":\"\"}");
    assert_loads(*state, class_, "name", "bash",
                 "{\"name\":\"bash\",\"section\":\"shells\",\"size\":6469}");
    free_class(*state, class_);
    free_class(*state, echo);
}

static void test_load__parameters_bind_as_their_type_says(void **state) {
    fb_param_options types[] = {
        {.name = "i", .type = FB_PARAM_INTEGER, .min = INT64_MIN, .max = INT64_MAX},
        {.name = "n", .type = FB_PARAM_NUMBER, .min = INT64_MIN, .max = INT64_MAX},
    };
    fb_class_options options = {
        .name = "types", .key = "types:{i}:{n}:{t}", .source = "catalogue", .one = true,
        .query = "SELECT :i AS i, typeof(:i) AS ti, :n AS n, typeof(:n) AS tn, :t AS t, "
                 "typeof(:t) AS tt",
        .parameters = types, .parameter_count = 2};
    fb_class *class_ = make_class(*state, &options);
    fb_param params[] = {{FB_STR("t"), FB_STR("7")}, {FB_STR("n"), FB_STR("2.50")},
                         {FB_STR("i"), FB_STR("-9223372036854775808")}};
    load one;
    load_init(&one, class_);
    load_add(&one, params, 3);
    load_run(&one, *state);
    assert_str(outcome(&one, 0),
               "{\"i\":-9223372036854775808,\"ti\":\"integer\",\"n\":2.5,\"tn\":\"real\","
               "\"t\":\"7\",\"tt\":\"text\"}");
    load_release(&one);
    free_class(*state, class_);
}

// ---- several items, several threads

static void test_load__items_have_outcomes_of_their_own(void **state) {
    fb_class *class_ = plain_class(*state, "package:{name}",
                                   "SELECT size FROM package WHERE name = :name", true);
    load one;
    load_init(&one, class_);
    load_add_one(&one, "name", "bash");
    load_add_one(&one, "name", "none");
    load_add_one(&one, "name", "vim");
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "{\"size\":6469}");
    assert_str(outcome(&one, 1), "FB_NEGATIVE");
    assert_str(outcome(&one, 2), "{\"size\":3700}");
    load_release(&one);
    free_class(*state, class_);
}

static void test_load__four_workers_query_at_the_same_time(void **state) {
    fb_class *class_ = plain_class(*state, "meet:{n}",
                                   "SELECT meet(4) AS met, name FROM package WHERE name = :n",
                                   true);
    static const char *const names[] = {"bash", "zsh", "vim", "nano"};
    load all[4];
    for (int i = 0; i < 4; i++) {
        load_init(&all[i], class_);
        load_add_one(&all[i], "n", names[i]);
        load_start(&all[i], *state);
    }
    for (int i = 0; i < 4; i++) {
        char expected[64];
        load_wait(&all[i]);
        (void)snprintf(expected, sizeof(expected), "{\"met\":1,\"name\":\"%s\"}", names[i]);
        assert_str(outcome(&all[i], 0), expected);
        load_release(&all[i]);
    }
    free_class(*state, class_);
}

static void test_load__many_jobs_on_four_workers_while_somebody_writes(void **state) {
    enum { JOBS = 400 };
    fixture *own = *state;
    fb_class *ours[] = {
        plain_class(own, "n:{n}", "SELECT :n AS n, (SELECT count(*) FROM package) AS c", true),
        plain_class(own, "m:{n}", "SELECT :n AS n FROM package", false),
    };
    load *all = calloc(JOBS, sizeof(*all));
    char texts[JOBS][8];
    assert_non_null(all);
    run_sql(own->path, "PRAGMA journal_mode = WAL");
    for (int i = 0; i < JOBS; i++) {
        load_init(&all[i], ours[i % 2]);
        (void)snprintf(texts[i], sizeof(texts[i]), "%d", i);
        load_add_one(&all[i], "n", texts[i]);
        load_start(&all[i], own);
        if (i % 40 == 0) {
            run_sql(own->path, "UPDATE package SET size = size + 1");
        }
    }
    for (int i = 0; i < JOBS; i++) {
        char expected[128];
        load_wait(&all[i]);
        (void)snprintf(expected, sizeof(expected),
                       i % 2 == 0 ? "{\"n\":\"%1$d\",\"c\":4}"
                                  : "[{\"n\":\"%1$d\"},{\"n\":\"%1$d\"},{\"n\":\"%1$d\"},"
                                    "{\"n\":\"%1$d\"}]",
                       i);
        assert_str(outcome(&all[i], 0), expected);
        load_release(&all[i]);
    }
    free(all);
    free_class(own, ours[0]);
    free_class(own, ours[1]);
}

static void test_load__more_classes_than_statements_are_kept(void **state) {
    enum { CLASSES = 300 };
    fixture *own = *state;
    fb_class *classes[CLASSES];
    for (int i = 0; i < CLASSES; i++) {
        char key[32], sql[64];
        (void)snprintf(key, sizeof(key), "k%d:{n}", i);
        (void)snprintf(sql, sizeof(sql), "SELECT :n AS n, %d AS k", i);
        classes[i] = plain_class(own, key, sql, true);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < CLASSES; i++) {
            char expected[64];
            (void)snprintf(expected, sizeof(expected), "{\"n\":\"x\",\"k\":%d}", i);
            assert_loads(own, classes[i], "n", "x", expected);
        }
    }
    for (int i = 0; i < CLASSES; i++) {
        free_class(own, classes[i]);
    }
}

// A class that goes and another that comes, perhaps at the same address, as over reloads.
static void test_load__statements_of_a_class_that_went_serve_no_other(void **state) {
    for (int i = 0; i < 20; i++) {
        char sql[64], expected[64];
        (void)snprintf(sql, sizeof(sql), "SELECT %d AS k", i);
        (void)snprintf(expected, sizeof(expected), "{\"k\":%d}", i);
        fb_class *class_ = plain_class(*state, "k", sql, true);
        assert_loads(*state, class_, NULL, NULL, expected);
        free_class(*state, class_);
    }
}

// ---- deadlines

static const char *const ENDLESS =
    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
    "SELECT count(*) AS n FROM c WHERE :name <> ''";

// A load that is not done by its deadline, of which it had most: where a busy worker came to it late,
// it has ever more time.
static void load_too_long(load *one, fixture *own, const fb_class *class_, const fb_param *params) {
    for (int64_t ms = 30; ms < 10000; ms *= 2) {
        load_init(one, class_);
        load_add(one, params, params != NULL ? 1 : 0);
        one->job.deadline_ns = fb_clock_now_ns() + ms * MS;
        load_run(one, own);
        if (one->loaded[0].took_ns >= 20 * MS) {
            return;
        }
        load_release(one);
    }
    fail_msg("it never had its time");
}

static void test_load__a_runaway_query_ends_at_its_deadline(void **state) {
    fb_class *class_ = plain_class(*state, "endless:{name}", ENDLESS, true);
    fb_class *other = plain_class(*state, "other", "SELECT 1 AS x", true);
    fb_param x = {FB_STR("name"), FB_STR("x")};
    load one;
    load_too_long(&one, *state, class_, &x);
    assert_result(one.loaded[0].result, FB_ETIMEDOUT);
    assert_string_equal(one.loaded[0].error,
                        "source catalogue: the query was not done by its deadline");
    assert_true(fb_clock_now_ns() >= one.job.deadline_ns);
    load_release(&one);
    // The worker and its connection serve on.
    assert_loads(*state, other, NULL, NULL, "{\"x\":1}");
    free_class(*state, class_);
    free_class(*state, other);
}

// One query runs, others wait for the one worker; more come later, warming's too.
static void test_load__a_cancelled_source_ends_all_that_is_asked(void **state) {
    fixture *own = *state;
    fb_class *class_ = plain_class(own, "endless:{name}", ENDLESS, true);
    fb_error error = {0};
    load all[3];
    for (size_t i = 0; i < 3; i++) {
        load_init(&all[i], class_);
        load_add_one(&all[i], "name", "x");
        load_start(&all[i], own);
    }
    own->source->type->cancel(own->source);
    for (size_t i = 0; i < 3; i++) {
        load_wait(&all[i]);
        assert_result(all[i].loaded[0].result, FB_ECLOSED);
        assert_string_equal(all[i].loaded[0].error, "source catalogue: shutting down");
        load_release(&all[i]);
    }
    assert_loads(own, class_, "name", "x", "FB_ECLOSED");
    assert_result(own->source->type->rows(own->source, FB_STR("SELECT 1 AS x"), INT64_MAX, NULL, NULL,
                                          &error),
                  FB_ECLOSED);
    free_class(own, class_);
}

static void test_load__rows_that_never_end_stop_at_the_deadline_too(void **state) {
    fb_class *class_ = plain_class(*state, "endless",
                                   "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) "
                                   "SELECT x FROM c",
                                   false);
    load one;
    load_init(&one, class_);
    load_add(&one, NULL, 0);
    one.job.deadline_ns = fb_clock_now_ns() + 30 * MS;
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ETIMEDOUT");
    load_release(&one);
    free_class(*state, class_);
}

static void test_load__is_not_begun_after_its_deadline(void **state) {
    fb_class *class_ = plain_class(*state, "seen:{name}", "SELECT seen(1) AS n, :name AS m", true);
    load one;
    load_init(&one, class_);
    load_add_one(&one, "name", "x");
    load_add_one(&one, "name", "y");
    one.job.deadline_ns = fb_clock_now_ns();
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ETIMEDOUT");
    assert_str(outcome(&one, 1), "FB_ETIMEDOUT");
    assert_int_equal(seen_counts[1], 0);
    load_release(&one);
    // Nor where nobody waits any more, though it might still be done in time.
    load_init(&one, class_);
    load_add_one(&one, "name", "x");
    one.job.begin_by_ns = fb_clock_now_ns();
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ETIMEDOUT");
    assert_int_equal(seen_counts[1], 0);
    load_release(&one);
    free_class(*state, class_);
}

static void test_load__waits_for_a_lock_until_its_deadline(void **state) {
    fixture *own = *state;
    fb_class *class_ = plain_class(own, "count", "SELECT count(*) AS n FROM package", true);
    sqlite3 *writer = NULL;
    load one, other;

    assert_int_equal(sqlite3_open(own->path, &writer), SQLITE_OK);
    assert_int_equal(sqlite3_exec(writer, "BEGIN EXCLUSIVE; DELETE FROM package", NULL, NULL, NULL),
                     SQLITE_OK);
    load_too_long(&one, own, class_, NULL);
    assert_str(outcome(&one, 0), "FB_ETIMEDOUT");
    assert_string_equal(one.loaded[0].error, "source catalogue: database is locked");
    load_release(&one);

    load_init(&other, class_);
    load_add(&other, NULL, 0);
    load_start(&other, own);
    assert_int_equal(sqlite3_exec(writer, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    load_wait(&other);
    assert_str(outcome(&other, 0), "{\"n\":0}");
    load_release(&other);
    (void)sqlite3_close(writer);
    free_class(own, class_);
}

// ---- the file

static void test_load__a_database_that_was_replaced_is_opened_again(void **state) {
    fixture *own = *state;
    fb_class *class_ = plain_class(own, "package:{name}",
                                   "SELECT * FROM package WHERE name = :name", true);
    assert_loads(own, class_, "name", "bash",
                 "{\"name\":\"bash\",\"section\":\"shells\",\"size\":6469}");
    run_sql(own->other, "CREATE TABLE package(name, size);"
                        "INSERT INTO package VALUES('bash', 1), ('fish', 2)");
    assert_int_equal(rename(own->other, own->path), 0);
    assert_loads(own, class_, "name", "bash", "{\"name\":\"bash\",\"size\":1}");
    assert_loads(own, class_, "name", "fish", "{\"name\":\"fish\",\"size\":2}");
    assert_loads(own, class_, "name", "vim", "FB_NEGATIVE");
    free_class(own, class_);
}

static void test_load__a_database_that_vanished_heals_when_it_is_back(void **state) {
    fixture *own = *state;
    fb_class *class_ = plain_class(own, "count", "SELECT count(*) AS n FROM package", true);
    load one;

    assert_loads(own, class_, NULL, NULL, "{\"n\":4}");
    assert_int_equal(rename(own->path, own->other), 0);
    load_init(&one, class_);
    load_add(&one, NULL, 0);
    load_run(&one, own);
    assert_str(outcome(&one, 0), "FB_ESOURCE");
    assert_non_null(strstr(one.loaded[0].error, "a.db: No such file or directory"));
    load_release(&one);
    assert_int_equal(rename(own->other, own->path), 0);
    assert_loads(own, class_, NULL, NULL, "{\"n\":4}");
    free_class(own, class_);
}

static void test_load__a_file_that_is_no_database_heals_when_it_is_one(void **state) {
    fixture *own = *state;
    fb_class *class_ = plain_class(own, "count", "SELECT count(*) AS n FROM package", true);
    fb_class *other = plain_class(own, "max", "SELECT max(size) AS n FROM package", true);
    load one;

    assert_loads(own, class_, NULL, NULL, "{\"n\":4}");
    run_sql(own->other, "CREATE TABLE package(size); INSERT INTO package VALUES(1)");
    FILE *file = fopen(own->path, "r+");
    for (int i = 0; i < 500; i++) {
        (void)fputs("this is not a database. ", file);
    }
    (void)fclose(file);
    load_init(&one, other);
    load_add(&one, NULL, 0);
    load_run(&one, own);
    assert_str(outcome(&one, 0), "FB_ESOURCE");
    assert_string_equal(one.loaded[0].error, "source catalogue: file is not a database");
    load_release(&one);
    assert_int_equal(rename(own->other, own->path), 0);
    assert_loads(own, class_, NULL, NULL, "{\"n\":1}");
    assert_loads(own, other, NULL, NULL, "{\"n\":1}");
    free_class(own, class_);
    free_class(own, other);
}

static void test_load__follows_changes_of_the_schema(void **state) {
    fixture *own = *state;
    fb_class *class_ = plain_class(own, "package:{name}",
                                   "SELECT p.*, x.* FROM package p, extra x WHERE name = :name",
                                   true);
    load one;

    assert_loads(own, class_, "name", "zsh",
                 "{\"name\":\"zsh\",\"section\":\"shells\",\"size\":2490,\"more\":1}");
    run_sql(own->path, "ALTER TABLE extra ADD COLUMN other DEFAULT 'x'");
    assert_loads(own, class_, "name", "zsh",
                 "{\"name\":\"zsh\",\"section\":\"shells\",\"size\":2490,\"more\":1,"
                 "\"other\":\"x\"}");
    run_sql(own->path, "ALTER TABLE extra RENAME COLUMN other TO size");
    load_init(&one, class_);
    load_add_one(&one, "name", "zsh");
    load_run(&one, own);
    assert_str(outcome(&one, 0), "FB_ESOURCE");
    assert_string_equal(one.loaded[0].error,
                        "source catalogue: the result has two columns named 'size'");
    load_release(&one);

    run_sql(own->path, "DROP TABLE extra");
    load_init(&one, class_);
    load_add_one(&one, "name", "zsh");
    load_run(&one, own);
    assert_str(outcome(&one, 0), "FB_ESOURCE");
    assert_string_equal(one.loaded[0].error, "source catalogue: no such table: extra");
    load_release(&one);

    run_sql(own->path, "CREATE TABLE extra(more); INSERT INTO extra VALUES(2)");
    assert_loads(own, class_, "name", "zsh",
                 "{\"name\":\"zsh\",\"section\":\"shells\",\"size\":2490,\"more\":2}");
    free_class(own, class_);
}

static int up_extra(void **state) {
    (void)fixture_up(state);
    run_sql(((fixture *)*state)->path,
            "CREATE TABLE extra(more); INSERT INTO extra VALUES(1)");
    open_source(*state, 1);
    return 0;
}

static void test_load__an_error_of_sql_at_run_time_is_the_sources(void **state) {
    fb_class *class_ = plain_class(*state, "json:{t}", "SELECT json_extract(:t, '$.a') AS a", true);
    load one;

    assert_loads(*state, class_, "t", "{\"a\":1}", "{\"a\":1}");
    load_init(&one, class_);
    load_add_one(&one, "t", "{");
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ESOURCE");
    assert_string_equal(one.loaded[0].error, "source catalogue: malformed JSON");
    load_release(&one);
    assert_loads(*state, class_, "t", "{\"a\":2}", "{\"a\":2}");
    free_class(*state, class_);
}

// ---- bounds

static void test_load__what_is_too_large_is_refused(void **state) {
    fb_class *value = plain_class(*state, "value", "SELECT zeroblob(70000000) AS x", true);
    fb_class *rows = plain_class(*state, "rows",
                                 "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
                                 "SELECT zeroblob(4000000) AS z FROM c",
                                 false);
    fb_class *fits = plain_class(*state, "fits", "SELECT zeroblob(30) AS x", true);
    load one;

    load_init(&one, value);
    load_add(&one, NULL, 0);
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ETOOBIG");
    assert_string_equal(one.loaded[0].error, "source catalogue: string or blob too big");
    load_release(&one);
    load_init(&one, rows);
    load_add(&one, NULL, 0);
    load_run(&one, *state);
    assert_str(outcome(&one, 0), "FB_ETOOBIG");
    assert_string_equal(one.loaded[0].error, "source catalogue: the result is larger than 64 MiB");
    load_release(&one);
    assert_loads(*state, fits, NULL, NULL,
                 "{\"x\":{\"base64\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}");
    free_class(*state, value);
    free_class(*state, rows);
    free_class(*state, fits);
}

// ---- tags

static fb_class *tagged_class(fixture *own, char *query, char *tag, bool one) {
    char *tags[] = {tag, "kind:{kind}"};
    fb_class_options options = {.name = "list", .key = "list:{kind}", .source = "catalogue",
                                .query = query, .one = one, .tags = tags, .tag_count = 2};
    return make_class(own, &options);
}

static void assert_tag(const fb_loaded *loaded, size_t index, const char *text) {
    assert_true(index < loaded->tag_count);
    assert_str(fb_loaded_tag_at(loaded, index), text);
}

static void test_load__rows_give_their_tags_once_each(void **state) {
    fb_class *class_ = tagged_class(*state, "SELECT * FROM package WHERE :kind = 'all'",
                                    "section:{section}", false);
    load one;
    load_init(&one, class_);
    load_add_one(&one, "kind", "all");
    load_run(&one, *state);
    // The tags that parameters suffice for are added by who has them, not by the source.
    assert_int_equal(one.loaded[0].tag_count, 2);
    assert_tag(&one.loaded[0], 0, "section:shells");
    assert_tag(&one.loaded[0], 1, "section:editors");
    load_release(&one);
    free_class(*state, class_);
}

static void test_load__tags_of_numbers_and_of_nothing(void **state) {
    fb_class *class_ = tagged_class(*state, "SELECT * FROM package WHERE name = :kind",
                                    "size:{size}:{section}", true);
    load one;
    load_init(&one, class_);
    load_add_one(&one, "kind", "bash");
    load_add_one(&one, "kind", "nano");
    load_add_one(&one, "kind", "none");
    load_run(&one, *state);
    assert_int_equal(one.loaded[0].tag_count, 1);
    assert_tag(&one.loaded[0], 0, "size:6469:shells");
    assert_str(outcome(&one, 0), "{\"name\":\"bash\",\"section\":\"shells\",\"size\":6469}");
    assert_int_equal(one.loaded[1].tag_count, 0);
    assert_int_equal(one.loaded[2].tag_count, 0);
    assert_str(outcome(&one, 2), "FB_NEGATIVE");
    load_release(&one);
    free_class(*state, class_);
}

static void test_load__too_many_tags_are_that_items_error(void **state) {
    fb_class *class_ = tagged_class(*state,
                                    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM "
                                    "c WHERE x < :kind + 0) SELECT x FROM c",
                                    "x:{x}", false);
    load one;
    load_init(&one, class_);
    load_add_one(&one, "kind", "16");
    load_add_one(&one, "kind", "17");
    load_add_one(&one, "kind", "2");
    load_run(&one, *state);
    assert_ok(one.loaded[0].result);
    assert_int_equal(one.loaded[0].tag_count, 16);
    assert_str(outcome(&one, 1), "FB_ESOURCE");
    assert_string_equal(one.loaded[1].error, "class list: tag 'x:{x}': the entry has 16 tags "
                                             "already, which is the limit");
    assert_int_equal(one.loaded[1].tag_count, 0);
    assert_str(outcome(&one, 2), "[{\"x\":1},{\"x\":2}]");
    load_release(&one);
    free_class(*state, class_);
}

// ---- rows

typedef struct seen_rows {
    fb_buf text;
    size_t count;
} seen_rows;

static void note_row(void *arg, const fb_param *columns, size_t column_count) {
    seen_rows *rows = arg;
    rows->count++;
    for (size_t i = 0; i < column_count; i++) {
        assert_ok(fb_buf_printf(&rows->text, "%s%.*s=%.*s", i > 0 ? "," : "",
                                FB_STR_ARG(columns[i].name), FB_STR_ARG(columns[i].value)));
    }
    assert_ok(fb_buf_byte(&rows->text, ';'));
}

static int get_rows(fixture *own, const char *query, int64_t deadline_ns, seen_rows *rows,
                    fb_error *error) {
    *rows = (seen_rows){0};
    return own->source->type->rows(own->source, fb_str_of(query), deadline_ns, note_row, rows,
                                   error);
}

static void test_rows__are_sets_of_parameters(void **state) {
    int64_t deadline_ns = fb_clock_now_ns() + PATIENCE_S * INT64_C(1000000000);
    seen_rows rows;
    fb_error error;

    assert_ok(get_rows(*state, "SELECT name, size FROM package ORDER BY name", deadline_ns, &rows,
                       &error));
    assert_str(fb_buf_str(&rows.text),
               "name=bash,size=6469;name=nano;name=vim,size=3700;name=zsh,size=2490;");
    fb_buf_release(&rows.text);
    assert_ok(get_rows(*state, "SELECT 0.1 + 0.2 AS a, NULL AS b, '' AS c, x'4142' AS d",
                       deadline_ns, &rows, &error));
    assert_str(fb_buf_str(&rows.text), "a=0.30000000000000004,c=,d=AB;");
    fb_buf_release(&rows.text);
    assert_ok(get_rows(*state, "SELECT 1 AS a WHERE 0", deadline_ns, &rows, &error));
    assert_int_equal(rows.count, 0);
}

static void test_rows__fail_with_words(void **state) {
    seen_rows rows;
    fb_error error = {0};

    assert_result(get_rows(*state,
                           "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c) "
                           "SELECT count(*) AS n FROM c",
                           fb_clock_now_ns() + 20 * MS, &rows, &error),
                  FB_ETIMEDOUT);
    assert_result(get_rows(*state, "SELECT nam FROM package",
                           fb_clock_now_ns() + PATIENCE_S * INT64_C(1000000000), &rows, &error),
                  FB_ESOURCE);
    assert_string_equal(error.text, "source catalogue: no such column: nam");
    assert_int_equal(rows.count, 0);
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, fixture_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_load__one_row_is_an_object, up),
        TEST(test_load__many_rows_are_an_array, up),
        TEST(test_load__of_one_takes_the_first_row, up),
        TEST(test_load__each_type_has_its_form, up),
        TEST(test_load__random_rows_come_out_as_they_went_in, up),
        TEST(test_load__says_what_sqlites_own_json_says, up),
        TEST(test_load__parameters_are_never_sql, up_one),
        TEST(test_load__parameters_bind_as_their_type_says, up),
        TEST(test_load__items_have_outcomes_of_their_own, up),
        TEST(test_load__four_workers_query_at_the_same_time, up),
        TEST(test_load__many_jobs_on_four_workers_while_somebody_writes, up),
        TEST(test_load__more_classes_than_statements_are_kept, up_one),
        TEST(test_load__statements_of_a_class_that_went_serve_no_other, up_one),
        TEST(test_load__a_runaway_query_ends_at_its_deadline, up_one),
        TEST(test_load__a_cancelled_source_ends_all_that_is_asked, up_one),
        TEST(test_load__rows_that_never_end_stop_at_the_deadline_too, up_one),
        TEST(test_load__is_not_begun_after_its_deadline, up),
        TEST(test_load__waits_for_a_lock_until_its_deadline, up_one),
        TEST(test_load__a_database_that_was_replaced_is_opened_again, up_one),
        TEST(test_load__a_database_that_vanished_heals_when_it_is_back, up_one),
        TEST(test_load__a_file_that_is_no_database_heals_when_it_is_one, up_one),
        TEST(test_load__follows_changes_of_the_schema, up_extra),
        TEST(test_load__an_error_of_sql_at_run_time_is_the_sources, up_one),
        TEST(test_load__what_is_too_large_is_refused, up_one),
        TEST(test_load__rows_give_their_tags_once_each, up),
        TEST(test_load__tags_of_numbers_and_of_nothing, up),
        TEST(test_load__too_many_tags_are_that_items_error, up),
        TEST(test_rows__are_sets_of_parameters, up),
        TEST(test_rows__fail_with_words, up),
    };
    (void)test_memory_get();
    (void)sqlite3_auto_extension((void (*)(void))add_functions);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
