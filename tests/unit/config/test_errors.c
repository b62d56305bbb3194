// What a wrong configuration is answered with: errors.golden beside this file has the cases, in the
// words people see.

#include <forebay/config.h>

#include "config/settings.h"
#include "support.h"

enum { CASE_SIZE = 64 * 1024 };

typedef struct golden {
    FILE *file;
    char about[1024];
    char text[CASE_SIZE];
    char expected[1024];
} golden;

static bool next_case(golden *g) {
    char line[1024];
    size_t len = 0;

    g->about[0] = '\0';
    while (fgets(line, sizeof(line), g->file) != NULL) {
        if (strncmp(line, "##", 2) == 0) {
            len = 0;  // what stood before was not part of a case
            (void)snprintf(g->about, sizeof(g->about), "%s", line + 3);
        } else if (strncmp(line, "=> ", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(g->expected, sizeof(g->expected), "%s", line + 3);
            g->text[len] = '\0';
            return true;
        } else {
            len += (size_t)snprintf(g->text + len, CASE_SIZE - len, "%s", line);
            assert_true(len < CASE_SIZE);
        }
    }
    return false;
}

static void say(int result, const fb_error *error, char *text, size_t size) {
    if (result == FB_OK) {
        (void)snprintf(text, size, "ok");
    } else if (error->file[0] != '\0') {
        (void)snprintf(text, size, "%s %s:%u:%u: %s", fb_result_name(result), error->file,
                       error->line, error->column, error->text);
    } else {
        (void)snprintf(text, size, "%s %s", fb_result_name(result), error->text);
    }
}

static void test_errors__are_as_the_golden_file_has_them(void **state) {
    static golden g;
    size_t count = 0, wrong = 0;

    g.file = fopen("tests/unit/config/errors.golden", "r");
    assert_non_null(g.file);
    for (; next_case(&g); count++) {
        fb_config *config = NULL;
        fb_error error = {0};
        char text[2048];
        assert_ok(fb_config_new(&config));
        int result = fb_config_read(config, fb_str_of(g.text), "dir/t.yaml", &error);
        if (result == FB_OK) {
            result = fb_config_check(config, &error);
        }
        say(result, &error, text, sizeof(text));
        if (strcmp(text, g.expected) != 0) {
            print_error("%s%s  gave     %s\n  expected %s\n\n", g.about, g.text, text, g.expected);
            wrong++;
        }
        assert_int_equal(result, error.code);
        fb_config_free(config);
    }
    (void)fclose(g.file);
    assert_int_equal(wrong, 0);
    assert_true(count > 80);
}

// What cannot stand in a text file: bytes that are no text, and very much of something.
static int read_bytes(const char *bytes, size_t len, fb_error *error) {
    fb_config *config = NULL;

    assert_ok(fb_config_new(&config));
    int result = fb_config_read(config, fb_str_make(bytes, len), "t.yaml", error);
    fb_config_free(config);
    return result;
}

static void test_errors__of_bytes_that_are_no_text_have_their_place(void **state) {
    static const struct {
        fb_str text;
        uint32_t line, column;
        const char *says;
    } cases[] = {
        {FB_STR_INIT("memory: 1GiB\nloops: \0\n"), 2, 8,
         "YAML: control characters are not allowed"},
        {FB_STR_INIT("log: {\xc3\xa9: \xff}\n"), 1, 10, "YAML: invalid leading UTF-8 octet"},
        {FB_STR_INIT("listen:\n\tresp: off\n"), 2, 1, "YAML: a tab cannot indent; use spaces"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_error error = {0};
        assert_result(read_bytes(cases[i].text.ptr, cases[i].text.len, &error), FB_ESYNTAX);
        assert_string_equal(error.text, cases[i].says);
        assert_int_equal(error.line, cases[i].line);
        assert_int_equal(error.column, cases[i].column);
    }
}

static void test_errors__a_configuration_has_bounds(void **state) {
    static char text[3 << 20];
    fb_error error = {0};
    size_t len = 0;

    memset(text, '#', sizeof(text));
    assert_result(read_bytes(text, sizeof(text), &error), FB_ETOOBIG);
    assert_string_equal(error.text, "longer than 1048576 bytes");

    // 16 levels are fine, as deep as a document goes; a hundred thousand end at the 17th.
    memset(text, '[', 100000);
    assert_result(read_bytes(text, 100000, &error), FB_ETOOBIG);
    assert_int_equal(error.column, 17);

    // Merge keys that double what there is, line by line.
    len = (size_t)snprintf(text, sizeof(text), "a0: &a0 {");
    for (int i = 0; i < 2000; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "k%d: 1, ", i);
    }
    len += (size_t)snprintf(text + len, sizeof(text) - len, "}\n");
    for (int i = 1; i < 200; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "a%d: &a%d {<<: *a%d, l%d: 2}\n", i,
                                i, i - 1, i);
    }
    assert_result(read_bytes(text, len, &error), FB_ETOOBIG);
    assert_string_equal(error.text, "more than 100000 values");

    // Classes: as many as there may be, and one more.
    len = (size_t)snprintf(text, sizeof(text), "classes:\n");
    for (int i = 0; i < 1024; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "  c%d: {key: c%d}\n", i, i);
    }
    assert_result(read_bytes(text, len, &error), FB_ERANGE);
    assert_string_equal(error.text, "classes.c1023: there are 1023 already, which is the most");
    assert_int_equal(error.line, 1025);
}

static void test_errors__an_error_may_be_of_no_interest(void **state) {
    fb_config *config = NULL;

    assert_ok(fb_config_new(&config));
    assert_result(fb_config_read(config, FB_STR("memory: x"), NULL, NULL), FB_EINVAL);
    assert_result(fb_config_read(config, FB_STR("memory: ["), NULL, NULL), FB_ESYNTAX);
    assert_result(fb_config_set(config, FB_STR("classes"), FB_STR("["), NULL), FB_ESYNTAX);
    assert_result(fb_config_set(config, FB_STR("nothing"), FB_STR("1"), NULL), FB_EINVAL);
    assert_ok(fb_config_read(config, FB_STR("classes: {a: {}}"), NULL, NULL));
    assert_result(fb_config_check(config, NULL), FB_EINVAL);
    fb_config_free(config);
}

static void test_errors__leave_the_configuration_as_it_was(void **state) {
    fb_config *config = NULL;
    fb_error error;
    char text[64];

    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config, FB_STR("memory: 1GiB\nclasses: {a: {key: a}}"), "t.yaml",
                             &error));
    assert_result(fb_config_read(config, FB_STR("memory: 2GiB\nclasses: {b: {key: b}}\nloops: x"),
                                 "t.yaml", &error),
                  FB_EINVAL);
    assert_ok(fb_config_get(config, FB_STR("memory"), text, sizeof(text)));
    assert_string_equal(text, "1GiB");
    assert_int_equal(fb_config_settings(config)->class_count, 1);
    fb_config_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors__are_as_the_golden_file_has_them),
        cmocka_unit_test(test_errors__of_bytes_that_are_no_text_have_their_place),
        cmocka_unit_test(test_errors__a_configuration_has_bounds),
        cmocka_unit_test(test_errors__an_error_may_be_of_no_interest),
        cmocka_unit_test(test_errors__leave_the_configuration_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
