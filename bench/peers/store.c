// The memory tier as one of the peers of bench_peers: bench/peers/README.md has the protocol.

#include <forebay/store.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli/bench_crew.h"

// The store's own part of an entry, for choosing a limit.
enum { OVERHEAD = 40, PAYLOAD = 124, OPS = 500000 };

static fb_store *make_store(uint64_t limit) {
    fb_store_options options = {.limit_bytes = limit, .seed = 1};
    fb_store *store;
    if (fb_store_new(&options, &store) < 0) {
        fputs("peer forebay: not enough memory\n", stderr);
        exit(1);
    }
    return store;
}

static void fill(fb_store *store, uint32_t entries) {
    char bytes[FB_KEYS_LEN_MAX], value[FB_KEYS_VALUE_LEN];
    for (uint32_t i = 0; i < entries; i++) {
        fb_str key = {bytes, fb_keys_write(i, bytes)};
        fb_keys_value(key, value, sizeof value);
        fb_item item = {.key = key, .value = {value, sizeof value}};
        (void)!fb_store_put(store, &item, 1, NULL);
    }
}

static uint64_t limit_of(uint64_t entries) {
    uint64_t limit = entries * (PAYLOAD + OVERHEAD);
    return limit > FB_STORE_LIMIT_MIN ? limit : FB_STORE_LIMIT_MIN;
}

int main(int argc, char **argv) {
    static fb_crew_part parts[FB_CREW_THREADS_MAX];
    uint32_t entries = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 10000;
    fb_store *roomy = make_store(limit_of(entries) * 5 / 4 + (4 << 20));
    fb_store *tight = make_store(limit_of(entries / 2));
    fb_store_stats stats;
    fb_keys keys;
    char line[100], word[20];
    unsigned threads;
    uint64_t round = 0;
    if (fb_keys_new(&keys, (size_t)OPS * 4) < 0) {
        return 1;
    }
    fill(roomy, entries);
    fill(tight, entries);
    fb_store_stats_read(tight, &stats);
    printf("ready %.1f\n", (double)stats.limit_bytes / (double)stats.items);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL && sscanf(line, "%19s %u", word, &threads) == 2 &&
           threads > 0 && threads <= FB_CREW_THREADS_MAX) {
        fb_memory_sample sample = {0};
        bool mix = strcmp(word, "mix") == 0;
        fb_keys_draw(&keys, entries, ++round);
        for (unsigned i = 0; i < threads; i++) {
            parts[i] = (fb_crew_part){.work = mix ? FB_MEMORY_MIX : FB_MEMORY_HIT,
                                      .store = mix ? tight : roomy,
                                      .warm_ops = OPS,
                                      .ops = OPS};
            fb_keys_begin(&parts[i].place, &keys, (double)i / threads);
        }
        if (fb_crew_run(parts, threads, &sample) < 0) {
            return 1;
        }
        printf("%.2f %.2f %.4f\n", sample.cpu_ns, sample.elapsed_ns, sample.hit_ratio);
        fflush(stdout);
    }
    fb_keys_release(&keys);
    fb_store_free(tight);
    fb_store_free(roomy);
    return 0;
}
