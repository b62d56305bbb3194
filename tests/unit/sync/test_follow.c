// The follower with a port whose answers the test writes, step by step, on a virtual clock.

#include "cache_rig.h"
#include "sync/follow.h"

enum { PARTITIONS = 4, LOGS = PARTITIONS + 1, TAGS_LOG = PARTITIONS, SELF = 1, OTHER = 2 };

typedef struct rig {
    fb_cache *cache;
    fb_sync *sync;
    fb_follower *follower;
    int64_t now_ns;
    fb_mark marks[LOGS];  // of the shared tier
    fb_sync_request last;
} rig;

static rig make_rig(void) {
    rig made = {.now_ns = S(100)};
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = rig_catalog(), .partitions = PARTITIONS};
    assert_ok(fb_cache_new(&options, &made.cache));
    fb_sync_options how = {
        .cache = made.cache, .partitions = PARTITIONS, .node = SELF, .max_lag_ns = S(2)};
    assert_ok(fb_sync_new(&how, &made.sync));
    assert_ok(fb_follower_new(made.sync, 7, &made.follower));
    for (uint64_t i = 0; i < LOGS; i++) {
        made.marks[i] = (fb_mark){100 + i, 10, 10 + i};
    }
    return made;
}

static void free_rig(rig *all) {
    fb_follower_check(all->follower);
    fb_follower_free(all->follower);
    fb_sync_free(all->sync);
    fb_cache_free(all->cache);
}

static bool ask(rig *all) {
    fb_sync_request request;
    fb_follower_check(all->follower);
    bool asked = fb_follower_next(all->follower, &request);
    all->last = asked ? request : all->last;
    return asked;
}

#define assert_asks(all, wanted)                      \
    do {                                              \
        assert_true(ask(all));                        \
        assert_int_equal((all)->last.verb, (wanted)); \
    } while (0)

static void answer_as(rig *all, fb_sync_reply reply) {
    reply.id = all->last.id;
    fb_follower_reply(all->follower, &reply, all->now_ns);
}

static void answer_state(rig *all) {
    assert_int_equal(all->last.verb, FB_SYNC_STATE);
    answer_as(all,
              (fb_sync_reply){.result = FB_SYNC_DONE, .marks = all->marks, .mark_count = LOGS});
}

static void answer_stamps(rig *all) {
    assert_int_equal(all->last.verb, FB_SYNC_STAMPS);
    answer_as(all, (fb_sync_reply){.result = FB_SYNC_DONE, .mark = all->marks[TAGS_LOG]});
}

// In step with everything, and nothing more to ask for the moment.
static rig settled_rig(void) {
    rig all = make_rig();
    fb_follower_link(all.follower, true, NULL, all.now_ns);
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_asks(&all, FB_SYNC_STAMPS);
    answer_stamps(&all);
    assert_false(ask(&all));
    assert_true(fb_follower_is_settled(all.follower));
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), 0);
    return all;
}

static void pass(rig *all, int64_t ns) {
    all->now_ns += ns;
    fb_follower_tick(all->follower, all->now_ns);
}

static uint32_t log_of(const char *key) {
    return fb_partition_of(fb_str_of(key), PARTITIONS);
}

// The next record of a log as somebody appended it.
static fb_record append(rig *all, uint32_t log, fb_record record) {
    fb_mark *mark = &all->marks[log];
    record.seq = ++mark->seq;
    record.before = mark->nonce;
    record.nonce = mark->nonce = 1000 * mark->seq + log;
    record.node = record.node != 0 ? record.node : OTHER;
    return record;
}

static void tell(rig *all, uint32_t log, const fb_record *record) {
    fb_follower_record(all->follower, log, all->marks[log].epoch, record, all->now_ns);
}

static fb_record key_record(rig *all, const char *key) {
    return append(all, log_of(key), (fb_record){.kind = FB_RECORD_KEY, .name = fb_str_of(key)});
}

// ---- beginning

