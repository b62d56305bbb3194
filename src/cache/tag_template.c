// A template is a row of pieces, texts and names. Names are looked up when a tag is made, because
// what is a parameter and what is a column of the row is known for sure only then (an open class
// takes any parameters); with two or three names of a few bytes that costs next to nothing beside
// a load.

#include "cache/tag_template.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/braces.h"

static int read_pieces(fb_tag_template *made, fb_error *error) {
    fb_str text = fb_str_of(made->text);
    size_t at = 0;
    fb_brace brace;
    int result = fb_brace_next(text, &at, &brace, error);
    while (result == FB_OK) {
        made->pieces[made->piece_count++] = (fb_tag_piece){brace.name, brace.text};
        result = fb_brace_next(text, &at, &brace, error);
    }
    return result == FB_MISS ? FB_OK : result;
}

static size_t text_len(const fb_tag_template *made) {
    size_t len = 0;
    for (size_t i = 0; i < made->piece_count; i++) {
        len += made->pieces[i].name ? 0 : made->pieces[i].text.len;
    }
    return len;
}

int fb_tag_template_init(fb_tag_template *made, fb_str text, fb_error *error) {
    if (text.len == 0) {
        return fb_error_set(error, FB_EINVAL, "it is empty: expected a tag as 'section:{section}'");
    }
    // A piece has one byte at least.
    *made = (fb_tag_template){.text = fb_mem_text(text),
                              .pieces = fb_mem_zero(text.len, sizeof *made->pieces)};
    int result = FB_OK;
    if (made->text == NULL || made->pieces == NULL) {
        result = fb_error_set(error, FB_ENOMEM, "out of memory");
    } else {
        result = read_pieces(made, error);
    }
    if (result == FB_OK && text_len(made) > FB_TAG_LEN_MAX) {
        result = fb_error_set(error, FB_EINVAL, "its text alone is longer than %d bytes, the most "
                              "a tag may have", FB_TAG_LEN_MAX);
    }
    if (result == FB_OK && !made->pieces[0].name &&
        (made->pieces[0].text.ptr[0] == FB_TAG_OWN || made->pieces[0].text.ptr[0] == FB_TAG_TYPE)) {
        result = fb_error_set(error, FB_EINVAL,
                              "it begins with byte 1 or 2, which are forebay's own");
    }
    if (result != FB_OK) {
        fb_tag_template_release(made);
    }
    return result;
}

void fb_tag_template_release(fb_tag_template *made) {
    fb_mem_free(made->text);
    fb_mem_free(made->pieces);
    *made = (fb_tag_template){0};
}
