// The gate: what it sends, what becomes of the answers, and what it does where there are none.

#include "base/mem.h"
#include "gate_rig.h"
#include "sync/acked.h"

static fb_want invalidation(uint64_t waiter, const char *key) {
    return (fb_want){.kind = FB_WANT_INVALIDATE,
                     .waiter = waiter,
                     .what = {.scope = FB_SCOPE_KEY, .name = fb_str_of(key)}};
}

// ---- flights

static void test_gate__flight_takes_a_value(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
    assert_int_not_equal(at.last.token, 0);
    assert_int_equal(at.last.lease_ns, S(1));
    assert_str(at.last.class_name, "page");
    assert_acts(gate_value(&at, 0, FB_SYNC_VALUE, 0, "one"), "70=VALUE");
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_values), 1);
    gate_done(&at);
}

static void test_gate__flight_is_told_of_lease_and_hold_and_where_the_wide_log_stood(void **state) {
    gate_rig at = gate_up();
    gate_epoch(&at, GATE_EPOCH, 3);
    fb_action get = {.type = FB_ACTION_REMOTE_GET, .remote = 70, .key = FB_STR("page:7")};
    get.class_ = rig_of(at.cache, RIG_PAGE);
    get.ttl_ns = S(2);
    assert_acts(gate_flight(&at, &get), "get:page:7");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_LEASE, 3);
    reply.fence = 12;
    reply.held = true;
    uint64_t token = at.last.token;
    fb_gate_reply(at.gate, &reply, at.now_ns);
    fb_gate_action action;
    assert_true(fb_gate_next(at.gate, &action));
    assert_int_equal(action.type, FB_GATE_FLIGHT);
    assert_int_equal(action.reply->result, FB_REMOTE_LEASE);
    assert_true(action.reply->token == token);
    assert_int_equal(action.reply->wide.seq, 3);
    assert_int_equal(action.reply->fence, 12);
    assert_true(action.reply->keep_nothing);
    gate_done(&at);
}

static void test_gate__fill_goes_under_the_token_and_stamp_of_the_lease(void **state) {
    gate_rig at = gate_up();
    fb_loaded loaded = rig_loaded("one", "tag");
    fb_action fill = {.type = FB_ACTION_REMOTE_FILL,
                      .remote = 70,
                      .key = FB_STR("page:7"),
                      .class_ = rig_of(at.cache, RIG_PAGE),
                      .token = 5,
                      .wide = {9, 2, 3},
                      .loaded = &loaded,
                      .ttl_ns = INT64_MAX};
    assert_acts(gate_flight(&at, &fill), "fill:page:7");
    fb_loaded_release(&loaded);
    assert_string_equal(at.last_value, "one");
    assert_int_equal(at.last.token, 5);
    assert_int_equal(at.last.wide.seq, 2);
    assert_int_equal(at.last.ttl_ns, -1);
    assert_acts(gate_last(&at, FB_SYNC_REFUSED, 0), "70=REFUSED");
    fill.ttl_ns = 0;
    assert_acts(gate_flight(&at, &fill), "release:page:7");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "70=DONE");
    gate_done(&at);
}

static void test_gate__mark_of_another_history_is_not_believed(void **state) {
    const struct {
        fb_mark mark;
        const char *acts;
    } cases[] = {{{9, 5, 1005}, "70=VALUE"},
                 {{9, 6, 77}, "70=VALUE"},
                 {{9, 5, 77}, "suspect:%u 70=FAILED"},
                 {{9, 4, 1004}, "suspect:%u 70=FAILED"},
                 {{8, 5, 1005}, "suspect:%u 70=FAILED"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gate_rig at = gate_up();
        char expected[64];
        gate_epoch(&at, GATE_EPOCH, 5);
        (void)snprintf(expected, sizeof expected, cases[i].acts,
                       fb_cache_partition_of(at.cache, FB_STR("page:7")));
        assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
        fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 0, "one", NULL);
        reply.mark = cases[i].mark;
        reply.wide.seq = 5;
        assert_acts(gate_give(&at, &reply), expected);
        gate_done(&at);
    }
}

static void test_gate__lease_that_nobody_uses_is_given_back(void **state) {
    const struct {
        fb_sync_result result;
        fb_mark mark;
        const char *acts;
    } cases[] = {{FB_SYNC_LEASE, {8, 5, 1005}, "suspect:%u release:page:7 70=FAILED"},
                 {FB_SYNC_FAILED, {0}, "release:page:7 70=FAILED"},
                 {FB_SYNC_HELD, {8, 5, 1005}, "suspect:%u 70=FAILED"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gate_rig at = gate_up();
        char expected[64];
        gate_epoch(&at, GATE_EPOCH, 5);
        (void)snprintf(expected, sizeof expected, cases[i].acts,
                       fb_cache_partition_of(at.cache, FB_STR("page:7")));
        assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
        fb_sync_reply reply = gate_value_of(&at, 0, cases[i].result, 0, NULL, NULL);
        reply.mark = cases[i].mark;
        assert_acts(gate_give(&at, &reply), expected);
        gate_done(&at);
    }
}

static void test_gate__records_applied_meanwhile_are_no_contradiction(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
    gate_epoch(&at, GATE_EPOCH, 4);
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 1, "one", NULL);
    reply.wide.seq = 4;
    assert_acts(gate_give(&at, &reply), "70=VALUE");
    gate_done(&at);
}

static void test_gate__log_without_an_epoch_is_told_of(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_get(&at, 70, "k"), "get:k");
    char expected[64];
    (void)snprintf(expected, sizeof expected, "suspect:%u 70=FAILED", at.last.log);
    assert_acts(gate_last(&at, FB_SYNC_NO_EPOCH, 0), expected);
    assert_int_equal(at.suspected.epoch, 0);
    gate_done(&at);
}

static void test_gate__value_that_a_tag_has_overtaken_is_replaced_under_a_lease(void **state) {
    gate_rig at = gate_up();
    fb_record record = {.kind = FB_RECORD_TAG, .seq = 1, .name = FB_STR("red")};
    fb_mark wide = {GATE_EPOCH, 1, 1001};
    fb_sync_stamps_raise(at.sync, &record, &wide);
    assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 0, "old", "red");
    assert_acts(gate_give(&at, &reply), "lease:page:7");
    assert_int_equal(at.last.wide.seq, 1);
    assert_acts(gate_last(&at, FB_SYNC_LEASE, 0), "70=LEASE");
    gate_done(&at);
}

static void test_gate__is_passed_by_until_there_is_a_link(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_get(&at, 70, "page:7"), "70=FAILED");
    assert_int_equal(gate_figures(&at).state, FB_SYNC_UNUSED);
    assert_acts(gate_link(&at, true), "");
    assert_acts(gate_get(&at, 71, "page:7"), "get:page:7");
    assert_acts(gate_link(&at, false), "");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "71=FAILED");
    assert_int_equal(gate_figures(&at).state, FB_SYNC_AWAY);
    assert_string_equal(gate_figures(&at).why, "Using in-memory fallback: connection refused");
    gate_done(&at);
}

