// Telling the shared tier what it missed, as soon as it is there again: a probe first, then what is
// owed, the oldest first and some of it at a time, then new epochs for the logs of which too much
// was owed. Only then changes go straight again, and values are taken.
//
// What lies in a part of the shared tier that is not reached is parked, and holds up nothing else. It
// is tried again when the port says that another part is reached now, and from time to time.
//
// What fails is tried again after a pause, which grows. What fails while others get through would
// keep all waiting, and is only dropped there in the end (outbox.h).
//
// A new epoch is opened by the gate itself, under a token of its own: when the log's epoch is that
// one, it has begun after everything that was forgotten, and what was in the shared tier before is
// void. An epoch that another node opened may have begun too early, so it is not enough. The
// follower is told to look, and that this epoch was acknowledged: a server that goes on from a copy
// of before it has lost it, and needs another one.
//
// An ADD of which nobody knows whether it was done is not told again: it would count twice.

#include "sync/gate_state.h"

static const int64_t PAUSE_MIN_NS = 10 * FB_NS_PER_MS;
static const int64_t PAUSE_MAX_NS = FB_NS_PER_S;
static const int64_t PARKED_MIN_NS = FB_NS_PER_S / 2;
static const int64_t PARKED_MAX_NS = 10 * FB_NS_PER_S;
static const int64_t LOOK_NS = 10 * FB_NS_PER_MS;
enum { TELLING_MAX = 32, WEIGHT_ALONE = 1, WEIGHT_AMONG_OTHERS = 10 };

static void pause(fb_gate *gate, int64_t now_ns) {
    gate->pause_ns = gate->pause_ns == 0 ? PAUSE_MIN_NS : 2 * gate->pause_ns;
    if (gate->pause_ns > PAUSE_MAX_NS) {
        gate->pause_ns = PAUSE_MAX_NS;
    }
    gate->retry_ns = now_ns + gate->pause_ns;
}

static bool parks(fb_gate *gate, const fb_sync_reply *reply, uint32_t log, int64_t now_ns) {
    if (reply == NULL || !reply->away || log == gate->partitions) {
        return false;
    }
    if (gate->resume_ns == INT64_MAX) {
        int64_t twice_ns = 2 * gate->parked_ns;
        gate->parked_ns = gate->parked_ns == 0 ? PARKED_MIN_NS : twice_ns;
        gate->parked_ns = gate->parked_ns > PARKED_MAX_NS ? PARKED_MAX_NS : gate->parked_ns;
        gate->resume_ns = now_ns + gate->parked_ns;
    }
    return true;
}

void fb_replay_resume(fb_gate *gate) {
    fb_outbox_resume(gate->outbox);
    gate->resume_ns = INT64_MAX;
    gate->parked_ns = 0;
}

static bool is_reached(const fb_gate *gate) {
    return gate->link_up && gate->breaker.state == FB_BREAKER_CLOSED;
}

// ---- what is owed

static void copy_value(void *arg, const fb_value *value) {
    fb_loaded *loaded = arg;
    fb_loaded_release(loaded);
    int result = fb_loaded_value(loaded, value->data);
    loaded->result = result;
}

static int unpack_tags(fb_str packed, fb_loaded *loaded) {
    int result = FB_OK;
    while (packed.len > 0 && result == FB_OK) {
        size_t len = (unsigned char)packed.ptr[0];
        result = fb_loaded_add_tag(loaded, fb_str_make(packed.ptr + 1, len));
        packed = fb_str_make(packed.ptr + 1 + len, packed.len - 1 - len);
    }
    return result;
}

