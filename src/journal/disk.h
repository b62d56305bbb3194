// journal/disk.h -- the file of a journal: SQLite, opened for one process alone.
//
// After a call that failed, fb_journal_disk_error() says what happened, and the transaction is
// over: nothing of it is in the file, but see fb_journal_disk_doubt(). Threads: one at a time.

#ifndef FB_JOURNAL_DISK_H
#define FB_JOURNAL_DISK_H

#include "base/arena.h"
#include "journal/journal.h"
#include "queue/machine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_journal_disk fb_journal_disk;

// Opens or makes options->file. FB_EIO with the error's text, FB_ENOMEM.
FB_CHECK_RESULT int fb_journal_disk_new(const fb_journal_options *options, fb_journal_disk **disk,
                                        fb_error *error);
// Moves everything into the file proper and closes it. What was not committed is not in it.
void fb_journal_disk_free(fb_journal_disk *disk);

// ---- loading (journal/load.c)

// All that is in the file, at the time *now_ms. boot_ms: what fb_journal_clock_boot_ms() says at
// that moment; -1: the clock is a test's. FB_EIO: damaged; error says where. FB_ENOMEM.
FB_CHECK_RESULT int fb_journal_disk_load(fb_journal_disk *disk, fb_machine *machine, int64_t now_ms,
                                         int64_t boot_ms, fb_error *error);

// ---- one transaction. All: FB_OK, FB_EFULL, FB_EIO, FB_ENOMEM.

// `payload`: of FB_CHANGE_NEW. Begins the transaction if need be. `lean`: nothing may take new
// room: texts stay as they are in the file, and the room that was put by is given up.
FB_CHECK_RESULT int fb_journal_disk_put(fb_journal_disk *disk, const fb_change *change,
                                        fb_str payload, bool lean);
// Of a job that is in the file; into the arena.
FB_CHECK_RESULT int fb_journal_disk_payload(fb_journal_disk *disk, fb_str queue, uint64_t number,
                                            fb_arena *arena, fb_str *payload);
// Nothing to do where there is no transaction. After FB_OK it is stored.
FB_CHECK_RESULT int fb_journal_disk_commit(fb_journal_disk *disk);
void fb_journal_disk_rollback(fb_journal_disk *disk);
// Writes a little, and takes back the room that is put by: whether new jobs could be taken.
FB_CHECK_RESULT int fb_journal_disk_probe(fb_journal_disk *disk);

// The row of a job, as a number; 0: more queues than a file can have (1023), or no memory.
int64_t fb_journal_disk_row(fb_journal_disk *disk, fb_str queue, uint64_t number);

// ---- the log

// How much of it holds what is not in the file proper yet, in percent of its usual size.
unsigned fb_journal_disk_log_percent(const fb_journal_disk *disk);
enum {
    FB_JOURNAL_LOG_IDLE = 3,    // worth emptying when nobody comes
    FB_JOURNAL_LOG_DUE = 50,    // when it is time
    FB_JOURNAL_LOG_MOST = 1600  // beyond it nothing is written: it cannot be emptied
};
FB_CHECK_RESULT int fb_journal_disk_checkpoint(fb_journal_disk *disk);

// What failed last, and where it was: static until the next failure.
const char *fb_journal_disk_error(const fb_journal_disk *disk);
// A commit failed in a way that a crash might turn into a success, as long as nothing was committed
// since.
bool fb_journal_disk_doubt(const fb_journal_disk *disk);
// New jobs were committed, or a probe, since the last call.
bool fb_journal_disk_grew(fb_journal_disk *disk);

#ifdef __cplusplus
}
#endif

#endif
