// Messages: byte for byte, what comes back when one is read, and that nobody writes a header but us.

#include "support.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "mail/message.h"
#include "mail_reader.h"

#define DATE_MS INT64_C(1795132805123)  // Fri, 20 Nov 2026 00:00:05.123

static fb_address from, to, reply_to;

static fb_message message_of(const char *subject, const char *text, const char *html) {
    return (fb_message){.from = &from, .to = &to, .subject = fb_str_of(subject),
                        .message_id = FB_STR("<1@example.org>"), .date_ms = DATE_MS,
                        .text = fb_str_of(text), .html = fb_str_of(html), .seed = 1};
}

static int set_up(void **state) {
    assert_ok(fb_address_parse(FB_STR("forebay <no-reply@example.org>"), &from, NULL));
    assert_ok(fb_address_parse(FB_STR("ada@example.org"), &to, NULL));
    assert_ok(fb_address_parse(FB_STR("help@example.org"), &reply_to, NULL));
    return 0;
}

static fb_buf written(const fb_message *message) {
    fb_buf out = {0};
    fb_error error = {0};

    int result = fb_message_write(message, &out, &error);
    assert_string_equal(error.text, "");
    assert_ok(result);
    return out;
}

static void writes(const fb_message *message, const char *expected) {
    fb_buf out = written(message);

    assert_str(fb_buf_str(&out), expected);
    fb_buf_release(&out);
}

// One header of it, as it stands, all its lines.
static void has_header(const fb_message *message, const char *name, const char *expected) {
    fb_buf out = written(message);
    char start[64];

    (void)snprintf(start, sizeof start, "\r\n%s:", name);
    fb_str whole = fb_buf_str(&out);
    const char *at = memmem(whole.ptr, whole.len, start, strlen(start));
    assert_non_null(at);
    at += 2;
    size_t len = 0;
    for (;; len++) {
        len += mail_read_find(fb_str_make(at + len, whole.len - (size_t)(at + len - whole.ptr)),
                              FB_STR("\r\n")) + 1;
        if (at[len + 1] != ' ') {
            break;
        }
    }
    assert_str(fb_str_make(at, len + 1), expected);
    fb_buf_release(&out);
}

#define HEAD                                                                          \
    "Date: Fri, 20 Nov 2026 00:00:05 +0000\r\nFrom: forebay <no-reply@example.org>\r\n" \
    "To: ada@example.org\r\n"

static void test_mail_message__text_alone(void **state) {
    fb_message message = message_of("Hello", "One\nTwo.\n", "");

    writes(&message, HEAD "Subject: Hello\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
                          "Content-Type: text/plain; charset=utf-8\r\n"
                          "Content-Transfer-Encoding: 7bit\r\n\r\nOne\r\nTwo.\r\n");
    message.reply_to = &reply_to;
    message.auto_submitted = FB_STR("auto-generated");
    message.text = FB_STR("No end");
    writes(&message, HEAD "Reply-To: help@example.org\r\nSubject: Hello\r\n"
                          "Message-ID: <1@example.org>\r\nAuto-Submitted: auto-generated\r\n"
                          "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
                          "Content-Transfer-Encoding: 7bit\r\n\r\nNo end\r\n");
}

