// One-time codes and links (forebay/mail.h).
//
//     FB.OTP ISSUE [CODE or LINK] [TO mail-address] [ADDRESS ip] [UNKNOWN] [ACCOUNT] account
//                  [name value ...]
//         -> a map: issued (1 or 0), expires_ms, retry_ms
//     FB.OTP VERIFY [CODE] account code, or LINK token
//         -> a map: verified (1 or 0), account, attempts_left, limited (1 or 0), retry_ms
//     FB.OTP PEEK token                                        -> 1 or 0: nothing is used up
//
// Who has to wait is answered, not refused with an error: as with limits. Where an account is called
// CODE or LINK, say what is meant before it (FB.OTP VERIFY CODE LINK 123456).

#include "node/command_table.h"

#include "base/str.h"
#include "node/mailing.h"
#include "node/say.h"

static void say_failed(fb_command_call *call, const fb_otp_answer *answer) {
    bool named = answer->error != NULL && answer->error[0] != '\0';
    fb_reply_error(call->reply, "%s %s", fb_command_code(answer->result),
                   named ? answer->error : fb_result_text(answer->result));
}

// ---- FB.OTP ISSUE

typedef struct issuing {
    fb_otp_request request;
    fb_mail_var vars[FB_MAIL_VARS_MAX];
} issuing;

// Up to the account; *at is then at it.
static bool read_options(fb_command_call *call, fb_otp_request *request, size_t *at) {
    for (*at = 2; *at + 1 < call->arg_count; ++*at) {
        if (fb_command_word(call, *at, "CODE") || fb_command_word(call, *at, "LINK")) {
            request->form = fb_command_word(call, *at, "LINK") ? FB_OTP_LINK : FB_OTP_CODE;
        } else if (fb_command_word(call, *at, "TO")) {
            request->to = call->args[++*at];
        } else if (fb_command_word(call, *at, "ADDRESS")) {
            request->address = call->args[++*at];
        } else if (fb_command_word(call, *at, "UNKNOWN")) {
            request->known = false;
        } else {
            *at += fb_command_word(call, *at, "ACCOUNT") ? 1 : 0;
            break;
        }
    }
    if (*at >= call->arg_count) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'fb.otp|issue' command");
        return false;
    }
    return true;
}

static void say_issued(void *arg, const fb_otp_answer *answer) {
    fb_command_call *call = arg;
    if (answer->result < 0) {
        say_failed(call, answer);
        return;
    }
    fb_reply_map(call->reply, 3);
    fb_say_integer(call->reply, "issued", answer->result == FB_OK);
    fb_say_integer(call->reply, "expires_ms", answer->result == FB_OK ? answer->expires_ms : 0);
    fb_say_integer(call->reply, "retry_ms", answer->result == FB_OK ? 0 : answer->retry_ms);
}

void fb_verb_otp_issue(fb_command_call *call) {
    issuing one = {.request = {.form = FB_OTP_CODE, .known = true}};
    fb_error error = {.code = FB_OK};
    size_t at;
    one.request.vars = one.vars;
    if (!read_options(call, &one.request, &at)) {
        return;
    }
    one.request.account = call->args[at];
    if (!fb_mailing_vars(call, at + 1, one.vars, &one.request.var_count)) {
        return;
    }
    int result = fb_otp_issue(call->node->engine, &one.request, say_issued, call, &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    }
}

// ---- FB.OTP VERIFY, FB.OTP PEEK

static void say_verified(void *arg, const fb_otp_answer *answer) {
    fb_command_call *call = arg;
    if (answer->result < 0) {
        say_failed(call, answer);
        return;
    }
    bool verified = answer->result == FB_OK;
    bool limited = answer->result == FB_LIMITED;
    fb_reply_map(call->reply, 5);
    fb_say_integer(call->reply, "verified", verified);
    fb_say_text(call->reply, "account", verified ? answer->account : "");
    fb_say_integer(call->reply, "attempts_left", verified ? 0 : answer->attempts_left);
    fb_say_integer(call->reply, "limited", limited);
    fb_say_integer(call->reply, "retry_ms", limited ? answer->retry_ms : 0);
}

static void verify(fb_command_call *call, fb_otp_form form, fb_str account, fb_str secret) {
    fb_error error = {.code = FB_OK};
    int result =
        fb_otp_verify(call->node->engine, form, account, secret, say_verified, call, &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    }
}

void fb_verb_otp_verify(fb_command_call *call) {
    if (call->arg_count == 5 && fb_command_word(call, 2, "CODE")) {
        verify(call, FB_OTP_CODE, call->args[3], call->args[4]);
    } else if (call->arg_count == 4 && fb_command_word(call, 2, "LINK")) {
        verify(call, FB_OTP_LINK, FB_STR(""), call->args[3]);
    } else if (call->arg_count == 4) {
        verify(call, FB_OTP_CODE, call->args[2], call->args[3]);
    } else {
        fb_reply_error(call->reply, "ERR expected [CODE] account code, or LINK token");
    }
}

void fb_verb_otp_peek(fb_command_call *call) {
    fb_error error = {.code = FB_OK};
    int result = fb_otp_peek(call->node->engine, call->args[2], &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    } else {
        fb_reply_integer(call->reply, result == FB_OK);
    }
}

void fb_verb_otp_help(fb_command_call *call) {
    fb_command_help(call, "FB.OTP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_OTP);
}
