// client/owed.h -- the keys that were written while the daemon was away, and must be deleted there
// before anything of it is read again. Bounded.
//
// Threads: one at a time.

#ifndef FB_CLIENT_OWED_H
#define FB_CLIENT_OWED_H

#include <forebay/base.h>

#include "base/list.h"
#include "base/map.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_OWED_KEYS_MAX = 65536, FB_OWED_BYTES_MAX = 4 << 20 };

typedef struct fb_debt {
    fb_list list;
    uint64_t round;  // of its last write
    uint64_t taken;  // of the write that take() saw
    size_t key_len;
    char key[];
} fb_debt;

typedef struct fb_owed {
    fb_map map;
    fb_list order;
    uint64_t round;
    size_t bytes;
} fb_owed;

void fb_owed_init(fb_owed *owed);
void fb_owed_release(fb_owed *owed);
static inline size_t fb_owed_count(const fb_owed *owed) {
    return owed->map.count;
}
// Once for each write of a key. FB_OK; FB_EOVERLOAD: no more are remembered; FB_ENOMEM.
FB_CHECK_RESULT int fb_owed_add(fb_owed *owed, fb_str key);
// The oldest, up to `max` of them, into `debts`, which stay good until paid() or release(). Returns
// how many.
size_t fb_owed_take(fb_owed *owed, fb_debt **debts, size_t max);
// They were deleted at the daemon: forgets those that were not written again since take().
void fb_owed_paid(fb_owed *owed, fb_debt *const *debts, size_t count);

#ifdef __cplusplus
}
#endif

#endif
