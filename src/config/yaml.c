// YAML text → tree.
//
// libyaml is used for its events, not for its documents: so depth, size and double names are
// checked while reading, each with its place, and an attack on the parser ends where the bound is.
// A stack of open lists and maps stands for recursion.
//
// An alias is a second pointer to the node of its anchor. Trees thus become graphs without a
// circle (an alias to a node that is still open is refused), and a "billion laughs" costs its few
// lines; what a reader visits is bounded by the tables, which know how long a list may be.
// A merge key copies the pointers of the other map's items, which count against the bound.
//
// libyaml takes its memory from malloc() directly; the process's memory hook does not see it.

#include "config/yaml.h"

#include "base/check.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "config/values.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum { ANCHORS_MAX = 1000, WHERE_SIZE = 256 };

typedef struct frame {
    fb_node *node;
    fb_node_item *last;
    const fb_node *key;  // of a map: the name whose value comes next
} frame;

typedef struct anchor {
    fb_str name;
    const fb_node *node;
    struct anchor *next;
} anchor;

typedef struct composer {
    yaml_parser_t parser;
    fb_str text;
    fb_arena *arena;
    fb_error *error;
    frame stack[FB_YAML_DEPTH_MAX];
    size_t depth;
    const fb_node *root;
    size_t item_count;
    anchor *anchors;  // the newest first: a name may be given again
    size_t anchor_count;
    bool has_document;
} composer;

FB_PRINTF(4, 5)
static int refuse(composer *c, yaml_mark_t mark, int code, const char *format, ...) {
    char text[sizeof(c->error->text)];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void)fb_error_set(c->error, code, "%s", text);
    fb_error_place(c->error, NULL, (uint32_t)mark.line + 1, (uint32_t)mark.column + 1);
    return code;
}

// The names on the way to the innermost open map, "classes.package.", for messages.
static const char *where(const composer *c, char *text) {
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < c->depth && len < WHERE_SIZE; i++) {
        const fb_node *key = c->stack[i].key;
        char name[FB_VALUE_SHOWN_SIZE];
        if (key != NULL) {
            len += (size_t)snprintf(text + len, WHERE_SIZE - len, "%s.",
                                    fb_value_shown(key->text, name));
        }
    }
    return text;
}

int fb_yaml_add(fb_arena *arena, fb_node *node, fb_node_item **last, fb_node_item item) {
    fb_node_item *added = fb_arena_new(arena, sizeof(*added));

    if (added == NULL) {
        return FB_ENOMEM;
    }
    *added = item;
    added->next = NULL;
    if (*last == NULL) {
        node->items = added;
    } else {
        (*last)->next = added;
    }
    *last = added;
    node->item_count++;
    return FB_OK;
}

static int add_item(composer *c, frame *top, fb_node_item item, yaml_mark_t mark) {
    if (++c->item_count > FB_YAML_ITEMS_MAX) {
        return refuse(c, mark, FB_ETOOBIG, "more than %d values", FB_YAML_ITEMS_MAX);
    }
    return fb_yaml_add(c->arena, top->node, &top->last, item);
}

// A finished scalar or alias, or a list or map that begins, takes its place in what is open.
static int place_node(composer *c, const fb_node *node, yaml_mark_t mark) {
    if (c->depth == 0) {
        c->root = node;
        return FB_OK;
    }
    frame *top = &c->stack[c->depth - 1];
    if (top->node->kind == FB_NODE_LIST) {
        return add_item(c, top, (fb_node_item){.value = node}, mark);
    }
    if (top->key == NULL) {
        if (node->kind != FB_NODE_SCALAR) {
            return refuse(c, mark, FB_ESYNTAX, "YAML: expected a name, found a %s",
                          node->kind == FB_NODE_LIST ? "list" : "map");
        }
        top->key = node;
        return FB_OK;
    }
    fb_node_item item = {.key = top->key, .value = node};
    // The key of what is about to open stays for where(); a scalar's is done with.
    if (!node->open) {
        top->key = NULL;
    }
    return add_item(c, top, item, mark);
}

