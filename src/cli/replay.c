// Replaying. The engine counts bytes, simulators count objects; for the two to be compared the
// limit must be such that as many objects are resident as the simulator holds. How many fit in a
// number of bytes depends on what is evicted (half-filled segments, the index), so it is measured:
// the trace is replayed, and where the mean was off the limit is corrected and the trace replayed
// again.
//
// The memory tier takes a MiB at least, and a machine has not any amount of memory. Where fewer
// objects are wanted than fill some MiB, or more than fill 512 MiB, they are made larger or
// smaller: all sizes times one number. A limit that is asked for in bytes is taken as it is.
//
// Keys are the numbers of the trace, 8 bytes each; of an object's size they are a part. What is
// larger than the memory tier takes (an eighth of the limit) is never stored, and so always missed.
// Time in the trace is not used: nothing expires.

#include "cli/replay.h"

#include <forebay/store.h>

#include <string.h>

#include "base/mem.h"
#include "os/clock.h"

enum {
    KEY_BYTES = 8,
    HEADER_BYTES = 16,
    OTHER_BYTES = 20,      // index, ghosts, rounding: a first guess
    OBJECT_WANTED = 8192,  // bytes
    SIZE_FIXED = 64,
    RUNS_MAX = 7,
    SAMPLES = 2000,         // of the number of residents
    ONE_SHARD_BELOW = 8192  // objects: with more shards each would hold too few
};
#define LIMIT_LEAST (UINT64_C(5) << 18)  // the limit where few objects are wanted
#define LIMIT_FINE (UINT64_C(4) << 20)   // and where there are more, so that segments are small
#define LIMIT_MOST (UINT64_C(512) << 20)

typedef struct run {
    const fb_trace *trace;
    fb_replay *replay;
    fb_store *store;
    char *value;  // as long as the largest
    uint64_t value_max;
    double residents_sum;
    uint64_t samples;
} run;

static uint64_t size_of(const run *self, size_t request) {
    const fb_trace *trace = self->trace;
    bool fixed = trace->sizes == NULL || self->replay->ignore_sizes;
    double size = (fixed ? SIZE_FIXED : trace->sizes[request]) * self->replay->scale;
    return size > KEY_BYTES ? (uint64_t)size : KEY_BYTES;
}

static void ignore(void *arg, const fb_item *item) {
    (void)arg;
    (void)item;
}

static int ask(run *self, size_t request) {
    char key[KEY_BYTES] = {0};
    memcpy(key, &self->trace->keys[request], sizeof(uint32_t));
    fb_item item = {.key = {key, KEY_BYTES}};
    if (fb_store_get(self->store, item.key, 0, ignore, NULL) == FB_OK) {
        return FB_OK;
    }
    self->replay->misses++;
    uint64_t size = size_of(self, request);
    if (size > fb_store_value_max(self->store) || size > self->value_max) {
        self->replay->refused++;
        return FB_OK;
    }
    item.value = (fb_str){self->value, size - KEY_BYTES};
    int result = fb_store_put(self->store, &item, 0, NULL);
    if (result == FB_ETOOBIG || result == FB_ENOMEM) {
        self->replay->refused++;
        result = FB_OK;
    }
    return result;
}

static void sample(run *self) {
    fb_store_stats stats;
    fb_store_stats_read(self->store, &stats);
    if (stats.evictions > 0) {
        self->residents_sum += (double)stats.items;
        self->samples++;
        if (stats.items > self->replay->residents_max) {
            self->replay->residents_max = stats.items;
        }
    }
}

static void conclude(run *self, int64_t took_ns) {
    fb_store_stats stats;
    fb_replay *replay = self->replay;
    fb_store_stats_read(self->store, &stats);
    replay->residents =
        self->samples > 0 ? self->residents_sum / (double)self->samples : (double)stats.items;
    replay->residents_max =
        replay->residents_max > stats.items ? replay->residents_max : stats.items;
    replay->index_evictions = stats.index_evictions;
    replay->request_ns = (double)took_ns / (double)self->trace->count;
}

