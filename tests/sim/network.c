// Between nodes and the shared tier: requests take time both ways, are lost before or after they
// were done, or come far too late; messages to all who listen are lost, doubled, and overtake each
// other; a node can be cut off, the server can be away, whole or in part, hang, or refuse to write.
//
// A node is told that its link is down, or is not: then only what it asks for fails. What was sent
// before may still be done after it was given up: it lies in the server's buffers. Replies that
// come after that are nobody's.

#include <string.h>

#include "base/check.h"
#include "world.h"

typedef struct request {
    fb_list list;   // of those that are on their way
    fb_list queue;  // of those that wait at a server that hangs
    node *at;
    uint32_t life, connection;
    bool of_follower, answered, is_done, reply_lost;
    bool is_away;  // it was not even sent, since that part of the server is not there
    fb_sync_request is;
    fb_loaded loaded;
    fb_loaded *of_items;
    fb_sync_reply reply;
    event *patience;
    model_sweep sweep;
} request;

static const char *const verbs[] = {"GET",    "PEEK",  "FILL",   "SET",   "DROP",
                                    "EXPIRE", "ADD",   "BUMP",   "SWEEP", "STATE",
                                    "LOG",    "EPOCH", "STAMPS", "NODES", "ACK",  "COMMIT"};
static const char *const results[] = {"VALUE",    "NONE",     "LEASE",      "HELD",         "DONE",
                                      "REFUSED",  "CONFLICT", "WRONG_TYPE", "OUT_OF_RANGE", "GONE",
                                      "NO_EPOCH", "FAILED",   "UNKNOWN"};

// A look at the marks is told when it is answered: there are many.
static void say_request(world *w, const request *job, const char *what) {
    if (job->is.verb == FB_SYNC_STATE && !job->answered) {
        return;
    }
    world_say(w, "  n%u %s %s of log %u %.*s%s%.*s: %s", job->at->index,
              job->of_follower ? "follower" : "gate", verbs[job->is.verb], job->is.log,
              FB_STR_ARG(job->is.key), job->is.verb == FB_SYNC_BUMP ? "wide " : "",
              job->is.verb == FB_SYNC_BUMP ? (int)job->is.records[0].name.len : 0,
              job->is.verb == FB_SYNC_BUMP ? job->is.records[0].name.ptr : "", what);
}

// ---- replies

static void forget(request *job) {
    fb_list_remove(&job->list);
    fb_list_remove(&job->queue);
    fb_loaded_release(&job->loaded);
    fb_loaded_release(&job->reply.loaded);
    for (size_t i = 0; i < job->is.item_count; i++) {
        fb_loaded_release(&job->of_items[i]);
    }
}

static void hand_over(world *w, request *job) {
    node *at = job->at;
    job->answered = true;
    fb_heap_remove(&w->events, &job->patience->timer);
    if (!at->alive || at->life != job->life) {
        return;
    }
    if (w->trace) {
        char what[120];
        (void)snprintf(what, sizeof what, "%s, mark %04llx/%llu/%04llx, version %llu",
                       results[job->reply.result],
                       (unsigned long long)job->reply.mark.epoch % 0x10000,
                       (unsigned long long)job->reply.mark.seq,
                       (unsigned long long)job->reply.mark.nonce % 0x10000,
                       (unsigned long long)job->reply.version);
        say_request(w, job, what);
    }
    world_enter(w);
    if (job->of_follower) {
        fb_follower_reply(at->follower, &job->reply, node_now(w, at));
    } else {
        fb_gate_reply(at->gate, &job->reply, node_now(w, at));
    }
    world_leave(w);
    node_drain(w, at);
}

static void give_up(world *w, request *job, fb_sync_result result, const char *text) {
    fb_loaded_release(&job->reply.loaded);
    job->reply = (fb_sync_reply){.result = result,
                                 .id = job->is.id,
                                 .text = text,
                                 .away = job->is_away,
                                 .judged = w->is.cluster};
    fb_loaded_init(&job->reply.loaded);
    hand_over(w, job);
    if (job->is_done) {
        forget(job);
    }
}

