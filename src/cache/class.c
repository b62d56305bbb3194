// From parameters to a key and back.
//
// Everything of one request lies in the caller's scratch: first the values whose normal form
// differs from what came, then the key. The scratch may move while it grows, so values inside are
// kept as places until the rest is reserved in one go; after that nothing moves, and they become
// pointers. What {hash} is made of is written behind them, digested and dropped again.
//
// Two classes may have patterns that one key fits ("item:{id}" and "item:{id}:{part}", where an id
// holds a colon). Such a key belongs to the more specific class; binding the other one to it is
// refused, because the two would answer with each other's values.

#include "cache/class.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/str.h"
#include "base/utf8.h"
#include "cache/class_names.h"
#include "cache/key_pattern.h"
#include "cache/normal.h"

enum { LENGTH_DIGITS_MAX = 21, SHOWN_LEN_MAX = 40 };

typedef struct work {
    const fb_class *class_;
    fb_buf *scratch;
    fb_bound *bound;
    fb_error *error;
    size_t place[FB_CLASS_PARAMS_MAX];  // in the scratch, plus one; 0: elsewhere
} work;

// How many parameters stand in the key by themselves: the first of class->params.
static size_t key_param_count(const fb_class *class_) {
    return class_->pattern->part_count - (class_->pattern->has_hash ? 1 : 0);
}

// ---- what went wrong

// A value as it may stand in a message.
static const char *show(fb_str value, char text[SHOWN_LEN_MAX + 4]) {
    size_t len = value.len;
    if (len > SHOWN_LEN_MAX) {
        len = fb_utf8_cut(value.ptr, SHOWN_LEN_MAX);
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)value.ptr[i];
        text[i] = byte < ' ' || byte == 0x7f ? '?' : (char)byte;
    }
    memcpy(text + len, "...", 4);
    text[len < value.len ? len + 3 : len] = '\0';
    return text;
}

static void expect_number(const fb_class_param *param, char *text, size_t text_size) {
    if (param->type == FB_PARAM_NUMBER) {
        (void)snprintf(text, text_size, "a number of at most 64 digits");
    } else if (param->min == INT64_MIN && param->max == INT64_MAX) {
        (void)snprintf(text, text_size, "an integer of 64 bits");
    } else if (param->max == INT64_MAX) {
        (void)snprintf(text, text_size, "an integer of at least %" PRId64, param->min);
    } else if (param->min == INT64_MIN) {
        (void)snprintf(text, text_size, "an integer of at most %" PRId64, param->max);
    } else {
        (void)snprintf(text, text_size, "an integer from %" PRId64 " to %" PRId64, param->min,
                       param->max);
    }
}

static int refuse_value(const work *w, const fb_class_param *param, fb_str value, int result) {
    char expected[80], shown[SHOWN_LEN_MAX + 4];
    if (result == FB_ENOMEM) {
        return fb_error_set(w->error, FB_ENOMEM, "out of memory");
    }
    expect_number(param, expected, sizeof expected);
    return fb_error_set(w->error, FB_EINVAL, "class %.*s: parameter %.*s is '%s', expected %s",
                        FB_STR_ARG(w->class_->name), FB_STR_ARG(param->name), show(value, shown),
                        expected);
}

static int refuse_name(const work *w, fb_str name) {
    char shown[SHOWN_LEN_MAX + 4], hint[256];
    fb_class_hint(w->class_, name, hint, sizeof hint);
    return fb_error_set(w->error, FB_EINVAL, "class %.*s has no parameter '%s'; %s",
                        FB_STR_ARG(w->class_->name), show(name, shown), hint);
}

static int no_memory(const work *w) {
    return fb_error_set(w->error, FB_ENOMEM, "out of memory");
}

// ---- values

static int set_value(work *w, size_t index, const fb_class_param *param, fb_str value) {
    bool changed = false;
    size_t start = w->scratch->len;
    fb_str form = value;
    int result = fb_normal_value(param, w->class_->options.normalise, &form, w->scratch, &changed);
    if (result != FB_OK) {
        return refuse_value(w, param, value, result);
    }
    if (changed) {
        form.len = w->scratch->len - start;
        w->place[index] = start + 1;
    }
    w->bound->params[index].value = form;
    return FB_OK;
}

