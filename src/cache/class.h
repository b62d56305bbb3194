// cache/class.h -- a class as the cache works with it: compiled key pattern, parameters, tags, times.
//
// Threads: immutable once made; any number of readers. Hot path (bind, of_key): no allocation once
// the scratch is warm.

#ifndef FB_CACHE_CLASS_H
#define FB_CACHE_CLASS_H

#include <forebay/cache.h>

#include "base/buf.h"
#include "cache/options.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_CLASS_MAX = 1024, FB_CLASS_PARAMS_MAX = 32, FB_CLASS_PLAIN = 0 };

typedef struct fb_class_param {
    fb_str name;
    fb_param_type type;
    bool required;
    fb_str default_value;
    int64_t min, max;
    bool in_key;   // stands in the key pattern by itself (else it goes into {hash})
} fb_class_param;

typedef struct fb_key_pattern fb_key_pattern;
typedef struct fb_tag_template fb_tag_template;

typedef struct fb_class {
    uint16_t id;             // 0: plain keys. Kept over reloads for the same name.
    uint16_t namespace_id;
    fb_str name;
    fb_str namespace_name;
    fb_class_options options;  // a copy of its own
    fb_class_param *params;    // of the key pattern first, in its order, then the others by name
    size_t param_count;
    fb_key_pattern *pattern;
    fb_tag_template *tags;
    size_t tag_count;
    // The driver's: where its values come from.
    void *source;    // NULL: none
    void *prepared;  // what the source made of the query
} fb_class;

// Compiles. FB_EINVAL with file, line and column of the class in `error`: malformed pattern, adjacent
// parameters, a parameter of the query that is neither in the key nor covered by {hash}, an unknown
// index parameter … `query_params` are the names the query uses (may be NULL, 0: not known yet).
FB_CHECK_RESULT int fb_class_new(const fb_class_options *options, uint16_t id, const fb_str *query_params,
                                 size_t query_param_count, fb_class **class_, fb_error *error);
// The class of plain keys: no pattern, no source.
FB_CHECK_RESULT int fb_class_new_plain(fb_class **class_);
void fb_class_free(fb_class *class_);

// A request's parameters after normalisation and defaults, in the order of class->params, and its key.
typedef struct fb_bound {
    fb_str key;
    fb_param params[FB_CLASS_PARAMS_MAX];
    size_t param_count;
} fb_bound;

// FB_OK: *bound points into `scratch` (cleared first) and `params`. FB_EINVAL: a parameter is
// missing, unknown, given twice, no integer, out of range; the key is too long. Values are kept apart: in
// the key, a separator inside a value is percent-encoded where it would be ambiguous.
FB_CHECK_RESULT int fb_class_bind(const fb_class *class_, const fb_param *params, size_t param_count,
                                  fb_buf *scratch, fb_bound *bound, fb_error *error);
// Takes the parameters back out of a key of this class, where the pattern has no {hash}: for
// warming and explain. FB_OK, or FB_MISS.
FB_CHECK_RESULT int fb_class_unbind(const fb_class *class_, fb_str key, fb_buf *scratch, fb_bound *bound);
bool fb_class_owns(const fb_class *class_, fb_str key);

// The tags that follow from the parameters alone (implicit index tags included), and, with a row,
// those that need it. `field` gives the text of a column; FB_MISS: no such column, or NULL.
// Adds them to `loaded`, each once. FB_OK, FB_ENOMEM, FB_EINVAL (more than FB_TAGS_MAX; too long).
typedef int (*fb_field_fn)(void *row, fb_str name, fb_str *text);
FB_CHECK_RESULT int fb_class_param_tags(const fb_class *class_, const fb_bound *bound, fb_loaded *loaded);
FB_CHECK_RESULT int fb_class_row_tags(const fb_class *class_, const fb_bound *bound, fb_field_fn field,
                                      void *row, fb_loaded *loaded);

// ---- all classes of a configuration

typedef struct fb_catalog fb_catalog;
// Takes the classes over (also after an error); classes[0] is the plain one. FB_EINVAL: two of one name, two patterns that
// one key could match alike.
FB_CHECK_RESULT int fb_catalog_new(fb_class **classes, size_t class_count, fb_catalog **catalog, fb_error *error);
void fb_catalog_free(fb_catalog *catalog);
size_t fb_catalog_count(const fb_catalog *catalog);
const fb_class *fb_catalog_at(const fb_catalog *catalog, size_t index);
const fb_class *fb_catalog_find(const fb_catalog *catalog, fb_str name);     // or NULL
const fb_class *fb_catalog_by_id(const fb_catalog *catalog, uint16_t id);    // or NULL
// The class whose pattern `key` has (longest literal prefix first), else the plain one. Never NULL.
const fb_class *fb_catalog_of_key(const fb_catalog *catalog, fb_str key);
// Whether `glob` stands for one implicit index tag ("recommendations:42:*"): the tag is written to
// *tag. FB_OK or FB_MISS.
FB_CHECK_RESULT int fb_catalog_index_tag(const fb_catalog *catalog, fb_str glob, fb_buf *tag);

#ifdef __cplusplus
}
#endif

#endif
