// The report, for people and as JSON, from the same struct.
//
// Speed-ups are quotients of round trips, so they say what this client gains, not what the cache
// could do: near the server a cached answer costs little more than a PING, and the report puts that
// beside it. Means carry their standard deviation, for five samples are few.

#include "cli/bench_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "node/reply.h"

enum { ADVICE_SIZE = 320 };

typedef struct writer {
    fb_buf *out;
    bool failed;
} writer;

#define SAY(to, ...)                                     \
    do {                                                 \
        if (fb_buf_printf((to)->out, __VA_ARGS__) < 0) { \
            (to)->failed = true;                         \
        }                                                \
    } while (0)

// ---- figures

static double figure(const fb_bench_sample *sample, fb_bench_column column) {
    switch (column) {
        case FB_BENCH_UNCACHED:
            return sample->uncached_ms;
        case FB_BENCH_CACHED:
            return sample->cached_ms;
        case FB_BENCH_SPEEDUP:
            return sample->cached_ms > 0 ? sample->uncached_ms / sample->cached_ms : 0;
    }
    return 0;
}

fb_bench_summary fb_bench_summarise(const fb_bench *bench, fb_bench_column column) {
    fb_bench_summary is = {0};
    double squares = 0;
    size_t count = bench->sample_count;
    for (size_t i = 0; i < count; i++) {
        double one = figure(&bench->samples[i], column);
        is.mean += one / (double)count;
        is.least = i == 0 || one < is.least ? one : is.least;
        is.most = one > is.most ? one : is.most;
    }
    for (size_t i = 0; i < count; i++) {
        double off = figure(&bench->samples[i], column) - is.mean;
        squares += off * off;
    }
    is.deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
    return is;
}

// Of the means, which a few odd samples move less than they move the mean of the quotients.
static double overall_speedup(const fb_bench *bench) {
    double cached = fb_bench_summarise(bench, FB_BENCH_CACHED).mean;
    return cached > 0 ? fb_bench_summarise(bench, FB_BENCH_UNCACHED).mean / cached : 0;
}

static size_t count_from_source(const fb_bench *bench) {
    size_t count = 0;
    for (size_t i = 0; i < bench->sample_count; i++) {
        count += strcmp(bench->samples[i].cached_tier, "source") == 0;
    }
    return count;
}

static double hit_rate(const fb_cache_figures *figures) {
    uint64_t reads = figures->hits + figures->misses;
    return reads > 0 ? 100.0 * (double)figures->hits / (double)reads : 0;
}

static const char *shared_state(const fb_bench *bench) {
    const fb_stats *server = &bench->server;
    return server->shared.state == FB_SHARED_NONE        ? "not configured"
           : server->shared.state == FB_SHARED_CONNECTED ? "up"
                                                         : "down";
}

// ---- advice

static void advise_speed(const fb_bench *bench, fb_advice_fn fn, void *arg) {
    char text[ADVICE_SIZE];
    double gain = overall_speedup(bench);
    snprintf(text, sizeof text, "Samples: %.1f times as fast from the cache: %s.", gain,
             gain >= 2 ? "caching it pays" : "caching it gains this client little");
    fn(arg, text);
}

static void advise_misses(const fb_bench *bench, fb_advice_fn fn, void *arg) {
    char text[ADVICE_SIZE], ttl[48];
    size_t count = count_from_source(bench);
    if (count > 0) {
        snprintf(
            text, sizeof text,
            "Samples: %zu of %zu reads after the pause went to the source again: its TTL is %s, "
            "the memory limit %" PRIu64 " MiB; `forebay explain KEY` tells why.",
            count, bench->sample_count,
            fb_units_show_duration(bench->after.ttl_ms * 1000000, ttl, sizeof ttl),
            bench->server.memory_limit_bytes >> 20);
        fn(arg, text);
    }
}

static void advise_network(const fb_bench *bench, fb_advice_fn fn, void *arg) {
    char text[ADVICE_SIZE];
    double cached = fb_bench_summarise(bench, FB_BENCH_CACHED).mean;
    if (cached > 0 && bench->ping_ms > cached / 2) {
        snprintf(text, sizeof text,
                 "Samples: %.0f %% of a cached answer is the round trip itself: pipelining, or the "
                 "library in the process, would gain more.",
                 bench->ping_ms < cached ? 100 * bench->ping_ms / cached : 100.0);
        fn(arg, text);
    }
}

void fb_bench_advise(const fb_bench *bench, fb_advice_fn fn, void *arg) {
    fb_cache_figures before = bench->before;
    fb_stats stats = bench->server;
    stats.all = before;
    stats.classes = &before;
    stats.class_count = 1;
    if (before.hits + before.misses > 0) {
        fb_advice_give(&stats, fn, arg);
    } else {
        fn(arg, "Nobody had read the class before this report.");
    }
    advise_speed(bench, fn, arg);
    advise_misses(bench, fn, arg);
    advise_network(bench, fn, arg);
}

