// Every request becomes one step, a script with its keys and arguments, encoded into one buffer at
// once: the command line is counted beforehand and asserted afterwards. In a plain layout a key's
// own slot and that of its log are two, and so are the steps: a value is read after the mark (what
// was in force then shows in it), a change is made before its record is appended.
//
// 64-bit numbers go as 8 bytes where scripts compare them, as decimal text where the server counts.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "redis/dictionary.h"
#include "redis/plain.h"
#include "redis/remote_state.h"

enum { FIRST = 0, SECOND = 1, KEY_KEYS = 6 };

static bool in_cluster(const fb_remote *remote) {
    fb_route_status status;
    fb_route_status_read(remote->route, &status);
    return status.kind == FB_REDIS_CLUSTER;
}

// ---- keys

// PREFIX LETTER [: KEY], of one log.
static void put_log_key(fb_step *step, const fb_redis *redis, uint32_t log, const char *name,
                        fb_str key) {
    const fb_log_name *of = &redis->logs[log];
    const fb_str pieces[] = {fb_str_make(of->prefix, of->prefix_len), fb_str_of(name), key};

    fb_step_put_joined(step, pieces, 3);
}

static void put_key_keys(fb_step *step, fb_ask *ask, fb_str key, size_t count) {
    static const char *const NAMES[] = {"c", "v:", "l:", "f:", "h:", "log"};
    const fb_redis *redis = ask->remote->redis;

    step->slot = redis->logs[ask->log].slot;
    for (size_t i = 0; i < count; i++) {
        put_log_key(step, redis, ask->log, NAMES[i], i == 0 || i == 5 ? FB_STR("") : key);
    }
}

// NAMESPACE:LETTER:{KEY}, or NAMESPACE:LETTER:{PART}:KEY where the key has a part of its own that
// decides: in the key's slot.
static void put_beside_key(fb_step *step, const fb_redis *redis, char letter, fb_str key) {
    const char between[] = {':', letter, ':', '{'};
    fb_str part = fb_str_hash_tag(key);
    bool all = part.len == key.len;
    const fb_str pieces[] = {fb_str_of(redis->options.name_space),
                             fb_str_make(between, sizeof between), part,
                             all ? FB_STR("}") : FB_STR("}:"), all ? FB_STR("") : key};

    fb_step_put_joined(step, pieces, 5);
}

static void put_plain_keys(fb_step *step, fb_ask *ask, fb_str key) {
    static const char LETTERS[] = {'l', 'f', 'h'};

    step->slot = fb_slot_of(key);
    fb_step_put(step, key);
    for (size_t i = 0; i < sizeof LETTERS; i++) {
        put_beside_key(step, ask->remote->redis, LETTERS[i], key);
    }
}

// ---- arguments

static int64_t ms_of(int64_t ns) {
    return ns <= 0 ? (ns == 0 ? 0 : -1) : ns / 1000000 + (ns % 1000000 != 0);
}

static void put_when(fb_step *step, const fb_sync_request *request) {
    static const char *const NAMES[] = {"any", "absent", "version"};

    fb_step_put(step, fb_str_of(NAMES[request->when]));
    if (!request->plain) {
        fb_step_put_raw(step, request->version);
        if (request->mark.epoch != 0) {
            fb_step_put_raw(step, request->mark.epoch);
        } else {
            fb_step_put(step, FB_STR(""));
        }
        return;
    }
    char version[20];
    int len = snprintf(version, sizeof version, "%016" PRIx64, request->version);
    fb_step_put(step, fb_str_make(version, (size_t)len));
}

static void put_record(fb_step *step, fb_ask *ask, const fb_record *record) {
    fb_buf *text = &ask->remote->record;
    text->len = 0;
    int result = fb_sync_record_write(record, text);
    fb_step_keep(step, result);
    fb_step_put(step, result == FB_OK ? fb_str_make(text->ptr + FB_RECORD_BEFORE_LEN,
                                                    text->len - FB_RECORD_BEFORE_LEN)
                                      : FB_STR(""));
}

