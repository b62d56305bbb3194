// An owner for each key that has leases: they are in the order in which they end, so what has
// expired is in front. Owners are found by their hash and lie in a heap by the end of their last
// lease: whose last has ended is first, and leaves when somebody else wants its place, a few with
// each lease.
//
// A lease is looked for one after the other: there are as many as run at a time of something so
// expensive that this is limited. The same goes for the one lock.
//
// When the clock goes back by more than a second every lease is cut to its owner's window from then
// on, at once, so that none waits in the heap for a time that may be hours away.

#include "limit/slots.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "limit/steady.h"

enum {
    LEASES_MIN = 2,
    REAP = 4  // owners that have to leave for one that comes, at most
};

typedef struct lease {
    uint64_t token;
    int64_t until_us;
} lease;

typedef struct owner {
    fb_heap_node heap;  // by until_us of the last lease
    uint64_t hash;
    int64_t window_us;
    uint32_t count, cap;
    lease *leases;
} owner;

struct fb_limit_slots {
    pthread_mutex_t lock;
    uint32_t keys_max;
    int64_t now_us;
    uint64_t lease_bytes;
    fb_map owners;
    fb_heap by_end;
};

int fb_limit_slots_new(uint32_t keys_max, fb_limit_slots **slots) {
    FB_ASSERT(keys_max > 0);
    *slots = fb_mem_zero(1, sizeof **slots);
    if (*slots == NULL) {
        return FB_ENOMEM;
    }
    (*slots)->keys_max = keys_max;
    pthread_mutex_init(&(*slots)->lock, NULL);
    return FB_OK;
}

void fb_limit_slots_free(fb_limit_slots *slots) {
    if (slots == NULL) {
        return;
    }
    size_t place = 0;
    fb_heap_release(&slots->by_end);
    for (owner *one; (one = fb_map_next(&slots->owners, &place)) != NULL;) {
        fb_mem_free(one->leases);
        fb_mem_free(one);
    }
    fb_map_release(&slots->owners);
    pthread_mutex_destroy(&slots->lock);
    fb_mem_free(slots);
}

static fb_str key_of(const uint64_t *hash) {
    return fb_str_make((const char *)hash, sizeof(*hash));
}

static owner *find_owner(const fb_limit_slots *slots, uint64_t hash) {
    return fb_map_get(&slots->owners, key_of(&hash));
}

static void remove_owner(fb_limit_slots *slots, owner *one) {
    (void)fb_map_remove(&slots->owners, key_of(&one->hash));
    fb_heap_remove(&slots->by_end, &one->heap);
    slots->lease_bytes -= one->cap * sizeof(lease);
    fb_mem_free(one->leases);
    fb_mem_free(one);
}

static void reorder(fb_limit_slots *slots, owner *one) {
    // Moving a node within the heap needs no memory.
    int moved = fb_heap_put(&slots->by_end, &one->heap, one->leases[one->count - 1].until_us);
    FB_ASSERT(moved == FB_OK);
}

static void cut(fb_limit_slots *slots, owner *one) {
    int64_t end_us = slots->now_us + one->window_us;
    for (uint32_t i = one->count; i > 0 && one->leases[i - 1].until_us > end_us; i--) {
        one->leases[i - 1].until_us = end_us;
    }
}

static void cut_all(fb_limit_slots *slots) {
    size_t place = 0;
    for (owner *one; (one = fb_map_next(&slots->owners, &place)) != NULL;) {
        cut(slots, one);
        reorder(slots, one);
    }
}

static void enter(fb_limit_slots *slots, int64_t now_us) {
    pthread_mutex_lock(&slots->lock);
    if (fb_limit_lags(now_us, slots->now_us)) {
        return;
    }
    bool back = now_us < slots->now_us;
    slots->now_us = now_us;
    if (FB_RULE(slots_cut) && back) {
        cut_all(slots);
    }
}

