// Recommendations and targets: which figures make which rule speak, and in what words.

#include "node/advice.h"
#include "support.h"

// ---- what is said

typedef struct heard {
    char text[8192];
    char rules[64][32];
    size_t count;
} heard;

static void hear(void *arg, const fb_advice *advice) {
    heard *all = arg;
    char text[FB_ADVICE_SIZE];
    size_t len = strlen(all->text);
    (void)snprintf(all->text + len, sizeof all->text - len, "%s\n", fb_advice_text(advice, text));
    assert_true(strlen(text) > 20 && text[strlen(text) - 1] == '.');
    assert_true(advice->about[0] != '\0' && advice->figure[0] != '\0' && advice->reason[0] != '\0');
    // Who is to act, or may, is told what to do.
    assert_true(advice->level == FB_ADVICE_FINE || advice->change[0] != '\0');
    assert_true(all->count < 64);
    (void)snprintf(all->rules[all->count++], 32, "%s", advice->rule);
}

static void give(const fb_advice_basis *basis, heard *all) {
    memset(all, 0, sizeof *all);
    fb_advice_each(basis, hear, all);
}

static void advise(const fb_stats *stats, heard *all) {
    give(&(fb_advice_basis){.stats = stats}, all);
}

static void advise_on(fb_cache_figures *classes, size_t count, heard *all) {
    fb_stats stats = {.classes = classes, .class_count = count, .memory_limit_bytes = 1 << 20};
    advise(&stats, all);
}

static fb_cache_figures reads(const char *name, uint64_t hits, uint64_t misses) {
    fb_cache_figures one = {.hits = hits, .misses = misses, .loads = misses, .ttl_ms = 300000};
    (void)snprintf(one.name, sizeof one.name, "%s", name);
    return one;
}

static void assert_says(const heard *all, const char *words) {
    if (strstr(all->text, words) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", words, all->text);
    }
}

static bool speaks(const heard *all, const char *rule) {
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->rules[i], rule) == 0) {
            return true;
        }
    }
    return false;
}

static void assert_speaks(const heard *all, const char *rule, bool speaks_) {
    if (speaks(all, rule) != speaks_) {
        fail_msg("%s is%s in:\n%s", rule, speaks_ ? " not" : "", all->text);
    }
}

// ---- of a class

static void test_advice__judges_hit_rates_by_their_bounds(void **state) {
    (void)state;
    static const struct {
        uint64_t hits;
        const char *rule, *words;
    } cases[] = {
        {1000, "over-caching",
         "hit rate 100.0% of 1000 reads: performing optimally, and over 95% it may be over-caching"},
        {951, "over-caching", "see that its TTL (5m)"},
        {950, "hit-rate-good", "hit rate 95.0% of 1000 reads: performing optimally."},
        {801, "hit-rate-good", "hit rate 80.1% of 1000 reads: performing optimally."},
        {800, "hit-rate-middling",
         "hit rate 80.0% of 1000 reads: look for opportunities: a longer TTL (now 5m)"},
        {500, "hit-rate-middling", "hit rate 50.0% of 1000 reads: look for opportunities"},
        {499, "hit-rate-poor", "normalise keys; review query patterns"},
        {0, "hit-rate-poor", "hit rate 0.0% of 1000 reads: most reads find nothing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_cache_figures one = reads("package", cases[i].hits, 1000 - cases[i].hits);
        heard all;
        advise_on(&one, 1, &all);
        assert_says(&all, "Class 'package': ");
        assert_says(&all, cases[i].words);
        assert_speaks(&all, cases[i].rule, true);
        assert_int_equal(all.count, 1);
    }
}

static void test_advice__says_when_there_is_too_little_to_judge_by(void **state) {
    (void)state;
    fb_cache_figures classes[] = {reads("", 0, 0), reads("package", 10, 9), reads("other", 0, 0)};
    heard all;
    advise_on(classes, 3, &all);
    assert_int_equal(all.count, 1);
    assert_says(&all, "Class 'package': 19 reads: too few requests to judge: that takes 20");
    classes[1] = reads("package", 0, 0);
    advise_on(classes, 3, &all);
    assert_int_equal(all.count, 1);
    assert_speaks(&all, "no-traffic", true);
    classes[1] = reads("package", 10, 10);
    advise_on(classes, 3, &all);
    assert_says(&all, "hit rate 50.0% of 20 reads");
}

static void test_advice__names_the_speed_up_and_what_it_rests_on(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 42, 8);
    heard all;
    one.hit = (fb_latency){.count = 3, .mean_ms = 45.2};
    one.miss = (fb_latency){.count = 8, .mean_ms = 285.6};
    advise_on(&one, 1, &all);
    assert_says(&all,
                "a hit takes 45.2 ms, a miss 285.6 ms: a hit is 6.3 times as fast as a miss");
    one.hit.mean_ms = 300;
    advise_on(&one, 1, &all);
    assert_says(&all, "caching it gains nothing");
    assert_speaks(&all, "no-speed-up", true);
    assert_speaks(&all, "speed-up", false);
}

