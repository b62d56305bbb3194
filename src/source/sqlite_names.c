// A {name} in a tag that nothing bears would be no mistake to anybody later: the tag is left out of
// every entry, as that of a NULL is, and invalidating by it does nothing. So it is one here, where
// both the parameters and the columns are known. Rows for warming with a wrong column would be
// refused one by one, when nobody looks.
//
// What is wrong with the braces themselves is said by who compiles the class.

#include "source/sqlite_names.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cache/braces.h"

enum { EDITS_MAX = 3, HINT_SIZE = 128 };

// The next {name} of `text` from *at on.
static bool next_name(const char *text, size_t *at, fb_str *name) {
    fb_brace brace;
    while (fb_brace_next(fb_str_of(text), at, &brace, NULL) == FB_OK) {
        if (brace.name) {
            *name = brace.text;
            return true;
        }
    }
    return false;
}

// The next parameter that stands in the key.
static bool next_key_name(const char *key, size_t *at, fb_str *name) {
    while (key != NULL && next_name(key, at, name)) {
        if (!fb_str_equal(*name, FB_STR("hash"))) {
            return true;
        }
    }
    return false;
}

static fb_str column_at(sqlite3_stmt *statement, int index) {
    const char *name = sqlite3_column_name(statement, index);
    return name != NULL ? fb_str_of(name) : FB_STR("");
}

static bool is_column(sqlite3_stmt *statement, fb_str name) {
    int count = sqlite3_column_count(statement);
    for (int i = 0; i < count; i++) {
        if (fb_str_equal(column_at(statement, i), name)) {
            return true;
        }
    }
    return false;
}

// ---- the nearest of what there is

typedef struct nearest {
    fb_str wanted, found;
    size_t edits;
} nearest;

static void consider(nearest *best, fb_str name) {
    size_t edits = fb_str_distance(best->wanted, name, EDITS_MAX);
    if (edits < best->edits && edits < name.len) {
        best->edits = edits;
        best->found = name;
    }
}

// Considers all parameters. Whether `wanted` is one of them.
static bool consider_parameters(const fb_sqlite_names *known, nearest *best) {
    fb_str name;
    size_t at = 0;
    bool there = false;
    while (next_key_name(known->options->key, &at, &name)) {
        consider(best, name);
        there = there || fb_str_equal(name, best->wanted);
    }
    for (size_t i = 0; i < known->name_count; i++) {
        consider(best, fb_str_of(known->names[i]));
        there = there || fb_str_equal(fb_str_of(known->names[i]), best->wanted);
    }
    return there;
}

static void show_hint(const nearest *best, char text[HINT_SIZE]) {
    text[0] = '\0';
    if (best->found.len > 0) {
        (void)snprintf(text, HINT_SIZE, "; did you mean '%.*s'?", FB_STR_ARG(best->found));
    }
}

// ---- tags

static int check_tag_name(const fb_sqlite_names *known, sqlite3_stmt *query, const char *tag,
                          fb_str name, fb_error *error) {
    nearest best = {.wanted = name, .edits = EDITS_MAX};
    char hint[HINT_SIZE];
    if (consider_parameters(known, &best) || is_column(query, name)) {
        return FB_OK;
    }
    int count = sqlite3_column_count(query);
    for (int i = 0; i < count; i++) {
        consider(&best, column_at(query, i));
    }
    show_hint(&best, hint);
    return fb_error_set(error, FB_EINVAL,
                        "'%.60s': '%.*s' is neither a parameter nor a column of the query%s", tag,
                        FB_STR_ARG(name), hint);
}

int fb_sqlite_check_tags(const fb_sqlite_names *known, sqlite3_stmt *query, fb_error *error) {
    const fb_class_options *options = known->options;
    for (size_t i = 0; i < options->tag_count; i++) {
        fb_str name;
        size_t at = 0;
        while (next_name(options->tags[i], &at, &name)) {
            int result = check_tag_name(known, query, options->tags[i], name, error);
            if (result < 0) {
                return result;
            }
        }
    }
    return FB_OK;
}

// ---- rows for warming

static bool has_default(const fb_class_options *options, fb_str name) {
    for (size_t i = 0; i < options->parameter_count; i++) {
        if (fb_str_equal(fb_str_of(options->parameters[i].name), name)) {
            return options->parameters[i].default_text != NULL;
        }
    }
    return false;
}

static int need_column(const fb_sqlite_names *known, sqlite3_stmt *warm, fb_str name,
                       fb_error *error) {
    if (is_column(warm, name) || has_default(known->options, name)) {
        return FB_OK;
    }
    return fb_error_set(error, FB_EINVAL,
                        "its result has no column '%.*s', a parameter that has no default",
                        FB_STR_ARG(name));
}

static int check_warm_column(const fb_sqlite_names *known, fb_str name, fb_error *error) {
    nearest best = {.wanted = name, .edits = EDITS_MAX};
    char hint[HINT_SIZE];
    if (consider_parameters(known, &best)) {
        return FB_OK;
    }
    show_hint(&best, hint);
    return fb_error_set(error, FB_EINVAL,
                        "its column '%.*s' is no parameter of the class: each row is one set of "
                        "them%s",
                        (int)(name.len < 64 ? name.len : 64), name.ptr, hint);
}

int fb_sqlite_check_warm(const fb_sqlite_names *known, sqlite3_stmt *warm, fb_error *error) {
    int result = FB_OK;
    int count = sqlite3_column_count(warm);
    for (int i = 0; result == FB_OK && i < count; i++) {
        result = check_warm_column(known, column_at(warm, i), error);
    }
    fb_str name;
    size_t at = 0;
    while (result == FB_OK && next_key_name(known->options->key, &at, &name)) {
        result = need_column(known, warm, name, error);
    }
    for (size_t i = 0; result == FB_OK && i < known->name_count; i++) {
        result = need_column(known, warm, fb_str_of(known->names[i]), error);
    }
    return result;
}
