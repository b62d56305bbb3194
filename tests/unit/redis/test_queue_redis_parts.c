// A queue of several partitions, asked at random by two nodes: whatever the order in which jobs
// come, each is in the state that a plain list of jobs says, is claimed by one at a time, and none
// is lost.

#include "queue_redis_rig.h"

enum { JOBS = 4000, STEPS = 1500, PARTS = 5 };

static const fb_queue_policy PARTED = {.retry_delay_ms = 10,
                                       .retry_max_ms = 100,
                                       .dead_keep_ms = INT64_C(1) << 50,
                                       .dead_max = 1000000,
                                       .partitions = PARTS};

typedef struct known {
    uint64_t number, token;
    int state;  // -1: gone
    uint32_t attempt;
    char unique[8];
} known;

typedef struct world {
    limits_rig rig;
    fb_rng rng;
    known jobs[JOBS];
    size_t count;
    uint64_t token;
    int64_t now_ms;
} world;

static uint32_t below(world *w, uint32_t bound) {
    return (uint32_t)fb_rng_below(&w->rng, bound);
}

static const fb_store_reply *ask(world *w, fb_store_request request) {
    request.policy = &PARTED;
    request.now_ms = w->now_ms;
    return QUEUE_IS(queue_ask(&w->rig, below(w, 2), &request), FB_STORE_DONE);
}

static known *find(world *w, uint64_t number) {
    for (size_t i = 0; i < w->count; i++) {
        if (w->jobs[i].number == number) {
            return &w->jobs[i];
        }
    }
    return NULL;
}

static known *owner(world *w, const char *unique) {
    for (size_t i = 0; i < w->count && unique[0] != '\0'; i++) {
        if (w->jobs[i].state >= 0 && w->jobs[i].state != FB_JOB_DEAD &&
            strcmp(w->jobs[i].unique, unique) == 0) {
            return &w->jobs[i];
        }
    }
    return NULL;
}

static size_t count_of(const world *w, int state) {
    size_t count = 0;
    for (size_t i = 0; i < w->count; i++) {
        count += state < 0 ? w->jobs[i].state >= 0 : w->jobs[i].state == state;
    }
    return count;
}

static void enqueue(world *w) {
    fb_store_job specs[6];
    char keys[6][8];
    size_t count = 1 + below(w, 6);

    for (size_t i = 0; i < count; i++) {
        specs[i] = queue_spec("p");
        specs[i].job.attempts = 2;
        specs[i].job.lease_ms = INT64_C(1) << 40;
        specs[i].job.priority = (uint8_t)below(w, 10);
        snprintf(keys[i], sizeof keys[i], "%s%u", "k", below(w, 30));
        keys[i][0] = below(w, 2) == 0 ? '\0' : 'k';
        specs[i].job.unique = fb_str_of(keys[i]);
    }
    const fb_store_reply *reply =
        ask(w, (fb_store_request){.verb = FB_STORE_ENQUEUE, .jobs = specs, .item_count = count});
    for (size_t i = 0; i < count; i++) {
        const known *other = owner(w, keys[i]);
        assert_int_equal(reply->results[i], other != NULL ? FB_REFUSED : FB_OK);
        if (other != NULL) {
            assert_int_equal(reply->numbers[i], other->number);
            continue;
        }
        assert_null(find(w, reply->numbers[i]));
        assert_true(w->count < JOBS);
        known *job = &w->jobs[w->count++];
        *job = (known){.number = reply->numbers[i], .state = FB_JOB_READY};
        memcpy(job->unique, keys[i], sizeof keys[i]);
    }
}

static void take(world *w, const fb_store_reply *reply, uint32_t count) {
    size_t ready = count_of(w, FB_JOB_READY);

    assert_int_equal(reply->job_count, ready < count ? ready : count);
    for (size_t i = 0; i < reply->job_count; i++) {
        known *job = find(w, reply->jobs[i].number);
        assert_non_null(job);
        assert_int_equal(job->state, FB_JOB_READY);
        job->state = FB_JOB_LEASED;
        job->token = w->token++;
        assert_int_equal(reply->jobs[i].token, job->token);
        assert_int_equal(reply->jobs[i].attempt, ++job->attempt);
    }
}

static void reserve(world *w) {
    uint32_t count = 1 + below(w, 12);
    take(w, ask(w, (fb_store_request){.verb = FB_STORE_RESERVE, .count = count, .token = w->token}),
         count);
}

// Claims of jobs that are leased, mostly with their tokens; what they answer is known.
static void settle(world *w, fb_store_verb verb) {
    fb_job_claim claims[8];
    known *jobs[8];
    size_t count = 0, most = 1 + below(w, 8);
    uint32_t wanted = verb == FB_STORE_ACK ? below(w, 5) : 0;

    for (size_t i = 0, at = w->count > 0 ? below(w, (uint32_t)w->count) : 0;
         i < w->count && count < most; i++) {
        known *job = &w->jobs[(at + i) % w->count];
        if (job->state == FB_JOB_LEASED || below(w, 20) == 0) {
            jobs[count] = job;
            claims[count++] = (fb_job_claim){job->number, job->token + (below(w, 10) == 0)};
        }
    }
    if (count == 0) {
        return;
    }
    const fb_store_reply *reply = ask(w, (fb_store_request){.verb = verb,
                                                            .claims = claims,
                                                            .item_count = count,
                                                            .count = wanted,
                                                            .token = w->token,
                                                            .permanent = verb == FB_STORE_FAIL});
    for (size_t i = 0; i < count; i++) {
        bool mine = jobs[i]->state == FB_JOB_LEASED && claims[i].token == jobs[i]->token;
        assert_int_equal(reply->results[i], mine ? FB_OK : FB_LOST);
        if (mine && verb != FB_STORE_EXTEND) {
            jobs[i]->state = verb == FB_STORE_ACK    ? -1
                             : verb == FB_STORE_FAIL ? FB_JOB_DEAD
                                                     : FB_JOB_READY;
            jobs[i]->attempt -= verb == FB_STORE_RELEASE;
        }
    }
    if (wanted > 0) {
        take(w, reply, wanted);
    }
}

