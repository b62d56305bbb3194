// Mail addresses.
//
// Idea: one pass with a cursor. What an address is made of is written into its own text as it is
// read, the address first and the name behind it, so nothing points into what the caller gave.
//
// The local part is kept as it is meant: quotes that are not needed are taken off and needed ones
// put on, so that "ada"@x and ada@x are one address (RFC 5321 4.1.2 asks for it), to the list of
// suppressed ones too. The domain's ASCII letters are made small. A local part keeps its case: it
// is the recipient's host alone that knows whether it counts.
//
// Refused on purpose, though RFC 5322 allows it: comments, folding white space, groups, routes,
// names without quotes that hold a comma (two addresses, more likely), characters nobody can see.

#include "mail/address.h"

#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/utf8.h"

enum { LOCAL_MAX = 64, LABEL_MAX = 63 };

typedef struct reader {
    fb_str text;
    size_t at;
    fb_address *address;
    size_t len;          // of what is written
    fb_error *error;
} reader;

static int refuse(const reader *r, int code, const char *why) {
    (void)fb_error_set(r->error, code, "%s", why);
    fb_error_place(r->error, NULL, 1, (uint32_t)(r->at < UINT32_MAX ? r->at + 1 : UINT32_MAX));
    return code;
}

static bool at_end(const reader *r) {
    return r->at >= r->text.len;
}

static unsigned char peek(const reader *r) {
    return at_end(r) ? 0 : (unsigned char)r->text.ptr[r->at];
}

static void skip_spaces(reader *r) {
    while (peek(r) == ' ') {
        r->at++;
    }
}

// Characters that take no ink: an address with one is another address that looks the same.
static bool is_unseen(int32_t code) {
    return (code >= 0x80 && code <= 0xa0) || code == 0xad || code == 0x61c || code == 0x180e ||
           (code >= 0x2000 && code <= 0x200f) || (code >= 0x2028 && code <= 0x202f) ||
           (code >= 0x205f && code <= 0x206f) || code == 0x3000 || code == 0xfeff;
}

// RFC 5322 atext, without what lies above ASCII.
static bool is_atom(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", byte) != NULL);
}

// Writes the character at the reader. There is room for more than the longest of both parts: what
// is too long is found after.
static int take(reader *r, size_t used, size_t most, const char *too_long) {
    if (r->len + used > most) {
        return refuse(r, FB_ETOOBIG, too_long);
    }
    memcpy(r->address->text + r->len, r->text.ptr + r->at, used);
    r->len += used;
    r->at += used;
    return FB_OK;
}

// ---- the whole text, before it is read

static int check_bytes(reader *r) {
    while (!at_end(r)) {
        size_t used = 0;
        int32_t code = fb_utf8_next(fb_str_make(r->text.ptr + r->at, r->text.len - r->at), &used);
        if (code < 0) {
            return refuse(r, FB_ESYNTAX, "this is not UTF-8");
        }
        if (code < 0x20 || code == 0x7f || (code >= 0x80 && code <= 0x9f)) {
            return refuse(r, FB_ESYNTAX, "a control character");
        }
        r->at += used;
    }
    r->at = 0;
    return FB_OK;
}

// ---- local part

static const char *local_long = "more than 64 bytes before the @";

// One character of more than a byte; ASCII is for the callers.
static int take_wide(reader *r, size_t most, const char *too_long) {
    size_t used = 0;
    int32_t code = fb_utf8_next(fb_str_make(r->text.ptr + r->at, r->text.len - r->at), &used);

    if (is_unseen(code)) {
        return refuse(r, FB_ESYNTAX, "a character that cannot be seen");
    }
    r->address->ascii = false;
    return take(r, used, most, too_long);
}

static int take_dot_atom(reader *r) {
    size_t word = r->len;
    int result = FB_OK;

    while (result == FB_OK && !at_end(r) && peek(r) != '@') {
        unsigned char byte = peek(r);
        if (byte >= 0x80) {
            result = take_wide(r, LOCAL_MAX, local_long);
        } else if (is_atom(byte)) {
            result = take(r, 1, LOCAL_MAX, local_long);
        } else if (byte == '.' && r->len > word) {
            result = take(r, 1, LOCAL_MAX, local_long);
            word = r->len;
        } else {
            return refuse(r, FB_ESYNTAX, byte == '.'   ? "a dot that follows nothing"
                                         : byte == '(' ? "comments are not taken"
                                                       : "this cannot stand in an address");
        }
    }
    if (result == FB_OK && r->len == word) {
        return refuse(r, FB_ESYNTAX, r->len == 0 ? "nothing before the @" : "a dot before the @");
    }
    return result;
}

// Whether `local`, which was in quotes, needs them.
static bool needs_quotes(fb_str local) {
    bool after_dot = true;

    for (size_t i = 0; i < local.len; i++) {
        unsigned char byte = (unsigned char)local.ptr[i];
        if (byte < 0x80 && !is_atom(byte) && (byte != '.' || after_dot)) {
            return true;
        }
        after_dot = byte == '.';
    }
    return after_dot;
}