// The value that was stored, if memory still has that one. FB_MISS: it has not. FB_ENOMEM.
static int find_value(fb_gate *gate, fb_op *op, const fb_owed *owed, int64_t now_ns) {
    fb_found found;
    fb_find find =
        fb_cache_read(gate->cache, op->key, now_ns, NULL, copy_value, &op->loaded, &found);
    if (find != FB_FIND_FRESH || found.negative || owed->version == 0 ||
        found.value.version != owed->version) {
        return FB_MISS;
    }
    int result = op->loaded.result;
    if (result == FB_OK) {
        result = unpack_tags(owed->tags, &op->loaded);
    }
    if (result == FB_OK) {
        result = fb_op_take_key_tags(op);
    }
    op->loaded.result = FB_OK;
    op->loaded.source_version = owed->record.fence;
    op->memory_ns = found.fresh_until_ns == INT64_MAX ? INT64_MAX : found.fresh_until_ns - now_ns;
    op->request.ttl_ns = op->memory_ns == INT64_MAX ? -1 : op->memory_ns;
    return result == FB_EINVAL ? FB_MISS : result;
}

// The value that was kept beside it, where memory was flushed since because its log, or the wide
// one, has another epoch: the server was emptied, or this node has just begun. Of two who stored
// during an outage the last one told wins (docs/decisions/0005-shared-tier.md).
static int find_kept(fb_gate *gate, fb_op *op, const fb_owed *owed, int64_t now_ns) {
    fb_mark mark;
    fb_mark wide;
    fb_cache_mark(gate->cache, owed->log, &mark);
    fb_cache_mark(gate->cache, gate->partitions, &wide);
    bool flushed = mark.epoch != owed->epoch || wide.epoch != owed->wide_epoch;
    bool hit = owed->wides != fb_sync_wides(gate->sync);  // perhaps: that costs a miss
    if (owed->value == NULL || !flushed || hit || owed->expires_ns <= now_ns) {
        return FB_MISS;
    }
    fb_loaded_release(&op->loaded);
    int result = fb_loaded_value(&op->loaded, fb_blob_str(owed->value));
    if (result == FB_OK) {
        result = unpack_tags(owed->tags, &op->loaded);
    }
    if (result == FB_OK) {
        result = fb_op_take_key_tags(op);
    }
    op->loaded.result = FB_OK;
    op->loaded.kind = owed->value_kind;
    op->loaded.source_version = owed->record.fence;
    op->memory_ns = owed->expires_ns == INT64_MAX ? INT64_MAX : owed->expires_ns - now_ns;
    op->request.ttl_ns = op->memory_ns == INT64_MAX ? -1 : op->memory_ns;
    return result == FB_EINVAL ? FB_MISS : result;
}

// The ticket comes first: what is changed after it dooms it.
static int tell_set(fb_gate *gate, fb_op *op, const fb_owed *owed, int64_t now_ns) {
    fb_sync_wide(gate->sync, &op->request.wide);
    if (op->request.wide.epoch == 0) {
        return FB_EINVAL;  // nobody could take a value that is stamped with no place of the wide log
    }
    int result = fb_cache_begin(gate->cache, op->class_, op->key, now_ns, &op->ticket);
    if (result == FB_OK) {
        result = find_value(gate, op, owed, now_ns);
    }
    if (result == FB_MISS) {
        result = find_kept(gate, op, owed, now_ns);
    }
    if (result == FB_OK) {
        op->request.record.fence = 0;
        op->request.loaded = &op->loaded;
        fb_op_send(gate, op, FB_SYNC_SET, now_ns);
    }
    return result;
}

static void tell_drop(fb_gate *gate, fb_op *op, const fb_owed *owed, int64_t now_ns) {
    int64_t left_ms = owed->record.hold_ms - (now_ns - owed->since_ns) / FB_NS_PER_MS;
    op->kind = FB_OP_DROP;
    op->request.record.hold_ms = left_ms > 0 ? left_ms : 0;
    op->hold_ns = op->request.record.hold_ms * FB_NS_PER_MS;
    if (owed->kind == FB_OWED_SET) {
        op->request.record.fence = 0;  // it was the value's own version
    }
    fb_drop_send(gate, op, now_ns);
}

static fb_op_kind kind_of(const fb_owed *owed) {
    if (owed->record.kind != FB_RECORD_KEY) {
        return FB_OP_WIDE;
    }
    return owed->kind == FB_OWED_SET   ? FB_OP_SET
           : owed->kind == FB_OWED_ADD ? FB_OP_ADD
                                       : FB_OP_DROP;
}

