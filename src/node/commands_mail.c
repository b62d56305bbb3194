// Mails by templates (forebay/mail.h).
//
//     FB.MAIL [UNIQ key] [DELAY ms] [EXPIRES ms] [KIND] kind to [name value ...]     -> an id
//     FB.PREVIEW [KIND] kind to [name value ...]                                     -> a message
//     FB.MAILS                                              -> a map: kinds, and relays
//     FB.SUPPRESSED address                                 -> since when, in Unix ms, or nil
//     FB.SUPPRESSED address REMOVE                          -> 1, or 0: it was not
//
// Option words come first, since what follows the address are variables, which may have any name. Mails
// are accepted by the queues' store, which answers later: FB.MAIL has a slot. The others run as errands,
// where they may wait.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/mailing.h"
#include "node/say.h"
#include "node/session_state.h"

// ---- words and variables

static bool read_ms(fb_command_call *call, const char *word, size_t at, int64_t least, int64_t *ms) {
    if (at >= call->arg_count || fb_str_int(call->args[at], ms) != FB_OK || *ms < least ||
        *ms > INT64_MAX / 2) {
        fb_reply_error(call->reply, "ERR %s needs an integer of at least %lld", word,
                       (long long)least);
        return false;
    }
    return true;
}

// ---- FB.MAIL

typedef struct mailing {
    fb_mail mail;
    fb_mail_var vars[FB_MAIL_VARS_MAX];
} mailing;

// The options up to the kind (where there may be any); *at is then at it.
static bool read_options(fb_command_call *call, bool any, mailing *one, size_t *at) {
    for (*at = 1; *at < call->arg_count; ++*at) {
        bool more = any && *at + 1 < call->arg_count;
        if (more && fb_command_word(call, *at, "UNIQ")) {
            one->mail.unique = call->args[++*at];
        } else if (more && fb_command_word(call, *at, "DELAY")) {
            if (!read_ms(call, "DELAY", ++*at, 0, &one->mail.delay_ms)) {
                return false;
            }
        } else if (more && fb_command_word(call, *at, "EXPIRES")) {
            if (!read_ms(call, "EXPIRES", ++*at, 1, &one->mail.expires_ms)) {
                return false;
            }
        } else {
            *at += call->arg_count > *at + 2 && fb_command_word(call, *at, "KIND") ? 1 : 0;
            break;
        }
    }
    if (*at + 1 >= call->arg_count) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for '%s' command",
                       call->command->name);
        return false;
    }
    return true;
}

static bool read_mail(fb_command_call *call, bool options, mailing *one) {
    size_t at;
    one->mail = (fb_mail){.vars = one->vars};
    if (!read_options(call, options, one, &at)) {
        return false;
    }
    one->mail.kind = call->args[at];
    one->mail.to = call->args[at + 1];
    return fb_mailing_vars(call, at + 2, one->vars, &one->mail.var_count);
}

static void say_sent(fb_reply *reply, int result, const char *id, const char *error) {
    bool named = error != NULL && error[0] != '\0';
    if (result == FB_OK || (result == FB_REFUSED && id != NULL && id[0] != '\0')) {
        fb_reply_text(reply, id);
    } else {
        fb_reply_error(reply, "%s %s", result == FB_REFUSED ? "SUPPRESSED" : fb_command_code(result),
                       named ? error : fb_result_text(result));
    }
}

static void answer(void *arg, int result, const char *id, const char *error) {
    fb_slot *slot = arg;
    if (slot->session != NULL) {
        say_sent(slot->target, result, id, error);
    }
    fb_slot_finish(slot);
}

static void send_mail(fb_command_call *call, const fb_mail *mail) {
    fb_error error = {.code = FB_OK};
    fb_slot *slot = fb_session_slot(call);
    if (slot == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->alone = call->session->exec != FB_EXEC_NONE;
    int result = fb_mail_send_start(call->node->engine, mail, answer, slot, &error);
    if (result != FB_OK && !slot->done) {
        say_sent(call->reply, result, NULL, error.text);
    } else if (!slot->done) {
        call->outcome = FB_PENDING;
    }
}

void fb_verb_mail(fb_command_call *call) {
    mailing one;
    if (read_mail(call, true, &one)) {
        send_mail(call, &one.mail);
    }
}

static void say_message(void *arg, fb_str message) {
    fb_reply_bytes(arg, message);
}

void fb_verb_preview(fb_command_call *call) {
    mailing one;
    fb_error error = {.code = FB_OK};
    if (!read_mail(call, false, &one)) {
        return;
    }
    int result =
        fb_mail_preview(call->node->engine, &one.mail, say_message, call->reply, &error);
    if (result != FB_OK) {
        say_sent(call->reply, result, NULL, error.text);
    }
}

// ---- FB.MAILS, FB.SUPPRESSED

void fb_verb_mails(fb_command_call *call) {
    int result = fb_mailing_say(call->reply, call->node->engine);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    }
}

void fb_verb_suppressed(fb_command_call *call) {
    fb_error error = {.code = FB_OK};
    int64_t since_ms = 0;
    fb_str address = call->args[1];
    bool remove = call->arg_count == 3 && fb_command_word(call, 2, "REMOVE");
    if (call->arg_count > 2 && !remove) {
        fb_command_syntax_error(call);
        return;
    }
    int result = remove ? fb_mail_allow(call->node->engine, address, &error)
                        : fb_mail_suppressed(call->node->engine, address, &since_ms, &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    } else if (remove) {
        fb_reply_integer(call->reply, result == FB_OK);
    } else if (result == FB_OK) {
        fb_reply_integer(call->reply, since_ms);
    } else {
        fb_reply_null(call->reply);
    }
}
