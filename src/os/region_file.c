// One owner at a time is seen to by a lock (flock) on a file of its own that is never removed: a
// lock on the region itself would be lost with the first that takes its place, and two processes
// could then hold locks on two files of one name. The kernel gives the lock back when its owner
// ends, however that happens. The owner's number is written into it for whoever finds it taken.
//
// FILE may be any name that somebody wrote into a configuration, and starting replaces what is
// there: so it must begin as a region does, or be empty. The same goes for the names made of it.
// (Hints beside a region are not looked into: its readers may have written anything there.)
//
// The hints may be written by a group, where the options name one. What is in them is believed by
// nobody; but a file that somebody else may cut short must not be mapped by its owner, so it is
// read and written by calls.

#include "os/region_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/file.h"
#include "os/group.h"

enum { PATH_SIZE = PATH_MAX + 16 };

struct fb_region_file {
    char path[PATH_SIZE], hints_path[PATH_SIZE], lock_path[PATH_SIZE];
    char new_path[PATH_SIZE], new_hints_path[PATH_SIZE];
    uint64_t magic, hints_magic;
    size_t hints_len;
    uint32_t group;  // that it is shared with
    int lock, found, made, hints;
};

static int say(fb_error *error, const char *what, const char *path) {
    return fb_error_set(error, FB_EIO, "cannot %s %s: %s", what, path, strerror(errno));
}

// ---- names

// "rel/region" → "/abs/rel/region". The folder must be there, the file need not.
static int make_path(const char *text, char out[PATH_SIZE], fb_error *error) {
    char folder[PATH_MAX];
    const char *slash = strrchr(text, '/');
    const char *name = slash != NULL ? slash + 1 : text;
    int len = snprintf(folder, sizeof folder, "%.*s", slash != NULL ? (int)(slash - text) + 1 : 1,
                       slash != NULL ? text : ".");
    char whole[PATH_MAX];
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return fb_error_set(error, FB_EINVAL, "%s is not the name of a file", text);
    }
    if (len < 0 || len >= (int)sizeof folder) {
        return fb_error_set(error, FB_EINVAL, "the path is too long: %s", text);
    }
    if (realpath(folder, whole) == NULL) {
        return say(error, "find the folder of", text);
    }
    len = snprintf(out, PATH_SIZE, "%s/%s", strcmp(whole, "/") == 0 ? "" : whole, name);
    return len >= 0 && len < PATH_MAX
               ? FB_OK
               : fb_error_set(error, FB_EINVAL, "the path is too long: %s", text);
}

static int add_ending(const char *path, const char *ending, char out[PATH_SIZE], fb_error *error) {
    int len = snprintf(out, PATH_SIZE, "%s%s", path, ending);
    return len >= 0 && len < PATH_SIZE
               ? FB_OK
               : fb_error_set(error, FB_EINVAL, "the path is too long: %s", path);
}

static int make_names(fb_region_file *file, const char *path, fb_error *error) {
    int result = make_path(path, file->path, error);
    if (result == FB_OK) {
        result = add_ending(file->path, ".hints", file->hints_path, error);
    }
    if (result == FB_OK) {
        result = add_ending(file->path, ".lock", file->lock_path, error);
    }
    if (result == FB_OK) {
        result = add_ending(file->path, ".new", file->new_path, error);
    }
    return result == FB_OK ? add_ending(file->hints_path, ".new", file->new_hints_path, error)
                           : result;
}

// ---- what is there

static bool is_ours(int fd, mode_t others, const char **why) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        *why = "it cannot be looked at";
    } else if (!S_ISREG(info.st_mode)) {
        *why = "it is no plain file";
    } else if (info.st_uid != geteuid()) {
        *why = "it belongs to another user";
    } else if ((info.st_mode & others) != 0) {
        *why = "others may write to it";
    } else if (info.st_nlink != 1) {
        *why = "it has a second name";
    } else {
        return true;
    }
    return false;
}

static const char SOMETHING_ELSE[] = "there is something else in it; remove it, or name another";

