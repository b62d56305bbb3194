// Plain keys and invalidation: what memory answers, on the caller's thread. Without a shared tier
// that is all; with one, what it has not, and every change, goes on to keys_shared.c.

#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/blob.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/transaction.h"
#include "os/clock.h"

// ---- reading

static bool usable(fb_find find) {
    return find == FB_FIND_FRESH || find == FB_FIND_EARLY || find == FB_FIND_STALE;
}

// What may serve only if a source fails is nothing to a plain read, which asks none.
typedef struct showing {
    fb_value_fn fn;
    void *arg;
} showing;

static void show_usable(void *arg, const fb_value *value) {
    const showing *to = arg;
    if (value->freshness != FB_FALLBACK) {
        to->fn(to->arg, value);
    }
}

// Where the key tells its parameters: a stale value is served while one load refreshes it, and a
// sample of the reads says what is read most.
static void follow_up(fb_engine *engine, const fb_found *found, fb_str key, bool sampled) {
    const fb_class *class_ = fb_catalog_by_id(fb_cache_catalog(engine->cache), found->class_id);
    fb_scratch *scratch = fb_scratch_get();
    fb_bound bound;
    if (class_ == NULL || class_->source == NULL || scratch == NULL ||
        fb_class_unbind(class_, key, &scratch->bind, &bound) != FB_OK) {
        return;
    }
    if (sampled) {
        fb_warm_note(engine, class_, &bound);
    }
    if (found->find == FB_FIND_STALE) {
        FB_IGNORE(fb_call_background(engine, class_, &bound, FB_PRIORITY_REFRESH, NULL));
    }
}

static int count_miss(fb_engine *engine, fb_str key, fb_scratch *scratch, int64_t begin_ns) {
    uint16_t id = fb_catalog_of_key(fb_cache_catalog(engine->cache), key)->id;
    fb_cache_count(engine->cache, id, FB_COUNTER_misses, 1);
    fb_cache_missed(engine->cache, id, key);
    if (scratch != NULL && fb_scratch_sample(scratch, id)) {
        fb_cache_time(engine->cache, id, FB_TIMING_MISS, fb_clock_now_ns() - begin_ns);
    }
    return FB_MISS;
}

// Counts what a plain read found, and returns what fb_get() does.
static int count_read(fb_engine *engine, fb_str key, const fb_found *found, int64_t begin_ns) {
    fb_cache *cache = engine->cache;
    fb_scratch *scratch = fb_scratch_get();
    if (!usable(found->find)) {
        return count_miss(engine, key, scratch, begin_ns);
    }
    bool sampled = scratch != NULL && fb_scratch_sample(scratch, found->class_id);
    if (sampled) {
        fb_cache_time(cache, found->class_id, FB_TIMING_HIT, fb_clock_now_ns() - begin_ns);
    }
    fb_cache_count(cache, found->class_id, FB_COUNTER_hits, 1);
    if (found->negative) {
        fb_cache_count(cache, found->class_id, FB_COUNTER_negative_hits, 1);
    } else if (found->find == FB_FIND_STALE) {
        fb_cache_count(cache, found->class_id, FB_COUNTER_stale_hits, 1);
    }
    if (found->class_id != FB_CLASS_PLAIN && (sampled || found->find == FB_FIND_STALE)) {
        follow_up(engine, found, key, sampled);
    }
    return found->negative ? FB_NEGATIVE : FB_OK;
}

// ---- reading, with a shared tier

// Whether memory's answer is not the last word: it has none, or a stale one that nobody refreshes,
// or the class wants the shared tier to be asked first.
static bool asks_shared(const fb_engine *engine, fb_str key, const fb_found *found) {
    if (engine->shared == NULL) {
        return false;
    }
    if (usable(found->find)) {
        const fb_class *class_ =
            fb_catalog_by_id(fb_cache_catalog(engine->cache), found->class_id);
        bool unsure = class_ != NULL &&
                      ((found->find == FB_FIND_STALE && class_->source == NULL) ||
                       class_->options.order == FB_ORDER_SHARED_FIRST);
        if (!unsure) {
            return false;
        }
    }
    return key.len <= FB_KEY_LEN_MAX && fb_engine_may_wait(engine);
}

