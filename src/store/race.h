// store/race.h -- copies and comparisons of bytes that a reader without a lock may be looking at
// while a writer changes them.
//
// What such a reader sees may be torn; store/read.c says how it finds out. The language calls these
// accesses races unless they are atomic, so under ThreadSanitizer they are (relaxed, a word at a
// time where that is aligned); otherwise they are plain copies, as every such reader has them,
// because no compiler makes anything else of memcpy(). "Shared" bytes are those of the region.

#ifndef FB_STORE_RACE_H
#define FB_STORE_RACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SANITIZE_THREAD__)
#define FB_RACE_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FB_RACE_WATCHED 1
#endif
#endif
#ifndef FB_RACE_WATCHED
#define FB_RACE_WATCHED 0
#endif

// gcc warns that the sanitizer does not follow fences. It need not: all that races is atomic.
#if FB_RACE_WATCHED && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

// Between what was read and the question whether it may be believed.
static inline void fb_race_after_reads(void) {
    atomic_thread_fence(memory_order_acquire);
}
// Between the notice that bytes change and their change.
static inline void fb_race_before_writes(void) {
    atomic_thread_fence(memory_order_release);
}
static inline void fb_race_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// One shared word, aligned: read once, whatever the compiler thinks of reading it again.
static inline uint64_t fb_race_word(const void *shared) {
    return __atomic_load_n((const uint64_t *)shared, __ATOMIC_RELAXED);
}

#if FB_RACE_WATCHED

enum { FB_RACE_WORD = sizeof(uint64_t) };

static inline bool fb_race_by_word(const char *shared, size_t left) {
    return left >= FB_RACE_WORD && (uintptr_t)shared % FB_RACE_WORD == 0;
}
// Copies shared bytes out.
static inline void fb_race_load(void *to, const void *shared, size_t len) {
    char *out = to;
    const char *in = shared;
    for (size_t i = 0; i < len;) {
        if (fb_race_by_word(in + i, len - i)) {
            uint64_t word = fb_race_word(in + i);
            memcpy(out + i, &word, sizeof(word));
            i += sizeof(word);
        } else {
            out[i] = __atomic_load_n(in + i, __ATOMIC_RELAXED);
            i++;
        }
    }
}
// Changes shared bytes. `from` may be shared bytes too, as long as only the caller changes them.
static inline void fb_race_store(void *shared, const void *from, size_t len) {
    char *out = shared;
    const char *in = from;
    for (size_t i = 0; i < len;) {
        if (fb_race_by_word(out + i, len - i)) {
            uint64_t word;
            memcpy(&word, in + i, sizeof(word));
            __atomic_store_n((uint64_t *)(void *)(out + i), word, __ATOMIC_RELAXED);
            i += sizeof(word);
        } else {
            __atomic_store_n(out + i, in[i], __ATOMIC_RELAXED);
            i++;
        }
    }
}

#else

static inline void fb_race_load(void *to, const void *shared, size_t len) {
    if (len > 0) {
        memcpy(to, shared, len);
    }
}
static inline void fb_race_store(void *shared, const void *from, size_t len) {
    if (len > 0) {
        memcpy(shared, from, len);
    }
}

#endif

static inline uint64_t fb_race_load64(const char *shared) {
    uint64_t word;
    fb_race_load(&word, shared, sizeof(word));
    return word;
}
static inline uint64_t fb_race_plain64(const char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}
static inline uint64_t fb_race_differ(const char *shared, const char *own, size_t at) {
    return fb_race_load64(shared + at) ^ fb_race_plain64(own + at);
}
// Whether shared bytes are the same as one's own. Most keys have 8 to 32 bytes: these are compared
// in words that overlap, without a loop whose end no processor can foresee, and without a call.
static inline bool fb_race_equal(const char *shared, const char *own, size_t len) {
    enum { WORD = sizeof(uint64_t) };
    if (len >= 2 * WORD) {
        size_t at = 0;
        for (; len - at > 4 * WORD; at += 2 * WORD) {
            if ((fb_race_differ(shared, own, at) | fb_race_differ(shared, own, at + WORD)) != 0) {
                return false;
            }
        }
        return (fb_race_differ(shared, own, at) | fb_race_differ(shared, own, at + WORD) |
                fb_race_differ(shared, own, len - 2 * WORD) |
                fb_race_differ(shared, own, len - WORD)) == 0;
    }
    if (len >= WORD) {
        return (fb_race_differ(shared, own, 0) | fb_race_differ(shared, own, len - WORD)) == 0;
    }
    char copy[WORD];
    for (size_t i = 0; i < len; i++) {
        fb_race_load(copy + i, shared + i, 1);
        if (copy[i] != own[i]) {
            return false;
        }
    }
    return true;
}

#endif
