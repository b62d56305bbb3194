// A source that is down must not be asked once for each request, and must be found again soon after
// it is back. So a failed load is kept for a short time as an error, doubling with each failure in
// a row, with jitter so that the keys of a source do not come back in step; and where something old
// can be served instead, the next attempt waits longer still.
//
// An invalidation means that the next reader must see the source, so it clears a key's trouble. It
// may come on any thread and does not pass here: therefore the failed load's ticket is kept, which
// learns of it. (Not of tags that come with the row, which the failed load did not bring.)
//
// What failed long ago leaves a little at a time, with each look at the table: its tickets would
// keep writers from passing their stripes without a lock (tickets.c).
//
// Everything here is a hint in memory: that an entry is missing (no memory, too many) costs one
// more load.

#include "cache/trouble.h"

#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "cache/tickets.h"

static const int64_t ERROR_MIN_NS = FB_NS_PER_S / 4;
static const int64_t ERROR_MAX_NS = 15 * FB_NS_PER_S;
static const int64_t CALM_MIN_NS = 10 * FB_NS_PER_S;
static const int64_t CALM_MAX_NS = 300 * FB_NS_PER_S;
static const int64_t HISTORY_NS = 600 * FB_NS_PER_S;  // a failure longer ago is none "in a row"
static const double JITTER = 0.2;
enum { FORGET_AT_ONCE = 4 };

void fb_trouble_init(fb_trouble_table *table, fb_cache *cache, uint64_t seed) {
    *table = (fb_trouble_table){.cache = cache, .map = {.seed = seed}};
    fb_rng_init(&table->rng, seed);
    fb_list_init(&table->list);
}

// What a failure takes, about: the key is in its ticket too.
static size_t weight(const fb_trouble *trouble) {
    size_t text_len = trouble->text != NULL ? fb_blob_str(trouble->text).len : 0;
    return sizeof *trouble + sizeof *trouble->ticket + 2 * trouble->key.len + text_len;
}

static void drop(fb_trouble_table *table, fb_trouble *trouble) {
    table->bytes -= weight(trouble);
    (void)fb_map_remove(&table->map, trouble->key);
    fb_list_remove(&trouble->list);
    fb_cache_end(table->cache, trouble->ticket);
    fb_blob_drop(trouble->text);
    fb_mem_free(trouble);
}

void fb_trouble_release(fb_trouble_table *table) {
    FB_LIST_EACH_SAFE(node, after, &table->list) {
        drop(table, FB_LIST_OF(node, fb_trouble, list));
    }
    fb_map_release(&table->map);
}

static fb_trouble *oldest(const fb_trouble_table *table) {
    return fb_list_empty(&table->list) ? NULL : FB_LIST_OF(table->list.next, fb_trouble, list);
}

static bool is_past(const fb_trouble *trouble, int64_t now_ns) {
    return now_ns - trouble->failed_ns > HISTORY_NS;
}

static void forget_some(fb_trouble_table *table, int64_t now_ns) {
    fb_trouble *trouble = oldest(table);
    for (int i = 0; i < FORGET_AT_ONCE && trouble != NULL && is_past(trouble, now_ns); i++) {
        drop(table, trouble);
        trouble = oldest(table);
    }
}

fb_trouble *fb_trouble_find(fb_trouble_table *table, fb_str key, int64_t now_ns) {
    forget_some(table, now_ns);
    fb_trouble *trouble = fb_map_get(&table->map, key);
    if (trouble == NULL) {
        return NULL;
    }
    if (fb_ticket_doomed(trouble->ticket) || is_past(trouble, now_ns)) {
        drop(table, trouble);
        return NULL;
    }
    return trouble;
}

// `min_ns` doubled with each further failure up to `max_ns`, give or take a fifth.
static int64_t back_off(int64_t min_ns, int64_t max_ns, uint32_t failures, fb_rng *rng) {
    int64_t ns = min_ns;
    for (uint32_t i = 1; i < failures && ns < max_ns; i++) {
        ns *= 2;
    }
    if (ns > max_ns) {
        ns = max_ns;
    }
    return (int64_t)((double)ns * (1 - JITTER + 2 * JITTER * fb_rng_unit(rng)));
}

static fb_trouble *add(fb_trouble_table *table, fb_str key) {
    fb_trouble *trouble = fb_mem_zero(1, sizeof *trouble + key.len);
    if (trouble == NULL) {
        return NULL;
    }
    if (key.len > 0) {
        memcpy(trouble + 1, key.ptr, key.len);
    }
    trouble->key = (fb_str){(char *)(trouble + 1), key.len};
    if (fb_map_put(&table->map, trouble->key, trouble) != FB_OK) {
        fb_mem_free(trouble);
        return NULL;
    }
    fb_list_init(&trouble->list);
    return trouble;
}

void fb_trouble_note(fb_trouble_table *table, const fb_failure *failure, int64_t now_ns) {
    fb_trouble *trouble = fb_trouble_find(table, failure->key, now_ns);
    if (trouble == NULL && !fb_ticket_doomed(failure->ticket)) {
        trouble = add(table, failure->key);
    } else if (trouble != NULL) {
        table->bytes -= weight(trouble);
        fb_cache_end(table->cache, trouble->ticket);
        fb_blob_drop(trouble->text);
        fb_list_remove(&trouble->list);
    }
    if (trouble == NULL) {
        fb_cache_end(table->cache, failure->ticket);
        return;
    }
    fb_list_insert(&table->list, &trouble->list);
    fb_ticket_rest(failure->ticket, failure->tags);
    trouble->ticket = failure->ticket;
    trouble->result = failure->result;
    trouble->text = failure->text != NULL ? fb_blob_take(failure->text) : NULL;
    table->bytes += weight(trouble);
    while ((table->bytes > FB_TROUBLE_BYTES_MAX || table->map.count > FB_TROUBLE_MAX) &&
           oldest(table) != trouble) {
        drop(table, oldest(table));
    }
    trouble->failures++;
    trouble->failed_ns = now_ns;
    fb_rng *rng = &table->rng;
    trouble->error_until_ns = now_ns + back_off(ERROR_MIN_NS, ERROR_MAX_NS, trouble->failures, rng);
    trouble->calm_until_ns = now_ns + back_off(CALM_MIN_NS, CALM_MAX_NS, trouble->failures, rng);
}

void fb_trouble_forget(fb_trouble_table *table, fb_str key) {
    fb_trouble *trouble = fb_map_get(&table->map, key);
    if (trouble != NULL) {
        drop(table, trouble);
    }
}
