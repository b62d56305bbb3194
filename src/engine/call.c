// A call carries one question from a caller's thread to the lane that owns the key, and the answer
// back. It is one piece of memory, with the key and the parameters behind it; while it lives, a
// close waits for it.

#include "engine/engine.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

static fb_str copy_bytes(char **place, fb_str bytes) {
    fb_str copy = {*place, bytes.len};
    if (bytes.len > 0) {
        memcpy(*place, bytes.ptr, bytes.len);
        *place += bytes.len;
    }
    return copy;
}

static size_t bytes_of(const fb_bound *bound) {
    size_t len = bound->key.len;
    for (size_t i = 0; i < bound->param_count; i++) {
        len += bound->params[i].name.len + bound->params[i].value.len;
    }
    return len;
}

int fb_call_new(fb_engine *engine, const fb_class *class_, const fb_bound *bound, fb_call **out) {
    fb_call *call = fb_mem_zero(1, sizeof *call + bytes_of(bound));
    if (call == NULL) {
        return FB_ENOMEM;
    }
    if (!fb_engine_enter(engine)) {
        fb_mem_free(call);
        return FB_ECLOSED;
    }
    char *place = (char *)(call + 1);
    call->bound.key = copy_bytes(&place, bound->key);
    call->bound.param_count = bound->param_count;
    for (size_t i = 0; i < bound->param_count; i++) {
        call->bound.params[i].name = copy_bytes(&place, bound->params[i].name);
        call->bound.params[i].value = copy_bytes(&place, bound->params[i].value);
    }
    call->engine = engine;
    call->ask.class_ = class_;
    call->ask.ttl_ns = -1;
    fb_list_init(&call->list);
    *out = call;
    return FB_OK;
}

void fb_call_free(fb_call *call) {
    fb_engine *engine = call->engine;
    if (call->ask.priority == FB_PRIORITY_WARM) {
        atomic_fetch_sub(&engine->backlog.transit, 1);
    }
    fb_mem_free(call);
    fb_engine_idle(engine);
}

static void arrive(fb_post *post) {
    fb_call *call = FB_LIST_OF(post, fb_call, post);
    fb_lane_ask(call->owner, call);
}

void fb_call_send(fb_call *call) {
    call->owner = fb_engine_lane_of(call->engine, call->bound.key);
    if (fb_loop_here() == call->owner->loop && fb_fiber_here() == NULL) {
        fb_lane_ask(call->owner, call);
    } else {
        call->post.fn = arrive;
        fb_loop_submit(call->owner->loop, &call->post);
    }
}

int fb_call_background(fb_engine *engine, const fb_class *class_, const fb_bound *bound,
                       fb_priority priority, const fb_loader *loader) {
    fb_call *call = NULL;
    int result = fb_call_new(engine, class_, bound, &call);
    if (result < 0) {
        return result;
    }
    call->ask.seq = fb_cache_seq(engine->cache);
    call->ask.begin_ns = fb_clock_now_ns();
    call->ask.priority = priority;
    call->ask.refresh = priority == FB_PRIORITY_EARLY || priority == FB_PRIORITY_REFRESH;
    if (loader != NULL) {
        call->ask.loader = *loader;
    }
    if (priority == FB_PRIORITY_WARM) {
        atomic_fetch_add(&engine->backlog.transit, 1);
    }
    fb_call_send(call);
    return FB_OK;
}
