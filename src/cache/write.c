// Callers' own values: SET, DEL and edits. Each overtakes the loads of its key (tickets.c says why
// that leaves nothing old behind), under the lock those are filled under, where there are any.
//
// An edit learns only in the middle, with the key locked in the store, whether it changes anything.
// Dooming from there would take the two locks in the wrong order; dooming before would throw away
// loads for edits that keep everything. So the stripe is locked around the store's edit, and the
// loads are doomed after it, when nothing can have been filled in between.
//
// For callers a key is there when a plain read would answer with it; a negative, stale or invalid
// entry is as good as none for an edit, which must not build on something that is to be replaced.
//
// A caller's TTL is meant literally: such an entry has no stale time behind it. With the class's
// own TTL it lives as a loaded one does.

#include <string.h>

#include "base/json.h"
#include "base/rule.h"
#include "base/units.h"
#include "cache/shared.h"

// ---- tags of a caller's key

// A new entry for a caller's key: of the class that owns it, with the tags that follow from the
// key.
static int start(fb_cache *cache, const fb_view *view, fb_str key, int64_t now_ns,
                 fb_entry *entry) {
    const fb_class *class_ = fb_catalog_of_key(view->catalog, key);
    fb_entry_start(entry, cache, class_, key, now_ns);
    return fb_entry_take_key(entry, cache, class_, key);
}

// ---- SET

static int64_t put_ttl(const fb_class *class_, int64_t ttl_ns) {
    if (ttl_ns < 0) {
        return INT64_MAX;
    }
    return ttl_ns > 0 ? ttl_ns : fb_class_ttl_ns(class_);
}

static int take_tags(fb_cache *cache, const fb_str *tags, size_t tag_count, fb_entry *entry) {
    if (tag_count > FB_TAGS_MAX) {
        return FB_EINVAL;
    }
    for (size_t i = 0; i < tag_count; i++) {
        bool fits = tags[i].len > 0 && tags[i].len <= FB_TAG_LEN_MAX;
        if (!fits || tags[i].ptr[0] == FB_TAG_OWN) {  // index tags are ours
            return FB_EINVAL;
        }
    }
    int result = FB_OK;
    for (size_t i = 0; i < tag_count && result == FB_OK; i++) {
        result = fb_entry_take_tag(entry, cache, tags[i]);
    }
    return result;
}

static int store(fb_cache *cache, const fb_item *item, int64_t now_ns) {
    fb_holds_lift(cache->holds, item->key);
    fb_stripe *stripe = fb_tickets_lock(cache->tickets, item->key);
    fb_stripe_doom(stripe, item->key);
    int result = fb_store_put(cache->store, item, now_ns, NULL);
    fb_stripe_unlock(stripe);
    return result;
}

int fb_cache_put(fb_cache *cache, fb_str key, fb_str value, int64_t ttl_ns, const fb_str *tags,
                 size_t tag_count, int64_t now_ns) {
    uint8_t kind = fb_json_valid(value) ? FB_ENTRY_JSON : 0;
    const fb_view *view;
    int result;
    do {  // again where another catalogue came into force meanwhile: cache.c
        view = fb_cache_view(cache);
        fb_entry entry;
        result = start(cache, view, key, now_ns, &entry);
        if (result == FB_OK) {
            result = take_tags(cache, tags, tag_count, &entry);
        }
        if (result < 0) {
            return result;
        }
        const fb_class *class_ = fb_view_class(view, entry.class_id);
        fb_entry_live(&entry, class_, put_ttl(class_, ttl_ns), ttl_ns == 0, now_ns);
        entry.flags |= kind;
        uint8_t bytes[FB_ENTRY_PACKED_MAX];
        fb_item item = {.key = key, .value = value};
        fb_entry_pack(&entry, bytes, &item);
        result = store(cache, &item, now_ns);
        if (result == FB_OK && class_->id != FB_CLASS_PLAIN) {
            fb_misses_stored(cache->misses, key, entry.dead_ns);
        }
    } while (result == FB_OK && view != fb_cache_view(cache));
    if (result == FB_OK) {
        fb_watchers_tell(&cache->watchers, FB_CHANGE_SET, key);
    }
    return result;
}

// ---- DEL

typedef struct removal {
    const fb_cache *cache;
    const fb_view *view;
    int64_t now_ns;
    bool gone;
} removal;

