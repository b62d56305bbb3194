// A socket, a buffer, a deadline. Plain poll(): a command line has one thing to wait for.

#include "cli/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/address.h"
#include "cli/print.h"
#include "os/clock.h"

enum { READ_LEN = 65536, POLL_MS_MAX = 3600000 };
static const uint64_t REPLY_MAX = UINT64_C(1) << 30;

struct fb_client {
    int fd;
    int64_t timeout_ms;
    fb_buf out, in;
    size_t used;  // bytes of `in` that the last reply took
    fb_resp_reply *reply;
    char name[FB_ADDRESS_NAME_SIZE];
};

// ---- connecting

static int wait_for(int fd, short events, int64_t until_ns) {
    for (;;) {
        int64_t left_ns = until_ns - fb_clock_now_ns();
        int64_t left_ms = left_ns > 0 ? (left_ns - 1) / 1000000 + 1 : 0;
        struct pollfd one = {.fd = fd, .events = events};
        int ready = poll(&one, 1, (int)(left_ms < POLL_MS_MAX ? left_ms : POLL_MS_MAX));
        if (ready > 0) {
            return FB_OK;
        }
        if (ready == 0 && left_ms == 0) {
            return FB_ETIMEDOUT;
        }
        if (ready < 0 && errno != EINTR) {
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

static int connect_host(const fb_address *to, int64_t until_ns, int *fd, fb_error *error) {
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
    return *fd >= 0 ? FB_OK
                    : fb_error_set(error, FB_EIO,
                                   "cannot connect to %s: %s; is forebay running? (forebay serve)",
                                   to->name, strerror(reason));
}

static int connect_path(const fb_address *to, int64_t until_ns, int *fd, fb_error *error) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, to->path, strlen(to->path) + 1);
    *fd = connect_to((struct sockaddr *)&address, sizeof address, until_ns);
    return *fd >= 0
               ? FB_OK
               : fb_error_set(error, FB_EIO, "cannot connect to %s: %s", to->name, strerror(errno));
}

// A server that does not know HELLO says its words back, the password among them: of such an error
// the code word alone is shown.
static fb_str without_password(fb_str text, const char *password) {
    size_t len = strlen(password);
    bool there = len > 0 && text.len >= len && memmem(text.ptr, text.len, password, len) != NULL;
    return there ? fb_str_make(text.ptr, fb_str_find(text, ' ')) : text;
}

static int greet(fb_client *client, const fb_address *to, fb_error *error) {
    const fb_str args[] = {FB_STR("HELLO"), FB_STR("3"), FB_STR("AUTH"),
                           to->user[0] != '\0' ? fb_str_of(to->user) : FB_STR("default"),
                           fb_str_of(to->password)};
    const fb_resp_value *reply;
    int result = fb_client_call(client, args, to->password[0] != '\0' ? 5 : 2, &reply, error);
    if (result == FB_OK && reply->type == FB_RESP_ERROR) {
        fb_str text = without_password(reply->text, to->password);
        result =
            fb_error_set(error, FB_EIO, "%s does not let us in: %.*s", to->name, FB_STR_ARG(text));
    }
    if (result == FB_ESYNTAX) {
        result = fb_error_set(error, FB_EIO, "what listens at %s is no RESP server", to->name);
    }
    return result;
}

int fb_client_open(const char *url, int64_t timeout_ms, fb_client **out, fb_error *error) {
    fb_address to;
    int result = fb_address_read(fb_str_of(url), &to, error);
    if (result < 0) {
        return result;
    }
    fb_client *client = fb_mem_zero(1, sizeof *client);
    if (client == NULL || fb_resp_reply_new(FB_PRINT_DEPTH_MAX, REPLY_MAX, &client->reply) < 0) {
        fb_mem_free(client);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    client->fd = -1;
    client->timeout_ms = timeout_ms;
    memcpy(client->name, to.name, sizeof client->name);
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

const char *fb_client_name(const fb_client *client) {
    return client->name;
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
    size_t sent = 0;
    while (sent < client->out.len) {
        ssize_t put =
            send(client->fd, client->out.ptr + sent, client->out.len - sent, MSG_NOSIGNAL);
        if (put > 0) {
            sent += (size_t)put;
        } else if (errno == EAGAIN) {
            int result = wait_for(client->fd, POLLOUT, until_ns);
            if (result < 0) {
                return say_failure(client, result, error);
            }
        } else if (errno != EINTR) {
            return say_failure(client, FB_EIO, error);
        }
    }
    client->out.len = 0;
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
