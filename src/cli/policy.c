// Policies over small numbers: everything known of a key lies in arrays, and lists are links
// through them. A list's head is an item behind all others.

#include "cli/policy.h"

#include "base/mem.h"

enum { NOWHERE, SMALL, MAIN, GHOST, LISTS };

typedef struct lists {
    uint32_t *next, *prev;
    uint8_t *where, *uses;
    uint32_t distinct;
    uint32_t count[LISTS];
} lists;

static int take_lists(lists *all, uint32_t distinct) {
    *all = (lists){.distinct = distinct};
    all->next = fb_mem_zero(distinct + LISTS, sizeof(*all->next));
    all->prev = fb_mem_zero(distinct + LISTS, sizeof(*all->prev));
    all->where = fb_mem_zero(distinct + 1, 1);
    all->uses = fb_mem_zero(distinct + 1, 1);
    if (all->next == NULL || all->prev == NULL || all->where == NULL || all->uses == NULL) {
        return FB_ENOMEM;
    }
    for (uint32_t list = 0; list < LISTS; list++) {
        all->next[distinct + list] = distinct + list;
        all->prev[distinct + list] = distinct + list;
    }
    return FB_OK;
}

static void give_lists(lists *all) {
    fb_mem_free(all->next);
    fb_mem_free(all->prev);
    fb_mem_free(all->where);
    fb_mem_free(all->uses);
}

static void remove_key(lists *all, uint32_t key) {
    all->count[all->where[key]]--;
    all->next[all->prev[key]] = all->next[key];
    all->prev[all->next[key]] = all->prev[key];
    all->where[key] = NOWHERE;
}

// To the newest end.
static void add_key(lists *all, unsigned list, uint32_t key) {
    uint32_t head = all->distinct + list;
    all->prev[key] = all->prev[head];
    all->next[key] = head;
    all->next[all->prev[head]] = key;
    all->prev[head] = key;
    all->where[key] = (uint8_t)list;
    all->count[list]++;
}

static uint32_t take_oldest(lists *all, unsigned list) {
    uint32_t key = all->next[all->distinct + list];
    remove_key(all, key);
    return key;
}

int fb_policy_lru(const uint32_t *keys, size_t key_count, uint32_t distinct, uint32_t room,
                  uint64_t *misses) {
    lists all;
    int result = take_lists(&all, distinct);
    *misses = 0;
    for (size_t i = 0; result == FB_OK && i < key_count; i++) {
        if (all.where[keys[i]] != NOWHERE) {
            remove_key(&all, keys[i]);
        } else {
            ++*misses;
            if (all.count[MAIN] == room) {
                (void)take_oldest(&all, MAIN);
            }
        }
        add_key(&all, MAIN, keys[i]);
    }
    give_lists(&all);
    return result;
}

static void evict_small(lists *all, uint32_t room) {
    enum { USES_TO_STAY = 2 };
    while (all->count[SMALL] > 0) {
        uint32_t key = take_oldest(all, SMALL);
        bool stays = all->uses[key] >= USES_TO_STAY;
        all->uses[key] = 0;
        add_key(all, stays ? MAIN : GHOST, key);
        if (!stays) {
            if (all->count[GHOST] > room - room / 10) {
                (void)take_oldest(all, GHOST);
            }
            return;
        }
    }
}

static void evict_main(lists *all) {
    for (;;) {
        uint32_t key = take_oldest(all, MAIN);
        if (all->uses[key] == 0) {
            return;
        }
        all->uses[key]--;
        add_key(all, MAIN, key);
    }
}

int fb_policy_s3fifo(const uint32_t *keys, size_t key_count, uint32_t distinct, uint32_t room,
                     uint64_t *misses) {
    enum { USES_MAX = 3 };
    lists all;
    uint32_t small_room = room / 10 > 0 ? room / 10 : 1;
    bool filled = false;
    int result = take_lists(&all, distinct);
    *misses = 0;
    for (size_t i = 0; result == FB_OK && i < key_count; i++) {
        uint32_t key = keys[i];
        if (all.where[key] == SMALL || all.where[key] == MAIN) {
            all.uses[key] = (uint8_t)(all.uses[key] < USES_MAX ? all.uses[key] + 1 : USES_MAX);
            continue;
        }
        ++*misses;
        bool known = all.where[key] == GHOST;
        if (known) {
            remove_key(&all, key);
        }
        while (all.count[SMALL] + all.count[MAIN] >= room) {
            filled = true;
            if (all.count[MAIN] > room - small_room || all.count[SMALL] == 0) {
                evict_main(&all);
            } else {
                evict_small(&all, room);
            }
        }
        bool main = known || (!filled && all.count[SMALL] >= small_room);
        all.uses[key] = 0;
        add_key(&all, main ? MAIN : SMALL, key);
    }
    give_lists(&all);
    return result;
}
