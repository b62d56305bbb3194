// forebay bench load: reading what is asked, telling each second, telling the end.

#include "client/link.h"
#include "cli/bench_load.h"
#include "cli/bench_load_http.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"

enum { RATE = 1000, CONNECTIONS = 50, PIPELINE = 16, KEYS = 100000, VALUE_LEN = 100 };
static const double RATE_MAX = 1e7, ZIPF_MAX = 5;
static const uint64_t KEYS_MAX = UINT64_C(1) << 32;
enum { VALUE_LEN_MAX = 16 << 20, WEIGHT_MAX = 1000000, DURATION_S = 10, WARMUP_S = 1, SEED = 1 };

// ---- the mix

static const char *const KINDS[] = {"get", "set", "fetch", "limit", "enqueue"};

const char *fb_load_kind_name(fb_load_kind kind) {
    return KINDS[kind];
}

static bool copy_name(fb_str from, char to[FB_LOAD_NAME_SIZE]) {
    if (from.len >= FB_LOAD_NAME_SIZE) {
        return false;
    }
    memcpy(to, from.ptr, from.len);
    to[from.len] = '\0';
    return true;
}

// "fetch:page:id=5": what is before the sign, taken apart at the colons.
static bool read_part(fb_str text, fb_load_part *part) {
    size_t equals = fb_str_find(text, '=');
    int64_t weight = 0;
    if (equals == text.len ||
        fb_str_int(fb_str_make(text.ptr + equals + 1, text.len - equals - 1), &weight) < 0 ||
        weight < 0 || weight > WEIGHT_MAX) {
        return false;
    }
    fb_str rest = fb_str_make(text.ptr, equals);
    fb_str words[3] = {{"", 0}, {"", 0}, {"", 0}};
    size_t count = 0;
    while (count < 3) {
        size_t colon = count < 2 ? fb_str_find(rest, ':') : rest.len;
        words[count++] = fb_str_make(rest.ptr, colon);
        if (colon == rest.len) {
            break;
        }
        rest = fb_str_make(rest.ptr + colon + 1, rest.len - colon - 1);
    }
    *part = (fb_load_part){.weight = (uint32_t)weight};
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        if (fb_str_equal(words[0], fb_str_of(KINDS[i]))) {
            bool named = i >= FB_LOAD_FETCH;
            part->kind = (fb_load_kind)i;
            return (words[1].len > 0) == named && (words[2].len == 0 || i == FB_LOAD_FETCH) &&
                   copy_name(words[1], part->name) && copy_name(words[2], part->param);
        }
    }
    return false;
}

int fb_load_mix_read(fb_str text, fb_load_plan *plan, fb_error *error) {
    uint64_t weights = 0;
    plan->mix_count = 0;
    while (text.len > 0) {
        size_t end = fb_str_find(text, ',');
        fb_load_part part;
        if (plan->mix_count == FB_LOAD_MIX_MAX) {
            return fb_error_set(error, FB_EINVAL, "at most %d kinds of requests", FB_LOAD_MIX_MAX);
        }
        if (!read_part(fb_str_make(text.ptr, end), &part)) {
            return fb_error_set(error, FB_EINVAL,
                                "'%.*s': expected get=N, set=N, fetch:CLASS=N, fetch:CLASS:PARAM=N, "
                                "limit:RULE=N or enqueue:QUEUE=N",
                                (int)(end < 60 ? end : 60), text.ptr);
        }
        weights += part.weight;
        if (part.weight > 0) {
            plan->mix[plan->mix_count++] = part;
        }
        end += end < text.len;
        text = fb_str_make(text.ptr + end, text.len - end);
    }
    return weights > 0 ? FB_OK : fb_error_set(error, FB_EINVAL, "no requests at all");
}

// ---- the command line

static bool refuse(const fb_line *line, const char *option, const char *value, const char *wanted) {
    fb_cli_complain(line, "--%s %s: expected %s", option, value, wanted);
    return false;
}

static bool read_real(const char *text, double least, double most, double *number) {
    return text == NULL || (fb_str_double(fb_str_of(text), number) == FB_OK && *number >= least &&
                            *number <= most);
}

static bool read_count(const char *text, uint64_t least, uint64_t most, uint64_t *number) {
    int64_t given = 0;
    if (text == NULL) {
        return true;
    }
    bool fine = fb_str_int(fb_str_of(text), &given) == FB_OK && given >= 0 &&
                (uint64_t)given >= least && (uint64_t)given <= most;
    *number = fine ? (uint64_t)given : *number;
    return fine;
}

