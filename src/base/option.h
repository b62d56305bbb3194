// base/option.h -- one row of an option table. Each module has its table beside it; config/ reads
// YAML, the environment and paths by them, and the help texts and reference pages are made of them.
//
// A table ends with a row whose name is NULL. It describes one struct: `offset` is the member's
// place in it, and the type says what the member is. Members that are no options (a place in a
// file, say) are plain data, except the two that an element of NAMED has: its name and its file.

#ifndef FB_BASE_OPTION_H
#define FB_BASE_OPTION_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_option_type {
    FB_OPTION_TEXT,      // char *, owned; NULL when not set and no default
    FB_OPTION_PATH,      // char *, owned; relative to the file it stands in
    FB_OPTION_ADDRESS,   // char *, owned: "host:port", "[v6]:port", "unix:/path", "off"
    FB_OPTION_BOOL,      // bool
    FB_OPTION_COUNT,     // uint32_t
    FB_OPTION_INTEGER,   // int64_t
    FB_OPTION_BYTES,     // uint64_t
    FB_OPTION_DURATION,  // int64_t nanoseconds
    FB_OPTION_RATIO,     // double, >= 0, kept to nine decimal places: "0.1" or "10%"
    FB_OPTION_CHOICE,    // int: place in `choices`
    FB_OPTION_FLAGS,     // uint32_t: bit i for the i-th of `choices`; a list or one word
    FB_OPTION_TEXTS,     // char **, then size_t: a list or one text
    FB_OPTION_SECTION,   // members of the same struct, or of one that it has inside, by `inner`
    FB_OPTION_NAMED      // array of structs, then size_t: a map from names to `inner` objects, each
                         // with its name (char *, owned) as the first member
} fb_option_type;

typedef enum fb_option_secret {
    FB_OPTION_OPEN,
    FB_OPTION_SECRET,     // the whole: "***"
    FB_OPTION_SECRET_URL  // user and password: "redis://***@host"
} fb_option_secret;

typedef struct fb_option {
    const char *name;
    fb_option_type type;
    size_t offset;             // of the member in its struct; SECTION: what `inner` counts from
    const char *default_text;  // as YAML would have it; NULL: none
    const char *choices;       // "trim|collapse|casefold"
    // COUNT, INTEGER; DURATION in ns; BYTES; RATIO in thousandths; TEXT: its length in bytes;
    // TEXTS, NAMED: how many. Both 0: any, up to what config/ takes at all.
    int64_t min, max;
    bool required;
    bool reloadable;                // takes effect without a restart
    fb_option_secret secret;        // TEXT: what of it is never shown
    const char *help;               // one line
    const struct fb_option *inner;  // SECTION, NAMED
    size_t inner_size;              // NAMED: of the struct
    size_t place_offset;  // {uint32_t line, column} where it stands, in the struct (in the inner
                          // one, of NAMED); 0: nowhere
    size_t file_offset;   // NAMED: char *, owned, in the inner struct: the file; 0: nowhere
} fb_option;

// Frees what the members point to and zeroes those pointers and counts; not the struct, nor what a
// NAMED element's own table does not know (its name and file the caller of the outer one frees).
void fb_option_release(const fb_option *table, void *object);
// Makes *to, `size` bytes, a copy of *from with members of its own; name and file, of a NAMED
// element, are still those of *from. FB_ENOMEM: *to has nothing to release.
FB_CHECK_RESULT int fb_option_copy(const fb_option *table, size_t size, const void *from, void *to);

#ifdef __cplusplus
}
#endif

#endif
