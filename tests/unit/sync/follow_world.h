// follow_world.h -- three nodes with real memory, stamps and followers at one shared tier that is
// arrays: logs with epochs, trimmed, emptied, put back to an older copy; a network that delays,
// drops, doubles and reorders; nodes that are started again with their region. Virtual time.
//
// What is checked:
//   - a node that says COHERENT of a key never shows a value from before a change that stands in
//   the
//     log for longer than max_lag;
//   - when the faults stop, every node comes to be coherent within a bound; then no value is older
//     than the last change, and the stamps judge as the shared tier's own do.
//
// A change that a fail-over lost counts only for the second: that is what the shared tier is asked
// to keep (docs/decisions/0005).

#ifndef FB_TESTS_FOLLOW_WORLD_H
#define FB_TESTS_FOLLOW_WORLD_H

#include <sys/mman.h>
#include <unistd.h>

#include "cache_rig.h"
#include "sync/follow.h"

enum {
    W_NODES = 3,
    W_PARTITIONS = 4,
    W_LOGS = W_PARTITIONS + 1,
    W_WIDE = W_PARTITIONS,
    W_KEYS = 24,
    W_TAGS = 3,
    W_LOG_MAX = 64,
    W_EVENTS_MAX = 8192,
    W_CHANGES_MAX = 4096,
    W_LOADS_MAX = 32,
    W_LAG_MS = 2000
};

typedef struct w_record {
    fb_record record;
    char name[16];
    uint32_t change;  // its number
} w_record;

typedef struct w_log {
    fb_mark mark;
    w_record records[W_LOG_MAX];  // the newest
    size_t count;
} w_log;

typedef struct w_change {
    int64_t at_ns;     // when it stood in the log; INT64_MAX: it does not yet
    bool lost, acked;  // the first: by a fail-over
    int node;
    uint32_t boot;  // of the node
    uint32_t log;
    w_record record;
    bool owed;
    uint64_t truth[W_KEYS];  // the version of each key that it concerns, else 0
} w_change;

typedef struct w_load {
    fb_ticket *ticket;
    int key;
    uint64_t version;
} w_load;

typedef struct w_node {
    int fd;
    fb_catalog *catalog;
    fb_cache *cache;
    fb_sync *sync;
    fb_follower *follower;
    bool up;
    uint32_t boot;
    w_load loads[W_LOADS_MAX];
    size_t load_count;
} w_node;

typedef enum w_kind { W_REQUEST, W_REPLY, W_PUSH, W_CHANGE_ARRIVES, W_CHANGE_ACKED, W_FILL } w_kind;

typedef struct w_event {
    int64_t at_ns;
    uint64_t order;
    w_kind kind;
    int node;
    uint32_t boot;
    fb_sync_request request;
    // REPLY
    fb_sync_reply reply;
    fb_mark marks[W_LOGS];
    w_record records[W_LOG_MAX];
    fb_sync_stamp *stamps;
    // PUSH
    uint32_t log;
    uint64_t epoch;
    w_record pushed;
    uint32_t change;
    bool unknown;
} w_event;

typedef struct world {
    fb_rng rng;
    int64_t now_ns;
    bool calm;
    bool forked;  // since the last calm: no node is started again, or it could not tell
    w_log logs[W_LOGS];
    struct {
        uint64_t hard, soft;
    } stamps[FB_SYNC_STAMP_SLOTS];
    w_node nodes[W_NODES];
    struct w_stamped {
        uint64_t seq;
        uint32_t slot;
        bool soft;
    } stamped[4 * W_CHANGES_MAX];  // in this epoch of the wide log, to reckon stamps back
    size_t stamped_count;
    uint64_t truth[W_KEYS];
    w_change *changes;
    size_t change_count;
    w_event **events;
    size_t event_count;
    uint64_t order;
    const char *failed;  // what went wrong, or NULL
    char detail[200];
} world;

