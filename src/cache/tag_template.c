// A template is a row of pieces, texts and names. Names are looked up when a tag is made, because
// what is a parameter and what is a column of the row is known for sure only then (an open class
// takes any parameters); with two or three names of a few bytes that costs next to nothing beside
// a load.
//
// A tag that would be empty is none: the row has no value to file the entry under.

#include "cache/tag_template.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/braces.h"
#include "cache/key_pattern.h"

// ---- making

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
    if (result == FB_OK && !made->pieces[0].name && made->pieces[0].text.ptr[0] == FB_TAG_OWN) {
        result = fb_error_set(error, FB_EINVAL, "it begins with byte 1, which is forebay's own");
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

// ---- making tags

typedef struct tag_text {
    char bytes[FB_TAG_LEN_MAX];
    size_t len;
} tag_text;

typedef struct names {
    const fb_bound *bound;
    fb_field_fn field;  // NULL: parameters only
    void *row;
} names;

static bool find_param(const fb_bound *bound, fb_str name, fb_str *value) {
    for (size_t i = 0; i < bound->param_count; i++) {
        if (fb_str_equal(bound->params[i].name, name)) {
            *value = bound->params[i].value;
            return true;
        }
    }
    return false;
}

static int find_name(const names *from, fb_str name, fb_str *value) {
    if (find_param(from->bound, name, value)) {
        return FB_OK;
    }
    return from->field != NULL ? from->field(from->row, name, value) : FB_MISS;
}

static bool params_suffice(const fb_tag_template *made, const fb_bound *bound) {
    fb_str unused;
    for (size_t i = 0; i < made->piece_count; i++) {
        if (made->pieces[i].name && !find_param(bound, made->pieces[i].text, &unused)) {
            return false;
        }
    }
    return true;
}

// FB_MISS: one of its names has no value. FB_ETOOBIG.
static int write_tag(const fb_tag_template *made, const names *from, tag_text *tag) {
    tag->len = 0;
    for (size_t i = 0; i < made->piece_count; i++) {
        fb_str text = made->pieces[i].text;
        if (made->pieces[i].name) {
            int result = find_name(from, made->pieces[i].text, &text);
            if (result != FB_OK) {
                return result;
            }
        }
        if (text.len > sizeof tag->bytes - tag->len) {
            return FB_ETOOBIG;
        }
        if (text.len > 0) {
            memcpy(tag->bytes + tag->len, text.ptr, text.len);
            tag->len += text.len;
        }
    }
    return tag->len > 0 ? FB_OK : FB_MISS;
}

static int explain(const fb_class *class_, const fb_tag_template *made, const char *what,
                   fb_loaded *loaded) {
    char text[sizeof loaded->error];
    int len = snprintf(text, sizeof text, "class %.*s: tag '%.60s': %s", FB_STR_ARG(class_->name),
                       made->text, what);
    fb_loaded_error(loaded,
                    fb_str_make(text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1));
    return FB_EINVAL;
}

static int add_tag(const fb_class *class_, const fb_tag_template *made, const names *from,
                   fb_loaded *loaded) {
    tag_text tag;
    int result = write_tag(made, from, &tag);
    if (result == FB_MISS) {
        return FB_OK;
    }
    if (result == FB_ETOOBIG) {
        return explain(class_, made, "it would be longer than 128 bytes", loaded);
    }
    if (result == FB_OK) {
        fb_str text = fb_str_make(tag.bytes, tag.len);
        result = fb_loaded_tag(loaded, text);
        if (result == FB_EINVAL && text.ptr[0] == FB_TAG_OWN) {
            return explain(class_, made, "it would begin with byte 1, which is forebay's own",
                           loaded);
        }
        if (result == FB_EINVAL) {
            return explain(class_, made, "the entry has 16 tags already, which is the limit",
                           loaded);
        }
    }
    return result;
}

static int add_index_tags(const fb_class *class_, fb_str key, fb_loaded *loaded) {
    if (class_->catalog == NULL) {
        return FB_OK;
    }
    int result = fb_catalog_key_tags(class_->catalog, key, loaded);
    if (result == FB_EINVAL) {
        fb_loaded_error(loaded,
                        FB_STR("with its index tags the entry would have more than 16 tags"));
    }
    return result;
}

static int add_param_tags(const fb_class *class_, const fb_bound *bound, fb_loaded *loaded) {
    names from = {bound, NULL, NULL};
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < class_->tag_count; i++) {
        result = add_tag(class_, &class_->tags[i], &from, loaded);
    }
    return result;
}

int fb_class_param_tags(const fb_class *class_, const fb_bound *bound, fb_loaded *loaded) {
    int result = add_index_tags(class_, bound->key, loaded);
    return result == FB_OK ? add_param_tags(class_, bound, loaded) : result;
}

int fb_class_row_tags(const fb_class *class_, const fb_bound *bound, fb_field_fn field, void *row,
                      fb_loaded *loaded) {
    names from = {bound, field, row};
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < class_->tag_count; i++) {
        const fb_tag_template *made = &class_->tags[i];
        if (!params_suffice(made, bound)) {
            result = add_tag(class_, made, &from, loaded);
        }
    }
    return result;
}

int fb_class_key_tags(const fb_class *class_, fb_str key, fb_buf *scratch, fb_loaded *loaded) {
    int result = add_index_tags(class_, key, loaded);
    if (result != FB_OK || class_->tag_count == 0) {
        return result;
    }
    fb_bound bound;
    result = fb_class_params_of_key(class_, key, scratch, &bound);
    return result == FB_OK ? add_param_tags(class_, &bound, loaded) : result;
}
