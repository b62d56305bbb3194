// Snapshots and commits through the gate: what is looked at, on which condition it is changed, what
// memory has afterwards; and that nothing is done where it cannot be.

#include "gate_rig.h"

static const char *look(gate_rig *at, uint64_t waiter, const char *key, fb_snapshot *to) {
    fb_want want = {.kind = FB_WANT_SNAPSHOT,
                    .waiter = waiter,
                    .key = fb_str_of(key),
                    .snapshot = to};
    *to = (fb_snapshot){.found = false};
    fb_loaded_init(&to->loaded);
    return gate_want(at, &want);
}

static fb_sync_item item_of(const char *key, fb_sync_act act) {
    return (fb_sync_item){.key = fb_str_of(key), .act = act, .ttl_ns = -1};
}

// The items live as long as the caller waits.
static const char *commit(gate_rig *at, uint64_t waiter, const fb_commit *all) {
    fb_want want = {
        .kind = FB_WANT_COMMIT, .waiter = waiter, .key = all->items[0].key, .commit = all};
    return gate_want(at, &want);
}

// The n-th request, the last commit, is done; each item's log stands at `seq` then.
static const char *done_of(gate_rig *at, size_t n, uint64_t seq) {
    fb_mark marks[8];
    fb_sync_reply reply = gate_reply_of(at, n, FB_SYNC_DONE, 0);
    for (size_t i = 0; i < at->item_count; i++) {
        marks[i] = (fb_mark){GATE_EPOCH, seq, at->items[i].record.nonce};
    }
    reply.marks = marks;
    reply.mark_count = at->item_count;
    return gate_give(at, &reply);
}

static const char *done(gate_rig *at, uint64_t seq) {
    return done_of(at, at->sent - 1, seq);
}

// The link is back, and a probe shows that it is.
static void link_again(gate_rig *at) {
    assert_acts(gate_link(at, true), "nodes");
    assert_acts(gate_last(at, FB_SYNC_DONE, 0), "");
}

static void remember(gate_rig *at, const char *key, const char *value) {
    assert_ok(fb_cache_put(at->cache, fb_str_of(key), fb_str_of(value), 0, NULL, 0, at->now_ns));
}

// Another key of a log of its own.
static const char *of_another_log(gate_rig *at, const char *key, char *name) {
    uint32_t log = fb_cache_partition_of(at->cache, fb_str_of(key));
    for (int i = 0;; i++) {
        (void)snprintf(name, 16, "other%d", i);
        if (fb_cache_partition_of(at->cache, fb_str_of(name)) != log) {
            return name;
        }
    }
}

// ---- SNAPSHOT

static void test_gate_commit__a_snapshot_is_what_the_shared_tier_has(void **state) {
    gate_rig at = gate_up();
    fb_snapshot seen;
    remember(&at, "k", "mine");  // memory is not asked
    assert_acts(look(&at, 1, "k", &seen), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 0, "one", "red");
    reply.fresh_for_ns = S(7);
    assert_acts(gate_give(&at, &reply), "1=FB_OK");
    assert_true(seen.found);
    assert_str(fb_blob_str(seen.loaded.value), "one");
    assert_int_equal(seen.loaded.tag_count, 1);
    assert_true(seen.left_ns == S(7));
    assert_int_equal(seen.when, FB_WHEN_VERSION);
    assert_int_equal(seen.version, 40);
    assert_int_equal(seen.epoch, GATE_EPOCH);
    assert_int_equal(seen.wide.epoch, GATE_EPOCH);
    fb_loaded_release(&seen.loaded);
    assert_read(at.cache, "k", at.now_ns, "fresh:mine");  // nor told

    assert_acts(look(&at, 2, "k", &seen), "peek:k");
    assert_acts(gate_last(&at, FB_SYNC_NONE, 4), "2=FB_OK");
    assert_false(seen.found);
    assert_int_equal(seen.when, FB_WHEN_ABSENT);
    gate_done(&at);
}

