// SETBIT and GETBIT: single bits of a value, the highest of its first byte first.

#include "node/command_table.h"

#include <string.h>

#include "base/buf.h"
#include "base/str.h"

enum { BITS = 8 };

static bool read_offset(fb_command_call *call, int64_t *offset) {
    if (fb_str_int(call->args[2], offset) != FB_OK || *offset < 0 ||
        (uint64_t)(*offset / BITS) >= fb_command_string_max(call)) {
        fb_reply_error(call->reply, "ERR bit offset is not an integer or out of range");
        return false;
    }
    return true;
}

static unsigned bit_at(fb_str bytes, int64_t offset) {
    size_t byte = (size_t)(offset / BITS);
    return byte < bytes.len ? (unsigned char)bytes.ptr[byte] >> (BITS - 1 - offset % BITS) & 1U : 0;
}

// ---- GETBIT

typedef struct looking {
    int64_t offset;
    unsigned bit;
} looking;

static void look_at(void *arg, const fb_value *value) {
    looking *one = arg;
    one->bit = bit_at(value->data, one->offset);
}

void fb_string_getbit(fb_command_call *call) {
    looking one = {0};
    if (!read_offset(call, &one.offset)) {
        return;
    }
    bool there = fb_get(call->node->engine, call->args[1], look_at, &one) == FB_OK;
    fb_reply_integer(call->reply, there ? one.bit : 0);
}

// ---- SETBIT

typedef struct setting {
    int64_t offset;
    unsigned bit, before;
    uint64_t len_max;
    fb_buf value;
} setting;

static int set_bit(void *arg, fb_edit *edit) {
    setting *one = arg;
    fb_str before = edit->found ? edit->value.data : FB_STR("");
    size_t byte = (size_t)(one->offset / BITS);
    size_t len = byte < before.len ? before.len : byte + 1;
    if (len > one->len_max) {
        return FB_ETOOBIG;
    }
    one->value.len = 0;
    int result = fb_buf_append(&one->value, before);
    if (result == FB_OK) {
        result = fb_buf_reserve(&one->value, len - before.len);
    }
    if (result < 0) {
        return result;
    }
    memset(one->value.ptr + before.len, 0, len - before.len);
    one->value.len = len;
    one->before = bit_at(before, one->offset);
    unsigned mask = 1U << (BITS - 1 - one->offset % BITS);
    unsigned char whole = (unsigned char)one->value.ptr[byte];
    one->value.ptr[byte] = (char)(one->bit != 0 ? whole | mask : whole & ~mask);
    edit->action = FB_EDIT_PUT;
    edit->data = fb_buf_str(&one->value);
    return FB_OK;
}

void fb_string_setbit(fb_command_call *call) {
    int64_t bit = 0;
    setting one = {.len_max = fb_value_max(call->node->engine)};
    if (!read_offset(call, &one.offset)) {
        return;
    }
    if (fb_str_int(call->args[3], &bit) != FB_OK || bit < 0 || bit > 1) {
        fb_reply_error(call->reply, "ERR bit is not an integer or out of range");
        return;
    }
    one.bit = (unsigned)bit;
    // What can never be stored is not built first, with the key locked.
    int result = (uint64_t)(one.offset / BITS) >= one.len_max
                     ? FB_ETOOBIG
                     : fb_edit_key(call->node->engine, call->args[1], set_bit, &one);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, one.before);
    }
    fb_buf_release(&one.value);
}
