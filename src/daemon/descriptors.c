// RLIMIT_NOFILE. The soft limit is what programs with select() need, of which we are none; up to
// the hard one any process may raise it by itself. Not beyond what is of use: some systems have a
// hard limit of a thousand million, and tools that walk all numbers up to it.

#include "daemon/descriptors.h"

#include <sys/resource.h>

#include "base/log.h"

// What is open besides clients: databases, the shared tier's connections, listeners, logs.
enum { RESERVE = 128, USE_MAX = 65536 };

void fb_descriptors_raise(fb_node *node) {
    struct rlimit limit;
    uint64_t most = atomic_load(&node->connections_max);
    uint64_t wanted = (most > USE_MAX ? most : USE_MAX) + RESERVE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = limit;
        raised.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        limit = setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised : limit;
    }
    uint64_t possible = limit.rlim_cur > 2 * RESERVE ? limit.rlim_cur - RESERVE : limit.rlim_cur / 2;
    atomic_store(&node->connections_possible, possible);
    if (most > possible) {
        atomic_store(&node->connections_max, possible);
        fb_log(FB_LOG_WARN, "descriptors_short",
               "connections=%llu wanted=%llu descriptors=%llu hint=\"listen.connections needs a "
               "higher limit of open files: ulimit -n, or LimitNOFILE= of the unit\"",
               (unsigned long long)possible, (unsigned long long)most,
               (unsigned long long)limit.rlim_cur);
    }
}
