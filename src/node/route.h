// node/route.h -- the route table, and what handlers of requests share.

#ifndef FB_NODE_ROUTE_H
#define FB_NODE_ROUTE_H

#include "node/http.h"
#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_route fb_route;

typedef struct fb_http_call {
    fb_node *node;
    const fb_http_request *request;
    const fb_route *route;
    fb_str name;            // what stands in the place of {…}, decoded; of {…}/{…}, both
    const fb_param *query;  // decoded
    size_t query_count;
    fb_http_response *response;
    struct fb_user *user;   // who asks; NULL where anybody may (node/http_user.h)
} fb_http_call;

// FB_OK: the response is filled. FB_PENDING. < 0: becomes the response by fb_http_failure().
typedef int (*fb_route_fn)(fb_http_call *call);

enum {                       // flags
    FB_ROUTE_ANY_QUERY = 1,  // names of parameters that are not in the list are no mistake
    FB_ROUTE_MONITORING = 2, // stands under node->http_prefix as well
    FB_ROUTE_WAITS = 4,      // may wait without a shared tier, too
    FB_ROUTE_ANY_SITE = 8,   // pages of other sites may send it
    FB_ROUTE_OWN_KEYS = 16   // its handler asks whether each key may be used (node/http_user.h)
};

// One parameter of the query.
typedef struct fb_route_param {
    const char *name;
    const char *help;
    const char *type;  // "integer", "duration" ("5m"), or the words that there are, "0|1"; NULL: any text
} fb_route_param;

struct fb_route {
    const char *method;  // of GET, HEAD comes by itself
    // A last part "{name}" stands for all that is left, which is not empty; "{name}/{name}" for
    // what has a slash in it, and something before and behind; "{name}/word" for what has none. Of
    // several that fit the last is taken.
    const char *path;
    fb_route_fn run;
    unsigned flags;
    const fb_route_param *params;  // ended by one without a name; NULL: none
    const char *summary;
    // The command of RESP that does the same: who may run that may ask this. NULL: anybody may.
    const char *command;
    // What is to be sent: the name of a schema (node/openapi.json) of a JSON body, or a media type; with
    // '?' before it, it may be left out. NULL: nothing.
    const char *body;
    // What is answered: statuses, each with the schema of its JSON body, or its media type, unless it has
    // none or is a problem: "200 Stats, 304, 404". Those that any route may answer are not in it
    // (node/openapi.c).
    const char *answers;
};

extern const fb_route FB_ROUTES[];  // ended by one without a method

int fb_route_index(fb_http_call *call);
int fb_route_openapi(fb_http_call *call);

int fb_route_fetch(fb_http_call *call);
int fb_route_fetch_many(fb_http_call *call);
int fb_route_fetch_key(fb_http_call *call);

int fb_route_key_get(fb_http_call *call);
int fb_route_key_put(fb_http_call *call);
int fb_route_key_delete(fb_http_call *call);
int fb_route_keys_list(fb_http_call *call);
int fb_route_keys_get(fb_http_call *call);
int fb_route_keys_set(fb_http_call *call);
int fb_route_keys_delete(fb_http_call *call);
int fb_route_keys_incr(fb_http_call *call);
int fb_route_keys_expire(fb_http_call *call);
int fb_route_keys_lease(fb_http_call *call);
int fb_route_keys_fill(fb_http_call *call);
int fb_route_keys_hold(fb_http_call *call);

int fb_route_invalidate(fb_http_call *call);
int fb_route_warm(fb_http_call *call);
int fb_route_explain(fb_http_call *call);
int fb_route_classes(fb_http_call *call);
int fb_route_config(fb_http_call *call);
int fb_route_shared(fb_http_call *call);

int fb_route_limits(fb_http_call *call);
int fb_route_limits_check(fb_http_call *call);
int fb_route_limits_refund(fb_http_call *call);
int fb_route_limit_show(fb_http_call *call);
int fb_route_limit_override(fb_http_call *call);
int fb_route_limit_reset(fb_http_call *call);
int fb_route_slot_acquire(fb_http_call *call);
int fb_route_slot_renew(fb_http_call *call);
int fb_route_slot_release(fb_http_call *call);
int fb_route_slot_show(fb_http_call *call);

