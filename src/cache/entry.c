// The bytes beside a value, in this order, each there only where its flag says so:
//
//     born (ms) 5 | GRACE: fresh_until 8 | SEQ: sequence 6 | COST: microseconds 4 | tags 3 each
//
// Behind the tags a value's media type, where it has one: a slot that there is not, then the text, with
// NULs up to a whole number of tags.
//
// The store keeps when an entry is gone, its class and its flags. So a plain key without TTL or
// tags costs 5 bytes here, one with a TTL the same, an entry of a class with stale_ttl and no
// tags 23.
//
// An entry's life: FRESH until fresh_until, STALE for the class's stale_ttl, FALLBACK for its
// fallback_ttl, gone; the store drops it at the end. The two spans are read from the class in
// force, so that a reload that shortens them holds at once; one that lengthens them does for new
// entries. Entries that a caller gave a TTL of its own have no GRACE: they go when the caller said.
// Negative and hit-for-miss entries have none either: a stale "does not exist" helps nobody.
//
// A soft invalidation ends the fresh time at the moment it was made. Whether it has happened is
// told by a number (the slot's) or a flag, never by comparing times: readers' clocks are read at
// other moments, and one that is a little behind must not see the entry fresh again. Where nothing
// may be served stale the entry is then gone, because the same rules lead there.
//
// Early refresh is XFetch (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache
// Stampede Prevention", VLDB 2015): refresh when now - cost x beta x ln(U) >= fresh_until. -ln(U)
// is above 20 once in 5 x 10^8 draws: before fresh_until - 20 x beta x cost no random number is
// drawn.

#include "cache/entry.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"

enum { BORN_LEN = 5, GRACE_LEN = 8, SEQ_LEN = 6, COST_LEN = 4, TAG_LEN = 3, TYPE_MARK = 0xffffff };

static const double EARLY_SPAN = 20;

_Static_assert(FB_CONTENT_TYPE_LEN_MAX % TAG_LEN == 0, "a type may have as many bytes as it takes");
_Static_assert((int)FB_ENTRY_PACKED_MAX <= (int)FB_STORE_EXTRA_MAX,
               "an entry fits the store's extra bytes");

static uint8_t *put_number(uint8_t *place, uint64_t number, size_t len) {
    for (size_t i = 0; i < len; i++) {
        place[i] = (uint8_t)(number >> (8 * i));
    }
    return place + len;
}

static const uint8_t *get_number(const uint8_t *place, uint64_t *number, size_t len) {
    *number = 0;
    for (size_t i = 0; i < len; i++) {
        *number |= (uint64_t)place[i] << (8 * i);
    }
    return place + len;
}

static uint8_t *put_type(uint8_t *place, fb_str type) {
    place = put_number(place, TYPE_MARK, TAG_LEN);
    memcpy(place, type.ptr, type.len);
    size_t rest = (TAG_LEN - type.len % TAG_LEN) % TAG_LEN;
    memset(place + type.len, 0, rest);
    return place + type.len + rest;
}

void fb_entry_pack(const fb_entry *entry, uint8_t bytes[FB_ENTRY_PACKED_MAX], fb_item *item) {
    FB_ASSERT(entry->tag_count <= FB_ENTRY_TAGS_MAX);
    FB_ASSERT((entry->flags & FB_ENTRY_GRACE) != 0 || entry->fresh_until_ns == entry->dead_ns);
    uint8_t *place = put_number(bytes, (uint64_t)entry->born_ms, BORN_LEN);
    if (entry->flags & FB_ENTRY_GRACE) {
        place = put_number(place, (uint64_t)entry->fresh_until_ns, GRACE_LEN);
    }
    if (entry->flags & FB_ENTRY_SEQ) {
        place = put_number(place, entry->seq, SEQ_LEN);
    }
    if (entry->flags & FB_ENTRY_COST) {
        place = put_number(place, entry->cost_us, COST_LEN);
    }
    for (size_t i = 0; i < entry->tag_count; i++) {
        place = put_number(place, entry->tags[i], TAG_LEN);
    }
    if (entry->type.len > 0) {
        FB_ASSERT(entry->type.len <= FB_CONTENT_TYPE_LEN_MAX);
        place = put_type(place, entry->type);
    }
    item->extra = (fb_str){(const char *)bytes, (size_t)(place - bytes)};
    item->flags = entry->flags;
    item->class_id = entry->class_id;
    item->expires_ns = entry->dead_ns == INT64_MAX ? 0 : entry->dead_ns;
}

