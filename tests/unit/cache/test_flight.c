// Flights without a shared tier: who joins, who is answered with what, and when. What no single
// scenario shows is the simulation's matter (tests/sim).

#include "cache/trouble.h"
#include "flight_rig.h"

#define assert_acts(call, expected) assert_string_equal((call), (expected))

static rig plain_rig(void) {
    fb_class_options page = rig_timed_page();
    return rig_flights(&page, false);
}

// ---- joining

static void test_flight__two_hundred_callers_cause_one_load(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    for (uint64_t i = 2; i <= 200; i++) {
        assert_acts(rig_ask(&at, "7", i), "");
    }
    assert_int_equal(fb_flights_count(at.flights), 1);
    assert_int_equal(fb_flights_waiting(at.flights), 200);
    const char *answers = rig_loads(&at, 0, "one");
    assert_memory_equal(answers, "1=one 2=one 3=one ", 18);
    assert_int_equal(fb_flights_waiting(at.flights), 0);
    assert_int_equal(fb_flights_count(at.flights), 0);
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    fb_cache_figures figures = rig_figures(&at);
    assert_int_equal(figures.loads, 1);
    assert_int_equal(figures.misses, 200);
    assert_int_equal(figures.coalesced, 199);
    rig_done(&at);
}

static void test_flight__memory_is_looked_at_once_more(void **state) {
    rig at = plain_rig();
    rig_put(at.cache, "page:7", "set", 0, at.now_ns);
    assert_acts(rig_ask(&at, "7", 1), "1=set");
    assert_int_equal(rig_figures(&at).hits, 1);
    rig_done(&at);
}

static void test_flight__doomed_load_answers_who_joined_before_and_is_not_stored(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");
    assert_acts(rig_ask(&at, "7", 3), "");
    assert_acts(rig_loads(&at, 0, "old"), "1=old");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_acts(rig_loads(&at, 1, "new"), "2=new 3=new");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:new");
    assert_int_equal(rig_figures(&at).doomed, 1);
    rig_done(&at);
}

static void test_flight__doomed_load_that_ends_last_changes_nothing(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_put(at.cache, "page:7", "set", 0, at.now_ns);
    assert_acts(rig_loads(&at, 0, "old"), "1=old");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:set");
    rig_done(&at);
}

static void test_flight__who_reads_after_a_tag_went_is_answered_by_the_next_load(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_TAG, "shelf:3");
    assert_acts(rig_ask(&at, "7", 2), "");  // nobody can know yet that the load will have that tag
    assert_acts(rig_ask(&at, "7", 3), "");
    assert_acts(rig_loads(&at, 0, "old|shelf:3"), "1=old load:page:7");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_acts(rig_loads(&at, 1, "new|shelf:3"), "2=new 3=new");
    rig_done(&at);
}

static void test_flight__other_tags_do_not_matter(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_TAG, "shelf:3");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_loads(&at, 0, "one|shelf:4"), "1=one 2=one");
    rig_done(&at);
}

static void test_flight__class_and_all_detach_at_once(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_CLASS, "page");
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");
    rig_drop(&at, FB_SCOPE_ALL, "");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_loads(&at, 0, "a"), "1=a");
    assert_acts(rig_loads(&at, 1, "b"), "2=b");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_acts(rig_loads(&at, 2, "c"), "3=c");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:c");
    rig_done(&at);
}

// Who goes over to another load after a reload brings the query of before along.
static void test_flight__load_of_an_outdated_class_is_not_stored(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_TAG, "shelf:3");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_ok(fb_cache_swap(at.cache, rig_catalog()));
    assert_acts(rig_loads(&at, 0, "one|shelf:3"), "1=one load:page:7");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_loads(&at, 1, "old query"), "2=old query");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_acts(rig_loads(&at, 2, "new query"), "3=new query");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:new query");
    rig_done(&at);
}

static void test_flight__refresh_loads_though_memory_is_fresh(void **state) {
    rig at = plain_rig();
    rig_put(at.cache, "page:7", "set", 0, at.now_ns);
    at.ask.refresh = true;
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_loads(&at, 0, "new"), "1=new");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:new");
    rig_done(&at);
}

