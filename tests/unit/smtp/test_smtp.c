// Sending through a relay that does anything at any step: how far it got is told right, and nothing
// hangs, whatever is said or not said.

#include "fake_smtp.h"

#include <stdatomic.h>

#include "base/units.h"
#include "smtp/smtp.h"

enum { PATIENCE_S = 120 };

static fake_smtp server;  // it is large
static char message_text[] = "From: a@example.org\r\nTo: b@example.org\r\nSubject: x\r\n\r\nHello.\r\n";

// ---- the relay and the server

typedef struct stage {
    fake_smtp *server;
    fb_relay *relay;
    char url[128];
    fb_mail_relay_options options;
} stage;

static stage one;

static void begin(bool tls) {
    memset(&server, 0, sizeof server);
    memset(&one, 0, sizeof one);
    fake_smtp_start(&server, tls);
    (void)snprintf(one.url, sizeof one.url, "smtp://localhost:%d", server.port);
    one.server = &server;
    one.options = (fb_mail_relay_options){.name = (char *)"main", .url = one.url,
                                          .tls = tls ? FB_MAIL_TLS_REQUIRED : FB_MAIL_TLS_OFF,
                                          .tls_ca = tls ? server.cert_file : NULL,
                                          .tls_verify = true, .connections = 1,
                                          .timeout_ns = PATIENCE_S * FB_NS_PER_S,
                                          .connect_timeout_ns = PATIENCE_S * FB_NS_PER_S};
}

static void open_relay(void) {
    fb_error error = {0};
    assert_ok(fb_relay_new(&one.options, "test.example.org", &one.relay, &error));
}

static void end(void) {
    fb_relay_free(one.relay);
    one.relay = NULL;
    fake_smtp_stop(&server);
}

static fb_smtp_result send_text(fb_str text) {
    fb_smtp_result result;
    fb_smtp_mail mail = {.from = FB_STR("a@example.org"), .to = FB_STR("b@example.org"),
                         .message = text};
    fb_relay_send(one.relay, &mail, &result);
    return result;
}

static fb_smtp_result send_one(void) {
    return send_text(fb_str_of(message_text));
}

#define assert_ended(result, phase, code) ended_is((result), (phase), (code), __FILE__, __LINE__)

static void ended_is(fb_smtp_result result, fb_smtp_phase phase, int code, const char *file,
                     int line) {
    if (result.phase != phase || result.code != code) {
        print_error("ended in phase %d with %d (%s), not in %d with %d\n", (int)result.phase,
                    result.code, result.text, (int)phase, code);
        _fail(file, line);
    }
}

// ---- what works

static void test_smtp__sends_by_a_connection_that_it_keeps(void **state) {
    (void)state;
    begin(false);
    open_relay();
    for (int i = 0; i < 5; i++) {
        fb_smtp_result result = send_one();
        assert_ended(result, FB_SMTP_DONE, 250);
        assert_string_equal(result.text, "2.0.0 Ok: queued as 12345");
    }
    assert_int_equal(fake_smtp_mails(&server), 5);
    assert_string_equal(server.mails[4].from, "a@example.org>");
    assert_string_equal(server.mails[4].to, "b@example.org>");
    assert_str(fb_str_make(server.mails[4].data, server.mails[4].len), message_text);
    assert_int_equal(fake_smtp_steps(&server, FAKE_GREETING), 1);
    fb_relay_free(one.relay);
    one.relay = NULL;
    fake_smtp_await_step(&server, FAKE_QUIT, 1);
    end();
}

// Lines of one to three dots, in every place of the buffers that they are sent in.
static void test_smtp__dots_arrive_as_they_were(void **state) {
    (void)state;
    begin(false);
    open_relay();
    static char text[300000];
    fb_rng rng = test_rng();
    size_t len = (size_t)snprintf(text, sizeof text, "Subject: dots\r\n\r\n");
    while (len < sizeof text - 100) {
        static const char *const lines[] = {".\r\n", "..\r\n", "...\r\n", "x.\r\n", "\r\n", "xyz\r\n"};
        len += (size_t)snprintf(text + len, sizeof text - len, "%s",
                                lines[fb_rng_below(&rng, sizeof lines / sizeof lines[0])]);
    }
    assert_ended(send_text(fb_str_make(text, len)), FB_SMTP_DONE, 250);
    // One that ends in dots, and one that does not end its line.
    assert_ended(send_text(FB_STR("Subject: end\r\n\r\n.\r\n..\r\n")), FB_SMTP_DONE, 250);
    assert_ended(send_text(FB_STR("Subject: end\r\n\r\nno end")), FB_SMTP_DONE, 250);
    assert_bytes(fb_str_make(server.mails[0].data, server.mails[0].len), fb_str_make(text, len));
    assert_str(fb_str_make(server.mails[1].data, server.mails[1].len),
               "Subject: end\r\n\r\n.\r\n..\r\n");
    assert_str(fb_str_make(server.mails[2].data, server.mails[2].len),
               "Subject: end\r\n\r\nno end\r\n");
    end();
}

