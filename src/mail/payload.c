// The payload of a mail's job.
//
// JSON, so that whoever enqueues a mail without our calls can, and so that what waits can be read.
// Read strictly: a member that is spelled wrong would otherwise be a mail that lacks something.
//
// What is secret in a mail (codes, links) has to stand in the payload, or it could not be sent. It
// is shown nowhere: there is one function for showing, and it decides by the variables' names.

#include "mail/payload.h"

#include <jansson.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/utf8.h"
#include "mail/template.h"

static const char mask[] = "***";

bool fb_mail_is_secret(fb_str name) {
    static const fb_str words[] = {FB_STR_INIT("code"), FB_STR_INIT("link"), FB_STR_INIT("token"),
                                   FB_STR_INIT("secret"), FB_STR_INIT("password")};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = words[i].len;
        if (name.len < len || !fb_str_same(fb_str_make(name.ptr + name.len - len, len), words[i])) {
            continue;
        }
        if (name.len == len || name.ptr[name.len - len - 1] == '_') {
            return true;
        }
    }
    return false;
}

// ---- writing

static int append_string(fb_buf *out, fb_str text) {
    int result = fb_buf_byte(out, '"');
    size_t start = 0;

    for (size_t i = 0; i < text.len && result == FB_OK; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            continue;
        }
        result = fb_buf_append(out, fb_str_make(text.ptr + start, i - start));
        if (result == FB_OK) {
            result = byte == '\n'  ? fb_buf_append(out, FB_STR("\\n"))
                     : byte < 0x20 ? fb_buf_printf(out, "\\u%04x", byte)
                                   : fb_buf_printf(out, "\\%c", byte);
        }
        start = i + 1;
    }
    if (result == FB_OK) {
        result = fb_buf_append(out, fb_str_make(text.ptr + start, text.len - start));
    }
    return result == FB_OK ? fb_buf_byte(out, '"') : result;
}

// `before` is what stands before the name: a brace or a comma.
static int append_member(fb_buf *out, char before, fb_str name, fb_str value) {
    int result = fb_buf_byte(out, before);

    result = result == FB_OK ? append_string(out, name) : result;
    result = result == FB_OK ? fb_buf_byte(out, ':') : result;
    return result == FB_OK ? append_string(out, value) : result;
}

static int append_vars(fb_buf *out, const fb_mail_payload *payload, bool hide) {
    int result = fb_buf_append(out, payload->var_count == 0 ? FB_STR(",\"vars\":{")
                                                            : FB_STR(",\"vars\":"));

    for (size_t i = 0; i < payload->var_count && result == FB_OK; i++) {
        const fb_mail_var *var = &payload->vars[i];
        bool hidden = FB_RULE(mail_secret) && hide && fb_mail_is_secret(var->name);
        result = append_member(out, i == 0 ? '{' : ',', var->name,
                               hidden ? fb_str_of(mask) : var->value);
    }
    return result == FB_OK ? fb_buf_byte(out, '}') : result;
}

static int append_payload(const fb_mail_payload *payload, bool hide, fb_buf *out) {
    size_t before = out->len;
    int result = append_member(out, '{', FB_STR("kind"), payload->kind);

    result = result == FB_OK ? append_member(out, ',', FB_STR("to"), payload->to) : result;
    result = result == FB_OK ? append_vars(out, payload, hide) : result;
    if (result == FB_OK && payload->message_id.len > 0) {
        result = append_member(out, ',', FB_STR("message_id"), payload->message_id);
    }
    result = result == FB_OK ? fb_buf_byte(out, '}') : result;
    if (result != FB_OK) {
        out->len = before;
    }
    return result;
}

static int check_text(const char *what, fb_str text, fb_error *error) {
    if (!fb_utf8_valid(text) || fb_str_find(text, '\0') < text.len) {
        return fb_error_set(error, FB_EINVAL, "%s is not UTF-8, or has a NUL", what);
    }
    return FB_OK;
}

static int check_var(const fb_mail_payload *payload, size_t index, fb_error *error) {
    const fb_mail_var *var = &payload->vars[index];

    if (!fb_template_is_name(var->name)) {
        return fb_error_set(error, FB_EINVAL, "variable %zu has a name that is none", index + 1);
    }
    for (size_t i = 0; i < index; i++) {
        if (fb_str_equal(payload->vars[i].name, var->name)) {
            return fb_error_set(error, FB_EINVAL, "variable \"%.*s\" is there twice",
                                FB_STR_ARG(var->name));
        }
    }
    return check_text("the value of a variable", var->value, error);
}

