// A request goes as a post to a lane (a fiber's own; a thread's by the hash of the key), from there
// by the port of that lane, and the answer wakes whoever waits. What he waits with is on his stack,
// so the lane keeps a flight for each request, which lets go of him when the engine closes: then
// the answer finds a flight and nobody in it.
//
// Away. The shared tier may hang, and a deadline for every question would be too slow a way to find
// that out again and again. So after a few requests in a row that were not answered (or not sent) a
// lane says that it is away, and callers do not even come here. While it is away, a caller now and
// then has a probe sent, which nobody waits for; its answer, or the connection's coming back, ends
// that. (A breaker as of sync/breaker.h counts calls of seconds, which is right for what is asked
// thousands of times a second, and lets somebody pay for its probe.) Of a Cluster the port knows
// of each server whether it is away, and the lane lets it say so: the others have their keys.

#include "engine/limits_tier.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "redis/limits.h"

enum { FAILURES_MAX = 5 };
static const int64_t BACK_OFF_MIN_NS = FB_NS_PER_S / 10;
static const int64_t BACK_OFF_MAX_NS = 2 * FB_NS_PER_S;
static const int64_t SAID_NS = 60 * FB_NS_PER_S;

struct fb_limit_lane {
    fb_lane *lane;
    fb_limits *limits;
    fb_list flights;           // asked, and not answered
    uint32_t failures;         // in a row
    int64_t back_off_ns;
    int64_t patience_ns;       // of a probe: as long as any request had
    int64_t said_ns;           // when people were told why one failed; 0: never
    fb_rng rng;
    fb_post probe;
    fb_limit_plan probe_plan;
    _Atomic(bool) away;
    _Atomic(int64_t) probe_ns;  // when a probe may be sent; INT64_MAX: one is on its way
};

// Somebody who waits.
typedef struct call {
    fb_post post;
    fb_limit_lane *lane;
    fb_limit_request *request;
    int64_t until_ns;
    fb_limit_answer *answer;
    int result;
    fb_sleeper sleeper;
} call;

typedef struct flight {
    fb_list list;
    fb_limit_lane *lane;
    call *caller;  // NULL: nobody waits
    bool probe;
} flight;

// ---- how it is, on the lane's thread

static void is_well(fb_limit_lane *lane) {
    lane->failures = 0;
    lane->back_off_ns = BACK_OFF_MIN_NS;
    if (atomic_load_explicit(&lane->away, memory_order_relaxed)) {
        atomic_store(&lane->away, false);
    }
}

static void wait_to_probe(fb_limit_lane *lane) {
    int64_t jitter_ns = (int64_t)fb_rng_below(&lane->rng, (uint64_t)lane->back_off_ns / 4);
    atomic_store(&lane->probe_ns, fb_clock_now_ns() + lane->back_off_ns + jitter_ns);
    atomic_store(&lane->away, true);
}

static void is_ill(fb_limit_lane *lane, bool probe) {
    bool parts = fb_remote_limits_in_parts(lane->lane->remote);
    if (probe) {
        lane->back_off_ns = lane->back_off_ns < BACK_OFF_MAX_NS / 2 ? 2 * lane->back_off_ns
                                                                    : BACK_OFF_MAX_NS;
        wait_to_probe(lane);
    } else if (++lane->failures >= FAILURES_MAX && !parts && !atomic_load(&lane->away)) {
        wait_to_probe(lane);
    }
}

// ---- on the lane's thread

static void wake(call *one, int result) {
    one->result = result;
    fb_sleeper_wake(&one->sleeper);
}

static int result_of(const call *one, const fb_limit_reply *reply) {
    if (reply->result != FB_LIMIT_UNKNOWN) {
        return reply->result == FB_LIMIT_FAILED ? FB_EIO : FB_OK;
    }
    return fb_clock_now_ns() >= one->until_ns ? FB_ETIMEDOUT : FB_EIO;
}

static void take_reply(call *one, const fb_limit_reply *reply) {
    int result = result_of(one, reply);
    if (result == FB_OK) {
        fb_limit_answer *answer = one->answer;
        answer->reply = *reply;
        if (reply->override.len > sizeof answer->override) {
            answer->reply.override.len = 0;
        } else if (reply->override.len > 0) {
            memcpy(answer->override, reply->override.ptr, reply->override.len);
        }
        answer->reply.override.ptr = answer->override;
    } else if (reply->result == FB_LIMIT_FAILED && reply->text != NULL) {
        (void)snprintf(one->answer->why, sizeof one->answer->why, "%s", reply->text);
    }
    wake(one, result);
}

// A server that is full, or forbids scripts, is well for all else: nobody would know why.
static void say_why(fb_limit_lane *lane, const char *why) {
    int64_t now_ns = fb_clock_now_ns();
    if (lane->said_ns == 0 || now_ns - lane->said_ns >= SAID_NS) {
        lane->said_ns = now_ns;
        fb_log(FB_LOG_WARN, "limit_refused_by_shared_tier", "why=%s",
               fb_log_quote(fb_str_of(why), FB_LOG_TEXT_MAX).text);
    }
}

static void on_reply(void *arg, const fb_limit_reply *reply) {
    flight *one = arg;
    if (reply->result == FB_LIMIT_FAILED && reply->text != NULL && reply->text[0] != '\0') {
        say_why(one->lane, reply->text);
    }
    if (reply->result == FB_LIMIT_FAILED || reply->result == FB_LIMIT_UNKNOWN) {
        is_ill(one->lane, one->probe);
    } else {
        is_well(one->lane);
    }
    fb_list_remove(&one->list);
    if (one->caller != NULL) {
        take_reply(one->caller, reply);
    }
    fb_mem_free(one);
}

