// Rules of sending, each taken out: what it is for shows.

#include "base/rule.h"
#include "base/units.h"
#include "fake_smtp.h"
#include "smtp/smtp.h"

static fake_smtp server;

static fb_smtp_result send_one(const char *user) {
    char url[64];
    fb_relay *relay = NULL;
    fb_smtp_result result;
    (void)snprintf(url, sizeof url, "smtp://localhost:%d", server.port);
    fb_mail_relay_options options = {.name = (char *)"main", .url = url, .user = (char *)user,
                                     .tls = FB_MAIL_TLS_OFF, .connections = 1,
                                     .timeout_ns = 240 * FB_NS_PER_S,
                                     .connect_timeout_ns = 240 * FB_NS_PER_S};
    fb_smtp_mail mail = {.from = FB_STR("a@example.org"), .to = FB_STR("b@example.org"),
                         .message = FB_STR("Subject: x\r\n\r\ny\r\n")};
    assert_ok(fb_relay_new(&options, "me.example.org", &relay, NULL));
    fb_relay_send(relay, &mail, &result);
    fb_relay_free(relay);
    return result;
}

static int up(void **state) {
    (void)state;
    memset(&server, 0, sizeof server);
    fake_smtp_start(&server, false);
    return 0;
}

static int down(void **state) {
    (void)state;
    fb_rule_without(NULL);
    fake_smtp_stop(&server);
    return 0;
}

// Then a mail that may have arrived is sent once more.
static void test_smtp__without_the_dot_nothing_is_ambiguous(void **state) {
    (void)state;
    fake_smtp_answer(&server, FAKE_DOT, FAKE_CLOSE, NULL, 0);
    fb_smtp_result result = send_one(NULL);
    assert_int_equal(fb_mail_fate_of(&result), FB_MAIL_AMBIGUOUS);
    fb_rule_without("smtp_dot");
    result = send_one(NULL);
    assert_int_not_equal(fb_mail_fate_of(&result), FB_MAIL_AMBIGUOUS);
}

static void test_smtp__without_signing_in_mails_go_out_all_the_same(void **state) {
    (void)state;
    assert_int_equal(send_one("ada").phase, FB_SMTP_AUTH);
    assert_int_equal(fake_smtp_mails(&server), 0);
    fb_rule_without("smtp_signs_in");
    (void)send_one("ada");
    assert_int_equal(fake_smtp_mails(&server), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_smtp__without_the_dot_nothing_is_ambiguous, up, down),
        cmocka_unit_test_setup_teardown(test_smtp__without_signing_in_mails_go_out_all_the_same, up,
                                        down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
