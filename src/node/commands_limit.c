// Limits: may this subject do this now, and if not, when (forebay/limit.h).
//
//     FB.LIMIT rule key [COST n] [TIER t] [PEEK]                                      -> a verdict
//     FB.LIMITS count rule key [rule key ...] [COST n] [TIER t] [PEEK] -> 1 or 0, then each verdict
//     FB.REFUND rule key [COST n] [TIER t]                                            -> a verdict
//     FB.SLOT ACQUIRE rule key [TTL ms] [TIER t]                  -> a token or nil, and a verdict
//     FB.SLOT RENEW rule key token [TTL ms]                                  -> 1, or 0: not there
//     FB.SLOT RELEASE rule key token                                         -> 1, or 0: not there
//     FB.SLOT SHOW rule key [TIER t]                                                  -> a verdict
//     FB.RESET rule key                                                                      -> OK
//     FB.OVERRIDE rule key LIMIT n, ALLOW or DENY FOR ms, or NONE                            -> OK
//     FB.RULES [rule]                                                          -> maps, or one map
//     CL.THROTTLE key max_burst count period [quantity]                           -> five integers
//
// A verdict is a map (verdict.h); a denied question is an answer, not an error.
//
// CL.THROTTLE is redis-cell's, down to its errors, so that its clients need not notice.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/say.h"
#include "node/verdict.h"
#include "node/words.h"

enum { SHOWN_LEN = 128 };

// Words to the end of the command, from `at` on.
static bool read_words(fb_command_call *call, unsigned allowed, size_t at, fb_words *words) {
    if (!fb_words_read(call, allowed, &at, words)) {
        return false;
    }
    if (at < call->arg_count) {
        fb_command_syntax_error(call);
        return false;
    }
    return true;
}

static fb_limit_question question_of(const fb_command_call *call, size_t at,
                                     const fb_words *words) {
    return (fb_limit_question){.rule = call->args[at],
                               .key = call->args[at + 1],
                               .tier = words->tier,
                               .cost = words->cost};
}

// A verdict, or what went wrong. `error` need not have been set.
static void say_verdict(fb_command_call *call, int result, const fb_verdict *verdict,
                        const fb_error *error) {
    if (result < 0) {
        fb_command_failed(call, result, error);
    } else {
        fb_verdict_map(call->reply, verdict);
    }
}

// ---- FB.LIMIT, FB.LIMITS, FB.REFUND

void fb_verb_limit(fb_command_call *call) {
    fb_words words;
    fb_verdict verdict;
    fb_error error;
    error.text[0] = '\0';
    if (!read_words(call, FB_WORD_COST | FB_WORD_TIER | FB_WORD_PEEK, 3, &words)) {
        return;
    }
    fb_limit_question question = question_of(call, 1, &words);
    fb_engine *engine = call->node->engine;
    bool peek = (words.given & FB_WORD_PEEK) != 0;
    int result = peek ? fb_verdict_peek(engine, &question, &verdict, &error)
                      : fb_limit_check(engine, &question, 1, 0, &verdict, &error);
    say_verdict(call, result, &verdict, &error);
}

void fb_verb_limits(fb_command_call *call) {
    fb_limit_question questions[FB_LIMIT_QUESTIONS_MAX];
    fb_verdict verdicts[FB_LIMIT_QUESTIONS_MAX];
    fb_words words;
    fb_error error;
    error.text[0] = '\0';
    int64_t count;
    if (fb_str_int(call->args[1], &count) != FB_OK || count < 1 ||
        count > FB_LIMIT_QUESTIONS_MAX || call->arg_count < 2 + 2 * (size_t)count) {
        fb_reply_error(call->reply,
                       "ERR FB.LIMITS needs a count from 1 to %d, and so many rules with a key "
                       "each",
                       FB_LIMIT_QUESTIONS_MAX);
        return;
    }
    if (!read_words(call, FB_WORD_COST | FB_WORD_TIER | FB_WORD_PEEK, 2 + 2 * (size_t)count,
                    &words)) {
        return;
    }
    for (size_t i = 0; i < (size_t)count; i++) {
        questions[i] = question_of(call, 2 + 2 * i, &words);
    }
    unsigned flags = (words.given & FB_WORD_PEEK) != 0 ? FB_LIMIT_PEEK : 0;
    int result = fb_limit_check(call->node->engine, questions, (size_t)count, flags, verdicts,
                                &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
        return;
    }
    fb_reply_array(call->reply, 1 + (size_t)count);
    fb_reply_integer(call->reply, result == FB_OK);
    for (size_t i = 0; i < (size_t)count; i++) {
        fb_verdict_map(call->reply, &verdicts[i]);
    }
}