// Puts the quotes back around what was written.
static int quote_local(reader *r) {
    char quoted[2 * LOCAL_MAX + 2];
    size_t len = 0;

    quoted[len++] = '"';
    for (size_t i = 0; i < r->len; i++) {
        if (r->address->text[i] == '"' || r->address->text[i] == '\\') {
            quoted[len++] = '\\';
        }
        quoted[len++] = r->address->text[i];
    }
    quoted[len++] = '"';
    if (len > LOCAL_MAX) {
        return refuse(r, FB_ETOOBIG, local_long);
    }
    memcpy(r->address->text, quoted, len);
    r->len = len;
    return FB_OK;
}

static int take_quoted_local(reader *r) {
    int result = FB_OK;

    for (r->at++; result == FB_OK && peek(r) != '"';) {
        if (peek(r) == '\\') {
            r->at++;
        }
        if (at_end(r)) {
            return refuse(r, FB_ESYNTAX, "a quote that is not closed");
        }
        result = peek(r) >= 0x80 ? take_wide(r, LOCAL_MAX, local_long)
                                 : take(r, 1, LOCAL_MAX, local_long);
        if (result == FB_OK && at_end(r)) {
            return refuse(r, FB_ESYNTAX, "a quote that is not closed");
        }
    }
    r->at += result == FB_OK;
    return result == FB_OK && needs_quotes(fb_str_make(r->address->text, r->len)) ? quote_local(r)
                                                                                  : result;
}

// ---- domain

static bool is_ipv4(fb_str text) {
    size_t parts = 1, digits = 0;
    unsigned value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.' && digits > 0) {
            parts++;
            digits = 0;
            value = 0;
        } else if (text.ptr[i] >= '0' && text.ptr[i] <= '9' && (digits == 0 || value > 0)) {
            value = value * 10 + (unsigned)(text.ptr[i] - '0');
            digits++;
        } else {
            return false;
        }
        if (value > 255) {
            return false;
        }
    }
    return parts == 4 && digits > 0;
}

// Up to eight groups of up to four hexadecimal digits, "::" once where some are left out; an IPv4
// address may stand for the last two.
static bool is_ipv6(fb_str text) {
    size_t groups = 0, digits = 0, i = 0, start = 0;
    bool gap = false;

    for (; i < text.len && text.ptr[i] != '.'; i++) {
        if (text.ptr[i] != ':') {
            if (strchr("0123456789abcdefABCDEF", text.ptr[i]) == NULL || ++digits > 4) {
                return false;
            }
            continue;
        }
        bool twice = i + 1 < text.len && text.ptr[i + 1] == ':';
        if ((digits == 0 && !(i == 0 && twice)) || (twice && gap)) {
            return false;
        }
        groups += digits > 0;
        gap = gap || twice;
        i += twice;
        digits = 0;
        start = i + 1;
    }
    if (i < text.len) {
        groups += 2;
        if (!is_ipv4(fb_str_make(text.ptr + start, text.len - start))) {
            return false;
        }
    } else {
        groups += digits > 0;
        if (digits == 0 && !(gap && fb_str_ends(text, FB_STR("::")))) {
            return false;
        }
    }
    return gap ? groups < 8 : groups == 8;
}

static bool is_literal(fb_str inside) {
    if (inside.len > 5 && fb_str_same(fb_str_make(inside.ptr, 5), FB_STR("IPv6:"))) {
        return is_ipv6(fb_str_make(inside.ptr + 5, inside.len - 5));
    }
    return is_ipv4(inside);
}

static int take_literal(reader *r) {
    fb_str rest = fb_str_make(r->text.ptr + r->at, r->text.len - r->at);
    size_t end = fb_str_find(rest, ']');

    if (end == rest.len || !is_literal(fb_str_make(rest.ptr + 1, end - 1))) {
        return refuse(r, FB_ESYNTAX, "expected an address as in [192.0.2.1] or [IPv6:2001:db8::1]");
    }
    return take(r, end + 1, FB_MAIL_ADDRESS_MAX, "more than 254 bytes");
}

static bool is_label(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-';
}

// One label of a domain and the dot after it.
static int take_label(reader *r) {
    size_t start = r->len;
    int result = FB_OK;

    if (peek(r) == '-') {
        return refuse(r, FB_ESYNTAX, "part of a domain cannot begin with -");
    }
    while (result == FB_OK && (is_label(peek(r)) || peek(r) >= 0x80)) {
        result = peek(r) >= 0x80 ? take_wide(r, FB_MAIL_ADDRESS_MAX, "more than 254 bytes")
                                 : take(r, 1, FB_MAIL_ADDRESS_MAX, "more than 254 bytes");
    }
    if (result != FB_OK) {
        return result;
    }
    if (r->len == start) {
        return refuse(r, FB_ESYNTAX, at_end(r) || peek(r) == '>' || peek(r) == '.'
                                         ? "part of the domain is missing"
                                         : "this cannot stand in a domain");
    }
    if (r->address->text[r->len - 1] == '-') {
        return refuse(r, FB_ESYNTAX, "part of a domain cannot end with -");
    }
    return r->len - start > LABEL_MAX
               ? refuse(r, FB_ETOOBIG, "part of the domain has more than 63 bytes")
               : FB_OK;
}

