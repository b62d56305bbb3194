// Changes while the shared tier is passed by: in memory they take effect as they would without one,
// and they are owed.
//
// What is owed of a value is that it was stored, under which tags, and which value of memory's it
// is; when it is told, memory says what it is and how much of its time is left. (Plain keys' values
// are kept beside it, for a flush in between: see take_value().) Of an edit, only
// what it did. The tags of a value that memory has are known there by number alone: where an edit
// builds on one that has any, the shared tier can only be told that the key changed.

#include "sync/gate_state.h"

#include <string.h>

// ---- owing

static void owe(fb_gate *gate, const fb_op *op, fb_owed *owed, int64_t now_ns) {
    owed->log = op->request.log;
    owed->record = op->request.record;
    fb_outbox_owe(gate->outbox, owed, now_ns);
    fb_gate_note(gate, owed->log);
    fb_gate_count(gate, FB_SYNC_COUNT_owed);
}

static void owe_drop(fb_gate *gate, const fb_op *op, int64_t now_ns) {
    fb_owed owed = {.kind = FB_OWED_DROP};
    owe(gate, op, &owed, now_ns);
}

static uint64_t version_in_memory(const fb_gate *gate, fb_str key, int64_t now_ns) {
    fb_found found;
    fb_find find = fb_cache_peek(gate->cache, key, now_ns, &found);
    bool there = (find == FB_FIND_FRESH || find == FB_FIND_EARLY) && !found.negative;
    return there ? found.value.version : 0;
}

static int pack_tags(const fb_loaded *loaded, fb_buf *packed) {
    int result = FB_OK;
    for (size_t i = 0; i < loaded->tag_count && result == FB_OK; i++) {
        fb_str tag = fb_loaded_tag_at(loaded, i);
        result = fb_buf_byte(packed, (char)tag.len);
        if (result == FB_OK) {
            result = fb_buf_append(packed, tag);
        }
    }
    return result;
}

static void copy_value(void *arg, const fb_value *value) {
    fb_owed *owed = arg;
    fb_blob_drop(owed->value);
    owed->value = fb_blob_new(value->data);
    owed->value_kind = value->kind;
}

// What an edit has left in memory.
static void take_edited(fb_gate *gate, const fb_op *op, fb_owed *owed, int64_t now_ns) {
    fb_found found;
    fb_find find = fb_cache_read(gate->cache, op->key, now_ns, NULL, copy_value, owed, &found);
    owed->expires_ns = found.fresh_until_ns;
    if (find != FB_FIND_FRESH || found.value.version != owed->version) {
        fb_blob_drop(owed->value);
        owed->value = NULL;
    }
}

// A plain key's value is nowhere else. (Of others the source is asked again.) If the logs have other
// epochs when it is told, memory was flushed in between, and this is what is told.
static void take_value(fb_gate *gate, const fb_op *op, fb_owed *owed, int64_t now_ns) {
    owed->value = NULL;
    owed->epoch = gate->epoch;
    owed->wide_epoch = gate->wide_epoch;
    owed->wides = gate->wides;
    if (op->class_->id != FB_CLASS_PLAIN) {
        return;
    }
    if (op->kind != FB_OP_SET) {
        take_edited(gate, op, owed, now_ns);
        return;
    }
    owed->value = fb_blob_take(op->loaded.value);
    owed->value_kind = op->loaded.kind;
    owed->expires_ns = op->ttl_ns > 0 ? fb_gate_after(now_ns, op->ttl_ns) : INT64_MAX;
}

static void owe_set(fb_gate *gate, const fb_op *op, int64_t now_ns) {
    fb_buf tags = {0};
    fb_owed owed = {.kind = FB_OWED_SET};
    owed.version = version_in_memory(gate, op->key, now_ns);
    take_value(gate, op, &owed, now_ns);
    if ((owed.version == 0 && owed.value == NULL) || pack_tags(&op->loaded, &tags) < 0) {
        owed.kind = FB_OWED_DROP;
    }
    owed.tags = fb_buf_str(&tags);
    owe(gate, op, &owed, now_ns);
    fb_buf_release(&tags);
    fb_blob_drop(owed.value);
}

// ---- SET, DEL, INVALIDATE

static int put(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_str tags[FB_TAGS_MAX];
    for (size_t i = 0; i < op->loaded.tag_count; i++) {
        tags[i] = fb_loaded_tag_at(&op->loaded, i);
    }
    return fb_cache_put(gate->cache, op->key, fb_blob_str(op->loaded.value), op->ttl_ns, tags,
                        op->loaded.tag_count, now_ns);
}

