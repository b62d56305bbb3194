// redis/step.h -- one command as it is written: a script with its keys and arguments, or a command
// of the server's own. It is encoded into one buffer at once; what goes wrong meanwhile is kept,
// and told by fb_step_end().
//
// Memory: zero-initialise it; release it. Threads: one at a time on one step.

#ifndef FB_REDIS_STEP_H
#define FB_REDIS_STEP_H

#include "base/buf.h"
#include "redis/scripts.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_step {
    fb_script_name script;
    uint16_t slot;
    bool repeatable;
    bool loaded;      // the text was sent, not its hash
    fb_buf command;   // encoded
    size_t tail;      // where keys and arguments begin in it
    size_t words;     // of the command
    size_t written;   // of them
    int result;       // FB_OK, or what went wrong while it was encoded
} fb_step;

void fb_step_release(fb_step *step);

// A script by its hash, or a command of the server by its name: exactly so many words are to
// follow.
void fb_step_begin(fb_step *step, fb_script_name script, size_t key_count, size_t arg_count);
void fb_step_begin_verb(fb_step *step, const char *verb, size_t word_count);
// One word: bytes; a number in decimal, or as 8 bytes, big-endian; pieces, one behind the other.
void fb_step_put(fb_step *step, fb_str word);
void fb_step_put_number(fb_step *step, int64_t number);
void fb_step_put_raw(fb_step *step, uint64_t number);
void fb_step_put_joined(fb_step *step, const fb_str *pieces, size_t piece_count);
// Keeps the first result that is not FB_OK.
void fb_step_keep(fb_step *step, int result);
// FB_OK, or what was kept.
FB_CHECK_RESULT int fb_step_end(const fb_step *step);

// The same with the script's text instead of its hash: the server does not know it. FB_OK,
// FB_ENOMEM.
FB_CHECK_RESULT int fb_step_with_text(fb_step *step);

#ifdef __cplusplus
}
#endif

#endif
