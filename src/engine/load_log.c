// A source that is down fails every load, and a log that says so thousands of times a second hides
// everything else and costs more than the loads. So of each class the first failure is told in
// full; those that follow are counted, and told once a second as a number; a second without any
// ends the quiet, and the next is told in full again. The same for slow loads.
//
// A load that never ran because the queue in front of its source was full is a failure like others.

#include "engine/engine.h"

#include "base/log.h"
#include "base/str.h"

// Whether this is the first for a while.
static bool is_news(_Atomic(uint32_t) *count) {
    return atomic_fetch_add(count, 1) == 0;
}

void fb_load_log_failed(fb_engine *engine, const fb_class *class_, fb_str key,
                        const fb_loaded *loaded) {
    if (loaded->result != FB_ECLOSED && is_news(&engine->log.failed[class_->id])) {
        fb_log(FB_LOG_WARN, "load_failed", "class=%.*s key=%s result=%s error=%s",
               FB_STR_ARG(class_->name), fb_log_quote(key, FB_LOG_KEY_MAX).text,
               fb_result_name(loaded->result),
               fb_log_quote(fb_str_of(loaded->error), FB_LOG_TEXT_MAX).text);
    }
}

void fb_load_log_slow(fb_engine *engine, const fb_source_job *job, int64_t took_ns) {
    int64_t slow_ns = atomic_load_explicit(&engine->slow_ns, memory_order_relaxed);
    if (slow_ns > 0 && took_ns >= slow_ns && is_news(&engine->log.slow[job->class_->id])) {
        fb_log(FB_LOG_WARN, "slow_load", "class=%.*s key=%s items=%zu ms=%lld",
               FB_STR_ARG(job->class_->name),
               fb_log_quote(job->items[0].bound.key, FB_LOG_KEY_MAX).text, job->item_count,
               (long long)(took_ns / 1000000));
    }
}

// How many came since the last time, beside the one that was told in full.
static uint32_t take(_Atomic(uint32_t) *count) {
    uint32_t seen = atomic_load_explicit(count, memory_order_relaxed);
    if (seen <= 1) {
        // A failure that comes in between is counted, and told the next time.
        (void)(seen == 1 && atomic_compare_exchange_strong(count, &seen, 0));
        return 0;
    }
    return atomic_exchange(count, 1) - 1;
}

void fb_load_log_tell(fb_engine *engine) {
    const fb_catalog *catalog = fb_cache_catalog(engine->cache);
    for (size_t i = 0; i < fb_catalog_count(catalog); i++) {
        const fb_class *class_ = fb_catalog_at(catalog, i);
        uint32_t failed = take(&engine->log.failed[class_->id]);
        uint32_t slow = take(&engine->log.slow[class_->id]);
        if (failed > 0) {
            fb_log(FB_LOG_WARN, "more_loads_failed", "class=%.*s count=%u",
                   FB_STR_ARG(class_->name), failed);
        }
        if (slow > 0) {
            fb_log(FB_LOG_WARN, "more_slow_loads", "class=%.*s count=%u", FB_STR_ARG(class_->name),
                   slow);
        }
    }
}
