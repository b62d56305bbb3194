// Any bytes as the id of a job: what is accepted is written as the same bytes.

#include <forebay/queue.h>

#include <stdlib.h>

#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str id = {(const char *)data, size}, queue;
    char text[FB_JOB_ID_SIZE];
    uint64_t number;

    if (fb_job_id_parse(id, &queue, &number) == FB_OK &&
        !fb_str_equal(fb_str_of(fb_job_id_write(queue, number, text)), id)) {
        abort();
    }
    return 0;
}
