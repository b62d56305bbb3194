// Completion for shells, made from the same table as the help.
//
// What a subcommand's first word may be is read from how its arguments are written: "check|show
// RULE" and "report CLASS, memory, or trace FILE" name words in small letters, and placeholders in
// capitals. Of those FILE and COMMAND can be completed; the others are names that only a server
// knows.
//
// Each script knows: the subcommands, the options of each, the first words of each, and which
// options are followed by a file, by one of a few words, by something else, or by nothing. They define what they need and
// call no library of the shell's but its own builtin completion, so that they work where
// bash-completion is not installed.

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/command_line.h"

// ---- what is completed

// The words of "check|show [RULE]": calls `fn` with each.
typedef void (*word_fn)(const char *word, size_t len);

static bool is_word(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (!islower((unsigned char)text[i]) && text[i] != '-') {
            return false;
        }
    }
    return len > 0;
}

static void each_alternative(const char *text, size_t len, word_fn fn) {
    for (size_t begin = 0; begin <= len;) {
        const char *bar = memchr(text + begin, '|', len - begin);
        size_t end = bar != NULL ? (size_t)(bar - text) : len;
        if (is_word(text + begin, end - begin)) {
            fn(text + begin, end - begin);
        }
        begin = end + 1;
    }
}

static void each_first_word(const fb_subcommand *command, word_fn fn) {
    for (const char *part = command->arguments; part != NULL;) {
        part += strncmp(part, "or ", 3) == 0 ? 3 : 0;
        each_alternative(part, strcspn(part, " ,"), fn);
        part = strstr(part, ", ");
        part = part != NULL ? part + 2 : NULL;
    }
}

static bool has(const fb_subcommand *command, const char *placeholder) {
    return strstr(command->arguments, placeholder) != NULL;
}

// A text within single quotes; `quote` is how the shell writes one inside.
static void print_quoted(const char *text, const char *quote) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs(quote, stdout);
        } else {
            putchar(*text);
        }
    }
}

static void print_commands(void) {
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        printf("%s%s", one == FB_SUBCOMMANDS ? "" : " ", one->name);
    }
}

static void print_word(const char *word, size_t len) {
    printf(" %.*s", (int)len, word);
}

static void print_first_words(const fb_subcommand *command) {
    each_first_word(command, print_word);
    if (has(command, "COMMAND")) {
        putchar(' ');
        print_commands();
    }
}

// Calls `fn` once for each option of any subcommand: of those that are like the first of their
// name.
typedef struct each_once {
    fb_cli_option_fn fn;
    char seen[4096];
} each_once;

static void pass_once(void *arg, const char *name, const char *value, const char *help) {
    each_once *all = arg;
    char word[64];
    snprintf(word, sizeof word, " %s ", name);
    size_t len = strlen(all->seen);
    if (strstr(all->seen, word) == NULL && len + strlen(word) < sizeof all->seen) {
        memcpy(all->seen + len, word, strlen(word) + 1);
        all->fn(NULL, name, value, help);
    }
}

static void each_option(fb_cli_option_fn fn) {
    each_once all = {.fn = fn};
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        fb_cli_each_option(one, pass_once, &all);
    }
}

static bool is_file(const char *value) {
    return value != NULL && strcmp(value, "FILE") == 0;
}

// "poisson|even"
static bool is_choice(const char *value) {
    return value != NULL && strchr(value, '|') != NULL;
}

static void print_choice(const char *value) {
    for (; *value != '\0'; value++) {
        putchar(*value == '|' ? ' ' : *value);
    }
}

// ---- bash

static void print_name(void *arg, const char *name, const char *value, const char *help) {
    printf(" --%s", name);
}

static void print_if_file(void *arg, const char *name, const char *value, const char *help) {
    if (is_file(value)) {
        printf(" | --%s", name);
    }
}

static void print_if_other(void *arg, const char *name, const char *value, const char *help) {
    if (value != NULL && !is_file(value) && !is_choice(value)) {
        printf(" | --%s", name);
    }
}

static void print_bash_choice(void *arg, const char *name, const char *value, const char *help) {
    if (is_choice(value)) {
        printf("        --%s) COMPREPLY=($(compgen -W '", name);
        print_choice(value);
        puts("' -- \"$word\")); return ;;");
    }
}

