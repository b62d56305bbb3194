// Rules of the gate that the simulation has to look for too long: each is taken out, and it shows.

#include "base/rule.h"
#include "gate_rig.h"

// A gate that has forgotten a wide invalidation, and has opened an epoch for it which this node does
// not follow yet. Whether values are taken meanwhile.
static bool takes_too_early(void) {
    gate_rig at = gate_new();
    fb_gate_free(at.gate);
    fb_sync_free(at.sync);
    fb_sync_options options = gate_options(at.cache);
    options.outbox_max = 0;
    assert_ok(fb_sync_new(&options, &at.sync));
    assert_ok(fb_gate_new(at.sync, 0, &at.gate));
    gate_epoch(&at, GATE_EPOCH, 0);
    assert_acts(gate_wide(&at, 1, FB_SCOPE_ALL, ""), "1=FB_OK");
    assert_acts(gate_link(&at, true), "epoch:4");
    fb_sync_reply reply = gate_reply_of(&at, 0, FB_SYNC_DONE, 0);
    reply.mark.epoch = at.last.token;
    assert_acts(gate_give(&at, &reply), "suspect:4");
    bool takes = strcmp(gate_get(&at, 70, "page:7"), "get:page:7") == 0;
    gate_done(&at);
    return takes;
}

static void test_rule__renewed_wide(void **state) {
    assert_false(takes_too_early());
    fb_rule_without("renewed_wide");
    assert_true(takes_too_early());
    fb_rule_without(NULL);
}

// ---- several keys in one step

static fb_sync_item drop_of(const char *key) {
    return (fb_sync_item){.key = fb_str_of(key), .act = FB_ACT_DROP, .ttl_ns = -1};
}

// What comes of a commit of `k` that is based on the start of the wide log.
static const char *commit(gate_rig *at, uint64_t waiter) {
    static fb_sync_item items[1];
    static fb_commit all;
    items[0] = drop_of("k");
    all = (fb_commit){.items = items, .item_count = 1, .wide = {GATE_EPOCH, 0, 0}};
    fb_want want = {
        .kind = FB_WANT_COMMIT, .waiter = waiter, .key = FB_STR("k"), .commit = &all};
    return gate_want(at, &want);
}

// Where nobody hears how it ended, only the follower can drop what memory took meanwhile.
static bool follower_passes_over(void) {
    gate_rig at = gate_up();
    assert_acts(commit(&at, 1), "commit:drop k");
    bool passes = at.items[0].record.node == GATE_NODE;
    gate_done(&at);
    return passes;
}

// What another lane owes would be told after the commit, and undo it.
static bool commits_before_what_is_owed(void) {
    gate_rig at = gate_new();
    fb_gate *theirs = at.gate, *mine = NULL;
    assert_acts(gate_set(&at, 1, "k", "owed"), "1=FB_OK");
    assert_ok(fb_gate_new(at.sync, 1, &mine));
    at.gate = mine;
    assert_acts(gate_link(&at, true), "");
    bool commits = strcmp(commit(&at, 2), "commit:drop k") == 0;
    fb_gate_free(mine);
    at.gate = theirs;
    gate_done(&at);
    return commits;
}

// A tag that was invalidated since the first look would not overtake what was made of that.
static bool stamps_as_new(void) {
    gate_rig at = gate_up();
    gate_epoch(&at, GATE_EPOCH, 5);
    assert_acts(commit(&at, 1), "commit:drop k");
    bool new = at.last.wide.seq == 5;
    gate_done(&at);
    return new;
}

// Who watches a key and reads it from memory then would read something older than he watches.
static bool reads_older_than_watched(void) {
    gate_rig at = gate_up();
    fb_snapshot seen = {.found = false};
    fb_want want = {
        .kind = FB_WANT_SNAPSHOT, .waiter = 1, .key = FB_STR("k"), .snapshot = &seen};
    assert_ok(fb_cache_put(at.cache, FB_STR("k"), FB_STR("old"), 0, NULL, 0, at.now_ns));
    assert_acts(gate_want(&at, &want), "peek:k");
    fb_sync_reply reply = gate_value_of(&at, 0, FB_SYNC_VALUE, 1, "new", NULL);
    assert_acts(gate_give(&at, &reply), "1=FB_OK");
    fb_loaded_release(&seen.loaded);
    bool reads = strcmp(rig_read(at.cache, "k", at.now_ns), "fresh:old") == 0;
    gate_done(&at);
    return reads;
}

static void assert_needed(const char *rule, bool (*goes_wrong)(void)) {
    assert_false(goes_wrong());
    fb_rule_without(rule);
    assert_true(goes_wrong());
    fb_rule_without(NULL);
}

static void test_rule__commits(void **state) {
    assert_needed("commit_node", follower_passes_over);
    assert_needed("commit_owed", commits_before_what_is_owed);
    assert_needed("commit_wide", stamps_as_new);
    assert_needed("watch_catch_up", reads_older_than_watched);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rule__renewed_wide),
                                       cmocka_unit_test(test_rule__commits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
