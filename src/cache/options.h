// cache/options.h -- what a class can be told: plain data, filled by the configuration.
// The table beside it (cache/options.c) gives each option its name, type, unit, default, range and
// one line of help; validation, `--help`, CONFIG GET and the reference page derive from it.

#ifndef FB_CACHE_OPTIONS_H
#define FB_CACHE_OPTIONS_H

#include <forebay/base.h>

#include "base/option.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {  // `normalise`, applied to text parameters in this order
    FB_NORMALISE_TRIM = 1,
    FB_NORMALISE_COLLAPSE = 2,  // runs of white space become one space
    FB_NORMALISE_CASEFOLD = 4,
};
typedef enum fb_digest { FB_DIGEST_XXH128, FB_DIGEST_MD5 } fb_digest;
typedef enum fb_param_type { FB_PARAM_TEXT, FB_PARAM_INTEGER, FB_PARAM_NUMBER } fb_param_type;

typedef struct fb_param_options {
    char *name;
    int type;             // fb_param_type
    char *default_text;   // NULL: the parameter is required
    int64_t min, max;     // of integers; INT64_MIN and INT64_MAX: none
} fb_param_options;

typedef enum fb_order { FB_ORDER_MEMORY_FIRST, FB_ORDER_SHARED_FIRST } fb_order;
typedef enum fb_layout { FB_LAYOUT_FOREBAY, FB_LAYOUT_PLAIN } fb_layout;

typedef struct fb_class_options {
    char *name;
    char *namespace_name;      // `namespace`, "default"
    char *key;                 // key pattern: "search:{word}:{page}", "api:{hash}"
    uint32_t normalise;
    int digest;                // fb_digest: what {hash} is made with
    char *source;              // name of a source; NULL: callers bring values or loaders
    char *query;               // what the source is asked; parameters as :name
    char *batch_query;         // the same for many: the parameter named by batch_by is a JSON array
    char *batch_by;            // the parameter, and the column that says whose row it is
    bool one;                  // one row → an object (none → negative); else an array
    int64_t ttl_ns;            // in the shared tier
    int64_t memory_ttl_ns;     // in memory; at most ttl
    int64_t negative_ttl_ns;   // how long "does not exist" is believed; 0: not kept
    double jitter;             // lifetimes are shortened by a random share up to this (0 … 0.5)
    int64_t stale_ttl_ns;      // after that: served stale while one refresh runs
    int64_t fallback_ttl_ns;   // after that: served only when the source fails; 0: never
    int64_t soft_timeout_ns;   // with something stale at hand, wait for the load this long at most
    int64_t hard_timeout_ns;   // wait at most
    uint32_t waiters_max;      // per key
    double early_beta;         // XFetch's β; 0: no early refresh
    double early_budget;       // early refreshes are at most this share of ordinary loads
    int64_t batch_wait_ns;     // misses of concurrent callers collect this long; 0: not at all
    uint32_t batch_max;        // keys in one query at the most
    int order;                 // fb_order
    int layout;                // fb_layout
    int degraded;              // fb_degraded (cache/coherent.h)
    int64_t degraded_ttl_ns;   // with FB_DEGRADED_CAP_TTL
    uint64_t compress_above;   // bytes from which values are compressed in the shared tier; 0: never
    char **tags;               // templates "section:{section}": from the parameters or the row
    size_t tag_count;
    char **index;              // parameters whose values can be invalidated by prefix in O(1)
    size_t index_count;
    fb_param_options *parameters;  // only what differs from "text, required"
    size_t parameter_count;
    char *warm_query;          // each row is one set of parameters, loaded at start
    uint32_t warm_top;         // the n most-read keys are loaded again when they go
    uint32_t line, column;     // where the class stands in its file; 0: not from a file
    uint32_t key_line, key_column;  // and its options
    uint32_t query_line, query_column;
    uint32_t batch_query_line, batch_query_column;
    uint32_t warm_query_line, warm_query_column;
    uint32_t tags_line, tags_column;
    uint32_t index_line, index_column;
    char *file;
} fb_class_options;

extern const fb_option fb_class_options_table[];
extern const fb_option fb_param_options_table[];

// Frees what the members point to, not the struct, and zeroes them.
void fb_class_options_release(fb_class_options *options);
// Makes *to a copy of its own, to be released. FB_ENOMEM: nothing to release.
FB_CHECK_RESULT int fb_class_options_copy(const fb_class_options *from, fb_class_options *to);

#ifdef __cplusplus
}
#endif

#endif