static void test_flight__refreshes_share_a_load_that_began_after_them(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    at.ask.refresh = true;
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_ask(&at, "7", 3), "");
    assert_acts(rig_loads(&at, 0, "one"), "1=one load:page:7");
    assert_acts(rig_loads(&at, 1, "two"), "2=two 3=two");
    rig_done(&at);
}

// However often its key is invalidated, a refresh waits for one further load at most.
static void test_flight__refresh_takes_the_load_that_others_began_after_it(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    at.ask.refresh = true;
    assert_acts(rig_ask(&at, "7", 2), "");
    at.ask.refresh = false;
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_ask(&at, "7", 4), "load:page:7");
    assert_acts(rig_loads(&at, 1, "two"), "3=two 2=two");
    assert_acts(rig_loads(&at, 2, "three"), "4=three");
    rig_done(&at);
}

static void test_flight__caps_who_may_wait(void **state) {
    fb_class_options page = rig_timed_page();
    page.waiters_max = 2;
    rig at = rig_flights(&page, false);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_ask(&at, "7", 3), "3!FB_EOVERLOAD");
    assert_acts(rig_loads(&at, 0, "one"), "1=one 2=one");
    assert_int_equal(rig_figures(&at).overloads, 1);
    // With something old at hand, that is the answer.
    at.now_ns += S(20);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_ask(&at, "7", 3), "3=one/fallback");
    rig_done(&at);
}

static void test_flight__who_leaves_gets_no_answer_and_cancels_nothing(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_ask(&at, "7", 2), "");
    fb_flights_leave(at.flights, 1);
    fb_flights_leave(at.flights, 9);  // who never was
    assert_acts(rig_actions(&at), "");
    assert_acts(rig_loads(&at, 0, "one"), "2=one");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    // Also one whose answer is there already, but not fetched.
    assert_ok(rig_try_ask(&at, "7", 3));
    fb_flights_leave(at.flights, 3);
    assert_acts(rig_actions(&at), "");
    rig_done(&at);
}

// ---- failure

static void test_flight__error_is_shared_and_believed_for_a_while(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE 2!FB_ESOURCE");
    assert_string_equal(at.error, "it is down");
    at.now_ns += S(0.19);
    assert_acts(rig_ask(&at, "7", 3), "3!FB_ESOURCE");
    assert_string_equal(at.error, "it is down");
    assert_acts(rig_ask(&at, "8", 4), "load:page:8");  // another key is another matter
    at.now_ns += S(0.12);
    assert_acts(rig_ask(&at, "7", 5), "load:page:7");
    assert_acts(rig_fails(&at, 2, FB_ESOURCE), "5!FB_ESOURCE");
    at.now_ns += S(0.39);
    assert_acts(rig_ask(&at, "7", 6), "6!FB_ESOURCE");  // twice as long now
    at.now_ns += S(0.22);
    assert_acts(rig_ask(&at, "7", 7), "load:page:7");
    assert_acts(rig_loads(&at, 3, "one"), "7=one");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_ask(&at, "7", 8), "load:page:7");
    assert_acts(rig_fails(&at, 4, FB_EDENIED), "8!FB_EDENIED");
    at.now_ns += S(0.31);  // success made it forget the two before
    assert_acts(rig_ask(&at, "7", 9), "load:page:7");
    rig_done(&at);
}

static void test_flight__invalidation_lets_the_source_be_asked_again(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");
    assert_acts(rig_fails(&at, 1, FB_ESOURCE), "2!FB_ESOURCE");
    rig_drop(&at, FB_SCOPE_CLASS, "page");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    rig_done(&at);
}

// Also one of a tag that follows from the parameters: whoever mends what a tag stands for and says so
// is not told of the failure before.
static void test_flight__tag_lets_the_source_be_asked_again(void **state) {
    static char *tags[] = {"shelf:{id}"};
    fb_class_options page = rig_timed_page();
    page.tags = tags;
    page.tag_count = 1;
    rig at = rig_flights(&page, false);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE");
    rig_drop(&at, FB_SCOPE_TAG, "shelf:8");
    assert_acts(rig_ask(&at, "7", 2), "2!FB_ESOURCE");
    rig_drop(&at, FB_SCOPE_TAG, "shelf:7");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    rig_done(&at);
}

