// Times of expiry, with Redis's checks: the number must be an integer, the time must fit into
// 64 bits of milliseconds, and where a value is set along with it, lie after 1970.

#include "node/expiry.h"

#include "base/str.h"

int64_t fb_expiry_now_ms(const fb_node *node) {
    return node->wall_us() / 1000;
}

static bool invalid(fb_command_call *call) {
    fb_reply_error(call->reply, "ERR invalid expire time in '%s' command", call->command->name);
    return false;
}

bool fb_expiry_read(fb_command_call *call, size_t index, fb_expiry_form form, bool positive,
                    int64_t *at_ms) {
    int64_t number = 0;
    if (!fb_command_int(call, index, &number)) {
        return false;
    }
    if (positive && number <= 0) {
        return invalid(call);
    }
    bool seconds = form == FB_EXPIRY_SECONDS || form == FB_EXPIRY_UNIX_SECONDS;
    if (__builtin_mul_overflow(number, seconds ? 1000 : 1, at_ms)) {
        return invalid(call);
    }
    bool from_now = form == FB_EXPIRY_SECONDS || form == FB_EXPIRY_MS;
    if (from_now && __builtin_add_overflow(*at_ms, fb_expiry_now_ms(call->node), at_ms)) {
        return invalid(call);
    }
    return true;
}

bool fb_expiry_word(const fb_command_call *call, size_t index, fb_expiry_form *form) {
    static const struct {
        const char *word;
        fb_expiry_form form;
    } words[] = {
        {"EX", FB_EXPIRY_SECONDS},
        {"PX", FB_EXPIRY_MS},
        {"EXAT", FB_EXPIRY_UNIX_SECONDS},
        {"PXAT", FB_EXPIRY_UNIX_MS},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (fb_command_word(call, index, words[i].word)) {
            *form = words[i].form;
            return true;
        }
    }
    return false;
}
