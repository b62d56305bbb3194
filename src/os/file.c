// Reading and replacing whole files.

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

enum { READ_LEN = 65536 };

static int say(fb_error *error, const char *what, const char *path) {
    return fb_error_set(error, FB_EIO, "cannot %s %s: %s", what, path, strerror(errno));
}

static int read_all(int fd, const char *path, size_t limit, fb_buf *out, fb_error *error) {
    size_t before = out->len;
    for (;;) {
        if (fb_buf_reserve(out, READ_LEN) < 0) {
            return fb_error_set(error, FB_ENOMEM, "out of memory");
        }
        ssize_t got = read(fd, out->ptr + out->len, READ_LEN);
        if (got < 0 && errno != EINTR) {
            return say(error, "read", path);
        }
        if (got == 0) {
            return FB_OK;
        }
        out->len += got > 0 ? (size_t)got : 0;
        if (out->len - before > limit) {
            return fb_error_set(error, FB_ETOOBIG, "%s is larger than %zu bytes", path, limit);
        }
    }
}

int fb_file_read(const char *path, size_t limit, fb_buf *out, fb_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int result = errno == ENOENT ? FB_MISS : FB_EIO;
        (void)say(error, "open", path);
        return result;
    }
    int result = read_all(fd, path, limit, out, error);
    close(fd);
    return result;
}

static int write_all(int fd, fb_str bytes) {
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.ptr, bytes.len);
        if (put < 0 && errno != EINTR) {
            return FB_EIO;
        }
        bytes.ptr += put > 0 ? put : 0;
        bytes.len -= put > 0 ? (size_t)put : 0;
    }
    return fsync(fd) == 0 ? FB_OK : FB_EIO;
}

int fb_file_write(const char *path, fb_str bytes, fb_error *error) {
    char beside[4096];
    int len = snprintf(beside, sizeof beside, "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof beside) {
        return fb_error_set(error, FB_EINVAL, "the path is too long: %s", path);
    }
    int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return say(error, "create", beside);
    }
    int result = write_all(fd, bytes) < 0 ? say(error, "write", beside) : FB_OK;
    close(fd);
    if (result == FB_OK && rename(beside, path) != 0) {
        result = say(error, "replace", path);
    }
    if (result < 0) {
        (void)unlink(beside);
    }
    return result;
}
