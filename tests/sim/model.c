// Each verb is one function; what several need (a key's cell without what has run out, a record
// appended) comes first. The rules that a test can take out are those that the shared tier itself
// answers for: without `fill_token` any fill is stored, without `lease_falls` an invalidation
// leaves the lease, without `value_epoch` and `lease_epoch` what another epoch left is believed,
// without `fence_kept` and `hold_kept` fences and holds refuse nothing, and so on.

#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"

// ---- keys

void model_init(model *tier, uint32_t partitions, size_t log_max) {
    *tier = (model){.partitions = partitions, .log_max = log_max};
}

void model_copy_loaded(const fb_loaded *from, fb_loaded *to) {
    fb_loaded_init(to);
    to->result = from->result;
    to->value = from->value != NULL ? fb_blob_take(from->value) : NULL;
    to->kind = from->kind;
    to->source_version = from->source_version;
    for (size_t i = 0; i < from->tag_count; i++) {
        int result = fb_loaded_add_tag(to, fb_loaded_tag_at(from, i));
        FB_ASSERT(result == FB_OK);
    }
}

void model_drop_value(model_cell *at) {
    if (at->has_value) {
        fb_loaded_release(&at->value);
        at->has_value = false;
    }
}

static model_cell *find(model *tier, const fb_sync_request *request) {
    for (size_t i = 0; i < tier->cell_count; i++) {
        if (fb_str_equal(tier->cells[i].key, request->key)) {
            return &tier->cells[i];
        }
    }
    if (tier->cell_count == tier->cell_cap) {
        tier->cell_cap = tier->cell_cap > 0 ? 2 * tier->cell_cap : 16;
        tier->cells = fb_mem_resize(tier->cells, tier->cell_cap * sizeof *tier->cells);
        FB_ASSERT(tier->cells != NULL);
    }
    model_cell *at = &tier->cells[tier->cell_count++];
    char *name = fb_mem_new(request->key.len + 1);
    FB_ASSERT(name != NULL);
    memcpy(name, request->key.ptr, request->key.len);
    *at =
        (model_cell){.key = {name, request->key.len}, .log = request->log, .plain = request->plain};
    return at;
}

// The key's cell, without what has run out or belongs to another epoch.
static model_cell *look_up(model *tier, const fb_sync_request *request, int64_t now_ns) {
    model_cell *at = find(tier, request);
    uint64_t epoch = tier->logs[at->log].mark.epoch;
    if (at->has_value && (now_ns >= at->value_until_ns ||
                          (FB_RULE(value_epoch) && !at->plain && at->epoch != epoch))) {
        model_drop_value(at);
    }
    if (now_ns >= at->lease_until_ns || (FB_RULE(lease_epoch) && at->lease_epoch != epoch)) {
        at->token = 0;
    }
    if (now_ns >= at->fence_until_ns) {
        at->fence = 0;
    }
    return at;
}

static bool is_held(const model_cell *at, int64_t now_ns) {
    return now_ns < at->hold_until_ns;
}

static void store(model *tier, model_cell *at, const fb_sync_request *request, int64_t now_ns) {
    model_drop_value(at);
    model_copy_loaded(request->loaded, &at->value);
    at->has_value = true;
    at->epoch = tier->logs[at->log].mark.epoch;
    at->wide = request->wide;
    at->filled_ns = now_ns;
    at->value_until_ns = request->ttl_ns < 0 ? INT64_MAX : now_ns + request->ttl_ns;
}

static void show(const model_cell *at, int64_t now_ns, fb_sync_reply *reply) {
    reply->fence = at->fence;
    reply->held = is_held(at, now_ns);
    reply->has_value = at->has_value;
    if (at->has_value) {
        model_copy_loaded(&at->value, &reply->loaded);
        reply->fresh_for_ns =
            at->value_until_ns == INT64_MAX ? INT64_MAX : at->value_until_ns - now_ns;
        reply->age_ns = now_ns - at->filled_ns;
        reply->version = at->version;
        reply->wide = at->wide;
    }
}

// ---- logs

