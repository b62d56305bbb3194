// Flights with a shared tier: what is asked of it, and what becomes of its answers.

#include "flight_rig.h"

#define assert_acts(call, expected) assert_string_equal((call), (expected))

static rig shared_rig(void) {
    fb_class_options page = rig_timed_page();
    return rig_flights(&page, true);
}

static void test_lease__value_of_the_shared_tier_is_adopted(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    // Of the lease, where no cost is known: half of the hard time-out.
    assert_int_equal(at.ttl_ns, S(1));
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_VALUE, "one", S(4)), "1=one/shared 2=one/shared");
    assert_read(at.cache, "page:7", at.now_ns + S(3.9), "fresh:one");
    assert_read(at.cache, "page:7", at.now_ns + S(4), "stale:one");  // no longer than there
    assert_int_equal(rig_figures(&at).loads, 0);
    assert_int_equal(rig_figures(&at).hits, 2);
    rig_done(&at);
}

static void test_lease__adopted_value_is_fresh_no_longer_than_the_class_says(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_VALUE, "one", S(50)), "1=one/shared");
    assert_read(at.cache, "page:7", at.now_ns + S(9.9), "fresh:one");
    assert_read(at.cache, "page:7", at.now_ns + S(10), "stale:one");
    rig_done(&at);
}

static void test_lease__holder_loads_and_fills_both_tiers(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"),
                "1=one fill:page:7");  // who waits does not wait for the fill
    assert_int_equal(at.token, 70);
    assert_int_equal(at.ttl_ns, S(60));
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_acts(rig_ask(&at, "7", 2), "2=one");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_DONE, NULL, 0), "");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    rig_done(&at);
}

static void test_lease__shared_tier_is_told_the_loaders_own_time(void **state) {
    const struct {
        int result;
        int64_t ttl_ms, ttl_ns;
    } cases[] = {{FB_OK, 7, 7 * FB_NS_PER_MS},
                 {FB_NEGATIVE, 7, 7 * FB_NS_PER_MS},
                 {FB_NEGATIVE, -1, S(3)},
                 {FB_OK, INT64_MAX, INT64_MAX},
                 {FB_OK, INT64_MAX / 1000, INT64_MAX}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig at = shared_rig();
        assert_acts(rig_ask(&at, "7", 1), "get:page:7");
        assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
        bool negative = cases[i].result == FB_NEGATIVE;
        fb_loaded loaded = rig_loaded(negative ? NULL : "one", NULL);
        fb_loaded_ttl(&loaded, cases[i].ttl_ms);
        fb_flights_loaded(at.flights, at.loads[0], &loaded, 1, at.now_ns);
        assert_acts(rig_actions(&at), negative ? "1=- fill:page:7" : "1=one fill:page:7");
        assert_int_equal(at.ttl_ns, cases[i].ttl_ns);
        rig_done(&at);
    }
}

static void test_lease__refused_fill_fills_no_memory(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one fill:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_REFUSED, NULL, 0), "");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_int_equal(rig_figures(&at).doomed, 1);
    rig_done(&at);
}

static void test_lease__failed_fill_fills_memory(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one fill:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_FAILED, NULL, 0), "");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    rig_done(&at);
}

static void test_lease__sick_shared_tier_is_passed_by(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_FAILED, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    rig_done(&at);
}

static void test_lease__is_given_back_after_a_failure_and_after_a_doom(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE release:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_DONE, NULL, 0), "");
    assert_acts(rig_ask(&at, "8", 2), "get:page:8");
    assert_acts(rig_remote(&at, 2, FB_REMOTE_LEASE, NULL, 0), "load:page:8");
    fb_flights_notice(at.flights, FB_STR("page:8"), at.now_ns);
    assert_acts(rig_ask(&at, "8", 3), "get:page:8");
    assert_acts(rig_loads(&at, 1, "old"), "2=old release:page:8");
    assert_acts(rig_remote(&at, 4, FB_REMOTE_REFUSED, NULL, 0), "");
    assert_read(at.cache, "page:8", at.now_ns, "nothing");
    assert_acts(rig_remote(&at, 3, FB_REMOTE_LEASE, NULL, 0), "load:page:8");
    assert_acts(rig_loads(&at, 2, "new"), "3=new fill:page:8");
    rig_done(&at);
}

