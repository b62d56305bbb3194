// base/check.h -- assertions that stay on in release: for forebay's own mistakes, never for input.

#ifndef FB_BASE_CHECK_H
#define FB_BASE_CHECK_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_ASSERT(expression) \
    ((expression) ? (void)0 : fb_panic(__FILE__, __LINE__, #expression))

__attribute__((noreturn)) void fb_panic(const char *file, int line, const char *expression);

// For the rare call whose result does not matter; say why beside it.
#define FB_IGNORE(call) \
    do {                \
        if (call) {     \
        }               \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
