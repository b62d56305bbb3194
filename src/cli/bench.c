// forebay bench: the benchmarks by name. In this file:
//
// forebay bench report: what the cache gains for one class, as this client feels it.
//
// The samples are taken one after another on one connection. First each is loaded anew (FB.FETCH
// with REFRESH: the source is asked, whatever the cache has), then, 200 ms later, each is read
// again. Both times are round trips of this client, network and all; so that one can tell the cache
// from the network, as many round trips that ask nothing (PING) are measured too. Who answered each
// sample is asked along (WITHMETA), and how often the source was asked is taken from the server's
// own count, so the report says when a "cached" answer was none.
//
// What it does not hide: the first sample may find the source's own caches cold, later ones find
// them warm; and a load brings the value into the cache for everybody, as any other load would.

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/bench_load.h"
#include "cli/bench_report.h"
#include "client/link.h"
#include "cli/command_line.h"
#include "os/clock.h"
#include "os/file.h"

enum { PARAMS_MAX = 64, FIRST_PARAM = 2, PAUSE_MS = 200 };

// One parameter and all values given for it: sample i takes value i, round about.
typedef struct param {
    fb_str name;
    fb_str *values;  // into run.values
    size_t value_count;
} param;

typedef struct run {
    const fb_line *line;
    fb_link *link;
    param params[PARAMS_MAX];
    size_t param_count;
    fb_str values[FB_LINE_WORDS_MAX];
    fb_bench bench;
    fb_error error;
    int status;  // an exit status
} run;

static bool fail(run *self, int status, const char *text, size_t text_len) {
    fb_cli_complain(self->line, "%.*s", (int)text_len, text);
    self->status = status;
    return false;
}

// ---- parameters

static bool split(fb_str word, fb_str *name, fb_str *value) {
    size_t equals = fb_str_find(word, '=');
    if (equals == 0 || equals == word.len) {
        return false;
    }
    *name = fb_str_make(word.ptr, equals);
    *value = fb_str_make(word.ptr + equals + 1, word.len - equals - 1);
    return true;
}

// The values of one name, gathered from all words behind `from`.
static void gather(run *self, fb_str name, size_t from, size_t *used) {
    param *one = &self->params[self->param_count++];
    *one = (param){.name = name, .values = self->values + *used};
    for (size_t i = from; i < self->line->word_count; i++) {
        fb_str other, value;
        if (split(fb_str_of(self->line->words[i]), &other, &value) && fb_str_equal(other, name)) {
            one->values[one->value_count++] = value;
        }
    }
    *used += one->value_count;
}

