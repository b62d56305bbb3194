// journal_disk.h -- a disk in memory for SQLite, which fails, is full, or loses its power.
//
// What was written and not synced is kept apart: after a power cut each sector of it is there or
// not, by the toss of a coin. What was synced is there.

#ifndef FB_TESTS_JOURNAL_DISK_H
#define FB_TESTS_JOURNAL_DISK_H

#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>

enum { DISK_FILES = 6, SECTOR = 512 };

// One write (or cut, where bytes is NULL) that is not synced.
typedef struct disk_op {
    struct disk_op *next;
    int64_t at;
    size_t len;
    char *bytes;
} disk_op;

typedef struct disk_image {
    char *bytes;
    size_t len, cap;
} disk_image;

typedef struct disk_file {
    char path[160];
    bool is;
    disk_image live, safe;       // as it reads; as it is after a cut, without luck
    disk_op *ops, **last;
} disk_file;

typedef struct test_disk {
    sqlite3_vfs vfs;
    disk_file files[DISK_FILES];
    pthread_mutex_t lock;
    int64_t room;                // bytes that all files may have; -1: any number
    long writes, syncs, opens, reads;      // so far
    long fail_write, fail_sync, fail_open, fail_read;  // the one that fails; 0: none
    long fail_count;             // how many in a row
    int error;                   // of those, a system error number
    int last_error;
    long cut_sync;               // at this one the power goes
    bool off;
    fb_rng rng;
} test_disk;

typedef struct disk_handle {
    sqlite3_file base;
    test_disk *disk;
    disk_file *file;
    int chunk, persist;
    bool temporary;
} disk_handle;

static inline void image_size(disk_image *image, size_t len) {
    if (len > image->cap) {
        image->cap = len * 2;
        image->bytes = realloc(image->bytes, image->cap);
        assert_non_null(image->bytes);
    }
    if (len > image->len) {
        memset(image->bytes + image->len, 0, len - image->len);
    }
    image->len = len;
}

static inline void image_write(disk_image *image, int64_t at, const char *bytes, size_t len) {
    if ((size_t)at + len > image->len) {
        image_size(image, (size_t)at + len);
    }
    memcpy(image->bytes + at, bytes, len);
}

static inline void ops_drop(disk_file *file) {
    while (file->ops != NULL) {
        disk_op *op = file->ops;
        file->ops = op->next;
        free(op->bytes);
        free(op);
    }
    file->last = &file->ops;
}

static inline void ops_add(disk_file *file, int64_t at, const char *bytes, size_t len) {
    disk_op *op = calloc(1, sizeof *op);
    assert_non_null(op);
    op->at = at;
    op->len = len;
    if (bytes != NULL) {
        op->bytes = malloc(len + 1);
        assert_non_null(op->bytes);
        memcpy(op->bytes, bytes, len);
    }
    *file->last = op;
    file->last = &op->next;
}

static inline int64_t disk_used(const test_disk *disk) {
    int64_t used = 0;
    for (size_t i = 0; i < DISK_FILES; i++) {
        used += disk->files[i].is ? (int64_t)disk->files[i].live.len : 0;
    }
    return used;
}

// Whether this one fails.
static inline bool disk_fails(test_disk *disk, long *count, long fail_at) {
    (*count)++;
    bool fails = fail_at > 0 && *count >= fail_at && *count < fail_at + disk->fail_count;
    disk->last_error = disk->off ? EIO : fails ? disk->error : 0;
    return fails || disk->off;
}

static inline disk_handle *handle_of(sqlite3_file *file) {
    return (disk_handle *)(void *)file;
}

// ---- a file

static int disk_xclose(sqlite3_file *file) {
    disk_handle *own = handle_of(file);
    if (own->temporary) {
        pthread_mutex_lock(&own->disk->lock);
        own->file->is = false;
        pthread_mutex_unlock(&own->disk->lock);
    }
    return SQLITE_OK;
}

