// cache/tickets.h -- the loads under way, by key: where an invalidation finds what it overtakes.
//
// Threads: any. Lock order: a stripe, then (inside the store) a shard; never two stripes.

#ifndef FB_CACHE_TICKETS_H
#define FB_CACHE_TICKETS_H

#include "base/list.h"
#include "cache/cache.h"
#include "cache/tags.h"

#include <stdatomic.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_tickets fb_tickets;
typedef struct fb_stripe fb_stripe;

struct fb_ticket {
    fb_list list;  // of its stripe; by itself while not registered
    fb_stripe *stripe;
    const fb_class *class_;
    const fb_tags *tags;
    uint64_t seq;  // captured when it began
    int64_t begin_ns;
    _Atomic(bool) doomed;  // written under the stripe's lock, or while it begins
    bool registered;
    bool resting;  // under the stripe's lock
    bool early;    // an early refresh
    uint32_t partition_slot;
    // Slots of tags that are known without what is loaded: the key's index tags; at rest, others
    // too.
    uint32_t index_count;
    uint32_t index_slots[FB_TAGS_MAX];
    size_t key_len;
    char key[];
};

FB_CHECK_RESULT int fb_tickets_new(uint64_t seed, fb_tickets **tickets);
// No ticket may be left.
void fb_tickets_free(fb_tickets *tickets);

// Makes one that is not registered yet; NULL: no memory. Unregister it before it is freed.
FB_CHECK_RESULT fb_ticket *fb_ticket_new(fb_tickets *tickets, fb_str key);
void fb_ticket_free(fb_ticket *ticket);
void fb_ticket_register(fb_ticket *ticket);
void fb_ticket_unregister(fb_ticket *ticket);
static inline fb_str fb_ticket_key(const fb_ticket *ticket) {
    fb_str key = {ticket->key, ticket->key_len};
    return key;
}

// Locks what the loads of `key` are filled under: nothing of this key is filled until unlock().
// NULL where no load is under way there, and nothing is locked.
fb_stripe *fb_tickets_lock(fb_tickets *tickets, fb_str key);
// The same for one ticket's key, always locked.
fb_stripe *fb_ticket_lock(fb_ticket *ticket);
void fb_stripe_unlock(fb_stripe *stripe);  // NULL is fine
// Dooms the loads of `key`; `stripe` is locked, or NULL.
void fb_stripe_doom(fb_stripe *stripe, fb_str key);
// The same of all but this one of its key; the stripe is locked.
void fb_ticket_doom_others(fb_ticket *ticket);

// Dooms every load whose key `match` accepts (NULL: all), stripe by stripe.
typedef bool (*fb_key_match_fn)(void *arg, fb_str key);
void fb_tickets_doom_all(fb_tickets *tickets, fb_key_match_fn match, void *arg);
// Whether a load of `key` is under way; resting tickets do not count.
bool fb_tickets_any(fb_tickets *tickets, fb_str key);

#ifdef __cplusplus
}
#endif

#endif
