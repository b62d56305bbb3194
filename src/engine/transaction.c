// A transaction's own view of its keys: what the shared tier had of each when it was first read, and what
// has become of it since.
//
// A run begins by looking at the watched keys again, all at once: where one is another than it was,
// that is its end, and else what they are now is what it reads. Then the caller's function runs; what it
// reads for the first time is asked for. At last everything goes to the shared tier as one commit: of each
// key that was read the condition that it is still so, and what is to be done with it. A conflict begins
// the run anew, and where it was a watched key, the first look finds that out.
//
// What is stored is stamped with the wide log as it was before the first look: a wide invalidation that
// came since then overtakes it, as it would have overtaken what it was made of.

#include "engine/transaction.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"

enum { RUNS_MAX = 100, AT_ONCE_MAX = 16 };

typedef struct entry {
    fb_list list;
    bool watched;
    bool known;         // `seen` is there
    fb_snapshot seen;   // its `loaded` is moved to `now`
    // what has become of it
    bool there;
    fb_loaded now;
    int64_t expires_ms; // Unix time; -1: never
    fb_sync_act act;
    fb_str key;  // behind the struct
} entry;

struct fb_transaction {
    fb_engine *engine;
    fb_map map;
    fb_list entries;
    size_t count;
    fb_mark wide;  // before the first look; epoch 0: there was none yet
    bool running;
    struct fb_transaction *outer;  // in whose run it runs: another engine's
    int result;  // < 0: what ended it
    fb_error error;
};

static _Thread_local fb_transaction *of_thread;

// ---- which one

static fb_transaction *innermost(void) {
    const fb_fiber *fiber = fb_fiber_here();
    return fiber != NULL ? fb_fiber_local(fiber) : of_thread;
}

static void set_innermost(fb_transaction *in) {
    fb_fiber *fiber = fb_fiber_here();
    if (fiber != NULL) {
        fb_fiber_set_local(fiber, in);
    } else {
        of_thread = in;
    }
}

fb_transaction *fb_transaction_of(fb_engine *engine) {
    fb_transaction *in = innermost();
    while (in != NULL && in->engine != engine) {
        in = in->outer;
    }
    return in;
}

static void enter(fb_transaction *in) {
    in->outer = innermost();
    in->running = true;
    set_innermost(in);
    atomic_fetch_add(&in->engine->transactions, 1);
}

static void leave(fb_transaction *in) {
    FB_ASSERT(innermost() == in);
    set_innermost(in->outer);
    in->running = false;
    atomic_fetch_sub(&in->engine->transactions, 1);
}

// ---- keys

static const fb_class *class_of(const fb_transaction *in, fb_str key) {
    return fb_catalog_of_key(fb_cache_catalog(in->engine->cache), key);
}

static void free_entry(fb_transaction *in, entry *one) {
    (void)fb_map_remove(&in->map, one->key);
    fb_list_remove(&one->list);
    fb_loaded_release(&one->now);
    fb_loaded_release(&one->seen.loaded);
    fb_mem_free(one);
    in->count--;
}

static int fail(fb_transaction *in, int result, const char *text) {
    if (in->result >= 0) {
        in->result = fb_error_set(&in->error, result, "%s",
                                  text != NULL && text[0] != '\0' ? text : fb_result_text(result));
    }
    return in->result;
}

// The entry of a key, made if there is none. NULL: it ends.
static entry *entry_of(fb_transaction *in, fb_str key) {
    entry *one = fb_map_get(&in->map, key);
    if (one != NULL || in->result < 0) {
        return in->result < 0 ? NULL : one;
    }
    if (class_of(in, key)->options.layout == FB_LAYOUT_PLAIN) {
        (void)fail(in, FB_EINVAL, "a key of a class with a plain layout cannot be in a transaction");
        return NULL;
    }
    if (key.len > FB_KEY_LEN_MAX || in->count == FB_TRANSACTION_KEYS_MAX) {
        (void)fail(in, FB_ETOOBIG, key.len > FB_KEY_LEN_MAX ? "the key is too long"
                                                            : "a transaction has too many keys");
        return NULL;
    }
    one = fb_mem_zero(1, sizeof *one + key.len + 1);
    if (one != NULL) {
        one->key = fb_str_make((char *)(one + 1), key.len);
        memcpy(one + 1, key.ptr != NULL ? key.ptr : "", key.len);
        fb_list_init(&one->list);
        fb_loaded_init(&one->now);
        fb_loaded_init(&one->seen.loaded);
    }
    if (one == NULL || fb_map_put(&in->map, one->key, one) < 0) {
        fb_mem_free(one);
        (void)fail(in, FB_ENOMEM, NULL);
        return NULL;
    }
    fb_list_insert(&in->entries, &one->list);
    in->count++;
    return one;
}

