// Verdicts in three shapes. A command's map has integers where JSON has true and false, so that it
// reads the same in RESP2 and RESP3, and is short: it is written for each question.

#include "node/verdict.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/route.h"
#include "node/say.h"

static int64_t in_units(int64_t wait_us, int64_t unit_us) {
    return wait_us < 0 ? -1 : wait_us / unit_us + (wait_us % unit_us > 0);
}

int64_t fb_verdict_ms(int64_t wait_us) {
    return in_units(wait_us, 1000);
}

int64_t fb_verdict_s(int64_t wait_us) {
    return in_units(wait_us, 1000000);
}

// ---- bodies

static void say_message(fb_reply *reply, const fb_verdict *verdict) {
    char text[FB_LIMIT_MESSAGE_SIZE];
    fb_say_text(reply, "message", fb_verdict_message(verdict, text));
}

void fb_verdict_map(fb_reply *reply, const fb_verdict *verdict) {
    fb_reply_map(reply, 11);
    fb_say_integer(reply, "allowed", verdict->allowed);
    fb_say_integer(reply, "limit", verdict->limit);
    fb_say_integer(reply, "remaining", verdict->remaining);
    fb_say_integer(reply, "retry_ms", fb_verdict_ms(verdict->retry_us));
    fb_say_integer(reply, "reset_ms", fb_verdict_ms(verdict->reset_us));
    fb_say_text(reply, "rule", verdict->rule);
    fb_say_integer(reply, "cost", verdict->cost);
    fb_say_text(reply, "source", fb_limit_source_text(verdict->source));
    fb_say_integer(reply, "degraded", verdict->degraded);
    fb_say_integer(reply, "denied", verdict->denied);
    say_message(reply, verdict);
}

void fb_verdict_pairs(fb_reply *reply, const fb_verdict *verdict) {
    fb_say_boolean(reply, "allowed", verdict->allowed);
    fb_say_integer(reply, "limit", verdict->limit);
    fb_say_integer(reply, "remaining", verdict->remaining);
    fb_reply_text(reply, "retry_after");
    if (verdict->retry_us < 0) {
        fb_reply_null(reply);
    } else {
        fb_reply_integer(reply, fb_verdict_s(verdict->retry_us));
    }
    fb_say_integer(reply, "retry_ms", fb_verdict_ms(verdict->retry_us));
    fb_say_integer(reply, "reset_ms", fb_verdict_ms(verdict->reset_us));
    fb_say_integer(reply, "window_ms", fb_verdict_ms(verdict->window_us));
    fb_say_text(reply, "rule", verdict->rule);
    fb_say_integer(reply, "cost", verdict->cost);
    fb_say_text(reply, "source", fb_limit_source_text(verdict->source));
    fb_say_boolean(reply, "degraded", verdict->degraded);
    fb_say_boolean(reply, "denied", verdict->denied);
    say_message(reply, verdict);
}

// ---- several

// Whether it tells of a quota, and not of who has none.
static bool is_counted(const fb_verdict *verdict) {
    return verdict->source != FB_LIMIT_BY_EXEMPT && verdict->source != FB_LIMIT_BY_BARRED;
}

static bool is_tighter(const fb_verdict *one, const fb_verdict *other) {
    if (one->allowed != other->allowed) {
        return !one->allowed;
    }
    if (!one->allowed && one->retry_us != other->retry_us) {
        return one->retry_us < 0 || (other->retry_us >= 0 && one->retry_us > other->retry_us);
    }
    if (is_counted(one) != is_counted(other)) {
        return is_counted(one);
    }
    return one->remaining < other->remaining;
}

const fb_verdict *fb_verdict_tightest(const fb_verdict *verdicts, size_t count) {
    const fb_verdict *tightest = verdicts;
    for (size_t i = 1; i < count; i++) {
        tightest = is_tighter(&verdicts[i], tightest) ? &verdicts[i] : tightest;
    }
    return tightest;
}

// ---- headers