static size_t fixed_len(uint8_t flags) {
    return BORN_LEN + (flags & FB_ENTRY_GRACE ? (size_t)GRACE_LEN : 0) +
           (flags & FB_ENTRY_SEQ ? (size_t)SEQ_LEN : 0) +
           (flags & FB_ENTRY_COST ? (size_t)COST_LEN : 0);
}

// `place` to the end of the item's bytes, which are whole tags: the type that is among them from there on.
static fb_str type_from(const fb_item *item, const uint8_t *place) {
    const uint8_t *end = (const uint8_t *)item->extra.ptr + item->extra.len;
    while (end > place && end[-1] == 0) {
        end--;
    }
    return fb_str_make((const char *)place, (size_t)(end - place));
}

// Behind the fixed bytes; false: more than there can be.
static bool take_tags(const fb_item *item, const uint8_t *place, fb_entry *entry) {
    const uint8_t *end = (const uint8_t *)item->extra.ptr + item->extra.len;
    entry->tag_count = 0;
    entry->type = (fb_str){NULL, 0};
    while (place < end) {
        uint64_t number;
        place = get_number(place, &number, TAG_LEN);
        if (number == TYPE_MARK) {
            entry->type = type_from(item, place);
            return entry->type.len <= FB_CONTENT_TYPE_LEN_MAX;
        }
        if (entry->tag_count == FB_ENTRY_TAGS_MAX) {
            return false;
        }
        entry->tags[entry->tag_count++] = (uint32_t)number;
    }
    return true;
}

bool fb_entry_unpack(const fb_item *item, fb_entry *entry) {
    size_t len = item->extra.len;
    size_t fixed = fixed_len(item->flags);
    if (len < fixed || (len - fixed) % TAG_LEN != 0) {
        return false;
    }
    uint64_t number;
    const uint8_t *place = get_number((const uint8_t *)item->extra.ptr, &number, BORN_LEN);
    entry->flags = item->flags;
    entry->class_id = item->class_id;
    entry->born_ms = (int64_t)number;
    entry->dead_ns = item->expires_ns == 0 ? INT64_MAX : item->expires_ns;
    entry->fresh_until_ns = entry->dead_ns;
    entry->seq = 0;
    entry->cost_us = 0;
    if (item->flags & FB_ENTRY_GRACE) {
        place = get_number(place, &number, GRACE_LEN);
        entry->fresh_until_ns = (int64_t)number;
    }
    if (item->flags & FB_ENTRY_SEQ) {
        place = get_number(place, &entry->seq, SEQ_LEN);
    }
    if (item->flags & FB_ENTRY_COST) {
        place = get_number(place, &number, COST_LEN);
        entry->cost_us = (uint32_t)number;
    }
    entry->key = item->key;
    return take_tags(item, place, entry);
}

// Of numbers, the least byte first, as put_number() writes them.
static uint64_t two_at(const char *place) {
    const uint8_t *byte = (const uint8_t *)place;
    return byte[0] | (uint64_t)byte[1] << 8;
}

static uint64_t four_at(const char *place) {
    return two_at(place) | two_at(place + 2) << 16;
}

bool fb_entry_glance(const fb_item *item, uint64_t seq, fb_entry *entry) {
    const char *place = item->extra.ptr;
    uint8_t flags = item->flags;
    if ((flags & FB_ENTRY_SOFT) != 0 || item->extra.len < fixed_len(flags)) {
        return false;
    }
    entry->flags = flags;
    entry->class_id = item->class_id;
    entry->born_ms = (int64_t)(four_at(place) | (uint64_t)(uint8_t)place[4] << 32);
    entry->dead_ns = item->expires_ns == 0 ? INT64_MAX : item->expires_ns;
    entry->fresh_until_ns = entry->dead_ns;
    entry->cost_us = 0;
    entry->tag_count = 0;
    entry->type = (fb_str){NULL, 0};
    entry->key = item->key;
    place += BORN_LEN;
    if (flags & FB_ENTRY_GRACE) {
        entry->fresh_until_ns = (int64_t)(four_at(place) | four_at(place + 4) << 32);
        place += GRACE_LEN;
    }
    if (flags & FB_ENTRY_SEQ) {
        entry->seq = four_at(place) | two_at(place + 4) << 32;
        if (entry->seq != seq) {
            return false;
        }
        place += SEQ_LEN;
    }
    if (flags & FB_ENTRY_COST) {
        entry->cost_us = (uint32_t)four_at(place);
    }
    return true;
}

