// forebay jobs: asks a running server about its queues, and gives them work.
//
//     forebay jobs enqueue QUEUE PAYLOAD|- [--kind K] [--priority P] [--delay 30s|--at INSTANT] …
//     forebay jobs list [QUEUE [--state S] [--after ID] [--count N]]
//     forebay jobs show ID
//     forebay jobs retry ID...|QUEUE, cancel ID...
//     forebay jobs purge QUEUE STATE, pause|resume|move QUEUE
//     forebay jobs top
//
// What was to be changed and was not there ends with 1, so that a script can ask.

#include "cli/jobs.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/units.h"
#include "cli/action.h"
#include "cli/ask.h"
#include "cli/print.h"
#include "cli/rows.h"

enum { NUMBER_SIZE = 32, KIND_WIDTH = 16, WORD_WIDTH = 44, LIST_COUNT = 100 };

// ---- options as the server has them

// "30s" as milliseconds; "" where the option is not given.
static bool read_time(const fb_line *line, const char *name, const char *value,
                      char text[NUMBER_SIZE]) {
    int64_t ns;
    text[0] = '\0';
    if (value == NULL) {
        return true;
    }
    if (fb_units_duration(fb_str_of(value), &ns) < 0 || ns < FB_NS_PER_MS) {
        fb_cli_complain(line, "--%s %s: expected a time of at least 1ms, such as 30s or 1h", name,
                        value);
        return false;
    }
    (void)snprintf(text, NUMBER_SIZE, "%lld", (long long)(ns / FB_NS_PER_MS));
    return true;
}

// "2026-12-24T18:00:00Z", or a Unix time in milliseconds.
static bool read_instant(const fb_line *line, char text[NUMBER_SIZE]) {
    struct tm parts = {0};
    int64_t ms;
    text[0] = '\0';
    if (line->at == NULL) {
        return true;
    }
    const char *end = strptime(line->at, "%Y-%m-%dT%H:%M:%S", &parts);
    if (end != NULL && strcmp(end, "Z") == 0) {
        ms = (int64_t)timegm(&parts) * 1000;
    } else if (fb_str_int(fb_str_of(line->at), &ms) != FB_OK) {
        ms = 0;
    }
    if (ms <= 0) {
        fb_cli_complain(line,
                        "--at %s: expected an instant such as 2026-12-24T18:00:00Z, or a Unix time "
                        "in milliseconds",
                        line->at);
        return false;
    }
    (void)snprintf(text, NUMBER_SIZE, "%lld", (long long)ms);
    return true;
}

bool fb_jobs_number(const fb_line *line, const char *name, const char *value, int64_t least,
                    int64_t *number) {
    if (value == NULL) {
        return true;
    }
    if (fb_str_int(fb_str_of(value), number) != FB_OK || *number < least) {
        fb_cli_complain(line, "--%s %s: expected a whole number of at least %lld", name, value,
                        (long long)least);
        return false;
    }
    return true;
}

static void add_text(fb_question *what, const char *word, const char *text) {
    fb_question_option(what, word, text[0] != '\0' ? text : NULL);
}

// ---- queues

static bool is_true(const fb_resp_value *map, const char *name) {
    return fb_rows_number(map, name) != 0;
}

static void print_queue(const fb_resp_value *queue, int width) {
    char oldest[FB_ROWS_TEXT_SIZE];
    fb_str name = fb_rows_text(queue, "name");
    fb_str store = fb_rows_text(queue, "store");
    fb_str worker = fb_rows_text(queue, "worker");
    printf("%-*.*s  %-7.*s", width, FB_STR_ARG(name), FB_STR_ARG(store));
    if (!is_true(queue, "reachable")) {
        puts("  its store does not answer");
        return;
    }
    printf(" %9lld %9lld %9lld %9lld  %-9s", (long long)fb_rows_number(queue, "ready"),
           (long long)fb_rows_number(queue, "scheduled"), (long long)fb_rows_number(queue, "leased"),
           (long long)fb_rows_number(queue, "dead"),
           fb_rows_duration(fb_rows_number(queue, "oldest_ms"), oldest));
    printf(" %9lld %9lld %9lld", (long long)fb_rows_number(queue, "enqueued"),
           (long long)fb_rows_number(queue, "done"), (long long)fb_rows_number(queue, "failed"));
    printf("%s%.*s%s%s\n", worker.len > 0 ? "  worker: " : "", FB_STR_ARG(worker),
           is_true(queue, "paused") ? "  " : "", is_true(queue, "paused") ? "PAUSED" : "");
}