static int64_t wall_ms(void) {
    int64_t now_ns, ms;
    fb_clock_pair(&now_ns, &ms);
    return ms;
}

static int64_t at_wall(int64_t left_ns) {
    int64_t at_ms;
    int64_t left_ms = left_ns / FB_NS_PER_MS + (left_ns % FB_NS_PER_MS > 0);
    return left_ns == INT64_MAX || __builtin_add_overflow(wall_ms(), left_ms, &at_ms) ? -1 : at_ms;
}

// When a new key of its class goes.
static int64_t new_expiry(const fb_transaction *in, fb_str key) {
    const fb_class *class_ = class_of(in, key);
    bool ends = class_->id != FB_CLASS_PLAIN && class_->options.ttl_ns > 0;
    return ends ? at_wall(class_->options.ttl_ns) : -1;
}

// ---- looking

static void take_look(fb_transaction *in, entry *one, fb_snapshot *seen) {
    one->known = true;
    one->there = seen->found;
    fb_loaded_release(&one->now);
    one->now = seen->loaded;
    fb_loaded_init(&seen->loaded);
    one->seen = *seen;
    one->expires_ms = seen->found ? at_wall(seen->left_ns) : -1;
    if (in->wide.epoch == 0 || (seen->wide.epoch == in->wide.epoch && seen->wide.seq < in->wide.seq)) {
        in->wide = seen->wide;
    }
}

static bool is_same(const fb_snapshot *a, const fb_snapshot *b) {
    return a->found == b->found && a->when == b->when && a->version == b->version &&
           (a->when == FB_WHEN_ABSENT || a->epoch == b->epoch);
}

// All at once. `again`: they are known, and the answer is whether they are the same still.
static bool look_at(fb_transaction *in, entry **entries, size_t count, bool again) {
    fb_wish wishes[AT_ONCE_MAX];
    fb_snapshot seen[AT_ONCE_MAX];
    fb_error errors[AT_ONCE_MAX];  // their lanes' threads write them
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        seen[i] = (fb_snapshot){.found = false};
        fb_loaded_init(&seen[i].loaded);
        errors[i].text[0] = '\0';
        wishes[i] = (fb_wish){.want = {.kind = FB_WANT_SNAPSHOT,
                                       .key = entries[i]->key,
                                       .snapshot = &seen[i]},
                              .error = &errors[i]};
    }
    fb_wishes_wait(in->engine, wishes, count);
    for (size_t i = 0; i < count; i++) {
        if (wishes[i].result < 0) {
            (void)fail(in, wishes[i].result, errors[i].text);
        } else if (again && !is_same(&seen[i], &entries[i]->seen)) {
            same = false;
        } else {
            take_look(in, entries[i], &seen[i]);
        }
        fb_loaded_release(&seen[i].loaded);
    }
    return same;
}

// The entry of a key, and what the shared tier has of it. NULL: it ends.
static entry *look_up(fb_transaction *in, fb_str key) {
    entry *one = entry_of(in, key);
    if (one != NULL && !one->known && one->act == FB_ACT_NONE) {
        (void)look_at(in, &one, 1, false);
    }
    return in->result < 0 ? NULL : one;
}

// ---- what is there now

// Whether it is there and not over.
static bool is_there(const entry *one) {
    return one->there && (one->expires_ms < 0 || one->expires_ms > wall_ms());
}

