// Values and leases out of the shared tier, and fills into it: for the flights (cache/flight.h),
// for callers who read a key that no class loads (READ), and for those who load by themselves
// (LEASE, FILL).
//
// Everybody who takes a value holds a ticket from before it was asked for: the flights their own,
// the others one of the gate's. So whatever is applied here meanwhile keeps an old value out of
// memory. The wide mark is read before the request goes out, for the same reason: it stamps what is
// loaded under the lease.
//
// What is held here is nobody else's to say: a server that lost the hold (it was emptied, or
// evicted it) may have the old value from a node that had not heard of the hold. So who has a
// source asks that, and what it says is stored nowhere; who has none is told that there is nothing.
// Only who knows of a change, perhaps the one that ended the hold, asks the shared tier all the
// same.
//
// A value that a wide invalidation has overtaken still stands in the shared tier, since nothing
// goes through all values to remove them. Whoever finds one asks for a lease beside it, and
// replaces it.

#include <string.h>

#include "sync/gate_state.h"

static const int64_t LEASE_NS = 10 * FB_NS_PER_S;

// ---- asking

static void get(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_sync_wide(gate->sync, &op->request.wide);
    op->request.timeout_ns = op->until_ns - now_ns;
    fb_gate_count(gate, FB_SYNC_COUNT_gets);
    fb_op_send(gate, op, FB_SYNC_GET, now_ns);
}

// A read that goes on without the shared tier.
static void pass_by(fb_gate *gate, const fb_op *op) {
    fb_gate_count(gate, FB_SYNC_COUNT_passed_by);
    fb_cache_count(gate->cache, op->class_->id, FB_COUNTER_shared_passed_by, 1);
}

static bool is_held(const fb_gate *gate, const fb_op *op, int64_t now_ns) {
    return FB_RULE(hold_here) && fb_cache_held(gate->cache, op->key, now_ns);
}

static bool is_valid(fb_gate *gate, const fb_op *op, const fb_sync_reply *reply) {
    const fb_class *class_ = op->class_->id != FB_CLASS_PLAIN ? op->class_ : NULL;
    return !FB_RULE(adopt_judge) || fb_sync_judge(gate->sync, &reply->wide, op->key, class_,
                                                  &reply->loaded) == FB_WIDE_VALID;
}

static bool is_value(const fb_sync_reply *reply) {
    const fb_loaded *loaded = &reply->loaded;
    return reply->result == FB_SYNC_VALUE && reply->fresh_for_ns >= FB_NS_PER_MS &&
           (loaded->result == FB_NEGATIVE ||
            (loaded->result == FB_OK && loaded->value != NULL));
}

// Whether there was an answer, from the shared tier that this node follows.
static bool is_to_be_believed(fb_gate *gate, fb_op *op, const fb_sync_reply *reply) {
    return reply->result != FB_SYNC_FAILED && reply->result != FB_SYNC_UNKNOWN &&
           fb_op_fits(gate, op, reply);
}

// ---- flights

static void tell(fb_gate *gate, fb_op *op, fb_remote_result result) {
    op->reply.result = result;
    fb_op_tell_flight(gate, op);
}

static void begin_get(fb_gate *gate, fb_op *op, const fb_action *action, int64_t now_ns) {
    op->until_ns = fb_gate_after(now_ns, gate->hard_ns);
    op->request.token = fb_gate_random(gate);
    op->request.lease_ns = action->ttl_ns;
    op->request.refresh = action->refresh;
    if (is_held(gate, op, now_ns)) {
        op->reply.keep_nothing = true;
        tell(gate, op, FB_REMOTE_FAILED);
        return;
    }
    if (!fb_gate_takes(gate, op)) {
        pass_by(gate, op);
        tell(gate, op, FB_REMOTE_FAILED);
        return;
    }
    get(gate, op, now_ns);
}

static void begin_fill(fb_gate *gate, fb_op *op, const fb_action *action, int64_t now_ns) {
    op->request.token = action->token;
    op->request.loaded = &op->loaded;
    op->request.ttl_ns = action->ttl_ns == INT64_MAX ? -1 : action->ttl_ns;
    op->request.wide = action->wide;
    if (!gate->link_up || gate->breaker.state != FB_BREAKER_CLOSED || gate->closed) {
        fb_gate_count(gate, FB_SYNC_COUNT_passed_by);
        tell(gate, op, FB_REMOTE_FAILED);
        return;
    }
    if (action->ttl_ns != 0) {
        fb_gate_count(gate, FB_SYNC_COUNT_fills);
    }
    fb_op_send(gate, op, FB_SYNC_FILL, now_ns);
}