static void test_smtp__encrypts_and_signs_in(void **state) {
    static const char *const ways[] = {"PLAIN", "LOGIN", "PLAIN LOGIN"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        begin(true);
        server.auth = ways[i];
        server.user = "grain@example.org";
        server.password = "p:w@rd/%";
        (void)snprintf(one.url, sizeof one.url, "smtp://grain%%40example.org:p%%3Aw%%40rd%%2F%%25@localhost:%d",
                       server.port);
        open_relay();
        assert_ended(send_one(), FB_SMTP_DONE, 250);
        assert_ended(send_one(), FB_SMTP_DONE, 250);
        assert_true(server.mails[0].secure);
        assert_true(server.mails[0].signed_in);
        assert_true(server.mails[1].signed_in);
        assert_int_equal(fake_smtp_steps(&server, FAKE_AUTH), 1);
        end();
    }
}

static void test_smtp__user_and_password_go_over_the_url(void **state) {
    (void)state;
    begin(false);
    server.auth = "PLAIN";
    server.user = "right";
    server.password = "secret";
    (void)snprintf(one.url, sizeof one.url, "smtp://wrong:wrong@localhost:%d", server.port);
    one.options.user = (char *)"right";
    one.options.password = (char *)"secret";
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    end();
}

static void test_smtp__speaks_tls_from_the_start_by_smtps(void **state) {
    (void)state;
    begin(true);
    server.direct = true;
    (void)snprintf(one.url, sizeof one.url, "smtps://localhost:%d", server.port);
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    assert_true(server.mails[0].secure);
    end();
}

// ---- TLS and signing in that fail

static void test_smtp__does_not_go_on_without_starttls(void **state) {
    (void)state;
    begin(false);
    one.options.tls = FB_MAIL_TLS_REQUIRED;
    open_relay();
    assert_ended(send_one(), FB_SMTP_TLS, 0);
    assert_int_equal(fake_smtp_steps(&server, FAKE_MAIL), 0);
    end();
    begin(false);
    one.options.tls = FB_MAIL_TLS_OPTIONAL;
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    end();
}

static void test_smtp__believes_no_certificate_that_it_does_not_know(void **state) {
    (void)state;
    begin(true);
    one.options.tls_ca = NULL;
    open_relay();
    assert_ended(send_one(), FB_SMTP_TLS, 0);
    assert_int_equal(fake_smtp_steps(&server, FAKE_MAIL), 0);
    end();
    begin(true);
    one.options.tls_ca = NULL;
    one.options.tls_verify = false;
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    end();
    begin(true);
    server.direct = true;
    one.options.tls_ca = NULL;
    (void)snprintf(one.url, sizeof one.url, "smtps://localhost:%d", server.port);
    open_relay();
    assert_ended(send_one(), FB_SMTP_TLS, 0);
    end();
}

static void test_smtp__does_not_send_without_signing_in(void **state) {
    (void)state;
    begin(false);
    one.options.user = (char *)"ada";
    one.options.password = (char *)"secret";
    open_relay();
    assert_ended(send_one(), FB_SMTP_AUTH, 0);
    assert_int_equal(fake_smtp_mails(&server), 0);
    end();
    begin(false);
    server.auth = "PLAIN";
    server.user = "ada";
    server.password = "another";
    one.options.user = (char *)"ada";
    one.options.password = (char *)"secret";
    open_relay();
    fb_smtp_result result = send_one();
    assert_ended(result, FB_SMTP_AUTH, 535);
    assert_string_equal(result.text, "5.7.8 no");
    end();
}

