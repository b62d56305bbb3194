// base/glob.h -- glob patterns as Redis has them: * ? [abc] [a-z] [^a] and backslash. Linear-space,
// at most len(pattern) × len(text) steps, no recursion: hostile patterns cannot hang it.

#ifndef FB_BASE_GLOB_H
#define FB_BASE_GLOB_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

bool fb_glob_match(fb_str pattern, fb_str text);
// The bytes of `pattern` before its first special character.
fb_str fb_glob_prefix(fb_str pattern);

#ifdef __cplusplus
}
#endif

#endif
