// Near caches kept coherent.
//
// The engine tells of every change of its memory tier (fb_changes_watch), on whatever thread makes it
// and perhaps with a lock of the store held. So what happens then is short: the key is looked up in the
// table, and a notice is put by (tracking_notices.h) for each connection that has read it; then that
// connection's loop is asked to come by. All of it is under one lock, which is the last that anybody
// takes here. A loop that is asked once is not asked again before it has come.
//
// Who tracks is watched for from before his first read on, and is registered for a key before the key is
// read, so a change is either seen by the read or finds him. His notice waits until his loop writes it,
// at the end of a turn, behind the replies of that turn; where a reply of his is still to come (a load,
// the shared tier), the session sees to it that the notice comes behind that, too.
//
// A read that loads, or that asks the shared tier, brings its own change: the fill. A reader who waits
// for it is marked as reading, and a fill leaves him registered; any other change does not. When he has
// his reply it is asked whether what was filled last, in the place of something else, is what he got;
// if nobody can say, he is told that it has changed.
//
// With BCAST nothing is remembered: every key that is told of and begins with one of the prefixes goes
// to the connection. What one turn of one connection changed is one notice a prefix, as in Redis.
//
// What names no keys (tags, classes, a lost partition) cannot say which of the tracked keys it
// concerns: each is looked at, whether memory would still answer with it, as long as there are not too
// many; else everything is told to be invalid. While the shared tier cannot be followed that is told
// again and again to whoever has read anything since.
//
// Two more locks, both rare: switch_lock is around the making and freeing of the whole and around the
// beginning and end of watching (which must not happen under the table's lock: the engine waits then for
// callbacks that want it); the list of sessions is locked before the table's lock.

#include "node/tracking.h"

#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/session_state.h"
#include "node/tracking_notices.h"
#include "node/tracking_table.h"

enum {
    LOOK_MAX = 65536,          // keys that are looked at one by one
    UNSURE_EVERY_US = 1000000  // for those that are registered for no keys
};

struct fb_tracker {
    fb_tracking *owner;
    fb_session *session;  // its loop's alone; NULL: it has gone
    uint64_t id;
    int loop;  // -1: none
    _Atomic uint32_t references;
    // under the lock:
    bool on, bcast, noloop, broken;
    bool has_read;  // since it was last told that everything is invalid
    bool asked;     // its loop has been asked to come by
    uint64_t redirect;
    int64_t unsure_us;
    char **prefixes;
    size_t *prefix_lens;
    size_t prefix_count;
    fb_notices notices;
};

struct fb_tracking {
    fb_node *node;
    pthread_mutex_t lock;
    fb_map trackers;  // by number
    fb_tracking_table table;
    uint64_t clients;  // that are on
    uint64_t tracker_count;  // under switch_lock
};

static pthread_mutex_t switch_lock = PTHREAD_MUTEX_INITIALIZER;

static _Thread_local uint64_t acting, acting_turn;

static void lock_one(pthread_mutex_t *one) {
    int result = pthread_mutex_lock(one);
    FB_ASSERT(result == 0);
}

static void unlock_one(pthread_mutex_t *one) {
    int result = pthread_mutex_unlock(one);
    FB_ASSERT(result == 0);
}

static fb_tracker *tracker_of(const fb_session *session) {
    return atomic_load_explicit(&session->tracker, memory_order_acquire);
}

// ---- the whole

static fb_tracking *new_tracking(fb_node *node) {
    fb_tracking *all = fb_mem_zero(1, sizeof *all);
    if (all == NULL) {
        return NULL;
    }
    all->node = node;
    pthread_mutex_init(&all->lock, NULL);
    all->table.seed = (uint64_t)node->wall_us() * UINT64_C(0x9e3779b97f4a7c15);
    return all;
}

static void free_tracking(fb_tracking *all) {
    FB_ASSERT(all->clients == 0);
    fb_tracking_table_clear(&all->table);
    fb_map_release(&all->trackers);
    pthread_mutex_destroy(&all->lock);
    fb_mem_free(all);
}