// Of what both tiers said. (Where the shared tier gives no answer, the gate looks into memory
// again.) Something stale stands where there is nothing to set against it.
static int count_both(fb_engine *engine, fb_str key, const fb_found *found, int result,
                      int64_t begin_ns) {
    fb_cache *cache = engine->cache;
    if (result == FB_OK || result == FB_NEGATIVE) {
        uint16_t id = fb_catalog_of_key(fb_cache_catalog(cache), key)->id;
        fb_cache_count(cache, id, FB_COUNTER_hits, 1);
        if (result == FB_NEGATIVE) {
            fb_cache_count(cache, id, FB_COUNTER_negative_hits, 1);
        }
        return result;
    }
    if (found->find == FB_FIND_STALE) {
        return count_read(engine, key, found, begin_ns);
    }
    return count_miss(engine, key, fb_scratch_get(), begin_ns);
}

int fb_get(fb_engine *engine, fb_str key, fb_value_fn fn, void *arg) {
    fb_engine_ours(engine);
    fb_transaction *in = fb_transaction_here(engine);
    if (in != NULL) {
        return fb_transaction_get(in, key, fn, arg);
    }
    showing to = {fn, arg};
    fb_found found;
    int64_t begin_ns = fb_clock_now_ns();
    (void)fb_cache_read(engine->cache, key, begin_ns, NULL, show_usable, &to, &found);
    if (asks_shared(engine, key, &found)) {
        return count_both(engine, key, &found, fb_shared_get(engine, key, fn, arg), begin_ns);
    }
    return count_read(engine, key, &found, begin_ns);
}

static void get_some(fb_engine *engine, const fb_str *keys, size_t count, fb_value_fn fn,
                     void *const *args, int *results) {
    showing to[FB_CACHE_MANY_MAX];
    void *places[FB_CACHE_MANY_MAX];
    fb_found found[FB_CACHE_MANY_MAX];
    int64_t begin_ns = fb_clock_now_ns();
    for (size_t i = 0; i < count; i++) {
        to[i] = (showing){fn, args[i]};
        places[i] = &to[i];
    }
    fb_cache_read_many(engine->cache, keys, count, begin_ns, show_usable, places, found);
    uint32_t asked[FB_CACHE_MANY_MAX];
    size_t asked_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (asks_shared(engine, keys[i], &found[i])) {
            asked[asked_count++] = (uint32_t)i;
        } else {
            results[i] = count_read(engine, keys[i], &found[i], begin_ns);
        }
    }
    if (asked_count > 0) {
        fb_shared_get_many(engine, keys, asked, asked_count, fn, args, results);
    }
    for (size_t i = 0; i < asked_count; i++) {
        uint32_t at = asked[i];
        results[at] = count_both(engine, keys[at], &found[at], results[at], begin_ns);
    }
}

void fb_get_many(fb_engine *engine, const fb_str *keys, size_t key_count, fb_value_fn fn,
                 void *const *args, int *results) {
    fb_engine_ours(engine);
    fb_transaction *in = fb_transaction_here(engine);
    if (in != NULL) {
        fb_transaction_get_many(in, keys, key_count, fn, args, results);
        return;
    }
    for (size_t done = 0; done < key_count; done += FB_CACHE_MANY_MAX) {
        size_t left = key_count - done;
        size_t count = left < FB_CACHE_MANY_MAX ? left : FB_CACHE_MANY_MAX;
        get_some(engine, keys + done, count, fn, args + done, results + done);
    }
}

void fb_prefetch(fb_engine *engine, const fb_str *keys, size_t key_count) {
    fb_engine_ours(engine);
    fb_store_prefetch(fb_cache_store(engine->cache), keys, key_count);
}

// Called perhaps more than once: the last blob counts.
void fb_value_keep(void *arg, const fb_value *value) {
    fb_value *copy = arg;
    fb_blob_drop(copy->owner);
    fb_blob *blob = fb_blob_new(value->data);
    *copy = *value;
    copy->content_type = (fb_str){NULL, 0};
    copy->owner = blob;
    copy->data = blob != NULL ? fb_blob_str(blob) : (fb_str){NULL, 0};
}

