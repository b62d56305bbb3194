// engine/transaction.h -- the calls on keys while a transaction runs: keys.c asks it first. What each
// does is in forebay/cache.h; what goes wrong ends the transaction (forebay/transaction.h), and the call
// returns it.
//
// Threads: those of forebay/transaction.h.

#ifndef FB_ENGINE_TRANSACTION_H
#define FB_ENGINE_TRANSACTION_H

#include <forebay/transaction.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

// The one in which the calling thread or fiber is, with this engine; else NULL.
fb_transaction *fb_transaction_of(fb_engine *engine);
static inline fb_transaction *fb_transaction_here(fb_engine *engine) {
    return atomic_load_explicit(&engine->transactions, memory_order_relaxed) == 0
               ? NULL
               : fb_transaction_of(engine);
}

FB_CHECK_RESULT int fb_transaction_get(fb_transaction *in, fb_str key, fb_value_fn fn, void *arg);
void fb_transaction_get_many(fb_transaction *in, const fb_str *keys, size_t count, fb_value_fn fn,
                             void *const *args, int *results);
// The options as fb_options_take() gives them.
FB_CHECK_RESULT int fb_transaction_set(fb_transaction *in, fb_str key, fb_str value,
                                       const fb_set_options *options);
FB_CHECK_RESULT int fb_transaction_del(fb_transaction *in, fb_str key);
FB_CHECK_RESULT int fb_transaction_edit(fb_transaction *in, fb_str key, fb_edit_fn fn, void *arg);
// Tier and tags as they are there: memory may have something else, or nothing.
void fb_transaction_explain(fb_transaction *in, fb_str key, fb_explanation *explanation);

#ifdef __cplusplus
}
#endif

#endif