// A relay that repeats what it was sent does not bring it into what is stored and logged.
static void test_smtp__what_signs_in_is_in_no_text(void **state) {
    (void)state;
    char echoed[256], encoded[128], plain[64];
    size_t len = (size_t)snprintf(plain, sizeof plain, "%cada%csecret", 0, 0);
    fake_encode(plain, len, encoded);
    (void)snprintf(echoed, sizeof echoed, "500-what is\r\n500 AUTH PLAIN %s?", encoded);
    begin(false);
    server.auth = "PLAIN";
    server.user = server.password = "";
    one.options.user = (char *)"ada";
    one.options.password = (char *)"secret";
    fake_smtp_answer(&server, FAKE_AUTH, FAKE_REPLY, echoed, 0);
    open_relay();
    fb_smtp_result result = send_one();
    assert_ended(result, FB_SMTP_AUTH, 500);
    assert_null(strstr(result.text, encoded));
    assert_string_equal(result.text, "what is (it repeats what was sent to sign in)");
    end();
}

// ---- every reply at every phase

typedef struct place {
    fake_step step;
    fb_smtp_phase phase;
    fb_smtp_phase lost;  // where it ends if the connection is closed instead of a reply
} place;

static const place places[] = {
    {FAKE_GREETING, FB_SMTP_GREETING, FB_SMTP_GREETING},
    {FAKE_HELLO, FB_SMTP_GREETING, FB_SMTP_GREETING},
    {FAKE_STARTTLS, FB_SMTP_TLS, FB_SMTP_TLS},
    {FAKE_AUTH, FB_SMTP_AUTH, FB_SMTP_AUTH},
    {FAKE_MAIL, FB_SMTP_MAIL_FROM, FB_SMTP_MAIL_FROM},
    {FAKE_RCPT, FB_SMTP_RCPT, FB_SMTP_RCPT},
    {FAKE_DATA, FB_SMTP_DATA, FB_SMTP_DATA},
    {FAKE_DOT, FB_SMTP_DOT, FB_SMTP_DOT}};
enum { PLACES = sizeof places / sizeof places[0] };

static void begin_all(void) {
    begin(true);
    server.auth = "PLAIN";
    server.user = "ada";
    server.password = "secret";
    one.options.user = (char *)"ada";
    one.options.password = (char *)"secret";
    open_relay();
}

static bool is_expected(const place *at, int code, const fb_smtp_result *result) {
    if (result->phase != at->phase) {
        return false;
    }
    // That TLS cannot be had is told by libcurl's words; the code may stay.
    return result->code == code || at->phase < FB_SMTP_MAIL_FROM;
}

// What docs/mail.md says of a reply with an enhanced code of x.1.1 (no such mailbox).
static fb_mail_fate fate_by_the_book(const place *at, int code) {
    bool sign_in = code == 530 || code == 534 || code == 535 || code == 538;
    if (at->phase < FB_SMTP_MAIL_FROM || (sign_in && at->phase < FB_SMTP_DOT)) {
        return FB_MAIL_RELAY_DOWN;
    }
    if (at->phase == FB_SMTP_MAIL_FROM) {
        bool about_mail = code == 501 || code == 552 || code == 555;
        return about_mail                    ? FB_MAIL_REFUSED
               : code >= 500 || code == 421 ? FB_MAIL_RELAY_DOWN
                                            : FB_MAIL_LATER;
    }
    return code < 500 ? FB_MAIL_LATER : FB_MAIL_BOUNCED;
}

// What is refused, for now or for good, ends the mail there, and the next one goes through.
static void test_smtp__knows_where_and_by_what_a_mail_was_refused(void **state) {
    static const int codes[] = {421, 450, 451, 452, 454, 455, 499, 500, 501, 502, 503, 504, 521, 530,
                                535, 550, 551, 552, 553, 554, 555, 556, 599};
    (void)state;
    begin_all();
    for (size_t i = 0; i < PLACES; i++) {
        for (size_t k = 0; k < sizeof codes / sizeof codes[0]; k++) {
            char reply[64];
            const place *at = &places[i];
            bool greeted = at->step == FAKE_HELLO || at->step <= FAKE_AUTH;
            (void)snprintf(reply, sizeof reply, "%d-%d.1.1 first\r\n%d second", codes[k],
                           codes[k] / 100, codes[k]);
            if (greeted) {  // nothing of this is said on a connection that is kept
                fb_relay_free(one.relay);
                open_relay();
            }
            // HELO comes after an EHLO that was refused; it is refused, too.
            fake_smtp_answer(&server, at->step, FAKE_REPLY, reply, 0);
            fb_smtp_result result = send_one();
            if (!is_expected(at, codes[k], &result) ||
                fb_mail_fate_of(&result) != fate_by_the_book(at, codes[k])) {
                fail_msg("%d at step %d: phase %d, code %d, %s", codes[k], (int)at->step,
                         (int)result.phase, result.code, result.text);
            }
            if (result.code == codes[k]) {
                char text[64];
                (void)snprintf(text, sizeof text, "%d.1.1 first second", codes[k] / 100);
                assert_string_equal(result.text, text);
            }
            fake_smtp_calm(&server);
            assert_ended(send_one(), FB_SMTP_DONE, 250);
        }
    }
    end();
}