static bool is_reading(fb_sync_verb verb) {
    return verb == FB_SYNC_PEEK || verb == FB_SYNC_LOG || verb == FB_SYNC_STAMPS ||
           verb == FB_SYNC_NODES;
}

static void out_of_patience(world *w, void *arg) {
    request *job = arg;
    if (!job->answered) {
        bool known = is_reading(job->is.verb) && world_chance(w, 50);
        give_up(w, job, known ? FB_SYNC_FAILED : FB_SYNC_UNKNOWN, "no answer in time");
    }
}

static void replied(world *w, void *arg) {
    request *job = arg;
    if (!job->answered && !job->at->cut && !job->reply_lost) {
        hand_over(w, job);
        forget(job);
    } else if (job->answered) {
        forget(job);
    }
}

// ---- at the server

// Whether it is for one of these logs.
static bool is_for(const request *job, uint64_t logs) {
    switch (job->is.verb) {
        case FB_SYNC_SWEEP:
        case FB_SYNC_STATE:
        case FB_SYNC_NODES:
        case FB_SYNC_ACK:
            return false;
        case FB_SYNC_COMMIT:
            for (size_t i = 0; i < job->is.item_count; i++) {
                if ((logs >> job->is.items[i].log & 1) != 0) {
                    return true;
                }
            }
            return false;
        default:
            return (logs >> job->is.log & 1) != 0;
    }
}

static bool is_change(fb_sync_verb verb) {
    return verb == FB_SYNC_FILL || verb == FB_SYNC_SET || verb == FB_SYNC_DROP ||
           verb == FB_SYNC_EXPIRE || verb == FB_SYNC_ADD || verb == FB_SYNC_BUMP ||
           verb == FB_SYNC_EPOCH || verb == FB_SYNC_COMMIT;
}

// What the driver sends again where an answer does not come.
static bool is_repeated(fb_sync_verb verb) {
    return verb == FB_SYNC_GET || verb == FB_SYNC_STATE || verb == FB_SYNC_ACK;
}

// In the order of one connection: the one that goes to the server of that log.
static int64_t later(world *w, int64_t last_ns[5], uint32_t log, int64_t delay_ns) {
    int64_t at_ns = w->now_ns + delay_ns;
    if (at_ns <= last_ns[log]) {
        at_ns = last_ns[log] + 1;
    }
    last_ns[log] = at_ns;
    return at_ns;
}

static void send_back(world *w, request *job) {
    job->is_done = true;
    w->seen->conflicts += job->reply.result == FB_SYNC_CONFLICT;
    if (w->trace) {
        say_request(w, job, results[job->reply.result]);
    }
    if (job->answered) {
        forget(job);
        return;
    }
    int64_t wait_ns = world_delay(w, w->is.network_ns);
    if (!w->calm && world_chance(w, w->is.late)) {
        wait_ns += world_delay(w, w->is.max_lag_ns / 4);
    }
    if (job->connection == job->at->connection) {
        world_at(w, later(w, job->at->last_reply_ns, job->is.log, wait_ns), replied, job);
    } else {
        world_at(w, w->now_ns + wait_ns, replied, job);  // to nobody
    }
}

static void lost(request *job) {
    job->is_done = true;  // all that can come of it has
    if (job->answered) {
        forget(job);
    }
}

// Every step of it is a request of its own: the driver goes on only as long as they are answered,
// and waits for each as long as for any.
static void sweep_on(world *w, void *arg) {
    request *job = arg;
    bool gone = w->server_down || w->server_hangs || w->part_away != 0;
    if (gone || job->at->cut || job->answered) {
        lost(job);
        return;
    }
    if (!job->reply_lost) {
        int result = fb_heap_put(&w->events, &job->patience->timer, w->now_ns + w->is.hard_ns);
        FB_ASSERT(result == FB_OK);
    }
    if (model_sweep_step(&w->shared, &w->rng, &w->memory, &job->sweep)) {
        world_at(w, w->now_ns + world_delay(w, w->is.network_ns / 4), sweep_on, job);
        return;
    }
    job->reply = (fb_sync_reply){
        .result = FB_SYNC_DONE, .id = job->is.id, .number = job->sweep.removed, .text = ""};
    fb_loaded_init(&job->reply.loaded);
    send_back(w, job);
}

