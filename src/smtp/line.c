// One handle of libcurl's and its connection: set up, watched, closed.
//
// libcurl says "it did not work"; what becomes of a mail hangs on how far it was. So all that goes
// over the wire is told to a dialogue (dialogue.h): commands by the debug callback, replies by the
// header callback, which may also end it. The size of the message is not announced to libcurl: it
// would stop counting at that many bytes, dots that it doubled included, and the end of the message
// would not be asked for; and asking for it is how we know that from now on nothing is certain.
//
// Left alone, closing a connection waits two minutes for the answer to QUIT. So it is said with a
// time of its own, and then the socket is shut down.

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/str.h"
#include "base/units.h"
#include "smtp/relay.h"

enum { GOODBYE_MS = 500, KEPT_S = 60 };

static bool should_stop(const fb_smtp_line *line) {
    return line->mail != NULL && line->mail->is_over != NULL && !line->ended &&
           line->mail->is_over(line->mail->arg);
}

static void give_up(fb_smtp_line *line, fb_smtp_phase phase, int code, const char *text) {
    if (!line->gave_up) {
        line->gave_up = true;
        line->verdict = (fb_smtp_result){.phase = phase, .code = code};
        (void)snprintf(line->verdict.text, sizeof line->verdict.text, "%s", text);
    }
}

// ---- callbacks

static size_t give(char *to, size_t size, size_t count, void *arg) {
    fb_smtp_line *line = arg;
    if (should_stop(line)) {
        give_up(line, FB_SMTP_DATA, 0, "stopped");
        return CURL_READFUNC_ABORT;
    }
    fb_str message = line->mail->message;
    size_t left = message.len - line->given;
    size_t len = left < size * count ? left : size * count;
    memcpy(to, message.ptr + line->given, len);
    line->given += len;
    if (len == 0) {
        line->ended = true;
        if (FB_RULE(smtp_dot)) {
            fb_dialogue_ended(&line->dialogue);
        }
    }
    return len;
}

static int look(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    fb_smtp_line *line = arg;
    (void)a, (void)b, (void)c, (void)d;
    if (!should_stop(line)) {
        return 0;
    }
    give_up(line, line->dialogue.phase, 0, "stopped");
    return 1;
}

static int watch(CURL *easy, curl_infotype type, char *data, size_t size, void *arg) {
    fb_smtp_line *line = arg;
    (void)easy;
    if (type == CURLINFO_HEADER_OUT) {
        fb_dialogue_sent(&line->dialogue, fb_str_make(data, size));
    }
    return 0;
}

// What a connection lacks shows when the mail has been announced: whoever sent before may have said
// hello on it. libcurl would go on without signing in where that is not offered.
static bool lacks_something(fb_smtp_line *line) {
    const fb_dialogue *dialogue = &line->dialogue;
    if (dialogue->last != FB_DIALOGUE_MAIL || !dialogue->whole) {
        return false;
    }
    if (FB_RULE(smtp_signs_in) && line->relay->user != NULL && !dialogue->signed_in) {
        give_up(line, FB_SMTP_AUTH, 0, "it does not offer to sign in");
    } else if (line->needs_utf8 && !dialogue->offers_utf8) {
        give_up(line, FB_SMTP_MAIL_FROM, 553,
                "5.6.7 not sent: the address needs SMTPUTF8, which the relay does not offer");
    }
    return line->gave_up;
}

static size_t hear(char *data, size_t size, size_t count, void *arg) {
    fb_smtp_line *line = arg;
    fb_dialogue_heard(&line->dialogue, fb_str_make(data, size * count));
    return lacks_something(line) ? 0 : size * count;
}

static size_t drop(char *data, size_t size, size_t count, void *arg) {
    (void)data, (void)arg;
    return size * count;
}

// Who only wants to say goodbye does not connect for it.
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to) {
    fb_smtp_line *line = arg;
    (void)purpose;
    if (line->closing) {
        return CURL_SOCKET_BAD;
    }
    line->fresh = true;
    line->socket = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
    return line->socket;
}

static int close_socket(void *arg, curl_socket_t closed) {
    fb_smtp_line *line = arg;
    if (line->socket == closed) {
        line->socket = CURL_SOCKET_BAD;
    }
    return close(closed);
}

// ---- setting up

static CURLcode set_callbacks(fb_smtp_line *line) {
    CURL *easy = line->easy;
    CURLcode code = curl_easy_setopt(easy, CURLOPT_READFUNCTION, give);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_READDATA, line);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, hear);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_HEADERDATA, line);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, watch);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_DEBUGDATA, line);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, look);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_XFERINFODATA, line);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, line);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, line);
    return code ? code : curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, line->error);
}