static void test_lease__held_by_another_is_looked_at_again_for_a_while(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    size_t looks = 1;
    const char *actions = rig_remote(&at, 0, FB_REMOTE_HELD, NULL, 0);
    while (strlen(actions) == 0) {
        actions = rig_time(&at, at.now_ns + S(1));
        if (strcmp(actions, "get:page:7") == 0) {
            actions = rig_remote(&at, looks++, FB_REMOTE_HELD, NULL, 0);
        }
    }
    assert_string_equal(actions, "load:page:7");
    assert_in_range(looks, 10, 20);
    assert_in_range(at.now_ns, S(101), S(101.2));  // half of the hard time-out, and one lease
    assert_acts(rig_loads(&at, 0, "one"), "1=one");  // without a token: no fill there
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    rig_done(&at);
}

static void test_lease__value_that_appears_meanwhile_is_adopted(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_HELD, NULL, 0), "");
    assert_acts(rig_time(&at, S(101)), "get:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_VALUE, "one", S(60)), "1=one/shared");
    rig_done(&at);
}

static void test_lease__held_by_another_serves_what_is_stale(void **state) {
    fb_class_options page = rig_timed_page();
    page.soft_timeout_ns = S(1);
    rig at = rig_flights(&page, true);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(112);
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_HELD, NULL, 0), "1=one/stale");
    assert_int_equal(fb_flights_count(at.flights), 0);  // the other one loads
    rig_done(&at);
}

static void test_lease__refresh_wants_no_value(void **state) {
    rig at = shared_rig();
    at.ask.refresh = true;
    assert_acts(rig_ask(&at, "7", 1), "lease:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one fill:page:7");
    // A shared tier that gives one all the same is not listened to.
    assert_acts(rig_ask(&at, "8", 2), "lease:page:8");
    assert_acts(rig_remote(&at, 2, FB_REMOTE_VALUE, "old", S(60)), "load:page:8");
    rig_done(&at);
}

static void test_lease__refresh_that_joined_is_not_answered_with_an_adopted_value(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    at.ask.refresh = true;
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_VALUE, "one", S(60)), "1=one/shared lease:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "two"), "2=two fill:page:7");
    rig_done(&at);
}

static void test_lease__early_refresh_takes_only_what_lasts_longer(void **state) {
    fb_class_options page = rig_timed_page();
    page.early_beta = 1;
    rig at = rig_flights(&page, true);
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one fill:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_DONE, NULL, 0), "");
    at.now_ns += S(8);
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_EARLY), "get:page:7");
    assert_acts(rig_remote(&at, 2, FB_REMOTE_VALUE, "one", S(2)), "lease:page:7");
    assert_acts(rig_remote(&at, 3, FB_REMOTE_HELD, NULL, 0), "");  // another node's refresh is on
    assert_int_equal(fb_flights_count(at.flights), 0);
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_EARLY), "get:page:7");
    assert_acts(rig_remote(&at, 4, FB_REMOTE_VALUE, "two", S(60)), "");
    assert_read(at.cache, "page:7", at.now_ns + S(9), "fresh:two");
    rig_done(&at);
}

static void test_lease__dead_holder_stalls_nobody_beyond_its_lease(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_HELD, NULL, 0), "");
    size_t looks = 1;
    while (at.now_ns < S(100.9)) {
        assert_acts(rig_time(&at, S(102)), "get:page:7");
        assert_acts(rig_remote(&at, looks++, FB_REMOTE_HELD, NULL, 0), "");
    }
    assert_acts(rig_time(&at, S(102)), "get:page:7");
    assert_acts(rig_remote(&at, looks, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one fill:page:7");
    rig_done(&at);
}

static void test_lease__holder_is_waited_for_half_the_hard_time_out(void **state) {
    fb_class_options page = rig_timed_page();
    page.hard_timeout_ns = S(30);
    rig at = rig_flights(&page, true);
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_HELD, NULL, 0), "");
    const char *actions = "";
    size_t looks = 1;
    while (strcmp(actions, "load:page:7") != 0) {
        assert_acts(rig_time(&at, S(200)), "get:page:7");
        actions = rig_remote(&at, looks++, FB_REMOTE_HELD, NULL, 0);
    }
    assert_in_range(at.now_ns, S(115), S(115.2));
    rig_done(&at);
}

