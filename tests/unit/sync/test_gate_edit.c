// Edits and additions through the gate: read, decide, store on condition; and the same while the
// shared tier is away.

#include "gate_rig.h"

typedef struct deed {
    fb_edit_action action;
    const char *data;
    int64_t expires_ms;  // 0: left as shown
    int result;
    // as it was shown
    int asked;
    bool found;
    char was[64];
    int64_t shown_ms;
} deed;

static int perform(void *arg, fb_edit *edit) {
    deed *job = arg;
    job->asked++;
    job->found = edit->found;
    job->shown_ms = edit->expires_ms;
    job->was[0] = '\0';
    if (edit->found) {
        (void)snprintf(job->was, sizeof job->was, "%.*s", FB_STR_ARG(edit->value.data));
    }
    edit->action = job->action;
    if (job->data != NULL) {
        edit->data = fb_str_of(job->data);
    }
    if (job->expires_ms != 0) {
        edit->expires_ms = job->expires_ms;
    }
    return job->result;
}

enum { WALL_MS = 5000000 };

static const char *do_edit(gate_rig *at, uint64_t waiter, const char *key, deed *job) {
    fb_want want = {.kind = FB_WANT_EDIT,
                    .waiter = waiter,
                    .key = fb_str_of(key),
                    .edit = perform,
                    .edit_arg = job,
                    .wall_ms = WALL_MS};
    return gate_want(at, &want);
}

static const char *add(gate_rig *at, uint64_t waiter, const char *key, int64_t delta) {
    fb_want want = {
        .kind = FB_WANT_ADD, .waiter = waiter, .key = fb_str_of(key), .delta = delta};
    return gate_want(at, &want);
}

static void test_gate_edit__stores_on_condition_of_what_it_read(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "two"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 3, "one", "red");
    reply.fresh_for_ns = S(7);
    reply.loaded.source_version = 6;
    assert_acts(gate_give(&at, &reply), "set:k");
    assert_true(job.found);
    assert_string_equal(job.was, "one");
    assert_int_equal(job.shown_ms, WALL_MS + 7000);
    assert_int_equal(at.last.when, FB_WHEN_VERSION);
    assert_int_equal(at.last.version, 43);
    assert_int_equal(at.last.mark.epoch, GATE_EPOCH);
    assert_true(at.last.ttl_ns == S(7));
    assert_string_equal(at.last_value, "two");
    assert_string_equal(at.last_tag, "red");  // it is made of what had it
    assert_int_equal(at.last_source_version, 6);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 4), "1=FB_OK");
    assert_read(at.cache, "k", at.now_ns + S(6.9), "fresh:two");
    assert_read(at.cache, "k", at.now_ns + S(7), "nothing");
    gate_done(&at);
}

static void test_gate_edit__absent_key_is_stored_only_if_it_still_is(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "two"};
    assert_acts(do_edit(&at, 1, "page:7", &job), "peek:page:7");
    assert_acts(gate_last(&at, FB_SYNC_NONE, 0), "set:page:7");
    assert_int_equal(at.last.when, FB_WHEN_ABSENT);
    assert_int_equal(job.shown_ms, WALL_MS + 60000);  // as its class would have it
    assert_true(at.last.ttl_ns == S(60));
    // Somebody was faster: what is there now is decided on anew, without another look.
    fb_sync_reply reply = gate_value_of(&at, 1, FB_SYNC_CONFLICT, 5, "theirs", NULL);
    reply.fresh_for_ns = S(30);
    assert_acts(gate_give(&at, &reply), "set:page:7");
    assert_int_equal(job.asked, 2);
    assert_string_equal(job.was, "theirs");
    assert_int_equal(at.last.version, 45);
    assert_true(at.last.ttl_ns == S(30));
    assert_acts(gate_last(&at, FB_SYNC_DONE, 6), "1=FB_OK");
    assert_read(at.cache, "page:7", at.now_ns, "fresh:two");
    gate_done(&at);
}

static void test_gate_edit__that_changes_nothing_sends_nothing(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_KEEP, .result = FB_REFUSED};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(gate_value(&at, 0, FB_SYNC_VALUE, 1, "one"), "1=FB_REFUSED");
    job = (deed){.action = FB_EDIT_PUT, .data = "x", .result = FB_ETYPE};
    assert_acts(do_edit(&at, 2, "k", &job), "peek:k");
    assert_acts(gate_value(&at, 1, FB_SYNC_VALUE, 1, "one"), "2=FB_ETYPE");
    job = (deed){.action = FB_EDIT_DELETE};
    assert_acts(do_edit(&at, 3, "k", &job), "peek:k");
    assert_acts(gate_last(&at, FB_SYNC_NONE, 1), "3=FB_OK");
    gate_done(&at);
}

