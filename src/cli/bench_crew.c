// The work that `forebay bench memory` measures.
//
// Measured is everything from the key in hand to the value in the caller's buffer: the hash, the
// look-up, the copy, and a look at the first bytes of the copy (that they are of this key). Not
// measured: drawing the keys, and getting their bytes into the caches (cli/bench_keys.c).
//
// Threads wait for each other twice, before they warm up and before the clock starts, so that each
// is measured while the others are at work, and stay on a processor of their own where there are as
// many. CPU time is the thread's own; the elapsed time is from the first start to the last end.
//
// The ring's order is a permutation by a Feistel network rather than a shuffle: it needs no second
// array, its writes do not wait for one another, and it is one circle by construction.

#include "cli/bench_crew.h"

#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include "base/check.h"
#include "os/clock.h"
#include "os/thread.h"

enum { LINE = 64 };
static const int64_t NOW_NS = 1;  // nothing here has a lifetime

// ---- the machine's own read

static size_t permute(size_t number, unsigned half_bits) {
    uint64_t mask = (UINT64_C(1) << half_bits) - 1;
    uint64_t left = number >> half_bits, right = number & mask;
    for (uint64_t round = 1; round <= 4; round++) {
        uint64_t mixed =
            (right + round * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
        uint64_t next =
            left ^ (((mixed ^ (mixed >> 31)) * UINT64_C(0x94d049bb133111eb) >> 40) & mask);
        left = right;
        right = next;
    }
    return (size_t)(left << half_bits | right);
}

int fb_ring_new(fb_ring *ring, size_t byte_count) {
    unsigned half_bits = 0;
    while ((size_t)LINE << (2 * half_bits) < byte_count) {
        half_bits++;
    }
    FB_ASSERT((size_t)LINE << (2 * half_bits) == byte_count);
    void *lines =
        mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (lines == MAP_FAILED) {
        return FB_ENOMEM;
    }
    (void)madvise(lines, byte_count, MADV_NOHUGEPAGE);
    size_t line_count = byte_count / LINE;
    char *before = (char *)lines + permute(line_count - 1, half_bits) * LINE;
    for (size_t i = 0; i < line_count; i++) {
        char *line = (char *)lines + permute(i, half_bits) * LINE;
        *(void **)(void *)before = line;
        before = line;
    }
    *ring = (fb_ring){lines, byte_count};
    return FB_OK;
}

void fb_ring_free(fb_ring *ring) {
    if (ring->lines != NULL) {
        munmap(ring->lines, ring->byte_count);
    }
    *ring = (fb_ring){0};
}

static void read_on(fb_crew_part *self, uint64_t count) {
    void **at = self->at;
    for (uint64_t i = 0; i < count; i++) {
        at = *at;
    }
    self->at = at;
    self->hits += count;
}

// ---- the store

static bool hit(fb_crew_part *self, fb_str key) {
    fb_item item;
    if (fb_store_get_copy(self->store, key, NOW_NS, self->bytes, sizeof self->bytes, &item) !=
        FB_OK) {
        return false;
    }
    self->hits++;
    self->wrong += !fb_keys_match(key, item.value.ptr);
    return true;
}

// Value bytes are at hand: only the mark is written anew.
static void put(fb_crew_part *self, fb_str key, char *value) {
    memcpy(value, key.ptr, FB_KEYS_MARK_LEN);
    fb_item item = {.key = key, .value = {value, FB_KEYS_VALUE_LEN}};
    // A store without room for it keeps what it has, and the next look says so.
    (void)!fb_store_put(self->store, &item, NOW_NS, NULL);
}

static void hit_on(fb_crew_part *self, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        (void)hit(self, fb_keys_next(&self->place));
    }
}

static void mix_on(fb_crew_part *self, uint64_t count) {
    char value[FB_KEYS_VALUE_LEN] = {0};
    for (uint64_t i = 0; i < count; i++) {
        fb_str key = fb_keys_next(&self->place);
        if (!hit(self, key)) {
            put(self, key, value);
        }
    }
}

static void put_on(fb_crew_part *self, uint64_t count) {
    char value[FB_KEYS_VALUE_LEN] = {0};
    for (uint64_t i = 0; i < count; i++) {
        put(self, fb_keys_next(&self->place), value);
    }
}

static void copy_out(void *arg, const fb_item *item) {
    memcpy(arg, item->value.ptr, item->value.len < FB_CREW_ROOM ? item->value.len : FB_CREW_ROOM);
}

