// What asks a running server: each subcommand becomes one RESP command, its reply is printed.

#include "cli/command_line.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "client/link.h"
#include "cli/ask.h"
#include "cli/print.h"

enum {
    NUMBER_SIZE = 32,
    INPUT_STEP = 1 << 20,
    INPUT_MAX = 512 << 20  // the largest argument there is
};

fb_question fb_question_begin(const char *verb) {
    fb_question what = {.count = 0};
    fb_question_add(&what, fb_str_of(verb));
    return what;
}

void fb_question_add(fb_question *to, fb_str arg) {
    if (to->count < FB_QUESTION_ARGS_MAX) {
        to->args[to->count++] = arg;
    }
}

void fb_question_option(fb_question *to, const char *word, const char *value) {
    if (value != NULL) {
        fb_question_add(to, fb_str_of(word));
        fb_question_add(to, fb_str_of(value));
    }
}

int fb_cli_print(const fb_line *line, const fb_resp_value *reply) {
    if (line->json && fb_print_json(reply) < 0) {
        fb_cli_complain(line, "out of memory");
        return FB_EXIT_REFUSED;
    }
    if (!line->json) {
        (line->raw ? fb_print_raw : fb_print_text)(reply);
    }
    return FB_EXIT_OK;
}

int fb_cli_ask(const fb_line *line, const fb_question *what, fb_cli_reply_fn fn) {
    fb_link *link = NULL;
    const fb_resp_value *reply = NULL;
    fb_error error;
    int status = FB_EXIT_OK;
    int result = fb_link_open(line->url, line->timeout_ms, &link, &error);
    if (result == FB_OK) {
        result = fb_link_call(link, what->args, what->count, &reply, &error);
    }
    if (result < 0) {
        fb_cli_complain(line, "%s", error.text);
        status = result == FB_EINVAL ? FB_EXIT_USAGE : FB_EXIT_CONNECTION;
    } else if (reply->type == FB_RESP_ERROR) {
        fb_cli_complain(line, "%.*s", FB_STR_ARG(reply->text));
        status = FB_EXIT_REFUSED;
    } else {
        status = fn(line, reply);
    }
    fb_link_close(link);
    return status;
}

static bool is_nothing(const fb_resp_value *reply) {
    return reply->type == FB_RESP_NULL || (reply->type == FB_RESP_INTEGER && reply->integer == 0);
}

// Null and 0 mean FB_EXIT_NOT_FOUND.
static int print_or_miss(const fb_line *line, const fb_resp_value *reply) {
    int status = fb_cli_print(line, reply);
    return status == FB_EXIT_OK && is_nothing(reply) ? FB_EXIT_NOT_FOUND : status;
}

static int run(const fb_line *line, const fb_question *what, bool nothing_is_failure) {
    return fb_cli_ask(line, what, nothing_is_failure ? print_or_miss : fb_cli_print);
}

static void add_words(fb_question *what, const fb_line *line, size_t from) {
    for (size_t i = from; i < line->word_count; i++) {
        fb_question_add(what, fb_str_of(line->words[i]));
    }
}

bool fb_question_pairs(fb_question *what, const fb_line *line, size_t from) {
    for (size_t i = from; i < line->word_count; i++) {
        fb_str word = fb_str_of(line->words[i]);
        size_t equals = fb_str_find(word, '=');
        if (equals == 0 || equals == word.len) {
            fb_cli_complain(line, "'%s': expected NAME=VALUE", line->words[i]);
            return false;
        }
        fb_question_add(what, fb_str_make(word.ptr, equals));
        fb_question_add(what, fb_str_make(word.ptr + equals + 1, word.len - equals - 1));
    }
    return true;
}

const char *fb_cli_server(const fb_line *line, char text[FB_CLI_SERVER_SIZE]) {
    fb_address address;
    fb_error error;
    bool fine = fb_address_read(fb_str_of(line->url), &address, &error) == FB_OK;
    (void)snprintf(text, FB_CLI_SERVER_SIZE, "%s", fine ? address.name : "no address");
    return text;
}