static inline uint64_t w_below(world *all, uint64_t bound) {
    return fb_rng_below(&all->rng, bound);
}

static inline bool w_chance(world *all, uint64_t percent) {
    return !all->calm && w_below(all, 100) < percent;
}

static inline const char *w_key(int key) {
    static char names[W_KEYS][16];
    (void)snprintf(names[key], sizeof names[key], "k%d", key);
    return names[key];
}

static inline fb_str w_tag(int tag) {
    static char names[W_TAGS][16];
    (void)snprintf(names[tag], sizeof names[tag], "t%d", tag);
    return fb_str_of(names[tag]);
}

static inline void w_fail(world *all, const char *what, int node, int key) {
    if (all->failed == NULL) {
        all->failed = what;
        (void)snprintf(all->detail, sizeof all->detail, "%s: node %d, key %d, at %.3f s", what,
                       node, key, (double)all->now_ns / 1e9);
    }
}

// ---- events

static inline void w_fail_over(world *all, uint32_t which);

static inline w_event *w_schedule(world *all, w_kind kind, int node, int64_t delay_ms) {
    if (all->event_count == W_EVENTS_MAX) {
        fail_msg("too many events");
    }
    w_event *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->kind = kind;
    made->node = node;
    made->boot = all->nodes[node].boot;
    made->at_ns = all->now_ns + delay_ms * FB_NS_PER_MS + (int64_t)w_below(all, 1000000);
    made->order = all->order++;
    all->events[all->event_count++] = made;
    return made;
}

static inline int64_t w_delay_ms(world *all) {
    return (int64_t)(w_chance(all, 10) ? w_below(all, 1500) : w_below(all, 8));
}

// ---- the shared tier

static inline void w_push(world *all, uint32_t log, const w_record *record) {
    for (int i = 0; i < W_NODES; i++) {
        int copies = w_chance(all, 15) ? 0 : w_chance(all, 10) ? 2 : 1;
        while (copies-- > 0) {
            w_event *push = w_schedule(all, W_PUSH, i, w_delay_ms(all));
            push->log = log;
            push->epoch = all->logs[log].mark.epoch;
            push->pushed = *record;
        }
    }
}

static inline void w_stamp(world *all, const fb_record *record) {
    if (record->kind != FB_RECORD_KEY && record->kind != FB_RECORD_PATTERN) {
        uint32_t slot = fb_sync_slot(record->kind, record->name);
        assert_true(all->stamped_count < 4 * W_CHANGES_MAX);
        all->stamped[all->stamped_count++] = (struct w_stamped){record->seq, slot, record->soft};
        if (record->soft) {
            all->stamps[slot].soft = record->seq;
        } else {
            all->stamps[slot].hard = record->seq;
        }
    }
}

static inline void w_append(world *all, uint32_t number) {
    w_change *change = &all->changes[number];
    w_log *log = &all->logs[change->log];
    if (log->count == W_LOG_MAX) {
        memmove(log->records, log->records + 1, (W_LOG_MAX - 1) * sizeof *log->records);
        log->count--;
    }
    w_record *made = &log->records[log->count++];
    *made = change->record;
    made->record.name = fb_str_make(made->name, change->record.record.name.len);
    made->record.seq = log->mark.seq + 1;
    made->record.before = log->mark.nonce;
    log->mark.seq++;
    log->mark.nonce = made->record.nonce;
    made->change = number;
    if (change->log == W_WIDE) {
        w_stamp(all, &made->record);
    }
    change->at_ns = all->now_ns;
    change->lost = false;
    w_push(all, change->log, made);
}

static inline void w_answer_log(world *all, const w_event *request, w_event *answer) {
    const w_log *log = &all->logs[request->request.log];
    uint64_t from = request->request.mark.seq;
    uint64_t first = log->mark.seq - log->count + 1;
    answer->reply.mark = log->mark;
    bool there = from == 0 ? first == 1 : from >= first && from <= log->mark.seq;
    if (log->mark.epoch == 0) {
        answer->reply.result = FB_SYNC_NO_EPOCH;
        return;
    }
    if (!there) {
        answer->reply.result = FB_SYNC_GONE;
        return;
    }
    for (size_t i = 0; i < log->count; i++) {
        if (log->records[i].record.seq >= from) {
            w_record *copy = &answer->records[answer->reply.record_count++];
            *copy = log->records[i];
        }
    }
}

