// forebay bench memory: what the memory tier costs on this machine.
//
// The machine is shared and its speed drifts, so nothing is measured alone: a round goes through
// all cases, and before and after each of them the machine's own dependent random read is measured
// too. A case's ratio is that of its time to those two reads; the report takes medians over rounds
// (cli/bench_memory_report.c). What exactly an operation is stands in cli/bench_crew.c.
//
// Where misses are measured, keys are drawn anew each time: in a sequence that came back seldom
// keys would be regulars, and one case would find what another has just put.
//
// Per number of entries there are two stores: one with room for all (hits), one with room for half
// (misses, and puts that push others out). A third, filled beyond its limit, is made first and
// freed again: its limit over its entries is what an entry really takes, index and all.

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/bench_crew.h"
#include "cli/bench_memory.h"
#include "cli/command_line.h"
#include "os/clock.h"
#include "os/file.h"

enum {
    ENTRIES_MIN = 1000,
    ENTRIES_MAX = 1 << 24,
    LIST_MAX = 4,
    ROUNDS = 9,
    QUICK_ROUNDS = 3,
    OWN_KEYS_MAX = 8,
    READ_WARM = 100000,  // until the page tables of the ring are in the caches again
    CHURN_SECONDS_MAX = 86400
};
enum { DRAWN_SEED = 1000 };
// Where cases begin in their sequence: no two at the same place.
static const double GOLDEN = 0.6180339887498949;
static const size_t RING_BYTES = (size_t)1 << 30;
// After so long no further round is begun, unless their number was asked for.
static const int64_t PATIENCE_NS = INT64_C(45) * 1000000000;
static const uint64_t CHURN_LIMIT = UINT64_C(256) << 20;
// Of an entry: a mean key, the value, and what is taken for the store's part when a limit is
// chosen.
static const uint64_t PAYLOAD = (FB_KEYS_LEN_MIN + FB_KEYS_LEN_MAX) / 2 + FB_KEYS_VALUE_LEN;
static const uint64_t OVERHEAD = 40;

// What there is per number of entries.
typedef struct ground {
    uint32_t entries;
    fb_store *roomy, *tight;
    fb_keys keys;
} ground;

typedef struct run {
    const fb_line *line;
    int64_t entries[LIST_MAX], threads[LIST_MAX];
    size_t entries_count, threads_count;
    uint64_t ops, reads, drawn;  // of a case in a round; keys in a sequence
    uint64_t drawings;
    ground grounds[LIST_MAX];
    fb_ring ring;
    void **ring_at[FB_CREW_THREADS_MAX];
    fb_crew_part parts[FB_CREW_THREADS_MAX];
    fb_memory_figures figures;
} run;

// ---- what is wanted

static bool read_number(const fb_line *line, const char *option, fb_str text, int64_t bounds[2],
                        int64_t *number) {
    if (fb_str_int(text, number) < 0 || *number < bounds[0] || *number > bounds[1]) {
        fb_cli_complain(line, "--%s %.*s: expected a number from %lld to %lld", option,
                        FB_STR_ARG(text), (long long)bounds[0], (long long)bounds[1]);
        return false;
    }
    return true;
}

static bool read_list(const fb_line *line, const char *option, const char *text, int64_t bounds[2],
                      int64_t *numbers) {
    fb_str rest = fb_str_of(text);
    for (size_t i = 0; i < LIST_MAX; i++) {
        size_t comma = fb_str_find(rest, ',');
        if (!read_number(line, option, fb_str_make(rest.ptr, comma), bounds, &numbers[i])) {
            return false;
        }
        if (comma == rest.len) {
            return true;
        }
        rest = fb_str_make(rest.ptr + comma + 1, rest.len - comma - 1);
    }
    fb_cli_complain(line, "--%s %s: at most %d of them", option, text, LIST_MAX);
    return false;
}

static size_t count_of(const int64_t *numbers) {
    size_t count = 0;
    while (count < LIST_MAX && numbers[count] > 0) {
        count++;
    }
    return count;
}

