// One-time codes and links by HTTP.
//
//     POST /v1/otp/issue        {"account": "ada", "to": "ada@example.org", "form": "code", "address":
//                                "203.0.113.9", "known": true, "vars": {…}}   → 202 {"expires_ms": …}
//     POST /v1/otp/verify       {"account": "ada", "code": "042137"}, or {"token": "…"}
//                               → 200 {"verified": true, "account": …}
//     GET  /v1/otp/link/{token} a page with a button
//     POST /v1/otp/link/{token} uses it up: a page, or JSON for who accepts that
//
// A link is opened by mail scanners and by browsers that look ahead; so GET changes nothing, and the
// button sends a POST. The page needs no script, is not to be found or kept, and tells nobody where the
// visitor came from.
//
// An answer does not say whether an account exists: not in what is said, nor by its status.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/str.h"
#include "node/fields.h"
#include "node/say.h"
#include "node/vars.h"

// ---- issue

static int64_t seconds(int64_t ms) {
    return ms / 1000 + (ms % 1000 > 0);
}

static void write_limited(fb_http_response *response, const char *what, int64_t retry_ms) {
    fb_http_problem(response, 429, "%s: try again in %lld s", what, (long long)seconds(retry_ms));
    if (retry_ms > 0) {
        fb_http_header_add(response, "Retry-After", "%lld", (long long)seconds(retry_ms));
    }
}

static void write_failed(fb_http_response *response, const fb_otp_answer *answer) {
    fb_error error = {.code = answer->result};
    (void)snprintf(error.text, sizeof error.text, "%s", answer->error != NULL ? answer->error : "");
    fb_http_failure(response, answer->result, &error);
}

static void finish(fb_http_response *response, fb_reply *reply) {
    if (fb_http_json_end(reply) < 0) {
        fb_http_failure(response, FB_ENOMEM, NULL);
    }
}

static void write_issued(void *arg, const fb_otp_answer *answer) {
    fb_http_response *response = arg;
    fb_reply reply;
    if (answer->result == FB_LIMITED) {
        write_limited(response, "one was asked for a moment ago, or too many were", answer->retry_ms);
        return;
    }
    if (answer->result != FB_OK) {
        write_failed(response, answer);
        return;
    }
    fb_http_json(response, 202, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 2);
    fb_say_boolean(&reply, "issued", true);
    fb_say_integer(&reply, "expires_ms", answer->expires_ms);
    finish(response, &reply);
}

static bool read_form(fb_http_call *call, fb_str form, fb_otp_form *to) {
    bool link = fb_str_equal(form, FB_STR("link"));
    *to = link ? FB_OTP_LINK : FB_OTP_CODE;
    if (!link && !fb_str_equal(form, FB_STR("code"))) {
        fb_http_problem(call->response, 400, "form: expected code or link");
        return false;
    }
    return true;
}

static bool read_request(fb_http_call *call, json_t *object, fb_otp_request *request,
                         fb_vars *vars) {
    fb_str form = {"code", 4};
    fb_field fields[] = {
        {.name = "account", .type = FB_FIELD_TEXT, .to = &request->account, .needed = true},
        {.name = "form", .type = FB_FIELD_TEXT, .to = &form},
        {.name = "to", .type = FB_FIELD_TEXT, .to = &request->to},
        {.name = "address", .type = FB_FIELD_TEXT, .to = &request->address},
        {.name = "known", .type = FB_FIELD_FLAG, .to = &request->known},
    };
    request->known = true;
    if (!fb_fields_read(call, object, "", " vars ", fields, sizeof fields / sizeof fields[0]) ||
        !read_form(call, form, &request->form) || !fb_vars_read(call, object, vars)) {
        return false;
    }
    request->vars = vars->vars;
    request->var_count = vars->count;
    return true;
}

int fb_route_otp_issue(fb_http_call *call) {
    fb_otp_request request = {.form = FB_OTP_CODE};
    fb_vars vars;
    fb_error error = {.code = FB_OK};
    json_t *object = fb_http_object(call);
    if (object != NULL && read_request(call, object, &request, &vars)) {
        int result =
            fb_otp_issue(call->node->engine, &request, write_issued, call->response, &error);
        if (result < 0) {
            fb_http_failure(call->response, result, &error);
        }
    }
    json_decref(object);
    return FB_OK;
}

// ---- verify

static void write_verified(void *arg, const fb_otp_answer *answer) {
    fb_http_response *response = arg;
    fb_reply reply;
    bool verified = answer->result == FB_OK;
    if (answer->result == FB_LIMITED) {
        write_limited(response, "too many attempts", answer->retry_ms);
        return;
    }
    if (!verified && answer->result != FB_MISS) {
        write_failed(response, answer);
        return;
    }
    fb_http_json(response, 200, &reply);
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 2);
    fb_say_boolean(&reply, "verified", verified);
    if (verified) {
        fb_say_text(&reply, "account", answer->account);
    } else {
        fb_say_integer(&reply, "attempts_left", answer->attempts_left);
    }
    finish(response, &reply);
}

