// Idea: blocks of 4 KiB with a mark that moves; a piece too large for that gets a block of its own,
// placed behind the newest so that the room left there stays in use.
//
// A reset keeps one block, of the usual size only: one large request must not hold its memory for
// as long as the connection lives. Under a sanitizer every piece is too large, and nothing is kept.

#include "base/arena.h"

#include "base/check.h"
#include "base/mem.h"

#include <stdalign.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define FB_ARENA_SINGLE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define FB_ARENA_SINGLE 1
#endif
#endif

enum {
    ALIGNMENT = alignof(max_align_t),
#ifdef FB_ARENA_SINGLE
    BLOCK_SIZE = 0,
#else
    BLOCK_SIZE = 4096,
#endif
};

struct fb_arena_block {
    fb_arena_block *next;
    size_t used, cap;
    alignas(max_align_t) char bytes[];
};

static fb_arena_block *add_block(fb_arena *arena, size_t size) {
    size_t usual = BLOCK_SIZE > sizeof(fb_arena_block) ? BLOCK_SIZE - sizeof(fb_arena_block) : 0;
    size_t cap = size > usual / 4 ? size : usual;
    size_t total;

    if (__builtin_add_overflow(sizeof(fb_arena_block), cap, &total)) {
        return NULL;
    }
    fb_arena_block *block = fb_mem_new(total);
    if (block == NULL) {
        return NULL;
    }
    block->used = 0;
    block->cap = cap;
    fb_arena_block **place =
        cap == usual || arena->blocks == NULL ? &arena->blocks : &arena->blocks->next;
    block->next = *place;
    *place = block;
    return block;
}

void *fb_arena_new(fb_arena *arena, size_t size) {
    fb_arena_block *block = arena->blocks;

    // Nothing is still a piece with an address of its own.
    size = size > 0 ? size : 1;
    size_t padding = BLOCK_SIZE > 0 ? (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT : 0;
    if (__builtin_add_overflow(size, padding, &size)) {
        return NULL;
    }
    if (block == NULL || size > block->cap - block->used) {
        block = add_block(arena, size);
        if (block == NULL) {
            return NULL;
        }
    }
    void *piece = block->bytes + block->used;
    block->used += size;
    FB_ASSERT(block->used <= block->cap);
    return piece;
}

fb_str fb_arena_copy(fb_arena *arena, fb_str bytes) {
    fb_str copy = {NULL, 0};

    if (bytes.len == 0) {
        return copy;
    }
    char *piece = fb_arena_new(arena, bytes.len);
    if (piece != NULL) {
        memcpy(piece, bytes.ptr, bytes.len);
        copy = (fb_str){piece, bytes.len};
    }
    return copy;
}

void fb_arena_reset(fb_arena *arena) {
    fb_arena_block *kept = NULL;

    while (arena->blocks != NULL) {
        fb_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (kept == NULL && BLOCK_SIZE > 0 && block->cap == BLOCK_SIZE - sizeof(fb_arena_block)) {
            kept = block;
        } else {
            fb_mem_free(block);
        }
    }
    if (kept != NULL) {
        kept->used = 0;
        kept->next = NULL;
        arena->blocks = kept;
    }
}

void fb_arena_release(fb_arena *arena) {
    fb_arena_reset(arena);
    fb_mem_free(arena->blocks);
    arena->blocks = NULL;
}
