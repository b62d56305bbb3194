// port_claims.h -- what sync/port.h promises, as tests against any port: redis/ over real servers,
// the model of tests/sim over its own clock.
//
// The program that includes it first defines `claims_rig_new` and `claims_rig_free`, then puts
// PORT_CLAIMS into its list of tests. Each claim gets a rig of its own: an empty shared tier with two
// nodes at it, both linked up; the first one follows.
//
//   static claims_rig *claims_rig_new(void);
//   static void claims_rig_free(claims_rig *rig);
//   int main(void) { const struct CMUnitTest tests[] = {PORT_CLAIMS, …}; … }

#ifndef FB_TESTS_PORT_CLAIMS_H
#define FB_TESTS_PORT_CLAIMS_H

#include "port_rig.h"

// ---- a log without an epoch

static void test_port__without_an_epoch_nothing_is_done(void **state) {
    claims_rig *rig = *state;
    fb_loaded loaded = claims_value("v");
    fb_record record = claims_record(FB_RECORD_KEY, "k", 5);
    fb_record wide = claims_record(FB_RECORD_TAG, "t", 6);
    static const fb_sync_verb VERBS[] = {FB_SYNC_GET,    FB_SYNC_PEEK, FB_SYNC_FILL, FB_SYNC_SET,
                                         FB_SYNC_DROP,   FB_SYNC_EXPIRE, FB_SYNC_ADD,
                                         FB_SYNC_BUMP,   FB_SYNC_LOG,  FB_SYNC_STAMPS};

    for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++) {
        fb_sync_request request = claims_key(VERBS[i], "k");
        request.token = 9;
        request.lease_ns = 30000 * CLAIMS_MS;
        request.loaded = &loaded;
        request.ttl_ns = 60000 * CLAIMS_MS;
        request.record = record;
        request.records = &wide;
        request.record_count = 1;
        CLAIMS_IS(claims_ask(rig, 0, request), FB_SYNC_NO_EPOCH);
    }
    fb_loaded_release(&loaded);
    claims_open_all(rig);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
    CLAIMS_IS(claims_get(rig, 1, "k", 10), FB_SYNC_LEASE);  // nobody else got one
    const fb_sync_reply *reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_STATE,
                                                                      .node = 77,
                                                                      .alive_ms = 60000});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    for (size_t i = 0; i < reply->mark_count; i++) {
        assert_int_equal(rig->node[0]->marks[i].seq, 0);
    }
}

static void test_port__an_epoch_is_opened_once(void **state) {
    claims_rig *rig = *state;
    fb_sync_request open = {.verb = FB_SYNC_EPOCH, .log = 1, .token = 500};

    const fb_sync_reply *reply = claims_ask(rig, 0, open);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.epoch, 500);
    assert_int_equal(reply->mark.seq, 0);
    assert_int_equal(reply->mark.nonce, 0);
    open.token = 600;  // somebody else, who has not heard of it
    reply = claims_ask(rig, 1, open);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.epoch, 500);
    open.mark.epoch = 500;
    reply = claims_ask(rig, 1, open);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.epoch, 600);
    open.mark.epoch = 500;  // the same once more: its answer was lost
    reply = claims_ask(rig, 1, open);
    assert_int_equal(reply->mark.epoch, 600);
}

static void test_port__another_epoch_voids_values_leases_and_the_log(void **state) {
    claims_rig *rig = *state;
    fb_str key = FB_STR("k");
    uint32_t log = fb_partition_of(key, CLAIMS_PARTITIONS);

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 0, "k", "old"), FB_SYNC_DONE);
    CLAIMS_IS(claims_refresh(rig, 0, "k", 11), FB_SYNC_LEASE);
    fb_sync_request open = {
        .verb = FB_SYNC_EPOCH, .log = log, .token = 2000, .mark.epoch = 1000 + log};
    CLAIMS_IS(claims_ask(rig, 0, open), FB_SYNC_DONE);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
    CLAIMS_IS(claims_fill(rig, 0, "k", 11, "older", 0), FB_SYNC_REFUSED);
    const fb_sync_reply *reply = claims_get(rig, 1, "k", 12);
    CLAIMS_IS(reply, FB_SYNC_LEASE);  // the one of the former epoch is in nobody's way
    assert_int_equal(reply->mark.epoch, 2000);
    assert_int_equal(reply->mark.seq, 0);
    reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_LOG, .log = log});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->record_count, 0);
    reply = claims_set(rig, 0, "k", "new");
    assert_int_equal(reply->mark.seq, 1);
}

static void test_port__an_emptied_server_has_no_epoch(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 0, "k", "v"), FB_SYNC_DONE);
    rig->flush(rig);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NO_EPOCH);
    CLAIMS_IS(claims_drop(rig, 0, "k"), FB_SYNC_NO_EPOCH);
    const fb_sync_reply *reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_STATE,
                                                                      .node = 77,
                                                                      .alive_ms = 60000});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark_count, CLAIMS_PARTITIONS + 1);
    for (size_t i = 0; i < reply->mark_count; i++) {
        assert_int_equal(rig->node[0]->marks[i].epoch, 0);
    }
}

// ---- GET, PEEK, FILL

static void test_port__one_of_two_gets_the_lease(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    const fb_sync_reply *reply = claims_get(rig, 0, "k", 21);
    CLAIMS_IS(reply, FB_SYNC_LEASE);
    assert_false(reply->has_value);
    assert_false(reply->held);
    assert_int_equal(reply->mark.epoch, 1000 + fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS));
    CLAIMS_IS(claims_get(rig, 1, "k", 22), FB_SYNC_HELD);
    CLAIMS_IS(claims_get(rig, 0, "k", 21), FB_SYNC_LEASE);  // asked twice
    CLAIMS_IS(claims_fill(rig, 1, "k", 22, "no", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_fill(rig, 0, "k", 21, "yes", 0), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_get(rig, 1, "k", 22), "yes");
    CLAIMS_IS(claims_fill(rig, 0, "k", 21, "again", 0), FB_SYNC_REFUSED);  // it is used up
}

static void test_port__a_value_comes_back_as_it_was(void **state) {
    claims_rig *rig = *state;
    fb_loaded loaded = claims_value("{\"n\": [1, 2.50]}");
    fb_sync_request fill = claims_key(FB_SYNC_FILL, "k");

    claims_open_all(rig);
    loaded.source_version = UINT64_MAX - 1;
    assert_ok(fb_loaded_tag(&loaded, FB_STR("user:7")));
    assert_ok(fb_loaded_tag(&loaded, FB_STR("org \r\n\x01")));
    CLAIMS_IS(claims_get(rig, 0, "k", 1), FB_SYNC_LEASE);
    fill.token = 1;
    fill.loaded = &loaded;
    fill.ttl_ns = 50000 * CLAIMS_MS;
    fill.wide = (fb_mark){UINT64_MAX, UINT64_MAX - 7, 0x8000000000000001u};
    fill.class_name = FB_STR("package");
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_DONE);
    fb_loaded_release(&loaded);
    const fb_sync_reply *reply = claims_peek(rig, 1, "k");
    CLAIMS_VALUE(reply, "{\"n\": [1, 2.50]}");
    assert_int_equal(reply->loaded.kind, FB_KIND_JSON);
    assert_true(reply->loaded.source_version == UINT64_MAX - 1);
    assert_int_equal(reply->loaded.tag_count, 2);
    assert_str(fb_loaded_tag_at(&reply->loaded, 0), "user:7");
    assert_str(fb_loaded_tag_at(&reply->loaded, 1), "org \r\n\x01");
    assert_true(reply->wide.epoch == UINT64_MAX && reply->wide.seq == UINT64_MAX - 7);
    assert_true(reply->wide.nonce == 0x8000000000000001u);
    assert_true(reply->fresh_for_ns > 0 && reply->fresh_for_ns <= 50000 * CLAIMS_MS);
    assert_true(reply->age_ns >= 0 && reply->age_ns < 50000 * CLAIMS_MS);
    assert_int_equal(reply->fence, 0);
    assert_false(reply->held);
}

