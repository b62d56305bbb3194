// base/fold.h -- text without regard to case.

#ifndef FB_BASE_FOLD_H
#define FB_BASE_FOLD_H

#include <forebay/base.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

// Appends `bytes` with every letter made small, one code point for one. Invalid bytes are copied as
// they are. FB_OK or FB_ENOMEM (nothing appended). `bytes` is not part of `out`.
FB_CHECK_RESULT int fb_fold_case(fb_str bytes, fb_buf *out);

#ifdef __cplusplus
}
#endif

#endif
