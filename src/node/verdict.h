// node/verdict.h -- verdicts of limits as answers: in maps of commands, in JSON documents, and as
// headers of HTTP; and the rules with their figures.
//
// Times are rounded up: whoever waits as long as he was told must not come too early.
//
// Threads: any.

#ifndef FB_NODE_VERDICT_H
#define FB_NODE_VERDICT_H

#include <forebay/limit.h>

#include "node/http.h"
#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

// Microseconds as milliseconds or seconds, rounded up; -1 stays what it is.
int64_t fb_verdict_ms(int64_t wait_us);
int64_t fb_verdict_s(int64_t wait_us);

// A map, as commands answer: allowed and its kin are 1 or 0.
void fb_verdict_map(fb_reply *reply, const fb_verdict *verdict);

// The pairs of a JSON document.
enum { FB_VERDICT_PAIRS = 13 };
void fb_verdict_pairs(fb_reply *reply, const fb_verdict *verdict);

// Of those that deny the one that takes longest, else the one with the least left.
const fb_verdict *fb_verdict_tightest(const fb_verdict *verdicts, size_t count);

// RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers), X-RateLimit-Limit,
// -Remaining and -Reset (a Unix time; wall_us is now), and Retry-After where it is denied and will
// not be some time. None where nothing is counted.
void fb_verdict_headers(fb_http_response *response, const fb_verdict *verdict, int64_t wall_us);

// A peek; of a rule of `slots` how many are free. As fb_limit_check().
FB_CHECK_RESULT int fb_verdict_peek(fb_engine *engine, const fb_limit_question *question,
                                    fb_verdict *verdict, fb_error *error);

// ---- rules

// One rule with all that its figures point to.
typedef struct fb_rule_figures {
    fb_limit_figures figures;
    char algorithm[16], per[65], calendar[16];
} fb_rule_figures;
// All rules in their order: *rules is the caller's to free (fb_mem_free()). FB_ENOMEM.
FB_CHECK_RESULT int fb_rules_read(fb_engine *engine, fb_rule_figures **rules, size_t *count);
// One as a map.
void fb_rules_say(fb_reply *reply, const fb_limit_figures *figures);

#ifdef __cplusplus
}
#endif

#endif
