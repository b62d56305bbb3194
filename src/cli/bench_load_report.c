// The report of `forebay bench load`.
//
// What no answer came to is in the percentiles with the time it had waited when the measuring ended:
// a lower bound, and named beside them. Percentiles whose tail holds no ten answers are one answer's luck
// and say so by the count that is printed with them.

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/bench_load.h"
#include "node/reply.h"

static const double BUSY_SHARE = 0.9, LATE_MS = 1;
static const double QUANTILES[] = {0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1};
enum { QUANTILE_COUNT = sizeof QUANTILES / sizeof QUANTILES[0] };

static double seconds(int64_t ns) {
    return (double)ns / 1e9;
}

static double share(uint64_t part, uint64_t whole) {
    return whole > 0 ? (double)part / (double)whole : 0;
}

static double a_second(uint64_t count, const fb_load_figures *figures) {
    return figures->elapsed_ns > 0 ? (double)count / seconds(figures->elapsed_ns) : 0;
}

static double cpu_share(const fb_load_figures *figures) {
    return figures->wall_ns > 0 ? (double)figures->cpu_ns / (double)figures->wall_ns : 0;
}

static double quantile_ms(const fb_load_figures *figures, double quantile) {
    double ns = quantile < 1 ? fb_histogram_quantile(figures->latency, quantile)
                             : fb_histogram_max(figures->latency);
    return ns / 1e6;
}

const char *fb_load_doubt(const fb_load_figures *figures) {
    if (cpu_share(figures) > BUSY_SHARE) {
        return "the generator had a processor to itself and used it up: it may be what is slow; ask for "
               "less, or run several";
    }
    if (fb_histogram_quantile(figures->late, 0.99) / 1e6 > LATE_MS) {
        return "the generator began requests late though there was room: it did not get a processor when "
               "it needed one";
    }
    return NULL;
}

// ---- for people

enum { SERVER_SIZE = FB_ADDRESS_NAME_SIZE + FB_LOAD_PATH_SIZE + 8 };

// As it was asked for, without who signs in.
static const char *server_of(const fb_load_plan *plan, char text[SERVER_SIZE]) {
    const char *scheme = !plan->http ? "" : plan->address.tls ? "https://" : "http://";
    (void)snprintf(text, SERVER_SIZE, "%s%s%s", scheme, plan->address.name, plan->path);
    return text;
}

static int put_asked(const fb_load_plan *plan, fb_buf *out) {
    char server[SERVER_SIZE];
    int result = fb_buf_printf(out, "%s: %.0f requests/s asked for (%s), %u connections x %u under way",
                               server_of(plan, server), plan->rate, plan->even ? "even" : "Poisson",
                               plan->connections, plan->pipeline);
    if (plan->path[0] != '\0') {  // which has neither keys nor values
        return result == FB_OK ? fb_buf_byte(out, '\n') : result;
    }
    if (result == FB_OK) {
        result = fb_buf_printf(out, ", %" PRIu64 " keys ", plan->keys);
    }
    if (result == FB_OK) {
        result = plan->zipf > 0 ? fb_buf_printf(out, "(zipf %g), ", plan->zipf)
                                : fb_buf_printf(out, "(evenly), ");
    }
    return result == FB_OK ? fb_buf_printf(out, "values of %u bytes\n", plan->value_len) : result;
}

static int put_reached(const fb_load_figures *figures, fb_buf *out) {
    int result = fb_buf_printf(
        out, "%.1f s measured%s: %" PRIu64 " were due, %" PRIu64 " answered, %.0f/s\n",
        seconds(figures->elapsed_ns), figures->interrupted ? " (interrupted)" : "", figures->due,
        figures->answered, a_second(figures->answered, figures));
    if (result == FB_OK && figures->unsent + figures->unanswered > 0) {
        result = fb_buf_printf(out,
                               "%" PRIu64 " could not begin in time and %" PRIu64
                               " got no answer: below they count with what they had waited\n",
                               figures->unsent, figures->unanswered);
    }
    return result;
}

