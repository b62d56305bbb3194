// limit/denials.h -- denials of the shared tier, remembered for a moment, so that a flood of them
// costs it nothing. A fixed table: a newer denial may take the place of an older one.
//
// A question of at least the cost that was denied is denied, until the time that it was to wait is
// over, a second at most. Threads: any.

#ifndef FB_LIMIT_DENIALS_H
#define FB_LIMIT_DENIALS_H

#include <forebay/limit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_limit_denials fb_limit_denials;
enum { FB_LIMIT_REMEMBER_US = 1000000 };

FB_CHECK_RESULT int fb_limit_denials_new(uint32_t places, fb_limit_denials **denials);
void fb_limit_denials_free(fb_limit_denials *denials);
// `hash` is of rule, tier and key; now_us of this process's monotonic clock. What is impossible or
// barred is none of it.
void fb_limit_denials_put(fb_limit_denials *denials, uint64_t hash, const fb_verdict *verdict,
                          int64_t now_us);
// True: denied; limit, remaining, retry_us, reset_us and so on of *verdict are what is left of that
// denial now, source REMEMBERED.
bool fb_limit_denials_get(fb_limit_denials *denials, uint64_t hash, uint32_t cost, int64_t now_us,
                          fb_verdict *verdict);
// Forgets the key's, or (0) all.
void fb_limit_denials_forget(fb_limit_denials *denials, uint64_t hash);

#ifdef __cplusplus
}
#endif

#endif