static inline void w_answer_stamps(world *all, w_event *answer) {
    answer->reply.mark = all->logs[W_WIDE].mark;
    if (answer->reply.mark.epoch == 0) {
        answer->reply.result = FB_SYNC_NO_EPOCH;
        return;
    }
    answer->stamps = calloc(64, sizeof *answer->stamps);
    for (uint32_t i = 0; i < FB_SYNC_STAMP_SLOTS; i++) {
        if (all->stamps[i].hard != 0 || all->stamps[i].soft != 0) {
            assert_true(answer->reply.stamp_count < 64);
            answer->stamps[answer->reply.stamp_count++] =
                (fb_sync_stamp){i, all->stamps[i].hard, all->stamps[i].soft};
        }
    }
}

static inline void w_open_epoch(world *all, uint32_t log, uint64_t epoch) {
    all->logs[log] = (w_log){.mark = {.epoch = epoch}};
    if (log == W_WIDE) {
        memset(all->stamps, 0, sizeof all->stamps);
        all->stamped_count = 0;
    }
}

static inline void w_answer_epoch(world *all, const w_event *request, w_event *answer) {
    const w_log *log = &all->logs[request->request.log];
    if (log->mark.epoch == request->request.mark.epoch) {
        w_open_epoch(all, request->request.log, request->request.token);
    }
    answer->reply.mark = log->mark;
}

static inline void w_serve(world *all, const w_event *request) {
    bool answered = !w_chance(all, 8);
    w_event *answer = w_schedule(all, W_REPLY, request->node, answered ? w_delay_ms(all) : 100);
    answer->boot = request->boot;  // a process that is gone hears nothing
    answer->reply.id = request->request.id;
    answer->reply.result = FB_SYNC_DONE;
    if (!answered && w_chance(all, 50)) {  // it did not even arrive
        answer->reply.result = FB_SYNC_FAILED;
        return;
    }
    switch (request->request.verb) {
        case FB_SYNC_STATE:
            for (uint32_t i = 0; i < W_LOGS; i++) {
                answer->marks[i] = all->logs[i].mark;
            }
            answer->reply.mark_count = W_LOGS;
            break;
        case FB_SYNC_LOG:
            w_answer_log(all, request, answer);
            break;
        case FB_SYNC_EPOCH:
            w_answer_epoch(all, request, answer);
            break;
        case FB_SYNC_STAMPS:
            w_answer_stamps(all, answer);
            break;
        default:
            assert_int_equal(request->request.verb, FB_SYNC_ACK);
            break;
    }
    if (!answered) {
        answer->reply.result = FB_SYNC_UNKNOWN;
    }
}

// ---- nodes

static inline void w_stop(world *all, w_node *node) {
    for (size_t i = 0; i < node->load_count; i++) {
        fb_cache_end(node->cache, node->loads[i].ticket);
    }
    node->load_count = 0;
    fb_follower_free(node->follower);
    fb_sync_free(node->sync);
    fb_cache_free(node->cache);
    node->boot++;
}

