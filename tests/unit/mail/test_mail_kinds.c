// Kinds: those that are built in, byte for byte (tests/unit/mail/messages), those of one's own, and what
// is said of what is wrong. With FB_TEST_WRITE set the messages are written instead of compared.

#include "support.h"

#include "base/buf.h"
#include "mail/kinds.h"
#include "mail_reader.h"

#define DATE_MS INT64_C(1795132805123)  // Fri, 20 Nov 2026 00:00:05.123

static fb_mail_draft draft_of(const char *kind, const fb_mail_var *vars, size_t var_count) {
    return (fb_mail_draft){.kind = fb_str_of(kind),
                           .from = FB_STR("Grain & Co. <no-reply@example.org>"),
                           .to = FB_STR("\"Ada, Countess\" <Ada@Example.org>"),
                           .product = FB_STR("Grain"),
                           .vars = vars,
                           .var_count = var_count,
                           .message_id = FB_STR("<1@example.org>"),
                           .date_ms = DATE_MS,
                           .seed = 1};
}

static fb_kinds *catalogue(void) {
    fb_kinds *kinds = NULL;

    assert_ok(fb_kinds_new(&kinds));
    return kinds;
}

static void add(fb_kinds *kinds, const char *file, const char *text) {
    char path[128];
    fb_error error = {0};

    (void)snprintf(path, sizeof path, "dir/%s", file);
    int result = fb_kinds_add(kinds, fb_str_of(file), fb_str_of(text), path, &error);
    assert_string_equal(error.text, "");
    assert_ok(result);
}

static fb_buf rendered(const fb_kinds *kinds, const fb_mail_draft *draft) {
    fb_buf out = {0};
    fb_error error = {0};

    int result = fb_mail_render(kinds, draft, &out, &error);
    assert_string_equal(error.text, "");
    assert_ok(result);
    return out;
}

// ---- those that are built in

static void compare(const char *kind, fb_str message) {
    char path[128];

    (void)snprintf(path, sizeof path, "tests/unit/mail/messages/%s.eml", kind);
    if (getenv("FB_TEST_WRITE") != NULL) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(message.ptr, 1, message.len, file), message.len);
        assert_int_equal(fclose(file), 0);
        return;
    }
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char expected[65536];
    size_t len = fread(expected, 1, sizeof expected, file);
    assert_int_equal(fclose(file), 0);
    assert_bytes(message, fb_str_make(expected, len));
}

static const fb_mail_var usual[] = {
    {FB_STR_INIT("code"), FB_STR_INIT("042137")},
    {FB_STR_INIT("minutes"), FB_STR_INIT("10")},
    {FB_STR_INIT("link"), FB_STR_INIT("https://example.org/in?token=aB3-_x&next=%2Fhome")},
    {FB_STR_INIT("name"), FB_STR_INIT("Åse <Ødegård>")},
    {FB_STR_INIT("email"), FB_STR_INIT("new@example.org")},
};
static const char *const builtin[] = {"approved", "magic_link", "otp", "registration"};

static void test_mail_kinds__those_built_in_are_as_they_were_read_over(void **state) {
    fb_kinds *kinds = catalogue();

    for (size_t i = 0; i < 4; i++) {
        fb_mail_draft draft = draft_of(builtin[i], usual, 5);
        draft.reply_to = FB_STR("Hélène <help@example.org>");
        fb_buf out = rendered(kinds, &draft);
        compare(builtin[i], fb_buf_str(&out));
        fb_buf_release(&out);
    }
    fb_kinds_free(kinds);
}

static void test_mail_kinds__those_built_in_say_the_same_in_both_parts(void **state) {
    fb_kinds *kinds = catalogue();

    for (size_t i = 0; i < 4; i++) {
        fb_mail_draft draft = draft_of(builtin[i], usual, 5);
        fb_buf out = rendered(kinds, &draft);
        mail_read mail = {0};
        mail_read_parse(&mail, fb_buf_str(&out));
        assert_str(fb_buf_str(&mail.to_name), "Ada, Countess");
        assert_str(fb_buf_str(&mail.to_spec), "Ada@example.org");
        assert_str(fb_buf_str(&mail.auto_submitted), "auto-generated");
        assert_true(mail_read_find(fb_buf_str(&mail.subject), FB_STR("Grain")) < mail.subject.len);
        fb_str text = fb_buf_str(&mail.text), html = fb_buf_str(&mail.html);
        fb_str secret = i == 2 ? FB_STR("042137") : usual[2].value;
        assert_true(mail_read_find(text, secret) < text.len);
        fb_str escaped = i == 2 ? FB_STR("042137") : FB_STR("x&amp;next=%2Fhome\"");
        assert_true(mail_read_find(html, escaped) < html.len);
        assert_true(mail_read_find(html, FB_STR("Åse <")) == html.len);
        assert_true(mail_read_find(text, FB_STR("{{")) == text.len);
        assert_true(mail_read_find(html, FB_STR("{{")) == html.len);
        mail_read_release(&mail);
        fb_buf_release(&out);
    }
    fb_kinds_free(kinds);
}

