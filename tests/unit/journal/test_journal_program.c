// Random programs of all verbs (queue_program.h), and the answers of the model: over a journal,
// over one that is closed and opened on the way, and over one whose disk fails now and then, where
// a request that was not done is asked again, and has to be answered as if nothing had happened.

#include "journal_rig.h"

#include "journal_disk.h"
#include "queue_program.h"

typedef struct fixture {
    rig rig;
    test_disk disk;
    fb_queue_port flaky;         // over the journal's
    const fb_store_request *request;
    fb_store_reply_fn fn;
    void *arg;
    fb_rng rng;
    int again;
} fixture;

static void quiet(void *arg, fb_log_level level, const char *event, const char *fields) {
}

static int setup(void **state) {
    fixture *own = calloc(1, sizeof *own);
    rig_init(&own->rig);
    disk_init(&own->disk);
    own->rig.options.power = false;
    own->rng = test_rng();
    *state = own;
    return 0;
}

static int teardown(void **state) {
    fixture *own = *state;
    rig_release(&own->rig);
    disk_release(&own->disk);
    free(own);
    return 0;
}

static void run_over(fb_queue_port *port, uint64_t seed, size_t steps) {
    char why[QUEUE_WHY_SIZE];
    queue_run run = {.port = port, .seed = seed, .steps = steps, .payloads = true};
    if (!queue_program_run(&run, why)) {
        fail_msg("%s", why);
    }
}

static void test_journal_program__answers_as_the_model_does(void **state) {
    fixture *own = *state;
    for (uint64_t i = 0; i < 3; i++) {
        rig_open(&own->rig);
        run_over(fb_journal_port(own->rig.journal), test_seed() + i, 1500);
        rig_release(&own->rig);
        rig_init(&own->rig);
        own->rig.options.power = false;
    }
}

// Only ageing is forgotten.
static void forget_ageing(model *m) {
    for (size_t i = 0; i < MODEL_QUEUES; i++) {
        memset(m->queues[i].passed, 0, sizeof m->queues[i].passed);
    }
}

static void test_journal_program__is_not_disturbed_by_closing(void **state) {
    fixture *own = *state;
    char why[QUEUE_WHY_SIZE] = "";
    queue_program *p = malloc(sizeof *p);
    model *m = calloc(1, sizeof *m);
    model_reply *wanted = calloc(1, sizeof *wanted);
    queue_run run = {.payloads = true};
    queue_program_init(p, test_seed() + 7);
    (void)pthread_mutex_init(&run.lock, NULL);
    (void)pthread_cond_init(&run.answered, NULL);
    run.match.why = why;
    rig_open(&own->rig);
    for (int step = 0; step < 1500; step++) {
        run.port = fb_journal_port(own->rig.journal);
        if (!queue_run_step(&run, p, m, wanted)) {
            fail_msg("%s (step %d)", why, step);
        }
        if (fb_rng_below(&own->rng, 30) == 0) {
            rig_close(&own->rig);
            rig_open(&own->rig);
            forget_ageing(m);
        }
    }
    (void)pthread_cond_destroy(&run.answered);
    (void)pthread_mutex_destroy(&run.lock);
    free(wanted);
    free(m);
    free(p);
}

// ---- a disk that fails

static void flaky_reply(void *arg, const fb_store_reply *reply) {
    fixture *own = arg;
    fb_queue_port *port = fb_journal_port(own->rig.journal);
    if (reply->result == FB_STORE_FAILED || reply->result == FB_STORE_UNKNOWN) {
        own->again++;
        assert_ok(port->send(port, own->request, flaky_reply, own));
        return;
    }
    own->fn(own->arg, reply);
}

static int flaky_send(fb_queue_port *port, const fb_store_request *request, fb_store_reply_fn fn,
                      void *arg) {
    fixture *own = (fixture *)((char *)port - offsetof(fixture, flaky));
    fb_queue_port *below = fb_journal_port(own->rig.journal);
    own->request = request;
    own->fn = fn;
    own->arg = arg;
    if (fb_rng_below(&own->rng, 5) == 0) {
        pthread_mutex_lock(&own->disk.lock);
        own->disk.fail_count = 1 + (long)fb_rng_below(&own->rng, 6);
        own->disk.fail_write = own->disk.writes + 1 + (long)fb_rng_below(&own->rng, 8);
        own->disk.fail_sync = fb_rng_below(&own->rng, 2) == 0 ? own->disk.syncs + 1 : 0;
        pthread_mutex_unlock(&own->disk.lock);
    }
    return below->send(below, request, flaky_reply, own);
}

static void test_journal_program__failures_leave_no_trace(void **state) {
    fixture *own = *state;
    own->rig.options.vfs = "test-disk";
    own->rig.options.power = true;
    rig_open(&own->rig);
    own->flaky = (fb_queue_port){.name = "flaky", .send = flaky_send};
    run_over(&own->flaky, test_seed() + 3, 2500);
    assert_true(own->again > 20);
}

int main(void) {
    static const fb_hooks hooks = {.log = quiet};
    fb_hooks_set(&hooks);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal_program__answers_as_the_model_does, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal_program__is_not_disturbed_by_closing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_journal_program__failures_leave_no_trace, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