// The time that RateLimit tells is the wait of who was denied, so that it does not contradict
// Retry-After. Nobody has to come in the very millisecond of a reset: what is above the last whole
// one does not make it another second, or a minute would be told as 61 seconds.
void fb_verdict_headers(fb_http_response *response, const fb_verdict *verdict, int64_t wall_us) {
    bool denied = !verdict->allowed;
    int64_t reset_us = verdict->reset_us - verdict->reset_us % 1000;
    int64_t reset_s = fb_verdict_s(reset_us);
    bool waits = denied && verdict->retry_us >= 0;
    if (denied && verdict->retry_us > 0) {
        fb_http_header_add(response, "Retry-After", "%lld",
                           (long long)fb_verdict_s(verdict->retry_us));
    }
    if (!is_counted(verdict) || verdict->limit == 0) {
        return;
    }
    if (verdict->window_us > 0) {
        fb_http_header_add(response, "RateLimit-Policy", "\"%s\";q=%u;w=%lld", verdict->rule,
                           verdict->limit, (long long)fb_verdict_s(verdict->window_us));
    } else {
        fb_http_header_add(response, "RateLimit-Policy", "\"%s\";q=%u", verdict->rule,
                           verdict->limit);
    }
    fb_http_header_add(response, "RateLimit", "\"%s\";r=%u;t=%lld", verdict->rule,
                       verdict->remaining,
                       (long long)(waits ? fb_verdict_s(verdict->retry_us) : reset_s));
    fb_http_header_add(response, "X-RateLimit-Limit", "%u", verdict->limit);
    fb_http_header_add(response, "X-RateLimit-Remaining", "%u", verdict->remaining);
    fb_http_header_add(response, "X-RateLimit-Reset", "%lld",
                       (long long)fb_verdict_s(wall_us + reset_us));
}

// ---- asking

int fb_verdict_peek(fb_engine *engine, const fb_limit_question *question, fb_verdict *verdict,
                    fb_error *error) {
    int result = fb_limit_check(engine, question, 1, FB_LIMIT_PEEK, verdict, error);
    if (result != FB_EINVAL) {
        return result;
    }
    fb_error other = {0};
    return fb_slot_peek(engine, question, verdict, &other) >= 0 ? FB_OK : result;
}

// ---- rules

typedef struct reading {
    fb_rule_figures *rules;
    size_t count, room;
    bool failed;
} reading;

static bool make_room(reading *one) {
    if (one->count < one->room) {
        return true;
    }
    size_t room = one->room > 0 ? 2 * one->room : 8;
    fb_rule_figures *rules = fb_mem_resize(one->rules, room * sizeof *rules);
    if (rules != NULL) {
        one->rules = rules;
        one->room = room;
    }
    return rules != NULL;
}

static void take_rule(void *arg, const fb_limit_figures *figures) {
    reading *one = arg;
    if (one->failed || !make_room(one)) {
        one->failed = true;
        return;
    }
    fb_rule_figures *rule = &one->rules[one->count++];
    rule->figures = *figures;
    (void)snprintf(rule->algorithm, sizeof rule->algorithm, "%s", figures->algorithm);
    (void)snprintf(rule->per, sizeof rule->per, "%s", figures->per);
    (void)snprintf(rule->calendar, sizeof rule->calendar, "%s", figures->calendar);
}

int fb_rules_read(fb_engine *engine, fb_rule_figures **rules, size_t *count) {
    reading one = {.rules = NULL};
    int result = fb_limit_figures_read(engine, take_rule, &one);
    if (result < 0 || one.failed) {
        fb_mem_free(one.rules);
        return result < 0 ? result : FB_ENOMEM;
    }
    for (size_t i = 0; i < one.count; i++) {  // now that they lie still
        one.rules[i].figures.algorithm = one.rules[i].algorithm;
        one.rules[i].figures.per = one.rules[i].per;
        one.rules[i].figures.calendar = one.rules[i].calendar;
    }
    *rules = one.rules;
    *count = one.count;
    return FB_OK;
}

static void say_top(fb_reply *reply, const fb_limit_figures *figures) {
    fb_reply_text(reply, "top");
    fb_reply_array(reply, figures->top_count);
    for (uint32_t i = 0; i < figures->top_count; i++) {
        fb_reply_map(reply, 3);
        fb_say_text(reply, "key", figures->top[i].key);
        fb_say_count(reply, "denied", figures->top[i].count);
        fb_say_count(reply, "error", figures->top[i].error);
    }
}

enum {
#define COUNT_ONE(field, help) +1
    COUNTERS = 0 FB_LIMIT_COUNTERS(COUNT_ONE)
#undef COUNT_ONE
};

void fb_rules_say(fb_reply *reply, const fb_limit_figures *figures) {
    fb_reply_map(reply, 11 + COUNTERS);
    fb_say_text(reply, "name", figures->name);
    fb_say_text(reply, "algorithm", figures->algorithm);
    fb_say_text(reply, "per", figures->per);
    fb_say_integer(reply, "limit", figures->limit);
    fb_say_integer(reply, "window_ms", fb_verdict_ms(figures->window_us));
    fb_say_text(reply, "calendar", figures->calendar);
    fb_say_boolean(reply, "shadow", figures->shadow);
#define SAY_COUNTER(field, help) fb_say_count(reply, #field, figures->field);
    FB_LIMIT_COUNTERS(SAY_COUNTER)
#undef SAY_COUNTER
    fb_say_count(reply, "keys", figures->keys);
    fb_say_count(reply, "keys_max", figures->keys_max);
    fb_say_count(reply, "bytes", figures->bytes);
    say_top(reply, figures);
}
