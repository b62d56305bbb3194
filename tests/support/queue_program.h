// queue_program.h -- random programs of all verbs of queue/port.h, made from a seed or from a
// fuzzer's bytes, and answers compared with those of the model (queue_model.h).
//
// Over a port, whatever is behind it (it must be empty at the start; its clock is the program's, by
// request.now_ms, which begins in the year 2096, so that nothing that goes by the real time gets in
// its way):
//
//     char why[QUEUE_WHY_SIZE];
//     queue_run run = {.port = port, .seed = test_seed(), .steps = 2000, .payloads = true};
//     if (!queue_program_run(&run, why)) { fail_msg("%s", why); }
//
// Answers that come on another thread are waited for; where the caller has to turn a loop for them,
// `turn` is called until they are there. Program and model by themselves: queue_program_init(),
// then for each step queue_program_next(), model_step(), the store, queue_replies_match().

#ifndef FB_TESTS_QUEUE_PROGRAM_H
#define FB_TESTS_QUEUE_PROGRAM_H

#include <pthread.h>
#include <time.h>

#include "base/rng.h"
#include "queue_model.h"

enum { QUEUE_WHY_SIZE = 1024, QUEUE_FULL_AT = MODEL_JOBS * 2 / 3 };

typedef struct queue_program {
    fb_rng rng;
    const uint8_t *bytes;    // NULL: by rng
    size_t len, at;
    bool parts;              // IMPORT: numbers of any partition
    int64_t now_ms;
    uint64_t token;
    fb_queue_policy policies[MODEL_QUEUES];
    fb_store_request request;
    fb_store_job jobs[MODEL_ITEMS];
    fb_job_claim claims[MODEL_ITEMS];
    char texts[MODEL_ITEMS][MODEL_PAYLOAD];
    char error[600];
} queue_program;

// ---- choices

static inline uint32_t queue_below(queue_program *p, uint32_t bound) {
    if (p->bytes == NULL) {
        return (uint32_t)fb_rng_below(&p->rng, bound);
    }
    uint32_t value = 0;
    for (uint32_t most = bound - 1; most > 0; most >>= 8) {
        value = value << 8 | (p->at < p->len ? p->bytes[p->at] : 0);
        p->at++;
    }
    return value % bound;
}

// Of fuzzed ones: what it was made of is used up.
static inline bool queue_program_ends(const queue_program *p) {
    return p->bytes != NULL && p->at >= p->len;
}

static inline bool queue_chance(queue_program *p, uint32_t of) {
    return queue_below(p, of) == of - 1;
}

static inline int64_t queue_some_ms(queue_program *p) {
    static const int64_t often[] = {1, 5, 50, 400, 1000, 3000, 20000};

    return often[queue_below(p, sizeof(often) / sizeof(often[0]))];
}

static inline void queue_program_policies(queue_program *p) {
    static const fb_queue_policy policies[MODEL_QUEUES] = {
        {.retry_delay_ms = 100, .retry_max_ms = 5000, .dead_keep_ms = 10000, .dead_max = 12,
         .partitions = 1},
        {.retry_delay_ms = 0, .retry_max_ms = 0, .dead_keep_ms = 0, .dead_max = 100,
         .jobs_max = 9, .partitions = 1},
        {.retry_delay_ms = 333, .retry_max_ms = INT64_C(1) << 50, .dead_keep_ms = 1000000,
         .dead_max = 4, .partitions = 1}};

    memcpy(p->policies, policies, sizeof(policies));
    p->now_ms = INT64_C(4000000000000);
    p->token = 1;
}

static inline void queue_program_init(queue_program *p, uint64_t seed) {
    memset(p, 0, sizeof(*p));
    fb_rng_init(&p->rng, seed);
    queue_program_policies(p);
}

static inline void queue_program_init_bytes(queue_program *p, const uint8_t *bytes, size_t len) {
    memset(p, 0, sizeof(*p));
    p->bytes = bytes;
    p->len = len;
    queue_program_policies(p);
}

// ---- requests

static const fb_str queue_program_names[MODEL_QUEUES] = {FB_STR_INIT("alpha"), FB_STR_INIT("beta"),
                                                         FB_STR_INIT("gamma")};