static void test_flight__remembered_error_is_no_load_under_way(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_true(fb_cache_loading(at.cache, FB_STR("page:7")));
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE");
    assert_false(fb_cache_loading(at.cache, FB_STR("page:7")));
    assert_acts(rig_ask(&at, "7", 2), "2!FB_ESOURCE");
    rig_done(&at);
}

static void test_flight__errors_of_few_thousand_keys_are_remembered(void **state) {
    rig at = plain_rig();
    char id[16];
    for (int i = 0; i <= FB_TROUBLE_MAX; i++) {
        (void)snprintf(id, sizeof id, "%d", i);
        at.load_count = 0;
        (void)rig_ask(&at, id, 1);
        assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE");
    }
    assert_acts(rig_ask(&at, "1", 1), "1!FB_ESOURCE");
    assert_acts(rig_ask(&at, "0", 1), "load:page:0");  // the oldest went
    rig_done(&at);
}

static void test_flight__refresh_asks_a_source_that_failed_a_moment_ago(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE");
    at.ask.refresh = true;
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");
    rig_done(&at);
}

static void test_flight__overload_is_not_remembered(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    fb_flights_failed(at.flights, at.loads[0], FB_EOVERLOAD, "too many", at.now_ns);
    assert_acts(rig_actions(&at), "1!FB_EOVERLOAD");
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");
    assert_int_equal(rig_figures(&at).loads, 0);
    rig_done(&at);
}

static void test_flight__fallback_is_served_when_the_source_fails(void **state) {
    static const int excuses[] = {FB_ESOURCE, FB_ETIMEDOUT, FB_EOVERLOAD};
    for (size_t i = 0; i < 3; i++) {
        rig at = plain_rig();
        assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
        at.now_ns = S(120);
        assert_acts(rig_ask(&at, "7", 1), "load:page:7");
        assert_acts(rig_fails(&at, 0, excuses[i]), "1=one/fallback");
        assert_int_equal(rig_figures(&at).fallback_hits, 1);
        rig_done(&at);
    }
}

static void test_flight__fallback_is_never_served_for_a_refusal_or_nothing(void **state) {
    rig at = plain_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(120);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_EDENIED), "1!FB_EDENIED");
    assert_acts(rig_ask(&at, "7", 2), "2!FB_EDENIED");
    at.now_ns += S(1);
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_loads(&at, 1, NULL), "3=-");
    assert_acts(rig_ask(&at, "7", 4), "4=-");
    rig_done(&at);
}

static void test_flight__stale_is_served_whatever_the_failure(void **state) {
    fb_class_options page = rig_timed_page();
    page.soft_timeout_ns = S(1);
    rig at = rig_flights(&page, false);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(112);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_EDENIED), "1=one/stale");
    assert_acts(rig_ask(&at, "7", 2), "2=one/stale");
    at.now_ns = S(116);  // a fallback by now
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_fails(&at, 1, FB_EDENIED), "3!FB_EDENIED");
    rig_done(&at);
}

static void test_flight__hard_invalidation_beats_what_is_old(void **state) {
    rig at = plain_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(120);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1!FB_ESOURCE");
    rig_done(&at);
}

static void test_flight__source_that_failed_is_left_alone_where_something_old_serves(void **state) {
    rig at = plain_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(116);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1=one/fallback");
    at.now_ns += S(7.9);
    assert_acts(rig_ask(&at, "7", 2), "2=one/fallback");
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_REFRESH), "");
    at.now_ns += S(4.2);
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    rig_done(&at);
}

// Sparing the source keeps nothing beyond its time.
static void test_flight__fallback_ends_at_its_time_whatever_the_source_does(void **state) {
    rig at = plain_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(134.5);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_ESOURCE), "1=one/fallback");
    at.now_ns = S(134.9);
    assert_acts(rig_ask(&at, "7", 2), "2=one/fallback");
    at.now_ns = S(135);
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_fails(&at, 1, FB_ESOURCE), "3!FB_ESOURCE");
    rig_done(&at);
}

