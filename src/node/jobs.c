// Which queue has which worker the engine tells with its figures, all at once; that is too much to ask
// for with each job. So a payload is first looked through for the names that would have to be hidden:
// nearly all have none of them.

#include "node/jobs.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/say.h"

// ---- what is not shown

// The same names as mail/payload.h has; what ends in _code, _link and so on is one of them, too.
static const fb_str SECRETS[] = {FB_STR_INIT("code"), FB_STR_INIT("link"), FB_STR_INIT("token"),
                                 FB_STR_INIT("secret"), FB_STR_INIT("password")};
static const char HIDDEN[] = "(hidden)";
enum { SECRET_COUNT = sizeof SECRETS / sizeof SECRETS[0] };

static bool stands_at(fb_str text, size_t at, fb_str word) {
    return text.len - at >= word.len && fb_str_same(fb_str_make(text.ptr + at, word.len), word);
}

// An escape may hide a letter of a name.
static bool may_have_secrets(fb_str payload) {
    for (size_t at = 0; at < payload.len; at++) {
        bool found = payload.ptr[at] == '\\';
        for (size_t i = 0; i < SECRET_COUNT && !found; i++) {
            found = stands_at(payload, at, SECRETS[i]);
        }
        if (found) {
            return true;
        }
    }
    return false;
}

static bool is_secret(fb_str name) {
    for (size_t i = 0; i < SECRET_COUNT; i++) {
        size_t at = name.len >= SECRETS[i].len ? name.len - SECRETS[i].len : name.len;
        if (stands_at(name, at, SECRETS[i]) && (at == 0 || name.ptr[at - 1] == '_')) {
            return true;
        }
    }
    return false;
}

static bool is_for_mail(fb_engine *engine, fb_str queue) {
    fb_queue_figures figures;
    int result = fb_jobs_queue_find(engine, queue, &figures);
    return result < 0 || (result == FB_OK && strcmp(figures.worker, "mail") == 0);
}

static int hide_members(json_t *object) {
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe(object, next, name, value) {
        if (is_secret(fb_str_of(name)) && json_object_set_new(object, name, json_string(HIDDEN)) != 0) {
            return FB_ENOMEM;
        }
    }
    return FB_OK;
}

// In the object itself and in those that are its members: the variables are in one of these.
static int hide(json_t *root) {
    const char *name;
    json_t *value;
    void *next;
    int result = json_is_object(root) ? hide_members(root) : FB_EINVAL;
    json_object_foreach_safe(root, next, name, value) {
        if (result == FB_OK && json_is_object(value)) {
            result = hide_members(value);
        }
    }
    return result;
}

static int append(const char *bytes, size_t len, void *arg) {
    return fb_buf_append(arg, fb_str_make(bytes, len)) < 0 ? -1 : 0;
}

fb_str fb_jobs_payload(fb_engine *engine, const fb_job *job, fb_buf *scratch) {
    if (!may_have_secrets(job->payload) || !is_for_mail(engine, job->queue)) {
        return job->payload;
    }
    json_t *root = json_loadb(job->payload.ptr, job->payload.len, JSON_ALLOW_NUL, NULL);
    bool hidden = root != NULL && hide(root) == FB_OK &&
                  json_dump_callback(root, append, scratch, JSON_COMPACT) == 0;
    json_decref(root);
    return hidden ? fb_buf_str(scratch) : FB_STR("\"(hidden)\"");
}

// ---- jobs

static void say_bytes(fb_reply *reply, const char *name, fb_str bytes) {
    fb_reply_text(reply, name);
    fb_reply_bytes(reply, bytes);
}

static void say_id(fb_reply *reply, const fb_job *job) {
    char id[FB_JOB_ID_SIZE];
    fb_say_text(reply, "id", fb_job_id_write(job->queue, job->number, id));
}

enum { PAYLOAD_PAIRS = 2 };

// JSON where it is JSON, else base64; payload_encoding says which.
static void say_payload_json(fb_reply *reply, fb_str payload) {
    bool json = fb_json_valid(payload);
    fb_buf text = {0};
    fb_reply_text(reply, "payload");
    if (json) {
        fb_reply_json(reply, payload);
    } else if (fb_base64_write(payload, &text) == FB_OK) {
        fb_reply_bytes(reply, fb_buf_str(&text));
    } else {
        fb_reply_null(reply);
    }
    fb_buf_release(&text);
    fb_say_text(reply, "payload_encoding", json ? "json" : "base64");
}