static const fb_str queue_program_keys[] = {FB_STR_INIT(""),  FB_STR_INIT(""),  FB_STR_INIT(""),
                                            FB_STR_INIT("a"), FB_STR_INIT("b"), FB_STR_INIT("a:b"),
                                            FB_STR_INIT("")};
static const fb_str queue_program_marks[] = {
    FB_STR_INIT("m"),     FB_STR_INIT("m1"),    FB_STR_INIT("m12345678"), FB_STR_INIT("m12345679"),
    FB_STR_INIT("sup:a"), FB_STR_INIT("sup:b"), FB_STR_INIT("z")};
static const fb_str queue_program_prefixes[] = {FB_STR_INIT(""), FB_STR_INIT("m"),
                                                FB_STR_INIT("m1234567"), FB_STR_INIT("sup:"),
                                                FB_STR_INIT("y")};
#define QUEUE_ONE_OF(p, list) (list)[queue_below(p, sizeof(list) / sizeof((list)[0]))]

static inline void queue_program_job(queue_program *p, size_t i) {
    static const fb_str kinds[] = {FB_STR_INIT(""), FB_STR_INIT("mail"),
                                   FB_STR_INIT("a kind\xc3\xa9")};
    fb_store_job *job = &p->jobs[i];

    memset(job, 0, sizeof(*job));
    job->job.kind = QUEUE_ONE_OF(p, kinds);
    job->job.unique = QUEUE_ONE_OF(p, queue_program_keys);
    job->job.priority = (uint8_t)queue_below(p, FB_JOB_PRIORITIES);
    job->job.attempts = 1 + queue_below(p, 4);
    job->job.lease_ms = queue_some_ms(p);
    size_t len = queue_below(p, MODEL_PAYLOAD);
    for (size_t k = 0; k < len; k++) {
        p->texts[i][k] = (char)(k * 31 + len + i);
    }
    job->job.payload = (fb_str){p->texts[i], len};
    job->delay_ms = queue_chance(p, 3) ? queue_some_ms(p) : 0;
    if (queue_chance(p, 8)) {
        job->delay_ms = 0;
        job->job.due_ms = p->now_ms - 1000 + (int64_t)queue_below(p, 4000);
    }
    job->life_ms = queue_chance(p, 4) ? queue_some_ms(p) : 0;
}

// One that has been somewhere else.
static inline void queue_program_import(queue_program *p, size_t i, uint64_t number) {
    fb_job *job = &p->jobs[i].job;

    queue_program_job(p, i);
    job->number = number;
    job->state = (fb_job_state)queue_below(p, FB_JOB_STATE_COUNT);
    job->enqueued_ms = p->now_ms - 5000;
    job->due_ms = p->now_ms - 500 + (job->state == FB_JOB_SCHEDULED ? queue_some_ms(p) : 0);
    job->attempt = queue_below(p, job->attempts + 1);
    job->expires_ms = queue_chance(p, 4) ? p->now_ms + queue_some_ms(p) : 0;
    job->error = queue_chance(p, 3) ? FB_STR("it broke") : FB_STR("");
    job->progress = queue_chance(p, 3) ? FB_STR("half") : FB_STR("");
    if (job->state == FB_JOB_LEASED) {
        job->attempt += job->attempt == 0;
        job->token = p->token++;
        job->claimed_ms = p->now_ms - 100;
        job->until_ms = p->now_ms - 200 + queue_some_ms(p);
    }
    if (job->state == FB_JOB_DEAD) {
        job->end = (fb_job_end)(1 + queue_below(p, FB_JOB_END_EXPIRED));
        job->died_ms = p->now_ms - queue_some_ms(p);
    }
}

static inline void queue_program_imports(queue_program *p) {
    uint64_t number = queue_below(p, 60);

    p->request.jobs = p->jobs;
    p->request.item_count = queue_below(p, 5);
    for (size_t i = 0; i < p->request.item_count; i++) {
        number += 1 + queue_below(p, 3);
        queue_program_import(p, i, number * 64 + (p->parts ? queue_below(p, 64) : 0));
    }
    p->request.mark = queue_chance(p, 3) ? FB_STR("moved") : FB_STR("");
    p->request.flag = number % 2 == 1;
}

