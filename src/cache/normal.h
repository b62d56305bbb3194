// cache/normal.h -- the one form of a parameter's value (cache/class.h says which).

#ifndef FB_CACHE_NORMAL_H
#define FB_CACHE_NORMAL_H

#include "base/buf.h"
#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

// FB_OK: *changed tells whether the form was appended to `out` or is *value, which may have become
// shorter. FB_ETYPE: no integer, no number. FB_ERANGE: it does not fit, or is not within min and
// max. FB_ENOMEM. `value` is not part of `out`. `normalise` is for text.
FB_CHECK_RESULT int fb_normal_value(const fb_class_param *param, uint32_t normalise, fb_str *value,
                                    fb_buf *out, bool *changed);

#ifdef __cplusplus
}
#endif

#endif