static void append(model *tier, uint32_t log, const fb_record *record) {
    model_log *to = &tier->logs[log];
    to->records = fb_mem_resize(to->records, (to->record_count + 1) * sizeof *to->records);
    char *name = fb_mem_new(record->name.len + 1);
    FB_ASSERT(to->records != NULL && name != NULL);
    memcpy(name, record->name.len > 0 ? record->name.ptr : "", record->name.len);
    fb_record *made = &to->records[to->record_count++];
    *made = *record;
    made->name = (fb_str){name, record->name.len};
    made->before = to->mark.nonce;
    made->seq = ++to->mark.seq;
    tier->forks += tier->lost[log].epoch == to->mark.epoch && made->seq <= tier->lost[log].seq;
    to->mark.nonce = made->nonce;
    if (to->record_count == 1) {
        to->first_seq = made->seq;
    }
    if (to->record_count > tier->log_max) {
        model_trim(tier, log, tier->log_max);
    }
    if (tier->publish != NULL) {
        tier->publish(tier->arg, log, to->mark.epoch, &to->records[to->record_count - 1]);
    }
}

// A change of a key is told: what it does to lease, fence and hold.
static void changed(model *tier, model_cell *at, const fb_record *record, int64_t now_ns) {
    if (FB_RULE(lease_falls)) {
        at->token = 0;
    }
    at->hold_until_ns =
        FB_RULE(hold_kept) && record->hold_ms > 0 ? now_ns + record->hold_ms * FB_NS_PER_MS : 0;
    if (record->fence > at->fence && FB_RULE(fence_kept)) {
        at->fence = record->fence;
    }
    if (record->fence > 0) {
        at->fence_until_ns = now_ns + FB_SYNC_FENCE_MS * FB_NS_PER_MS;
    }
    append(tier, at->log, record);
}

// ---- verbs on keys

static void get(model *tier, const fb_sync_request *request, int64_t now_ns, fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    if (at->has_value && !request->refresh) {
        show(at, now_ns, reply);
        reply->result = FB_SYNC_VALUE;
        return;
    }
    reply->fence = at->fence;
    reply->held = is_held(at, now_ns);
    if (at->token != 0 && at->token != request->token && !reply->held) {
        reply->result = FB_SYNC_HELD;
        return;
    }
    at->token = request->token;
    at->lease_epoch = tier->logs[at->log].mark.epoch;
    at->lease_until_ns = now_ns + request->lease_ns;
    reply->result = FB_SYNC_LEASE;
}

static void peek(model *tier, const fb_sync_request *request, int64_t now_ns,
                 fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    show(at, now_ns, reply);
    reply->result = at->has_value ? FB_SYNC_VALUE : FB_SYNC_NONE;
}

// Whether the source version is older than what may be stored.
static bool goes_back(const model_cell *at, uint64_t version) {
    return (FB_RULE(fence_refuses) && version < at->fence) ||
           (FB_RULE(never_back) && at->has_value && version < at->value.source_version);
}

static void fill(model *tier, const fb_sync_request *request, int64_t now_ns,
                 fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    reply->result = FB_SYNC_REFUSED;
    if (FB_RULE(fill_token) && at->token != request->token) {
        return;
    }
    at->token = 0;
    reply->result = FB_SYNC_DONE;
    if (request->ttl_ns == 0) {
        return;
    }
    if ((FB_RULE(hold_refuses) && is_held(at, now_ns)) ||
        goes_back(at, request->loaded->source_version)) {
        reply->result = FB_SYNC_REFUSED;
        reply->fence = at->fence;
        return;
    }
    store(tier, at, request, now_ns);
    at->version = (UINT64_C(1) << 62) + ++tier->last_fill;  // no record has this number
}

// Known absence is none.
static bool is_there(const model_cell *at) {
    return at->has_value && at->value.result == FB_OK;
}

static bool holds(const model_cell *at, const fb_sync_request *request) {
    switch (request->when) {
        case FB_WHEN_ANY:
            return true;
        case FB_WHEN_ABSENT:
            return !is_there(at);
        case FB_WHEN_VERSION:
            return at->has_value && at->version == request->version &&
                   (request->mark.epoch == 0 || request->mark.epoch == at->epoch);
    }
    return false;
}

