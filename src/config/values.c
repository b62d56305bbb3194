// Values of options, between text and the typed member that the row describes.
//
// Each type is a pair of functions here and nothing elsewhere; the readers of YAML, of the
// environment and of paths bring text and know no type. What is shown is what reading takes, and
// reading it gives the same member: ratios are kept to nine places for that reason, so that a
// decimal text stands for each of them whatever the locale.

#include "config/values.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_LEN_MAX = 64, SHOWN_LEN = 60, ADDRESS_LEN_MAX = 255 };
static const double ratio_places = 1e9;

typedef struct texts {
    char **items;
    size_t count;
} texts;

// ---- words of a choice

// Takes the next word of "trim|collapse|casefold" off the front; false at the end.
static bool next_word(fb_str *words, fb_str *word) {
    if (words->len == 0) {
        return false;
    }
    size_t len = fb_str_find(*words, '|');
    *word = fb_str_make(words->ptr, len);
    size_t used = len < words->len ? len + 1 : len;
    *words = fb_str_make(words->ptr + used, words->len - used);
    return true;
}

static int find_choice(const fb_option *row, fb_str text) {
    fb_str words = fb_str_of(row->choices), word;

    for (int i = 0; next_word(&words, &word); i++) {
        if (fb_str_equal(word, text)) {
            return i;
        }
    }
    return -1;
}

static fb_str choice_at(const fb_option *row, int index) {
    fb_str words = fb_str_of(row->choices), word = {0};

    for (int i = 0; i <= index; i++) {
        bool found = next_word(&words, &word);
        FB_ASSERT(found);
    }
    return word;
}

// ---- reading

static bool has_range(const fb_option *row) {
    return row->min != 0 || row->max != 0;
}

static bool in_range(const fb_option *row, int64_t value) {
    return !has_range(row) || (value >= row->min && value <= row->max);
}

static bool length_fits(const fb_option *row, fb_str text) {
    return has_range(row) ? in_range(row, (int64_t)text.len) : text.len <= FB_VALUE_TEXT_MAX;
}

static int read_text(char **member, fb_str text) {
    // The member is NUL-terminated, so it cannot hold this one.
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        return FB_ETYPE;
    }
    char *copy = fb_mem_text(text);
    if (copy == NULL) {
        return FB_ENOMEM;
    }
    fb_mem_free(*member);
    *member = copy;
    return FB_OK;
}

static int read_bool(bool *member, fb_str text) {
    static const struct {
        fb_str word;
        bool value;
    } words[] = {
        {FB_STR_INIT("true"), true}, {FB_STR_INIT("false"), false}, {FB_STR_INIT("yes"), true},
        {FB_STR_INIT("no"), false},  {FB_STR_INIT("on"), true},     {FB_STR_INIT("off"), false},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (fb_str_same(text, words[i].word)) {
            *member = words[i].value;
            return FB_OK;
        }
    }
    return FB_ETYPE;
}

static int read_number(const fb_option *row, void *member, fb_str text) {
    int64_t value = 0;

    int result = fb_str_int(text, &value);
    if (result != FB_OK) {
        return result;
    }
    if (row->type == FB_OPTION_INTEGER) {
        if (!in_range(row, value)) {
            return FB_ERANGE;
        }
        *(int64_t *)member = value;
        return FB_OK;
    }
    if (value < 0 || value > UINT32_MAX || !in_range(row, value)) {
        return FB_ERANGE;
    }
    *(uint32_t *)member = (uint32_t)value;
    return FB_OK;
}

static int read_bytes(const fb_option *row, uint64_t *member, fb_str text) {
    uint64_t value = 0;

    int result = fb_units_bytes(text, &value);
    if (result != FB_OK) {
        return result;
    }
    if (value > INT64_MAX || !in_range(row, (int64_t)value)) {
        return FB_ERANGE;
    }
    *member = value;
    return FB_OK;
}

static int read_duration(const fb_option *row, int64_t *member, fb_str text) {
    int64_t value = 0;

    int result = fb_units_duration(text, &value);
    if (result != FB_OK) {
        return result;
    }
    if (!in_range(row, value)) {
        return FB_ERANGE;
    }
    *member = value;
    return FB_OK;
}

