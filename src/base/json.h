// base/json.h -- whether bytes are a JSON text.

#ifndef FB_BASE_JSON_H
#define FB_BASE_JSON_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_JSON_DEPTH_MAX = 512 };

// One JSON value of any kind with white space around it, as RFC 8259 has it, in valid UTF-8, nested
// at most FB_JSON_DEPTH_MAX deep. Names may repeat; half a surrogate pair in an escape is not
// accepted, because it stands for no character. No recursion, no memory, one pass.
bool fb_json_valid(fb_str bytes);

#ifdef __cplusplus
}
#endif

#endif
