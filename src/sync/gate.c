// The machine: operations by their id, a queue of what comes out, one heap of timers, and how the
// gate stands.
//
// How it stands follows from three things: whether the port has a link, whether the breaker lets
// requests through, and whether something is owed. Changes go straight to the shared tier only if
// all is well and nothing of their log is owed, since what is told late must not overtake what was
// told before; else they take effect in memory and are owed (away.c). Values are taken only under
// the same conditions, and while no lane owes anything wide: what is there may be older than what
// was changed here.
//
// Where the port reaches only a part of the shared tier (a Cluster that lacks a master), what
// concerns the other part comes back at once (reply.away): as if only that part was away. Nothing is
// remembered here of which logs it is: what is owed of them keeps them apart, until the port says
// that another part is reached.
//
// The mark of a reply tells whether the shared tier is still the one that this node follows. It is
// held against what was applied when the request was sent, and not against what is applied now:
// records that were applied in between are no contradiction, and where one of them is about the key
// it has doomed the ticket that every read holds.

#include "sync/gate_state.h"

#include <stdio.h>
#include <string.h>

#include "base/units.h"

static const int64_t FAILURE_NS = 5 * FB_NS_PER_S;  // so long one explains what follows it

static fb_str name_of(const uint64_t *id) {
    return fb_str_make((const char *)id, sizeof *id);
}

uint64_t fb_gate_random(fb_gate *gate) {
    uint64_t number;
    do {
        number = fb_rng_next(&gate->rng);
    } while (number == 0);
    return number;
}

void fb_gate_count(fb_gate *gate, fb_sync_counter counter) {
    fb_sync_count(gate->sync, counter, 1);
}

int fb_loaded_copy(const fb_loaded *from, fb_loaded *to) {
    *to = *from;
    to->tag_bytes = (fb_buf){0};
    to->value = NULL;
    int result = fb_buf_append(&to->tag_bytes, fb_buf_str(&from->tag_bytes));
    if (result < 0) {
        fb_loaded_init(to);
        return result;
    }
    to->value = from->value != NULL ? fb_blob_take(from->value) : NULL;
    return FB_OK;
}

// ---- callers

fb_asker *fb_asker_new(uint64_t waiter) {
    FB_ASSERT(waiter != 0);
    fb_asker *made = fb_mem_zero(1, sizeof *made);
    if (made != NULL) {
        fb_list_init(&made->exit.list);
        fb_list_init(&made->list);
        made->waiter = waiter;
    }
    return made;
}

void fb_asker_free(fb_asker *asker) {
    if (asker != NULL) {
        fb_list_remove(&asker->exit.list);
        fb_list_remove(&asker->list);
        fb_blob_drop(asker->value.owner);
        fb_mem_free(asker);
    }
}

void fb_gate_answer(fb_gate *gate, fb_asker *asker, const fb_outcome *outcome) {
    fb_list_remove(&asker->list);
    asker->result = outcome->result;
    asker->number = outcome->number;
    asker->token = outcome->token;
    asker->receipt = outcome->receipt;
    if (outcome->value != NULL) {
        asker->value = *outcome->value;
        asker->value.owner = fb_blob_take(outcome->value->owner);
    }
    if (outcome->result < 0 && outcome->error != NULL) {
        (void)snprintf(asker->error, sizeof asker->error, "%s", outcome->error);
    }
    asker->exit.type = FB_GATE_ANSWER;
    fb_list_insert(&gate->out, &asker->exit.list);
}

// ---- operations

