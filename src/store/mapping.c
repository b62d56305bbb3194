// The region: one mapping, laid out for the largest limit it may ever be given.
//
// The address space is many times the limit on purpose. It costs nothing until it is touched, it
// lets the limit grow without moving anything, and it lets a large record have consecutive segments
// although memory is never compacted across shards: there is always a hole long enough, and the
// segments around it need not be resident. Where so much cannot be reserved (a limit on address
// space), less is, down to what the limit itself needs.
//
// A region in a file is as sparse as one in private memory: the file has its full size from the
// start, and only what is reserved (store/budget.h) takes memory. A touch of what the file system
// cannot give is a SIGBUS, so the writer touches nothing that it has not reserved.
//
// Huge pages are declined but for whole extents of the log (store/budget.c): elsewhere they would
// make whole megabytes resident for one touched line. For these the log begins at a multiple of an
// extent, and so does the mapping. At a million entries of 100 bytes they made a hit a fifth to a
// quarter cheaper, in private memory and in a file alike (paired medians: 628 to 501 ns, 600 to
// 467, on a busy machine); a file's pages are joined after they were reserved, which also works on
// a tmpfs mounted without huge pages. For the index they gave another twentieth to twelfth, at up
// to 2 MiB a shard, which the limit has better uses for. Pages that nothing may touch lie on either
// side of the mapping.

#include "store/mapping.h"

#include "store/budget.h"
#include "store/bucket.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    SHARDS_MAX = 4096,
    SEGMENT_MAX = 1 << 20,
    SEGMENT_MIN = 16 << 10,
    GROWTH = 16,             // limit_max over limit, where nothing is asked for
    ROOM = 4,                // address space over limit_max: a run may use a quarter of its own
    BYTES_PER_BUCKET = 160,  // of the limit, with the smallest records
    SLACK = 32,              // of a file system, that is left to it
    SLACK_MIN = 64 << 10,
    SLACK_MAX = 16 << 20
};
#define LIMIT_MAX (UINT64_C(1) << 40)
#define MANY_SHARDS_FROM (UINT64_C(1) << 30)
#define SHARD_BYTES_MIN (UINT64_C(64) << 10)
#define APP_MAX (UINT64_C(1) << 32)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static uint64_t power_below(uint64_t number) {
    return UINT64_C(1) << (63 - __builtin_clzll(number | 1));
}

static uint64_t clamp(uint64_t number, uint64_t low, uint64_t high) {
    return number < low ? low : number > high ? high : number;
}

// Segments are small enough that a shard has some dozens (the queues must have a resolution, and
// the open and spare ones must not be much), and large enough that few records are "large".
static void choose_sizes(fb_layout *plan, const fb_store_options *options) {
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
    plan->segment_size = segment;
    plan->shard_count = shards;
}

static bool power_of_two(uint64_t number) {
    return number != 0 && (number & (number - 1)) == 0;
}

bool fb_layout_possible(const fb_layout *plan) {
    return plan->limit_max >= FB_STORE_LIMIT_MIN && plan->limit_max <= LIMIT_MAX &&
           power_of_two(plan->page) && power_of_two(plan->shard_count) &&
           plan->shard_count <= SHARDS_MAX && power_of_two(plan->segment_size) &&
           plan->segment_size >= plan->page && plan->segment_size <= SEGMENT_MAX &&
           plan->app_bytes <= APP_MAX;
}

void fb_layout_complete(fb_layout *plan) {
    uint64_t page = plan->page;
    plan->segment_count = plan->limit_max / plan->segment_size * ROOM;
    plan->shards_at = fb_round_up(sizeof(fb_region), page);
    plan->segments_at = fb_round_up(plan->shards_at + plan->shard_count * sizeof(fb_shard), page);
    uint64_t segments = plan->segment_count + 1;
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
    plan->log_at = fb_round_up(plan->zones_at + zones * plan->shard_count, FB_HUGE);
    plan->app_at = plan->log_at + plan->segment_count * plan->segment_size;
    plan->size = plan->app_at + fb_round_up(plan->app_bytes, page);
}

