// Reading the command line. Options may stand anywhere after the subcommand; `--` ends them.

#include "client/link.h"
#include "cli/command_line.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"

static const char *const DEFAULT_URL = "127.0.0.1:6380";
enum { TIMEOUT_MS = 30000, SAMPLES = 5, SAMPLES_MAX = 100000 };

const fb_subcommand FB_SUBCOMMANDS[] = {
    {"serve", "", 0, 0, " config set keep-memory insecure ",
     "Runs the server in the foreground until SIGTERM or SIGINT; SIGHUP reloads.", fb_cli_serve},
    {"check", "[FILE]", 0, 1, " config set json ",
     "Validates a configuration: options, classes, and every query with its database.",
     fb_cli_check},
    {"get", "KEY", 1, 1, " raw json ", "Prints the value of a key.", fb_cli_get},
    {"set", "KEY VALUE", 2, 2, " ttl json ",
     "Stores a value (- for standard input); --ttl 5m limits its life.", fb_cli_set},
    {"del", "KEY...", 1, FB_LINE_WORDS_MAX, " json ", "Deletes keys; prints how many there were.",
     fb_cli_del},
    {"fetch", "CLASS [NAME=VALUE]...", 1, FB_LINE_WORDS_MAX, " refresh raw json ",
     "Reads through the cache: from memory, else from the source of the class.", fb_cli_fetch},
    {"invalidate", "key|pattern|tag|class|namespace NAME..., or all", 1, FB_LINE_WORDS_MAX,
     " soft json ", "Makes entries gone, or with --soft stale.", fb_cli_invalidate},
    {"warm", "CLASS [NAME=VALUE]...", 1, FB_LINE_WORDS_MAX, " json ",
     "Loads in the background what the class declares, or what is named.", fb_cli_warm},
    {"stats", "[CLASS]", 0, 1, " window json ",
     "The live figures, of all or of one class, since the start or over the last minute or hour.",
     fb_cli_stats},
    {"doctor", "", 0, 0, " config set json ",
     "Tells how everything stands that the server depends on, and what its figures recommend; without a "
     "server, what can be seen from here. 1 where something does not work.",
     fb_cli_doctor},
    {"top", "", 0, 0, " window count once ",
     "The live figures, once a second; keys sort and switch on a terminal.", fb_cli_top},
    {"explain", "KEY", 1, 1, " json ",
     "Tells what is known about a key, and why its last read missed.", fb_cli_explain},
    {"limit", "check|show|reset|override [RULE [KEY [OVERRIDE]]]", 1, 4,
     " cost tier peek for json ",
     "Asks limits, and changes them for a key. check RULE KEY: charges and says whether it is allowed (1 where not). show [RULE [KEY]]: "
     "rules, or what is left. reset RULE KEY. override RULE KEY LIMIT, allow, deny or none, for a time.",
     fb_cli_limit},
    {"jobs", "enqueue|list|show|retry|cancel|purge|pause|resume|move|top ...", 1,
     FB_LINE_WORDS_MAX,
     " kind priority delay at unique attempts lease expires state after count json ",
     "Gives queues work, and lists, shows, retries, cancels, pauses and moves it; top shows them live.",
     fb_cli_jobs},
    {"mail", "send|preview|test ...", 1, FB_LINE_WORDS_MAX,
     " config set unique delay expires json ",
     "Sends mails by templates, shows how one would look, and tests the relays.",
     fb_cli_mail},
    {"bench", "report CLASS [NAME=VALUE]..., load, memory, or trace FILE", 1, FB_LINE_WORDS_MAX,
     " samples output json entries threads rounds churn quick memory share format ignore-sizes "
     "compare rate connections pipeline keys zipf value-size get-ratio mix arrivals duration "
     "warmup seed fill ",
     "Measures what a class gains, a server under load, or the memory tier. "
     "report: a class, asked for anew, then from the cache; into cache_performance_report.txt. "
     "load: what clients feel at a rate that does not wait for answers, by RESP or HTTP "
     "(--url http://host:port[/path]). "
     "memory: the memory tier on this machine. trace: its miss ratio on a trace of requests.",
     fb_cli_bench},
    {"completion", "bash|zsh|fish", 1, 1, " ",
     "Prints what makes a shell complete forebay's commands and options.", fb_cli_completion},
    {"version", "", 0, 0, " json ", "Prints the version.", fb_cli_version},
    {"help", "[COMMAND]", 0, 1, " ", "This text, or more about one command.", fb_cli_help},
    {.name = NULL},
};

