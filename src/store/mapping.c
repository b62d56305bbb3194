// The region: one anonymous mapping, laid out for the largest limit it may ever be given.
//
// The address space is many times the limit on purpose. It costs nothing until it is touched, it
// lets the limit grow without moving anything, and it lets a large record have consecutive segments
// although memory is never compacted across shards: there is always a hole long enough, and the
// segments around it need not be resident. Where so much cannot be reserved (a limit on address
// space), less is, down to what the limit itself needs.
//
// Huge pages are declined: they would make whole megabytes resident for one touched line of an
// index.

#include "store/mapping.h"

#include "store/budget.h"
#include "store/bucket.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    SHARDS_MAX = 4096,
    SEGMENT_MAX = 1 << 20,
    SEGMENT_MIN = 16 << 10,
    GROWTH = 16,           // limit_max over limit, where nothing is asked for
    ROOM = 4,              // address space over limit_max: a run may use a quarter of its own
    BYTES_PER_BUCKET = 160 // of the limit, with the smallest records
};
#define LIMIT_MAX (UINT64_C(1) << 40)
#define MANY_SHARDS_FROM (UINT64_C(1) << 30)
#define SHARD_BYTES_MIN (UINT64_C(64) << 10)

typedef struct layout {
    uint64_t limit_max, page;
    uint32_t shard_count, segment_size;
    uint64_t shards_at, segments_at, segments_size, map_at, map_size;
    uint64_t zones_at, buckets_size, overflow_size, ghosts_size, log_at, size;
    uint32_t segment_count;
} layout;

static uint64_t power_below(uint64_t number) {
    return UINT64_C(1) << (63 - __builtin_clzll(number | 1));
}

static uint64_t clamp(uint64_t number, uint64_t low, uint64_t high) {
    return number < low ? low : number > high ? high : number;
}

// Segments are small enough that a shard has some dozens (the queues must have a resolution, and
// the open and spare ones must not be much), and large enough that few records are "large".
static void choose_sizes(layout *plan, const fb_store_options *options) {
    uint64_t limit = options->limit_bytes;
    uint64_t least = plan->page > SEGMENT_MIN ? plan->page : SEGMENT_MIN;
    uint64_t shards = limit >= MANY_SHARDS_FROM ? 64 : 16;
    uint64_t segment = clamp(power_below(limit / shards / 256), least, SEGMENT_MAX);
    if (options->shard_count == 0) {
        shards = clamp(power_below(limit / segment / 64), 1, shards);
    } else {
        shards = options->shard_count;
        segment = clamp(power_below(limit / shards / 64), plan->page, segment);
    }
    plan->segment_size = (uint32_t)segment;
    plan->shard_count = (uint32_t)shards;
}

static void lay_out(layout *plan) {
    uint64_t page = plan->page;
    plan->segment_count = (uint32_t)(plan->limit_max / plan->segment_size * ROOM);
    plan->shards_at = fb_round_up(sizeof(fb_region), page);
    plan->segments_at = fb_round_up(plan->shards_at + plan->shard_count * sizeof(fb_shard), page);
    uint64_t segments = plan->segment_count + UINT64_C(1);
    plan->segments_size = fb_round_up(segments * sizeof(fb_segment), page);
    plan->map_at = plan->segments_at + plan->segments_size;
    plan->map_size = fb_round_up(plan->segment_count / 8 + 16, page);
    plan->zones_at = plan->map_at + plan->map_size;
    uint64_t share = plan->limit_max / plan->shard_count / BYTES_PER_BUCKET;
    share = clamp(share, FB_BUCKETS_MIN, UINT32_MAX / 2);
    plan->buckets_size = fb_round_up(share * FB_LINE, page);
    plan->overflow_size = fb_round_up(plan->buckets_size / 2, page) + page;
    plan->ghosts_size = fb_round_up(plan->buckets_size / 4, page) + page;
    uint64_t zones = plan->buckets_size + plan->overflow_size + plan->ghosts_size;
    plan->log_at = plan->zones_at + zones * plan->shard_count;
    plan->log_at = fb_round_up(plan->log_at, plan->segment_size);
    plan->size = plan->log_at + (uint64_t)plan->segment_count * plan->segment_size;
}

static bool map_fresh(fb_store *store, const layout *plan) {
    void *base = mmap(NULL, plan->size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return false;
    }
    // Refused where the kernel has no huge pages at all, which is as good.
    (void)madvise(base, plan->size, MADV_NOHUGEPAGE);
    store->base = base;
    return true;
}

static fb_zone cut(uint64_t *at, uint64_t size) {
    fb_zone zone = {.offset = *at, .size = size};
    *at += size;
    return zone;
}

