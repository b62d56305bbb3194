// Each allocation fails in turn, on whatever thread: a call says so, nothing is lost, and the next try
// succeeds.

#include "queues_rig.h"

// What a call gives: where it met the failure, once more, which must succeed. The store says that it
// could not do it, not why.
#define again(met, call)                                                          \
    do {                                                                          \
        int first = (call);                                                       \
        if ((first == FB_ENOMEM || first == FB_EIO) && !*met) {                   \
            *met = true;                                                          \
            first = (call);                                                       \
        }                                                                         \
        if (first < 0) {                                                          \
            return first;                                                         \
        }                                                                         \
    } while (0)

static queues_answer answer;

static int put(fb_engine *engine, fb_enqueued *job) {
    fb_job_spec spec = queues_spec("default", "payload");
    spec.kind = FB_STR("kind");
    spec.unique = FB_STR("once");
    // A claim that was not heard of is over soon; one that was may be, too, before it is acknowledged:
    // then the job waits for the next round.
    spec.lease_ms = 1;
    spec.attempts = 1000;
    return fb_queue_enqueue(engine, &spec, 1, job, NULL);
}

static int take(fb_engine *engine) {
    return queues_take(engine, "default", 1, 100000, &answer);
}

static int finish(fb_engine *engine, const fb_job *job) {
    queues_answer *kept = calloc(1, sizeof *kept);
    assert_non_null(kept);
    int result = queues_finish(engine, FB_QUEUE_ACK, "default", job, kept);
    free(kept);
    return result;
}

static int use(fb_engine *engine, bool *met) {
    fb_enqueued job;
    again(met, put(engine, &job));
    again(met, take(engine));
    if (answer.job_count != 1) {
        return FB_EINVAL;
    }
    fb_job taken = answer.jobs[0].job;
    again(met, finish(engine, &taken));
    return FB_OK;
}

typedef struct given {
    fb_config *config, *other;
    uint32_t turn;
} given;

static int scenario(void *arg) {
    given *all = arg;
    fb_engine *engine = NULL;
    fb_error error = {0};
    bool met = false;
    int result = fb_open(all->config, &engine, &error);
    if (result < 0) {
        assert_null(engine);
        return result == FB_EIO ? FB_ENOMEM : result;  // as the journal says it
    }
    result = use(engine, &met);
    if (result == FB_OK) {
        result = fb_reload(engine, all->turn++ % 2 == 0 ? all->other : all->config, NULL, NULL,
                           &error);
    }
    fb_close(engine, 1000);
    return met && result == FB_OK ? FB_ENOMEM : result;
}

static void ignore_event(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level, (void)event, (void)fields;
}

static int quiet(void **state) {
    static const fb_hooks hooks = {.log = ignore_event};
    (void)test_memory_get();
    fb_hooks_set(&hooks);
    // A thousand times a new file: where nobody waits for a disk, if there is such a place.
    (void)state;
    (void)snprintf(rig_folder, sizeof rig_folder, "/dev/shm/forebay-queues-XXXXXX");
    return mkdtemp(rig_folder) != NULL ? 0 : queues_up(state);
}

static void test_queue_faults__nothing_is_lost_without_memory(void **state) {
    (void)state;
    given all = {.config = rig_config(QUEUES_YAML),
                 .other = rig_config(QUEUES_YAML "queues: {other: {}}\n")};
    assert_ok(scenario(&all));  // what a thread and a process keep is there from now on
    size_t count = test_memory_sweep(scenario, &all);
    printf("%zu allocations\n", count);
    assert_true(count > 100);
    fb_config_free(all.config);
    fb_config_free(all.other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queue_faults__nothing_is_lost_without_memory, quiet,
                                        queues_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