static int send_told(fb_gate *gate, fb_op *op, const fb_owed *owed, int64_t now_ns) {
    int result = FB_OK;
    switch (op->kind) {
        case FB_OP_WIDE:
            fb_wide_send(gate, op, now_ns);
            break;
        case FB_OP_ADD:
            op->adding.delta = owed->delta;
            op->edit = fb_add_edit;
            op->edit_arg = &op->adding;
            fb_add_send(gate, op, now_ns);
            break;
        case FB_OP_SET:
            result = tell_set(gate, op, owed, now_ns);
            if (result == FB_MISS) {
                tell_drop(gate, op, owed, now_ns);
            }
            break;
        default:
            tell_drop(gate, op, owed, now_ns);
    }
    return result < 0 ? result : FB_OK;
}

static int tell(fb_gate *gate, const fb_owed *owed, int64_t now_ns) {
    fb_op *op = fb_op_new(gate, kind_of(owed), owed->record.name, now_ns);
    if (op == NULL) {
        return FB_ENOMEM;
    }
    op->request.log = owed->log;
    op->request.record = owed->record;
    op->request.record.wants_ack = false;
    fb_op_record(gate, op, owed->record.kind);
    op->until_ns = fb_gate_after(now_ns, gate->hard_ns);
    op->told_before = gate->told;
    op->is_told = true;
    gate->telling++;
    op->generation = fb_outbox_tell(gate->outbox, owed);
    int result = send_told(gate, op, owed, now_ns);
    if (result < 0) {
        fb_outbox_again(gate->outbox, op->request.record.kind, op->key, 0);
        fb_op_free(gate, op);
    }
    return result;
}

void fb_replay_done(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_outbox_done(gate->outbox, op->request.record.kind, op->key, op->generation);
    fb_gate_note(gate, op->request.log);
    fb_gate_count(gate, FB_SYNC_COUNT_replayed);
    gate->told++;
    gate->pause_ns = 0;
    fb_op_free(gate, op);
}

void fb_replay_failed(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns) {
    bool adds = op->kind == FB_OP_ADD || op->kind == FB_OP_EDIT;
    if (reply != NULL && reply->result == FB_SYNC_UNKNOWN && adds) {
        fb_replay_done(gate, op, now_ns);
        return;
    }
    if (parks(gate, reply, op->request.log, now_ns)) {
        fb_outbox_park(gate->outbox, op->request.record.kind, op->key);
        fb_op_free(gate, op);
        return;
    }
    uint32_t weight = 0;
    if (is_reached(gate) && reply != NULL && reply->result == FB_SYNC_FAILED) {
        weight = gate->told != op->told_before ? WEIGHT_AMONG_OTHERS : WEIGHT_ALONE;
    }
    fb_outbox_again(gate->outbox, op->request.record.kind, op->key, weight);
    pause(gate, now_ns);
    fb_op_free(gate, op);
}

// ---- new epochs

static int renew(fb_gate *gate, uint32_t log, int64_t now_ns) {
    fb_op *op = fb_op_new(gate, FB_OP_EPOCH, (fb_str){NULL, 0}, now_ns);
    if (op == NULL) {
        return FB_ENOMEM;
    }
    op->request.log = log;
    fb_cache_mark(gate->cache, log, &op->request.mark);
    op->request.token = fb_epoch_after(op->request.mark.epoch, fb_gate_random(gate));
    fb_outbox_renew(gate->outbox, log);
    fb_op_send(gate, op, FB_SYNC_EPOCH, now_ns);
    return FB_OK;
}

static void end_renewal(fb_gate *gate, fb_op *op, bool done, const fb_sync_reply *reply,
                        int64_t now_ns) {
    fb_outbox_renewed(gate->outbox, op->request.log, done);
    fb_gate_note(gate, op->request.log);
    if (done) {
        fb_gate_count(gate, FB_SYNC_COUNT_epochs);
        gate->pause_ns = 0;
    } else if (parks(gate, reply, op->request.log, now_ns)) {
        fb_outbox_park_log(gate->outbox, op->request.log);
    } else {
        pause(gate, now_ns);
    }
    fb_op_free(gate, op);
}

