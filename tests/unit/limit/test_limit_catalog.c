// Catalogues: what of the one before the next goes on with, and that nothing is freed twice or not at
// all, wherever memory ends.

#include "limit/catalog.h"

#include "base/units.h"
#include "support.h"

static char per[] = "user", message[] = "requests", zone[] = "UTC", vip[] = "vip";

static fb_limit_options rule(char *name, int algorithm, uint32_t limit, int64_t window_s) {
    return (fb_limit_options){.name = name,
                              .enabled = true,
                              .algorithm = algorithm,
                              .limit = limit,
                              .window_ns = window_s * FB_NS_PER_S,
                              .parts = 16,
                              .per = per,
                              .message = message,
                              .time_zone = zone,
                              .keys_max = 100,
                              .instances = 2};
}

static fb_limit_catalog *next(const fb_limit_options *rules, size_t count,
                              fb_limit_catalog *before) {
    fb_limit_catalog_options options = {.rules = rules,
                                        .rule_count = count,
                                        .shared = true,
                                        .hash_key = {1, 2},
                                        .before = before};
    fb_limit_catalog *catalog = NULL;
    assert_ok(fb_limit_catalog_new(&options, &catalog));
    return catalog;
}

static fb_limit_rule *find(const fb_limit_catalog *catalog, const char *name) {
    return fb_limit_catalog_find(catalog, fb_str_of(name));
}

static void test_limit_catalog__has_what_is_switched_on(void **state) {
    char a[] = "a", b[] = "b";
    fb_limit_options rules[2] = {rule(a, FB_LIMIT_SLIDING, 5, 10), rule(b, FB_LIMIT_TOKEN, 5, 10)};
    fb_limit_tier_options tiers[1] = {{.name = vip, .limit = 50}};
    (void)state;
    rules[0].tiers = tiers;
    rules[0].tier_count = 1;
    rules[1].enabled = false;
    fb_limit_catalog *catalog = next(rules, 2, NULL);
    assert_int_equal(fb_limit_catalog_count(catalog), 1);
    assert_null(find(catalog, "b"));
    fb_limit_rule *found = find(catalog, "a");
    assert_true(found == fb_limit_catalog_at(catalog, 0) && found->options.name != a);
    assert_int_equal(fb_limit_rule_quota(found, FB_STR("vip"))->plan.limit, 50);
    assert_int_equal(fb_limit_rule_quota(found, FB_STR("vip"))->part.limit, 25);
    assert_int_equal(fb_limit_rule_quota(found, FB_STR("none"))->plan.limit, 5);
    assert_true(found->quotas[0].salt != found->quotas[1].salt);
    fb_limit_catalog_free(catalog);
}

static void test_limit_catalog__goes_on_with_what_still_fits(void **state) {
    char same[] = "same", wider[] = "wider", longer[] = "longer", more[] = "more", jobs[] = "jobs";
    fb_limit_options rules[5] = {rule(same, FB_LIMIT_SLIDING, 5, 10),
                                 rule(wider, FB_LIMIT_SLIDING, 50, 10),
                                 rule(longer, FB_LIMIT_SLIDING, 5, 10),
                                 rule(more, FB_LIMIT_FIXED, 5, 10),
                                 rule(jobs, FB_LIMIT_SLOTS, 5, 10)};
    (void)state;
    fb_limit_catalog *one = next(rules, 5, NULL);
    rules[1].limit = 20;
    rules[2].window_ns *= 2;
    rules[3].keys_max = 200;
    rules[4].limit = 7;
    fb_limit_catalog *two = next(rules, 5, one);
    const char *kept[] = {"same", "wider"}, *anew[] = {"longer", "more"};
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(find(two, kept[i])->quotas[0].table, find(one, kept[i])->quotas[0].table);
        assert_ptr_equal(find(two, kept[i])->quotas[0].fallback,
                         find(one, kept[i])->quotas[0].fallback);
        assert_ptr_not_equal(find(two, anew[i])->quotas[0].table,
                             find(one, anew[i])->quotas[0].table);
        assert_ptr_equal(find(two, anew[i])->ledger, find(one, anew[i])->ledger);
    }
    assert_ptr_equal(find(two, "jobs")->slots, find(one, "jobs")->slots);
    // And through one that fails to be of use.
    fb_limit_catalog *three = next(rules, 5, two);
    fb_limit_catalog_disown(three);
    fb_limit_catalog_free(three);
    rules[1].limit = 40;  // finds room in what was made for 50
    three = next(rules, 5, two);
    assert_ptr_equal(find(three, "wider")->quotas[0].table, find(one, "wider")->quotas[0].table);
    assert_ptr_equal(fb_limit_catalog_before(three), two);
    fb_limit_catalog_free(three);
}

static int make_two(void *arg) {
    char a[] = "a", b[] = "b";
    fb_limit_options rules[2] = {rule(a, FB_LIMIT_SLIDING, 5, 10), rule(b, FB_LIMIT_SLOTS, 5, 10)};
    fb_limit_tier_options tiers[1] = {{.name = vip, .limit = 50}};
    fb_limit_catalog_options options = {.rules = rules, .rule_count = 2, .shared = true};
    fb_limit_catalog *one = NULL, *two = NULL;
    (void)arg;
    rules[0].tiers = tiers;
    rules[0].tier_count = 1;
    int result = fb_limit_catalog_new(&options, &one);
    if (result == FB_OK) {
        options.before = one;
        rules[0].window_ns *= 2;
        result = fb_limit_catalog_new(&options, &two);
    }
    fb_limit_catalog_free(two != NULL ? two : one);
    return result;
}

static void test_limit_catalog__needs_memory(void **state) {
    (void)state;
    assert_true(test_memory_sweep(make_two, NULL) > 20);
}

// Also those whose names begin and end alike, and are as long.
static void test_limit_catalog__finds_each_rule_by_its_name(void **state) {
    enum { RULES = 300 };
    static char names[RULES][16];
    static fb_limit_options rules[RULES];
    (void)state;
    for (int i = 0; i < RULES; i++) {
        (void)snprintf(names[i], sizeof names[i], i % 2 == 0 ? "a%03dz" : "%d", i);
        rules[i] = rule(names[i], FB_LIMIT_TOKEN, 5, 10);
        rules[i].keys_max = 1;
    }
    fb_limit_catalog *catalog = next(rules, RULES, NULL);
    for (int i = 0; i < RULES; i++) {
        assert_ptr_equal(find(catalog, names[i]), fb_limit_catalog_at(catalog, (size_t)i));
    }
    assert_null(find(catalog, "a001z"));
    assert_null(find(catalog, "a"));
    assert_null(find(catalog, "0"));
    assert_null(find(catalog, ""));
    assert_string_equal(fb_limit_catalog_nearest(catalog, FB_STR("a00z")), "a000z");
    assert_null(fb_limit_catalog_nearest(catalog, FB_STR("somebody else")));
    fb_limit_catalog_free(catalog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_catalog__has_what_is_switched_on),
        cmocka_unit_test(test_limit_catalog__goes_on_with_what_still_fits),
        cmocka_unit_test(test_limit_catalog__finds_each_rule_by_its_name),
        cmocka_unit_test(test_limit_catalog__needs_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
