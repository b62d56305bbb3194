// What sending mails and one-time codes can be told, one row each, and what only the whole shows.
//
// URLs of relays are taken apart by libcurl, later; here it is only seen that one is whole, so that
// a slip is found when the configuration is read and not with the first mail. No message repeats
// any part of an URL: it may hold a password.

#include "mail/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "base/utf8.h"
#include "mail/address.h"

// An array and the count right after it are one option to the table; so are a line and its column.
#define HAS_COUNT(items, count)                                                     \
    _Static_assert(offsetof(fb_mail_options, count) ==                              \
                       offsetof(fb_mail_options, items) + sizeof(void *), #count)
#define HAS_PLACE(type)                                                             \
    _Static_assert(offsetof(type, column) == offsetof(type, line) + sizeof(uint32_t) && \
                       offsetof(type, name) == 0, #type)
HAS_COUNT(relays, relay_count);
HAS_COUNT(kinds, kind_count);
HAS_PLACE(fb_mail_relay_options);
HAS_PLACE(fb_mail_kind_options);

#define HOUR_NS (3600 * FB_NS_PER_S)
#define DAY_NS (24 * HOUR_NS)

enum { RELAYS_MAX = 16, KINDS_MAX = 256, NAME_MAX_LEN = 64, SECRET_MIN = 16 };

const fb_mail_kind_builtin fb_mail_kind_builtins[] = {
    {"otp", "{priority: 0, expires: 10m, again: true}"},
    {"magic_link", "{priority: 0, expires: 15m, again: true}"},
    {"registration", "{priority: 3}"},
    {"approved", "{priority: 6}"},
    {NULL, NULL},
};

#define MEMBER(member) .offset = offsetof(fb_mail_relay_options, member)

const fb_option fb_mail_relay_options_table[] = {
    {.name = "url", .type = FB_OPTION_TEXT, MEMBER(url), .required = true, .min = 1, .max = 2048,
     .secret = FB_OPTION_SECRET_URL,
     .help = "`smtp://host:587`, with STARTTLS, or `smtps://host`; user and password may stand "
             "before the host, as in `smtp://user:password@host`."},
    {.name = "user", .type = FB_OPTION_TEXT, MEMBER(user), .max = 255,
     .help = "Instead of the one in the URL."},
    {.name = "password", .type = FB_OPTION_TEXT, MEMBER(password), .max = 1024,
     .secret = FB_OPTION_SECRET, .help = "Instead of the one in the URL. Never shown."},
    {.name = "tls", .type = FB_OPTION_CHOICE, MEMBER(tls), .choices = "required|optional|off",
     .default_text = "required",
     .help = "required: nothing is sent, and nobody signs in, without STARTTLS (or `smtps`). "
             "optional: with it where the relay offers it. off: without."},
    {.name = "tls_ca", .type = FB_OPTION_PATH, MEMBER(tls_ca), .max = 4096,
     .help = "File of certificates that the relay's has to be signed by; unless set the system's."},
    {.name = "tls_verify", .type = FB_OPTION_BOOL, MEMBER(tls_verify), .default_text = "true",
     .help = "Whether the relay's certificate has to be good, and the host's."},
    {.name = "connections", .type = FB_OPTION_COUNT, MEMBER(connections), .default_text = "4",
     .min = 1, .max = 64, .help = "At once; they are kept and used again."},
    {.name = "timeout", .type = FB_OPTION_DURATION, MEMBER(timeout_ns), .default_text = "60s",
     .min = FB_NS_PER_S, .max = HOUR_NS, .help = "For a whole mail."},
    {.name = "connect_timeout", .type = FB_OPTION_DURATION, MEMBER(connect_timeout_ns),
     .default_text = "10s", .min = 100 * FB_NS_PER_MS, .max = HOUR_NS,
     .help = "How long connecting may take."},
    {.name = "limit", .type = FB_OPTION_TEXT, MEMBER(limit), .max = NAME_MAX_LEN,
     .help = "Rule of `limits` that each mail is asked of, its key the relay's name. A mail that "
             "it denies waits."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_mail_kind_options, member)

const fb_option fb_mail_kind_options_table[] = {
    {.name = "priority", .type = FB_OPTION_INTEGER, MEMBER(priority), .default_text = "-1",
     .min = -1, .max = 9,
     .help = "Of its jobs, from 0, which go first, to 9; -1: the queue's. `otp` and `magic_link` "
             "have 0, `registration` 3, `approved` 6."},
    {.name = "expires", .type = FB_OPTION_DURATION, MEMBER(expires_ns), .default_text = "0",
     .max = 365 * DAY_NS,
     .help = "What was not sent by then is sent no more; 0: never so. `otp` has 10m, `magic_link` "
             "15m."},
    {.name = "again", .type = FB_OPTION_BOOL, MEMBER(again), .default_text = "false",
     .help = "Sent again, with the same Message-ID, where the relay took it and did not say so. "
             "`otp` and `magic_link` are."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_mail_options, member)

const fb_option fb_mail_options_table[] = {
    {.name = "from", .type = FB_OPTION_TEXT, MEMBER(from), .min = 1, .max = 1024,
     .default_text = "forebay <no-reply@localhost>",
     .help = "Whom mails are from: an address, perhaps with a name."},
    {.name = "reply_to", .type = FB_OPTION_TEXT, MEMBER(reply_to), .max = 1024,
     .help = "Where answers go, if elsewhere."},
    {.name = "product", .type = FB_OPTION_TEXT, MEMBER(product), .default_text = "forebay",
     .min = 1, .max = 255, .help = "What templates call it: `{{product}}`."},
    {.name = "queue", .type = FB_OPTION_TEXT, MEMBER(queue), .default_text = "mail", .min = 1,
     .max = NAME_MAX_LEN, .help = "The queue that mails wait in; its worker is `mail`."},
    {.name = "templates", .type = FB_OPTION_PATH, MEMBER(templates), .max = 4096,
     .help = "Folder of templates: `NAME.txt`, and `NAME.html` beside it, make a kind. They take "
             "the place of those that are built in."},
    {.name = "maildir", .type = FB_OPTION_PATH, MEMBER(maildir), .default_text = "forebay-mail",
     .max = 4096, .help = "Where there is no relay, mails are written to this Maildir."},
    {.name = "hello", .type = FB_OPTION_TEXT, MEMBER(hello), .max = 255,
     .help = "How relays are greeted (EHLO); unless set by the host's name."},
    {.name = "pause", .type = FB_OPTION_DURATION, MEMBER(pause_ns), .default_text = "30s",
     .min = FB_NS_PER_S, .max = 10 * 60 * FB_NS_PER_S,
     .help = "How long a relay that cannot be used (no connection, no TLS, no signing in) is left "
             "alone, doubled each time up to 10m."},
    {.name = "domain_limit", .type = FB_OPTION_TEXT, MEMBER(domain_limit), .max = NAME_MAX_LEN,
     .help = "Rule of `limits` that each mail is asked of, its key the recipient's domain."},
    {.name = "recipient_limit", .type = FB_OPTION_TEXT, MEMBER(recipient_limit),
     .max = NAME_MAX_LEN,
     .help = "Rule of `limits` that each mail is asked of, its key the recipient's address."},
    {.name = "relays", .type = FB_OPTION_NAMED, MEMBER(relays), .max = RELAYS_MAX,
     .inner = fb_mail_relay_options_table, .inner_size = sizeof(fb_mail_relay_options),
     .place_offset = offsetof(fb_mail_relay_options, line),
     .file_offset = offsetof(fb_mail_relay_options, file),
     .help = "Through whom mails are sent, tried in this order. `SMTP_URL` makes one, `main`."},
    {.name = "kinds", .type = FB_OPTION_NAMED, MEMBER(kinds), .max = KINDS_MAX,
     .inner = fb_mail_kind_options_table, .inner_size = sizeof(fb_mail_kind_options),
     .place_offset = offsetof(fb_mail_kind_options, line),
     .file_offset = offsetof(fb_mail_kind_options, file),
     .help = "How urgent a kind of mail is, by name; what it says is in its templates."},
    {.name = NULL},
};

#undef MEMBER
#define MEMBER(member) .offset = offsetof(fb_otp_options, member)

const fb_option fb_otp_options_table[] = {
    {.name = "secret", .type = FB_OPTION_TEXT, MEMBER(secret), .min = SECRET_MIN, .max = 255,
     .secret = FB_OPTION_SECRET,
     .help = "Codes and links are stored under this key: the same on all nodes, at least 16 bytes, "
             "better 32. Unless set each process makes its own, and codes end with it. Never "
             "shown."},
    {.name = "code_ttl", .type = FB_OPTION_DURATION, MEMBER(code_ttl_ns), .default_text = "10m",
     .min = 30 * FB_NS_PER_S, .max = DAY_NS, .help = "How long a code is good for."},
    {.name = "link_ttl", .type = FB_OPTION_DURATION, MEMBER(link_ttl_ns), .default_text = "15m",
     .min = 30 * FB_NS_PER_S, .max = 7 * DAY_NS, .help = "How long a link is good for."},
    {.name = "attempts", .type = FB_OPTION_COUNT, MEMBER(attempts), .default_text = "5", .min = 1,
     .max = 100, .help = "How often a code may be tried."},
    {.name = "link_url", .type = FB_OPTION_TEXT, MEMBER(link_url), .min = 1, .max = 2048,
     .default_text = "http://127.0.0.1:8080/v1/otp/link/{token}",
     .help = "What a magic link looks like: `{token}` stands for its token."},
    {.name = NULL},
};

// ---- what only the whole shows

typedef struct checker {
    const char *group, *name;  // "relays", "main"; NULL: of the whole
    char *option;
    size_t size;
    fb_error *error;
} checker;

FB_PRINTF(4, 5)
static int refuse(const checker *c, const char *option, int code, const char *format, ...) {
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (c->group != NULL) {
        (void)snprintf(c->option, c->size, "%s.%s%s%s", c->group, c->name,
                       option[0] != '\0' ? "." : "", option);
    } else {
        (void)snprintf(c->option, c->size, "%s", option);
    }
    return fb_error_set(c->error, code, "%s", text);
}

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

// Text that may stand in a line of a mail, or of a protocol.
static bool is_plain(const char *text) {
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return false;
        }
    }
    return fb_utf8_valid(fb_str_of(text));
}

static bool is_port(fb_str text) {
    int64_t port = 0;

    return fb_str_int(text, &port) == FB_OK && port > 0 && port < 65536;
}

// A name as hosts have it, or as containers do, with "_" in it.
static bool is_host(fb_str host) {
    for (size_t i = 0; i < host.len; i++) {
        unsigned char byte = (unsigned char)host.ptr[i];
        if (byte < 0x80 && !(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') &&
            !(byte >= '0' && byte <= '9') && strchr("-._", byte) == NULL) {
            return false;
        }
    }
    return host.len > 0 && host.ptr[0] != '.' && host.ptr[0] != '-';
}

// What is wrong with the URL of a relay, or NULL.
static const char *fault_of(const char *url) {
    fb_str rest = fb_str_of(url);

    if (fb_str_starts(rest, FB_STR("smtp://"))) {
        rest = fb_str_make(rest.ptr + 7, rest.len - 7);
    } else if (fb_str_starts(rest, FB_STR("smtps://"))) {
        rest = fb_str_make(rest.ptr + 8, rest.len - 8);
    } else {
        return "expected smtp:// or smtps:// and a host";
    }
    if (!is_plain(url) || strpbrk(url, " ?#\\\"<>") != NULL) {
        return "it has a character that no such URL has (in a password it is written as %20)";
    }
    const char *at = strrchr(rest.ptr, '@');
    if (at != NULL) {
        if (memchr(rest.ptr, '/', (size_t)(at - rest.ptr)) != NULL) {
            return "a / in user or password is written as %2F";
        }
        rest = fb_str_of(at + 1);
    }
    rest.len -= fb_str_ends(rest, FB_STR("/"));
    if (fb_str_find(rest, '/') < rest.len) {
        return "it has a path; how the relay is greeted is `hello`";
    }
    bool literal = rest.len > 0 && rest.ptr[0] == '[';
    size_t host_len = literal ? fb_str_find(rest, ']') + 1 : fb_str_find(rest, ':');
    if (host_len > rest.len) {
        return "a bracket that is not closed";
    }
    fb_str host = fb_str_make(rest.ptr, host_len);
    if (host.len == 0) {
        return "no host";
    }
    // An URL has IPv6 addresses without the tag that mail addresses have them with.
    if (literal ? host.len < 4 : !is_host(host)) {
        return "expected the name of a host, or its address";
    }
    if (host_len == rest.len) {
        return NULL;
    }
    return rest.ptr[host_len] == ':' &&
                   is_port(fb_str_make(rest.ptr + host_len + 1, rest.len - host_len - 1))
               ? NULL
               : "expected a port from 1 to 65535 behind the host";
}

static int check_relay(const checker *c, const fb_mail_relay_options *relay) {
    if (!is_set(relay->url)) {
        return refuse(c, "url", FB_EINVAL, "required, but not set");
    }
    const char *fault = fault_of(relay->url);
    if (fault != NULL) {
        return refuse(c, "url", FB_EINVAL, "%s", fault);
    }
    if (relay->tls == FB_MAIL_TLS_OFF && fb_str_starts(fb_str_of(relay->url), FB_STR("smtps:"))) {
        return refuse(c, "tls", FB_ECONFLICT, "off, but the URL says smtps");
    }
    if (is_set(relay->tls_ca) && relay->tls == FB_MAIL_TLS_OFF) {
        return refuse(c, "tls_ca", FB_ECONFLICT, "but tls is off");
    }
    if (is_set(relay->tls_ca) && !relay->tls_verify) {
        return refuse(c, "tls_ca", FB_ECONFLICT, "but tls_verify is off");
    }
    if (is_set(relay->password) && !is_set(relay->user) && strchr(relay->url, '@') == NULL) {
        return refuse(c, "password", FB_ECONFLICT, "there is no user");
    }
    if ((relay->user != NULL && !is_plain(relay->user)) ||
        (relay->password != NULL && !is_plain(relay->password))) {
        return refuse(c, relay->user != NULL && !is_plain(relay->user) ? "user" : "password",
                      FB_EINVAL, "it has a control character, or is not UTF-8");
    }
    return FB_OK;
}

static int check_address(const checker *c, const char *option, const char *text) {
    fb_address address;
    fb_error why = {0};

    if (!is_set(text)) {
        return FB_OK;
    }
    if (fb_address_parse(fb_str_of(text), &address, &why) != FB_OK) {
        return refuse(c, option, FB_EINVAL, "not a mail address: %s (byte %u)", why.text,
                      why.column);
    }
    return FB_OK;
}

// As names of files, and in payloads, they have to be.
static int check_kind(const checker *c, const fb_mail_kind_options *kind) {
    for (const char *at = kind->name; *at != '\0'; at++) {
        if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *at) ==
            NULL) {
            return refuse(c, "", FB_EINVAL,
                          "a kind's name has letters, digits, _ and - alone");
        }
    }
    return strlen(kind->name) <= NAME_MAX_LEN
               ? FB_OK
               : refuse(c, "", FB_EINVAL, "a kind's name has at most %d bytes", NAME_MAX_LEN);
}

static int check_words(const checker *c, const fb_mail_options *options) {
    if (is_set(options->product) && !is_plain(options->product)) {
        return refuse(c, "product", FB_EINVAL, "it has a control character, or is not UTF-8");
    }
    if (is_set(options->hello) && !fb_address_is_host(fb_str_of(options->hello))) {
        return refuse(c, "hello", FB_EINVAL,
                      "expected the name of a host, or its address in brackets");
    }
    return FB_OK;
}

int fb_mail_options_check(const fb_mail_options *options, char *option, size_t size,
                          fb_error *error) {
    checker c = {.option = option, .size = size, .error = error};

    FB_ASSERT(size > 0);
    int result = check_address(&c, "from", options->from);
    result = result == FB_OK ? check_address(&c, "reply_to", options->reply_to) : result;
    result = result == FB_OK ? check_words(&c, options) : result;
    c.group = "relays";
    for (size_t i = 0; i < options->relay_count && result == FB_OK; i++) {
        c.name = options->relays[i].name;
        result = check_relay(&c, &options->relays[i]);
    }
    c.group = "kinds";
    for (size_t i = 0; i < options->kind_count && result == FB_OK; i++) {
        c.name = options->kinds[i].name;
        result = check_kind(&c, &options->kinds[i]);
    }
    return result;
}

int fb_otp_options_check(const fb_otp_options *options, char *option, size_t size,
                         fb_error *error) {
    checker c = {.option = option, .size = size, .error = error};
    const char *url = options->link_url != NULL ? options->link_url : "";
    const char *token = strstr(url, "{token}");

    FB_ASSERT(size > 0);
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return refuse(&c, "link_url", FB_EINVAL, "expected http:// or https://");
    }
    if (token == NULL || strstr(token + 1, "{token}") != NULL) {
        return refuse(&c, "link_url", FB_EINVAL, "expected {token} in it, once");
    }
    if (!is_plain(url) || strpbrk(url, " \"<>") != NULL) {
        return refuse(&c, "link_url", FB_EINVAL, "it has a character that no URL has");
    }
    return FB_OK;
}
