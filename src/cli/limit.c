// forebay limit: asks a running server about limits, and changes what it knows of a key.
//
//     forebay limit check RULE KEY [--cost N] [--tier T] [--peek]
//     forebay limit show [RULE [KEY]] [--tier T]
//     forebay limit reset RULE KEY
//     forebay limit override RULE KEY LIMIT|allow|deny|none [--for 1h]
//
// `check` ends with 1 where it is denied, so that a script can ask.

#include "cli/command_line.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/rows.h"

enum { NUMBER_SIZE = 32, TIME_SIZE = 48, VERDICT_CHILDREN = 64 };

// ---- verdicts

// Above a second in whole ones, rounded up.
static void print_time(const char *name, int64_t ms) {
    char text[TIME_SIZE];
    int64_t shown_ms = ms <= 1000 ? ms : (ms + 999) / 1000 * 1000;
    printf("%-10s %s\n", name, fb_units_show_duration(shown_ms * FB_NS_PER_MS, text, sizeof text));
}

static void print_verdict(const fb_resp_value *verdict) {
    bool denied = fb_rows_number(verdict, "denied") != 0;
    bool allowed = fb_rows_number(verdict, "allowed") != 0;
    fb_str message = fb_rows_text(verdict, "message");
    fb_str source = fb_rows_text(verdict, "source");
    const char *word = !allowed ? "denied"
                       : denied ? "allowed (shadow: would be denied)"
                                : "allowed";
    printf("%s: %.*s\n", word, FB_STR_ARG(message));
    printf("%-10s %lld of %lld\n", "remaining", (long long)fb_rows_number(verdict, "remaining"),
           (long long)fb_rows_number(verdict, "limit"));
    if (!allowed && fb_rows_number(verdict, "retry_ms") > 0) {
        print_time("retry in", fb_rows_number(verdict, "retry_ms"));
    }
    if (fb_rows_number(verdict, "reset_ms") > 0) {
        print_time("reset in", fb_rows_number(verdict, "reset_ms"));
    }
    printf("%-10s %.*s%s\n", "source", FB_STR_ARG(source),
           fb_rows_number(verdict, "degraded") != 0 ? " (degraded)" : "");
}

static bool is_truth(fb_str name) {
    return fb_str_equal(name, FB_STR("allowed")) || fb_str_equal(name, FB_STR("denied")) ||
           fb_str_equal(name, FB_STR("degraded"));
}

// What a command answers with 1 or 0, so that it reads the same in both versions of the protocol,
// is true or false in JSON, as HTTP has it.
static int print_json(const fb_line *line, const fb_resp_value *verdict) {
    fb_resp_value children[VERDICT_CHILDREN];
    if (verdict->type != FB_RESP_MAP || verdict->child_count > VERDICT_CHILDREN) {
        return fb_cli_print(line, verdict);
    }
    fb_resp_value copy = *verdict;
    memcpy(children, verdict->children, verdict->child_count * sizeof *children);
    copy.children = children;
    for (size_t i = 0; i + 1 < copy.child_count; i += 2) {
        if (is_truth(children[i].text) && children[i + 1].type == FB_RESP_INTEGER) {
            children[i + 1].type = FB_RESP_BOOLEAN;
        }
    }
    return fb_cli_print(line, &copy);
}

static int show_verdict(const fb_line *line, const fb_resp_value *reply) {
    if (line->json) {
        return print_json(line, reply);
    }
    print_verdict(reply);
    return FB_EXIT_OK;
}

static int show_check(const fb_line *line, const fb_resp_value *reply) {
    int status = show_verdict(line, reply);
    bool denied = status == FB_EXIT_OK && fb_rows_number(reply, "allowed") == 0;
    return denied ? FB_EXIT_NOT_FOUND : status;
}

// ---- rules

static void print_rule(const fb_resp_value *rule, int name_width) {
    char window[TIME_SIZE];
    fb_str name = fb_rows_text(rule, "name");
    fb_str algorithm = fb_rows_text(rule, "algorithm");
    const fb_resp_value *shadow = fb_rows_member(rule, "shadow");
    fb_units_show_duration(fb_rows_number(rule, "window_ms") * FB_NS_PER_MS, window, sizeof window);
    printf("%-*.*s  %-9.*s %10lld  %-8s %12lld %12lld %10lld%s\n", name_width, FB_STR_ARG(name),
           FB_STR_ARG(algorithm), (long long)fb_rows_number(rule, "limit"), window,
           (long long)fb_rows_number(rule, "allowed"), (long long)fb_rows_number(rule, "denied"),
           (long long)fb_rows_number(rule, "keys"),
           shadow != NULL && shadow->integer != 0 ? "  (shadow)" : "");
}

