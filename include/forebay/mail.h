// forebay/mail.h -- mails by templates, sent later by the `mail` worker; one-time codes and magic links
// on top of it.
//
// A mail is a job of a queue whose worker is `mail`. It is rendered when it is accepted, so that a
// missing variable or a byte that must not be in a header is an error of this call, and again when it is
// sent. Its Message-ID is made when it is accepted. Kinds are files NAME.txt and NAME.html: magic_link,
// otp, registration and approved are built in, `mail.templates` is a folder with others or one's own.
//
// Where no relay is configured mails are written to a Maildir (`mail.maildir`), and a warning says so.
//
// Threads: any; the calls wait for the store as those of forebay/queue.h, with fb_queue_start()'s rules
// for loops.

#ifndef FOREBAY_MAIL_H
#define FOREBAY_MAIL_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_engine fb_engine;
typedef struct fb_config fb_config;

enum { FB_MAIL_ADDRESS_MAX = 254, FB_MAIL_VALUE_MAX = 64 * 1024, FB_MAIL_VARS_MAX = 64 };

typedef struct fb_mail_var {
    fb_str name, value;     // UTF-8; no byte below 0x20 but in a value \n (which no header may have), no
                            // 0x7f
} fb_mail_var;

typedef struct fb_mail {
    fb_str kind;            // "otp"
    fb_str to;              // one address (RFC 5321), perhaps with a name: "Ada <ada@example.org>"
    const fb_mail_var *vars;
    size_t var_count;
    fb_str unique;          // as of a job
    int64_t expires_ms;     // from now; 0: the kind's
    int64_t delay_ms;
} fb_mail;

// Accepts it. *id (FB_JOB_ID_SIZE) is the job's. FB_OK. FB_ENOMAIL: no such kind. FB_EINVAL: the address,
// a variable is missing or has a byte that it must not have; error says which and where. FB_REFUSED: the
// address is suppressed (mails to it came back), or its unique key has a job. What fb_queue_start()
// says.
FB_API FB_CHECK_RESULT int fb_mail_send(fb_engine *engine, const fb_mail *mail, char *id,
                                        fb_error *error);
// On a loop: `fn` is called later, on it, with fb_mail_send()'s result.
typedef void (*fb_mail_fn)(void *arg, int result, const char *id, const char *error);
FB_API FB_CHECK_RESULT int fb_mail_send_start(fb_engine *engine, const fb_mail *mail, fb_mail_fn fn,
                                              void *arg, fb_error *error);
// The message as it would be sent, headers and all (RFC 5322, CRLF), given to `fn`, good until it
// returns. Errors as above. Nothing is sent or stored.
typedef void (*fb_mail_text_fn)(void *arg, fb_str message);
FB_API FB_CHECK_RESULT int fb_mail_preview(fb_engine *engine, const fb_mail *mail, fb_mail_text_fn fn,
                                           void *arg, fb_error *error);
// Talks to a relay (empty: each), without sending: connects, STARTTLS, signs in, says goodbye. `fn` gets
// one line for each thing that was found. FB_OK: all work. FB_EIO: not. FB_EINVAL: no such relay. Blocks:
// never on a loop.
typedef void (*fb_mail_line_fn)(void *arg, bool good, const char *line);
FB_API FB_CHECK_RESULT int fb_mail_test(fb_engine *engine, fb_str relay, fb_mail_line_fn fn, void *arg,
                                        fb_error *error);
// The same two by a configuration alone, without an engine: for tools, beside a server that runs or
// before there is one. What its engine would be told of as well, FB_EINVAL and its kin with the place.
FB_API FB_CHECK_RESULT int fb_mail_preview_alone(const fb_config *config, const fb_mail *mail,
                                                 fb_mail_text_fn fn, void *arg, fb_error *error);
FB_API FB_CHECK_RESULT int fb_mail_test_alone(const fb_config *config, fb_str relay,
                                              fb_mail_line_fn fn, void *arg, fb_error *error);
// The addresses that are suppressed, and taking one off the list. FB_MISS: it is not on it.
FB_API FB_CHECK_RESULT int fb_mail_suppressed(fb_engine *engine, fb_str address, int64_t *since_ms,
                                              fb_error *error);
FB_API FB_CHECK_RESULT int fb_mail_allow(fb_engine *engine, fb_str address, fb_error *error);

