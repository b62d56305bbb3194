// The race this file ends: a load reads the old row, the row is changed and its key invalidated,
// and then the load stores the old row, where it stays until its TTL.
//
// Each load has a ticket, registered before its source is asked. An invalidation of a key
//   (1) dooms the key's tickets, under the lock of their stripe, then (2) changes the store.
// A fill, under the same lock, looks whether its ticket is doomed and, if not, stores. So:
//   - fill before (1): the old value is in the store when (2) begins, and (2) removes it;
//   - fill after (1): the ticket is doomed, nothing is stored.
// A load whose ticket is registered after (1) asks its source after the invalidation was called,
// and gets what the caller changed before calling it.
//
// Most keys have no load under way, and then writers should not pay for a lock: a stripe counts its
// tickets, and a writer that finds 0 goes on without. Why that is right: the writer W changes the
// source, then reads the count; a load T raises the count, then reads the source. If T read the old
// row, its read came before W's change in the source's own order; a source that keeps any order at
// all (a lock, a transaction, a reply that was waited for) makes T's "raise" happen before W's
// "read the count", so W sees a 1, or the 0 that T left behind when it ended. T ends after its
// fill, so in the latter case the old value is in the store already, and W is about to remove it.
// The count is changed under the lock and is sequentially consistent; what W needs of it is the
// order of release and acquire.
//
// Writers may hold the lock over (1) and (2), and do: edits learn only in the middle whether they
// change anything, and no load of the key can begin in between. Patterns and clear doom stripe by
// stripe, then change the store, without a lock over both: the argument above needs none.
//
// Tried on paper: a version per key that fills compare. It has to outlive the key's entry, or a
// deleted key forgets it; tickets live exactly as long as somebody could store something old.

#include "cache/tickets.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

enum { STRIPE_COUNT = 256 };

struct fb_stripe {
    pthread_mutex_t lock;
    _Atomic(uint32_t) count;
    fb_list tickets;
} __attribute__((aligned(64)));  // two stripes' locks on one line would make strangers wait

struct fb_tickets {
    uint64_t seed;
    fb_stripe *stripes;
    void *memory;
};

static fb_stripe *stripe_of(const fb_tickets *tickets, fb_str key) {
    return &tickets->stripes[fb_hash64(key, tickets->seed) % STRIPE_COUNT];
}

int fb_tickets_new(uint64_t seed, fb_tickets **tickets) {
    *tickets = NULL;
    fb_tickets *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    size_t line = _Alignof(fb_stripe);
    made->seed = seed;
    made->memory = fb_mem_zero(STRIPE_COUNT + 1, sizeof(fb_stripe));
    if (made->memory == NULL) {
        fb_mem_free(made);
        return FB_ENOMEM;
    }
    uintptr_t start = (uintptr_t)made->memory;
    made->stripes = (void *)((char *)made->memory + (line - start % line) % line);
    for (size_t i = 0; i < STRIPE_COUNT; i++) {
        pthread_mutex_init(&made->stripes[i].lock, NULL);
        fb_list_init(&made->stripes[i].tickets);
    }
    *tickets = made;
    return FB_OK;
}

void fb_tickets_free(fb_tickets *tickets) {
    if (tickets == NULL) {
        return;
    }
    for (size_t i = 0; i < STRIPE_COUNT; i++) {
        FB_ASSERT(fb_list_empty(&tickets->stripes[i].tickets));
        pthread_mutex_destroy(&tickets->stripes[i].lock);
    }
    fb_mem_free(tickets->memory);
    fb_mem_free(tickets);
}

fb_ticket *fb_ticket_new(fb_tickets *tickets, fb_str key) {
    fb_ticket *ticket = fb_mem_zero(1, sizeof *ticket + key.len);
    if (ticket == NULL) {
        return NULL;
    }
    fb_list_init(&ticket->list);
    ticket->stripe = stripe_of(tickets, key);
    ticket->key_len = key.len;
    if (key.len > 0) {
        memcpy(ticket->key, key.ptr, key.len);
    }
    return ticket;
}

void fb_ticket_free(fb_ticket *ticket) {
    FB_ASSERT(ticket == NULL || !ticket->registered);
    fb_mem_free(ticket);
}

