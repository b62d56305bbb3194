// Chunks. A rule with `chunk: n` takes n units of a key's quota from the shared tier at once, and
// spends them in the next moment without asking. There they are charged when they are taken, by a
// plan whose window is longer by that moment (fb_limit_plan_chunk()), so that no window of spending
// has more than the limit; what is not spent is lost to that window.
//
// The share's time begins when the request goes out, which is before it is charged. Of FIXED it
// ends with the period, by the tier's clock.
//
// Near the limit there is no whole chunk left: then what is wanted is asked for itself, and for
// that moment nobody tries for a chunk again.

#include "engine/limits_tier.h"

#include "base/check.h"

bool fb_limits_has_chunks(const fb_limit_ask *ask, fb_limit_act act) {
    return act == FB_LIMIT_TAKE && ask->rule->options.chunk > 0 && ask->cost > 0 &&
           ask->cost <= ask->rule->options.chunk &&
           ask->override.kind == FB_LIMIT_OVERRIDE_NONE;
}

static uint32_t sum(uint32_t a, uint32_t b, uint32_t most) {
    uint64_t both = (uint64_t)a + b;
    return both < most ? (uint32_t)both : most;
}

static void say_spent(fb_limit_ask *ask, const fb_limit_share *share, int64_t now_us) {
    const fb_limit_plan *plan = &ask->quota->plan;
    *ask->verdict = (fb_verdict){
        .allowed = true,
        .source = FB_LIMIT_BY_CHUNK,
        .cost = ask->cost,
        .limit = plan->limit,
        .remaining = sum(share->remaining, share->left, plan->limit),
        .window_us = plan->window_us,
        .reset_us = share->reset_at_us > now_us ? share->reset_at_us - now_us : 0,
    };
    ask->settled = true;
    ask->grant = FB_LIMIT_GRANT_CHUNK;
    ask->serial = share->serial;
}

// A whole chunk was granted: what this question does not want of it is left for others.
static void keep(fb_limits *limits, fb_limit_ask *ask, fb_limit_share *share, int64_t sent_us) {
    const fb_limit_quota *quota = ask->quota;
    int64_t for_us = quota->chunk_us;
    if (quota->plan.form == FB_LIMIT_FORM_FIXED && ask->end_us - ask->now_us < for_us) {
        for_us = ask->end_us - ask->now_us;
    }
    share->left = ask->rule->options.chunk - ask->wanted;
    share->remaining = ask->verdict->remaining;
    share->until_us = sent_us + for_us;
    share->reset_at_us = sent_us + ask->verdict->reset_us;
    fb_limit_chunks_took(limits->chunks, fb_limits_hash_of(ask), share, sent_us);
    ask->verdict->remaining = sum(share->remaining, share->left, quota->plan.limit);
    ask->grant = FB_LIMIT_GRANT_CHUNK;
    ask->serial = share->serial;
}

static int take_chunk(fb_limit_talk *talk, fb_limit_ask *ask, fb_limit_share *share) {
    fb_limits *limits = talk->limits;
    int64_t sent_us = fb_limits_now_us(limits);
    uint64_t hash = fb_limits_hash_of(ask);
    ask->cost = ask->rule->options.chunk;
    int result = fb_limits_ask_tier(talk, &ask, 1, FB_LIMIT_TAKE);
    ask->cost = ask->wanted;
    bool chunked = result == FB_OK && ask->override.kind == FB_LIMIT_OVERRIDE_NONE;
    if (chunked && !ask->verdict->denied) {
        keep(limits, ask, share, sent_us);
        return FB_OK;
    }
    fb_limit_chunks_failed(limits->chunks, hash, share->serial,
                           chunked ? sent_us + ask->quota->chunk_us : 0);
    if (chunked) {
        ask->settled = false;
        return FB_MISS;
    }
    return result;  // with an override it was asked as it is
}

int fb_limits_decide_chunk(fb_limit_talk *talk, fb_limit_ask *ask) {
    fb_limits *limits = talk->limits;
    int64_t now_us = fb_limits_now_us(limits);
    fb_limit_share share;
    switch (fb_limit_chunks_spend(limits->chunks, fb_limits_hash_of(ask), ask->cost, now_us,
                                  ask->rule->options.timeout_ns / 1000, &share)) {
        case FB_LIMIT_CHUNK_SPENT:
            say_spent(ask, &share, now_us);
            return FB_OK;
        case FB_LIMIT_CHUNK_ASK:
            return take_chunk(talk, ask, &share);
        default:
            return FB_MISS;
    }
}

void fb_limits_add_chunk(fb_limits *limits, fb_limit_ask *ask) {
    if (ask->rule->options.chunk == 0 || ask->override.kind != FB_LIMIT_OVERRIDE_NONE) {
        return;
    }
    uint32_t left = fb_limit_chunks_left(limits->chunks, fb_limits_hash_of(ask),
                                         fb_limits_now_us(limits));
    fb_verdict *verdict = ask->verdict;
    if (left == 0) {
        return;
    }
    verdict->remaining = sum(verdict->remaining, left, verdict->limit);
    if (verdict->denied && left >= ask->cost) {
        verdict->denied = false;
        verdict->retry_us = 0;
    }
}