fb_op *fb_op_new(fb_gate *gate, fb_op_kind kind, fb_str key, int64_t now_ns) {
    fb_op *made = fb_mem_zero(1, sizeof *made + key.len);
    if (made == NULL) {
        return NULL;
    }
    made->kind = kind;
    made->key = fb_str_make((char *)(made + 1), key.len);
    if (key.len > 0) {
        memcpy(made + 1, key.ptr, key.len);
    }
    made->begun_ns = now_ns;
    made->removed = -1;
    fb_list_init(&made->exit.list);
    fb_list_init(&made->list);
    fb_list_init(&made->askers);
    fb_list_init(&made->turn);
    fb_loaded_init(&made->loaded);
    fb_loaded_init(&made->reply.loaded);
    made->class_ = fb_catalog_of_key(fb_cache_catalog(gate->cache), made->key);
    fb_sync_request *request = &made->request;
    do {
        request->id = fb_gate_random(gate) >> 1;
    } while (fb_map_get(&gate->ops, name_of(&request->id)) != NULL);
    request->key = made->key;
    request->log = fb_cache_partition_of(gate->cache, made->key);
    request->node = gate->node;
    request->timeout_ns = gate->hard_ns;
    // A timer that is not set stands in the heap too, so that setting it cannot fail.
    int result = fb_heap_put(&gate->timers, &made->alarm.node, INT64_MAX);
    if (result == FB_OK) {
        result = fb_map_put(&gate->ops, name_of(&request->id), made);
    }
    if (result < 0) {
        fb_heap_remove(&gate->timers, &made->alarm.node);
        fb_mem_free(made);
        return NULL;
    }
    if (made->class_->id != FB_CLASS_PLAIN) {
        request->class_name = made->class_->name;
        request->plain = made->class_->options.layout == FB_LAYOUT_PLAIN;
    }
    fb_list_insert(&gate->all, &made->list);
    return made;
}

void fb_op_free(fb_gate *gate, fb_op *op) {
    FB_ASSERT(fb_list_empty(&op->askers) && op->line == NULL);
    if (fb_map_get(&gate->reads, op->key) == op) {
        (void)fb_map_remove(&gate->reads, op->key);
    }
    (void)fb_map_remove(&gate->ops, name_of(&op->request.id));
    if (op->ticket != NULL) {
        fb_cache_end(gate->cache, op->ticket);
    }
    fb_heap_remove(&gate->timers, &op->alarm.node);
    fb_list_remove(&op->exit.list);
    fb_list_remove(&op->list);
    gate->telling -= op->is_told;
    if (op->is_unsure) {
        fb_cache_unsure(gate->cache, op->request.log, -1);
    }
    gate->local_wide -= op->is_local && op->kind == FB_OP_WIDE;
    fb_loaded_release(&op->loaded);
    fb_loaded_release(&op->reply.loaded);
    fb_mem_free(op->acks.said);
    fb_mem_free(op->acks.alive);
    fb_mem_free(op);
}

static void leave(fb_gate *gate, fb_op *op, fb_gate_action_type type) {
    FB_ASSERT(fb_list_empty(&op->exit.list));
    op->exit.type = type;
    fb_list_insert(&gate->out, &op->exit.list);
}

void fb_op_send(fb_gate *gate, fb_op *op, fb_sync_verb verb, int64_t now_ns) {
    op->request.verb = verb;
    op->sent_ns = now_ns;
    fb_cache_mark(gate->cache, op->request.log, &op->base);
    leave(gate, op, FB_GATE_SEND);
}

void fb_op_tell_flight(fb_gate *gate, fb_op *op) {
    leave(gate, op, FB_GATE_FLIGHT);
}

void fb_op_answer_early(fb_gate *gate, fb_op *op, const fb_outcome *outcome) {
    FB_LIST_EACH_SAFE(node, after, &op->askers) {
        fb_gate_answer(gate, FB_LIST_OF(node, fb_asker, list), outcome);
    }
}

void fb_op_answer(fb_gate *gate, fb_op *op, const fb_outcome *outcome) {
    fb_op_answer_early(gate, op, outcome);
    if (op->remote != 0) {
        fb_op_tell_flight(gate, op);
    } else {
        fb_op_free(gate, op);
    }
}

void fb_op_unsure(fb_gate *gate, fb_op *op) {
    if (!op->is_unsure) {
        op->is_unsure = true;
        fb_cache_unsure(gate->cache, op->request.log, 1);
    }
}

void fb_gate_note(fb_gate *gate, uint32_t log) {
    bool owes = fb_outbox_owes(gate->outbox, log);
    if (owes != gate->logs[log].owes) {
        gate->logs[log].owes = owes;
        fb_cache_unsure(gate->cache, log, owes ? 1 : -1);
        fb_sync_owe(gate->sync, log, owes ? 1 : -1);
    }
}

// ---- marks

void fb_gate_suspect(fb_gate *gate, uint32_t log, const fb_mark *mark) {
    fb_log *suspected = &gate->logs[log];
    suspected->mark = *mark;
    if (fb_list_empty(&suspected->exit.list)) {
        suspected->exit.type = FB_GATE_SUSPECT;
        fb_list_insert(&gate->out, &suspected->exit.list);
    }
}