static bool read_options(run *self) {
    const fb_line *line = self->line;
    int64_t rounds = line->quick ? QUICK_ROUNDS : ROUNDS;
    if (!read_list(line, "entries", line->entries != NULL ? line->entries : "10000,1000000",
                   (int64_t[2]){ENTRIES_MIN, ENTRIES_MAX}, self->entries) ||
        !read_list(line, "threads", line->threads != NULL ? line->threads : "1,2",
                   (int64_t[2]){1, FB_CREW_THREADS_MAX}, self->threads) ||
        (line->rounds != NULL && !read_number(line, "rounds", fb_str_of(line->rounds),
                                              (int64_t[2]){1, FB_MEMORY_ROUNDS_MAX}, &rounds))) {
        return false;
    }
    self->entries_count = count_of(self->entries);
    self->threads_count = count_of(self->threads);
    self->figures.rounds = (uint32_t)rounds;
    self->ops = line->quick ? 200000 : 500000;
    self->reads = line->quick ? 50000 : 150000;
    // For each thread's part of a case to be one that no other has.
    for (size_t i = 0; i < self->threads_count; i++) {
        uint64_t threads = (uint64_t)self->threads[i];
        uint64_t drawn = self->ops * (2 * (threads < OWN_KEYS_MAX ? threads : OWN_KEYS_MAX) + 1);
        self->drawn = drawn > self->drawn ? drawn : self->drawn;
    }
    FB_ASSERT(self->ops % FB_CREW_BATCH == 0 && self->drawn % FB_CREW_BATCH == 0);
    return true;
}

// ---- memory

// A number in a file of the kernel's, behind `label`. 0: there is none.
static uint64_t kernel_number(const char *path, const char *label) {
    fb_buf text = {0};
    fb_error error;
    uint64_t number = 0;
    if (fb_file_read(path, 65536, &text, &error) == FB_OK && fb_buf_byte(&text, '\0') == FB_OK) {
        const char *at = strstr(text.ptr, label);
        for (at += at != NULL ? strlen(label) : 0; at != NULL && *at == ' ';) {
            at++;
        }
        for (; at != NULL && *at >= '0' && *at <= '9'; at++) {
            number = number * 10 + (uint64_t)(*at - '0');
        }
    }
    fb_buf_release(&text);
    return number;
}

uint64_t fb_memory_rss(void) {
    return kernel_number("/proc/self/status", "VmRSS:\t") * 1024;
}

