// Queues of an engine, as a program sees them: calls, what is refused, who waits, figures.

#include "engine/queues_inside.h"
#include "os/clock.h"
#include "queues_rig.h"

#include <sys/stat.h>

static queues_answer answer;

static void test_queue_calls__a_job_goes_all_the_way(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {reports: {attempts: 2, retry_delay: 0}}\n");
    uint64_t number = queues_put(engine, "reports", "one");

    assert_ok(queues_take(engine, "reports", 10, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    const fb_job *job = &answer.jobs[0].job;
    assert_int_equal(job->number, number);
    assert_string_equal(answer.jobs[0].payload, "one");
    assert_string_equal(answer.jobs[0].queue, "reports");
    assert_int_equal(job->attempt, 1);
    assert_int_equal(job->attempts, 2);
    assert_int_equal(job->lease_ms, 300000);
    assert_int_equal(job->priority, 5);
    assert_true(job->token > 0);
    fb_job claimed = *job;
    assert_ok(queues_finish(engine, FB_QUEUE_FAIL, "reports", &claimed, &answer));
    assert_result(queues_finish(engine, FB_QUEUE_ACK, "reports", &claimed, &answer), FB_LOST);
    assert_ok(queues_take(engine, "reports", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_string_equal(answer.jobs[0].error, "went wrong");
    claimed = answer.jobs[0].job;
    assert_int_equal(claimed.attempt, 2);
    assert_ok(queues_finish(engine, FB_QUEUE_ACK, "reports", &claimed, &answer));
    assert_ok(queues_take(engine, "reports", 1, 0, &answer));
    assert_int_equal(answer.job_count, 0);
    fb_close(engine, 1000);
}

static void test_queue_calls__keep_their_jobs_over_a_restart(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    uint64_t number = queues_put(engine, "default", "kept");
    fb_close(engine, 1000);

    engine = queues_open("");
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_int_equal(answer.jobs[0].job.number, number);
    assert_string_equal(answer.jobs[0].payload, "kept");
    fb_close(engine, 1000);
}

// ---- what is refused before anything is sent

static int try_put(fb_engine *engine, const fb_job_spec *spec, fb_error *error) {
    fb_enqueued job;
    memset(error, 0, sizeof *error);
    return fb_queue_enqueue(engine, spec, 1, &job, error);
}

static void test_queue_calls__say_what_is_wrong_with_a_job(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {reports: {payload_max: 8}}\n");
    fb_error error;
    fb_job_spec spec = queues_spec("report", "x");

    assert_result(try_put(engine, &spec, &error), FB_ENOQUEUE);
    assert_string_equal(error.text, "no queue \"report\"; did you mean \"reports\"?");
    spec = queues_spec("nothing_like_it", "x");
    assert_result(try_put(engine, &spec, &error), FB_ENOQUEUE);
    assert_string_equal(error.text, "no queue \"nothing_like_it\" is declared");
    spec = queues_spec("reports", "123456789");
    assert_result(try_put(engine, &spec, &error), FB_ETOOBIG);
    assert_non_null(strstr(error.text, "queues.reports.payload_max"));
    spec = queues_spec("reports", "x");
    spec.kind = FB_STR("two\nlines");
    assert_result(try_put(engine, &spec, &error), FB_EINVAL);
    spec.kind = FB_STR("12345678901234567890123456789012345678901234567890123456789012345");
    assert_result(try_put(engine, &spec, &error), FB_ETOOBIG);
    spec.kind = FB_STR("");
    spec.priority = 10;
    assert_result(try_put(engine, &spec, &error), FB_EINVAL);
    assert_string_equal(error.text, "job 1: expected a priority from 0 to 9, found 10");
    spec.priority = 0;
    spec.delay_ms = 5;
    spec.at_ms = 5;
    assert_result(try_put(engine, &spec, &error), FB_EINVAL);
    spec.at_ms = 0;
    spec.delay_ms = -1;
    assert_result(try_put(engine, &spec, &error), FB_EINVAL);
    spec.delay_ms = INT64_MAX;
    assert_result(try_put(engine, &spec, &error), FB_EINVAL);
    spec.delay_ms = 0;
    spec.attempts = 1001;
    assert_result(try_put(engine, &spec, &error), FB_EINVAL);
    fb_close(engine, 1000);
}

static void test_queue_calls__say_what_is_wrong_with_a_call(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {other: {}}\n");
    fb_str names[17];
    fb_job_spec specs[2] = {queues_spec("default", "a"), queues_spec("other", "b")};
    fb_queue_call call = {.verb = FB_QUEUE_ENQUEUE, .specs = specs, .item_count = 2};
    fb_error error = {0};

    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    call.item_count = 0;
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    call = (fb_queue_call){.verb = FB_QUEUE_RESERVE, .queues = names, .count = 1};
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    names[0] = names[1] = FB_STR("default");
    call.queue_count = 2;
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    assert_string_equal(error.text, "queue \"default\" is named twice");
    call.queue_count = 17;
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    call.queue_count = 1;
    call.count = 1001;
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    call = (fb_queue_call){.verb = FB_QUEUE_KICK, .queue = FB_STR("default"), .count = 1,
                           .state = FB_JOB_LEASED};
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    call = (fb_queue_call){.verb = (fb_queue_verb)99, .queue = FB_STR("default")};
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    call = (fb_queue_call){.verb = FB_QUEUE_MOVE, .queue = FB_STR("default")};
    assert_result(fb_queue_ask(engine, &call, NULL, NULL, &error), FB_EINVAL);
    assert_string_equal(error.text, "there is no shared tier to move jobs from");
    fb_close(engine, 1000);
}

// ---- the other verbs

static void test_queue_calls__a_unique_key_has_one_job(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    fb_job_spec specs[3] = {queues_spec("default", "a"), queues_spec("default", "b"),
                            queues_spec("default", "c")};
    fb_enqueued jobs[3];
    specs[0].unique = specs[2].unique = FB_STR("key");

    assert_ok(fb_queue_enqueue(engine, specs, 3, jobs, NULL));
    assert_int_equal(jobs[0].result, FB_OK);
    assert_int_equal(jobs[1].result, FB_OK);
    assert_int_equal(jobs[2].result, FB_REFUSED);
    assert_string_equal(jobs[2].id, jobs[0].id);
    assert_string_not_equal(jobs[1].id, jobs[0].id);
    fb_queue_figures figures = queues_figures(engine, "default");
    assert_int_equal(figures.enqueued, 2);
    assert_int_equal(figures.duplicate, 1);
    assert_int_equal(figures.enqueue.count, 1);
    fb_close(engine, 1000);
}

static void test_queue_calls__look_list_get_and_cancel(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    uint64_t first = queues_put(engine, "default", "first");
    uint64_t second = queues_put(engine, "default", "second");
    fb_queue_call call = {.verb = FB_QUEUE_LIST, .queue = FB_STR("default"),
                          .state = FB_JOB_READY, .count = 10};

    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 2);
    assert_int_equal(answer.jobs[0].job.number, first);
    assert_int_equal(answer.jobs[1].job.number, second);
    assert_string_equal(answer.jobs[0].payload, "");
    call.after = first;
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 1);
    fb_job_claim claim = {.number = second};
    call = (fb_queue_call){.verb = FB_QUEUE_GET, .queue = FB_STR("default"), .claims = &claim,
                           .item_count = 1};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.results[0], FB_OK);
    assert_string_equal(answer.jobs[0].payload, "second");
    call.verb = FB_QUEUE_CANCEL;
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.results[0], FB_OK);
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.results[0], FB_MISS);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 1);
    assert_string_equal(queues_look(engine, "default").store, "journal");
    fb_close(engine, 1000);
}

