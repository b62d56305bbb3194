// cache/figures.h -- what is counted and timed, for each class by its id.
//
// Threads: any. Memory: a class's figures are taken when a catalogue with it comes into force, and
// stay until the end, so that a class that goes and comes back has its own again: 88 KiB. Once it has
// counted something, what windows need of it as well (stats/rolling.h): 75 KiB, and 10 bytes for each
// counter, and bucket of a latency, that grew in a slice. A class whose latencies are spread over 200
// buckets in every slice of the hour takes 45 KiB more, and no class can take more than 2.2 MiB.

#ifndef FB_CACHE_FIGURES_H
#define FB_CACHE_FIGURES_H

#include "cache/cache.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_figures fb_figures;

FB_CHECK_RESULT int fb_figures_new(fb_figures **figures);
void fb_figures_free(fb_figures *figures);
// Room for every class of `catalog`. FB_OK or FB_ENOMEM. One thread at a time.
FB_CHECK_RESULT int fb_figures_cover(fb_figures *figures, const fb_catalog *catalog);
// Ids nobody has covered are ignored.
void fb_figures_count(fb_figures *figures, uint16_t class_id, fb_counter counter, uint64_t amount);
void fb_figures_time(fb_figures *figures, uint16_t class_id, fb_timing timing, int64_t ns);
uint64_t fb_figures_sum(const fb_figures *figures, uint16_t class_id, fb_counter counter);
// Whether fb_figures_tick() has anything to do.
bool fb_figures_due(const fb_figures *figures, int64_t now_ns);
// Hands what grew to the windows, once every 5 s. `evictions` and
// `expirations` are the store's counts. Of a class that counted something it reads some 10,000 numbers,
// which takes about 10 us, and nothing that counts has to wait for it.
void fb_figures_tick(fb_figures *figures, int64_t now_ns, uint64_t evictions, uint64_t expirations);
// Windows as well; the time since the start begins with the next tick.
void fb_figures_reset(fb_figures *figures);
void fb_figures_reset_class(fb_figures *figures, uint16_t class_id);
// Fills stats->all and stats->classes. `all` has also what classes that are gone had.
FB_CHECK_RESULT int fb_figures_stats(const fb_figures *figures, const fb_catalog *catalog,
                                     fb_stats *stats);
// The same over the minute or hour that ends now, and stats->window_ms; evictions and expirations, which
// are the store's counts, become those of the window.
FB_CHECK_RESULT int fb_figures_stats_over(fb_figures *figures, const fb_catalog *catalog,
                                          fb_window window, int64_t now_ns, fb_stats *stats);
// How long ago the start, or the last reset, was; >= 0.
int64_t fb_figures_age_ns(fb_figures *figures, int64_t now_ns);

#ifdef __cplusplus
}
#endif

#endif
