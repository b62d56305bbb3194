// redis/route_state.h -- the inside of a route, for the files that make it up: route.c (servers,
// events, time), route_send.c (commands), sentinel.c, cluster.c.
//
// Threads: the loop's only.

#ifndef FB_REDIS_ROUTE_STATE_H
#define FB_REDIS_ROUTE_STATE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "redis/topology.h"
#include "sync/breaker.h"

#ifdef __cplusplus
extern "C" {
#endif

struct event;
typedef struct fb_sentinel fb_sentinel;

enum { FB_ROUTE_WHY_MAX = 192 };

struct fb_route_server {
    fb_list node;  // of route->servers
    fb_route *route;
    fb_redis_host place;  // host empty: the URL's Unix socket
    char name[FB_REDIS_TEXT_MAX + 16];
    fb_conn *conn;    // NULL: nobody needs it now
    bool is_seed;     // the URL names it: it stays known
    bool is_master;   // it is one of route->masters
    bool up, was_up;  // connected; has been before
    bool fatal;       // a connection is refused for good
    bool unfit;       // alone, sentinel: it is up, and does not take writes
    bool confirmed;   // sentinel: named as the master since it was last connected to
    bool polled;      // asked for its ROLE, or probed; no answer yet
    fb_breaker breaker;  // with `in_parts`: whether it answers in time
    int64_t patience_ns;  // how long the command waited that opened it
    int64_t up_ns;
    int64_t retired_ns;  // since when nobody needs it; 0: it is needed
    uint32_t ops;        // commands that are on it, or wait for it and no other
    char why[FB_ROUTE_WHY_MAX];  // why it is not ready; empty: no answer yet
};

struct fb_route {
    fb_route_options options;
    fb_route_events events;
    fb_redis_kind kind;  // as it turned out
    fb_list servers;
    size_t server_count;
    fb_route_server **masters;
    size_t master_count, master_cap;
    fb_route_server **slots;  // cluster: FB_SLOTS of them; NULL: nobody's
    uint32_t covered;         // slots that have a server
    fb_sentinel *sentinels;
    size_t sentinel_count;
    uint64_t epoch;  // of the configuration that named the master
    fb_route_server *asked;   // cluster: who was asked last for the map
    bool asking;              // and has not answered
    char why[FB_ROUTE_WHY_MAX];  // why there are no masters, or too few; empty: not known
    fb_list waiting;  // commands without a server that is ready
    fb_heap due;      // the same, by when something is to be done about them
    size_t waiting_count, waiting_bytes;
    bool opened, closing, changed;
    bool link_known, link_up;
    uint64_t away;  // which servers and slots are, in one number, as it was told
    uint32_t side_count;
    struct event *timer;
    int64_t timer_ns;      // when it rings; INT64_MAX: not
    int64_t refresh_ns;    // when the topology is to be asked for; INT64_MAX: when there is need
    int64_t refreshed_ns;  // when it was, last
    uint32_t refreshes_soon;  // that came soon after the one before, up to a few
    uint32_t refresh_tries;  // since all was well
    int64_t sweep_ns;      // when servers that nobody needs go
    int64_t probe_ns;      // when one that answered too late is probed
    fb_rng rng;
};

// ---- route.c: servers

// The server at `place`, made where it is not known yet. NULL: no memory, or far too many.
fb_route_server *fb_route_server_get(fb_route *route, const fb_redis_host *place);
// Begins to connect, where it does not already. Without memory: later.
void fb_route_server_open(fb_route_server *server);
// It answers, and takes writes.
bool fb_route_server_ready(const fb_route_server *server);
// It has been tried, and the others go on without it (`in_parts`).
bool fb_route_server_away(const fb_route_server *server);
// How a command on it ended: whether it was answered, of those that waited for so long at most.
void fb_route_server_ended(fb_route_server *server, bool answered, int64_t patience_ns);
// One more of those that take writes. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_route_master_add(fb_route *route, fb_route_server *server);
// Replaces the masters by `servers`; the others are retired.
FB_CHECK_RESULT int fb_route_masters_set(fb_route *route, fb_route_server *const *servers,
                                         size_t count);

// ---- route.c: what changed

// After anything that may have changed who is ready: tells the events, lets commands go.
void fb_route_settle(fb_route *route);
// The topology is to be asked for after `pause_ns`, or a little later.
void fb_route_refresh_in(fb_route *route, int64_t pause_ns);
// A server said, or showed, that it is not what it was taken for: perhaps a replica, for sure.
void fb_route_doubt(fb_route_server *server, bool is_replica);
// Why not all is ready, into text; "" where no answer has come yet.
const char *fb_route_why(const fb_route *route, char *text, size_t text_size);
// Rings at the latest at due_ns.
void fb_route_arm(fb_route *route, int64_t due_ns);
// Half of span_ns to all of it, by chance.
int64_t fb_route_jitter(fb_route *route, int64_t span_ns);

// ---- route_send.c: commands

// Lets those go whose server is ready, and ends those that are refused.
void fb_route_wake(fb_route *route);
// Does what is due by now_ns; when next, INT64_MAX: nothing waits.
int64_t fb_route_waiting_due(fb_route *route, int64_t now_ns);
// No command waits for this server alone any more.
void fb_route_forsake(fb_route_server *server);
// Answers all that waits.
void fb_route_waiting_end(fb_route *route);

// ---- sentinel.c

FB_CHECK_RESULT int fb_sentinel_begin(fb_route *route);
void fb_sentinel_end(fb_route *route);
// Connects to those it is not connected to.
void fb_sentinel_open(fb_route *route);
// Asks all that can be asked who is the master.
void fb_sentinel_ask(fb_route *route);

// ---- cluster.c

// From now on it is a Cluster; the servers known are where its map is asked for.
FB_CHECK_RESULT int fb_cluster_begin(fb_route *route);
void fb_cluster_end(fb_route *route);
// Asks somebody for the map, or looks for somebody to ask.
void fb_cluster_ask(fb_route *route);
// `from` said that `slot` is at `place`. NULL: no memory.
fb_route_server *fb_cluster_move(fb_route_server *from, uint16_t slot, const fb_redis_host *place);
// The server at `place`, as `from` says it: an empty host is its own.
fb_route_server *fb_cluster_server(fb_route_server *from, const fb_redis_host *place);

#ifdef __cplusplus
}
#endif

#endif
