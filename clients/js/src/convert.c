// Between JavaScript values and bytes.
//
// Keys are short, so they are written into room on the stack: asking for the length first would
// cost a second walk over the string. JSON text is ASCII nearly always, and a string of one-byte
// characters is made by copying; only the rest is decoded.

#include "convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAFE_INTEGER_MAX ((int64_t)9007199254740991)

void fb_text_release(fb_text *text) {
    free(text->owned);
}

bool fb_bytes_take(napi_env env, napi_value value, fb_str *bytes) {
    bool is_array = false;
    if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) {
        return false;
    }
    napi_typedarray_type type;
    size_t length;
    void *data = NULL;
    if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok ||
        (type != napi_uint8_array && type != napi_uint8_clamped_array)) {
        return false;
    }
    *bytes = (fb_str){data, length};
    return true;
}

static bool take_long(napi_env env, napi_value value, fb_text *text) {
    size_t length = 0;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
        return false;
    }
    text->owned = malloc(length + 1);
    if (text->owned == NULL) {
        napi_throw_error(env, "ENOMEM", "out of memory");
        return false;
    }
    text->str.ptr = text->owned;
    return napi_get_value_string_utf8(env, value, text->owned, length + 1, &text->str.len) ==
           napi_ok;
}

bool fb_text_take(napi_env env, napi_value value, const char *what, fb_text *text) {
    text->owned = NULL;
    text->str = (fb_str){text->room, 0};
    napi_status status = napi_get_value_string_utf8(env, value, text->room, sizeof text->room,
                                                    &text->str.len);
    if (status == napi_ok) {
        // A character that no longer fits is left out whole: up to four bytes.
        return text->str.len < sizeof text->room - 4 || take_long(env, value, text);
    }
    if (fb_bytes_take(env, value, &text->str)) {
        return true;
    }
    char message[128];
    snprintf(message, sizeof message, "%s must be a string, a Buffer or a Uint8Array", what);
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
    return false;
}

napi_value fb_undefined(napi_env env) {
    napi_value undefined = NULL;
    napi_get_undefined(env, &undefined);
    return undefined;
}

static bool is_ascii(fb_str text) {
    uint64_t seen = 0;
    size_t at = 0;
    for (; at + 8 <= text.len; at += 8) {
        uint64_t eight;
        memcpy(&eight, text.ptr + at, 8);
        seen |= eight;
    }
    for (; at < text.len; at++) {
        seen |= (unsigned char)text.ptr[at];
    }
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

napi_value fb_string_give(napi_env env, fb_str text) {
    napi_value string = NULL;
    const char *bytes = text.ptr == NULL ? "" : text.ptr;
    if (is_ascii(text)) {
        napi_create_string_latin1(env, bytes, text.len, &string);
    } else {
        napi_create_string_utf8(env, bytes, text.len, &string);
    }
    return string;
}

napi_value fb_value_give(napi_env env, const fb_value *value, bool bytes) {
    if (!bytes && value->kind == FB_KIND_JSON) {
        return fb_string_give(env, value->data);
    }
    napi_value buffer = NULL;
    napi_create_buffer_copy(env, value->data.len, value->data.ptr, NULL, &buffer);
    return buffer;
}

napi_value fb_integer_give(napi_env env, int64_t number) {
    napi_value result = NULL;
    if (number >= -SAFE_INTEGER_MAX && number <= SAFE_INTEGER_MAX) {
        napi_create_int64(env, number, &result);
    } else {
        napi_create_bigint_int64(env, number, &result);
    }
    return result;
}

bool fb_integer_take(napi_env env, napi_value value, int64_t *number) {
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    if (type == napi_bigint) {
        bool lossless = false;
        if (napi_get_value_bigint_int64(env, value, number, &lossless) == napi_ok && lossless) {
            return true;
        }
        napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "more than 64 bits");
        return false;
    }
    double real = 0;
    if (type == napi_number && napi_get_value_double(env, value, &real) == napi_ok &&
        trunc(real) == real && fabs(real) <= (double)SAFE_INTEGER_MAX) {
        *number = (int64_t)real;
        return true;
    }
    napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "it takes a safe integer or a BigInt");
    return false;
}

const char *fb_code_of(int result) {
    switch (result) {
        case FB_EIO: return "EUNAVAILABLE";
        case FB_EOVERLOAD: return "EOVERLOADED";
        // The others as they are called in C, without FB_.
        default: return fb_result_name(result) + 3;
    }
}
