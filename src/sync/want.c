// What callers want to change, taken in, and what all changes have in common.
//
// Changes of one key are told one after the other: the next is sent when the one before it has been
// answered, so that no retry and no second connection can turn them round. They wait in a line,
// which exists while there is one. An edit leaves its line as soon as it begins: it stores on
// condition of what it has read, so others may come in between. If they do so again and again, it
// goes back into the line and keeps its place there: of all that meet, one from each node.
//
// A change ends in one of three ways. The shared tier has done it: memory follows, and who waits is
// told, or, of those that are to reach all nodes, waits for them. It has not been done: it takes
// effect in memory alone, and is owed. Nobody knows: likewise, since what is told twice does no
// harm; but not edits, which may have been done and must not be done twice.

#include "sync/gate_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// ---- lines

int fb_line_join(fb_gate *gate, fb_op *op) {
    fb_line *line = fb_map_get(&gate->lines, op->key);
    if (line == NULL) {
        line = fb_mem_zero(1, sizeof *line + op->key.len);
        if (line == NULL) {
            return FB_ENOMEM;
        }
        line->key = fb_str_make((char *)(line + 1), op->key.len);
        if (op->key.len > 0) {
            memcpy(line + 1, op->key.ptr, op->key.len);
        }
        fb_list_init(&line->ops);
        fb_list_init(&line->ready);
        int result = fb_map_put(&gate->lines, line->key, line);
        if (result < 0) {
            fb_mem_free(line);
            return result;
        }
    }
    fb_list_insert(&line->ops, &op->turn);
    op->line = line;
    return FB_OK;
}

bool fb_line_is_first(const fb_op *op) {
    return op->line->ops.next == &op->turn;
}

void fb_line_leave(fb_gate *gate, fb_op *op) {
    fb_line *line = op->line;
    if (line == NULL) {
        return;
    }
    bool first = fb_line_is_first(op);
    fb_list_remove(&op->turn);
    op->line = NULL;
    if (fb_list_empty(&line->ops)) {
        fb_list_remove(&line->ready);
        (void)fb_map_remove(&gate->lines, line->key);
        fb_mem_free(line);
    } else if (first && fb_list_empty(&line->ready)) {
        fb_list_insert(&gate->ready, &line->ready);
    }
}

bool fb_line_is_local(const fb_gate *gate, fb_str key) {
    const fb_line *line = fb_map_get(&gate->lines, key);
    if (line == NULL || !FB_RULE(local_first)) {
        return false;
    }
    FB_LIST_EACH(node, &line->ops) {
        if (FB_LIST_OF(node, fb_op, turn)->is_local) {
            return true;
        }
    }
    return false;
}

void fb_lines_step(fb_gate *gate, int64_t now_ns) {
    while (!fb_list_empty(&gate->ready)) {
        fb_line *line = FB_LIST_OF(gate->ready.next, fb_line, ready);
        fb_list_remove(&line->ready);
        fb_change_begin(gate, FB_LIST_OF(line->ops.next, fb_op, turn), now_ns);
    }
}

// ---- what is to be stored

int fb_gate_key_tags(const fb_class *class_, fb_str key, fb_loaded *loaded) {
    fb_buf scratch = {0};
    fb_loaded tags;
    fb_loaded_init(&tags);
    int result = fb_class_key_tags(class_, key, &scratch, &tags);
    for (size_t i = 0; i < tags.tag_count && result == FB_OK; i++) {
        fb_str tag = fb_loaded_tag_at(&tags, i);
        if (tag.ptr[0] != FB_TAG_OWN) {  // every node knows those of itself
            result = fb_loaded_add_tag(loaded, tag);
        }
    }
    fb_loaded_release(&tags);
    fb_buf_release(&scratch);
    return result;
}

int fb_op_take_key_tags(fb_op *op) {
    return fb_gate_key_tags(op->class_, op->key, &op->loaded);
}

static int64_t shorter(int64_t a_ns, int64_t b_ns) {
    return a_ns < b_ns ? a_ns : b_ns;
}

// Of a key of a class, memory keeps it no longer than the class says.
static void take_times(fb_op *op, int64_t ttl_ns) {
    const fb_class_options *options = &op->class_->options;
    bool plain = op->class_->id == FB_CLASS_PLAIN;
    int64_t shared_ns = ttl_ns < 0 ? INT64_MAX : ttl_ns;
    if (ttl_ns == 0) {
        shared_ns = plain || options->ttl_ns <= 0 ? INT64_MAX : options->ttl_ns;
    }
    int64_t class_ns =
        plain || options->memory_ttl_ns <= 0 ? INT64_MAX : options->memory_ttl_ns;
    op->ttl_ns = ttl_ns;
    op->request.ttl_ns = shared_ns == INT64_MAX ? -1 : shared_ns;
    op->memory_ns = shorter(shared_ns, class_ns);
}

