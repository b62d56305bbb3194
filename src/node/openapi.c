// GET /openapi.json: OpenAPI 3.1, made from the route table and the schemas of openapi.json.
//
// Of a route's answers the table has what is its own; what any request may be answered (a wrong
// parameter, no right to it, too much) is added here. A test asks every route, and takes each answer
// that this document does not describe for a mistake: tests/system/test_http_api.py.
//
// HEAD and OPTIONS are the same everywhere, and are left out.

#include "node/openapi.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "node/route.h"

enum { TEXT_SIZE = 160 };

static const char COMMON[] = "400, 401, 403, 406, 413, 415, 429, 503";

// ---- parts of lists with commas

static bool next_part(const char **rest, char part[TEXT_SIZE], const char *ends) {
    *rest += strspn(*rest, " ,|");
    size_t len = strcspn(*rest, ends);
    (void)snprintf(part, TEXT_SIZE, "%.*s", (int)len, *rest);
    *rest += len;
    return len > 0;
}

// "{class}" in a path: moves *rest behind it.
static bool next_name(const char **rest, char name[TEXT_SIZE]) {
    const char *brace = strchr(*rest, '{');
    if (brace == NULL) {
        return false;
    }
    (void)snprintf(name, TEXT_SIZE, "%.*s", (int)strcspn(brace + 1, "}"), brace + 1);
    *rest = strchr(brace, '}');
    return true;
}

// ---- parameters

static json_t *choice(const char *type) {
    char word[TEXT_SIZE];
    json_t *words = json_array();
    while (next_part(&type, word, "|")) {
        (void)json_array_append_new(words, json_string(word));
    }
    return json_pack("{s:s, s:o}", "type", "string", "enum", words);
}

static json_t *schema_of(const char *type) {
    if (type == NULL) {
        return json_pack("{s:s}", "type", "string");
    }
    if (strcmp(type, "integer") == 0) {
        return json_pack("{s:s}", "type", "integer");
    }
    if (strcmp(type, "duration") == 0) {
        return json_pack("{s:s}", "$ref", "#/components/schemas/Duration");
    }
    return choice(type);
}

static json_t *parameters_of(const fb_route *route) {
    json_t *list = json_array();
    char name[TEXT_SIZE];
    const char *rest = route->path;
    while (next_name(&rest, name)) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in",
                                                    "path", "required", 1, "schema", "type",
                                                    "string"));
    }
    for (const fb_route_param *param = route->params; param != NULL && param->name != NULL;
         param++) {
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:o}", "name", param->name, "in", "query",
                            "description", param->help, "schema", schema_of(param->type)));
    }
    if (strstr(route->path, "{class}") != NULL) {
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s, s:b, s:{s:s, s:{s:s}}}", "name", "parameters",
                            "in", "query", "description", "the parameters of the class", "style",
                            "form", "explode", 1, "schema", "type", "object",
                            "additionalProperties", "type", "string"));
    }
    return list;
}

// ---- bodies

// Of one media type: that of a name with a slash in it, or JSON of the schema of that name.
static json_t *content_of(const char *name) {
    char reference[TEXT_SIZE + 32];
    if (strchr(name, '/') != NULL) {
        return json_pack("{s:{}}", name);
    }
    (void)snprintf(reference, sizeof reference, "#/components/schemas/%s", name);
    return json_pack("{s:{s:{s:s}}}", "application/json", "schema", "$ref", reference);
}

static json_t *request_body(const char *body) {
    bool needed = body[0] != '?';
    return json_pack("{s:b, s:o}", "required", needed, "content", content_of(body + !needed));
}

static void add_headers(json_t *answer) {
    static const char *const names[] = {"Age", "Cache-Control", "Cache-Status", "ETag"};
    json_t *headers = json_object();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char reference[TEXT_SIZE];
        (void)snprintf(reference, sizeof reference, "#/components/headers/%s", names[i]);
        (void)json_object_set_new(headers, names[i], json_pack("{s:s}", "$ref", reference));
    }
    (void)json_object_set_new(answer, "headers", headers);
}

