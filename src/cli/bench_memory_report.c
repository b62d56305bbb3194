// The report of `forebay bench memory`: medians over rounds, goals, text and JSON.
//
// Every ratio is made within a round and only then is the median taken: rounds on a shared machine
// differ more from one another than what is measured within one. A speed-up on the wall counts
// only where the threads really had the processors; otherwise it would measure the neighbours.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/units.h"
#include "cli/bench_memory.h"
#include "node/reply.h"

static const double OVERHEAD_GOAL = 40, SPEEDUP_GOAL = 1.9, RSS_GOAL = 1.05;
// A processor of one's own: what a thread gets of it where only interrupts disturb.
static const double OWN_CPU = 0.97;
enum { LARGE = 1000000, SMALL = 10000 };

static const char *const NAMES[FB_MEMORY_WORKS] = {"read", "hit", "batch hit", "miss + set", "put"};

// ---- medians

static int by_size(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, size_t count) {
    if (count == 0) {
        return 0;
    }
    qsort(values, count, sizeof *values, by_size);
    return (values[count / 2] + values[(count - 1) / 2]) / 2;
}

typedef double (*quantity)(const fb_memory_sample *sample, const fb_memory_sample *alone);

static double cpu_ns(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->cpu_ns;
}
static double elapsed_ns(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->elapsed_ns;
}
static double cpus(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->cpus;
}
static double hit_ratio(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->hit_ratio;
}
static double read_ns(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->read_ns;
}
static double ratio(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->read_ns > 0 ? sample->cpu_ns / sample->read_ns : 0;
}
static double speedup_cpu(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->cpu_ns > 0 ? alone->cpu_ns / sample->cpu_ns : 0;
}
static double speedup(const fb_memory_sample *sample, const fb_memory_sample *alone) {
    return sample->elapsed_ns > 0 ? alone->elapsed_ns / sample->elapsed_ns : 0;
}

static double over_rounds(const fb_memory_figures *figures, const fb_memory_case *one,
                          const fb_memory_case *alone, quantity what) {
    double values[FB_MEMORY_ROUNDS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < figures->rounds; i++) {
        const fb_memory_sample *sample = &one->samples[i], *other = &alone->samples[i];
        bool free = sample->cpus >= OWN_CPU * one->threads && other->cpus >= OWN_CPU;
        if (what != speedup || free) {
            values[count++] = what(sample, other);
        }
    }
    return median(values, count);
}

static const fb_memory_case *find(const fb_memory_figures *figures, fb_memory_work work,
                                  uint32_t entries, uint32_t threads) {
    for (size_t i = 0; i < figures->case_count; i++) {
        const fb_memory_case *one = &figures->cases[i];
        if (one->work == work && one->entries == entries && one->threads == threads) {
            return one;
        }
    }
    return NULL;
}

fb_memory_row fb_memory_summarise(const fb_memory_figures *figures, const fb_memory_case *one) {
    FB_ASSERT(figures->rounds <= FB_MEMORY_ROUNDS_MAX);
    const fb_memory_case *alone = find(figures, one->work, one->entries, 1);
    fb_memory_row row = {
        .cpu_ns = over_rounds(figures, one, one, cpu_ns),
        .elapsed_ns = over_rounds(figures, one, one, elapsed_ns),
        .cpus = over_rounds(figures, one, one, cpus),
        .hit_ratio = over_rounds(figures, one, one, hit_ratio),
        .read_ns = over_rounds(figures, one, one, read_ns),
        .ratio = over_rounds(figures, one, one, ratio),
    };
    if (alone != NULL && one->threads > 1) {
        row.speedup_cpu = one->threads * over_rounds(figures, one, alone, speedup_cpu);
        row.speedup = over_rounds(figures, one, alone, speedup);
    }
    return row;
}

double fb_memory_overhead(const fb_memory_space *space) {
    return space->entries == 0
               ? 0
               : (double)space->limit_bytes / (double)space->entries - space->payload_bytes;
}

// ---- goals

FB_PRINTF(3, 4) static void state(fb_memory_goal *goal, bool holds, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(goal->text, sizeof goal->text, format, list);
    va_end(list);
    goal->verdict = holds ? FB_MEMORY_HOLDS : FB_MEMORY_FAILS;
}

static size_t judge_ratio(const fb_memory_figures *figures, fb_memory_work work, uint32_t entries,
                          double bound, fb_memory_goal *goal) {
    const fb_memory_case *one = find(figures, work, entries, 1);
    if (one == NULL) {
        return 0;
    }
    fb_memory_row row = fb_memory_summarise(figures, one);
    *goal = (fb_memory_goal){.value = row.ratio, .bound = bound};
    state(goal, row.ratio <= bound, "%s at %" PRIu32 " entries costs %.2f of a read, goal %.2f",
          work == FB_MEMORY_BATCH ? "a key in a batch of 16" : "a hit", entries, row.ratio, bound);
    return 1;
}

