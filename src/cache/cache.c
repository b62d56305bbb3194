// What all threads share of a cache, put together: the store with the entries, the tags' stamps,
// the tickets of the loads under way, the figures. Each is a noun with a file of its own, where its
// argument stands; the calls are in read.c, write.c, invalidate.c, fill.c, coherent.c and
// explain.c.
//
// Catalogues. A reload puts another one in force. Classes of the old one may still be held by loads
// and readers, so it lives as long as the cache; swaps are rare, and a catalogue is small. What was
// stored under the old one must not be served wrongly by the new one: a swap dooms the loads under
// way, invalidates the classes whose keys or values are others now, then drops the entries whose
// key now belongs to another class (their stamps would be looked for in the wrong slots). A load
// that begins after a swap with a class from before it is doomed from the start. A write that races
// with a swap looks again afterwards which catalogue is in force, and is done again if that
// changed: either it sees the new one, or the swap's walk sees its entry.

#include "cache/cache.h"

#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/shared.h"

enum { HOT_MIN = 128, HOT_MAX = 65536 };

// ---- catalogues

const fb_class *fb_view_class(const fb_view *view, uint16_t class_id) {
    return fb_catalog_by_id(view->catalog, class_id);
}

static uint32_t hot_capacity(const fb_class *class_) {
    uint64_t wanted = 2 * (uint64_t)class_->options.warm_top;
    return (uint32_t)(wanted < HOT_MIN ? HOT_MIN : wanted > HOT_MAX ? HOT_MAX : wanted);
}

static int cover_hot(fb_cache *cache, const fb_catalog *catalog) {
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        fb_hot *hot = atomic_load(&cache->hots[class_->id]);
        if (hot != NULL) {
            fb_hot_grow(hot, hot_capacity(class_));
            continue;
        }
        if (fb_hot_new(hot_capacity(class_), cache->seed, &hot) < 0) {
            return FB_ENOMEM;
        }
        atomic_store(&cache->hots[class_->id], hot);
    }
    return FB_OK;
}

// The class that had a number last, or NULL.
static const fb_class *last_of(const fb_view *view, uint16_t class_id) {
    const fb_class *class_ = NULL;
    for (; view != NULL && class_ == NULL; view = view->older) {
        class_ = fb_view_class(view, class_id);
    }
    return class_;
}

// Numbers of classes that are gone may be given to others: not with what was known of those.
static void forget_strangers(fb_cache *cache, const fb_view *older, const fb_catalog *catalog) {
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        const fb_class *last = last_of(older, class_->id);
        if (last != NULL && !fb_str_equal(last->name, class_->name)) {
            fb_figures_reset_class(cache->figures, class_->id);
            fb_hot_reset(atomic_load(&cache->hots[class_->id]));
        }
    }
}

typedef struct owners {
    const fb_catalog *catalog;
} owners;

static bool has_other_owner(void *arg, const fb_item *item) {
    const owners *now = arg;
    return fb_catalog_of_key(now->catalog, item->key)->id != item->class_id;
}

// The stamps of a class's old namespace say nothing to its entries once it is in another one; so
// these go before that. No namespace is invalidated in between: invalidate.c.
static void drop_moved(fb_cache *cache, const fb_catalog *older, const fb_catalog *catalog) {
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        const fb_class *same = fb_catalog_by_id(older, class_->id);
        if (same != NULL && !fb_str_equal(same->namespace_name, class_->namespace_name)) {
            fb_tags_bump(cache->tags, fb_tags_class_slot(cache->tags, class_->id), false, 0);
        }
    }
}

// After the new ones are in force: what is loaded from now on is what they give.
static void drop_changed(fb_cache *cache, const fb_catalog *older, const fb_catalog *catalog) {
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        const fb_class *same = fb_catalog_by_id(older, class_->id);
        if (same != NULL && fb_class_print(same) != fb_class_print(class_)) {
            fb_tags_bump(cache->tags, fb_tags_class_slot(cache->tags, class_->id), false, 0);
        }
    }
}

