// A count of looks in a row, for each target. Only the looker counts; what others read are two words,
// which may be of two looks.

#include "node/watch.h"

#include "base/log.h"
#include "base/units.h"
#include "node/say.h"

static uint32_t patience(fb_met met) {
    return met == FB_MET_NO ? FB_WATCH_BEGIN : met == FB_MET_YES ? FB_WATCH_END : FB_WATCH_FORGET;
}

// That it is met, or not judged, is news only to who was told that it is missed.
static void tell(const fb_target *target, fb_met before, fb_met now, int64_t for_ns) {
    char value[FB_NUMBER_SIZE];
    if (now == FB_MET_NO) {
        fb_log(FB_LOG_WARN, "target_missed", "target=%s value=%s bound=\"%s %.0f\" unit=%s over=1m",
               target->name, fb_number_text(target->value, 2, value), target->relation,
               target->bound, target->unit);
    } else if (before == FB_MET_NO) {
        fb_log(FB_LOG_INFO, now == FB_MET_YES ? "target_met" : "target_not_judged",
               "target=%s value=%s bound=\"%s %.0f\" unit=%s over=1m missed_s=%lld", target->name,
               fb_number_text(target->value, 2, value), target->relation, target->bound,
               target->unit, (long long)(for_ns / FB_NS_PER_S));
    }
}

void fb_watch_look(fb_watch *watch, const fb_stats *minute, int64_t now_ns) {
    fb_target targets[FB_TARGET_COUNT];
    fb_advice_targets(minute, targets);
    for (size_t i = 0; i < FB_TARGET_COUNT; i++) {
        fb_met seen = targets[i].met;
        fb_met before = (fb_met)atomic_load(&watch->targets[i].met);
        watch->targets[i].looks = seen == watch->targets[i].seen ? watch->targets[i].looks + 1 : 1;
        watch->targets[i].seen = seen;
        if (seen != before && watch->targets[i].looks >= patience(seen)) {
            tell(&targets[i], before, seen, now_ns - atomic_load(&watch->targets[i].since_ns));
            atomic_store(&watch->targets[i].since_ns, now_ns);
            atomic_store(&watch->targets[i].met, (int)seen);
        }
    }
}

fb_watched fb_watch_read(const fb_watch *watch, size_t target, int64_t now_ns) {
    int64_t since_ns = atomic_load(&watch->targets[target].since_ns);
    return (fb_watched){
        .met = (fb_met)atomic_load(&watch->targets[target].met),
        .for_ms = since_ns > 0 && now_ns > since_ns ? (now_ns - since_ns) / FB_NS_PER_MS : 0};
}
