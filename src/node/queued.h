// node/queued.h -- the commands between MULTI and EXEC: copies of their words, in order.
//
// Memory: what the words take, and a few bytes each. Threads: one at a time.

#ifndef FB_NODE_QUEUED_H
#define FB_NODE_QUEUED_H

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// Zero-initialise it; release it.
typedef struct fb_queued {
    bool open;     // between MULTI and EXEC
    bool spoilt;   // one could not be queued: EXEC will refuse
    size_t count;  // of those queued
    // private
    fb_buf packed;
    size_t at;  // of the one that is next
    fb_str *args;
    size_t args_cap;
} fb_queued;

// Opens it, empty.
void fb_queued_open(fb_queued *queued);
// Adds a copy; nothing is kept any more once it is spoilt. FB_OK; FB_ENOMEM; FB_ETOOBIG: more than
// `len_max` bytes in all.
FB_CHECK_RESULT int fb_queued_add(fb_queued *queued, const fb_str *args, size_t arg_count,
                                  size_t len_max);
// If it is open, EXEC will refuse; what was queued is forgotten.
void fb_queued_spoil(fb_queued *queued);
// The next one, from the first on; false: that was the last. The words are good until the next call
// that is not this one, and *args until the next call.
bool fb_queued_next(fb_queued *queued, const fb_str **args, size_t *arg_count);
// From the first one on again.
void fb_queued_rewind(fb_queued *queued);
// Closed and empty, as at first. A small buffer is kept.
void fb_queued_close(fb_queued *queued);
void fb_queued_release(fb_queued *queued);

#ifdef __cplusplus
}
#endif

#endif
