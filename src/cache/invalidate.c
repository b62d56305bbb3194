// Invalidation. Two ways: what names keys (a key, a pattern, everything) dooms loads, then changes
// the store; what names a tag, a class or a namespace raises a stamp (tags.c). Everything does
// both: the stamp tells readers who joined a load meanwhile.
//
// Soft ones keep what may be served stale. Entries that may not are treated as by a hard one: for
// stamps that is how entries are judged; by key or pattern they are removed. Loads under way are
// overtaken all the same: what they bring is as old as what was softened.
//
// A pattern that stands for an index tag raises that tag: every entry that it can match has it,
// whoever stored it (class.h). Any other walks the store. A soft one cannot change entries during
// the walk, so it collects keys in batches and softens each; without the memory for that it removes
// them, which is safe.

#include <string.h>

#include "base/buf.h"
#include "base/glob.h"
#include "base/rule.h"
#include "base/str.h"
#include "cache/shared.h"

typedef struct job {
    fb_cache *cache;
    const fb_view *view;
    fb_str glob;
    int64_t now_ns;
    bool soft;
    int64_t removed;
} job;

// ---- one key

static bool judge(const job *work, const fb_item *item, fb_entry *entry, fb_judged *judged) {
    return fb_cache_judge(work->cache, work->view, item, work->now_ns, entry, judged);
}

// Softens the entry in `next`, if there is anything left of it then.
static bool soften(const job *work, fb_entry *entry, uint8_t bytes[FB_ENTRY_PACKED_MAX],
                   fb_item *next) {
    if (!fb_entry_has_grace(entry)) {
        return false;
    }
    entry->flags |= FB_ENTRY_SOFT;
    if (entry->fresh_until_ns > work->now_ns) {
        entry->fresh_until_ns = work->now_ns;
    }
    fb_judged judged;
    const fb_class *class_ = fb_view_class(work->view, entry->class_id);
    fb_entry_judge(entry, class_, work->cache->tags, work->now_ns, &judged);
    fb_entry_pack(entry, bytes, next);
    return judged.find != FB_FIND_NOTHING;
}

typedef struct drop {
    const job *work;
    bool left;
    uint8_t bytes[FB_ENTRY_PACKED_MAX];
} drop;

static int drop_item(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    drop *one = arg;
    const job *work = one->work;
    one->left = false;
    if (item == NULL) {
        return FB_MISS;
    }
    fb_entry entry;
    fb_judged judged;
    bool there = judge(work, item, &entry, &judged);
    if (there && work->soft && soften(work, &entry, one->bytes, next)) {
        *action = FB_STORE_META;
        return FB_OK;
    }
    *action = FB_STORE_DELETE;
    one->left = there;
    return FB_OK;
}

static void drop_key(job *work, fb_str key) {
    drop one = {.work = work};
    fb_stripe *stripe = fb_tickets_lock(work->cache->tickets, key);
    fb_stripe_doom(stripe, key);
    int result = fb_store_edit(work->cache->store, key, work->now_ns, drop_item, &one);
    if (result < 0) {  // it could not be softened
        result = fb_store_del(work->cache->store, key, work->now_ns);
        one.left = result == FB_OK;
    }
    fb_stripe_unlock(stripe);
    work->removed += one.left;
    fb_misses_gone(work->cache->misses, key, FB_MISS_INVALIDATED);
    fb_watchers_tell(&work->cache->watchers, FB_CHANGE_SET, key);
}

// ---- patterns

static bool matches(void *arg, fb_str key) {
    const job *work = arg;
    return fb_glob_match(work->glob, key);
}

static bool pick_match(void *arg, const fb_item *item) {
    job *work = arg;
    if (!matches(work, item->key)) {
        return false;
    }
    fb_entry entry;
    fb_judged judged;
    work->removed += judge(work, item, &entry, &judged);
    fb_misses_gone(work->cache->misses, item->key, FB_MISS_INVALIDATED);
    return true;
}