uint64_t fb_memory_free(void) {
    static const char *const LIMITS[] = {"/sys/fs/cgroup/memory.max",
                                         "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t free_bytes = kernel_number("/proc/meminfo", "MemAvailable:") * 1024;
    for (size_t i = 0; i < sizeof LIMITS / sizeof LIMITS[0]; i++) {
        uint64_t limit = kernel_number(LIMITS[i], "");
        free_bytes = limit > 0 && limit < free_bytes ? limit : free_bytes;
    }
    struct rlimit own;
    if (getrlimit(RLIMIT_AS, &own) == 0 && own.rlim_cur < free_bytes) {
        free_bytes = own.rlim_cur;
    }
    return free_bytes;
}

static uint64_t roomy_limit(uint64_t entries) {
    return entries * (PAYLOAD + OVERHEAD) * 5 / 4 + (UINT64_C(4) << 20);
}

static uint64_t full_limit(uint64_t entries) {
    uint64_t limit = entries * (PAYLOAD + OVERHEAD);
    return limit > FB_STORE_LIMIT_MIN ? limit : FB_STORE_LIMIT_MIN;
}

static uint64_t memory_needed(const run *self) {
    uint64_t needed = RING_BYTES + (UINT64_C(16) << 20);
    for (size_t i = 0; i < self->entries_count; i++) {
        uint64_t entries = (uint64_t)self->entries[i];
        needed += roomy_limit(entries) + full_limit(entries / 2) +
                  self->drawn * (1 + (FB_KEYS_LEN_MIN + FB_KEYS_LEN_MAX) / 2);
    }
    return needed;
}

static bool complain_of_memory(const run *self) {
    char needs[48], has[48];
    fb_units_show_bytes(memory_needed(self) >> 20 << 20, needs, sizeof needs);
    fb_units_show_bytes(fb_memory_free() >> 20 << 20, has, sizeof has);
    fb_cli_complain(self->line,
                    "this takes %s of memory, 1GiB of it for the machine's own read, "
                    "and %s are free; fewer --entries take less",
                    needs, has);
    return false;
}

// ---- preparations

// Puts each of `count` keys once, from number `first` on.
static void fill(fb_store *store, uint32_t first, uint32_t count) {
    char bytes[FB_KEYS_LEN_MAX], value[FB_KEYS_VALUE_LEN];
    for (uint32_t i = 0; i < count; i++) {
        size_t len = fb_keys_write(first + i, bytes);
        fb_str key = {bytes, len};
        fb_keys_value(key, value, sizeof value);
        fb_item item = {.key = key, .value = {value, sizeof value}};
        (void)!fb_store_put(store, &item, 1, NULL);
    }
}

static bool has_all(fb_store *store, uint32_t count) {
    char bytes[FB_KEYS_LEN_MAX], value[FB_CREW_ROOM];
    for (uint32_t i = 0; i < count; i++) {
        fb_item item;
        size_t len = fb_keys_write(i, bytes);
        fb_str key = {bytes, len};
        if (fb_store_get_copy(store, key, 1, value, sizeof value, &item) != FB_OK) {
            return false;
        }
    }
    return true;
}

static bool make_store(uint64_t limit, fb_store **store) {
    fb_store_options options = {.limit_bytes = limit, .seed = 20260101};
    return fb_store_new(&options, store) == FB_OK;
}

// The limit that holds them all is searched for: how full a store can be is the store's affair.
static bool make_roomy(run *self, ground *here) {
    uint64_t limit = roomy_limit(here->entries);
    for (int tries = 0; tries < 4; tries++, limit += limit / 2) {
        if (!make_store(limit, &here->roomy)) {
            return complain_of_memory(self);
        }
        fill(here->roomy, 0, here->entries);
        if (has_all(here->roomy, here->entries)) {
            return true;
        }
        fb_store_free(here->roomy);
        here->roomy = NULL;
    }
    fb_cli_complain(self->line, "a limit of %llu bytes does not hold %u entries",
                    (unsigned long long)limit, here->entries);
    return false;
}

static bool make_ground(run *self, ground *here, uint32_t entries) {
    here->entries = entries;
    if (fb_keys_new(&here->keys, self->drawn) < 0 ||
        !make_store(full_limit(entries / 2), &here->tight)) {
        return complain_of_memory(self);
    }
    // Until what it holds is what is asked for most.
    fb_keys_draw(&here->keys, entries, DRAWN_SEED);
    fb_memory_sample ignored;
    self->parts[0] =
        (fb_crew_part){.work = FB_MEMORY_MIX, .store = here->tight, .ops = self->drawn};
    fb_keys_begin(&self->parts[0].place, &here->keys, 0);
    if (fb_crew_run(self->parts, 1, &ignored) < 0) {
        return complain_of_memory(self);
    }
    return make_roomy(self, here);
}

static double mean_payload(uint32_t count) {
    char bytes[FB_KEYS_LEN_MAX];
    double sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += (double)fb_keys_write(i, bytes) + FB_KEYS_VALUE_LEN;
    }
    return sum / count;
}

