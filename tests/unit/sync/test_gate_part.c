// The gate over a shared tier of which a part is not reached (a Cluster that lacks a master): what
// lies there is answered from here and told later, and nothing else suffers.

#include "gate_rig.h"

// What has another partition than "k".
static const char *elsewhere(const gate_rig *at) {
    static char key[16];
    for (int i = 0; i == 0 || fb_cache_partition_of(at->cache, fb_str_of(key)) ==
                                  fb_cache_partition_of(at->cache, FB_STR("k"));
         i++) {
        (void)snprintf(key, sizeof key, "other%d", i);
    }
    return key;
}

static const char *act(const char *what, const char *key) {
    static char text[64];
    (void)snprintf(text, sizeof text, "%s%s", what, key);
    return text;
}

// The n-th request was not sent.
static const char *refuse(gate_rig *at, size_t n) {
    fb_sync_reply reply = gate_reply_of(at, n, FB_SYNC_FAILED, 0);
    reply.away = true;
    return gate_give(at, &reply);
}

static const char *reach_in_part(gate_rig *at, const char *part) {
    fb_gate_link(at->gate, true, part, at->now_ns);
    return gate_actions(at);
}

// "k" is owed, and was tried in vain.
static gate_rig parked(void) {
    gate_rig at = gate_up();
    assert_acts(reach_in_part(&at, "one of three is away"), "");
    assert_acts(gate_set(&at, 1, "k", "one"), "set:k");
    assert_acts(refuse(&at, 0), "1=FB_OK set:k");
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_acts(refuse(&at, 1), "");
    assert_int_equal(gate_figures(&at).owed_now, 1);
    return at;
}

static void test_gate_part__what_is_away_is_owed_and_the_rest_is_shared(void **state) {
    gate_rig at = parked();
    const char *other = elsewhere(&at);
    assert_read(at.cache, "k", at.now_ns, "fresh:one");
    assert_acts(gate_get(&at, 70, "k"), "70=FAILED");
    assert_acts(gate_set(&at, 2, "k", "two"), "2=FB_OK set:k");
    assert_acts(refuse(&at, at.sent - 1), "");

    assert_acts(gate_set(&at, 3, other, "x"), act("set:", other));
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "3=FB_OK");
    assert_int_equal(at.receipt.reached, FB_REACH_SHARED);
    assert_acts(gate_get(&at, 71, other), act("get:", other));
    assert_acts(gate_value(&at, at.sent - 1, FB_SYNC_VALUE, 1, "x"), "71=VALUE");
    assert_acts(gate_wide(&at, 4, FB_SCOPE_TAG, "red"), "bump:T red");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "4=FB_OK");

    assert_int_equal(gate_figures(&at).state, FB_SYNC_CATCHING_UP);
    assert_non_null(strstr(gate_figures(&at).why, "one of three is away"));
    gate_done(&at);
}

static void test_gate_part__what_is_owed_is_told_when_it_is_reached(void **state) {
    gate_rig at = parked();
    assert_acts(reach_in_part(&at, ""), "set:k");
    assert_string_equal(at.last_value, "one");
    assert_acts(gate_get(&at, 70, "k"), "70=FAILED");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "");
    assert_int_equal(gate_figures(&at).owed_now, 0);
    assert_null(strstr(gate_figures(&at).why, "in part"));
    assert_acts(gate_get(&at, 71, "k"), "get:k");
    gate_done(&at);
}

static void test_gate_part__what_is_owed_is_tried_from_time_to_time(void **state) {
    gate_rig at = parked();
    int64_t waited_ns = 0;
    for (int i = 0; i < 8; i++) {
        int64_t due_ns = fb_gate_due(at.gate);
        while (due_ns <= at.now_ns + S(11) && gate_time(&at, due_ns)[0] == '\0') {
            due_ns = fb_gate_due(at.gate);
        }
        assert_string_equal(at.text, "set:k");
        waited_ns = at.now_ns;
        assert_acts(refuse(&at, at.sent - 1), "");
    }
    while (gate_time(&at, at.now_ns + S(1))[0] == '\0') {
    }
    assert_in_range(at.now_ns - waited_ns, S(9), S(11));
    gate_done(&at);
}

static void test_gate_part__a_wide_change_has_gone_over_what_is_told_late(void **state) {
    gate_rig at = parked();
    assert_acts(gate_wide(&at, 2, FB_SCOPE_ALL, ""), "bump:A ");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "2=FB_OK");
    assert_acts(reach_in_part(&at, ""), "drop:k");
    gate_done(&at);
}

