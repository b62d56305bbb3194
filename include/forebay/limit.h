// forebay/limit.h -- rate limits: may this subject do this now, and if not, when.
//
// Rules are declared in the configuration (`limits`), each with a name, an algorithm and its numbers;
// some are there from the start (generation, api, improvement, auth; otp_resend, otp_account and
// otp_address, which one-time codes ask). A question names a rule and a key: whose quota it is
// ("user:42", "203.0.113.7"). Keys of one rule never share a quota.
//
// Algorithms (docs/limits.md has the bounds of each): `sliding`, no window, wherever it begins, has more
// than the limit: by the times of all that was admitted up to 64 of them, by sub-windows above; `token`,
// a token bucket; `fixed`, a count for each period of the clock or the calendar; `slots`, leases.
//
//     fb_limit_question question = {.rule = FB_STR("generation"), .key = FB_STR("user:42"), .cost = 1};
//     fb_verdict verdict;
//     if (fb_limit_check(engine, &question, 1, 0, &verdict, &error) == FB_LIMITED) {
//         … come back in verdict.retry_us …
//     }
//
// Without a shared tier the quotas are this process's; with one (Redis, Valkey) they are those of all
// nodes together, decided there in one step by its clock, with the same outcome as in memory.
//
// Time: microseconds (`_us`). Memory: a verdict points into the configuration in force at the time,
// good until the engine closes. Threads: any; a call may wait for the shared tier (at most the rule's
// `timeout`), which on a loop of the engine only a fiber may (fb_run()): elsewhere on a loop the rule's
// `on_store_error` answers at once.

#ifndef FOREBAY_LIMIT_H
#define FOREBAY_LIMIT_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_engine fb_engine;

enum {
    FB_LIMIT_KEY_MAX = 1024,                 // bytes of a key
    FB_LIMIT_QUESTIONS_MAX = 8,              // limits in one call
    FB_LIMIT_MESSAGE_SIZE = 160
};
#define FB_LIMIT_COST_MAX UINT32_C(2147483648)

// Who decided. One line each: name, its text in answers, what it means.
#define FB_LIMIT_SOURCES(X)                                                                         \
    X(MEMORY, "memory", "this process: there is no shared tier")                                    \
    X(SHARED, "redis", "the shared tier")                                                           \
    X(CHUNK, "chunk", "this process, out of a share that it took from the shared tier")             \
    X(REMEMBERED, "remembered", "this process: the shared tier denied it less than a second ago")   \
    X(LOCAL, "local", "this process: the shared tier did not answer (degraded)")                    \
    X(OPEN, "open", "nobody: it could not be decided, and passes (degraded)")                       \
    X(CLOSED, "closed", "nobody: it could not be decided, and the rule says closed (degraded)")     \
    X(EXEMPT, "exempt", "the key is exempt from the rule: nothing is counted")                      \
    X(BARRED, "barred", "the key is on the rule's deny list, or denied for a time")

typedef enum fb_limit_source {
#define FB_LIMIT_SOURCE_ENUM(name, text, help) FB_LIMIT_BY_##name,
    FB_LIMIT_SOURCES(FB_LIMIT_SOURCE_ENUM)
#undef FB_LIMIT_SOURCE_ENUM
} fb_limit_source;
FB_API const char *fb_limit_source_text(fb_limit_source source);

typedef struct fb_limit_question {
    fb_str rule;
    fb_str key;     // 1 to FB_LIMIT_KEY_MAX bytes
    fb_str tier;    // of the rule; empty: none. One that the rule does not have: as none
    uint32_t cost;  // 0 … FB_LIMIT_COST_MAX; 0 charges nothing and is allowed
} fb_limit_question;

