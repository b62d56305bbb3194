// One-time codes and links: what is promised of them, with guesses at once, and with what a stranger
// could tell apart.

#include "mails_rig.h"

#include "engine/otp.h"

static const char LIMITS_OFF[] =
    "limits: {otp_resend: {limit: 1000, window: 1s}, otp_account: {limit: 100000, window: 1s},"
    " otp_address: {limit: 100000, window: 1s}}\n";

typedef struct told {
    int result;
    int64_t expires_ms, retry_ms;
    uint32_t attempts_left;
    char account[FB_MAIL_ADDRESS_MAX + 1];
    int calls;
} told;

static void take(void *arg, const fb_otp_answer *answer) {
    told *one = arg;
    one->result = answer->result;
    one->expires_ms = answer->expires_ms;
    one->retry_ms = answer->retry_ms;
    one->attempts_left = answer->attempts_left;
    (void)snprintf(one->account, sizeof one->account, "%s", answer->account);
    one->calls++;
}

static told issue(fb_engine *engine, fb_otp_form form, const char *account, bool known) {
    told one = {.calls = 0};
    fb_error error = {0};
    fb_otp_request request = {.form = form, .account = fb_str_of(account), .known = known,
                              .address = FB_STR("192.0.2.1")};
    if (fb_otp_issue(engine, &request, take, &one, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(one.calls, 1);
    return one;
}

static told verify(fb_engine *engine, fb_otp_form form, const char *account, const char *secret) {
    told one = {.calls = 0};
    fb_error error = {0};
    if (fb_otp_verify(engine, form, fb_str_of(account), fb_str_of(secret), take, &one, &error) !=
        FB_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(one.calls, 1);
    return one;
}

// What the n-th mail that was taken has in it.
static void find_code(uint32_t nth, char *code) {
    fake_smtp_await_mails(&mails_main, nth + 1);
    const char *at = strstr(mails_main.mails[nth].data, "\r\n    ");
    assert_non_null(at);
    (void)snprintf(code, FB_OTP_CODE_SIZE, "%.6s", at + 6);
}

static void find_token(uint32_t nth, char *token) {
    fake_smtp_await_mails(&mails_main, nth + 1);
    const char *at = strstr(mails_main.mails[nth].data, "/v1/otp/link/");
    assert_non_null(at);
    (void)snprintf(token, FB_OTP_TOKEN_SIZE, "%.43s", at + strlen("/v1/otp/link/"));
}

// Another one than this.
static void spoil(char *code) {
    code[5] = code[5] == '9' ? '0' : (char)(code[5] + 1);
}

static void test_otp__a_code_is_good_once(void **state) {
    char code[FB_OTP_CODE_SIZE], wrong[FB_OTP_CODE_SIZE];
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    told one = issue(engine, FB_OTP_CODE, "Ada@example.org", true);
    assert_result(one.result, FB_OK);
    assert_int_equal(one.expires_ms, 600000);
    find_code(0, code);
    memcpy(wrong, code, sizeof code);
    spoil(wrong);
    one = verify(engine, FB_OTP_CODE, "ada@example.org", wrong);
    assert_result(one.result, FB_MISS);
    assert_int_equal(one.attempts_left, 4);
    assert_string_equal(one.account, "");
    // Case does not matter; it is told as it was issued.
    one = verify(engine, FB_OTP_CODE, "ADA@example.org", code);
    assert_result(one.result, FB_OK);
    assert_string_equal(one.account, "Ada@example.org");
    assert_result(verify(engine, FB_OTP_CODE, "ada@example.org", code).result, FB_MISS);
    fb_close(engine, 0);
    assert_false(mails_logged(code));
}

static void test_otp__wrong_ones_are_all_alike(void **state) {
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    static const char *const wrongs[] = {"", "1", "000000000000", "abcdef", "00000\xff"};
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        assert_result(verify(engine, FB_OTP_CODE, "nobody@example.org", wrongs[i]).result, FB_MISS);
    }
    assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
    char longer[1000];
    memset(longer, '1', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (int i = 0; i < 5; i++) {
        assert_result(verify(engine, FB_OTP_CODE, "ada@example.org", i % 2 ? longer : "x").result, FB_MISS);
    }
    told one = verify(engine, FB_OTP_CODE, "ada@example.org", "x");
    assert_result(one.result, FB_LIMITED);
    assert_in_range(one.retry_ms, 1, 600000);
    fb_close(engine, 0);
}

typedef struct guesser {
    pthread_t thread;
    fb_engine *engine;
    pthread_barrier_t *all;
    const char *guess;
    int result;
} guesser;

static void *guess(void *arg) {
    guesser *self = arg;
    pthread_barrier_wait(self->all);
    self->result = verify(self->engine, FB_OTP_CODE, "ada@example.org", self->guess).result;
    return NULL;
}

// A hundred guesses at once are five, whatever happens at the same time.
static void test_otp__no_more_guesses_than_it_has_attempts(void **state) {
    enum { GUESSERS = 100 };
    static guesser guessers[GUESSERS];
    char code[FB_OTP_CODE_SIZE], wrong[FB_OTP_CODE_SIZE];
    (void)state;
    fb_engine *engine = mails_open(1, "", LIMITS_OFF);
    for (int round = 0; round < 4; round++) {
        pthread_barrier_t all;
        int results[2] = {0, 0};
        assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
        find_code((uint32_t)round, code);
        memcpy(wrong, code, sizeof code);
        spoil(wrong);
        assert_int_equal(pthread_barrier_init(&all, NULL, GUESSERS), 0);
        for (int i = 0; i < GUESSERS; i++) {
            guessers[i] = (guesser){.engine = engine, .all = &all, .guess = wrong};
            assert_int_equal(pthread_create(&guessers[i].thread, NULL, guess, &guessers[i]), 0);
        }
        for (int i = 0; i < GUESSERS; i++) {
            pthread_join(guessers[i].thread, NULL);
            assert_true(guessers[i].result == FB_MISS || guessers[i].result == FB_LIMITED);
            results[guessers[i].result == FB_LIMITED]++;
        }
        pthread_barrier_destroy(&all);
        assert_int_equal(results[0], 5);
        // The right one comes too late.
        assert_result(verify(engine, FB_OTP_CODE, "ada@example.org", code).result, FB_LIMITED);
    }
    fb_close(engine, 0);
}

// And of a hundred that are right only one is.
static void test_otp__a_code_signs_in_one_of_many(void **state) {
    enum { GUESSERS = 100 };
    static guesser guessers[GUESSERS];
    char code[FB_OTP_CODE_SIZE];
    pthread_barrier_t all;
    int right = 0;
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
    find_code(0, code);
    assert_int_equal(pthread_barrier_init(&all, NULL, GUESSERS), 0);
    for (int i = 0; i < GUESSERS; i++) {
        guessers[i] = (guesser){.engine = engine, .all = &all, .guess = code};
        assert_int_equal(pthread_create(&guessers[i].thread, NULL, guess, &guessers[i]), 0);
    }
    for (int i = 0; i < GUESSERS; i++) {
        pthread_join(guessers[i].thread, NULL);
        right += guessers[i].result == FB_OK;
    }
    pthread_barrier_destroy(&all);
    assert_int_equal(right, 1);
    fb_close(engine, 0);
}

static void test_otp__another_code_takes_the_place_of_the_first(void **state) {
    char first[FB_OTP_CODE_SIZE], second[FB_OTP_CODE_SIZE];
    (void)state;
    fb_engine *engine = mails_open(1, "", LIMITS_OFF);
    do {  // two codes may be the same, once in a million
        uint32_t before = fake_smtp_mails(&mails_main);
        assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
        find_code(before, first);
        assert_result(verify(engine, FB_OTP_CODE, "ada@example.org", "x").result, FB_MISS);
        assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
        find_code(before + 1, second);
    } while (strcmp(first, second) == 0);
    told one = verify(engine, FB_OTP_CODE, "ada@example.org", first);
    assert_result(one.result, FB_MISS);
    assert_int_equal(one.attempts_left, 4);  // attempts of its own
    assert_result(verify(engine, FB_OTP_CODE, "ada@example.org", second).result, FB_OK);
    fb_close(engine, 0);
}

static void test_otp__codes_are_limited(void **state) {
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
    told one = issue(engine, FB_OTP_CODE, "ADA@example.org", true);
    assert_result(one.result, FB_LIMITED);
    assert_in_range(one.retry_ms, 1, 30000);
    // The same for one who is unknown, and who is another.
    assert_result(issue(engine, FB_OTP_CODE, "bob@example.org", false).result, FB_OK);
    assert_result(issue(engine, FB_OTP_CODE, "bob@example.org", false).result, FB_LIMITED);
    // 20 of one address: these were two.
    for (int i = 0; i < 18; i++) {
        char account[64];
        (void)snprintf(account, sizeof account, "user%d@example.org", i);
        assert_result(issue(engine, FB_OTP_CODE, account, true).result, FB_OK);
    }
    assert_result(issue(engine, FB_OTP_CODE, "eve@example.org", true).result, FB_LIMITED);
    fb_close(engine, 0);
    engine = mails_open(1, "", "limits: {otp_resend: {enabled: false}, otp_address: {enabled: false}}\n");
    for (int i = 0; i < 5; i++) {
        assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_OK);
    }
    assert_result(issue(engine, FB_OTP_CODE, "ada@example.org", true).result, FB_LIMITED);
    fb_close(engine, 0);
}

// Whom nobody knows gets the same answers: no mail, but all the rest, guesses included.
static void test_otp__who_is_unknown_is_not_told(void **state) {
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    told known = issue(engine, FB_OTP_CODE, "ada@example.org", true);
    told unknown = issue(engine, FB_OTP_CODE, "bob@example.org", false);
    assert_int_equal(known.result, unknown.result);
    assert_int_equal(known.expires_ms, unknown.expires_ms);
    for (int i = 0; i < 7; i++) {
        known = verify(engine, FB_OTP_CODE, "ada@example.org", "x");
        unknown = verify(engine, FB_OTP_CODE, "bob@example.org", "x");
        assert_int_equal(known.result, unknown.result);
        assert_int_equal(known.attempts_left, unknown.attempts_left);
    }
    fake_smtp_await_mails(&mails_main, 1);
    mails_until(mails_all_done(engine));
    assert_int_equal(fake_smtp_mails(&mails_main), 1);
    assert_int_equal(mails_count(engine, FB_JOB_DEAD), 0);
    // So does one whose mails came back.
    fake_smtp_answer(&mails_main, FAKE_RCPT, FAKE_REPLY, "550 5.1.1 no such user", 1);
    assert_result(issue(engine, FB_OTP_CODE, "eve@example.org", true).result, FB_OK);
    mails_until(mails_count(engine, FB_JOB_DEAD) == 1);
    assert_result(issue(engine, FB_OTP_LINK, "mallory@example.org", true).result, FB_OK);
    fb_otp_request again = {.account = FB_STR("mallory2"), .to = FB_STR("eve@example.org"), .known = true};
    told one = {.calls = 0};
    fb_error error;
    assert_ok(fb_otp_issue(engine, &again, take, &one, &error));
    assert_result(one.result, FB_OK);
    fake_smtp_await_mails(&mails_main, 2);
    mails_until(mails_all_done(engine));
    assert_int_equal(fake_smtp_mails(&mails_main), 2);
    fb_close(engine, 0);
}

static void test_otp__a_link_is_looked_at_often_and_used_once(void **state) {
    char token[FB_OTP_TOKEN_SIZE], wrong[FB_OTP_TOKEN_SIZE];
    fb_error error;
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    told one = issue(engine, FB_OTP_LINK, "ada@example.org", true);
    assert_int_equal(one.expires_ms, 900000);
    find_token(0, token);
    assert_int_equal(strlen(token), 43);
    memcpy(wrong, token, sizeof token);
    wrong[10] = wrong[10] == 'A' ? 'B' : 'A';
    for (int i = 0; i < 3; i++) {
        assert_ok(fb_otp_peek(engine, fb_str_of(token), &error));
        assert_result(fb_otp_peek(engine, fb_str_of(wrong), &error), FB_MISS);
    }
    assert_result(verify(engine, FB_OTP_LINK, "", wrong).result, FB_MISS);
    one = verify(engine, FB_OTP_LINK, "", token);
    assert_result(one.result, FB_OK);
    assert_string_equal(one.account, "ada@example.org");
    assert_result(verify(engine, FB_OTP_LINK, "", token).result, FB_MISS);
    assert_result(fb_otp_peek(engine, fb_str_of(token), &error), FB_MISS);
    // A token is no code, nor the other way round.
    assert_result(verify(engine, FB_OTP_CODE, "ada@example.org", token).result, FB_MISS);
    fb_close(engine, 0);
    assert_false(mails_logged(token));
}

static void test_otp__what_cannot_be_asked_is_refused(void **state) {
    fb_error error;
    told one = {.calls = 0};
    fb_mail_var bad = {FB_STR("name"), FB_STR("a\rb")};
    static const fb_otp_request wrongs[] = {
        {.account = FB_STR_INIT("")},
        {.account = FB_STR_INIT("not an address")},
        {.account = FB_STR_INIT("a\nb@example.org")},
        {.account = FB_STR_INIT("ada"), .to = FB_STR_INIT("ada")}};
    (void)state;
    fb_engine *engine = mails_open(1, "", "");
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        assert_result(fb_otp_issue(engine, &wrongs[i], take, &one, &error), FB_EINVAL);
    }
    fb_otp_request with = {.account = FB_STR("ada@example.org"), .vars = &bad, .var_count = 1, .known = true};
    assert_result(fb_otp_issue(engine, &with, take, &one, &error), FB_EINVAL);
    assert_result(fb_otp_verify(engine, FB_OTP_CODE, FB_STR(""), FB_STR("1"), take, &one, &error),
                  FB_EINVAL);
    assert_int_equal(one.calls, 0);
    fb_close(engine, 0);
}

// ---- within a fiber

typedef struct fiber_case {
    fb_engine *engine;
    told issued, verified;
    atomic_bool done;
} fiber_case;

static void in_fiber(void *arg) {
    fiber_case *one = arg;
    one->issued = issue(one->engine, FB_OTP_CODE, "ada@example.org", true);
    one->verified = verify(one->engine, FB_OTP_CODE, "ada@example.org", "x");
    atomic_store(&one->done, true);
}

static void on_loop(void *arg) {
    fiber_case *one = arg;
    told none = {.calls = 0};
    fb_error error;
    fb_otp_request request = {.account = FB_STR("ada@example.org"), .known = true};
    // Outside of a fiber it would stop the loop.
    assert_result(fb_otp_issue(one->engine, &request, take, &none, &error), FB_EINVAL);
    int result = fb_run(one->engine, in_fiber, one);
    assert_true(result == FB_OK || result == FB_PENDING);
}

static void test_otp__works_on_a_loop_within_a_fiber(void **state) {
    fiber_case one = {.done = false};
    (void)state;
    one.engine = mails_open(1, "", "");
    assert_ok(fb_loop_post(one.engine, 0, on_loop, &one));
    mails_until(atomic_load(&one.done));
    assert_result(one.issued.result, FB_OK);
    assert_result(one.verified.result, FB_MISS);
    assert_int_equal(one.verified.attempts_left, 4);
    fake_smtp_await_mails(&mails_main, 1);
    fb_close(one.engine, 0);
}

// ---- what is drawn

static void test_otp__codes_have_six_digits_evenly(void **state) {
    enum { DRAWS = 60000 };
    int counts[6][10] = {{0}};
    (void)state;
    for (int i = 0; i < DRAWS; i++) {
        char code[FB_OTP_CODE_SIZE];
        assert_ok(fb_otp_draw_code(code));
        assert_int_equal(strlen(code), 6);
        for (int k = 0; k < 6; k++) {
            assert_in_range(code[k], '0', '9');
            counts[k][code[k] - '0']++;
        }
    }
    for (int k = 0; k < 6; k++) {
        for (int digit = 0; digit < 10; digit++) {
            // 6000 expected; 73 is one standard deviation, and this is eight of them.
            assert_in_range(counts[k][digit], 5400, 6600);
        }
    }
}

static void test_otp__records_come_back_as_they_were(void **state) {
    char text[FB_OTP_RECORD_SIZE];
    fb_otp_record read, record = {.tries = 3, .account = FB_STR("ada lovelace@example.org")};
    static const char *const wrongs[] = {"", "x", "1", "1 ", "-1  a", "1 abc ada", "99999999999  a"};
    (void)state;
    memset(record.hash, 'a', FB_OTP_HASH_SIZE - 1);
    assert_ok(fb_otp_record_read(fb_otp_record_write(&record, text), &read));
    assert_int_equal(read.tries, 3);
    assert_string_equal(read.hash, record.hash);
    assert_str(read.account, "ada lovelace@example.org");
    record = (fb_otp_record){.account = FB_STR("")};
    assert_ok(fb_otp_record_read(fb_otp_record_write(&record, text), &read));
    assert_string_equal(read.hash, "");
    assert_str(read.account, "");
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        assert_result(fb_otp_record_read(fb_str_of(wrongs[i]), &read), FB_ESYNTAX);
    }
}

