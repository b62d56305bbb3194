// redis/remote.h -- sync/port.h over Redis or Valkey 7 and later: scripts, values' bytes, the
// channel.
//
// Keys, for a namespace "forebay" and partition 17:
//   forebay:{forebay.17}:v:KEY   a value (redis/envelope.h), with its TTL
//   forebay:{forebay.17}:l:KEY   a lease: its token
//   forebay:{forebay.17}:f:KEY   a fence: a source version
//   forebay:{forebay.17}:h:KEY   a hold
//   forebay:{forebay.17}:c       hash: e (epoch), s (sequence), n (nonce)
//   forebay:{forebay.17}:log     stream: the newest records, id <sequence>-0, capped
//   forebay:{forebay.w}:…        the wide log: c, log; stamps (hash), nodes (sorted set)
//   forebay:dict:CLASS           compression dictionaries of a class (redis/dictionary.h)
// and the channel forebay:records (PUBLISH; in a Cluster it goes to every server). With `layout:
// plain` a value stands under KEY itself, as its bytes alone; its lease, fence and hold under
// forebay:l:{KEY} and so on, or forebay:l:{PART}:KEY where the key has a {PART} of its own.
//
// Every verb of the port but SWEEP and ACK (a PUBLISH) is one script (lua/), which touches one
// slot, sent by EVALSHA; a server that does not know it (NOSCRIPT: it has done nothing) gets its
// text.
//
// Commands: a hit in memory 0; a miss 2 (GET, FILL); a value that another node loaded 1; SET, DROP,
// EXPIRE, ADD, BUMP 1; STATE 1 (in a Cluster one for each log). With `layout: plain` the key and
// its log lie in two slots: what reads asks for the mark first, what changes appends its record
// last: 2 each. Between the two steps of a change others see the value and not yet the record. If
// the second one is not answered, the outcome is UNKNOWN.
//
// While a Cluster moves a partition's slot, no server does a script of several keys (TRYAGAIN): until
// that is over, its keys are FAILED, and nothing is done by halves.
//
// Plain values have no stamps: their version is made from their bytes, `wide` is the one of the
// question, `age_ns` is 0, an epoch does not void them, "known not to exist" is not stored. In a
// Cluster a key whose slot cannot be had by another key (`}` without a `{` before it, or `{}`) is
// refused. Whoever writes plain keys past forebay is heard of (on_bypass), each node's own stores
// excepted; the server's FLUSHALL, too; and any key counts as written where the connection was lost
// meanwhile.
//
// One fb_redis for a node, one fb_remote for each loop; the first (`follows`) also subscribes.

#ifndef FB_REDIS_REMOTE_H
#define FB_REDIS_REMOTE_H

#include "redis/route.h"
#include "sync/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_redis fb_redis;    // what loops share: settings, TLS, dictionaries
typedef struct fb_remote fb_remote;  // one loop's

typedef struct fb_redis_options {  // copied
    fb_redis_url url;
    fb_redis_tls_options tls;
    fb_cluster_choice cluster;
    const char *name_space;  // "forebay"; 1 to 200 bytes; no {}, no character of a pattern
    uint32_t partitions;
    uint32_t pool;           // 10
    uint32_t log_max;        // records a log keeps, about; 10,000
    int64_t connect_timeout_ns;
    uint64_t node;
    uint64_t seed;
} fb_redis_options;
// FB_OK; FB_EINVAL (namespace, partitions, TLS files), FB_ENOMEM.
FB_CHECK_RESULT int fb_redis_new(const fb_redis_options *options, fb_redis **redis,
                                 fb_error *error);
void fb_redis_free(fb_redis *redis);  // after all its remotes

// For each class: from which size its values are compressed (0: never), and whether its layout is
// plain. Says the prefixes that tracking is to watch. Replaces what was said before.
typedef struct fb_redis_class {
    fb_str name;
    uint64_t compress_above;
    bool plain;
    fb_str prefix;  // plain: what its keys begin with
} fb_redis_class;
// FB_OK, FB_ENOMEM. Any thread.
FB_CHECK_RESULT int fb_redis_classes(fb_redis *redis, const fb_redis_class *classes, size_t count);

// `follows`: at most one of a fb_redis. Callbacks on `base`'s thread, where all calls but
// fb_redis_* belong. FB_OK, FB_ENOMEM, FB_EIO.
FB_CHECK_RESULT int fb_remote_new(fb_redis *redis, struct event_base *base, bool follows,
                                  const fb_sync_events *events, fb_remote **remote);
// Answers what waits, with UNKNOWN or FAILED, within. NULL is fine.
void fb_remote_free(fb_remote *remote);
fb_sync_port *fb_remote_port(fb_remote *remote);
void fb_remote_open(fb_remote *remote);  // connects (lazily, at first use, otherwise)

// What the server is unfit for, found at connect: version, eviction policy, a replica, memory … One
// sentence each, empty: nothing. Any thread.
enum { FB_REDIS_UNFIT_MAX = 4 };
typedef struct fb_redis_status {
    bool up;
    char address[256];  // without password
    char server[96];    // "redis 7.0.15, cluster of 3"
    char why[192];
    char unfit[FB_REDIS_UNFIT_MAX][192];
    uint32_t unfit_count;
    uint64_t commands;  // sent to it, of all loops
} fb_redis_status;
void fb_redis_status_read(fb_redis *redis, fb_redis_status *status);

#ifdef __cplusplus
}
#endif

#endif