// "200 Stats", of which there may be several with one status.
static void add_answer(json_t *answers, const char *part) {
    char status[4] = "";
    const char *name = part + strcspn(part, " ");
    (void)snprintf(status, sizeof status, "%s", part);
    name += name[0] == ' ';
    json_t *known = json_object_get(answers, status);
    if (known != NULL) {
        json_t *content = content_of(name);
        (void)json_object_update_missing(json_object_get(known, "content"), content);
        json_decref(content);
        return;
    }
    if (name[0] == '\0' && status[0] >= '4') {
        (void)json_object_set_new(
            answers, status, json_pack("{s:s}", "$ref", "#/components/responses/Problem"));
        return;
    }
    json_t *answer =
        json_pack("{s:s}", "description", fb_http_status_text((int)strtol(status, NULL, 10)));
    if (name[0] != '\0') {
        (void)json_object_set_new(answer, "content", content_of(name));
    }
    if (strcmp(name, "*/*") == 0) {
        add_headers(answer);
    }
    (void)json_object_set_new(answers, status, answer);
}

static json_t *answers_of(const fb_route *route) {
    json_t *answers = json_object();
    char part[TEXT_SIZE];
    const char *rest = route->answers != NULL ? route->answers : "";
    while (next_part(&rest, part, ",")) {
        add_answer(answers, part);
    }
    rest = COMMON;
    while (next_part(&rest, part, ",")) {
        if (json_object_get(answers, part) == NULL) {
            add_answer(answers, part);
        }
    }
    return answers;
}

// ---- routes

// "getV1KeysKey".
static void name_of(const fb_route *route, char name[TEXT_SIZE]) {
    size_t len = 0;
    bool begins = false;
    for (const char *at = route->method; *at != '\0'; at++) {
        name[len++] = (char)tolower((unsigned char)*at);
    }
    for (const char *at = route->path; *at != '\0' && len + 1 < TEXT_SIZE; at++) {
        bool letter = isalnum((unsigned char)*at) != 0;
        if (letter) {
            name[len++] = begins ? (char)toupper((unsigned char)*at) : *at;
        }
        begins = !letter;
    }
    name[len] = '\0';
}

static json_t *operation(const fb_route *route) {
    char name[TEXT_SIZE];
    name_of(route, name);
    json_t *one = json_pack("{s:s, s:s, s:o, s:o}", "operationId", name, "summary", route->summary,
                            "parameters", parameters_of(route), "responses", answers_of(route));
    if (route->body != NULL) {
        (void)json_object_set_new(one, "requestBody", request_body(route->body));
    }
    if (route->command != NULL) {
        (void)json_object_set_new(one, "security", json_pack("[{s:[]}, {}]", "bearer"));
        (void)json_object_set_new(one, "x-command", json_string(route->command));
    }
    return one;
}

static json_t *paths(void) {
    json_t *all = json_object();
    for (const fb_route *route = FB_ROUTES; route->method != NULL; route++) {
        char method[TEXT_SIZE] = "";
        for (size_t i = 0; route->method[i] != '\0'; i++) {
            method[i] = (char)tolower((unsigned char)route->method[i]);
        }
        if (json_object_get(all, route->path) == NULL) {
            (void)json_object_set_new(all, route->path, json_object());
        }
        (void)json_object_set_new(json_object_get(all, route->path), method, operation(route));
    }
    return all;
}

// NULL: no memory.
static json_t *document(void) {
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:o, s:o}", "openapi", "3.1.0", "info", "title",
                     "forebay", "version", fb_version(), "description",
                     "Cache, limits and a queue in front of everything slow. HEAD works wherever GET "
                     "does, and OPTIONS says what a path takes.",
                     "paths", paths(), "components",
                     json_loads(fb_openapi_components, 0, NULL));
}

static int append(const char *bytes, size_t len, void *arg) {
    return fb_buf_append(arg, fb_str_make(bytes, len)) < 0 ? -1 : 0;
}

int fb_route_openapi(fb_http_call *call) {
    json_t *root = document();
    fb_http_begin(call->response, 200);
    fb_http_header_add(call->response, "Content-Type", "application/json");
    fb_http_header_add(call->response, "Cache-Control", "no-cache");
    bool fits = root != NULL &&
                json_dump_callback(root, append, &call->response->body, JSON_COMPACT) == 0;
    json_decref(root);
    return fits ? fb_buf_byte(&call->response->body, '\n') : FB_ENOMEM;
}