static void test_mail_kinds__those_built_in_do_with_little(void **state) {
    static const struct {
        const char *kind, *text;
        fb_mail_var var;
    } cases[] = {
        {"otp",
         "Your code for Grain is\n\n    1\n\n"
         "If you did not ask for it, somebody may have typed your address by mistake:\n"
         "you need not do anything. Give the code to nobody.\n",
         {FB_STR_INIT("code"), FB_STR_INIT("1")}},
        {"approved", "Your account with Grain has been approved.\n",
         {FB_STR_INIT("name"), FB_STR_INIT("")}},
        {"registration", "Somebody has registered with Grain.\n\n",
         {FB_STR_INIT("name"), FB_STR_INIT("")}},
    };
    fb_kinds *kinds = catalogue();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_mail_draft draft = draft_of(cases[i].kind, &cases[i].var, 1);
        fb_buf out = rendered(kinds, &draft);
        mail_read mail = {0};
        mail_read_parse(&mail, fb_buf_str(&out));
        assert_str(fb_buf_str(&mail.text), cases[i].text);
        mail_read_release(&mail);
        fb_buf_release(&out);
    }
    fb_kinds_free(kinds);
}

// ---- what there is

typedef struct named {
    char text[256];
} named;

static void note(void *arg, fb_str name, bool needed) {
    named *list = arg;
    size_t len = strlen(list->text);

    (void)snprintf(list->text + len, sizeof list->text - len, "%.*s%s ", FB_STR_ARG(name),
                   needed ? "!" : "");
}

static void has_vars(const fb_kinds *kinds, const char *kind, const char *expected) {
    named list = {""};
    size_t index = fb_kinds_find(kinds, fb_str_of(kind));

    assert_true(index < fb_kinds_count(kinds));
    fb_kinds_vars(kinds, index, note, &list);
    assert_string_equal(list.text, expected);
}

static void test_mail_kinds__they_are_listed_by_name_with_what_they_need(void **state) {
    fb_kinds *kinds = catalogue();
    fb_kind_info info;

    add(kinds, "Zebra.txt", "Subject: {{kind}} {{to}} {{product}}\n\n{{a}}{{#b}}{{c}}{{/b}}");
    add(kinds, "news-1.txt", "Subject: {{title}}\n\n{{#title}}{{/title}}{{b}}");
    add(kinds, "news-1.html", "{{#b}}{{d}}{{/b}}{{e}}");
    assert_ok(fb_kinds_check(kinds, NULL));
    assert_int_equal(fb_kinds_count(kinds), 6);
    static const char *const names[] = {"Zebra", "approved", "magic_link", "news-1", "otp",
                                        "registration"};
    for (size_t i = 0; i < 6; i++) {
        fb_kinds_at(kinds, i, &info);
        assert_str(info.name, names[i]);
        assert_int_equal(fb_kinds_find(kinds, info.name), i);
        assert_string_equal(info.file, i == 0   ? "dir/Zebra.txt"
                                       : i == 3 ? "dir/news-1.txt"
                                                : "built in");
        assert_int_equal(info.html, i != 0);
    }
    assert_int_equal(fb_kinds_find(kinds, FB_STR("zebra")), FB_KINDS_MAX);
    has_vars(kinds, "Zebra", "a! b c ");
    has_vars(kinds, "news-1", "title! b! d e! ");
    has_vars(kinds, "otp", "code! minutes ");
    has_vars(kinds, "magic_link", "link! minutes ");
    has_vars(kinds, "approved", "name link ");
    has_vars(kinds, "registration", "name email link ");
    fb_kinds_free(kinds);
}

