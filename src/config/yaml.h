// config/yaml.h -- a YAML document as a tree of maps, lists and scalars, each with its place.
//
// What is taken: one document; plain, quoted and block scalars; anchors, aliases and merge keys
// (`<<: *defaults`). What is refused, with its place: a second document, tags (`!!int`), names that
// are no scalars, a name given twice, an alias inside what it stands for.
// Bounds: FB_YAML_SIZE_MAX bytes, FB_YAML_DEPTH_MAX levels, FB_YAML_ITEMS_MAX values. An alias is
// the node itself, not a copy, so a document takes memory in proportion to its text.

#ifndef FB_CONFIG_YAML_H
#define FB_CONFIG_YAML_H

#include <forebay/base.h>

#include "base/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FB_YAML_SIZE_MAX = 1 << 20,
    FB_YAML_DEPTH_MAX = 16,
    FB_YAML_ITEMS_MAX = 100000,
};

typedef enum fb_node_kind { FB_NODE_SCALAR, FB_NODE_LIST, FB_NODE_MAP } fb_node_kind;

struct fb_node;

typedef struct fb_node_item {
    const struct fb_node *key;  // a scalar; NULL in a list
    const struct fb_node *value;
    struct fb_node_item *next;
} fb_node_item;

typedef struct fb_node {
    fb_node_kind kind;
    bool plain;             // a scalar without quotes: `~`, `null` and nothing at all mean nothing
    bool open;              // its end has not been read yet
    uint32_t line, column;  // from 1; columns count characters; 0: from no text
    fb_str text;            // of a scalar; any bytes
    fb_node_item *items;    // of a list or map, in the order of the text
    size_t item_count;
} fb_node;

// The tree lives in `arena`. *root is NULL where the text holds no document. FB_ESYNTAX, FB_EINVAL
// (a name given twice), FB_ETOOBIG (a bound above), FB_ENOMEM; the error's place is in the text.
FB_CHECK_RESULT int fb_yaml_parse(fb_str text, fb_arena *arena, const fb_node **root,
                                  fb_error *error);
// Whether it is a scalar that means "nothing".
bool fb_yaml_is_nothing(const fb_node *node);
// One more item at the end of a list (`key` NULL) or map; *last is the item before it. FB_ENOMEM.
FB_CHECK_RESULT int fb_yaml_add(fb_arena *arena, fb_node *node, fb_node_item **last,
                                fb_node_item item);

#ifdef __cplusplus
}
#endif

#endif