// ---- trackers

static fb_str id_of(const fb_tracker *tracker) {
    return fb_str_make((const char *)&tracker->id, sizeof tracker->id);
}

static fb_tracker *find_tracker(const fb_tracking *all, uint64_t id) {
    return fb_map_get(&all->trackers, fb_str_make((const char *)&id, sizeof id));
}

static void drop_prefixes(fb_tracker *tracker) {
    for (size_t i = 0; i < tracker->prefix_count; i++) {
        fb_mem_free(tracker->prefixes[i]);
    }
    fb_mem_free(tracker->prefixes);
    fb_mem_free(tracker->prefix_lens);
    tracker->prefixes = NULL;
    tracker->prefix_lens = NULL;
    tracker->prefix_count = 0;
}

// Not under the table's lock: with the last one everything goes.
static void give_tracker(fb_tracker *tracker) {
    if (atomic_fetch_sub(&tracker->references, 1) > 1) {
        return;
    }
    fb_tracking *all = tracker->owner;
    fb_notices_release(&tracker->notices);
    drop_prefixes(tracker);
    fb_mem_free(tracker);
    lock_one(&switch_lock);
    all->tracker_count--;
    if (all->tracker_count == 0) {
        atomic_store(&all->node->tracking, NULL);
        free_tracking(all);
    }
    unlock_one(&switch_lock);
}

// Under switch_lock.
static fb_tracker *new_tracker(fb_session *session) {
    fb_node *node = session->node;
    fb_tracking *all = atomic_load(&node->tracking);
    fb_tracker *tracker = fb_mem_zero(1, sizeof *tracker);
    if (tracker == NULL) {
        return NULL;
    }
    if (all == NULL) {
        all = new_tracking(node);
        if (all == NULL) {
            fb_mem_free(tracker);
            return NULL;
        }
        atomic_store(&node->tracking, all);
    }
    *tracker = (fb_tracker){.owner = all, .session = session, .id = session->id,
                            .loop = session->loop};
    fb_notices_init(&tracker->notices);
    atomic_init(&tracker->references, 1);
    lock_one(&all->lock);
    int result = fb_map_put(&all->trackers, id_of(tracker), tracker);
    unlock_one(&all->lock);
    if (result < 0) {
        fb_mem_free(tracker);
        if (all->tracker_count == 0) {
            atomic_store(&node->tracking, NULL);
            free_tracking(all);
        }
        return NULL;
    }
    all->tracker_count++;
    return tracker;
}

// Of a session that stays: one's own, or one found in the list while that is locked.
static fb_tracker *make_tracker(fb_session *session) {
    lock_one(&switch_lock);
    fb_tracker *tracker = tracker_of(session);
    if (tracker == NULL) {
        tracker = new_tracker(session);
        if (tracker != NULL) {
            atomic_store(&session->tracker, tracker);
        }
    }
    unlock_one(&switch_lock);
    return tracker;
}

// FB_OK, FB_MISS, FB_ENOMEM.
static int make_target(fb_node *node, uint64_t id) {
    int result = FB_MISS;
    fb_node_sessions_lock(node);
    for (fb_session *one = node->sessions; one != NULL && result == FB_MISS; one = one->next) {
        if (one->id == id) {
            result = make_tracker(one) != NULL ? FB_OK : FB_ENOMEM;
        }
    }
    fb_node_sessions_unlock(node);
    return result;
}

// ---- notices, under the lock

static void come_by(void *arg) {
    fb_tracker *tracker = arg;
    lock_one(&tracker->owner->lock);
    tracker->asked = false;
    unlock_one(&tracker->owner->lock);
    fb_session *session = tracker->session;
    if (session != NULL && !session->feeding && !session->ending) {
        session->wake(session->wake_arg);
    }
    give_tracker(tracker);
}

