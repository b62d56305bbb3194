// Templates: what is written for what, and what is refused where.

#include "support.h"

#include "base/buf.h"
#include "mail/template.h"

static const fb_mail_var vars[] = {
    {FB_STR_INIT("name"), FB_STR_INIT("Ada")},
    {FB_STR_INIT("empty"), FB_STR_INIT("")},
    {FB_STR_INIT("markup"), FB_STR_INIT("<a href=\"x\">'Q' & A</a>")},
    {FB_STR_INIT("tags"), FB_STR_INIT("{{name}} {{{name}}} {{#x}}")},
    {FB_STR_INIT("lines"), FB_STR_INIT("one\ntwo")},
};
enum { VAR_COUNT = sizeof(vars) / sizeof(vars[0]) };

static fb_template *compiled(const char *text, bool html) {
    fb_template *template_ = NULL;
    fb_error error = {0};

    assert_result(fb_template_new(fb_str_of(text), "t", html, &template_, &error), FB_OK);
    return template_;
}

static void expect(const char *text, bool html, const char *expected) {
    fb_template *template_ = compiled(text, html);
    fb_buf out = {0};
    fb_error error = {0};

    assert_ok(fb_buf_append(&out, FB_STR("before|")));
    int result = fb_template_render(template_, vars, VAR_COUNT, &out, &error);
    assert_string_equal(error.text, "");
    assert_ok(result);
    assert_str(fb_str_make(out.ptr + 7, out.len - 7), expected);
    fb_buf_release(&out);
    fb_template_free(template_);
}

static void renders(const char *text, const char *expected) {
    expect(text, false, expected);
}

static void refused_bytes(fb_str text, int result, uint32_t line, uint32_t column, const char *why) {
    fb_template *template_ = NULL;
    fb_error error = {0};

    assert_result(fb_template_new(text, "dir/otp.txt", false, &template_, &error), result);
    assert_null(template_);
    assert_string_equal(error.text, why);
    assert_string_equal(error.file, "dir/otp.txt");
    assert_int_equal(error.line, line);
    assert_int_equal(error.column, column);
}

static void refused(const char *text, uint32_t line, uint32_t column, const char *why) {
    refused_bytes(fb_str_of(text), FB_ESYNTAX, line, column, why);
}

static void test_mail_template__text_is_as_it_stands(void **state) {
    renders("", "");
    renders("a\n  b\t{ } }} {\n", "a\n  b\t{ } }} {\n");
    renders("a\r\nb\r\n", "a\nb\n");
    renders("\xef\xbb\xbf" "a", "a");
    renders("Ødegård 日本", "Ødegård 日本");
}

static void test_mail_template__variables_stand_for_their_values(void **state) {
    renders("Hello {{name}}, {{ name }}!", "Hello Ada, Ada!");
    renders("{{name}}{{name}}", "AdaAda");
    renders("<{{empty}}>", "<>");
    renders("{ {{name}} }", "{ Ada }");
    renders("{{lines}}", "one\ntwo");
}

static void test_mail_template__html_escapes_but_where_it_is_told_not_to(void **state) {
    const char *escaped = "&lt;a href=&quot;x&quot;&gt;&#39;Q&#39; &amp; A&lt;/a&gt;";

    expect("{{markup}}", true, escaped);
    expect("{{{markup}}}", true, "<a href=\"x\">'Q' & A</a>");
    expect("{{{ markup }}}", true, "<a href=\"x\">'Q' & A</a>");
    expect("<b>{{name}}</b>", true, "<b>Ada</b>");
    renders("{{markup}}", "<a href=\"x\">'Q' & A</a>");
    renders("{{{markup}}}", "<a href=\"x\">'Q' & A</a>");
}

static void test_mail_template__values_are_never_read_as_templates(void **state) {
    renders("{{tags}}", "{{name}} {{{name}}} {{#x}}");
}

