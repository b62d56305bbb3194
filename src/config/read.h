// config/read.h -- a tree of values into a configuration, by the tables.

#ifndef FB_CONFIG_READ_H
#define FB_CONFIG_READ_H

#include <forebay/base.h>

#include "base/arena.h"
#include "config/settings.h"
#include "config/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_reading {
    fb_config *config;  // filled; after an error half of it
    const char *file;   // paths are relative to its folder, and places are in it; NULL: no file
    const char *label;  // what messages call the option, where that is not its path; or NULL
    fb_arena *arena;    // scratch
    fb_error *error;
} fb_reading;

// Reads all that `root` holds (NULL: nothing) over what is set. FB_EINVAL, FB_ERANGE, FB_ENOMEM.
FB_CHECK_RESULT int fb_read_node(const fb_reading *reading, const fb_node *root);
// The same for one option by its path. Its text is taken as it is where the option is one value;
// lists and maps are read as YAML.
FB_CHECK_RESULT int fb_read_path(const fb_reading *reading, fb_str path, fb_str text);

// The name in `table` nearest to `name`, where it is near enough to be meant; or NULL.
const char *fb_read_nearest(const fb_option *table, fb_str name);
// Of two names, whether one may be meant by the other: how many edits apart, or SIZE_MAX.
size_t fb_read_distance(fb_str name, fb_str other);

#ifdef __cplusplus
}
#endif

#endif
