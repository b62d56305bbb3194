// engine/region.h -- the memory tier in a file that other processes read: which file, what was in
// it, and what has to be done for it while the engine runs.

#ifndef FB_ENGINE_REGION_H
#define FB_ENGINE_REGION_H

#include "cache/cache.h"
#include "cache/outside.h"
#include "config/settings.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_region_home fb_region_home;

// Opens the files of the settings and looks at what is there. FB_OK with *home NULL: the memory is
// private. Else as fb_region_file_open().
FB_CHECK_RESULT int fb_region_home_open(const fb_settings *settings, fb_region_home **home,
                                        fb_error *error);
// The classes of the region that is going to be kept, for their numbers; NULL: there is none.
const fb_outside *fb_region_home_classes(const fb_region_home *home);
// The cache in it: with what is there, where the settings say so and it can be kept; else in a new
// one that takes its place. `options` but for the region; its catalogue is NULL when it is taken
// over, which may be so after an error too. FB_OK; as fb_cache_new(), with `error`.
FB_CHECK_RESULT int fb_region_home_cache(fb_region_home *home, fb_cache_options *options,
                                         fb_cache **cache, fb_error *error);
// Ten times a second: a sign of life, and what readers noted.
void fb_region_home_upkeep(fb_region_home *home, fb_cache *cache, int64_t now_ns);
// Readers turn away. NULL is fine.
void fb_region_home_close(fb_region_home *home, fb_cache *cache);
const char *fb_region_home_path(const fb_region_home *home);
const char *fb_region_home_hints_path(const fb_region_home *home);

#ifdef __cplusplus
}
#endif

#endif
