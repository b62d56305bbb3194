// Reading the place of a Redis.
//
// An URL is taken apart from the outside in: scheme, then everything up to the first of "/?#" is
// who and where, the rest is path and query. Within the first part the last '@' ends user and
// password.
//
// An error never quotes the text. Passwords are what people forget to encode, and then any part of
// the URL may be a part of the password: in "redis://:a/b@host" the path begins with "b". So errors
// are columns, and where an '@' stands behind the first part, they say what that usually means.

#include "wire/redis_url.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"

enum { SOCKET_PATH_LEN_MAX = 107 };
#define DB_MAX 2147483647

typedef struct reader {
    fb_str text;
    fb_str place, path, query;  // parts of it; query without its '?'
    fb_redis_url *url;
    bool db_said, user_said, password_said, sentinel_user_said, sentinel_password_said;
    fb_error *error;
} reader;

// `at` is where in the text it is wrong.
static int refuse(reader *r, const char *at, const char *what) {
    uint32_t column = (uint32_t)(at - r->text.ptr) + 1;
    bool stray = r->url->path[0] == '\0' && r->place.ptr != NULL &&
                 (fb_str_find(r->path, '@') < r->path.len ||
                  fb_str_find(r->query, '@') < r->query.len);
    (void)fb_error_set(r->error, FB_EINVAL, "column %u: %s%s", column, what,
                       stray ? " (in a password '/', '?' and '#' are written %2F, %3F and %23)"
                             : "");
    fb_error_place(r->error, NULL, 0, column);
    return FB_EINVAL;
}

static fb_str after(fb_str str, size_t count) {
    return fb_str_make(str.ptr + count, str.len - count);
}

static fb_str until(fb_str str, size_t count) {
    return fb_str_make(str.ptr, count);
}

// ---- small parts

static int hex_value(char digit) {
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = (char)(digit | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Percent-decoded into `out`, of FB_REDIS_TEXT_MAX bytes.
static int decode(reader *r, fb_str raw, char *out) {
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        const char *at = raw.ptr + i;
        char byte = *at;
        if (byte == '%') {
            int high = i + 1 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
            int low = i + 2 < raw.len ? hex_value(raw.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return refuse(r, at, "two hexadecimal digits are missing after '%'");
            }
            byte = (char)(high * 16 + low);
            i += 2;
        } else if ((unsigned char)byte <= ' ') {
            return refuse(r, at, "a blank or control character (is it percent-encoded?)");
        }
        if (byte == '\0') {
            return refuse(r, at, "a NUL");
        }
        if (len + 1 >= FB_REDIS_TEXT_MAX) {
            return refuse(r, raw.ptr, "longer than 255 bytes");
        }
        out[len++] = byte;
    }
    out[len] = '\0';
    return FB_OK;
}

// Once only.
static int decode_once(reader *r, fb_str raw, char *out, bool *said) {
    if (*said) {
        return refuse(r, raw.ptr, "this is said twice");
    }
    *said = true;
    return decode(r, raw, out);
}

static int read_db(reader *r, fb_str raw) {
    int64_t number = 0;
    if (r->db_said) {
        return refuse(r, raw.ptr, "the database is said twice");
    }
    r->db_said = true;
    if (fb_str_int(raw, &number) != FB_OK || number < 0 || number > DB_MAX) {
        return refuse(r, raw.ptr, "the database is a number from 0");
    }
    if (number != 0 && r->url->kind == FB_REDIS_CLUSTER) {
        return refuse(r, raw.ptr, "a cluster has database 0 alone");
    }
    r->url->db = (uint32_t)number;
    return FB_OK;
}

// ---- scheme

typedef struct scheme {
    const char *name;
    fb_redis_kind kind;
    bool tls, local;
} scheme;

static const scheme schemes[] = {
    {"redis", FB_REDIS_ALONE, false, false},
    {"rediss", FB_REDIS_ALONE, true, false},
    {"unix", FB_REDIS_ALONE, false, true},
    {"redis+unix", FB_REDIS_ALONE, false, true},
    {"redis+sentinel", FB_REDIS_SENTINEL, false, false},
    {"rediss+sentinel", FB_REDIS_SENTINEL, true, false},
    {"redis+cluster", FB_REDIS_CLUSTER, false, false},
    {"rediss+cluster", FB_REDIS_CLUSTER, true, false},
};

static const scheme *find_scheme(fb_str name) {
    char text[20];
    bool is_valkey = name.len >= 6 && fb_str_same(until(name, 6), FB_STR("valkey"));
    fb_str rest = is_valkey ? after(name, 6) : name;
    (void)snprintf(text, sizeof text, "%s%.*s", is_valkey ? "redis" : "", FB_STR_ARG(rest));
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (fb_str_same(fb_str_of(text), fb_str_of(schemes[i].name))) {
            return &schemes[i];
        }
    }
    return NULL;
}