static bool goes_on(fb_gate *gate, const fb_op *op, const fb_mark *mark) {
    fb_mark applied;
    fb_cache_mark(gate->cache, op->request.log, &applied);
    const fb_mark *base = op->base.epoch == applied.epoch ? &op->base : &applied;
    if (mark->epoch == applied.epoch && mark->seq > applied.seq) {
        fb_sync_saw(gate->sync, op->request.log, mark);
    }
    return mark->epoch == applied.epoch && mark->epoch != 0 && mark->seq >= base->seq &&
           (mark->seq > base->seq || mark->nonce == base->nonce);
}

void fb_op_acked(fb_gate *gate, fb_op *op, const fb_sync_reply *reply) {
    fb_sync_acked(gate->sync, op->request.log, &reply->mark);
    (void)fb_op_fits(gate, op, reply);
}

bool fb_op_fits(fb_gate *gate, fb_op *op, const fb_sync_reply *reply) {
    fb_mark none = {0};
    const fb_mark *mark = reply->result == FB_SYNC_NO_EPOCH ? &none : &reply->mark;
    if (goes_on(gate, op, mark)) {
        return true;
    }
    fb_gate_suspect(gate, op->request.log, mark);
    return !FB_RULE(adopt_epoch) && reply->result != FB_SYNC_NO_EPOCH;
}

// ---- how it stands

bool fb_gate_tells(const fb_gate *gate, uint32_t log) {
    return gate->link_up && gate->breaker.state == FB_BREAKER_CLOSED &&
           !fb_outbox_owes(gate->outbox, log) && !gate->closed;
}

bool fb_gate_takes(const fb_gate *gate, const fb_op *op) {
    fb_mark wide;
    if (!gate->link_up || gate->breaker.state != FB_BREAKER_CLOSED || gate->closed) {
        return false;
    }
    if (FB_RULE(owed_first) && (fb_outbox_owes(gate->outbox, op->request.log) ||
                                fb_sync_owes_wide(gate->sync))) {
        return false;
    }
    fb_sync_wide(gate->sync, &wide);
    return wide.epoch != 0 && !fb_line_is_local(gate, op->key);
}

static void say(fb_gate *gate, fb_sync_state state, const char *why) {
    if (state != gate->said || strcmp(why, gate->said_why) != 0) {
        gate->said = state;
        (void)snprintf(gate->said_why, sizeof gate->said_why, "%s", why);
        fb_sync_say(gate->sync, gate->lane, state, why);
    }
}

// A breaker that closes means that a probe was answered; a full server answers it as well, and even
// does some of what is owed (it removes). So it is away until all that is owed has been told, and
// its state does not flicker meanwhile.
static void say_state(fb_gate *gate) {
    char text[sizeof gate->said_why];
    gate->unproven = gate->unproven && !fb_outbox_empty(gate->outbox) && gate->part[0] == '\0';
    if (!gate->link_up || gate->breaker.state != FB_BREAKER_CLOSED || gate->unproven) {
        if (!gate->was_up && gate->why[0] == '\0') {
            return;  // nothing has been tried yet
        }
        (void)snprintf(text, sizeof text, "Using in-memory fallback: %s",
                       gate->why[0] != '\0' ? gate->why : "it does not answer");
        say(gate, FB_SYNC_AWAY, text);
    } else if (gate->part[0] != '\0') {
        (void)snprintf(text, sizeof text, "reached only in part: %s", gate->part);
        say(gate, FB_SYNC_CATCHING_UP, text);
    } else if (!fb_outbox_empty(gate->outbox)) {
        say(gate, FB_SYNC_CATCHING_UP, "what was changed meanwhile is being told");
    } else {
        say(gate, FB_SYNC_CONNECTED, "");
    }
}

