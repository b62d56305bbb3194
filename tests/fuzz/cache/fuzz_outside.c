// A table of invalidations and classes, and an item, of any bytes, as a reader may be shown them:
// nothing beside them is read, and a value's times make sense. The first bytes say how the rest is
// used: whether the table's own sizes are mended, so that what lies behind that check is reached.

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cache/entry.h"
#include "cache/outside.h"
#include "cache/stamps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 32, SLOTS = 2 };

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static void take(input *in, void *to, size_t len) {
    size_t got = len < in->size ? len : in->size;
    memset(to, 0, len);
    if (got > 0) {
        memcpy(to, in->data, got);
    }
    in->data += got;
    in->size -= got;
}

static void judge(const fb_outside *outside, input in) {
    int64_t now_ns;
    uint64_t seed;
    fb_item item = {.value = {"v", 1}};
    take(&in, &now_ns, sizeof now_ns);
    take(&in, &seed, sizeof seed);
    take(&in, &item.expires_ns, sizeof item.expires_ns);
    take(&in, &item.class_id, sizeof item.class_id);
    take(&in, &item.flags, sizeof item.flags);
    now_ns &= INT64_MAX;
    item.extra = (fb_str){(const char *)in.data,
                          in.size < FB_STORE_EXTRA_MAX ? in.size : FB_STORE_EXTRA_MAX};
    fb_rng rng;
    fb_value value;
    fb_rng_init(&rng, seed);
    int result = fb_outside_judge(outside, &item, now_ns, &rng, &value);
    FB_ASSERT(result == FB_OK || result == FB_MISS);
    if (result == FB_OK) {
        FB_ASSERT(value.age_ms >= 0 && (value.ttl_ms >= 1 || value.ttl_ms == -1));
        FB_ASSERT(value.freshness == FB_FRESH && value.data.len == 1);
    }
    (void)fb_outside_class_id(outside, item.extra);
    (void)fb_outside_namespace(outside, item.class_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    uint64_t bytes = fb_outside_bytes(SLOTS);
    fb_outside_table *table = malloc(bytes);  // of the exact size, for the sanitizer
    FB_ASSERT(table != NULL);
    uint8_t how;
    take(&in, &how, 1);
    memset(table, how & 1 ? 0xff : 0, bytes);
    take(&in, table, HEAD);
    take(&in, &table->generation, sizeof table->generation);
    take(&in, &table->seq, 3 * sizeof table->seq);
    take(&in, &table->classes[0], 4 * sizeof table->classes[0]);
    take(&in, &table->stamps[0], 4 * sizeof table->stamps[0]);
    take(&in, &table->stamps[SLOTS + 1], 2 * sizeof table->stamps[0]);
    if (how & 2) {
        table->magic = FB_OUTSIDE_MAGIC;
        table->bytes = bytes;
        table->tag_slots = SLOTS;
    }
    if (how & 4) {
        atomic_fetch_and(&table->generation, ~UINT64_C(1));
        atomic_fetch_or(&table->classes[0].name_print, 1);
    }
    fb_outside outside;
    if (fb_outside_view(table, bytes, &outside) == FB_OK) {
        judge(&outside, in);
    }
    free(table);
    return 0;
}
