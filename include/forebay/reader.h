// forebay/reader.h -- read a daemon's memory tier from another process, without asking it.
//
// The daemon keeps its memory tier in a file (option `region.file`); a reader maps it read-only and
// looks keys up in it as the daemon's own threads do: no lock, no system call but the clock's. What
// it finds fresh is answered; everything else is "ask the daemon".
//
// How old an answer may be: an invalidation or write that the daemon has answered is seen by every
// read that begins afterwards. A daemon that died or hangs is noticed `patience_ms` after its last
// sign of life; until then what it left is served.
// Threads: any, at the same time. Processes: a reader stays good after fork(). Memory: a region
// that was left for another costs address space until the reader is closed, and nothing else.
// Time: the kernel's coarse clock; age_ms and ttl_ms may be 10 ms behind, whether a value is still
// fresh is exact.

#ifndef FOREBAY_READER_H
#define FOREBAY_READER_H

#include <forebay/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_reader fb_reader;

typedef struct fb_reader_options {
    fb_str file;          // the region's file
    int64_t patience_ms;  // how old the daemon's last sign of life may be; 0: 1000
    bool any_owner;       // trust a region of any user's; else root's and this user's alone
} fb_reader_options;

// FB_OK; FB_EIO: no such file, or not to be mapped; FB_EDENIED: it belongs to another user, or
// others may write to it; FB_EINVAL: no region, or one of another version of forebay; FB_ENOMEM.
// `error` says which and why.
FB_API FB_CHECK_RESULT int fb_reader_open(const fb_reader_options *options, fb_reader **reader,
                                          fb_error *error);
// No other call may be under way. NULL is fine.
FB_API void fb_reader_close(fb_reader *reader);

// FB_OK: the value's bytes are in `bytes`, and value->data points there; there is nothing to
// release. FB_MISS: ask the daemon. FB_ETOOBIG: value->data.len is how much room it takes. A region
// whose daemon went away is a miss; when a daemon has made a new one, the reader takes that up by
// itself: at most ten times a second one of those who read looks for it.
FB_API FB_CHECK_RESULT int fb_reader_get(fb_reader *reader, fb_str key, void *bytes, size_t room,
                                         fb_value *value);
// Whether there is a region with a living daemon behind it just now.
FB_API bool fb_reader_alive(fb_reader *reader);
// Changes with the daemon's classes (a reload, another daemon); odd while they are changing.
FB_API uint64_t fb_reader_generation(fb_reader *reader);

#ifdef __cplusplus
}
#endif

#endif