static void test_queue_calls__tokens_are_told_to_who_claims_alone(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    uint64_t number = queues_put(engine, "default", "x");
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    fb_job_claim claim = {.number = number};
    fb_queue_call call = {.verb = FB_QUEUE_GET, .queue = FB_STR("default"), .claims = &claim,
                          .item_count = 1};

    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.jobs[0].job.state, FB_JOB_LEASED);
    assert_int_equal(answer.jobs[0].job.token, 0);
    call = (fb_queue_call){.verb = FB_QUEUE_LIST, .queue = FB_STR("default"),
                           .state = FB_JOB_LEASED, .count = 10};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_int_equal(answer.jobs[0].job.token, 0);
    fb_close(engine, 1000);
}

// More than one step of the store takes.
static void test_queue_calls__kick_and_purge_as_many_as_there_are(void **state) {
    (void)state;
    enum { BATCHES = 3 };
    fb_engine *engine = queues_open("");
    static fb_job_spec specs[FB_JOB_BATCH_MAX];
    static fb_enqueued jobs[FB_JOB_BATCH_MAX];
    for (size_t i = 0; i < FB_JOB_BATCH_MAX; i++) {
        specs[i] = queues_spec("default", "later");
        specs[i].delay_ms = 3600000;
    }
    for (int i = 0; i < BATCHES; i++) {
        assert_ok(fb_queue_enqueue(engine, specs, FB_JOB_BATCH_MAX, jobs, NULL));
    }
    fb_queue_call call = {.verb = FB_QUEUE_KICK, .queue = FB_STR("default"),
                          .state = FB_JOB_SCHEDULED, .count = 2500};

    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.value, 2500);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 2500);
    assert_int_equal(queues_count(engine, "default", FB_JOB_SCHEDULED), 500);
    call = (fb_queue_call){.verb = FB_QUEUE_PURGE, .queue = FB_STR("default"),
                           .state = FB_JOB_READY};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.value, 2500);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 0);
    fb_close(engine, 1000);
}