// Replies that are good, but not at this place.
static void test_smtp__a_good_reply_in_the_wrong_place_is_no_success(void **state) {
    (void)state;
    begin_all();
    fake_smtp_answer(&server, FAKE_MAIL, FAKE_REPLY, "354 go ahead", 1);
    assert_ended(send_one(), FB_SMTP_MAIL_FROM, 354);
    fake_smtp_answer(&server, FAKE_RCPT, FAKE_REPLY, "354 go ahead", 1);
    assert_ended(send_one(), FB_SMTP_RCPT, 354);
    fake_smtp_answer(&server, FAKE_DATA, FAKE_REPLY, "250 fine", 1);
    assert_ended(send_one(), FB_SMTP_DATA, 250);
    fake_smtp_answer(&server, FAKE_DOT, FAKE_REPLY, "354 go ahead", 1);
    assert_ended(send_one(), FB_SMTP_DOT, 354);
    // The first digit is what counts (RFC 5321, 4.3.2).
    fake_smtp_answer(&server, FAKE_DOT, FAKE_REPLY, "252 taken", 1);
    assert_ended(send_one(), FB_SMTP_DONE, 252);
    fake_smtp_answer(&server, FAKE_RCPT, FAKE_REPLY, "251 forwarded", 1);
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    end();
}

static void test_smtp__a_close_ends_the_phase_that_it_comes_in(void **state) {
    (void)state;
    begin_all();
    for (size_t i = 0; i < PLACES; i++) {
        fb_relay_free(one.relay);
        open_relay();
        fake_smtp_answer(&server, places[i].step, FAKE_CLOSE, NULL, 0);
        fb_smtp_result result = send_one();
        assert_ended(result, places[i].lost, 0);
        assert_int_equal(fb_mail_fate_of(&result),
                         places[i].phase <= FB_SMTP_MAIL_FROM ? FB_MAIL_RELAY_DOWN
                         : places[i].phase < FB_SMTP_DOT      ? FB_MAIL_LATER
                                                              : FB_MAIL_AMBIGUOUS);
        fake_smtp_calm(&server);
        assert_ended(send_one(), FB_SMTP_DONE, 250);
    }
    end();
}

// Half of a message that no buffer holds has been sent: it is certain that it is not there.
static void test_smtp__a_close_within_the_message_is_before_the_dot(void **state) {
    (void)state;
    begin(false);
    open_relay();
    size_t len = 24 * 1024 * 1024;
    char *text = malloc(len);
    memset(text, 'x', len);
    memcpy(text, "Subject: x\r\n\r\n", 14);
    for (size_t i = 80; i + 2 < len; i += 80) {
        memcpy(text + i, "\r\n", 2);
    }
    fake_smtp_answer(&server, FAKE_BODY, FAKE_CLOSE, NULL, 1);
    assert_ended(send_text(fb_str_make(text, len)), FB_SMTP_DATA, 0);
    assert_ended(send_text(fb_str_make(text, len)), FB_SMTP_DONE, 250);
    free(text);
    end();
}

static void test_smtp__silence_ends_with_its_time(void **state) {
    (void)state;
    begin_all();
    for (size_t i = 0; i < PLACES; i++) {
        fb_relay_free(one.relay);
        one.options.timeout_ns = PATIENCE_S * FB_NS_PER_S;
        open_relay();
        if (places[i].step >= FAKE_MAIL) {  // so that only this step has to be quick enough
            assert_ended(send_one(), FB_SMTP_DONE, 250);
        }
        fake_smtp_answer(&server, places[i].step, FAKE_SILENT, NULL, 0);
        fb_relay_free(one.relay);
        one.options.timeout_ns = FB_NS_PER_S;
        open_relay();
        fb_smtp_result result = send_one();
        // On a slow machine the time may be over before.
        if (result.phase != places[i].phase) {
            assert_true(result.phase < places[i].phase);
        }
        assert_int_equal(result.code, 0);
        fake_smtp_calm(&server);
    }
    end();
}

