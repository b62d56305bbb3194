// forebay jobs top: the queues, once a second, and what went through them in that second.
//
// On a terminal one screen is written over the one before (screen.h); elsewhere there is one line for each
// queue, each with the time. Rates are differences of counters, which are of that server's process.

#include "cli/jobs.h"

#include <stdio.h>

#include "base/str.h"
#include "cli/queue_rows.h"
#include "cli/rows.h"
#include "cli/screen.h"
#include "client/link.h"
#include "os/clock.h"

typedef struct top {
    const fb_line *line;
    fb_link *link;
    fb_screen screen;
    fb_rates rates;
    bool first;
    fb_buf out;
} top;

static bool say_head(top *self) {
    char text[FB_ROWS_TEXT_SIZE];
    fb_rows_instant(fb_clock_wall_ms(), text);
    if (self->screen.terminal) {
        return fb_buf_printf(&self->out, "forebay %s  %s  q ends\n\n", fb_link_name(self->link),
                             text) == FB_OK &&
               fb_queue_rows_head(&self->out, "") == FB_OK;
    }
    return !self->first || fb_queue_rows_head(&self->out, "time                 ") == FB_OK;
}

static bool say_queue(top *self, const fb_resp_value *queue) {
    char time_text[FB_ROWS_TEXT_SIZE] = "";
    char front[FB_ROWS_TEXT_SIZE + 2] = "";
    if (!self->screen.terminal) {
        (void)snprintf(front, sizeof front, "%s  ", fb_rows_instant(fb_clock_wall_ms(), time_text));
    }
    return fb_queue_rows_one(&self->out, front, queue, &self->rates) == FB_OK;
}

// FB_EXIT_OK: go on.
static int turn(top *self) {
    const fb_resp_value *queues = NULL;
    fb_str verb = FB_STR("FB.QUEUES");
    fb_error error;
    int result = fb_link_call(self->link, &verb, 1, &queues, &error);
    if (result < 0) {
        fb_screen_end(&self->screen);
        fb_cli_complain(self->line, "%s", error.text);
        return FB_EXIT_CONNECTION;
    }
    if (queues->type == FB_RESP_ERROR) {
        fb_screen_end(&self->screen);
        fb_cli_complain(self->line, "%.*s", FB_STR_ARG(queues->text));
        return FB_EXIT_REFUSED;
    }
    fb_rates_turn(&self->rates, fb_clock_now_ns());
    self->out.len = 0;
    bool said = say_head(self);
    for (size_t i = 0; i < queues->child_count && said; i++) {
        said = say_queue(self, &queues->children[i]);
    }
    self->first = false;
    return said && fb_screen_show(&self->screen, &self->out) ? FB_EXIT_OK : FB_EXIT_OUTPUT;
}

int fb_jobs_top(const fb_line *line) {
    static top self;
    int64_t count = 0;
    fb_error error;
    if (!fb_jobs_number(line, "count", line->count, 1, &count)) {
        return FB_EXIT_USAGE;
    }
    self.line = line;
    self.first = true;
    int result = fb_link_open(line->url, line->timeout_ms, &self.link, &error);
    if (result < 0) {
        fb_cli_complain(line, "%s", error.text);
        return result == FB_EINVAL ? FB_EXIT_USAGE : FB_EXIT_CONNECTION;
    }
    fb_screen_begin(&self.screen);
    int status = turn(&self);
    for (int64_t turns = 1; status == FB_EXIT_OK && (count == 0 || turns < count); turns++) {
        if (fb_screen_wait(&self.screen, 1000) == 'q') {
            break;
        }
        status = turn(&self);
    }
    fb_screen_end(&self.screen);
    fb_buf_release(&self.out);
    fb_link_close(self.link);
    return status;
}
