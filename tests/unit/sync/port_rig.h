// port_rig.h -- two nodes at one shared tier, whatever that is, and how a test asks them: what the claims
// about a port (port_claims.h) are written in.
//
// The program that includes it first defines `claims_rig_new` and `claims_rig_free`, which the claims'
// setup calls. A rig makes its ports with the events of claims_events(). Time is whatever the rig says
// it is.

#ifndef FB_TESTS_PORT_RIG_H
#define FB_TESTS_PORT_RIG_H

#include <forebay/cache.h>

#include "base/mem.h"
#include "cache/loaded.h"
#include "support.h"
#include "sync/port.h"

enum {
    CLAIMS_PARTITIONS = 4,
    CLAIMS_LOG_MAX = 100,  // what the rig sets: a log may keep somewhat more
    CLAIMS_HEARD_MAX = 4096,
    CLAIMS_NAME_MAX = 64
};

typedef struct claims_heard {  // a record, as on_record told of it or LOG's answer has it
    uint32_t log;
    uint64_t epoch;
    fb_record record;  // its name is in `name`
    char name[CLAIMS_NAME_MAX];
} claims_heard;

// What one node hears.
typedef struct claims_node {
    bool replied;         // since the last question
    fb_sync_reply reply;  // what it points to is copied below
    fb_mark marks[FB_LOGS_MAX];
    claims_heard records[CLAIMS_HEARD_MAX];  // of LOG
    fb_sync_stamp stamps[64];
    uint64_t nodes[64];
    char text[512];
    bool up;
    claims_heard heard[CLAIMS_HEARD_MAX];
    size_t heard_count;
    uint64_t ack_nonce, ack_node;
    size_t ack_count;
    uint64_t next_id;
    void *rig;  // for the rig's own use
} claims_node;

typedef struct claims_rig {
    fb_sync_port *port[2];
    claims_node *node[2];  // made by claims_nodes_new()
    // Lets something happen: a reply arrives, a record. False: nothing more will (for now).
    bool (*step)(struct claims_rig *rig);
    void (*pass)(struct claims_rig *rig, int64_t ms);  // time, for everybody
    void (*flush)(struct claims_rig *rig);             // the shared tier loses all that it has
    void *arg;
} claims_rig;

static claims_rig *claims_rig_new(void);
static void claims_rig_free(claims_rig *rig);

// ---- what a node hears

static inline void claims_copy_record(claims_heard *heard, const fb_record *record) {
    assert_true(record->name.len < CLAIMS_NAME_MAX);
    heard->record = *record;
    if (record->name.len > 0) {
        memcpy(heard->name, record->name.ptr, record->name.len);
    }
    heard->record.name = fb_str_make(heard->name, record->name.len);
}

static inline void claims_on_reply(void *arg, fb_sync_reply *reply) {
    claims_node *node = arg;

    assert_false(node->replied);
    node->replied = true;
    fb_loaded_release(&node->reply.loaded);
    node->reply = *reply;
    if (reply->has_value) {
        fb_loaded_init(&reply->loaded);
    } else {
        fb_loaded_init(&node->reply.loaded);
    }
    assert_true(reply->mark_count <= FB_LOGS_MAX && reply->record_count <= CLAIMS_HEARD_MAX);
    assert_true(reply->stamp_count <= 64 && reply->node_count <= 64);
    for (size_t i = 0; i < reply->mark_count; i++) {
        node->marks[i] = reply->marks[i];
    }
    for (size_t i = 0; i < reply->record_count; i++) {
        claims_copy_record(&node->records[i], &reply->records[i]);
    }
    for (size_t i = 0; i < reply->stamp_count; i++) {
        node->stamps[i] = reply->stamps[i];
    }
    for (size_t i = 0; i < reply->node_count; i++) {
        node->nodes[i] = reply->nodes[i];
    }
    snprintf(node->text, sizeof node->text, "%s", reply->text != NULL ? reply->text : "");
}

static inline void claims_on_link(void *arg, bool up, const char *why) {
    claims_node *node = arg;
    (void)why;
    node->up = up;
}

static inline void claims_on_record(void *arg, uint32_t log, uint64_t epoch,
                                    const fb_record *record) {
    claims_node *node = arg;

    assert_true(node->heard_count < CLAIMS_HEARD_MAX);
    claims_heard *heard = &node->heard[node->heard_count++];
    heard->log = log;
    heard->epoch = epoch;
    claims_copy_record(heard, record);
}

static inline void claims_on_ack(void *arg, uint64_t nonce, uint64_t by) {
    claims_node *node = arg;

    node->ack_count++;
    node->ack_nonce = nonce;
    node->ack_node = by;
}

