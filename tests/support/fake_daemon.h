// fake_daemon.h -- a daemon of a few keys on a thread of its own, which misbehaves as it is told.
//
// It listens on a Unix socket in a folder of its own. One thread, one poll() over all connections;
// a real dictionary behind SET, GET, DEL, INCRBY and so on, so that tests ask what a user sees.

#ifndef FB_TESTS_FAKE_DAEMON_H
#define FB_TESTS_FAKE_DAEMON_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "support.h"
#include "wire/resp.h"

enum { FAKE_CONNS = 64, FAKE_KEYS = 256, FAKE_SEEN = 4096 };

typedef enum fake_mood {
    FAKE_GOOD,
    FAKE_HUNG,      // accepts and reads, never answers; what it was sent it does when it wakes
    FAKE_CUT,       // answers the half of a reply and hangs up
    FAKE_RUDE,      // hangs up instead of answering
    FAKE_MUTE,      // on connections from before it does what it is told, and hangs up unanswered
    FAKE_LATE,      // connections from before this mood have to wait for the next one
    FAKE_OTHER,     // speaks another protocol
    FAKE_FULL,      // has too many clients
    FAKE_REFUSES,   // answers every command with `refusal`
} fake_mood;

typedef struct fake_conn {
    int fd;
    fb_buf in, out;
    bool ended;
    bool old;  // from before FAKE_LATE
} fake_conn;

typedef struct fake_daemon {
    char folder[64], path[108], url[128];
    pthread_t thread;
    int listener, wake[2];
    pthread_mutex_t lock;
    // Under the lock:
    fake_mood mood;
    const char *refusal;
    const char *region;  // of FB.REGION; NULL: unknown command
    uint64_t generation;
    bool stop, hang_up;
    pthread_cond_t hung_up;
    char *keys[FAKE_KEYS], *values[FAKE_KEYS];
    char *seen[FAKE_SEEN];  // commands, words separated by spaces
    size_t seen_count;
    int accepted;
    fake_conn conns[FAKE_CONNS];
} fake_daemon;

static inline char *fake_text(fb_str str) {
    char *text = malloc(str.len + 1);
    FB_ASSERT(text != NULL);
    memcpy(text, str.ptr, str.len);
    text[str.len] = '\0';
    return text;
}

static inline int fake_place(fake_daemon *fake, const char *key) {
    for (int i = 0; i < FAKE_KEYS; i++) {
        if (fake->keys[i] != NULL && strcmp(fake->keys[i], key) == 0) {
            return i;
        }
    }
    return -1;
}

static inline void fake_remove(fake_daemon *fake, int place) {
    free(fake->keys[place]);
    free(fake->values[place]);
    fake->keys[place] = fake->values[place] = NULL;
}

static inline void fake_put(fake_daemon *fake, const char *key, const char *value) {
    int place = fake_place(fake, key);
    if (place >= 0) {
        fake_remove(fake, place);
    }
    for (place = 0; fake->keys[place] != NULL; place++) {
        FB_ASSERT(place + 1 < FAKE_KEYS);
    }
    fake->keys[place] = strdup(key);
    fake->values[place] = strdup(value);
}

static inline void fake_note(fake_daemon *fake, const fb_resp_command *command) {
    char line[4096] = "";
    for (size_t i = 0; i < command->arg_count && i < 32; i++) {
        size_t len = strlen(line);
        snprintf(line + len, sizeof line - len, "%s%.*s", i > 0 ? " " : "",
                 (int)(command->args[i].len < 100 ? command->args[i].len : 100),
                 command->args[i].ptr);
    }
    if (fake->seen_count < FAKE_SEEN) {
        fake->seen[fake->seen_count++] = strdup(line);
    }
}

static inline void fake_get(fake_daemon *fake, fb_buf *out, const char *key) {
    int place = fake_place(fake, key);
    if (place < 0) {
        assert_ok(fb_resp_write_null(out, 3));
    } else {
        assert_ok(fb_resp_write_bulk(out, fb_str_of(fake->values[place])));
    }
}

