// Any bytes as the server's answer to any question about limits. The first byte names the verb, the
// second how many limits were asked for; what follows is RESP.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "redis/limits_step.h"

static void check_states(const fb_limits_question *question, const fb_limit_reply *reply) {
    fb_limit_options options = {.limit = 5, .window_ns = INT64_C(60000000000), .parts = 16};
    fb_limit_step step = {.cost = 1, .now_us = reply->now_us >> 11, .end_us = INT64_MAX};
    fb_limit_plan plan;

    for (size_t i = 0; i < question->part_count; i++) {
        fb_limit_state state = reply->parts[i].state;
        fb_verdict verdict;
        FB_ASSERT(state.len <= FB_LIMIT_STATE_MAX);
        for (options.algorithm = FB_LIMIT_SLIDING; options.algorithm <= FB_LIMIT_FIXED;
             options.algorithm++) {
            fb_limit_plan_make(&plan, &options, NULL, 0);
            fb_limit_explain(&plan, &step, &state, reply->parts[i].allowed, &verdict);
            FB_ASSERT(verdict.remaining <= verdict.limit);
        }
    }
}

static void check(const fb_limits_question *question, const fb_limit_reply *reply) {
    FB_ASSERT(reply->result <= FB_LIMIT_UNKNOWN && reply->result != FB_LIMIT_FAILED);
    FB_ASSERT(reply->text != NULL);
    if (reply->result == FB_LIMIT_UNKNOWN) {
        return;
    }
    FB_ASSERT(reply->now_us >= 0);
    FB_ASSERT(reply->slots.next_us >= 0 && reply->slots.last_us >= 0);
    if (reply->result == FB_LIMIT_OVERRIDDEN) {
        FB_ASSERT(reply->which < question->part_count && reply->override_us >= 0);
    }
    if (reply->result == FB_LIMIT_DONE && question->verb == FB_LIMIT_DECIDE) {
        check_states(question, reply);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_resp_reply *reader = NULL;
    const fb_resp_value *value;
    fb_error error;

    if (size < 3) {
        return 0;
    }
    FB_ASSERT(fb_resp_reply_new(8, 1 << 20, &reader) == FB_OK);
    fb_str bytes = fb_str_make((const char *)data + 2, size - 2);
    if (fb_resp_reply_read(reader, bytes, &value, &error) > 0) {
        fb_limits_question question = {(fb_limit_verb)(data[0] % (FB_LIMIT_COUNT + 1)),
                                       1 + data[1] % FB_LIMIT_QUESTIONS_MAX};
        fb_limit_reply reply;
        memset(&reply, 0, sizeof reply);
        reply.text = "";
        fb_limits_take(&question, value, &reply);
        check(&question, &reply);
    }
    fb_resp_reply_free(reader);
    return 0;
}