static int put_parts(const fb_load_plan *plan, const fb_load_figures *figures, fb_buf *out) {
    int result = FB_OK;
    for (uint32_t i = 0; i < plan->mix_count && result == FB_OK; i++) {
        const fb_load_part *part = &plan->mix[i];
        result = fb_buf_printf(out, "%s%s%s%s %" PRIu64, i > 0 ? ", " : "",
                               fb_load_kind_name(part->kind), part->name[0] != '\0' ? ":" : "",
                               part->name, figures->per_part[i]);
    }
    if (result == FB_OK && figures->hits + figures->misses > 0) {
        result = fb_buf_printf(out, "; of the gets %.1f %% found something",
                               100 * share(figures->hits, figures->hits + figures->misses));
    }
    return result == FB_OK ? fb_buf_byte(out, '\n') : result;
}

static int put_errors(const fb_load_figures *figures, fb_buf *out) {
    int result = FB_OK;
    for (uint32_t i = 0; i < figures->error_count && result == FB_OK; i++) {
        result = fb_buf_printf(out, "%s%s %" PRIu64, i > 0 ? ", " : "errors: ", figures->errors[i].name,
                               figures->errors[i].count);
    }
    return result == FB_OK && figures->error_count > 0 ? fb_buf_byte(out, '\n') : result;
}

static int put_quantiles(const fb_load_figures *figures, fb_buf *out) {
    uint64_t count = fb_histogram_count(figures->latency);
    int result = fb_buf_printf(out, "\nlatency from the time a request was due\n%9s %12s %12s\n",
                               "percent", "ms", "slower");
    for (size_t i = 0; i < QUANTILE_COUNT && result == FB_OK; i++) {
        double slower = (1 - QUANTILES[i]) * (double)count;
        result = fb_buf_printf(out, "%9.4g %12.3f %12.0f\n", 100 * QUANTILES[i],
                               quantile_ms(figures, QUANTILES[i]), slower);
    }
    return result == FB_OK ? fb_buf_printf(out, "%9s %12.3f\n", "mean",
                                           fb_histogram_mean(figures->latency) / 1e6)
                           : result;
}

static int put_generator(const fb_load_plan *plan, const fb_load_figures *figures, fb_buf *out) {
    const char *doubt = fb_load_doubt(figures);
    int result = fb_buf_printf(out,
                               "\ngenerator: %.0f %% of a processor, began late by p99 %.3f ms, max %.3f "
                               "ms\n",
                               100 * cpu_share(figures),
                               fb_histogram_quantile(figures->late, 0.99) / 1e6,
                               fb_histogram_max(figures->late) / 1e6);
    if (result == FB_OK && doubt != NULL) {
        result = fb_buf_printf(out, "CAUTION: %s\n", doubt);
    }
    if (result == FB_OK && figures->unsent > 0) {
        result = fb_buf_printf(out, "the server did not keep up: %.0f/s were asked for\n", plan->rate);
    }
    return result;
}

int fb_load_text(const fb_load_plan *plan, const fb_load_figures *figures, fb_buf *out) {
    int result = put_asked(plan, out);
    result = result == FB_OK ? put_reached(figures, out) : result;
    result = result == FB_OK ? put_parts(plan, figures, out) : result;
    result = result == FB_OK ? put_errors(figures, out) : result;
    result = result == FB_OK ? put_quantiles(figures, out) : result;
    return result == FB_OK ? put_generator(plan, figures, out) : result;
}

// ---- JSON

static void put_text(fb_reply *to, const char *name, const char *value) {
    fb_reply_text(to, name);
    fb_reply_text(to, value);
}

static void put_count(fb_reply *to, const char *name, uint64_t value) {
    fb_reply_text(to, name);
    fb_reply_integer(to, (int64_t)value);
}

static void put_double(fb_reply *to, const char *name, double value) {
    fb_reply_text(to, name);
    fb_reply_double(to, value);
}

