// forebay bench memory --churn: whether the store keeps to its limit in what the process really has
// in memory, with everything that makes heaps grow: sizes from a few bytes to megabytes, whose mix
// changes every few seconds (what fits one size fits not the next), lifetimes from milliseconds to
// half a minute, deletes, and more keys than there is room for.
//
// What counts is the growth of the process's resident memory since just before the store was made.
// By then the threads are there and have touched all they use, so that nothing else grows. The main
// thread looks every few milliseconds, and sweeps, as the owner of a store does.

#include <stdatomic.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "cli/bench_crew.h"
#include "cli/bench_memory.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
    KEYS = 1 << 20,
    VALUE_ROOM = 4 << 20,
    PHASE_SECONDS = 3,
    LOOK_MS = 5,
    SWEEP_ITEMS = 4000,
    LIFE_MS_MAX = 30000
};

typedef struct churn {
    fb_store *store;
    size_t value_max;
    atomic_bool open, over;
    atomic_uint ready;
    int64_t begun_ns;
} churn;

typedef struct churner {
    churn *all;
    fb_rng rng;
    fb_zipf zipf;
    char *value, *copy;
    uint64_t gets, hits, puts, dels, refused, wrong;
    pthread_t thread;
} churner;

// ---- one thread

// Small ones mostly, their middle moving from phase to phase; one of 100 of tens of KiB, one of
// 3,000 of up to 4 MiB.
static size_t pick_len(churner *self, int64_t now_ns) {
    static const size_t MIDDLES[] = {64, 2048, 300, 8192, 100, 900};
    size_t phase = (size_t)((now_ns - self->all->begun_ns) / (PHASE_SECONDS * INT64_C(1000000000)));
    uint64_t chance = fb_rng_below(&self->rng, 3000);
    size_t len = chance == 0   ? fb_rng_below(&self->rng, VALUE_ROOM)
                 : chance < 30 ? 16384 + fb_rng_below(&self->rng, 131072)
                               : fb_rng_below(&self->rng, 2 * MIDDLES[phase % 6]);
    size_t least = 2 * FB_KEYS_MARK_LEN;
    len = len < self->all->value_max ? len : self->all->value_max;
    return len > least ? len : least;
}

// A value begins and ends with its key's mark.
static void put(churner *self, fb_str key, int64_t now_ns) {
    size_t len = pick_len(self, now_ns);
    memcpy(self->value, key.ptr, FB_KEYS_MARK_LEN);
    memcpy(self->value + len - FB_KEYS_MARK_LEN, key.ptr, FB_KEYS_MARK_LEN);
    fb_item item = {.key = key, .value = {self->value, len}};
    if (fb_rng_below(&self->rng, 3) != 0) {
        item.expires_ns = now_ns + (int64_t)(1 + fb_rng_below(&self->rng, LIFE_MS_MAX)) * 1000000;
    }
    self->refused += fb_store_put(self->all->store, &item, now_ns, NULL) != FB_OK;
    self->puts++;
    memset(self->value + len - FB_KEYS_MARK_LEN, 'v', FB_KEYS_MARK_LEN);
}

static bool get(churner *self, fb_str key, int64_t now_ns) {
    fb_item item;
    self->gets++;
    if (fb_store_get_copy(self->all->store, key, now_ns, self->copy, VALUE_ROOM, &item) != FB_OK) {
        return false;
    }
    self->hits++;
    self->wrong += item.value.len < 2 * FB_KEYS_MARK_LEN || !fb_keys_match(key, item.value.ptr) ||
                   !fb_keys_match(key, item.value.ptr + item.value.len - FB_KEYS_MARK_LEN);
    return true;
}

static void step(churner *self) {
    char bytes[FB_KEYS_LEN_MAX];
    uint32_t id = (uint32_t)fb_zipf_next(&self->zipf, &self->rng) * 2654435761u % KEYS;
    fb_str key = {bytes, fb_keys_write(id, bytes)};
    int64_t now_ns = fb_clock_now_ns();
    uint64_t chance = fb_rng_below(&self->rng, 100);
    if (chance < 5) {
        (void)!fb_store_del(self->all->store, key, now_ns);
        self->dels++;
    } else if (chance < 8) {
        (void)!fb_store_touch(self->all->store, key, now_ns + 1000000000, now_ns);
    } else if (chance < 30 || !get(self, key, now_ns)) {
        put(self, key, now_ns);
    }
}

static void rest(void) {
    static const struct timespec PAUSE = {0, LOOK_MS * 1000000L};
    (void)nanosleep(&PAUSE, NULL);
}