static bool measure_space(run *self) {
    fb_memory_space *space = &self->figures.space;
    fb_store *store = NULL;
    fb_store_stats stats;
    for (size_t i = 0; i < self->entries_count; i++) {
        uint32_t entries = (uint32_t)self->entries[i];
        space->entries_wanted = entries > space->entries_wanted ? entries : space->entries_wanted;
    }
    uint32_t count = space->entries_wanted + space->entries_wanted / 2;
    space->payload_bytes = mean_payload(count);
    uint64_t rss_before = fb_memory_rss();
    if (!make_store(full_limit(space->entries_wanted), &store)) {
        return complain_of_memory(self);
    }
    fill(store, 0, count);
    uint64_t rss_after = fb_memory_rss();
    fb_store_stats_read(store, &stats);
    fb_store_free(store);
    space->entries = stats.items;
    space->limit_bytes = stats.limit_bytes;
    space->used_bytes = stats.used_bytes;
    space->rss_bytes = rss_after > rss_before ? rss_after - rss_before : 0;
    return true;
}

static void add_case(run *self, fb_memory_work work, const ground *here, uint32_t threads) {
    size_t index = self->figures.case_count++;
    self->figures.cases[index] = (fb_memory_case){
        .work = work, .entries = here != NULL ? here->entries : 0, .threads = threads};
}

static bool prepare(run *self) {
    if (fb_memory_free() < memory_needed(self)) {
        return complain_of_memory(self);
    }
    self->figures.processors = (uint32_t)fb_crew_processors(NULL, 0);
    if (!measure_space(self)) {
        return false;
    }
    if (fb_ring_new(&self->ring, RING_BYTES) < 0) {
        return complain_of_memory(self);
    }
    for (size_t i = 0; i < FB_CREW_THREADS_MAX; i++) {
        self->ring_at[i] =
            (void **)(void *)((char *)self->ring.lines + i * (RING_BYTES / FB_CREW_THREADS_MAX));
    }
    for (size_t i = 0; i < self->threads_count; i++) {
        add_case(self, FB_MEMORY_READ, NULL, (uint32_t)self->threads[i]);
    }
    for (size_t i = 0; i < self->entries_count; i++) {
        if (!make_ground(self, &self->grounds[i], (uint32_t)self->entries[i])) {
            return false;
        }
        for (size_t j = 0; j < self->threads_count; j++) {
            for (fb_memory_work work = FB_MEMORY_HIT; work < FB_MEMORY_WORKS; work++) {
                add_case(self, work, &self->grounds[i], (uint32_t)self->threads[j]);
            }
        }
    }
    return true;
}

// ---- measuring

static bool read_machine(run *self, uint32_t threads, fb_memory_sample *sample) {
    for (uint32_t i = 0; i < threads; i++) {
        self->parts[i] = (fb_crew_part){.work = FB_MEMORY_READ,
                                        .at = self->ring_at[i],
                                        .warm_ops = READ_WARM,
                                        .ops = self->reads};
    }
    int result = fb_crew_run(self->parts, threads, sample);
    for (uint32_t i = 0; i < threads; i++) {
        self->ring_at[i] = self->parts[i].at;
    }
    return result == FB_OK;
}

static ground *ground_of(run *self, uint32_t entries) {
    ground *here = self->grounds;
    while (here->entries != entries) {
        here++;
    }
    return here;
}

// Of few entries every sequence has all, often: there a new one would change nothing.
static void renew_keys(run *self, ground *here) {
    if (here->entries > self->drawn / 100) {
        fb_keys_draw(&here->keys, here->entries, DRAWN_SEED + ++self->drawings);
    }
}

static bool measure(run *self, size_t index, fb_memory_sample *sample) {
    const fb_memory_case *one = &self->figures.cases[index];
    if (one->work == FB_MEMORY_READ) {
        return read_machine(self, one->threads, sample);
    }
    ground *here = ground_of(self, one->entries);
    if (one->work == FB_MEMORY_MIX) {
        renew_keys(self, here);
    }
    bool roomy = one->work == FB_MEMORY_HIT || one->work == FB_MEMORY_BATCH;
    for (uint32_t i = 0; i < one->threads; i++) {
        double share = (double)i / one->threads + (double)index * GOLDEN;
        self->parts[i] = (fb_crew_part){.work = one->work,
                                        .store = roomy ? here->roomy : here->tight,
                                        .warm_ops = self->ops,
                                        .ops = self->ops};
        fb_keys_begin(&self->parts[i].place, &here->keys, share - floor(share));
    }
    if (fb_crew_run(self->parts, one->threads, sample) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < one->threads; i++) {
        self->figures.wrong += self->parts[i].wrong;
    }
    return true;
}

