// The machine against the model: random programs of all verbs, in groups that are kept or undone,
// with restarts from what was written, and with memory that ends.

#include "support.h"

#include "queue/machine.h"

// Few enough to be quick under a sanitizer.
#define QUEUE_MODEL_JOBS 120
#include "queue_disk.h"
#include "queue_program.h"

typedef struct rig {
    fb_machine *machine;
    model *m, *before;
    model_reply *wanted;
    queue_program *p;
    queue_disk *disk;
    char why[QUEUE_WHY_SIZE];
} rig;

static rig rig_new(uint64_t seed) {
    rig r = {.m = calloc(1, sizeof(model)),
             .before = calloc(1, sizeof(model)),
             .wanted = calloc(1, sizeof(model_reply)),
             .p = calloc(1, sizeof(queue_program)),
             .disk = calloc(1, sizeof(queue_disk))};

    assert_true(r.m != NULL && r.before != NULL && r.wanted != NULL && r.p != NULL &&
                r.disk != NULL);
    assert_ok(fb_machine_new(&r.machine));
    queue_program_init(r.p, seed);
    r.p->parts = true;
    r.disk->names = queue_program_names;
    return r;
}

static void rig_free(rig *r) {
    fb_machine_free(r->machine);
    free(r->m);
    free(r->before);
    free(r->wanted);
    free(r->p);
    free(r->disk);
}

static void compare(rig *r, const fb_store_request *request) {
    fb_store_reply got;

    model_step(r->m, request, r->p->now_ms, r->wanted);
    assert_ok(fb_machine_step(r->machine, request, r->p->now_ms, &got));
    queue_match match = {.request = request, .wanted = &r->wanted->reply, .got = &got,
                         .why = r->why};
    if (!queue_replies_match(&match)) {
        fail_msg("%s", r->why);
    }
    assert_int_equal(got.now_ms, r->p->now_ms);
}

static void step(rig *r) {
    compare(r, queue_program_next(r->p, r->m));
    fb_machine_check(r->machine);
}

// All that can be asked for.
static void compare_all(rig *r) {
    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        fb_store_request request = {.verb = FB_STORE_LIST, .queue = queue_program_names[i],
                                    .policy = &r->p->policies[i], .state = -1, .count = 1000,
                                    .flag = true};
        compare(r, &request);
        request.verb = FB_STORE_LOOK;
        compare(r, &request);
        request.verb = FB_STORE_MARK_LIST;
        compare(r, &request);
    }
}

static void model_forgets_turns(rig *r) {
    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        memset(r->m->queues[i].passed, 0, sizeof(r->m->queues[i].passed));
    }
}

static void restart(rig *r) {
    fb_machine_free(r->machine);
    r->machine = NULL;
    assert_ok(fb_machine_new(&r->machine));
    assert_ok(queue_disk_load(r->disk, &r->p->rng, r->machine));
    fb_machine_check(r->machine);
    model_forgets_turns(r);
}

static void payloads_are_on_disk(rig *r) {
    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        model_queue *q = model_queue_of(r->m, queue_program_names[i]);
        for (size_t k = 0; k < MODEL_JOBS; k++) {
            const model_job *j = &q->jobs[k];
            if (!j->there) {
                continue;
            }
            const queue_disk_row *row =
                queue_disk_find(r->disk, queue_program_names[i], j->job.number);
            assert_non_null(row);
            assert_bytes(fb_str_make(row->job.payload, row->job.payload_len),
                         fb_str_make(j->payload, j->payload_len));
        }
    }
    for (size_t i = 0; i < DISK_ROWS; i++) {
        const queue_disk_row *row = &r->disk->rows[i];
        assert_true(!row->job.there ||
                    model_find(model_queue_of(r->m, row->queue), row->job.job.number) != NULL);
    }
}

// Kept after each step: the program's payloads are good until the next one.
static void test_machine__answers_as_the_rules_say(void **state) {
    fb_rng seeds = test_rng();

    for (int program = 0; program < 15; program++) {
        rig r = rig_new(fb_rng_next(&seeds));
        for (int i = 0; i < 1500; i++) {
            step(&r);
            queue_disk_write(r.disk, r.machine);
        }
        compare_all(&r);
        payloads_are_on_disk(&r);
        rig_free(&r);
    }
}

