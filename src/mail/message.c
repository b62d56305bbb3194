// Messages: headers and MIME.
//
// Idea: everything is checked before anything is written, by two rules: a header's text has no
// control character, a part's has none but tab and line end, and all of it is UTF-8. So what is
// written after can only run out of memory, and no input can end a header's line.
//
// Encoding is the least that is needed. A subject or a name goes as it is while it is words of
// printable ASCII with one space between, that fold; anything else, "=?" among it, goes in encoded
// words (RFC 2047) of whole characters, in Q or in base64, whichever is shorter. A part goes as
// 7bit while it is printable ASCII in lines of at most 78 bytes without a blank at their end and
// without a "From " at their begin, which some would change on the way; anything else as
// quoted-printable. So codes and links can be read, and copied, in the file of a Maildir as it is.
//
// The boundary begins with "=_", which quoted-printable never has, and is looked for in both parts.

#include "mail/message.h"

#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/utf8.h"

enum {
    LINE_MAX_LEN = 78,        // RFC 5322 2.1.1
    ENCODED_LINE_MAX = 76,    // RFC 2047 2, RFC 2045 6.7
    WORD_OVERHEAD = 12,       // =?UTF-8?Q? and ?=
    WORD_MAX = 75,            // RFC 2047 2
    PLAIN_WORD_MAX = 60,      // a longer one is encoded, in pieces
    SUBJECT_MAX = 64 * 1024,
    ID_MAX = 250,
    BOUNDARY_LEN = 34
};

static const char hex[] = "0123456789ABCDEF";

// ---- what may be in it

static int check_text(const char *what, fb_str text, bool lines, fb_error *error) {
    for (size_t at = 0, used = 0; at < text.len; at += used) {
        int32_t code = fb_utf8_next(fb_str_make(text.ptr + at, text.len - at), &used);
        bool allowed = lines && (code == '\n' || code == '\t');
        if (code < 0) {
            return fb_error_set(error, FB_EINVAL, "%s is not UTF-8 at byte %zu", what, at + 1);
        }
        if (FB_RULE(mail_control) && ((code < 0x20 && !allowed) || code == 0x7f)) {
            return fb_error_set(error, FB_EINVAL, "%s has %s at byte %zu", what,
                                code == '\r' || code == '\n' ? "a line end"
                                                             : "a control character",
                                at + 1);
        }
    }
    return FB_OK;
}

static int check_address(const char *what, const fb_address *address, fb_error *error) {
    if (address == NULL) {
        return FB_OK;
    }
    int result = check_text(what, address->name, false, error);
    result = result == FB_OK ? check_text(what, address->spec, false, error) : result;
    if (result == FB_OK && address->spec.len == 0) {
        return fb_error_set(error, FB_EINVAL, "%s has no address", what);
    }
    return result;
}

bool fb_message_is_id(fb_str id) {
    size_t at_count = 0;

    if (id.len < 5 || id.len > ID_MAX || id.ptr[0] != '<' || id.ptr[id.len - 1] != '>') {
        return false;
    }
    for (size_t i = 1; i + 1 < id.len; i++) {
        unsigned char byte = (unsigned char)id.ptr[i];
        if (byte <= ' ' || byte >= 0x7f || strchr("<>()\\,;:\"", byte) != NULL) {
            return false;
        }
        at_count += byte == '@';
    }
    return at_count == 1 && id.ptr[1] != '@' && id.ptr[id.len - 2] != '@';
}

static bool is_token(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!(text.ptr[i] >= 'a' && text.ptr[i] <= 'z') && text.ptr[i] != '-') {
            return false;
        }
    }
    return true;
}

static int check_message(const fb_message *m, fb_error *error) {
    int result = check_address("from", m->from, error);

    result = result == FB_OK ? check_address("to", m->to, error) : result;
    result = result == FB_OK ? check_address("reply_to", m->reply_to, error) : result;
    result = result == FB_OK ? check_text("the subject", m->subject, false, error) : result;
    result = result == FB_OK ? check_text("the text", m->text, true, error) : result;
    result = result == FB_OK ? check_text("the HTML", m->html, true, error) : result;
    if (result != FB_OK) {
        return result;
    }
    if (m->subject.len > SUBJECT_MAX) {
        return fb_error_set(error, FB_ETOOBIG, "the subject has more than %d bytes", SUBJECT_MAX);
    }
    if (!fb_message_is_id(m->message_id)) {
        return fb_error_set(error, FB_EINVAL, "the Message-ID is not of the form <…@…>");
    }
    if (!is_token(m->auto_submitted)) {
        return fb_error_set(error, FB_EINVAL, "Auto-Submitted is not a word");
    }
    return m->text.len > 0 || m->html.len > 0
               ? FB_OK
               : fb_error_set(error, FB_EINVAL, "the mail says nothing: no text and no HTML");
}