// Mostly of jobs that are there, and mostly with their tokens. In about every third call only those
// that are LEASED.
static inline void queue_program_claims(queue_program *p, model *m) {
    model_queue *q = model_queue_of(m, p->request.queue);
    uint64_t there[MODEL_JOBS], tokens[MODEL_JOBS];
    bool leased = queue_below(p, 3) < 2;
    size_t count = 0;

    for (size_t i = 0; i < MODEL_JOBS; i++) {
        if (q->jobs[i].there && (!leased || q->jobs[i].job.state == FB_JOB_LEASED)) {
            there[count] = q->jobs[i].job.number;
            tokens[count++] = q->jobs[i].job.token;
        }
    }
    p->request.claims = p->claims;
    p->request.item_count = 1 + queue_below(p, 4);
    for (size_t i = 0; i < p->request.item_count; i++) {
        size_t which = count > 0 ? queue_below(p, (uint32_t)count) : 0;
        bool right = count > 0 && !queue_chance(p, 12);
        p->claims[i].number = right ? there[which] : 64 * (1 + (uint64_t)queue_below(p, 300));
        p->claims[i].token = right && !queue_chance(p, 12) ? tokens[which] : 1 + queue_below(p, 99);
    }
}

static inline void queue_program_verb(queue_program *p, model *m) {
    fb_store_request *r = &p->request;

    switch (r->verb) {
    case FB_STORE_ENQUEUE:
        r->jobs = p->jobs;
        r->item_count = 1 + queue_below(p, queue_chance(p, 6) ? 12 : 3);
        for (size_t i = 0; i < r->item_count; i++) {
            queue_program_job(p, i);
        }
        if (queue_chance(p, 10)) {
            r->mark = QUEUE_ONE_OF(p, queue_program_marks);
            r->mark_value = 1 + (int64_t)queue_below(p, 6);
        }
        break;
    case FB_STORE_ACK:
    case FB_STORE_FAIL:
    case FB_STORE_RELEASE:
    case FB_STORE_EXTEND:
        queue_program_claims(p, m);
        r->delay_ms = queue_chance(p, 3) ? queue_some_ms(p) : 0;
        r->delay_ms = r->verb == FB_STORE_FAIL && queue_chance(p, 2) ? -1 : r->delay_ms;
        r->random = queue_below(p, 1024);
        r->permanent = queue_chance(p, 6);
        r->text = queue_chance(p, 4) ? (fb_str){NULL, 0}
                                     : (fb_str){p->error, queue_below(p, sizeof(p->error))};
        memset(p->error, 'a' + (int)queue_below(p, 26), sizeof(p->error));
        r->count = r->verb == FB_STORE_ACK && queue_chance(p, 2) ? 1 + queue_below(p, 3) : 0;
        r->lease_ms = queue_chance(p, 2) ? queue_some_ms(p) : 0;
        break;
    case FB_STORE_RESERVE:
        r->count = queue_below(p, 5);
        r->lease_ms = queue_chance(p, 4) ? queue_some_ms(p) : 0;
        r->text = FB_STR("worker");
        break;
    case FB_STORE_GET:
    case FB_STORE_CANCEL:
        queue_program_claims(p, m);
        break;
    case FB_STORE_KICK:
        r->state = (int)queue_below(p, FB_JOB_STATE_COUNT);
        r->count = queue_below(p, 6);
        if (queue_chance(p, 2)) {
            queue_program_claims(p, m);
        }
        break;
    case FB_STORE_PURGE:
        r->state = (int)queue_below(p, FB_JOB_STATE_COUNT);
        r->count = queue_below(p, 4);
        break;
    case FB_STORE_PAUSE:
        r->flag = queue_chance(p, 3);
        break;
    case FB_STORE_LIST:
        r->state = (int)queue_below(p, FB_JOB_STATE_COUNT + 1) - 1;
        r->after = queue_chance(p, 2) ? 64 * (uint64_t)queue_below(p, 200) : 0;
        r->count = queue_below(p, 60);
        r->flag = queue_chance(p, 2);
        break;
    case FB_STORE_LOOK:
        break;
    case FB_STORE_IMPORT:
        queue_program_imports(p);
        break;
    case FB_STORE_MARK_SET:
        r->mark_value = (int64_t)queue_below(p, 9);
        r->life_ms = queue_chance(p, 2) ? queue_some_ms(p) : 0;
        r->mark = QUEUE_ONE_OF(p, queue_program_marks);
        break;
    case FB_STORE_MARK_GET:
    case FB_STORE_MARK_DROP:
        r->mark = QUEUE_ONE_OF(p, queue_program_marks);
        break;
    case FB_STORE_MARK_LIST:
        r->mark = QUEUE_ONE_OF(p, queue_program_prefixes);
        r->after_mark = queue_chance(p, 2) ? QUEUE_ONE_OF(p, queue_program_marks) : FB_STR("");
        r->count = queue_below(p, 5);
        break;
    }
}

