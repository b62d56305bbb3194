// A sketch is 64 counters in descending order, each with its own text. A key that has one raises it;
// one that has none takes over the last, which keeps its count as the error and adds one: so a count
// is too high by at most its error, and every key denied more than a sixty-fourth of all times is
// among them.
//
// To raise a counter by one it changes places with the first of those that are equal, which keeps
// the order. The texts stay where they are; the counters name them by number. A key is looked for
// by sixteen bits of its hash, eight counters at once.
//
// There are some sketches, for threads to be counted in beside each other: a thread goes to one of
// its own, and where that is taken at the moment to the next, so it waits for nobody but who reads.
// That one has them all, and adds up: of a key that has no counter in a full sketch, there may have
// been as many as its last counter has. That is the promise of one sketch again, as the errors add
// up as the denials do (Agarwal et al., "Mergeable summaries", 2012).

#include "limit/top.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "stats/tally.h"

enum { SKETCHES = 4, ROOM = FB_LIMIT_TOP_ROOM, CACHE_LINE = 64, HEX_LEN = 16 };

typedef uint16_t eight __attribute__((vector_size(16)));
_Static_assert(ROOM % 8 == 0, "eight tags at once");

typedef struct counter {
    uint64_t count, error;
    uint32_t text;
} counter;

typedef struct sketch {
    pthread_mutex_t lock;
    uint32_t used;
    eight tags[ROOM / 8];  // of the hashes, in their order
    uint64_t hashes[ROOM];
    counter counters[ROOM];
    char texts[ROOM][FB_LIMIT_TOP_KEY_SIZE];  // "": its hash
} __attribute__((aligned(CACHE_LINE))) sketch;  // no lock shares a line with another's

struct fb_limit_top {
    sketch *sketches;  // aligned, within `memory`
    void *memory;
};

