// Leases of callers that load for themselves (cache-aside), and the public calls.
//
// A lease on this node is a ticket of the cache (fb_cache_begin()): what dooms a load dooms it, and
// storing under it is refused then. Where there is a shared tier leases are its own, and nothing is
// kept here.
//
// Of a key there is one lease at a time; a new one can be had when it is over, doomed or used. The
// table is bounded: where it is full, the lease that ends first makes room, as if it had been lost.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

enum { LEASES_MAX = 65536 };
static const int64_t LEASE_MS = 10000;

typedef struct lease {
    fb_heap_node end;  // key: when it ends
    uint64_t token;
    fb_ticket *ticket;
    fb_str key;
    char bytes[];
} lease;

struct fb_leases {
    pthread_mutex_t lock;
    fb_cache *cache;
    fb_map by_key;
    fb_heap by_end;
    fb_rng rng;
};

// ---- the table, under its lock

static void drop(fb_leases *leases, lease *one) {
    (void)fb_map_remove(&leases->by_key, one->key);
    fb_heap_remove(&leases->by_end, &one->end);
    fb_cache_end(leases->cache, one->ticket);
    fb_mem_free(one);
}

static void drop_ended(fb_leases *leases, int64_t now_ns) {
    fb_heap_node *first;
    while ((first = fb_heap_first(&leases->by_end)) != NULL &&
           (first->key <= now_ns || leases->by_end.count >= LEASES_MAX)) {
        drop(leases, FB_LIST_OF(first, lease, end));
    }
}

static lease *find(fb_leases *leases, fb_str key) {
    return fb_map_get(&leases->by_key, key);
}

static int add(fb_leases *leases, fb_str key, int64_t lease_ns, uint64_t *token) {
    int64_t now_ns = fb_clock_now_ns();
    const fb_class *class_ = fb_catalog_of_key(fb_cache_catalog(leases->cache), key);
    lease *one = fb_mem_zero(1, sizeof *one + key.len);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    if (fb_cache_begin(leases->cache, class_, key, now_ns, &one->ticket) < 0) {
        fb_mem_free(one);
        return FB_ENOMEM;
    }
    memcpy(one->bytes, key.ptr != NULL ? key.ptr : "", key.len);
    one->key = fb_str_make(one->bytes, key.len);
    one->token = fb_rng_next(&leases->rng) | 1;
    int64_t end_ns = lease_ns < INT64_MAX - now_ns ? now_ns + lease_ns : INT64_MAX;
    if (fb_heap_put(&leases->by_end, &one->end, end_ns) < 0 ||
        fb_map_put(&leases->by_key, one->key, one) < 0) {
        fb_heap_remove(&leases->by_end, &one->end);
        fb_cache_end(leases->cache, one->ticket);
        fb_mem_free(one);
        return FB_ENOMEM;
    }
    *token = one->token;
    return FB_MISS;
}

// Whoever fills a key does so under the lock too, so that nobody gets a lease of what is there.
static int take(fb_leases *leases, fb_str key, int64_t lease_ns, uint64_t *token) {
    int64_t now_ns = fb_clock_now_ns();
    fb_found found;
    drop_ended(leases, now_ns);
    lease *held = find(leases, key);
    if (held != NULL && !fb_ticket_doomed(held->ticket)) {
        return FB_PENDING;
    }
    if (held != NULL) {
        drop(leases, held);
    }
    fb_find there = fb_cache_peek(leases->cache, key, now_ns, &found);
    if (there == FB_FIND_FRESH || there == FB_FIND_EARLY) {
        return FB_PENDING;  // this moment: asked again, it is found
    }
    return add(leases, key, lease_ns, token);
}

static int64_t fresh_ns_of(const fb_class *class_, int64_t ttl_ms) {
    if (ttl_ms > 0) {
        return fb_engine_ns_of(ttl_ms);
    }
    return class_->id != FB_CLASS_PLAIN ? class_->options.memory_ttl_ns : INT64_MAX;
}

static int fill(fb_leases *leases, fb_str key, uint64_t token, const fb_loaded *value,
                int64_t ttl_ms) {
    int64_t now_ns = fb_clock_now_ns();
    const fb_class *class_ = fb_catalog_of_key(fb_cache_catalog(leases->cache), key);
    drop_ended(leases, now_ns);
    lease *held = find(leases, key);
    if (held == NULL || held->token != token) {
        return FB_REFUSED;
    }
    int result = FB_DOOMED;
    if (!fb_ticket_doomed(held->ticket) &&
        fb_cache_admits(leases->cache, key, value->source_version, now_ns)) {
        result = fb_cache_put_under(leases->cache, held->ticket, value,
                                    fresh_ns_of(class_, ttl_ms), now_ns);
    }
    drop(leases, held);
    return result == FB_DOOMED ? FB_REFUSED : result;
}

int fb_leases_new(fb_cache *cache, uint64_t seed, fb_leases **out) {
    fb_leases *leases = fb_mem_zero(1, sizeof *leases);
    if (leases == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&leases->lock, NULL);
    leases->cache = cache;
    leases->by_key.seed = seed;
    fb_rng_init(&leases->rng, seed ^ (uint64_t)fb_clock_now_ns());
    *out = leases;
    return FB_OK;
}

