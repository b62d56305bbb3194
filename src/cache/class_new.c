// Compiling a class: what a person wrote becomes what requests are answered by, or an error that
// says what was found and what was expected.
//
// The parameters of a class are the union of three lists: what stands in the key, what the query
// uses, and what is declared. They are joined in that order, and each list may only name
// what the ones before allow: the query what the key has or {hash} covers, the declarations what
// either has. Only a class with {hash} and no query may declare what nothing else names.

#include "cache/class.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/braces.h"
#include "cache/class_names.h"
#include "cache/key_pattern.h"
#include "cache/normal.h"
#include "cache/tag_template.h"

enum { NAME_LEN_MAX = 63, EDITS_MAX = 3 };

// Callers' own loads under plain keys have no class to say these.
static const int64_t plain_timeout_ns = 30 * FB_NS_PER_S;
static const uint32_t plain_waiters_max = 10000;

// Where what is looked at stands in its file.
typedef struct place {
    uint32_t line, column;
} place;

// ---- names

size_t fb_class_find_param(const fb_class *class_, fb_str name) {
    for (size_t i = 0; i < class_->param_count; i++) {
        if (fb_str_equal(class_->params[i].name, name)) {
            return i;
        }
    }
    return class_->param_count;
}

static void list_params(const fb_class *class_, char *text, size_t text_size) {
    size_t len = (size_t)snprintf(text, text_size, "it has ");
    for (size_t i = 0; i < class_->param_count && len < text_size; i++) {
        int more = snprintf(text + len, text_size - len, "%s%.*s", i > 0 ? ", " : "",
                            FB_STR_ARG(class_->params[i].name));
        len += more > 0 ? (size_t)more : 0;
    }
}

void fb_class_hint(const fb_class *class_, fb_str name, char *text, size_t text_size) {
    size_t best = EDITS_MAX;
    fb_str nearest = {NULL, 0};
    for (size_t i = 0; i < class_->param_count; i++) {
        fb_str known = class_->params[i].name;
        size_t edits = fb_str_distance(name, known, EDITS_MAX);
        if (edits < best && edits < known.len) {
            best = edits;
            nearest = known;
        }
    }
    if (nearest.len > 0) {
        (void)snprintf(text, text_size, "did you mean '%.*s'?", FB_STR_ARG(nearest));
    } else if (class_->param_count == 0) {
        (void)snprintf(text, text_size, "it has none");
    } else {
        list_params(class_, text, text_size);
    }
}

// ---- parameters

static int no_memory(fb_error *error) {
    return fb_error_set(error, FB_ENOMEM, "out of memory");
}

// `params` has room for FB_CLASS_PARAMS_MAX.
static int add_param(fb_class *class_, fb_str name, bool in_key, fb_error *error) {
    if (fb_str_equal(name, FB_STR("hash"))) {
        return fb_error_set(error, FB_EINVAL,
                            "a parameter must not be called 'hash': {hash} in a key is the digest");
    }
    if (class_->param_count == FB_CLASS_PARAMS_MAX) {
        return fb_error_set(error, FB_EINVAL, "more than %d parameters", FB_CLASS_PARAMS_MAX);
    }
    char *copy = fb_mem_text(name);
    if (copy == NULL) {
        return no_memory(error);
    }
    class_->params[class_->param_count++] = (fb_class_param){.name = {copy, name.len},
                                                             .required = true,
                                                             .min = INT64_MIN,
                                                             .max = INT64_MAX,
                                                             .in_key = in_key};
    return FB_OK;
}

static int add_key_params(fb_class *class_, fb_error *error) {
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < class_->pattern->part_count; i++) {
        const fb_key_part *part = &class_->pattern->parts[i];
        if (!part->hash) {
            result = add_param(class_, part->name, true, error);
        }
    }
    return result;
}

