// mail_reader.h -- a simple reader of messages, for tests: what mail/message.h wrote, taken apart by code
// that shares nothing with it. It aborts, with a line that says why, on what no message may have.
//
// Reads no more than we write: no comments, one address a header, UTF-8 alone.

#ifndef FB_TESTS_MAIL_READER_H
#define FB_TESTS_MAIL_READER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

typedef struct mail_read {
    fb_buf subject, message_id, date, auto_submitted;
    fb_buf from_name, from_spec, to_name, to_spec, reply_name, reply_spec;
    fb_buf text, html;
    bool has_text, has_html, has_reply;
    size_t line_max;  // the longest line, without its end
} mail_read;

#define MAIL_READ_ENSURE(holds)                                              \
    do {                                                                     \
        if (!(holds)) {                                                      \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds); \
            abort();                                                         \
        }                                                                    \
    } while (0)

static inline void mail_read_put(fb_buf *out, fb_str bytes) {
    MAIL_READ_ENSURE(fb_buf_append(out, bytes) == FB_OK);
}

static inline fb_str mail_read_rest(fb_str text, size_t from) {
    MAIL_READ_ENSURE(from <= text.len);
    return fb_str_make(text.ptr + from, text.len - from);
}

static inline size_t mail_read_find(fb_str text, fb_str word) {
    const char *at = text.ptr == NULL || text.len == 0
                         ? NULL
                         : (const char *)memmem(text.ptr, text.len, word.ptr, word.len);
    return at == NULL ? text.len : (size_t)(at - text.ptr);
}

// Lines end in CRLF, all of them; no other control character but tabs in bodies.
static inline void mail_read_lines(mail_read *mail, fb_str message) {
    size_t start = 0;

    for (size_t i = 0; i < message.len; i++) {
        unsigned char byte = (unsigned char)message.ptr[i];
        if (byte == '\r') {
            MAIL_READ_ENSURE(i + 1 < message.len && message.ptr[i + 1] == '\n');
        } else if (byte == '\n') {
            MAIL_READ_ENSURE(i > 0 && message.ptr[i - 1] == '\r');
            size_t len = i - 1 - start;
            mail->line_max = len > mail->line_max ? len : mail->line_max;
            start = i + 1;
        } else {
            MAIL_READ_ENSURE((byte >= 0x20 || byte == '\t') && byte != 0x7f);
        }
    }
    MAIL_READ_ENSURE(start == message.len);
}

// The value of a header, unfolded; which is there once, or (optional) not.
static inline bool mail_read_header(fb_str head, const char *name, bool optional, fb_buf *out) {
    size_t found = 0;

    for (fb_str rest = head; rest.len > 0;) {
        size_t len = mail_read_find(rest, FB_STR("\r\n"));
        MAIL_READ_ENSURE(len < rest.len && len > 0);
        fb_str line = {rest.ptr, len};
        fb_str label = {line.ptr, fb_str_find(line, ':')};
        bool mine = label.len < line.len && fb_str_same(label, fb_str_of(name));
        MAIL_READ_ENSURE(label.len > 0 && label.len < line.len);
        for (size_t i = 0; i < label.len; i++) {
            MAIL_READ_ENSURE(label.ptr[i] == '-' || (label.ptr[i] >= 'A' && label.ptr[i] <= 'z'));
        }
        found += mine;
        if (mine && label.len + 2 <= line.len) {
            mail_read_put(out, mail_read_rest(line, label.len + 2));
        }
        rest = mail_read_rest(rest, len + 2);
        while (rest.len > 0 && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t')) {
            len = mail_read_find(rest, FB_STR("\r\n"));
            line = fb_str_make(rest.ptr, len);
            MAIL_READ_ENSURE(fb_str_trim(line).len > 0);  // no line of blanks alone
            if (mine && out->len == 0) {
                line = mail_read_rest(line, 1);
            }
            if (mine) {
                mail_read_put(out, line);
            }
            rest = mail_read_rest(rest, len + 2);
        }
    }
    MAIL_READ_ENSURE(found == 1 || (optional && found == 0));
    return found == 1;
}

static inline int mail_read_hex(char digit) {
    const char *digits = "0123456789ABCDEF";
    const char *at = digit != '\0' ? strchr(digits, digit) : NULL;
    MAIL_READ_ENSURE(at != NULL);
    return (int)(at - digits);
}

static inline void mail_read_q(fb_str text, fb_buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.ptr[i] == '_' ? ' ' : text.ptr[i];
        if (byte == '=') {
            MAIL_READ_ENSURE(i + 2 < text.len);
            byte = (char)(mail_read_hex(text.ptr[i + 1]) << 4 | mail_read_hex(text.ptr[i + 2]));
            i += 2;
        }
        mail_read_put(out, fb_str_make(&byte, 1));
    }
}

