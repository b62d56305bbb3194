// limit/port.h -- quotas in the shared tier, as this node asks for them. redis/limits.c implements it.
//
// Each request is one step there, by the shared tier's own clock, and touches one slot: all that
// concerns one key lies together, whatever its rules. The decisions are those of limit/plan.h, and so
// are the states' bytes.
//
// Overrides stand there, too: kind and limit as bytes (fb_limit_override_bytes()). Whoever asks names
// the override that he took into account, for each rule: where another is in force nothing is done, and
// the answer is which.
//
// Memory: what a request points to is good until send() returns; what a reply points to, until the
// function that takes it returns. Threads: one at a time on one port.

#ifndef FB_LIMIT_PORT_H
#define FB_LIMIT_PORT_H

#include "limit/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_limit_verb {
    // parts: decide (act of each step the same) → DONE, CLOCK, OVERRIDE
    FB_LIMIT_DECIDE,
    // parts (of one rule: with and without its tiers): forgets their states, override and leases → DONE
    FB_LIMIT_FORGET,
    // parts[0].override for parts[0].ttl_us (empty: ends it) → DONE
    FB_LIMIT_OVERRIDE_PUT,
    // leases, of parts[0]: token, ttl_us → DONE (`found`: granted, renewed, was there; `slots`),
    // OVERRIDE
    FB_LIMIT_ACQUIRE,
    FB_LIMIT_RENEW,
    FB_LIMIT_RELEASE,
    FB_LIMIT_COUNT     // → DONE (`slots`)
} fb_limit_verb;

enum { FB_LIMIT_OVERRIDE_BYTES = 6 };

typedef struct fb_limit_part {
    const fb_limit_plan *plan;
    fb_str rule, tier;      // tier "": none
    fb_limit_step step;     // now_us is not looked at, but see `now_us` of the request
    fb_str override;        // which is known to be in force; empty: none
    uint64_t token;
    int64_t ttl_us;
} fb_limit_part;

typedef struct fb_limit_request {
    fb_limit_verb verb;
    fb_str key;
    const fb_limit_part *parts;
    size_t part_count;      // FB_LIMIT_QUESTIONS_MAX at most; FORGET: any
    int64_t now_us;         // 0: the shared tier's clock; tests give one
    int64_t timeout_ns;
} fb_limit_request;

typedef enum fb_limit_result {
    FB_LIMIT_DONE,
    FB_LIMIT_CLOCK,     // FIXED: now_us is in another period than was given; nothing was done
    FB_LIMIT_OVERRIDDEN,// `which` part has `override` for override_us; nothing was done
    FB_LIMIT_FAILED,    // not done
    FB_LIMIT_UNKNOWN    // perhaps done: no answer in time, or the connection broke
} fb_limit_result;

typedef struct fb_limit_reply {
    fb_limit_result result;
    int64_t now_us;         // of the shared tier
    struct {
        bool allowed;
        fb_limit_state state;
    } parts[FB_LIMIT_QUESTIONS_MAX];
    size_t which;
    fb_str override;        // empty: none is
    int64_t override_us;
    bool found;
    struct {
        uint32_t used;
        int64_t next_us, last_us;  // as fb_limit_slots_answer
    } slots;
    const char *text;       // FAILED, UNKNOWN: detail, may be ""
} fb_limit_reply;

typedef void (*fb_limit_reply_fn)(void *arg, const fb_limit_reply *reply);

typedef struct fb_limit_port fb_limit_port;
struct fb_limit_port {
    // One call of `fn`, later, never from within send(). FB_OK; FB_ENOMEM, FB_EOVERLOAD, FB_ECLOSED,
    // FB_EIO (it is known to be away): no call will come.
    int (*send)(fb_limit_port *port, const fb_limit_request *request, fb_limit_reply_fn fn, void *arg);
};

// An override as bytes: u8 kind, u8 0, u32 limit, little-endian. Of other bytes read says FB_ESYNTAX.
void fb_limit_override_write(const fb_limit_override *override, unsigned char *bytes);
FB_CHECK_RESULT int fb_limit_override_read(fb_str bytes, fb_limit_override *override);

#ifdef __cplusplus
}
#endif

#endif
