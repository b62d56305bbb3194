// What the scripts answer is an array: the outcome's name, the mark (epoch, sequence, nonce), then
// what belongs to the outcome. Nothing of it is trusted: an answer of another shape is a failure, a
// value that cannot be read counts as none.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "redis/dictionary.h"
#include "redis/plain.h"
#include "redis/remote_state.h"

static const fb_resp_value NOTHING = {.type = FB_RESP_NULL};

const fb_resp_value *fb_reply_item(const fb_resp_value *array, size_t index) {
    bool is_list = array->type == FB_RESP_ARRAY || array->type == FB_RESP_PUSH ||
                   array->type == FB_RESP_MAP || array->type == FB_RESP_SET;
    return is_list && index < array->child_count ? &array->children[index] : &NOTHING;
}

static bool is_text(const fb_resp_value *value) {
    return value->type == FB_RESP_STRING || value->type == FB_RESP_SIMPLE;
}

bool fb_reply_is(const fb_resp_value *value, const char *text) {
    return is_text(value) && fb_str_equal(value->text, fb_str_of(text));
}

void fb_reply_fail(fb_ask *ask, fb_sync_result result, const char *text) {
    fb_loaded_release(&ask->reply.loaded);
    ask->reply.has_value = false;
    ask->reply.result = result;
    if (text != ask->text) {
        snprintf(ask->text, sizeof ask->text, "%s", text != NULL ? text : "");
    }
}

// (What a COMMIT did is not told again, so it must not count as not done.)
static fb_reply_next strange(fb_ask *ask) {
    fb_reply_fail(ask, ask->verb == FB_SYNC_COMMIT ? FB_SYNC_UNKNOWN : FB_SYNC_FAILED,
                  "the server's answer is not understood");
    return FB_REPLY_READY;
}

// ---- numbers

static bool decimal(const fb_resp_value *value, uint64_t *number) {
    int64_t read;
    if (value->type == FB_RESP_INTEGER) {
        read = value->integer;
    } else if (!is_text(value) || fb_str_int(value->text, &read) != FB_OK) {
        return false;
    }
    *number = (uint64_t)read;
    return read >= 0;
}

static bool raw(const fb_resp_value *value, uint64_t *number) {
    if (!is_text(value) || value->text.len != 8) {
        return false;
    }
    *number = fb_envelope_get64(value->text.ptr);
    return true;
}