static void test_port__bytes_and_known_absence_are_kept(void **state) {
    claims_rig *rig = *state;
    fb_loaded loaded;
    fb_sync_request fill = claims_key(FB_SYNC_FILL, "none");
    char bytes[256];

    claims_open_all(rig);
    fb_loaded_init(&loaded);
    loaded.result = FB_NEGATIVE;
    CLAIMS_IS(claims_get(rig, 0, "none", 1), FB_SYNC_LEASE);
    fill.token = 1;
    fill.loaded = &loaded;
    fill.ttl_ns = 50000 * CLAIMS_MS;
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_get(rig, 1, "none", 2);
    CLAIMS_IS(reply, FB_SYNC_VALUE);
    assert_true(reply->has_value);
    assert_int_equal(reply->loaded.result, FB_NEGATIVE);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)i;
    }
    loaded.result = FB_OK;
    assert_ok(fb_loaded_value(&loaded, fb_str_make(bytes, sizeof bytes)));
    fill.key = FB_STR("bytes");
    fill.log = fb_partition_of(fill.key, CLAIMS_PARTITIONS);
    CLAIMS_IS(claims_get(rig, 0, "bytes", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_DONE);
    fb_loaded_release(&loaded);
    reply = claims_peek(rig, 1, "bytes");
    CLAIMS_IS(reply, FB_SYNC_VALUE);
    assert_int_equal(reply->loaded.kind, FB_KIND_BYTES);
    assert_bytes(fb_blob_str(reply->loaded.value), fb_str_make(bytes, sizeof bytes));
    CLAIMS_IS(claims_set(rig, 0, "empty", ""), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_peek(rig, 0, "empty"), "");
}

static void test_port__a_lease_ends(void **state) {
    claims_rig *rig = *state;
    fb_sync_request get = claims_key(FB_SYNC_GET, "k");

    claims_open_all(rig);
    get.token = 1;
    get.lease_ns = 20 * CLAIMS_MS;
    CLAIMS_IS(claims_ask(rig, 0, get), FB_SYNC_LEASE);
    rig->pass(rig, 40);
    CLAIMS_IS(claims_fill(rig, 0, "k", 1, "late", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_get(rig, 1, "k", 2), FB_SYNC_LEASE);
}

static void test_port__a_lease_is_given_back(void **state) {
    claims_rig *rig = *state;
    fb_sync_request fill = claims_key(FB_SYNC_FILL, "k");

    claims_open_all(rig);
    CLAIMS_IS(claims_get(rig, 0, "k", 1), FB_SYNC_LEASE);
    fill.token = 1;
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_DONE);
    CLAIMS_IS(claims_get(rig, 1, "k", 2), FB_SYNC_LEASE);
    fill.token = 1;  // not his any more
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_get(rig, 0, "k", 3), FB_SYNC_HELD);
}

