// journal/journal.h -- queue/port.h on this machine's disk: the machine (queue/machine.h), and
// SQLite (WAL) below it.
//
// One thread owns both. It takes all requests that wait, does them one after the other in the
// machine, writes what changed in one transaction, and answers when that is on disk (group commit:
// DeWitt et al., "Implementation techniques for main memory database systems", 1984). So a reply
// means stored: with `power` through a power cut (synchronous=FULL), with `process` through a crash
// of the process.
//
// A write that fails undoes the steps of its transaction, in the machine, too; its requests are
// told FULL, FAILED, or UNKNOWN (it failed so late that a crash now might make it a success), and
// the journal is not healthy until a write succeeds again: it tries once a second. Where the disk
// is full new jobs are refused, and what frees room (ack, cancel, purge) or must go on (reserve,
// fail, extend) still works, out of room that was put by; texts of errors and progress may then be
// forgotten by a restart.
//
// Time: Unix time as it was at the start, going on by a clock that nobody sets. If the clock was
// set while the journal was closed, leases and waits after failures move with it, and what was
// scheduled runs by the clock as it is now.
//
// Beside the file lie its log (-wal, 8 MiB, which stays) and a lock (-lock). A file holds 1023
// queues.
//
// A second process that opens the same file is refused (a lock on it, for as long as it is open).

#ifndef FB_JOURNAL_JOURNAL_H
#define FB_JOURNAL_JOURNAL_H

#include "queue/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_journal fb_journal;

// What the thread does on the way; FB_JOURNAL_KILL=COMMITTED:7 in the environment ends the process
// (SIGKILL) there, the seventh time: for tests.
#define FB_JOURNAL_POINTS(X) \
    X(TAKEN) X(STEPPED) X(WRITTEN) X(COMMITTED) X(ANSWERED) X(CHECKPOINT) X(LOADED)

typedef struct fb_journal_options {
    const char *file;       // until fb_journal_new() returns
    bool power;             // else `process`
    uint64_t log_bytes;     // that the log has on the disk from the start; 0: 8 MiB
    uint64_t memory_bytes;  // that payloads on their way may take; 0: 64 MiB; above it FB_EOVERLOAD
    // The policies in force, for what is due without being asked for; on the journal's thread. May
    // be NULL, and may return NULL: DEAD jobs then stay.
    const fb_queue_policy *(*policy_of)(void *arg, fb_str queue);
    void *policy_arg;
    const char *vfs;        // SQLite's; NULL: the system's. Tests have one that fails
    int64_t (*now_ms)(void *arg);  // NULL: the system's clocks
    void *now_arg;
} fb_journal_options;

// Opens or makes the file, and loads what is in it. FB_EIO (cannot be opened, is not a journal, is
// damaged, is another process's: error says), FB_ENOMEM.
FB_CHECK_RESULT int fb_journal_new(const fb_journal_options *options, fb_journal **journal,
                                   fb_error *error);
// Answers what waits, writes all, and closes the file. NULL is fine.
void fb_journal_free(fb_journal *journal);
// send() from any thread; replies on the journal's thread, which must not be kept waiting.
fb_queue_port *fb_journal_port(fb_journal *journal);
// Whether the last write succeeded; *text (256 bytes) says what went wrong. Any thread.
bool fb_journal_healthy(fb_journal *journal, char *text);

#ifdef __cplusplus
}
#endif

#endif
