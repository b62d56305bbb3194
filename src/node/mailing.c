// Lists are announced with their lengths; so they are walked twice. A reload may have changed them in
// between: what is too much is left out, what is missing is nothing.

#include "node/mailing.h"

#include "base/str.h"
#include "node/say.h"

enum { SHOWN = 64 };

bool fb_mailing_vars(fb_command_call *call, size_t at, fb_mail_var vars[FB_MAIL_VARS_MAX],
                     size_t *count) {
    size_t left = call->arg_count - at;
    if (left % 2 != 0) {
        fb_str name = call->args[call->arg_count - 1];
        fb_reply_error(call->reply, "ERR variable '%.*s' has no value",
                       (int)(name.len < SHOWN ? name.len : SHOWN), name.ptr);
        return false;
    }
    if (left / 2 > FB_MAIL_VARS_MAX) {
        fb_reply_error(call->reply, "ERR at most %d variables", FB_MAIL_VARS_MAX);
        return false;
    }
    *count = left / 2;
    for (size_t i = 0; i < *count; i++) {
        vars[i] = (fb_mail_var){call->args[at + 2 * i], call->args[at + 2 * i + 1]};
    }
    return true;
}

typedef struct listing {
    fb_reply *reply;
    size_t left;
} listing;

static void begin(listing *one, const char *name) {
    fb_reply_text(one->reply, name);
    fb_reply_array(one->reply, one->left);
}

static void end(listing *one) {
    for (; one->left > 0; one->left--) {
        fb_reply_null(one->reply);
    }
}

static void count_kind(void *arg, const char *kind, const char *file, uint32_t priority) {
    (void)kind, (void)file, (void)priority;
    (*(size_t *)arg)++;
}

static void say_kind(void *arg, const char *kind, const char *file, uint32_t priority) {
    listing *one = arg;
    if (one->left == 0) {
        return;
    }
    one->left--;
    fb_reply_map(one->reply, 3);
    fb_say_text(one->reply, "kind", kind);
    fb_say_text(one->reply, "file", file != NULL ? file : "");
    fb_say_integer(one->reply, "priority", priority);
}

static void count_relay(void *arg, const fb_mail_figures *figures) {
    (void)figures;
    (*(size_t *)arg)++;
}

enum {
#define COUNT_ONE(field, help) +1
    COUNTERS = 0 FB_MAIL_COUNTERS(COUNT_ONE)
#undef COUNT_ONE
};

static void say_relay(void *arg, const fb_mail_figures *figures) {
    listing *one = arg;
    if (one->left == 0) {
        return;
    }
    one->left--;
    fb_reply_map(one->reply, 6 + COUNTERS);
    fb_say_text(one->reply, "relay", figures->relay);
    fb_say_boolean(one->reply, "up", figures->up);
    fb_say_text(one->reply, "why", figures->why);
#define SAY_COUNTER(field, help) fb_say_count(one->reply, #field, figures->field);
    FB_MAIL_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    fb_say_ms(one->reply, "mean_ms", (double)figures->mean_us / 1000);
    fb_say_ms(one->reply, "p50_ms", (double)figures->p50_us / 1000);
    fb_say_ms(one->reply, "p99_ms", (double)figures->p99_us / 1000);
}

int fb_mailing_say(fb_reply *reply, fb_engine *engine) {
    listing kinds = {reply, 0};
    listing relays = {reply, 0};
    int result = fb_mail_kinds(engine, count_kind, &kinds.left);
    if (result == FB_OK) {
        result = fb_mail_figures_read(engine, count_relay, &relays.left);
    }
    if (result < 0) {
        return result;
    }
    fb_reply_map(reply, 2);
    begin(&kinds, "kinds");
    result = fb_mail_kinds(engine, say_kind, &kinds);
    end(&kinds);
    begin(&relays, "relays");
    result = result < 0 ? result : fb_mail_figures_read(engine, say_relay, &relays);
    end(&relays);
    (void)result;  // the lists are short then, and said as that
    return FB_OK;
}
