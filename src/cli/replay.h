// cli/replay.h -- a trace replayed through the memory tier: look up, and store what is missed.

#ifndef FB_CLI_REPLAY_H
#define FB_CLI_REPLAY_H

#include "cli/trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_replay {
    // What is asked: one of the two.
    uint64_t limit_bytes;  // as large as the trace says
    uint32_t room;         // or: as much memory as makes so many objects fit
    bool ignore_sizes;  // every object is of one size, chosen so that `room` of them fill some MiB
    // What came of it.
    uint64_t misses;
    uint64_t refused;  // of the misses: objects that are larger than the memory tier takes
    double residents;  // objects in memory, mean from the first eviction on (else at the end)
    uint64_t residents_max;
    uint64_t memory_bytes;  // the limit that it ran with
    double scale;           // sizes were multiplied with
    uint64_t index_evictions;
    double request_ns;
} fb_replay;

// FB_OK; FB_EINVAL (a limit that is too small); FB_ENOMEM. With `room` the trace is replayed up to
// seven times, until the mean number of residents is within 0.5 % of it, or 0.3 objects.
FB_CHECK_RESULT int fb_replay_run(const fb_trace *trace, fb_replay *replay);

#ifdef __cplusplus
}
#endif

#endif