// Address space with a guard on either side; the region begins at a multiple of an extent.
static bool map_guarded(fb_store *store, uint64_t size, int fd, bool read_only) {
    int access = read_only ? PROT_READ : PROT_READ | PROT_WRITE;
    int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    uint64_t whole = size + 2 * (uint64_t)FB_HUGE;
    void *reserved =
        mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return false;
    }
    uint8_t *base = (uint8_t *)reserved + (FB_HUGE - (uintptr_t)reserved % FB_HUGE);
    if (mmap(base, size, access, kind | MAP_NORESERVE | MAP_FIXED, fd, 0) == MAP_FAILED) {
        munmap(reserved, whole);
        return false;
    }
    // Refused where the kernel has no huge pages at all, which is as good. Who only reads takes
    // what pages there are.
    if (!read_only) {
        (void)madvise(base, size, MADV_NOHUGEPAGE);
    }
    store->base = base;
    store->reserved = reserved;
    store->reserved_size = whole;
    return true;
}

// Whether and where huge pages are asked for is known in this process alone.
static bool prepare_huge(fb_store *store, const fb_layout *plan) {
    if (plan->limit_max < FB_HUGE_FROM) {
        return true;
    }
    store->extent_segments = (uint32_t)(FB_HUGE / plan->segment_size);
    // The last one may be in the log only in part; then it is never asked for.
    store->huge = fb_mem_zero(plan->segment_count * plan->segment_size / FB_HUGE + 1, 1);
    return store->huge != NULL;
}

int fb_mapping_map(fb_store *store, const fb_layout *plan, int fd, bool read_only) {
    store->fd = fd;
    store->read_only = read_only;
    if (!read_only && !prepare_huge(store, plan)) {
        return FB_ENOMEM;
    }
    if (!map_guarded(store, plan->size, fd, read_only)) {
        fb_mem_free(store->huge);
        store->huge = NULL;
        return FB_ENOMEM;
    }
    store->region = (fb_region *)(void *)store->base;
    store->shards = (fb_shard *)(void *)(store->base + plan->shards_at);
    store->segments = (fb_segment *)(void *)(store->base + plan->segments_at);
    store->segment_size = (uint32_t)plan->segment_size;
    store->segment_shift = (uint32_t)__builtin_ctzll(plan->segment_size);
    store->shard_shift = 64 - (uint32_t)__builtin_ctzll(plan->shard_count);
    store->size = plan->size;
    store->log_at = plan->log_at;
    store->zones_at = plan->zones_at;
    store->zones_stride = plan->buckets_size + plan->overflow_size + plan->ghosts_size;
    store->buckets_size = plan->buckets_size;
    store->overflow_size = plan->overflow_size;
    store->app_at = plan->app_at;
    store->app_bytes = plan->app_bytes;
    return FB_OK;
}

uint64_t fb_mapping_room(const fb_store *store) {
    struct statfs about;
    // One without a size (that of memfd_create()) has no limit of its own.
    if (store->fd < 0 || fstatfs(store->fd, &about) != 0 || about.f_blocks == 0) {
        return UINT64_MAX;
    }
    uint64_t block = (uint64_t)about.f_bsize;
    uint64_t slack = clamp(about.f_blocks * block / SLACK, SLACK_MIN, SLACK_MAX);
    uint64_t free = about.f_bavail * block;
    return free > slack ? free - slack : 0;
}

int fb_mapping_reserve(const fb_store *store, uint64_t offset, uint64_t bytes) {
    int result = 0;
    if (store->fd >= 0 && bytes > 0) {
        do {
            result = fallocate(store->fd, 0, (off_t)offset, (off_t)bytes);
        } while (result != 0 && errno == EINTR);
    }
    if (result == 0) {
        return FB_OK;
    }
    return errno == ENOSPC || errno == ENOMEM || errno == EDQUOT ? FB_ENOMEM : FB_EIO;
}

// Parts of a huge page that go make small pages of it, and the kernel must not join these again: it
// would bring back what went.
static void part(fb_store *store, uint64_t offset, uint64_t bytes) {
    if (store->huge == NULL || offset < store->log_at) {
        return;
    }
    uint64_t last = (offset + bytes - 1 - store->log_at) / FB_HUGE;
    for (uint64_t extent = (offset - store->log_at) / FB_HUGE; extent <= last; extent++) {
        if (store->huge[extent] != 0) {
            store->huge[extent] = 0;
            (void)madvise(store->base + store->log_at + extent * FB_HUGE, FB_HUGE, MADV_NOHUGEPAGE);
        }
    }
}