// How a log is called in messages, the channel, how much the log keeps.
static void put_log(fb_step *step, const fb_redis *redis, uint32_t log) {
    fb_step_put_number(step, log);
    fb_step_put(step, fb_str_of(redis->channel));
    fb_step_put_number(step, redis->options.log_max);
}

static void put_settle(fb_step *step, const fb_record *record) {
    fb_step_put_number(step, record->hold_ms);
    if (record->fence != 0) {
        fb_step_put_raw(step, record->fence);
    } else {
        fb_step_put(step, FB_STR(""));
    }
    fb_step_put_number(step, FB_SYNC_FENCE_MS);
}

// What, source version, rest.
static void put_value(fb_step *step, fb_ask *ask, const fb_sync_request *request,
                      const fb_loaded *loaded) {
    fb_remote *remote = ask->remote;
    fb_envelope how = {.wide = request->wide, .class_name = request->class_name};
    char what[FB_ENVELOPE_WHAT_LEN];

    remote->value.len = 0;
    how.payload = loaded->value != NULL ? fb_blob_str(loaded->value) : FB_STR("");
    fb_dictionary_compress(remote, &how);
    fb_step_keep(step, fb_envelope_write(&how, loaded, what, &remote->value));
    fb_step_put(step, fb_str_make(what, sizeof what));
    fb_step_put_raw(step, loaded->source_version);
    fb_step_put(step, fb_buf_str(&remote->value));
}

// ---- the verbs

static int encode_get(fb_ask *ask, const fb_sync_request *request) {
    fb_step *step = &ask->steps[FIRST];

    fb_step_begin(step, FB_SCRIPT_get, 5, 3);
    step->repeatable = true;
    put_key_keys(step, ask, request->key, 5);
    if (request->verb == FB_SYNC_GET) {
        fb_step_put_raw(step, request->token);
    } else {
        fb_step_put(step, FB_STR(""));
    }
    fb_step_put_number(step, request->lease_ns > 0 ? ms_of(request->lease_ns) : 1);
    fb_step_put(step, request->refresh ? FB_STR("1") : FB_STR("0"));
    return fb_step_end(step);
}

static int encode_fill(fb_ask *ask, const fb_sync_request *request) {
    fb_step *step = &ask->steps[FIRST];

    bool gives_back = request->ttl_ns == 0 || request->loaded == NULL;
    fb_step_begin(step, FB_SCRIPT_fill, 4, 5);
    put_key_keys(step, ask, request->key, 4);
    fb_step_put_raw(step, request->token);
    fb_step_put_number(step, gives_back ? 0 : ms_of(request->ttl_ns));
    if (gives_back) {
        for (int i = 0; i < 3; i++) {
            fb_step_put(step, FB_STR(""));
        }
    } else {
        put_value(step, ask, request, request->loaded);
    }
    return fb_step_end(step);
}

static int encode_change(fb_ask *ask, const fb_sync_request *request, fb_script_name script,
                         size_t arg_count) {
    fb_step *step = &ask->steps[FIRST];

    fb_step_begin(step, script, KEY_KEYS, arg_count);
    put_key_keys(step, ask, request->key, KEY_KEYS);
    put_when(step, request);
    put_record(step, ask, &request->record);
    put_log(step, ask->remote->redis, ask->log);
    put_settle(step, &request->record);
    if (script != FB_SCRIPT_drop) {
        fb_step_put_number(step, ms_of(request->ttl_ns));
    }
    if (script == FB_SCRIPT_set) {
        put_value(step, ask, request, request->loaded);
    }
    return fb_step_end(step);
}

