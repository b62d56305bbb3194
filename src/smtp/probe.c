// Whether a relay can be used, told in lines for people: by a connection of its own, as far as
// NOOP.

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "smtp/relay.h"

enum { LINE_SIZE = 400 };

typedef struct report {
    void (*fn)(void *arg, bool good, const char *line);
    void *arg;
} report;

FB_PRINTF(3, 4) static void say(const report *to, bool good, const char *format, ...) {
    char text[LINE_SIZE];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    to->fn(to->arg, good, text);
}

// "" where there is none.
static void find_expiry(CURL *easy, char *text, size_t size) {
    static const char name[] = "Expire date:";
    struct curl_certinfo *chain = NULL;
    text[0] = '\0';
    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &chain) != CURLE_OK || chain == NULL ||
        chain->num_of_certs == 0) {
        return;
    }
    for (struct curl_slist *one = chain->certinfo[0]; one != NULL; one = one->next) {
        if (strncmp(one->data, name, sizeof name - 1) == 0) {
            (void)snprintf(text, size, "%s", one->data + sizeof name - 1);
        }
    }
}

static void tell_tls(const fb_smtp_line *line, const report *to) {
    char until[64];
    bool direct = strncmp(line->relay->url, "smtps:", 6) == 0;
    find_expiry(line->easy, until, sizeof until);
    if (!direct) {
        bool offered = line->dialogue.offers_starttls || line->dialogue.secured;
        bool needed = line->relay->tls == FB_MAIL_TLS_REQUIRED;
        say(to, offered || !needed, offered ? "STARTTLS offered" : "STARTTLS not offered");
    }
    if (until[0] != '\0') {
        say(to, true, line->relay->tls_verify ? "certificate fine until %s"
                                              : "certificate not looked at; it says until %s",
            until);
    } else if (!direct && !line->dialogue.secured) {
        say(to, line->relay->tls != FB_MAIL_TLS_REQUIRED, "not encrypted");
    }
}

static void tell(const fb_smtp_line *line, const report *to, const fb_smtp_result *result,
                 bool good) {
    const fb_dialogue *dialogue = &line->dialogue;
    char *address = NULL;
    long port = 0;
    (void)curl_easy_getinfo(line->easy, CURLINFO_PRIMARY_IP, &address);
    (void)curl_easy_getinfo(line->easy, CURLINFO_PRIMARY_PORT, &port);
    if (result->phase > FB_SMTP_CONNECT && address != NULL && address[0] != '\0') {
        say(to, true, strchr(address, ':') != NULL ? "connected to [%s]:%ld"
                                                   : "connected to %s:%ld",
            address, port);
    }
    if (dialogue->greeting[0] != '\0') {
        say(to, true, "says %s", dialogue->greeting);
        tell_tls(line, to);
    }
    if (dialogue->signed_in) {
        say(to, true, "signed in as %s", line->relay->user);
    } else if (good && line->relay->user == NULL) {
        say(to, true, "nobody signs in");
    }
    if (good) {
        say(to, true, "ready to take mails%s",
            dialogue->offers_utf8 ? "" : ", not to addresses beyond ASCII");
    } else {
        static const char *const doing[] = {
            [FB_SMTP_CONNECT] = "cannot connect", [FB_SMTP_GREETING] = "does not greet",
            [FB_SMTP_TLS] = "no TLS",             [FB_SMTP_AUTH] = "cannot sign in"};
        say(to, false, "%s: %s", result->phase <= FB_SMTP_AUTH ? doing[result->phase] : "failed",
            result->text);
    }
}

// It would send without signing in.
static bool lacks_user(const fb_smtp_line *line, CURLcode code) {
    return code == CURLE_OK && line->relay->user != NULL && !line->dialogue.signed_in;
}

void fb_relay_test(fb_relay *relay, void (*fn)(void *arg, bool good, const char *line), void *arg,
                   fb_smtp_result *result) {
    report to = {.fn = fn, .arg = arg};
    fb_smtp_line line;
    if (fb_smtp_line_init(&line, relay) != FB_OK) {
        *result = (fb_smtp_result){.phase = FB_SMTP_CONNECT, .text = "out of memory"};
        say(&to, false, "out of memory");
        return;
    }
    fb_dialogue_begin(&line.dialogue);
    CURLcode code = curl_easy_setopt(line.easy, CURLOPT_CUSTOMREQUEST, "NOOP");
    code = code ? code : curl_easy_setopt(line.easy, CURLOPT_NOBODY, 1L);
    code = code ? code : curl_easy_setopt(line.easy, CURLOPT_CERTINFO, 1L);
    code = code ? code : curl_easy_setopt(line.easy, CURLOPT_TIMEOUT_MS,
                                          (long)(relay->timeout_ns / FB_NS_PER_MS));
    code = code ? code : curl_easy_perform(line.easy);
    fb_smtp_line_result(&line, code, result);
    if (lacks_user(&line, code)) {
        *result = (fb_smtp_result){.phase = FB_SMTP_AUTH, .text = "it is not offered"};
        code = CURLE_LOGIN_DENIED;
    } else if (code == CURLE_OK) {
        *result = (fb_smtp_result){.phase = FB_SMTP_DONE};
    }
    tell(&line, &to, result, code == CURLE_OK);
    fb_smtp_line_release(&line);
}