// A value says by itself which epoch of its partition it is of, and the gate takes it only where
// that is followed here. Of the wide log it is the stamps that know: as long as they are those of
// the epoch before, values that the new one has made void would be taken.
void fb_epoch_look(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_mark wide;
    fb_sync_wide(gate->sync, &wide);
    bool follows = op->request.log < gate->partitions || wide.epoch == op->request.token ||
                   !FB_RULE(renewed_wide);
    bool in_time = now_ns - op->sent_ns < 2 * fb_sync_options_of(gate->sync)->max_lag_ns;
    if (follows || !in_time) {
        end_renewal(gate, op, follows, NULL, now_ns);
        return;
    }
    fb_gate_suspect(gate, op->request.log, &op->request.mark);
    FB_IGNORE(fb_heap_put(&gate->timers, &op->alarm.node, now_ns + LOOK_NS));  // it is in there
}

void fb_epoch_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (reply->result != FB_SYNC_DONE) {
        end_renewal(gate, op, false, reply, now_ns);
        return;
    }
    bool ours = reply->mark.epoch == op->request.token;
    op->request.mark = reply->mark;
    if (!ours) {
        op->request.token = fb_epoch_after(reply->mark.epoch, fb_gate_random(gate));
        fb_op_send(gate, op, FB_SYNC_EPOCH, now_ns);
        return;
    }
    fb_sync_acked(gate->sync, op->request.log, &reply->mark);
    fb_gate_suspect(gate, op->request.log, &reply->mark);
    fb_epoch_look(gate, op, now_ns);
}

// ---- probes

static void probe(fb_gate *gate, int64_t now_ns) {
    if (gate->probing || !fb_breaker_allows(&gate->breaker, now_ns)) {
        return;
    }
    fb_op *op = fb_op_new(gate, FB_OP_PROBE, (fb_str){NULL, 0}, now_ns);
    if (op == NULL) {
        (void)fb_breaker_ended(&gate->breaker, true, 0, now_ns);
        return;
    }
    gate->probing = true;
    fb_op_send(gate, op, FB_SYNC_NODES, now_ns);
}

void fb_probe_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    gate->probing = false;
    if (is_reached(gate)) {
        gate->retry_ns = INT64_MIN;
        gate->pause_ns = 0;
    }
    fb_op_free(gate, op);
}

// ---- all

static void give_up_in_time(fb_gate *gate, int64_t now_ns) {
    int64_t most_ns = fb_sync_options_of(gate->sync)->max_outage_ns;
    if (most_ns > 0 && gate->away_ns != INT64_MAX && now_ns - gate->away_ns >= most_ns) {
        fb_outbox_give_up(gate->outbox);
        gate->away_ns = now_ns;
    }
}

static bool has_more(const fb_gate *gate) {
    return gate->telling < TELLING_MAX && (fb_outbox_next(gate->outbox) != NULL ||
                                           fb_outbox_overflowed(gate->outbox) != UINT32_MAX);
}

static int tell_one(fb_gate *gate, int64_t now_ns) {
    const fb_owed *owed = fb_outbox_next(gate->outbox);
    if (owed != NULL) {
        return tell(gate, owed, now_ns);
    }
    return renew(gate, fb_outbox_overflowed(gate->outbox), now_ns);
}

void fb_replay_step(fb_gate *gate, int64_t now_ns) {
    if (gate->link_up && gate->breaker.state == FB_BREAKER_OPEN) {
        probe(gate, now_ns);
    }
    give_up_in_time(gate, now_ns);
    if (now_ns >= gate->resume_ns) {
        fb_outbox_resume(gate->outbox);
        gate->resume_ns = INT64_MAX;
    }
    while (is_reached(gate) && now_ns >= gate->retry_ns && has_more(gate)) {
        if (tell_one(gate, now_ns) < 0) {
            pause(gate, now_ns);
        }
    }
}

int64_t fb_replay_due(const fb_gate *gate) {
    if (!is_reached(gate)) {
        return INT64_MAX;
    }
    int64_t more_ns = has_more(gate) ? gate->retry_ns : INT64_MAX;
    return more_ns < gate->resume_ns ? more_ns : gate->resume_ns;
}