static void test_follow__nothing_is_coherent_before_state_and_stamps(void **state) {
    rig all = make_rig();
    fb_sync_figures figures;
    assert_false(ask(&all));  // there is no link
    fb_follower_link(all.follower, true, NULL, all.now_ns);
    assert_asks(&all, FB_SYNC_STATE);
    assert_int_equal(all.last.node, SELF);
    assert_true(all.last.alive_ms >= 2000);
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), PARTITIONS);
    answer_state(&all);
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), PARTITIONS);
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.state, FB_SYNC_CATCHING_UP);
    assert_asks(&all, FB_SYNC_STAMPS);
    answer_stamps(&all);
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), 0);
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.state, FB_SYNC_CONNECTED);
    assert_int_equal(figures.counters[FB_SYNC_COUNT_flushes], 0);
    free_rig(&all);
}

static void test_follow__an_empty_shared_tier_gets_epochs(void **state) {
    rig all = make_rig();
    memset(all.marks, 0, sizeof all.marks);
    fb_follower_link(all.follower, true, NULL, all.now_ns);
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    for (uint32_t i = 0; i < LOGS; i++) {
        assert_asks(&all, FB_SYNC_EPOCH);
        assert_int_equal(all.last.mark.epoch, 0);
        assert_true(all.last.token != 0);
        uint32_t log = all.last.log;
        all.marks[log].epoch = log == 2 ? 555 : all.last.token;  // there somebody else was first
        answer_as(&all, (fb_sync_reply){.result = FB_SYNC_DONE, .mark = all.marks[log]});
        fb_mark now;
        fb_cache_mark(all.cache, log, &now);
        assert_true(now.epoch == all.marks[log].epoch);
    }
    assert_asks(&all, FB_SYNC_STAMPS);
    answer_stamps(&all);
    assert_true(fb_follower_is_settled(all.follower));
    free_rig(&all);
}

// ---- records

static void test_follow__the_next_record_is_applied(void **state) {
    rig all = settled_rig();
    fb_mark now;
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    rig_put(all.cache, "b", "1", 0, all.now_ns);
    fb_record record = key_record(&all, "a");
    tell(&all, log_of("a"), &record);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    assert_read(all.cache, "b", all.now_ns, "fresh:1");
    fb_cache_mark(all.cache, log_of("a"), &now);
    assert_memory_equal(&now, &all.marks[log_of("a")], sizeof now);
    rig_put(all.cache, "a", "2", 0, all.now_ns);
    tell(&all, log_of("a"), &record);  // once more
    assert_read(all.cache, "a", all.now_ns, "fresh:2");
    assert_false(ask(&all));
    free_rig(&all);
}

static void test_follow__wide_records_reach_memory_and_stamps(void **state) {
    rig all = settled_rig();
    assert_ok(rig_load(all.cache, RIG_PAGE, "page:1", "1", "t", all.now_ns));
    assert_ok(rig_load(all.cache, RIG_PAGE, "page:2", "2", NULL, all.now_ns));
    fb_mark before = all.marks[TAGS_LOG];
    fb_record record =
        append(&all, TAGS_LOG, (fb_record){.kind = FB_RECORD_TAG, .name = FB_STR("t")});
    tell(&all, TAGS_LOG, &record);
    assert_read(all.cache, "page:1", all.now_ns, "nothing");
    assert_read(all.cache, "page:2", all.now_ns, "fresh:2");
    fb_loaded loaded = rig_loaded("1", "t");
    assert_int_equal(fb_sync_judge(all.sync, &before, FB_STR("k"), NULL, &loaded), FB_WIDE_GONE);
    fb_sync_wide(all.sync, &before);
    assert_int_equal(fb_sync_judge(all.sync, &before, FB_STR("k"), NULL, &loaded), FB_WIDE_VALID);
    fb_loaded_release(&loaded);
    record = append(&all, TAGS_LOG,
                    (fb_record){.kind = FB_RECORD_CLASS, .soft = true, .name = FB_STR("page")});
    tell(&all, TAGS_LOG, &record);
    assert_read(all.cache, "page:2", all.now_ns, "stale:2");
    record = append(&all, TAGS_LOG, (fb_record){.kind = FB_RECORD_NAMESPACE, .name = FB_STR("?")});
    tell(&all, TAGS_LOG, &record);  // not of this node's configuration
    record =
        append(&all, TAGS_LOG, (fb_record){.kind = FB_RECORD_PATTERN, .name = FB_STR("page:*")});
    tell(&all, TAGS_LOG, &record);
    assert_read(all.cache, "page:2", all.now_ns, "nothing");
    free_rig(&all);
}