// Turns places into pointers; the scratch must not grow any more.
static void settle(const work *w) {
    for (size_t i = 0; i < w->bound->param_count; i++) {
        fb_str *value = &w->bound->params[i].value;
        // Of values that normalisation left nothing of, there may be no scratch at all.
        if (w->place[i] > 0) {
            value->ptr = value->len > 0 ? w->scratch->ptr + (w->place[i] - 1) : "";
        }
    }
}

static int refuse_twice(const work *w, fb_str name) {
    char shown[SHOWN_LEN_MAX + 4];
    return fb_error_set(w->error, FB_EINVAL, "class %.*s: parameter %s is given twice",
                        FB_STR_ARG(w->class_->name), show(name, shown));
}

// A parameter that an open class does not know: it goes where its name has it among the others of
// its kind.
static int add_other(work *w, const fb_param *param) {
    static const fb_class_param text = {.type = FB_PARAM_TEXT};
    fb_bound *bound = w->bound;
    size_t first = w->class_->param_count, at = bound->param_count;
    while (at > first && fb_str_compare(bound->params[at - 1].name, param->name) > 0) {
        at--;
    }
    if (at > first && fb_str_equal(bound->params[at - 1].name, param->name)) {
        return refuse_twice(w, param->name);
    }
    if (bound->param_count == FB_CLASS_PARAMS_MAX) {
        return fb_error_set(w->error, FB_EINVAL, "class %.*s: more than %d parameters",
                            FB_STR_ARG(w->class_->name), FB_CLASS_PARAMS_MAX);
    }
    size_t moved = bound->param_count++ - at;
    memmove(&bound->params[at + 1], &bound->params[at], moved * sizeof bound->params[0]);
    memmove(&w->place[at + 1], &w->place[at], moved * sizeof w->place[0]);
    bound->params[at].name = param->name;
    w->place[at] = 0;
    return set_value(w, at, &text, param->value);
}

static int add_given(work *w, const fb_param *param, bool *given) {
    const fb_class *class_ = w->class_;
    size_t index = fb_class_find_param(class_, param->name);
    if (index == class_->param_count) {
        bool taken = class_->open && param->name.len > 0;
        return taken ? add_other(w, param) : refuse_name(w, param->name);
    }
    if (given[index]) {
        return refuse_twice(w, param->name);
    }
    given[index] = true;
    return set_value(w, index, &class_->params[index], param->value);
}

static int add_default(work *w, size_t index) {
    const fb_class_param *param = &w->class_->params[index];
    if (param->required) {
        return fb_error_set(w->error, FB_EINVAL, "class %.*s needs the parameter '%.*s'",
                            FB_STR_ARG(w->class_->name), FB_STR_ARG(param->name));
    }
    w->bound->params[index].value = param->default_value;
    return FB_OK;
}

static int take_params(work *w, const fb_param *params, size_t param_count) {
    const fb_class *class_ = w->class_;
    bool given[FB_CLASS_PARAMS_MAX] = {false};
    int result = FB_OK;
    w->bound->param_count = class_->param_count;
    for (size_t i = 0; i < class_->param_count; i++) {
        w->bound->params[i] = (fb_param){.name = class_->params[i].name};
    }
    for (size_t i = 0; result == FB_OK && i < param_count; i++) {
        result = add_given(w, &params[i], given);
    }
    for (size_t i = 0; result == FB_OK && i < class_->param_count; i++) {
        if (!given[i]) {
            result = add_default(w, i);
        }
    }
    return result;
}

// ---- the digest

// With MD5 and one declared text parameter the digest is of its bare value.
static bool is_bare(const fb_class *class_) {
    size_t first = key_param_count(class_);
    return class_->digest != NULL && !class_->open && class_->param_count == first + 1 &&
           class_->params[first].type == FB_PARAM_TEXT;
}

// printf() took half the time of a whole bind.
static int append_counted(fb_buf *buf, fb_str bytes) {
    char length[LENGTH_DIGITS_MAX];
    size_t at = sizeof length;
    length[--at] = ':';
    for (size_t left = bytes.len; left > 0 || at == sizeof length - 1; left /= 10) {
        length[--at] = (char)('0' + left % 10);
    }
    int result = fb_buf_append(buf, fb_str_make(length + at, sizeof length - at));
    return result == FB_OK ? fb_buf_append(buf, bytes) : result;
}

