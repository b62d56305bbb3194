// redis/remote_state.h -- what the files of the port share: a question on its way, and its loop's
// side of the shared tier.
//
//   send() ─ requests.c encodes ─ step ─▶ route ─▶ replies.c decodes ─▶ on_reply
//                                  └ a second step: plain layouts, whose mark lies in another slot
//
// Threads: a remote belongs to its loop; fb_redis is for all, under its lock.

#ifndef FB_REDIS_REMOTE_STATE_H
#define FB_REDIS_REMOTE_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/list.h"
#include "redis/envelope.h"
#include "redis/limits.h"
#include "redis/queue.h"
#include "redis/remote.h"
#include "redis/step.h"

typedef struct fb_dictionaries fb_dictionaries;  // redis/dictionary.h
typedef struct fb_channel fb_channel;            // redis/channel.h

// ---- what all loops share

typedef struct fb_log_name {
    char *prefix;  // "forebay:{forebay.17}:"
    size_t prefix_len;
    uint16_t slot;
} fb_log_name;

enum { FB_PLAIN_STORES = 4096 };
typedef struct fb_plain_store {
    uint64_t key_hash, version;
} fb_plain_store;

struct fb_redis {
    fb_redis_options options;  // its texts are owned
    fb_redis_tls *tls;
    fb_log_name *logs;         // of the partitions; the wide one is the last
    char *channel;             // "forebay:records"
    char client_name[32];      // routes keep a pointer to it
    fb_dictionaries *dictionaries;
    atomic_uint_fast64_t epochs;  // of all logs in one number, as STATE saw them last
    atomic_uint_fast64_t commands;
    pthread_mutex_t lock;
    // under it
    fb_redis_class *classes;   // their texts are owned
    size_t class_count;
    uint64_t class_generation;
    fb_redis_status status;
    uint32_t opened, up;       // remotes
    fb_remote *follower;
    fb_plain_store stores[FB_PLAIN_STORES];  // redis/plain.h
};

// ---- a question

typedef struct fb_ask fb_ask;
// Of STATE in a Cluster: the mark of one log.
typedef struct fb_piece {
    fb_ask *ask;
    uint32_t log;
} fb_piece;

struct fb_ask {
    fb_list list;
    fb_remote *remote;
    fb_sync_verb verb;
    bool plain;
    uint32_t log;
    int64_t deadline_ns;
    fb_step steps[2];
    uint8_t step_count, step;
    fb_sync_reply reply;     // as it comes together
    char text[192];          // reply.text
    fb_mark wide;            // plain GET: what is said of the value
    uint64_t plain_store;    // plain SET, FILL: of redis/plain.h; 0: none
    fb_buf held_value;       // an envelope that waits for its dictionary
    bool dictionary_asked;
    void *array;             // what reply's arrays point to
    fb_piece *pieces;        // STATE in a Cluster
    size_t pieces_left;
};

enum { FB_REMOTE_LOST_MAX = 256 };

// A remote's side of queues (redis/queue.h).
typedef struct fb_queue_side {
    fb_queue_port port;
    bool allow_volatile;
    bool said_unknown, said_deaf;  // logged once
    bool listens;
    fb_conn *line;                 // that listens
    uint32_t turn;                 // which partition is next
    uint8_t fit[FB_SLOTS / 8];     // servers that were looked at, by slot; alone: the first
} fb_queue_side;

struct fb_remote {
    fb_sync_port port;  // first: the port is the remote
    fb_limit_port limit_port;
    fb_queue_side queue;
    fb_redis *redis;
    fb_sync_events events;
    struct event_base *base;
    struct evdns_base *dns;
    fb_route *route;
    fb_list asks;       // those that wait for an answer of the route
    fb_list refused;    // those to be answered by `late`
    struct event *late;
    uint64_t lost[FB_REMOTE_LOST_MAX];  // ids for which there was not even an ask
    size_t lost_count;
    fb_buf record, value, packed;       // scratch of requests.c
    struct ZSTD_CCtx_s *cctx;           // of dictionary.c, made when first needed
    struct ZSTD_DCtx_s *dctx;
    bool follows, opened, closing;
    bool route_up, told_up;
    bool joined, barred;  // the nodes of the namespace have as many partitions, or not (join.c)
    char why[192];
    char part[192];  // what part of it is away, while it is up
    fb_channel *channel;
};

