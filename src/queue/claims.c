// What RESERVE does: leases that are over are taken back, what is due becomes READY, jobs are
// claimed, and DEAD ones that are too old or too many go. The same pieces, but claiming, are the
// sweep's.
//
// A claim takes from the most urgent level that has a job; but each claim counts as passing over
// every less urgent level with one, and a level that was passed over 8 times goes first: so of nine
// claims at most eight go to what is urgent, and nothing waits for ever.

#include "queue/held.h"

#include "base/check.h"
#include "base/rule.h"

enum { PASSED_MAX = 8 };

static uint32_t less(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

int64_t fb_claims_next_ms(const fb_held_queue *queue) {
    int64_t due_ms = fb_pile_first_key(&queue->scheduled);
    int64_t until_ms = fb_pile_first_key(&queue->leased);

    return due_ms < until_ms ? due_ms : until_ms;
}

// They stand first in line, and of those the one first whose lease ended first: the last of them is
// put there first.
int fb_claims_take_back(fb_step *step, uint32_t *most) {
    fb_machine *machine = step->machine;
    fb_pile *leased = &step->queue->leased;
    uint32_t count = 0, cap = less(*most, leased->count);
    int result = FB_OK;

    if (fb_pile_first_key(leased) > step->now_ms || cap == 0) {
        return FB_OK;
    }
    fb_held_job **taken = fb_arena_new(&machine->arena, cap * sizeof(fb_held_job *));
    if (taken == NULL) {
        return FB_ENOMEM;
    }
    while (count < cap && fb_pile_first_key(leased) <= step->now_ms && result == FB_OK) {
        taken[count] = fb_pile_first(leased);
        result = fb_jobs_take(machine, taken[count]);
        count++;
    }
    *most -= count;
    for (uint32_t i = count; i-- > 0 && result == FB_OK;) {
        if (!FB_RULE(queue_attempts) || taken[i]->attempt < taken[i]->attempts) {
            result = fb_jobs_ready_first(machine, taken[i], step->now_ms);
        } else {
            result = fb_jobs_die(machine, taken[i], FB_JOB_END_ABANDONED, step->now_ms);
        }
    }
    return result;
}

int fb_claims_promote(fb_step *step, uint32_t *most) {
    fb_pile *scheduled = &step->queue->scheduled;
    int result = FB_OK;

    while (*most > 0 && fb_pile_first_key(scheduled) <= step->now_ms && result == FB_OK) {
        fb_held_job *job = fb_pile_first(scheduled);
        result = fb_jobs_ready(step->machine, job, job->due_ms);
        --*most;
    }
    return result;
}

int fb_claims_expire(fb_step *step, uint32_t *most) {
    fb_pile *ends = &step->queue->ends;
    int result = FB_OK;

    while (*most > 0 && fb_pile_first_key(ends) <= step->now_ms && result == FB_OK) {
        result = fb_jobs_die(step->machine, fb_pile_first(ends), FB_JOB_END_EXPIRED, step->now_ms);
        --*most;
    }
    return result;
}

int fb_claims_trim(fb_step *step, uint32_t *most) {
    fb_pile *dead = &step->queue->dead;
    const fb_queue_policy *policy = step->policy;
    int result = FB_OK;

    while (*most > 0 && dead->count > 0 && result == FB_OK &&
           ((FB_RULE(queue_dead_max) && dead->count > policy->dead_max) ||
            fb_pile_first_key(dead) <= step->now_ms - policy->dead_keep_ms)) {
        result = fb_jobs_drop(step->machine, fb_pile_first(dead));
        --*most;
    }
    return result;
}

// ---- claiming

// The level whose turn it is; FB_JOB_PRIORITIES: none has a job.
static uint32_t choose_level(const fb_held_queue *queue) {
    uint32_t urgent = FB_JOB_PRIORITIES;

    for (uint32_t i = FB_JOB_PRIORITIES; i-- > 0;) {
        urgent = queue->ready[i].count > 0 ? i : urgent;
    }
    for (uint32_t i = urgent; i < FB_JOB_PRIORITIES; i++) {
        if (FB_RULE(queue_ageing) && queue->rest.passed[i] >= PASSED_MAX &&
            queue->ready[i].count > 0) {
            return i;
        }
    }
    return urgent;
}

static int claim(fb_step *step, fb_held_job *job, uint32_t index) {
    fb_held_queue *queue = step->queue;
    const fb_store_request *request = step->request;
    int result = fb_jobs_take(step->machine, job);

    if (result != FB_OK) {
        return result;
    }
    job->state = FB_JOB_LEASED;
    job->attempt++;
    job->token = request->token + index;
    job->since_ms = step->now_ms;
    job->until_ms = step->now_ms + (request->lease_ms > 0 ? request->lease_ms : job->lease_ms);
    queue->rest.passed[job->priority] = 0;
    for (uint32_t i = job->priority + 1U; i < FB_JOB_PRIORITIES; i++) {
        queue->rest.passed[i] += queue->ready[i].count > 0;
    }
    return fb_jobs_link(job);
}

static int claim_all(fb_step *step) {
    fb_held_queue *queue = step->queue;
    uint32_t most = less(step->request->count, queue->age.count), thrown = 0, claimed = 0;
    fb_job *jobs = fb_arena_new(&step->machine->arena, most * sizeof(*jobs));
    int result = jobs != NULL ? FB_OK : FB_ENOMEM;

    while (result == FB_OK && claimed < most && thrown < FB_CLAIMS_MAX) {
        uint32_t level = choose_level(queue);
        if (level == FB_JOB_PRIORITIES) {
            break;
        }
        fb_held_job *job = fb_pile_first(&queue->ready[level]);
        if (FB_RULE(queue_expires) && job->expires_ms > 0 && job->expires_ms <= step->now_ms) {
            result = fb_jobs_die(step->machine, job, FB_JOB_END_EXPIRED, step->now_ms);
            thrown++;
            continue;
        }
        result = claim(step, job, claimed);
        if (result == FB_OK) {
            fb_jobs_tell(step->machine, job, &jobs[claimed++]);
        }
    }
    step->reply->jobs = jobs;
    step->reply->job_count = claimed;
    step->reply->look.next_ms =
        thrown == FB_CLAIMS_MAX ? step->now_ms : fb_claims_next_ms(queue);
    return result;
}

int fb_claims_reserve(fb_step *step) {
    uint32_t leases = FB_CLAIMS_MAX, due = FB_CLAIMS_MAX;
    int result = fb_claims_take_back(step, &leases);

    if (result == FB_OK) {
        result = fb_claims_promote(step, &due);
    }
    step->reply->look.next_ms = fb_claims_next_ms(step->queue);
    if (result == FB_OK && !step->queue->rest.paused && step->request->count > 0) {
        result = claim_all(step);
    }
    return result;
}
