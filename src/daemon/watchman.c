// The status line that a service manager shows is made of the last minute, every 5 s. Everything here is
// done by one thread that has nothing else to do, so that a loop that hangs cannot keep it from being told
// of; only what is written of the beats (pulse.h) needs the loops, and says that they turn.

#include "daemon/watchman.h"

#include <time.h>

#include "base/mem.h"
#include "base/units.h"
#include "daemon/pulse.h"
#include "node/gain.h"
#include "node/monitor.h"
#include "node/slow.h"
#include "node/watch.h"
#include "os/clock.h"
#include "os/notify.h"

struct fb_watchman {
    fb_node *node;
    fb_pulse *pulse;
    fb_watch watch;
    int64_t beat_ns, look_ns;  // when each is due
};

int fb_watchman_new(fb_node *node, fb_watchman **watchman) {
    *watchman = NULL;
    fb_watchman *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL ||
        fb_pulse_new(node->engine, fb_notify_watchdog_ns(), &made->pulse) < 0) {
        fb_mem_free(made);
        return FB_ENOMEM;
    }
    made->node = node;
    node->watch = &made->watch;
    *watchman = made;
    return FB_OK;
}

void fb_watchman_free(fb_watchman *watchman) {
    if (watchman != NULL) {
        fb_pulse_free(watchman->pulse);
        fb_mem_free(watchman);
    }
}

static void tell_status(const fb_watchman *self, const fb_stats *minute) {
    fb_gain all = fb_gain_in_all(minute);
    char memory[48];
    fb_notify("STATUS=%s; %.1f reads/s, hit rate %.1f%%, %s in memory, %llu connections",
              fb_monitor_mode(minute), all.per_second, all.hit_rate_percent,
              fb_units_show_bytes(minute->memory_bytes, memory, sizeof memory),
              (unsigned long long)self->node->connections);
}

static void look(fb_watchman *self, int64_t now_ns) {
    fb_stats minute;
    if (fb_stats_read_over(self->node->engine, FB_WINDOW_MINUTE, &minute) == FB_OK) {
        fb_watch_look(&self->watch, &minute, now_ns);
        tell_status(self, &minute);
        fb_stats_release(&minute);
    }
}

void fb_watchman_turn(fb_watchman *watchman) {
    int64_t now_ns = fb_clock_now_ns();
    if (now_ns >= watchman->beat_ns) {
        fb_slow_tell(watchman->node);
        watchman->beat_ns = now_ns + fb_pulse_every_ns(watchman->pulse);
        bool well = fb_pulse_step(watchman->pulse, now_ns);
        atomic_store_explicit(&watchman->node->loop_lag_ns, fb_pulse_lag_ns(watchman->pulse),
                              memory_order_relaxed);
        if (well && fb_notify_watchdog_ns() > 0) {
            fb_notify("WATCHDOG=1");
        }
    }
    if (now_ns >= watchman->look_ns) {
        watchman->look_ns = now_ns + FB_WATCH_EVERY_S * FB_NS_PER_S;
        look(watchman, now_ns);
    }
}

int fb_watchman_wait(fb_watchman *watchman, const sigset_t *set) {
    for (;;) {
        fb_watchman_turn(watchman);
        int64_t now_ns = fb_clock_now_ns();
        int64_t wait_ns = watchman->beat_ns > now_ns ? watchman->beat_ns - now_ns : 0;
        struct timespec wait = {(time_t)(wait_ns / FB_NS_PER_S), (long)(wait_ns % FB_NS_PER_S)};
        int number = sigtimedwait(set, NULL, &wait);
        if (number > 0) {
            return number;
        }
    }
}