static void test_port__a_change_overtakes_a_load(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_get(rig, 0, "drop", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_drop(rig, 1, "drop"), FB_SYNC_DONE);
    CLAIMS_IS(claims_fill(rig, 0, "drop", 1, "old", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_peek(rig, 0, "drop"), FB_SYNC_NONE);
    CLAIMS_IS(claims_get(rig, 0, "set", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_set(rig, 1, "set", "new"), FB_SYNC_DONE);
    CLAIMS_IS(claims_fill(rig, 0, "set", 1, "old", 0), FB_SYNC_REFUSED);
    CLAIMS_VALUE(claims_peek(rig, 0, "set"), "new");
    CLAIMS_IS(claims_get(rig, 1, "add", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_add(rig, "add", 3), FB_SYNC_DONE);
    CLAIMS_IS(claims_fill(rig, 1, "add", 1, "1", 0), FB_SYNC_REFUSED);
    CLAIMS_VALUE(claims_peek(rig, 0, "add"), "3");
    CLAIMS_IS(claims_refresh(rig, 0, "set", 5), FB_SYNC_LEASE);
    fb_sync_request expire = claims_key(FB_SYNC_EXPIRE, "set");
    expire.ttl_ns = -1;
    expire.record = claims_record(FB_RECORD_KEY, "set", 99);
    CLAIMS_IS(claims_ask(rig, 1, expire), FB_SYNC_DONE);
    CLAIMS_IS(claims_fill(rig, 0, "set", 5, "old", 0), FB_SYNC_REFUSED);
}

static void test_port__a_refresh_stands_beside_the_value(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_get(rig, 0, "k", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_fill(rig, 0, "k", 1, "one", 0), FB_SYNC_DONE);
    uint64_t version = claims_peek(rig, 0, "k")->version;
    CLAIMS_IS(claims_refresh(rig, 0, "k", 2), FB_SYNC_LEASE);
    CLAIMS_IS(claims_refresh(rig, 1, "k", 3), FB_SYNC_HELD);
    CLAIMS_IS(claims_refresh(rig, 0, "k", 2), FB_SYNC_LEASE);
    CLAIMS_VALUE(claims_get(rig, 1, "k", 3), "one");
    CLAIMS_IS(claims_fill(rig, 0, "k", 2, "two", 0), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_get(rig, 1, "k", 3);
    CLAIMS_VALUE(reply, "two");
    assert_true(reply->version != version);
}

static void test_port__a_peek_leaves_no_trace(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
    CLAIMS_IS(claims_get(rig, 1, "k", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
}

static void test_port__values_end(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_set_as(rig, 0, "k", "v", (fb_sync_request){.ttl_ns = 20 * CLAIMS_MS}),
              FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "for ever", "v"), FB_SYNC_DONE);
    rig->pass(rig, 40);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
    const fb_sync_reply *reply = claims_peek(rig, 0, "for ever");
    CLAIMS_VALUE(reply, "v");
    assert_true(reply->fresh_for_ns == INT64_MAX);
}

static void test_port__any_byte_may_be_in_a_key(void **state) {
    claims_rig *rig = *state;
    static const char *const KEYS[] = {"a b",   "{x}",  "}{",       "\r\n",      "*",
                                       "\\",    "[a-z]", "k:v:l:f", "\xff\xfe",  ""};

    claims_open_all(rig);
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        CLAIMS_IS(claims_set(rig, 0, KEYS[i], KEYS[i]), FB_SYNC_DONE);
    }
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        CLAIMS_VALUE(claims_peek(rig, 1, KEYS[i]), KEYS[i]);
        CLAIMS_IS(claims_drop(rig, 1, KEYS[i]), FB_SYNC_DONE);
        CLAIMS_IS(claims_peek(rig, 0, KEYS[i]), FB_SYNC_NONE);
    }
}

// ---- SET, DROP, EXPIRE, ADD

static void test_port__a_set_has_the_version_of_its_record(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    const fb_sync_reply *reply = claims_set(rig, 0, "k", "one");
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.seq, 1);
    reply = claims_set(rig, 0, "k", "two");
    assert_int_equal(reply->mark.seq, 2);
    uint64_t nonce = reply->mark.nonce;
    reply = claims_peek(rig, 1, "k");
    CLAIMS_VALUE(reply, "two");
    assert_int_equal(reply->version, 2);
    assert_int_equal(reply->mark.seq, 2);
    assert_true(reply->mark.nonce == nonce && nonce != 0);
}

static void test_port__conditions_hold_or_tell_what_is_there(void **state) {
    claims_rig *rig = *state;
    fb_sync_request absent = {.when = FB_WHEN_ABSENT};
    fb_sync_request same = {.when = FB_WHEN_VERSION};

    claims_open_all(rig);
    CLAIMS_IS(claims_set_as(rig, 0, "k", "one", absent), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_set_as(rig, 1, "k", "two", absent);
    CLAIMS_IS(reply, FB_SYNC_CONFLICT);
    assert_true(reply->has_value);
    assert_str(fb_blob_str(reply->loaded.value), "one");
    same.version = reply->version;
    assert_int_equal(reply->mark.seq, 1);  // nothing was done
    CLAIMS_IS(claims_set_as(rig, 1, "k", "two", same), FB_SYNC_DONE);
    reply = claims_set_as(rig, 0, "k", "three", same);
    CLAIMS_IS(reply, FB_SYNC_CONFLICT);
    assert_str(fb_blob_str(reply->loaded.value), "two");
    reply = claims_set_as(rig, 0, "other", "x", same);
    CLAIMS_IS(reply, FB_SYNC_CONFLICT);
    assert_false(reply->has_value);

    fb_sync_request drop = claims_key(FB_SYNC_DROP, "k");
    drop.record = claims_record(FB_RECORD_KEY, "k", 5);
    drop.when = FB_WHEN_VERSION;
    drop.version = same.version;
    reply = claims_ask(rig, 0, drop);
    CLAIMS_IS(reply, FB_SYNC_CONFLICT);
    drop.version = reply->version;
    fb_sync_request expire = drop;
    expire.verb = FB_SYNC_EXPIRE;
    expire.ttl_ns = 60000 * CLAIMS_MS;
    expire.version = 12345;
    CLAIMS_IS(claims_ask(rig, 0, expire), FB_SYNC_CONFLICT);
    reply = claims_ask(rig, 0, drop);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_true(reply->found);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
}

static void claims_fill_negative(claims_rig *rig, const char *key) {
    fb_loaded loaded;
    fb_sync_request fill = claims_key(FB_SYNC_FILL, key);

    fb_loaded_init(&loaded);
    loaded.result = FB_NEGATIVE;
    fill.token = 1;
    fill.loaded = &loaded;
    fill.ttl_ns = 60000 * CLAIMS_MS;
    CLAIMS_IS(claims_get(rig, 0, key, 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_DONE);
}

static void test_port__known_absence_is_no_value(void **state) {
    claims_rig *rig = *state;
    fb_sync_request absent = {.when = FB_WHEN_ABSENT};
    fb_sync_request same = {.when = FB_WHEN_VERSION};
    fb_sync_request expire = claims_key(FB_SYNC_EXPIRE, "k");

    claims_open_all(rig);
    claims_fill_negative(rig, "k");
    expire.ttl_ns = 60000 * CLAIMS_MS;
    expire.record = claims_record(FB_RECORD_KEY, "k", 5);
    CLAIMS_IS(claims_ask(rig, 0, expire), FB_SYNC_NONE);
    CLAIMS_IS(claims_set_as(rig, 0, "k", "v", absent), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_peek(rig, 1, "k"), "v");
    claims_fill_negative(rig, "add");
    assert_int_equal(claims_add(rig, "add", 2)->number, 2);
    claims_fill_negative(rig, "drop");
    assert_false(claims_drop(rig, 0, "drop")->found);
    CLAIMS_IS(claims_peek(rig, 1, "drop"), FB_SYNC_NONE);
    claims_fill_negative(rig, "edit");
    same.version = claims_peek(rig, 1, "edit")->version;
    CLAIMS_IS(claims_set_as(rig, 0, "edit", "v", same), FB_SYNC_DONE);
}

static void test_port__a_version_of_another_epoch_is_none(void **state) {
    claims_rig *rig = *state;
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 0, "k", "old"), FB_SYNC_DONE);
    fb_sync_request same = {.when = FB_WHEN_VERSION};
    const fb_sync_reply *reply = claims_peek(rig, 0, "k");
    same.version = reply->version;
    same.mark = reply->mark;
    fb_sync_request open = {
        .verb = FB_SYNC_EPOCH, .log = log, .token = 2000, .mark.epoch = 1000 + log};
    CLAIMS_IS(claims_ask(rig, 0, open), FB_SYNC_DONE);
    reply = claims_set(rig, 1, "k", "new");
    assert_true(reply->mark.seq == same.version);  // as it happens
    reply = claims_set_as(rig, 0, "k", "from the old one", same);
    CLAIMS_IS(reply, FB_SYNC_CONFLICT);
    assert_str(fb_blob_str(reply->loaded.value), "new");
}

static void test_port__source_versions_never_go_back(void **state) {
    claims_rig *rig = *state;
    uint64_t large = UINT64_C(0x8000000000000000);

    claims_open_all(rig);
    CLAIMS_IS(claims_set_version(rig, "k", "five", large + 5), FB_SYNC_DONE);
    CLAIMS_IS(claims_set_version(rig, "k", "four", large + 4), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_set_version(rig, "k", "small", 0x7fffffff), FB_SYNC_REFUSED);
    CLAIMS_VALUE(claims_peek(rig, 0, "k"), "five");
    CLAIMS_IS(claims_set_version(rig, "k", "five again", large + 5), FB_SYNC_DONE);
    CLAIMS_IS(claims_refresh(rig, 0, "k", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_fill(rig, 0, "k", 1, "four", large + 4), FB_SYNC_REFUSED);
    CLAIMS_VALUE(claims_peek(rig, 0, "k"), "five again");
    CLAIMS_IS(claims_set(rig, 0, "k", "none at all"), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_peek(rig, 0, "k"), "none at all");
}

static void test_port__a_fence_refuses_what_is_older(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_drop_as(rig, 0, "k", 10, 0), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_get(rig, 1, "k", 1);
    CLAIMS_IS(reply, FB_SYNC_LEASE);
    assert_int_equal(reply->fence, 10);
    CLAIMS_IS(claims_fill(rig, 1, "k", 1, "nine", 9), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_get(rig, 1, "k", 2), FB_SYNC_LEASE);  // a refused fill gave its lease back
    CLAIMS_IS(claims_fill(rig, 1, "k", 2, "of unknown age", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_set_version(rig, "k", "nine", 9), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_drop_as(rig, 0, "k", 7, 0), FB_SYNC_DONE);  // it does not sink
    CLAIMS_IS(claims_drop(rig, 0, "k"), FB_SYNC_DONE);           // and stays
    reply = claims_peek(rig, 1, "k");
    CLAIMS_IS(reply, FB_SYNC_NONE);
    assert_int_equal(reply->fence, 10);
    CLAIMS_IS(claims_get(rig, 1, "k", 3), FB_SYNC_LEASE);
    CLAIMS_IS(claims_fill(rig, 1, "k", 3, "ten", 10), FB_SYNC_DONE);
    reply = claims_peek(rig, 1, "k");
    CLAIMS_VALUE(reply, "ten");
    assert_int_equal(reply->fence, 10);
    CLAIMS_IS(claims_set(rig, 0, "k", "the caller's word"), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_peek(rig, 1, "k"), "the caller's word");
}

static void test_port__a_hold_keeps_everything_out(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_get(rig, 1, "k", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_drop_as(rig, 0, "k", 0, 60000), FB_SYNC_DONE);
    CLAIMS_IS(claims_fill(rig, 1, "k", 1, "before", 0), FB_SYNC_REFUSED);
    const fb_sync_reply *reply = claims_get(rig, 1, "k", 2);
    CLAIMS_IS(reply, FB_SYNC_LEASE);
    assert_true(reply->held);
    reply = claims_get(rig, 0, "k", 3);  // nobody waits for a value that will not come
    CLAIMS_IS(reply, FB_SYNC_LEASE);
    assert_true(reply->held);
    CLAIMS_IS(claims_fill(rig, 1, "k", 2, "within", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_drop(rig, 0, "k"), FB_SYNC_DONE);
    reply = claims_get(rig, 1, "k", 4);
    CLAIMS_IS(reply, FB_SYNC_LEASE);
    assert_false(reply->held);
    CLAIMS_IS(claims_fill(rig, 1, "k", 2, "within", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_fill(rig, 1, "k", 4, "after", 0), FB_SYNC_DONE);
    CLAIMS_IS(claims_drop_as(rig, 0, "k", 0, 20), FB_SYNC_DONE);
    rig->pass(rig, 40);
    assert_false(claims_get(rig, 1, "k", 5)->held);
    CLAIMS_IS(claims_drop_as(rig, 0, "k", 0, 20), FB_SYNC_DONE);
    rig->pass(rig, 40);  // the lease of before does not outlive it
    CLAIMS_IS(claims_fill(rig, 1, "k", 5, "before", 0), FB_SYNC_REFUSED);
}

static void test_port__a_drop_says_what_it_found(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    const fb_sync_reply *reply = claims_drop(rig, 0, "k");
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_false(reply->found);
    assert_int_equal(reply->mark.seq, 1);
    CLAIMS_IS(claims_set(rig, 0, "k", "v"), FB_SYNC_DONE);
    assert_true(claims_drop(rig, 0, "k")->found);
    assert_false(claims_drop(rig, 0, "k")->found);
}

static void test_port__a_lifetime_is_changed(void **state) {
    claims_rig *rig = *state;
    fb_sync_request expire = claims_key(FB_SYNC_EXPIRE, "k");

    claims_open_all(rig);
    expire.ttl_ns = 60000 * CLAIMS_MS;
    expire.record = claims_record(FB_RECORD_KEY, "k", 5);
    CLAIMS_IS(claims_ask(rig, 0, expire), FB_SYNC_NONE);
    CLAIMS_IS(claims_set(rig, 0, "k", "v"), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_ask(rig, 0, expire);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.seq, 2);  // the one that found nothing has no record
    reply = claims_peek(rig, 0, "k");
    CLAIMS_VALUE(reply, "v");
    assert_true(reply->fresh_for_ns > 0 && reply->fresh_for_ns <= 60000 * CLAIMS_MS);
    expire.ttl_ns = -1;
    expire.when = FB_WHEN_VERSION;  // of two who decide by the same lifetime one comes too late
    expire.version = reply->version;
    CLAIMS_IS(claims_ask(rig, 0, expire), FB_SYNC_DONE);
    CLAIMS_IS(claims_ask(rig, 1, expire), FB_SYNC_CONFLICT);
    expire.when = FB_WHEN_ANY;
    assert_true(claims_peek(rig, 0, "k")->fresh_for_ns == INT64_MAX);
    expire.ttl_ns = 20 * CLAIMS_MS;
    CLAIMS_IS(claims_ask(rig, 0, expire), FB_SYNC_DONE);
    rig->pass(rig, 40);
    CLAIMS_IS(claims_peek(rig, 0, "k"), FB_SYNC_NONE);
}

static void test_port__numbers_are_added(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    const fb_sync_reply *reply = claims_add(rig, "n", 5);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->number, 5);
    assert_int_equal(reply->mark.seq, 1);
    assert_int_equal(claims_add(rig, "n", -7)->number, -2);
    reply = claims_peek(rig, 1, "n");
    CLAIMS_VALUE(reply, "-2");
    assert_int_equal(reply->loaded.kind, FB_KIND_JSON);
    assert_int_equal(reply->version, 2);
    // All 64 bits: no floating point is in between.
    CLAIMS_IS(claims_set(rig, 0, "n", "9223372036854775800"), FB_SYNC_DONE);
    assert_true(claims_add(rig, "n", 7)->number == INT64_MAX);
    CLAIMS_IS(claims_add(rig, "n", 1), FB_SYNC_OUT_OF_RANGE);
    CLAIMS_VALUE(claims_peek(rig, 1, "n"), "9223372036854775807");
    CLAIMS_IS(claims_set(rig, 0, "n", "-9223372036854775807"), FB_SYNC_DONE);
    assert_true(claims_add(rig, "n", -1)->number == INT64_MIN);
    CLAIMS_IS(claims_add(rig, "n", -1), FB_SYNC_OUT_OF_RANGE);
    CLAIMS_IS(claims_set(rig, 0, "n", "0"), FB_SYNC_DONE);
    assert_true(claims_add(rig, "n", INT64_MIN)->number == INT64_MIN);
}

static void test_port__only_numbers_are_added_to(void **state) {
    claims_rig *rig = *state;
    static const char *const NOT[] = {"",    "x",  "1.0", "1e3", " 1",
                                      "01",  "+1", "-",   "-0",  "9223372036854775808",
                                      "{\"n\":1}"};

    claims_open_all(rig);
    for (size_t i = 0; i < sizeof NOT / sizeof *NOT; i++) {
        CLAIMS_IS(claims_set(rig, 0, "n", NOT[i]), FB_SYNC_DONE);
        uint64_t seq = claims_peek(rig, 0, "n")->mark.seq;
        CLAIMS_IS(claims_add(rig, "n", 1), FB_SYNC_WRONG_TYPE);
        const fb_sync_reply *reply = claims_peek(rig, 0, "n");
        CLAIMS_VALUE(reply, NOT[i]);
        assert_true(reply->mark.seq == seq);  // nothing was done
    }
}

static void test_port__adding_keeps_lifetime_and_tags(void **state) {
    claims_rig *rig = *state;
    fb_loaded loaded = claims_value("41");
    fb_sync_request set = claims_key(FB_SYNC_SET, "n");

    claims_open_all(rig);
    assert_ok(fb_loaded_tag(&loaded, FB_STR("t")));
    loaded.source_version = 8;
    set.loaded = &loaded;
    set.ttl_ns = 60000 * CLAIMS_MS;
    set.class_name = FB_STR("counter");
    set.wide = (fb_mark){1, 2, 3};
    set.record = claims_record(FB_RECORD_KEY, "n", 5);
    CLAIMS_IS(claims_ask(rig, 0, set), FB_SYNC_DONE);
    fb_loaded_release(&loaded);
    CLAIMS_IS(claims_add(rig, "n", 1), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_peek(rig, 0, "n");
    CLAIMS_VALUE(reply, "42");
    assert_true(reply->fresh_for_ns > 0 && reply->fresh_for_ns <= 60000 * CLAIMS_MS);
    assert_int_equal(reply->loaded.tag_count, 1);
    assert_int_equal(reply->loaded.source_version, 8);
    assert_int_equal(reply->wide.seq, 2);
    fb_sync_request add = claims_key(FB_SYNC_ADD, "new");
    add.delta = 1;
    add.ttl_ns = 20 * CLAIMS_MS;
    add.record = claims_record(FB_RECORD_KEY, "new", 6);
    CLAIMS_IS(claims_ask(rig, 0, add), FB_SYNC_DONE);
    rig->pass(rig, 40);
    CLAIMS_IS(claims_peek(rig, 0, "new"), FB_SYNC_NONE);
    add.ttl_ns = 60000 * CLAIMS_MS;
    CLAIMS_IS(claims_ask(rig, 0, add), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_peek(rig, 0, "new"), "1");
}

// ---- records: told of, logged, acknowledged

static void test_port__every_change_is_told_in_order(void **state) {
    claims_rig *rig = *state;
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);
    claims_node *node = rig->node[0];

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 1, "k", "v"), FB_SYNC_DONE);
    CLAIMS_IS(claims_drop_as(rig, 1, "k", UINT64_MAX, 5000), FB_SYNC_DONE);
    CLAIMS_IS(claims_add(rig, "k", 1), FB_SYNC_DONE);
    claims_hear(rig, 3);
    for (size_t i = 0; i < 3; i++) {
        const claims_heard *heard = &node->heard[i];
        assert_int_equal(heard->log, log);
        assert_int_equal(heard->epoch, 1000 + log);
        assert_int_equal(heard->record.seq, i + 1);
        assert_true(heard->record.before == (i == 0 ? 0 : node->heard[i - 1].record.nonce));
        assert_int_equal(heard->record.kind, FB_RECORD_KEY);
        assert_int_equal(heard->record.node, 77);
        assert_str(heard->record.name, "k");
    }
    assert_true(node->heard[1].record.fence == UINT64_MAX);
    assert_int_equal(node->heard[1].record.hold_ms, 5000);
    const fb_sync_reply *reply = claims_peek(rig, 1, "k");
    assert_true(reply->mark.nonce == node->heard[2].record.nonce);
}

static void test_port__fills_are_silent(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_get(rig, 1, "k", 1), FB_SYNC_LEASE);
    const fb_sync_reply *reply = claims_fill(rig, 1, "k", 1, "v", 0);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.seq, 0);
    CLAIMS_IS(claims_drop(rig, 1, "other"), FB_SYNC_DONE);
    claims_hear(rig, 1);
    assert_str(rig->node[0]->heard[0].record.name, "other");
}