static void test_mail_template__conditions(void **state) {
    renders("{{#name}}Hello {{name}},{{/name}}{{^name}}Hello,{{/name}}", "Hello Ada,");
    renders("{{#other}}Hello {{other}},{{/other}}{{^other}}Hello,{{/other}}", "Hello,");
    renders("{{#empty}}a{{/empty}}{{^empty}}b{{/empty}}", "b");
    renders("{{#name}}1{{#empty}}2{{#name}}3{{/name}}{{/empty}}4{{^empty}}5{{/empty}}{{/name}}6",
            "1456");
    renders("{{^name}}{{#name}}x{{/name}}{{missing}}{{/name}}.", ".");
    renders("{{#name}}{{/name}}.", ".");
}

static void test_mail_template__comments(void **state) {
    renders("a{{! nothing }}b{{!}}c{{! two\nlines }}d", "abcd");
    renders("{{! {{name} }}b", "b");
}

static void test_mail_template__a_line_for_a_condition_or_a_comment_leaves_none(void **state) {
    renders("a\n{{#name}}\nb\n{{/name}}\nc\n", "a\nb\nc\n");
    renders("a\n  {{#name}}  \n  b\n\t{{/name}}\t\nc", "a\n  b\nc");
    renders("a\n{{#other}}\nb\n{{/other}}\nc\n", "a\nc\n");
    renders("{{! first }}\na\n{{! middle\n of two lines }}\nb\n{{! last }}", "a\nb\n");
    renders("{{#name}}\n{{#name}}\na\n{{/name}}\n{{/name}}\n", "a\n");
    renders("  {{! a }}\n  {{^name}}\n{{/name}}\nb", "b");
    renders("a\r\n{{#name}}\r\nb\r\n{{/name}}\r\n", "a\nb\n");
}

static void test_mail_template__a_line_that_has_more_is_kept(void **state) {
    renders("{{#name}}{{#name}}\na{{/name}} {{/name}}\n", "\na \n");
    renders("a {{! b }}\nc", "a \nc");
    renders("{{! b }} a\n", " a\n");
    renders("{{name}}\n{{empty}}\nb", "Ada\n\nb");
    renders(" {{{name}}}\n", " Ada\n");
}

static void test_mail_template__what_is_no_template(void **state) {
    refused("a\nb {{name", 2, 3, "a tag that is not closed: expected }}");
    refused("{{{name}}", 1, 1, "a tag that is not closed: expected }}}");
    refused("{{", 1, 1, "a tag that is not closed: expected }}");
    refused("{{!", 1, 1, "a tag that is not closed: expected }}");
    refused("{{}}", 1, 1, "a tag without a name");
    refused("x{{ # }}", 1, 2, "expected the name of a variable: letters, digits, _");
    refused("{{#}}", 1, 1, "a tag without a name");
    refused("{{first name}}", 1, 1, "expected the name of a variable: letters, digits, _");
    refused("{{1st}}", 1, 1, "expected the name of a variable: letters, digits, _");
    refused("{{å}}", 1, 1, "expected the name of a variable: letters, digits, _");
    refused("{{a.b}}", 1, 1, "expected the name of a variable: letters, digits, _");
    refused("a{{#b}}c", 1, 2, "{{#b}} is not closed");
    refused("a{{^b}}\n{{#c}}{{/c}}", 1, 2, "{{^b}} is not closed");
    refused("{{/b}}", 1, 1, "{{/b}} closes nothing");
    refused("{{#a}}\n{{#b}}\n{{/a}}", 3, 1, "{{/a}}, but it is b, of line 2, that is open");
    refused("{{>header}}", 1, 1, "there are no partials: {{>");
    refused("{{=<% %>=}}", 1, 1, "braces cannot be changed: {{=");
    refused("{{&name}}", 1, 1, "expected {{{name}}}, not {{&name}}");
}