static void test_follow__holds_and_fences_come_with_the_record(void **state) {
    rig all = settled_rig();
    fb_record record =
        append(&all, log_of("page:1"),
               (fb_record){.kind = FB_RECORD_KEY, .hold_ms = 1000, .name = FB_STR("page:1")});
    tell(&all, log_of("page:1"), &record);
    assert_result(rig_load(all.cache, RIG_PAGE, "page:1", "1", NULL, all.now_ns), FB_DOOMED);
    record = key_record(&all, "page:1");
    tell(&all, log_of("page:1"), &record);  // ends it
    assert_ok(rig_load(all.cache, RIG_PAGE, "page:1", "1", NULL, all.now_ns));
    record = append(&all, log_of("page:1"),
                    (fb_record){.kind = FB_RECORD_KEY, .fence = 9, .name = FB_STR("page:1")});
    tell(&all, log_of("page:1"), &record);
    fb_loaded loaded = rig_loaded("old", NULL);
    fb_value info;
    fb_loaded_version(&loaded, 8);
    fb_ticket *ticket = rig_begin(all.cache, RIG_PAGE, "page:1", all.now_ns);
    assert_result(fb_cache_fill(all.cache, ticket, &loaded, 1, 0, all.now_ns, &info), FB_DOOMED);
    fb_cache_end(all.cache, ticket);
    fb_loaded_release(&loaded);
    assert_read(all.cache, "page:1", all.now_ns, "nothing");
    free_rig(&all);
}

static void test_follow__an_own_hold_outlives_an_older_change_that_comes_by_later(void **state) {
    rig all = settled_rig();
    fb_record older = key_record(&all, "page:1");
    fb_record own = append(&all, log_of("page:1"),
                           (fb_record){.kind = FB_RECORD_KEY,
                                       .node = SELF,
                                       .hold_ms = 1000,
                                       .name = FB_STR("page:1")});
    fb_cache_hold(all.cache, FB_STR("page:1"), all.now_ns + S(1), all.now_ns);
    tell(&all, log_of("page:1"), &older);
    tell(&all, log_of("page:1"), &own);
    assert_result(rig_load(all.cache, RIG_PAGE, "page:1", "1", NULL, all.now_ns), FB_DOOMED);
    free_rig(&all);
}

// It was over when its record came: what came after it on this node has ended it, and stored something.
static void test_follow__an_own_hold_does_not_outlive_an_own_change_after_it(void **state) {
    rig all = settled_rig();
    fb_record hold = append(&all, log_of("page:1"),
                            (fb_record){.kind = FB_RECORD_KEY,
                                        .node = SELF,
                                        .hold_ms = 1000,
                                        .name = FB_STR("page:1")});
    fb_record set = append(
        &all, log_of("page:1"),
        (fb_record){.kind = FB_RECORD_KEY, .node = SELF, .name = FB_STR("page:1")});
    tell(&all, log_of("page:1"), &hold);
    tell(&all, log_of("page:1"), &set);
    assert_ok(rig_load(all.cache, RIG_PAGE, "page:1", "1", NULL, all.now_ns));
    free_rig(&all);
}