// What a lease says of the key: a fence, a hold, where the wide log stood.
static const char *lease_with(rig *at, size_t n, uint64_t fence, bool keep_nothing) {
    fb_remote_reply reply = {.result = FB_REMOTE_LEASE,
                             .token = 70,
                             .wide = {5, 6, 7},
                             .fence = fence,
                             .keep_nothing = keep_nothing};
    fb_flights_remote(at->flights, at->remotes[n], &reply, at->now_ns);
    return rig_actions(at);
}

static const char *load_version(rig *at, size_t n, uint64_t source_version) {
    fb_loaded loaded = rig_loaded("one", NULL);
    fb_loaded_version(&loaded, source_version);
    fb_flights_loaded(at->flights, at->loads[n], &loaded, 1, at->now_ns);
    return rig_actions(at);
}

static void test_lease__what_is_older_than_the_fence_is_stored_nowhere(void **state) {
    const struct {
        uint64_t fence, version;
        bool stored;
    } cases[] = {{0, 0, true}, {0, 3, true}, {4, 3, false}, {4, 4, true}, {4, 5, true},
                 {4, 0, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig at = shared_rig();
        assert_acts(rig_ask(&at, "7", 1), "get:page:7");
        assert_acts(lease_with(&at, 0, cases[i].fence, false), "load:page:7");
        assert_acts(load_version(&at, 0, cases[i].version),
                    cases[i].stored ? "1=one fill:page:7" : "1=one release:page:7");
        assert_acts(rig_remote(&at, 1, FB_REMOTE_DONE, NULL, 0), "");
        assert_read(at.cache, "page:7", at.now_ns, cases[i].stored ? "fresh:one" : "nothing");
        rig_done(&at);
    }
}

static void test_lease__held_key_is_loaded_and_stored_nowhere(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(lease_with(&at, 0, 0, true), "load:page:7");
    assert_acts(load_version(&at, 0, 9), "1=one release:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_DONE, NULL, 0), "");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    rig_done(&at);
}

static void test_lease__fill_says_where_the_wide_log_stood_when_the_lease_was_got(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(lease_with(&at, 0, 0, false), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one fill:page:7");
    assert_int_equal(at.wide.epoch, 5);
    assert_int_equal(at.wide.seq, 6);
    assert_int_equal(at.wide.nonce, 7);
    rig_done(&at);
}

// ---- who does not want what is in memory

static void test_lease__shared_first_takes_the_shared_tiers_word(void **state) {
    rig at = shared_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", NULL, at.now_ns));
    at.ask.skip_memory = true;
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    // Also where it is fresh there for a shorter time than here.
    assert_acts(rig_remote(&at, 0, FB_REMOTE_VALUE, "new", S(2)), "1=new/shared");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:new");
    rig_done(&at);
}

static void test_lease__shared_first_takes_memorys_where_there_is_no_answer(void **state) {
    rig at = shared_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", NULL, at.now_ns));
    at.ask.skip_memory = true;
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_FAILED, NULL, 0), "1=old");
    assert_int_equal(fb_flights_count(at.flights), 0);
    assert_acts(rig_ask(&at, "8", 2), "get:page:8");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_FAILED, NULL, 0), "load:page:8");
    assert_acts(rig_loads(&at, 0, "new"), "2=new");
    rig_done(&at);
}

static void test_lease__shared_first_waits_for_who_loads_what_the_shared_tier_has_not(void **state) {
    rig at = shared_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", NULL, at.now_ns));
    at.ask.skip_memory = true;
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_HELD, NULL, 0), "");
    assert_acts(rig_time(&at, S(101)), "get:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_VALUE, "new", S(20)), "1=new/shared");
    rig_done(&at);
}

