// Lines are written over those of the last time and what is left of each is cleared, rather than the
// whole screen first: so nothing flickers.
//
// Whoever is stopped by Ctrl-Z gets the terminal as it is; only what ends the process puts it back, in a
// handler that may call write() and tcsetattr() and does no more.

#include "cli/screen.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"
#include "base/utf8.h"

enum { ESCAPE = 27, FOLD_INDENT = 9 };
static const char BEGIN[] = "\033[?1049h\033[?25l";
static const char END[] = "\033[?25h\033[?1049l";

static struct termios before;
static volatile sig_atomic_t is_changed, has_keys, resized, ending;

static void say(const char *text) {
    ssize_t put = write(STDOUT_FILENO, text, strlen(text));
    (void)put;  // a terminal that is gone needs nothing any more
}

static void put_back(void) {
    if (is_changed) {
        is_changed = 0;
        say(END);
        if (has_keys) {
            (void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
        }
    }
}

static void on_size(int number) {
    (void)number;
    resized = 1;
}

static void on_end(int number) {
    (void)number;
    ending = 1;
}

static void measure(fb_screen *screen) {
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        screen->width = size.ws_col;
        screen->height = size.ws_row;
    } else {
        screen->width = 80;
        screen->height = 24;
    }
}

static void listen_for(int number, void (*fn)(int number)) {
    struct sigaction action = {.sa_handler = fn};
    sigemptyset(&action.sa_mask);
    (void)sigaction(number, &action, NULL);
}

void fb_screen_begin(fb_screen *screen) {
    *screen = (fb_screen){.terminal = isatty(STDOUT_FILENO) == 1};
    ending = 0;
    if (!screen->terminal) {
        return;
    }
    measure(screen);
    screen->keys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before) == 0;
    if (screen->keys) {
        struct termios raw = before;
        raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        screen->keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
    }
    has_keys = screen->keys;
    is_changed = 1;
    listen_for(SIGWINCH, on_size);
    listen_for(SIGINT, on_end);
    listen_for(SIGTERM, on_end);
    listen_for(SIGHUP, on_end);
    say(BEGIN);
}

void fb_screen_end(fb_screen *screen) {
    (void)screen;
    put_back();
}

// The first characters of a line, as many as the screen is wide; each is one column wide here.
static size_t cut(fb_str line, int width) {
    size_t at = 0;
    for (int shown = 0; at < line.len && shown < width; shown++) {
        size_t used = 1;
        (void)fb_utf8_next(fb_str_make(line.ptr + at, line.len - at), &used);
        at += used;
    }
    return at;
}

// How much of a line stays in it; all of it where it fits, or cannot be parted behind its first word.
static size_t fold_at(fb_str line, int width, size_t least) {
    size_t most = cut(line, width);
    if (most == line.len) {
        return most;
    }
    for (size_t blanks = 2; blanks > 0; blanks--) {
        for (size_t at = most; at > least; at--) {
            if (line.ptr[at - 1] != ' ' && memcmp(line.ptr + at, "  ", blanks) == 0) {
                return at;
            }
        }
    }
    return line.len;
}

static bool fold_line(fb_buf *to, fb_str line, int width) {
    size_t len = fold_at(line, width, FOLD_INDENT);
    bool done = fb_buf_append(to, fb_str_make(line.ptr, len)) == FB_OK;
    while (done && len < line.len) {
        line = fb_str_trim(fb_str_make(line.ptr + len, line.len - len));
        len = fold_at(line, width - FOLD_INDENT, 0);
        done = fb_buf_printf(to, "\n%*s%.*s", FOLD_INDENT, "", (int)len, line.ptr) == FB_OK;
    }
    return done && fb_buf_append(to, FB_STR("\n")) == FB_OK;
}

bool fb_screen_fold(const fb_screen *screen, fb_buf *lines, size_t start) {
    fb_buf folded = {0};
    bool done = true;
    if (!screen->terminal || screen->width <= 2 * FOLD_INDENT) {
        return true;
    }
    for (fb_str rest = {lines->ptr + start, lines->len - start}; rest.len > 0 && done;) {
        size_t len = fb_str_find(rest, '\n');
        done = fold_line(&folded, fb_str_make(rest.ptr, len), screen->width);
        size_t used = len < rest.len ? len + 1 : len;
        rest = fb_str_make(rest.ptr + used, rest.len - used);
    }
    lines->len = start;
    done = done && fb_buf_append(lines, fb_buf_str(&folded)) == FB_OK;
    fb_buf_release(&folded);
    return done;
}

bool fb_screen_show(fb_screen *screen, const fb_buf *lines) {
    fb_str rest = fb_buf_str(lines);
    if (!screen->terminal) {
        return fwrite(rest.ptr, 1, rest.len, stdout) == rest.len && fflush(stdout) == 0;
    }
    fputs("\033[H", stdout);
    for (int row = 0; row < screen->height && rest.len > 0; row++) {
        size_t len = fb_str_find(rest, '\n');
        fb_str line = {rest.ptr, len};
        size_t used = len < rest.len ? len + 1 : len;
        rest = fb_str_make(rest.ptr + used, rest.len - used);
        // The last row without a line end, which would move all others up.
        printf("%.*s\033[K%s", (int)cut(line, screen->width), line.ptr,
               row + 1 < screen->height && rest.len > 0 ? "\r\n" : "");
    }
    fputs("\033[J", stdout);
    return fflush(stdout) == 0;
}

// One key: what is pressed meanwhile is read the next time. Escape alone ends it; with more behind it, it is a
// key that means nothing here.
static int read_key(void) {
    char byte;
    if (read(STDIN_FILENO, &byte, 1) != 1) {
        return 0;
    }
    if (byte != ESCAPE) {
        return (unsigned char)byte;
    }
    char rest[8];
    return read(STDIN_FILENO, rest, sizeof rest) > 0 ? 0 : 'q';
}

int fb_screen_wait(fb_screen *screen, int64_t ms) {
    struct pollfd input = {.fd = screen->keys ? STDIN_FILENO : -1, .events = POLLIN};
    int ready = ending ? 0 : poll(&input, 1, (int)ms);
    if (ending) {
        return 'q';
    }
    if (resized && screen->terminal) {
        resized = 0;
        measure(screen);
        return 0;
    }
    if (ready <= 0) {
        return 0;
    }
    if ((input.revents & POLLIN) == 0) {
        screen->keys = false;  // nobody is there to press any more
        return 0;
    }
    return read_key();
}

// ---- rates

void fb_rates_turn(fb_rates *rates, int64_t now_ns) {
    rates->seconds = rates->last_ns != 0 ? (double)(now_ns - rates->last_ns) / 1e9 : 0;
    rates->last_ns = now_ns;
}

double fb_rates_next(fb_rates *rates, fb_str name, const char *counter, int64_t value) {
    char whole[FB_RATES_NAME_SIZE];
    (void)snprintf(whole, sizeof whole, "%.*s %s", FB_STR_ARG(name), counter);
    for (size_t i = 0; i < rates->count; i++) {
        if (strcmp(rates->all[i].name, whole) == 0) {
            int64_t grown = value - rates->all[i].value;
            rates->all[i].value = value;
            return rates->seconds > 0 && grown > 0 ? (double)grown / rates->seconds : 0;
        }
    }
    if (rates->count < FB_RATES_MAX) {
        memcpy(rates->all[rates->count].name, whole, sizeof whole);
        rates->all[rates->count++].value = value;
    }
    return 0;
}
