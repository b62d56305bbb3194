// Addresses: whatever the text, an error is said within it; what is taken has no control character, is
// read again as itself, and stands in a message as it is.

#include "base/check.h"
#include "base/utf8.h"
#include "mail/message.h"
#include "mail_reader.h"

static void check_bytes(fb_str text) {
    FB_ASSERT(fb_utf8_valid(text));
    for (size_t i = 0; i < text.len; i++) {
        FB_ASSERT((unsigned char)text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f);
    }
}

static void check_message(const fb_address *address) {
    fb_message message = {.from = address, .to = address, .message_id = FB_STR("<a@b>"),
                          .text = FB_STR("a\n")};
    fb_buf out = {0};
    mail_read mail = {0};

    FB_ASSERT(fb_message_write(&message, &out, NULL) == FB_OK);
    mail_read_parse(&mail, fb_buf_str(&out));
    FB_ASSERT(fb_str_equal(fb_buf_str(&mail.to_name), address->name));
    FB_ASSERT(fb_str_equal(fb_buf_str(&mail.to_spec), address->spec));
    mail_read_release(&mail);
    fb_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    fb_address address, again;
    fb_error error = {0};

    int result = fb_address_parse(text, &address, &error);
    if (result != FB_OK) {
        FB_ASSERT(error.code == result && error.text[0] != '\0');
        FB_ASSERT(error.column >= 1 && error.column <= size + 1);
    } else {
        check_bytes(address.name);
        check_bytes(address.spec);
        FB_ASSERT(address.spec.len <= FB_MAIL_ADDRESS_MAX);
        FB_ASSERT(address.name.len <= FB_MAIL_ADDRESS_MAX);
        FB_ASSERT(address.ascii == (fb_utf8_ascii(address.spec, 0) == address.spec.len));
        FB_ASSERT(fb_str_ends(address.spec, address.domain) && address.domain.len > 0);
        FB_ASSERT(fb_address_parse(address.spec, &again, NULL) == FB_OK);
        FB_ASSERT(fb_str_equal(address.spec, again.spec));
        FB_ASSERT(fb_address_is_host(address.domain));
        check_message(&address);
    }
    (void)fb_address_is_host(text);
    return 0;
}
