// mail/kinds.h -- the catalogue of kinds of mail, and a mail from a kind and its variables.
//
// A kind is a template of text, NAME.txt, whose first line is its subject and whose second is
// empty, and perhaps one of HTML, NAME.html. otp, magic_link, registration and approved are built
// in. Who adds a NAME.txt replaces the built-in kind whole, HTML and all (which would say something
// else, or in another language); who adds only a NAME.html replaces its HTML alone.
//
// Variables that are always there: `product` (the draft's, unless it is among the variables), `to`
// (the address alone) and `kind`.
//
// Memory: a catalogue has copies of its own. Threads: once it is whole any number may render by it.

#ifndef FB_MAIL_KINDS_H
#define FB_MAIL_KINDS_H

#include <forebay/mail.h>

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_kinds fb_kinds;

enum { FB_KIND_NAME_MAX = 64, FB_KINDS_MAX = 1000 };

// With the four that are built in. FB_ENOMEM.
FB_CHECK_RESULT int fb_kinds_new(fb_kinds **kinds);
void fb_kinds_free(fb_kinds *kinds);  // NULL is fine
// One file of a folder: its name without the folder ("otp.html"), its bytes, and how messages call
// it. FB_OK; FB_MISS: it does not end in .txt or .html, or begins with a dot, and is not looked at.
// FB_EINVAL: its name is not one of a kind (letters, digits, _ and -, at most 64). FB_ESYNTAX,
// FB_ETOOBIG (a template, or it names more than FB_MAIL_VARS_MAX variables): error has file, line
// and column. FB_EFULL; FB_ENOMEM. After an error the catalogue is as before.
FB_CHECK_RESULT int fb_kinds_add(fb_kinds *kinds, fb_str file, fb_str bytes, const char *path,
                                 fb_error *error);
// When all are added: FB_EINVAL where a NAME.html has no NAME.txt.
FB_CHECK_RESULT int fb_kinds_check(const fb_kinds *kinds, fb_error *error);

typedef struct fb_kind_info {
    fb_str name;
    const char *file;   // path of its text; "built in"
    bool html;          // it has some
} fb_kind_info;
size_t fb_kinds_count(const fb_kinds *kinds);
// By name, ascending.
void fb_kinds_at(const fb_kinds *kinds, size_t index, fb_kind_info *info);
// Its place, or FB_KINDS_MAX.
size_t fb_kinds_find(const fb_kinds *kinds, fb_str name);
// Each variable that its templates name, once, but those that are always there; `needed`: nothing
// is rendered without it (others stand in conditions). `name` is good until the catalogue changes.
typedef void (*fb_kind_var_fn)(void *arg, fb_str name, bool needed);
void fb_kinds_vars(const fb_kinds *kinds, size_t index, fb_kind_var_fn fn, void *arg);

// What a mail is made of.
typedef struct fb_mail_draft {
    fb_str kind;
    fb_str from, to, reply_to;  // addresses, perhaps with names; reply_to may be empty
    fb_str product;
    const fb_mail_var *vars;
    size_t var_count;
    fb_str message_id;          // "<…@…>"
    int64_t date_ms;            // Unix time
    uint64_t seed;              // of what divides the parts: any number
} fb_mail_draft;

// Appends the whole message as it goes over the wire (mail/message.h). FB_OK. FB_ENOMAIL: no such
// kind. FB_EINVAL: an address, the Message-ID, a variable that is missing, twice there, or has a
// name or a byte that it must not have: error says which and where (file, line and column of a
// template, if it is about one). FB_ETOOBIG: a value, how many there are, or the whole. FB_ENOMEM.
// After an error `out` is as before.
FB_CHECK_RESULT int fb_mail_render(const fb_kinds *kinds, const fb_mail_draft *draft, fb_buf *out,
                                   fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
