// crew.h -- the threads that ask the daemon for one JavaScript environment, and the clients they
// ask through. No N-API in here.
//
// Threads: fb_crew_submit(), fb_crew_flush(), fb_crew_collect() and fb_crew_stop() are the
// environment's own; the crew makes threads of its own as they are needed, and lets them end when
// they idle. Memory: operations and notes are malloc'ed one by one.

#ifndef FB_JS_CREW_H
#define FB_JS_CREW_H

#include <forebay/client.h>

#include <pthread.h>
#include <stdatomic.h>

typedef struct fb_crew fb_crew;
typedef struct fb_js_client fb_js_client;
typedef struct fb_op fb_op;
typedef struct fb_note fb_note;

typedef enum fb_op_kind {
    FB_OP_GET,
    FB_OP_SET,
    FB_OP_ADD,
    FB_OP_DEL,
    FB_OP_EXISTS,
    FB_OP_INCR,
    FB_OP_EXPIRE,
    FB_OP_TTL,
    FB_OP_FETCH,
    FB_OP_INVALIDATE,
    FB_OP_KINDS
} fb_op_kind;

struct fb_op {
    fb_op *next;
    fb_js_client *client;  // a reference is held
    fb_op_kind kind;
    bool bytes;            // the answer is wanted as bytes, whatever it is
    bool flag;             // fetch: refresh; invalidate: soft
    fb_str key;            // or the class, or the name of what is invalidated; after the struct
    fb_str value;          // after the struct
    int64_t number;        // ttl_ms, delta, timeout_ms, or fb_scope
    fb_param *params;      // after the struct
    size_t param_count;
    void *promise;         // the environment's
    // The outcome:
    int result;
    int64_t count;
    fb_value answer;
    char *text;            // what the daemon said, after an error; malloc'ed or NULL
};

// Something happened to a client: "daemon_away".
struct fb_note {
    fb_note *next;
    fb_js_client *client;  // a reference is held
    char event[32];
    char text[512];
};

// Operations of one lane run one after the other, in the order they were submitted.
enum { FB_LANES = 4 };
typedef struct fb_lane {
    struct fb_lane *next;
    fb_op *first, *last;
    uint32_t length;
    bool busy;  // waits for a thread, or has one
} fb_lane;

struct fb_js_client {
    _Atomic uint32_t refs;
    fb_crew *crew;       // a reference is held
    fb_client *client;   // NULL once closed
    fb_lane lanes[FB_LANES];
    // The environment's thread alone:
    uint32_t pending;    // operations under way
    uint32_t writes[FB_LANES];  // of these, those that may change something
    bool closed;
    void *handle;        // napi_ref, weak
    void *closing;       // napi_deferred
    void *site;
};

// `wake` is called once between two collections, from any thread, never after fb_crew_stop().
fb_crew *fb_crew_new(void (*wake)(void *arg), void *arg);
// The environment ends: what has not begun is dropped, what is under way is dropped when it ends.
void fb_crew_stop(fb_crew *crew);
void fb_crew_release(fb_crew *crew);

// FB_OK with one reference, or what fb_client_open() says.
FB_CHECK_RESULT int fb_js_client_open(fb_crew *crew, fb_client_options *options,
                                      fb_js_client **client, fb_error *error);
void fb_js_client_hold(fb_js_client *client);
// The last one closes it.
void fb_js_client_release(fb_js_client *client);

// Which lane a key's operations take.
uint32_t fb_lane_of(fb_str key);
bool fb_op_changes(const fb_op *op);

// Copies what is to be kept: `key`, `value` and `params` of `like`, and its scalars. NULL: no
// memory.
fb_op *fb_op_new(fb_js_client *client, const fb_op *like);
void fb_op_free(fb_op *op);
void fb_note_free(fb_note *note);
// The crew owns it until it is collected. It may be held back until the next flush.
void fb_crew_submit(fb_op *op);
void fb_crew_flush(fb_crew *crew);
// Hands over what is done and what happened, each in its order; NULL where there is nothing.
void fb_crew_collect(fb_crew *crew, fb_op **done, fb_note **notes);

#endif