void fb_gate_settle(fb_gate *gate, int64_t now_ns) {
    bool wide = fb_outbox_owes_wide(gate->outbox) || gate->local_wide > 0;
    if (wide != gate->owes_wide) {
        gate->owes_wide = wide;
        fb_sync_owe_wide(gate->sync, wide ? 1 : -1);
    }
    size_t count = fb_outbox_count(gate->outbox);
    if (count != gate->owed_count) {
        fb_sync_owed_now(gate->sync, (int64_t)count - (int64_t)gate->owed_count);
        gate->owed_count = count;
    }
    if (fb_outbox_empty(gate->outbox)) {
        gate->away_ns = INT64_MAX;
    } else if (gate->away_ns == INT64_MAX) {
        gate->away_ns = now_ns;
    }
    say_state(gate);
}

// After every event.
static void settle_all(fb_gate *gate, int64_t now_ns) {
    if (!gate->closed) {
        fb_acks_watch(gate, now_ns);
        fb_lines_step(gate, now_ns);
        fb_replay_step(gate, now_ns);
    }
    fb_gate_settle(gate, now_ns);
}

// What the last action pointed into is not needed any more.
static void begin(fb_gate *gate) {
    if (gate->spent_op != NULL) {
        fb_op *op = gate->spent_op;
        gate->spent_op = NULL;
        fb_op_free(gate, op);
    }
    fb_asker_free(gate->spent_asker);
    gate->spent_asker = NULL;
}

// ---- events

int fb_gate_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    int result;
    begin(gate);
    if (gate->closed) {
        return FB_ECLOSED;
    }
    switch (want->kind) {
        case FB_WANT_READ:
            result = fb_read_want(gate, want, now_ns);
            break;
        case FB_WANT_LEASE:
            result = fb_lease_want(gate, want, now_ns);
            break;
        case FB_WANT_FILL:
            result = fb_lease_fill_want(gate, want, now_ns);
            break;
        case FB_WANT_SNAPSHOT:
            result = fb_snapshot_want(gate, want, now_ns);
            break;
        case FB_WANT_COMMIT:
            result = fb_commit_want(gate, want, now_ns);
            break;
        default:
            result = want->kind == FB_WANT_INVALIDATE && want->what.scope != FB_SCOPE_KEY
                         ? fb_wide_want(gate, want, now_ns)
                         : fb_change_want(gate, want, now_ns);
    }
    settle_all(gate, now_ns);
    return result;
}

int fb_gate_flight(fb_gate *gate, const fb_action *action, int64_t now_ns) {
    begin(gate);
    int result = action->type == FB_ACTION_REMOTE_INVALIDATE
                     ? fb_change_flight(gate, action, now_ns)
                     : fb_read_flight(gate, action, now_ns);
    settle_all(gate, now_ns);
    return result;
}

void fb_gate_link(fb_gate *gate, bool up, const char *why, int64_t now_ns) {
    begin(gate);
    gate->link_up = up;
    gate->was_up |= up;
    if (!up) {
        gate->lost_ns = gate->was_up ? now_ns : INT64_MIN;
        (void)snprintf(gate->why, sizeof gate->why, "%s",
                       why != NULL && why[0] != '\0' ? why : "the connection was lost");
        bool was_closed = gate->breaker.state == FB_BREAKER_CLOSED;
        if (fb_breaker_link(&gate->breaker, false, now_ns) && was_closed) {
            fb_gate_count(gate, FB_SYNC_COUNT_trips);
        }
    } else {
        (void)fb_breaker_link(&gate->breaker, true, now_ns);
        gate->unproven = false;
        gate->retry_ns = INT64_MIN;
        fb_replay_resume(gate);
    }
    (void)snprintf(gate->part, sizeof gate->part, "%s", up && why != NULL ? why : "");
    settle_all(gate, now_ns);
}

static void note_failure(fb_gate *gate, const fb_sync_reply *reply, int64_t now_ns) {
    fb_gate_count(gate, FB_SYNC_COUNT_failures);
    (void)snprintf(gate->failure, sizeof gate->failure, "%s",
                   reply->text != NULL ? reply->text : "");
    gate->failed_ns = now_ns;
}

// What the breaker opened of: it may do so at the end of a request that went well.
static const char *why_passed_by(const fb_gate *gate, int64_t now_ns) {
    bool known = gate->failure[0] != '\0' && now_ns - gate->failed_ns <= FAILURE_NS;
    return known ? gate->failure : "it answers too late, or not at all";
}

