// mail/options.h -- what sending mails, and one-time codes, can be told: plain data, filled by the
// configuration. The tables beside it (mail/options.c) give each option its name, type and help.

#ifndef FB_MAIL_OPTIONS_H
#define FB_MAIL_OPTIONS_H

#include <forebay/base.h>

#include "base/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_mail_tls {
    FB_MAIL_TLS_REQUIRED,  // STARTTLS, or smtps://
    FB_MAIL_TLS_OPTIONAL,
    FB_MAIL_TLS_OFF
} fb_mail_tls;

// `mail.relays.NAME`, in the order in which they are tried
typedef struct fb_mail_relay_options {
    char *name;
    char *url;             // smtp://user:password@host:587, smtps://…; SMTP_URL makes relay "main"
    char *user, *password; // over what the url says
    int tls;               // fb_mail_tls; required
    char *tls_ca;          // path; unless set the system's
    bool tls_verify;       // true
    uint32_t connections;  // at once; 4
    int64_t timeout_ns;    // for a whole mail; 60s
    int64_t connect_timeout_ns;  // 10s
    char *limit;           // rule of `limits` that each mail is asked of, its key the relay's name
    uint32_t line, column;
    char *file;
} fb_mail_relay_options;

// `mail.kinds.NAME`: of a kind that has templates
typedef struct fb_mail_kind_options {
    char *name;
    int64_t priority;      // otp, magic_link 0; registration 3; approved 6; others the queue's (-1)
    int64_t expires_ns;    // otp 10m, magic_link 15m; others 0: never
    bool again;            // sent again where it is not known whether it was; otp, magic_link
    uint32_t line, column;
    char *file;
} fb_mail_kind_options;

// `mail`
typedef struct fb_mail_options {
    char *from;            // "forebay <no-reply@localhost>"
    char *reply_to;        // none
    char *product;         // what templates call it: {{product}}; "forebay"
    char *queue;           // "mail"
    char *templates;       // folder; none
    char *maildir;         // "forebay-mail": where there is no relay
    char *hello;           // what EHLO says; the host's name
    int64_t pause_ns;      // 30s, doubled up to 10m: of a relay that cannot be used
    char *domain_limit;    // rules: key is the recipient's domain,
    char *recipient_limit; // or address; none
    fb_mail_relay_options *relays;
    size_t relay_count;
    fb_mail_kind_options *kinds;
    size_t kind_count;
} fb_mail_options;

// `otp`
typedef struct fb_otp_options {
    char *secret;          // a secret; none: made at start
    int64_t code_ttl_ns;   // 10m
    int64_t link_ttl_ns;   // 15m
    uint32_t attempts;     // 5
    char *link_url;        // "http://127.0.0.1:8080/v1/otp/link/{token}"
} fb_otp_options;

extern const fb_option fb_mail_relay_options_table[];
extern const fb_option fb_mail_kind_options_table[];
extern const fb_option fb_mail_options_table[];   // members of fb_mail_options
extern const fb_option fb_otp_options_table[];    // of fb_otp_options

// The kinds that have options before any are declared: otp, magic_link, registration, approved;
// ended by a NULL name. `text` is YAML of one kind, in flow style; as fb_limit_builtins.
typedef struct fb_mail_kind_builtin {
    const char *name, *text;
} fb_mail_kind_builtin;
extern const fb_mail_kind_builtin fb_mail_kind_builtins[];

// Addresses, URLs, names. FB_EINVAL, FB_ERANGE, FB_ECONFLICT: *option is which ("from",
// "relays.main.url"; of size bytes), and error->text why, without anything of a password. Rules of
// `limits` are not looked up, nor is the queue.
FB_CHECK_RESULT int fb_mail_options_check(const fb_mail_options *options, char *option, size_t size,
                                          fb_error *error);
// The link's URL.
FB_CHECK_RESULT int fb_otp_options_check(const fb_otp_options *options, char *option, size_t size,
                                         fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
