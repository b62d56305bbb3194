// .env files: what their lines mean, and what is refused where.

#include <forebay/config.h>

#include "support.h"

// The variables joined by "|".
static void assert_dotenv(const char *text, const char *expected) {
    char joined[512] = "";
    char **list = NULL;
    fb_error error = {0};

    int result = fb_config_parse_dotenv(fb_str_of(text), ".env", &list, &error);
    if (result != FB_OK) {
        fail_msg("%s: %u:%u: %s", text, error.line, error.column, error.text);
    }
    for (char **item = list; *item != NULL; item++) {
        size_t len = strlen(joined);
        (void)snprintf(joined + len, sizeof(joined) - len, "%s%s", item == list ? "" : "|", *item);
    }
    fb_config_free_dotenv(list);
    assert_string_equal(joined, expected);
}

static void test_dotenv__lines_are_names_and_values(void **state) {
    assert_dotenv("", "");
    assert_dotenv("\n\n  \t\n", "");
    assert_dotenv("# A=1\n   # B=2", "");
    assert_dotenv("A=1", "A=1");
    assert_dotenv("A=1\nB_2=two\n", "A=1|B_2=two");
    assert_dotenv("A=1\r\nB=2\r\n", "A=1|B=2");
    assert_dotenv("export A=1\nexport\tB=2", "A=1|B=2");
    assert_dotenv("export=1", "export=1");
    assert_dotenv("  A = 1  \n", "A=1");
    assert_dotenv("A=\nB=  \nC=# nothing\n", "A=|B=|C=");
    assert_dotenv("A=1\nA=2", "A=1|A=2");
    assert_dotenv("\xEF\xBB\xBF" "A=1", "A=1");
}

static void test_dotenv__bare_values_end_with_the_line(void **state) {
    assert_dotenv("A=one two # three\nB=a#b\nC=a\t#b", "A=one two|B=a#b|C=a");
    assert_dotenv("A=a=b\nB=\\n$HOME'x'\"y\"", "A=a=b|B=\\n$HOME'x'\"y\"");
    assert_dotenv("URL=redis://user:p%40ss@host:6379/0", "URL=redis://user:p%40ss@host:6379/0");
    assert_dotenv("A=gr\xc3\xb6\xc3\x9f" "er", "A=gr\xc3\xb6\xc3\x9f" "er");
}

static void test_dotenv__quotes_keep_what_is_in_them(void **state) {
    assert_dotenv("A='  a # b '  # c\nB=\"x\"# y", "A=  a # b |B=x");
    assert_dotenv("A='\\n$B\"'\n", "A=\\n$B\"");
    assert_dotenv("A=\"\\n\\r\\t\\\"\\\\\\$B $C '\"", "A=\n\r\t\"\\$B $C '");
    assert_dotenv("A='one\ntwo'\nB=\"three\nfour\"", "A=one\ntwo|B=three\nfour");
    assert_dotenv("A=\"one \\\ntwo \\\r\nthree\"", "A=one two three");
    assert_dotenv("A=''\nB=\"\"", "A=|B=");
}

