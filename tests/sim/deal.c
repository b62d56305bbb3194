// Deals: transactions of the shared tier over one or two numbers. A node looks at both, adds a digit of
// the deal's own to each, and commits; where somebody was faster, it looks again. So each number says
// whether the deal was done, and both must say the same.
//
// Where the shared tier can lose a part of itself (a Cluster), the two lie in one partition, as a Cluster
// demands it.

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "world.h"

enum { TRIES_MAX = 6 };

struct deal {
    deal *next;
    node *at;
    uint32_t life;
    uint32_t count, tries, looked;
    int failed;  // what a look gave
    change *parts[2];
    fb_snapshot seen[2];
    fb_loaded values[2];
    fb_sync_item items[2];
    fb_commit all;
};

static void look(world *w, deal *one);

static void release(deal *one) {
    for (uint32_t i = 0; i < 2; i++) {
        fb_loaded_release(&one->seen[i].loaded);
        fb_loaded_release(&one->values[i]);
    }
}

static void end(world *w, deal *one, int result) {
    fb_gate_action answer = {.result = result, .receipt.reached = FB_REACH_SHARED};
    w->seen->deals += result == FB_OK;
    for (uint32_t i = 0; i < one->count; i++) {
        change_answered(w, one->parts[i], &answer);
    }
    release(one);
}

// ---- the commit

static void committed(world *w, void *of, const fb_gate_action *answer) {
    deal *one = of;
    if (answer->result == FB_REFUSED && ++one->tries < TRIES_MAX) {
        w->seen->deals_again++;
        look(w, one);
    } else {
        end(w, one, answer->result);
    }
}

static void add(world *w, deal *one, uint32_t i) {
    const fb_snapshot *seen = &one->seen[i];
    int64_t number = 0;
    char text[24];
    if (seen->found && fb_str_int(fb_blob_str(seen->loaded.value), &number) != FB_OK) {
        world_fail(w, "%s is no number", one->parts[i]->of->text);
    }
    (void)snprintf(text, sizeof text, "%" PRId64, number + change_digit(one->parts[i]->made));
    fb_loaded_release(&one->values[i]);
    int result = fb_loaded_value(&one->values[i], fb_str_of(text));
    FB_ASSERT(result == FB_OK);
    one->values[i].result = FB_OK;
    one->items[i] = (fb_sync_item){.key = one->parts[i]->of->name,
                                   .when = seen->when,
                                   .version = seen->version,
                                   .epoch = seen->epoch,
                                   .act = FB_ACT_SET,
                                   .loaded = &one->values[i],
                                   .ttl_ns = -1};
}

static void commit(world *w, deal *one) {
    bool older = one->count > 1 && (one->seen[1].wide.epoch != one->seen[0].wide.epoch ||
                                    one->seen[1].wide.seq < one->seen[0].wide.seq);
    for (uint32_t i = 0; i < one->count; i++) {
        add(w, one, i);
    }
    one->all = (fb_commit){.items = one->items,
                           .item_count = one->count,
                           .wide = one->seen[older ? 1 : 0].wide};
    fb_want want = {.kind = FB_WANT_COMMIT, .key = one->items[0].key, .commit = &one->all};
    if (node_want(w, one->at, &want, 2 * w->is.hard_ns, committed, one) < 0) {
        end(w, one, FB_ENOMEM);
    }
}

// ---- the look

static void looked(world *w, void *of, const fb_gate_action *answer) {
    deal *one = of;
    one->failed = answer->result < 0 ? answer->result : one->failed;
    if (++one->looked < one->count) {
        return;
    }
    if (one->failed < 0) {
        end(w, one, one->failed);
    } else {
        commit(w, one);
    }
}

