// Trees of values → settings, by the tables alone.
//
// One walk goes down the document and the tables together, with the path of where it is. Whatever
// is wrong is said where it is found, once: "path: expected this, found that". Options that come
// by their path (from the environment or a call) are wrapped into the document they would be, and
// take the same way.
//
// How much is visited is bounded by the tables: a map holds each option once, lists and maps of
// names say how many they hold, and the depth is that of the tables. So aliases, which make a small
// text stand for a large tree, cannot make this run long.

#include "config/read.h"

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAMED_MAX = 10000, NAME_MAX_LEN = 64 };

typedef struct reader {
    fb_config *config;
    const char *file;
    const char *label;
    fb_arena *arena;
    fb_error *error;
    fb_path path;
} reader;

// ---- messages

FB_PRINTF(4, 5)
static int refuse(reader *r, const fb_node *node, int code, const char *format, ...) {
    char text[sizeof(r->error->text)];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (r->label != NULL) {
        (void)fb_error_set(r->error, code, "%s: %s", r->label, text);
    } else if (r->path.len > 0) {
        (void)fb_error_set(r->error, code, "%.*s: %s", (int)r->path.len, r->path.text, text);
    } else {
        (void)fb_error_set(r->error, code, "%s", text);
    }
    if (r->file != NULL) {
        fb_error_place(r->error, r->file, node->line, node->column);
    }
    return code;
}

static int refuse_memory(reader *r) {
    return fb_error_set(r->error, FB_ENOMEM, "out of memory");
}

static const char *found(const fb_node *node, char *text, size_t text_size) {
    char shown[FB_VALUE_SHOWN_SIZE];

    if (fb_yaml_is_nothing(node)) {
        return "nothing";
    }
    switch (node->kind) {
        case FB_NODE_LIST:
            return "a list";
        case FB_NODE_MAP:
            return "a map";
        default:
            (void)snprintf(text, text_size, "\"%s\"", fb_value_shown(node->text, shown));
            return text;
    }
}

static int refuse_value(reader *r, const fb_option *row, const fb_node *node, int result) {
    char expected[FB_VALUE_EXPECTED_SIZE], text[FB_VALUE_SHOWN_SIZE + 2];

    if (result == FB_ENOMEM) {
        return refuse_memory(r);
    }
    if (row->secret != FB_OPTION_OPEN && node->kind == FB_NODE_SCALAR) {
        return refuse(r, node, result == FB_ERANGE ? FB_ERANGE : FB_EINVAL, "expected %s",
                      fb_value_expected(row, result, expected));
    }
    return refuse(r, node, result == FB_ERANGE ? FB_ERANGE : FB_EINVAL, "expected %s, found %s",
                  fb_value_expected(row, result, expected), found(node, text, sizeof(text)));
}

static fb_str lower(fb_str name, char *text) {
    for (size_t i = 0; i < name.len; i++) {
        char byte = name.ptr[i];
        text[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
    }
    return fb_str_make(text, name.len);
}

size_t fb_read_distance(fb_str name, fb_str other) {
    char a[NAME_MAX_LEN * 2], b[NAME_MAX_LEN * 2];

    if (name.len == 0 || name.len > sizeof(a) || other.len > sizeof(b)) {
        return SIZE_MAX;
    }
    // Two letters changed places, or one in three is another: that is a slip, not another word.
    size_t limit = 2 + name.len / 3;
    size_t distance = fb_str_distance(lower(name, a), lower(other, b), limit);
    return distance < limit && distance < name.len ? distance : SIZE_MAX;
}

const char *fb_read_nearest(const fb_option *table, fb_str name) {
    const char *nearest = NULL;
    size_t least = SIZE_MAX;

    for (const fb_option *row = table; row->name != NULL; row++) {
        size_t distance = fb_read_distance(name, fb_str_of(row->name));
        if (distance < least) {
            least = distance;
            nearest = row->name;
        }
    }
    return nearest;
}

static int refuse_unknown(reader *r, const fb_option *table, const fb_node *key) {
    const char *nearest = fb_read_nearest(table, key->text);
    char names[FB_VALUE_EXPECTED_SIZE], shown[FB_VALUE_SHOWN_SIZE];
    size_t len = 0;

    size_t before = fb_path_push(&r->path, fb_str_of(fb_value_shown(key->text, shown)));
    int result = FB_EINVAL;
    if (nearest != NULL) {
        result = refuse(r, key, FB_EINVAL, "no such option; did you mean \"%s\"?", nearest);
    } else {
        const fb_option *row = table;
        for (; row->name != NULL && len + strlen(row->name) + 8 < sizeof(names); row++) {
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", len > 0 ? ", " : "",
                                    row->name);
        }
        result = refuse(r, key, FB_EINVAL, "no such option; there are %s%s", names,
                        row->name != NULL ? " …" : "");
    }
    fb_path_pop(&r->path, before);
    return result;
}

