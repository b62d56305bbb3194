// forebay top: the live figures, once a second.
//
// Rates, hit rates and times are those of the window that is chosen, as the server counts them; commands,
// queues and limits are counted since its start, so their rates are differences from one second to the
// next, and nothing at first. On a terminal the page is written over itself and keys sort and switch;
// elsewhere, and with --once, it is text.
//
// A server that goes away is asked again each second on a terminal, above the last figures that it gave:
// whoever watches a restart wants to see both. One that hangs counts as away soon, since keys are not
// heard meanwhile. Text ends with it, since what reads that has to know.

#include "cli/command_line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/units.h"
#include "cli/ask.h"
#include "cli/queue_rows.h"
#include "cli/rows.h"
#include "cli/screen.h"
#include "client/link.h"
#include "os/clock.h"

enum { CLASSES_MAX = 1024, NAME_WIDTH = 20 };
static const char *const WINDOWS[] = {"minute", "hour", "start"};
enum { WINDOW_COUNT = sizeof WINDOWS / sizeof WINDOWS[0] };
enum { PATIENCE_MS = 3000 };  // on a terminal
enum { LOST = -1 };  // beside the exit statuses: the server is to be asked again

typedef enum order { BY_READS, BY_RATE, BY_MISS, BY_LOADS, BY_ERRORS, BY_NAME } order;
static const struct {
    char key;
    const char *text;
} ORDERS[] = {
    [BY_READS] = {'r', "reads"},     [BY_RATE] = {'h', "hit rate"}, [BY_MISS] = {'p', "miss p99"},
    [BY_LOADS] = {'l', "loads"},     [BY_ERRORS] = {'e', "errors"}, [BY_NAME] = {'n', "name"},
};
enum { ORDER_COUNT = sizeof ORDERS / sizeof ORDERS[0] };

typedef struct top {
    const fb_line *line;
    int64_t timeout_ms;
    fb_link *link;    // NULL: it is lost
    int64_t lost_ns;  // when that was; 0: it is there
    fb_error error;   // why
    fb_screen screen;
    fb_rates rates;
    size_t window;
    order order;
    fb_buf out;
    bool failed;  // to write into `out`
} top;

#define PUT(self, ...)                                                                 \
    do {                                                                               \
        (self)->failed = (self)->failed || fb_buf_printf(&(self)->out, __VA_ARGS__) < 0; \
    } while (0)

// ---- what a figure looks like

static const char *show_count(int64_t count, char text[FB_ROWS_TEXT_SIZE]) {
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e9, "G"}, {1e6, "M"}, {1e4, "k"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if ((double)count >= units[i].unit) {
            double unit = units[i].unit < 1e6 ? 1e3 : units[i].unit;
            (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%.1f%s", (double)count / unit, units[i].name);
            return text;
        }
    }
    (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%lld", (long long)count);
    return text;
}

static const char *show_ms(double ms, char text[FB_ROWS_TEXT_SIZE]) {
    if (ms <= 0) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "-");
    } else if (ms < 1) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%.1fus", ms * 1000);
    } else if (ms < 1000) {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%.1fms", ms);
    } else {
        (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%.2fs", ms / 1000);
    }
    return text;
}

static const char *show_mib(int64_t bytes, char text[FB_ROWS_TEXT_SIZE]) {
    (void)snprintf(text, FB_ROWS_TEXT_SIZE, "%.1fMiB", (double)bytes / (1 << 20));
    return text;
}

static double inner(const fb_resp_value *map, const char *name, const char *member) {
    const fb_resp_value *one = fb_rows_member(map, name);
    return one != NULL ? fb_rows_real(one, member) : 0;
}

// ---- the head

static void say_head(top *self, const fb_resp_value *all) {
    char now[FB_ROWS_TEXT_SIZE], up[FB_ROWS_TEXT_SIZE], span[FB_ROWS_TEXT_SIZE];
    bool whole = strcmp(WINDOWS[self->window], "start") == 0;
    PUT(self, "forebay %s  up %s  %s  figures %s %s (%s)\n", fb_link_name(self->link),
        fb_rows_duration(fb_rows_number(all, "uptime_ms"), up),
        fb_rows_instant(fb_clock_wall_ms(), now), whole ? "since the" : "of the last",
        WINDOWS[self->window], fb_rows_duration(fb_rows_number(all, "window_ms"), span));
}