int fb_jobs_print_queues(const fb_line *line, const fb_resp_value *queues) {
    if (line->json || queues->type != FB_RESP_ARRAY) {
        return fb_cli_print(line, queues);
    }
    int width = fb_rows_width(queues, "name");
    width = width < 5 ? 5 : width;
    printf("%-*s  %-7s %9s %9s %9s %9s  %-9s %9s %9s %9s\n", width, "queue", "store", "ready",
           "scheduled", "leased", "dead", "oldest", "enqueued", "done", "failed");
    for (size_t i = 0; i < queues->child_count; i++) {
        print_queue(&queues->children[i], width);
    }
    return FB_EXIT_OK;
}

// ---- jobs

// What there is to say of its time: when it runs, since when it waits, how long its lease is.
static void print_when(const fb_resp_value *job, int64_t now_ms) {
    char text[FB_ROWS_TEXT_SIZE];
    fb_str state = fb_rows_text(job, "state");
    const char *word = "since";
    int64_t ms = now_ms - fb_rows_number(job, "due_ms");
    if (fb_str_equal(state, FB_STR("scheduled"))) {
        word = "in";
        ms = -ms;
    } else if (fb_str_equal(state, FB_STR("leased"))) {
        word = "lease";
        ms = fb_rows_number(job, "until_ms") - now_ms;
    } else if (fb_str_equal(state, FB_STR("dead"))) {
        ms = now_ms - fb_rows_number(job, "died_ms");
    }
    printf("%-5s %-8s", word, fb_rows_duration(ms, text));
}

static void print_job(const fb_resp_value *job, int width, int64_t now_ms) {
    char attempts[FB_ROWS_TEXT_SIZE];
    fb_str id = fb_rows_text(job, "id");
    fb_str state = fb_rows_text(job, "state");
    fb_str kind = fb_rows_text(job, "kind");
    fb_str error = fb_rows_text(job, "error");
    fb_str progress = fb_rows_text(job, "progress");
    fb_str end = fb_rows_text(job, "end");
    bool leased = fb_str_equal(state, FB_STR("leased"));
    (void)snprintf(attempts, sizeof attempts, "%lld/%lld",
                   (long long)fb_rows_number(job, "attempt"),
                   (long long)fb_rows_number(job, "attempts"));
    printf("%-*.*s  %-9.*s  %lld  %-7s  ", width, FB_STR_ARG(id), FB_STR_ARG(state),
           (long long)fb_rows_number(job, "priority"), attempts);
    print_when(job, now_ms);
    printf("  ");
    fb_rows_print_cut(kind, KIND_WIDTH);
    printf("%*s", (int)(kind.len < KIND_WIDTH ? KIND_WIDTH - kind.len : 0), "");
    if (end.len > 0) {
        printf("  %.*s%s", FB_STR_ARG(end), error.len > 0 ? ":" : "");
    }
    fb_str word = leased && progress.len > 0 ? progress : error;
    printf("%s", word.len > 0 ? (end.len > 0 ? " " : "  ") : "");
    fb_rows_print_cut(word, WORD_WIDTH);
    putchar('\n');
}

static int64_t wall_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void print_jobs(const fb_resp_value *jobs, int64_t asked) {
    int width = fb_rows_width(jobs, "id");
    if (jobs->child_count == 0) {
        return;
    }
    for (size_t i = 0; i < jobs->child_count; i++) {
        print_job(&jobs->children[i], width, wall_ms());
    }
    if ((int64_t)jobs->child_count == asked) {
        const fb_resp_value *last = &jobs->children[jobs->child_count - 1];
        fb_str id = fb_rows_text(last, "id"), state = fb_rows_text(last, "state");
        printf("(more: --state %.*s --after %.*s)\n", FB_STR_ARG(state), FB_STR_ARG(id));
    }
}

static int show_jobs(const fb_line *line, const fb_resp_value *reply) {
    int64_t count = LIST_COUNT;
    if (line->json || reply->type != FB_RESP_ARRAY) {
        return fb_cli_print(line, reply);
    }
    bool fine = fb_jobs_number(line, "count", line->count, 1, &count);
    print_jobs(reply, count);
    return fine ? FB_EXIT_OK : FB_EXIT_USAGE;
}

static int list_state(const fb_line *line, const char *state, const char *count) {
    fb_question what = fb_question_begin("FB.QUEUE");
    fb_question_add(&what, fb_str_of(line->words[1]));
    fb_question_add(&what, FB_STR("LIST"));
    fb_question_add(&what, fb_str_of(state));
    fb_question_option(&what, "AFTER", line->after);
    fb_question_option(&what, "COUNT", count);
    return fb_cli_ask(line, &what, show_jobs);
}

