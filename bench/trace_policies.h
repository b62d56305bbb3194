// trace_policies.h -- eviction policies that `make bench ONLY=trace` and the tests compare the
// store with: each exact, counted in objects, over traces of small numbers. Header-only; every
// function returns the misses of one replay with room for `room` objects.
//
// As published: SIEVE (Zhang et al., NSDI '24); ARC (Megiddo and Modha, FAST '03); LIRS (Jiang and
// Zhang, SIGMETRICS '02; 1 % resident HIR, twice the cache of non-resident ones); 2Q (Johnson and
// Shasha, VLDB '94; a quarter, half a cache of ghosts); W-TinyLFU (Einziger et al., ToS '17; 1 %
// window, 80 % protected, a 4-bit sketch); Belady's optimum (1966).

#ifndef FB_BENCH_TRACE_POLICIES_H
#define FB_BENCH_TRACE_POLICIES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Requests as numbers below `distinct`.
typedef struct keys {
    const uint32_t *at;
    size_t count;
    uint32_t distinct;
} keys;

typedef uint64_t (*policy_fn)(const keys *trace, uint32_t room);

// ---- lists through arrays: item i, and list heads behind the items

typedef struct links {
    uint32_t *next, *prev;
    uint8_t *list;      // which list an item is in, from 1; 0: in none
    uint32_t count[8];  // of each list
    uint32_t items;
} links;

static inline void *take_array(size_t count, size_t size) {
    void *array = calloc(count, size);
    if (array == NULL) {
        abort();
    }
    return array;
}

static inline uint32_t head_of_list(const links *all, unsigned list) {
    return all->items + list;
}

static inline links links_new(uint32_t items) {
    links all = {.items = items};
    all.next = take_array(items + 8, sizeof(uint32_t));
    all.prev = take_array(items + 8, sizeof(uint32_t));
    all.list = take_array(items + 8, 1);
    for (unsigned list = 0; list < 8; list++) {
        all.next[items + list] = all.prev[items + list] = items + list;
    }
    return all;
}

static inline void links_free(links *all) {
    free(all->next);
    free(all->prev);
    free(all->list);
}

static inline void unlink_item(links *all, uint32_t item) {
    all->count[all->list[item]]--;
    all->next[all->prev[item]] = all->next[item];
    all->prev[all->next[item]] = all->prev[item];
    all->list[item] = 0;
}

// To the newest end.
static inline void push_item(links *all, unsigned list, uint32_t item) {
    uint32_t head = head_of_list(all, list);
    all->prev[item] = all->prev[head];
    all->next[item] = head;
    all->next[all->prev[head]] = item;
    all->prev[head] = item;
    all->list[item] = (uint8_t)list;
    all->count[list]++;
}

static inline uint32_t oldest_item(const links *all, unsigned list) {
    return all->next[head_of_list(all, list)];
}

static inline uint32_t pop_item(links *all, unsigned list) {
    uint32_t item = oldest_item(all, list);
    unlink_item(all, item);
    return item;
}

static inline void move_item(links *all, unsigned list, uint32_t item) {
    unlink_item(all, item);
    push_item(all, list, item);
}

// ---- SIEVE

static inline uint64_t misses_of_sieve(const keys *trace, uint32_t room) {
    links all = links_new(trace->distinct);
    uint8_t *used = take_array(trace->distinct, 1);
    uint64_t misses = 0;
    uint32_t hand = head_of_list(&all, 1);
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->at[i];
        if (all.list[key] != 0) {
            used[key] = 1;
            continue;
        }
        misses++;
        if (all.count[1] == room) {
            if (hand >= all.items) {
                hand = oldest_item(&all, 1);
            }
            while (used[hand] != 0) {
                used[hand] = 0;
                hand = all.next[hand];
                hand = hand >= all.items ? oldest_item(&all, 1) : hand;
            }
            uint32_t victim = hand;
            hand = all.next[hand];
            unlink_item(&all, victim);
        }
        push_item(&all, 1, key);
        used[key] = 0;
    }
    free(used);
    links_free(&all);
    return misses;
}

// ---- ARC: lists 1 and 2 hold, 3 and 4 remember what left them

static inline void arc_replace(links *all, double target, bool in_second) {
    uint32_t first = all->count[1];
    if (first > 0 && ((double)first > target || (in_second && (double)first == target))) {
        push_item(all, 3, pop_item(all, 1));
    } else if (all->count[2] > 0) {
        push_item(all, 4, pop_item(all, 2));
    } else {
        push_item(all, 3, pop_item(all, 1));
    }
}

