// A request becomes one script for each partition that it touches, mostly one. What has items goes
// to where its items are, all at once. What has none goes from partition to partition until it has
// enough, one after the other: RESERVE (another one is the first each time), PURGE, KICK. An ACK
// with a count reserves in the script that acknowledges, and goes on elsewhere where that had too
// few.
//
// Nothing that writes is sent again once it may have gone out, so its result is UNKNOWN where an
// answer is missing. (A RESERVE could be, by its tokens: a claim that nobody heard of runs out
// instead.)
//
// Where only some of several partitions have done theirs, each item has its own result.
//
// A mark lies in partition 0, where all jobs without a unique key go that come with it; those with
// one go to their key's, which keeps a copy of the mark. Partition 0 is asked last: a repetition
// finds each part done or not, whatever came between. Who sets a mark, or drops it, drops the
// copies first.

#include "redis/queue.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/queue_state.h"

// ---- a tour

static void free_tour(fb_queue_tour *tour) {
    for (size_t i = 0; i < tour->part_count; i++) {
        fb_step_release(&tour->parts[i].step);
    }
    fb_arena_release(&tour->arena);
    fb_mem_free(tour->jobs);
    fb_mem_free(tour);
}

static bool is_chain(fb_store_verb verb, size_t item_count) {
    return verb == FB_STORE_RESERVE || verb == FB_STORE_PURGE ||
           (verb == FB_STORE_KICK && item_count == 0);
}

static bool takes_jobs(fb_store_verb verb) {
    return verb == FB_STORE_ENQUEUE || verb == FB_STORE_IMPORT;
}

// Nothing more is to be asked.
static bool is_enough(const fb_queue_tour *tour) {
    const fb_store_request *request = &tour->request;

    switch (request->verb) {
        case FB_STORE_RESERVE:
        case FB_STORE_ACK:
            return tour->job_count >= request->count;
        case FB_STORE_KICK:
        case FB_STORE_PURGE:
            return tour->reply.value >= request->count;
        default:
            return tour->worst != FB_STORE_DONE;
    }
}

// ---- parts on their way

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why);

static int encode(fb_queue_part *part) {
    const fb_queue_tour *tour = part->tour;
    fb_store_request request = tour->request;

    fb_step_release(&part->step);
    part->step = (fb_step){0};
    request.verb = part->verb;
    if (request.verb == FB_STORE_RESERVE) {
        request.count -= (uint32_t)tour->job_count;
        request.token += tour->job_count;
    } else if (request.verb == FB_STORE_LIST) {
        request.after = part->after;
        request.count -= (uint32_t)part->got;
    } else if (is_chain(request.verb, 0)) {
        request.count -= (uint32_t)tour->reply.value;
    }
    return fb_queue_step_encode(&part->step, &part->place, &request, &part->items);
}

static int send_script(fb_queue_part *part) {
    fb_queue_tour *tour = part->tour;
    int result = part->encoded ? FB_OK : encode(part);

    if (result < 0) {
        return result;
    }
    fb_route_command command = {.command = fb_buf_str(&part->step.command),
                                .slot = part->slot,
                                .repeatable = part->step.repeatable,
                                .deadline_ns = tour->deadline_ns,
                                .fn = on_reply,
                                .arg = part};
    tour->remote->redis->commands++;
    return fb_route_send(tour->remote->route, &command);
}

// Known, by an attempt that failed; before the first one nothing is. (Of a Cluster without the
// server that the link hangs on, the others are there.)
static bool is_away(const fb_remote *remote, uint16_t slot) {
    bool is_down = !remote->route_up && remote->why[0] != '\0';
    return is_down ? !fb_route_reaches(remote->route, slot) : fb_route_is_away(remote->route, slot);
}

static int send_part(fb_queue_part *part) {
    fb_remote *remote = part->tour->remote;

    if (is_away(remote, part->slot)) {
        return FB_EIO;
    }
    return takes_jobs(part->verb) && !fb_queue_fit_is_known(part) ? fb_queue_fit_ask(part)
                                                                  : send_script(part);
}

// Sends what can be; answers and frees the tour when all is in.
static void go_on(fb_queue_tour *tour) {
    while (tour->sent < tour->part_count && (tour->sent < tour->abreast || tour->sent == 0 ||
                                             (tour->answered == tour->sent && !is_enough(tour)))) {
        fb_queue_part *part = &tour->parts[tour->sent++];
        int result = send_part(part);
        if (result < 0) {
            tour->refused = tour->refused < 0 ? tour->refused : result;
            fb_queue_tour_failed(part, FB_STORE_FAILED, fb_result_text(result));
            tour->answered++;
        }
    }
    if (tour->answered == tour->sent && !tour->starting) {
        fb_queue_tour_tell(tour);
        free_tour(tour);
    }
}

