// The budget: who may have how many bytes of the limit.
//
// `committed` is the sum of everything that may be resident: header, used parts of the zones, every
// segment in use and every free segment that has not been given back ("warm"). It never grows past
// the limit, so the process's resident memory cannot either. A segment that is freed stays warm for
// the next one who needs it, as far from its start as it was used; when somebody needs bytes of
// another kind (pages for the index, a run) warm segments are given back to the system to make
// room. Runs count by the page, so that a record a little larger than a segment does not cost two,
// and one of a third of a segment costs a third. Before free segments could be warm in part, each
// such record cost its page faults anew, thirty times the copying.
//
// In a file, memory is reserved before it is counted: a touch of what a full file system has no
// room for is fatal. Where it has none within the limit, that is as if the limit were reached
// there. A little is always left to it (store/mapping.c), for a reader may still be looking at what
// was just given back, which takes a page again: one that nobody counts, and that the sweep takes
// away where there is so little room that it matters.
//
// Large stores take memory for the log by the huge page, where that much is left of the limit: what
// is not used of it at once is warm. Giving back a part of one makes it small pages for good.
//
// What clear() took from a shard is one list, whose segments come among the free ones when memory
// is asked for, or by the sweep: so clearing costs the same however much there was.
//
// A run is found first-fit in the map of segments in use. The search is linear in the part of the
// map that is in use, which is a few cache lines; it was not worth a tree.

#include "store/budget.h"

#include "store/mapping.h"

enum {
    SHRINK_MAX = 64 << 10,  // bytes given back in one step
    DIGEST = 64             // cleared segments made free by a sweep
};

static uint8_t *used_map(const fb_store *store) {
    return store->base + store->region->used_map.offset;
}

// Nothing is in use where the map does not reach yet; and there it must not be touched.
static uint8_t used_byte(const fb_store *store, uint32_t id) {
    return id / 8 < store->region->used_map.committed ? used_map(store)[id / 8] : 0;
}

static bool used(const fb_store *store, uint32_t id) {
    return (used_byte(store, id) >> (id % 8) & 1) != 0;
}

static void mark(fb_store *store, uint32_t id, bool in_use) {
    uint8_t *byte = &used_map(store)[id / 8];
    uint8_t bit = (uint8_t)(1U << (id % 8));
    *byte = in_use ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
}

// Memory for certain, in a file. False: the file system has no room.
static bool reserve(fb_store *store, uint64_t offset, uint64_t bytes) {
    fb_region *region = store->region;
    if (store->fd < 0) {
        return true;
    }
    uint64_t room = fb_mapping_room(store);
    region->ceiling = room > UINT64_MAX - region->committed ? UINT64_MAX : region->committed + room;
    return bytes <= room && fb_mapping_reserve(store, offset, bytes) == FB_OK;
}

static void count(fb_region *region, uint64_t more, uint64_t less) {
    region->committed = region->committed + more - less;
    region->pool_changes++;
}

static void unlist_warm(fb_store *store, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    if (segment->prev != 0) {
        fb_segment_at(store, segment->prev)->next = segment->next;
    } else {
        store->region->warm = segment->next;
    }
    if (segment->next != 0) {
        fb_segment_at(store, segment->next)->prev = segment->prev;
    }
    segment->next = 0;
    segment->prev = 0;
    store->region->warm_bytes -= segment->resident;
}

static void list_warm(fb_store *store, uint32_t id, uint32_t resident) {
    fb_segment *segment = fb_segment_at(store, id);
    uint32_t first = store->region->warm;
    *segment = (fb_segment){.next = first, .resident = resident};
    if (first != 0) {
        fb_segment_at(store, first)->prev = id;
    }
    store->region->warm = id;
    store->region->warm_bytes += resident;
    store->region->pool_changes++;
}

static void give(fb_store *store, uint32_t id) {
    uint32_t length = fb_segment_at(store, id)->run;
    uint64_t left = fb_segment_at(store, id)->resident;
    FB_ASSERT(length > 0 && used(store, id));
    for (uint32_t i = 0; i < length; i++) {
        FB_ASSERT(left > 0);
        uint32_t resident = left < store->segment_size ? (uint32_t)left : store->segment_size;
        mark(store, id + i, false);
        list_warm(store, id + i, resident);
        left -= resident;
    }
}