static bool hex(const fb_resp_value *value, uint64_t *number) {
    *number = 0;
    if (!is_text(value) || value->text.len != 16) {
        return false;
    }
    for (size_t i = 0; i < 16; i++) {
        char c = value->text.ptr[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        *number = *number << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    return true;
}

bool fb_reply_mark(const fb_resp_value *epoch, const fb_resp_value *seq,
                   const fb_resp_value *nonce, fb_mark *mark) {
    *mark = (fb_mark){0};
    if (epoch->type == FB_RESP_NULL) {
        return true;
    }
    return raw(epoch, &mark->epoch) && decimal(seq, &mark->seq) && hex(nonce, &mark->nonce);
}

// ---- values

static fb_reply_next unreadable(fb_ask *ask) {
    fb_loaded_release(&ask->reply.loaded);
    ask->reply.has_value = false;
    if (ask->verb == FB_SYNC_GET) {
        return FB_REPLY_AGAIN;
    }
    if (ask->verb == FB_SYNC_PEEK) {
        ask->reply.result = FB_SYNC_NONE;
    } else {
        fb_reply_fail(ask, FB_SYNC_FAILED, "the value that is there cannot be read");
    }
    return FB_REPLY_READY;
}

// An envelope's value into the reply. What is compressed with a dictionary that is not here is kept
// until that was fetched.
static fb_reply_next take_envelope(fb_ask *ask, fb_str bytes) {
    fb_sync_reply *reply = &ask->reply;
    fb_envelope envelope;
    fb_buf unpacked = {0};

    if (fb_envelope_read(bytes, &envelope) != FB_OK) {
        return unreadable(ask);
    }
    fb_str value = envelope.payload;
    if (envelope.compressed) {
        int result = fb_dictionary_expand(ask->remote, &envelope, &unpacked);
        if (result == FB_MISS && !ask->dictionary_asked) {
            fb_buf_release(&unpacked);
            if (bytes.ptr != ask->held_value.ptr &&
                fb_buf_append(&ask->held_value, bytes) != FB_OK) {
                return unreadable(ask);
            }
            return FB_REPLY_DICTIONARY;
        }
        if (result != FB_OK) {
            fb_buf_release(&unpacked);
            return unreadable(ask);
        }
        value = fb_buf_str(&unpacked);
    }
    fb_loaded_init(&reply->loaded);
    int result = fb_envelope_load(&envelope, value, &reply->loaded);
    fb_buf_release(&unpacked);
    if (result != FB_OK) {
        return unreadable(ask);
    }
    reply->has_value = true;
    reply->version = envelope.version;
    reply->wide = envelope.wide;
    // Until now it holds the server's time.
    int64_t age_ms = reply->age_ns / 1000000 - envelope.born_ms;
    reply->age_ns = age_ms > 0 ? age_ms * 1000000 : 0;
    return FB_REPLY_READY;
}

fb_reply_next fb_reply_retry(fb_ask *ask) {
    return take_envelope(ask, fb_buf_str(&ask->held_value));
}

static int64_t fresh_for(const fb_resp_value *pttl) {
    uint64_t ms;
    if (!decimal(pttl, &ms)) {
        return INT64_MAX;  // -1: no end
    }
    return ms > INT64_MAX / 1000000 ? INT64_MAX : (int64_t)ms * 1000000;
}

static int64_t server_time(const fb_resp_value *seconds, const fb_resp_value *micros) {
    uint64_t s, us;
    if (!decimal(seconds, &s) || !decimal(micros, &us) || s > INT64_MAX / 1000000000 - 1) {
        return 0;
    }
    return (int64_t)s * 1000000000 + (int64_t)(us % 1000000) * 1000;
}

// Outcome, mark, value, PTTL, time in two, fence, hold.
static fb_reply_next take_there(fb_ask *ask, const fb_resp_value *value) {
    fb_sync_reply *reply = &ask->reply;
    const fb_resp_value *fence = fb_reply_item(value, 8);

    reply->held = fb_reply_item(value, 9)->type != FB_RESP_NULL;
    if (fence->type != FB_RESP_NULL && !raw(fence, &reply->fence)) {
        return strange(ask);
    }
    const fb_resp_value *bytes = fb_reply_item(value, 4);
    if (!is_text(bytes)) {
        return FB_REPLY_READY;
    }
    reply->fresh_for_ns = fresh_for(fb_reply_item(value, 5));
    reply->age_ns = server_time(fb_reply_item(value, 6), fb_reply_item(value, 7));
    return take_envelope(ask, bytes->text);
}

// ---- arrays

static fb_reply_next take_records(fb_ask *ask, const fb_resp_value *entries) {
    size_t count = entries->type == FB_RESP_ARRAY ? entries->child_count : 0;
    if (count == 0) {
        return FB_REPLY_READY;
    }
    fb_record *records = fb_mem_zero(count, sizeof *records);
    ask->array = records;
    if (records == NULL) {
        fb_reply_fail(ask, FB_SYNC_FAILED, "out of memory");
        return FB_REPLY_READY;
    }
    for (size_t i = 0; i < count; i++) {
        const fb_resp_value *entry = &entries->children[i];
        const fb_resp_value *text = fb_reply_item(fb_reply_item(entry, 1), 1);
        const fb_resp_value *id = fb_reply_item(entry, 0);
        int64_t seq;
        if (!is_text(id) || !is_text(text) ||
            fb_str_int(fb_str_make(id->text.ptr, fb_str_find(id->text, '-')), &seq) != FB_OK ||
            fb_sync_record_read(text->text, (uint64_t)seq, &records[i]) != FB_OK) {
            // Nobody knows what is to be dropped: as if it were not there.
            ask->reply.result = FB_SYNC_GONE;
            return FB_REPLY_READY;
        }
    }
    ask->reply.records = records;
    ask->reply.record_count = count;
    return FB_REPLY_READY;
}

static int by_slot(const void *a, const void *b) {
    const fb_sync_stamp *one = a, *other = b;
    return (one->slot > other->slot) - (one->slot < other->slot);
}

// The pairs of fields ("h12", "s12") and sequences, brought together by slot.
static size_t merge_stamps(fb_sync_stamp *stamps, size_t count) {
    size_t kept = 0;

    qsort(stamps, count, sizeof *stamps, by_slot);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && stamps[kept - 1].slot == stamps[i].slot) {
            stamps[kept - 1].hard |= stamps[i].hard;
            stamps[kept - 1].soft |= stamps[i].soft;
        } else {
            stamps[kept++] = stamps[i];
        }
    }
    return kept;
}