// Whose turn it is on this thread looks by himself when it ends.
static void ask(fb_tracker *tracker) {
    if (tracker->asked || tracker->loop < 0 || tracker->id == acting) {
        return;
    }
    atomic_fetch_add(&tracker->references, 1);
    tracker->asked = true;
    if (fb_loop_post(tracker->owner->node->engine, (uint32_t)tracker->loop, come_by, tracker) < 0) {
        // Out of memory: the next notice asks again, and so does the connection's next turn.
        tracker->asked = false;
        atomic_fetch_sub(&tracker->references, 1);  // never the last: it is in the map
    }
}

static void tell_all(fb_tracker *tracker) {
    if (fb_notices_all(&tracker->notices)) {
        ask(tracker);
    }
}

static void tell_key(fb_tracker *tracker, uint64_t prefix, fb_str key) {
    fb_notice_origin origin = {.actor = acting, .turn = acting_turn, .prefix = prefix};
    if (fb_notices_key(&tracker->notices, key, &origin)) {
        ask(tracker);
    }
}

// Where its notices go. NULL: the connection they were redirected to has gone, which it is told.
static fb_tracker *target_of(fb_tracking *all, fb_tracker *tracker) {
    if (tracker->redirect == 0) {
        return tracker;
    }
    fb_tracker *target = find_tracker(all, tracker->redirect);
    if (target == NULL) {
        tracker->broken = true;
        if (fb_notices_broken(&tracker->notices)) {
            ask(tracker);
        }
    }
    return target;
}

static void tell_everything(fb_tracking *all, fb_tracker *tracker) {
    fb_tracker *target = target_of(all, tracker);
    tracker->has_read = false;
    if (target != NULL) {
        tell_all(target);
    }
}

// ---- changes, under the lock

// Who changed it, and whether he hears of it himself.
typedef struct hit {
    fb_tracking *all;
    bool by_caller;
} hit;

static bool is_own(const fb_tracker *tracker, bool by_caller) {
    return by_caller && tracker->noloop && tracker->id == acting;
}

static void tell_reader(void *arg, fb_str key, uint64_t id) {
    const hit *one = arg;
    fb_tracker *tracker = find_tracker(one->all, id);
    if (tracker == NULL || !tracker->on || tracker->bcast || is_own(tracker, one->by_caller)) {
        return;
    }
    fb_tracker *target = target_of(one->all, tracker);
    if (target != NULL) {
        tell_key(target, 0, key);
    }
}

static void tell_broadcast(fb_tracking *all, fb_str key, bool by_caller) {
    size_t place = 0;
    fb_tracker *tracker;
    while ((tracker = fb_map_next(&all->trackers, &place)) != NULL) {
        if (!tracker->on || !tracker->bcast || is_own(tracker, by_caller)) {
            continue;
        }
        for (size_t i = 0; i < tracker->prefix_count; i++) {
            fb_str prefix = fb_str_make(tracker->prefixes[i], tracker->prefix_lens[i]);
            fb_tracker *target = fb_str_starts(key, prefix) ? target_of(all, tracker) : NULL;
            if (target != NULL) {
                tell_key(target, tracker->id << 16 | (uint64_t)(i + 1), key);
            }
        }
    }
}

static void key_changed(fb_tracking *all, const fb_change *change) {
    hit one = {.all = all, .by_caller = change->kind == FB_CHANGE_SET};
    fb_tracked_key *tracked = fb_tracking_table_find(&all->table, change->name);
    bool loaded = change->kind == FB_CHANGE_FILLED || change->version != 0;
    if (tracked != NULL && loaded) {
        uint64_t instead = change->kind == FB_CHANGE_REPLACED ? change->version : 0;
        fb_tracking_table_load(&all->table, tracked, instead, tell_reader, &one);
    } else if (tracked != NULL) {
        fb_tracking_table_hit(&all->table, tracked, tell_reader, &one);
    }
    tell_broadcast(all, change->name, one.by_caller);
}

static void everything_changed(fb_tracking *all) {
    size_t place = 0;
    fb_tracker *tracker;
    fb_tracking_table_clear(&all->table);
    while ((tracker = fb_map_next(&all->trackers, &place)) != NULL) {
        if (tracker->on) {
            tell_everything(all, tracker);
        }
    }
}

