// A worker until somebody says stop: for a main() that is nothing else.
//
// fb_worker_stop() may come from a signal handler, and before the worker runs. So it raises a flag
// and a semaphore, which a handler may; every run that ends passes the word on to the next, and the
// last one takes it back, for whoever begins another one.

#include "engine/worker_inside.h"

#include <errno.h>
#include <semaphore.h>

#include "base/check.h"

static sem_t word;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic(bool) stopped, ready;
static _Atomic(uint32_t) runs;

static void make_word(void) {
    int result = sem_init(&word, 0, 0);
    FB_ASSERT(result == 0);
    atomic_store(&ready, true);
}

void fb_worker_stop(void) {
    int kept = errno;
    atomic_store(&stopped, true);
    if (atomic_load(&ready)) {
        (void)sem_post(&word);
    }
    errno = kept;
}

static void wait_for_word(void) {
    // The flag is what counts: a word may be one too many.
    while (!atomic_load(&stopped)) {
        (void)sem_wait(&word);
    }
}

int fb_worker_run(fb_engine *engine, const fb_worker_options *options, int64_t drain_ms,
                  fb_error *error) {
    fb_engine_ours(engine);
    fb_worker *worker = NULL;
    (void)pthread_once(&once, make_word);
    atomic_fetch_add(&runs, 1);
    int result = fb_worker_new(engine, options, &worker, error);
    if (result == FB_OK) {
        wait_for_word();
    }
    if (atomic_fetch_sub(&runs, 1) == 1) {
        atomic_store(&stopped, false);
    } else {
        (void)sem_post(&word);
    }
    fb_worker_free(worker, drain_ms);
    return result;
}