static void test_lease__without_a_shared_tier_memory_is_asked_first(void **state) {
    fb_class_options page = rig_timed_page();
    rig at = rig_flights(&page, false);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", NULL, at.now_ns));
    at.ask.skip_memory = at.ask.distrust_memory = true;
    assert_acts(rig_ask(&at, "7", 1), "1=old");
    rig_done(&at);
}

static void test_lease__distrusted_memory_never_answers(void **state) {
    fb_class_options page = rig_timed_page();
    page.waiters_max = 1;
    rig at = rig_flights(&page, true);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", NULL, at.now_ns));
    at.ask.distrust_memory = true;
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_ask(&at, "7", 2), "2!FB_EOVERLOAD");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_FAILED, NULL, 0), "load:page:7");
    assert_acts(rig_time(&at, at.now_ns + S(3)), "1!FB_ETIMEDOUT");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "");
    rig_done(&at);
}

static void test_lease__distrust_is_not_met_by_what_was_asked_for_before(void **state) {
    rig at = shared_rig();
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    at.ask.distrust_memory = true;
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_VALUE, "old", S(20)), "1=old/shared get:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_VALUE, "new", S(20)), "2=new/shared");
    rig_done(&at);
}

static void test_lease__stale_is_served_where_a_get_takes_long(void **state) {
    fb_class_options page = rig_timed_page();
    page.soft_timeout_ns = S(1);
    rig at = rig_flights(&page, true);
    fb_flights_free(at.flights);
    fb_flights_options options = {
        .cache = at.cache, .seed = 1, .remote = true, .remote_soft_ns = S(0.005)};
    assert_ok(fb_flights_new(&options, &at.flights));
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(112);
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_time(&at, S(113)), "1=one/stale");
    assert_true(at.now_ns == S(112.005));
    assert_acts(rig_remote(&at, 0, FB_REMOTE_LEASE, NULL, 0), "load:page:7");
    // A load is waited for as long as the class says.
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_time(&at, S(112.5)), "");
    assert_acts(rig_loads(&at, 0, "two"), "2=two fill:page:7");
    // Who has nothing to be served waits for the answer.
    assert_acts(rig_ask(&at, "8", 3), "get:page:8");
    assert_acts(rig_time(&at, S(112.6)), "");
    assert_acts(rig_remote(&at, 2, FB_REMOTE_VALUE, "eight", S(20)), "3=eight/shared");
    rig_done(&at);
}

static void test_lease__invalidation_is_applied_before_and_after_the_shared_tier(void **state) {
    rig at = shared_rig();
    rig_put(at.cache, "page:7", "old", 0, at.now_ns);
    assert_ok(fb_flights_invalidate(at.flights, FB_STR("page:7"), 9, at.now_ns));
    assert_acts(rig_actions(&at), "invalidate:page:7");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    // Before it is in force there, the old value is taken from there.
    assert_acts(rig_ask(&at, "7", 1), "get:page:7");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_VALUE, "old", S(60)), "1=old/shared");
    assert_acts(rig_remote(&at, 0, FB_REMOTE_DONE, NULL, 0), "9=");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    rig_done(&at);
}

static void test_lease__invalidation_that_fails_there_says_so(void **state) {
    rig at = shared_rig();
    assert_ok(fb_flights_invalidate(at.flights, FB_STR("page:7"), 9, at.now_ns));
    assert_ok(fb_flights_invalidate(at.flights, FB_STR("page:8"), 0, at.now_ns));
    assert_ok(fb_flights_invalidate(at.flights, FB_STR("page:9"), 3, at.now_ns));
    assert_acts(rig_actions(&at), "invalidate:page:7 invalidate:page:8 invalidate:page:9");
    fb_flights_leave(at.flights, 3);
    assert_acts(rig_remote(&at, 0, FB_REMOTE_FAILED, NULL, 0), "9!FB_ESOURCE");
    assert_acts(rig_remote(&at, 1, FB_REMOTE_FAILED, NULL, 0), "");
    assert_acts(rig_remote(&at, 2, FB_REMOTE_DONE, NULL, 0), "");
    assert_int_equal(fb_flights_waiting(at.flights), 0);
    rig_done(&at);
}

