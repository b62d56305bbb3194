// Usage and complaints come from the table, so none can speak of an action that is not there.

#include "cli/action.h"

#include <stdio.h>
#include <string.h>

void fb_cli_actions_usage(const fb_cli_action *actions) {
    for (const fb_cli_action *one = actions; one->name != NULL; one++) {
        printf("  %s\n      %s\n", one->usage, one->help);
    }
    putchar('\n');
}

static int run(const fb_cli_action *action, const char *command, const fb_line *line) {
    const char *other = fb_cli_other_option(line, action->options);
    if (other != NULL) {
        fb_cli_complain(line, "%s takes no --%s", action->name, other);
        return FB_EXIT_USAGE;
    }
    if (line->word_count < action->words_min || line->word_count > action->words_max) {
        fb_cli_complain(line, "usage: forebay %s %s", command, action->usage);
        return FB_EXIT_USAGE;
    }
    return action->run(line);
}

int fb_cli_actions_run(const fb_cli_action *actions, const char *command, const fb_line *line) {
    char names[256];
    size_t len = 0;
    for (const fb_cli_action *one = actions; one->name != NULL; one++) {
        if (strcmp(line->words[0], one->name) == 0) {
            return run(one, command, line);
        }
        const char *joint = one == actions ? "" : one[1].name == NULL ? " and " : ", ";
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", joint, one->name);
        len = len < sizeof names ? len : sizeof names - 1;
    }
    fb_cli_complain(line, "there is no '%s' here: there are %s", line->words[0], names);
    return FB_EXIT_USAGE;
}