static int show_rules(const fb_line *line, const fb_resp_value *reply) {
    if (line->json || reply->type != FB_RESP_ARRAY) {
        return fb_cli_print(line, reply);
    }
    int width = fb_rows_width(reply, "name");
    printf("%-*s  %-9s %10s  %-8s %12s %12s %10s\n", width, "name", "algorithm", "limit", "window",
           "allowed", "denied", "keys");
    for (size_t i = 0; i < reply->child_count; i++) {
        print_rule(&reply->children[i], width);
    }
    return FB_EXIT_OK;
}

// ---- questions

static fb_question about_key(const fb_line *line, const char *verb) {
    fb_question what = fb_question_begin(verb);
    fb_question_add(&what, fb_str_of(line->words[1]));
    fb_question_add(&what, fb_str_of(line->words[2]));
    return what;
}

static int check(const fb_line *line) {
    fb_question what = about_key(line, "FB.LIMIT");
    fb_question_option(&what, "COST", line->cost);
    fb_question_option(&what, "TIER", line->tier);
    if (line->peek) {
        fb_question_add(&what, FB_STR("PEEK"));
    }
    return fb_cli_ask(line, &what, show_check);
}

static int show(const fb_line *line) {
    if (line->word_count < 3) {
        fb_question what = fb_question_begin("FB.RULES");
        if (line->word_count == 2) {
            fb_question_add(&what, fb_str_of(line->words[1]));
        }
        return fb_cli_ask(line, &what, show_rules);
    }
    fb_question what = about_key(line, "FB.LIMIT");
    fb_question_option(&what, "TIER", line->tier);
    fb_question_add(&what, FB_STR("PEEK"));
    return fb_cli_ask(line, &what, show_verdict);
}

static int reset(const fb_line *line) {
    fb_question what = about_key(line, "FB.RESET");
    return fb_cli_ask(line, &what, fb_cli_print);
}

static bool read_for(const fb_line *line, char for_ms[NUMBER_SIZE]) {
    int64_t ns;
    if (line->for_time == NULL) {
        fb_cli_complain(line, "override needs --for, such as --for 1h: it is for a time");
        return false;
    }
    if (fb_units_duration(fb_str_of(line->for_time), &ns) < 0 || ns < FB_NS_PER_MS) {
        fb_cli_complain(line, "--for %s: expected a time of at least 1ms, such as 30s or 1h",
                        line->for_time);
        return false;
    }
    (void)snprintf(for_ms, NUMBER_SIZE, "%lld", (long long)(ns / FB_NS_PER_MS));
    return true;
}

static int override(const fb_line *line) {
    char for_ms[NUMBER_SIZE];
    fb_str kind = fb_str_of(line->words[3]);
    bool ends = fb_str_same(kind, FB_STR("none"));
    bool word = ends || fb_str_same(kind, FB_STR("allow")) || fb_str_same(kind, FB_STR("deny"));
    fb_question what = about_key(line, "FB.OVERRIDE");
    if (!word) {
        fb_question_add(&what, FB_STR("LIMIT"));
    }
    fb_question_add(&what, kind);
    if (!ends) {
        if (!read_for(line, for_ms)) {
            return FB_EXIT_USAGE;
        }
        fb_question_option(&what, "FOR", for_ms);
    }
    return fb_cli_ask(line, &what, fb_cli_print);
}

// ---- which

static const struct {
    const char *name;
    size_t words_min, words_max;  // with the name
    const char *options;
    const char *usage;
    int (*run)(const fb_line *line);
} ACTIONS[] = {
    {"check", 3, 3, " json url timeout cost tier peek ",
     "check RULE KEY [--cost NUMBER] [--tier NAME] [--peek]", check},
    {"show", 1, 3, " json url timeout tier ", "show [RULE [KEY [--tier NAME]]]", show},
    {"reset", 3, 3, " json url timeout ", "reset RULE KEY", reset},
    {"override", 4, 4, " json url timeout for ",
     "override RULE KEY LIMIT|allow|deny|none [--for TIME]", override},
};

int fb_cli_limit(const fb_line *line) {
    for (size_t i = 0; i < sizeof ACTIONS / sizeof ACTIONS[0]; i++) {
        if (strcmp(line->words[0], ACTIONS[i].name) != 0) {
            continue;
        }
        const char *other = fb_cli_other_option(line, ACTIONS[i].options);
        if (other != NULL) {
            fb_cli_complain(line, "%s takes no --%s", ACTIONS[i].name, other);
            return FB_EXIT_USAGE;
        }
        if (line->word_count < ACTIONS[i].words_min || line->word_count > ACTIONS[i].words_max) {
            fb_cli_complain(line, "usage: forebay limit %s", ACTIONS[i].usage);
            return FB_EXIT_USAGE;
        }
        return ACTIONS[i].run(line);
    }
    fb_cli_complain(line, "there is no '%s' here: there are check, show, reset and override",
                    line->words[0]);
    return FB_EXIT_USAGE;
}
