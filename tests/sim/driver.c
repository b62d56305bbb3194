// What the flights want done. Requests to the shared tier take time both ways; an unlucky one is
// lost on its way there, or its reply is lost on the way back, and is reported as failed.

#include "base/check.h"
#include "world.h"

static const int64_t REMOTE_PATIENCE_NS = 50 * FB_NS_PER_MS;

typedef struct request {
    fb_list list;  // of those that are on their way
    node *at;
    uint64_t id;
    fb_action_type type;
    key *of;
    bool refresh;
    int64_t ttl_ns;
    uint64_t token;
    fb_loaded loaded;
    uint32_t version_count;  // of an invalidation: how many there were when it was called
    bool reply_lost;
    fb_remote_reply reply;
} request;

static const char *const results[] = {"VALUE", "LEASE", "HELD", "DONE", "REFUSED", "FAILED"};

static void replied(world *w, void *arg) {
    request *job = arg;
    fb_list_remove(&job->list);
    SAY(w, "n%u shared tier says of %s: %s", job->at->index, job->of->text,
        results[job->reply.result]);
    world_enter(w);
    fb_flights_remote(job->at->flights, job->id, &job->reply, w->now_ns);
    world_leave(w);
    world_drain(w, job->at);
}

typedef struct notice {
    node *at;
    key *of;
    uint32_t version_count;
} notice;

static void deliver(world *w, void *arg) {
    const notice *told = arg;
    writer_notice(w, told->at, told->of, told->version_count);
}

static void tell_others(world *w, const request *job) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        if (i != job->at->index) {
            notice *told = world_new(w, sizeof *told);
            *told = (notice){&w->nodes[i], job->of, job->version_count};
            world_at(w, w->now_ns + world_delay(w, 4 * w->is.network_ns), deliver, told);
        }
    }
}

static void count_reply(world *w, fb_remote_result result) {
    w->seen->adopted += result == FB_REMOTE_VALUE;
    w->seen->leases += result == FB_REMOTE_LEASE;
    w->seen->held += result == FB_REMOTE_HELD;
    w->seen->refused += result == FB_REMOTE_REFUSED;
}

// In the shared tier.
static void arrive(world *w, void *arg) {
    request *job = arg;
    fb_str name = job->of->name;
    job->reply.result = FB_REMOTE_DONE;
    if (job->type == FB_ACTION_REMOTE_GET) {
        twin_get(&w->shared, name, job->refresh, job->ttl_ns, w->now_ns, &job->reply);
    } else if (job->type == FB_ACTION_REMOTE_FILL) {
        job->reply.result =
            twin_fill(&w->shared, name, job->token, &job->loaded, job->ttl_ns, w->now_ns);
        fb_loaded_release(&job->loaded);
    } else {
        twin_invalidate(&w->shared, name);
        tell_others(w, job);
    }
    SAY(w, "shared tier: %s of %s by n%u: %s",
        job->type == FB_ACTION_REMOTE_GET    ? "get"
        : job->type == FB_ACTION_REMOTE_FILL ? "fill"
                                             : "invalidate",
        job->of->text, job->at->index, results[job->reply.result]);
    count_reply(w, job->reply.result);
    int64_t wait_ns = world_delay(w, w->is.network_ns);
    if (job->reply_lost) {
        if (job->reply.result == FB_REMOTE_VALUE) {
            fb_loaded_release(&job->reply.loaded);
        }
        job->reply = (fb_remote_reply){.result = FB_REMOTE_FAILED};
        wait_ns = REMOTE_PATIENCE_NS;
    }
    world_at(w, w->now_ns + wait_ns, replied, job);
}

static void send(world *w, node *at, const fb_action *action) {
    request *job = world_new(w, sizeof *job);
    *job = (request){.at = at,
                     .id = action->remote,
                     .type = action->type,
                     .of = source_key(w, action->key),
                     .refresh = action->refresh,
                     .ttl_ns = action->ttl_ns,
                     .token = action->token};
    fb_list_init(&job->list);
    fb_list_insert(&w->requests, &job->list);
    job->version_count = job->of->version_count;
    if (action->type == FB_ACTION_REMOTE_FILL) {
        twin_copy(action->loaded, &job->loaded);
    }
    if (world_chance(w, w->is.unlucky)) {
        w->seen->lost++;
        if (world_chance(w, 50)) {
            fb_loaded_release(&job->loaded);
            job->reply.result = FB_REMOTE_FAILED;
            world_at(w, w->now_ns + REMOTE_PATIENCE_NS, replied, job);
            return;
        }
        job->reply_lost = true;
    }
    world_at(w, w->now_ns + world_delay(w, w->is.network_ns), arrive, job);
}

void driver_do(world *w, node *at, const fb_action *action) {
    switch (action->type) {
        case FB_ACTION_ANSWER:
            if (action->waiter > READS_MAX) {
                writer_answered(w, at, action->waiter, action->result);
            } else {
                reader_answered(w, at, action);
            }
            break;
        case FB_ACTION_LOAD:
            source_load(w, at, action);
            break;
        case FB_ACTION_REMOTE_GET:
        case FB_ACTION_REMOTE_FILL:
        case FB_ACTION_REMOTE_INVALIDATE:
            FB_ASSERT(w->is.remote);
            send(w, at, action);
            break;
        case FB_ACTION_NONE:
            world_fail(w, "an action that is none");
    }
}

void driver_end(world *w) {
    FB_LIST_EACH_SAFE(at, after, &w->requests) {
        request *job = FB_LIST_OF(at, request, list);
        fb_list_remove(&job->list);
        fb_loaded_release(&job->loaded);
        if (job->reply.result == FB_REMOTE_VALUE) {
            fb_loaded_release(&job->reply.loaded);
        }
    }
}