static const scheme *read_scheme(reader *r) {
    size_t end = fb_str_find(r->text, ':');
    fb_str rest = after(r->text, end);
    const scheme *found = NULL;
    if (fb_str_starts(rest, FB_STR("://")) && end < sizeof "valkeys+sentinel") {
        found = find_scheme(until(r->text, end));
    }
    if (found == NULL) {
        (void)refuse(r, r->text.ptr,
                     "it begins with redis://, rediss://, unix://, redis+sentinel:// or "
                     "redis+cluster://");
        return NULL;
    }
    r->place = after(rest, 3);
    return found;
}

// ---- who

static int read_login(reader *r, fb_str login) {
    size_t colon = fb_str_find(login, ':');
    fb_str user = colon < login.len ? until(login, colon) : fb_str_make(login.ptr, 0);
    fb_str password = colon < login.len ? after(login, colon + 1) : login;
    int result = FB_OK;
    if (user.len > 0) {
        result = decode_once(r, user, r->url->user, &r->user_said);
    }
    if (result == FB_OK && password.len > 0) {
        result = decode_once(r, password, r->url->password, &r->password_said);
    }
    return result;
}

// ---- where

static bool is_name_byte(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_' || byte == '.';
}

static int copy_host(reader *r, fb_str name, char *host) {
    if (name.len == 0) {
        return refuse(r, name.ptr, "the host is missing");
    }
    if (name.len >= FB_REDIS_TEXT_MAX) {
        return refuse(r, name.ptr, "longer than 255 bytes");
    }
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    return FB_OK;
}

static int read_name(reader *r, fb_str name, char *host) {
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_byte(name.ptr[i])) {
            return refuse(r, name.ptr + i,
                          "a host is letters, digits, '-', '_' and '.', or an IPv6 address in "
                          "brackets");
        }
    }
    return copy_host(r, name, host);
}

// What stands between brackets, with a zone perhaps ("fe80::1%25eth0").
static int read_bracketed(reader *r, fb_str inner, char *host) {
    static const char wrong[] = "this is no IPv6 address";
    size_t end = fb_str_find(inner, '%');
    size_t colons = 0;
    for (size_t i = 0; i < end; i++) {
        char byte = inner.ptr[i];
        colons += byte == ':' ? 1 : 0;
        if (byte != ':' && byte != '.' && hex_value(byte) < 0) {
            return refuse(r, inner.ptr + i, wrong);
        }
    }
    if (colons < 2) {
        return refuse(r, inner.ptr, wrong);
    }
    char decoded[FB_REDIS_TEXT_MAX];
    int result = decode(r, inner, decoded);
    if (result != FB_OK) {
        return result;
    }
    for (const char *zone = decoded + end; *zone != '\0'; zone++) {
        if (zone == decoded + end ? *zone != '%' : !is_name_byte(*zone)) {
            return refuse(r, inner.ptr, wrong);
        }
    }
    memcpy(host, decoded, sizeof decoded);
    return FB_OK;
}

static int read_host(reader *r, fb_str one, fb_redis_host *host) {
    host->port = r->url->kind == FB_REDIS_SENTINEL ? FB_REDIS_SENTINEL_PORT : FB_REDIS_PORT;
    size_t end = fb_str_find(one, ':');
    int result;
    if (one.len > 0 && one.ptr[0] == '[') {
        end = fb_str_find(one, ']');
        if (end == one.len) {
            return refuse(r, one.ptr, "the closing bracket is missing");
        }
        result = read_bracketed(r, fb_str_make(one.ptr + 1, end - 1), host->host);
        end++;
    } else {
        result = read_name(r, until(one, end), host->host);
    }
    if (result != FB_OK || end == one.len) {
        return result;
    }
    int64_t port = 0;
    fb_str digits = after(one, end + 1);
    if (one.ptr[end] != ':' || fb_str_int(digits, &port) != FB_OK || port < 1 ||
        port > UINT16_MAX) {
        return refuse(r, one.ptr + end, "the port is a number from 1 to 65535");
    }
    host->port = (uint16_t)port;
    return FB_OK;
}

