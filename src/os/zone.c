// Periods of the calendar in a time zone.
//
// A period is a label: so many hours, days, weeks, months or years of the zone's own clock since
// 1970. It begins at the first instant at which that clock shows its first moment or something
// later, and it ends where the next begins. So periods tile time whatever clocks do: what is
// skipped is short or empty, and what is shown twice belongs to the period that went on (the hour
// of which there are two in autumn is one of two hours; a midnight that comes twice begins the day
// when it comes first).
//
// GLib says which offset holds at an instant, but not when it changes: its intervals are numbered
// in order of time, and where two instants lie in different ones, bisection finds the changes
// between.
//
// GLib has locks of its own, which a thread sanitizer cannot see; one of ours is around each call.

#include "os/zone.h"

#include <glib.h>
#include <pthread.h>
#include <string.h>

#include "base/mem.h"

#define S_US INT64_C(1000000)
#define HOUR_S INT64_C(3600)
#define DAY_S (24 * HOUR_S)
#define OFFSET_MAX_S (26 * HOUR_S)  // no clock is further from UTC

enum { MONTHS = 12, WEEK_DAYS = 7, THURSDAY = 3 };

struct fb_zone {
    GTimeZone *zone;
};

static pthread_mutex_t glib_lock = PTHREAD_MUTEX_INITIALIZER;

int fb_zone_new(const char *name, fb_zone **zone) {
    *zone = NULL;
    // No file outside of the system's, and not "the zone of this machine".
    if (name == NULL || name[0] == '\0' || name[0] == '/' || strstr(name, "..") != NULL) {
        return FB_MISS;
    }
    fb_zone *made = fb_mem_new(sizeof(*made));
    if (made == NULL) {
        return FB_ENOMEM;
    }
    (void)pthread_mutex_lock(&glib_lock);
    made->zone = g_time_zone_new_identifier(name);
    (void)pthread_mutex_unlock(&glib_lock);
    if (made->zone == NULL) {
        fb_mem_free(made);
        return FB_MISS;
    }
    *zone = made;
    return FB_OK;
}

void fb_zone_free(fb_zone *zone) {
    if (zone == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&glib_lock);
    g_time_zone_unref(zone->zone);
    (void)pthread_mutex_unlock(&glib_lock);
    fb_mem_free(zone);
}

// ---- the zone's clock

typedef struct interval {
    int number;
    int64_t offset_s;
} interval;

static interval interval_at(const fb_zone *zone, int64_t utc_s) {
    interval found;

    (void)pthread_mutex_lock(&glib_lock);
    found.number = g_time_zone_find_interval(zone->zone, G_TIME_TYPE_UNIVERSAL, utc_s);
    found.offset_s = g_time_zone_get_offset(zone->zone, found.number);
    (void)pthread_mutex_unlock(&glib_lock);
    return found;
}

int64_t fb_zone_offset_ms(const fb_zone *zone, int64_t utc_ms) {
    int64_t utc_s = utc_ms / 1000 - (utc_ms % 1000 < 0);
    return interval_at(zone, utc_s).offset_s * 1000;
}

// The first second after from_s, of number `number`, that lies in another interval; to_s does.
static int64_t change_between(const fb_zone *zone, int number, int64_t from_s, int64_t to_s) {
    while (to_s - from_s > 1) {
        int64_t middle_s = from_s + (to_s - from_s) / 2;
        if (interval_at(zone, middle_s).number == number) {
            from_s = middle_s;
        } else {
            to_s = middle_s;
        }
    }
    return to_s;
}

// The first second at which the zone's clock shows local_s (as if it were UTC) or later.
static int64_t first_shown(const fb_zone *zone, int64_t local_s) {
    int64_t from_s = local_s - OFFSET_MAX_S;
    const int64_t last_s = local_s + OFFSET_MAX_S;
    const int last_number = interval_at(zone, last_s).number;
    interval in = interval_at(zone, from_s);

    while (in.number != last_number) {
        int64_t to_s = change_between(zone, in.number, from_s, last_s);
        if (to_s + in.offset_s > local_s) {
            break;
        }
        from_s = to_s;
        in = interval_at(zone, from_s);
    }
    return from_s > local_s - in.offset_s ? from_s : local_s - in.offset_s;
}

// ---- the calendar

static int64_t divide_down(int64_t number, int64_t by) {
    return number / by - (number % by < 0);
}

// Days since 1970-01-01 of the first of a month, counted from January 1970. Years begin in March
// here, so that the day that some have more is their last.
static int64_t month_start(int64_t month) {
    int64_t year = 1970 + divide_down(month - 2, MONTHS);
    int64_t of_year = month - 2 - divide_down(month - 2, MONTHS) * MONTHS;
    int64_t before = year * 365 + divide_down(year, 4) - divide_down(year, 100) +
                     divide_down(year, 400);

    // 719468 days lie before 1970-01-01 since 0000-03-01; months of 31, 30, 31, 30, 31 days.
    return before + (153 * of_year + 2) / 5 - 719468;
}

static int64_t month_of(int64_t day) {
    int64_t month = divide_down(day * MONTHS * 400, 146097);  // a month off at most

    while (month_start(month) > day) {
        month--;
    }
    while (month_start(month + 1) <= day) {
        month++;
    }
    return month;
}

static int64_t label_of(fb_zone_unit unit, int64_t local_s) {
    int64_t day = divide_down(local_s, DAY_S);

    switch (unit) {
        case FB_ZONE_HOUR:
            return divide_down(local_s, HOUR_S);
        case FB_ZONE_DAY:
            return day;
        case FB_ZONE_WEEK:
            return divide_down(day + THURSDAY, WEEK_DAYS);
        case FB_ZONE_MONTH:
            return month_of(day);
        case FB_ZONE_YEAR:
            return divide_down(month_of(day), MONTHS);
    }
    return day;
}

static int64_t local_start_s(fb_zone_unit unit, int64_t label) {
    switch (unit) {
        case FB_ZONE_HOUR:
            return label * HOUR_S;
        case FB_ZONE_DAY:
            return label * DAY_S;
        case FB_ZONE_WEEK:
            return (label * WEEK_DAYS - THURSDAY) * DAY_S;
        case FB_ZONE_MONTH:
            return month_start(label) * DAY_S;
        case FB_ZONE_YEAR:
            return month_start(label * MONTHS) * DAY_S;
    }
    return label * DAY_S;
}

// What the clock shows now is the label, but where it shows it for the second time.
void fb_zone_period(const fb_zone *zone, fb_zone_unit unit, int64_t now_us, int64_t *start_us,
                    int64_t *end_us) {
    int64_t now_s = divide_down(now_us, S_US);
    int64_t label = label_of(unit, now_s + interval_at(zone, now_s).offset_s);
    int64_t start_s = first_shown(zone, local_start_s(unit, label));
    int64_t end_s = first_shown(zone, local_start_s(unit, label + 1));

    while (end_s <= now_s) {
        label++;
        start_s = end_s;
        end_s = first_shown(zone, local_start_s(unit, label + 1));
    }
    *start_us = start_s * S_US;
    *end_us = end_s * S_US;
}
