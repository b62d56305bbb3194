// .env files.
//
// The format has no standard; this is the part that shells and the usual readers agree on. A line
// is NAME=value, with `export` before it or not; blanks around "=" are allowed. A value without
// quotes ends at the line's end or at a "#" after a blank. In single quotes everything stands for
// itself; in double quotes \n, \r, \t, \", \\, \$ and a backslash at a line's end mean something,
// and any other backslash is refused rather than guessed at. Quoted values may hold several lines.
// Nothing is substituted: "$HOME" is five characters.
//
// One pass over the text, with a cursor that counts lines and columns for messages.

#include <forebay/config.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/values.h"

#include <string.h>

enum { SIZE_MAX_BYTES = 1 << 20 };

typedef struct cursor {
    fb_str text;
    size_t at;
    uint32_t line, column;
    fb_error *error;
} cursor;

typedef struct variables {
    char **items;
    size_t count, cap;
} variables;

static bool at_end(const cursor *c) {
    return c->at == c->text.len;
}

// '\0' at the end; a NUL in the text is refused before.
static char look(const cursor *c) {
    return at_end(c) ? '\0' : c->text.ptr[c->at];
}

static char take(cursor *c) {
    char byte = c->text.ptr[c->at++];

    if (byte == '\n') {
        c->line++;
        c->column = 1;
    } else if (at_end(c) || ((unsigned char)c->text.ptr[c->at] & 0xC0) != 0x80) {
        c->column++;
    }
    return byte;
}

static bool at_line_end(const cursor *c) {
    return at_end(c) || look(c) == '\n' ||
           (look(c) == '\r' && c->at + 1 < c->text.len && c->text.ptr[c->at + 1] == '\n');
}

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t';
}

static void skip_blanks(cursor *c) {
    while (is_blank(look(c))) {
        (void)take(c);
    }
}

static void skip_line(cursor *c) {
    while (!at_end(c) && take(c) != '\n') {
    }
}

static int refuse(cursor *c, const cursor *place, const char *text) {
    (void)fb_error_set(c->error, FB_ESYNTAX, "%s", text);
    fb_error_place(c->error, NULL, place->line, place->column);
    return FB_ESYNTAX;
}

static bool is_name_byte(char byte) {
    return fb_value_is_name(fb_str_make(&byte, 1));
}

static fb_str take_name(cursor *c) {
    size_t start = c->at;

    while (is_name_byte(look(c))) {
        (void)take(c);
    }
    return fb_str_make(c->text.ptr + start, c->at - start);
}

static int take_escape(cursor *c, fb_buf *value) {
    static const char from[] = "nrt\"\\$", to[] = "\n\r\t\"\\$";
    cursor place = *c;

    (void)take(c);  // the backslash
    if (!at_end(c) && at_line_end(c)) {
        skip_line(c);
        return FB_OK;
    }
    const char *found = at_end(c) ? NULL : memchr(from, look(c), sizeof(from) - 1);
    if (found == NULL) {
        return refuse(c, &place,
                      "expected one of \\n, \\r, \\t, \\\", \\\\, \\$ after the backslash");
    }
    (void)take(c);
    return fb_buf_byte(value, to[found - from]);
}

static int take_quoted(cursor *c, fb_buf *value) {
    cursor place = *c;
    char quote = take(c);
    int result = FB_OK;

    while (result == FB_OK && !at_end(c) && look(c) != quote) {
        result = quote == '"' && look(c) == '\\' ? take_escape(c, value)
                                                 : fb_buf_byte(value, take(c));
    }
    if (result != FB_OK) {
        return result;
    }
    if (at_end(c)) {
        return refuse(c, &place, "this quote is never closed");
    }
    (void)take(c);
    skip_blanks(c);
    if (!at_line_end(c) && look(c) != '#') {
        return refuse(c, c, "expected the end of the line after the closing quote");
    }
    return FB_OK;
}

