// A relay: as many handles of libcurl's as it may have connections, each with the connection that
// it keeps. Who sends takes one that is free, the one that was used last first, so that in quiet
// times few are open; where none is free he waits, within the time that a mail has.
//
// A connection that was kept may be gone, or the relay may have had enough of it ("421 too many
// mails"): then nothing of this mail was said yet, and it is tried once more by a new one.
//
// libcurl drops a connection on which a recipient was refused, so such a mail costs the next one a
// connection.

#include "smtp/smtp.h"

#include <forebay/mail.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "os/file.h"
#include "smtp/relay.h"

enum { CA_BYTES_MAX = 16 * 1024 * 1024, LOOK_NS = 50 * 1000 * 1000, SEND_MIN_NS = FB_NS_PER_S };

// ---- making one

static int copy_text(const char *from, char **to) {
    *to = from != NULL && from[0] != '\0' ? fb_mem_text(fb_str_of(from)) : NULL;
    return *to == NULL && from != NULL && from[0] != '\0' ? FB_ENOMEM : FB_OK;
}

// A part of the URL as a text of our own; NULL where it has none.
static int take_part(CURLU *url, CURLUPart part, unsigned flags, char **out) {
    char *text = NULL;
    CURLUcode code = curl_url_get(url, part, &text, flags);
    int result = code == CURLUE_OUT_OF_MEMORY ? FB_ENOMEM : copy_text(text, out);
    curl_free(text);
    return result;
}

