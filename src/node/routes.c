// The route table, and the index that shows it.

#include "node/route.h"

#include "base/str.h"

static const fb_route_param FETCH_PARAMS[] = {
    {"_refresh", "1: asks the source, whatever is in memory", "0|1"},
    {"_minseq", "a Forebay-Token: the answer is not older than that change", NULL},
    {"_timeout", "how long to wait, such as 500ms, instead of the class's hard_timeout", "duration"},
    {.name = NULL},
};

static const fb_route_param GET_PARAMS[] = {
    {"minseq", "a Forebay-Token: the answer is not older than that change", NULL},
    {.name = NULL},
};

static const fb_route_param PUT_PARAMS[] = {
    {"ttl",
     "how long it is kept, such as 5m; without: as its class says, else until it is evicted", "duration"},
    {"tags", "names to invalidate it by, with commas between them", NULL},
    {"srcver", "the version of the data: an older one is refused (409)", "integer"},
    {.name = NULL},
};

static const fb_route_param LIST_KEYS_PARAMS[] = {
    {"match", "a glob as in Redis, such as user:*; without: all", NULL},
    {"cursor", "0 at first, then what the last answer had; 0 again: that was all", "integer"},
    {"count", "how many places to look at, about; 100 unless given", "integer"},
    {.name = NULL},
};

static const fb_route_param STATS_PARAMS[] = {
    {"window", "over the last minute or hour; start, unless given", "start|minute|hour"},
    {.name = NULL},
};

static const fb_route_param EVENTS_PARAMS[] = {
    {"every", "how often, from 1s to 1m; 1s unless given", "duration"},
    {.name = NULL},
};

static const fb_route_param CONFIG_PARAMS[] = {
    {"match", "a glob, such as classes.*; without: all", NULL},
    {.name = NULL},
};

static const fb_route_param KEY_PARAMS[] = {{"key", "the key", NULL}, {.name = NULL}};

#define QUESTION_PARAMS                                                     \
    {"rule", "the rule", NULL}, {"key", "whose quota it is: user:42, an address", NULL}, \
        {"tier", "a tier of the rule", NULL}

static const fb_route_param CHECK_PARAMS[] = {
    QUESTION_PARAMS,
    {"key_header", "instead of key: the header of the request that has it, such as X-Real-IP; of "
                   "X-Forwarded-For the last address", NULL},
    {"cost", "what it costs; 1 unless given", "integer"},
    {"peek", "1: says what would be, and charges nothing", "0|1"},
    {"enforce", "1: what is denied is answered with an error of HTTP", "0|1"},
    {"status", "which, with enforce: 429 unless given; 401, 403 (nginx's auth_request takes these "
               "two alone), 503", "429|401|403|503"},
    {.name = NULL},
};

static const fb_route_param REFUND_PARAMS[] = {
    QUESTION_PARAMS,
    {"cost", "what is given back; 1 unless given", "integer"},
    {.name = NULL},
};

static const fb_route_param SHOW_PARAMS[] = {
    {"tier", "a tier of the rule", NULL},
    {"cost", "what a question would cost; 1 unless given", "integer"},
    {.name = NULL},
};

static const fb_route_param SLOT_PARAMS[] = {QUESTION_PARAMS, {.name = NULL}};

static const fb_route_param SLOT_END_PARAMS[] = {
    {"rule", "the rule", NULL},
    {"key", "whose lease it is", NULL},
    {"token", "the lease", NULL},
    {.name = NULL},
};

#define JOB_PARAMS                                                                              \
    {"kind", "what it is, for its worker", NULL}, {"priority", "0 (urgent) to 9; without: the queue's", "integer"}, \
        {"delay_ms", "milliseconds until it is ready", "integer"},                                         \
        {"at_ms", "instead: the Unix time in milliseconds", "integer"},                                    \
        {"unique", "a key: while a job that has it lives, that one is answered", NULL},               \
        {"attempts", "how often it is tried; without: the queue's", "integer"},                            \
        {"lease_ms", "how long a worker has it without a sign of life", "integer"},                        \
        {"expires_ms", "milliseconds: not begun by then it is dead", "integer"}

static const fb_route_param ENQUEUE_PARAMS[] = {
    {"raw", "1: the body is the payload, whatever its bytes, and the options are here", "0|1"},
    JOB_PARAMS,
    {.name = NULL},
};