static void say_cache(top *self, const fb_resp_value *all) {
    char hit[FB_ROWS_TEXT_SIZE], miss[FB_ROWS_TEXT_SIZE], saved[FB_ROWS_TEXT_SIZE];
    PUT(self, "reads    %.1f/s  hit rate %.1f%%  errors %.2f%%  hit p99 %s  miss p99 %s  saved %s\n",
        fb_rows_real(all, "per_second"), fb_rows_real(all, "hit_rate_percent"),
        fb_rows_real(all, "error_rate_percent"), show_ms(inner(all, "hit", "p99_ms"), hit),
        show_ms(inner(all, "miss", "p99_ms"), miss),
        show_ms(fb_rows_real(all, "time_saved_total_ms"), saved));
}

static void say_memory(top *self, const fb_resp_value *all) {
    char used[FB_ROWS_TEXT_SIZE], limit[FB_ROWS_TEXT_SIZE], entries[FB_ROWS_TEXT_SIZE];
    int64_t bytes = fb_rows_number(all, "memory_bytes");
    int64_t most = fb_rows_number(all, "memory_limit_bytes");
    PUT(self, "memory   %s of %s (%.1f%%)  %s entries  evicted %lld  expired %lld\n",
        show_mib(bytes, used), show_mib(most, limit),
        most > 0 ? 100 * (double)bytes / (double)most : 0,
        show_count(fb_rows_number(all, "entries"), entries),
        (long long)fb_rows_number(all, "evictions"),
        (long long)fb_rows_number(all, "expirations"));
}

static void say_tiers(top *self, const fb_resp_value *all) {
    char shared[FB_ROWS_TEXT_SIZE], load[FB_ROWS_TEXT_SIZE];
    int64_t loads = fb_rows_number(all, "loads");
    if (fb_rows_number(all, "shared_configured") != 0) {
        int64_t reads = fb_rows_number(all, "shared_reads");
        fb_str server = fb_rows_text(all, "shared_server");  // not known before it has answered once
        PUT(self, "shared   %.*s%s%.*s  reads %lld  hit rate %.1f%%  p99 %s  failed %lld  owed %lld\n",
            FB_STR_ARG(fb_rows_text(all, "shared_state")), server.len > 0 ? "  " : "",
            FB_STR_ARG(server), (long long)reads,
            reads > 0 ? 100 * (double)fb_rows_number(all, "shared_hits") / (double)reads : 0,
            show_ms(inner(all, "shared", "p99_ms"), shared),
            (long long)fb_rows_number(all, "shared_failures"),
            (long long)fb_rows_number(all, "shared_owed"));
    }
    PUT(self, "sources  loads %lld  failed %lld  p99 %s  running %lld  waiting %lld\n",
        (long long)loads, (long long)fb_rows_number(all, "load_failures"),
        show_ms(inner(all, "load", "p99_ms"), load),
        (long long)fb_rows_number(all, "loads_running"),
        (long long)fb_rows_number(all, "loads_waiting"));
}

static void say_doors(top *self, const fb_resp_value *all) {
    fb_str whole = FB_STR("doors");
    PUT(self, "doors    %lld connections  %.1f commands/s  %.1f requests/s  in %.1f KiB/s  out %.1f "
        "KiB/s  refused %lld\n",
        (long long)fb_rows_number(all, "connections"),
        fb_rates_next(&self->rates, whole, "commands", fb_rows_number(all, "commands")),
        fb_rates_next(&self->rates, whole, "requests", fb_rows_number(all, "http_requests")),
        fb_rates_next(&self->rates, whole, "in", fb_rows_number(all, "received_bytes")) / 1024,
        fb_rates_next(&self->rates, whole, "out", fb_rows_number(all, "sent_bytes")) / 1024,
        (long long)fb_rows_number(all, "connections_refused"));
}