static int set(fb_gate *gate, fb_op *op, int64_t now_ns) {
    int result = put(gate, op, now_ns);
    if (result == FB_OK) {
        op->request.record.fence = op->loaded.source_version;
        owe_set(gate, op, now_ns);
    } else if (op->sent_ns != 0) {  // perhaps it is there, perhaps what was before
        fb_op_forget(gate, op, now_ns);
        owe_drop(gate, op, now_ns);
    }
    return result;
}

static int drop(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_op_forget(gate, op, now_ns);
    owe_drop(gate, op, now_ns);
    return !op->is_del || op->had ? FB_OK : FB_MISS;
}

// ---- edits

typedef struct watching {
    fb_op *op;
    fb_edit_action action;
    bool found;
} watching;

static int watch(void *arg, fb_edit *edit) {
    watching *seen = arg;
    bool found = edit->found;
    int result = seen->op->edit(seen->op->edit_arg, edit);
    seen->action = result < 0 ? FB_EDIT_KEEP : edit->action;
    seen->found = found;
    return result;
}

// Whether the entry has no tags but those that follow from its key.
static bool is_untagged(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_explanation told;
    size_t own = op->loaded.tag_count;
    fb_loaded index;
    fb_loaded_init(&index);
    int result = fb_catalog_key_tags(fb_cache_catalog(gate->cache), op->key, &index);
    own += index.tag_count;
    fb_loaded_release(&index);
    return result == FB_OK && fb_cache_explain(gate->cache, op->key, now_ns, &told) == FB_OK &&
           told.tag_count <= own;
}

static void owe_edit(fb_gate *gate, fb_op *op, const watching *seen, int64_t now_ns) {
    const fb_owed *owed = fb_outbox_find(gate->outbox, FB_RECORD_KEY, op->key);
    if (op->kind == FB_OP_ADD || op->edit == fb_add_edit) {
        fb_owed adds = {.kind = FB_OWED_ADD, .delta = op->adding.delta};
        adds.version = version_in_memory(gate, op->key, now_ns);
        owe(gate, op, &adds, now_ns);
        return;
    }
    if (seen->action == FB_EDIT_DELETE) {
        owe_drop(gate, op, now_ns);
        return;
    }
    if (owed != NULL && owed->kind == FB_OWED_SET) {  // with its tags, which the edit has kept
        fb_owed again = *owed;
        again.version = version_in_memory(gate, op->key, now_ns);
        if (again.version != 0) {
            take_value(gate, op, &again, now_ns);
            fb_outbox_owe(gate->outbox, &again, now_ns);
            fb_blob_drop(again.value);
            return;
        }
    }
    fb_loaded_release(&op->loaded);
    bool knows = fb_op_take_key_tags(op) == FB_OK &&
                 (!seen->found || is_untagged(gate, op, now_ns));
    if (knows) {
        owe_set(gate, op, now_ns);
    } else {
        owe_drop(gate, op, now_ns);
    }
}

static int edit(fb_gate *gate, fb_op *op, int64_t now_ns) {
    watching seen = {.op = op};
    int64_t wall_ms = op->wall_ms + (now_ns - op->begun_ns) / FB_NS_PER_MS;
    int result = fb_cache_edit(gate->cache, op->key, now_ns, wall_ms, watch, &seen);
    bool changes = seen.action == FB_EDIT_PUT || (seen.action != FB_EDIT_KEEP && seen.found);
    if (result >= 0 && changes) {
        owe_edit(gate, op, &seen, now_ns);
    }
    return result;
}

// ---- all

// How things stand before memory is changed: what comes in between must not be taken for older.
static void look_around(fb_gate *gate, const fb_op *op) {
    fb_mark mark;
    gate->wides = fb_sync_wides(gate->sync);
    fb_cache_mark(gate->cache, gate->partitions, &mark);
    gate->wide_epoch = mark.epoch;
    fb_cache_mark(gate->cache, op->request.log, &mark);
    gate->epoch = mark.epoch;
}

void fb_away_do(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_outcome outcome = {.result = FB_OK, .number = -1};
    look_around(gate, op);
    switch (op->kind) {
        case FB_OP_SET:
            outcome.result = set(gate, op, now_ns);
            break;
        case FB_OP_DROP:
            outcome.result = drop(gate, op, now_ns);
            outcome.number = op->removed;
            break;
        case FB_OP_EDIT:
        case FB_OP_ADD:
            outcome.result = edit(gate, op, now_ns);
            outcome.number = op->adding.number;
            break;
        default:
            FB_ASSERT(op->kind == FB_OP_WIDE);
            if (op->sent_ns != 0) {  // since then a value from before may have been taken
                fb_wide_apply(gate, op, now_ns);
            }
            owe_drop(gate, op, now_ns);
            outcome.number = op->removed;
    }
    fb_change_end(gate, op, &outcome, FB_REACH_LOCAL, NULL);
}
