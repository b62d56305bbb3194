// What was sent is told apart by its verb alone: nothing of it is kept, but while signing in the
// last word, so that a relay that repeats it ("500 unrecognized command: …") does not bring it into
// a text.
//
// A good reply clears the code and moves the phase on, a bad one stays. What is no reply (no three
// digits) is passed over, as libcurl does.

#include "smtp/dialogue.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

void fb_dialogue_begin(fb_dialogue *dialogue) {
    dialogue->phase = FB_SMTP_CONNECT;
    dialogue->last = FB_DIALOGUE_NOTHING;
    dialogue->code = 0;
    dialogue->continued = dialogue->whole = dialogue->challenged = false;
    dialogue->text[0] = '\0';
    dialogue->text_len = 0;
}

// ---- what is sent

// The second EHLO, after TLS, leads back to nothing.
static void rise(fb_dialogue *dialogue, fb_smtp_phase phase) {
    dialogue->phase = phase > dialogue->phase ? phase : dialogue->phase;
}

static void await(fb_dialogue *dialogue, fb_dialogue_command command) {
    static const fb_smtp_phase phases[] = {
        [FB_DIALOGUE_NOTHING] = FB_SMTP_CONNECT, [FB_DIALOGUE_HELLO] = FB_SMTP_GREETING,
        [FB_DIALOGUE_STARTTLS] = FB_SMTP_TLS,    [FB_DIALOGUE_AUTH] = FB_SMTP_AUTH,
        [FB_DIALOGUE_MAIL] = FB_SMTP_MAIL_FROM,  [FB_DIALOGUE_RCPT] = FB_SMTP_RCPT,
        [FB_DIALOGUE_DATA] = FB_SMTP_DATA,       [FB_DIALOGUE_DOT] = FB_SMTP_DOT};
    dialogue->last = command;
    dialogue->whole = dialogue->continued = dialogue->challenged = false;
    rise(dialogue, phases[command]);
    dialogue->code = 0;
    dialogue->text[0] = '\0';
    dialogue->text_len = 0;
}

static fb_dialogue_command command_of(fb_str line) {
    static const struct {
        fb_str verb;
        fb_dialogue_command command;
    } verbs[] = {
        {FB_STR_INIT("EHLO"), FB_DIALOGUE_HELLO}, {FB_STR_INIT("HELO"), FB_DIALOGUE_HELLO},
        {FB_STR_INIT("STARTTLS"), FB_DIALOGUE_STARTTLS}, {FB_STR_INIT("AUTH"), FB_DIALOGUE_AUTH},
        {FB_STR_INIT("MAIL"), FB_DIALOGUE_MAIL}, {FB_STR_INIT("RCPT"), FB_DIALOGUE_RCPT},
        {FB_STR_INIT("DATA"), FB_DIALOGUE_DATA}};
    size_t space = fb_str_find(line, ' ');
    fb_str verb = {line.ptr, space};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (fb_str_same(verb, verbs[i].verb)) {
            return verbs[i].command;
        }
    }
    return FB_DIALOGUE_OTHER;
}

static void keep_secret(fb_dialogue *dialogue, fb_str line) {
    size_t at = line.len;
    while (at > 0 && line.ptr[at - 1] != ' ') {
        at--;
    }
    size_t len = line.len - at;
    len = len < sizeof dialogue->secret - 1 ? len : sizeof dialogue->secret - 1;
    memcpy(dialogue->secret, line.ptr + at, len);
    dialogue->secret[len] = '\0';
}

void fb_dialogue_sent(fb_dialogue *dialogue, fb_str lines) {
    fb_str line = fb_str_trim(lines);
    fb_dialogue_command command = command_of(line);
    // What goes on signing in looks like nothing, and might look like anything.
    if (dialogue->challenged || command == FB_DIALOGUE_AUTH) {
        command = FB_DIALOGUE_AUTH;
        keep_secret(dialogue, line);
    }
    // QUIT, which libcurl also says after a refusal, is not answered by anything that counts.
    if (dialogue->phase != FB_SMTP_DONE && command != FB_DIALOGUE_OTHER) {
        await(dialogue, command);
    }
}

void fb_dialogue_ended(fb_dialogue *dialogue) {
    await(dialogue, FB_DIALOGUE_DOT);
}

// ---- what is heard

static bool holds(fb_str text, const char *part) {
    size_t len = strlen(part);
    return len >= 4 && memmem(text.ptr, text.len, part, len) != NULL;
}

