// traces.h -- synthetic traces from a seed: what real ones are made of, one thing at a time, and
// mixed. Keys are numbers; trace_make() renumbers them by first use. Header-only.

#ifndef FB_TESTS_TRACES_H
#define FB_TESTS_TRACES_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

typedef struct trace {
    uint32_t *keys;
    size_t count;
    uint32_t distinct;
    fb_rng rng;
} trace;

// A distribution over ranks 0 … n-1 with weights (rank + 1)^-alpha, by inverting sums.
typedef struct zipf {
    double *sums;
    uint32_t n;
} zipf;

static inline zipf zipf_new(uint32_t n, double alpha) {
    zipf dist = {.sums = calloc(n, sizeof(double)), .n = n};
    double sum = 0;
    for (uint32_t i = 0; i < n && dist.sums != NULL; i++) {
        dist.sums[i] = sum += pow(i + 1.0, -alpha);
    }
    return dist;
}

static inline uint32_t zipf_next(const zipf *dist, fb_rng *rng) {
    double at = fb_rng_unit(rng) * dist->sums[dist->n - 1];
    uint32_t low = 0;
    for (uint32_t high = dist->n - 1; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (dist->sums[middle] < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static inline void trace_add(trace *made, uint32_t key, size_t count_max) {
    if (made->count < count_max) {
        made->keys[made->count++] = key;
    }
}

// Every generator adds keys until the trace has `count` requests.
typedef void (*trace_fn)(trace *made, size_t count);

static inline void add_zipf(trace *made, size_t count, uint32_t base, uint32_t n, double alpha) {
    zipf dist = zipf_new(n, alpha);
    while (made->count < count) {
        trace_add(made, base + zipf_next(&dist, &made->rng), count);
    }
    free(dist.sums);
}

static inline void trace_zipf_06(trace *made, size_t count) {
    add_zipf(made, count, 0, (uint32_t)(count / 8), 0.6);
}
static inline void trace_zipf_08(trace *made, size_t count) {
    add_zipf(made, count, 0, (uint32_t)(count / 8), 0.8);
}
static inline void trace_zipf_099(trace *made, size_t count) {
    add_zipf(made, count, 0, (uint32_t)(count / 8), 0.99);
}
static inline void trace_zipf_12(trace *made, size_t count) {
    add_zipf(made, count, 0, (uint32_t)(count / 8), 1.2);
}

// One loop over everything: ten times the largest cache.
static inline void trace_loop(trace *made, size_t count) {
    for (uint32_t i = 0; made->count < count; i++) {
        trace_add(made, i % (uint32_t)(count / 20), count);
    }
}

// A loop a little larger than a tenth of everything, then such a scan as makes it a tenth.
static inline void add_loop_of(trace *made, size_t count, double share) {
    uint32_t all = (uint32_t)(count / 10);
    uint32_t length = (uint32_t)(all * share);
    uint32_t fresh = 1U << 30;
    for (uint32_t i = 0; made->count < count; i++) {
        trace_add(made, i % length, count);
        if (i % 10 == 9) {
            trace_add(made, fresh++, count);
        }
    }
}
static inline void trace_loop_012(trace *made, size_t count) {
    add_loop_of(made, count, 0.12);
}
static inline void trace_loop_015(trace *made, size_t count) {
    add_loop_of(made, count, 0.15);
}
static inline void trace_loop_03(trace *made, size_t count) {
    add_loop_of(made, count, 0.3);
}

// Zipf, interrupted by scans of what is never seen again, each 4 % of the keys.
static inline void trace_zipf_scans(trace *made, size_t count) {
    uint32_t n = (uint32_t)(count / 16);
    zipf dist = zipf_new(n, 0.9);
    uint32_t fresh = 1U << 30;
    while (made->count < count) {
        for (uint32_t i = 0; i < n; i++) {
            trace_add(made, zipf_next(&dist, &made->rng), count);
        }
        for (uint32_t i = 0; i < n / 8; i++) {
            trace_add(made, fresh++, count);
        }
    }
    free(dist.sums);
}

// Zipf and a loop, request by request.
static inline void trace_zipf_loop(trace *made, size_t count) {
    uint32_t n = (uint32_t)(count / 16);
    zipf dist = zipf_new(n, 1.0);
    for (uint32_t i = 0; made->count < count; i++) {
        trace_add(made, zipf_next(&dist, &made->rng), count);
        trace_add(made, (1U << 30) + i % (n / 2), count);
    }
    free(dist.sums);
}

// A working set that moves: ranks are counted back from an end that moves on.
static inline void trace_shifting(trace *made, size_t count) {
    uint32_t n = (uint32_t)(count / 20);
    zipf dist = zipf_new(n, 0.8);
    while (made->count < count) {
        uint32_t end = n + (uint32_t)(made->count / 10);
        trace_add(made, end - zipf_next(&dist, &made->rng), count);
    }
    free(dist.sums);
}

// Half of the requests are for what is asked for once.
static inline void trace_one_hit(trace *made, size_t count) {
    uint32_t n = (uint32_t)(count / 20);
    zipf dist = zipf_new(n, 0.9);
    uint32_t fresh = 1U << 30;
    while (made->count < count) {
        bool once = fb_rng_below(&made->rng, 3) == 0;
        trace_add(made, once ? fresh++ : zipf_next(&dist, &made->rng), count);
    }
    free(dist.sums);
}

// Zipf over one set of keys, then over another.
static inline void trace_two_phase(trace *made, size_t count) {
    add_zipf(made, count / 2, 0, (uint32_t)(count / 20), 0.9);
    add_zipf(made, count, 1U << 30, (uint32_t)(count / 20), 0.9);
}

// Zipf, then a loop, then zipf: what has adapted must adapt again.
static inline void trace_zipf_then_loop(trace *made, size_t count) {
    uint32_t n = (uint32_t)(count / 20);
    add_zipf(made, count * 2 / 5, 0, n, 0.9);
    for (uint32_t i = 0; made->count < count * 7 / 10; i++) {
        trace_add(made, (1U << 30) + i % (n / 4), count);
    }
    add_zipf(made, count, 0, n, 0.9);
}

// What was asked for a while ago comes again, the sooner the likelier: LRU's own ground.
static inline void add_recent(trace *made, size_t count, double again, double power) {
    uint32_t fresh = 0;
    while (made->count < count) {
        double back = pow(fb_rng_unit(&made->rng), -power);
        if (fb_rng_unit(&made->rng) < again && back <= (double)made->count) {
            trace_add(made, made->keys[made->count - (size_t)back], count);
        } else {
            trace_add(made, fresh++, count);
        }
    }
}
static inline void trace_recent(trace *made, size_t count) {
    add_recent(made, count, 0.85, 2.0);
}

// As of a disk: sequential runs over files, some of them again and again, hot blocks, and what was
// just used.
static inline void trace_block(trace *made, size_t count) {
    enum { FILES = 400 };
    uint32_t all = (uint32_t)(count / 8);
    zipf files = zipf_new(FILES, 0.7);
    zipf hot = zipf_new(all / 8, 0.9);
    while (made->count < count) {
        unsigned kind = (unsigned)fb_rng_below(&made->rng, 10);
        if (kind < 3) {
            uint32_t file = zipf_next(&files, &made->rng);
            uint32_t length = all / FILES / 4 + file * 37 % (all / FILES);
            for (uint32_t i = 0; i < length; i++) {
                trace_add(made, (1U << 30) + file * (all / FILES * 2) + i, count);
            }
        } else {
            for (unsigned i = 0; i < all / 1000; i++) {
                double back = pow(fb_rng_unit(&made->rng), -2.0);
                if (i % 2 == 0 && back < (double)made->count) {
                    trace_add(made, made->keys[made->count - (size_t)back], count);
                } else {
                    trace_add(made, zipf_next(&hot, &made->rng), count);
                }
            }
        }
    }
    free(files.sums);
    free(hot.sums);
}

// As of a CDN: objects are born, asked for often at first, and age; a third are asked for once.
static inline void trace_cdn(trace *made, size_t count) {
    zipf dist = zipf_new((uint32_t)(count / 12), 0.75);
    uint32_t fresh = 1U << 30;
    while (made->count < count) {
        uint32_t rank = zipf_next(&dist, &made->rng);
        // Every rank is taken by a new object now and then, the top ones oftener.
        uint32_t age = (uint32_t)(made->count / (20000 + 200 * (size_t)rank));
        bool once = fb_rng_below(&made->rng, 6) == 0;
        trace_add(made, once ? fresh++ : rank + age * 1000003U % (1U << 30), count);
    }
    free(dist.sums);
}

typedef struct trace_kind {
    const char *name;
    trace_fn fill;
} trace_kind;

static const trace_kind TRACE_KINDS[] = {
    {"zipf 0.6", trace_zipf_06},
    {"zipf 0.8", trace_zipf_08},
    {"zipf 0.99", trace_zipf_099},
    {"zipf 1.2", trace_zipf_12},
    {"loop 10x", trace_loop},
    {"loop 0.12", trace_loop_012},
    {"loop 0.15", trace_loop_015},
    {"loop 0.3", trace_loop_03},
    {"zipf, scans", trace_zipf_scans},
    {"zipf, loop", trace_zipf_loop},
    {"shifting", trace_shifting},
    {"one-hit", trace_one_hit},
    {"two phases", trace_two_phase},
    {"zipf/loop/zipf", trace_zipf_then_loop},
    {"recent", trace_recent},
    {"block", trace_block},
    {"CDN", trace_cdn},
};
enum { TRACE_KIND_COUNT = sizeof(TRACE_KINDS) / sizeof(TRACE_KINDS[0]) };

// Numbers the keys from 0 in the order of their first use.
static inline void trace_renumber(trace *made) {
    size_t slots = 1;
    while (slots < made->count * 2) {
        slots *= 2;
    }
    uint64_t *table = calloc(slots, sizeof(*table));  // key + 1, its number
    for (size_t i = 0; i < made->count && table != NULL; i++) {
        uint64_t key = made->keys[i] + UINT64_C(1);
        size_t at = (key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (slots - 1);
        while (table[at] != 0 && table[at] >> 32 != key) {
            at = (at + 1) & (slots - 1);
        }
        if (table[at] == 0) {
            table[at] = key << 32 | made->distinct++;
        }
        made->keys[i] = (uint32_t)table[at];
    }
    free(table);
}

static inline trace trace_make(const trace_kind *kind, size_t count, uint64_t seed) {
    trace made = {.keys = calloc(count, sizeof(uint32_t))};
    fb_rng_init(&made.rng, seed);
    kind->fill(&made, count);
    trace_renumber(&made);
    return made;
}

#endif
