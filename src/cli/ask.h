// cli/ask.h -- one question to a running server, and what becomes of its reply.

#ifndef FB_CLI_ASK_H
#define FB_CLI_ASK_H

#include "base/buf.h"
#include "cli/command_line.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_QUESTION_ARGS_MAX = 2 * FB_LINE_WORDS_MAX + 8 };

typedef struct fb_question {
    fb_str args[FB_QUESTION_ARGS_MAX];
    size_t count;
} fb_question;

fb_question fb_question_begin(const char *verb);
void fb_question_add(fb_question *to, fb_str arg);
// A word and its value; nothing where that is NULL.
void fb_question_option(fb_question *to, const char *word, const char *value);
// "name=value" words of the line from `from` on become two arguments each. Says so and returns false
// where one is none.
bool fb_question_pairs(fb_question *to, const fb_line *line, size_t from);
// Where the server is, without user and password. Returns `text`.
enum { FB_CLI_SERVER_SIZE = 300 };
const char *fb_cli_server(const fb_line *line, char text[FB_CLI_SERVER_SIZE]);
// All of standard input, appended. Says so and returns false where that fails.
bool fb_cli_input(const fb_line *line, fb_buf *value);

// Gets a reply that is no error; returns the exit status.
typedef int (*fb_cli_reply_fn)(const fb_line *line, const fb_resp_value *reply);
// Connects, asks and hands on. The exit status.
int fb_cli_ask(const fb_line *line, const fb_question *what, fb_cli_reply_fn fn);
// Prints it as --json, --raw or neither say. FB_EXIT_OK, or FB_EXIT_REFUSED without memory.
int fb_cli_print(const fb_line *line, const fb_resp_value *reply);

#ifdef __cplusplus
}
#endif

#endif