static fb_reply_next take_stamps(fb_ask *ask, const fb_resp_value *pairs) {
    size_t count = pairs->type == FB_RESP_ARRAY || pairs->type == FB_RESP_MAP
                       ? pairs->child_count / 2
                       : 0;
    if (count == 0) {
        return FB_REPLY_READY;
    }
    fb_sync_stamp *stamps = fb_mem_zero(count, sizeof *stamps);
    ask->array = stamps;
    if (stamps == NULL) {
        fb_reply_fail(ask, FB_SYNC_FAILED, "out of memory");
        return FB_REPLY_READY;
    }
    for (size_t i = 0; i < count; i++) {
        fb_str field = pairs->children[2 * i].text;
        uint64_t seq;
        int64_t slot;
        if (!is_text(&pairs->children[2 * i]) || field.len < 2 ||
            fb_str_int(fb_str_make(field.ptr + 1, field.len - 1), &slot) != FB_OK || slot < 0 ||
            slot >= FB_SYNC_STAMP_SLOTS || !decimal(&pairs->children[2 * i + 1], &seq)) {
            return strange(ask);
        }
        stamps[i].slot = (uint32_t)slot;
        *(field.ptr[0] == 's' ? &stamps[i].soft : &stamps[i].hard) = seq;
    }
    ask->reply.stamps = stamps;
    ask->reply.stamp_count = merge_stamps(stamps, count);
    return FB_REPLY_READY;
}

static fb_reply_next take_nodes(fb_ask *ask, const fb_resp_value *members) {
    size_t count = members->type == FB_RESP_ARRAY ? members->child_count : 0;
    uint64_t *nodes = count > 0 ? fb_mem_zero(count, sizeof *nodes) : NULL;

    ask->array = nodes;
    if (count > 0 && nodes == NULL) {
        fb_reply_fail(ask, FB_SYNC_FAILED, "out of memory");
        return FB_REPLY_READY;
    }
    for (size_t i = 0; i < count; i++) {
        if (!raw(&members->children[i], &nodes[i])) {
            return strange(ask);
        }
    }
    ask->reply.nodes = nodes;
    ask->reply.node_count = count;
    return FB_REPLY_READY;
}

// COMMIT: the marks behind the items' records. (Of a conflict nothing more is told.)
static fb_reply_next take_marks(fb_ask *ask, const fb_resp_value *value) {
    size_t count = value->child_count - 1;
    if (ask->reply.result != FB_SYNC_DONE && ask->reply.result != FB_SYNC_CONFLICT) {
        return strange(ask);
    }
    fb_mark *marks = fb_mem_zero(count + 1, sizeof *marks);
    ask->array = marks;
    if (marks == NULL) {
        fb_reply_fail(ask, FB_SYNC_UNKNOWN, "out of memory");
        return FB_REPLY_READY;
    }
    for (size_t i = 0; i < count; i++) {
        const fb_resp_value *mark = fb_reply_item(value, 1 + i);
        if (!fb_reply_mark(fb_reply_item(mark, 0), fb_reply_item(mark, 1), fb_reply_item(mark, 2),
                           &marks[i])) {
            return strange(ask);
        }
    }
    ask->reply.marks = marks;
    ask->reply.mark_count = count;
    return FB_REPLY_READY;
}

