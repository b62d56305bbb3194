// queue/cron.h -- when a schedule is due: five fields, as crontab(5) has them (minute, hour, day of
// the month, month, day of the week; "*", lists, ranges, steps, names; @hourly, @daily, @weekly,
// @monthly, @yearly), in a time zone. Where both days are restricted either of them is enough, as
// there.
//
// An hour that the zone's clocks skip: what lies in it is due when it ends. One that they show
// twice: once, the first time, but for expressions of every hour ("*" or a step there), which go by
// elapsed time.

#ifndef FB_QUEUE_CRON_H
#define FB_QUEUE_CRON_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_cron {
    uint64_t minutes;   // bit 0 … 59
    uint32_t hours;     // 0 … 23
    uint32_t days;      // 1 … 31
    uint16_t months;    // 1 … 12
    uint8_t weekdays;   // 0 (Sunday) … 6
    bool any_day, any_weekday, any_hour;
} fb_cron;

// FB_OK; FB_ESYNTAX, FB_ERANGE: error has what is wrong, and its column.
FB_CHECK_RESULT int fb_cron_parse(fb_str text, fb_cron *cron, fb_error *error);

// How far the zone's clocks are ahead of UTC at an instant, in ms.
typedef int64_t (*fb_cron_offset_fn)(void *zone, int64_t utc_ms);
// The first instant after `after_ms` (Unix time); INT64_MAX: never (30 February).
int64_t fb_cron_next(const fb_cron *cron, int64_t after_ms, fb_cron_offset_fn offset, void *zone);

#ifdef __cplusplus
}
#endif

#endif
