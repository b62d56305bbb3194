// The options of a limit rule, one row each, and what only the whole rule shows.
//
// A rule's numbers are bounded here so that all that is computed from them later stays below 2^53
// (limit/plan.h): a limit below 2^31, a window of at most 366 days, and a token bucket that is full
// again after at most 2^50 µs. The check tries what plan.c makes of the rule.

#include "limit/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "limit/plan.h"

// An array and the count right after it are one option to the table; so are a line and its column.
#define HAS_COUNT(items, count)                                                     \
    _Static_assert(offsetof(fb_limit_options, count) ==                             \
                       offsetof(fb_limit_options, items) + sizeof(void *), #count)
HAS_COUNT(exempt, exempt_count);
HAS_COUNT(deny, deny_count);
HAS_COUNT(tiers, tier_count);
_Static_assert(offsetof(fb_limit_options, column) ==
                   offsetof(fb_limit_options, line) + sizeof(uint32_t), "line");
_Static_assert(offsetof(fb_limit_options, name) == 0, "a named element starts with its name");
_Static_assert(offsetof(fb_limit_tier_options, name) == 0, "a named element starts with its name");

#define WINDOW_MAX_NS (INT64_C(366) * 24 * 3600 * FB_NS_PER_S)
#define LIMIT_MAX INT32_MAX

enum { PARTS_DEFAULT = 16, PREFIX_DEFAULT = 64, TIERS_MAX = 64, GLOBS_MAX = 1000 };

const fb_limit_builtin fb_limit_builtins[] = {
    {"generation", "{limit: 10, window: 1m, per: user, message: generations, "
                   "tiers: {premium: {limit: 100}}}"},
    {"api", "{limit: 100, window: 1h, per: user}"},
    {"improvement", "{limit: 20, window: 1h, per: user, message: improvements}"},
    {"auth", "{limit: 5, window: 5m, per: address, charge_denied: true, message: attempts}"},
    {"otp_resend", "{limit: 1, window: 30s, per: account, message: code|codes}"},
    {"otp_account", "{limit: 5, window: 1h, per: account, message: code|codes}"},
    {"otp_address", "{limit: 20, window: 1h, per: address, message: code|codes}"},
    {NULL, NULL},
};

#define MEMBER(member) .offset = offsetof(fb_limit_tier_options, member), .reloadable = true

const fb_option fb_limit_tier_options_table[] = {
    {.name = "limit", .type = FB_OPTION_COUNT, MEMBER(limit), .min = 1, .max = LIMIT_MAX,
     .help = "As of the rule, which it is where this is not set."},
    {.name = "window", .type = FB_OPTION_DURATION, MEMBER(window_ns), .min = FB_NS_PER_MS,
     .max = WINDOW_MAX_NS, .help = "As of the rule, which it is where this is not set."},
    {.name = "burst", .type = FB_OPTION_COUNT, MEMBER(burst), .min = 1, .max = LIMIT_MAX,
     .help = "As of the rule, which it is where this is not set."},
    {.name = "exempt", .type = FB_OPTION_BOOL, MEMBER(exempt), .default_text = "false",
     .help = "Who is of this tier is not limited."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_limit_options, member), .reloadable = true

const fb_option fb_limit_options_table[] = {
    {.name = "enabled", .type = FB_OPTION_BOOL, MEMBER(enabled), .default_text = "true",
     .help = "false: there is no such rule."},
    {.name = "algorithm", .type = FB_OPTION_CHOICE, MEMBER(algorithm),
     .choices = "sliding|token|fixed|slots", .default_text = "sliding",
     .help = "sliding: never more than `limit` in any window. token: a bucket of `burst` that "
             "fills by `limit` a window. fixed: windows aligned to the clock or the calendar. "
             "slots: how many at a time."},
    {.name = "limit", .type = FB_OPTION_COUNT, MEMBER(limit), .min = 1, .max = LIMIT_MAX,
     .help = "Cost that fits into a window; of `slots`: leases at a time. Required."},
    {.name = "window", .type = FB_OPTION_DURATION, MEMBER(window_ns), .min = FB_NS_PER_MS,
     .max = WINDOW_MAX_NS,
     .help = "The window; of `slots`: the longest lease. Required where there is no `calendar`."},
    {.name = "burst", .type = FB_OPTION_COUNT, MEMBER(burst), .min = 1, .max = LIMIT_MAX,
     .help = "token: what the bucket holds; not set: `limit`."},
    {.name = "parts", .type = FB_OPTION_COUNT, MEMBER(parts), .default_text = "16", .min = 8,
     .max = FB_LIMIT_PARTS_MAX,
     .help = "sliding with a limit above 64: the window is counted in so many parts. Of an "
             "overload parts / (parts + 1) of the limit get through."},
    {.name = "calendar", .type = FB_OPTION_CHOICE, MEMBER(calendar),
     .choices = "none|hour|day|week|month|year", .default_text = "none",
     .help = "fixed: windows are hours, days, weeks (from Monday), months or years of "
             "`time_zone`."},
    {.name = "time_zone", .type = FB_OPTION_TEXT, MEMBER(time_zone), .default_text = "UTC",
     .min = 1, .max = 64, .help = "Of the calendar: `UTC`, `Europe/Berlin`, `+02:00`."},
    {.name = "per", .type = FB_OPTION_TEXT, MEMBER(per), .default_text = "user", .min = 1,
     .max = 64,
     .help = "What its keys are: `user`, `address` (of the Internet; IPv6 by their network), "
             "anything."},
    {.name = "ipv6_prefix", .type = FB_OPTION_COUNT, MEMBER(ipv6_prefix), .default_text = "64",
     .min = 1, .max = 128,
     .help = "per address: so many bits of an IPv6 address are one subject."},
    {.name = "message", .type = FB_OPTION_TEXT, MEMBER(message), .default_text = "requests",
     .min = 1, .max = 64,
     .help = "What is counted, for people: `generations`, or singular and plural: `try|tries`."},
    {.name = "charge_denied", .type = FB_OPTION_BOOL, MEMBER(charge_denied),
     .default_text = "false",
     .help = "What is denied is charged, too: who goes on trying stays out."},
    {.name = "shadow", .type = FB_OPTION_BOOL, MEMBER(shadow), .default_text = "false",
     .help = "Counts and says so, and lets everything pass."},
    {.name = "exempt", .type = FB_OPTION_TEXTS, MEMBER(exempt), .default_text = "[]",
     .max = GLOBS_MAX, .help = "Keys that are not limited (`*` and `?` stand for others)."},
    {.name = "deny", .type = FB_OPTION_TEXTS, MEMBER(deny), .default_text = "[]", .max = GLOBS_MAX,
     .help = "Keys that never pass (`*` and `?` stand for others)."},
    {.name = "tiers", .type = FB_OPTION_NAMED, MEMBER(tiers), .max = TIERS_MAX,
     .inner = fb_limit_tier_options_table, .inner_size = sizeof(fb_limit_tier_options),
     .help = "Other numbers for some: a question names its tier. Each has quotas of its own."},
    {.name = "keys_max", .type = FB_OPTION_COUNT, MEMBER(keys_max), .default_text = "100000",
     .min = 1, .max = 100000000,
     .help = "Keys that memory holds at most, each tier by itself. The least used make room."},
    {.name = "on_full", .type = FB_OPTION_CHOICE, MEMBER(full), .choices = "open|closed",
     .default_text = "open",
     .help = "What another key gets while all these are being denied: passes, or is denied."},
    {.name = "show_keys", .type = FB_OPTION_BOOL, MEMBER(show_keys), .default_text = "false",
     .help = "The keys denied most are shown as they are, not as hashes."},
    {.name = "on_store_error", .type = FB_OPTION_CHOICE, MEMBER(trouble),
     .choices = "local|open|closed", .default_text = "local",
     .help = "While the shared tier does not answer: this node's memory decides, everything "
             "passes, or nothing does."},
    {.name = "instances", .type = FB_OPTION_COUNT, MEMBER(instances), .default_text = "1",
     .min = 1, .max = 100000,
     .help = "Nodes that share the limit: with `on_store_error: local` each has its part of it."},
    {.name = "timeout", .type = FB_OPTION_DURATION, MEMBER(timeout_ns), .default_text = "20ms",
     .min = FB_NS_PER_MS, .max = 10 * FB_NS_PER_S,
     .help = "How long the shared tier is waited for."},
    {.name = "chunk", .type = FB_OPTION_COUNT, MEMBER(chunk), .default_text = "0",
     .max = LIMIT_MAX,
     .help = "Cost that a node takes from the shared tier at once, to be spent within the next "
             "moment without asking; 0: it asks each time."},
    {.name = NULL},
};

// ---- what only the whole rule shows

typedef struct checker {
    const fb_limit_options *options;
    char *option;
    size_t size;
    fb_error *error;
} checker;

// `tier` may be NULL.
FB_PRINTF(5, 6)
static int refuse(const checker *c, const fb_limit_tier_options *tier, const char *option, int code,
                  const char *format, ...) {
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (tier != NULL) {
        (void)snprintf(c->option, c->size, "tiers.%s.%s", tier->name, option);
    } else {
        (void)snprintf(c->option, c->size, "%s", option);
    }
    return fb_error_set(c->error, code, "%s", text);
}

static int check_window(const checker *c) {
    const fb_limit_options *options = c->options;
    bool calendar = options->calendar != FB_LIMIT_CALENDAR_NONE;

    if (options->limit == 0) {
        return refuse(c, NULL, "limit", FB_EINVAL, "required, but not set");
    }
    if (calendar && options->algorithm != FB_LIMIT_FIXED) {
        return refuse(c, NULL, "calendar", FB_ECONFLICT,
                      "only a rule with `algorithm: fixed` has one");
    }
    if (calendar && options->window_ns != 0) {
        return refuse(c, NULL, "window", FB_ECONFLICT,
                      "the calendar gives the windows: set one of both");
    }
    if (!calendar && options->window_ns == 0) {
        return refuse(c, NULL, "window", FB_EINVAL, "required, but not set");
    }
    if (!calendar && options->time_zone != NULL && strcmp(options->time_zone, "UTC") != 0) {
        return refuse(c, NULL, "time_zone", FB_ECONFLICT, "only a rule with `calendar` has one");
    }
    return FB_OK;
}

// Options that other algorithms would not look at.
static int check_algorithm(const checker *c) {
    const fb_limit_options *options = c->options;

    if (options->burst != 0 && options->algorithm != FB_LIMIT_TOKEN) {
        return refuse(c, NULL, "burst", FB_ECONFLICT,
                      "only a rule with `algorithm: token` has one");
    }
    if (options->parts != PARTS_DEFAULT && options->algorithm != FB_LIMIT_SLIDING) {
        return refuse(c, NULL, "parts", FB_ECONFLICT,
                      "only a rule with `algorithm: sliding` has them");
    }
    if (options->charge_denied && options->algorithm == FB_LIMIT_SLOTS) {
        return refuse(c, NULL, "charge_denied", FB_ECONFLICT,
                      "leases that are denied cannot be charged");
    }
    if (options->chunk != 0 && options->algorithm == FB_LIMIT_SLOTS) {
        return refuse(c, NULL, "chunk", FB_ECONFLICT, "leases are not taken in advance");
    }
    if (options->chunk != 0 && options->charge_denied) {
        return refuse(c, NULL, "chunk", FB_ECONFLICT,
                      "what is denied could not be charged: not with `charge_denied`");
    }
    return FB_OK;
}

// At most one '|', with something on both sides, and nothing that a line of text cannot have.
static int check_message(const checker *c) {
    const char *message = c->options->message;
    const char *bar = message != NULL ? strchr(message, '|') : NULL;

    if (bar != NULL && (bar == message || bar[1] == '\0' || strchr(bar + 1, '|') != NULL)) {
        return refuse(c, NULL, "message", FB_EINVAL,
                      "expected \"plural\" or \"singular|plural\", found \"%s\"", message);
    }
    for (const char *at = message; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return refuse(c, NULL, "message", FB_EINVAL, "it has a control character");
        }
    }
    return FB_OK;
}

static int check_subject(const checker *c) {
    const fb_limit_options *options = c->options;

    if (options->ipv6_prefix != PREFIX_DEFAULT &&
        (options->per == NULL || strcmp(options->per, "address") != 0)) {
        return refuse(c, NULL, "ipv6_prefix", FB_ECONFLICT,
                      "only a rule with `per: address` has it");
    }
    return FB_OK;
}

// What plan.c makes of the rule, or of its tier.
static int check_numbers(const checker *c, const fb_limit_tier_options *tier) {
    fb_limit_plan plan, chunks;
    int64_t lifetime_us = 0;

    fb_limit_plan_make(&plan, c->options, tier, 0);
    if (plan.form == FB_LIMIT_FORM_TOKEN && plan.full_us > FB_LIMIT_FULL_MAX_US) {
        return refuse(c, tier, tier == NULL || tier->burst != 0 ? "burst" : "limit", FB_ERANGE,
                      "a bucket of %u that fills by %u a window would take more than 35 years",
                      plan.limit, plan.rate);
    }
    if (c->options->chunk != 0 &&
        fb_limit_plan_chunk(&chunks, &plan, c->options->chunk, &lifetime_us) != FB_OK) {
        return refuse(c, NULL, "chunk", FB_ERANGE,
                      "%u is more than %s%s may take at once", c->options->chunk,
                      tier != NULL ? "tier " : "the rule", tier != NULL ? tier->name : "");
    }
    return FB_OK;
}

static int check_tier(const checker *c, const fb_limit_tier_options *tier) {
    if (tier->exempt && (tier->limit != 0 || tier->window_ns != 0 || tier->burst != 0)) {
        return refuse(c, tier, "exempt", FB_ECONFLICT,
                      "a tier that is not limited has no limit, window or burst");
    }
    if (tier->burst != 0 && c->options->algorithm != FB_LIMIT_TOKEN) {
        return refuse(c, tier, "burst", FB_ECONFLICT,
                      "only a rule with `algorithm: token` has one");
    }
    if (tier->window_ns != 0 && c->options->calendar != FB_LIMIT_CALENDAR_NONE) {
        return refuse(c, tier, "window", FB_ECONFLICT,
                      "the calendar of the rule gives the windows");
    }
    return tier->exempt ? FB_OK : check_numbers(c, tier);
}

int fb_limit_options_check(const fb_limit_options *options, char *option, size_t size,
                           fb_error *error) {
    checker c = {options, option, size, error};
    int (*const checks[])(const checker *c) = {check_window, check_algorithm, check_message,
                                               check_subject};
    int result = FB_OK;

    FB_ASSERT(size > 0);
    if (!options->enabled) {
        return FB_OK;
    }
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]) && result == FB_OK; i++) {
        result = checks[i](&c);
    }
    result = result == FB_OK ? check_numbers(&c, NULL) : result;
    for (size_t i = 0; i < options->tier_count && result == FB_OK; i++) {
        result = check_tier(&c, &options->tiers[i]);
    }
    return result;
}
