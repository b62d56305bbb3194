// Values as a client reads them: the same kind of machine as in resp_command.c, positions instead
// of pointers, decisions on bytes alone.
//
// A value is a tree, and arrives in pre-order. Children of one parent are to lie side by side in
// the end, but how many there are is only what the peer says: so nodes are collected in pre-order,
// one as each arrives, and when the value is complete they are laid out in a second array of just
// as many. (Children in arrays of their own, grown as they come, would need an allocation for
// each array of a reply.) The open arrays are a stack of frames, as many as the depth allows: no
// recursion.
//
// While an attribute is open (`skipping` > 0) its elements are checked and counted, not kept.
//
// Invariants:
//  - nodes[i].text.ptr is an offset from the input's start; laid[i].text.ptr is a pointer.
//  - Each open frame has `remaining` >= 1. A frame counts its elements as they end.
//  - An element takes three bytes at the least. A count that could not fit into what `len_max`
//    leaves is refused at once, which also keeps every product here within range.
//  - The machine sees no more than `len_max` bytes; to want more is FB_ETOOBIG.

#include "wire/resp.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

enum {
    NODES_CAP_MIN = 16,
    NODES_CAP_KEPT = 1024,  // longer arrays are freed when the next value begins
    ELEMENT_LEN_MIN = 3,
    VERBATIM_MARK_LEN = 4   // "txt:"
};

// An array that is being read or, later, laid out.
typedef struct frame {
    size_t remaining;
    fb_resp_value *next;  // only while laying out
    bool attribute;
} frame;

struct fb_resp_reply {
    uint32_t depth_max;
    uint64_t len_max;
    frame *frames;  // depth_max + 1 of them, so that there is one even where nothing may be nested
    size_t frame_count;
    fb_resp_value *nodes;
    size_t node_count, nodes_cap;
    fb_resp_value *laid;
    size_t laid_cap;
    size_t skipping;  // attributes open
    size_t pos;       // everything before it is read
    size_t scanned;   // no line end before it
    char bulk_mark;   // of the bulk whose head is read, or 0
    size_t bulk_len;
    bool complete;    // all is read; it may still be to lay out
};

static int malformed(fb_error *error, const char *what) {
    return fb_error_set(error, FB_ESYNTAX, "malformed reply: %s", what);
}

// ---- nodes

