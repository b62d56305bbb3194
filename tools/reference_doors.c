// reference_doors: writes docs/commands.md and docs/http.md, the references of the two doors, from
// the tables of commands, routes, results and counters.
//
//   reference_doors commands|http         prints the page
//   reference_doors commands|http FILE    fails where FILE is not that page: a test keeps it true
//
// What the tables cannot say is the text below.

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <forebay/stats.h>

#include "base/buf.h"
#include "base/str.h"
#include "node/command.h"
#include "node/command_table.h"
#include "node/route.h"

static fb_buf page;

static void add(const char *text) {
    if (fb_buf_append(&page, fb_str_of(text)) != FB_OK) {
        abort();
    }
}

// In a table cell a bar would begin the next one.
static void add_cell(const char *text) {
    for (; *text != '\0'; text++) {
        char byte[3] = {*text == '|' ? '\\' : *text, *text == '|' ? '|' : '\0', '\0'};
        add(byte);
    }
}

// ---- RESP

static const char commands_head[] =
    "# RESP commands\n"
    "\n"
    "This page is made from the command table: `tools/make-reference`.\n"
    "\n"
    "forebay speaks RESP2 and RESP3 (`HELLO 3`), with Redis's own replies and errors, so any "
    "Redis\n"
    "client works. Its own verbs begin with `FB.`; `FB.HELP` prints them.\n"
    "\n"
    "## Forebay's verbs\n"
    "\n"
    "Option words come first, then the class or the scope, then names and values of any kind. A "
    "class\n"
    "that is called like an option is written after the word `CLASS`.\n";

static const char commands_errors[] =
    "\n## Errors\n"
    "\n"
    "The first word of an error is its code. Those of Redis's commands are Redis's; those of "
    "forebay's\n"
    "verbs are:\n"
    "\n"
    "| code | meaning |\n"
    "|---|---|\n";

static const char commands_replies[] =
    "\n## Replies\n"
    "\n"
    "- `FB.FETCH`: the value; null where a class with `one: true` has no such row. With `WITHMETA` "
    "a\n"
    "  map: `value`, `negative`, `kind`, `tier`, `freshness`, `age_ms`, `ttl_ms`, `version`; of what\n"
    "  does not exist, the first two.\n"
    "- `FB.MFETCH package 1 name bash zsh`: an array with what `FB.FETCH` would have said for each row\n"
    "  of values, in their order; one's error is an error in its place. What is missing is loaded in\n"
    "  batches, where the class has `batch.query`.\n"
    "- `FB.INVALIDATE`: how many entries left; -1 for tags, classes, namespaces, and patterns that a\n"
    "  class's `index` is for, which take effect without visiting their entries. With `SOFT`, those\n"
    "  that left because their class has neither `stale_ttl` nor `fallback_ttl`.\n"
    "- `FB.WARM`: how many loads were lined up; those of a `warm.query`, which is asked in the\n"
    "  background, are not among them: the log tells.\n"
    "- `FB.STATS`, `FB.EXPLAIN`: a map. In RESP2 a map is an array of names and values.\n"
    "\n"
    "What `FB.STATS` counts, of a class or of all:\n"
    "\n"
    "| name | |\n"
    "|---|---|\n";

static const char commands_differences[] =
    "\n"
    "## Where forebay is not Redis\n"
    "\n"
    "Redis has one thread for all commands; forebay has several loops, and each runs the\n"
    "commands of its own connections. A command on one key is atomic, as in Redis. On several\n"
    "keys:\n"
    "\n"
    "- `MULTI` … `EXEC`: the commands run one after the other in one turn of the connection's\n"
    "  loop, and what is wrong in itself (an unknown command, a wrong number of arguments)\n"
    "  makes `EXEC` answer `EXECABORT` with nothing done. No other command of that connection,\n"
    "  or of that loop, comes in between. Connections of other loops, HTTP, callers of the\n"
    "  library and loads may see a part of it done, and change keys meanwhile. An `FB.FETCH` in\n"
    "  it keeps its own reply waiting, not the next command; where hundreds of them have to\n"
    "  load, the rest runs as these come in.\n"
    "- `WATCH` is refused for that reason. `UNWATCH` is accepted. `CLIENT REPLY` is refused\n"
    "  between `MULTI` and `EXEC`, whose array it would leave incomplete.\n"
    "- `MSET` and `DEL` take their keys one by one. What is sure to be too large makes `MSET`\n"
    "  and `MSETNX` do nothing.\n"
    "- `MSETNX` sets all keys or none, and of several that want the same keys at the same time\n"
    "  one gets them. Before it gives up it may have set some for a moment, which others can\n"
    "  see.\n"
    "- A key and its value together may take an eighth of `memory`.\n"
    "- A time to live of more than 292 years is for ever. There is database 0 alone.\n"
    "\n"
    "A connection may write a pipeline before it reads the first reply: commands that wait may\n"
    "take 256 MiB, and replies are not made much faster than they are read. Who goes beyond\n"
    "that and then takes nothing for a minute is disconnected. One command, one reply and all\n"
    "of `EXEC` may be 1 GiB, one argument and what `MULTI` queues 512 MiB. What looks like HTTP\n"
    "(`POST`, `Host:`) is hung up on, as Redis does.\n";

