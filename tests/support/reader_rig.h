// reader_rig.h -- a region in a file, written by a cache of this process, as a daemon's is.

#ifndef FB_TESTS_READER_RIG_H
#define FB_TESTS_READER_RIG_H

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/outside.h"
#include "cache_rig.h"

static inline int64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static inline uint64_t boot(void) {
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    return fb_outside_boot(fb_str_make(text, (size_t)len));
}

typedef struct home {
    char folder[64], file[96], hints[112];
    fb_cache *cache;
    fb_error error;
} home;

// A new region under the name, as a daemon makes it: whole before it has the name.
static inline void make_region(home *h, uint64_t seed, mode_t mode) {
    char other[112];
    snprintf(other, sizeof other, "%s.new", h->file);
    fb_cache_region region = {.fd = open(other, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode),
                              .boot = boot(),
                              .error = &h->error};
    assert_true(region.fd >= 0);
    fchmod(region.fd, mode);
    fb_cache_options options = {.memory_bytes = 8 << 20,
                                .seed = seed << 32,
                                .catalog = rig_catalog(),
                                .region = &region,
                                .now_ns = now()};
    assert_ok(fb_cache_new(&options, &h->cache));
    close(region.fd);
    fb_store_beat(fb_cache_store(h->cache), now());
    assert_int_equal(rename(other, h->file), 0);
}

static inline home open_home(void) {
    home h = {.cache = NULL};
    snprintf(h.folder, sizeof h.folder, "/dev/shm/forebay-reader-XXXXXX");
    assert_non_null(mkdtemp(h.folder));
    snprintf(h.file, sizeof h.file, "%s/region", h.folder);
    snprintf(h.hints, sizeof h.hints, "%s.hints", h.file);
    make_region(&h, 1, 0600);
    return h;
}

static inline void close_home(home *h) {
    fb_cache_free(h->cache);
    unlink(h->file);
    unlink(h->hints);
    rmdir(h->folder);
}

static inline void put(home *h, const char *key, const char *value, int64_t ttl_ns) {
    assert_ok(fb_cache_put(h->cache, fb_str_of(key), fb_str_of(value), ttl_ns, NULL, 0, now()));
}

#endif