static int take_domain(reader *r) {
    size_t start = r->len;
    int result = peek(r) == '[' ? take_literal(r) : take_label(r);

    while (result == FB_OK && peek(r) == '.') {
        result = take(r, 1, FB_MAIL_ADDRESS_MAX, "more than 254 bytes");
        result = result == FB_OK ? take_label(r) : result;
    }
    for (size_t i = start; i < r->len; i++) {
        char byte = r->address->text[i];
        r->address->text[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
    }
    r->address->domain = fb_str_make(r->address->text + start, r->len - start);
    return result;
}

static int take_spec(reader *r) {
    int result = peek(r) == '"' ? take_quoted_local(r) : take_dot_atom(r);

    if (result != FB_OK) {
        return result;
    }
    if (peek(r) != '@') {
        return refuse(r, FB_ESYNTAX, "expected @");
    }
    result = take(r, 1, LOCAL_MAX + 1, local_long);
    result = result == FB_OK ? take_domain(r) : result;
    r->address->spec = fb_str_make(r->address->text, r->len);
    return result;
}

// ---- name

// The name is written behind the address, which is written first: so is the text before '<' passed
// over, and read once the address is there.
static int take_quoted_word(reader *r, size_t most) {
    int result = FB_OK;

    r->at++;
    while (result == FB_OK && peek(r) != '"') {
        r->at += peek(r) == '\\';
        result = take(r, 1, most, "the name has more than 254 bytes");
    }
    r->at++;
    return result;
}

static int take_name(reader *r, size_t end) {
    size_t start = r->len;
    size_t most = start + FB_MAIL_ADDRESS_MAX;
    int result = FB_OK;

    while (result == FB_OK && r->at < end) {
        if (peek(r) == '"') {
            result = take_quoted_word(r, most);
        } else if (peek(r) != ' ') {
            result = take(r, 1, most, "the name has more than 254 bytes");
        } else {
            skip_spaces(r);
            if (r->len > start && r->at < end && r->len < most) {
                r->address->text[r->len++] = ' ';
            }
        }
    }
    r->address->name = fb_str_make(r->address->text + start, r->len - start);
    return result;
}

// Passes over the name. *bracket: where the '<' is; r->text.len where there is none.
static int find_bracket(reader *r, size_t *bracket) {
    bool quoted = false;
    size_t odd = r->text.len;  // the first byte that no name without quotes has

    *bracket = r->text.len;
    for (size_t i = 0; i < r->text.len && *bracket == r->text.len; i++) {
        char byte = r->text.ptr[i];
        if (quoted && byte == '\\') {
            i++;
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (!quoted && byte == '<') {
            *bracket = i;
        } else if (!quoted && odd == r->text.len && strchr("()>[]:;@\\,", byte) != NULL) {
            odd = i;
        }
    }
    if (*bracket < r->text.len && odd < *bracket) {
        r->at = odd;
        return refuse(r, FB_ESYNTAX, "this needs quotes around the name");
    }
    return FB_OK;
}

static int parse(reader *r) {
    size_t bracket = 0;
    int result = check_bytes(r);

    result = result == FB_OK ? find_bracket(r, &bracket) : result;
    if (result != FB_OK) {
        return result;
    }
    bool alone = bracket == r->text.len;
    r->at = alone ? 0 : bracket + 1;
    skip_spaces(r);
    result = take_spec(r);
    if (result != FB_OK) {
        return result;
    }
    if (!alone && peek(r) != '>') {
        return refuse(r, FB_ESYNTAX, at_end(r) ? "expected >" : "this cannot stand in a domain");
    }
    r->at += !alone;
    skip_spaces(r);
    if (!at_end(r)) {
        return refuse(r, FB_ESYNTAX, "expected one address and nothing after it");
    }
    r->at = 0;
    return alone ? FB_OK : take_name(r, bracket);
}

int fb_address_parse(fb_str text, fb_address *address, fb_error *error) {
    reader r = {.text = text, .address = address, .error = error};

    *address = (fb_address){.ascii = true};
    return parse(&r);
}

bool fb_address_is_host(fb_str text) {
    fb_address address = {.ascii = true};
    reader r = {.text = text, .address = &address};

    return check_bytes(&r) == FB_OK && take_domain(&r) == FB_OK && at_end(&r);
}