int fb_mail_payload_write(const fb_mail_payload *payload, fb_buf *out, fb_error *error) {
    int result = check_text("the kind", payload->kind, error);

    result = result == FB_OK ? check_text("the address", payload->to, error) : result;
    result = result == FB_OK ? check_text("the Message-ID", payload->message_id, error) : result;
    if (result == FB_OK && payload->var_count > FB_MAIL_VARS_MAX) {
        return fb_error_set(error, FB_ETOOBIG, "more than %d variables", FB_MAIL_VARS_MAX);
    }
    for (size_t i = 0; i < payload->var_count && result == FB_OK; i++) {
        result = check_var(payload, i, error);
    }
    if (result != FB_OK) {
        return result;
    }
    result = append_payload(payload, false, out);
    return result == FB_OK ? FB_OK
                           : fb_error_set(error, result, "%s", fb_result_text(result));
}

// ---- reading

typedef struct reading {
    json_t *json;
    fb_mail_var vars[];
} reading;

static fb_str string_of(const json_t *value) {
    return fb_str_make(json_string_value(value), json_string_length(value));
}

static int refuse(fb_error *error, const char *why) {
    return fb_error_set(error, FB_ESYNTAX, "%s", why);
}

static int read_vars(json_t *vars, fb_mail_var *to, fb_error *error) {
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(vars, name, value) {
        if (!fb_template_is_name(fb_str_of(name))) {
            return refuse(error, "a variable has a name that is none");
        }
        if (!json_is_string(value)) {
            (void)fb_error_set(error, FB_ESYNTAX, "variable \"%s\" is not a string", name);
            return FB_ESYNTAX;
        }
        *to++ = (fb_mail_var){fb_str_of(name), string_of(value)};
    }
    return FB_OK;
}

// Whether the whole has what it must have, and nothing else.
static int check_members(json_t *json, fb_error *error) {
    const char *name = NULL;
    json_t *value = NULL;

    if (!json_is_object(json)) {
        return refuse(error, "the payload of a mail is a JSON object");
    }
    json_object_foreach(json, name, value) {
        bool vars = strcmp(name, "vars") == 0;
        bool known = strcmp(name, "kind") == 0 || strcmp(name, "to") == 0 ||
                     strcmp(name, "message_id") == 0;
        if (!vars && !known) {
            return refuse(error, "expected kind, to, vars and message_id alone");
        }
        if (vars ? !json_is_object(value) : !json_is_string(value)) {
            return refuse(error, vars ? "\"vars\" is not an object"
                                      : "kind, to and message_id are strings");
        }
    }
    if (json_object_get(json, "kind") == NULL || json_object_get(json, "to") == NULL) {
        return refuse(error, "expected \"kind\" and \"to\"");
    }
    return json_object_size(json_object_get(json, "vars")) <= FB_MAIL_VARS_MAX
               ? FB_OK
               : fb_error_set(error, FB_ETOOBIG, "more than %d variables", FB_MAIL_VARS_MAX);
}

static int read_members(json_t *json, fb_mail_payload *payload, fb_error *error) {
    json_t *vars = json_object_get(json, "vars");
    size_t count = json_object_size(vars);
    reading *owned = fb_mem_new(sizeof(*owned) + count * sizeof(owned->vars[0]));

    if (owned == NULL) {
        return fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
    }
    int result = read_vars(vars, owned->vars, error);
    if (result != FB_OK) {
        fb_mem_free(owned);
        return result;
    }
    owned->json = json;
    *payload = (fb_mail_payload){
        .kind = string_of(json_object_get(json, "kind")),
        .to = string_of(json_object_get(json, "to")),
        .message_id = string_of(json_object_get(json, "message_id")),
        .vars = owned->vars,
        .var_count = count,
        .owned = owned,
    };
    return FB_OK;
}

int fb_mail_payload_read(fb_str text, fb_mail_payload *payload, fb_error *error) {
    json_error_t where;

    *payload = (fb_mail_payload){0};
    json_t *json = json_loadb(text.len > 0 ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES,
                              &where);
    if (json == NULL && json_error_code(&where) == json_error_out_of_memory) {
        return fb_error_set(error, FB_ENOMEM, "%s", fb_result_text(FB_ENOMEM));
    }
    if (json == NULL) {
        // What jansson says repeats the text, which may be a code.
        (void)fb_error_set(error, FB_ESYNTAX, "not JSON, or something in it is there twice");
        fb_error_place(error, NULL, where.line > 0 ? (uint32_t)where.line : 0,
                       where.column > 0 ? (uint32_t)where.column : 0);
        return FB_ESYNTAX;
    }
    int result = check_members(json, error);
    result = result == FB_OK ? read_members(json, payload, error) : result;
    if (result != FB_OK) {
        json_decref(json);
    }
    return result;
}

void fb_mail_payload_release(fb_mail_payload *payload) {
    reading *owned = payload->owned;

    if (owned != NULL) {
        json_decref(owned->json);
        fb_mem_free(owned);
    }
    *payload = (fb_mail_payload){0};
}

int fb_mail_payload_show(fb_str text, fb_buf *out) {
    fb_mail_payload payload;
    int result = fb_mail_payload_read(text, &payload, NULL);

    if (result == FB_OK) {
        result = append_payload(&payload, true, out);
        fb_mail_payload_release(&payload);
    }
    return result == FB_ETOOBIG ? FB_ESYNTAX : result;
}