// Who watches reads next, from memory: what that has must not be older than what is watched.
static void test_gate_commit__memory_is_not_older_than_what_was_seen(void **state) {
    gate_rig at = gate_up();
    fb_snapshot seen;
    remember(&at, "k", "old");
    assert_acts(look(&at, 1, "k", &seen), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 1, "new", NULL);
    assert_acts(gate_give(&at, &reply), "1=FB_OK");  // its record has not come by yet
    fb_loaded_release(&seen.loaded);
    assert_read(at.cache, "k", at.now_ns, "nothing");
    gate_done(&at);
}

static void test_gate_commit__what_is_invalidated_does_not_count_but_is_there(void **state) {
    gate_rig at = gate_up();
    fb_record record = {.kind = FB_RECORD_TAG, .seq = 1, .name = FB_STR("red")};
    fb_mark wide = {GATE_EPOCH, 1, 1001};
    fb_snapshot seen;
    fb_sync_stamps_raise(at.sync, &record, &wide);
    assert_acts(look(&at, 1, "k", &seen), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 3, "old", "red");
    assert_acts(gate_give(&at, &reply), "1=FB_OK");
    assert_false(seen.found);
    assert_null(seen.loaded.value);
    assert_int_equal(seen.when, FB_WHEN_VERSION);
    assert_int_equal(seen.version, 43);
    assert_int_equal(seen.wide.seq, 1);
    // "Known not to exist" is none either.
    assert_acts(look(&at, 2, "k", &seen), "peek:k");
    reply = gate_reply_of(&at, 1, FB_SYNC_VALUE, 3);
    reply.version = 50;
    reply.loaded.result = FB_NEGATIVE;
    assert_acts(gate_give(&at, &reply), "2=FB_OK");
    assert_false(seen.found);
    assert_int_equal(seen.version, 50);
    gate_done(&at);
}

static void test_gate_commit__a_snapshot_that_cannot_be_says_so(void **state) {
    gate_rig at = gate_new();
    fb_snapshot seen;
    (void)gate_link(&at, false);
    assert_acts(look(&at, 1, "k", &seen), "1=FB_EIO");
    assert_non_null(strstr(at.error, "connection refused"));
    link_again(&at);
    assert_acts(look(&at, 2, "k", &seen), "peek:k");
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "2=FB_EIO");  // it only read
    assert_acts(look(&at, 3, "k", &seen), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, at.sent - 1, FB_SYNC_VALUE, 3, "one", NULL);
    reply.mark.epoch = GATE_EPOCH + 1;
    char expected[64];
    (void)snprintf(expected, sizeof expected, "suspect:%u 3=FB_EIO",
                   fb_cache_partition_of(at.cache, FB_STR("k")));
    assert_acts(gate_give(&at, &reply), expected);
    assert_false(seen.found);
    fb_mark unknown = {0};
    fb_sync_stamps_reset(at.sync, &unknown, NULL, 0);
    assert_acts(look(&at, 4, "k", &seen), "4=FB_EIO");
    assert_non_null(strstr(at.error, "catching up"));
    gate_done(&at);
}

// ---- COMMIT

static void test_gate_commit__one_step_for_all(void **state) {
    gate_rig at = gate_up();
    fb_loaded value = rig_loaded("two", "red");
    fb_sync_item items[] = {item_of("a", FB_ACT_NONE), item_of("page:7", FB_ACT_SET),
                            item_of("c", FB_ACT_DROP), item_of("d", FB_ACT_EXPIRE)};
    fb_commit all = {.items = items, .item_count = 4, .wide = {GATE_EPOCH, 0, 0}};
    items[0].when = FB_WHEN_VERSION;
    items[0].version = 43;
    items[0].epoch = GATE_EPOCH;
    items[1].loaded = &value;
    items[3].ttl_ns = S(9);
    assert_acts(commit(&at, 1, &all), "commit:if a,set page:7,drop c,expire d");
    assert_int_equal(at.items[0].when, FB_WHEN_VERSION);
    assert_int_equal(at.items[0].version, 43);
    assert_str(at.items[1].class_name, "page");
    assert_str(at.items[2].class_name, "");
    for (size_t i = 0; i < 4; i++) {
        const fb_record *record = &at.items[i].record;
        assert_int_equal(at.items[i].log, fb_cache_partition_of(at.cache, items[i].key));
        assert_int_equal(record->kind, FB_RECORD_KEY);
        assert_int_equal(record->node, 0);  // so that every node applies it, also this one
        assert_true(fb_str_equal(record->name, items[i].key));
        assert_true(record->nonce != 0 && (i == 0 || record->nonce != at.items[i - 1].record.nonce));
    }
    assert_int_equal(gate_counter(&at, FB_SYNC_COUNT_changes), 3);
    assert_acts(done(&at, 1), "1=FB_OK");
    fb_loaded_release(&value);
    gate_done(&at);
}

