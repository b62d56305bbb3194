// redis/route.h -- which server a command goes to, on one event loop: alone, behind Sentinel, or in
// a Cluster. It owns the pipelined connections of its loop (one to each server it needs), connected
// when first used, and what is known of the topology.
//
//   alone     one server. If it is a replica (read-only), that is said, and commands are refused
//             until it is none. If it is part of a Cluster, the rest is found (cluster: AUTO).
//   sentinel  all Sentinels named are asked for the master of the service and listened to
//             (+switch-master); the answer of the newest configuration counts. They are asked again
//             after a loss or a READONLY. Who is named must say itself that it is the master, and
//             be named since it was last connected to, before it is believed.
//   cluster   the slot map by CLUSTER SLOTS from any server that answers; MOVED mends it and
//             repeats, ASK repeats with ASKING, TRYAGAIN and CLUSTERDOWN repeat after a pause, all
//             within the command's deadline.
//
// A command is repeated of its own accord only where it cannot have been done (NOT_SENT, MOVED,
// ASK, TRYAGAIN, LOADING, READONLY, BUSY …) or is `repeatable`; with jittered back-off.
// Memory: commands are copied, and kept until they are answered.
// Threads: its loop's only. Callbacks come later, never from within send(); they may send, and may
// open and close side connections, but not free the route.

#ifndef FB_REDIS_ROUTE_H
#define FB_REDIS_ROUTE_H

#include "redis/conn.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_route fb_route;

typedef enum fb_cluster_choice { FB_CLUSTER_AUTO, FB_CLUSTER_YES, FB_CLUSTER_NO } fb_cluster_choice;

typedef struct fb_route_options {
    struct event_base *base;
    struct evdns_base *dns;
    const fb_redis_url *url;     // outlives it
    const fb_redis_tls *tls;
    fb_cluster_choice cluster;   // AUTO: as the server says at connect
    const char *client_name;
    int64_t connect_timeout_ns;
    int64_t stall_ns;
    uint32_t side_max;           // fb_route_side() connections at once (the pool: 10)
    // A Cluster may be up in part: when the server of slot `vital` is. Servers that answer too late
    // are passed by, each by itself (sync/breaker.h).
    bool in_parts;
    uint16_t vital;
    uint64_t seed;
} fb_route_options;

typedef struct fb_route_events {
    // Every slot has a server that is up; or not, and why (one sentence). First when either is
    // known, then whenever it turns. With `in_parts`: up with a `why` says which servers are away,
    // and is told anew whenever these are others.
    void (*on_link)(void *arg, bool up, const char *why);
    // Another server took over (fail-over, resharding, restart): what was known of its state is
    // void. A connection that was lost and is back counts as one. Comes before on_link(true).
    void (*on_change)(void *arg);
    void *arg;
} fb_route_events;

FB_CHECK_RESULT int fb_route_new(const fb_route_options *options, const fb_route_events *events,
                                 fb_route **route);
// Answers what waits, within. Side connections are closed before. NULL is fine.
void fb_route_free(fb_route *route);
// Begins to connect where it has not; as the first command does.
void fb_route_open(fb_route *route);

enum { FB_SLOTS = 16384, FB_SLOT_ANY = UINT16_MAX };
// CRC16 (XMODEM) of the key, or of what stands in its first non-empty {…}, mod 16384 (Redis Cluster
// specification).
uint16_t fb_slot_of(fb_str key);

typedef struct fb_route_command {
    fb_str command;  // encoded: one command; copied
    uint16_t slot;   // FB_SLOT_ANY: any server that takes writes
    bool repeatable;
    int64_t deadline_ns;
    fb_conn_reply_fn fn;
    void *arg;
} fb_route_command;
// FB_OK: one call of `fn`, later; a redirection, or that a server cannot answer yet, is never its
// value. NOT_SENT then means: it was not done, whether or not a server saw it; `why` says what
// stood in the way. UNKNOWN: it may have been done, once (`repeatable`: or more often).
// FB_ENOMEM, FB_EOVERLOAD (of fb_conn_send()), FB_ECLOSED (it is being freed): no call will come.
FB_CHECK_RESULT int fb_route_send(fb_route *route, const fb_route_command *command);
// With `in_parts`, of a link that is up: the slot's server was tried and is not there. Commands for it
// are not kept until their deadline, but NOT_SENT at once.
bool fb_route_is_away(const fb_route *route, uint16_t slot);
// A command for the slot would go out now, whatever else is away.
bool fb_route_reaches(const fb_route *route, uint16_t slot);
// Any is away.
bool fb_route_lacks(const fb_route *route);
// It finds out by itself, of each server, whether that answers in time.
bool fb_route_judges(const fb_route *route);

// ---- all servers that take writes: for SCAN, subscriptions, checks
// Good until on_change has returned.
typedef struct fb_route_server fb_route_server;
size_t fb_route_server_count(const fb_route *route);
fb_route_server *fb_route_server_at(const fb_route *route, size_t index);
const char *fb_route_server_name(const fb_route_server *server);
// One that answers, if any does; else 0.
size_t fb_route_server_first(const fb_route *route);
// To that server, without redirection: its errors, whatever they are, are values. `slot` is not
// looked at. Otherwise as fb_route_send().
FB_CHECK_RESULT int fb_route_send_to(fb_route *route, fb_route_server *server,
                                     const fb_route_command *command);
// A connection of its own to that server (subscriptions, tracking, what blocks), closed by the
// caller with fb_route_side_close(), also when the server is none of these any more. FB_EOVERLOAD:
// side_max are open. FB_ENOMEM.
FB_CHECK_RESULT int fb_route_side(fb_route *route, const fb_route_server *server,
                                  const fb_conn_events *events, fb_conn **conn);
void fb_route_side_close(fb_route *route, fb_conn *conn);

// What people are told of it.
typedef struct fb_route_status {
    bool up;
    fb_redis_kind kind;    // as it turned out
    uint32_t server_count;
    char why[192];
    fb_conn_server server; // of the first
} fb_route_status;
void fb_route_status_read(const fb_route *route, fb_route_status *status);

#ifdef __cplusplus
}
#endif

#endif
