// smtp/dialogue.h -- how far a mail got: told what was sent and what was heard, it knows the phase
// (mail/outcome.h) and the reply that ended it. No I/O.
//
// A phase begins when its command is sent, or when the reply before it was good: so where the
// connection is lost, it is the phase that did not come to its end. DOT begins when the last byte
// of the message has been given away, before the dot itself is: from then on nobody can be sure.

#ifndef FB_SMTP_DIALOGUE_H
#define FB_SMTP_DIALOGUE_H

#include "mail/outcome.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_dialogue_command {
    FB_DIALOGUE_NOTHING,  // the greeting is what answers it
    FB_DIALOGUE_HELLO,
    FB_DIALOGUE_STARTTLS,
    FB_DIALOGUE_AUTH,
    FB_DIALOGUE_MAIL,
    FB_DIALOGUE_RCPT,
    FB_DIALOGUE_DATA,
    FB_DIALOGUE_DOT,
    FB_DIALOGUE_OTHER
} fb_dialogue_command;

typedef struct fb_dialogue {
    fb_smtp_phase phase;
    fb_dialogue_command last;  // what the next reply answers
    int code;                  // of the last reply, unless it was good and another phase has begun
    bool continued;            // more lines of this reply come
    bool whole;                // a reply to `last` has come
    bool challenged;           // it asks for more of what signs in
    char text[sizeof((fb_smtp_result *)0)->text];  // without the code
    size_t text_len;
    // Of the connection; until there is another.
    bool offers_starttls, offers_auth, offers_utf8, secured, signed_in;
    char greeting[128];
    char secret[512];          // the last word that was sent to sign in
} fb_dialogue;

// Another mail, perhaps by the same connection.
void fb_dialogue_begin(fb_dialogue *dialogue);
// What was sent, lines with their ends.
void fb_dialogue_sent(fb_dialogue *dialogue, fb_str lines);
// One line of a reply.
void fb_dialogue_heard(fb_dialogue *dialogue, fb_str line);
// The whole message has been given away.
void fb_dialogue_ended(fb_dialogue *dialogue);

#ifdef __cplusplus
}
#endif

#endif