static int disk_xread(sqlite3_file *file, void *to, int len, sqlite3_int64 at) {
    disk_handle *own = handle_of(file);
    disk_image *image = &own->file->live;
    int code = SQLITE_OK;
    pthread_mutex_lock(&own->disk->lock);
    if (disk_fails(own->disk, &own->disk->reads, own->disk->fail_read)) {
        code = SQLITE_IOERR_READ;
    } else {
        size_t left = (size_t)at < image->len ? image->len - (size_t)at : 0;
        size_t got = left < (size_t)len ? left : (size_t)len;
        if (got > 0) {
            memcpy(to, image->bytes + at, got);
        }
        if (got < (size_t)len) {
            memset((char *)to + got, 0, (size_t)len - got);
            code = SQLITE_IOERR_SHORT_READ;
        }
    }
    pthread_mutex_unlock(&own->disk->lock);
    return code;
}

static int write_locked(disk_handle *own, const char *bytes, size_t len, int64_t at) {
    test_disk *disk = own->disk;
    if (disk_fails(disk, &disk->writes, disk->fail_write)) {
        return !disk->off && disk->error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
    }
    int64_t more = at + (int64_t)len - (int64_t)own->file->live.len;
    if (disk->room >= 0 && more > 0 && disk_used(disk) + more > disk->room) {
        disk->last_error = ENOSPC;
        return SQLITE_FULL;
    }
    image_write(&own->file->live, at, bytes, len);
    ops_add(own->file, at, bytes, len);
    return SQLITE_OK;
}

static int disk_xwrite(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at) {
    disk_handle *own = handle_of(file);
    pthread_mutex_lock(&own->disk->lock);
    int code = write_locked(own, bytes, (size_t)len, at);
    pthread_mutex_unlock(&own->disk->lock);
    return code;
}

static int disk_xtruncate(sqlite3_file *file, sqlite3_int64 size) {
    disk_handle *own = handle_of(file);
    int code = SQLITE_OK;
    if (own->chunk > 0) {
        size = (size + own->chunk - 1) / own->chunk * own->chunk;
    }
    pthread_mutex_lock(&own->disk->lock);
    if (disk_fails(own->disk, &own->disk->writes, own->disk->fail_write)) {
        code = SQLITE_IOERR_TRUNCATE;
    } else if ((size_t)size < own->file->live.len) {
        image_size(&own->file->live, (size_t)size);
        ops_add(own->file, size, NULL, 0);
    }
    pthread_mutex_unlock(&own->disk->lock);
    return code;
}

static void op_apply(disk_image *image, const disk_op *op) {
    if (op->bytes == NULL) {
        image_size(image, (size_t)op->at);
    } else {
        image_write(image, op->at, op->bytes, op->len);
    }
}

static int disk_xsync(sqlite3_file *file, int flags) {
    disk_handle *own = handle_of(file);
    test_disk *disk = own->disk;
    int code = SQLITE_OK;
    pthread_mutex_lock(&disk->lock);
    if (disk_fails(disk, &disk->syncs, disk->fail_sync)) {
        code = SQLITE_IOERR_FSYNC;
    } else if (disk->syncs == disk->cut_sync) {
        disk->off = true;
        code = SQLITE_IOERR_FSYNC;
    } else {
        for (const disk_op *op = own->file->ops; op != NULL; op = op->next) {
            op_apply(&own->file->safe, op);
        }
        ops_drop(own->file);
    }
    pthread_mutex_unlock(&disk->lock);
    return code;
}

static int disk_xsize(sqlite3_file *file, sqlite3_int64 *size) {
    disk_handle *own = handle_of(file);
    pthread_mutex_lock(&own->disk->lock);
    *size = (sqlite3_int64)own->file->live.len;
    pthread_mutex_unlock(&own->disk->lock);
    return SQLITE_OK;
}

static int disk_xlock(sqlite3_file *file, int how) {
    return SQLITE_OK;
}

