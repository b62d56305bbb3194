// What a caller wants of the shared tier: it goes to the lane that owns the key (what concerns many
// keys, to lane 0), through that lane's gate, and the answer wakes the caller.
//
// A wish lives on its caller's stack: he waits until it is answered, which the gate promises, so
// nothing is allocated here and nothing can be left over.

#include "engine/engine.h"

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "os/clock.h"

static void answer(fb_wish *wish, int result) {
    wish->result = result;
    fb_sleeper_wake(wish->sleeper);
}

static void arrive(fb_post *post) {
    fb_wish *wish = FB_LIST_OF(post, fb_wish, post);
    fb_lane *lane = wish->owner;
    int64_t now_ns;
    if (lane->ended) {
        answer(wish, FB_ECLOSED);
        return;
    }
    fb_clock_pair(&now_ns, &wish->want.wall_ms);
    if (wish->want.kind != FB_WANT_EDIT) {
        now_ns = fb_clock_now_ns();  // a pair may be a millisecond old
    }
    fb_list_insert(&lane->wishes, &wish->list);
    int result = fb_gate_want(lane->gate, &wish->want, now_ns);
    if (result < 0) {
        fb_list_remove(&wish->list);
        answer(wish, result);
    }
    fb_lane_drain(lane);
}

void fb_wish_answer(const fb_gate_action *action) {
    fb_wish *wish = (fb_wish *)(uintptr_t)action->waiter;
    fb_list_remove(&wish->list);
    wish->value = action->value;
    wish->number = action->number;
    wish->token = action->token;
    wish->receipt = action->receipt;
    if (wish->error != NULL && action->result < 0) {
        FB_IGNORE(fb_error_set(wish->error, action->result, "%s", action->error));
    }
    answer(wish, action->result);
}

static fb_lane *owner_of(fb_engine *engine, const fb_want *want) {
    if (want->kind != FB_WANT_INVALIDATE) {
        return fb_engine_lane_of(engine, want->key);
    }
    return want->what.scope == FB_SCOPE_KEY ? fb_engine_lane_of(engine, want->what.name)
                                            : &engine->lanes[0];
}

static void refuse(fb_wish *wishes, size_t count, int result) {
    for (size_t i = 0; i < count; i++) {
        wishes[i].result = result;
    }
}

void fb_wishes_wait(fb_engine *engine, fb_wish *wishes, size_t count) {
    fb_sleeper sleeper;
    if (!fb_engine_may_wait(engine)) {
        refuse(wishes, count, FB_EINVAL);
        return;
    }
    if (!fb_engine_enter(engine)) {
        refuse(wishes, count, FB_ECLOSED);
        return;
    }
    fb_sleeper_begin(&sleeper, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        fb_wish *wish = &wishes[i];
        wish->want.waiter = (uint64_t)(uintptr_t)wish;
        wish->owner = owner_of(engine, &wish->want);
        wish->sleeper = &sleeper;
        wish->post.fn = arrive;
        fb_list_init(&wish->list);
        fb_loop_submit(wish->owner->loop, &wish->post);
    }
    fb_sleeper_wait(&sleeper);
    fb_engine_idle(engine);
}

int fb_wish_wait(fb_engine *engine, fb_wish *wish) {
    fb_wishes_wait(engine, wish, 1);
    return wish->result;
}