bool fb_entry_add_tag(fb_entry *entry, uint32_t slot) {
    for (size_t i = 0; i < entry->tag_count; i++) {
        if (entry->tags[i] == slot) {
            return true;
        }
    }
    if (entry->tag_count == FB_ENTRY_TAGS_MAX) {
        return false;
    }
    entry->tags[entry->tag_count++] = slot;
    return true;
}

// ---- judging

bool fb_entry_overtaken(const fb_entry *entry, fb_kin kin, const fb_outside *stamps, uint64_t seq,
                        fb_miss_reason *why) {
    *why = FB_MISS_CLEARED;
    if (fb_stamps_hard_after(stamps, fb_stamps_clear_slot(stamps), seq) ||
        (FB_RULE(partition_flush) && fb_stamps_flushed_after(stamps, entry->key, seq))) {
        return true;
    }
    *why = FB_MISS_INVALIDATED;
    if (kin.class_id != FB_CLASS_PLAIN &&
        (fb_stamps_hard_after(stamps, fb_stamps_class_slot(stamps, kin.class_id), seq) ||
         fb_stamps_hard_after(stamps, fb_stamps_namespace_slot(stamps, kin.namespace_id), seq))) {
        return true;
    }
    *why = FB_MISS_TAG;
    for (size_t i = 0; i < entry->tag_count; i++) {
        if (fb_stamps_hard_after(stamps, entry->tags[i], seq)) {
            return true;
        }
    }
    *why = FB_MISS_UNKNOWN;
    return false;
}

// Takes *until back to the soft invalidation of one slot, if there was one.
static void soften(const fb_outside *stamps, uint32_t slot, uint64_t seq, int64_t *until) {
    int64_t soft_ns;
    if (fb_stamps_soft_after(stamps, slot, seq, &soft_ns) && soft_ns < *until) {
        *until = soft_ns;
    }
}

static int64_t softened(const fb_entry *entry, fb_kin kin, const fb_outside *stamps,
                        int64_t now_ns) {
    int64_t until = INT64_MAX;
    soften(stamps, fb_stamps_clear_slot(stamps), entry->seq, &until);
    if (kin.class_id != FB_CLASS_PLAIN) {
        soften(stamps, fb_stamps_class_slot(stamps, kin.class_id), entry->seq, &until);
        soften(stamps, fb_stamps_namespace_slot(stamps, kin.namespace_id), entry->seq, &until);
    }
    for (size_t i = 0; i < entry->tag_count; i++) {
        soften(stamps, entry->tags[i], entry->seq, &until);
    }
    if (until == INT64_MIN) {
        until = entry->born_ms * FB_NS_PER_MS;
    }
    return until == INT64_MAX || until < now_ns ? until : now_ns;
}

bool fb_entry_fresh_until(const fb_entry *entry, fb_kin kin, const fb_outside *stamps,
                          int64_t now_ns, int64_t *until_ns, fb_miss_reason *why) {
    *why = FB_MISS_EXPIRED;
    if (entry->dead_ns <= now_ns) {
        return false;
    }
    int64_t until = entry->fresh_until_ns;
    if ((entry->flags & FB_ENTRY_SEQ) != 0 && entry->seq != fb_stamps_seq(stamps)) {
        if (fb_entry_overtaken(entry, kin, stamps, entry->seq, why)) {
            return false;
        }
        int64_t soft = softened(entry, kin, stamps, now_ns);
        until = soft < until ? soft : until;
    }
    if ((entry->flags & FB_ENTRY_SOFT) != 0 && until > now_ns) {
        until = now_ns;
    }
    *until_ns = until;
    *why = FB_MISS_UNKNOWN;
    return true;
}

