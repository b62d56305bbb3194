// Any bytes as a value of the shared tier: read or refused, and what was read is written again the
// same. With a first byte that says how: as they are, or behind a head that is right.

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "redis/envelope.h"

static void write_again(fb_str bytes, const fb_envelope *envelope) {
    fb_loaded loaded;
    fb_buf rest = {0};
    char what[FB_ENVELOPE_WHAT_LEN];

    fb_loaded_init(&loaded);
    int result = fb_envelope_load(envelope, envelope->payload, &loaded);
    FB_ASSERT(result == FB_OK || result == FB_ESYNTAX);
    // Tags that are there twice, or have no bytes, are not written so.
    bool same = result == FB_OK && loaded.tag_count == envelope->tag_count;
    if (same && envelope->kind != 'n') {
        FB_ASSERT(fb_envelope_write(envelope, &loaded, what, &rest) == FB_OK);
        FB_ASSERT(memcmp(what, bytes.ptr, sizeof what) == 0);
        FB_ASSERT(fb_str_equal(fb_buf_str(&rest), fb_str_make(bytes.ptr + FB_ENVELOPE_HEAD_LEN,
                                                              bytes.len - FB_ENVELOPE_HEAD_LEN)));
    }
    fb_buf_release(&rest);
    fb_loaded_release(&loaded);
}

static void read(fb_str bytes) {
    fb_envelope envelope;

    if (fb_envelope_read(bytes, &envelope) != FB_OK) {
        return;
    }
    FB_ASSERT(envelope.payload.ptr >= bytes.ptr &&
              envelope.payload.ptr + envelope.payload.len == bytes.ptr + bytes.len);
    FB_ASSERT(envelope.class_name.ptr + envelope.class_name.len <= bytes.ptr + bytes.len);
    write_again(bytes, &envelope);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char head[FB_ENVELOPE_HEAD_LEN + 24] = {(char)0xf1, 'b', 0, 0};
    fb_buf bytes = {0};

    read(fb_str_make((const char *)data, size));
    if (size < 2) {
        return 0;
    }
    head[3] = (char)data[0];  // where the payload begins
    head[19] = 1;             // a version
    FB_ASSERT(fb_buf_append(&bytes, fb_str_make(head, sizeof head)) == FB_OK);
    FB_ASSERT(fb_buf_append(&bytes, fb_str_make((const char *)data + 1, size - 1)) == FB_OK);
    read(fb_buf_str(&bytes));
    fb_buf_release(&bytes);
    return 0;
}
