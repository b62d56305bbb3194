// Invalidations of many keys: tags, classes, namespaces, patterns, everything. They take effect
// here at once, then a record in the wide log says so to all, and raises the stamps by which values
// in the shared tier are judged; when that is acknowledged they are applied here again, to memory
// and to our own stamps, because in between a value from before may have been taken.
//
// A pattern that is a prefix up to an indexed parameter is the tag that all its keys have. Any
// other has no stamp: its keys are looked for in the shared tier and removed there (SWEEP) before
// the record is appended, so that whoever applies the record finds nothing old there any more. A
// fail-over between the two may bring back what was removed, and no log shows it: so both are done
// twice. (A later one that loses the first removal loses a record with it, which is noticed.)
//
// Who wants to know that all nodes follow waits for what they say when they have applied the
// record. Who of them lives is asked after it was appended: who comes later begins behind it. The
// list of those who live may have been lost with all the rest (FLUSHALL). It is complete again when
// each has said that it lives, which each does several times within max_lag; so it is believed only
// where the log's epoch is older than that, and only if we are on it ourselves. A fail-over may lose
// the last that were put on it, too, and no log: so neither is it believed so soon after the link was
// lost.

#include "sync/gate_state.h"

static const int64_t SWEEP_NS = 30 * FB_NS_PER_S;

// ---- names

static fb_record_kind kind_of(fb_scope scope) {
    switch (scope) {
        case FB_SCOPE_TAG:
            return FB_RECORD_TAG;
        case FB_SCOPE_CLASS:
            return FB_RECORD_CLASS;
        case FB_SCOPE_NAMESPACE:
            return FB_RECORD_NAMESPACE;
        case FB_SCOPE_PATTERN:
            return FB_RECORD_PATTERN;
        default:
            return FB_RECORD_ALL;
    }
}

static fb_scope scope_of(fb_record_kind kind) {
    switch (kind) {
        case FB_RECORD_TAG:
            return FB_SCOPE_TAG;
        case FB_RECORD_CLASS:
            return FB_SCOPE_CLASS;
        case FB_RECORD_NAMESPACE:
            return FB_SCOPE_NAMESPACE;
        case FB_RECORD_PATTERN:
            return FB_SCOPE_PATTERN;
        default:
            return FB_SCOPE_ALL;
    }
}

// *removed may be NULL. FB_ENOCLASS.
static int apply(fb_gate *gate, const fb_record *record, int64_t now_ns, int64_t *removed) {
    fb_invalidation what = {.scope = scope_of(record->kind),
                            .name = record->name,
                            .soft = record->soft};
    int result = fb_cache_invalidate(gate->cache, &what, now_ns, removed);
    fb_sync_wide_applied(gate->sync);
    return result;
}

void fb_wide_apply(fb_gate *gate, fb_op *op, int64_t now_ns) {
    // That a class has gone since it was asked for is no failure: so have its entries.
    FB_IGNORE(apply(gate, &op->request.record, now_ns, NULL));
}

// ---- wants

// What is invalidated; *kind and *name as the record has them. `tag` holds the name of an index
// tag.
static int translate(fb_gate *gate, const fb_invalidation *what, fb_buf *tag, fb_record_kind *kind,
                     fb_str *name) {
    *kind = kind_of(what->scope);
    *name = *kind == FB_RECORD_ALL ? (fb_str){NULL, 0} : what->name;
    if (*kind != FB_RECORD_PATTERN) {
        return FB_OK;
    }
    int result = fb_catalog_index_tag(fb_cache_catalog(gate->cache), what->name, tag);
    if (result == FB_OK) {
        *kind = FB_RECORD_TAG;
        *name = fb_buf_str(tag);
    }
    return result < 0 ? result : FB_OK;
}

static int new_wide(fb_gate *gate, const fb_want *want, int64_t now_ns, fb_op **op) {
    fb_buf tag = {0};
    fb_record_kind kind;
    fb_str name;
    int result = translate(gate, &want->what, &tag, &kind, &name);
    fb_op *made = result == FB_OK ? fb_op_new(gate, FB_OP_WIDE, name, now_ns) : NULL;
    fb_buf_release(&tag);
    if (made == NULL) {
        return result < 0 ? result : FB_ENOMEM;
    }
    made->request.log = gate->partitions;
    fb_op_record(gate, made, kind);
    made->request.record.soft = want->what.soft;
    made->request.record.wants_ack = want->reach == FB_REACH_NODES;
    made->reach = want->reach;
    made->until_ns =
        fb_gate_after(now_ns, want->timeout_ns > 0 ? want->timeout_ns : gate->hard_ns);
    *op = made;
    return FB_OK;
}