static void test_follow__own_records_are_passed_over(void **state) {
    rig all = settled_rig();
    fb_record own = append(
        &all, log_of("a"),
        (fb_record){.kind = FB_RECORD_KEY, .node = SELF, .wants_ack = true, .name = FB_STR("a")});
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    tell(&all, log_of("a"), &own);
    assert_read(all.cache, "a", all.now_ns, "fresh:1");
    assert_false(ask(&all));
    own = append(&all, log_of("a"),
                 (fb_record){.kind = FB_RECORD_KEY, .node = SELF, .name = FB_STR("a")});
    fb_sync_disown(all.sync, own.nonce);  // nobody knew whether it would be carried out
    tell(&all, log_of("a"), &own);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    free_rig(&all);
}

static void test_follow__what_wants_it_is_acknowledged_until_it_is_told(void **state) {
    rig all = settled_rig();
    fb_record record =
        append(&all, log_of("a"),
               (fb_record){.kind = FB_RECORD_KEY, .wants_ack = true, .name = FB_STR("a")});
    tell(&all, log_of("a"), &record);
    assert_asks(&all, FB_SYNC_ACK);
    assert_true(all.last.token == record.nonce && all.last.node == SELF);
    assert_false(ask(&all));
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_FAILED});
    assert_asks(&all, FB_SYNC_ACK);
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_DONE});
    assert_false(ask(&all));
    free_rig(&all);
}

// ---- gaps

static void test_follow__a_gap_is_read_from_the_log(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_record records[3] = {{.seq = all.marks[log].seq, .nonce = all.marks[log].nonce}};
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    records[1] = key_record(&all, "a");
    records[2] = append(&all, log, (fb_record){.kind = FB_RECORD_KEY, .name = FB_STR("other")});
    tell(&all, log, &records[2]);  // the first of them is lost
    assert_read(all.cache, "a", all.now_ns, "fresh:1");
    assert_asks(&all, FB_SYNC_LOG);
    assert_int_equal(all.last.log, log);
    assert_int_equal(all.last.mark.seq, records[0].seq);
    answer_as(
        &all,
        (fb_sync_reply){
            .result = FB_SYNC_DONE, .mark = all.marks[log], .records = records, .record_count = 3});
    assert_read(all.cache, "a", all.now_ns, "nothing");
    assert_false(ask(&all));
    fb_sync_figures figures;
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.counters[FB_SYNC_COUNT_gaps], 1);
    assert_int_equal(figures.counters[FB_SYNC_COUNT_flushes], 0);
    free_rig(&all);
}

static void test_follow__a_trimmed_log_costs_the_partition(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    all.marks[log].seq += 1000;
    all.marks[log].nonce = 9;
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_asks(&all, FB_SYNC_LOG);
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_GONE, .mark = all.marks[log]});
    assert_read(all.cache, "a", all.now_ns, "nothing");
    fb_mark now;
    fb_cache_mark(all.cache, log, &now);
    assert_memory_equal(&now, &all.marks[log], sizeof now);
    assert_false(ask(&all));
    free_rig(&all);
}

// A server that lost a change of ours, which we had come by, and whose log was trimmed since, shows
// nothing of that.
static void test_follow__a_trimmed_log_in_which_we_wrote_is_void(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_record own = append(
        &all, log, (fb_record){.kind = FB_RECORD_KEY, .node = SELF, .name = FB_STR("a")});
    fb_sync_acked(all.sync, log, &all.marks[log]);
    tell(&all, log, &own);
    all.marks[log].seq += 1000;
    all.marks[log].nonce = 9;
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_asks(&all, FB_SYNC_LOG);
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_GONE, .mark = all.marks[log]});
    assert_asks(&all, FB_SYNC_EPOCH);
    free_rig(&all);
}

// ---- heartbeats

static void test_follow__coherence_runs_from_when_it_was_asked(void **state) {
    rig all = settled_rig();
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    int64_t sent_ns = all.now_ns;
    all.now_ns += S(0.4);
    answer_state(&all);
    assert_true(fb_cache_coherent_until(all.cache) == sent_ns + S(2));
    assert_int_equal(fb_cache_degraded(all.cache, sent_ns + S(2) - 1), 0);
    assert_int_equal(fb_cache_degraded(all.cache, sent_ns + S(2)), PARTITIONS);
    free_rig(&all);
}

