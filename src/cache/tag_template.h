// cache/tag_template.h -- a compiled tag template: "section:{section}".

#ifndef FB_CACHE_TAG_TEMPLATE_H
#define FB_CACHE_TAG_TEMPLATE_H

#include "cache/class.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_tag_piece {
    bool name;  // else text as it is
    fb_str text;
} fb_tag_piece;

struct fb_tag_template {
    char *text;  // as it was written; the pieces are parts of it
    fb_tag_piece *pieces;
    size_t piece_count;
};

// FB_OK, FB_ENOMEM, or FB_EINVAL with text. `made` needs no release after an error.
FB_CHECK_RESULT int fb_tag_template_init(fb_tag_template *made, fb_str text, fb_error *error);
void fb_tag_template_release(fb_tag_template *made);

#ifdef __cplusplus
}
#endif

#endif