// ---- SET

static void test_gate__set_is_kept_in_memory_when_it_is_acknowledged(void **state) {
    gate_rig at = gate_up();
    rig_put(at.cache, "k", "old", 0, at.now_ns);
    assert_acts(gate_set(&at, 1, "k", "new"), "set:k");
    assert_string_equal(at.last_value, "new");
    assert_int_equal(at.last.ttl_ns, -1);
    assert_int_equal(at.last_record.node, GATE_NODE);
    assert_read(at.cache, "k", at.now_ns, "nothing");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    assert_read(at.cache, "k", at.now_ns + S(9999), "fresh:new");
    assert_int_equal(at.receipt.reached, FB_REACH_SHARED);
    char token[FB_TOKEN_SIZE];
    (void)snprintf(token, sizeof token, "%x:9:1", at.last.log);
    assert_string_equal(at.receipt.token, token);
    gate_done(&at);
}

static void test_gate__others_change_that_came_between_keeps_a_set_out_of_memory(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "k", "new"), "set:k");
    rig_invalidate(at.cache, FB_SCOPE_KEY, "k", false, at.now_ns);  // a record of another node
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    assert_read(at.cache, "k", at.now_ns, "nothing");
    gate_done(&at);
}

static void test_gate__set_of_a_class_lives_as_the_class_says(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "page:7", "new"), "set:page:7");
    assert_int_equal(at.last.ttl_ns, S(60));
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    assert_read(at.cache, "page:7", at.now_ns + S(9.9), "fresh:new");
    assert_read(at.cache, "page:7", at.now_ns + S(10), "nothing");
    fb_want want = {.kind = FB_WANT_SET,
                    .waiter = 2,
                    .key = FB_STR("list:4:p1"),
                    .value = FB_STR("x"),
                    .ttl_ns = S(3)};
    assert_acts(gate_want(&at, &want), "set:list:4:p1");
    assert_int_equal(at.last.ttl_ns, S(3));
    assert_int_equal(at.last_tags, 1);
    assert_string_equal(at.last_tag, "user:4");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 2), "2=FB_OK");
    assert_read(at.cache, "list:4:p1", at.now_ns + S(3), "nothing");
    gate_done(&at);
}

static void test_gate__older_source_version_is_refused(void **state) {
    gate_rig at = gate_up();
    fb_want want = {.kind = FB_WANT_SET,
                    .waiter = 1,
                    .key = FB_STR("k"),
                    .value = FB_STR("old"),
                    .source_version = 6};
    assert_acts(gate_want(&at, &want), "set:k");
    assert_int_equal(at.last_source_version, 6);
    assert_acts(gate_last(&at, FB_SYNC_REFUSED, 1), "1=FB_REFUSED");
    assert_read(at.cache, "k", at.now_ns, "nothing");
    gate_done(&at);
}

static void test_gate__wants_that_cannot_be_are_refused_at_once(void **state) {
    gate_rig at = gate_up();
    fb_str own = FB_STR("\x01" "mine");
    fb_want want = {.kind = FB_WANT_SET, .waiter = 1, .key = FB_STR("k"), .value = FB_STR("x")};
    want.tags = &own;
    want.tag_count = 1;
    assert_result(fb_gate_want(at.gate, &want, at.now_ns), FB_EINVAL);
    want.tag_count = 0;
    want.value.len = (size_t)1 << 40;
    assert_result(fb_gate_want(at.gate, &want, at.now_ns), FB_ETOOBIG);
    want = (fb_want){.kind = FB_WANT_INVALIDATE,
                     .waiter = 1,
                     .what = {.scope = FB_SCOPE_CLASS, .name = FB_STR("nobody")}};
    assert_result(fb_gate_want(at.gate, &want, at.now_ns), FB_ENOCLASS);
    assert_acts(gate_actions(&at), "");
    gate_done(&at);
}

// ---- the order of changes

static void test_gate__changes_of_a_key_go_one_after_the_other(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "k", "one"), "set:k");
    assert_acts(gate_set(&at, 2, "k", "two"), "");
    assert_acts(gate_key(&at, FB_WANT_DEL, 3, "k"), "");
    assert_acts(gate_set(&at, 4, "other", "x"), "set:other");
    assert_acts(gate_reply(&at, 0, FB_SYNC_DONE, 1), "1=FB_OK set:k");
    assert_string_equal(at.last_value, "two");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 2), "2=FB_OK drop:k");
    fb_sync_reply reply = gate_reply_of(&at, at.sent - 1, FB_SYNC_DONE, 3);
    reply.found = true;
    assert_acts(gate_give(&at, &reply), "3=FB_OK");
    assert_read(at.cache, "k", at.now_ns, "nothing");
    gate_done(&at);
}

static void test_gate__long_line_that_ends_at_once_does_not_nest(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "k", "first"), "set:k");
    for (uint64_t i = 2; i < 20000; i++) {
        fb_want want = {.kind = FB_WANT_SET, .waiter = i, .key = FB_STR("k")};
        want.value = FB_STR("more");
        assert_ok(fb_gate_want(at.gate, &want, at.now_ns));
    }
    fb_gate_link(at.gate, false, "gone", at.now_ns);
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_UNKNOWN, 0);
    fb_gate_reply(at.gate, &reply, at.now_ns);
    fb_gate_action action;
    uint64_t answers = 0;
    while (fb_gate_next(at.gate, &action)) {
        assert_int_equal(action.type, FB_GATE_ANSWER);
        assert_int_equal(action.waiter, ++answers);
    }
    assert_int_equal(answers, 19999);
    assert_read(at.cache, "k", at.now_ns, "fresh:more");
    gate_done(&at);
}

// ---- DEL, INVALIDATE

static void test_gate__del_says_whether_it_was_there(void **state) {
    gate_rig at = gate_up();
    rig_put(at.cache, "k", "here", 0, at.now_ns);
    assert_acts(gate_key(&at, FB_WANT_DEL, 1, "k"), "drop:k");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 1);
    reply.found = true;
    assert_acts(gate_give(&at, &reply), "1=FB_OK");
    // What memory had somebody else has deleted.
    rig_put(at.cache, "k", "here", 0, at.now_ns);
    assert_acts(gate_key(&at, FB_WANT_DEL, 2, "k"), "drop:k");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 2), "2=FB_MISS");
    // Where nobody is asked memory is all there is.
    rig_put(at.cache, "k", "here", 0, at.now_ns);
    (void)gate_link(&at, false);
    assert_acts(gate_key(&at, FB_WANT_DEL, 3, "k"), "3=FB_OK");
    assert_acts(gate_key(&at, FB_WANT_DEL, 4, "k"), "4=FB_MISS");
    gate_done(&at);
}

static void test_gate__invalidation_takes_effect_before_and_after_it_is_told(void **state) {
    gate_rig at = gate_up();
    rig_put(at.cache, "page:7", "old", 0, at.now_ns);
    assert_acts(gate_key(&at, FB_WANT_INVALIDATE, 1, "page:7"), "drop:page:7");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    // In between somebody takes the old value from there.
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", NULL, at.now_ns));
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    assert_int_equal(at.number, 1);
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    gate_done(&at);
}