enum { LINE = 1000 };
typedef struct line {
    fb_job_claim claims[LINE];
    size_t count;
} line;

static void keep_claims(void *arg, const fb_queue_answer *told) {
    line *kept = arg;
    for (kept->count = 0; kept->count < told->job_count && kept->count < LINE; kept->count++) {
        const fb_job *job = &told->jobs[kept->count];
        kept->claims[kept->count] = (fb_job_claim){job->number, job->token};
    }
}

static void kill_all(fb_engine *engine, size_t count) {
    static line one;
    fb_str name = FB_STR("default");
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE, .queues = &name, .queue_count = 1,
                          .count = LINE};
    assert_ok(fb_queue_ask(engine, &call, keep_claims, &one, NULL));
    assert_int_equal(one.count, count);
    call = (fb_queue_call){.verb = FB_QUEUE_FAIL, .queue = name, .claims = one.claims,
                           .item_count = one.count, .permanent = true};
    assert_ok(fb_queue_ask(engine, &call, NULL, NULL, NULL));
}

// The one that died first has a key that is another's by now.
static void test_queue_calls__kick_goes_on_behind_what_cannot_be_kicked(void **state) {
    (void)state;
    static fb_job_spec specs[LINE];
    static fb_enqueued jobs[LINE];
    fb_engine *engine = queues_open("");
    specs[0] = queues_spec("default", "keyed");
    specs[0].unique = FB_STR("key");
    assert_ok(fb_queue_enqueue(engine, specs, 1, jobs, NULL));
    kill_all(engine, 1);
    for (size_t i = 0; i < LINE; i++) {
        specs[i] = queues_spec("default", "plain");
    }
    assert_ok(fb_queue_enqueue(engine, specs, LINE, jobs, NULL));
    kill_all(engine, LINE);
    specs[0].unique = FB_STR("key");
    assert_ok(fb_queue_enqueue(engine, specs, 1, jobs, NULL));

    fb_queue_call kick = {.verb = FB_QUEUE_KICK, .queue = FB_STR("default"),
                          .state = FB_JOB_DEAD, .count = 5000};
    assert_ok(queues_ask(engine, &kick, &answer));
    assert_int_equal(answer.value, LINE);
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), LINE + 1);
    assert_int_equal(queues_count(engine, "default", FB_JOB_DEAD), 1);
    fb_close(engine, 1000);
}

// ---- a store that does not say what became of it

static struct {
    fb_store_reply_fn fn;
    void *arg;
} sent;

static int keep_sent(fb_queue_port *port, const fb_store_request *request, fb_store_reply_fn fn,
                     void *arg) {
    (void)port, (void)request;
    sent.fn = fn;
    sent.arg = arg;
    return FB_OK;
}

static bool says_perhaps(fb_engine *engine, fb_store_verb verb, fb_store_result result) {
    fb_queue_port port = {.name = "lost", .send = keep_sent};
    const fb_queue_terms *terms = fb_queues_find(engine->queues, FB_STR("default"));
    fb_store_reply reply = {.result = result, .text = "connection reset"};
    fb_queue_trip *trip = NULL;
    fb_sleeper sleeper;
    assert_ok(fb_queue_trip_new(engine->queues, terms, verb, true, &trip));
    trip->sleeper = &sleeper;
    trip->begin_ns = fb_clock_now_ns();
    trip->until_ns = INT64_MAX;
    fb_sleeper_begin(&sleeper, 1);
    fb_queue_trip_transmit(trip, &port);
    sent.fn(sent.arg, &reply);
    fb_sleeper_wait(&sleeper);
    assert_result(trip->result, FB_EIO);
    assert_non_null(strstr(trip->error, "connection reset"));
    bool perhaps = strstr(trip->error, "may have been done") != NULL;
    fb_queue_trip_end(trip);
    return perhaps;
}

