// An answer is looked at anew with each read until it is whole: it nearly always is the first time. What a
// server says without a length (chunks, a stream) has no end that could be waited for at a rate.

#include "cli/bench_load_http.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/error.h"
#include "base/str.h"

static const int64_t BODY_MAX = INT64_C(512) << 20;
enum { HEAD_MAX = 64 * 1024 };

static fb_str rest_after(fb_str text, size_t count) {
    return fb_str_make(text.ptr + count, text.len - count);
}

// ---- addresses

bool fb_load_http_is(fb_str url) {
    return fb_str_starts(url, FB_STR("http://")) || fb_str_starts(url, FB_STR("https://"));
}

static bool has_port(fb_str place) {
    while (fb_str_find(place, '@') < place.len) {
        place = rest_after(place, fb_str_find(place, '@') + 1);
    }
    place = fb_str_starts(place, FB_STR("[")) ? rest_after(place, fb_str_find(place, ']')) : place;
    return fb_str_find(place, ':') < place.len;
}

int fb_load_http_url(fb_str url, fb_address *address, char path[FB_LOAD_PATH_SIZE], fb_error *error) {
    bool tls = fb_str_starts(url, FB_STR("https:"));
    fb_str rest = rest_after(url, tls ? strlen("https://") : strlen("http://"));
    size_t slash = fb_str_find(rest, '/');
    fb_str place = {rest.ptr, slash};
    fb_str target = rest_after(rest, slash);
    char text[FB_LOAD_PATH_SIZE * 2];
    int len = snprintf(text, sizeof text, "%s%.*s%s", tls ? "forebays://" : "forebay://",
                       FB_STR_ARG(place), has_port(place) ? "" : ":8080");
    if (len < 0 || (size_t)len >= sizeof text || target.len >= FB_LOAD_PATH_SIZE) {
        return fb_error_set(error, FB_EINVAL, "--url: longer than %d bytes", FB_LOAD_PATH_SIZE - 1);
    }
    for (size_t i = 0; i < target.len; i++) {
        if (target.ptr[i] <= ' ' || target.ptr[i] > '~') {
            return fb_error_set(error, FB_EINVAL, "--url: a path has no such byte: percent-encode it");
        }
    }
    (void)snprintf(path, FB_LOAD_PATH_SIZE, "%.*s", target.len > 1 ? (int)target.len : 0, target.ptr);
    // What it says of the text is about another scheme.
    return fb_address_read(fb_str_make(text, (size_t)len), address, NULL) == FB_OK
               ? FB_OK
               : fb_error_set(error, FB_EINVAL, "--url: expected http://host:port, perhaps with user:password@ "
                                                "before and a path behind it");
}

// ---- requests

static bool is_plain(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '-' || byte == '_' || byte == '.' || byte == ':';
}

static int put_escaped(fb_buf *out, fb_str text) {
    int result = FB_OK;
    for (size_t i = 0; i < text.len && result == FB_OK; i++) {
        result = is_plain(text.ptr[i])
                     ? fb_buf_byte(out, text.ptr[i])
                     : fb_buf_printf(out, "%%%02X", (unsigned)(unsigned char)text.ptr[i]);
    }
    return result;
}

// "GET /v1/fetch/" name "?" param "=" key
static int put_words(fb_buf *out, const char *before, fb_str first, const char *between, fb_str last) {
    int result = fb_buf_printf(out, "%s", before);
    result = result == FB_OK ? put_escaped(out, first) : result;
    result = result == FB_OK ? fb_buf_printf(out, "%s", between) : result;
    return result == FB_OK ? put_escaped(out, last) : result;
}

static int put_line(const fb_load_plan *plan, const fb_load_part *part, fb_str key, fb_buf *out) {
    const fb_str none = FB_STR("");
    fb_str name = fb_str_of(part->name), param = fb_str_of(part->param);
    if (plan->path[0] != '\0') {
        return fb_buf_printf(out, "GET %s", plan->path);
    }
    switch (part->kind) {
        case FB_LOAD_GET:
            return put_words(out, "GET /v1/keys/", key, "", none);
        case FB_LOAD_SET:
            return put_words(out, "PUT /v1/keys/", key, "", none);
        case FB_LOAD_FETCH:
            if (param.len == 0) {
                return put_words(out, "GET /v1/fetch/", name, "", none);
            }
            if (put_words(out, "GET /v1/fetch/", name, "?", param) < 0) {
                return FB_ENOMEM;
            }
            return put_words(out, "=", key, "", none);
        case FB_LOAD_LIMIT:
            return put_words(out, "POST /v1/limits/check?rule=", name, "&key=", key);
        case FB_LOAD_ENQUEUE:
            return put_words(out, "POST /v1/queues/", name, "/jobs?raw=1", none);
    }
    return FB_EINVAL;
}

