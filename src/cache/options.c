// The options of a class, one row each. config/ reads, checks, shows and documents a class by these
// rows alone, so an option is added by a member in options.h and a row here.
//
// Two things the rows cannot say: `memory_ttl` follows a `ttl` that is shorter than its default
// (config/settings.c), and what options have to do with each other (config/checks.c).

#include "cache/options.h"

#include <forebay/cache.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "cache/class.h"

// An array and the count right after it are one option to the table.
#define HAS_COUNT(type, items, count) \
    _Static_assert(offsetof(type, count) == offsetof(type, items) + sizeof(void *), #count)
HAS_COUNT(fb_class_options, tags, tag_count);
HAS_COUNT(fb_class_options, index, index_count);
HAS_COUNT(fb_class_options, parameters, parameter_count);
// And so are a line and its column.
#define HAS_COLUMN(line, column) \
    _Static_assert(offsetof(fb_class_options, column) == \
                       offsetof(fb_class_options, line) + sizeof(uint32_t), #line)
HAS_COLUMN(line, column);
HAS_COLUMN(key_line, key_column);
HAS_COLUMN(query_line, query_column);
HAS_COLUMN(batch_query_line, batch_query_column);
HAS_COLUMN(warm_query_line, warm_query_column);
HAS_COLUMN(tags_line, tags_column);
HAS_COLUMN(index_line, index_column);
_Static_assert(offsetof(fb_class_options, name) == 0, "a named element starts with its name");
_Static_assert(offsetof(fb_param_options, name) == 0, "a named element starts with its name");

#define YEAR_NS (INT64_C(365) * 24 * 3600 * FB_NS_PER_S)
#define HOUR_NS (3600 * FB_NS_PER_S)

#define MEMBER(member) .offset = offsetof(fb_param_options, member), .reloadable = true

// INT64_MIN and INT64_MAX as defaults mean "no bound"; the reference page shows them as none.
const fb_option fb_param_options_table[] = {
    {.name = "type", .type = FB_OPTION_CHOICE, MEMBER(type), .choices = "text|integer|number",
     .default_text = "text", .help = "What the values of the parameter are."},
    {.name = "default", .type = FB_OPTION_TEXT, MEMBER(default_text),
     .help = "The value where a caller gives none; without it the parameter is required."},
    {.name = "min", .type = FB_OPTION_INTEGER, MEMBER(min),
     .default_text = "-9223372036854775808", .help = "The least value of an integer."},
    {.name = "max", .type = FB_OPTION_INTEGER, MEMBER(max),
     .default_text = "9223372036854775807", .help = "The greatest value of an integer."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_class_options, member), .reloadable = true
#define PLACE(member) .place_offset = offsetof(fb_class_options, member)

static const fb_option batch_table[] = {
    {.name = "query", .type = FB_OPTION_TEXT, MEMBER(batch_query), PLACE(batch_query_line),
     .min = 1, .max = 65535,
     .help = "The query for many keys at once: the parameter named by `by` is a JSON array of "
             "values."},
    {.name = "by", .type = FB_OPTION_TEXT, MEMBER(batch_by), .min = 1, .max = 64,
     .help = "The parameter that differs within a batch, and the column that says whose row it "
             "is."},
    {.name = "wait", .type = FB_OPTION_DURATION, MEMBER(batch_wait_ns), .default_text = "0",
     .max = FB_NS_PER_S,
     .help = "How long a miss waits for others to join its batch; 0: not at all."},
    {.name = "max", .type = FB_OPTION_COUNT, MEMBER(batch_max), .default_text = "100", .min = 1,
     .max = 10000, .help = "Keys in one batch at most."},
    {.name = NULL},
};

static const fb_option early_table[] = {
    {.name = "beta", .type = FB_OPTION_RATIO, MEMBER(early_beta), .default_text = "1",
     .max = 10 * 1000,
     .help = "How eagerly an entry is refreshed before it expires (the beta of XFetch); 0: never."},
    {.name = "budget", .type = FB_OPTION_RATIO, MEMBER(early_budget), .default_text = "0.1",
     .max = 1000, .help = "Early refreshes are at most this share of the ordinary loads."},
    {.name = NULL},
};

static const fb_option warm_table[] = {
    {.name = "query", .type = FB_OPTION_TEXT, MEMBER(warm_query), PLACE(warm_query_line), .min = 1,
     .max = 65535,
     .help = "Each row it gives is one set of parameters, loaded at start and on request."},
    {.name = "top", .type = FB_OPTION_COUNT, MEMBER(warm_top), .default_text = "0", .max = 100000,
     .help = "This many of the most-read keys are loaded again when they go; 0: none."},
    {.name = NULL},
};

const fb_option fb_class_options_table[] = {
    {.name = "namespace", .type = FB_OPTION_TEXT, MEMBER(namespace_name),
     .default_text = "default", .min = 1, .max = 64,
     .help = "The namespace of its keys: letters, digits, `_` and `-`."},
    {.name = "key", .type = FB_OPTION_TEXT, MEMBER(key), PLACE(key_line), .required = true,
     .min = 1, .max = 4096,
     .help = "The key pattern: text and `{parameter}`; `{hash}` stands for a digest of all "
             "parameters not named in it."},
    {.name = "normalise", .type = FB_OPTION_FLAGS, MEMBER(normalise),
     .choices = "trim|collapse|casefold", .default_text = "[]",
     .help = "What is done to text parameters first: white space cut at the ends, runs of it made "
             "one space, letters made small."},
    {.name = "digest", .type = FB_OPTION_CHOICE, MEMBER(digest), .choices = "xxh128|md5",
     .default_text = "xxh128",
     .help = "What `{hash}` is made with; `md5` for keys shared with existing applications."},
    {.name = "parameters", .type = FB_OPTION_NAMED, MEMBER(parameters), .max = FB_CLASS_PARAMS_MAX,
     .inner = fb_param_options_table, .inner_size = sizeof(fb_param_options),
     .help = "Parameters that are not just text that a caller must give."},
    {.name = "source", .type = FB_OPTION_TEXT, MEMBER(source), .min = 1, .max = 64,
     .help = "The source that values come from; without it callers bring values or loaders."},
    {.name = "query", .type = FB_OPTION_TEXT, MEMBER(query), PLACE(query_line), .min = 1,
     .max = 65535, .help = "What the source is asked for one key; parameters stand as `:name`."},
    {.name = "one", .type = FB_OPTION_BOOL, MEMBER(one), .default_text = "false",
     .help = "The answer is one row as an object, and no row means that the key does not exist; "
             "else it is an array of rows."},
    {.name = "batch", .type = FB_OPTION_SECTION, .reloadable = true, .inner = batch_table,
     .help = "Several keys in one query."},
    {.name = "ttl", .type = FB_OPTION_DURATION, MEMBER(ttl_ns), .default_text = "5m",
     .min = FB_NS_PER_MS, .max = YEAR_NS,
     .help = "How long a value is fresh, in the shared tier too."},
    {.name = "memory_ttl", .type = FB_OPTION_DURATION, MEMBER(memory_ttl_ns),
     .default_text = "5m", .min = FB_NS_PER_MS, .max = YEAR_NS,
     .help = "How long it is fresh in memory: at most `ttl`, which it follows where that is "
             "shorter."},
    {.name = "negative_ttl", .type = FB_OPTION_DURATION, MEMBER(negative_ttl_ns),
     .default_text = "30s", .max = YEAR_NS,
     .help = "How long it is believed that a key does not exist; 0: that is not kept."},
    {.name = "jitter", .type = FB_OPTION_RATIO, MEMBER(jitter), .default_text = "0.1", .max = 500,
     .help = "Lifetimes are shortened by a random share up to this, so that keys stored together "
             "do not expire together."},
    {.name = "stale_ttl", .type = FB_OPTION_DURATION, MEMBER(stale_ttl_ns), .default_text = "0",
     .max = YEAR_NS,
     .help = "For how long after `ttl` a stale value is served while one refresh runs."},
    {.name = "fallback_ttl", .type = FB_OPTION_DURATION, MEMBER(fallback_ttl_ns),
     .default_text = "0", .max = YEAR_NS,
     .help = "For how long after that a value is served only when the source fails; 0: never."},
    {.name = "soft_timeout", .type = FB_OPTION_DURATION, MEMBER(soft_timeout_ns),
     .default_text = "0", .max = HOUR_NS,
     .help = "How long a caller waits for a load when a stale value is at hand."},
    {.name = "hard_timeout", .type = FB_OPTION_DURATION, MEMBER(hard_timeout_ns),
     .default_text = "10s", .min = FB_NS_PER_MS, .max = HOUR_NS,
     .help = "How long a caller waits for a load at most."},
    {.name = "waiters_max", .type = FB_OPTION_COUNT, MEMBER(waiters_max), .default_text = "1000",
     .min = 1, .max = 1000000, .help = "Callers that may wait for the load of one key."},
    {.name = "early", .type = FB_OPTION_SECTION, .reloadable = true, .inner = early_table,
     .help = "Refreshing before expiry."},
    {.name = "order", .type = FB_OPTION_CHOICE, MEMBER(order),
     .choices = "memory-first|shared-first", .default_text = "memory-first",
     .help = "Where a value is looked for first. shared-first: what is in memory is not taken while "
             "the shared tier is reached."},
    {.name = "layout", .type = FB_OPTION_CHOICE, MEMBER(layout), .choices = "forebay|plain",
     .default_text = "forebay",
     .help = "How a value stands in the shared tier. plain: under its own key, as its bytes alone, "
             "for other programs."},
    {.name = "degraded", .type = FB_OPTION_CHOICE, MEMBER(degraded),
     .choices = "serve|cap_ttl|bypass", .default_text = "serve",
     .help = "What memory is worth while this node may not have heard of every change: as ever, no "
             "older than `degraded_ttl`, or nothing."},
    {.name = "degraded_ttl", .type = FB_OPTION_DURATION, MEMBER(degraded_ttl_ns),
     .default_text = "10s", .max = YEAR_NS, .help = "See `degraded: cap_ttl`."},
    {.name = "compress_above", .type = FB_OPTION_BYTES, MEMBER(compress_above),
     .default_text = "1KiB", .max = INT64_C(1) << 40,
     .help = "Values of this size and more are compressed in the shared tier; 0: none."},
    {.name = "tags", .type = FB_OPTION_TEXTS, MEMBER(tags), PLACE(tags_line), .default_text = "[]",
     .max = FB_TAGS_MAX,
     .help = "Tags of its entries, 16 of an entry at most: text and `{name}`, a parameter or a "
             "column of its rows."},
    {.name = "index", .type = FB_OPTION_TEXTS, MEMBER(index), PLACE(index_line), .default_text = "[]",
     .max = FB_TAGS_MAX,
     .help = "Parameters of the key by which all keys with one value are invalidated at once."},
    {.name = "warm", .type = FB_OPTION_SECTION, .reloadable = true, .inner = warm_table,
     .help = "Loading before anyone asks."},
    {.name = NULL},
};

void fb_class_options_release(fb_class_options *options) {
    fb_option_release(fb_class_options_table, options);
    fb_mem_free(options->name);
    fb_mem_free(options->file);
    *options = (fb_class_options){0};
}

int fb_class_options_copy(const fb_class_options *from, fb_class_options *to) {
    int result = fb_option_copy(fb_class_options_table, sizeof(*from), from, to);

    if (result != FB_OK) {
        *to = (fb_class_options){0};
        return result;
    }
    to->name = from->name != NULL ? fb_mem_text(fb_str_of(from->name)) : NULL;
    to->file = from->file != NULL ? fb_mem_text(fb_str_of(from->file)) : NULL;
    if ((from->name != NULL && to->name == NULL) || (from->file != NULL && to->file == NULL)) {
        fb_class_options_release(to);
        return FB_ENOMEM;
    }
    return FB_OK;
}
