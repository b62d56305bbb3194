// Addresses: what is one, what it is kept as, and where it is wrong.

#include "support.h"

#include "mail/address.h"

static void parsed(const char *text, const char *name, const char *spec, bool ascii) {
    fb_address address;
    fb_error error = {0};

    assert_ok(fb_address_parse(fb_str_of(text), &address, &error));
    assert_str(address.name, name);
    assert_str(address.spec, spec);
    assert_str(address.domain, strrchr(spec, '@') + 1);
    assert_int_equal(address.ascii, ascii);
}

static void refused_bytes(fb_str text, int result, uint32_t column, const char *why) {
    fb_address address;
    fb_error error = {0};

    assert_result(fb_address_parse(text, &address, &error), result);
    assert_string_equal(error.text, why);
    assert_int_equal(error.column, column);
    assert_int_equal(error.code, result);
}

static void refused(const char *text, uint32_t column, const char *why) {
    refused_bytes(fb_str_of(text), FB_ESYNTAX, column, why);
}

static void test_mail_address__addresses_alone(void **state) {
    parsed("ada@example.org", "", "ada@example.org", true);
    parsed("  ada@example.org ", "", "ada@example.org", true);
    parsed("<ada@example.org>", "", "ada@example.org", true);
    parsed("root@localhost", "", "root@localhost", true);
    parsed("a.b+c_d-e=f/g!#$%&'*?^`{|}~@x-1.y", "", "a.b+c_d-e=f/g!#$%&'*?^`{|}~@x-1.y", true);
    parsed("a@[192.0.2.1]", "", "a@[192.0.2.1]", true);
    parsed("a@[IPv6:2001:DB8::1]", "", "a@[ipv6:2001:db8::1]", true);
    parsed("a@[IPv6:1:2:3:4:5:6:7:8]", "", "a@[ipv6:1:2:3:4:5:6:7:8]", true);
    parsed("a@[IPv6:::ffff:192.0.2.1]", "", "a@[ipv6:::ffff:192.0.2.1]", true);
    parsed("a@[IPv6:::]", "", "a@[ipv6:::]", true);
}

static void test_mail_address__names(void **state) {
    parsed("Ada <ada@example.org>", "Ada", "ada@example.org", true);
    parsed("Ada   King  Lovelace<ada@x>", "Ada King Lovelace", "ada@x", true);
    parsed("J. R. Doe <j@x>", "J. R. Doe", "j@x", true);
    parsed("\"Lovelace, Ada\" <ada@x>", "Lovelace, Ada", "ada@x", true);
    parsed("\"a \\\"b\\\" \\\\ c\" <ada@x>", "a \"b\" \\ c", "ada@x", true);
    parsed("\"<x@y>\" <ada@x>", "<x@y>", "ada@x", true);
    parsed("\"\" <ada@x>", "", "ada@x", true);
    parsed("\"Ada\" King <ada@x>", "Ada King", "ada@x", true);
    parsed("Åse Ødegård <ase@x>", "Åse Ødegård", "ase@x", true);
    parsed("日本 <a@x>", "日本", "a@x", true);
    parsed("=?UTF-8?Q?x?= <a@x>", "=?UTF-8?Q?x?=", "a@x", true);
}

static void test_mail_address__a_domain_is_in_small_letters_and_a_local_part_as_it_was(void **state) {
    parsed("Ada@Example.ORG", "", "Ada@example.org", true);
}

static void test_mail_address__quotes_stand_where_they_are_needed(void **state) {
    parsed("\"ada\"@x", "", "ada@x", true);
    parsed("\"a\\da\"@x", "", "ada@x", true);
    parsed("\"a.b\"@x", "", "a.b@x", true);
    parsed("\"a b\"@x", "", "\"a b\"@x", true);
    parsed("\"a..b\"@x", "", "\"a..b\"@x", true);
    parsed("\".a\"@x", "", "\".a\"@x", true);
    parsed("\"a.\"@x", "", "\"a.\"@x", true);
    parsed("\"\"@x", "", "\"\"@x", true);
    parsed("\"a@b\"@x", "", "\"a@b\"@x", true);
    parsed("\"a\\\"\\\\\"@x", "", "\"a\\\"\\\\\"@x", true);
}

static void test_mail_address__utf8_is_known(void **state) {
    parsed("åse@example.org", "", "åse@example.org", false);
    parsed("ase@blåbær.example", "", "ase@blåbær.example", false);
    parsed("\"å b\"@x", "", "\"å b\"@x", false);
    refused_bytes(FB_STR("a\xff@x"), FB_ESYNTAX, 2, "this is not UTF-8");
    refused_bytes(FB_STR("\"\xc3\" <a@x>"), FB_ESYNTAX, 2, "this is not UTF-8");
    refused_bytes(FB_STR("a\xed\xa0\x80@x"), FB_ESYNTAX, 2, "this is not UTF-8");
}

