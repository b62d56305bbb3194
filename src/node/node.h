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

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_node {
    fb_engine *engine;
    // CONFIG GET and the page: the configuration in force; may be NULL. While sessions and requests
    // run it is read and swapped only through fb_node_config_*.
    const fb_config *config;
    const char *http_prefix;         // "/codette": the monitoring routes are there as well; or ""
    const char *resp_address;        // for INFO and messages; may be ""
    const char *http_address;
    const char *socket_path;         // of the Unix socket, absolute; NULL: none
    int64_t (*wall_us)(void);        // Unix time in microseconds: TIME, EXPIREAT, time stamps
    // Asked for by a client (SHUTDOWN is not offered); NULL: not available.
    int (*reload)(void *arg, fb_error *error);
    void *reload_arg;
    uint32_t connections_max;
    char run_id[41];                 // 40 hex digits
    uint32_t process_id;             // for INFO; 0: not said
    // Live figures.
    _Atomic uint64_t connections, connections_total, connections_refused;
    _Atomic uint64_t commands, http_requests;
    _Atomic uint64_t bytes_in, bytes_out;
    _Atomic uint64_t next_client_id;
    _Atomic bool draining;           // a stop is under way: readyz says no
    struct fb_session *sessions;     // private: what CLIENT LIST walks, under its lock
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