// Whether a tracked key may be another since it was read.
static bool concerns(const fb_tracking *all, const fb_change *change, fb_str key) {
    if (change->kind == FB_CHANGE_MATCHING) {
        return fb_glob_match(change->name, key);
    }
    fb_key_state state;
    fb_key_state_read(all->node->engine, key, &state);
    return !state.fresh;
}

static void some_changed(fb_tracking *all, const fb_change *change) {
    hit one = {.all = all};
    fb_tracking_walk walk = {0};
    fb_tracked_key *tracked;
    size_t place = 0;
    fb_tracker *tracker;
    if (all->table.keys > LOOK_MAX) {
        everything_changed(all);
        return;
    }
    while ((tracked = fb_tracking_table_walk(&all->table, &walk)) != NULL) {
        if (concerns(all, change, tracked->key)) {
            fb_tracking_table_hit(&all->table, tracked, tell_reader, &one);
        }
    }
    while ((tracker = fb_map_next(&all->trackers, &place)) != NULL) {
        if (tracker->on && tracker->bcast) {
            tell_everything(all, tracker);
        }
    }
}

static void nothing_is_sure(fb_tracking *all) {
    size_t place = 0;
    fb_tracker *tracker;
    int64_t now_us = all->node->wall_us();
    fb_tracking_table_clear(&all->table);
    while ((tracker = fb_map_next(&all->trackers, &place)) != NULL) {
        int64_t since_us = now_us - tracker->unsure_us;
        bool due = tracker->bcast && (since_us < 0 || since_us >= UNSURE_EVERY_US);
        if (tracker->on && (tracker->has_read || due)) {
            tracker->unsure_us = now_us;
            tell_everything(all, tracker);
        }
    }
}

static void hear(void *arg, const fb_change *change) {
    fb_tracking *all = arg;
    lock_one(&all->lock);
    switch (change->kind) {
        case FB_CHANGE_SET:
        case FB_CHANGE_FILLED:
        case FB_CHANGE_REPLACED:
        case FB_CHANGE_LEFT:
            key_changed(all, change);
            break;
        case FB_CHANGE_MATCHING:
        case FB_CHANGE_SOME:
            some_changed(all, change);
            break;
        case FB_CHANGE_ALL:
            everything_changed(all);
            break;
        case FB_CHANGE_UNSURE:
            nothing_is_sure(all);
            break;
    }
    unlock_one(&all->lock);
}

// ---- beginning and ending

static int add_prefix(fb_tracker *tracker, fb_str prefix) {
    for (size_t i = 0; i < tracker->prefix_count; i++) {
        if (fb_str_equal(fb_str_make(tracker->prefixes[i], tracker->prefix_lens[i]), prefix)) {
            return FB_OK;
        }
    }
    size_t count = tracker->prefix_count + 1;
    char **prefixes = fb_mem_resize(tracker->prefixes, count * sizeof(char *));
    if (prefixes == NULL) {
        return FB_ENOMEM;
    }
    tracker->prefixes = prefixes;
    size_t *lens = fb_mem_resize(tracker->prefix_lens, count * sizeof(size_t));
    if (lens == NULL) {
        return FB_ENOMEM;
    }
    tracker->prefix_lens = lens;
    prefixes[count - 1] = fb_mem_text(prefix);
    if (prefixes[count - 1] == NULL) {
        return FB_ENOMEM;
    }
    lens[count - 1] = prefix.len;
    tracker->prefix_count = count;
    return FB_OK;
}

static int take_wish(fb_tracker *tracker, const fb_tracking_wish *wish) {
    int result = FB_OK;
    lock_one(&tracker->owner->lock);
    tracker->bcast = wish->bcast;
    tracker->noloop = wish->noloop;
    tracker->redirect = wish->redirect;
    tracker->broken = false;
    for (size_t i = 0; i < wish->prefix_count && result == FB_OK; i++) {
        result = add_prefix(tracker, wish->prefixes[i]);
    }
    if (wish->bcast && tracker->prefix_count == 0 && result == FB_OK) {
        result = add_prefix(tracker, FB_STR(""));
    }
    tracker->on = tracker->on || result == FB_OK;
    unlock_one(&tracker->owner->lock);
    return result;
}