static void answered(fb_queue_part *part) {
    part->tour->answered++;
    go_on(part->tour);
}

static void fail(fb_queue_part *part, fb_store_result result, const char *why) {
    fb_queue_tour_failed(part, result, why != NULL ? why : "");
    answered(part);
}

// Again, and whatever goes wrong with that is the part's answer.
static void send_again(fb_queue_part *part) {
    int result = send_script(part);
    if (result < 0) {
        fail(part, FB_STORE_FAILED, fb_result_text(result));
    }
}

static void on_error(fb_queue_part *part, fb_str error) {
    char text[192];
    bool stores = takes_jobs(part->verb) || part->verb == FB_STORE_MARK_SET;

    if (fb_str_starts(error, FB_STR("NOSCRIPT")) && !part->step.loaded) {
        int result = fb_step_with_text(&part->step);
        if (result < 0) {
            fail(part, FB_STORE_FAILED, fb_result_text(result));
        } else {
            part->encoded = true;
            send_again(part);
        }
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)(error.len < 190 ? error.len : 190), error.ptr);
    // Its memory is full, or its disk: it takes nothing that needs room.
    bool is_full = fb_str_starts(error, FB_STR("OOM")) || fb_str_starts(error, FB_STR("MISCONF"));
    fail(part, is_full && stores ? FB_STORE_FULL : FB_STORE_FAILED, text);
}

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why) {
    fb_queue_part *part = arg;

    if (outcome != FB_CONN_REPLIED) {
        fail(part, outcome == FB_CONN_NOT_SENT ? FB_STORE_FAILED : FB_STORE_UNKNOWN, why);
    } else if (value->type == FB_RESP_ERROR) {
        on_error(part, value->text);
    } else if (fb_queue_tour_gather(part, value)) {
        answered(part);
    } else {
        part->encoded = false;
        send_again(part);
    }
}

void fb_queue_fit_found(fb_queue_part *part, fb_store_result result, const char *why) {
    if (result == FB_STORE_DONE) {
        send_again(part);
    } else {
        fail(part, result, why);
    }
}

// ---- the plan: which parts

typedef struct plan {
    fb_queue_tour *tour;
    uint32_t partitions;
    uint32_t counts[FB_QUEUE_PARTITIONS_MAX];  // of items
    bool wanted[FB_QUEUE_PARTITIONS_MAX];      // without any, too
    uint8_t *of;                               // each item's
} plan;

static fb_queue_part *add_part(plan *p, fb_store_verb verb, uint32_t partition) {
    fb_queue_tour *tour = p->tour;
    fb_queue_part *part = &tour->parts[tour->part_count++];

    *part = (fb_queue_part){.tour = tour,
                            .place = {tour->remote->redis->options.name_space, tour->request.queue,
                                      partition, p->partitions},
                            .verb = verb,
                            .after = tour->request.after};
    part->slot = fb_queue_step_slot(&part->place);
    return part;
}

static uint16_t slot_at(const plan *p, uint32_t partition) {
    const fb_queue_place place = {p->tour->remote->redis->options.name_space,
                                  p->tour->request.queue, partition, p->partitions};
    return fb_queue_step_slot(&place);
}

// The next one in turn that is not known to be away.
static uint32_t take_turn(const plan *p) {
    fb_remote *remote = p->tour->remote;
    uint32_t partition = 0;

    for (uint32_t i = 0; i < p->partitions; i++) {
        partition = remote->queue.turn++ % p->partitions;
        if (p->partitions == 1 || !is_away(remote, slot_at(p, partition))) {
            break;
        }
    }
    return partition;
}

static void place_jobs(plan *p, const fb_store_request *request) {
    bool has_mark = request->mark.len > 0;
    uint32_t plain = has_mark ? 0 : take_turn(p);

    for (size_t i = 0; i < request->item_count; i++) {
        const fb_job *job = &request->jobs[i].job;
        uint32_t own = (uint32_t)(job->number % FB_QUEUE_PARTITIONS_MAX);
        if (job->unique.len > 0) {
            p->of[i] = (uint8_t)fb_queue_step_partition(job->unique, p->partitions);
        } else if (request->verb == FB_STORE_IMPORT) {
            p->of[i] = (uint8_t)(own % p->partitions);
        } else {
            p->of[i] = (uint8_t)plain;
        }
    }
    p->wanted[0] = has_mark || request->item_count == 0;
}

