// The words of a command are counted beforehand, because RESP says their number first; that as many
// were written is asserted at the end. The tail (everything behind the script's hash) is kept
// apart, so that a script can be sent once more with its text in front of the same keys and
// arguments.

#include "redis/step.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/str.h"
#include "redis/envelope.h"
#include "wire/resp.h"

void fb_step_release(fb_step *step) {
    fb_buf_release(&step->command);
}

void fb_step_keep(fb_step *step, int result) {
    if (step->result == FB_OK) {
        step->result = result;
    }
}

static void head(fb_step *step, const char *verb, fb_str script) {
    fb_step_keep(step, fb_buf_printf(&step->command, "*%zu\r\n", step->words));
    fb_step_keep(step, fb_resp_write_bulk(&step->command, fb_str_of(verb)));
    fb_step_keep(step, fb_resp_write_bulk(&step->command, script));
    step->tail = step->command.len;
}

void fb_step_begin(fb_step *step, fb_script_name script, size_t key_count, size_t arg_count) {
    step->script = script;
    step->words = 3 + key_count + arg_count;
    step->written = 2;
    head(step, "EVALSHA", fb_str_of(fb_scripts[script].sha1));
    fb_step_put_number(step, (int64_t)key_count);
}

void fb_step_begin_verb(fb_step *step, const char *verb, size_t word_count) {
    step->words = 1 + word_count;
    fb_step_keep(step, fb_buf_printf(&step->command, "*%zu\r\n", step->words));
    fb_step_put(step, fb_str_of(verb));
}

void fb_step_put(fb_step *step, fb_str word) {
    fb_step_keep(step, fb_resp_write_bulk(&step->command, word));
    step->written++;
}

void fb_step_put_number(fb_step *step, int64_t number) {
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRId64, number);
    fb_step_put(step, fb_str_make(text, (size_t)len));
}

void fb_step_put_raw(fb_step *step, uint64_t number) {
    char bytes[8];
    fb_envelope_put64(bytes, number);
    fb_step_put(step, fb_str_make(bytes, sizeof bytes));
}

void fb_step_put_joined(fb_step *step, const fb_str *pieces, size_t piece_count) {
    size_t len = 0;
    for (size_t i = 0; i < piece_count; i++) {
        len += pieces[i].len;
    }
    fb_step_keep(step, fb_buf_printf(&step->command, "$%zu\r\n", len));
    for (size_t i = 0; i < piece_count; i++) {
        fb_step_keep(step, fb_buf_append(&step->command, pieces[i]));
    }
    fb_step_keep(step, fb_buf_append(&step->command, FB_STR("\r\n")));
    step->written++;
}

int fb_step_end(const fb_step *step) {
    FB_ASSERT(step->result != FB_OK || step->written == step->words);
    return step->result;
}

int fb_step_with_text(fb_step *step) {
    fb_buf before = step->command;
    size_t tail = step->tail;

    step->command = (fb_buf){0};
    step->result = fb_buf_reserve(&step->command, before.len + fb_scripts[step->script].text.len);
    head(step, "EVAL", fb_scripts[step->script].text);
    fb_step_keep(step, fb_buf_append(&step->command,
                                     fb_str_make(before.ptr + tail, before.len - tail)));
    step->loaded = true;
    fb_buf_release(&before);
    return step->result;
}