static int disk_xreserved(sqlite3_file *file, int *is) {
    *is = 0;
    return SQLITE_OK;
}

static int disk_xcontrol(sqlite3_file *file, int which, void *arg) {
    disk_handle *own = handle_of(file);
    if (which == SQLITE_FCNTL_CHUNK_SIZE) {
        own->chunk = *(int *)arg;
        return SQLITE_OK;
    }
    if (which == SQLITE_FCNTL_PERSIST_WAL) {
        if (*(int *)arg < 0) {
            *(int *)arg = own->persist;
        } else {
            own->persist = *(int *)arg;
        }
        return SQLITE_OK;
    }
    return SQLITE_NOTFOUND;
}

static int disk_xsector(sqlite3_file *file) {
    return SECTOR;
}

static int disk_xcharacter(sqlite3_file *file) {
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods disk_methods = {
    .iVersion = 1, .xClose = disk_xclose, .xRead = disk_xread, .xWrite = disk_xwrite,
    .xTruncate = disk_xtruncate, .xSync = disk_xsync, .xFileSize = disk_xsize,
    .xLock = disk_xlock, .xUnlock = disk_xlock, .xCheckReservedLock = disk_xreserved,
    .xFileControl = disk_xcontrol, .xSectorSize = disk_xsector,
    .xDeviceCharacteristics = disk_xcharacter};

// ---- the system of files

static disk_file *disk_find(test_disk *disk, const char *path) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        if (disk->files[i].is && strcmp(disk->files[i].path, path) == 0) {
            return &disk->files[i];
        }
    }
    return NULL;
}

static disk_file *disk_make(test_disk *disk, const char *path) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk_file *file = &disk->files[i];
        if (!file->is) {
            (void)snprintf(file->path, sizeof file->path, "%s", path);
            file->is = true;
            file->live.len = file->safe.len = 0;
            ops_drop(file);
            return file;
        }
    }
    abort();
}

static int disk_xopen(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags,
                      int *out) {
    test_disk *disk = vfs->pAppData;
    disk_handle *own = handle_of(file);
    int code = SQLITE_OK;
    memset(own, 0, sizeof *own);
    pthread_mutex_lock(&disk->lock);
    const char *name = path != NULL ? path : "temporary";
    disk_file *found = path != NULL ? disk_find(disk, name) : NULL;
    if (disk_fails(disk, &disk->opens, disk->fail_open) ||
        (found == NULL && (flags & SQLITE_OPEN_CREATE) == 0)) {
        code = SQLITE_CANTOPEN;
    } else {
        own->disk = disk;
        own->file = found != NULL ? found : disk_make(disk, name);
        own->temporary = path == NULL || (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
        own->base.pMethods = &disk_methods;
        if (out != NULL) {
            *out = flags;
        }
    }
    pthread_mutex_unlock(&disk->lock);
    return code;
}

static int disk_xdelete(sqlite3_vfs *vfs, const char *path, int sync) {
    test_disk *disk = vfs->pAppData;
    int code = SQLITE_OK;
    pthread_mutex_lock(&disk->lock);
    disk_file *file = disk_find(disk, path);
    if (disk_fails(disk, &disk->writes, disk->fail_write)) {
        code = SQLITE_IOERR_DELETE;
    } else if (file == NULL) {
        code = SQLITE_IOERR_DELETE_NOENT;
    } else {
        file->is = false;
    }
    pthread_mutex_unlock(&disk->lock);
    return code;
}

static int disk_xaccess(sqlite3_vfs *vfs, const char *path, int flags, int *is) {
    test_disk *disk = vfs->pAppData;
    pthread_mutex_lock(&disk->lock);
    disk_file *file = disk_find(disk, path);
    *is = file != NULL && (flags != SQLITE_ACCESS_EXISTS || file->live.len > 0);
    pthread_mutex_unlock(&disk->lock);
    return SQLITE_OK;
}

static int disk_xpath(sqlite3_vfs *vfs, const char *path, int size, char *out) {
    (void)snprintf(out, (size_t)size, "%s", path);
    return SQLITE_OK;
}

static int disk_xrandom(sqlite3_vfs *vfs, int size, char *out) {
    for (int i = 0; i < size; i++) {
        out[i] = (char)(i * 37 + 11);
    }
    return size;
}

static int disk_xsleep(sqlite3_vfs *vfs, int us) {
    return us;
}

static int disk_xtime(sqlite3_vfs *vfs, double *day) {
    *day = 2460000.5;
    return SQLITE_OK;
}

static int disk_xlast(sqlite3_vfs *vfs, int size, char *out) {
    return ((test_disk *)vfs->pAppData)->last_error;
}

static inline void disk_init(test_disk *disk) {
    memset(disk, 0, sizeof *disk);
    assert_int_equal(pthread_mutex_init(&disk->lock, NULL), 0);
    disk->room = -1;
    disk->fail_count = 1;
    disk->error = EIO;
    disk->rng = test_rng();
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk->files[i].last = &disk->files[i].ops;
    }
    disk->vfs = (sqlite3_vfs){.iVersion = 1, .szOsFile = sizeof(disk_handle), .mxPathname = 150,
                              .zName = "test-disk", .pAppData = disk, .xOpen = disk_xopen,
                              .xDelete = disk_xdelete, .xAccess = disk_xaccess,
                              .xFullPathname = disk_xpath, .xRandomness = disk_xrandom,
                              .xSleep = disk_xsleep, .xCurrentTime = disk_xtime,
                              .xGetLastError = disk_xlast};
    assert_int_equal(sqlite3_vfs_register(&disk->vfs, 0), SQLITE_OK);
}

