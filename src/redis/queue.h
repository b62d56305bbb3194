// redis/queue.h -- queue/port.h over Redis or Valkey: one script a verb, by the server's clock, on
// the connections of a remote. What the steps are says docs/decisions/0008; a test runs the machine
// (queue/machine.h) and this on the same programs.
//
// All keys of a queue's partition lie in one slot: forebay:{q:NAME:PARTITION}:… (queue_step.c); a
// job's number has its partition in the lowest six bits. A job with a unique key lies in the
// partition of that key's hash; those without, of one ENQUEUE, lie together, another time in the
// next partition. A RESERVE begins with another partition each time and goes on where one has too
// few. Each partition takes its share of jobs_max and dead_max, and what is looked at per step
// (1000 leases, …) is so in each. A queue that is to have fewer partitions must be empty; with more
// of them a unique key may move, and have two jobs until the first is done.
//
// One step is one script, and so wholly done or not at all: an ENQUEUE without unique keys, with
// one partition, or of one job; whatever names jobs of one partition. What falls into several is
// several scripts: then the answer is DONE where one of them was, and the results of the others'
// items say FB_EIO (not done), FB_ETIMEDOUT (perhaps), FB_EFULL or FB_EVOLATILE. With a mark,
// partition 0 is asked last, and a repetition takes each job once whatever came between.
//
// Nothing that changes anything is sent twice once it may have gone out; an answer that is missing
// is UNKNOWN. A claim that nobody heard of runs out. Where the server is known to be away send()
// says FB_EIO at once. FULL: also of a server without memory or disk.
//
// Before the first job is taken the server is looked at: one that evicts any key (maxmemory-policy
// allkeys-…; volatile-… takes no key of a queue, none of which ends by itself), or writes no log
// (appendonly no), is VOLATILE unless `allow_volatile`; looked at again whenever the connection is
// new. What an asynchronous fail-over can lose is said in docs/queue.md.
//
// Whatever makes a job READY or SCHEDULED tells all nodes through PUBLISH forebay:q NAME; on_ready
// is called where this node listens (fb_remote_queue_listen()).
//
// Threads: the remote's loop.

#ifndef FB_REDIS_QUEUE_H
#define FB_REDIS_QUEUE_H

#include "queue/port.h"
#include "redis/remote.h"

#ifdef __cplusplus
extern "C" {
#endif

// Good as long as the remote.
fb_queue_port *fb_remote_queue_port(fb_remote *remote);
void fb_remote_queue_allow_volatile(fb_remote *remote, bool allow);
// From now on on_ready is called, also after each new connection (for FB_STR(""): all queues).
FB_CHECK_RESULT int fb_remote_queue_listen(fb_remote *remote);

#ifdef __cplusplus
}
#endif

#endif
