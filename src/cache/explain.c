// What is known of a key, for people.

#include <string.h>

#include "base/units.h"
#include "cache/shared.h"

typedef struct look {
    fb_cache *cache;
    const fb_view *view;
    int64_t now_ns;
    fb_explanation *explanation;
    uint32_t index_count;
    uint32_t index_slots[FB_TAGS_MAX];
} look;

static int64_t left_ms(int64_t until_ns, int64_t now_ns) {
    if (until_ns == INT64_MAX) {
        return -1;
    }
    return until_ns > now_ns ? (until_ns - now_ns - 1) / FB_NS_PER_MS + 1 : 0;
}

// Index tags are left out: they follow from the key, and nobody invalidates them by name.
static bool is_index(const look *job, uint32_t slot) {
    for (uint32_t i = 0; i < job->index_count; i++) {
        if (job->index_slots[i] == slot) {
            return true;
        }
    }
    return false;
}

static void name_tags(const look *job, const fb_entry *entry) {
    fb_explanation *explanation = job->explanation;
    for (size_t i = 0; i < entry->tag_count && explanation->tag_count < FB_TAGS_MAX; i++) {
        if (!is_index(job, entry->tags[i])) {
            fb_tags_name(job->cache->tags, entry->tags[i],
                         explanation->tags[explanation->tag_count++]);
        }
    }
}

static void name_class(const fb_class *class_, fb_explanation *explanation) {
    fb_str name = class_->name;
    if (class_->id != FB_CLASS_PLAIN && name.len < sizeof explanation->class_name) {
        memcpy(explanation->class_name, name.ptr, name.len);
    }
}

static void see(void *arg, const fb_item *item) {
    const look *job = arg;
    fb_explanation *explanation = job->explanation;
    fb_entry entry;
    fb_judged judged;
    *explanation = (fb_explanation){.tier = FB_TIER_NONE};
    if (!fb_cache_judge(job->cache, job->view, item, job->now_ns, &entry, &judged)) {
        return;
    }
    fb_value value;
    fb_entry_show(item, &entry, &judged, job->now_ns, &value);
    explanation->tier = FB_TIER_MEMORY;
    explanation->negative = (entry.flags & FB_ENTRY_NEGATIVE) != 0;
    explanation->hit_for_miss = judged.find == FB_FIND_HIT_FOR_MISS;
    explanation->freshness = value.freshness;
    explanation->kind = value.kind;
    explanation->age_ms = value.age_ms;
    explanation->fresh_for_ms = left_ms(judged.fresh_until_ns, job->now_ns);
    explanation->gone_in_ms = left_ms(judged.dead_ns, job->now_ns);
    explanation->load_cost_us = entry.cost_us;
    explanation->value_bytes = item->value.len;
    name_class(fb_view_class(job->view, entry.class_id), explanation);
    name_tags(job, &entry);
}

int fb_cache_explain(fb_cache *cache, fb_str key, int64_t now_ns, fb_explanation *explanation) {
    look job = {
        .cache = cache, .view = fb_cache_view(cache), .now_ns = now_ns, .explanation = explanation};
    int result = fb_cache_index_slots(cache, job.view, key, job.index_slots, &job.index_count);
    if (result == FB_ENOMEM) {
        return FB_ENOMEM;
    }
    if (fb_store_peek(cache->store, key, now_ns, see, &job) != FB_OK) {
        *explanation = (fb_explanation){.tier = FB_TIER_NONE};
    }
    explanation->frequency = fb_store_frequency(cache->store, key);
    if (explanation->tier == FB_TIER_NONE) {  // whose it would be
        name_class(fb_catalog_of_key(job.view->catalog, key), explanation);
    }
    explanation->loading = fb_cache_loading(cache, key);
    const char *text = fb_misses_text(fb_misses_last(cache->misses, key));
    strncpy(explanation->last_miss, text, sizeof explanation->last_miss - 1);
    return FB_OK;
}