static void test_port__a_log_is_read_from_a_record_on(void **state) {
    claims_rig *rig = *state;
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);
    fb_sync_request read = {.verb = FB_SYNC_LOG, .log = log};

    claims_open_all(rig);
    const fb_sync_reply *reply = claims_ask(rig, 0, read);  // from the start of an empty one
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->record_count, 0);
    for (size_t i = 0; i < 4; i++) {
        CLAIMS_IS(claims_drop_as(rig, 1, "k", i, 0), FB_SYNC_DONE);
    }
    read.mark.seq = 3;
    reply = claims_ask(rig, 0, read);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->record_count, 2);
    assert_int_equal(reply->mark.seq, 4);
    assert_int_equal(reply->mark.epoch, 1000 + log);
    const claims_heard *records = rig->node[0]->records;
    assert_int_equal(records[0].record.seq, 3);
    assert_int_equal(records[1].record.seq, 4);
    assert_int_equal(records[1].record.fence, 3);
    assert_str(records[1].record.name, "k");
    assert_true(records[1].record.before == records[0].record.nonce);
    assert_true(reply->mark.nonce == records[1].record.nonce);
    read.mark.seq = 0;  // from the start
    reply = claims_ask(rig, 0, read);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->record_count, 4);
    assert_int_equal(rig->node[0]->records[0].record.before, 0);
    read.mark.seq = 5;  // never was
    reply = claims_ask(rig, 0, read);
    CLAIMS_IS(reply, FB_SYNC_GONE);
    assert_int_equal(reply->mark.seq, 4);
}