int fb_op_take_value(fb_gate *gate, fb_op *op, const fb_want *want) {
    if (want->key.len + want->value.len > fb_store_value_max(fb_cache_store(gate->cache))) {
        return FB_ETOOBIG;
    }
    int result = fb_loaded_value(&op->loaded, want->value);
    for (size_t i = 0; i < want->tag_count && result == FB_OK; i++) {
        result = fb_loaded_tag(&op->loaded, want->tags[i]);
    }
    if (result == FB_OK) {
        result = fb_op_take_key_tags(op);
    }
    if (result == FB_OK) {
        op->loaded.result = FB_OK;
        op->loaded.source_version = want->source_version;
        take_times(op, want->ttl_ns);
    }
    return result;
}

// ---- wants

static fb_op_kind kind_of(const fb_want *want) {
    switch (want->kind) {
        case FB_WANT_SET:
            return FB_OP_SET;
        case FB_WANT_EDIT:
            return FB_OP_EDIT;
        case FB_WANT_ADD:
            return FB_OP_ADD;
        default:
            FB_ASSERT(want->kind == FB_WANT_DEL || want->kind == FB_WANT_INVALIDATE);
            return FB_OP_DROP;
    }
}

static bool is_there(const fb_gate *gate, fb_str key, int64_t now_ns) {
    fb_found found;
    fb_find find = fb_cache_peek(gate->cache, key, now_ns, &found);
    return !found.negative &&
           (find == FB_FIND_FRESH || find == FB_FIND_EARLY || find == FB_FIND_STALE);
}

static int take(fb_gate *gate, fb_op *op, const fb_want *want, int64_t now_ns) {
    fb_record *record = &op->request.record;
    op->reach = want->reach;
    fb_op_record(gate, op, FB_RECORD_KEY);
    switch (want->kind) {
        case FB_WANT_SET:
            return fb_op_take_value(gate, op, want);
        case FB_WANT_DEL:
            op->is_del = true;
            op->had = is_there(gate, op->key, now_ns);
            return FB_OK;
        case FB_WANT_EDIT:
            op->edit = want->edit;
            op->edit_arg = want->edit_arg;
            op->wall_ms = want->wall_ms;
            return FB_OK;
        case FB_WANT_ADD:
            op->adding.delta = want->delta;
            op->edit = fb_add_edit;
            op->edit_arg = &op->adding;
            return FB_OK;
        default:
            record->soft = want->what.soft;
            record->fence = want->source_version;
            record->wants_ack = want->reach == FB_REACH_NODES;
            op->hold_ns = want->hold_ns;
            record->hold_ms = want->hold_ns / FB_NS_PER_MS + (want->hold_ns % FB_NS_PER_MS != 0);
            op->until_ns = fb_gate_after(
                now_ns, want->timeout_ns > 0 ? want->timeout_ns : gate->hard_ns);
            return FB_OK;
    }
}

// It waits for its turn; what concerns memory does not.
static void wait_in_line(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->kind == FB_OP_SET || op->kind == FB_OP_DROP) {
        fb_op_forget(gate, op, now_ns);
    }
}

static void begin_or_wait(fb_gate *gate, fb_op *op, int64_t now_ns) {
    op->is_local = op->reach == FB_REACH_LOCAL && op->kind == FB_OP_DROP && !op->is_del;
    if (op->is_local) {
        fb_op_forget(gate, op, now_ns);
        fb_outcome outcome = {.number = op->removed, .receipt.reached = FB_REACH_LOCAL};
        fb_op_answer_early(gate, op, &outcome);
    }
    if (fb_line_is_first(op)) {
        fb_change_begin(gate, op, now_ns);
    } else {
        wait_in_line(gate, op, now_ns);
    }
}

static fb_str key_of(const fb_want *want) {
    return want->kind == FB_WANT_INVALIDATE ? want->what.name : want->key;
}

int fb_change_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    fb_str key = key_of(want);
    if (key.len > FB_KEY_LEN_MAX) {
        return FB_ETOOBIG;
    }
    fb_asker *asker = fb_asker_new(want->waiter);
    fb_op *op = asker != NULL ? fb_op_new(gate, kind_of(want), key, now_ns) : NULL;
    int result = op != NULL ? take(gate, op, want, now_ns) : FB_ENOMEM;
    if (result == FB_OK) {
        result = fb_line_join(gate, op);
    }
    if (result < 0) {
        if (op != NULL) {
            fb_op_free(gate, op);
        }
        fb_asker_free(asker);
        return result;
    }
    fb_list_insert(&op->askers, &asker->list);
    begin_or_wait(gate, op, now_ns);
    return FB_OK;
}

