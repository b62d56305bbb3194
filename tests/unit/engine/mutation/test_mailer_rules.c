// Rules of mails and of one-time codes, each taken out: what it is for shows.

#include "../mails_rig.h"
#include "base/rule.h"

static const char LIMITS[] =
    "limits: {otp_resend: {limit: 1000, window: 1s}, some: {limit: 10, window: 1h}}\n";

static int rules_down(void **state) {
    fb_rule_without(NULL);
    return mails_down(state);
}

static void take(void *arg, const fb_otp_answer *answer) {
    *(int *)arg = answer->result;
}

static int verify(fb_engine *engine, const char *code) {
    int result = FB_EIO;
    assert_ok(fb_otp_verify(engine, FB_OTP_CODE, FB_STR("ada@example.org"), fb_str_of(code), take,
                            &result, NULL));
    return result;
}

static void issue(fb_engine *engine, char *code) {
    int result = FB_EIO;
    uint32_t before = fake_smtp_mails(&mails_main);
    fb_otp_request request = {.account = FB_STR("ada@example.org"), .known = true};
    assert_ok(fb_otp_issue(engine, &request, take, &result, NULL));
    assert_int_equal(result, FB_OK);
    fake_smtp_await_mails(&mails_main, before + 1);
    const char *at = strstr(mails_main.mails[before].data, "\r\n    ");
    assert_non_null(at);
    (void)snprintf(code, 7, "%.6s", at + 6);
}

static int wrong_ones(fb_engine *engine) {
    int count = 0;
    char code[7];
    issue(engine, code);
    for (int i = 0; i < 20; i++) {
        count += verify(engine, "wrong!") == FB_MISS;
    }
    return count;
}

static void test_mailer__without_counting_tries_a_code_is_guessed(void **state) {
    (void)state;
    fb_engine *engine = mails_open(1, "", LIMITS);
    assert_int_equal(wrong_ones(engine), 5);
    fb_rule_without("otp_tries");
    assert_int_equal(wrong_ones(engine), 20);
    fb_close(engine, 0);
}

static void test_mailer__without_removing_it_a_code_is_good_again(void **state) {
    char code[7];
    (void)state;
    fb_engine *engine = mails_open(1, "", LIMITS);
    issue(engine, code);
    assert_int_equal(verify(engine, code), FB_OK);
    assert_int_equal(verify(engine, code), FB_MISS);
    fb_rule_without("otp_once");
    issue(engine, code);
    assert_int_equal(verify(engine, code), FB_OK);
    assert_int_equal(verify(engine, code), FB_OK);
    fb_close(engine, 0);
}

// What is left of the limit after a relay was down.
static uint32_t left_after_trouble(void) {
    fb_verdict verdict;
    fb_limit_question question = {.rule = FB_STR("some"), .key = FB_STR("example.org")};
    fb_engine *engine = mails_open(1, "  domain_limit: some\n", LIMITS);
    fake_smtp_answer(&mails_main, FAKE_GREETING, FAKE_LAST, "421 4.3.2 not today", 0);
    (void)mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) > 0);
    assert_ok(fb_limit_check(engine, &question, 1, FB_LIMIT_PEEK, &verdict, NULL));
    fb_close(engine, 0);
    return verdict.remaining;
}

static void test_mailer__without_refunds_mails_that_stay_are_charged(void **state) {
    (void)state;
    fb_rule_without("mail_refund");
    assert_int_equal(left_after_trouble(), 9);
}

static void test_mailer__without_suppression_mails_go_on_to_nobody(void **state) {
    fb_error error;
    (void)state;
    fb_rule_without("mail_suppress");
    fb_engine *engine = mails_open(1, "", "");
    fake_smtp_answer(&mails_main, FAKE_RCPT, FAKE_REPLY, "550 5.1.1 no such user", 0);
    (void)mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    assert_ok(mails_send(engine, "registration", "ada@example.org", "1", NULL, &error));
    fb_close(engine, 0);
}

static void test_mailer__without_stopping_a_mail_arrives_twice(void **state) {
    (void)state;
    fb_rule_without("mail_once");
    fb_engine *engine = mails_open(1, "", "");
    mails_main.keep_all = true;
    fake_smtp_answer(&mails_main, FAKE_DOT, FAKE_CLOSE, NULL, 1);
    (void)mails_put(engine, "registration");
    mails_until(mails_count(engine, FB_JOB_SCHEDULED) == 1);
    mails_kick(engine, FB_JOB_SCHEDULED);
    fake_smtp_await_mails(&mails_main, 2);
    fb_close(engine, 0);
}

#define rules_test(name) cmocka_unit_test_setup_teardown(name, mails_up, rules_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        rules_test(test_mailer__without_counting_tries_a_code_is_guessed),
        rules_test(test_mailer__without_removing_it_a_code_is_good_again),
        rules_test(test_mailer__without_refunds_mails_that_stay_are_charged),
        rules_test(test_mailer__without_suppression_mails_go_on_to_nobody),
        rules_test(test_mailer__without_stopping_a_mail_arrives_twice),
    };
    return cmocka_run_group_tests(tests, mails_group_up, NULL);
}