// They have no options: what is advised is what clients can do.
static void test_advice__of_plain_keys_names_no_option_of_a_class(void **state) {
    (void)state;
    static const struct {
        uint64_t hits;
        const char *words;
    } cases[] = {{1000, "stored for longer (EX) than it stays true"},
                 {700, "before it is read"},
                 {10, "declare a class"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_cache_figures plain = reads("", cases[i].hits, 1000 - cases[i].hits);
        heard all;
        plain.loads = 0;
        advise_on(&plain, 1, &all);
        assert_says(&all, cases[i].words);
        assert_null(strstr(all.text, "TTL"));
        assert_null(strstr(all.text, "parameters"));
    }
}

static void test_advice__speaks_of_plain_keys_as_such(void **state) {
    (void)state;
    fb_cache_figures one = reads("", 60, 40);
    heard all;
    one.loads = 0;
    one.ttl_ms = 0;
    one.hit = (fb_latency){.count = 3, .mean_ms = 0.001};
    one.miss = (fb_latency){.count = 8, .mean_ms = 0.001};
    advise_on(&one, 1, &all);
    assert_int_equal(all.count, 1);
    assert_says(&all, "Plain keys: hit rate 60.0% of 100 reads");
}

// A class of 70 hits and 30 misses, with one figure more: of each rule one that is enough and one that is not.
static void test_advice__each_rule_of_a_class_has_its_bound(void **state) {
    (void)state;
#define AT(member) offsetof(fb_cache_figures, member)
    static const struct {
        const char *rule;
        size_t at;
        uint64_t enough, not_enough;
        const char *words;
    } cases[] = {
        {"loads-fail", AT(load_failures), 1, 0, "3.3% of 30 loads failed"},
        {"reads-fail", AT(errors), 2, 1, "2.0% of 100 reads ended in an error"},
        {"ttl-too-short", AT(expired), 9, 8, "30% of 30 misses had expired"},
        {"invalidated-often", AT(invalidated), 15, 14, "50% of 30 misses had been invalidated"},
        {"stampedes", AT(coalesced), 8, 7, "27% of 30 misses waited"},
        {"loads-overtaken", AT(doomed), 3, 2, "10% of 30 loads were overtaken"},
    };
#undef AT
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int enough = 0; enough < 2; enough++) {
            fb_cache_figures one = reads("package", 70, 30);
            heard all;
            *(uint64_t *)(void *)((char *)&one + cases[i].at) =
                enough ? cases[i].enough : cases[i].not_enough;
            advise_on(&one, 1, &all);
            assert_speaks(&all, cases[i].rule, enough);
            if (enough) {
                assert_says(&all, cases[i].words);
            }
        }
    }
}

static void test_advice__tells_of_slow_sources_and_wasted_refreshes(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 70, 30);
    heard all;
    one.load = (fb_latency){.count = 20, .p95_ms = 400};
    one.early_refreshes = 20;
    one.early_wasted = 10;
    advise_on(&one, 1, &all);
    assert_speaks(&all, "source-slow", false);
    assert_speaks(&all, "refreshed-in-vain", false);
    one.load.p95_ms = 401;
    one.early_wasted = 11;
    advise_on(&one, 1, &all);
    assert_speaks(&all, "source-slow", true);
    assert_says(&all, "an index or a LIMIT for its query");
    assert_speaks(&all, "refreshed-in-vain", true);
    one.load.count = 19;
    advise_on(&one, 1, &all);
    assert_speaks(&all, "source-slow", false);
}