// Memory, and who is just loading.
static void test_gate_commit__what_was_changed_is_not_in_memory_afterwards(void **state) {
    gate_rig at = gate_up();
    fb_sync_item items[] = {item_of("seen", FB_ACT_NONE), item_of("a", FB_ACT_DROP),
                            item_of("b", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 3, .wide = {GATE_EPOCH, 0, 0}};
    remember(&at, "seen", "as it was");
    remember(&at, "a", "old");
    assert_acts(commit(&at, 1, &all), "commit:if seen,drop a,drop b");
    remember(&at, "a", "old again");  // somebody took it from the shared tier just before
    assert_acts(gate_key(&at, FB_WANT_READ, 2, "b"), "peek:b");
    assert_acts(done_of(&at, 0, 1), "1=FB_OK");
    assert_read(at.cache, "a", at.now_ns, "nothing");
    assert_read(at.cache, "seen", at.now_ns, "fresh:as it was");
    // The read that was under way may have seen what was before; whoever comes now asks anew.
    assert_acts(gate_key(&at, FB_WANT_READ, 3, "b"), "peek:b");
    fb_sync_reply reply = gate_value_of(&at, 1, FB_SYNC_VALUE, 0, "old", NULL);
    assert_acts(gate_give(&at, &reply), "2=old");
    assert_read(at.cache, "b", at.now_ns, "nothing");
    assert_acts(gate_reply(&at, 2, FB_SYNC_NONE, 1), "3=FB_MISS");
    gate_done(&at);
}

static void test_gate_commit__a_conflict_changes_nothing(void **state) {
    gate_rig at = gate_up();
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 1, .wide = {GATE_EPOCH, 0, 0}};
    remember(&at, "a", "one");
    assert_acts(commit(&at, 1, &all), "commit:drop a");
    assert_acts(gate_last(&at, FB_SYNC_CONFLICT, 0), "1=FB_REFUSED");
    assert_read(at.cache, "a", at.now_ns, "fresh:one");
    gate_done(&at);
}

// What is stored is as old as what it is made of. Of that nothing may be unknown.
static void test_gate_commit__it_is_stamped_with_what_it_is_based_on(void **state) {
    gate_rig at = gate_up();
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 1, .wide = {GATE_EPOCH, 2, 1002}};
    gate_epoch(&at, GATE_EPOCH, 5);
    assert_acts(commit(&at, 1, &all), "commit:drop a");
    assert_int_equal(at.last.wide.seq, 2);
    assert_acts(done(&at, 6), "1=FB_OK");
    all.wide = (fb_mark){0};  // on nothing that was read
    assert_acts(commit(&at, 2, &all), "commit:drop a");
    assert_int_equal(at.last.wide.epoch, GATE_EPOCH);
    assert_int_equal(at.last.wide.seq, 5);
    assert_acts(done(&at, 7), "2=FB_OK");
    all.wide = (fb_mark){GATE_EPOCH - 1, 2, 1002};
    assert_acts(commit(&at, 3, &all), "3=FB_REFUSED");
    fb_mark unknown = {0};
    fb_sync_stamps_reset(at.sync, &unknown, NULL, 0);
    assert_acts(commit(&at, 4, &all), "4=FB_EIO");
    gate_done(&at);
}

static void test_gate_commit__where_it_cannot_be_sent_nothing_is_done(void **state) {
    gate_rig at = gate_up();
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 1, .wide = {GATE_EPOCH, 0, 0}};
    remember(&at, "a", "one");
    assert_acts(commit(&at, 1, &all), "commit:drop a");
    assert_acts(gate_last(&at, FB_SYNC_FAILED, 0), "1=FB_EIO");
    assert_acts(gate_link(&at, false), "");
    assert_acts(commit(&at, 2, &all), "2=FB_EIO");
    assert_non_null(strstr(at.error, "connection refused"));
    assert_read(at.cache, "a", at.now_ns, "fresh:one");
    assert_int_equal(gate_figures(&at).owed_now, 0);
    link_again(&at);  // nothing is told later
    gate_done(&at);
}