static int digest_bytes(const fb_class *class_, fb_str bytes, uint8_t out[16]) {
    if (class_->digest == NULL) {
        fb_hash128(bytes, out);
        return FB_OK;
    }
    unsigned int len = 0;
    const char *start = bytes.len > 0 ? bytes.ptr : "";
    int done = EVP_Digest(start, bytes.len, out, &len, class_->digest, NULL);
    return done == 1 && len == 16 ? FB_OK : FB_ENOMEM;
}

static int digest_params(const work *w, uint8_t out[16]) {
    const fb_bound *bound = w->bound;
    size_t first = key_param_count(w->class_), start = w->scratch->len;
    int result = FB_OK;
    if (is_bare(w->class_)) {
        return digest_bytes(w->class_, bound->params[first].value, out);
    }
    for (size_t i = first; result == FB_OK && i < bound->param_count; i++) {
        result = append_counted(w->scratch, bound->params[i].name);
        if (result == FB_OK) {
            result = append_counted(w->scratch, bound->params[i].value);
        }
    }
    if (result == FB_OK) {
        fb_str all = fb_str_make(w->scratch->ptr + start, w->scratch->len - start);
        result = digest_bytes(w->class_, all, out);
    }
    w->scratch->len = start;
    return result;
}

static void write_hex(const uint8_t bytes[16], char text[FB_KEY_HASH_LEN]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
}

// ---- the key

static int refuse_length(const work *w, size_t len) {
    return fb_error_set(w->error, FB_EINVAL,
                        "class %.*s: the key would have %zu bytes, at most %d are allowed",
                        FB_STR_ARG(w->class_->name), len, FB_KEY_LEN_MAX);
}

// Makes room for the key and for what {hash} is made of.
static int reserve(const work *w) {
    const fb_key_pattern *pattern = w->class_->pattern;
    size_t first = key_param_count(w->class_);
    size_t key_len = pattern->literal_len + (pattern->has_hash ? FB_KEY_HASH_LEN : 0);
    size_t more = key_len;
    for (size_t i = 0; i < w->bound->param_count; i++) {
        const fb_param *param = &w->bound->params[i];
        if (i < first) {
            key_len += param->value.len;
            more += 3 * param->value.len;
        } else {
            more += param->name.len + param->value.len + 2 * LENGTH_DIGITS_MAX;
        }
    }
    if (key_len > FB_KEY_LEN_MAX) {
        return refuse_length(w, key_len);
    }
    return fb_buf_reserve(w->scratch, more) == FB_OK ? FB_OK : no_memory(w);
}

static int write_key(const work *w) {
    const fb_key_pattern *pattern = w->class_->pattern;
    char hash_text[FB_KEY_HASH_LEN];
    fb_str values[FB_KEY_PARTS_MAX];
    if (pattern->has_hash) {
        uint8_t hash[16];
        if (digest_params(w, hash) != FB_OK) {
            return no_memory(w);
        }
        write_hex(hash, hash_text);
    }
    for (size_t i = 0, param = 0; i < pattern->part_count; i++) {
        bool hash = pattern->parts[i].hash;
        values[i] =
            hash ? fb_str_make(hash_text, FB_KEY_HASH_LEN) : w->bound->params[param++].value;
    }
    const char *base = w->scratch->ptr;
    size_t start = w->scratch->len;
    if (fb_key_pattern_write(pattern, values, w->scratch) != FB_OK) {
        return no_memory(w);
    }
    FB_ASSERT(base == w->scratch->ptr);  // reserve() made room for all
    w->bound->key = fb_str_make(base + start, w->scratch->len - start);
    return w->bound->key.len > FB_KEY_LEN_MAX ? refuse_length(w, w->bound->key.len) : FB_OK;
}

static int check_owner(const work *w) {
    char shown[SHOWN_LEN_MAX + 4];
    if (!w->class_->contested) {
        return FB_OK;
    }
    const fb_class *owner = fb_catalog_of_key(w->class_->catalog, w->bound->key);
    if (owner == w->class_) {
        return FB_OK;
    }
    return fb_error_set(w->error, FB_EINVAL,
                        "class %.*s: the key '%s' belongs to class %.*s, whose pattern is '%.*s'",
                        FB_STR_ARG(w->class_->name), show(w->bound->key, shown),
                        FB_STR_ARG(owner->name), FB_STR_ARG(owner->pattern->text));
}