static void place_items(plan *p, const fb_store_request *request) {
    if (takes_jobs(request->verb)) {
        place_jobs(p, request);
    } else {
        for (size_t i = 0; i < request->item_count; i++) {
            p->of[i] = (uint8_t)(request->claims[i].number % FB_QUEUE_PARTITIONS_MAX);
        }
        p->wanted[0] = request->item_count == 0;
    }
    for (size_t i = 0; i < request->item_count; i++) {
        p->counts[p->of[i]]++;
    }
}

// One part for each partition that has items, partition 0 last.
static int plan_items(plan *p, const fb_store_request *request) {
    fb_queue_tour *tour = p->tour;
    fb_queue_part *parts[FB_QUEUE_PARTITIONS_MAX] = {0};
    uint32_t *at = fb_arena_new(&tour->arena, (request->item_count + 1) * sizeof *at);

    p->of = fb_arena_new(&tour->arena, request->item_count + 1);
    if (at == NULL || p->of == NULL) {
        return FB_ENOMEM;
    }
    place_items(p, request);
    for (uint32_t i = 1; i <= FB_QUEUE_PARTITIONS_MAX; i++) {
        uint32_t partition = i % FB_QUEUE_PARTITIONS_MAX;
        if (p->counts[partition] > 0 || p->wanted[partition]) {
            parts[partition] = add_part(p, request->verb, partition);
            parts[partition]->items.at = at;
            at += p->counts[partition];
        }
    }
    for (size_t i = 0; i < request->item_count; i++) {
        fb_queue_items *items = &parts[p->of[i]]->items;
        items->at[items->count++] = (uint32_t)i;
    }
    bool in_turn = takes_jobs(request->verb) && request->mark.len > 0;
    tour->abreast = in_turn ? 1 : tour->part_count;
    return FB_OK;
}

static void plan_chain(plan *p, fb_store_verb verb) {
    uint32_t first = verb == FB_STORE_RESERVE ? take_turn(p) : 0;
    uint32_t except = p->tour->part_count > 0 ? p->tour->parts[0].place.partition : UINT32_MAX;

    for (uint32_t i = 0; i < p->partitions; i++) {
        uint32_t partition = (first + i) % p->partitions;
        if (partition != except) {
            (void)add_part(p, verb, partition);
        }
    }
}

static void plan_marks(plan *p, fb_store_verb verb) {
    bool drops = verb == FB_STORE_MARK_SET || verb == FB_STORE_MARK_DROP;

    for (uint32_t partition = p->partitions; drops && partition-- > 1;) {
        (void)add_part(p, FB_STORE_MARK_DROP, partition);
    }
    (void)add_part(p, verb, 0);
    p->tour->abreast = 1;
}

static int plan_parts(plan *p, const fb_store_request *request) {
    fb_queue_tour *tour = p->tour;
    fb_store_verb verb = request->verb;
    bool acks = verb == FB_STORE_ACK && request->item_count > 0;
    // Those with items, partition 0's, and each partition's.
    size_t with_items = request->item_count < FB_QUEUE_PARTITIONS_MAX ? request->item_count
                                                                      : FB_QUEUE_PARTITIONS_MAX;

    tour->parts =
        fb_arena_new(&tour->arena, (with_items + 1 + p->partitions) * sizeof *tour->parts);
    if (tour->parts == NULL) {
        return FB_ENOMEM;
    }
    if (verb >= FB_STORE_MARK_SET) {
        plan_marks(p, verb);
    } else if (verb == FB_STORE_LIST || verb == FB_STORE_LOOK || verb == FB_STORE_PAUSE) {
        plan_chain(p, verb);
        tour->abreast = tour->part_count;
    } else if (verb == FB_STORE_ACK ? !acks : is_chain(verb, request->item_count)) {
        plan_chain(p, verb == FB_STORE_ACK ? FB_STORE_RESERVE : verb);
    } else {
        int result = plan_items(p, request);
        if (result == FB_OK && acks && request->count > 0) {
            plan_chain(p, FB_STORE_RESERVE);
        }
        return result;
    }
    return FB_OK;
}

