// Readers that take no lock, among everything that moves and frees what they read. Every value
// proves by itself that it is whole and its key's: it begins with key, length and a seed, and the
// rest follows from the seed. Whatever a call returns as found must be such a value. Run under
// ThreadSanitizer too.

#include <forebay/store.h>

#include "store/race.h"
#include "support.h"

#include <pthread.h>

enum {
    SLOW = FB_RACE_WATCHED ? 5 : 1,
    WRITERS = 2,
    READERS = 2,
    KEYS = 600,
    LEN_MAX = 64 << 10,
    LARGE_MAX = 600 << 10,
    BATCH = 20
};

typedef struct team {
    fb_store *store;
    unsigned steps;
    atomic_uint working;  // writers
    atomic_uint wrong, failed, found;
} team;

typedef struct proof {
    uint64_t key, len, seed, check;
} proof;

typedef struct worker {
    team *crew;
    fb_rng rng;
    char *bytes;
} worker;

static uint64_t check_of(const proof *head) {
    return (head->key * 3 + head->len * 5 + head->seed * 7 + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

// The `i`th word after the proof.
static uint64_t word_of(uint64_t seed, uint64_t i) {
    return (seed + i) * UINT64_C(0x9e3779b97f4a7c15);
}

static fb_str make(uint64_t key, uint64_t len, uint64_t seed, char *bytes) {
    proof head = {.key = key, .len = len, .seed = seed};
    head.check = check_of(&head);
    memcpy(bytes, &head, sizeof(head));
    uint64_t i = 0;
    for (uint64_t at = sizeof(head); at < len; at += sizeof(uint64_t)) {
        uint64_t word = word_of(seed, i++);
        memcpy(bytes + at, &word, len - at < sizeof(word) ? len - at : sizeof(word));
    }
    return fb_str_make(bytes, len);
}

static bool proves(fb_str value, uint64_t key) {
    proof head;
    if (value.len < sizeof(head)) {
        return false;
    }
    memcpy(&head, value.ptr, sizeof(head));
    if (head.key != key || head.len != value.len || head.check != check_of(&head)) {
        return false;
    }
    uint64_t i = 0;
    for (uint64_t at = sizeof(head); at < value.len; at += sizeof(uint64_t)) {
        uint64_t word = word_of(head.seed, i++);
        size_t left = value.len - at;
        if (memcmp(value.ptr + at, &word, left < sizeof(word) ? left : sizeof(word)) != 0) {
            return false;
        }
    }
    return true;
}

// Keys of several lengths.
typedef struct name {
    uint64_t number;
    char more[40];
} name;

static fb_str key_of(uint64_t number, name *text) {
    text->number = number;
    memset(text->more, (int)number, sizeof(text->more));
    return fb_str_make((const char *)text, sizeof(number) + number % sizeof(text->more));
}

static uint64_t number_of(fb_str key) {
    uint64_t number = UINT64_MAX;
    if (key.len >= sizeof(number)) {
        memcpy(&number, key.ptr, sizeof(number));
    }
    return number;
}

// ---- readers

// What a callback saw last; it may have been called with torn bytes before that.
typedef struct sight {
    uint64_t key;
    unsigned calls;
    bool right;
} sight;

static void see(void *arg, const fb_item *item) {
    sight *what = arg;
    what->calls++;
    what->right = number_of(item->key) == what->key && proves(item->value, what->key) &&
                  item->extra.len == what->key % 7;
}

static void judge(worker *w, int result, bool right) {
    w->crew->failed += result != FB_OK && result != FB_MISS;
    w->crew->found += result == FB_OK;
    w->crew->wrong += result == FB_OK && !right;
}

static void lend_one(worker *w) {
    name text;
    sight what = {.key = fb_rng_below(&w->rng, KEYS)};
    int result = fb_store_get(w->crew->store, key_of(what.key, &text), 1, see, &what);
    judge(w, result, what.right);
}

static void copy_one(worker *w) {
    name text;
    fb_item item;
    uint64_t key = fb_rng_below(&w->rng, KEYS);
    size_t room = fb_rng_below(&w->rng, 2) == 0 ? 2000 : LARGE_MAX + 100;
    int result = fb_store_get_copy(w->crew->store, key_of(key, &text), 1, w->bytes, room, &item);
    if (result == FB_ETOOBIG) {
        bool right = item.value.ptr == NULL && item.extra.len == key % 7 &&
                     item.value.len + item.extra.len > room && item.value.len <= LARGE_MAX;
        judge(w, FB_OK, right);
    } else {
        judge(w, result,
              result == FB_OK && proves(item.value, key) && item.extra.len == key % 7 &&
                  item.extra.ptr == w->bytes && number_of(item.key) == key);
    }
}

static void lend_many(worker *w) {
    name texts[BATCH];
    fb_str keys[BATCH];
    sight what[BATCH];
    void *args[BATCH];
    int results[BATCH];
    for (unsigned i = 0; i < BATCH; i++) {
        what[i] = (sight){.key = fb_rng_below(&w->rng, KEYS)};
        keys[i] = key_of(what[i].key, &texts[i]);
        args[i] = &what[i];
    }
    fb_store_get_many(w->crew->store, keys, BATCH, 1, see, args, results);
    for (unsigned i = 0; i < BATCH; i++) {
        judge(w, results[i], what[i].right);
    }
}

static void see_any(void *arg, const fb_item *item) {
    worker *w = arg;
    judge(w, FB_OK, proves(item->value, number_of(item->key)));
}

static void *read_all(void *arg) {
    worker *w = arg;
    while (w->crew->working > 0) {
        switch (fb_rng_below(&w->rng, 40)) {
        case 0:
            (void)fb_store_scan(w->crew->store, 0, 300, 1, see_any, w);
            break;
        case 1:
        case 2:
            lend_many(w);
            break;
        default:
            if (fb_rng_below(&w->rng, 2) == 0) {
                lend_one(w);
            } else {
                copy_one(w);
            }
        }
    }
    return NULL;
}

// ---- writers

static uint64_t choose_len(worker *w) {
    switch (fb_rng_below(&w->rng, 40)) {
    case 0:
        return sizeof(proof) + fb_rng_below(&w->rng, LARGE_MAX - sizeof(proof));
    case 1:
    case 2:
    case 3:
        return sizeof(proof) + fb_rng_below(&w->rng, LEN_MAX);
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        return sizeof(proof) + fb_rng_below(&w->rng, 2000);
    case 9:
    case 10:
        return LEN_MAX - 500;
    default:
        return 200;  // as the one before, often the length that is there: written in place
    }
}

static void put(worker *w, uint64_t key) {
    name text;
    fb_item item = {.key = key_of(key, &text), .extra = {"extras", key % 7}};
    item.value = make(key, choose_len(w), fb_rng_next(&w->rng), w->bytes);
    item.expires_ns = fb_rng_below(&w->rng, 3) == 0 ? 1000 : 0;
    w->crew->failed += fb_store_put(w->crew->store, &item, 1, NULL) != FB_OK;
}

static void rare(worker *w) {
    fb_store *store = w->crew->store;
    int result;
    switch (fb_rng_below(&w->rng, 8)) {
    case 0:
        (void)fb_store_clear(store);
        break;
    case 1:
        fb_store_check(store);
        break;
    case 2:
    case 3:
        (void)fb_store_sweep(store, 1000, 300);
        break;
    default:
        result = fb_store_resize(store, (UINT64_C(6) + fb_rng_below(&w->rng, 8)) << 20);
        w->crew->failed += result != FB_OK;
    }
}

static void *write_all(void *arg) {
    worker *w = arg;
    name text;
    for (unsigned i = 0; i < w->crew->steps; i++) {
        uint64_t key = fb_rng_below(&w->rng, KEYS);
        switch (fb_rng_below(&w->rng, 200)) {
        case 0:
            rare(w);
            break;
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
            w->crew->failed += fb_store_del(w->crew->store, key_of(key, &text), 1) < 0;
            break;
        case 9:
        case 10:
        case 11:
        case 12:
            w->crew->failed += fb_store_touch(w->crew->store, key_of(key, &text), 900, 1) < 0;
            break;
        default:
            put(w, key);
        }
    }
    w->crew->working--;
    return NULL;
}

static void run(uint32_t shard_count, unsigned steps) {
    worker workers[WRITERS + READERS];
    pthread_t threads[WRITERS + READERS];
    team crew = {.steps = steps, .working = WRITERS};
    fb_store_options options = {
        .limit_bytes = UINT64_C(8) << 20, .shard_count = shard_count, .seed = 5};
    assert_ok(fb_store_new(&options, &crew.store));
    fb_rng rng = test_rng();
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i] = (worker){.crew = &crew, .bytes = malloc(LARGE_MAX + 100)};
        fb_rng_init(&workers[i].rng, fb_rng_next(&rng));
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < WRITERS ? write_all : read_all, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        free(workers[i].bytes);
    }
    print_message("%u values found\n", crew.found);
    assert_int_equal(crew.wrong, 0);
    assert_int_equal(crew.failed, 0);
    assert_true(crew.found > 0);
    fb_store_check(crew.store);
    fb_store_free(crew.store);
}