// ---- one's own

static void parts_are(const fb_kinds *kinds, const char *kind, const char *subject, const char *text,
                      const char *html) {
    fb_mail_draft draft = draft_of(kind, usual, 5);
    fb_buf out = rendered(kinds, &draft);
    mail_read mail = {0};

    mail_read_parse(&mail, fb_buf_str(&out));
    assert_str(fb_buf_str(&mail.subject), subject);
    assert_str(fb_buf_str(&mail.text), text);
    if (html != NULL) {
        assert_str(fb_buf_str(&mail.html), html);
    }
    mail_read_release(&mail);
    fb_buf_release(&out);
}

static void test_mail_kinds__a_text_replaces_a_kind_whole(void **state) {
    fb_kinds *kinds = catalogue();

    add(kinds, "otp.txt", "Subject: Ihr Code\n\nEr ist {{code}}.\n");
    parts_are(kinds, "otp", "Ihr Code", "Er ist 042137.\n", "");
    add(kinds, "otp.html", "<b>{{name}}</b>\n");
    parts_are(kinds, "otp", "Ihr Code", "Er ist 042137.\n", "<b>Åse &lt;Ødegård&gt;</b>\n");
    add(kinds, "otp.txt", "Subject: Neu\n\n{{code}}\n");
    parts_are(kinds, "otp", "Neu", "042137\n", "<b>Åse &lt;Ødegård&gt;</b>\n");
    fb_kinds_free(kinds);
    // In the other order too.
    kinds = catalogue();
    add(kinds, "otp.html", "<p>\n");
    add(kinds, "otp.txt", "Subject: a\n\nb\n");
    parts_are(kinds, "otp", "a", "b\n", "<p>\n");
    fb_kinds_free(kinds);
}

static void test_mail_kinds__html_replaces_html(void **state) {
    fb_kinds *kinds = catalogue();
    fb_kind_info info;

    add(kinds, "approved.html", "<p>{{link}}</p>\n");
    parts_are(kinds, "approved", "Your account with Grain is ready",
              "Hello Åse <Ødegård>,\n\nYour account with Grain has been approved.\n\n"
              "You can begin here:\n\nhttps://example.org/in?token=aB3-_x&next=%2Fhome\n",
              "<p>https://example.org/in?token=aB3-_x&amp;next=%2Fhome</p>\n");
    fb_kinds_at(kinds, fb_kinds_find(kinds, FB_STR("approved")), &info);
    assert_string_equal(info.file, "built in");
    fb_kinds_free(kinds);
}

static void test_mail_kinds__heads_of_texts(void **state) {
    fb_kinds *kinds = catalogue();

    add(kinds, "a.txt", "\xef\xbb\xbf" "subject:   Hé {{kind}}  \r\n\r\nx\r\n\r\n");
    parts_are(kinds, "a", "Hé a", "x\n\n", "");
    add(kinds, "a.txt", "Subject: a\n  \n\nb");
    parts_are(kinds, "a", "a", "\nb\n", "");
    add(kinds, "a.txt", "Subject: {{#no}}x{{/no}}\n\nb");
    parts_are(kinds, "a", "", "b\n", "");
    add(kinds, "a.txt", "Subject: to {{to}}");
    add(kinds, "a.html", "c");
    parts_are(kinds, "a", "to Ada@example.org", "", "c\n");
    fb_kinds_free(kinds);
}

static void not_added(const char *file, const char *text, int result, const char *why,
                      uint32_t line, uint32_t column) {
    fb_kinds *kinds = catalogue();
    char path[128];
    fb_error error = {0};

    (void)snprintf(path, sizeof path, "dir/%s", file);
    assert_result(fb_kinds_add(kinds, fb_str_of(file), fb_str_of(text), path, &error), result);
    assert_string_equal(error.text, why);
    assert_string_equal(error.file, result == FB_MISS ? "" : path);
    assert_int_equal(error.line, line);
    assert_int_equal(error.column, column);
    assert_int_equal(fb_kinds_count(kinds), 4);
    has_vars(kinds, "otp", "code! minutes ");
    fb_kinds_free(kinds);
}

