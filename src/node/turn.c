// A lock that many hold and one now and then holds alone, made for the many: each loop counts itself in
// and out on a cache line of its own, and looks at one flag that hardly ever changes. (A reader-writer
// lock has its count of readers on one line, which all loops would then write at every feed.)
//
// Who enters first counts himself in, then looks whether the turn is claimed; who claims first says so,
// then looks who is inside. One of the two sees the other, since both are in the one order of all
// (seq_cst). Who finds it claimed counts himself out again and sleeps. The same on the way out: who
// leaves counts himself out, then looks whether somebody may be waiting for that.
//
// Two who want to claim at the same time are both inside. So who claims leaves first: he is between two
// commands, and what he was promised begins with his claim. Hence there is no circle of waiting: while
// the turn is claimed, its owner waits for those inside alone, and these for nobody.
//
// The lock and the condition are the process's (as in node.c): they are used only where somebody waits.

#include "node/turn.h"

#include <pthread.h>

#include "base/check.h"

static pthread_mutex_t turn_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;

static void lock(void) {
    int result = pthread_mutex_lock(&turn_lock);
    FB_ASSERT(result == 0);
}

static void unlock(void) {
    int result = pthread_mutex_unlock(&turn_lock);
    FB_ASSERT(result == 0);
}

static void wait_for_change(void) {
    int result = pthread_cond_wait(&turn_changed, &turn_lock);
    FB_ASSERT(result == 0);
}

static void tell_change(void) {
    int result = pthread_cond_broadcast(&turn_changed);
    FB_ASSERT(result == 0);
}

static bool is_claimed(const fb_node *node) {
    return atomic_load(&node->turn_claimed);
}

static bool anybody_inside(const fb_node *node) {
    for (unsigned i = 0; i < FB_NODE_TURN_LANES; i++) {
        if (atomic_load(&node->turn_lanes[i].inside) != 0) {
            return true;
        }
    }
    return false;
}

// What runs on no loop shares the first lane.
unsigned fb_turn_lane(const fb_node *node) {
    int loop = node->engine != NULL ? fb_loop_current(node->engine) : -1;
    return (unsigned)(loop + 1) % FB_NODE_TURN_LANES;
}

void fb_turn_leave(fb_node *node, unsigned lane) {
    uint32_t before = atomic_fetch_sub(&node->turn_lanes[lane].inside, 1);
    FB_ASSERT(before > 0);
    if (is_claimed(node)) {
        lock();
        tell_change();
        unlock();
    }
}

void fb_turn_enter(fb_node *node, unsigned lane) {
    (void)atomic_fetch_add(&node->turn_lanes[lane].inside, 1);
    while (is_claimed(node)) {
        fb_turn_leave(node, lane);
        lock();
        while (is_claimed(node)) {
            wait_for_change();
        }
        unlock();
        (void)atomic_fetch_add(&node->turn_lanes[lane].inside, 1);
    }
}

void fb_turn_claim(fb_node *node, unsigned lane) {
    fb_turn_leave(node, lane);
    lock();
    while (is_claimed(node)) {
        wait_for_change();
    }
    atomic_store(&node->turn_claimed, true);
    while (anybody_inside(node)) {
        wait_for_change();
    }
    unlock();
}

void fb_turn_release(fb_node *node, unsigned lane) {
    (void)atomic_fetch_add(&node->turn_lanes[lane].inside, 1);
    lock();
    atomic_store(&node->turn_claimed, false);
    tell_change();
    unlock();
}
