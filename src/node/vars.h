// node/vars.h -- variables of a mail, out of the member `vars` of a JSON object.
//
// Threads: any.

#ifndef FB_NODE_VARS_H
#define FB_NODE_VARS_H

#include <forebay/mail.h>

#include "node/route.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_VARS_NUMBER_SIZE = 32 };

typedef struct fb_vars {
    fb_mail_var vars[FB_MAIL_VARS_MAX];
    size_t count;
    // private: what JSON had as numbers, as text
    char numbers[FB_MAIL_VARS_MAX][FB_VARS_NUMBER_SIZE];
} fb_vars;

// They point into the object. Says so and returns false where they are no strings, numbers, true or
// false. No `vars` is none.
bool fb_vars_read(fb_http_call *call, struct json_t *object, fb_vars *vars);

#ifdef __cplusplus
}
#endif

#endif
