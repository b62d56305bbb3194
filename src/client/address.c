// Reading addresses, from the left to the right: the scheme, what stands before the last '@' (a
// password may have one in it), the host and its port. A mistake is told with the text it is in,
// but without what stands before the '@': it goes to logs and screens.

#include "client/address.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

#define DEFAULT_HOST FB_STR("127.0.0.1")
#define DEFAULT_PORT FB_STR("6380")

static fb_str rest_after(fb_str str, size_t count) {
    return fb_str_make(str.ptr + count, str.len - count);
}

// The last '@', or len.
static size_t find_at(fb_str text) {
    for (size_t i = text.len; i > 0; i--) {
        if (text.ptr[i - 1] == '@') {
            return i - 1;
        }
    }
    return text.len;
}

// Of "forebay://", and of "redis://", as other clients of the same server have it; 0: none.
static size_t scheme_len(fb_str text) {
    static const fb_str schemes[] = {FB_STR_INIT("forebay://"), FB_STR_INIT("redis://"),
                                     FB_STR_INIT("forebays://"), FB_STR_INIT("rediss://")};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (fb_str_starts(text, schemes[i])) {
            return schemes[i].len;
        }
    }
    return 0;
}

static int refuse(fb_str text, fb_error *error, const char *why) {
    size_t at = find_at(text);
    size_t scheme = scheme_len(text);
    bool secret = at < text.len;
    fb_str head = {text.ptr, secret ? scheme : 0};
    fb_str tail = secret ? rest_after(text, at) : text;
    return fb_error_set(error, FB_EINVAL,
                        "'%.*s%s%.*s' is no address: %s; expected forebay://host:port, host:port "
                        "or unix:/path",
                        FB_STR_ARG(head), secret ? "***" : "", FB_STR_ARG(tail), why);
}

static bool copy(char *to, size_t to_size, fb_str from) {
    if (from.len >= to_size || fb_str_find(from, '\0') < from.len) {
        return false;
    }
    if (from.len > 0) {
        memcpy(to, from.ptr, from.len);
    }
    to[from.len] = '\0';
    return true;
}

// ---- user and password

static int hex_digit(char byte) {
    static const char digits[] = "0123456789abcdef";
    const char *found = byte != '\0' ? strchr(digits, byte | 0x20) : NULL;
    return found != NULL && (byte > '9' || found - digits < 10) ? (int)(found - digits) : -1;
}

static bool decode(char *to, size_t to_size, fb_str from) {
    size_t len = 0;
    for (size_t i = 0; i < from.len; i++, len++) {
        int byte = (unsigned char)from.ptr[i];
        if (byte == '%') {
            int high = i + 2 < from.len ? hex_digit(from.ptr[i + 1]) : -1;
            int low = i + 2 < from.len ? hex_digit(from.ptr[i + 2]) : -1;
            byte = high >= 0 && low >= 0 ? high * 16 + low : 0;
            i += 2;
        }
        if (byte == 0 || len + 1 >= to_size) {
            return false;
        }
        to[len] = (char)byte;
    }
    to[len] = '\0';
    return true;
}

// "user:password", or the password alone.
static bool read_login(fb_str login, fb_address *to) {
    size_t colon = fb_str_find(login, ':');
    fb_str user = {login.ptr, colon < login.len ? colon : 0};
    fb_str password = colon < login.len ? rest_after(login, colon + 1) : login;
    return decode(to->user, sizeof to->user, user) &&
           decode(to->password, sizeof to->password, password);
}

// ---- the place

// "[::1]:6380", "localhost:6380", "localhost". NULL, or what is wrong.
static const char *read_place(fb_str where, fb_address *to) {
    bool bracket = where.len > 0 && where.ptr[0] == '[';
    size_t end = bracket ? fb_str_find(where, ']') : 0;
    if (bracket && end == where.len) {
        return "there is no ']'";
    }
    fb_str tail = rest_after(where, bracket ? end + 1 : 0);
    size_t colon = fb_str_find(tail, ':');
    if (bracket && colon > 0 && tail.len > 0) {
        return "a port begins with ':'";
    }
    fb_str host = bracket ? fb_str_make(where.ptr + 1, end - 1) : fb_str_make(where.ptr, colon);
    if (!copy(to->host, sizeof to->host, host.len > 0 ? host : DEFAULT_HOST)) {
        return "the host is too long";
    }
    fb_str port = colon < tail.len ? rest_after(tail, colon + 1) : DEFAULT_PORT;
    int64_t number;
    bool fits = fb_str_int(port, &number) == FB_OK && number > 0 && number < 65536;
    if (!fits || !copy(to->port, sizeof to->port, port)) {
        return "the port is no number from 1 to 65535";
    }
    bool six = strchr(to->host, ':') != NULL;
    (void)snprintf(to->name, sizeof to->name, six ? "[%s]:%s" : "%s:%s", to->host, to->port);
    return NULL;
}

