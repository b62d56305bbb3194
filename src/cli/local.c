// What needs no running server: serving itself, checking a configuration, the version.

#include <forebay/forebay.h>

#include <stdio.h>

#include "cli/command_line.h"
#include "base/str.h"
#include "daemon/configure.h"
#include "daemon/guard.h"
#include "daemon/serve.h"
#include "node/reply.h"

_Static_assert((int)FB_SERVE_CONFIG == (int)FB_EXIT_USAGE, "one meaning for each status");
_Static_assert((int)FB_SERVE_ADDRESS == (int)FB_EXIT_CONNECTION, "one meaning for each status");

static fb_configure configure(const fb_line *line) {
    return (fb_configure){.path = line->word_count > 0 ? line->words[0] : line->config,
                          .settings = line->sets,
                          .setting_count = line->set_count};
}

int fb_cli_serve(const fb_line *line) {
    fb_configure how = configure(line);
    how.keep_memory = line->keep_memory;
    how.insecure = line->insecure;
    return fb_serve(&how);
}

static void print_json(const fb_buf *out) {
    fwrite(out->ptr, 1, out->len, stdout);
    putchar('\n');
}

static void report_check(const fb_line *line, const char *file, int result, const fb_error *error) {
    if (!line->json) {
        char text[1024];
        if (result < 0) {
            fb_configure_show_error(error, text, sizeof text);
            fprintf(stderr, "%s\n", text);
        } else {
            printf("%s: fine\n", file[0] != '\0' ? file : "(defaults)");
        }
        return;
    }
    fb_buf out = {0};
    fb_reply reply;
    fb_reply_init(&reply, FB_ENCODING_JSON, &out);
    fb_reply_map(&reply, result < 0 ? 6 : 2);
    fb_reply_text(&reply, "file");
    fb_reply_text(&reply, result < 0 ? error->file : file);
    fb_reply_text(&reply, "valid");
    fb_reply_boolean(&reply, result >= 0);
    if (result < 0) {
        fb_reply_text(&reply, "line");
        fb_reply_integer(&reply, error->line);
        fb_reply_text(&reply, "column");
        fb_reply_integer(&reply, error->column);
        fb_reply_text(&reply, "result");
        fb_reply_text(&reply, fb_result_name(result));
        fb_reply_text(&reply, "error");
        fb_reply_text(&reply, error->text);
    }
    if (!fb_reply_failed(&reply)) {
        print_json(&out);
    }
    fb_buf_release(&out);
}

int fb_cli_check(const fb_line *line) {
    char file[4096] = "";
    fb_error error = {0};
    fb_config *config = NULL;
    fb_users *users = NULL;
    fb_configure how = configure(line);
    int result = fb_configure_read(&how, &config, file, sizeof file, &error);
    if (result == FB_OK) {
        result = fb_check(config, &error);
    }
    if (result >= 0) {
        result = fb_guard_read(config, &users, &error);
    }
    fb_users_free(users);
    report_check(line, file, result, &error);
    fb_config_free(config);
    return result < 0 ? FB_EXIT_USAGE : FB_EXIT_OK;
}

int fb_cli_version(const fb_line *line) {
    printf(line->json ? "{\"version\":\"%s\"}\n" : "forebay %s\n", fb_version());
    return FB_EXIT_OK;
}
