// A job of a mail: read, asked about, rendered, sent, and its outcome turned into the job's.
//
//   1. what cannot ever be sent ends here: no such kind, a variable that is missing, an address
//      that is suppressed, a time that is over
//   2. the ways in their order; one that is paused, or at its limit, is passed over
//   3. limits: of the way, the recipient's domain, the recipient, in one question, so that nothing
//      is charged for a mail that stays. What was charged for a way that turned out to be down is
//      given back.
//   4. sending; what the relay says decides (mail/outcome.c)
//
// A mail that nobody could take is handed back, to be claimed again when the first way may be open:
// that costs no attempt. A mail is the same message whenever it is sent: Message-ID and date are
// those of when it was accepted.
//
// Words of a relay may hold anything that it was sent. Before they are kept or logged, values of
// variables are taken out of them, and in the log the recipient too.

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/mail_inside.h"
#include "mail/outcome.h"
#include "os/clock.h"
#include "smtp/maildir.h"

enum { TEXT_SIZE = 400, HIDE_MIN = 4, STORE_WAIT_MS = 1000,
       MESSAGE_ID_SIZE = FB_MAIL_ADDRESS_MAX + FB_JOB_ID_SIZE + 64 };

typedef struct errand {
    fb_mailer *mailer;
    const fb_job *job;
    fb_work *work;
    fb_mail_plan *plan;
    fb_mail_payload payload;
    fb_address from, to;
    const fb_mail_kind_options *kind;
    char message_id[MESSAGE_ID_SIZE];
    fb_buf message;
    int64_t wait_ns;         // until a way may be open; INT64_MAX: none is known
    char why[TEXT_SIZE + 80];  // of that
} errand;

// ---- what is said

// Every place where `value` stands becomes "***", whatever its case.
static void hide(char *text, size_t size, fb_str value) {
    if (value.len < HIDE_MIN) {
        return;
    }
    for (size_t i = 0; strlen(text + i) >= value.len; i++) {
        if (strncasecmp(text + i, value.ptr, value.len) != 0) {
            continue;
        }
        char rest[TEXT_SIZE];
        (void)snprintf(rest, sizeof rest, "%s", text + i + value.len);
        (void)snprintf(text + i, size - i, "***%s", rest);
        i += 2;
    }
}

static void hide_vars(const errand *e, char *text, size_t size) {
    for (size_t i = 0; i < e->payload.var_count; i++) {
        hide(text, size, e->payload.vars[i].value);
    }
}

// "550 5.1.1 no such user", with nothing in it that is secret.
static void word_reply(const errand *e, const fb_smtp_result *result, char *text) {
    char code[16] = "";
    if (result->code > 0) {
        (void)snprintf(code, sizeof code, "%d ", result->code);
    }
    (void)snprintf(text, TEXT_SIZE, "%s%s", code, result->text);
    hide_vars(e, text, TEXT_SIZE);
}

static void tell(const errand *e, fb_log_level level, const char *event, const char *relay,
                 const char *reply) {
    char id[FB_JOB_ID_SIZE], text[TEXT_SIZE];
    (void)snprintf(text, sizeof text, "%s", reply);
    hide(text, sizeof text, e->to.spec);
    fb_log(level, event, "id=%s kind=%s relay=%s domain=%s reply=%s",
           fb_job_id_write(e->job->queue, e->job->number, id),
           fb_log_quote(e->payload.kind, FB_KIND_NAME_MAX).text, relay,
           fb_log_quote(e->to.domain, 100).text, fb_log_quote(fb_str_of(text), 300).text);
}

// ---- ends

static int end_for_good(errand *e, const char *text) {
    fb_work_fail(e->work, text, true, -1);
    return FB_EDENIED;
}

// `why` is what people see of it meanwhile.
static int hand_back(errand *e, int64_t delay_ms, const char *why) {
    if (why[0] != '\0') {
        fb_work_progress(e->work, fb_str_of(why));
    }
    fb_work_release(e->work, delay_ms);
    return FB_EIO;
}

static int fail_for_now(errand *e, const char *text) {
    fb_work_fail(e->work, text, false, fb_mail_retry_ms(e->job->attempt));
    return FB_ESOURCE;
}

