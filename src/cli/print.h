// cli/print.h -- a reply on standard output, for people or as JSON.

#ifndef FB_CLI_PRINT_H
#define FB_CLI_PRINT_H

#include "base/buf.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

// Values may be nested so deep: what is deeper is not for fb_print_json().
enum { FB_PRINT_DEPTH_MAX = 8 };

// For people: a value as it is; a map one "name  value" a line, inner maps indented; null as
// "(nothing)".
void fb_print_text(const fb_resp_value *value);
// The bytes of a value alone, without a line end; nothing for null.
void fb_print_raw(const fb_resp_value *value);
// One JSON text and a line end. Strings that hold JSON objects or arrays stay what they are; bytes
// that are no UTF-8 become {"base64": …}; a map with names that are arrays or maps becomes an array
// of pairs. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_print_json(const fb_resp_value *value);
// That text, without the line end, appended.
FB_CHECK_RESULT int fb_print_encode(const fb_resp_value *value, fb_buf *out);

#ifdef __cplusplus
}
#endif

#endif
