// Addresses as people write them, and mistakes in them, told without the password.

#include "client/address.h"
#include "support.h"

typedef struct row {
    const char *text, *name, *user, *password;
} row;

static void test_address__is_read(void **state) {
    static const row rows[] = {
        {"127.0.0.1:6380", "127.0.0.1:6380", "", ""},
        {"localhost", "localhost:6380", "", ""},
        {"forebay://me:secret@host:1", "host:1", "me", "secret"},
        {":7000", "127.0.0.1:7000", "", ""},
        {"", "127.0.0.1:6380", "", ""},
        {"redis://cache.example/0", "cache.example:6380", "", ""},
        {"redis://cache.example:1/", "cache.example:1", "", ""},
        {"[::1]", "[::1]:6380", "", ""},
        {"redis://[::1]:99", "[::1]:99", "", ""},
        {"unix:/run/forebay.sock", "unix:/run/forebay.sock", "", ""},
        {"unix://me:p%40@/run/forebay.sock", "unix:/run/forebay.sock", "me", "p@"},
        {"unix://:secret@/run/a@b", "unix:/run/a@b", "", "secret"},
        {"unix:///run/forebay.sock", "unix:///run/forebay.sock", "", ""},
        {"redis://:secret@host:1", "host:1", "", "secret"},
        {"redis://secret@host:1", "host:1", "", "secret"},
        {"redis://me:secret@host:1", "host:1", "me", "secret"},
        {"me:p@ss:w@host", "host:6380", "me", "p@ss:w"},
        {"redis://m%65:p%40%3a%2F%25@host", "host:6380", "me", "p@:/%"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fb_address address;
        fb_error error = {0};
        assert_ok(fb_address_read(fb_str_of(rows[i].text), &address, &error));
        assert_string_equal(address.name, rows[i].name);
        assert_string_equal(address.user, rows[i].user);
        assert_string_equal(address.password, rows[i].password);
    }
}

static void test_address__mistakes_are_told_without_secrets(void **state) {
    static const char *const rows[][2] = {
        {"http://x", "'http://x' is no address: the scheme is not forebay"},
        {"host:", "the port is no"},
        {"host:0", "the port is no"},
        {"host:65536", "the port is no"},
        {"[::1", "no ']'"},
        {"[::1]6380", "begins with ':'"},
        {"unix:", "the path must"},
        {"redis://host/3", "database 0 alone"},
        {"forebay://me:secret@host:x", "'forebay://***@host:x' is no address"},
        {"rediss://me:secret@host?what=1", "after '?'"},
        {"redis://me:secret@host:1?ca=x", "the port is no"},
        {"redis://me:secret@host:x", "'redis://***@host:x' is no address"},
        {"me:secret@host:x", "'***@host:x' is no address"},
        {"redis://:secret%4@host", "hexadecimal"},
        {"redis://:secret%00@host", "hexadecimal"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fb_address address;
        fb_error error = {0};
        assert_result(fb_address_read(fb_str_of(rows[i][0]), &address, &error), FB_EINVAL);
        assert_non_null(strstr(error.text, rows[i][1]));
        assert_null(strstr(error.text, "secret"));
    }
}

static void test_address__says_what_tls_is_to_use(void **state) {
    (void)state;
    fb_address address;
    fb_error error = {0};
    assert_ok(fb_address_read(FB_STR("rediss://me:pw@host:1?ca=/a&cert=/b&key=/c"), &address, &error));
    assert_true(address.tls);
    assert_false(address.tls_insecure);
    assert_string_equal(address.name, "host:1");
    assert_string_equal(address.tls_ca, "/a");
    assert_string_equal(address.tls_cert, "/b");
    assert_string_equal(address.tls_key, "/c");
    assert_ok(fb_address_read(FB_STR("forebays://host/0?insecure=1"), &address, &error));
    assert_true(address.tls && address.tls_insecure);
    assert_string_equal(address.name, "host:6380");
    assert_ok(fb_address_read(FB_STR("forebay://host"), &address, &error));
    assert_false(address.tls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address__is_read),
        cmocka_unit_test(test_address__says_what_tls_is_to_use),
        cmocka_unit_test(test_address__mistakes_are_told_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
