// os/zone.h -- periods of the calendar in a time zone, by the system's zone files (GLib's GTimeZone).
//
// Threads: any.

#ifndef FB_OS_ZONE_H
#define FB_OS_ZONE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_zone fb_zone;

// "UTC", "Europe/Berlin", "+02:00". FB_OK; FB_MISS: there is no such zone on this machine, or no name;
// FB_ENOMEM.
FB_CHECK_RESULT int fb_zone_new(const char *name, fb_zone **zone);
void fb_zone_free(fb_zone *zone);

// How far the zone's clocks are ahead of UTC at an instant, in ms (Unix time, too).
int64_t fb_zone_offset_ms(const fb_zone *zone, int64_t utc_ms);

typedef enum fb_zone_unit {
    FB_ZONE_HOUR,
    FB_ZONE_DAY,
    FB_ZONE_WEEK,   // from Monday (ISO 8601)
    FB_ZONE_MONTH,
    FB_ZONE_YEAR
} fb_zone_unit;
// The period that now_us (since 1970, UTC) lies in: [*start_us, *end_us). It begins when the zone's
// clocks show its first moment (where they skip it: the moment they skip to), and ends where the next
// begins: of an hour that is shown twice both are one. Costs some lookups: keep it until *end_us.
void fb_zone_period(const fb_zone *zone, fb_zone_unit unit, int64_t now_us, int64_t *start_us,
                    int64_t *end_us);

#ifdef __cplusplus
}
#endif

#endif