static inline void fake_fetch(fb_buf *out, const char *what) {
    if (strcmp(what, "nobody") == 0) {
        assert_ok(fb_resp_write_map(out, 3, 2));
        assert_ok(fb_resp_write_bulk(out, FB_STR("value")));
        assert_ok(fb_resp_write_null(out, 3));
        assert_ok(fb_resp_write_bulk(out, FB_STR("negative")));
        assert_ok(fb_resp_write_boolean(out, 3, true));
        return;
    }
    assert_ok(fb_resp_write_map(out, 3, 8));
    assert_ok(fb_resp_write_bulk(out, FB_STR("value")));
    assert_ok(fb_resp_write_bulk(out, FB_STR("{\"name\":\"plum\"}")));
    assert_ok(fb_resp_write_bulk(out, FB_STR("negative")));
    assert_ok(fb_resp_write_boolean(out, 3, false));
    const char *const texts[][2] = {
        {"kind", "json"}, {"tier", "source"}, {"freshness", "stale"}};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(fb_resp_write_bulk(out, fb_str_of(texts[i][0])));
        assert_ok(fb_resp_write_bulk(out, fb_str_of(texts[i][1])));
    }
    const char *const numbers[] = {"age_ms", "ttl_ms", "version"};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(fb_resp_write_bulk(out, fb_str_of(numbers[i])));
        assert_ok(fb_resp_write_integer(out, (int64_t)(i + 1) * 10));
    }
}

static inline void fake_region(fake_daemon *fake, fb_buf *out) {
    if (fake->region == NULL) {
        assert_ok(fb_resp_write_error(out, FB_STR("ERR unknown command 'fb.region'")));
        return;
    }
    assert_ok(fb_resp_write_map(out, 3, 2));
    assert_ok(fb_resp_write_bulk(out, FB_STR("file")));
    assert_ok(fb_resp_write_bulk(out, fb_str_of(fake->region)));
    assert_ok(fb_resp_write_bulk(out, FB_STR("generation")));
    assert_ok(fb_resp_write_integer(out, (int64_t)fake->generation));
}

static inline void fake_incr(fake_daemon *fake, fb_buf *out, const char *key, const char *delta) {
    int place = fake_place(fake, key);
    char text[32];
    int64_t sum = strtoll(delta, NULL, 10);
    if (place >= 0) {
        int64_t number;
        if (fb_str_int(fb_str_of(fake->values[place]), &number) != FB_OK) {
            assert_ok(fb_resp_write_error(
                out, FB_STR("ERR value is not an integer or out of range")));
            return;
        }
        sum += number;
    }
    snprintf(text, sizeof text, "%" PRId64, sum);
    fake_put(fake, key, text);
    assert_ok(fb_resp_write_integer(out, sum));
}

static inline int fake_delete(fake_daemon *fake, char *const *args, size_t count) {
    int removed = 0;
    for (size_t i = 1; i < count; i++) {
        int place = fake_place(fake, args[i]);
        if (place >= 0) {
            fake_remove(fake, place);
            removed++;
        }
    }
    return removed;
}

static inline void fake_do(fake_daemon *fake, char *const *args, size_t count, fb_buf *out) {
    const char *verb = args[0];
    const char *key = count > 1 ? args[1] : "";
    int place = fake_place(fake, key);
    if (strcmp(verb, "HELLO") == 0) {
        assert_ok(fb_resp_write_map(out, 3, 0));
    } else if (strcmp(verb, "FB.REGION") == 0) {
        fake_region(fake, out);
    } else if (strcmp(verb, "FB.KEY") == 0) {
        assert_ok(fb_resp_write_bulk(out, FB_STR("fruit:plum")));
    } else if (strcmp(verb, "FB.FETCH") == 0) {
        fake_fetch(out, args[count - 1]);
    } else if (strcmp(verb, "GET") == 0) {
        fake_get(fake, out, key);
    } else if (strcmp(verb, "MGET") == 0) {
        assert_ok(fb_resp_write_array(out, count - 1));
        for (size_t i = 1; i < count; i++) {
            fake_get(fake, out, args[i]);
        }
    } else if (strcmp(verb, "SET") == 0) {
        if (count > 3 && strcmp(args[3], "NX") == 0 && place >= 0) {
            assert_ok(fb_resp_write_null(out, 3));
        } else {
            fake_put(fake, key, args[2]);
            assert_ok(fb_resp_write_simple(out, FB_STR("OK")));
        }
    } else if (strcmp(verb, "INCRBY") == 0) {
        fake_incr(fake, out, key, args[2]);
    } else if (strcmp(verb, "DEL") == 0) {
        assert_ok(fb_resp_write_integer(out, fake_delete(fake, args, count)));
    } else if (strcmp(verb, "PTTL") == 0) {
        assert_ok(fb_resp_write_integer(out, place >= 0 ? -1 : -2));
    } else {
        assert_ok(fb_resp_write_integer(out, place >= 0 ? 1 : 0));
    }
}

static inline void fake_close(fake_conn *conn) {
    close(conn->fd);
    conn->fd = -1;
    fb_buf_release(&conn->in);
    fb_buf_release(&conn->out);
    conn->ended = false;
}