static void test_flight__loader_without_a_value_is_a_failure(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_fails(&at, 0, FB_OK), "1!FB_ESOURCE");
    assert_non_null(strstr(at.error, "without a value"));
    assert_acts(rig_ask(&at, "8", 1), "load:page:8");
    assert_acts(rig_fails(&at, 1, FB_PENDING), "1!FB_ESOURCE");
    rig_done(&at);
}

// ---- time

static void test_flight__who_waits_too_long_times_out_alone(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    at.now_ns = S(101);
    assert_acts(rig_ask(&at, "7", 2), "");  // its clock starts now
    assert_acts(rig_time(&at, S(102)), "1!FB_ETIMEDOUT");
    assert_string_equal(at.error, "class page: no answer within 2000 ms");
    assert_int_equal(at.now_ns, S(102));
    assert_acts(rig_loads(&at, 0, "one"), "2=one");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:one");
    assert_int_equal(rig_figures(&at).timeouts, 1);
    rig_done(&at);
}

static void test_flight__callers_own_time_counts(void **state) {
    rig at = plain_rig();
    at.ask.timeout_ns = S(5);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    at.ask.timeout_ns = S(0.1);
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_time(&at, S(103)), "2!FB_ETIMEDOUT");
    assert_int_equal(at.now_ns, S(100.1));
    rig_done(&at);
}

// Callers run out of time; their load goes on as long as what it brings may be kept, and so does
// the work at its source.
static void test_flight__load_outlives_its_callers(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_int_equal(at.deadline_ns, S(130));  // when the watchdog gives it up
    assert_int_equal(at.begin_by_ns, S(102));  // a load that never had its turn is another matter
    assert_acts(rig_time(&at, S(103)), "1!FB_ETIMEDOUT");
    at.now_ns = S(104);
    assert_acts(rig_loads(&at, 0, "slow"), "");
    assert_acts(rig_ask(&at, "7", 2), "2=slow");
    rig_done(&at);

    fb_class_options page = rig_timed_page();
    page.hard_timeout_ns = S(20);
    at = rig_flights(&page, false);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_int_equal(at.deadline_ns, S(160));
    at.ask.timeout_ns = S(100);  // not kept, but waited for
    assert_acts(rig_ask(&at, "8", 2), "load:page:8");
    assert_int_equal(at.deadline_ns, S(200));
    assert_int_equal(at.begin_by_ns, S(200));
    rig_done(&at);

    page.hard_timeout_ns = 0;
    at = rig_flights(&page, false);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_int_equal(at.deadline_ns, INT64_MAX);  // its caller waits for ever
    assert_acts(rig_ask_alone(&at, "8", FB_PRIORITY_WARM), "load:page:8");
    assert_int_equal(at.deadline_ns, S(130));
    rig_done(&at);
}

static void test_flight__stale_is_served_at_once_and_one_refresh_runs(void **state) {
    rig at = plain_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(112);
    assert_acts(rig_ask(&at, "7", 1), "1=one/stale load:page:7");
    assert_int_equal(at.priority, FB_PRIORITY_REFRESH);
    assert_acts(rig_ask(&at, "7", 2), "2=one/stale");
    assert_acts(rig_loads(&at, 0, "two"), "");
    assert_acts(rig_ask(&at, "7", 3), "3=two");
    assert_int_equal(rig_figures(&at).stale_hits, 2);
    rig_done(&at);
}

static void test_flight__stale_is_served_after_the_soft_time(void **state) {
    fb_class_options page = rig_timed_page();
    page.soft_timeout_ns = S(0.1);
    rig at = rig_flights(&page, false);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(112);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_time(&at, S(113)), "1=one/stale");
    assert_int_equal(at.now_ns, S(112.1));
    // A load that is quicker than that wins.
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_loads(&at, 0, "two"), "2=two");
    rig_done(&at);
}

