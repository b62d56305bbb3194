// Two things tell of one change: its acknowledgement, to a lane, and its record, to the follower;
// either may come first. Each looks for the other, and waits for it where it is not there yet:
// marks that were acknowledged in a list for each log, nonces of own records that passed in a ring.
// A change whose outcome stayed unknown passes without ever being acknowledged; its nonce stays in
// the ring until others take its place.
//
// A value that was read at a place where the follower has not come to yet is in memory as of there.
// Where the server loses that place, and nobody is left who issued what it lost, memory would have
// what nobody else has. So such places are watched, too.
//
// What is lost by the bounds: a mark more than LIST_MAX of a log is not watched; a nonce that was
// pushed out before its acknowledgement came makes the change look lost, which costs a new epoch.

#include "sync/acked.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"

enum { LIST_MAX = 1024, PASSED_MAX = 1024 };

typedef struct list {
    fb_mark *marks;
    size_t count, cap;
    fb_mark furthest[FB_ACKED_EPOCHS];  // the newest epoch first
    uint64_t own[FB_ACKED_EPOCHS];      // those with changes of this node
} list;

struct fb_acked {
    pthread_mutex_t lock;
    uint32_t logs;
    list *lists;
    size_t passed_at;
    uint64_t passed[PASSED_MAX];
};

int fb_acked_new(uint32_t logs, fb_acked **acked) {
    *acked = NULL;
    fb_acked *made = fb_mem_zero(1, sizeof *made);
    list *lists = fb_mem_zero(logs, sizeof *lists);
    if (made == NULL || lists == NULL) {
        fb_mem_free(made);
        fb_mem_free(lists);
        return FB_ENOMEM;
    }
    made->logs = logs;
    made->lists = lists;
    pthread_mutex_init(&made->lock, NULL);
    *acked = made;
    return FB_OK;
}

void fb_acked_free(fb_acked *acked) {
    if (acked == NULL) {
        return;
    }
    for (uint32_t i = 0; i < acked->logs; i++) {
        fb_mem_free(acked->lists[i].marks);
    }
    pthread_mutex_destroy(&acked->lock);
    fb_mem_free(acked->lists);
    fb_mem_free(acked);
}

static list *lock_list(fb_acked *acked, uint32_t log) {
    FB_ASSERT(log < acked->logs);
    pthread_mutex_lock(&acked->lock);
    return &acked->lists[log];
}

static void drop(list *at, size_t index) {
    at->count--;
    memmove(at->marks + index, at->marks + index + 1, (at->count - index) * sizeof *at->marks);
}

// ---- noting

static void raise_furthest(list *at, const fb_mark *mark) {
    for (size_t i = 0; i < FB_ACKED_EPOCHS; i++) {
        if (at->furthest[i].epoch == mark->epoch) {
            at->furthest[i] = mark->seq > at->furthest[i].seq ? *mark : at->furthest[i];
            return;
        }
    }
    memmove(at->furthest + 1, at->furthest, (FB_ACKED_EPOCHS - 1) * sizeof *at->furthest);
    at->furthest[0] = *mark;
}

static bool take_passed(fb_acked *acked, uint64_t nonce) {
    for (size_t i = 1; i <= PASSED_MAX; i++) {  // the newest first
        uint64_t *at = &acked->passed[(acked->passed_at + PASSED_MAX - i) % PASSED_MAX];
        if (*at == nonce) {
            *at = 0;
            return true;
        }
    }
    return false;
}

static void add(list *at, const fb_mark *mark) {
    if (at->count == LIST_MAX) {
        drop(at, 0);
    }
    if (at->count == at->cap) {
        size_t cap = at->cap == 0 ? 8 : 2 * at->cap;
        fb_mark *marks = fb_mem_resize(at->marks, cap * sizeof *marks);
        if (marks == NULL) {
            return;
        }
        at->marks = marks;
        at->cap = cap;
    }
    at->marks[at->count++] = *mark;
}

static bool has_own(const list *at, uint64_t epoch) {
    bool has = false;
    for (size_t i = 0; i < FB_ACKED_EPOCHS; i++) {
        has = has || (epoch != 0 && at->own[i] == epoch);
    }
    return has;
}