static int reduce_url(fb_relay *relay, CURLU *url, const char *hello, fb_error *error) {
    static const CURLUPart without[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                        CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLUcode code = CURLUE_OK;
    for (size_t i = 0; i < sizeof without / sizeof without[0] && code == CURLUE_OK; i++) {
        code = curl_url_set(url, without[i], NULL, 0);
    }
    if (code == CURLUE_OK) {
        code = curl_url_set(url, CURLUPART_PATH, hello, CURLU_URLENCODE);
    }
    if (code != CURLUE_OK) {
        return fb_error_set(error, code == CURLUE_OUT_OF_MEMORY ? FB_ENOMEM : FB_EINVAL, "%s",
                            curl_url_strerror(code));
    }
    return take_part(url, CURLUPART_URL, 0, &relay->url);
}

static int read_url(fb_relay *relay, const fb_mail_relay_options *options, const char *hello,
                    fb_error *error) {
    CURLU *url = curl_url();
    if (url == NULL) {
        return FB_ENOMEM;
    }
    char *scheme = NULL;
    CURLUcode code = curl_url_set(url, CURLUPART_URL, options->url != NULL ? options->url : "", 0);
    int result = code == CURLUE_OUT_OF_MEMORY ? FB_ENOMEM
                 : code != CURLUE_OK
                     ? fb_error_set(error, FB_EINVAL, "%s", curl_url_strerror(code))
                     : take_part(url, CURLUPART_SCHEME, 0, &scheme);
    if (result == FB_OK && strcmp(scheme, "smtp") != 0 && strcmp(scheme, "smtps") != 0) {
        result = fb_error_set(error, FB_EINVAL, "it begins with neither smtp:// nor smtps://");
    }
    if (result == FB_OK) {
        result = take_part(url, CURLUPART_USER, CURLU_URLDECODE, &relay->user);
    }
    if (result == FB_OK) {
        result = take_part(url, CURLUPART_PASSWORD, CURLU_URLDECODE, &relay->password);
    }
    if (result == FB_OK) {
        result = reduce_url(relay, url, hello, error);
    }
    fb_mem_free(scheme);
    curl_url_cleanup(url);
    return result;
}

// What stands beside the URL goes over what it says; who signs in without a password has an empty
// one.
static int read_user(fb_relay *relay, const fb_mail_relay_options *options) {
    char **to[] = {&relay->user, &relay->password};
    const char *from[] = {options->user, options->password};
    for (size_t i = 0; i < 2; i++) {
        if (from[i] != NULL && from[i][0] != '\0') {
            fb_mem_free(*to[i]);
            if (copy_text(from[i], to[i]) != FB_OK) {
                return FB_ENOMEM;
            }
        }
    }
    if (relay->user != NULL && relay->password == NULL) {
        relay->password = fb_mem_text(FB_STR(""));
        return relay->password != NULL ? FB_OK : FB_ENOMEM;
    }
    return FB_OK;
}

static int check_authorities(const char *path, fb_error *error) {
    fb_buf bytes = {0};
    if (path == NULL || path[0] == '\0') {
        return FB_OK;
    }
    int result = fb_file_read(path, CA_BYTES_MAX, &bytes, error);
    if (result == FB_MISS) {
        result = fb_error_set(error, FB_EINVAL, "tls_ca: there is no file %s", path);
    } else if (result == FB_OK &&
               memmem(bytes.ptr, bytes.len, "-----BEGIN", strlen("-----BEGIN")) == NULL) {
        result = fb_error_set(error, FB_EINVAL, "tls_ca: there is no certificate in %s", path);
    } else if (result < 0 && result != FB_ENOMEM) {
        result = FB_EINVAL;
    }
    fb_buf_release(&bytes);
    return result;
}

static int fill(fb_relay *relay, const fb_mail_relay_options *options, const char *hello,
                fb_error *error) {
    relay->tls = options->tls;
    relay->tls_verify = options->tls_verify;
    relay->timeout_ns = options->timeout_ns;
    relay->connect_timeout_ns = options->connect_timeout_ns;
    int result = check_authorities(options->tls_ca, error);
    if (result == FB_OK) {
        result = copy_text(options->tls_ca, &relay->tls_ca);
    }
    if (result == FB_OK) {
        result = read_url(relay, options, hello, error);
    }
    if (result == FB_OK) {
        result = read_user(relay, options);
    }
    if (result < 0) {
        return result;
    }
    relay->lines = fb_mem_zero(options->connections, sizeof *relay->lines);
    if (relay->lines == NULL) {
        return FB_ENOMEM;
    }
    while (relay->line_count < options->connections) {
        fb_smtp_line *line = &relay->lines[relay->line_count++];
        line->next = relay->free;
        relay->free = line;
    }
    return FB_OK;
}

int fb_relay_new(const fb_mail_relay_options *options, const char *hello, fb_relay **out,
                 fb_error *error) {
    FB_ASSERT(options->connections > 0 && options->timeout_ns > 0);
    *out = NULL;
    int result = fb_curl_load(error);
    if (result < 0) {
        return result;
    }
    fb_relay *relay = fb_mem_zero(1, sizeof *relay);
    if (relay == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->freed, &attributes);
    pthread_condattr_destroy(&attributes);
    result = fill(relay, options, hello, error);
    if (result < 0) {
        fb_relay_free(relay);
        return result == FB_ENOMEM ? fb_error_set(error, result, "out of memory") : result;
    }
    *out = relay;
    return FB_OK;
}

static void forget(char *secret) {
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
    }
    fb_mem_free(secret);
}

void fb_relay_free(fb_relay *relay) {
    if (relay == NULL) {
        return;
    }
    for (uint32_t i = 0; i < relay->line_count; i++) {
        fb_smtp_line_release(&relay->lines[i]);
    }
    pthread_cond_destroy(&relay->freed);
    pthread_mutex_destroy(&relay->lock);
    fb_mem_free(relay->lines);
    fb_mem_free(relay->url);
    fb_mem_free(relay->user);
    forget(relay->password);
    fb_mem_free(relay->tls_ca);
    fb_mem_free(relay);
}

// ---- taking a connection

static bool is_stopped(const fb_smtp_mail *mail) {
    return mail->is_over != NULL && mail->is_over(mail->arg);
}

// NULL: none became free in time, or it is to stop.
static fb_smtp_line *take(fb_relay *relay, const fb_smtp_mail *mail, int64_t until_ns) {
    pthread_mutex_lock(&relay->lock);
    while (relay->free == NULL && !is_stopped(mail)) {
        int64_t now_ns = fb_clock_now_ns();
        if (now_ns >= until_ns) {
            break;
        }
        int64_t look_ns = until_ns - now_ns < LOOK_NS ? until_ns : now_ns + LOOK_NS;
        struct timespec at = {(time_t)(look_ns / FB_NS_PER_S), (long)(look_ns % FB_NS_PER_S)};
        (void)pthread_cond_timedwait(&relay->freed, &relay->lock, &at);
    }
    fb_smtp_line *line = relay->free;
    if (line != NULL) {
        relay->free = line->next;
    }
    pthread_mutex_unlock(&relay->lock);
    return line;
}