static int encode_add(fb_ask *ask, const fb_sync_request *request) {
    fb_step *step = &ask->steps[FIRST];
    fb_loaded none;  // a new value but for its digits, which the script adds

    fb_loaded_init(&none);
    fb_step_keep(step, fb_loaded_value(&none, FB_STR("")));
    none.kind = FB_KIND_JSON;
    fb_step_begin(step, FB_SCRIPT_add, KEY_KEYS, 12);
    put_key_keys(step, ask, request->key, KEY_KEYS);
    put_record(step, ask, &request->record);
    put_log(step, ask->remote->redis, ask->log);
    put_settle(step, &request->record);
    fb_step_put_number(step, request->delta);
    fb_step_put_number(step, ms_of(request->ttl_ns));
    put_value(step, ask, request, &none);
    fb_loaded_release(&none);
    return fb_step_end(step);
}

static int encode_bump(fb_ask *ask, fb_step *step, uint32_t log, const fb_record *records,
                       size_t record_count) {
    const fb_redis *redis = ask->remote->redis;
    char field[24];

    fb_step_begin(step, FB_SCRIPT_bump, 3, 3 + 2 * record_count);
    step->slot = redis->logs[log].slot;
    put_log_key(step, redis, log, "c", FB_STR(""));
    put_log_key(step, redis, log, "log", FB_STR(""));
    put_log_key(step, redis, log, "stamps", FB_STR(""));
    put_log(step, redis, log);
    for (size_t i = 0; i < record_count; i++) {
        const fb_record *record = &records[i];
        put_record(step, ask, record);
        if (record->kind == FB_RECORD_KEY || record->kind == FB_RECORD_PATTERN) {
            fb_step_put(step, FB_STR(""));
            continue;
        }
        int len = snprintf(field, sizeof field, "%c%" PRIu32, record->soft ? 's' : 'h',
                           fb_sync_slot(record->kind, record->name));
        fb_step_put(step, fb_str_make(field, (size_t)len));
    }
    return fb_step_end(step);
}

static int encode_on_log(fb_ask *ask, fb_step *step, fb_script_name script, const char *second,
                         size_t arg_count) {
    const fb_redis *redis = ask->remote->redis;

    fb_step_begin(step, script, second != NULL ? 2 : 1, arg_count);
    step->slot = redis->logs[ask->log].slot;
    step->repeatable = true;
    put_log_key(step, redis, ask->log, script == FB_SCRIPT_nodes ? "nodes" : "c", FB_STR(""));
    if (second != NULL) {
        put_log_key(step, redis, ask->log, second, FB_STR(""));
    }
    return arg_count == 0 ? fb_step_end(step) : step->result;
}

static int encode_epoch(fb_ask *ask, const fb_sync_request *request) {
    const fb_redis *redis = ask->remote->redis;
    fb_step *step = &ask->steps[FIRST];
    bool wide = ask->log == redis->options.partitions;

    fb_step_begin(step, FB_SCRIPT_epoch, wide ? 3 : 2, 2);
    step->slot = redis->logs[ask->log].slot;
    step->repeatable = true;
    put_log_key(step, redis, ask->log, "c", FB_STR(""));
    put_log_key(step, redis, ask->log, "log", FB_STR(""));
    if (wide) {
        put_log_key(step, redis, ask->log, "stamps", FB_STR(""));
    }
    if (request->mark.epoch != 0) {
        fb_step_put_raw(step, request->mark.epoch);
    } else {
        fb_step_put(step, FB_STR(""));
    }
    fb_step_put_raw(step, request->token);
    return fb_step_end(step);
}

// All marks by one script, or in a Cluster, where that may not be, the wide one's;
// fb_request_mark() gives the others.
static int encode_state(fb_ask *ask, const fb_sync_request *request) {
    const fb_redis *redis = ask->remote->redis;
    fb_step *step = &ask->steps[FIRST];
    uint32_t wide = redis->options.partitions;
    bool apart = in_cluster(ask->remote);

    ask->pieces_left = apart ? wide : 0;
    fb_step_begin(step, FB_SCRIPT_state, apart ? 2 : wide + 2, 2);
    step->slot = redis->logs[wide].slot;
    step->repeatable = true;
    put_log_key(step, redis, wide, "nodes", FB_STR(""));
    for (uint32_t log = apart ? wide : 0; log <= wide; log++) {
        put_log_key(step, redis, log, "c", FB_STR(""));
    }
    fb_step_put_raw(step, request->node);
    fb_step_put_number(step, request->alive_ms);
    return fb_step_end(step);
}