static inline void w_start(world *all, int number, bool keep) {
    w_node *node = &all->nodes[number];
    fb_error error = {0};
    fb_cache_region region = {.fd = node->fd, .boot = 1, .keep = keep, .error = &error};
    fb_cache_options options = {.memory_bytes = 8 << 20,
                                .tag_slots = 256,
                                .seed = 7,
                                .catalog = rig_catalog(),
                                .region = &region,
                                .partitions = W_PARTITIONS,
                                .now_ns = all->now_ns};
    if (fb_cache_new(&options, &node->cache) != FB_OK) {
        fail_msg("%s", error.text);
    }
    fb_sync_options how = {.cache = node->cache,
                           .partitions = W_PARTITIONS,
                           .node = (uint64_t)number + 1 + 16 * (uint64_t)node->boot,
                           .max_lag_ns = W_LAG_MS * FB_NS_PER_MS};
    assert_ok(fb_sync_new(&how, &node->sync));
    assert_ok(fb_follower_new(node->sync, fb_rng_next(&all->rng), &node->follower));
    node->up = true;
    fb_follower_link(node->follower, true, NULL, all->now_ns);
}

static inline void w_send(world *all, int number) {
    w_node *node = &all->nodes[number];
    fb_sync_request request;
    fb_follower_check(node->follower);
    while (fb_follower_next(node->follower, &request)) {
        w_event *sent = w_schedule(all, W_REQUEST, number, w_delay_ms(all));
        sent->request = request;
    }
}

static inline void w_begin_load(world *all, int number, int key) {
    w_node *node = &all->nodes[number];
    if (node->load_count == W_LOADS_MAX) {
        return;
    }
    w_load *load = &node->loads[node->load_count++];
    const fb_class *class_ =
        fb_catalog_of_key(fb_cache_catalog(node->cache), fb_str_of(w_key(key)));
    load->key = key;
    assert_ok(
        fb_cache_begin(node->cache, class_, fb_str_of(w_key(key)), all->now_ns, &load->ticket));
    load->version = all->truth[key];
    (void)w_schedule(all, W_FILL, number, w_delay_ms(all));
}

static inline void w_fill(world *all, w_node *node) {
    if (node->load_count == 0) {
        return;
    }
    size_t at = w_below(all, node->load_count);
    w_load load = node->loads[at];
    node->loads[at] = node->loads[--node->load_count];
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)load.version);
    fb_loaded loaded = rig_loaded(text, NULL);
    assert_ok(fb_loaded_tag(&loaded, w_tag(load.key % W_TAGS)));
    fb_value info;
    int result = fb_cache_fill(node->cache, load.ticket, &loaded, 10, 0, all->now_ns, &info);
    assert_true(result == FB_OK || result == FB_DOOMED);
    fb_loaded_release(&loaded);
    fb_cache_end(node->cache, load.ticket);
}

// ---- changes

static inline bool w_concerns(const fb_record *record, int key) {
    switch (record->kind) {
        case FB_RECORD_KEY:
            return fb_str_equal(record->name, fb_str_of(w_key(key)));
        case FB_RECORD_TAG:
            return fb_str_equal(record->name, w_tag(key % W_TAGS));
        case FB_RECORD_PATTERN:  // "k1*"
            return w_key(key)[1] == '1';
        default:
            return record->kind == FB_RECORD_ALL;
    }
}

static inline void w_drop(world *all, int number, const fb_record *record) {
    static const fb_scope scopes[] = {FB_SCOPE_KEY,       FB_SCOPE_TAG,     FB_SCOPE_CLASS,
                                      FB_SCOPE_NAMESPACE, FB_SCOPE_PATTERN, FB_SCOPE_ALL};
    fb_invalidation what = {.scope = scopes[record->kind], .name = record->name};
    assert_ok(fb_cache_invalidate(all->nodes[number].cache, &what, all->now_ns, NULL));
}

static inline void w_issue(world *all, uint32_t number) {
    w_change *change = &all->changes[number];
    change->record.record.nonce = fb_rng_next(&all->rng) | 1;
    w_drop(all, change->node, &change->record.record);
    change->owed = false;
    w_event *sent = w_schedule(all, W_CHANGE_ARRIVES, change->node, w_delay_ms(all));
    sent->change = number;
}

