// A connection's beginning and its end, and what is looked at once a tick.
//
// Who is told goodbye may still be sending: to close then would make his system throw away what he
// has not read yet, the last reply, which says what was wrong. So only our side is closed, and what
// he sends is thrown away until he closes his, or sends nothing for a moment, or has been at it for
// too long.
//
// With TLS the hands come first: until they are shaken nothing of the session runs, and what was
// said by somebody who speaks no TLS is never taken for commands. The connection is one like all
// others meanwhile, with a bound on how long it may take.
//
// Once a tick all of a lane are looked at, which costs next to nothing in a turn: a turn counts
// itself, and whoever has had none since the last look has been quiet for a tick. So times are true
// to a tick, and no clock is read. What is looked for: hands that are not shaken in time; silence
// (listen.idle), which a command that waits is not; too much unsent for too long
// (listen.output_soft); and, of those that are owed anything, who has taken next to nothing of it
// in the last minute. That one would not be caught by the patience with those who take nothing at
// all, and could keep 16 MiB for ever.

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "door/connection_inside.h"
#include "door/notice.h"

const fb_connection_bounds FB_CONNECTION_BOUNDS_DEFAULT = {
    .out_soft = 16 * 1024 * 1024,
    .in_soft = 256 * 1024 * 1024,
    .out_pressed = FB_SESSION_PACE_LEN,
    .in_pressed = 1024 * 1024,
    .held_max = UINT64_C(512) << 20,
    .patience = {60, 0},
    .farewell = {1, 0},
    .tick = {1, 0},
    .shake_ticks = 10,
    .slow_ticks = 60,
    .slow_len = 64 * 1024,
};

enum { FAREWELL_LEN_MAX = 64 * 1024 * 1024, FAREWELL_TICKS_MAX = 10 };

static void count(_Atomic uint64_t *figure) {
    atomic_fetch_add_explicit(figure, 1, memory_order_relaxed);
}

static fb_log_text peer_of(const fb_connection *connection) {
    return fb_log_quote(fb_str_of(fb_session_peer(connection->session)), FB_LOG_KEY_MAX);
}

// ---- the end

void fb_connection_drop(fb_connection *connection) {
    fb_lane_state *lane = connection->lane;
    if (connection->interest != 0) {
        (void)event_del(&connection->event);
    }
    if (connection->session != NULL) {
        atomic_fetch_sub_explicit(lane->held_bytes, connection->counted, memory_order_relaxed);
        fb_session_free(connection->session);
    }
    fb_door_tls_end(connection->ssl);
    (void)close(connection->fd);
    fb_list_remove(&connection->list);
    fb_list_remove(&connection->ready);
    fb_buf_release(&connection->in);
    fb_mem_free(connection);
    lane->gone(lane->gone_arg);
}

void fb_connection_say_goodbye(fb_connection *connection) {
    connection->leaving = true;
    connection->owed_ticks = 0;
    fb_list_remove(&connection->ready);
    fb_buf_release(&connection->in);
    connection->used = 0;
    fb_connection_count_held(connection);
    fb_connection_take_back(connection);
    if (connection->ssl != NULL) {
        fb_door_tls_goodbye(connection->ssl);
    }
    if (connection->eof || shutdown(connection->fd, SHUT_WR) != 0 ||
        fb_connection_want(connection, EV_READ, &connection->lane->bounds->farewell) < 0) {
        fb_connection_drop(connection);
    }
}

void fb_connection_ignore_input(fb_connection *connection) {
    ssize_t count = recv(connection->fd, connection->lane->input, FB_CONNECTION_READ_LEN, 0);
    connection->ignored += count > 0 ? (size_t)count : 0;
    bool later = count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if ((count <= 0 && !later) || connection->ignored > FAREWELL_LEN_MAX) {
        fb_connection_drop(connection);
    }
}

void fb_connection_lose_patience(fb_connection *connection) {
    fb_log(FB_LOG_WARN, "connection_stuck",
           "peer=%s unsent_bytes=%zu waiting_bytes=%zu hint=\"it takes none of its replies\"",
           peer_of(connection).text, unsent(connection), waiting(connection));
    count(&connection->lane->node->closed_stuck);
    fb_connection_drop(connection);
}

// ---- TLS

static void shaking_failed(fb_connection *connection, const char *why) {
    static fb_door_notice notice;
    uint64_t more;
    count(&connection->lane->node->tls_failed);
    if (fb_door_notice_due(&notice, &more)) {
        fb_log(FB_LOG_WARN, "tls_handshake_failed", "door=resp peer=%s reason=%s more=%llu",
               peer_of(connection).text, fb_log_quote(fb_str_of(why), FB_LOG_KEY_MAX).text,
               (unsigned long long)more);
    }
    fb_connection_drop(connection);
}

void fb_connection_shake(fb_connection *connection) {
    bool write = false;
    const char *why = "";
    int result = fb_door_tls_shake(connection->ssl, &write, &why);
    if (result < 0) {
        shaking_failed(connection, why);
        return;
    }
    connection->shaking = result == 0;
    if (fb_connection_want(connection, write ? EV_WRITE : EV_READ, NULL) < 0) {
        fb_connection_drop(connection);
    }
}

// ---- the beginning

