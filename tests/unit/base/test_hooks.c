// The hooks of the process, and what goes through them: memory, log, panic; names of results.

#include "support.h"

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct capture {
    int calls;
    fb_log_level level;
    char event[64];
    char fields[2048];
} capture;

static void keep_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    capture *seen = arg;

    seen->calls++;
    seen->level = level;
    (void)snprintf(seen->event, sizeof(seen->event), "%s", event);
    (void)snprintf(seen->fields, sizeof(seen->fields), "%s", fields);
}

static void capture_log(capture *seen) {
    fb_hooks hooks = {.log = keep_event, .arg = seen};

    *seen = (capture){0};
    fb_hooks_set(&hooks);
}

static jmp_buf after_panic;

static void leave(void *arg, const char *file, int line, const char *expression) {
    (void)snprintf(arg, 64, "%s", expression);
    longjmp(after_panic, 1);
}

static void test_hooks__each_keeps_its_own_argument(void **state) {
    test_memory *memory = test_memory_get();
    capture seen;
    capture_log(&seen);
    long live = memory->live;

    void *piece = fb_mem_new(10);
    fb_log(FB_LOG_WARN, "x", "a=%d", 1);
    assert_non_null(piece);
    assert_int_equal(memory->live, live + 1);
    assert_int_equal(seen.calls, 1);
    fb_mem_free(piece);
    assert_int_equal(memory->live, live);
}

static void test_hooks__a_failed_assertion_reaches_the_panic_hook(void **state) {
    char expression[64] = "";
    fb_hooks hooks = {.panic = leave, .arg = expression};

    fb_hooks_set(&hooks);
    if (setjmp(after_panic) == 0) {
        FB_ASSERT(1 + 1 == 2);
        FB_ASSERT(1 + 1 == 3);
        fail();
    }
    assert_string_equal(expression, "1 + 1 == 3");
}

static void test_log__formats_the_fields(void **state) {
    capture seen;

    capture_log(&seen);
    fb_log(FB_LOG_ERROR, "source_failed", "class=%s ms=%d", "package", 31);
    assert_int_equal(seen.level, FB_LOG_ERROR);
    assert_string_equal(seen.event, "source_failed");
    assert_string_equal(seen.fields, "class=package ms=31");
}

static void test_log__an_event_stays_one_line(void **state) {
    capture seen;

    capture_log(&seen);
    fb_log(FB_LOG_INFO, "x", "key=%s", "a\r\nforebay: info forged\x1b[31m\x7f");
    assert_string_equal(seen.fields, "key=a??forebay: info forged?[31m?");
}

static void test_log__cuts_between_characters(void **state) {
    capture seen;
    char text[1500];

    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "ä", 2);
    }
    text[sizeof(text) - 2] = '\0';
    capture_log(&seen);
    fb_log(FB_LOG_INFO, "x", "v=%s", text);
    assert_int_equal(strlen(seen.fields), 1000);
    fb_log(FB_LOG_INFO, "x", "v= %s", text);
    assert_int_equal(strlen(seen.fields), 999);
    assert_true(fb_utf8_valid(fb_str_of(seen.fields)));
}

static void test_log__quotes_whatever_a_value_holds(void **state) {
    char text[300];

    assert_string_equal(fb_log_quote(FB_STR(""), 10).text, "\"\"");
    assert_string_equal(fb_log_quote(FB_STR("a \"b\" \\c"), 100).text, "\"a \\\"b\\\" \\\\c\"");
    assert_string_equal(fb_log_quote(FB_STR("a\0\n"), 100).text, "\"a??\"");
    // Cut between characters, and never between a quote and what escapes it.
    assert_string_equal(fb_log_quote(FB_STR("aää"), 4).text, "\"aä\"");
    assert_string_equal(fb_log_quote(FB_STR("abc\""), 4).text, "\"abc\"");
    assert_string_equal(fb_log_quote(FB_STR("abc\""), 5).text, "\"abc\\\"\"");
    memset(text, '"', sizeof(text));
    for (size_t len_max = 0; len_max < 1000; len_max++) {
        size_t len = strlen(fb_log_quote(fb_str_make(text, sizeof(text)), len_max).text);
        assert_true(len <= len_max + 2 && len % 2 == 0);
    }
}

// Runs `act` in a process of its own with the default hooks; gives its standard error and its end.
static int run_apart(void (*act)(void), char *text, size_t text_size) {
    int ends[2];
    int status = 0;
    size_t len = 0;

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(ends[1], STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        fb_hooks_set(NULL);
        act();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got = 1; got > 0 && len + 1 < text_size; len += got > 0 ? (size_t)got : 0) {
        got = read(ends[0], text + len, text_size - 1 - len);
    }
    text[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void log_some(void) {
    fb_log(FB_LOG_DEBUG, "unseen", "a=%d", 1);
    fb_log(FB_LOG_WARN, "source_failed", "ms=%d", 31);
    fb_log(FB_LOG_INFO, "started", "%s", "");
}

static void break_a_rule(void) {
    FB_ASSERT(log_some == NULL);
}

static void test_log__without_a_hook_is_lines_on_standard_error(void **state) {
    char text[1000];

    assert_int_equal(run_apart(log_some, text, sizeof(text)), 0);
    assert_string_equal(text, "forebay: warn source_failed ms=31\nforebay: info started\n");
}

static void test_check__without_a_hook_says_where_and_aborts(void **state) {
    char text[1000];
    int status = run_apart(break_a_rule, text, sizeof(text));

    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "forebay: panic "));
    assert_non_null(strstr(text, "test_hooks.c:"));
    assert_non_null(strstr(text, ": log_some == NULL\n"));
}

