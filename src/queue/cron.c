// A schedule is sets of minutes, hours, days, months and days of the week, as bits; parsing fills
// them.
//
// The next instant is looked for in the zone's own time. While its clocks run evenly, that is
// arithmetic: the next day that fits, and in it the first minute. The search therefore goes from
// one change of the clocks to the next: the candidate by today's offset is right unless a change
// lies before it; then what the change does comes first:
//
//     forward, from local time a to b: what is due in [a, b) is due at the change, once;
//     back, from b to a: [a, b) was there before, and is passed over now.
//
// Neither holds for expressions of every hour: those are due whenever the clock shows their time.
// Vixie's cron has the same rules (of its changes of less than three hours). Changes are found by
// looking every six hours, and then by halving: no zone ever changed twice in that time.

#include "queue/cron.h"

#include <string.h>

#include "base/error.h"
#include "base/str.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define STRIDE_MS (6 * HOUR_MS)
#define LOOK_BACK_MS (30 * HOUR_MS)

// 29 February comes again after eight years at most (1896, 1904).
enum { DAYS_MAX = 9 * 366 };

// ---- parsing

typedef struct field_kind {
    const char *name;
    uint32_t min, max;
    const char *const *words;  // of `min` and those after it; NULL: numbers only
    uint32_t word_count;
} field_kind;

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELD_COUNT };
static const field_kind kinds[FIELD_COUNT] = {
    [MINUTE] = {"minute", 0, 59, NULL, 0},
    [HOUR] = {"hour", 0, 23, NULL, 0},
    [DAY] = {"day of the month", 1, 31, NULL, 0},
    [MONTH] = {"month", 1, 12, months, 12},
    [WEEKDAY] = {"day of the week", 0, 7, weekdays, 7},
};

typedef struct reader {
    fb_str text;
    size_t at;
    const field_kind *kind;
    fb_error *error;
} reader;

static int refuse(const reader *r, size_t at, int code, const char *what) {
    if (r->kind != NULL) {
        (void)fb_error_set(r->error, code, "%s: %s", r->kind->name, what);
    } else {
        (void)fb_error_set(r->error, code, "%s", what);
    }
    fb_error_place(r->error, NULL, 0, (uint32_t)at + 1);
    return code;
}

static char peek(const reader *r) {
    return r->at < r->text.len ? r->text.ptr[r->at] : '\0';
}

static bool accept(reader *r, char byte) {
    bool there = r->at < r->text.len && r->text.ptr[r->at] == byte;

    r->at += there;
    return there;
}

static bool is_space(char byte) {
    return byte == ' ' || byte == '\t';
}
static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}
static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static void skip_spaces(reader *r) {
    while (is_space(peek(r))) {
        r->at++;
    }
}

// Digits, whatever their value: what is above the range of any field stays there.
static int read_number(reader *r, uint32_t *number) {
    size_t start = r->at;

    for (*number = 0; is_digit(peek(r)); r->at++) {
        *number = *number * 10 + (uint32_t)(peek(r) - '0');
        *number = *number > 1000 ? 1000 : *number;
    }
    return r->at > start ? FB_OK
                         : refuse(r, start, FB_ESYNTAX,
                                  r->at < r->text.len && !is_space(r->text.ptr[r->at])
                                      ? "expected a number, a name or *"
                                      : "something is missing here");
}

static int read_word(reader *r, uint32_t *value) {
    size_t start = r->at;

    while (is_letter(peek(r))) {
        r->at++;
    }
    fb_str word = {r->text.ptr + start, r->at - start};
    for (uint32_t i = 0; i < r->kind->word_count; i++) {
        if (fb_str_same(word, fb_str_of(r->kind->words[i]))) {
            *value = r->kind->min + i;
            return FB_OK;
        }
    }
    return refuse(r, start, FB_ESYNTAX, r->kind->words != NULL ? "there is no such name"
                                                               : "expected a number or *");
}

static int read_value(reader *r, uint32_t *value, bool *is_word) {
    size_t start = r->at;

    *is_word = is_letter(peek(r));
    int result = *is_word ? read_word(r, value) : read_number(r, value);
    if (result == FB_OK && (*value < r->kind->min || *value > r->kind->max)) {
        return refuse(r, start, FB_ERANGE, "out of range");
    }
    return result;
}