static void print_bash(void) {
    puts("# bash completion for forebay: made by `forebay completion bash`\n"
         "_forebay() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local options='' words='' files=''\n"
         "    COMPREPLY=()\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    fputs("        COMPREPLY=($(compgen -W '", stdout);
    print_commands();
    puts(" --help --version' -- \"$word\"))\n"
         "        return\n"
         "    fi\n"
         "    case $before in");
    fputs("        -c", stdout);
    each_option(print_if_file);
    puts(") files=yes ;;");
    each_option(print_bash_choice);
    fputs("        ''", stdout);
    each_option(print_if_other);
    puts(") return ;;\n"
         "    esac\n"
         "    case ${COMP_WORDS[1]} in");
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        printf("        %s)\n            options='", one->name);
        fb_cli_each_option(one, print_name, NULL);
        fputs("'\n            words='", stdout);
        print_first_words(one);
        printf("'\n%s            ;;\n",
               has(one, "FILE") ? "            files=${files:-also}\n" : "");
    }
    puts("    esac\n"
         "    if [ \"$files\" = yes ]; then\n"
         "        :\n"
         "    elif [[ $word == -* ]]; then\n"
         "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
         "        return\n"
         "    elif [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$words\" ]; then\n"
         "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
         "        return\n"
         "    fi\n"
         "    if [ -n \"$files\" ]; then\n"
         "        compopt -o filenames 2>/dev/null\n"
         "        local IFS=$'\\n'\n"
         "        COMPREPLY+=($(compgen -f -- \"$word\"))\n"
         "    fi\n"
         "}\n"
         "complete -F _forebay forebay");
}

// ---- zsh

static void print_zsh_option(void *arg, const char *name, const char *value, const char *help) {
    printf("                '--%s:", name);
    print_quoted(help, "'\\''");
    puts("'");
}

static void print_zsh_choice(void *arg, const char *name, const char *value, const char *help) {
    if (is_choice(value)) {
        printf("        (--%s) words_here=(", name);
        print_choice(value);
        puts("); compadd -a words_here; return ;;");
    }
}

static void print_zsh(void) {
    puts("#compdef forebay\n"
         "# zsh completion for forebay: made by `forebay completion zsh`\n"
         "_forebay() {\n"
         "    local -a commands options words_here\n"
         "    local files=''\n"
         "    commands=(");
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        printf("        '%s:", one->name);
        print_quoted(one->help, "'\\''");
        puts("'");
    }
    puts("    )\n"
         "    if (( CURRENT == 2 )); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    case ${words[CURRENT - 1]} in");
    fputs("        (-c", stdout);
    each_option(print_if_file);
    puts(") _files; return ;;");
    each_option(print_zsh_choice);
    fputs("        (''", stdout);
    each_option(print_if_other);
    puts(") return ;;\n"
         "    esac\n"
         "    case ${words[2]} in");
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        printf("        (%s)\n            options=(\n", one->name);
        fb_cli_each_option(one, print_zsh_option, NULL);
        fputs("            )\n            words_here=(", stdout);
        print_first_words(one);
        printf(" )\n%s            ;;\n", has(one, "FILE") ? "            files=yes\n" : "");
    }
    puts("    esac\n"
         "    if [[ $PREFIX == -* ]]; then\n"
         "        _describe -o option options\n"
         "        return\n"
         "    fi\n"
         "    if (( CURRENT == 3 && $#words_here )); then\n"
         "        compadd -a words_here\n"
         "    elif [[ -n $files ]]; then\n"
         "        _files\n"
         "    fi\n"
         "}\n"
         "if [[ $funcstack[1] == _forebay ]]; then\n"
         "    _forebay \"$@\"\n"
         "else\n"
         "    compdef _forebay forebay\n"
         "fi");
}

// ---- fish

static void print_fish_option(void *arg, const char *name, const char *value, const char *help) {
    printf("complete -c forebay -n '__fish_seen_subcommand_from %s' -l %s%s%s",
           (const char *)arg, name, strcmp(name, "config") == 0 ? " -s c" : "",
           value == NULL ? "" : is_file(value) ? " -r -F" : " -x");
    if (is_choice(value)) {
        fputs(" -a '", stdout);
        print_choice(value);
        putchar('\'');
    }
    fputs(" -d '", stdout);
    print_quoted(help, "\\'");
    puts("'");
}

static void print_fish(void) {
    puts("# fish completion for forebay: made by `forebay completion fish`\n"
         "complete -c forebay -f");
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        char name[64];
        snprintf(name, sizeof name, "%s", one->name);
        printf("complete -c forebay -n __fish_use_subcommand -a %s -d '", one->name);
        print_quoted(one->help, "\\'");
        puts("'");
        printf("complete -c forebay -n '__fish_seen_subcommand_from %s; "
               "and test (count (commandline -opc)) -eq 2' -a '",
               one->name);
        print_first_words(one);
        puts("'");
        if (has(one, "FILE")) {
            printf("complete -c forebay -n '__fish_seen_subcommand_from %s' -F\n", one->name);
        }
        fb_cli_each_option(one, print_fish_option, name);
    }
}

int fb_cli_completion(const fb_line *line) {
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(line->words[0], shells[i].name) == 0) {
            shells[i].print();
            return FB_EXIT_OK;
        }
    }
    fb_cli_complain(line, "there is no completion for '%s': there are bash, zsh and fish",
                    line->words[0]);
    return FB_EXIT_USAGE;
}
