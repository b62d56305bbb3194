// Any request at a node on a real engine: method, target, headers and body, a line each, the body to the
// end. The line of headers has their values, in the order of FB_HTTP_REQUEST_HEADERS and then that of
// `key_header`, with '|' between them; one value alone is that of all. Whatever it is, there is one
// answer with a status of ours, headers that are lines, and a body that is what Content-Type says.

#include "base/json.h"
#include "http_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_MAX_BYTES = 4096 };

static rig shared;

static fb_str next_line(fb_str *rest) {
    size_t len = fb_str_find(*rest, '\n');
    size_t used = len < rest->len ? len + 1 : len;
    fb_str line = {rest->ptr, len};
    *rest = fb_str_make(rest->ptr + used, rest->len - used);
    return line;
}

static fb_str next_value(fb_str *rest) {
    size_t len = fb_str_find(*rest, '|');
    size_t used = len < rest->len ? len + 1 : len;
    fb_str value = {rest->ptr, len};
    *rest = fb_str_make(rest->ptr + used, rest->len - used);
    return value;
}

static void set_headers(fb_http_request *request, fb_str values) {
    bool alone = fb_str_find(values, '|') == values.len;
#define SET(field, name) request->field = alone ? values : next_value(&values);
    FB_HTTP_REQUEST_HEADERS(SET)
#undef SET
    request->key_header = alone ? values : next_value(&values);
}

static void check_header(const fb_http_header *header) {
    FB_ASSERT(header->name[0] != '\0' && strlen(header->value) < FB_HTTP_HEADER_SIZE);
    for (const char *at = header->value; *at != '\0'; at++) {
        FB_ASSERT((unsigned char)*at >= ' ' && *at != 127);
    }
}

static void check_body(const asking *one) {
    const char *type = asking_header(one, "Content-Type");
    fb_str body = fb_buf_str(&one->response.body);
    int status = one->response.status;
    bool json = strcmp(type, "application/json") == 0;
    if (status == 204 || status == 304) {
        FB_ASSERT(body.len == 0 && type[0] == '\0');
    } else if (strncmp(type, "text/html;", 10) == 0) {
        FB_ASSERT(status == 200 || status == 404 || status == 429 || status == 503);
    } else if (status >= 400) {
        FB_ASSERT(strcmp(type, "application/problem+json") == 0 && fb_json_valid(body));
    } else {
        FB_ASSERT(type[0] != '\0' && (!json || fb_json_valid(body)));
    }
}

static void check(const asking *one) {
    const fb_http_response *response = &one->response;
    FB_ASSERT(strcmp(fb_http_status_text(response->status), "Internal Server Error") != 0);
    FB_ASSERT(response->header_count <= FB_HTTP_HEADERS_MAX);
    for (size_t i = 0; i < response->header_count; i++) {
        check_header(&response->headers[i]);
    }
    check_body(one);
}

static void end(void) {
    rig_close(&shared);
}

static void open_once(void) {
    static bool opened;
    if (!opened) {
        rig_open_until_exit(&shared, end);
        shared.node.http_prefix = "/app";
        opened = true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    open_once();
    if (size > SIZE_MAX_BYTES) {
        return 0;
    }
    fb_str rest = {(const char *)data, size};
    asking one;
    asking_init(&one, &shared, "", "");
    one.request.method = next_line(&rest);
    fb_str target = next_line(&rest);
    size_t mark = fb_str_find(target, '?');
    one.request.path = fb_str_make(target.ptr, mark);
    if (mark < target.len) {
        one.request.query = fb_str_make(target.ptr + mark + 1, target.len - mark - 1);
    }
    set_headers(&one.request, next_line(&rest));
    one.request.body = rest;
    asking_start(&one);
    asking_leave(&one);  // who waits for jobs would wait for long
    asking_await(&one);
    check(&one);
    fb_http_response_release(&one.response);
    return 0;
}