static size_t judge_threads(const fb_memory_figures *figures, uint32_t entries,
                            fb_memory_goal *goal) {
    const fb_memory_case *one = find(figures, FB_MEMORY_HIT, entries, 2);
    const fb_memory_case *machine = find(figures, FB_MEMORY_READ, 0, 2);
    if (one == NULL || find(figures, FB_MEMORY_HIT, entries, 1) == NULL) {
        return 0;
    }
    fb_memory_row row = fb_memory_summarise(figures, one);
    double own = machine != NULL ? fb_memory_summarise(figures, machine).speedup_cpu : 0;
    *goal = (fb_memory_goal){.value = row.speedup, .bound = SPEEDUP_GOAL};
    if (row.speedup > 0) {
        state(goal, row.speedup >= SPEEDUP_GOAL,
              "two threads hit %.2f times as often as one at %" PRIu32
              " entries, goal %.1f (by CPU time %.2f; the machine's own reads %.2f)",
              row.speedup, entries, SPEEDUP_GOAL, row.speedup_cpu, own);
    } else {
        goal->value = row.speedup_cpu;
        state(goal, false,
              "two threads at %" PRIu32
              " entries: the machine never gave them two processors (median %.2f), so only CPU "
              "time can be compared: %.2f times one, goal %.1f (the machine's own reads %.2f)",
              entries, row.cpus, row.speedup_cpu, SPEEDUP_GOAL, own);
        goal->verdict = FB_MEMORY_UNJUDGED;
    }
    return 1;
}

static size_t judge_space(const fb_memory_space *space, fb_memory_goal *goal) {
    if (space->entries_wanted < LARGE) {
        return 0;
    }
    *goal = (fb_memory_goal){.value = fb_memory_overhead(space), .bound = OVERHEAD_GOAL};
    state(goal, goal->value <= OVERHEAD_GOAL,
          "an entry takes %.1f bytes beside key and value with %" PRIu64 " entries, goal %.0f",
          goal->value, space->entries, OVERHEAD_GOAL);
    return 1;
}

size_t fb_memory_judge(const fb_memory_figures *figures, fb_memory_goal *goals) {
    size_t count = 0;
    count += judge_ratio(figures, FB_MEMORY_HIT, LARGE, 0.9, &goals[count]);
    count += judge_ratio(figures, FB_MEMORY_BATCH, LARGE, 0.4, &goals[count]);
    count += judge_ratio(figures, FB_MEMORY_HIT, SMALL, 0.25, &goals[count]);
    count += judge_threads(figures, SMALL, &goals[count]);
    count += judge_threads(figures, LARGE, &goals[count]);
    count += judge_space(&figures->space, &goals[count]);
    FB_ASSERT(count <= FB_MEMORY_GOALS_MAX);
    return count;
}

static const char *word_of(fb_memory_verdict verdict) {
    static const char *const WORDS[] = {"holds", "fails", "not judged"};
    return WORDS[verdict];
}

// ---- text

typedef struct writer {
    fb_buf *out;
    bool failed;
} writer;

#define SAY(to, ...) ((to)->failed = (to)->failed || fb_buf_printf((to)->out, __VA_ARGS__) < 0)

static void say_head(writer *to, const fb_memory_figures *figures) {
    SAY(to, "forebay bench memory: the memory tier on this machine, forebay %s\n", FB_VERSION);
    SAY(to, "%s, %" PRIu32 " processors, medians of %" PRIu32 " rounds\n\n", figures->time,
        figures->processors, figures->rounds);
    for (size_t i = 0; i < figures->case_count; i++) {
        const fb_memory_case *one = &figures->cases[i];
        if (one->work == FB_MEMORY_READ) {
            fb_memory_row row = fb_memory_summarise(figures, one);
            SAY(to, "The machine: a dependent random read over 1 GiB takes %.1f ns", row.cpu_ns);
            if (one->threads > 1) {
                SAY(to, " each by %" PRIu32 " threads at once (%.2f times one thread)",
                    one->threads, row.speedup_cpu);
            }
            SAY(to, "\n");
        }
    }
}

static void say_row(writer *to, const fb_memory_figures *figures, const fb_memory_case *one) {
    fb_memory_row row = fb_memory_summarise(figures, one);
    SAY(to, "%9" PRIu32 "  %7" PRIu32 "  %-10s  %7.1f  %7.1f  %7.2f  %6.1f  %10.2f", one->entries,
        one->threads, NAMES[one->work], row.cpu_ns, row.elapsed_ns * one->threads, row.ratio,
        row.hit_ratio * 100, row.cpus);
    if (one->threads > 1 && row.speedup_cpu > 0) {
        SAY(to, "  %8.2f  ", row.speedup_cpu);
        if (row.speedup > 0) {
            SAY(to, "%7.2f", row.speedup);
        } else {
            SAY(to, "%7s", "-");
        }
    }
    SAY(to, "\n");
}