int fb_get_copy(fb_engine *engine, fb_str key, fb_value *value) {
    fb_engine_ours(engine);
    *value = (fb_value){0};
    int result = fb_get(engine, key, fb_value_keep, value);
    if (result == FB_OK && value->owner != NULL) {
        return FB_OK;
    }
    fb_value_release(value);
    return result == FB_OK ? FB_ENOMEM : result;
}

int fb_get_after(fb_engine *engine, fb_str key, fb_str token, fb_value *value) {
    fb_engine_ours(engine);
    fb_cover cover;
    *value = (fb_value){0};
    int result = fb_token_cover(engine, token, key, &cover);
    if (result < 0) {
        return result;
    }
    if (cover == FB_COVERED) {
        return fb_get_copy(engine, key, value);
    }
    // What the shared tier has of the key is judged by wide invalidations as far as they are known
    // here, so of one that is not known nothing can be read yet.
    result =
        cover == FB_NOT_COVERED ? fb_shared_get_new(engine, key, fb_value_keep, value) : FB_MISS;
    if (result == FB_OK && value->owner != NULL) {
        return FB_OK;
    }
    fb_value_release(value);
    return result == FB_OK ? FB_ENOMEM : result < 0 && result != FB_ECLOSED ? FB_MISS : result;
}

static void take_ttl(void *arg, const fb_value *value) {
    *(int64_t *)arg = value->ttl_ms;
}

int fb_exists(fb_engine *engine, fb_str key) {
    fb_engine_ours(engine);
    fb_transaction *in = fb_transaction_here(engine);
    int64_t unused;
    if (in != NULL) {
        return fb_transaction_get(in, key, take_ttl, &unused);
    }
    fb_found found;
    (void)fb_cache_peek(engine->cache, key, fb_clock_now_ns(), &found);
    if (asks_shared(engine, key, &found)) {
        int result = fb_shared_peek(engine, key, NULL);
        if (result == FB_OK || result == FB_NEGATIVE) {
            return result == FB_OK ? FB_OK : FB_MISS;
        }
    }
    return usable(found.find) && !found.negative ? FB_OK : FB_MISS;
}

int fb_ttl(fb_engine *engine, fb_str key, int64_t *ttl_ms) {
    fb_engine_ours(engine);
    fb_transaction *in = fb_transaction_here(engine);
    if (in != NULL) {
        return fb_transaction_get(in, key, take_ttl, ttl_ms);
    }
    fb_found found;
    int64_t now_ns = fb_clock_now_ns();
    fb_find find = fb_cache_peek(engine->cache, key, now_ns, &found);
    if (asks_shared(engine, key, &found)) {
        int result = fb_shared_peek(engine, key, ttl_ms);
        if (result == FB_OK || result == FB_NEGATIVE) {
            return result == FB_OK ? FB_OK : FB_MISS;
        }
    }
    if (!usable(find) || found.negative) {
        return FB_MISS;
    }
    // The time a reader would still find it: stale counts as found, fallback does not.
    *ttl_ms =
        found.stale_until_ns == INT64_MAX ? -1 : (found.stale_until_ns - now_ns + 999999) / 1000000;
    return FB_OK;
}

// ---- writing

static int check_key(fb_str key) {
    return key.len <= FB_KEY_LEN_MAX ? FB_OK : FB_ETOOBIG;
}

static void count_write(fb_engine *engine, fb_str key, fb_counter counter) {
    const fb_class *class_ = fb_catalog_of_key(fb_cache_catalog(engine->cache), key);
    fb_cache_count(engine->cache, class_->id, counter, 1);
}

static int put(fb_engine *engine, fb_str key, fb_str value, const fb_set_options *options) {
    if (options->receipt != NULL) {
        *options->receipt = (fb_receipt){.reached = FB_REACH_LOCAL};
    }
    return fb_cache_put(engine->cache, key, value, options->ttl_ms * 1000000, options->tags,
                        options->tag_count, fb_clock_now_ns());
}

