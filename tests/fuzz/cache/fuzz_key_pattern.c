// Key patterns from bytes. The input is lines: the pattern; one byte of flags; values for as many
// sets of parameters as there are. Whatever the pattern: it is refused with a text, or keys tell
// sets of values apart, are taken back apart where there is no {hash}, and keep to their class. The
// last line is also taken as a key that somebody made by hand, and as a glob.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "classes.h"

enum { LINES_MAX = 64, SETS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    fb_str lines[LINES_MAX];
    size_t count;
} input;

static void read_lines(const uint8_t *data, size_t size, input *in) {
    fb_str rest = fb_str_make((const char *)data, size);
    while (rest.len > 0 && in->count < LINES_MAX) {
        size_t len = fb_str_find(rest, '\n');
        in->lines[in->count++] = fb_str_make(rest.ptr, len);
        size_t used = len < rest.len ? len + 1 : len;
        rest = fb_str_make(rest.ptr + used, rest.len - used);
    }
}

static fb_class *make_class(const input *in) {
    char key[256], *tags[] = {TEXT("t:{a}:{b}")}, *index[] = {TEXT("a")};
    fb_param_options number = {.name = TEXT("n"), .type = FB_PARAM_NUMBER};
    fb_class *class_ = NULL;
    fb_error error = {0};
    if (in->count < 2 || in->lines[0].len >= sizeof key) {
        return NULL;
    }
    memcpy(key, in->lines[0].ptr, in->lines[0].len);
    key[in->lines[0].len] = '\0';
    unsigned flags = in->lines[1].len > 0 ? (unsigned char)in->lines[1].ptr[0] : 0;
    fb_class_options options = {.name = TEXT("fuzz"),
                                .key = key,
                                .normalise = flags & 7,
                                .digest = (flags & 8) != 0 ? FB_DIGEST_MD5 : FB_DIGEST_XXH128,
                                .tags = tags,
                                .tag_count = 1,
                                .index = index,
                                .index_count = (flags & 16) != 0,
                                .parameters = &number,
                                .parameter_count = (flags & 32) != 0};
    int result = fb_class_new(&options, 1, NULL, 0, &class_, &error);
    FB_ASSERT(result == FB_OK || (result == FB_EINVAL && error.text[0] != '\0'));
    return class_;
}

typedef struct set {
    fb_buf scratch;
    fb_bound bound;
} set;

static bool same_values(const fb_bound *a, const fb_bound *b) {
    for (size_t i = 0; i < a->param_count; i++) {
        if (!fb_str_equal(a->params[i].value, b->params[i].value)) {
            return false;
        }
    }
    return a->param_count == b->param_count;
}

static void check_back(const fb_class *class_, const fb_bound *bound) {
    fb_buf scratch = {0};
    fb_bound back;
    int result = fb_class_unbind(class_, bound->key, &scratch, &back);
    FB_ASSERT(fb_class_owns(class_, bound->key));
    if (result == FB_OK) {
        FB_ASSERT(same_values(&back, bound));
    } else {
        bool hash = strstr(class_->options.key, "{hash}") != NULL;
        FB_ASSERT(result == FB_MISS && hash);
    }
    // A key's own values give that key.
    result = fb_class_bind(class_, bound->params, bound->param_count, &scratch, &back, NULL);
    FB_ASSERT(result == FB_OK && fb_str_equal(back.key, bound->key));
    fb_buf_release(&scratch);
}

// A key and a glob that nobody made: they may be anything, and must not harm.
static void check_by_hand(const fb_catalog *catalog, fb_str text) {
    const fb_class *class_ = fb_catalog_of_key(catalog, text);
    fb_buf scratch = {0}, tag = {0};
    fb_bound bound;
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    FB_ASSERT(class_->id == FB_CLASS_PLAIN || fb_class_owns(class_, text));
    int result = fb_class_unbind(class_, text, &scratch, &bound);
    if (result == FB_OK) {
        check_back(class_, &bound);
    }
    result = fb_class_key_tags(class_, text, &scratch, &loaded);
    FB_ASSERT(result == FB_OK || result == FB_EINVAL);
    if (fb_catalog_index_tag(catalog, text, &tag) == FB_OK) {
        // The glob without its star is the shortest key under it.
        fb_loaded_release(&loaded);
        text.len--;
        FB_ASSERT(fb_catalog_key_tags(catalog, text, &loaded) == FB_OK && loaded.tag_count == 1);
        FB_ASSERT(fb_str_equal(fb_loaded_tag_at(&loaded, 0), fb_buf_str(&tag)));
    }
    fb_loaded_release(&loaded);
    fb_buf_release(&scratch);
    fb_buf_release(&tag);
}

static void check_sets(const fb_class *class_, const input *in) {
    static set sets[SETS_MAX];
    size_t made = 0, at = 2;
    while (made < SETS_MAX && class_->param_count > 0 && at + class_->param_count <= in->count) {
        fb_param params[FB_CLASS_PARAMS_MAX];
        fb_error error = {0};
        for (size_t i = 0; i < class_->param_count; i++) {
            params[i] = (fb_param){class_->params[i].name, in->lines[at++]};
        }
        set *to = &sets[made];
        int result =
            fb_class_bind(class_, params, class_->param_count, &to->scratch, &to->bound, &error);
        FB_ASSERT(result == FB_OK || (result == FB_EINVAL && error.text[0] != '\0'));
        if (result == FB_OK) {
            check_back(class_, &to->bound);
            made++;
        }
    }
    for (size_t i = 0; i < made; i++) {
        for (size_t j = 0; j < i; j++) {
            FB_ASSERT(fb_str_equal(sets[i].bound.key, sets[j].bound.key) ==
                      same_values(&sets[i].bound, &sets[j].bound));
        }
    }
    for (size_t i = 0; i < SETS_MAX; i++) {
        fb_buf_release(&sets[i].scratch);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {.count = 0};
    fb_class *classes[2] = {NULL, NULL};
    fb_catalog *catalog = NULL;
    read_lines(data, size, &in);
    classes[1] = make_class(&in);
    if (classes[1] == NULL) {
        return 0;
    }
    int result = fb_class_new_plain(&classes[0]);
    FB_ASSERT(result == FB_OK);
    result = fb_catalog_new(classes, 2, &catalog, NULL);
    FB_ASSERT(result == FB_OK);
    check_sets(classes[1], &in);
    check_by_hand(catalog, in.lines[in.count - 1]);
    fb_catalog_free(catalog);
    return 0;
}