// What is left of an entry that is not fresh any more.
static void judge_old(const fb_entry *entry, const fb_class *class_, int64_t now_ns,
                      fb_judged *judged) {
    bool grace = fb_entry_has_grace(entry);
    const fb_class_options *options = &class_->options;
    if (grace && now_ns < judged->stale_until_ns) {
        judged->find = FB_FIND_STALE;
    } else if (grace && now_ns < fb_time_add(judged->stale_until_ns, options->fallback_ttl_ns)) {
        judged->find = FB_FIND_FALLBACK;
        judged->why = FB_MISS_EXPIRED;
    } else {
        judged->why = entry->fresh_until_ns > now_ns ? FB_MISS_INVALIDATED : FB_MISS_EXPIRED;
    }
}

void fb_entry_judge(const fb_entry *entry, const fb_class *class_, const fb_tags *tags,
                    int64_t now_ns, fb_judged *judged) {
    *judged = (fb_judged){.find = FB_FIND_NOTHING, .why = FB_MISS_EXPIRED};
    int64_t fresh_until;
    if (class_ == NULL || !fb_entry_fresh_until(entry, fb_kin_of(class_), &tags->outside, now_ns,
                                                &fresh_until, &judged->why)) {
        return;
    }
    int64_t stale_until = fresh_until;
    if (fb_entry_has_grace(entry)) {
        stale_until = fb_time_add(fresh_until, class_->options.stale_ttl_ns);
    }
    judged->fresh_until_ns = fresh_until;
    judged->stale_until_ns = stale_until < entry->dead_ns ? stale_until : entry->dead_ns;
    judged->dead_ns = entry->dead_ns;
    if (now_ns >= fresh_until) {
        judge_old(entry, class_, now_ns, judged);
    } else {
        judged->find = entry->flags & FB_ENTRY_UNCACHEABLE ? FB_FIND_HIT_FOR_MISS : FB_FIND_FRESH;
    }
}

bool fb_entry_is_early(const fb_entry *entry, double beta, int64_t fresh_until_ns, int64_t now_ns,
                       fb_rng *rng) {
    if (rng == NULL || entry->cost_us == 0 || fresh_until_ns == INT64_MAX) {
        return false;
    }
    double unit = beta * entry->cost_us * (double)FB_NS_PER_US;
    double left = (double)(fresh_until_ns - now_ns);
    return left < EARLY_SPAN * unit && left <= -log(fb_rng_unit(rng)) * unit;
}

// Also of an entry that was only glanced at.
static fb_str type_of(const fb_item *item) {
    size_t fixed = fixed_len(item->flags);
    const uint8_t *bytes = (const uint8_t *)item->extra.ptr;
    for (size_t at = fixed; at + TAG_LEN < item->extra.len; at += TAG_LEN) {
        uint64_t number;
        (void)get_number(bytes + at, &number, TAG_LEN);
        if (number == TYPE_MARK) {
            return type_from(item, bytes + at + TAG_LEN);
        }
    }
    return (fb_str){NULL, 0};
}

void fb_entry_show(const fb_item *item, const fb_entry *entry, const fb_judged *judged,
                   int64_t now_ns, fb_value *value) {
    int64_t age_ms = now_ns / FB_NS_PER_MS - entry->born_ms;
    int64_t left_ns = judged->fresh_until_ns - now_ns;
    *value = (fb_value){
        .data = item->value,
        .kind = entry->flags & FB_ENTRY_JSON ? FB_KIND_JSON : FB_KIND_BYTES,
        .tier = FB_TIER_MEMORY,
        .freshness = judged->find == FB_FIND_STALE      ? FB_STALE
                     : judged->find == FB_FIND_FALLBACK ? FB_FALLBACK
                                                        : FB_FRESH,
        .age_ms = age_ms > 0 ? age_ms : 0,
        .version = item->version,
        .content_type = type_of(item),
    };
    if (judged->fresh_until_ns == INT64_MAX) {
        value->ttl_ms = -1;
    } else if (left_ns > 0) {
        value->ttl_ms = (left_ns - 1) / FB_NS_PER_MS + 1;
    }
}
