// One tally and four histograms a class, in a table by class id that readers index without a lock:
// rows are added, never moved or taken away.
//
// Windows cost those who count nothing: every 5 s a tick reads the numbers of the rows that counted
// something and hands them to a fb_rolling each, and what a window's reader gets is made of the slices
// there and of what grew since. A row is a vector of numbers for that: its counters, then the numbers of
// its histograms. Rows of classes, that of the store, ticks and readers of windows share one lock.

#include "cache/figures.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "stats/histogram.h"
#include "stats/rolling.h"
#include "stats/tally.h"

enum { ROW_NUMBERS = FB_COUNTER_COUNT + FB_TIMING_COUNT * FB_HISTOGRAM_NUMBERS };
enum { EVICTIONS, EXPIRATIONS, STORE_NUMBERS };
static const int64_t SLICE_NS = FB_ROLLING_SLICE_S * FB_NS_PER_S;

typedef struct row {
    fb_tally *tally;
    fb_histogram *timings[FB_TIMING_COUNT];
    fb_rolling *rolling;
    uint64_t seen;  // the sum of what only grows, as it was at the last tick
} row;

struct fb_figures {
    _Atomic(row *) rows[FB_CLASS_MAX];
    pthread_mutex_t lock;  // around all that follows, and rows' rolling and seen
    _Atomic(int64_t) due_ns;  // when there is something to hand over; INT64_MIN: at once
    bool begun;
    int64_t begin_ns;  // of slice 0
    fb_rolling *store;
    uint64_t store_before[STORE_NUMBERS];  // at slice 0
};

static void free_row(row *one) {
    if (one == NULL) {
        return;
    }
    fb_tally_free(one->tally);
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_free(one->timings[i]);
    }
    fb_rolling_free(one->rolling);
    fb_mem_free(one);
}

static row *make_row(void) {
    row *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return NULL;
    }
    int result = fb_tally_new(FB_COUNTER_COUNT, &made->tally);
    for (size_t i = 0; i < FB_TIMING_COUNT && result == FB_OK; i++) {
        result = fb_histogram_new(&made->timings[i]);
    }
    if (result == FB_OK) {
        result = fb_rolling_new(ROW_NUMBERS, &made->rolling);
    }
    if (result < 0) {
        free_row(made);
        return NULL;
    }
    return made;
}

static row *row_of(const fb_figures *figures, uint16_t class_id) {
    return class_id < FB_CLASS_MAX
               ? atomic_load_explicit(&figures->rows[class_id], memory_order_acquire)
               : NULL;
}

int fb_figures_new(fb_figures **figures) {
    *figures = NULL;
    fb_figures *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    pthread_mutex_init(&made->lock, NULL);
    atomic_init(&made->due_ns, INT64_MIN);
    int result = fb_rolling_new(STORE_NUMBERS, &made->store);
    if (result < 0) {
        fb_figures_free(made);
        return result;
    }
    *figures = made;
    return FB_OK;
}

void fb_figures_free(fb_figures *figures) {
    if (figures == NULL) {
        return;
    }
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        free_row(row_of(figures, id));
    }
    fb_rolling_free(figures->store);
    pthread_mutex_destroy(&figures->lock);
    fb_mem_free(figures);
}

int fb_figures_cover(fb_figures *figures, const fb_catalog *catalog) {
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        uint16_t id = fb_catalog_at(catalog, i)->id;
        FB_ASSERT(id < FB_CLASS_MAX);
        if (row_of(figures, id) != NULL) {
            continue;
        }
        row *made = make_row();
        if (made == NULL) {
            return FB_ENOMEM;
        }
        atomic_store_explicit(&figures->rows[id], made, memory_order_release);
    }
    return FB_OK;
}

void fb_figures_count(fb_figures *figures, uint16_t class_id, fb_counter counter, uint64_t amount) {
    row *one = row_of(figures, class_id);
    if (one != NULL) {
        fb_tally_add(one->tally, fb_tally_lane(), counter, amount);
    }
}

void fb_figures_time(fb_figures *figures, uint16_t class_id, fb_timing timing, int64_t ns) {
    row *one = row_of(figures, class_id);
    if (one != NULL) {
        fb_histogram_record(one->timings[timing], ns);
    }
}