static void test_mail_message__html_alone(void **state) {
    fb_message message = message_of("Hello", "", "<p>Å=</p>\n");

    writes(&message, HEAD "Subject: Hello\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
                          "Content-Type: text/html; charset=utf-8\r\n"
                          "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                          "<p>=C3=85=3D</p>\r\n");
}

static void test_mail_message__alternatives(void **state) {
    fb_message message = message_of("Hello", "a\n", "<p>a</p>\n");

    writes(&message,
           HEAD "Subject: Hello\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
                "Content-Type: multipart/alternative;\r\n"
                " boundary=\"=_5C017CF0D6FA2F3BAEC463746955B358\"\r\n\r\n"
                "--=_5C017CF0D6FA2F3BAEC463746955B358\r\n"
                "Content-Type: text/plain; charset=utf-8\r\n"
                "Content-Transfer-Encoding: 7bit\r\n\r\na\r\n\r\n"
                "--=_5C017CF0D6FA2F3BAEC463746955B358\r\n"
                "Content-Type: text/html; charset=utf-8\r\n"
                "Content-Transfer-Encoding: 7bit\r\n\r\n<p>a</p>\r\n\r\n"
                "--=_5C017CF0D6FA2F3BAEC463746955B358--\r\n");
}

static void test_mail_message__it_is_appended(void **state) {
    fb_message message = message_of("Hello", "a\n", "");
    fb_buf out = {0};

    assert_ok(fb_buf_append(&out, FB_STR("before")));
    assert_ok(fb_message_write(&message, &out, NULL));
    assert_true(fb_str_starts(fb_buf_str(&out), FB_STR("beforeDate: ")));
    fb_buf_release(&out);
}

static void test_mail_message__dates(void **state) {
    static const struct {
        int64_t date_ms;
        const char *expected;
    } cases[] = {
        {0, "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"},
        {-1, "Date: Wed, 31 Dec 1969 23:59:59 +0000\r\n"},
        {-1000, "Date: Wed, 31 Dec 1969 23:59:59 +0000\r\n"},
        {INT64_C(951826332999), "Date: Tue, 29 Feb 2000 12:12:12 +0000\r\n"},
        {INT64_C(253402300799999), "Date: Fri, 31 Dec 9999 23:59:59 +0000\r\n"},
    };
    fb_message message = message_of("Hello", "a\n", "");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        message.date_ms = cases[i].date_ms;
        fb_buf out = written(&message);
        assert_true(fb_str_starts(fb_buf_str(&out), fb_str_of(cases[i].expected)));
        fb_buf_release(&out);
    }
}

static void test_mail_message__subjects_in_ascii_fold_at_spaces(void **state) {
    fb_message message = message_of("", "a\n", "");

    has_header(&message, "Subject", "Subject: \r\n");
    message.subject = FB_STR("The quick brown fox jumps over the lazy dog, and then it goes on and "
                             "on and on until the line is full: twice, even, so that there are "
                             "three.");
    has_header(&message, "Subject",
               "Subject: The quick brown fox jumps over the lazy dog, and then it goes on and\r\n"
               " on and on until the line is full: twice, even, so that there are three.\r\n");
    message.subject = FB_STR("a = b ? c");
    has_header(&message, "Subject", "Subject: a = b ? c\r\n");
}

