// Ghosts: lines of 32 fingerprints, the newest first; a line to every 6 buckets, which is 32 ghosts
// to 30 items at most. A line is filled only as far as makes the shard remember as many as it
// holds: a longer memory takes what comes back after too long a time for a thing that is in demand.
//
// 14 bits and 32 to a line: one new key in 500 is taken for one that was there. 30 bits and 16 to a
// line took twice the memory, and lost what happened to crowd a line.

#include "store/ghost.h"

#include "store/bucket.h"
#include "store/tune.h"

#include <string.h>

enum {
    BUCKETS_A_LINE = 6,
    DEPTH_MIN = 2,
    SOON = 8,  // one in so many is one that left not long ago
    KIND_BITS = 2,
};

static uint16_t *line_at(const fb_store *store, const fb_shard *shard, uint64_t number) {
    return (uint16_t *)(void *)(store->base + shard->ghosts.offset + number * FB_LINE);
}

static uint64_t lines_for(uint64_t buckets) {
    return buckets / BUCKETS_A_LINE;
}

uint64_t fb_ghost_bytes(uint64_t buckets) {
    return lines_for(buckets) * FB_LINE;
}

void fb_ghost_reset(fb_store *store, fb_shard *shard) {
    memset(line_at(store, shard, 0), 0, fb_ghost_bytes(FB_BUCKETS_MIN));
    fb_tune_reset(&shard->tuning);
}

void fb_ghost_split(fb_store *store, fb_shard *shard) {
    uint64_t lines = lines_for(fb_shard_buckets(shard));
    if (lines > lines_for(fb_shard_buckets(shard) - 1)) {
        // Each half is half false, and ages out; nothing true is lost.
        uint64_t highest = UINT64_C(1) << (63 - __builtin_clzll(lines - 1));
        memcpy(line_at(store, shard, lines - 1), line_at(store, shard, (lines - 1) & ~highest),
               FB_LINE);
    }
}

// Never 0, which is an empty place.
static uint16_t fingerprint(uint64_t hash) {
    uint16_t print = (uint16_t)((hash >> 32 & UINT16_MAX) >> KIND_BITS << KIND_BITS);
    return print != 0 ? print : 1 << KIND_BITS;
}

static uint16_t *line_of(const fb_store *store, const fb_shard *shard, uint64_t hash) {
    return line_at(store, shard, fb_split_address(hash, lines_for(fb_shard_buckets(shard))));
}

static unsigned depth_of(const fb_shard *shard) {
    uint64_t lines = lines_for(fb_shard_buckets(shard));
    uint64_t depth = (shard->items + lines - 1) / lines;
    return depth < DEPTH_MIN ? DEPTH_MIN : depth > FB_GHOST_LINE ? FB_GHOST_LINE : (unsigned)depth;
}

// Where it is in the line; FB_GHOST_LINE: nowhere.
static unsigned place_in(const uint16_t *line, uint64_t hash) {
    uint16_t print = fingerprint(hash);
    unsigned place = 0;
    while (place < FB_GHOST_LINE && line[place] >> KIND_BITS << KIND_BITS != print) {
        place++;
    }
    return place;
}

fb_ghost_kind fb_ghost_add(fb_store *store, fb_shard *shard, uint64_t hash, fb_ghost_kind kind) {
    uint16_t *line = line_of(store, shard, hash);
    unsigned depth = depth_of(shard);
    unsigned place = place_in(line, hash);
    if (place < FB_GHOST_LINE && kind == FB_GHOST_FRESH) {
        kind = (fb_ghost_kind)(line[place] & ((1 << KIND_BITS) - 1)) == FB_GHOST_DENIED
                   ? FB_GHOST_DENIED
                   : FB_GHOST_FRESH;
    }
    place = place < depth ? place : depth - 1;
    memmove(line + 1, line, place * sizeof(*line));
    memset(line + depth, 0, (FB_GHOST_LINE - depth) * sizeof(*line));
    line[0] = (uint16_t)(fingerprint(hash) | kind);
    return kind;
}

bool fb_ghost_take(fb_store *store, fb_shard *shard, uint64_t hash, fb_ghost_kind *kind,
                   bool *soon) {
    uint16_t *line = line_of(store, shard, hash);
    unsigned place = place_in(line, hash);
    if (place == FB_GHOST_LINE) {
        return false;
    }
    *kind = (fb_ghost_kind)(line[place] & ((1 << KIND_BITS) - 1));
    *soon = place * SOON < depth_of(shard);
    memmove(line + place, line + place + 1, (FB_GHOST_LINE - 1 - place) * sizeof(*line));
    line[FB_GHOST_LINE - 1] = 0;
    return true;
}