static void test_flight__stale_that_was_invalidated_meanwhile_is_waited_for(void **state) {
    fb_class_options page = rig_timed_page();
    page.soft_timeout_ns = S(0.1);
    rig at = rig_flights(&page, false);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(112);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_time(&at, S(112.5)), "");
    assert_acts(rig_loads(&at, 0, "two"), "1=two");
    rig_done(&at);
}

static void test_flight__who_times_out_gets_the_fallback(void **state) {
    rig at = plain_rig();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, S(100)));
    at.now_ns = S(120);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_time(&at, S(130)), "1=one/fallback");
    assert_int_equal(at.now_ns, S(122));
    rig_done(&at);
}

static void test_flight__load_that_hangs_loses_its_key(void **state) {
    rig at = plain_rig();
    at.ask.timeout_ns = S(100);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_time(&at, S(129)), "");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_time(&at, S(131)), "");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_loads(&at, 1, "new"), "3=new");
    assert_acts(rig_loads(&at, 0, "old"), "1=old 2=old");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:new");
    rig_done(&at);
}

// ---- in the background

static void test_flight__background_load_that_has_nothing_to_do_is_none(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_REFRESH), "");  // one is on
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_WARM), "");
    assert_acts(rig_loads(&at, 0, "one"), "1=one");
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_REFRESH), "");  // fresh meanwhile
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_EARLY), "");
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_WARM), "load:page:7");  // `refresh` is meant
    at.now_ns += S(1);
    assert_acts(rig_fails(&at, 1, FB_ESOURCE), "");
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_WARM), "");  // its source failed
    rig_done(&at);
}

static void test_flight__warming_leaves_what_is_fresh(void **state) {
    rig at = plain_rig();
    rig_put(at.cache, "page:7", "set", 0, at.now_ns);
    at.ask.priority = FB_PRIORITY_WARM;
    assert_acts(rig_ask(&at, "7", 0), "");
    assert_acts(rig_ask(&at, "8", 0), "load:page:8");
    assert_int_equal(at.priority, FB_PRIORITY_WARM);
    assert_acts(rig_loads(&at, 0, "one"), "");
    assert_read(at.cache, "page:8", at.now_ns, "fresh:one");
    assert_int_equal(rig_figures(&at).warmed, 1);
    assert_int_equal(rig_figures(&at).misses, 0);
    rig_done(&at);
}

static void test_flight__early_refresh_runs_near_the_end_only(void **state) {
    fb_class_options page = rig_timed_page();
    page.early_beta = 1;
    rig at = rig_flights(&page, false);
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_loads(&at, 0, "one"), "1=one");    // its cost: 0.5 s, so from 0 s on: 20 × 0.5
    rig_put(at.cache, "page:8", "set", 0, at.now_ns);  // no cost known
    assert_acts(rig_ask_alone(&at, "8", FB_PRIORITY_EARLY), "");
    at.now_ns += S(5);
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_EARLY), "load:page:7");
    assert_int_equal(at.priority, FB_PRIORITY_EARLY);
    assert_acts(rig_loads(&at, 1, "two"), "");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:two");
    assert_int_equal(rig_figures(&at).early_refreshes, 1);
    rig_done(&at);
}

// ---- callers' own loads

static int load_never(void *arg, const fb_load *load, fb_loaded *loaded) {
    (void)arg, (void)load, (void)loaded;
    return FB_ESOURCE;
}

static void count_free(void *arg) {
    *(int *)arg += 1;
}

static void test_flight__deduplicated_call_is_shared_for_its_window(void **state) {
    rig at = plain_rig();
    int freed = 0;
    at.class_id = FB_CLASS_PLAIN;
    at.ask.loader = (fb_loader){load_never, &freed, count_free};
    at.ask.ttl_ns = S(5);
    assert_acts(rig_ask(&at, "call", 1), "load:call");
    assert_acts(rig_ask(&at, "call", 2), "");
    assert_int_equal(freed, 0);
    assert_acts(rig_loads(&at, 0, "done"), "1=done 2=done");
    assert_int_equal(freed, 2);
    at.now_ns += S(4.9);
    assert_acts(rig_ask(&at, "call", 3), "3=done");
    at.now_ns += S(0.2);
    assert_acts(rig_ask(&at, "call", 4), "load:call");
    assert_acts(rig_fails(&at, 1, FB_ESOURCE), "4!FB_ESOURCE");
    assert_acts(rig_ask(&at, "call", 5), "load:call");  // a failure is not kept
    rig_done(&at);
    assert_int_equal(freed, 5);
}