static void test_gate__hold_and_fence_are_told_and_kept_here_too(void **state) {
    gate_rig at = gate_up();
    fb_want want = invalidation(1, "page:7");
    want.hold_ns = S(1.5) + 1;
    want.source_version = 8;
    assert_acts(gate_want(&at, &want), "drop:page:7");
    assert_int_equal(at.last_record.hold_ms, 1501);
    assert_int_equal(at.last_record.fence, 8);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    assert_result(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, at.now_ns), FB_DOOMED);
    at.now_ns += S(2);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", NULL, at.now_ns));
    gate_done(&at);
}

static fb_want hold_of(uint64_t waiter, const char *key) {
    fb_want want = invalidation(waiter, key);
    want.hold_ns = S(10);
    return want;
}

static void test_gate__what_is_held_here_nobody_else_is_asked_for(void **state) {
    gate_rig at = gate_up();
    fb_want hold = hold_of(1, "page:7");
    assert_acts(gate_want(&at, &hold), "drop:page:7");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    fb_action get = {.type = FB_ACTION_REMOTE_GET,
                     .remote = 70,
                     .key = FB_STR("page:7"),
                     .class_ = rig_of(at.cache, RIG_PAGE),
                     .ttl_ns = S(2)};
    fb_gate_action action;
    assert_ok(fb_gate_flight(at.gate, &get, at.now_ns));
    assert_true(fb_gate_next(at.gate, &action));
    assert_int_equal(action.reply->result, FB_REMOTE_FAILED);
    assert_true(action.reply->keep_nothing);
    assert_acts(gate_key(&at, FB_WANT_READ, 2, "page:7"), "2=FB_MISS");
    // Each client loads for himself, and what he brings is refused.
    for (uint64_t waiter = 3; waiter < 5; waiter++) {
        (void)gate_key(&at, FB_WANT_LEASE, waiter, "page:7");
        assert_true(at.token != 0);
        fb_want fill = {.kind = FB_WANT_FILL,
                        .waiter = waiter + 10,
                        .key = FB_STR("page:7"),
                        .value = FB_STR("old"),
                        .token = at.token};
        assert_acts(gate_want(&at, &fill), waiter == 3 ? "13=FB_REFUSED" : "14=FB_REFUSED");
    }
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_passed_by), 0);
    assert_acts(gate_get(&at, 71, "page:8"), "get:page:8");
    at.now_ns += S(11);
    assert_acts(gate_get(&at, 72, "page:7"), "get:page:7");
    gate_done(&at);
}

static void test_gate__who_knows_of_a_change_asks_for_what_is_held_here(void **state) {
    gate_rig at = gate_up();
    fb_want hold = hold_of(1, "k");
    assert_acts(gate_want(&at, &hold), "drop:k");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    fb_want read = {.kind = FB_WANT_READ, .waiter = 2, .key = FB_STR("k"), .distrust = true};
    assert_acts(gate_want(&at, &read), "peek:k");
    assert_acts(gate_value(&at, at.sent - 1, FB_SYNC_VALUE, 2, "set by another"),
                "2=set by another");
    assert_acts(gate_set(&at, 3, "k", "mine"), "set:k");  // that ends it
    assert_acts(gate_last(&at, FB_SYNC_DONE, 3), "3=FB_OK");
    assert_read(at.cache, "k", at.now_ns, "fresh:mine");
    gate_done(&at);
}

static void test_gate__local_one_is_answered_at_once_and_hides_what_is_there_still(void **state) {
    gate_rig at = gate_up();
    fb_want want = invalidation(1, "page:7");
    want.reach = FB_REACH_LOCAL;
    assert_acts(gate_want(&at, &want), "1=FB_OK drop:page:7");
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_acts(gate_get(&at, 70, "page:7"), "70=FAILED");
    assert_acts(gate_get(&at, 71, "page:8"), "get:page:8");
    assert_acts(gate_reply(&at, 0, FB_SYNC_DONE, 1), "");
    assert_acts(gate_get(&at, 72, "page:7"), "get:page:7");
    gate_done(&at);
}

// ---- many keys

static void test_gate__tag_is_bumped_and_applied_here(void **state) {
    gate_rig at = gate_up();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", "red", at.now_ns));
    assert_acts(gate_wide(&at, 1, FB_SCOPE_TAG, "red"), "bump:T red");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    assert_int_equal(at.last.log, GATE_PARTITIONS);
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "old", "red", at.now_ns));
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
    assert_string_equal(at.receipt.token, "4:9:1");
    assert_read(at.cache, "page:7", at.now_ns, "nothing");
    // And what the shared tier still has of it is not taken.
    assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
    fb_sync_reply reply = gate_value_of(&at, 1, FB_SYNC_VALUE, 0, "old", "red");
    assert_acts(gate_give(&at, &reply), "lease:page:7");
    gate_done(&at);
}

static void test_gate__each_scope_has_its_record(void **state) {
    const struct {
        fb_scope scope;
        const char *name, *acts;
    } cases[] = {{FB_SCOPE_CLASS, "page", "bump:C page"},
                 {FB_SCOPE_NAMESPACE, "shop", "bump:N shop"},
                 {FB_SCOPE_ALL, "", "bump:A "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        gate_rig at = gate_up();
        assert_acts(gate_wide(&at, 1, cases[i].scope, cases[i].name), cases[i].acts);
        assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK");
        gate_done(&at);
    }
}

static void test_gate__pattern_is_swept_and_then_said_unless_it_is_an_index(void **state) {
    gate_rig at = gate_up();
    rig_put(at.cache, "a1", "x", 0, at.now_ns);
    assert_acts(gate_wide(&at, 1, FB_SCOPE_PATTERN, "a*"), "sweep:a*");
    assert_true(at.last.timeout_ns > S(10));
    assert_read(at.cache, "a1", at.now_ns, "nothing");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 0);
    reply.number = 17;
    assert_acts(gate_give(&at, &reply), "bump:P a*");
    // Once more, because a fail-over in between may have undone the first.
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "sweep:a*");
    reply = gate_reply_of(&at, 2, FB_SYNC_DONE, 0);
    assert_acts(gate_give(&at, &reply), "bump:P a*");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 2), "1=FB_OK");
    assert_int_equal(at.number, 17);
    const char *actions = gate_wide(&at, 2, FB_SCOPE_PATTERN, "list:4:*");
    assert_true(strncmp(actions, "bump:T \x01", 8) == 0);
    gate_done(&at);
}

static void test_gate__wide_one_in_an_epoch_unknown_here_stays_owed(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_wide(&at, 1, FB_SCOPE_TAG, "red"), "bump:T red");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 1);
    reply.mark.epoch = 10;
    assert_acts(gate_give(&at, &reply), "suspect:4 1=FB_OK bump:T red");
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_true(fb_sync_owes_wide(at.sync));
    gate_epoch(&at, 10, 1);
    reply = gate_reply_of(&at, 1, FB_SYNC_DONE, 2);
    reply.mark.epoch = 10;
    assert_acts(gate_give(&at, &reply), "");
    assert_false(fb_sync_owes_wide(at.sync));
    gate_done(&at);
}

