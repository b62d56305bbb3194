// A queue in a program of one's own: jobs that outlive it, done by threads of the same process.
//
//     cc examples/worker.c -o worker $(pkg-config --cflags --libs forebay) && ./worker jobs.db
//
// What was enqueued and not done when it is killed is done when it is started again.

#include <stdatomic.h>
#include <stdio.h>

#include <forebay/forebay.h>

enum { JOBS = 5 };
static atomic_int done;

static int work(void *arg, const fb_job *job, fb_work *doing) {
    (void)arg;
    printf("%.*s, attempt %u: %.*s\n", (int)job->kind.len, job->kind.ptr, job->attempt,
           (int)job->payload.len, job->payload.ptr);
    if (job->attempt == 1 && job->number / 64 % 2 == 1) {
        fb_work_fail(doing, "not this time", false, 10);  // again in 10 ms
        return FB_EIO;
    }
    if (atomic_fetch_add(&done, 1) + 1 == JOBS) {
        fb_worker_stop();
    }
    return FB_OK;
}

int main(int argc, char **argv) {
    fb_config *config = NULL;
    fb_engine *engine = NULL;
    fb_error error = {.text = "out of memory"};
    const char *file = argc > 1 ? argv[1] : "jobs.db";
    fb_str queue = FB_STR("default");
    fb_worker_options options = {.queues = &queue, .queue_count = 1, .concurrency = 2, .work = work};
    fb_job_spec specs[JOBS];
    fb_enqueued jobs[JOBS];
    for (int i = 0; i < JOBS; i++) {
        specs[i] = (fb_job_spec){.queue = queue,
                                 .kind = FB_STR("greeting"),
                                 .payload = FB_STR("hello"),
                                 .priority = FB_JOB_PRIORITY_UNSET};
    }
    fb_str path = {file, 0};
    while (file[path.len] != '\0') {
        path.len++;
    }
    int result = fb_config_new(&config);
    result = result ? result : fb_config_set(config, FB_STR("queue.file"), path, &error);
    result = result ? result : fb_open(config, &engine, &error);
    result = result ? result : fb_queue_enqueue(engine, specs, JOBS, jobs, &error);
    if (result == FB_OK) {
        printf("accepted %s to %s\n", jobs[0].id, jobs[JOBS - 1].id);
        result = fb_worker_run(engine, &options, 1000, &error);
    }
    if (result != FB_OK) {
        fprintf(stderr, "worker: %s\n", error.text);
    }
    fb_close(engine, 1000);
    fb_config_free(config);
    return result == FB_OK ? 0 : 1;
}
