// cache_rig.h -- a cache with a catalogue of classes, and its calls in one line each, for tests.
//
// The classes: "page" (page:{id}; fresh 10 s, stale 5 s, fallback 20 s, negative 3 s), "item"
// (item:{id}; fresh 10 s and nothing after it; namespace "shop"), "list" (list:{user}:p{page},
// indexed by user; fresh 10 s, stale 5 s; namespace "shop"; its tag is "user:{user}").

#ifndef FB_TESTS_CACHE_RIG_H
#define FB_TESTS_CACHE_RIG_H

#include "base/blob.h"
#include "base/units.h"
#include "cache/cache.h"
#include "support.h"

#define S(seconds) ((int64_t)((seconds) * (double)FB_NS_PER_S))

enum { RIG_PAGE = 1, RIG_ITEM = 2, RIG_LIST = 3 };

static inline fb_class *rig_class(uint16_t id, fb_class_options options) {
    fb_class *class_ = NULL;
    fb_error error = {0};
    options.namespace_name = options.namespace_name != NULL ? options.namespace_name : "default";
    if (fb_class_new(&options, id, NULL, 0, &class_, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return class_;
}

static inline fb_catalog *rig_catalog_of(fb_class **classes, size_t count) {
    fb_catalog *catalog = NULL;
    fb_error error = {0};
    assert_ok(fb_class_new_plain(&classes[0]));
    if (fb_catalog_new(classes, count, &catalog, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return catalog;
}

static inline fb_class_options rig_page(void) {
    return (fb_class_options){.name = "page",
                              .key = "page:{id}",
                              .memory_ttl_ns = S(10),
                              .ttl_ns = S(60),
                              .negative_ttl_ns = S(3),
                              .stale_ttl_ns = S(5),
                              .fallback_ttl_ns = S(20)};
}

static inline fb_class_options rig_item(void) {
    return (fb_class_options){.name = "item",
                              .key = "item:{id}",
                              .memory_ttl_ns = S(10),
                              .ttl_ns = S(60),
                              .namespace_name = "shop"};
}

static inline fb_class_options rig_list(void) {
    static char *tags[] = {"user:{user}"};
    static char *index[] = {"user"};
    return (fb_class_options){.name = "list",
                              .key = "list:{user}:p{page}",
                              .memory_ttl_ns = S(10),
                              .ttl_ns = S(60),
                              .stale_ttl_ns = S(5),
                              .namespace_name = "shop",
                              .tags = tags,
                              .tag_count = 1,
                              .index = index,
                              .index_count = 1};
}

static inline fb_catalog *rig_catalog(void) {
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, rig_page()), rig_class(RIG_ITEM, rig_item()),
                           rig_class(RIG_LIST, rig_list())};
    return rig_catalog_of(classes, 4);
}

static inline fb_cache *rig_cache_with(fb_catalog *catalog) {
    fb_cache_options options = {.memory_bytes = 8 << 20, .seed = 7, .catalog = catalog};
    fb_cache *cache = NULL;
    assert_ok(fb_cache_new(&options, &cache));
    return cache;
}

static inline fb_cache *rig_cache(void) {
    return rig_cache_with(rig_catalog());
}

static inline const fb_class *rig_of(const fb_cache *cache, uint16_t id) {
    return fb_catalog_by_id(fb_cache_catalog(cache), id);
}

// ---- reading

typedef struct rig_copy {
    char text[256];
    fb_value value;
} rig_copy;

static inline void rig_take(void *arg, const fb_value *value) {
    rig_copy *copy = arg;
    size_t len = value->data.len < sizeof copy->text ? value->data.len : sizeof copy->text - 1;
    if (len > 0) {
        memcpy(copy->text, value->data.ptr, len);
    }
    copy->text[len] = '\0';
    copy->value = *value;
}

// "fresh:text", "stale:text", "fallback:text", "early:text", "fresh:-" (negative), "uncacheable",
// "nothing".
static inline const char *rig_read(fb_cache *cache, const char *key, int64_t now_ns) {
    static const char *const names[] = {"nothing", "fresh",    "early",
                                        "stale",   "fallback", "uncacheable"};
    static _Thread_local char shown[300];
    rig_copy copy = {.text = ""};
    fb_found found;
    fb_find find = fb_cache_read(cache, fb_str_of(key), now_ns, NULL, rig_take, &copy, &found);
    assert_int_equal(find, found.find);
    assert_null(found.value.data.ptr);
    if (find == FB_FIND_NOTHING || find == FB_FIND_HIT_FOR_MISS) {
        return names[find];
    }
    (void)snprintf(shown, sizeof shown, "%s:%s", names[find], found.negative ? "-" : copy.text);
    return shown;
}

#define assert_read(cache, key, now_ns, expected) \
    assert_string_equal(rig_read(cache, key, now_ns), expected)

// ---- loading

static inline fb_ticket *rig_begin(fb_cache *cache, uint16_t class_id, const char *key,
                                   int64_t now_ns) {
    fb_ticket *ticket = NULL;
    assert_ok(fb_cache_begin(cache, rig_of(cache, class_id), fb_str_of(key), now_ns, &ticket));
    return ticket;
}

// `value` NULL: negative. `tag` may be NULL.
static inline fb_loaded rig_loaded(const char *value, const char *tag) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    loaded.result = FB_NEGATIVE;
    if (value != NULL) {
        assert_ok(fb_loaded_value(&loaded, fb_str_of(value)));
        loaded.result = FB_OK;
    }
    if (tag != NULL) {
        assert_ok(fb_loaded_tag(&loaded, fb_str_of(tag)));
    }
    return loaded;
}

static inline int rig_fill(fb_cache *cache, fb_ticket *ticket, const char *value, const char *tag,
                           int64_t now_ns) {
    fb_loaded loaded = rig_loaded(value, tag);
    fb_value info;
    int result = fb_cache_fill(cache, ticket, &loaded, 1000, 0, now_ns, &info);
    fb_loaded_release(&loaded);
    fb_cache_end(cache, ticket);
    return result;
}

static inline int rig_load(fb_cache *cache, uint16_t class_id, const char *key, const char *value,
                           const char *tag, int64_t now_ns) {
    return rig_fill(cache, rig_begin(cache, class_id, key, now_ns), value, tag, now_ns);
}

// ---- writing

static inline void rig_put(fb_cache *cache, const char *key, const char *value, int64_t ttl_ns,
                           int64_t now_ns) {
    assert_ok(fb_cache_put(cache, fb_str_of(key), fb_str_of(value), ttl_ns, NULL, 0, now_ns));
}

static inline int64_t rig_invalidate(fb_cache *cache, fb_scope scope, const char *name, bool soft,
                                     int64_t now_ns) {
    fb_invalidation what = {.scope = scope, .name = fb_str_of(name), .soft = soft};
    int64_t removed = -7;
    assert_ok(fb_cache_invalidate(cache, &what, now_ns, &removed));
    return removed;
}

#endif
