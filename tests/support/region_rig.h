// region_rig.h -- a cache whose memory tier lies in a file, and a reader of it, as another process
// would be one.

#ifndef FB_TESTS_REGION_RIG_H
#define FB_TESTS_REGION_RIG_H

#include <sys/mman.h>
#include <unistd.h>

#include "cache/outside.h"
#include "cache_rig.h"

enum { RIG_BOOT = 77 };

static inline int region_file(void) {
    int fd = memfd_create("forebay-test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

// With what is in the file where `keep` is not NULL; the catalogue is taken over.
static inline fb_cache *region_cache(int fd, fb_catalog *catalog, fb_cache_region *keep,
                                     int64_t now_ns) {
    fb_error error = {0};
    fb_cache_region region = {.fd = fd, .boot = RIG_BOOT, .keep = keep != NULL, .error = &error};
    fb_cache_options options = {.memory_bytes = 8 << 20,
                                .seed = 7,
                                .catalog = catalog,
                                .region = &region,
                                .now_ns = now_ns};
    fb_cache *cache = NULL;
    if (fb_cache_new(&options, &cache) != FB_OK) {
        fail_msg("%s", error.text);
    }
    if (keep != NULL) {
        *keep = region;
    }
    return cache;
}

typedef struct outsider {
    fb_store *store;
    fb_outside outside;
    fb_rng *rng;
} outsider;

static inline outsider outsider_open(int fd) {
    outsider one = {NULL};
    fb_error error = {0};
    uint64_t bytes = 0;
    if (fb_store_attach(fd, FB_OUTSIDE_FORMAT, RIG_BOOT, &one.store, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    const void *room = fb_store_app(one.store, &bytes);
    assert_ok(fb_outside_view(room, bytes, &one.outside));
    return one;
}

typedef struct outside_look {
    const outsider *one;
    int64_t now_ns;
    int result;
    fb_value value;
    char text[300];
} outside_look;

static inline void outside_see(void *arg, const fb_item *item) {
    outside_look *look = arg;
    look->result =
        fb_outside_judge(&look->one->outside, item, look->now_ns, look->one->rng, &look->value);
    if (look->result == FB_OK) {
        (void)snprintf(look->text, sizeof look->text, "fresh:%.*s", FB_STR_ARG(look->value.data));
    }
}

static inline outside_look outside_look_at(const outsider *one, const char *key, int64_t now_ns) {
    outside_look look = {.one = one, .now_ns = now_ns, .result = FB_MISS};
    if (fb_store_get(one->store, fb_str_of(key), now_ns, outside_see, &look) != FB_OK) {
        look.result = FB_MISS;
    }
    return look;
}

// "fresh:text" or "ask".
static inline const char *outside_read(const outsider *one, const char *key, int64_t now_ns) {
    static _Thread_local char shown[300];
    outside_look look = outside_look_at(one, key, now_ns);
    (void)snprintf(shown, sizeof shown, "%s", look.result == FB_OK ? look.text : "ask");
    return shown;
}

#define assert_outside(one, key, now_ns, expected) \
    assert_string_equal(outside_read(one, key, now_ns), expected)

#endif