static void refuse(world *w, request *job, const char *why) {
    job->reply = (fb_sync_reply){.result = FB_SYNC_FAILED, .id = job->is.id, .text = why};
    fb_loaded_init(&job->reply.loaded);
    send_back(w, job);
}

// What is away shows no mark.
static void hide_marks(world *w, request *job) {
    fb_mark *marks = world_new(w, job->reply.mark_count * sizeof *marks);
    for (size_t i = 0; i < job->reply.mark_count; i++) {
        marks[i] = job->reply.marks[i];
        if ((w->part_away >> i & 1) != 0) {
            marks[i] = (fb_mark){.seq = UINT64_MAX};
        }
    }
    job->reply.marks = marks;
}

static void serve(world *w, request *job) {
    if (w->server_full && is_change(job->is.verb) && job->is.verb != FB_SYNC_DROP) {
        w->seen->full++;
        refuse(w, job, "OOM");
    } else if (job->is.verb == FB_SYNC_SWEEP && w->part_away != 0) {
        refuse(w, job, "a part is away");
    } else if (job->is.verb == FB_SYNC_SWEEP) {
        w->seen->sweeps++;
        model_sweep_begin(&w->shared, job->is.key, &w->rng, &w->memory, &job->sweep);
        sweep_on(w, job);
    } else {
        if (job->is.verb == FB_SYNC_SET && job->connection != job->at->connection) {
            source_key(w, job->is.key)->resurfaced = true;
            w->seen->resurfaced++;
        }
        model_do(&w->shared, &job->is, w->now_ns, &w->memory, &job->reply);
        if (is_repeated(job->is.verb) && !w->calm && world_chance(w, w->is.doubles)) {
            fb_loaded_release(&job->reply.loaded);
            model_do(&w->shared, &job->is, w->now_ns, &w->memory, &job->reply);
        }
        if (job->is.verb == FB_SYNC_STATE && w->part_away != 0) {
            hide_marks(w, job);
        }
        send_back(w, job);
    }
}

static void arrive(world *w, void *arg) {
    request *job = arg;
    if (w->server_down || job->at->cut || is_for(job, w->part_away)) {
        lost(job);
    } else if (w->server_hangs) {
        fb_list_insert(&w->waiting, &job->queue);
    } else {
        serve(w, job);
    }
}

// At once, in the order in which it came: what is still on its way through the same connections
// comes behind it. (Connections that were given up are read when it comes to it.)
void network_resume(world *w) {
    while (!fb_list_empty(&w->waiting)) {
        request *job = FB_LIST_OF(w->waiting.next, request, queue);
        fb_list_remove(&job->queue);
        if (w->server_down || world_chance(w, 10)) {
            lost(job);
        } else if (job->connection != job->at->connection) {
            world_at(w, w->now_ns + world_delay(w, w->is.network_ns), arrive, job);
        } else {
            arrive(w, job);
        }
    }
}

// ---- sending

static void copy_record(world *w, fb_record *record) {
    record->name = fb_arena_copy(&w->memory, record->name);
}

static void copy_items(world *w, const fb_sync_request *from, request *job) {
    fb_sync_item *items = world_new(w, (from->item_count + 1) * sizeof *items);
    job->of_items = world_new(w, (from->item_count + 1) * sizeof *job->of_items);
    for (size_t i = 0; i < from->item_count; i++) {
        items[i] = from->items[i];
        items[i].key = fb_arena_copy(&w->memory, items[i].key);
        items[i].class_name = fb_arena_copy(&w->memory, items[i].class_name);
        copy_record(w, &items[i].record);
        fb_loaded_init(&job->of_items[i]);
        if (items[i].loaded != NULL) {
            model_copy_loaded(items[i].loaded, &job->of_items[i]);
            items[i].loaded = &job->of_items[i];
        }
    }
    job->is.items = items;
}