static CURLcode set_place(CURL *easy, const fb_relay *relay) {
    static const long use_ssl[] = {[FB_MAIL_TLS_REQUIRED] = CURLUSESSL_ALL,
                                   [FB_MAIL_TLS_OPTIONAL] = CURLUSESSL_TRY,
                                   [FB_MAIL_TLS_OFF] = CURLUSESSL_NONE};
    CURLcode code = curl_easy_setopt(easy, CURLOPT_URL, relay->url);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    code = code ? code : curl_easy_setopt(easy, CURLOPT_PROXY, "");
    code = code ? code : curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 1L);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEPT_S);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                                          (long)(relay->connect_timeout_ns / FB_NS_PER_MS));
    code = code ? code : curl_easy_setopt(easy, CURLOPT_USE_SSL, use_ssl[relay->tls]);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (relay->tls_ca != NULL) {
        code = code ? code : curl_easy_setopt(easy, CURLOPT_CAINFO, relay->tls_ca);
        code = code ? code : curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    code = code ? code
                : curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, relay->tls_verify ? 1L : 0L);
    code = code ? code
                : curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, relay->tls_verify ? 2L : 0L);
    if (relay->user != NULL) {
        code = code ? code : curl_easy_setopt(easy, CURLOPT_USERNAME, relay->user);
        code = code ? code : curl_easy_setopt(easy, CURLOPT_PASSWORD, relay->password);
        code = code ? code : curl_easy_setopt(easy, CURLOPT_SASL_IR, 1L);
    }
    return code;
}

int fb_smtp_line_init(fb_smtp_line *line, const fb_relay *relay) {
    *line = (fb_smtp_line){.relay = relay, .socket = CURL_SOCKET_BAD};
    line->easy = curl_easy_init();
    if (line->easy == NULL) {
        return FB_ENOMEM;
    }
    CURLcode code = set_place(line->easy, relay);
    code = code ? code : set_callbacks(line);
    if (code != CURLE_OK) {
        FB_ASSERT(code == CURLE_OUT_OF_MEMORY);
        curl_easy_cleanup(line->easy);
        line->easy = NULL;
        return FB_ENOMEM;
    }
    return FB_OK;
}

void fb_smtp_line_release(fb_smtp_line *line) {
    if (line->easy == NULL) {
        return;
    }
    line->mail = NULL;
    line->closing = true;
    if (line->socket != CURL_SOCKET_BAD) {
        (void)curl_easy_setopt(line->easy, CURLOPT_UPLOAD, 0L);
        (void)curl_easy_setopt(line->easy, CURLOPT_MAIL_FROM, NULL);
        (void)curl_easy_setopt(line->easy, CURLOPT_MAIL_RCPT, NULL);
        (void)curl_easy_setopt(line->easy, CURLOPT_NOBODY, 1L);
        (void)curl_easy_setopt(line->easy, CURLOPT_CUSTOMREQUEST, "QUIT");
        (void)curl_easy_setopt(line->easy, CURLOPT_TIMEOUT_MS, (long)GOODBYE_MS);
        (void)curl_easy_perform(line->easy);
    }
    if (line->socket != CURL_SOCKET_BAD) {
        (void)shutdown(line->socket, SHUT_RDWR);
    }
    curl_easy_cleanup(line->easy);
    line->easy = NULL;
}

// ---- what it came to

static bool is_about_tls(CURLcode code) {
    switch (code) {
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return true;
    default:
        return false;
    }
}

static fb_smtp_phase phase_of(const fb_smtp_line *line, CURLcode code) {
    curl_off_t connected_us = 0;
    fb_smtp_phase phase = line->dialogue.phase;
    if (phase < FB_SMTP_TLS && is_about_tls(code)) {
        return FB_SMTP_TLS;
    }
    if (phase < FB_SMTP_AUTH && code == CURLE_LOGIN_DENIED) {
        return FB_SMTP_AUTH;
    }
    if (phase == FB_SMTP_CONNECT &&
        curl_easy_getinfo(line->easy, CURLINFO_CONNECT_TIME_T, &connected_us) == CURLE_OK &&
        connected_us > 0) {
        return FB_SMTP_GREETING;
    }
    return phase;
}

void fb_smtp_line_result(const fb_smtp_line *line, CURLcode code, fb_smtp_result *result) {
    const fb_dialogue *dialogue = &line->dialogue;
    if (line->gave_up) {
        *result = line->verdict;
        return;
    }
    *result = (fb_smtp_result){.phase = phase_of(line, code), .code = dialogue->code};
    const char *text = dialogue->text;
    if (dialogue->code == 0) {
        text = line->error[0] != '\0' ? line->error : curl_easy_strerror(code);
    }
    (void)snprintf(result->text, sizeof result->text, "%.*s", (int)sizeof result->text - 1, text);
}
