// queue/port.h -- where queues are kept: one request of one queue at a time, answered when it is
// stored. journal/ implements it by the machine (queue/machine.h) and SQLite, redis/queue.c by
// scripts that do the same steps; docs/decisions/0008 says what both have to agree in.
//
// Requests are resolved: names, limits and defaults have been looked after by the engine. Each is
// one step, done wholly or not at all, but for items with results of their own.
//
// Memory: what a request points to is good until send() returns; what a reply points to, until the
// function that takes it returns. Threads: the implementation says.

#ifndef FB_QUEUE_PORT_H
#define FB_QUEUE_PORT_H

#include "queue/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_store_verb {
    // `jobs`: kind, payload, unique, priority, attempts, lease_ms; delay_ms of each, or due_ms;
    // life_ms. With `mark`: only if the mark is not there or below mark_value, which it is then
    // raised to; else FB_STORE_DONE with `value` 0 and no results (1: they were taken).
    // → results FB_OK, FB_REFUSED; numbers
    FB_STORE_ENQUEUE,
    // `count`, token (and the next ones, token + i), lease_ms (0: the job's), text (who): promotes
    // what is due, takes back leases that are over, then claims → jobs, look.next_ms (≤ now: ask
    // again)
    FB_STORE_RESERVE,
    FB_STORE_ACK,      // claims; count > 0: then as RESERVE → results, ran_ms, jobs
    // claims, delay_ms (-1: back-off, by `random`), permanent, text → results, ran_ms, ends
    FB_STORE_FAIL,
    FB_STORE_RELEASE,  // claims, delay_ms → results
    FB_STORE_EXTEND,   // claims, lease_ms, text (ptr NULL: as it was) → results
    FB_STORE_GET,      // claims (numbers) → jobs in this order (those that are there), results
    FB_STORE_CANCEL,   // claims → results
    FB_STORE_KICK,     // claims, or none: state, count → value, results
    FB_STORE_PURGE,    // state, count (at most so many in one step) → value
    FB_STORE_PAUSE,    // flag → value
    // state, or -1 for all; after, count; flag: with payloads and tokens → jobs, by number
    FB_STORE_LIST,
    FB_STORE_LOOK,     // → look
    // Moving: jobs as LIST tells them, tokens included, with their numbers, in their states; where
    // a number is taken the job gets another one (without `flag` it replaces what has it); a unique
    // key that is taken is left out. Only those above mark_value of `mark`, which is raised to the
    // last. → value: how many were taken; numbers: which each has here (0: it was not taken)
    FB_STORE_IMPORT,
    // Small durable numbers by name, of a queue: schedules that fired, addresses that are
    // suppressed.
    FB_STORE_MARK_SET, // mark, mark_value; life_ms (0: for ever)
    FB_STORE_MARK_GET, // mark → value, result FB_STORE_DONE or FB_STORE_MISS
    FB_STORE_MARK_DROP, // mark → value: whether it was there
    FB_STORE_MARK_LIST // mark: the beginning of names; after_mark; count → marks, by name
} fb_store_verb;

typedef struct fb_store_job {
    fb_job job;         // ENQUEUE: what a spec says, resolved; IMPORT: all of it
    int64_t delay_ms;   // ENQUEUE: where job.due_ms is 0
    int64_t life_ms;    // ENQUEUE: until it expires, from now; 0: never
} fb_store_job;

typedef struct fb_store_request {
    fb_store_verb verb;
    fb_str queue;
    const fb_queue_policy *policy;
    const fb_store_job *jobs;
    const fb_job_claim *claims;
    size_t item_count;
    uint32_t count;
    uint64_t token;      // first of those to be given; all below 2^53
    int64_t lease_ms, delay_ms, life_ms;
    bool permanent, flag;
    int state;           // fb_job_state
    uint64_t after;
    uint32_t random;     // 0 … 1023: the jitter of back-off
    fb_str text;
    fb_str mark, after_mark;
    int64_t mark_value;
    int64_t now_ms;      // 0: the store's own clock; tests give one
    int64_t timeout_ns;
} fb_store_request;

typedef enum fb_store_result {
    FB_STORE_DONE,
    FB_STORE_MISS,
    FB_STORE_FULL,       // refused: no room (disk, memory, jobs_max)
    FB_STORE_VOLATILE,   // refused: it may lose or evict jobs
    FB_STORE_FAILED,     // not done
    FB_STORE_UNKNOWN     // perhaps done
} fb_store_result;

typedef struct fb_store_mark {
    fb_str name;
    int64_t value;
} fb_store_mark;

typedef struct fb_store_reply {
    fb_store_result result;
    const fb_job *jobs;
    size_t job_count;
    const int *results;      // item_count of them, or NULL
    const uint64_t *numbers; // ENQUEUE, IMPORT
    const int64_t *ran_ms;   // ACK, FAIL: since it was claimed
    const int *ends;         // FAIL: fb_job_end; NONE: it will be tried again
    uint64_t value;
    const fb_store_mark *marks;
    size_t mark_count;
    fb_queue_look look;      // RESERVE, ACK: next_ms alone
    int64_t now_ms;          // by the store's clock
    const char *text;        // detail, may be ""
} fb_store_reply;

typedef void (*fb_store_reply_fn)(void *arg, const fb_store_reply *reply);

typedef struct fb_queue_port fb_queue_port;
struct fb_queue_port {
    const char *name;        // "journal", "redis"
    // One call of `fn`, later or on another thread, never from within send(). FB_OK; FB_ENOMEM,
    // FB_EOVERLOAD, FB_ECLOSED, FB_EIO (it is known to be away): no call will come.
    int (*send)(fb_queue_port *port, const fb_store_request *request, fb_store_reply_fn fn,
                void *arg);
    // Set by who uses it, before the first send: something may have become READY in `queue` that he
    // did not put there. On any thread of the port's. May be NULL.
    void (*on_ready)(void *arg, fb_str queue);
    void *on_ready_arg;
};

#ifdef __cplusplus
}
#endif

#endif