int fb_route_queues(fb_http_call *call);
int fb_route_queue(fb_http_call *call);
int fb_route_queue_jobs(fb_http_call *call);
int fb_route_queue_ack(fb_http_call *call);
int fb_route_queue_pause(fb_http_call *call);
int fb_route_queue_resume(fb_http_call *call);
int fb_route_queue_purge(fb_http_call *call);
int fb_route_queue_kick(fb_http_call *call);
int fb_route_queue_move(fb_http_call *call);
int fb_route_enqueue(fb_http_call *call);
int fb_route_reserve(fb_http_call *call);

int fb_route_job(fb_http_call *call);
int fb_route_job_cancel(fb_http_call *call);
int fb_route_job_retry(fb_http_call *call);
int fb_route_job_ack(fb_http_call *call);
int fb_route_job_fail(fb_http_call *call);
int fb_route_job_release(fb_http_call *call);
int fb_route_job_extend(fb_http_call *call);
int fb_route_job_progress(fb_http_call *call);

int fb_route_mails(fb_http_call *call);
int fb_route_mail(fb_http_call *call);
int fb_route_mail_preview(fb_http_call *call);
int fb_route_suppressed(fb_http_call *call);
int fb_route_suppressed_remove(fb_http_call *call);

int fb_route_otp_issue(fb_http_call *call);
int fb_route_otp_verify(fb_http_call *call);
int fb_route_otp_page(fb_http_call *call);
int fb_route_otp_use(fb_http_call *call);

int fb_route_stats(fb_http_call *call);
int fb_route_stats_reset(fb_http_call *call);
int fb_route_events(fb_http_call *call);
int fb_route_doctor(fb_http_call *call);
int fb_route_metrics(fb_http_call *call);
int fb_route_healthz(fb_http_call *call);
int fb_route_readyz(fb_http_call *call);
int fb_route_cache_stats(fb_http_call *call);
int fb_route_cache_metrics(fb_http_call *call);
int fb_route_cache_status(fb_http_call *call);
int fb_route_dashboard(fb_http_call *call);

// ---- what handlers share

// The parameter of that name in the query, or NULL.
const fb_param *fb_http_param(const fb_http_call *call, const char *name);
// Whether a body is nested at most so deep as reading it in a fiber has stack for; if not the response
// says so.
enum { FB_HTTP_DEPTH_MAX = 128 };
bool fb_http_depth_fits(fb_http_call *call);
// The body as a JSON object, the caller's to drop; NULL with the response filled.
struct json_t *fb_http_object(fb_http_call *call);
// Adds a header; without its end where it is too long.
FB_PRINTF(3, 4)
void fb_http_header_add(fb_http_response *response, const char *name, const char *format, ...);
// Begins a response anew: a status and nothing else.
void fb_http_begin(fb_http_response *response, int status);
// Begins a JSON body: status, Content-Type, and the encoder to write with.
void fb_http_json(fb_http_response *response, int status, fb_reply *reply);
// Ends it, with a line end for terminals. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_http_json_end(fb_reply *reply);
// The problem for what a call of the engine returned (< 0). `error` may be NULL.
void fb_http_failure(fb_http_response *response, int result, const fb_error *error);
// A problem's detail: what of `text` is no UTF-8 is '?' in it, and what is too long is cut.
enum { FB_HTTP_DETAIL_SIZE = 640 };
fb_str fb_http_readable(fb_str text, char copy[FB_HTTP_DETAIL_SIZE]);
// The status of that problem.
int fb_http_status_of(int result);
// The same for FB_ENOCLASS, with the nearest name there is.
void fb_http_no_class(fb_node *node, fb_http_response *response, fb_str class_name);
#ifdef __cplusplus
}
#endif

#endif
