// os/region_file.h -- the files of a memory tier that other processes read: FILE, which they map
// for reading, FILE.hints, which they may write, and FILE.lock, by which there is one owner.
//
// Nothing is opened through a symbolic link, nothing that belongs to another user or that others
// may write to, and nothing is replaced that is not a region. A new region is made beside the old
// one and takes its name when it is whole, so whoever opens FILE finds a whole one or none.
//
// Threads: one at a time, but read_hints() beside any.

#ifndef FB_OS_REGION_FILE_H
#define FB_OS_REGION_FILE_H

#include <forebay/base.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_region_file fb_region_file;

typedef struct fb_region_file_options {
    const char *path;   // its folder must be there
    const char *group;  // whose members may read it, and write hints; NULL or "": nobody else
    uint64_t magic;     // that a region begins with
    uint64_t hints_magic;
    size_t hints_len;
} fb_region_file_options;

// Becomes its owner. FB_EDENIED: what is there is not safe, or is no region; FB_EINVAL: no such
// group, or not one of this user's; FB_EIO, also where another process is the owner; FB_ENOMEM.
FB_CHECK_RESULT int fb_region_file_open(const fb_region_file_options *options,
                                        fb_region_file **file, fb_error *error);
// Gives it up. With `remove` FILE and FILE.hints go. NULL is fine.
void fb_region_file_close(fb_region_file *file, bool remove);
// Absolute.
const char *fb_region_file_path(const fb_region_file *file);
const char *fb_region_file_hints_path(const fb_region_file *file);
// Whether it lies on a file system that lives in memory; on a disk all that is cached is written.
bool fb_region_file_in_memory(const fb_region_file *file);

// The region that is there, open for reading and writing, with the access that the options say;
// -1: there is none.
int fb_region_file_found(const fb_region_file *file);
// Goes on with the one that was found, and its hints.
FB_CHECK_RESULT int fb_region_file_keep(fb_region_file *file, fb_error *error);
// An empty file beside it for a new one, in *fd until close(). FB_EIO, also where there is no room
// for `bytes` of memory: `error` says how much there is.
FB_CHECK_RESULT int fb_region_file_make(fb_region_file *file, uint64_t bytes, int *fd,
                                        fb_error *error);
// The new one takes the place of that which was found. FB_EIO.
FB_CHECK_RESULT int fb_region_file_publish(fb_region_file *file, fb_error *error);

// Copies what readers wrote since, hints_len bytes, and zeroes the part from `from` to `to` of it.
// (It is not mapped here: whoever may write to it may also cut it short, and a read of what is no
// longer there ends a process.) FB_OK; FB_MISS: it is not as long as it was.
FB_CHECK_RESULT int fb_region_file_take_hints(fb_region_file *file, void *bytes, size_t from,
                                              size_t to);

// The text of the machine's boot id; FB_EIO.
FB_CHECK_RESULT int fb_region_file_boot(char text[64], fb_str *boot);

#ifdef __cplusplus
}
#endif

#endif