static void test_smtp__a_slow_relay_has_no_more_time_than_a_mail_has(void **state) {
    (void)state;
    begin(false);
    server.slow_us = 250000;
    one.options.timeout_ns = FB_NS_PER_S;
    open_relay();
    fb_smtp_result result = send_one();
    assert_true(result.phase <= FB_SMTP_GREETING);
    assert_int_equal(result.code, 0);
    end();
    begin(false);
    server.slow_us = 1000;
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    end();
}

static void test_smtp__nobody_listens(void **state) {
    (void)state;
    begin(false);
    open_relay();
    (void)shutdown(server.listener, SHUT_RDWR);
    int port = server.port;
    end();
    begin(false);
    (void)snprintf(one.url, sizeof one.url, "smtp://localhost:%d", port);
    open_relay();
    fb_smtp_result result = send_one();
    assert_ended(result, FB_SMTP_CONNECT, 0);
    assert_true(strlen(result.text) > 0);
    end();
}

// ---- connections that are kept

static void test_smtp__a_connection_that_went_away_costs_no_mail(void **state) {
    (void)state;
    begin(false);
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    // It has had enough of us, and says so only when it is asked.
    fake_smtp_answer(&server, FAKE_MAIL, FAKE_LAST, "421 4.7.0 too many", 1);
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    fake_smtp_answer(&server, FAKE_MAIL, FAKE_CLOSE, NULL, 1);
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    fake_smtp_answer(&server, FAKE_RCPT, FAKE_LAST, "421 4.7.0 too many", 1);
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    assert_int_equal(fake_smtp_steps(&server, FAKE_GREETING), 4);
    // A new one that has had enough at once has had enough.
    fake_smtp_answer(&server, FAKE_MAIL, FAKE_LAST, "421 4.7.0 too many", 2);
    assert_ended(send_one(), FB_SMTP_MAIL_FROM, 421);
    end();
}

static void test_smtp__closing_does_not_wait_for_a_relay_that_is_stuck(void **state) {
    (void)state;
    begin(false);
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    fake_smtp_answer(&server, FAKE_QUIT, FAKE_SILENT, NULL, 0);
    fb_relay_free(one.relay);  // libcurl alone would wait for two minutes
    one.relay = NULL;
    end();
}

typedef struct sender {
    pthread_t thread;
    int sent;
} sender;

static void *send_many(void *arg) {
    sender *self = arg;
    for (int i = 0; i < 25; i++) {
        fb_smtp_result result = send_one();
        self->sent += result.phase == FB_SMTP_DONE;
    }
    return NULL;
}

static void test_smtp__threads_share_no_more_connections_than_it_may_have(void **state) {
    sender senders[8] = {0};
    (void)state;
    begin(false);
    one.options.connections = 3;
    open_relay();
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(senders[i].sent, 25);
    }
    assert_int_equal(fake_smtp_mails(&server), 200);
    assert_in_range(fake_smtp_steps(&server, FAKE_GREETING), 1, 3);
    end();
}

// ---- stopping

typedef struct stopping {
    _Atomic(bool) stop;
    fb_smtp_result result;
} stopping;

static bool is_stopped(const void *arg) {
    return atomic_load(&((const stopping *)arg)->stop);
}

static void *send_until_stopped(void *arg) {
    stopping *self = arg;
    fb_smtp_mail mail = {.from = FB_STR("a@example.org"), .to = FB_STR("b@example.org"),
                         .message = fb_str_of(message_text), .is_over = is_stopped, .arg = self};
    fb_relay_send(one.relay, &mail, &self->result);
    return NULL;
}

static fb_smtp_result stop_at(fake_step step) {
    pthread_t thread;
    stopping self = {.stop = false};
    begin(false);
    open_relay();
    fake_smtp_answer(&server, step, FAKE_SILENT, NULL, 1);
    assert_int_equal(pthread_create(&thread, NULL, send_until_stopped, &self), 0);
    fake_smtp_await_step(&server, step, 1);
    atomic_store(&self.stop, true);
    pthread_join(thread, NULL);
    end();
    return self.result;
}