static void test_mail_template__bytes_that_no_mail_may_have(void **state) {
    for (int byte = 0; byte < 0x20; byte++) {
        char text[] = "a\nbc d";
        text[3] = (char)byte;
        if (byte != '\n' && byte != '\t') {
            refused_bytes(fb_str_make(text, sizeof text - 1), FB_ESYNTAX, 2, 2,
                          "a control character");
        }
    }
    refused("\x7f", 1, 1, "a control character");
    refused("a\rb", 1, 2, "a control character");
    refused("a\r", 1, 2, "a control character");
    refused("a\xff", 1, 2, "this is not UTF-8");
    refused("\xc3", 1, 1, "this is not UTF-8");
}

static void test_mail_template__how_large_and_how_deep(void **state) {
    char deep[33 * 12 + 1] = "";
    fb_template *template_ = NULL;

    for (int i = 0; i < 32; i++) {
        strcat(deep, "{{#a}}");
    }
    for (int i = 0; i < 32; i++) {
        strcat(deep, "{{/a}}");
    }
    renders(deep, "");
    deep[32 * 6] = '\0';
    strcat(deep, "{{^b}}");
    refused_bytes(fb_str_of(deep), FB_ETOOBIG, 1, 32 * 6 + 1,
                  "more than 32 conditions within each other");

    char *large = malloc((1 << 20) + 1);
    memset(large, 'a', (1 << 20) + 1);
    assert_ok(fb_template_new(fb_str_make(large, 1 << 20), "t", false, &template_, NULL));
    fb_template_free(template_);
    fb_error error = {0};
    assert_result(fb_template_new(fb_str_make(large, (1 << 20) + 1), "t", false, &template_,
                                  &error), FB_ETOOBIG);
    assert_string_equal(error.text, "a template of more than 1048576 bytes");
    free(large);
}

static void fails(const char *text, const fb_mail_var *given, size_t count, int result,
                  const char *why) {
    fb_template *template_ = compiled(text, false);
    fb_buf out = {0};
    fb_error error = {0};

    assert_ok(fb_buf_append(&out, FB_STR("before")));
    assert_result(fb_template_render(template_, given, count, &out, &error), result);
    assert_string_equal(error.text, why);
    assert_str(fb_buf_str(&out), "before");
    fb_buf_release(&out);
    fb_template_free(template_);
}

static void test_mail_template__a_variable_that_is_missing_is_said_with_its_place(void **state) {
    fb_template *template_ = compiled("a {{name}}\n {{other}}", false);
    fb_buf out = {0};
    fb_error error = {0};

    assert_result(fb_template_render(template_, vars, VAR_COUNT, &out, &error), FB_EINVAL);
    assert_string_equal(error.text, "variable \"other\" is missing");
    assert_string_equal(error.file, "t");
    assert_int_equal(error.line, 2);
    assert_int_equal(error.column, 2);
    assert_int_equal(out.len, 0);
    fb_buf_release(&out);
    fb_template_free(template_);
    fails("{{#name}}{{{other}}}{{/name}}", vars, VAR_COUNT, FB_EINVAL,
          "variable \"other\" is missing");
    fails("{{x}}", NULL, 0, FB_EINVAL, "variable \"x\" is missing");
}

static void test_mail_template__bytes_that_no_value_may_have(void **state) {
    for (int byte = 0; byte < 0x100; byte++) {
        char value[] = "ab ";
        value[2] = (char)byte;
        fb_mail_var var = {FB_STR("x"), fb_str_make(value, 3)};
        if (byte == '\n' || (byte >= 0x20 && byte < 0x7f)) {
            continue;
        }
        const char *why = byte >= 0x80  ? "variable \"x\" has bytes that are not UTF-8 at byte 3"
                          : byte == '\r' ? "variable \"x\" has a carriage return at byte 3"
                                         : "variable \"x\" has a control character at byte 3";
        fails("{{x}}", &var, 1, FB_EINVAL, why);
        fails("not used", &var, 1, FB_EINVAL, why);
        fails("{{^x}}{{/x}}", &var, 1, FB_EINVAL, why);
    }
    fb_mail_var odd = {FB_STR("\r\nx"), FB_STR("\x01")};
    fails("", &odd, 1, FB_EINVAL, "variable \"?\" has a control character at byte 1");
}