static void test_follow__a_log_that_is_ahead_proves_nothing(void **state) {
    rig all = settled_rig();
    fb_record lost = key_record(&all, "a");
    (void)lost;
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_false(fb_cache_is_coherent(all.cache, FB_STR("a"), S(102.1)));
    assert_int_equal(fb_cache_degraded(all.cache, S(102.1)), 1);
    free_rig(&all);
}

static void test_follow__of_a_log_that_did_not_answer_nothing_is_proved_and_nothing_lost(
    void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_mark marks[LOGS];
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    for (int i = 0; i < 5; i++) {
        pass(&all, S(0.5));
        assert_asks(&all, FB_SYNC_STATE);
        memcpy(marks, all.marks, sizeof marks);
        marks[log] = (fb_mark){.seq = UINT64_MAX};
        answer_as(&all,
                  (fb_sync_reply){.result = FB_SYNC_DONE, .marks = marks, .mark_count = LOGS});
        assert_false(ask(&all));
    }
    assert_false(fb_cache_is_coherent(all.cache, FB_STR("a"), all.now_ns));
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), 1);
    assert_read(all.cache, "a", all.now_ns, "fresh:1");
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), 0);
    free_rig(&all);
}

static void test_follow__an_answer_that_is_late_still_proves(void **state) {
    rig all = settled_rig();
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    fb_mark marks[LOGS];
    fb_record first = key_record(&all, "a");
    memcpy(marks, all.marks, sizeof marks);  // as STATE sees it
    fb_record second = key_record(&all, "a");
    tell(&all, log_of("a"), &first);
    tell(&all, log_of("a"), &second);
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_DONE, .marks = marks, .mark_count = LOGS});
    assert_int_equal(fb_cache_degraded(all.cache, S(102.2)), 0);
    assert_false(ask(&all));
    free_rig(&all);
}

static void test_follow__no_answer_is_asked_again_with_a_growing_wait(void **state) {
    rig all = settled_rig();
    fb_sync_figures figures;
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_UNKNOWN, .text = "slow"});
    assert_false(ask(&all));
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.state, FB_SYNC_CATCHING_UP);
    assert_string_equal(figures.why, "slow");
    int64_t waited_ns = 0;
    for (int i = 0; i < 6; i++) {
        int64_t due_ns = fb_follower_due(all.follower);
        assert_true(due_ns > all.now_ns && due_ns - all.now_ns <= S(1));
        waited_ns = due_ns - all.now_ns;
        pass(&all, waited_ns);
        assert_asks(&all, FB_SYNC_STATE);
        answer_as(&all, (fb_sync_reply){.result = FB_SYNC_FAILED, .text = "slow"});
    }
    assert_true(waited_ns >= S(0.3));
    pass(&all, fb_follower_due(all.follower) - all.now_ns);
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.state, FB_SYNC_CONNECTED);
    free_rig(&all);
}

static void test_follow__an_answer_that_never_comes_is_given_up(void **state) {
    rig all = settled_rig();
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    fb_sync_request forgotten = all.last;
    pass(&all, fb_follower_due(all.follower) - all.now_ns);
    pass(&all, fb_follower_due(all.follower) - all.now_ns);
    assert_asks(&all, FB_SYNC_STATE);
    fb_sync_reply late = {.result = FB_SYNC_DONE, .id = forgotten.id};
    fb_follower_reply(all.follower, &late, all.now_ns);  // nobody waits for that one
    answer_state(&all);
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), 0);
    free_rig(&all);
}

