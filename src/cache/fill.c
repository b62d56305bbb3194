// Loads: begin, fill, end. Why a fill cannot leave an old value behind is told in tickets.c for
// keys, patterns and clear, and in tags.c for tags, classes and namespaces. Here both meet:
//
//     begin:  register the ticket; capture the tag sequence           (then the source is asked)
//     fill:   lock the stripe; doomed, or one of its tags raised since -> FB_DOOMED; else store;
//     unlock
//
// Either may come first in begin(), as long as both come before the source is asked. The check of
// the tags in fill() is for the sake of memory: an entry that is stored although its tag was raised
// is invalid by the sequence it carries.
//
// Lifetimes count from the fill, the age from the load's begin: a load that takes longer than its
// TTL would otherwise never be kept. A load whose outcome is not to be kept (a TTL of 0, a refused
// size) takes away what was there before: those who read next must not see something older than
// this answer.
//
// The cost kept is smoothed over loads (3 parts old, 1 part new), so that one slow load does not
// make a whole lifetime eager.

#include <string.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/units.h"
#include "cache/shared.h"

static const int64_t HIT_FOR_MISS_NS = 120 * FB_NS_PER_S;

// Whether another catalogue has come into force since the class was looked up: its query, or whose
// the key is, may be another by now.
static bool is_outdated(const fb_view *view, const fb_class *class_) {
    return class_->id != FB_CLASS_PLAIN && class_->catalog != view->catalog;
}

int fb_cache_begin(fb_cache *cache, const fb_class *class_, fb_str key, int64_t now_ns,
                   fb_ticket **ticket) {
    *ticket = NULL;
    fb_ticket *made = fb_ticket_new(cache->tickets, key);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->class_ = class_;
    made->tags = cache->tags;
    made->begin_ns = now_ns;
    uint32_t partition = fb_cache_partition_of(cache, key);
    made->partition_slot = fb_tags_partition_slot(cache->tags, partition);
    if (FB_RULE(ticket_first)) {
        fb_ticket_register(made);
    }
    made->seq = fb_tags_seq(cache->tags);
    // After registering, so that a swap of catalogues dooms it or is seen here.
    const fb_view *view = fb_cache_view(cache);
    if (is_outdated(view, class_)) {
        atomic_store(&made->doomed, true);
    }
    int result = fb_cache_index_slots(cache, view, key, made->index_slots, &made->index_count);
    if (result < 0) {
        fb_cache_end(cache, made);
        return result;
    }
    atomic_store_explicit(&cache->seen_ns, now_ns, memory_order_relaxed);
    *ticket = made;
    return FB_OK;
}

void fb_cache_end(fb_cache *cache, fb_ticket *ticket) {
    if (ticket->registered) {
        fb_ticket_unregister(ticket);
    }
    fb_ticket_free(ticket);
}

void fb_ticket_mark_early(fb_ticket *ticket) {
    ticket->early = true;
}

uint64_t fb_ticket_seq(const fb_ticket *ticket) {
    return ticket->seq;
}

bool fb_cache_loading(fb_cache *cache, fb_str key) {
    return fb_tickets_any(cache->tickets, key);
}

// ---- overtaken?

// Whether a slot was invalidated, hard or soft, after `seq`.
static bool raised(const fb_tags *tags, uint32_t slot, uint64_t seq) {
    int64_t soft_ns;
    return fb_tags_hard_after(tags, slot, seq) || fb_tags_soft_after(tags, slot, seq, &soft_ns);
}

// The same for everything, the ticket's partition, class and namespace, and its index tags.
static bool scope_raised(const fb_ticket *ticket) {
    const fb_class *class_ = ticket->class_;
    const fb_tags *tags = ticket->tags;
    for (uint32_t i = 0; i < ticket->index_count; i++) {
        if (raised(tags, ticket->index_slots[i], ticket->seq)) {
            return true;
        }
    }
    return raised(tags, fb_tags_clear_slot(tags), ticket->seq) ||
           raised(tags, ticket->partition_slot, ticket->seq) ||
           (class_->id != FB_CLASS_PLAIN &&
            (raised(tags, fb_tags_class_slot(tags, class_->id), ticket->seq) ||
             raised(tags, fb_tags_namespace_slot(tags, class_->namespace_id), ticket->seq)));
}

bool fb_ticket_doomed(const fb_ticket *ticket) {
    return FB_RULE(detach) && (atomic_load(&ticket->doomed) || scope_raised(ticket));
}

bool fb_cache_answers(const fb_cache *cache, const fb_ticket *ticket, const fb_loaded *loaded,
                      uint64_t reader_seq) {
    if (!FB_RULE(reader_seq) || reader_seq <= ticket->seq) {
        return true;
    }
    // Only the last invalidation of a slot is known. One after the load began may be after the
    // reader too, but then an earlier one may have been between them.
    if (scope_raised(ticket)) {
        return false;
    }
    for (size_t i = 0; i < loaded->tag_count; i++) {
        uint32_t slot = fb_tags_slot(cache->tags, fb_loaded_tag_at(loaded, i));
        if (raised(cache->tags, slot, ticket->seq)) {
            return false;
        }
    }
    return true;
}