static bool conflicts(const model_cell *at, const fb_sync_request *request, int64_t now_ns,
                      fb_sync_reply *reply) {
    if (!FB_RULE(condition) || holds(at, request)) {
        return false;
    }
    show(at, now_ns, reply);
    reply->result = FB_SYNC_CONFLICT;
    return true;
}

static void set(model *tier, const fb_sync_request *request, int64_t now_ns, fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    if (conflicts(at, request, now_ns, reply)) {
        return;
    }
    uint64_t version = request->loaded->source_version;
    if (version != 0 && goes_back(at, version)) {
        reply->result = FB_SYNC_REFUSED;
        return;
    }
    changed(tier, at, &request->record, now_ns);
    store(tier, at, request, now_ns);
    at->version = reply->version = tier->logs[at->log].mark.seq;
    reply->result = FB_SYNC_DONE;
}

static void drop(model *tier, const fb_sync_request *request, int64_t now_ns,
                 fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    if (conflicts(at, request, now_ns, reply)) {
        return;
    }
    reply->found = is_there(at);
    model_drop_value(at);
    changed(tier, at, &request->record, now_ns);
    reply->result = FB_SYNC_DONE;
}

static void expire(model *tier, const fb_sync_request *request, int64_t now_ns,
                   fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    if (conflicts(at, request, now_ns, reply)) {
        return;
    }
    reply->result = FB_SYNC_NONE;
    if (is_there(at)) {
        at->value_until_ns = request->ttl_ns < 0 ? INT64_MAX : now_ns + request->ttl_ns;
        changed(tier, at, &request->record, now_ns);
        at->version = tier->logs[at->log].mark.seq;
        reply->result = FB_SYNC_DONE;
    }
}

// In its one shortest form, as INCR wants it.
static bool read_number(const model_cell *at, int64_t *number) {
    fb_str text = fb_blob_str(at->value.value);
    char again[24];
    if (fb_str_int(text, number) != FB_OK) {
        return false;
    }
    int length = snprintf(again, sizeof again, "%" PRId64, *number);
    return fb_str_equal(text, fb_str_make(again, (size_t)length));
}

static void add(model *tier, const fb_sync_request *request, int64_t now_ns, fb_sync_reply *reply) {
    model_cell *at = look_up(tier, request, now_ns);
    bool found = is_there(at);
    int64_t number = 0, sum;
    reply->result = FB_SYNC_WRONG_TYPE;
    if (found && !read_number(at, &number)) {
        return;
    }
    reply->result = FB_SYNC_OUT_OF_RANGE;
    if (__builtin_add_overflow(number, request->delta, &sum)) {
        return;
    }
    char text[24];
    fb_loaded made;
    if (found) {
        model_copy_loaded(&at->value, &made);
    } else {
        fb_loaded_init(&made);
    }
    fb_blob_drop(made.value);
    int length = snprintf(text, sizeof text, "%" PRId64, sum);
    made.value = fb_blob_new(fb_str_make(text, (size_t)length));
    made.result = FB_OK;
    made.kind = FB_KIND_JSON;
    int64_t until_ns = at->value_until_ns;
    fb_sync_request as_set = *request;
    as_set.loaded = &made;
    as_set.wide = found ? at->wide : request->wide;
    changed(tier, at, &request->record, now_ns);
    store(tier, at, &as_set, now_ns);
    if (found) {
        at->value_until_ns = until_ns;
    }
    fb_loaded_release(&made);
    at->version = reply->version = tier->logs[at->log].mark.seq;
    reply->number = sum;
    reply->fresh_for_ns = at->value_until_ns == INT64_MAX ? INT64_MAX : at->value_until_ns - now_ns;
    reply->result = FB_SYNC_DONE;
}

static void *in_arena(fb_arena *memory, const void *from, size_t count, size_t size) {
    void *to = fb_arena_new(memory, count * size + 1);
    FB_ASSERT(to != NULL);
    memcpy(to, count > 0 ? from : "", count * size);
    return to;
}

// ---- COMMIT

