// cli/print.h -- a reply on standard output, for people or as JSON.

#ifndef FB_CLI_PRINT_H
#define FB_CLI_PRINT_H

#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

// For people: a value as it is; a map one "name  value" a line, inner maps indented; null as
// "(nothing)".
void fb_print_text(const fb_resp_value *value);
// One JSON text. Strings that hold JSON objects or arrays stay what they are; bytes that are no
// UTF-8 become {"base64": …}. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_print_json(const fb_resp_value *value);

#ifdef __cplusplus
}
#endif

#endif
