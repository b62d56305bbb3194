// Buffers that a thread keeps from one call to the next, so that a hit allocates nothing. They go
// with their thread.

#include "engine/engine.h"

#include "base/mem.h"
#include "os/clock.h"

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local fb_scratch *mine;

static void drop(void *arg) {
    fb_scratch *scratch = arg;
    fb_buf_release(&scratch->bind);
    fb_buf_release(&scratch->copy);
    fb_buf_release(&scratch->packed);
    fb_mem_free(scratch);
    mine = NULL;
}

static void make_key(void) {
    (void)pthread_key_create(&key, drop);
}

static fb_scratch *make(void) {
    pthread_once(&once, make_key);
    fb_scratch *scratch = fb_mem_zero(1, sizeof *scratch);
    if (scratch == NULL || pthread_setspecific(key, scratch) != 0) {
        fb_mem_free(scratch);
        return NULL;
    }
    fb_rng_init(&scratch->rng, (uint64_t)fb_clock_now_ns() ^ (uint64_t)(uintptr_t)scratch);
    mine = scratch;
    return scratch;
}

fb_scratch *fb_scratch_get(void) {
    return mine != NULL ? mine : make();
}