static int add_query_params(fb_class *class_, const fb_str *names, size_t name_count,
                            fb_error *error) {
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < name_count; i++) {
        if (fb_class_find_param(class_, names[i]) < class_->param_count) {
            continue;
        }
        if (!class_->pattern->has_hash) {
            return fb_error_set(error, FB_EINVAL,
                                "the query uses :%.*s, but the key '%.*s' does not tell its values "
                                "apart: expected {%.*s} or {hash} in it",
                                FB_STR_ARG(names[i]), FB_STR_ARG(class_->pattern->text),
                                FB_STR_ARG(names[i]));
        }
        result = add_param(class_, names[i], false, error);
    }
    return result;
}

static int refuse_declared(const fb_class *class_, fb_str name, fb_error *error) {
    char hint[256];
    fb_class_hint(class_, name, hint, sizeof hint);
    return fb_error_set(
        error, FB_EINVAL,
        "it declares the parameter '%.*s', which neither its key nor its query uses; "
        "%s",
        FB_STR_ARG(name), hint);
}

static int set_default(fb_class *class_, fb_class_param *param, const char *text, fb_error *error) {
    fb_buf form = {0};
    bool changed = false;
    fb_str value = fb_str_of(text);
    int result = fb_normal_value(param, class_->options.normalise, &value, &form, &changed);
    if (result == FB_OK) {
        value = changed ? fb_buf_str(&form) : value;
        char *copy = fb_mem_text(value);
        param->required = copy == NULL;
        param->default_value = fb_str_make(copy, value.len);
        result = copy != NULL ? FB_OK : FB_ENOMEM;
    }
    fb_buf_release(&form);
    if (result == FB_ENOMEM) {
        return no_memory(error);
    }
    if (result != FB_OK) {
        return fb_error_set(error, FB_EINVAL,
                            "the default of parameter '%.*s' is '%.40s': expected %s",
                            FB_STR_ARG(param->name), text,
                            result == FB_ERANGE               ? "a value within its range"
                            : param->type == FB_PARAM_INTEGER ? "an integer"
                                                              : "a number");
    }
    return FB_OK;
}

static int declare_param(fb_class *class_, const fb_param_options *options, bool may_add,
                         fb_error *error) {
    fb_str name = fb_str_of(options->name);
    if (!fb_brace_is_name(name)) {
        return fb_error_set(error, FB_EINVAL,
                            "'%.40s' is no name for a parameter: expected letters, digits and '_'",
                            options->name);
    }
    size_t index = fb_class_find_param(class_, name);
    if (index == class_->param_count) {
        int result =
            may_add ? add_param(class_, name, false, error) : refuse_declared(class_, name, error);
        if (result != FB_OK) {
            return result;
        }
    }
    fb_class_param *param = &class_->params[index];
    param->type = (fb_param_type)options->type;
    param->min = options->min;
    param->max = options->max;
    if (param->min > param->max) {
        return fb_error_set(error, FB_EINVAL,
                            "parameter '%s' has no values: its min is above its max",
                            options->name);
    }
    bool given = options->default_text != NULL;
    return given ? set_default(class_, param, options->default_text, error) : FB_OK;
}

static int by_name(const void *a, const void *b) {
    return fb_str_compare(((const fb_class_param *)a)->name, ((const fb_class_param *)b)->name);
}

static int add_params(fb_class *class_, const fb_str *names, size_t name_count, place *at,
                      fb_error *error) {
    const fb_class_options *options = &class_->options;
    const place key = *at;
    bool known = options->query != NULL && names != NULL;
    bool may_add = class_->pattern->has_hash && !known;
    class_->params = fb_mem_zero(FB_CLASS_PARAMS_MAX, sizeof *class_->params);
    if (class_->params == NULL) {
        return no_memory(error);
    }
    int result = add_key_params(class_, error);
    size_t in_key = class_->param_count;
    if (result == FB_OK) {
        result = add_query_params(class_, names, name_count, error);
    }
    for (size_t i = 0; result == FB_OK && i < options->parameter_count; i++) {
        *at = (place){options->line, options->column};
        result = declare_param(class_, &options->parameters[i], may_add, error);
    }
    if (result == FB_OK) {
        *at = key;
        qsort(class_->params + in_key, class_->param_count - in_key, sizeof *class_->params,
              by_name);
        bool covers_none = class_->pattern->has_hash && class_->param_count == in_key;
        class_->open = covers_none && !known;
        if (covers_none && known) {
            result = fb_error_set(error, FB_EINVAL,
                                  "{hash} in the key '%.*s' covers nothing: every parameter stands "
                                  "in the key by itself",
                                  FB_STR_ARG(class_->pattern->text));
        }
    }
    return result;
}

