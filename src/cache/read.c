// Reading: find the item, judge it, show it. Nothing is allocated, and nothing shared is written
// but what the store itself writes; only a read that finds nothing leaves a note of why.
//
// The store calls back without a lock and perhaps with bytes that are being overwritten; it then
// calls again, and the last call counts. So each call judges from scratch, and copes with any
// bytes.
//
// Of those whom the lot makes refresh early (entry.c) the budget is asked last, since it sums
// counters.

#include "base/check.h"
#include "base/glob.h"
#include "base/rule.h"
#include "base/units.h"
#include "cache/shared.h"
#include "store/look.h"

typedef struct look {
    const fb_cache *cache;
    const fb_view *view;
    int64_t now_ns;
    fb_rng *rng;
    fb_value_fn fn;
    void *arg;
    fb_found *found;
    fb_miss_reason why;
    uint64_t unread;  // the version of an entry that an early refresh brought and nobody has read
} look;

static bool within_budget(const fb_cache *cache, const fb_class *class_) {
    uint64_t loads = fb_figures_sum(cache->figures, class_->id, FB_COUNTER_loads);
    uint64_t early = fb_figures_sum(cache->figures, class_->id, FB_COUNTER_early_refreshes);
    uint64_t ordinary = loads > early ? loads - early : 0;
    return (double)(early + 1) <= class_->options.early_budget * (double)ordinary;
}

static bool is_early(const look *job, const fb_entry *entry, int64_t fresh_until_ns) {
    const fb_class *class_ = job->rng != NULL ? fb_view_class(job->view, entry->class_id) : NULL;
    return class_ != NULL &&
           fb_entry_is_early(entry, class_->options.early_beta, fresh_until_ns, job->now_ns,
                             job->rng) &&
           within_budget(job->cache, class_);
}

// ---- where the shared tier is not followed: what the class says its entries are worth

static bool is_older(const fb_entry *entry, int64_t age_ns, int64_t now_ns) {
    return now_ns / FB_NS_PER_MS - entry->born_ms >= age_ns / FB_NS_PER_MS;
}

// As if it had gone, but for what may still be served if the source fails.
static void degrade(const look *job, const fb_entry *entry, fb_judged *judged) {
    const fb_class *class_ = fb_view_class(job->view, entry->class_id);
    const fb_class_options *options = &class_->options;
    bool counts = class_->id == FB_CLASS_PLAIN || options->degraded == FB_DEGRADED_SERVE ||
                  (options->degraded == FB_DEGRADED_CAP_TTL &&
                   !is_older(entry, options->degraded_ttl_ns, job->now_ns));
    if (counts) {
        return;
    }
    bool fallback = options->degraded == FB_DEGRADED_CAP_TTL && options->fallback_ttl_ns > 0 &&
                    fb_entry_has_grace(entry);
    judged->find = fallback ? FB_FIND_FALLBACK : FB_FIND_NOTHING;
    judged->why = FB_MISS_UNKNOWN;
}

// Unpacks and judges for a reader; false: there is nothing for him.
static bool judge(const look *job, const fb_item *item, fb_entry *entry, fb_judged *judged) {
    const fb_cache *cache = job->cache;
    bool there = fb_cache_judge(cache, job->view, item, job->now_ns, entry, judged);
    if (there && !fb_stamps_coherent(&cache->tags->outside, job->now_ns) && FB_RULE(degraded) &&
        !fb_cache_is_coherent(cache, item->key, job->now_ns)) {
        degrade(job, entry, judged);
    }
    return judged->find != FB_FIND_NOTHING;
}

static void see(void *arg, const fb_item *item) {
    look *job = arg;
    fb_entry entry;
    fb_judged judged;
    *job->found = (fb_found){.find = FB_FIND_NOTHING};
    bool there = judge(job, item, &entry, &judged);
    job->why = judged.why;
    job->unread = there && (entry.flags & FB_ENTRY_UNREAD) != 0 ? item->version : 0;
    if (!there) {
        return;
    }
    fb_found *found = job->found;
    found->find = judged.find;
    if (judged.find == FB_FIND_FRESH && is_early(job, &entry, judged.fresh_until_ns)) {
        found->find = FB_FIND_EARLY;
    }
    found->negative = (entry.flags & FB_ENTRY_NEGATIVE) != 0;
    found->fresh_until_ns = judged.fresh_until_ns;
    found->stale_until_ns = judged.stale_until_ns;
    found->dead_at_ns = judged.dead_ns;
    found->cost_us = entry.cost_us;
    found->class_id = entry.class_id;
    fb_entry_show(item, &entry, &judged, job->now_ns, &found->value);
    if (job->fn != NULL && !found->negative && found->find != FB_FIND_HIT_FOR_MISS) {
        job->fn(job->arg, &found->value);
    }
    found->value.data = (fb_str){NULL, 0};
    found->value.content_type = (fb_str){NULL, 0};
}

static int mark_read(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    const uint64_t *version = arg;
    if (item != NULL && item->version == *version) {
        next->flags = item->flags & (uint8_t)~FB_ENTRY_UNREAD;
        *action = FB_STORE_META;
    }
    return FB_OK;
}

