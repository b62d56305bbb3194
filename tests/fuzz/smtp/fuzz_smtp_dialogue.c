// What goes over the wire to a relay and back, in any order: lines that begin with > are sent, with <
// heard; = says that the message has been given, ! begins another mail. The phase only rises, a mail is
// done by nothing but a good reply after the dot, and texts are printable and repeat no secret.

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "smtp/dialogue.h"

static void check_text(const char *text, size_t size) {
    size_t len = strnlen(text, size);
    FB_ASSERT(len < size);
    for (size_t i = 0; i < len; i++) {
        FB_ASSERT(text[i] >= 0x20 && text[i] < 0x7f);
    }
}

// A secret of such letters alone may also come of bytes that are not printable, or stand in our words.
static bool is_telling(const char *secret) {
    return strlen(secret) >= 4 && strchr(secret, '?') == NULL &&
           strstr("(it repeats what was sent to sign in)", secret) == NULL;
}

static void check(const fb_dialogue *dialogue, fb_smtp_phase before, bool answered) {
    FB_ASSERT(dialogue->phase >= before);
    FB_ASSERT(dialogue->code == 0 || (dialogue->code >= 100 && dialogue->code <= 599));
    check_text(dialogue->text, sizeof dialogue->text);
    check_text(dialogue->greeting, sizeof dialogue->greeting);
    FB_ASSERT(memchr(dialogue->secret, '\0', sizeof dialogue->secret) != NULL);
    if (dialogue->phase == FB_SMTP_DONE && before != FB_SMTP_DONE) {
        FB_ASSERT(answered && before == FB_SMTP_DOT && dialogue->code / 100 == 2);
    }
    if (answered && dialogue->last == FB_DIALOGUE_AUTH && is_telling(dialogue->secret)) {
        FB_ASSERT(strstr(dialogue->text, dialogue->secret) == NULL);
    }
}

static void step(fb_dialogue *dialogue, fb_str line) {
    fb_smtp_phase before = dialogue->phase;
    fb_str rest = {line.ptr + 1, line.len - 1};
    switch (line.ptr[0]) {
    case '>':
        fb_dialogue_sent(dialogue, rest);
        break;
    case '<':
        fb_dialogue_heard(dialogue, rest);
        break;
    case '=':
        fb_dialogue_ended(dialogue);
        break;
    default:
        fb_dialogue_begin(dialogue);
        before = FB_SMTP_CONNECT;
        break;
    }
    check(dialogue, before, line.ptr[0] == '<');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_dialogue dialogue = {.phase = FB_SMTP_CONNECT};
    fb_str left = {(const char *)data, size};
    fb_dialogue_begin(&dialogue);
    while (left.len > 0) {
        size_t end = fb_str_find(left, '\n');
        fb_str line = {left.ptr, end};
        if (line.len > 0) {
            step(&dialogue, line);
        }
        end += end < left.len;
        left = fb_str_make(left.ptr + end, left.len - end);
    }
    return 0;
}
