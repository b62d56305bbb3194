// queues_rig.h -- engines with queues in a journal of the test's own folder, and calls in a line.

#ifndef FB_TESTS_QUEUES_RIG_H
#define FB_TESTS_QUEUES_RIG_H

#include <dirent.h>

#include "engine_rig.h"

// Beside it: more of the configuration, as YAML.
#define QUEUES_YAML                                                             \
    "memory: 4MiB\nloops: 2\nworkers: 2\n"                                    \
    "queue: {file: jobs.db, durability: process, timeout: 60s}\n"

static inline int queues_up(void **state) {
    (void)state;
    (void)snprintf(rig_folder, sizeof rig_folder, "/tmp/forebay-queues-XXXXXX");
    assert_non_null(mkdtemp(rig_folder));
    return 0;
}

static inline int queues_down(void **state) {
    (void)state;
    DIR *folder = opendir(rig_folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", rig_folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(folder);
    return rmdir(rig_folder);
}

#define queues_test(name) cmocka_unit_test_setup_teardown(name, queues_up, queues_down)

static inline fb_engine *queues_open(const char *more) {
    char text[4096];
    (void)snprintf(text, sizeof text, QUEUES_YAML "%s", more);
    return rig_open(text);
}

// ---- an answer, kept

enum { QUEUES_JOBS = 64 };
typedef struct queues_job {
    fb_job job;
    char payload[64], kind[64], error[600], progress[600], queue[80];
} queues_job;
typedef struct queues_answer {
    int result;
    char error[512];
    queues_job jobs[QUEUES_JOBS];
    size_t job_count;
    int results[QUEUES_JOBS];
    uint64_t numbers[QUEUES_JOBS];
    uint64_t value;
    fb_queue_look look;
    atomic_int calls;
} queues_answer;

static inline void queues_text(char *out, size_t size, fb_str text) {
    (void)snprintf(out, size, "%.*s", (int)text.len, text.ptr != NULL ? text.ptr : "");
}

// An fb_queue_fn; of one call, whose items are at most QUEUES_JOBS.
static inline void queues_keep_of(void *arg, const fb_queue_answer *answer, size_t items) {
    queues_answer *kept = arg;
    kept->result = answer->result;
    (void)snprintf(kept->error, sizeof kept->error, "%s", answer->error);
    kept->job_count = answer->job_count < QUEUES_JOBS ? answer->job_count : QUEUES_JOBS;
    for (size_t i = 0; i < kept->job_count; i++) {
        queues_job *one = &kept->jobs[i];
        one->job = answer->jobs[i];
        queues_text(one->payload, sizeof one->payload, answer->jobs[i].payload);
        queues_text(one->kind, sizeof one->kind, answer->jobs[i].kind);
        queues_text(one->error, sizeof one->error, answer->jobs[i].error);
        queues_text(one->progress, sizeof one->progress, answer->jobs[i].progress);
        queues_text(one->queue, sizeof one->queue, answer->jobs[i].queue);
    }
    for (size_t i = 0; i < items && i < QUEUES_JOBS; i++) {
        kept->results[i] = answer->results != NULL ? answer->results[i] : FB_OK;
        kept->numbers[i] = answer->numbers != NULL ? answer->numbers[i] : 0;
    }
    kept->value = answer->value;
    kept->look = answer->look;
    atomic_fetch_add(&kept->calls, 1);
}

static inline void queues_keep(void *arg, const fb_queue_answer *answer) {
    queues_keep_of(arg, answer, 0);
}

static inline void queues_keep_one(void *arg, const fb_queue_answer *answer) {
    queues_keep_of(arg, answer, answer->result == FB_OK ? 1 : 0);
}

static inline int queues_ask(fb_engine *engine, const fb_queue_call *call, queues_answer *answer) {
    fb_error error = {0};
    memset(answer, 0, sizeof *answer);
    int result = fb_queue_ask(engine, call, call->item_count > 0 ? queues_keep_one : queues_keep,
                              answer, &error);
    if (result < 0 && answer->error[0] == '\0') {
        (void)snprintf(answer->error, sizeof answer->error, "%s", error.text);
    }
    return result;
}

// ---- what is asked most

static inline fb_job_spec queues_spec(const char *queue, const char *payload) {
    return (fb_job_spec){.queue = fb_str_of(queue),
                         .payload = fb_str_of(payload),
                         .priority = FB_JOB_PRIORITY_UNSET};
}

// Its number.
static inline uint64_t queues_put(fb_engine *engine, const char *queue, const char *payload) {
    fb_job_spec spec = queues_spec(queue, payload);
    fb_enqueued job;
    fb_error error = {0};
    fb_str name;
    uint64_t number = 0;
    if (fb_queue_enqueue(engine, &spec, 1, &job, &error) < 0) {
        fail_msg("%s: %s", queue, error.text);
    }
    assert_ok(fb_job_id_parse(fb_str_of(job.id), &name, &number));
    return number;
}

static inline int queues_take(fb_engine *engine, const char *queue, uint32_t count,
                              int64_t wait_ms, queues_answer *answer) {
    fb_str name = fb_str_of(queue);
    fb_queue_call call = {.verb = FB_QUEUE_RESERVE,
                          .queues = &name,
                          .queue_count = 1,
                          .count = count,
                          .wait_ms = wait_ms};
    return queues_ask(engine, &call, answer);
}

// Of one claim: its result.
static inline int queues_finish(fb_engine *engine, fb_queue_verb verb, const char *queue,
                                const fb_job *job, queues_answer *answer) {
    fb_job_claim claim = {job->number, job->token};
    fb_queue_call call = {.verb = verb,
                          .queue = fb_str_of(queue),
                          .claims = &claim,
                          .item_count = 1,
                          .delay_ms = verb == FB_QUEUE_FAIL ? -1 : 0,
                          .text = FB_STR("went wrong")};
    int result = queues_ask(engine, &call, answer);
    return result < 0 ? result : answer->results[0];
}

static inline fb_queue_look queues_look(fb_engine *engine, const char *queue) {
    fb_queue_call call = {.verb = FB_QUEUE_LOOK, .queue = fb_str_of(queue)};
    queues_answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    assert_ok(queues_ask(engine, &call, answer));
    fb_queue_look look = answer->look;
    free(answer);
    return look;
}

static inline uint64_t queues_count(fb_engine *engine, const char *queue, fb_job_state state) {
    return queues_look(engine, queue).counts[state];
}

typedef struct queues_found {
    const char *name;
    fb_queue_figures figures;
    bool found;
} queues_found;

static inline void queues_find(void *arg, const fb_queue_figures *figures) {
    queues_found *one = arg;
    if (strcmp(figures->name, one->name) == 0) {
        one->figures = *figures;
        one->found = true;
    }
}

static inline fb_queue_figures queues_figures(fb_engine *engine, const char *queue) {
    queues_found one = {.name = queue};
    assert_ok(fb_queue_figures_read(engine, queues_find, &one));
    assert_true(one.found);
    return one.figures;
}

#endif