static void test_lease__without_a_shared_tier_an_invalidation_is_done_at_once(void **state) {
    fb_class_options page = rig_timed_page();
    rig at = rig_flights(&page, false);
    rig_put(at.cache, "page:7", "old", 0, at.now_ns);
    assert_ok(fb_flights_invalidate(at.flights, FB_STR("page:7"), 9, at.now_ns));
    assert_acts(rig_actions(&at), "9=");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    rig_done(&at);
}

static int invalidate_once(void *arg) {
    rig *at = arg;
    fb_flights_options options = {.cache = at->cache, .seed = 1, .remote = true};
    int result = fb_flights_new(&options, &at->flights);
    if (result < 0) {
        return result;
    }
    at->remote_count = 0;
    result = fb_flights_invalidate(at->flights, FB_STR("page:7"), 9, at->now_ns);
    (void)rig_actions(at);
    if (result == FB_OK) {
        assert_acts(rig_remote(at, 0, FB_REMOTE_DONE, NULL, 0), "9=");
    }
    fb_flights_free(at->flights);
    return result;
}

static void test_lease__invalidation_without_memory_is_none(void **state) {
    rig at = shared_rig();
    fb_flights_free(at.flights);
    assert_true(test_memory_sweep(invalidate_once, &at) > 3);
    fb_cache_free(at.cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lease__value_of_the_shared_tier_is_adopted),
        cmocka_unit_test(test_lease__adopted_value_is_fresh_no_longer_than_the_class_says),
        cmocka_unit_test(test_lease__holder_loads_and_fills_both_tiers),
        cmocka_unit_test(test_lease__shared_tier_is_told_the_loaders_own_time),
        cmocka_unit_test(test_lease__refused_fill_fills_no_memory),
        cmocka_unit_test(test_lease__failed_fill_fills_memory),
        cmocka_unit_test(test_lease__sick_shared_tier_is_passed_by),
        cmocka_unit_test(test_lease__is_given_back_after_a_failure_and_after_a_doom),
        cmocka_unit_test(test_lease__held_by_another_is_looked_at_again_for_a_while),
        cmocka_unit_test(test_lease__value_that_appears_meanwhile_is_adopted),
        cmocka_unit_test(test_lease__held_by_another_serves_what_is_stale),
        cmocka_unit_test(test_lease__refresh_wants_no_value),
        cmocka_unit_test(test_lease__refresh_that_joined_is_not_answered_with_an_adopted_value),
        cmocka_unit_test(test_lease__early_refresh_takes_only_what_lasts_longer),
        cmocka_unit_test(test_lease__dead_holder_stalls_nobody_beyond_its_lease),
        cmocka_unit_test(test_lease__holder_is_waited_for_half_the_hard_time_out),
        cmocka_unit_test(test_lease__what_is_older_than_the_fence_is_stored_nowhere),
        cmocka_unit_test(test_lease__held_key_is_loaded_and_stored_nowhere),
        cmocka_unit_test(
            test_lease__fill_says_where_the_wide_log_stood_when_the_lease_was_got),
        cmocka_unit_test(test_lease__shared_first_takes_the_shared_tiers_word),
        cmocka_unit_test(test_lease__shared_first_takes_memorys_where_there_is_no_answer),
        cmocka_unit_test(
            test_lease__shared_first_waits_for_who_loads_what_the_shared_tier_has_not),
        cmocka_unit_test(test_lease__without_a_shared_tier_memory_is_asked_first),
        cmocka_unit_test(test_lease__distrusted_memory_never_answers),
        cmocka_unit_test(test_lease__distrust_is_not_met_by_what_was_asked_for_before),
        cmocka_unit_test(test_lease__stale_is_served_where_a_get_takes_long),
        cmocka_unit_test(test_lease__invalidation_is_applied_before_and_after_the_shared_tier),
        cmocka_unit_test(test_lease__invalidation_that_fails_there_says_so),
        cmocka_unit_test(test_lease__without_a_shared_tier_an_invalidation_is_done_at_once),
        cmocka_unit_test(test_lease__invalidation_without_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