static const fb_route_param RESERVE_PARAMS[] = {
    {"count", "at most how many jobs; 1 unless given", "integer"},
    {"wait_ms", "how long to wait for the first of them; 0 unless given", "integer"},
    {"lease_ms", "another lease than the jobs' own", "integer"},
    {"worker", "who asks, for people", NULL},
    {.name = NULL},
};

static const fb_route_param LIST_PARAMS[] = {
    {"state", "scheduled, ready, leased or dead; ready unless given", "scheduled|ready|leased|dead"},
    {"after", "an id: those after it", NULL},
    {"count", "at most how many; 100 unless given", "integer"},
    {.name = NULL},
};

static const fb_route_param STATE_PARAMS[] = {
    {"state", "scheduled, ready, leased or dead", "scheduled|ready|leased|dead"},
    {.name = NULL},
};

static const fb_route_param KICK_PARAMS[] = {
    {"state", "scheduled or dead", "scheduled|ready|leased|dead"},
    {"count", "at most how many; 1000 unless given", "integer"},
    {.name = NULL},
};

static const fb_route_param TOKEN_PARAMS[] = {
    {"token", "as it was given with the job", NULL},
    {.name = NULL},
};

enum { MONITORING = FB_ROUTE_MONITORING | FB_ROUTE_ANY_QUERY };