static bool run_round(run *self, size_t round) {
    fb_memory_sample before, after;
    if (!read_machine(self, 1, &before)) {
        return false;
    }
    for (size_t i = 0; i < self->figures.case_count; i++) {
        fb_memory_sample *sample = &self->figures.cases[i].samples[round];
        if (!measure(self, i, sample) || !read_machine(self, 1, &after)) {
            return false;
        }
        sample->read_ns = (before.cpu_ns + after.cpu_ns) / 2;
        before = after;
    }
    return true;
}

// ---- the whole

static int write_out(const fb_line *line, int result, fb_buf *out) {
    if (result == FB_OK) {
        fwrite(out->ptr, 1, out->len, stdout);
    } else {
        fb_cli_complain(line, "out of memory");
    }
    fb_buf_release(out);
    return result == FB_OK ? FB_EXIT_OK : FB_EXIT_REFUSED;
}

static int run_churn(run *self) {
    int64_t seconds;
    fb_churn_figures figures;
    fb_buf out = {0};
    if (!read_number(self->line, "churn", fb_str_of(self->line->churn),
                     (int64_t[2]){1, CHURN_SECONDS_MAX}, &seconds)) {
        return FB_EXIT_USAGE;
    }
    uint32_t threads = (uint32_t)self->threads[self->threads_count - 1];
    if (fb_churn_run((double)seconds, threads, CHURN_LIMIT, &figures) < 0) {
        fb_cli_complain(self->line, "not enough memory, or threads, for this");
        return FB_EXIT_REFUSED;
    }
    int result = self->line->json ? fb_churn_json(&figures, &out) : fb_churn_text(&figures, &out);
    int status = write_out(self->line, result, &out);
    return figures.wrong > 0 ? FB_EXIT_REFUSED : status;
}

static int run_memory(run *self) {
    fb_buf out = {0};
    fb_memory_figures *figures = &self->figures;
    int64_t begun_ns = fb_clock_now_ns();
    fb_clock_iso(figures->time, sizeof figures->time);
    if (!prepare(self)) {
        return FB_EXIT_REFUSED;
    }
    for (size_t round = 0; round < figures->rounds; round++) {
        if (!run_round(self, round)) {
            fb_cli_complain(self->line, "no thread could be started");
            return FB_EXIT_REFUSED;
        }
        bool late = fb_clock_now_ns() - begun_ns > PATIENCE_NS && self->line->rounds == NULL;
        if (late && round + 1 >= QUICK_ROUNDS) {
            figures->rounds = (uint32_t)round + 1;
        }
    }
    int result = self->line->json ? fb_memory_json(figures, &out) : fb_memory_text(figures, &out);
    int status = write_out(self->line, result, &out);
    return figures->wrong > 0 ? FB_EXIT_REFUSED : status;
}

int fb_cli_bench_memory(const fb_line *line) {
    if (line->word_count > 1) {
        fb_cli_complain(line, "usage: forebay bench memory");
        return FB_EXIT_USAGE;
    }
    run *self = fb_mem_zero(1, sizeof *self);
    if (self == NULL) {
        fb_cli_complain(line, "out of memory");
        return FB_EXIT_REFUSED;
    }
    self->line = line;
    int status = FB_EXIT_USAGE;
    if (read_options(self)) {
        status = line->churn != NULL ? run_churn(self) : run_memory(self);
    }
    for (size_t i = 0; i < LIST_MAX; i++) {
        fb_store_free(self->grounds[i].roomy);
        fb_store_free(self->grounds[i].tight);
        fb_keys_release(&self->grounds[i].keys);
    }
    fb_ring_free(&self->ring);
    fb_mem_free(self);
    return status;
}
