// Mails: fields (0xff between them) to a message. Whatever they are, either an error says what is wrong,
// or the message is one, has the headers that we write and no other, and is read back as what went in.
//
// to, from, reply_to, Message-ID, product, subject's template, text's, HTML's, then names and values.

#include "base/check.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "mail/kinds.h"
#include "mail_reader.h"

enum { FIELDS_MAX = 8 + 2 * 8 };

static size_t split(fb_str data, fb_str *fields) {
    size_t count = 0;

    while (count < FIELDS_MAX) {
        size_t len = fb_str_find(data, '\xff');
        fields[count++] = fb_str_make(data.ptr, len);
        if (len == data.len) {
            break;
        }
        data = fb_str_make(data.ptr + len + 1, data.len - len - 1);
    }
    return count;
}

static void add(fb_kinds *kinds, const char *file, fb_str text) {
    fb_error error = {0};

    if (fb_kinds_add(kinds, fb_str_of(file), text, file, &error) != FB_OK) {
        FB_ASSERT(error.code != FB_OK && error.text[0] != '\0');
    }
}

static void check_address(fb_str text, const fb_buf *name, const fb_buf *spec) {
    fb_address address;

    FB_ASSERT(fb_address_parse(text, &address, NULL) == FB_OK);
    FB_ASSERT(fb_str_equal(fb_buf_str(name), address.name));
    FB_ASSERT(fb_str_equal(fb_buf_str(spec), address.spec));
}

static void check_message(const fb_mail_draft *draft, fb_str message) {
    mail_read mail = {0};

    mail_read_parse(&mail, message);
    check_address(draft->to, &mail.to_name, &mail.to_spec);
    check_address(draft->from, &mail.from_name, &mail.from_spec);
    FB_ASSERT(mail.has_reply == (draft->reply_to.len > 0));
    if (mail.has_reply) {
        check_address(draft->reply_to, &mail.reply_name, &mail.reply_spec);
    }
    FB_ASSERT(fb_str_equal(fb_buf_str(&mail.message_id), draft->message_id));
    FB_ASSERT(fb_utf8_valid(fb_buf_str(&mail.subject)));
    FB_ASSERT(fb_utf8_valid(fb_buf_str(&mail.text)) && fb_utf8_valid(fb_buf_str(&mail.html)));
    mail_read_release(&mail);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str fields[FIELDS_MAX] = {{NULL, 0}};
    fb_mail_var vars[8];
    size_t count = split(fb_str_make((const char *)data, size), fields), var_count = 0;
    fb_kinds *kinds = NULL;
    fb_buf text = {0}, out = {0};
    fb_error error = {0};

    FB_ASSERT(fb_kinds_new(&kinds) == FB_OK);
    FB_ASSERT(fb_buf_printf(&text, "Subject: %.*s\n\n%.*s", FB_STR_ARG(fields[5]),
                            FB_STR_ARG(fields[6])) == FB_OK);
    add(kinds, "fuzz.txt", fb_buf_str(&text));
    if (fields[7].len > 0) {
        add(kinds, "fuzz.html", fields[7]);
    }
    for (size_t i = 8; i + 1 < count; i += 2) {
        vars[var_count++] = (fb_mail_var){fields[i], fields[i + 1]};
    }
    fb_mail_draft draft = {.kind = FB_STR("fuzz"), .to = fields[0], .from = fields[1],
                           .reply_to = fields[2], .message_id = fields[3], .product = fields[4],
                           .vars = vars, .var_count = var_count, .date_ms = 1000, .seed = size};
    for (int i = 0; i < 2; i++) {
        out.len = 0;
        int result = fb_mail_render(kinds, &draft, &out, &error);
        if (result == FB_OK) {
            check_message(&draft, fb_buf_str(&out));
        } else {
            FB_ASSERT(out.len == 0 && error.code == result && error.text[0] != '\0');
            FB_ASSERT(fb_utf8_valid(fb_str_of(error.text)));
        }
        draft.kind = FB_STR("otp");
    }
    fb_buf_release(&out);
    fb_buf_release(&text);
    fb_kinds_free(kinds);
    return 0;
}