// "*", "a" or "a-b", each but "a" with "/step".
static int read_part(reader *r, uint64_t *bits) {
    uint32_t low = r->kind->min, high = r->kind->max, step = 1;
    size_t start = r->at;
    bool range = accept(r, '*'), is_word = false;
    int result = range ? FB_OK : read_value(r, &low, &is_word);

    if (result == FB_OK && !range) {
        high = low;
        range = accept(r, '-');
        result = range ? read_value(r, &high, &is_word) : FB_OK;
        // sat-sun: a week's end.
        high = result == FB_OK && r->kind == &kinds[WEEKDAY] && is_word && high == 0 && low > 0
                   ? 7 : high;
    }
    if (result != FB_OK) {
        return result;
    }
    if (low > high) {
        return refuse(r, start, FB_ERANGE, "the range goes backwards");
    }
    size_t slash = r->at;
    if (accept(r, '/')) {
        if (!range) {
            return refuse(r, slash, FB_ESYNTAX, "a step follows * or a range");
        }
        result = read_number(r, &step);
        if (result == FB_OK && step == 0) {
            return refuse(r, slash + 1, FB_ERANGE, "a step of 0");
        }
    }
    for (uint32_t i = low; i <= high && result == FB_OK; i += step) {
        *bits |= UINT64_C(1) << i;
    }
    return result;
}

static int read_field(reader *r, const field_kind *kind, uint64_t *bits, bool *any) {
    int result = FB_OK;

    r->kind = kind;
    skip_spaces(r);
    *any = peek(r) == '*';
    *bits = 0;
    do {
        result = read_part(r, bits);
    } while (result == FB_OK && accept(r, ','));
    if (result == FB_OK && r->at < r->text.len && !is_space(peek(r))) {
        return refuse(r, r->at, FB_ESYNTAX, "this does not belong here");
    }
    return result;
}

