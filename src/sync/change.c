// Changes that do not depend on what is there.
//
// Memory follows in two steps. When the request goes out, what memory has goes and the loads under
// way are doomed: they may have seen what was before. When it is acknowledged, the same again,
// since in between a load may have taken the old value from the shared tier. A value that was
// stored there is kept in memory too, under a ticket that was registered before the request went
// out: had another node's later change been applied here meanwhile, it would have doomed that
// ticket. (The record of our own is passed over by the follower, so nobody else takes the value
// away again.)

#include "sync/gate_state.h"

void fb_op_forget(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->kind == FB_OP_WIDE) {
        fb_wide_apply(gate, op, now_ns);
        return;
    }
    const fb_record *record = &op->request.record;
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = op->key, .soft = record->soft};
    int64_t removed = 0;
    bool fences = op->kind == FB_OP_DROP && record->fence != 0;
    if (fences) {
        fb_cache_fence(gate->cache, op->key, record->fence, now_ns);
    }
    int result = fb_cache_invalidate(gate->cache, &what, now_ns, &removed);
    FB_ASSERT(result == FB_OK);  // by key it takes no memory
    if (op->hold_ns > 0) {
        fb_cache_hold(gate->cache, op->key, fb_gate_after(now_ns, op->hold_ns), now_ns);
    }
    if (op->removed < removed) {
        op->removed = removed;
    }
}

bool fb_op_overtaken(const fb_gate *gate, const fb_op *op) {
    const fb_owed *owed = fb_outbox_find(gate->outbox, op->request.record.kind, op->key);
    bool is_ours = op->is_told && owed != NULL && owed->generation == op->generation;
    return op->kind != FB_OP_WIDE && owed != NULL && !is_ours;
}

void fb_op_forget_again(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (!fb_op_overtaken(gate, op)) {
        fb_op_forget(gate, op, now_ns);
    }
}

static int take_ticket(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->ticket != NULL) {
        fb_cache_end(gate->cache, op->ticket);
        op->ticket = NULL;
    }
    return fb_cache_begin(gate->cache, op->class_, op->key, now_ns, &op->ticket);
}

int fb_op_claim(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_op_forget(gate, op, now_ns);
    return FB_RULE(ticket_before_set) ? take_ticket(gate, op, now_ns) : FB_OK;
}

void fb_op_keep(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (fb_op_overtaken(gate, op)) {
        return;
    }
    int result = FB_RULE(ticket_before_set) ? FB_OK : take_ticket(gate, op, now_ns);
    if (result == FB_OK) {
        result = fb_cache_put_under(gate->cache, op->ticket, &op->loaded, op->memory_ns, now_ns);
    }
    // It is not in memory then, and nothing older is: the next read asks the shared tier.
    (void)result;
}

// ---- SET

void fb_set_send(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_sync_wide(gate->sync, &op->request.wide);
    if (op->request.wide.epoch == 0) {
        // Just begun: nobody could take a value that is stamped with no place of the wide log.
        fb_away_do(gate, op, now_ns);
        return;
    }
    int result = fb_op_claim(gate, op, now_ns);
    if (result < 0) {
        fb_outcome outcome = {.result = result};
        fb_change_end(gate, op, &outcome, FB_REACH_LOCAL, NULL);
        return;
    }
    op->request.loaded = &op->loaded;
    fb_op_send(gate, op, FB_SYNC_SET, now_ns);
}

void fb_set_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    fb_outcome outcome = {.result = FB_OK, .number = -1};
    if (reply->result == FB_SYNC_DONE) {
        fb_op_acked(gate, op, reply);
        if (!op->is_told) {
            fb_op_keep(gate, op, now_ns);
        } else if (fb_ticket_doomed(op->ticket)) {
            fb_op_forget_again(gate, op, now_ns);
        }
        fb_change_done(gate, op, &outcome, &reply->mark, now_ns);
    } else if (reply->result == FB_SYNC_REFUSED) {
        fb_op_forget_again(gate, op, now_ns);  // somebody has something newer
        outcome.result = FB_REFUSED;
        fb_change_done(gate, op, &outcome, &reply->mark, now_ns);
    } else {
        fb_change_failed(gate, op, reply, now_ns);
    }
}

// ---- DEL, INVALIDATE

void fb_drop_send(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (!op->is_told) {
        fb_op_forget(gate, op, now_ns);
    }
    fb_op_send(gate, op, FB_SYNC_DROP, now_ns);
}

void fb_drop_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (reply->result != FB_SYNC_DONE) {
        fb_change_failed(gate, op, reply, now_ns);
        return;
    }
    fb_op_acked(gate, op, reply);
    if (FB_RULE(reapply)) {
        fb_op_forget_again(gate, op, now_ns);
    }
    // Memory may still have what somebody else deleted a moment ago: of all who delete one has.
    bool there = !op->is_del || reply->found;
    fb_outcome outcome = {.result = there ? FB_OK : FB_MISS, .number = op->removed};
    fb_change_done(gate, op, &outcome, &reply->mark, now_ns);
}