int fb_connection_new(fb_lane_state *lane, int fd, fb_str peer) {
    fb_connection *connection = fb_mem_zero(1, sizeof *connection);
    if (connection == NULL) {
        (void)close(fd);
        lane->gone(lane->gone_arg);
        return FB_ENOMEM;
    }
    connection->lane = lane;
    connection->fd = fd;
    fb_list_init(&connection->ready);
    fb_list_insert(&lane->connections, &connection->list);
    int result =
        fb_session_new(lane->node, peer, fb_connection_wake, connection, &connection->session);
    if (result == FB_OK && lane->tls != NULL) {
        connection->shaking = true;
        connection->ssl = fb_door_tls_accept(lane->tls, fd);
        result = connection->ssl != NULL ? FB_OK : FB_ENOMEM;
    }
    if (result == FB_OK) {
        result = fb_connection_want(connection, EV_READ, NULL);
    }
    if (result < 0) {
        fb_connection_drop(connection);
    }
    return result;
}

// ---- limits of what is unsent

size_t fb_connection_output_max(const fb_connection *connection) {
    uint64_t hard = atomic_load_explicit(&connection->lane->node->doors.output_hard,
                                         memory_order_relaxed);
    return hard > 0 ? hard : (size_t)FB_SESSION_REPLY_LEN_MAX;
}

void fb_connection_close_for_output(fb_connection *connection, size_t limit) {
    fb_log(FB_LOG_WARN, "output_limit_reached",
           "peer=%s unsent_bytes=%zu limit_bytes=%zu hint=\"it reads its replies too slowly, or "
           "asks for more than listen.output_hard and listen.output_soft let wait\"",
           peer_of(connection).text, unsent(connection), limit);
    count(&connection->lane->node->closed_output);
    fb_connection_drop(connection);
}

// ---- once a tick

static uint64_t ticks_of(const fb_connection_bounds *bounds, uint64_t seconds) {
    uint64_t tick_us = (uint64_t)bounds->tick.tv_sec * 1000000 + (uint64_t)bounds->tick.tv_usec;
    return seconds * 1000000 / tick_us;
}

static bool is_idle(fb_connection *connection) {
    uint64_t idle_s = atomic_load_explicit(&connection->lane->node->doors.idle_s,
                                           memory_order_relaxed);
    bool quiet = connection->turns == connection->turns_seen &&
                 !fb_session_waits(connection->session) && unsent(connection) == 0;
    connection->turns_seen = connection->turns;
    connection->quiet_ticks = quiet ? connection->quiet_ticks + 1 : 0;
    return idle_s > 0 && connection->quiet_ticks > ticks_of(connection->lane->bounds, idle_s);
}

static bool is_over_soft(fb_connection *connection) {
    const fb_doors *doors = &connection->lane->node->doors;
    uint64_t soft = atomic_load_explicit(&doors->output_soft, memory_order_relaxed);
    uint64_t soft_s = atomic_load_explicit(&doors->output_soft_s, memory_order_relaxed);
    bool over = soft > 0 && unsent(connection) > soft;
    connection->soft_ticks = over ? connection->soft_ticks + 1 : 0;
    return over && connection->soft_ticks > ticks_of(connection->lane->bounds, soft_s);
}

static bool is_slow(fb_connection *connection) {
    const fb_connection_bounds *bounds = connection->lane->bounds;
    if (unsent(connection) == 0) {
        connection->owed_ticks = 0;
        return false;
    }
    if (connection->owed_ticks++ == 0) {
        connection->owed_taken = connection->taken;
    }
    if (connection->owed_ticks <= bounds->slow_ticks) {
        return false;
    }
    bool slow = connection->taken - connection->owed_taken < bounds->slow_len;
    connection->owed_ticks = 0;
    return slow;
}

static void watch(fb_connection *connection) {
    if (connection->leaving) {
        if (++connection->owed_ticks > FAREWELL_TICKS_MAX) {
            fb_connection_drop(connection);
        }
        return;
    }
    bool idle = is_idle(connection);
    if (connection->shaking) {
        if (++connection->owed_ticks > connection->lane->bounds->shake_ticks) {
            shaking_failed(connection, "it took too long");
        }
    } else if (idle) {
        fb_log(FB_LOG_DEBUG, "connection_idle", "peer=%s", peer_of(connection).text);
        count(&connection->lane->node->closed_idle);
        fb_connection_drop(connection);
    } else if (is_over_soft(connection)) {
        fb_connection_close_for_output(
            connection, atomic_load_explicit(&connection->lane->node->doors.output_soft,
                                             memory_order_relaxed));
    } else if (unsent(connection) > fb_connection_output_max(connection)) {
        fb_connection_close_for_output(connection, fb_connection_output_max(connection));
    } else if (is_slow(connection)) {
        fb_connection_lose_patience(connection);
    }
}

void fb_connection_watch_all(fb_lane_state *lane) {
    FB_LIST_EACH_SAFE(node, after, &lane->connections) {
        watch(FB_LIST_OF(node, fb_connection, list));
    }
}

// ---- all at once

void fb_connection_drain_all(fb_lane_state *lane) {
    lane->draining = true;
    FB_LIST_EACH_SAFE(node, after, &lane->connections) {
        fb_connection *connection = FB_LIST_OF(node, fb_connection, list);
        fb_session_unblock(connection->session);
        bool busy = unsent(connection) > 0 || fb_session_waits(connection->session);
        if (connection->shaking) {
            fb_connection_drop(connection);  // nothing has been asked yet
            continue;
        }
        if (busy || connection->leaving || (connection->interest & EV_READ) == 0) {
            continue;  // settle() sees to it later
        }
        if (fb_connection_last_read(connection)) {
            fb_connection_drop(connection);
        } else {
            fb_connection_take_input(connection);
        }
    }
}

void fb_connection_close_all(fb_lane_state *lane) {
    while (!fb_list_empty(&lane->connections)) {
        fb_connection_drop(FB_LIST_OF(lane->connections.next, fb_connection, list));
    }
}