static void test_queue_calls__say_when_they_may_have_been_done(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    assert_true(says_perhaps(engine, FB_STORE_ENQUEUE, FB_STORE_UNKNOWN));
    assert_true(says_perhaps(engine, FB_STORE_ACK, FB_STORE_UNKNOWN));
    assert_false(says_perhaps(engine, FB_STORE_ENQUEUE, FB_STORE_FAILED));
    assert_false(says_perhaps(engine, FB_STORE_LIST, FB_STORE_UNKNOWN));
    fb_close(engine, 1000);
}

static void test_queue_calls__a_paused_queue_gives_nothing(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    fb_queue_call call = {.verb = FB_QUEUE_PAUSE, .queue = FB_STR("default"), .flag = true};
    (void)queues_put(engine, "default", "x");

    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.value, 1);
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    assert_int_equal(answer.job_count, 0);
    call.flag = false;
    assert_ok(queues_ask(engine, &call, &answer));
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    fb_close(engine, 1000);
}

static void test_queue_calls__acknowledge_and_reserve_at_once(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    (void)queues_put(engine, "default", "a");
    (void)queues_put(engine, "default", "b");
    assert_ok(queues_take(engine, "default", 1, 0, &answer));
    fb_job_claim claim = {answer.jobs[0].job.number, answer.jobs[0].job.token};
    fb_queue_call call = {.verb = FB_QUEUE_ACK, .queue = FB_STR("default"), .claims = &claim,
                          .item_count = 1, .count = 5};

    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.results[0], FB_OK);
    assert_int_equal(answer.job_count, 1);
    assert_string_equal(answer.jobs[0].payload, "b");
    assert_true(answer.jobs[0].job.token > 0);
    fb_close(engine, 1000);
}

// ---- on loops

typedef struct on_loop {
    fb_engine *engine;
    int started, loop, answered_on;
    queues_answer answer;
    atomic_bool done;
} on_loop;

static void answered(void *arg, const fb_queue_answer *given) {
    on_loop *one = arg;
    queues_keep_one(&one->answer, given);
    one->answered_on = fb_loop_current(one->engine);
    atomic_store(&one->done, true);
}

static void start_on_loop(void *arg) {
    on_loop *one = arg;
    fb_job_spec spec = queues_spec("default", "from a loop");
    fb_queue_call call = {.verb = FB_QUEUE_ENQUEUE, .specs = &spec, .item_count = 1};
    one->loop = fb_loop_current(one->engine);
    one->started = fb_queue_start(one->engine, &call, answered, one, NULL, NULL);
}

static void test_queue_calls__on_a_loop_are_answered_there(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    for (uint32_t i = 0; i < fb_loop_count(engine); i++) {
        on_loop one = {.engine = engine};
        assert_ok(fb_loop_post(engine, i, start_on_loop, &one));
        rig_until(atomic_load(&one.done));
        assert_ok(one.started);
        assert_ok(one.answer.result);
        assert_int_equal(one.loop, (int)i);
        assert_int_equal(one.answered_on, (int)i);
    }
    fb_close(engine, 1000);
}

static void ask_on_loop(void *arg) {
    on_loop *one = arg;
    fb_job_spec spec = queues_spec("default", "from a loop");
    fb_enqueued job;
    one->started = fb_queue_enqueue(one->engine, &spec, 1, &job, NULL);
    one->answered_on = fb_loop_current(one->engine);
    atomic_store(&one->done, true);
}

static void run_on_loop(void *arg) {
    on_loop *one = arg;
    one->loop = fb_run(one->engine, ask_on_loop, one);
}

static void test_queue_calls__wait_on_a_loop_in_a_fiber_alone(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    on_loop plain = {.engine = engine}, fiber = {.engine = engine};
    assert_ok(fb_loop_post(engine, 1, ask_on_loop, &plain));
    rig_until(atomic_load(&plain.done));
    assert_result(plain.started, FB_EINVAL);
    assert_ok(fb_loop_post(engine, 1, run_on_loop, &fiber));
    rig_until(atomic_load(&fiber.done));
    assert_ok(fiber.started);
    assert_int_equal(fiber.answered_on, 1);
    fb_close(engine, 1000);
}

// ---- the journal's file