int fb_wide_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    FB_ASSERT(gate->lane == 0);
    fb_op *op = NULL;
    if (want->what.name.len > FB_KEY_LEN_MAX) {
        return FB_ETOOBIG;
    }
    fb_asker *asker = fb_asker_new(want->waiter);
    int result = asker != NULL ? new_wide(gate, want, now_ns, &op) : FB_ENOMEM;
    if (result == FB_OK) {
        fb_op_unsure(gate, op);
        result = apply(gate, &op->request.record, now_ns, &op->removed);
    }
    if (result < 0) {
        if (op != NULL) {
            fb_op_free(gate, op);
        }
        fb_asker_free(asker);
        return result;
    }
    fb_list_insert(&op->askers, &asker->list);
    if (op->reach == FB_REACH_LOCAL) {
        op->is_local = true;
        gate->local_wide++;
        fb_outcome outcome = {.number = op->removed, .receipt.reached = FB_REACH_LOCAL};
        fb_op_answer_early(gate, op, &outcome);
    }
    if (!fb_gate_tells(gate, op->request.log)) {
        fb_gate_count(gate, FB_SYNC_COUNT_passed_by);
        fb_away_do(gate, op, now_ns);
        return FB_OK;
    }
    fb_gate_count(gate, FB_SYNC_COUNT_changes);
    fb_wide_send(gate, op, now_ns);
    return FB_OK;
}

// ---- telling

static void bump(fb_gate *gate, fb_op *op, int64_t now_ns) {
    op->request.records = &op->request.record;
    op->request.record_count = 1;
    op->request.timeout_ns = gate->hard_ns;
    fb_op_send(gate, op, FB_SYNC_BUMP, now_ns);
}

void fb_wide_send(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->request.record.kind == FB_RECORD_PATTERN) {
        op->request.timeout_ns = SWEEP_NS;
        fb_op_send(gate, op, FB_SYNC_SWEEP, now_ns);
    } else {
        bump(gate, op, now_ns);
    }
}

// The log has an epoch that this node does not follow yet, so its stamps cannot be raised, and
// values of the former one would still be taken here: it stays owed until they can.
static bool knows_epoch(const fb_gate *gate, const fb_sync_reply *reply) {
    fb_mark wide;
    fb_sync_wide(gate->sync, &wide);
    return !FB_RULE(bump_epoch) || wide.epoch == reply->mark.epoch;
}

void fb_wide_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (reply->result != FB_SYNC_DONE) {
        fb_change_failed(gate, op, reply, now_ns);
        return;
    }
    if (op->request.verb == FB_SYNC_SWEEP) {
        if (reply->number > op->removed) {
            op->removed = reply->number;
        }
        bump(gate, op, now_ns);
        return;
    }
    fb_op_acked(gate, op, reply);
    if (!knows_epoch(gate, reply)) {
        fb_sync_reply again = {.result = FB_SYNC_FAILED, .mark = reply->mark, .text = ""};
        fb_change_failed(gate, op, &again, now_ns);
        return;
    }
    op->request.record.seq = reply->mark.seq;
    if (FB_RULE(reapply)) {
        fb_wide_apply(gate, op, now_ns);
        fb_sync_stamps_raise(gate->sync, &op->request.record, &reply->mark);
    }
    if (op->request.record.kind == FB_RECORD_PATTERN && !op->swept && FB_RULE(sweep_again)) {
        op->swept = true;
        fb_op_record(gate, op, FB_RECORD_PATTERN);
        fb_wide_send(gate, op, now_ns);
        return;
    }
    fb_outcome outcome = {.number = op->removed};
    fb_change_done(gate, op, &outcome, &reply->mark, now_ns);
}

// ---- who has said so

static bool has_said(const fb_acks *acks, uint64_t node) {
    for (size_t i = 0; i < acks->said_count; i++) {
        if (acks->said[i] == node) {
            return true;
        }
    }
    return false;
}

static void look_at(fb_gate *gate, uint32_t log, int64_t now_ns) {
    fb_mark mark;
    fb_log *at = &gate->logs[log];
    fb_cache_mark(gate->cache, log, &mark);
    if (mark.epoch != at->epoch) {
        at->epoch = mark.epoch;
        at->since_ns = now_ns;
    }
}

void fb_acks_watch(fb_gate *gate, int64_t now_ns) {
    if (!gate->link_up || now_ns < gate->look_ns) {
        return;
    }
    for (uint32_t log = 0; log <= gate->partitions; log++) {
        look_at(gate, log, now_ns);
    }
    gate->look_ns = now_ns + fb_sync_options_of(gate->sync)->max_lag_ns / 4;
}