static void cancel(world *w) {
    if (w->count == 0) {
        return;
    }
    known *job = &w->jobs[below(w, (uint32_t)w->count)];
    const fb_job_claim claim = {job->number, 0};
    const fb_store_reply *reply =
        ask(w, (fb_store_request){.verb = FB_STORE_CANCEL, .claims = &claim, .item_count = 1});
    assert_int_equal(reply->results[0], job->state >= 0 ? FB_OK : FB_MISS);
    job->state = -1;
}

static void kick(world *w) {
    if (w->count == 0) {
        return;
    }
    known *job = &w->jobs[below(w, (uint32_t)w->count)];
    const fb_job_claim claim = {job->number, 0};
    bool refused = job->state == FB_JOB_DEAD && owner(w, job->unique) != NULL;
    const fb_store_reply *reply =
        ask(w, (fb_store_request){.verb = FB_STORE_KICK, .claims = &claim, .item_count = 1});
    assert_int_equal(reply->results[0], job->state < 0 ? FB_MISS : refused ? FB_REFUSED : FB_OK);
    if (job->state == FB_JOB_DEAD && !refused) {
        job->state = FB_JOB_READY;
        job->attempt = 0;
    }
}

// All of it, by pages and by figures.
static void compare(world *w) {
    uint64_t after = 0;
    size_t seen = 0;

    for (;;) {
        const fb_store_reply *reply = ask(
            w, (fb_store_request){.verb = FB_STORE_LIST, .state = -1, .after = after, .count = 37});
        for (size_t i = 0; i < reply->job_count; i++) {
            const known *job = find(w, reply->jobs[i].number);
            assert_true(reply->jobs[i].number > after);
            after = reply->jobs[i].number;
            assert_non_null(job);
            assert_int_equal(reply->jobs[i].state, job->state);
            assert_int_equal(reply->jobs[i].attempt, job->attempt);
            assert_true(fb_str_equal(reply->jobs[i].unique, fb_str_of(job->unique)));
        }
        seen += reply->job_count;
        if (reply->job_count < 37) {
            break;
        }
    }
    assert_int_equal(seen, count_of(w, -1));
    fb_queue_look look = ask(w, (fb_store_request){.verb = FB_STORE_LOOK})->look;
    for (int state = 0; state < FB_JOB_STATE_COUNT; state++) {
        assert_int_equal(look.counts[state], count_of(w, state));
    }
}

static void purge(world *w, int state) {
    size_t there = count_of(w, state);
    const fb_store_reply *reply =
        ask(w, (fb_store_request){.verb = FB_STORE_PURGE, .state = state, .count = 100000});
    assert_int_equal(reply->value, there);
    for (size_t i = 0; i < w->count; i++) {
        w->jobs[i].state = w->jobs[i].state == state ? -1 : w->jobs[i].state;
    }
}

static void step(world *w) {
    static const fb_store_verb CLAIMED[] = {FB_STORE_ACK, FB_STORE_ACK, FB_STORE_FAIL,
                                            FB_STORE_RELEASE, FB_STORE_EXTEND};
    uint32_t which = below(w, 100);

    w->now_ms += below(w, 3);
    if (which < 35) {
        enqueue(w);
    } else if (which < 60) {
        reserve(w);
    } else if (which < 90) {
        settle(w, CLAIMED[below(w, 5)]);
    } else if (which < 94) {
        cancel(w);
    } else if (which < 98) {
        kick(w);
    } else if (which < 99) {
        compare(w);
    } else {
        purge(w, below(w, 2) == 0 ? FB_JOB_DEAD : FB_JOB_LEASED);
    }
}

static void test_queue_parts__partitions_hold_what_a_list_does(void **state) {
    (void)state;
    test_redis *server = test_redis_new("appendonly yes");
    world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->rng = test_rng();
    w->token = 1;
    w->now_ms = 1000000;
    limits_open_at(&w->rig, server, 2);
    for (size_t i = 0; i < STEPS && w->count + 6 < JOBS; i++) {
        step(w);
    }
    compare(w);
    for (int each = 0; each < FB_JOB_STATE_COUNT; each++) {
        purge(w, each);
    }
    compare(w);
    // Nothing is left but the states.
    for (uint32_t i = 0; i < PARTS; i++) {
        char keys[64];
        snprintf(keys, sizeof keys, "forebay:{q:work:%u}:q", i);
        assert_string_equal(test_redis_ask(server, "KEYS forebay:{q:work:%u}:*", i), keys);
    }
    limits_close(&w->rig);
    free(w);
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_parts__partitions_hold_what_a_list_does),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