static void say_missed(top *self, const fb_resp_value *all) {
    const fb_resp_value *targets = fb_rows_member(all, "targets");
    bool any = false;
    for (size_t i = 0; targets != NULL && i < targets->child_count; i++) {
        const fb_resp_value *one = &targets->children[i];
        if (fb_str_equal(fb_rows_text(one, "state"), FB_STR("missed"))) {
            char text[FB_ROWS_TEXT_SIZE];
            PUT(self, "%s%.*s (since %s)", any ? ", " : "missed   ",
                FB_STR_ARG(fb_rows_text(one, "name")),
                fb_rows_duration(fb_rows_number(one, "for_ms"), text));
            any = true;
        }
    }
    if (any) {
        PUT(self, "\n");
    }
}

// ---- classes

static int by_number(double a, double b) {
    return a < b ? 1 : a > b ? -1 : 0;  // the largest first
}

static order current_order;  // of qsort(), which hands nothing on

static int compare(const void *a, const void *b) {
    const fb_resp_value *one = *(const fb_resp_value *const *)a;
    const fb_resp_value *two = *(const fb_resp_value *const *)b;
    int result = 0;
    switch (current_order) {
        case BY_READS:
            result = by_number(fb_rows_real(one, "per_second"), fb_rows_real(two, "per_second"));
            break;
        case BY_RATE:
            result = by_number(fb_rows_real(one, "hit_rate_percent"),
                               fb_rows_real(two, "hit_rate_percent"));
            break;
        case BY_MISS:
            result = by_number(inner(one, "miss", "p99_ms"), inner(two, "miss", "p99_ms"));
            break;
        case BY_LOADS:
            result = by_number(fb_rows_real(one, "loads"), fb_rows_real(two, "loads"));
            break;
        case BY_ERRORS:
            result = by_number(fb_rows_real(one, "errors"), fb_rows_real(two, "errors"));
            break;
        case BY_NAME:
            break;
    }
    if (result != 0) {
        return result;
    }
    fb_str left = fb_rows_text(one, "name");
    fb_str right = fb_rows_text(two, "name");
    size_t len = left.len < right.len ? left.len : right.len;
    result = len > 0 ? memcmp(left.ptr, right.ptr, len) : 0;
    return result != 0 ? result : (left.len > right.len) - (left.len < right.len);
}

static void say_class(top *self, const fb_resp_value *one) {
    char hit[FB_ROWS_TEXT_SIZE], miss[FB_ROWS_TEXT_SIZE], loads[FB_ROWS_TEXT_SIZE];
    fb_str name = fb_rows_text(one, "name");
    name = name.len > 0 ? name : FB_STR("(plain keys)");
    PUT(self, "%-*.*s %9.1f %6.1f %9s %9s %8s %7lld %7lld %7lld %7lld\n", NAME_WIDTH,
        FB_STR_ARG(name), fb_rows_real(one, "per_second"), fb_rows_real(one, "hit_rate_percent"),
        show_ms(inner(one, "hit", "p99_ms"), hit), show_ms(inner(one, "miss", "p99_ms"), miss),
        show_count(fb_rows_number(one, "loads"), loads),
        (long long)fb_rows_number(one, "load_failures"), (long long)fb_rows_number(one, "stale_hits"),
        (long long)fb_rows_number(one, "coalesced"), (long long)fb_rows_number(one, "errors"));
}

static void say_classes(top *self, const fb_resp_value *each) {
    static const fb_resp_value *rows[CLASSES_MAX];
    size_t count = 0;
    for (size_t i = 1; i < each->child_count && count < CLASSES_MAX; i++) {
        const fb_resp_value *one = &each->children[i];
        bool used = fb_rows_number(one, "total_requests") + fb_rows_number(one, "loads") +
                        fb_rows_number(one, "sets") > 0;
        if (used || fb_rows_text(one, "name").len > 0) {
            rows[count++] = one;
        }
    }
    current_order = self->order;
    qsort(rows, count, sizeof rows[0], compare);
    PUT(self, "\n%-*s %9s %6s %9s %9s %8s %7s %7s %7s %7s\n", NAME_WIDTH, "class", "reads/s", "hit%",
        "hit p99", "miss p99", "loads", "failed", "stale", "joined", "errors");
    for (size_t i = 0; i < count; i++) {
        say_class(self, rows[i]);
    }
}