static void say_space(writer *to, const fb_memory_space *space) {
    if (space->entries == 0) {
        return;
    }
    SAY(to,
        "\nMemory: %" PRIu64
        " entries of %.0f bytes (key and value) in a limit of %.1f MB, filled "
        "beyond it:\n",
        space->entries, space->payload_bytes, (double)space->limit_bytes / 1e6);
    SAY(to,
        "  %.1f bytes an entry beside key and value by the limit, %.1f by what the store counts as "
        "used;\n  the process grew by %.1f MB, %.1f %% of the limit\n",
        fb_memory_overhead(space),
        (double)space->used_bytes / (double)space->entries - space->payload_bytes,
        (double)space->rss_bytes / 1e6,
        100 * (double)space->rss_bytes / (double)space->limit_bytes);
}

int fb_memory_text(const fb_memory_figures *figures, fb_buf *out) {
    writer to = {.out = out};
    fb_memory_goal goals[FB_MEMORY_GOALS_MAX];
    size_t goal_count = fb_memory_judge(figures, goals);
    say_head(&to, figures);
    SAY(&to, "\n%9s  %7s  %-10s  %7s  %7s  %7s  %6s  %10s  %17s\n", "", "", "", "CPU ns", "wall ns",
        "of that", "", "processors", "times one thread:");
    SAY(&to, "%9s  %7s  %-10s  %7s  %7s  %7s  %6s  %10s  %8s  %7s\n", "entries", "threads",
        "operation", "per op", "per op", "read", "hits %", "given", "by CPU", "by wall");
    for (size_t i = 0; i < figures->case_count; i++) {
        if (figures->cases[i].work != FB_MEMORY_READ) {
            say_row(&to, figures, &figures->cases[i]);
        }
    }
    say_space(&to, &figures->space);
    SAY(&to, "\nGoals\n");
    for (size_t i = 0; i < goal_count; i++) {
        SAY(&to, "  %-10s  %s\n", word_of(goals[i].verdict), goals[i].text);
    }
    if (figures->wrong > 0) {
        SAY(&to, "\nWRONG: %" PRIu64 " values were not those of their keys\n", figures->wrong);
    }
    return to.failed ? FB_ENOMEM : FB_OK;
}

// ---- JSON

static void put_double(fb_reply *to, const char *name, double number) {
    fb_reply_text(to, name);
    fb_reply_double(to, number);
}

static void put_count(fb_reply *to, const char *name, uint64_t count) {
    fb_reply_text(to, name);
    fb_reply_integer(to, (int64_t)count);
}

static void put_text(fb_reply *to, const char *name, const char *text) {
    fb_reply_text(to, name);
    fb_reply_text(to, text);
}

static void put_row(fb_reply *to, const fb_memory_figures *figures, const fb_memory_case *one) {
    fb_memory_row row = fb_memory_summarise(figures, one);
    bool many = one->threads > 1 && row.speedup_cpu > 0;
    fb_reply_map(to, 11);
    put_text(to, "operation", NAMES[one->work]);
    put_count(to, "entries", one->entries);
    put_count(to, "threads", one->threads);
    put_double(to, "cpu_ns", row.cpu_ns);
    put_double(to, "wall_ns", row.elapsed_ns * one->threads);
    put_double(to, "read_ns", row.read_ns);
    put_double(to, "ratio", row.ratio);
    put_double(to, "hit_ratio", row.hit_ratio);
    put_double(to, "processors", row.cpus);
    fb_reply_text(to, "speedup_cpu");
    many ? fb_reply_double(to, row.speedup_cpu) : fb_reply_null(to);
    fb_reply_text(to, "speedup");
    many &&row.speedup > 0 ? fb_reply_double(to, row.speedup) : fb_reply_null(to);
}

static void put_space(fb_reply *to, const fb_memory_space *space) {
    fb_reply_text(to, "memory");
    fb_reply_map(to, 6);
    put_count(to, "entries", space->entries);
    put_double(to, "payload_bytes", space->payload_bytes);
    put_count(to, "limit_bytes", space->limit_bytes);
    put_count(to, "used_bytes", space->used_bytes);
    put_count(to, "rss_bytes", space->rss_bytes);
    put_double(to, "overhead_bytes", fb_memory_overhead(space));
}

static void put_goal(fb_reply *to, const fb_memory_goal *goal) {
    fb_reply_map(to, 4);
    put_text(to, "verdict", word_of(goal->verdict));
    put_double(to, "value", goal->value);
    put_double(to, "bound", goal->bound);
    put_text(to, "text", goal->text);
}

