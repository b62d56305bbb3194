// What a service manager is told, read from sockets of our own.

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/notify.h"
#include "support.h"

typedef struct manager {
    int fd;
    char path[108];
} manager;

// '@' in front: an abstract one.
static manager listen_at(const char *name) {
    manager one = {.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(one.fd >= 0);
    (void)snprintf(one.path, sizeof one.path, "%s", name);
    size_t len = strlen(name);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@') {
        address.sun_path[0] = '\0';
    }
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    assert_int_equal(bind(one.fd, (const struct sockaddr *)&address, size), 0);
    return one;
}

static void close_manager(const manager *one) {
    (void)close(one->fd);
    if (one->path[0] == '/') {
        (void)unlink(one->path);
    }
}

static void assert_heard(const manager *one, const char *text) {
    char got[600];
    ssize_t len = recv(one->fd, got, sizeof got - 1, 0);
    assert_true(len >= 0);
    got[len] = '\0';
    assert_string_equal(got, text);
}

static void assert_silent(const manager *one) {
    char byte;
    assert_int_equal(recv(one->fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void forget(void) {
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    fb_notify_open();
}

static void test_notify__speaks_to_a_path_and_to_an_abstract_name(void **state) {
    (void)state;
    char names[2][64];
    (void)snprintf(names[0], sizeof names[0], "/tmp/fb-notify-%d", (int)getpid());
    (void)snprintf(names[1], sizeof names[1], "@fb-notify-%d", (int)getpid());
    for (size_t i = 0; i < 2; i++) {
        manager one = listen_at(names[i]);
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        fb_notify_open();
        assert_null(getenv("NOTIFY_SOCKET"));  // it is for this process, not for its children
        fb_notify("READY=1\nSTATUS=%d of %s", 3, "all");
        assert_heard(&one, "READY=1\nSTATUS=3 of all");
        close_manager(&one);
        fb_notify("STOPPING=1");  // nobody is there any more
    }
    forget();
}

static void test_notify__a_reload_says_when(void **state) {
    (void)state;
    char name[64];
    char got[200];
    (void)snprintf(name, sizeof name, "@fb-notify-reload-%d", (int)getpid());
    manager one = listen_at(name);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    fb_notify_open();
    fb_notify_reloading();
    ssize_t len = recv(one.fd, got, sizeof got - 1, 0);
    assert_true(len > 0);
    got[len] = '\0';
    long long usec = 0;
    assert_int_equal(sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
    assert_true(usec > 0);
    close_manager(&one);
    forget();
}

static void test_notify__is_silent_where_nobody_asked(void **state) {
    (void)state;
    static const char *const names[] = {"", "/", "@", "vsock:2:1234", "relative"};
    char name[64];
    (void)snprintf(name, sizeof name, "@fb-notify-none-%d", (int)getpid());
    manager one = listen_at(name);
    forget();
    fb_notify("READY=1");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
        assert_int_equal(setenv("WATCHDOG_USEC", "1000000", 1), 0);
        fb_notify_open();
        fb_notify("READY=1");
        assert_int_equal(fb_notify_watchdog_ns(), 0);
    }
    assert_silent(&one);
    close_manager(&one);
    forget();
}

static void test_notify__a_long_line_is_cut(void **state) {
    (void)state;
    char name[64];
    char text[2000];
    char got[2000];
    (void)snprintf(name, sizeof name, "@fb-notify-long-%d", (int)getpid());
    manager one = listen_at(name);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    fb_notify_open();
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fb_notify("STATUS=%s", text);
    ssize_t len = recv(one.fd, got, sizeof got, 0);
    assert_true(len > 100 && len < 600);
    close_manager(&one);
    forget();
}

static void test_notify__reads_what_the_watchdog_waits(void **state) {
    (void)state;
    char own[32];
    (void)snprintf(own, sizeof own, "%d", (int)getpid());
    const struct {
        const char *usec, *process;
        int64_t ns;
    } cases[] = {
        {"2000000", NULL, 2000000000},
        {"2000000", own, 2000000000},
        {"2000000", "1", 0},  // it is another's
        {"0", NULL, 0},
        {"-5", NULL, 0},
        {"12x", NULL, 0},
        {"", NULL, 0},
        {"99999999999999999999", NULL, 0},
        {NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        forget();
        assert_int_equal(setenv("NOTIFY_SOCKET", "/tmp/nobody", 1), 0);
        if (cases[i].usec != NULL) {
            assert_int_equal(setenv("WATCHDOG_USEC", cases[i].usec, 1), 0);
        }
        if (cases[i].process != NULL) {
            assert_int_equal(setenv("WATCHDOG_PID", cases[i].process, 1), 0);
        }
        fb_notify_open();
        assert_int_equal(fb_notify_watchdog_ns(), cases[i].ns);
        assert_null(getenv("WATCHDOG_USEC"));
    }
    forget();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notify__speaks_to_a_path_and_to_an_abstract_name),
        cmocka_unit_test(test_notify__a_reload_says_when),
        cmocka_unit_test(test_notify__is_silent_where_nobody_asked),
        cmocka_unit_test(test_notify__a_long_line_is_cut),
        cmocka_unit_test(test_notify__reads_what_the_watchdog_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
