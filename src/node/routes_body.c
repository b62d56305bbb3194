// POST /v1/invalidate and /v1/warm: what is to be done comes as a JSON object.
//
//     {"keys": ["user:1"], "patterns": "list:*", "soft": true}   → {"removed": 3, "invalidated": 2,
//     …}
//       also tags, classes, namespaces, each a string or a list of them, and "all": true
//     {"class": "package", "params": {"name": "curl"}}           → {"started": 1}
//     {"class": "package", "top": 100}
//     {"class": "package"}                          for what the class declares under `warm`
//
// All of a body is looked through before anything is done, so that a mistake in it changes nothing.
// A class that there is not is only noticed when it comes to it; classes and namespaces come first.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/error.h"
#include "base/str.h"
#include "node/http_user.h"
#include "node/say.h"

enum { NUMBER_SIZE = 32 };

static fb_str text_of(const json_t *string) {
    return fb_str_make(json_string_value(string), json_string_length(string));
}

// Jansson reads and writes by recursion, up to 2048 levels; a fiber has 256 KiB of stack.
bool fb_http_depth_fits(fb_http_call *call) {
    fb_str body = call->request->body;
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < body.len; i++) {
        char byte = body.ptr[i];
        if (in_string) {
            i += byte == '\\';  // what is escaped ends nothing
            in_string = byte != '"';
        } else if (byte == '"') {
            in_string = true;
        } else if (byte == '[' || byte == '{') {
            depth++;
        } else if (byte == ']' || byte == '}') {
            depth -= depth > 0;
        }
        if (depth > FB_HTTP_DEPTH_MAX) {
            fb_http_problem(call->response, 400, "the body is nested deeper than %d levels",
                            FB_HTTP_DEPTH_MAX);
            return false;
        }
    }
    return true;
}

json_t *fb_http_object(fb_http_call *call) {
    json_error_t error;
    fb_str body = call->request->body;
    if (!fb_http_depth_fits(call)) {
        return NULL;
    }
    json_t *root = json_loadb(body.len > 0 ? body.ptr : "", body.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        fb_http_problem(call->response, 400, "the body is no JSON object: line %d, column %d: %s",
                        error.line, error.column, error.text);
    } else if (!json_is_object(root)) {
        fb_http_problem(call->response, 400, "the body is JSON, but no object");
        json_decref(root);
        root = NULL;
    }
    return root;
}

static bool refuse_name(fb_http_call *call, const char *name, const char *known) {
    fb_http_problem(call->response, 400, "'%.64s' is unknown here: there are %s", name, known);
    return false;
}

// ---- invalidate

static const struct {
    const char *name;
    fb_scope scope;
} SCOPES[] = {
    // in the order in which they are done
    {"classes", FB_SCOPE_CLASS}, {"namespaces", FB_SCOPE_NAMESPACE},
    {"tags", FB_SCOPE_TAG},      {"patterns", FB_SCOPE_PATTERN},
    {"keys", FB_SCOPE_KEY},
};
enum { SCOPE_COUNT = sizeof SCOPES / sizeof SCOPES[0] };

static bool is_scope(const char *name) {
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if (fb_str_equal(fb_str_of(name), fb_str_of(SCOPES[i].name))) {
            return true;
        }
    }
    return false;
}

static bool are_names(const json_t *value) {
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i))) {
            return false;
        }
    }
    return json_is_array(value) || json_is_string(value);
}

static bool invalidation_fits(fb_http_call *call, json_t *root) {
    const char *name;
    json_t *value;
    size_t names = 0;
    json_object_foreach(root, name, value) {
        bool flag = fb_str_equal(fb_str_of(name), FB_STR("all")) ||
                    fb_str_equal(fb_str_of(name), FB_STR("soft"));
        if (fb_str_equal(fb_str_of(name), FB_STR("wait")) ||
            fb_str_equal(fb_str_of(name), FB_STR("timeout"))) {
            continue;  // read_reach() sees to them
        }
        if (!flag && !is_scope(name)) {
            return refuse_name(call, name,
                               "keys, patterns, tags, classes, namespaces, all, soft, wait, "
                               "timeout");
        }
        if (flag ? !json_is_boolean(value) : !are_names(value)) {
            fb_http_problem(call->response, 400, "%s: expected %s", name,
                            flag ? "true or false" : "a string or a list of strings");
            return false;
        }
        names += json_is_array(value) ? json_array_size(value) : json_is_string(value);
    }
    if (names == 0 && !json_is_true(json_object_get(root, "all"))) {
        fb_http_problem(call->response, 400,
                        "nothing to invalidate: name keys, patterns, tags, classes or namespaces, "
                        "or all: true");
        return false;
    }
    return true;
}

typedef struct invalidating {
    fb_engine *engine;
    bool soft;
    fb_invalidate_options options;
    fb_receipt receipt;  // of the last
    int64_t removed;     // -1: not known
    uint64_t count;
    uint64_t not_reached;  // as far as they were to
    fb_scope scope;  // of the one that failed
    fb_str failed;
    fb_error error;
} invalidating;

