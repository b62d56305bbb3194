// mail/address.h -- one mail address: local part and domain (RFC 5321 4.1.2, RFC 6531: UTF-8 too),
// perhaps with a name before it. Comments, groups, routes and source routing are refused, and so is
// every control character, and what cannot be seen in an address.

#ifndef FB_MAIL_ADDRESS_H
#define FB_MAIL_ADDRESS_H

#include <forebay/mail.h>

#ifdef __cplusplus
extern "C" {
#endif

// The strings stand in its own `text`: it is not copied by assignment.
typedef struct fb_address {
    fb_str name;     // unquoted, may be empty
    fb_str spec;     // "ada@example.org", domain in lower case (of ASCII letters)
    fb_str domain;   // within spec
    bool ascii;      // spec needs no SMTPUTF8
    char text[2 * FB_MAIL_ADDRESS_MAX + 4];
} fb_address;

// The text is looked at no longer afterwards. FB_OK; FB_ESYNTAX, FB_ETOOBIG (64 bytes before the @,
// FB_MAIL_ADDRESS_MAX of the whole, as many of a name): error says what is wrong, and at which byte
// (column, from 1).
FB_CHECK_RESULT int fb_address_parse(fb_str text, fb_address *address, fb_error *error);
// Whether it is the name of a host in letters, digits and '-' (UTF-8 too), or an address in
// brackets: "example.org", "[192.0.2.1]", "[IPv6:2001:db8::1]".
bool fb_address_is_host(fb_str text);

#ifdef __cplusplus
}
#endif

#endif