static inline void w_change_something(world *all) {
    if (all->change_count == W_CHANGES_MAX) {
        return;
    }
    static const fb_record_kind wide[] = {FB_RECORD_TAG, FB_RECORD_TAG, FB_RECORD_PATTERN,
                                          FB_RECORD_ALL};
    uint32_t number = (uint32_t)all->change_count++;
    w_change *change = &all->changes[number];
    int node = (int)w_below(all, W_NODES);
    fb_record *record = &change->record.record;
    *change = (w_change){.at_ns = INT64_MAX, .node = node, .boot = all->nodes[node].boot};
    int key = (int)w_below(all, W_KEYS);
    bool is_wide = w_below(all, 4) == 0;
    record->kind = is_wide ? wide[w_below(all, 4)] : FB_RECORD_KEY;
    record->node = fb_sync_options_of(all->nodes[node].sync)->node;
    const char *name = record->kind == FB_RECORD_KEY       ? w_key(key)
                       : record->kind == FB_RECORD_PATTERN ? "k1*"
                       : record->kind == FB_RECORD_TAG     ? w_tag(key % W_TAGS).ptr
                                                           : "";
    (void)snprintf(change->record.name, sizeof change->record.name, "%s", name);
    record->name = fb_str_of(change->record.name);
    change->log = is_wide ? W_WIDE : fb_partition_of(record->name, W_PARTITIONS);
    for (int i = 0; i < W_KEYS; i++) {
        if (w_concerns(record, i)) {
            change->truth[i] = ++all->truth[i];
        }
    }
    w_issue(all, number);
}

static inline void w_arrive(world *all, const w_event *event) {
    w_change *change = &all->changes[event->change];
    w_event *acked = w_schedule(all, W_CHANGE_ACKED, event->node, w_delay_ms(all));
    acked->change = event->change;
    acked->epoch = all->logs[change->log].mark.epoch;
    acked->unknown = w_chance(all, 5);
    bool arrived = acked->epoch != 0 && (!acked->unknown || w_chance(all, 50));
    if (arrived) {
        w_append(all, event->change);
    }
    acked->reply.mark = all->logs[change->log].mark;
}

static inline void w_acked(world *all, const w_event *event) {
    w_change *change = &all->changes[event->change];
    w_node *node = &all->nodes[change->node];
    if (node->boot !=
        change->boot) {  // nobody is there any more to hear of it: the caller tries again
        change->owed = event->unknown || event->epoch == 0;
        change->boot = change->owed ? node->boot : change->boot;
        return;
    }
    if (event->unknown) {
        fb_sync_disown(node->sync, change->record.record.nonce);
    }
    w_drop(all, change->node, &change->record.record);
    if (event->unknown || event->epoch == 0) {
        if (event->epoch == 0) {
            fb_mark none = {0};
            fb_follower_suspect(node->follower, change->log, &none, all->now_ns);
        }
        change->owed = true;
    } else {
        fb_sync_acked(node->sync, change->log, &event->reply.mark);
        change->acked = true;
        if (w_chance(all, 2)) {
            w_fail_over(all, change->log);
        }
    }
}

static inline void w_tell_owed(world *all) {
    for (size_t i = 0; i < all->change_count; i++) {
        w_change *change = &all->changes[i];
        if (change->owed && all->nodes[change->node].boot == change->boot) {
            w_issue(all, (uint32_t)i);
        }
    }
}

// ---- faults

// An older copy of one log takes over, as far back as those who issued the records can tell.
static inline void w_restamp(world *all);

static inline void w_fail_over(world *all, uint32_t which) {
    w_log *log = &all->logs[which];
    uint64_t wanted = w_below(all, 4);
    while (wanted-- > 0 && log->count > 1) {
        const w_record *last = &log->records[log->count - 1];
        w_change *change = &all->changes[last->change];
        if (all->nodes[change->node].boot != change->boot) {
            return;
        }
        all->forked = true;
        change->lost = true;
        log->count--;
        log->mark.seq--;
        log->mark.nonce = log->records[log->count - 1].record.nonce;
    }
    w_restamp(all);
}

