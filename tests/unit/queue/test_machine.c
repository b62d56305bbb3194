// The rules of docs/decisions/0008, one by one.

#include "queue_rig.h"

// ---- 1: RESERVE

static void test_machine__jobs_come_in_the_order_they_were_enqueued_in(void **state) {
    queue_rig rig = rig_new();
    uint64_t numbers[20];

    for (size_t i = 0; i < 20; i++) {
        numbers[i] = rig_enqueue(&rig, 5);
    }
    assert_int_equal(rig_reserve(&rig, 30), 20);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(rig.reply.jobs[i].number, numbers[i]);
    }
    rig_free(&rig);
}

static void test_machine__a_claimed_job_is_leased(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5);

    rig.now_ms += 70;
    rig.token = 900;
    assert_int_equal(rig_reserve(&rig, 5), 1);
    const fb_job *job = &rig.reply.jobs[0];
    assert_int_equal(job->number, number);
    assert_int_equal(job->token, 900);
    assert_int_equal(job->state, FB_JOB_LEASED);
    assert_int_equal(job->attempt, 1);
    assert_int_equal(job->claimed_ms, rig.now_ms);
    assert_int_equal(job->until_ms, rig.now_ms + 30000);
    assert_int_equal(job->due_ms, rig.now_ms - 70);
    assert_int_equal(rig.reply.look.next_ms, rig.now_ms + 30000);
    assert_str(job->kind, "kind");
    // Who only looks is not told the token.
    assert_int_equal(rig_get(&rig, number).token, 0);
    rig_free(&rig);
}

static void test_machine__a_reserve_may_ask_for_another_lease(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5);

    rig.request.lease_ms = 5;
    assert_int_equal(rig_reserve(&rig, 1), 1);
    assert_int_equal(rig.reply.jobs[0].until_ms, rig.now_ms + 5);
    assert_int_equal(rig_get(&rig, number).lease_ms, 30000);
    rig_free(&rig);
}

static void test_machine__what_a_worker_abandons_is_first_in_line(void **state) {
    queue_rig rig = rig_new();
    uint64_t one = rig_enqueue(&rig, 5), two = rig_enqueue(&rig, 5), three = rig_enqueue(&rig, 5);

    (void)rig_claim(&rig);
    rig.now_ms += 10;
    (void)rig_claim(&rig);
    rig.now_ms += 30000;
    assert_int_equal(rig_reserve(&rig, 3), 3);
    assert_int_equal(rig.reply.jobs[0].number, one);
    assert_int_equal(rig.reply.jobs[0].attempt, 2);
    assert_int_equal(rig.reply.jobs[0].due_ms, rig.now_ms);
    assert_int_equal(rig.reply.jobs[1].number, two);
    assert_int_equal(rig.reply.jobs[2].number, three);
    rig_free(&rig);
}

static void test_machine__a_job_that_kills_its_workers_is_dead_after_its_attempts(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5);

    for (uint32_t attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(rig_reserve(&rig, 1), 1);
        assert_int_equal(rig.reply.jobs[0].attempt, attempt);
        rig.now_ms += 30000;
    }
    assert_int_equal(rig_reserve(&rig, 1), 0);
    fb_job job = rig_get(&rig, number);
    assert_int_equal(job.state, FB_JOB_DEAD);
    assert_int_equal(job.end, FB_JOB_END_ABANDONED);
    assert_int_equal(job.died_ms, rig.now_ms);
    rig_free(&rig);
}

static void test_machine__a_step_takes_back_a_thousand_leases(void **state) {
    queue_rig rig = rig_new();

    for (int i = 0; i < 1500; i++) {
        (void)rig_enqueue(&rig, 5);
    }
    assert_int_equal(rig_reserve(&rig, 2000), 1500);
    rig.now_ms += 30000;
    assert_int_equal(rig_reserve(&rig, 0), 0);
    // There is more: ask again.
    assert_true(rig.reply.look.next_ms <= rig.now_ms);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_READY], 1000);
    assert_int_equal(rig_reserve(&rig, 0), 0);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_READY], 1500);
    rig_free(&rig);
}

static void test_machine__what_is_due_is_last_in_line_in_the_order_of_its_time(void **state) {
    queue_rig rig = rig_new();
    uint64_t late = rig_enqueue_later(&rig, 5, 200), soon = rig_enqueue_later(&rig, 5, 100);
    uint64_t now = rig_enqueue(&rig, 5);

    assert_int_equal(rig_state(&rig, late), FB_JOB_SCHEDULED);
    assert_int_equal(rig_look(&rig).next_ms, rig.now_ms + 100);
    rig.now_ms += 200;
    assert_int_equal(rig_reserve(&rig, 3), 3);
    assert_int_equal(rig.reply.jobs[0].number, now);
    assert_int_equal(rig.reply.jobs[1].number, soon);
    assert_int_equal(rig.reply.jobs[1].due_ms, rig.now_ms - 100);
    assert_int_equal(rig.reply.jobs[2].number, late);
    rig_free(&rig);
}

static void test_machine__an_expired_job_is_not_begun(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    job.life_ms = 100;
    uint64_t number = rig_enqueue_job(&rig, job), other = rig_enqueue(&rig, 5);
    rig.now_ms += 100;
    assert_int_equal(rig_claim(&rig).number, other);
    assert_int_equal(rig_get(&rig, number).end, FB_JOB_END_EXPIRED);
    rig_free(&rig);
}