static void test_gate_edit__deletes_and_expires_on_condition_too(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_DELETE};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(gate_value(&at, 0, FB_SYNC_VALUE, 1, "one"), "drop:k");
    assert_int_equal(at.last.when, FB_WHEN_VERSION);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 2), "1=FB_OK");
    job = (deed){.action = FB_EDIT_EXPIRE, .expires_ms = WALL_MS + 2000};
    assert_acts(do_edit(&at, 2, "k", &job), "peek:k");
    assert_int_equal(job.asked, 0);
    assert_acts(gate_value(&at, 2, FB_SYNC_VALUE, 2, "one"), "expire:k");
    assert_int_equal(job.shown_ms, -1);
    assert_true(at.last.ttl_ns == S(2));
    assert_acts(gate_last(&at, FB_SYNC_NONE, 3), "2=FB_OK");  // gone meanwhile: nothing to do
    assert_int_equal(job.asked, 2);
    assert_false(job.found);
    job = (deed){.action = FB_EDIT_EXPIRE, .expires_ms = WALL_MS - 1};
    assert_acts(do_edit(&at, 3, "k", &job), "peek:k");
    assert_acts(gate_value(&at, at.sent - 1, FB_SYNC_VALUE, 3, "one"), "drop:k");
    gate_done(&at);
}

static void test_gate_edit__invalidated_value_is_not_there_but_its_version_counts(void **state) {
    gate_rig at = gate_up();
    fb_record record = {.kind = FB_RECORD_TAG, .seq = 1, .name = FB_STR("red")};
    fb_mark wide = {GATE_EPOCH, 1, 1001};
    fb_sync_stamps_raise(at.sync, &record, &wide);
    deed job = {.action = FB_EDIT_PUT, .data = "new"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 3, "old", "red");
    assert_acts(gate_give(&at, &reply), "set:k");
    assert_false(job.found);
    assert_int_equal(at.last.when, FB_WHEN_VERSION);
    assert_int_equal(at.last.version, 43);
    assert_int_equal(at.last_tags, 0);
    // "Known not to exist" is none either.
    assert_acts(do_edit(&at, 2, "page:1", &job), "peek:page:1");
    assert_acts(gate_value(&at, 2, FB_SYNC_VALUE, 3, NULL), "set:page:1");
    assert_false(job.found);
    assert_int_equal(at.last.when, FB_WHEN_VERSION);
    gate_done(&at);
}

static void test_gate_edit__stops_no_others_while_it_reads(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "edited"};
    assert_acts(gate_set(&at, 1, "k", "one"), "set:k");
    assert_acts(do_edit(&at, 2, "k", &job), "");  // but waits for who was before
    assert_acts(gate_set(&at, 3, "k", "three"), "");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "1=FB_OK peek:k set:k");
    assert_acts(gate_value(&at, 1, FB_SYNC_VALUE, 1, "one"), "set:k");
    // The other's was first.
    assert_acts(gate_reply(&at, 2, FB_SYNC_DONE, 2), "3=FB_OK");
    assert_acts(gate_value(&at, 3, FB_SYNC_CONFLICT, 2, "three"), "set:k");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 3), "2=FB_OK");
    assert_read(at.cache, "k", at.now_ns, "fresh:edited");
    gate_done(&at);
}

static void test_gate_edit__acknowledgements_that_cross_leave_nothing_old(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "edited"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(gate_last(&at, FB_SYNC_NONE, 0), "set:k");
    assert_acts(gate_set(&at, 2, "k", "later"), "set:k");
    assert_acts(gate_reply(&at, 2, FB_SYNC_DONE, 2), "2=FB_OK");
    assert_acts(gate_reply(&at, 1, FB_SYNC_DONE, 1), "1=FB_OK");
    const char *there = rig_read(at.cache, "k", at.now_ns);
    assert_true(strcmp(there, "nothing") == 0 || strcmp(there, "fresh:later") == 0);
    gate_done(&at);
}

static void test_gate_edit__unknown_outcome_is_said_and_not_owed(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "x"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(gate_last(&at, FB_SYNC_NONE, 0), "set:k");
    uint64_t nonce = at.last_record.nonce;
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "1=FB_ETIMEDOUT");
    assert_true(fb_sync_disowned(at.sync, nonce));
    assert_true(fb_gate_is_idle(at.gate));
    assert_read(at.cache, "k", at.now_ns, "nothing");
    assert_acts(add(&at, 2, "n", 1), "add:n");
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "2=FB_ETIMEDOUT");
    assert_true(strlen(at.error) > 0);
    assert_true(fb_gate_is_idle(at.gate));
    gate_done(&at);
}

