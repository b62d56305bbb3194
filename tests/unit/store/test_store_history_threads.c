// Linearizability of single keys: threads read and change a few keys, and write down for each call
// when it began, when it returned, and what it gave. Afterwards a checker looks for an order in
// which the calls could have taken place one by one, each between its beginning and its end.
//
// The checker is that of Wing and Gong (1993), done as the history goes by (Lowe, "Testing for
// linearizability", 2017): it keeps every state the key can be in, together with which of the calls
// now under way have taken effect in it. When a call returns, those states remain in which it has.
// If none remains, there is no such order. Times are of the monotonic clock, so that watching adds
// no ordering of its own; calls whose times are equal count as overlapping.
//
// Run under ThreadSanitizer too.

#include <forebay/store.h>

#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

enum {
    THREADS = 4,
    KEYS = 4,
    STEPS = 40000,
    IDS = THREADS * STEPS + 1,  // values ever written; 0: none
    LEN_MAX = 3000,
    STATES_MAX = 4096
};

typedef enum deed { GET, PUT, ADD, REPLACE, SWAP, DEL, TOUCH, CLEAR } deed;

// One call on one key. Values are told apart by the version the store gave them.
typedef struct act {
    int64_t begin_ns, end_ns;
    deed what;
    int result;
    uint64_t version;   // read or written
    uint64_t expected;  // of SWAP
    uint64_t id;        // of the value
    unsigned key, thread;
} act;

typedef struct history {
    fb_store *store;
    act acts[THREADS][STEPS];
    atomic_uint torn, failed;
    atomic_bool stop;
    pthread_barrier_t together;
} history;

typedef struct worker {
    history *crew;
    unsigned number;
    fb_rng rng;
    uint64_t seen[KEYS];  // the version last seen of each key
    int64_t last_ns;
} worker;

// What a value holds: its id again and again, so that no two can be mixed unseen.
static fb_str fill(uint64_t id, size_t words, uint64_t *value) {
    for (size_t i = 0; i < words; i++) {
        value[i] = id;
    }
    return fb_str_make((const char *)value, words * sizeof(*value));
}

static bool whole(fb_str value, uint64_t *id) {
    if (value.len < sizeof(*id) || value.len % sizeof(*id) != 0) {
        return false;
    }
    memcpy(id, value.ptr, sizeof(*id));
    for (size_t i = sizeof(*id); i < value.len; i += sizeof(*id)) {
        if (memcmp(value.ptr, value.ptr + i, sizeof(*id)) != 0) {
            return false;
        }
    }
    return true;
}

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

typedef struct sight {
    bool whole;
    uint64_t id, version;
} sight;

static void see(void *arg, const fb_item *item) {
    sight *what = arg;
    what->whole = whole(item->value, &what->id);
    what->version = item->version;
}

static int look(worker *w, fb_str key, sight *what) {
    fb_store *store = w->crew->store;
    char bytes[LEN_MAX];
    fb_item item;
    int results[2];
    sight both[2];
    void *args[] = {&both[0], &both[1]};
    int result;
    switch (fb_rng_below(&w->rng, 4)) {
    case 0:
        return fb_store_get(store, key, 1, see, what);
    case 1:
        return fb_store_peek(store, key, 1, see, what);
    case 2:
        fb_store_get_many(store, (fb_str[]){FB_STR("nobody"), key}, 2, 1, see, args, results);
        *what = both[1];
        return results[1];
    default:
        result = fb_store_get_copy(store, key, 1, bytes, sizeof(bytes), &item);
        if (result == FB_OK) {
            see(what, &item);
        }
        return result;
    }
}

static void read_one(worker *w, fb_str key, act *entry) {
    sight what = {0};
    entry->result = look(w, key, &what);
    w->crew->failed += entry->result != FB_OK && entry->result != FB_MISS;
    if (entry->result == FB_OK) {
        w->crew->torn += !what.whole;
        entry->version = what.version;
        entry->id = what.id;
    }
}

static void write_one(worker *w, fb_str key, act *entry, uint64_t *value) {
    static const fb_store_if conditions[] = {
        [ADD] = FB_STORE_IF_ABSENT, [REPLACE] = FB_STORE_IF_PRESENT, [SWAP] = FB_STORE_IF_VERSION};
    // Half of all values are as long as the one before, and so overwritten in place.
    size_t words = fb_rng_below(&w->rng, 2) == 0 ? 12 : 1 + fb_rng_below(&w->rng, LEN_MAX / 8 - 1);
    fb_item item = {.key = key, .value = fill(entry->id, words, value)};
    fb_store *store = w->crew->store;
    if (entry->what == PUT) {
        entry->result = fb_store_put(store, &item, 1, &entry->version);
    } else {
        entry->result = fb_store_put_if(store, &item, conditions[entry->what], entry->expected, 1,
                                        &entry->version);
    }
    w->crew->failed += entry->result != FB_OK && entry->result != FB_REFUSED;
}