// ---- a writer that remembers the first failure and the place in the line

typedef struct writer {
    fb_buf *out;
    size_t column;  // bytes in this line
    int result;
} writer;

static void put(writer *w, fb_str bytes) {
    if (w->result == FB_OK) {
        w->result = fb_buf_append(w->out, bytes);
        w->column += bytes.len;
    }
}

static void put_byte(writer *w, char byte) {
    put(w, fb_str_make(&byte, 1));
}

static void end_line(writer *w) {
    put(w, FB_STR("\r\n"));
    w->column = 0;
}

static void fold(writer *w) {
    end_line(w);
    put_byte(w, ' ');
}

// ---- words of headers

// Words with one space between them, all printable ASCII, none too long to fold.
static bool is_plain(fb_str text) {
    size_t word = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte >= 0x7f || (byte == ' ' && word == 0) || word == PLAIN_WORD_MAX ||
            (FB_RULE(mail_lookalike) && byte == '=' && i + 1 < text.len &&
             text.ptr[i + 1] == '?')) {
            return false;
        }
        word = byte == ' ' ? 0 : word + 1;
    }
    return text.len == 0 || word > 0;
}

// Its words, folded before the line is full.
static void put_plain(writer *w, fb_str text) {
    while (text.len > 0) {
        size_t len = fb_str_find(text, ' ');
        put(w, fb_str_make(text.ptr, len));
        text = fb_str_make(text.ptr + len, text.len - len);
        if (text.len > 0) {
            text = fb_str_make(text.ptr + 1, text.len - 1);
            if (w->column + 1 + fb_str_find(text, ' ') > LINE_MAX_LEN) {
                fold(w);
            } else {
                put_byte(w, ' ');
            }
        }
    }
}

// What stands for itself in Q, wherever the word is (RFC 2047 5 (3)).
static bool is_q_safe(unsigned char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("!*+-/", byte) != NULL);
}

static size_t q_length(fb_str text) {
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        len += is_q_safe(byte) || byte == ' ' ? 1 : 3;
    }
    return len;
}

static size_t base64_length(size_t len) {
    return (len + 2) / 3 * 4;
}

static void put_q(writer *w, fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.ptr[i];
        if (byte == ' ') {
            put_byte(w, '_');
        } else if (is_q_safe(byte)) {
            put_byte(w, (char)byte);
        } else {
            const char encoded[] = {'=', hex[byte >> 4], hex[byte & 15]};
            put(w, fb_str_make(encoded, sizeof encoded));
        }
    }
}

static void put_base64(writer *w, fb_str text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < text.len; i += 3) {
        const unsigned char *at = (const unsigned char *)text.ptr + i;
        size_t len = text.len - i < 3 ? text.len - i : 3;
        uint32_t bits = (uint32_t)at[0] << 16 | (len > 1 ? (uint32_t)at[1] << 8 : 0) |
                        (len > 2 ? at[2] : 0);
        const char four[] = {digits[bits >> 18], digits[bits >> 12 & 63],
                             len > 1 ? digits[bits >> 6 & 63] : '=',
                             len > 2 ? digits[bits & 63] : '='};
        put(w, fb_str_make(four, sizeof four));
    }
}

// How much of `text`, in whole characters, fits an encoded word with `room` for what is encoded.
static size_t word_fit(fb_str text, bool q, size_t room) {
    size_t fit = 0, used = 0;

    for (size_t at = 0, length = 0; at < text.len; at += used) {
        (void)fb_utf8_next(fb_str_make(text.ptr + at, text.len - at), &used);
        used = FB_RULE(mail_whole_characters) ? used : 1;
        length = q ? length + q_length(fb_str_make(text.ptr + at, used)) : base64_length(at + used);
        if (length > room) {
            break;
        }
        fit = at + used;
    }
    return fit;
}

// In encoded words, one a line but the first, which goes on the line that is begun.
static void put_encoded(writer *w, fb_str text) {
    bool q = q_length(text) <= base64_length(text.len);

    while (text.len > 0) {
        size_t most = WORD_MAX - WORD_OVERHEAD;
        size_t room = w->column + WORD_OVERHEAD < ENCODED_LINE_MAX
                          ? ENCODED_LINE_MAX - WORD_OVERHEAD - w->column
                          : 0;
        size_t fit = word_fit(text, q, room < most ? room : most);
        if (fit > 0) {
            put(w, q ? FB_STR("=?UTF-8?Q?") : FB_STR("=?UTF-8?B?"));
            if (q) {
                put_q(w, fb_str_make(text.ptr, fit));
            } else {
                put_base64(w, fb_str_make(text.ptr, fit));
            }
            put(w, FB_STR("?="));
            text = fb_str_make(text.ptr + fit, text.len - fit);
        }
        if (text.len > 0) {
            FB_ASSERT(fit > 0 || w->column > 1);
            fold(w);
        }
    }
}