// One of the cleared segments or runs becomes free; false: there is none.
static bool digest(fb_store *store) {
    fb_region *region = store->region;
    uint32_t id = region->cleared;
    if (id != 0) {
        region->cleared = fb_segment_at(store, id)->next;
        region->cleared_bytes -= fb_segment_at(store, id)->resident;
        give(store, id);
    }
    return id != 0;
}

// A free segment that is resident, or 0.
static uint32_t find_warm(fb_store *store) {
    if (store->region->warm == 0) {
        (void)digest(store);
    }
    return store->region->warm;
}

// Gives one warm segment back to the system; false: there is none.
static bool cool(fb_store *store) {
    uint32_t id = find_warm(store);
    if (id == 0) {
        return false;
    }
    unlist_warm(store, id);
    fb_segment *segment = fb_segment_at(store, id);
    fb_mapping_release(store, fb_segment_offset(store, id), segment->resident);
    count(store->region, 0, segment->resident);
    segment->resident = 0;
    if (id < store->region->low) {
        store->region->low = id;
    }
    if (id < store->region->huge_low) {
        store->region->huge_low = id;
    }
    return true;
}

static bool cool_to(fb_store *store, uint64_t bytes) {
    while (store->region->committed > bytes) {
        if (!cool(store)) {
            return false;
        }
    }
    return true;
}

// Whether `more` bytes can be counted, if need be instead of warm segments.
static bool make_room(fb_store *store, uint64_t more) {
    uint64_t limit = store->region->limit;
    return more <= limit && cool_to(store, limit - more);
}

// The same for a file system: takes bytes of a file, if need be instead of warm segments.
static bool obtain(fb_store *store, uint64_t offset, uint64_t bytes) {
    while (!reserve(store, offset, bytes)) {
        if (!cool(store)) {
            return false;
        }
    }
    return true;
}

static bool grow_locked(fb_store *store, fb_zone *zone, uint64_t bytes) {
    uint64_t target = fb_round_up(bytes, store->region->page_size);
    if (target <= zone->committed) {
        return true;
    }
    uint64_t more = target - zone->committed;
    if (target > zone->size || !make_room(store, more) ||
        !obtain(store, zone->offset + zone->committed, more)) {
        return false;
    }
    count(store->region, more, 0);
    zone->committed = target;
    return true;
}

// What is known of segments up to `id` must be resident too.
static bool reach(fb_store *store, uint32_t id) {
    fb_region *region = store->region;
    return grow_locked(store, &region->used_map, id / 8 + 1) &&
           grow_locked(store, &region->segments, (id + UINT64_C(1)) * sizeof(fb_segment));
}

// The first of `length` consecutive segments that are not in use, at `from` or later; 0: none.
static uint32_t find_hole(const fb_store *store, uint32_t from, uint32_t length) {
    uint32_t found = 0;
    for (uint32_t id = from; id <= store->region->segment_count; id++) {
        if (id % 8 == 0 && used_byte(store, id) == UINT8_MAX) {
            found = 0;
            id += 7;
        } else if (used(store, id)) {
            found = 0;
        } else if (++found == length) {
            return id - length + 1;
        }
    }
    return 0;
}

// A segment that is neither in use nor resident.
static uint32_t find_cold(fb_store *store) {
    uint32_t id = find_hole(store, store->region->low, 1);
    if (id == 0 || !reach(store, id)) {
        return 0;
    }
    store->region->low = id;
    return id;
}

// The first of an extent's segments, all of them neither in use nor resident, where none is warm.
static uint32_t find_extent(fb_store *store) {
    fb_region *region = store->region;
    uint32_t length = store->extent_segments;
    uint32_t id = (region->huge_low - 1) / length * length + 1;
    for (; id <= region->segment_count - length; id += length) {
        uint32_t free = 0;
        while (free < length && !used(store, id + free)) {
            free++;
        }
        if (free == length) {
            region->huge_low = id;
            return id;
        }
    }
    region->huge_low = id;
    return 0;
}