static int read_ratio(const fb_option *row, double *member, fb_str text) {
    double value = 0;
    double scale = 1;

    if (fb_str_ends(text, FB_STR("%"))) {
        text.len--;
        scale = 100;
    }
    int result = fb_str_double(text, &value);
    if (result != FB_OK) {
        return result;
    }
    value = round(value / scale * ratio_places) / ratio_places;
    if (value < 0 || (has_range(row) && (value < (double)row->min / 1000 ||
                                         value > (double)row->max / 1000))) {
        return FB_ERANGE;
    }
    *member = value + 0.0;  // "-0" is 0
    return FB_OK;
}

static int read_choice(const fb_option *row, int *member, fb_str text) {
    int found = find_choice(row, text);

    if (found < 0) {
        return FB_ETYPE;
    }
    *member = found;
    return FB_OK;
}

bool fb_value_is_single(const fb_option *row) {
    return row->type != FB_OPTION_FLAGS && row->type != FB_OPTION_TEXTS &&
           row->type != FB_OPTION_SECTION && row->type != FB_OPTION_NAMED;
}

int fb_value_read(const fb_option *row, void *object, fb_str text) {
    void *member = (char *)object + row->offset;

    switch (row->type) {
        case FB_OPTION_TEXT:
            return length_fits(row, text) ? read_text(member, text) : FB_ERANGE;
        case FB_OPTION_PATH:
            if (text.len == 0) {
                return FB_ETYPE;
            }
            return length_fits(row, text) ? read_text(member, text) : FB_ERANGE;
        case FB_OPTION_ADDRESS:
            return fb_value_is_address(text) ? read_text(member, text) : FB_ETYPE;
        case FB_OPTION_BOOL:
            return read_bool(member, text);
        case FB_OPTION_COUNT:
        case FB_OPTION_INTEGER:
            return read_number(row, member, text);
        case FB_OPTION_BYTES:
            return read_bytes(row, member, text);
        case FB_OPTION_DURATION:
            return read_duration(row, member, text);
        case FB_OPTION_RATIO:
            return read_ratio(row, member, text);
        case FB_OPTION_CHOICE:
            return read_choice(row, member, text);
        default:
            FB_ASSERT(!"a single value");
            return FB_ETYPE;
    }
}

static void free_texts(texts *list) {
    for (size_t i = 0; i < list->count; i++) {
        fb_mem_free(list->items[i]);
    }
    fb_mem_free(list->items);
}

static int read_texts(char **member, const fb_str *items, size_t count, size_t *wrong) {
    texts list = {0};
    int result = FB_OK;

    if (count > 0) {
        list.items = fb_mem_zero(count, sizeof(char *));
        if (list.items == NULL) {
            return FB_ENOMEM;
        }
    }
    for (; list.count < count && result == FB_OK; list.count++) {
        fb_str item = items[list.count];
        *wrong = list.count;
        result = item.len == 0 ? FB_ETYPE
                               : (item.len > FB_VALUE_TEXT_MAX
                                      ? FB_ERANGE
                                      : read_text(&list.items[list.count], item));
    }
    if (result != FB_OK) {
        free_texts(&list);
        return result;
    }
    texts old;
    memcpy(&old, member, sizeof(old));
    free_texts(&old);
    memcpy(member, &list, sizeof(list));
    return FB_OK;
}

static int read_flags(const fb_option *row, uint32_t *member, const fb_str *items, size_t count,
                      size_t *wrong) {
    uint32_t flags = 0;

    for (size_t i = 0; i < count; i++) {
        int found = find_choice(row, items[i]);
        if (found < 0) {
            *wrong = i;
            return FB_ETYPE;
        }
        flags |= UINT32_C(1) << found;
    }
    *member = flags;
    return FB_OK;
}

int fb_value_read_list(const fb_option *row, void *object, const fb_str *items, size_t count,
                       size_t *wrong) {
    void *member = (char *)object + row->offset;

    FB_ASSERT(row->type == FB_OPTION_FLAGS || row->type == FB_OPTION_TEXTS);
    if (has_range(row) ? !in_range(row, (int64_t)count) : count > FB_VALUE_LIST_MAX) {
        *wrong = count;
        return FB_ERANGE;
    }
    return row->type == FB_OPTION_FLAGS ? read_flags(row, member, items, count, wrong)
                                        : read_texts(member, items, count, wrong);
}

static int set_defaults(const fb_option *table, void *object) {
    int result = FB_OK;

    for (const fb_option *row = table; row->name != NULL && result == FB_OK; row++) {
        if (row->type == FB_OPTION_SECTION) {
            result = set_defaults(row->inner, (char *)object + row->offset);
        } else if (fb_value_is_single(row) && row->default_text != NULL) {
            result = fb_value_read(row, object, fb_str_of(row->default_text));
            FB_ASSERT(result == FB_OK || result == FB_ENOMEM);
        }
        // Lists are empty by default: the object is zeroed.
    }
    return result;
}