int fb_change_flight(fb_gate *gate, const fb_action *action, int64_t now_ns) {
    fb_op *op = fb_op_new(gate, FB_OP_DROP, action->key, now_ns);
    int result = op != NULL ? fb_line_join(gate, op) : FB_ENOMEM;
    if (result < 0) {
        if (op != NULL) {
            fb_op_free(gate, op);
        }
        return result;
    }
    op->remote = action->remote;
    fb_op_record(gate, op, FB_RECORD_KEY);
    begin_or_wait(gate, op, now_ns);
    return FB_OK;
}

void fb_change_begin(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_op_unsure(gate, op);
    if (!fb_gate_tells(gate, op->request.log)) {
        fb_gate_count(gate, FB_SYNC_COUNT_passed_by);
        fb_away_do(gate, op, now_ns);
        return;
    }
    if (op->tries == 0) {
        fb_gate_count(gate, FB_SYNC_COUNT_changes);
    }
    switch (op->kind) {
        case FB_OP_SET:
            fb_set_send(gate, op, now_ns);
            break;
        case FB_OP_EDIT:
            fb_edit_begin(gate, op, now_ns);
            break;
        case FB_OP_ADD:
            fb_add_send(gate, op, now_ns);
            break;
        default:
            FB_ASSERT(op->kind == FB_OP_DROP);
            fb_drop_send(gate, op, now_ns);
    }
}

// ---- their ends

void fb_op_record(fb_gate *gate, fb_op *op, fb_record_kind kind) {
    op->request.record.kind = kind;
    op->request.record.nonce = fb_gate_random(gate);
    op->request.record.node = gate->node;
    op->request.record.name = op->key;
}

fb_receipt fb_receipt_of(fb_reach reached, uint32_t log, const fb_mark *mark) {
    fb_receipt receipt = {.reached = reached};
    if (mark != NULL) {
        (void)snprintf(receipt.token, sizeof receipt.token, "%" PRIx32 ":%" PRIx64 ":%" PRIx64,
                       log, mark->epoch, mark->seq);
    }
    return receipt;
}

void fb_change_end(fb_gate *gate, fb_op *op, fb_outcome *outcome, fb_reach reached,
                   const fb_mark *mark) {
    uint32_t said = outcome->receipt.node_count, alive = outcome->receipt.nodes_alive;
    outcome->receipt = fb_receipt_of(reached, op->request.log, mark);
    outcome->receipt.node_count = said;
    outcome->receipt.nodes_alive = alive;
    if (op->reach > reached && (outcome->result == FB_OK || outcome->result == FB_MISS)) {
        outcome->result = FB_REFUSED;
    }
    op->reply.result = FB_REMOTE_DONE;
    fb_line_leave(gate, op);
    fb_op_answer(gate, op, outcome);
}

void fb_change_done(fb_gate *gate, fb_op *op, fb_outcome *outcome, const fb_mark *mark,
                    int64_t now_ns) {
    if (op->is_told) {
        fb_replay_done(gate, op, now_ns);
    } else if (mark != NULL && op->reach == FB_REACH_NODES && op->request.record.wants_ack) {
        fb_line_leave(gate, op);
        fb_acks_begin(gate, op, mark, now_ns);
    } else {
        fb_change_end(gate, op, outcome, FB_REACH_SHARED, mark);
    }
}

static bool is_edit(const fb_op *op) {
    return op->kind == FB_OP_EDIT || op->kind == FB_OP_ADD;
}

void fb_change_failed(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns) {
    bool unknown = reply->result == FB_SYNC_UNKNOWN;
    if (unknown) {
        fb_sync_disown(gate->sync, op->request.record.nonce);
    }
    if (reply->result == FB_SYNC_NO_EPOCH) {
        fb_gate_suspect(gate, op->request.log, &(fb_mark){0});
    }
    // Of a value that was owed memory has the newest word.
    bool keeps = op->is_told && op->kind == FB_OP_SET && !fb_ticket_doomed(op->ticket);
    if (unknown && !keeps && FB_RULE(drop_on_unknown)) {
        fb_op_forget_again(gate, op, now_ns);
    }
    if (op->is_told) {
        fb_replay_failed(gate, op, reply, now_ns);
    } else if (unknown && is_edit(op)) {
        fb_outcome outcome = {.result = FB_ETIMEDOUT,
                              .error = "no answer in time: it may have been done, or not"};
        fb_change_end(gate, op, &outcome, FB_REACH_LOCAL, NULL);
    } else {
        fb_away_do(gate, op, now_ns);
    }
}