void fb_ticket_register(fb_ticket *ticket) {
    FB_ASSERT(!ticket->registered);
    fb_stripe *stripe = fb_ticket_lock(ticket);
    fb_list_insert(&stripe->tickets, &ticket->list);
    ticket->registered = true;
    atomic_fetch_add(&stripe->count, 1);
    fb_stripe_unlock(stripe);
}

void fb_ticket_unregister(fb_ticket *ticket) {
    FB_ASSERT(ticket->registered);
    fb_stripe *stripe = fb_ticket_lock(ticket);
    fb_list_remove(&ticket->list);
    ticket->registered = false;
    atomic_fetch_sub(&stripe->count, 1);
    fb_stripe_unlock(stripe);
}

static void watch_slot(fb_ticket *ticket, uint32_t slot) {
    for (uint32_t i = 0; i < ticket->index_count; i++) {
        if (ticket->index_slots[i] == slot) {
            return;
        }
    }
    if (ticket->index_count < FB_TAGS_MAX) {
        ticket->index_slots[ticket->index_count++] = slot;
    }
}

void fb_ticket_rest(fb_ticket *ticket, const fb_loaded *tags) {
    for (size_t i = 0; i < tags->tag_count; i++) {
        watch_slot(ticket, fb_tags_slot(ticket->tags, fb_loaded_tag_at(tags, i)));
    }
    fb_stripe *stripe = fb_ticket_lock(ticket);
    ticket->resting = true;
    fb_stripe_unlock(stripe);
}

// ---- locking and dooming

fb_stripe *fb_tickets_lock(fb_tickets *tickets, fb_str key) {
    fb_stripe *stripe = stripe_of(tickets, key);
    if (atomic_load(&stripe->count) == 0) {
        return NULL;
    }
    pthread_mutex_lock(&stripe->lock);
    return stripe;
}

fb_stripe *fb_ticket_lock(fb_ticket *ticket) {
    pthread_mutex_lock(&ticket->stripe->lock);
    return ticket->stripe;
}

void fb_stripe_unlock(fb_stripe *stripe) {
    if (stripe != NULL) {
        pthread_mutex_unlock(&stripe->lock);
    }
}

static void doom_but(fb_stripe *stripe, fb_str key, const fb_ticket *spared) {
    FB_LIST_EACH(node, &stripe->tickets) {
        fb_ticket *ticket = FB_LIST_OF(node, fb_ticket, list);
        if (ticket != spared && fb_str_equal(fb_ticket_key(ticket), key)) {
            atomic_store(&ticket->doomed, true);
        }
    }
}

void fb_stripe_doom(fb_stripe *stripe, fb_str key) {
    if (stripe != NULL) {
        doom_but(stripe, key, NULL);
    }
}

void fb_ticket_doom_others(fb_ticket *ticket) {
    doom_but(ticket->stripe, fb_ticket_key(ticket), ticket);
}

void fb_tickets_doom_all(fb_tickets *tickets, fb_key_match_fn match, void *arg) {
    for (size_t i = 0; i < STRIPE_COUNT; i++) {
        fb_stripe *stripe = &tickets->stripes[i];
        if (atomic_load(&stripe->count) == 0) {
            continue;
        }
        pthread_mutex_lock(&stripe->lock);
        FB_LIST_EACH(node, &stripe->tickets) {
            fb_ticket *ticket = FB_LIST_OF(node, fb_ticket, list);
            if (match == NULL || match(arg, fb_ticket_key(ticket))) {
                atomic_store(&ticket->doomed, true);
            }
        }
        pthread_mutex_unlock(&stripe->lock);
    }
}

bool fb_tickets_any(fb_tickets *tickets, fb_str key) {
    fb_stripe *stripe = fb_tickets_lock(tickets, key);
    bool any = false;
    if (stripe != NULL) {
        FB_LIST_EACH(node, &stripe->tickets) {
            const fb_ticket *ticket = FB_LIST_OF(node, fb_ticket, list);
            any = any || (!ticket->resting && fb_str_equal(fb_ticket_key(ticket), key));
        }
    }
    fb_stripe_unlock(stripe);
    return any;
}