// Asks for a hole in the file, or for private pages to be forgotten.
static int punch(const fb_store *store, uint64_t offset, uint64_t bytes) {
    int result;
    if (store->fd < 0) {
        return madvise(store->base + offset, bytes, MADV_DONTNEED);
    }
    do {
        result = fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                           (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    return result;
}

void fb_mapping_release(fb_store *store, uint64_t offset, uint64_t bytes) {
    if (bytes == 0) {
        return;
    }
    part(store, offset, bytes);
    int result = punch(store, offset, bytes);
    // It was possible when the region was made; a file system that has broken since keeps the
    // pages.
    FB_ASSERT(result == 0 || store->fd >= 0);
}

void fb_mapping_join(fb_store *store, uint64_t offset) {
    uint8_t *at = store->base + offset;
    if (madvise(at, FB_HUGE, MADV_HUGEPAGE) == 0) {
        store->huge[(offset - store->log_at) / FB_HUGE] = 1;
    }
    if (store->fd >= 0) {
        // It was reserved as small pages, and they stay so where the kernel cannot (before 6.1).
        (void)madvise(at, FB_HUGE, MADV_COLLAPSE);
    }
}

// All becomes zero but the geometry and the version, which must be right at every instant: who
// adopts may be killed, too.
static void wipe_shard(fb_shard *shard) {
    uint8_t *from = (uint8_t *)&shard->lock;
    uint8_t *version = (uint8_t *)&shard->version;
    uint8_t *rest = version + sizeof(shard->version);
    memset(from, 0, (size_t)(version - from));
    memset(rest, 0, (size_t)((uint8_t *)(shard + 1) - rest));
}

bool fb_mapping_start_shard(fb_store *store, uint32_t number) {
    fb_shard *shard = &store->shards[number];
    uint64_t at = fb_shard_buckets_at(store, number);
    wipe_shard(shard);
    pthread_mutex_init(&shard->lock, NULL);
    uint64_t overflow_at = fb_shard_overflow_at(store, number);
    uint64_t ghosts_at = overflow_at + store->overflow_size;
    shard->buckets = (fb_zone){.offset = at, .size = store->buckets_size};
    shard->overflow = (fb_zone){.offset = overflow_at, .size = store->overflow_size};
    shard->ghosts = (fb_zone){.offset = ghosts_at, .size = at + store->zones_stride - ghosts_at};
    shard->now_ns = INT64_MIN;
    return fb_bucket_reset(store, shard);
}

void fb_mapping_start_locks(fb_region *region) {
    pthread_mutex_init(&region->pool_lock, NULL);
    pthread_mutex_init(&region->resize_lock, NULL);
}

static bool start(fb_store *store, const fb_store_options *options, const fb_layout *plan) {
    fb_region *region = store->region;
    store->seed = options->seed;
    region->format = FB_REGION_FORMAT;
    region->page_size = (uint32_t)plan->page;
    region->size = plan->size;
    region->limit_max = plan->limit_max;
    region->seed = options->seed;
    region->shard_count = (uint32_t)plan->shard_count;
    region->shard_bits = 64 - store->shard_shift;
    region->segment_shift = store->segment_shift;
    region->segment_count = (uint32_t)plan->segment_count;
    region->shards_at = plan->shards_at;
    region->log_at = plan->log_at;
    region->app_at = plan->app_at;
    region->app_bytes = plan->app_bytes;
    region->app_format = options->app_format;
    region->boot = options->boot;
    region->beat_ns = INT64_MIN;
    fb_mapping_start_locks(region);
    region->limit = options->limit_bytes;
    region->ceiling = UINT64_MAX;
    region->committed = plan->segments_at;
    region->segments = (fb_zone){.offset = plan->segments_at, .size = plan->segments_size};
    region->used_map = (fb_zone){.offset = plan->map_at, .size = plan->map_size};
    region->low = 1;
    region->huge_low = 1;
    for (uint32_t i = 0; i < plan->shard_count; i++) {
        if (!fb_mapping_start_shard(store, i)) {
            return false;
        }
    }
    // Last: a region that was not finished is none.
    atomic_thread_fence(memory_order_release);
    region->magic = FB_REGION_MAGIC;
    return true;
}

// An empty file of the full size. FB_OK, FB_ENOMEM: not so large; FB_EIO.
static int size_file(int fd, uint64_t size) {
    if (fd < 0) {
        return FB_OK;
    }
    if (ftruncate(fd, 0) != 0) {
        return FB_EIO;
    }
    if (ftruncate(fd, (off_t)size) == 0) {
        return FB_OK;
    }
    return errno == EFBIG || errno == EINVAL ? FB_ENOMEM : FB_EIO;
}

// What must be there before anything can be counted, and whether the file system is up to it.
static int reserve_fixed(const fb_store *store, const fb_layout *plan) {
    int result = fb_mapping_reserve(store, 0, plan->segments_at);
    if (result == FB_OK) {
        result = fb_mapping_reserve(store, plan->app_at, plan->size - plan->app_at);
    }
    if (result == FB_OK && store->fd >= 0 && punch(store, plan->log_at, plan->page) != 0) {
        result = FB_EIO;
    }
    return result;
}

// One try with one limit_max.
static int make(fb_store *store, const fb_store_options *options, const fb_layout *plan, int fd) {
    int result = size_file(fd, plan->size);
    if (result != FB_OK) {
        return result;
    }
    result = fb_mapping_map(store, plan, fd, false);
    if (result != FB_OK) {
        return result;
    }
    result = reserve_fixed(store, plan);
    if (result == FB_OK && !start(store, options, plan)) {
        result = FB_ENOMEM;
    }
    if (result != FB_OK) {
        // Only what was tried in vain is left; the file stays the caller's for another try.
        store->fd = -1;
        fb_mapping_free(store);
    }
    return result;
}

static int make_smaller(fb_store *store, const fb_store_options *options, int fd) {
    uint64_t limit = options->limit_bytes;
    uint64_t wanted = options->limit_max_bytes > 0 ? options->limit_max_bytes : limit * GROWTH;
    fb_layout plan = {.page = (uint64_t)sysconf(_SC_PAGESIZE), .app_bytes = options->app_bytes};
    choose_sizes(&plan, options);
    plan.limit_max = clamp(wanted, limit, LIMIT_MAX);
    if (!fb_layout_possible(&plan)) {
        return FB_EINVAL;
    }
    for (;;) {
        fb_layout_complete(&plan);
        int result = make(store, options, &plan, fd);
        if (result != FB_ENOMEM || plan.limit_max == limit || options->limit_max_bytes > 0) {
            return result;
        }
        plan.limit_max = clamp(plan.limit_max / 2, limit, LIMIT_MAX);
    }
}

int fb_mapping_new(fb_store *store, const fb_store_options *options) {
    uint32_t shards = options->shard_count;
    uint64_t limit = options->limit_bytes;
    if (limit < FB_STORE_LIMIT_MIN || limit > LIMIT_MAX || (shards & (shards - 1)) != 0 ||
        shards > SHARDS_MAX || (shards > 0 && limit / shards < SHARD_BYTES_MIN)) {
        return FB_EINVAL;
    }
    int fd = -1;
    if (options->in_file) {
        fd = fcntl(options->fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            return FB_EIO;
        }
    }
    int result = make_smaller(store, options, fd);
    if (result != FB_OK && fd >= 0) {
        (void)close(fd);
    }
    return result;
}

void fb_mapping_free(fb_store *store) {
    if (store->base == NULL) {
        return;
    }
    // The locks stay as they are: a region in a file lives on, and they hold nothing.
    munmap(store->reserved, store->reserved_size);
    if (store->fd >= 0) {
        (void)close(store->fd);
    }
    fb_mem_free(store->huge);
    store->huge = NULL;
    store->base = NULL;
}

uint64_t fb_mapping_floor_of(const fb_store *store) {
    const fb_region *region = store->region;
    // Two open segments, a spare one and one to turn over; the first pages of the index.
    uint64_t shard = 4 * (uint64_t)store->segment_size + 4 * (uint64_t)region->page_size;
    uint64_t floor = region->segments.offset + region->segments.committed +
                     region->used_map.committed + region->shard_count * shard;
    // A record of the largest size, twice: what is there stays until the new one is.
    return floor + floor / 2;
}

uint64_t fb_mapping_floor(const fb_store *store) {
    pthread_mutex_lock(&store->region->pool_lock);
    uint64_t floor = fb_mapping_floor_of(store);
    pthread_mutex_unlock(&store->region->pool_lock);
    return floor;
}