void fb_leases_free(fb_leases *leases) {
    if (leases == NULL) {
        return;
    }
    fb_heap_node *first;
    while ((first = fb_heap_first(&leases->by_end)) != NULL) {
        drop(leases, FB_LIST_OF(first, lease, end));
    }
    fb_map_release(&leases->by_key);
    fb_heap_release(&leases->by_end);
    pthread_mutex_destroy(&leases->lock);
    fb_mem_free(leases);
}

// ---- with a shared tier

static int shared_get(fb_engine *engine, fb_str key, int64_t lease_ns, fb_value *value,
                      uint64_t *token) {
    fb_wish wish = {.want = {.kind = FB_WANT_LEASE, .key = key, .ttl_ns = lease_ns}};
    int result = fb_wish_wait(engine, &wish);
    *value = wish.value;
    *token = wish.token;
    return result;
}

static int shared_fill(fb_engine *engine, fb_str key, uint64_t token, fb_str value,
                       const fb_set_options *options) {
    fb_wish wish = {.want = {.kind = FB_WANT_FILL,
                             .key = key,
                             .token = token,
                             .value = value,
                             .ttl_ns = fb_engine_ns_of(options->ttl_ms),
                             .tags = options->tags,
                             .tag_count = options->tag_count,
                             .source_version = options->source_version}};
    int result = fb_wish_wait(engine, &wish);
    if (options->receipt != NULL) {
        *options->receipt = wish.receipt;
    }
    return result;
}

// ---- the calls

static void count(fb_engine *engine, fb_str key, fb_counter counter) {
    const fb_class *class_ = fb_catalog_of_key(fb_cache_catalog(engine->cache), key);
    fb_cache_count(engine->cache, class_->id, counter, 1);
}

// From memory, uncounted: FB_OK, FB_NEGATIVE or FB_MISS. What is stale is worth a lease.
static int look_up(fb_engine *engine, fb_str key, fb_value *value) {
    fb_found found;
    *value = (fb_value){0};
    fb_find find = fb_cache_read(engine->cache, key, fb_clock_now_ns(), NULL, fb_value_keep, value,
                                 &found);
    bool fresh = find == FB_FIND_FRESH || find == FB_FIND_EARLY;
    if (fresh && !found.negative && value->owner != NULL) {
        return FB_OK;
    }
    fb_value_release(value);
    return fresh ? (found.negative ? FB_NEGATIVE : FB_ENOMEM) : FB_MISS;
}

int fb_lease_get(fb_engine *engine, fb_str key, int64_t lease_ms, fb_value *value,
                 uint64_t *token) {
    fb_engine_ours(engine);
    *token = 0;
    *value = (fb_value){0};
    if (key.len > FB_KEY_LEN_MAX) {
        return FB_ETOOBIG;
    }
    if (lease_ms < 0) {
        return FB_EINVAL;
    }
    int64_t lease_ns = fb_engine_ns_of(lease_ms > 0 ? lease_ms : LEASE_MS);
    int result = look_up(engine, key, value);
    if (result == FB_MISS && engine->shared != NULL) {
        result = shared_get(engine, key, lease_ns, value, token);
    } else if (result == FB_MISS) {
        pthread_mutex_lock(&engine->leases->lock);
        result = take(engine->leases, key, lease_ns, token);
        pthread_mutex_unlock(&engine->leases->lock);
    }
    if (result >= 0) {
        bool hit = result == FB_OK || result == FB_NEGATIVE;
        count(engine, key, hit ? FB_COUNTER_hits : FB_COUNTER_misses);
    }
    if (result == FB_NEGATIVE) {
        count(engine, key, FB_COUNTER_negative_hits);
    }
    return result;
}

static int fill_here(fb_engine *engine, fb_str key, uint64_t token, fb_str value,
                     const fb_set_options *options) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    int result = fb_loaded_value(&loaded, value);
    for (size_t i = 0; i < options->tag_count && result == FB_OK; i++) {
        result = fb_loaded_tag(&loaded, options->tags[i]);
    }
    loaded.result = FB_OK;
    loaded.source_version = options->source_version;
    if (result == FB_OK) {
        pthread_mutex_lock(&engine->leases->lock);
        result = fill(engine->leases, key, token, &loaded, options->ttl_ms);
        pthread_mutex_unlock(&engine->leases->lock);
    }
    fb_loaded_release(&loaded);
    if (options->receipt != NULL) {
        *options->receipt = (fb_receipt){.reached = FB_REACH_LOCAL};
    }
    return result;
}

int fb_lease_fill(fb_engine *engine, fb_str key, uint64_t token, fb_str value,
                  const fb_set_options *options) {
    fb_engine_ours(engine);
    fb_typed with;
    if (key.len > FB_KEY_LEN_MAX) {
        return FB_ETOOBIG;
    }
    if (fb_options_take(&options, &with) < 0) {
        return FB_EINVAL;
    }
    int result = engine->shared != NULL ? shared_fill(engine, key, token, value, options)
                                        : fill_here(engine, key, token, value, options);
    if (result == FB_OK) {
        count(engine, key, FB_COUNTER_sets);
    }
    return result;
}
