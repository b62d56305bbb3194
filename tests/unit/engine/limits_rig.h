// limits_rig.h -- engines with limits, questions in a line, and clocks that the test moves.

#ifndef FB_TESTS_LIMITS_RIG_H
#define FB_TESTS_LIMITS_RIG_H

#include "engine/limits.h"
#include "engine_rig.h"

enum { RIG_SECOND_US = 1000000 };

// Moves the clocks of an engine's limits on: monotonic and wall.
static inline void limits_pass(fb_engine *engine, int64_t us) {
    atomic_fetch_add(&engine->limits->shift_us[0], us);
    atomic_fetch_add(&engine->limits->shift_us[1], us);
}

static inline fb_limit_question limits_question(const char *rule, const char *key, uint32_t cost) {
    return (fb_limit_question){.rule = fb_str_of(rule), .key = fb_str_of(key), .cost = cost};
}

// One question; its result, which is never an error.
static inline int limits_ask(fb_engine *engine, const char *rule, const char *key, uint32_t cost,
                             unsigned flags, fb_verdict *verdict) {
    fb_limit_question question = limits_question(rule, key, cost);
    fb_error error = {0};
    int result = fb_limit_check(engine, &question, 1, flags, verdict, &error);
    if (result < 0) {
        fail_msg("%s: %s", fb_result_name(result), error.text);
    }
    return result;
}

static inline bool limits_pass_one(fb_engine *engine, const char *rule, const char *key) {
    fb_verdict verdict;
    return limits_ask(engine, rule, key, 1, 0, &verdict) == FB_OK;
}

// How many of `tries` questions of cost 1 are allowed.
static inline int limits_admitted(fb_engine *engine, const char *rule, const char *key, int tries) {
    int admitted = 0;
    for (int i = 0; i < tries; i++) {
        admitted += limits_pass_one(engine, rule, key);
    }
    return admitted;
}

static inline uint32_t limits_left(fb_engine *engine, const char *rule, const char *key) {
    fb_verdict verdict;
    (void)limits_ask(engine, rule, key, 0, FB_LIMIT_PEEK, &verdict);
    return verdict.remaining;
}

typedef struct limits_found {
    const char *name;
    fb_limit_figures figures;
    bool found;
} limits_found;

static inline void limits_find(void *arg, const fb_limit_figures *figures) {
    limits_found *one = arg;
    if (strcmp(figures->name, one->name) == 0) {
        one->figures = *figures;
        one->found = true;
    }
}

static inline fb_limit_figures limits_figures(fb_engine *engine, const char *rule) {
    limits_found one = {.name = rule};
    assert_ok(fb_limit_figures_read(engine, limits_find, &one));
    assert_true(one.found);
    return one.figures;
}

#endif