// ---- queues, limits

static void say_queues(top *self, const fb_resp_value *queues) {
    bool any = false;
    for (size_t i = 0; i < queues->child_count; i++) {
        const fb_resp_value *one = &queues->children[i];
        int64_t seen = fb_rows_number(one, "enqueued") + fb_rows_number(one, "ready") +
                       fb_rows_number(one, "scheduled") + fb_rows_number(one, "leased") +
                       fb_rows_number(one, "dead");
        if (seen == 0 && fb_rows_number(one, "reachable") != 0) {
            continue;
        }
        if (!any) {
            any = true;
            self->failed = self->failed || fb_queue_rows_head(&self->out, "\n") < 0;
        }
        self->failed = self->failed || fb_queue_rows_one(&self->out, "", one, &self->rates) < 0;
    }
}

static void say_limits(top *self, const fb_resp_value *rules) {
    bool any = false;
    for (size_t i = 0; i < rules->child_count; i++) {
        const fb_resp_value *one = &rules->children[i];
        fb_str name = fb_rows_text(one, "name");
        int64_t allowed = fb_rows_number(one, "allowed");
        int64_t denied = fb_rows_number(one, "denied");
        double passed = fb_rates_next(&self->rates, name, "limit allowed", allowed);
        double stopped = fb_rates_next(&self->rates, name, "limit denied", denied);
        if (allowed + denied == 0) {
            continue;
        }
        if (!any) {
            PUT(self, "\n%-*s %9s %9s %8s %9s %9s %8s\n", NAME_WIDTH, "limit", "allowed/s",
                "denied/s", "denied%", "allowed", "denied", "keys");
            any = true;
        }
        PUT(self, "%-*.*s %9.1f %9.1f %8.1f %9lld %9lld %8lld\n", NAME_WIDTH, FB_STR_ARG(name), passed,
            stopped, 100 * (double)denied / (double)(allowed + denied), (long long)allowed,
            (long long)denied, (long long)fb_rows_number(one, "keys"));
    }
}

// From `start` on these are lines of fields: none is lost on a narrow terminal. (Tables are cut.)
static void fold(top *self, size_t start) {
    self->failed = self->failed || !fb_screen_fold(&self->screen, &self->out, start);
}

static void say_keys(top *self) {
    if (!self->screen.keys) {
        return;
    }
    PUT(self, "\n");
    size_t start = self->out.len;
    for (size_t i = 0; i < ORDER_COUNT; i++) {
        PUT(self, "%s%c %s%s", i > 0 ? "  " : "sort: ", ORDERS[i].key, ORDERS[i].text,
            i == (size_t)self->order ? "*" : "");
    }
    PUT(self, "   w window   q quit\n");
    fold(self, start);
}

// ---- asking

static int ask(top *self, const fb_str *words, size_t count, const fb_resp_value **reply) {
    int result = fb_link_call(self->link, words, count, reply, &self->error);
    if (result < 0) {
        if (self->screen.terminal) {
            return LOST;
        }
        fb_cli_complain(self->line, "%s", self->error.text);
        return FB_EXIT_CONNECTION;
    }
    if ((*reply)->type == FB_RESP_ERROR) {
        fb_screen_end(&self->screen);
        fb_cli_complain(self->line, "%.*s", FB_STR_ARG((*reply)->text));
        return FB_EXIT_REFUSED;
    }
    return FB_EXIT_OK;
}

static int show_figures(top *self) {
    const fb_resp_value *reply = NULL;
    fb_str words[] = {FB_STR("FB.STATS"), FB_STR("EACH"), FB_STR("WINDOW"),
                      fb_str_of(WINDOWS[self->window])};
    fb_str queues = FB_STR("FB.QUEUES");
    fb_str rules = FB_STR("FB.RULES");
    int status = ask(self, words, 4, &reply);
    if (status != FB_EXIT_OK || reply->child_count == 0) {
        return status;
    }
    fb_rates_turn(&self->rates, fb_clock_now_ns());
    self->out.len = 0;
    const fb_resp_value *all = &reply->children[0];
    say_head(self, all);
    say_cache(self, all);
    say_memory(self, all);
    say_tiers(self, all);
    say_doors(self, all);
    say_missed(self, all);
    fold(self, 0);
    say_classes(self, reply);
    status = ask(self, &queues, 1, &reply);
    if (status == FB_EXIT_OK) {
        say_queues(self, reply);
        status = ask(self, &rules, 1, &reply);
    }
    if (status == FB_EXIT_OK) {
        say_limits(self, reply);
        say_keys(self);
        bool shown = !self->failed && fb_screen_show(&self->screen, &self->out);
        status = shown ? FB_EXIT_OK : FB_EXIT_OUTPUT;
    }
    return status;
}

