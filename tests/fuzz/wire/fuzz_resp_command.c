// Commands fed at once and in random pieces must come out the same, under the usual limits and under
// narrow ones; and a command that was read, written and read again must be the same command.

#include <stdint.h>
#include <stdlib.h>

#include "base/hash.h"
#include "resp_feed.h"

static const fb_resp_limits narrow = {
    .arg_count_max = 4, .bulk_len_max = 12, .query_len_max = 64, .inline_len_max = 40};

static void check_cuts(fb_str stream, const fb_resp_limits *limits) {
    fb_rng rng;
    fb_rng_init(&rng, fb_hash64(stream, 0));
    fb_buf whole = {0};
    feed_commands(stream, limits, &(feed_cut){0}, &whole);
    for (int i = 0; i < 3; i++) {
        fb_buf pieces = {0};
        feed_commands(stream, limits, &(feed_cut){.rng = &rng}, &pieces);
        FB_ASSERT(fb_str_equal(fb_buf_str(&pieces), fb_buf_str(&whole)));
        fb_buf_release(&pieces);
    }
    fb_buf_release(&whole);
}

static void check_again(fb_str stream) {
    fb_resp_command command = {0};
    fb_resp_command again = {0};
    fb_buf written = {0};
    if (fb_resp_command_read(&command, stream, &FB_RESP_LIMITS_DEFAULT, NULL) > 0) {
        written.len = 0;
        FB_ASSERT(fb_resp_write_command(&written, command.args, command.arg_count) == FB_OK);
        ssize_t used = fb_resp_command_read(&again, fb_buf_str(&written),
                                            &FB_RESP_LIMITS_DEFAULT, NULL);
        FB_ASSERT(used == (ssize_t)written.len && again.arg_count == command.arg_count);
        for (size_t i = 0; i < command.arg_count; i++) {
            FB_ASSERT(fb_str_equal(command.args[i], again.args[i]));
        }
    }
    fb_resp_command_release(&command);
    fb_resp_command_release(&again);
    fb_buf_release(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str stream = {(const char *)data, size};
    check_cuts(stream, &FB_RESP_LIMITS_DEFAULT);
    check_cuts(stream, &narrow);
    check_again(stream);
    return 0;
}
