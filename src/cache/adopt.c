// A region found again: which of its entries are still what this configuration would load?
//
// The store vouches for the items and their lifetimes, the table of stamps for the invalidations:
// the numbers go on where they stood. What is looked at here is what changed with the configuration
// while nobody ran. An entry stays if its class is there under its old number with the same print
// (cache/outside.h), if its key still belongs to that class, and if it has the index tags that its
// key has now: a glob that stands for one of them must find it.
//
// Numbers of namespaces are given anew with each start. So what was noted for them is noted for the
// classes that were in them; that a class was in another one then does not matter any more.
//
// Where there is a shared tier, entries stay with the marks of how far its logs were applied, and
// nothing is coherent: the follower applies what was said meanwhile (cache/coherent.h). With
// another number of partitions, or none before or now, all goes.
//
// A daemon may be killed in here, or was killed while its classes changed: then the table was
// closed (its generation is odd), nothing of what it says of classes is known to be whole, and all
// but plain keys go.

#include "base/rule.h"
#include "cache/cache.h"
#include "cache/outside.h"
#include "cache/shared.h"

typedef struct keeping {
    fb_cache *cache;
    const fb_view *view;
    bool kept[FB_CLASS_MAX];
} keeping;

// Asked under the store's lock; without the memory to find out, the entry goes.
static bool has_index_tags(const keeping *now, fb_str key, const fb_entry *entry) {
    uint32_t slots[FB_TAGS_MAX];
    uint32_t count = 0;
    if (fb_cache_index_slots(now->cache, now->view, key, slots, &count) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool there = false;
        for (uint32_t j = 0; j < entry->tag_count && !there; j++) {
            there = entry->tags[j] == slots[i];
        }
        if (!there) {
            return false;
        }
    }
    return true;
}

static bool is_foreign(void *arg, const fb_item *item) {
    const keeping *now = arg;
    fb_entry entry;
    return item->class_id >= FB_CLASS_MAX || !now->kept[item->class_id] ||
           fb_catalog_of_key(now->view->catalog, item->key)->id != item->class_id ||
           !fb_entry_unpack(item, &entry) || !has_index_tags(now, item->key, &entry);
}

static void choose_classes(keeping *now) {
    const fb_tags *tags = now->cache->tags;
    bool whole = fb_outside_generation(&tags->outside) % 2 == 0;
    now->kept[FB_CLASS_PLAIN] = true;
    for (uint16_t id = 1; id < FB_CLASS_MAX && whole; id++) {
        const fb_class *class_ = fb_catalog_by_id(now->view->catalog, id);
        now->kept[id] = class_ != NULL && fb_outside_has(&tags->outside, class_);
    }
}

static void renumber_namespaces(const keeping *now) {
    fb_tags *tags = now->cache->tags;
    for (uint16_t id = 1; id < FB_CLASS_MAX; id++) {
        if (now->kept[id]) {
            fb_tags_inherit(tags, id, fb_outside_namespace(&tags->outside, id));
        }
    }
    fb_tags_forget_namespaces(tags);
}

// What is there was kept in step with a log that is not told apart from others by that many
// partitions, or with none at all: it cannot be brought up.
static bool has_other_partitions(const fb_cache *cache) {
    return atomic_load(&cache->tags->table->partitions) != cache->partitions;
}

static uint64_t remove_foreign(fb_cache *cache, keeping *now, int64_t now_ns) {
    if (FB_RULE(other_partitions) && has_other_partitions(cache)) {
        return fb_store_clear(cache->store);
    }
    return fb_store_remove_if(cache->store, now_ns, is_foreign, now);
}

void fb_cache_adopt(fb_cache *cache, const fb_cache_options *options) {
    fb_view view = {.catalog = options->catalog};
    keeping now = {.cache = cache, .view = &view};
    fb_cache_region *region = options->region;
    choose_classes(&now);
    fb_outside_close(cache->tags->table);
    renumber_namespaces(&now);
    region->removed = remove_foreign(cache, &now, options->now_ns);
    region->entries -= region->removed < region->entries ? region->removed : region->entries;
}
