// A number is written as C has it: 12, 0.5. What is to look otherwise is to be sent as a string.

#include "node/vars.h"

#include <jansson.h>
#include <stdio.h>

#include "base/str.h"

static bool take(const char *name, const json_t *value, fb_vars *vars) {
    fb_mail_var *var = &vars->vars[vars->count];
    char *number = vars->numbers[vars->count];
    int len = 0;
    var->name = fb_str_of(name);
    if (json_is_string(value)) {
        var->value = fb_str_make(json_string_value(value), json_string_length(value));
        vars->count++;
        return true;
    }
    if (json_is_integer(value)) {
        len = snprintf(number, FB_VARS_NUMBER_SIZE, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        len = snprintf(number, FB_VARS_NUMBER_SIZE, "%.15g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        len = snprintf(number, FB_VARS_NUMBER_SIZE, "%s", json_is_true(value) ? "true" : "false");
    }
    var->value = fb_str_make(number, (size_t)len);
    vars->count += len > 0;
    return len > 0;
}

bool fb_vars_read(fb_http_call *call, json_t *object, fb_vars *vars) {
    json_t *from = json_object_get(object, "vars");
    const char *name;
    json_t *value;
    vars->count = 0;
    if (from != NULL && !json_is_object(from)) {
        fb_http_problem(call->response, 400, "vars: expected an object");
        return false;
    }
    if (json_object_size(from) > FB_MAIL_VARS_MAX) {
        fb_http_problem(call->response, 400, "vars: at most %d", FB_MAIL_VARS_MAX);
        return false;
    }
    json_object_foreach(from, name, value) {
        if (!take(name, value, vars)) {
            fb_http_problem(call->response, 400,
                            "vars.%.64s: expected a string, a number, true or false", name);
            return false;
        }
    }
    return true;
}