uint64_t fb_figures_sum(const fb_figures *figures, uint16_t class_id, fb_counter counter) {
    const row *one = row_of(figures, class_id);
    return one != NULL ? fb_tally_sum(one->tally, counter) : 0;
}

static void reset_row(row *one) {
    fb_tally_reset(one->tally);
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_reset(one->timings[i]);
    }
    fb_rolling_clear(one->rolling);
    one->seen = 0;
}

void fb_figures_reset_class(fb_figures *figures, uint16_t class_id) {
    row *one = row_of(figures, class_id);
    if (one != NULL) {
        pthread_mutex_lock(&figures->lock);
        reset_row(one);
        pthread_mutex_unlock(&figures->lock);
    }
}

void fb_figures_reset(fb_figures *figures) {
    pthread_mutex_lock(&figures->lock);
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        row *one = row_of(figures, id);
        if (one != NULL) {
            reset_row(one);
        }
    }
    fb_rolling_clear(figures->store);
    figures->begun = false;
    atomic_store_explicit(&figures->due_ns, INT64_MIN, memory_order_relaxed);
    pthread_mutex_unlock(&figures->lock);
}

// ---- windows

static int64_t slice_at(const fb_figures *figures, int64_t now_ns) {
    return now_ns > figures->begin_ns ? (now_ns - figures->begin_ns) / SLICE_NS : 0;
}

static void read_numbers(const row *one, uint64_t numbers[ROW_NUMBERS]) {
    for (size_t i = 0; i < FB_COUNTER_COUNT; i++) {
        numbers[i] = fb_tally_sum(one->tally, i);
    }
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_read(one->timings[i],
                          numbers + FB_COUNTER_COUNT + i * FB_HISTOGRAM_NUMBERS);
    }
}

// Whoever counts or times anything makes it another one.
static uint64_t weigh(const row *one) {
    uint64_t sum = 0;
    for (size_t i = 0; i < FB_COUNTER_COUNT; i++) {
        sum += fb_tally_sum(one->tally, i);
    }
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        sum += fb_histogram_sum(one->timings[i]);
    }
    return sum;
}

// Rows are handed over one by one: that of which there is no memory for is with the next tick.
static void hand_over(fb_figures *figures, int64_t slice, const uint64_t store[STORE_NUMBERS]) {
    uint64_t *numbers = NULL;
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        row *one = row_of(figures, id);
        uint64_t seen = one != NULL ? weigh(one) : 0;
        if (one == NULL || seen == one->seen) {
            continue;
        }
        numbers = numbers != NULL ? numbers : fb_mem_new(ROW_NUMBERS * sizeof *numbers);
        if (numbers == NULL) {
            return;
        }
        read_numbers(one, numbers);
        if (fb_rolling_take(one->rolling, slice, numbers) == FB_OK) {
            one->seen = seen;
        }
    }
    fb_mem_free(numbers);
    FB_IGNORE(fb_rolling_take(figures->store, slice, store));
}

// What grew since the last tick was in the slice before that which runs now, as far as anybody knows.
// What the store counted becomes what it did since slice 0.
static void advance(fb_figures *figures, int64_t now_ns, uint64_t store[STORE_NUMBERS]) {
    if (!figures->begun) {
        figures->begun = true;
        figures->begin_ns = now_ns;
        memcpy(figures->store_before, store, sizeof figures->store_before);
    }
    for (size_t i = 0; i < STORE_NUMBERS; i++) {
        store[i] -= figures->store_before[i];
    }
    bool first = now_ns < figures->begin_ns + SLICE_NS;
    if (!first && now_ns >= atomic_load_explicit(&figures->due_ns, memory_order_relaxed)) {
        hand_over(figures, slice_at(figures, now_ns) - 1, store);
    }
    int64_t due_ns = figures->begin_ns + (slice_at(figures, now_ns) + 1) * SLICE_NS;
    atomic_store_explicit(&figures->due_ns, due_ns, memory_order_relaxed);
}

void fb_figures_tick(fb_figures *figures, int64_t now_ns, uint64_t evictions,
                     uint64_t expirations) {
    uint64_t store[STORE_NUMBERS] = {evictions, expirations};
    pthread_mutex_lock(&figures->lock);
    advance(figures, now_ns, store);
    pthread_mutex_unlock(&figures->lock);
}

