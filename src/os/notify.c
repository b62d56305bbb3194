// A name that begins with '@' is abstract: it has no file, and its first byte is 0. A name that begins
// with neither '@' nor '/' (there are managers that name vsock addresses) is left alone.

#include "os/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/clock.h"

static struct sockaddr_un to;
static socklen_t to_size;  // 0: nobody
static int64_t watchdog_ns;

static void remember(const char *name) {
    size_t len = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof to.sun_path) {
        return;
    }
    to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(to.sun_path, name, len);
    if (name[0] == '@') {
        to.sun_path[0] = '\0';
    }
    to_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

// $WATCHDOG_PID says for whom the beat is meant; without it, for whoever is told of it.
static int64_t read_watchdog(void) {
    const char *text = getenv("WATCHDOG_USEC");
    const char *process = getenv("WATCHDOG_PID");
    char *end = NULL;
    if (text == NULL || (process != NULL && strtoll(process, NULL, 10) != (long long)getpid())) {
        return 0;
    }
    long long usec = strtoll(text, &end, 10);
    bool valid = end != text && *end == '\0' && usec > 0 && usec <= INT64_MAX / 1000;
    return valid ? usec * 1000 : 0;
}

void fb_notify_open(void) {
    const char *name = getenv("NOTIFY_SOCKET");
    to_size = 0;
    watchdog_ns = 0;
    if (name != NULL) {
        remember(name);
        watchdog_ns = to_size > 0 ? read_watchdog() : 0;
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
}

int64_t fb_notify_watchdog_ns(void) {
    return watchdog_ns;
}

void fb_notify(const char *format, ...) {
    char text[512];
    va_list arguments;
    if (to_size == 0) {
        return;
    }
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    static const struct timeval PATIENCE = {5, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &PATIENCE, sizeof PATIENCE);
    size_t size = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    ssize_t sent = sendto(fd, text, size, MSG_NOSIGNAL, (const struct sockaddr *)&to, to_size);
    (void)sent;
    (void)close(fd);
}

void fb_notify_reloading(void) {
    fb_notify("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(fb_clock_now_ns() / 1000));
}
