// cli/bench_crew.h -- threads that do one kind of work on a store at the same time, and how long it
// took each of them.
//
// Threads: fb_crew_run() starts them and waits for them; one crew at a time.

#ifndef FB_CLI_BENCH_CREW_H
#define FB_CLI_BENCH_CREW_H

#include <forebay/store.h>

#include <pthread.h>

#include "cli/bench_keys.h"
#include "cli/bench_memory.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_CREW_THREADS_MAX = 64, FB_CREW_BATCH = 16, FB_CREW_ROOM = 128 };

// 1 GiB of private memory in pages of 4 KiB (no huge ones), through every cache line of which one
// random circle of addresses goes.
typedef struct fb_ring {
    void *lines;
    size_t byte_count;
} fb_ring;

// FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_ring_new(fb_ring *ring, size_t byte_count);
void fb_ring_free(fb_ring *ring);

// Where threads wait for one another.
typedef struct fb_crew_gate {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t wanted, waiting;
    uint64_t times;  // it has opened
    bool off;        // not all could be started: go home
} fb_crew_gate;

// One thread's part; what it leaves behind is where it goes on the next time.
typedef struct fb_crew_part {
    fb_memory_work work;
    fb_store *store;  // all but READ
    fb_keys_place place;
    void **at;               // READ: in the ring
    uint64_t warm_ops, ops;  // before the clock runs, and under it; multiples of FB_CREW_BATCH
    int processor;           // to run on; -1: any
    fb_crew_gate *gate;
    int64_t cpu_ns, begun_ns, ended_ns;
    uint64_t hits, wrong;
    char bytes[FB_CREW_BATCH * FB_CREW_ROOM];
} fb_crew_part;

// FB_OK, or FB_EIO: no threads to be had. The sample's read_ns is left alone.
FB_CHECK_RESULT int fb_crew_run(fb_crew_part *parts, size_t part_count, fb_memory_sample *sample);

// Which processors this process may run on, at most `room` of them; returns how many there are.
size_t fb_crew_processors(int *numbers, size_t room);

#ifdef __cplusplus
}
#endif

#endif