// ---- all nodes

static const char *nodes_reply(gate_rig *at, const uint64_t *nodes, size_t count) {
    fb_sync_reply reply = gate_reply_of(at, at->sent - 1, FB_SYNC_DONE, 0);
    reply.nodes = nodes;
    reply.node_count = count;
    return gate_give(at, &reply);
}

static gate_rig up_for_long(void) {
    gate_rig at = gate_up();
    assert_acts(gate_time(&at, at.now_ns + S(10)), "");
    return at;
}

static fb_want to_all(uint64_t waiter, int64_t timeout_ns) {
    fb_want want = {.kind = FB_WANT_INVALIDATE,
                    .waiter = waiter,
                    .what = {.scope = FB_SCOPE_TAG, .name = FB_STR("red")},
                    .reach = FB_REACH_NODES,
                    .timeout_ns = timeout_ns};
    return want;
}

static void test_gate__waits_until_all_nodes_have_said_so(void **state) {
    static const uint64_t alive[] = {GATE_NODE, 222, 333};
    gate_rig at = up_for_long();
    fb_want want = to_all(1, S(2));
    assert_acts(gate_want(&at, &want), "bump:T red");
    assert_true(at.last_record.wants_ack);
    uint64_t nonce = at.last_record.nonce;
    fb_gate_ack(at.gate, nonce, 333, at.now_ns);  // before it is acknowledged here
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "nodes");
    assert_acts(nodes_reply(&at, alive, 3), "");
    fb_gate_ack(at.gate, nonce + 1, 222, at.now_ns);
    fb_gate_ack(at.gate, nonce, 333, at.now_ns);
    assert_acts(gate_actions(&at), "");
    fb_gate_ack(at.gate, nonce, 222, at.now_ns);
    assert_acts(gate_actions(&at), "1=FB_OK");
    assert_int_equal(at.receipt.reached, FB_REACH_NODES);
    assert_int_equal(at.receipt.nodes_alive, 2);
    assert_int_equal(at.receipt.node_count, 2);
    gate_done(&at);
}

static void test_gate__says_how_many_nodes_have_not(void **state) {
    static const uint64_t alive[] = {GATE_NODE, 222, 333};
    gate_rig at = up_for_long();
    fb_want want = to_all(1, S(2));
    int64_t begun_ns = at.now_ns;
    assert_acts(gate_want(&at, &want), "bump:T red");
    uint64_t nonce = at.last_record.nonce;
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "nodes");
    assert_acts(nodes_reply(&at, alive, 3), "");
    fb_gate_ack(at.gate, nonce, 222, at.now_ns);
    assert_acts(gate_time(&at, at.now_ns + S(3)), "1=FB_REFUSED");
    assert_true(at.now_ns == begun_ns + S(2));
    assert_int_equal(at.receipt.reached, FB_REACH_SHARED);
    assert_int_equal(at.receipt.nodes_alive, 2);
    assert_int_equal(at.receipt.node_count, 1);
    // And where not even the list came in time.
    assert_acts(gate_want(&at, &want), "bump:T red");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 2), "nodes");
    assert_acts(gate_time(&at, at.now_ns + S(3)), "1=FB_REFUSED");
    assert_acts(nodes_reply(&at, alive, 3), "");
    gate_done(&at);
}

static void test_gate__list_of_nodes_that_may_have_been_lost_is_not_believed(void **state) {
    static const uint64_t alive[] = {GATE_NODE, 222};
    gate_rig at = up_for_long();
    fb_want want = to_all(1, S(1));
    assert_acts(gate_want(&at, &want), "bump:T red");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "nodes");
    assert_acts(nodes_reply(&at, alive + 1, 0), "1=FB_REFUSED");  // not even we are there
    gate_epoch(&at, 10, 0);  // a new epoch: perhaps all has been lost
    assert_acts(gate_want(&at, &want), "bump:T red");
    fb_sync_reply reply = gate_reply_of(&at, at.sent - 1, FB_SYNC_DONE, 1);
    reply.mark.epoch = 10;
    assert_acts(gate_give(&at, &reply), "nodes");
    assert_acts(nodes_reply(&at, alive, 1), "1=FB_REFUSED");
    assert_acts(gate_time(&at, at.now_ns + S(10)), "");
    assert_acts(gate_want(&at, &want), "bump:T red");
    reply = gate_reply_of(&at, at.sent - 1, FB_SYNC_DONE, 2);
    reply.mark.epoch = 10;
    assert_acts(gate_give(&at, &reply), "nodes");
    assert_acts(nodes_reply(&at, alive, 1), "1=FB_OK");
    gate_done(&at);
}

// Another server may have taken over, which never heard of a node that had just come.
static void test_gate__list_of_nodes_is_not_believed_soon_after_a_loss(void **state) {
    static const uint64_t alive[] = {GATE_NODE};
    gate_rig at = up_for_long();
    fb_want want = to_all(1, S(1));
    assert_acts(gate_link(&at, false), "");
    assert_acts(gate_link(&at, true), "nodes");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "");
    for (int i = 0; i < 2; i++) {
        assert_acts(gate_want(&at, &want), "bump:T red");
        assert_acts(gate_last(&at, FB_SYNC_DONE, 1 + (uint64_t)i), "nodes");
        assert_acts(nodes_reply(&at, alive, 1), i == 0 ? "1=FB_REFUSED" : "1=FB_OK");
        (void)gate_time(&at, at.now_ns + S(10));
    }
    gate_done(&at);
}

static void test_gate__without_a_link_no_reach_is_pretended(void **state) {
    gate_rig at = gate_new();
    fb_want want = to_all(1, S(1));
    assert_acts(gate_want(&at, &want), "1=FB_REFUSED");
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_string_equal(at.receipt.token, "");
    gate_done(&at);
}

// ---- READ

static void test_gate__read_takes_a_value_into_memory(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_key(&at, FB_WANT_READ, 1, "k"), "peek:k");
    assert_acts(gate_key(&at, FB_WANT_READ, 2, "k"), "");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 0, "one", NULL);
    reply.fresh_for_ns = S(5);
    assert_acts(gate_give(&at, &reply), "1=one 2=one");
    assert_read(at.cache, "k", at.now_ns + S(4.9), "fresh:one");
    assert_read(at.cache, "k", at.now_ns + S(5), "nothing");
    assert_acts(gate_key(&at, FB_WANT_READ, 3, "none"), "peek:none");
    assert_acts(gate_last(&at, FB_SYNC_NONE, 0), "3=FB_MISS");
    assert_acts(gate_key(&at, FB_WANT_READ, 4, "page:9"), "peek:page:9");
    assert_acts(gate_value(&at, 2, FB_SYNC_VALUE, 0, NULL), "4=FB_NEGATIVE");
    gate_done(&at);
}

