// What a reply, or none, means.
//
// Three questions decide. Did the relay take the mail, or might it have? Is what it said about the
// recipient, about this mail, or about us and everything we send? And would it say the same again?
//
// Before MAIL FROM nothing was said of a mail yet: whatever goes wrong is the relay's. It is
// paused, no attempt is burned. So is it at MAIL FROM, whose address is the same for all mails,
// unless the reply is about what differs (size, UTF-8); a 4yz there is "later" like all others.
// Replies that ask us to sign in (530, 534, 535, 538) mean a relay that cannot be used wherever
// before the dot they come.
//
// From RCPT on a reply is never a reason to pause, but those: it may depend on the recipient, whom
// a stranger may have chosen, and one address must not keep everybody else's mail back. For the
// same reason 421 ("closing") and a silence are "later" from RCPT on; if the relay is gone, the
// next connection shows it, and burns nothing.
//
// After the dot a silence is ambiguous: the mail may be on its way. A reply is none.
//
// Who bounced is suppressed, until somebody allows him again, so a 5yz counts as the recipient's
// only where it says so: an enhanced code (RFC 3463) 5.1.y, but for 5.1.7 and 5.1.8, which are
// about the sender; 556 (RFC 7504: his domain takes no mail); or 550, 551, 553 to RCPT, without an
// enhanced code that says something else (5.7.y: policy; 5.2.2: full; 5.2.1: off for now, or for
// good) and without a word of relaying, signing in, senders, blocking or quota, which servers
// without enhanced codes say there: "550 relay not permitted" is about us. 552 and 554 are policy,
// size and "no reason given". All of these end the mail, but not the address.

#include "mail/outcome.h"

#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/rule.h"

enum { RETRY_FIRST_MS = 5000, RETRY_FACTOR = 4, RETRY_LAST_MS = 80000 };

// x.y.z at the begin of a reply; all 0: it has none.
typedef struct enhanced {
    int class_, subject, detail;
} enhanced;

// Up to three digits; *at is after them, or NULL where there are none.
static int read_number(const char **at) {
    int value = 0, digits = 0;

    while (*at != NULL && digits < 3 && (*at)[digits] >= '0' && (*at)[digits] <= '9') {
        value = value * 10 + ((*at)[digits++] - '0');
    }
    *at = digits > 0 ? *at + digits : NULL;
    return value;
}

static bool take_dot(const char **at) {
    if (*at == NULL || **at != '.') {
        *at = NULL;
        return false;
    }
    (*at)++;
    return true;
}

static enhanced read_enhanced(const char *text) {
    const char *at = text + strspn(text, " -");
    enhanced e = {.class_ = read_number(&at)};

    if (take_dot(&at)) {
        e.subject = read_number(&at);
    }
    if (take_dot(&at)) {
        e.detail = read_number(&at);
    }
    bool whole = at != NULL && (*at == ' ' || *at == '\0');
    return whole && (e.class_ == 4 || e.class_ == 5) ? e : (enhanced){0};
}

static bool wants_signing_in(int code) {
    return code == 530 || code == 534 || code == 535 || code == 538;
}

// Whether a reply without a telling enhanced code is about us after all, by its words.
static bool speaks_of_us(const char *text) {
    static const char *const words[] = {"relay",  "authenticat", "sender", "block", "blacklist",
                                        "policy", "spam",        "reputation", "quota"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasestr(text, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_about_recipient(const fb_smtp_result *result) {
    enhanced e = read_enhanced(result->text);

    if (e.class_ == 5 && e.subject == 1) {
        return e.detail != 7 && e.detail != 8;
    }
    if (result->phase != FB_SMTP_RCPT || (e.class_ != 0 && (e.class_ != 5 || e.subject != 0))) {
        return false;
    }
    bool mailbox = result->code == 550 || result->code == 551 || result->code == 553;
    bool us = FB_RULE(mail_speaks_of_us) && speaks_of_us(result->text);
    return result->code == 556 || (mailbox && !us);
}

// A 5yz to MAIL FROM that is about this mail: its size, its parameters, its UTF-8.
static bool is_about_mail(const fb_smtp_result *result) {
    enhanced e = read_enhanced(result->text);

    return result->code == 501 || result->code == 552 || result->code == 555 || e.subject == 6 ||
           (e.subject == 3 && e.detail == 4) || (e.subject == 2 && e.detail == 3);
}

static fb_mail_fate fate_of_failure(const fb_smtp_result *result) {
    if (result->phase <= FB_SMTP_DATA && wants_signing_in(result->code)) {
        return FB_MAIL_RELAY_DOWN;
    }
    if (result->phase == FB_SMTP_MAIL_FROM) {
        return is_about_mail(result) ? FB_MAIL_REFUSED : FB_MAIL_RELAY_DOWN;
    }
    return is_about_recipient(result) ? FB_MAIL_BOUNCED : FB_MAIL_REFUSED;
}

fb_mail_fate fb_mail_fate_of(const fb_smtp_result *result) {
    bool answered = result->code >= 400 && result->code < 600;

    if (result->phase == FB_SMTP_DONE ||
        (result->phase == FB_SMTP_DOT && result->code >= 200 && result->code < 300)) {
        return FB_MAIL_SENT;
    }
    if (result->phase < FB_SMTP_MAIL_FROM) {
        return FB_MAIL_RELAY_DOWN;
    }
    if (FB_RULE(mail_ambiguous) && !answered && result->phase == FB_SMTP_DOT) {
        return FB_MAIL_AMBIGUOUS;
    }
    if (result->phase == FB_SMTP_MAIL_FROM && (!answered || result->code == 421)) {
        return FB_MAIL_RELAY_DOWN;
    }
    return answered && result->code >= 500 ? fate_of_failure(result) : FB_MAIL_LATER;
}

const char *fb_mail_fate_name(fb_mail_fate fate) {
    static const char *const names[] = {"sent",    "later",      "refused",
                                        "bounced", "relay_down", "ambiguous"};

    FB_ASSERT((size_t)fate < sizeof(names) / sizeof(names[0]));
    return names[fate];
}

int64_t fb_mail_retry_ms(uint32_t attempt) {
    int64_t wait_ms = RETRY_FIRST_MS;

    for (uint32_t i = 1; i < attempt && wait_ms < RETRY_LAST_MS; i++) {
        wait_ms *= RETRY_FACTOR;
    }
    return wait_ms;
}
