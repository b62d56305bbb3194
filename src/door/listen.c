// Listening.
//
// With SO_REUSEPORT each loop has a listener of its own on one port, and the kernel deals the
// connections out. It would also let a second forebay of the same user join the same port and take
// half of its connections, unnoticed: so first a socket without the option is bound there, which
// fails when anybody listens already, and closed again.
//
// A Unix socket that nobody listens on any more is left over from a program that was killed: its
// name is taken away. One that answers is not touched.

#include "door/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"

enum { BACKLOG = 1024, HOST_SIZE = 256 };

static int fail(fb_error *error, fb_str address, const char *what) {
    return fb_error_set(error, FB_EIO, "cannot listen on %.*s: %s", FB_STR_ARG(address), what);
}

static int fail_errno(fb_error *error, fb_str address) {
    int number = errno;
    char text[128];
    return fail(error, address, strerror_r(number, text, sizeof text));
}

static void close_all(int *fds, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
            fds[i] = -1;
        }
    }
}

// ---- TCP

typedef struct target {
    struct sockaddr_storage address;
    socklen_t len;
} target;

static int split(fb_str address, fb_str *host, fb_str *port) {
    size_t colon = address.len;
    while (colon > 0 && address.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon == 0) {
        return FB_EINVAL;
    }
    *host = fb_str_make(address.ptr, colon - 1);
    *port = fb_str_make(address.ptr + colon, address.len - colon);
    if (host->len >= 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']') {
        *host = fb_str_make(host->ptr + 1, host->len - 2);
    } else if (fb_str_find(*host, ':') < host->len) {
        return FB_EINVAL;  // an IPv6 address needs its brackets
    }
    if (fb_str_equal(*host, FB_STR("*"))) {
        host->len = 0;
    }
    int64_t number = 0;
    bool fits = fb_str_int(*port, &number) == FB_OK && number >= 0 && number <= 65535;
    return fits && host->len < HOST_SIZE ? FB_OK : FB_EINVAL;
}

static void take_target(const struct addrinfo *found, target *to) {
    memcpy(&to->address, found->ai_addr, found->ai_addrlen);
    to->len = found->ai_addrlen;
}

// Where a name stands for several addresses: the first of IPv4, which clients try first, else the
// first.
static int resolve(fb_str address, fb_str host, fb_str port, target *to, fb_error *error) {
    char host_text[HOST_SIZE];
    char port_text[8];
    (void)snprintf(host_text, sizeof host_text, "%.*s", FB_STR_ARG(host));
    (void)snprintf(port_text, sizeof port_text, "%.*s", FB_STR_ARG(port));
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int result = getaddrinfo(host.len > 0 ? host_text : NULL, port_text, &hints, &list);
    if (result != 0) {
        return fail(error, address, gai_strerror(result));
    }
    take_target(list, to);
    for (const struct addrinfo *one = list; one != NULL; one = one->ai_next) {
        if (one->ai_family == AF_INET) {
            take_target(one, to);
            break;
        }
    }
    freeaddrinfo(list);
    return FB_OK;
}

static int set_on(int fd, int option) {
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, option, &on, sizeof on);
}

// A socket bound to the target, or -1 with errno.
static int bind_socket(const target *to, bool shared) {
    int fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (set_on(fd, SO_REUSEADDR) == 0 && (!shared || set_on(fd, SO_REUSEPORT) == 0) &&
        bind(fd, (const struct sockaddr *)&to->address, to->len) == 0) {
        return fd;
    }
    int number = errno;
    (void)close(fd);
    errno = number;
    return -1;
}

static int show(const target *to, fb_listen *listen) {
    char host[INET6_ADDRSTRLEN] = "?";
    int port = 0;
    bool six = to->address.ss_family == AF_INET6;
    if (six) {
        const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&to->address;
        (void)inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof host);
        port = ntohs(address->sin6_port);
    } else {
        const struct sockaddr_in *address = (const struct sockaddr_in *)&to->address;
        (void)inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
        port = ntohs(address->sin_port);
    }
    return snprintf(listen->address, sizeof listen->address, six ? "[%s]:%d" : "%s:%d", host, port);
}

static int open_tcp(fb_str address, size_t count, int *fds, fb_listen *one, fb_error *error) {
    fb_str host;
    fb_str port;
    target to;
    if (split(address, &host, &port) < 0) {
        return fb_error_set(error, FB_EINVAL,
                            "'%.*s' is no address: expected host:port or unix:/path",
                            FB_STR_ARG(address));
    }
    int result = resolve(address, host, port, &to, error);
    if (result < 0) {
        return result;
    }
    int probe = bind_socket(&to, false);
    if (probe < 0) {
        return fail_errno(error, address);
    }
    (void)close(probe);
    for (size_t i = 0; i < count; i++) {
        fds[i] = bind_socket(&to, true);
        // Port 0 stands for the port that the first of them got.
        if (fds[i] < 0 || getsockname(fds[i], (struct sockaddr *)&to.address, &to.len) != 0 ||
            listen(fds[i], BACKLOG) != 0) {
            result = fail_errno(error, address);
            close_all(fds, count);
            return result;
        }
    }
    (void)show(&to, one);
    return FB_OK;
}