static void test_gate__read_does_not_join_one_from_before_a_change(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_key(&at, FB_WANT_READ, 1, "k"), "peek:k");
    assert_acts(gate_set(&at, 2, "k", "new"), "set:k");
    assert_acts(gate_reply(&at, 1, FB_SYNC_DONE, 1), "2=FB_OK");
    assert_acts(gate_key(&at, FB_WANT_READ, 3, "k"), "peek:k");
    assert_acts(gate_value(&at, 0, FB_SYNC_VALUE, 0, "old"), "1=old");
    assert_read(at.cache, "k", at.now_ns, "fresh:new");
    assert_acts(gate_value(&at, 2, FB_SYNC_VALUE, 1, "new"), "3=new");
    gate_done(&at);
}

// A tag's change that was answered, and has been told to nobody yet, may be of any key.
static void test_gate__read_does_not_join_one_while_something_wide_is_owed(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_wide(&at, 1, FB_SCOPE_TAG, "red"), "bump:T red");
    assert_acts(gate_key(&at, FB_WANT_READ, 2, "k"), "peek:k");
    assert_acts(gate_reply(&at, 0, FB_SYNC_UNKNOWN, 0), "1=FB_OK bump:T red");
    assert_acts(gate_key(&at, FB_WANT_READ, 3, "k"), "3=FB_MISS");
    assert_acts(gate_value(&at, 1, FB_SYNC_VALUE, 0, "old"), "2=old");
    gate_done(&at);
}

static void test_gate__read_takes_memorys_where_there_is_no_answer(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_key(&at, FB_WANT_READ, 1, "k"), "peek:k");
    rig_put(at.cache, "k", "here", 0, at.now_ns);
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "1=here");
    assert_acts(gate_link(&at, false), "");
    assert_acts(gate_key(&at, FB_WANT_READ, 2, "k"), "2=here");
    assert_acts(gate_key(&at, FB_WANT_READ, 3, "other"), "3=FB_MISS");
    gate_done(&at);
}

// ---- leases of clients

static const char *client_fill(gate_rig *at, uint64_t waiter, uint64_t token, const char *value) {
    fb_want want = {.kind = FB_WANT_FILL,
                    .waiter = waiter,
                    .key = FB_STR("k"),
                    .value = fb_str_of(value),
                    .token = token};
    return gate_want(at, &want);
}

static void test_gate__client_gets_a_lease_and_fills_under_it(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_key(&at, FB_WANT_LEASE, 1, "k"), "get:k");
    assert_int_equal(at.last.lease_ns, S(10));
    assert_acts(gate_last(&at, FB_SYNC_LEASE, 0), "1=FB_MISS");
    uint64_t token = at.token;
    assert_int_not_equal(token, 0);
    assert_acts(client_fill(&at, 2, token + 1, "x"), "2=FB_REFUSED");
    assert_acts(client_fill(&at, 3, token, "one"), "fill:k");
    assert_true(at.last.token == token);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "3=FB_OK");
    assert_read(at.cache, "k", at.now_ns, "fresh:one");
    assert_acts(client_fill(&at, 4, token, "two"), "4=FB_REFUSED");  // once
    assert_acts(gate_key(&at, FB_WANT_LEASE, 5, "k2"), "get:k2");
    assert_acts(gate_last(&at, FB_SYNC_HELD, 0), "5=FB_PENDING");
    assert_acts(gate_key(&at, FB_WANT_LEASE, 6, "k3"), "get:k3");
    assert_acts(gate_value(&at, at.sent - 1, FB_SYNC_VALUE, 0, "there"), "6=there");
    gate_done(&at);
}

static void test_gate__clients_lease_falls_with_a_change_and_with_time(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_key(&at, FB_WANT_LEASE, 1, "k"), "get:k");
    assert_acts(gate_last(&at, FB_SYNC_LEASE, 0), "1=FB_MISS");
    uint64_t token = at.token;
    rig_invalidate(at.cache, FB_SCOPE_KEY, "k", false, at.now_ns);
    assert_acts(client_fill(&at, 2, token, "old"), "2=FB_REFUSED release:k");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "");
    assert_acts(gate_key(&at, FB_WANT_LEASE, 3, "k"), "get:k");
    assert_acts(gate_last(&at, FB_SYNC_LEASE, 0), "3=FB_MISS");
    token = at.token;
    assert_acts(gate_time(&at, at.now_ns + S(10)), "");
    assert_acts(client_fill(&at, 4, token, "late"), "4=FB_REFUSED");
    gate_done(&at);
}

static void test_gate__client_has_a_lease_of_this_node_while_it_is_away(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_key(&at, FB_WANT_LEASE, 1, "k"), "1=FB_MISS");
    uint64_t token = at.token;
    assert_acts(gate_key(&at, FB_WANT_LEASE, 2, "k"), "2=FB_PENDING");
    assert_acts(client_fill(&at, 3, token, "one"), "3=FB_OK");
    assert_acts(gate_key(&at, FB_WANT_LEASE, 4, "k"), "4=one");
    gate_done(&at);
}

// ---- away, and back

static void test_gate__changes_take_effect_in_memory_and_are_told_later(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_set(&at, 1, "a", "one"), "1=FB_OK");
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_acts(gate_set(&at, 2, "b", "two"), "2=FB_OK");
    assert_acts(gate_key(&at, FB_WANT_DEL, 3, "a"), "3=FB_OK");
    assert_acts(gate_wide(&at, 4, FB_SCOPE_TAG, "red"), "4=FB_OK");
    assert_read(at.cache, "b", at.now_ns, "fresh:two");
    assert_int_equal(gate_figures(&at).owed_now, 3);
    assert_true(fb_sync_owes_wide(at.sync));
    assert_acts(gate_link(&at, true), "set:b drop:a bump:T red");
    assert_string_equal(at.last_value, "");
    assert_acts(gate_get(&at, 70, "c"), "70=FAILED");  // nothing is taken until all is told
    assert_int_equal(gate_figures(&at).state, FB_SYNC_CATCHING_UP);
    assert_acts(gate_reply(&at, 0, FB_SYNC_DONE, 1), "");
    assert_acts(gate_reply(&at, 1, FB_SYNC_DONE, 2), "");
    assert_acts(gate_reply(&at, 2, FB_SYNC_DONE, 1), "");
    assert_read(at.cache, "b", at.now_ns, "fresh:two");
    assert_false(fb_sync_owes_wide(at.sync));
    assert_int_equal(gate_figures(&at).owed_now, 0);
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_replayed), 3);
    assert_acts(gate_get(&at, 71, "c"), "get:c");
    gate_done(&at);
}