static void test_port__an_old_record_is_trimmed_away(void **state) {
    claims_rig *rig = *state;
    fb_record records[50];
    fb_sync_request bump = {.verb = FB_SYNC_BUMP, .records = records, .record_count = 50};
    fb_sync_request read = {.verb = FB_SYNC_LOG, .log = CLAIMS_PARTITIONS};

    claims_open_all(rig);
    for (size_t i = 0; i < 50; i++) {
        records[i] = claims_record(FB_RECORD_TAG, "t", i + 1);
    }
    for (size_t i = 0; i < 20; i++) {
        CLAIMS_IS(claims_ask(rig, 1, bump), FB_SYNC_DONE);
    }
    read.mark.seq = 1;
    const fb_sync_reply *reply = claims_ask(rig, 0, read);
    CLAIMS_IS(reply, FB_SYNC_GONE);
    assert_int_equal(reply->mark.seq, 1000);
    read.mark.seq = 0;
    CLAIMS_IS(claims_ask(rig, 0, read), FB_SYNC_GONE);
    read.mark.seq = 1000 - CLAIMS_LOG_MAX + 1;  // so many are kept at the least
    reply = claims_ask(rig, 0, read);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->record_count, CLAIMS_LOG_MAX);
}

static void test_port__wide_records_raise_their_stamps(void **state) {
    claims_rig *rig = *state;
    fb_record records[] = {
        claims_record(FB_RECORD_TAG, "user:7", 1), claims_record(FB_RECORD_CLASS, "package", 2),
        claims_record(FB_RECORD_PATTERN, "user:*", 3), claims_record(FB_RECORD_ALL, "", 4)};
    fb_sync_request bump = {.verb = FB_SYNC_BUMP, .records = records, .record_count = 4};

    claims_open_all(rig);
    records[1].soft = true;
    const fb_sync_reply *reply = claims_ask(rig, 1, bump);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.epoch, 1000 + CLAIMS_PARTITIONS);
    assert_int_equal(reply->mark.seq, 4);
    assert_int_equal(reply->mark.nonce, 4);
    bump.record_count = 1;
    assert_int_equal(claims_ask(rig, 1, bump)->mark.seq, 5);
    claims_hear(rig, 5);
    for (size_t i = 0; i < 4; i++) {
        const claims_heard *heard = &rig->node[0]->heard[i];
        assert_int_equal(heard->log, CLAIMS_PARTITIONS);
        assert_int_equal(heard->record.seq, i + 1);
        assert_int_equal(heard->record.before, i);
        assert_int_equal(heard->record.kind, records[i].kind);
        assert_int_equal(heard->record.soft, i == 1);
        assert_bytes(heard->record.name, records[i].name);
    }
    assert_int_equal(rig->node[0]->heard[4].record.before, 4);
    reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_STAMPS});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.seq, 5);
    assert_int_equal(reply->stamp_count, 3);  // a pattern has none
    for (size_t i = 0; i < 3; i++) {
        const fb_sync_stamp *stamp = &rig->node[0]->stamps[i];
        if (stamp->slot == fb_sync_slot(FB_RECORD_TAG, FB_STR("user:7"))) {
            assert_int_equal(stamp->hard, 5);
            assert_int_equal(stamp->soft, 0);
        } else if (stamp->slot == fb_sync_slot(FB_RECORD_CLASS, FB_STR("package"))) {
            assert_int_equal(stamp->hard, 0);
            assert_int_equal(stamp->soft, 2);
        } else {
            assert_int_equal(stamp->slot, 0);
            assert_int_equal(stamp->hard, 4);
        }
    }
    fb_sync_request open = {.verb = FB_SYNC_EPOCH,
                            .log = CLAIMS_PARTITIONS,
                            .token = 2000,
                            .mark.epoch = 1000 + CLAIMS_PARTITIONS};
    CLAIMS_IS(claims_ask(rig, 0, open), FB_SYNC_DONE);
    reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_STAMPS});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->stamp_count, 0);
    assert_int_equal(reply->mark.epoch, 2000);
}

