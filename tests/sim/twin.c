// Each call is one step that nothing can come between, as a script is. The rules that a test can
// take out: without `fill_token` any fill is stored, without `lease_falls` an invalidation leaves
// the lease.

#include "twin.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"

typedef struct cell {
    fb_str key;
    bool has_value;
    fb_loaded value;
    int64_t filled_ns;
    int64_t fresh_until_ns;
    uint64_t token;  // 0: no lease
    int64_t lease_until_ns;
    char bytes[];
} cell;

void twin_init(twin *tier, uint64_t seed) {
    *tier = (twin){.cells = {.seed = seed}};
}

static void drop_value(cell *at) {
    if (at->has_value) {
        fb_loaded_release(&at->value);
        at->has_value = false;
    }
}

void twin_release(twin *tier) {
    size_t place = 0;
    for (cell *at = fb_map_next(&tier->cells, &place); at != NULL;
         at = fb_map_next(&tier->cells, &place)) {
        drop_value(at);
        fb_mem_free(at);
    }
    fb_map_release(&tier->cells);
}

static cell *find(twin *tier, fb_str key) {
    cell *at = fb_map_get(&tier->cells, key);
    if (at == NULL) {
        at = fb_mem_zero(1, sizeof *at + key.len);
        FB_ASSERT(at != NULL);
        memcpy(at->bytes, key.ptr, key.len);
        at->key = (fb_str){at->bytes, key.len};
        int result = fb_map_put(&tier->cells, at->key, at);
        FB_ASSERT(result == FB_OK);
    }
    return at;
}

void twin_copy(const fb_loaded *from, fb_loaded *to) {
    fb_loaded_init(to);
    to->result = from->result;
    to->value = from->value != NULL ? fb_blob_take(from->value) : NULL;
    to->kind = from->kind;
    for (size_t i = 0; i < from->tag_count; i++) {
        int result = fb_loaded_add_tag(to, fb_loaded_tag_at(from, i));
        FB_ASSERT(result == FB_OK);
    }
}

void twin_get(twin *tier, fb_str key, bool refresh, int64_t lease_ns, int64_t now_ns,
              fb_remote_reply *reply) {
    cell *at = find(tier, key);
    if (at->has_value && now_ns >= at->fresh_until_ns) {
        drop_value(at);
    }
    if (at->token != 0 && now_ns >= at->lease_until_ns) {
        at->token = 0;
    }
    *reply = (fb_remote_reply){.result = FB_REMOTE_HELD};
    if (at->has_value && !refresh) {
        reply->result = FB_REMOTE_VALUE;
        twin_copy(&at->value, &reply->loaded);
        reply->fresh_for_ns = at->fresh_until_ns - now_ns;
        reply->age_ns = now_ns - at->filled_ns;
    } else if (at->token == 0) {
        at->token = ++tier->last_token;
        at->lease_until_ns = now_ns + lease_ns;
        reply->result = FB_REMOTE_LEASE;
        reply->token = at->token;
    }
}

fb_remote_result twin_fill(twin *tier, fb_str key, uint64_t token, const fb_loaded *loaded,
                           int64_t ttl_ns, int64_t now_ns) {
    cell *at = find(tier, key);
    bool holds = at->token == token && now_ns < at->lease_until_ns;
    if (FB_RULE(fill_token) && !holds) {
        return FB_REMOTE_REFUSED;
    }
    at->token = 0;
    if (ttl_ns > 0) {
        drop_value(at);
        twin_copy(loaded, &at->value);
        at->has_value = true;
        at->filled_ns = now_ns;
        at->fresh_until_ns = now_ns + ttl_ns;
    }
    return FB_REMOTE_DONE;
}

void twin_invalidate(twin *tier, fb_str key) {
    cell *at = find(tier, key);
    drop_value(at);
    if (FB_RULE(lease_falls)) {
        at->token = 0;
    }
}
