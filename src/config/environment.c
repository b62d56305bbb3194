// Variables of the environment.
//
// The variable of an option is its path in capitals with "_" for ".", after FOREBAY_. Names have
// "_" in them too, so a variable is not taken apart: it is compared with the variable that each
// option in force would have, classes and sources included. Where two options would have the same
// one (classes "a" and "a_stale": A_STALE_TTL), using it is refused and both are named.
//
// Some variables are nobody's own: REDIS_URL and its kin. They come before ours of the same list,
// so that FOREBAY_REDIS_URL wins over REDIS_URL. Where both an URL and a host are given, as
// platforms do, the URL counts: it says more; and either takes the place of the other where the
// file has that. An orchestrator that links services by variables sets REDIS_PORT to
// "tcp://10.0.0.7:6379"; that is passed over.

#include "config/environment.h"

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"

#include <stdio.h>
#include <string.h>

// Variables that are the program's own, not options of a configuration.
static const fb_str of_program[] = {
    FB_STR_INIT("FOREBAY_CONFIG"),  // which file is read
    FB_STR_INIT("FOREBAY_URL"),     // the server that the command line talks to
    FB_STR_INIT("FOREBAY_USER"),    // and as whom; FOREBAY_PASSWORD is an option, and says the same
};

static const fb_str prefix = FB_STR_INIT("FOREBAY_");

typedef struct search {
    fb_str name;  // of the variable, without the prefix
    fb_path found, second;
    fb_path nearest;
    size_t least;
} search;

// The option that a variable of an earlier version is now, or NULL.
static const char *moved_to(fb_str name) {
    return fb_str_equal(name, FB_STR("LIMITS_CONNECTIONS"))
               ? fb_settings_moved(FB_STR("limits.connections"))
               : NULL;
}

// The path as the variable has it, without the prefix.
static fb_str variable_of(const fb_path *path, char *text) {
    for (size_t i = 0; i < path->len; i++) {
        char byte = path->text[i];
        text[i] = (char)(byte == '.' ? '_' : byte >= 'a' && byte <= 'z' ? byte - 'a' + 'A' : byte);
    }
    return fb_str_make(text, path->len);
}

static int compare(void *arg, const fb_path *path, const fb_option *row, const void *holder) {
    search *s = arg;
    char text[FB_PATH_SIZE];
    fb_str variable = variable_of(path, text);

    (void)row;
    (void)holder;
    if (fb_str_equal(variable, s->name)) {
        *(s->found.len == 0 ? &s->found : &s->second) = *path;
    }
    size_t distance = fb_read_distance(s->name, variable);
    if (distance < s->least) {
        s->least = distance;
        s->nearest = *path;
    }
    return FB_OK;
}

static bool is_of_program(fb_str name) {
    for (size_t i = 0; i < sizeof(of_program) / sizeof(of_program[0]); i++) {
        if (fb_str_equal(name, of_program[i])) {
            return true;
        }
    }
    return false;
}

static int refuse_unknown(const fb_reading *reading, const char *name, const search *s) {
    char text[FB_PATH_SIZE];
    const char *moved = moved_to(s->name);

    if (moved != NULL) {
        return fb_error_set(reading->error, FB_EINVAL, "%s: this option is %s now", name, moved);
    }
    if (s->least == SIZE_MAX) {
        return fb_error_set(reading->error, FB_EINVAL, "%s: names no option", name);
    }
    fb_str nearest = variable_of(&s->nearest, text);
    return fb_error_set(reading->error, FB_EINVAL,
                        "%s: names no option; did you mean FOREBAY_%.*s?", name,
                        FB_STR_ARG(nearest));
}

