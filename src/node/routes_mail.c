// Mails by HTTP: /v1/mail and what is below it.
//
//     POST /v1/mail/otp          {"to": "ada@example.org", "vars": {"code": "042137"}}  → 202 {"id": …}
//     POST /v1/mail/otp/preview  the same                                → 200, message/rfc822
//     GET  /v1/mail              the kinds there are, and the relays
//     GET, DELETE /v1/mail/suppressed/ada@example.org
//
// Numbers and truths are variables as they are written in JSON.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/fields.h"
#include "node/later.h"
#include "node/mailing.h"
#include "node/say.h"
#include "node/vars.h"

// ---- what is asked

typedef struct mailing {
    fb_mail mail;
    fb_vars vars;
} mailing;

static bool read_mail(fb_http_call *call, json_t *object, bool sends, mailing *one) {
    one->mail = (fb_mail){.kind = call->name};
    fb_field fields[] = {
        {.name = "to", .type = FB_FIELD_TEXT, .to = &one->mail.to, .needed = true},
        {.name = "unique", .type = FB_FIELD_TEXT, .to = &one->mail.unique},
        {.name = "delay_ms", .type = FB_FIELD_NUMBER, .to = &one->mail.delay_ms,
         .most = INT64_MAX / 2},
        {.name = "expires_ms", .type = FB_FIELD_NUMBER, .to = &one->mail.expires_ms, .least = 1,
         .most = INT64_MAX / 2},
    };
    if (!fb_fields_read(call, object, "", " vars ", fields, sends ? 4 : 1) ||
        !fb_vars_read(call, object, &one->vars)) {
        return false;
    }
    one->mail.vars = one->vars.vars;
    one->mail.var_count = one->vars.count;
    return true;
}

static void write_failure(fb_http_response *response, int result, const char *error) {
    fb_error detail = {.code = result};
    bool named = error != NULL && error[0] != '\0';
    (void)snprintf(detail.text, sizeof detail.text, "%s", named ? error : fb_result_text(result));
    if (result == FB_REFUSED) {
        fb_http_problem(response, 409, "%s", detail.text);
    } else {
        fb_http_failure(response, result, &detail);
    }
}

// ---- sending

static int write_sent(fb_http_response *response, int result, const char *id, const char *error) {
    fb_reply reply;
    bool there = result == FB_REFUSED && id != NULL && id[0] != '\0';
    if (result != FB_OK && !there) {
        write_failure(response, result, error);
        return FB_OK;
    }
    fb_http_json(response, there ? 200 : 202, &reply);
    fb_http_header_add(response, "Location", "/v1/jobs/%s", id);
    fb_reply_map(&reply, 2);
    fb_say_text(&reply, "id", id);
    fb_say_boolean(&reply, "new", !there);
    return fb_http_json_end(&reply);
}

static void answer(void *arg, int result, const char *id, const char *error) {
    fb_later *later = arg;
    int written = write_sent(later->target, result, id, error);
    if (written < 0) {
        fb_http_failure(later->target, written, NULL);
    }
    if (fb_later_answered(later)) {
        fb_mem_free(later);
    }
}

static int start(fb_http_call *call, const fb_mail *mail) {
    fb_error error = {.code = FB_OK};
    fb_later *later = fb_mem_new(sizeof *later);
    if (later == NULL) {
        return FB_ENOMEM;
    }
    fb_later_begin(later, call);
    int result = fb_mail_send_start(call->node->engine, mail, answer, later, &error);
    if (result != FB_OK && !later->answered) {
        fb_mem_free(later);
        write_failure(call->response, result, error.text);
        return FB_OK;
    }
    result = fb_later_end(later);
    if (result == FB_OK) {
        fb_mem_free(later);
    }
    return result;
}

int fb_route_mail(fb_http_call *call) {
    mailing one;
    int result = FB_OK;
    json_t *object = fb_http_object(call);
    if (object != NULL && read_mail(call, object, true, &one)) {
        result = start(call, &one.mail);
    }
    json_decref(object);
    return result;
}

// ---- looking at one

static void write_message(void *arg, fb_str message) {
    fb_http_response *response = arg;
    response->status = fb_buf_append(&response->body, message) == FB_OK ? 200 : 503;
    fb_http_header_add(response, "Content-Type", "message/rfc822");
    fb_http_header_add(response, "Cache-Control", "no-store");
}

int fb_route_mail_preview(fb_http_call *call) {
    mailing one;
    fb_error error = {.code = FB_OK};
    json_t *object = fb_http_object(call);
    if (object != NULL && read_mail(call, object, false, &one)) {
        int result =
            fb_mail_preview(call->node->engine, &one.mail, write_message, call->response, &error);
        if (result != FB_OK) {
            write_failure(call->response, result, error.text);
        }
    }
    json_decref(object);
    return FB_OK;
}

// ---- kinds, relays, addresses

int fb_route_mails(fb_http_call *call) {
    fb_reply reply;
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    int result = fb_mailing_say(&reply, call->node->engine);
    return result < 0 ? result : fb_http_json_end(&reply);
}

static int not_suppressed(fb_http_call *call, int result, const fb_error *error) {
    if (result < 0) {
        fb_http_failure(call->response, result, error);
    } else {
        fb_http_problem(call->response, 404, "mails go to this address");
    }
    return FB_OK;
}

int fb_route_suppressed(fb_http_call *call) {
    fb_reply reply;
    int64_t since_ms = 0;
    fb_error error = {.code = FB_OK};
    int result = fb_mail_suppressed(call->node->engine, call->name, &since_ms, &error);
    if (result != FB_OK) {
        return not_suppressed(call, result, &error);
    }
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 1);
    fb_say_integer(&reply, "since_ms", since_ms);
    return fb_http_json_end(&reply);
}

int fb_route_suppressed_remove(fb_http_call *call) {
    fb_error error = {.code = FB_OK};
    int result = fb_mail_allow(call->node->engine, call->name, &error);
    if (result != FB_OK) {
        return not_suppressed(call, result, &error);
    }
    call->response->status = 204;
    return FB_OK;
}