// Memory for a whole extent, all of it warm. False: no room for so much, or no huge pages here.
static bool take_extent(fb_store *store) {
    fb_region *region = store->region;
    uint32_t length = store->extent_segments;
    if (length == 0 || region->limit < FB_HUGE_FROM ||
        region->committed + FB_HUGE > region->limit) {
        return false;
    }
    uint32_t id = find_extent(store);
    if (id == 0 || !reach(store, id + length - 1) || region->committed + FB_HUGE > region->limit ||
        !reserve(store, fb_segment_offset(store, id), FB_HUGE)) {
        return false;
    }
    fb_mapping_join(store, fb_segment_offset(store, id));
    count(region, FB_HUGE, 0);
    for (uint32_t i = length; i-- > 0;) {
        list_warm(store, id + i, store->segment_size);
    }
    return true;
}

// Makes the first `bytes` of a free segment resident, and no more of it. False: no room.
static bool warm_up(fb_store *store, uint32_t id, uint32_t bytes) {
    fb_segment *segment = fb_segment_at(store, id);
    uint32_t resident = segment->resident;
    if (resident > 0) {
        // Out of the list first, or it might be given back to make room for itself.
        unlist_warm(store, id);
    }
    if (bytes > resident &&
        (!make_room(store, bytes - resident) ||
         !obtain(store, fb_segment_offset(store, id) + resident, bytes - resident))) {
        if (resident > 0) {
            list_warm(store, id, resident);
        }
        return false;
    }
    if (bytes < resident) {
        fb_mapping_release(store, fb_segment_offset(store, id) + bytes, resident - bytes);
    }
    count(store->region, bytes, resident);
    segment->resident = bytes;
    return true;
}

static uint32_t take_one(fb_store *store, uint32_t bytes) {
    uint32_t id = find_warm(store);
    if (id == 0) {
        id = take_extent(store) ? store->region->warm : find_cold(store);
    }
    if (id == 0 || !make_room(store, 0) || !warm_up(store, id, bytes)) {
        return 0;
    }
    mark(store, id, true);
    *fb_segment_at(store, id) = (fb_segment){.resident = bytes, .run = 1};
    return id;
}

uint32_t fb_budget_take(fb_store *store) {
    pthread_mutex_lock(&store->region->pool_lock);
    uint32_t id = take_one(store, store->segment_size);
    pthread_mutex_unlock(&store->region->pool_lock);
    return id;
}

// The resident bytes among `length` segments that are not in use.
static uint64_t warm_within(const fb_store *store, uint32_t id, uint32_t length) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < length; i++) {
        bytes += fb_segment_at(store, id + i)->resident;
    }
    return bytes;
}

// Turns segments that are not in use into one run with `bytes` resident, for which there is room.
static void claim(fb_store *store, uint32_t id, uint32_t length, uint64_t bytes) {
    uint64_t left = bytes;
    for (uint32_t i = 0; i < length; i++) {
        fb_segment *segment = fb_segment_at(store, id + i);
        uint32_t want = left < store->segment_size ? (uint32_t)left : store->segment_size;
        if (segment->resident > 0) {
            // Only the last can have more than is wanted of it.
            bool fits = warm_up(store, id + i, want < segment->resident ? want : segment->resident);
            FB_ASSERT(fits);
        }
        count(store->region, want, segment->resident);
        *segment = (fb_segment){.state = FB_SEGMENT_TAIL};
        mark(store, id + i, true);
        left -= want;
    }
    *fb_segment_at(store, id) =
        (fb_segment){.resident = (uint32_t)bytes, .run = length, .state = FB_SEGMENT_RUN};
}

static uint32_t take_several(fb_store *store, uint64_t bytes) {
    fb_region *region = store->region;
    uint32_t length = (uint32_t)((bytes + store->segment_size - 1) >> store->segment_shift);
    uint32_t id = find_hole(store, 1, length);
    if (id == 0 || !reach(store, id + length - 1)) {
        return 0;
    }
    while (region->committed + bytes > region->limit + warm_within(store, id, length)) {
        if (!cool(store)) {
            return 0;
        }
    }
    if (!obtain(store, fb_segment_offset(store, id), bytes)) {
        return 0;
    }
    claim(store, id, length, bytes);
    return id;
}

