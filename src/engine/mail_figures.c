// Figures of the ways that mails go, and the test of relays.

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "engine/mail_inside.h"
#include "os/clock.h"

static void fill(fb_mail_way *way, fb_mail_figures *figures) {
    memset(figures, 0, sizeof *figures);
    (void)snprintf(figures->relay, sizeof figures->relay, "%s", way->name);
    pthread_mutex_lock(&way->lock);
    figures->up = way->paused_until_ns == 0;
    memcpy(figures->why, way->why, sizeof figures->why);
    pthread_mutex_unlock(&way->lock);
#define TAKE(field, help) \
    figures->field =      \
        atomic_load_explicit(&way->counters[FB_MAIL_COUNT_##field], memory_order_relaxed);
    FB_MAIL_COUNTERS(TAKE)
#undef TAKE
    figures->mean_us = (uint64_t)(fb_histogram_mean(way->took) / FB_NS_PER_US);
    figures->p50_us = (uint64_t)(fb_histogram_quantile(way->took, 0.5) / FB_NS_PER_US);
    figures->p99_us = (uint64_t)(fb_histogram_quantile(way->took, 0.99) / FB_NS_PER_US);
}

int fb_mail_figures_read(fb_engine *engine, fb_mail_figures_fn fn, void *arg) {
    fb_engine_ours(engine);
    fb_mailer *mailer = engine->mailer;
    for (size_t i = 0; i < mailer->way_count; i++) {
        fb_mail_figures figures;
        fill(&mailer->ways[i], &figures);
        fn(arg, &figures);
    }
    return FB_OK;
}

void fb_mailer_reset_figures(fb_mailer *mailer) {
    for (size_t i = 0; i < mailer->way_count; i++) {
        for (size_t k = 0; k < FB_MAIL_COUNTER_COUNT; k++) {
            atomic_store_explicit(&mailer->ways[i].counters[k], 0, memory_order_relaxed);
        }
        fb_histogram_reset(mailer->ways[i].took);
    }
}

// ---- the test

typedef struct told {
    fb_mail_line_fn fn;
    void *arg;
    const char *relay;  // NULL: there is only one
} told;

static void tell(void *arg, bool good, const char *line) {
    const told *to = arg;
    char text[512];
    (void)snprintf(text, sizeof text, "%s%s%s", to->relay != NULL ? to->relay : "",
                   to->relay != NULL ? ": " : "", line);
    to->fn(to->arg, good, text);
}

// A relay that was paused and works has its mails at once.
static bool test_one(fb_mailer *mailer, fb_mail_way *way, told *to) {
    fb_smtp_result result;
    uint64_t pauses = 0;
    int64_t wait_ns = 0;
    to->relay = mailer->way_count > 1 ? way->name : NULL;
    if (way->relay == NULL) {
        char line[400];
        (void)snprintf(line, sizeof line,
                       "there is no relay: mails are written to the Maildir %.300s",
                       mailer->options.maildir);
        tell(to, true, line);
        return true;
    }
    fb_relay_test(way->relay, tell, to, &result);
    bool good = result.phase == FB_SMTP_DONE;
    if (good && !fb_mail_way_enter(way, INT64_MAX, &pauses, &wait_ns)) {
        return good;  // a mail is trying
    }
    if (good) {
        fb_mail_way_leave(way, FB_MAIL_WAY_WORKS, pauses, 0, "");
    }
    return good;
}

int fb_mail_test(fb_engine *engine, fb_str relay, fb_mail_line_fn fn, void *arg, fb_error *error) {
    fb_engine_ours(engine);
    fb_mailer *mailer = engine->mailer;
    told to = {.fn = fn, .arg = arg};
    bool any = false, good = true;
    if (fb_engine_here(engine) != NULL) {
        return fb_error_set(error, FB_EINVAL, "testing a relay takes long: not on a loop");
    }
    if (!fb_engine_enter(engine)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    for (size_t i = 0; i < mailer->way_count; i++) {
        if (relay.len == 0 || fb_str_equal(relay, fb_str_of(mailer->ways[i].name))) {
            any = true;
            good = test_one(mailer, &mailer->ways[i], &to) && good;
        }
    }
    fb_engine_idle(engine);
    if (!any) {
        return fb_error_set(error, FB_EINVAL, "there is no relay %.*s", FB_STR_ARG(relay));
    }
    return good ? FB_OK : fb_error_set(error, FB_EIO, "not every relay can be used");
}