int fb_read_flight(fb_gate *gate, const fb_action *action, int64_t now_ns) {
    bool gets = action->type == FB_ACTION_REMOTE_GET;
    FB_ASSERT(gets || action->type == FB_ACTION_REMOTE_FILL);
    fb_op *op = fb_op_new(gate, gets ? FB_OP_GET : FB_OP_FILL, action->key, now_ns);
    if (op == NULL) {
        return FB_ENOMEM;
    }
    if (!gets && action->ttl_ns != 0 && fb_loaded_copy(action->loaded, &op->loaded) < 0) {
        fb_op_free(gate, op);
        return FB_ENOMEM;
    }
    op->remote = action->remote;
    if (gets) {
        begin_get(gate, op, action, now_ns);
    } else {
        begin_fill(gate, op, action, now_ns);
    }
    return FB_OK;
}

// A value that is not worth it: once more, for a lease beside it.
static void get_lease(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->request.refresh || now_ns >= op->until_ns) {
        tell(gate, op, FB_REMOTE_FAILED);
        return;
    }
    op->request.refresh = true;
    get(gate, op, now_ns);
}

static void give_value(fb_gate *gate, fb_op *op, fb_sync_reply *reply) {
    fb_gate_count(gate, FB_SYNC_COUNT_values);
    op->reply.loaded = reply->loaded;
    fb_loaded_init(&reply->loaded);
    op->reply.fresh_for_ns = reply->fresh_for_ns;
    op->reply.age_ns = reply->age_ns;
    tell(gate, op, FB_REMOTE_VALUE);
}

// Nobody uses the lease that it may have given all the same: it would keep all others waiting.
static void give_back(fb_gate *gate, const fb_op *of, const fb_sync_reply *reply, int64_t now_ns) {
    bool given = reply->result == FB_SYNC_LEASE || reply->result == FB_SYNC_FAILED ||
                 reply->result == FB_SYNC_UNKNOWN;
    if (!given || reply->away || !gate->link_up || gate->closed ||
        gate->breaker.state != FB_BREAKER_CLOSED) {
        return;
    }
    fb_op *op = fb_op_new(gate, FB_OP_LEASE_FILL, of->key, now_ns);
    if (op != NULL) {
        op->request.token = of->request.token;
        op->request.loaded = &op->loaded;
        fb_op_send(gate, op, FB_SYNC_FILL, now_ns);
    }
}

void fb_get_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (!is_to_be_believed(gate, op, reply)) {
        give_back(gate, op, reply, now_ns);
        tell(gate, op, FB_REMOTE_FAILED);
        return;
    }
    op->reply.token = op->request.token;
    op->reply.wide = op->request.wide;
    op->reply.fence = reply->fence;
    op->reply.keep_nothing = reply->held;
    switch (reply->result) {
        case FB_SYNC_VALUE:
            if (is_value(reply) && is_valid(gate, op, reply)) {
                give_value(gate, op, reply);
            } else {
                get_lease(gate, op, now_ns);
            }
            break;
        case FB_SYNC_LEASE:
            fb_gate_count(gate, FB_SYNC_COUNT_leases);
            tell(gate, op, FB_REMOTE_LEASE);
            break;
        case FB_SYNC_HELD:
            fb_gate_count(gate, FB_SYNC_COUNT_held);
            tell(gate, op, FB_REMOTE_HELD);
            break;
        default:
            tell(gate, op, FB_REMOTE_FAILED);
    }
}

void fb_fill_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (!fb_reply_failed(reply) || reply->result == FB_SYNC_NO_EPOCH) {
        (void)fb_op_fits(gate, op, reply);
    }
    if (reply->result == FB_SYNC_DONE) {
        tell(gate, op, FB_REMOTE_DONE);
    } else if (reply->result == FB_SYNC_REFUSED) {
        fb_gate_count(gate, FB_SYNC_COUNT_fills_refused);
        tell(gate, op, FB_REMOTE_REFUSED);
    } else {
        tell(gate, op, FB_REMOTE_FAILED);
    }
}

// ---- READ

static void copy_bytes(void *arg, const fb_value *value) {
    fb_blob **copy = arg;
    fb_blob_drop(*copy);
    *copy = fb_blob_new(value->data);
}