static deed choose(worker *w) {
    static const deed deeds[] = {GET, GET, GET,     GET,  PUT,  PUT,
                                 ADD, DEL, REPLACE, SWAP, SWAP, TOUCH};
    unsigned which = (unsigned)fb_rng_below(&w->rng, 12);
    return fb_rng_below(&w->rng, 500) == 0 ? CLEAR : deeds[which];
}

static void act_once(worker *w, unsigned step, uint64_t *value) {
    fb_store *store = w->crew->store;
    act *entry = &w->crew->acts[w->number][step];
    unsigned number = (unsigned)fb_rng_below(&w->rng, KEYS);
    char name[] = {'k', (char)('0' + number)};
    fb_str key = {name, sizeof(name)};
    *entry = (act){.what = choose(w), .key = number, .thread = w->number};
    entry->expected = w->seen[number];
    do {
        entry->begin_ns = clock_ns();
    } while (entry->begin_ns <= w->last_ns);
    switch (entry->what) {
    case GET:
        read_one(w, key, entry);
        break;
    case DEL:
        entry->result = fb_store_del(store, key, 1);
        break;
    case TOUCH:
        entry->result = fb_store_touch(store, key, (int64_t)fb_rng_below(&w->rng, 2) * 1000, 1);
        break;
    case CLEAR:
        (void)fb_store_clear(store);
        break;
    default:
        entry->id = 1 + w->number * (uint64_t)STEPS + step;
        write_one(w, key, entry, value);
    }
    entry->end_ns = clock_ns();
    w->last_ns = entry->end_ns;
    if (entry->result == FB_OK && entry->version != 0) {
        w->seen[number] = entry->version;
    }
}

static void *work(void *arg) {
    worker *w = arg;
    uint64_t value[LEN_MAX / sizeof(uint64_t)];
    pthread_barrier_wait(&w->crew->together);
    for (unsigned step = 0; step < STEPS; step++) {
        act_once(w, step, value);
    }
    return NULL;
}

// Lets the index grow and shrink under the others' feet.
static void *disturb(void *arg) {
    worker *w = arg;
    char text[32];
    pthread_barrier_wait(&w->crew->together);
    while (!w->crew->stop) {
        for (unsigned i = 0; i < 4000; i++) {
            int len = snprintf(text, sizeof(text), "other:%u", i);
            fb_item item = {.key = {text, (size_t)len}, .value = FB_STR("v"), .expires_ns = 5};
            w->crew->failed += fb_store_put(w->crew->store, &item, 1, NULL) != FB_OK;
        }
        (void)fb_store_sweep(w->crew->store, 6, 10000);
        sched_yield();
    }
    return NULL;
}

// ---- the checker

// The version the key may have (0: absent), and which threads' calls have taken effect.
typedef struct belief {
    uint64_t version;
    unsigned done;
} belief;

typedef struct checker {
    unsigned overlapping;  // returns while another call was under way
    belief states[STATES_MAX];
    unsigned count;
    const act *under_way[THREADS];
} checker;

static void add(checker *c, belief what) {
    for (unsigned i = 0; i < c->count; i++) {
        if (c->states[i].version == what.version && c->states[i].done == what.done) {
            return;
        }
    }
    assert_true(c->count < STATES_MAX);
    c->states[c->count++] = what;
}

// Whether the call can have given what it gave with this version there; *version after it.
static bool possible(const act *call, uint64_t *version) {
    uint64_t before = *version;
    bool ok = call->result == FB_OK;
    switch (call->what) {
    case GET:
        return before == (ok ? call->version : 0);
    case PUT:
        *version = call->version;
        return true;
    case ADD:
        *version = ok ? call->version : before;
        return ok == (before == 0);
    case REPLACE:
        *version = ok ? call->version : before;
        return ok == (before != 0);
    case SWAP:
        *version = ok ? call->version : before;
        return ok == (before != 0 && before == call->expected);
    case DEL:
        *version = 0;
        return ok == (before != 0);
    case TOUCH:
        return ok == (before != 0);
    case CLEAR:
        *version = 0;
        return true;
    }
    return false;
}

// Lets calls under way take effect in every possible order.
static void close_over(checker *c) {
    for (unsigned i = 0; i < c->count; i++) {
        for (unsigned thread = 0; thread < THREADS; thread++) {
            const act *call = c->under_way[thread];
            belief next = c->states[i];
            if (call != NULL && (next.done >> thread & 1) == 0 && possible(call, &next.version)) {
                next.done |= 1U << thread;
                add(c, next);
            }
        }
    }
}