static void test_gate__value_is_told_as_memory_has_it_with_its_tags(void **state) {
    gate_rig at = gate_new();
    fb_str tag = FB_STR("red");
    fb_want want = {.kind = FB_WANT_SET,
                    .waiter = 1,
                    .key = FB_STR("a"),
                    .value = FB_STR("one"),
                    .ttl_ns = S(10),
                    .tags = &tag,
                    .tag_count = 1,
                    .source_version = 4};
    assert_acts(gate_want(&at, &want), "1=FB_OK");
    at.now_ns += S(4);
    assert_acts(gate_link(&at, true), "set:a");
    assert_string_equal(at.last_value, "one");
    assert_string_equal(at.last_tag, "red");
    assert_int_equal(at.last_source_version, 4);
    assert_true(at.last.ttl_ns == S(6));
    // Somebody has something newer.
    assert_acts(gate_last(&at, FB_SYNC_REFUSED, 1), "");
    assert_read(at.cache, "a", at.now_ns, "nothing");
    assert_true(fb_gate_is_idle(at.gate));
    gate_done(&at);
}

static void test_gate__value_that_memory_has_not_any_more_is_told_as_dropped(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_set(&at, 1, "page:1", "one"), "1=FB_OK");
    assert_acts(gate_set(&at, 2, "page:2", "two"), "2=FB_OK");
    rig_invalidate(at.cache, FB_SCOPE_KEY, "page:1", false, at.now_ns);
    // A load has replaced it since, with tags that are not known here.
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:2", "three", "t", at.now_ns));
    assert_acts(gate_link(&at, true), "drop:page:1 drop:page:2");
    gate_done(&at);
}

static void test_gate__probe_goes_first_after_an_outage(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_link(&at, false), "");
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_trips), 1);
    assert_acts(gate_set(&at, 1, "a", "one"), "1=FB_OK");
    assert_acts(gate_link(&at, true), "nodes");
    assert_acts(gate_set(&at, 2, "b", "two"), "2=FB_OK");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "");
    assert_acts(gate_time(&at, at.now_ns + S(5)), "nodes");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "set:a set:b");
    gate_done(&at);
}

// A full server answers probes, and refuses what would have to be written; what only removes it may do.
static void test_gate__is_away_until_all_that_is_owed_was_told(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "a", "one"), "set:a");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "1=FB_OK set:a");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "");
    for (uint64_t i = 0; gate_counter(&at, FB_SYNC_COUNT_trips) == 0; i++) {
        char key[16];
        assert_in_range(i, 0, 99);
        (void)snprintf(key, sizeof key, "k%d", (int)i);
        if (strncmp(gate_get(&at, 70 + i, key), "get:", 4) == 0) {
            (void)gate_last(&at, FB_SYNC_FAILED, 0);
        }
    }
    assert_int_equal(gate_figures(&at).state, FB_SYNC_AWAY);
    char why[sizeof gate_figures(&at).why];
    (void)snprintf(why, sizeof why, "%s", gate_figures(&at).why);
    assert_acts(gate_set(&at, 2, "b", "two"), "2=FB_OK");
    assert_acts(gate_time(&at, at.now_ns + S(1)), "nodes");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "set:a set:b");
    assert_int_equal(gate_figures(&at).state, FB_SYNC_AWAY);
    assert_acts(gate_reply(&at, at.sent - 2, FB_SYNC_DONE, 1), "");
    assert_int_equal(gate_figures(&at).state, FB_SYNC_AWAY);
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "");
    assert_int_equal(gate_figures(&at).state, FB_SYNC_AWAY);
    assert_string_equal(gate_figures(&at).why, why);
    assert_acts(gate_time(&at, at.now_ns + S(1)), "set:b");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "");
    assert_int_not_equal(gate_figures(&at).state, FB_SYNC_AWAY);
    gate_done(&at);
}

// What people are told is a share of reads: a change that failed is none.
static void test_gate__failures_of_reads_alone_are_counted_with_reads(void **state) {
    gate_rig at = gate_up();
    fb_stats stats = {0};
    assert_acts(gate_get(&at, 70, "b"), "get:b");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "release:b 70=FAILED");
    assert_acts(gate_set(&at, 1, "a", "one"), "set:a");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "1=FB_OK set:a");
    assert_ok(fb_cache_stats(at.cache, &stats));
    assert_int_equal(stats.all.shared_reads, 1);
    assert_int_equal(stats.all.shared_failures, 1);
    fb_mem_free(stats.classes);
    gate_done(&at);
}

static void test_gate__unknown_outcome_is_owed_and_counts_as_done(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "a", "one"), "set:a");
    uint64_t nonce = at.last_record.nonce;
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "1=FB_OK set:a");
    assert_true(fb_sync_disowned(at.sync, nonce));
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_read(at.cache, "a", at.now_ns, "fresh:one");
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "");
    assert_acts(gate_time(&at, at.now_ns + S(1)), "set:a");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "");
    assert_true(fb_gate_is_idle(at.gate));
    gate_done(&at);
}

static void test_gate__change_of_another_node_while_it_is_told_keeps_memory_empty(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_set(&at, 1, "a", "one"), "1=FB_OK");
    assert_acts(gate_link(&at, true), "set:a");
    rig_invalidate(at.cache, FB_SCOPE_KEY, "a", false, at.now_ns);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "");
    assert_read(at.cache, "a", at.now_ns, "nothing");
    gate_done(&at);
}

static void test_gate__too_much_that_is_owed_becomes_a_new_epoch(void **state) {
    gate_rig at = gate_new();
    for (uint64_t i = 0; i < 40; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", (unsigned)i);
        assert_acts(gate_set(&at, 1, key, "x"), "1=FB_OK");
    }
    (void)gate_link(&at, true);
    size_t epochs = 0;
    const char *place = at.text;
    while ((place = strstr(place, "epoch:")) != NULL) {
        epochs++;
        place++;
    }
    assert_in_range(epochs, 1, GATE_PARTITIONS);
    assert_acts(gate_get(&at, 70, "c"), "70=FAILED");
    gate_done(&at);
}

static gate_rig overflowed(void) {
    gate_rig at = gate_new();
    fb_gate_free(at.gate);
    fb_sync_free(at.sync);
    fb_sync_options options = gate_options(at.cache);
    options.outbox_max = 0;
    assert_ok(fb_sync_new(&options, &at.sync));
    assert_ok(fb_gate_new(at.sync, 0, &at.gate));
    gate_epoch(&at, GATE_EPOCH, 0);
    assert_acts(gate_set(&at, 1, "k", "x"), "1=FB_OK");
    assert_int_equal(strncmp(gate_link(&at, true), "epoch:", 6), 0);
    return at;
}

static void test_gate__epoch_that_somebody_else_opened_is_not_enough(void **state) {
    gate_rig at = overflowed();
    char again[32], suspect[32];
    (void)snprintf(again, sizeof again, "epoch:%u", at.last.log);
    (void)snprintf(suspect, sizeof suspect, "suspect:%u", at.last.log);
    assert_int_equal(at.last.mark.epoch, GATE_EPOCH);
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 0);
    reply.mark.epoch = 55;
    assert_acts(gate_give(&at, &reply), again);
    assert_int_equal(at.last.mark.epoch, 55);
    reply = gate_reply_of(&at, 1, FB_SYNC_DONE, 0);
    reply.mark.epoch = at.last.token;
    assert_acts(gate_give(&at, &reply), suspect);
    assert_true(fb_gate_is_idle(at.gate));
    fb_mark acked[FB_ACKED_EPOCHS];
    fb_acked_furthest(fb_sync_acks(at.sync), at.last.log, acked);
    assert_true(acked[0].epoch == at.last.token);
    gate_done(&at);
}

