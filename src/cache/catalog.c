// All classes of a configuration: by name, by number, and by key.
//
// By key: classes with patterns are sorted by the text before their first parameter. Those with the
// same text form a group, sorted from the most specific on; a group's parent is the group with the
// longest text that its own begins with. All texts that a key begins with are then one group and
// its ancestors, and that group is found thus: the last text in the order that is not above the
// key, or one of its ancestors, because whatever lies in the order between a text the key begins
// with and the key itself begins with that text too. So: a table by first byte, a binary search
// over what is left, and a walk up that tries a handful of patterns. No memory is taken. A trie was
// left alone: with at most 1,023 texts the search takes ten steps at worst and one or two as a
// rule.
//
// Index tags are made of what the key begins with, and of nothing else. That is what makes
// a glob and its tag the same set: a value that somebody SET under a key which is not even of the
// class has the tag too, as long as the key begins so. Where the beginning is too long for a tag,
// its digest stands for it.

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "cache/class.h"
#include "cache/key_pattern.h"

enum { NONE = -1, DIGEST_LEN = 16 };

// One class's `index` by one parameter.
typedef struct key_index {
    const fb_key_pattern *pattern;
    size_t part;
    fb_str separator;
    bool late;  // older entries lack its tags
} key_index;

typedef struct group {
    fb_str prefix;
    uint32_t first, count;              // in `ordered`
    uint32_t first_index, index_count;  // in `indexes`
    int32_t parent;
} group;

struct fb_catalog {
    fb_class **classes;  // classes[0] is the plain one
    size_t count;
    fb_class **by_id;
    size_t id_count;
    uint16_t namespace_next;
    fb_map by_name;
    fb_class **ordered;  // those with patterns
    size_t ordered_count;
    group *groups;
    size_t group_count;
    uint32_t
        starts[257];  // groups whose prefix begins with byte b: from starts[b] to starts[b + 1]
    key_index *indexes;
    size_t index_count;
};

// ---- names and numbers

static int add_names(fb_catalog *catalog, fb_error *error) {
    for (size_t i = 0; i < catalog->count; i++) {
        fb_class *class_ = catalog->classes[i];
        const fb_class *same = fb_map_get(&catalog->by_name, class_->name);
        if (same != NULL) {
            (void)fb_error_set(error, FB_EINVAL, "two classes are called %.*s",
                               FB_STR_ARG(class_->name));
            fb_error_place(error, class_->options.file, class_->options.line,
                           class_->options.column);
            return FB_EINVAL;
        }
        if (fb_map_put(&catalog->by_name, class_->name, class_) != FB_OK) {
            return fb_error_set(error, FB_ENOMEM, "out of memory");
        }
    }
    return FB_OK;
}

static int add_ids(fb_catalog *catalog, fb_error *error) {
    for (size_t i = 0; i < catalog->count; i++) {
        size_t id = catalog->classes[i]->id;
        catalog->id_count = id >= catalog->id_count ? id + 1 : catalog->id_count;
    }
    catalog->by_id = fb_mem_zero(catalog->id_count, sizeof *catalog->by_id);
    if (catalog->by_id == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < catalog->count; i++) {
        fb_class **place = &catalog->by_id[catalog->classes[i]->id];
        FB_ASSERT(*place == NULL);
        *place = catalog->classes[i];
    }
    return FB_OK;
}

static const fb_class *in_namespace(const fb_catalog *catalog, size_t count, fb_str name) {
    for (size_t i = 0; i < count; i++) {
        if (fb_str_equal(catalog->classes[i]->namespace_name, name)) {
            return catalog->classes[i];
        }
    }
    return NULL;
}

// A namespace keeps the number it had; new ones get numbers that were never given.
static void number_namespaces(fb_catalog *catalog, const fb_catalog *older) {
    catalog->namespace_next = older != NULL ? older->namespace_next : 0;
    for (size_t i = 0; i < catalog->count; i++) {
        fb_class *class_ = catalog->classes[i];
        const fb_class *same = in_namespace(catalog, i, class_->namespace_name);
        if (same == NULL && older != NULL) {
            same = in_namespace(older, older->count, class_->namespace_name);
        }
        class_->namespace_id = same != NULL ? same->namespace_id : catalog->namespace_next++;
    }
}

// ---- patterns

static int by_pattern(const void *a, const void *b) {
    const fb_key_pattern *left = (*(fb_class *const *)a)->pattern;
    const fb_key_pattern *right = (*(fb_class *const *)b)->pattern;
    int order = fb_str_compare(left->prefix, right->prefix);
    return order != 0 ? order : fb_key_pattern_compare(left, right);
}