static inline void mail_read_base64(fb_str text, fb_buf *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    MAIL_READ_ENSURE(text.len % 4 == 0);
    for (size_t i = 0; i < text.len; i += 4) {
        unsigned bits = 0, count = 3;
        for (size_t j = 0; j < 4; j++) {
            const char *at = text.ptr[i + j] == '=' ? digits : strchr(digits, text.ptr[i + j]);
            MAIL_READ_ENSURE(at != NULL);
            count -= text.ptr[i + j] == '=';
            bits = bits << 6 | (unsigned)(at - digits);
        }
        const char three[] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        mail_read_put(out, fb_str_make(three, count));
    }
}

// Text with encoded words in it: the space between two of them is none.
static inline void mail_read_words(fb_str text, fb_buf *out) {
    bool after_word = false;

    while (text.len > 0) {
        size_t start = mail_read_find(text, FB_STR("=?"));
        fb_str before = {text.ptr, start};
        if (!(after_word && start < text.len && fb_str_trim(before).len == 0)) {
            mail_read_put(out, before);
        }
        text = mail_read_rest(text, start);
        if (text.len == 0) {
            return;
        }
        MAIL_READ_ENSURE(fb_str_starts(text, FB_STR("=?UTF-8?Q?")) ||
                         fb_str_starts(text, FB_STR("=?UTF-8?B?")));
        size_t len = mail_read_find(mail_read_rest(text, 10), FB_STR("?="));
        MAIL_READ_ENSURE(len + 12 <= text.len && len + 12 <= 75 && len > 0);
        fb_str word = {text.ptr + 10, len};
        MAIL_READ_ENSURE(fb_str_find(word, ' ') == len);
        size_t written = out->len;
        if (text.ptr[8] == 'Q') {
            mail_read_q(word, out);
        } else {
            mail_read_base64(word, out);
        }
        // Whole characters in each.
        MAIL_READ_ENSURE(out->len > written && ((unsigned char)out->ptr[written] & 0xc0) != 0x80);
        text = mail_read_rest(text, len + 12);
        after_word = true;
    }
}

static inline void mail_read_quoted_name(fb_str text, fb_buf *out) {
    MAIL_READ_ENSURE(text.len >= 2 && text.ptr[text.len - 1] == '"');
    for (size_t i = 1; i + 1 < text.len; i++) {
        i += text.ptr[i] == '\\';
        mail_read_put(out, fb_str_make(text.ptr + i, 1));
    }
}

static inline void mail_read_address(fb_str value, fb_buf *name, fb_buf *spec) {
    if (!fb_str_ends(value, FB_STR(">"))) {
        mail_read_put(spec, value);
        return;
    }
    size_t open = 0;
    for (bool quoted = false; quoted || value.ptr[open] != '<'; open++) {
        MAIL_READ_ENSURE(open + 1 < value.len);
        quoted = quoted != (value.ptr[open] == '"');
        open += quoted && value.ptr[open] == '\\';
    }
    MAIL_READ_ENSURE(open > 1 && value.ptr[open - 1] == ' ');
    mail_read_put(spec, fb_str_make(value.ptr + open + 1, value.len - open - 2));
    fb_str phrase = {value.ptr, open - 1};
    if (phrase.ptr[0] == '"') {
        mail_read_quoted_name(phrase, name);
    } else {
        mail_read_words(phrase, name);
    }
}

// CRLF as LF, quoted-printable undone.
static inline void mail_read_body(fb_str body, bool quoted, fb_buf *out) {
    for (size_t i = 0; i < body.len; i++) {
        char byte = body.ptr[i];
        if (byte == '\r') {
            MAIL_READ_ENSURE(!quoted || i == 0 || strchr(" \t", body.ptr[i - 1]) == NULL);
            continue;
        }
        if (quoted && byte == '=' && body.ptr[i + 1] == '\r') {
            i += 2;
            continue;
        }
        if (quoted && byte == '=') {
            byte = (char)(mail_read_hex(body.ptr[i + 1]) << 4 | mail_read_hex(body.ptr[i + 2]));
            i += 2;
        }
        MAIL_READ_ENSURE(quoted || (unsigned char)byte < 0x80);
        mail_read_put(out, fb_str_make(&byte, 1));
    }
}

