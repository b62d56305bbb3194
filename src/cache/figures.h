// cache/figures.h -- what is counted and timed, for each class by its id.
//
// Threads: any. Memory: a class's figures are taken when a catalogue with it comes into force, and
// stay until the end, so that a class that goes and comes back has its own again.

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
void fb_figures_reset(fb_figures *figures);
void fb_figures_reset_class(fb_figures *figures, uint16_t class_id);
// Fills stats->all and stats->classes. `all` has also what classes that are gone had.
FB_CHECK_RESULT int fb_figures_stats(const fb_figures *figures, const fb_catalog *catalog,
                                     fb_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
