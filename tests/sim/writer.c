// Writers: they change the source, then say so to the cache, at once or a little later, narrowly or
// widely. What an invalidation promises holds for what was committed before it was called: from the
// moment it returned, nothing that was replaced by then is answered to who begins to read.
//
// With a shared tier invalidations go by key through the flights, and are in force on the issuing
// node when they are acknowledged, on the others when the notice has arrived.

#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "world.h"

enum { NAMES_FROM = 1 << 20 };

// An invalidation on its way: who waits for it is told by number.
typedef struct change {
    node *at;
    key *of;
    uint32_t below;
} change;

static change changes[4096];
static uint32_t change_count;

// ---- without a shared tier

typedef struct order {
    node *at;
    fb_invalidation what;
    int group;  // of a group's tag, else -1
    char text[48];
} order;

static bool covers(const order *one, const key *of) {
    switch (one->what.scope) {
        case FB_SCOPE_KEY:
            return fb_str_equal(one->what.name, of->name);
        case FB_SCOPE_PATTERN:
            return fb_glob_match(one->what.name, of->name);
        case FB_SCOPE_TAG:
            return of->class_id != FB_CLASS_PLAIN &&
                   (one->group >= 0 || strcmp(one->text + 3, of->id) == 0);
        case FB_SCOPE_CLASS:
            return of->class_id == (fb_str_equal(one->what.name, FB_STR("item")) ? 1 : 2);
        case FB_SCOPE_NAMESPACE:
            return of->class_id == (fb_str_equal(one->what.name, FB_STR("default")) ? 1 : 2);
        case FB_SCOPE_ALL:
            return true;
    }
    return false;
}

static void count_scope(world *w, const fb_invalidation *what) {
    covered *seen = w->seen;
    *(what->soft ? &seen->soft : &seen->hard) += 1;
    uint64_t *const counters[] = {NULL,           &seen->patterns,   &seen->tags,
                                  &seen->classes, &seen->namespaces, &seen->all};
    if (counters[what->scope] != NULL) {
        *counters[what->scope] += 1;
    }
}

static void invalidate(world *w, order *one) {
    int64_t removed;
    int result = fb_cache_invalidate(one->at->cache, &one->what, w->now_ns, &removed);
    SAY(w, "n%u invalidates %s%.*s (scope %d): %lld", one->at->index,
        one->what.soft ? "softly " : "", FB_STR_ARG(one->what.name), (int)one->what.scope,
        (long long)removed);
    if (result != FB_OK) {
        world_fail(w, "an invalidation gave %s", fb_result_name(result));
    }
    count_scope(w, &one->what);
    for (uint32_t i = 0; i < w->is.keys; i++) {
        key *of = &w->keys[i];
        if (covers(one, of)) {
            oracle_bar(w, one->at, of, of->version_count - 1, one->group, one->what.soft);
        }
    }
    world_drain(w, one->at);
}

static void invalidate_later(world *w, void *arg) {
    invalidate(w, arg);
}

// Something that covers the key, `of` which version `was` is to go; sometimes far more than that.
static void choose_scope(world *w, order *one, const key *of, const version *was) {
    one->group = -1;
    one->what.scope = FB_SCOPE_KEY;
    (void)snprintf(one->text, sizeof one->text, "%s", of->text);
    if (of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.wide)) {
        one->what.scope = (fb_scope)(FB_SCOPE_PATTERN + world_pick(w, 5));
    }
    bool item = of->class_id == 1;
    switch (one->what.scope) {
        case FB_SCOPE_PATTERN:
            (void)snprintf(one->text, sizeof one->text, item ? "i*:%s" : "page:%s:*", of->id);
            break;
        case FB_SCOPE_TAG:
            if (was->exists && world_chance(w, 50)) {
                one->group = (int)was->group;
                (void)snprintf(one->text, sizeof one->text, "%s", source_group_tag(was->group).ptr);
            } else {
                (void)snprintf(one->text, sizeof one->text, "id:%s", of->id);
            }
            break;
        case FB_SCOPE_CLASS:
            (void)snprintf(one->text, sizeof one->text, item ? "item" : "page");
            break;
        case FB_SCOPE_NAMESPACE:
            (void)snprintf(one->text, sizeof one->text, item ? "default" : "people");
            break;
        case FB_SCOPE_ALL:
            one->text[0] = '\0';
            break;
        case FB_SCOPE_KEY:
            break;
    }
    one->what.name = fb_str_of(one->text);
}

