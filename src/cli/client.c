// A socket, a buffer, a deadline. Plain poll(): a command line has one thing to wait for.

#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

enum { DEPTH_MAX = 32, READ_LEN = 65536 };
static const uint64_t REPLY_MAX = UINT64_C(1) << 30;

struct fb_client {
    int fd;
    int64_t timeout_ms;
    fb_buf out, in;
    size_t used;  // bytes of `in` that the last reply took
    fb_resp_reply *reply;
    char name[300];
};

// ---- addresses

typedef struct target {
    char user[128], password[256], host[256], port[8], path[108];
} target;

static bool copy(char *to, size_t to_size, fb_str from) {
    if (from.len >= to_size) {
        return false;
    }
    if (from.len > 0) {
        memcpy(to, from.ptr, from.len);
    }
    to[from.len] = '\0';
    return true;
}

static fb_str rest_after(fb_str str, size_t count) {
    return fb_str_make(str.ptr + count, str.len - count);
}

static bool take_login(fb_str login, target *to) {
    size_t colon = fb_str_find(login, ':');
    if (colon == login.len) {
        return copy(to->password, sizeof to->password, login);
    }
    return copy(to->user, sizeof to->user, fb_str_make(login.ptr, colon)) &&
           copy(to->password, sizeof to->password, rest_after(login, colon + 1));
}

// "[::1]:6380", "localhost:6380", "localhost".
static bool take_host(fb_str where, target *to) {
    bool bracket = where.len > 0 && where.ptr[0] == '[';
    size_t end = bracket ? fb_str_find(where, ']') : 0;
    if (bracket && end == where.len) {
        return false;
    }
    fb_str tail = rest_after(where, bracket ? end + 1 : 0);
    size_t colon = fb_str_find(tail, ':');
    fb_str host = bracket ? fb_str_make(where.ptr + 1, end - 1) : fb_str_make(where.ptr, colon);
    if (!copy(to->host, sizeof to->host, host.len > 0 ? host : FB_STR("127.0.0.1"))) {
        return false;
    }
    fb_str port = colon < tail.len ? rest_after(tail, colon + 1) : FB_STR("6380");
    int64_t number;
    return fb_str_int(port, &number) == FB_OK && number > 0 && number < 65536 &&
           copy(to->port, sizeof to->port, port);
}

static int parse_url(const char *url, target *to, fb_error *error) {
    fb_str rest = fb_str_of(url);
    *to = (target){0};
    bool fine;
    if (fb_str_starts(rest, FB_STR("unix:"))) {
        fine = copy(to->path, sizeof to->path, rest_after(rest, 5)) && to->path[0] != '\0';
    } else {
        if (fb_str_starts(rest, FB_STR("redis://"))) {
            rest = rest_after(rest, 8);
        }
        size_t slash = fb_str_find(rest, '/');
        rest.len = slash;  // a database number says nothing here
        size_t at = fb_str_find(rest, '@');
        fine = at == rest.len || take_login(fb_str_make(rest.ptr, at), to);
        fine = fine && take_host(at == rest.len ? rest : rest_after(rest, at + 1), to);
    }
    return fine ? FB_OK
                : fb_error_set(
                      error, FB_EINVAL,
                      "'%s' is no address: expected redis://host:port, host:port or unix:/path",
                      url);
}

// ---- connecting

static int wait_for(int fd, short events, int64_t until_ns) {
    for (;;) {
        int64_t left_ms = (until_ns - fb_clock_now_ns()) / 1000000;
        struct pollfd one = {.fd = fd, .events = events};
        int ready = poll(&one, 1, left_ms > 0 ? (int)(left_ms < 3600000 ? left_ms : 3600000) : 0);
        if (ready > 0) {
            return FB_OK;
        }
        if (ready == 0) {
            return FB_ETIMEDOUT;
        }
        if (errno != EINTR) {
            return FB_EIO;
        }
    }
}

static int connect_to(const struct sockaddr *address, socklen_t len, int64_t until_ns) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    int failed = connect(fd, address, len) == 0 ? 0 : errno;
    if (failed == EINPROGRESS) {
        socklen_t size = sizeof failed;
        failed = wait_for(fd, POLLOUT, until_ns) == FB_OK ? 0 : ETIMEDOUT;
        if (failed == 0) {
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size);
        }
    }
    if (failed != 0) {
        close(fd);
        errno = failed;
        return -1;
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int connect_host(const target *to, int64_t until_ns, int *fd, fb_error *error) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int failed = getaddrinfo(to->host, to->port, &hints, &list);
    if (failed != 0) {
        return fb_error_set(error, FB_EIO, "cannot find %s: %s", to->host, gai_strerror(failed));
    }
    *fd = -1;
    for (struct addrinfo *one = list; one != NULL && *fd < 0; one = one->ai_next) {
        *fd = connect_to(one->ai_addr, one->ai_addrlen, until_ns);
    }
    int reason = errno;
    freeaddrinfo(list);
    return *fd >= 0
               ? FB_OK
               : fb_error_set(error, FB_EIO,
                              "cannot connect to %s:%s: %s; is forebay running? (forebay serve)",
                              to->host, to->port, strerror(reason));
}

