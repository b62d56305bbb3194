// Accepting a mail. It is rendered, to see that it can be, and thrown away again: what is stored is
// what it is made of. Then the store is asked twice: whether the address is suppressed, and to take
// the job.
//
// One-time codes need a mail that nobody gets, for whom there is no account, and that costs the
// same: it goes all the way, and only its job's kind says that the worker has nothing to do.

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/mail_inside.h"
#include "os/clock.h"

enum { MESSAGE_ID_SIZE = 2 * 16 + FB_MAIL_ADDRESS_MAX + 4 };

// A mail on its way into the queue.
typedef struct arrival {
    fb_mailer *mailer;
    fb_mail_manner manner;
    fb_buf payload;
    char *unique;           // NULL: none
    char kind[FB_KIND_NAME_MAX + 1];
    char mark[FB_MAIL_MARK_SIZE];
    int64_t priority, expires_ms, delay_ms;
    char id[FB_JOB_ID_SIZE];
} arrival;

// ---- what it is made of

static int make_message_id(const fb_mailer *mailer, char *id, fb_error *error) {
    uint8_t random[16];
    char hex[2 * sizeof random + 1];
    if (RAND_bytes(random, sizeof random) != 1) {
        return fb_error_set(error, FB_EIO, "there are no random numbers to be had");
    }
    fb_mail_hex(random, sizeof random, hex);
    (void)snprintf(id, MESSAGE_ID_SIZE, "<%s@%s>", hex, mailer->domain);
    return FB_OK;
}

static int render(fb_mailer *mailer, const fb_mail *mail, const char *message_id, fb_buf *out,
                  fb_error *error) {
    fb_mail_draft draft = {.kind = mail->kind,
                           .from = fb_str_of(mailer->options.from),
                           .to = mail->to,
                           .reply_to = fb_str_of(mailer->options.reply_to),
                           .product = fb_str_of(mailer->options.product),
                           .vars = mail->vars,
                           .var_count = mail->var_count,
                           .message_id = fb_str_of(message_id),
                           .date_ms = fb_clock_wall_ms(),
                           .seed = (uint64_t)fb_clock_now_ns()};
    fb_mail_plan *plan = fb_mailer_hold(mailer);
    int result = fb_mail_render(plan->kinds, &draft, out, error);
    fb_mailer_let_go(plan);
    return result;
}

static int write_payload(arrival *one, const fb_mail *mail, fb_error *error) {
    char message_id[MESSAGE_ID_SIZE];
    fb_buf rendered = {0};
    int result = make_message_id(one->mailer, message_id, error);
    if (result == FB_OK) {
        result = render(one->mailer, mail, message_id, &rendered, error);
    }
    fb_buf_release(&rendered);
    fb_mail_payload payload = {.kind = mail->kind, .to = mail->to,
                               .message_id = fb_str_of(message_id), .vars = mail->vars,
                               .var_count = mail->var_count};
    return result == FB_OK ? fb_mail_payload_write(&payload, &one->payload, error) : result;
}