int fb_memory_json(const fb_memory_figures *figures, fb_buf *out) {
    fb_reply to;
    fb_memory_goal goals[FB_MEMORY_GOALS_MAX];
    size_t goal_count = fb_memory_judge(figures, goals);
    fb_reply_init(&to, FB_ENCODING_JSON, out);
    fb_reply_map(&to, 8);
    put_text(&to, "version", FB_VERSION);
    put_text(&to, "time", figures->time);
    put_count(&to, "processors", figures->processors);
    put_count(&to, "rounds", figures->rounds);
    put_count(&to, "wrong_values", figures->wrong);
    fb_reply_text(&to, "rows");
    fb_reply_array(&to, figures->case_count);
    for (size_t i = 0; i < figures->case_count; i++) {
        put_row(&to, figures, &figures->cases[i]);
    }
    put_space(&to, &figures->space);
    fb_reply_text(&to, "goals");
    fb_reply_array(&to, goal_count);
    for (size_t i = 0; i < goal_count; i++) {
        put_goal(&to, &goals[i]);
    }
    return fb_reply_failed(&to) || fb_buf_byte(out, '\n') < 0 ? FB_ENOMEM : FB_OK;
}

// ---- churn

fb_memory_goal fb_churn_judge(const fb_churn_figures *figures) {
    double part = (double)figures->rss_max_bytes / (double)figures->limit_bytes;
    fb_memory_goal goal = {.value = part, .bound = RSS_GOAL};
    state(&goal, part <= RSS_GOAL,
          "at most %.1f %% of the limit was in memory after %.0f s of churn, goal %.0f %%",
          100 * part, figures->seconds, 100 * RSS_GOAL);
    return goal;
}

int fb_churn_text(const fb_churn_figures *figures, fb_buf *out) {
    writer to = {.out = out};
    char limit[48];
    fb_memory_goal goal = fb_churn_judge(figures);
    fb_units_show_bytes(figures->limit_bytes, limit, sizeof limit);
    SAY(&to, "forebay bench memory --churn: %" PRIu32 " threads for %.0f s, limit %s\n\n",
        figures->threads, figures->seconds, limit);
    SAY(&to, "  gets         %12" PRIu64 "  hits %.1f %%\n", figures->gets,
        figures->gets > 0 ? 100 * (double)figures->hits / (double)figures->gets : 0);
    SAY(&to, "  puts         %12" PRIu64 "  refused %" PRIu64 "\n", figures->puts,
        figures->refused);
    SAY(&to, "  deletes      %12" PRIu64 "\n", figures->dels);
    SAY(&to, "  evictions    %12" PRIu64 "\n", figures->evictions);
    SAY(&to, "  expirations  %12" PRIu64 "\n", figures->expirations);
    SAY(&to, "  entries      %12" PRIu64 "  at the end\n", figures->entries);
    SAY(&to, "  in memory    %12.1f  MB at most, %.1f MB at the end\n",
        (double)figures->rss_max_bytes / 1e6, (double)figures->rss_end_bytes / 1e6);
    SAY(&to, "  used         %12.1f  MB at most, as the store counts\n",
        (double)figures->used_max_bytes / 1e6);
    SAY(&to, "\nGoal\n  %-10s  %s\n", word_of(goal.verdict), goal.text);
    if (figures->wrong > 0) {
        SAY(&to, "\nWRONG: %" PRIu64 " values were not those of their keys\n", figures->wrong);
    }
    return to.failed ? FB_ENOMEM : FB_OK;
}

int fb_churn_json(const fb_churn_figures *figures, fb_buf *out) {
    fb_reply to;
    fb_memory_goal goal = fb_churn_judge(figures);
    fb_reply_init(&to, FB_ENCODING_JSON, out);
    fb_reply_map(&to, 16);
    put_double(&to, "seconds", figures->seconds);
    put_count(&to, "threads", figures->threads);
    put_count(&to, "limit_bytes", figures->limit_bytes);
    put_count(&to, "rss_max_bytes", figures->rss_max_bytes);
    put_count(&to, "rss_end_bytes", figures->rss_end_bytes);
    put_count(&to, "used_max_bytes", figures->used_max_bytes);
    put_count(&to, "gets", figures->gets);
    put_count(&to, "hits", figures->hits);
    put_count(&to, "puts", figures->puts);
    put_count(&to, "deletes", figures->dels);
    put_count(&to, "refused", figures->refused);
    put_count(&to, "evictions", figures->evictions);
    put_count(&to, "expirations", figures->expirations);
    put_count(&to, "entries", figures->entries);
    put_count(&to, "wrong_values", figures->wrong);
    fb_reply_text(&to, "goal");
    put_goal(&to, &goal);
    return fb_reply_failed(&to) || fb_buf_byte(out, '\n') < 0 ? FB_ENOMEM : FB_OK;
}