static inline void w_restamp(world *all) {
    size_t count = all->stamped_count;
    all->stamped_count = 0;
    memset(all->stamps, 0, sizeof all->stamps);
    for (size_t i = 0; i < count && all->stamped[i].seq <= all->logs[W_WIDE].mark.seq; i++) {
        all->stamped_count++;
        if (all->stamped[i].soft) {
            all->stamps[all->stamped[i].slot].soft = all->stamped[i].seq;
        } else {
            all->stamps[all->stamped[i].slot].hard = all->stamped[i].seq;
        }
    }
}

static inline void w_empty(world *all) {
    for (uint32_t i = 0; i < W_LOGS; i++) {
        all->logs[i] = (w_log){.count = 0};
    }
    memset(all->stamps, 0, sizeof all->stamps);
    all->stamped_count = 0;
}

static inline void w_trim(world *all) {
    w_log *log = &all->logs[w_below(all, W_LOGS)];
    size_t keep = w_below(all, 3);
    if (log->count > keep) {
        memmove(log->records, log->records + log->count - keep, keep * sizeof *log->records);
        log->count = keep;
    }
}

static inline void w_link(world *all, int number) {
    w_node *node = &all->nodes[number];
    node->up = !node->up;
    fb_follower_link(node->follower, node->up, "cut", all->now_ns);
}

static inline void w_restart(world *all, int number) {
    bool keep = w_below(all, 4) > 0;
    w_stop(all, &all->nodes[number]);
    w_start(all, number, keep);
    for (size_t i = 0; i < all->change_count; i++) {  // callers try again what was owed to them
        w_change *change = &all->changes[i];
        change->boot =
            change->owed && change->node == number ? all->nodes[number].boot : change->boot;
    }
}

// A gate opens an epoch, past its node's follower: it had forgotten what it owes.
static inline void w_renew(world *all) {
    uint32_t log = (uint32_t)w_below(all, W_LOGS);
    uint64_t epoch = all->logs[log].mark.epoch;
    if (epoch != 0) {
        w_open_epoch(all, log, fb_epoch_after(epoch, fb_rng_next(&all->rng)));
    }
}

static inline void w_misfortune(world *all) {
    int node = (int)w_below(all, W_NODES);
    switch (w_below(all, 40)) {
        case 0:
            w_fail_over(all, (uint32_t)w_below(all, W_LOGS));
            break;
        case 1:
            w_empty(all);
            break;
        case 2:
        case 3:
            w_trim(all);
            break;
        case 4:
        case 5:
        case 6:
            w_link(all, node);
            break;
        case 7:
            if (!all->forked) {
                w_restart(all, node);
            }
            break;
        case 8:
            w_renew(all);
            break;
        default:
            break;
    }
}

// ---- what must hold

static inline uint64_t w_least(const world *all, int key) {
    uint64_t least = 0;
    for (size_t i = 0; i < all->change_count; i++) {
        const w_change *change = &all->changes[i];
        if (change->at_ns != INT64_MAX && !change->lost && change->truth[key] > least &&
            change->at_ns <= all->now_ns - W_LAG_MS * FB_NS_PER_MS) {
            least = change->truth[key];
        }
    }
    return least;
}

static inline bool w_seen(w_node *node, int key, int64_t now_ns, uint64_t *version) {
    rig_copy copy = {.text = ""};
    fb_found found;
    fb_find find =
        fb_cache_read(node->cache, fb_str_of(w_key(key)), now_ns, NULL, rig_take, &copy, &found);
    *version = strtoull(copy.text, NULL, 10);
    return find != FB_FIND_NOTHING;
}

static inline void w_read(world *all, int number, int key) {
    w_node *node = &all->nodes[number];
    uint64_t version;
    bool there = w_seen(node, key, all->now_ns, &version);
    if (there && fb_cache_is_coherent(node->cache, fb_str_of(w_key(key)), all->now_ns) &&
        version < w_least(all, key)) {
        w_fail(all, "stale though COHERENT", number, key);
    }
    if (!there) {
        w_begin_load(all, number, key);
    }
}