static int take_bare(cursor *c, fb_buf *value) {
    size_t start = c->at;

    while (!at_line_end(c)) {
        if (look(c) == '#' && (c->at == start || is_blank(c->text.ptr[c->at - 1]))) {
            break;
        }
        (void)take(c);
    }
    return fb_buf_append(value,
                         fb_str_trim(fb_str_make(c->text.ptr + start, c->at - start)));
}

// What follows the name: "=", the value and the rest of the line.
static int take_value(cursor *c, fb_buf *variable) {
    skip_blanks(c);
    if (look(c) != '=') {
        return refuse(c, c, "expected NAME=value");
    }
    (void)take(c);
    int result = fb_buf_byte(variable, '=');
    if (result != FB_OK) {
        return result;
    }
    skip_blanks(c);
    result = look(c) == '"' || look(c) == '\'' ? take_quoted(c, variable)
                                               : take_bare(c, variable);
    if (result == FB_OK) {
        skip_line(c);
    }
    return result;
}

static int keep(variables *list, fb_str variable) {
    if (list->count + 1 >= list->cap) {
        size_t cap = list->cap > 0 ? list->cap * 2 : 16;
        char **items = fb_mem_resize(list->items, cap * sizeof(*items));
        if (items == NULL) {
            return FB_ENOMEM;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count] = variable.ptr != NULL ? fb_mem_text(variable) : NULL;
    if (variable.ptr != NULL && list->items[list->count] == NULL) {
        return FB_ENOMEM;
    }
    list->count += variable.ptr != NULL;
    list->items[list->count] = NULL;
    return FB_OK;
}

static int take_line(cursor *c, variables *list) {
    fb_buf variable = {0};

    skip_blanks(c);
    if (at_line_end(c) || look(c) == '#') {
        skip_line(c);
        return FB_OK;
    }
    cursor place = *c;
    fb_str name = take_name(c);
    if (fb_str_equal(name, FB_STR("export")) && is_blank(look(c))) {
        skip_blanks(c);
        place = *c;
        name = take_name(c);
    }
    if (name.len == 0 || (name.ptr[0] >= '0' && name.ptr[0] <= '9')) {
        return refuse(c, &place, "expected NAME=value");
    }
    int result = fb_buf_append(&variable, name);
    if (result == FB_OK) {
        result = take_value(c, &variable);
    }
    if (result == FB_OK) {
        result = keep(list, fb_buf_str(&variable));
    }
    fb_buf_release(&variable);
    return result;
}

static int take_all(cursor *c, variables *list) {
    if (c->text.len > SIZE_MAX_BYTES) {
        return fb_error_set(c->error, FB_ETOOBIG, "longer than %d bytes", SIZE_MAX_BYTES);
    }
    for (cursor place = *c; !at_end(&place); (void)take(&place)) {
        if (look(&place) == '\0') {
            return refuse(c, &place, "a NUL byte");
        }
    }
    int result = keep(list, (fb_str){NULL, 0});
    while (result == FB_OK && !at_end(c)) {
        result = take_line(c, list);
    }
    return result;
}

int fb_config_parse_dotenv(fb_str text, const char *file_name, char ***list, fb_error *error) {
    cursor c = {.text = text, .line = 1, .column = 1, .error = error};
    variables found = {0};

    *list = NULL;
    if (fb_str_starts(text, FB_STR("\xEF\xBB\xBF"))) {
        c.at = 3;  // a byte order mark
    }
    int result = take_all(&c, &found);
    if (result == FB_ENOMEM) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
    } else if (result != FB_OK && error != NULL) {
        fb_error_place(error, file_name, error->line, error->column);
    }
    if (result != FB_OK) {
        fb_config_free_dotenv(found.items);
        return result;
    }
    *list = found.items;
    return FB_OK;
}

void fb_config_free_dotenv(char **list) {
    for (char **item = list; item != NULL && *item != NULL; item++) {
        fb_mem_free(*item);
    }
    fb_mem_free(list);
}