static int read_hosts(reader *r, fb_str hosts) {
    fb_redis_url *url = r->url;
    for (;;) {
        size_t end = fb_str_find(hosts, ',');
        if (url->host_count == FB_REDIS_HOSTS_MAX) {
            return refuse(r, hosts.ptr, "more than 32 hosts");
        }
        int result = read_host(r, until(hosts, end), &url->hosts[url->host_count]);
        if (result != FB_OK) {
            return result;
        }
        url->host_count++;
        if (end == hosts.len) {
            return FB_OK;
        }
        if (url->kind == FB_REDIS_ALONE) {
            return refuse(r, hosts.ptr + end,
                          "several hosts are for redis+sentinel:// and redis+cluster://");
        }
        hosts = after(hosts, end + 1);
    }
}

// ---- path

static int read_socket_path(reader *r) {
    if (r->path.len < 2) {
        return refuse(r, r->path.ptr, "the path of the socket is missing: unix:///run/redis.sock");
    }
    char path[FB_REDIS_TEXT_MAX];
    int result = decode(r, r->path, path);
    if (result != FB_OK) {
        return result;
    }
    if (strlen(path) > SOCKET_PATH_LEN_MAX) {
        return refuse(r, r->path.ptr, "the path of a socket has at most 107 bytes");
    }
    memcpy(r->url->path, path, sizeof path);
    return FB_OK;
}

static int read_path(reader *r) {
    fb_str path = r->path.len > 0 ? after(r->path, 1) : r->path;
    if (r->url->kind == FB_REDIS_SENTINEL) {
        size_t end = fb_str_find(path, '/');
        if (end == 0) {
            return refuse(r, path.ptr, "the service is missing: redis+sentinel://host/service");
        }
        int result = decode(r, until(path, end), r->url->service);
        if (result != FB_OK) {
            return result;
        }
        path = end < path.len ? after(path, end + 1) : after(path, end);
    }
    return path.len > 0 ? read_db(r, path) : FB_OK;
}

// ---- query

static int read_parameter(reader *r, fb_str name, fb_str value) {
    fb_redis_url *url = r->url;
    if (fb_str_equal(name, FB_STR("db"))) {
        return read_db(r, value);
    }
    if (fb_str_equal(name, FB_STR("user"))) {
        return decode_once(r, value, url->user, &r->user_said);
    }
    if (fb_str_equal(name, FB_STR("password"))) {
        return decode_once(r, value, url->password, &r->password_said);
    }
    if (url->kind == FB_REDIS_SENTINEL && fb_str_equal(name, FB_STR("sentinel_user"))) {
        return decode_once(r, value, url->sentinel_user, &r->sentinel_user_said);
    }
    if (url->kind == FB_REDIS_SENTINEL && fb_str_equal(name, FB_STR("sentinel_password"))) {
        return decode_once(r, value, url->sentinel_password, &r->sentinel_password_said);
    }
    return refuse(r, name.ptr,
                  url->kind == FB_REDIS_SENTINEL
                      ? "parameters are db, user, password, sentinel_user and sentinel_password"
                      : "parameters are db, user and password");
}

static int read_query(reader *r) {
    fb_str left = r->query;
    while (left.len > 0) {
        size_t end = fb_str_find(left, '&');
        fb_str one = until(left, end);
        size_t equals = fb_str_find(one, '=');
        if (equals == one.len) {
            return refuse(r, one.ptr, "a parameter is name=value");
        }
        int result = read_parameter(r, until(one, equals), after(one, equals + 1));
        if (result != FB_OK) {
            return result;
        }
        left = end < left.len ? after(left, end + 1) : after(left, end);
    }
    return FB_OK;
}