static void test_mail_template__how_much_may_come_of_it(void **state) {
    char *value = malloc(FB_MAIL_VALUE_MAX + 1);
    char text[6 * 70 + 1] = "";
    fb_mail_var var = {FB_STR("x"), fb_str_make(value, FB_MAIL_VALUE_MAX)};

    memset(value, 'a', FB_MAIL_VALUE_MAX + 1);
    for (int i = 0; i < 64; i++) {
        strcat(text, "{{x}}");
    }
    fb_template *template_ = compiled(text, false);
    fb_buf out = {0};
    assert_ok(fb_template_render(template_, &var, 1, &out, NULL));
    assert_int_equal(out.len, 4 << 20);
    fb_buf_release(&out);
    fb_template_free(template_);
    strcat(text, "{{x}}");
    fails(text, &var, 1, FB_ETOOBIG, "t: more than 4194304 bytes come of it");
    var.value.len++;
    fails("", &var, 1, FB_ETOOBIG, "variable \"x\" has more than 65536 bytes");
    free(value);
}

typedef struct named {
    char text[256];
} named;

static void note(void *arg, fb_str name, bool needed) {
    named *list = arg;
    size_t len = strlen(list->text);

    (void)snprintf(list->text + len, sizeof list->text - len, "%.*s%s ", FB_STR_ARG(name),
                   needed ? "!" : "");
}

static void test_mail_template__which_variables_it_names(void **state) {
    fb_template *template_ = compiled("{{a}}{{#b}}{{b}}{{{c}}}{{/b}}{{{d}}}{{^e}}{{/e}}{{!f}}{{a}}",
                                      true);
    named list = {""};

    fb_template_vars(template_, note, &list);
    assert_string_equal(list.text, "a! b b c d! e a! ");
    fb_template_free(template_);
}

static void test_mail_template__names(void **state) {
    char name[66];

    memset(name, 'a', sizeof name);
    assert_true(fb_template_is_name(fb_str_make(name, 64)));
    assert_false(fb_template_is_name(fb_str_make(name, 65)));
    assert_true(fb_template_is_name(FB_STR("_a1Z")));
    assert_false(fb_template_is_name(FB_STR("")));
    assert_false(fb_template_is_name(FB_STR("1a")));
    assert_false(fb_template_is_name(FB_STR("a-b")));
    assert_false(fb_template_is_name(FB_STR("a\n")));
}

// An oracle of another making: conditions by recursion, straight from the source.
static size_t slow(const char *text, size_t at, bool show, fb_buf *out) {
    while (text[at] != '\0') {
        if (strncmp(text + at, "{{", 2) != 0) {
            if (show) {
                assert_ok(fb_buf_byte(out, text[at]));
            }
            at++;
            continue;
        }
        char sign = text[at + 2], name[2] = {text[at + 3], '\0'};
        if (sign == '/') {
            return at + 6;
        }
        bool there = strchr("abc", name[0]) != NULL;
        if (sign == '#' || sign == '^') {
            at = slow(text, at + 6, show && there == (sign == '#'), out);
        } else {
            if (show && there) {
                assert_ok(fb_buf_append(out, fb_str_of(name)));
            }
            at += 6;
        }
    }
    return at;
}

static void grow(fb_rng *rng, fb_buf *text, int depth) {
    for (uint64_t count = fb_rng_below(rng, 6); count > 0; count--) {
        char name = "abcdef"[fb_rng_below(rng, 6)];
        switch (fb_rng_below(rng, 3)) {
            case 0:
                assert_ok(fb_buf_printf(text, "%c", 'x'));
                break;
            case 1:
                assert_ok(fb_buf_printf(text, "{{ %c}}", "abc"[fb_rng_below(rng, 3)]));
                break;
            default:
                if (depth < 6) {
                    assert_ok(fb_buf_printf(text, "{{%c%c}}", "#^"[fb_rng_below(rng, 2)], name));
                    grow(rng, text, depth + 1);
                    assert_ok(fb_buf_printf(text, "{{/%c}}", name));
                }
                break;
        }
    }
}

