// mail/message.h -- a mail as it goes over the wire: RFC 5322 headers, MIME (RFC 2045, 2046, 2047,
// 2231), text and HTML as alternatives, lines that end in CRLF and have at most 78 bytes (998 where
// they cannot be folded). No byte of an input below 0x20, nor 0x7f, ever stands in a header.
// Doubling the dots that lines begin with is SMTP's, not done here.

#ifndef FB_MAIL_MESSAGE_H
#define FB_MAIL_MESSAGE_H

#include "base/buf.h"
#include "mail/address.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_message {
    const fb_address *from, *to, *reply_to;  // reply_to may be NULL
    fb_str subject;        // UTF-8
    fb_str message_id;     // "<…@…>"
    int64_t date_ms;       // Unix time, of the years 1900 to 9999
    fb_str text, html;     // UTF-8, lines end in \n; one of them may be empty
    fb_str auto_submitted; // "auto-generated", or empty
    uint64_t seed;         // of the boundary, which stands in neither part
} fb_message;

// Appends the message. A text that does not end its last line gets an end. FB_OK; FB_EINVAL: a byte
// or an encoding that must not be (error says where), no text at all; FB_ETOOBIG: a subject of more
// than 64 KiB; FB_ENOMEM. After an error `out` is as before.
FB_CHECK_RESULT int fb_message_write(const fb_message *message, fb_buf *out, fb_error *error);
// Whether it may be a Message-ID: '<', what has no spaces, one '@', '>'; ASCII, at most 250 bytes.
bool fb_message_is_id(fb_str id);

#ifdef __cplusplus
}
#endif

#endif
