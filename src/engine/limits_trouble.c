// The shared tier was asked and did not answer, or is known to be away, or this thread must not
// wait for it. Each rule says what then: its part of the limit in this node's memory, or everything
// passes, or nothing does.
//
// People are told once when that begins and once when it is over: a look ten times a second sees
// whether there was trouble since the last, and it is over when for a second there was none, and an
// answer.

#include "engine/limits_tier.h"

#include "base/check.h"
#include "base/log.h"
#include "base/units.h"
#include "os/clock.h"

#include <inttypes.h>

enum { QUIET_LOOKS = 10 };
static const int64_t CLOSED_RETRY_US = 1000000;

static void note(_Atomic(bool) *flag) {
    if (!atomic_load_explicit(flag, memory_order_relaxed)) {
        atomic_store_explicit(flag, true, memory_order_relaxed);
    }
}

void fb_limits_answered(fb_limits *limits) {
    note(&limits->answered);
}

bool fb_limits_asks_memory(fb_limits *limits, fb_limit_ask *ask, int why) {
    if (why != FB_EINVAL) {
        note(&limits->fell);
    }
    switch (ask->rule->options.trouble) {
        case FB_LIMIT_TROUBLE_OPEN:
            fb_limits_undecided(ask, true, FB_LIMIT_BY_OPEN);
            break;
        case FB_LIMIT_TROUBLE_CLOSED:
            fb_limits_undecided(ask, false, FB_LIMIT_BY_CLOSED);
            ask->verdict->retry_us = CLOSED_RETRY_US;
            break;
        default:
            fb_limits_go_local(ask);
            return true;
    }
    ask->verdict->degraded = true;
    return false;
}

bool fb_limits_do_without(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act,
                          int why) {
    if (why == FB_ECLOSED) {
        talk->result = FB_ECLOSED;
        return false;
    }
    for (size_t i = 0; i < group->count; i++) {
        fb_limit_ask *ask = group->asks[i];
        ask->cost = ask->wanted;
        if (!ask->settled && !ask->local) {
            (void)fb_limits_asks_memory(talk->limits, ask, why);
        }
    }
    return fb_limits_decide_here(talk->limits, group, act);
}

void fb_limits_upkeep(fb_limits *limits) {
    if (!limits->shared) {
        return;
    }
    bool fell = atomic_exchange(&limits->fell, false);
    limits->quiet = fell ? 0 : limits->quiet + 1;
    if (fell && !limits->told) {
        limits->told = true;
        limits->told_ns = fb_clock_now_ns();
        atomic_store(&limits->answered, false);
        fb_log(FB_LOG_WARN, "limits_without_shared_tier", "hint=%s",
               fb_log_quote(FB_STR("each rule does as its on_store_error says"), FB_LOG_TEXT_MAX)
                   .text);
    } else if (fell) {
        atomic_store(&limits->answered, false);
    } else if (limits->told && limits->quiet >= QUIET_LOOKS && atomic_load(&limits->answered)) {
        limits->told = false;
        fb_log(FB_LOG_INFO, "limits_by_shared_tier", "away_ms=%" PRId64,
               (fb_clock_now_ns() - limits->told_ns) / FB_NS_PER_MS);
    }
}