static void copy_request(world *w, const fb_sync_request *from, request *job) {
    fb_sync_request *to = &job->is;
    *to = *from;
    to->key = fb_arena_copy(&w->memory, from->key);
    to->class_name = fb_arena_copy(&w->memory, from->class_name);
    copy_record(w, &to->record);
    fb_loaded_init(&job->loaded);
    if (from->loaded != NULL) {
        model_copy_loaded(from->loaded, &job->loaded);
        to->loaded = &job->loaded;
    }
    fb_record *records = world_new(w, (from->record_count + 1) * sizeof *records);
    for (size_t i = 0; i < from->record_count; i++) {
        records[i] = from->records[i];
        copy_record(w, &records[i]);
    }
    to->records = records;
    copy_items(w, from, job);
}

static void refused(world *w, void *arg) {
    request *job = arg;
    job->is_done = true;
    if (!job->answered) {
        give_up(w, job, FB_SYNC_FAILED, "no connection");
    }
}

static int64_t way_there(world *w) {
    int64_t delay_ns = world_delay(w, w->is.network_ns);
    if (!w->calm && world_chance(w, w->is.late)) {
        w->seen->late_requests++;
        delay_ns += world_delay(w, 4 * w->is.hard_ns);
    }
    return delay_ns;
}

void network_send(world *w, node *at, bool of_follower, const fb_sync_request *sent) {
    request *job = world_new(w, sizeof *job);
    job->at = at;
    job->life = at->life;
    job->connection = at->connection;
    job->of_follower = of_follower;
    fb_list_init(&job->list);
    fb_list_init(&job->queue);
    fb_list_insert(&w->requests, &job->list);
    fb_loaded_init(&job->reply.loaded);
    copy_request(w, sent, job);
    if (w->trace) {
        say_request(w, job, "sent");
    }
    FB_ASSERT(sent->timeout_ns > 0);
    int64_t patience_ns = sent->verb == FB_SYNC_SWEEP ? w->is.hard_ns : sent->timeout_ns;
    job->patience = world_at(w, w->now_ns + patience_ns, out_of_patience, job);
    job->is_away = at->link_up && is_for(job, at->part);
    if (!at->link_up || job->is_away) {
        w->seen->part_requests += job->is_away;
        world_at(w, w->now_ns, refused, job);
        return;
    }
    if (!w->calm && world_chance(w, w->is.unlucky)) {
        if (world_chance(w, 50)) {
            w->seen->lost_requests++;
            lost(job);
            return;
        }
        w->seen->lost_replies++;
        job->reply_lost = true;
    }
    world_at(w, later(w, at->last_arrival_ns, sent->log, way_there(w)), arrive, job);
}

// ---- the link

static void tell_link(world *w, node *at, bool up, const char *why) {
    why = up && at->part != 0 ? "a part is away" : why;
    world_enter(w);
    if (world_chance(w, 50)) {
        fb_gate_link(at->gate, up, why, node_now(w, at));
        fb_follower_link(at->follower, up, why, node_now(w, at));
    } else {
        fb_follower_link(at->follower, up, why, node_now(w, at));
        fb_gate_link(at->gate, up, why, node_now(w, at));
    }
    world_leave(w);
}

// What was under way, or of these logs: nobody knows.
static void break_requests(world *w, node *at, bool all, uint64_t logs) {
    bool found = true;
    while (found) {
        found = false;
        FB_LIST_EACH(each, &w->requests) {
            request *job = FB_LIST_OF(each, request, list);
            if (job->at == at && job->life == at->life && !job->answered && !job->is_away &&
                (all || is_for(job, logs))) {
                give_up(w, job, FB_SYNC_UNKNOWN, "the connection broke");
                found = true;
                break;
            }
        }
    }
}