static bool is_late(const errand *e) {
    return e->job->expires_ms > 0 && fb_clock_wall_ms() >= e->job->expires_ms;
}

static bool is_over(const void *arg) {
    const errand *e = arg;
    return atomic_load(&e->mailer->stop) || fb_work_is_over(e->work);
}

// ---- the message

// A job that somebody enqueued himself has no Message-ID: its id and time make one, the same each
// time.
static void choose_message_id(errand *e) {
    char id[FB_JOB_ID_SIZE];
    if (e->payload.message_id.len > 0 && e->payload.message_id.len < sizeof e->message_id) {
        (void)snprintf(e->message_id, sizeof e->message_id, "%.*s",
                       FB_STR_ARG(e->payload.message_id));
        return;
    }
    (void)snprintf(e->message_id, sizeof e->message_id, "<%s.%lld@%s>",
                   fb_job_id_write(e->job->queue, e->job->number, id),
                   (long long)e->job->enqueued_ms, e->mailer->domain);
}

static int render(errand *e, fb_error *error) {
    const fb_mail_options *options = &e->mailer->options;
    choose_message_id(e);
    fb_mail_draft draft = {.kind = e->payload.kind,
                           .from = fb_str_of(options->from),
                           .to = e->payload.to,
                           .reply_to = fb_str_of(options->reply_to),
                           .product = fb_str_of(options->product),
                           .vars = e->payload.vars,
                           .var_count = e->payload.var_count,
                           .message_id = fb_str_of(e->message_id),
                           .date_ms = e->job->enqueued_ms,
                           .seed = fb_hash64(fb_str_of(e->message_id), 0)};
    return fb_mail_render(e->plan->kinds, &draft, &e->message, error);
}

// FB_OK; anything else is the job's result.
static int prepare(errand *e) {
    fb_error error = {0};
    int result = fb_mail_payload_read(e->job->payload, &e->payload, &error);
    if (result == FB_OK) {
        result = fb_address_parse(e->payload.to, &e->to, &error);
    }
    if (result == FB_OK) {
        result = fb_address_parse(fb_str_of(e->mailer->options.from), &e->from, &error);
    }
    if (result == FB_OK) {
        result = render(e, &error);
    }
    if (result == FB_ENOMEM) {
        return fail_for_now(e, "out of memory");
    }
    if (result < 0) {
        hide_vars(e, error.text, sizeof error.text);
        return end_for_good(e, error.text);
    }
    e->kind = fb_mailer_kind(e->mailer, e->payload.kind);
    result = fb_mail_look_up(e->mailer, e->to.spec, true, NULL, &error);
    if (result == FB_OK) {
        return end_for_good(e, "mails to this address came back: it is suppressed");
    }
    return result == FB_MISS ? FB_OK : hand_back(e, STORE_WAIT_MS, error.text);
}

// ---- limits

typedef struct toll {
    fb_limit_question questions[3];
    size_t count;
    size_t of_way;   // place of the way's own question, or `count`
} toll;

static void ask_for(toll *one, const char *rule, fb_str key) {
    if (rule != NULL && rule[0] != '\0') {
        one->questions[one->count++] =
            (fb_limit_question){.rule = fb_str_of(rule), .key = key, .cost = 1};
    }
}

static void make_toll(const errand *e, const fb_mail_way *way, toll *one) {
    const fb_mail_options *options = &e->mailer->options;
    *one = (toll){.count = 0};
    ask_for(one, options->domain_limit, e->to.domain);
    ask_for(one, options->recipient_limit, e->to.spec);
    one->of_way = one->count;
    ask_for(one, way->limit, fb_str_of(way->name));
}

static void refund(const errand *e, const toll *one) {
    for (size_t i = 0; FB_RULE(mail_refund) && i < one->count; i++) {
        // A refund that does not arrive costs one mail of the quota.
        FB_IGNORE(fb_limit_refund(e->mailer->engine, &one->questions[i], NULL, NULL));
    }
}

typedef enum passage { PASSES, WAY_IS_FULL, RECIPIENT_IS_FULL, BARRED } passage;

