// engine/limits_tier.h -- limits in the shared tier: the way there and back, deciding there, and
// what is done where it does not answer.

#ifndef FB_ENGINE_LIMITS_TIER_H
#define FB_ENGINE_LIMITS_TIER_H

#include "engine/limits.h"

#ifdef __cplusplus
extern "C" {
#endif

// What came of asking for something else than a decision, for people: an error (limits_admin.c).
int fb_limits_say_failed(int result, const char *why, fb_error *error);
// Around each question (limits_check.c); `here`: that memory alone answers. False: the engine
// closes.
FB_CHECK_RESULT bool fb_limits_enter(fb_limits *limits, bool here);
void fb_limits_leave(fb_limits *limits, bool here);

// ---- the way there and back (limits_lane.c)

// Nothing is sent before the lanes begin. FB_ENOMEM.
FB_CHECK_RESULT int fb_limit_lanes_new(fb_limits *limits);
void fb_limit_lanes_free(fb_limits *limits);

enum { FB_LIMIT_WHY_SIZE = 128 };
typedef struct fb_limit_answer {
    fb_limit_reply reply;  // DONE, CLOCK or OVERRIDDEN
    char override[FB_LIMIT_OVERRIDE_BYTES];
    char why[FB_LIMIT_WHY_SIZE];  // with FB_EIO: in the tier's words, or ""
} fb_limit_answer;
// Sends the request and waits for its answer, until then at most; `hash` is of the key. Only within
// fb_engine_enter(). FB_OK; FB_EIO: the tier is away, or the connection broke (perhaps done), or it
// refused;
// FB_ETIMEDOUT: perhaps done; FB_EINVAL: this thread must not wait; FB_ECLOSED, FB_ENOMEM,
// FB_EOVERLOAD: not done.
FB_CHECK_RESULT int fb_limits_exchange(fb_limits *limits, uint64_t hash, fb_limit_request *request,
                                       int64_t until_ns, fb_limit_answer *answer);

// ---- deciding there (limits_tier.c)

// One step of the calling thread's question: until when all of it is to be answered.
typedef struct fb_limit_talk {
    fb_limits *limits;
    int64_t begin_ns;
    int result;  // FB_ECLOSED: the engine closes; else FB_OK
    char why[FB_LIMIT_WHY_SIZE];  // of the last answer that failed
} fb_limit_talk;

int64_t fb_limits_until_ns(const fb_limit_talk *talk, const fb_limit_ask *ask);
// Asks of one key, none of them settled: they are, with FB_OK (some or all may be exempt or
// barred). Otherwise what fb_limits_exchange() says.
FB_CHECK_RESULT int fb_limits_ask_tier(fb_limit_talk *talk, fb_limit_ask *const *asks, size_t count,
                                       fb_limit_act act);
// A whole group, of any keys. Whether all are allowed.
bool fb_limits_decide_tier(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act);
// How the tier names a part, and the override that was taken into account.
void fb_limits_describe(const fb_limit_ask *ask, fb_limit_part *part, unsigned char *override);
// What another override means that the tier said is in force.
void fb_limits_overridden(fb_limits *limits, fb_limit_ask *ask, const fb_limit_reply *reply);
// Of whom a list or his tier settled, without the shared tier: whether it has an override for him,
// which comes first. Where it does not answer it has none.
void fb_limits_learn(const fb_limit_talk *talk, fb_limit_ask *ask);

// ---- out of shares (limits_chunk.c)

// Whether the question may be answered so.
bool fb_limits_has_chunks(const fb_limit_ask *ask, fb_limit_act act);
// FB_OK: it is settled. FB_MISS: it is to be asked as it is. Else as fb_limits_ask_tier().
FB_CHECK_RESULT int fb_limits_decide_chunk(fb_limit_talk *talk, fb_limit_ask *ask);
// After a peek: what is left of the share counts, too.
void fb_limits_add_chunk(fb_limits *limits, fb_limit_ask *ask);

// ---- when it does not answer (limits_trouble.c)

// Settles what is not settled. Whether all of the group are allowed.
bool fb_limits_do_without(fb_limit_talk *talk, const fb_limit_group *group, fb_limit_act act,
                          int why);
// Of one: settles it where memory is not to be asked. Whether it is.
bool fb_limits_asks_memory(fb_limits *limits, fb_limit_ask *ask, int why);
// An answer came, which people may want to be told.
void fb_limits_answered(fb_limits *limits);

#ifdef __cplusplus
}
#endif

#endif