// ---- headers

static void begin_header(writer *w, const char *name) {
    put(w, fb_str_of(name));
    put(w, FB_STR(": "));
}

// Whether it needs no quotes before an address: RFC 5322 atoms.
static bool is_phrase(fb_str name) {
    for (size_t i = 0; i < name.len; i++) {
        unsigned char byte = (unsigned char)name.ptr[i];
        if (byte != ' ' && !is_q_safe(byte) && strchr("#$%&'=?^_`{|}~", byte) == NULL) {
            return false;
        }
    }
    return true;
}

// A name whose quotes and backslashes are escaped, as words that fold: a fold within quotes stands
// for its space (RFC 5322 3.2.4).
static void put_quoted(writer *w, fb_str name) {
    put_byte(w, '"');
    for (size_t i = 0; i < name.len; i++) {
        fb_str rest = fb_str_make(name.ptr + i, name.len - i);
        if (name.ptr[i] == ' ') {
            fb_str next = fb_str_make(rest.ptr + 1, rest.len - 1);
            // Each byte of the next word may come with a backslash.
            if (w->column + 2 + 2 * fb_str_find(next, ' ') > LINE_MAX_LEN) {
                end_line(w);
            }
        } else if (name.ptr[i] == '"' || name.ptr[i] == '\\') {
            put_byte(w, '\\');
        }
        put_byte(w, name.ptr[i]);
    }
    put_byte(w, '"');
}

static void put_address(writer *w, const char *header, const fb_address *address) {
    begin_header(w, header);
    if (address->name.len > 0) {
        if (!is_plain(address->name)) {
            put_encoded(w, address->name);
        } else if (is_phrase(address->name)) {
            put_plain(w, address->name);
        } else {
            put_quoted(w, address->name);
        }
        if (w->column + 3 + address->spec.len > LINE_MAX_LEN) {
            fold(w);
        } else {
            put_byte(w, ' ');
        }
        put_byte(w, '<');
    } else if (w->column + address->spec.len > LINE_MAX_LEN) {
        fold(w);
    }
    put(w, address->spec);
    if (address->name.len > 0) {
        put_byte(w, '>');
    }
    end_line(w);
}

static void put_subject(writer *w, fb_str subject) {
    begin_header(w, "Subject");
    if (is_plain(subject)) {
        put_plain(w, subject);
    } else {
        put_encoded(w, subject);
    }
    end_line(w);
}

static int put_date(writer *w, int64_t date_ms) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)(date_ms / 1000 - (date_ms % 1000 < 0));
    struct tm day;

    if (gmtime_r(&seconds, &day) == NULL || day.tm_year < 0 || day.tm_year > 9999 - 1900) {
        return FB_EINVAL;
    }
    if (w->result == FB_OK) {
        w->result = fb_buf_printf(w->out, "Date: %.3s, %d %.3s %d %02d:%02d:%02d +0000\r\n",
                                  days + 3 * day.tm_wday, day.tm_mday, months + 3 * day.tm_mon,
                                  day.tm_year + 1900, day.tm_hour, day.tm_min, day.tm_sec);
    }
    return FB_OK;
}

static void put_header(writer *w, const char *name, fb_str value) {
    begin_header(w, name);
    if (w->column + value.len > LINE_MAX_LEN) {
        fold(w);
    }
    put(w, value);
    end_line(w);
}

// ---- parts

// Whether a part goes as it is.
static bool is_seven_bit(fb_str text) {
    size_t start = 0;

    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && text.ptr[i] != '\n') {
            if ((unsigned char)text.ptr[i] >= 0x7f || i - start == LINE_MAX_LEN) {
                return false;
            }
            continue;
        }
        fb_str line = fb_str_make(text.ptr + start, i - start);
        if (fb_str_ends(line, FB_STR(" ")) || fb_str_ends(line, FB_STR("\t")) ||
            fb_str_starts(line, FB_STR("From "))) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

static void put_lines(writer *w, fb_str text) {
    while (text.len > 0) {
        size_t len = fb_str_find(text, '\n');
        put(w, fb_str_make(text.ptr, len));
        end_line(w);
        len += len < text.len;
        text = fb_str_make(text.ptr + len, text.len - len);
    }
}

// Bytes that quoted-printable has for the character at `at`, which is `used` bytes long.
static size_t quoted_length(fb_str line, size_t at, size_t used) {
    unsigned char byte = (unsigned char)line.ptr[at];
    bool last_blank = (byte == ' ' || byte == '\t') && at + 1 == line.len;
    bool from = at == 0 && fb_str_starts(line, FB_STR("From "));

    return used == 1 && byte != '=' && !last_blank && !from ? 1 : 3 * used;
}