// ---- fill

static int64_t lifetime(const fb_class *class_, const fb_loaded *loaded, double jitter_unit) {
    if (loaded->uncacheable) {
        return HIT_FOR_MISS_NS;
    }
    int64_t ttl_ns =
        loaded->result == FB_NEGATIVE ? class_->options.negative_ttl_ns : fb_class_ttl_ns(class_);
    if (loaded->ttl_ms >= 0 && __builtin_mul_overflow(loaded->ttl_ms, FB_NS_PER_MS, &ttl_ns)) {
        ttl_ns = INT64_MAX;
    }
    if (ttl_ns == INT64_MAX) {
        return ttl_ns;
    }
    return ttl_ns - (int64_t)((double)ttl_ns * class_->options.jitter * jitter_unit);
}

// What the key's last load left behind: its cost, and whether it was in vain.
typedef struct former {
    uint32_t cost_us;
    bool unread;
} former;

static void read_former(void *arg, const fb_item *item) {
    fb_entry entry;
    former *last = arg;
    *last = (former){0};
    if (fb_entry_unpack(item, &entry)) {
        last->cost_us = entry.cost_us;
        last->unread = (entry.flags & FB_ENTRY_UNREAD) != 0;
    }
}

static uint32_t smooth_cost(uint32_t old_us, uint32_t cost_us) {
    return old_us == 0 ? cost_us : (uint32_t)((3 * (uint64_t)old_us + cost_us) / 4);
}

typedef struct filling {
    fb_entry entry;
    fb_item item;
    int64_t ttl_ns;
    uint64_t source_version;
    uint8_t bytes[FB_ENTRY_PACKED_MAX];
} filling;

// The key's index tags, which a load by a caller's own loader does not bring, and what it brought.
static int take_tags(fb_cache *cache, const fb_ticket *ticket, const fb_loaded *loaded,
                     fb_entry *entry) {
    for (uint32_t i = 0; i < ticket->index_count; i++) {
        if (!fb_entry_add_tag(entry, ticket->index_slots[i])) {
            return FB_EINVAL;
        }
        entry->flags |= FB_ENTRY_SEQ;
    }
    return fb_entry_take_loaded(entry, cache, loaded);
}

static int prepare(fb_cache *cache, const fb_ticket *ticket, const fb_loaded *loaded,
                   uint32_t cost_us, filling *job) {
    fb_entry *entry = &job->entry;
    fb_entry_start(entry, cache, ticket->class_, fb_ticket_key(ticket), ticket->begin_ns);
    if (FB_RULE(tag_stamp)) {
        entry->seq = ticket->seq;
    }
    int result = take_tags(cache, ticket, loaded, entry);
    bool has_value = loaded->result == FB_OK && !loaded->uncacheable;
    if (has_value) {
        job->item.value = fb_blob_str(loaded->value);
        entry->flags |= loaded->kind == FB_KIND_JSON ? FB_ENTRY_JSON : 0;
    } else {
        entry->flags |= loaded->uncacheable ? FB_ENTRY_UNCACHEABLE : FB_ENTRY_NEGATIVE;
    }
    entry->flags |= ticket->early ? FB_ENTRY_UNREAD : 0;
    if (cost_us > 0) {
        entry->flags |= FB_ENTRY_COST;
        entry->cost_us = cost_us;
    }
    job->item.key = fb_ticket_key(ticket);
    return result;
}

static bool is_refused(const fb_cache *cache, const filling *job, int64_t now_ns) {
    return FB_RULE(holds) &&
           !fb_holds_admit(cache->holds, job->item.key, job->source_version, now_ns);
}

// What watchers are told of a fill. Where nothing was there before, nobody has a copy but who waits
// for this very load (and who remembers that there was nothing). What has expired, and is still there,
// may have been read a moment ago: so it is asked for as of the beginning of time.
static fb_change_kind kind_of_fill(fb_cache *cache, fb_str key) {
    former last;
    bool none = fb_watchers_any(&cache->watchers) &&
                fb_store_peek(cache->store, key, 0, read_former, &last) == FB_MISS;
    return none ? FB_CHANGE_FILLED : FB_CHANGE_REPLACED;
}

// Under the stripe's lock.
static int store(fb_cache *cache, fb_ticket *ticket, filling *job, int64_t now_ns,
                 fb_judged *judged) {
    fb_entry_judge(&job->entry, ticket->class_, ticket->tags, now_ns, judged);
    if ((FB_RULE(doom) && atomic_load(&ticket->doomed)) || is_refused(cache, job, now_ns) ||
        (job->ttl_ns > 0 && judged->find == FB_FIND_NOTHING)) {
        return FB_DOOMED;
    }
    fb_str key = job->item.key;
    if (job->ttl_ns <= 0) {
        int deleted = fb_store_del(cache->store, key, now_ns);
        return deleted < 0 ? deleted : FB_OK;
    }
    int result = fb_store_put(cache->store, &job->item, now_ns, &job->item.version);
    if (result == FB_OK) {
        fb_misses_stored(cache->misses, key, job->entry.dead_ns);
    } else {
        int deleted = fb_store_del(cache->store, key, now_ns);
        (void)deleted;
    }
    return result;
}