static int list(const fb_line *line) {
    static const char *const states[] = {"leased", "ready", "scheduled", "dead"};
    int64_t count = LIST_COUNT;
    if (line->word_count == 1) {
        fb_question what = fb_question_begin("FB.QUEUES");
        return fb_cli_ask(line, &what, fb_jobs_print_queues);
    }
    if (!fb_jobs_number(line, "count", line->count, 1, &count)) {
        return FB_EXIT_USAGE;
    }
    if (line->state != NULL) {
        return list_state(line, line->state, line->count);
    }
    if (line->json || line->after != NULL) {
        fb_cli_complain(line, "--%s needs a --state: %s", line->json ? "json" : "after",
                        "scheduled, ready, leased or dead");
        return FB_EXIT_USAGE;
    }
    int status = FB_EXIT_OK;
    for (size_t i = 0; i < 4 && status == FB_EXIT_OK; i++) {
        status = list_state(line, states[i], line->count);
    }
    return status;
}

// ---- one job

static bool is_instant(fb_str name) {
    return fb_str_ends(name, FB_STR("_ms")) && !fb_str_equal(name, FB_STR("lease_ms"));
}

// As it is, but what a terminal would take for commands.
static void print_payload(fb_str payload) {
    for (size_t i = 0; i < payload.len; i++) {
        unsigned char byte = (unsigned char)payload.ptr[i];
        if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7f) {
            printf("%zu bytes that are no text (--json has them)\n", payload.len);
            return;
        }
    }
    printf("%.*s\n", FB_STR_ARG(payload));
}

// Without what is empty, and with times that people can read.
static void print_member(fb_str name, const fb_resp_value *value) {
    char text[FB_ROWS_TEXT_SIZE];
    fb_str shown = name;
    bool number = value->type == FB_RESP_INTEGER;
    if ((number && value->integer == 0 && fb_str_ends(name, FB_STR("_ms"))) ||
        (!number && value->text.len == 0)) {
        return;
    }
    shown.len -= fb_str_ends(name, FB_STR("_ms")) ? 3 : 0;
    printf("%-10.*s ", FB_STR_ARG(shown));
    if (number && is_instant(name)) {
        puts(fb_rows_instant(value->integer, text));
    } else if (number && fb_str_equal(name, FB_STR("lease_ms"))) {
        puts(fb_rows_duration(value->integer, text));
    } else if (number) {
        printf("%lld\n", (long long)value->integer);
    } else if (fb_str_equal(name, FB_STR("payload"))) {
        print_payload(value->text);
    } else {
        fb_rows_print_cut(value->text, value->text.len + 1);
        putchar('\n');
    }
}

static int show_job(const fb_line *line, const fb_resp_value *reply) {
    if (reply->type == FB_RESP_NULL) {
        fb_cli_complain(line, "there is no job %s: it is done, or was cancelled or removed",
                        line->words[1]);
        return FB_EXIT_NOT_FOUND;
    }
    if (line->json || reply->type != FB_RESP_MAP) {
        return fb_cli_print(line, reply);
    }
    for (size_t i = 0; i + 1 < reply->child_count; i += 2) {
        print_member(reply->children[i].text, &reply->children[i + 1]);
    }
    return FB_EXIT_OK;
}

static int show(const fb_line *line) {
    fb_question what = fb_question_begin("FB.JOB");
    fb_question_add(&what, fb_str_of(line->words[1]));
    return fb_cli_ask(line, &what, show_job);
}

// ---- jobs in

static int enqueue(const fb_line *line) {
    char delay[NUMBER_SIZE], at[NUMBER_SIZE], lease[NUMBER_SIZE], expires[NUMBER_SIZE];
    fb_question what = fb_question_begin("FB.ENQUEUE");
    fb_buf payload = {0};
    bool from_input = strcmp(line->words[2], "-") == 0;
    bool fine = read_time(line, "delay", line->delay, delay) && read_instant(line, at) &&
                read_time(line, "lease", line->lease, lease) &&
                read_time(line, "expires", line->expires, expires) &&
                (!from_input || fb_cli_input(line, &payload));
    fb_question_add(&what, fb_str_of(line->words[1]));
    fb_question_add(&what, from_input ? fb_buf_str(&payload) : fb_str_of(line->words[2]));
    fb_question_option(&what, "KIND", line->kind);
    fb_question_option(&what, "PRI", line->priority);
    fb_question_option(&what, "UNIQ", line->unique);
    fb_question_option(&what, "ATTEMPTS", line->attempts);
    add_text(&what, "DELAY", delay);
    add_text(&what, "AT", at);
    add_text(&what, "LEASE", lease);
    add_text(&what, "EXPIRES", expires);
    int status = fine ? fb_cli_ask(line, &what, fb_cli_print) : FB_EXIT_USAGE;
    fb_buf_release(&payload);
    return status;
}

// ---- changes