static int replay_once(run *self) {
    fb_replay *replay = self->replay;
    fb_store_options options = {.limit_bytes = replay->memory_bytes,
                                .limit_max_bytes = replay->memory_bytes,
                                .seed = UINT64_C(0x5eed)};
    options.shard_count = replay->room > 0 && replay->room < ONE_SHARD_BELOW ? 1 : 0;
    size_t every = self->trace->count / SAMPLES + 1;
    int64_t aside_ns = 0;
    int result = fb_store_new(&options, &self->store);
    replay->misses = replay->refused = replay->residents_max = 0;
    self->residents_sum = 0;
    self->samples = 0;
    int64_t begun_ns = fb_clock_now_ns();
    for (size_t i = 0; result == FB_OK && i < self->trace->count; i++) {
        result = ask(self, i);
        if (i % every == every - 1) {
            int64_t before_ns = fb_clock_now_ns();
            sample(self);
            aside_ns += fb_clock_now_ns() - before_ns;
        }
    }
    if (result == FB_OK) {
        conclude(self, fb_clock_now_ns() - begun_ns - aside_ns);
    }
    fb_store_free(self->store);
    self->store = NULL;
    return result;
}

// The limit, or the scale of sizes, that so many objects are expected to need.
static void guess(run *self) {
    fb_replay *replay = self->replay;
    const fb_trace *trace = self->trace;
    bool fixed = trace->sizes == NULL || replay->ignore_sizes;
    double mean = fixed ? SIZE_FIXED : (double)trace->bytes / trace->distinct;
    replay->scale = 1;
    if (replay->room == 0) {
        replay->memory_bytes = replay->limit_bytes;
        return;
    }
    double wanted = (mean + HEADER_BYTES + OTHER_BYTES) * replay->room;
    double least = (double)OBJECT_WANTED * replay->room;
    least = least < (double)LIMIT_LEAST  ? (double)LIMIT_LEAST
            : least > (double)LIMIT_FINE ? (double)LIMIT_FINE
                                         : least;
    if (wanted < least) {
        double larger = least / replay->room - HEADER_BYTES - OTHER_BYTES;
        replay->scale = larger > mean ? larger / (mean > 1 ? mean : 1) : 1;
        wanted = least;
    } else if (wanted > (double)LIMIT_MOST) {
        double smaller = (double)LIMIT_MOST / replay->room - HEADER_BYTES - OTHER_BYTES;
        replay->scale = smaller > KEY_BYTES && smaller < mean ? smaller / mean : 1;
        wanted = replay->scale < 1 ? (double)LIMIT_MOST : wanted;
    }
    replay->memory_bytes = (uint64_t)wanted + (UINT64_C(256) << 10);
}

// Whether the number of residents was off, and the limit has been corrected.
static bool correct(fb_replay *replay, uint32_t distinct, unsigned before) {
    double off = replay->residents - replay->room;
    double most = replay->room * 0.005 > 0.3 ? replay->room * 0.005 : 0.3;
    if (replay->room == 0 || (off <= most && off >= -most) || replay->residents < 1 ||
        (off < 0 && replay->residents >= distinct)) {
        return false;
    }
    // The number of residents moves by steps: smaller corrections after some, or it would go to and
    // fro around the right one.
    double factor = 1 + (replay->room / replay->residents - 1) / (before < 2 ? 1 : 2);
    if ((double)replay->memory_bytes * factor < (double)LIMIT_LEAST && replay->scale > 0) {
        replay->scale /= factor;
    } else {
        replay->memory_bytes = (uint64_t)((double)replay->memory_bytes * factor);
    }
    return true;
}

int fb_replay_run(const fb_trace *trace, fb_replay *replay) {
    run self = {.trace = trace, .replay = replay, .value_max = KEY_BYTES};
    guess(&self);
    for (size_t i = 0; i < trace->count; i++) {
        uint64_t size = size_of(&self, i);
        self.value_max = size > self.value_max ? size : self.value_max;
    }
    uint64_t most = replay->memory_bytes / 4;  // more is refused whatever becomes of the limit
    self.value_max = self.value_max < most ? 2 * self.value_max : most;  // sizes may yet be scaled
    self.value = fb_mem_zero(1, self.value_max);
    if (self.value == NULL) {
        return FB_ENOMEM;
    }
    int result = FB_OK;
    for (unsigned i = 0; i < RUNS_MAX; i++) {
        result = replay_once(&self);
        if (result != FB_OK || i == RUNS_MAX - 1 || !correct(replay, trace->distinct, i)) {
            break;
        }
    }
    fb_mem_free(self.value);
    return result;
}
