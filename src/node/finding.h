// node/finding.h -- one thing that was looked at, how it stands, and what to do about it.

#ifndef FB_NODE_FINDING_H
#define FB_NODE_FINDING_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_finding_state {
    FB_FINDING_OK,
    FB_FINDING_WARN,  // it works, and might not for long, or not as well as it could
    FB_FINDING_FAIL   // it does not work
} fb_finding_state;

typedef struct fb_finding {
    const char *area;  // "redis", "queues", "machine": findings of one area come together
    const char *name;  // within it: "open files"
    fb_finding_state state;
    const char *text;    // how it stands
    const char *change;  // what to do; "" where there is nothing
} fb_finding;

// All of it is good until `fn` returns.
typedef void (*fb_finding_fn)(void *arg, const fb_finding *finding);

// "ok", "warn", "fail".
const char *fb_finding_state_name(fb_finding_state state);
// Says one, its text as printf() does.
FB_PRINTF(4, 5) void fb_finding_say(fb_finding_fn fn, void *arg, const fb_finding *what,
                                    const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
