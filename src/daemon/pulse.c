// A sign of life is a post: a loop that hangs in a callback, or is behind with all that was posted to it,
// does not come to run it. One that owes a sign is asked for no second one, so a loop that hangs for an
// hour finds one post of ours and not thousands.
//
// The main thread asks and beats; a beat of its own accord would only say that the main thread sleeps
// well.

#include "daemon/pulse.h"

#include <stdatomic.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"

static const int64_t EVERY_MAX_NS = FB_NS_PER_S;
static const int64_t PATIENCE_NS = 5 * FB_NS_PER_S;

typedef struct beat {
    _Atomic bool owed;
    int64_t asked_ns;  // when it was asked last
} beat;

struct fb_pulse {
    fb_engine *engine;
    int64_t patience_ns, every_ns, lag_ns;
    bool well;
    uint32_t count;
    beat beats[];
};

int fb_pulse_new(fb_engine *engine, int64_t watchdog_ns, fb_pulse **pulse) {
    uint32_t count = fb_loop_count(engine);
    fb_pulse *made = fb_mem_zero(1, sizeof *made + count * sizeof *made->beats);
    *pulse = made;
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->engine = engine;
    made->count = count;
    made->well = true;
    made->patience_ns = watchdog_ns > 0 ? watchdog_ns / 2 : PATIENCE_NS;
    made->every_ns = watchdog_ns > 0 && watchdog_ns / 4 < EVERY_MAX_NS ? watchdog_ns / 4
                                                                       : EVERY_MAX_NS;
    return FB_OK;
}

void fb_pulse_free(fb_pulse *pulse) {
    fb_mem_free(pulse);
}

static void give(void *arg) {
    beat *one = arg;
    atomic_store_explicit(&one->owed, false, memory_order_release);
}

// Without memory to ask, nothing is owed: that is no sign of a loop that hangs.
static void ask(fb_pulse *pulse, uint32_t index, int64_t now_ns) {
    beat *one = &pulse->beats[index];
    atomic_store_explicit(&one->owed, true, memory_order_relaxed);
    one->asked_ns = now_ns;
    if (fb_loop_post(pulse->engine, index, give, one) < 0) {
        atomic_store_explicit(&one->owed, false, memory_order_relaxed);
    }
}

static void tell(fb_pulse *pulse, bool well, uint32_t worst) {
    if (well != pulse->well) {
        pulse->well = well;
        if (well) {
            fb_log(FB_LOG_INFO, "loops_turn_again", "loops=%u", pulse->count);
        } else {
            fb_log(FB_LOG_ERROR, "loop_hangs", "loop=%u ms=%lld", worst,
                   (long long)(pulse->lag_ns / FB_NS_PER_MS));
        }
    }
}

bool fb_pulse_step(fb_pulse *pulse, int64_t now_ns) {
    uint32_t worst = 0;
    pulse->lag_ns = 0;
    for (uint32_t i = 0; i < pulse->count; i++) {
        beat *one = &pulse->beats[i];
        if (!atomic_load_explicit(&one->owed, memory_order_acquire)) {
            ask(pulse, i, now_ns);
        } else if (now_ns - one->asked_ns > pulse->lag_ns) {
            pulse->lag_ns = now_ns - one->asked_ns;
            worst = i;
        }
    }
    bool well = pulse->lag_ns <= pulse->patience_ns;
    tell(pulse, well, worst);
    return well;
}

int64_t fb_pulse_every_ns(const fb_pulse *pulse) {
    return pulse->every_ns;
}

int64_t fb_pulse_lag_ns(const fb_pulse *pulse) {
    return pulse->lag_ns;
}