int fb_value_defaults(const fb_option *table, void *object) {
    int result = set_defaults(table, object);

    if (result != FB_OK) {
        fb_option_release(table, object);
    }
    return result;
}

// ---- showing

// By integers, since printf() would write the locale's decimal comma.
static const char *ratio_text(double value, char *text, size_t text_size) {
    uint64_t parts = (uint64_t)llround(value * ratio_places);
    int len = snprintf(text, text_size, "%" PRIu64 ".%09" PRIu64, parts / UINT64_C(1000000000),
                       parts % UINT64_C(1000000000));

    while (text[len - 1] == '0') {
        len--;
    }
    len -= text[len - 1] == '.';
    text[len] = '\0';
    return text;
}

// Whether YAML takes a character as it is in double quotes, and as nothing but itself: no control
// character, none that counts as the end of a line, no byte order mark.
static bool is_plain_in_yaml(int32_t code) {
    return code >= 0x20 && (code < 0x7F || code > 0x9F) && code != '"' && code != '\\' &&
           code != 0x2028 && code != 0x2029 && code != 0xFEFF && code != 0xFFFE && code != 0xFFFF;
}

// A text in YAML's double quotes, which can hold whatever came out of a YAML text.
static int show_quoted(fb_str text, fb_buf *out) {
    int result = fb_buf_byte(out, '"');
    size_t used = 0;

    for (size_t i = 0; i < text.len && result == FB_OK; i += used) {
        fb_str rest = {text.ptr + i, text.len - i};
        int32_t code = fb_utf8_next(rest, &used);
        if (is_plain_in_yaml(code)) {
            result = fb_buf_append(out, fb_str_make(rest.ptr, used));
        } else if (code == '"' || code == '\\') {
            result = fb_buf_printf(out, "\\%c", (char)code);
        } else {
            FB_ASSERT(code >= 0);
            result = fb_buf_printf(out, "\\u%04x", (unsigned)code);
        }
    }
    return result == FB_OK ? fb_buf_byte(out, '"') : result;
}

static int show_texts(const void *member, fb_buf *out) {
    texts list;
    int result = fb_buf_byte(out, '[');

    memcpy(&list, member, sizeof(list));
    for (size_t i = 0; i < list.count && result == FB_OK; i++) {
        if (i > 0) {
            result = fb_buf_append(out, FB_STR(", "));
        }
        if (result == FB_OK) {
            result = show_quoted(fb_str_of(list.items[i]), out);
        }
    }
    return result == FB_OK ? fb_buf_byte(out, ']') : result;
}

static int show_flags(const fb_option *row, uint32_t flags, fb_buf *out) {
    fb_str words = fb_str_of(row->choices), word;
    bool first = true;
    int result = fb_buf_byte(out, '[');

    for (uint32_t bit = 1; result == FB_OK && next_word(&words, &word); bit <<= 1) {
        if ((flags & bit) != 0) {
            result = fb_buf_printf(out, "%s%.*s", first ? "" : ", ", FB_STR_ARG(word));
            first = false;
        }
    }
    return result == FB_OK ? fb_buf_byte(out, ']') : result;
}

static int show_text(const char *text, fb_buf *out) {
    return text != NULL ? fb_buf_append(out, fb_str_of(text)) : FB_MISS;
}

// A number without a default is 0 until it is set, which it cannot be set to.
static bool is_unset(const fb_option *row, const void *member) {
    bool optional = row->default_text == NULL && row->min > 0;

    return optional && ((row->type == FB_OPTION_COUNT && *(const uint32_t *)member == 0) ||
                        (row->type == FB_OPTION_DURATION && *(const int64_t *)member == 0));
}