int fb_cache_swap(fb_cache *cache, fb_catalog *catalog) {
    fb_view *view = fb_mem_zero(1, sizeof *view);
    if (view == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_lock(&cache->swap_lock);
    if (fb_figures_cover(cache->figures, catalog) < 0 || cover_hot(cache, catalog) < 0) {
        pthread_mutex_unlock(&cache->swap_lock);
        fb_mem_free(view);
        return FB_ENOMEM;
    }
    view->catalog = catalog;
    view->older = fb_cache_view(cache);
    fb_catalog_succeed(catalog, view->older->catalog);
    forget_strangers(cache, view->older, catalog);
    if (FB_RULE(moved)) {
        drop_moved(cache, view->older->catalog, catalog);
    }
    fb_outside_close(cache->tags->table);
    atomic_store(&cache->view, view);
    fb_tickets_doom_all(cache->tickets, NULL, NULL);
    drop_changed(cache, view->older->catalog, catalog);
    fb_outside_open(cache->tags->table, catalog);
    owners now = {catalog};
    (void)fb_store_remove_if(cache->store, 0, has_other_owner, &now);
    pthread_mutex_unlock(&cache->swap_lock);
    fb_watchers_tell(&cache->watchers, FB_CHANGE_SOME, FB_STR(""));
    return FB_OK;
}

const fb_catalog *fb_cache_catalog(const fb_cache *cache) {
    return fb_cache_view(cache)->catalog;
}

// ---- making

// Asked by the store while it sweeps and evicts: an entry that was invalidated by a stamp goes
// first.
static void has_left(void *arg, fb_str key) {
    fb_cache *cache = arg;
    fb_watchers_tell(&cache->watchers, FB_CHANGE_LEFT, key);
}

static bool alive(void *arg, const fb_item *item) {
    const fb_cache *cache = arg;
    const fb_view *view = fb_cache_view(cache);
    fb_entry entry;
    fb_miss_reason why;
    if (view == NULL || !fb_entry_unpack(item, &entry)) {
        return view == NULL;
    }
    const fb_class *class_ = fb_view_class(view, entry.class_id);
    return class_ != NULL &&
           ((entry.flags & FB_ENTRY_SEQ) == 0 ||
            !fb_entry_overtaken(&entry, fb_kin_of(class_), &cache->tags->outside, entry.seq, &why));
}

static int make_store(fb_cache *cache, const fb_cache_options *options) {
    fb_cache_region *region = options->region;
    fb_store_options store = {.limit_bytes = options->memory_bytes,
                              .seed = options->seed,
                              .alive = alive,
                              .alive_arg = cache,
                              .left = has_left,
                              .left_arg = cache,
                              .app_bytes = fb_outside_bytes(options->tag_slots),
                              .app_format = FB_OUTSIDE_FORMAT};
    if (region == NULL) {
        return fb_store_new(&store, &cache->store);
    }
    store.in_file = true;
    store.fd = region->fd;
    store.boot = region->boot;
    if (!region->keep) {
        return fb_store_new(&store, &cache->store);
    }
    fb_store_adopted adopted;
    int result = fb_store_adopt(&store, &cache->store, &adopted, region->error);
    if (result == FB_OK) {
        region->entries = adopted.items;
        region->shards_dropped = adopted.shards_dropped;
    }
    return result;
}

static int make_tags(fb_cache *cache, const fb_cache_options *options) {
    uint64_t bytes = 0;
    void *room = fb_store_app(cache->store, &bytes);
    if (options->region == NULL || !options->region->keep) {
        return fb_tags_new(room, options->tag_slots, options->seed, &cache->tags);
    }
    int result = fb_tags_adopt(room, bytes, &cache->tags);
    return result == FB_EINVAL ? fb_error_set(options->region->error, FB_EINVAL,
                                              "its table of invalidations is damaged")
                               : result;
}

static int make_parts(fb_cache *cache, const fb_cache_options *options) {
    int result = make_store(cache, options);
    if (result == FB_OK) {
        result = make_tags(cache, options);
    }
    if (result == FB_OK) {
        result = fb_tickets_new(options->seed, &cache->tickets);
    }
    if (result == FB_OK) {
        result = fb_figures_new(&cache->figures);
    }
    if (result == FB_OK) {
        result = fb_misses_new(options->seed, &cache->misses);
    }
    if (result == FB_OK) {
        result = fb_holds_new(options->seed, options->partitions, &cache->holds);
    }
    if (result == FB_OK) {
        result = fb_figures_cover(cache->figures, options->catalog);
    }
    return result == FB_OK ? cover_hot(cache, options->catalog) : result;
}

int fb_cache_new(const fb_cache_options *options, fb_cache **cache) {
    FB_ASSERT(options->catalog != NULL && options->partitions <= FB_PARTITIONS_MAX);
    *cache = NULL;
    fb_cache *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->seed = options->seed;
    made->partitions = options->partitions;
    pthread_mutex_init(&made->swap_lock, NULL);
    fb_watchers_init(&made->watchers);
    int result = make_parts(made, options);
    // The view comes last: with it the catalogue is the cache's.
    fb_view *view = result == FB_OK ? fb_mem_zero(1, sizeof *view) : NULL;
    if (view == NULL) {
        fb_cache_free(made);
        return result < 0 ? result : FB_ENOMEM;
    }
    view->catalog = options->catalog;
    if (options->region != NULL && options->region->keep) {
        fb_cache_adopt(made, options);
    }
    fb_coherent_begin(made->tags->table, options->partitions);
    atomic_store(&made->view, view);
    fb_outside_open(made->tags->table, options->catalog);
    *cache = made;
    return FB_OK;
}

void fb_cache_free(fb_cache *cache) {
    if (cache == NULL) {
        return;
    }
    fb_tickets_free(cache->tickets);
    fb_store_free(cache->store);
    fb_tags_free(cache->tags);
    fb_figures_free(cache->figures);
    fb_misses_free(cache->misses);
    fb_holds_free(cache->holds);
    for (size_t i = 0; i < FB_CLASS_MAX; i++) {
        fb_hot_free(atomic_load(&cache->hots[i]));
    }
    fb_view *view = fb_cache_view(cache);
    while (view != NULL) {
        fb_view *older = view->older;
        fb_catalog_free(view->catalog);
        fb_mem_free(view);
        view = older;
    }
    fb_watchers_release(&cache->watchers);
    pthread_mutex_destroy(&cache->swap_lock);
    fb_mem_free(cache);
}

fb_store *fb_cache_store(fb_cache *cache) {
    return cache->store;
}

int fb_cache_watch(fb_cache *cache, fb_change_fn fn, void *arg) {
    return fb_watchers_add(&cache->watchers, fn, arg);
}

void fb_cache_unwatch(fb_cache *cache, fb_change_fn fn, void *arg) {
    fb_watchers_remove(&cache->watchers, fn, arg);
}

void fb_cache_tell_unsure(fb_cache *cache) {
    fb_watchers_tell(&cache->watchers, FB_CHANGE_UNSURE, FB_STR(""));
}

uint64_t fb_cache_generation(const fb_cache *cache) {
    return fb_outside_generation(&cache->tags->outside);
}

uint64_t fb_cache_seq(const fb_cache *cache) {
    return fb_tags_seq(cache->tags);
}

// ---- entries

void fb_entry_start(fb_entry *entry, const fb_cache *cache, const fb_class *class_, fb_str key,
                    int64_t now_ns) {
    bool stamped = class_->id != FB_CLASS_PLAIN || cache->partitions > 0;
    entry->flags = stamped ? FB_ENTRY_SEQ : 0;
    entry->key = key;
    entry->class_id = class_->id;
    entry->born_ms = now_ns / FB_NS_PER_MS;
    entry->fresh_until_ns = INT64_MAX;
    entry->dead_ns = INT64_MAX;
    entry->seq = fb_tags_seq(cache->tags);
    entry->cost_us = 0;
    entry->tag_count = 0;
    entry->type = (fb_str){NULL, 0};
}

void fb_entry_live(fb_entry *entry, const fb_class *class_, int64_t ttl_ns, bool grace,
                   int64_t now_ns) {
    const fb_class_options *options = &class_->options;
    entry->fresh_until_ns = ttl_ns == INT64_MAX ? INT64_MAX : fb_time_add(now_ns, ttl_ns);
    entry->dead_ns = entry->fresh_until_ns;
    entry->flags &= (uint8_t)~FB_ENTRY_GRACE;
    if (grace && (options->stale_ttl_ns > 0 || options->fallback_ttl_ns > 0)) {
        entry->flags |= FB_ENTRY_GRACE;
        entry->dead_ns = fb_time_add(fb_time_add(entry->dead_ns, options->stale_ttl_ns),
                                     options->fallback_ttl_ns);
    }
}

int64_t fb_class_ttl_ns(const fb_class *class_) {
    return class_->options.memory_ttl_ns > 0 ? class_->options.memory_ttl_ns : INT64_MAX;
}

int fb_cache_index_slots(const fb_cache *cache, const fb_view *view, fb_str key,
                         uint32_t slots[FB_TAGS_MAX], uint32_t *count) {
    fb_loaded tags;
    fb_loaded_init(&tags);
    int result = fb_catalog_key_tags(view->catalog, key, &tags);
    *count = result == FB_OK ? (uint32_t)tags.tag_count : 0;
    for (size_t i = 0; i < *count; i++) {
        slots[i] = fb_tags_slot(cache->tags, fb_loaded_tag_at(&tags, i));
    }
    fb_loaded_release(&tags);
    return result;
}

int fb_entry_take_tag(fb_entry *entry, fb_cache *cache, fb_str tag) {
    if (tag.len > 0 && tag.ptr[0] == FB_TAG_TYPE) {
        bool fits = tag.len - 1 <= FB_CONTENT_TYPE_LEN_MAX;
        entry->type = fits ? fb_str_make(tag.ptr + 1, tag.len - 1) : (fb_str){NULL, 0};
        return FB_OK;
    }
    uint32_t slot = fb_tags_slot(cache->tags, tag);
    if (!fb_entry_add_tag(entry, slot)) {
        return FB_EINVAL;
    }
    entry->flags |= FB_ENTRY_SEQ;
    if (tag.len == 0 || tag.ptr[0] != FB_TAG_OWN) {  // nobody asks for those by name
        fb_tags_note_name(cache->tags, slot, tag);
    }
    return FB_OK;
}

int fb_entry_take_key(fb_entry *entry, fb_cache *cache, const fb_class *class_, fb_str key) {
    fb_buf scratch = {0};
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    int result = fb_class_key_tags(class_, key, &scratch, &loaded);
    if (result == FB_OK) {
        result = fb_entry_take_loaded(entry, cache, &loaded);
    }
    fb_loaded_release(&loaded);
    fb_buf_release(&scratch);
    return result;
}

int fb_entry_take_loaded(fb_entry *entry, fb_cache *cache, const fb_loaded *loaded) {
    for (size_t i = 0; i < loaded->tag_count; i++) {
        if (fb_entry_take_tag(entry, cache, fb_loaded_tag_at(loaded, i)) < 0) {
            return FB_EINVAL;
        }
    }
    return FB_OK;
}

bool fb_cache_judge(const fb_cache *cache, const fb_view *view, const fb_item *item, int64_t now_ns,
                    fb_entry *entry, fb_judged *judged) {
    *judged = (fb_judged){.find = FB_FIND_NOTHING};
    if (fb_entry_unpack(item, entry)) {
        fb_entry_judge(entry, fb_view_class(view, entry->class_id), cache->tags, now_ns, judged);
    }
    return judged->find != FB_FIND_NOTHING;
}

// ---- figures, hot keys, misses

void fb_cache_count(fb_cache *cache, uint16_t class_id, fb_counter counter, uint64_t amount) {
    fb_figures_count(cache->figures, class_id, counter, amount);
}

void fb_cache_time(fb_cache *cache, uint16_t class_id, fb_timing timing, int64_t ns) {
    fb_figures_time(cache->figures, class_id, timing, ns);
}

static void read_store(fb_cache *cache, fb_stats *stats) {
    fb_store_stats store;
    fb_store_stats_read(cache->store, &store);
    stats->entries = store.items;
    stats->memory_bytes = store.used_bytes;
    stats->memory_limit_bytes = store.limit_bytes;
    stats->evictions = store.evictions;
    stats->expirations = store.expirations;
}

int fb_cache_stats(fb_cache *cache, fb_stats *stats) {
    read_store(cache, stats);
    return fb_figures_stats(cache->figures, fb_cache_catalog(cache), stats);
}

int fb_cache_stats_over(fb_cache *cache, fb_window window, int64_t now_ns, fb_stats *stats) {
    if (window == FB_WINDOW_START) {
        int64_t age_ns = fb_figures_age_ns(cache->figures, now_ns);
        stats->window_ms = age_ns > FB_NS_PER_MS ? age_ns / FB_NS_PER_MS : 1;
        return fb_cache_stats(cache, stats);
    }
    read_store(cache, stats);
    return fb_figures_stats_over(cache->figures, fb_cache_catalog(cache), window, now_ns, stats);
}

void fb_cache_stats_tick(fb_cache *cache, int64_t now_ns) {
    fb_store_stats store;
    if (!fb_figures_due(cache->figures, now_ns)) {
        return;
    }
    fb_store_stats_read(cache->store, &store);
    fb_figures_tick(cache->figures, now_ns, store.evictions, store.expirations);
}

void fb_cache_stats_reset(fb_cache *cache) {
    fb_figures_reset(cache->figures);
}

void fb_cache_note_read(fb_cache *cache, const fb_class *class_, fb_str key) {
    fb_hot *hot = atomic_load_explicit(&cache->hots[class_->id], memory_order_acquire);
    if (hot != NULL) {
        fb_hot_note(hot, key);
    }
}

void fb_cache_hot(fb_cache *cache, uint16_t class_id, uint32_t count, fb_hot_fn fn, void *arg) {
    fb_hot *hot = class_id < FB_CLASS_MAX ? atomic_load(&cache->hots[class_id]) : NULL;
    if (hot != NULL) {
        fb_hot_top(hot, count, fn, arg);
    }
}

static fb_miss_reason note_miss(fb_cache *cache, fb_str key, fb_miss_reason reason) {
    return fb_misses_note(cache->misses, key, reason,
                   atomic_load_explicit(&cache->seen_ns, memory_order_relaxed));
}

void fb_cache_note_miss(fb_cache *cache, fb_str key, fb_miss_reason reason) {
    (void)note_miss(cache, key, reason);
}

void fb_cache_missed(fb_cache *cache, uint16_t class_id, fb_str key) {
    switch (note_miss(cache, key, FB_MISS_UNKNOWN)) {
        case FB_MISS_EXPIRED:
            fb_cache_count(cache, class_id, FB_COUNTER_expired, 1);
            break;
        case FB_MISS_INVALIDATED:
        case FB_MISS_DELETED:
        case FB_MISS_TAG:
        case FB_MISS_CLEARED:
            fb_cache_count(cache, class_id, FB_COUNTER_invalidated, 1);
            break;
        default:
            break;
    }
}