// ---- the rest

static int add_tags(fb_class *class_, fb_error *error) {
    const fb_class_options *options = &class_->options;
    if (options->tag_count + options->index_count > FB_TAGS_MAX) {
        return fb_error_set(error, FB_EINVAL, "%zu tags and indexes: an entry may have %d",
                            options->tag_count + options->index_count, FB_TAGS_MAX);
    }
    if (options->tag_count == 0) {
        return FB_OK;
    }
    class_->tags = fb_mem_zero(options->tag_count, sizeof *class_->tags);
    if (class_->tags == NULL) {
        return no_memory(error);
    }
    for (size_t i = 0; i < options->tag_count; i++) {
        fb_str text = fb_str_of(options->tags[i]);
        int result = fb_tag_template_init(&class_->tags[i], text, error);
        if (result == FB_EINVAL) {
            char why[sizeof error->text];
            (void)snprintf(why, sizeof why, "%s", error != NULL ? error->text : "");
            return fb_error_set(error, result, "the tag '%.60s': %s", options->tags[i], why);
        }
        if (result != FB_OK) {
            return result;
        }
        class_->tag_count++;
    }
    return FB_OK;
}

static int check_index(const fb_class *class_, const char *index, fb_error *error) {
    fb_str name = fb_str_of(index);
    const fb_key_pattern *pattern = class_->pattern;
    for (size_t i = 0; i < pattern->part_count; i++) {
        if (pattern->parts[i].hash || !fb_str_equal(pattern->parts[i].name, name)) {
            continue;
        }
        if (pattern->parts[i].stop < 0) {
            return fb_error_set(
                error, FB_EINVAL,
                "it cannot be indexed by '%s', which ends the key '%.*s': one value "
                "is one key, to be invalidated as that",
                index, FB_STR_ARG(pattern->text));
        }
        return FB_OK;
    }
    char hint[256];
    fb_class_hint(class_, name, hint, sizeof hint);
    return fb_error_set(error, FB_EINVAL,
                        "it is indexed by '%.40s', which does not stand in the key '%.*s'; %s",
                        index, FB_STR_ARG(pattern->text), hint);
}

static int check_names(const fb_class *class_, fb_error *error) {
    const fb_class_options *options = &class_->options;
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < options->index_count; i++) {
        result = check_index(class_, options->index[i], error);
    }
    if (result == FB_OK && options->batch_by != NULL && !class_->open &&
        fb_class_find_param(class_, fb_str_of(options->batch_by)) == class_->param_count) {
        char hint[256];
        fb_class_hint(class_, fb_str_of(options->batch_by), hint, sizeof hint);
        result = fb_error_set(error, FB_EINVAL,
                              "its batches are made by '%.40s', which is no parameter; %s",
                              options->batch_by, hint);
    }
    return result;
}

static int set_digest(fb_class *class_, fb_error *error) {
    if (!class_->pattern->has_hash || class_->options.digest != FB_DIGEST_MD5) {
        return FB_OK;
    }
    class_->digest = EVP_MD_fetch(NULL, "MD5", NULL);
    if (class_->digest == NULL) {
        return fb_error_set(error, FB_EINVAL, "MD5 is not to be had from this machine's OpenSSL");
    }
    return FB_OK;
}