static int refuse(fb_error *error, const char *path, const char *why) {
    return fb_error_set(error, FB_EDENIED, "%s will not do as a shared region: %s", path, why);
}

// A file that may be there already; *fd -1: it is not.
static int open_there(const char *path, mode_t others, int *fd, fb_error *error) {
    const char *why = NULL;
    // Without O_NONBLOCK a FIFO of that name would keep us waiting.
    *fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*fd >= 0 && is_ours(*fd, others, &why)) {
        return FB_OK;
    }
    if (*fd < 0 && errno == ENOENT) {
        return FB_OK;
    }
    int result = *fd >= 0          ? refuse(error, path, why)
                 : errno == ELOOP  ? refuse(error, path, "it is a symbolic link")
                 : errno == EACCES ? refuse(error, path, "it belongs to another user")
                                   : say(error, "open", path);
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
    return result;
}

static int set_access(const fb_region_file *file, int fd, mode_t shared_mode, const char *path,
                      fb_error *error) {
    bool shared = file->group != FB_GROUP_NONE;
    if (shared && fchown(fd, (uid_t)-1, (gid_t)file->group) != 0) {
        return errno == EPERM ? fb_error_set(error, FB_EINVAL,
                                             "this user may not give %s to that group: it is not "
                                             "one of its own",
                                             path)
                              : say(error, "give to its group", path);
    }
    return fchmod(fd, shared ? shared_mode : 0600) == 0 ? FB_OK
                                                        : say(error, "set the mode of", path);
}

// ---- the lock