static int note_anchor(composer *c, const yaml_char_t *name, const fb_node *node,
                       yaml_mark_t mark) {
    if (name == NULL) {
        return FB_OK;
    }
    if (++c->anchor_count > ANCHORS_MAX) {
        return refuse(c, mark, FB_ETOOBIG, "more than %d anchors", ANCHORS_MAX);
    }
    anchor *added = fb_arena_new(c->arena, sizeof(*added));
    if (added == NULL) {
        return FB_ENOMEM;
    }
    *added = (anchor){.node = node, .next = c->anchors};
    added->name = fb_arena_copy(c->arena, fb_str_of((const char *)name));
    if (added->name.ptr == NULL) {
        return FB_ENOMEM;
    }
    c->anchors = added;
    return FB_OK;
}

static int on_alias(composer *c, const yaml_event_t *event) {
    fb_str name = fb_str_of((const char *)event->data.alias.anchor);
    const anchor *found = c->anchors;
    char shown[FB_VALUE_SHOWN_SIZE];

    while (found != NULL && !fb_str_equal(found->name, name)) {
        found = found->next;
    }
    if (found == NULL) {
        return refuse(c, event->start_mark, FB_ESYNTAX, "YAML: no anchor &%s before this alias",
                      fb_value_shown(name, shown));
    }
    if (found->node->open) {
        return refuse(c, event->start_mark, FB_ESYNTAX,
                      "YAML: the alias *%s stands inside what it stands for",
                      fb_value_shown(name, shown));
    }
    return place_node(c, found->node, event->start_mark);
}

static int new_node(composer *c, fb_node_kind kind, const yaml_event_t *event, fb_node **node) {
    *node = fb_arena_new(c->arena, sizeof(**node));
    if (*node == NULL) {
        return FB_ENOMEM;
    }
    **node = (fb_node){
        .kind = kind,
        .line = (uint32_t)event->start_mark.line + 1,
        .column = (uint32_t)event->start_mark.column + 1,
    };
    return FB_OK;
}

static int refuse_tag(composer *c, const yaml_char_t *tag, yaml_mark_t mark) {
    if (tag == NULL) {
        return FB_OK;
    }
    return refuse(c, mark, FB_ESYNTAX, "YAML: tags such as %.64s are not supported",
                  (const char *)tag);
}

static int on_scalar(composer *c, const yaml_event_t *event) {
    fb_str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    fb_node *node = NULL;

    int result = refuse_tag(c, event->data.scalar.tag, event->start_mark);
    if (result == FB_OK) {
        result = new_node(c, FB_NODE_SCALAR, event, &node);
    }
    if (result != FB_OK) {
        return result;
    }
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = fb_arena_copy(c->arena, text);
    if (text.len > 0 && node->text.ptr == NULL) {
        return FB_ENOMEM;
    }
    result = note_anchor(c, event->data.scalar.anchor, node, event->start_mark);
    return result == FB_OK ? place_node(c, node, event->start_mark) : result;
}

static int on_open(composer *c, fb_node_kind kind, const yaml_event_t *event) {
    bool is_map = kind == FB_NODE_MAP;
    fb_node *node = NULL;

    if (c->depth == FB_YAML_DEPTH_MAX) {
        return refuse(c, event->start_mark, FB_ETOOBIG, "nested more than %d deep",
                      FB_YAML_DEPTH_MAX);
    }
    int result = refuse_tag(
        c, is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag,
        event->start_mark);
    if (result == FB_OK) {
        result = new_node(c, kind, event, &node);
    }
    if (result != FB_OK) {
        return result;
    }
    node->open = true;
    result = note_anchor(
        c, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node,
        event->start_mark);
    if (result == FB_OK) {
        result = place_node(c, node, event->start_mark);
    }
    if (result == FB_OK) {
        c->stack[c->depth++] = (frame){.node = node};
    }
    return result;
}

// ---- the end of a map: names given twice, and merge keys

