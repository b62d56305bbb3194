// journal_rig.h -- a journal in a folder of its own, asked and waited for.

#ifndef FB_TESTS_JOURNAL_RIG_H
#define FB_TESTS_JOURNAL_RIG_H

#include "support.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "journal/journal.h"

// On threads of which cmocka knows nothing.
#define must(condition)                                                                     \
    ((condition) ? (void)0                                                                  \
                 : ((void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))

typedef struct rig {
    char folder[64], file[96];
    fb_journal_options options;
    fb_journal *journal;
    fb_queue_policy policy;
    uint64_t token;              // the last that was given
} rig;

static inline const fb_queue_policy *rig_policy(void *arg, fb_str queue) {
    return &((rig *)arg)->policy;
}

static inline void rig_init(rig *own) {
    must(own != NULL);
    memset(own, 0, sizeof *own);
    (void)snprintf(own->folder, sizeof own->folder, "/tmp/forebay-journal-XXXXXX");
    assert_non_null(mkdtemp(own->folder));
    (void)snprintf(own->file, sizeof own->file, "%s/queue.db", own->folder);
    own->policy = (fb_queue_policy){.retry_delay_ms = 1000, .retry_max_ms = 60000,
                                    .dead_keep_ms = 604800000, .dead_max = 10000,
                                    .partitions = 1};
    own->options = (fb_journal_options){.file = own->file, .power = true, .policy_of = rig_policy,
                                        .policy_arg = own, .log_bytes = 1 << 20};
}

static inline void rig_open(rig *own) {
    fb_error error = {.text = ""};
    int result = fb_journal_new(&own->options, &own->journal, &error);
    if (result != FB_OK) {
        fail_msg("%s: %s", fb_result_name(result), error.text);
    }
}

static inline void rig_close(rig *own) {
    fb_journal_free(own->journal);
    own->journal = NULL;
}

static inline void rig_release(rig *own) {
    static const char *const ends[] = {"", "-wal", "-lock", "-journal", "-shm"};
    char path[128];
    rig_close(own);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s%s", own->file, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(own->folder);
}

// ---- asking

typedef struct told_answer {
    int sent;                    // what send() returned
    fb_store_reply reply;        // as it came, copied; result FB_STORE_FAILED where it was not sent
    void **pieces;               // a chain of what was copied; not of the memory that a test fails
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
} told_answer;

static inline void *told_copy(told_answer *own, const void *from, size_t size) {
    if (from == NULL) {
        return NULL;
    }
    void **piece = malloc(2 * sizeof *piece + size);
    must(piece != NULL);
    *piece = own->pieces;
    own->pieces = piece;
    memcpy(piece + 2, from, size);
    return piece + 2;
}

static inline void told_text(told_answer *own, fb_str *text) {
    text->ptr = told_copy(own, text->ptr, text->len);
}

static inline void told_reply(void *arg, const fb_store_reply *reply) {
    told_answer *own = arg;
    pthread_mutex_lock(&own->lock);
    own->reply = *reply;
    fb_job *jobs = told_copy(own, reply->jobs, reply->job_count * sizeof *jobs);
    for (size_t i = 0; i < reply->job_count; i++) {
        told_text(own, &jobs[i].queue);
        told_text(own, &jobs[i].kind);
        told_text(own, &jobs[i].payload);
        told_text(own, &jobs[i].unique);
        told_text(own, &jobs[i].error);
        told_text(own, &jobs[i].progress);
    }
    fb_store_mark *marks = told_copy(own, reply->marks, reply->mark_count * sizeof *marks);
    for (size_t i = 0; i < reply->mark_count; i++) {
        told_text(own, &marks[i].name);
    }
    own->reply.jobs = jobs;
    own->reply.marks = marks;
    own->reply.text = told_copy(own, reply->text, strlen(reply->text) + 1);
    own->done = true;
    pthread_cond_signal(&own->wake);
    pthread_mutex_unlock(&own->lock);
}

static inline void told_init(told_answer *own) {
    memset(own, 0, sizeof *own);
    must(pthread_mutex_init(&own->lock, NULL) == 0);
    must(pthread_cond_init(&own->wake, NULL) == 0);
}

static inline void told_release(told_answer *own) {
    while (own->pieces != NULL) {
        void **piece = own->pieces;
        own->pieces = *piece;
        free(piece);
    }
    (void)pthread_cond_destroy(&own->wake);
    (void)pthread_mutex_destroy(&own->lock);
}

static inline void told_wait(told_answer *own) {
    pthread_mutex_lock(&own->lock);
    while (!own->done) {
        pthread_cond_wait(&own->wake, &own->lock);
    }
    pthread_mutex_unlock(&own->lock);
}

// Results and numbers are of the request's items: copied by who knows how many there are.
typedef struct told_items {
    int results[1000];
    uint64_t numbers[1000];
    size_t count;
    told_answer *told;
} told_items;

static inline void told_items_reply(void *arg, const fb_store_reply *reply) {
    told_items *own = arg;
    fb_store_reply copy = *reply;
    if (reply->results != NULL) {
        memcpy(own->results, reply->results, own->count * sizeof own->results[0]);
        copy.results = own->results;
    }
    if (reply->numbers != NULL) {
        memcpy(own->numbers, reply->numbers, own->count * sizeof own->numbers[0]);
        copy.numbers = own->numbers;
    }
    told_reply(own->told, &copy);
}

// Sends and waits. items->told is what came.
static inline fb_store_result rig_ask(rig *own, const fb_store_request *request,
                                      told_items *items, told_answer *answer) {
    fb_store_request with = *request;
    fb_queue_port *port = fb_journal_port(own->journal);
    told_init(answer);
    with.policy = &own->policy;
    items->count = request->item_count;
    items->told = answer;
    answer->sent = port->send(port, &with, told_items_reply, items);
    if (answer->sent != FB_OK) {
        answer->reply.result = FB_STORE_FAILED;
        return FB_STORE_FAILED;
    }
    told_wait(answer);
    return answer->reply.result;
}

// ---- short forms, of the queue "work"

#define WORK FB_STR("work")

// One job; its number, 0: it was not taken (*result says why).
static inline uint64_t rig_put_as(rig *own, fb_store_job job, fb_store_result *result) {
    told_answer answer;
    static _Thread_local told_items items;
    fb_store_request request = {.verb = FB_STORE_ENQUEUE, .queue = WORK, .jobs = &job,
                                .item_count = 1};
    if (job.job.attempts == 0) {
        job.job.attempts = 3;
    }
    if (job.job.lease_ms == 0) {
        job.job.lease_ms = 30000;
    }
    *result = rig_ask(own, &request, &items, &answer);
    bool taken = *result == FB_STORE_DONE && items.results[0] == FB_OK;
    told_release(&answer);
    return taken ? items.numbers[0] : 0;
}

static inline uint64_t rig_put(rig *own, const char *payload) {
    fb_store_result result;
    fb_store_job job = {.job = {.kind = FB_STR("k"), .payload = fb_str_of(payload), .priority = 5}};
    uint64_t number = rig_put_as(own, job, &result);
    assert_int_equal(result, FB_STORE_DONE);
    assert_true(number > 0);
    return number;
}

// Claims; *answer has the jobs.
static inline fb_store_result rig_reserve(rig *own, uint32_t count, told_answer *answer) {
    static _Thread_local told_items items;
    fb_store_request request = {.verb = FB_STORE_RESERVE, .queue = WORK, .count = count,
                                .token = own->token + 1};
    own->token += count;
    return rig_ask(own, &request, &items, answer);
}

// A verb on one job: its result, or -1 where the whole was not done (*result says).
static inline int rig_do(rig *own, fb_store_request request, fb_job_claim claim,
                         fb_store_result *result) {
    told_answer answer;
    static _Thread_local told_items items;
    request.queue = WORK;
    request.claims = &claim;
    request.item_count = 1;
    *result = rig_ask(own, &request, &items, &answer);
    told_release(&answer);
    return *result == FB_STORE_DONE ? items.results[0] : -1;
}

static inline int rig_one(rig *own, fb_store_verb verb, uint64_t number, uint64_t token) {
    fb_store_result result;
    fb_job_claim claim = {number, token};
    fb_store_request request = {.verb = verb, .delay_ms = verb == FB_STORE_FAIL ? -1 : 0};
    int got = rig_do(own, request, claim, &result);
    assert_int_equal(result, FB_STORE_DONE);
    return got;
}

static inline void rig_look(rig *own, fb_queue_look *look) {
    told_answer answer;
    static _Thread_local told_items items;
    fb_store_request request = {.verb = FB_STORE_LOOK, .queue = WORK};
    assert_int_equal(rig_ask(own, &request, &items, &answer), FB_STORE_DONE);
    *look = answer.reply.look;
    told_release(&answer);
}

// The job as it is told with its payload; false: it is not there. Release the answer.
static inline bool rig_get(rig *own, uint64_t number, told_answer *answer, fb_job *job) {
    static _Thread_local told_items items;
    fb_job_claim claim = {number, 0};
    memset(job, 0, sizeof *job);
    fb_store_request request = {.verb = FB_STORE_GET, .queue = WORK, .claims = &claim,
                                .item_count = 1};
    assert_int_equal(rig_ask(own, &request, &items, answer), FB_STORE_DONE);
    if (answer->reply.job_count == 0) {
        assert_result(items.results[0], FB_MISS);
        return false;
    }
    assert_result(items.results[0], FB_OK);
    *job = answer->reply.jobs[0];
    return true;
}

#endif