static void test_mail_address__control_characters_are_refused_wherever_they_are(void **state) {
    static const char *const places[] = {"\x01 Ada <ada@x>", "A\x01 <ada@x>", "\"\x01\" <ada@x>",
                                         "\"\\\x01\" <ada@x>", "Ada <\x01" "ada@x>",
                                         "Ada <ada@\x01x>", "Ada <ada@x>\x01", "\"a\x01\"@x"};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        for (int byte = 0; byte < 0x21; byte++) {
            char text[32];
            size_t len = strlen(places[i]);
            memcpy(text, places[i], len);
            char *at = memchr(text, 1, len);
            *at = (char)(byte < 0x20 ? byte : 0x7f);
            refused_bytes(fb_str_make(text, len), FB_ESYNTAX, (uint32_t)(at - text) + 1,
                          "a control character");
        }
    }
    refused("a\xc2\x85@x", 2, "a control character");
    refused("\"a\xc2\x9f\" <a@x>", 3, "a control character");
}

static void test_mail_address__what_cannot_be_seen_is_in_no_address(void **state) {
    refused("a\xe2\x80\x8b" "b@x", 2, "a character that cannot be seen");
    refused("a@x\xe2\x80\xae.y", 4, "a character that cannot be seen");
    refused("\xef\xbb\xbf" "a@x", 1, "a character that cannot be seen");
    refused("a\xc2\xa0@x", 2, "a character that cannot be seen");
    refused("\"a\xc2\xad\"@x", 3, "a character that cannot be seen");
    refused("a@x\xe3\x80\x80", 4, "a character that cannot be seen");
}

static void test_mail_address__what_is_none(void **state) {
    refused("", 1, "nothing before the @");
    refused("   ", 4, "nothing before the @");
    refused("ada", 4, "expected @");
    refused("@x", 1, "nothing before the @");
    refused("a@", 3, "part of the domain is missing");
    refused("a@.x", 3, "part of the domain is missing");
    refused("a@x.", 5, "part of the domain is missing");
    refused("a@x..y", 5, "part of the domain is missing");
    refused(".a@x", 1, "a dot that follows nothing");
    refused("a..b@x", 3, "a dot that follows nothing");
    refused("a.@x", 3, "a dot before the @");
    refused("a b@x", 2, "this cannot stand in an address");
    refused("a@-x", 3, "part of a domain cannot begin with -");
    refused("a@x-", 5, "part of a domain cannot end with -");
    refused("a@x_y", 4, "expected one address and nothing after it");
    refused("a@_x", 3, "this cannot stand in a domain");
    refused("a@@x", 3, "this cannot stand in a domain");
    refused("a@x@y", 4, "expected one address and nothing after it");
    refused("\"a@x", 5, "a quote that is not closed");
    refused("\"a\\", 4, "a quote that is not closed");
    refused("\"", 2, "a quote that is not closed");
    refused("\"a\"b@x", 4, "expected @");
    refused("Ada <ada@x", 11, "expected >");
    refused("Ada <ada@x> y", 13, "expected one address and nothing after it");
    refused("<>", 2, "this cannot stand in an address");
}

static void test_mail_address__what_is_not_taken_though_it_might_be(void **state) {
    refused("a@x, b@y", 4, "expected one address and nothing after it");
    refused("a@x b@y", 5, "expected one address and nothing after it");
    refused("Lovelace, Ada <ada@x>", 9, "this needs quotes around the name");
    refused("friends: a@x, b@y;", 8, "this cannot stand in an address");
    refused("friends: <a@x>", 8, "this needs quotes around the name");
    refused("<@relay:a@x>", 2, "nothing before the @");
    refused("(Ada) a@x", 1, "comments are not taken");
    refused("a(Ada)@x", 2, "comments are not taken");
    refused("Ada (King) <a@x>", 5, "this needs quotes around the name");
    refused("a@x <b@y>", 2, "this needs quotes around the name");
    refused("a%b!c@x (d)", 9, "expected one address and nothing after it");
}

static void test_mail_address__addresses_in_brackets_are_real(void **state) {
    static const char *const wrong[] = {
        "[]",          "[1.2.3]",         "[1.2.3.4.5]",  "[1.2.3.256]",      "[01.2.3.4]",
        "[1.2.3.]",    "[.1.2.3]",        "[1.2.3.4",     "[IPv6:]",          "[IPv6:1]",
        "[IPv6:1:2:3:4:5:6:7:8:9]",       "[IPv6:1::2::3]", "[IPv6:12345::]",  "[IPv6:g::]",
        "[IPv6::1]",   "[IPv6:1:2:3:4:5:6:7:]", "[IPv6:1::2:3:4:5:6:7:8]", "[IPv6:::1.2.3]",
        "[2001:db8::1]", "[x]",
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[64] = "a@";
        strcat(text, wrong[i]);
        refused(text, 3, "expected an address as in [192.0.2.1] or [IPv6:2001:db8::1]");
    }
}