static int connect_path(const target *to, int64_t until_ns, int *fd, fb_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, to->path, strlen(to->path) + 1);
    *fd = connect_to((struct sockaddr *)&address, sizeof address, until_ns);
    return *fd >= 0
               ? FB_OK
               : fb_error_set(error, FB_EIO, "cannot connect to %s: %s", to->path, strerror(errno));
}

static int greet(fb_client *client, const target *to, fb_error *error) {
    const fb_str args[] = {FB_STR("HELLO"), FB_STR("3"), FB_STR("AUTH"),
                           to->user[0] != '\0' ? fb_str_of(to->user) : FB_STR("default"),
                           fb_str_of(to->password)};
    const fb_resp_value *reply;
    int result = fb_client_call(client, args, to->password[0] != '\0' ? 5 : 2, &reply, error);
    if (result == FB_OK && reply->type == FB_RESP_ERROR) {
        result = fb_error_set(error, FB_EIO, "%s does not let us in: %.*s", client->name,
                              FB_STR_ARG(reply->text));
    }
    return result;
}

int fb_client_open(const char *url, int64_t timeout_ms, fb_client **out, fb_error *error) {
    target to;
    int result = parse_url(url, &to, error);
    if (result < 0) {
        return result;
    }
    fb_client *client = fb_mem_zero(1, sizeof *client);
    if (client == NULL || fb_resp_reply_new(DEPTH_MAX, REPLY_MAX, &client->reply) < 0) {
        fb_mem_free(client);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    client->fd = -1;
    client->timeout_ms = timeout_ms;
    snprintf(client->name, sizeof client->name, "%s", to.path[0] != '\0' ? to.path : to.host);
    int64_t until_ns = fb_clock_now_ns() + timeout_ms * 1000000;
    result = to.path[0] != '\0' ? connect_path(&to, until_ns, &client->fd, error)
                                : connect_host(&to, until_ns, &client->fd, error);
    if (result == FB_OK) {
        result = greet(client, &to, error);
    }
    if (result < 0) {
        fb_client_close(client);
        return result;
    }
    *out = client;
    return FB_OK;
}

void fb_client_close(fb_client *client) {
    if (client == NULL) {
        return;
    }
    if (client->fd >= 0) {
        close(client->fd);
    }
    fb_resp_reply_free(client->reply);
    fb_buf_release(&client->out);
    fb_buf_release(&client->in);
    fb_mem_free(client);
}

// ---- calling

static int say_failure(const fb_client *client, int result, fb_error *error) {
    if (result == FB_ETIMEDOUT) {
        return fb_error_set(error, result, "%s did not answer within %lld ms", client->name,
                            (long long)client->timeout_ms);
    }
    return fb_error_set(error, FB_EIO, "the connection to %s failed: %s", client->name,
                        strerror(errno));
}

static int send_all(fb_client *client, int64_t until_ns, fb_error *error) {
    while (client->out.len > 0) {
        ssize_t put = send(client->fd, client->out.ptr, client->out.len, MSG_NOSIGNAL);
        if (put > 0) {
            fb_buf_consume(&client->out, (size_t)put);
        } else if (errno == EAGAIN) {
            int result = wait_for(client->fd, POLLOUT, until_ns);
            if (result < 0) {
                return say_failure(client, result, error);
            }
        } else if (errno != EINTR) {
            return say_failure(client, FB_EIO, error);
        }
    }
    return FB_OK;
}

static int read_more(fb_client *client, int64_t until_ns, fb_error *error) {
    int result = wait_for(client->fd, POLLIN, until_ns);
    if (result < 0) {
        return say_failure(client, result, error);
    }
    if (fb_buf_reserve(&client->in, READ_LEN) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    ssize_t got = recv(client->fd, client->in.ptr + client->in.len, READ_LEN, 0);
    if (got == 0) {
        return fb_error_set(error, FB_EIO, "%s closed the connection", client->name);
    }
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        return say_failure(client, FB_EIO, error);
    }
    client->in.len += got > 0 ? (size_t)got : 0;
    return FB_OK;
}

int fb_client_call(fb_client *client, const fb_str *args, size_t arg_count,
                   const fb_resp_value **reply, fb_error *error) {
    int64_t until_ns = fb_clock_now_ns() + client->timeout_ms * 1000000;
    fb_buf_consume(&client->in, client->used);
    client->used = 0;
    if (fb_resp_write_command(&client->out, args, arg_count) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = send_all(client, until_ns, error);
    while (result == FB_OK) {
        ssize_t used = fb_resp_reply_read(client->reply, fb_buf_str(&client->in), reply, error);
        if (used != 0) {
            client->used = used > 0 ? (size_t)used : 0;
            return used > 0 ? FB_OK : (int)used;
        }
        result = read_more(client, until_ns, error);
    }
    return result;
}