// ---- of the whole

static void test_advice__tells_of_evictions(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 80, 20);
    heard all;
    fb_stats stats = {.all = one,
                      .classes = &one,
                      .class_count = 1,
                      .memory_bytes = 1 << 20,
                      .memory_limit_bytes = 1 << 20,
                      .evictions = 7};
    advise(&stats, &all);
    assert_says(&all, "Memory: 7 entries were evicted for want of room (1MiB of 1MiB in use): what "
                      "is evicted may be wanted again");
    stats.evictions = 0;
    advise(&stats, &all);
    assert_speaks(&all, "evictions", false);
}

static void test_advice__tells_of_the_shared_tier(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 9000, 1000);
    heard all;
    fb_stats stats = {.all = one, .classes = &one, .class_count = 1};
    advise(&stats, &all);
    assert_says(&all, "consider Redis (redis.url)");
    one.hits = 8999;
    stats.all.hits = 8999;
    advise(&stats, &all);
    assert_speaks(&all, "no-shared-tier", false);
    stats.shared = (fb_shared_info){.state = FB_SHARED_AWAY, .owed = 3, .why = "connection refused",
                                    .unfit = {"it evicts keys (maxmemory-policy)"},
                                    .unfit_count = 1};
    stats.all.shared_reads = 100;
    stats.all.shared_failures = 2;
    stats.all.shared = (fb_latency){.count = 100, .p95_ms = 21};
    advise(&stats, &all);
    assert_speaks(&all, "no-shared-tier", false);
    assert_says(&all, "Shared tier: away, 3 changes are owed to it: connection refused");
    assert_says(&all, "it evicts keys (maxmemory-policy)");
    assert_says(&all, "2.0% of 100 questions were not answered");
    assert_says(&all, "p95 of 100 answers is 21.0 ms");
    stats.shared = (fb_shared_info){.state = FB_SHARED_CONNECTED};
    stats.all.shared_failures = 1;
    stats.all.shared.p95_ms = 20;
    advise(&stats, &all);
    assert_int_equal(all.count, 1);
}

static void test_advice__tells_of_loads_that_wait(void **state) {
    (void)state;
    fb_cache_figures one = reads("package", 90, 10);
    heard all;
    fb_stats stats = {.classes = &one, .class_count = 1, .loads_running = 4, .loads_waiting = 8};
    advise(&stats, &all);
    assert_speaks(&all, "loads-wait", false);
    stats.loads_waiting = 10;
    advise(&stats, &all);
    assert_speaks(&all, "loads-wait", true);
}

// ---- of queues and limits

static void test_advice__tells_of_queues(void **state) {
    (void)state;
    fb_stats stats = {.memory_limit_bytes = 1};
    fb_queue_figures queue = {.name = "reports", .store = "journal", .reachable = true};
    fb_advice_basis basis = {.stats = &stats, .queues = &queue, .queue_count = 1};
    heard all;
    queue.look.counts[FB_JOB_READY] = 12;
    queue.look.oldest_ms = 59999;
    give(&basis, &all);
    assert_int_equal(all.count, 1);  // that nothing is read
    queue.look.oldest_ms = 60000;
    queue.look.counts[FB_JOB_DEAD] = 2;
    (void)snprintf(queue.reasons[0].text, sizeof queue.reasons[0].text, "no such user");
    queue.reason_count = 1;
    give(&basis, &all);
    assert_says(&all, "Queue 'reports': 12 jobs are ready, the oldest since 1m: jobs come faster "
                      "than they are done: more workers");
    assert_says(&all, "Queue 'reports': 2 jobs are dead: all their attempts failed; most often: no "
                      "such user");
    queue.look.paused = true;
    give(&basis, &all);
    assert_says(&all, "it is paused: resume it");
    queue.reachable = false;
    give(&basis, &all);
    assert_says(&all, "its store (journal) does not answer");
}