int fb_request_mark(fb_ask *ask, fb_step *step, uint32_t log) {
    const fb_redis *redis = ask->remote->redis;

    fb_buf_release(&step->command);
    *step = (fb_step){0};
    fb_step_begin(step, FB_SCRIPT_mark, 1, 0);
    step->slot = redis->logs[log].slot;
    step->repeatable = true;
    put_log_key(step, redis, log, "c", FB_STR(""));
    return fb_step_end(step);
}

// ---- COMMIT

enum { LOG_KEYS = 2, ITEM_KEYS = 4, ITEM_ARGS = 10 };

// The logs of the items, each once; how many there are.
static size_t logs_of(const fb_sync_request *request, uint32_t logs[FB_LOGS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < request->item_count; i++) {
        size_t at = 0;
        while (at < count && logs[at] != request->items[i].log) {
            at++;
        }
        logs[at] = request->items[i].log;
        count += at == count;
    }
    return count;
}

static void put_item_keys(fb_step *step, const fb_redis *redis, const fb_sync_item *item) {
    static const char *const NAMES[ITEM_KEYS] = {"v:", "l:", "f:", "h:"};
    for (size_t i = 0; i < ITEM_KEYS; i++) {
        put_log_key(step, redis, item->log, NAMES[i], item->key);
    }
}

// The condition, as that of one change is written.
static void put_condition(fb_step *step, const fb_sync_item *item) {
    const fb_sync_request as_one = {
        .when = item->when, .version = item->version, .mark = {.epoch = item->epoch}};
    put_when(step, &as_one);
}

static void put_change(fb_step *step, fb_ask *ask, const fb_sync_request *request,
                       const fb_sync_item *item) {
    static const char *const NAMES[] = {"none", "set", "drop", "expire"};
    // A lifetime that is over is none at all.
    bool ends = item->ttl_ns == 0 && item->act != FB_ACT_DROP;
    fb_step_put(step, fb_str_of(NAMES[ends && item->act != FB_ACT_NONE ? FB_ACT_DROP : item->act]));
    if (item->act == FB_ACT_NONE) {
        fb_step_put(step, FB_STR(""));
    } else {
        put_record(step, ask, &item->record);
    }
    fb_step_put_number(step, ms_of(item->ttl_ns));
    if (item->act == FB_ACT_SET) {
        const fb_sync_request as_one = {.wide = request->wide, .class_name = item->class_name};
        put_value(step, ask, &as_one, item->loaded);
        return;
    }
    for (int i = 0; i < 3; i++) {
        fb_step_put(step, FB_STR(""));
    }
}

static size_t place_of(const uint32_t *logs, uint32_t log) {
    size_t at = 0;
    while (logs[at] != log) {
        at++;
    }
    return at + 1;
}