static void test_gate__wide_epoch_counts_when_this_node_follows_it(void **state) {
    gate_rig at = overflowed();
    uint64_t token = at.last.token;
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 0);
    reply.mark.epoch = token;
    (void)gate_give(&at, &reply);
    assert_acts(gate_link(&at, false), "");
    assert_acts(gate_wide(&at, 2, FB_SCOPE_ALL, ""), "2=FB_OK");
    assert_acts(gate_link(&at, true), "nodes");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 0), "epoch:4");
    reply = gate_reply_of(&at, at.sent - 1, FB_SYNC_DONE, 0);
    reply.mark.epoch = at.last.token;
    assert_acts(gate_give(&at, &reply), "suspect:4");
    assert_true(fb_sync_owes_wide(at.sync));
    assert_acts(gate_time(&at, at.now_ns + S(0.1)), "suspect:4");
    gate_epoch(&at, reply.mark.epoch, 0);
    assert_acts(gate_time(&at, at.now_ns + S(0.1)), "");
    assert_false(fb_sync_owes_wide(at.sync));
    gate_done(&at);
}

static void test_gate__epoch_that_failed_is_asked_for_again(void **state) {
    gate_rig at = overflowed();
    char again[32];
    (void)snprintf(again, sizeof again, "epoch:%u", at.last.log);
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "");
    assert_acts(gate_time(&at, at.now_ns + S(1)), again);
    gate_done(&at);
}

static void test_gate__outage_that_takes_too_long_becomes_new_epochs(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_set(&at, 1, "k", "x"), "1=FB_OK");
    at.now_ns += S(601);
    assert_int_equal(strncmp(gate_link(&at, true), "epoch:", 6), 0);
    gate_done(&at);
}

static void test_gate__memory_of_who_owed_something_is_not_believed(void **state) {
    gate_rig at = gate_new();
    assert_acts(gate_set(&at, 1, "k", "x"), "1=FB_OK");
    uint32_t log = fb_cache_partition_of(at.cache, FB_STR("k"));
    fb_gate_free(at.gate);
    fb_sync_free(at.sync);
    fb_sync_options options = gate_options(at.cache);
    assert_ok(fb_sync_new(&options, &at.sync));
    assert_ok(fb_gate_new(at.sync, 0, &at.gate));
    for (uint32_t i = 0; i <= GATE_PARTITIONS; i++) {
        fb_mark mark;
        fb_cache_mark(at.cache, i, &mark);
        assert_int_equal(mark.epoch, i == log ? 0 : GATE_EPOCH);
    }
    gate_done(&at);
}

// ---- the end

static void test_gate__close_answers_all_who_wait(void **state) {
    gate_rig at = gate_up();
    assert_acts(gate_set(&at, 1, "k", "one"), "set:k");
    assert_acts(gate_set(&at, 2, "k", "two"), "");
    assert_acts(gate_key(&at, FB_WANT_READ, 3, "r"), "peek:r");
    assert_acts(gate_get(&at, 70, "page:7"), "get:page:7");
    fb_gate_close(at.gate);
    assert_acts(gate_actions(&at), "1=FB_ECLOSED 2=FB_ECLOSED 3=FB_ECLOSED 70=FAILED");
    assert_acts(gate_reply(&at, 0, FB_SYNC_DONE, 1), "");  // late
    fb_want want = {.kind = FB_WANT_READ, .waiter = 5, .key = FB_STR("k")};
    assert_result(fb_gate_want(at.gate, &want, at.now_ns), FB_ECLOSED);
    assert_true(fb_gate_is_idle(at.gate));
    gate_done(&at);
}

// ---- lack of memory

typedef struct story {
    gate_rig at;
    uint64_t wide_epoch;
    size_t wanted, answered;
} story;

static void answer_all(story *told) {
    gate_rig *at = &told->at;
    fb_gate_action action;
    while (fb_gate_next(at->gate, &action)) {
        if (action.type == FB_GATE_ANSWER) {
            told->answered++;
            fb_value_release(&action.value);
        } else if (action.type == FB_GATE_FLIGHT) {
            told->answered++;
        } else if (action.type == FB_GATE_SEND) {
            fb_sync_reply reply = {.result = FB_SYNC_DONE, .id = action.request.id, .text = ""};
            fb_sync_verb verb = action.request.verb;
            reply.mark = (fb_mark){GATE_EPOCH, 0, 0};
            fb_loaded_init(&reply.loaded);
            reply.result = verb == FB_SYNC_GET    ? FB_SYNC_LEASE
                           : verb == FB_SYNC_PEEK ? FB_SYNC_NONE
                                                  : FB_SYNC_DONE;
            if (verb == FB_SYNC_EPOCH) {
                reply.mark.epoch = action.request.token;
            } else if (verb == FB_SYNC_BUMP) {
                reply.mark.epoch = told->wide_epoch;
            }
            if (verb == FB_SYNC_EPOCH && action.request.log == GATE_PARTITIONS) {
                told->wide_epoch = reply.mark.epoch;  // and this node follows it
                fb_sync_stamps_reset(at->sync, &reply.mark, NULL, 0);
            }
            at->now_ns += S(0.02);
            fb_gate_reply(at->gate, &reply, at->now_ns);
        }
    }
    fb_gate_check(at->gate);
}

static int want_one(story *told, const fb_want *want) {
    int result = fb_gate_want(told->at.gate, want, told->at.now_ns);
    told->wanted += result == FB_OK;
    answer_all(told);
    return result;
}

static int flight_one(story *told, fb_action_type type) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    fb_action action = {.type = type, .remote = 9, .key = FB_STR("page:7"), .ttl_ns = S(1)};
    action.class_ = rig_of(told->at.cache, RIG_PAGE);
    action.loaded = &loaded;
    int result = fb_gate_flight(told->at.gate, &action, told->at.now_ns);
    told->wanted += result == FB_OK;
    answer_all(told);
    return result;
}

static int edit_put(void *arg, fb_edit *edit) {
    edit->action = FB_EDIT_PUT;
    edit->data = FB_STR("edited");
    return FB_OK;
}

static int all_wants(story *told) {
    int worst = FB_OK;
    for (int kind = FB_WANT_READ; kind <= FB_WANT_LEASE; kind++) {
        fb_want want = {.kind = (fb_want_kind)kind,
                        .waiter = 1 + (uint64_t)kind,
                        .key = FB_STR("list:4:p1"),
                        .value = FB_STR("12"),
                        .edit = edit_put,
                        .delta = 2,
                        .what = {.scope = FB_SCOPE_KEY, .name = FB_STR("list:4:p1")}};
        int result = want_one(told, &want);
        worst = result < 0 ? result : worst;
    }
    fb_want wide = {.kind = FB_WANT_INVALIDATE,
                    .waiter = 50,
                    .what = {.scope = FB_SCOPE_PATTERN, .name = FB_STR("list:4:*")}};
    int result = want_one(told, &wide);
    worst = result < 0 ? result : worst;
    result = flight_one(told, FB_ACTION_REMOTE_GET);
    worst = result < 0 ? result : worst;
    result = flight_one(told, FB_ACTION_REMOTE_FILL);
    return result < 0 ? result : worst;
}