typedef struct option_row {
    const char *name;
    const char *value;  // NULL: a switch
    const char *help;
    size_t at;  // in fb_line: a text, or of a switch a bool; 0: store_option() sees to it
} option_row;

#define AT(field) offsetof(fb_line, field)

// Those for all that talk to a server are `url` and `timeout`.
static const option_row OPTIONS[] = {
    {"config", "FILE", "the configuration; else FOREBAY_CONFIG, else ./forebay.yaml (-c FILE)",
     AT(config)},
    {"set", "OPTION=VALUE", "one option over the file and the environment, as memory=64MiB", 0},
    {"keep-memory", NULL, "go on with what is in region.file (region.keep=true)", AT(keep_memory)},
    {"insecure", NULL,
     "listen where other hosts reach it, without a password (listen.insecure=true)", AT(insecure)},
    {"ttl", "TIME", "how long the value lives: 30s, 5m, 1h", AT(ttl)},
    {"refresh", NULL, "ask the source, whatever the cache has", AT(refresh)},
    {"soft", NULL, "stale instead of gone", AT(soft)},
    {"cost", "NUMBER", "check: what it costs; 1 unless given", AT(cost)},
    {"tier", "NAME", "check, show: a tier of the rule", AT(tier)},
    {"peek", NULL, "check: says what would be, and charges nothing", AT(peek)},
    {"for", "TIME", "override: for how long: 30s, 1h, 7d", AT(for_time)},
    {"kind", "NAME", "enqueue: what the job is, for its worker", AT(kind)},
    {"priority", "0-9", "enqueue: 0 is the most urgent; the queue's unless set", AT(priority)},
    {"delay", "TIME", "enqueue, send: not before so long: 30s, 1h", AT(delay)},
    {"at", "INSTANT", "enqueue: not before 2026-12-24T18:00:00Z, or a Unix time in milliseconds",
     AT(at)},
    {"unique", "KEY", "enqueue, send: while a job has this key, that one is told", AT(unique)},
    {"attempts", "COUNT", "enqueue: how often it is tried; the queue's unless set", AT(attempts)},
    {"lease", "TIME", "enqueue: how long a worker has it without a sign of life", AT(lease)},
    {"expires", "TIME", "enqueue, send: not begun by then it is dead", AT(expires)},
    {"state", "scheduled|ready|leased|dead", "list: those in this state; all unless set", AT(state)},
    {"after", "ID", "list: those after it", AT(after)},
    {"count", "COUNT", "list, retry: at most how many; top: how many times, then it ends",
     AT(count)},
    {"once", NULL, "top: once, as text", AT(once)},
    {"window", "minute|hour|start", "over which time; of stats start unless set, of top minute",
     AT(window)},
    {"samples", "COUNT", "requests of each kind; 5 unless set", 0},
    {"output", "FILE", "where the report goes; cache_performance_report.txt unless set",
     AT(output)},
    {"entries", "COUNT,...", "memory: how many entries; 10000,1000000 unless set", AT(entries)},
    {"threads", "COUNT,...", "memory: how many threads; 1,2 unless set", AT(threads)},
    {"rounds", "COUNT", "memory: rounds, of which the median counts; 9 unless set", AT(rounds)},
    {"churn", "SECONDS", "memory: mixed writes for so long instead; the most memory it took",
     AT(churn)},
    {"quick", NULL, "memory: three short rounds", AT(quick)},
    {"memory", "SIZE", "trace: replay with this limit, as 64MiB", AT(memory)},
    {"share", "PART,...",
     "trace: replay with as much memory as holds these parts of the distinct objects; "
     "0.001,0.01,0.1 unless set",
     AT(share)},
    {"format", "text|oracleGeneral",
     "trace: one key a line, or key,size; or libCacheSim's; else by the name and the first bytes",
     AT(format)},
    {"ignore-sizes", NULL, "trace: objects of one size, whatever the trace says", AT(ignore_sizes)},
    {"compare", NULL, "trace: LRU and S3-FIFO with as many objects, exact, beside it", AT(compare)},
    {"rate", "NUMBER", "load: requests a second, whatever the answers; 1000 unless set", AT(rate)},
    {"connections", "COUNT", "load: 50 unless set", AT(connections)},
    {"pipeline", "COUNT",
     "load: requests under way on one connection at most; 16 unless set, by HTTP 1",
     AT(pipeline)},
    {"keys", "COUNT", "load: how many; 100000 unless set", AT(keys)},
    {"zipf", "EXPONENT", "load: few keys are asked for often, as 0.99; 0, all alike, unless set",
     AT(zipf)},
    {"value-size", "SIZE", "load: bytes that set and enqueue write; 100 unless set", AT(value_size)},
    {"get-ratio", "SHARE", "load: gets among gets and sets; 0.9 unless set", AT(get_ratio)},
    {"mix", "KIND=N,...",
     "load: other requests: get, set, fetch:CLASS:PARAM, limit:RULE, enqueue:QUEUE, as "
     "get=90,fetch:page:id=10",
     AT(mix)},
    {"arrivals", "poisson|even", "load: when requests come; poisson unless set", AT(arrivals)},
    {"duration", "TIME", "load: how long is measured; 10s unless set", AT(duration)},
    {"warmup", "TIME", "load: how long before that; 1s unless set", AT(warmup)},
    {"seed", "NUMBER", "load: of what is drawn; 1 unless set", AT(seed)},
    {"fill", NULL, "load: first set each key once", AT(fill)},
    {"raw", NULL, "print the bytes alone, without a line end", AT(raw)},
    {"json", NULL, "print JSON", AT(json)},
    {"user", "NAME", "as whom to sign in; else FOREBAY_USER, else default", AT(user)},
    {"password", "TEXT",
     "with which password; else FOREBAY_PASSWORD (others can read a command line: prefer that)",
     AT(password)},
    {"url", "ADDRESS",
     "the server: forebay://[user:password@]host:port (forebays:// with TLS), host:port or "
     "unix:/path; else FOREBAY_URL, "
     "else 127.0.0.1:6380",
     AT(url)},
    {"timeout", "TIME", "how long to wait for an answer, from 1ms; 30s unless set", 0},
    {"help", NULL, "help about the command", AT(help)},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof OPTIONS[0] };