bool fb_figures_due(const fb_figures *figures, int64_t now_ns) {
    return now_ns >= atomic_load_explicit(&figures->due_ns, memory_order_relaxed);
}

int64_t fb_figures_age_ns(fb_figures *figures, int64_t now_ns) {
    pthread_mutex_lock(&figures->lock);
    int64_t age_ns = figures->begun && now_ns > figures->begin_ns ? now_ns - figures->begin_ns : 0;
    pthread_mutex_unlock(&figures->lock);
    return age_ns;
}

// ---- as rows of fb_stats

static void add_counters(const uint64_t numbers[FB_COUNTER_COUNT], fb_cache_figures *figures) {
#define ADD(field, help) figures->field += numbers[FB_COUNTER_##field];
    FB_CACHE_COUNTERS(ADD)
#undef ADD
    // Hits are read first, and a drain of hints, or a reset within one, may come in between.
    if (figures->region_hits > figures->hits) {
        figures->region_hits = figures->hits;
    }
}

static const uint32_t BOUNDS_US[FB_LATENCY_BOUND_COUNT] = {
    1,    2,     5,     10,    20,     50,     100,    200,     500,     1000,    2000,
    5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000};

uint32_t fb_latency_bound_us(size_t index) {
    return index < FB_LATENCY_BOUND_COUNT ? BOUNDS_US[index] : 0;
}

static void read_latency(const fb_histogram *histogram, fb_latency *latency,
                         uint64_t within[FB_LATENCY_BOUND_COUNT]) {
    int64_t bounds[FB_LATENCY_BOUND_COUNT];
    for (size_t i = 0; i < FB_LATENCY_BOUND_COUNT; i++) {
        bounds[i] = (int64_t)BOUNDS_US[i] * 1000;
    }
    fb_histogram_within(histogram, bounds, FB_LATENCY_BOUND_COUNT, within);
    const double ms = (double)FB_NS_PER_MS;
    latency->count = fb_histogram_count(histogram);
    latency->mean_ms = fb_histogram_mean(histogram) / ms;
    latency->p50_ms = fb_histogram_quantile(histogram, 0.50) / ms;
    latency->p95_ms = fb_histogram_quantile(histogram, 0.95) / ms;
    latency->p99_ms = fb_histogram_quantile(histogram, 0.99) / ms;
    latency->max_ms = fb_histogram_max(histogram) / ms;
}

static void read_latencies(fb_histogram *const timings[FB_TIMING_COUNT],
                           fb_cache_figures *figures) {
    read_latency(timings[FB_TIMING_HIT], &figures->hit, figures->hit_within);
    read_latency(timings[FB_TIMING_MISS], &figures->miss, figures->miss_within);
    read_latency(timings[FB_TIMING_LOAD], &figures->load, figures->load_within);
    read_latency(timings[FB_TIMING_SHARED], &figures->shared, figures->shared_within);
}

static void describe(const fb_class *class_, fb_cache_figures *figures) {
    size_t len =
        class_->name.len < sizeof figures->name ? class_->name.len : sizeof figures->name - 1;
    if (len > 0) {
        memcpy(figures->name, class_->name.ptr, len);
    }
    figures->ttl_ms = class_->id == FB_CLASS_PLAIN ? 0 : class_->options.ttl_ns / FB_NS_PER_MS;
    figures->has_source = class_->source != NULL;
}

// What is read of each row on the way, and what it adds up to.
typedef struct reading {
    bool whole;  // since the start
    bool hour;
    int64_t slice;
    uint64_t *numbers, *sums;  // of windows
    row *one;                  // likewise: the latencies that `sums` are
    row *all;
    fb_cache_figures figures;  // of all: counters only
} reading;

static void end_reading(reading *self) {
    fb_mem_free(self->numbers);
    fb_mem_free(self->sums);
    free_row(self->one);
    free_row(self->all);
}

static int begin_reading(reading *self) {
    self->all = make_row();
    if (!self->whole) {
        self->numbers = fb_mem_new(ROW_NUMBERS * sizeof *self->numbers);
        self->sums = fb_mem_new(ROW_NUMBERS * sizeof *self->sums);
        self->one = make_row();
    }
    bool made = self->all != NULL &&
                (self->whole || (self->numbers != NULL && self->sums != NULL && self->one != NULL));
    return made ? FB_OK : FB_ENOMEM;
}