// There is no item, whatever was seen of one that went while it was looked at.
static void forget(look *job) {
    *job->found = (fb_found){.find = FB_FIND_NOTHING};
    job->why = FB_MISS_UNKNOWN;
    job->unread = 0;
}

// What a read leaves behind: why it missed, or that somebody has read what a refresh brought.
static void finish(fb_cache *cache, fb_str key, const look *job) {
    fb_find find = job->found->find;
    if (find == FB_FIND_NOTHING || find == FB_FIND_FALLBACK) {
        if (job->why != FB_MISS_UNKNOWN) {
            fb_misses_gone(cache->misses, key, job->why);
        }
        atomic_store_explicit(&cache->seen_ns, job->now_ns, memory_order_relaxed);
    } else if (job->unread != 0) {
        uint64_t unread = job->unread;
        int marked = fb_store_edit(cache->store, key, job->now_ns, mark_read, &unread);
        (void)marked;  // it may have gone: then there is nothing to mark
    }
}

fb_find fb_cache_read(fb_cache *cache, fb_str key, int64_t now_ns, fb_rng *rng, fb_value_fn fn,
                      void *arg, fb_found *found) {
    look job = {.cache = cache,
                .view = fb_cache_view(cache),
                .now_ns = now_ns,
                .rng = rng,
                .fn = fn,
                .arg = arg,
                .found = found};
    if (fb_store_get(cache->store, key, now_ns, see, &job) != FB_OK) {
        forget(&job);
    }
    finish(cache, key, &job);
    return found->find;
}

void fb_cache_read_many(fb_cache *cache, const fb_str *keys, size_t key_count, int64_t now_ns,
                        fb_value_fn fn, void *const *args, fb_found *found) {
    FB_ASSERT(key_count <= FB_CACHE_MANY_MAX);
    look jobs[FB_CACHE_MANY_MAX];
    void *places[FB_CACHE_MANY_MAX] = {NULL};
    int results[FB_CACHE_MANY_MAX];
    const fb_view *view = fb_cache_view(cache);
    for (size_t i = 0; i < key_count; i++) {
        jobs[i] = (look){.cache = cache,
                         .view = view,
                         .now_ns = now_ns,
                         .fn = fn,
                         .arg = args[i],
                         .found = &found[i]};
        places[i] = &jobs[i];
    }
    fb_store_get_many(cache->store, keys, key_count, now_ns, see, places, results);
    for (size_t i = 0; i < key_count; i++) {
        if (results[i] != FB_OK) {
            forget(&jobs[i]);
        }
        finish(cache, keys[i], &jobs[i]);
    }
}

fb_find fb_cache_peek(fb_cache *cache, fb_str key, int64_t now_ns, fb_found *found) {
    look job = {.cache = cache, .view = fb_cache_view(cache), .now_ns = now_ns, .found = found};
    if (fb_store_peek(cache->store, key, now_ns, see, &job) != FB_OK) {
        forget(&job);
    }
    return found->find;
}

static fb_find look_at(fb_cache *cache, fb_str key, int64_t now_ns, fb_found *found) {
    look job = {.cache = cache, .view = fb_cache_view(cache), .now_ns = now_ns, .found = found};
    if (fb_store_look(cache->store, key, now_ns, see, &job) != FB_OK) {
        forget(&job);
    }
    return found->find;
}

// A watcher has a lock of its own, which whoever evicts something may be waiting for with a lock of the
// store in his hands: so a watcher that asks does not wait for that one.
void fb_cache_key_state(fb_cache *cache, fb_str key, int64_t now_ns, fb_key_state *state) {
    fb_found found;
    fb_find find = fb_watchers_are_called() ? look_at(cache, key, now_ns, &found)
                                            : fb_cache_peek(cache, key, now_ns, &found);
    bool fresh = find == FB_FIND_FRESH || find == FB_FIND_EARLY;
    *state = (fb_key_state){.found = (fresh || find == FB_FIND_STALE) && !found.negative,
                            .fresh = fresh};
    if (state->found) {
        state->version = found.value.version;
        state->until_ns = found.stale_until_ns;
    }
}

// ---- the key space

typedef struct visit {
    const fb_cache *cache;
    const fb_view *view;
    int64_t now_ns;
    fb_str match;
    fb_key_fn fn;
    void *arg;
} visit;

static void visit_item(void *arg, const fb_item *item) {
    const visit *job = arg;
    fb_entry entry;
    fb_judged judged;
    if ((job->match.len == 0 || fb_glob_match(job->match, item->key)) &&
        fb_cache_judge(job->cache, job->view, item, job->now_ns, &entry, &judged) &&
        (judged.find == FB_FIND_FRESH || judged.find == FB_FIND_STALE) &&
        (entry.flags & FB_ENTRY_NEGATIVE) == 0) {
        job->fn(job->arg, item->key);
    }
}

uint64_t fb_cache_scan(fb_cache *cache, uint64_t cursor, uint64_t count, fb_str match,
                       int64_t now_ns, fb_key_fn fn, void *arg) {
    visit job = {cache, fb_cache_view(cache), now_ns, match, fn, arg};
    return fb_store_scan(cache->store, cursor, count, now_ns, visit_item, &job);
}
