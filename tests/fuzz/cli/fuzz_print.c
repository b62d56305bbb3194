// Any reply that a server may give, as JSON: it always parses.

#include "base/check.h"
#include "base/json.h"
#include "base/str.h"
#include "cli/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_resp_reply *reply = NULL;
    const fb_resp_value *value = NULL;
    fb_error error;
    fb_str rest = {(const char *)data, size};
    FB_ASSERT(fb_resp_reply_new(FB_PRINT_DEPTH_MAX, 1 << 20, &reply) == FB_OK);
    for (;;) {
        ssize_t used = fb_resp_reply_read(reply, rest, &value, &error);
        if (used <= 0) {
            break;
        }
        fb_buf out = {0};
        FB_ASSERT(fb_print_encode(value, &out) == FB_OK);
        FB_ASSERT(fb_json_valid(fb_buf_str(&out)));
        fb_buf_release(&out);
        rest = fb_str_make(rest.ptr + used, rest.len - (size_t)used);
    }
    fb_resp_reply_free(reply);
    return 0;
}