static passage pay(errand *e, const toll *one, int64_t *wait_ns) {
    fb_verdict verdicts[3];
    fb_error error = {0};
    if (one->count == 0) {
        return PASSES;
    }
    int result = fb_limit_check(e->mailer->engine, one->questions, one->count, 0, verdicts, &error);
    if (result == FB_ECLOSED) {
        *wait_ns = 0;
        return RECIPIENT_IS_FULL;
    }
    if (result != FB_LIMITED) {
        if (result != FB_OK) {  // a rule that is not there any more holds nothing back
            tell(e, FB_LOG_WARN, "mail_limit_failed", "", error.text);
        }
        return PASSES;
    }
    passage end = WAY_IS_FULL;
    *wait_ns = 0;
    for (size_t i = 0; i < one->count; i++) {
        if (!verdicts[i].denied) {
            continue;
        }
        if (verdicts[i].retry_us < 0) {
            return BARRED;
        }
        int64_t retry_ns = verdicts[i].retry_us * FB_NS_PER_US;
        *wait_ns = retry_ns > *wait_ns ? retry_ns : *wait_ns;
        end = i != one->of_way ? RECIPIENT_IS_FULL : end;
    }
    return end;
}

// ---- sending

// The name is the same whenever the same mail is written.
static void write_to_maildir(errand *e, fb_smtp_result *result) {
    uint8_t hash[16];
    char name[96], hex[2 * sizeof hash + 1];
    fb_error error = {0};
    fb_hash128(fb_str_of(e->message_id), hash);
    fb_mail_hex(hash, sizeof hash, hex);
    int len = snprintf(name, sizeof name, "%013lldN%lluM%s", (long long)e->job->enqueued_ms,
                       (unsigned long long)e->job->number, hex);
    *result = (fb_smtp_result){.phase = FB_SMTP_DONE};
    if (fb_maildir_write(e->mailer->options.maildir, fb_str_make(name, (size_t)len),
                         fb_buf_str(&e->message), &error) != FB_OK) {
        *result = (fb_smtp_result){.phase = FB_SMTP_CONNECT};
        (void)snprintf(result->text, sizeof result->text, "%.255s", error.text);
    } else {
        (void)snprintf(result->text, sizeof result->text, "written to new/%s", name);
    }
}

static void send(errand *e, fb_mail_way *way, fb_smtp_result *result) {
    int64_t begin_ns = fb_clock_now_ns();
    if (way->relay == NULL) {
        fb_mailer_tell_of_maildir(e->mailer);
        write_to_maildir(e, result);
    } else {
        fb_smtp_mail mail = {.from = e->from.spec, .to = e->to.spec,
                             .message = fb_buf_str(&e->message), .is_over = is_over, .arg = e};
        fb_relay_send(way->relay, &mail, result);
    }
    fb_histogram_record(way->took, fb_clock_now_ns() - begin_ns);
}

static int end_refused(errand *e, const fb_mail_way *way, bool bounced, const char *reply) {
    fb_error error = {0};
    if (FB_RULE(mail_suppress) && bounced &&
        fb_mail_suppress(e->mailer, e->to.spec, &error) < 0) {
        tell(e, FB_LOG_WARN, "mail_not_suppressed", way->name, error.text);
    }
    tell(e, FB_LOG_WARN, bounced ? "mail_bounced" : "mail_refused", way->name, reply);
    return end_for_good(e, reply);
}

static int end_ambiguous(errand *e, const fb_mail_way *way, const char *reply) {
    char text[TEXT_SIZE + 16];
    (void)snprintf(text, sizeof text, "ambiguous: %s", reply);
    tell(e, FB_LOG_WARN, "mail_ambiguous", way->name, reply);
    return e->kind->again || !FB_RULE(mail_once) ? fail_for_now(e, text) : end_for_good(e, text);
}

// The job's result, but of RELAY_DOWN.
static int settle(errand *e, fb_mail_way *way, fb_mail_fate fate, const char *reply) {
    switch (fate) {
    case FB_MAIL_SENT:
        fb_mail_way_count(way, FB_MAIL_COUNT_sent);
        tell(e, FB_LOG_INFO, "mail_sent", way->name, reply);
        return FB_OK;
    case FB_MAIL_LATER:
        fb_mail_way_count(way, FB_MAIL_COUNT_deferred);
        tell(e, FB_LOG_INFO, "mail_deferred", way->name, reply);
        return fail_for_now(e, reply);
    case FB_MAIL_AMBIGUOUS:
        fb_mail_way_count(way, FB_MAIL_COUNT_ambiguous);
        return end_ambiguous(e, way, reply);
    default:
        fb_mail_way_count(way, FB_MAIL_COUNT_refused);
        return end_refused(e, way, fate == FB_MAIL_BOUNCED, reply);
    }
}

