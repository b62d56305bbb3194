// What sending mails and one-time codes may be told.

#include "support.h"

#include "base/units.h"
#include "mail/options.h"

static fb_mail_relay_options relay;
static fb_mail_options options;

static int set_up(void **state) {
    relay = (fb_mail_relay_options){.name = (char *)"main", .url = (char *)"smtp://mail.example.org",
                                    .tls_verify = true, .connections = 4};
    options = (fb_mail_options){.from = (char *)"forebay <no-reply@localhost>",
                                .product = (char *)"forebay", .relays = &relay, .relay_count = 1};
    return 0;
}

static void accepted(void) {
    char at[64] = "";
    fb_error error = {0};

    int result = fb_mail_options_check(&options, at, sizeof at, &error);
    assert_string_equal(error.text, "");
    assert_ok(result);
    assert_string_equal(at, "");
}

static void refused(int result, const char *option, const char *text) {
    char at[64] = "";
    fb_error error = {0};

    assert_result(fb_mail_options_check(&options, at, sizeof at, &error), result);
    assert_string_equal(error.text, text);
    assert_string_equal(at, option);
    assert_int_equal(error.code, result);
}

static void test_mail_options__sound_ones_pass(void **state) {
    static const char *const urls[] = {
        "smtp://localhost", "smtp://localhost:25", "smtps://mail.example.org/", "smtp://[::1]:2525",
        "smtp://192.0.2.1:587", "smtp://user:pa%20ss@host:587", "smtp://user%40x:p@ss@host",
        "smtps://a_user:@host:465/", "smtp://mail_server:1025",
    };

    accepted();
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        relay.url = (char *)(uintptr_t)urls[i];
        accepted();
    }
    relay.user = (char *)"ada";
    relay.password = (char *)"pässword";
    relay.tls_ca = (char *)"/etc/ca.pem";
    options.reply_to = (char *)"Åse <ase@example.org>";
    options.hello = (char *)"host.example.org";
    options.product = (char *)"Grün & Söhne";
    fb_mail_kind_options kind = {.name = (char *)"week-end_2", .priority = -1};
    options.kinds = &kind;
    options.kind_count = 1;
    accepted();
    options = (fb_mail_options){0};
    accepted();
}

static void test_mail_options__addresses_have_to_be_some(void **state) {
    options.from = (char *)"nobody";
    refused(FB_EINVAL, "from", "not a mail address: expected @ (byte 7)");
    options.from = (char *)"a@x\r\nBcc: b@y";
    refused(FB_EINVAL, "from", "not a mail address: a control character (byte 4)");
    options.from = (char *)"a@x";
    options.reply_to = (char *)"a@x, b@y";
    refused(FB_EINVAL, "reply_to",
            "not a mail address: expected one address and nothing after it (byte 4)");
}

static void test_mail_options__words_that_go_over_the_wire(void **state) {
    options.product = (char *)"a\nb";
    refused(FB_EINVAL, "product", "it has a control character, or is not UTF-8");
    options.product = (char *)"\xff";
    refused(FB_EINVAL, "product", "it has a control character, or is not UTF-8");
    options.product = NULL;
    options.hello = (char *)"a b";
    refused(FB_EINVAL, "hello", "expected the name of a host, or its address in brackets");
    options.hello = (char *)"a\r\nMAIL FROM:<x@y>";
    refused(FB_EINVAL, "hello", "expected the name of a host, or its address in brackets");
}