static bool has_file(const char *name) {
    char path[96];
    struct stat found;
    rig_path(path, sizeof path, name);
    return stat(path, &found) == 0;
}

static void test_queue_calls__who_never_asks_has_no_file(void **state) {
    (void)state;
    char folder[200];
    assert_non_null(getcwd(folder, sizeof folder));
    assert_int_equal(chdir(rig_folder), 0);
    fb_engine *engine = rig_open("memory: 4MiB\nloops: 1\n");
    fb_queue_figures figures = queues_figures(engine, "mail");
    assert_true(figures.reachable);
    assert_string_equal(figures.store, "journal");
    assert_string_equal(figures.worker, "mail");
    assert_int_equal(queues_count(engine, "default", FB_JOB_READY), 0);
    assert_false(has_file("forebay-queue.db"));
    (void)queues_put(engine, "default", "x");
    assert_true(has_file("forebay-queue.db"));
    fb_close(engine, 1000);
    assert_int_equal(chdir(folder), 0);
}

static void test_queue_calls__a_journal_of_another_process_is_refused(void **state) {
    (void)state;
    fb_engine *engine = queues_open("");
    fb_config *config = rig_config(QUEUES_YAML);
    fb_engine *other = NULL;
    fb_error error = {0};

    assert_result(fb_open(config, &other, &error), FB_EIO);
    assert_non_null(strstr(error.text, "jobs.db"));
    fb_config_free(config);
    fb_close(engine, 1000);
}

static void note_option(void *arg, fb_str path, bool applied) {
    char *log = arg;
    size_t len = strlen(log);
    (void)snprintf(log + len, 256 - len, "%.*s=%s ", FB_STR_ARG(path), applied ? "applied" : "waits");
}

// Also where nothing had to be opened before the reload.
static void test_queue_calls__the_journal_is_the_one_of_the_start(void **state) {
    (void)state;
    char folder[200], log[256] = "";
    fb_error error;
    assert_non_null(getcwd(folder, sizeof folder));
    assert_int_equal(chdir(rig_folder), 0);
    fb_engine *engine = rig_open("memory: 4MiB\nloops: 1\n");
    fb_config *config =
        rig_config("memory: 4MiB\nloops: 1\nqueue: {file: other.db, timeout: 50s}\n");
    assert_ok(fb_reload(engine, config, note_option, log, &error));
    fb_config_free(config);
    assert_string_equal(log, "queue.file=waits queue.timeout=applied ");
    (void)queues_put(engine, "default", "x");
    assert_int_equal(access("forebay-queue.db", F_OK), 0);
    assert_int_equal(access("other.db", F_OK), -1);
    fb_close(engine, 1000);
    assert_int_equal(chdir(folder), 0);
}

static void test_queue_calls__say_why_there_is_no_journal(void **state) {
    (void)state;
    char folder[200], text[256];
    assert_non_null(getcwd(folder, sizeof folder));
    assert_int_equal(chdir(rig_folder), 0);
    fb_engine *engine = rig_open("memory: 4MiB\nloops: 1\n");
    assert_true(fb_queue_healthy(engine, NULL, text));
    assert_int_equal(mkdir("forebay-queue.db", 0700), 0);  // it cannot be opened
    fb_job_spec spec = queues_spec("default", "x");
    fb_error error;

    assert_result(try_put(engine, &spec, &error), FB_EIO);
    assert_true(error.text[0] != '\0');
    assert_false(fb_queue_healthy(engine, NULL, text));
    assert_true(text[0] != '\0');
    assert_true(queues_figures(engine, "default").refused > 0);
    assert_int_equal(rmdir("forebay-queue.db"), 0);
    rig_until(try_put(engine, &spec, &error) == FB_OK);
    assert_true(fb_queue_healthy(engine, NULL, text));
    fb_close(engine, 1000);
    assert_int_equal(chdir(folder), 0);
}

// ---- figures