static fb_sync_request one_of(const fb_sync_request *commit, const fb_sync_item *item) {
    return (fb_sync_request){.key = item->key,
                             .log = item->log,
                             .class_name = item->class_name,
                             .loaded = item->loaded,
                             .ttl_ns = item->ttl_ns,
                             .wide = commit->wide,
                             .record = item->record,
                             .when = item->when,
                             .version = item->version,
                             .mark.epoch = item->epoch};
}

static void do_item(model *tier, const fb_sync_request *one, fb_sync_act act, int64_t now_ns) {
    fb_sync_reply unused = {.text = ""};
    fb_loaded_init(&unused.loaded);
    if (act == FB_ACT_SET && one->ttl_ns != 0) {
        set(tier, one, now_ns, &unused);
    } else if (act == FB_ACT_EXPIRE && one->ttl_ns != 0) {
        expire(tier, one, now_ns, &unused);
    } else if (act != FB_ACT_NONE) {
        drop(tier, one, now_ns, &unused);
    }
}

static void commit(model *tier, const fb_sync_request *request, int64_t now_ns, fb_arena *memory,
                   fb_sync_reply *reply) {
    fb_mark marks[FB_LOGS_MAX];
    FB_ASSERT(request->item_count <= FB_LOGS_MAX);
    for (size_t i = 0; i < request->item_count; i++) {
        if (tier->logs[request->items[i].log].mark.epoch == 0) {
            reply->result = FB_SYNC_NO_EPOCH;
            return;
        }
    }
    for (size_t i = 0; i < request->item_count; i++) {
        fb_sync_request one = one_of(request, &request->items[i]);
        if (FB_RULE(condition) && !holds(look_up(tier, &one, now_ns), &one)) {
            reply->result = FB_SYNC_CONFLICT;
            return;
        }
    }
    for (size_t i = 0; i < request->item_count; i++) {
        fb_sync_request one = one_of(request, &request->items[i]);
        one.when = FB_WHEN_ANY;
        do_item(tier, &one, request->items[i].act, now_ns);
        marks[i] = tier->logs[one.log].mark;
    }
    reply->mark_count = request->item_count;
    reply->marks = in_arena(memory, marks, reply->mark_count, sizeof marks[0]);
    reply->result = FB_SYNC_DONE;
}

// ---- verbs on logs

static void raise_stamp(model *tier, const fb_record *record, uint64_t seq) {
    if (record->kind == FB_RECORD_PATTERN || record->kind == FB_RECORD_KEY) {
        return;
    }
    uint32_t slot = fb_sync_slot(record->kind, record->name);
    size_t i = 0;
    while (i < tier->stamp_count && tier->stamps[i].slot != slot) {
        i++;
    }
    if (i == tier->stamp_count) {
        tier->stamps = fb_mem_resize(tier->stamps, (i + 1) * sizeof *tier->stamps);
        FB_ASSERT(tier->stamps != NULL);
        tier->stamps[tier->stamp_count++] = (fb_sync_stamp){.slot = slot};
    }
    *(record->soft ? &tier->stamps[i].soft : &tier->stamps[i].hard) = seq;
}

static void bump(model *tier, const fb_sync_request *request, fb_sync_reply *reply) {
    uint32_t wide = tier->partitions;
    if (tier->stamps_epoch != tier->logs[wide].mark.epoch) {
        tier->stamp_count = 0;
        tier->stamps_epoch = tier->logs[wide].mark.epoch;
    }
    for (size_t i = 0; i < request->record_count; i++) {
        raise_stamp(tier, &request->records[i], tier->logs[wide].mark.seq + 1);
        append(tier, wide, &request->records[i]);
    }
    reply->result = FB_SYNC_DONE;
}

static void state(model *tier, const fb_sync_request *request, int64_t now_ns, fb_arena *memory,
                  fb_sync_reply *reply) {
    size_t count = sizeof tier->nodes / sizeof tier->nodes[0], place = count;
    for (size_t i = count; i-- > 0;) {
        bool is_free = tier->nodes[i].node == 0 || tier->nodes[i].until_ns <= now_ns;
        if (tier->nodes[i].node == request->node) {
            place = i;
            break;
        }
        place = is_free ? i : place;
    }
    FB_ASSERT(place < count);
    tier->nodes[place] = (model_node){request->node, now_ns + request->alive_ms * FB_NS_PER_MS};
    fb_mark marks[FB_LOGS_MAX];
    for (uint32_t i = 0; i <= tier->partitions; i++) {
        marks[i] = tier->logs[i].mark;
    }
    reply->mark_count = tier->partitions + 1;
    reply->marks = in_arena(memory, marks, reply->mark_count, sizeof marks[0]);
    reply->result = FB_SYNC_DONE;
}

