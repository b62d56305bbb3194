// Payloads of mails' jobs: there and back, strictly, and what is shown of them.

#include "support.h"

#include "base/json.h"
#include "mail/payload.h"

static void writes(const fb_mail_payload *payload, const char *expected) {
    fb_buf out = {0};
    fb_error error = {0};

    assert_ok(fb_mail_payload_write(payload, &out, &error));
    assert_str(fb_buf_str(&out), expected);
    assert_true(fb_json_valid(fb_buf_str(&out)));
    fb_buf_release(&out);
}

static void test_mail_payload__there(void **state) {
    fb_mail_var vars[] = {{FB_STR("code"), FB_STR("042137")}, {FB_STR("name"), FB_STR("Åse \"\\\n/")}};
    fb_mail_payload payload = {.kind = FB_STR("otp"), .to = FB_STR("Ada <ada@x>"), .vars = vars,
                               .var_count = 2, .message_id = FB_STR("<1@x>")};

    writes(&payload, "{\"kind\":\"otp\",\"to\":\"Ada <ada@x>\",\"vars\":{\"code\":\"042137\","
                     "\"name\":\"Åse \\\"\\\\\\n/\"},\"message_id\":\"<1@x>\"}");
    payload.var_count = 0;
    payload.message_id = fb_str_make(NULL, 0);
    writes(&payload, "{\"kind\":\"otp\",\"to\":\"Ada <ada@x>\",\"vars\":{}}");
    payload.to = FB_STR("\x01\x1f\x7f");
    writes(&payload, "{\"kind\":\"otp\",\"to\":\"\\u0001\\u001f\x7f\",\"vars\":{}}");
}

static void refused_write(const fb_mail_payload *payload, int result, const char *why) {
    fb_buf out = {0};
    fb_error error = {0};

    assert_ok(fb_buf_append(&out, FB_STR("before")));
    assert_result(fb_mail_payload_write(payload, &out, &error), result);
    assert_string_equal(error.text, why);
    assert_str(fb_buf_str(&out), "before");
    fb_buf_release(&out);
}

static void test_mail_payload__what_is_no_text_is_not_written(void **state) {
    fb_mail_var vars[65] = {{FB_STR("a"), FB_STR("1")}, {FB_STR("a"), FB_STR("2")}};
    fb_mail_payload good = {.kind = FB_STR("otp"), .to = FB_STR("a@x"), .vars = vars, .var_count = 1};
    fb_mail_payload payload = good;

    payload.kind = FB_STR("\xff");
    refused_write(&payload, FB_EINVAL, "the kind is not UTF-8, or has a NUL");
    payload = good;
    payload.to = FB_STR("a\0b");
    refused_write(&payload, FB_EINVAL, "the address is not UTF-8, or has a NUL");
    payload = good;
    payload.message_id = FB_STR("\xc3");
    refused_write(&payload, FB_EINVAL, "the Message-ID is not UTF-8, or has a NUL");
    payload = good;
    payload.var_count = 2;
    refused_write(&payload, FB_EINVAL, "variable \"a\" is there twice");
    vars[1].name = FB_STR("a\"b");
    refused_write(&payload, FB_EINVAL, "variable 2 has a name that is none");
    vars[1] = (fb_mail_var){FB_STR("b"), FB_STR("\xff")};
    refused_write(&payload, FB_EINVAL, "the value of a variable is not UTF-8, or has a NUL");
    payload.var_count = 65;
    refused_write(&payload, FB_ETOOBIG, "more than 64 variables");
}

static void test_mail_payload__and_back(void **state) {
    fb_mail_payload payload;
    fb_error error = {0};

    assert_ok(fb_mail_payload_read(
        FB_STR(" {\"message_id\": \"<1@x>\", \"vars\": {\"b\": \"\", \"a\": \"\\u00c5\\n\\\"\"},\n"
               "\"to\": \"ada@x\", \"kind\": \"otp\"} "),
        &payload, &error));
    assert_str(payload.kind, "otp");
    assert_str(payload.to, "ada@x");
    assert_str(payload.message_id, "<1@x>");
    assert_int_equal(payload.var_count, 2);
    assert_str(payload.vars[0].name, "b");
    assert_str(payload.vars[0].value, "");
    assert_str(payload.vars[1].name, "a");
    assert_str(payload.vars[1].value, "Å\n\"");
    fb_mail_payload_release(&payload);
    assert_ok(fb_mail_payload_read(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\"}"), &payload, &error));
    assert_int_equal(payload.var_count, 0);
    assert_int_equal(payload.message_id.len, 0);
    fb_mail_payload_release(&payload);
    fb_mail_payload_release(&payload);
}