// One line of a part as lines of at most 76 bytes; a character is never divided between two of
// them.
static void put_quoted_line(writer *w, fb_str line) {
    for (size_t at = 0, used = 0; at < line.len; at += used) {
        (void)fb_utf8_next(fb_str_make(line.ptr + at, line.len - at), &used);
        size_t length = quoted_length(line, at, used);
        size_t most = at + used == line.len ? ENCODED_LINE_MAX : ENCODED_LINE_MAX - 1;
        if (w->column + length > most) {
            put_byte(w, '=');
            end_line(w);
        }
        if (length == 1) {
            put_byte(w, line.ptr[at]);
            continue;
        }
        for (size_t i = 0; i < used; i++) {
            unsigned char byte = (unsigned char)line.ptr[at + i];
            const char encoded[] = {'=', hex[byte >> 4], hex[byte & 15]};
            put(w, fb_str_make(encoded, sizeof encoded));
        }
    }
    end_line(w);
}

static void put_part(writer *w, const char *type, fb_str text) {
    bool seven_bit = is_seven_bit(text);

    begin_header(w, "Content-Type");
    put(w, fb_str_of(type));
    put(w, FB_STR("; charset=utf-8"));
    end_line(w);
    put_header(w, "Content-Transfer-Encoding",
               seven_bit ? FB_STR("7bit") : FB_STR("quoted-printable"));
    end_line(w);
    if (seven_bit) {
        put_lines(w, text);
        return;
    }
    while (text.len > 0) {
        size_t len = fb_str_find(text, '\n');
        put_quoted_line(w, fb_str_make(text.ptr, len));
        len += len < text.len;
        text = fb_str_make(text.ptr + len, text.len - len);
    }
}

static bool holds(fb_str text, fb_str word) {
    return text.len > 0 && memmem(text.ptr, text.len, word.ptr, word.len) != NULL;
}

// Another one until it stands in neither part: the first does not, but where somebody knew the
// seed.
static void make_boundary(const fb_message *m, char boundary[BOUNDARY_LEN]) {
    fb_str whole = {boundary, BOUNDARY_LEN};
    fb_rng rng;

    fb_rng_init(&rng, m->seed);
    do {
        boundary[0] = '=';
        boundary[1] = '_';
        for (size_t i = 2; i < BOUNDARY_LEN; i += 16) {
            uint64_t bits = fb_rng_next(&rng);
            for (size_t digit = 0; digit < 16; digit++, bits >>= 4) {
                boundary[i + digit] = hex[bits & 15];
            }
        }
    } while (FB_RULE(mail_boundary) && (holds(m->text, whole) || holds(m->html, whole)));
}

static void put_boundary(writer *w, fb_str boundary, bool last) {
    put(w, FB_STR("--"));
    put(w, boundary);
    put(w, last ? FB_STR("--") : FB_STR(""));
    end_line(w);
}

static void put_alternatives(writer *w, const fb_message *m) {
    char bytes[BOUNDARY_LEN];
    fb_str boundary = {bytes, sizeof bytes};

    make_boundary(m, bytes);
    put(w, FB_STR("Content-Type: multipart/alternative;"));
    fold(w);
    put(w, FB_STR("boundary=\""));
    put(w, boundary);
    put_byte(w, '"');
    end_line(w);
    end_line(w);
    put_boundary(w, boundary, false);
    put_part(w, "text/plain", m->text);
    end_line(w);  // this one is the boundary's
    put_boundary(w, boundary, false);
    put_part(w, "text/html", m->html);
    end_line(w);
    put_boundary(w, boundary, true);
}

int fb_message_write(const fb_message *m, fb_buf *out, fb_error *error) {
    writer w = {.out = out};
    size_t before = out->len;
    int result = check_message(m, error);

    if (result != FB_OK) {
        return result;
    }
    if (put_date(&w, m->date_ms) != FB_OK) {
        return fb_error_set(error, FB_EINVAL, "the date is before 1900 or after 9999");
    }
    put_address(&w, "From", m->from);
    put_address(&w, "To", m->to);
    if (m->reply_to != NULL) {
        put_address(&w, "Reply-To", m->reply_to);
    }
    put_subject(&w, m->subject);
    put_header(&w, "Message-ID", m->message_id);
    if (m->auto_submitted.len > 0) {
        put_header(&w, "Auto-Submitted", m->auto_submitted);
    }
    put_header(&w, "MIME-Version", FB_STR("1.0"));
    if (m->text.len > 0 && m->html.len > 0) {
        put_alternatives(&w, m);
    } else if (m->html.len > 0) {
        put_part(&w, "text/html", m->html);
    } else {
        put_part(&w, "text/plain", m->text);
    }
    if (w.result != FB_OK) {
        out->len = before;
        return fb_error_set(error, w.result, "%s", fb_result_text(w.result));
    }
    return FB_OK;
}
