// node/tracking_notices.h -- what waits to be told to one connection: which keys are no longer what it
// read, that none is, or that its notices find nobody any more.
//
// In the order in which it came, up to FB_TRACKING_WAITING_MAX bytes; then, and where memory is short, all
// of it becomes the one notice that everything is invalid.
//
// Threads: one at a time, but fb_notices_wait().

#ifndef FB_NODE_TRACKING_NOTICES_H
#define FB_NODE_TRACKING_NOTICES_H

#include <forebay/base.h>

#include <stdatomic.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fb_notice;

typedef struct fb_notices {
    struct fb_notice *first, **end;
    size_t bytes;
    _Atomic bool waiting;
} fb_notices;

// Where a key's change belongs: of BCAST, what one turn of one connection changed is one notice a prefix.
typedef struct fb_notice_origin {
    uint64_t actor, turn;  // 0: nobody's
    uint64_t prefix;       // which of whose; 0: none, it was read
} fb_notice_origin;

// How it is written, and what a notice may be about.
typedef struct fb_notice_form {
    int proto;          // of RESP: 2 or 3
    bool subscribed;    // to FB_TRACKING_CHANNEL, without which RESP2 is told nothing
    uint64_t redirect;  // of the connection that has gone
} fb_notice_form;

// It stays where it is, until the release.
void fb_notices_init(fb_notices *notices);
void fb_notices_release(fb_notices *notices);

// Each puts one by; whether the connection has to be asked to come by. false: there was no memory, or there
// is nothing new.
bool fb_notices_key(fb_notices *notices, fb_str key, const fb_notice_origin *origin);
bool fb_notices_all(fb_notices *notices);
bool fb_notices_broken(fb_notices *notices);  // once, while it waits

// Writes all that waits, which is gone then. FB_OK; FB_ENOMEM: it waits still.
FB_CHECK_RESULT int fb_notices_write(fb_notices *notices, const fb_notice_form *form, fb_buf *out);

// Any thread: whether anything waits.
static inline bool fb_notices_wait(const fb_notices *notices) {
    return atomic_load_explicit(&notices->waiting, memory_order_relaxed);
}

#ifdef __cplusplus
}
#endif

#endif