static void test_mail_kinds__files_that_are_none(void **state) {
    const char *name = "a kind's name has letters, digits, _ and - alone, at most 64";

    not_added("README", "", FB_MISS, "", 0, 0);
    not_added("otp.md", "", FB_MISS, "", 0, 0);
    not_added("otp.txt~", "", FB_MISS, "", 0, 0);
    not_added(".otp.txt", "", FB_MISS, "", 0, 0);
    not_added(".txt", "", FB_MISS, "", 0, 0);
    not_added("", "", FB_MISS, "", 0, 0);
    not_added("my otp.txt", "", FB_EINVAL, name, 0, 0);
    not_added("../otp.txt", "", FB_MISS, "", 0, 0);
    not_added("a/otp.html", "", FB_EINVAL, name, 0, 0);
    not_added("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.txt", "", FB_EINVAL,
              name, 0, 0);
}

static void test_mail_kinds__texts_that_are_wrong_are_said_with_their_place(void **state) {
    not_added("otp.txt", "", FB_ESYNTAX, "expected \"Subject: \" and the subject", 1, 1);
    not_added("otp.txt", "Hello\n", FB_ESYNTAX, "expected \"Subject: \" and the subject", 1, 1);
    not_added("otp.txt", "Subject:  \n\na", FB_ESYNTAX, "the subject is empty", 1, 1);
    not_added("otp.txt", "Subject: a\nFrom: b\n\nc", FB_ESYNTAX,
              "expected an empty line behind the subject", 2, 1);
    not_added("otp.txt", "Subject: a {{b\n\nc", FB_ESYNTAX,
              "a tag that is not closed: expected }}", 1, 12);
    not_added("otp.txt", "Subject: a\n\nb\n {{#c}}", FB_ESYNTAX, "{{#c}} is not closed", 4, 2);
    not_added("otp.html", "\n {{/c}}", FB_ESYNTAX, "{{/c}} closes nothing", 2, 2);
}

static void test_mail_kinds__more_variables_than_a_mail_can_have(void **state) {
    fb_buf text = {0};
    fb_kinds *kinds = catalogue();
    fb_error error = {0};

    assert_ok(fb_buf_append(&text, FB_STR("Subject: {{product}} {{to}} {{kind}}\n\n")));
    for (int i = 0; i < 64; i++) {
        assert_ok(fb_buf_printf(&text, "{{a%d}}{{a%d}}", i, i));
    }
    assert_ok(fb_kinds_add(kinds, FB_STR("a.txt"), fb_buf_str(&text), "a.txt", &error));
    assert_result(fb_kinds_add(kinds, FB_STR("a.html"), FB_STR("{{b}}"), "a.html", &error),
                  FB_ETOOBIG);
    assert_string_equal(error.text, "the kind has more than 64 variables");
    assert_string_equal(error.file, "a.html");
    assert_ok(fb_kinds_add(kinds, FB_STR("a.html"), FB_STR("{{a63}}"), "a.html", &error));
    fb_buf_release(&text);
    fb_kinds_free(kinds);
}

static void test_mail_kinds__html_without_text_is_no_kind(void **state) {
    fb_kinds *kinds = catalogue();
    fb_mail_draft draft = draft_of("welcome", NULL, 0);
    fb_buf out = {0};
    fb_error error = {0};

    add(kinds, "welcome.html", "<p>a</p>");
    assert_result(fb_kinds_check(kinds, &error), FB_EINVAL);
    assert_string_equal(error.text,
                        "there is no welcome.txt beside it, which would have the subject");
    assert_string_equal(error.file, "dir/welcome.html");
    assert_result(fb_mail_render(kinds, &draft, &out, &error), FB_ENOMAIL);
    add(kinds, "welcome.txt", "Subject: a\n\nb");
    assert_ok(fb_kinds_check(kinds, &error));
    parts_are(kinds, "welcome", "a", "b\n", "<p>a</p>\n");
    fb_kinds_free(kinds);
}

static void test_mail_kinds__there_may_be_a_thousand(void **state) {
    fb_kinds *kinds = catalogue();
    char file[32];
    fb_error error = {0};

    for (int i = 4; i < FB_KINDS_MAX; i++) {
        (void)snprintf(file, sizeof file, "k%d.txt", i * 7919 % 1000);
        assert_ok(fb_kinds_add(kinds, fb_str_of(file), FB_STR("Subject: a\n\nb"), file, NULL));
    }
    assert_result(fb_kinds_add(kinds, FB_STR("one.txt"), FB_STR("Subject: a\n\nb"), "one.txt",
                               &error), FB_EFULL);
    assert_ok(fb_kinds_add(kinds, FB_STR("otp.txt"), FB_STR("Subject: a\n\nb"), "otp.txt", NULL));
    fb_kinds_free(kinds);
}