void network_link(world *w, node *at, bool up, const char *why) {
    if (!at->alive || at->link_up == up) {
        return;
    }
    SAY(w, "n%u link %s: %s", at->index, up ? "up" : "down", why);
    at->link_up = up;
    if (up) {
        at->connection++;
        at->part = w->part_away;
        memset(at->last_arrival_ns, 0, sizeof at->last_arrival_ns);
        memset(at->last_reply_ns, 0, sizeof at->last_reply_ns);
    } else {
        break_requests(w, at, true, 0);
    }
    tell_link(w, at, up, why);
    node_drain(w, at);
}

void network_part(world *w, node *at) {
    if (!at->alive || !at->link_up || at->cut || at->part == w->part_away) {
        return;
    }
    uint64_t gone = w->part_away & ~at->part;
    SAY(w, "n%u knows what is away: logs %#llx", at->index, (unsigned long long)w->part_away);
    at->part = w->part_away;
    break_requests(w, at, false, gone);
    tell_link(w, at, true, "");
    node_drain(w, at);
}

// ---- messages to all

typedef struct message {
    node *at;
    uint32_t life, log;
    uint64_t epoch;
    bool is_ack;
    fb_record record;
    uint64_t nonce, node;
} message;

static void deliver(world *w, void *arg) {
    const message *told = arg;
    node *at = told->at;
    if (!at->alive || at->life != told->life || at->cut || !at->link_up) {
        return;
    }
    if (w->trace) {
        world_say(w, "  n%u hears %s of log %u: %04llx/%llu/%04llx %.*s", at->index,
                  told->is_ack ? "an ack" : "a record", told->log,
                  (unsigned long long)told->epoch % 0x10000, (unsigned long long)told->record.seq,
                  (unsigned long long)told->record.nonce % 0x10000, FB_STR_ARG(told->record.name));
    }
    world_enter(w);
    if (told->is_ack) {
        fb_gate_ack(at->gate, told->nonce, told->node, node_now(w, at));
    } else {
        fb_follower_record(at->follower, told->log, told->epoch, &told->record, node_now(w, at));
    }
    world_leave(w);
    node_drain(w, at);
}

static void tell_all(world *w, const message *what) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node *at = &w->nodes[i];
        if (!at->alive || at->cut || !at->link_up) {
            continue;
        }
        if (!w->calm && world_chance(w, w->is.drops)) {
            w->seen->lost_messages++;
            continue;
        }
        message *made = world_new(w, sizeof *made);
        *made = *what;
        made->at = at;
        made->life = at->life;
        bool twice = !w->calm && world_chance(w, w->is.doubles);
        w->seen->doubled_messages += twice;
        for (int j = 0; j <= (int)twice; j++) {
            world_at(w, w->now_ns + world_delay(w, (w->calm ? 1 : 4) * w->is.network_ns), deliver,
                     made);
        }
    }
}

static void published(void *arg, uint32_t log, uint64_t epoch, const fb_record *record) {
    world *w = arg;
    message what = {.log = log, .epoch = epoch, .record = *record};
    copy_record(w, &what.record);
    tell_all(w, &what);
}

static void acknowledged(void *arg, uint64_t nonce, uint64_t node_id) {
    world *w = arg;
    message what = {.is_ack = true, .nonce = nonce, .node = node_id};
    tell_all(w, &what);
}

// ----

static void first_link(world *w, void *arg) {
    node *at = arg;
    if (!w->server_down && !at->cut) {
        network_link(w, at, true, "");
    }
}

void network_start(world *w) {
    fb_list_init(&w->requests);
    fb_list_init(&w->waiting);
    if (!w->is.remote) {
        return;
    }
    w->shared.publish = published;
    w->shared.ack = acknowledged;
    w->shared.arg = w;
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        world_at(w, w->now_ns + world_delay(w, w->is.network_ns), first_link, &w->nodes[i]);
    }
}

void network_end(world *w) {
    FB_LIST_EACH_SAFE(at, after, &w->requests) {
        forget(FB_LIST_OF(at, request, list));
    }
}