static void refused(fb_str text, int result, const char *why) {
    fb_mail_payload payload;
    fb_error error = {0};

    assert_result(fb_mail_payload_read(text, &payload, &error), result);
    assert_string_equal(error.text, why);
    assert_null(payload.owned);
    fb_buf out = {0};
    assert_result(fb_mail_payload_show(text, &out), FB_ESYNTAX);
    assert_int_equal(out.len, 0);
    fb_buf_release(&out);
}

#define NOT_JSON "not JSON, or something in it is there twice"
#define MEMBERS "expected kind, to, vars and message_id alone"

static void test_mail_payload__strictly(void **state) {
    refused(FB_STR(""), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\""), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\"}x"), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("{\"kind\":\"otp\",\"kind\":\"otp\",\"to\":\"a@x\"}"), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":{\"a\":\"\",\"a\":\"\"}}"),
            FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("{\"kind\":\"o\xff\",\"to\":\"a@x\"}"), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("{\"kind\":\"o\\u0000\",\"to\":\"a@x\"}"), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("\"otp\""), FB_ESYNTAX, NOT_JSON);
    refused(FB_STR("[]"), FB_ESYNTAX, "the payload of a mail is a JSON object");
    refused(FB_STR("{}"), FB_ESYNTAX, "expected \"kind\" and \"to\"");
    refused(FB_STR("{\"kind\":\"otp\"}"), FB_ESYNTAX, "expected \"kind\" and \"to\"");
    refused(FB_STR("{\"to\":\"a@x\",\"vars\":{}}"), FB_ESYNTAX, "expected \"kind\" and \"to\"");
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"var\":{}}"), FB_ESYNTAX, MEMBERS);
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"Vars\":{}}"), FB_ESYNTAX, MEMBERS);
    refused(FB_STR("{\"kind\":1,\"to\":\"a@x\"}"), FB_ESYNTAX,
            "kind, to and message_id are strings");
    refused(FB_STR("{\"kind\":\"otp\",\"to\":[\"a@x\"]}"), FB_ESYNTAX,
            "kind, to and message_id are strings");
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"message_id\":null}"), FB_ESYNTAX,
            "kind, to and message_id are strings");
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":[]}"), FB_ESYNTAX,
            "\"vars\" is not an object");
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":{\"code\":42137}}"), FB_ESYNTAX,
            "variable \"code\" is not a string");
    refused(FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":{\"a b\":\"\"}}"), FB_ESYNTAX,
            "a variable has a name that is none");
}

static void test_mail_payload__at_most_64_variables(void **state) {
    fb_buf text = {0};
    fb_mail_payload payload;

    assert_ok(fb_buf_append(&text, FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":{\"x\":\"\"")));
    for (int i = 0; i < 63; i++) {
        assert_ok(fb_buf_printf(&text, ",\"x%d\":\"\"", i));
    }
    size_t len = text.len;
    assert_ok(fb_buf_append(&text, FB_STR("}}")));
    assert_ok(fb_mail_payload_read(fb_buf_str(&text), &payload, NULL));
    assert_int_equal(payload.var_count, 64);
    fb_mail_payload_release(&payload);
    text.len = len;
    assert_ok(fb_buf_append(&text, FB_STR(",\"y\":\"\"}}")));
    refused(fb_buf_str(&text), FB_ETOOBIG, "more than 64 variables");
    fb_buf_release(&text);
}

static void test_mail_payload__errors_repeat_nothing_of_it(void **state) {
    fb_mail_payload payload;
    fb_error error = {0};

    assert_result(fb_mail_payload_read(FB_STR("{\"kind\":\"otp\",\n\"vars\":{\"code\":\"042137\" x"),
                                       &payload, &error), FB_ESYNTAX);
    assert_string_equal(error.text, NOT_JSON);
    assert_int_equal(error.line, 2);
}

static void test_mail_payload__secrets_are_not_shown(void **state) {
    static const char *const hidden[] = {"code", "link", "token", "secret", "password", "sms_code",
                                         "login_link", "my_token", "a_secret", "CODE", "Sms_Code",
                                         "_code", "old_password"};
    static const char *const shown[] = {"name", "minutes", "barcode", "linked", "code_2", "tokens",
                                        "codes", "product", "ode", "a"};
    fb_buf out = {0};

    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        assert_true(fb_mail_is_secret(fb_str_of(hidden[i])));
    }
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
        assert_false(fb_mail_is_secret(fb_str_of(shown[i])));
    }
    assert_ok(fb_mail_payload_show(
        FB_STR("{\"to\":\"a@x\",\"kind\":\"otp\",\"vars\":{\"code\":\"042137\",\"name\":\"Ada\","
               "\"reset_link\":\"https://x/?t=1\",\"token\":\"\"},\"message_id\":\"<1@x>\"}"), &out));
    assert_str(fb_buf_str(&out), "{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":{\"code\":\"***\","
                                 "\"name\":\"Ada\",\"reset_link\":\"***\",\"token\":\"***\"},"
                                 "\"message_id\":\"<1@x>\"}");
    fb_buf_release(&out);
}

