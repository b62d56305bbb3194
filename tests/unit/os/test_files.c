// Whole files, the clocks, and who has a port.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/port_owner.h"
#include "support.h"

static char folder[64];

static int up(void **state) {
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/forebay-files-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int down(void **state) {
    char path[96];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/file", folder);
    (void)unlink(path);
    return rmdir(folder);
}

static void test_file__comes_back_as_it_was_written(void **state) {
    (void)state;
    static char bytes[200000];
    char path[96];
    fb_error error = {0};
    fb_buf read = {0};
    memset(bytes, 'x', sizeof bytes);
    (void)snprintf(path, sizeof path, "%s/file", folder);
    assert_result(fb_file_read(path, 100, &read, &error), FB_MISS);
    for (size_t len = 0; len <= sizeof bytes; len += 65536) {
        assert_ok(fb_file_write(path, fb_str_make(bytes, len), &error));
        read.len = 0;
        assert_ok(fb_file_read(path, sizeof bytes, &read, &error));
        assert_bytes(fb_buf_str(&read), fb_str_make(bytes, len));
    }
    assert_result(fb_file_read(path, 1000, &read, &error), FB_ETOOBIG);
    assert_non_null(strstr(error.text, path));
    fb_buf_release(&read);
}

static void test_file__errors_have_the_system_s_words(void **state) {
    (void)state;
    char path[96];
    fb_error error = {0};
    fb_buf read = {0};
    assert_result(fb_file_read(folder, 1000, &read, &error), FB_EIO);
    assert_non_null(strstr(error.text, strerror(EISDIR)));
    (void)snprintf(path, sizeof path, "%s/no/file", folder);
    assert_result(fb_file_write(path, FB_STR("x"), &error), FB_EIO);
    assert_non_null(strstr(error.text, strerror(ENOENT)));
    fb_buf_release(&read);
}

static void test_clock__both_at_one_moment(void **state) {
    (void)state;
    int64_t distance_ms = 0;
    for (int i = 0; i < 1000; i++) {
        int64_t now_ns, wall_ms;
        int64_t before_ns = fb_clock_now_ns();
        fb_clock_pair(&now_ns, &wall_ms);
        assert_true(now_ns <= fb_clock_now_ns() && now_ns > before_ns - 2000000);
        int64_t here_ms = wall_ms - now_ns / 1000000;
        assert_true(i == 0 || here_ms == distance_ms || here_ms == distance_ms + 1 ||
                    here_ms == distance_ms - 1);
        distance_ms = here_ms;
    }
    char text[40];
    assert_int_equal(strlen(fb_clock_iso(text, sizeof text)), 27);
    assert_true(text[10] == 'T' && text[26] == 'Z');
}

static void test_port_owner__names_the_process(void **state) {
    (void)state;
    char text[128], expected[32];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    fb_port_owner(ntohs(address.sin_port), text, sizeof text);
    assert_string_equal(text, "");  // nobody listens yet
    assert_int_equal(listen(fd, 1), 0);
    fb_port_owner(ntohs(address.sin_port), text, sizeof text);
    (void)snprintf(expected, sizeof expected, "(process %d)", (int)getpid());
    assert_non_null(strstr(text, expected));
    char little[8];
    fb_port_owner(ntohs(address.sin_port), little, sizeof little);
    assert_true(strlen(little) < sizeof little);
    (void)close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file__comes_back_as_it_was_written, up, down),
        cmocka_unit_test_setup_teardown(test_file__errors_have_the_system_s_words, up, down),
        cmocka_unit_test(test_clock__both_at_one_moment),
        cmocka_unit_test(test_port_owner__names_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