// By class, for people. An edit reads as well, but its caller asked for no value.
static void count_end(fb_gate *gate, const fb_op *op, const fb_sync_reply *reply, bool failed,
                      int64_t now_ns) {
    uint16_t id = op->class_ != NULL ? op->class_->id : FB_CLASS_PLAIN;
    bool reads = op->kind == FB_OP_GET || op->kind == FB_OP_READ || op->kind == FB_OP_LEASE;
    if (reads) {
        fb_cache_count(gate->cache, id, FB_COUNTER_shared_reads, 1);
        fb_cache_count(gate->cache, id, FB_COUNTER_shared_failures, failed);
        fb_cache_count(gate->cache, id, FB_COUNTER_shared_hits, reply->result == FB_SYNC_VALUE);
        fb_cache_time(gate->cache, id, FB_TIMING_SHARED, now_ns - op->sent_ns);
    }
}

static void note_end(fb_gate *gate, const fb_op *op, const fb_sync_reply *reply, int64_t now_ns) {
    if (reply->away && op->kind != FB_OP_PROBE) {
        fb_gate_count(gate, FB_SYNC_COUNT_passed_by);
        return;  // that says nothing of the part that is reached
    }
    bool failed = reply->result == FB_SYNC_FAILED || reply->result == FB_SYNC_UNKNOWN;
    count_end(gate, op, reply, failed, now_ns);
    if (failed) {
        note_failure(gate, reply, now_ns);
    }
    if ((gate->breaker.state == FB_BREAKER_HALF_OPEN) != (op->kind == FB_OP_PROBE) ||
        op->request.verb == FB_SYNC_SWEEP || (reply->judged && op->kind != FB_OP_PROBE)) {
        return;  // it was sent before, takes as long as it takes, or is somebody else's to judge
    }
    bool changed = fb_breaker_ended(&gate->breaker, failed, now_ns - op->sent_ns, now_ns);
    if (changed && gate->breaker.state == FB_BREAKER_OPEN) {
        if (op->kind != FB_OP_PROBE) {
            fb_gate_count(gate, FB_SYNC_COUNT_trips);
        }
        (void)snprintf(gate->why, sizeof gate->why, "%s", why_passed_by(gate, now_ns));
        gate->unproven = true;
    }
}

static void dispatch(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    static void (*const handlers[])(fb_gate *, fb_op *, fb_sync_reply *, int64_t) = {
        [FB_OP_GET] = fb_get_reply,     [FB_OP_FILL] = fb_fill_reply,
        [FB_OP_READ] = fb_read_reply,   [FB_OP_LEASE] = fb_lease_reply,
        [FB_OP_SET] = fb_set_reply,     [FB_OP_LEASE_FILL] = fb_lease_fill_reply,
        [FB_OP_DROP] = fb_drop_reply,   [FB_OP_EDIT] = fb_edit_reply,
        [FB_OP_ADD] = fb_add_reply,     [FB_OP_WIDE] = fb_wide_reply,
        [FB_OP_PROBE] = fb_probe_reply, [FB_OP_EPOCH] = fb_epoch_reply,
        [FB_OP_SNAPSHOT] = fb_snapshot_reply, [FB_OP_COMMIT] = fb_commit_reply,
    };
    if (op->acks.waits) {
        fb_acks_reply(gate, op, reply, now_ns);
    } else {
        handlers[op->kind](gate, op, reply, now_ns);
    }
}

void fb_gate_reply(fb_gate *gate, fb_sync_reply *reply, int64_t now_ns) {
    begin(gate);
    fb_op *op = fb_map_get(&gate->ops, name_of(&reply->id));
    FB_ASSERT(op != NULL || gate->closed);
    if (op != NULL && !gate->closed) {
        note_end(gate, op, reply, now_ns);
        dispatch(gate, op, reply, now_ns);
    }
    if (reply->result == FB_SYNC_VALUE || reply->has_value) {
        fb_loaded_release(&reply->loaded);
    }
    settle_all(gate, now_ns);
}

void fb_gate_ack(fb_gate *gate, uint64_t nonce, uint64_t node, int64_t now_ns) {
    begin(gate);
    fb_acks_hear(gate, nonce, node);
    settle_all(gate, now_ns);
}

// ---- time