static inline uint64_t misses_of_arc(const keys *trace, uint32_t room) {
    links all = links_new(trace->distinct);
    uint64_t misses = 0;
    double target = 0;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->at[i];
        unsigned list = all.list[key];
        if (list == 1 || list == 2) {
            move_item(&all, 2, key);
            continue;
        }
        misses++;
        double first = all.count[3], second = all.count[4];
        if (list == 3) {
            double step = second > first ? second / first : 1;
            target = target + step < room ? target + step : room;
            arc_replace(&all, target, false);
            move_item(&all, 2, key);
        } else if (list == 4) {
            double step = first > second ? first / second : 1;
            target = target > step ? target - step : 0;
            arc_replace(&all, target, true);
            move_item(&all, 2, key);
        } else {
            uint32_t whole = all.count[1] + all.count[2] + all.count[3] + all.count[4];
            if (all.count[1] + all.count[3] == room) {
                if (all.count[1] < room) {
                    (void)pop_item(&all, 3);
                    arc_replace(&all, target, false);
                } else {
                    (void)pop_item(&all, 1);
                }
            } else if (whole >= room) {
                if (whole == 2 * room) {
                    (void)pop_item(&all, 4);
                }
                arc_replace(&all, target, false);
            }
            push_item(&all, 1, key);
        }
    }
    links_free(&all);
    return misses;
}

// ---- LIRS: the stack S (list 1), resident HIR items Q (list 2 of its own links)

typedef struct lirs {
    links stack, queue, gone;  // gone: non-resident ones, by age, to bound the stack
    uint8_t *lir, *resident;
    uint32_t lir_count, lir_room, queue_room, gone_room;
} lirs;

static inline void lirs_prune(lirs *l) {
    while (l->stack.count[1] > 0) {
        uint32_t item = oldest_item(&l->stack, 1);
        if (l->lir[item] != 0) {
            return;
        }
        unlink_item(&l->stack, item);
        if (l->gone.list[item] != 0) {
            unlink_item(&l->gone, item);
        }
    }
}

static inline void lirs_demote(lirs *l) {
    uint32_t item = oldest_item(&l->stack, 1);
    unlink_item(&l->stack, item);
    l->lir[item] = 0;
    l->lir_count--;
    push_item(&l->queue, 1, item);
    lirs_prune(l);
}

static inline void lirs_evict(lirs *l) {
    if (l->queue.count[1] == 0) {
        lirs_demote(l);
    }
    uint32_t item = pop_item(&l->queue, 1);
    l->resident[item] = 0;
    if (l->stack.list[item] != 0) {
        push_item(&l->gone, 1, item);
        if (l->gone.count[1] > l->gone_room) {
            unlink_item(&l->stack, pop_item(&l->gone, 1));
        }
    }
}

static inline void lirs_hit(lirs *l, uint32_t key) {
    bool in_stack = l->stack.list[key] != 0;
    if (in_stack) {
        unlink_item(&l->stack, key);
    }
    push_item(&l->stack, 1, key);
    if (l->lir[key] != 0) {
        lirs_prune(l);
    } else if (in_stack) {
        unlink_item(&l->queue, key);
        l->lir[key] = 1;
        l->lir_count++;
        lirs_prune(l);
        if (l->lir_count > l->lir_room) {
            lirs_demote(l);
        }
    } else {
        move_item(&l->queue, 1, key);
    }
}

static inline uint64_t misses_of_lirs(const keys *trace, uint32_t room) {
    uint32_t queue_room = room / 100 > 1 ? room / 100 : 1;
    lirs l = {.queue_room = queue_room,
              .lir_room = room > queue_room ? room - queue_room : 1,
              .gone_room = 2 * room};
    l.stack = links_new(trace->distinct);
    l.queue = links_new(trace->distinct);
    l.gone = links_new(trace->distinct);
    l.lir = take_array(trace->distinct, 1);
    l.resident = take_array(trace->distinct, 1);
    uint64_t misses = 0;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->at[i];
        if (l.resident[key] != 0) {
            lirs_hit(&l, key);
            continue;
        }
        misses++;
        while (l.lir_count + l.queue.count[1] >= room) {
            lirs_evict(&l);
        }
        bool known = l.stack.list[key] != 0;
        l.resident[key] = 1;
        if (known) {
            unlink_item(&l.stack, key);
            unlink_item(&l.gone, key);
        }
        push_item(&l.stack, 1, key);
        if (known || l.lir_count < l.lir_room) {
            l.lir[key] = 1;
            l.lir_count++;
            if (known) {
                lirs_prune(&l);
            }
            if (l.lir_count > l.lir_room) {
                lirs_demote(&l);
            }
        } else {
            push_item(&l.queue, 1, key);
        }
    }
    links_free(&l.stack);
    links_free(&l.queue);
    links_free(&l.gone);
    free(l.lir);
    free(l.resident);
    return misses;
}

// ---- 2Q: 1 A1in, 2 Am, 3 A1out

static inline uint64_t misses_of_2q(const keys *trace, uint32_t room) {
    links all = links_new(trace->distinct);
    uint32_t in_room = room / 4 > 0 ? room / 4 : 1;
    uint32_t out_room = room / 2 > 0 ? room / 2 : 1;
    uint64_t misses = 0;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->at[i];
        unsigned list = all.list[key];
        if (list == 1 || list == 2) {
            if (list == 2) {
                move_item(&all, 2, key);
            }
            continue;
        }
        misses++;
        if (list == 3) {
            unlink_item(&all, key);
        }
        if (all.count[1] + all.count[2] == room) {
            if (all.count[1] > in_room || all.count[2] == 0) {
                push_item(&all, 3, pop_item(&all, 1));
                if (all.count[3] > out_room) {
                    (void)pop_item(&all, 3);
                }
            } else {
                (void)pop_item(&all, 2);
            }
        }
        push_item(&all, list == 3 ? 2 : 1, key);
    }
    links_free(&all);
    return misses;
}