static void test_mail_message__what_is_more_than_words_is_encoded(void **state) {
    static const struct {
        const char *subject, *expected;
    } cases[] = {
        {"Your cöde", "Subject: =?UTF-8?Q?Your_c=C3=B6de?=\r\n"},
        {"日本", "Subject: =?UTF-8?B?5pel5pys?=\r\n"},
        {"日", "Subject: =?UTF-8?B?5pel?=\r\n"},
        {"é", "Subject: =?UTF-8?B?w6k=?=\r\n"},
        {" a", "Subject: =?UTF-8?Q?_a?=\r\n"},
        {"a ", "Subject: =?UTF-8?Q?a_?=\r\n"},
        {"a  b", "Subject: =?UTF-8?Q?a__b?=\r\n"},
        {" ", "Subject: =?UTF-8?Q?_?=\r\n"},
        {"=?UTF-8?Q?x?=", "Subject: =?UTF-8?B?PT9VVEYtOD9RP3g/PQ==?=\r\n"},
        {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         "Subject: =?UTF-8?Q?xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx?=\r\n"
         " =?UTF-8?Q?xxxxxxxxxxxxxxxxxx?=\r\n"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fb_message message = message_of(cases[i].subject, "a\n", "");
        has_header(&message, "Subject", cases[i].expected);
    }
}

static void test_mail_message__encoded_words_break_between_characters(void **state) {
    fb_message message = message_of("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀", "a\n", "");

    has_header(&message, "Subject",
               "Subject: =?UTF-8?B?8J+YgPCfmIDwn5iA8J+YgPCfmIDwn5iA8J+YgPCfmIDwn5iA?=\r\n"
               " =?UTF-8?B?8J+YgPCfmIDwn5iA8J+YgPCfmIDwn5iA8J+YgA==?=\r\n");
}

static void to_is(const char *text, const char *expected) {
    fb_address address;
    fb_message message = message_of("Hello", "a\n", "");

    assert_ok(fb_address_parse(fb_str_of(text), &address, NULL));
    message.to = &address;
    has_header(&message, "To", expected);
}

static void test_mail_message__names(void **state) {
    to_is("Ada <ada@x>", "To: Ada <ada@x>\r\n");
    to_is("J. Doe <j@x>", "To: \"J. Doe\" <j@x>\r\n");
    to_is("\"Lovelace, Ada\" <ada@x>", "To: \"Lovelace, Ada\" <ada@x>\r\n");
    to_is("\"a \\\"b\\\" \\\\\" <ada@x>", "To: \"a \\\"b\\\" \\\\\" <ada@x>\r\n");
    to_is("Åse <ase@x>", "To: =?UTF-8?Q?=C3=85se?= <ase@x>\r\n");
    to_is("\"=?UTF-8?Q?x?=\" <a@x>", "To: =?UTF-8?B?PT9VVEYtOD9RP3g/PQ==?= <a@x>\r\n");
    to_is("åse@x", "To: åse@x\r\n");
    to_is("\"a b\"@x", "To: \"a b\"@x\r\n");
}

static void test_mail_message__long_names_and_addresses_fold(void **state) {
    to_is("Ada Augusta Byron King Countess of Lovelace of England and elsewhere who <ada@x>",
          "To: Ada Augusta Byron King Countess of Lovelace of England and elsewhere who\r\n"
          " <ada@x>\r\n");
    to_is("\"Ada Augusta, Byron, King, Countess of Lovelace, of England, and elsewhere, too\" "
          "<ada@x>",
          "To: \"Ada Augusta, Byron, King, Countess of Lovelace, of England, and\r\n"
          " elsewhere, too\" <ada@x>\r\n");
    to_is("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
          "To:\x20\r\n "
          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
          "\r\n");
}

static void body_is(const char *text, const char *encoding, const char *expected) {
    fb_message message = message_of("Hello", text, "");
    fb_buf out = written(&message);
    char end[4096];

    (void)snprintf(end, sizeof end, "Content-Transfer-Encoding: %s\r\n\r\n%s", encoding, expected);
    if (!fb_str_ends(fb_buf_str(&out), fb_str_of(end))) {
        assert_str(fb_buf_str(&out), end);
    }
    fb_buf_release(&out);
}

static void test_mail_message__what_anybody_could_change_on_the_way_is_quoted(void **state) {
    body_is("a\tb\n.\n..\n", "7bit", "a\tb\r\n.\r\n..\r\n");
    body_is("\n\n", "7bit", "\r\n\r\n");
    body_is("a \nb\t\nc\n", "quoted-printable", "a=20\r\nb=09\r\nc\r\n");
    body_is("From me\nFrom \nXFrom\n", "quoted-printable", "=46rom me\r\n=46rom=20\r\nXFrom\r\n");
    body_is("a = b =20 é\n", "quoted-printable", "a =3D b =3D20 =C3=A9\r\n");
    body_is("é\n\n \n", "quoted-printable", "=C3=A9\r\n\r\n=20\r\n");
}

static void test_mail_message__long_lines_are_broken_softly(void **state) {
    char text[512] = "", expected[512] = "";

    memset(text, 'x', 78);
    (void)snprintf(expected, sizeof expected, "%.78s\r\n", text);
    body_is(text, "7bit", expected);
    memset(text, 'x', 79);
    (void)snprintf(expected, sizeof expected, "%.75s=\r\n%.4s\r\n", text, text);
    body_is(text, "quoted-printable", expected);
    // 76 fit where the line ends there, and a character is never divided.
    (void)snprintf(text, sizeof text, "é\n%s", "");
    memset(text + 3, 'x', 76);
    (void)snprintf(expected, sizeof expected, "=C3=A9\r\n%.76s\r\n", text + 3);
    body_is(text, "quoted-printable", expected);
    memset(text, 'x', 72);
    (void)snprintf(text + 72, sizeof text - 72, "éé\n");
    (void)snprintf(expected, sizeof expected, "%.72s=\r\n=C3=A9=C3=A9\r\n", text);
    body_is(text, "quoted-printable", expected);
    memset(text, 'x', 69);
    (void)snprintf(text + 69, sizeof text - 69, "éé\n");
    (void)snprintf(expected, sizeof expected, "%.69s=C3=A9=\r\n=C3=A9\r\n", text);
    body_is(text, "quoted-printable", expected);
}

static void test_mail_message__the_boundary_stands_in_neither_part(void **state) {
    fb_message message = message_of("Hello", "a\n", "<p>a</p>\n");
    fb_buf out = written(&message);
    fb_buf text = {0};
    size_t start = mail_read_find(fb_buf_str(&out), FB_STR("=_"));
    fb_str boundary = {out.ptr + start, 34};

    assert_ok(fb_buf_printf(&text, "--%.*s\n--%.*s--\n", FB_STR_ARG(boundary),
                            FB_STR_ARG(boundary)));
    for (int html = 0; html < 2; html++) {
        *(html ? &message.html : &message.text) = fb_buf_str(&text);
        fb_buf other = written(&message);
        mail_read mail = {0};
        mail_read_parse(&mail, fb_buf_str(&other));
        assert_bytes(fb_buf_str(html ? &mail.html : &mail.text), fb_buf_str(&text));
        mail_read_release(&mail);
        fb_buf_release(&other);
    }
    fb_buf_release(&text);
    fb_buf_release(&out);
}

static void refused(const fb_message *message, int result, const char *why) {
    fb_buf out = {0};
    fb_error error = {0};

    assert_ok(fb_buf_append(&out, FB_STR("before")));
    assert_result(fb_message_write(message, &out, &error), result);
    assert_string_equal(error.text, why);
    assert_str(fb_buf_str(&out), "before");
    fb_buf_release(&out);
}

static void test_mail_message__nothing_ends_a_header(void **state) {
    fb_message good = message_of("Hello", "a\n", "<p>a</p>");
    fb_address forged = to;

    for (int byte = 0; byte < 0x21; byte++) {
        char text[] = "a?Bcc: all@example.org", why[64];
        unsigned char value = byte == 0x20 ? 0x7f : (unsigned char)byte;
        text[1] = (char)value;
        fb_str bytes = {text, sizeof text - 1};
        const char *what = value == '\r' || value == '\n' ? "a line end" : "a control character";
        fb_message message = good;
        message.subject = bytes;
        (void)snprintf(why, sizeof why, "the subject has %s at byte 2", what);
        refused(&message, FB_EINVAL, why);
        message = good;
        message.to = &forged;
        forged.spec = to.spec;
        forged.name = bytes;
        (void)snprintf(why, sizeof why, "to has %s at byte 2", what);
        refused(&message, FB_EINVAL, why);
        forged.spec = bytes;
        forged.name = fb_str_make(NULL, 0);
        refused(&message, FB_EINVAL, why);
        message = good;
        message.message_id = bytes;
        refused(&message, FB_EINVAL, "the Message-ID is not of the form <…@…>");
        message = good;
        message.auto_submitted = bytes;
        refused(&message, FB_EINVAL, "Auto-Submitted is not a word");
        message = good;
        message.text = bytes;
        if (value != '\n' && value != '\t') {
            (void)snprintf(why, sizeof why, "the text has %s at byte 2", what);
            refused(&message, FB_EINVAL, why);
        }
    }
}

static void test_mail_message__nor_does_anything_that_was_encoded(void **state) {
    fb_message message = message_of("=?UTF-8?Q?a=0D=0ABcc:_x@y?= =?UTF-8?B?DQpCY2M6?=", "a\n", "");
    fb_buf out = written(&message);
    mail_read mail = {0};

    mail_read_parse(&mail, fb_buf_str(&out));
    assert_bytes(fb_buf_str(&mail.subject), message.subject);
    mail_read_release(&mail);
    fb_buf_release(&out);
}

static void test_mail_message__bytes_that_are_no_text_are_refused(void **state) {
    fb_message message = message_of("a\xff", "a\n", "<p>a</p>");

    refused(&message, FB_EINVAL, "the subject is not UTF-8 at byte 2");
    message = message_of("a", "\xc3", "<p>a</p>");
    refused(&message, FB_EINVAL, "the text is not UTF-8 at byte 1");
    message = message_of("a", "a", "ab\xed\xa0\x80");
    refused(&message, FB_EINVAL, "the HTML is not UTF-8 at byte 3");
    message = message_of("a", "", "");
    refused(&message, FB_EINVAL, "the mail says nothing: no text and no HTML");
    message = message_of("a", "a", "");
    message.date_ms = INT64_MAX;
    refused(&message, FB_EINVAL, "the date is before 1900 or after 9999");
    message.date_ms = INT64_MIN;
    refused(&message, FB_EINVAL, "the date is before 1900 or after 9999");
    char *subject = malloc(64 * 1024 + 1);
    memset(subject, 'a', 64 * 1024 + 1);
    message = message_of("", "a", "");
    message.subject = fb_str_make(subject, 64 * 1024 + 1);
    refused(&message, FB_ETOOBIG, "the subject has more than 65536 bytes");
    free(subject);
}

static void test_mail_message__ids(void **state) {
    static const char *const wrong[] = {"", "<>", "<a>", "<@>", "<@a>", "<a@>", "<a@b@c>", "a@b",
                                        "<a b@c>", "<a@b> ", "<a<@b>", "<a\r\n@b>", "<å@b>"};
    char long_id[253] = "<a@";

    assert_true(fb_message_is_id(FB_STR("<a@b>")));
    assert_true(fb_message_is_id(FB_STR("<mail.12_x+y=z/1@[192.0.2.1]>")));
    assert_true(fb_message_is_id(FB_STR("<mail.12-0abc@host.example>")));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(fb_message_is_id(fb_str_of(wrong[i])));
    }
    memset(long_id + 3, 'b', 249);
    long_id[249] = '>';
    assert_true(fb_message_is_id(fb_str_make(long_id, 250)));
    long_id[249] = 'b';
    long_id[250] = '>';
    assert_false(fb_message_is_id(fb_str_make(long_id, 251)));
}

