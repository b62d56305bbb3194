// Templates: whatever the source, compiling ends and says what is wrong within it; what is compiled is
// rendered to text that has nothing but what source and values have, and reads its variables alone.

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "base/utf8.h"
#include "mail/template.h"

static const fb_mail_var vars[] = {
    {FB_STR_INIT("a"), FB_STR_INIT("1 < 2 & \"3\"")}, {FB_STR_INIT("b"), FB_STR_INIT("")},
    {FB_STR_INIT("code"), FB_STR_INIT("{{a}}\n")},    {FB_STR_INIT("name"), FB_STR_INIT("Åse")},
};

typedef struct asked {
    size_t needed, unknown;
} asked;

static void ask(void *arg, fb_str name, bool needed) {
    asked *a = arg;
    bool known = false;

    FB_ASSERT(fb_template_is_name(name));
    for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {
        known = known || fb_str_equal(vars[i].name, name);
    }
    a->needed += needed && !known;
    a->unknown += !known;
}

static void render(const fb_template *compiled) {
    fb_buf out = {0};
    fb_error error = {0};
    asked a = {0};

    fb_template_vars(compiled, ask, &a);
    int result = fb_template_render(compiled, vars, sizeof(vars) / sizeof(vars[0]), &out, &error);
    FB_ASSERT(a.needed == 0 || result != FB_OK);
    FB_ASSERT(a.unknown > 0 || result != FB_EINVAL);
    if (result == FB_OK) {
        FB_ASSERT(fb_utf8_valid(fb_buf_str(&out)));
        for (size_t i = 0; i < out.len; i++) {
            unsigned char byte = (unsigned char)out.ptr[i];
            FB_ASSERT(byte >= 0x20 ? byte != 0x7f : byte == '\n' || byte == '\t');
        }
    } else {
        FB_ASSERT(out.len == 0 && error.text[0] != '\0');
        FB_ASSERT(result == FB_ETOOBIG || error.line > 0);
    }
    fb_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size};

    for (int html = 0; html < 2; html++) {
        fb_template *compiled = NULL;
        fb_error error = {0};
        int result = fb_template_new(text, "fuzz", html != 0, &compiled, &error);
        if (result == FB_OK) {
            render(compiled);
        } else {
            FB_ASSERT(compiled == NULL && error.code == result && error.text[0] != '\0');
            FB_ASSERT(error.line >= 1 && error.line <= size + 1);
            FB_ASSERT(error.column >= 1 && error.column <= size + 1);
        }
        fb_template_free(compiled);
    }
    return 0;
}
