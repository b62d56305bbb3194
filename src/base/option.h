// base/option.h -- one row of an option table. Each module has its table beside it; config/ reads
// YAML, the environment and paths by them, and the help texts and reference pages are made of them.

#ifndef FB_BASE_OPTION_H
#define FB_BASE_OPTION_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_option_type {
    FB_OPTION_TEXT,       // char *, owned; NULL when not set and no default
    FB_OPTION_PATH,       // char *, owned; relative to the file it stands in
    FB_OPTION_ADDRESS,    // char *, owned: "host:port", "[v6]:port", "unix:/path", "off"
    FB_OPTION_BOOL,       // bool
    FB_OPTION_COUNT,      // uint32_t
    FB_OPTION_INTEGER,    // int64_t
    FB_OPTION_BYTES,      // uint64_t
    FB_OPTION_DURATION,   // int64_t nanoseconds
    FB_OPTION_RATIO,      // double
    FB_OPTION_CHOICE,     // int: place in `choices`
    FB_OPTION_FLAGS,      // uint32_t: bit i for the i-th of `choices`; a list or one word
    FB_OPTION_TEXTS,      // char ** then size_t: a list or one text
    FB_OPTION_SECTION,    // members of the same struct, by the table `inner`
    FB_OPTION_NAMED       // an array of structs then size_t: a map from names to `inner` objects
} fb_option_type;

typedef struct fb_option {
    const char *name;
    fb_option_type type;
    size_t offset;            // of the member in its struct
    const char *default_text; // as YAML would have it; NULL: none
    const char *choices;      // "trim|collapse|casefold"
    int64_t min, max;         // COUNT, INTEGER; DURATION in ns; BYTES; RATIO in thousandths; both 0: any
    bool required;
    bool reloadable;
    const char *environment;  // a variable beside FOREBAY_<PATH>, as "REDIS_URL"; NULL: none
    const char *help;         // one line
    const struct fb_option *inner;
    size_t inner_size;        // NAMED: of the struct
    size_t place_offset;      // where in the struct {uint32_t line, column} of this option go; 0: nowhere
} fb_option;

#ifdef __cplusplus
}
#endif

#endif