static fb_str spelled_out(fb_str text) {
    static const char *const names[][2] = {
        {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},   {"@midnight", "0 0 * * *"},
        {"@weekly", "0 0 * * 0"},  {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"},
        {"@annually", "0 0 1 1 *"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (fb_str_same(fb_str_trim(text), fb_str_of(names[i][0]))) {
            return fb_str_of(names[i][1]);
        }
    }
    return text;
}

int fb_cron_parse(fb_str text, fb_cron *cron, fb_error *error) {
    reader r = {.text = spelled_out(text), .error = error};
    uint64_t bits[FIELD_COUNT];
    bool any[FIELD_COUNT];

    memset(cron, 0, sizeof(*cron));
    skip_spaces(&r);
    if (peek(&r) == '@') {
        return refuse(&r, r.at, FB_ESYNTAX,
                      "expected @hourly, @daily, @weekly, @monthly or @yearly");
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        int result = read_field(&r, &kinds[i], &bits[i], &any[i]);
        if (result != FB_OK) {
            return result;
        }
    }
    skip_spaces(&r);
    r.kind = NULL;
    if (r.at < r.text.len) {
        return refuse(&r, r.at, FB_ESYNTAX, "there are five fields, and this is another one");
    }
    cron->minutes = bits[MINUTE];
    cron->hours = (uint32_t)bits[HOUR];
    cron->days = (uint32_t)bits[DAY];
    cron->months = (uint16_t)bits[MONTH];
    // 7 is Sunday, too.
    cron->weekdays = (uint8_t)((bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f);
    cron->any_day = any[DAY];
    cron->any_weekday = any[WEEKDAY];
    cron->any_hour = any[HOUR];
    return FB_OK;
}

// ---- the zone's own time

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0);
}

// Month and day of a day since 1970-01-01: the years of 400 are counted from 1 March 0000, so that
// a leap day is the last of its year.
static void civil(int64_t day, uint32_t *month, uint32_t *day_of_month) {
    int64_t shifted = day + 719468;
    int64_t of_era = shifted - floor_div(shifted, 146097) * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t index = (5 * of_year + 2) / 153;

    *day_of_month = (uint32_t)(of_year - (153 * index + 2) / 5 + 1);
    *month = (uint32_t)(index < 10 ? index + 3 : index - 9);
}

static bool day_fits(const fb_cron *cron, int64_t day) {
    uint32_t month, day_of_month;

    civil(day, &month, &day_of_month);
    // 1 January 1970 was a Thursday.
    int64_t weekday = day + 4 - floor_div(day + 4, 7) * 7;
    bool day_is = (cron->days >> day_of_month & 1) != 0;
    bool weekday_is = (cron->weekdays >> weekday & 1) != 0;
    bool both = cron->any_day || cron->any_weekday;
    return (cron->months >> month & 1) != 0 &&
           (both ? day_is && weekday_is : day_is || weekday_is);
}

// The first minute of a day from `minute` on, or -1.
static int64_t minute_in_day(const fb_cron *cron, int64_t minute) {
    for (; minute < 24 * 60; minute++) {
        if ((cron->hours >> minute / 60 & 1) == 0) {
            minute += 59 - minute % 60;
        } else if ((cron->minutes >> minute % 60 & 1) != 0) {
            return minute;
        }
    }
    return -1;
}

// The first local time from `local_ms` on that fits; INT64_MAX: none does.
static int64_t next_local(const fb_cron *cron, int64_t local_ms) {
    int64_t from = floor_div(local_ms + MINUTE_MS - 1, MINUTE_MS);
    int64_t first_day = floor_div(from, 24 * 60);

    for (int64_t day = first_day; day <= first_day + DAYS_MAX; day++) {
        if (!day_fits(cron, day)) {
            continue;
        }
        int64_t minute = minute_in_day(cron, day == first_day ? from - day * 24 * 60 : 0);
        if (minute >= 0) {
            return (day * 24 * 60 + minute) * MINUTE_MS;
        }
    }
    return INT64_MAX;
}

// ---- changes of the clocks

typedef struct clocks {
    fb_cron_offset_fn offset;
    void *zone;
} clocks;

// Between two instants with different offsets: the first of the later one's.
static int64_t find_change(const clocks *c, int64_t before_ms, int64_t after_ms) {
    int64_t offset = c->offset(c->zone, before_ms);

    while (after_ms - before_ms > 1) {
        int64_t middle_ms = before_ms + (after_ms - before_ms) / 2;
        if (c->offset(c->zone, middle_ms) == offset) {
            before_ms = middle_ms;
        } else {
            after_ms = middle_ms;
        }
    }
    return after_ms;
}

// The first change in (from_ms, to_ms]; INT64_MAX: none.
static int64_t next_change(const clocks *c, int64_t from_ms, int64_t to_ms) {
    int64_t offset = c->offset(c->zone, from_ms);

    while (from_ms < to_ms) {
        int64_t next_ms = to_ms - from_ms > STRIDE_MS ? from_ms + STRIDE_MS : to_ms;
        if (c->offset(c->zone, next_ms) != offset) {
            return find_change(c, from_ms, next_ms);
        }
        from_ms = next_ms;
    }
    return INT64_MAX;
}

// Local times before this were there before the last change, not long before `at_ms`.
static int64_t shown_before(const clocks *c, int64_t at_ms) {
    int64_t from_ms = at_ms - LOOK_BACK_MS, seen = INT64_MIN, change_ms;

    while ((change_ms = next_change(c, from_ms, at_ms)) != INT64_MAX) {
        int64_t local_ms = change_ms + c->offset(c->zone, change_ms - 1);
        seen = local_ms > seen ? local_ms : seen;
        from_ms = change_ms;
    }
    return seen;
}

int64_t fb_cron_next(const fb_cron *cron, int64_t after_ms, fb_cron_offset_fn offset, void *zone) {
    clocks c = {offset, zone};
    int64_t at_ms = after_ms, from = after_ms + 1 + offset(zone, after_ms);
    int64_t seen = cron->any_hour ? INT64_MIN : shown_before(&c, after_ms);

    for (;;) {
        int64_t now_offset = offset(zone, at_ms);
        int64_t local_ms = next_local(cron, from > seen ? from : seen);
        if (local_ms == INT64_MAX) {
            return INT64_MAX;
        }
        int64_t change_ms = next_change(&c, at_ms, local_ms - now_offset);
        if (change_ms == INT64_MAX) {
            return local_ms - now_offset;
        }
        int64_t old_end = change_ms + now_offset;
        from = change_ms + offset(zone, change_ms);
        // The clocks went from old_end to `from`.
        if (!cron->any_hour && local_ms < from) {
            return change_ms;
        }
        seen = cron->any_hour ? INT64_MIN : old_end > seen ? old_end : seen;
        at_ms = change_ms;
    }
}