static void test_machine__a_step_throws_out_a_thousand_expired_jobs(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    rig.policy.dead_max = 100000;
    job.life_ms = 100;
    for (int i = 0; i < 1200; i++) {
        assert_true(rig_enqueue_job(&rig, job) > 0);
    }
    rig.now_ms += 100;
    uint64_t other = rig_enqueue(&rig, 5);
    assert_int_equal(rig_reserve(&rig, 1), 0);
    assert_int_equal(rig.reply.look.next_ms, rig.now_ms);
    assert_int_equal(rig_claim(&rig).number, other);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_DEAD], 1200);
    rig_free(&rig);
}

static void test_machine__a_paused_queue_gives_nothing_but_goes_on(void **state) {
    queue_rig rig = rig_new();

    (void)rig_enqueue(&rig, 5);
    (void)rig_enqueue_later(&rig, 5, 10);
    (void)rig_claim(&rig);
    rig.request.flag = true;
    (void)rig_step(&rig, FB_STORE_PAUSE);
    assert_int_equal(rig.reply.value, 1);
    rig.request.flag = true;
    (void)rig_step(&rig, FB_STORE_PAUSE);
    assert_int_equal(rig.reply.value, 0);
    rig.now_ms += 30000;
    assert_int_equal(rig_reserve(&rig, 5), 0);
    fb_queue_look look = rig_look(&rig);
    assert_true(look.paused);
    assert_int_equal(look.counts[FB_JOB_READY], 2);
    (void)rig_step(&rig, FB_STORE_PAUSE);
    assert_int_equal(rig.reply.value, 1);
    assert_int_equal(rig_reserve(&rig, 5), 2);
    rig_free(&rig);
}

// ---- 2: levels

static void test_machine__of_nine_claims_one_goes_to_what_was_passed_over(void **state) {
    queue_rig rig = rig_new();

    for (int i = 0; i < 40; i++) {
        (void)rig_enqueue(&rig, 0);
        (void)rig_enqueue(&rig, 7);
    }
    assert_int_equal(rig_reserve(&rig, 36), 36);
    for (size_t i = 0; i < 36; i++) {
        assert_int_equal(rig.reply.jobs[i].priority, i % 9 == 8 ? 7 : 0);
    }
    rig_free(&rig);
}

static void test_machine__of_several_that_waited_the_most_urgent_is_next(void **state) {
    queue_rig rig = rig_new();

    for (int i = 0; i < 40; i++) {
        (void)rig_enqueue(&rig, 0);
    }
    for (int i = 0; i < 2; i++) {
        (void)rig_enqueue(&rig, 9);
        (void)rig_enqueue(&rig, 4);
    }
    assert_int_equal(rig_reserve(&rig, 10), 10);
    assert_int_equal(rig.reply.jobs[7].priority, 0);
    assert_int_equal(rig.reply.jobs[8].priority, 4);
    assert_int_equal(rig.reply.jobs[9].priority, 9);
    rig_free(&rig);
}

static void test_machine__a_level_that_was_empty_waits_anew(void **state) {
    queue_rig rig = rig_new();
    uint64_t low = rig_enqueue(&rig, 9);

    for (int i = 0; i < 20; i++) {
        (void)rig_enqueue(&rig, 0);
    }
    assert_int_equal(rig_reserve(&rig, 8), 8);
    assert_ok(rig_say(&rig, FB_STORE_CANCEL, (fb_job_claim){low, 0}));
    low = rig_enqueue(&rig, 9);
    assert_int_equal(rig_reserve(&rig, 8), 8);
    assert_int_equal(rig.reply.jobs[7].priority, 0);
    assert_int_equal(rig_claim(&rig).number, low);
    rig_free(&rig);
}

// ---- 3: FAIL

static void test_machine__a_failed_job_comes_again_after_a_growing_delay(void **state) {
    queue_rig rig = rig_new();
    static const int64_t delays_ms[2][2] = {{5000, 9995}, {10000, 19990}};

    for (int random = 0; random < 2; random++) {
        uint64_t number = rig_enqueue(&rig, 5);
        for (int i = 0; i < 2; i++) {
            fb_job_claim claim = rig_claim(&rig);
            assert_int_equal(claim.number, number);
            rig.now_ms += 40;
            rig.request.delay_ms = -1;
            rig.request.random = random == 0 ? 0 : 1023;
            rig.request.text = FB_STR("it broke");
            assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
            assert_int_equal(rig.reply.ran_ms[0], 40);
            assert_int_equal(rig.reply.ends[0], FB_JOB_END_NONE);
            fb_job job = rig_get(&rig, number);
            assert_int_equal(job.state, FB_JOB_SCHEDULED);
            assert_int_equal(job.due_ms, rig.now_ms + delays_ms[i][random]);
            assert_str(job.error, "it broke");
            rig.now_ms = job.due_ms;
        }
        rig.request.delay_ms = -1;
        assert_ok(rig_say(&rig, FB_STORE_FAIL, rig_claim(&rig)));
        assert_int_equal(rig.reply.ends[0], FB_JOB_END_ATTEMPTS);
        assert_int_equal(rig_get(&rig, number).end, FB_JOB_END_ATTEMPTS);
        assert_str(rig_get(&rig, number).error, "");
    }
    rig_free(&rig);
}

static void test_machine__a_back_off_is_never_longer_than_its_most(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    // Doubled a thousand times it would not fit in any number.
    job.job.attempts = 1000;
    rig.policy.retry_max_ms = INT64_C(1) << 50;
    uint64_t number = rig_enqueue_job(&rig, job);
    for (int i = 0; i < 999; i++) {
        fb_job_claim claim = rig_claim(&rig);
        rig.request.delay_ms = i < 998 ? 0 : -1;
        assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
        rig_keep(&rig);
    }
    assert_int_equal(rig_get(&rig, number).due_ms, rig.now_ms + (INT64_C(1) << 49));
    rig_free(&rig);
}