// The next request, good until the next one. The model says what is there to be asked about.
static inline const fb_store_request *queue_program_next(queue_program *p, model *m) {
    static const fb_store_verb often[] = {
        FB_STORE_ENQUEUE, FB_STORE_ENQUEUE, FB_STORE_ENQUEUE, FB_STORE_ENQUEUE, FB_STORE_ENQUEUE,
        FB_STORE_RESERVE, FB_STORE_RESERVE, FB_STORE_RESERVE, FB_STORE_RESERVE, FB_STORE_RESERVE,
        FB_STORE_ACK, FB_STORE_ACK, FB_STORE_FAIL, FB_STORE_FAIL, FB_STORE_RELEASE, FB_STORE_EXTEND,
        FB_STORE_GET, FB_STORE_CANCEL, FB_STORE_KICK, FB_STORE_KICK, FB_STORE_PURGE, FB_STORE_PAUSE,
        FB_STORE_LIST, FB_STORE_LIST, FB_STORE_LOOK, FB_STORE_LOOK, FB_STORE_IMPORT,
        FB_STORE_MARK_SET, FB_STORE_MARK_SET, FB_STORE_MARK_GET, FB_STORE_MARK_DROP,
        FB_STORE_MARK_LIST};
    uint32_t which = queue_below(p, MODEL_QUEUES);
    uint32_t pace = queue_below(p, 8);

    p->now_ms += pace < 3 ? 0 : pace < 6 ? (int64_t)queue_below(p, 40) : queue_some_ms(p) / 2;
    memset(&p->request, 0, sizeof(p->request));
    p->request.queue = queue_program_names[which];
    p->request.policy = &p->policies[which];
    p->request.now_ms = p->now_ms;
    p->request.timeout_ns = INT64_C(120000000000);
    p->request.token = p->token;
    p->request.verb = QUEUE_ONE_OF(p, often);
    if (model_count(model_queue_of(m, p->request.queue), -1) >= QUEUE_FULL_AT) {
        p->request.verb = FB_STORE_PURGE;
        p->request.state = (int)queue_below(p, FB_JOB_STATE_COUNT);
        p->request.count = 150;
        return &p->request;
    }
    queue_program_verb(p, m);
    p->token += p->request.count;
    return &p->request;
}

// ---- comparing

// Writes what differs where something does. `payloads`: the store gives them with its jobs.
typedef struct queue_match {
    const fb_store_request *request;
    const fb_store_reply *wanted, *got;
    bool payloads;
    bool about;              // oldest_ms may be less than it is
    char *why;
} queue_match;

static inline bool queue_number_is(const queue_match *match, const char *what, size_t i,
                                   int64_t wanted, int64_t got) {
    if (wanted != got) {
        (void)snprintf(match->why, QUEUE_WHY_SIZE,
                       "verb %d of %.*s at %lld: %s[%zu] is %lld, not %lld",
                       (int)match->request->verb, FB_STR_ARG(match->request->queue),
                       (long long)match->wanted->now_ms, what, i, (long long)got,
                       (long long)wanted);
    }
    return wanted == got;
}

static inline bool queue_text_is(const queue_match *match, const char *what, size_t i,
                                 fb_str wanted, fb_str got) {
    bool same = fb_str_equal(wanted, got);

    if (!same) {
        (void)snprintf(match->why, QUEUE_WHY_SIZE,
                       "verb %d of %.*s at %lld: %s[%zu] is \"%.*s\", not \"%.*s\"",
                       (int)match->request->verb, FB_STR_ARG(match->request->queue),
                       (long long)match->wanted->now_ms, what, i,
                       (int)(got.len < 60 ? got.len : 60), got.ptr,
                       (int)(wanted.len < 60 ? wanted.len : 60), wanted.ptr);
    }
    return same;
}