// ---- W-TinyLFU: 1 window, 2 probation, 3 protected

typedef struct sketch {
    uint8_t *cells;
    uint64_t mask, added, sample;
} sketch;

static inline uint64_t sketch_cell(const sketch *s, uint32_t key, unsigned row) {
    uint64_t mixed =
        (key + 1) * (UINT64_C(0x9e3779b97f4a7c15) + row * UINT64_C(0xc2b2ae3d27d4eb4e));
    mixed ^= mixed >> 29;
    mixed *= UINT64_C(0xbf58476d1ce4e5b9);
    return ((mixed >> 20) & s->mask) * 4 + row;
}

static inline unsigned sketch_count(const sketch *s, uint32_t key) {
    unsigned least = 15;
    for (unsigned row = 0; row < 4; row++) {
        unsigned cell = s->cells[sketch_cell(s, key, row)];
        least = cell < least ? cell : least;
    }
    return least;
}

static inline void sketch_add(sketch *s, uint32_t key) {
    for (unsigned row = 0; row < 4; row++) {
        uint8_t *cell = &s->cells[sketch_cell(s, key, row)];
        *cell = (uint8_t)(*cell < 15 ? *cell + 1 : 15);
    }
    if (++s->added >= s->sample) {
        for (uint64_t i = 0; i <= s->mask * 4 + 3; i++) {
            s->cells[i] /= 2;
        }
        s->added /= 2;
    }
}

static inline uint64_t misses_of_tinylfu(const keys *trace, uint32_t room) {
    links all = links_new(trace->distinct);
    uint32_t window = room / 100 > 1 ? room / 100 : 1;
    uint32_t most = room > window ? room - window : 1;
    uint32_t protected_room = most / 5 * 4;
    sketch s = {.sample = 10 * (uint64_t)room};
    uint64_t cells = 16;
    while (cells < room) {
        cells *= 2;
    }
    s.mask = cells - 1;
    s.cells = take_array(cells * 4, 1);
    uint64_t misses = 0;
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->at[i];
        unsigned list = all.list[key];
        sketch_add(&s, key);
        if (list != 0) {
            move_item(&all, list == 1 ? 1 : 3, key);
            if (all.count[3] > protected_room) {
                move_item(&all, 2, oldest_item(&all, 3));
            }
            continue;
        }
        misses++;
        push_item(&all, 1, key);
        if (all.count[1] <= window) {
            continue;
        }
        uint32_t candidate = pop_item(&all, 1);
        if (all.count[2] + all.count[3] < most) {
            push_item(&all, 2, candidate);
            continue;
        }
        uint32_t victim = all.count[2] > 0 ? oldest_item(&all, 2) : oldest_item(&all, 3);
        if (sketch_count(&s, candidate) > sketch_count(&s, victim)) {
            unlink_item(&all, victim);
            push_item(&all, 2, candidate);
        }
    }
    free(s.cells);
    links_free(&all);
    return misses;
}

// ---- Belady: a heap of residents, the one needed latest on top; stale entries are skipped

typedef struct later {
    uint64_t when;
    uint32_t key;
} later;

static inline void heap_push(later *heap, size_t *count, later one) {
    size_t at = (*count)++;
    while (at > 0 && heap[(at - 1) / 2].when < one.when) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = one;
}

static inline later heap_pop(later *heap, size_t *count) {
    later top = heap[0];
    later last = heap[--*count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < *count; at = child) {
        if (child + 1 < *count && heap[child + 1].when > heap[child].when) {
            child++;
        }
        if (heap[child].when <= last.when) {
            break;
        }
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

static inline uint64_t misses_of_belady(const keys *trace, uint32_t room) {
    uint64_t *next = take_array(trace->count, sizeof(*next));
    uint64_t *due = take_array(trace->distinct, sizeof(*due));
    later *heap = take_array(trace->count + 1, sizeof(*heap));
    size_t heap_count = 0;
    uint32_t held = 0;
    uint64_t misses = 0;
    for (uint32_t key = 0; key < trace->distinct; key++) {
        due[key] = UINT64_MAX;
    }
    for (size_t i = trace->count; i-- > 0;) {
        next[i] = due[trace->at[i]];
        due[trace->at[i]] = i;
    }
    memset(due, 0, trace->distinct * sizeof(*due));  // 0: not held; else its next use
    for (size_t i = 0; i < trace->count; i++) {
        uint32_t key = trace->at[i];
        if (due[key] != 0) {
            due[key] = next[i];
        } else {
            misses++;
            while (held == room) {
                later top = heap_pop(heap, &heap_count);
                if (due[top.key] == top.when) {
                    due[top.key] = 0;
                    held--;
                }
            }
            due[key] = next[i];
            held++;
        }
        heap_push(heap, &heap_count, (later){next[i], key});
    }
    free(next);
    free(due);
    free(heap);
    return misses;
}

#endif