static void test_gate_edit__that_read_nothing_in_time_is_made_in_memory(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "x"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "1=FB_OK set:k");
    assert_int_equal(at.receipt.reached, FB_REACH_LOCAL);
    assert_read(at.cache, "k", at.now_ns, "fresh:x");
    gate_done(&at);
}

static void test_gate_edit__gives_up_against_many_others(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "x"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    const char *actions = gate_last(&at, FB_SYNC_NONE, 0);
    uint64_t seq = 1;
    while (strcmp(actions, "set:k") == 0) {
        actions = gate_value(&at, at.sent - 1, FB_SYNC_CONFLICT, ++seq, "theirs");
    }
    assert_string_equal(actions, "1=FB_EOVERLOAD");
    gate_done(&at);
}

static void test_gate_edit__waits_for_its_turn_where_it_was_too_late_again_and_again(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "x"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(do_edit(&at, 2, "k", &job), "peek:k");
    assert_acts(gate_reply(&at, 0, FB_SYNC_NONE, 0), "set:k");
    assert_acts(gate_reply(&at, 1, FB_SYNC_NONE, 0), "set:k");
    uint64_t seq = 0;
    for (size_t sent = 2; sent < 8; sent++) {
        assert_acts(gate_value(&at, sent, FB_SYNC_CONFLICT, ++seq, "theirs"), "set:k");
    }
    // The first has come into the line, and stores; the other has to wait for it.
    assert_acts(gate_value(&at, 8, FB_SYNC_CONFLICT, ++seq, "theirs"), "set:k");
    assert_acts(gate_value(&at, 9, FB_SYNC_CONFLICT, ++seq, "theirs"), "");
    assert_acts(gate_set(&at, 3, "k", "three"), "");
    assert_acts(gate_reply(&at, 10, FB_SYNC_DONE, ++seq), "1=FB_OK peek:k");
    assert_acts(gate_value(&at, 11, FB_SYNC_VALUE, seq, "x"), "set:k");
    assert_acts(gate_value(&at, 12, FB_SYNC_CONFLICT, ++seq, "theirs"), "set:k");
    assert_acts(gate_reply(&at, 13, FB_SYNC_DONE, ++seq), "2=FB_OK set:k");
    assert_acts(gate_last(&at, FB_SYNC_DONE, ++seq), "3=FB_OK");
    gate_done(&at);
}

// ---- ADD

static void test_gate_edit__addition_is_the_shared_tiers(void **state) {
    gate_rig at = gate_up();
    rig_put(at.cache, "n", "3", 0, at.now_ns);
    assert_acts(add(&at, 1, "n", 4), "add:n");
    assert_int_equal(at.last.delta, 4);
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 1);
    reply.number = 45;
    assert_acts(gate_give(&at, &reply), "1=FB_OK");
    assert_int_equal(at.number, 45);
    assert_read(at.cache, "n", at.now_ns, "nothing");
    assert_acts(add(&at, 2, "n", 4), "add:n");
    assert_acts(gate_last(&at, FB_SYNC_WRONG_TYPE, 1), "2=FB_ETYPE");
    assert_acts(add(&at, 3, "n", 4), "add:n");
    assert_acts(gate_last(&at, FB_SYNC_OUT_OF_RANGE, 1), "3=FB_ERANGE");
    gate_done(&at);
}

// The server's own addition knows nothing of stamps.
static void test_gate_edit__addition_after_something_wide_is_judged(void **state) {
    gate_rig at = gate_up();
    fb_record record = {.kind = FB_RECORD_ALL, .seq = 1};
    fb_mark wide = {GATE_EPOCH, 1, 1001};
    fb_sync_stamps_raise(at.sync, &record, &wide);
    assert_acts(add(&at, 1, "n", 4), "peek:n");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 3, "41", NULL);
    assert_acts(gate_give(&at, &reply), "set:n");
    assert_string_equal(at.last_value, "4");
    assert_int_equal(at.last.version, 43);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 4), "1=FB_OK");
    assert_int_equal(at.number, 4);
    gate_done(&at);
}

static void test_gate_edit__additions_while_away_are_told_as_their_sum(void **state) {
    gate_rig at = gate_new();
    assert_acts(add(&at, 1, "n", 4), "1=FB_OK");
    assert_int_equal(at.number, 4);
    assert_acts(add(&at, 2, "n", 3), "2=FB_OK");
    assert_int_equal(at.number, 7);
    assert_acts(gate_link(&at, true), "add:n");
    assert_int_equal(at.last.delta, 7);
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "");
    assert_read(at.cache, "n", at.now_ns, "nothing");  // there is more to it in the shared tier
    assert_true(fb_gate_is_idle(at.gate));
    gate_done(&at);
}