static void test_port__the_state_names_every_log(void **state) {
    claims_rig *rig = *state;
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);
    fb_sync_request ask = {.verb = FB_SYNC_STATE, .node = UINT64_MAX - 3, .alive_ms = 60000};

    claims_open_all(rig);
    CLAIMS_IS(claims_drop(rig, 0, "k"), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_ask(rig, 0, ask);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark_count, CLAIMS_PARTITIONS + 1);
    for (uint32_t i = 0; i <= CLAIMS_PARTITIONS; i++) {
        const fb_mark *mark = &rig->node[0]->marks[i];
        assert_int_equal(mark->epoch, 1000 + i);
        assert_int_equal(mark->seq, i == log ? 1 : 0);
        assert_true((mark->nonce != 0) == (i == log));
    }
}

static void test_port__nodes_live_while_they_say_so(void **state) {
    claims_rig *rig = *state;
    fb_sync_request ask = {.verb = FB_SYNC_STATE, .node = UINT64_MAX - 3, .alive_ms = 60000};
    fb_sync_request brief = {.verb = FB_SYNC_STATE, .node = 5, .alive_ms = 500};

    claims_open_all(rig);
    CLAIMS_IS(claims_ask(rig, 0, ask), FB_SYNC_DONE);
    CLAIMS_IS(claims_ask(rig, 1, brief), FB_SYNC_DONE);
    const fb_sync_reply *reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_NODES});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->node_count, 2);
    assert_true(rig->node[0]->nodes[0] == 5 || rig->node[0]->nodes[1] == 5);
    rig->pass(rig, 600);
    reply = claims_ask(rig, 0, (fb_sync_request){.verb = FB_SYNC_NODES});
    assert_int_equal(reply->node_count, 1);
    assert_true(rig->node[0]->nodes[0] == UINT64_MAX - 3);
}

static void test_port__acknowledgements_are_told(void **state) {
    claims_rig *rig = *state;
    fb_sync_request ack = {.verb = FB_SYNC_ACK, .token = UINT64_MAX - 1, .node = UINT64_MAX - 2};

    claims_open_all(rig);
    CLAIMS_IS(claims_ask(rig, 1, ack), FB_SYNC_DONE);
    while (rig->node[0]->ack_count == 0) {
        assert_true(rig->step(rig));
    }
    assert_true(rig->node[0]->ack_nonce == UINT64_MAX - 1);
    assert_true(rig->node[0]->ack_node == UINT64_MAX - 2);
}

// ---- SWEEP

static void test_port__a_sweep_takes_what_matches(void **state) {
    claims_rig *rig = *state;
    char key[64];

    claims_open_all(rig);
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "%s:%d", i % 3 == 0 ? "user" : "org", i);
        CLAIMS_IS(claims_set(rig, 0, key, "v"), FB_SYNC_DONE);
    }
    CLAIMS_IS(claims_get(rig, 0, "user:lease", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_get(rig, 0, "org:lease", 2), FB_SYNC_LEASE);
    assert_int_equal(claims_sweep(rig, "user:*"), 100);
    CLAIMS_IS(claims_peek(rig, 0, "user:0"), FB_SYNC_NONE);
    CLAIMS_VALUE(claims_peek(rig, 0, "org:1"), "v");
    CLAIMS_IS(claims_fill(rig, 0, "user:lease", 1, "old", 0), FB_SYNC_REFUSED);
    CLAIMS_IS(claims_fill(rig, 0, "org:lease", 2, "fine", 0), FB_SYNC_DONE);
    assert_int_equal(claims_sweep(rig, "*:[1]"), 1);
    assert_int_equal(claims_sweep(rig, "nothing"), 0);
    assert_int_equal(claims_sweep(rig, "*"), 200);
}

static void test_port__a_sweep_matches_the_key_alone(void **state) {
    claims_rig *rig = *state;

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 0, "a:v:x", "v"), FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "x", "v"), FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "a}:v:x", "v"), FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "[x]", "v"), FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "\\", "v"), FB_SYNC_DONE);
    assert_int_equal(claims_sweep(rig, "x"), 1);
    CLAIMS_VALUE(claims_peek(rig, 0, "a:v:x"), "v");
    CLAIMS_VALUE(claims_peek(rig, 0, "a}:v:x"), "v");
    assert_int_equal(claims_sweep(rig, "\\[x\\]"), 1);
    assert_int_equal(claims_sweep(rig, "\\\\"), 1);
    assert_int_equal(claims_sweep(rig, "?:v:[a-z]"), 1);
    CLAIMS_VALUE(claims_peek(rig, 0, "a}:v:x"), "v");
}

// ---- a long mixed life

// Every value that is found is the newest word on its key: two nodes, a few keys, all verbs, against
// an array of what is there.
// ---- COMMIT, of keys that have one hash tag, as a Cluster needs it