static void test_flight__deduplicated_call_without_a_window_stores_nothing(void **state) {
    rig at = plain_rig();
    at.class_id = FB_CLASS_PLAIN;
    at.ask.ttl_ns = 0;
    at.ask.loader.fn = load_never;
    assert_acts(rig_ask(&at, "call", 1), "load:call");
    assert_acts(rig_ask(&at, "call", 2), "");
    assert_acts(rig_loads(&at, 0, "done"), "1=done 2=done");
    assert_acts(rig_ask(&at, "call", 3), "load:call");
    rig_done(&at);
}

static void test_flight__uncacheable_is_loaded_by_each_for_himself(void **state) {
    rig at = plain_rig();
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    fb_loaded loaded = rig_loaded("mine", NULL);
    fb_loaded_uncacheable(&loaded);
    fb_flights_loaded(at.flights, at.loads[0], &loaded, 1, at.now_ns);
    assert_acts(rig_actions(&at), "1=mine");
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");
    assert_acts(rig_ask(&at, "7", 3), "load:page:7");
    assert_acts(rig_ask_alone(&at, "7", FB_PRIORITY_WARM), "");
    assert_acts(rig_loads(&at, 2, "c"), "3=c");
    assert_acts(rig_loads(&at, 1, "b"), "2=b");
    rig_done(&at);
}

// ---- memory

typedef struct lives {
    rig at;
    fb_blob *value;  // what loads bring; NULL: they fail
} lives;

static void end_load(lives *one, size_t n) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    if (one->value != NULL) {
        loaded.result = FB_OK;
        loaded.value = fb_blob_take(one->value);
    }
    fb_flights_loaded(one->at.flights, one->at.loads[n], &loaded, 1, one->at.now_ns);
    (void)rig_actions(&one->at);
}

// Everything that takes memory, on flights of its own: two callers, and a third who wants a load of
// his own time and so goes over to the next. Whatever fails, each who was taken on is answered.
static int life(void *arg) {
    lives *one = arg;
    rig *at = &one->at;
    fb_flights_options options = {.cache = at->cache, .seed = 1};
    int result = fb_flights_new(&options, &at->flights);
    if (result < 0) {
        return result;
    }
    at->load_count = 0;
    at->ask.refresh = false;
    for (uint64_t i = 1; i <= 3 && result == FB_OK; i++) {
        at->ask.refresh = i == 3;
        result = rig_try_ask(at, "7", i);
        (void)rig_actions(at);
    }
    for (size_t i = 0; i < at->load_count; i++) {
        end_load(one, i);
    }
    assert_int_equal(fb_flights_waiting(at->flights), 0);
    assert_int_equal(fb_flights_count(at->flights), 0);
    rig_drop(at, FB_SCOPE_KEY, "page:7");
    fb_flights_free(at->flights);
    return result;
}

static void test_flight__lack_of_memory_leaves_nobody_waiting(void **state) {
    lives one = {.at = plain_rig()};
    fb_flights_free(one.at.flights);
    assert_ok(fb_buf_reserve(&one.at.scratch, 256));
    assert_true(test_memory_sweep(life, &one) > 5);
    one.value = fb_blob_new(FB_STR("one"));
    assert_true(test_memory_sweep(life, &one) > 8);
    fb_blob_drop(one.value);
    fb_buf_release(&one.at.scratch);
    fb_cache_free(one.at.cache);
}