static void put_plan(fb_reply *to, const fb_load_plan *plan) {
    char server[SERVER_SIZE];
    fb_reply_text(to, "asked");
    fb_reply_map(to, 8);
    put_text(to, "server", server_of(plan, server));
    put_double(to, "rate", plan->rate);
    put_text(to, "arrivals", plan->even ? "even" : "poisson");
    put_count(to, "connections", plan->connections);
    put_count(to, "pipeline", plan->pipeline);
    put_count(to, "keys", plan->keys);
    put_double(to, "zipf", plan->zipf);
    put_count(to, "value_bytes", plan->value_len);
}

static void put_requests(fb_reply *to, const fb_load_plan *plan, const fb_load_figures *figures) {
    fb_reply_text(to, "requests");
    fb_reply_array(to, plan->mix_count);
    for (uint32_t i = 0; i < plan->mix_count; i++) {
        fb_reply_map(to, 3);
        put_text(to, "kind", fb_load_kind_name(plan->mix[i].kind));
        put_text(to, "name", plan->mix[i].name);
        put_count(to, "answered", figures->per_part[i]);
    }
}

static void put_latency(fb_reply *to, const fb_load_figures *figures) {
    static const char *const NAMES[QUANTILE_COUNT] = {"p50_ms", "p75_ms",  "p90_ms",   "p95_ms",
                                                      "p99_ms", "p999_ms", "p9999_ms", "max_ms"};
    fb_reply_text(to, "latency");
    fb_reply_map(to, QUANTILE_COUNT + 2);
    put_count(to, "count", fb_histogram_count(figures->latency));
    put_double(to, "mean_ms", fb_histogram_mean(figures->latency) / 1e6);
    for (size_t i = 0; i < QUANTILE_COUNT; i++) {
        put_double(to, NAMES[i], quantile_ms(figures, QUANTILES[i]));
    }
}

static void put_self(fb_reply *to, const fb_load_figures *figures) {
    const char *doubt = fb_load_doubt(figures);
    fb_reply_text(to, "generator");
    fb_reply_map(to, 4);
    put_double(to, "cpu_share", cpu_share(figures));
    put_double(to, "late_p99_ms", fb_histogram_quantile(figures->late, 0.99) / 1e6);
    put_double(to, "late_max_ms", fb_histogram_max(figures->late) / 1e6);
    fb_reply_text(to, "caution");
    if (doubt != NULL) {
        fb_reply_text(to, doubt);
    } else {
        fb_reply_null(to);
    }
}

int fb_load_json(const fb_load_plan *plan, const fb_load_figures *figures, fb_buf *out) {
    fb_reply to;
    fb_reply_init(&to, FB_ENCODING_JSON, out);
    fb_reply_map(&to, 16);
    put_plan(&to, plan);
    put_double(&to, "elapsed_s", seconds(figures->elapsed_ns));
    fb_reply_text(&to, "interrupted");
    fb_reply_boolean(&to, figures->interrupted);
    put_count(&to, "due", figures->due);
    put_count(&to, "answered", figures->answered);
    put_double(&to, "rate", a_second(figures->answered, figures));
    put_count(&to, "unsent", figures->unsent);
    put_count(&to, "unanswered", figures->unanswered);
    put_count(&to, "refused", figures->refused);
    put_count(&to, "hits", figures->hits);
    put_count(&to, "misses", figures->misses);
    put_count(&to, "connections_lost", figures->connections_lost);
    put_requests(&to, plan, figures);
    fb_reply_text(&to, "errors");
    fb_reply_map(&to, figures->error_count);
    for (uint32_t i = 0; i < figures->error_count; i++) {
        put_count(&to, figures->errors[i].name, figures->errors[i].count);
    }
    put_latency(&to, figures);
    put_self(&to, figures);
    return fb_reply_failed(&to) || fb_buf_byte(out, '\n') < 0 ? FB_ENOMEM : FB_OK;
}
