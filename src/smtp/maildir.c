// A message goes to tmp/NAME, to the disk, and then by rename() to new/NAME: whoever reads the
// Maildir sees it whole or not at all. Unlike Bernstein's, the name is not made of time and
// process: the same mail has the same name, so that one that is written again after a crash takes
// its own place.

#include "smtp/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"

enum { PATH_SIZE = 4096, NAME_LEN_MAX = 200 };

static int fail(fb_error *error, const char *doing, const char *path) {
    return fb_error_set(error, FB_EIO, "cannot %s %s: %s", doing, path, strerror(errno));
}

// FB_EIO where the whole would not fit; nothing is cut.
static int join(char *path, const char *folder, const char *part, fb_str name, fb_error *error) {
    int len = snprintf(path, PATH_SIZE, name.len > 0 ? "%s/%s/%.*s" : "%s/%s", folder, part,
                       FB_STR_ARG(name));
    return len > 0 && len < PATH_SIZE
               ? FB_OK
               : fb_error_set(error, FB_EIO, "the name of the Maildir is too long");
}

static int make_folder(const char *path, fb_error *error) {
    return mkdir(path, 0700) == 0 || errno == EEXIST ? FB_OK : fail(error, "make", path);
}

static int make_folders(const char *folder, fb_error *error) {
    static const char *const parts[] = {"tmp", "new", "cur"};
    char path[PATH_SIZE];
    int result = make_folder(folder, error);
    for (size_t i = 0; i < 3 && result == FB_OK; i++) {
        result = join(path, folder, parts[i], FB_STR(""), error);
        result = result == FB_OK ? make_folder(path, error) : result;
    }
    return result;
}

static bool write_all(int fd, fb_str bytes) {
    while (bytes.len > 0) {
        ssize_t done = write(fd, bytes.ptr, bytes.len);
        if (done < 0 && errno != EINTR) {
            return false;
        }
        size_t step = done > 0 ? (size_t)done : 0;
        bytes = fb_str_make(bytes.ptr + step, bytes.len - step);
    }
    return true;
}

static int write_file(const char *path, fb_str message, fb_error *error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return fail(error, "write", path);
    }
    int result = write_all(fd, message) && fsync(fd) == 0 ? FB_OK : fail(error, "write", path);
    if (close(fd) != 0 && result == FB_OK) {
        result = fail(error, "write", path);
    }
    if (result < 0) {
        (void)unlink(path);
    }
    return result;
}

// The rename is to survive a power cut, too.
static int flush_folder(const char *path, fb_error *error) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail(error, "open", path);
    }
    int result = fsync(fd) == 0 ? FB_OK : fail(error, "flush", path);
    (void)close(fd);
    return result;
}

int fb_maildir_write(const char *folder, fb_str name, fb_str message, fb_error *error) {
    FB_ASSERT(name.len > 0 && name.len <= NAME_LEN_MAX && memchr(name.ptr, '/', name.len) == NULL);
    char from[PATH_SIZE], to[PATH_SIZE], new[PATH_SIZE];
    int result = make_folders(folder, error);
    result = result == FB_OK ? join(from, folder, "tmp", name, error) : result;
    result = result == FB_OK ? join(to, folder, "new", name, error) : result;
    result = result == FB_OK ? join(new, folder, "new", FB_STR(""), error) : result;
    result = result == FB_OK ? write_file(from, message, error) : result;
    if (result == FB_OK && rename(from, to) != 0) {
        result = fail(error, "rename", from);
        (void)unlink(from);
    }
    return result == FB_OK ? flush_folder(new, error) : result;
}
