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

static const fb_option_mark *mark_of(const checker *c, const char *option) {
    fb_path path = c->path;

    // Options of a section are named "batch.query": one push adds both.
    (void)fb_path_push(&path, fb_str_of(option));
    return fb_option_marks_get(&c->config->marks, fb_path_str(&path));
}

static bool is_set(const checker *c, const char *option) {
    return mark_of(c, option) != NULL;
}

// Of the option, or else of the nearest thing around it that has a place.
static const fb_option_mark *place_of(const checker *c, const char *option) {
    fb_str rest = fb_str_of(option);

    while (rest.len > 0) {
        fb_path path = c->path;
        (void)fb_path_push(&path, rest);
        const fb_option_mark *mark = fb_option_marks_get(&c->config->marks, fb_path_str(&path));
        if (mark != NULL) {
            return mark;
        }
        while (rest.len > 0 && rest.ptr[--rest.len] != '.') {
        }
    }
    return fb_option_marks_get(&c->config->marks, fb_path_str(&c->path));
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
    const fb_option_mark *mark = place_of(c, option);
    if (option != NULL) {
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

// Other programs write such values too, so nothing stands beside the bytes; and their writes are
// heard of by what their keys begin with.
static int check_layout(const checker *c, const fb_class_options *class_) {
    if (class_->layout != FB_LAYOUT_PLAIN) {
        return FB_OK;
    }
    if (class_->tag_count > 0) {
        return refuse(c, "tags", FB_ECONFLICT,
                      "layout is plain: such values carry no tags (index works)");
    }
    if (class_->key[0] == '{') {
        return refuse(c, "key", FB_ECONFLICT,
                      "layout is plain: its keys must begin with some text");
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
        result = check_layout(c, class_);
    }
    if (result == FB_OK) {
        result = check_parameters(c, class_);
    }
    return result == FB_OK ? check_pattern(c, index) : result;
}

// ---- limits

static int check_limit(checker *c, const fb_limit_options *rule) {
    char option[FB_PATH_SIZE] = "";
    fb_error why = {0};

    if (!rule->enabled) {
        return FB_OK;
    }
    enter(c, "limits", rule->name);
    int result = fb_limit_options_check(rule, option, sizeof(option), &why);
    return result == FB_OK ? FB_OK
                           : refuse(c, option[0] != '\0' ? option : NULL, result, "%s", why.text);
}

static const fb_limit_options *find_limit(const fb_settings *settings, fb_str name) {
    for (size_t i = 0; i < settings->limit_count; i++) {
        if (fb_str_equal(fb_str_of(settings->limits[i].name), name)) {
            return &settings->limits[i];
        }
    }
    return NULL;
}

// An option that names a rule. One that nobody set may name a rule that is not there.
static int check_rule_name(const checker *c, const char *option, const char *name) {
    const fb_settings *settings = &c->config->settings;
    fb_str wanted = fb_str_of(name);
    const char *nearest = NULL;
    size_t least = SIZE_MAX;

    if (wanted.len == 0 || !is_set(c, option)) {
        return FB_OK;
    }
    const fb_limit_options *rule = find_limit(settings, wanted);
    if (rule != NULL && !rule->enabled) {
        return refuse(c, option, FB_ENOLIMIT, "limits.%s is switched off", rule->name);
    }
    if (rule != NULL) {
        return rule->algorithm != FB_LIMIT_SLOTS
                   ? FB_OK
                   : refuse(c, option, FB_ECONFLICT,
                            "limits.%s counts leases (algorithm: slots), not requests", rule->name);
    }
    for (size_t i = 0; i < settings->limit_count; i++) {
        size_t distance = fb_read_distance(wanted, fb_str_of(settings->limits[i].name));
        if (distance < least) {
            least = distance;
            nearest = settings->limits[i].name;
        }
    }
    char shown[FB_VALUE_SHOWN_SIZE];
    (void)fb_value_shown(wanted, shown);
    return nearest != NULL ? refuse(c, option, FB_ENOLIMIT, "no rule \"%s\"; did you mean \"%s\"?",
                                    shown, nearest)
                           : refuse(c, option, FB_ENOLIMIT, "no rule \"%s\" is declared in limits",
                                    shown);
}

static int check_limits(checker *c) {
    const fb_settings *settings = &c->config->settings;
    int result = FB_OK;

    for (size_t i = 0; i < settings->limit_count && result == FB_OK; i++) {
        result = check_limit(c, &settings->limits[i]);
    }
    c->path.len = 0;
    if (result == FB_OK) {
        result = check_rule_name(c, "listen.connect_limit", settings->connect_limit);
    }
    return result == FB_OK ? check_rule_name(c, "listen.auth_limit", settings->auth_limit)
                           : result;
}

// ---- queues and schedules

static const fb_queue_options *find_queue(const fb_settings *settings, fb_str name) {
    for (size_t i = 0; i < settings->queue_count; i++) {
        if (fb_str_equal(fb_str_of(settings->queues[i].name), name)) {
            return &settings->queues[i];
        }
    }
    return NULL;
}

static int refuse_queue(const checker *c, const char *option, fb_str wanted) {
    const fb_settings *settings = &c->config->settings;
    const char *nearest = NULL;
    size_t least = SIZE_MAX;
    char shown[FB_VALUE_SHOWN_SIZE];

    for (size_t i = 0; i < settings->queue_count; i++) {
        size_t distance = fb_read_distance(wanted, fb_str_of(settings->queues[i].name));
        if (distance < least) {
            least = distance;
            nearest = settings->queues[i].name;
        }
    }
    (void)fb_value_shown(wanted, shown);
    return nearest != NULL ? refuse(c, option, FB_ENOQUEUE,
                                    "no queue \"%s\"; did you mean \"%s\"?", shown, nearest)
                           : refuse(c, option, FB_ENOQUEUE,
                                    "no queue \"%s\" is declared in queues", shown);
}

// An option that names a queue, which is there and not switched off.
static int check_queue_name(const checker *c, const char *option, const char *name) {
    fb_str wanted = fb_str_of(name);
    const fb_queue_options *queue = find_queue(&c->config->settings, wanted);

    if (queue == NULL) {
        return refuse_queue(c, option, wanted);
    }
    return queue->enabled ? FB_OK
                          : refuse(c, option, FB_ENOQUEUE, "queues.%s is switched off",
                                   queue->name);
}

static int check_queue(checker *c, const fb_queue_options *queue) {
    char option[FB_PATH_SIZE] = "";
    fb_error why = {0};

    if (!queue->enabled) {
        return FB_OK;
    }
    enter(c, "queues", queue->name);
    int result = fb_queue_options_check(queue, option, sizeof(option), &why);
    return result == FB_OK ? FB_OK
                           : refuse(c, option[0] != '\0' ? option : NULL, result, "%s", why.text);
}

static int check_schedule(checker *c, const fb_schedule_options *schedule) {
    char option[FB_PATH_SIZE] = "";
    fb_error why = {0};

    if (!schedule->enabled) {
        return FB_OK;
    }
    enter(c, "schedules", schedule->name);
    int result = check_required(c, fb_schedule_options_table, schedule);
    if (result != FB_OK) {
        return result;
    }
    result = fb_schedule_options_check(schedule, option, sizeof(option), &why);
    if (result != FB_OK) {
        return refuse(c, option[0] != '\0' ? option : NULL, result, "%s", why.text);
    }
    return check_queue_name(c, "queue", schedule->queue);
}

static int check_store(checker *c) {
    const fb_settings *settings = &c->config->settings;
    const char *option = NULL;
    fb_redis_url url;

    c->path.len = 0;
    if (settings->queue.store == FB_QUEUE_STORE_REDIS &&
        fb_settings_redis_url(&settings->redis, &url, &option, NULL) == FB_MISS) {
        return refuse(c, "queue.store", FB_ECONFLICT, "redis, but there is no redis.url");
    }
    return FB_OK;
}

static int check_queues(checker *c) {
    const fb_settings *settings = &c->config->settings;
    int result = check_store(c);

    for (size_t i = 0; i < settings->queue_count && result == FB_OK; i++) {
        result = check_queue(c, &settings->queues[i]);
    }
    for (size_t i = 0; i < settings->schedule_count && result == FB_OK; i++) {
        result = check_schedule(c, &settings->schedules[i]);
    }
    return result;
}

// ---- mail and one-time codes

static int check_relay(checker *c, const fb_mail_relay_options *relay) {
    enter(c, "mail.relays", relay->name);
    int result = check_required(c, fb_mail_relay_options_table, relay);
    return result == FB_OK ? check_rule_name(c, "limit", relay->limit) : result;
}

// The queue of mails may be switched off, or be no longer there, where nobody asked for mails.
static int check_mail_queue(const checker *c, const fb_mail_options *mail) {
    const fb_queue_options *queue = find_queue(&c->config->settings, fb_str_of(mail->queue));

    if (!is_set(c, "queue") && mail->relay_count == 0 && (queue == NULL || !queue->enabled)) {
        return FB_OK;
    }
    int result = check_queue_name(c, "queue", mail->queue);
    if (result == FB_OK && queue->worker != FB_QUEUE_WORKER_MAIL) {
        return refuse(c, "queue", FB_ECONFLICT, "the worker of queues.%s is not mail", queue->name);
    }
    return result;
}

static int check_mail(checker *c) {
    const fb_mail_options *mail = &c->config->settings.mail;
    char option[FB_PATH_SIZE] = "";
    fb_error why = {0};
    int result = FB_OK;

    for (size_t i = 0; i < mail->relay_count && result == FB_OK; i++) {
        result = check_relay(c, &mail->relays[i]);
    }
    if (result != FB_OK) {
        return result;
    }
    c->path.len = 0;
    (void)fb_path_push(&c->path, FB_STR("mail"));
    result = fb_mail_options_check(mail, option, sizeof(option), &why);
    if (result != FB_OK) {
        return refuse(c, option[0] != '\0' ? option : NULL, result, "%s", why.text);
    }
    result = check_mail_queue(c, mail);
    if (result == FB_OK) {
        result = check_rule_name(c, "domain_limit", mail->domain_limit);
    }
    return result == FB_OK ? check_rule_name(c, "recipient_limit", mail->recipient_limit)
                           : result;
}

static int check_otp(checker *c) {
    const fb_otp_options *otp = &c->config->settings.otp;

    c->path.len = 0;
    (void)fb_path_push(&c->path, FB_STR("otp"));
    if (otp->link_url == NULL || strstr(otp->link_url, "{token}") == NULL) {
        return refuse(c, "link_url", FB_EINVAL, "expected an URL with {token} in it");
    }
    return FB_OK;
}

// ---- users

static int check_user(checker *c, const fb_user_options *user) {
    const char *option = NULL;
    fb_error why = {0};

    enter(c, "users", user->name);
    int result = fb_user_options_check(user, &option, &why);
    if (result == FB_OK && strcmp(user->name, "default") == 0 && c->config->settings.password != NULL && c->config->settings.password[0] != '\0' &&
        (user->no_password || user->password != NULL || user->password_sha256 != NULL)) {
        option = "password";
        result = fb_error_set(&why, FB_ECONFLICT,
                              "there is `password` at the top level already; give one of the two");
    }
    return result == FB_OK ? FB_OK
                           : refuse(c, option, result, "%s", why.text);
}

static int check_users(checker *c) {
    const fb_settings *settings = &c->config->settings;
    int result = FB_OK;

    for (size_t i = 0; i < settings->user_count && result == FB_OK; i++) {
        result = check_user(c, &settings->users[i]);
    }
    return result;
}

// ---- the whole

// Whether only one can listen there: not where the port is 0, any that is free.
static bool is_one_place(const char *address) {
    bool any_port = strncmp(address, "unix:", 5) != 0 && fb_str_ends(fb_str_of(address), FB_STR(":0"));

    return strcmp(address, "off") != 0 && !any_port;
}

static int check_doors(checker *c) {
    const fb_settings *settings = &c->config->settings;
    const struct {
        const char *option, *address;
    } doors[] = {{"listen.resp", settings->listen_resp},
                 {"listen.http", settings->listen_http},
                 {"listen.resp_tls", settings->listen_resp_tls},
                 {"listen.http_tls", settings->listen_http_tls}};
    enum { DOORS = sizeof doors / sizeof doors[0], PLAIN = 2 };
    for (size_t i = 1; i < DOORS; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(doors[i].address, doors[j].address) == 0 && is_one_place(doors[i].address)) {
                return refuse(c, doors[i].option, FB_ECONFLICT, "%s is the address of %s already",
                              doors[i].address, doors[j].option);
            }
        }
    }
    const char *cert = settings->tls_cert, *key = settings->tls_key;
    bool has_cert = cert != NULL && cert[0] != '\0', has_key = key != NULL && key[0] != '\0';
    if (has_cert != has_key) {
        return refuse(c, has_cert ? "tls.cert" : "tls.key", FB_ECONFLICT,
                      has_cert ? "needs tls.key: its private key"
                               : "needs tls.cert: the certificate it belongs to");
    }
    for (size_t i = PLAIN; i < DOORS && !has_cert; i++) {
        if (strcmp(doors[i].address, "off") != 0) {
            return refuse(c, doors[i].option, FB_ECONFLICT, "needs tls.cert and tls.key");
        }
    }
    return FB_OK;
}