// With what memory has, fresh or stale.
static void answer_from_memory(fb_gate *gate, fb_op *op, int64_t now_ns) {
    fb_found found;
    fb_blob *copy = NULL;
    fb_outcome outcome = {.result = FB_MISS};
    fb_find find =
        fb_cache_read(gate->cache, op->key, now_ns, NULL, copy_bytes, &copy, &found);
    fb_value value = found.value;
    if ((find == FB_FIND_FRESH || find == FB_FIND_STALE) && !op->distrusts) {
        outcome.result = found.negative ? FB_NEGATIVE : copy != NULL ? FB_OK : FB_ENOMEM;
    }
    if (outcome.result == FB_OK) {
        value.data = fb_blob_str(copy);
        value.owner = copy;
        outcome.value = &value;
    }
    fb_op_answer(gate, op, &outcome);
    fb_blob_drop(copy);
}

// Keeps it in memory for as long as the class does, and the shared tier.
static void keep_in_memory(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    const fb_class_options *options = &op->class_->options;
    fb_loaded *loaded = &reply->loaded;
    int64_t keep_ns =
        loaded->result == FB_NEGATIVE ? options->negative_ttl_ns : options->memory_ttl_ns;
    if (op->class_->id == FB_CLASS_PLAIN || keep_ns <= 0 || keep_ns > reply->fresh_for_ns) {
        keep_ns = reply->fresh_for_ns;
    }
    loaded->ttl_ms = keep_ns == INT64_MAX ? -1 : keep_ns / FB_NS_PER_MS;
    loaded->uncacheable = false;
    fb_value info;
    int result = fb_cache_fill(gate->cache, op->ticket, loaded, 0, 0, now_ns, &info);
    (void)result;  // overtaken, too big, no memory: it is answered all the same
}

static void answer_value(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    fb_outcome outcome = {.result = FB_OK};
    fb_loaded *loaded = &reply->loaded;
    bool ends = reply->fresh_for_ns != INT64_MAX;
    fb_gate_count(gate, FB_SYNC_COUNT_values);
    keep_in_memory(gate, op, reply, now_ns);
    if (loaded->result == FB_NEGATIVE) {
        outcome.result = FB_NEGATIVE;
        fb_op_answer(gate, op, &outcome);
        return;
    }
    fb_value value = {.data = fb_blob_str(loaded->value),
                      .kind = loaded->kind,
                      .tier = FB_TIER_SHARED,
                      .freshness = FB_FRESH,
                      .age_ms = reply->age_ns / FB_NS_PER_MS,
                      .ttl_ms = ends ? reply->fresh_for_ns / FB_NS_PER_MS : -1,
                      .version = reply->version,
                      .owner = loaded->value};
    outcome.value = &value;
    fb_op_answer(gate, op, &outcome);
}

// Those who come while it is on its way take the same answer, unless something was changed since it
// went out: that key, or, told to nobody yet, something that may have to do with it.
static bool join(fb_gate *gate, fb_asker *asker, fb_str key) {
    fb_op *op = fb_map_get(&gate->reads, key);
    if (op == NULL || fb_ticket_doomed(op->ticket) || !fb_gate_takes(gate, op)) {
        return false;
    }
    fb_list_insert(&op->askers, &asker->list);
    return true;
}

static int new_reader(fb_gate *gate, fb_op_kind kind, const fb_want *want, int64_t now_ns,
                      fb_op **op) {
    fb_op *made = fb_op_new(gate, kind, want->key, now_ns);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->until_ns = fb_gate_after(now_ns, gate->hard_ns);
    int result = fb_cache_begin(gate->cache, made->class_, made->key, now_ns, &made->ticket);
    if (result == FB_OK && kind == FB_OP_READ) {
        result = fb_map_put(&gate->reads, made->key, made);
    }
    if (result < 0) {
        fb_op_free(gate, made);
        return result;
    }
    *op = made;
    return FB_OK;
}

int fb_read_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    fb_op *op = NULL;
    fb_asker *asker = fb_asker_new(want->waiter);
    if (asker == NULL) {
        return FB_ENOMEM;
    }
    bool distrusts = want->distrust && FB_RULE(distrust_read);
    if (!distrusts && join(gate, asker, want->key)) {
        return FB_OK;
    }
    int result = new_reader(gate, FB_OP_READ, want, now_ns, &op);
    if (result < 0) {
        fb_asker_free(asker);
        return result;
    }
    op->distrusts = distrusts;
    fb_list_insert(&op->askers, &asker->list);
    if (!distrusts && is_held(gate, op, now_ns)) {
        answer_from_memory(gate, op, now_ns);
        return FB_OK;
    }
    if (!fb_gate_takes(gate, op)) {
        pass_by(gate, op);
        answer_from_memory(gate, op, now_ns);
        return FB_OK;
    }
    fb_gate_count(gate, FB_SYNC_COUNT_gets);
    fb_sync_wide(gate->sync, &op->request.wide);
    fb_op_send(gate, op, FB_SYNC_PEEK, now_ns);
    return FB_OK;
}