static void test_store__readers_without_a_lock_never_take_a_torn_value(void **state) {
    (void)state;
    run(1, 20000 / SLOW);
    run(4, 20000 / SLOW);
}

// ---- an index that grows and shrinks

static bool is_other(void *arg, const fb_item *item) {
    return number_of(item->key) >= KEYS;
}

static void *grow_and_shrink(void *arg) {
    worker *w = arg;
    for (unsigned round = 0; round < w->crew->steps; round++) {
        uint64_t count = 1000 + fb_rng_below(&w->rng, 20000);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t key = KEYS + i;
            fb_item item = {.key = {(const char *)&key, sizeof(key)}, .value = FB_STR("v")};
            w->crew->failed += fb_store_put(w->crew->store, &item, 1, NULL) != FB_OK;
        }
        (void)fb_store_remove_if(w->crew->store, 1, is_other, NULL);
    }
    w->crew->working--;
    return NULL;
}

static void see_key(void *arg, const fb_item *item) {
    *(uint64_t *)arg = number_of(item->value);
}

static void *read_what_stays(void *arg) {
    worker *w = arg;
    while (w->crew->working > 0) {
        uint64_t numbers[BATCH];
        uint64_t seen[BATCH];
        fb_str keys[BATCH];
        void *args[BATCH];
        int results[BATCH];
        for (unsigned i = 0; i < BATCH; i++) {
            numbers[i] = fb_rng_below(&w->rng, KEYS);
            keys[i] = fb_str_make((const char *)&numbers[i], sizeof(numbers[i]));
            args[i] = &seen[i];
        }
        fb_store_get_many(w->crew->store, keys, BATCH, 1, see_key, args, results);
        for (unsigned i = 0; i < BATCH; i++) {
            w->crew->wrong += results[i] != FB_OK || seen[i] != numbers[i];
        }
        w->crew->found++;
    }
    return NULL;
}

