// Tokens: "<log>:<epoch>:<sequence>" in hexadecimal digits, the place of a change in its log. A
// node that has applied that log so far has applied the change. Of another epoch nothing can be
// said, so such a change counts as not applied: the shared tier, which has it, is asked.

#include "engine/engine.h"

#include "base/str.h"

static bool take_hex(fb_str *text, char end, uint64_t *number) {
    size_t len = end != '\0' ? fb_str_find(*text, end) : text->len;
    *number = 0;
    if (len == 0 || len > 16 || (end != '\0' && len == text->len)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char byte = text->ptr[i];
        uint64_t digit = byte >= '0' && byte <= '9'   ? (uint64_t)(byte - '0')
                         : byte >= 'a' && byte <= 'f' ? (uint64_t)(byte - 'a') + 10
                                                      : 16;
        if (digit > 15) {
            return false;
        }
        *number = *number << 4 | digit;
    }
    size_t used = end != '\0' ? len + 1 : len;
    *text = fb_str_make(text->ptr + used, text->len - used);
    return true;
}

int fb_token_cover(const fb_engine *engine, fb_str token, fb_str key, fb_cover *cover) {
    uint64_t log, epoch, seq;
    fb_mark mark;
    *cover = FB_COVERED;
    if (token.len == 0) {
        return FB_OK;
    }
    if (!take_hex(&token, ':', &log) || !take_hex(&token, ':', &epoch) ||
        !take_hex(&token, '\0', &seq)) {
        return FB_EINVAL;
    }
    uint32_t wide = fb_cache_partitions(engine->cache);
    if (engine->shared == NULL ||
        (log != wide && log != fb_cache_partition_of(engine->cache, key))) {
        return FB_OK;  // a change of other keys
    }
    fb_cache_mark(engine->cache, (uint32_t)log, &mark);
    if (mark.epoch != epoch || mark.seq < seq) {
        *cover = log == wide ? FB_NOT_COVERED_WIDE : FB_NOT_COVERED;
    }
    return FB_OK;
}