static inline void claims_on_bypass(void *arg, fb_str key) {
    (void)arg;
    (void)key;
}

static inline fb_sync_events claims_events(claims_node *node) {
    fb_sync_events events = {claims_on_reply, claims_on_link,   claims_on_record,
                             claims_on_ack,   claims_on_bypass, node};
    return events;
}

// For claims_rig_new() and claims_rig_free().
static inline void claims_nodes_new(claims_rig *rig) {
    for (size_t i = 0; i < 2; i++) {
        rig->node[i] = calloc(1, sizeof *rig->node[i]);
        assert_non_null(rig->node[i]);
        fb_loaded_init(&rig->node[i]->reply.loaded);
        rig->node[i]->next_id = i * 1000000;
    }
}

static inline void claims_nodes_free(claims_rig *rig) {
    for (size_t i = 0; i < 2; i++) {
        fb_loaded_release(&rig->node[i]->reply.loaded);
        free(rig->node[i]);
    }
}

// ---- questions

#define CLAIMS_MS INT64_C(1000000)

// Sends it and waits for the reply.
static inline const fb_sync_reply *claims_ask(claims_rig *rig, size_t who,
                                              fb_sync_request request) {
    claims_node *node = rig->node[who];

    request.id = ++node->next_id;
    if (request.timeout_ns == 0) {
        request.timeout_ns = 10000 * CLAIMS_MS;
    }
    node->replied = false;
    rig->port[who]->send(rig->port[who], &request);
    assert_false(node->replied);  // never from within send()
    while (!node->replied) {
        assert_true(rig->step(rig));
    }
    assert_int_equal(node->reply.id, request.id);
    return &node->reply;
}

static inline const char *claims_result_name(fb_sync_result result) {
    static const char *const NAMES[] = {"VALUE",    "NONE",       "LEASE",        "HELD", "DONE",
                                        "REFUSED",  "CONFLICT",   "WRONG_TYPE",   "OUT_OF_RANGE",
                                        "GONE",     "NO_EPOCH",   "FAILED",       "UNKNOWN"};
    return NAMES[result];
}

static inline void claims_result_is(const fb_sync_reply *reply, fb_sync_result expected, int line) {
    if (reply->result != expected) {
        print_error("%s (%s), not %s\n", claims_result_name(reply->result),
                    reply->text != NULL ? reply->text : "", claims_result_name(expected));
        _fail(__FILE__, line);
    }
}
#define CLAIMS_IS(reply, expected) claims_result_is((reply), (expected), __LINE__)

static inline fb_sync_request claims_key(fb_sync_verb verb, const char *key) {
    fb_str str = fb_str_of(key);
    return (fb_sync_request){
        .verb = verb, .key = str, .log = fb_partition_of(str, CLAIMS_PARTITIONS)};
}

static inline fb_record claims_record(fb_record_kind kind, const char *name, uint64_t nonce) {
    return (fb_record){.kind = kind, .name = fb_str_of(name), .nonce = nonce, .node = 77};
}

static inline void claims_open(claims_rig *rig, uint32_t log, uint64_t epoch) {
    const fb_sync_reply *reply = claims_ask(
        rig, 0, (fb_sync_request){.verb = FB_SYNC_EPOCH, .log = log, .token = epoch});
    CLAIMS_IS(reply, FB_SYNC_DONE);
    assert_int_equal(reply->mark.epoch, epoch);
}

// Every log has an epoch: 1000 + its number.
static inline void claims_open_all(claims_rig *rig) {
    for (uint32_t log = 0; log <= CLAIMS_PARTITIONS; log++) {
        claims_open(rig, log, 1000 + log);
    }
}

static inline uint64_t claims_nonce(claims_rig *rig) {
    return 0x9e3779b97f4a7c15u * (1 + ++rig->node[0]->next_id);
}

static inline fb_loaded claims_value(const char *text) {
    fb_loaded loaded;

    fb_loaded_init(&loaded);
    loaded.result = FB_OK;
    assert_ok(fb_loaded_value(&loaded, fb_str_of(text)));
    return loaded;
}

static inline const fb_sync_reply *claims_get(claims_rig *rig, size_t who, const char *key,
                                              uint64_t token) {
    fb_sync_request request = claims_key(FB_SYNC_GET, key);
    request.token = token;
    request.lease_ns = 30000 * CLAIMS_MS;
    return claims_ask(rig, who, request);
}

static inline const fb_sync_reply *claims_refresh(claims_rig *rig, size_t who, const char *key,
                                                  uint64_t token) {
    fb_sync_request request = claims_key(FB_SYNC_GET, key);
    request.token = token;
    request.lease_ns = 30000 * CLAIMS_MS;
    request.refresh = true;
    return claims_ask(rig, who, request);
}