// Whether whoever lives has said so since the log began, and since another server may have taken over.
static bool is_old_enough(fb_gate *gate, const fb_op *op, int64_t now_ns) {
    const fb_log *log = &gate->logs[op->request.log];
    int64_t max_lag_ns = fb_sync_options_of(gate->sync)->max_lag_ns;
    look_at(gate, op->request.log, now_ns);
    return log->epoch == op->acks.mark.epoch && now_ns - log->since_ns > max_lag_ns &&
           (gate->lost_ns == INT64_MIN || now_ns - gate->lost_ns > max_lag_ns);
}

static void end(fb_gate *gate, fb_op *op) {
    fb_acks *acks = &op->acks;
    fb_outcome outcome = {.number = op->removed};
    bool are_we = false;
    for (size_t i = 0; i < acks->alive_count; i++) {
        are_we |= acks->alive[i] == gate->node;
        bool other = acks->alive[i] != gate->node;
        outcome.receipt.nodes_alive += other;
        outcome.receipt.node_count += other && has_said(acks, acks->alive[i]);
    }
    bool all = acks->asked && acks->sure && are_we &&
               outcome.receipt.node_count == outcome.receipt.nodes_alive;
    fb_reach reached = all ? FB_REACH_NODES : FB_REACH_SHARED;
    fb_change_end(gate, op, &outcome, reached, &acks->mark);
}

static bool is_complete(const fb_gate *gate, const fb_acks *acks) {
    for (size_t i = 0; i < acks->alive_count; i++) {
        if (acks->alive[i] != gate->node && !has_said(acks, acks->alive[i])) {
            return false;
        }
    }
    return acks->asked;
}

void fb_acks_begin(fb_gate *gate, fb_op *op, const fb_mark *mark, int64_t now_ns) {
    op->acks.waits = true;
    op->acks.mark = *mark;
    if (now_ns >= op->until_ns) {
        end(gate, op);
        return;
    }
    FB_IGNORE(fb_heap_put(&gate->timers, &op->alarm.node, op->until_ns));  // it is in there
    op->acks.asking = true;
    op->acks.sure = is_old_enough(gate, op, now_ns);
    op->request.timeout_ns = op->until_ns - now_ns;
    fb_op_send(gate, op, FB_SYNC_NODES, now_ns);
}

void fb_acks_reply(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns) {
    fb_acks *acks = &op->acks;
    acks->asking = false;
    if (op->is_answered) {
        fb_op_free(gate, op);
        return;
    }
    if (reply->result == FB_SYNC_DONE) {
        acks->alive = fb_mem_zero(reply->node_count + 1, sizeof *acks->alive);
        acks->asked = acks->alive != NULL;
        for (size_t i = 0; acks->asked && i < reply->node_count; i++) {
            acks->alive[acks->alive_count++] = reply->nodes[i];
        }
    }
    if (!acks->asked || is_complete(gate, acks)) {
        end(gate, op);
    }
}

static void note(fb_acks *acks, uint64_t node) {
    if (has_said(acks, node)) {
        return;
    }
    if (acks->said_count == acks->said_cap) {
        size_t cap = acks->said_cap * 2 + 8;
        uint64_t *said = fb_mem_resize(acks->said, cap * sizeof *said);
        if (said == NULL) {
            return;  // as if it had not said it: the caller is told too little, not too much
        }
        acks->said = said;
        acks->said_cap = cap;
    }
    acks->said[acks->said_count++] = node;
}

void fb_acks_hear(fb_gate *gate, uint64_t nonce, uint64_t node) {
    FB_LIST_EACH_SAFE(at, after, &gate->all) {
        fb_op *op = FB_LIST_OF(at, fb_op, list);
        if (op->request.record.wants_ack && op->request.record.nonce == nonce && !op->is_answered) {
            note(&op->acks, node);
            if (op->acks.waits && is_complete(gate, &op->acks)) {
                end(gate, op);
            }
            return;
        }
    }
}

void fb_acks_time_out(fb_gate *gate, fb_op *op, int64_t now_ns) {
    FB_ASSERT(op->acks.waits);
    FB_IGNORE(fb_heap_put(&gate->timers, &op->alarm.node, INT64_MAX));  // it is in there
    if (!op->acks.asking) {
        end(gate, op);
        return;
    }
    // The reply that is on its way ends it.
    fb_outcome outcome = {.result = FB_REFUSED, .number = op->removed};
    outcome.receipt = fb_receipt_of(FB_REACH_SHARED, op->request.log, &op->acks.mark);
    op->is_answered = true;
    fb_op_answer_early(gate, op, &outcome);
}