static int resize_values(fb_resp_value **values, size_t *cap, size_t cap_new, fb_error *error) {
    fb_resp_value *grown = fb_mem_resize(*values, cap_new * sizeof **values);
    if (grown == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    *values = grown;
    *cap = cap_new;
    return FB_OK;
}

static void drop_values(fb_resp_value **values, size_t *cap) {
    fb_mem_free(*values);
    *values = NULL;
    *cap = 0;
}

static int add_node(fb_resp_reply *reply, const fb_resp_value *node, fb_error *error) {
    if (reply->skipping > 0) {
        return FB_OK;
    }
    if (reply->node_count == reply->nodes_cap) {
        size_t cap = reply->nodes_cap == 0 ? NODES_CAP_MIN : 2 * reply->nodes_cap;
        int result = resize_values(&reply->nodes, &reply->nodes_cap, cap, error);
        if (result < 0) {
            return result;
        }
    }
    FB_ASSERT(reply->nodes != NULL);
    reply->nodes[reply->node_count++] = *node;
    return FB_OK;
}

// ---- frames

static void open_frame(fb_resp_reply *reply, size_t count, bool attribute) {
    FB_ASSERT(reply->frame_count < reply->depth_max);
    reply->frames[reply->frame_count++] = (frame){.remaining = count, .attribute = attribute};
    reply->skipping += attribute ? 1 : 0;
}

// An element has ended, and with it perhaps the arrays that it was the last of. An attribute's end
// is no element's end: what it is about comes next.
static void end_element(fb_resp_reply *reply) {
    while (reply->frame_count > 0) {
        frame *top = &reply->frames[reply->frame_count - 1];
        if (--top->remaining > 0) {
            return;
        }
        reply->frame_count--;
        if (top->attribute) {
            reply->skipping--;
            return;
        }
    }
    reply->complete = true;
}

// ---- leaves

// A node of `type`, its text at `text.ptr` within the input.
static fb_resp_value text_node(fb_resp_type type, fb_str input, fb_str text) {
    fb_resp_value node = {.type = type};
    node.text.ptr = (const char *)(uintptr_t)(text.ptr - input.ptr);
    node.text.len = text.len;
    return node;
}

static bool read_integer(fb_str text, int64_t *number) {
    if (text.len > 1 && text.ptr[0] == '+' && text.ptr[1] != '-') {
        text = fb_str_make(text.ptr + 1, text.len - 1);
    }
    return fb_str_int(text, number) == FB_OK;
}

static bool read_double(fb_str text, double *number) {
    bool minus = text.len > 0 && text.ptr[0] == '-';
    bool sign = minus || (text.len > 0 && text.ptr[0] == '+');
    fb_str bare = sign ? fb_str_make(text.ptr + 1, text.len - 1) : text;
    if (fb_str_same(bare, FB_STR("inf"))) {
        *number = minus ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    if (fb_str_same(bare, FB_STR("nan"))) {
        *number = NAN;
        return true;
    }
    return fb_str_double(text, number) == FB_OK;
}

static bool is_big_number(fb_str text) {
    size_t at = text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+') ? 1 : 0;
    if (at == text.len) {
        return false;
    }
    while (at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9') {
        at++;
    }
    return at == text.len;
}

// The types that are one line. False: `text` is not of that type.
static bool read_leaf(char mark, fb_str input, fb_str text, fb_resp_value *node) {
    switch (mark) {
    case '+':
        *node = text_node(FB_RESP_SIMPLE, input, text);
        return true;
    case '-':
        *node = text_node(FB_RESP_ERROR, input, text);
        return true;
    case '(':
        *node = text_node(FB_RESP_BIGNUMBER, input, text);
        return is_big_number(text);
    case ':':
        node->type = FB_RESP_INTEGER;
        return read_integer(text, &node->integer);
    case ',':
        node->type = FB_RESP_DOUBLE;
        return read_double(text, &node->number);
    case '#':
        node->type = FB_RESP_BOOLEAN;
        node->integer = text.len == 1 && text.ptr[0] == 't';
        return text.len == 1 && (text.ptr[0] == 't' || text.ptr[0] == 'f');
    default:
        FB_ASSERT(mark == '_');
        node->type = FB_RESP_NULL;
        return text.len == 0;
    }
}

// ---- bulks: a head with the length, then the body

static int begin_bulk(fb_resp_reply *reply, char mark, fb_str head, size_t after, fb_error *error) {
    int64_t len = 0;
    if (fb_str_int(head, &len) != FB_OK || len < -1 || (len == -1 && mark != '$')) {
        return malformed(error, "invalid bulk length");
    }
    if (len == -1) {
        fb_resp_value node = {.type = FB_RESP_NULL};
        int result = add_node(reply, &node, error);
        if (result == FB_OK) {
            reply->pos = after;
            end_element(reply);
        }
        return result < 0 ? result : 1;
    }
    uint64_t room = reply->len_max - after;
    if (room < 2 || (uint64_t)len > room - 2) {
        return fb_error_set(error, FB_ETOOBIG, "reply larger than %llu bytes",
                            (unsigned long long)reply->len_max);
    }
    reply->pos = after;
    reply->bulk_mark = mark;
    reply->bulk_len = (size_t)len;
    return 1;
}

static int read_bulk(fb_resp_reply *reply, fb_str input, fb_error *error) {
    if (input.len - reply->pos < reply->bulk_len + 2) {
        return 0;
    }
    fb_str text = {input.ptr + reply->pos, reply->bulk_len};
    if (text.ptr[text.len] != '\r' || text.ptr[text.len + 1] != '\n') {
        return malformed(error, "no CRLF after a bulk");
    }
    fb_resp_type type = reply->bulk_mark == '$' ? FB_RESP_STRING : FB_RESP_ERROR;
    if (reply->bulk_mark == '=') {
        if (text.len < VERBATIM_MARK_LEN || text.ptr[VERBATIM_MARK_LEN - 1] != ':') {
            return malformed(error, "a verbatim string without its format");
        }
        text = fb_str_make(text.ptr + VERBATIM_MARK_LEN, text.len - VERBATIM_MARK_LEN);
        type = FB_RESP_VERBATIM;
    }
    fb_resp_value node = text_node(type, input, text);
    int result = add_node(reply, &node, error);
    if (result < 0) {
        return result;
    }
    reply->pos += reply->bulk_len + 2;
    reply->bulk_mark = '\0';
    end_element(reply);
    return 1;
}

// ---- aggregates

static fb_resp_type aggregate_type(char mark) {
    switch (mark) {
    case '*':
        return FB_RESP_ARRAY;
    case '~':
        return FB_RESP_SET;
    case '>':
        return FB_RESP_PUSH;
    default:
        FB_ASSERT(mark == '%' || mark == '|');
        return FB_RESP_MAP;
    }
}

static int read_aggregate(fb_resp_reply *reply, char mark, fb_str head, size_t after,
                          fb_error *error) {
    int64_t count = 0;
    if (fb_str_int(head, &count) != FB_OK || count < -1 || (count == -1 && mark != '*')) {
        return malformed(error, "invalid aggregate length");
    }
    uint64_t room = (reply->len_max - after) / ELEMENT_LEN_MIN;
    size_t each = mark == '%' || mark == '|' ? 2 : 1;
    if (count > 0 && (uint64_t)count > room / each) {
        return fb_error_set(error, FB_ETOOBIG, "reply larger than %llu bytes",
                            (unsigned long long)reply->len_max);
    }
    if (count > 0 && reply->frame_count == reply->depth_max) {
        return fb_error_set(error, FB_ETOOBIG, "reply nested deeper than %u",
                            (unsigned)reply->depth_max);
    }
    fb_resp_value node = {.type = FB_RESP_NULL};
    if (count >= 0) {
        node.type = aggregate_type(mark);
        node.child_count = (size_t)count * each;
    }
    int result = mark == '|' ? FB_OK : add_node(reply, &node, error);
    if (result < 0) {
        return result;
    }
    reply->pos = after;
    if (node.child_count > 0) {
        open_frame(reply, node.child_count, mark == '|');
    } else if (mark != '|') {
        end_element(reply);
    }
    return 1;
}

// ---- elements

// The line that starts behind the mark at `pos`. 1: *line and *after; 0: need more; < 0: an error.
static int find_line(fb_resp_reply *reply, fb_str input, fb_str *line, size_t *after,
                     fb_error *error) {
    size_t start = reply->pos + 1;
    size_t from = reply->scanned > start ? reply->scanned : start;
    const char *found =
        from < input.len ? memchr(input.ptr + from, '\r', input.len - from) : NULL;
    size_t end = found != NULL ? (size_t)(found - input.ptr) : input.len;
    reply->scanned = end;
    if (end + 1 >= input.len) {
        return 0;
    }
    if (input.ptr[end + 1] != '\n') {
        return malformed(error, "CR without LF");
    }
    *line = fb_str_make(input.ptr + start, end - start);
    *after = end + 2;
    return 1;
}

typedef enum shape { NO_SHAPE, LEAF, BULK, AGGREGATE } shape;

static shape shape_of(char mark) {
    switch (mark) {
    case '$':
    case '!':
    case '=':
        return BULK;
    case '*':
    case '%':
    case '~':
    case '>':
    case '|':
        return AGGREGATE;
    case '+':
    case '-':
    case ':':
    case '_':
    case ',':
    case '#':
    case '(':
        return LEAF;
    default:
        return NO_SHAPE;
    }
}

static int read_line(fb_resp_reply *reply, fb_str input, fb_error *error) {
    if (reply->pos >= input.len) {
        return 0;
    }
    char mark = input.ptr[reply->pos];
    shape kind = shape_of(mark);
    if (kind == NO_SHAPE) {
        return malformed(error, "unknown type");
    }
    fb_str line;
    size_t after = 0;
    int result = find_line(reply, input, &line, &after, error);
    if (result <= 0) {
        return result;
    }
    if (kind == BULK) {
        return begin_bulk(reply, mark, line, after, error);
    }
    if (kind == AGGREGATE) {
        return read_aggregate(reply, mark, line, after, error);
    }
    fb_resp_value node = {0};
    if (!read_leaf(mark, input, line, &node)) {
        return malformed(error, "a value that is not of its type");
    }
    result = add_node(reply, &node, error);
    if (result < 0) {
        return result;
    }
    reply->pos = after;
    end_element(reply);
    return 1;
}

// ---- the finished value

static bool has_text(fb_resp_type type) {
    return type <= FB_RESP_ERROR || type == FB_RESP_BIGNUMBER || type == FB_RESP_VERBATIM;
}

// Copies nodes to `laid`: when a parent's turn comes, places for all its children are set aside.
static void lay_out(fb_resp_reply *reply, fb_str input) {
    size_t used = 1;
    size_t depth = 0;
    fb_resp_value *place = reply->laid;
    for (size_t i = 0; i < reply->node_count; i++) {
        if (i > 0) {
            while (reply->frames[depth - 1].remaining == 0) {
                depth--;
            }
            reply->frames[depth - 1].remaining--;
            place = reply->frames[depth - 1].next++;
        }
        *place = reply->nodes[i];
        if (has_text(place->type)) {
            place->text.ptr = input.ptr + (uintptr_t)place->text.ptr;
        }
        if (place->child_count > 0) {
            place->children = reply->laid + used;
            used += place->child_count;
            reply->frames[depth++] =
                (frame){.remaining = place->child_count, .next = place->children};
        }
    }
    FB_ASSERT(used == reply->node_count);
}

static ssize_t finish(fb_resp_reply *reply, fb_str input, const fb_resp_value **value,
                      fb_error *error) {
    if (reply->laid_cap < reply->node_count) {
        int result = resize_values(&reply->laid, &reply->laid_cap, reply->nodes_cap, error);
        if (result < 0) {
            return result;
        }
    }
    lay_out(reply, input);
    *value = reply->laid;
    size_t used = reply->pos;
    fb_resp_reply_reset(reply);
    return (ssize_t)used;
}

// ---- public

int fb_resp_reply_new(uint32_t depth_max, uint64_t len_max, fb_resp_reply **reply) {
    *reply = NULL;
    fb_resp_reply *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->depth_max = depth_max;
    made->len_max = len_max;
    made->frames = fb_mem_zero((size_t)depth_max + 1, sizeof *made->frames);
    if (made->frames == NULL) {
        fb_resp_reply_free(made);
        return FB_ENOMEM;
    }
    *reply = made;
    return FB_OK;
}

void fb_resp_reply_free(fb_resp_reply *reply) {
    if (reply == NULL) {
        return;
    }
    fb_mem_free(reply->frames);
    fb_mem_free(reply->nodes);
    fb_mem_free(reply->laid);
    fb_mem_free(reply);
}

void fb_resp_reply_reset(fb_resp_reply *reply) {
    reply->frame_count = 0;
    reply->node_count = 0;
    reply->skipping = 0;
    reply->pos = 0;
    reply->scanned = 0;
    reply->bulk_mark = '\0';
    reply->complete = false;
}

ssize_t fb_resp_reply_read(fb_resp_reply *reply, fb_str input, const fb_resp_value **value,
                           fb_error *error) {
    *value = NULL;
    if (reply->pos == 0) {
        if (reply->nodes_cap > NODES_CAP_KEPT) {
            drop_values(&reply->nodes, &reply->nodes_cap);
        }
        if (reply->laid_cap > NODES_CAP_KEPT) {
            drop_values(&reply->laid, &reply->laid_cap);
        }
    }
    fb_str window = input;
    if (window.len > reply->len_max) {
        window.len = (size_t)reply->len_max;
    }
    int result = 1;
    while (result > 0 && !reply->complete) {
        result = reply->bulk_mark != '\0' ? read_bulk(reply, window, error)
                                          : read_line(reply, window, error);
    }
    if (result > 0) {
        return finish(reply, window, value, error);
    }
    if (result == 0 && input.len >= reply->len_max) {
        return fb_error_set(error, FB_ETOOBIG, "reply larger than %llu bytes",
                            (unsigned long long)reply->len_max);
    }
    return result;
}