// ---- the whole

// `place` was all behind the scheme: cuts path and query off.
static int cut(reader *r) {
    size_t hash = fb_str_find(r->place, '#');
    size_t end = 0;
    while (end < r->place.len && strchr("/?#", r->place.ptr[end]) == NULL) {
        end++;
    }
    fb_str rest = after(r->place, end);
    size_t mark = fb_str_find(rest, '?');
    bool hashed = hash < r->place.len;
    const char *hash_at = r->place.ptr + hash;
    r->place = until(r->place, end);
    r->path = until(rest, mark);
    r->query = mark < rest.len ? after(rest, mark + 1) : after(rest, mark);
    return hashed ? refuse(r, hash_at, "a '#' (is it percent-encoded?)") : FB_OK;
}

static int read_place(reader *r, bool local) {
    size_t at = r->place.len;
    while (at > 0 && r->place.ptr[at - 1] != '@') {
        at--;
    }
    int result = at > 0 ? read_login(r, until(r->place, at - 1)) : FB_OK;
    if (result != FB_OK) {
        return result;
    }
    fb_str where = after(r->place, at);
    if (!local) {
        return read_hosts(r, where);
    }
    if (where.len > 0) {
        return refuse(r, where.ptr,
                      "the path of a socket begins with '/': unix:///run/redis.sock");
    }
    return FB_OK;
}

int fb_redis_url_read(fb_str text, fb_redis_url *url, fb_error *error) {
    reader r = {.text = text, .url = url, .error = error};
    *url = (fb_redis_url){0};
    if (text.len == 0) {
        r.text = FB_STR("");
    }
    size_t nul = fb_str_find(r.text, '\0');
    if (nul < r.text.len) {
        return refuse(&r, r.text.ptr + nul, "a NUL");
    }
    const scheme *how = read_scheme(&r);
    if (how == NULL) {
        return FB_EINVAL;
    }
    url->kind = how->kind;
    url->tls = how->tls;
    int result = cut(&r);
    if (result == FB_OK) {
        result = read_place(&r, how->local);
    }
    if (result == FB_OK) {
        result = how->local ? read_socket_path(&r) : read_path(&r);
    }
    return result == FB_OK ? read_query(&r) : result;
}

// ---- showing

typedef struct shown {
    char *text;
    size_t size, len;
} shown;

FB_PRINTF(2, 3) static void add(shown *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(to->text + to->len, to->size - to->len, format, arguments);
    va_end(arguments);
    size_t room = to->size - to->len - 1;
    to->len += len >= 0 && (size_t)len < room ? (size_t)len : room;
}

static void add_encoded(shown *to, const char *text, const char *bare) {
    for (; *text != '\0'; text++) {
        if (is_name_byte(*text) || strchr(bare, *text) != NULL) {
            add(to, "%c", *text);
        } else {
            add(to, "%%%02X", (unsigned)(unsigned char)*text);
        }
    }
}

static void add_host(shown *to, const fb_redis_host *host) {
    bool is_six = strchr(host->host, ':') != NULL;
    add(to, "%s", is_six ? "[" : "");
    add_encoded(to, host->host, ":");
    add(to, "%s:%u", is_six ? "]" : "", (unsigned)host->port);
}

const char *fb_redis_url_show(const fb_redis_url *url, char *text, size_t text_size) {
    FB_ASSERT(text_size > 0);
    static const char *const kinds[] = {"", "+sentinel", "+cluster"};
    shown to = {.text = text, .size = text_size};
    if (url->path[0] != '\0') {
        add(&to, "unix://");
        add_encoded(&to, url->path, "/");
        if (url->db != 0) {
            add(&to, "?db=%u", url->db);
        }
        return text;
    }
    add(&to, "redis%s%s://", url->tls ? "s" : "", kinds[url->kind]);
    for (uint32_t i = 0; i < url->host_count; i++) {
        add(&to, "%s", i > 0 ? "," : "");
        add_host(&to, &url->hosts[i]);
    }
    if (url->kind == FB_REDIS_SENTINEL) {
        add(&to, "/");
        add_encoded(&to, url->service, "");
    }
    if (url->db != 0) {
        add(&to, "/%u", url->db);
    }
    return text;
}
