// Queues over a Cluster and behind Sentinel: partitions lie at several masters and are one queue;
// what one master has is away alone; after a fail-over jobs go on.

#include "queue_redis_rig.h"

static test_cluster *cluster;

static const fb_queue_policy PARTED = {.retry_delay_ms = 10,
                                       .retry_max_ms = 100,
                                       .dead_keep_ms = 1000000,
                                       .dead_max = 100,
                                       .partitions = 12};

static int start(void **state) {
    (void)state;
    cluster = test_cluster_new("appendonly yes\ncluster-require-full-coverage no");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_cluster_free(cluster);
    return 0;
}

static int setup(void **state) {
    limits_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        (void)test_redis_ask(cluster->servers[i], "FLUSHALL");
    }
    limits_open_at(rig, cluster->servers[0], 2);
    *state = rig;
    return 0;
}

static int teardown(void **state) {
    limits_rig *rig = *state;
    limits_close(rig);
    free(rig);
    return 0;
}

static unsigned slot_of(uint32_t partition) {
    char name[64];
    int len = snprintf(name, sizeof name, "forebay:{q:work:%u}:", partition);
    return fb_slot_of(fb_str_make(name, (size_t)len));
}

static void test_queue_cluster__partitions_lie_at_all_masters(void **state) {
    limits_rig *rig = *state;
    static bool seen[FB_JOB_BATCH_MAX];
    fb_job_claim claims[120];
    size_t count = 0;

    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < 120; i++) {
        char key[16];
        fb_store_job spec = queue_spec("over there");
        snprintf(key, sizeof key, "u%zu", i);
        spec.job.unique = i % 2 == 0 ? fb_str_of(key) : FB_STR("");
        const fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1,
                                      .policy = &PARTED};
        QUEUE_IS(queue_ask(rig, i % 2, &put), FB_STORE_DONE);
    }
    for (size_t i = 0; i < TEST_CLUSTER_MASTERS; i++) {
        assert_true(atol(test_redis_ask(cluster->servers[i], "DBSIZE")) > 3);
    }
    for (uint64_t token = 1; count < 120; token += 50) {
        const fb_store_request reserve = {.verb = FB_STORE_RESERVE, .policy = &PARTED, .count = 50,
                                          .token = token};
        const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, token % 2, &reserve), FB_STORE_DONE);
        assert_true(reply->job_count > 0);
        for (size_t i = 0; i < reply->job_count; i++) {
            const fb_job *job = &reply->jobs[i];
            assert_true(job->number % 64 < 12 && job->number / 64 < 80);
            size_t index = job->number / 64 * 12 + job->number % 64;
            assert_true(index < FB_JOB_BATCH_MAX && !seen[index]);
            seen[index] = true;
            claims[count++] = (fb_job_claim){job->number, job->token};
        }
    }
    const fb_store_request ack = {.verb = FB_STORE_ACK, .policy = &PARTED, .claims = claims,
                                  .item_count = 120};
    const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &ack), FB_STORE_DONE);
    for (size_t i = 0; i < 120; i++) {
        assert_int_equal(reply->results[i], FB_OK);
    }
}

// A queue of one partition, of which nobody knows yet that it is away, may take its time to say so.
static void await_eio(limits_rig *rig, fb_str queue) {
    static queue_answer answer;
    const fb_store_request look = {.verb = FB_STORE_LOOK, .queue = queue, .timeout_ns = 50 * MS};
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    int result;

    while ((result = queue_send(rig, 0, &look, &answer)) == FB_OK) {
        assert_true(test_redis_now_ms() < end_ms);
        LIMITS_UNTIL(rig, answer.replies > 0);
        assert_true(answer.reply.result >= FB_STORE_FAILED);
        queue_forget(&answer);
    }
    assert_result(result, FB_EIO);
}

