// config/values.h -- one option's value as text, by the option's row: read, shown, described.
//
// `object` is the struct the row's offset counts from. Reading checks type and range and replaces
// what was there; after an error it is as it was.

#ifndef FB_CONFIG_VALUES_H
#define FB_CONFIG_VALUES_H

#include <forebay/base.h>

#include "base/buf.h"
#include "base/option.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_VALUE_TEXT_MAX = 65535,    // bytes in a text whose row states no length
    FB_VALUE_LIST_MAX = 10000,    // items where the row states no number
    FB_VALUE_SHOWN_SIZE = 80,     // room for what fb_value_shown() writes
    FB_VALUE_EXPECTED_SIZE = 384  // and fb_value_expected()
};

// Whether the value is one text: all but FLAGS, TEXTS, SECTION and NAMED.
bool fb_value_is_single(const fb_option *row);
// FB_OK, FB_ETYPE, FB_ERANGE, FB_ENOMEM. Single values only.
FB_CHECK_RESULT int fb_value_read(const fb_option *row, void *object, fb_str text);
// FLAGS and TEXTS. After FB_ETYPE or FB_ERANGE *wrong is the item at fault, or `count`: there are
// too many.
FB_CHECK_RESULT int fb_value_read_list(const fb_option *row, void *object, const fb_str *items,
                                       size_t count, size_t *wrong);
// Every option of the table at its default: `object` is zeroed. FB_ENOMEM.
FB_CHECK_RESULT int fb_value_defaults(const fb_option *table, void *object);

// Appends the value as reading takes it; lists in YAML's form, "[trim, \"a b\"]". FB_OK, FB_ENOMEM;
// FB_MISS: not set. Not for SECTION and NAMED.
FB_CHECK_RESULT int fb_value_show(const fb_option *row, const void *object, fb_buf *out);
// The same as people may see it: secrets are "***", of an URL user and password.
FB_CHECK_RESULT int fb_value_show_open(const fb_option *row, const void *object, fb_buf *out);
// What is accepted, after "expected": "a duration such as 30s or 1h"; after FB_ERANGE its range.
// Returns `text`, of FB_VALUE_EXPECTED_SIZE bytes.
const char *fb_value_expected(const fb_option *row, int result, char *text);
// "duration", "bytes", "one of text, integer, number" …; of FB_VALUE_EXPECTED_SIZE bytes.
const char *fb_value_unit(const fb_option *row, char *text);

// `bytes` for a message: cut where they are long, control characters escaped. Returns `text`, of
// FB_VALUE_SHOWN_SIZE bytes.
const char *fb_value_shown(fb_str bytes, char *text);
// Whether it is a name: 1 to 64 letters, digits and underscores.
bool fb_value_is_name(fb_str text);
// Whether it is an address as FB_OPTION_ADDRESS has it.
bool fb_value_is_address(fb_str text);

#ifdef __cplusplus
}
#endif

#endif