void fb_read_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    fb_outcome nothing = {.result = FB_MISS};
    if (!is_to_be_believed(gate, op, reply)) {
        answer_from_memory(gate, op, now_ns);
    } else if (is_value(reply) && is_valid(gate, op, reply)) {
        answer_value(gate, op, reply, now_ns);
    } else {
        fb_op_answer(gate, op, &nothing);
    }
}

// ---- leases of cache-aside clients

static fb_str token_name(const uint64_t *token) {
    return fb_str_make((const char *)token, sizeof *token);
}

void fb_grant_free(fb_gate *gate, fb_grant *grant) {
    (void)fb_map_remove(&gate->grants, token_name(&grant->token));
    if (fb_map_get(&gate->leased, grant->key) == grant) {
        (void)fb_map_remove(&gate->leased, grant->key);
    }
    fb_heap_remove(&gate->timers, &grant->alarm.node);
    fb_list_remove(&grant->list);
    if (grant->ticket != NULL) {
        fb_cache_end(gate->cache, grant->ticket);
    }
    fb_mem_free(grant);
}

static int new_grant(fb_gate *gate, fb_op *op, int64_t now_ns, fb_grant **grant) {
    fb_grant *made = fb_mem_zero(1, sizeof *made + op->key.len);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->key = fb_str_make((char *)(made + 1), op->key.len);
    if (op->key.len > 0) {
        memcpy(made + 1, op->key.ptr, op->key.len);
    }
    made->token = op->request.token;
    made->wide = op->request.wide;
    made->alarm.of_grant = true;
    fb_list_init(&made->list);
    int result = fb_heap_put(&gate->timers, &made->alarm.node,
                             fb_gate_after(now_ns, op->request.lease_ns));
    if (result == FB_OK) {
        result = fb_map_put(&gate->grants, token_name(&made->token), made);
    }
    if (result == FB_OK) {
        result = fb_map_put(&gate->leased, made->key, made);
    }
    if (result < 0) {
        fb_grant_free(gate, made);
        return result;
    }
    fb_list_insert(&gate->leases, &made->list);
    made->ticket = op->ticket;
    op->ticket = NULL;
    *grant = made;
    return FB_OK;
}

// `reply` NULL: a lease of this node alone.
static void grant_lease(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, bool held,
                        int64_t now_ns) {
    fb_grant *grant = NULL;
    fb_outcome outcome = {.result = new_grant(gate, op, now_ns, &grant)};
    if (grant != NULL) {
        outcome.result = FB_MISS;
        outcome.token = grant->token;
        grant->shared = reply != NULL;
        grant->fence = reply != NULL ? reply->fence : 0;
        grant->keep_nothing = held;
    }
    fb_op_answer(gate, op, &outcome);
}

static void lease_here(fb_gate *gate, fb_op *op, int64_t now_ns) {
    const fb_grant *grant = fb_map_get(&gate->leased, op->key);
    fb_found found;
    fb_find find = fb_cache_peek(gate->cache, op->key, now_ns, &found);
    fb_outcome pending = {.result = FB_PENDING};
    if (find == FB_FIND_FRESH) {
        answer_from_memory(gate, op, now_ns);
    } else if (grant != NULL && !fb_ticket_doomed(grant->ticket)) {
        fb_op_answer(gate, op, &pending);
    } else {
        grant_lease(gate, op, NULL, false, now_ns);
    }
}

int fb_lease_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    fb_op *op = NULL;
    fb_asker *asker = fb_asker_new(want->waiter);
    int result = asker != NULL ? new_reader(gate, FB_OP_LEASE, want, now_ns, &op) : FB_ENOMEM;
    if (result < 0) {
        fb_asker_free(asker);
        return result;
    }
    fb_list_insert(&op->askers, &asker->list);
    op->request.token = fb_gate_random(gate);
    op->request.lease_ns = want->ttl_ns > 0 ? want->ttl_ns : LEASE_NS;
    if (is_held(gate, op, now_ns)) {  // everybody loads for himself
        grant_lease(gate, op, NULL, true, now_ns);
        return FB_OK;
    }
    if (!fb_gate_takes(gate, op)) {
        pass_by(gate, op);
        lease_here(gate, op, now_ns);
        return FB_OK;
    }
    get(gate, op, now_ns);
    return FB_OK;
}