// Adds to the text, which stays printable: a reply may be any bytes. Beyond ASCII too is a "?": it
// may be cut anywhere.
static void add_text(fb_dialogue *dialogue, fb_str part) {
    size_t room = sizeof dialogue->text - 1;
    if (dialogue->text_len > 0 && dialogue->text_len < room) {
        dialogue->text[dialogue->text_len++] = ' ';
    }
    for (size_t i = 0; i < part.len && dialogue->text_len < room; i++) {
        char byte = part.ptr[i];
        dialogue->text[dialogue->text_len++] = byte >= 0x20 && byte < 0x7f ? byte : '?';
    }
    dialogue->text[dialogue->text_len] = '\0';
}

static void note_offer(fb_dialogue *dialogue, fb_str line) {
    fb_str offer = fb_str_make(line.ptr + 4, line.len - 4);
    fb_str word = fb_str_make(offer.ptr, fb_str_find(offer, ' '));
    if (fb_str_same(word, FB_STR("STARTTLS"))) {
        dialogue->offers_starttls = true;
    } else if (fb_str_same(word, FB_STR("AUTH")) || fb_str_starts(word, FB_STR("AUTH="))) {
        dialogue->offers_auth = true;
    } else if (fb_str_same(word, FB_STR("SMTPUTF8"))) {
        dialogue->offers_utf8 = true;
    }
}

static void begin_connection(fb_dialogue *dialogue) {
    dialogue->offers_starttls = dialogue->offers_auth = dialogue->offers_utf8 = false;
    dialogue->secured = dialogue->signed_in = false;
    dialogue->greeting[0] = '\0';
    dialogue->phase = FB_SMTP_GREETING;
}

// A reply that is not the one the phase hopes for ends it, be it a good one.
static bool is_good(const fb_dialogue *dialogue, int code) {
    return dialogue->last == FB_DIALOGUE_DATA ? code == 354 : code / 100 == 2;
}

static void advance(fb_dialogue *dialogue, int code) {
    dialogue->challenged = dialogue->last == FB_DIALOGUE_AUTH && code == 334;
    if (!is_good(dialogue, code) && !dialogue->challenged) {
        return;
    }
    dialogue->code = 0;
    switch (dialogue->challenged ? FB_DIALOGUE_OTHER : dialogue->last) {
    case FB_DIALOGUE_STARTTLS:
        dialogue->secured = true;
        break;
    case FB_DIALOGUE_AUTH:
        dialogue->signed_in = true;
        rise(dialogue, FB_SMTP_MAIL_FROM);
        break;
    case FB_DIALOGUE_MAIL:
        rise(dialogue, FB_SMTP_RCPT);
        break;
    case FB_DIALOGUE_RCPT:
        rise(dialogue, FB_SMTP_DATA);
        break;
    case FB_DIALOGUE_DOT:
        dialogue->phase = FB_SMTP_DONE;
        dialogue->code = code;
        break;
    case FB_DIALOGUE_NOTHING:
        (void)snprintf(dialogue->greeting, sizeof dialogue->greeting, "%.*s",
                       (int)sizeof dialogue->greeting - 1, dialogue->text);
        break;
    default:
        break;
    }
}

void fb_dialogue_heard(fb_dialogue *dialogue, fb_str given) {
    fb_str line = fb_str_trim(given);
    if (line.len < 3 || line.ptr[0] < '1' || line.ptr[0] > '5' || line.ptr[1] < '0' ||
        line.ptr[1] > '9' || line.ptr[2] < '0' || line.ptr[2] > '9' || dialogue->whole ||
        dialogue->phase == FB_SMTP_DONE) {
        return;
    }
    int code = (line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 + (line.ptr[2] - '0');
    bool first = !dialogue->continued;
    if (first && dialogue->last == FB_DIALOGUE_NOTHING) {
        begin_connection(dialogue);
    }
    if (dialogue->last == FB_DIALOGUE_HELLO && line.len > 4) {
        if (first) {  // what was offered before TLS does not count
            dialogue->offers_starttls = dialogue->offers_auth = dialogue->offers_utf8 = false;
        }
        note_offer(dialogue, line);
    }
    dialogue->code = code;
    if (dialogue->last == FB_DIALOGUE_AUTH && holds(line, dialogue->secret)) {
        add_text(dialogue, FB_STR("(it repeats what was sent to sign in)"));
    } else if (line.len > 4) {
        add_text(dialogue, fb_str_make(line.ptr + 4, line.len - 4));
    }
    dialogue->continued = line.len > 3 && line.ptr[3] == '-';
    dialogue->whole = !dialogue->continued;
    if (dialogue->whole) {
        advance(dialogue, code);
    }
}