// Of all logs; in a Cluster of the wide one, the others come by pieces.
static fb_reply_next take_state(fb_ask *ask, const fb_resp_value *value) {
    size_t logs = ask->remote->redis->options.partitions + 1U;
    size_t count = value->child_count - 1;
    fb_mark *marks = fb_mem_zero(logs, sizeof *marks);

    ask->array = marks;
    if (marks == NULL) {
        fb_reply_fail(ask, FB_SYNC_FAILED, "out of memory");
        return FB_REPLY_READY;
    }
    if (count != (ask->pieces_left > 0 ? 1 : logs)) {
        return strange(ask);
    }
    for (size_t i = 0; i < count; i++) {
        const fb_resp_value *mark = fb_reply_item(value, 1 + i);
        if (!fb_reply_mark(fb_reply_item(mark, 0), fb_reply_item(mark, 1), fb_reply_item(mark, 2),
                           &marks[logs - count + i])) {
            return strange(ask);
        }
    }
    ask->reply.marks = marks;
    ask->reply.mark_count = logs;
    return FB_REPLY_READY;
}

// ---- plain layouts

static bool take_plain_value(fb_ask *ask, const fb_resp_value *value) {
    fb_sync_reply *reply = &ask->reply;
    const fb_resp_value *bytes = fb_reply_item(value, 1);
    const fb_resp_value *fence = fb_reply_item(value, 3);

    reply->held = fb_reply_item(value, 4)->type != FB_RESP_NULL;
    if (fence->type != FB_RESP_NULL && !raw(fence, &reply->fence)) {
        return false;
    }
    if (!is_text(bytes)) {
        return true;
    }
    fb_loaded_init(&reply->loaded);
    if (fb_loaded_value(&reply->loaded, bytes->text) != FB_OK ||
        !fb_plain_version(bytes->text, &reply->version)) {
        fb_loaded_release(&reply->loaded);
        return false;
    }
    reply->loaded.result = FB_OK;
    reply->has_value = true;
    reply->fresh_for_ns = fresh_for(fb_reply_item(value, 2));
    reply->wide = ask->wide;
    return true;
}

static bool outcome_of(const fb_resp_value *value, fb_sync_result *result);

// The first step of a change: what was done is to be told now; what was not needs the mark alone.
static fb_reply_next take_plain_change(fb_ask *ask, const fb_resp_value *value) {
    fb_sync_reply *reply = &ask->reply;
    int64_t number = 0;

    if (reply->result == FB_SYNC_CONFLICT && !take_plain_value(ask, value)) {
        return strange(ask);
    }
    if (reply->result != FB_SYNC_DONE) {
        return FB_REPLY_MARK;
    }
    const fb_resp_value *more = fb_reply_item(value, 1);
    if (ask->verb == FB_SYNC_ADD && (!is_text(more) || fb_str_int(more->text, &number) != FB_OK)) {
        return strange(ask);
    }
    reply->number = number;
    reply->found = ask->verb == FB_SYNC_DROP && more->type != FB_RESP_NULL;
    return FB_REPLY_STEP;
}

