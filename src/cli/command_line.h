// cli/command_line.h -- the subcommands of `forebay`, one table, and what each is given.

#ifndef FB_CLI_COMMAND_LINE_H
#define FB_CLI_COMMAND_LINE_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

// Exit statuses, for scripts; `forebay help` lists them.
enum {
    FB_EXIT_OK = 0,
    FB_EXIT_NOT_FOUND = 1,   // get, fetch, jobs show: there is nothing; del, jobs retry and its kin:
                             // nothing was there; limit check: denied; mail test, doctor: it does not work
    FB_EXIT_USAGE = 2,       // wrong words, or a configuration that is refused
    FB_EXIT_CONNECTION = 3,  // no connection, or lost; serve: an address is taken
    FB_EXIT_REFUSED = 4,     // the server answered with an error
    FB_EXIT_OUTPUT = 5       // the answer could not be written
};

enum { FB_LINE_WORDS_MAX = 1024, FB_LINE_SETS_MAX = 64 };

typedef struct fb_line {
    const char *command;
    const char *words[FB_LINE_WORDS_MAX];  // what is no option
    size_t word_count;
    const char *sets[FB_LINE_SETS_MAX];  // --set
    size_t set_count;
    const char *config;                              // -c, --config
    const char *user, *password;  // --user, --password, or FOREBAY_USER, FOREBAY_PASSWORD
    const char *url;                                 // --url, FOREBAY_URL, or the default address
    const char *ttl;                                 // --ttl
    const char *output;                              // --output
    int64_t timeout_ms;                              // --timeout
    uint32_t samples;                                // --samples
    const char *entries, *threads, *rounds, *churn;  // of bench memory, as given
    const char *memory, *share, *format;             // of bench trace, as given
    const char *rate, *connections, *pipeline, *keys, *zipf, *value_size;  // of bench load, as given
    const char *get_ratio, *mix, *arrivals, *duration, *warmup, *seed;
    bool fill;
    const char *cost, *tier, *for_time;  // of limit, as given
    const char *kind, *priority, *delay, *at, *unique, *attempts, *lease, *expires;  // of jobs, mail
    const char *state, *after, *count;
    bool once;                                       // of top
    const char *window;                              // of stats, top
    bool peek;
    bool json, raw, soft, refresh, keep_memory, insecure, quick, ignore_sizes, compare, help;
    uint64_t given;  // which options, by their rows
} fb_line;

typedef struct fb_subcommand {
    const char *name;
    const char *arguments;
    size_t words_min, words_max;
    const char *options;  // those it takes, by name, with spaces around: " ttl json "
    const char *help;
    int (*run)(const fb_line *line);
} fb_subcommand;

extern const fb_subcommand FB_SUBCOMMANDS[];  // ended by a nameless one

int fb_cli_main(int argc, char **argv);

// One line on standard error: "forebay get: …".
FB_PRINTF(2, 3) void fb_cli_complain(const fb_line *line, const char *format, ...);

// The first option of the line that is not among `options` (" samples output "), or NULL.
const char *fb_cli_other_option(const fb_line *line, const char *options);

// Each option that the command takes, in the order of their table. value: what is written behind it, as
// FILE; NULL: nothing.
typedef void (*fb_cli_option_fn)(void *arg, const char *name, const char *value, const char *help);
void fb_cli_each_option(const fb_subcommand *command, fb_cli_option_fn fn, void *arg);

// The runners, by file.
int fb_cli_serve(const fb_line *line);  // local.c
int fb_cli_check(const fb_line *line);
int fb_cli_version(const fb_line *line);
int fb_cli_get(const fb_line *line);  // remote.c
int fb_cli_set(const fb_line *line);
int fb_cli_del(const fb_line *line);
int fb_cli_fetch(const fb_line *line);
int fb_cli_invalidate(const fb_line *line);
int fb_cli_warm(const fb_line *line);
int fb_cli_stats(const fb_line *line);
int fb_cli_explain(const fb_line *line);
int fb_cli_doctor(const fb_line *line);        // doctor.c
int fb_cli_top(const fb_line *line);           // top.c
int fb_cli_limit(const fb_line *line);         // limit.c
int fb_cli_jobs(const fb_line *line);          // jobs.c
int fb_cli_mail(const fb_line *line);          // mail.c
void fb_cli_jobs_usage(void);                  // a line for each thing it does
void fb_cli_mail_usage(void);
int fb_cli_bench(const fb_line *line);         // bench.c
int fb_cli_bench_memory(const fb_line *line);  // bench_memory.c
int fb_cli_bench_trace(const fb_line *line);   // bench_trace.c
int fb_cli_completion(const fb_line *line);    // completion.c
int fb_cli_help(const fb_line *line);          // command_line.c

#ifdef __cplusplus
}
#endif

#endif
