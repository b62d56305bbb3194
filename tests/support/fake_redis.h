// fake_redis.h -- a Redis of a few commands on the test's own event loop, which answers as it is
// told and misbehaves where it is told.
//
// It greets (HELLO, CLIENT KILL, SELECT) by itself; what any other command is answered is the test's: `answer`,
// or +OK. Replies may be cut after so many bytes, dribble out one byte a turn of the loop, or stay
// away.

#ifndef FB_TESTS_FAKE_REDIS_H
#define FB_TESTS_FAKE_REDIS_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/list.h"
#include "redis_server.h"
#include "support.h"
#include "wire/resp.h"

#define FAKE_HELLO                                                                         \
    "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.9.9\r\n$5\r\nproto\r\n" \
    ":3\r\n$2\r\nid\r\n:9\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n"            \
    "$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"

enum { FAKE_WORD_MAX = 100 };  // bytes of an argument that are noted

typedef struct fake_redis fake_redis;

typedef struct fake_peer {
    fb_list list;
    fake_redis *fake;
    int fd;
    struct event *event;
    fb_buf in, out;
    fb_resp_command command;
    bool greeted;
    bool ending;  // closes when all is written
} fake_peer;

struct fake_redis {
    struct event_base *base;
    struct evconnlistener *listener;
    int port;
    fb_list peers;
    const char *at_once;  // said on accept, and then closed
    const char *hello;    // the reply to HELLO; NULL: a good one
    const char *select;   // the reply to SELECT
    bool hangs_up;        // on HELLO
    bool mute;            // says nothing any more, not even to HELLO
    bool deaf;            // reads nothing any more
    bool dribbles;
    size_t cut;           // hangs up after so many bytes said since HELLO; 0: does not
    size_t said;
    // Appends the reply to peer->out.
    void (*answer)(fake_peer *peer, const fb_str *args, size_t arg_count);
    void *arg;
    int accepted, commands;
    int malformed;  // commands that are none
    char killed[100];  // the last CLIENT KILL, in words
    fb_buf heard;  // of commands but the greeting: words separated by blanks, one line each
};

static inline void fake_redis_drop(fake_peer *peer) {
    fb_list_remove(&peer->list);
    event_free(peer->event);
    (void)close(peer->fd);
    fb_buf_release(&peer->in);
    fb_buf_release(&peer->out);
    fb_resp_command_release(&peer->command);
    free(peer);
}

static inline void fake_redis_say(fake_peer *peer, const char *text) {
    assert_ok(fb_buf_append(&peer->out, fb_str_of(text)));
}

static inline void fake_redis_note(fake_redis *fake, const fb_resp_command *command) {
    for (size_t i = 0; i < command->arg_count; i++) {
        fb_str word = command->args[i];
        word.len = word.len < FAKE_WORD_MAX ? word.len : FAKE_WORD_MAX;
        assert_ok(fb_buf_printf(&fake->heard, "%s%.*s", i > 0 ? " " : "", FB_STR_ARG(word)));
    }
    assert_ok(fb_buf_byte(&fake->heard, '\n'));
}

static inline void fake_redis_obey(fake_peer *peer) {
    fake_redis *fake = peer->fake;
    const fb_resp_command *command = &peer->command;
    if (command->arg_count == 0) {
        return;
    }
    if (fb_str_same(command->args[0], FB_STR("HELLO"))) {
        peer->ending = fake->hangs_up;
        fake_redis_say(peer, fake->hello != NULL ? fake->hello : fake->hangs_up ? "" : FAKE_HELLO);
        return;
    }
    if (command->arg_count > 2 && fb_str_same(command->args[0], FB_STR("CLIENT")) &&
        fb_str_same(command->args[1], FB_STR("KILL"))) {
        size_t len = 0;
        for (size_t i = 2; i < command->arg_count; i++) {
            len += (size_t)snprintf(fake->killed + len, sizeof fake->killed - len, "%s%.*s",
                                    i > 2 ? " " : "", FB_STR_ARG(command->args[i]));
        }
        fake_redis_say(peer, ":1\r\n");
        return;
    }
    if (fb_str_same(command->args[0], FB_STR("SELECT"))) {
        fake_redis_say(peer, fake->select != NULL ? fake->select : "+OK\r\n");
        return;
    }
    fake->commands++;
    peer->greeted = true;
    fake_redis_note(fake, command);
    if (fake->answer != NULL) {
        fake->answer(peer, command->args, command->arg_count);
    } else {
        fake_redis_say(peer, "+OK\r\n");
    }
}

static inline void fake_redis_end_if(fake_peer *peer, bool malformed) {
    if (malformed) {
        peer->fake->malformed++;
        peer->ending = true;
    }
}