// ---- random messages, read again

static const char *const pieces[] = {
    "a", "b", "Ada", " ", " ", "  ", ".", "=", "=?", "?=", "_", "é", "ß", "日本", "😀", "\"", "\\", ",",
    "<", ">", "@", "From ", "=20", "--", "=_", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "the", "quick", "fox", "=?UTF-8?B?5pel?=", "(", ")", ":", ";",
};
enum { PIECE_COUNT = sizeof(pieces) / sizeof(pieces[0]) };

static void random_text(fb_rng *rng, fb_buf *out, size_t pieces_max, bool lines) {
    for (uint64_t left = fb_rng_below(rng, pieces_max + 1); left > 0; left--) {
        uint64_t which = fb_rng_below(rng, PIECE_COUNT + (lines ? 6 : 0));
        assert_ok(fb_buf_append(out, which < PIECE_COUNT ? fb_str_of(pieces[which])
                                     : which % 3 == 0    ? FB_STR("\t")
                                                         : FB_STR("\n")));
    }
}

static void random_address(fb_rng *rng, fb_address *address, fb_buf *name) {
    char text[2048];
    size_t len = 0;

    name->len = 0;
    do {
        name->len = 0;
        random_text(rng, name, 12, false);
    } while (name->len > FB_MAIL_ADDRESS_MAX);
    text[len++] = '"';
    for (size_t i = 0; i < name->len; i++) {
        if (name->ptr[i] == '"' || name->ptr[i] == '\\') {
            text[len++] = '\\';
        }
        text[len++] = name->ptr[i];
    }
    len += (size_t)snprintf(text + len, sizeof text - len, "\" <%s@example.org>",
                            fb_rng_below(rng, 4) == 0 ? "\"a \\\"b\\\"\"" : "ada");
    fb_error error = {0};
    int result = fb_address_parse(fb_str_make(text, len), address, &error);
    assert_string_equal(error.text, "");
    assert_ok(result);
    assert_bytes(address->name, fb_buf_str(name));
}

