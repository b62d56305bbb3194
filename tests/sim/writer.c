// Writers: they change the source, then say so to the cache, at once or a little later, narrowly or
// widely. What an invalidation promises holds for what was committed before it was called: from the
// moment it returned, nothing that was replaced by then is answered to who begins to read.
//
// With a shared tier: change.c.

#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "world.h"

typedef struct order {
    node *at;
    fb_invalidation what;
    int group;  // of a group's tag, else -1
    char text[48];
} order;

static fb_str tag_of_id(const key *of) {
    static char text[16];
    (void)snprintf(text, sizeof text, "id:%s", of->id);
    return fb_str_of(text);
}

bool writer_covers(const fb_invalidation *what, int group, const key *of) {
    switch (what->scope) {
        case FB_SCOPE_KEY:
            return fb_str_equal(what->name, of->name);
        case FB_SCOPE_PATTERN:
            return fb_glob_match(what->name, of->name);
        case FB_SCOPE_TAG:
            return of->class_id != FB_CLASS_PLAIN &&
                   (group >= 0 || fb_str_equal(what->name, tag_of_id(of)));
        case FB_SCOPE_CLASS:
            return of->class_id == (fb_str_equal(what->name, FB_STR("item")) ? 1 : 2);
        case FB_SCOPE_NAMESPACE:
            return of->class_id == (fb_str_equal(what->name, FB_STR("default")) ? 1 : 2);
        case FB_SCOPE_ALL:
            return true;
    }
    return false;
}

void writer_count(world *w, const fb_invalidation *what) {
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
    int result = fb_cache_invalidate(one->at->cache, &one->what, node_now(w, one->at), &removed);
    SAY(w, "n%u invalidates %s%.*s (scope %d): %lld", one->at->index,
        one->what.soft ? "softly " : "", FB_STR_ARG(one->what.name), (int)one->what.scope,
        (long long)removed);
    if (result != FB_OK) {
        world_fail(w, "an invalidation gave %s", fb_result_name(result));
    }
    writer_count(w, &one->what);
    for (uint32_t i = 0; i < w->is.keys; i++) {
        key *of = &w->keys[i];
        if (writer_covers(&one->what, one->group, of)) {
            oracle_bar(w, one->at, of, of->version_count - 1, one->group, one->what.soft);
        }
    }
    node_drain(w, one->at);
}

static void invalidate_later(world *w, void *arg) {
    invalidate(w, arg);
}

void writer_choose_scope(world *w, fb_invalidation *what, char *text, int *group, const key *of) {
    enum { ROOM = 48 };
    const version *was = &of->versions[of->version_count > 1 ? of->version_count - 2 : 0];
    *group = -1;
    what->scope = FB_SCOPE_KEY;
    (void)snprintf(text, ROOM, "%s", of->text);
    if (of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.wide)) {
        what->scope = (fb_scope)(FB_SCOPE_PATTERN + world_pick(w, 5));
    } else if (of->kind == KEY_ASIDE && world_chance(w, w->is.wide)) {
        what->scope = world_chance(w, 50) ? FB_SCOPE_PATTERN : FB_SCOPE_ALL;
    }
    bool item = of->class_id == 1;
    switch (what->scope) {
        case FB_SCOPE_PATTERN:
            (void)snprintf(text, ROOM,
                           of->kind == KEY_ASIDE ? "as*"
                           : item                ? "i*:%s"
                                                 : "page:%s:*",
                           of->id);
            break;
        case FB_SCOPE_TAG:
            if (was->exists && world_chance(w, 50)) {
                *group = (int)was->group;
                (void)snprintf(text, ROOM, "%s", source_group_tag(was->group).ptr);
            } else {
                (void)snprintf(text, ROOM, "id:%s", of->id);
            }
            break;
        case FB_SCOPE_CLASS:
            (void)snprintf(text, ROOM, item ? "item" : "page");
            break;
        case FB_SCOPE_NAMESPACE:
            (void)snprintf(text, ROOM, item ? "default" : "people");
            break;
        case FB_SCOPE_ALL:
            text[0] = '\0';
            break;
        case FB_SCOPE_KEY:
            break;
    }
    what->name = fb_str_of(text);
}

static void change_alone(world *w, node *at, key *of) {
    order *one = world_new(w, sizeof *one);
    one->at = at;
    one->what.soft = world_chance(w, w->is.soft);
    if (!world_chance(w, w->is.idle)) {
        (void)source_commit(w, of);
    }
    writer_choose_scope(w, &one->what, one->text, &one->group, of);
    if (world_chance(w, w->is.tardy)) {
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
    int result =
        fb_cache_put(at->cache, of->name, value, 0, &tag, of->class_id != 0, node_now(w, at));
    SAY(w, "n%u SET %s v%u: %s", at->index, of->text, newest, fb_result_name(result));
    if (result == FB_OK) {
        w->seen->sets++;
        oracle_bar(w, at, of, newest, -1, false);
    } else if (result != FB_ETOOBIG) {
        world_fail(w, "SET gave %s", fb_result_name(result));
    }
    node_drain(w, at);
}

static void del(world *w, node *at, key *of) {
    (void)source_commit(w, of);
    int result = fb_cache_del(at->cache, of->name, node_now(w, at));
    SAY(w, "n%u DEL %s: %s", at->index, of->text, fb_result_name(result));
    if (result < 0) {
        world_fail(w, "DEL gave %s", fb_result_name(result));
    }
    w->seen->dels++;
    oracle_bar(w, at, of, of->version_count - 1, -1, false);
    node_drain(w, at);
}

// ----

static void write_something(world *w, void *arg) {
    (void)arg;
    node *at = &w->nodes[world_pick(w, w->is.nodes)];
    key *of = &w->keys[world_pick(w, w->is.keys)];
    if (world_chance(w, w->is.reloads)) {
        node_reload(w, at);
    }
    if (of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.silent)) {
        (void)source_commit(w, of);  // its TTL will have to tell
    } else if (world_chance(w, w->is.sets)) {
        set(w, at, of);
    } else if (world_chance(w, w->is.dels)) {
        del(w, at, of);
    } else {
        change_alone(w, at, of);
    }
}

void writer_start(world *w) {
    for (uint32_t i = 0; i < w->is.writes; i++) {
        world_at(w, w->now_ns + world_delay(w, w->is.horizon_ns), write_something, NULL);
    }
}