static fb_reply_next take_plain(fb_ask *ask, const fb_resp_value *value) {
    fb_sync_reply *reply = &ask->reply;
    bool reads = ask->verb <= FB_SYNC_FILL;
    fb_sync_result result;

    if (!outcome_of(fb_reply_item(value, 0), &result)) {
        return strange(ask);
    }
    if (ask->step == 0 && !reads) {
        reply->result = result;
        return take_plain_change(ask, value);
    }
    if (ask->step == 1 && reads) {
        reply->result = result;
        return take_plain_value(ask, value) ? FB_REPLY_READY : strange(ask);
    }
    // The mark, or the record: of a log without an epoch there is none, and a change is half done.
    if (result == FB_SYNC_NO_EPOCH) {
        if (reads || reply->result != FB_SYNC_DONE || ask->verb != FB_SYNC_ADD) {
            fb_reply_fail(ask, FB_SYNC_NO_EPOCH, "");
        } else {
            fb_reply_fail(ask, FB_SYNC_UNKNOWN, "added, but not told: the log has no epoch");
        }
        return FB_REPLY_READY;
    }
    if (!fb_reply_mark(fb_reply_item(value, 1), fb_reply_item(value, 2), fb_reply_item(value, 3),
                       &reply->mark)) {
        return strange(ask);
    }
    return reads ? FB_REPLY_STEP : FB_REPLY_READY;
}

// ---- all of them

static bool outcome_of(const fb_resp_value *value, fb_sync_result *result) {
    static const struct {
        const char *name;
        fb_sync_result result;
    } NAMES[] = {
        {"VALUE", FB_SYNC_VALUE},         {"LEASE", FB_SYNC_LEASE},
        {"HELD", FB_SYNC_HELD},           {"DONE", FB_SYNC_DONE},
        {"NONE", FB_SYNC_NONE},           {"REFUSED", FB_SYNC_REFUSED},
        {"CONFLICT", FB_SYNC_CONFLICT},   {"WRONG_TYPE", FB_SYNC_WRONG_TYPE},
        {"NO_EPOCH", FB_SYNC_NO_EPOCH},   {"OUT_OF_RANGE", FB_SYNC_OUT_OF_RANGE},
        {"GONE", FB_SYNC_GONE},
    };

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        if (fb_reply_is(value, NAMES[i].name)) {
            *result = NAMES[i].result;
            return true;
        }
    }
    return false;
}

static fb_reply_next take_rest(fb_ask *ask, const fb_resp_value *value) {
    fb_sync_reply *reply = &ask->reply;
    const fb_resp_value *more = fb_reply_item(value, 4);

    switch (ask->verb) {
    case FB_SYNC_DROP:
        reply->found = reply->result == FB_SYNC_DONE && more->type != FB_RESP_NULL;
        return reply->result == FB_SYNC_CONFLICT ? take_there(ask, value) : FB_REPLY_READY;
    case FB_SYNC_ADD:
        if (reply->result == FB_SYNC_DONE &&
            (!is_text(more) || fb_str_int(more->text, &reply->number) != FB_OK)) {
            return strange(ask);
        }
        return FB_REPLY_READY;
    case FB_SYNC_LOG:
        return reply->result == FB_SYNC_DONE ? take_records(ask, more) : FB_REPLY_READY;
    case FB_SYNC_STAMPS:
        return take_stamps(ask, more);
    default:
        return value->child_count > 4 ? take_there(ask, value) : FB_REPLY_READY;
    }
}

fb_reply_next fb_reply_take(fb_ask *ask, const fb_resp_value *value) {
    fb_sync_reply *reply = &ask->reply;

    if (value->type != FB_RESP_ARRAY || value->child_count == 0) {
        return strange(ask);
    }
    if (ask->plain) {
        return take_plain(ask, value);
    }
    if (!outcome_of(&value->children[0], &reply->result)) {
        return strange(ask);
    }
    if (reply->result == FB_SYNC_NO_EPOCH) {
        return FB_REPLY_READY;
    }
    if (ask->verb == FB_SYNC_STATE) {
        return take_state(ask, value);
    }
    if (ask->verb == FB_SYNC_COMMIT) {
        return take_marks(ask, value);
    }
    if (ask->verb == FB_SYNC_NODES) {
        return take_nodes(ask, fb_reply_item(value, 1));
    }
    if (!fb_reply_mark(fb_reply_item(value, 1), fb_reply_item(value, 2), fb_reply_item(value, 3),
                       &reply->mark)) {
        return strange(ask);
    }
    return take_rest(ask, value);
}