// ---- the ways

static void wait_at_least(errand *e, int64_t wait_ns) {
    e->wait_ns = wait_ns < e->wait_ns ? wait_ns : e->wait_ns;
}

// By this way, which has been entered. FB_PENDING: not by this one.
static int go(errand *e, fb_mail_way *way, uint64_t pauses) {
    toll paid;
    int64_t wait_ns = 0;
    make_toll(e, way, &paid);
    passage end = pay(e, &paid, &wait_ns);
    if (end != PASSES) {
        fb_mail_way_leave(way, FB_MAIL_WAY_UNUSED, pauses, 0, "");
        if (end == BARRED) {
            return end_for_good(e, "a limit bars the recipient for good");
        }
        fb_mail_way_count(way, FB_MAIL_COUNT_limited);
        if (end == RECIPIENT_IS_FULL) {
            return hand_back(e, wait_ns / FB_NS_PER_MS + 1, "a limit of the recipient is reached");
        }
        (void)snprintf(e->why, sizeof e->why, "the limit of relay %s is reached", way->name);
        wait_at_least(e, wait_ns);
        return FB_PENDING;
    }
    char reply[TEXT_SIZE];
    fb_smtp_result result;
    send(e, way, &result);
    word_reply(e, &result, reply);
    fb_mail_fate fate = fb_mail_fate_of(&result);
    bool stopped = result.phase < FB_SMTP_DOT && result.code == 0 && is_over(e);
    bool down = fate == FB_MAIL_RELAY_DOWN;
    fb_mail_way_end way_end = stopped ? FB_MAIL_WAY_UNUSED
                              : down  ? FB_MAIL_WAY_DOWN
                                      : FB_MAIL_WAY_WORKS;
    fb_mail_way_leave(way, way_end, pauses, e->mailer->options.pause_ns, reply);
    if (!stopped && !down) {
        return settle(e, way, fate, reply);
    }
    refund(e, &paid);
    if (stopped) {
        return hand_back(e, 0, "");
    }
    (void)snprintf(e->why, sizeof e->why, "relay %s: %s", way->name, reply);
    wait_at_least(e, e->mailer->options.pause_ns);
    return FB_PENDING;
}

static int deliver(errand *e) {
    e->wait_ns = INT64_MAX;
    for (size_t i = 0; i < e->mailer->way_count; i++) {
        fb_mail_way *way = &e->mailer->ways[i];
        uint64_t pauses = 0;
        int64_t wait_ns = 0;
        if (is_late(e)) {
            return end_for_good(e, "its time was over before it could be sent");
        }
        if (is_over(e)) {
            return hand_back(e, 0, "");
        }
        if (!fb_mail_way_enter(way, fb_clock_now_ns(), &pauses, &wait_ns)) {
            if (e->why[0] == '\0') {
                (void)snprintf(e->why, sizeof e->why, "relay %s is paused", way->name);
            }
            wait_at_least(e, wait_ns);
            continue;
        }
        int result = go(e, way, pauses);
        if (result != FB_PENDING) {
            return result;
        }
    }
    return hand_back(e, e->wait_ns / FB_NS_PER_MS + 1, e->why);
}

int fb_mailer_work(void *arg, const fb_job *job, fb_work *work) {
    errand e = {.mailer = arg, .job = job, .work = work};
    if (fb_str_equal(job->kind, FB_STR(FB_MAIL_DISCARDED))) {
        return FB_OK;
    }
    e.plan = fb_mailer_hold(e.mailer);
    int result = prepare(&e);
    if (result == FB_OK) {
        result = deliver(&e);
    }
    if (e.message.ptr != NULL) {
        explicit_bzero(e.message.ptr, e.message.len);
    }
    fb_buf_release(&e.message);
    fb_mail_payload_release(&e.payload);
    fb_mailer_let_go(e.plan);
    return result;
}
