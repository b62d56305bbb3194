// Any bytes as the state of a job. What is taken for one says what it was written from: written again
// it is the same bytes. Input: the record; then the row, 8 bytes.

#include "journal/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t again[FB_JOURNAL_RECORD_SIZE];
    fb_job job = {.number = 0};
    int64_t order = 0;
    int64_t id = 0;
    size_t len = size > sizeof id ? size - sizeof id : size;

    if (size > sizeof id) {
        memcpy(&id, data + len, sizeof id);
    }
    fb_str record = {(const char *)data, len};
    if (fb_journal_record_read(record, id, &job, &order) != FB_OK) {
        return 0;
    }
    fb_journal_record_write(&job, order, id, again);
    if (len != sizeof again || memcmp(again, data, len) != 0) {
        abort();
    }
    return 0;
}
