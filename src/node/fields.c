// A field that is not asked for is refused with the names that there are: a mistyped "dealy_ms" must not
// run a job at once.

#include "node/fields.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

enum { NAMES_SIZE = 320, WORD_SIZE = 72 };

static bool is_other(const char *name, const char *others) {
    char wanted[WORD_SIZE];
    int len = snprintf(wanted, sizeof wanted, " %s ", name);
    return len > 2 && (size_t)len < sizeof wanted && strstr(others, wanted) != NULL;
}

static fb_field *find(fb_field *fields, size_t count, fb_str name) {
    for (size_t i = 0; i < count; i++) {
        if (fb_str_equal(name, fb_str_of(fields[i].name))) {
            return &fields[i];
        }
    }
    return NULL;
}

static bool refuse_name(fb_http_call *call, const char *place, const char *name, const char *others,
                        const fb_field *fields, size_t count) {
    char names[NAMES_SIZE] = "";
    size_t len = 0;
    for (size_t i = 0; i < count && len < sizeof names; i++) {
        int more = snprintf(names + len, sizeof names - len, " %s", fields[i].name);
        len += more > 0 ? (size_t)more : 0;
    }
    bool any = names[0] != '\0' || others[0] != '\0';
    size_t others_len = strlen(others);  // it begins and ends with a space
    fb_http_problem(call->response, 400, "%s'%.64s' is unknown here%s%s%.*s", place, name,
                    any ? ": there are" : "", names, others_len > 0 ? (int)others_len - 1 : 0, others);
    return false;
}

static bool refuse_value(fb_http_call *call, const char *place, const fb_field *field) {
    if (field->type == FB_FIELD_TEXT) {
        fb_http_problem(call->response, 400, "%s%s: expected a string", place, field->name);
    } else if (field->type == FB_FIELD_FLAG) {
        fb_http_problem(call->response, 400, "%s%s: expected true or false", place, field->name);
    } else {
        fb_http_problem(call->response, 400, "%s%s: expected a whole number from %lld to %lld", place,
                        field->name, (long long)field->least, (long long)field->most);
    }
    return false;
}

static bool take_number(const fb_field *field, int64_t number) {
    *(int64_t *)field->to = number;
    return number >= field->least && number <= field->most;
}

static bool take_text(const fb_field *field, fb_str text) {
    int64_t number;
    bool truth = fb_str_equal(text, FB_STR("1")) || fb_str_equal(text, FB_STR("true"));
    switch (field->type) {
        case FB_FIELD_TEXT:
            *(fb_str *)field->to = text;
            return true;
        case FB_FIELD_NUMBER:
            return fb_str_int(text, &number) == FB_OK && take_number(field, number);
        case FB_FIELD_FLAG:
            *(bool *)field->to = truth;
            return truth || fb_str_equal(text, FB_STR("0")) || fb_str_equal(text, FB_STR("false"));
    }
    return false;
}

static bool take_json(const fb_field *field, const json_t *value) {
    if (json_is_string(value) && field->type != FB_FIELD_FLAG) {
        return take_text(field,
                         fb_str_make(json_string_value(value), json_string_length(value)));
    }
    if (json_is_boolean(value) && field->type == FB_FIELD_FLAG) {
        *(bool *)field->to = json_is_true(value);
        return true;
    }
    return json_is_integer(value) && field->type == FB_FIELD_NUMBER &&
           take_number(field, json_integer_value(value));
}

static bool read_object(fb_http_call *call, json_t *object, const char *place, const char *others,
                        fb_field *fields, size_t count) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        fb_field *field = find(fields, count, fb_str_of(name));
        if (field == NULL && is_other(name, others)) {
            continue;
        }
        if (field == NULL) {
            return refuse_name(call, place, name, others, fields, count);
        }
        if (!take_json(field, value)) {
            return refuse_value(call, place, field);
        }
        field->given = true;
    }
    return true;
}

static bool read_query(fb_http_call *call, fb_field *fields, size_t count) {
    for (size_t i = 0; i < call->query_count; i++) {
        fb_field *field = find(fields, count, call->query[i].name);
        if (field == NULL) {
            continue;  // the route table sees to what is unknown
        }
        if (field->given) {
            fb_http_problem(call->response, 400, "%s is given twice", field->name);
            return false;
        }
        if (!take_text(field, call->query[i].value)) {
            return refuse_value(call, "", field);
        }
        field->given = true;
    }
    return true;
}

bool fb_fields_read(fb_http_call *call, json_t *object, const char *place, const char *others,
                    fb_field *fields, size_t count) {
    if (object != NULL && !read_object(call, object, place, others, fields, count)) {
        return false;
    }
    if (!read_query(call, fields, count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (fields[i].needed && !fields[i].given) {
            fb_http_problem(call->response, 400, "%s%s: it is missing", place, fields[i].name);
            return false;
        }
    }
    return true;
}

bool fb_fields_body(fb_http_call *call, json_t **object) {
    *object = call->request->body.len > 0 ? fb_http_object(call) : NULL;
    return *object != NULL || call->request->body.len == 0;
}
