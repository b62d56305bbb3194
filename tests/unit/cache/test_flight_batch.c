// Loads of several keys: what gathers, when it goes, and that one key's fate is not the others'.

#include "flight_rig.h"

#define assert_acts(call, expected) assert_string_equal((call), (expected))

static rig gathering_rig(void) {
    fb_class_options page = rig_timed_page();
    page.batch_query = "many";
    page.batch_by = "id";
    page.batch_wait_ns = S(0.01);
    page.batch_max = 3;
    return rig_flights(&page, false);
}

static void test_batch__misses_gather_for_a_while(void **state) {
    rig at = gathering_rig();
    assert_acts(rig_ask(&at, "7", 1), "");
    assert_acts(rig_ask(&at, "8", 2), "");
    assert_acts(rig_ask(&at, "7", 3), "");
    assert_acts(rig_time(&at, S(101)), "load:page:7,page:8");
    assert_int_equal(at.now_ns, S(100.01));
    assert_acts(rig_loads(&at, 0, "x"), "1=x 3=x 2=x");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:x");
    assert_read(at.cache, "page:8", at.now_ns, "fresh:x");
    fb_cache_figures figures = rig_figures(&at);
    assert_int_equal(figures.loads, 1);
    assert_int_equal(figures.batches, 1);
    assert_int_equal(figures.coalesced, 1);
    rig_done(&at);
}

static void test_batch__full_one_goes_at_once(void **state) {
    rig at = gathering_rig();
    assert_acts(rig_ask(&at, "7", 1), "");
    assert_acts(rig_ask(&at, "8", 2), "");
    assert_acts(rig_ask(&at, "9", 3), "load:page:7,page:8,page:9");
    assert_acts(rig_ask(&at, "10", 4), "");  // the next
    assert_acts(rig_time(&at, S(101)), "load:page:10");
    assert_int_equal(rig_figures(&at).batches, 0);
    rig_done(&at);
}

static void test_batch__one_that_is_alone_is_an_ordinary_load(void **state) {
    rig at = gathering_rig();
    assert_acts(rig_ask(&at, "7", 1), "");
    assert_acts(rig_time(&at, S(101)), "load:page:7");
    assert_acts(rig_loads(&at, 0, "x"), "1=x");
    assert_int_equal(rig_figures(&at).batches, 0);
    rig_done(&at);
}

static void test_batch__failure_of_one_key_is_its_own(void **state) {
    rig at = gathering_rig();
    assert_acts(rig_ask(&at, "7", 1), "");
    assert_acts(rig_ask(&at, "8", 2), "");
    assert_acts(rig_time(&at, S(101)), "load:page:7,page:8");
    fb_loaded loaded[2] = {rig_loaded("x", NULL), rig_loaded(NULL, NULL)};
    loaded[1].result = FB_EDENIED;
    fb_flights_loaded(at.flights, at.loads[0], loaded, 2, at.now_ns);
    assert_acts(rig_actions(&at), "1=x 2!FB_EDENIED");
    assert_acts(rig_ask(&at, "7", 3), "3=x");
    assert_acts(rig_ask(&at, "8", 4), "4!FB_EDENIED");
    rig_done(&at);
}

static void test_batch__doomed_key_is_not_stored(void **state) {
    rig at = gathering_rig();
    assert_acts(rig_ask(&at, "7", 1), "");
    assert_acts(rig_ask(&at, "8", 2), "");
    assert_acts(rig_time(&at, S(101)), "load:page:7,page:8");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_loads(&at, 0, "x"), "1=x 2=x");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_read(at.cache, "page:8", at.now_ns, "fresh:x");
    rig_done(&at);
}

static void test_batch__names_no_key_twice(void **state) {
    rig at = gathering_rig();
    assert_acts(rig_ask(&at, "7", 1), "");
    rig_drop(&at, FB_SCOPE_KEY, "page:7");
    assert_acts(rig_ask(&at, "7", 2), "load:page:7");  // the one that gathers has it, overtaken
    assert_acts(rig_ask(&at, "8", 3), "");
    assert_acts(rig_time(&at, S(101)), "load:page:7,page:8");
    assert_acts(rig_loads(&at, 1, "old"), "1=old 3=old");
    assert_acts(rig_loads(&at, 0, "new"), "2=new");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:new");
    rig_done(&at);
}

static void test_batch__goes_at_the_best_priority_of_its_callers(void **state) {
    rig at = gathering_rig();
    at.ask.priority = FB_PRIORITY_WARM;
    assert_acts(rig_ask(&at, "7", 0), "");
    assert_acts(rig_ask(&at, "8", 0), "");
    at.ask.priority = FB_PRIORITY_USER;
    assert_acts(rig_ask(&at, "7", 1), "");
    assert_acts(rig_time(&at, S(101)), "load:page:7,page:8");
    assert_int_equal(at.priority, FB_PRIORITY_USER);
    rig_done(&at);
}

static void test_batch__callers_own_loads_do_not_gather(void **state) {
    rig at = gathering_rig();
    at.ask.loader.fn = (fb_load_fn)(uintptr_t)rig_flights;  // anything but NULL: it is not called
    assert_acts(rig_ask(&at, "7", 1), "load:page:7");
    rig_done(&at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch__misses_gather_for_a_while),
        cmocka_unit_test(test_batch__full_one_goes_at_once),
        cmocka_unit_test(test_batch__one_that_is_alone_is_an_ordinary_load),
        cmocka_unit_test(test_batch__failure_of_one_key_is_its_own),
        cmocka_unit_test(test_batch__doomed_key_is_not_stored),
        cmocka_unit_test(test_batch__names_no_key_twice),
        cmocka_unit_test(test_batch__goes_at_the_best_priority_of_its_callers),
        cmocka_unit_test(test_batch__callers_own_loads_do_not_gather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
