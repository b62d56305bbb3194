// node/cache_words.h -- what the words of FB.FETCH, FB.MFETCH, FB.KEY, FB.WARM and FB.INVALIDATE ask
// for. Two have to know: the verb itself, and who asks beforehand whether its user may reach the keys
// (node/user_keys.c); so the words are read in one place.
//
// Each says in call->reply what is wrong with them and returns false then. Nothing is copied: what is
// read points into the call's words and into itself. Threads: any.

#ifndef FB_NODE_CACHE_WORDS_H
#define FB_NODE_CACHE_WORDS_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_fetch_words {
    fb_request request;
    fb_param params[FB_COMMAND_PARAMS_MAX];  // the request's
    bool with_meta;
} fb_fetch_words;

// [REFRESH] [TIMEOUT ms] [MINSEQ token] [WITHMETA] [CLASS] class [param value ...]
bool fb_cache_words_fetch(fb_command_call *call, fb_fetch_words *words);
// [CLASS] class [param value ...]
bool fb_cache_words_key(fb_command_call *call, fb_fetch_words *words);

typedef struct fb_mfetch_words {
    fb_request request;  // of all rows, but for the parameters
    bool with_meta;
    const fb_str *names;   // name_count of them
    const fb_str *values;  // row_count rows of as many
    size_t name_count, row_count;
} fb_mfetch_words;

// The options of FB.FETCH, class names name [name ...] value [value ...]
bool fb_cache_words_mfetch(fb_command_call *call, fb_mfetch_words *words);
// The parameters of one row: name_count of them, at most FB_COMMAND_PARAMS_MAX.
void fb_cache_words_row(const fb_mfetch_words *words, size_t row, fb_param *params);

typedef struct fb_warm_words {
    fb_fetch_words fetch;  // class and parameters
    bool top;              // `count` of those that are read most, instead
    uint32_t count;
} fb_warm_words;

// [CLASS] class [param value ...]; or TOP class count
bool fb_cache_words_warm(fb_command_call *call, fb_warm_words *words);

typedef struct fb_invalidate_words {
    fb_invalidation what;  // but for the name
    fb_invalidate_options options;
    bool wait_given;
    size_t first_name;  // its place among the words; call->arg_count: there is none (ALL)
} fb_invalidate_words;

// [SOFT] [WAIT …] [TIMEOUT ms] [SRCVER version] KEY|PATTERN|TAG|CLASS|NAMESPACE name [name ...], or ALL
bool fb_cache_words_invalidate(fb_command_call *call, fb_invalidate_words *words);

#ifdef __cplusplus
}
#endif

#endif