static inline void fake_redis_obey_all(fake_peer *peer) {
    size_t used = 0;
    while (!peer->fake->mute && !peer->ending) {
        fb_str rest = {peer->in.ptr + used, peer->in.len - used};
        ssize_t took = fb_resp_command_read(&peer->command, rest, &FB_RESP_LIMITS_DEFAULT, NULL);
        if (took <= 0) {
            fake_redis_end_if(peer, took < 0);
            break;
        }
        fake_redis_obey(peer);
        used += (size_t)took;
    }
    fb_buf_consume(&peer->in, used);
}

// False: the peer is gone.
static inline bool fake_redis_read(fake_peer *peer) {
    char bytes[65536];
    ssize_t got = recv(peer->fd, bytes, sizeof bytes, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        fake_redis_drop(peer);
        return false;
    }
    if (got > 0) {
        assert_ok(fb_buf_append(&peer->in, fb_str_make(bytes, (size_t)got)));
    }
    return true;
}

static inline void fake_redis_write(fake_peer *peer) {
    fake_redis *fake = peer->fake;
    size_t len = peer->out.len;
    if (fake->dribbles && peer->greeted && len > 1) {
        len = 1;
    }
    if (fake->cut > 0 && peer->greeted && len >= fake->cut - fake->said) {
        len = fake->cut - fake->said;
        peer->ending = true;
    }
    ssize_t took = len > 0 ? send(peer->fd, peer->out.ptr, len, MSG_NOSIGNAL) : 0;
    if (took > 0) {
        fake->said += peer->greeted ? (size_t)took : 0;
        fb_buf_consume(&peer->out, (size_t)took);
    }
    if (peer->ending && (took < 0 || (size_t)took == len)) {
        fake_redis_drop(peer);
    }
}

static inline void fake_redis_on_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    fake_peer *peer = arg;
    if ((what & EV_READ) != 0 && !peer->fake->deaf && !fake_redis_read(peer)) {
        return;
    }
    fake_redis_obey_all(peer);
    bool wants = peer->out.len > 0 || peer->ending;
    if (wants && !peer->fake->mute) {
        fake_redis_write(peer);
    }
}

// Both ways of waiting at once would spin; so the loop's turns are polled by a short timer where
// there is something to say, and by the socket for what comes.
static inline void fake_redis_on_accept(struct evconnlistener *listener, evutil_socket_t fd,
                                        struct sockaddr *from, int len, void *arg) {
    (void)listener, (void)from, (void)len;
    fake_redis *fake = arg;
    struct timeval moment = {0, 500};
    fake_peer *peer = calloc(1, sizeof *peer);
    assert_non_null(peer);
    peer->fake = fake;
    peer->fd = fd;
    fb_list_insert(&fake->peers, &peer->list);
    fake->accepted++;
    peer->event = event_new(fake->base, fd, EV_READ | EV_PERSIST | EV_TIMEOUT,
                            fake_redis_on_event, peer);
    assert_int_equal(event_add(peer->event, &moment), 0);
    if (fake->at_once != NULL) {
        fake_redis_say(peer, fake->at_once);
        peer->ending = true;
        fake_redis_write(peer);
    }
}

static inline void fake_redis_listen(fake_redis *fake) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)fake->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    fake->listener = evconnlistener_new_bind(
        fake->base, fake_redis_on_accept, fake,
        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC, 64,
        (struct sockaddr *)&address, (int)len);
    assert_non_null(fake->listener);
    assert_int_equal(getsockname(evconnlistener_get_fd(fake->listener),
                                 (struct sockaddr *)&address, &len),
                     0);
    fake->port = ntohs(address.sin_port);
}

static inline void fake_redis_init(fake_redis *fake, struct event_base *base) {
    *fake = (fake_redis){.base = base};
    fb_list_init(&fake->peers);
    fake->port = test_redis_free_port();  // which it finds again after fake_redis_kill()
    fake_redis_listen(fake);
}

static inline void fake_redis_drop_all(fake_redis *fake) {
    FB_LIST_EACH_SAFE(node, after, &fake->peers) {
        fake_redis_drop(FB_LIST_OF(node, fake_peer, list));
    }
}

// Gone, as after kill -9: connections are cut, the port refuses; fake_redis_listen() brings it
// back.
static inline void fake_redis_kill(fake_redis *fake) {
    if (fake->listener != NULL) {
        evconnlistener_free(fake->listener);
        fake->listener = NULL;
    }
    fake_redis_drop_all(fake);
}

static inline void fake_redis_release(fake_redis *fake) {
    fake_redis_kill(fake);
    fb_buf_release(&fake->heard);
}

// Says something that nobody asked for, to all.
static inline void fake_redis_tell(fake_redis *fake, const char *text) {
    FB_LIST_EACH_SAFE(node, after, &fake->peers) {
        fake_peer *peer = FB_LIST_OF(node, fake_peer, list);
        fake_redis_say(peer, text);
        fake_redis_write(peer);
    }
}

#endif