const fb_route FB_ROUTES[] = {
    {"GET", "/", fb_route_index, FB_ROUTE_ANY_QUERY, NULL, "this list",
     .answers = "200 Index"},
    {"GET", "/openapi.json", fb_route_openapi, FB_ROUTE_ANY_QUERY, NULL,
     "the same as an OpenAPI document, with what is sent and answered",
     .answers = "200 OpenApi"},
    {"GET", "/v1/fetch/{class}", fb_route_fetch, FB_ROUTE_ANY_QUERY | FB_ROUTE_OWN_KEYS,
     FETCH_PARAMS,
     "a value of a class, from memory or its source; the query has the class's parameters",
     .command = "fb.fetch", .answers = "200 */*, 304, 404, 501, 502, 504"},
    {"POST", "/v1/fetch", fb_route_fetch_many, FB_ROUTE_OWN_KEYS, NULL,
     "many values at once, each with a result of its own; body: requests: a list of class, params, "
     "refresh, timeout_ms, minseq",
     .command = "fb.mfetch", .body = "FetchMany", .answers = "200 Results"},
    {"GET", "/v1/key/{class}", fb_route_fetch_key, FB_ROUTE_ANY_QUERY | FB_ROUTE_OWN_KEYS, NULL,
     "the key that the query's parameters make in a class",
     .command = "fb.key", .answers = "200 Key, 404"},
    {"GET", "/v1/keys", fb_route_keys_list, 0, LIST_KEYS_PARAMS,
     "keys in this node's memory, some at a time; one that is there all along is listed at least once",
     .command = "scan", .answers = "200 Keys"},
    {"GET", "/v1/keys/{key}", fb_route_key_get, 0, GET_PARAMS,
     "the value of a key, from memory or the shared tier",
     .command = "get", .answers = "200 */*, 304, 404"},
    {"PUT", "/v1/keys/{key}", fb_route_key_put, 0, PUT_PARAMS, "stores the body under a key",
     .command = "set", .body = "*/*", .answers = "204, 409, 412"},
    {"DELETE", "/v1/keys/{key}", fb_route_key_delete, 0, NULL, "deletes a key",
     .command = "del", .answers = "204, 404, 412"},
    {"POST", "/v1/keys/get", fb_route_keys_get, FB_ROUTE_OWN_KEYS, NULL,
     "many values at once, each with a result of its own; body: keys: a list",
     .command = "mget", .body = "KeyList", .answers = "200 Results"},
    {"POST", "/v1/keys/set", fb_route_keys_set, FB_ROUTE_OWN_KEYS, NULL,
     "stores many, one after the other; body: items: a list of key, value, value_encoding (json, text "
     "or base64), ttl, tags: a list, srcver",
     .command = "set", .body = "Items", .answers = "200 Results"},
    {"POST", "/v1/keys/delete", fb_route_keys_delete, FB_ROUTE_OWN_KEYS, NULL,
     "deletes many, one after the other; body: keys: a list",
     .command = "del", .body = "KeyList", .answers = "200 Results"},
    {"POST", "/v1/keys/incr", fb_route_keys_incr, FB_ROUTE_OWN_KEYS, NULL,
     "adds to a whole number; body: key, by: 1 unless given",
     .command = "incrby", .body = "Incr", .answers = "200 Sum, 409"},
    {"POST", "/v1/keys/expire", fb_route_keys_expire, FB_ROUTE_OWN_KEYS, NULL,
     "how long a key is kept from now on; body: key, ttl: a time such as 5m, or null: it does not expire",
     .command = "pexpire", .body = "Expire", .answers = "204, 404"},
    {"POST", "/v1/keys/lease", fb_route_keys_lease, FB_ROUTE_OWN_KEYS, NULL,
     "for who loads values himself: the value; or a lease, to load it and fill; or to wait, as somebody "
     "else has the lease; body: key, lease_ms: 10000 unless given, minseq",
     .command = "fb.get", .body = "LeaseKey", .answers = "200 Leased"},
    {"POST", "/v1/keys/fill", fb_route_keys_fill, FB_ROUTE_OWN_KEYS, NULL,
     "stores what was loaded with a lease; 409: the lease is gone, and nothing is stored; body: key, "
     "token, value, value_encoding, ttl, tags, srcver",
     .command = "fb.fill", .body = "Fill", .answers = "204, 409"},
    {"POST", "/v1/keys/hold", fb_route_keys_hold, FB_ROUTE_OWN_KEYS, NULL,
     "invalidates a key, and nothing is stored under it for a while: for a transaction that is about to "
     "change it; body: key, hold_ms",
     .command = "fb.hold", .body = "Hold", .answers = "204"},
    {"POST", "/v1/invalidate", fb_route_invalidate, FB_ROUTE_OWN_KEYS, NULL,
     "body: any of keys, patterns, tags, classes, namespaces (a list, or one), or all: true; soft: "
     "true "
     "makes values stale instead of gone; wait: local, redis or nodes, timeout: ms, says how far it "
     "is to have reached",
     .command = "fb.invalidate", .body = "Invalidation", .answers = "200 Invalidated, 404, 504 Invalidated"},
    {"POST", "/v1/warm", fb_route_warm, FB_ROUTE_OWN_KEYS, NULL,
     "loads in the background; body: class, and params, or top: as many of its most-read keys",
     .command = "fb.warm", .body = "Warming", .answers = "202 Warmed, 404, 501"},
    {"GET", "/v1/explain", fb_route_explain, 0, KEY_PARAMS,
     "what is known of a key, and why it missed",
     .command = "fb.explain", .answers = "200 Explanation"},
    {"GET", "/v1/classes", fb_route_classes, 0, NULL, "the classes and how they are configured",
     .command = "info", .answers = "200 Classes"},
    {"GET", "/v1/config", fb_route_config, 0, CONFIG_PARAMS,
     "the options in force, passwords hidden", .command = "config|get", .answers = "200 Config"},
    {"GET", "/v1/shared", fb_route_shared, 0, NULL,
     "how the shared tier stands, and its figures", .command = "fb.shared", .answers = "200 Shared"},
    {"GET", "/v1/limits", fb_route_limits, 0, NULL,
     "the rules of limits, their figures, and which keys are denied most",
     .command = "fb.rules", .answers = "200 Limits"},
    {"GET", "/v1/limits/{rule}/{key}", fb_route_limit_show, 0, SHOW_PARAMS,
     "what is left of a quota; charges nothing",
     .command = "fb.limit", .answers = "200 Verdict, 404"},
    {"PUT", "/v1/limits/{rule}/{key}", fb_route_limit_override, 0, NULL,
     "for a time, another limit for one key; body: limit: a number, or allow: true, or deny: true, "
     "and for: a time such as 1h; or none: true, which ends it",
     .command = "fb.override", .body = "Override", .answers = "204, 404"},
    {"DELETE", "/v1/limits/{rule}/{key}", fb_route_limit_reset, 0, NULL,
     "gives the whole quota again, and ends overrides and leases",
     .command = "fb.reset", .answers = "204, 404"},
    {"POST", "/v1/limits/check", fb_route_limits_check, 0, CHECK_PARAMS,
     "whether a rule allows a key this now, which is charged if so; body: rule, key, cost, tier, "
     "peek, or limits: a list of such, of which all are charged or none; without a body the query "
     "has them",
     .command = "fb.limit", .body = "?Question", .answers = "200 Verdicts, 401, 403, 404, 429, 503"},
    {"GET", "/v1/limits/check", fb_route_limits_check, 0, CHECK_PARAMS,
     "the same by the query alone, for proxies that ask before they pass a request on",
     .command = "fb.limit", .answers = "200 Verdicts, 401, 403, 404, 429, 503"},
    {"POST", "/v1/limits/refund", fb_route_limits_refund, 0, REFUND_PARAMS,
     "gives back what was charged; body: rule, key, cost, tier, or the query has them",
     .command = "fb.refund", .body = "?Refund", .answers = "200 Verdict, 404"},
    {"POST", "/v1/limits/slots", fb_route_slot_acquire, 0, NULL,
     "takes a lease of a rule of slots (201 with its token), or 429; body: rule, key, tier, ttl: a "
     "time such as 30s",
     .command = "fb.slot|acquire", .body = "Slot", .answers = "201 Lease, 404, 429"},
    {"PUT", "/v1/limits/slots", fb_route_slot_renew, 0, NULL,
     "lets a lease live for another while; body: rule, key, token, ttl",
     .command = "fb.slot|renew", .body = "SlotLease", .answers = "204, 404"},
    {"DELETE", "/v1/limits/slots", fb_route_slot_release, 0, SLOT_END_PARAMS,
     "gives a lease back",
     .command = "fb.slot|release", .answers = "204, 404"},
    {"GET", "/v1/limits/slots", fb_route_slot_show, 0, SLOT_PARAMS, "how many leases are free",
     .command = "fb.slot|show", .answers = "200 Verdict, 404"},
    {"GET", "/v1/queues", fb_route_queues, 0, NULL, "the queues, their lengths and figures",
     .command = "fb.queues", .answers = "200 Queues"},
    {"GET", "/v1/queues/{queue}", fb_route_queue, 0, NULL, "one queue, as its store has it now",
     .command = "fb.queue", .answers = "200 Queue, 404"},
    {"POST", "/v1/queues/{queue}/jobs", fb_route_enqueue, 0, ENQUEUE_PARAMS,
     "accepts a job (201 with its id; 200 where its unique key has one); body: payload, any JSON, or "
     "with payload_encoding: base64 bytes, and options as in the query; or a list of such, of which "
     "all are accepted or none (each partition of a queue that has several by itself)",
     .command = "fb.enqueue", .body = "*/*", .answers = "200 Enqueued, 201 Enqueued, 404"},
    {"GET", "/v1/queues/{queue}/jobs", fb_route_queue_jobs, 0, LIST_PARAMS,
     "the jobs of a state, by number, without payloads",
     .command = "fb.queue", .answers = "200 Jobs, 404"},
    {"POST", "/v1/queues/{queue}/reserve", fb_route_reserve, 0, RESERVE_PARAMS,
     "takes jobs to work on, most urgent first; of several queues, with commas between them; body: "
     "the same as the query",
     .command = "fb.reserve", .body = "?Reserve", .answers = "200 Claims, 404"},
    {"POST", "/v1/queues/{queue}/ack", fb_route_queue_ack, 0, NULL,
     "jobs are done, and others are reserved in the same step; body: jobs: a list of id and token, "
     "reserve: how many",
     .command = "fb.ack", .body = "Acks", .answers = "200 Acked, 404, 409"},
    {"POST", "/v1/queues/{queue}/pause", fb_route_queue_pause, 0, NULL,
     "nothing is reserved until it is resumed",
     .command = "fb.queue", .answers = "200 QueuePaused, 404"},
    {"POST", "/v1/queues/{queue}/resume", fb_route_queue_resume, 0, NULL, "ends that",
     .command = "fb.queue", .answers = "200 QueuePaused, 404"},
    {"POST", "/v1/queues/{queue}/purge", fb_route_queue_purge, 0, STATE_PARAMS,
     "removes all jobs of a state",
     .command = "fb.queue", .answers = "200 QueueMoved, 404"},
    {"POST", "/v1/queues/{queue}/kick", fb_route_queue_kick, 0, KICK_PARAMS,
     "makes jobs of a state ready now, dead ones with new attempts",
     .command = "fb.kick", .answers = "200 QueueMoved, 404"},
    {"POST", "/v1/queues/{queue}/move", fb_route_queue_move, 0, NULL,
     "brings here what lies in the other store (the journal, or Redis)",
     .command = "fb.queue", .answers = "200 QueueMoved, 404"},
    {"GET", "/v1/jobs/{id}", fb_route_job, 0, NULL, "all about a job",
     .command = "fb.job", .answers = "200 Job, 404"},
    {"DELETE", "/v1/jobs/{id}", fb_route_job_cancel, 0, NULL,
     "removes a job, whatever its state; whoever has it is told",
     .command = "fb.cancel", .answers = "204, 404"},
    {"POST", "/v1/jobs/{id}/retry", fb_route_job_retry, 0, NULL,
     "makes a job ready now, a dead one with new attempts",
     .command = "fb.retry", .answers = "204, 404, 409"},
    {"POST", "/v1/jobs/{id}/ack", fb_route_job_ack, 0, TOKEN_PARAMS,
     "it is done (204); body: token; reserve: how many others to take in the same step (200 with "
     "them)",
     .command = "fb.ack", .body = "?Ack", .answers = "200 Claims, 204, 404, 409"},
    {"POST", "/v1/jobs/{id}/fail", fb_route_job_fail, 0, TOKEN_PARAMS,
     "it failed, and is tried again while it has attempts; body: token, error, delay_ms, permanent",
     .command = "fb.fail", .body = "?Fail", .answers = "204, 404, 409"},
    {"POST", "/v1/jobs/{id}/release", fb_route_job_release, 0, TOKEN_PARAMS,
     "hands it back; the attempt does not count; body: token, delay_ms",
     .command = "fb.release", .body = "?Release", .answers = "204, 404, 409"},
    {"POST", "/v1/jobs/{id}/extend", fb_route_job_extend, 0, TOKEN_PARAMS,
     "it is still worked on; body: token, lease_ms, progress",
     .command = "fb.extend", .body = "?Extend", .answers = "204, 404, 409"},
    {"POST", "/v1/jobs/{id}/progress", fb_route_job_progress, 0, TOKEN_PARAMS,
     "the same; body: token, text",
     .command = "fb.progress", .body = "?Progress", .answers = "204, 404, 409"},
    {"GET", "/v1/mail", fb_route_mails, 0, NULL, "the kinds of mails, and how the relays do",
     .command = "fb.mails", .answers = "200 Mails"},
    {"POST", "/v1/mail/{kind}", fb_route_mail, 0, NULL,
     "accepts a mail (202 with the id of its job); body: to, vars: an object, unique, delay_ms, "
     "expires_ms",
     .command = "fb.mail", .body = "Mail", .answers = "200 Accepted, 202 Accepted, 404, 409"},
    {"POST", "/v1/mail/{kind}/preview", fb_route_mail_preview, FB_ROUTE_WAITS, NULL,
     "the message as it would be sent; body: to, vars",
     .command = "fb.preview", .body = "Mail", .answers = "200 message/rfc822, 404"},
    {"GET", "/v1/mail/suppressed/{address}", fb_route_suppressed, FB_ROUTE_WAITS, NULL,
     "since when no mail goes to an address, as mails to it came back; or 404",
     .command = "fb.suppressed", .answers = "200 Suppressed, 404"},
    {"DELETE", "/v1/mail/suppressed/{address}", fb_route_suppressed_remove, FB_ROUTE_WAITS, NULL,
     "mails go to it again",
     .command = "fb.suppressed", .answers = "204, 404"},
    {"POST", "/v1/otp/issue", fb_route_otp_issue, FB_ROUTE_WAITS, NULL,
     "mails a code or a link; body: account, form: code or link, to: its mail address unless that is "
     "account, address: the client's, known: false does as if, vars",
     .command = "fb.otp|issue", .body = "OtpIssue", .answers = "202 OtpIssued, 404, 429"},
    {"POST", "/v1/otp/verify", fb_route_otp_verify, FB_ROUTE_WAITS, NULL,
     "whether it is right, and whose; then it is used up; body: account and code, or token",
     .command = "fb.otp|verify", .body = "OtpVerify", .answers = "200 OtpVerified, 404, 429"},
    {"GET", "/v1/otp/link/{token}", fb_route_otp_page, FB_ROUTE_WAITS | FB_ROUTE_ANY_QUERY, NULL,
     "a page with a button, which sends the POST; nothing is used up",
     .answers = "200 text/html, 404 text/html, 429 text/html, 503 text/html"},
    {"POST", "/v1/otp/link/{token}", fb_route_otp_use,
     FB_ROUTE_WAITS | FB_ROUTE_ANY_QUERY | FB_ROUTE_ANY_SITE, NULL,
     "uses a link up: a page, or JSON where that is accepted first",
     .body = "*/*", .answers = "200 text/html, 200 OtpVerified, 404 text/html, 429 text/html, 503 text/html"},
    {"GET", "/v1/stats", fb_route_stats, 0, STATS_PARAMS, "every figure, of each class and in all",
     .command = "fb.stats", .answers = "200 Stats"},
    {"GET", "/v1/doctor", fb_route_doctor, 0, NULL,
     "how everything stands that the server depends on, and what its figures recommend",
     .command = "fb.doctor", .answers = "200 Doctor"},
    {"GET", "/v1/events", fb_route_events, 0, EVENTS_PARAMS,
     "the live figures as server-sent events, until the client hangs up",
     .command = "fb.stats", .answers = "200 text/event-stream"},
    {"POST", "/v1/stats/reset", fb_route_stats_reset, 0, NULL, "figures from 0 again",
     .command = "config|resetstat", .answers = "204"},
    {"GET", "/cache/stats", fb_route_cache_stats, MONITORING, NULL,
     "hits, misses, latencies, gain",
     .command = "info", .answers = "200 CacheStats"},
    {"GET", "/cache/metrics", fb_route_cache_metrics, MONITORING, NULL,
     "the same as a dashboard shows it, with the time saved",
     .command = "info", .answers = "200 CacheMetrics"},
    {"GET", "/cache/status", fb_route_cache_status, MONITORING, NULL, "which tiers are up",
     .command = "info", .answers = "200 CacheStatus"},
    {"GET", "/analytics/dashboard", fb_route_dashboard, MONITORING, NULL,
     "figures, tiers and recommendations",
     .command = "info", .answers = "200 Dashboard"},
    {"GET", "/metrics", fb_route_metrics, FB_ROUTE_ANY_QUERY, NULL, "every figure, for Prometheus",
     .command = "info", .answers = "200 text/plain"},
    {"GET", "/healthz", fb_route_healthz, FB_ROUTE_ANY_QUERY, NULL,
     "whether it works, and how well",
     .answers = "200 Health, 503 Health"},
    {"GET", "/readyz", fb_route_readyz, FB_ROUTE_ANY_QUERY, NULL, "503 while it is stopping",
     .answers = "200 Ready, 503"},
    {.method = NULL},
};

static void write_params(fb_reply *reply, const fb_route *route) {
    size_t count = 0;
    while (route->params != NULL && route->params[count].name != NULL) {
        count++;
    }
    fb_reply_map(reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_reply_text(reply, route->params[i].name);
        fb_reply_text(reply, route->params[i].help);
    }
}

static void write_route(fb_reply *reply, const fb_route *route) {
    fb_reply_map(reply, 4);
    fb_reply_text(reply, "method");
    fb_reply_text(reply, route->method);
    fb_reply_text(reply, "path");
    fb_reply_text(reply, route->path);
    fb_reply_text(reply, "summary");
    fb_reply_text(reply, route->summary);
    fb_reply_text(reply, "query");
    write_params(reply, route);
}

int fb_route_index(fb_http_call *call) {
    fb_reply reply;
    size_t count = sizeof FB_ROUTES / sizeof FB_ROUTES[0] - 1;
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 3);
    fb_reply_text(&reply, "name");
    fb_reply_text(&reply, "forebay");
    fb_reply_text(&reply, "version");
    fb_reply_text(&reply, fb_version());
    fb_reply_text(&reply, "routes");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        write_route(&reply, &FB_ROUTES[i]);
    }
    return fb_http_json_end(&reply);
}