static void test_gate_commit__other_refusals_of_the_port(void **state) {
    gate_rig at = gate_up();
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 1, .wide = {GATE_EPOCH, 0, 0}};
    char expected[64];
    assert_acts(commit(&at, 1, &all), "commit:drop a");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_FAILED, 0);
    reply.text = FB_SYNC_CROSSSLOT;
    assert_acts(gate_give(&at, &reply), "1=FB_ECONFLICT");
    assert_acts(commit(&at, 2, &all), "commit:drop a");
    (void)snprintf(expected, sizeof expected, "suspect:%u 2=FB_EIO",
                   fb_cache_partition_of(at.cache, FB_STR("a")));
    assert_acts(gate_last(&at, FB_SYNC_NO_EPOCH, 0), expected);
    gate_done(&at);
}

static void test_gate_commit__where_nobody_knows_memory_has_nothing_old(void **state) {
    gate_rig at = gate_up();
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 1, .wide = {GATE_EPOCH, 0, 0}};
    remember(&at, "a", "old");
    assert_acts(commit(&at, 1, &all), "commit:drop a");
    assert_acts(gate_last(&at, FB_SYNC_UNKNOWN, 0), "1=FB_ETIMEDOUT");
    assert_read(at.cache, "a", at.now_ns, "nothing");
    assert_int_equal(gate_figures(&at).owed_now, 0);
    gate_done(&at);
}

// What is owed is told later, and would undo it; also what another lane owes.
static void test_gate_commit__not_while_a_change_of_its_log_is_owed(void **state) {
    gate_rig at = gate_new();
    fb_gate *mine = NULL, *theirs = at.gate;
    char name[16];
    fb_sync_item items[] = {item_of(of_another_log(&at, "k", name), FB_ACT_DROP),
                            item_of("k", FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 2};
    assert_acts(gate_set(&at, 1, "k", "owed"), "1=FB_OK");
    assert_ok(fb_gate_new(at.sync, 1, &mine));
    at.gate = mine;
    assert_acts(gate_link(&at, true), "");
    assert_acts(commit(&at, 2, &all), "2=FB_EIO");
    assert_non_null(strstr(at.error, "is being told"));
    all.item_count = 1;
    assert_acts(commit(&at, 3, &all), "commit:drop other0");
    assert_acts(done(&at, 1), "3=FB_OK");
    all.item_count = 2;
    at.gate = theirs;
    assert_acts(gate_link(&at, true), "set:k");
    assert_acts(gate_last(&at, FB_SYNC_DONE, 1), "");
    at.gate = mine;
    assert_acts(commit(&at, 4, &all), "commit:drop other0,drop k");
    assert_acts(done(&at, 2), "4=FB_OK");
    fb_gate_free(mine);
    at.gate = theirs;
    gate_done(&at);
}

// The mark of a log may be of another epoch than this node follows.
static void test_gate_commit__another_epoch_is_suspected(void **state) {
    gate_rig at = gate_up();
    char expected[64], name[16];
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP),
                            item_of(of_another_log(&at, "a", name), FB_ACT_DROP)};
    fb_commit all = {.items = items, .item_count = 2, .wide = {GATE_EPOCH, 0, 0}};
    (void)commit(&at, 1, &all);
    fb_mark marks[] = {{GATE_EPOCH, 1, at.items[0].record.nonce},
                       {GATE_EPOCH + 1, 1, at.items[1].record.nonce}};
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 0);
    reply.marks = marks;
    reply.mark_count = 2;
    (void)snprintf(expected, sizeof expected, "suspect:%u 1=FB_OK", at.items[1].log);
    assert_acts(gate_give(&at, &reply), expected);
    assert_int_equal(at.suspected.epoch, GATE_EPOCH + 1);
    gate_done(&at);
}