static void test_store__what_stays_is_found_while_the_index_grows_and_shrinks(void **state) {
    (void)state;
    enum { GROWERS = 1, LOOKERS = 4 };
    worker workers[GROWERS + LOOKERS];
    pthread_t threads[GROWERS + LOOKERS];
    team crew = {.steps = 100 / SLOW, .working = GROWERS};
    fb_store_options options = {.limit_bytes = UINT64_C(32) << 20, .shard_count = 1, .seed = 9};
    assert_ok(fb_store_new(&options, &crew.store));
    for (uint64_t key = 0; key < KEYS; key++) {
        fb_str text = {(const char *)&key, sizeof(key)};
        fb_item item = {.key = text, .value = text};
        assert_ok(fb_store_put(crew.store, &item, 1, NULL));
    }
    fb_rng rng = test_rng();
    for (unsigned i = 0; i < GROWERS + LOOKERS; i++) {
        workers[i] = (worker){.crew = &crew};
        fb_rng_init(&workers[i].rng, fb_rng_next(&rng));
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i < GROWERS ? grow_and_shrink : read_what_stays,
                                        &workers[i]),
                         0);
    }
    for (unsigned i = 0; i < GROWERS + LOOKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    print_message("%u batches read\n", crew.found);
    assert_int_equal(crew.wrong, 0);
    assert_int_equal(crew.failed, 0);
    fb_store_check(crew.store);
    fb_store_free(crew.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__readers_without_a_lock_never_take_a_torn_value),
        cmocka_unit_test(test_store__what_stays_is_found_while_the_index_grows_and_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