static void test_follow__without_a_link_nothing_is_asked(void **state) {
    rig all = settled_rig();
    fb_sync_figures figures;
    fb_follower_link(all.follower, false, "connection refused", all.now_ns);
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.state, FB_SYNC_AWAY);
    assert_string_equal(figures.why, "connection refused");
    pass(&all, S(10));
    assert_false(ask(&all));
    assert_false(fb_follower_is_settled(all.follower));
    assert_true(fb_follower_due(all.follower) == INT64_MAX);
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns), PARTITIONS);
    fb_follower_link(all.follower, true, NULL, all.now_ns);
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_true(fb_follower_is_settled(all.follower));
    free_rig(&all);
}

// ---- epochs

static void expect_new_epoch(rig *all, uint32_t log) {
    assert_asks(all, FB_SYNC_EPOCH);
    assert_int_equal(all->last.log, log);
    assert_true(all->last.mark.epoch == all->marks[log].epoch);
    all->marks[log] = (fb_mark){.epoch = all->last.token};
    answer_as(all, (fb_sync_reply){.result = FB_SYNC_DONE, .mark = all->marks[log]});
    fb_mark now;
    fb_cache_mark(all->cache, log, &now);
    assert_true(now.epoch == all->marks[log].epoch);
    fb_sync_figures figures;
    fb_sync_figures_read(all->sync, all->now_ns, &figures);
    assert_int_equal(figures.counters[FB_SYNC_COUNT_epochs], 1);
}

static void test_follow__a_server_that_is_behind_us_gets_a_new_epoch(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    all.marks[log].seq--;
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    expect_new_epoch(&all, log);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    free_rig(&all);
}

static void test_follow__another_history_of_our_epoch_gets_a_new_one(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_record records[2] = {{.seq = all.marks[log].seq, .nonce = 4711}};  // not as we know it
    all.marks[log].nonce = 4711;
    records[1] = key_record(&all, "a");
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_asks(&all, FB_SYNC_LOG);
    answer_as(
        &all,
        (fb_sync_reply){
            .result = FB_SYNC_DONE, .mark = all.marks[log], .records = records, .record_count = 2});
    expect_new_epoch(&all, log);
    free_rig(&all);
}

// A value was read at a place that the server lost, and who issued it is gone.
static void test_follow__a_place_that_was_read_and_is_lost_is_seen(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_mark seen = {all.marks[log].epoch, all.marks[log].seq + 1, 77};
    fb_sync_saw(all.sync, log, &seen);
    rig_put(all.cache, "a", "lost", 0, all.now_ns);
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    expect_new_epoch(&all, log);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    free_rig(&all);
}

static void test_follow__an_acknowledged_change_that_is_lost_is_seen(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_mark acked = {all.marks[log].epoch, all.marks[log].seq + 1, 77};
    fb_sync_acked(all.sync, log, &acked);  // its record never came here
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    expect_new_epoch(&all, log);
    free_rig(&all);
}

// A lane was busy: this node has gone by the place meanwhile, without having seen what lies before.
// `nonce`: of the record there, as the log has it.
static rig acked_late(uint64_t nonce) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    fb_mark acked = {all.marks[log].epoch, all.marks[log].seq - 1, 77};
    fb_sync_acked(all.sync, log, &acked);
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_asks(&all, FB_SYNC_LOG);
    assert_int_equal(all.last.mark.seq, acked.seq);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    fb_record records[] = {{.kind = FB_RECORD_KEY,
                            .name = FB_STR("b"),
                            .node = SELF,
                            .seq = acked.seq,
                            .nonce = nonce},
                           {.kind = FB_RECORD_KEY,
                            .name = FB_STR("b"),
                            .node = SELF,
                            .seq = all.marks[log].seq,
                            .before = nonce,
                            .nonce = all.marks[log].nonce}};
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_DONE,
                                    .mark = all.marks[log],
                                    .records = records,
                                    .record_count = 2});
    return all;
}

static void test_follow__what_is_acknowledged_late_is_looked_for_in_the_log(void **state) {
    rig all = acked_late(77);
    assert_false(ask(&all));
    assert_int_equal(fb_cache_degraded(all.cache, all.now_ns + S(1.9)), 0);
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_false(ask(&all));
    free_rig(&all);
}

