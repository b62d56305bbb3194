// journal/clock.h -- what a clock that was set means for jobs.
//
// While the journal is open its time is Unix time as it was at the start, going on by the clock
// that runs since the machine was started, which nobody sets. Whether the wall clock was set while
// it was closed shows at the next start: within one run of the machine exactly, by what the
// journal's time would be; else where the file knows of later times than there can be. What is
// relative (leases, waits after failures) then moves with the clock; what was asked for at a time
// of day is done by the clock as it is now.

#ifndef FB_JOURNAL_CLOCK_H
#define FB_JOURNAL_CLOCK_H

#include <forebay/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_JOURNAL_BOOT_SIZE = 64 };

// Since the machine was started, and which start that was ("" where that cannot be known).
int64_t fb_journal_clock_boot_ms(void);
void fb_journal_clock_boot(char id[FB_JOURNAL_BOOT_SIZE]);

// By how much the clock was set: > 0 forward. expected_ms: what the journal's time would be, 0: not
// known; then latest_ms is the latest time in the file.
int64_t fb_journal_clock_shift(int64_t now_ms, int64_t expected_ms, int64_t latest_ms);
// The latest instant at which something happened to a job.
int64_t fb_journal_clock_latest(const fb_job *job);
// Moves what is relative to other times. Whether anything was.
bool fb_journal_clock_move(fb_job *job, int64_t shift_ms);
// What has happened happened no later than now. Whether anything was later.
bool fb_journal_clock_hold_back(fb_job *job, int64_t now_ms);

#ifdef __cplusplus
}
#endif

#endif