static void look(world *w, deal *one) {
    one->looked = 0;
    one->failed = FB_OK;
    for (uint32_t i = 0; i < one->count; i++) {
        fb_want want = {
            .kind = FB_WANT_SNAPSHOT, .key = one->parts[i]->of->name, .snapshot = &one->seen[i]};
        fb_loaded_release(&one->seen[i].loaded);
        if (node_want(w, one->at, &want, 2 * w->is.hard_ns, looked, one) < 0) {
            looked(w, one, &(fb_gate_action){.result = FB_ENOMEM});
        }
    }
}

static void begin(world *w, void *arg) {
    deal *one = arg;
    if (!one->at->alive) {
        return;
    }
    one->life = one->at->life;
    for (uint32_t i = 0; i < one->count; i++) {
        change_begins(w, one->parts[i]);
    }
    look(w, one);
    node_drain(w, one->at);
}

// ----

static bool is_number(const key *of) {
    return of->kind == KEY_COUNT || of->kind == KEY_EDIT;
}

static key *partner(world *w, const key *of) {
    uint32_t first = world_pick(w, w->is.keys);
    uint32_t partition = fb_partition_of(of->name, w->is.partitions);
    for (uint32_t i = 0; i < w->is.keys; i++) {
        key *other = &w->keys[(first + i) % w->is.keys];
        bool fits = !w->is.cluster || fb_partition_of(other->name, w->is.partitions) == partition;
        if (other != of && is_number(other) && fits && other->version_count < DIGITS_MAX) {
            return other;
        }
    }
    return NULL;
}

static bool add_part(world *w, deal *one, key *of) {
    change *part = change_make(w, one->at, of, CHANGE_DEAL);
    if (part == NULL) {
        return false;
    }
    part->made = of->version_count++;
    (void)snprintf(part->text, sizeof part->text, "deal digit %u", part->made);
    one->parts[one->count++] = part;
    return true;
}

void deal_begin(world *w, node *at, key *of) {
    deal *one = world_new(w, sizeof *one);
    key *other = partner(w, of);
    *one = (deal){.at = at, .next = w->deals};
    w->deals = one;
    for (uint32_t i = 0; i < 2; i++) {
        fb_loaded_init(&one->seen[i].loaded);
        fb_loaded_init(&one->values[i]);
    }
    if (add_part(w, one, of) && (other == NULL || add_part(w, one, other))) {
        world_at(w, w->now_ns, begin, one);
    }
}

void deals_end(world *w) {
    for (deal *one = w->deals; one != NULL; one = one->next) {
        release(one);
    }
    w->deals = NULL;
}

// ---- both or none

// What somebody read of it in the end; false: nobody found anything.
static bool last_number(const world *w, const key *of, int64_t *number) {
    for (uint32_t i = w->first_of_last; i <= w->caller_count; i++) {
        const caller *who = &w->callers[i];
        if (who->of == of && who->got.ptr != NULL && fb_str_int(who->got, number) == FB_OK) {
            return true;
        }
    }
    return false;
}

// What a fail-over took, or an edit during an outage overwrote, says nothing.
static bool is_whole(const world *w, const key *of) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        if (one->of == of && (one->lost_ns != INT64_MAX ||
                              (one->in_force && one->reached == FB_REACH_LOCAL))) {
            return false;
        }
    }
    return w->shared.losses == 0;
}

void deals_check(world *w) {
    for (const deal *one = w->deals; one != NULL; one = one->next) {
        int64_t numbers[2];
        bool told = one->count == 2;
        for (uint32_t i = 0; i < 2 && told; i++) {
            const key *of = one->parts[i]->of;
            told = is_whole(w, of) && last_number(w, of, &numbers[i]);
        }
        if (!told) {
            continue;
        }
        bool first = (numbers[0] & change_digit(one->parts[0]->made)) != 0;
        bool second = (numbers[1] & change_digit(one->parts[1]->made)) != 0;
        w->seen->deals_checked++;
        if (first != second) {
            world_fail(w, "a deal of n%u was done by half: %s is %" PRId64 ", %s %" PRId64,
                       one->at->index, one->parts[0]->of->text, numbers[0],
                       one->parts[1]->of->text, numbers[1]);
        }
    }
}