static void test_mem__corners(void **state) {
    char *piece = fb_mem_new(4);

    assert_null(fb_mem_new(0));
    assert_null(fb_mem_zero(SIZE_MAX / 2, 3));
    assert_null(fb_mem_zero(0, 3));
    fb_mem_free(NULL);
    assert_non_null(piece);
    memcpy(piece, "abc", 4);
    assert_null(fb_mem_resize(piece, 0));
    assert_string_equal(piece, "abc");
    test_memory_fail(1);
    assert_null(fb_mem_resize(piece, 100000));
    assert_string_equal(piece, "abc");
    test_memory_fail(0);
    piece = fb_mem_resize(piece, 100000);
    assert_non_null(piece);
    assert_string_equal(piece, "abc");
    fb_mem_free(piece);
}

static void test_mem__zero_is_zero_with_and_without_a_hook(void **state) {
    for (int hooked = 0; hooked < 2; hooked++) {
        fb_hooks hooks = {.resize = test_memory_resize, .arg = test_memory_get()};
        fb_hooks_set(hooked ? &hooks : NULL);
        unsigned char *bytes = fb_mem_zero(1000, 3);
        assert_non_null(bytes);
        for (size_t i = 0; i < 3000; i++) {
            assert_int_equal(bytes[i], 0);
        }
        memset(bytes, 0xff, 3000);
        fb_mem_free(bytes);
    }
}

static void test_mem__text_ends_with_nul(void **state) {
    char *text = fb_mem_text(fb_str_make("abcdef", 3));
    char *empty = fb_mem_text(fb_str_make(NULL, 0));

    assert_string_equal(text, "abc");
    assert_string_equal(empty, "");
    fb_mem_free(text);
    fb_mem_free(empty);
    assert_null(fb_mem_text(fb_str_make("", SIZE_MAX)));
    test_memory_fail(1);
    assert_null(fb_mem_text(FB_STR("abc")));
    test_memory_fail(0);
}

static void test_result__has_names_and_texts(void **state) {
    assert_string_equal(fb_result_name(FB_MISS), "FB_MISS");
    assert_string_equal(fb_result_text(FB_MISS), "not there");
    assert_string_equal(fb_result_name(FB_ECONFLICT), "FB_ECONFLICT");
    assert_string_equal(fb_result_name(-1000), "FB_?");
    assert_string_equal(fb_result_text(1000), "unknown result");
}

static void test_error__says_what_and_where(void **state) {
    fb_error error;

    memset(&error, 0xff, sizeof(error));
    assert_int_equal(fb_error_set(&error, FB_ESYNTAX, "no %s", "colon"), FB_ESYNTAX);
    assert_int_equal(error.code, FB_ESYNTAX);
    assert_string_equal(error.text, "no colon");
    assert_string_equal(error.file, "");
    assert_int_equal(error.line, 0);
    fb_error_place(&error, "a.yaml", 3, 7);
    fb_error_place(&error, NULL, 4, 1);
    assert_string_equal(error.file, "a.yaml");
    assert_int_equal(error.line, 4);
    assert_int_equal(error.column, 1);
    assert_int_equal(fb_error_set(NULL, FB_EIO, "x"), FB_EIO);
    fb_error_place(NULL, "x", 1, 1);
}

static void test_error__may_quote_itself(void **state) {
    fb_error error;

    fb_error_set(&error, FB_EIO, "inner");
    fb_error_set(&error, FB_EIO, "outer: %s", error.text);
    assert_string_equal(error.text, "outer: inner");
}

static void test_error__cuts_what_does_not_fit(void **state) {
    fb_error error;
    char longer[1001] = "";

    for (size_t i = 0; i + 2 < sizeof(longer); i += 2) {
        memcpy(longer + i, "ü", 3);
    }
    fb_error_set(&error, FB_EIO, "%s", longer);
    assert_int_equal(strlen(error.text), 510);
    fb_error_place(&error, longer, 1, 1);
    assert_int_equal(strlen(error.file), 254);
    assert_true(fb_utf8_valid(fb_str_of(error.text)));
}

static int restore(void **state) {
    fb_hooks hooks = {.resize = test_memory_resize, .arg = test_memory_get()};

    fb_hooks_set(NULL);
    fb_hooks_set(&hooks);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, restore, restore)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_hooks__each_keeps_its_own_argument),
        TEST(test_hooks__a_failed_assertion_reaches_the_panic_hook),
        TEST(test_log__formats_the_fields),
        TEST(test_log__an_event_stays_one_line),
        TEST(test_log__cuts_between_characters),
        TEST(test_log__quotes_whatever_a_value_holds),
        TEST(test_log__without_a_hook_is_lines_on_standard_error),
        TEST(test_check__without_a_hook_says_where_and_aborts),
        TEST(test_mem__corners),
        TEST(test_mem__zero_is_zero_with_and_without_a_hook),
        TEST(test_mem__text_ends_with_nul),
        TEST(test_result__has_names_and_texts),
        TEST(test_error__says_what_and_where),
        TEST(test_error__may_quote_itself),
        TEST(test_error__cuts_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