int fb_cache_fill(fb_cache *cache, fb_ticket *ticket, const fb_loaded *loaded, uint32_t cost_us,
                  double jitter_unit, int64_t now_ns, fb_value *value_info) {
    FB_ASSERT(loaded->result == FB_OK || loaded->result == FB_NEGATIVE);
    *value_info = (fb_value){.kind = loaded->kind, .tier = FB_TIER_SOURCE};
    filling job = {.ttl_ns = lifetime(ticket->class_, loaded, jitter_unit),
                   .source_version = loaded->source_version};
    former last = {0};
    if (fb_store_peek(cache->store, fb_ticket_key(ticket), now_ns, read_former, &last) != FB_OK) {
        last = (former){0};  // whatever was seen of one that went
    }
    if (last.unread) {
        fb_cache_count(cache, ticket->class_->id, FB_COUNTER_early_wasted, 1);
    }
    int result = prepare(cache, ticket, loaded, smooth_cost(last.cost_us, cost_us), &job);
    if (result < 0) {
        return result;
    }
    bool grace = (job.entry.flags & (FB_ENTRY_NEGATIVE | FB_ENTRY_UNCACHEABLE)) == 0;
    fb_entry_live(&job.entry, ticket->class_, job.ttl_ns, grace, now_ns);
    fb_entry_pack(&job.entry, job.bytes, &job.item);
    if (!ticket->registered) {  // only where the rule ticket_first is taken out
        fb_ticket_register(ticket);
    }
    fb_judged judged;
    fb_stripe *stripe = FB_RULE(fill_lock) ? fb_ticket_lock(ticket) : NULL;
    fb_change_kind kind = kind_of_fill(cache, job.item.key);
    result = store(cache, ticket, &job, now_ns, &judged);
    fb_stripe_unlock(stripe);
    if (result != FB_DOOMED && fb_watchers_any(&cache->watchers)) {
        fb_change change = {
            .kind = kind, .name = job.item.key, .version = result == FB_OK ? job.item.version : 0};
        fb_watchers_call(&cache->watchers, &change);
    }
    fb_entry_show(&job.item, &job.entry, &judged, now_ns, value_info);
    value_info->tier = FB_TIER_SOURCE;
    value_info->data = (fb_str){NULL, 0};
    if (result != FB_OK || job.ttl_ns <= 0) {
        value_info->ttl_ms = 0;
    }
    return result;
}

// ---- a caller's own value, told to the shared tier first

// A class of before another catalogue, or one that does not own the key any more: not with its
// tags.
static bool has_class_of_key(const fb_cache *cache, const fb_ticket *ticket) {
    const fb_view *view = fb_cache_view(cache);
    return fb_catalog_of_key(view->catalog, fb_ticket_key(ticket)) == ticket->class_;
}

static int prepare_own(fb_cache *cache, const fb_ticket *ticket, const fb_loaded *value,
                       int64_t fresh_ns, int64_t now_ns, filling *job) {
    fb_str key = fb_ticket_key(ticket);
    fb_entry *entry = &job->entry;
    fb_entry_start(entry, cache, ticket->class_, key, now_ns);
    int result = fb_entry_take_key(entry, cache, ticket->class_, key);
    if (result == FB_OK) {
        result = fb_entry_take_loaded(entry, cache, value);
    }
    entry->seq = ticket->seq;
    entry->flags |= FB_ENTRY_SEQ | (value->kind == FB_KIND_JSON ? FB_ENTRY_JSON : 0);
    fb_entry_live(entry, ticket->class_, fresh_ns > 0 ? fresh_ns : 0, false, now_ns);
    job->item.key = key;
    job->item.value = fb_blob_str(value->value);
    job->ttl_ns = fresh_ns;
    job->source_version = value->source_version;
    fb_entry_pack(entry, job->bytes, &job->item);
    return result;
}

// A load of the key that is under way may have seen what was there before this change, and none of
// the records that it waits for: it is doomed here. Where the value itself is not stored, what such
// a load has stored already goes.
int fb_cache_put_under(fb_cache *cache, fb_ticket *ticket, const fb_loaded *value, int64_t fresh_ns,
                       int64_t now_ns) {
    FB_ASSERT(value->result == FB_OK && ticket->registered);
    filling job = {.ttl_ns = 0};
    int result = prepare_own(cache, ticket, value, fresh_ns, now_ns, &job);
    fb_stripe *stripe = fb_ticket_lock(ticket);
    if (FB_RULE(put_dooms)) {
        fb_ticket_doom_others(ticket);
    }
    if (result == FB_OK) {
        fb_judged judged;
        result = has_class_of_key(cache, ticket) ? store(cache, ticket, &job, now_ns, &judged)
                                                 : FB_DOOMED;
    }
    if (result != FB_OK) {
        int deleted = fb_store_del(cache->store, job.item.key, now_ns);
        (void)deleted;
    }
    fb_stripe_unlock(stripe);
    fb_watchers_tell(&cache->watchers, FB_CHANGE_SET, job.item.key);
    return result;
}
