// node/node.h -- what all sessions and requests of one daemon share.
//
// The node is the service without I/O: bytes or requests in, bytes or responses out. It reaches the
// engine through include/forebay alone; sockets, clocks and files are the doors' and the daemon's.
// Threads: sessions and requests of different loops run at the same time; what is here is read only
// or atomic.

#ifndef FB_NODE_NODE_H
#define FB_NODE_NODE_H

#include <forebay/forebay.h>

#include <stdatomic.h>

#include "node/finding.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the doors keep to (node/doors.h), changed while they work. 0: none, or no limit but the ones
// that are built in.
typedef struct fb_doors {
    _Atomic uint64_t output_hard;    // bytes that wait for a client: then it is closed
    _Atomic uint64_t output_soft;    // the same, when it has been more for output_soft_s
    _Atomic uint64_t output_soft_s;
    _Atomic uint64_t tracking_keys_max;  // node/tracking.h; 0: no bound
    _Atomic uint64_t query_max;      // bytes of one command
    _Atomic uint64_t bulk_max;       // bytes of one argument
    _Atomic uint64_t idle_s;         // of silence, until a client is closed
    _Atomic uint64_t keepalive_s;    // of silence, until the system asks whether it is there
    _Atomic uint64_t loop_clients;   // of Redis that a loop gets before the next has any; 0: evenly
    _Atomic uint64_t http_idle_ms;   // these as door/http.h has them
    _Atomic uint64_t http_timeout_ms;
    _Atomic uint64_t http_header_max;
    _Atomic uint64_t http_body_max;
    _Atomic uint64_t http_bodies_max;
} fb_doors;

// Processor time in microseconds: of this process, of those that it has begun and that have ended, and of
// the thread that its main function runs on.
typedef struct fb_cpu_times {
    int64_t user_us, system_us;
    int64_t children_user_us, children_system_us;
    int64_t main_user_us, main_system_us;
} fb_cpu_times;

enum { FB_NODE_TURN_LANES = 64 };

typedef struct fb_node {
    fb_engine *engine;
    // CONFIG GET and the page: the configuration in force; may be NULL. While sessions and requests
    // run it is read and swapped only through fb_node_config_*.
    const fb_config *config;
    bool waits;                      // there is a shared tier: calls of the engine may wait for it
    const char *http_prefix;         // "/codette": the monitoring routes are there as well; or ""
    const char *http_cors;           // origins that may read answers, with spaces between; or "" or "*"
    const char *resp_address;        // for INFO and messages; may be ""
    const char *http_address;
    const char *connect_limit;       // rules of node/admit.h; NULL or "": none
    const char *auth_limit;
    const char *socket_path;         // of the Unix socket, absolute; NULL: none
    int64_t (*wall_us)(void);        // Unix time in microseconds: TIME, EXPIREAT, time stamps
    void (*cpu)(fb_cpu_times *times);  // INFO; NULL: not known
    // Asked for by a client (SHUTDOWN is not offered); NULL: not available.
    int (*reload)(void *arg, fb_error *error);
    void *reload_arg;
    // CONFIG SET: these options of the configuration get these values, all or none, until the next
    // reload; the engine and the doors follow. After an error *wrong is the change that is to blame,
    // as far as that is known, else `count`. `arg` is reload_arg. From any thread. NULL: not
    // available.
    int (*configure)(void *arg, const fb_param *changes, size_t count, size_t *wrong,
                     fb_error *error);
    _Atomic uint64_t connections_max;
    // As many as the system lets this process have; 0: not known.
    _Atomic uint64_t connections_possible;
    fb_doors doors;
    const char *resp_tls_address;    // the doors that speak TLS; NULL or "": none
    const char *http_tls_address;
    char run_id[41];                 // 40 hex digits
    uint32_t process_id;             // for INFO; 0: not said
    // Live figures.
    _Atomic uint64_t connections, connections_total, connections_refused;
    _Atomic uint64_t closed_output;  // clients closed for the hard or soft limit of their output
    _Atomic uint64_t closed_query;   // for a command beyond the limits
    _Atomic uint64_t closed_idle;
    _Atomic uint64_t closed_stuck;   // for taking none, or too little, of their replies
    _Atomic uint64_t tls_failed;     // handshakes that came to nothing
    _Atomic uint64_t commands, http_requests;
    _Atomic uint64_t bytes_in, bytes_out;
    _Atomic uint64_t blocked;        // commands and requests that wait for jobs
    _Atomic uint64_t next_client_id;
    struct fb_command_stats *command_stats;  // node/command_stats.h; NULL: nobody counts
    struct fb_watch *watch;          // node/watch.h: how the targets stand; NULL: nobody looks
    _Atomic int64_t slow_ns;         // node/slow.h: what is slow; 0: nothing is
    _Atomic int64_t loop_lag_ns;     // the longest that a loop owes a sign of life, as of a moment ago
    int64_t (*now_ns)(void);         // the monotonic clock; NULL: none
    // Looks at the machine that it all runs on; NULL: nobody can.
    void (*examine)(const fb_config *config, fb_finding_fn fn, void *arg);
    _Atomic bool draining;           // a stop is under way: readyz says no
    struct fb_users *users;          // node/users.h; NULL: whoever comes may do anything
    _Atomic uint64_t users_version;  // moves with each change of them
    struct fb_session *sessions;     // private: what CLIENT LIST walks, under its lock
    _Atomic(struct fb_tracking *) tracking;  // private: node/tracking.h
    _Atomic bool turn_claimed;               // private: node/turn.h
    struct {
        _Atomic uint32_t inside;
        char line[60];  // so that no two loops write to the same
    } turn_lanes[FB_NODE_TURN_LANES];
} fb_node;

// The configuration in force (NULL where there is none), kept as it is until the give. Hold it for
// a walk through the options and no longer: everybody else who asks waits.
const fb_config *fb_node_config_take(fb_node *node);
void fb_node_config_give(fb_node *node);
// Puts another in force; the one returned is nobody's any more but the caller's.
const fb_config *fb_node_config_swap(fb_node *node, const fb_config *config);
// For the list of sessions: short holds only.
void fb_node_sessions_lock(fb_node *node);
void fb_node_sessions_unlock(fb_node *node);

#ifdef __cplusplus
}
#endif

#endif
