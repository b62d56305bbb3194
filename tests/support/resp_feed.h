// resp_feed.h -- feeds bytes to the RESP readers in pieces and writes down all that comes out, as a
// text in which two runs can be compared: for unit tests and fuzz targets.
//
// Each call of a reader gets its input in a block of its own, of the exact size: the input moves
// every time, and a sanitizer sees a read past its end.

#ifndef FB_TESTS_RESP_FEED_H
#define FB_TESTS_RESP_FEED_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/rng.h"
#include "base/str.h"
#include "wire/resp.h"

// How to cut: at once (step 0), every `step` bytes, or at random places where `rng` is set (among
// them pieces of no byte). `first` is the length of the first piece where it is not 0.
typedef struct feed_cut {
    size_t step;
    size_t first;
    fb_rng *rng;
} feed_cut;

static inline size_t feed_next(const feed_cut *cut, size_t at, size_t len) {
    size_t left = len - at;
    size_t piece = left;
    if (cut->rng != NULL) {
        piece = (size_t)fb_rng_below(cut->rng, fb_rng_below(cut->rng, 4) == 0 ? 64 : 4);
    } else if (cut->first > 0) {
        piece = at < cut->first ? cut->first - at : left;
    } else if (cut->step > 0) {
        piece = cut->step;
    }
    return piece < left ? piece : left;
}

static inline fb_str feed_block(fb_str input) {
    char *block = malloc(input.len > 0 ? input.len : 1);
    FB_ASSERT(block != NULL);
    if (input.len > 0) {
        memcpy(block, input.ptr, input.len);
    }
    return fb_str_make(block, input.len);
}

static inline void show_text(fb_buf *out, const char *text) {
    FB_ASSERT(fb_buf_append(out, fb_str_of(text)) == FB_OK);
}

// In single quotes; what is not printable as \xHH.
static inline void show_bytes(fb_buf *out, fb_str bytes) {
    show_text(out, "'");
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.ptr[i];
        bool plain = byte >= ' ' && byte <= '~' && byte != '\\' && byte != '\'';
        FB_ASSERT((plain ? fb_buf_byte(out, (char)byte) : fb_buf_printf(out, "\\x%02x", byte)) ==
                  FB_OK);
    }
    show_text(out, "'");
}

static inline void show_error(fb_buf *out, ssize_t result, const fb_error *error) {
    FB_ASSERT(error->code == (int)result);
    FB_ASSERT(fb_buf_printf(out, "%s: %s\n", fb_result_name((int)result), error->text) == FB_OK);
}

static inline void show_command(fb_buf *out, const fb_resp_command *command) {
    for (size_t i = 0; i < command->arg_count; i++) {
        show_text(out, i > 0 ? " " : "");
        show_bytes(out, command->args[i]);
    }
    show_text(out, command->arg_count == 0 ? "(nothing)\n" : "\n");
}

// One line a command; at the end "wants N" where a command has begun, or the error.
static inline void feed_commands(fb_str stream, const fb_resp_limits *limits, const feed_cut *cut,
                                 fb_buf *out) {
    fb_resp_command command = {0};
    fb_error error = {0};
    size_t start = 0;
    size_t there = 0;
    do {
        there += feed_next(cut, there, stream.len);
        ssize_t used = 1;
        while (used > 0 && start < there) {
            fb_str input = feed_block(fb_str_make(stream.ptr + start, there - start));
            used = fb_resp_command_read(&command, input, limits, &error);
            FB_ASSERT(used <= (ssize_t)input.len);
            if (used > 0) {
                show_command(out, &command);
                start += (size_t)used;
            } else {
                FB_ASSERT(command.arg_count == 0);
            }
            free((void *)(uintptr_t)input.ptr);
        }
        if (used < 0) {
            show_error(out, used, &error);
            fb_resp_command_release(&command);
            return;
        }
    } while (there < stream.len);
    if (start < stream.len) {
        FB_ASSERT(fb_buf_printf(out, "wants %zu\n", fb_resp_command_wants(&command)) == FB_OK);
    }
    fb_resp_command_release(&command);
}

// A value in one line: '…' bulk, +'…', -'…', :1, null, ,1.5, #t, ('…', ='…', and [ ] { } < > ( ) for
// array, map, push, set.
static inline void show_value(fb_buf *out, const fb_resp_value *value) {
    static const char *const marks[] = {
        [FB_RESP_STRING] = "",     [FB_RESP_SIMPLE] = "+",    [FB_RESP_ERROR] = "-",
        [FB_RESP_INTEGER] = ":",   [FB_RESP_NULL] = "null",   [FB_RESP_DOUBLE] = ",",
        [FB_RESP_BOOLEAN] = "#",   [FB_RESP_BIGNUMBER] = "(", [FB_RESP_VERBATIM] = "=",
        [FB_RESP_ARRAY] = "[]",    [FB_RESP_MAP] = "{}",      [FB_RESP_SET] = "()",
        [FB_RESP_PUSH] = "<>",
    };
    const char *mark = marks[value->type];
    if (value->type >= FB_RESP_ARRAY) {
        FB_ASSERT(fb_buf_byte(out, mark[0]) == FB_OK);
        for (size_t i = 0; i < value->child_count; i++) {
            show_text(out, i > 0 ? " " : "");
            show_value(out, &value->children[i]);
        }
        FB_ASSERT(fb_buf_byte(out, mark[1]) == FB_OK);
        return;
    }
    FB_ASSERT(value->child_count == 0);
    show_text(out, mark);
    if (value->type == FB_RESP_INTEGER || value->type == FB_RESP_BOOLEAN) {
        FB_ASSERT(fb_buf_printf(out, "%lld", (long long)value->integer) == FB_OK);
    } else if (value->type == FB_RESP_DOUBLE) {
        // Which sign a NaN has means nothing.
        FB_ASSERT(value->number != value->number
                      ? fb_buf_append(out, FB_STR("nan")) == FB_OK
                      : fb_buf_printf(out, "%.17g", value->number) == FB_OK);
    } else if (value->type != FB_RESP_NULL) {
        show_bytes(out, value->text);
    }
}

// One line a value; at the end "more" where a value has begun, or the error.
static inline void feed_replies(fb_str stream, fb_resp_reply *reply, const feed_cut *cut,
                                fb_buf *out) {
    fb_error error = {0};
    size_t start = 0;
    size_t there = 0;
    fb_resp_reply_reset(reply);
    do {
        there += feed_next(cut, there, stream.len);
        ssize_t used = 1;
        while (used > 0 && start < there) {
            const fb_resp_value *value = NULL;
            fb_str input = feed_block(fb_str_make(stream.ptr + start, there - start));
            used = fb_resp_reply_read(reply, input, &value, &error);
            FB_ASSERT(used <= (ssize_t)input.len && (used > 0) == (value != NULL));
            if (used > 0) {
                show_value(out, value);
                show_text(out, "\n");
                start += (size_t)used;
            }
            free((void *)(uintptr_t)input.ptr);
        }
        if (used < 0) {
            show_error(out, used, &error);
            return;
        }
    } while (there < stream.len);
    show_text(out, start < stream.len ? "more\n" : "");
}

#endif
