// Verdicts in words, waits, and addresses as keys.

#include "support.h"

#include "limit/words.h"

#define S_US INT64_C(1000000)

static void expect_message(const fb_verdict *verdict, const char *expected) {
    char text[FB_LIMIT_MESSAGE_SIZE];

    assert_string_equal(fb_verdict_message(verdict, text), expected);
}

static fb_verdict allowed(uint32_t remaining, int64_t window_us, const char *message) {
    return (fb_verdict){.allowed = true, .cost = 1, .limit = 10, .remaining = remaining,
                        .window_us = window_us, .message = message};
}

static fb_verdict denied(int64_t retry_us) {
    return (fb_verdict){.denied = true, .cost = 1, .limit = 10, .window_us = 60 * S_US,
                        .retry_us = retry_us, .message = "generations"};
}

static void test_words__what_remains(void **state) {
    static const struct {
        uint32_t remaining;
        int64_t window_us;
        const char *message, *expected;
    } cases[] = {
        {5, 60 * S_US, "generations", "5 generations remaining this minute"},
        {1, 60 * S_US, "generations", "1 generation remaining this minute"},
        {0, 60 * S_US, "generations", "0 generations remaining this minute"},
        {99, 3600 * S_US, "requests", "99 requests remaining this hour"},
        {1, S_US, NULL, "1 request remaining this second"},
        {3, 300 * S_US, "attempts", "3 attempts remaining in this 5-minute window"},
        {3, 90 * S_US, "tries", "3 tries remaining in this 90-second window"},
        {1, 90 * S_US, "tries", "1 try remaining in this 90-second window"},
        {3, 250000, "tries", "3 tries remaining in this 250-millisecond window"},
        {3, 1234, "tries", "3 tries remaining in this 1234-microsecond window"},
        {3, 2 * 86400 * S_US, "tries", "3 tries remaining in this 2-day window"},
        {3, 86400 * S_US, "mails", "3 mails remaining today"},
        {3, 23 * 3600 * S_US, "mails", "3 mails remaining today"},
        {3, 7 * 86400 * S_US, "mails", "3 mails remaining this week"},
        {3, 28 * 86400 * S_US, "mails", "3 mails remaining this month"},
        {3, 31 * 86400 * S_US + 3600 * S_US, "mails", "3 mails remaining this month"},
        {3, 366 * 86400 * S_US, "mails", "3 mails remaining this year"},
        {1, 60 * S_US, "search|searches made", "1 search remaining this minute"},
        {2, 60 * S_US, "search|searches made", "2 searches made remaining this minute"},
        {1, 60 * S_US, "addresses", "1 address remaining this minute"},
        {1, 60 * S_US, "matches", "1 match remaining this minute"},
        {1, 60 * S_US, "boxes", "1 box remaining this minute"},
        {1, 60 * S_US, "access", "1 access remaining this minute"},
        {1, 60 * S_US, "uses", "1 use remaining this minute"},
        {1, 60 * S_US, "sign-in attempts", "1 sign-in attempt remaining this minute"},
        {2, 0, "exports", "2 exports remaining"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_verdict verdict = allowed(cases[i].remaining, cases[i].window_us, cases[i].message);
        expect_message(&verdict, cases[i].expected);
    }
}

static void test_words__what_was_denied(void **state) {
    fb_verdict verdict = denied(30 * S_US);

    expect_message(&verdict, "Rate limit exceeded. Try again in 30 seconds.");
    verdict.retry_us = 120 * S_US;
    expect_message(&verdict, "Rate limit exceeded. Try again in 2 minutes.");
    verdict.retry_us = 3600 * S_US;
    expect_message(&verdict, "Rate limit exceeded. Try again in 1 hour.");
    verdict.source = FB_LIMIT_BY_CLOSED;
    verdict.retry_us = S_US;
    expect_message(&verdict, "The rate limit cannot be checked right now. Try again in 1 second.");
    verdict.source = FB_LIMIT_BY_BARRED;
    expect_message(&verdict, "Not allowed.");
    verdict = denied(-1);
    verdict.impossible = true;
    verdict.cost = 11;
    expect_message(&verdict, "11 generations at once are more than the limit of 10.");
}

static void test_words__leases(void **state) {
    fb_verdict verdict = allowed(1, 0, "requests");

    verdict.limit = 2;
    expect_message(&verdict, "1 slot remaining");
    verdict.message = "exports";
    expect_message(&verdict, "1 export remaining");
    verdict = denied(30 * S_US);
    verdict.window_us = 0;
    verdict.limit = 2;
    verdict.message = "exports";
    expect_message(&verdict, "No export is free. Try again in 30 seconds.");
}

static void test_words__what_is_not_limited(void **state) {
    fb_verdict verdict = allowed(10, 60 * S_US, "generations");

    verdict.source = FB_LIMIT_BY_EXEMPT;
    expect_message(&verdict, "Not limited.");
    verdict.source = FB_LIMIT_BY_OPEN;
    expect_message(&verdict, "Not limited right now.");
    // In shadow mode it passes, so nobody is told otherwise.
    verdict = allowed(0, 60 * S_US, "generations");
    verdict.denied = true;
    expect_message(&verdict, "0 generations remaining this minute");
}

static void test_words__a_long_message_is_cut(void **state) {
    char message[400], text[FB_LIMIT_MESSAGE_SIZE];
    memset(message, 'y', sizeof(message));
    memcpy(message + sizeof(message) - 5, "iess", 5);
    fb_verdict verdict = allowed(1, 1234567, message);

    message[sizeof(message) - 2] = '\0';
    assert_true(strlen(fb_verdict_message(&verdict, text)) < sizeof(text));
    verdict.allowed = false;
    verdict.impossible = true;
    assert_true(strlen(fb_verdict_message(&verdict, text)) < sizeof(text));
}

static void test_words__waits(void **state) {
    static const struct {
        int64_t wait_us;
        const char *expected;
    } cases[] = {
        {-1, "1 second"}, {0, "1 second"}, {1, "1 second"}, {S_US, "1 second"},
        {S_US + 1, "2 seconds"}, {30 * S_US, "30 seconds"}, {59 * S_US, "59 seconds"},
        {59 * S_US + 1, "1 minute"}, {60 * S_US, "1 minute"}, {61 * S_US, "61 seconds"},
        {119 * S_US, "119 seconds"}, {120 * S_US, "2 minutes"}, {121 * S_US, "3 minutes"},
        {3540 * S_US, "59 minutes"}, {3600 * S_US, "1 hour"}, {3601 * S_US, "61 minutes"},
        {7200 * S_US, "2 hours"}, {7201 * S_US, "3 hours"}, {86400 * S_US, "1 day"},
        {36 * 3600 * S_US, "36 hours"}, {48 * 3600 * S_US, "2 days"},
        {60 * 86400 * S_US, "60 days"}, {INT64_MAX, "106751992 days"},
    };
    char text[32];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(fb_limit_wait_text(cases[i].wait_us, text), cases[i].expected);
    }
}