static inline const fb_sync_reply *claims_peek(claims_rig *rig, size_t who, const char *key) {
    return claims_ask(rig, who, claims_key(FB_SYNC_PEEK, key));
}

static inline const fb_sync_reply *claims_fill(claims_rig *rig, size_t who, const char *key,
                                               uint64_t token, const char *text,
                                               uint64_t source_version) {
    fb_loaded loaded = claims_value(text);
    fb_sync_request request = claims_key(FB_SYNC_FILL, key);
    loaded.source_version = source_version;
    request.token = token;
    request.loaded = &loaded;
    request.ttl_ns = 60000 * CLAIMS_MS;
    request.wide = (fb_mark){1000 + CLAIMS_PARTITIONS, 3, 4};
    const fb_sync_reply *reply = claims_ask(rig, who, request);
    fb_loaded_release(&loaded);
    return reply;
}

// SET with all that it may have; `change` is filled in with key, value and record.
static inline const fb_sync_reply *claims_set_as(claims_rig *rig, size_t who, const char *key,
                                                 const char *text, fb_sync_request change) {
    fb_loaded loaded = claims_value(text);
    loaded.source_version = change.record.seq;  // borrowed: claims_set_version()
    change.record = claims_record(FB_RECORD_KEY, key, claims_nonce(rig));
    change.verb = FB_SYNC_SET;
    change.key = fb_str_of(key);
    change.log = fb_partition_of(change.key, CLAIMS_PARTITIONS);
    change.loaded = &loaded;
    if (change.ttl_ns == 0) {
        change.ttl_ns = -1;
    }
    const fb_sync_reply *reply = claims_ask(rig, who, change);
    fb_loaded_release(&loaded);
    return reply;
}

static inline const fb_sync_reply *claims_set(claims_rig *rig, size_t who, const char *key,
                                              const char *text) {
    return claims_set_as(rig, who, key, text, (fb_sync_request){.ttl_ns = -1});
}

static inline const fb_sync_reply *claims_set_version(claims_rig *rig, const char *key,
                                                      const char *text, uint64_t source_version) {
    return claims_set_as(rig, 0, key, text, (fb_sync_request){.record.seq = source_version});
}

static inline const fb_sync_reply *claims_drop_as(claims_rig *rig, size_t who, const char *key,
                                                  uint64_t fence, int64_t hold_ms) {
    fb_sync_request request = claims_key(FB_SYNC_DROP, key);
    request.record = claims_record(FB_RECORD_KEY, key, claims_nonce(rig));
    request.record.fence = fence;
    request.record.hold_ms = hold_ms;
    return claims_ask(rig, who, request);
}

static inline const fb_sync_reply *claims_drop(claims_rig *rig, size_t who, const char *key) {
    return claims_drop_as(rig, who, key, 0, 0);
}

static inline const fb_sync_reply *claims_add(claims_rig *rig, const char *key, int64_t delta) {
    fb_sync_request request = claims_key(FB_SYNC_ADD, key);
    request.delta = delta;
    request.ttl_ns = -1;
    request.record = claims_record(FB_RECORD_KEY, key, claims_nonce(rig));
    return claims_ask(rig, 0, request);
}

static inline void claims_value_is(const fb_sync_reply *reply, const char *text, int line) {
    claims_result_is(reply, FB_SYNC_VALUE, line);
    assert_true(reply->has_value);
    assert_int_equal(reply->loaded.result, FB_OK);
    assert_str(fb_blob_str(reply->loaded.value), text);
    assert_true(reply->version != 0);
}
#define CLAIMS_VALUE(reply, text) claims_value_is((reply), (text), __LINE__)

// Waits until the node that follows has heard so many records.
static inline void claims_hear(claims_rig *rig, size_t count) {
    while (rig->node[0]->heard_count < count) {
        assert_true(rig->step(rig));
    }
}

static inline int claims_setup(void **state) {
    claims_rig *rig = claims_rig_new();
    *state = rig;
    return rig == NULL;
}

static inline int claims_teardown(void **state) {
    claims_rig_free(*state);
    return 0;
}

static inline int64_t claims_sweep(claims_rig *rig, const char *glob) {
    fb_sync_request sweep = {.verb = FB_SYNC_SWEEP, .key = fb_str_of(glob)};
    const fb_sync_reply *reply = claims_ask(rig, 0, sweep);
    CLAIMS_IS(reply, FB_SYNC_DONE);
    return reply->number;
}

#endif