static fb_sync_item claims_item(claims_rig *rig, const char *key, fb_sync_act act) {
    fb_str name = fb_str_of(key);
    return (fb_sync_item){.key = name,
                          .log = fb_partition_of(name, CLAIMS_PARTITIONS),
                          .act = act,
                          .ttl_ns = -1,
                          .record = claims_record(FB_RECORD_KEY, key, claims_nonce(rig))};
}

static fb_sync_item claims_if_version(fb_sync_item item, const fb_sync_reply *seen) {
    item.when = FB_WHEN_VERSION;
    item.version = seen->version;
    item.epoch = seen->mark.epoch;
    return item;
}

static const fb_sync_reply *claims_commit(claims_rig *rig, const fb_sync_item *items, size_t count) {
    return claims_ask(rig, 1, (fb_sync_request){.verb = FB_SYNC_COMMIT,
                                                .items = items,
                                                .item_count = count,
                                                .wide = {1000 + CLAIMS_PARTITIONS, 3, 4}});
}

static void test_port__a_commit_changes_all(void **state) {
    claims_rig *rig = *state;
    fb_loaded one = claims_value("one"), two = claims_value("two");

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 0, "{t}a", "old"), FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "{t}gone", "old"), FB_SYNC_DONE);
    CLAIMS_IS(claims_set(rig, 0, "{t}ends", "old"), FB_SYNC_DONE);
    CLAIMS_IS(claims_get(rig, 0, "{t}new", 7), FB_SYNC_LEASE);
    claims_hear(rig, 3);
    fb_sync_item items[] = {
        claims_if_version(claims_item(rig, "{t}a", FB_ACT_SET), claims_peek(rig, 1, "{t}a")),
        claims_item(rig, "{t}new", FB_ACT_SET),
        claims_item(rig, "{t}gone", FB_ACT_DROP),
        claims_item(rig, "{t}ends", FB_ACT_EXPIRE),
        claims_item(rig, "{t}never", FB_ACT_EXPIRE),
        claims_if_version(claims_item(rig, "{t}ends", FB_ACT_NONE), claims_peek(rig, 1, "{t}ends")),
    };
    items[0].loaded = &one;
    items[1].loaded = &two;
    items[1].when = FB_WHEN_ABSENT;
    items[1].ttl_ns = 60000 * CLAIMS_MS;
    items[3].ttl_ns = 50000 * CLAIMS_MS;
    items[4].ttl_ns = 50000 * CLAIMS_MS;
    const fb_sync_reply *reply = claims_commit(rig, items, 6);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark_count, 6);
    fb_mark first = rig->node[1]->marks[0];
    assert_int_equal(first.epoch, 1000 + items[0].log);
    assert_int_equal(first.nonce, items[0].record.nonce);

    reply = claims_peek(rig, 0, "{t}a");
    CLAIMS_VALUE(reply, "one");
    assert_int_equal(reply->version, first.seq);
    assert_int_equal(reply->wide.seq, 3);
    assert_true(reply->fresh_for_ns == INT64_MAX);
    reply = claims_peek(rig, 0, "{t}new");
    CLAIMS_VALUE(reply, "two");
    assert_true(reply->fresh_for_ns > 0 && reply->fresh_for_ns <= 60000 * CLAIMS_MS);
    CLAIMS_IS(claims_fill(rig, 0, "{t}new", 7, "late", 0), FB_SYNC_REFUSED);  // the lease went
    CLAIMS_IS(claims_peek(rig, 0, "{t}gone"), FB_SYNC_NONE);
    CLAIMS_IS(claims_peek(rig, 0, "{t}never"), FB_SYNC_NONE);
    reply = claims_peek(rig, 0, "{t}ends");
    CLAIMS_VALUE(reply, "old");
    assert_true(reply->fresh_for_ns > 0 && reply->fresh_for_ns <= 50000 * CLAIMS_MS);
    assert_true(reply->version != items[5].version);

    // What was not there was not changed, and so the record behind these is of something later.
    CLAIMS_IS(claims_drop(rig, 0, "{t}later"), FB_SYNC_DONE);
    claims_hear(rig, 8);
    static const char *const told[] = {"{t}a", "{t}new", "{t}gone", "{t}ends", "{t}later"};
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        const claims_heard *heard = &rig->node[0]->heard[3 + i];
        assert_str(heard->record.name, told[i]);
        assert_int_equal(heard->log, fb_partition_of(fb_str_of(told[i]), CLAIMS_PARTITIONS));
    }
    fb_loaded_release(&one);
    fb_loaded_release(&two);
}

// Each kind of condition, as the last of several items: nothing of the others is done.
static void test_port__a_commit_changes_nothing_where_a_condition_does_not_hold(void **state) {
    claims_rig *rig = *state;
    fb_loaded new = claims_value("new");

    claims_open_all(rig);
    CLAIMS_IS(claims_set(rig, 0, "{t}a", "first"), FB_SYNC_DONE);
    fb_sync_item seen = claims_if_version(claims_item(rig, "{t}a", FB_ACT_NONE),
                                          claims_peek(rig, 0, "{t}a"));
    fb_sync_item other_epoch = seen;
    other_epoch.epoch++;
    CLAIMS_IS(claims_set(rig, 0, "{t}a", "second"), FB_SYNC_DONE);
    fb_sync_item other_epoch_now = claims_if_version(claims_item(rig, "{t}a", FB_ACT_NONE),
                                                     claims_peek(rig, 0, "{t}a"));
    other_epoch_now.epoch++;
    fb_sync_item absent = claims_item(rig, "{t}a", FB_ACT_SET);
    absent.when = FB_WHEN_ABSENT;
    absent.loaded = &new;
    fb_sync_item of_none = claims_if_version(claims_item(rig, "{t}none", FB_ACT_NONE),
                                             claims_peek(rig, 0, "{t}a"));
    const fb_sync_item failing[] = {seen, other_epoch, other_epoch_now, absent, of_none};
    claims_hear(rig, 2);
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        fb_sync_item items[] = {claims_item(rig, "{t}b", FB_ACT_SET), claims_item(rig, "{t}a", FB_ACT_DROP),
                                failing[i]};
        items[0].loaded = &new;
        CLAIMS_IS(claims_commit(rig, items, 3), FB_SYNC_CONFLICT);
        CLAIMS_IS(claims_peek(rig, 0, "{t}b"), FB_SYNC_NONE);
        CLAIMS_VALUE(claims_peek(rig, 0, "{t}a"), "second");
    }
    CLAIMS_IS(claims_set(rig, 0, "{t}last", "heard"), FB_SYNC_DONE);
    claims_hear(rig, 3);
    assert_str(rig->node[0]->heard[2].record.name, "{t}last");
    fb_loaded_release(&new);
}