static void start_shard(fb_store *store, fb_shard *shard, const layout *plan, uint64_t *at) {
    pthread_mutex_init(&shard->lock, NULL);
    shard->buckets = cut(at, plan->buckets_size);
    shard->overflow = cut(at, plan->overflow_size);
    shard->ghosts = cut(at, plan->ghosts_size);
    shard->now_ns = INT64_MIN;
    bool room = fb_bucket_reset(store, shard);
    FB_ASSERT(room);
}

static void start(fb_store *store, const fb_store_options *options, const layout *plan) {
    fb_region *region = (fb_region *)(void *)store->base;
    store->region = region;
    store->shards = (fb_shard *)(void *)(store->base + plan->shards_at);
    store->segments = (fb_segment *)(void *)(store->base + plan->segments_at);
    store->seed = options->seed;
    store->segment_size = plan->segment_size;
    store->segment_shift = (uint32_t)__builtin_ctz(plan->segment_size);
    store->size = plan->size;
    store->log_at = plan->log_at;
    store->zones_at = plan->zones_at;
    store->zones_stride = plan->buckets_size + plan->overflow_size + plan->ghosts_size;
    store->buckets_size = plan->buckets_size;
    store->overflow_size = plan->overflow_size;
    store->fd = -1;
    region->magic = FB_REGION_MAGIC;
    region->format = FB_REGION_FORMAT;
    region->page_size = (uint32_t)plan->page;
    region->size = plan->size;
    region->limit_max = plan->limit_max;
    region->seed = options->seed;
    region->shard_count = plan->shard_count;
    region->shard_bits = (uint32_t)__builtin_ctz(plan->shard_count);
    store->shard_shift = 64 - region->shard_bits;
    region->segment_shift = store->segment_shift;
    region->segment_count = plan->segment_count;
    region->shards_at = plan->shards_at;
    region->log_at = plan->log_at;
    pthread_mutex_init(&region->pool_lock, NULL);
    pthread_mutex_init(&region->resize_lock, NULL);
    region->limit = options->limit_bytes;
    region->committed = plan->segments_at;
    region->segments = (fb_zone){.offset = plan->segments_at, .size = plan->segments_size};
    region->used_map = (fb_zone){.offset = plan->map_at, .size = plan->map_size};
    region->low = 1;
    uint64_t at = plan->zones_at;
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        start_shard(store, &store->shards[i], plan, &at);
    }
}

int fb_mapping_new(fb_store *store, const fb_store_options *options) {
    uint32_t shards = options->shard_count;
    uint64_t limit = options->limit_bytes;
    if (limit < FB_STORE_LIMIT_MIN || limit > LIMIT_MAX || (shards & (shards - 1)) != 0 ||
        shards > SHARDS_MAX || (shards > 0 && limit / shards < SHARD_BYTES_MIN)) {
        return FB_EINVAL;
    }
    layout plan = {.page = (uint64_t)sysconf(_SC_PAGESIZE)};
    choose_sizes(&plan, options);
    uint64_t wanted = options->limit_max_bytes > 0 ? options->limit_max_bytes : limit * GROWTH;
    plan.limit_max = clamp(wanted, limit, LIMIT_MAX);
    for (;;) {
        lay_out(&plan);
        if (map_fresh(store, &plan)) {
            start(store, options, &plan);
            return FB_OK;
        }
        if (plan.limit_max == limit || options->limit_max_bytes > 0) {
            return FB_ENOMEM;
        }
        plan.limit_max = clamp(plan.limit_max / 2, limit, LIMIT_MAX);
    }
}

void fb_mapping_free(fb_store *store) {
    if (store->base == NULL) {
        return;
    }
    for (uint32_t i = 0; i < store->region->shard_count; i++) {
        pthread_mutex_destroy(&store->shards[i].lock);
    }
    pthread_mutex_destroy(&store->region->pool_lock);
    pthread_mutex_destroy(&store->region->resize_lock);
    munmap(store->base, store->region->size);
    store->base = NULL;
}

uint64_t fb_mapping_floor(const fb_store *store) {
    fb_region *region = store->region;
    // Two open segments, a spare one and one to turn over; the first pages of the index.
    uint64_t shard = 4 * (uint64_t)store->segment_size + 4 * (uint64_t)region->page_size;
    pthread_mutex_lock(&region->pool_lock);
    uint64_t floor = region->segments.offset + region->segments.committed +
                     region->used_map.committed + region->shard_count * shard;
    pthread_mutex_unlock(&region->pool_lock);
    // A record of the largest size, twice: what is there stays until the new one is.
    return floor + floor / 2;
}
