// Figures of commands and errors, as INFO shows them.

#include "node/command_stats.h"
#include "node_rig.h"
#include "support.h"

static rig shared;
static rig_client client;

// Each look at it 250 us later: whatever is timed took so long.
static int64_t pass_ns(void) {
    static _Atomic int64_t now_ns = 1000000000;  // 0 would be: not timed
    return atomic_fetch_add(&now_ns, 250000);
}

static int set_up(void **state) {
    (void)state;
    rig_open(&shared);
    shared.node.now_ns = pass_ns;
    assert_ok(fb_command_stats_new(&shared.node.command_stats));
    rig_client_open(&client, &shared);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rig_client_close(&client);
    rig_close(&shared);
    fb_command_stats_free(shared.node.command_stats);
    return 0;
}

// Says it, and returns what is answered, once there is something.
static const char *say(const char *lines) {
    static char text[65536];
    client.out.len = 0;
    rig_client_say(&client, fb_str_of(lines));
    rig_client_await(&client, 1);
    (void)snprintf(text, sizeof text, "%.*s", FB_STR_ARG(fb_buf_str(&client.out)));
    return text;
}

#define assert_shows(section, line) assert_non_null(strstr(say("INFO " section "\r\n"), line "\r\n"))
#define assert_hides(section, text) assert_null(strstr(say("INFO " section "\r\n"), text))

static void test_command_stats__count_what_became_of_each_call(void **state) {
    (void)state;
    (void)say("SET a x\r\nGET a\r\nGET a\r\nGET\r\nINCR a\r\nCLIENT ID\r\nNOSUCH\r\n");
    assert_shows("commandstats", "cmdstat_get:calls=2,usec=500,usec_per_call=250.00,"
                                 "rejected_calls=1,failed_calls=0");
    assert_shows("commandstats", "cmdstat_set:calls=1,usec=250,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=0");
    assert_shows("commandstats", "cmdstat_incr:calls=1,usec=250,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=1");
    assert_shows("commandstats", "cmdstat_client|id:calls=1,usec=250,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=0");
    assert_hides("commandstats", "cmdstat_mget");
    assert_shows("errorstats", "errorstat_ERR:count=3");
    assert_shows("stats", "total_error_replies:3");
}

static void test_command_stats__times_are_of_all_calls(void **state) {
    (void)state;
    for (int i = 0; i < 1000; i++) {
        (void)say("GET a\r\n");
    }
    assert_shows("commandstats", "cmdstat_get:calls=1000,usec=250000,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=0");
}

static void test_command_stats__what_is_queued_counts_when_it_runs(void **state) {
    (void)state;
    (void)say("MULTI\r\nSET a x\r\nINCR a\r\nDISCARD\r\n");
    assert_hides("commandstats", "cmdstat_incr");
    (void)say("MULTI\r\nSET a x\r\nINCR a\r\nGET\r\nEXEC\r\n");
    assert_hides("commandstats", "cmdstat_incr");
    assert_shows("commandstats", "cmdstat_get:calls=0,usec=0,usec_per_call=0.00,"
                                 "rejected_calls=1,failed_calls=0");
    assert_shows("errorstats", "errorstat_EXECABORT:count=1");
    (void)say("MULTI\r\nSET a x\r\nINCR a\r\nEXEC\r\n");
    assert_shows("commandstats", "cmdstat_incr:calls=1,usec=250,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=1");
    assert_shows("commandstats", "cmdstat_exec:calls=2,usec=500,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=1");
}

static void test_command_stats__an_error_that_comes_later_counts(void **state) {
    (void)state;
    static rig_gate gate;
    rig_hold(&shared, &gate, "9", FB_ESOURCE);
    client.out.len = 0;
    rig_client_say(&client, FB_STR("FB.FETCH item id 9\r\n"));
    rig_release(&gate);
    rig_client_await(&client, 1);
    assert_shows("commandstats", "cmdstat_fb.fetch:calls=1,usec=250,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=1");
    assert_shows("errorstats", "errorstat_SOURCE:count=1");
}

static void test_command_stats__begin_anew_with_resetstat(void **state) {
    (void)state;
    (void)say("SET a x\r\nGET a\r\nGET a\r\nINCR a\r\nCONFIG RESETSTAT\r\n");
    assert_hides("errorstats", "errorstat_");
    assert_hides("commandstats", "cmdstat_get");
    assert_shows("stats", "total_error_replies:0");
    (void)say("GET a\r\nGET a\r\nINCR a\r\n");
    assert_shows("commandstats", "cmdstat_get:calls=2,usec=500,usec_per_call=250.00,"
                                 "rejected_calls=0,failed_calls=0");
    assert_shows("errorstats", "errorstat_ERR:count=1");
}

static void test_command_stats__come_when_they_are_asked_for(void **state) {
    (void)state;
    (void)say("GET a\r\n");
    assert_hides("", "# Commandstats");
    assert_hides("default", "# Commandstats");
    assert_hides("stats", "# Commandstats");
    assert_shows("all", "# Commandstats");
    assert_shows("everything", "# Commandstats");
    assert_shows("", "# Errorstats");
}

// Many threads' counts are all there.
enum { LOOPS = 2, EACH = 500 };

static void test_command_stats__add_up_over_loops(void **state) {
    (void)state;
    static rig_client others[LOOPS];
    for (uint32_t i = 0; i < LOOPS; i++) {
        rig_client_open_at(&others[i], &shared, i);
    }
    for (int i = 0; i < EACH; i++) {
        for (uint32_t j = 0; j < LOOPS; j++) {
            rig_client_say(&others[j], FB_STR("GET a\r\nGET\r\n"));
        }
    }
    assert_shows("commandstats", "cmdstat_get:calls=1000,usec=250000,usec_per_call=250.00,"
                                 "rejected_calls=1000,failed_calls=0");
    for (uint32_t i = 0; i < LOOPS; i++) {
        rig_client_close(&others[i]);
    }
}

#define stats_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        stats_test(test_command_stats__count_what_became_of_each_call),
        stats_test(test_command_stats__times_are_of_all_calls),
        stats_test(test_command_stats__what_is_queued_counts_when_it_runs),
        stats_test(test_command_stats__an_error_that_comes_later_counts),
        stats_test(test_command_stats__begin_anew_with_resetstat),
        stats_test(test_command_stats__come_when_they_are_asked_for),
        stats_test(test_command_stats__add_up_over_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