static void test_advice__tells_of_limits(void **state) {
    (void)state;
    fb_stats stats = {.memory_limit_bytes = 1};
    fb_limit_figures limit = {.name = "api", .allowed = 11, .denied = 10};
    fb_advice_basis basis = {.stats = &stats, .limits = &limit, .limit_count = 1};
    heard all;
    give(&basis, &all);
    assert_speaks(&all, "limit-denies", false);
    limit.allowed = 10;
    limit.untracked = 1;
    give(&basis, &all);
    assert_says(&all, "Limit 'api': 50% of 20 questions were denied");
    assert_speaks(&all, "limit-full", true);
    limit.allowed = 9;
    give(&basis, &all);
    assert_speaks(&all, "limit-denies", false);  // of fewer than 20
}

// ---- the table

static void test_advice__every_rule_has_a_name_of_its_own_and_says_when(void **state) {
    (void)state;
    const char *when = NULL;
    size_t count = 0;
    for (; fb_advice_rule(count, &when) != NULL; count++) {
        const char *name = fb_advice_rule(count, &when);
        assert_true(strlen(when) > 5);
        for (size_t i = 0; i < count; i++) {
            const char *other;
            assert_string_not_equal(name, fb_advice_rule(i, &other));
        }
    }
    assert_true(count > 20);
}

static void count_line(void *arg, const char *text) {
    assert_true(strlen(text) > 20);
    (*(size_t *)arg)++;
}

static void test_advice__always_has_something_to_say(void **state) {
    (void)state;
    fb_stats stats = {.memory_limit_bytes = 1};
    size_t count = 0;
    fb_advice_give(&stats, count_line, &count);
    assert_int_equal(count, 1);
}

// ---- targets

static void test_targets__are_met_or_not_or_not_known_yet(void **state) {
    (void)state;
    fb_target targets[FB_TARGET_COUNT];
    fb_stats stats = {.memory_bytes = 10, .memory_limit_bytes = 100};
    fb_advice_targets(&stats, targets);
    static const fb_met nothing_known[] = {FB_MET_UNKNOWN, FB_MET_UNKNOWN, FB_MET_UNKNOWN,
                                           FB_MET_YES, FB_MET_UNKNOWN};
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        assert_int_equal(targets[i].met, nothing_known[i]);
    }
    stats.all = reads("*", 76, 24);
    stats.all.hit = (fb_latency){.count = 1, .mean_ms = 99};
    stats.all.miss = (fb_latency){.count = 1, .mean_ms = 399};
    fb_advice_targets(&stats, targets);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        assert_int_equal(targets[i].met, FB_MET_YES);
    }
    stats.all = reads("*", 75, 25);
    stats.all.hit = (fb_latency){.count = 1, .mean_ms = 100};
    stats.all.miss = (fb_latency){.count = 1, .mean_ms = 400};
    stats.all.errors = 1;
    stats.memory_bytes = 100;
    fb_advice_targets(&stats, targets);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        assert_int_equal(targets[i].met, FB_MET_NO);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_advice__judges_hit_rates_by_their_bounds),
        cmocka_unit_test(test_advice__says_when_there_is_too_little_to_judge_by),
        cmocka_unit_test(test_advice__names_the_speed_up_and_what_it_rests_on),
        cmocka_unit_test(test_advice__of_plain_keys_names_no_option_of_a_class),
        cmocka_unit_test(test_advice__speaks_of_plain_keys_as_such),
        cmocka_unit_test(test_advice__each_rule_of_a_class_has_its_bound),
        cmocka_unit_test(test_advice__tells_of_slow_sources_and_wasted_refreshes),
        cmocka_unit_test(test_advice__tells_of_evictions),
        cmocka_unit_test(test_advice__tells_of_the_shared_tier),
        cmocka_unit_test(test_advice__tells_of_loads_that_wait),
        cmocka_unit_test(test_advice__tells_of_queues),
        cmocka_unit_test(test_advice__tells_of_limits),
        cmocka_unit_test(test_advice__every_rule_has_a_name_of_its_own_and_says_when),
        cmocka_unit_test(test_advice__always_has_something_to_say),
        cmocka_unit_test(test_targets__are_met_or_not_or_not_known_yet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