static int fill(arrival *one, const fb_mail *mail, fb_error *error) {
    fb_address to;
    int result = write_payload(one, mail, error);
    if (result < 0) {
        return result;
    }
    if (fb_address_parse(mail->to, &to, error) < 0) {
        return FB_EINVAL;
    }
    if (fb_mail_mark_of(to.spec, one->mark).len == 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    const fb_mail_kind_options *kind = fb_mailer_kind(one->mailer, mail->kind);
    FB_ASSERT(mail->kind.len < sizeof one->kind);  // it has been rendered
    memcpy(one->kind, mail->kind.ptr, mail->kind.len);
    one->priority = kind->priority;
    one->expires_ms = mail->expires_ms > 0 ? mail->expires_ms : kind->expires_ns / FB_NS_PER_MS;
    one->delay_ms = mail->delay_ms;
    if (mail->unique.len > 0) {
        one->unique = fb_mem_text(mail->unique);
        return one->unique != NULL ? FB_OK : fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return FB_OK;
}

static void free_arrival(arrival *one) {
    if (one->payload.ptr != NULL) {
        explicit_bzero(one->payload.ptr, one->payload.len);  // it may hold a code
    }
    fb_buf_release(&one->payload);
    fb_mem_free(one->unique);
    fb_mem_free(one);
}

// ---- on its way

static void finish(arrival *one, int result, const char *error) {
    fb_engine *engine = one->mailer->engine;
    one->manner.fn(one->manner.arg, result, one->id, error);
    free_arrival(one);
    fb_engine_idle(engine);
}

static void enqueued(void *arg, const fb_queue_answer *answer) {
    arrival *one = arg;
    int result = answer->result;
    const char *error = answer->error;
    if (result == FB_OK) {
        result = answer->results[0];
        error = result == FB_REFUSED ? "its unique key has a job already" : "";
        (void)fb_job_id_write(fb_str_of(one->mailer->options.queue), answer->numbers[0], one->id);
    }
    if (result == FB_OK) {
        fb_mailer_tell_of_maildir(one->mailer);
    }
    finish(one, result, error);
}

static void enqueue(arrival *one) {
    fb_error error = {0};
    fb_str queue = fb_str_of(one->mailer->options.queue);
    fb_job_spec spec = {.queue = queue,
                        .kind = fb_str_of(one->manner.discard ? FB_MAIL_DISCARDED : one->kind),
                        .payload = fb_buf_str(&one->payload),
                        .unique = fb_str_of(one->unique),
                        .priority = (int)one->priority,
                        .delay_ms = one->delay_ms,
                        .expires_ms = one->expires_ms};
    fb_queue_call call = {.verb = FB_QUEUE_ENQUEUE, .queue = queue, .specs = &spec,
                          .item_count = 1};
    int result = fb_queues_start(one->mailer->engine->queues, &call, false, enqueued, one, NULL,
                                 &error);
    if (result != FB_OK) {
        finish(one, result, error.text);
    }
}

static void looked_up(void *arg, const fb_queue_marked *marked) {
    arrival *one = arg;
    if (marked->result < 0) {
        finish(one, marked->result, marked->error);
        return;
    }
    if (marked->result == FB_OK && !one->manner.silent) {
        finish(one, FB_REFUSED, "mails to this address came back: it is suppressed");
        return;
    }
    one->manner.discard = one->manner.discard || marked->result == FB_OK;
    enqueue(one);
}

static int look_up(arrival *one, fb_error *error) {
    fb_queue_mark_call call = {.verb = FB_STORE_MARK_GET,
                               .queue = fb_str_of(one->mailer->options.queue),
                               .mark = fb_str_of(one->mark)};
    return fb_queues_mark_start(one->mailer->engine->queues, &call, looked_up, one, error);
}

int fb_mailer_accept(fb_mailer *mailer, const fb_mail *mail, fb_mail_manner manner,
                     fb_error *error) {
    if (mail->expires_ms < 0 || mail->delay_ms < 0 || mail->unique.len > FB_JOB_UNIQUE_MAX) {
        return fb_error_set(error, FB_EINVAL, "a time below 0, or too long a unique key");
    }
    if (!fb_engine_enter(mailer->engine)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    arrival *one = fb_mem_zero(1, sizeof *one);
    int result = one != NULL ? FB_OK : fb_error_set(error, FB_ENOMEM, "out of memory");
    if (result == FB_OK) {
        *one = (arrival){.mailer = mailer, .manner = manner};
        result = fill(one, mail, error);
    }
    if (result == FB_OK) {
        result = look_up(one, error);
    }
    if (result != FB_OK) {
        if (one != NULL) {
            free_arrival(one);
        }
        fb_engine_idle(mailer->engine);
    }
    return result;
}

// ---- waiting

typedef struct answer {
    fb_sleeper sleeper;
    int result;
    char *id;
    fb_error *error;
} answer;

static void take_answer(void *arg, int result, const char *id, const char *error) {
    answer *one = arg;
    one->result = result;
    if (one->id != NULL) {
        (void)snprintf(one->id, FB_JOB_ID_SIZE, "%s", id);
    }
    if (result != FB_OK) {
        fb_error_set(one->error, result, "%s", error);
    }
    fb_sleeper_wake(&one->sleeper);
}

int fb_mailer_accept_wait(fb_mailer *mailer, const fb_mail *mail, fb_mail_manner manner, char *id,
                          fb_error *error) {
    if (!fb_engine_may_wait(mailer->engine)) {
        return fb_error_set(error, FB_EINVAL, "it would wait, which on a loop only a fiber may");
    }
    answer one = {.id = id, .error = error};
    manner.fn = take_answer;
    manner.arg = &one;
    fb_sleeper_begin(&one.sleeper, 1);
    int result = fb_mailer_accept(mailer, mail, manner, error);
    if (result != FB_OK) {
        take_answer(&one, result, "", error != NULL ? error->text : "");
    }
    fb_sleeper_wait(&one.sleeper);
    return one.result;
}

// ---- the public calls

int fb_mail_send(fb_engine *engine, const fb_mail *mail, char *id, fb_error *error) {
    fb_engine_ours(engine);
    fb_mail_manner manner = {.discard = false};
    return fb_mailer_accept_wait(engine->mailer, mail, manner, id, error);
}

int fb_mail_send_start(fb_engine *engine, const fb_mail *mail, fb_mail_fn fn, void *arg,
                       fb_error *error) {
    fb_engine_ours(engine);
    return fb_mailer_accept(engine->mailer, mail, (fb_mail_manner){.fn = fn, .arg = arg}, error);
}

int fb_mail_preview(fb_engine *engine, const fb_mail *mail, fb_mail_text_fn fn, void *arg,
                    fb_error *error) {
    fb_engine_ours(engine);
    char message_id[MESSAGE_ID_SIZE];
    fb_buf out = {0};
    int result = make_message_id(engine->mailer, message_id, error);
    if (result == FB_OK) {
        result = render(engine->mailer, mail, message_id, &out, error);
    }
    if (result == FB_OK) {
        fn(arg, fb_buf_str(&out));
    }
    fb_buf_release(&out);
    return result;
}

int fb_mail_kinds(fb_engine *engine, fb_mail_kind_fn fn, void *arg) {
    fb_engine_ours(engine);
    const fb_queue_options *queue =
        fb_queues_options(engine->queues, fb_str_of(engine->mailer->options.queue));
    fb_mail_plan *plan = fb_mailer_hold(engine->mailer);
    for (size_t i = 0; i < fb_kinds_count(plan->kinds); i++) {
        fb_kind_info info;
        char name[FB_KIND_NAME_MAX + 1];
        fb_kinds_at(plan->kinds, i, &info);
        (void)snprintf(name, sizeof name, "%.*s", FB_STR_ARG(info.name));
        int64_t priority = fb_mailer_kind(engine->mailer, info.name)->priority;
        uint32_t usual = queue != NULL ? queue->priority : 0;
        fn(arg, name, info.file, priority >= 0 ? (uint32_t)priority : usual);
    }
    fb_mailer_let_go(plan);
    return FB_OK;
}