static int refuse_same(const fb_class *a, const fb_class *b, fb_error *error) {
    (void)fb_error_set(
        error, FB_EINVAL,
        "class %.*s: its key '%.*s' is the same as '%.*s' of class %.*s, but for the "
        "names of parameters: expected some text that differs",
        FB_STR_ARG(b->name), FB_STR_ARG(b->pattern->text), FB_STR_ARG(a->pattern->text),
        FB_STR_ARG(a->name));
    fb_error_place(error, b->options.file, b->options.line, b->options.column);
    return FB_EINVAL;
}

static int order_patterns(fb_catalog *catalog, fb_error *error) {
    catalog->ordered = fb_mem_zero(catalog->count, sizeof *catalog->ordered);
    if (catalog->ordered == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < catalog->count; i++) {
        if (catalog->classes[i]->pattern != NULL) {
            catalog->ordered[catalog->ordered_count++] = catalog->classes[i];
        }
    }
    qsort(catalog->ordered, catalog->ordered_count, sizeof *catalog->ordered, by_pattern);
    for (size_t i = 1; i < catalog->ordered_count; i++) {
        const fb_class *a = catalog->ordered[i - 1], *b = catalog->ordered[i];
        if (fb_key_pattern_compare(a->pattern, b->pattern) == 0) {
            bool later = a->id < b->id;
            return refuse_same(later ? a : b, later ? b : a, error);
        }
    }
    return FB_OK;
}

static void contest(fb_catalog *catalog, const group *in) {
    for (uint32_t i = 0; i < in->count; i++) {
        catalog->ordered[in->first + i]->contested = true;
    }
}

// The nearest group before `index` whose text `index`'s begins with.
static void set_parent(fb_catalog *catalog, size_t index) {
    group *child = &catalog->groups[index];
    int32_t parent = (int32_t)index - 1;
    while (parent != NONE && !fb_str_starts(child->prefix, catalog->groups[parent].prefix)) {
        parent = catalog->groups[parent].parent;
    }
    child->parent = parent;
    if (child->count > 1) {
        contest(catalog, child);
    }
    if (parent != NONE) {  // its own ancestors lose keys to it already; the child loses none
        contest(catalog, &catalog->groups[parent]);
    }
}

static void set_starts(fb_catalog *catalog) {
    size_t at = 0;
    while (at < catalog->group_count && catalog->groups[at].prefix.len == 0) {
        at++;  // the group without text is every other's ancestor, and has no first byte
    }
    for (int byte = 0; byte < 256; byte++) {
        catalog->starts[byte] = (uint32_t)at;
        while (at < catalog->group_count &&
               (unsigned char)catalog->groups[at].prefix.ptr[0] == byte) {
            at++;
        }
    }
    catalog->starts[256] = (uint32_t)at;
}

static int make_groups(fb_catalog *catalog, fb_error *error) {
    if (catalog->ordered_count == 0) {
        return FB_OK;
    }
    catalog->groups = fb_mem_zero(catalog->ordered_count, sizeof *catalog->groups);
    if (catalog->groups == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < catalog->ordered_count; i++) {
        fb_str prefix = catalog->ordered[i]->pattern->prefix;
        group *last = catalog->groups + catalog->group_count;
        if (catalog->group_count == 0 || !fb_str_equal(last[-1].prefix, prefix)) {
            *last++ = (group){.prefix = prefix, .first = i, .parent = NONE};
            catalog->group_count++;
        }
        last[-1].count++;
    }
    for (size_t i = 0; i < catalog->group_count; i++) {
        set_parent(catalog, i);
    }
    set_starts(catalog);
    return FB_OK;
}

// ---- indexes

static bool same_index(const key_index *a, const key_index *b) {
    return a->part == b->part && fb_str_equal(a->separator, b->separator) &&
           fb_key_pattern_same(a->pattern, b->pattern, a->part);
}

static key_index make_index(const fb_class *class_, const char *name) {
    const fb_key_pattern *pattern = class_->pattern;
    size_t part = 0;
    while (!fb_str_equal(pattern->parts[part].name, fb_str_of(name))) {
        part++;  // fb_class_new() saw to it that it is there
    }
    return (key_index){
        .pattern = pattern, .part = part, .separator = fb_key_pattern_separator(pattern, part)};
}

static void add_indexes(fb_catalog *catalog, group *to) {
    to->first_index = (uint32_t)catalog->index_count;
    for (uint32_t i = 0; i < to->count; i++) {
        const fb_class *class_ = catalog->ordered[to->first + i];
        for (size_t j = 0; j < class_->options.index_count; j++) {
            key_index index = make_index(class_, class_->options.index[j]);
            size_t at = to->first_index;
            while (at < catalog->index_count && !same_index(&catalog->indexes[at], &index)) {
                at++;
            }
            catalog->indexes[at] = index;
            catalog->index_count = at == catalog->index_count ? at + 1 : catalog->index_count;
        }
    }
    to->index_count = (uint32_t)catalog->index_count - to->first_index;
}