void fb_lease_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    fb_outcome pending = {.result = FB_PENDING};
    if (!is_to_be_believed(gate, op, reply)) {
        lease_here(gate, op, now_ns);
    } else if (reply->result == FB_SYNC_VALUE) {
        if (is_value(reply) && is_valid(gate, op, reply)) {
            answer_value(gate, op, reply, now_ns);
        } else if (!op->request.refresh && now_ns < op->until_ns) {
            op->request.refresh = true;
            get(gate, op, now_ns);
        } else {
            lease_here(gate, op, now_ns);
        }
    } else if (reply->result == FB_SYNC_LEASE) {
        fb_gate_count(gate, FB_SYNC_COUNT_leases);
        grant_lease(gate, op, reply, reply->held, now_ns);
    } else {
        fb_gate_count(gate, FB_SYNC_COUNT_held);
        fb_op_answer(gate, op, &pending);
    }
}

// ---- what they bring

static void fill_here(fb_gate *gate, fb_op *op, int64_t now_ns) {
    int result =
        fb_cache_put_under(gate->cache, op->ticket, &op->loaded, op->memory_ns, now_ns);
    fb_outcome outcome = {.result = result == FB_DOOMED ? FB_REFUSED : result};
    fb_op_answer(gate, op, &outcome);
}

// May what was loaded under the lease be stored?
static bool may_fill(const fb_grant *grant, const fb_op *op) {
    return !fb_ticket_doomed(grant->ticket) && !grant->keep_nothing &&
           op->loaded.source_version >= grant->fence;
}

static void fill_under(fb_gate *gate, fb_op *op, fb_grant *grant, int64_t now_ns) {
    bool may = may_fill(grant, op);
    bool shared = grant->shared && gate->link_up && gate->breaker.state == FB_BREAKER_CLOSED;
    fb_outcome refused = {.result = FB_REFUSED};
    op->ticket = grant->ticket;
    grant->ticket = NULL;
    op->request.token = grant->token;
    op->request.wide = grant->wide;
    fb_grant_free(gate, grant);
    if (!may) {
        op->request.ttl_ns = 0;  // it only goes back
        fb_op_answer_early(gate, op, &refused);
    }
    if (shared) {
        op->request.loaded = &op->loaded;
        fb_op_send(gate, op, FB_SYNC_FILL, now_ns);
    } else if (may) {
        fill_here(gate, op, now_ns);
    } else {
        fb_op_free(gate, op);
    }
}

int fb_lease_fill_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    fb_grant *grant = fb_map_get(&gate->grants, token_name(&want->token));
    fb_asker *asker = fb_asker_new(want->waiter);
    fb_op *op = asker != NULL ? fb_op_new(gate, FB_OP_LEASE_FILL, want->key, now_ns) : NULL;
    int result = op != NULL ? fb_op_take_value(gate, op, want) : FB_ENOMEM;
    if (result < 0) {
        if (op != NULL) {
            fb_op_free(gate, op);
        }
        fb_asker_free(asker);
        return result;
    }
    fb_list_insert(&op->askers, &asker->list);
    if (grant == NULL || !fb_str_equal(grant->key, op->key)) {
        fb_outcome refused = {.result = FB_REFUSED};
        fb_op_answer(gate, op, &refused);
        return FB_OK;
    }
    fill_under(gate, op, grant, now_ns);
    return FB_OK;
}

void fb_lease_fill_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    fb_outcome outcome = {.result = FB_OK};
    if (!fb_reply_failed(reply) || reply->result == FB_SYNC_NO_EPOCH) {
        (void)fb_op_fits(gate, op, reply);
    }
    if (fb_list_empty(&op->askers)) {
        fb_op_free(gate, op);  // the lease went back
    } else if (reply->result == FB_SYNC_REFUSED) {
        fb_gate_count(gate, FB_SYNC_COUNT_fills_refused);
        outcome.result = FB_REFUSED;
        fb_op_answer(gate, op, &outcome);
    } else {
        if (reply->result == FB_SYNC_DONE) {
            fb_gate_count(gate, FB_SYNC_COUNT_fills);
        }
        fill_here(gate, op, now_ns);
    }
}
