// The order inside of one record: first what keeps old values out (the wide stamps, a fence, a
// hold), then what is there goes and the loads under way are doomed, and at last the mark says that
// it is done. A daemon that is killed in between applies it once more after its restart; nothing is
// lost by that.
//
// The wide mark of fb_sync moves last, too: what is stored in the shared tier under it may be what
// memory has (what was owed), and must not look newer than what memory has been told of.

#include "sync/apply.h"

#include "base/check.h"
#include "base/rule.h"
#include "base/units.h"
#include "cache/entry.h"

static const fb_scope SCOPES[] = {
    [FB_RECORD_KEY] = FB_SCOPE_KEY,         [FB_RECORD_TAG] = FB_SCOPE_TAG,
    [FB_RECORD_CLASS] = FB_SCOPE_CLASS,     [FB_RECORD_NAMESPACE] = FB_SCOPE_NAMESPACE,
    [FB_RECORD_PATTERN] = FB_SCOPE_PATTERN, [FB_RECORD_ALL] = FB_SCOPE_ALL,
};

// Classes and namespaces that this node does not have concern none of its entries. What else goes
// wrong costs everything that the log concerns.
static void invalidate(fb_sync *sync, uint32_t log, const fb_record *record, int64_t now_ns) {
    fb_cache *cache = fb_sync_options_of(sync)->cache;
    fb_invalidation what = {
        .scope = SCOPES[record->kind], .name = record->name, .soft = record->soft};
    int result = fb_cache_invalidate(cache, &what, now_ns, NULL);
    if (result < 0 && result != FB_ENOCLASS) {
        fb_cache_flush(cache, log, now_ns);
    }
}

static void apply_key(fb_sync *sync, uint32_t log, const fb_record *record, int64_t now_ns) {
    fb_cache *cache = fb_sync_options_of(sync)->cache;
    if (record->fence != 0) {
        fb_cache_fence(cache, record->name, record->fence, now_ns);
    }
    int64_t hold_ns;
    if (__builtin_mul_overflow(record->hold_ms, FB_NS_PER_MS, &hold_ns)) {
        hold_ns = INT64_MAX;
    }
    if (hold_ns > 0) {
        fb_cache_hold(cache, record->name, fb_time_add(now_ns, hold_ns), now_ns);
    } else {
        invalidate(sync, log, record, now_ns);
    }
}

// Whether somebody on this node sees to it himself.
static bool is_own(fb_sync *sync, const fb_record *record) {
    return FB_RULE(own_record_skip) && record->node == fb_sync_options_of(sync)->node &&
           !fb_sync_disowned(sync, record->nonce);
}

void fb_apply_record(fb_sync *sync, uint32_t log, const fb_record *record, const fb_mark *mark,
                     int64_t now_ns) {
    const fb_sync_options *options = fb_sync_options_of(sync);
    bool wide = log == options->partitions;
    if (wide) {
        fb_sync_stamps_warn(sync, record, mark);
    }
    // An own hold is set once more: an older change of another node, which ends holds, may have come by
    // only now. So an own change that came after that hold, and had ended it already, ends it again.
    bool own = is_own(sync, record);
    if (own && record->kind == FB_RECORD_KEY && record->hold_ms == 0) {
        fb_cache_lift(options->cache, record->name);
    }
    if (!own || (record->hold_ms > 0 && FB_RULE(hold_again))) {
        if (record->kind == FB_RECORD_KEY) {
            apply_key(sync, log, record, now_ns);
        } else {
            invalidate(sync, log, record, now_ns);
            fb_sync_wide_applied(sync);
        }
        fb_sync_count(sync, FB_SYNC_COUNT_records, 1);
    }
    if (wide) {
        fb_sync_stamps_raise(sync, record, mark);
    }
    fb_cache_set_mark(options->cache, log, mark);
}

void fb_apply_flush(fb_sync *sync, uint32_t log, const fb_mark *mark, int64_t now_ns) {
    const fb_sync_options *options = fb_sync_options_of(sync);
    if (log == options->partitions) {
        fb_mark unknown = {0};
        fb_sync_stamps_reset(sync, &unknown, NULL, 0);
    }
    if (FB_RULE(follow_flush)) {
        fb_cache_flush(options->cache, log, now_ns);
    }
    fb_cache_set_mark(options->cache, log, mark);
}

// ---- past forebay

static void drop_plain_classes(fb_cache *cache, int64_t now_ns) {
    const fb_catalog *catalog = fb_cache_catalog(cache);
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        if (class_->id != FB_CLASS_PLAIN && class_->options.layout == FB_LAYOUT_PLAIN) {
            fb_invalidation what = {.scope = FB_SCOPE_CLASS, .name = class_->name};
            int result = fb_cache_invalidate(cache, &what, now_ns, NULL);
            (void)result;  // gone meanwhile: with its entries
        }
    }
}

void fb_apply_bypass(fb_sync *sync, fb_str key, int64_t now_ns) {
    fb_cache *cache = fb_sync_options_of(sync)->cache;
    fb_sync_count(sync, FB_SYNC_COUNT_bypasses, 1);
    if (key.ptr == NULL) {
        drop_plain_classes(cache, now_ns);
        return;
    }
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = key};
    int result = fb_cache_invalidate(cache, &what, now_ns, NULL);
    FB_ASSERT(result == FB_OK);
}