static int refuse_tags(const fb_class *class_, size_t more, fb_error *error) {
    (void)fb_error_set(error, FB_EINVAL,
                       "class %.*s: an entry may have %d tags, but it has %zu and the indexes of "
                       "keys that begin like its own could add %zu",
                       FB_STR_ARG(class_->name), FB_TAGS_MAX, class_->tag_count, more);
    fb_error_place(error, class_->options.file, class_->options.line, class_->options.column);
    return FB_EINVAL;
}

// A key may have the index tags of its group and of all that are above it.
static int check_tag_counts(const fb_catalog *catalog, fb_error *error) {
    for (size_t i = 0; i < catalog->group_count; i++) {
        const group *in = &catalog->groups[i];
        size_t more = in->index_count;
        for (int32_t above = in->parent; above != NONE; above = catalog->groups[above].parent) {
            more += catalog->groups[above].index_count;
        }
        for (uint32_t j = 0; j < in->count; j++) {
            const fb_class *class_ = catalog->ordered[in->first + j];
            if (class_->tag_count + more > FB_TAGS_MAX) {
                return refuse_tags(class_, more, error);
            }
        }
    }
    return FB_OK;
}

static int make_indexes(fb_catalog *catalog, fb_error *error) {
    size_t count = 0;
    for (size_t i = 0; i < catalog->ordered_count; i++) {
        count += catalog->ordered[i]->options.index_count;
    }
    if (count == 0) {
        return FB_OK;
    }
    catalog->indexes = fb_mem_zero(count, sizeof *catalog->indexes);
    if (catalog->indexes == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < catalog->group_count; i++) {
        add_indexes(catalog, &catalog->groups[i]);
    }
    return check_tag_counts(catalog, error);
}

// ---- making

static int make(fb_catalog *catalog, fb_error *error) {
    int result = add_names(catalog, error);
    if (result == FB_OK) {
        result = add_ids(catalog, error);
    }
    if (result == FB_OK) {
        number_namespaces(catalog, NULL);
        result = order_patterns(catalog, error);
    }
    if (result == FB_OK) {
        result = make_groups(catalog, error);
    }
    return result == FB_OK ? make_indexes(catalog, error) : result;
}