static void test_mail_options__urls_of_relays(void **state) {
    static const struct {
        const char *url, *text;
    } cases[] = {
        {"", "required, but not set"},
        {"mail.example.org", "expected smtp:// or smtps:// and a host"},
        {"http://mail.example.org", "expected smtp:// or smtps:// and a host"},
        {"smtp://", "no host"},
        {"smtp://:25", "no host"},
        {"smtp://ada:secret@", "no host"},
        {"smtp://ada:sec ret@host",
         "it has a character that no such URL has (in a password it is written as %20)"},
        {"smtp://ada:secret\r\n@host",
         "it has a character that no such URL has (in a password it is written as %20)"},
        {"smtp://ada:sec/ret@host", "a / in user or password is written as %2F"},
        {"smtp://host/name", "it has a path; how the relay is greeted is `hello`"},
        {"smtp://host:0", "expected a port from 1 to 65535 behind the host"},
        {"smtp://host:65536", "expected a port from 1 to 65535 behind the host"},
        {"smtp://host:", "expected a port from 1 to 65535 behind the host"},
        {"smtp://host:25a", "expected a port from 1 to 65535 behind the host"},
        {"smtp://[::1]25", "expected a port from 1 to 65535 behind the host"},
        {"smtp://[::1", "a bracket that is not closed"},
        {"smtp://[]", "expected the name of a host, or its address"},
        {"smtp://ho!st", "expected the name of a host, or its address"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        relay.url = (char *)(uintptr_t)cases[i].url;
        refused(FB_EINVAL, "relays.main.url", cases[i].text);
        assert_null(strstr(cases[i].text, "secret"));
    }
}

static void test_mail_options__tls_that_fits(void **state) {
    relay.url = (char *)"smtps://host";
    relay.tls = FB_MAIL_TLS_OFF;
    refused(FB_ECONFLICT, "relays.main.tls", "off, but the URL says smtps");
    relay.url = (char *)"smtp://host";
    accepted();
    relay.tls_ca = (char *)"ca.pem";
    refused(FB_ECONFLICT, "relays.main.tls_ca", "but tls is off");
    relay.tls = FB_MAIL_TLS_OPTIONAL;
    accepted();
    relay.tls_verify = false;
    refused(FB_ECONFLICT, "relays.main.tls_ca", "but tls_verify is off");
}

static void test_mail_options__users_and_passwords(void **state) {
    relay.password = (char *)"secret";
    refused(FB_ECONFLICT, "relays.main.password", "there is no user");
    relay.url = (char *)"smtp://ada@host";
    accepted();
    relay.user = (char *)"a\tb";
    refused(FB_EINVAL, "relays.main.user", "it has a control character, or is not UTF-8");
    relay.user = (char *)"ada";
    relay.password = (char *)"a\nb";
    refused(FB_EINVAL, "relays.main.password", "it has a control character, or is not UTF-8");
}

static void test_mail_options__names_of_kinds(void **state) {
    char name[66] = "";
    fb_mail_kind_options kind = {.name = (char *)"a b"};

    options.kinds = &kind;
    options.kind_count = 1;
    refused(FB_EINVAL, "kinds.a b", "a kind's name has letters, digits, _ and - alone");
    memset(name, 'a', 65);
    kind.name = name;
    char at[80];
    fb_error error;
    assert_result(fb_mail_options_check(&options, at, sizeof at, &error), FB_EINVAL);
    name[64] = '\0';
    accepted();
}

static void otp(const char *url, const char *text) {
    fb_otp_options given = {.link_url = (char *)(uintptr_t)url};
    char at[64] = "";
    fb_error error = {0};
    int result = fb_otp_options_check(&given, at, sizeof at, &error);

    assert_string_equal(error.text, text);
    assert_result(result, text[0] == '\0' ? FB_OK : FB_EINVAL);
    assert_string_equal(at, text[0] == '\0' ? "" : "link_url");
}

static void test_mail_options__where_links_lead(void **state) {
    otp("https://example.org/in?t={token}&x=1", "");
    otp("http://127.0.0.1:8080/v1/otp/link/{token}", "");
    otp("", "expected http:// or https://");
    otp("javascript:alert('{token}')", "expected http:// or https://");
    otp("https://example.org/", "expected {token} in it, once");
    otp("https://example.org/{token}/{token}", "expected {token} in it, once");
    otp("https://example.org/ {token}", "it has a character that no URL has");
    otp("https://example.org/\"{token}", "it has a character that no URL has");
}

// The tables' own sanity: what has a default has one of its kind, and all have help.
static void check_table(const fb_option *table) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        assert_true(row->help != NULL && row->help[strlen(row->help) - 1] == '.');
        int64_t ns = 0;
        if (row->type == FB_OPTION_DURATION) {
            assert_ok(fb_units_duration(fb_str_of(row->default_text), &ns));
            assert_true(ns >= row->min && ns <= row->max);
        }
        assert_true(row->min <= row->max);
    }
}

static void test_mail_options__tables_are_whole(void **state) {
    check_table(fb_mail_options_table);
    check_table(fb_mail_relay_options_table);
    check_table(fb_mail_kind_options_table);
    check_table(fb_otp_options_table);
    assert_string_equal(fb_mail_kind_builtins[0].name, "otp");
    assert_null(fb_mail_kind_builtins[4].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_mail_options__sound_ones_pass, set_up),
        cmocka_unit_test_setup(test_mail_options__addresses_have_to_be_some, set_up),
        cmocka_unit_test_setup(test_mail_options__words_that_go_over_the_wire, set_up),
        cmocka_unit_test_setup(test_mail_options__urls_of_relays, set_up),
        cmocka_unit_test_setup(test_mail_options__tls_that_fits, set_up),
        cmocka_unit_test_setup(test_mail_options__users_and_passwords, set_up),
        cmocka_unit_test_setup(test_mail_options__names_of_kinds, set_up),
        cmocka_unit_test_setup(test_mail_options__where_links_lead, set_up),
        cmocka_unit_test_setup(test_mail_options__tables_are_whole, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