static void test_machine__undo_brings_everything_back(void **state) {
    fb_rng seeds = test_rng();

    for (int program = 0; program < 10; program++) {
        rig r = rig_new(fb_rng_next(&seeds));
        for (int group = 0; group < 300; group++) {
            *r.before = *r.m;
            int64_t before_ms = r.p->now_ms;
            for (uint64_t i = fb_rng_below(&r.p->rng, 6); i > 0; i--) {
                step(&r);
            }
            if (fb_rng_below(&r.p->rng, 2) == 0) {
                fb_machine_undo(r.machine);
                *r.m = *r.before;
                r.p->now_ms = before_ms;
            } else {
                fb_machine_keep(r.machine);
            }
            fb_machine_check(r.machine);
            compare_all(&r);
        }
        rig_free(&r);
    }
}

static void test_machine__a_restart_goes_on_from_what_was_written(void **state) {
    fb_rng seeds = test_rng();

    for (int program = 0; program < 10; program++) {
        rig r = rig_new(fb_rng_next(&seeds));
        for (int group = 0; group < 300; group++) {
            *r.before = *r.m;
            for (uint64_t i = fb_rng_below(&r.p->rng, 6); i > 0; i--) {
                step(&r);
            }
            uint64_t fate = fb_rng_below(&r.p->rng, 8);
            if (fate == 0) {
                fb_machine_undo(r.machine);
                *r.m = *r.before;
            } else if (fate == 1) {
                // It crashed before it wrote.
                *r.m = *r.before;
                restart(&r);
            } else {
                queue_disk_write(r.disk, r.machine);
            }
            if (fate == 2) {
                restart(&r);
            }
            compare_all(&r);
        }
        rig_free(&r);
    }
}

// ---- the sweep

static void model_sweep(model_queue *q, const fb_queue_policy *policy, int64_t now_ms) {
    model_job *j;

    model_take_back(q, now_ms);
    while ((j = model_first(q, FB_JOB_SCHEDULED, now_ms)) != NULL) {
        model_ready(q, j, j->job.due_ms, false);
    }
    for (size_t i = 0; i < MODEL_JOBS; i++) {
        j = &q->jobs[i];
        if (j->there && (j->job.state == FB_JOB_READY || j->job.state == FB_JOB_SCHEDULED) &&
            j->job.expires_ms > 0 && j->job.expires_ms <= now_ms) {
            model_die(q, j, FB_JOB_END_EXPIRED, now_ms);
        }
    }
    size_t dead;
    do {
        dead = model_count(q, FB_JOB_DEAD);
        model_trim(q, policy, now_ms);
    } while (model_count(q, FB_JOB_DEAD) < dead);
}

static const fb_queue_policy *policy_of(void *arg, fb_str queue) {
    queue_program *p = arg;

    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        if (fb_str_equal(queue, queue_program_names[i])) {
            return &p->policies[i];
        }
    }
    return NULL;
}

static void test_machine__the_sweep_does_what_is_due(void **state) {
    fb_rng seeds = test_rng();

    for (int program = 0; program < 10; program++) {
        rig r = rig_new(fb_rng_next(&seeds));
        for (int group = 0; group < 300; group++) {
            for (uint64_t i = fb_rng_below(&r.p->rng, 6); i > 0; i--) {
                step(&r);
            }
            int64_t next_ms;
            assert_ok(fb_machine_sweep(r.machine, policy_of, r.p, r.p->now_ms, UINT32_MAX,
                                       &next_ms));
            assert_true(next_ms > r.p->now_ms);
            for (size_t i = 0; i < MODEL_QUEUES; i++) {
                model_sweep(model_queue_of(r.m, queue_program_names[i]), &r.p->policies[i],
                            r.p->now_ms);
            }
            fb_machine_check(r.machine);
            queue_disk_write(r.disk, r.machine);
            compare_all(&r);
        }
        rig_free(&r);
    }
}

// A sweep that may do little comes to the same end, by and by.
static void test_machine__a_short_sweep_says_that_there_is_more(void **state) {
    fb_rng seeds = test_rng();

    for (int program = 0; program < 5; program++) {
        rig r = rig_new(fb_rng_next(&seeds));
        for (int group = 0; group < 60; group++) {
            for (uint64_t i = fb_rng_below(&r.p->rng, 30); i > 0; i--) {
                step(&r);
            }
            int64_t next_ms;
            int rounds = 0;
            do {
                assert_ok(fb_machine_sweep(r.machine, policy_of, r.p, r.p->now_ms, 1, &next_ms));
                fb_machine_check(r.machine);
                fb_machine_keep(r.machine);
                assert_true(++rounds < 1000);
            } while (next_ms <= r.p->now_ms);
            for (size_t i = 0; i < MODEL_QUEUES; i++) {
                fb_store_reply got;
                fb_store_request look = {.verb = FB_STORE_LOOK, .queue = queue_program_names[i]};
                assert_ok(fb_machine_step(r.machine, &look, r.p->now_ms, &got));
                assert_true(got.look.next_ms > r.p->now_ms);
            }
            fb_machine_keep(r.machine);
            // Lines may differ from the model's now: start over from nothing.
            rig next = rig_new(fb_rng_next(&seeds));
            rig_free(&r);
            r = next;
        }
        rig_free(&r);
    }
}