static void test_machine__a_delay_that_is_said_is_the_delay(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5), other = rig_enqueue(&rig, 5);

    fb_job_claim claim = rig_claim(&rig);
    rig.now_ms += 100;
    assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
    assert_int_equal(rig_get(&rig, number).due_ms, rig.now_ms);
    // It stands last.
    assert_int_equal(rig_claim(&rig).number, other);
    claim = rig_claim(&rig);
    rig.request.delay_ms = 7;
    assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
    assert_int_equal(rig_get(&rig, number).due_ms, rig.now_ms + 7);
    rig_free(&rig);
}

static void test_machine__a_failure_for_good_is_the_end(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5);
    char text[600];

    memset(text, 'x', sizeof(text));
    fb_job_claim claim = rig_claim(&rig);
    rig.request.permanent = true;
    rig.request.text = (fb_str){text, sizeof(text)};
    assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
    assert_int_equal(rig.reply.ends[0], FB_JOB_END_PERMANENT);
    assert_int_equal(rig_get(&rig, number).end, FB_JOB_END_PERMANENT);
    assert_int_equal(rig_get(&rig, number).error.len, FB_JOB_TEXT_MAX);
    rig_free(&rig);
}

// ---- 4: ACK, RELEASE, EXTEND

static void test_machine__only_the_token_of_the_lease_counts(void **state) {
    static const fb_store_verb verbs[] = {FB_STORE_EXTEND, FB_STORE_FAIL, FB_STORE_RELEASE,
                                          FB_STORE_ACK};

    for (size_t i = 0; i < 4; i++) {
        queue_rig rig = rig_new();
        uint64_t number = rig_enqueue(&rig, 5);
        fb_job_claim old = rig_claim(&rig);
        rig.now_ms += 30000;
        fb_job_claim claim = rig_claim(&rig);
        assert_int_equal(claim.number, number);
        rig_keep(&rig);
        assert_result(rig_say(&rig, verbs[i], old), FB_LOST);
        // Nothing was changed.
        size_t place = 0;
        const fb_change *change = fb_machine_change(rig.machine, &place);
        assert_null(change);
        assert_result(rig_say(&rig, verbs[i], (fb_job_claim){number + 64, 1}), FB_LOST);
        assert_result(rig_say(&rig, verbs[i], claim), FB_OK);
        assert_result(rig_say(&rig, verbs[i], claim),
                      verbs[i] == FB_STORE_EXTEND ? FB_OK : FB_LOST);
        rig_free(&rig);
    }
}

static void test_machine__a_lease_that_is_over_is_good_while_nobody_has_the_job(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5);
    fb_job_claim claim = rig_claim(&rig);

    rig.now_ms += 40000;
    assert_ok(rig_say(&rig, FB_STORE_ACK, claim));
    assert_int_equal(rig.reply.ran_ms[0], 40000);
    assert_false(rig_is_there(&rig, number));
    rig_free(&rig);
}

static void test_machine__an_ack_may_reserve_in_the_same_step(void **state) {
    queue_rig rig = rig_new();
    uint64_t one = rig_enqueue(&rig, 5), two = rig_enqueue(&rig, 5);
    fb_job_claim claim = rig_claim(&rig);

    rig.request.count = 1;
    assert_ok(rig_say(&rig, FB_STORE_ACK, claim));
    assert_int_equal(rig.reply.job_count, 1);
    assert_int_equal(rig.reply.jobs[0].number, two);
    assert_false(rig_is_there(&rig, one));
    rig_free(&rig);
}

static void test_machine__what_is_handed_back_stands_first_and_has_lost_no_attempt(void **state) {
    queue_rig rig = rig_new();
    uint64_t numbers[4];
    fb_job_claim claims[3];

    for (size_t i = 0; i < 4; i++) {
        numbers[i] = rig_enqueue(&rig, 5);
    }
    for (size_t i = 0; i < 3; i++) {
        claims[i] = rig_claim(&rig);
    }
    rig.now_ms += 10;
    rig.request.claims = claims;
    rig.request.item_count = 3;
    (void)rig_step(&rig, FB_STORE_RELEASE);
    assert_int_equal(rig_reserve(&rig, 9), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rig.reply.jobs[i].number, numbers[i]);
        assert_int_equal(rig.reply.jobs[i].attempt, 1);
    }
    assert_int_equal(rig.reply.jobs[0].due_ms, rig.now_ms);
    rig.request.delay_ms = 50;
    fb_job_claim claim = {numbers[0], rig.reply.jobs[0].token};
    assert_ok(rig_say(&rig, FB_STORE_RELEASE, claim));
    fb_job job = rig_get(&rig, numbers[0]);
    assert_int_equal(job.state, FB_JOB_SCHEDULED);
    assert_int_equal(job.due_ms, rig.now_ms + 50);
    assert_int_equal(job.attempt, 0);
    rig_free(&rig);
}

static void test_machine__a_lease_is_extended_and_says_how_far_it_is(void **state) {
    queue_rig rig = rig_new();
    uint64_t number = rig_enqueue(&rig, 5);
    fb_job_claim claim = rig_claim(&rig);

    rig.now_ms += 1000;
    rig.request.text = FB_STR("half");
    assert_ok(rig_say(&rig, FB_STORE_EXTEND, claim));
    assert_int_equal(rig_get(&rig, number).until_ms, rig.now_ms + 30000);
    rig.request.lease_ms = 7;
    assert_ok(rig_say(&rig, FB_STORE_EXTEND, claim));
    assert_int_equal(rig_get(&rig, number).until_ms, rig.now_ms + 7);
    assert_str(rig_get(&rig, number).progress, "half");
    assert_int_equal(rig_look(&rig).next_ms, rig.now_ms + 7);
    rig_free(&rig);
}