// The caller's memory is his again as soon as he is answered: also where the request was not sent yet,
// and where its answer comes later.
static void test_gate_commit__a_close_answers_who_waits(void **state) {
    for (int sent = 0; sent < 2; sent++) {
        gate_rig at = gate_up();
        fb_sync_item *items = calloc(1, sizeof *items);
        fb_snapshot *seen = calloc(1, sizeof *seen);
        assert_true(items != NULL && seen != NULL);
        items[0] = item_of("a", FB_ACT_DROP);
        fb_commit all = {.items = items, .item_count = 1};
        fb_want want = {.kind = FB_WANT_COMMIT, .waiter = 1, .key = FB_STR("a"), .commit = &all};
        fb_want other = {
            .kind = FB_WANT_SNAPSHOT, .waiter = 2, .key = FB_STR("b"), .snapshot = seen};
        assert_ok(fb_gate_want(at.gate, &want, at.now_ns));
        assert_ok(fb_gate_want(at.gate, &other, at.now_ns));
        if (sent == 1) {
            assert_acts(gate_actions(&at), "commit:drop a peek:b");
        }
        fb_gate_close(at.gate);
        free(items);
        free(seen);
        assert_acts(gate_actions(&at), "1=FB_ECLOSED 2=FB_ECLOSED");
        if (sent == 1) {
            assert_acts(gate_reply(&at, 0, FB_SYNC_UNKNOWN, 0), "");
            assert_acts(gate_value(&at, 1, FB_SYNC_VALUE, 1, "late"), "");
        }
        fb_gate_free(at.gate);
        fb_sync_free(at.sync);
        fb_cache_free(at.cache);
    }
}

// ---- memory

static int look_and_commit(void *arg) {
    gate_rig *at = arg;
    fb_snapshot seen = {.found = false};
    fb_sync_item items[] = {item_of("a", FB_ACT_DROP), item_of("b", FB_ACT_NONE)};
    fb_commit all = {.items = items, .item_count = 2, .wide = {GATE_EPOCH, 0, 0}};
    fb_want first = {
        .kind = FB_WANT_SNAPSHOT, .waiter = 1, .key = FB_STR("a"), .snapshot = &seen};
    fb_want second = {.kind = FB_WANT_COMMIT, .waiter = 2, .key = FB_STR("a"), .commit = &all};
    fb_loaded_init(&seen.loaded);
    int result = fb_gate_want(at->gate, &first, at->now_ns);
    if (result == FB_OK) {
        assert_acts(gate_actions(at), "peek:a");
        assert_acts(gate_last(at, FB_SYNC_NONE, 0), "1=FB_OK");
        result = fb_gate_want(at->gate, &second, at->now_ns);
    }
    if (result == FB_OK) {
        assert_acts(gate_actions(at), "commit:drop a,if b");
        assert_acts(gate_last(at, FB_SYNC_CONFLICT, 0), "2=FB_REFUSED");
    }
    at->sent = 0;
    return result;
}

static void test_gate_commit__without_memory_nothing_is_left_behind(void **state) {
    (void)test_memory_get();
    gate_rig at = gate_up();
    assert_ok(look_and_commit(&at));
    assert_true(test_memory_sweep(look_and_commit, &at) >= 4);
    gate_done(&at);
}

#define TEST(name) cmocka_unit_test(test_gate_commit__##name)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_is_what_the_shared_tier_has),
        TEST(memory_is_not_older_than_what_was_seen),
        TEST(what_is_invalidated_does_not_count_but_is_there),
        TEST(a_snapshot_that_cannot_be_says_so),
        TEST(one_step_for_all),
        TEST(what_was_changed_is_not_in_memory_afterwards),
        TEST(a_conflict_changes_nothing),
        TEST(it_is_stamped_with_what_it_is_based_on),
        TEST(where_it_cannot_be_sent_nothing_is_done),
        TEST(other_refusals_of_the_port),
        TEST(where_nobody_knows_memory_has_nothing_old),
        TEST(not_while_a_change_of_its_log_is_owed),
        TEST(another_epoch_is_suspected),
        TEST(a_close_answers_who_waits),
        TEST(without_memory_nothing_is_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
