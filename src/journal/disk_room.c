// Room: what must still work on a full disk is written where there is room already.
//
// The log lies on the disk at its usual size from the start, and is copied into the file proper
// when half of it is used. The file proper is as long as all pages that the log holds for it before
// these are committed, or the log could not be emptied once the disk is full. And a little of the
// file proper is filled with nothing, and given up for pages that have to be split. So an
// acknowledgement or a claim needs no byte from the file system, and only new jobs are refused. (On
// file systems that never write in place that is worth less.)
//
// Zeros are written, not promised: a file system may still say no to what it promised.

#include "base/check.h"
#include "base/rule.h"
#include "journal/disk_inside.h"

static int fill(sqlite3_file *file, int64_t from, int64_t to) {
    static const char zeros[16 * FB_JOURNAL_PAGE];
    int code = SQLITE_OK;

    while (code == SQLITE_OK && from < to) {
        int64_t len = to - from < (int64_t)sizeof zeros ? to - from : (int64_t)sizeof zeros;
        code = file->pMethods->xWrite(file, zeros, (int)len, from);
        from += len;
    }
    return code;
}

static sqlite3_file *file_of(fb_journal_disk *disk, int which) {
    sqlite3_file *file = NULL;
    int code = sqlite3_file_control(disk->db, "main", which, &file);
    return code == SQLITE_OK && file != NULL && file->pMethods != NULL ? file : NULL;
}

int fb_journal_disk_room_measure(fb_journal_disk *disk) {
    sqlite3_file *file = file_of(disk, SQLITE_FCNTL_FILE_POINTER);
    sqlite3_int64 bytes = 0;
    int code = file != NULL ? file->pMethods->xFileSize(file, &bytes) : SQLITE_IOERR;
    if (code != SQLITE_OK) {
        return fb_journal_disk_fail(disk, code, "measure");
    }
    disk->file_bytes = bytes;
    return FB_OK;
}

int fb_journal_disk_room_for(fb_journal_disk *disk) {
    sqlite3_stmt *statement = disk->statements[FB_JOURNAL_PAGES];
    int code = sqlite3_step(statement);
    int64_t need = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) * FB_JOURNAL_PAGE : 0;
    (void)sqlite3_reset(statement);
    if (code != SQLITE_ROW) {
        return fb_journal_disk_fail(disk, code, "count pages");
    }
    if (need <= disk->file_bytes || !FB_RULE(journal_room_ahead)) {
        return FB_OK;
    }
    int64_t to = (need + FB_JOURNAL_CHUNK - 1) / FB_JOURNAL_CHUNK * FB_JOURNAL_CHUNK;
    sqlite3_file *file = file_of(disk, SQLITE_FCNTL_FILE_POINTER);
    code = file != NULL ? fill(file, disk->file_bytes, to) : SQLITE_IOERR;
    if (code != SQLITE_OK) {
        return fb_journal_disk_fail(disk, code, "grow");
    }
    disk->file_bytes = to;
    return FB_OK;
}

int fb_journal_disk_room_log(fb_journal_disk *disk) {
    sqlite3_file *file = file_of(disk, SQLITE_FCNTL_JOURNAL_POINTER);
    sqlite3_int64 bytes = 0;
    int code = file != NULL ? file->pMethods->xFileSize(file, &bytes) : SQLITE_IOERR;
    if (code == SQLITE_OK && bytes < (int64_t)disk->log_bytes) {
        code = fill(file, bytes, (int64_t)disk->log_bytes);
    }
    return code == SQLITE_OK ? FB_OK : fb_journal_disk_fail(disk, code, "put room by");
}

int fb_journal_disk_checkpoint(fb_journal_disk *disk) {
    int all = 0;
    int done = 0;
    FB_ASSERT(!disk->begun);
    int code = sqlite3_wal_checkpoint_v2(disk->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &all, &done);
    if (code != SQLITE_OK) {
        return fb_journal_disk_fail(disk, code, "checkpoint");
    }
    // The next commit begins the log anew, and cuts it to its size.
    disk->log_pages = 0;
    int result = fb_journal_disk_room_measure(disk);
    return result == FB_OK ? fb_journal_disk_room_log(disk) : result;
}
