// Deciding in the shared tier. Questions of one key are one request; those of several keys are
// asked one after the other, and what was granted is given back where a later one is denied.
//
// Before it is asked at all: what it denied a moment ago is denied (limit/denials.h), and what this
// node took of the quota at once is spent (limits_chunk.c). When it answers that it knows of
// another override or is in another period of the calendar, it has done nothing, and is asked
// again.
//
// States under an override lie under the tier "!", which no tier is called.

#include "engine/limits_tier.h"

#include <string.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/str.h"
#include "os/clock.h"

enum { TURNS_MAX = 8 };
static const int64_t RECHECK_US = 1000000;

int64_t fb_limits_until_ns(const fb_limit_talk *talk, const fb_limit_ask *ask) {
    return talk->begin_ns + ask->rule->options.timeout_ns;
}

void fb_limits_describe(const fb_limit_ask *ask, fb_limit_part *part, unsigned char *override) {
    bool own = ask->override.kind == FB_LIMIT_OVERRIDE_LIMIT;
    *part = (fb_limit_part){.plan = ask->plan,
                            .rule = fb_str_of(ask->rule->options.name),
                            .tier = own ? FB_STR("!") : ask->quota->tier};
    if (ask->override.kind != FB_LIMIT_OVERRIDE_NONE) {
        fb_limit_override_write(&ask->override, override);
        part->override = fb_str_make((const char *)override, FB_LIMIT_OVERRIDE_BYTES);
    }
}

// What lets everybody pass, or nobody, is not asked about again while it is known; so it is known
// for a second at most.
void fb_limits_overridden(fb_limits *limits, fb_limit_ask *ask, const fb_limit_reply *reply) {
    fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_NONE};
    uint64_t hash = ask->hash ^ ask->rule->salt;
    int64_t now_us = fb_limits_now_us(limits);
    if (fb_limit_override_read(reply->override, &override) == FB_OK) {
        bool checked = override.kind == FB_LIMIT_OVERRIDE_LIMIT;
        int64_t for_us = checked || reply->override_us < RECHECK_US ? reply->override_us
                                                                    : RECHECK_US;
        // Where it finds no place, it is asked about each time.
        FB_IGNORE(fb_limit_overrides_put(limits->overrides, hash, &override, now_us + for_us,
                                         now_us));
    } else {
        fb_limit_overrides_forget(limits->overrides, hash);
    }
    fb_limits_adopt(ask, &override);
}

// A look at leases finds overrides of any rule, and changes nothing. That there is none is known
// for a moment, too: a flood of questions of who is barred costs the tier one a second.
void fb_limits_learn(const fb_limit_talk *talk, fb_limit_ask *ask) {
    fb_limits *limits = talk->limits;
    if (!ask->settled || ask->known) {
        return;
    }
    unsigned char bytes[FB_LIMIT_OVERRIDE_BYTES];
    fb_limit_part part;
    fb_limit_answer answer;
    fb_limits_describe(ask, &part, bytes);
    fb_limit_request request = {
        .verb = FB_LIMIT_COUNT, .key = ask->key, .parts = &part, .part_count = 1};
    int result = fb_limits_exchange(limits, ask->hash, &request, fb_limits_until_ns(talk, ask),
                                    &answer);
    if (result < 0) {
        return;
    }
    ask->known = true;
    if (answer.reply.result == FB_LIMIT_OVERRIDDEN) {
        ask->settled = false;
        fb_limits_overridden(limits, ask, &answer.reply);
    } else {
        int64_t now_us = fb_limits_now_us(limits);
        FB_IGNORE(fb_limit_overrides_put(limits->overrides, ask->hash ^ ask->rule->salt,
                                         &ask->override, now_us + RECHECK_US, now_us));
    }
}

// ---- one request

typedef struct asking {
    fb_limit_ask *asks[FB_LIMIT_QUESTIONS_MAX];
    size_t count;
    fb_limit_act act;
    int64_t wall_us;  // as the tier said; 0: it has not
    fb_limit_part parts[FB_LIMIT_QUESTIONS_MAX];
    unsigned char overrides[FB_LIMIT_QUESTIONS_MAX][FB_LIMIT_OVERRIDE_BYTES];
} asking;

static void choose_plan(fb_limit_ask *ask) {
    if (ask->rule->options.chunk > 0 && ask->override.kind == FB_LIMIT_OVERRIDE_NONE) {
        ask->plan = &ask->quota->chunked;
    }
}

static void fill(fb_limits *limits, asking *one) {
    int64_t now_us = one->wall_us != 0 ? one->wall_us : fb_limits_wall_us(limits);
    for (size_t i = 0; i < one->count; i++) {
        fb_limit_ask *ask = one->asks[i];
        choose_plan(ask);
        fb_limits_describe(ask, &one->parts[i], one->overrides[i]);
        fb_limits_step(ask, one->act, now_us, &one->parts[i].step);
    }
}