typedef struct fb_verdict {
    bool allowed;
    bool denied;          // over the limit: the opposite of allowed, but for a rule in shadow mode
    bool impossible;      // cost is above the limit: it will never pass
    bool degraded;        // the shared tier was not asked, or did not answer
    fb_limit_source source;
    uint32_t cost;
    uint32_t limit;       // cost that fits into `window_us` (`token`: at once)
    uint32_t remaining;   // ≤ limit: after this answer
    int64_t window_us;    // `slots`: 0
    int64_t retry_us;     // denied: ≥ 1, after which the same question would be allowed if nobody
                          // else asks; -1: impossible, barred. Allowed: 0
    int64_t reset_us;     // until the whole quota is there again; 0: it is
    const char *rule;     // its name, and
    const char *message;  // its `message`: what is counted ("generations")
} fb_verdict;

enum {                    // flags
    FB_LIMIT_PEEK = 1,    // says what would be, and charges nothing
    FB_LIMIT_LOCAL = 2    // by this process alone, never waiting: for what is of this machine
};

// Asks all questions and charges all, or, where one is denied, none (rules with `charge_denied`
// charge what they deny). Questions of one key are one step; of several keys, what was granted is
// given back when a later one denies. Where one is denied from memory (REMEMBERED) the others are not
// asked at all: allowed, remaining 0, by OPEN. verdicts[count].
// FB_OK: all are allowed. FB_LIMITED: not all; each verdict says so of itself. FB_ENOLIMIT, FB_EINVAL
// (no key, cost, count, a rule of `slots`), FB_ETOOBIG (the key): nothing was asked. FB_ECLOSED.
FB_API FB_CHECK_RESULT int fb_limit_check(fb_engine *engine, const fb_limit_question *questions,
                                          size_t count, unsigned flags, fb_verdict *verdicts,
                                          fb_error *error);
// Gives `cost` back: of what was charged last in time the oldest, so that no window ever has more than
// the limit. What is not charged any more is not given back. *verdict (may be NULL): as after a peek.
// FB_OK; FB_EIO, FB_ETIMEDOUT: the shared tier did not answer, and it may have been done (once more
// could give twice). Otherwise as fb_limit_check().
FB_API FB_CHECK_RESULT int fb_limit_refund(fb_engine *engine, const fb_limit_question *question,
                                           fb_verdict *verdict, fb_error *error);
// The whole quota is there again, of all tiers, and what was denied or allowed for a time is over;
// leases of `slots` are ended. Other nodes go on denying for a second at most. Errors as for a refund.
FB_API FB_CHECK_RESULT int fb_limit_reset(fb_engine *engine, fb_str rule, fb_str key,
                                          fb_error *error);

// For a time, another limit for one key, whatever its tier; counted from now on.
typedef enum fb_limit_override_kind {
    FB_LIMIT_OVERRIDE_NONE,   // ends it
    FB_LIMIT_OVERRIDE_LIMIT,  // `limit` in the rule's own window
    FB_LIMIT_OVERRIDE_ALLOW,  // exempt
    FB_LIMIT_OVERRIDE_DENY
} fb_limit_override_kind;
typedef struct fb_limit_override {
    fb_limit_override_kind kind;
    uint32_t limit;
    int64_t for_ms;  // 1 ms … 366 days
} fb_limit_override;
// Not for rules of `slots` but ALLOW and DENY. Errors as for a refund.
FB_API FB_CHECK_RESULT int fb_limit_override_set(fb_engine *engine, fb_str rule, fb_str key,
                                                 const fb_limit_override *override,
                                                 fb_error *error);

// ---- concurrency: rules of the algorithm `slots`
//
// At most `limit` leases of a key live at a time. A lease ends when it is released, or by itself.

// *token names the lease; ttl_ms 0: the rule's `window`, which is also the longest.
// FB_OK; FB_LIMITED: all are taken (retry_us: until the next ends by itself); errors as above.
FB_API FB_CHECK_RESULT int fb_slot_acquire(fb_engine *engine, const fb_limit_question *question,
                                           int64_t ttl_ms, uint64_t *token, fb_verdict *verdict,
                                           fb_error *error);
