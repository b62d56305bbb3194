// Random programs of all verbs over a real server: every answer is the model's
// (tests/support/queue_program.h), which is also what the machine is compared with.

#include "queue_program.h"
#include "queue_redis_rig.h"

enum { RUNS = 6, STEPS = 1500 };

static void turn(void *arg) {
    limits_turn(arg, 20);
}

static void test_queue_programs__every_answer_is_the_models(void **state) {
    (void)state;
    test_redis *server = test_redis_new("appendonly yes");
    char why[QUEUE_WHY_SIZE];
    uint64_t seed = test_seed();

    for (size_t i = 0; i < RUNS; i++) {
        limits_rig rig;
        (void)test_redis_ask(server, "FLUSHALL");
        limits_open_at(&rig, server, 1);
        queue_run run = {.port = fb_remote_queue_port(rig.remote[0]), .seed = seed + i,
                         .steps = STEPS, .payloads = true, .about = true, .turn = turn,
                         .turn_arg = &rig};
        if (!queue_program_run(&run, why)) {
            fail_msg("%s", why);
        }
        limits_close(&rig);
    }
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_programs__every_answer_is_the_models),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