// ---- places

static int mark(reader *r, const fb_option *row, void *object, const fb_node *node) {
    uint32_t place[2] = {r->file != NULL ? node->line : 0, r->file != NULL ? node->column : 0};
    fb_option_mark where = {.file = r->file, .line = place[0], .column = place[1]};

    if (row != NULL && row->place_offset > 0) {
        memcpy((char *)object + row->place_offset, place, sizeof(place));
    }
    if (fb_option_marks_put(&r->config->marks, fb_path_str(&r->path), where) != FB_OK) {
        return refuse_memory(r);
    }
    return FB_OK;
}

// ---- values

// A path is relative to the folder of the file it stands in, unless it says where it starts; so is
// not a name with a colon first or in its first part, which is SQLite's ":memory:" or an URI.
static bool is_relative(fb_str path) {
    size_t first = fb_str_find(path, '/');

    return path.len > 0 && first > 0 && fb_str_find(fb_str_make(path.ptr, first), ':') == first;
}

static int resolve_path(reader *r, fb_str *path) {
    const char *slash = r->file != NULL ? strrchr(r->file, '/') : NULL;

    if (slash == NULL || !is_relative(*path)) {
        return FB_OK;
    }
    size_t folder_len = (size_t)(slash - r->file) + 1;
    char *whole = fb_arena_new(r->arena, folder_len + path->len);
    if (whole == NULL) {
        return FB_ENOMEM;
    }
    memcpy(whole, r->file, folder_len);
    memcpy(whole + folder_len, path->ptr, path->len);
    *path = fb_str_make(whole, folder_len + path->len);
    return FB_OK;
}

static int read_single(reader *r, const fb_option *row, void *object, const fb_node *node) {
    fb_str text = node->text;
    int result = FB_ETYPE;

    if (node->kind == FB_NODE_SCALAR && !fb_yaml_is_nothing(node)) {
        result = row->type == FB_OPTION_PATH ? resolve_path(r, &text) : FB_OK;
        if (result == FB_OK) {
            result = fb_value_read(row, object, text);
        }
    }
    return result == FB_OK ? FB_OK : refuse_value(r, row, node, result);
}

// A list of scalars, or one scalar as a list of one.
static int read_list(reader *r, const fb_option *row, void *object, const fb_node *node) {
    const fb_node_item one = {.value = node};
    bool is_list = node->kind == FB_NODE_LIST;
    const fb_node_item *item = is_list ? node->items : &one;
    size_t count = is_list ? node->item_count : 1, wrong = 0;

    if (node->kind == FB_NODE_MAP) {
        return refuse_value(r, row, node, FB_ETYPE);
    }
    fb_str *texts = fb_arena_new(r->arena, (count + 1) * sizeof(*texts));
    if (texts == NULL) {
        return refuse_memory(r);
    }
    for (size_t i = 0; i < count; i++, item = item->next) {
        if (item->value->kind != FB_NODE_SCALAR || fb_yaml_is_nothing(item->value)) {
            return refuse_value(r, row, item->value, FB_ETYPE);
        }
        texts[i] = item->value->text;
    }
    int result = fb_value_read_list(row, object, texts, count, &wrong);
    if (result == FB_ERANGE && wrong == count) {
        char expected[FB_VALUE_EXPECTED_SIZE];
        return refuse(r, node, FB_ERANGE, "expected %s, found %zu",
                      fb_value_expected(row, result, expected), count);
    }
    if (result != FB_OK) {
        item = is_list ? node->items : &one;
        for (; wrong > 0; wrong--) {
            item = item->next;
        }
        return refuse_value(r, row, item->value, result);
    }
    return FB_OK;
}

