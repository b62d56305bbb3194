// journal/record.h -- what of a job changes, as the bytes of one column: always as many, so that a
// change is written over what was there and no page has to be split for it, even on a full disk.

#ifndef FB_JOURNAL_RECORD_H
#define FB_JOURNAL_RECORD_H

#include <forebay/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_JOURNAL_RECORD_SIZE = 88 };

// `id`: of the row, which the check sum covers too.
void fb_journal_record_write(const fb_job *job, int64_t order, int64_t id,
                             uint8_t record[FB_JOURNAL_RECORD_SIZE]);
// The reverse; texts, queue and number of the job stay as they are. FB_ESYNTAX: these are not bytes
// that were written for this row.
FB_CHECK_RESULT int fb_journal_record_read(fb_str record, int64_t id, fb_job *job, int64_t *order);

#ifdef __cplusplus
}
#endif

#endif
