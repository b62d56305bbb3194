// The engine looks at its queues once a second while somebody is interested; whoever comes for the first
// time in a while finds old lengths, or none. These are asked for here, all at once.

#include "node/roll.h"

#include "base/mem.h"
#include "base/str.h"

typedef struct roll {
    fb_roll_fn fn;
    void *arg;
    fb_queue_figures *queues;
    size_t count, room;
    bool failed;
    size_t left;  // that are not answered, and one until all have been asked
} roll;

typedef struct looking {
    roll *all;
    size_t at;
} looking;

static void take(void *arg, const fb_queue_figures *figures) {
    roll *all = arg;
    if (all->count == all->room && !all->failed) {
        size_t room = all->room > 0 ? 2 * all->room : 8;
        fb_queue_figures *queues = fb_mem_resize(all->queues, room * sizeof *queues);
        all->failed = queues == NULL;
        all->queues = queues != NULL ? queues : all->queues;
        all->room = queues != NULL ? room : all->room;
    }
    if (!all->failed) {
        all->queues[all->count++] = *figures;
    }
}

static void one_less(roll *all) {
    if (--all->left > 0) {
        return;
    }
    all->fn(all->arg, all->failed ? FB_ENOMEM : FB_OK, all->queues, all->failed ? 0 : all->count);
    fb_mem_free(all->queues);
    fb_mem_free(all);
}

static void looked(void *arg, const fb_queue_answer *answer) {
    looking *one = arg;
    roll *all = one->all;
    if (answer->result == FB_OK) {
        all->queues[one->at].look = answer->look;
        all->queues[one->at].reachable = true;
    }
    fb_mem_free(one);
    one_less(all);
}

static void look(fb_engine *engine, roll *all, size_t at) {
    fb_error error;
    looking *one = fb_mem_new(sizeof *one);
    if (one == NULL) {
        return;
    }
    *one = (looking){all, at};
    fb_queue_call call = {.verb = FB_QUEUE_LOOK, .queue = fb_str_of(all->queues[at].name)};
    all->left++;
    if (fb_queue_start(engine, &call, looked, one, NULL, &error) < 0) {
        all->left--;
        fb_mem_free(one);
    }
}

void fb_roll_read(fb_engine *engine, fb_roll_fn fn, void *arg) {
    roll *all = fb_mem_zero(1, sizeof *all);
    if (all == NULL) {
        fn(arg, FB_ENOMEM, NULL, 0);
        return;
    }
    all->fn = fn;
    all->arg = arg;
    all->left = 1;
    all->failed = fb_queue_figures_read(engine, take, all) < 0 || all->failed;
    for (size_t i = 0; !all->failed && i < all->count; i++) {
        if (!all->queues[i].reachable) {
            look(engine, all, i);
        }
    }
    one_less(all);
}
