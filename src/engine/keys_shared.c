// Plain keys where there is a shared tier: what each call wishes of the gate, in the words of
// sync/gate.h. What memory answers, and the figures, are in keys.c.

#include "engine/engine.h"

#include "base/check.h"
#include "base/mem.h"

enum { AT_ONCE_MAX = 256 };  // wishes of one MGET
static const int64_t NODES_MS = 2000;

// ---- reading

static void take(fb_wish *wish, fb_value_fn fn, void *arg) {
    if (wish->result == FB_OK) {
        fn(arg, &wish->value);
    }
    fb_value_release(&wish->value);
}

static int get(fb_engine *engine, fb_str key, bool distrust, fb_value_fn fn, void *arg) {
    fb_wish wish = {.want = {.kind = FB_WANT_READ, .key = key, .distrust = distrust}};
    FB_IGNORE(fb_wish_wait(engine, &wish));
    take(&wish, fn, arg);
    return wish.result;
}

int fb_shared_get(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg) {
    return get(engine, key, false, fn, arg);
}

int fb_shared_get_new(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg) {
    return get(engine, key, true, fn, arg);
}

static void get_some(fb_engine *engine, const fb_str *keys, const uint32_t *which, size_t count,
                     fb_wish *wishes) {
    for (size_t i = 0; i < count; i++) {
        wishes[i] = (fb_wish){.want = {.kind = FB_WANT_READ, .key = keys[which[i]]}};
    }
    fb_wishes_wait(engine, wishes, count);
}

void fb_shared_get_many(fb_engine *engine, const fb_str *keys, const uint32_t *which, size_t count,
                        fb_value_fn fn, void *const *args, int *results) {
    fb_wish one = {.result = FB_MISS};
    size_t room = count < AT_ONCE_MAX ? count : AT_ONCE_MAX;
    fb_wish *many = room > 1 ? fb_mem_new(room * sizeof *many) : NULL;
    fb_wish *wishes = many != NULL ? many : &one;  // without memory one by one
    room = many != NULL ? room : 1;
    for (size_t done = 0; done < count; done += room) {
        size_t some = count - done < room ? count - done : room;
        get_some(engine, keys, which + done, some, wishes);
        for (size_t i = 0; i < some; i++) {
            uint32_t place = which[done + i];
            take(&wishes[i], fn, args[place]);
            results[place] = wishes[i].result;
        }
    }
    fb_mem_free(many);
}

static void note_ttl(void *arg, const fb_value *value) {
    *(int64_t *)arg = value->ttl_ms;
}

int fb_shared_peek(fb_engine *engine, fb_str key, int64_t *ttl_ms) {
    int64_t unused;
    return fb_shared_get(engine, key, note_ttl, ttl_ms != NULL ? ttl_ms : &unused);
}

// ---- writing

static int change(fb_engine *engine, fb_wish *wish, fb_receipt *receipt) {
    int result = fb_wish_wait(engine, wish);
    if (receipt != NULL) {
        *receipt = wish->receipt;
    }
    return result;
}

int fb_shared_set(fb_engine *engine, fb_str key, fb_str value, const fb_set_options *options) {
    fb_wish wish = {.want = {.kind = FB_WANT_SET,
                             .key = key,
                             .value = value,
                             .ttl_ns = options->ttl_ms * 1000000,
                             .tags = options->tags,
                             .tag_count = options->tag_count,
                             .source_version = options->source_version}};
    return change(engine, &wish, options->receipt);
}

int fb_shared_del(fb_engine *engine, fb_str key) {
    fb_wish wish = {.want = {.kind = FB_WANT_DEL, .key = key}};
    return change(engine, &wish, NULL);
}

int fb_shared_edit(fb_engine *engine, fb_str key, fb_edit_fn fn, void *arg) {
    fb_wish wish = {.want = {.kind = FB_WANT_EDIT, .key = key, .edit = fn, .edit_arg = arg}};
    return change(engine, &wish, NULL);
}

int fb_shared_add(fb_engine *engine, fb_str key, int64_t delta, int64_t *result) {
    fb_wish wish = {.want = {.kind = FB_WANT_ADD, .key = key, .delta = delta}};
    int outcome = change(engine, &wish, NULL);
    if (outcome == FB_OK) {
        *result = wish.number;
    }
    return outcome;
}

int fb_shared_invalidate(fb_engine *engine, const fb_invalidation *what,
                         const fb_invalidate_options *options, int64_t *removed,
                         fb_receipt *receipt) {
    int64_t timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : NODES_MS;
    fb_wish wish = {.want = {.kind = FB_WANT_INVALIDATE,
                             .what = *what,
                             .reach = options->reach,
                             .source_version = options->source_version,
                             .hold_ns = fb_engine_ns_of(options->hold_ms),
                             .timeout_ns = options->reach == FB_REACH_NODES
                                               ? fb_engine_ns_of(timeout_ms)
                                               : 0}};
    if (what->scope == FB_SCOPE_KEY) {
        wish.want.key = what->name;
    }
    int result = change(engine, &wish, receipt);
    *removed = wish.number;
    return result;
}
