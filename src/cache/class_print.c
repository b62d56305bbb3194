// What a class's values follow from, as one number. Each part is hashed with the hash of those
// before it as the seed, and lists begin with their length, so that no two orders of the same bytes
// are one.
//
// What a query is given for a parameter depends on its type; what stands in the key, on its
// default. A query for many gives what that for one does, so it does not count; nor does an index,
// which changes how entries are found and not what is in them (catalog.c, adopt.c).

#include "cache/class.h"

#include "base/hash.h"
#include "base/str.h"

static uint64_t add(uint64_t print, const char *text) {
    // A text that is not there differs from an empty one.
    return fb_hash64(text != NULL ? fb_str_of(text) : FB_STR("\0"), print);
}

static uint64_t add_number(uint64_t print, uint64_t number) {
    return fb_hash64(fb_str_make((const char *)&number, sizeof number), print);
}

static uint64_t add_texts(uint64_t print, char **texts, size_t count) {
    print = add_number(print, count);
    for (size_t i = 0; i < count; i++) {
        print = add(print, texts[i]);
    }
    return print;
}

uint64_t fb_class_print(const fb_class *class_) {
    const fb_class_options *options = &class_->options;
    uint64_t print = add_number(0, class_->source_print);
    print = add(print, options->key);
    print = add(print, options->source);
    print = add(print, options->query);
    print = add_number(print, options->normalise);
    print = add_number(print, (uint64_t)options->digest);
    print = add_number(print, options->one);
    print = add_number(print, options->parameter_count);
    for (size_t i = 0; i < options->parameter_count; i++) {
        const fb_param_options *param = &options->parameters[i];
        print = add(print, param->name);
        print = add_number(print, (uint64_t)param->type);
        print = add(print, param->default_text);
    }
    return add_texts(print, options->tags, options->tag_count);
}
