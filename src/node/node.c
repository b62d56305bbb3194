// What all sessions share, and its two locks.
//
// They are the process's, not the node's: a node is a plain struct that is zeroed and filled in,
// and there is one a process outside of tests. The holds are short, and rare (a connection comes or
// goes, an operator asks). They were spin locks on a flag at first; but whoever holds one may lose
// the processor, and on a machine with few of them those who wait would burn what he needs to go
// on.

#include "node/node.h"

#include <pthread.h>

#include "base/check.h"

static pthread_mutex_t config_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t sessions_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock(pthread_mutex_t *one) {
    int result = pthread_mutex_lock(one);
    FB_ASSERT(result == 0);
}

static void unlock(pthread_mutex_t *one) {
    int result = pthread_mutex_unlock(one);
    FB_ASSERT(result == 0);
}

const fb_config *fb_node_config_take(fb_node *node) {
    lock(&config_lock);
    return node->config;
}

void fb_node_config_give(fb_node *node) {
    (void)node;
    unlock(&config_lock);
}

const fb_config *fb_node_config_swap(fb_node *node, const fb_config *config) {
    lock(&config_lock);
    const fb_config *before = node->config;
    node->config = config;
    unlock(&config_lock);
    return before;
}

void fb_node_sessions_lock(fb_node *node) {
    (void)node;
    lock(&sessions_lock);
}

void fb_node_sessions_unlock(fb_node *node) {
    (void)node;
    unlock(&sessions_lock);
}