static bool read_small(const char *text, uint32_t least, uint32_t most, uint32_t *number) {
    uint64_t given = *number;
    bool fine = read_count(text, least, most, &given);
    *number = (uint32_t)given;
    return fine;
}

static bool read_time(const char *text, int64_t least_ns, int64_t *time_ns) {
    int64_t given;
    if (text == NULL) {
        return true;
    }
    bool fine = fb_units_duration(fb_str_of(text), &given) == FB_OK && given >= least_ns &&
                given <= 3600 * FB_NS_PER_S;
    *time_ns = fine ? given : *time_ns;
    return fine;
}

static bool read_value_size(const char *text, uint32_t *len) {
    uint64_t given;
    if (text == NULL) {
        return true;
    }
    bool fine = fb_units_bytes(fb_str_of(text), &given) == FB_OK && given <= VALUE_LEN_MAX;
    *len = fine ? (uint32_t)given : *len;
    return fine;
}

static bool read_what(const fb_line *line, fb_load_plan *plan) {
    fb_error error;
    double share = plan->path[0] != '\0' ? 1 : 0.9;
    char mix[64];
    if (line->mix != NULL && line->get_ratio != NULL) {
        fb_cli_complain(line, "--mix says it all; --get-ratio has no place beside it");
        return false;
    }
    if (!read_real(line->get_ratio, 0, 1, &share)) {
        return refuse(line, "get-ratio", line->get_ratio, "a share from 0 to 1");
    }
    unsigned gets = (unsigned)(share * 1000 + 0.5);
    (void)snprintf(mix, sizeof mix, "get=%u,set=%u", gets, 1000 - gets);
    if (fb_load_mix_read(fb_str_of(line->mix != NULL ? line->mix : mix), plan, &error) < 0) {
        fb_cli_complain(line, "--mix: %s", error.text);
        return false;
    }
    return true;
}

static bool read_schedule(const fb_line *line, fb_load_plan *plan) {
    if (!read_real(line->rate, 0.1, RATE_MAX, &plan->rate)) {
        return refuse(line, "rate", line->rate, "requests a second, from 0.1 to 10000000");
    }
    plan->even = line->arrivals != NULL && strcmp(line->arrivals, "even") == 0;
    if (line->arrivals != NULL && !plan->even && strcmp(line->arrivals, "poisson") != 0) {
        return refuse(line, "arrivals", line->arrivals, "poisson or even");
    }
    if (!read_time(line->duration, 10 * FB_NS_PER_MS, &plan->duration_ns)) {
        return refuse(line, "duration", line->duration, "a time from 10ms to 1h");
    }
    return read_time(line->warmup, 0, &plan->warmup_ns) ||
           refuse(line, "warmup", line->warmup, "a time up to 1h");
}

static bool read_address(const fb_line *line, fb_load_plan *plan) {
    fb_error error;
    fb_str url = fb_str_of(line->url);
    plan->http = fb_load_http_is(url);
    int result = plan->http ? fb_load_http_url(url, &plan->address, plan->path, &error)
                            : fb_address_read(url, &plan->address, &error);
    if (result == FB_OK && !fb_link_login(&plan->address)) {
        result = fb_error_set(&error, FB_EINVAL, "the user or the password is too long");
    }
    if (result < 0) {
        fb_cli_complain(line, "%s", error.text);
        return false;
    }
    bool mixed = line->mix != NULL || line->get_ratio != NULL || line->fill;
    if (plan->path[0] != '\0' && mixed) {
        fb_cli_complain(line, "the path of --url is all that is asked for: no --mix, --get-ratio or --fill");
        return false;
    }
    return true;
}