static void random_string(fb_rng *rng, char *text, size_t max, fb_str *str) {
    static const char *const pieces[] = {"a", "\"", "\\", "\n", "\x01", "é", "😀", "/", "\x7f", "u0000"};
    size_t len = 0;

    for (uint64_t left = fb_rng_below(rng, max / 8); left > 0; left--) {
        const char *piece = pieces[fb_rng_below(rng, sizeof(pieces) / sizeof(pieces[0]))];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    *str = fb_str_make(text, len);
}

static void test_mail_payload__what_was_written_is_what_is_read(void **state) {
    fb_rng rng = test_rng();

    for (size_t round = 0; round < 20000; round++) {
        char text[8][64];
        fb_mail_var vars[4] = {{.name = FB_STR("a")}, {.name = FB_STR("b")}, {.name = FB_STR("c")},
                               {.name = FB_STR("d")}};
        fb_mail_payload written = {.vars = vars, .var_count = fb_rng_below(&rng, 5)}, read;
        random_string(&rng, text[0], sizeof text[0], &written.kind);
        random_string(&rng, text[1], sizeof text[1], &written.to);
        random_string(&rng, text[2], sizeof text[2], &written.message_id);
        for (size_t i = 0; i < 4; i++) {
            random_string(&rng, text[3 + i], sizeof text[0], &vars[i].value);
        }
        fb_buf out = {0};
        assert_ok(fb_mail_payload_write(&written, &out, NULL));
        assert_ok(fb_mail_payload_read(fb_buf_str(&out), &read, NULL));
        assert_bytes(read.kind, written.kind);
        assert_bytes(read.to, written.to);
        assert_bytes(read.message_id, written.message_id);
        assert_int_equal(read.var_count, written.var_count);
        for (size_t i = 0; i < read.var_count; i++) {
            assert_bytes(read.vars[i].name, vars[i].name);
            assert_bytes(read.vars[i].value, vars[i].value);
        }
        fb_mail_payload_release(&read);
        fb_buf_release(&out);
    }
}

static void test_mail_payload__memory_may_run_out_anywhere(void **state) {
    fb_mail_var vars[] = {{FB_STR("code"), FB_STR("042137 and something longer than the buffer is")},
                          {FB_STR("name"), FB_STR("Ada\nAda\nAda\nAda\nAda\nAda\nAda\nAda\nAda\nAda")}};
    fb_mail_payload payload = {.kind = FB_STR("otp"), .to = FB_STR("Ada <ada@x>"), .vars = vars,
                               .var_count = 2, .message_id = FB_STR("<1@x>")};
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        fb_buf out = {0}, shown = {0};
        fb_mail_payload read = {0};
        long live = test_memory_get()->live;
        test_memory_fail(n);
        int result = fb_mail_payload_write(&payload, &out, NULL);
        assert_true(result == FB_OK || out.len == 0);
        result = result == FB_OK ? fb_mail_payload_read(fb_buf_str(&out), &read, NULL) : result;
        result = result == FB_OK ? fb_mail_payload_show(fb_buf_str(&out), &shown) : result;
        failed = test_memory_get()->failed;
        test_memory_fail(0);
        assert_result(result, failed ? FB_ENOMEM : FB_OK);
        assert_true(!failed || shown.len == 0);
        fb_mail_payload_release(&read);
        fb_buf_release(&out);
        fb_buf_release(&shown);
        assert_int_equal(test_memory_get()->live, live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_payload__there),
        cmocka_unit_test(test_mail_payload__what_is_no_text_is_not_written),
        cmocka_unit_test(test_mail_payload__and_back),
        cmocka_unit_test(test_mail_payload__strictly),
        cmocka_unit_test(test_mail_payload__at_most_64_variables),
        cmocka_unit_test(test_mail_payload__errors_repeat_nothing_of_it),
        cmocka_unit_test(test_mail_payload__secrets_are_not_shown),
        cmocka_unit_test(test_mail_payload__what_was_written_is_what_is_read),
        cmocka_unit_test(test_mail_payload__memory_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
