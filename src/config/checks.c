// What only the whole configuration shows.
//
// Each check is a small function on one class, source or parameter, and says what it found at the
// place of the option at fault; where that option was not set, at the place of what contains it.
// What a key pattern or a query means is not known here: the cache and the sources say that.

#include "config/settings.h"

#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "config/read.h"
#include "config/state.h"
#include "config/tree.h"
#include "config/values.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct checker {
    const fb_config *config;
    fb_error *error;
    fb_path path;  // of the class, source or parameter
} checker;

static const fb_mark *mark_of(const checker *c, const char *option) {
    fb_path path = c->path;

    // Options of a section are named "batch.query": one push adds both.
    (void)fb_path_push(&path, fb_str_of(option));
    return fb_marks_get(&c->config->marks, fb_path_str(&path));
}

static bool is_set(const checker *c, const char *option) {
    return mark_of(c, option) != NULL;
}

// `option` is relative to the path; NULL: the thing itself.
FB_PRINTF(4, 5)
static int refuse(const checker *c, const char *option, int code, const char *format, ...) {
    char text[sizeof(c->error->text)];
    fb_path path = c->path;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const fb_mark *mark = fb_marks_get(&c->config->marks, fb_path_str(&path));
    if (option != NULL) {
        mark = is_set(c, option) ? mark_of(c, option) : mark;
        (void)fb_path_push(&path, fb_str_of(option));
    }
    (void)fb_error_set(c->error, code, "%.*s: %s", (int)path.len, path.text, text);
    if (mark != NULL && mark->file != NULL) {
        fb_error_place(c->error, mark->file, mark->line, mark->column);
    }
    return code;
}

static void enter(checker *c, const char *kind, const char *name) {
    c->path.len = 0;
    (void)fb_path_push(&c->path, fb_str_of(kind));
    (void)fb_path_push(&c->path, fb_str_of(name));
}

// ---- options that must be there

static int check_required(checker *c, const fb_option *table, const void *object) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        if (row->required && *(char *const *)((const void *)((const char *)object + row->offset)) ==
                                 NULL) {
            return refuse(c, row->name, FB_EINVAL, "required, but not set");
        }
    }
    return FB_OK;
}

// ---- parameters

static int check_default(const checker *c, const fb_param_options *param) {
    fb_str text = fb_str_of(param->default_text);
    char shown[FB_VALUE_SHOWN_SIZE];
    int64_t integer = 0;
    double number = 0;

    if (param->default_text == NULL || param->type == FB_PARAM_TEXT) {
        return FB_OK;
    }
    if (param->type == FB_PARAM_NUMBER) {
        return fb_str_double(text, &number) == FB_OK
                   ? FB_OK
                   : refuse(c, "default", FB_EINVAL, "expected a number, found \"%s\"",
                            fb_value_shown(text, shown));
    }
    if (fb_str_int(text, &integer) != FB_OK) {
        return refuse(c, "default", FB_EINVAL, "expected a whole number, found \"%s\"",
                      fb_value_shown(text, shown));
    }
    if (integer < param->min || integer > param->max) {
        return refuse(c, "default", FB_ERANGE, "%" PRId64 " is outside of min and max", integer);
    }
    return FB_OK;
}

static int check_parameter(const checker *c, const fb_param_options *param) {
    if (param->type != FB_PARAM_INTEGER) {
        if (param->min != INT64_MIN || param->max != INT64_MAX) {
            return refuse(c, param->min != INT64_MIN ? "min" : "max", FB_ECONFLICT,
                          "only a parameter of type integer has it");
        }
    }
    if (param->min > param->max) {
        return refuse(c, "min", FB_ECONFLICT, "%" PRId64 " is above max, which is %" PRId64,
                      param->min, param->max);
    }
    return check_default(c, param);
}

static int check_parameters(checker *c, const fb_class_options *class_) {
    int result = FB_OK;

    for (size_t i = 0; i < class_->parameter_count && result == FB_OK; i++) {
        size_t before = fb_path_push(&c->path, FB_STR("parameters"));
        (void)fb_path_push(&c->path, fb_str_of(class_->parameters[i].name));
        result = check_parameter(c, &class_->parameters[i]);
        fb_path_pop(&c->path, before);
    }
    return result;
}

// ---- classes

static int check_namespace(const checker *c, const fb_class_options *class_) {
    fb_str name = fb_str_of(class_->namespace_name);
    char shown[FB_VALUE_SHOWN_SIZE];

    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != '-' && !fb_value_is_name(fb_str_make(name.ptr + i, 1))) {
            return refuse(c, "namespace", FB_EINVAL,
                          "expected letters, digits, \"_\" and \"-\", found \"%s\"",
                          fb_value_shown(name, shown));
        }
    }
    return FB_OK;
}

static int check_source(const checker *c, const fb_class_options *class_) {
    const fb_settings *settings = &c->config->settings;
    fb_str wanted = fb_str_of(class_->source);
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    char shown[FB_VALUE_SHOWN_SIZE];

    if (class_->source == NULL) {
        return FB_OK;
    }
    for (size_t i = 0; i < settings->source_count; i++) {
        fb_str name = fb_str_of(settings->sources[i].name);
        if (fb_str_equal(name, wanted)) {
            return FB_OK;
        }
        size_t distance = fb_read_distance(wanted, name);
        if (distance < least) {
            least = distance;
            nearest = name.ptr;
        }
    }
    (void)fb_value_shown(wanted, shown);
    if (nearest != NULL) {
        return refuse(c, "source", FB_ENOSOURCE, "no source \"%s\"; did you mean \"%s\"?", shown,
                      nearest);
    }
    return refuse(c, "source", FB_ENOSOURCE,
                  settings->source_count > 0 ? "no source \"%s\" is declared in sources"
                                             : "no source \"%s\": sources is empty",
                  shown);
}