static void test_flight__what_is_left_at_the_end_is_freed(void **state) {
    rig at = plain_rig();
    int freed = 0;
    at.ask.loader = (fb_loader){load_never, &freed, count_free};
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    assert_acts(rig_ask(&at, "7", 2), "");
    assert_acts(rig_ask(&at, "8", 3), "load:page:8");
    rig_put(at.cache, "page:9", "set", 0, at.now_ns);
    assert_ok(rig_try_ask(&at, "9", 4));  // its answer is not fetched
    rig_done(&at);
    assert_int_equal(freed, 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flight__two_hundred_callers_cause_one_load),
        cmocka_unit_test(test_flight__memory_is_looked_at_once_more),
        cmocka_unit_test(test_flight__doomed_load_answers_who_joined_before_and_is_not_stored),
        cmocka_unit_test(test_flight__doomed_load_that_ends_last_changes_nothing),
        cmocka_unit_test(test_flight__who_reads_after_a_tag_went_is_answered_by_the_next_load),
        cmocka_unit_test(test_flight__other_tags_do_not_matter),
        cmocka_unit_test(test_flight__class_and_all_detach_at_once),
        cmocka_unit_test(test_flight__load_of_an_outdated_class_is_not_stored),
        cmocka_unit_test(test_flight__refresh_loads_though_memory_is_fresh),
        cmocka_unit_test(test_flight__refreshes_share_a_load_that_began_after_them),
        cmocka_unit_test(test_flight__refresh_takes_the_load_that_others_began_after_it),
        cmocka_unit_test(test_flight__caps_who_may_wait),
        cmocka_unit_test(test_flight__who_leaves_gets_no_answer_and_cancels_nothing),
        cmocka_unit_test(test_flight__error_is_shared_and_believed_for_a_while),
        cmocka_unit_test(test_flight__invalidation_lets_the_source_be_asked_again),
        cmocka_unit_test(test_flight__tag_lets_the_source_be_asked_again),
        cmocka_unit_test(test_flight__remembered_error_is_no_load_under_way),
        cmocka_unit_test(test_flight__errors_of_few_thousand_keys_are_remembered),
        cmocka_unit_test(test_flight__refresh_asks_a_source_that_failed_a_moment_ago),
        cmocka_unit_test(test_flight__overload_is_not_remembered),
        cmocka_unit_test(test_flight__fallback_is_served_when_the_source_fails),
        cmocka_unit_test(test_flight__fallback_is_never_served_for_a_refusal_or_nothing),
        cmocka_unit_test(test_flight__stale_is_served_whatever_the_failure),
        cmocka_unit_test(test_flight__hard_invalidation_beats_what_is_old),
        cmocka_unit_test(test_flight__source_that_failed_is_left_alone_where_something_old_serves),
        cmocka_unit_test(test_flight__fallback_ends_at_its_time_whatever_the_source_does),
        cmocka_unit_test(test_flight__loader_without_a_value_is_a_failure),
        cmocka_unit_test(test_flight__who_waits_too_long_times_out_alone),
        cmocka_unit_test(test_flight__callers_own_time_counts),
        cmocka_unit_test(test_flight__load_outlives_its_callers),
        cmocka_unit_test(test_flight__stale_is_served_at_once_and_one_refresh_runs),
        cmocka_unit_test(test_flight__stale_is_served_after_the_soft_time),
        cmocka_unit_test(test_flight__stale_that_was_invalidated_meanwhile_is_waited_for),
        cmocka_unit_test(test_flight__who_times_out_gets_the_fallback),
        cmocka_unit_test(test_flight__load_that_hangs_loses_its_key),
        cmocka_unit_test(test_flight__background_load_that_has_nothing_to_do_is_none),
        cmocka_unit_test(test_flight__warming_leaves_what_is_fresh),
        cmocka_unit_test(test_flight__early_refresh_runs_near_the_end_only),
        cmocka_unit_test(test_flight__deduplicated_call_is_shared_for_its_window),
        cmocka_unit_test(test_flight__deduplicated_call_without_a_window_stores_nothing),
        cmocka_unit_test(test_flight__uncacheable_is_loaded_by_each_for_himself),
        cmocka_unit_test(test_flight__lack_of_memory_leaves_nobody_waiting),
        cmocka_unit_test(test_flight__what_is_left_at_the_end_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