// The version is a fence for all that is older. Two at once must not pass each other between the
// question and the store; such writes are few, so one lock will do.
static int put_version(fb_engine *engine, fb_str key, fb_str value, const fb_set_options *options) {
    int64_t now_ns = fb_clock_now_ns();
    int result = FB_REFUSED;
    pthread_mutex_lock(&engine->versions_lock);
    if (fb_cache_admits(engine->cache, key, options->source_version, now_ns)) {
        fb_cache_fence(engine->cache, key, options->source_version, now_ns);
        result = put(engine, key, value, options);
    }
    pthread_mutex_unlock(&engine->versions_lock);
    return result;
}

// The media type goes with the tags, as one that nobody can invalidate: in `type`.
static const fb_set_options *with_type(const fb_set_options *options, fb_typed *with) {
    fb_str type = options->content_type;
    for (size_t i = 0; i < options->tag_count; i++) {
        with->tags[i] = options->tags[i];
    }
    with->type[0] = FB_TAG_TYPE;
    memcpy(with->type + 1, type.ptr, type.len);
    with->options = *options;
    with->tags[with->options.tag_count++] = fb_str_make(with->type, type.len + 1);
    with->options.tags = with->tags;
    return &with->options;
}

static bool has_own_tags(const fb_set_options *options) {
    for (size_t i = 0; i < options->tag_count && i < FB_TAGS_MAX; i++) {
        if (options->tags[i].len > 0 && options->tags[i].ptr[0] == FB_TAG_TYPE) {
            return true;
        }
    }
    return false;
}

int fb_options_take(const fb_set_options **options, fb_typed *with) {
    static const fb_set_options none = {0};
    const fb_set_options *given = *options != NULL ? *options : &none;
    if (given->tag_count > FB_TAGS_MAX || has_own_tags(given) || given->ttl_ms < 0 ||
        given->ttl_ms > INT64_MAX / 1000000) {
        return FB_EINVAL;
    }
    if (given->content_type.len > 0 && (given->content_type.len > FB_CONTENT_TYPE_LEN_MAX ||
                                        given->tag_count == FB_TAGS_MAX)) {
        return FB_EINVAL;
    }
    *options = given->content_type.len > 0 ? with_type(given, with) : given;
    return FB_OK;
}

int fb_set(fb_engine *engine, fb_str key, fb_str value, const fb_set_options *options) {
    fb_engine_ours(engine);
    fb_typed with;
    if (check_key(key) < 0) {
        return FB_ETOOBIG;
    }
    if (fb_options_take(&options, &with) < 0) {
        return FB_EINVAL;
    }
    fb_transaction *in = fb_transaction_here(engine);
    int result = in != NULL                    ? fb_transaction_set(in, key, value, options)
                 : engine->shared != NULL      ? fb_shared_set(engine, key, value, options)
                 : options->source_version > 0 ? put_version(engine, key, value, options)
                                               : put(engine, key, value, options);
    if (result == FB_OK) {
        count_write(engine, key, FB_COUNTER_sets);
    }
    return result;
}

int fb_del(fb_engine *engine, fb_str key) {
    fb_engine_ours(engine);
    if (key.len > FB_KEY_LEN_MAX) {
        return FB_MISS;  // nothing can be stored under it
    }
    fb_transaction *in = fb_transaction_here(engine);
    int result = in != NULL ? fb_transaction_del(in, key)
                 : engine->shared != NULL
                     ? fb_shared_del(engine, key)
                     : fb_cache_del(engine->cache, key, fb_clock_now_ns());
    if (result == FB_OK) {
        count_write(engine, key, FB_COUNTER_dels);
    }
    return result;
}

// An edit, and what it did.
typedef struct change {
    fb_edit_fn fn;
    void *arg;
    bool found;
    fb_edit_action action;
} change;

static int note_change(void *arg, fb_edit *edit) {
    change *one = arg;
    one->found = edit->found;
    int result = one->fn(one->arg, edit);
    one->action = result < 0 ? FB_EDIT_KEEP : edit->action;
    return result;
}

