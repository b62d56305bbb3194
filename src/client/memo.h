// client/memo.h -- which key a class and parameters have, as the daemon said. Bounded: a newer one
// takes the place of an older one. All of it is void when the daemon's classes change.
//
// Threads: any, at the same time; reading takes no lock. Memory: 2 MiB, at the first learn().

#ifndef FB_CLIENT_MEMO_H
#define FB_CLIENT_MEMO_H

#include <forebay/client.h>

#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_MEMO_KEY_MAX = 400 };  // bytes of a key that is remembered

typedef struct fb_memo_slot fb_memo_slot;
typedef struct fb_memo {
    _Atomic(fb_memo_slot *) slots;
} fb_memo;

void fb_memo_release(fb_memo *memo);
// Its length, and the key in `key`; 0: not known.
size_t fb_memo_find(const fb_memo *memo, const fb_client_request *request, uint64_t generation,
                    char key[FB_MEMO_KEY_MAX]);
// `generation` is what it was before the daemon was asked.
void fb_memo_learn(fb_memo *memo, const fb_client_request *request, uint64_t generation,
                   fb_str key);

#ifdef __cplusplus
}
#endif

#endif
