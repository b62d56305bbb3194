// Which ways are open. A relay that cannot be used is paused, for longer each time; when the pause
// is over, one mail tries, while the others go on waiting, so that a relay that is down costs one
// connection and not a thousand.
//
// Several mails may fail at once by the same trouble. Only the first pauses: who began before a
// pause did does not make another.

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/mail_inside.h"
#include "os/clock.h"

#define PAUSE_MAX_NS (600 * FB_NS_PER_S)
#define PROBE_WAIT_NS (2 * FB_NS_PER_S)

int fb_mail_way_init(fb_mail_way *way, const char *name) {
    memset(way, 0, sizeof *way);
    if (fb_histogram_new(&way->took) < 0) {
        return FB_ENOMEM;
    }
    (void)snprintf(way->name, sizeof way->name, "%s", name);
    pthread_mutex_init(&way->lock, NULL);
    return FB_OK;
}

void fb_mail_way_release(fb_mail_way *way) {
    fb_relay_free(way->relay);
    fb_histogram_free(way->took);
    pthread_mutex_destroy(&way->lock);
}

bool fb_mail_way_enter(fb_mail_way *way, int64_t now_ns, uint64_t *pauses, int64_t *wait_ns) {
    pthread_mutex_lock(&way->lock);
    bool up = way->paused_until_ns == 0;
    bool probe = !up && now_ns >= way->paused_until_ns && !way->probing;
    *pauses = way->pauses;
    *wait_ns = up || probe    ? 0
               : way->probing ? PROBE_WAIT_NS
                              : way->paused_until_ns - now_ns;
    way->probing = way->probing || probe;
    pthread_mutex_unlock(&way->lock);
    return up || probe;
}

// Whether this pauses it, rather than one that was there before.
static bool pause(fb_mail_way *way, uint64_t pauses, int64_t first_ns, const char *why) {
    if (way->pauses != pauses) {
        return false;
    }
    int64_t next_ns = way->pause_ns == 0 ? first_ns : 2 * way->pause_ns;
    way->pause_ns = next_ns < PAUSE_MAX_NS ? next_ns : PAUSE_MAX_NS;
    way->paused_until_ns = fb_clock_now_ns() + way->pause_ns;
    way->pauses++;
    way->probing = false;
    (void)snprintf(way->why, sizeof way->why, "%s", why);
    return true;
}

void fb_mail_way_leave(fb_mail_way *way, fb_mail_way_end end, uint64_t pauses, int64_t first_ns,
                       const char *why) {
    pthread_mutex_lock(&way->lock);
    bool was_paused = way->paused_until_ns != 0 && way->pauses == pauses;
    bool paused = end == FB_MAIL_WAY_DOWN && pause(way, pauses, first_ns, why);
    int64_t pause_ns = way->pause_ns;
    if (was_paused && end == FB_MAIL_WAY_UNUSED) {
        way->probing = false;
    }
    // Who began before a pause did says nothing of what is now.
    bool up = was_paused && end == FB_MAIL_WAY_WORKS;
    if (up) {
        way->paused_until_ns = way->pause_ns = 0;
        way->probing = false;
        way->why[0] = '\0';
    }
    pthread_mutex_unlock(&way->lock);
    if (paused) {
        fb_mail_way_count(way, FB_MAIL_COUNT_paused);
        fb_log(FB_LOG_WARN, "mail_relay_paused", "relay=%s for_ms=%lld why=%s", way->name,
               (long long)(pause_ns / FB_NS_PER_MS), fb_log_quote(fb_str_of(why), 300).text);
    } else if (up) {
        fb_log(FB_LOG_INFO, "mail_relay_up", "relay=%s", way->name);
    }
}
