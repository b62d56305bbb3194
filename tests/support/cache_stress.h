// cache_stress.h -- real threads on one cache, and what no reader may ever see.
//
// A "database" is a version a key. Writers raise the version of a key of theirs, then invalidate it
// (by every way there is) or store the new version, and then write down that this is acknowledged.
// Readers note what is acknowledged when they begin; from memory, from a load of their own or from
// one they joined they must get that version or a newer one. Now and then they store again what is
// there, which must not make it last. Loads take a while between asking the database and filling,
// so that the others get in between.

#ifndef FB_TESTS_CACHE_STRESS_H
#define FB_TESTS_CACHE_STRESS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/check.h"
#include "cache_rig.h"

enum { STRESS_KEYS = 6, STRESS_WRITERS = 2, STRESS_READERS = 3 };

// One load that readers share, as a flight would have it.
typedef struct stress_load {
    fb_ticket *ticket;
    fb_loaded loaded;
    uint64_t version;
    uint32_t users;
    bool landed;
} stress_load;

typedef struct stress_key {
    char key[32];
    char tag[32];
    char index[32];
    char glob[32];
    _Atomic(uint64_t) version;       // in the database
    _Atomic(uint64_t) acknowledged;  // the newest that an acknowledged invalidation stands for
    pthread_mutex_t lock;
    pthread_cond_t landed;
    stress_load *load;  // what can be joined
} stress_key;

typedef struct stress {
    fb_cache *cache;
    stress_key keys[STRESS_KEYS];
    uint64_t seed;
    uint32_t steps;
    _Atomic(bool) stop;
    _Atomic(uint32_t) writers_left;
    _Atomic(uint64_t) reads;
    _Atomic(uint64_t) violations;
    _Atomic(uint64_t) hits, loads, joined, refused, doomed;
    char first[160];  // the first violation
} stress;

typedef struct stress_thread {
    stress *all;
    uint32_t number;
    pthread_t thread;
    fb_rng rng;
} stress_thread;

static inline int64_t stress_now(void) {
    return S(100);  // nothing expires here: only invalidations end entries
}

static inline void stress_report(stress *all, const stress_key *key, const char *how, uint64_t got,
                                 uint64_t least) {
    if (atomic_fetch_add(&all->violations, 1) == 0) {
        (void)snprintf(all->first, sizeof all->first, "%s: %s gave version %llu, not %llu or newer",
                       key->key, how, (unsigned long long)got, (unsigned long long)least);
    }
    atomic_store(&all->stop, true);
}

// Lets the readers have some reads in between; without them writers would be through in no time.
static inline void stress_pace(stress *all, fb_rng *rng) {
    uint64_t until = atomic_load(&all->reads) + fb_rng_below(rng, 12);
    while (atomic_load(&all->reads) < until && !atomic_load(&all->stop)) {
        (void)sched_yield();
    }
}

static inline void stress_dawdle(fb_rng *rng) {
    for (uint64_t i = fb_rng_below(rng, 4); i > 0; i--) {
        (void)sched_yield();
    }
}

// ---- writers

static inline void stress_store(stress *all, stress_key *key, uint64_t version) {
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)version);
    int result =
        fb_cache_put(all->cache, fb_str_of(key->key), fb_str_of(text), 0, NULL, 0, stress_now());
    FB_ASSERT(result == FB_OK);
}

typedef struct stress_edit {
    char text[24];
    bool remove;
} stress_edit;

static inline int stress_edit_fn(void *arg, fb_edit *edit) {
    stress_edit *change = arg;
    edit->action = change->remove ? FB_EDIT_DELETE : FB_EDIT_PUT;
    edit->data = fb_str_of(change->text);
    return FB_OK;
}

static inline void stress_change(stress *all, stress_key *key, uint64_t version, bool remove) {
    stress_edit change = {.remove = remove};
    (void)snprintf(change.text, sizeof change.text, "%llu", (unsigned long long)version);
    int result =
        fb_cache_edit(all->cache, fb_str_of(key->key), stress_now(), 0, stress_edit_fn, &change);
    FB_ASSERT(result == FB_OK);
}

// Reloads take the index away and bring it back, and move the class between namespaces.
static inline void stress_swap(stress *all, uint64_t variant) {
    fb_class_options list = rig_list();
    list.index_count = variant & 1;
    list.namespace_name = variant & 2 ? "depot" : "shop";
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, rig_page()), rig_class(RIG_ITEM, rig_item()),
                           rig_class(RIG_LIST, list)};
    int result = fb_cache_swap(all->cache, rig_catalog_of(classes, 4));
    FB_ASSERT(result == FB_OK);
}