static void test_queue_cluster__one_that_is_away_is_away_alone(void **state) {
    limits_rig *rig = *state;
    static queue_answer answer;
    size_t gone = 1;  // not the one that the link hangs on, which is anyone's
    uint32_t there_count = 0, away = UINT32_MAX;
    char name[16];
    fb_str queue = {0};

    for (uint32_t i = 0; i < 12; i++) {
        bool is_away = test_cluster_owner(cluster, slot_of(i)) == cluster->servers[gone];
        if (is_away) {
            away = i;
        } else {
            there_count++;
        }
    }
    assert_true(there_count > 0 && away != UINT32_MAX);
    for (unsigned i = 0; queue.len == 0; i++) {
        char key[64];
        snprintf(name, sizeof name, "q%u", i);
        int len = snprintf(key, sizeof key, "forebay:{q:%s:0}:", name);
        if (test_cluster_owner(cluster, fb_slot_of(fb_str_make(key, (size_t)len))) ==
            cluster->servers[gone]) {
            queue = fb_str_of(name);
        }
    }
    test_redis_kill(cluster->servers[gone + TEST_CLUSTER_MASTERS]);  // its replica: nobody follows
    test_redis_kill(cluster->servers[gone]);
    await_eio(rig, queue);
    // Jobs go to the other partitions, and come from there.
    for (size_t i = 0; i < 24; i++) {
        fb_store_job spec = queue_spec("x");
        const fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1,
                                      .policy = &PARTED};
        const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &put), FB_STORE_DONE);
        assert_true(test_cluster_owner(cluster, slot_of((uint32_t)(reply->numbers[0] % 64))) !=
                    NULL);
    }
    const fb_store_request reserve = {.verb = FB_STORE_RESERVE, .policy = &PARTED, .count = 24,
                                      .token = 1};
    const fb_store_reply *reply = QUEUE_IS(queue_ask(rig, 0, &reserve), FB_STORE_DONE);
    assert_int_equal(reply->job_count, 24);
    // Each claim has its own result: what is away was not done.
    const fb_job_claim claims[] = {{reply->jobs[0].number, reply->jobs[0].token},
                                   {64 + away, 9}};
    const fb_store_request ack = {.verb = FB_STORE_ACK, .policy = &PARTED, .claims = claims,
                                  .item_count = 2};
    reply = QUEUE_IS(queue_ask(rig, 0, &ack), FB_STORE_DONE);
    assert_int_equal(reply->results[0], FB_OK);
    assert_int_equal(reply->results[1], FB_EIO);
    // What tells of all cannot.
    const fb_store_request look = {.verb = FB_STORE_LOOK, .policy = &PARTED};
    assert_ok(queue_send(rig, 0, &look, &answer));
    LIMITS_UNTIL(rig, answer.replies > 0);
    QUEUE_IS(&answer.reply, FB_STORE_FAILED);
    queue_forget(&answer);
    test_redis_start(cluster->servers[gone]);
    test_redis_start(cluster->servers[gone + TEST_CLUSTER_MASTERS]);
    test_cluster_await_whole(cluster);
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    while (queue_ask(rig, 0, &look)->result != FB_STORE_DONE) {
        assert_true(test_redis_now_ms() < end_ms);
        limits_turn(rig, 20);
    }
}

// ---- behind Sentinel

static void await_done(limits_rig *rig, const fb_store_request *request) {
    static queue_answer answer;
    int64_t end_ms = test_redis_now_ms() + LIMITS_PATIENCE_MS;
    fb_store_request timed = *request;
    bool done = false;

    timed.timeout_ns = 1000 * MS;
    while (!done) {
        assert_true(test_redis_now_ms() < end_ms);
        int result = queue_send(rig, 0, &timed, &answer);
        if (result == FB_OK) {
            LIMITS_UNTIL(rig, answer.replies > 0);
            done = answer.reply.result == FB_STORE_DONE;
        } else {
            assert_result(result, FB_EIO);
        }
        queue_forget(&answer);
        limits_turn(rig, 20);
    }
}

static void test_queue_sentinel__jobs_go_on_after_a_fail_over(void **state) {
    (void)state;
    test_sentinels *group = test_sentinels_new(1);
    limits_rig rig;
    char url[128];
    fb_store_job spec = queue_spec("kept");
    const fb_store_request put = {.verb = FB_STORE_ENQUEUE, .jobs = &spec, .item_count = 1};

    for (size_t i = 0; i < group->server_count; i++) {
        (void)test_redis_ask(group->servers[i], "CONFIG SET appendonly yes");
    }
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/mymaster",
             group->sentinels[0]->port, group->sentinels[1]->port);
    limits_open(&rig, url, "forebay", 1);
    limits_await_up(&rig);
    await_done(&rig, &put);
    assert_true(atol(test_redis_ask(group->servers[0], "WAIT 1 60000")) >= 0);
    test_redis_await(group->servers[1], "EXISTS forebay:{q:work:0}:q", "1");
    test_sentinels_elect(group, true);
    test_redis_kill(group->servers[0]);
    await_done(&rig, &put);
    assert_int_equal(queue_reserve(&rig, 10, 1, 0)->job_count >= 2, true);
    limits_close(&rig);
    test_sentinels_free(group);
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(test_queue_cluster__##name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CLAIM(partitions_lie_at_all_masters),
        CLAIM(one_that_is_away_is_away_alone),
        cmocka_unit_test(test_queue_sentinel__jobs_go_on_after_a_fail_over),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