static int compile_pattern(fb_class *class_, fb_error *error) {
    fb_str text = fb_str_of(class_->options.key);
    int result = fb_key_pattern_new(text, &class_->pattern, error);
    if (result == FB_EINVAL) {
        char why[sizeof error->text];
        (void)snprintf(why, sizeof why, "%s", error != NULL ? error->text : "");
        return fb_error_set(error, result, "its key '%.*s': %s",
                            (int)(text.len < 80 ? text.len : 80), text.ptr, why);
    }
    return result;
}

static int check_name(const char *name, fb_error *error) {
    fb_str text = fb_str_of(name);
    if (text.len == 0 || text.len > NAME_LEN_MAX) {
        return fb_error_set(error, FB_EINVAL, "its name has %zu bytes: expected 1 to %d", text.len,
                            NAME_LEN_MAX);
    }
    return FB_OK;
}

// *at: the place of what was looked at last.
static int compile(fb_class *class_, const fb_str *names, size_t name_count, place *at,
                   fb_error *error) {
    const fb_class_options *options = &class_->options;
    int result = check_name(options->name, error);
    if (result == FB_OK) {
        *at = (place){options->key_line, options->key_column};
        result = compile_pattern(class_, error);
    }
    if (result == FB_OK) {
        result = add_params(class_, names, name_count, at, error);
    }
    if (result == FB_OK) {
        *at = (place){options->tags_line, options->tags_column};
        result = add_tags(class_, error);
    }
    if (result == FB_OK) {
        *at = (place){options->index_line, options->index_column};
        result = check_names(class_, error);
    }
    return result == FB_OK ? set_digest(class_, error) : result;
}

// An option that does not stand in the file is blamed where its class stands.
static void name_class(const fb_class_options *options, int result, place at, fb_error *error) {
    if (result == FB_EINVAL && error != NULL) {
        char why[sizeof error->text];
        (void)snprintf(why, sizeof why, "%s", error->text);
        (void)fb_error_set(error, result, "class %.63s: %s",
                           options->name != NULL ? options->name : "", why);
    }
    if (at.line == 0) {
        at = (place){options->line, options->column};
    }
    fb_error_place(error, options->file, at.line, at.column);
}

int fb_class_new(const fb_class_options *options, uint16_t id, const fb_str *query_params,
                 size_t query_param_count, fb_class **class_, fb_error *error) {
    fb_class *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL || fb_class_options_copy(options, &made->options) != FB_OK) {
        fb_mem_free(made);
        return no_memory(error);
    }
    made->id = id;
    made->name = fb_str_of(made->options.name);
    const char *space = made->options.namespace_name;
    made->namespace_name = space != NULL ? fb_str_of(space) : FB_STR("default");
    place at = {options->line, options->column};
    int result = compile(made, query_params, query_param_count, &at, error);
    if (result != FB_OK) {
        name_class(options, result, at, error);
        fb_class_free(made);
        return result;
    }
    *class_ = made;
    return FB_OK;
}

int fb_class_new_plain(fb_class **class_) {
    fb_class *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->id = FB_CLASS_PLAIN;
    made->name = FB_STR("");
    made->namespace_name = FB_STR("default");
    made->options.hard_timeout_ns = plain_timeout_ns;
    made->options.waiters_max = plain_waiters_max;
    *class_ = made;
    return FB_OK;
}

void fb_class_free(fb_class *class_) {
    if (class_ == NULL) {
        return;
    }
    for (size_t i = 0; i < class_->tag_count; i++) {
        fb_tag_template_release(&class_->tags[i]);
    }
    for (size_t i = 0; i < class_->param_count; i++) {
        fb_mem_free((void *)(uintptr_t)class_->params[i].name.ptr);
        fb_mem_free((void *)(uintptr_t)class_->params[i].default_value.ptr);
    }
    EVP_MD_free(class_->digest);
    fb_mem_free(class_->tags);
    fb_mem_free(class_->params);
    fb_key_pattern_free(class_->pattern);
    fb_class_options_release(&class_->options);
    fb_mem_free(class_);
}