// ---- maps

static int read_map(reader *r, const fb_option *table, void *object, const fb_node *node);

static int note_file(reader *r, const fb_option *row, void *element) {
    char **file = (char **)(void *)((char *)element + row->file_offset);

    if (row->file_offset == 0 || (r->file == NULL && *file != NULL)) {
        return FB_OK;  // what a file began, a call may go on with
    }
    char *copy = r->file != NULL ? fb_mem_text(fb_str_of(r->file)) : NULL;
    if (r->file != NULL && copy == NULL) {
        return refuse_memory(r);
    }
    fb_mem_free(*file);
    *file = copy;
    return FB_OK;
}

static int read_element(reader *r, const fb_option *row, void *object, const fb_node_item *item) {
    void *element = fb_tree_element(row, object, item->key->text);

    if (element == NULL) {
        int64_t most = row->max > 0 ? row->max : NAMED_MAX;
        if (fb_tree_element_count(row, object) >= (size_t)most) {
            return refuse(r, item->key, FB_ERANGE, "there are %lld already, which is the most",
                          (long long)most);
        }
        if (fb_tree_add_element(row, object, item->key->text, &element) != FB_OK) {
            return refuse_memory(r);
        }
    }
    int result = FB_OK;
    if (r->file != NULL) {
        result = mark(r, row, element, item->key);
    }
    if (result == FB_OK) {
        result = note_file(r, row, element);
    }
    if (result != FB_OK || fb_yaml_is_nothing(item->value)) {
        return result;
    }
    const char *moved = fb_settings_moved(fb_path_str(&r->path));
    if (item->value->kind == FB_NODE_SCALAR && moved != NULL) {
        return refuse(r, item->key, FB_EINVAL, "this option is %s now", moved);
    }
    if (item->value->kind != FB_NODE_MAP) {
        char text[FB_VALUE_SHOWN_SIZE + 2];
        return refuse(r, item->value, FB_EINVAL, "expected a map of options, found %s",
                      found(item->value, text, sizeof(text)));
    }
    return read_map(r, row->inner, element, item->value);
}

static int read_named(reader *r, const fb_option *row, void *object, const fb_node *node) {
    int result = FB_OK;

    if (node->kind != FB_NODE_MAP) {
        return fb_yaml_is_nothing(node) ? FB_OK : refuse_value(r, row, node, FB_ETYPE);
    }
    for (const fb_node_item *item = node->items; item != NULL && result == FB_OK;
         item = item->next) {
        char shown[FB_VALUE_SHOWN_SIZE];
        if (!fb_value_is_name(item->key->text)) {
            return refuse(r, item->key, FB_EINVAL,
                          "expected a name of at most 64 letters, digits and \"_\", found \"%s\"",
                          fb_value_shown(item->key->text, shown));
        }
        size_t before = fb_path_push(&r->path, item->key->text);
        result = read_element(r, row, object, item);
        fb_path_pop(&r->path, before);
    }
    return result;
}

static int read_option(reader *r, const fb_option *row, void *object, const fb_node *node) {
    int result = FB_OK;

    switch (row->type) {
        case FB_OPTION_SECTION:
            if (fb_yaml_is_nothing(node)) {
                return FB_OK;
            }
            return node->kind == FB_NODE_MAP
                       ? read_map(r, row->inner, (char *)object + row->offset, node)
                       : refuse_value(r, row, node, FB_ETYPE);
        case FB_OPTION_NAMED:
            return read_named(r, row, object, node);
        case FB_OPTION_FLAGS:
        case FB_OPTION_TEXTS:
            result = read_list(r, row, object, node);
            break;
        default:
            result = read_single(r, row, object, node);
            break;
    }
    return result == FB_OK ? mark(r, row, object, node) : result;
}