static void fill(char *text, size_t len) {
    memset(text, 'a', len);
    text[len] = '\0';
}

static void test_mail_address__how_long_it_may_be(void **state) {
    char text[1200] = "", *at = text;

    fill(at, 64);
    strcat(text, "@x");
    parsed(text, "", text, true);
    fill(at, 65);
    strcat(text, "@x");
    refused_bytes(fb_str_of(text), FB_ETOOBIG, 65, "more than 64 bytes before the @");
    strcpy(text, "a@");
    fill(text + 2, 64);
    refused_bytes(fb_str_of(text), FB_ETOOBIG, 67, "part of the domain has more than 63 bytes");
    strcpy(text, "a@");
    for (size_t i = 0; i < 126; i++) {
        strcat(text, "b.");
    }
    text[253] = '\0';
    parsed(text, "", text, true);
    strcat(text, "b");
    parsed(text, "", text, true);
    strcat(text, "b");
    refused_bytes(fb_str_of(text), FB_ETOOBIG, 255, "more than 254 bytes");
    fill(text, 254);
    strcat(text, " <a@x>");
    fb_address address;
    assert_ok(fb_address_parse(fb_str_of(text), &address, NULL));
    assert_int_equal(address.name.len, 254);
    fill(text, 255);
    strcat(text, " <a@x>");
    refused_bytes(fb_str_of(text), FB_ETOOBIG, 255, "the name has more than 254 bytes");
}

static void test_mail_address__quoting_makes_it_no_longer_than_it_may_be(void **state) {
    char text[256] = "\"", *at = text + 1;

    for (size_t i = 0; i < 31; i++, at += 2) {
        memcpy(at, "\\\"", 2);
    }
    strcpy(at, "\"@x");
    parsed(text, "", text, true);
    strcpy(at, "\\\"\"@x");
    fb_address address;
    assert_result(fb_address_parse(fb_str_of(text), &address, NULL), FB_ETOOBIG);
}

// What it is kept as is an address that is kept as itself.
static void test_mail_address__reading_twice_changes_nothing(void **state) {
    static const char alphabet[] = "ab.\"\\@ <>-[1:]é";
    fb_rng rng = test_rng();

    for (size_t round = 0; round < 200000; round++) {
        char text[16];
        size_t len = fb_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < len; i++) {
            text[i] = alphabet[fb_rng_below(&rng, sizeof alphabet - 1)];
        }
        fb_address once, twice;
        if (fb_address_parse(fb_str_make(text, len), &once, NULL) == FB_OK) {
            assert_ok(fb_address_parse(once.spec, &twice, NULL));
            assert_bytes(twice.spec, once.spec);
            assert_bytes(twice.domain, once.domain);
            assert_int_equal(twice.ascii, once.ascii);
        }
    }
}

static void test_mail_address__hosts(void **state) {
    assert_true(fb_address_is_host(FB_STR("mail.example.org")));
    assert_true(fb_address_is_host(FB_STR("localhost")));
    assert_true(fb_address_is_host(FB_STR("[192.0.2.1]")));
    assert_true(fb_address_is_host(FB_STR("[IPv6:2001:db8::1]")));
    assert_false(fb_address_is_host(FB_STR("")));
    assert_false(fb_address_is_host(FB_STR("a b")));
    assert_false(fb_address_is_host(FB_STR("a\r\nQUIT")));
    assert_false(fb_address_is_host(FB_STR("a.")));
    assert_false(fb_address_is_host(FB_STR("a@b")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_address__addresses_alone),
        cmocka_unit_test(test_mail_address__names),
        cmocka_unit_test(
            test_mail_address__a_domain_is_in_small_letters_and_a_local_part_as_it_was),
        cmocka_unit_test(test_mail_address__quotes_stand_where_they_are_needed),
        cmocka_unit_test(test_mail_address__utf8_is_known),
        cmocka_unit_test(
            test_mail_address__control_characters_are_refused_wherever_they_are),
        cmocka_unit_test(test_mail_address__what_cannot_be_seen_is_in_no_address),
        cmocka_unit_test(test_mail_address__what_is_none),
        cmocka_unit_test(test_mail_address__what_is_not_taken_though_it_might_be),
        cmocka_unit_test(test_mail_address__addresses_in_brackets_are_real),
        cmocka_unit_test(test_mail_address__how_long_it_may_be),
        cmocka_unit_test(test_mail_address__quoting_makes_it_no_longer_than_it_may_be),
        cmocka_unit_test(test_mail_address__reading_twice_changes_nothing),
        cmocka_unit_test(test_mail_address__hosts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
