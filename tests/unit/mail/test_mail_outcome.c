// What a reply means: the whole map, row by row.

#include "support.h"

#include "mail/outcome.h"

static const char *const phases[] = {"connect", "greeting", "tls", "auth", "mail from",
                                     "rcpt",    "data",     "dot", "done"};

static void means(fb_smtp_phase phase, int code, const char *text, fb_mail_fate expected) {
    fb_smtp_result result = {.phase = phase, .code = code};

    (void)snprintf(result.text, sizeof result.text, "%s", text);
    fb_mail_fate fate = fb_mail_fate_of(&result);
    if (fate != expected) {
        print_error("%s: %d %s: %s, not %s\n", phases[phase], code, text, fb_mail_fate_name(fate),
                    fb_mail_fate_name(expected));
        fail();
    }
}

static void test_mail_outcome__what_was_taken_is_sent(void **state) {
    means(FB_SMTP_DONE, 250, "2.0.0 queued", FB_MAIL_SENT);
    means(FB_SMTP_DONE, 0, "", FB_MAIL_SENT);
    means(FB_SMTP_DOT, 250, "ok", FB_MAIL_SENT);
}

static void test_mail_outcome__before_a_mail_is_spoken_of_it_is_the_relay(void **state) {
    static const int codes[] = {0, 220, 250, 334, 421, 450, 454, 500, 502, 530, 535, 550, 554};

    for (int phase = FB_SMTP_CONNECT; phase <= FB_SMTP_AUTH; phase++) {
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            means((fb_smtp_phase)phase, codes[i], "5.1.1 no", FB_MAIL_RELAY_DOWN);
        }
    }
}

static void test_mail_outcome__the_sender_is_the_same_for_all_mails(void **state) {
    means(FB_SMTP_MAIL_FROM, 0, "connection reset", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 421, "4.3.2 closing", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 530, "5.7.0 authentication required", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 550, "5.7.1 sender refused", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 550, "who are you", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 553, "5.1.8 no such domain", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 503, "bad sequence", FB_MAIL_RELAY_DOWN);
    means(FB_SMTP_MAIL_FROM, 451, "4.3.0 try later", FB_MAIL_LATER);
    means(FB_SMTP_MAIL_FROM, 452, "full", FB_MAIL_LATER);
    // What differs from mail to mail: size and UTF-8.
    means(FB_SMTP_MAIL_FROM, 552, "5.3.4 too large", FB_MAIL_REFUSED);
    means(FB_SMTP_MAIL_FROM, 554, "5.3.4 too large", FB_MAIL_REFUSED);
    means(FB_SMTP_MAIL_FROM, 550, "5.2.3 too large", FB_MAIL_REFUSED);
    means(FB_SMTP_MAIL_FROM, 555, "SMTPUTF8 what", FB_MAIL_REFUSED);
    means(FB_SMTP_MAIL_FROM, 501, "syntax", FB_MAIL_REFUSED);
    means(FB_SMTP_MAIL_FROM, 550, "5.6.7 no UTF-8 here", FB_MAIL_REFUSED);
}

static void test_mail_outcome__a_4yz_is_later(void **state) {
    for (int phase = FB_SMTP_RCPT; phase <= FB_SMTP_DOT; phase++) {
        means((fb_smtp_phase)phase, 421, "4.7.0 too many", FB_MAIL_LATER);
        means((fb_smtp_phase)phase, 450, "4.2.0 greylisted", FB_MAIL_LATER);
        means((fb_smtp_phase)phase, 451, "4.1.1 no such user, for now", FB_MAIL_LATER);
        means((fb_smtp_phase)phase, 452, "5.1.1 odd", FB_MAIL_LATER);
        means((fb_smtp_phase)phase, 499, "", FB_MAIL_LATER);
    }
}

static void test_mail_outcome__no_answer_is_later_until_the_dot_and_then_unknown(void **state) {
    means(FB_SMTP_RCPT, 0, "timed out", FB_MAIL_LATER);
    means(FB_SMTP_DATA, 0, "connection reset", FB_MAIL_LATER);
    means(FB_SMTP_DATA, 354, "go on", FB_MAIL_LATER);
    means(FB_SMTP_DOT, 0, "timed out", FB_MAIL_AMBIGUOUS);
    means(FB_SMTP_DOT, 354, "go on", FB_MAIL_AMBIGUOUS);
    means(FB_SMTP_DOT, 999, "", FB_MAIL_AMBIGUOUS);
}

static void test_mail_outcome__a_recipient_that_is_none_bounces(void **state) {
    means(FB_SMTP_RCPT, 550, "5.1.1 <a@x>: no such user", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 550, "5.1.1", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 550, "-5.1.1 no 5.1.1 such user", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 554, "5.1.2 no such domain", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 501, "5.1.3 bad address", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 551, "5.1.6 moved", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 556, "5.1.10 takes no mail", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 556, "takes no mail", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 550, "Unknown user", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 550, "", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 550, "5.0.0 mailbox unavailable", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 551, "user not local", FB_MAIL_BOUNCED);
    means(FB_SMTP_RCPT, 553, "mailbox name not allowed", FB_MAIL_BOUNCED);
    // Said after the dot: only by an enhanced code.
    means(FB_SMTP_DOT, 550, "5.1.1 no such user", FB_MAIL_BOUNCED);
}