// ---- 5: unique keys

static fb_store_job keyed(const char *key) {
    fb_store_job job = rig_job(5);

    job.job.unique = fb_str_of(key);
    return job;
}

static void test_machine__a_unique_key_has_one_job_that_lives(void **state) {
    queue_rig rig = rig_new();
    fb_store_job jobs[] = {keyed("a"), keyed("b"), keyed("a")};

    rig.request.jobs = jobs;
    rig.request.item_count = 3;
    (void)rig_step(&rig, FB_STORE_ENQUEUE);
    assert_result(rig.reply.results[0], FB_OK);
    assert_result(rig.reply.results[1], FB_OK);
    assert_result(rig.reply.results[2], FB_REFUSED);
    assert_int_equal(rig.reply.numbers[2], rig.reply.numbers[0]);
    assert_int_equal(rig_enqueue_job(&rig, keyed("b")), 0);
    // It is free when the job is done, cancelled or dead.
    assert_ok(rig_say(&rig, FB_STORE_ACK, rig_claim(&rig)));
    uint64_t again = rig_enqueue_job(&rig, keyed("a"));
    assert_true(again > 0);
    assert_ok(rig_say(&rig, FB_STORE_CANCEL, (fb_job_claim){again, 0}));
    assert_true(rig_enqueue_job(&rig, keyed("a")) > 0);
    fb_job_claim claim = rig_claim(&rig);
    rig.request.permanent = true;
    assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
    uint64_t heir = rig_enqueue_job(&rig, keyed("b"));
    assert_true(heir > 0);
    // Now it is another's.
    assert_result(rig_say(&rig, FB_STORE_KICK, (fb_job_claim){claim.number, 0}), FB_REFUSED);
    assert_int_equal(rig.reply.value, 0);
    rig.request.state = FB_JOB_DEAD;
    rig.request.count = 10;
    (void)rig_step(&rig, FB_STORE_KICK);
    assert_int_equal(rig.reply.value, 0);
    assert_ok(rig_say(&rig, FB_STORE_CANCEL, (fb_job_claim){heir, 0}));
    assert_ok(rig_say(&rig, FB_STORE_KICK, (fb_job_claim){claim.number, 0}));
    assert_int_equal(rig_enqueue_job(&rig, keyed("b")), 0);
    rig_free(&rig);
}

// ---- 6: KICK

static void test_machine__a_kicked_job_is_ready_with_new_attempts(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    job.life_ms = 100000;
    uint64_t dead = rig_enqueue_job(&rig, job), later = rig_enqueue_later(&rig, 5, 10000);
    fb_job_claim claim = rig_claim(&rig);
    rig.request.permanent = true;
    rig.request.text = FB_STR("why");
    assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
    rig.now_ms += 5;
    assert_ok(rig_say(&rig, FB_STORE_KICK, (fb_job_claim){dead, 0}));
    assert_int_equal(rig.reply.value, 1);
    fb_job kicked = rig_get(&rig, dead);
    assert_int_equal(kicked.state, FB_JOB_READY);
    assert_int_equal(kicked.attempt, 0);
    assert_int_equal(kicked.end, FB_JOB_END_NONE);
    assert_int_equal(kicked.died_ms, 0);
    assert_int_equal(kicked.expires_ms, 0);
    assert_int_equal(kicked.due_ms, rig.now_ms);
    assert_str(kicked.error, "why");
    assert_ok(rig_say(&rig, FB_STORE_KICK, (fb_job_claim){later, 0}));
    assert_int_equal(rig_get(&rig, later).due_ms, rig.now_ms);
    // A second kick does nothing.
    assert_ok(rig_say(&rig, FB_STORE_KICK, (fb_job_claim){later, 0}));
    assert_int_equal(rig.reply.value, 0);
    assert_result(rig_say(&rig, FB_STORE_KICK, (fb_job_claim){later + 64, 0}), FB_MISS);
    rig_free(&rig);
}

static void test_machine__a_kick_without_numbers_begins_with_the_oldest(void **state) {
    queue_rig rig = rig_new();
    uint64_t late = rig_enqueue_later(&rig, 5, 300), soon = rig_enqueue_later(&rig, 5, 100);

    rig.request.state = FB_JOB_SCHEDULED;
    rig.request.count = 1;
    (void)rig_step(&rig, FB_STORE_KICK);
    assert_int_equal(rig.reply.value, 1);
    assert_int_equal(rig_state(&rig, soon), FB_JOB_READY);
    assert_int_equal(rig_state(&rig, late), FB_JOB_SCHEDULED);
    rig.request.state = FB_JOB_READY;
    rig.request.count = 9;
    (void)rig_step(&rig, FB_STORE_KICK);
    assert_int_equal(rig.reply.value, 0);
    rig_free(&rig);
}

// ---- 7: what is dead goes

static uint64_t die(queue_rig *rig) {
    uint64_t number = rig_enqueue(rig, 5);
    fb_job_claim claim = rig_claim(rig);

    rig->request.permanent = true;
    assert_ok(rig_say(rig, FB_STORE_FAIL, claim));
    return number;
}

static void test_machine__dead_jobs_are_kept_for_a_time(void **state) {
    queue_rig rig = rig_new();

    rig.policy.dead_keep_ms = 100;
    uint64_t number = die(&rig);
    rig.now_ms += 99;
    (void)rig_reserve(&rig, 0);
    assert_true(rig_is_there(&rig, number));
    rig.now_ms += 1;
    (void)rig_reserve(&rig, 0);
    assert_false(rig_is_there(&rig, number));
    rig_free(&rig);
}