// Nobody who was taken in is left without an answer, and nobody gets two; afterwards nothing is
// owed.
static int live_through(void *arg) {
    story *told = arg;
    gate_rig *at = &told->at;
    told->wanted = told->answered = 0;
    told->wide_epoch = GATE_EPOCH;
    gate_epoch(at, GATE_EPOCH, 0);
    int result = fb_gate_new(at->sync, 0, &at->gate);
    if (result < 0) {
        return result;
    }
    result = all_wants(told);
    fb_gate_link(at->gate, true, "", at->now_ns);
    answer_all(told);
    int later = all_wants(told);
    result = later < 0 ? later : result;
    test_memory_get()->fail_at = 0;
    for (int i = 0; i < 50; i++) {
        at->now_ns += S(0.1);
        fb_gate_tick(at->gate, at->now_ns);
        answer_all(told);
    }
    assert_int_equal(told->wanted, told->answered);
    assert_true(fb_gate_is_idle(at->gate));
    fb_gate_free(at->gate);
    at->gate = NULL;
    (void)fb_store_clear(fb_cache_store(at->cache));
    return result;
}

static void test_gate__lack_of_memory_leaves_nobody_without_an_answer(void **state) {
    (void)test_memory_get();
    story told = {.at = gate_new()};
    fb_gate_free(told.at.gate);
    assert_ok(live_through(&told));  // what the cache keeps for good
    assert_true(test_memory_sweep(live_through, &told) > 50);
    fb_sync_free(told.at.sync);
    fb_cache_free(told.at.cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate__flight_takes_a_value),
        cmocka_unit_test(test_gate__flight_is_told_of_lease_and_hold_and_where_the_wide_log_stood),
        cmocka_unit_test(test_gate__fill_goes_under_the_token_and_stamp_of_the_lease),
        cmocka_unit_test(test_gate__mark_of_another_history_is_not_believed),
        cmocka_unit_test(test_gate__lease_that_nobody_uses_is_given_back),
        cmocka_unit_test(test_gate__records_applied_meanwhile_are_no_contradiction),
        cmocka_unit_test(test_gate__log_without_an_epoch_is_told_of),
        cmocka_unit_test(test_gate__value_that_a_tag_has_overtaken_is_replaced_under_a_lease),
        cmocka_unit_test(test_gate__is_passed_by_until_there_is_a_link),
        cmocka_unit_test(test_gate__set_is_kept_in_memory_when_it_is_acknowledged),
        cmocka_unit_test(test_gate__others_change_that_came_between_keeps_a_set_out_of_memory),
        cmocka_unit_test(test_gate__set_of_a_class_lives_as_the_class_says),
        cmocka_unit_test(test_gate__older_source_version_is_refused),
        cmocka_unit_test(test_gate__wants_that_cannot_be_are_refused_at_once),
        cmocka_unit_test(test_gate__changes_of_a_key_go_one_after_the_other),
        cmocka_unit_test(test_gate__long_line_that_ends_at_once_does_not_nest),
        cmocka_unit_test(test_gate__del_says_whether_it_was_there),
        cmocka_unit_test(test_gate__invalidation_takes_effect_before_and_after_it_is_told),
        cmocka_unit_test(test_gate__hold_and_fence_are_told_and_kept_here_too),
        cmocka_unit_test(test_gate__what_is_held_here_nobody_else_is_asked_for),
        cmocka_unit_test(test_gate__who_knows_of_a_change_asks_for_what_is_held_here),
        cmocka_unit_test(test_gate__local_one_is_answered_at_once_and_hides_what_is_there_still),
        cmocka_unit_test(test_gate__tag_is_bumped_and_applied_here),
        cmocka_unit_test(test_gate__each_scope_has_its_record),
        cmocka_unit_test(test_gate__pattern_is_swept_and_then_said_unless_it_is_an_index),
        cmocka_unit_test(test_gate__wide_one_in_an_epoch_unknown_here_stays_owed),
        cmocka_unit_test(test_gate__waits_until_all_nodes_have_said_so),
        cmocka_unit_test(test_gate__says_how_many_nodes_have_not),
        cmocka_unit_test(test_gate__list_of_nodes_that_may_have_been_lost_is_not_believed),
        cmocka_unit_test(test_gate__list_of_nodes_is_not_believed_soon_after_a_loss),
        cmocka_unit_test(test_gate__without_a_link_no_reach_is_pretended),
        cmocka_unit_test(test_gate__read_takes_a_value_into_memory),
        cmocka_unit_test(test_gate__read_does_not_join_one_from_before_a_change),
        cmocka_unit_test(test_gate__read_does_not_join_one_while_something_wide_is_owed),
        cmocka_unit_test(test_gate__read_takes_memorys_where_there_is_no_answer),
        cmocka_unit_test(test_gate__client_gets_a_lease_and_fills_under_it),
        cmocka_unit_test(test_gate__clients_lease_falls_with_a_change_and_with_time),
        cmocka_unit_test(test_gate__client_has_a_lease_of_this_node_while_it_is_away),
        cmocka_unit_test(test_gate__changes_take_effect_in_memory_and_are_told_later),
        cmocka_unit_test(test_gate__value_is_told_as_memory_has_it_with_its_tags),
        cmocka_unit_test(test_gate__value_that_memory_has_not_any_more_is_told_as_dropped),
        cmocka_unit_test(test_gate__probe_goes_first_after_an_outage),
        cmocka_unit_test(test_gate__is_away_until_all_that_is_owed_was_told),
        cmocka_unit_test(test_gate__failures_of_reads_alone_are_counted_with_reads),
        cmocka_unit_test(test_gate__unknown_outcome_is_owed_and_counts_as_done),
        cmocka_unit_test(test_gate__change_of_another_node_while_it_is_told_keeps_memory_empty),
        cmocka_unit_test(test_gate__too_much_that_is_owed_becomes_a_new_epoch),
        cmocka_unit_test(test_gate__epoch_that_somebody_else_opened_is_not_enough),
        cmocka_unit_test(test_gate__wide_epoch_counts_when_this_node_follows_it),
        cmocka_unit_test(test_gate__epoch_that_failed_is_asked_for_again),
        cmocka_unit_test(test_gate__outage_that_takes_too_long_becomes_new_epochs),
        cmocka_unit_test(test_gate__memory_of_who_owed_something_is_not_believed),
        cmocka_unit_test(test_gate__close_answers_all_who_wait),
        cmocka_unit_test(test_gate__lack_of_memory_leaves_nobody_without_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
