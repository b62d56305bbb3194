// How far the logs are followed, in the table that readers outside see, and what that is worth.
//
// A log has a mark (how far it is applied) and a time until which it is believed to have nothing
// more. Every read asks whether all of it is coherent; so the smallest of those times stands by
// itself, where there is no shared tier at the end of time, and only readers that come after it
// look at their own partition. Nobody has to be there to notice that a proof has run out: the clock
// does.
//
// The mark of a log is three numbers that belong together. One thread writes them, and any may
// read: `turn` is odd meanwhile. A daemon that is killed in the middle leaves it odd; the next one
// then knows no mark of that log, and flushes its partition. Likewise where changes of its own were
// under way: nobody knows then whether memory or the log was first.
//
// To flush a partition is to raise the stamp of its slot (tags.c), which every entry and every load
// under way is judged by: it costs the same whatever there is. That asks for the captured sequence
// in every entry: where there are partitions, plain keys carry it, too.

#include "cache/coherent.h"

#include "base/check.h"
#include "base/rule.h"
#include "cache/shared.h"
#include "store/race.h"

static fb_outside_log *log_at(const fb_cache *cache, uint32_t log) {
    FB_ASSERT(log < FB_LOGS_MAX && log <= fb_cache_partitions(cache));
    return &cache->tags->table->logs[log];
}

// ---- making

static int64_t unproved(uint32_t partitions) {
    return partitions > 0 ? INT64_MIN : INT64_MAX;
}

void fb_coherent_begin(fb_outside_table *table, uint32_t partitions) {
    bool same = atomic_load(&table->partitions) == partitions;
    for (size_t i = 0; i <= partitions && partitions > 0; i++) {
        fb_outside_log *log = &table->logs[i];
        bool whole = same && atomic_load(&log->turn) % 2 == 0;
        atomic_store(&log->epoch, whole ? atomic_load(&log->epoch) : 0);
        atomic_store(&log->seq, whole ? atomic_load(&log->seq) : 0);
        atomic_store(&log->nonce, whole ? atomic_load(&log->nonce) : 0);
        atomic_store(&log->coherent_ns, INT64_MIN);
        atomic_store(&log->turn, 0);
    }
    atomic_store(&table->coherent_ns, unproved(partitions));
    atomic_store(&table->partitions, partitions);
}

// ---- partitions and marks

uint32_t fb_cache_partitions(const fb_cache *cache) {
    return cache->partitions;
}

uint32_t fb_cache_partition_of(const fb_cache *cache, fb_str key) {
    return cache->partitions > 0 ? fb_partition_of(key, cache->partitions) : 0;
}

void fb_cache_mark(const fb_cache *cache, uint32_t log, fb_mark *mark) {
    const fb_outside_log *at = log_at(cache, log);
    uint64_t turn = atomic_load(&at->turn);
    for (;;) {
        mark->epoch = atomic_load(&at->epoch);
        mark->seq = atomic_load(&at->seq);
        mark->nonce = atomic_load(&at->nonce);
        uint64_t now = atomic_load(&at->turn);
        if (now == turn && now % 2 == 0) {
            return;
        }
        turn = now;
        fb_race_pause();
    }
}

void fb_cache_set_mark(fb_cache *cache, uint32_t log, const fb_mark *mark) {
    fb_outside_log *at = log_at(cache, log);
    (void)atomic_fetch_add(&at->turn, 1);
    atomic_store(&at->epoch, mark->epoch);
    atomic_store(&at->seq, mark->seq);
    atomic_store(&at->nonce, mark->nonce);
    (void)atomic_fetch_add(&at->turn, 1);
}

void fb_cache_unsure(fb_cache *cache, uint32_t log, int delta) {
    (void)atomic_fetch_add(&log_at(cache, log)->unsure, (uint64_t)(int64_t)delta);
}

void fb_cache_forget_unsure(fb_cache *cache) {
    for (uint32_t log = 0; log <= cache->partitions; log++) {
        fb_mark unknown = {0};
        if (atomic_exchange(&log_at(cache, log)->unsure, 0) != 0 && FB_RULE(unsure)) {
            fb_cache_set_mark(cache, log, &unknown);
        }
    }
}

// ---- coherence

static int64_t until_of(const fb_cache *cache, uint32_t log) {
    return atomic_load_explicit(&log_at(cache, log)->coherent_ns, memory_order_relaxed);
}

static int64_t smallest(const fb_cache *cache) {
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i <= cache->partitions; i++) {
        int64_t until_ns = until_of(cache, i);
        least = until_ns < least ? until_ns : least;
    }
    return least;
}

void fb_cache_set_coherent(fb_cache *cache, uint32_t log, int64_t until_ns) {
    fb_outside_log *at = log_at(cache, log);
    if (cache->partitions == 0) {
        return;
    }
    _Atomic(int64_t) *all = &cache->tags->table->coherent_ns;
    int64_t before_ns = until_of(cache, log);
    atomic_store_explicit(&at->coherent_ns, until_ns, memory_order_relaxed);
    int64_t least_ns = atomic_load_explicit(all, memory_order_relaxed);
    if (before_ns <= least_ns || until_ns < least_ns) {
        atomic_store_explicit(all, smallest(cache), memory_order_relaxed);
    }
}

int64_t fb_cache_coherent_until(const fb_cache *cache) {
    return atomic_load_explicit(&cache->tags->table->coherent_ns, memory_order_relaxed);
}

bool fb_cache_is_coherent(const fb_cache *cache, fb_str key, int64_t now_ns) {
    if (fb_stamps_coherent(&cache->tags->outside, now_ns)) {
        return true;
    }
    return now_ns < until_of(cache, fb_cache_partition_of(cache, key)) &&
           now_ns < until_of(cache, cache->partitions);
}

uint32_t fb_cache_degraded(const fb_cache *cache, int64_t now_ns) {
    if (cache->partitions == 0 || fb_stamps_coherent(&cache->tags->outside, now_ns)) {
        return 0;
    }
    bool wide = now_ns < until_of(cache, cache->partitions);
    uint32_t degraded = 0;
    for (uint32_t i = 0; i < cache->partitions; i++) {
        degraded += !wide || now_ns >= until_of(cache, i);
    }
    return degraded;
}

// ---- flushing

void fb_cache_flush(fb_cache *cache, uint32_t log, int64_t now_ns) {
    FB_ASSERT(log <= cache->partitions);
    if (log < cache->partitions) {
        fb_tags_flush(cache->tags, log);
        fb_watchers_tell(&cache->watchers, FB_CHANGE_SOME, FB_STR(""));
        return;
    }
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    int result = fb_cache_invalidate(cache, &all, now_ns, NULL);
    FB_ASSERT(result == FB_OK);
}
