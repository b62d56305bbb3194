// Code words are the daemon's (node/command.c). ERR is what the caller did wrong; of those texts
// that Redis has too, some are results of their own here.

#include "client/refusal.h"

#include "base/error.h"
#include "base/str.h"

typedef struct row {
    fb_str begins;
    int result;
} row;

static const row rows[] = {
    {FB_STR_INIT("NOCLASS "), FB_ENOCLASS},
    {FB_STR_INIT("NOSOURCE "), FB_ENOSOURCE},
    {FB_STR_INIT("TIMEOUT "), FB_ETIMEDOUT},
    {FB_STR_INIT("OVERLOAD "), FB_EOVERLOAD},
    {FB_STR_INIT("SOURCE "), FB_ESOURCE},
    {FB_STR_INIT("DENIED "), FB_EDENIED},
    {FB_STR_INIT("CLOSING "), FB_ECLOSED},
    {FB_STR_INIT("OOM "), FB_ENOMEM},
    {FB_STR_INIT("NOAUTH "), FB_EDENIED},
    {FB_STR_INIT("NOPERM "), FB_EDENIED},
    {FB_STR_INIT("WRONGPASS "), FB_EDENIED},
    {FB_STR_INIT("WRONGTYPE "), FB_ETYPE},
    {FB_STR_INIT("ERR value is not an integer"), FB_ETYPE},
    {FB_STR_INIT("ERR increment or decrement would overflow"), FB_ERANGE},
    {FB_STR_INIT("ERR key or value is larger"), FB_ETOOBIG},
};

int fb_refusal_read(fb_str text, fb_error *error) {
    int result = FB_EINVAL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (fb_str_starts(text, rows[i].begins)) {
            result = rows[i].result;
            break;
        }
    }
    size_t space = fb_str_find(text, ' ');
    fb_str rest = space < text.len ? fb_str_make(text.ptr + space + 1, text.len - space - 1) : text;
    return fb_error_set(error, result, "%.*s", FB_STR_ARG(rest));
}
