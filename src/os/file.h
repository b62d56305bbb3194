// os/file.h -- whole files.

#ifndef FB_OS_FILE_H
#define FB_OS_FILE_H

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// Appends what is in the file. FB_MISS: there is none. FB_EIO with the system's words; FB_ETOOBIG:
// more than `limit` bytes; FB_ENOMEM.
FB_CHECK_RESULT int fb_file_read(const char *path, size_t limit, fb_buf *out, fb_error *error);
// Writes a new file beside it and renames that over it, so that the file is whole at any moment.
FB_CHECK_RESULT int fb_file_write(const char *path, fb_str bytes, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
