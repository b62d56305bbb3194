// redis/conn.h -- one connection to one Redis or Valkey server, on one event loop: RESP3, in
// pipelines.
//
// It connects as soon as it is made, says HELLO 3 (AUTH, SETNAME) and SELECT, and only then is up.
// Commands sent before wait for that. After a loss it connects again by itself with jittered
// back-off (50 ms doubling to 5 s): what had gone out is answered as unknown, what had not still
// waits. Everything has a deadline: connecting (a name's addresses are tried in turn within it),
// and each command. A command whose time is over is answered at once (within about a millisecond);
// its reply is passed over when it comes. Where such a reply is owed and the server has said
// nothing for `stall_ns`, the connection is given up: it hangs.
//
// Servers that refuse HELLO 3 (RESP2 only) are refused with a clear word. A wrong password, a wrong
// protocol (HTTP, TLS met by plain text and the other way round) are said as such. While the last
// attempt failed for such a reason (`fatal`), commands are not kept waiting: they are answered
// NOT_SENT soon.
//
// Replies come in the order of the commands. Confirmations of subscriptions are pushes: send these
// with fb_conn_subscribe(), from on_up, each time. A server that is loading its data is up;
// commands are answered with its LOADING errors.
//
// Memory: at most FB_CONN_WAITING_MAX commands and FB_CONN_UNSENT_MAX bytes of commands wait, and
// what the server has sent of one reply.
// Threads: its loop's only. Callbacks come on it, never from within a call of the same connection
// but close(); a callback may send, and may close the connection.

#ifndef FB_REDIS_CONN_H
#define FB_REDIS_CONN_H

#include "wire/redis_url.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct evdns_base;
typedef struct fb_conn fb_conn;

// ---- TLS: what all connections to a deployment have in common. Any number of threads.

typedef struct fb_redis_tls fb_redis_tls;

typedef struct fb_redis_tls_options {
    const char *ca_file;    // NULL: the system's
    const char *cert_file;  // with key_file: a client certificate
    const char *key_file;
    bool insecure;          // does not verify the server (tls.verify: false)
} fb_redis_tls_options;
// FB_OK. FB_EINVAL: a file cannot be read or is not what it should be; `error` says which and why.
// FB_ENOMEM.
FB_CHECK_RESULT int fb_redis_tls_new(const fb_redis_tls_options *options, fb_redis_tls **tls,
                                     fb_error *error);
// After the connections that were made with it. NULL is fine.
void fb_redis_tls_free(fb_redis_tls *tls);

// ---- a connection

typedef struct fb_conn_options {
    struct event_base *base;
    // Resolves host names without blocking; NULL: addresses alone will do. (It waits for addresses
    // of both kinds, for the second by its option "getaddrinfo-allow-skew" longer: 3 s unless set,
    // and that should be less than the connect timeout.) A lookup that is under way when the
    // connection is closed ends by itself on the loop, or after evdns_base_free() in two turns.
    struct evdns_base *dns;
    const char *host;        // or
    uint16_t port;
    const char *path;        // of a Unix socket
    const char *user, *password;  // NULL or "": none
    uint32_t db;
    const fb_redis_tls *tls;      // NULL: plain; not for Unix sockets
    const char *client_name;      // "forebay-<node>-<what for>"
    int64_t connect_timeout_ns;  // of one attempt, to HELLO's answer; 0: 5 s
    int64_t stall_ns;            // 0: 5 s
    uint64_t seed;  // of the jitter
} fb_conn_options;

typedef enum fb_conn_outcome {
    FB_CONN_REPLIED,   // `value` (an error reply of the server too: its type says so)
    FB_CONN_NOT_SENT,  // nothing of it went out
    FB_CONN_UNKNOWN    // it went out, and no answer came in time, or ever
} fb_conn_outcome;
// `value` is NULL, and `why` one sentence, unless REPLIED; both are good during the call.
typedef void (*fb_conn_reply_fn)(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                                 const char *why);

typedef struct fb_conn_events {
    void (*on_up)(void *arg);  // HELLO is answered
    // Lost, or not got; it tries again unless closed. `why` is one sentence. `fatal`: trying again
    // will hardly help (wrong password, wrong protocol); it does all the same, slowly.
    void (*on_down)(void *arg, const char *why, bool fatal);
    void (*on_push)(void *arg, const fb_resp_value *push);  // may be NULL
    void *arg;
} fb_conn_events;

// FB_OK (it begins to connect), FB_ENOMEM. Of `options` base, dns and tls must outlive it; the rest
// is copied.
FB_CHECK_RESULT int fb_conn_new(const fb_conn_options *options, const fb_conn_events *events,
                                fb_conn **conn);
// Commands without an answer are answered (NOT_SENT or UNKNOWN) within; no event comes any more.
// NULL is fine.
void fb_conn_close(fb_conn *conn);

enum { FB_CONN_WAITING_MAX = 100000, FB_CONN_UNSENT_MAX = 64 * 1024 * 1024 };
// `command` is encoded RESP, of `command_count` commands (each is one reply; `fn` gets the last
// one's unless one before failed, then that), copied. deadline_ns: of the clock of os/clock.h.
// FB_OK: exactly one call of `fn`, later. Without one: FB_EOVERLOAD: too much is waiting (a single
// command beyond FB_CONN_UNSENT_MAX goes when nothing else waits to be sent); FB_ENOMEM;
// FB_ECLOSED: it is being closed.
FB_CHECK_RESULT int fb_conn_send(fb_conn *conn, fb_str command, uint32_t command_count,
                                 int64_t deadline_ns, fb_conn_reply_fn fn, void *arg);
// The same for one SUBSCRIBE, SSUBSCRIBE or PSUBSCRIBE of one channel, whose confirmation is a
// push: `fn` gets that (on_push does not), or the error.
FB_CHECK_RESULT int fb_conn_subscribe(fb_conn *conn, fb_str command, int64_t deadline_ns,
                                      fb_conn_reply_fn fn, void *arg);
bool fb_conn_is_up(const fb_conn *conn);
// Commands that wait for an answer.
size_t fb_conn_waiting(const fb_conn *conn);
// "127.0.0.1:6379", "[::1]:6379", "unix:/run/redis.sock".
const char *fb_conn_name(const fb_conn *conn);
// What HELLO said: "7.0.15", "redis" or "valkey", "standalone|sentinel|cluster", "master|replica";
// empty before it is up.
typedef struct fb_conn_server {
    char version[32], software[16], mode[16], role[16];
} fb_conn_server;
const fb_conn_server *fb_conn_server_of(const fb_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