// Leaves the row of a window in self->one.
static void read_window(reading *self, const row *from, fb_cache_figures *counted) {
    read_numbers(from, self->numbers);
    memset(self->sums, 0, ROW_NUMBERS * sizeof *self->sums);
    (self->hour ? fb_rolling_hour : fb_rolling_minute)(from->rolling, self->slice, self->numbers,
                                                       self->sums);
    add_counters(self->sums, counted);
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_write(self->one->timings[i],
                           self->sums + FB_COUNTER_COUNT + i * FB_HISTOGRAM_NUMBERS,
                           from->timings[i]);
    }
}

static void read_row(reading *self, const row *from, fb_cache_figures *figures) {
    fb_cache_figures counted = {0};
    const row *seen = from;
    if (weigh(from) == 0) {
        return;
    }
    if (self->whole) {
        uint64_t numbers[FB_COUNTER_COUNT];
        for (size_t i = 0; i < FB_COUNTER_COUNT; i++) {
            numbers[i] = fb_tally_sum(from->tally, i);
        }
        add_counters(numbers, &counted);
    } else {
        read_window(self, from, &counted);
        seen = self->one;
    }
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_merge(self->all->timings[i], seen->timings[i]);
    }
#define ADD(field, help) self->figures.field += counted.field;
    FB_CACHE_COUNTERS(ADD)
#undef ADD
    if (figures != NULL) {
#define COPY(field, help) figures->field = counted.field;
        FB_CACHE_COUNTERS(COPY)
#undef COPY
        read_latencies(seen->timings, figures);
    }
}

static int read_rows(const fb_figures *figures, const fb_catalog *catalog, reading *self,
                     fb_stats *stats) {
    size_t count = fb_catalog_count(catalog);
    fb_cache_figures *places[FB_CLASS_MAX] = {NULL};
    fb_cache_figures *classes = fb_mem_zero(count, sizeof *classes);
    if (classes == NULL || begin_reading(self) < 0) {
        fb_mem_free(classes);
        end_reading(self);
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        describe(class_, &classes[i]);
        places[class_->id] = &classes[i];
    }
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        const row *one = row_of(figures, id);
        if (one != NULL) {
            read_row(self, one, places[id]);
        }
    }
    self->figures.name[0] = '*';
    read_latencies(self->all->timings, &self->figures);
    uint64_t reads_most = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t reads = classes[i].hits + classes[i].misses;
        if (reads > reads_most) {
            reads_most = reads;
            self->figures.ttl_ms = classes[i].ttl_ms;
        }
        self->figures.has_source = self->figures.has_source || classes[i].has_source;
    }
    stats->all = self->figures;
    stats->classes = classes;
    stats->class_count = count;
    end_reading(self);
    return FB_OK;
}

int fb_figures_stats(const fb_figures *figures, const fb_catalog *catalog, fb_stats *stats) {
    reading self = {.whole = true};
    return read_rows(figures, catalog, &self, stats);
}

int fb_figures_stats_over(fb_figures *figures, const fb_catalog *catalog, fb_window window,
                          int64_t now_ns, fb_stats *stats) {
    uint64_t store[STORE_NUMBERS] = {stats->evictions, stats->expirations};
    uint64_t sums[STORE_NUMBERS] = {0};
    reading self = {.hour = window == FB_WINDOW_HOUR};
    pthread_mutex_lock(&figures->lock);
    advance(figures, now_ns, store);
    self.slice = slice_at(figures, now_ns);
    int result = read_rows(figures, catalog, &self, stats);
    if (result == FB_OK) {
        (self.hour ? fb_rolling_hour : fb_rolling_minute)(figures->store, self.slice, store, sums);
        stats->evictions = sums[EVICTIONS];
        stats->expirations = sums[EXPIRATIONS];
        int64_t first = self.hour ? fb_rolling_hour_begin(self.slice)
                                  : fb_rolling_minute_begin(self.slice);
        int64_t span_ns = now_ns - (figures->begin_ns + first * SLICE_NS);
        stats->window_ms = span_ns > FB_NS_PER_MS ? span_ns / FB_NS_PER_MS : 1;
    }
    pthread_mutex_unlock(&figures->lock);
    return result;
}
