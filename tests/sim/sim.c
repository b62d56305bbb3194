// sim [--seeds N] [--start S] [--trace | --quiet] [--alone | --shared] [--covered]
//     [--without RULE] [--rules]
//
// Runs N worlds (world.h), one after the other, and tells how many in a second. The first seed that
// goes wrong is run again with its history printed, and the program fails.
//
//   --trace         prints the history of every seed
//   --quiet         prints none, also not of the seed that goes wrong
//   --alone, --shared  only worlds without, or with, a shared tier
//   --covered       fails where something of the list in world.h happened in none of the worlds
//   --without RULE  takes a rule out (only with -Dmutations=true)
//   --rules         for each rule: which seed shows that it is needed (likewise), as rows of a
//   table

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "world.h"

typedef struct arguments {
    uint64_t start, seeds;
    bool trace, quiet, covered, rules;
    world_kind kind;
    const char *without;
} arguments;

static double seconds(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
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
    w->trace = given->trace;
    double begin = seconds();
    bool wrong = world_search(w, given->start, given->seeds, &seen, &seed);
    double took = seconds() - begin;
    if (wrong) {
        char what[sizeof w->what];
        memcpy(what, w->what, sizeof what);
        if (!given->trace && !given->quiet) {
            w->trace = true;
            (void)world_run(w, seed, &seen);
        }
        printf("seed %llu: %s\n", (unsigned long long)seed, what);
        static const char *const kinds[] = {"", " --alone", " --shared"};
        printf("again: sim --start %llu --seeds 1%s --trace%s%s\n", (unsigned long long)seed,
               kinds[given->kind], given->without != NULL ? " --without " : "",
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

// ---- arguments

static bool parse(int count, char **texts, arguments *given) {
    *given = (arguments){.start = 1, .seeds = 1000};
    for (int i = 1; i < count; i++) {
        const char *text = texts[i];
        bool has_next = i + 1 < count;
        if (strcmp(text, "--trace") == 0) {
            given->trace = true;
        } else if (strcmp(text, "--quiet") == 0) {
            given->quiet = true;
        } else if (strcmp(text, "--alone") == 0) {
            given->kind = WORLD_ALONE;
        } else if (strcmp(text, "--shared") == 0) {
            given->kind = WORLD_SHARED;
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
                      "usage: sim [--seeds N] [--start S] [--trace | --quiet] [--alone | --shared] "
                      "[--covered] [--without RULE] [--rules]\n");
        return 2;
    }
    w.kind = given.kind;
    if (given.rules) {
        return rules_show(&w, given.start, given.seeds);
    }
    if (given.without != NULL && !rules_without(given.without)) {
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