// What comes back: the last line is ended.
static void ended(fb_buf *text) {
    if (text->len > 0 && text->ptr[text->len - 1] != '\n') {
        assert_ok(fb_buf_byte(text, '\n'));
    }
}

static void one_round(fb_rng *rng) {
    fb_buf subject = {0}, text = {0}, html = {0}, name = {0}, to_name = {0};
    fb_address sender, receiver;

    random_address(rng, &sender, &name);
    random_address(rng, &receiver, &to_name);
    random_text(rng, &subject, 40, false);
    random_text(rng, &text, 60, true);
    random_text(rng, &html, fb_rng_below(rng, 3) == 0 ? 0 : 60, true);
    if (text.len + html.len == 0) {
        assert_ok(fb_buf_byte(&text, 'a'));
    }
    fb_message message = message_of("", "", "");
    message.from = &sender;
    message.to = &receiver;
    message.reply_to = fb_rng_below(rng, 2) == 0 ? &sender : NULL;
    message.subject = fb_buf_str(&subject);
    message.text = fb_buf_str(&text);
    message.html = fb_buf_str(&html);
    message.seed = fb_rng_next(rng);
    fb_buf out = written(&message);
    mail_read mail = {0};
    mail_read_parse(&mail, fb_buf_str(&out));
    assert_bytes(fb_buf_str(&mail.subject), message.subject);
    assert_bytes(fb_buf_str(&mail.from_name), sender.name);
    assert_bytes(fb_buf_str(&mail.from_spec), sender.spec);
    assert_bytes(fb_buf_str(&mail.to_name), receiver.name);
    assert_bytes(fb_buf_str(&mail.to_spec), receiver.spec);
    assert_int_equal(mail.has_reply, message.reply_to != NULL);
    assert_bytes(fb_buf_str(&mail.reply_name), mail.has_reply ? sender.name : fb_str_make(NULL, 0));
    assert_bytes(fb_buf_str(&mail.message_id), message.message_id);
    ended(&text);
    ended(&html);
    assert_bytes(fb_buf_str(&mail.text), fb_buf_str(&text));
    assert_bytes(fb_buf_str(&mail.html), fb_buf_str(&html));
    assert_int_equal(fb_utf8_ascii(fb_buf_str(&out), 0), out.len);
    mail_read_release(&mail);
    fb_buf *bufs[] = {&subject, &text, &html, &name, &to_name, &out};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        fb_buf_release(bufs[i]);
    }
}