int fb_limit_top_new(fb_limit_top **top) {
    *top = fb_mem_zero(1, sizeof **top);
    void *memory = fb_mem_zero(1, SKETCHES * sizeof(sketch) + CACHE_LINE);
    if (*top == NULL || memory == NULL) {
        fb_mem_free(*top);
        fb_mem_free(memory);
        *top = NULL;
        return FB_ENOMEM;
    }
    uintptr_t start = ((uintptr_t)memory + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    (*top)->memory = memory;
    (*top)->sketches = (sketch *)start;
    for (int i = 0; i < SKETCHES; i++) {
        pthread_mutex_init(&(*top)->sketches[i].lock, NULL);
    }
    return FB_OK;
}

void fb_limit_top_free(fb_limit_top *top) {
    if (top == NULL) {
        return;
    }
    for (int i = 0; i < SKETCHES; i++) {
        pthread_mutex_destroy(&top->sketches[i].lock);
    }
    fb_mem_free(top->memory);
    fb_mem_free(top);
}

// ---- one sketch

static uint16_t tag_of(uint64_t hash) {
    return (uint16_t)(hash >> 48);
}

static bool is_any(eight equal) {
    uint64_t halves[2];
    memcpy(halves, &equal, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

// The counter of a key, or `used`.
static uint32_t find(const sketch *one, uint64_t hash) {
    const eight tag = (eight){0} + tag_of(hash);
    for (uint32_t i = 0; i < one->used; i += 8) {
        if (!is_any((eight)(one->tags[i / 8] == tag))) {
            continue;
        }
        for (uint32_t j = i; j < i + 8 && j < one->used; j++) {
            if (one->hashes[j] == hash) {
                return j;
            }
        }
    }
    return one->used;
}

static void set_hash(sketch *one, uint32_t index, uint64_t hash) {
    one->hashes[index] = hash;
    one->tags[index / 8][index % 8] = tag_of(hash);
}

static void write_text(char *out, fb_str text) {
    size_t len = text.len < FB_LIMIT_TOP_KEY_SIZE ? text.len : FB_LIMIT_TOP_KEY_SIZE - 1;
    if (len > 0) {
        memcpy(out, text.ptr, len);
    }
    if (len < text.len) {
        len = fb_utf8_cut(out, len);  // not through the middle of a letter
    }
    out[len] = '\0';
}

// A counter for a key that has none; its count is as before.
static uint32_t take_over(sketch *one, uint64_t hash, fb_str text) {
    uint32_t last = ROOM - 1;
    if (one->used < ROOM) {
        last = one->used++;
        one->counters[last] = (counter){.text = last};
    }
    set_hash(one, last, hash);
    one->counters[last].error = one->counters[last].count;
    write_text(one->texts[one->counters[last].text], text);
    return last;
}

static void raise_count(sketch *one, uint32_t index) {
    uint32_t first = index;
    while (first > 0 && one->counters[first - 1].count == one->counters[index].count) {
        first--;
    }
    uint64_t hash = one->hashes[first];
    counter other = one->counters[first];
    set_hash(one, first, one->hashes[index]);
    one->counters[first] = one->counters[index];
    set_hash(one, index, hash);
    one->counters[index] = other;
    one->counters[first].count++;
}

// ---- all of them

// Locks one that is free, or waits for the thread's own.
static sketch *lock_one(fb_limit_top *top) {
    uint32_t own = fb_tally_lane();
    for (uint32_t i = 0; i < SKETCHES; i++) {
        sketch *one = &top->sketches[(own + i) % SKETCHES];
        if (pthread_mutex_trylock(&one->lock) == 0) {
            return one;
        }
    }
    pthread_mutex_lock(&top->sketches[own % SKETCHES].lock);
    return &top->sketches[own % SKETCHES];
}

void fb_limit_top_add(fb_limit_top *top, uint64_t hash, fb_str text) {
    sketch *one = lock_one(top);
    uint32_t index = find(one, hash);
    raise_count(one, index < one->used ? index : take_over(one, hash, text));
    pthread_mutex_unlock(&one->lock);
}

typedef struct total {
    uint64_t count, error;
    const sketch *in;  // where its text is
    uint32_t index;
} total;

static total add_up(const fb_limit_top *top, uint64_t hash) {
    total all = {0};
    for (int i = 0; i < SKETCHES; i++) {
        const sketch *one = &top->sketches[i];
        uint32_t index = find(one, hash);
        if (index < one->used) {
            all.count += one->counters[index].count;
            all.error += one->counters[index].error;
            if (all.in == NULL) {
                all.in = one;
                all.index = index;
            }
        } else if (one->used == ROOM) {
            all.count += one->counters[ROOM - 1].count;
            all.error += one->counters[ROOM - 1].count;
        }
    }
    return all;
}

// Puts it where it belongs among the `count` that are there. Returns how many are.
static uint32_t insert(total *most, uint32_t count, total one) {
    uint32_t at = count < FB_LIMIT_TOP ? count : FB_LIMIT_TOP - 1;
    if (count == FB_LIMIT_TOP && most[at].count >= one.count) {
        return count;
    }
    for (; at > 0 && most[at - 1].count < one.count; at--) {
        most[at] = most[at - 1];
    }
    most[at] = one;
    return count < FB_LIMIT_TOP ? count + 1 : count;
}

static uint32_t find_most(const fb_limit_top *top, total *most) {
    uint32_t count = 0;
    for (int i = 0; i < SKETCHES; i++) {
        const sketch *one = &top->sketches[i];
        for (uint32_t j = 0; j < one->used; j++) {
            total all = add_up(top, one->hashes[j]);
            if (all.in == one) {  // else it was among those of an earlier sketch
                count = insert(most, count, all);
            }
        }
    }
    return count;
}

static void show(const total *one, char *out) {
    const char *text = one->in->texts[one->in->counters[one->index].text];
    uint64_t hash = one->in->hashes[one->index];
    if (text[0] != '\0') {
        write_text(out, fb_str_of(text));
        return;
    }
    for (int i = 0; i < HEX_LEN; i++) {
        out[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    }
    out[HEX_LEN] = '\0';
}

void fb_limit_top_read(fb_limit_top *top, fb_limit_figures *figures) {
    total most[FB_LIMIT_TOP];
    for (int i = 0; i < SKETCHES; i++) {
        pthread_mutex_lock(&top->sketches[i].lock);
    }
    figures->top_count = find_most(top, most);
    for (uint32_t i = 0; i < figures->top_count; i++) {
        show(&most[i], figures->top[i].key);
        figures->top[i].count = most[i].count;
        figures->top[i].error = most[i].error;
    }
    for (int i = 0; i < SKETCHES; i++) {
        pthread_mutex_unlock(&top->sketches[i].lock);
    }
}

void fb_limit_top_reset(fb_limit_top *top) {
    for (int i = 0; i < SKETCHES; i++) {
        pthread_mutex_lock(&top->sketches[i].lock);
        top->sketches[i].used = 0;
        pthread_mutex_unlock(&top->sketches[i].lock);
    }
}