static fb_value value_of(const entry *one) {
    int64_t left_ms = one->expires_ms < 0 ? -1 : one->expires_ms - wall_ms();
    return (fb_value){.data = fb_blob_str(one->now.value),
                      .kind = one->now.kind,
                      .tier = FB_TIER_SHARED,
                      .freshness = FB_FRESH,
                      .age_ms = one->act == FB_ACT_SET ? 0 : one->seen.age_ns / FB_NS_PER_MS,
                      .ttl_ms = one->expires_ms >= 0 && left_ms < 1 ? 1 : left_ms,
                      .version = one->seen.version};
}

int fb_transaction_get(fb_transaction *in, fb_str key, fb_value_fn fn, void *arg) {
    if (key.len > FB_KEY_LEN_MAX) {
        return FB_MISS;  // nothing can be stored under it
    }
    const entry *one = look_up(in, key);
    if (one == NULL) {
        return in->result;
    }
    if (!is_there(one)) {
        return FB_MISS;
    }
    fb_value value = value_of(one);
    fn(arg, &value);
    return FB_OK;
}

static void look_up_some(fb_transaction *in, const fb_str *keys, size_t count) {
    entry *unknown[AT_ONCE_MAX];
    size_t unknown_count = 0;
    for (size_t i = 0; i < count; i++) {
        entry *one = keys[i].len <= FB_KEY_LEN_MAX ? entry_of(in, keys[i]) : NULL;
        bool asked = one == NULL || one->known || one->act != FB_ACT_NONE;
        for (size_t k = 0; k < unknown_count && !asked; k++) {
            asked = unknown[k] == one;
        }
        if (!asked) {
            unknown[unknown_count++] = one;
        }
    }
    if (unknown_count > 0) {
        (void)look_at(in, unknown, unknown_count, false);
    }
}