// ---- running

static inline void w_take(world *all, w_event *event) {
    w_node *node = &all->nodes[event->node];
    bool same = node->boot == event->boot;
    if (event->kind == W_REQUEST) {
        w_serve(all, event);
    } else if (event->kind == W_REPLY && same) {
        for (size_t i = 0; i < event->reply.record_count; i++) {
            fb_record *record = &event->records[i].record;
            record->name = fb_str_make(event->records[i].name, record->name.len);
        }
        fb_record records[W_LOG_MAX];
        for (size_t i = 0; i < event->reply.record_count; i++) {
            records[i] = event->records[i].record;
        }
        event->reply.records = records;
        event->reply.marks = event->marks;
        event->reply.stamps = event->stamps;
        fb_follower_reply(node->follower, &event->reply, all->now_ns);
    } else if (event->kind == W_PUSH && same && node->up) {
        event->pushed.record.name = fb_str_make(event->pushed.name, event->pushed.record.name.len);
        fb_follower_record(node->follower, event->log, event->epoch, &event->pushed.record,
                           all->now_ns);
    } else if (event->kind == W_CHANGE_ARRIVES) {
        w_arrive(all, event);
    } else if (event->kind == W_CHANGE_ACKED) {
        w_acked(all, event);
    } else if (event->kind == W_FILL && same) {
        w_fill(all, node);
    }
    free(event->stamps);
    free(event);
}

// The next event or timer up to `until_ns`; false: there is none.
static inline bool w_step(world *all, int64_t until_ns) {
    size_t next = SIZE_MAX;
    int due = -1;
    int64_t at_ns = until_ns;
    for (size_t i = 0; i < all->event_count; i++) {
        const w_event *event = all->events[i];
        if (event->at_ns < at_ns || (next != SIZE_MAX && event->at_ns == at_ns &&
                                     event->order < all->events[next]->order)) {
            next = i;
            at_ns = event->at_ns;
        }
    }
    for (int i = 0; i < W_NODES; i++) {
        int64_t due_ns = fb_follower_due(all->nodes[i].follower);
        if (due_ns < at_ns) {
            due = i;
            at_ns = due_ns;
        }
    }
    all->now_ns = at_ns > all->now_ns ? at_ns : all->now_ns;
    if (due >= 0) {
        fb_follower_tick(all->nodes[due].follower, all->now_ns);
    } else if (next != SIZE_MAX) {
        w_event *event = all->events[next];
        all->events[next] = all->events[--all->event_count];
        w_take(all, event);
    }
    for (int i = 0; i < W_NODES; i++) {
        w_send(all, i);
    }
    return due >= 0 || next != SIZE_MAX;
}

static inline void w_run(world *all, int64_t for_ms) {
    int64_t until_ns = all->now_ns + for_ms * FB_NS_PER_MS;
    while (all->failed == NULL && w_step(all, until_ns)) {
    }
    all->now_ns = until_ns;
}

static inline void w_judge_all(world *all, int number) {
    w_node *node = &all->nodes[number];
    fb_mark applied;
    fb_sync_wide(node->sync, &applied);
    const fb_mark *wide = &all->logs[W_WIDE].mark;
    if (applied.epoch != wide->epoch || applied.seq != wide->seq) {
        w_fail(all, "the wide mark is another", number, -1);
    }
    for (int tag = 0; tag < W_TAGS; tag++) {
        fb_loaded loaded = rig_loaded("1", w_tag(tag).ptr);
        for (uint64_t back = 0; back <= 8 && back <= wide->seq; back++) {
            fb_mark stored = {wide->epoch, wide->seq - back, 0};
            bool gone = all->stamps[0].hard > stored.seq ||
                        all->stamps[fb_sync_slot(FB_RECORD_TAG, w_tag(tag))].hard > stored.seq;
            // Not the other way: of a record that a fail-over took away before anybody had applied
            // it the stamp may be known here, and costs a miss.
            if (gone &&
                fb_sync_judge(node->sync, &stored, FB_STR("k"), NULL, &loaded) != FB_WIDE_GONE) {
                w_fail(all, "the stamps judge otherwise", number, tag);
            }
        }
        fb_mark other = {wide->epoch + 1, wide->seq, wide->nonce};
        if (fb_sync_judge(node->sync, &other, FB_STR("k"), NULL, &loaded) != FB_WIDE_GONE) {
            w_fail(all, "a value of another epoch is taken", number, tag);
        }
        fb_loaded_release(&loaded);
    }
}

