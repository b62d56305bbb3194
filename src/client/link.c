// A socket, two buffers, a deadline. Plain poll(): whoever asks here has one thing to wait for.
//
// A request is a buffer of commands and as many replies. Replies are found by counting alone, so a
// link on which anything went wrong is never used again.

#include "client/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/address.h"
#include "client/clock.h"

enum { READ_LEN = 65536, KEPT_LEN = 4 * READ_LEN, POLL_MS_MAX = 3600000, ALIVE_S = 10 };
static const uint64_t REPLY_MAX = UINT64_C(1) << 30;

static const fb_link_tls *tls_of_all;

struct fb_link {
    int fd;
    void *tls;  // NULL: none
    int64_t timeout_ms;  // of the request under way
    int64_t until_ns;
    fb_buf out, in;
    size_t used;  // bytes of `in` that the last reply took
    bool sent, heard;
    fb_resp_reply *reply;
    char name[FB_ADDRESS_NAME_SIZE];
};

// ---- connecting

static int wait_for(int fd, short events, int64_t until_ns) {
    for (;;) {
        int64_t left_ns = until_ns - fb_now_ns();
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
    if (failed == EINPROGRESS || failed == EINTR) {
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
    // Alive: a host that fell silent for good must end the wait for what it was sent (exchange.c).
    int on = 1, idle_s = ALIVE_S, every_s = ALIVE_S;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
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

// ---- TLS

void fb_link_set_tls(const fb_link_tls *tls) {
    tls_of_all = tls;
}

static int begin_tls(fb_link *link, const fb_address *to, fb_error *error) {
    if (tls_of_all == NULL) {
        return fb_error_set(error, FB_EINVAL, "%s: this client speaks no TLS", to->name);
    }
    int result = tls_of_all->begin(link->fd, to, &link->tls, error);
    while (result == FB_OK) {
        short events = 0;
        result = tls_of_all->shake(link->tls, &events, error);
        if (result != FB_PENDING) {
            return result;
        }
        result = wait_for(link->fd, events, link->until_ns);
        if (result < 0) {
            return fb_error_set(error, result, "%s: the TLS handshake did not end in time",
                                to->name);
        }
    }
    return result;
}

ssize_t fb_link_recv_some(fb_link *link, char *into, size_t len) {
    return link->tls == NULL ? recv(link->fd, into, len, 0)
                             : tls_of_all->recv(link->tls, into, len);
}

ssize_t fb_link_send_some(fb_link *link, const char *from, size_t len) {
    return link->tls == NULL ? send(link->fd, from, len, MSG_NOSIGNAL)
                             : tls_of_all->send(link->tls, from, len);
}

// A server that does not know HELLO says its words back, the password among them: of such an error
// the code word alone is shown.
static fb_str without_password(fb_str text, const char *password) {
    size_t len = strlen(password);
    bool there = len > 0 && text.len >= len && memmem(text.ptr, text.len, password, len) != NULL;
    return there ? fb_str_make(text.ptr, fb_str_find(text, ' ')) : text;
}

static int greet(fb_link *link, const fb_address *to, fb_error *error) {
    const fb_str args[] = {FB_STR("HELLO"), FB_STR("3"), FB_STR("AUTH"),
                           to->user[0] != '\0' ? fb_str_of(to->user) : FB_STR("default"),
                           fb_str_of(to->password)};
    const fb_resp_value *reply;
    int result = fb_link_put(link, args, to->password[0] != '\0' ? 5 : 2);
    if (result < 0) {
        return fb_error_set(error, result, "out of memory");
    }
    result = fb_link_send(link, error);
    if (result == FB_OK) {
        result = fb_link_read(link, &reply, error);
    }
    if (result == FB_OK && reply->type == FB_RESP_ERROR) {
        fb_str text = without_password(reply->text, to->password);
        // It says so on its own, and hangs up: who is late with his greeting does not even hear it.
        bool full = fb_str_starts(text, FB_STR("ERR max number of clients"));
        result = fb_error_set(error, full ? FB_EIO : FB_EDENIED, "%s does not let us in: %.*s",
                              to->name, FB_STR_ARG(text));
    }
    if (result == FB_ESYNTAX || result == FB_ETOOBIG) {
        result = fb_error_set(error, FB_EIO, "what listens at %s is no RESP server", to->name);
    }
    return result;
}

int fb_link_reach(const fb_address *to, int64_t timeout_ms, fb_link **out, fb_error *error) {
    *out = NULL;
    fb_link *link = fb_mem_zero(1, sizeof *link);
    if (link == NULL || fb_resp_reply_new(FB_LINK_DEPTH_MAX, REPLY_MAX, &link->reply) < 0) {
        fb_mem_free(link);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    link->fd = -1;
    memcpy(link->name, to->name, sizeof link->name);
    fb_link_begin(link, timeout_ms);
    int result = to->path[0] != '\0' ? connect_path(to, link->until_ns, &link->fd, error)
                                     : connect_host(to, link->until_ns, &link->fd, error);
    if (result == FB_OK && to->tls) {
        result = begin_tls(link, to, error);
    }
    if (result < 0) {
        fb_link_close(link);
        return result;
    }
    *out = link;
    return FB_OK;
}

int fb_link_connect(const fb_address *to, int64_t timeout_ms, fb_link **out, fb_error *error) {
    int result = fb_link_reach(to, timeout_ms, out, error);
    if (result == FB_OK && (result = greet(*out, to, error)) < 0) {
        fb_link_close(*out);
        *out = NULL;
    }
    return result;
}

// ---- who signs in

static const char *login_user, *login_password;

void fb_link_set_login(const char *user, const char *password) {
    login_user = user;
    login_password = password;
}

static bool copy_text(char *to, size_t to_size, const char *from) {
    return from == NULL || (size_t)snprintf(to, to_size, "%s", from) < to_size;
}

bool fb_link_login(fb_address *to) {
    if (to->user[0] != '\0' || to->password[0] != '\0') {
        return true;
    }
    return copy_text(to->user, sizeof to->user, login_user) &&
           copy_text(to->password, sizeof to->password, login_password);
}

int fb_link_open(const char *url, int64_t timeout_ms, fb_link **link, fb_error *error) {
    fb_address to;
    int result = fb_address_read(fb_str_of(url), &to, error);
    if (result == FB_OK && !fb_link_login(&to)) {
        result = fb_error_set(error, FB_EINVAL, "the user or the password is too long");
    }
    return result < 0 ? result : fb_link_connect(&to, timeout_ms, link, error);
}

void fb_link_close(fb_link *link) {
    if (link == NULL) {
        return;
    }
    if (link->tls != NULL) {
        tls_of_all->end(link->tls);
    }
    if (link->fd >= 0) {
        close(link->fd);
    }
    fb_resp_reply_free(link->reply);
    fb_buf_release(&link->out);
    fb_buf_release(&link->in);
    fb_mem_free(link);
}

const char *fb_link_name(const fb_link *link) {
    return link->name;
}

int fb_link_fd(const fb_link *link) {
    return link->fd;
}

int fb_link_take_fd(fb_link *link) {
    int fd = link->fd;
    link->fd = -1;
    return fd;
}

// ---- requests

static int say_failure(const fb_link *link, int result, fb_error *error) {
    if (result == FB_ETIMEDOUT) {
        return fb_error_set(error, result, "%s did not answer within %lld ms", link->name,
                            (long long)link->timeout_ms);
    }
    return fb_error_set(error, FB_EIO, "the connection to %s failed: %s", link->name,
                        strerror(errno));
}

void fb_link_begin(fb_link *link, int64_t timeout_ms) {
    fb_buf_consume(&link->in, link->used);
    link->used = 0;
    link->out.len = 0;
    link->sent = link->heard = false;
    link->timeout_ms = timeout_ms;
    int64_t limit_ms = INT64_MAX / 2 / 1000000;
    link->until_ns = fb_now_ns() + (timeout_ms < limit_ms ? timeout_ms : limit_ms) * 1000000;
}

int fb_link_put(fb_link *link, const fb_str *args, size_t arg_count) {
    return fb_resp_write_command(&link->out, args, arg_count);
}

int fb_link_send(fb_link *link, fb_error *error) {
    size_t sent = 0;
    // Room for the reply: who hears that there is no memory may count on it that nothing was done.
    if (fb_buf_reserve(&link->in, READ_LEN) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    while (sent < link->out.len) {
        ssize_t put = fb_link_send_some(link, link->out.ptr + sent, link->out.len - sent);
        if (put > 0) {
            sent += (size_t)put;
        } else if (errno == EAGAIN) {
            int result = wait_for(link->fd, POLLOUT, link->until_ns);
            if (result < 0) {
                return say_failure(link, result, error);
            }
        } else if (errno != EINTR) {
            return say_failure(link, FB_EIO, error);
        }
    }
    link->out.len = 0;
    link->sent = true;
    return FB_OK;
}

static int read_more(fb_link *link, fb_error *error) {
    if (fb_buf_reserve(&link->in, READ_LEN) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    // With TLS the socket may have nothing more, and the session does.
    char *into = link->in.ptr + link->in.len;
    ssize_t got = link->tls != NULL ? fb_link_recv_some(link, into, READ_LEN) : -1;
    if (link->tls == NULL || (got < 0 && errno == EAGAIN)) {
        int result = wait_for(link->fd, POLLIN, link->until_ns);
        if (result < 0) {
            return say_failure(link, result, error);
        }
        got = fb_link_recv_some(link, into, READ_LEN);
    }
    if (got == 0) {
        return fb_error_set(error, FB_EIO, "%s closed the connection", link->name);
    }
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        return say_failure(link, FB_EIO, error);
    }
    link->in.len += got > 0 ? (size_t)got : 0;
    link->heard |= got > 0;
    return FB_OK;
}

int fb_link_read(fb_link *link, const fb_resp_value **reply, fb_error *error) {
    for (;;) {
        fb_buf_consume(&link->in, link->used);
        link->used = 0;
        ssize_t used = fb_resp_reply_read(link->reply, fb_buf_str(&link->in), reply, error);
        link->used = used > 0 ? (size_t)used : 0;
        int result = used < 0 ? (int)used : FB_OK;
        if (used == 0) {
            result = read_more(link, error);
        } else if (used > 0 && (*reply)->type != FB_RESP_PUSH) {
            return FB_OK;
        }
        if (result < 0) {
            return result;
        }
    }
}

int fb_link_call(fb_link *link, const fb_str *args, size_t arg_count,
                 const fb_resp_value **reply, fb_error *error) {
    fb_link_begin(link, link->timeout_ms);
    if (fb_link_put(link, args, arg_count) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_link_send(link, error);
    return result < 0 ? result : fb_link_read(link, reply, error);
}

bool fb_link_sent(const fb_link *link) {
    return link->sent;
}

bool fb_link_heard(const fb_link *link) {
    return link->heard;
}

bool fb_link_stale(const fb_link *link) {
    char byte;
    return recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 ||
           (errno != EAGAIN && errno != EINTR);
}

void fb_link_trim(fb_link *link) {
    if (link->in.cap > KEPT_LEN && link->used == link->in.len) {
        fb_buf_release(&link->in);
        link->used = 0;
    }
    if (link->out.cap > KEPT_LEN) {
        fb_buf_release(&link->out);
    }
}
