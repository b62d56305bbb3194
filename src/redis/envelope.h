// redis/envelope.h -- the bytes of a value in the shared tier. All numbers are big-endian.
//
//   at  size
//    0   1   0xf1: the format
//    1   1   'b' bytes, 'j' JSON, 'n' known not to exist
//    2   2   where the payload begins
//    4   8   epoch of its partition        ┐ put in by the script that stores it
//   12   8   version                       │
//   20   8   born: the server's Unix time, ms ┘
//   28   8   source version; 0: none
//   36  24   the wide log (epoch, sequence, nonce) as the storing node had applied it
//   60   1   flags: 1: the payload is zstd
//   [   8   of a compressed payload: length before, dictionary (0: none), 4 bytes each ]
//        1   length of the class's name; the name
//        1   count of tags; for each: 1 length, and its bytes
//            the payload: the value's bytes as they came, or their zstd frame
//
// Reading is safe whatever the bytes. Pure; threads: none of its own.

#ifndef FB_REDIS_ENVELOPE_H
#define FB_REDIS_ENVELOPE_H

#include "cache/coherent.h"
#include "cache/loaded.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_ENVELOPE_WHAT_LEN = 4,
    FB_ENVELOPE_HEAD_LEN = 36,
    FB_ENVELOPE_CLASS_MAX = 255
};

typedef struct fb_envelope {
    uint64_t epoch, version, source_version;
    int64_t born_ms;
    char kind;
    fb_mark wide;
    bool compressed;
    uint32_t raw_len, dictionary;
    fb_str class_name;  // this and what follows: into the bytes read
    fb_str tags;        // as they stand there, behind their count
    uint8_t tag_count;
    fb_str payload;
} fb_envelope;

// FB_OK, FB_ESYNTAX: these are not the bytes of a value.
FB_CHECK_RESULT int fb_envelope_read(fb_str bytes, fb_envelope *envelope);
// Into an initialised *loaded: tags, kind, version, and `value` (what was in the payload) as its
// value. FB_OK; FB_ESYNTAX (tags that no value can have), FB_ENOMEM: *loaded is to be released.
FB_CHECK_RESULT int fb_envelope_load(const fb_envelope *envelope, fb_str value, fb_loaded *loaded);

// The two parts that a storing script needs (beside the source version, 8 bytes big-endian): the
// first four bytes, and all that follows the head, the payload being last. Of `how`, wide,
// compressed, raw_len, dictionary, class_name and payload count; of `loaded`, tags and kind. FB_OK,
// FB_ENOMEM; a class name longer than FB_ENVELOPE_CLASS_MAX is left out.
FB_CHECK_RESULT int fb_envelope_write(const fb_envelope *how, const fb_loaded *loaded,
                                      char what[FB_ENVELOPE_WHAT_LEN], fb_buf *rest);

// 64 bits big-endian.
void fb_envelope_put64(char bytes[8], uint64_t number);
uint64_t fb_envelope_get64(const char *bytes);

#ifdef __cplusplus
}
#endif

#endif
