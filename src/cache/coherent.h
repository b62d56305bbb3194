// cache/coherent.h -- how far this node has followed the logs of the shared tier, and until when
// that is to be believed.
//
// In the shared tier every key belongs to one of P partitions, by the hash of its hash tag. Every change of a key is
// a record in the log of its partition, and what concerns many keys (tags, classes, patterns …) a
// record in one more log, the wide one, number P. A log is named by an epoch (random, never 0) and
// counts its records from 1; each record has a nonce (random, never 0), so that two histories of one
// epoch that parted are told from each other.
//
// A partition is COHERENT at a moment if, no longer ago than `max_lag`, nothing was in its log, nor
// in the wide one, that this node had not applied. Else it is DEGRADED, and each class says what its
// entries are worth then.
//
// All of this lies in the table that readers outside see (cache/outside.h), and is found there again
// by a daemon that goes on with its region. Threads: one writes (the follower, sync/follow.h), any
// read. Memory: none of its own.

#ifndef FB_CACHE_COHERENT_H
#define FB_CACHE_COHERENT_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_PARTITIONS_MAX = 256, FB_LOGS_MAX = FB_PARTITIONS_MAX + 1 };

// A place in a log: behind its record `seq`, whose nonce is `nonce` (0 and 0: before the first).
typedef struct fb_mark {
    uint64_t epoch;  // 0: not known
    uint64_t seq;
    uint64_t nonce;
} fb_mark;

// What a class's entries are worth in a degraded partition (option `degraded`).
typedef enum fb_degraded {
    FB_DEGRADED_SERVE,    // as ever
    FB_DEGRADED_CAP_TTL,  // no older than `degraded_ttl`
    FB_DEGRADED_BYPASS    // nothing: the source is asked
} fb_degraded;

// The partition of a key: the same on every node, whatever its seeds, and the same for all keys with one
// hash tag (fb_str_hash_tag()). `partitions` >= 1.
uint32_t fb_partition_of(fb_str key, uint32_t partitions);

#ifdef __cplusplus
}
#endif

#endif