static void test_queue_calls__are_counted(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {default: {attempts: 1}}\n");
    (void)queues_put(engine, "default", "a");
    (void)queues_put(engine, "default", "b");
    (void)queues_put(engine, "default", "c");
    for (int i = 0; i < 3; i++) {
        static const fb_queue_verb verbs[] = {FB_QUEUE_FAIL, FB_QUEUE_ACK, FB_QUEUE_RELEASE};
        assert_ok(queues_take(engine, "default", 1, 0, &answer));
        fb_job job = answer.jobs[0].job;
        assert_ok(queues_finish(engine, verbs[i], "default", &job, &answer));
        assert_result(queues_finish(engine, FB_QUEUE_ACK, "default", &job, &answer), FB_LOST);
    }
    fb_queue_figures figures = queues_figures(engine, "default");

    assert_int_equal(figures.enqueued, 3);
    assert_int_equal(figures.reserved, 3);
    assert_int_equal(figures.done, 1);
    assert_int_equal(figures.failed, 1);
    assert_int_equal(figures.died, 1);
    assert_int_equal(figures.released, 1);
    assert_int_equal(figures.lost, 3);
    assert_int_equal(figures.wait.count, 3);
    assert_int_equal(figures.run.count, 2);
    assert_int_equal(figures.reason_count, 1);
    assert_string_equal(figures.reasons[0].text, "went wrong");
    assert_int_equal(figures.reasons[0].count, 1);
    rig_until(queues_figures(engine, "default").look.counts[FB_JOB_READY] == 1);
    figures = queues_figures(engine, "default");
    assert_true(figures.reachable);
    assert_int_equal(figures.look.counts[FB_JOB_DEAD], 1);
    fb_stats_reset(engine);
    figures = queues_figures(engine, "default");
    assert_int_equal(figures.enqueued, 0);
    assert_int_equal(figures.wait.count, 0);
    assert_int_equal(figures.reason_count, 0);
    fb_close(engine, 1000);
}

// ---- reloading

static void test_queue_calls__a_reload_brings_queues_and_takes_them(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {old: {}, kept: {priority: 2}}\n");
    fb_error error = {0};
    (void)queues_put(engine, "old", "waits");
    (void)queues_put(engine, "kept", "a");

    assert_ok(rig_reload(engine, QUEUES_YAML "queues: {new: {}, kept: {priority: 7}}\n", &error));
    fb_job_spec spec = queues_spec("old", "x");
    assert_result(try_put(engine, &spec, &error), FB_ENOQUEUE);
    (void)queues_put(engine, "new", "x");
    (void)queues_put(engine, "kept", "b");
    assert_ok(queues_take(engine, "kept", 2, 0, &answer));
    assert_int_equal(answer.jobs[0].job.priority, 2);
    assert_int_equal(answer.jobs[1].job.priority, 7);
    assert_ok(rig_reload(engine, QUEUES_YAML "queues: {old: {}}\n", &error));
    assert_ok(queues_take(engine, "old", 1, 0, &answer));
    assert_string_equal(answer.jobs[0].payload, "waits");
    fb_close(engine, 1000);
}

static void test_queue_calls__a_queue_that_is_switched_off_is_not_there(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {default: {enabled: false}}\n");
    fb_job_spec spec = queues_spec("default", "x");
    fb_error error;
    assert_result(try_put(engine, &spec, &error), FB_ENOQUEUE);
    fb_close(engine, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_queue_calls__a_job_goes_all_the_way),
        queues_test(test_queue_calls__keep_their_jobs_over_a_restart),
        queues_test(test_queue_calls__say_what_is_wrong_with_a_job),
        queues_test(test_queue_calls__say_what_is_wrong_with_a_call),
        queues_test(test_queue_calls__a_unique_key_has_one_job),
        queues_test(test_queue_calls__look_list_get_and_cancel),
        queues_test(test_queue_calls__tokens_are_told_to_who_claims_alone),
        queues_test(test_queue_calls__kick_and_purge_as_many_as_there_are),
        queues_test(test_queue_calls__kick_goes_on_behind_what_cannot_be_kicked),
        queues_test(test_queue_calls__say_when_they_may_have_been_done),
        queues_test(test_queue_calls__a_paused_queue_gives_nothing),
        queues_test(test_queue_calls__acknowledge_and_reserve_at_once),
        queues_test(test_queue_calls__on_a_loop_are_answered_there),
        queues_test(test_queue_calls__wait_on_a_loop_in_a_fiber_alone),
        queues_test(test_queue_calls__who_never_asks_has_no_file),
        queues_test(test_queue_calls__a_journal_of_another_process_is_refused),
        queues_test(test_queue_calls__the_journal_is_the_one_of_the_start),
        queues_test(test_queue_calls__say_why_there_is_no_journal),
        queues_test(test_queue_calls__are_counted),
        queues_test(test_queue_calls__a_reload_brings_queues_and_takes_them),
        queues_test(test_queue_calls__a_queue_that_is_switched_off_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