static int encode_commit(fb_ask *ask, const fb_sync_request *request) {
    const fb_redis *redis = ask->remote->redis;
    fb_step *step = &ask->steps[FIRST];
    uint32_t logs[FB_LOGS_MAX];
    size_t log_count = logs_of(request, logs);

    if (in_cluster(ask->remote) && log_count > 1) {
        snprintf(ask->text, sizeof ask->text, "%s", FB_SYNC_CROSSSLOT);
        return FB_EINVAL;
    }
    fb_step_begin(step, FB_SCRIPT_commit, LOG_KEYS * log_count + ITEM_KEYS * request->item_count,
                  3 + log_count + ITEM_ARGS * request->item_count);
    step->slot = redis->logs[request->items[0].log].slot;
    for (size_t i = 0; i < log_count; i++) {
        put_log_key(step, redis, logs[i], "c", FB_STR(""));
        put_log_key(step, redis, logs[i], "log", FB_STR(""));
    }
    for (size_t i = 0; i < request->item_count; i++) {
        put_item_keys(step, redis, &request->items[i]);
    }
    fb_step_put_number(step, (int64_t)log_count);
    fb_step_put(step, fb_str_of(redis->channel));
    fb_step_put_number(step, redis->options.log_max);
    for (size_t i = 0; i < log_count; i++) {
        fb_step_put_number(step, logs[i]);
    }
    for (size_t i = 0; i < request->item_count; i++) {
        const fb_sync_item *item = &request->items[i];
        fb_step_put_number(step, (int64_t)place_of(logs, item->log));
        put_condition(step, item);
        put_change(step, ask, request, item);
    }
    return fb_step_end(step);
}

// ---- plain layouts

static int encode_plain_read(fb_ask *ask, const fb_sync_request *request) {
    fb_step *step = &ask->steps[SECOND];

    fb_step_begin(step, FB_SCRIPT_plain_get, 4, 3);
    step->repeatable = true;
    put_plain_keys(step, ask, request->key);
    if (request->verb == FB_SYNC_GET) {
        fb_step_put_raw(step, request->token);
    } else {
        fb_step_put(step, FB_STR(""));
    }
    fb_step_put_number(step, request->lease_ns > 0 ? ms_of(request->lease_ns) : 1);
    fb_step_put(step, request->refresh ? FB_STR("1") : FB_STR("0"));
    return fb_step_end(step);
}

static int encode_plain_fill(fb_ask *ask, const fb_sync_request *request) {
    const fb_loaded *loaded = request->loaded;
    fb_step *step = &ask->steps[SECOND];
    // Bytes alone cannot say that there is nothing.
    bool gives_back = request->ttl_ns == 0 || loaded == NULL || loaded->value == NULL;

    fb_step_begin(step, FB_SCRIPT_plain_fill, 4, 4);
    put_plain_keys(step, ask, request->key);
    fb_step_put_raw(step, request->token);
    fb_step_put_number(step, gives_back ? 0 : ms_of(request->ttl_ns));
    fb_step_put_raw(step, gives_back ? 0 : loaded->source_version);
    fb_step_put(step, gives_back ? FB_STR("") : fb_blob_str(loaded->value));
    if (!gives_back) {
        ask->plain_store =
            fb_plain_stores(ask->remote->redis, request->key, fb_blob_str(loaded->value));
    }
    return fb_step_end(step);
}

static int encode_plain_change(fb_ask *ask, const fb_sync_request *request, fb_script_name script,
                               size_t arg_count) {
    fb_step *step = &ask->steps[FIRST];

    fb_step_begin(step, script, 4, arg_count);
    put_plain_keys(step, ask, request->key);
    if (script != FB_SCRIPT_plain_add) {
        put_when(step, request);
    }
    put_settle(step, &request->record);
    if (script == FB_SCRIPT_plain_add) {
        fb_step_put_number(step, request->delta);
    }
    if (script != FB_SCRIPT_plain_drop) {
        fb_step_put_number(step, ms_of(request->ttl_ns));
    }
    if (script == FB_SCRIPT_plain_set) {
        const fb_blob *value = request->loaded->value;
        fb_str bytes = value != NULL ? fb_blob_str(value) : FB_STR("");
        fb_step_put_raw(step, request->loaded->source_version);
        fb_step_put(step, bytes);
        ask->plain_store = fb_plain_stores(ask->remote->redis, request->key, bytes);
    }
    return fb_step_end(step);
}