static void *churn_on(void *arg) {
    churner *self = arg;
    memset(self->value, 'v', VALUE_ROOM);
    memset(self->copy, 0, VALUE_ROOM);
    atomic_fetch_add(&self->all->ready, 1);
    while (!atomic_load(&self->all->open)) {
        rest();
    }
    while (!atomic_load_explicit(&self->all->over, memory_order_relaxed)) {
        step(self);
    }
    return NULL;
}

// ---- the whole

static void watch(churn *all, uint64_t rss_before, fb_churn_figures *figures) {
    int64_t end_ns = all->begun_ns + (int64_t)(figures->seconds * 1e9);
    for (int64_t now_ns = all->begun_ns; now_ns < end_ns; now_ns = fb_clock_now_ns()) {
        fb_store_stats stats;
        uint64_t rss = fb_memory_rss();
        fb_store_stats_read(all->store, &stats);
        figures->rss_end_bytes = rss > rss_before ? rss - rss_before : 0;
        if (figures->rss_end_bytes > figures->rss_max_bytes) {
            figures->rss_max_bytes = figures->rss_end_bytes;
        }
        if (stats.used_bytes > figures->used_max_bytes) {
            figures->used_max_bytes = stats.used_bytes;
        }
        (void)fb_store_sweep(all->store, now_ns, SWEEP_ITEMS);
        rest();
    }
}

static int make_store(churn *all, uint64_t limit_bytes) {
    fb_store_options options = {.limit_bytes = limit_bytes, .seed = 20260101};
    int result = fb_store_new(&options, &all->store);
    if (result == FB_OK) {
        uint64_t most = fb_store_value_max(all->store) - FB_KEYS_LEN_MAX;
        all->value_max = most < VALUE_ROOM ? (size_t)most : VALUE_ROOM;
        all->begun_ns = fb_clock_now_ns();
    }
    return result;
}

static int run_all(churn *all, churner *crew, fb_churn_figures *figures) {
    uint32_t started = 0;
    int result = FB_OK;
    for (; started < figures->threads && result == FB_OK; started += result == FB_OK) {
        result = fb_thread_start(&crew[started].thread, "fb-churn", churn_on, &crew[started]);
    }
    while (atomic_load(&all->ready) < started) {
        rest();
    }
    (void)fb_memory_rss();  // the first look itself takes memory
    uint64_t rss_before = fb_memory_rss();
    if (result == FB_OK) {
        result = make_store(all, figures->limit_bytes);
    }
    atomic_store(&all->over, result != FB_OK);
    atomic_store(&all->open, true);
    if (result == FB_OK) {
        watch(all, rss_before, figures);
    }
    atomic_store(&all->over, true);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(crew[i].thread, NULL);
    }
    return result;
}

static void sum_up(churn *all, const churner *crew, fb_churn_figures *figures) {
    fb_store_stats stats;
    fb_store_stats_read(all->store, &stats);
    figures->evictions = stats.evictions;
    figures->expirations = stats.expirations;
    figures->entries = stats.items;
    for (uint32_t i = 0; i < figures->threads; i++) {
        figures->gets += crew[i].gets;
        figures->hits += crew[i].hits;
        figures->puts += crew[i].puts;
        figures->dels += crew[i].dels;
        figures->refused += crew[i].refused;
        figures->wrong += crew[i].wrong;
    }
}

int fb_churn_run(double seconds, uint32_t threads, uint64_t limit_bytes,
                 fb_churn_figures *figures) {
    churn all = {0};
    churner *crew = fb_mem_zero(threads, sizeof *crew);
    int result = crew != NULL ? FB_OK : FB_ENOMEM;
    *figures =
        (fb_churn_figures){.seconds = seconds, .threads = threads, .limit_bytes = limit_bytes};
    for (uint32_t i = 0; crew != NULL && i < threads; i++) {
        crew[i].all = &all;
        crew[i].value = fb_mem_new(VALUE_ROOM);
        crew[i].copy = fb_mem_new(VALUE_ROOM);
        fb_rng_init(&crew[i].rng, i + 1);
        fb_zipf_init(&crew[i].zipf, KEYS, 0.8);
        if (crew[i].value == NULL || crew[i].copy == NULL) {
            result = FB_ENOMEM;
        }
    }
    if (result == FB_OK) {
        result = run_all(&all, crew, figures);
    }
    if (result == FB_OK) {
        sum_up(&all, crew, figures);
    }
    for (uint32_t i = 0; crew != NULL && i < threads; i++) {
        fb_mem_free(crew[i].value);
        fb_mem_free(crew[i].copy);
    }
    fb_store_free(all.store);
    fb_mem_free(crew);
    return result;
}