static void test_dotenv__mistakes_have_their_place(void **state) {
    static const struct {
        fb_str text;
        uint32_t line, column;
        const char *says;
    } cases[] = {
        {FB_STR_INIT("A"), 1, 2, "expected NAME=value"},
        {FB_STR_INIT("A=1\n\n  B\n"), 3, 4, "expected NAME=value"},
        {FB_STR_INIT("=1"), 1, 1, "expected NAME=value"},
        {FB_STR_INIT("export"), 1, 7, "expected NAME=value"},
        {FB_STR_INIT("export =1"), 1, 8, "expected NAME=value"},
        {FB_STR_INIT("export 1A=1"), 1, 8, "expected NAME=value"},
        {FB_STR_INIT("A-B=1"), 1, 2, "expected NAME=value"},
        {FB_STR_INIT("A B=1"), 1, 3, "expected NAME=value"},
        {FB_STR_INIT("A=1\nB='x\ny\n"), 2, 3, "this quote is never closed"},
        {FB_STR_INIT("A=\"x"), 1, 3, "this quote is never closed"},
        {FB_STR_INIT("A=\"x\\"), 1, 5,
         "expected one of \\n, \\r, \\t, \\\", \\\\, \\$ after the backslash"},
        {FB_STR_INIT("A=\"\xc3\xb6\\q\""), 1, 5,
         "expected one of \\n, \\r, \\t, \\\", \\\\, \\$ after the backslash"},
        {FB_STR_INIT("A='x'y"), 1, 6, "expected the end of the line after the closing quote"},
        {FB_STR_INIT("A=1\nB=\0"), 2, 3, "a NUL byte"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char **list = NULL;
        fb_error error = {0};
        assert_result(fb_config_parse_dotenv(cases[i].text, "dir/.env", &list, &error),
                      FB_ESYNTAX);
        assert_string_equal(error.text, cases[i].says);
        assert_string_equal(error.file, "dir/.env");
        assert_int_equal(error.line, cases[i].line);
        assert_int_equal(error.column, cases[i].column);
        assert_null(list);
        assert_result(fb_config_parse_dotenv(cases[i].text, NULL, &list, NULL), FB_ESYNTAX);
    }
}

static void test_dotenv__has_a_bound(void **state) {
    static char text[(1 << 20) + 1];
    char **list = NULL;

    memset(text, '#', sizeof(text));
    assert_result(fb_config_parse_dotenv(fb_str_make(text, sizeof(text)), NULL, &list, NULL),
                  FB_ETOOBIG);
    assert_ok(fb_config_parse_dotenv(fb_str_make(text, sizeof(text) - 1), NULL, &list, NULL));
    fb_config_free_dotenv(list);
    fb_config_free_dotenv(NULL);
}

// Who wins is the order of the calls: the real environment after the file.
static void test_dotenv__the_environment_wins_over_the_file(void **state) {
    static const char *const environment[] = {"FOREBAY_LOOPS=3", NULL};
    fb_config *config = NULL;
    char **list = NULL, text[16];

    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_parse_dotenv(
        FB_STR("FOREBAY_LOOPS=1\nFOREBAY_WORKERS=7\nFOREBAY_WORKERS=8"), NULL, &list, NULL));
    assert_ok(fb_config_environment(config, (const char *const *)list, NULL));
    assert_ok(fb_config_environment(config, environment, NULL));
    assert_ok(fb_config_get(config, FB_STR("loops"), text, sizeof(text)));
    assert_string_equal(text, "3");
    assert_ok(fb_config_get(config, FB_STR("workers"), text, sizeof(text)));
    assert_string_equal(text, "8");
    fb_config_free_dotenv(list);
    fb_config_free(config);
}

static int parse(void *arg) {
    char **list = NULL;

    (void)arg;
    int result = fb_config_parse_dotenv(
        FB_STR("A=1\nB='2'\nC=\"3\\n\"\nD=4\nE=5\nF=6\nG=7\nH=8\nI=9\nJ=10\nK=1\nL=2\nM=3\nN=4\n"
               "O=5\nP=6\nQ=7\n"),
        NULL, &list, NULL);
    fb_config_free_dotenv(list);
    return result;
}

static void test_dotenv__no_memory_leaves_nothing_behind(void **state) {
    assert_true(test_memory_sweep(parse, NULL) > 30);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dotenv__lines_are_names_and_values),
        cmocka_unit_test(test_dotenv__bare_values_end_with_the_line),
        cmocka_unit_test(test_dotenv__quotes_keep_what_is_in_them),
        cmocka_unit_test(test_dotenv__mistakes_have_their_place),
        cmocka_unit_test(test_dotenv__has_a_bound),
        cmocka_unit_test(test_dotenv__the_environment_wins_over_the_file),
        cmocka_unit_test(test_dotenv__no_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