static int remove_item(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    removal *job = arg;
    if (item == NULL) {
        return FB_MISS;
    }
    *action = FB_STORE_DELETE;
    job->gone = true;
    fb_entry entry;
    fb_judged judged;
    bool there = fb_cache_judge(job->cache, job->view, item, job->now_ns, &entry, &judged) &&
                 (judged.find == FB_FIND_FRESH || judged.find == FB_FIND_STALE) &&
                 (entry.flags & FB_ENTRY_NEGATIVE) == 0;
    return there ? FB_OK : FB_MISS;
}

int fb_cache_del(fb_cache *cache, fb_str key, int64_t now_ns) {
    removal job = {cache, fb_cache_view(cache), now_ns, false};
    fb_holds_lift(cache->holds, key);
    fb_stripe *stripe = fb_tickets_lock(cache->tickets, key);
    fb_stripe_doom(stripe, key);
    int result = fb_store_edit(cache->store, key, now_ns, remove_item, &job);
    fb_stripe_unlock(stripe);
    fb_misses_gone(cache->misses, key, FB_MISS_DELETED);
    if (job.gone) {
        fb_watchers_tell(&cache->watchers, FB_CHANGE_SET, key);
    }
    return result;
}

// ---- edits

typedef struct editing {
    const fb_cache *cache;
    const fb_view *view;
    int64_t now_ns, wall_ms;
    fb_edit_fn fn;
    void *arg;
    fb_entry fresh;  // of a key that is not there
    fb_entry entry;  // what is to be stored
    bool found;
    bool changed;
    int64_t expires_ms;  // as the caller was shown it
    uint8_t bytes[FB_ENTRY_PACKED_MAX];
} editing;

static int64_t to_unix_ms(const editing *job, int64_t at_ns) {
    if (at_ns == INT64_MAX) {
        return -1;
    }
    int64_t left_ns = at_ns - job->now_ns;
    int64_t left_ms = left_ns > 0 ? (left_ns - 1) / FB_NS_PER_MS + 1 : 0;
    return fb_time_add(job->wall_ms, left_ms);
}

static int64_t from_unix_ms(const editing *job, int64_t at_ms) {
    int64_t left_ns;
    if (at_ms == -1) {
        return INT64_MAX;
    }
    if (at_ms <= job->wall_ms) {
        return job->now_ns;  // also what is too long ago to be reckoned with
    }
    if (__builtin_mul_overflow(at_ms - job->wall_ms, FB_NS_PER_MS, &left_ns)) {
        return INT64_MAX;
    }
    return fb_time_add(job->now_ns, left_ns);
}

// The found entry as this call would store it: its own tags beside those of its class. It keeps its
// own sequence, because its new value may be made of the old one: what was invalidated since must
// end it still, also where that was not to be seen yet a moment ago. false: too many tags.
static bool renew(const editing *job, fb_entry *entry) {
    bool fits = true;
    for (size_t i = 0; i < job->fresh.tag_count; i++) {
        fits = fits && fb_entry_add_tag(entry, job->fresh.tags[i]);
    }
    if ((entry->flags & FB_ENTRY_SEQ) == 0 || !FB_RULE(edit_stamp)) {
        entry->seq = job->fresh.seq;
    }
    entry->class_id = job->fresh.class_id;
    entry->flags |= job->fresh.flags & FB_ENTRY_SEQ;
    return fits;
}

// Shows the caller what is there.
static int present(editing *job, const fb_item *item, fb_edit *edit) {
    fb_judged judged;
    *edit = (fb_edit){.action = FB_EDIT_KEEP};
    job->found = item != NULL &&
                 fb_cache_judge(job->cache, job->view, item, job->now_ns, &job->entry, &judged) &&
                 judged.find == FB_FIND_FRESH && (job->entry.flags & FB_ENTRY_NEGATIVE) == 0;
    if (job->found) {
        edit->found = true;
        fb_entry_show(item, &job->entry, &judged, job->now_ns, &edit->value);
        if (!renew(job, &job->entry)) {
            return FB_EINVAL;
        }
    } else {
        job->entry = job->fresh;
        fb_entry_judge(&job->fresh, fb_view_class(job->view, job->fresh.class_id), job->cache->tags,
                       job->now_ns, &judged);
    }
    int64_t until_ns = judged.find == FB_FIND_FRESH ? judged.stale_until_ns : job->now_ns;
    edit->expires_ms = job->expires_ms = to_unix_ms(job, until_ns);
    return FB_OK;
}