int64_t fb_gate_due(const fb_gate *gate) {
    const fb_heap_node *first = fb_heap_first(&gate->timers);
    int64_t due_ns = first != NULL ? first->key : INT64_MAX;
    if (gate->closed) {
        return INT64_MAX;
    }
    int64_t probe_ns = gate->link_up ? fb_breaker_due(&gate->breaker) : INT64_MAX;
    int64_t replay_ns = fb_replay_due(gate);
    if (gate->link_up && gate->look_ns < due_ns) {
        due_ns = gate->look_ns;
    }
    due_ns = probe_ns < due_ns ? probe_ns : due_ns;
    return replay_ns < due_ns ? replay_ns : due_ns;
}

void fb_gate_tick(fb_gate *gate, int64_t now_ns) {
    begin(gate);
    fb_heap_node *first = fb_heap_first(&gate->timers);
    while (!gate->closed && first != NULL && first->key <= now_ns) {
        fb_alarm *alarm = FB_LIST_OF(first, fb_alarm, node);
        if (alarm->of_grant) {
            fb_grant_free(gate, FB_LIST_OF(alarm, fb_grant, alarm));
        } else if (FB_LIST_OF(alarm, fb_op, alarm)->kind == FB_OP_EPOCH) {
            fb_epoch_look(gate, FB_LIST_OF(alarm, fb_op, alarm), now_ns);
        } else {
            fb_acks_time_out(gate, FB_LIST_OF(alarm, fb_op, alarm), now_ns);
        }
        first = fb_heap_first(&gate->timers);
    }
    settle_all(gate, now_ns);
}

// ---- what comes out

static void show_answer(fb_gate *gate, fb_asker *asker, fb_gate_action *action) {
    action->waiter = asker->waiter;
    action->result = asker->result;
    action->value = asker->value;
    action->number = asker->number;
    action->token = asker->token;
    action->receipt = asker->receipt;
    action->error = asker->error;
    asker->value = (fb_value){0};  // the reader's
    gate->spent_asker = asker;
}

bool fb_gate_next(fb_gate *gate, fb_gate_action *action) {
    begin(gate);
    *action = (fb_gate_action){.error = ""};
    if (fb_list_empty(&gate->out)) {
        return false;
    }
    fb_exit *exit = FB_LIST_OF(gate->out.next, fb_exit, list);
    fb_list_remove(&exit->list);
    action->type = exit->type;
    if (exit->type == FB_GATE_ANSWER) {
        show_answer(gate, FB_LIST_OF(exit, fb_asker, exit), action);
    } else if (exit->type == FB_GATE_SUSPECT) {
        const fb_log *suspected = FB_LIST_OF(exit, fb_log, exit);
        action->log = (uint32_t)(suspected - gate->logs);
        action->mark = suspected->mark;
    } else {
        fb_op *op = FB_LIST_OF(exit, fb_op, exit);
        if (exit->type == FB_GATE_SEND) {
            action->request = op->request;
        } else {
            action->remote = op->remote;
            action->reply = &op->reply;
            gate->spent_op = op;
        }
    }
    return true;
}

// ---- the machine

int fb_gate_new(fb_sync *sync, uint32_t lane, fb_gate **gate) {
    const fb_sync_options *options = fb_sync_options_of(sync);
    *gate = NULL;
    fb_gate *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->sync = sync;
    made->cache = options->cache;
    made->lane = lane;
    made->partitions = options->partitions;
    made->node = options->node;
    made->hard_ns = options->hard_ns;
    made->away_ns = INT64_MAX;
    made->lost_ns = INT64_MIN;
    made->retry_ns = INT64_MIN;
    made->resume_ns = INT64_MAX;
    // The node is in it: two nodes that were started alike must not give the same tokens.
    fb_rng_init(&made->rng, options->seed ^ options->node ^ (lane * UINT64_C(0x9e3779b97f4a7c15)));
    made->ops.seed = fb_rng_next(&made->rng);
    made->lines.seed = fb_rng_next(&made->rng);
    made->reads.seed = fb_rng_next(&made->rng);
    made->leased.seed = fb_rng_next(&made->rng);
    fb_breaker_init(&made->breaker, options->hard_ns, fb_rng_next(&made->rng));
    fb_list_init(&made->out);
    fb_list_init(&made->all);
    fb_list_init(&made->leases);
    fb_list_init(&made->ready);
    uint32_t logs = options->partitions + 1;
    int result = fb_outbox_new(options->outbox_max, logs, &made->outbox);
    made->logs = fb_mem_zero(logs, sizeof *made->logs);
    if (result < 0 || made->logs == NULL) {
        fb_gate_free(made);
        return FB_ENOMEM;
    }
    for (uint32_t i = 0; i < logs; i++) {
        fb_list_init(&made->logs[i].exit.list);
    }
    *gate = made;
    return FB_OK;
}

