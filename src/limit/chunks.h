// limit/chunks.h -- shares of quotas that this node took from the shared tier at once, to be spent
// in the next moment without asking (fb_limit_plan_chunk() says why that never lets more than the
// limit through). A fixed table: a newer share may take the place of an older one, which is then
// lost.
//
// Times are of this process's monotonic clock, µs. Threads: any.

#ifndef FB_LIMIT_CHUNKS_H
#define FB_LIMIT_CHUNKS_H

#include <forebay/limit.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_limit_chunks fb_limit_chunks;

FB_CHECK_RESULT int fb_limit_chunks_new(uint32_t places, fb_limit_chunks **chunks);
void fb_limit_chunks_free(fb_limit_chunks *chunks);

typedef enum fb_limit_chunk_word {
    FB_LIMIT_CHUNK_SPENT,  // out of the share: nobody needs to be asked
    FB_LIMIT_CHUNK_ASK,    // the caller is to take another chunk, and to say what came of it
    FB_LIMIT_CHUNK_EXACT   // the caller is to ask for what he needs himself
} fb_limit_chunk_word;

// What is known of a quota as a share was taken.
typedef struct fb_limit_share {
    uint32_t left;
    uint32_t remaining;   // in the shared tier
    int64_t until_us;     // when it can be spent no more
    int64_t reset_at_us;  // when the whole quota will be there again
    uint64_t serial;
} fb_limit_share;

// SPENT: *share is what is left. ASK: fb_limit_chunks_took() or fb_limit_chunks_failed() is to
// follow with share->serial before patience_us are over; others are told EXACT until then.
fb_limit_chunk_word fb_limit_chunks_spend(fb_limit_chunks *chunks, uint64_t hash, uint32_t cost,
                                          int64_t now_us, int64_t patience_us,
                                          fb_limit_share *share);
// What the asker took, less what he spent of it. Where something came between, it is lost. The
// share has another serial number then (out), which is that of what he spent.
void fb_limit_chunks_took(fb_limit_chunks *chunks, uint64_t hash, fb_limit_share *share,
                          int64_t now_us);
// There was none; no other is asked for until then.
void fb_limit_chunks_failed(fb_limit_chunks *chunks, uint64_t hash, uint64_t serial,
                            int64_t until_us);
// Gives back what was spent of the share with this serial. False: it is not there any more.
bool fb_limit_chunks_return(fb_limit_chunks *chunks, uint64_t hash, uint64_t serial, uint32_t cost,
                            int64_t now_us);
// What is left of the key's share.
uint32_t fb_limit_chunks_left(fb_limit_chunks *chunks, uint64_t hash, int64_t now_us);
void fb_limit_chunks_forget(fb_limit_chunks *chunks, uint64_t hash);

#ifdef __cplusplus
}
#endif

#endif