// Under switch_lock. With the first one the engine is watched, with the last one no more.
static int count_client(fb_tracking *all, int delta) {
    int result = FB_OK;
    if (delta > 0 && all->clients == 0) {
        result = fb_changes_watch(all->node->engine, hear, all);
    }
    if (result == FB_OK) {
        lock_one(&all->lock);
        all->clients += (uint64_t)(int64_t)delta;
        bool last = all->clients == 0;
        if (last) {
            fb_tracking_table_clear(&all->table);
        }
        unlock_one(&all->lock);
        if (last) {
            fb_changes_unwatch(all->node->engine, hear, all);
        }
    }
    return result;
}

static void switch_off(fb_tracker *tracker) {
    fb_tracking *all = tracker->owner;
    lock_one(&switch_lock);
    lock_one(&all->lock);
    bool was_on = tracker->on;
    tracker->on = tracker->bcast = tracker->noloop = tracker->broken = false;
    tracker->redirect = 0;
    drop_prefixes(tracker);
    unlock_one(&all->lock);
    if (was_on) {
        int result = count_client(all, -1);
        FB_ASSERT(result == FB_OK);
    }
    unlock_one(&switch_lock);
}

int fb_tracking_begin(fb_session *session, const fb_tracking_wish *wish) {
    if (wish->redirect != 0) {
        int found = make_target(session->node, wish->redirect);
        if (found != FB_OK) {
            return found;
        }
    }
    fb_tracker *tracker = make_tracker(session);
    if (tracker == NULL) {
        return FB_ENOMEM;
    }
    int result = FB_OK;
    bool was_on = tracker->on;  // nobody else changes it
    if (!was_on) {
        lock_one(&switch_lock);
        result = count_client(tracker->owner, 1);
        unlock_one(&switch_lock);
    }
    if (result != FB_OK) {
        return result;
    }
    result = take_wish(tracker, wish);
    if (result != FB_OK && !was_on) {
        lock_one(&tracker->owner->lock);
        tracker->on = true;  // so that it is counted out
        unlock_one(&tracker->owner->lock);
        switch_off(tracker);
    }
    return result;
}

void fb_tracking_end(fb_session *session) {
    fb_tracker *tracker = tracker_of(session);
    if (tracker != NULL) {
        switch_off(tracker);
    }
}

// From then on nobody finds it; notices that were redirected to it are told to be.
void fb_tracking_retire(fb_session *session) {
    fb_tracker *tracker = tracker_of(session);
    if (tracker != NULL) {
        switch_off(tracker);
        lock_one(&tracker->owner->lock);
        (void)fb_map_remove(&tracker->owner->trackers, id_of(tracker));
        unlock_one(&tracker->owner->lock);
    }
}

void fb_tracking_leave(fb_session *session) {
    fb_tracker *tracker = tracker_of(session);
    if (tracker != NULL) {
        fb_tracking_retire(session);
        lock_one(&tracker->owner->lock);
        tracker->session = NULL;
        unlock_one(&tracker->owner->lock);
        give_tracker(tracker);
    }
}

// ---- what a session asks

void fb_tracking_state_read(fb_session *session, fb_tracking_state *state) {
    fb_tracker *tracker = tracker_of(session);
    *state = (fb_tracking_state){.on = false};
    if (tracker != NULL) {
        lock_one(&tracker->owner->lock);
        *state = (fb_tracking_state){.on = tracker->on, .bcast = tracker->bcast,
                                     .noloop = tracker->noloop, .broken = tracker->broken,
                                     .redirect = tracker->redirect,
                                     .prefix_count = tracker->prefix_count};
        unlock_one(&tracker->owner->lock);
    }
}