static void test_mail_outcome__policy_and_relay_are_not_the_recipient(void **state) {
    static const struct {
        int code;
        const char *text;
    } replies[] = {
        {550, "relay not permitted"},
        {550, "Relaying denied"},
        {554, "5.7.1 <a@x>: Relay access denied"},
        {550, "5.7.1 blocked"},
        {550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain"},
        {550, "Sender verify failed"},
        {550, "rejected because 192.0.2.1 is in a black list: blocked by x"},
        {550, "blocked using zen"},
        {550, "high probability of SPAM"},
        {550, "over quota"},
        {550, "5.1.7 sender's address is none"},
        {553, "5.1.8 sender's domain does not exist"},
        {550, "5.2.1 off for now"},
        {552, "5.2.2 mailbox full"},
        {552, "mailbox full"},
        {554, "transaction failed"},
        {554, "5.0.0 no"},
        {550, "5.4.1 no route"},
        {550, "4.1.1 odd"},
        {500, "what"},
        {501, "syntax"},
        {503, "bad sequence"},
        {521, "no mail here"},
        {555, "what parameter"},
        {550, "5.1.1x is no such code, policy"},
    };

    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        means(FB_SMTP_RCPT, replies[i].code, replies[i].text, FB_MAIL_REFUSED);
    }
}

static void test_mail_outcome__who_has_to_sign_in_is_at_the_wrong_relay(void **state) {
    static const int codes[] = {530, 534, 535, 538};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        means(FB_SMTP_RCPT, codes[i], "5.7.0 sign in", FB_MAIL_RELAY_DOWN);
        means(FB_SMTP_DATA, codes[i], "", FB_MAIL_RELAY_DOWN);
        means(FB_SMTP_DOT, codes[i], "", FB_MAIL_REFUSED);
    }
}

static void test_mail_outcome__what_is_said_of_the_message_ends_it_alone(void **state) {
    means(FB_SMTP_DATA, 554, "no valid recipients", FB_MAIL_REFUSED);
    means(FB_SMTP_DATA, 550, "no", FB_MAIL_REFUSED);
    means(FB_SMTP_DOT, 550, "this is spam", FB_MAIL_REFUSED);
    means(FB_SMTP_DOT, 550, "no", FB_MAIL_REFUSED);
    means(FB_SMTP_DOT, 552, "5.3.4 too large", FB_MAIL_REFUSED);
    means(FB_SMTP_DOT, 554, "5.7.1 policy", FB_MAIL_REFUSED);
    means(FB_SMTP_DOT, 556, "", FB_MAIL_REFUSED);
}

// Whatever a relay says, it is something; and nothing that a recipient could say stops the relay.
static void test_mail_outcome__every_reply_means_something(void **state) {
    static const char *const texts[] = {"", "5.1.1 x", "5.7.1 x", "relay", "5..1", "5.1111.1", "."};

    for (int phase = FB_SMTP_CONNECT; phase <= FB_SMTP_DONE; phase++) {
        for (int code = 0; code < 1000; code++) {
            for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                fb_smtp_result result = {.phase = (fb_smtp_phase)phase, .code = code};
                (void)snprintf(result.text, sizeof result.text, "%s", texts[i]);
                fb_mail_fate fate = fb_mail_fate_of(&result);
                bool auth = code == 530 || code == 534 || code == 535 || code == 538;
                assert_true(fb_mail_fate_name(fate) != NULL);
                assert_true(phase < FB_SMTP_RCPT || auth || fate != FB_MAIL_RELAY_DOWN);
                assert_true(phase == FB_SMTP_DOT || fate != FB_MAIL_AMBIGUOUS);
                assert_true(phase >= FB_SMTP_DOT || fate != FB_MAIL_SENT);
                assert_true(fate != FB_MAIL_BOUNCED || (code >= 500 && code < 600));
            }
        }
    }
}

static void test_mail_outcome__names_and_waits(void **state) {
    assert_string_equal(fb_mail_fate_name(FB_MAIL_SENT), "sent");
    assert_string_equal(fb_mail_fate_name(FB_MAIL_RELAY_DOWN), "relay_down");
    assert_string_equal(fb_mail_fate_name(FB_MAIL_AMBIGUOUS), "ambiguous");
    assert_int_equal(fb_mail_retry_ms(0), 5000);
    assert_int_equal(fb_mail_retry_ms(1), 5000);
    assert_int_equal(fb_mail_retry_ms(2), 20000);
    assert_int_equal(fb_mail_retry_ms(3), 80000);
    assert_int_equal(fb_mail_retry_ms(4), 80000);
    assert_int_equal(fb_mail_retry_ms(UINT32_MAX), 80000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_outcome__what_was_taken_is_sent),
        cmocka_unit_test(test_mail_outcome__before_a_mail_is_spoken_of_it_is_the_relay),
        cmocka_unit_test(test_mail_outcome__the_sender_is_the_same_for_all_mails),
        cmocka_unit_test(test_mail_outcome__a_4yz_is_later),
        cmocka_unit_test(test_mail_outcome__no_answer_is_later_until_the_dot_and_then_unknown),
        cmocka_unit_test(test_mail_outcome__a_recipient_that_is_none_bounces),
        cmocka_unit_test(test_mail_outcome__policy_and_relay_are_not_the_recipient),
        cmocka_unit_test(test_mail_outcome__who_has_to_sign_in_is_at_the_wrong_relay),
        cmocka_unit_test(test_mail_outcome__what_is_said_of_the_message_ends_it_alone),
        cmocka_unit_test(test_mail_outcome__every_reply_means_something),
        cmocka_unit_test(test_mail_outcome__names_and_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