int fb_catalog_new(fb_class **classes, size_t class_count, fb_catalog **catalog, fb_error *error) {
    FB_ASSERT(class_count > 0 && classes[0]->id == FB_CLASS_PLAIN);
    fb_catalog *made = fb_mem_zero(1, sizeof *made);
    fb_class **copy = fb_mem_zero(class_count, sizeof *copy);
    if (made == NULL || copy == NULL) {
        for (size_t i = 0; i < class_count; i++) {
            fb_class_free(classes[i]);
        }
        fb_mem_free(made);
        fb_mem_free(copy);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    memcpy(copy, classes, class_count * sizeof *copy);
    made->classes = copy;
    made->count = class_count;
    for (size_t i = 0; i < class_count; i++) {
        copy[i]->catalog = made;
    }
    int result = make(made, error);
    if (result != FB_OK) {
        fb_catalog_free(made);
        return result;
    }
    *catalog = made;
    return FB_OK;
}

void fb_catalog_free(fb_catalog *catalog) {
    if (catalog == NULL) {
        return;
    }
    fb_map_release(&catalog->by_name);
    for (size_t i = 0; i < catalog->count; i++) {
        fb_class_free(catalog->classes[i]);
    }
    fb_mem_free(catalog->indexes);
    fb_mem_free(catalog->groups);
    fb_mem_free(catalog->ordered);
    fb_mem_free(catalog->by_id);
    fb_mem_free(catalog->classes);
    fb_mem_free(catalog);
}

static bool had_index(const fb_catalog *older, const key_index *index) {
    for (size_t i = 0; i < older->index_count; i++) {
        if (!older->indexes[i].late && same_index(&older->indexes[i], index)) {
            return true;
        }
    }
    return false;
}

void fb_catalog_succeed(fb_catalog *catalog, const fb_catalog *older) {
    number_namespaces(catalog, older);
    for (size_t i = 0; i < catalog->index_count; i++) {
        catalog->indexes[i].late = FB_RULE(late_index) && !had_index(older, &catalog->indexes[i]);
    }
}

// ---- looking up

size_t fb_catalog_count(const fb_catalog *catalog) {
    return catalog->count;
}

const fb_class *fb_catalog_at(const fb_catalog *catalog, size_t index) {
    FB_ASSERT(index < catalog->count);
    return catalog->classes[index];
}

const fb_class *fb_catalog_find(const fb_catalog *catalog, fb_str name) {
    return name.len > 0 ? fb_map_get(&catalog->by_name, name) : NULL;
}

const fb_class *fb_catalog_by_id(const fb_catalog *catalog, uint16_t id) {
    return id < catalog->id_count ? catalog->by_id[id] : NULL;
}

// All groups whose text `key` begins with are the one found here and its ancestors; not all of
// these need be such. NULL: none is.
static const group *locate(const fb_catalog *catalog, fb_str key) {
    const group *groups = catalog->groups;
    uint32_t low = 0, high = 0;
    if (key.len > 0) {
        low = catalog->starts[(unsigned char)key.ptr[0]];
        high = catalog->starts[(unsigned char)key.ptr[0] + 1];
    }
    if (low == high) {
        bool any = catalog->group_count > 0 && groups[0].prefix.len == 0;
        return any ? &groups[0] : NULL;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (fb_str_compare(groups[middle].prefix, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &groups[low - 1] : NULL;
}

static const group *parent_of(const fb_catalog *catalog, const group *child) {
    return child->parent == NONE ? NULL : &catalog->groups[child->parent];
}

const fb_class *fb_catalog_of_key(const fb_catalog *catalog, fb_str key) {
    const group *in = locate(catalog, key);
    for (; in != NULL; in = parent_of(catalog, in)) {
        for (uint32_t i = 0; i < in->count; i++) {
            const fb_class *class_ = catalog->ordered[in->first + i];
            if (fb_key_pattern_match(class_->pattern, key, NULL)) {
                return class_;
            }
        }
    }
    return catalog->classes[0];
}

// ---- index tags

typedef struct index_tag {
    char bytes[FB_TAG_LEN_MAX];
    size_t len;
} index_tag;

static void write_index_tag(fb_str beginning, index_tag *tag) {
    tag->bytes[0] = FB_TAG_OWN;
    if (beginning.len < sizeof tag->bytes) {
        memcpy(tag->bytes + 1, beginning.ptr, beginning.len);
        tag->len = beginning.len + 1;
        return;
    }
    // Told from the others by its second byte, with which no key of theirs begins by chance.
    uint8_t digest[DIGEST_LEN];
    fb_hash128(beginning, digest);
    tag->bytes[1] = FB_TAG_OWN;
    memcpy(tag->bytes + 2, digest, sizeof digest);
    tag->len = 2 + sizeof digest;
}

int fb_catalog_key_tags(const fb_catalog *catalog, fb_str key, fb_loaded *loaded) {
    if (catalog->index_count == 0) {
        return FB_OK;
    }
    for (const group *in = locate(catalog, key); in != NULL; in = parent_of(catalog, in)) {
        for (uint32_t i = 0; i < in->index_count; i++) {
            const key_index *index = &catalog->indexes[in->first_index + i];
            size_t len = fb_key_pattern_reach(index->pattern, index->part, index->separator, key);
            if (len == 0) {
                continue;
            }
            index_tag tag;
            write_index_tag(fb_str_make(key.ptr, len), &tag);
            int result = fb_loaded_add_tag(loaded, fb_str_make(tag.bytes, tag.len));
            if (result != FB_OK) {
                return result;
            }
        }
    }
    return FB_OK;
}

// Whether an index in force ends where `beginning` ends.
static bool is_indexed(const fb_catalog *catalog, fb_str beginning) {
    for (const group *in = locate(catalog, beginning); in != NULL; in = parent_of(catalog, in)) {
        for (uint32_t i = 0; i < in->index_count; i++) {
            const key_index *index = &catalog->indexes[in->first_index + i];
            if (!index->late && fb_key_pattern_reach(index->pattern, index->part, index->separator,
                                                     beginning) == beginning.len) {
                return true;
            }
        }
    }
    return false;
}

int fb_catalog_index_tag(const fb_catalog *catalog, fb_str glob, fb_buf *tag) {
    tag->len = 0;
    if (catalog->index_count == 0 || glob.len < 2 || glob.ptr[glob.len - 1] != '*' ||
        fb_glob_prefix(glob).len != glob.len - 1) {
        return FB_MISS;
    }
    fb_str beginning = fb_str_make(glob.ptr, glob.len - 1);
    if (!is_indexed(catalog, beginning)) {
        return FB_MISS;
    }
    index_tag text;
    write_index_tag(beginning, &text);
    return fb_buf_append(tag, fb_str_make(text.bytes, text.len));
}