static void test_machine__so_many_dead_jobs_are_kept_the_latest(void **state) {
    queue_rig rig = rig_new();

    rig.policy.dead_max = 2;
    uint64_t one = die(&rig), two = die(&rig);
    rig.now_ms += 1;
    uint64_t three = die(&rig);
    assert_false(rig_is_there(&rig, one));
    assert_true(rig_is_there(&rig, two));
    assert_true(rig_is_there(&rig, three));
    rig_free(&rig);
}

static void test_machine__no_dead_jobs_are_kept_where_there_is_no_time_for_them(void **state) {
    queue_rig rig = rig_new();

    rig.policy.dead_keep_ms = 0;
    assert_false(rig_is_there(&rig, die(&rig)));
    rig_free(&rig);
}

static void test_machine__a_step_removes_a_hundred_dead_jobs(void **state) {
    queue_rig rig = rig_new();

    for (int i = 0; i < 250; i++) {
        (void)die(&rig);
    }
    rig.now_ms += rig.policy.dead_keep_ms;
    (void)rig_reserve(&rig, 0);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_DEAD], 150);
    (void)rig_reserve(&rig, 0);
    (void)rig_reserve(&rig, 0);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_DEAD], 0);
    rig_free(&rig);
}

// ---- 8: ENQUEUE

static void test_machine__a_full_queue_takes_none_of_a_call(void **state) {
    queue_rig rig = rig_new();
    fb_store_job jobs[] = {keyed("a"), keyed("b"), keyed("a")};

    rig.policy.jobs_max = 2;
    (void)rig_enqueue(&rig, 5);
    rig.request.jobs = jobs;
    rig.request.item_count = 3;
    rig.request.mark = FB_STR("mark");
    rig.request.mark_value = 1;
    assert_int_equal(rig_step(&rig, FB_STORE_ENQUEUE), FB_STORE_FULL);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_READY], 1);
    rig.request.mark = FB_STR("mark");
    assert_int_equal(rig_step(&rig, FB_STORE_MARK_GET), FB_STORE_MISS);
    // What is refused anyhow takes no room, and neither does what is dead.
    fb_store_job twice[] = {keyed("a"), keyed("a")};
    rig.request.jobs = twice;
    rig.request.item_count = 2;
    assert_int_equal(rig_step(&rig, FB_STORE_ENQUEUE), FB_STORE_DONE);
    assert_result(rig.reply.results[1], FB_REFUSED);
    fb_job_claim claim = rig_claim(&rig);
    rig.request.permanent = true;
    assert_ok(rig_say(&rig, FB_STORE_FAIL, claim));
    assert_true(rig_enqueue(&rig, 5) > 0);
    // Numbers of what was not taken are given to others.
    assert_int_equal(rig_get(&rig, 3 * 64).state, FB_JOB_READY);
    rig_free(&rig);
}

static void test_machine__a_mark_lets_a_job_be_made_once(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    for (int i = 0; i < 3; i++) {
        rig.request.jobs = &job;
        rig.request.item_count = 1;
        rig.request.mark = FB_STR("nightly");
        rig.request.mark_value = i < 2 ? 1000 : 2000;
        assert_int_equal(rig_step(&rig, FB_STORE_ENQUEUE), FB_STORE_DONE);
        assert_int_equal(rig.reply.value, i == 1 ? 0 : 1);
        assert_int_equal(rig.reply.results != NULL, i != 1);
    }
    assert_int_equal(rig_look(&rig).counts[FB_JOB_READY], 2);
    rig.request.mark = FB_STR("nightly");
    assert_int_equal(rig_step(&rig, FB_STORE_MARK_GET), FB_STORE_DONE);
    assert_int_equal(rig.reply.value, 2000);
    rig_free(&rig);
}

static void test_machine__a_time_that_is_over_is_now(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    job.job.due_ms = rig.now_ms - 50;
    uint64_t number = rig_enqueue_job(&rig, job);
    assert_int_equal(rig_get(&rig, number).due_ms, rig.now_ms);
    job.job.due_ms = rig.now_ms + 50;
    number = rig_enqueue_job(&rig, job);
    assert_int_equal(rig_state(&rig, number), FB_JOB_SCHEDULED);
    assert_int_equal(rig_get(&rig, number).due_ms, rig.now_ms + 50);
    rig_free(&rig);
}

// ---- 9: LIST, PURGE

static void test_machine__a_list_goes_on_after_a_number(void **state) {
    queue_rig rig = rig_new();
    uint64_t numbers[10];

    for (size_t i = 0; i < 10; i++) {
        numbers[i] = rig_enqueue(&rig, i % 2 == 0 ? 0 : 9);
    }
    (void)rig_reserve(&rig, 2);
    uint64_t token = rig.reply.jobs[0].token;
    rig.request.state = FB_JOB_READY;
    rig.request.after = numbers[3];
    rig.request.count = 3;
    (void)rig_step(&rig, FB_STORE_LIST);
    assert_int_equal(rig.reply.job_count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rig.reply.jobs[i].number, numbers[4 + i]);
    }
    rig.request.state = FB_JOB_LEASED;
    rig.request.count = 3;
    (void)rig_step(&rig, FB_STORE_LIST);
    assert_int_equal(rig.reply.job_count, 2);
    assert_int_equal(rig.reply.jobs[0].token, 0);
    // For moving them, with their tokens.
    rig.request.state = -1;
    rig.request.flag = true;
    rig.request.count = 100;
    (void)rig_step(&rig, FB_STORE_LIST);
    assert_int_equal(rig.reply.job_count, 10);
    assert_int_equal(rig.reply.jobs[0].token, token);
    rig_free(&rig);
}