static bool is_merge(const fb_node *key) {
    return key->plain && fb_str_equal(key->text, FB_STR("<<"));
}

static yaml_mark_t mark_of(const fb_node *node) {
    return (yaml_mark_t){.line = node->line - 1, .column = node->column - 1};
}

static int refuse_twice(composer *c, const fb_node *first, const fb_node *second) {
    char text[WHERE_SIZE], name[FB_VALUE_SHOWN_SIZE];

    return refuse(c, mark_of(second), FB_EINVAL, "%s%s: given twice, first on line %u",
                  where(c, text), fb_value_shown(second->text, name), first->line);
}

// Adds the items of `other` whose names are not there yet.
static int merge_map(composer *c, frame *top, fb_map *names, const fb_node *other,
                     yaml_mark_t mark) {
    int result = FB_OK;

    for (const fb_node_item *item = other->items; item != NULL && result == FB_OK;
         item = item->next) {
        if (fb_map_get(names, item->key->text) != NULL) {
            continue;
        }
        result = fb_map_put(names, item->key->text, (void *)(uintptr_t)item->key);
        if (result == FB_OK) {
            result = add_item(c, top, (fb_node_item){.key = item->key, .value = item->value},
                              mark);
        }
    }
    return result;
}

static int merge(composer *c, frame *top, fb_map *names, const fb_node_item *merged) {
    const fb_node *value = merged->value;
    yaml_mark_t mark = mark_of(merged->key);
    int result = FB_OK;

    if (value->kind == FB_NODE_MAP) {
        return merge_map(c, top, names, value, mark);
    }
    if (value->kind != FB_NODE_LIST) {
        return refuse(c, mark, FB_ESYNTAX, "YAML: << expects a map or a list of maps");
    }
    for (const fb_node_item *item = value->items; item != NULL && result == FB_OK;
         item = item->next) {
        result = item->value->kind == FB_NODE_MAP
                     ? merge_map(c, top, names, item->value, mark)
                     : refuse(c, mark, FB_ESYNTAX, "YAML: << expects a map or a list of maps");
    }
    return result;
}

// Takes the first merge key out of the items, so that what is merged may follow them; NULL: there
// is none. There is at most one, as a second would be a name given twice.
static const fb_node_item *take_merge(frame *top) {
    fb_node_item *before = NULL;

    for (fb_node_item *item = top->node->items; item != NULL; before = item, item = item->next) {
        if (is_merge(item->key)) {
            if (before == NULL) {
                top->node->items = item->next;
            } else {
                before->next = item->next;
            }
            if (top->last == item) {
                top->last = before;
            }
            top->node->item_count--;
            return item;
        }
    }
    return NULL;
}

static int close_map(composer *c, frame *top) {
    fb_map names = {0};
    int result = FB_OK;

    for (fb_node_item *item = top->node->items; item != NULL && result == FB_OK;
         item = item->next) {
        const fb_node *first = fb_map_get(&names, item->key->text);
        result = first != NULL
                     ? refuse_twice(c, first, item->key)
                     : fb_map_put(&names, item->key->text, (void *)(uintptr_t)item->key);
    }
    const fb_node_item *merged = result == FB_OK ? take_merge(top) : NULL;
    if (merged != NULL) {
        result = merge(c, top, &names, merged);
    }
    fb_map_release(&names);
    return result;
}

static int on_close(composer *c) {
    frame *top = &c->stack[c->depth - 1];
    int result = FB_OK;

    if (top->node->kind == FB_NODE_MAP) {
        result = close_map(c, top);
    }
    top->node->open = false;
    c->depth--;
    if (c->depth > 0) {
        c->stack[c->depth - 1].key = NULL;
    }
    return result;
}

// ---- the whole