// FB_OK: it lives for another ttl_ms. FB_MISS: there is no such lease (any more).
FB_API FB_CHECK_RESULT int fb_slot_renew(fb_engine *engine, const fb_limit_question *question,
                                         uint64_t token, int64_t ttl_ms, fb_error *error);
FB_API FB_CHECK_RESULT int fb_slot_release(fb_engine *engine, const fb_limit_question *question,
                                           uint64_t token, fb_error *error);
// How many are free, without taking one.
FB_API FB_CHECK_RESULT int fb_slot_peek(fb_engine *engine, const fb_limit_question *question,
                                        fb_verdict *verdict, fb_error *error);

// ---- without a rule: what CL.THROTTLE asks

// A token bucket for `key` that holds burst + 1 and fills by `count` in `period_s` seconds. Such keys
// are a world of their own. quantity 0: a peek. FB_OK, FB_LIMITED; FB_EINVAL: burst, count or period
// out of range (count and period at least 1; the three below 2^31; period at most 366 days).
FB_API FB_CHECK_RESULT int fb_throttle(fb_engine *engine, fb_str key, int64_t burst, int64_t count,
                                       int64_t period_s, int64_t quantity, fb_verdict *verdict,
                                       fb_error *error);

// ---- for people and machines

// "5 generations remaining this minute", "Rate limit exceeded. Try again in 30 seconds.". Returns
// `text`, of FB_LIMIT_MESSAGE_SIZE bytes.
FB_API const char *fb_verdict_message(const fb_verdict *verdict, char *text);

// ---- figures

// One line per counter: name, help. FB.RULES, JSON, the metrics and the reference derive from it.
// Peeks are not counted.
#define FB_LIMIT_COUNTERS(X)                                                                       \
    X(allowed, "questions answered with allowed, exempt ones and shadow mode's included")          \
    X(denied, "questions answered with denied")                                                    \
    X(shadowed, "of the allowed: would have been denied, but the rule is in shadow mode")            \
    X(degraded, "answers for which the shared tier was not to be had")                             \
    X(remembered, "of the denied: from memory, because the shared tier had just said so")          \
    X(charged, "cost that was taken from quotas")                                                  \
    X(refunded, "cost that was given back")                                                        \
    X(untracked, "allowed unseen: the table was full of keys that are being denied")

enum { FB_LIMIT_TOP = 16, FB_LIMIT_TOP_KEY_SIZE = 80 };
typedef struct fb_limit_figures {
    char name[65];
    const char *algorithm;   // "sliding"
    const char *per;         // what its keys are, as the configuration says: "user"
    const char *calendar;    // "month"; "": none. Then window_us is the longest that one is
    uint32_t limit;
    int64_t window_us;
    bool shadow;
#define FB_LIMIT_COUNTER_FIELD(field, help) uint64_t field;
    FB_LIMIT_COUNTERS(FB_LIMIT_COUNTER_FIELD)
#undef FB_LIMIT_COUNTER_FIELD
    uint64_t keys, keys_max; // in the table of this process, all tiers
    uint64_t bytes;          // that the tables take
    // The keys that are denied most, by a bounded sketch (Metwally et al., "Efficient computation of
    // frequent and top-k elements in data streams", 2005): counts may be too high by `error`.
    struct {
        char key[FB_LIMIT_TOP_KEY_SIZE];  // 16 hex digits of a hash, or with `show_keys` the key, cut
        uint64_t count, error;
    } top[FB_LIMIT_TOP];
    uint32_t top_count;
} fb_limit_figures;

// Of each rule in the order of the configuration; `figures` are good until `fn` returns. FB_ENOMEM.
typedef void (*fb_limit_figures_fn)(void *arg, const fb_limit_figures *figures);
FB_API FB_CHECK_RESULT int fb_limit_figures_read(fb_engine *engine, fb_limit_figures_fn fn,
                                                 void *arg);

#ifdef __cplusplus
}
#endif

#endif
