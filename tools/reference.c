// reference: writes docs/configuration.md, the reference of all options, from the option tables.
//
//   reference            prints the page
//   reference FILE       fails where FILE is not that page: a test keeps the page true
//
// What the tables cannot say (how values, variables and files work) is the text below.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "config/settings.h"
#include "config/values.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "This page is made from the tables that the program itself reads by: `tools/make-reference`.\n"
    "\n"
    "forebay is configured by one YAML file, by environment variables, and by `.env` files. All of it\n"
    "is checked as it is read: `forebay check FILE` names file, line, column and option of what is\n"
    "wrong, what was found and what was expected.\n"
    "\n"
    "```yaml\n"
    "listen: {resp: 127.0.0.1:6380, http: 127.0.0.1:8080}\n"
    "memory: 256MiB\n"
    "sources:\n"
    "  catalogue: {sqlite: catalogue.db}\n"
    "classes:\n"
    "  package:\n"
    "    key: \"package:{name}\"\n"
    "    normalise: [trim, casefold]\n"
    "    source: catalogue\n"
    "    query: \"SELECT * FROM package WHERE name = :name\"\n"
    "    one: true\n"
    "    ttl: 1h\n"
    "    tags: [\"section:{section}\"]\n"
    "```\n"
    "\n"
    "## Values\n"
    "\n"
    "| kind | written as |\n"
    "|---|---|\n"
    "| duration | a number and a unit, `250ms`, `30s`, `1.5h`, `1h30m`; units `ns us ms s m h d w`; "
    "only `0` has none |\n"
    "| size | `512`, `64KiB`, `256MiB`, `2GiB`; also `KB MB GB` (powers of 1000) and `K M G` (as "
    "`KiB MiB GiB`) |\n"
    "| ratio | `0.1` or `10%` |\n"
    "| address | `127.0.0.1:6380`, `localhost:6380`, `[::1]:6380`, `unix:/run/forebay.sock`, or "
    "`off`; port 0 is any free one |\n"
    "| path | relative to the folder of the file it stands in; in a variable, to the working "
    "folder |\n"
    "| list | `[a, b]`, one item a line, or one item alone |\n"
    "| name | of a class, source or parameter: at most 64 letters, digits and `_` |\n"
    "\n"
    "A file is one YAML document of at most 1 MiB. Anchors, aliases and merge keys (`<<: *usual`)\n"
    "work; tags (`!!int`) do not. A name given twice is an error, and so is an option that does not\n"
    "exist. Texts with a `{` or `*` first, or with `: ` or ` #` in them, need quotes.\n"
    "\n"
    "## Variables\n"
    "\n"
    "Every option has a variable: its path in capitals with `_` for `.`, after `FOREBAY_`. So\n"
    "`memory` is `FOREBAY_MEMORY`, and `classes.package.ttl` is `FOREBAY_CLASSES_PACKAGE_TTL`, for a\n"
    "class or source that the file declares. The value is the text itself, without quotes; lists are\n"
    "written `[a, b]`. An empty value counts as not set. A `FOREBAY_` variable that names no option is\n"
    "an error.\n"
    "\n"
    "`REDIS_URL`, or where that is not set `REDIS_HOST`, `REDIS_PORT` and `REDIS_DB`, and `REDIS_USER`\n"
    "and `REDIS_PASSWORD` are taken too, since other programs go by them; the `FOREBAY_REDIS_` ones win.\n"
    "`SMTP_URL` makes the mail relay `main`.\n"
    "\n"
    "A `.env` file has lines `NAME=value`, with `export` before them or not, and `#` comments. In\n"
    "`'single quotes'` everything stands for itself, in `\"double quotes\"` `\\n \\r \\t \\\" \\\\ \\$`\n"
    "are read; nothing is substituted. It lies beside the configuration, or in the working folder\n"
    "where there is none. What wins: the command line (`--set memory=1GiB`), then the environment,\n"
    "then `.env`, then the file, then the defaults below.\n"
    "\n"
    "## Options\n"
    "\n"
    "`<name>` stands for a name of your own. Options marked ↻ take effect on a reload (SIGHUP); the\n"
    "others after a restart.\n";

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

static void add_code(const char *text) {
    add("`");
    add_cell(text);
    add("`");
}

static void add_kind(const fb_option *row) {
    char text[FB_VALUE_EXPECTED_SIZE];
    bool ranged = (row->min != 0 || row->max != 0) && row->type != FB_OPTION_TEXT &&
                  row->type != FB_OPTION_TEXTS;

    if (ranged) {
        const char *expected = fb_value_expected(row, FB_ERANGE, text);
        add_cell(strncmp(expected, "a ", 2) == 0 ? expected + 2 : expected);
    } else {
        add_cell(fb_value_unit(row, text));
    }
}

static void add_default(const fb_option *row) {
    bool is_none = row->type == FB_OPTION_INTEGER && row->default_text != NULL &&
                   (strcmp(row->default_text, "-9223372036854775808") == 0 ||
                    strcmp(row->default_text, "9223372036854775807") == 0);

    if (row->required) {
        add("required");
    } else if (row->default_text == NULL || is_none) {
        add("none");
    } else {
        add_code(row->default_text);
    }
}

static void add_row(const fb_option *row, const char *path) {
    add("| ");
    add_code(path);
    add(row->reloadable ? " ↻ | " : " | ");
    add_kind(row);
    add(" | ");
    add_default(row);
    add(" | ");
    add_cell(row->help);
    add(" |\n");
}

static const char table_head[] = "\n| option | value | default | |\n|---|---|---|---|\n";

// The rows that are in one table: those of sections too. Maps of names get headings of their own.
static void add_rows(const fb_option *table, const char *before) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "%s%s", before, row->name);
        if (row->type == FB_OPTION_SECTION) {
            (void)snprintf(path, sizeof(path), "%s%s.", before, row->name);
            add_rows(row->inner, path);
        } else if (row->type != FB_OPTION_NAMED) {
            add_row(row, path);
        }
    }
}

static void add_named(const fb_option *table, const char *before) {
    for (const fb_option *row = table; row->name != NULL; row++) {
        char path[256];
        if (row->type == FB_OPTION_SECTION) {
            (void)snprintf(path, sizeof(path), "%s%s.", before, row->name);
            add_named(row->inner, path);
        }
        if (row->type != FB_OPTION_NAMED) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s%s.<name>", before, row->name);
        add("\n### ");
        add_code(path);
        add("\n\n");
        add(row->help);
        add("\n");
        add(table_head);
        // Below its own heading an option is found by its name.
        add_rows(row->inner, "");
        (void)snprintf(path, sizeof(path), "%s%s.<name>.", before, row->name);
        add_named(row->inner, path);
    }
}

static int compare(const char *name) {
    FILE *file = fopen(name, "rb");
    static char text[1 << 18];
    size_t len = file != NULL ? fread(text, 1, sizeof(text), file) : 0;

    if (file != NULL) {
        (void)fclose(file);
    }
    if (!fb_str_equal(fb_str_make(text, len), fb_buf_str(&page))) {
        fprintf(stderr, "%s is not what the option tables say: run tools/make-reference\n", name);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;

    add(introduction);
    add("\n### The server\n");
    add(table_head);
    add_rows(fb_settings_table, "");
    add_named(fb_settings_table, "");
    if (argc > 1) {
        status = compare(argv[1]);
    } else {
        (void)fwrite(page.ptr, 1, page.len, stdout);
    }
    fb_buf_release(&page);
    return status;
}