bool fb_load_plan_read(const fb_line *line, fb_load_plan *plan) {
    *plan = (fb_load_plan){.rate = RATE, .connections = CONNECTIONS, .pipeline = PIPELINE,
                           .keys = KEYS, .value_len = VALUE_LEN, .seed = SEED,
                           .warmup_ns = WARMUP_S * FB_NS_PER_S,
                           .duration_ns = DURATION_S * FB_NS_PER_S,
                           .timeout_ms = line->timeout_ms,
                           .linger_ms = line->timeout_ms, .fill = line->fill};
    if (!read_address(line, plan)) {
        return false;
    }
    plan->pipeline = plan->http ? 1 : PIPELINE;
    if (!read_small(line->connections, 1, FB_LOAD_CONNECTIONS_MAX, &plan->connections)) {
        return refuse(line, "connections", line->connections, "a number from 1 to 10000");
    }
    if (!read_small(line->pipeline, 1, FB_LOAD_PIPELINE_MAX, &plan->pipeline)) {
        return refuse(line, "pipeline", line->pipeline, "a number from 1 to 1024");
    }
    if (!read_count(line->keys, 1, KEYS_MAX, &plan->keys)) {
        return refuse(line, "keys", line->keys, "a number from 1 to 4294967296");
    }
    if (!read_real(line->zipf, 0, ZIPF_MAX, &plan->zipf) || plan->zipf == 1) {
        return refuse(line, "zipf", line->zipf, "an exponent from 0 to 5, such as 0.99, but not 1");
    }
    if (!read_value_size(line->value_size, &plan->value_len)) {
        return refuse(line, "value-size", line->value_size, "a size up to 16MiB");
    }
    if (!read_count(line->seed, 0, UINT32_MAX, &plan->seed)) {
        return refuse(line, "seed", line->seed, "a number up to 4294967295");
    }
    return read_schedule(line, plan) && read_what(line, plan);
}

// ---- while it runs

typedef struct teller {
    bool terminal, told;
} teller;

// On a terminal one line that changes, else one line a second.
static void tell(void *arg, const fb_load_second *second) {
    teller *self = arg;
    const fb_histogram *latency = second->latency;
    fprintf(stderr,
            "%s%4.0f s%s %11.0f/s   p50 %.3f  p99 %.3f  max %.3f ms   errors %llu   behind %.1f ms%s",
            self->terminal ? "\r\033[K" : "", (double)second->at_ns / 1e9,
            second->warming ? " warm-up" : "", second->rate,
            fb_histogram_quantile(latency, 0.5) / 1e6, fb_histogram_quantile(latency, 0.99) / 1e6,
            fb_histogram_max(latency) / 1e6, (unsigned long long)second->errors, second->behind_ms,
            self->terminal ? "" : "\n");
    fflush(stderr);
    self->told = true;
}

static volatile int stopped;

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

// The first Ctrl-C ends the measuring, a second one the program.
static void listen_for_end(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

// A descriptor for each connection, as far as the system lets us.
static void make_room(const fb_load_plan *plan) {
    struct rlimit limit;
    rlim_t wanted = plan->connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int print(const fb_line *line, const fb_load_plan *plan, const fb_load_figures *figures) {
    fb_buf out = {0};
    int result = line->json ? fb_load_json(plan, figures, &out) : fb_load_text(plan, figures, &out);
    if (result == FB_OK) {
        fwrite(out.ptr, 1, out.len, stdout);
    } else {
        fb_cli_complain(line, "out of memory");
    }
    fb_buf_release(&out);
    return result == FB_OK ? FB_EXIT_OK : FB_EXIT_REFUSED;
}

int fb_cli_bench_load(const fb_line *line) {
    fb_load_plan plan;
    fb_load_figures figures;
    fb_error error;
    teller self = {.terminal = isatty(STDERR_FILENO) != 0};
    if (line->word_count != 1) {
        fb_cli_complain(line, "usage: forebay bench load [OPTION]...");
        return FB_EXIT_USAGE;
    }
    if (!fb_load_plan_read(line, &plan)) {
        return FB_EXIT_USAGE;
    }
    if (fb_load_figures_init(&figures) < 0) {
        fb_cli_complain(line, "out of memory");
        return FB_EXIT_REFUSED;
    }
    listen_for_end();
    make_room(&plan);
    int result = fb_load_run(&plan, &stopped, tell, &self, &figures, &error);
    if (self.terminal && self.told) {
        fputc('\n', stderr);
    }
    int status = FB_EXIT_CONNECTION;
    if (result < 0) {
        fb_cli_complain(line, "%s", error.text);
    } else {
        status = print(line, &plan, &figures);
        bool lost = status == FB_EXIT_OK && figures.connections_lost == plan.connections;
        bool refused = figures.refused > 0 && figures.refused == figures.answered;
        status = lost ? FB_EXIT_CONNECTION : refused ? FB_EXIT_REFUSED : status;
    }
    fb_load_figures_release(&figures);
    return status;
}
