// Little-endian numbers at fixed places, and a check sum over them and the row's id: SQLite notices
// a broken structure of pages, but not a number that became another one, and a job that is leased
// for ten thousand years or acknowledged under a foreign token is worse than a file that is
// refused.

#include "journal/record.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/rule.h"
#include "base/str.h"

enum { CHECK_AT = 12, NUMBERS_AT = 16, NUMBER_COUNT = 9 };
_Static_assert(NUMBERS_AT + 8 * NUMBER_COUNT == FB_JOURNAL_RECORD_SIZE, "record.h says its size");

static void write_bytes(uint8_t *place, uint64_t number, size_t count) {
    for (size_t i = 0; i < count; i++) {
        place[i] = (uint8_t)(number >> (8 * i));
    }
}

static uint64_t read_bytes(const uint8_t *place, size_t count) {
    uint64_t number = 0;
    for (size_t i = 0; i < count; i++) {
        number |= (uint64_t)place[i] << (8 * i);
    }
    return number;
}

// Over all but its own place.
static uint32_t sum_of(const uint8_t *record, int64_t id) {
    fb_str head = fb_str_make((const char *)record, CHECK_AT);
    fb_str rest = fb_str_make((const char *)record + NUMBERS_AT,
                              FB_JOURNAL_RECORD_SIZE - NUMBERS_AT);
    return (uint32_t)fb_hash64(rest, fb_hash64(head, (uint64_t)id));
}

void fb_journal_record_write(const fb_job *job, int64_t order, int64_t id,
                             uint8_t record[FB_JOURNAL_RECORD_SIZE]) {
    const uint64_t numbers[NUMBER_COUNT] = {
        job->token,               (uint64_t)job->enqueued_ms, (uint64_t)job->due_ms,
        (uint64_t)job->claimed_ms, (uint64_t)job->lease_ms,   (uint64_t)job->until_ms,
        (uint64_t)job->expires_ms, (uint64_t)job->died_ms,    (uint64_t)order};

    FB_ASSERT(job->priority < FB_JOB_PRIORITIES);
    record[0] = (uint8_t)job->state;
    record[1] = (uint8_t)job->end;
    record[2] = job->priority;
    record[3] = 0;
    write_bytes(record + 4, job->attempt, 4);
    write_bytes(record + 8, job->attempts, 4);
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        write_bytes(record + NUMBERS_AT + 8 * i, numbers[i], 8);
    }
    write_bytes(record + CHECK_AT, sum_of(record, id), 4);
}

int fb_journal_record_read(fb_str bytes, int64_t id, fb_job *job, int64_t *order) {
    const uint8_t *record = (const uint8_t *)bytes.ptr;
    uint64_t numbers[NUMBER_COUNT];

    if (bytes.len != FB_JOURNAL_RECORD_SIZE ||
        (read_bytes(record + CHECK_AT, 4) != sum_of(record, id) && FB_RULE(journal_sum)) ||
        record[0] > FB_JOB_DEAD ||
        record[1] > FB_JOB_END_EXPIRED || record[2] >= FB_JOB_PRIORITIES || record[3] != 0) {
        return FB_ESYNTAX;
    }
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        numbers[i] = read_bytes(record + NUMBERS_AT + 8 * i, 8);
    }
    job->state = (fb_job_state)record[0];
    job->end = (fb_job_end)record[1];
    job->priority = record[2];
    job->attempt = (uint32_t)read_bytes(record + 4, 4);
    job->attempts = (uint32_t)read_bytes(record + 8, 4);
    job->token = numbers[0];
    job->enqueued_ms = (int64_t)numbers[1];
    job->due_ms = (int64_t)numbers[2];
    job->claimed_ms = (int64_t)numbers[3];
    job->lease_ms = (int64_t)numbers[4];
    job->until_ms = (int64_t)numbers[5];
    job->expires_ms = (int64_t)numbers[6];
    job->died_ms = (int64_t)numbers[7];
    *order = (int64_t)numbers[8];
    return FB_OK;
}
