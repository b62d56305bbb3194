// table_rig.h -- plans, and questions to a table of limits, for its tests.

#ifndef FB_TESTS_TABLE_RIG_H
#define FB_TESTS_TABLE_RIG_H

#include "limit/table.h"
#include "support.h"

#define SECOND_US INT64_C(1000000)
#define START_US INT64_C(1700000000000000)  // a time to begin with

static inline fb_limit_plan plan_of(fb_limit_algorithm algorithm, uint32_t limit,
                                    int64_t window_us) {
    fb_limit_options options = {.algorithm = (int)algorithm,
                                .limit = limit,
                                .window_ns = window_us * 1000,
                                .parts = 16};
    fb_limit_plan plan;
    fb_limit_plan_make(&plan, &options, NULL, 0);
    return plan;
}

static inline fb_limit_table *table_of(uint32_t keys_max, const fb_limit_plan *plan) {
    fb_limit_table *table = NULL;
    assert_ok(fb_limit_table_new(keys_max, fb_limit_table_room(plan), &table));
    return table;
}

// The hash of a key by number: spread over all bits, and no two alike.
static inline uint64_t hash_of(uint64_t number) {
    uint64_t hash = number + UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    hash = (hash ^ hash >> 27) * UINT64_C(0x94d049bb133111eb);
    return hash ^ hash >> 31;
}

static inline fb_limit_item item_of(fb_limit_table *table, const fb_limit_plan *plan,
                                    uint64_t number, fb_limit_act act, uint32_t cost,
                                    int64_t now_us) {
    fb_limit_item item = {.table = table, .plan = plan, .hash = hash_of(number)};
    item.step = (fb_limit_step){.act = act, .cost = cost, .now_us = now_us};
    if (plan->form == FB_LIMIT_FORM_FIXED) {
        item.step.start_us = now_us / plan->window_us * plan->window_us;
        item.step.end_us = item.step.start_us + plan->window_us;
    }
    return item;
}

// One question of one key. Whether it passed.
static inline bool ask(fb_limit_table *table, const fb_limit_plan *plan, uint64_t number,
                       int64_t now_us) {
    fb_limit_item item = item_of(table, plan, number, FB_LIMIT_TAKE, 1, now_us);
    return fb_limit_table_decide(&item, 1);
}

// What is left for a key.
static inline uint32_t remaining(fb_limit_table *table, const fb_limit_plan *plan, uint64_t number,
                                 int64_t now_us) {
    fb_limit_item item = item_of(table, plan, number, FB_LIMIT_LOOK, 1, now_us);
    fb_verdict verdict = {0};
    (void)fb_limit_table_decide(&item, 1);
    assert_int_equal(item.place, FB_LIMIT_DECIDED);
    fb_limit_tell(plan, &item.step, &item.view, item.allowed, &verdict);
    return verdict.remaining;
}

static inline fb_limit_table_figures figures_of(const fb_limit_table *table) {
    fb_limit_table_figures figures;
    fb_limit_table_figures_read(table, &figures);
    return figures;
}

#endif