static inline bool queue_job_is(const queue_match *match, size_t i) {
    const fb_job *a = &match->wanted->jobs[i], *b = &match->got->jobs[i];
    bool payload =
        match->payloads && (match->request->verb != FB_STORE_LIST || match->request->flag);

#define SAME(member) queue_number_is(match, #member, i, (int64_t)a->member, (int64_t)b->member)
    return SAME(number) && SAME(state) && SAME(token) && SAME(end) && SAME(priority) &&
           SAME(attempt) && SAME(attempts) && SAME(enqueued_ms) && SAME(due_ms) &&
           SAME(claimed_ms) && SAME(lease_ms) && SAME(until_ms) && SAME(expires_ms) &&
           SAME(died_ms) && queue_text_is(match, "queue", i, a->queue, b->queue) &&
           queue_text_is(match, "kind", i, a->kind, b->kind) &&
           queue_text_is(match, "unique", i, a->unique, b->unique) &&
           queue_text_is(match, "error", i, a->error, b->error) &&
           queue_text_is(match, "progress", i, a->progress, b->progress) &&
           (!payload || queue_text_is(match, "payload", i, a->payload, b->payload));
#undef SAME
}

static inline bool queue_look_is(const queue_match *match) {
    const fb_queue_look *a = &match->wanted->look, *b = &match->got->look;
    bool same = true;

    for (size_t i = 0; i < FB_JOB_STATE_COUNT && same; i++) {
        same = queue_number_is(match, "counts", i, (int64_t)a->counts[i], (int64_t)b->counts[i]);
    }
    for (size_t i = 0; i < FB_JOB_PRIORITIES && same; i++) {
        same = queue_number_is(match, "ready", i, (int64_t)a->ready[i], (int64_t)b->ready[i]);
    }
    int64_t oldest_ms = match->about && b->oldest_ms < a->oldest_ms ? b->oldest_ms : a->oldest_ms;
    return same && queue_number_is(match, "oldest_ms", 0, oldest_ms, b->oldest_ms) &&
           queue_number_is(match, "next_ms", 0, a->next_ms, b->next_ms) &&
           queue_number_is(match, "paused", 0, a->paused, b->paused);
}

// The verbs that answer with a value.
static inline bool queue_has_value(fb_store_verb verb) {
    return verb == FB_STORE_ENQUEUE || verb == FB_STORE_KICK || verb == FB_STORE_PURGE ||
           verb == FB_STORE_PAUSE || verb == FB_STORE_IMPORT || verb == FB_STORE_MARK_GET ||
           verb == FB_STORE_MARK_DROP;
}

static inline bool queue_items_are(const queue_match *match) {
    const fb_store_reply *a = match->wanted, *b = match->got;
    bool same = queue_number_is(match, "has results", 0, a->results != NULL,
                                b->results != NULL && a->results != NULL);

    for (size_t i = 0; i < match->request->item_count && same && a->results != NULL; i++) {
        same = queue_number_is(match, "results", i, a->results[i], b->results[i]) &&
               (a->numbers == NULL || queue_number_is(match, "numbers", i, (int64_t)a->numbers[i],
                                                      (int64_t)b->numbers[i])) &&
               (a->ran_ms == NULL ||
                queue_number_is(match, "ran_ms", i, a->ran_ms[i], b->ran_ms[i])) &&
               (a->ends == NULL || queue_number_is(match, "ends", i, a->ends[i], b->ends[i]));
    }
    return same;
}

