// Attaching: somebody else's region, mapped after its header was found to say nothing impossible.
//
// The header is copied first, and only the copy is looked at: whoever made the region may be at
// work on it, or mean harm. A header is believed if the sizes in it are possible ones and the
// layout that follows from them (the same arithmetic that made it) is what it says and fills the
// file exactly. From then on the layout is that of the copy, and reading (store/read.c) bounds by
// it what it finds in the region: nothing there can lead out of the mapping.
//
// What remains is a file that is made shorter while it is mapped: touching what is gone is a
// SIGBUS. The store never does that, and gives parts back as holes, which read as zero. Whether to
// trust whoever else may write to the file is decided before, by its owner and mode.

#include "store/attach.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// Copies the header of the file. FB_OK; FB_EINVAL: the file is too short; FB_EIO; FB_ENOMEM.
static int copy_header(int fd, fb_region *header, uint64_t *size, fb_error *error) {
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return fb_error_set(error, FB_EIO, "the region's file cannot be looked at (errno %d)",
                            errno);
    }
    if (!S_ISREG(about.st_mode) || about.st_size < (off_t)sizeof(*header)) {
        return fb_error_set(error, FB_EINVAL, "the file is no region: it is too short");
    }
    *size = (uint64_t)about.st_size;
    void *mapped = mmap(NULL, sizeof(*header), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        return fb_error_set(error, errno == ENOMEM ? FB_ENOMEM : FB_EIO,
                            "the region's header cannot be mapped (errno %d)", errno);
    }
    memcpy(header, mapped, sizeof(*header));
    munmap(mapped, sizeof(*header));
    return FB_OK;
}

// Whether the header says what the layout that follows from its sizes says.
static bool agrees(const fb_region *header, uint64_t file_size, fb_layout *layout) {
    if (header->segment_shift >= 32) {
        return false;
    }
    *layout = (fb_layout){.limit_max = header->limit_max,
                          .page = header->page_size,
                          .shard_count = header->shard_count,
                          .segment_size = UINT64_C(1) << header->segment_shift,
                          .app_bytes = header->app_bytes};
    if (!fb_layout_possible(layout)) {
        return false;
    }
    fb_layout_complete(layout);
    return header->size == layout->size && file_size == layout->size &&
           header->shard_bits == (uint32_t)__builtin_ctzll(layout->shard_count) &&
           header->segment_count == layout->segment_count &&
           header->shards_at == layout->shards_at && header->log_at == layout->log_at &&
           header->app_at == layout->app_at;
}

static int judge(const fb_region *header, const fb_store_options *expected, uint64_t file_size,
                 fb_layout *layout, fb_error *error) {
    if (header->magic != FB_REGION_MAGIC) {
        return fb_error_set(error, FB_EINVAL,
                            "the file is no region, or one that was not finished");
    }
    if (header->format != FB_REGION_FORMAT) {
        return fb_error_set(error, FB_EINVAL, "the region has format %u, this program reads %d",
                            header->format, FB_REGION_FORMAT);
    }
    if (header->app_format != expected->app_format) {
        return fb_error_set(error, FB_EINVAL, "the region holds items of another format");
    }
    if (header->page_size != (uint64_t)sysconf(_SC_PAGESIZE)) {
        return fb_error_set(error, FB_EINVAL, "the region has pages of another size");
    }
    if (header->boot != expected->boot) {
        return fb_error_set(error, FB_EINVAL, "the region is of another boot of the machine");
    }
    if (!agrees(header, file_size, layout)) {
        return fb_error_set(error, FB_EINVAL, "the region's header is damaged, or it is cut short");
    }
    return FB_OK;
}

int fb_attach_map(fb_store *store, int fd, bool read_only, const fb_store_options *expected,
                  fb_error *error) {
    fb_region header;
    fb_layout layout;
    uint64_t size = 0;
    int result = copy_header(fd, &header, &size, error);
    if (result == FB_OK) {
        result = judge(&header, expected, size, &layout, error);
    }
    if (result != FB_OK) {
        return result;
    }
    if (fb_mapping_map(store, &layout, fd, read_only) != FB_OK) {
        return fb_error_set(error, FB_ENOMEM, "there is no address space for the region");
    }
    store->seed = header.seed;
    return FB_OK;
}

int fb_store_attach(int fd, uint64_t app_format, uint64_t boot, fb_store **store, fb_error *error) {
    *store = NULL;
    fb_store *made = fb_mem_zero(1, sizeof(*made));
    if (made == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    fb_store_options expected = {.app_format = app_format, .boot = boot};
    int result = fb_attach_map(made, fd, true, &expected, error);
    if (result != FB_OK) {
        fb_mem_free(made);
        return result;
    }
    // The mapping keeps the file.
    made->fd = -1;
    *store = made;
    return FB_OK;
}

void fb_store_beat(fb_store *store, int64_t now_ns) {
    atomic_store_explicit(&store->region->beat_ns, now_ns, memory_order_release);
}

void fb_store_retire(fb_store *store) {
    atomic_store_explicit(&store->region->retired, 1, memory_order_release);
}

bool fb_store_alive_at(const fb_store *store, int64_t now_ns, int64_t patience_ns) {
    if (atomic_load_explicit(&store->region->retired, memory_order_acquire) != 0) {
        return false;
    }
    int64_t beat_ns = atomic_load_explicit(&store->region->beat_ns, memory_order_relaxed);
    // The writer may have beaten since the caller read its clock; much later is no beat of this
    // boot.
    int64_t since_ns;
    return beat_ns != INT64_MIN && !__builtin_sub_overflow(now_ns, beat_ns, &since_ns) &&
           since_ns < patience_ns && since_ns > -patience_ns;
}

void *fb_store_app(const fb_store *store, uint64_t *bytes) {
    if (bytes != NULL) {
        *bytes = store->app_bytes;
    }
    return store->app_bytes > 0 ? store->base + store->app_at : NULL;
}