int fb_value_show(const fb_option *row, const void *object, fb_buf *out) {
    const void *member = (const char *)object + row->offset;
    char text[64];

    if (is_unset(row, member)) {
        return FB_MISS;
    }
    switch (row->type) {
        case FB_OPTION_TEXT:
        case FB_OPTION_PATH:
        case FB_OPTION_ADDRESS:
            return show_text(*(char *const *)member, out);
        case FB_OPTION_BOOL:
            return show_text(*(const bool *)member ? "true" : "false", out);
        case FB_OPTION_COUNT:
            return fb_buf_printf(out, "%" PRIu32, *(const uint32_t *)member);
        case FB_OPTION_INTEGER:
            return fb_buf_printf(out, "%" PRId64, *(const int64_t *)member);
        case FB_OPTION_BYTES:
            return show_text(
                fb_units_show_bytes(*(const uint64_t *)member, text, sizeof(text)), out);
        case FB_OPTION_DURATION:
            return show_text(
                fb_units_show_duration(*(const int64_t *)member, text, sizeof(text)), out);
        case FB_OPTION_RATIO:
            return show_text(ratio_text(*(const double *)member, text, sizeof(text)), out);
        case FB_OPTION_CHOICE:
            return fb_buf_append(out, choice_at(row, *(const int *)member));
        case FB_OPTION_FLAGS:
            return show_flags(row, *(const uint32_t *)member, out);
        case FB_OPTION_TEXTS:
            return show_texts(member, out);
        default:
            FB_ASSERT(!"a value");
            return FB_MISS;
    }
}

// ---- describing

// "a, b, c" of "a|b|c", after what stands before.
static const char *list_choices(const fb_option *row, const char *before, char *text) {
    fb_str words = fb_str_of(row->choices), word;
    size_t len = (size_t)snprintf(text, FB_VALUE_EXPECTED_SIZE, "%s", before);

    for (bool first = true; next_word(&words, &word); first = false) {
        len += (size_t)snprintf(text + len, FB_VALUE_EXPECTED_SIZE - len, "%s%.*s",
                                first ? "" : ", ", FB_STR_ARG(word));
        FB_ASSERT(len < FB_VALUE_EXPECTED_SIZE);
    }
    return text;
}

static const char *expected_range(const fb_option *row, char *text) {
    const size_t size = FB_VALUE_EXPECTED_SIZE;
    char low[64], high[64];

    switch (row->type) {
        case FB_OPTION_BYTES:
            (void)snprintf(text, size, "a size from %s to %s",
                           fb_units_show_bytes((uint64_t)row->min, low, sizeof(low)),
                           fb_units_show_bytes((uint64_t)row->max, high, sizeof(high)));
            break;
        case FB_OPTION_DURATION:
            (void)snprintf(text, size, "a duration from %s to %s",
                           fb_units_show_duration(row->min, low, sizeof(low)),
                           fb_units_show_duration(row->max, high, sizeof(high)));
            break;
        case FB_OPTION_RATIO:
            (void)snprintf(text, size, "a number from %s to %s",
                           ratio_text((double)row->min / 1000, low, sizeof(low)),
                           ratio_text((double)row->max / 1000, high, sizeof(high)));
            break;
        case FB_OPTION_TEXT:
        case FB_OPTION_PATH:
            (void)snprintf(text, size, "a text of %" PRId64 " to %" PRId64 " bytes", row->min,
                           has_range(row) ? row->max : FB_VALUE_TEXT_MAX);
            break;
        case FB_OPTION_TEXTS:
            (void)snprintf(text, size, "a list of %" PRId64 " to %" PRId64 " texts", row->min,
                           has_range(row) ? row->max : FB_VALUE_LIST_MAX);
            break;
        case FB_OPTION_INTEGER:
            (void)snprintf(text, size, "a whole number from %" PRId64 " to %" PRId64,
                           has_range(row) ? row->min : INT64_MIN,
                           has_range(row) ? row->max : INT64_MAX);
            break;
        default:
            (void)snprintf(text, size, "a whole number from %" PRId64 " to %" PRId64, row->min,
                           has_range(row) ? row->max : (int64_t)UINT32_MAX);
            break;
    }
    return text;
}

const char *fb_value_expected(const fb_option *row, int result, char *text) {
    // By type; NULL: made of the row.
    static const char *const phrases[] = {
        [FB_OPTION_TEXT] = "a text",
        [FB_OPTION_PATH] = "a path",
        [FB_OPTION_ADDRESS] =
            "an address such as 127.0.0.1:6380, [::1]:6380, unix:/run/forebay.sock or off",
        [FB_OPTION_BOOL] = "true or false",
        [FB_OPTION_BYTES] = "a size such as 64MiB or 2GiB",
        [FB_OPTION_DURATION] = "a duration such as 30s or 1h",
        [FB_OPTION_RATIO] = "a number such as 0.1 or 10%",
        [FB_OPTION_TEXTS] = "a list of texts",
        [FB_OPTION_SECTION] = "a map of options",
        [FB_OPTION_NAMED] = "a map of names",
    };

    if (row->type == FB_OPTION_CHOICE) {
        return list_choices(row, "one of ", text);
    }
    if (row->type == FB_OPTION_FLAGS) {
        return list_choices(row, "a list of ", text);
    }
    if (row->type == FB_OPTION_COUNT || (row->type == FB_OPTION_INTEGER && has_range(row)) ||
        (result == FB_ERANGE && row->type != FB_OPTION_NAMED)) {
        return expected_range(row, text);
    }
    (void)snprintf(text, FB_VALUE_EXPECTED_SIZE, "%s",
                   row->type == FB_OPTION_INTEGER ? "a whole number" : phrases[row->type]);
    return text;
}

