// Replies fed at once and in random pieces must come out the same, under wide limits and narrow ones.

#include <stdint.h>
#include <stdlib.h>

#include "base/hash.h"
#include "resp_feed.h"

static void check_cuts(fb_str stream, uint32_t depth_max, uint64_t len_max) {
    fb_rng rng;
    fb_rng_init(&rng, fb_hash64(stream, 0));
    fb_resp_reply *reply = NULL;
    FB_ASSERT(fb_resp_reply_new(depth_max, len_max, &reply) == FB_OK);
    fb_buf whole = {0};
    feed_replies(stream, reply, &(feed_cut){0}, &whole);
    for (int i = 0; i < 3; i++) {
        fb_buf pieces = {0};
        feed_replies(stream, reply, &(feed_cut){.rng = &rng}, &pieces);
        FB_ASSERT(fb_str_equal(fb_buf_str(&pieces), fb_buf_str(&whole)));
        fb_buf_release(&pieces);
    }
    fb_buf_release(&whole);
    fb_resp_reply_free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str stream = {(const char *)data, size};
    check_cuts(stream, 64, UINT64_C(1) << 30);
    check_cuts(stream, 2, 40);
    return 0;
}
