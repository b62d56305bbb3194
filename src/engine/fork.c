// After fork() a child has the engine's memory, and none of its threads: who waited for one of them
// would wait for ever, and so would who takes a lock that another thread held at that moment. There
// is no mending that from inside the child, so every call that is given an engine looks first
// whether it is this process's: one comparison of a number in the engine with one that each fork()
// counts up. A call of the child's is a mistake of the program and ends in the panic hook, with the
// reason in words, instead of a hang that nobody can explain. fb_close() returns without doing
// anything: exit handlers may well call it.
//
// The number is written in the child before fork() returns there, when it has one thread.
// posix_spawn() and vfork() run no handlers, and their children only exec.
//
// What was tried: refusing with FB_ECLOSED. It reads as if the engine were closing, and calls that
// return nothing could not say it.

#include "engine/engine.h"

#include <pthread.h>

#include "base/check.h"

uint32_t fb_engine_forks;

static void count_fork(void) {
    fb_engine_forks++;
}

static void begin_counting(void) {
    // Out of memory: as if there were no check.
    FB_IGNORE(pthread_atfork(NULL, NULL, count_fork) != 0);
}

uint32_t fb_engine_process(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, begin_counting);
    return fb_engine_forks;
}

void fb_engine_of_parent(void) {
    fb_panic(__FILE__, __LINE__,
             "the engine is the process's that opened it; after fork() the child opens its own");
}