// Takes over a changed time; false: it is over already.
static bool take_expiry(editing *job, int64_t expires_ms) {
    if (expires_ms != job->expires_ms) {
        int64_t at_ns = from_unix_ms(job, expires_ms);
        job->entry.fresh_until_ns = job->entry.dead_ns = at_ns;
        return at_ns > job->now_ns;
    }
    return true;
}

static fb_store_action put(editing *job, const fb_edit *edit, fb_item *next) {
    fb_entry *entry = &job->entry;
    if (!take_expiry(job, edit->expires_ms)) {
        return FB_STORE_DELETE;
    }
    if (entry->fresh_until_ns == entry->dead_ns) {
        entry->flags &= (uint8_t)~FB_ENTRY_GRACE;
    }
    entry->flags &= (uint8_t) ~(FB_ENTRY_JSON | FB_ENTRY_COST);
    entry->flags |= fb_json_valid(edit->data) ? FB_ENTRY_JSON : 0;
    entry->born_ms = job->now_ns / FB_NS_PER_MS;
    next->value = edit->data;
    fb_entry_pack(entry, job->bytes, next);
    return FB_STORE_PUT;
}

// In place: the bytes keep their length, since the flags that decide it are kept.
static fb_store_action expire(editing *job, const fb_item *item, const fb_edit *edit,
                              fb_item *next) {
    if (!take_expiry(job, edit->expires_ms)) {
        return FB_STORE_DELETE;
    }
    fb_entry kept;
    if (!fb_entry_unpack(item, &kept)) {
        return FB_STORE_DELETE;
    }
    kept.fresh_until_ns = job->entry.fresh_until_ns;
    kept.dead_ns = job->entry.dead_ns;
    fb_entry_pack(&kept, job->bytes, next);
    return FB_STORE_META;
}

// The store may ask again, with what is there then.
static int edit_item(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    editing *job = arg;
    fb_edit edit;
    job->changed = false;
    *action = FB_STORE_KEEP;
    int result = present(job, item, &edit);
    if (result == FB_OK) {
        result = job->fn(job->arg, &edit);
    }
    if (result < 0) {
        return result;
    }
    if (edit.action == FB_EDIT_PUT) {
        *action = put(job, &edit, next);
    } else if (edit.action == FB_EDIT_EXPIRE && job->found) {
        *action = expire(job, item, &edit, next);
    } else if (edit.action == FB_EDIT_DELETE) {
        *action = FB_STORE_DELETE;
    }
    job->changed = *action != FB_STORE_KEEP;
    if (*action == FB_STORE_DELETE && item == NULL) {
        *action = FB_STORE_KEEP;
    }
    return result;
}

int fb_cache_edit(fb_cache *cache, fb_str key, int64_t now_ns, int64_t wall_ms, fb_edit_fn fn,
                  void *arg) {
    editing job = {.cache = cache,
                   .view = fb_cache_view(cache),
                   .now_ns = now_ns,
                   .wall_ms = wall_ms,
                   .fn = fn,
                   .arg = arg};
    int result = start(cache, job.view, key, now_ns, &job.fresh);
    if (result < 0) {
        return result;
    }
    const fb_class *class_ = fb_view_class(job.view, job.fresh.class_id);
    fb_entry_live(&job.fresh, class_, fb_class_ttl_ns(class_), true, now_ns);
    fb_stripe *stripe = fb_tickets_lock(cache->tickets, key);
    result = fb_store_edit(cache->store, key, now_ns, edit_item, &job);
    if (job.changed) {
        fb_stripe_doom(stripe, key);
    }
    fb_stripe_unlock(stripe);
    const fb_view *view = fb_cache_view(cache);
    if (job.changed && view != job.view &&
        fb_catalog_of_key(view->catalog, key)->id != job.fresh.class_id) {
        // An edit cannot be done twice. Its entry goes as if it had been there when the other
        // catalogue came: cache.c.
        int deleted = fb_store_del(cache->store, key, now_ns);
        (void)deleted;
    }
    if (job.changed) {
        fb_watchers_tell(&cache->watchers, FB_CHANGE_SET, key);
    }
    return result;
}