static int put_login(const fb_address *to, fb_buf *out) {
    char text[sizeof to->user + sizeof to->password];
    int len = snprintf(text, sizeof text, "%s:%s", to->user, to->password);
    if (to->password[0] == '\0') {
        return FB_OK;
    }
    int result = fb_buf_printf(out, "Authorization: Basic ");
    result = result == FB_OK ? fb_base64_write(fb_str_make(text, (size_t)len), out) : result;
    return result == FB_OK ? fb_buf_printf(out, "\r\n") : result;
}

int fb_load_http_put(const fb_load_plan *plan, const fb_load_part *part, fb_str key, fb_str value,
                     fb_buf *out) {
    bool path = plan->path[0] != '\0';
    bool posts = !path && (part->kind == FB_LOAD_LIMIT || part->kind == FB_LOAD_ENQUEUE);
    bool has_body = !path && (part->kind == FB_LOAD_SET || part->kind == FB_LOAD_ENQUEUE);
    int result = put_line(plan, part, key, out);
    result = result == FB_OK ? fb_buf_printf(out, " HTTP/1.1\r\nHost: %s\r\n", plan->address.name) : result;
    result = result == FB_OK ? put_login(&plan->address, out) : result;
    if (result == FB_OK && (posts || has_body)) {
        result = fb_buf_printf(out, "Content-Length: %zu\r\n", has_body ? value.len : 0);
    }
    if (result == FB_OK && has_body) {
        result = fb_buf_printf(out, "Content-Type: application/octet-stream\r\n");
    }
    result = result == FB_OK ? fb_buf_printf(out, "\r\n") : result;
    return result == FB_OK && has_body ? fb_buf_append(out, value) : result;
}

// ---- answers

// The next line of a head, without its end.
static fb_str next_line(fb_str *head) {
    size_t len = fb_str_find(*head, '\n');
    fb_str line = fb_str_make(head->ptr, len > 0 && head->ptr[len - 1] == '\r' ? len - 1 : len);
    *head = rest_after(*head, len < head->len ? len + 1 : len);
    return line;
}

// "HTTP/1.1 200 OK". 0: it is none.
static int read_status(fb_str line) {
    int64_t status = 0;
    bool fits = line.len >= 12 && fb_str_starts(line, FB_STR("HTTP/1.")) && line.ptr[8] == ' ' &&
                fb_str_int(fb_str_make(line.ptr + 9, 3), &status) == FB_OK && status >= 200;
    return fits ? (int)status : 0;
}

// FB_ESYNTAX: a body whose length is not said.
static int64_t body_len(int status, fb_str head) {
    int64_t len = status == 204 || status == 304 ? 0 : FB_ESYNTAX;
    while (head.len > 0) {
        fb_str line = next_line(&head);
        size_t colon = fb_str_find(line, ':');
        bool is_length = colon < line.len &&
                         fb_str_same(fb_str_make(line.ptr, colon), FB_STR("Content-Length"));
        if (is_length && len != 0) {
            fb_str value = fb_str_trim(rest_after(line, colon + 1));
            bool fits = fb_str_int(value, &len) == FB_OK && len >= 0;
            return !fits ? FB_ESYNTAX : len > BODY_MAX ? FB_ETOOBIG : len;
        }
    }
    return len;
}

ssize_t fb_load_http_read(fb_str bytes, fb_load_http_answer *answer) {
    const char *end = bytes.len > 0 ? memmem(bytes.ptr, bytes.len, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        return bytes.len > HEAD_MAX ? FB_ESYNTAX : 0;
    }
    size_t head_len = (size_t)(end - bytes.ptr) + 4;
    fb_str head = {bytes.ptr, head_len};
    answer->status = head_len <= HEAD_MAX ? read_status(next_line(&head)) : 0;
    int64_t len = answer->status > 0 ? body_len(answer->status, head) : FB_ESYNTAX;
    if (len < 0) {
        return (ssize_t)len;
    }
    if (bytes.len - head_len < (size_t)len) {
        return 0;
    }
    answer->body = fb_str_make(bytes.ptr + head_len, (size_t)len);
    return (ssize_t)(head_len + (size_t)len);
}

// {"title":…,"code":"NOCLASS"}: a word without escapes.
static fb_str code_of(fb_str body) {
    static const char NAME[] = "\"code\":\"";
    const char *at = body.len > 0 ? memmem(body.ptr, body.len, NAME, sizeof NAME - 1) : NULL;
    if (at == NULL) {
        return FB_STR("");
    }
    fb_str rest = rest_after(body, (size_t)(at - body.ptr) + sizeof NAME - 1);
    return fb_str_make(rest.ptr, fb_str_find(rest, '"'));
}

fb_str fb_load_http_error(const fb_load_http_answer *answer, char text[FB_LOAD_ERROR_SIZE], bool *none) {
    fb_str code = answer->status >= 400 ? code_of(answer->body) : FB_STR("");
    *none = answer->status == 404 && code.len == 0;
    if (answer->status < 400 || *none || code.len > 0) {
        return code;
    }
    int len = snprintf(text, FB_LOAD_ERROR_SIZE, "HTTP %d", answer->status);
    return fb_str_make(text, (size_t)len);
}