static int encode_plain(fb_ask *ask, const fb_sync_request *request) {
    int result = FB_OK;
    bool reads = request->verb <= FB_SYNC_FILL;

    fb_str part = fb_str_hash_tag(request->key);
    if ((part.len == 0 || fb_str_find(part, '}') < part.len) && in_cluster(ask->remote)) {
        // What decides its slot cannot be repeated in another key's {…}.
        snprintf(ask->text, sizeof ask->text, "such a key cannot have a plain layout in a Cluster");
        return FB_EINVAL;
    }
    ask->step_count = 2;
    switch (request->verb) {
    case FB_SYNC_GET:
    case FB_SYNC_PEEK:
        result = encode_plain_read(ask, request);
        break;
    case FB_SYNC_FILL:
        result = encode_plain_fill(ask, request);
        break;
    case FB_SYNC_SET:
        result = encode_plain_change(ask, request, FB_SCRIPT_plain_set, 8);
        break;
    case FB_SYNC_DROP:
        result = encode_plain_change(ask, request, FB_SCRIPT_plain_drop, 5);
        break;
    case FB_SYNC_EXPIRE:
        result = encode_plain_change(ask, request, FB_SCRIPT_plain_expire, 6);
        break;
    default:
        FB_ASSERT(request->verb == FB_SYNC_ADD);
        result = encode_plain_change(ask, request, FB_SCRIPT_plain_add, 5);
    }
    if (result < 0) {
        return result;
    }
    return reads ? fb_request_mark(ask, &ask->steps[FIRST], ask->log)
                 : encode_bump(ask, &ask->steps[SECOND], ask->log, &request->record, 1);
}

// ---- all of them

static int encode_coherent(fb_ask *ask, const fb_sync_request *request) {
    fb_step *step = &ask->steps[FIRST];

    switch (request->verb) {
    case FB_SYNC_GET:
    case FB_SYNC_PEEK:
        return encode_get(ask, request);
    case FB_SYNC_FILL:
        return encode_fill(ask, request);
    case FB_SYNC_SET:
        return encode_change(ask, request, FB_SCRIPT_set, 14);
    case FB_SYNC_DROP:
        return encode_change(ask, request, FB_SCRIPT_drop, 10);
    case FB_SYNC_EXPIRE:
        return encode_change(ask, request, FB_SCRIPT_expire, 11);
    case FB_SYNC_ADD:
        return encode_add(ask, request);
    case FB_SYNC_BUMP:
        return encode_bump(ask, step, ask->log, request->records, request->record_count);
    case FB_SYNC_STATE:
        return encode_state(ask, request);
    case FB_SYNC_LOG: {
        int result = encode_on_log(ask, step, FB_SCRIPT_log, "log", 1);
        fb_step_put_number(step, (int64_t)(request->mark.seq & INT64_MAX));
        return result < 0 ? result : fb_step_end(step);
    }
    case FB_SYNC_EPOCH:
        return encode_epoch(ask, request);
    case FB_SYNC_STAMPS:
        return encode_on_log(ask, step, FB_SCRIPT_stamps, "stamps", 0);
    case FB_SYNC_COMMIT:
        return encode_commit(ask, request);
    default:
        FB_ASSERT(request->verb == FB_SYNC_NODES);
        return encode_on_log(ask, step, FB_SCRIPT_nodes, NULL, 0);
    }
}

int fb_request_encode(fb_ask *ask, const fb_sync_request *request) {
    uint32_t wide = ask->remote->redis->options.partitions;
    bool of_key = request->verb <= FB_SYNC_ADD;
    bool of_log = request->verb == FB_SYNC_LOG || request->verb == FB_SYNC_EPOCH;

    ask->log = of_key || of_log ? request->log : wide;
    FB_ASSERT(ask->log <= wide && (!of_key || ask->log < wide));
    ask->step_count = 1;
    ask->plain = request->plain && of_key;
    ask->wide = request->wide;
    return ask->plain ? encode_plain(ask, request) : encode_coherent(ask, request);
}