// Keys found in one step of a walk: length, bytes, length, bytes …
typedef struct batch {
    const job *work;
    fb_buf keys;
    bool failed;
} batch;

static void collect(void *arg, const fb_item *item) {
    batch *found = arg;
    if (!fb_glob_match(found->work->glob, item->key)) {
        return;
    }
    uint32_t len = (uint32_t)item->key.len;
    size_t before = found->keys.len;
    if (fb_buf_append(&found->keys, fb_str_make((const char *)&len, sizeof len)) < 0 ||
        fb_buf_append(&found->keys, item->key) < 0) {
        found->keys.len = before;
        found->failed = true;
    }
}

static void drop_batch(job *work, batch *found) {
    const char *place = found->keys.ptr;
    const char *end = found->keys.len > 0 ? place + found->keys.len : place;
    while (place < end) {
        uint32_t len;
        memcpy(&len, place, sizeof len);
        drop_key(work, fb_str_make(place + sizeof len, len));
        place += sizeof len + len;
    }
    found->keys.len = 0;
}

// false: no memory.
static bool soften_matches(job *work) {
    enum { STEP = 512 };
    batch found = {.work = work};
    uint64_t cursor = 0;
    do {
        cursor = fb_store_scan(work->cache->store, cursor, STEP, work->now_ns, collect, &found);
        drop_batch(work, &found);
    } while (cursor != 0 && !found.failed);
    fb_buf_release(&found.keys);
    return !found.failed;
}

static void walk(job *work) {
    if (FB_RULE(doom_first)) {
        fb_tickets_doom_all(work->cache->tickets, matches, work);
    }
    if (!work->soft || !soften_matches(work)) {
        (void)fb_store_remove_if(work->cache->store, work->now_ns, pick_match, work);
    }
    if (!FB_RULE(doom_first)) {
        fb_tickets_doom_all(work->cache->tickets, matches, work);
    }
}

static int invalidate_pattern(job *work) {
    fb_buf tag = {0};
    int result = fb_catalog_index_tag(work->view->catalog, work->glob, &tag);
    if (result == FB_OK) {
        uint32_t slot = fb_tags_slot(work->cache->tags, fb_buf_str(&tag));
        fb_tags_bump(work->cache->tags, slot, work->soft, work->now_ns);
        work->removed = -1;
    } else {
        walk(work);  // also without the memory for the tag's name
    }
    fb_buf_release(&tag);
    return FB_OK;
}

// ---- tags, classes, namespaces, everything

static int bump(job *work, uint32_t slot) {
    fb_tags_bump(work->cache->tags, slot, work->soft, work->now_ns);
    work->removed = -1;
    return FB_OK;
}

static int invalidate_class(job *work, fb_str name) {
    const fb_class *class_ = fb_catalog_find(work->view->catalog, name);
    if (class_ == NULL || class_->id == FB_CLASS_PLAIN) {
        return FB_ENOCLASS;
    }
    return bump(work, fb_tags_class_slot(work->cache->tags, class_->id));
}

static int bump_namespace(job *work, const fb_catalog *catalog, fb_str name) {
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        if (class_->id != FB_CLASS_PLAIN && fb_str_equal(class_->namespace_name, name)) {
            return bump(work, fb_tags_namespace_slot(work->cache->tags, class_->namespace_id));
        }
    }
    return FB_ENOCLASS;
}

// Not while another catalogue comes into force: which classes are in the namespace must not change
// between the stamp and the entries' being judged by it.
static int invalidate_namespace(job *work, fb_str name) {
    fb_cache *cache = work->cache;
    pthread_mutex_lock(&cache->swap_lock);
    int result = bump_namespace(work, fb_cache_catalog(cache), name);
    pthread_mutex_unlock(&cache->swap_lock);
    return result;
}