static int check_queries(const checker *c, const fb_class_options *class_) {
    if (class_->source != NULL && class_->query == NULL) {
        return refuse(c, "source", FB_ECONFLICT, "a source needs a query: what it is asked");
    }
    if (class_->source == NULL) {
        const char *query = class_->query != NULL         ? "query"
                            : class_->batch_query != NULL ? "batch.query"
                                                          : "warm.query";
        if (class_->query != NULL || class_->batch_query != NULL || class_->warm_query != NULL) {
            return refuse(c, query, FB_ECONFLICT, "a query needs a source: whom it asks");
        }
    }
    if (class_->batch_query != NULL && class_->batch_by == NULL) {
        return refuse(c, "batch.query", FB_ECONFLICT,
                      "needs batch.by: the parameter that differs within a batch");
    }
    if (class_->batch_query == NULL && class_->batch_by != NULL) {
        return refuse(c, "batch.by", FB_ECONFLICT, "needs batch.query");
    }
    return FB_OK;
}

static int check_times(const checker *c, const fb_class_options *class_) {
    char one[64], other[64];

    if (class_->memory_ttl_ns > class_->ttl_ns) {
        return refuse(c, "memory_ttl", FB_ECONFLICT, "%s is longer than ttl, which is %s",
                      fb_units_show_duration(class_->memory_ttl_ns, one, sizeof(one)),
                      fb_units_show_duration(class_->ttl_ns, other, sizeof(other)));
    }
    if (class_->soft_timeout_ns > class_->hard_timeout_ns) {
        return refuse(c, "soft_timeout", FB_ECONFLICT,
                      "%s is longer than hard_timeout, which is %s",
                      fb_units_show_duration(class_->soft_timeout_ns, one, sizeof(one)),
                      fb_units_show_duration(class_->hard_timeout_ns, other, sizeof(other)));
    }
    return FB_OK;
}

// "search:{word}:{page}" and "search:{text}:{n}" name the same keys.
static bool same_pattern(const char *a, const char *b) {
    while (*a != '\0' && *a == *b) {
        if (*a == '{') {
            a += strcspn(a, "}");
            b += strcspn(b, "}");
        } else {
            a++;
            b++;
        }
    }
    return *a == *b;
}

static int check_pattern(const checker *c, size_t index) {
    const fb_class_options *classes = c->config->settings.classes;

    for (size_t i = 0; i < index; i++) {
        if (same_pattern(classes[i].key, classes[index].key)) {
            return refuse(c, "key", FB_ECONFLICT, "class %s has these keys already: \"%s\"",
                          classes[i].name, classes[i].key);
        }
    }
    return FB_OK;
}

static int check_class(checker *c, size_t index) {
    const fb_class_options *class_ = &c->config->settings.classes[index];

    enter(c, "classes", class_->name);
    int result = check_required(c, fb_class_options_table, class_);
    if (result == FB_OK) {
        result = check_namespace(c, class_);
    }
    if (result == FB_OK) {
        result = check_source(c, class_);
    }
    if (result == FB_OK) {
        result = check_queries(c, class_);
    }
    if (result == FB_OK) {
        result = check_times(c, class_);
    }
    if (result == FB_OK) {
        result = check_parameters(c, class_);
    }
    return result == FB_OK ? check_pattern(c, index) : result;
}

// ---- the whole

// Whether only one can listen there: not where the port is 0, any that is free.
static bool is_one_place(const char *address) {
    bool any_port = strncmp(address, "unix:", 5) != 0 && fb_str_ends(fb_str_of(address), FB_STR(":0"));

    return strcmp(address, "off") != 0 && !any_port;
}

static int check_server(checker *c) {
    const fb_settings *settings = &c->config->settings;
    const char *prefix = settings->http_prefix;
    const char *socket = settings->listen_socket;

    // It is a path, which has been put behind the folder it is relative to.
    if (socket != NULL && strstr(socket, "unix:") != NULL) {
        return refuse(c, "listen.socket", FB_EINVAL, "expected a path alone, without \"unix:\"");
    }
    if (strcmp(settings->listen_resp, settings->listen_http) == 0 &&
        is_one_place(settings->listen_resp)) {
        return refuse(c, "listen.http", FB_ECONFLICT, "%s is the address of listen.resp already",
                      settings->listen_http);
    }
    if (prefix != NULL && prefix[0] != '\0' &&
        (prefix[0] != '/' || prefix[strlen(prefix) - 1] == '/')) {
        char shown[FB_VALUE_SHOWN_SIZE];
        return refuse(c, "http.prefix", FB_EINVAL,
                      "expected a path such as /codette, without a / at its end, found \"%s\"",
                      fb_value_shown(fb_str_of(prefix), shown));
    }
    return FB_OK;
}

static int check_region(checker *c) {
    const fb_settings *settings = &c->config->settings;
    const char *file = settings->region_file;

    if (settings->region_keep && (file == NULL || file[0] == '\0')) {
        return refuse(c, "region.keep", FB_ECONFLICT,
                      "needs region.file: private memory ends with its process");
    }
    return FB_OK;
}

int fb_settings_check(const fb_config *config, fb_error *error) {
    checker c = {.config = config, .error = error};
    const fb_settings *settings = &config->settings;

    int result = check_server(&c);
    if (result == FB_OK) {
        result = check_region(&c);
    }
    for (size_t i = 0; i < settings->source_count && result == FB_OK; i++) {
        enter(&c, "sources", settings->sources[i].name);
        result = check_required(&c, fb_source_options_table, &settings->sources[i]);
    }
    for (size_t i = 0; i < settings->class_count && result == FB_OK; i++) {
        result = check_class(&c, i);
    }
    return result;
}
