// sim [--seeds N] [--start S] [--trace] [--without RULE] [--rules] [--covered]
//
// Runs N worlds (world.h), one after the other, and tells how many in a second. The first seed that
// goes wrong is run again with its history printed, and the program fails.
//
//   --trace         prints the history of every seed
//   --covered       fails where something of the list in world.h happened in none of the worlds
//   --without RULE  takes a rule out (only with -Dmutations=true)
//   --rules         for each rule: which seed shows that it is needed (likewise)

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rule.h"
#include "world.h"

typedef struct arguments {
    uint64_t start, seeds;
    bool trace, covered, rules;
    const char *without;
} arguments;

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// The first seed that goes wrong is in *seed; false: none does.
static bool search(world *w, uint64_t start, uint64_t seeds, bool trace, covered *seen,
                   uint64_t *seed) {
    for (uint64_t i = 0; i < seeds; i++) {
        *seed = start + i;
        if (world_run(w, *seed, seen, trace) < 0) {
            return true;
        }
    }
    return false;
}

static uint64_t show_covered(const covered *seen) {
    uint64_t missing = 0;
#define COVERED_SHOW(name)                                            \
    printf("  %-16s %llu%s\n", #name, (unsigned long long)seen->name, \
           seen->name == 0 ? "   <- in none of the worlds" : "");     \
    missing += seen->name == 0;
    COVERED(COVERED_SHOW)
#undef COVERED_SHOW
    return missing;
}

static int run(world *w, const arguments *given) {
    covered seen = {0};
    uint64_t seed = 0;
    double begin = seconds();
    bool wrong = search(w, given->start, given->seeds, given->trace, &seen, &seed);
    double took = seconds() - begin;
    if (wrong) {
        char what[sizeof w->what];
        memcpy(what, w->what, sizeof what);
        if (!given->trace) {
            (void)world_run(w, seed, &seen, true);
        }
        printf("seed %llu: %s\n", (unsigned long long)seed, what);
        printf("again: sim --start %llu --seeds 1 --trace%s%s\n", (unsigned long long)seed,
               given->without != NULL ? " --without " : "",
               given->without != NULL ? given->without : "");
        return 1;
    }
    printf("%llu seeds from %llu: all well, %.0f a second\n", (unsigned long long)given->seeds,
           (unsigned long long)given->start, (double)given->seeds / took);
    if (given->covered && show_covered(&seen) > 0) {
        return 1;
    }
    return 0;
}

// ---- rules

#ifdef FB_MUTATIONS

typedef struct rule {
    const char *name;
    const char *text;
} rule;

static const rule rules[] = {
    {"doom", "a load that an invalidation overtook is not stored"},
    {"ticket_first", "a load is registered before its source is asked"},
    {"detach", "nobody joins a flight that an invalidation overtook"},
    {"tag_stamp", "an entry carries the tag sequence of its load's start"},
    {"reader_seq",
     "a reader from after a tag's invalidation is not answered with a load from before"},
    {"refresh",
     "who wants a load of his own time is not answered with one that was given out before"},
    {"watchdog", "a flight that was given up stores nothing"},
    {"fill_token", "the shared tier is filled only by the holder of the lease"},
    {"lease_falls", "an invalidation in the shared tier deletes the lease too"},
    {"reapply", "an invalidation is applied again when the shared tier has acknowledged it"},
};

// In a process of its own: after a mistake nothing of the machine can be trusted.
static bool is_needed(world *w, const rule *one, const arguments *given) {
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        covered seen = {0};
        uint64_t seed = 0;
        fb_rule_without(one->name);
        bool wrong = search(w, given->start, given->seeds, false, &seen, &seed);
        if (wrong) {
            printf("%-13s %s\n%13s without it, seed %llu: %s\n", one->name, one->text, "",
                   (unsigned long long)seed, w->what);
        } else {
            printf("%-13s %s\n%13s NOTHING goes wrong without it in %llu seeds\n", one->name,
                   one->text, "", (unsigned long long)given->seeds);
        }
        (void)fflush(stdout);
        _exit(wrong ? 0 : 1);
    }
    int status = -1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static int show_rules(world *w, const arguments *given) {
    bool all = true;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        all = is_needed(w, &rules[i], given) && all;
    }
    return all ? 0 : 1;
}

static bool take_out(const char *name) {
    fb_rule_without(name);
    return true;
}

#else

static int show_rules(world *w, const arguments *given) {
    (void)w, (void)given;
    (void)fprintf(stderr, "sim: built without -Dmutations=true\n");
    return 2;
}

static bool take_out(const char *name) {
    (void)name;
    (void)fprintf(stderr, "sim: built without -Dmutations=true\n");
    return false;
}

#endif

// ---- arguments

static bool parse(int count, char **texts, arguments *given) {
    *given = (arguments){.start = 1, .seeds = 1000};
    for (int i = 1; i < count; i++) {
        const char *text = texts[i];
        bool has_next = i + 1 < count;
        if (strcmp(text, "--trace") == 0) {
            given->trace = true;
        } else if (strcmp(text, "--covered") == 0) {
            given->covered = true;
        } else if (strcmp(text, "--rules") == 0) {
            given->rules = true;
        } else if (strcmp(text, "--seeds") == 0 && has_next) {
            given->seeds = strtoull(texts[++i], NULL, 0);
        } else if (strcmp(text, "--start") == 0 && has_next) {
            given->start = strtoull(texts[++i], NULL, 0);
        } else if (strcmp(text, "--without") == 0 && has_next) {
            given->without = texts[++i];
        } else {
            return false;
        }
    }
    return true;
}

int main(int count, char **texts) {
    static world w;
    arguments given;
    if (!parse(count, texts, &given)) {
        (void)fprintf(stderr,
                      "usage: sim [--seeds N] [--start S] [--trace] [--covered] "
                      "[--without RULE] [--rules]\n");
        return 2;
    }
    if (given.rules) {
        return show_rules(&w, &given);
    }
    if (given.without != NULL && !take_out(given.without)) {
        return 2;
    }
    int result = run(&w, &given);
    (void)fflush(stdout);
    if (result != 0) {
        _exit(result);  // what the world that went wrong held is lost: no leak to be reported
    }
    fb_arena_release(&w.memory);
    return 0;
}