// "https://app.example:8443", as a browser sends it.
static bool is_origin(const char *text) {
    const char *host = strstr(text, "://");
    return strcmp(text, "*") == 0 ||
           (host != NULL && host > text && host[3] != '\0' && strpbrk(host + 3, "/ ,;\"\\") == NULL);
}

static int check_cors(checker *c) {
    const fb_settings *settings = &c->config->settings;
    for (size_t i = 0; i < settings->http_cors_count; i++) {
        if (!is_origin(settings->http_cors[i])) {
            char shown[FB_VALUE_SHOWN_SIZE];
            return refuse(c, "http.cors", FB_EINVAL,
                          "expected an origin such as https://app.example, or *, found \"%s\"",
                          fb_value_shown(fb_str_of(settings->http_cors[i]), shown));
        }
    }
    return FB_OK;
}

static int check_server(checker *c) {
    const fb_settings *settings = &c->config->settings;
    const char *prefix = settings->http_prefix;
    const char *socket = settings->listen_socket;

    // It is a path, which has been put behind the folder it is relative to.
    if (socket != NULL && strstr(socket, "unix:") != NULL) {
        return refuse(c, "listen.socket", FB_EINVAL, "expected a path alone, without \"unix:\"");
    }
    int result = check_doors(c);
    if (result == FB_OK) {
        result = check_cors(c);
    }
    if (result < 0) {
        return result;
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

static int check_redis(checker *c) {
    const fb_redis_settings *redis = &c->config->settings.redis;
    char one[64], other[64];
    const char *option = NULL;
    fb_redis_url url;
    fb_error why = {0};

    c->path.len = 0;
    (void)fb_path_push(&c->path, FB_STR("redis"));
    int result = fb_settings_redis_url(redis, &url, &option, &why);
    if (result < 0) {
        return refuse(c, option, result, "%s", why.text);
    }
    for (const char *byte = redis->name_space; *byte != '\0'; byte++) {
        if (*byte != '-' && *byte != '.' && !fb_value_is_name(fb_str_make(byte, 1))) {
            return refuse(c, "namespace", FB_EINVAL,
                          "expected letters, digits, \"_\", \"-\" and \".\", found \"%s\"",
                          redis->name_space);
        }
    }
    if (redis->soft_timeout_ns > redis->hard_timeout_ns) {
        return refuse(c, "soft_timeout", FB_ECONFLICT,
                      "%s is longer than hard_timeout, which is %s",
                      fb_units_show_duration(redis->soft_timeout_ns, one, sizeof(one)),
                      fb_units_show_duration(redis->hard_timeout_ns, other, sizeof(other)));
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
    if (result == FB_OK) {
        result = check_redis(&c);
    }
    for (size_t i = 0; i < settings->source_count && result == FB_OK; i++) {
        enter(&c, "sources", settings->sources[i].name);
        result = check_required(&c, fb_source_options_table, &settings->sources[i]);
    }
    for (size_t i = 0; i < settings->class_count && result == FB_OK; i++) {
        result = check_class(&c, i);
    }
    int (*const rest[])(checker *c) = {check_users, check_limits, check_queues, check_mail,
                                            check_otp};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]) && result == FB_OK; i++) {
        result = rest[i](&c);
    }
    return result;
}
