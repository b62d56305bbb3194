// Rules of the table of keys' states: each is taken out, and a short history that ends well with it
// lets too much through.

#include "base/rule.h"
#include "limit/slots.h"
#include "table_rig.h"

// Each returns whether more passed than may.
typedef bool (*history_fn)(void);

static bool by_a_flood(void) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 10, 60 * SECOND_US);
    fb_limit_table *table = table_of(50, &plan);
    fb_limit_item item = item_of(table, &plan, 1, FB_LIMIT_TAKE, 6, START_US);
    while (fb_limit_table_decide(&item, 1)) {
    }
    for (uint64_t key = 100; key < 1000; key++) {
        for (int i = 0; i < 8; i++) {
            assert_true(ask(table, &plan, key, START_US));
        }
    }
    bool passed = fb_limit_table_decide(&item, 1);
    fb_limit_table_free(table);
    return passed;
}

static bool by_clocks_that_differ(void) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 4, SECOND_US);
    fb_limit_table *table = table_of(50, &plan);
    // Two at the window's beginning; then a clock that lags takes them, and two more, back with it.
    assert_true(ask(table, &plan, 1, START_US + SECOND_US / 2));
    assert_true(ask(table, &plan, 1, START_US + SECOND_US / 2));
    (void)ask(table, &plan, 1, START_US);
    (void)ask(table, &plan, 1, START_US);
    bool passed = ask(table, &plan, 1, START_US + SECOND_US + SECOND_US / 4);
    fb_limit_table_free(table);
    return passed;
}

static bool by_the_end_of_a_period(void) {
    fb_limit_plan plan = plan_of(FB_LIMIT_FIXED, 4, 10 * SECOND_US);
    fb_limit_table *table = table_of(50, &plan);
    int64_t end_us = START_US / plan.window_us * plan.window_us + plan.window_us;
    unsigned passed = 0;
    for (int i = 0; i < 10; i++) {
        passed += ask(table, &plan, 1, end_us);
        passed += ask(table, &plan, 1, end_us - 1);
    }
    fb_limit_table_free(table);
    return passed > plan.limit;
}

static bool by_asking_twice_at_once(void) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 4, SECOND_US);
    fb_limit_table *table = table_of(50, &plan);
    fb_limit_item items[2] = {item_of(table, &plan, 1, FB_LIMIT_TAKE, 3, START_US),
                              item_of(table, &plan, 1, FB_LIMIT_TAKE, 3, START_US)};
    bool passed = fb_limit_table_decide(items, 2);
    fb_limit_table_free(table);
    return passed;
}

// Here it is too little that passes: what was denied was charged in part.
static bool by_one_of_two_that_is_denied(void) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLIDING, 4, SECOND_US);
    fb_limit_table *table = table_of(50, &plan);
    fb_limit_item items[2] = {item_of(table, &plan, 1, FB_LIMIT_TAKE, 3, START_US),
                              item_of(table, &plan, 2, FB_LIMIT_TAKE, 5, START_US)};
    assert_false(fb_limit_table_decide(items, 2));
    bool charged = remaining(table, &plan, 1, START_US) != 4;
    fb_limit_table_free(table);
    return charged;
}

// And here a lease that is over keeps others out.
static bool by_leases_from_a_later_time(void) {
    fb_limit_plan plan = plan_of(FB_LIMIT_SLOTS, 1, 10 * SECOND_US);
    fb_limit_slots *slots = NULL;
    fb_limit_slots_answer answer;
    int64_t back_us = START_US - 3600 * SECOND_US;
    assert_ok(fb_limit_slots_new(1, &slots));
    assert_ok(fb_limit_slots_acquire(slots, 1, &plan, 1, SECOND_US, START_US, &answer));
    fb_limit_slots_look(slots, 2, &plan, back_us, &answer);
    back_us += plan.window_us;
    int result = fb_limit_slots_acquire(slots, 2, &plan, 2, SECOND_US, back_us, &answer);
    fb_limit_slots_free(slots);
    return result == FB_EOVERLOAD;
}

static void expect(const char *rule, history_fn history) {
    assert_false(history());
    fb_rule_without(rule);
    bool shown = history();
    fb_rule_without(NULL);
    assert_true(shown);
}

static void test_rule__table_denied_stay(void **state) {
    expect("table_denied_stay", by_a_flood);
}

static void test_rule__table_steady(void **state) {
    expect("table_steady", by_clocks_that_differ);
}

static void test_rule__table_period(void **state) {
    expect("table_period", by_the_end_of_a_period);
}

static void test_rule__table_sum(void **state) {
    expect("table_sum", by_asking_twice_at_once);
}

static void test_rule__table_all_or_none(void **state) {
    expect("table_all_or_none", by_one_of_two_that_is_denied);
}

static void test_rule__slots_cut(void **state) {
    expect("slots_cut", by_leases_from_a_later_time);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule__table_denied_stay), cmocka_unit_test(test_rule__table_steady),
        cmocka_unit_test(test_rule__table_period),      cmocka_unit_test(test_rule__table_sum),
        cmocka_unit_test(test_rule__table_all_or_none), cmocka_unit_test(test_rule__slots_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
