// forebay/client.h -- a cache client for application processes: reads come straight from the
// daemon's memory tier where it shares that (forebay/reader.h), everything else goes to the daemon
// over its socket; without a daemon each process has a small cache of its own. The Python and
// Node.js clients are made of this.
//
// Threads: any, at the same time; each request under way has a connection of its own, kept for the
// next one. fork(): the child goes on with connections of its own.
//
// Without a daemon (not there, hung past the time-out, connection refused): one warning for each
// outage, then all calls on keys work on private memory, bounded in bytes and in time; fetch() and
// invalidate() fail with FB_EIO. What was written meanwhile is owed to the daemon: when it is back
// those keys are deleted there first, before anything of it is read again, and the private cache is
// emptied. So this process never reads an older value of a key than the last it wrote. One caller
// at a time tries whether the daemon is back; the others do not wait, but for writes while those
// keys are being deleted. FB_EOVERLOAD of a write: more than 65,536 keys or 4 MiB of them are owed.
//
// Values that GET brings say nothing of their age and lifetime: age_ms and ttl_ms are 0. What is
// read from the region goes by a clock that may be 10 ms behind in these two; whether it is still
// fresh does not.

#ifndef FOREBAY_CLIENT_H
#define FOREBAY_CLIENT_H

#include <forebay/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_client fb_client;

typedef struct fb_client_options {
    // "unix:/run/forebay.sock", "127.0.0.1:6380", "[::1]:6380",
    // "forebay://[user:password@]host:port", the same with "redis://",
    // "unix://user:password@/path"; empty: $FOREBAY_URL, else 127.0.0.1:6380, and where that has no
    // user or password, $FOREBAY_USER and $FOREBAY_PASSWORD.
    fb_str url;
    int64_t timeout_ms;        // of connecting, and of one request beside the time that a fetch
                               // itself may take; 0: 1000
    int64_t retry_ms;          // how long after a failure the daemon is tried again; 0: 500
    uint64_t private_bytes;    // memory of the private cache; 0: 16 MiB
    int64_t private_ttl_ms;    // longest life there; 0: 60,000
    bool no_region;            // always ask over the socket
    bool any_owner;            // as in fb_reader_options
    // One event ("daemon_away", "daemon_back", "region_refused") with a sentence; once for each
    // change, from the thread that noticed it, which holds no lock. NULL: warnings go to the hook
    // of fb_hooks_set(). A region that is not there, or is another daemon's, is no event.
    void (*warn)(void *arg, const char *event, const char *text);
    void *warn_arg;
} fb_client_options;

// Connects at the first request. `options` may be NULL. FB_OK; FB_EINVAL: no such form of address;
// FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_client_open(const fb_client_options *options, fb_client **client,
                                          fb_error *error);
// No other call may be under way. NULL is fine.
FB_API void fb_client_close(fb_client *client);

// Memory alone: no system call, no waiting. As fb_reader_get(); FB_MISS: call fb_client_get().
FB_API FB_CHECK_RESULT int fb_client_peek(fb_client *client, fb_str key, void *bytes, size_t room,
                                          fb_value *value);
// FB_OK: release the value. FB_MISS. < 0 with `error` (which may be NULL): what the daemon said;
// FB_EDENIED: it does not let us in; FB_ETOOBIG: the key; FB_ENOMEM. So all that follow.
FB_API FB_CHECK_RESULT int fb_client_get(fb_client *client, fb_str key, fb_value *value,
                                         fb_error *error);
// One round trip for all that are not in the region. FB_OK: results[i] is FB_OK (release values[i])
// or FB_MISS. After an error there is nothing to release.
FB_API FB_CHECK_RESULT int fb_client_get_many(fb_client *client, const fb_str *keys, size_t count,
                                              fb_value *values, int *results, fb_error *error);
// ttl_ms 0: as the daemon has it for that key; else from 1.
FB_API FB_CHECK_RESULT int fb_client_set(fb_client *client, fb_str key, fb_str value,
                                         int64_t ttl_ms, fb_error *error);
// Only if the key is not there: FB_OK, or FB_REFUSED.
FB_API FB_CHECK_RESULT int fb_client_add(fb_client *client, fb_str key, fb_str value,
                                         int64_t ttl_ms, fb_error *error);
// FB_OK: it was there. FB_MISS.
FB_API FB_CHECK_RESULT int fb_client_del(fb_client *client, fb_str key, fb_error *error);
FB_API FB_CHECK_RESULT int fb_client_exists(fb_client *client, fb_str key, fb_error *error);
FB_API FB_CHECK_RESULT int fb_client_incr(fb_client *client, fb_str key, int64_t delta,
                                          int64_t *result, fb_error *error);
FB_API FB_CHECK_RESULT int fb_client_expire(fb_client *client, fb_str key, int64_t ttl_ms,
                                            fb_error *error);
// FB_OK with the time left (-1: never expires), or FB_MISS.
FB_API FB_CHECK_RESULT int fb_client_ttl(fb_client *client, fb_str key, int64_t *ttl_ms,
                                         fb_error *error);

typedef struct fb_client_request {
    fb_str class_name;
    const fb_param *params;
    size_t param_count;
    int64_t timeout_ms;  // 0: the class's, but no longer than 30 s
    bool refresh;        // load anew
} fb_client_request;
// Memory alone, where this class and these parameters were fetched before: as fb_client_peek().
FB_API FB_CHECK_RESULT int fb_client_peek_fetch(fb_client *client, const fb_client_request *request,
                                                void *bytes, size_t room, fb_value *value);
// FB_OK: release the value. FB_NEGATIVE: there is no such thing. < 0: as fb_fetch().
FB_API FB_CHECK_RESULT int fb_client_fetch(fb_client *client, const fb_client_request *request,
                                           fb_value *value, fb_error *error);

// FB_EIO where there is no daemon: then nothing was invalidated but the private cache, all of it.
FB_API FB_CHECK_RESULT int fb_client_invalidate(fb_client *client,
                                                const fb_invalidation *what, fb_error *error);
typedef struct fb_client_figures {
    uint64_t region_hits;   // answered from the region; a few less with more than 16 threads
    uint64_t requests;      // sent to the daemon, repetitions included
    uint64_t failures;      // times the daemon was found not to answer
    uint64_t private_hits;  // answered from private memory
    bool daemon_there;      // it answered last; false before the first request
    bool region_there;      // there is one, with a living daemon behind it
} fb_client_figures;
FB_API void fb_client_figures_read(fb_client *client, fb_client_figures *figures);

#ifdef __cplusplus
}
#endif

#endif