static inline void mail_read_part(mail_read *mail, fb_str part) {
    fb_buf type = {0}, encoding = {0};
    size_t end = mail_read_find(part, FB_STR("\r\n\r\n"));

    MAIL_READ_ENSURE(end < part.len);
    fb_str head = {part.ptr, end + 2}, body = mail_read_rest(part, end + 4);
    (void)mail_read_header(head, "Content-Type", false, &type);
    (void)mail_read_header(head, "Content-Transfer-Encoding", false, &encoding);
    bool html = fb_str_equal(fb_buf_str(&type), FB_STR("text/html; charset=utf-8"));
    bool quoted = fb_str_equal(fb_buf_str(&encoding), FB_STR("quoted-printable"));
    MAIL_READ_ENSURE(html || fb_str_equal(fb_buf_str(&type), FB_STR("text/plain; charset=utf-8")));
    MAIL_READ_ENSURE(quoted || fb_str_equal(fb_buf_str(&encoding), FB_STR("7bit")));
    for (fb_str rest = body; rest.len > 0;) {
        size_t len = mail_read_find(rest, FB_STR("\r\n"));
        MAIL_READ_ENSURE(len <= (quoted ? 76 : 78));
        rest = mail_read_rest(rest, len == rest.len ? len : len + 2);
    }
    mail_read_body(body, quoted, html ? &mail->html : &mail->text);
    *(html ? &mail->has_html : &mail->has_text) = true;
    fb_buf_release(&type);
    fb_buf_release(&encoding);
}

static inline void mail_read_multipart(mail_read *mail, fb_str type, fb_str body) {
    fb_buf line = {0};
    size_t start = mail_read_find(type, FB_STR("boundary=\""));

    MAIL_READ_ENSURE(start < type.len && fb_str_ends(type, FB_STR("\"")));
    fb_str boundary = {type.ptr + start + 10, type.len - start - 11};
    MAIL_READ_ENSURE(boundary.len > 0 && boundary.len <= 70);
    mail_read_put(&line, FB_STR("--"));
    mail_read_put(&line, boundary);
    MAIL_READ_ENSURE(fb_str_starts(body, fb_buf_str(&line)));
    body = mail_read_rest(body, line.len);
    for (size_t count = 0; !fb_str_equal(body, FB_STR("--\r\n")); count++) {
        MAIL_READ_ENSURE(count < 2 && fb_str_starts(body, FB_STR("\r\n")));
        body = mail_read_rest(body, 2);
        size_t len = mail_read_find(body, fb_buf_str(&line));
        // The line end before a boundary is the boundary's.
        MAIL_READ_ENSURE(len < body.len && len >= 2 && body.ptr[len - 1] == '\n');
        mail_read_part(mail, fb_str_make(body.ptr, len - 2));
        body = mail_read_rest(body, len + line.len);
    }
    MAIL_READ_ENSURE(mail->has_text && mail->has_html);
    fb_buf_release(&line);
}

static inline void mail_read_parse(mail_read *mail, fb_str message) {
    fb_buf value = {0};
    size_t end = mail_read_find(message, FB_STR("\r\n\r\n"));

    mail_read_lines(mail, message);
    MAIL_READ_ENSURE(end < message.len && mail->line_max <= 998);
    fb_str head = {message.ptr, end + 2};
    (void)mail_read_header(head, "From", false, &value);
    mail_read_address(fb_buf_str(&value), &mail->from_name, &mail->from_spec);
    value.len = 0;
    (void)mail_read_header(head, "To", false, &value);
    mail_read_address(fb_buf_str(&value), &mail->to_name, &mail->to_spec);
    value.len = 0;
    mail->has_reply = mail_read_header(head, "Reply-To", true, &value);
    if (mail->has_reply) {
        mail_read_address(fb_buf_str(&value), &mail->reply_name, &mail->reply_spec);
    }
    value.len = 0;
    (void)mail_read_header(head, "Subject", false, &value);
    mail_read_words(fb_buf_str(&value), &mail->subject);
    (void)mail_read_header(head, "Message-ID", false, &mail->message_id);
    (void)mail_read_header(head, "Date", false, &mail->date);
    (void)mail_read_header(head, "Auto-Submitted", true, &mail->auto_submitted);
    value.len = 0;
    (void)mail_read_header(head, "MIME-Version", false, &value);
    MAIL_READ_ENSURE(fb_str_equal(fb_buf_str(&value), FB_STR("1.0")));
    value.len = 0;
    (void)mail_read_header(head, "Bcc", true, &value);
    MAIL_READ_ENSURE(value.len == 0);
    (void)mail_read_header(head, "Content-Type", false, &value);
    if (fb_str_starts(fb_buf_str(&value), FB_STR("multipart/alternative;"))) {
        mail_read_multipart(mail, fb_buf_str(&value), mail_read_rest(message, end + 4));
    } else {
        mail_read_part(mail, message);
    }
    fb_buf_release(&value);
}

static inline void mail_read_release(mail_read *mail) {
    fb_buf *bufs[] = {&mail->subject,   &mail->message_id, &mail->date,    &mail->auto_submitted,
                      &mail->from_name, &mail->from_spec,  &mail->to_name, &mail->to_spec,
                      &mail->reply_name, &mail->reply_spec, &mail->text,   &mail->html};

    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        fb_buf_release(bufs[i]);
    }
}

#endif