static void test_otp__hashes_differ_by_each_part(void **state) {
    char hashes[5][FB_OTP_HASH_SIZE];
    (void)state;
    assert_ok(fb_otp_hash(FB_STR("k"), "code", FB_STR("ada"), FB_STR("1"), hashes[0]));
    assert_ok(fb_otp_hash(FB_STR("l"), "code", FB_STR("ada"), FB_STR("1"), hashes[1]));
    assert_ok(fb_otp_hash(FB_STR("k"), "link", FB_STR("ada"), FB_STR("1"), hashes[2]));
    assert_ok(fb_otp_hash(FB_STR("k"), "code", FB_STR("ada1"), FB_STR(""), hashes[3]));
    assert_ok(fb_otp_hash(FB_STR("k"), "code", FB_STR("ada"), FB_STR("2"), hashes[4]));
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < i; k++) {
            assert_string_not_equal(hashes[i], hashes[k]);
        }
    }
    assert_ok(fb_otp_hash(FB_STR("k"), "code", FB_STR("ADA"), FB_STR("1"), hashes[1]));
    assert_string_equal(hashes[0], hashes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        mails_test(test_otp__a_code_is_good_once),
        mails_test(test_otp__wrong_ones_are_all_alike),
        mails_test(test_otp__no_more_guesses_than_it_has_attempts),
        mails_test(test_otp__a_code_signs_in_one_of_many),
        mails_test(test_otp__another_code_takes_the_place_of_the_first),
        mails_test(test_otp__codes_are_limited),
        mails_test(test_otp__who_is_unknown_is_not_told),
        mails_test(test_otp__a_link_is_looked_at_often_and_used_once),
        mails_test(test_otp__what_cannot_be_asked_is_refused),
        mails_test(test_otp__works_on_a_loop_within_a_fiber),
        cmocka_unit_test(test_otp__codes_have_six_digits_evenly),
        cmocka_unit_test(test_otp__records_come_back_as_they_were),
        cmocka_unit_test(test_otp__hashes_differ_by_each_part),
    };
    return cmocka_run_group_tests(tests, mails_group_up, NULL);
}