void fb_verb_refund(fb_command_call *call) {
    fb_words words;
    fb_verdict verdict;
    fb_error error;
    error.text[0] = '\0';
    if (!read_words(call, FB_WORD_COST | FB_WORD_TIER, 3, &words)) {
        return;
    }
    fb_limit_question question = question_of(call, 1, &words);
    int result = fb_limit_refund(call->node->engine, &question, &verdict, &error);
    say_verdict(call, result, &verdict, &error);
}

// ---- FB.SLOT

static void say_token(fb_command_call *call, uint64_t token) {
    char text[24];
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)token);
    fb_reply_bytes(call->reply, fb_str_make(text, (size_t)len));
}

void fb_verb_slot_acquire(fb_command_call *call) {
    fb_words words;
    fb_verdict verdict;
    fb_error error;
    error.text[0] = '\0';
    uint64_t token = 0;
    if (!read_words(call, FB_WORD_LIFE | FB_WORD_TIER, 4, &words)) {
        return;
    }
    fb_limit_question question = question_of(call, 2, &words);
    int result = fb_slot_acquire(call->node->engine, &question, words.life_ms, &token, &verdict,
                                 &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
        return;
    }
    fb_reply_array(call->reply, 2);
    if (result == FB_OK) {
        say_token(call, token);
    } else {
        fb_reply_null(call->reply);
    }
    fb_verdict_map(call->reply, &verdict);
}

// 1, 0 for FB_MISS, or what went wrong.
static void say_found(fb_command_call *call, int result, const fb_error *error) {
    if (result < 0) {
        fb_command_failed(call, result, error);
    } else {
        fb_reply_integer(call->reply, result == FB_OK);
    }
}

static bool read_token(fb_command_call *call, uint64_t *token) {
    if (fb_words_token(call->args[4], token)) {
        return true;
    }
    fb_reply_error(call->reply, "ERR the token is not one that FB.SLOT ACQUIRE gave");
    return false;
}

void fb_verb_slot_renew(fb_command_call *call) {
    fb_words words;
    fb_error error;
    error.text[0] = '\0';
    uint64_t token;
    if (!read_words(call, FB_WORD_LIFE, 5, &words) || !read_token(call, &token)) {
        return;
    }
    fb_limit_question question = question_of(call, 2, &words);
    say_found(call, fb_slot_renew(call->node->engine, &question, token, words.life_ms, &error),
              &error);
}

void fb_verb_slot_release(fb_command_call *call) {
    fb_words words;
    fb_error error;
    error.text[0] = '\0';
    uint64_t token;
    if (!read_words(call, 0, 5, &words) || !read_token(call, &token)) {
        return;
    }
    fb_limit_question question = question_of(call, 2, &words);
    say_found(call, fb_slot_release(call->node->engine, &question, token, &error), &error);
}

void fb_verb_slot_show(fb_command_call *call) {
    fb_words words;
    fb_verdict verdict;
    fb_error error;
    error.text[0] = '\0';
    if (!read_words(call, FB_WORD_TIER, 4, &words)) {
        return;
    }
    fb_limit_question question = question_of(call, 2, &words);
    int result = fb_slot_peek(call->node->engine, &question, &verdict, &error);
    say_verdict(call, result, &verdict, &error);
}