static inline bool queue_replies_match(const queue_match *match) {
    const fb_store_reply *a = match->wanted, *b = match->got;
    const fb_store_request *request = match->request;
    bool claims = request->verb == FB_STORE_RESERVE ||
                  (request->verb == FB_STORE_ACK && request->count > 0);

    if (!queue_number_is(match, "result", 0, a->result, b->result) || a->result == FB_STORE_FULL) {
        return a->result == b->result;
    }
    bool same = !queue_has_value(request->verb) ||
                queue_number_is(match, "value", 0, (int64_t)a->value, (int64_t)b->value);
    same = same && queue_items_are(match) &&
           queue_number_is(match, "job_count", 0, (int64_t)a->job_count, (int64_t)b->job_count) &&
           queue_number_is(match, "mark_count", 0, (int64_t)a->mark_count, (int64_t)b->mark_count);
    for (size_t i = 0; i < a->job_count && same; i++) {
        same = queue_job_is(match, i);
    }
    for (size_t i = 0; i < a->mark_count && same; i++) {
        same = queue_text_is(match, "mark", i, a->marks[i].name, b->marks[i].name) &&
               queue_number_is(match, "mark", i, a->marks[i].value, b->marks[i].value);
    }
    if (same && claims) {
        same = queue_number_is(match, "next_ms", 0, a->look.next_ms, b->look.next_ms);
    }
    return same && (request->verb != FB_STORE_LOOK || queue_look_is(match));
}

// ---- over a port

typedef struct queue_run {
    fb_queue_port *port;
    uint64_t seed;
    size_t steps;
    bool payloads;
    bool about;               // 0008, 10: Redis looks at the first in line alone
    void (*turn)(void *arg);  // NULL: answers come by themselves, on another thread
    void *turn_arg;
    // Private to what is below.
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done, same;
    queue_match match;
} queue_run;

static inline void queue_run_answered(void *arg, const fb_store_reply *reply) {
    queue_run *run = arg;

    (void)pthread_mutex_lock(&run->lock);
    run->match.got = reply;
    run->same = queue_replies_match(&run->match);
    run->done = true;
    (void)pthread_cond_signal(&run->answered);
    (void)pthread_mutex_unlock(&run->lock);
}

static inline bool queue_run_wait(queue_run *run) {
    struct timespec until;
    bool done;
    int result = 0;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 120;
    (void)pthread_mutex_lock(&run->lock);
    while (!run->done && run->turn == NULL && result == 0) {
        result = pthread_cond_timedwait(&run->answered, &run->lock, &until);
    }
    while (!run->done && run->turn != NULL) {
        (void)pthread_mutex_unlock(&run->lock);
        run->turn(run->turn_arg);
        (void)pthread_mutex_lock(&run->lock);
    }
    done = run->done;
    (void)pthread_mutex_unlock(&run->lock);
    return done;
}

static inline bool queue_run_step(queue_run *run, queue_program *p, model *m, model_reply *wanted) {
    const fb_store_request *request = queue_program_next(p, m);

    model_step(m, request, p->now_ms, wanted);
    run->match.request = request;
    run->match.wanted = &wanted->reply;
    run->match.payloads = run->payloads;
    run->match.about = run->about;
    run->done = false;
    int result = run->port->send(run->port, request, queue_run_answered, run);
    if (result != FB_OK) {
        (void)snprintf(run->match.why, QUEUE_WHY_SIZE, "verb %d: send() gave %s",
                       (int)request->verb, fb_result_name(result));
        return false;
    }
    if (!queue_run_wait(run)) {
        (void)snprintf(run->match.why, QUEUE_WHY_SIZE, "verb %d: no answer in 120 s",
                       (int)request->verb);
        return false;
    }
    return run->same;
}

// Whether every answer was the model's; `why` (QUEUE_WHY_SIZE bytes) says which was not.
static inline bool queue_program_run(queue_run *run, char *why) {
    queue_program *p = malloc(sizeof(*p));
    model *m = calloc(1, sizeof(*m));
    model_reply *wanted = calloc(1, sizeof(*wanted));
    bool same = p != NULL && m != NULL && wanted != NULL;
    size_t step = 0;

    (void)pthread_mutex_init(&run->lock, NULL);
    (void)pthread_cond_init(&run->answered, NULL);
    run->match.why = why;
    why[0] = '\0';
    if (same) {
        queue_program_init(p, run->seed);
    }
    for (; step < run->steps && same; step++) {
        same = queue_run_step(run, p, m, wanted);
    }
    if (!same) {
        size_t len = strlen(why);
        (void)snprintf(why + len, QUEUE_WHY_SIZE - len, " (seed %llu, step %zu)",
                       (unsigned long long)run->seed, step);
    }
    (void)pthread_cond_destroy(&run->answered);
    (void)pthread_mutex_destroy(&run->lock);
    free(wanted);
    free(m);
    free(p);
    return same;
}

#endif