void fb_transaction_get_many(fb_transaction *in, const fb_str *keys, size_t count, fb_value_fn fn,
                             void *const *args, int *results) {
    for (size_t done = 0; done < count; done += AT_ONCE_MAX) {
        look_up_some(in, keys + done, count - done < AT_ONCE_MAX ? count - done : AT_ONCE_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        results[i] = fb_transaction_get(in, keys[i], fn, args[i]);
    }
}

void fb_transaction_explain(fb_transaction *in, fb_str key, fb_explanation *explanation) {
    const entry *one = look_up(in, key);
    bool there = one != NULL && is_there(one);
    explanation->tier = there ? FB_TIER_SHARED : FB_TIER_NONE;
    explanation->tag_count = 0;
    for (size_t i = 0; there && i < one->now.tag_count; i++) {
        fb_str tag = fb_loaded_tag_at(&one->now, i);
        if (tag.len > 0 && tag.ptr[0] != FB_TAG_OWN && tag.ptr[0] != FB_TAG_TYPE) {
            (void)snprintf(explanation->tags[explanation->tag_count++], sizeof explanation->tags[0],
                           "%.*s", (int)tag.len, tag.ptr);
        }
    }
}

// ---- changing it

static int make_value(fb_transaction *in, const entry *one, fb_str data, fb_loaded *made) {
    if (one->key.len + data.len > fb_store_value_max(fb_cache_store(in->engine->cache))) {
        return FB_ETOOBIG;
    }
    int result = fb_loaded_value(made, data);
    made->result = FB_OK;
    return result;
}

static int add_tags(const fb_loaded *from, fb_loaded *to) {
    int result = FB_OK;
    for (size_t i = 0; i < from->tag_count && result == FB_OK; i++) {
        result = fb_loaded_add_tag(to, fb_loaded_tag_at(from, i));
    }
    return result;
}

// A call that is refused for what it was given leaves the rest as it was.
static int put(fb_transaction *in, entry *one, fb_loaded *made, int result) {
    if (result < 0) {
        fb_loaded_release(made);
        return result == FB_ENOMEM ? fail(in, result, NULL) : result;
    }
    fb_loaded_release(&one->now);
    one->now = *made;
    one->there = true;
    one->act = FB_ACT_SET;
    return FB_OK;
}

int fb_transaction_set(fb_transaction *in, fb_str key, fb_str value,
                       const fb_set_options *options) {
    entry *one = entry_of(in, key);
    fb_loaded made;
    fb_loaded_init(&made);
    if (one == NULL) {
        return in->result;
    }
    int result = options->source_version > 0 ? FB_EINVAL : make_value(in, one, value, &made);
    for (size_t i = 0; i < options->tag_count && result == FB_OK; i++) {
        result = fb_loaded_tag(&made, options->tags[i]);
    }
    if (result == FB_OK) {
        result = fb_gate_key_tags(class_of(in, key), key, &made);
    }
    result = put(in, one, &made, result);
    if (result == FB_OK) {
        one->expires_ms = options->ttl_ms > 0 ? at_wall(fb_engine_ns_of(options->ttl_ms))
                                              : new_expiry(in, key);
    }
    return result;
}

static void drop(entry *one) {
    fb_loaded_release(&one->now);
    one->there = false;
    one->act = FB_ACT_DROP;
}

int fb_transaction_del(fb_transaction *in, fb_str key) {
    entry *one = look_up(in, key);
    if (one == NULL) {
        return in->result;
    }
    bool there = is_there(one);
    drop(one);
    return there ? FB_OK : FB_MISS;
}

static int put_edited(fb_transaction *in, entry *one, bool found, fb_str data) {
    fb_loaded made;
    fb_loaded_init(&made);
    int result = make_value(in, one, data, &made);
    if (result == FB_OK && found) {
        made.source_version = one->now.source_version;
        result = add_tags(&one->now, &made);
    }
    if (result == FB_OK) {
        result = fb_gate_key_tags(class_of(in, one->key), one->key, &made);
    }
    return put(in, one, &made, result);
}

int fb_transaction_edit(fb_transaction *in, fb_str key, fb_edit_fn fn, void *arg) {
    entry *one = look_up(in, key);
    if (one == NULL) {
        return in->result;
    }
    bool found = is_there(one);
    fb_edit edit = {.found = found, .action = FB_EDIT_KEEP};
    edit.expires_ms = found ? one->expires_ms : new_expiry(in, key);
    if (found) {
        edit.value = value_of(one);
    }
    int result = fn(arg, &edit);
    if (result < 0 || edit.action == FB_EDIT_KEEP || (edit.action != FB_EDIT_PUT && !found)) {
        return result;
    }
    if (edit.action == FB_EDIT_DELETE) {
        drop(one);
        return result;
    }
    if (edit.action == FB_EDIT_PUT) {
        int put_result = put_edited(in, one, found, edit.data);
        if (put_result < 0) {
            return put_result;
        }
    } else if (one->act == FB_ACT_NONE) {
        one->act = FB_ACT_EXPIRE;
    }
    one->expires_ms = edit.expires_ms;
    return result;
}

// ---- the commit

static int64_t left_ns(const entry *one, int64_t now_ms) {
    int64_t left;
    if (one->expires_ms < 0) {
        return -1;
    }
    return one->expires_ms <= now_ms ||
                   __builtin_mul_overflow(one->expires_ms - now_ms, FB_NS_PER_MS, &left)
               ? 0
               : left;
}

static size_t list_items(fb_transaction *in, fb_sync_item *items) {
    size_t count = 0;
    int64_t now_ms = wall_ms();
    FB_LIST_EACH(node, &in->entries) {
        entry *one = FB_LIST_OF(node, entry, list);
        if (!one->known && one->act == FB_ACT_NONE) {
            continue;
        }
        items[count++] = (fb_sync_item){
            .key = one->key,
            .when = one->known ? one->seen.when : FB_WHEN_ANY,
            .version = one->seen.version,
            .epoch = one->seen.epoch,
            .act = one->act,
            .loaded = &one->now,
            .ttl_ns = left_ns(one, now_ms)};
    }
    return count;
}

// FB_OK, FB_REFUSED, or what ended it.
static int commit(fb_transaction *in) {
    fb_sync_item *items = fb_mem_zero(in->count + 1, sizeof *items);
    if (items == NULL) {
        return fail(in, FB_ENOMEM, NULL);
    }
    fb_commit all = {.items = items, .item_count = list_items(in, items), .wide = in->wide};
    fb_error error = {0};
    fb_wish wish = {.result = FB_OK, .error = &error};
    if (all.item_count > 0) {
        wish.want = (fb_want){.kind = FB_WANT_COMMIT, .key = items[0].key, .commit = &all};
        FB_IGNORE(fb_wish_wait(in->engine, &wish));
    }
    fb_mem_free(items);
    return wish.result < 0 ? fail(in, wish.result, error.text) : wish.result;
}

// ---- runs

static void begin_run(fb_transaction *in) {
    FB_LIST_EACH_SAFE(node, after, &in->entries) {
        entry *one = FB_LIST_OF(node, entry, list);
        one->act = FB_ACT_NONE;
        if (!one->watched) {
            free_entry(in, one);
        }
    }
    in->wide = (fb_mark){0};
}

// Whether they are as they were.
static bool look_again(fb_transaction *in) {
    entry *some[AT_ONCE_MAX];
    size_t count = 0;
    bool same = true;
    FB_LIST_EACH(node, &in->entries) {
        some[count++] = FB_LIST_OF(node, entry, list);
        if (count == AT_ONCE_MAX || node->next == &in->entries) {
            same = look_at(in, some, count, true) && same;
            count = 0;
        }
    }
    return same;
}

static int run_once(fb_transaction *in, void (*fn)(void *arg), void *arg, bool *again) {
    *again = false;
    begin_run(in);
    bool same = look_again(in);
    if (in->result < 0 || !same) {
        return in->result < 0 ? in->result : FB_REFUSED;
    }
    enter(in);
    fn(arg);
    leave(in);
    if (in->result < 0) {
        return in->result;
    }
    int result = commit(in);
    *again = result == FB_REFUSED;
    return result;
}

// Within another one it is part of that.
static int run_within(const fb_transaction *in, void (*fn)(void *arg), void *arg, fb_error *error) {
    if (in->count > 0) {
        return fb_error_set(error, FB_EINVAL, "a transaction within another cannot watch keys");
    }
    fn(arg);
    return FB_OK;
}

int fb_transaction_run(fb_transaction *in, void (*fn)(void *arg), void *arg, fb_error *error) {
    fb_engine_ours(in->engine);
    bool again = true;
    int result = FB_OK;
    if (fb_transaction_of(in->engine) != NULL) {
        return run_within(in, fn, arg, error);
    }
    for (int runs = 0; again && runs < RUNS_MAX; runs++) {
        result = run_once(in, fn, arg, &again);
    }
    if (again) {
        result = fail(in, FB_EOVERLOAD, "others changed its keys again and again");
    }
    if (result < 0) {
        FB_IGNORE(fb_error_set(error, result, "%s", in->error.text));
    }
    FB_LIST_EACH_SAFE(node, after, &in->entries) {
        free_entry(in, FB_LIST_OF(node, entry, list));
    }
    in->result = FB_OK;
    return result;
}

int fb_transaction_watch(fb_transaction *in, fb_str key, fb_error *error) {
    fb_engine_ours(in->engine);
    if (fb_transaction_of(in->engine) != NULL) {
        return fb_error_set(error, FB_EINVAL, "nothing can be watched while a transaction runs");
    }
    entry *one = look_up(in, key);
    int result = in->result;
    in->result = FB_OK;
    if (one != NULL) {
        one->watched = true;
        fb_loaded_release(&one->now);  // the run looks again
        return FB_OK;
    }
    one = fb_map_get(&in->map, key);
    if (one != NULL && !one->watched) {
        free_entry(in, one);
    }
    return fb_error_set(error, result, "%s", in->error.text);
}

int fb_transaction_new(fb_engine *engine, fb_transaction **transaction) {
    fb_engine_ours(engine);
    *transaction = NULL;
    if (engine->shared == NULL) {
        return FB_EINVAL;
    }
    fb_transaction *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->engine = engine;
    made->map.seed = engine->seed;
    fb_list_init(&made->entries);
    *transaction = made;
    return FB_OK;
}

void fb_transaction_free(fb_transaction *in) {
    if (in == NULL) {
        return;
    }
    FB_ASSERT(!in->running);
    FB_LIST_EACH_SAFE(node, after, &in->entries) {
        free_entry(in, FB_LIST_OF(node, entry, list));
    }
    fb_map_release(&in->map);
    fb_mem_free(in);
}