static void put_back(fb_relay *relay, fb_smtp_line *line) {
    pthread_mutex_lock(&relay->lock);
    line->next = relay->free;
    relay->free = line;
    pthread_cond_signal(&relay->freed);
    pthread_mutex_unlock(&relay->lock);
}

// ---- sending

static void fail(fb_smtp_result *result, const char *text) {
    *result = (fb_smtp_result){.phase = FB_SMTP_CONNECT};
    (void)snprintf(result->text, sizeof result->text, "%s", text);
}

static bool is_ascii(fb_str text) {
    for (size_t i = 0; i < text.len; i++) {
        if ((text.ptr[i] & 0x80) != 0) {
            return false;
        }
    }
    return true;
}

static void begin(fb_smtp_line *line, const fb_smtp_mail *mail) {
    fb_dialogue_begin(&line->dialogue);
    line->mail = mail;
    line->given = 0;
    line->ended = line->fresh = line->gave_up = false;
    line->needs_utf8 = !is_ascii(mail->from) || !is_ascii(mail->to);
    line->error[0] = '\0';
}

// One attempt, by the connection that there is or by a new one.
static void attempt(fb_smtp_line *line, const fb_smtp_mail *mail, bool anew, int64_t until_ns,
                    fb_smtp_result *result) {
    char from[FB_MAIL_ADDRESS_MAX + 3], to[FB_MAIL_ADDRESS_MAX + 3];
    (void)snprintf(from, sizeof from, "<%.*s>", FB_STR_ARG(mail->from));
    (void)snprintf(to, sizeof to, "<%.*s>", FB_STR_ARG(mail->to));
    struct curl_slist *recipients = curl_slist_append(NULL, to);
    int64_t left_ns = until_ns - fb_clock_now_ns();
    left_ns = left_ns > SEND_MIN_NS ? left_ns : SEND_MIN_NS;
    CURL *easy = line->easy;
    begin(line, mail);
    CURLcode code = recipients != NULL ? CURLE_OK : CURLE_OUT_OF_MEMORY;
    code = code ? code : curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, recipients);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, anew ? 1L : 0L);
    code = code ? code
                : curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(left_ns / FB_NS_PER_MS));
    code = code ? code : curl_easy_perform(easy);
    (void)curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, NULL);
    curl_slist_free_all(recipients);
    line->mail = NULL;
    fb_smtp_line_result(line, code, result);
}

// Nothing of this mail was said by a connection that had been kept: it is not the mail's fault.
static bool was_stale(const fb_smtp_line *line, const fb_smtp_result *result) {
    return !line->fresh && !line->gave_up && result->phase <= FB_SMTP_RCPT &&
           (result->code == 0 || result->code == 421);
}

void fb_relay_send(fb_relay *relay, const fb_smtp_mail *mail, fb_smtp_result *result) {
    FB_ASSERT(mail->message.len > 0 && mail->from.len <= FB_MAIL_ADDRESS_MAX &&
              mail->to.len <= FB_MAIL_ADDRESS_MAX);
    int64_t until_ns = fb_clock_now_ns() + relay->timeout_ns;
    fb_smtp_line *line = take(relay, mail, until_ns);
    if (line == NULL) {
        fail(result, is_stopped(mail) ? "stopped" : "all connections to it are in use");
        return;
    }
    if (line->easy == NULL && fb_smtp_line_init(line, relay) != FB_OK) {
        fail(result, "out of memory");
    } else {
        bool kept = line->socket != CURL_SOCKET_BAD;
        attempt(line, mail, false, until_ns, result);
        if (kept && was_stale(line, result)) {
            attempt(line, mail, true, until_ns, result);
        }
    }
    put_back(relay, line);
}
