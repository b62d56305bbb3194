// cache/class.h -- a class as the cache works with it: compiled key pattern, parameters, tags,
// times.
//
// Threads: immutable once in a catalogue; any number of readers. Hot path (bind, of_key): no
// allocation once the scratch is warm.
//
// Key patterns. Text and `{parameter}`s: "search:{word}:{page}"; `{{` and `}}` stand for braces.
// Between two parameters there must be text. A value is written as it is where it ends the key;
// elsewhere "%" and the byte that follows the parameter in the pattern are percent-encoded in it
// (upper-case hex), so two different sets of values never give one key. For that reason the text
// after a parameter must not begin with "%", a digit or A to F.
//
// `{hash}` is 32 lower-case hex digits of all parameters that do not stand in the pattern by
// themselves, after normalisation and defaults: for each, sorted by name as bytes, its name and
// then its value, both as <length in decimal>:<bytes> ("4:page1:25:query6:sqlite"), through
// XXH3-128 (seed 0, big-endian) or MD5. With MD5 and a class that declares exactly one such
// parameter, of type text, it is md5(value), as applications make it that use such keys already.
// Neither digest withstands somebody who builds collisions on purpose.
//
// Values. Text is normalised as the class says, in this order: trim (ASCII white space at both
// ends), collapse (each run of ASCII white space becomes one space), casefold (base/utf8.h).
// Integers are written in their one shortest form: "+007" and " 7 " are "7". So are numbers,
// exactly, without rounding: "1.50" is "1.5", "5e2" is "500", "-0" is "0"; they have at most 64
// digits and lie between 1e-308 and 1e308 in size.

#ifndef FB_CACHE_CLASS_H
#define FB_CACHE_CLASS_H

#include <forebay/cache.h>

#include "base/buf.h"
#include "cache/loaded.h"
#include "cache/options.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_CLASS_MAX = 1024, FB_CLASS_PARAMS_MAX = 32, FB_CLASS_PLAIN = 0 };

typedef struct fb_class_param {
    fb_str name;
    fb_param_type type;
    bool required;
    fb_str default_value;  // normalised; where not required
    int64_t min, max;      // of integers
    bool in_key;           // stands in the key pattern by itself (else it goes into {hash})
} fb_class_param;

typedef struct fb_key_pattern fb_key_pattern;
typedef struct fb_tag_template fb_tag_template;
typedef struct fb_catalog fb_catalog;

typedef struct fb_class {
    uint16_t id;            // 0: plain keys. Kept over reloads for the same name.
    uint16_t namespace_id;  // the catalogue's: one number for one name, "default" is 0
    fb_str name;            // empty for plain keys
    fb_str namespace_name;
    fb_class_options options;  // a copy of its own
    fb_class_param *params;    // of the key pattern first, in its order, then the others by name
    size_t param_count;
    // Has {hash}, no query, and declares no parameter that {hash} would cover: takes any.
    bool open;
    fb_key_pattern *pattern;  // NULL for plain keys
    fb_tag_template *tags;
    size_t tag_count;
    void *digest;  // OpenSSL's MD5, where {hash} is made with it
    // The catalogue's, set by fb_catalog_new().
    const fb_catalog *catalog;
    bool contested;  // keys of its shape may belong to a more specific class
    // The driver's: where its values come from.
    void *source;    // NULL: none
    void *prepared;  // what the source made of the query
    uint64_t source_print;  // tells the source from another one of that name
} fb_class;

// Compiles. FB_EINVAL with file, line and column of the class in `error`: malformed pattern,
// adjacent parameters, a parameter of the query that is neither in the key nor covered by {hash},
// an unknown index parameter … `query_params` are the names the query uses (may be NULL, 0: not
// known yet).
FB_CHECK_RESULT int fb_class_new(const fb_class_options *options, uint16_t id,
                                 const fb_str *query_params, size_t query_param_count,
                                 fb_class **class_, fb_error *error);
// The class of plain keys: no pattern, no source, no lifetimes. Its hard time-out and cap on
// waiters (30 s, 10,000) serve callers' own loads under plain keys.
FB_CHECK_RESULT int fb_class_new_plain(fb_class **class_);
void fb_class_free(fb_class *class_);

// A request's parameters after normalisation and defaults, in the order of class->params (those an
// open class was given beside its own follow by name), and its key.
typedef struct fb_bound {
    fb_str key;
    fb_param params[FB_CLASS_PARAMS_MAX];
    size_t param_count;
} fb_bound;

// FB_OK: *bound points into `scratch` (cleared first), `params` and the class. FB_EINVAL: a
// parameter is missing, unknown, given twice, no integer, out of range; the key is too long; or its
// key would be one of another class (patterns that overlap: the more specific one owns it).
// FB_ENOMEM.
FB_CHECK_RESULT int fb_class_bind(const fb_class *class_, const fb_param *params,
                                  size_t param_count, fb_buf *scratch, fb_bound *bound,
                                  fb_error *error);