int fb_route_otp_verify(fb_http_call *call) {
    fb_str account = {"", 0};
    fb_str code = {"", 0};
    fb_str token = {"", 0};
    fb_field fields[] = {
        {.name = "account", .type = FB_FIELD_TEXT, .to = &account},
        {.name = "code", .type = FB_FIELD_TEXT, .to = &code},
        {.name = "token", .type = FB_FIELD_TEXT, .to = &token},
    };
    fb_error error = {.code = FB_OK};
    json_t *object = fb_http_object(call);
    if (object == NULL || !fb_fields_read(call, object, "", "", fields, 3)) {
        json_decref(object);
        return FB_OK;
    }
    bool link = fields[2].given;
    int result = FB_OK;
    if (link ? fields[0].given || fields[1].given : !fields[0].given || !fields[1].given) {
        fb_http_problem(call->response, 400, "expected account and code, or token");
    } else {
        result = fb_otp_verify(call->node->engine, link ? FB_OTP_LINK : FB_OTP_CODE, account,
                               link ? token : code, write_verified, call->response, &error);
    }
    json_decref(object);
    if (result < 0) {
        fb_http_failure(call->response, result, &error);
    }
    return FB_OK;
}

// ---- the page of a link

static const char PAGE[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"robots\" content=\"noindex, nofollow\">\n"
    "<meta name=\"referrer\" content=\"no-referrer\">\n"
    "<title>%s</title>\n"
    "<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:15vh auto;padding:0 "
    "1rem;text-align:center;color:#222;background:#fff}button{font:inherit;padding:.7rem "
    "2.2rem;border:0;border-radius:.5rem;background:#1a5fb4;color:#fff;cursor:pointer}"
    "button:focus-visible{outline:3px solid #99c1f1;outline-offset:2px}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#1e1e1e}}</style>\n"
    "</head><body><main><h1>%s</h1>\n<p>%s</p>\n%s</main></body></html>\n";

static const char BUTTON[] = "<form method=\"post\"><button type=\"submit\">Sign in</button></form>\n";

static int write_page(fb_http_response *response, int status, const char *title, const char *text,
                      bool button) {
    fb_http_response_release(response);
    response->status = status;
    fb_http_header_add(response, "Content-Type", "text/html; charset=utf-8");
    fb_http_header_add(response, "Cache-Control", "no-store");
    fb_http_header_add(response, "Referrer-Policy", "no-referrer");
    fb_http_header_add(response, "X-Robots-Tag", "noindex, nofollow");
    fb_http_header_add(response, "X-Content-Type-Options", "nosniff");
    fb_http_header_add(response, "Content-Security-Policy",
                       "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
                       "frame-ancestors 'none'; base-uri 'none'");
    return fb_buf_printf(&response->body, PAGE, title, title, text, button ? BUTTON : "");
}

static int write_over(fb_http_response *response) {
    return write_page(response, 404, "This link is no longer good",
                      "It was used already, or its time is over. Ask for another one.", false);
}

int fb_route_otp_page(fb_http_call *call) {
    fb_error error = {.code = FB_OK};
    int result = fb_otp_peek(call->node->engine, call->name, &error);
    if (result < 0 && result != FB_EINVAL) {
        return write_page(call->response, 503, "Please try again",
                          "This could not be looked up just now. Try again in a moment.", false);
    }
    return result == FB_OK ? write_page(call->response, 200, "Sign in",
                                        "Press the button to go on.", true)
                           : write_over(call->response);
}

// Where a word begins in a text, or its length.
static size_t place_of(fb_str text, fb_str word) {
    for (size_t i = 0; i + word.len <= text.len; i++) {
        if (memcmp(text.ptr + i, word.ptr, word.len) == 0) {
            return i;
        }
    }
    return text.len;
}

// A browser asks for HTML by name; who asks for JSON before that, or for neither, is a program.
static bool wants_page(fb_str accept) {
    size_t html = place_of(accept, FB_STR("text/html"));
    return html < accept.len && html < place_of(accept, FB_STR("application/json"));
}

static void write_used_page(void *arg, const fb_otp_answer *answer) {
    fb_http_response *response = arg;
    int result = FB_OK;
    if (answer->result == FB_OK) {
        result = write_page(response, 200, "You are signed in",
                            "You may close this page and go back to where you were.", false);
    } else if (answer->result == FB_MISS) {
        result = write_over(response);
    } else {
        result = write_page(response, answer->result == FB_LIMITED ? 429 : 503, "Please try again",
                            "This could not be done just now. Try again in a moment.", false);
    }
    if (result < 0) {
        fb_http_failure(response, result, NULL);
    }
}

int fb_route_otp_use(fb_http_call *call) {
    fb_error error = {.code = FB_OK};
    bool page = wants_page(call->request->accept);
    int result = fb_otp_verify(call->node->engine, FB_OTP_LINK, FB_STR(""), call->name,
                               page ? write_used_page : write_verified, call->response, &error);
    if (result < 0 && page) {
        return write_over(call->response);
    }
    if (result < 0) {
        fb_http_failure(call->response, result, &error);
    }
    return FB_OK;
}
