// forebay/queue.h -- durable jobs: accepted now, done later, by workers here or anywhere.
//
//     fb_job_spec spec = {.queue = FB_STR("reports"), .kind = FB_STR("monthly"),
//                         .payload = FB_STR("{\"user\":42}"), .priority = FB_JOB_PRIORITY_UNSET};
//     fb_enqueued job;
//     if (fb_queue_enqueue(engine, &spec, 1, &job, &error) == FB_OK) { … job.id … }
//
// Queues are declared in the configuration (`queues`), each with its policy; `default` and `mail` are
// there from the start. Without a shared tier they are kept in one file of this machine (`queue.file`,
// SQLite), with one in Redis or Valkey, for all nodes; `queue.store` says otherwise.
//
//   enqueue → SCHEDULED (run later) → READY → LEASED → done, and gone
//                 ↑        ↑                 │  ├─ failed, attempts left → SCHEDULED (back-off)
//                 │        └─────────────────┘  ├─ lease over, attempts left → READY, first in line
//               kick                            └─ attempts used up, permanent, expired → DEAD → gone
//
// Promised: what was accepted is stored as durably as the store is told to; a job runs at least once;
// it is claimed at most `attempts` times, crashes included; what a worker abandons runs again within
// lease + 1 s while anybody reserves; one live job for each unique key. Not promised: effects exactly
// once, order across retries.
//
// An attempt counts when the job is claimed. Who finishes, fails or extends a job shows its token; when
// the lease is over (or the job was cancelled) he is told FB_LOST, and nothing changes.
//
// Times: Unix milliseconds (`_ms` of an instant) or milliseconds from now. Threads: any. A call waits
// for the store: on a loop of the engine only within a fiber (fb_run()); elsewhere on a loop there is
// fb_queue_start(), which never waits.

#ifndef FOREBAY_QUEUE_H
#define FOREBAY_QUEUE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_engine fb_engine;

enum {
    FB_QUEUE_NAME_MAX = 64,      // letters, digits, "_"
    FB_JOB_KIND_MAX = 64,        // bytes; any but control characters
    FB_JOB_UNIQUE_MAX = 256,
    FB_JOB_TEXT_MAX = 500,       // of an error or a progress; the rest is cut
    FB_JOB_BATCH_MAX = 1000,     // jobs in one call
    FB_QUEUE_NAMES_MAX = 16,     // queues in one reserve
    FB_JOB_PRIORITIES = 10,      // 0 (urgent) … 9
    FB_JOB_PRIORITY_UNSET = -1,  // the queue's
    FB_JOB_ID_SIZE = 88          // "reports.1042" and its NUL
};

// Name, text, and what it means.
#define FB_JOB_STATES(X)                                                  \
    X(SCHEDULED, "scheduled", "its time has not come")                    \
    X(READY, "ready", "waits for a worker")                               \
    X(LEASED, "leased", "a worker has it")                                \
    X(DEAD, "dead", "given up; kept for people to look at, then removed")
typedef enum fb_job_state {
#define FB_JOB_STATE_ENUM(name, text, help) FB_JOB_##name,
    FB_JOB_STATES(FB_JOB_STATE_ENUM)
#undef FB_JOB_STATE_ENUM
} fb_job_state;
enum { FB_JOB_STATE_COUNT = FB_JOB_DEAD + 1 };

// Why a job is DEAD.
#define FB_JOB_ENDS(X)                                             \
    X(NONE, "", "it is not")                                       \
    X(ATTEMPTS, "attempts", "its last attempt failed")             \
    X(PERMANENT, "permanent", "a worker said that it never will")  \
    X(ABANDONED, "abandoned", "the lease of its last attempt ended") \
    X(EXPIRED, "expired", "it was not begun in time")
typedef enum fb_job_end {
#define FB_JOB_END_ENUM(name, text, help) FB_JOB_END_##name,
    FB_JOB_ENDS(FB_JOB_END_ENUM)
#undef FB_JOB_END_ENUM
} fb_job_end;
FB_API const char *fb_job_state_text(fb_job_state state);
FB_API const char *fb_job_end_text(fb_job_end end);

