// What all sessions share. Its two locks are spin locks on a flag: this layer starts no thread and
// knows no mutex; the holds are short, and rare enough (a connection comes or goes, an operator
// asks) that two of them seldom meet.

#include "node/node.h"

static void lock(_Atomic bool *locked) {
    while (atomic_exchange_explicit(locked, true, memory_order_acquire)) {
        while (atomic_load_explicit(locked, memory_order_relaxed)) {
        }
    }
}

static void unlock(_Atomic bool *locked) {
    atomic_store_explicit(locked, false, memory_order_release);
}

const fb_config *fb_node_config_take(fb_node *node) {
    lock(&node->config_locked);
    return node->config;
}

void fb_node_config_give(fb_node *node) {
    unlock(&node->config_locked);
}

const fb_config *fb_node_config_swap(fb_node *node, const fb_config *config) {
    lock(&node->config_locked);
    const fb_config *before = node->config;
    node->config = config;
    unlock(&node->config_locked);
    return before;
}

void fb_node_sessions_lock(fb_node *node) {
    lock(&node->sessions_locked);
}

void fb_node_sessions_unlock(fb_node *node) {
    unlock(&node->sessions_locked);
}