static const char *read_path(fb_str path, fb_address *to) {
    if (path.len == 0 || !copy(to->path, sizeof to->path, path)) {
        return "the path must have 1 to 107 bytes";
    }
    (void)snprintf(to->name, sizeof to->name, "unix:%s", to->path);
    return NULL;
}

// "ca=/path&insecure=1"
static const char *read_tls(fb_str query, fb_address *to) {
    while (query.len > 0) {
        size_t end = fb_str_find(query, '&');
        fb_str one = {query.ptr, end};
        query = end < query.len ? rest_after(query, end + 1) : FB_STR("");
        size_t equals = fb_str_find(one, '=');
        fb_str name = {one.ptr, equals};
        fb_str value = equals < one.len ? rest_after(one, equals + 1) : FB_STR("");
        bool fits = true;
        if (fb_str_equal(name, FB_STR("ca"))) {
            fits = copy(to->tls_ca, sizeof to->tls_ca, value);
        } else if (fb_str_equal(name, FB_STR("cert"))) {
            fits = copy(to->tls_cert, sizeof to->tls_cert, value);
        } else if (fb_str_equal(name, FB_STR("key"))) {
            fits = copy(to->tls_key, sizeof to->tls_key, value);
        } else if (fb_str_equal(name, FB_STR("insecure"))) {
            to->tls_insecure = fb_str_equal(value, FB_STR("1"));
        } else {
            return "after '?' there may be ca=, cert=, key= and insecure=1";
        }
        if (!fits) {
            return "a path is too long";
        }
    }
    return NULL;
}

static const char LOGIN_WRONG[] =
    "user or password is too long, or has a '%' without two hexadecimal digits";

// The last '@' with a '/' behind it, or len.
static size_t find_path(fb_str text) {
    for (size_t i = text.len; i > 1; i--) {
        if (text.ptr[i - 2] == '@' && text.ptr[i - 1] == '/') {
            return i - 2;
        }
    }
    return text.len;
}

// "/path", or "//user:password@/path".
static const char *read_socket(fb_str rest, fb_address *to) {
    size_t at = find_path(rest);
    if (fb_str_starts(rest, FB_STR("//")) && at < rest.len) {
        if (!read_login(fb_str_make(rest.ptr + 2, at - 2), to)) {
            return LOGIN_WRONG;
        }
        rest = rest_after(rest, at + 1);
    }
    return read_path(rest, to);
}

static const char *read_server(fb_str rest, fb_address *to) {
    size_t mark = to->tls ? fb_str_find(rest, '?') : rest.len;
    const char *wrong =
        mark < rest.len ? read_tls(rest_after(rest, mark + 1), to) : NULL;
    if (wrong != NULL) {
        return wrong;
    }
    rest.len = mark;
    size_t at = find_at(rest);
    if (at < rest.len) {
        if (!read_login(fb_str_make(rest.ptr, at), to)) {
            return LOGIN_WRONG;
        }
        rest = rest_after(rest, at + 1);
    }
    size_t slash = fb_str_find(rest, '/');
    fb_str database = slash < rest.len ? rest_after(rest, slash + 1) : FB_STR("");
    if (database.len > 0 && !fb_str_equal(database, FB_STR("0"))) {
        return "there is database 0 alone";
    }
    return read_place(fb_str_make(rest.ptr, slash), to);
}

int fb_address_read(fb_str text, fb_address *address, fb_error *error) {
    const char *wrong;
    *address = (fb_address){.user = ""};
    if (fb_str_starts(text, FB_STR("unix:"))) {
        wrong = read_socket(rest_after(text, strlen("unix:")), address);
    } else if (scheme_len(text) > 0) {
        address->tls = fb_str_starts(text, FB_STR("forebays:")) ||
                       fb_str_starts(text, FB_STR("rediss:"));
        wrong = read_server(rest_after(text, scheme_len(text)), address);
    } else if (text.len > 0 && memmem(text.ptr, text.len, "://", 3) != NULL &&
               find_at(text) == text.len) {
        wrong = "the scheme is not forebay";
    } else {
        wrong = read_server(text, address);
    }
    return wrong == NULL ? FB_OK : refuse(text, error, wrong);
}