int fb_environment_read(const fb_reading *reading, fb_str variable) {
    fb_str name = {variable.ptr, fb_str_find(variable, '=')};
    char label[FB_VALUE_SHOWN_SIZE];
    search s = {.least = SIZE_MAX};

    if (!fb_str_starts(name, prefix) || is_of_program(name) || name.len + 1 >= variable.len) {
        return FB_OK;
    }
    fb_str value = {variable.ptr + name.len + 1, variable.len - name.len - 1};
    s.name = fb_str_make(name.ptr + prefix.len, name.len - prefix.len);
    (void)fb_value_shown(name, label);
    int result = fb_tree_walk(fb_settings_table, &reading->config->settings, compare, &s);
    FB_ASSERT(result == FB_OK);  // as comparing never fails
    if (s.found.len == 0) {
        return refuse_unknown(reading, label, &s);
    }
    if (s.second.len > 0) {
        return fb_error_set(reading->error, FB_EINVAL, "%s: could mean %.*s or %.*s", label,
                            (int)s.found.len, s.found.text, (int)s.second.len, s.second.text);
    }
    fb_reading labelled = *reading;
    labelled.label = label;
    return fb_read_path(&labelled, fb_path_str(&s.found), value);
}

// ---- variables that others go by too

typedef struct usual {
    fb_str variable, path;
    fb_str instead;  // the option whose place it takes
} usual;

static const usual usuals[] = {
    {FB_STR_INIT("REDIS_URL"), FB_STR_INIT("redis.url"), FB_STR_INIT("redis.host")},
    {FB_STR_INIT("REDIS_HOST"), FB_STR_INIT("redis.host"), FB_STR_INIT("redis.url")},
    {FB_STR_INIT("REDIS_PORT"), FB_STR_INIT("redis.port"), FB_STR_INIT("")},
    {FB_STR_INIT("REDIS_DB"), FB_STR_INIT("redis.db"), FB_STR_INIT("")},
    {FB_STR_INIT("REDIS_USER"), FB_STR_INIT("redis.user"), FB_STR_INIT("")},
    {FB_STR_INIT("REDIS_PASSWORD"), FB_STR_INIT("redis.password"), FB_STR_INIT("")},
    {FB_STR_INIT("SMTP_URL"), FB_STR_INIT("mail.relays.main.url"), FB_STR_INIT("")},
};
enum { URL, HOST };

// The last one of the list, as of the environment's own doubles; empty: not set.
static fb_str value_of(const char *const *environment, fb_str name) {
    fb_str value = {NULL, 0};

    for (; *environment != NULL; environment++) {
        fb_str variable = fb_str_of(*environment);
        if (fb_str_starts(variable, name) && variable.len > name.len &&
            variable.ptr[name.len] == '=') {
            value = fb_str_make(variable.ptr + name.len + 1, variable.len - name.len - 1);
        }
    }
    return value;
}

// Whether another variable of the list says what this one would.
static bool is_said(const char *const *environment, size_t index) {
    bool own_url = value_of(environment, FB_STR("FOREBAY_REDIS_URL")).len > 0;
    bool own_host = value_of(environment, FB_STR("FOREBAY_REDIS_HOST")).len > 0;

    return (index == URL && own_host) ||
           (index == HOST &&
            (own_url || value_of(environment, usuals[URL].variable).len > 0));
}

static int read_usual(const fb_reading *reading, const usual *one, fb_str value) {
    fb_reading labelled = *reading;
    int result = FB_OK;

    labelled.label = one->variable.ptr;
    if (one->instead.len > 0) {
        result = fb_read_path(&labelled, one->instead, FB_STR(""));
    }
    return result == FB_OK ? fb_read_path(&labelled, one->path, value) : result;
}

int fb_environment_read_usual(const fb_reading *reading, const char *const *environment) {
    int result = FB_OK;

    for (size_t i = 0; i < sizeof(usuals) / sizeof(usuals[0]) && result == FB_OK; i++) {
        fb_str value = value_of(environment, usuals[i].variable);
        if (value.len > 0 && !fb_str_starts(value, FB_STR("tcp://")) &&
            !is_said(environment, i)) {
            result = read_usual(reading, &usuals[i], value);
        }
    }
    return result;
}
