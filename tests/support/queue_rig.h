// queue_rig.h -- one queue of the machine, spoken to in few words. Every answer is checked for its
// result; what is asked for is in `reply`, good until the next call of rig_keep().

#ifndef FB_TESTS_QUEUE_RIG_H
#define FB_TESTS_QUEUE_RIG_H

#include "support.h"

#include "queue/machine.h"

typedef struct queue_rig {
    fb_machine *machine;
    fb_queue_policy policy;
    int64_t now_ms;
    uint64_t token;
    fb_store_reply reply;
    fb_store_request request;  // the next one: set what is unusual
} queue_rig;

static inline queue_rig rig_new(void) {
    queue_rig rig = {.policy = {.retry_delay_ms = 10000, .retry_max_ms = 600000,
                                .dead_keep_ms = 1000000, .dead_max = 1000, .partitions = 1},
                     .now_ms = 1000000, .token = 1};

    assert_ok(fb_machine_new(&rig.machine));
    return rig;
}

static inline void rig_free(queue_rig *rig) {
    fb_machine_check(rig->machine);
    fb_machine_free(rig->machine);
}

// The request as it was set up, then nothing is set any more.
static inline fb_store_result rig_step(queue_rig *rig, fb_store_verb verb) {
    rig->request.verb = verb;
    rig->request.queue = FB_STR("q");
    rig->request.policy = &rig->policy;
    rig->request.token = rig->token;
    assert_ok(fb_machine_step(rig->machine, &rig->request, rig->now_ms, &rig->reply));
    rig->token += rig->request.count;
    rig->request = (fb_store_request){0};
    return rig->reply.result;
}

static inline void rig_keep(queue_rig *rig) {
    fb_machine_check(rig->machine);
    fb_machine_keep(rig->machine);
}

static inline fb_store_job rig_job(unsigned priority) {
    return (fb_store_job){.job = {.kind = FB_STR("kind"), .priority = (uint8_t)priority,
                                  .attempts = 3, .lease_ms = 30000}};
}

// Its number; 0: it was refused.
static inline uint64_t rig_enqueue_job(queue_rig *rig, fb_store_job job) {
    rig->request.jobs = &job;
    rig->request.item_count = 1;
    assert_int_equal(rig_step(rig, FB_STORE_ENQUEUE), FB_STORE_DONE);
    return rig->reply.results[0] == FB_OK ? rig->reply.numbers[0] : 0;
}

static inline uint64_t rig_enqueue(queue_rig *rig, unsigned priority) {
    return rig_enqueue_job(rig, rig_job(priority));
}

static inline uint64_t rig_enqueue_later(queue_rig *rig, unsigned priority, int64_t delay_ms) {
    fb_store_job job = rig_job(priority);

    job.delay_ms = delay_ms;
    return rig_enqueue_job(rig, job);
}

static inline size_t rig_reserve(queue_rig *rig, uint32_t count) {
    rig->request.count = count;
    assert_int_equal(rig_step(rig, FB_STORE_RESERVE), FB_STORE_DONE);
    return rig->reply.job_count;
}

// The next job's claim; {0, 0}: there is none.
static inline fb_job_claim rig_claim(queue_rig *rig) {
    if (rig_reserve(rig, 1) == 0) {
        return (fb_job_claim){0, 0};
    }
    return (fb_job_claim){rig->reply.jobs[0].number, rig->reply.jobs[0].token};
}

// What the verb says to one claim (or number).
static inline int rig_say(queue_rig *rig, fb_store_verb verb, fb_job_claim claim) {
    rig->request.claims = &claim;
    rig->request.item_count = 1;
    assert_int_equal(rig_step(rig, verb), FB_STORE_DONE);
    return rig->reply.results[0];
}

static inline fb_job rig_get(queue_rig *rig, uint64_t number) {
    assert_ok(rig_say(rig, FB_STORE_GET, (fb_job_claim){number, 0}));
    return rig->reply.jobs[0];
}

static inline bool rig_is_there(queue_rig *rig, uint64_t number) {
    return rig_say(rig, FB_STORE_GET, (fb_job_claim){number, 0}) == FB_OK;
}

static inline fb_job_state rig_state(queue_rig *rig, uint64_t number) {
    return rig_get(rig, number).state;
}

static inline fb_queue_look rig_look(queue_rig *rig) {
    assert_int_equal(rig_step(rig, FB_STORE_LOOK), FB_STORE_DONE);
    return rig->reply.look;
}

#endif