static void test_port__a_commit_knows_that_a_key_is_known_not_to_exist(void **state) {
    claims_rig *rig = *state;
    fb_loaded none;
    fb_sync_request fill = claims_key(FB_SYNC_FILL, "{t}k");

    claims_open_all(rig);
    fb_loaded_init(&none);
    none.result = FB_NEGATIVE;
    fill.token = 1;
    fill.loaded = &none;
    fill.ttl_ns = 50000 * CLAIMS_MS;
    CLAIMS_IS(claims_get(rig, 0, "{t}k", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_ask(rig, 0, fill), FB_SYNC_DONE);
    fb_loaded value = claims_value("v");
    fb_sync_item items[] = {claims_item(rig, "{t}k", FB_ACT_SET)};
    items[0].when = FB_WHEN_ABSENT;
    items[0].loaded = &value;
    CLAIMS_IS(claims_commit(rig, items, 1), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_peek(rig, 0, "{t}k"), "v");
    fb_loaded_release(&value);
}

static inline void test_port__a_commit_needs_the_epoch_of_every_log(void **state) {
    claims_rig *rig = *state;
    fb_loaded new = claims_value("new");
    const char *keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    fb_sync_item items[8];

    for (size_t i = 0; i < 8; i++) {
        items[i] = claims_item(rig, keys[i], FB_ACT_SET);
        items[i].loaded = &new;
    }
    uint32_t closed = items[7].log;
    for (uint32_t log = 0; log <= CLAIMS_PARTITIONS; log++) {
        if (log != closed) {
            claims_open(rig, log, 1000 + log);
        }
    }
    CLAIMS_IS(claims_commit(rig, items, 8), FB_SYNC_NO_EPOCH);
    claims_open(rig, closed, 1000 + closed);
    for (size_t i = 0; i < 8; i++) {
        CLAIMS_IS(claims_peek(rig, 0, keys[i]), FB_SYNC_NONE);
    }
    CLAIMS_IS(claims_commit(rig, items, 8), FB_SYNC_DONE);
    for (size_t i = 0; i < 8; i++) {
        CLAIMS_VALUE(claims_peek(rig, 0, keys[i]), "new");
    }
    fb_loaded_release(&new);
}

static void test_port__a_random_life_is_as_told(void **state) {
    claims_rig *rig = *state;
    enum { KEYS = 6, STEPS = 600 };
    int64_t there[KEYS];        // the number under the key; -1: none
    uint64_t lease[KEYS];       // the token of who may fill; 0: nobody
    fb_rng rng = test_rng();
    char key[8], text[32];

    claims_open_all(rig);
    for (size_t i = 0; i < KEYS; i++) {
        there[i] = -1;
        lease[i] = 0;
    }
    for (int step = 0; step < STEPS; step++) {
        size_t i = fb_rng_below(&rng, KEYS), who = fb_rng_below(&rng, 2);
        int64_t number = (int64_t)fb_rng_below(&rng, 1000);
        uint64_t token = fb_rng_next(&rng) | 1;
        snprintf(key, sizeof key, "k%zu", i);
        snprintf(text, sizeof text, "%lld", (long long)number);
        switch (fb_rng_below(&rng, 6)) {
        case 0:
            CLAIMS_IS(claims_set(rig, who, key, text), FB_SYNC_DONE);
            there[i] = number;
            lease[i] = 0;
            break;
        case 1:
            assert_int_equal(claims_drop(rig, who, key)->found, there[i] >= 0);
            there[i] = -1;
            lease[i] = 0;
            break;
        case 2: {
            int64_t sum = (there[i] < 0 ? 0 : there[i]) + number;
            assert_int_equal(claims_add(rig, key, number)->number, sum);
            there[i] = sum;
            lease[i] = 0;
            break;
        }
        case 3: {
            fb_sync_result expected = there[i] >= 0   ? FB_SYNC_VALUE
                                      : lease[i] == 0 ? FB_SYNC_LEASE
                                                      : FB_SYNC_HELD;
            const fb_sync_reply *reply = claims_get(rig, who, key, token);
            CLAIMS_IS(reply, expected);
            lease[i] = expected == FB_SYNC_LEASE ? token : lease[i];
            break;
        }
        case 4: {
            bool may = lease[i] != 0 && fb_rng_below(&rng, 2) == 0;
            CLAIMS_IS(claims_fill(rig, who, key, may ? lease[i] : token, text, 0),
                      may ? FB_SYNC_DONE : FB_SYNC_REFUSED);
            if (may) {
                there[i] = number;
                lease[i] = 0;
            }
            break;
        }
        default:
            CLAIMS_IS(claims_refresh(rig, who, key, token),
                      lease[i] == 0 ? FB_SYNC_LEASE : FB_SYNC_HELD);
            lease[i] = lease[i] == 0 ? token : lease[i];
        }
        const fb_sync_reply *reply = claims_peek(rig, 1 - who, key);
        if (there[i] < 0) {
            CLAIMS_IS(reply, FB_SYNC_NONE);
        } else {
            snprintf(text, sizeof text, "%lld", (long long)there[i]);
            CLAIMS_VALUE(reply, text);
        }
    }
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(test_port__##name, claims_setup, claims_teardown)

#define PORT_CLAIMS                                                                              \
    CLAIM(without_an_epoch_nothing_is_done), CLAIM(an_epoch_is_opened_once),                     \
        CLAIM(another_epoch_voids_values_leases_and_the_log),                                    \
        CLAIM(an_emptied_server_has_no_epoch), CLAIM(one_of_two_gets_the_lease),                 \
        CLAIM(a_value_comes_back_as_it_was), CLAIM(bytes_and_known_absence_are_kept),            \
        CLAIM(a_lease_ends), CLAIM(a_lease_is_given_back), CLAIM(a_change_overtakes_a_load),     \
        CLAIM(a_refresh_stands_beside_the_value), CLAIM(a_peek_leaves_no_trace),                 \
        CLAIM(values_end), CLAIM(any_byte_may_be_in_a_key),                                      \
        CLAIM(a_set_has_the_version_of_its_record),                                              \
        CLAIM(conditions_hold_or_tell_what_is_there), CLAIM(a_version_of_another_epoch_is_none), \
        CLAIM(known_absence_is_no_value), CLAIM(source_versions_never_go_back),                  \
        CLAIM(a_fence_refuses_what_is_older),                                                    \
        CLAIM(a_hold_keeps_everything_out), CLAIM(a_drop_says_what_it_found),                    \
        CLAIM(a_lifetime_is_changed), CLAIM(numbers_are_added), CLAIM(only_numbers_are_added_to), \
        CLAIM(adding_keeps_lifetime_and_tags), CLAIM(every_change_is_told_in_order),             \
        CLAIM(fills_are_silent), CLAIM(a_log_is_read_from_a_record_on),                          \
        CLAIM(an_old_record_is_trimmed_away), CLAIM(wide_records_raise_their_stamps),            \
        CLAIM(the_state_names_every_log), CLAIM(nodes_live_while_they_say_so),                   \
        CLAIM(acknowledgements_are_told), CLAIM(a_sweep_takes_what_matches),                     \
        CLAIM(a_sweep_matches_the_key_alone), CLAIM(a_commit_changes_all),                       \
        CLAIM(a_commit_changes_nothing_where_a_condition_does_not_hold),                         \
        CLAIM(a_commit_knows_that_a_key_is_known_not_to_exist), CLAIM(a_random_life_is_as_told)

// What a Cluster cannot do.
#define PORT_CLAIMS_OF_ONE_SERVER CLAIM(a_commit_needs_the_epoch_of_every_log)

#endif
