// convert.h -- between JavaScript values and bytes. On the environment's thread.

#ifndef FB_JS_CONVERT_H
#define FB_JS_CONVERT_H

#include <forebay/client.h>

#define NAPI_VERSION 8
#include <node_api.h>

// A string or the bytes of a Buffer, as long as the call lasts; fb_text_release() frees what did
// not fit. `what` names it in the exception that is thrown where it is something else.
typedef struct fb_text {
    fb_str str;
    char *owned;
    char room[256];
} fb_text;
bool fb_text_take(napi_env env, napi_value value, const char *what, fb_text *text);
void fb_text_release(fb_text *text);

// The memory of a Buffer or another Uint8Array; false where it is none; nothing is thrown.
bool fb_bytes_take(napi_env env, napi_value value, fb_str *bytes);

// JSON text as a string, everything else (or everything, with `bytes`) as a Buffer of its own.
napi_value fb_value_give(napi_env env, const fb_value *value, bool bytes);
napi_value fb_string_give(napi_env env, fb_str text);
napi_value fb_undefined(napi_env env);
// A number where it is safe as one, else a BigInt.
napi_value fb_integer_give(napi_env env, int64_t number);
// Of a number or a BigInt; throws where it is neither, or no integer of 64 bits.
bool fb_integer_take(napi_env env, napi_value value, int64_t *number);

// 'EUNAVAILABLE' for FB_EIO, …
const char *fb_code_of(int result);

#endif