static void test_gate_part__refusals_say_nothing_of_the_part_that_is_reached(void **state) {
    gate_rig at = gate_up();
    assert_acts(reach_in_part(&at, "one of three is away"), "");
    for (uint64_t i = 0; i < 100; i++) {
        assert_acts(gate_get(&at, 70 + i, "k"), "get:k");
        char told[32];
        (void)snprintf(told, sizeof told, "%u=FAILED", (unsigned)(70 + i));
        assert_acts(refuse(&at, at.sent - 1), told);  // and no lease is given back
    }
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_trips), 0);
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_failures), 0);
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_passed_by), 100);
    const char *other = elsewhere(&at);
    assert_acts(gate_get(&at, 1, other), act("get:", other));
    gate_done(&at);
}

static void test_gate_part__more_than_can_be_told_at_once_keeps_nobody_waiting(void **state) {
    gate_rig at = gate_new();
    const char *other = elsewhere(&at);
    for (int i = 0; i < 7; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_acts(gate_set(&at, 1, key, "x"), "1=FB_OK");
    }
    assert_acts(gate_set(&at, 2, other, "y"), "2=FB_OK");
    (void)reach_in_part(&at, "one of three is away");
    size_t sent = at.sent;
    assert_int_equal(sent, 8);
    for (size_t i = 0; i + 1 < sent; i++) {
        assert_acts(refuse(&at, i), "");
    }
    assert_acts(gate_reply(&at, sent - 1, FB_SYNC_DONE, 1), "");
    assert_int_equal(gate_figures(&at).owed_now, 7);
    (void)reach_in_part(&at, "");
    assert_int_equal(at.sent, sent + 7);
    gate_done(&at);
}

static void test_gate_part__new_epoch_waits_for_its_log_alone(void **state) {
    gate_rig at = gate_new();
    fb_gate_free(at.gate);
    fb_sync_free(at.sync);
    fb_sync_options options = gate_options(at.cache);
    options.outbox_max = 0;
    assert_ok(fb_sync_new(&options, &at.sync));
    assert_ok(fb_gate_new(at.sync, 0, &at.gate));
    gate_epoch(&at, GATE_EPOCH, 0);
    const char *other = elsewhere(&at);
    assert_acts(gate_set(&at, 1, "k", "x"), "1=FB_OK");
    char epoch[32];
    (void)snprintf(epoch, sizeof epoch, "epoch:%u",
                   fb_cache_partition_of(at.cache, FB_STR("k")));
    assert_acts(reach_in_part(&at, "one of three is away"), epoch);
    assert_acts(refuse(&at, 0), "");
    assert_acts(gate_get(&at, 70, "k"), "70=FAILED");
    assert_acts(gate_get(&at, 71, other), act("get:", other));
    assert_acts(reach_in_part(&at, ""), epoch);
    fb_sync_reply reply = gate_reply_of(&at, at.sent - 1, FB_SYNC_DONE, 0);
    reply.mark.epoch = at.last.token;
    (void)gate_give(&at, &reply);
    assert_acts(gate_get(&at, 72, "k"), "get:k");
    gate_done(&at);
}

static void test_gate_part__probe_that_is_refused_is_sent_again(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_link(&at, false), "");
    assert_acts(gate_link(&at, true), "nodes");
    assert_acts(refuse(&at, 0), "");
    assert_acts(gate_time(&at, at.now_ns + S(2)), "nodes");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "");
    assert_acts(gate_get(&at, 70, "k"), "get:k");
    gate_done(&at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_part__what_is_away_is_owed_and_the_rest_is_shared),
        cmocka_unit_test(test_gate_part__what_is_owed_is_told_when_it_is_reached),
        cmocka_unit_test(test_gate_part__what_is_owed_is_tried_from_time_to_time),
        cmocka_unit_test(test_gate_part__a_wide_change_has_gone_over_what_is_told_late),
        cmocka_unit_test(test_gate_part__refusals_say_nothing_of_the_part_that_is_reached),
        cmocka_unit_test(test_gate_part__more_than_can_be_told_at_once_keeps_nobody_waiting),
        cmocka_unit_test(test_gate_part__new_epoch_waits_for_its_log_alone),
        cmocka_unit_test(test_gate_part__probe_that_is_refused_is_sent_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
