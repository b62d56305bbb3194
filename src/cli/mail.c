// forebay mail: mails by templates, and whether the relays work.
//
//     forebay mail send KIND ADDRESS [NAME=VALUE]... [--unique KEY] [--delay TIME] [--expires TIME]
//     forebay mail preview KIND ADDRESS [NAME=VALUE]... [--config FILE]
//     forebay mail test [RELAY] [--config FILE]
//
// A preview is asked of the server; with --config it is made here, by that file alone. A test talks to
// the relays from here, by the configuration: it shows what the server would find, where it runs on this
// machine.

#include "cli/command_line.h"

#include <forebay/forebay.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "cli/action.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "daemon/configure.h"

enum { NUMBER_SIZE = 32, TEXT_SIZE = 1024 };

// ---- send

static bool read_time(const fb_line *line, const char *name, const char *value,
                      char text[NUMBER_SIZE]) {
    int64_t ns;
    if (value == NULL) {
        return true;
    }
    if (fb_units_duration(fb_str_of(value), &ns) < 0 || ns < FB_NS_PER_MS) {
        fb_cli_complain(line, "--%s %s: expected a time of at least 1ms, such as 30s or 1h", name,
                        value);
        return false;
    }
    (void)snprintf(text, NUMBER_SIZE, "%lld", (long long)(ns / FB_NS_PER_MS));
    return true;
}

static bool add_mail(fb_question *what, const fb_line *line) {
    fb_question_add(what, FB_STR("KIND"));
    fb_question_add(what, fb_str_of(line->words[1]));
    fb_question_add(what, fb_str_of(line->words[2]));
    return fb_question_pairs(what, line, 3);
}

static int send_mail(const fb_line *line) {
    char delay[NUMBER_SIZE], expires[NUMBER_SIZE];
    fb_question what = fb_question_begin("FB.MAIL");
    if (!read_time(line, "delay", line->delay, delay) ||
        !read_time(line, "expires", line->expires, expires)) {
        return FB_EXIT_USAGE;
    }
    fb_question_option(&what, "UNIQ", line->unique);
    fb_question_option(&what, "DELAY", line->delay != NULL ? delay : NULL);
    fb_question_option(&what, "EXPIRES", line->expires != NULL ? expires : NULL);
    return add_mail(&what, line) ? fb_cli_ask(line, &what, fb_cli_print) : FB_EXIT_USAGE;
}

// ---- preview

static void print_message(fb_str message) {
    for (size_t i = 0; i < message.len; i++) {
        if (message.ptr[i] != '\r') {
            putchar(message.ptr[i]);
        }
    }
}

// A terminal wants no carriage returns; a file of a message would have them back by any mail program.
static int show_message(const fb_line *line, const fb_resp_value *reply) {
    if (line->json) {
        return fb_cli_print(line, reply);
    }
    print_message(reply->text);
    return FB_EXIT_OK;
}

static void show_error(const fb_line *line, const fb_error *error) {
    char text[TEXT_SIZE];
    fb_configure_show_error(error, text, sizeof text);
    fb_cli_complain(line, "%s", text);
}

static bool read_config(const fb_line *line, fb_config **config) {
    fb_error error = {.code = FB_OK};
    fb_configure how = {
        .path = line->config, .settings = line->sets, .setting_count = line->set_count};
    int result = fb_configure_read(&how, config, NULL, 0, &error);
    if (result < 0) {
        show_error(line, &error);
    }
    return result == FB_OK;
}

static void take_message(void *arg, fb_str message) {
    const fb_line *line = arg;
    fb_resp_value value = {.type = FB_RESP_STRING, .text = message};
    (void)show_message(line, &value);
}

static bool read_vars(const fb_line *line, fb_mail_var vars[FB_MAIL_VARS_MAX], size_t *count) {
    fb_question words = fb_question_begin("");
    if (!fb_question_pairs(&words, line, 3)) {
        return false;
    }
    *count = words.count / 2;
    if (*count > FB_MAIL_VARS_MAX) {
        fb_cli_complain(line, "more than %d variables", FB_MAIL_VARS_MAX);
        return false;
    }
    for (size_t i = 0; i < *count; i++) {
        vars[i] = (fb_mail_var){words.args[1 + 2 * i], words.args[2 + 2 * i]};
    }
    return true;
}

static int preview_here(const fb_line *line) {
    fb_mail_var vars[FB_MAIL_VARS_MAX];
    fb_config *config = NULL;
    fb_error error = {.code = FB_OK};
    fb_mail mail = {.kind = fb_str_of(line->words[1]), .to = fb_str_of(line->words[2]), .vars = vars};
    if (!read_vars(line, vars, &mail.var_count) || !read_config(line, &config)) {
        return FB_EXIT_USAGE;
    }
    int result = fb_mail_preview_alone(config, &mail, take_message, (void *)(uintptr_t)line, &error);
    if (result < 0) {
        show_error(line, &error);
    }
    fb_config_free(config);
    return result < 0 ? FB_EXIT_USAGE : FB_EXIT_OK;
}

static int preview(const fb_line *line) {
    fb_question what = fb_question_begin("FB.PREVIEW");
    if (line->config != NULL || line->set_count > 0) {
        return preview_here(line);
    }
    return add_mail(&what, line) ? fb_cli_ask(line, &what, show_message) : FB_EXIT_USAGE;
}

// ---- test

static void say_line(void *arg, bool good, const char *text) {
    (void)arg;
    printf("%-4s  %s\n", good ? "ok" : "FAIL", text);
    (void)fflush(stdout);  // each takes a while
}

static int test(const fb_line *line) {
    fb_config *config = NULL;
    fb_error error = {.code = FB_OK};
    fb_str relay = line->word_count > 1 ? fb_str_of(line->words[1]) : FB_STR("");
    if (!read_config(line, &config)) {
        return FB_EXIT_USAGE;
    }
    int result = fb_mail_test_alone(config, relay, say_line, NULL, &error);
    fb_config_free(config);
    if (result < 0) {
        show_error(line, &error);
    }
    return result == FB_OK ? FB_EXIT_OK : result == FB_EIO ? FB_EXIT_NOT_FOUND : FB_EXIT_USAGE;
}

// ---- which

static const fb_cli_action ACTIONS[] = {
    {"send", 3, FB_LINE_WORDS_MAX, " json url timeout unique delay expires ",
     "send KIND ADDRESS [NAME=VALUE]... [--unique KEY] [--delay TIME] [--expires TIME]",
     "accepts a mail; prints the id of its job", send_mail},
    {"preview", 3, FB_LINE_WORDS_MAX, " json url timeout config set ",
     "preview KIND ADDRESS [NAME=VALUE]... [--config FILE]",
     "prints the message as it would be sent", preview},
    {"test", 1, 2, " config set ", "test [RELAY] [--config FILE]",
     "connects to the relays, signs in, says goodbye, and tells what it found; 1 where one fails",
     test},
    {.name = NULL},
};

void fb_cli_mail_usage(void) {
    fb_cli_actions_usage(ACTIONS);
}

int fb_cli_mail(const fb_line *line) {
    return fb_cli_actions_run(ACTIONS, "mail", line);
}