// The last figures stay below.
static int show_lost(top *self) {
    char server[FB_CLI_SERVER_SIZE];
    fb_buf page = {0};
    int64_t now_ns = fb_clock_now_ns();
    fb_link_close(self->link);
    self->link = NULL;
    self->lost_ns = self->lost_ns != 0 ? self->lost_ns : now_ns;
    bool made = fb_buf_printf(&page, "forebay %s is away, since %lld s; asked each second\n%s\n\n",
                              fb_cli_server(self->line, server),
                              (long long)((now_ns - self->lost_ns) / FB_NS_PER_S),
                              self->error.text) == FB_OK &&
                fb_screen_fold(&self->screen, &page, 0) &&
                fb_buf_append(&page, fb_buf_str(&self->out)) == FB_OK &&
                fb_screen_show(&self->screen, &page);
    fb_buf_release(&page);
    return made ? FB_EXIT_OK : FB_EXIT_OUTPUT;
}

static int turn(top *self) {
    if (self->link == NULL && fb_link_open(self->line->url, self->timeout_ms, &self->link,
                                           &self->error) < 0) {
        return show_lost(self);
    }
    int status = show_figures(self);
    if (status == LOST) {
        return show_lost(self);
    }
    self->lost_ns = 0;
    return status;
}

// False: it is the key that ends it.
static bool take_key(top *self, int key) {
    if (key == 'w') {
        self->window = (self->window + 1) % WINDOW_COUNT;
    }
    for (size_t i = 0; i < ORDER_COUNT; i++) {
        if (key == ORDERS[i].key) {
            self->order = (order)i;
        }
    }
    return key != 'q' && key != 3;
}

static bool read_window(top *self, const char *word) {
    for (size_t i = 0; i < WINDOW_COUNT && word != NULL; i++) {
        if (strcmp(word, WINDOWS[i]) == 0) {
            self->window = i;
            return true;
        }
    }
    if (word != NULL) {
        fb_cli_complain(self->line, "--window %s: expected minute, hour or start", word);
    }
    return word == NULL;
}

static bool read_count(const fb_line *line, int64_t *count) {
    *count = line->once ? 1 : 0;
    if (line->count != NULL &&
        (fb_str_int(fb_str_of(line->count), count) < 0 || *count < 1)) {
        fb_cli_complain(line, "--count %s: expected a number from 1", line->count);
        return false;
    }
    return true;
}

int fb_cli_top(const fb_line *line) {
    static top self;
    int64_t count = 0;
    self.line = line;
    if (!read_window(&self, line->window) || !read_count(line, &count)) {
        return FB_EXIT_USAGE;
    }
    bool on_terminal = !line->once && isatty(STDOUT_FILENO) == 1;
    self.timeout_ms = on_terminal && line->timeout_ms > PATIENCE_MS ? PATIENCE_MS : line->timeout_ms;
    int result = fb_link_open(line->url, self.timeout_ms, &self.link, &self.error);
    if (result < 0) {
        fb_cli_complain(line, "%s", self.error.text);
        return result == FB_EINVAL ? FB_EXIT_USAGE : FB_EXIT_CONNECTION;
    }
    if (!line->once) {
        fb_screen_begin(&self.screen);
    }
    int status = turn(&self);
    for (int64_t turns = 1; status == FB_EXIT_OK && (count == 0 || turns < count); turns++) {
        if (!take_key(&self, fb_screen_wait(&self.screen, 1000))) {
            break;
        }
        status = turn(&self);
    }
    fb_screen_end(&self.screen);
    fb_buf_release(&self.out);
    fb_link_close(self.link);
    return status;
}
