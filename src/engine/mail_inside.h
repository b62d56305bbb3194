// engine/mail_inside.h -- what the files of the mailer share.

#ifndef FB_ENGINE_MAIL_INSIDE_H
#define FB_ENGINE_MAIL_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/mail.h"
#include "engine/queues.h"
#include "mail/address.h"
#include "mail/kinds.h"
#include "mail/payload.h"
#include "smtp/smtp.h"
#include "stats/histogram.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
#define FB_MAIL_COUNTER_ENUM(field, help) FB_MAIL_COUNT_##field,
    FB_MAIL_COUNTERS(FB_MAIL_COUNTER_ENUM)
#undef FB_MAIL_COUNTER_ENUM
    FB_MAIL_COUNTER_COUNT
};

enum {
    FB_MAIL_NAME_SIZE = 65,
    FB_MAIL_WHY_SIZE = 192,
    FB_MAIL_MARK_SIZE = 80,
    FB_OTP_KEY_SIZE = 32
};

// Templates as they were read at one time. Held by whoever renders by them.
struct fb_mail_plan {
    _Atomic(uint32_t) holds;
    fb_kinds *kinds;
};

// A way for mails to go: a relay, or the Maildir. Lives as long as the mailer.
typedef struct fb_mail_way {
    char name[FB_MAIL_NAME_SIZE];
    fb_relay *relay;          // NULL: the Maildir
    const char *limit;        // "": none
    pthread_mutex_t lock;     // of the pause
    int64_t paused_until_ns;  // 0: it is up
    int64_t pause_ns;         // the last one's length
    uint64_t pauses;          // so far: tells whether one began since
    bool probing;             // the pause is over, and one mail tries
    char why[FB_MAIL_WHY_SIZE];
    _Atomic(uint64_t) counters[FB_MAIL_COUNTER_COUNT];
    fb_histogram *took;       // ns
} fb_mail_way;

struct fb_mailer {
    fb_engine *engine;
    fb_mail_options options;  // copies of their own
    fb_otp_options otp;
    char hello[256];
    char domain[FB_MAIL_ADDRESS_MAX + 1];  // of `from`: of Message-IDs, too
    fb_mail_way *ways;
    size_t way_count;
    pthread_mutex_t lock;     // of `plan`
    fb_mail_plan *plan;
    uint8_t otp_key[FB_OTP_KEY_SIZE];  // where otp.secret is not set
    _Atomic(bool) stop;
    _Atomic(bool) told_of_maildir, told_of_secret;
};

// ---- mail.c

// To be given back. Never NULL.
fb_mail_plan *fb_mailer_hold(fb_mailer *mailer);
void fb_mailer_let_go(fb_mail_plan *plan);
// What is configured for a kind, or what is where nothing is.
const fb_mail_kind_options *fb_mailer_kind(const fb_mailer *mailer, fb_str kind);
// Says once that there is no relay.
void fb_mailer_tell_of_maildir(fb_mailer *mailer);

// ---- mail_accept.c

// The kind of jobs whose mails nobody gets: they are done as soon as they are claimed.
#define FB_MAIL_DISCARDED "discarded"

typedef struct fb_mail_manner {
    bool discard;  // nobody gets it
    bool silent;   // if the address is suppressed nobody gets it, and that is no error
    fb_mail_fn fn; // who is told
    void *arg;
} fb_mail_manner;
// As fb_mail_send_start(), and its answer as there; from any thread.
FB_CHECK_RESULT int fb_mailer_accept(fb_mailer *mailer, const fb_mail *mail, fb_mail_manner manner,
                                     fb_error *error);
// The same, waiting; `fn` is not looked at. id: FB_JOB_ID_SIZE bytes, may be NULL.
FB_CHECK_RESULT int fb_mailer_accept_wait(fb_mailer *mailer, const fb_mail *mail,
                                          fb_mail_manner manner, char *id, fb_error *error);

// ---- mail_relays.c

FB_CHECK_RESULT int fb_mail_way_init(fb_mail_way *way, const char *name);
void fb_mail_way_release(fb_mail_way *way);
// Whether a mail may go this way now; else *wait_ns is until when not. *pauses: for the end.
FB_CHECK_RESULT bool fb_mail_way_enter(fb_mail_way *way, int64_t now_ns, uint64_t *pauses,
                                       int64_t *wait_ns);
typedef enum fb_mail_way_end {
    FB_MAIL_WAY_WORKS,
    FB_MAIL_WAY_DOWN,
    FB_MAIL_WAY_UNUSED
} fb_mail_way_end;
void fb_mail_way_leave(fb_mail_way *way, fb_mail_way_end end, uint64_t pauses, int64_t first_ns,
                       const char *why);
static inline void fb_mail_way_count(fb_mail_way *way, size_t counter) {
    atomic_fetch_add_explicit(&way->counters[counter], 1, memory_order_relaxed);
}

// ---- mail_suppress.c

// The name of an address's mark; FB_MAIL_MARK_SIZE bytes. Empty: no memory.
fb_str fb_mail_mark_of(fb_str address, char *mark);
// From now on. Waits. What fb_queues_mark_ask() says.
FB_CHECK_RESULT int fb_mail_suppress(fb_mailer *mailer, fb_str address, fb_error *error);
// FB_OK, *since_ms (may be NULL): it is suppressed. FB_MISS. Waits. `own`: for the worker.
FB_CHECK_RESULT int fb_mail_look_up(fb_mailer *mailer, fb_str address, bool own, int64_t *since_ms,
                                    fb_error *error);

// ---- for all

void fb_mail_hex(const uint8_t *bytes, size_t count, char *text);  // 2 × count digits, and NUL

#ifdef __cplusplus
}
#endif

#endif
