// The budget: who may have how many bytes of the limit.
//
// `committed` is the sum of everything that may be resident: header, used parts of the zones, every
// segment in use and every free segment that has not been given back ("warm"). It never grows past
// the limit, so the process's resident memory cannot either. A segment that is freed stays warm for
// the next one who needs it; when somebody needs bytes of another kind (pages for the index, a run)
// warm segments are given back to the system to make room. Runs count by the page, so that a record
// a little larger than a segment does not cost two.
//
// A run is found first-fit in the map of segments in use. The search is linear in the part of the
// map that is in use, which is a few cache lines; it was not worth a tree.

#include "store/budget.h"

#include <sys/mman.h>

static uint8_t *used_map(const fb_store *store) {
    return store->base + store->region->used_map.offset;
}

static bool used(const fb_store *store, uint32_t id) {
    return (used_map(store)[id / 8] >> (id % 8) & 1) != 0;
}

static void mark(fb_store *store, uint32_t id, bool in_use) {
    uint8_t *byte = &used_map(store)[id / 8];
    uint8_t bit = (uint8_t)(1U << (id % 8));
    *byte = in_use ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
}

static void give_back(fb_store *store, uint64_t offset, uint64_t bytes) {
    int result = madvise(store->base + offset, bytes, MADV_DONTNEED);
    FB_ASSERT(result == 0);
}

static void count(fb_region *region, uint64_t more, uint64_t less) {
    region->committed = region->committed + more - less;
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
    store->region->warm_bytes -= store->segment_size;
}

static void list_warm(fb_store *store, uint32_t id) {
    fb_segment *segment = fb_segment_at(store, id);
    uint32_t first = store->region->warm;
    *segment = (fb_segment){.next = first, .resident = store->segment_size};
    if (first != 0) {
        fb_segment_at(store, first)->prev = id;
    }
    store->region->warm = id;
    store->region->warm_bytes += store->segment_size;
}

// Gives one warm segment back to the system; false: there is none.
static bool cool(fb_store *store) {
    uint32_t id = store->region->warm;
    if (id == 0) {
        return false;
    }
    unlist_warm(store, id);
    give_back(store, fb_segment_offset(store, id), store->segment_size);
    fb_segment_at(store, id)->resident = 0;
    if (id < store->region->low) {
        store->region->low = id;
    }
    count(store->region, 0, store->segment_size);
    return true;
}

// Whether `more` bytes can be counted, if need be instead of warm segments.
static bool make_room(fb_store *store, uint64_t more) {
    fb_region *region = store->region;
    while (region->committed + more > region->limit) {
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
    if (target > zone->size || !make_room(store, more)) {
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
        if (id % 8 == 0 && used_map(store)[id / 8] == UINT8_MAX) {
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

static uint32_t take_cold(fb_store *store) {
    fb_region *region = store->region;
    uint32_t id = find_hole(store, region->low, 1);
    if (id == 0 || !reach(store, id) || !make_room(store, store->segment_size)) {
        return 0;
    }
    region->low = id + 1;
    count(region, store->segment_size, 0);
    return id;
}

uint32_t fb_budget_take(fb_store *store) {
    fb_region *region = store->region;
    pthread_mutex_lock(&region->pool_lock);
    uint32_t id = 0;
    if (make_room(store, 0)) {
        id = region->warm;
        if (id != 0) {
            unlist_warm(store, id);
        } else {
            id = take_cold(store);
        }
    }
    if (id != 0) {
        mark(store, id, true);
        *fb_segment_at(store, id) = (fb_segment){.resident = store->segment_size, .run = 1};
    }
    pthread_mutex_unlock(&region->pool_lock);
    return id;
}

// The warm bytes among `length` segments.
static uint64_t warm_within(const fb_store *store, uint32_t id, uint32_t length) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < length; i++) {
        bytes += fb_segment_at(store, id + i)->resident;
    }
    return bytes;
}

// Turns segments that are not in use into one run with `bytes` resident.
static void claim(fb_store *store, uint32_t id, uint32_t length, uint64_t bytes) {
    uint64_t left = bytes;
    for (uint32_t i = 0; i < length; i++) {
        fb_segment *segment = fb_segment_at(store, id + i);
        if (segment->resident > 0) {
            unlist_warm(store, id + i);
            if (left < store->segment_size) {
                give_back(store, fb_segment_offset(store, id + i) + left,
                          store->segment_size - left);
            }
            count(store->region, 0, store->segment_size);
        }
        *segment = (fb_segment){.state = FB_SEGMENT_TAIL};
        mark(store, id + i, true);
        left -= left < store->segment_size ? left : store->segment_size;
    }
    count(store->region, bytes, 0);
    fb_segment *first = fb_segment_at(store, id);
    first->resident = (uint32_t)bytes;
    first->run = length;
    first->state = FB_SEGMENT_RUN;
}

uint32_t fb_budget_take_run(fb_store *store, uint64_t bytes) {
    fb_region *region = store->region;
    uint64_t pages = fb_round_up(bytes, region->page_size);
    uint32_t length = (uint32_t)((pages + store->segment_size - 1) >> store->segment_shift);
    pthread_mutex_lock(&region->pool_lock);
    uint32_t id = find_hole(store, 1, length);
    if (id != 0 && !reach(store, id + length - 1)) {
        id = 0;
    }
    while (id != 0 &&
           region->committed + pages > region->limit + warm_within(store, id, length)) {
        if (!cool(store)) {
            id = 0;
        }
    }
    if (id != 0) {
        claim(store, id, length, pages);
    }
    pthread_mutex_unlock(&region->pool_lock);
    return id;
}

void fb_budget_give(fb_store *store, uint32_t id) {
    fb_region *region = store->region;
    pthread_mutex_lock(&region->pool_lock);
    uint32_t length = fb_segment_at(store, id)->run;
    uint64_t left = fb_segment_at(store, id)->resident;
    FB_ASSERT(length > 0 && used(store, id));
    for (uint32_t i = 0; i < length; i++) {
        mark(store, id + i, false);
        if (left >= store->segment_size) {
            list_warm(store, id + i);
            left -= store->segment_size;
            continue;
        }
        give_back(store, fb_segment_offset(store, id + i), store->segment_size);
        *fb_segment_at(store, id + i) = (fb_segment){.run = 0};
        count(region, 0, left);
        left = 0;
        if (id + i < region->low) {
            region->low = id + i;
        }
    }
    (void)make_room(store, 0);
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
    give_back(store, zone->offset + target, less);
    zone->committed = target;
    pthread_mutex_lock(&store->region->pool_lock);
    count(store->region, 0, less);
    pthread_mutex_unlock(&store->region->pool_lock);
}

bool fb_budget_settle(fb_store *store) {
    pthread_mutex_lock(&store->region->pool_lock);
    bool settled = make_room(store, 0);
    pthread_mutex_unlock(&store->region->pool_lock);
    return settled;
}

uint64_t fb_budget_free(fb_store *store) {
    fb_region *region = store->region;
    pthread_mutex_lock(&region->pool_lock);
    uint64_t taken = region->committed - region->warm_bytes;
    uint64_t bytes = taken < region->limit ? region->limit - taken : 0;
    pthread_mutex_unlock(&region->pool_lock);
    return bytes;
}
