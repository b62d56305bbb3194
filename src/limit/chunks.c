// Sets of four places, each set with one of a few locks. A key has at most one place in its set.
// Where the set is full, the place whose share ends first is taken: what is lost so has been
// charged and is never spent, which lets less through, not more.
//
// A serial number tells one taking from the next: whoever took a chunk for a place that has been
// forgotten meanwhile (a reset), or given to another key, must not put it there.

#include "limit/chunks.h"

#include <pthread.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"

enum { WAYS = 4, LOCKS = 64 };

typedef struct place {
    uint64_t hash;
    uint64_t serial;        // 0: free
    uint32_t left, remaining;
    int64_t until_us;       // of `left`
    int64_t reset_at_us;
    int64_t asking_us;      // somebody asks for another, until then
    int64_t exact_us;       // nobody is to ask for another, until then
} place;

struct fb_limit_chunks {
    uint32_t set_count;
    place *places;
    uint64_t serials[LOCKS];  // the last that was given out, under that lock
    pthread_mutex_t locks[LOCKS];
};

int fb_limit_chunks_new(uint32_t places, fb_limit_chunks **out) {
    fb_limit_chunks *chunks = fb_mem_zero(1, sizeof *chunks);
    *out = NULL;
    if (chunks == NULL) {
        return FB_ENOMEM;
    }
    chunks->set_count = places / WAYS + 1;
    chunks->places = fb_mem_zero((size_t)chunks->set_count * WAYS, sizeof *chunks->places);
    if (chunks->places == NULL) {
        fb_mem_free(chunks);
        return FB_ENOMEM;
    }
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&chunks->locks[i], NULL);
    }
    *out = chunks;
    return FB_OK;
}

void fb_limit_chunks_free(fb_limit_chunks *chunks) {
    if (chunks == NULL) {
        return;
    }
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&chunks->locks[i]);
    }
    fb_mem_free(chunks->places);
    fb_mem_free(chunks);
}

// ---- under the lock

static uint32_t set_of(const fb_limit_chunks *chunks, uint64_t hash) {
    return (uint32_t)((hash >> 32) % chunks->set_count);
}

static pthread_mutex_t *lock(fb_limit_chunks *chunks, uint64_t hash) {
    pthread_mutex_t *held = &chunks->locks[set_of(chunks, hash) % LOCKS];
    pthread_mutex_lock(held);
    return held;
}

static place *find(fb_limit_chunks *chunks, uint64_t hash) {
    place *set = &chunks->places[(size_t)set_of(chunks, hash) * WAYS];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].serial != 0 && set[i].hash == hash) {
            return &set[i];
        }
    }
    return NULL;
}

static int64_t end_of(const place *one) {
    int64_t end_us = one->until_us > one->asking_us ? one->until_us : one->asking_us;
    return one->serial == 0 ? INT64_MIN : end_us > one->exact_us ? end_us : one->exact_us;
}

static place *take_place(fb_limit_chunks *chunks, uint64_t hash) {
    place *set = &chunks->places[(size_t)set_of(chunks, hash) * WAYS];
    place *best = &set[0];
    for (int i = 1; i < WAYS; i++) {
        best = end_of(&set[i]) < end_of(best) ? &set[i] : best;
    }
    *best = (place){.hash = hash};
    return best;
}

static uint32_t left_of(const place *one, int64_t now_us) {
    return now_us < one->until_us ? one->left : 0;
}

static void describe(const place *one, int64_t now_us, fb_limit_share *share) {
    *share = (fb_limit_share){.left = left_of(one, now_us),
                              .remaining = one->remaining,
                              .until_us = one->until_us,
                              .reset_at_us = one->reset_at_us,
                              .serial = one->serial};
}

static fb_limit_chunk_word spend(fb_limit_chunks *chunks, place *one, uint32_t cost,
                                 int64_t now_us, int64_t patience_us) {
    if (left_of(one, now_us) >= cost) {
        one->left -= cost;
        return FB_LIMIT_CHUNK_SPENT;
    }
    if (now_us < one->asking_us || now_us < one->exact_us) {
        return FB_LIMIT_CHUNK_EXACT;
    }
    one->asking_us = now_us + patience_us;
    one->serial = ++chunks->serials[set_of(chunks, one->hash) % LOCKS];
    return FB_LIMIT_CHUNK_ASK;
}

// ---- all of it

fb_limit_chunk_word fb_limit_chunks_spend(fb_limit_chunks *chunks, uint64_t hash, uint32_t cost,
                                          int64_t now_us, int64_t patience_us,
                                          fb_limit_share *share) {
    pthread_mutex_t *held = lock(chunks, hash);
    place *one = find(chunks, hash);
    one = one != NULL ? one : take_place(chunks, hash);
    fb_limit_chunk_word word = spend(chunks, one, cost, now_us, patience_us);
    describe(one, now_us, share);
    pthread_mutex_unlock(held);
    return word;
}

// What is left of an earlier share joins it, and ends with whichever ends first. What was spent of
// that while this one was asked for must not come back into it, and live as long: so from here on
// it has another serial number.
void fb_limit_chunks_took(fb_limit_chunks *chunks, uint64_t hash, fb_limit_share *share,
                          int64_t now_us) {
    pthread_mutex_t *held = lock(chunks, hash);
    place *one = find(chunks, hash);
    bool same = one != NULL && (one->serial == share->serial || !FB_RULE(limit_chunk_serial));
    if (same) {
        uint32_t before = left_of(one, now_us);
        one->until_us = before > 0 && one->until_us < share->until_us ? one->until_us
                                                                      : share->until_us;
        one->left = share->left <= UINT32_MAX - before ? before + share->left : UINT32_MAX;
        one->remaining = share->remaining;
        one->reset_at_us = share->reset_at_us;
        one->asking_us = 0;
        share->serial = one->serial = ++chunks->serials[set_of(chunks, hash) % LOCKS];
    }
    pthread_mutex_unlock(held);
}

void fb_limit_chunks_failed(fb_limit_chunks *chunks, uint64_t hash, uint64_t serial,
                            int64_t until_us) {
    pthread_mutex_t *held = lock(chunks, hash);
    place *one = find(chunks, hash);
    if (one != NULL && one->serial == serial) {
        one->asking_us = 0;
        one->exact_us = until_us;
    }
    pthread_mutex_unlock(held);
}

bool fb_limit_chunks_return(fb_limit_chunks *chunks, uint64_t hash, uint64_t serial, uint32_t cost,
                            int64_t now_us) {
    pthread_mutex_t *held = lock(chunks, hash);
    place *one = find(chunks, hash);
    bool same = one != NULL && one->serial == serial && now_us < one->until_us &&
                cost <= UINT32_MAX - one->left;
    if (same) {
        one->left += cost;
    }
    pthread_mutex_unlock(held);
    return same;
}

uint32_t fb_limit_chunks_left(fb_limit_chunks *chunks, uint64_t hash, int64_t now_us) {
    pthread_mutex_t *held = lock(chunks, hash);
    const place *one = find(chunks, hash);
    uint32_t left = one != NULL ? left_of(one, now_us) : 0;
    pthread_mutex_unlock(held);
    return left;
}

void fb_limit_chunks_forget(fb_limit_chunks *chunks, uint64_t hash) {
    pthread_mutex_t *held = lock(chunks, hash);
    place *one = find(chunks, hash);
    if (one != NULL) {
        *one = (place){0};
    }
    pthread_mutex_unlock(held);
}