typedef struct fb_job_spec {
    fb_str queue, kind, payload;
    fb_str unique;        // while a job of this key lives (is not DEAD) no other begins; empty: none
    int priority;         // 0 … 9, FB_JOB_PRIORITY_UNSET
    int64_t delay_ms;     // ≥ 0
    int64_t at_ms;        // Unix time to run at, instead of a delay; 0: see delay_ms
    uint32_t attempts;    // in all; 0: the queue's
    int64_t lease_ms;     // 0: the queue's
    int64_t expires_ms;   // from now: not begun by then it is DEAD; 0: the queue's
} fb_job_spec;

typedef struct fb_job {
    fb_str queue;
    uint64_t number;      // < 2^53; with the queue its id (fb_job_id_write())
    uint64_t token;       // of the claim, < 2^53; LEASED, and only told to who claims it
    fb_str kind, payload, unique;
    fb_str error;         // of the last failure
    fb_str progress;      // what its worker said last
    fb_job_state state;
    fb_job_end end;       // DEAD
    uint8_t priority;
    uint32_t attempt;     // claims so far, this one included
    uint32_t attempts;    // at most
    int64_t enqueued_ms;
    int64_t due_ms;       // SCHEDULED: when it becomes READY; else: when it did
    int64_t claimed_ms;   // LEASED
    int64_t lease_ms;     // how long a lease is
    int64_t until_ms;     // LEASED: when the lease ends
    int64_t expires_ms;   // 0: never
    int64_t died_ms;      // DEAD
} fb_job;

// "reports.1042" and back; text has FB_JOB_ID_SIZE bytes. parse: FB_ESYNTAX; *queue points into `id`.
FB_API const char *fb_job_id_write(fb_str queue, uint64_t number, char *text);
FB_API FB_CHECK_RESULT int fb_job_id_parse(fb_str id, fb_str *queue, uint64_t *number);

// ---- every call as data: what the doors use

// Name, text, and what it asks for. Each of one queue but RESERVE.
#define FB_QUEUE_VERBS(X)                                                                          \
    X(ENQUEUE, "enqueue", "specs → numbers, results (FB_OK; FB_REFUSED: its unique key has a job " \
                          "already, whose number is told)")                                        \
    X(RESERVE, "reserve", "queues, count, wait_ms, worker → jobs with tokens, may be none")        \
    X(ACK, "ack", "claims → results (FB_OK, FB_LOST); with `count`, and jobs reserved in one step") \
    X(FAIL, "fail", "claims, delay_ms, permanent, text → results")                                 \
    X(RELEASE, "release", "claims, delay_ms → results; handed back: the attempt does not count")   \
    X(EXTEND, "extend", "claims, lease_ms, text → results; another lease, and its progress")       \
    X(GET, "get", "numbers → jobs with payloads, results (FB_OK, FB_MISS)")                        \
    X(CANCEL, "cancel", "numbers → results (FB_OK, FB_MISS): gone, whatever its state")            \
    X(KICK, "kick", "numbers, or none: `state` (SCHEDULED or DEAD), at most `count` → READY now, "  \
                    "with new attempts where DEAD; value: how many; results where named "          \
                    "(FB_OK, FB_MISS, FB_REFUSED: its unique key has another job)")                \
    X(PURGE, "purge", "state → value: how many were removed (LEASED too: workers are told)")       \
    X(PAUSE, "pause", "flag: nothing is reserved until it is resumed; → value: whether it changed") \
    X(LIST, "list", "state, after, count → jobs without payloads, by number; after the number "    \
                    "`after`")                                                                     \
    X(LOOK, "look", "→ figures")                                                                   \
    X(MOVE, "move", "from the store that is not this queue's → value: how many jobs")

typedef enum fb_queue_verb {
#define FB_QUEUE_VERB_ENUM(name, text, help) FB_QUEUE_##name,
    FB_QUEUE_VERBS(FB_QUEUE_VERB_ENUM)
#undef FB_QUEUE_VERB_ENUM
} fb_queue_verb;

typedef struct fb_job_claim {
    uint64_t number, token;
} fb_job_claim;

