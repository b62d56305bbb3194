// cron_oracle.h -- crontab(5) minute by minute: whether a schedule is due at an instant, found by
// looking at what the zone's clock shows then and has shown before. Slow, and shares no code with
// queue/cron.c: days are the C library's, and fields are read here once more.
//
// Zones are made of changes, all at whole minutes.

#ifndef FB_TESTS_CRON_ORACLE_H
#define FB_TESTS_CRON_ORACLE_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/cron.h"

enum { CRON_CHANGES = 8, CRON_MINUTE_MS = 60000 };

typedef struct cron_zone {
    int64_t first_ms;                    // offset before the first change
    size_t count;
    struct {
        int64_t at_ms, offset_ms;
    } changes[CRON_CHANGES];
} cron_zone;

static inline int64_t cron_zone_offset(void *arg, int64_t utc_ms) {
    const cron_zone *zone = arg;
    int64_t offset_ms = zone->first_ms;

    for (size_t i = 0; i < zone->count && utc_ms >= zone->changes[i].at_ms; i++) {
        offset_ms = zone->changes[i].offset_ms;
    }
    return offset_ms;
}

static inline bool cron_shows(const fb_cron *cron, int64_t local_ms) {
    time_t seconds = (time_t)(local_ms / 1000);
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    bool day = (cron->days >> tm.tm_mday & 1) != 0;
    bool weekday = (cron->weekdays >> tm.tm_wday & 1) != 0;
    if (!(cron->minutes >> tm.tm_min & 1) || !(cron->hours >> tm.tm_hour & 1) ||
        !(cron->months >> (tm.tm_mon + 1) & 1)) {
        return false;
    }
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

// At a whole minute after 1970.
static inline bool cron_is_due(const fb_cron *cron, cron_zone *zone, int64_t utc_ms) {
    int64_t local_ms = utc_ms + cron_zone_offset(zone, utc_ms);

    if (cron->any_hour) {
        return cron_shows(cron, local_ms);
    }
    // Was it shown before, in the last change but one day?
    bool seen = false;
    for (size_t i = 0; i < zone->count; i++) {
        int64_t change_ms = zone->changes[i].at_ms;
        if (change_ms > utc_ms || change_ms < utc_ms - 30 * INT64_C(3600000)) {
            continue;
        }
        int64_t before_ms = cron_zone_offset(zone, change_ms - 1);
        int64_t now_ms = cron_zone_offset(zone, change_ms);
        // It showed all before change + before.
        seen = seen || local_ms < change_ms + before_ms;
        for (int64_t skipped = change_ms + before_ms;
             change_ms == utc_ms && skipped < change_ms + now_ms; skipped += CRON_MINUTE_MS) {
            if (cron_shows(cron, skipped)) {
                return true;
            }
        }
    }
    return !seen && cron_shows(cron, local_ms);
}

// The first minute after `after_ms` at which it is due, up to `until_ms`; INT64_MAX: none.
static inline int64_t cron_search(const fb_cron *cron, cron_zone *zone, int64_t after_ms,
                                  int64_t until_ms) {
    int64_t at_ms = after_ms - after_ms % CRON_MINUTE_MS + CRON_MINUTE_MS;

    for (; at_ms <= until_ms; at_ms += CRON_MINUTE_MS) {
        if (cron_is_due(cron, zone, at_ms)) {
            return at_ms;
        }
    }
    return INT64_MAX;
}

#endif