// ---- memory

// The n-th allocation of a step fails: it says so, and the model, which did not do the step, and
// the machine go on as one. Then the step is done after all.
static void test_machine__a_step_without_memory_did_not_happen(void **state) {
    fb_rng seeds = test_rng();

    for (int program = 0; program < 3; program++) {
        rig r = rig_new(fb_rng_next(&seeds));
        for (int i = 0; i < 400; i++) {
            const fb_store_request *request = queue_program_next(r.p, r.m);
            fb_store_reply got;
            bool failed = true;
            for (size_t n = 1; failed; n++) {
                test_memory_fail(n);
                int result = fb_machine_step(r.machine, request, r.p->now_ms, &got);
                failed = test_memory_get()->failed;
                test_memory_fail(0);
                if (result == FB_OK && !failed) {
                    break;
                }
                assert_result(result, FB_ENOMEM);
                fb_machine_check(r.machine);
                compare_all(&r);
            }
            model_step(r.m, request, r.p->now_ms, r.wanted);
            queue_match match = {.request = request, .wanted = &r.wanted->reply, .got = &got,
                                 .why = r.why};
            if (!queue_replies_match(&match)) {
                fail_msg("%s", r.why);
            }
            if (i % 7 == 0) {
                queue_disk_write(r.disk, r.machine);
            } else {
                compare_all(&r);
            }
        }
        rig_free(&r);
    }
}

static void test_machine__a_sweep_without_memory_did_not_happen(void **state) {
    rig r = rig_new(test_seed());

    for (int i = 0; i < 200; i++) {
        step(&r);
        step(&r);
        int64_t next_ms;
        bool failed = true;
        *r.before = *r.m;
        for (size_t n = 1; failed; n++) {
            test_memory_fail(n);
            int result = fb_machine_sweep(r.machine, policy_of, r.p, r.p->now_ms, 100, &next_ms);
            failed = test_memory_get()->failed;
            test_memory_fail(0);
            assert_result(result, failed ? FB_ENOMEM : FB_OK);
            fb_machine_check(r.machine);
            if (failed) {
                compare_all(&r);
            }
        }
        for (size_t k = 0; k < MODEL_QUEUES; k++) {
            model_sweep(model_queue_of(r.m, queue_program_names[k]), &r.p->policies[k],
                        r.p->now_ms);
        }
        compare_all(&r);
        fb_machine_keep(r.machine);
    }
    rig_free(&r);
}

static int load_scenario(void *arg) {
    queue_disk *disk = arg;
    fb_machine *machine = NULL;
    fb_rng rng;

    fb_rng_init(&rng, 7);
    int result = fb_machine_new(&machine);
    if (result == FB_OK) {
        result = queue_disk_load(disk, &rng, machine);
        fb_machine_check(machine);
    }
    fb_machine_free(machine);
    return result;
}

static void test_machine__loading_gives_back_all_its_memory(void **state) {
    rig r = rig_new(test_seed());

    for (int i = 0; i < 150; i++) {
        step(&r);
        queue_disk_write(r.disk, r.machine);
    }
    assert_true(test_memory_sweep(load_scenario, r.disk) > 10);
    rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_machine__answers_as_the_rules_say),
        cmocka_unit_test(test_machine__undo_brings_everything_back),
        cmocka_unit_test(test_machine__a_restart_goes_on_from_what_was_written),
        cmocka_unit_test(test_machine__the_sweep_does_what_is_due),
        cmocka_unit_test(test_machine__a_short_sweep_says_that_there_is_more),
        cmocka_unit_test(test_machine__a_step_without_memory_did_not_happen),
        cmocka_unit_test(test_machine__a_sweep_without_memory_did_not_happen),
        cmocka_unit_test(test_machine__loading_gives_back_all_its_memory),
    };

    (void)test_memory_get();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
