// cli/action.h -- subcommands with actions of their own (`forebay jobs list`): one table each, of which
// usage and complaints are made. A table ends with a row whose name is NULL.

#ifndef FB_CLI_ACTION_H
#define FB_CLI_ACTION_H

#include <stddef.h>

#include "cli/command_line.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_cli_action {
    const char *name;
    size_t words_min, words_max;  // with the name
    const char *options;          // with a space before and behind each
    const char *usage, *help;
    int (*run)(const fb_line *line);
} fb_cli_action;

void fb_cli_actions_usage(const fb_cli_action *actions);
// The one that the first word names, of `forebay COMMAND`. Its exit status; FB_EXIT_USAGE, with a
// complaint, where it was not run.
int fb_cli_actions_run(const fb_cli_action *actions, const char *command, const fb_line *line);

#ifdef __cplusplus
}
#endif

#endif