static int on_event(composer *c, const yaml_event_t *event) {
    switch (event->type) {
        case YAML_DOCUMENT_START_EVENT:
            if (c->has_document) {
                return refuse(c, event->start_mark, FB_ESYNTAX,
                              "YAML: a second document begins; one file holds one");
            }
            c->has_document = true;
            return FB_OK;
        case YAML_ALIAS_EVENT:
            return on_alias(c, event);
        case YAML_SCALAR_EVENT:
            return on_scalar(c, event);
        case YAML_SEQUENCE_START_EVENT:
            return on_open(c, FB_NODE_LIST, event);
        case YAML_MAPPING_START_EVENT:
            return on_open(c, FB_NODE_MAP, event);
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
            return on_close(c);
        default:
            return FB_OK;
    }
}

// Where a byte stands, for what libyaml says of bytes rather than of tokens.
static yaml_mark_t mark_at(fb_str text, size_t offset) {
    yaml_mark_t mark = {0};

    for (size_t i = 0; i < offset && i < text.len; i++) {
        if (text.ptr[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text.ptr[i] & 0xC0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static bool is_tab(fb_str text, yaml_mark_t mark) {
    size_t i = 0;

    for (size_t line = 0; line < mark.line && i < text.len; i++) {
        line += text.ptr[i] == '\n';
    }
    // A tab that indents has only blanks, of one byte each, before it.
    i += mark.column;
    return i < text.len && text.ptr[i] == '\t';
}

static int syntax_error(composer *c) {
    const yaml_parser_t *parser = &c->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "malformed";

    switch (parser->error) {
        case YAML_MEMORY_ERROR:
            return FB_ENOMEM;
        case YAML_READER_ERROR:
            return refuse(c, mark_at(c->text, parser->problem_offset), FB_ESYNTAX, "YAML: %s",
                          problem);
        default:
            break;
    }
    if (is_tab(c->text, parser->problem_mark)) {
        return refuse(c, parser->problem_mark, FB_ESYNTAX,
                      "YAML: a tab cannot indent; use spaces");
    }
    if (parser->context == NULL) {
        return refuse(c, parser->problem_mark, FB_ESYNTAX, "YAML: %s", problem);
    }
    return refuse(c, parser->problem_mark, FB_ESYNTAX, "YAML: %s %s that began on line %zu",
                  problem, parser->context, parser->context_mark.line + 1);
}

static int compose(composer *c) {
    int result = FB_OK;
    bool at_end = false;

    while (result == FB_OK && !at_end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&c->parser, &event)) {
            return syntax_error(c);
        }
        at_end = event.type == YAML_STREAM_END_EVENT || event.type == YAML_NO_EVENT;
        result = on_event(c, &event);
        yaml_event_delete(&event);
    }
    return result;
}

// Some editors put a byte order mark first.
static fb_str without_mark(fb_str text) {
    const fb_str mark = FB_STR("\xef\xbb\xbf");
    return fb_str_starts(text, mark) ? fb_str_make(text.ptr + mark.len, text.len - mark.len) : text;
}

int fb_yaml_parse(fb_str text, fb_arena *arena, const fb_node **root, fb_error *error) {
    text = without_mark(text);
    composer c = {.text = text, .arena = arena, .error = error};

    *root = NULL;
    if (text.len > FB_YAML_SIZE_MAX) {
        return fb_error_set(error, FB_ETOOBIG, "longer than %d bytes", FB_YAML_SIZE_MAX);
    }
    if (!yaml_parser_initialize(&c.parser)) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    yaml_parser_set_encoding(&c.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&c.parser, (const unsigned char *)(text.len > 0 ? text.ptr : ""),
                                 text.len);
    int result = compose(&c);
    yaml_parser_delete(&c.parser);
    if (result == FB_ENOMEM) {
        (void)fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    if (result == FB_OK) {
        FB_ASSERT(c.depth == 0);
        *root = c.root;
    }
    return result;
}

bool fb_yaml_is_nothing(const fb_node *node) {
    return node->kind == FB_NODE_SCALAR && node->plain &&
           (node->text.len == 0 || fb_str_equal(node->text, FB_STR("~")) ||
            fb_str_equal(node->text, FB_STR("null")));
}