static int edit_here(fb_engine *engine, fb_str key, change *one) {
    int64_t now_ns;
    int64_t wall_ms;
    fb_clock_pair(&now_ns, &wall_ms);
    return fb_cache_edit(engine->cache, key, now_ns, wall_ms, note_change, one);
}

int fb_edit_key(fb_engine *engine, fb_str key, fb_edit_fn fn, void *arg) {
    fb_engine_ours(engine);
    if (check_key(key) < 0) {
        return FB_ETOOBIG;
    }
    change one = {.fn = fn, .arg = arg};
    fb_transaction *in = fb_transaction_here(engine);
    int result = in != NULL               ? fb_transaction_edit(in, key, note_change, &one)
                 : engine->shared != NULL ? fb_shared_edit(engine, key, note_change, &one)
                                          : edit_here(engine, key, &one);
    if (result >= 0 && one.action == FB_EDIT_PUT) {
        count_write(engine, key, FB_COUNTER_sets);
    } else if (result >= 0 && one.action == FB_EDIT_DELETE && one.found) {
        count_write(engine, key, FB_COUNTER_dels);
    }
    return result;
}

typedef struct sum {
    int64_t delta, result;
    char text[24];
} sum;

static int add(void *arg, fb_edit *edit) {
    sum *one = arg;
    int64_t number = 0;
    int result = edit->found ? fb_str_int(edit->value.data, &number) : FB_OK;
    if (result < 0) {
        return FB_ETYPE;  // also what does not fit into 64 bits is no integer here, as in Redis
    }
    if (__builtin_add_overflow(number, one->delta, &one->result)) {
        return FB_ERANGE;
    }
    int len = snprintf(one->text, sizeof one->text, "%lld", (long long)one->result);
    edit->action = FB_EDIT_PUT;
    edit->data = fb_str_make(one->text, (size_t)len);
    return FB_OK;
}

int fb_incr(fb_engine *engine, fb_str key, int64_t delta, int64_t *result) {
    fb_engine_ours(engine);
    sum one = {.delta = delta};
    if (engine->shared != NULL && fb_transaction_here(engine) == NULL) {
        int added = check_key(key) < 0 ? FB_ETOOBIG : fb_shared_add(engine, key, delta, result);
        if (added == FB_OK) {
            count_write(engine, key, FB_COUNTER_sets);
        }
        return added;
    }
    int outcome = fb_edit_key(engine, key, add, &one);
    if (outcome == FB_OK) {
        *result = one.result;
    }
    return outcome;
}

static int set_expiry(void *arg, fb_edit *edit) {
    if (!edit->found) {
        return FB_MISS;
    }
    edit->expires_ms = *(const int64_t *)arg;
    edit->action = FB_EDIT_EXPIRE;
    return FB_OK;
}

int fb_expire(fb_engine *engine, fb_str key, int64_t ttl_ms) {
    fb_engine_ours(engine);
    int64_t now_ns;
    int64_t at_ms;
    fb_clock_pair(&now_ns, &at_ms);
    if (__builtin_add_overflow(at_ms, ttl_ms, &at_ms)) {
        return FB_EINVAL;
    }
    at_ms = at_ms > 0 ? at_ms : 0;
    return fb_edit_key(engine, key, set_expiry, &at_ms);
}

int fb_persist(fb_engine *engine, fb_str key) {
    fb_engine_ours(engine);
    int64_t never = -1;
    return fb_edit_key(engine, key, set_expiry, &never);
}

// ---- the key space

uint64_t fb_count(fb_engine *engine) {
    fb_engine_ours(engine);
    fb_store_stats stats;
    fb_store_stats_read(fb_cache_store(engine->cache), &stats);
    return stats.items;
}

uint64_t fb_value_max(fb_engine *engine) {
    fb_engine_ours(engine);
    return fb_store_value_max(fb_cache_store(engine->cache));
}

int fb_scan(fb_engine *engine, uint64_t cursor, uint64_t count, fb_str match, fb_key_fn fn,
            void *arg, uint64_t *next) {
    fb_engine_ours(engine);
    *next = fb_cache_scan(engine->cache, cursor, count, match, fb_clock_now_ns(), fn, arg);
    return FB_OK;
}