static void change_alone(world *w, node *at, key *of) {
    order *one = world_new(w, sizeof *one);
    one->at = at;
    one->what.soft = world_chance(w, w->is.soft);
    choose_scope(w, one, of, &of->versions[of->version_count - 1]);
    if (!world_chance(w, w->is.idle)) {
        (void)source_commit(w, of);
    }
    if (world_chance(w, w->is.late)) {
        world_at(w, w->now_ns + world_delay(w, w->is.read_ns), invalidate_later, one);
    } else {
        invalidate(w, one);
    }
}

// The new version goes to the source and into the cache in one step: two writers' steps between
// them would be their race, not the cache's.
static void set(world *w, node *at, key *of) {
    if (!source_commit(w, of)) {
        return;
    }
    of->versions[of->version_count - 1].exists = true;
    uint32_t newest = of->version_count - 1;
    fb_str tag = source_group_tag(of->versions[newest].group);
    char *bytes = world_new(w, w->is.payload);
    fb_str value = source_bytes(w, of, newest, bytes);
    int result = fb_cache_put(at->cache, of->name, value, 0, &tag, of->class_id != 0, w->now_ns);
    SAY(w, "n%u SET %s v%u: %s", at->index, of->text, newest, fb_result_name(result));
    if (result == FB_OK) {
        w->seen->sets++;
        oracle_bar(w, at, of, newest, -1, false);
    } else if (result != FB_ETOOBIG) {
        world_fail(w, "SET gave %s", fb_result_name(result));
    }
    world_drain(w, at);
}

static void del(world *w, node *at, key *of) {
    (void)source_commit(w, of);
    int result = fb_cache_del(at->cache, of->name, w->now_ns);
    SAY(w, "n%u DEL %s: %s", at->index, of->text, fb_result_name(result));
    if (result < 0) {
        world_fail(w, "DEL gave %s", fb_result_name(result));
    }
    w->seen->dels++;
    oracle_bar(w, at, of, of->version_count - 1, -1, false);
    world_drain(w, at);
}

// ---- with one

static void call_shared(world *w, void *arg) {
    change *one = arg;
    uint64_t waiter = NAMES_FROM + (uint64_t)(one - changes);
    one->below = one->of->version_count - 1;
    SAY(w, "n%u invalidates %s in both tiers", one->at->index, one->of->text);
    w->seen->hard++;
    world_enter(w);
    int result = fb_flights_invalidate(one->at->flights, one->of->name, waiter, w->now_ns);
    world_leave(w);
    if (result != FB_OK && result != FB_ENOMEM) {
        world_fail(w, "an invalidation gave %s", fb_result_name(result));
    }
    world_drain(w, one->at);
}

static void change_shared(world *w, node *at, key *of) {
    if (change_count == sizeof changes / sizeof changes[0]) {
        return;
    }
    if (!world_chance(w, w->is.idle)) {
        (void)source_commit(w, of);
    }
    change *one = &changes[change_count++];
    *one = (change){.at = at, .of = of};
    world_at(w, w->now_ns + (world_chance(w, w->is.late) ? world_delay(w, w->is.read_ns) : 0),
             call_shared, one);
}

void writer_answered(world *w, node *at, uint64_t waiter, int result) {
    change *one = &changes[waiter - NAMES_FROM];
    if (waiter - NAMES_FROM >= change_count || one->at != at) {
        world_fail(w, "an invalidation is answered that nobody made");
    }
    SAY(w, "n%u invalidation of %s: %s", at->index, one->of->text, fb_result_name(result));
    one->at = NULL;
    if (result == FB_OK) {
        oracle_bar(w, at, one->of, one->below, -1, false);
    }
}

void writer_notice(world *w, node *at, key *of, uint32_t version_count) {
    SAY(w, "n%u hears that %s changed", at->index, of->text);
    w->seen->notices++;
    fb_flights_notice(at->flights, of->name, w->now_ns);
    oracle_bar(w, at, of, version_count - 1, -1, false);
    world_drain(w, at);
}

// ----

static void write_something(world *w, void *arg) {
    (void)arg;
    node *at = &w->nodes[world_pick(w, w->is.nodes)];
    key *of = &w->keys[world_pick(w, w->is.keys)];
    if (world_chance(w, w->is.reloads)) {
        world_reload(w, at);
    }
    if (of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.silent)) {
        (void)source_commit(w, of);  // its TTL will have to tell
    } else if (w->is.remote) {
        change_shared(w, at, of);
    } else if (world_chance(w, w->is.sets)) {
        set(w, at, of);
    } else if (world_chance(w, w->is.dels)) {
        del(w, at, of);
    } else {
        change_alone(w, at, of);
    }
}

void writer_start(world *w) {
    change_count = 0;
    for (uint32_t i = 0; i < w->is.writes; i++) {
        world_at(w, w->now_ns + world_delay(w, w->is.horizon_ns), write_something, NULL);
    }
}