_Static_assert(OPTION_COUNT <= 64, "fb_line.given has a bit for each");

void fb_cli_complain(const fb_line *line, const char *format, ...) {
    va_list list;
    fprintf(stderr, "forebay%s%s: ", line->command != NULL ? " " : "",
            line->command != NULL ? line->command : "");
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

// ---- help

static bool is_among(const char *option, const char *options) {
    char wanted[40];
    snprintf(wanted, sizeof wanted, " %s ", option);
    return strstr(options, wanted) != NULL;
}

static bool takes(const fb_subcommand *command, const char *option) {
    bool local = command->run == fb_cli_serve || command->run == fb_cli_check ||
                 command->run == fb_cli_version || command->run == fb_cli_help ||
                 command->run == fb_cli_completion;
    if (strcmp(option, "help") == 0) {
        return true;
    }
    if (strcmp(option, "url") == 0 || strcmp(option, "timeout") == 0 ||
        strcmp(option, "user") == 0 || strcmp(option, "password") == 0) {
        return !local;
    }
    return is_among(option, command->options);
}

void fb_cli_each_option(const fb_subcommand *command, fb_cli_option_fn fn, void *arg) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (takes(command, OPTIONS[i].name)) {
            fn(arg, OPTIONS[i].name, OPTIONS[i].value, OPTIONS[i].help);
        }
    }
}

// The words of a text in lines of a terminal; the first begins at `column`, the others at `indent`.
static void print_words(fb_str text, size_t column, size_t indent) {
    enum { WIDTH = 80 };
    for (size_t begun = column; text.len > 0;) {
        size_t len = fb_str_find(text, ' ');
        if (column > begun && column + 1 + len > WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = begun = indent;
        }
        column += (size_t)printf("%s%.*s", column > begun ? " " : "", (int)len, text.ptr);
        len += len < text.len;
        text = fb_str_make(text.ptr + len, text.len - len);
    }
    putchar('\n');
}

// Up to the first full stop, which is followed by a space or the end.
static fb_str first_sentence(const char *text) {
    const char *end = strstr(text, ". ");
    return fb_str_make(text, end != NULL ? (size_t)(end - text) + 1 : strlen(text));
}

static void help_all(void) {
    printf("forebay %s -- a performance layer in front of everything slow\n\n", FB_VERSION);
    puts("Usage: forebay COMMAND [OPTION]...\n");
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        enum { INDENT = 14 };
        printf("  %-11s ", one->name);
        print_words(first_sentence(one->help), INDENT, INDENT);
    }
    putchar('\n');
    print_words(FB_STR("`forebay help COMMAND` tells a command's arguments and options. Exit status: 0 "
                       "done, 1 nothing there or denied by a limit, 2 wrong usage or configuration, 3 no "
                       "connection or address taken, 4 refused by the server, 5 the answer could not be "
                       "written."), 0, 0);
}