static int send(fb_limit_lane *lane, const fb_limit_request *request, call *caller) {
    flight *one = fb_mem_zero(1, sizeof *one);
    if (one == NULL) {
        is_ill(lane, caller == NULL);
        return FB_ENOMEM;
    }
    *one = (flight){.lane = lane, .caller = caller, .probe = caller == NULL};
    fb_list_insert(&lane->flights, &one->list);
    lane->patience_ns =
        request->timeout_ns > lane->patience_ns ? request->timeout_ns : lane->patience_ns;
    fb_limit_port *port = fb_remote_limit_port(lane->lane->remote);
    int result = port->send(port, request, on_reply, one);
    if (result < 0) {
        fb_list_remove(&one->list);
        fb_mem_free(one);
        is_ill(lane, caller == NULL);
    }
    return result;
}

static void arrive(fb_post *post) {
    call *one = FB_LIST_OF(post, call, post);
    fb_limit_lane *lane = one->lane;
    one->request->timeout_ns = one->until_ns - fb_clock_now_ns();
    int result = lane->lane->ended                  ? FB_ECLOSED
                 : atomic_load(&lane->away)         ? FB_EIO
                 : one->request->timeout_ns <= 0    ? FB_ETIMEDOUT
                                                    : send(lane, one->request, one);
    if (result < 0) {
        wake(one, result);
    }
}

// Looks at a key that nothing is ever charged to.
static void send_probe(fb_post *post) {
    fb_limit_lane *lane = FB_LIST_OF(post, fb_limit_lane, probe);
    fb_limit_part part = {.plan = &lane->probe_plan,
                          .rule = FB_STR(""),
                          .tier = FB_STR(""),
                          .step = {.act = FB_LIMIT_LOOK}};
    fb_limit_request request = {.verb = FB_LIMIT_DECIDE,
                                .key = FB_STR("probe"),
                                .parts = &part,
                                .part_count = 1,
                                .timeout_ns = lane->patience_ns};
    if (!lane->lane->ended) {
        FB_IGNORE(send(lane, &request, NULL));  // it notes itself how it went
    }
}

void fb_limits_link(fb_lane *lane, bool up) {
    if (up && lane->engine->limits != NULL && lane->engine->limits->lanes != NULL) {
        is_well(&lane->engine->limits->lanes[lane->index]);
    }
}

void fb_limits_end(fb_lane *lane) {
    fb_limits *limits = lane->engine->limits;
    if (limits == NULL || limits->lanes == NULL) {
        return;
    }
    FB_LIST_EACH(node, &limits->lanes[lane->index].flights) {
        flight *one = FB_LIST_OF(node, flight, list);
        call *caller = one->caller;
        one->caller = NULL;
        if (caller != NULL) {
            wake(caller, FB_ECLOSED);
        }
    }
}

// ---- on the caller's thread

static fb_limit_lane *lane_for(fb_limits *limits, uint64_t hash) {
    const fb_lane *here = fb_engine_here(limits->engine);
    return &limits->lanes[here != NULL ? here->index : (uint32_t)(hash >> 32) % limits->lane_count];
}

// Has a probe sent where it is time.
static bool is_away(fb_limit_lane *lane) {
    if (!atomic_load(&lane->away)) {
        return false;
    }
    int64_t probe_ns = atomic_load(&lane->probe_ns);
    if (fb_clock_now_ns() >= probe_ns &&
        atomic_compare_exchange_strong(&lane->probe_ns, &probe_ns, INT64_MAX)) {
        fb_loop_submit(lane->lane->loop, &lane->probe);
    }
    return true;
}

int fb_limits_exchange(fb_limits *limits, uint64_t hash, fb_limit_request *request,
                       int64_t until_ns, fb_limit_answer *answer) {
    fb_limit_lane *lane = lane_for(limits, hash);
    call one = {.post.fn = arrive,
                .lane = lane,
                .request = request,
                .until_ns = until_ns,
                .answer = answer};
    answer->why[0] = '\0';
    if (is_away(lane)) {
        return FB_EIO;
    }
    if (!fb_engine_may_wait(limits->engine)) {
        return FB_EINVAL;
    }
    fb_sleeper_begin(&one.sleeper, 1);
    fb_loop_submit(lane->lane->loop, &one.post);
    fb_sleeper_wait(&one.sleeper);
    if (one.result == FB_OK) {
        fb_limits_answered(limits);
    }
    return one.result;
}

// ---- all lanes

int fb_limit_lanes_new(fb_limits *limits) {
    fb_engine *engine = limits->engine;
    limits->lanes = fb_mem_zero(engine->lane_count, sizeof *limits->lanes);
    if (limits->lanes == NULL) {
        return FB_ENOMEM;
    }
    limits->lane_count = engine->lane_count;
    for (uint32_t i = 0; i < limits->lane_count; i++) {
        fb_limit_lane *lane = &limits->lanes[i];
        lane->lane = &engine->lanes[i];
        lane->limits = limits;
        lane->back_off_ns = BACK_OFF_MIN_NS;
        lane->probe.fn = send_probe;
        fb_list_init(&lane->flights);
        fb_rng_init(&lane->rng, engine->seed + i);
        int result = fb_limit_plan_throttle(&lane->probe_plan, 1, 1, 1);
        FB_ASSERT(result == FB_OK);
    }
    return FB_OK;
}

void fb_limit_lanes_free(fb_limits *limits) {
    fb_mem_free(limits->lanes);
    limits->lanes = NULL;
}