static void test_machine__a_purge_removes_the_next_ones(void **state) {
    queue_rig rig = rig_new();
    uint64_t low = rig_enqueue(&rig, 9), high = rig_enqueue(&rig, 0), last = rig_enqueue(&rig, 9);

    rig.request.state = FB_JOB_READY;
    rig.request.count = 2;
    (void)rig_step(&rig, FB_STORE_PURGE);
    assert_int_equal(rig.reply.value, 2);
    assert_false(rig_is_there(&rig, low));
    assert_false(rig_is_there(&rig, high));
    fb_job_claim claim = rig_claim(&rig);
    assert_int_equal(claim.number, last);
    rig.request.state = FB_JOB_LEASED;
    rig.request.count = 2;
    (void)rig_step(&rig, FB_STORE_PURGE);
    assert_int_equal(rig.reply.value, 1);
    assert_result(rig_say(&rig, FB_STORE_ACK, claim), FB_LOST);
    rig_free(&rig);
}

// ---- 10: LOOK

static void test_machine__figures_say_who_waits_longest(void **state) {
    queue_rig rig = rig_new();

    assert_int_equal(rig_look(&rig).oldest_ms, 0);
    assert_int_equal(rig_look(&rig).next_ms, INT64_MAX);
    (void)rig_enqueue(&rig, 9);
    rig.now_ms += 500;
    (void)rig_enqueue(&rig, 0);
    fb_queue_look look = rig_look(&rig);
    assert_int_equal(look.oldest_ms, 500);
    assert_int_equal(look.ready[0], 1);
    assert_int_equal(look.ready[9], 1);
    assert_int_equal(look.counts[FB_JOB_READY], 2);
    (void)rig_reserve(&rig, 2);
    assert_int_equal(rig_look(&rig).oldest_ms, 0);
    assert_int_equal(rig_look(&rig).counts[FB_JOB_LEASED], 2);
    rig_free(&rig);
}

// ---- 12: IMPORT

static void test_machine__what_moves_here_is_as_it_was_there(void **state) {
    queue_rig from = rig_new(), to = rig_new();
    fb_store_job moved[4];

    fb_store_job job = keyed("a");
    job.delay_ms = 9000;
    (void)rig_enqueue_job(&from, job);
    (void)rig_enqueue_later(&from, 3, 5000);
    (void)die(&from);
    (void)rig_enqueue(&from, 5);
    (void)rig_claim(&from);
    (void)rig_enqueue(&to, 1);
    uint64_t taken = rig_enqueue_job(&to, keyed("a"));
    from.request = (fb_store_request){.state = -1, .flag = true, .count = 100};
    (void)rig_step(&from, FB_STORE_LIST);
    assert_int_equal(from.reply.job_count, 4);
    for (size_t i = 0; i < 4; i++) {
        moved[i] = (fb_store_job){.job = from.reply.jobs[i]};
    }
    fb_job_claim claim = {0, 0};
    for (size_t i = 0; i < 4; i++) {
        if (moved[i].job.state == FB_JOB_LEASED) {
            claim = (fb_job_claim){moved[i].job.number, moved[i].job.token};
        }
    }
    // In two parts, the second of which is repeated, as after a crash.
    for (size_t part = 0; part < 3; part++) {
        to.request = (fb_store_request){.jobs = part == 0 ? moved : moved + 2, .item_count = 2,
                                        .mark = FB_STR("move")};
        (void)rig_step(&to, FB_STORE_IMPORT);
        assert_int_equal(to.reply.value, part < 2 ? 2 : 0);
    }
    // The numbers 64 and 128 were taken: what was moved is there now. Its key was still another's.
    assert_int_equal(taken, 128);
    assert_int_equal(rig_get(&to, 64).priority, 5);
    assert_str(rig_get(&to, 64).unique, "");
    for (size_t i = 0; i < 4; i++) {
        fb_job there = moved[i].job, here = rig_get(&to, there.number);
        assert_int_equal(here.state, there.state);
        assert_int_equal(here.due_ms, there.due_ms);
        assert_int_equal(here.attempt, there.attempt);
        assert_int_equal(here.died_ms, there.died_ms);
        assert_int_equal(here.until_ms, there.until_ms);
        assert_int_equal(here.end, there.end);
    }
    assert_ok(rig_say(&to, FB_STORE_ACK, claim));
    assert_true(rig_enqueue(&to, 5) > 4 * 64);
    rig_free(&from);
    rig_free(&to);
}

static void test_machine__of_one_number_twice_the_last_one_counts(void **state) {
    queue_rig rig = rig_new();
    fb_store_job jobs[3] = {keyed("a"), keyed("a"), keyed("a")};

    for (size_t i = 0; i < 3; i++) {
        jobs[i].job.number = 64;
        jobs[i].job.state = FB_JOB_READY;
        jobs[i].job.priority = (uint8_t)i;
    }
    rig.request = (fb_store_request){.jobs = jobs, .item_count = 3};
    (void)rig_step(&rig, FB_STORE_IMPORT);
    assert_int_equal(rig.reply.value, 3);
    fb_machine_undo(rig.machine);
    assert_int_equal(fb_machine_jobs(rig.machine), 0);
    for (size_t i = 0; i < 2; i++) {
        rig.request = (fb_store_request){.jobs = jobs, .item_count = 3};
        (void)rig_step(&rig, FB_STORE_IMPORT);
        rig_keep(&rig);
    }
    assert_int_equal(fb_machine_jobs(rig.machine), 1);
    assert_int_equal(rig_get(&rig, 64).priority, 2);
    assert_str(rig_get(&rig, 64).unique, "a");
    rig_free(&rig);
}

// ---- 13: marks