static int say_count(const fb_line *line, const fb_resp_value *reply) {
    int status = FB_EXIT_OK;
    if (line->json || reply->type != FB_RESP_INTEGER) {
        status = fb_cli_print(line, reply);
    } else {
        printf("%lld job%s\n", (long long)reply->integer, reply->integer == 1 ? "" : "s");
    }
    bool none = reply->type == FB_RESP_INTEGER && reply->integer == 0;
    return status == FB_EXIT_OK && none ? FB_EXIT_NOT_FOUND : status;
}

static int ask_words(const fb_line *line, const char *verb) {
    fb_question what = fb_question_begin(verb);
    for (size_t i = 1; i < line->word_count; i++) {
        fb_question_add(&what, fb_str_of(line->words[i]));
    }
    fb_question_option(&what, "COUNT", line->count);
    return fb_cli_ask(line, &what, say_count);
}

static int retry(const fb_line *line) {
    bool ids = strchr(line->words[1], '.') != NULL;
    if (ids && line->count != NULL) {
        fb_cli_complain(line, "--count is for a queue, not for ids");
        return FB_EXIT_USAGE;
    }
    return ask_words(line, "FB.RETRY");
}

static int cancel(const fb_line *line) {
    return ask_words(line, "FB.CANCEL");
}

static int purge(const fb_line *line) {
    fb_question what = fb_question_begin("FB.QUEUE");
    fb_question_add(&what, fb_str_of(line->words[1]));
    fb_question_add(&what, FB_STR("PURGE"));
    fb_question_add(&what, fb_str_of(line->words[2]));
    return fb_cli_ask(line, &what, say_count);
}

static int ask_queue(const fb_line *line, const char *verb, fb_cli_reply_fn fn) {
    fb_question what = fb_question_begin("FB.QUEUE");
    fb_question_add(&what, fb_str_of(line->words[1]));
    fb_question_add(&what, fb_str_of(verb));
    return fb_cli_ask(line, &what, fn);
}

// Being in that state already is as good.
static int say_state(const fb_line *line, const fb_resp_value *reply) {
    bool pause = strcmp(line->words[0], "pause") == 0;
    if (line->json || reply->type != FB_RESP_INTEGER) {
        return fb_cli_print(line, reply);
    }
    printf("%s is %s%s\n", line->words[1], pause ? "paused" : "running",
           reply->integer == 0 ? " already" : "");
    return FB_EXIT_OK;
}

static int pause_queue(const fb_line *line) {
    return ask_queue(line, "PAUSE", say_state);
}

static int resume_queue(const fb_line *line) {
    return ask_queue(line, "RESUME", say_state);
}

static int say_moved(const fb_line *line, const fb_resp_value *reply) {
    if (line->json || reply->type != FB_RESP_INTEGER) {
        return fb_cli_print(line, reply);
    }
    printf("%lld job%s moved\n", (long long)reply->integer, reply->integer == 1 ? "" : "s");
    return FB_EXIT_OK;
}

static int move(const fb_line *line) {
    return ask_queue(line, "MOVE", say_moved);
}

// ---- which

static const fb_cli_action ACTIONS[] = {
    {"enqueue", 3, 3,
     " json url timeout kind priority delay at unique attempts lease expires ",
     "enqueue QUEUE PAYLOAD|- [--kind NAME] [--priority 0-9] [--delay TIME|--at INSTANT] "
     "[--unique KEY] ...",
     "accepts a job; prints its id", enqueue},
    {"list", 1, 2, " json url timeout state after count ",
     "list [QUEUE [--state STATE] [--after ID] [--count COUNT]]", "the queues, or the jobs of one",
     list},
    {"show", 2, 2, " json url timeout ", "show ID", "all about a job; 1 where there is none", show},
    {"retry", 2, FB_LINE_WORDS_MAX, " json url timeout count ", "retry ID...|QUEUE [--count COUNT]",
     "makes dead jobs ready, with new attempts", retry},
    {"cancel", 2, FB_LINE_WORDS_MAX, " json url timeout ", "cancel ID...",
     "removes jobs, whatever their state", cancel},
    {"purge", 3, 3, " json url timeout ", "purge QUEUE scheduled|ready|leased|dead",
     "removes all jobs of a state", purge},
    {"pause", 2, 2, " json url timeout ", "pause QUEUE", "nothing is taken from it", pause_queue},
    {"resume", 2, 2, " json url timeout ", "resume QUEUE", "ends that", resume_queue},
    {"move", 2, 2, " json url timeout ", "move QUEUE",
     "brings here what lies in the other store (the journal, or Redis)", move},
    {"top", 1, 1, " url timeout count ", "top [--count COUNT]",
     "the queues, each second; plain lines where it is no terminal", fb_jobs_top},
    {.name = NULL},
};

void fb_cli_jobs_usage(void) {
    fb_cli_actions_usage(ACTIONS);
}

int fb_cli_jobs(const fb_line *line) {
    return fb_cli_actions_run(ACTIONS, "jobs", line);
}