// Empty again, and without faults.
static inline void disk_clear(test_disk *disk) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk_file *file = &disk->files[i];
        ops_drop(file);
        file->is = false;
        file->live.len = file->safe.len = 0;
    }
    disk->writes = disk->syncs = disk->opens = disk->reads = 0;
    disk->fail_write = disk->fail_sync = disk->fail_open = disk->fail_read = 0;
    disk->fail_count = 1;
    disk->cut_sync = 0;
    disk->room = -1;
    disk->off = false;
}

static inline void disk_release(test_disk *disk) {
    disk_clear(disk);
    assert_int_equal(sqlite3_vfs_unregister(&disk->vfs), SQLITE_OK);
    for (size_t i = 0; i < DISK_FILES; i++) {
        free(disk->files[i].live.bytes);
        free(disk->files[i].safe.bytes);
    }
    (void)pthread_mutex_destroy(&disk->lock);
}

// ---- the power

static void op_tear(disk_image *image, const disk_op *op, fb_rng *rng) {
    if (op->bytes == NULL) {
        if (fb_rng_below(rng, 2) == 0) {
            op_apply(image, op);
        }
        return;
    }
    // A sector at a time: all of them, none, or some.
    uint64_t luck = fb_rng_below(rng, 4);
    for (size_t from = 0; from < op->len;) {
        size_t to = SECTOR - ((size_t)op->at + from) % SECTOR + from;
        to = to < op->len ? to : op->len;
        if (luck == 0 || (luck > 1 && fb_rng_below(rng, 2) == 0)) {
            image_write(image, op->at + (int64_t)from, op->bytes + from, to - from);
        }
        from = to;
    }
}

// The power is back: what was synced is there, and some of the rest.
static inline void disk_reboot(test_disk *disk) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        disk_file *file = &disk->files[i];
        if (!file->is) {
            continue;
        }
        for (const disk_op *op = file->ops; op != NULL; op = op->next) {
            op_tear(&file->safe, op, &disk->rng);
        }
        ops_drop(file);
        image_size(&file->live, file->safe.len);
        if (file->safe.len > 0) {
            memcpy(file->live.bytes, file->safe.bytes, file->safe.len);
        }
    }
    disk->off = false;
    disk->cut_sync = 0;
}

#endif
