// One tally and three histograms a class, in a table by class id that readers index without a lock:
// rows are added, never moved or taken away.

#include "cache/figures.h"

#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "stats/histogram.h"
#include "stats/tally.h"

typedef struct row {
    fb_tally *tally;
    fb_histogram *timings[FB_TIMING_COUNT];
} row;

struct fb_figures {
    _Atomic(row *) rows[FB_CLASS_MAX];
};

static void free_row(row *one) {
    if (one == NULL) {
        return;
    }
    fb_tally_free(one->tally);
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_free(one->timings[i]);
    }
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
    *figures = fb_mem_zero(1, sizeof **figures);
    return *figures != NULL ? FB_OK : FB_ENOMEM;
}

void fb_figures_free(fb_figures *figures) {
    for (uint16_t id = 0; figures != NULL && id < FB_CLASS_MAX; id++) {
        free_row(row_of(figures, id));
    }
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

void fb_figures_reset_class(fb_figures *figures, uint16_t class_id) {
    row *one = row_of(figures, class_id);
    if (one == NULL) {
        return;
    }
    fb_tally_reset(one->tally);
    for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
        fb_histogram_reset(one->timings[i]);
    }
}

void fb_figures_reset(fb_figures *figures) {
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        fb_figures_reset_class(figures, id);
    }
}

// ---- as rows of fb_stats

static void add_counters(const row *one, fb_cache_figures *figures) {
#define ADD(field, help) figures->field += fb_tally_sum(one->tally, FB_COUNTER_##field);
    FB_CACHE_COUNTERS(ADD)
#undef ADD
    // Hits are read first, and a drain of hints, or a reset within one, may come in between.
    if (figures->region_hits > figures->hits) {
        figures->region_hits = figures->hits;
    }
}

static void read_latency(const fb_histogram *histogram, fb_latency *latency) {
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
    read_latency(timings[FB_TIMING_HIT], &figures->hit);
    read_latency(timings[FB_TIMING_MISS], &figures->miss);
    read_latency(timings[FB_TIMING_LOAD], &figures->load);
}

static void read_class(const row *one, const fb_class *class_, fb_cache_figures *figures) {
    size_t len =
        class_->name.len < sizeof figures->name ? class_->name.len : sizeof figures->name - 1;
    if (len > 0) {
        memcpy(figures->name, class_->name.ptr, len);
    }
    figures->ttl_ms = class_->id == FB_CLASS_PLAIN ? 0 : class_->options.ttl_ns / FB_NS_PER_MS;
    figures->has_source = class_->source != NULL;
    add_counters(one, figures);
    read_latencies(one->timings, figures);
}

static int read_all(const fb_figures *figures, fb_cache_figures *all) {
    row *sum = make_row();
    if (sum == NULL) {
        return FB_ENOMEM;
    }
    all->name[0] = '*';
    for (uint16_t id = 0; id < FB_CLASS_MAX; id++) {
        const row *one = row_of(figures, id);
        if (one == NULL) {
            continue;
        }
        add_counters(one, all);
        for (size_t i = 0; i < FB_TIMING_COUNT; i++) {
            fb_histogram_merge(sum->timings[i], one->timings[i]);
        }
    }
    read_latencies(sum->timings, all);
    free_row(sum);
    return FB_OK;
}

int fb_figures_stats(const fb_figures *figures, const fb_catalog *catalog, fb_stats *stats) {
    size_t count = fb_catalog_count(catalog);
    fb_cache_figures *classes = fb_mem_zero(count, sizeof *classes);
    fb_cache_figures all = {0};
    if (classes == NULL || read_all(figures, &all) < 0) {
        fb_mem_free(classes);
        return FB_ENOMEM;
    }
    uint64_t reads_most = 0;
    for (size_t i = 0; i < count; i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        read_class(row_of(figures, class_->id), class_, &classes[i]);
        uint64_t reads = classes[i].hits + classes[i].misses;
        if (reads > reads_most) {
            reads_most = reads;
            all.ttl_ms = classes[i].ttl_ms;
        }
        all.has_source = all.has_source || classes[i].has_source;
    }
    stats->all = all;
    stats->classes = classes;
    stats->class_count = count;
    return FB_OK;
}
