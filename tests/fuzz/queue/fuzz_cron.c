// Any bytes as a cron expression. What is accepted has sound fields, and its next instants are
// those that a search minute by minute finds, in a zone whose clocks change.

#include <stdlib.h>

#include "cron_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOUR_MS INT64_C(3600000)

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_cron cron;
    fb_error error;
    // 2024-03-30 12:00 UTC, and what the first byte makes of the clocks around it.
    int64_t start_ms = INT64_C(1711800000000);
    int64_t jump_ms = size > 0 ? ((int64_t)data[0] % 9 - 4) * HOUR_MS / 2 : 0;
    cron_zone zone = {.first_ms = HOUR_MS, .count = 2,
                      .changes = {{start_ms + 13 * HOUR_MS, HOUR_MS + jump_ms},
                                  {start_ms + 61 * HOUR_MS, HOUR_MS}}};

    if (size == 0) {
        return 0;
    }
    int result = fb_cron_parse((fb_str){(const char *)data + 1, size - 1}, &cron, &error);
    if (result != FB_OK) {
        require((result == FB_ESYNTAX || result == FB_ERANGE) && error.code == result &&
                error.column >= 1 && error.column <= size && error.text[0] != '\0');
        return 0;
    }
    require(cron.minutes != 0 && cron.minutes >> 60 == 0 && cron.hours != 0 &&
            cron.hours >> 24 == 0 && cron.days != 0 && (cron.days & 1) == 0 && cron.months != 0 &&
            (cron.months & 1) == 0 && cron.months >> 13 == 0 && cron.weekdays != 0);
    int64_t at_ms = start_ms, end_ms = start_ms + 80 * HOUR_MS;
    for (int i = 0; i < 40 && at_ms < end_ms; i++) {
        int64_t next_ms = fb_cron_next(&cron, at_ms, cron_zone_offset, &zone);
        int64_t until_ms = at_ms + 8 * HOUR_MS;
        int64_t found_ms = cron_search(&cron, &zone, at_ms, until_ms);
        require(next_ms > at_ms &&
                (found_ms == INT64_MAX ? next_ms > until_ms : next_ms == found_ms));
        at_ms = next_ms < until_ms ? next_ms : until_ms;
    }
    return 0;
}