static size_t changes_of(queue_rig *rig, fb_change_kind kind) {
    size_t place = 0, count = 0;
    const fb_change *change;

    while ((change = fb_machine_change(rig->machine, &place)) != NULL) {
        count += change->kind == kind;
    }
    return count;
}

static const fb_queue_policy *no_policy(void *arg, fb_str queue) {
    return NULL;
}

static void test_machine__a_mark_is_there_for_its_time(void **state) {
    queue_rig rig = rig_new();

    rig.request = (fb_store_request){.mark = FB_STR("m"), .mark_value = 5, .life_ms = 100};
    (void)rig_step(&rig, FB_STORE_MARK_SET);
    rig.now_ms += 99;
    rig.request.mark = FB_STR("m");
    assert_int_equal(rig_step(&rig, FB_STORE_MARK_GET), FB_STORE_DONE);
    assert_int_equal(rig.reply.value, 5);
    rig.now_ms += 1;
    rig.request.mark = FB_STR("m");
    assert_int_equal(rig_step(&rig, FB_STORE_MARK_GET), FB_STORE_MISS);
    // The sweep tells that it goes, and gives its memory back.
    rig_keep(&rig);
    uint64_t bytes = fb_machine_bytes(rig.machine);
    int64_t next_ms;
    assert_ok(fb_machine_sweep(rig.machine, no_policy, NULL, rig.now_ms, 10, &next_ms));
    assert_int_equal(next_ms, INT64_MAX);
    assert_int_equal(changes_of(&rig, FB_CHANGE_MARK_GONE), 1);
    rig_keep(&rig);
    assert_true(fb_machine_bytes(rig.machine) < bytes);
    rig_free(&rig);
}

static void test_machine__marks_are_listed_by_the_beginning_of_their_names(void **state) {
    queue_rig rig = rig_new();
    static const char *const names[] = {"z", "a:2", "a:1", "a:10", "b", "a:"};

    for (size_t i = 0; i < 6; i++) {
        rig.request = (fb_store_request){.mark = fb_str_of(names[i]), .mark_value = (int64_t)i};
        (void)rig_step(&rig, FB_STORE_MARK_SET);
    }
    rig.request = (fb_store_request){.mark = FB_STR("a:"), .count = 3};
    (void)rig_step(&rig, FB_STORE_MARK_LIST);
    assert_int_equal(rig.reply.mark_count, 3);
    assert_str(rig.reply.marks[0].name, "a:");
    assert_str(rig.reply.marks[1].name, "a:1");
    assert_str(rig.reply.marks[2].name, "a:10");
    assert_int_equal(rig.reply.marks[2].value, 3);
    rig.request = (fb_store_request){.mark = FB_STR("a:"), .after_mark = FB_STR("a:10"),
                                     .count = 3};
    (void)rig_step(&rig, FB_STORE_MARK_LIST);
    assert_int_equal(rig.reply.mark_count, 1);
    rig.request.mark = FB_STR("a:1");
    (void)rig_step(&rig, FB_STORE_MARK_DROP);
    assert_int_equal(rig.reply.value, 1);
    rig.request.mark = FB_STR("a:1");
    (void)rig_step(&rig, FB_STORE_MARK_DROP);
    assert_int_equal(rig.reply.value, 0);
    rig_free(&rig);
}

// ---- what is told of changes

static void test_machine__a_job_is_told_once_however_often_it_changed(void **state) {
    queue_rig rig = rig_new();
    fb_store_job job = rig_job(5);

    job.job.payload = FB_STR("payload");
    (void)rig_enqueue_job(&rig, job);
    fb_job_claim claim = rig_claim(&rig);
    // What is not on disk yet brings its payload itself.
    assert_str(rig.reply.jobs[0].payload, "payload");
    assert_ok(rig_say(&rig, FB_STORE_EXTEND, claim));
    assert_int_equal(changes_of(&rig, FB_CHANGE_NEW), 1);
    assert_int_equal(changes_of(&rig, FB_CHANGE_JOB), 0);
    assert_int_equal(changes_of(&rig, FB_CHANGE_QUEUE), 1);
    rig_keep(&rig);
    assert_int_equal(changes_of(&rig, FB_CHANGE_NEW), 0);
    assert_null(rig_get(&rig, claim.number).payload.ptr);
    assert_ok(rig_say(&rig, FB_STORE_RELEASE, claim));
    claim = rig_claim(&rig);
    assert_int_equal(changes_of(&rig, FB_CHANGE_JOB), 1);
    assert_ok(rig_say(&rig, FB_STORE_ACK, claim));
    assert_int_equal(changes_of(&rig, FB_CHANGE_JOB), 0);
    assert_int_equal(changes_of(&rig, FB_CHANGE_GONE), 1);
    rig_keep(&rig);
    // What came and went between two writes is not told.
    (void)rig_enqueue(&rig, 5);
    assert_ok(rig_say(&rig, FB_STORE_ACK, rig_claim(&rig)));
    assert_int_equal(changes_of(&rig, FB_CHANGE_NEW), 0);
    assert_int_equal(changes_of(&rig, FB_CHANGE_GONE), 0);
    assert_int_equal(changes_of(&rig, FB_CHANGE_QUEUE), 1);
    fb_machine_undo(rig.machine);
    assert_int_equal(fb_machine_jobs(rig.machine), 0);
    rig_free(&rig);
}

static void test_machine__replies_are_good_until_they_are_kept(void **state) {
    queue_rig rig = rig_new();

    (void)rig_enqueue(&rig, 5);
    assert_int_equal(rig_reserve(&rig, 1), 1);
    fb_store_reply first = rig.reply;
    fb_job_claim claim = {first.jobs[0].number, first.jobs[0].token};
    for (int i = 0; i < 100; i++) {
        (void)rig_enqueue(&rig, 5);
    }
    assert_ok(rig_say(&rig, FB_STORE_ACK, claim));
    assert_str(first.jobs[0].kind, "kind");
    assert_int_equal(first.jobs[0].attempt, 1);
    rig_free(&rig);
}