static inline void fake_flush(fake_conn *conn) {
    size_t sent = 0;
    while (sent < conn->out.len) {
        ssize_t put = send(conn->fd, conn->out.ptr + sent, conn->out.len - sent, MSG_NOSIGNAL);
        if (put <= 0) {
            break;
        }
        sent += (size_t)put;
    }
    conn->out.len = 0;
}

// Does one command of the connection's input. False: there is no whole one.
static inline bool fake_step(fake_daemon *fake, fake_conn *conn) {
    fb_resp_command command = {0};
    fb_str input = fb_buf_str(&conn->in);
    ssize_t used = fb_resp_command_read(&command, input, &FB_RESP_LIMITS_DEFAULT, NULL);
    if (used > 0 && command.arg_count > 0) {
        char *args[512];
        size_t count = command.arg_count < 512 ? command.arg_count : 512;
        for (size_t i = 0; i < count; i++) {
            args[i] = fake_text(command.args[i]);
        }
        fake_note(fake, &command);
        if (fake->mood == FAKE_REFUSES && strcmp(args[0], "HELLO") != 0) {
            assert_ok(fb_resp_write_error(&conn->out, fb_str_of(fake->refusal)));
        } else {
            fake_do(fake, args, count, &conn->out);
        }
        for (size_t i = 0; i < count; i++) {
            free(args[i]);
        }
    }
    fb_resp_command_release(&command);
    if (used > 0) {
        fb_buf_consume(&conn->in, (size_t)used);
    }
    return used > 0;
}

static inline void fake_serve(fake_daemon *fake, fake_conn *conn) {
    if (fake->mood == FAKE_HUNG || (fake->mood == FAKE_LATE && conn->old)) {
        return;
    }
    if (fake->mood == FAKE_OTHER && conn->in.len > 0) {
        assert_ok(fb_buf_append(&conn->out, FB_STR("HTTP/1.1 400 Bad Request\r\n\r\n")));
        fake_flush(conn);
        fake_close(conn);
        return;
    }
    if (fake->mood == FAKE_FULL && conn->in.len > 0) {
        assert_ok(fb_resp_write_error(&conn->out, FB_STR("ERR max number of clients reached")));
        fake_flush(conn);
        fake_close(conn);
        return;
    }
    if (fake->mood == FAKE_RUDE && conn->in.len > 0) {
        fake_close(conn);
        return;
    }
    while (fake_step(fake, conn)) {
    }
    if (fake->mood == FAKE_MUTE && conn->old && conn->out.len > 0) {
        fake_close(conn);
        return;
    }
    if (fake->mood == FAKE_CUT && conn->out.len > 0) {
        conn->out.len = (conn->out.len + 1) / 2;
        fake_flush(conn);
        fake_close(conn);
        return;
    }
    fake_flush(conn);
    if (conn->ended) {
        fake_close(conn);
    }
}

static inline void fake_accept(fake_daemon *fake) {
    int fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < FAKE_CONNS; i++) {
        if (fake->conns[i].fd < 0) {
            fake->conns[i].fd = fd;
            fake->conns[i].old = false;
            fake->accepted++;
            return;
        }
    }
    FB_ASSERT(fd < 0);
}

static inline void fake_read(fake_conn *conn) {
    char bytes[65536];
    ssize_t got = recv(conn->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0) {
        assert_ok(fb_buf_append(&conn->in, fb_str_make(bytes, (size_t)got)));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn->ended = true;
    }
}

static inline void *fake_run(void *arg) {
    fake_daemon *fake = arg;
    for (;;) {
        struct pollfd fds[FAKE_CONNS + 2];
        pthread_mutex_lock(&fake->lock);
        bool stop = fake->stop;
        fds[0] = (struct pollfd){.fd = fake->wake[0], .events = POLLIN};
        fds[1] = (struct pollfd){.fd = fake->listener, .events = POLLIN};
        for (int i = 0; i < FAKE_CONNS; i++) {
            fake_conn *conn = &fake->conns[i];
            fds[i + 2] = (struct pollfd){.fd = conn->ended ? -1 : conn->fd, .events = POLLIN};
        }
        pthread_mutex_unlock(&fake->lock);
        if (stop) {
            return NULL;
        }
        (void)poll(fds, FAKE_CONNS + 2, -1);
        pthread_mutex_lock(&fake->lock);
        char byte[64];
        if (fds[0].revents != 0) {
            FB_ASSERT(read(fake->wake[0], byte, sizeof byte) > 0);
        }
        if (fds[1].revents != 0) {
            fake_accept(fake);
        }
        for (int i = 0; i < FAKE_CONNS; i++) {
            fake_conn *conn = &fake->conns[i];
            if (conn->fd >= 0 && fake->hang_up) {
                fake_close(conn);
            }
            if (conn->fd >= 0 && fds[i + 2].fd == conn->fd && fds[i + 2].revents != 0) {
                fake_read(conn);
            }
            if (conn->fd >= 0) {
                fake_serve(fake, conn);
            }
        }
        fake->hang_up = false;
        pthread_cond_broadcast(&fake->hung_up);
        pthread_mutex_unlock(&fake->lock);
    }
}