// ---- what is said of a mail that is wrong

static void fails(const fb_mail_draft *draft, int result, const char *why) {
    fb_kinds *kinds = catalogue();
    fb_buf out = {0};
    fb_error error = {0};

    add(kinds, "greet.txt", "Subject: To {{name}}\n\n{{text}}\n");
    assert_ok(fb_buf_append(&out, FB_STR("before")));
    assert_result(fb_mail_render(kinds, draft, &out, &error), result);
    assert_string_equal(error.text, why);
    assert_int_equal(error.code, result);
    assert_str(fb_buf_str(&out), "before");
    fb_buf_release(&out);
    fb_kinds_free(kinds);
}

static void test_mail_kinds__unknown_ones(void **state) {
    fb_mail_draft draft = draft_of("postcard", NULL, 0);

    fails(&draft, FB_ENOMAIL, "no kind of mail \"postcard\"");
    draft.kind = FB_STR("otp\r\nx");
    fails(&draft, FB_ENOMAIL, "no such kind of mail");
    draft.kind = FB_STR("");
    fails(&draft, FB_ENOMAIL, "no such kind of mail");
}

static void test_mail_kinds__addresses_that_are_none(void **state) {
    fb_mail_draft good = draft_of("otp", usual, 2), draft = good;

    draft.to = FB_STR("ada@example.org\r\nBcc: all@example.org");
    fails(&draft, FB_EINVAL, "to: not a mail address: a control character (byte 16)");
    draft.to = FB_STR("ada@example.org\0");
    fails(&draft, FB_EINVAL, "to: not a mail address: a control character (byte 16)");
    draft.to = FB_STR("Ada");
    fails(&draft, FB_EINVAL, "to: not a mail address: expected @ (byte 4)");
    draft = good;
    draft.from = FB_STR("");
    fails(&draft, FB_EINVAL, "from: not a mail address: nothing before the @ (byte 1)");
    draft = good;
    draft.reply_to = FB_STR("x");
    fails(&draft, FB_EINVAL, "reply_to: not a mail address: expected @ (byte 2)");
    draft = good;
    draft.message_id = FB_STR("<a@b>\r\nBcc: <c@d>");
    fails(&draft, FB_EINVAL, "the Message-ID is not of the form <…@…>");
}

static void test_mail_kinds__variables_that_are_wrong(void **state) {
    fb_mail_var vars[FB_MAIL_VARS_MAX + 1] = {{FB_STR("code"), FB_STR("1")}, {FB_STR("x"), FB_STR("")}};
    fb_mail_draft draft = draft_of("otp", vars, 2);

    vars[1].name = FB_STR("code");
    fails(&draft, FB_EINVAL, "variable \"code\" is there twice");
    vars[1].name = FB_STR("to");
    fails(&draft, FB_EINVAL, "variable \"to\" is there already");
    vars[1].name = FB_STR("kind");
    fails(&draft, FB_EINVAL, "variable \"kind\" is there already");
    vars[1].name = FB_STR("a\r\nb");
    fails(&draft, FB_EINVAL,
          "variable 2 has a name that is none: letters, digits and _ alone, at most 64");
    vars[1] = (fb_mail_var){FB_STR("unused"), FB_STR("a\rb")};
    fails(&draft, FB_EINVAL, "variable \"unused\" has a carriage return at byte 2");
    draft.var_count = 1;
    draft.product = FB_STR("Gr\x01");
    fails(&draft, FB_EINVAL, "variable \"product\" has a control character at byte 3");
    draft.var_count = FB_MAIL_VARS_MAX + 1;
    fails(&draft, FB_ETOOBIG, "more than 64 variables");
}

