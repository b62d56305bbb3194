// engine/limits.h -- the limits of an engine: forebay/limit.h, over memory and the shared tier.
//
//   limits.c          opening, reloading, closing; figures
//   limits_ask.c      what a question means; what is said and counted of it
//   limits_here.c     deciding in memory
//   limits_check.c    fb_limit_check() and its kin
//   limits_tier.c     deciding in the shared tier
//   limits_chunk.c    out of shares that were taken from it at once
//   limits_lane.c     the way to it and back, on the lanes
//   limits_trouble.c  when it does not answer
//   limits_admin.c    refund, reset, override
//   limits_slots.c    leases
//
// Time here is µs of the monotonic clock; of FIXED, of the calendar's.

#ifndef FB_ENGINE_LIMITS_H
#define FB_ENGINE_LIMITS_H

#include "engine/engine.h"
#include "limit/catalog.h"
#include "limit/chunks.h"
#include "limit/denials.h"
#include "limit/overrides.h"
#include "limit/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_limit_lane fb_limit_lane;

struct fb_limits {
    fb_engine *engine;
    bool shared;                          // there is a shared tier
    fb_limit_hash_key hash_key;
    _Atomic(fb_limit_catalog *) catalog;  // in force
    fb_limit_overrides *overrides;
    fb_limit_table *own[2];               // states under overrides; [1]: of FIXED, by its clock
    fb_limit_catalog *throttle_catalog;
    fb_limit_rule *throttle;              // stands for the rule that CL.THROTTLE has none of
    fb_limit_denials *denials;            // of the shared tier, NULL without one
    fb_limit_chunks *chunks;              // likewise
    fb_limit_lane *lanes;                 // likewise
    uint32_t lane_count;
    // What people are told of the shared tier (limits_trouble.c).
    _Atomic(bool) fell, answered;         // since the last look
    bool told;
    int64_t told_ns;  // when they were
    uint32_t quiet;                       // looks without trouble
    _Atomic(int64_t) shift_us[2];         // tests move the clocks: monotonic, wall
};

// ---- limits.c

// Between the lanes and their beginning. After an error fb_limits_free() is called as ever.
FB_CHECK_RESULT int fb_limits_open(fb_engine *engine, const fb_settings *settings,
                                   fb_error *error);
void fb_limits_free(fb_limits *limits);  // after the lanes
// Whether what they need of this machine, time zones, is there. FB_EINVAL with the place;
// FB_ENOMEM.
FB_CHECK_RESULT int fb_limits_fit(const fb_settings *settings, fb_error *error);
// Another catalogue, to be published, which cannot fail, or dropped.
FB_CHECK_RESULT int fb_limits_prepare(fb_limits *limits, const fb_settings *settings,
                                      fb_limit_catalog **catalog, fb_error *error);
void fb_limits_publish(fb_limits *limits, fb_limit_catalog *catalog);
void fb_limits_drop(fb_limit_catalog *catalog);  // NULL is fine
void fb_limits_reset_figures(fb_limits *limits);
// Ten times a second, on lane 0 (limits_trouble.c).
void fb_limits_upkeep(fb_limits *limits);
// On the lane's thread (limits_lane.c): how its connection is; who waits is told FB_ECLOSED.
void fb_limits_link(fb_lane *lane, bool up);
void fb_limits_end(fb_lane *lane);

// ---- one question on its way (limits_ask.c)

typedef enum fb_limit_grant {  // who took the cost, and could give it back
    FB_LIMIT_GRANT_NONE,
    FB_LIMIT_GRANT_HERE,
    FB_LIMIT_GRANT_TIER,
    FB_LIMIT_GRANT_CHUNK
} fb_limit_grant;

typedef struct fb_limit_ask {
    fb_limit_rule *rule;
    const fb_limit_quota *quota;
    const fb_limit_plan *plan;  // by which it is decided: the quota's, or `made`
    fb_limit_plan made;         // of an override, or of CL.THROTTLE
    fb_limit_override override; // in force; NONE: none is
    bool known;                 // this node knew of it, or that there is none
    fb_str key;                 // as it counts
    char address[64];           // where it is a network
    uint64_t hash;              // of the key
    uint32_t cost, wanted;      // asked for now; by the question
    int64_t now_us;             // the shared tier's time, when it decided
    bool settled;               // *verdict is there
    bool local;                 // by this node's part alone, as the tier is away
    fb_limit_grant grant;
    uint64_t serial;            // of the chunk
    int64_t start_us, end_us;   // FIXED: the period
    fb_verdict *verdict;
} fb_limit_ask;

int64_t fb_limits_now_us(const fb_limits *limits);
int64_t fb_limits_wall_us(const fb_limits *limits);
// The clock that its plan goes by.
int64_t fb_limits_time_us(const fb_limits *limits, const fb_limit_plan *plan);

// Fills in all but the verdict. FB_OK; FB_ENOLIMIT, FB_EINVAL, FB_ETOOBIG.
FB_CHECK_RESULT int fb_limits_understand(fb_limits *limits, const fb_limit_question *question,
                                         fb_limit_ask *ask, fb_error *error);
// What an override, a list or a tier say: by which plan; or settled, with the verdict.
void fb_limits_place(fb_limits *limits, fb_limit_ask *ask);
// The override that was found elsewhere (kind NONE: there is none) instead of the one in `ask`.
void fb_limits_adopt(fb_limit_ask *ask, const fb_limit_override *override);
// A step's time; FIXED: the period of now_us, which is the calendar's.
void fb_limits_begin(fb_limit_rule *rule, const fb_limit_plan *plan, int64_t now_us,
                     fb_limit_step *step);
// The whole step.
void fb_limits_step(fb_limit_ask *ask, fb_limit_act act, int64_t now_us, fb_limit_step *step);
// A verdict that nothing was decided for: all of the quota is there, or nothing.
void fb_limits_undecided(fb_limit_ask *ask, bool allowed, fb_limit_source source);
// In the figures, what came of a question, and what was charged for it.
void fb_limits_count(fb_limit_rule *rule, uint64_t hash, fb_str key, const fb_verdict *verdict,
                     uint32_t charged);
// The names, shadow mode; and, unless it was a peek, the figures.
void fb_limits_finish(fb_limit_ask *ask, bool peek);
// Names a quota among all: of denials, chunks and overridden states. The plan has been chosen.
uint64_t fb_limits_hash_of(const fb_limit_ask *ask);

// ---- deciding (limits_here.c, limits_tier.c)

// The short way of a question by itself that memory decides: FB_OK or FB_LIMITED, all done. FB_MISS:
// there is more to be said of it, and it was not asked.
FB_CHECK_RESULT int fb_limits_check_plain(fb_limits *limits, const fb_limit_question *question,
                                          bool peek, fb_verdict *verdict);

typedef struct fb_limit_group {
    fb_limit_ask *asks[FB_LIMIT_QUESTIONS_MAX];
    size_t count;
} fb_limit_group;

// From now on by this node's part of the limit.
void fb_limits_go_local(fb_limit_ask *ask);
// In memory, in one step: all that are not settled. Whether all of the group are allowed.
bool fb_limits_decide_here(fb_limits *limits, const fb_limit_group *group, fb_limit_act act);
// Gives back what was granted here.
void fb_limits_give_here(fb_limits *limits, fb_limit_ask *ask);

#ifdef __cplusplus
}
#endif

#endif