// The class that an invalidation counts for: that of the key or of keys like the pattern; the plain
// one stands for what concerns several.
static uint16_t class_of(const fb_catalog *catalog, const fb_invalidation *what) {
    const fb_class *class_ = NULL;
    if (what->scope == FB_SCOPE_KEY || what->scope == FB_SCOPE_PATTERN) {
        class_ = fb_catalog_of_key(catalog, what->name);
    } else if (what->scope == FB_SCOPE_CLASS) {
        class_ = fb_catalog_find(catalog, what->name);
    }
    return class_ != NULL ? class_->id : FB_CLASS_PLAIN;
}

// Where there is no shared tier this node is all there is: whatever a change is to reach, it has.
static int invalidate_here(fb_engine *engine, const fb_invalidation *what,
                           const fb_invalidate_options *options, int64_t *removed) {
    int64_t now_ns = fb_clock_now_ns();
    if (options->source_version > 0) {
        fb_cache_fence(engine->cache, what->name, options->source_version, now_ns);
    }
    int result = fb_cache_invalidate(engine->cache, what, now_ns, removed);
    if (result == FB_OK && options->hold_ms > 0) {
        int64_t hold_ns = fb_engine_ns_of(options->hold_ms);
        fb_cache_hold(engine->cache, what->name,
                      hold_ns < INT64_MAX - now_ns ? now_ns + hold_ns : INT64_MAX, now_ns);
    }
    return result;
}

int fb_invalidate_to(fb_engine *engine, const fb_invalidation *what,
                     const fb_invalidate_options *options, int64_t *removed, fb_receipt *receipt) {
    fb_engine_ours(engine);
    static const fb_invalidate_options none = {.reach = FB_REACH_DEFAULT};
    int64_t count = 0;
    options = options != NULL ? options : &none;
    if (receipt != NULL) {
        *receipt = (fb_receipt){.reached = FB_REACH_LOCAL};
    }
    if (what->scope != FB_SCOPE_KEY && (options->hold_ms != 0 || options->source_version != 0)) {
        return FB_EINVAL;
    }
    if (options->hold_ms < 0 || options->timeout_ms < 0) {
        return FB_EINVAL;
    }
    if (what->name.len > FB_KEY_LEN_MAX) {
        return FB_ETOOBIG;
    }
    int result = engine->shared != NULL
                     ? fb_shared_invalidate(engine, what, options, &count, receipt)
                     : invalidate_here(engine, what, options, &count);
    if (result >= 0) {
        uint16_t id = class_of(fb_cache_catalog(engine->cache), what);
        fb_cache_count(engine->cache, id, FB_COUNTER_invalidations, 1);
    }
    if (removed != NULL) {
        *removed = count;
    }
    return result;
}

int fb_invalidate(fb_engine *engine, const fb_invalidation *what, int64_t *removed) {
    fb_engine_ours(engine);
    return fb_invalidate_to(engine, what, NULL, removed, NULL);
}

// ---- notices of changes

int fb_changes_watch(fb_engine *engine, fb_change_fn fn, void *arg) {
    fb_engine_ours(engine);
    return fb_cache_watch(engine->cache, fn, arg);
}

void fb_changes_unwatch(fb_engine *engine, fb_change_fn fn, void *arg) {
    fb_engine_ours(engine);
    fb_cache_unwatch(engine->cache, fn, arg);
}

void fb_key_state_read(fb_engine *engine, fb_str key, fb_key_state *state) {
    fb_engine_ours(engine);
    fb_cache_key_state(engine->cache, key, fb_clock_now_ns(), state);
}

int fb_explain(fb_engine *engine, fb_str key, fb_explanation *explanation) {
    fb_engine_ours(engine);
    int result = fb_cache_explain(engine->cache, key, fb_clock_now_ns(), explanation);
    fb_transaction *in = fb_transaction_here(engine);
    if (in != NULL && result == FB_OK) {
        fb_transaction_explain(in, key, explanation);
    }
    return result;
}