static void test_smtp__stops_before_the_dot(void **state) {
    (void)state;
    assert_true(stop_at(FAKE_GREETING).phase <= FB_SMTP_GREETING);
    assert_ended(stop_at(FAKE_MAIL), FB_SMTP_MAIL_FROM, 0);
    fb_smtp_result result = stop_at(FAKE_DATA);
    assert_ended(result, FB_SMTP_DATA, 0);
    assert_string_equal(result.text, "stopped");
}

// After it, it waits for the answer.
static void test_smtp__does_not_stop_after_the_dot(void **state) {
    pthread_t thread;
    stopping self = {.stop = false};
    (void)state;
    begin(false);
    server.slow_us = 20000;
    open_relay();
    assert_int_equal(pthread_create(&thread, NULL, send_until_stopped, &self), 0);
    fake_smtp_await_step(&server, FAKE_DOT, 1);
    atomic_store(&self.stop, true);
    pthread_join(thread, NULL);
    assert_ended(self.result, FB_SMTP_DONE, 250);
    end();
}

// ---- addresses beyond ASCII

static void test_smtp__utf8_addresses_need_a_relay_that_knows_them(void **state) {
    fb_smtp_result result;
    fb_smtp_mail mail = {.from = FB_STR("a@example.org"), .to = FB_STR("\xc3\xa4@example.org"),
                         .message = fb_str_of(message_text)};
    (void)state;
    begin(false);
    open_relay();
    assert_ended(send_one(), FB_SMTP_DONE, 250);
    fb_relay_send(one.relay, &mail, &result);
    assert_ended(result, FB_SMTP_MAIL_FROM, 553);
    assert_int_equal(fb_mail_fate_of(&result), FB_MAIL_REFUSED);
    assert_int_equal(fake_smtp_mails(&server), 1);
    end();
    begin(false);
    server.offers = "250-SMTPUTF8\r\n";
    open_relay();
    fb_relay_send(one.relay, &mail, &result);
    assert_ended(result, FB_SMTP_DONE, 250);
    assert_string_equal(server.mails[0].to, "\xc3\xa4@example.org>");
    assert_non_null(strstr(server.mails[0].from, " SMTPUTF8"));
    end();
}

// ---- options that are wrong

static void test_smtp__a_relay_that_cannot_be_is_refused(void **state) {
    static const char *const urls[] = {"", "http://localhost", "smtp://", "smtp://[::1", "localhost:25"};
    fb_error error;
    fb_relay *relay = NULL;
    (void)state;
    begin(false);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        one.options.url = (char *)urls[i];
        assert_result(fb_relay_new(&one.options, "me", &relay, &error), FB_EINVAL);
        assert_null(relay);
        assert_true(strlen(error.text) > 0);
    }
    one.options.url = one.url;
    one.options.tls_ca = (char *)"/nowhere/ca.pem";
    assert_result(fb_relay_new(&one.options, "me", &relay, &error), FB_EINVAL);
    assert_string_equal(error.text, "tls_ca: there is no file /nowhere/ca.pem");
    end();
}

static int make_and_free(void *arg) {
    fb_relay *relay = NULL;
    (void)arg;
    int result = fb_relay_new(&one.options, "me", &relay, NULL);
    fb_relay_free(relay);
    return result;
}

static void test_smtp__is_made_wholly_or_not_at_all(void **state) {
    (void)state;
    begin(true);
    one.options.user = (char *)"ada";
    assert_true(test_memory_sweep(make_and_free, NULL) >= 5);
    end();
}

// ---- testing a relay

typedef struct lines {
    char text[2048];
    int bad;
} lines;

static void note_line(void *arg, bool good, const char *line) {
    lines *all = arg;
    size_t len = strlen(all->text);
    (void)snprintf(all->text + len, sizeof all->text - len, "%s\n", line);
    all->bad += !good;
}

static void test_smtp__a_test_says_what_it_found(void **state) {
    lines all = {.bad = 0};
    fb_smtp_result result;
    char expected[256];
    (void)state;
    begin_all();
    fb_relay_test(one.relay, note_line, &all, &result);
    assert_ended(result, FB_SMTP_DONE, 0);
    assert_int_equal(all.bad, 0);
    (void)snprintf(expected, sizeof expected,
                   "connected to 127.0.0.1:%d\nsays mail.example.org ESMTP\nSTARTTLS offered\n"
                   "certificate fine until ",
                   server.port);
    assert_true(fb_str_starts(fb_str_of(all.text), fb_str_of(expected)));
    assert_non_null(strstr(all.text, "\nsigned in as ada\nready to take mails"));
    assert_null(strstr(all.text, "secret"));
    assert_int_equal(fake_smtp_steps(&server, FAKE_MAIL), 0);
    fake_smtp_await_step(&server, FAKE_QUIT, 1);
    end();
}