static inline void fake_listen(fake_daemon *fake) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, fake->path, strlen(fake->path) + 1);
    unlink(fake->path);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fake->listener >= 0);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fake->listener, 64), 0);
}

// Its keys stay from stop to start, as with a region that is kept.
static inline void fake_start(fake_daemon *fake) {
    fake_listen(fake);
    fake->stop = false;
    for (int i = 0; i < FAKE_CONNS; i++) {
        fake->conns[i].fd = -1;
    }
    assert_int_equal(pipe2(fake->wake, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
}

static inline fake_daemon *fake_new(void) {
    fake_daemon *fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    snprintf(fake->folder, sizeof fake->folder, "/tmp/forebay-client-XXXXXX");
    assert_non_null(mkdtemp(fake->folder));
    snprintf(fake->path, sizeof fake->path, "%s/s", fake->folder);
    snprintf(fake->url, sizeof fake->url, "unix:%s", fake->path);
    pthread_mutex_init(&fake->lock, NULL);
    pthread_cond_init(&fake->hung_up, NULL);
    fake_start(fake);
    return fake;
}

static inline void fake_wake(fake_daemon *fake) {
    assert_int_equal(write(fake->wake[1], "x", 1), 1);
}

static inline void fake_stop(fake_daemon *fake) {
    pthread_mutex_lock(&fake->lock);
    fake->stop = true;
    pthread_mutex_unlock(&fake->lock);
    fake_wake(fake);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    close(fake->wake[0]);
    close(fake->wake[1]);
    for (int i = 0; i < FAKE_CONNS; i++) {
        if (fake->conns[i].fd >= 0) {
            fake_close(&fake->conns[i]);
        }
    }
    unlink(fake->path);
}

static inline void fake_free(fake_daemon *fake) {
    fake_stop(fake);
    for (int i = 0; i < FAKE_KEYS; i++) {
        fake_remove(fake, i);
    }
    for (size_t i = 0; i < fake->seen_count; i++) {
        free(fake->seen[i]);
    }
    rmdir(fake->folder);
    free(fake);
}

static inline void fake_set_mood(fake_daemon *fake, fake_mood mood) {
    pthread_mutex_lock(&fake->lock);
    fake->mood = mood;
    for (int i = 0; i < FAKE_CONNS; i++) {
        fake->conns[i].old = true;
    }
    pthread_mutex_unlock(&fake->lock);
    fake_wake(fake);
}

// Hangs up on everybody, as a daemon does with idle connections. Its own thread does: a socket that
// another thread is polling is not closed before that returns.
static inline void fake_hang_up(fake_daemon *fake) {
    pthread_mutex_lock(&fake->lock);
    fake->hang_up = true;
    fake_wake(fake);
    while (fake->hang_up) {
        pthread_cond_wait(&fake->hung_up, &fake->lock);
    }
    pthread_mutex_unlock(&fake->lock);
}

static inline bool fake_has(fake_daemon *fake, const char *key, const char *value) {
    pthread_mutex_lock(&fake->lock);
    int place = fake_place(fake, key);
    bool has = place >= 0 && strcmp(fake->values[place], value) == 0;
    pthread_mutex_unlock(&fake->lock);
    return has;
}

static inline void fake_give(fake_daemon *fake, const char *key, const char *value) {
    pthread_mutex_lock(&fake->lock);
    fake_put(fake, key, value);
    pthread_mutex_unlock(&fake->lock);
}

// How many commands began so, from number `since` on.
static inline size_t fake_saw(fake_daemon *fake, const char *begins, size_t since) {
    size_t count = 0;
    pthread_mutex_lock(&fake->lock);
    for (size_t i = since; i < fake->seen_count; i++) {
        count += strncmp(fake->seen[i], begins, strlen(begins)) == 0;
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}

static inline size_t fake_count(fake_daemon *fake) {
    pthread_mutex_lock(&fake->lock);
    size_t count = fake->seen_count;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

#endif
