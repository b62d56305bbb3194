// base/units.h -- durations and byte counts as people write them.

#ifndef FB_BASE_UNITS_H
#define FB_BASE_UNITS_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_NS_PER_US INT64_C(1000)
#define FB_NS_PER_MS INT64_C(1000000)
#define FB_NS_PER_S INT64_C(1000000000)

// "250ms", "5s", "1.5h", "2d", "1w", "1h30m", "0"; units ns us ms s m h d w. FB_OK, FB_ETYPE (not a
// duration; a bare number other than 0 has no unit), FB_ERANGE. Parts go from large units to small;
// only the last may have a fraction, rounded down to a nanosecond, but never down to 0 (FB_ERANGE).
FB_CHECK_RESULT int fb_units_duration(fb_str text, int64_t *ns);
// "512", "512B", "64KiB", "256MiB", "1.5GiB", and KB MB GB TB (powers of 1000), K M G T as KiB …; a
// fraction of a byte is rounded down, but never to 0. FB_OK, FB_ETYPE, FB_ERANGE.
FB_CHECK_RESULT int fb_units_bytes(fb_str text, uint64_t *bytes);
// A short exact form ("1h30m", "1.5s", "256MiB") that is read back as the same number, except that
// a negative duration has a '-' in front; returns text. 48 bytes are enough for any; less cuts it.
const char *fb_units_show_duration(int64_t ns, char *text, size_t text_size);
const char *fb_units_show_bytes(uint64_t bytes, char *text, size_t text_size);
// For people alone: "266KiB", "1.5GiB", "512", the largest power of 1024 of which there is one, and a
// decimal where that makes a difference.
const char *fb_units_about_bytes(uint64_t bytes, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif

#endif