static inline void stress_invalidate(stress *all, fb_scope scope, const char *name, bool soft) {
    fb_invalidation what = {scope, fb_str_of(name), soft};
    int result = fb_cache_invalidate(all->cache, &what, stress_now(), NULL);
    FB_ASSERT(result == FB_OK || (result == FB_ENOCLASS && scope == FB_SCOPE_NAMESPACE));
    if (scope == FB_SCOPE_NAMESPACE && strcmp(name, "depot") != 0) {
        // It may be there by now, or had been before: who moves leaves what was behind.
        stress_invalidate(all, scope, "depot", soft);
    }
}

static inline void stress_write(stress_thread *me, stress_key *key) {
    stress *all = me->all;
    const struct {
        fb_scope scope;
        const char *name;
    } ways[] = {
        {FB_SCOPE_KEY, key->key}, {FB_SCOPE_KEY, key->key},      {FB_SCOPE_TAG, key->tag},
        {FB_SCOPE_TAG, key->tag}, {FB_SCOPE_PATTERN, key->glob}, {FB_SCOPE_PATTERN, key->index},
        {FB_SCOPE_CLASS, "list"}, {FB_SCOPE_NAMESPACE, "shop"},  {FB_SCOPE_ALL, ""},
    };
    uint64_t version = atomic_fetch_add(&key->version, 1) + 1;
    uint64_t way = fb_rng_below(&me->rng, sizeof ways / sizeof ways[0] + 4);
    if (way < sizeof ways / sizeof ways[0]) {
        stress_invalidate(all, ways[way].scope, ways[way].name, fb_rng_below(&me->rng, 4) == 0);
    } else if (way % 4 == 0) {
        stress_store(all, key, version);
    } else if (way % 4 == 1) {
        int result = fb_cache_del(all->cache, fb_str_of(key->key), stress_now());
        FB_ASSERT(result >= 0);
    } else {
        stress_change(all, key, version, way % 4 == 2);
    }
    atomic_store(&key->acknowledged, version);
}

static inline void *stress_writer(void *arg) {
    stress_thread *me = arg;
    for (uint32_t i = 0; i < me->all->steps && !atomic_load(&me->all->stop); i++) {
        uint64_t own = fb_rng_below(&me->rng, STRESS_KEYS / STRESS_WRITERS);
        stress_write(me, &me->all->keys[own * STRESS_WRITERS + me->number]);
        stress_pace(me->all, &me->rng);
        if (i % 64 == 0) {
            (void)fb_store_sweep(fb_cache_store(me->all->cache), stress_now(), 100);
        }
        if (me->number == 0 && i % 64 == 63) {
            stress_swap(me->all, fb_rng_next(&me->rng));
        }
    }
    atomic_fetch_sub(&me->all->writers_left, 1);
    return NULL;
}

// ---- readers

static inline void stress_leave(stress *all, stress_load *load) {
    if (--load->users == 0) {
        fb_cache_end(all->cache, load->ticket);
        fb_loaded_release(&load->loaded);
        free(load);
    }
}

// Leads a load; the key is locked, and is again afterwards.
static inline uint64_t stress_lead(stress_thread *me, stress_key *key) {
    stress *all = me->all;
    stress_load *load = calloc(1, sizeof *load);
    FB_ASSERT(load != NULL);
    int result = fb_cache_begin(all->cache, rig_of(all->cache, RIG_LIST), fb_str_of(key->key),
                                stress_now(), &load->ticket);
    FB_ASSERT(result == FB_OK);
    load->users = 1;
    key->load = load;
    pthread_mutex_unlock(&key->lock);

    load->version = atomic_load(&key->version);
    stress_dawdle(&me->rng);
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)load->version);
    fb_loaded_init(&load->loaded);
    result = fb_loaded_value(&load->loaded, fb_str_of(text));
    FB_ASSERT(result == FB_OK);
    result = fb_loaded_tag(&load->loaded, fb_str_of(key->tag));
    FB_ASSERT(result == FB_OK);
    load->loaded.result = FB_OK;
    fb_value info;
    result = fb_cache_fill(all->cache, load->ticket, &load->loaded, 10, 0, stress_now(), &info);
    FB_ASSERT(result == FB_OK || result == FB_DOOMED);
    atomic_fetch_add(&all->doomed, result == FB_DOOMED);

    pthread_mutex_lock(&key->lock);
    if (key->load == load) {
        key->load = NULL;
    }
    load->landed = true;
    pthread_cond_broadcast(&key->landed);
    uint64_t version = load->version;
    stress_leave(all, load);
    atomic_fetch_add(&all->loads, 1);
    return version;
}

// false: it may not answer this reader.
static inline bool stress_join(stress *all, stress_key *key, uint64_t reader_seq,
                               uint64_t *version) {
    stress_load *load = key->load;
    load->users++;
    while (!load->landed) {
        pthread_cond_wait(&key->landed, &key->lock);
    }
    *version = load->version;
    bool answers = fb_cache_answers(all->cache, load->ticket, &load->loaded, reader_seq);
    stress_leave(all, load);
    atomic_fetch_add(answers ? &all->joined : &all->refused, 1);
    return answers;
}

