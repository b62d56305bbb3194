// A place for each hash, by multiplication, so that any number of places will do. Who asks compares
// the place's hash without a lock: most questions find another's and are done. Only where it is
// theirs they take the lock of the place, which it shares with others by its number.

#include "limit/denials.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { LOCKS = 16 };

typedef struct stripe {
    pthread_mutex_t lock;
} __attribute__((aligned(64))) stripe;  // no lock shares a line with another's

typedef struct place {
    _Atomic uint64_t hash;  // 0: free; changed under the lock
    int64_t at_us, until_us;
    fb_verdict verdict;
} place;

struct fb_limit_denials {
    stripe *stripes;  // aligned, within `memory`
    void *memory;
    uint32_t place_count;
    place places[];
};

int fb_limit_denials_new(uint32_t places, fb_limit_denials **denials) {
    FB_ASSERT(places > 0);
    *denials = fb_mem_zero(1, sizeof **denials + places * sizeof(place));
    void *memory = fb_mem_zero(LOCKS + 1, sizeof(stripe));
    if (*denials == NULL || memory == NULL) {
        fb_mem_free(*denials);
        fb_mem_free(memory);
        *denials = NULL;
        return FB_ENOMEM;
    }
    uintptr_t start = ((uintptr_t)memory + sizeof(stripe) - 1) / sizeof(stripe) * sizeof(stripe);
    (*denials)->memory = memory;
    (*denials)->stripes = (stripe *)start;
    (*denials)->place_count = places;
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_init(&(*denials)->stripes[i].lock, NULL);
    }
    return FB_OK;
}

void fb_limit_denials_free(fb_limit_denials *denials) {
    if (denials == NULL) {
        return;
    }
    for (int i = 0; i < LOCKS; i++) {
        pthread_mutex_destroy(&denials->stripes[i].lock);
    }
    fb_mem_free(denials->memory);
    fb_mem_free(denials);
}

static uint32_t place_of(const fb_limit_denials *denials, uint64_t hash) {
    return (uint32_t)((hash >> 32) * denials->place_count >> 32);
}

static void lock(fb_limit_denials *denials, uint32_t index) {
    pthread_mutex_lock(&denials->stripes[index % LOCKS].lock);
}

static void unlock(fb_limit_denials *denials, uint32_t index) {
    pthread_mutex_unlock(&denials->stripes[index % LOCKS].lock);
}

void fb_limit_denials_put(fb_limit_denials *denials, uint64_t hash, const fb_verdict *verdict,
                          int64_t now_us) {
    if (!verdict->denied || verdict->impossible || verdict->retry_us <= 0) {
        return;
    }
    hash += hash == 0;
    uint32_t index = place_of(denials, hash);
    int64_t keep_us =
        verdict->retry_us < FB_LIMIT_REMEMBER_US ? verdict->retry_us : FB_LIMIT_REMEMBER_US;
    place *one = &denials->places[index];
    lock(denials, index);
    one->at_us = now_us;
    one->until_us = now_us + keep_us;
    one->verdict = *verdict;
    atomic_store_explicit(&one->hash, hash, memory_order_relaxed);
    unlock(denials, index);
}

static bool is_of(place *one, uint64_t hash) {
    return atomic_load_explicit(&one->hash, memory_order_relaxed) == hash;
}

bool fb_limit_denials_get(fb_limit_denials *denials, uint64_t hash, uint32_t cost, int64_t now_us,
                          fb_verdict *verdict) {
    hash += hash == 0;
    uint32_t index = place_of(denials, hash);
    place *one = &denials->places[index];
    if (!is_of(one, hash)) {
        return false;
    }
    lock(denials, index);
    // A cost above the limit has to wait for ever, not as long as what is remembered.
    bool denied = is_of(one, hash) && now_us < one->until_us && cost >= one->verdict.cost &&
                  cost <= one->verdict.limit;
    if (denied) {
        int64_t passed_us = now_us > one->at_us ? now_us - one->at_us : 0;
        *verdict = one->verdict;
        verdict->source = FB_LIMIT_BY_REMEMBERED;
        verdict->cost = cost;
        verdict->retry_us -= passed_us;
        verdict->reset_us = verdict->reset_us > passed_us ? verdict->reset_us - passed_us : 0;
    }
    unlock(denials, index);
    return denied;
}

static void forget(fb_limit_denials *denials, uint32_t index, uint64_t hash) {
    place *one = &denials->places[index];
    lock(denials, index);
    if (hash == 0 || is_of(one, hash)) {
        atomic_store_explicit(&one->hash, 0, memory_order_relaxed);
    }
    unlock(denials, index);
}

void fb_limit_denials_forget(fb_limit_denials *denials, uint64_t hash) {
    if (hash != 0) {
        forget(denials, place_of(denials, hash), hash);
        return;
    }
    for (uint32_t i = 0; i < denials->place_count; i++) {
        forget(denials, i, 0);
    }
}