static void read_log(const model *tier, const fb_sync_request *request, fb_arena *memory,
                     fb_sync_reply *reply) {
    const model_log *from = &tier->logs[request->log];
    uint64_t first = request->mark.seq > 0 ? request->mark.seq : 1;
    reply->result = FB_SYNC_DONE;
    if (from->mark.seq == 0 && request->mark.seq == 0) {
        return;
    }
    if (first > from->mark.seq || from->record_count == 0 || first < from->first_seq) {
        reply->result = FB_SYNC_GONE;
        return;
    }
    size_t skip = (size_t)(first - from->first_seq);
    reply->record_count = from->record_count - skip;
    fb_record *records =
        in_arena(memory, from->records + skip, reply->record_count, sizeof *records);
    for (size_t i = 0; i < reply->record_count; i++) {
        records[i].name = fb_arena_copy(memory, records[i].name);
    }
    reply->records = records;
}

static void open_epoch(model *tier, const fb_sync_request *request, fb_sync_reply *reply) {
    model_log *at = &tier->logs[request->log];
    reply->result = FB_SYNC_DONE;
    if (at->mark.epoch == request->mark.epoch) {
        tier->losses += at->mark.epoch != 0;
        model_evict_log(tier, request->log);
        at->mark = (fb_mark){.epoch = request->token};
    }
}

static void list_stamps(const model *tier, fb_arena *memory, fb_sync_reply *reply) {
    reply->result = FB_SYNC_DONE;
    if (tier->stamps_epoch == tier->logs[tier->partitions].mark.epoch) {
        reply->stamp_count = tier->stamp_count;
        reply->stamps = in_arena(memory, tier->stamps, tier->stamp_count, sizeof tier->stamps[0]);
    }
}

static void list_nodes(const model *tier, int64_t now_ns, fb_arena *memory, fb_sync_reply *reply) {
    uint64_t nodes[sizeof tier->nodes / sizeof tier->nodes[0]];
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        if (tier->nodes[i].node != 0 && tier->nodes[i].until_ns > now_ns) {
            nodes[reply->node_count++] = tier->nodes[i].node;
        }
    }
    reply->nodes = in_arena(memory, nodes, reply->node_count, sizeof nodes[0]);
    reply->result = FB_SYNC_DONE;
}

// ---- SWEEP

static int64_t sweep_key(model *tier, fb_str key, bool values) {
    for (size_t i = 0; i < tier->cell_count; i++) {
        model_cell *at = &tier->cells[i];
        if (!fb_str_equal(at->key, key)) {
            continue;
        }
        bool had = at->has_value;
        if (values) {
            model_drop_value(at);
            return had;
        }
        at->token = FB_RULE(sweep_leases) ? 0 : at->token;
    }
    return 0;
}

static void line_up(const model *tier, fb_rng *rng, fb_arena *memory, model_sweep *sweep) {
    sweep->todo = fb_arena_new(memory, (tier->cell_count + 1) * sizeof *sweep->todo);
    FB_ASSERT(sweep->todo != NULL);
    sweep->count = sweep->at = 0;
    for (size_t i = 0; i < tier->cell_count; i++) {
        if (fb_glob_match(sweep->glob, tier->cells[i].key)) {
            size_t place = (size_t)fb_rng_below(rng, sweep->count + 1);
            sweep->todo[sweep->count] = sweep->todo[place];
            sweep->todo[place] = fb_arena_copy(memory, tier->cells[i].key);
            sweep->count++;
        }
    }
}

void model_sweep_begin(model *tier, fb_str glob, fb_rng *rng, fb_arena *memory,
                       model_sweep *sweep) {
    *sweep = (model_sweep){.glob = fb_arena_copy(memory, glob)};
    line_up(tier, rng, memory, sweep);
}