static void add_command(const fb_command *command, const char *parent) {
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s%s", parent, parent[0] != '\0' ? " " : "",
                   command->name);
    for (char *letter = name; *letter != '\0'; letter++) {
        *letter = (char)toupper((unsigned char)*letter);
    }
    if (command->subcommands == NULL || command->run != NULL) {
        add("| `");
        add_cell(name);
        if (command->syntax[0] != '\0') {
            add(" ");
            add_cell(command->syntax);
        }
        add("` | ");
        add_cell(command->summary);
        add(" |\n");
    }
    for (const fb_command *sub = command->subcommands; sub != NULL && sub->name != NULL; sub++) {
        add_command(sub, name);
    }
}

static void add_group(const char *group, const char *title) {
    if (title != NULL) {
        add("\n### ");
        add(title);
        add("\n");
    }
    add("\n| command | |\n|---|---|\n");
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        if (strcmp(fb_command_at(i)->group, group) == 0) {
            add_command(fb_command_at(i), "");
        }
    }
}

static void add_code_row(int result, const char *text) {
    const char *code = fb_command_code(result);
    if (result < 0 && strcmp(code, "ERR") != 0) {
        add("| `");
        add(code);
        add("` | ");
        add_cell(text);
        add(" |\n");
    }
}

static void add_counter(const char *name, const char *help) {
    add("| `");
    add(name);
    add("` | ");
    add_cell(help);
    add(" |\n");
}

static void add_commands(void) {
    add(commands_head);
    add_group("forebay", NULL);
    add(commands_replies);
#define ADD_COUNTER(name, help) add_counter(#name, help);
    FB_CACHE_COUNTERS(ADD_COUNTER)
#undef ADD_COUNTER
    add(commands_errors);
#define ADD_CODE(name, number, text) add_code_row(number, text);
    FB_RESULTS(ADD_CODE)
#undef ADD_CODE
    add("| `ERR` | everything else: what the caller did wrong |\n\n## Redis's commands\n");
    add_group("string", "Strings");
    add_group("generic", "Keys");
    add_group("connection", "Connections");
    add_group("transactions", "Transactions");
    add_group("server", "The server");
    add(commands_differences);
}

// ---- HTTP

static const char http_head[] =
    "# HTTP routes\n"
    "\n"
    "This page is made from the route table: `tools/make-reference`. `GET /` gives the same as "
    "JSON.\n"
    "\n"
    "Bodies are JSON. `HEAD` works wherever `GET` does. Values carry an `ETag` (ask again with\n"
    "`If-None-Match`), `Age`, and `Cache-Status`, which says whether memory or the source "
    "answered.\n"
    "Errors are problem documents (RFC 9457). The routes marked ★ stand below `http.prefix` too.\n"
    "\n"
    "| route | |\n"
    "|---|---|\n";

static const char http_errors[] =
    "\n## Statuses of errors\n"
    "\n"
    "A value that is known not to exist is 404 as well; an unknown route 404, a wrong method 405 "
    "with\n"
    "`Allow`.\n"
    "\n"
    "| status | `code` | meaning |\n"
    "|---|---|---|\n";

static void add_route(const fb_route *route) {
    add("| `");
    add(route->method);
    add(" ");
    add_cell(route->path);
    add((route->flags & FB_ROUTE_MONITORING) != 0 ? "` ★ | " : "` | ");
    add_cell(route->summary);
    for (const fb_route_param *param = route->params; param != NULL && param->name != NULL;
         param++) {
        add("<br>`");
        add(param->name);
        add("`: ");
        add_cell(param->help);
    }
    add(" |\n");
}

// What a request is answered that ends so, by asking the code that answers.
static void add_status(int result, const char *text) {
    fb_http_response response = {0};
    char row[160];
    if (result >= 0) {
        return;
    }
    fb_http_failure(&response, result, NULL);
    const char *code = fb_command_code(result);
    bool named = strcmp(code, "ERR") != 0;
    (void)snprintf(row, sizeof row, "| %d | %s%s%s | %s |\n", response.status, named ? "`" : "",
                   named ? code : "", named ? "`" : "", text);
    add(row);
    fb_http_response_release(&response);
}

static void add_http(void) {
    add(http_head);
    for (const fb_route *route = FB_ROUTES; route->method != NULL; route++) {
        add_route(route);
    }
    add(http_errors);
#define ADD_STATUS(name, number, text) add_status(number, text);
    FB_RESULTS(ADD_STATUS)
#undef ADD_STATUS
}

// ---- the page

static int compare(const char *name) {
    FILE *file = fopen(name, "rb");
    static char text[1 << 18];
    size_t len = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (!fb_str_equal(fb_str_make(text, len), fb_buf_str(&page))) {
        fprintf(stderr, "%s is not what the tables say: run tools/make-reference\n", name);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    bool commands = argc > 1 && strcmp(argv[1], "commands") == 0;
    if (!commands && (argc < 2 || strcmp(argv[1], "http") != 0)) {
        fprintf(stderr, "usage: reference_doors commands|http [FILE]\n");
        return 2;
    }
    if (commands) {
        add_commands();
    } else {
        add_http();
    }
    if (argc > 2) {
        status = compare(argv[2]);
    } else {
        (void)fwrite(page.ptr, 1, page.len, stdout);
    }
    fb_buf_release(&page);
    return status;
}