void fb_acked_note(fb_acked *acked, uint32_t log, const fb_mark *mark) {
    list *at = lock_list(acked, log);
    raise_furthest(at, mark);
    if (mark->seq > 0 && !has_own(at, mark->epoch)) {
        memmove(at->own + 1, at->own, (FB_ACKED_EPOCHS - 1) * sizeof *at->own);
        at->own[0] = mark->epoch;
    }
    if (mark->seq > 0 && !take_passed(acked, mark->nonce)) {
        add(at, mark);
    }
    pthread_mutex_unlock(&acked->lock);
}

void fb_acked_saw(fb_acked *acked, uint32_t log, const fb_mark *mark) {
    list *at = lock_list(acked, log);
    bool known = false;
    for (size_t i = at->count; i-- > 0 && !known;) {
        known = memcmp(&at->marks[i], mark, sizeof *mark) == 0;
    }
    if (!known) {
        raise_furthest(at, mark);
        add(at, mark);
    }
    pthread_mutex_unlock(&acked->lock);
}

// ---- asking

bool fb_acked_ever(fb_acked *acked, uint32_t log, uint64_t epoch) {
    bool has = has_own(lock_list(acked, log), epoch);
    pthread_mutex_unlock(&acked->lock);
    return has && FB_RULE(follow_acked);
}

void fb_acked_furthest(fb_acked *acked, uint32_t log, fb_mark marks[FB_ACKED_EPOCHS]) {
    const list *at = lock_list(acked, log);
    memcpy(marks, at->furthest, sizeof at->furthest);
    pthread_mutex_unlock(&acked->lock);
}

bool fb_acked_pass(fb_acked *acked, uint32_t log, const fb_mark *mark, bool own) {
    list *at = lock_list(acked, log);
    bool noted = false, good = true;
    for (size_t i = at->count; i-- > 0;) {
        const fb_mark *one = &at->marks[i];
        if (one->epoch == mark->epoch && one->seq == mark->seq) {
            bool same = one->nonce == mark->nonce;
            noted = noted || same;
            good = good && same;
            drop(at, i);
        }
    }
    if (own && !noted) {
        acked->passed[acked->passed_at++ % PASSED_MAX] = mark->nonce;
    }
    pthread_mutex_unlock(&acked->lock);
    return good || !FB_RULE(follow_acked);
}

// The earliest of an epoch up to a place, or NULL. Under the lock.
static const fb_mark *earliest(const list *at, const fb_mark *place) {
    const fb_mark *first = NULL;
    for (size_t i = 0; i < at->count; i++) {
        const fb_mark *one = &at->marks[i];
        if (one->epoch == place->epoch && one->seq <= place->seq &&
            (first == NULL || one->seq < first->seq)) {
            first = one;
        }
    }
    return first;
}

bool fb_acked_missed(fb_acked *acked, uint32_t log, const fb_mark *place, fb_mark *which) {
    const fb_mark *one = earliest(lock_list(acked, log), place);
    bool missed = one != NULL && (one->seq != place->seq || one->nonce != place->nonce);
    if (missed) {
        *which = *one;
    }
    pthread_mutex_unlock(&acked->lock);
    return missed && FB_RULE(follow_acked);
}

bool fb_acked_first(fb_acked *acked, uint32_t log, const fb_mark *shown, fb_mark *first) {
    const fb_mark *one = earliest(lock_list(acked, log), shown);
    if (one != NULL) {
        *first = *one;
    }
    pthread_mutex_unlock(&acked->lock);
    return one != NULL && FB_RULE(follow_acked);
}

void fb_acked_forget(fb_acked *acked, uint32_t log, const fb_mark *mark) {
    list *at = lock_list(acked, log);
    for (size_t i = at->count; i-- > 0;) {
        if (at->marks[i].epoch == mark->epoch && at->marks[i].seq <= mark->seq) {
            drop(at, i);
        }
    }
    pthread_mutex_unlock(&acked->lock);
}