// ---- for people

static void say_head(writer *to, const fb_bench *bench) {
    char uptime[48], used[48], limit[48];
    const fb_stats *server = &bench->server;
    // In whole seconds, once there are any.
    int64_t uptime_ms =
        server->uptime_ms - (server->uptime_ms > 1000 ? server->uptime_ms % 1000 : 0);
    SAY(to, "forebay bench report: class %s\n%s, server %s, up %s\n\n", bench->after.name,
        bench->time, bench->address,
        fb_units_show_duration(uptime_ms * 1000000, uptime, sizeof uptime));
    SAY(to, "Tiers\n  memory  up: %" PRIu64 " entries, %s of %s\n", server->entries,
        fb_units_show_bytes(server->memory_bytes & ~(uint64_t)1023, used, sizeof used),
        fb_units_show_bytes(server->memory_limit_bytes, limit, sizeof limit));
    SAY(to, "  shared  %s\n", shared_state(bench));
    SAY(to, "  source  up: asked %" PRIu64 " times during this report\n\n",
        bench->after.loads - bench->before.loads);
}

static void say_samples(writer *to, const fb_bench *bench) {
    SAY(to, "Samples: round trips of this client, first all from the source, 200 ms later again\n");
    SAY(to, "    #  uncached ms  cached ms   speed-up  answered by           bytes  parameters\n");
    for (size_t i = 0; i < bench->sample_count; i++) {
        const fb_bench_sample *one = &bench->samples[i];
        char who[2 * FB_BENCH_TIER_SIZE + 8];
        snprintf(who, sizeof who, "%s, %s", one->uncached_tier, one->cached_tier);
        SAY(to, "%5zu %12.3f %10.3f %9.1fx  %-17s %9" PRIu64 "  %s\n", i + 1, one->uncached_ms,
            one->cached_ms, figure(one, FB_BENCH_SPEEDUP), who, one->bytes, one->params);
    }
}

static void say_summary(writer *to, const char *name, fb_bench_summary is, const char *unit) {
    SAY(to, "  %-9s mean %10.3f %-2s  deviation %9.3f  least %9.3f  most %9.3f\n", name, is.mean,
        unit, is.deviation, is.least, is.most);
}

static void say_averages(writer *to, const fb_bench *bench) {
    SAY(to, "\nAverages\n");
    say_summary(to, "uncached", fb_bench_summarise(bench, FB_BENCH_UNCACHED), "ms");
    say_summary(to, "cached", fb_bench_summarise(bench, FB_BENCH_CACHED), "ms");
    say_summary(to, "speed-up", fb_bench_summarise(bench, FB_BENCH_SPEEDUP), "x");
    SAY(to, "  speed-up of the means %.1fx; a round trip that asks nothing (PING) %.3f ms\n",
        overall_speedup(bench), bench->ping_ms);
}

// Hits are timed by sample, so there may be hits and no time.
static void say_latency(writer *to, const char *name, const fb_latency *latency) {
    if (latency->count == 0) {
        SAY(to, "  a %-5s none timed yet\n", name);
    } else {
        SAY(to, "  a %-5s mean %10.4f ms, p50 %10.4f, p95 %10.4f\n", name, latency->mean_ms,
            latency->p50_ms, latency->p95_ms);
    }
}

static void say_server(writer *to, const fb_bench *bench) {
    const fb_cache_figures *now = &bench->after;
    SAY(to,
        "\nThe server's own figures for the class: all its clients, this report included, without "
        "the network\n");
    SAY(to,
        "  hits %" PRIu64 ", misses %" PRIu64 ", hit rate %.1f %%, loads %" PRIu64 " (%" PRIu64
        " failed)\n",
        now->hits, now->misses, hit_rate(now), now->loads, now->load_failures);
    say_latency(to, "hit", &now->hit);
    say_latency(to, "load", &now->load);
}

static void say_advice(void *arg, const char *text) {
    writer *to = arg;
    SAY(to, "  - %s\n", text);
}

int fb_bench_text(const fb_bench *bench, fb_buf *out) {
    writer to = {.out = out};
    say_head(&to, bench);
    say_samples(&to, bench);
    say_averages(&to, bench);
    say_server(&to, bench);
    SAY(&to, "\nRecommendations: of the class before this report, and of its samples\n");
    fb_bench_advise(bench, say_advice, &to);
    return to.failed ? FB_ENOMEM : FB_OK;
}

// ---- JSON