static bool is_known(const run *self, fb_str name) {
    for (size_t i = 0; i < self->param_count; i++) {
        if (fb_str_equal(self->params[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool read_params(run *self) {
    size_t used = 0;
    for (size_t i = FIRST_PARAM; i < self->line->word_count; i++) {
        fb_str name, value;
        if (!split(fb_str_of(self->line->words[i]), &name, &value)) {
            fb_cli_complain(self->line, "'%s': expected NAME=VALUE", self->line->words[i]);
            self->status = FB_EXIT_USAGE;
            return false;
        }
        if (!is_known(self, name)) {
            if (self->param_count == PARAMS_MAX) {
                fb_cli_complain(self->line, "at most %d parameters", PARAMS_MAX);
                self->status = FB_EXIT_USAGE;
                return false;
            }
            gather(self, name, i, &used);
        }
    }
    return true;
}

static fb_str value_of(const param *one, size_t sample) {
    return one->values[sample % one->value_count];
}

static void show_params(const run *self, size_t sample, char *text, size_t text_size) {
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < self->param_count && len < text_size; i++) {
        fb_str value = value_of(&self->params[i], sample);
        int put = snprintf(text + len, text_size - len, "%s%.*s=%.*s", i > 0 ? " " : "",
                           FB_STR_ARG(self->params[i].name), FB_STR_ARG(value));
        len += put > 0 ? (size_t)put : 0;
    }
}

// ---- asking

// Asks and measures. False: it has been said what went wrong.
static bool ask(run *self, const fb_str *args, size_t arg_count, const fb_resp_value **reply,
                double *took_ms) {
    int64_t begun_ns = fb_clock_now_ns();
    int result = fb_link_call(self->link, args, arg_count, reply, &self->error);
    int64_t took_ns = fb_clock_now_ns() - begun_ns;
    if (result < 0) {
        return fail(self, FB_EXIT_CONNECTION, self->error.text, strlen(self->error.text));
    }
    if ((*reply)->type == FB_RESP_ERROR) {
        return fail(self, FB_EXIT_REFUSED, (*reply)->text.ptr, (*reply)->text.len);
    }
    if (took_ms != NULL) {
        *took_ms = (double)took_ns / 1e6;
    }
    return true;
}

static const fb_resp_value *member(const fb_resp_value *map, const char *name) {
    for (size_t i = 0; i + 1 < map->child_count; i += 2) {
        if (fb_str_equal(map->children[i].text, fb_str_of(name))) {
            return &map->children[i + 1];
        }
    }
    return NULL;
}

static int64_t integer(const fb_resp_value *map, const char *name) {
    const fb_resp_value *value = member(map, name);
    return value != NULL ? value->integer : 0;
}

static double number(const fb_resp_value *map, const char *name) {
    const fb_resp_value *value = member(map, name);
    return value == NULL                   ? 0
           : value->type == FB_RESP_DOUBLE ? value->number
                                           : (double)value->integer;
}

static void text(const fb_resp_value *map, const char *name, char *to, size_t to_size) {
    const fb_resp_value *value = member(map, name);
    int len = value != NULL && value->text.len < to_size ? (int)value->text.len : 0;
    snprintf(to, to_size, "%.*s", len, len > 0 ? value->text.ptr : "");
}

// ---- the samples

static bool fetch(run *self, size_t index, bool refresh) {
    fb_bench_sample *sample = &self->bench.samples[index];
    fb_str args[2 * PARAMS_MAX + 5];
    size_t count = 0;
    const fb_resp_value *reply;
    args[count++] = FB_STR("FB.FETCH");
    if (refresh) {
        args[count++] = FB_STR("REFRESH");
    }
    args[count++] = FB_STR("WITHMETA");
    args[count++] = FB_STR("CLASS");
    args[count++] = fb_str_of(self->line->words[1]);
    for (size_t i = 0; i < self->param_count; i++) {
        args[count++] = self->params[i].name;
        args[count++] = value_of(&self->params[i], index);
    }
    if (!ask(self, args, count, &reply, refresh ? &sample->uncached_ms : &sample->cached_ms)) {
        return false;
    }
    const fb_resp_value *value = member(reply, "value");
    sample->bytes = value != NULL ? value->text.len : 0;
    char *tier = refresh ? sample->uncached_tier : sample->cached_tier;
    // Of a thing that does not exist it is not said who knew.
    if (integer(reply, "negative") != 0) {
        snprintf(tier, FB_BENCH_TIER_SIZE, "no such thing");
    } else {
        text(reply, "tier", tier, FB_BENCH_TIER_SIZE);
    }
    return true;
}

static bool take_samples(run *self) {
    static const struct timespec PAUSE = {0, PAUSE_MS * 1000000L};
    for (size_t i = 0; i < self->bench.sample_count; i++) {
        show_params(self, i, self->bench.samples[i].params, FB_BENCH_PARAMS_SIZE);
        if (!fetch(self, i, true)) {
            return false;
        }
    }
    (void)nanosleep(&PAUSE, NULL);
    for (size_t i = 0; i < self->bench.sample_count; i++) {
        if (!fetch(self, i, false)) {
            return false;
        }
    }
    return true;
}

static bool measure_ping(run *self) {
    const fb_str ping = FB_STR("PING");
    double sum_ms = 0;
    for (size_t i = 0; i < self->bench.sample_count; i++) {
        const fb_resp_value *reply;
        double took_ms;
        if (!ask(self, &ping, 1, &reply, &took_ms)) {
            return false;
        }
        sum_ms += took_ms;
    }
    self->bench.ping_ms = sum_ms / (double)self->bench.sample_count;
    return true;
}

// ---- the server's own figures

static fb_latency latency(const fb_resp_value *map, const char *name) {
    const fb_resp_value *inner = member(map, name);
    if (inner == NULL) {
        return (fb_latency){0};
    }
    return (fb_latency){(uint64_t)integer(inner, "count"), number(inner, "mean_ms"),
                        number(inner, "p50_ms"),           number(inner, "p95_ms"),
                        number(inner, "p99_ms"),           number(inner, "max_ms")};
}

static bool read_figures(run *self, fb_cache_figures *figures) {
    const fb_str args[] = {FB_STR("FB.STATS"), fb_str_of(self->line->words[1])};
    const fb_resp_value *reply;
    if (!ask(self, args, 2, &reply, NULL)) {
        return false;
    }
#define READ_COUNTER(field, help) figures->field = (uint64_t)integer(reply, #field);
    FB_CACHE_COUNTERS(READ_COUNTER)
#undef READ_COUNTER
    text(reply, "name", figures->name, sizeof figures->name);
    figures->hit = latency(reply, "hit");
    figures->miss = latency(reply, "miss");
    figures->load = latency(reply, "load");
    figures->ttl_ms = integer(reply, "ttl_ms");
    figures->has_source = true;
    return true;
}

static bool read_whole(run *self) {
    const fb_str args[] = {FB_STR("FB.STATS")};
    const fb_resp_value *reply;
    fb_stats *server = &self->bench.server;
    if (!ask(self, args, 1, &reply, NULL)) {
        return false;
    }
    server->entries = (uint64_t)integer(reply, "entries");
    server->memory_bytes = (uint64_t)integer(reply, "memory_bytes");
    server->memory_limit_bytes = (uint64_t)integer(reply, "memory_limit_bytes");
    server->evictions = (uint64_t)integer(reply, "evictions");
    server->uptime_ms = integer(reply, "uptime_ms");
    server->shared.state = integer(reply, "shared_configured") == 0  ? FB_SHARED_NONE
                           : integer(reply, "shared_connected") != 0 ? FB_SHARED_CONNECTED
                                                                     : FB_SHARED_AWAY;
    return true;
}

// ---- the report

static void print(fb_str out) {
    fwrite(out.ptr, 1, out.len, stdout);
}

static bool write_report(run *self) {
    fb_buf as_text = {0}, as_json = {0};
    bool fine = fb_bench_text(&self->bench, &as_text) == FB_OK &&
                (!self->line->json || fb_bench_json(&self->bench, &as_json) == FB_OK);
    if (!fine) {
        fail(self, FB_EXIT_REFUSED, "out of memory", strlen("out of memory"));
    } else {
        print(fb_buf_str(self->line->json ? &as_json : &as_text));
        if (fb_file_write(self->line->output, fb_buf_str(&as_text), &self->error) < 0) {
            fine = fail(self, FB_EXIT_USAGE, self->error.text, strlen(self->error.text));
        } else if (!self->line->json) {
            printf("\nwritten to %s\n", self->line->output);
        }
    }
    fb_buf_release(&as_text);
    fb_buf_release(&as_json);
    return fine;
}

static bool report(run *self) {
    fb_bench *bench = &self->bench;
    bench->sample_count = self->line->samples;
    bench->samples = fb_mem_zero(bench->sample_count, sizeof *bench->samples);
    if (bench->samples == NULL) {
        return fail(self, FB_EXIT_REFUSED, "out of memory", strlen("out of memory"));
    }
    fb_clock_iso(bench->time, sizeof bench->time);
    int result =
        fb_link_open(self->line->url, self->line->timeout_ms, &self->link, &self->error);
    if (result < 0) {
        return fail(self, result == FB_EINVAL ? FB_EXIT_USAGE : FB_EXIT_CONNECTION,
                    self->error.text, strlen(self->error.text));
    }
    snprintf(bench->address, sizeof bench->address, "%s", fb_link_name(self->link));
    return read_figures(self, &bench->before) && measure_ping(self) && take_samples(self) &&
           read_figures(self, &bench->after) && read_whole(self) && write_report(self);
}

static int run_report(const fb_line *line) {
    if (line->word_count < FIRST_PARAM) {
        fb_cli_complain(line, "usage: forebay bench report CLASS [NAME=VALUE]...");
        return FB_EXIT_USAGE;
    }
    run *self = fb_mem_zero(1, sizeof *self);
    if (self == NULL) {
        fb_cli_complain(line, "out of memory");
        return FB_EXIT_REFUSED;
    }
    self->line = line;
    self->status = FB_EXIT_OK;
    if (read_params(self)) {
        (void)report(self);  // it says in `status` how it went
    }
    int status = self->status;
    fb_link_close(self->link);
    fb_mem_free(self->bench.samples);
    fb_mem_free(self);
    return status;
}

static const struct {
    const char *name, *options;
    int (*run)(const fb_line *line);
} BENCHES[] = {
    {"report", " json url timeout samples output ", run_report},
    {"load",
     " json url timeout rate connections pipeline keys zipf value-size get-ratio mix arrivals "
     "duration warmup seed fill ",
     fb_cli_bench_load},
    {"memory", " json url timeout entries threads rounds churn quick ", fb_cli_bench_memory},
    {"trace", " json url timeout memory share format ignore-sizes compare ", fb_cli_bench_trace},
};

int fb_cli_bench(const fb_line *line) {
    for (size_t i = 0; i < sizeof BENCHES / sizeof BENCHES[0]; i++) {
        if (strcmp(line->words[0], BENCHES[i].name) == 0) {
            const char *other = fb_cli_other_option(line, BENCHES[i].options);
            if (other == NULL) {
                return BENCHES[i].run(line);
            }
            fb_cli_complain(line, "%s takes no --%s; `forebay help bench` says which take it",
                            BENCHES[i].name, other);
            return FB_EXIT_USAGE;
        }
    }
    fb_cli_complain(line, "there is no benchmark '%s'; `forebay help bench` lists them",
                    line->words[0]);
    return FB_EXIT_USAGE;
}