void fb_tracking_prefixes(fb_session *session, fb_tracking_prefix_fn fn, void *arg) {
    fb_tracker *tracker = tracker_of(session);
    for (size_t i = 0; tracker != NULL && i < tracker->prefix_count; i++) {
        fn(arg, fb_str_make(tracker->prefixes[i], tracker->prefix_lens[i]));
    }
}

// Gives up keys beyond the bound; who has read them is told that they have changed.
static void make_room(fb_tracking *all) {
    hit one = {.all = all};
    uint64_t keys_max =
        atomic_load_explicit(&all->node->doors.tracking_keys_max, memory_order_relaxed);
    while (keys_max != 0 && all->table.keys > keys_max) {
        fb_tracking_table_hit(&all->table, fb_tracking_table_any(&all->table), tell_reader, &one);
    }
}

void fb_tracking_read(fb_session *session, fb_str key, uint64_t *hash) {
    fb_tracker *tracker = tracker_of(session);
    fb_tracking *all = tracker->owner;
    lock_one(&all->lock);
    tracker->has_read = true;
    fb_key_reader who = {.id = tracker->id, .reading = hash != NULL};
    if (hash != NULL) {
        *hash = fb_tracking_table_hash(&all->table, key);
    }
    if (fb_tracking_table_add(&all->table, key, who) < 0) {
        hit one = {.all = all};
        tell_reader(&one, key, tracker->id);
    }
    make_room(all);
    unlock_one(&all->lock);
}

void fb_tracking_settle(fb_session *session, uint64_t hash, uint64_t version, bool kept) {
    fb_tracker *tracker = tracker_of(session);
    if (tracker == NULL) {
        return;
    }
    fb_tracking *all = tracker->owner;
    lock_one(&all->lock);
    bool stale;
    fb_key_reader who = {.id = tracker->id, .loaded = version};
    fb_tracked_key *tracked = fb_tracking_table_settle(&all->table, hash, &who, &stale);
    if (tracked != NULL && (stale || !kept)) {
        hit one = {.all = all};
        tell_reader(&one, tracked->key, tracker->id);
    }
    unlock_one(&all->lock);
}

void fb_tracking_turn(const fb_session *session) {
    acting = session != NULL ? session->id : 0;
    acting_turn++;
}

bool fb_tracking_waiting(const fb_session *session) {
    const fb_tracker *tracker = tracker_of(session);
    return tracker != NULL && fb_notices_wait(&tracker->notices);
}

int fb_tracking_write(fb_session *session, fb_buf *out) {
    fb_tracker *tracker = tracker_of(session);
    fb_notice_form form = {.proto = session->encoding == FB_ENCODING_RESP3 ? 3 : 2,
                           .subscribed = session->subscribed};
    lock_one(&tracker->owner->lock);
    form.redirect = tracker->redirect;
    int result = fb_notices_write(&tracker->notices, &form, out);
    unlock_one(&tracker->owner->lock);
    return result;
}

// ---- for all

void fb_tracking_figures_read(fb_node *node, fb_tracking_figures *figures) {
    *figures = (fb_tracking_figures){0};
    lock_one(&switch_lock);
    fb_tracking *all = atomic_load(&node->tracking);
    if (all != NULL) {
        size_t place = 0;
        const fb_tracker *tracker;
        lock_one(&all->lock);
        figures->clients = all->clients;
        figures->keys = all->table.keys;
        figures->readers = all->table.readers;
        while ((tracker = fb_map_next(&all->trackers, &place)) != NULL) {
            figures->prefixes += tracker->prefix_count;
        }
        unlock_one(&all->lock);
    }
    unlock_one(&switch_lock);
}

void fb_tracking_make_room(fb_node *node) {
    lock_one(&switch_lock);
    fb_tracking *all = atomic_load(&node->tracking);
    if (all != NULL) {
        lock_one(&all->lock);
        make_room(all);
        unlock_one(&all->lock);
    }
    unlock_one(&switch_lock);
}