static long owner_of(int fd) {
    char text[32] = "";
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

// Whether there is nothing in it but an owner's number, which is going to be written over.
static bool is_lock(int fd) {
    char text[32] = "";
    ssize_t got = pread(fd, text, sizeof text, 0);
    return got == 0 || (got > 0 && got < (ssize_t)sizeof text && owner_of(fd) > 0);
}

static int take_lock(fb_region_file *file, fb_error *error) {
    const char *why = NULL;
    file->lock =
        open(file->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
    if (file->lock < 0) {
        return errno == ELOOP ? refuse(error, file->lock_path, "it is a symbolic link")
                              : say(error, "open", file->lock_path);
    }
    if (!is_ours(file->lock, S_IWGRP | S_IWOTH, &why)) {
        return refuse(error, file->lock_path, why);
    }
    if (flock(file->lock, LOCK_EX | LOCK_NB) != 0) {
        long owner = owner_of(file->lock);
        char who[48] = "another process";
        if (owner > 0) {
            (void)snprintf(who, sizeof who, "process %ld", owner);
        }
        return errno == EWOULDBLOCK
                   ? fb_error_set(error, FB_EIO, "the region %s belongs to %s already", file->path,
                                  who)
                   : say(error, "lock", file->lock_path);
    }
    if (!is_lock(file->lock)) {
        return refuse(error, file->lock_path, SOMETHING_ELSE);
    }
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    ssize_t put = ftruncate(file->lock, 0) == 0 ? pwrite(file->lock, text, (size_t)len, 0) : 0;
    (void)put;  // it is for people
    return FB_OK;
}

// ---- opening and closing

static bool is_region(int fd, uint64_t magic) {
    uint64_t first = 0;
    ssize_t got = pread(fd, &first, sizeof first, 0);
    return got == 0 || (got == (ssize_t)sizeof first && first == magic);
}

static int look_there(fb_region_file *file, fb_error *error) {
    int result = open_there(file->path, S_IWGRP | S_IWOTH, &file->found, error);
    if (result == FB_OK && file->found >= 0 && !is_region(file->found, file->magic)) {
        return refuse(error, file->path, SOMETHING_ELSE);
    }
    return result;
}

// Removes a file that a start left which was killed: it is memory. The lock says that no start is
// under way. Such a file may not have got as far as its first bytes.
static int remove_left(const char *path, uint64_t magic, fb_error *error) {
    int fd = -1;
    int result = open_there(path, S_IWOTH, &fd, error);
    if (result < 0 || fd < 0) {
        return result;
    }
    bool ours = is_region(fd, magic) || is_region(fd, 0);
    (void)close(fd);
    if (!ours) {
        return refuse(error, path, SOMETHING_ELSE);
    }
    return unlink(path) == 0 ? FB_OK : say(error, "remove", path);
}

static int look_beside(const fb_region_file *file, fb_error *error) {
    int result = remove_left(file->new_path, file->magic, error);
    if (result == FB_OK) {
        result = remove_left(file->new_hints_path, file->hints_magic, error);
    }
    if (result == FB_OK && file->found < 0) {  // then its hints are nobody's
        result = remove_left(file->hints_path, file->hints_magic, error);
    }
    return result;
}

static void close_one(int *fd) {
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

int fb_region_file_open(const fb_region_file_options *options, fb_region_file **out,
                        fb_error *error) {
    *out = NULL;
    fb_region_file *file = fb_mem_zero(1, sizeof *file);
    if (file == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    file->lock = file->found = file->made = file->hints = -1;
    file->magic = options->magic;
    file->hints_magic = options->hints_magic;
    file->hints_len = options->hints_len;
    int result = make_names(file, options->path, error);
    if (result == FB_OK) {
        result = fb_group_find(options->group, &file->group, error);
    }
    if (result == FB_OK) {
        result = take_lock(file, error);
    }
    if (result == FB_OK) {
        result = look_there(file, error);
    }
    if (result == FB_OK) {
        result = look_beside(file, error);
    }
    if (result < 0) {
        fb_region_file_close(file, false);
        return result;
    }
    *out = file;
    return FB_OK;
}

void fb_region_file_close(fb_region_file *file, bool remove) {
    if (file == NULL) {
        return;
    }
    if (remove) {
        (void)unlink(file->path);
        (void)unlink(file->hints_path);
    }
    if (file->made >= 0) {  // never published, or no more: in any case not of that name
        (void)unlink(file->new_path);
        (void)unlink(file->new_hints_path);
    }
    close_one(&file->found);
    close_one(&file->made);
    close_one(&file->hints);
    close_one(&file->lock);
    fb_mem_free(file);
}

bool fb_region_file_in_memory(const fb_region_file *file) {
    struct statfs about;
    if (statfs(file->lock_path, &about) != 0) {
        return true;  // not known, so not complained about
    }
    uint32_t type = (uint32_t)about.f_type;
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC || type == HUGETLBFS_MAGIC;
}

const char *fb_region_file_path(const fb_region_file *file) {
    return file->path;
}

const char *fb_region_file_hints_path(const fb_region_file *file) {
    return file->hints_path;
}

int fb_region_file_found(const fb_region_file *file) {
    return file->found;
}

// ---- a new one, or the old one

static int make_file(const char *path, int *fd, fb_error *error) {
    (void)unlink(path);  // of this owner, who tried before
    *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *fd >= 0 ? FB_OK : say(error, "create", path);
}

static int mark_hints(const fb_region_file *file, const char *path, fb_error *error) {
    ssize_t put = pwrite(file->hints, &file->hints_magic, sizeof file->hints_magic, 0);
    return put == (ssize_t)sizeof file->hints_magic
               ? set_access(file, file->hints, 0660, path, error)
               : say(error, "write", path);
}

static int make_hints(fb_region_file *file, fb_error *error) {
    close_one(&file->hints);
    int result = make_file(file->new_hints_path, &file->hints, error);
    if (result == FB_OK) {
        int number = posix_fallocate(file->hints, 0, (off_t)file->hints_len);
        errno = number;
        result = number == 0 ? FB_OK : say(error, "make room for", file->new_hints_path);
    }
    return result == FB_OK ? mark_hints(file, file->new_hints_path, error) : result;
}

static int publish_hints(const fb_region_file *file, fb_error *error) {
    return rename(file->new_hints_path, file->hints_path) == 0
               ? FB_OK
               : say(error, "replace", file->hints_path);
}

int fb_region_file_keep(fb_region_file *file, fb_error *error) {
    int result = set_access(file, file->found, 0640, file->path, error);
    if (result < 0) {
        return result;
    }
    // Those who have the old hints mapped go on writing there: better to go on reading them.
    struct stat info;
    fb_error ignored;
    if (open_there(file->hints_path, S_IWOTH, &file->hints, &ignored) == FB_OK &&
        file->hints >= 0 && fstat(file->hints, &info) == 0 &&
        info.st_size == (off_t)file->hints_len) {
        return mark_hints(file, file->hints_path, error);
    }
    result = make_hints(file, error);
    return result == FB_OK ? publish_hints(file, error) : result;
}

// What there is room for, the file to be replaced counted: its memory comes back when its readers
// have turned away.
static int check_room(const fb_region_file *file, uint64_t bytes, fb_error *error) {
    struct statvfs space;
    struct stat old = {0};
    if (fstatvfs(file->made, &space) != 0 || space.f_blocks == 0) {  // not known, or no limit
        return FB_OK;
    }
    if (file->found >= 0 && fstat(file->found, &old) != 0) {
        old.st_blocks = 0;
    }
    uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize + (uint64_t)old.st_blocks * 512;
    if (free_bytes >= bytes) {
        return FB_OK;
    }
    const uint64_t unit = UINT64_C(1) << 20;
    char there[48], needed[48];
    return fb_error_set(
        error, FB_EIO,
        "%s: %s are free there and %s are needed; make that file system larger (a "
        "container's /dev/shm: --shm-size), or the memory limit smaller",
        file->path, fb_units_show_bytes(free_bytes / unit * unit, there, sizeof there),
        fb_units_show_bytes((bytes + unit - 1) / unit * unit, needed, sizeof needed));
}

int fb_region_file_make(fb_region_file *file, uint64_t bytes, int *fd, fb_error *error) {
    int result = make_file(file->new_path, &file->made, error);
    if (result == FB_OK) {
        result = check_room(file, bytes, error);
    }
    if (result == FB_OK) {
        result = set_access(file, file->made, 0640, file->new_path, error);
    }
    if (result == FB_OK) {
        result = make_hints(file, error);
    }
    *fd = file->made;
    return result;
}

int fb_region_file_publish(fb_region_file *file, fb_error *error) {
    int result = publish_hints(file, error);
    if (result == FB_OK && rename(file->new_path, file->path) != 0) {
        result = say(error, "replace", file->path);
    }
    if (result == FB_OK) {
        close_one(&file->made);
        close_one(&file->found);
    }
    return result;
}

// ---- hints

int fb_region_file_take_hints(fb_region_file *file, void *bytes, size_t from, size_t to) {
    ssize_t got = pread(file->hints, bytes, file->hints_len, 0);
    if (got != (ssize_t)file->hints_len) {
        // Whoever did that harmed the others who have it mapped; so that it ends with that:
        int result = ftruncate(file->hints, (off_t)file->hints_len);
        (void)result;
        return FB_MISS;
    }
    const char *part = (const char *)bytes + from;
    bool any = false;
    for (size_t i = 0; i < to - from && !any; i++) {
        any = part[i] != 0;
    }
    static const char zeros[4096];
    for (size_t at = from; any && at < to;) {
        size_t len = to - at < sizeof zeros ? to - at : sizeof zeros;
        ssize_t put = pwrite(file->hints, zeros, len, (off_t)at);
        (void)put;  // what stays is counted once more
        at += len;
    }
    return FB_OK;
}

int fb_region_file_boot(char text[64], fb_str *boot) {
    fb_buf read = {0};
    int result = fb_file_read("/proc/sys/kernel/random/boot_id", 63, &read, NULL);
    if (result == FB_OK && read.len < 64) {
        memcpy(text, read.ptr, read.len);
        *boot = fb_str_make(text, read.len);
    }
    fb_buf_release(&read);
    return result == FB_OK ? FB_OK : FB_EIO;
}