static void test_words__sources_have_texts(void **state) {
    assert_string_equal(fb_limit_source_text(FB_LIMIT_BY_MEMORY), "memory");
    assert_string_equal(fb_limit_source_text(FB_LIMIT_BY_SHARED), "redis");
    assert_string_equal(fb_limit_source_text(FB_LIMIT_BY_BARRED), "barred");
}

typedef struct address {
    const char *key;
    uint32_t prefix_len;
    const char *expected;
} address;

static void expect_addresses(const address *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        char text[64];
        assert_str(fb_limit_address_key(fb_str_of(cases[i].key), cases[i].prefix_len, text),
                   cases[i].expected);
    }
}

static void test_words__an_address_is_its_network(void **state) {
    static const address cases[] = {
        {"2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"},
        {"[2001:db8:1:2:3:4:5:6]", 64, "2001:db8:1:2::/64"},
        {"2001:0DB8:0001:0002::", 64, "2001:db8:1:2::/64"},
        {"2001:db8:1:2:ffff::1", 60, "2001:db8:1::/60"},
        {"2001:db8:1:2f::1", 60, "2001:db8:1:20::/60"},
        {"2001:db8::1", 128, "2001:db8::1/128"},
        {"2001:db8::1", 200, "2001:db8::1/128"},
        {"2001:db8::1", 1, "::/1"},
        {"::1", 64, "::/64"},
        {"::", 128, "::/128"},
        {"1::", 128, "1::/128"},
        {"1:0:0:2:0:0:0:3", 128, "1:0:0:2::3/128"},
        {"1:0:0:2:3:0:0:4", 128, "1::2:3:0:0:4/128"},
        {"1:2:0:4:5:6:7:8", 128, "1:2:0:4:5:6:7:8/128"},
        {"1:2:3:4:5:6:7::", 128, "1:2:3:4:5:6:7:0/128"},
        {"::2:3:4:5:6:7:8", 128, "0:2:3:4:5:6:7:8/128"},
        {"64:ff9b::192.0.2.33", 128, "64:ff9b::c000:221/128"},
        {"1:2:3:4:5:6:192.0.2.33", 128, "1:2:3:4:5:6:c000:221/128"},
        {"::ffff:192.0.2.1", 64, "192.0.2.1"},
        {"[::ffff:192.0.2.1]", 64, "192.0.2.1"},
        {"::FFFF:c000:0201", 64, "192.0.2.1"},
        {"192.0.2.1", 64, "192.0.2.1"},
    };

    expect_addresses(cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_words__what_is_no_address_is_left(void **state) {
    static const char *const keys[] = {
        "", "user:42", "[", "[]", "]", ":", ":::", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "1:", ":1", "1:2:3:4:5:6:7:", "12345::",
        "g::", "::1%eth0", "::1/64", " ::1", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::1.2.3.01",
        "::1.2.3.4:5", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "[::1", "::1]", "::-1", "::1.2.3.-4",
    };
    char text[64];

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        fb_str key = fb_str_of(keys[i]);
        assert_ptr_equal(fb_limit_address_key(key, 64, text).ptr, key.ptr);
    }
    assert_int_equal(fb_limit_address_key(fb_str_make(NULL, 0), 64, text).len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words__what_remains),
        cmocka_unit_test(test_words__what_was_denied),
        cmocka_unit_test(test_words__leases),
        cmocka_unit_test(test_words__what_is_not_limited),
        cmocka_unit_test(test_words__a_long_message_is_cut),
        cmocka_unit_test(test_words__waits),
        cmocka_unit_test(test_words__sources_have_texts),
        cmocka_unit_test(test_words__an_address_is_its_network),
        cmocka_unit_test(test_words__what_is_no_address_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