static void say_payload(fb_reply *reply, fb_engine *engine, const fb_job *job) {
    fb_buf scratch = {0};
    fb_str payload = fb_jobs_payload(engine, job, &scratch);
    if (reply->encoding == FB_ENCODING_JSON) {
        say_payload_json(reply, payload);
    } else {
        say_bytes(reply, "payload", payload);
    }
    fb_buf_release(&scratch);
}

static size_t payload_pairs(const fb_reply *reply) {
    return reply->encoding == FB_ENCODING_JSON ? PAYLOAD_PAIRS : 1;
}

void fb_jobs_say(fb_reply *reply, fb_engine *engine, const fb_job *job, bool payload) {
    fb_reply_map(reply, 18 + (payload ? payload_pairs(reply) : 0));
    say_id(reply, job);
    say_bytes(reply, "queue", job->queue);
    fb_say_text(reply, "state", fb_job_state_text(job->state));
    fb_say_text(reply, "end", fb_job_end_text(job->end));
    say_bytes(reply, "kind", job->kind);
    fb_say_integer(reply, "priority", job->priority);
    fb_say_integer(reply, "attempt", job->attempt);
    fb_say_integer(reply, "attempts", job->attempts);
    say_bytes(reply, "unique", job->unique);
    say_bytes(reply, "error", job->error);
    say_bytes(reply, "progress", job->progress);
    fb_say_integer(reply, "enqueued_ms", job->enqueued_ms);
    fb_say_integer(reply, "due_ms", job->due_ms);
    fb_say_integer(reply, "claimed_ms", job->claimed_ms);
    fb_say_integer(reply, "until_ms", job->until_ms);
    fb_say_integer(reply, "lease_ms", job->lease_ms);
    fb_say_integer(reply, "expires_ms", job->expires_ms);
    fb_say_integer(reply, "died_ms", job->died_ms);
    if (payload) {
        say_payload(reply, engine, job);
    }
}

void fb_jobs_say_claimed(fb_reply *reply, fb_engine *engine, const fb_job *job) {
    fb_reply_map(reply, 10 + payload_pairs(reply));
    say_id(reply, job);
    say_bytes(reply, "queue", job->queue);
    fb_say_count(reply, "token", job->token);
    say_bytes(reply, "kind", job->kind);
    fb_say_integer(reply, "priority", job->priority);
    fb_say_integer(reply, "attempt", job->attempt);
    fb_say_integer(reply, "attempts", job->attempts);
    fb_say_integer(reply, "enqueued_ms", job->enqueued_ms);
    fb_say_integer(reply, "lease_ms", job->lease_ms);
    fb_say_integer(reply, "until_ms", job->until_ms);
    say_payload(reply, engine, job);
}

void fb_jobs_row(fb_reply *reply, fb_engine *engine, const fb_job *job) {
    char id[FB_JOB_ID_SIZE];
    fb_buf scratch = {0};
    fb_reply_array(reply, 5);
    fb_reply_text(reply, fb_job_id_write(job->queue, job->number, id));
    fb_reply_integer(reply, (int64_t)job->token);
    fb_reply_integer(reply, job->attempt);
    fb_reply_bytes(reply, job->kind);
    fb_reply_bytes(reply, fb_jobs_payload(engine, job, &scratch));
    fb_buf_release(&scratch);
}

bool fb_jobs_state(fb_str text, fb_job_state *state) {
    for (int i = 0; i < FB_JOB_STATE_COUNT; i++) {
        if (fb_str_same(text, fb_str_of(fb_job_state_text((fb_job_state)i)))) {
            *state = (fb_job_state)i;
            return true;
        }
    }
    return false;
}

const char *fb_jobs_state_names(void) {
    return "scheduled, ready, leased or dead";
}

// ---- queues

enum {
#define COUNT_ONE(field, help) +1
    COUNTERS = 0 FB_QUEUE_COUNTERS(COUNT_ONE)
#undef COUNT_ONE
};

static void say_times(fb_reply *reply, const char *name, const struct fb_queue_times *times) {
    fb_reply_text(reply, name);
    fb_reply_map(reply, 5);
    fb_say_count(reply, "count", times->count);
    fb_say_ms(reply, "mean_ms", (double)times->mean_us / 1000);
    fb_say_ms(reply, "p50_ms", (double)times->p50_us / 1000);
    fb_say_ms(reply, "p95_ms", (double)times->p95_us / 1000);
    fb_say_ms(reply, "p99_ms", (double)times->p99_us / 1000);
}

