// base/arena.h -- scratch memory for one request: many small pieces, freed at once. Under a
// sanitizer each piece is a malloc of its own, so that overruns are seen.

#ifndef FB_BASE_ARENA_H
#define FB_BASE_ARENA_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_arena_block fb_arena_block;
typedef struct fb_arena {
    fb_arena_block *blocks;  // the newest first; zero-initialise
} fb_arena;

// `size` bytes aligned for anything, good until the reset; NULL: no memory.
FB_CHECK_RESULT void *fb_arena_new(fb_arena *arena, size_t size);
// A copy; {NULL, 0} where there is no memory and bytes.len > 0.
fb_str fb_arena_copy(fb_arena *arena, fb_str bytes);
// Frees all, or all but one block for use again.
void fb_arena_reset(fb_arena *arena);
void fb_arena_release(fb_arena *arena);

#ifdef __cplusplus
}
#endif

#endif