static bool returns(checker *c, const act *call) {
    close_over(c);
    unsigned count = c->count;
    c->count = 0;
    for (unsigned i = 0; i < count; i++) {
        belief what = c->states[i];
        if ((what.done >> call->thread & 1) != 0) {
            what.done &= ~(1U << call->thread);
            add(c, what);  // never ahead of what is still to be read
        }
    }
    c->under_way[call->thread] = NULL;
    for (unsigned thread = 0; thread < THREADS; thread++) {
        c->overlapping += c->under_way[thread] != NULL;
    }
    return c->count > 0;
}

typedef struct event {
    int64_t at_ns;
    bool end;
    const act *call;
} event;

static int by_time(const void *left, const void *right) {
    const event *a = left;
    const event *b = right;
    return a->at_ns != b->at_ns ? (a->at_ns > b->at_ns) - (a->at_ns < b->at_ns) : a->end - b->end;
}

static bool linearizable(const history *crew, unsigned key) {
    static event events[2 * THREADS * STEPS];
    size_t count = 0;
    for (unsigned i = 0; i < THREADS * STEPS; i++) {
        const act *call = &crew->acts[i / STEPS][i % STEPS];
        if (call->key == key || call->what == CLEAR) {
            events[count++] = (event){call->begin_ns, false, call};
            events[count++] = (event){call->end_ns, true, call};
        }
    }
    qsort(events, count, sizeof(*events), by_time);
    static checker c;
    c = (checker){.count = 1};
    for (size_t i = 0; i < count; i++) {
        const act *call = events[i].call;
        if (!events[i].end) {
            assert_null(c.under_way[call->thread]);
            c.under_way[call->thread] = call;
        } else if (!returns(&c, call)) {
            print_error("key %u: thread %u's call %d (result %d, version %llu) has no place\n", key,
                        call->thread, (int)call->what, call->result,
                        (unsigned long long)call->version);
            return false;
        }
    }
    print_message("key %u: %zu calls, %u overlaps\n", key, count / 2, c.overlapping);
    return true;
}

// Whoever read a version read the value that was stored with it.
static void check_values(const history *crew) {
    static uint64_t version_of[IDS];
    memset(version_of, 0, sizeof(version_of));
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < THREADS * STEPS; i++) {
            const act *call = &crew->acts[i / STEPS][i % STEPS];
            if (call->result != FB_OK || call->id == 0) {
                continue;
            }
            assert_true(call->id < IDS);
            if (pass == 0 && call->what != GET) {
                version_of[call->id] = call->version;
            } else if (pass == 1) {
                assert_int_equal(version_of[call->id], call->version);
            }
        }
    }
}

static void test_store__calls_on_one_key_take_effect_one_by_one(void **state) {
    (void)state;
    static history crew;
    worker workers[THREADS + 1];
    pthread_t threads[THREADS + 1];
    fb_store_options options = {.limit_bytes = UINT64_C(64) << 20, .shard_count = 2, .seed = 3};
    assert_ok(fb_store_new(&options, &crew.store));
    assert_int_equal(pthread_barrier_init(&crew.together, NULL, THREADS + 1), 0);
    fb_rng rng = test_rng();
    for (unsigned i = 0; i <= THREADS; i++) {
        workers[i] = (worker){.crew = &crew, .number = i};
        fb_rng_init(&workers[i].rng, fb_rng_next(&rng));
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < THREADS ? work : disturb, &workers[i]), 0);
    }
    for (unsigned i = 0; i <= THREADS; i++) {
        crew.stop = i == THREADS;
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(crew.torn, 0);
    assert_int_equal(crew.failed, 0);
    check_values(&crew);
    for (unsigned key = 0; key < KEYS; key++) {
        assert_true(linearizable(&crew, key));
    }
    fb_store_check(crew.store);
    fb_store_free(crew.store);
}

// The checker itself: a read of what was overwritten before the read began has no place.
static void test_store__a_history_with_a_stale_read_is_found_out(void **state) {
    (void)state;
    static history crew;
    memset(&crew, 0, sizeof(crew));
    for (unsigned i = 0; i < THREADS * STEPS; i++) {
        crew.acts[i / STEPS][i % STEPS].key = KEYS;  // another key's
    }
    crew.acts[0][0] = (act){.begin_ns = 1, .end_ns = 2, .what = PUT, .version = 1};
    crew.acts[0][1] = (act){.begin_ns = 3, .end_ns = 6, .what = PUT, .version = 2};
    crew.acts[1][0] = (act){.begin_ns = 5, .end_ns = 8, .what = GET, .version = 1, .thread = 1};
    assert_true(linearizable(&crew, 0));
    crew.acts[1][0].begin_ns = 7;
    assert_false(linearizable(&crew, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__a_history_with_a_stale_read_is_found_out),
        cmocka_unit_test(test_store__calls_on_one_key_take_effect_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