static int invalidate(invalidating *one, fb_scope scope, fb_str name) {
    fb_invalidation what = {.scope = scope, .name = name, .soft = one->soft};
    int64_t removed = 0;
    int result = fb_invalidate_to(one->engine, &what, &one->options, &removed, &one->receipt);
    if (result == FB_REFUSED) {
        one->not_reached++;
        result = FB_OK;
    }
    if (result < 0) {
        one->scope = scope;
        one->failed = name;
        int shown = (int)(name.len < 128 ? name.len : 128);
        if (result == FB_ENOCLASS && scope == FB_SCOPE_NAMESPACE) {
            return fb_error_set(&one->error, result, "there is no namespace '%.*s'", shown,
                                name.ptr);
        }
        return fb_error_set(&one->error, result, "'%.*s': %s", shown, name.ptr,
                            fb_result_text(result));
    }
    one->removed = removed < 0 || one->removed < 0 ? -1 : one->removed + removed;
    one->count++;
    return FB_OK;
}

// Whether the user may all of it: each key that is named; all keys, where anything else is.
static bool may_invalidate(fb_http_call *call, const json_t *root) {
    bool wide = json_is_true(json_object_get(root, "all"));
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        const json_t *names = json_object_get(root, SCOPES[i].name);
        wide = wide || (SCOPES[i].scope != FB_SCOPE_KEY &&
                        (json_is_string(names) || json_array_size(names) > 0));
    }
    if (wide && !fb_http_may_all_keys(call)) {
        return false;
    }
    const json_t *keys = json_object_get(root, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        if (!fb_http_may_key(call, text_of(json_array_get(keys, i)))) {
            return false;
        }
    }
    return !json_is_string(keys) || fb_http_may_key(call, text_of(keys));
}

static int invalidate_names(invalidating *one, fb_scope scope, const json_t *value) {
    if (json_is_string(value)) {
        return invalidate(one, scope, text_of(value));
    }
    int result = FB_OK;
    for (size_t i = 0; i < json_array_size(value) && result == FB_OK; i++) {
        result = invalidate(one, scope, text_of(json_array_get(value, i)));
    }
    return result;
}

static int invalidate_all(invalidating *one, const json_t *root) {
    int result = FB_OK;
    for (size_t i = 0; i < SCOPE_COUNT && result == FB_OK; i++) {
        result = invalidate_names(one, SCOPES[i].scope, json_object_get(root, SCOPES[i].name));
    }
    if (result == FB_OK && json_is_true(json_object_get(root, "all"))) {
        result = invalidate(one, FB_SCOPE_ALL, fb_str_make("", 0));
    }
    return result;
}

// wait: how far it is to reach; timeout: how long that may take.
static bool read_reach(fb_http_call *call, const json_t *root, fb_invalidate_options *options) {
    static const struct {
        const char *name;
        fb_reach reach;
    } levels[] = {{"local", FB_REACH_LOCAL}, {"redis", FB_REACH_SHARED}, {"nodes", FB_REACH_NODES}};
    const json_t *wait = json_object_get(root, "wait");
    const json_t *timeout = json_object_get(root, "timeout");
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (json_is_string(wait) && fb_str_equal(text_of(wait), fb_str_of(levels[i].name))) {
            options->reach = levels[i].reach;
        }
    }
    if (wait != NULL && options->reach == FB_REACH_DEFAULT) {
        fb_http_problem(call->response, 400, "wait: expected \"local\", \"redis\" or \"nodes\"");
        return false;
    }
    options->timeout_ms = json_integer_value(timeout);
    if (timeout != NULL && options->timeout_ms < 1) {
        fb_http_problem(call->response, 400, "timeout: expected milliseconds, at least 1");
        return false;
    }
    return true;
}

static const char *reach_text(fb_reach reach) {
    return reach == FB_REACH_NODES    ? "nodes"
           : reach == FB_REACH_SHARED ? "redis"
                                      : "local";
}

// How far it went, for who asked for that.
static void say_receipt(fb_reply *reply, const invalidating *one) {
    fb_say_text(reply, "reached", reach_text(one->receipt.reached));
    fb_say_count(reply, "nodes", one->receipt.node_count);
    fb_say_count(reply, "nodes_alive", one->receipt.nodes_alive);
    fb_say_count(reply, "not_reached", one->not_reached);
    fb_say_text(reply, "token", one->count == 1 ? one->receipt.token : "");  // it names one change
}

static int answer_invalidation(fb_http_call *call, const invalidating *one) {
    fb_reply reply;
    fb_http_json(call->response, one->not_reached > 0 ? 504 : 200, &reply);
    bool waited = one->options.reach != FB_REACH_DEFAULT;
    fb_reply_map(&reply, waited ? 8 : 3);
    if (waited) {
        say_receipt(&reply, one);
    }
    fb_reply_text(&reply, "removed");
    if (one->removed < 0) {
        fb_reply_null(&reply);
    } else {
        fb_reply_integer(&reply, one->removed);
    }
    fb_say_count(&reply, "invalidated", one->count);
    fb_say_boolean(&reply, "soft", one->soft);
    return fb_http_json_end(&reply);
}