static void free_asker(fb_exit *exit) {
    if (exit->type == FB_GATE_ANSWER) {
        fb_asker_free(FB_LIST_OF(exit, fb_asker, exit));
    } else {
        fb_list_remove(&exit->list);
    }
}

static void take_apart(fb_gate *gate, fb_op *op) {
    FB_LIST_EACH_SAFE(node, after, &op->askers) {
        fb_asker_free(FB_LIST_OF(node, fb_asker, list));
    }
    fb_line_leave(gate, op);
    op->is_unsure = false;  // it stays so: how it ended is never heard
    fb_op_free(gate, op);
}

void fb_gate_free(fb_gate *gate) {
    if (gate == NULL) {
        return;
    }
    begin(gate);
    FB_LIST_EACH_SAFE(node, after, &gate->out) {
        free_asker(FB_LIST_OF(node, fb_exit, list));
    }
    FB_LIST_EACH_SAFE(node, after, &gate->all) {
        take_apart(gate, FB_LIST_OF(node, fb_op, list));
    }
    FB_LIST_EACH_SAFE(node, after, &gate->leases) {
        fb_grant_free(gate, FB_LIST_OF(node, fb_grant, list));
    }
    if (gate->owes_wide) {
        fb_sync_owe_wide(gate->sync, -1);
    }
    for (uint32_t i = 0; gate->logs != NULL && i <= gate->partitions; i++) {
        fb_sync_owe(gate->sync, i, gate->logs[i].owes ? -1 : 0);
    }
    if (gate->owed_count > 0) {
        fb_sync_owed_now(gate->sync, -(int64_t)gate->owed_count);
    }
    fb_outbox_free(gate->outbox);
    fb_map_release(&gate->ops);
    fb_map_release(&gate->lines);
    fb_map_release(&gate->reads);
    fb_map_release(&gate->grants);
    fb_map_release(&gate->leased);
    fb_heap_release(&gate->timers);
    fb_mem_free(gate->logs);
    fb_mem_free(gate);
}

bool fb_gate_is_idle(const fb_gate *gate) {
    return fb_list_empty(&gate->all) && fb_list_empty(&gate->out) &&
           fb_outbox_empty(gate->outbox);
}

// Flights are told too: they end by themselves then.
void fb_gate_close(fb_gate *gate) {
    fb_outcome closed = {.result = FB_ECLOSED, .number = -1};
    begin(gate);
    gate->closed = true;
    FB_LIST_EACH_SAFE(node, after, &gate->all) {
        fb_op *op = FB_LIST_OF(node, fb_op, list);
        fb_line_leave(gate, op);
        fb_op_answer_early(gate, op, &closed);
        op->is_unsure = false;  // it stays so: how it ended is never heard
        if (op->remote == 0) {
            fb_op_free(gate, op);
        } else if (fb_list_empty(&op->exit.list) || op->exit.type == FB_GATE_SEND) {
            fb_list_remove(&op->exit.list);
            op->reply.result = FB_REMOTE_FAILED;
            fb_op_tell_flight(gate, op);
        }
    }
}

void fb_gate_check(const fb_gate *gate) {
    size_t sends = 0;
    FB_LIST_EACH(node, &gate->all) {
        const fb_op *op = FB_LIST_OF(node, fb_op, list);
        FB_ASSERT(fb_map_get(&gate->ops, name_of(&op->request.id)) == op);
        bool listed = fb_map_get(&gate->reads, op->key) == op;
        FB_ASSERT(!listed || op->kind == FB_OP_READ);
        FB_ASSERT(op->alarm.node.place != 0);
        if (op->line != NULL) {
            FB_ASSERT(fb_map_get(&gate->lines, op->key) == op->line);
        }
        sends += op->is_told;
    }
    FB_ASSERT(sends == gate->telling);
    FB_ASSERT(gate->owes_wide == (gate->local_wide > 0 || fb_outbox_owes_wide(gate->outbox)));
    fb_outbox_check(gate->outbox);
}
