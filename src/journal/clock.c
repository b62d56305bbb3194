// CLOCK_BOOTTIME goes on while a machine sleeps, which a lease does, too. The kernel gives each
// start of a machine a random name.
//
// Tried, and given up: going on from the latest time in the file where that is ahead. Jobs that are
// due at a time of day then run early, for as long as the process lives.

#include "journal/clock.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/rule.h"

// A clock that is steered towards the true time (NTP) was not set.
enum { SLACK_MS = 2000 };

int64_t fb_journal_clock_boot_ms(void) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_BOOTTIME, &now);
    FB_ASSERT(failed == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void fb_journal_clock_boot(char id[FB_JOURNAL_BOOT_SIZE]) {
    memset(id, 0, FB_JOURNAL_BOOT_SIZE);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    ssize_t got = read(fd, id, FB_JOURNAL_BOOT_SIZE - 1);
    (void)close(fd);
    if (got < 0) {
        id[0] = '\0';
    }
    id[strcspn(id, "\n")] = '\0';
}

int64_t fb_journal_clock_shift(int64_t now_ms, int64_t expected_ms, int64_t latest_ms) {
    if (expected_ms > 0) {
        int64_t shift_ms = now_ms - expected_ms;
        return shift_ms > SLACK_MS || shift_ms < -SLACK_MS ? shift_ms : 0;
    }
    return now_ms < latest_ms ? now_ms - latest_ms : 0;
}

int64_t fb_journal_clock_latest(const fb_job *job) {
    int64_t latest_ms = job->enqueued_ms;
    if (job->claimed_ms > latest_ms) {
        latest_ms = job->claimed_ms;
    }
    return job->died_ms > latest_ms ? job->died_ms : latest_ms;
}

bool fb_journal_clock_move(fb_job *job, int64_t shift_ms) {
    if (job->state == FB_JOB_LEASED && FB_RULE(journal_clock_leases)) {
        job->claimed_ms += shift_ms;
        job->until_ms += shift_ms;
        return true;
    }
    if (job->state == FB_JOB_SCHEDULED && job->attempt > 0) {
        job->due_ms += shift_ms;
        return true;
    }
    return false;
}

static bool hold_back(int64_t *instant_ms, int64_t now_ms) {
    bool later = *instant_ms > now_ms;
    *instant_ms = later ? now_ms : *instant_ms;
    return later;
}

bool fb_journal_clock_hold_back(fb_job *job, int64_t now_ms) {
    bool any = hold_back(&job->enqueued_ms, now_ms);
    any = hold_back(&job->died_ms, now_ms) || any;
    any = hold_back(&job->claimed_ms, now_ms) || any;
    return (job->state == FB_JOB_READY && hold_back(&job->due_ms, now_ms)) || any;
}