void fb_verb_slot_help(fb_command_call *call) {
    fb_command_help(call, "FB.SLOT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_SLOT);
}

// ---- FB.RESET, FB.OVERRIDE

static void say_done(fb_command_call *call, int result, const fb_error *error) {
    if (result < 0) {
        fb_command_failed(call, result, error);
    } else {
        fb_reply_status(call->reply, "OK");
    }
}

void fb_verb_reset(fb_command_call *call) {
    fb_error error;
    error.text[0] = '\0';
    say_done(call, fb_limit_reset(call->node->engine, call->args[1], call->args[2], &error),
             &error);
}

// The word after the key, and its number; *at is behind them.
static bool read_override(fb_command_call *call, fb_limit_override *override, size_t *at) {
    int64_t limit;
    *at = 4;
    if (fb_command_word(call, 3, "ALLOW")) {
        override->kind = FB_LIMIT_OVERRIDE_ALLOW;
    } else if (fb_command_word(call, 3, "DENY")) {
        override->kind = FB_LIMIT_OVERRIDE_DENY;
    } else if (fb_command_word(call, 3, "NONE")) {
        override->kind = FB_LIMIT_OVERRIDE_NONE;
    } else if (!fb_command_word(call, 3, "LIMIT")) {
        fb_reply_error(call->reply, "ERR an override is LIMIT n, ALLOW, DENY or NONE");
        return false;
    } else if (call->arg_count < 5 || fb_str_int(call->args[4], &limit) != FB_OK || limit < 1 ||
               limit > INT32_MAX) {
        fb_reply_error(call->reply, "ERR LIMIT needs an integer from 1 to %d", INT32_MAX);
        return false;
    } else {
        override->kind = FB_LIMIT_OVERRIDE_LIMIT;
        override->limit = (uint32_t)limit;
        *at = 5;
    }
    return true;
}

void fb_verb_override(fb_command_call *call) {
    fb_limit_override override = {.kind = FB_LIMIT_OVERRIDE_NONE};
    fb_words words;
    fb_error error;
    error.text[0] = '\0';
    size_t at;
    if (!read_override(call, &override, &at)) {
        return;
    }
    bool ends = override.kind == FB_LIMIT_OVERRIDE_NONE;
    if (!read_words(call, ends ? 0 : FB_WORD_FOR, at, &words)) {
        return;
    }
    if (!ends && words.for_ms == 0) {
        fb_reply_error(call->reply, "ERR FOR ms is missing: an override is for a time");
        return;
    }
    override.for_ms = words.for_ms;
    say_done(call,
             fb_limit_override_set(call->node->engine, call->args[1], call->args[2], &override,
                                   &error),
             &error);
}

// ---- FB.RULES

// In the words of who asks for its quota.
static void say_no_rule(fb_command_call *call, fb_str name) {
    fb_limit_question question = {.rule = name, .key = FB_STR("?")};
    fb_verdict verdict;
    fb_error error = {0};
    int result = fb_limit_check(call->node->engine, &question, 1,
                                FB_LIMIT_PEEK | FB_LIMIT_LOCAL, &verdict, &error);
    fb_command_failed(call, result < 0 ? result : FB_ENOLIMIT, &error);
}

static void say_rules(fb_command_call *call, const fb_rule_figures *rules, size_t count) {
    if (call->arg_count == 1) {
        fb_reply_array(call->reply, count);
        for (size_t i = 0; i < count; i++) {
            fb_rules_say(call->reply, &rules[i].figures);
        }
        return;
    }
    fb_str name = call->args[1];
    for (size_t i = 0; i < count; i++) {
        if (fb_str_equal(name, fb_str_of(rules[i].figures.name))) {
            fb_rules_say(call->reply, &rules[i].figures);
            return;
        }
    }
    say_no_rule(call, name);
}

void fb_verb_rules(fb_command_call *call) {
    fb_rule_figures *rules = NULL;
    size_t count = 0;
    if (call->arg_count > 2) {
        fb_reply_error(call->reply, "ERR wrong number of arguments for 'fb.rules' command");
        return;
    }
    int result = fb_rules_read(call->node->engine, &rules, &count);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return;
    }
    say_rules(call, rules, count);
    fb_mem_free(rules);
}

// ---- CL.THROTTLE

static bool read_number(fb_command_call *call, size_t at, int64_t *number) {
    fb_str arg = call->args[at];
    if (fb_str_int(arg, number) == FB_OK) {
        return true;
    }
    fb_reply_error(call->reply, "Cell error: Couldn't parse as integer: %.*s",
                   (int)(arg.len < SHOWN_LEN ? arg.len : SHOWN_LEN), arg.ptr);
    return false;
}

void fb_verb_throttle(fb_command_call *call) {
    int64_t numbers[4] = {0, 0, 0, 1};  // burst, count, period, quantity
    fb_verdict verdict;
    fb_error error;
    error.text[0] = '\0';
    if (call->arg_count != 5 && call->arg_count != 6) {
        fb_reply_error(call->reply,
                       "Cell error: Usage: CL.THROTTLE <key> <max_burst> <count per period> "
                       "<period> [<quantity>]");
        return;
    }
    for (size_t i = 2; i < call->arg_count; i++) {
        if (!read_number(call, i, &numbers[i - 2])) {
            return;
        }
    }
    int result = fb_throttle(call->node->engine, call->args[1], numbers[0], numbers[1], numbers[2],
                             numbers[3], &verdict, &error);
    if (result < 0) {
        fb_reply_error(call->reply, "Cell error: %s",
                       error.text[0] != '\0' ? error.text : fb_result_text(result));
        return;
    }
    fb_reply_array(call->reply, 5);
    fb_reply_integer(call->reply, verdict.allowed ? 0 : 1);
    fb_reply_integer(call->reply, verdict.limit);
    fb_reply_integer(call->reply, verdict.remaining);
    fb_reply_integer(call->reply, verdict.allowed ? -1 : fb_verdict_s(verdict.retry_us));
    fb_reply_integer(call->reply, fb_verdict_s(verdict.reset_us));
}
