// Miss ratios on synthetic traces: the memory tier as it is, beside policies that are exact and
// count objects, at a thousandth, a hundredth and a tenth of the distinct objects. The engine's
// memory is such that as many objects are resident on average. docs/eviction.md tells what is in
// the traces. Deterministic but for the last digit: from one seed.
//
//   bench_trace [requests [part of a trace's name [seed]]]

#include "trace_policies.h"

#include "../tests/support/traces.h"

#include "cli/policy.h"
#include "cli/replay.h"

#include <stdio.h>

enum { REQUESTS = 400000, SEED = 42, OBJECTS_MIN = 16 };

static uint64_t misses_of_lru(const keys *asked, uint32_t room) {
    uint64_t misses = 0;
    return fb_policy_lru(asked->at, asked->count, asked->distinct, room, &misses) == FB_OK ? misses
                                                                                           : 0;
}

static uint64_t misses_of_s3fifo(const keys *asked, uint32_t room) {
    uint64_t misses = 0;
    int result = fb_policy_s3fifo(asked->at, asked->count, asked->distinct, room, &misses);
    return result == FB_OK ? misses : 0;
}

static uint64_t misses_of_ours(const keys *asked, uint32_t room) {
    fb_trace replayed = {.keys = (uint32_t *)(uintptr_t)asked->at,
                         .count = asked->count,
                         .distinct = asked->distinct};
    fb_replay replay = {.room = room};
    return fb_replay_run(&replayed, &replay) == FB_OK ? replay.misses : 0;
}

static const struct {
    const char *name;
    policy_fn misses;
} POLICIES[] = {
    {"LRU", misses_of_lru},        {"SIEVE", misses_of_sieve},  {"ARC", misses_of_arc},
    {"2Q", misses_of_2q},          {"LIRS", misses_of_lirs},    {"TinyLFU", misses_of_tinylfu},
    {"S3-FIFO", misses_of_s3fifo}, {"forebay", misses_of_ours}, {"Belady", misses_of_belady},
};
enum { POLICY_COUNT = sizeof(POLICIES) / sizeof(POLICIES[0]) };

static const double SHARES[] = {0.001, 0.01, 0.1};
enum { SHARE_COUNT = 3 };

static void show(const char *name, const char *size, const double *ratios) {
    printf("%-15s %7s", name, size);
    for (unsigned i = 0; i < POLICY_COUNT; i++) {
        printf(" %7.2f", ratios[i]);
    }
    printf("\n");
    (void)fflush(stdout);
}

static void run(const trace_kind *kind, size_t count, uint64_t seed,
                double sums[SHARE_COUNT][POLICY_COUNT]) {
    trace made = trace_make(kind, count, seed + (uint64_t)(kind - TRACE_KINDS));
    keys all = {made.keys, made.count, made.distinct};
    for (unsigned share = 0; share < SHARE_COUNT; share++) {
        double ratios[POLICY_COUNT];
        char size[16];
        uint32_t room = (uint32_t)(SHARES[share] * made.distinct);
        room = room < OBJECTS_MIN ? OBJECTS_MIN : room;
        for (unsigned i = 0; i < POLICY_COUNT; i++) {
            ratios[i] = 100.0 * (double)POLICIES[i].misses(&all, room) / (double)made.count;
            sums[share][i] += ratios[i];
        }
        snprintf(size, sizeof(size), "%u", room);
        show(kind->name, size, ratios);
    }
    free(made.keys);
}

int main(int argc, char **argv) {
    size_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : REQUESTS;
    uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : SEED;
    double sums[SHARE_COUNT][POLICY_COUNT] = {0};
    unsigned traces = 0;
    printf("Miss ratios in %%, %zu requests a trace\n\n%-15s %7s", count, "", "objects");
    for (unsigned i = 0; i < POLICY_COUNT; i++) {
        printf(" %7s", POLICIES[i].name);
    }
    printf("\n");
    for (unsigned i = 0; i < TRACE_KIND_COUNT; i++) {
        if (argc < 3 || strstr(TRACE_KINDS[i].name, argv[2]) != NULL) {
            run(&TRACE_KINDS[i], count, seed, sums);
            traces++;
        }
    }
    for (unsigned share = 0; share < SHARE_COUNT && traces > 0; share++) {
        char size[16];
        snprintf(size, sizeof(size), "%g %%", 100 * SHARES[share]);
        for (unsigned i = 0; i < POLICY_COUNT; i++) {
            sums[share][i] /= traces;
        }
        show("mean", size, sums[share]);
    }
    return 0;
}
