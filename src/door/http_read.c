// A request of libevent's server in the words of the node.

#include "door/http_read.h"

#include <event2/buffer.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

static const char *method_name(enum evhttp_cmd_type type) {
    switch (type) {
        case EVHTTP_REQ_GET:
            return "GET";
        case EVHTTP_REQ_POST:
            return "POST";
        case EVHTTP_REQ_HEAD:
            return "HEAD";
        case EVHTTP_REQ_PUT:
            return "PUT";
        case EVHTTP_REQ_DELETE:
            return "DELETE";
        case EVHTTP_REQ_OPTIONS:
            return "OPTIONS";
        case EVHTTP_REQ_TRACE:
            return "TRACE";
        case EVHTTP_REQ_CONNECT:
            return "CONNECT";
        case EVHTTP_REQ_PATCH:
            return "PATCH";
    }
    return "?";
}

enum {
    WITH_BODY = EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_PATCH
};

// "/a?b", or with a proxy's "http://host" before it.
static void split_target(const char *uri, fb_str *path, fb_str *query) {
    const char *host = uri[0] != '/' ? strstr(uri, "://") : NULL;
    if (host != NULL) {
        uri = host + 3 + strcspn(host + 3, "/?");
    }
    fb_str all = fb_str_of(uri);
    size_t mark = fb_str_find(all, '?');
    *path = mark > 0 || host == NULL ? fb_str_make(uri, mark) : FB_STR("/");
    *query = mark < all.len ? fb_str_make(uri + mark + 1, all.len - mark - 1) : fb_str_make("", 0);
}

// ---- what the server lets through

static unsigned count_headers(const struct evkeyvalq *headers, const char *name) {
    unsigned count = 0;
    for (const struct evkeyval *one = headers->tqh_first; one != NULL; one = one->next.tqe_next) {
        count += strcasecmp(one->key, name) == 0;
    }
    return count;
}

// "Content-Length : 5" would be another header than the one it looks like.
static bool has_names(const struct evkeyvalq *headers) {
    for (const struct evkeyval *one = headers->tqh_first; one != NULL; one = one->next.tqe_next) {
        if (one->key[0] == '\0' || one->key[strcspn(one->key, " \t\"(),/:;<=>?@[\\]{}")] != '\0') {
            return false;
        }
    }
    return true;
}

// The server believes the first of two lengths, and reads "+2" as 2.
static bool has_one_length(const struct evkeyvalq *headers) {
    const char *len = evhttp_find_header(headers, "Content-Length");
    unsigned count = count_headers(headers, "Content-Length") +
                     count_headers(headers, "Transfer-Encoding");
    return count <= 1 && (len == NULL || (len[0] != '\0' && len[strspn(len, "0123456789")] == '\0'));
}

int fb_http_read_fault(struct evhttp_request *request, const char **why) {
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *coding = evhttp_find_header(headers, "Transfer-Encoding");
    unsigned hosts = count_headers(headers, "Host");
    bool needs_host = request->major == 1 && request->minor >= 1;
    *why = NULL;
    if (!has_names(headers)) {
        *why = "the name of a header has something in it that a name has not";
    } else if (hosts > 1 || (hosts == 0 && needs_host)) {
        *why = "a request of HTTP/1.1 has one header Host";
    } else if (!has_one_length(headers)) {
        *why = "the length of the body has to be said once, by Content-Length or Transfer-Encoding";
    } else if (coding != NULL && strcasecmp(coding, "chunked") != 0) {
        *why = "the only Transfer-Encoding is chunked";
        return 501;
    }
    return *why != NULL ? 400 : 0;
}

static bool says_close(const struct evkeyvalq *headers) {
    for (const struct evkeyval *one = headers->tqh_first; one != NULL; one = one->next.tqe_next) {
        fb_str rest = fb_str_of(strcasecmp(one->key, "Connection") == 0 ? one->value : "");
        while (rest.len > 0) {
            size_t len = fb_str_find(rest, ',');
            if (fb_str_same(fb_str_trim(fb_str_make(rest.ptr, len)), FB_STR("close"))) {
                return true;
            }
            size_t used = len < rest.len ? len + 1 : len;
            rest = fb_str_make(rest.ptr + used, rest.len - used);
        }
    }
    return false;
}

// The server takes no body for some methods, and reads one that is there as the next request.
bool fb_http_read_is_last(struct evhttp_request *request) {
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *len = evhttp_find_header(headers, "Content-Length");
    const char *coding = evhttp_find_header(headers, "Transfer-Encoding");
    bool reads_body = (evhttp_request_get_command(request) & WITH_BODY) != 0;
    return says_close(headers) ||
           (!reads_body && (coding != NULL || (len != NULL && strcmp(len, "0") != 0)));
}

// Of several the last, which is the one that the nearest proxy has written.
static fb_str last_header(const struct evkeyvalq *headers, const char *name) {
    fb_str value = FB_STR("");
    for (const struct evkeyval *one = headers->tqh_first; one != NULL; one = one->next.tqe_next) {
        value = strcasecmp(one->key, name) == 0 ? fb_str_of(one->value) : value;
    }
    return value;
}

// The server answers HTTP/1.2 in its own version, which we do not speak, and ends the connection of whoever
// names a host in the target, as if it had come through a proxy of the nineties.
static void set_right(struct evhttp_request *request) {
    request->minor = request->major == 1 && request->minor > 1 ? 1 : request->minor;
    request->flags &= ~EVHTTP_PROXY_REQUEST;
}

fb_http_request fb_http_read(struct evhttp_request *request) {
    set_right(request);
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    char name[FB_HTTP_NAME_SIZE];
    size_t len = evbuffer_get_length(body);
    const char *bytes = len > 0 ? (const char *)evbuffer_pullup(body, -1) : NULL;
    fb_http_request is = {
        .method = fb_str_of(method_name(evhttp_request_get_command(request))),
        .body = {bytes, bytes != NULL ? len : 0},
#define FIND(field, name) .field = fb_str_of(evhttp_find_header(headers, name)),
        FB_HTTP_REQUEST_HEADERS(FIND)
#undef FIND
    };
    split_target(evhttp_request_get_uri(request), &is.path, &is.query);
    if (fb_http_key_header(is.query, name)) {
        is.key_header = last_header(headers, name);
    }
    return is;
}
