// base/locale.h -- the one locale this code reads text in, whatever the process has set.

#ifndef FB_BASE_LOCALE_H
#define FB_BASE_LOCALE_H

#include <locale.h>

#ifdef __cplusplus
extern "C" {
#endif

// C.UTF-8; plain C where the system has no C.UTF-8; (locale_t)0 where there is neither. Made at the
// first call and never freed. Any thread.
locale_t fb_locale_get(void);

#ifdef __cplusplus
}
#endif

#endif
