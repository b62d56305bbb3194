// Payloads: whatever the bytes, reading ends; what was read is written and read again as itself; what is
// shown of it has no secret.

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "base/utf8.h"
#include "mail/payload.h"

static void check_same(const fb_mail_payload *a, const fb_mail_payload *b, bool shown) {
    FB_ASSERT(fb_str_equal(a->kind, b->kind) && fb_str_equal(a->to, b->to));
    FB_ASSERT(fb_str_equal(a->message_id, b->message_id) && a->var_count == b->var_count);
    for (size_t i = 0; i < a->var_count; i++) {
        bool hidden = shown && fb_mail_is_secret(a->vars[i].name);
        FB_ASSERT(fb_str_equal(a->vars[i].name, b->vars[i].name));
        FB_ASSERT(fb_str_equal(hidden ? FB_STR("***") : a->vars[i].value, b->vars[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};
    fb_mail_payload payload, again;
    fb_buf out = {0};
    fb_error error = {0};

    int result = fb_mail_payload_read(text, &payload, &error);
    if (result != FB_OK) {
        FB_ASSERT(error.code == result && error.text[0] != '\0' && payload.owned == NULL);
        FB_ASSERT(fb_mail_payload_show(text, &out) == FB_ESYNTAX && out.len == 0);
        return 0;
    }
    FB_ASSERT(fb_mail_payload_write(&payload, &out, &error) == FB_OK);
    FB_ASSERT(fb_mail_payload_read(fb_buf_str(&out), &again, &error) == FB_OK);
    check_same(&payload, &again, false);
    fb_mail_payload_release(&again);
    out.len = 0;
    FB_ASSERT(fb_mail_payload_show(text, &out) == FB_OK && fb_utf8_valid(fb_buf_str(&out)));
    FB_ASSERT(fb_mail_payload_read(fb_buf_str(&out), &again, &error) == FB_OK);
    check_same(&payload, &again, true);
    fb_mail_payload_release(&again);
    fb_mail_payload_release(&payload);
    fb_buf_release(&out);
    return 0;
}