static void print_option(void *arg, const char *name, const char *value, const char *help) {
    enum { INDENT = 25 };
    char shape[60];
    snprintf(shape, sizeof shape, "  --%s %s", name, value != NULL ? value : "");
    bool fits = strlen(shape) < INDENT;
    if (fits) {
        printf("%-*s", INDENT, shape);
    } else {
        printf("%s\n%*s", shape, INDENT, "");
    }
    print_words(fb_str_of(help), INDENT, INDENT);
}

static void help_one(const fb_subcommand *command) {
    printf("Usage: forebay %s%s%s\n\n", command->name, command->arguments[0] != '\0' ? " " : "",
           command->arguments);
    print_words(fb_str_of(command->help), 0, 0);
    putchar('\n');
    if (command->run == fb_cli_jobs) {
        fb_cli_jobs_usage();
    } else if (command->run == fb_cli_mail) {
        fb_cli_mail_usage();
    }
    fb_cli_each_option(command, print_option, NULL);
}

static const fb_subcommand *find_command(const char *name) {
    const fb_subcommand *one = FB_SUBCOMMANDS;
    while (one->name != NULL && strcmp(one->name, name) != 0) {
        one++;
    }
    return one->name != NULL ? one : NULL;
}

static const char *nearest_command(const char *name) {
    const char *best = NULL;
    size_t least = 3;
    for (const fb_subcommand *one = FB_SUBCOMMANDS; one->name != NULL; one++) {
        size_t distance = fb_str_distance(fb_str_of(one->name), fb_str_of(name), least);
        if (distance < least) {
            least = distance;
            best = one->name;
        }
    }
    return best;
}

static int complain_of_command(const char *name) {
    const char *near = nearest_command(name);
    fprintf(stderr, "forebay: there is no command '%s'%s%s%s `forebay help` lists them\n", name,
            near != NULL ? ": did you mean '" : ";", near != NULL ? near : "",
            near != NULL ? "'?" : "");
    return FB_EXIT_USAGE;
}

int fb_cli_help(const fb_line *line) {
    if (line->word_count == 0) {
        help_all();
        return FB_EXIT_OK;
    }
    const fb_subcommand *command = find_command(line->words[0]);
    if (command == NULL) {
        return complain_of_command(line->words[0]);
    }
    help_one(command);
    return FB_EXIT_OK;
}

// ---- options

static bool store_timeout(fb_line *line, const char *value) {
    int64_t ns;
    if (fb_units_duration(fb_str_of(value), &ns) < 0 || ns < 1000000) {
        fb_cli_complain(line, "--timeout %s: expected a time of at least 1ms, such as 5s", value);
        return false;
    }
    line->timeout_ms = ns / 1000000;
    return true;
}

static bool store_samples(fb_line *line, const char *value) {
    int64_t number;
    if (fb_str_int(fb_str_of(value), &number) < 0 || number < 1 || number > SAMPLES_MAX) {
        fb_cli_complain(line, "--samples %s: expected a number from 1 to %d", value, SAMPLES_MAX);
        return false;
    }
    line->samples = (uint32_t)number;
    return true;
}

// A setting may be a password: it is not said back.
static bool store_setting(fb_line *line, const char *value) {
    if (line->set_count == FB_LINE_SETS_MAX) {
        fb_cli_complain(line, "--set may be given %d times, no more", FB_LINE_SETS_MAX);
        return false;
    }
    line->sets[line->set_count++] = value;
    return true;
}

static bool store_option(fb_line *line, const option_row *row, const char *value) {
    char *at = (char *)line + row->at;
    if (row->value == NULL) {
        *(bool *)(void *)at = true;
    } else if (row->at > 0) {
        *(const char **)(void *)at = value;
    } else if (strcmp(row->name, "set") == 0) {
        return store_setting(line, value);
    } else if (strcmp(row->name, "timeout") == 0) {
        return store_timeout(line, value);
    } else {
        return store_samples(line, value);
    }
    return true;
}

static const option_row *find_option(const fb_subcommand *command, fb_str name) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (fb_str_equal(fb_str_of(OPTIONS[i].name), name) && takes(command, OPTIONS[i].name)) {
            return &OPTIONS[i];
        }
    }
    return NULL;
}

static const char *nearest_option(const fb_subcommand *command, fb_str name) {
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        size_t distance = fb_str_distance(fb_str_of(OPTIONS[i].name), name, least);
        if (distance < least && takes(command, OPTIONS[i].name)) {
            least = distance;
            best = OPTIONS[i].name;
        }
    }
    return best;
}

