// Records from bytes: refused, or read so that writing gives the same bytes again.

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/str.h"
#include "sync/port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    fb_record record;
    fb_buf again = {0};
    if (fb_sync_record_read(text, 7, &record) != FB_OK) {
        return 0;
    }
    FB_ASSERT(record.seq == 7 && record.nonce != 0);
    FB_ASSERT(record.name.len <= size);
    int result = fb_sync_record_write(&record, &again);
    FB_ASSERT(result == FB_OK && fb_str_equal(fb_buf_str(&again), text));
    if (record.kind != FB_RECORD_KEY && record.kind != FB_RECORD_PATTERN) {
        FB_ASSERT(fb_sync_slot(record.kind, record.name) < FB_SYNC_STAMP_SLOTS);
    }
    fb_buf_release(&again);
    return 0;
}
