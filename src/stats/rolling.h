// stats/rolling.h -- what numbers that only grow grew by in the last minute, and in the last hour.
//
// Whoever counts pays nothing for it: now and then somebody reads all the numbers and hands them over,
// and what they grew by since then is kept as a slice. Time is cut into slices of 5 s, numbered from any
// start; the minute is the slice that runs and the 11 before it, so between 55 and 60 s, and the hour is
// made of 12 slices of 5 minutes in the same way.
//
// What grows in a slice in which nobody hands over counts in the one in which somebody does.
//
// Memory: of the numbers as they were last 8 bytes each, once one has grown; 10 bytes for each of those
// that grew in a slice, and at most 23 slices. Threads: one at a time.

#ifndef FB_STATS_ROLLING_H
#define FB_STATS_ROLLING_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_ROLLING_SLICE_S = 5,
    FB_ROLLING_MINUTE_SLICES = 12,  // of 5 s, that which runs among them
    FB_ROLLING_HOUR_SLICES = 12,    // of 5 min, likewise
    FB_ROLLING_HOUR_STEP = 60       // slices of 5 s in one of the hour's
};

typedef struct fb_rolling fb_rolling;

// number_count <= 65,536. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_rolling_new(uint32_t number_count, fb_rolling **rolling);
void fb_rolling_free(fb_rolling *rolling);
// As if all the numbers were 0 from the start.
void fb_rolling_clear(fb_rolling *rolling);
// What `numbers` grew by since the last time was in `slice` (>= 0, and no less than the last). FB_OK;
// FB_ENOMEM: nothing was taken, and it will count in the next.
FB_CHECK_RESULT int fb_rolling_take(fb_rolling *rolling, int64_t slice, const uint64_t *numbers);
// Adds to sums[] what the numbers, which are `numbers` now, grew by in the minute (or the hour) that
// ends in `slice`.
void fb_rolling_minute(const fb_rolling *rolling, int64_t slice, const uint64_t *numbers,
                       uint64_t *sums);
void fb_rolling_hour(const fb_rolling *rolling, int64_t slice, const uint64_t *numbers,
                     uint64_t *sums);
// The first slice of that minute and of that hour; >= 0.
int64_t fb_rolling_minute_begin(int64_t slice);
int64_t fb_rolling_hour_begin(int64_t slice);

#ifdef __cplusplus
}
#endif

#endif