// ---- Unix

static bool answers(const struct sockaddr_un *to) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return true;  // not known: rather leave it alone
    }
    bool refused =
        connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return !refused;
}

static int clear_way(fb_str address, const struct sockaddr_un *to, fb_error *error) {
    struct stat info;
    if (lstat(to->sun_path, &info) != 0) {
        return FB_OK;
    }
    if (!S_ISSOCK(info.st_mode)) {
        return fail(error, address, "there is a file of that name that is no socket");
    }
    if (answers(to)) {
        return fail(error, address, "Address already in use");
    }
    return unlink(to->sun_path) == 0 ? FB_OK : fail_errno(error, address);
}

// To this user, and a group (UINT32_MAX: none); NULL: to whom the umask lets. Between bind() and
// listen() nobody can connect yet.
static bool restrict_to(const uint32_t *group, const char *path) {
    return group == NULL || ((*group == UINT32_MAX || chown(path, (uid_t)-1, (gid_t)*group) == 0) &&
                             chmod(path, *group == UINT32_MAX ? 0600 : 0660) == 0);
}

static int open_unix(fb_str address, const uint32_t *group, int *fd, fb_listen *one,
                     fb_error *error) {
    fb_str prefix = FB_STR("unix:");
    fb_str path = fb_str_starts(address, prefix)
                      ? fb_str_make(address.ptr + prefix.len, address.len - prefix.len)
                      : address;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path.len == 0 || path.len >= sizeof to.sun_path) {
        return fb_error_set(error, FB_EINVAL, "the path of '%.*s' must have 1 to %zu bytes",
                            FB_STR_ARG(address), sizeof to.sun_path - 1);
    }
    memcpy(to.sun_path, path.ptr, path.len);
    int result = clear_way(address, &to, error);
    if (result < 0) {
        return result;
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (const struct sockaddr *)&to, sizeof to) != 0 ||
        !restrict_to(group, to.sun_path) || listen(*fd, BACKLOG) != 0) {
        result = fail_errno(error, address);
        close_all(fd, 1);
        return result;
    }
    one->local = true;
    (void)snprintf(one->address, sizeof one->address, "unix:%s", to.sun_path);
    return FB_OK;
}

// ---- both

int fb_listen_open(fb_str address, size_t count, int *fds, fb_listen *one, fb_error *error) {
    *one = (fb_listen){0};
    for (size_t i = 0; i < count; i++) {
        fds[i] = -1;
    }
    return fb_str_starts(address, FB_STR("unix:")) ? open_unix(address, NULL, &fds[0], one, error)
                                                   : open_tcp(address, count, fds, one, error);
}

int fb_listen_open_own(const char *path, uint32_t group, int *fd, fb_listen *one, fb_error *error) {
    char whole[PATH_MAX];
    *one = (fb_listen){0};
    *fd = -1;
    int result = open_unix(fb_str_of(path), &group, fd, one, error);
    if (result == FB_OK && realpath(path, whole) != NULL &&
        strlen(whole) < sizeof one->address - sizeof "unix:") {
        (void)snprintf(one->address, sizeof one->address, "unix:%.*s",
                       (int)(sizeof one->address - sizeof "unix:"), whole);
    }
    return result;
}

// ---- from somebody else

static int take_one(int fd, fb_error *error) {
    int type = 0, listens = 0;
    socklen_t size = sizeof type;
    bool fits = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
    size = sizeof listens;
    fits = fits && getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0;
    if (!fits) {
        return fb_error_set(error, FB_EINVAL,
                            "file descriptor %d is no stream socket that listens", fd);
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return fb_error_set(error, FB_EIO, "file descriptor %d cannot be used", fd);
    }
    return FB_OK;
}

int fb_listen_take(const int *fds, size_t count, fb_listen *one, fb_error *error) {
    target at = {.len = sizeof at.address};
    *one = (fb_listen){.taken = true};
    for (size_t i = 0; i < count; i++) {
        int result = take_one(fds[i], error);
        if (result < 0) {
            return result;
        }
    }
    if (getsockname(fds[0], (struct sockaddr *)&at.address, &at.len) != 0) {
        return fb_error_set(error, FB_EIO, "file descriptor %d has no address", fds[0]);
    }
    one->local = at.address.ss_family == AF_UNIX;
    if (one->local) {
        const struct sockaddr_un *address = (const struct sockaddr_un *)&at.address;
        (void)snprintf(one->address, sizeof one->address, "unix:%.*s",
                       (int)sizeof address->sun_path, address->sun_path);
    } else {
        (void)show(&at, one);
    }
    return FB_OK;
}

void fb_listen_close(const int *fds, size_t count) {
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
}

void fb_listen_release(const fb_listen *one) {
    if (one->local && !one->taken) {
        (void)unlink(one->address + strlen("unix:"));
    }
}