typedef struct fb_queue_call {
    fb_queue_verb verb;
    fb_str queue;                // of all verbs but RESERVE; of ENQUEUE the specs' own count
    const fb_str *queues;        // RESERVE: in the order in which they are looked at
    size_t queue_count;
    const fb_job_spec *specs;
    const fb_job_claim *claims;  // ACK, FAIL, RELEASE, EXTEND; GET, CANCEL, KICK: their numbers
    size_t item_count;           // of specs or claims; FB_JOB_BATCH_MAX at most
    uint32_t count;
    int64_t wait_ms;             // RESERVE: for the first job; 0: it does not wait
    int64_t delay_ms;            // FAIL: -1: the queue's back-off
    int64_t lease_ms;            // EXTEND; RESERVE: 0: the job's
    bool permanent, flag;
    fb_job_state state;
    uint64_t after;
    fb_str text;                 // FAIL: the error; EXTEND: progress, ptr NULL: as it was
    fb_str worker;               // RESERVE: who asks, for people; may be empty
} fb_queue_call;

typedef struct fb_queue_look {
    uint64_t counts[FB_JOB_STATE_COUNT];
    uint64_t ready[FB_JOB_PRIORITIES];
    int64_t oldest_ms;           // age of the job that is READY longest; 0: none is
    int64_t next_ms;             // Unix time when a job becomes due or a lease ends; INT64_MAX: none
    bool paused;
    const char *store;           // "journal", "redis"
} fb_queue_look;

typedef struct fb_queue_answer {
    int result;                  // of the whole; < 0: nothing was done, but see fb_queue_start()
    const char *error;           // detail of it, may be ""
    const fb_job *jobs;
    size_t job_count;
    const int *results;          // of each item; NULL where the verb has none
    const uint64_t *numbers;     // ENQUEUE, of each item
    uint64_t value;
    fb_queue_look look;
} fb_queue_answer;

typedef void (*fb_queue_fn)(void *arg, const fb_queue_answer *answer);
typedef struct fb_queue_wait fb_queue_wait;

// Asks, and calls `fn` once with the answer, which is good until fn returns: on the calling loop (the
// calling thread's, if it is one of the engine's; else any thread of the engine's), perhaps before
// this returns. `call` and what it points to is copied. *wait (may be NULL) is of a RESERVE that waits,
// for fb_queue_stop(); it is good until `fn` is called.
// FB_OK. FB_ENOQUEUE, FB_EINVAL, FB_ETOOBIG (payload, kind, key), FB_ENOMEM, FB_ECLOSED: `fn` is not
// called. Answers: FB_OK; FB_EFULL (the disk, or `jobs_max`): nothing was accepted; FB_EIO,
// FB_ETIMEDOUT: the store did not answer, and it may have been done (an ENQUEUE with a unique key may be
// asked again); FB_EVOLATILE: the Redis there may lose or evict jobs (`queue.allow_volatile`).
FB_API FB_CHECK_RESULT int fb_queue_start(fb_engine *engine, const fb_queue_call *call, fb_queue_fn fn,
                                          void *arg, fb_queue_wait **wait, fb_error *error);
// A RESERVE that waits is answered now, with nothing or with what it has just been given. On the thread
// that started it, before it is answered.
FB_API void fb_queue_stop(fb_engine *engine, fb_queue_wait *wait);
// The same, waiting: `fn` (may be NULL) is called on this thread. What fb_queue_start() returns, or the
// answer's result; error (may be NULL) has its text.
FB_API FB_CHECK_RESULT int fb_queue_ask(fb_engine *engine, const fb_queue_call *call, fb_queue_fn fn,
                                        void *arg, fb_error *error);

// ---- the same for programs

typedef struct fb_enqueued {
    int result;                  // FB_OK; FB_REFUSED: the job of its unique key, which was there
    char id[FB_JOB_ID_SIZE];
} fb_enqueued;
// All of one queue, or an error and none; of a queue in several partitions each of them by itself: then
// `result` of a job may be an error.
FB_API FB_CHECK_RESULT int fb_queue_enqueue(fb_engine *engine, const fb_job_spec *specs, size_t count,
                                            fb_enqueued *jobs, fb_error *error);

// ---- workers