static void say_reasons(fb_reply *reply, const fb_queue_figures *figures) {
    fb_reply_text(reply, "reasons");
    fb_reply_array(reply, figures->reason_count);
    for (uint32_t i = 0; i < figures->reason_count; i++) {
        fb_reply_map(reply, 3);
        fb_say_text(reply, "error", figures->reasons[i].text);
        fb_say_count(reply, "count", figures->reasons[i].count);
        fb_say_count(reply, "uncertain", figures->reasons[i].error);
    }
}

enum { LOOK_PAIRS = FB_JOB_STATE_COUNT + 4 };

static void say_look(fb_reply *reply, const fb_queue_look *look) {
    fb_say_boolean(reply, "paused", look->paused);
    for (int i = 0; i < FB_JOB_STATE_COUNT; i++) {
        fb_say_count(reply, fb_job_state_text((fb_job_state)i), look->counts[i]);
    }
    fb_reply_text(reply, "ready_by_priority");
    fb_reply_array(reply, FB_JOB_PRIORITIES);
    for (int i = 0; i < FB_JOB_PRIORITIES; i++) {
        fb_reply_integer(reply, (int64_t)look->ready[i]);
    }
    fb_say_integer(reply, "oldest_ms", look->oldest_ms);
    fb_say_integer(reply, "next_ms", look->next_ms == INT64_MAX ? -1 : look->next_ms);
}

void fb_jobs_queue_say(fb_reply *reply, const fb_queue_figures *figures, const fb_queue_look *look) {
    bool reachable = look != NULL || figures->reachable;
    fb_reply_map(reply, 4 + LOOK_PAIRS + COUNTERS + 4);
    fb_say_text(reply, "name", figures->name);
    fb_say_text(reply, "store", look != NULL && look->store != NULL ? look->store : figures->store);
    fb_say_text(reply, "worker", figures->worker);
    fb_say_boolean(reply, "reachable", reachable);
    say_look(reply, look != NULL ? look : &figures->look);
#define SAY_COUNTER(field, help) fb_say_count(reply, #field, figures->field);
    FB_QUEUE_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    say_times(reply, "enqueue", &figures->enqueue);
    say_times(reply, "wait", &figures->wait);
    say_times(reply, "run", &figures->run);
    say_reasons(reply, figures);
}

typedef struct finding {
    fb_str name;
    fb_queue_figures *figures;
    bool found;
} finding;

static void take_if_named(void *arg, const fb_queue_figures *figures) {
    finding *one = arg;
    if (fb_str_equal(one->name, fb_str_of(figures->name))) {
        *one->figures = *figures;
        one->found = true;
    }
}

int fb_jobs_queue_find(fb_engine *engine, fb_str queue, fb_queue_figures *figures) {
    finding one = {queue, figures, false};
    int result = fb_queue_figures_read(engine, take_if_named, &one);
    return result < 0 ? result : one.found ? FB_OK : FB_MISS;
}

// ---- handing back

static void forget(void *arg, const fb_queue_answer *answer) {
    (void)arg;
    (void)answer;
}

// Those from `first` on that are of its queue and were not given back before; FB_JOB_BATCH_MAX at most.
static size_t gather(const fb_job *jobs, size_t count, size_t first, fb_job_claim *claims) {
    size_t found = 0;
    for (size_t i = first; i < count; i++) {
        if (fb_str_equal(jobs[i].queue, jobs[first].queue)) {
            claims[found++] = (fb_job_claim){jobs[i].number, jobs[i].token};
        }
    }
    return found;
}

static bool was_before(const fb_job *jobs, size_t at) {
    for (size_t i = 0; i < at; i++) {
        if (fb_str_equal(jobs[i].queue, jobs[at].queue)) {
            return true;
        }
    }
    return false;
}

// Where it fails their leases end in time.
void fb_jobs_hand_back(fb_engine *engine, const fb_job *jobs, size_t count) {
    fb_job_claim *claims = count > 0 ? fb_mem_zero(count, sizeof *claims) : NULL;
    for (size_t i = 0; claims != NULL && i < count; i++) {
        if (!was_before(jobs, i)) {
            fb_error error;
            fb_queue_call call = {.verb = FB_QUEUE_RELEASE, .queue = jobs[i].queue, .claims = claims};
            call.item_count = gather(jobs, count, i, claims);
            (void)!fb_queue_start(engine, &call, forget, NULL, NULL, &error);
        }
    }
    fb_mem_free(claims);
}
