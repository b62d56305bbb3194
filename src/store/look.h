// store/look.h -- reading for who may hold a lock of the store, or be waited for by one who does.

#ifndef FB_STORE_LOOK_H
#define FB_STORE_LOOK_H

#include <forebay/store.h>

#ifdef __cplusplus
extern "C" {
#endif

// As fb_store_peek(), but it never waits: where a writer is in the way it is FB_MISS, also of a key that
// is there.
FB_CHECK_RESULT int fb_store_look(fb_store *store, fb_str key, int64_t now_ns, fb_item_fn fn,
                                  void *arg);

#ifdef __cplusplus
}
#endif

#endif