// The owner of leases that live; NULL: it has none (any more).
static owner *live_owner(fb_limit_slots *slots, uint64_t hash, const fb_limit_plan *plan) {
    owner *one = find_owner(slots, hash);
    if (one == NULL) {
        return NULL;
    }
    one->window_us = plan != NULL ? plan->window_us : one->window_us;
    cut(slots, one);
    uint32_t gone = 0;
    while (gone < one->count && one->leases[gone].until_us <= slots->now_us) {
        gone++;
    }
    if (gone == one->count) {
        remove_owner(slots, one);
        return NULL;
    }
    one->count -= gone;
    memmove(one->leases, one->leases + gone, one->count * sizeof(lease));
    reorder(slots, one);
    return one;
}

static void answer_of(const fb_limit_slots *slots, const owner *one,
                      fb_limit_slots_answer *answer) {
    *answer = (fb_limit_slots_answer){.used = one != NULL ? one->count : 0};
    if (answer->used > 0) {
        answer->next_us = one->leases[0].until_us - slots->now_us;
        answer->last_us = one->leases[one->count - 1].until_us - slots->now_us;
    }
}

// A few whose leases have ended leave, or, where all places are taken, at least one.
static bool make_place(fb_limit_slots *slots) {
    for (int i = 0; i < REAP; i++) {
        fb_heap_node *first = fb_heap_first(&slots->by_end);
        if (first == NULL || first->key > slots->now_us) {
            break;
        }
        remove_owner(slots, FB_LIST_OF(first, owner, heap));
    }
    return slots->owners.count < slots->keys_max;
}

// An owner without leases; NULL: no memory.
static owner *make_owner(fb_limit_slots *slots, uint64_t hash, const fb_limit_plan *plan) {
    owner *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        return NULL;
    }
    one->hash = hash;
    one->window_us = plan->window_us;
    if (fb_heap_put(&slots->by_end, &one->heap, slots->now_us) < 0) {
        fb_mem_free(one);
        return NULL;
    }
    if (fb_map_put(&slots->owners, key_of(&one->hash), one) < 0) {
        fb_heap_remove(&slots->by_end, &one->heap);
        fb_mem_free(one);
        return NULL;
    }
    return one;
}

static bool make_room(fb_limit_slots *slots, owner *one) {
    if (one->count < one->cap) {
        return true;
    }
    uint32_t cap = one->cap == 0 ? LEASES_MIN : one->cap * 2;
    lease *leases = fb_mem_resize(one->leases, cap * sizeof(lease));
    if (leases == NULL) {
        return false;
    }
    slots->lease_bytes += (cap - one->cap) * sizeof(lease);
    one->leases = leases;
    one->cap = cap;
    return true;
}

// Where it belongs by its end. There is room.
static void put_lease(fb_limit_slots *slots, owner *one, uint64_t token, int64_t ttl_us) {
    int64_t until_us = slots->now_us + (ttl_us < one->window_us ? ttl_us : one->window_us);
    uint32_t place = one->count++;
    for (; place > 0 && one->leases[place - 1].until_us > until_us; place--) {
        one->leases[place] = one->leases[place - 1];
    }
    one->leases[place] = (lease){.token = token, .until_us = until_us};
    reorder(slots, one);
}

// Takes a lease out, though its owner may have none left then; false: there is none of this token.
static bool take_lease(owner *one, uint64_t token) {
    for (uint32_t i = 0; one != NULL && i < one->count; i++) {
        if (one->leases[i].token == token) {
            one->count--;
            memmove(one->leases + i, one->leases + i + 1, (one->count - i) * sizeof(lease));
            return true;
        }
    }
    return false;
}

