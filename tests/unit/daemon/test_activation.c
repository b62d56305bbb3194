// Sockets that are passed: what the three variables say.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/activation.h"
#include "support.h"

static int take(const char *count, const char *names, int pid_off, fb_activation *out,
                fb_error *error) {
    char pid[32];
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid() + pid_off);
    assert_int_equal(setenv("LISTEN_PID", pid, 1), 0);
    assert_int_equal(setenv("LISTEN_FDS", count, 1), 0);
    if (names != NULL) {
        assert_int_equal(setenv("LISTEN_FDNAMES", names, 1), 0);
    }
    int result = fb_activation_take(out, error);
    // A child of ours finds nothing of it.
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    return result;
}

static size_t all(const fb_activation *one) {
    size_t count = 0;
    for (size_t i = 0; i < FB_ACTIVATION_DOORS; i++) {
        count += one->counts[i];
    }
    return count;
}

static void test_activation__goes_by_names(void **state) {
    (void)state;
    fb_activation one;
    fb_error error = {0};
    assert_ok(take("5", "http:resp:resp-tls:resp:http-tls", 0, &one, &error));
    assert_int_equal(all(&one), 5);
    assert_int_equal(one.counts[FB_ACTIVATION_RESP], 2);
    assert_int_equal(one.fds[FB_ACTIVATION_RESP][0], 4);
    assert_int_equal(one.fds[FB_ACTIVATION_RESP][1], 6);
    assert_int_equal(one.fds[FB_ACTIVATION_HTTP][0], 3);
    assert_int_equal(one.fds[FB_ACTIVATION_RESP_TLS][0], 5);
    assert_int_equal(one.fds[FB_ACTIVATION_HTTP_TLS][0], 7);
}

static void test_activation__is_for_its_process_alone(void **state) {
    (void)state;
    fb_activation one;
    fb_error error = {0};
    assert_ok(fb_activation_take(&one, &error));  // nothing is said
    assert_int_equal(all(&one), 0);
    assert_ok(take("1", "whatever", 1, &one, &error));
    assert_int_equal(all(&one), 0);
    assert_ok(take("0", "", 0, &one, &error));
    assert_int_equal(all(&one), 0);
    assert_ok(take("x", "resp", 0, &one, &error));
    assert_int_equal(all(&one), 0);
    assert_ok(take("-3", "resp", 0, &one, &error));
    assert_int_equal(all(&one), 0);
}

static void test_activation__refuses_what_it_cannot_place(void **state) {
    (void)state;
    static const struct {
        const char *count, *names, *why;
    } rows[] = {
        {"1", "forebay.socket", "file descriptor 3 is 'forebay.socket'"},
        {"1", NULL, "file descriptor 3 is ''"},
        {"2", "resp", "file descriptor 4 is ''"},
        {"2", "resp:", "file descriptor 4 is ''"},
        {"5", "resp:resp:resp:resp:resp", "more than 4 sockets for resp"},
        {"65", "resp", "more than 64 sockets"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fb_activation one;
        fb_error error = {0};
        assert_result(take(rows[i].count, rows[i].names, 0, &one, &error), FB_EINVAL);
        assert_non_null(strstr(error.text, rows[i].why));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activation__goes_by_names),
        cmocka_unit_test(test_activation__is_for_its_process_alone),
        cmocka_unit_test(test_activation__refuses_what_it_cannot_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