int fb_class_bind(const fb_class *class_, const fb_param *params, size_t param_count,
                  fb_buf *scratch, fb_bound *bound, fb_error *error) {
    work w = {.class_ = class_, .scratch = scratch, .bound = bound, .error = error};
    if (class_->pattern == NULL) {
        return fb_error_set(error, FB_EINVAL, "plain keys have no parameters");
    }
    scratch->len = 0;
    int result = take_params(&w, params, param_count);
    if (result == FB_OK) {
        result = reserve(&w);
    }
    if (result == FB_OK) {
        settle(&w);
        result = write_key(&w);
    }
    return result == FB_OK ? check_owner(&w) : result;
}

// ---- and back

bool fb_class_owns(const fb_class *class_, fb_str key) {
    return class_->pattern != NULL && fb_key_pattern_match(class_->pattern, key, NULL);
}

// Decodes what stands in the key, without regard to form. FB_MISS: not of this class, or a span
// that fb_class_bind() does not write and `strict`.
static int decode_key(const fb_class *class_, fb_str key, fb_buf *scratch, fb_bound *bound,
                      bool strict) {
    const fb_key_pattern *pattern = class_->pattern;
    fb_str spans[FB_KEY_PARTS_MAX];
    *bound = (fb_bound){.key = key};
    scratch->len = 0;
    if (pattern == NULL || !fb_key_pattern_match(pattern, key, spans)) {
        return FB_MISS;
    }
    if (fb_buf_reserve(scratch, key.len) != FB_OK) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < pattern->part_count; i++) {
        const fb_key_part *part = &pattern->parts[i];
        if (!part->hash) {
            fb_param *param = &bound->params[bound->param_count];
            param->name = class_->params[bound->param_count++].name;
            if (fb_key_part_decode(part, spans[i], scratch, &param->value) != FB_OK) {
                param->value = spans[i];
                if (strict) {
                    return FB_MISS;
                }
            }
        }
    }
    return FB_OK;
}

// Whether each value is in its normal form already.
static int check_normal(const fb_class *class_, const fb_bound *bound) {
    fb_buf form = {0};
    int result = FB_OK;
    for (size_t i = 0; result == FB_OK && i < bound->param_count; i++) {
        fb_str value = bound->params[i].value;
        bool changed = false;
        result =
            fb_normal_value(&class_->params[i], class_->options.normalise, &value, &form, &changed);
        if (result != FB_ENOMEM &&
            (result != FB_OK || changed || value.len != bound->params[i].value.len)) {
            result = FB_MISS;
        }
    }
    fb_buf_release(&form);
    return result;
}

int fb_class_unbind(const fb_class *class_, fb_str key, fb_buf *scratch, fb_bound *bound) {
    int result = decode_key(class_, key, scratch, bound, true);
    if (result != FB_OK) {
        return result;
    }
    if (class_->pattern->has_hash || key.len > FB_KEY_LEN_MAX ||
        (class_->contested && fb_catalog_of_key(class_->catalog, key) != class_)) {
        return FB_MISS;
    }
    return check_normal(class_, bound);
}

// Copies each value to the scratch, in its normal form where it has one.
static int copy_normal(work *w) {
    for (size_t i = 0; i < w->bound->param_count; i++) {
        fb_str value = w->bound->params[i].value;
        bool changed = false;
        size_t start = w->scratch->len;
        int result = fb_normal_value(&w->class_->params[i], w->class_->options.normalise, &value,
                                     w->scratch, &changed);
        if (result != FB_ENOMEM && !changed) {
            result = fb_buf_append(w->scratch, value);
        }
        if (result == FB_ENOMEM) {
            return result;
        }
        w->place[i] = start + 1;
        w->bound->params[i].value.len = w->scratch->len - start;
    }
    settle(w);
    return FB_OK;
}

int fb_class_params_of_key(const fb_class *class_, fb_str key, fb_buf *scratch, fb_bound *bound) {
    work w = {.class_ = class_, .scratch = scratch, .bound = bound};
    fb_buf decoded = {0};
    int result = decode_key(class_, key, &decoded, bound, false);
    scratch->len = 0;
    if (result == FB_OK) {
        result = copy_normal(&w);
    }
    fb_buf_release(&decoded);
    return result == FB_MISS ? FB_OK : result;
}