int fb_cli_get(const fb_line *line) {
    fb_question what = fb_question_begin("GET");
    add_words(&what, line, 0);
    return run(line, &what, true);
}

bool fb_cli_input(const fb_line *line, fb_buf *value) {
    bool room = true;
    while (room && !feof(stdin) && !ferror(stdin) && value->len <= INPUT_MAX) {
        room = fb_buf_reserve(value, INPUT_STEP) == FB_OK;
        value->len += room ? fread(value->ptr + value->len, 1, INPUT_STEP, stdin) : 0;
    }
    if (!room) {
        fb_cli_complain(line, "out of memory");
    } else if (ferror(stdin)) {
        fb_cli_complain(line, "cannot read standard input: %s", strerror(errno));
    } else if (value->len > INPUT_MAX) {
        fb_cli_complain(line, "standard input is larger than %d MiB", INPUT_MAX >> 20);
    }
    return room && !ferror(stdin) && value->len <= INPUT_MAX;
}

static bool read_ttl(const fb_line *line, char ttl_ms[NUMBER_SIZE]) {
    int64_t ns;
    if (fb_units_duration(fb_str_of(line->ttl), &ns) < 0 || ns < 1000000) {
        fb_cli_complain(line, "--ttl %s: expected a time of at least 1ms, such as 30s or 1h",
                        line->ttl);
        return false;
    }
    snprintf(ttl_ms, NUMBER_SIZE, "%lld", (long long)(ns / 1000000));
    return true;
}

int fb_cli_set(const fb_line *line) {
    fb_question what = fb_question_begin("SET");
    char ttl_ms[NUMBER_SIZE];
    fb_buf value = {0};
    bool from_input = strcmp(line->words[1], "-") == 0;
    bool fine =
        (line->ttl == NULL || read_ttl(line, ttl_ms)) && (!from_input || fb_cli_input(line, &value));
    fb_question_add(&what, fb_str_of(line->words[0]));
    fb_question_add(&what, from_input ? fb_buf_str(&value) : fb_str_of(line->words[1]));
    if (line->ttl != NULL) {
        fb_question_add(&what, FB_STR("PX"));
        fb_question_add(&what, fb_str_of(ttl_ms));
    }
    int status = fine ? run(line, &what, false) : FB_EXIT_USAGE;
    fb_buf_release(&value);
    return status;
}

int fb_cli_del(const fb_line *line) {
    fb_question what = fb_question_begin("DEL");
    add_words(&what, line, 0);
    return run(line, &what, true);
}

int fb_cli_fetch(const fb_line *line) {
    fb_question what = fb_question_begin("FB.FETCH");
    if (line->refresh) {
        fb_question_add(&what, FB_STR("REFRESH"));
    }
    fb_question_add(&what, FB_STR("CLASS"));
    fb_question_add(&what, fb_str_of(line->words[0]));
    return fb_question_pairs(&what, line, 1) ? run(line, &what, true) : FB_EXIT_USAGE;
}

int fb_cli_invalidate(const fb_line *line) {
    fb_question what = fb_question_begin("FB.INVALIDATE");
    if (line->soft) {
        fb_question_add(&what, FB_STR("SOFT"));
    }
    add_words(&what, line, 0);
    return run(line, &what, false);
}

int fb_cli_warm(const fb_line *line) {
    fb_question what = fb_question_begin("FB.WARM");
    fb_question_add(&what, FB_STR("CLASS"));
    fb_question_add(&what, fb_str_of(line->words[0]));
    return fb_question_pairs(&what, line, 1) ? run(line, &what, false) : FB_EXIT_USAGE;
}

int fb_cli_stats(const fb_line *line) {
    fb_question what = fb_question_begin("FB.STATS");
    if (line->word_count > 0) {
        fb_question_option(&what, "CLASS", line->words[0]);
    }
    fb_question_option(&what, "WINDOW", line->window);
    return run(line, &what, false);
}

int fb_cli_explain(const fb_line *line) {
    fb_question what = fb_question_begin("FB.EXPLAIN");
    add_words(&what, line, 0);
    return run(line, &what, false);
}
