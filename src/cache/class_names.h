// cache/class_names.h -- finding a class's parameters by name, and what to say where there is none.

#ifndef FB_CACHE_CLASS_NAMES_H
#define FB_CACHE_CLASS_NAMES_H

#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

// Its place in class->params, or param_count.
size_t fb_class_find_param(const fb_class *class_, fb_str name);
// "did you mean 'name'?" where one is near, else "it has name, page".
void fb_class_hint(const fb_class *class_, fb_str name, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif

#endif
