// Any bytes as a trace of format text: read or refused, never more requests than bytes, every key
// below the number of distinct ones.

#include "cli/trace.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_trace trace;
    fb_error error = {0};
    fb_str bytes = {(const char *)data, size};
    int result = fb_trace_parse(bytes, FB_TRACE_TEXT, &trace, &error);
    if (result == FB_OK && (trace.count == 0 || trace.count > size)) {
        abort();
    }
    for (size_t i = 0; i < trace.count; i++) {
        if (trace.keys[i] >= trace.distinct) {
            abort();
        }
    }
    fb_trace_release(&trace);
    return 0;
}