static void test_mail_template__random_ones_mean_what_they_say(void **state) {
    static const fb_mail_var given[] = {{FB_STR_INIT("a"), FB_STR_INIT("a")},
                                        {FB_STR_INIT("b"), FB_STR_INIT("b")},
                                        {FB_STR_INIT("c"), FB_STR_INIT("c")}};
    fb_rng rng = test_rng();

    for (size_t round = 0; round < 20000; round++) {
        fb_buf text = {0}, expected = {0}, out = {0};
        assert_ok(fb_buf_byte(&text, '.'));  // no line is a tag's alone
        grow(&rng, &text, 0);
        assert_ok(fb_buf_append(&text, FB_STR(".\0")));
        (void)slow(text.ptr, 0, true, &expected);
        fb_template *template_ = compiled(text.ptr, false);
        assert_ok(fb_template_render(template_, given, 3, &out, NULL));
        assert_bytes(fb_buf_str(&out), fb_buf_str(&expected));
        fb_template_free(template_);
        fb_buf_release(&text);
        fb_buf_release(&expected);
        fb_buf_release(&out);
    }
}

static void test_mail_template__memory_may_run_out_anywhere(void **state) {
    const char *text = "{{#a}}x{{a}}{{/a}}{{^a}}y{{/a}}zzzzz{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}"
                       "{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}";
    fb_mail_var var = {FB_STR("a"), FB_STR("<a quite long value that the buffer grows by>")};
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        fb_template *template_ = NULL;
        fb_buf out = {0};
        fb_error error = {0};
        long live = test_memory_get()->live;
        test_memory_fail(n);
        int result = fb_template_new(fb_str_of(text), "t", true, &template_, &error);
        if (result == FB_OK) {
            result = fb_template_render(template_, &var, 1, &out, &error);
        }
        failed = test_memory_get()->failed;
        test_memory_fail(0);
        assert_result(result, failed ? FB_ENOMEM : FB_OK);
        assert_int_equal(error.code, result);
        assert_true(!failed || out.len == 0);
        fb_buf_release(&out);
        fb_template_free(template_);
        assert_int_equal(test_memory_get()->live, live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_template__text_is_as_it_stands),
        cmocka_unit_test(test_mail_template__variables_stand_for_their_values),
        cmocka_unit_test(test_mail_template__html_escapes_but_where_it_is_told_not_to),
        cmocka_unit_test(test_mail_template__values_are_never_read_as_templates),
        cmocka_unit_test(test_mail_template__conditions),
        cmocka_unit_test(test_mail_template__comments),
        cmocka_unit_test(
            test_mail_template__a_line_for_a_condition_or_a_comment_leaves_none),
        cmocka_unit_test(test_mail_template__a_line_that_has_more_is_kept),
        cmocka_unit_test(test_mail_template__what_is_no_template),
        cmocka_unit_test(test_mail_template__bytes_that_no_mail_may_have),
        cmocka_unit_test(test_mail_template__how_large_and_how_deep),
        cmocka_unit_test(
            test_mail_template__a_variable_that_is_missing_is_said_with_its_place),
        cmocka_unit_test(test_mail_template__bytes_that_no_value_may_have),
        cmocka_unit_test(test_mail_template__how_much_may_come_of_it),
        cmocka_unit_test(test_mail_template__which_variables_it_names),
        cmocka_unit_test(test_mail_template__names),
        cmocka_unit_test(test_mail_template__random_ones_mean_what_they_say),
        cmocka_unit_test(test_mail_template__memory_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