const char *fb_value_unit(const fb_option *row, char *text) {
    static const char *const units[] = {
        [FB_OPTION_TEXT] = "text",         [FB_OPTION_PATH] = "path",
        [FB_OPTION_ADDRESS] = "address",   [FB_OPTION_BOOL] = "true or false",
        [FB_OPTION_COUNT] = "number",      [FB_OPTION_INTEGER] = "number",
        [FB_OPTION_BYTES] = "size",        [FB_OPTION_DURATION] = "duration",
        [FB_OPTION_RATIO] = "ratio",       [FB_OPTION_TEXTS] = "list of texts",
        [FB_OPTION_SECTION] = "options",   [FB_OPTION_NAMED] = "map",
    };

    switch (row->type) {
        case FB_OPTION_CHOICE:
            return list_choices(row, "one of ", text);
        case FB_OPTION_FLAGS:
            return list_choices(row, "list of ", text);
        default:
            (void)snprintf(text, FB_VALUE_EXPECTED_SIZE, "%s", units[row->type]);
            return text;
    }
}

const char *fb_value_shown(fb_str bytes, char *text) {
    size_t len = 0;
    size_t used = 0;

    for (size_t i = 0; i < bytes.len; i += used) {
        fb_str rest = {bytes.ptr + i, bytes.len - i};
        int32_t code = fb_utf8_next(rest, &used);
        bool printable = code >= 0x20 && (code < 0x7F || code >= 0xA0);
        if (len + (printable ? used : 4) > SHOWN_LEN) {
            (void)snprintf(text + len, FB_VALUE_SHOWN_SIZE - len, "…");
            return text;
        }
        if (printable) {
            memcpy(text + len, rest.ptr, used);
            len += used;
        } else if (code == '\n') {
            len += (size_t)snprintf(text + len, FB_VALUE_SHOWN_SIZE - len, "\\n");
        } else {
            used = 1;
            len += (size_t)snprintf(text + len, FB_VALUE_SHOWN_SIZE - len, "\\x%02x",
                                    (unsigned char)rest.ptr[0]);
        }
    }
    text[len] = '\0';
    return text;
}

// ---- names and addresses

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

bool fb_value_is_name(fb_str text) {
    if (text.len == 0 || text.len > NAME_LEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_letter(text.ptr[i]) && !is_digit(text.ptr[i]) && text.ptr[i] != '_') {
            return false;
        }
    }
    return true;
}

static bool is_port(fb_str text) {
    int64_t port = -1;

    return fb_str_int(text, &port) == FB_OK && port >= 0 && port <= 65535;
}

static bool is_host(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (!is_letter(byte) && !is_digit(byte) && byte != '.' && byte != '-' && byte != '_') {
            return false;
        }
    }
    return text.len > 0;
}

// What stands between the brackets: whether it is a real one, the system says when it is used.
static bool is_v6(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i];
        if (!is_letter(byte) && !is_digit(byte) && byte != ':' && byte != '.' && byte != '%') {
            return false;
        }
    }
    return fb_str_find(text, ':') < text.len;
}

bool fb_value_is_address(fb_str text) {
    if (text.len > ADDRESS_LEN_MAX) {
        return false;
    }
    if (fb_str_equal(text, FB_STR("off"))) {
        return true;
    }
    if (fb_str_starts(text, FB_STR("unix:"))) {
        return text.len > 5 && memchr(text.ptr, '\0', text.len) == NULL;
    }
    if (fb_str_starts(text, FB_STR("["))) {
        size_t end = fb_str_find(text, ']');
        return end + 1 < text.len && text.ptr[end + 1] == ':' &&
               is_v6(fb_str_make(text.ptr + 1, end - 1)) &&
               is_port(fb_str_make(text.ptr + end + 2, text.len - end - 2));
    }
    size_t colon = fb_str_find(text, ':');
    return colon < text.len && is_host(fb_str_make(text.ptr, colon)) &&
           is_port(fb_str_make(text.ptr + colon + 1, text.len - colon - 1));
}