uint32_t fb_budget_take_run(fb_store *store, uint64_t bytes) {
    uint64_t pages = fb_round_up(bytes, store->region->page_size);
    pthread_mutex_lock(&store->region->pool_lock);
    uint32_t id = 0;
    if (pages > store->segment_size) {
        id = take_several(store, pages);
    } else {
        id = take_one(store, (uint32_t)pages);
        if (id != 0) {
            fb_segment_at(store, id)->state = FB_SEGMENT_RUN;
        }
    }
    pthread_mutex_unlock(&store->region->pool_lock);
    return id;
}

void fb_budget_give(fb_store *store, uint32_t id) {
    pthread_mutex_lock(&store->region->pool_lock);
    give(store, id);
    (void)make_room(store, 0);
    pthread_mutex_unlock(&store->region->pool_lock);
}

void fb_budget_give_list(fb_store *store, uint32_t first, uint32_t last, uint64_t bytes) {
    fb_region *region = store->region;
    pthread_mutex_lock(&region->pool_lock);
    fb_segment_at(store, last)->next = region->cleared;
    region->cleared = first;
    region->cleared_bytes += bytes;
    region->pool_changes++;
    pthread_mutex_unlock(&region->pool_lock);
}

// Gives back what readers that came too late have touched of segments that are not resident.
static void mop(fb_store *store) {
    fb_region *region = store->region;
    uint32_t known = (uint32_t)(region->segments.committed / sizeof(fb_segment));
    uint32_t end = known <= region->segment_count ? known : region->segment_count + 1;
    uint32_t from = 1;
    for (uint32_t id = 1; id <= end; id++) {
        if (id == end || used(store, id) || fb_segment_at(store, id)->resident > 0) {
            fb_mapping_release(store, fb_segment_offset(store, from),
                               (uint64_t)(id - from) << store->segment_shift);
            from = id + 1;
        }
    }
}

void fb_budget_ease(fb_store *store) {
    fb_region *region = store->region;
    pthread_mutex_lock(&region->pool_lock);
    for (unsigned i = 0; i < DIGEST && digest(store); i++) {
    }
    if (region->ceiling < region->limit) {
        mop(store);
    }
    pthread_mutex_unlock(&region->pool_lock);
}

bool fb_budget_grow(fb_store *store, fb_zone *zone, uint64_t bytes) {
    if (bytes <= zone->committed) {
        return true;
    }
    pthread_mutex_lock(&store->region->pool_lock);
    bool grown = grow_locked(store, zone, bytes);
    pthread_mutex_unlock(&store->region->pool_lock);
    return grown;
}

void fb_budget_shrink(fb_store *store, fb_zone *zone, uint64_t bytes) {
    uint64_t target = fb_round_up(bytes, store->region->page_size);
    if (target >= zone->committed) {
        return;
    }
    uint64_t less = zone->committed - target;
    less = less < SHRINK_MAX ? less : SHRINK_MAX;
    fb_mapping_release(store, zone->offset + zone->committed - less, less);
    zone->committed -= less;
    pthread_mutex_lock(&store->region->pool_lock);
    count(store->region, 0, less);
    pthread_mutex_unlock(&store->region->pool_lock);
}

bool fb_budget_settle(fb_store *store) {
    pthread_mutex_lock(&store->region->pool_lock);
    bool settled = cool_to(store, store->region->limit);
    pthread_mutex_unlock(&store->region->pool_lock);
    return settled;
}

uint64_t fb_budget_free(fb_store *store) {
    fb_region *region = store->region;
    pthread_mutex_lock(&region->pool_lock);
    uint64_t taken = region->committed - region->warm_bytes - region->cleared_bytes;
    uint64_t limit = region->ceiling < region->limit ? region->ceiling : region->limit;
    uint64_t bytes = taken < limit ? limit - taken : 0;
    pthread_mutex_unlock(&region->pool_lock);
    return bytes;
}