static int read_map(reader *r, const fb_option *table, void *object, const fb_node *node) {
    int result = FB_OK;

    for (const fb_node_item *item = node->items; item != NULL && result == FB_OK;
         item = item->next) {
        const fb_option *row = fb_tree_row(table, item->key->text);
        if (row == NULL) {
            return refuse_unknown(r, table, item->key);
        }
        size_t before = fb_path_push(&r->path, fb_str_of(row->name));
        result = read_option(r, row, object, item->value);
        fb_path_pop(&r->path, before);
    }
    return result;
}

// ---- the whole

static void begin(const fb_reading *reading, reader *r) {
    *r = (reader){.config = reading->config, .file = reading->file, .label = reading->label,
                  .arena = reading->arena, .error = reading->error};
}

int fb_read_node(const fb_reading *reading, const fb_node *root) {
    reader r;
    char text[FB_VALUE_SHOWN_SIZE + 2];

    begin(reading, &r);
    if (root == NULL || fb_yaml_is_nothing(root)) {
        return FB_OK;
    }
    if (root->kind != FB_NODE_MAP) {
        return refuse(&r, root, FB_EINVAL, "expected a map of options, found %s",
                      found(root, text, sizeof(text)));
    }
    return read_map(&r, fb_settings_table, &reading->config->settings, root);
}

// The value as the row wants it: a scalar with the text as it is, or what YAML makes of it.
static int make_value(reader *r, fb_str path, fb_str text, const fb_node **value) {
    const fb_option *row = fb_tree_find_row(fb_settings_table, path);
    fb_node *node = fb_arena_new(r->arena, sizeof(*node));

    if (node == NULL) {
        return refuse_memory(r);
    }
    *node = (fb_node){.kind = FB_NODE_SCALAR, .text = text};
    *value = node;
    if (row == NULL || fb_value_is_single(row)) {
        return FB_OK;
    }
    int result = fb_yaml_parse(text, r->arena, value, r->error);
    if (result == FB_OK && *value == NULL) {
        *value = node;
        node->plain = true;
    }
    if (result != FB_OK && r->error != NULL) {
        char why[sizeof(r->error->text)];
        (void)snprintf(why, sizeof(why), "%s", r->error->text);
        (void)fb_path_push(&r->path, path);
        return refuse(r, node, result, "%s", why);
    }
    return result;
}

// The document in which the value stands at the path.
static int wrap(reader *r, fb_str path, const fb_node *value, const fb_node **root) {
    fb_str name = fb_path_next(&path);
    const fb_node *inner = value;
    fb_node_item *last = NULL;

    fb_node *key = fb_arena_new(r->arena, sizeof(*key));
    fb_node *map = fb_arena_new(r->arena, sizeof(*map));
    if (key == NULL || map == NULL) {
        return refuse_memory(r);
    }
    if (path.len > 0) {
        int result = wrap(r, path, value, &inner);
        if (result != FB_OK) {
            return result;
        }
    }
    *key = (fb_node){.kind = FB_NODE_SCALAR, .text = name};
    *map = (fb_node){.kind = FB_NODE_MAP};
    *root = map;
    return fb_yaml_add(r->arena, map, &last, (fb_node_item){.key = key, .value = inner}) == FB_OK
               ? FB_OK
               : refuse_memory(r);
}

int fb_read_path(const fb_reading *reading, fb_str path, fb_str text) {
    const fb_node *value = NULL, *root = NULL;
    reader r;

    begin(reading, &r);
    if (path.len == 0 || path.len >= FB_PATH_SIZE) {
        return refuse(&r, NULL, FB_EINVAL, "expected the path of an option, such as \"memory\"");
    }
    FB_ASSERT(r.file == NULL);
    int result = make_value(&r, path, text, &value);
    if (result == FB_OK) {
        r.path.len = 0;
        result = wrap(&r, path, value, &root);
    }
    return result == FB_OK ? fb_read_node(reading, root) : result;
}