static void test_follow__what_is_acknowledged_late_and_not_in_the_log_is_lost(void **state) {
    rig all = acked_late(78);
    expect_new_epoch(&all, log_of("a"));
    free_rig(&all);
}

static void test_follow__what_is_acknowledged_late_and_was_gone_by_is_no_loss(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_mark acked = all.marks[log];
    fb_record next = key_record(&all, "a");
    tell(&all, log, &next);
    fb_sync_acked(all.sync, log, &acked);
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_false(ask(&all));
    free_rig(&all);
}

static void test_follow__an_epoch_that_a_gate_opened_and_the_server_lost_is_seen(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_mark acked = {.epoch = fb_epoch_after(all.marks[log].epoch, 5)};
    fb_sync_acked(all.sync, log, &acked);  // the server shows the one before it again
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_asks(&all, FB_SYNC_EPOCH);
    assert_true(fb_epoch_is_older(acked.epoch, all.last.token));
    free_rig(&all);
}

static void test_follow__another_epoch_flushes_and_goes_on_there(void **state) {
    rig all = settled_rig();
    uint32_t log = log_of("a");
    fb_mark now;
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    all.marks[log] = (fb_mark){.epoch = 999, .seq = 3, .nonce = 3};
    fb_follower_suspect(all.follower, log, &all.marks[log], all.now_ns);
    assert_asks(&all, FB_SYNC_LOG);
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_GONE, .mark = all.marks[log]});
    assert_read(all.cache, "a", all.now_ns, "nothing");
    fb_cache_mark(all.cache, log, &now);
    assert_memory_equal(&now, &all.marks[log], sizeof now);
    assert_true(fb_cache_is_coherent(all.cache, FB_STR("a"), all.now_ns));
    free_rig(&all);
}

static void test_follow__another_wide_epoch_flushes_everything(void **state) {
    rig all = settled_rig();
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    all.marks[TAGS_LOG] = (fb_mark){.epoch = 999, .seq = 3, .nonce = 3};
    pass(&all, S(0.5));
    assert_asks(&all, FB_SYNC_STATE);
    answer_state(&all);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    fb_loaded loaded = rig_loaded("1", NULL);
    assert_int_equal(fb_sync_judge(all.sync, &all.marks[TAGS_LOG], FB_STR("k"), NULL, &loaded),
                     FB_WIDE_GONE);  // its stamps are not known
    assert_asks(&all, FB_SYNC_STAMPS);
    fb_record meanwhile =
        append(&all, TAGS_LOG, (fb_record){.kind = FB_RECORD_TAG, .name = FB_STR("t")});
    tell(&all, TAGS_LOG, &meanwhile);  // left to the log
    fb_sync_stamp stamp = {fb_sync_slot(FB_RECORD_TAG, FB_STR("u")), 2, 0};
    answer_as(&all,
              (fb_sync_reply){
                  .result = FB_SYNC_DONE, .mark = {999, 3, 3}, .stamps = &stamp, .stamp_count = 1});
    assert_int_equal(fb_sync_judge(all.sync, &all.marks[TAGS_LOG], FB_STR("k"), NULL, &loaded),
                     FB_WIDE_VALID);
    assert_asks(&all, FB_SYNC_LOG);
    fb_record records[2] = {{.seq = 3, .nonce = 3}, meanwhile};
    answer_as(&all, (fb_sync_reply){.result = FB_SYNC_DONE,
                                    .mark = all.marks[TAGS_LOG],
                                    .records = records,
                                    .record_count = 2});
    fb_mark now;
    fb_sync_wide(all.sync, &now);
    assert_int_equal(now.seq, 4);
    fb_loaded_release(&loaded);
    free_rig(&all);
}

// ---- past forebay