// ---- requests.c
// Fills in ask->steps. FB_OK; FB_ENOMEM; FB_EINVAL: ask->text says why it cannot be done.
FB_CHECK_RESULT int fb_request_encode(fb_ask *ask, const fb_sync_request *request);
// A step of one script on one log: its mark, or (STATE) node and mark of the wide one.
FB_CHECK_RESULT int fb_request_mark(fb_ask *ask, fb_step *step, uint32_t log);

// ---- replies.c
typedef enum fb_reply_next {
    FB_REPLY_READY,       // ask->reply is complete
    FB_REPLY_STEP,        // the second step is to be sent
    FB_REPLY_MARK,        // plain: nothing was done; the mark is to be asked for
    FB_REPLY_DICTIONARY,  // ask->held_value waits for a dictionary
    FB_REPLY_AGAIN        // the value cannot be read: a lease is to be asked for
} fb_reply_next;
fb_reply_next fb_reply_take(fb_ask *ask, const fb_resp_value *value);
// Once more, of ask->held_value.
fb_reply_next fb_reply_retry(fb_ask *ask);
bool fb_reply_mark(const fb_resp_value *epoch, const fb_resp_value *seq,
                   const fb_resp_value *nonce, fb_mark *mark);
// FAILED or UNKNOWN, with `text`, cut.
void fb_reply_fail(fb_ask *ask, fb_sync_result result, const char *text);
// child `index` of an array, or a null.
const fb_resp_value *fb_reply_item(const fb_resp_value *array, size_t index);
bool fb_reply_is(const fb_resp_value *value, const char *text);

// ---- remote.c
void fb_ask_answer(fb_ask *ask);  // tells it, and frees it
void fb_ask_refuse(fb_ask *ask, int result);  // the same, in the next turn of the loop
// Sends the step at ask->step; on failure the ask is refused.
void fb_ask_send(fb_ask *ask);
// Goes on as `next` says.
void fb_ask_go_on(fb_ask *ask, fb_reply_next next);
// Says that the remote is up when route and channel are, or that it is not.
void fb_remote_tell(fb_remote *remote);
// A command that is no script, of `args`; counted. FB_OK: one call of `fn`.
typedef struct fb_remote_command {
    const fb_str *args;
    size_t arg_count;
    uint16_t slot;
    fb_route_server *server;  // NULL: by its slot
    bool repeatable;
    int64_t deadline_ns;
    fb_conn_reply_fn fn;
    void *arg;
} fb_remote_command;
FB_CHECK_RESULT int fb_remote_send(fb_remote *remote, const fb_remote_command *command);

// ---- limits.c: the limit port's send().
int fb_limits_send(fb_limit_port *port, const fb_limit_request *request, fb_limit_reply_fn fn,
                   void *arg);

// ---- queue.c, queue_fit.c, queue_listen.c
void fb_remote_queue_init(fb_remote *remote);
// Other servers, or other connections to them: they are looked at again.
void fb_remote_queue_doubt(fb_remote *remote);
// Where it is to listen and does not; and no more, for now.
void fb_remote_queue_listen_open(fb_remote *remote);
void fb_remote_queue_listen_close(fb_remote *remote);

// ---- sweep.c
void fb_sweep_start(fb_ask *ask, fb_str glob);

// ---- join.c: asked when the route is up; tells (fb_remote_tell()) when it is known.
void fb_join_ask(fb_remote *remote);

// ---- fitness.c: asks every server what it is; fb_redis_status has it then.
void fb_fitness_check(fb_remote *remote);
// What of a server's INFO does not suit.
void fb_fitness_judge(fb_redis *redis, const char *name, fb_str info);

#endif