static void test_mail_kinds__a_missing_variable_is_said_with_the_line_of_the_file(void **state) {
    fb_kinds *kinds = catalogue();
    fb_mail_var name = {FB_STR("name"), FB_STR("Ada")};
    fb_mail_draft draft = draft_of("greet", NULL, 0);
    fb_buf out = {0};
    fb_error error = {0};

    add(kinds, "greet.txt", "Subject: To {{name}}\n\n\n {{text}}\n");
    assert_result(fb_mail_render(kinds, &draft, &out, &error), FB_EINVAL);
    assert_string_equal(error.text, "variable \"name\" is missing");
    assert_string_equal(error.file, "dir/greet.txt");
    assert_int_equal(error.line, 1);
    assert_int_equal(error.column, 13);
    draft.vars = &name;
    draft.var_count = 1;
    assert_result(fb_mail_render(kinds, &draft, &out, &error), FB_EINVAL);
    assert_string_equal(error.text, "variable \"text\" is missing");
    assert_int_equal(error.line, 4);
    assert_int_equal(error.column, 2);
    draft.kind = FB_STR("otp");
    assert_result(fb_mail_render(kinds, &draft, &out, &error), FB_EINVAL);
    assert_string_equal(error.text, "variable \"code\" is missing");
    assert_string_equal(error.file, "otp.txt");
    assert_int_equal(error.line, 5);
    fb_buf_release(&out);
    fb_kinds_free(kinds);
}

static void test_mail_kinds__a_subject_has_one_line(void **state) {
    fb_mail_var vars[] = {{FB_STR("text"), FB_STR("a\nb")}, {FB_STR("name"), FB_STR("a\nBcc: b@c")}};
    fb_mail_draft draft = draft_of("greet", vars, 2);

    fails(&draft, FB_EINVAL, "variable \"name\" has a line end, and stands in the subject");
}

static void test_mail_kinds__product_may_be_given(void **state) {
    fb_kinds *kinds = catalogue();
    fb_mail_var product = {FB_STR("product"), FB_STR("Mühle")};
    fb_mail_draft draft = draft_of("approved", &product, 1);
    fb_buf out = rendered(kinds, &draft);
    mail_read mail = {0};

    mail_read_parse(&mail, fb_buf_str(&out));
    assert_str(fb_buf_str(&mail.subject), "Your account with Mühle is ready");
    mail_read_release(&mail);
    fb_buf_release(&out);
    fb_kinds_free(kinds);
}

// Every byte in every place: either it is refused, or it comes back as it was, and no header is there
// that we did not write.
static void test_mail_kinds__no_byte_anywhere_makes_a_header(void **state) {
    fb_kinds *kinds = catalogue();

    add(kinds, "greet.txt", "Subject: {{name}}\n\n{{text}}\n");
    add(kinds, "greet.html", "{{text}}\n");
    for (int byte = 0; byte < 256; byte++) {
        for (int place = 0; place < 5; place++) {
            char text[] = "a?Bcc: all@example.org", value[64];
            text[1] = (char)byte;
            fb_str bytes = {text, sizeof text - 1};
            fb_mail_var vars[] = {{FB_STR("name"), FB_STR("n")}, {FB_STR("text"), FB_STR("t")}};
            fb_mail_draft draft = draft_of("greet", vars, 2);
            size_t len = (size_t)snprintf(value, sizeof value, "\"a?Bcc: all\" <a@x>");
            value[2] = (char)byte;
            fb_str named_address = {value, len};
            *(place == 0   ? &vars[0].value
              : place == 1 ? &vars[1].value
              : place == 2 ? &draft.to
              : place == 3 ? &draft.from
                           : &draft.reply_to) = place < 2 ? bytes : named_address;
            fb_buf out = {0};
            fb_error error = {0};
            int result = fb_mail_render(kinds, &draft, &out, &error);
            bool good = (byte >= 0x20 && byte < 0x7f) || (byte == '\n' && place == 1);
            if (place >= 2 && byte == '"') {
                good = false;  // it ends the name, and what follows needs quotes
            }
            assert_result(result, good ? FB_OK : FB_EINVAL);
            if (result == FB_OK) {
                mail_read mail = {0};
                mail_read_parse(&mail, fb_buf_str(&out));
                if (place == 0) {
                    assert_bytes(fb_buf_str(&mail.subject), bytes);
                }
                mail_read_release(&mail);
            }
            fb_buf_release(&out);
        }
    }
    fb_kinds_free(kinds);
}