static void test_gate_edit__sum_of_unknown_outcome_is_not_told_twice(void **state) {
    gate_rig at = gate_new();
    assert_acts(add(&at, 1, "n", 4), "1=FB_OK");
    assert_acts(gate_link(&at, true), "add:n");
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "");
    assert_true(fb_gate_is_idle(at.gate));
    gate_done(&at);
}

// ---- away

static void test_gate_edit__while_away_it_is_made_in_memory_and_told_as_what_it_did(void **state) {
    gate_rig at = gate_new();
    deed job = {.action = FB_EDIT_PUT, .data = "two"};
    assert_acts(gate_set(&at, 1, "a", "one"), "1=FB_OK");
    assert_acts(do_edit(&at, 2, "a", &job), "2=FB_OK");
    assert_string_equal(job.was, "one");
    deed remove = {.action = FB_EDIT_DELETE};
    rig_put(at.cache, "b", "x", 0, at.now_ns);
    assert_acts(do_edit(&at, 3, "b", &remove), "3=FB_OK");
    deed keep = {.action = FB_EDIT_KEEP, .result = FB_MISS};
    assert_acts(do_edit(&at, 4, "c", &keep), "4=FB_MISS");
    assert_acts(gate_link(&at, true), "set:a drop:b");
    assert_read(at.cache, "a", at.now_ns, "fresh:two");
    gate_done(&at);
}

static void test_gate_edit__of_a_value_whose_tags_are_not_known_is_told_as_dropped(void **state) {
    gate_rig at = gate_new();
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:7", "one", "red", at.now_ns));
    assert_ok(rig_load(at.cache, RIG_PAGE, "page:8", "one", NULL, at.now_ns));
    deed job = {.action = FB_EDIT_PUT, .data = "two"};
    assert_acts(do_edit(&at, 1, "page:7", &job), "1=FB_OK");
    assert_acts(do_edit(&at, 2, "page:8", &job), "2=FB_OK");
    assert_acts(gate_link(&at, true), "drop:page:7 set:page:8");
    gate_done(&at);
}

static void test_gate_edit__decided_before_an_outage_is_not_stored_after_it(void **state) {
    gate_rig at = gate_up();
    deed job = {.action = FB_EDIT_PUT, .data = "edited"};
    assert_acts(do_edit(&at, 1, "k", &job), "peek:k");
    assert_acts(gate_link(&at, false), "");
    assert_acts(gate_set(&at, 2, "k", "two"), "2=FB_OK");
    assert_acts(gate_value(&at, 0, FB_SYNC_VALUE, 1, "one"), "1=FB_OK");
    assert_string_equal(job.was, "two");
    assert_read(at.cache, "k", at.now_ns, "fresh:edited");
    gate_done(&at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_edit__stores_on_condition_of_what_it_read),
        cmocka_unit_test(test_gate_edit__absent_key_is_stored_only_if_it_still_is),
        cmocka_unit_test(test_gate_edit__that_changes_nothing_sends_nothing),
        cmocka_unit_test(test_gate_edit__deletes_and_expires_on_condition_too),
        cmocka_unit_test(test_gate_edit__invalidated_value_is_not_there_but_its_version_counts),
        cmocka_unit_test(test_gate_edit__stops_no_others_while_it_reads),
        cmocka_unit_test(test_gate_edit__acknowledgements_that_cross_leave_nothing_old),
        cmocka_unit_test(test_gate_edit__unknown_outcome_is_said_and_not_owed),
        cmocka_unit_test(test_gate_edit__that_read_nothing_in_time_is_made_in_memory),
        cmocka_unit_test(test_gate_edit__gives_up_against_many_others),
        cmocka_unit_test(
            test_gate_edit__waits_for_its_turn_where_it_was_too_late_again_and_again),
        cmocka_unit_test(test_gate_edit__addition_is_the_shared_tiers),
        cmocka_unit_test(test_gate_edit__addition_after_something_wide_is_judged),
        cmocka_unit_test(test_gate_edit__additions_while_away_are_told_as_their_sum),
        cmocka_unit_test(test_gate_edit__sum_of_unknown_outcome_is_not_told_twice),
        cmocka_unit_test(test_gate_edit__while_away_it_is_made_in_memory_and_told_as_what_it_did),
        cmocka_unit_test(test_gate_edit__of_a_value_whose_tags_are_not_known_is_told_as_dropped),
        cmocka_unit_test(test_gate_edit__decided_before_an_outage_is_not_stored_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