static inline void stress_load_key(stress_thread *me, stress_key *key, uint64_t least,
                                   uint64_t reader_seq) {
    stress *all = me->all;
    uint64_t version = 0;
    bool answered = false;
    const char *how = "a load of its own";
    pthread_mutex_lock(&key->lock);
    while (!answered) {
        if (key->load != NULL && fb_ticket_doomed(key->load->ticket)) {
            key->load = NULL;  // detached: it answers those who have joined
        }
        if (key->load == NULL) {
            version = stress_lead(me, key);
            answered = true;
        } else {
            how = "a load it joined";
            answered = stress_join(all, key, reader_seq, &version);
        }
    }
    pthread_mutex_unlock(&key->lock);
    if (version < least) {
        stress_report(all, key, how, version, least);
    }
}

static inline int stress_keep_fn(void *arg, fb_edit *edit) {
    char *text = arg;
    if (edit->found) {
        (void)snprintf(text, 24, "%.*s", FB_STR_ARG(edit->value.data));
        edit->action = FB_EDIT_PUT;
        edit->data = fb_str_of(text);
    }
    return FB_OK;
}

// Stores what is there once more, as INCR or APPEND would: made of something old, it is as old.
static inline void stress_touch(stress *all, stress_key *key) {
    char text[24];
    int result =
        fb_cache_edit(all->cache, fb_str_of(key->key), stress_now(), 0, stress_keep_fn, text);
    FB_ASSERT(result == FB_OK);
}

static inline void stress_read(stress_thread *me, stress_key *key) {
    stress *all = me->all;
    if (fb_rng_below(&me->rng, 8) == 0) {
        stress_touch(all, key);
    }
    uint64_t least = atomic_load(&key->acknowledged);
    uint64_t reader_seq = fb_cache_seq(all->cache);
    rig_copy copy = {.text = ""};
    fb_found found;
    fb_find find =
        fb_cache_read(all->cache, fb_str_of(key->key), stress_now(), NULL, rig_take, &copy, &found);
    if (find != FB_FIND_FRESH) {  // stale: may be older, and a reader who wants it fresh loads
        stress_load_key(me, key, least, reader_seq);
        return;
    }
    atomic_fetch_add(&all->hits, 1);
    uint64_t version = strtoull(copy.text, NULL, 10);
    if (version < least) {
        stress_report(all, key, "memory", version, least);
    }
}

static inline void *stress_reader(void *arg) {
    stress_thread *me = arg;
    while (atomic_load(&me->all->writers_left) > 0 && !atomic_load(&me->all->stop)) {
        stress_read(me, &me->all->keys[fb_rng_below(&me->rng, STRESS_KEYS)]);
        atomic_fetch_add(&me->all->reads, 1);
    }
    return NULL;
}

// ---- a round

// Runs until each writer has written `steps` times, or until something was seen that may not be.
static inline void stress_run(stress *all, uint64_t seed, uint32_t steps) {
    memset(all, 0, sizeof *all);
    all->cache = rig_cache();
    all->steps = steps;
    atomic_store(&all->writers_left, STRESS_WRITERS);
    for (uint32_t i = 0; i < STRESS_KEYS; i++) {
        stress_key *key = &all->keys[i];
        (void)snprintf(key->key, sizeof key->key, "list:%u:p%u", i / 2, i % 2);
        // The class's own template: values that are edited into being have it too.
        (void)snprintf(key->tag, sizeof key->tag, "user:%u", i / 2);
        (void)snprintf(key->glob, sizeof key->glob, "li*:%u:p%u", i / 2, i % 2);
        (void)snprintf(key->index, sizeof key->index, "list:%u:*", i / 2);
        pthread_mutex_init(&key->lock, NULL);
        pthread_cond_init(&key->landed, NULL);
    }
    stress_thread threads[STRESS_WRITERS + STRESS_READERS];
    for (uint32_t i = 0; i < STRESS_WRITERS + STRESS_READERS; i++) {
        threads[i] = (stress_thread){.all = all, .number = i};
        fb_rng_init(&threads[i].rng, seed + i);
        int result =
            pthread_create(&threads[i].thread, NULL,
                           i < STRESS_WRITERS ? stress_writer : stress_reader, &threads[i]);
        FB_ASSERT(result == 0);
    }
    for (uint32_t i = 0; i < STRESS_WRITERS + STRESS_READERS; i++) {
        pthread_join(threads[i].thread, NULL);
    }
    for (uint32_t i = 0; i < STRESS_KEYS; i++) {
        pthread_mutex_destroy(&all->keys[i].lock);
        pthread_cond_destroy(&all->keys[i].landed);
    }
    fb_store_check(fb_cache_store(all->cache));
    fb_cache_free(all->cache);
}

#endif