bool model_sweep_step(model *tier, fb_rng *rng, fb_arena *memory, model_sweep *sweep) {
    if (sweep->at < sweep->count) {
        sweep->removed += sweep_key(tier, sweep->todo[sweep->at++], sweep->values);
        return true;
    }
    if (sweep->values) {
        return false;
    }
    sweep->values = true;
    line_up(tier, rng, memory, sweep);
    return true;
}

static void sweep_at_once(model *tier, const fb_sync_request *request, fb_arena *memory,
                          fb_sync_reply *reply) {
    fb_rng rng;
    fb_rng_init(&rng, 1);
    model_sweep sweep;
    model_sweep_begin(tier, request->key, &rng, memory, &sweep);
    while (model_sweep_step(tier, &rng, memory, &sweep)) {
    }
    reply->number = sweep.removed;
    reply->result = FB_SYNC_DONE;
}

// ---- all verbs

// The log whose epoch the request needs; UINT32_MAX: none.
static uint32_t needs(const model *tier, const fb_sync_request *request) {
    switch (request->verb) {
        case FB_SYNC_BUMP:
        case FB_SYNC_STAMPS:
            return tier->partitions;
        case FB_SYNC_SWEEP:
        case FB_SYNC_STATE:
        case FB_SYNC_EPOCH:
        case FB_SYNC_NODES:
        case FB_SYNC_ACK:
        case FB_SYNC_COMMIT:
            return UINT32_MAX;
        default:
            return request->log;
    }
}

static void do_verb(model *tier, const fb_sync_request *request, int64_t now_ns, fb_arena *memory,
                    fb_sync_reply *reply) {
    switch (request->verb) {
        case FB_SYNC_GET:
            get(tier, request, now_ns, reply);
            return;
        case FB_SYNC_PEEK:
            peek(tier, request, now_ns, reply);
            return;
        case FB_SYNC_FILL:
            fill(tier, request, now_ns, reply);
            return;
        case FB_SYNC_SET:
            set(tier, request, now_ns, reply);
            return;
        case FB_SYNC_DROP:
            drop(tier, request, now_ns, reply);
            return;
        case FB_SYNC_EXPIRE:
            expire(tier, request, now_ns, reply);
            return;
        case FB_SYNC_ADD:
            add(tier, request, now_ns, reply);
            return;
        case FB_SYNC_BUMP:
            bump(tier, request, reply);
            return;
        case FB_SYNC_SWEEP:
            sweep_at_once(tier, request, memory, reply);
            return;
        case FB_SYNC_STATE:
            state(tier, request, now_ns, memory, reply);
            return;
        case FB_SYNC_LOG:
            read_log(tier, request, memory, reply);
            return;
        case FB_SYNC_EPOCH:
            open_epoch(tier, request, reply);
            return;
        case FB_SYNC_STAMPS:
            list_stamps(tier, memory, reply);
            return;
        case FB_SYNC_NODES:
            list_nodes(tier, now_ns, memory, reply);
            return;
        case FB_SYNC_COMMIT:
            commit(tier, request, now_ns, memory, reply);
            return;
        case FB_SYNC_ACK:
            reply->result = FB_SYNC_DONE;
            if (tier->ack != NULL) {
                tier->ack(tier->arg, request->token, request->node);
            }
            return;
    }
}

void model_do(model *tier, const fb_sync_request *request, int64_t now_ns, fb_arena *memory,
              fb_sync_reply *reply) {
    *reply = (fb_sync_reply){.id = request->id, .text = ""};
    fb_loaded_init(&reply->loaded);
    uint32_t log = needs(tier, request);
    if (log != UINT32_MAX && tier->logs[log].mark.epoch == 0) {
        reply->result = FB_SYNC_NO_EPOCH;
        return;
    }
    do_verb(tier, request, now_ns, memory, reply);
    log = log != UINT32_MAX ? log : request->log;
    if (request->verb != FB_SYNC_STATE && request->verb != FB_SYNC_COMMIT && log <= tier->partitions) {
        reply->mark = tier->logs[log].mark;
    }
}
