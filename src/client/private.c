// A store (forebay/store.h) with one thing more to an item: when it was set, for its age.

#include "client/private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/blob.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

enum { JSON = 1, NUMBER_SIZE = 24 };

void fb_private_release(fb_private *own) {
    fb_store_free(own->store);
    own->store = NULL;
}

void fb_private_clear(fb_private *own) {
    if (own->store != NULL) {
        (void)fb_store_clear(own->store);
    }
}

static int begin(fb_private *own) {
    if (own->store != NULL) {
        return FB_OK;
    }
    uint64_t bytes = own->limit_bytes;
    fb_store_options options = {
        .limit_bytes = bytes > FB_STORE_LIMIT_MIN ? bytes : FB_STORE_LIMIT_MIN,
        .limit_max_bytes = bytes > FB_STORE_LIMIT_MIN ? bytes : FB_STORE_LIMIT_MIN,
        .shard_count = 1,
    };
    return fb_store_new(&options, &own->store);
}

// ---- reading

typedef struct reading {
    fb_value value;
    int64_t now_ns;
    bool bytes;
    bool failed;  // no memory
} reading;

static void read_item(void *arg, const fb_item *item) {
    reading *to = arg;
    int64_t born_ns = to->now_ns;
    if (item->extra.len == sizeof born_ns) {
        memcpy(&born_ns, item->extra.ptr, sizeof born_ns);
    }
    fb_blob_drop(to->value.owner);
    to->value = (fb_value){
        .kind = item->flags & JSON ? FB_KIND_JSON : FB_KIND_BYTES,
        .tier = FB_TIER_MEMORY,
        .age_ms = (to->now_ns - born_ns) / 1000000,
        .ttl_ms = (item->expires_ns - to->now_ns) / 1000000,
        .version = item->version,
    };
    if (to->bytes) {
        fb_blob *blob = fb_blob_new(item->value);
        to->failed = blob == NULL;
        to->value.owner = blob;
        to->value.data = blob != NULL ? fb_blob_str(blob) : (fb_str){NULL, 0};
    }
}

int fb_private_get(fb_private *own, fb_str key, int64_t now_ns, fb_value *value) {
    reading to = {.now_ns = now_ns, .bytes = true};
    *value = to.value;
    int result =
        own->store != NULL ? fb_store_get(own->store, key, now_ns, read_item, &to) : FB_MISS;
    if (result == FB_OK && to.failed) {
        return FB_ENOMEM;
    }
    *value = to.value;
    return result;
}

int fb_private_ttl(fb_private *own, fb_str key, int64_t now_ns, int64_t *ttl_ms) {
    reading to = {.now_ns = now_ns};
    int result =
        own->store != NULL ? fb_store_peek(own->store, key, now_ns, read_item, &to) : FB_MISS;
    *ttl_ms = to.value.ttl_ms;
    return result;
}

// ---- writing

static int64_t end_of(const fb_private *own, int64_t ttl_ms, int64_t now_ns) {
    int64_t left_ms = ttl_ms > 0 && ttl_ms < own->ttl_max_ms ? ttl_ms : own->ttl_max_ms;
    return now_ns + left_ms * 1000000;
}

int fb_private_set(fb_private *own, fb_str key, fb_str value, int64_t ttl_ms, int64_t now_ns) {
    int result = begin(own);
    if (result < 0) {
        return result;
    }
    fb_item item = {
        .key = key,
        .value = value,
        .extra = {(const char *)&now_ns, sizeof now_ns},
        .expires_ns = end_of(own, ttl_ms, now_ns),
        .flags = fb_json_valid(value) ? JSON : 0,
    };
    result = fb_store_put(own->store, &item, now_ns, NULL);
    if (result == FB_ETOOBIG || result == FB_ENOMEM) {
        // What was there before must not come back instead.
        (void)(fb_store_del(own->store, key, now_ns) == FB_OK);
        result = FB_OK;
    }
    return result;
}

int fb_private_del(fb_private *own, fb_str key, int64_t now_ns) {
    return own->store != NULL ? fb_store_del(own->store, key, now_ns) : FB_MISS;
}

int fb_private_expire(fb_private *own, fb_str key, int64_t ttl_ms, int64_t now_ns) {
    if (ttl_ms <= 0 || own->store == NULL) {
        return fb_private_del(own, key, now_ns);
    }
    return fb_store_touch(own->store, key, end_of(own, ttl_ms, now_ns), now_ns);
}

typedef struct adding {
    const fb_private *own;
    int64_t delta, now_ns;
    int64_t *result;
    char text[NUMBER_SIZE];
} adding;

static int add(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    adding *with = arg;
    int64_t number = 0;
    if (item != NULL && fb_str_int(item->value, &number) != FB_OK) {
        return FB_ETYPE;
    }
    if (__builtin_add_overflow(number, with->delta, &number)) {
        return FB_ERANGE;
    }
    if (item == NULL) {
        next->extra = fb_str_make((const char *)&with->now_ns, sizeof with->now_ns);
        next->expires_ns = end_of(with->own, 0, with->now_ns);
        next->flags = JSON;
    }
    int len = snprintf(with->text, sizeof with->text, "%" PRId64, number);
    next->value = fb_str_make(with->text, (size_t)len);
    *with->result = number;
    *action = FB_STORE_PUT;
    return FB_OK;
}

int fb_private_incr(fb_private *own, fb_str key, int64_t delta, int64_t now_ns, int64_t *result) {
    adding with = {own, delta, now_ns, result, ""};
    int begun = begin(own);
    return begun < 0 ? begun : fb_store_edit(own->store, key, now_ns, add, &with);
}
