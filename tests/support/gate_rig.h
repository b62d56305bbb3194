// gate_rig.h -- a gate over the classes of cache_rig.h, its port scripted by hand, what it does as
// text, for tests.
//
// What it sends reads "get:page:7", "lease:page:7" (a GET that wants no value), "peek:k", "fill:k",
// "release:k", "set:k", "drop:k", "expire:k", "add:k", "bump:T name" (and K C N P A), "sweep:a*",
// "nodes", "epoch:2", "commit:if a,set b,drop c,expire d"; what it tells flights "70=VALUE"; callers "1=one", "1=FB_OK"; the follower
// "suspect:2". Several stand with a space between them.
//
// At first all logs are in the epoch 9, with nothing in them.

#ifndef FB_TESTS_GATE_RIG_H
#define FB_TESTS_GATE_RIG_H

#include "cache_rig.h"
#include "sync/gate.h"

enum { GATE_PARTITIONS = 4, GATE_NODE = 111, GATE_EPOCH = 9 };

typedef struct gate_rig {
    fb_cache *cache;
    fb_sync *sync;
    fb_gate *gate;
    int64_t now_ns;
    uint64_t ids[512];  // of what was sent, in its order
    fb_sync_request last;
    char last_value[256];  // of the last SET or FILL
    size_t last_tags;
    char last_tag[FB_TAG_LEN_MAX + 1];
    uint64_t last_source_version;
    fb_record last_record;
    fb_sync_item items[8];  // of the last COMMIT
    size_t item_count;
    size_t sent;
    fb_receipt receipt;  // of the last answer
    int64_t number;
    uint64_t token;
    char error[192];
    fb_mark suspected;
    char text[4096];
} gate_rig;

static inline fb_cache *gate_cache(fb_catalog *catalog) {
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = catalog, .partitions = GATE_PARTITIONS};
    fb_cache *cache = NULL;
    assert_ok(fb_cache_new(&options, &cache));
    return cache;
}

static inline fb_sync_options gate_options(fb_cache *cache) {
    return (fb_sync_options){.cache = cache,
                             .partitions = GATE_PARTITIONS,
                             .node = GATE_NODE,
                             .seed = 5,
                             .max_lag_ns = S(2),
                             .soft_ns = S(0.005),
                             .hard_ns = S(0.05),
                             .max_outage_ns = S(600),
                             .outbox_max = 8};
}

static inline void gate_epoch(gate_rig *at, uint64_t epoch, uint64_t seq) {
    for (uint32_t log = 0; log <= GATE_PARTITIONS; log++) {
        fb_mark mark = {epoch, seq, seq == 0 ? 0 : 1000 + seq};
        fb_cache_set_mark(at->cache, log, &mark);
    }
    fb_mark wide = {epoch, seq, seq == 0 ? 0 : 1000 + seq};
    fb_sync_stamps_reset(at->sync, &wide, NULL, 0);
}

// Without a link.
static inline gate_rig gate_new(void) {
    gate_rig made = {.now_ns = S(100)};
    made.cache = gate_cache(rig_catalog());
    fb_sync_options options = gate_options(made.cache);
    assert_ok(fb_sync_new(&options, &made.sync));
    assert_ok(fb_gate_new(made.sync, 0, &made.gate));
    gate_epoch(&made, GATE_EPOCH, 0);
    return made;
}

static inline void gate_done(gate_rig *at) {
    fb_gate_check(at->gate);
    fb_gate_free(at->gate);
    fb_sync_free(at->sync);
    fb_cache_free(at->cache);
}

// ---- actions

