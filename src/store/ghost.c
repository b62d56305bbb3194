// Ghosts: 16 fingerprints of 32 bits to a line, a line to every 4 buckets, the newest first.

#include "store/ghost.h"

#include "store/bucket.h"

#include <string.h>

enum {
    BUCKETS_A_LINE = 4,
};

static uint32_t *line_at(const fb_store *store, const fb_shard *shard, uint64_t number) {
    return (uint32_t *)(void *)(store->base + shard->ghosts.offset + number * FB_LINE);
}

uint64_t fb_ghost_bytes(uint64_t buckets) {
    return buckets / BUCKETS_A_LINE * FB_LINE;
}

void fb_ghost_reset(fb_store *store, fb_shard *shard) {
    memset(line_at(store, shard, 0), 0, fb_ghost_bytes(FB_BUCKETS_MIN));
}

void fb_ghost_split(fb_store *store, fb_shard *shard) {
    uint64_t buckets = fb_shard_buckets(shard);
    uint64_t lines = buckets / BUCKETS_A_LINE;
    if (lines > (buckets - 1) / BUCKETS_A_LINE) {
        // Each half is half false, and ages out; nothing true is lost.
        uint64_t highest = UINT64_C(1) << (63 - __builtin_clzll(lines - 1));
        memcpy(line_at(store, shard, lines - 1), line_at(store, shard, (lines - 1) & ~highest),
               FB_LINE);
    }
}

static uint32_t fingerprint(uint64_t hash) {
    return (uint32_t)(hash >> 32) | 1U;
}

static uint32_t *line_of(const fb_store *store, const fb_shard *shard, uint64_t hash) {
    uint64_t lines = fb_shard_buckets(shard) / BUCKETS_A_LINE;
    return line_at(store, shard, fb_split_address(hash, lines));
}

void fb_ghost_add(fb_store *store, fb_shard *shard, uint64_t hash) {
    uint32_t *line = line_of(store, shard, hash);
    memmove(line + 1, line, (FB_GHOST_LINE - 1) * sizeof(*line));
    line[0] = fingerprint(hash);
}

bool fb_ghost_take(fb_store *store, fb_shard *shard, uint64_t hash) {
    uint32_t *line = line_of(store, shard, hash);
    for (unsigned i = 0; i < FB_GHOST_LINE; i++) {
        if (line[i] == fingerprint(hash)) {
            memmove(line + i, line + i + 1, (FB_GHOST_LINE - 1 - i) * sizeof(*line));
            line[FB_GHOST_LINE - 1] = 0;
            return true;
        }
    }
    return false;
}
