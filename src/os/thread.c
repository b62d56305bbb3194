// A program's signal handlers expect its own threads: one that interrupted a worker in the middle
// of a query would run on a stack and under locks that it knows nothing of. A new thread has the
// mask of the one that makes it, so that one blocks what it must not get, for the moment.

#include "os/thread.h"

#include <signal.h>

int fb_thread_start(pthread_t *thread, const char *name, void *(*fn)(void *arg), void *arg) {
    static const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGPROF};
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        sigdelset(&blocked, kept[i]);
    }
    (void)pthread_sigmask(SIG_BLOCK, &blocked, &before);
    int failed = pthread_create(thread, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed != 0) {
        return FB_EIO;
    }
    (void)pthread_setname_np(*thread, name);  // for people who look; it works without
    return FB_OK;
}
