// Each rule of mails is taken out, and what it is there for goes wrong.

#include "base/buf.h"
#include "base/rule.h"
#include "base/utf8.h"
#include "mail/message.h"
#include "mail/outcome.h"
#include "mail/payload.h"
#include "mail/template.h"
#include "mail_reader.h"
#include "support.h"

static fb_buf written(const char *subject, fb_str text, fb_str html) {
    static fb_address address;
    fb_buf out = {0};

    assert_ok(fb_address_parse(FB_STR("ada@example.org"), &address, NULL));
    fb_message message = {.from = &address, .to = &address, .subject = fb_str_of(subject),
                          .message_id = FB_STR("<a@b>"), .text = text, .html = html, .seed = 1};
    if (fb_message_write(&message, &out, NULL) != FB_OK) {
        assert_int_equal(out.len, 0);
    }
    return out;
}

static size_t count(fb_str text, fb_str word) {
    size_t found = 0;

    for (size_t at = 0; (at = mail_read_find(text, word)) < text.len; found++) {
        text = mail_read_rest(text, at + word.len);
    }
    return found;
}

// Of the boundary that a part tries to hold.
static bool boundary_is_safe(void) {
    fb_buf first = written("", FB_STR("a\n"), FB_STR("b\n"));
    size_t at = mail_read_find(fb_buf_str(&first), FB_STR("=_"));
    fb_str boundary = {first.ptr + at, 34};
    fb_buf forged = written("", FB_STR("a\n"), boundary);
    size_t times = count(fb_buf_str(&forged), boundary);

    fb_buf_release(&first);
    fb_buf_release(&forged);
    return times == 1;
}

static bool words_are_whole(void) {
    fb_buf out = written("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀", FB_STR("a\n"), FB_STR(""));
    fb_str whole = fb_buf_str(&out);
    fb_buf word = {0};
    size_t at = mail_read_find(whole, FB_STR("=?UTF-8?B?"));

    MAIL_READ_ENSURE(at < whole.len);
    size_t start = at + 10;
    size_t len = mail_read_find(mail_read_rest(whole, start), FB_STR("?="));

    mail_read_base64(fb_str_make(whole.ptr + start, len), &word);
    bool valid = fb_utf8_valid(fb_buf_str(&word));
    fb_buf_release(&word);
    fb_buf_release(&out);
    return valid;
}

static bool lookalikes_are_encoded(void) {
    fb_buf out = written("=?UTF-8?Q?a?=", FB_STR("a\n"), FB_STR(""));
    bool encoded = count(fb_buf_str(&out), FB_STR("=?UTF-8?Q?a?=")) == 0;

    fb_buf_release(&out);
    return encoded;
}

static bool headers_are_ours(void) {
    fb_buf out = written("a\r\nBcc: b@c", FB_STR("a\n"), FB_STR(""));
    bool ours = count(fb_buf_str(&out), FB_STR("\r\nBcc:")) == 0;

    fb_buf_release(&out);
    return ours;
}

static bool html_is_escaped(void) {
    fb_template *compiled = NULL;
    fb_mail_var var = {FB_STR("a"), FB_STR("<script>")};
    fb_buf out = {0};

    assert_ok(fb_template_new(FB_STR("{{a}}"), "t", true, &compiled, NULL));
    assert_ok(fb_template_render(compiled, &var, 1, &out, NULL));
    bool escaped = fb_str_find(fb_buf_str(&out), '<') == out.len;
    fb_template_free(compiled);
    fb_buf_release(&out);
    return escaped;
}

static bool secrets_are_hidden(void) {
    fb_buf out = {0};

    assert_ok(fb_mail_payload_show(
        FB_STR("{\"kind\":\"otp\",\"to\":\"a@x\",\"vars\":{\"code\":\"042137\"}}"), &out));
    bool hidden = count(fb_buf_str(&out), FB_STR("042137")) == 0;
    fb_buf_release(&out);
    return hidden;
}

static bool a_refusing_relay_suppresses_nobody(void) {
    fb_smtp_result result = {.phase = FB_SMTP_RCPT, .code = 550, .text = "relay not permitted"};

    return fb_mail_fate_of(&result) == FB_MAIL_REFUSED;
}

static bool silence_after_the_dot_is_ambiguous(void) {
    fb_smtp_result result = {.phase = FB_SMTP_DOT};

    return fb_mail_fate_of(&result) == FB_MAIL_AMBIGUOUS;
}

static void test_mail_rules__each_is_needed(void **state) {
    static const struct {
        const char *rule;
        bool (*holds)(void);
    } rules[] = {
        {"mail_boundary", boundary_is_safe},
        {"mail_whole_characters", words_are_whole},
        {"mail_lookalike", lookalikes_are_encoded},
        {"mail_control", headers_are_ours},
        {"mail_escape", html_is_escaped},
        {"mail_secret", secrets_are_hidden},
        {"mail_speaks_of_us", a_refusing_relay_suppresses_nobody},
        {"mail_ambiguous", silence_after_the_dot_is_ambiguous},
    };

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        assert_true(rules[i].holds());
        fb_rule_without(rules[i].rule);
        bool holds = rules[i].holds();
        fb_rule_without(NULL);
        if (holds) {
            fail_msg("without %s nothing went wrong", rules[i].rule);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_rules__each_is_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