// One "--name", "--name=value" or "--name value" at argv[*place]; moves *place past it.
static bool take_option(fb_line *line, const fb_subcommand *command, char **argv, int argc,
                        int *place) {
    fb_str whole = fb_str_of(argv[*place]);
    fb_str name = fb_str_equal(whole, FB_STR("-c"))   ? FB_STR("config")
                  : fb_str_equal(whole, FB_STR("-h")) ? FB_STR("help")
                                                      : fb_str_make(whole.ptr + 2, whole.len - 2);
    size_t equals = fb_str_find(name, '=');
    const char *value = equals < name.len ? name.ptr + equals + 1 : NULL;
    const option_row *row = find_option(command, fb_str_make(name.ptr, equals));
    (*place)++;
    if (row == NULL) {
        const char *near = nearest_option(command, fb_str_make(name.ptr, equals));
        fb_cli_complain(line, "there is no option '--%.*s'%s%s%s `forebay help %s` lists them",
                        (int)equals, name.ptr, near != NULL ? ": did you mean '--" : ";",
                        near != NULL ? near : "", near != NULL ? "'?" : "", command->name);
        return false;
    }
    if (row->value == NULL && value != NULL) {
        fb_cli_complain(line, "--%s takes no value", row->name);
        return false;
    }
    if (row->value != NULL && value == NULL) {
        if (*place >= argc) {
            fb_cli_complain(line, "--%s needs a value: %s", row->name, row->value);
            return false;
        }
        value = argv[(*place)++];
    }
    line->given |= UINT64_C(1) << (row - OPTIONS);
    return store_option(line, row, value);
}

const char *fb_cli_other_option(const fb_line *line, const char *options) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const char *name = OPTIONS[i].name;
        bool login = strcmp(name, "user") == 0 || strcmp(name, "password") == 0;
        if ((line->given & UINT64_C(1) << i) != 0 && !is_among(login ? "url" : name, options)) {
            return name;
        }
    }
    return NULL;
}

static bool is_option(const char *word) {
    return strncmp(word, "--", 2) == 0 || strcmp(word, "-c") == 0 || strcmp(word, "-h") == 0;
}

static bool read_words(fb_line *line, const fb_subcommand *command, int argc, char **argv) {
    bool only_words = false;
    for (int i = 2; i < argc;) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            i++;
        } else if (!only_words && is_option(word)) {
            if (!take_option(line, command, argv, argc, &i)) {
                return false;
            }
        } else if (line->word_count == FB_LINE_WORDS_MAX) {
            fb_cli_complain(line, "more than %d words", FB_LINE_WORDS_MAX);
            return false;
        } else {
            line->words[line->word_count++] = word;
            i++;
        }
    }
    return true;
}

// What was printed lies in a buffer: that all of it got out is known only now. A reader who has
// gone ("| head -1") has what he wanted; he needs no words. (He usually ends us by SIGPIPE.)
static int finish(const fb_line *line, int status) {
    bool failed = fflush(stdout) != 0;
    int number = errno;
    if (!failed && !ferror(stdout)) {
        return status;
    }
    if (number != EPIPE) {
        fb_cli_complain(line, "cannot write the answer: %s", strerror(number));
    }
    return FB_EXIT_OUTPUT;
}

int fb_cli_main(int argc, char **argv) {
    static fb_line line;
    const char *name = argc > 1 ? argv[1] : "help";
    name = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ? "help" : name;
    name = strcmp(name, "--version") == 0 ? "version" : name;
    const fb_subcommand *command = find_command(name);
    if (command == NULL) {
        return complain_of_command(name);
    }
    const char *url = getenv("FOREBAY_URL");
    line.user = getenv("FOREBAY_USER");
    line.password = getenv("FOREBAY_PASSWORD");
    line.command = command->name;
    line.url = url != NULL && url[0] != '\0' ? url : DEFAULT_URL;
    line.timeout_ms = TIMEOUT_MS;
    line.samples = SAMPLES;
    line.output = "cache_performance_report.txt";
    if (!read_words(&line, command, argc, argv)) {
        return FB_EXIT_USAGE;
    }
    if (line.help) {
        help_one(command);
        return finish(&line, FB_EXIT_OK);
    }
    if (line.word_count < command->words_min || line.word_count > command->words_max) {
        fb_cli_complain(&line, "usage: forebay %s%s%s", command->name,
                        command->arguments[0] != '\0' ? " " : "", command->arguments);
        return FB_EXIT_USAGE;
    }
    fb_link_set_login(line.user, line.password);
    return finish(&line, command->run(&line));
}
