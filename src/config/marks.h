// config/marks.h -- where each option that was set stands: from its path to file, line, column.
//
// An option without a mark is at its default. One set by the environment or by the program has a
// mark without a file.

#ifndef FB_CONFIG_MARKS_H
#define FB_CONFIG_MARKS_H

#include <forebay/base.h>

#include "base/map.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_option_mark {
    const char *file;  // of fb_option_marks.files; NULL: none
    uint32_t line, column;
    fb_str path;
} fb_option_mark;

typedef struct fb_option_marks {
    fb_map by_path;
    char **files;
    size_t file_count;
} fb_option_marks;

void fb_option_marks_release(fb_option_marks *marks);
// Adds or moves the mark of `path`. FB_ENOMEM.
FB_CHECK_RESULT int fb_option_marks_put(fb_option_marks *marks, fb_str path, fb_option_mark mark);
// NULL: the option is at its default.
const fb_option_mark *fb_option_marks_get(const fb_option_marks *marks, fb_str path);
// Makes *to, which is empty, a copy. FB_ENOMEM: it is still empty.
FB_CHECK_RESULT int fb_option_marks_copy(const fb_option_marks *from, fb_option_marks *to);

#ifdef __cplusplus
}
#endif

#endif
