// client/refusal.h -- what an error reply means.

#ifndef FB_CLIENT_REFUSAL_H
#define FB_CLIENT_REFUSAL_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// The result (< 0) that the code word stands for. `error` gets it with the text behind the word.
int fb_refusal_read(fb_str text, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