// In the words of the rule: a chunked plan has a longer window, or a smaller bucket.
static void correct(const fb_limit_ask *ask) {
    if (ask->plan == &ask->quota->chunked) {
        ask->verdict->limit = ask->quota->plan.limit;
        ask->verdict->window_us = ask->quota->plan.window_us;
    }
}

static void take_part(fb_limits *limits, const asking *one, size_t index,
                      const fb_limit_reply *reply, bool all) {
    fb_limit_ask *ask = one->asks[index];
    fb_limit_step step = one->parts[index].step;
    bool allowed = reply->parts[index].allowed;
    step.now_us = reply->now_us;
    ask->now_us = reply->now_us;
    fb_limit_explain(ask->plan, &step, &reply->parts[index].state, allowed, ask->verdict);
    correct(ask);
    ask->verdict->source = FB_LIMIT_BY_SHARED;
    ask->verdict->degraded = false;
    ask->settled = true;
    bool pays = !allowed && ask->plan->charge_denied && !ask->verdict->impossible;
    ask->grant = one->act == FB_LIMIT_TAKE && (all || pays) ? FB_LIMIT_GRANT_TIER
                                                            : FB_LIMIT_GRANT_NONE;
    if (!allowed && ask->verdict->retry_us > 0) {
        fb_limit_denials_put(limits->denials, fb_limits_hash_of(ask), ask->verdict,
                             fb_limits_now_us(limits));
    }
}

static void take_all(fb_limits *limits, const asking *one, const fb_limit_reply *reply) {
    bool all = true;
    for (size_t i = 0; i < one->count; i++) {
        all = all && reply->parts[i].allowed;
    }
    for (size_t i = 0; i < one->count; i++) {
        take_part(limits, one, i, reply, all);
    }
}

// Another override: whom it settles is asked for no more; where it bars one, the others are looked
// at.
static void follow(fb_limits *limits, asking *one, const fb_limit_reply *reply) {
    fb_limit_ask *ask = one->asks[reply->which];
    ask->cost = ask->wanted;
    fb_limits_overridden(limits, ask, reply);
    if (!ask->settled) {
        return;
    }
    if (ask->verdict->denied && one->act == FB_LIMIT_TAKE) {
        one->act = FB_LIMIT_LOOK;
    }
    one->count--;
    for (size_t i = reply->which; i < one->count; i++) {
        one->asks[i] = one->asks[i + 1];
    }
}

// The first of the deadlines of those that are asked together.
static int64_t until_of(const fb_limit_talk *talk, const asking *one) {
    int64_t until_ns = INT64_MAX;
    for (size_t i = 0; i < one->count; i++) {
        int64_t other_ns = fb_limits_until_ns(talk, one->asks[i]);
        until_ns = other_ns < until_ns ? other_ns : until_ns;
    }
    return until_ns;
}

int fb_limits_ask_tier(fb_limit_talk *talk, fb_limit_ask *const *asks, size_t count,
                       fb_limit_act act) {
    fb_limits *limits = talk->limits;
    fb_limit_answer answer;
    asking one;
    one.count = count;
    one.act = act;
    one.wall_us = 0;
    FB_ASSERT(count > 0 && count <= FB_LIMIT_QUESTIONS_MAX);
    memcpy(one.asks, asks, count * sizeof one.asks[0]);
    for (int turn = 0; turn < TURNS_MAX && one.count > 0; turn++) {
        fill(limits, &one);
        fb_limit_request request = {.verb = FB_LIMIT_DECIDE,
                                    .key = one.asks[0]->key,
                                    .parts = one.parts,
                                    .part_count = one.count};
        int result = fb_limits_exchange(limits, one.asks[0]->hash, &request, until_of(talk, &one),
                                        &answer);
        if (result < 0) {
            memcpy(talk->why, answer.why, sizeof talk->why);
            return result;
        }
        if (answer.reply.result == FB_LIMIT_DONE) {
            take_all(limits, &one, &answer.reply);
            return FB_OK;
        }
        if (answer.reply.result == FB_LIMIT_CLOCK) {
            one.wall_us = answer.reply.now_us;
        } else if (act == FB_LIMIT_GIVE && one.asks[0]->grant != FB_LIMIT_GRANT_NONE) {
            return FB_OK;  // it was granted under what is not in force any more
        } else {
            follow(limits, &one, &answer.reply);
        }
    }
    return one.count == 0 ? FB_OK : FB_EIO;
}

// ---- the questions of one key

static bool all_allowed(const fb_limit_group *group) {
    for (size_t i = 0; i < group->count; i++) {
        if (group->asks[i]->verdict->denied) {
            return false;
        }
    }
    return true;
}