// Entries that carry no stamp cannot be told by one, and none of them may be served stale.
static bool pick_unstamped(void *arg, const fb_item *item) {
    job *work = arg;
    bool unstamped = (item->flags & FB_ENTRY_SEQ) == 0;
    work->removed += unstamped;
    return unstamped;
}

static int invalidate_all(job *work) {
    fb_cache *cache = work->cache;
    fb_tags_bump(cache->tags, fb_tags_clear_slot(cache->tags), work->soft, work->now_ns);
    fb_tickets_doom_all(cache->tickets, NULL, NULL);
    if (work->soft) {
        (void)fb_store_remove_if(cache->store, work->now_ns, pick_unstamped, work);
    } else {
        work->removed = (int64_t)fb_store_clear(cache->store);
        fb_misses_all_gone(cache->misses, FB_MISS_CLEARED);
    }
    return FB_OK;
}

static int dispatch(job *work, const fb_invalidation *what) {
    switch (what->scope) {
        case FB_SCOPE_KEY:
            fb_holds_lift(work->cache->holds, what->name);
            drop_key(work, what->name);
            return FB_OK;
        case FB_SCOPE_PATTERN:
            return invalidate_pattern(work);
        case FB_SCOPE_TAG:
            return bump(work, fb_tags_slot(work->cache->tags, what->name));
        case FB_SCOPE_CLASS:
            return invalidate_class(work, what->name);
        case FB_SCOPE_NAMESPACE:
            return invalidate_namespace(work, what->name);
        case FB_SCOPE_ALL:
            return invalidate_all(work);
    }
    return FB_EINVAL;
}

// A key is told where it is dropped; what else was invalidated is told here, all of it done.
static void tell(job *work, const fb_invalidation *what) {
    fb_watchers *watchers = &work->cache->watchers;
    if (what->scope == FB_SCOPE_PATTERN) {
        fb_watchers_tell(watchers, FB_CHANGE_MATCHING, what->name);
    } else if (what->scope == FB_SCOPE_ALL) {
        fb_watchers_tell(watchers, FB_CHANGE_ALL, FB_STR(""));
    } else if (what->scope != FB_SCOPE_KEY) {
        fb_watchers_tell(watchers, FB_CHANGE_SOME, FB_STR(""));
    }
}

int fb_cache_invalidate(fb_cache *cache, const fb_invalidation *what, int64_t now_ns,
                        int64_t *removed) {
    job work = {.cache = cache,
                .view = fb_cache_view(cache),
                .glob = what->name,
                .now_ns = now_ns,
                .soft = what->soft};
    int result = dispatch(&work, what);
    if (result == FB_OK) {
        tell(&work, what);
    }
    if (removed != NULL) {
        *removed = work.removed;
    }
    return result;
}

// The hold first: what begins to load after the drop finds it when it is to be stored.
void fb_cache_hold(fb_cache *cache, fb_str key, int64_t until_ns, int64_t now_ns) {
    job work = {.cache = cache, .view = fb_cache_view(cache), .now_ns = now_ns};
    if (until_ns > now_ns) {
        fb_holds_hold(cache->holds, key, until_ns, now_ns);
    } else {
        fb_holds_lift(cache->holds, key);
    }
    drop_key(&work, key);
}

void fb_cache_lift(fb_cache *cache, fb_str key) {
    fb_holds_lift(cache->holds, key);
}

void fb_cache_fence(fb_cache *cache, fb_str key, uint64_t fence, int64_t now_ns) {
    fb_holds_fence(cache->holds, key, fence, now_ns);
}

bool fb_cache_admits(fb_cache *cache, fb_str key, uint64_t source_version, int64_t now_ns) {
    return fb_holds_admit(cache->holds, key, source_version, now_ns);
}

bool fb_cache_held(fb_cache *cache, fb_str key, int64_t now_ns) {
    return fb_holds_held(cache->holds, key, now_ns);
}