static void batch_on(fb_crew_part *self, uint64_t count) {
    fb_str keys[FB_CREW_BATCH];
    void *args[FB_CREW_BATCH];
    int results[FB_CREW_BATCH];
    for (size_t i = 0; i < FB_CREW_BATCH; i++) {
        args[i] = self->bytes + i * FB_CREW_ROOM;
    }
    for (uint64_t done = 0; done < count; done += FB_CREW_BATCH) {
        for (size_t i = 0; i < FB_CREW_BATCH; i++) {
            keys[i] = fb_keys_next(&self->place);
        }
        fb_store_get_many(self->store, keys, FB_CREW_BATCH, NOW_NS, copy_out, args, results);
        for (size_t i = 0; i < FB_CREW_BATCH; i++) {
            if (results[i] == FB_OK) {
                self->hits++;
                self->wrong += !fb_keys_match(keys[i], args[i]);
            }
        }
    }
}

// ---- threads

static bool pass(fb_crew_gate *gate) {
    pthread_mutex_lock(&gate->lock);
    uint64_t times = gate->times;
    if (++gate->waiting == gate->wanted) {
        gate->waiting = 0;
        gate->times++;
        pthread_cond_broadcast(&gate->moved);
    }
    while (gate->times == times && !gate->off) {
        pthread_cond_wait(&gate->moved, &gate->lock);
    }
    bool passed = gate->times != times;
    pthread_mutex_unlock(&gate->lock);
    return passed;
}

static void turn_off(fb_crew_gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->off = true;
    pthread_cond_broadcast(&gate->moved);
    pthread_mutex_unlock(&gate->lock);
}

static int64_t own_cpu_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void *work_on(void *arg) {
    static void (*const WORKS[FB_MEMORY_WORKS])(fb_crew_part *, uint64_t) = {
        read_on, hit_on, batch_on, mix_on, put_on,
    };
    fb_crew_part *self = arg;
    if (self->processor >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)self->processor, &set);
        (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    }
    if (!pass(self->gate)) {
        return NULL;
    }
    WORKS[self->work](self, self->warm_ops);
    (void)pass(self->gate);
    self->hits = 0;
    self->begun_ns = fb_clock_now_ns();
    int64_t before_ns = own_cpu_ns();
    WORKS[self->work](self, self->ops);
    self->cpu_ns = own_cpu_ns() - before_ns;
    self->ended_ns = fb_clock_now_ns();
    return NULL;
}

static void sum_up(const fb_crew_part *parts, size_t part_count, fb_memory_sample *sample) {
    int64_t begun_ns = INT64_MAX, ended_ns = 0, cpu_ns = 0;
    double ops = 0, hits = 0, each = 0;
    for (size_t i = 0; i < part_count; i++) {
        const fb_crew_part *part = &parts[i];
        begun_ns = part->begun_ns < begun_ns ? part->begun_ns : begun_ns;
        ended_ns = part->ended_ns > ended_ns ? part->ended_ns : ended_ns;
        cpu_ns += part->cpu_ns;
        ops += (double)part->ops;
        hits += (double)part->hits;
        each += (double)part->cpu_ns / (double)(part->ended_ns - part->begun_ns);
    }
    sample->cpu_ns = (double)cpu_ns / ops;
    sample->elapsed_ns = (double)(ended_ns - begun_ns) / ops;
    sample->hit_ratio = hits / ops;
    sample->cpus = each;
}

int fb_crew_run(fb_crew_part *parts, size_t part_count, fb_memory_sample *sample) {
    pthread_t threads[FB_CREW_THREADS_MAX];
    int processors[FB_CREW_THREADS_MAX];
    fb_crew_gate gate = {.wanted = part_count};
    size_t processor_count = fb_crew_processors(processors, FB_CREW_THREADS_MAX);
    size_t started = 0;
    FB_ASSERT(part_count > 0 && part_count <= FB_CREW_THREADS_MAX);
    pthread_mutex_init(&gate.lock, NULL);
    pthread_cond_init(&gate.moved, NULL);
    for (; started < part_count; started++) {
        parts[started].gate = &gate;
        parts[started].processor = part_count <= processor_count ? processors[started] : -1;
        if (fb_thread_start(&threads[started], "fb-bench", work_on, &parts[started]) < 0) {
            turn_off(&gate);
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_cond_destroy(&gate.moved);
    pthread_mutex_destroy(&gate.lock);
    if (started < part_count) {
        return FB_EIO;
    }
    sum_up(parts, part_count, sample);
    return FB_OK;
}

size_t fb_crew_processors(int *numbers, size_t room) {
    cpu_set_t set;
    size_t count = 0;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 0;
    }
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET((size_t)i, &set)) {
            if (count < room) {
                numbers[count] = i;
            }
            count++;
        }
    }
    return count;
}
