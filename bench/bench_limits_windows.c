// What gets through a limit of N a window, on a virtual clock: the most that any window had when
// somebody aims at its edges, and how much of the limit remains under overload. Our algorithms
// beside the two-counter window of most libraries: what the window before this one had, weighed
// with the share of it that the sliding window still covers, plus what this one has.
//
// The attack: silence, all of the limit at once in a window's last moment, and from then on without
// a pause, from 64 moments of the clock. Overload: ten times the limit, evenly or at random.

#include "limit/plan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW_US = 60000000, EVENTS_MAX = 1 << 20, STARTS = 64, WINDOWS = 100 };

// One limiter: either of ours, or (plan NULL) two counters.
typedef struct limiter {
    const char *name;
    uint32_t limit;
    const fb_limit_plan *plan;
    fb_limit_state state;
    int64_t window;
    double before, now;
} limiter;

static int64_t admitted[EVENTS_MAX];
static size_t admitted_count;

static bool ask_two_counters(limiter *self, int64_t now_us) {
    int64_t window = now_us / WINDOW_US;
    if (window != self->window) {
        self->before = window == self->window + 1 ? self->now : 0;
        self->now = 0;
        self->window = window;
    }
    double left = 1 - (double)(now_us % WINDOW_US) / WINDOW_US;
    if (self->before * left + self->now + 1 > self->limit) {
        return false;
    }
    self->now++;
    return true;
}

static void ask(limiter *self, int64_t now_us) {
    fb_limit_step step = {.act = FB_LIMIT_TAKE,
                          .cost = 1,
                          .now_us = now_us,
                          .start_us = now_us / WINDOW_US * WINDOW_US,
                          .end_us = (now_us / WINDOW_US + 1) * WINDOW_US};
    bool allowed = self->plan == NULL ? ask_two_counters(self, now_us)
                                      : fb_limit_decide(self->plan, &step, &self->state);
    if (allowed && admitted_count < EVENTS_MAX) {
        admitted[admitted_count++] = now_us;
    }
}

static void begin(limiter *self) {
    self->state.len = 0;
    self->before = self->now = 0;
    self->window = 0;
    admitted_count = 0;
}

static size_t most_in_a_window(void) {
    size_t most = 0;
    for (size_t first = 0, last = 0; last < admitted_count; last++) {
        while (admitted[last] - admitted[first] >= WINDOW_US) {
            first++;
        }
        most = last - first + 1 > most ? last - first + 1 : most;
    }
    return most;
}

static double attack(limiter *self) {
    size_t most = 0;
    for (unsigned i = 0; i < STARTS; i++) {
        // The last 1/1000 of a window for i = 0; the others are spread over it.
        int64_t start = 1000 * (int64_t)WINDOW_US - WINDOW_US / 1000 +
                        (int64_t)i * WINDOW_US / STARTS;
        begin(self);
        for (uint32_t n = 0; n < self->limit; n++) {
            ask(self, start);
        }
        for (int64_t now = start; now < start + 3 * (int64_t)WINDOW_US;
             now += WINDOW_US / (10 * self->limit)) {
            ask(self, now);
        }
        size_t found = most_in_a_window();
        most = found > most ? found : most;
    }
    return (double)most / self->limit;
}

// What was let through of what the limit allows, once it has been under load for ten windows.
static double overload(limiter *self, bool even) {
    uint64_t random = 88172645463325252u;
    int64_t start = 1000 * (int64_t)WINDOW_US, now = start;
    int64_t counted = start + 10 * (int64_t)WINDOW_US;
    int64_t pause = WINDOW_US / (10 * self->limit);
    size_t through = 0;
    begin(self);
    while (now < counted + WINDOWS * (int64_t)WINDOW_US) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        now += even ? pause : (int64_t)(random % (uint64_t)(2 * pause));
        ask(self, now);
    }
    for (size_t i = 0; i < admitted_count; i++) {
        through += admitted[i] >= counted;
    }
    return (double)through / ((double)self->limit * WINDOWS);
}

static void show(limiter *self) {
    double worst = attack(self);
    double even = overload(self, true);
    double random = overload(self, false);
    printf("%-28s %6u %20.2f %16.3f %12.3f\n", self->name, self->limit, worst, even, random);
}

int main(void) {
    static const struct {
        const char *name;
        fb_limit_options options;
    } ours[] = {
        {"sliding (exact)", {.algorithm = FB_LIMIT_SLIDING, .limit = 10, .parts = 16}},
        {"sliding (exact)", {.algorithm = FB_LIMIT_SLIDING, .limit = 64, .parts = 16}},
        {"sliding (16 sub-windows)", {.algorithm = FB_LIMIT_SLIDING, .limit = 100, .parts = 16}},
        {"sliding (16 sub-windows)", {.algorithm = FB_LIMIT_SLIDING, .limit = 1000, .parts = 16}},
        {"sliding (64 sub-windows)", {.algorithm = FB_LIMIT_SLIDING, .limit = 1000, .parts = 64}},
        {"token (its own promise)", {.algorithm = FB_LIMIT_TOKEN, .limit = 1000, .parts = 16}},
        {"fixed (its own promise)", {.algorithm = FB_LIMIT_FIXED, .limit = 1000, .parts = 16}},
    };
    static const uint32_t counted[] = {10, 100, 1000};
    printf("Cost admitted, in multiples of the limit\n");
    printf("%-28s %6s %20s %16s %12s\n", "", "limit", "most in any window", "overload, even",
           "random");
    for (unsigned i = 0; i < sizeof ours / sizeof *ours; i++) {
        fb_limit_options options = ours[i].options;
        fb_limit_plan plan;
        options.window_ns = WINDOW_US * INT64_C(1000);
        fb_limit_plan_make(&plan, &options, NULL, 0);
        show(&(limiter){.name = ours[i].name, .limit = options.limit, .plan = &plan});
    }
    for (unsigned i = 0; i < 3; i++) {
        show(&(limiter){.name = "two counters", .limit = counted[i]});
    }
    puts("token promises its capacity and what flows in, fixed its limit in a period of the clock:\n"
         "in a window of any beginning both are twice the limit at most.");
    return 0;
}
