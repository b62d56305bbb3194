// The tags of an entry: those of its class's templates, from parameters or the row, and the index
// tags of its key. Which of them a load has must not depend on who ran it, or one of several ways
// to store an entry would leave it out of an invalidation.
//
// A tag that would be empty is none: the row has no value to file the entry under.

#include "cache/class.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cache/tag_template.h"

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
        if (text.len > 0 && (text.ptr[0] == FB_TAG_OWN || text.ptr[0] == FB_TAG_TYPE)) {
            return explain(class_, made, "it would begin with byte 1 or 2, which are forebay's own",
                           loaded);
        }
        result = fb_loaded_tag(loaded, text);
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