typedef struct fb_work fb_work;
// Does a job. FB_OK: it is done. Any other result: it failed, and is tried again while it has attempts;
// fb_work_fail() says more. The job is good until it returns. Its lease is extended meanwhile.
typedef int (*fb_work_fn)(void *arg, const fb_job *job, fb_work *work);
// For the result that is about to be returned: why; not to be tried again; after how long (-1: the
// queue's back-off).
FB_API void fb_work_fail(fb_work *work, const char *text, bool permanent, int64_t delay_ms);
// Instead of failing: handed back, to be claimed again after delay_ms; the attempt does not count.
FB_API void fb_work_release(fb_work *work, int64_t delay_ms);
FB_API void fb_work_progress(fb_work *work, fb_str text);
// The lease was lost, or the worker is being stopped: what a long job looks at now and then.
FB_API bool fb_work_is_over(const fb_work *work);

typedef struct fb_worker_options {
    const fb_str *queues;
    size_t queue_count;
    uint32_t concurrency;        // threads; 0: 1
    fb_work_fn work;
    void *arg;
    fb_str name;                 // for people; empty: host name and process id
} fb_worker_options;
typedef struct fb_worker fb_worker;
// Starts its threads. Errors of the store are waited out with growing pauses. FB_OK; FB_ENOQUEUE,
// FB_EINVAL, FB_ENOMEM, FB_EIO (no thread).
FB_API FB_CHECK_RESULT int fb_worker_new(fb_engine *engine, const fb_worker_options *options,
                                         fb_worker **worker, fb_error *error);
// Reserves nothing more; waits up to drain_ms for what is being done, says over to the rest and waits
// for it; what was reserved and not begun is handed back. Before fb_close(). NULL is fine.
FB_API void fb_worker_free(fb_worker *worker, int64_t drain_ms);
// Until fb_worker_stop(), from any thread or signal handler: then frees it. For a main() that is only a
// worker. Results of fb_worker_new().
FB_API FB_CHECK_RESULT int fb_worker_run(fb_engine *engine, const fb_worker_options *options,
                                         int64_t drain_ms, fb_error *error);
FB_API void fb_worker_stop(void);

// ---- figures of this process, since it started

#define FB_QUEUE_COUNTERS(X)                                                    \
    X(enqueued, "jobs accepted")                                                \
    X(duplicate, "not accepted: their unique key had a job")                    \
    X(refused, "not accepted: an error of the store, or full")                  \
    X(reserved, "claims")                                                       \
    X(done, "acknowledged")                                                     \
    X(failed, "attempts that failed")                                           \
    X(died, "of the failed: given up")                                          \
    X(released, "handed back")                                                  \
    X(lost, "told that their lease was over")                                   \
    X(errors, "calls that the store did not answer, or answered with an error")
typedef struct fb_queue_figures {
    char name[FB_QUEUE_NAME_MAX + 1];
    const char *store;           // "journal", "redis"
    const char *worker;          // "", "mail", "webhook"
    bool reachable;              // `look` is of the last second or so; false: the store does not answer
    fb_queue_look look;
#define FB_QUEUE_COUNTER_FIELD(field, help) uint64_t field;
    FB_QUEUE_COUNTERS(FB_QUEUE_COUNTER_FIELD)
#undef FB_QUEUE_COUNTER_FIELD
    struct fb_queue_times {      // microseconds
        uint64_t count, mean_us, p50_us, p95_us, p99_us;
    } enqueue, wait, run;        // answering an enqueue; READY until claimed; claimed until finished
    struct {
        char text[80];           // of failures, the first bytes
        uint64_t count, error;   // as fb_limit_figures.top
    } reasons[8];
    uint32_t reason_count;
} fb_queue_figures;
// Of each declared queue in the order of the configuration; what is in the store is asked for at most
// once a second, and never waited for. Good until `fn` returns. FB_ENOMEM.
typedef void (*fb_queue_figures_fn)(void *arg, const fb_queue_figures *figures);
FB_API FB_CHECK_RESULT int fb_queue_figures_read(fb_engine *engine, fb_queue_figures_fn fn, void *arg);
// Whether the queues' store takes jobs; *text (of 256 bytes) says why not: for health. `shared` is what
// fb_shared_info_read() or fb_stats_read() said of the shared tier, where more is said of that beside it: two
// looks may see two states. NULL: it is looked at now.
struct fb_shared_info;
FB_API bool fb_queue_healthy(fb_engine *engine, const struct fb_shared_info *shared, char *text);
// Where queues are kept: "journal", "redis".
FB_API const char *fb_queue_store_name(const fb_engine *engine);

#ifdef __cplusplus
}
#endif

#endif