// Takes the parameters back out of a key of this class, where the pattern has no {hash}: for
// warming and explain. FB_OK: binding them gives this key again. FB_MISS: a key that
// fb_class_bind() never makes. FB_ENOMEM. *bound points into `scratch` (cleared first), `key` and
// the class.
FB_CHECK_RESULT int fb_class_unbind(const fb_class *class_, fb_str key, fb_buf *scratch,
                                    fb_bound *bound);
// The parameters that stand in `key` by themselves, normalised where they can be: also of patterns
// with {hash}, and of keys that fb_class_bind() never makes. None where the class does not own
// `key`. FB_OK or FB_ENOMEM.
FB_CHECK_RESULT int fb_class_params_of_key(const fb_class *class_, fb_str key, fb_buf *scratch,
                                           fb_bound *bound);
// Tells a class from another one whose keys or values differ: two with one print load the same under
// the same keys. Names, times and namespaces do not count.
uint64_t fb_class_print(const fb_class *class_);
// Whether `key` has the shape of the pattern: its text, and 32 hex digits for {hash}. Types and
// normalisation of values do not matter.
bool fb_class_owns(const fb_class *class_, fb_str key);

// ---- tags
//
// Templates as "section:{section}": parameters first, then the row's columns. A template whose
// column is missing or NULL gives no tag for that row. Each adds to `loaded`, each tag once.
// FB_EINVAL, with text in loaded->error: more than FB_TAGS_MAX, or longer than FB_TAG_LEN_MAX.
//
// Index tags are tags that follow from the key alone: for `index: [user_id]` and the pattern
// "recommendations:{user_id}:{hash}" every key "recommendations:42:…" has one, whatever comes
// behind the separator and whoever stored it, so that the glob "recommendations:42:*" is the same
// as that tag. The separator is what follows the parameter up to the next letter or digit, at least
// one byte. Index tags count as tags, and begin with a byte that no other tag may begin with.

// The tags of a load that follow from the parameters alone, index tags included.
FB_CHECK_RESULT int fb_class_param_tags(const fb_class *class_, const fb_bound *bound,
                                        fb_loaded *loaded);
// Those that need a row. `field` gives the text of a column, good until its next call; FB_MISS: no
// such column, or NULL; < 0 is returned as it is.
typedef int (*fb_field_fn)(void *row, fb_str name, fb_str *text);
FB_CHECK_RESULT int fb_class_row_tags(const fb_class *class_, const fb_bound *bound,
                                      fb_field_fn field, void *row, fb_loaded *loaded);
// The tags of a value that somebody stores under `key` without parameters (SET): its index tags,
// and the templates that the parameters standing in the key are enough for. `class_` is
// fb_catalog_of_key()'s, the plain one too. No memory is touched where there are none.
FB_CHECK_RESULT int fb_class_key_tags(const fb_class *class_, fb_str key, fb_buf *scratch,
                                      fb_loaded *loaded);
// The index tags alone.
FB_CHECK_RESULT int fb_catalog_key_tags(const fb_catalog *catalog, fb_str key, fb_loaded *loaded);

// ---- all classes of a configuration

// Takes the classes over (also after an error), not the array; classes[0] is the plain one.
// FB_EINVAL: two of one name; two patterns that are the same but for the names of parameters; more
// than FB_TAGS_MAX tags for an entry, with the indexes of classes whose keys begin like its own.
FB_CHECK_RESULT int fb_catalog_new(fb_class **classes, size_t class_count, fb_catalog **catalog,
                                   fb_error *error);
void fb_catalog_free(fb_catalog *catalog);
// Call it before `catalog` takes the place of `older`: namespaces keep their numbers, and indexes
// that `older` did not have are not used for globs, because entries from before it lack their tags.
void fb_catalog_succeed(fb_catalog *catalog, const fb_catalog *older);
size_t fb_catalog_count(const fb_catalog *catalog);
const fb_class *fb_catalog_at(const fb_catalog *catalog, size_t index);
const fb_class *fb_catalog_find(const fb_catalog *catalog, fb_str name);   // or NULL
const fb_class *fb_catalog_by_id(const fb_catalog *catalog, uint16_t id);  // or NULL
// The class whose pattern `key` has, else the plain one. Never NULL. Of several the most specific:
// the longest text before the first parameter, then most text in all, then the one with {hash},
// then the fewest parameters.
const fb_class *fb_catalog_of_key(const fb_catalog *catalog, fb_str key);
// Whether `glob` stands for one index tag ("recommendations:42:*"): the tag is written to *tag
// (cleared first). Every entry whose key matches the glob has it, and no other, where every fill
// took fb_class_param_tags() and every other store fb_class_key_tags(). FB_OK, FB_MISS, FB_ENOMEM.
FB_CHECK_RESULT int fb_catalog_index_tag(const fb_catalog *catalog, fb_str glob, fb_buf *tag);

#ifdef __cplusplus
}
#endif

#endif
