// Rates are of the last second, lengths are of now, times since the server's start.

#include "cli/queue_rows.h"

#include <stdio.h>

#include "base/str.h"
#include "cli/rows.h"

enum { NAME_WIDTH = 20 };

static double p99(const fb_resp_value *queue, const char *name) {
    const fb_resp_value *times = fb_rows_member(queue, name);
    return times != NULL ? fb_rows_real(times, "p99_ms") : 0;
}

static const char *show_time(double ms, char text[FB_ROWS_TEXT_SIZE]) {
    if (ms > 0 && ms < 1) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%.2fms", ms);
        return text;
    }
    return fb_rows_duration((int64_t)ms, text);
}

int fb_queue_rows_head(fb_buf *out, const char *front) {
    return fb_buf_printf(out, "%s%-*s %8s %8s %8s %8s %9s %9s %9s  %-9s %8s %8s\n", front,
                         NAME_WIDTH, "queue", "in/s", "done/s", "failed/s", "ready", "scheduled",
                         "leased", "dead", "oldest", "wait p99", "run p99");
}

int fb_queue_rows_one(fb_buf *out, const char *front, const fb_resp_value *queue,
                      fb_rates *rates) {
    char oldest[FB_ROWS_TEXT_SIZE], wait[FB_ROWS_TEXT_SIZE], run[FB_ROWS_TEXT_SIZE];
    fb_str name = fb_rows_text(queue, "name");
    double in = fb_rates_next(rates, name, "queue in", fb_rows_number(queue, "enqueued"));
    double done = fb_rates_next(rates, name, "queue done", fb_rows_number(queue, "done"));
    double failed = fb_rates_next(rates, name, "queue failed", fb_rows_number(queue, "failed"));
    int result = fb_buf_printf(out, "%s%-*.*s %8.1f %8.1f %8.1f", front, NAME_WIDTH,
                               FB_STR_ARG(name), in, done, failed);
    if (result < 0) {
        return result;
    }
    if (fb_rows_number(queue, "reachable") == 0) {
        return fb_buf_append(out, FB_STR("  store away\n"));
    }
    return fb_buf_printf(
        out, " %8lld %9lld %9lld %9lld  %-9s %8s %8s%s\n",
        (long long)fb_rows_number(queue, "ready"), (long long)fb_rows_number(queue, "scheduled"),
        (long long)fb_rows_number(queue, "leased"), (long long)fb_rows_number(queue, "dead"),
        fb_rows_duration(fb_rows_number(queue, "oldest_ms"), oldest),
        show_time(p99(queue, "wait"), wait), show_time(p99(queue, "run"), run),
        fb_rows_number(queue, "paused") != 0 ? "  PAUSED" : "");
}