static int add_lease(fb_limit_slots *slots, owner **one, uint64_t hash, const fb_limit_plan *plan) {
    if (*one == NULL) {
        if (!make_place(slots)) {
            return FB_EOVERLOAD;
        }
        *one = make_owner(slots, hash, plan);
    } else if ((*one)->count >= plan->limit) {
        return FB_LIMITED;
    }
    if (*one != NULL && make_room(slots, *one)) {
        return FB_OK;
    }
    if (*one != NULL && (*one)->count == 0) {
        remove_owner(slots, *one);
        *one = NULL;
    }
    return FB_ENOMEM;
}

int fb_limit_slots_acquire(fb_limit_slots *slots, uint64_t hash, const fb_limit_plan *plan,
                           uint64_t token, int64_t ttl_us, int64_t now_us,
                           fb_limit_slots_answer *answer) {
    FB_ASSERT(token != 0 && ttl_us > 0);
    enter(slots, now_us);
    owner *one = live_owner(slots, hash, plan);
    int result = take_lease(one, token) ? FB_OK : add_lease(slots, &one, hash, plan);
    if (result == FB_OK) {
        put_lease(slots, one, token, ttl_us);
    }
    answer_of(slots, one, answer);
    pthread_mutex_unlock(&slots->lock);
    return result;
}

int fb_limit_slots_renew(fb_limit_slots *slots, uint64_t hash, const fb_limit_plan *plan,
                         uint64_t token, int64_t ttl_us, int64_t now_us) {
    FB_ASSERT(token != 0 && ttl_us > 0);
    enter(slots, now_us);
    owner *one = live_owner(slots, hash, plan);
    bool found = take_lease(one, token);
    if (found) {
        put_lease(slots, one, token, ttl_us);
    }
    pthread_mutex_unlock(&slots->lock);
    return found ? FB_OK : FB_MISS;
}

int fb_limit_slots_release(fb_limit_slots *slots, uint64_t hash, uint64_t token, int64_t now_us) {
    enter(slots, now_us);
    owner *one = live_owner(slots, hash, NULL);
    bool found = take_lease(one, token);
    if (found && one->count == 0) {
        remove_owner(slots, one);
    } else if (found) {
        reorder(slots, one);
    }
    pthread_mutex_unlock(&slots->lock);
    return found ? FB_OK : FB_MISS;
}

void fb_limit_slots_look(fb_limit_slots *slots, uint64_t hash, const fb_limit_plan *plan,
                         int64_t now_us, fb_limit_slots_answer *answer) {
    enter(slots, now_us);
    answer_of(slots, live_owner(slots, hash, plan), answer);
    pthread_mutex_unlock(&slots->lock);
}

void fb_limit_slots_forget(fb_limit_slots *slots, uint64_t hash) {
    pthread_mutex_lock(&slots->lock);
    owner *one = find_owner(slots, hash);
    if (one != NULL) {
        remove_owner(slots, one);
    }
    pthread_mutex_unlock(&slots->lock);
}

void fb_limit_slots_explain(const fb_limit_plan *plan, const fb_limit_slots_answer *answer,
                            bool allowed, fb_verdict *verdict) {
    verdict->allowed = allowed;
    verdict->denied = !allowed;
    verdict->impossible = false;
    verdict->cost = 1;
    verdict->limit = plan->limit;
    verdict->remaining = answer->used < plan->limit ? plan->limit - answer->used : 0;
    verdict->window_us = 0;
    verdict->retry_us = allowed ? 0 : answer->next_us > 0 ? answer->next_us : 1;
    verdict->reset_us = answer->last_us;
}

void fb_limit_slots_figures_read(fb_limit_slots *slots, fb_limit_table_figures *figures) {
    pthread_mutex_lock(&slots->lock);
    figures->keys = slots->owners.count;
    figures->keys_max = slots->keys_max;
    figures->bytes = sizeof(*slots) + slots->owners.count * sizeof(owner) + slots->lease_bytes +
                     slots->owners.cap * sizeof(fb_map_slot) +
                     slots->by_end.cap * sizeof(fb_heap_node *);
    pthread_mutex_unlock(&slots->lock);
}
