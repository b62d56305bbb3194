// cli/screen.h -- a screen that is written anew every second: keys, size, the terminal as it was before.
//
// Elsewhere than on a terminal what is shown is written one after the other, without any control bytes.
// No library for it: what is needed is six escape sequences that every terminal in use understands.
//
// Threads: one screen a process.

#ifndef FB_CLI_SCREEN_H
#define FB_CLI_SCREEN_H

#include "base/buf.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_screen {
    bool terminal;
    bool keys;  // standard input is a terminal as well
    int width, height;  // 0: as much as there is
} fb_screen;

// On a terminal: another page, no cursor, keys without Enter. fb_screen_end() undoes it, and so does
// what ends the process (SIGINT, SIGTERM and their kin).
void fb_screen_begin(fb_screen *screen);
void fb_screen_end(fb_screen *screen);
// Of `lines`, those from byte `start` on that are wider than the screen go on in the next one: from where
// two blanks part their fields, else from a blank. Not on a terminal: nothing. False: no memory.
bool fb_screen_fold(const fb_screen *screen, fb_buf *lines, size_t start);
// Lines, each cut to the width; on a terminal no more than fit on it. False: they could not be written.
bool fb_screen_show(fb_screen *screen, const fb_buf *lines);
// Waits for so long, or for a key, or for another size. A key; 0: none; 'q' where it is to end.
int fb_screen_wait(fb_screen *screen, int64_t ms);

// ---- rates: what counters grew by since the last turn

enum { FB_RATES_MAX = 1024, FB_RATES_NAME_SIZE = 112 };

typedef struct fb_rates {
    struct {
        char name[FB_RATES_NAME_SIZE];
        int64_t value;
    } all[FB_RATES_MAX];
    size_t count;
    int64_t last_ns;
    double seconds;  // since the last turn; 0: it is the first
} fb_rates;

void fb_rates_turn(fb_rates *rates, int64_t now_ns);
// Per second; 0 the first time, and where the counter is less than it was (the server has begun anew).
double fb_rates_next(fb_rates *rates, fb_str name, const char *counter, int64_t value);

#ifdef __cplusplus
}
#endif

#endif