static void test_machine__what_cannot_be_is_not_loaded(void **state) {
    queue_rig rig = rig_new();
    fb_job job = {.queue = FB_STR("q"), .number = 64, .state = FB_JOB_READY, .attempts = 3};

    assert_ok(fb_machine_load(rig.machine, &job, 1));
    assert_result(fb_machine_load(rig.machine, &job, 1), FB_EINVAL);
    job.number = 0;
    assert_result(fb_machine_load(rig.machine, &job, 1), FB_EINVAL);
    job.number = 128;
    job.priority = 10;
    assert_result(fb_machine_load(rig.machine, &job, 1), FB_EINVAL);
    job.priority = 9;
    job.state = (fb_job_state)7;
    assert_result(fb_machine_load(rig.machine, &job, 1), FB_EINVAL);
    job.state = FB_JOB_DEAD;
    assert_result(fb_machine_load(rig.machine, &job, 1), FB_EINVAL);
    job.end = FB_JOB_END_EXPIRED;
    assert_ok(fb_machine_load(rig.machine, &job, 1));
    fb_store_mark mark = {.value = 1};
    assert_result(fb_machine_load_mark(rig.machine, FB_STR("q"), &mark, 0), FB_EINVAL);
    assert_result(fb_machine_load_queue(rig.machine, FB_STR("q"), true, UINT64_C(1) << 53),
                  FB_EINVAL);
    assert_ok(fb_machine_load_queue(rig.machine, FB_STR("q"), true, 640));
    assert_int_equal(rig_enqueue(&rig, 5), 704);
    assert_true(rig_look(&rig).paused);
    rig_free(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine__jobs_come_in_the_order_they_were_enqueued_in),
        cmocka_unit_test(test_machine__a_claimed_job_is_leased),
        cmocka_unit_test(test_machine__a_reserve_may_ask_for_another_lease),
        cmocka_unit_test(test_machine__what_a_worker_abandons_is_first_in_line),
        cmocka_unit_test(test_machine__a_job_that_kills_its_workers_is_dead_after_its_attempts),
        cmocka_unit_test(test_machine__a_step_takes_back_a_thousand_leases),
        cmocka_unit_test(test_machine__what_is_due_is_last_in_line_in_the_order_of_its_time),
        cmocka_unit_test(test_machine__an_expired_job_is_not_begun),
        cmocka_unit_test(test_machine__a_step_throws_out_a_thousand_expired_jobs),
        cmocka_unit_test(test_machine__a_paused_queue_gives_nothing_but_goes_on),
        cmocka_unit_test(test_machine__of_nine_claims_one_goes_to_what_was_passed_over),
        cmocka_unit_test(test_machine__of_several_that_waited_the_most_urgent_is_next),
        cmocka_unit_test(test_machine__a_level_that_was_empty_waits_anew),
        cmocka_unit_test(test_machine__a_failed_job_comes_again_after_a_growing_delay),
        cmocka_unit_test(test_machine__a_back_off_is_never_longer_than_its_most),
        cmocka_unit_test(test_machine__a_delay_that_is_said_is_the_delay),
        cmocka_unit_test(test_machine__a_failure_for_good_is_the_end),
        cmocka_unit_test(test_machine__only_the_token_of_the_lease_counts),
        cmocka_unit_test(test_machine__a_lease_that_is_over_is_good_while_nobody_has_the_job),
        cmocka_unit_test(test_machine__an_ack_may_reserve_in_the_same_step),
        cmocka_unit_test(test_machine__what_is_handed_back_stands_first_and_has_lost_no_attempt),
        cmocka_unit_test(test_machine__a_lease_is_extended_and_says_how_far_it_is),
        cmocka_unit_test(test_machine__a_unique_key_has_one_job_that_lives),
        cmocka_unit_test(test_machine__a_kicked_job_is_ready_with_new_attempts),
        cmocka_unit_test(test_machine__a_kick_without_numbers_begins_with_the_oldest),
        cmocka_unit_test(test_machine__dead_jobs_are_kept_for_a_time),
        cmocka_unit_test(test_machine__so_many_dead_jobs_are_kept_the_latest),
        cmocka_unit_test(test_machine__no_dead_jobs_are_kept_where_there_is_no_time_for_them),
        cmocka_unit_test(test_machine__a_step_removes_a_hundred_dead_jobs),
        cmocka_unit_test(test_machine__a_full_queue_takes_none_of_a_call),
        cmocka_unit_test(test_machine__a_mark_lets_a_job_be_made_once),
        cmocka_unit_test(test_machine__a_time_that_is_over_is_now),
        cmocka_unit_test(test_machine__a_list_goes_on_after_a_number),
        cmocka_unit_test(test_machine__a_purge_removes_the_next_ones),
        cmocka_unit_test(test_machine__figures_say_who_waits_longest),
        cmocka_unit_test(test_machine__what_moves_here_is_as_it_was_there),
        cmocka_unit_test(test_machine__of_one_number_twice_the_last_one_counts),
        cmocka_unit_test(test_machine__a_mark_is_there_for_its_time),
        cmocka_unit_test(test_machine__marks_are_listed_by_the_beginning_of_their_names),
        cmocka_unit_test(test_machine__a_job_is_told_once_however_often_it_changed),
        cmocka_unit_test(test_machine__replies_are_good_until_they_are_kept),
        cmocka_unit_test(test_machine__what_cannot_be_is_not_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
