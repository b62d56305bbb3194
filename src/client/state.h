// client/state.h -- the inside of a client.

#ifndef FB_CLIENT_STATE_H
#define FB_CLIENT_STATE_H

#include <forebay/client.h>
#include <forebay/reader.h>

#include <stdatomic.h>

#include "base/list.h"
#include "client/address.h"
#include "client/caller.h"
#include "client/memo.h"
#include "client/owed.h"
#include "client/private.h"

#ifdef __cplusplus
extern "C" {
#endif

// Twice the size of a line of the processor's cache, so that no two share one.
typedef struct fb_tally_stripe {
    _Atomic uint64_t region_hits, requests, failures, private_hits;
    uint64_t apart[12];
} fb_tally_stripe;

// A connection. `list` holds all there are; `idle` those that nobody uses just now.
typedef struct fb_conn fb_conn;

// A region that was left for another one; somebody may still be reading it.
typedef struct fb_left {
    struct fb_left *next;
    fb_reader *reader;
    char *file;
} fb_left;

struct fb_client {
    // What every peek looks at.
    _Atomic(fb_reader *) reader;  // NULL: no region
    atomic_bool owing;                         // then the region is not read
    fb_tally_stripe stripes[FB_CALLER_STRIPES];

    fb_address address;
    int64_t timeout_ms, retry_ms;
    bool no_region, any_owner;
    void (*warn)(void *arg, const char *event, const char *text);
    void *warn_arg;
    fb_memo memo;

    // The rest under this lock, which is never held while a socket or a caller's code runs.
    fb_forked forked;
    fb_list conns, idle;
    // Away: the daemon is not asked before retry_ns, and then by one caller alone (`trying`).
    // Whoever asks meanwhile has the private cache. Nothing is private or owed while not away.
    // `paying`: that one is deleting what is owed.
    bool away, trying, paying, warned, refused_warned;
    bool met;  // there was a connection
    int64_t retry_ns;
    fb_private own;
    bool own_is_parents;  // since a fork(); then it is made anew
    fb_owed owed;
    int *lingering;  // sockets that writes without an answer went to
    size_t lingering_count;
    char *region_file;  // of `reader`
    fb_left *left;
};

static inline fb_tally_stripe *fb_client_stripe(fb_client *client) {
    return &client->stripes[fb_caller_self()->stripe % FB_CALLER_STRIPES];
}
static inline void fb_client_count(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#ifdef __cplusplus
}
#endif

#endif