static void test_mail_message__what_was_written_is_what_is_read(void **state) {
    fb_rng rng = test_rng();

    for (size_t round = 0; round < 5000; round++) {
        one_round(&rng);
    }
}

static void test_mail_message__a_large_one(void **state) {
    size_t len = 2 << 20;
    char *text = malloc(len);

    memset(text, 'x', len);
    memcpy(text + len - 3, "é\n", 3);
    fb_message message = message_of("Hello", "", "");
    message.text = message.html = fb_str_make(text, len);
    fb_buf out = written(&message);
    mail_read mail = {0};
    mail_read_parse(&mail, fb_buf_str(&out));
    assert_true(fb_str_equal(fb_buf_str(&mail.text), message.text));
    assert_true(fb_str_equal(fb_buf_str(&mail.html), message.html));
    assert_true(mail.line_max <= 78);
    mail_read_release(&mail);
    fb_buf_release(&out);
    free(text);
}

static void test_mail_message__memory_may_run_out_anywhere(void **state) {
    fb_message message = message_of("Hellö wörld, this is a long subject that is folded, too", "é\n",
                                    "<p>A text that is long enough to grow the buffer</p>\n");
    bool failed = true;

    message.reply_to = &reply_to;
    for (size_t n = 1; failed; n++) {
        fb_buf out = {0};
        fb_error error = {0};
        test_memory_fail(n);
        int result = fb_message_write(&message, &out, &error);
        failed = test_memory_get()->failed;
        test_memory_fail(0);
        assert_result(result, failed ? FB_ENOMEM : FB_OK);
        assert_int_equal(error.code, result);
        assert_true(!failed || out.len == 0);
        fb_buf_release(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail_message__text_alone),
        cmocka_unit_test(test_mail_message__html_alone),
        cmocka_unit_test(test_mail_message__alternatives),
        cmocka_unit_test(test_mail_message__it_is_appended),
        cmocka_unit_test(test_mail_message__dates),
        cmocka_unit_test(test_mail_message__subjects_in_ascii_fold_at_spaces),
        cmocka_unit_test(test_mail_message__what_is_more_than_words_is_encoded),
        cmocka_unit_test(test_mail_message__encoded_words_break_between_characters),
        cmocka_unit_test(test_mail_message__names),
        cmocka_unit_test(test_mail_message__long_names_and_addresses_fold),
        cmocka_unit_test(test_mail_message__what_anybody_could_change_on_the_way_is_quoted),
        cmocka_unit_test(test_mail_message__long_lines_are_broken_softly),
        cmocka_unit_test(test_mail_message__the_boundary_stands_in_neither_part),
        cmocka_unit_test(test_mail_message__nothing_ends_a_header),
        cmocka_unit_test(test_mail_message__nor_does_anything_that_was_encoded),
        cmocka_unit_test(test_mail_message__bytes_that_are_no_text_are_refused),
        cmocka_unit_test(test_mail_message__ids),
        cmocka_unit_test(test_mail_message__what_was_written_is_what_is_read),
        cmocka_unit_test(test_mail_message__a_large_one),
        cmocka_unit_test(test_mail_message__memory_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