static void test_smtp__a_test_says_what_is_wrong(void **state) {
    static const struct {
        fake_step step;
        const char *reply, *line;
    } wrongs[] = {{FAKE_GREETING, "554 5.7.1 not you", "does not greet: 5.7.1 not you\n"},
                  {FAKE_STARTTLS, "454 4.7.0 not now", "no TLS: "},
                  {FAKE_AUTH, "535 5.7.8 who are you", "cannot sign in: 5.7.8 who are you\n"}};
    fb_smtp_result result;
    (void)state;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        lines all = {.bad = 0};
        begin_all();
        fake_smtp_answer(&server, wrongs[i].step, FAKE_REPLY, wrongs[i].reply, 0);
        fb_relay_test(one.relay, note_line, &all, &result);
        assert_int_not_equal(result.phase, FB_SMTP_DONE);
        assert_true(all.bad > 0);
        if (strstr(all.text, wrongs[i].line) == NULL) {
            fail_msg("%s", all.text);
        }
        end();
    }
    lines all = {.bad = 0};
    begin(false);
    one.options.tls = FB_MAIL_TLS_REQUIRED;
    open_relay();
    fb_relay_test(one.relay, note_line, &all, &result);
    assert_non_null(strstr(all.text, "STARTTLS not offered\n"));
    assert_true(all.bad > 0);
    end();
    all = (lines){.bad = 0};
    begin(false);
    one.options.user = (char *)"ada";
    open_relay();
    fb_relay_test(one.relay, note_line, &all, &result);
    assert_ended(result, FB_SMTP_AUTH, 0);
    assert_non_null(strstr(all.text, "cannot sign in: it is not offered\n"));
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smtp__sends_by_a_connection_that_it_keeps),
        cmocka_unit_test(test_smtp__dots_arrive_as_they_were),
        cmocka_unit_test(test_smtp__encrypts_and_signs_in),
        cmocka_unit_test(test_smtp__user_and_password_go_over_the_url),
        cmocka_unit_test(test_smtp__speaks_tls_from_the_start_by_smtps),
        cmocka_unit_test(test_smtp__does_not_go_on_without_starttls),
        cmocka_unit_test(test_smtp__believes_no_certificate_that_it_does_not_know),
        cmocka_unit_test(test_smtp__does_not_send_without_signing_in),
        cmocka_unit_test(test_smtp__what_signs_in_is_in_no_text),
        cmocka_unit_test(test_smtp__knows_where_and_by_what_a_mail_was_refused),
        cmocka_unit_test(test_smtp__a_good_reply_in_the_wrong_place_is_no_success),
        cmocka_unit_test(test_smtp__a_close_ends_the_phase_that_it_comes_in),
        cmocka_unit_test(test_smtp__a_close_within_the_message_is_before_the_dot),
        cmocka_unit_test(test_smtp__silence_ends_with_its_time),
        cmocka_unit_test(test_smtp__a_slow_relay_has_no_more_time_than_a_mail_has),
        cmocka_unit_test(test_smtp__nobody_listens),
        cmocka_unit_test(test_smtp__a_connection_that_went_away_costs_no_mail),
        cmocka_unit_test(test_smtp__closing_does_not_wait_for_a_relay_that_is_stuck),
        cmocka_unit_test(test_smtp__threads_share_no_more_connections_than_it_may_have),
        cmocka_unit_test(test_smtp__stops_before_the_dot),
        cmocka_unit_test(test_smtp__does_not_stop_after_the_dot),
        cmocka_unit_test(test_smtp__utf8_addresses_need_a_relay_that_knows_them),
        cmocka_unit_test(test_smtp__a_relay_that_cannot_be_is_refused),
        cmocka_unit_test(test_smtp__is_made_wholly_or_not_at_all),
        cmocka_unit_test(test_smtp__a_test_says_what_it_found),
        cmocka_unit_test(test_smtp__a_test_says_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