static void test_mail_kinds__large_values_and_long_lines(void **state) {
    fb_kinds *kinds = catalogue();
    char *large = malloc(FB_MAIL_VALUE_MAX);
    fb_mail_var vars[] = {{FB_STR("link"), fb_str_make(large, FB_MAIL_VALUE_MAX)},
                          {FB_STR("name"), FB_STR(".\n.\nQUIT\n..x")}};
    fb_mail_draft draft = draft_of("approved", vars, 2);

    memset(large, 'x', FB_MAIL_VALUE_MAX);
    fb_buf out = rendered(kinds, &draft);
    mail_read mail = {0};
    mail_read_parse(&mail, fb_buf_str(&out));
    assert_true(mail.line_max <= 78);
    fb_str text = fb_buf_str(&mail.text);
    assert_true(mail_read_find(text, vars[0].value) < text.len);
    assert_true(mail_read_find(text, vars[1].value) < text.len);
    mail_read_release(&mail);
    fb_buf_release(&out);
    free(large);
    fb_kinds_free(kinds);
}

static int scenario(fb_kinds **kinds, fb_buf *out, fb_error *error) {
    fb_mail_draft draft = draft_of("news", usual, 5);
    int result = fb_kinds_new(kinds);

    if (result == FB_OK) {
        result = fb_kinds_add(*kinds, FB_STR("news.html"), FB_STR("<p>{{name}}</p>"), "n", error);
    }
    if (result == FB_OK) {
        result = fb_kinds_add(*kinds, FB_STR("news.txt"), FB_STR("Subject: a\n\n{{link}}"), "n",
                              error);
    }
    if (result == FB_OK) {
        result = fb_kinds_add(*kinds, FB_STR("news.html"), FB_STR("<b>{{name}}</b>"), "n", error);
    }
    return result == FB_OK ? fb_mail_render(*kinds, &draft, out, error) : result;
}

static void test_mail_kinds__memory_may_run_out_anywhere(void **state) {
    bool failed = true;

    for (size_t n = 1; failed; n++) {
        fb_kinds *kinds = NULL;
        fb_buf out = {0};
        long live = test_memory_get()->live;
        test_memory_fail(n);
        int result = scenario(&kinds, &out, NULL);
        failed = test_memory_get()->failed;
        test_memory_fail(0);
        assert_result(result, failed ? FB_ENOMEM : FB_OK);
        assert_true(!failed || out.len == 0);
        // What was there before the failure still is.
        if (kinds != NULL) {
            parts_are(kinds, "otp", "Your code for Grain",
                      "Your code for Grain is\n\n    042137\n\n"
                      "It is good for 10 minutes, and once.\n\n"
                      "If you did not ask for it, somebody may have typed your address by mistake:\n"
                      "you need not do anything. Give the code to nobody.\n",
                      NULL);
        }
        fb_buf_release(&out);
        fb_kinds_free(kinds);
        assert_int_equal(test_memory_get()->live, live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_kinds__those_built_in_are_as_they_were_read_over),
        cmocka_unit_test(test_mail_kinds__those_built_in_say_the_same_in_both_parts),
        cmocka_unit_test(test_mail_kinds__those_built_in_do_with_little),
        cmocka_unit_test(test_mail_kinds__they_are_listed_by_name_with_what_they_need),
        cmocka_unit_test(test_mail_kinds__a_text_replaces_a_kind_whole),
        cmocka_unit_test(test_mail_kinds__html_replaces_html),
        cmocka_unit_test(test_mail_kinds__heads_of_texts),
        cmocka_unit_test(test_mail_kinds__files_that_are_none),
        cmocka_unit_test(test_mail_kinds__texts_that_are_wrong_are_said_with_their_place),
        cmocka_unit_test(test_mail_kinds__more_variables_than_a_mail_can_have),
        cmocka_unit_test(test_mail_kinds__html_without_text_is_no_kind),
        cmocka_unit_test(test_mail_kinds__there_may_be_a_thousand),
        cmocka_unit_test(test_mail_kinds__unknown_ones),
        cmocka_unit_test(test_mail_kinds__addresses_that_are_none),
        cmocka_unit_test(test_mail_kinds__variables_that_are_wrong),
        cmocka_unit_test(test_mail_kinds__a_missing_variable_is_said_with_the_line_of_the_file),
        cmocka_unit_test(test_mail_kinds__a_subject_has_one_line),
        cmocka_unit_test(test_mail_kinds__product_may_be_given),
        cmocka_unit_test(test_mail_kinds__no_byte_anywhere_makes_a_header),
        cmocka_unit_test(test_mail_kinds__large_values_and_long_lines),
        cmocka_unit_test(test_mail_kinds__memory_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