int fb_route_invalidate(fb_http_call *call) {
    json_t *root = fb_http_object(call);
    if (root == NULL) {
        return FB_OK;
    }
    int result = FB_OK;
    if (invalidation_fits(call, root) && may_invalidate(call, root)) {
        invalidating one = {.engine = call->node->engine,
                            .soft = json_is_true(json_object_get(root, "soft"))};
        result = read_reach(call, root, &one.options) ? invalidate_all(&one, root) : FB_MISS;
        if (result == FB_MISS) {
            result = FB_OK;  // it is said
        } else if (result == FB_ENOCLASS && one.scope == FB_SCOPE_CLASS) {
            fb_http_no_class(call->node, call->response, one.failed);
            result = FB_OK;
        } else if (result < 0) {
            fb_http_failure(call->response, result, &one.error);
            result = FB_OK;
        } else {
            result = answer_invalidation(call, &one);
        }
    }
    json_decref(root);
    return result;
}

// ---- warm

typedef struct warming {
    fb_param params[FB_HTTP_PARAMS_MAX];
    char numbers[FB_HTTP_PARAMS_MAX][NUMBER_SIZE];
    size_t param_count;
} warming;

// A string, or an integer, whose text it then is.
static bool read_param(warming *one, const char *name, const json_t *value) {
    if (one->param_count == FB_HTTP_PARAMS_MAX ||
        !(json_is_string(value) || json_is_integer(value))) {
        return false;
    }
    fb_param *param = &one->params[one->param_count];
    param->name = fb_str_of(name);
    if (json_is_string(value)) {
        param->value = text_of(value);
    } else {
        char *text = one->numbers[one->param_count];
        int len = snprintf(text, NUMBER_SIZE, "%lld", (long long)json_integer_value(value));
        param->value = fb_str_make(text, (size_t)len);
    }
    one->param_count++;
    return true;
}

static bool read_params(fb_http_call *call, json_t *params, warming *one) {
    const char *name;
    json_t *value;
    if (params != NULL && !json_is_object(params)) {
        fb_http_problem(call->response, 400, "params: expected an object");
        return false;
    }
    json_object_foreach(params, name, value) {
        if (!read_param(one, name, value)) {
            fb_http_problem(
                call->response, 400,
                "params.%.64s: expected a string or a whole number, and at most %d of them", name,
                FB_HTTP_PARAMS_MAX);
            return false;
        }
    }
    return true;
}

static bool warming_fits(fb_http_call *call, json_t *root) {
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value) {
        fb_str word = fb_str_of(name);
        if (!fb_str_equal(word, FB_STR("class")) && !fb_str_equal(word, FB_STR("params")) &&
            !fb_str_equal(word, FB_STR("top"))) {
            return refuse_name(call, name, "class, params, top");
        }
    }
    const json_t *top = json_object_get(root, "top");
    if (!json_is_string(json_object_get(root, "class"))) {
        fb_http_problem(call->response, 400, "class: expected the name of a class");
        return false;
    }
    if (top != NULL &&
        (!json_is_integer(top) || json_integer_value(top) < 0 ||
         json_integer_value(top) > UINT32_MAX || json_object_get(root, "params") != NULL)) {
        fb_http_problem(
            call->response, 400,
            "top: expected a whole number of keys (0: all that are known), without params");
        return false;
    }
    return true;
}

static int warm(fb_http_call *call, json_t *root, uint64_t *started, fb_error *error) {
    fb_str name = text_of(json_object_get(root, "class"));
    const json_t *top = json_object_get(root, "top");
    json_t *params = json_object_get(root, "params");
    warming one = {.param_count = 0};
    if (top == NULL && !read_params(call, params, &one)) {
        return FB_REFUSED;
    }
    fb_request request = {
        .class_name = name, .params = one.params, .param_count = one.param_count};
    bool may = one.param_count > 0 ? fb_http_may_request(call, &request, "")
                                   : fb_http_may_all_keys(call);
    if (!may) {
        return FB_REFUSED;
    }
    if (top != NULL) {
        return fb_warm_top(call->node->engine, name, (uint32_t)json_integer_value(top), started);
    }
    return fb_warm(call->node->engine, name, one.params, one.param_count, started, error);
}

static int answer_warming(fb_http_call *call, uint64_t started) {
    fb_reply reply;
    fb_http_json(call->response, 202, &reply);
    fb_reply_map(&reply, 1);
    fb_say_count(&reply, "started", started);
    return fb_http_json_end(&reply);
}

int fb_route_warm(fb_http_call *call) {
    json_t *root = fb_http_object(call);
    uint64_t started = 0;
    fb_error error = {0};
    if (root == NULL) {
        return FB_OK;
    }
    int result = warming_fits(call, root) ? warm(call, root, &started, &error) : FB_REFUSED;
    if (result == FB_ENOCLASS) {
        fb_http_no_class(call->node, call->response, text_of(json_object_get(root, "class")));
    } else if (result < 0) {
        fb_http_failure(call->response, result, &error);
    }
    json_decref(root);
    // FB_REFUSED: the response has been filled.
    return result == FB_OK ? answer_warming(call, started) : FB_OK;
}
