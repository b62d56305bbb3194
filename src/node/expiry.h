// node/expiry.h -- when a key goes, as the commands say it: EX, PX, EXAT, PXAT.

#ifndef FB_NODE_EXPIRY_H
#define FB_NODE_EXPIRY_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_expiry_form {
    FB_EXPIRY_SECONDS,  // from now
    FB_EXPIRY_MS,       // from now
    FB_EXPIRY_UNIX_SECONDS,
    FB_EXPIRY_UNIX_MS
} fb_expiry_form;

int64_t fb_expiry_now_ms(const fb_node *node);
// The argument `index` as Unix time in milliseconds. Says so and returns false where it is no
// integer, does not fit, or is not positive where `positive` asks for that.
bool fb_expiry_read(fb_command_call *call, size_t index, fb_expiry_form form, bool positive,
                    int64_t *at_ms);
// Whether an argument is one of the four words.
bool fb_expiry_word(const fb_command_call *call, size_t index, fb_expiry_form *form);

#ifdef __cplusplus
}
#endif

#endif