static void put_text(fb_reply *to, const char *name, const char *text) {
    fb_reply_text(to, name);
    fb_reply_text(to, text);
}

static void put_integer(fb_reply *to, const char *name, int64_t number) {
    fb_reply_text(to, name);
    fb_reply_integer(to, number);
}

static void put_count(fb_reply *to, const char *name, uint64_t count) {
    put_integer(to, name, (int64_t)count);
}

static void put_double(fb_reply *to, const char *name, double number) {
    fb_reply_text(to, name);
    fb_reply_double(to, number);
}

static void put_sample(fb_reply *to, const fb_bench_sample *one) {
    fb_reply_map(to, 7);
    put_text(to, "parameters", one->params);
    put_double(to, "uncached_ms", one->uncached_ms);
    put_double(to, "cached_ms", one->cached_ms);
    put_double(to, "speedup", figure(one, FB_BENCH_SPEEDUP));
    put_text(to, "uncached_from", one->uncached_tier);
    put_text(to, "cached_from", one->cached_tier);
    put_count(to, "bytes", one->bytes);
}

static void put_summary(fb_reply *to, const char *name, fb_bench_summary is) {
    fb_reply_text(to, name);
    fb_reply_map(to, 4);
    put_double(to, "mean", is.mean);
    put_double(to, "standard_deviation", is.deviation);
    put_double(to, "least", is.least);
    put_double(to, "most", is.most);
}

static void put_latency(fb_reply *to, const char *name, const fb_latency *latency) {
    fb_reply_text(to, name);
    fb_reply_map(to, 4);
    put_count(to, "count", latency->count);
    put_double(to, "mean_ms", latency->mean_ms);
    put_double(to, "p50_ms", latency->p50_ms);
    put_double(to, "p95_ms", latency->p95_ms);
}

static void put_server(fb_reply *to, const fb_bench *bench) {
    const fb_cache_figures *now = &bench->after;
    fb_reply_text(to, "server_figures");
    fb_reply_map(to, 8);
    put_count(to, "hits", now->hits);
    put_count(to, "misses", now->misses);
    put_double(to, "hit_rate_percent", hit_rate(now));
    put_count(to, "loads", now->loads);
    put_count(to, "load_failures", now->load_failures);
    put_integer(to, "ttl_ms", now->ttl_ms);
    put_latency(to, "hit", &now->hit);
    put_latency(to, "load", &now->load);
}

static void put_tiers(fb_reply *to, const fb_bench *bench) {
    fb_reply_text(to, "tiers");
    fb_reply_map(to, 3);
    fb_reply_text(to, "memory");
    fb_reply_map(to, 4);
    put_text(to, "state", "up");
    put_count(to, "entries", bench->server.entries);
    put_count(to, "bytes", bench->server.memory_bytes);
    put_count(to, "limit_bytes", bench->server.memory_limit_bytes);
    put_text(to, "shared", shared_state(bench));
    fb_reply_text(to, "source");
    fb_reply_map(to, 2);
    put_text(to, "state", "up");
    put_count(to, "loads", bench->after.loads - bench->before.loads);
}

static void count_advice(void *arg, const char *text) {
    size_t *count = arg;
    (void)text;
    (*count)++;
}

static void put_advice(void *arg, const char *text) {
    fb_reply_text(arg, text);
}

int fb_bench_json(const fb_bench *bench, fb_buf *out) {
    fb_reply to;
    size_t advice_count = 0;
    fb_bench_advise(bench, count_advice, &advice_count);
    fb_reply_init(&to, FB_ENCODING_JSON, out);
    fb_reply_map(&to, 11);
    put_text(&to, "class", bench->after.name);
    put_text(&to, "time", bench->time);
    put_text(&to, "server", bench->address);
    put_tiers(&to, bench);
    fb_reply_text(&to, "samples");
    fb_reply_array(&to, bench->sample_count);
    for (size_t i = 0; i < bench->sample_count; i++) {
        put_sample(&to, &bench->samples[i]);
    }
    put_summary(&to, "uncached_ms", fb_bench_summarise(bench, FB_BENCH_UNCACHED));
    put_summary(&to, "cached_ms", fb_bench_summarise(bench, FB_BENCH_CACHED));
    put_summary(&to, "speedup", fb_bench_summarise(bench, FB_BENCH_SPEEDUP));
    put_double(&to, "ping_ms", bench->ping_ms);
    put_server(&to, bench);
    fb_reply_text(&to, "recommendations");
    fb_reply_array(&to, advice_count);
    fb_bench_advise(bench, put_advice, &to);
    return fb_reply_failed(&to) || fb_buf_byte(out, '\n') < 0 ? FB_ENOMEM : FB_OK;
}