// Parts with items, while the request is there. Of an ACK the first one reserves.
static int encode_parts(fb_queue_tour *tour, const fb_store_request *request) {
    fb_store_request each = *request;
    int result = FB_OK;

    each.policy = &tour->policy;
    for (size_t i = 0; i < tour->abreast || (i < tour->part_count && takes_jobs(each.verb)); i++) {
        fb_queue_part *part = &tour->parts[i];
        if (part->items.at == NULL || result < 0) {
            continue;
        }
        result = fb_queue_step_encode(&part->step, &part->place, &each, &part->items);
        part->encoded = true;
        if (each.verb == FB_STORE_ACK) {
            each.count = 0;
        }
    }
    return result;
}

// ---- send()

static int copy(fb_queue_tour *tour, fb_str *text) {
    fb_str from = *text;
    if (from.len > 0) {
        *text = fb_arena_copy(&tour->arena, from);
    }
    return from.len > 0 && text->ptr == NULL ? FB_ENOMEM : FB_OK;
}

// Of a queue that is not declared any more: what is there stays.
static const fb_queue_policy NOBODYS = {
    .dead_keep_ms = INT64_MAX, .dead_max = UINT32_MAX, .partitions = 1};

static int copy_request(fb_queue_tour *tour, const fb_store_request *request) {
    fb_store_request *own = &tour->request;
    size_t count = request->item_count;

    *own = *request;
    own->jobs = NULL;
    own->claims = NULL;
    own->text = FB_STR("");
    tour->policy = request->policy != NULL ? *request->policy : NOBODYS;
    own->policy = &tour->policy;
    tour->results = fb_arena_new(&tour->arena, (count + 1) * sizeof *tour->results);
    tour->ends = fb_arena_new(&tour->arena, (count + 1) * sizeof *tour->ends);
    tour->numbers = fb_arena_new(&tour->arena, (count + 1) * sizeof *tour->numbers);
    tour->ran_ms = fb_arena_new(&tour->arena, (count + 1) * sizeof *tour->ran_ms);
    if (tour->results == NULL || tour->ends == NULL || tour->numbers == NULL ||
        tour->ran_ms == NULL || copy(tour, &own->queue) < 0 || copy(tour, &own->mark) < 0 ||
        copy(tour, &own->after_mark) < 0) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        tour->results[i] = FB_ETIMEDOUT;
        tour->ends[i] = FB_JOB_END_NONE;
        tour->numbers[i] = 0;
        tour->ran_ms[i] = 0;
    }
    return FB_OK;
}

static int start(fb_queue_tour *tour, const fb_store_request *request) {
    int result = copy_request(tour, request);
    if (result < 0) {
        return result;
    }
    uint32_t partitions = tour->policy.partitions;
    partitions = partitions < FB_QUEUE_PARTITIONS_MAX ? partitions : FB_QUEUE_PARTITIONS_MAX;
    plan p = {.tour = tour, .partitions = partitions > 0 ? partitions : 1};
    result = plan_parts(&p, request);
    if (result == FB_OK) {
        result = encode_parts(tour, request);
    }
    if (result < 0) {
        return result;
    }
    tour->starting = true;
    go_on(tour);
    tour->starting = false;
    // All that was sent has been refused: then nothing is under way.
    return tour->answered == tour->sent ? tour->refused : FB_OK;
}

static int send_request(fb_queue_port *port, const fb_store_request *request, fb_store_reply_fn fn,
                        void *arg) {
    fb_remote *remote = FB_LIST_OF(port, fb_remote, queue.port);

    if (remote->closing) {
        return FB_ECLOSED;
    }
    fb_remote_open(remote);
    fb_queue_tour *tour = fb_mem_zero(1, sizeof *tour);
    if (tour == NULL) {
        return FB_ENOMEM;
    }
    tour->remote = remote;
    tour->deadline_ns = fb_clock_now_ns() + request->timeout_ns;
    tour->fn = fn;
    tour->arg = arg;
    tour->reply.look.next_ms = INT64_MAX;
    int result = start(tour, request);
    if (result < 0) {
        free_tour(tour);
    }
    return result;
}

void fb_remote_queue_init(fb_remote *remote) {
    remote->queue.port.name = "redis";
    remote->queue.port.send = send_request;
}

fb_queue_port *fb_remote_queue_port(fb_remote *remote) {
    return &remote->queue.port;
}

void fb_remote_queue_allow_volatile(fb_remote *remote, bool allow) {
    remote->queue.allow_volatile = allow;
}