// Of each kind that there is, by name.
typedef void (*fb_mail_kind_fn)(void *arg, const char *kind, const char *file, uint32_t priority);
FB_API FB_CHECK_RESULT int fb_mail_kinds(fb_engine *engine, fb_mail_kind_fn fn, void *arg);

#define FB_MAIL_COUNTERS(X)                                                         \
    X(sent, "taken by the relay")                                                   \
    X(deferred, "not taken now (4yz), to be tried again")                           \
    X(refused, "refused for good (5yz)")                                            \
    X(ambiguous, "no answer after the message was handed over")                     \
    X(paused, "times that this relay was paused: signing in, TLS or reaching it failed") \
    X(limited, "times that a limit held a mail back")
typedef struct fb_mail_figures {
    char relay[65];              // its name; "maildir"
    bool up;                     // not paused
    char why[192];               // paused: why
#define FB_MAIL_COUNTER_FIELD(field, help) uint64_t field;
    FB_MAIL_COUNTERS(FB_MAIL_COUNTER_FIELD)
#undef FB_MAIL_COUNTER_FIELD
    uint64_t mean_us, p50_us, p99_us;  // of one sending
} fb_mail_figures;
typedef void (*fb_mail_figures_fn)(void *arg, const fb_mail_figures *figures);
FB_API FB_CHECK_RESULT int fb_mail_figures_read(fb_engine *engine, fb_mail_figures_fn fn, void *arg);

// ---- one-time codes and magic links (`otp`)
//
// Stored as HMAC-SHA-256 under a key of the server (`otp.secret`; of this process alone where none is
// set), in the cache: memory, or the shared tier for all nodes. A code has 6 digits, lives 10 minutes and
// has 5 attempts; another one takes its place, at least 30 s later, 5 an hour for one account and 20
// for one address (rules otp_resend, otp_account, otp_address). A link is a token of 256 bits, lives 15
// minutes and is good once. Codes, tokens and links are never logged, nor shown with jobs.

typedef enum fb_otp_form { FB_OTP_CODE, FB_OTP_LINK } fb_otp_form;
typedef struct fb_otp_request {
    fb_otp_form form;
    fb_str account;         // whom it signs in: what verify tells; for CODE also what names the code
    fb_str to;              // mail address; unless set: `account`
    fb_str address;         // of the client, for the limit; may be empty
    // False: there is no such account. The same is done and answered, but no mail is sent.
    bool known;
    const fb_mail_var *vars;  // for the template, beside code, minutes, link, account
    size_t var_count;
} fb_otp_request;
typedef struct fb_otp_answer {
    int result;
    int64_t expires_ms;     // ISSUE: FB_OK: how long it is good for
    int64_t retry_ms;       // FB_LIMITED: when to ask again
    uint32_t attempts_left; // VERIFY of a code, not the right one
    char account[FB_MAIL_ADDRESS_MAX + 1];  // VERIFY, FB_OK: whose it was
    const char *error;
} fb_otp_answer;
typedef void (*fb_otp_fn)(void *arg, const fb_otp_answer *answer);
// Answers: FB_OK, FB_LIMITED, FB_EIO (the store). Returned, and no call comes: FB_OK is that it does;
// FB_EINVAL, FB_ENOMAIL, FB_ENOMEM, FB_ECLOSED. On a loop within a fiber, or on any other thread: `fn` is
// called before it returns.
FB_API FB_CHECK_RESULT int fb_otp_issue(fb_engine *engine, const fb_otp_request *request, fb_otp_fn fn,
                                        void *arg, fb_error *error);
// A code of an account, or a link's token (account empty). FB_OK: it was right, and is used up now.
// FB_MISS: wrong, used up, over, or never issued (which of them is not told); FB_LIMITED: too many
// attempts. Comparing takes the same time whatever is wrong (CRYPTO_memcmp).
FB_API FB_CHECK_RESULT int fb_otp_verify(fb_engine *engine, fb_otp_form form, fb_str account,
                                         fb_str secret, fb_otp_fn fn, void *arg, fb_error *error);
// Whether a link's token is good, without using it up: what its page asks. FB_OK, FB_MISS.
FB_API FB_CHECK_RESULT int fb_otp_peek(fb_engine *engine, fb_str token, fb_error *error);

#ifdef __cplusplus
}
#endif

#endif