__attribute__((format(printf, 2, 3))) static inline void gate_say(gate_rig *at, const char *format,
                                                                  ...) {
    size_t len = strlen(at->text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(at->text + len, sizeof at->text - len, format, arguments);
    va_end(arguments);
}

static inline void gate_keep_loaded(gate_rig *at, const fb_sync_request *request) {
    const fb_loaded *loaded = request->loaded;
    at->last_value[0] = at->last_tag[0] = '\0';
    at->last_tags = 0;
    if (loaded != NULL && loaded->value != NULL) {
        fb_str value = fb_blob_str(loaded->value);
        (void)snprintf(at->last_value, sizeof at->last_value, "%.*s", FB_STR_ARG(value));
        at->last_tags = loaded->tag_count;
        at->last_source_version = loaded->source_version;
        if (loaded->tag_count > 0) {
            fb_str tag = fb_loaded_tag_at(loaded, 0);
            (void)snprintf(at->last_tag, sizeof at->last_tag, "%.*s", FB_STR_ARG(tag));
        }
    }
}

// What is outside is not good any longer than this: a copy for the test.
static inline void gate_show_items(gate_rig *at, const fb_sync_request *request) {
    static const char *const acts[] = {"if", "set", "drop", "expire"};
    gate_say(at, "commit:");
    at->item_count = request->item_count;
    for (size_t i = 0; i < request->item_count; i++) {
        const fb_sync_item *item = &request->items[i];
        gate_say(at, "%s%s %.*s", i > 0 ? "," : "", acts[item->act], FB_STR_ARG(item->key));
        assert_true(i < sizeof at->items / sizeof at->items[0]);
        at->items[i] = *item;
    }
}

static inline void gate_show_send(gate_rig *at, const fb_sync_request *request) {
    static const char *const verbs[] = {"get",   "peek",  "fill",  "set", "drop",  "expire",
                                        "add",   "bump",  "sweep", "state", "log", "epoch",
                                        "stamps", "nodes", "ack", "commit"};
    const char *verb = verbs[request->verb];
    if (request->verb == FB_SYNC_GET && request->refresh) {
        verb = "lease";
    } else if (request->verb == FB_SYNC_FILL && request->ttl_ns == 0) {
        verb = "release";
    }
    if (request->verb == FB_SYNC_BUMP) {
        assert_int_equal(request->record_count, 1);
        const fb_record *record = &request->records[0];
        gate_say(at, "bump:%c%s %.*s", "KTCNPA"[record->kind], record->soft ? "s" : "",
                 FB_STR_ARG(record->name));
    } else if (request->verb == FB_SYNC_NODES) {
        gate_say(at, "nodes");
    } else if (request->verb == FB_SYNC_EPOCH) {
        gate_say(at, "epoch:%u", request->log);
    } else if (request->verb == FB_SYNC_COMMIT) {
        gate_show_items(at, request);
    } else {
        gate_say(at, "%s:%.*s", verb, FB_STR_ARG(request->key));
    }
    gate_keep_loaded(at, request);
    at->last = *request;
    at->last_record =
        request->verb == FB_SYNC_BUMP ? request->records[0] : request->record;
    at->ids[at->sent++] = request->id;
}

static inline void gate_show_answer(gate_rig *at, fb_gate_action *action) {
    if (action->result == FB_OK && action->value.owner != NULL) {
        gate_say(at, "%llu=%.*s", (unsigned long long)action->waiter,
                 FB_STR_ARG(action->value.data));
    } else {
        gate_say(at, "%llu=%s", (unsigned long long)action->waiter,
                 fb_result_name(action->result));
    }
    at->receipt = action->receipt;
    at->number = action->number;
    at->token = action->token;
    (void)snprintf(at->error, sizeof at->error, "%s", action->error);
    fb_value_release(&action->value);
}

static inline const char *gate_actions(gate_rig *at) {
    static const char *const remotes[] = {"VALUE", "LEASE", "HELD", "DONE", "REFUSED", "FAILED"};
    fb_gate_action action;
    at->text[0] = '\0';
    while (fb_gate_next(at->gate, &action)) {
        if (at->text[0] != '\0') {
            gate_say(at, " ");
        }
        switch (action.type) {
            case FB_GATE_SEND:
                gate_show_send(at, &action.request);
                break;
            case FB_GATE_FLIGHT:
                gate_say(at, "%llu=%s", (unsigned long long)action.remote,
                         remotes[action.reply->result]);
                at->token = action.reply->token;
                break;
            case FB_GATE_ANSWER:
                gate_show_answer(at, &action);
                break;
            case FB_GATE_SUSPECT:
                gate_say(at, "suspect:%u", action.log);
                at->suspected = action.mark;
                break;
        }
    }
    fb_gate_check(at->gate);
    return at->text;
}

// ---- events; each gives what is to be done then

static inline const char *gate_link(gate_rig *at, bool up) {
    fb_gate_link(at->gate, up, up ? "" : "connection refused", at->now_ns);
    return gate_actions(at);
}

static inline gate_rig gate_up(void) {
    gate_rig made = gate_new();
    assert_string_equal(gate_link(&made, true), "");
    return made;
}

static inline const char *gate_want(gate_rig *at, const fb_want *want) {
    assert_ok(fb_gate_want(at->gate, want, at->now_ns));
    return gate_actions(at);
}

static inline const char *gate_key(gate_rig *at, fb_want_kind kind, uint64_t waiter,
                                   const char *key) {
    fb_want want = {.kind = kind, .waiter = waiter, .key = fb_str_of(key)};
    if (kind == FB_WANT_INVALIDATE) {
        want.what = (fb_invalidation){.scope = FB_SCOPE_KEY, .name = fb_str_of(key)};
    }
    return gate_want(at, &want);
}

static inline const char *gate_set(gate_rig *at, uint64_t waiter, const char *key,
                                   const char *value) {
    fb_want want = {.kind = FB_WANT_SET,
                    .waiter = waiter,
                    .key = fb_str_of(key),
                    .value = fb_str_of(value)};
    return gate_want(at, &want);
}

static inline const char *gate_wide(gate_rig *at, uint64_t waiter, fb_scope scope,
                                    const char *name) {
    fb_want want = {.kind = FB_WANT_INVALIDATE,
                    .waiter = waiter,
                    .what = {.scope = scope, .name = fb_str_of(name)}};
    return gate_want(at, &want);
}

static inline const char *gate_flight(gate_rig *at, const fb_action *action) {
    assert_ok(fb_gate_flight(at->gate, action, at->now_ns));
    return gate_actions(at);
}

static inline const char *gate_get(gate_rig *at, uint64_t remote, const char *key) {
    fb_action action = {.type = FB_ACTION_REMOTE_GET,
                        .remote = remote,
                        .key = fb_str_of(key),
                        .class_ = fb_catalog_of_key(fb_cache_catalog(at->cache), fb_str_of(key)),
                        .ttl_ns = S(1)};
    return gate_flight(at, &action);
}

// A reply to the n-th request from 0, as a log in the epoch 9 at `seq` gives it.
static inline fb_sync_reply gate_reply_of(gate_rig *at, size_t n, fb_sync_result result,
                                          uint64_t seq) {
    fb_sync_reply reply = {.result = result, .id = at->ids[n], .text = ""};
    reply.mark = (fb_mark){GATE_EPOCH, seq, seq == 0 ? 0 : 1000 + seq};
    reply.fresh_for_ns = INT64_MAX;
    reply.wide = (fb_mark){GATE_EPOCH, 0, 0};
    fb_loaded_init(&reply.loaded);
    if (result == FB_SYNC_FAILED || result == FB_SYNC_UNKNOWN || result == FB_SYNC_NO_EPOCH) {
        reply.mark = (fb_mark){0};
    }
    return reply;
}

static inline const char *gate_give(gate_rig *at, fb_sync_reply *reply) {
    fb_gate_reply(at->gate, reply, at->now_ns);
    return gate_actions(at);
}

static inline const char *gate_reply(gate_rig *at, size_t n, fb_sync_result result, uint64_t seq) {
    fb_sync_reply reply = gate_reply_of(at, n, result, seq);
    return gate_give(at, &reply);
}

// With a value: of VALUE, or of CONFLICT.
static inline fb_sync_reply gate_value_of(gate_rig *at, size_t n, fb_sync_result result,
                                          uint64_t seq, const char *value, const char *tag) {
    fb_sync_reply reply = gate_reply_of(at, n, result, seq);
    reply.has_value = true;
    reply.version = 40 + seq;
    reply.loaded = rig_loaded(value, tag);
    return reply;
}

static inline const char *gate_value(gate_rig *at, size_t n, fb_sync_result result, uint64_t seq,
                                     const char *value) {
    fb_sync_reply reply = gate_value_of(at, n, result, seq, value, NULL);
    return gate_give(at, &reply);
}

// To the last one that was sent.
static inline const char *gate_last(gate_rig *at, fb_sync_result result, uint64_t seq) {
    return gate_reply(at, at->sent - 1, result, seq);
}

// The clock goes on to `at_ns`, with every tick that is due until then.
static inline const char *gate_time(gate_rig *at, int64_t at_ns) {
    while (fb_gate_due(at->gate) <= at_ns) {
        int64_t due_ns = fb_gate_due(at->gate);
        at->now_ns = due_ns > at->now_ns ? due_ns : at->now_ns;
        fb_gate_tick(at->gate, at->now_ns);
        if (strlen(gate_actions(at)) > 0) {
            return at->text;
        }
    }
    at->now_ns = at_ns;
    at->text[0] = '\0';
    return at->text;
}

static inline fb_sync_figures gate_figures(const gate_rig *at) {
    fb_sync_figures figures;
    fb_sync_figures_read(at->sync, at->now_ns, &figures);
    return figures;
}

static inline uint64_t gate_counter(const gate_rig *at, fb_sync_counter counter) {
    return gate_figures(at).counters[counter];
}

#define assert_acts(call, expected) assert_string_equal((call), (expected))

#endif