static inline void w_check_quiet(world *all) {
    for (int i = 0; i < W_NODES && all->failed == NULL; i++) {
        w_node *node = &all->nodes[i];
        if (!fb_follower_is_settled(node->follower) ||
            fb_cache_degraded(node->cache, all->now_ns) != 0) {
            w_fail(all, "not coherent in the end", i, -1);
        }
        for (int key = 0; key < W_KEYS; key++) {
            uint64_t version;
            if (w_seen(node, key, all->now_ns, &version) && version < all->truth[key]) {
                w_fail(all, "stale in the end", i, key);
            }
        }
        for (uint32_t log = 0; log < W_LOGS; log++) {
            fb_mark mark;
            fb_cache_mark(node->cache, log, &mark);
            if (memcmp(&mark, &all->logs[log].mark, sizeof mark) != 0) {
                w_fail(all, "a mark is another in the end", i, (int)log);
            }
        }
        w_judge_all(all, i);
    }
}

// No more faults: what is owed is told, and everybody is in step within two max_lag.
static inline void w_calm(world *all) {
    all->calm = true;
    for (int i = 0; i < W_NODES; i++) {
        if (!all->nodes[i].up) {
            w_link(all, i);
        }
    }
    for (int i = 0; i < 8; i++) {  // what was under way arrives; the shared tier has epochs
        w_run(all, 1000);
        w_tell_owed(all);
    }
    w_run(all, 2 * W_LAG_MS);
    if (all->failed == NULL) {
        w_check_quiet(all);
    }
    all->calm = false;
    all->forked = false;
}

static inline void w_open(world *all, uint64_t seed) {
    memset(all, 0, sizeof *all);
    fb_rng_init(&all->rng, seed);
    all->now_ns = S(1000);
    all->changes = calloc(W_CHANGES_MAX, sizeof *all->changes);
    all->events = calloc(W_EVENTS_MAX, sizeof(w_event *));
    for (int i = 0; i < W_NODES; i++) {
        all->nodes[i].fd = memfd_create("forebay-test", MFD_CLOEXEC);
        w_start(all, i, false);
    }
}

static inline void w_close(world *all) {
    for (int i = 0; i < W_NODES; i++) {
        w_stop(all, &all->nodes[i]);
        (void)close(all->nodes[i].fd);
    }
    for (size_t i = 0; i < all->event_count; i++) {
        free(all->events[i]->stamps);
        free(all->events[i]);
    }
    free(all->events);
    free(all->changes);
}

// One history; what went wrong in it is in all->detail.
static inline bool w_history(world *all, uint64_t seed, int steps, int rounds) {
    w_open(all, seed);
    for (int round = 0; round < rounds && all->failed == NULL; round++) {
        for (int i = 0; i < steps && all->failed == NULL; i++) {
            w_run(all, (int64_t)w_below(all, 60));
            if (w_below(all, 3) == 0) {
                w_change_something(all);
            }
            if (w_below(all, 16) == 0) {
                w_tell_owed(all);
            }
            w_read(all, (int)w_below(all, W_NODES), (int)w_below(all, W_KEYS));
            w_misfortune(all);
        }
        w_calm(all);
    }
    bool good = all->failed == NULL;
    w_close(all);
    return good;
}

#endif
