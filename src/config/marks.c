// Marks of options.
//
// Places are kept beside the settings rather than in them, for two reasons: what was set and what
// is a default can be told apart (a `memory_ttl` longer than `ttl` is a mistake only where someone
// wrote it), and a check of the whole can name the place of any option. A file's name is kept once
// for all its marks.

#include "config/marks.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

void fb_option_marks_release(fb_option_marks *marks) {
    size_t place = 0;

    for (void *mark = NULL; (mark = fb_map_next(&marks->by_path, &place)) != NULL;) {
        fb_mem_free(mark);
    }
    fb_map_release(&marks->by_path);
    for (size_t i = 0; i < marks->file_count; i++) {
        fb_mem_free(marks->files[i]);
    }
    fb_mem_free(marks->files);
    *marks = (fb_option_marks){0};
}

// The one copy of a file's name. The newest is the likeliest.
static int keep_file(fb_option_marks *marks, const char *file, const char **kept) {
    for (size_t i = marks->file_count; i > 0; i--) {
        if (strcmp(marks->files[i - 1], file) == 0) {
            *kept = marks->files[i - 1];
            return FB_OK;
        }
    }
    char **files = fb_mem_resize(marks->files, (marks->file_count + 1) * sizeof(*files));
    if (files == NULL) {
        return FB_ENOMEM;
    }
    marks->files = files;
    char *copy = fb_mem_text(fb_str_of(file));
    if (copy == NULL) {
        return FB_ENOMEM;
    }
    marks->files[marks->file_count++] = copy;
    *kept = copy;
    return FB_OK;
}

int fb_option_marks_put(fb_option_marks *marks, fb_str path, fb_option_mark mark) {
    if (mark.file != NULL && keep_file(marks, mark.file, &mark.file) != FB_OK) {
        return FB_ENOMEM;
    }
    fb_option_mark *kept = fb_map_get(&marks->by_path, path);
    if (kept != NULL) {
        mark.path = kept->path;
        *kept = mark;
        return FB_OK;
    }
    kept = fb_mem_new(sizeof(*kept) + path.len);
    if (kept == NULL) {
        return FB_ENOMEM;
    }
    memcpy(kept + 1, path.ptr, path.len);
    *kept = mark;
    kept->path = fb_str_make((char *)(kept + 1), path.len);
    if (fb_map_put(&marks->by_path, kept->path, kept) != FB_OK) {
        fb_mem_free(kept);
        return FB_ENOMEM;
    }
    return FB_OK;
}

const fb_option_mark *fb_option_marks_get(const fb_option_marks *marks, fb_str path) {
    return fb_map_get(&marks->by_path, path);
}

int fb_option_marks_copy(const fb_option_marks *from, fb_option_marks *to) {
    size_t place = 0;

    for (const fb_option_mark *mark = NULL; (mark = fb_map_next(&from->by_path, &place)) != NULL;) {
        if (fb_option_marks_put(to, mark->path, *mark) != FB_OK) {
            fb_option_marks_release(to);
            return FB_ENOMEM;
        }
    }
    return FB_OK;
}
