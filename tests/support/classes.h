// classes.h -- making classes and catalogues in a line, for unit tests and fuzz targets.

#ifndef FB_TESTS_CLASSES_H
#define FB_TESTS_CLASSES_H

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "cache/class.h"

// A literal as an option holds it; the class makes a copy, so it is never written to.
#define TEXT(literal) ((char *)(uintptr_t)("" literal))
#define TEXTS(...) ((char *[]){__VA_ARGS__}), sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)
#define PARAM(param_name, param_value) \
    { FB_STR(param_name), FB_STR(param_value) }
#define PARAMS(...) \
    ((fb_param[]){__VA_ARGS__}), sizeof((fb_param[]){__VA_ARGS__}) / sizeof(fb_param)

static inline fb_param_options class_integer(const char *name, int64_t min, int64_t max) {
    return (fb_param_options){
        .name = (char *)(uintptr_t)name, .type = FB_PARAM_INTEGER, .min = min, .max = max};
}

// Any mistake is a panic.
static inline fb_class *class_make(const fb_class_options *options, uint16_t id) {
    fb_class *class_ = NULL;
    fb_error error = {0};
    if (fb_class_new(options, id, NULL, 0, &class_, &error) != FB_OK) {
        fb_panic(__FILE__, __LINE__, error.text);
    }
    return class_;
}

// The plain class, and one of each key pattern, named "c1", "c2", … ; `index` (may be NULL) is the
// parameter that those which have it in the middle of their key are indexed by. FB_EINVAL: two are
// the same.
static inline int catalog_try(const char *const *keys, size_t key_count, const char *index,
                              fb_catalog **catalog, fb_error *error) {
    fb_class *classes[FB_CLASS_MAX] = {NULL};
    int result = fb_class_new_plain(&classes[0]);
    for (size_t i = 0; result == FB_OK && i < key_count; i++) {
        char name[] = {'c', (char)('0' + (i + 1) / 100), (char)('0' + (i + 1) / 10 % 10),
                       (char)('0' + (i + 1) % 10), '\0'};
        char *by[] = {(char *)(uintptr_t)index};
        fb_class_options options = {.name = name, .key = (char *)(uintptr_t)keys[i]};
        if (index != NULL) {
            options.index = by;
            options.index_count = 1;
        }
        result = fb_class_new(&options, (uint16_t)(i + 1), NULL, 0, &classes[i + 1], error);
        if (result == FB_EINVAL && index != NULL) {
            options.index_count = 0;
            result = fb_class_new(&options, (uint16_t)(i + 1), NULL, 0, &classes[i + 1], error);
        }
    }
    if (result == FB_OK) {
        return fb_catalog_new(classes, key_count + 1, catalog, error);
    }
    for (size_t i = 0; i <= key_count; i++) {
        fb_class_free(classes[i]);
    }
    return result;
}

#endif
