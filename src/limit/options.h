// limit/options.h -- what a rule can be told: plain data, filled by the configuration. The table
// beside it (limit/options.c) gives each option its name, type, unit, default, range and help.

#ifndef FB_LIMIT_OPTIONS_H
#define FB_LIMIT_OPTIONS_H

#include <forebay/base.h>

#include "base/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_limit_algorithm {
    FB_LIMIT_SLIDING,  // exact up to a limit of 64, else strict sub-windows
    FB_LIMIT_TOKEN,    // token bucket (as GCRA)
    FB_LIMIT_FIXED,    // aligned to the clock, or to the calendar
    FB_LIMIT_SLOTS     // leases: how many at a time
} fb_limit_algorithm;
typedef enum fb_limit_trouble {  // on_store_error
    FB_LIMIT_TROUBLE_LOCAL,
    FB_LIMIT_TROUBLE_OPEN,
    FB_LIMIT_TROUBLE_CLOSED
} fb_limit_trouble;
typedef enum fb_limit_full { FB_LIMIT_FULL_OPEN, FB_LIMIT_FULL_CLOSED } fb_limit_full;
typedef enum fb_limit_calendar {
    FB_LIMIT_CALENDAR_NONE,
    FB_LIMIT_CALENDAR_HOUR,
    FB_LIMIT_CALENDAR_DAY,
    FB_LIMIT_CALENDAR_WEEK,  // from Monday
    FB_LIMIT_CALENDAR_MONTH,
    FB_LIMIT_CALENDAR_YEAR
} fb_limit_calendar;
typedef enum fb_limit_subject { FB_LIMIT_PER_OTHER, FB_LIMIT_PER_ADDRESS } fb_limit_subject;

// A tier: what is not set (0) is the rule's.
typedef struct fb_limit_tier_options {
    char *name;
    uint32_t limit;
    int64_t window_ns;
    uint32_t burst;
    bool exempt;          // who is of this tier is not limited
} fb_limit_tier_options;

typedef struct fb_limit_options {
    char *name;
    bool enabled;         // true; false: there is no such rule
    int algorithm;        // fb_limit_algorithm; sliding
    uint32_t limit;       // required; 1 … 2^31 - 1
    int64_t window_ns;    // 1 ms … 366 days; required but for calendars; SLOTS: the longest lease
    uint32_t burst;       // TOKEN: its capacity; 0: `limit`
    uint32_t parts;       // SLIDING above 64: sub-windows, 8 … 64; 16
    int calendar;         // FIXED: fb_limit_calendar
    char *time_zone;      // FIXED with calendar: "UTC", "Europe/Berlin"
    char *per;            // what the keys are: "user", "address" (which brings IPv6 addresses to
                          // their network), …; "user"
    uint32_t ipv6_prefix; // per address: bits of an IPv6 address that are one subject; 64
    char *message;        // what is counted, for people: "generations", "a|b" is singular|plural;
                          // "requests"
    bool charge_denied;   // false
    bool shadow;          // false: counts and says, but lets pass
    char **exempt;        // globs of keys that are not limited
    size_t exempt_count;
    char **deny;          // globs of keys that never pass
    size_t deny_count;
    fb_limit_tier_options *tiers;
    size_t tier_count;
    uint32_t keys_max;    // in memory, each tier by itself; 100,000
    int full;             // `on_full`: open (default) or closed
    bool show_keys;       // false: figures show hashes of keys
    int trouble;          // `on_store_error`
    uint32_t instances;   // 1: nodes that share the limit: LOCAL divides by it
    int64_t timeout_ns;   // 20ms: for the shared tier
    uint32_t chunk;       // shared tier: cost that a node takes at once for the next moment; 0: none
    uint32_t line, column;  // where it stands in its file; 0: not from a file
    char *file;
} fb_limit_options;

extern const fb_option fb_limit_options_table[];
extern const fb_option fb_limit_tier_options_table[];

// The rules that are there before any is declared (design rows L2): generation, api, improvement,
// auth, in this order; then those of one-time codes: otp_resend, otp_account, otp_address; ended by
// a NULL name. `text` is YAML of one rule, in flow style.
typedef struct fb_limit_builtin {
    const char *name, *text;
} fb_limit_builtin;
extern const fb_limit_builtin fb_limit_builtins[];

// What only the whole rule shows: a window or a calendar, a burst without `token`, a chunk too large …
// FB_EINVAL, FB_ERANGE, FB_ECONFLICT: *option is which option ("chunk", "tiers.premium.burst"; of
// size bytes), and error->text why. Time zones are not looked up.
FB_CHECK_RESULT int fb_limit_options_check(const fb_limit_options *options, char *option, size_t size,
                                           fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
