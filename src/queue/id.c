// "reports.1042": the queue's name, a dot, and the number in decimal as the library writes it: no
// sign, no leading zero, 1 … 2^53 - 1. A name has no dot, so there is one reading only.

#include <forebay/queue.h>

#include <stdio.h>

#include "base/check.h"
#include "base/str.h"

#define NUMBER_MAX ((INT64_C(1) << 53) - 1)
_Static_assert(FB_QUEUE_NAME_MAX + 1 + 16 + 1 <= FB_JOB_ID_SIZE, "name, dot, 2^53 - 1, NUL");

const char *fb_job_state_text(fb_job_state state) {
    switch (state) {
#define FB_STATE_CASE(name, text, help) \
    case FB_JOB_##name:                 \
        return text;
        FB_JOB_STATES(FB_STATE_CASE)
#undef FB_STATE_CASE
    }
    return "?";
}

const char *fb_job_end_text(fb_job_end end) {
    switch (end) {
#define FB_END_CASE(name, text, help) \
    case FB_JOB_END_##name:           \
        return text;
        FB_JOB_ENDS(FB_END_CASE)
#undef FB_END_CASE
    }
    return "?";
}

const char *fb_job_id_write(fb_str queue, uint64_t number, char *text) {
    FB_ASSERT(queue.len <= FB_QUEUE_NAME_MAX && number <= (uint64_t)NUMBER_MAX);
    (void)snprintf(text, FB_JOB_ID_SIZE, "%.*s.%llu", FB_STR_ARG(queue),
                   (unsigned long long)number);
    return text;
}

static bool is_name(fb_str name) {
    if (name.len == 0 || name.len > FB_QUEUE_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}

int fb_job_id_parse(fb_str id, fb_str *queue, uint64_t *number) {
    size_t dot = fb_str_find(id, '.');
    int64_t read = 0;

    if (dot == id.len || !is_name((fb_str){id.ptr, dot}) ||
        fb_str_int((fb_str){id.ptr + dot + 1, id.len - dot - 1}, &read) != FB_OK || read < 1 ||
        read > NUMBER_MAX) {
        return FB_ESYNTAX;
    }
    *queue = (fb_str){id.ptr, dot};
    *number = (uint64_t)read;
    return FB_OK;
}