static void test_follow__bypasses_drop_what_they_wrote(void **state) {
    rig all = settled_rig();
    fb_sync_figures figures;
    rig_put(all.cache, "a", "1", 0, all.now_ns);
    rig_put(all.cache, "b", "1", 0, all.now_ns);
    fb_follower_bypass(all.follower, FB_STR("a"), all.now_ns);
    assert_read(all.cache, "a", all.now_ns, "nothing");
    fb_follower_bypass(all.follower, (fb_str){NULL, 0}, all.now_ns);
    assert_read(all.cache, "b", all.now_ns, "fresh:1");  // not of a plain layout
    fb_sync_figures_read(all.sync, all.now_ns, &figures);
    assert_int_equal(figures.counters[FB_SYNC_COUNT_bypasses], 2);
    free_rig(&all);
}

static int make_one(void *arg) {
    fb_follower *follower;
    int result = fb_follower_new(arg, 7, &follower);
    fb_follower_free(follower);
    return result;
}

static void test_follow__without_memory_nothing_is_made(void **state) {
    rig all = make_rig();
    assert_true(test_memory_sweep(make_one, all.sync) > 0);
    free_rig(&all);
}

int main(void) {
    (void)test_memory_get();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follow__nothing_is_coherent_before_state_and_stamps),
        cmocka_unit_test(test_follow__an_empty_shared_tier_gets_epochs),
        cmocka_unit_test(test_follow__the_next_record_is_applied),
        cmocka_unit_test(test_follow__wide_records_reach_memory_and_stamps),
        cmocka_unit_test(test_follow__holds_and_fences_come_with_the_record),
        cmocka_unit_test(test_follow__an_own_hold_outlives_an_older_change_that_comes_by_later),
        cmocka_unit_test(test_follow__an_own_hold_does_not_outlive_an_own_change_after_it),
        cmocka_unit_test(test_follow__own_records_are_passed_over),
        cmocka_unit_test(test_follow__what_wants_it_is_acknowledged_until_it_is_told),
        cmocka_unit_test(test_follow__a_gap_is_read_from_the_log),
        cmocka_unit_test(test_follow__a_trimmed_log_costs_the_partition),
        cmocka_unit_test(test_follow__a_trimmed_log_in_which_we_wrote_is_void),
        cmocka_unit_test(test_follow__coherence_runs_from_when_it_was_asked),
        cmocka_unit_test(test_follow__a_log_that_is_ahead_proves_nothing),
        cmocka_unit_test(
            test_follow__of_a_log_that_did_not_answer_nothing_is_proved_and_nothing_lost),
        cmocka_unit_test(test_follow__an_answer_that_is_late_still_proves),
        cmocka_unit_test(test_follow__no_answer_is_asked_again_with_a_growing_wait),
        cmocka_unit_test(test_follow__an_answer_that_never_comes_is_given_up),
        cmocka_unit_test(test_follow__without_a_link_nothing_is_asked),
        cmocka_unit_test(test_follow__a_server_that_is_behind_us_gets_a_new_epoch),
        cmocka_unit_test(test_follow__another_history_of_our_epoch_gets_a_new_one),
        cmocka_unit_test(test_follow__a_place_that_was_read_and_is_lost_is_seen),
        cmocka_unit_test(test_follow__an_acknowledged_change_that_is_lost_is_seen),
        cmocka_unit_test(test_follow__what_is_acknowledged_late_is_looked_for_in_the_log),
        cmocka_unit_test(test_follow__what_is_acknowledged_late_and_not_in_the_log_is_lost),
        cmocka_unit_test(test_follow__what_is_acknowledged_late_and_was_gone_by_is_no_loss),
        cmocka_unit_test(test_follow__an_epoch_that_a_gate_opened_and_the_server_lost_is_seen),
        cmocka_unit_test(test_follow__another_epoch_flushes_and_goes_on_there),
        cmocka_unit_test(test_follow__another_wide_epoch_flushes_everything),
        cmocka_unit_test(test_follow__bypasses_drop_what_they_wrote),
        cmocka_unit_test(test_follow__without_memory_nothing_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
