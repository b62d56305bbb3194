// The protocol is three variables: how many descriptors from number 3 on, for which process, and a
// name for each, with ':' between. One without a name of ours is an error: a socket that somebody
// listens on and nobody answers would be worse.

#include "daemon/activation.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"

enum { FIRST_FD = 3, FDS_MAX = 64 };

static const char *const NAMES[FB_ACTIVATION_DOORS] = {"resp", "http", "resp-tls", "http-tls"};

static int64_t number_of(const char *variable) {
    int64_t number = 0;
    const char *text = getenv(variable);
    return text != NULL && fb_str_int(fb_str_of(text), &number) == FB_OK ? number : -1;
}

static int add(fb_activation *to, fb_str name, int fd, fb_error *error) {
    for (size_t i = 0; i < FB_ACTIVATION_DOORS; i++) {
        if (!fb_str_equal(name, fb_str_of(NAMES[i]))) {
            continue;
        }
        if (to->counts[i] == FB_ACTIVATION_SOCKETS_MAX) {
            return fb_error_set(error, FB_EINVAL, "LISTEN_FDNAMES: more than %d sockets for %s",
                                FB_ACTIVATION_SOCKETS_MAX, NAMES[i]);
        }
        to->fds[i][to->counts[i]++] = fd;
        return FB_OK;
    }
    return fb_error_set(error, FB_EINVAL,
                        "LISTEN_FDNAMES: file descriptor %d is '%.*s'; expected resp, http, "
                        "resp-tls or http-tls (FileDescriptorName= of the socket unit)",
                        fd, FB_STR_ARG(name));
}

static int read_names(fb_activation *to, int64_t count, fb_error *error) {
    const char *text = getenv("LISTEN_FDNAMES");
    fb_str rest = fb_str_of(text != NULL ? text : "");
    for (int i = 0; i < (int)count; i++) {
        size_t end = fb_str_find(rest, ':');
        int result = add(to, fb_str_make(rest.ptr, end), FIRST_FD + i, error);
        if (result < 0) {
            return result;
        }
        size_t used = end < rest.len ? end + 1 : end;
        rest = fb_str_make(rest.ptr + used, rest.len - used);
    }
    return FB_OK;
}

int fb_activation_take(fb_activation *activation, fb_error *error) {
    *activation = (fb_activation){.counts = {0}};
    int64_t count = number_of("LISTEN_FDS");
    bool ours = number_of("LISTEN_PID") == (int64_t)getpid();
    int result = FB_OK;
    if (ours && count > FDS_MAX) {
        result = fb_error_set(error, FB_EINVAL, "LISTEN_FDS: more than %d sockets", FDS_MAX);
    } else if (ours && count > 0) {
        result = read_names(activation, count, error);
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    return result;
}