static int ask_open(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act) {
    fb_limit_ask *open[FB_LIMIT_QUESTIONS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        if (!group->asks[i]->settled) {
            open[count++] = group->asks[i];
        }
    }
    int result = FB_MISS;
    if (count == 1 && fb_limits_has_chunks(open[0], act)) {
        result = fb_limits_decide_chunk(talk, open[0]);
    }
    if (result == FB_MISS) {
        result = count > 0 ? fb_limits_ask_tier(talk, open, count, act) : FB_OK;
    }
    for (size_t i = 0; i < count && result == FB_OK && act == FB_LIMIT_LOOK; i++) {
        fb_limits_add_chunk(talk->limits, open[i]);
    }
    return result;
}

static bool decide_key(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act) {
    int result = ask_open(talk, group, act);
    if (result < 0) {
        return fb_limits_do_without(talk, group, act, result);
    }
    return all_allowed(group);
}

// ---- of several keys

static void give_back_tier(fb_limit_talk *talk, const fb_limit_group *group) {
    fb_limit_ask *granted[FB_LIMIT_QUESTIONS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        fb_limit_ask *ask = group->asks[i];
        if (ask->grant == FB_LIMIT_GRANT_TIER) {
            fb_limit_denials_forget(talk->limits->denials, fb_limits_hash_of(ask));
            granted[count++] = ask;
        }
    }
    // Where it cannot be given back it stays charged: less passes, not more.
    FB_IGNORE(count > 0 && fb_limits_ask_tier(talk, granted, count, FB_LIMIT_GIVE) < 0);
}

static void give_back(fb_limit_talk *talk, const fb_limit_group *group) {
    fb_limits *limits = talk->limits;
    give_back_tier(talk, group);
    for (size_t i = 0; i < group->count; i++) {
        fb_limit_ask *ask = group->asks[i];
        if (ask->grant == FB_LIMIT_GRANT_HERE) {
            fb_limits_give_here(limits, ask);
        } else if (ask->grant == FB_LIMIT_GRANT_CHUNK &&
                   fb_limit_chunks_return(limits->chunks, fb_limits_hash_of(ask), ask->serial,
                                          ask->cost, fb_limits_now_us(limits))) {
            uint64_t left = (uint64_t)ask->verdict->remaining + ask->cost;
            ask->verdict->remaining =
                left < ask->verdict->limit ? (uint32_t)left : ask->verdict->limit;
        }
        ask->grant = FB_LIMIT_GRANT_NONE;
    }
}

// Parts the group by key, in the order of the questions. Returns how many parts.
static size_t part(const fb_limit_group *group, fb_limit_group *parts) {
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        fb_limit_ask *ask = group->asks[i];
        size_t at = 0;
        while (at < count && !fb_str_equal(parts[at].asks[0]->key, ask->key)) {
            at++;
        }
        if (at == count) {
            parts[count++].count = 0;
        }
        parts[at].asks[parts[at].count++] = ask;
    }
    return count;
}

static bool is_barred(const fb_limit_group *group) {
    for (size_t i = 0; i < group->count; i++) {
        if (group->asks[i]->settled && group->asks[i]->verdict->denied) {
            return true;
        }
    }
    return false;
}

// Where one of them was denied a moment ago nobody asks for the others either: a flood of denied
// questions costs the tier nothing.
static bool is_remembered(fb_limits *limits, const fb_limit_group *group) {
    bool any = false;
    for (size_t i = 0; i < group->count; i++) {
        fb_limit_ask *ask = group->asks[i];
        if (!ask->settled &&
            fb_limit_denials_get(limits->denials, fb_limits_hash_of(ask), ask->cost,
                                 fb_limits_now_us(limits), ask->verdict)) {
            ask->settled = true;
            any = true;
        }
    }
    for (size_t i = 0; i < group->count && any; i++) {
        fb_limit_ask *ask = group->asks[i];
        if (!ask->settled) {
            fb_limits_undecided(ask, true, FB_LIMIT_BY_OPEN);
            ask->verdict->remaining = 0;
        }
    }
    return any;
}

bool fb_limits_decide_tier(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act) {
    fb_limit_group parts[FB_LIMIT_QUESTIONS_MAX];
    bool allowed = true;
    for (size_t i = 0; i < group->count; i++) {
        fb_limits_learn(talk, group->asks[i]);
    }
    if (is_remembered(talk->limits, group)) {
        return false;
    }
    if (act == FB_LIMIT_TAKE && is_barred(group)) {
        act = FB_LIMIT_LOOK;
    }
    size_t count = part(group, parts);
    for (size_t i = 0; i < count && talk->result == FB_OK; i++) {
        if (decide_key(talk, &parts[i], act)) {
            continue;
        }
        allowed = false;
        bool gives_back = FB_RULE(limits_give_back) && act == FB_LIMIT_TAKE;
        // It has a time of its own, one for all: what is not given back is missing for a window.
        fb_limit_talk own = {.limits = talk->limits, .begin_ns = fb_clock_now_ns()};
        for (size_t before = 0; before < i && gives_back; before++) {
            give_back(&own, &parts[before]);
        }
        act = act == FB_LIMIT_TAKE ? FB_LIMIT_LOOK : act;
    }
    return allowed;
}
