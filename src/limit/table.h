// limit/table.h -- the states of many keys, bounded, shared by all threads.
//
// Shards, each a lock and an open-addressing array of slots (linear probing): the 64-bit keyed
// hash of the key (SipHash-1-3, Aumasson and Bernstein 2012, with a key of this process: the
// outside cannot aim at slots), and the state's bytes; never the key. A shard begins small and
// grows by half when it is four fifths full, up to its share of keys_max; so a TOKEN key costs 48
// bytes at most (of 10,000 keys and more), RING as many slots of offsets as its limit needs. What
// has expired is as absent, and its slot is taken again.
//
// A full table takes another key in the place of one that has expired, else of the one nearby whose
// quota is used least; never in that of a key that is being denied: whose last question was denied
// (though its cost was within the limit), or of which a charge of 1 would be. Where all nearby are:
// FULL. A state that has outgrown the table's room has no place either.
//
// A clock that differs a little from thread to thread (up to a second back) counts as standing
// still.
//
// Memory: at most fb_limit_table_bytes_max(); nothing is allocated but in growing (and a shard that
// cannot grow goes on as if it were full). Threads: any.

#ifndef FB_LIMIT_TABLE_H
#define FB_LIMIT_TABLE_H

#include "limit/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_limit_table fb_limit_table;
typedef struct fb_limit_hash_key {
    uint64_t k0, k1;
} fb_limit_hash_key;

// SipHash-1-3.
uint64_t fb_limit_hash(const fb_limit_hash_key *key, fb_str bytes);

// A table for states of at most state_max bytes (fb_limit_table_room()), all under plans with the
// same tag; with FB_LIMIT_STATE_MAX, for states of any plans. keys_max from 1 on. FB_ENOMEM.
FB_CHECK_RESULT int fb_limit_table_new(uint32_t keys_max, uint16_t state_max,
                                       fb_limit_table **table);
void fb_limit_table_free(fb_limit_table *table);
// The room that states under `plan` need: a RING's as for 8, 16, 32 or 64 units, so that a limit
// that grows a little keeps it.
uint16_t fb_limit_table_room(const fb_limit_plan *plan);

typedef enum fb_limit_place { FB_LIMIT_DECIDED, FB_LIMIT_TABLE_FULL } fb_limit_place;

// One limit of a question.
typedef struct fb_limit_item {
    fb_limit_table *table;
    const fb_limit_plan *plan;
    uint64_t hash;
    fb_limit_step step;     // in and out: its time as it was decided with
    // out
    bool allowed;
    fb_limit_place place;   // TABLE_FULL: nothing is kept of it; allowed and view are not set
    fb_limit_view view;     // of its state as it is now
    fb_limit_state state;   // scratch
} fb_limit_item;

// Decides them all in one step that nothing comes between: with TAKE all are charged, or, where one
// is denied, none (but those with charge_denied that were denied themselves). count <=
// FB_LIMIT_QUESTIONS_MAX; the same table and hash twice: the second sees the first's charge, also
// where both only LOOK. LOOK leaves everything as it is. Whether all are allowed (TABLE_FULL counts
// as allowed here).
bool fb_limit_table_decide(fb_limit_item *items, size_t count);
// The key will be asked for in a moment: what there is of it in memory may come nearer meanwhile.
void fb_limit_table_expect(const fb_limit_table *table, uint64_t hash);
// The state that is kept of a key; false: none.
bool fb_limit_table_read(fb_limit_table *table, uint64_t hash, fb_limit_state *state);
// Forgets one key.
void fb_limit_table_forget(fb_limit_table *table, uint64_t hash);

typedef struct fb_limit_table_figures {
    uint64_t keys;      // that take a slot, expired ones included
    uint64_t keys_max;
    uint64_t bytes;     // all that is allocated for it
} fb_limit_table_figures;
void fb_limit_table_figures_read(const fb_limit_table *table, fb_limit_table_figures *figures);
uint64_t fb_limit_table_bytes_max(const fb_limit_table *table);
// O(n): asserts what must hold inside.
void fb_limit_table_check(fb_limit_table *table);

#ifdef __cplusplus
}
#endif

#endif
