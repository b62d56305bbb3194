// Random programs against an oracle that is one array. The oracle knows what was stored; the store
// may have evicted some of it, but then it must have counted that, and with room for everything it
// must not. Where the store lies in a file, it is restarted now and then, and what is asked for is
// asked for through a handle for reading, too.

#include <forebay/store.h>

#include "support.h"

#include <sys/mman.h>
#include <unistd.h>

enum { KEYS_MAX = 4000, VALUE_MAX = 200000 };

// What the oracle knows of one key. The value's bytes follow from `nonce`.
typedef struct known {
    bool there;
    uint64_t nonce, value_len, version;
    int64_t expires_ns;
    uint8_t extra_len, flags;
    uint16_t class_id;
} known;

typedef struct world {
    fb_store *store;
    fb_store *reader;  // of the same file
    fb_store_options options;
    fb_rng rng;
    int64_t now_ns;
    unsigned key_count;
    uint64_t value_max;
    bool may_expire, may_evict;
    uint64_t lost;  // there, as far as the oracle knows, and not expired, and yet missed
    known keys[KEYS_MAX];
    bool seen[KEYS_MAX];
} world;

static char bytes[VALUE_MAX + 4096];

static uint64_t below(world *w, uint64_t bound) {
    return fb_rng_below(&w->rng, bound);
}

// Keys of very different lengths, each a function of its number.
static fb_str key_of(unsigned number, char *text) {
    int len = snprintf(text, 64, "%u:", number);
    size_t more = number % 97 == 0 ? 3000 : number % 40;
    memset(text + len, 'a' + (int)(number % 26), more);
    return fb_str_make(text, (size_t)len + more);
}

static fb_str value_of(const known *what) {
    return fb_str_make(bytes + what->nonce % 4096, what->value_len);
}

static void expire(world *w, known *what) {
    if (what->there && what->expires_ns != 0 && what->expires_ns <= w->now_ns) {
        what->there = false;
    }
}

static void compare(void *arg, const fb_item *item) {
    const known *what = arg;
    assert_true(what->there);
    assert_true(fb_str_equal(item->value, value_of(what)));
    assert_int_equal(item->extra.len, what->extra_len);
    assert_memory_equal(item->extra.ptr, bytes + what->nonce % 1000, what->extra_len);
    assert_int_equal(item->expires_ns, what->expires_ns);
    assert_int_equal(item->flags, what->flags);
    assert_int_equal(item->class_id, what->class_id);
    assert_int_equal(item->version, what->version);
}

static void learn(world *w, known *what, int result) {
    assert_true(result == FB_OK || result == FB_MISS);
    if (what->there && result == FB_MISS) {
        assert_true(w->may_evict);
        w->lost++;
        what->there = false;
    }
    assert_int_equal(result, what->there ? FB_OK : FB_MISS);
}

// Brings the oracle up to date with one key, without a trace in the store.
static void peek(world *w, unsigned number) {
    char text[4096];
    known *what = &w->keys[number];
    expire(w, what);
    int result = fb_store_peek(w->store, key_of(number, text), w->now_ns, compare, what);
    learn(w, what, result);
    if (w->reader != NULL) {
        assert_result(fb_store_peek(w->reader, key_of(number, text), w->now_ns, compare, what),
                      result);
    }
}

static known invent(world *w) {
    uint64_t most = below(w, 20) == 0 ? w->value_max : below(w, 4) == 0 ? 6000 : 300;
    known what = {.there = true, .nonce = below(w, 1000000), .value_len = below(w, most + 1)};
    what.flags = (uint8_t)below(w, 256);
    what.class_id = (uint16_t)below(w, 65536);
    what.extra_len = (uint8_t)(below(w, 3) == 0 ? below(w, 256) : 0);
    if (w->may_expire && below(w, 2) == 0) {
        what.expires_ns = w->now_ns + 1 + (int64_t)below(w, 3000);
    }
    return what;
}

static void describe(const known *what, fb_item *item) {
    item->value = value_of(what);
    item->extra = fb_str_make(bytes + what->nonce % 1000, what->extra_len);
    item->expires_ns = what->expires_ns;
    item->flags = what->flags;
    item->class_id = what->class_id;
}

static void put(world *w, unsigned number) {
    char text[4096];
    known what = invent(w);
    fb_item item = {.key = key_of(number, text)};
    describe(&what, &item);
    assert_ok(fb_store_put(w->store, &item, w->now_ns, &what.version));
    w->keys[number] = what;
}

// What an edit is to find, and to leave.
typedef struct change {
    known before, after;
    fb_store_action action;
} change;

static int apply(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    change *edit = arg;
    assert_int_equal(item != NULL, edit->before.there);
    if (item != NULL) {
        compare(&edit->before, item);
    }
    *action = item == NULL && edit->action == FB_STORE_META ? FB_STORE_KEEP : edit->action;
    if (edit->action == FB_STORE_PUT) {
        describe(&edit->after, next);
        edit->after.version = next->version;
    }
    if (edit->action == FB_STORE_META) {
        next->expires_ns = edit->after.expires_ns;
        next->flags = edit->after.flags;
        next->class_id = edit->after.class_id;
    }
    return 77;
}

static void edit(world *w, unsigned number) {
    static const fb_store_action actions[] = {FB_STORE_KEEP, FB_STORE_PUT, FB_STORE_PUT,
                                              FB_STORE_DELETE, FB_STORE_META};
    char text[4096];
    known *what = &w->keys[number];
    change to_do = {.before = *what, .after = invent(w), .action = actions[below(w, 5)]};
    assert_int_equal(fb_store_edit(w->store, key_of(number, text), w->now_ns, apply, &to_do), 77);
    if (to_do.action == FB_STORE_PUT) {
        *what = to_do.after;
    } else if (to_do.action == FB_STORE_DELETE) {
        what->there = false;
    } else if (to_do.action == FB_STORE_META && what->there) {
        what->expires_ns = to_do.after.expires_ns;
        what->flags = to_do.after.flags;
        what->class_id = to_do.after.class_id;
    }
}

static void visit(void *arg, const fb_item *item) {
    world *w = arg;
    unsigned number = (unsigned)strtoul(item->key.ptr, NULL, 10);
    assert_true(number < w->key_count);
    compare(&w->keys[number], item);
    w->seen[number] = true;
}

// A whole scan shows exactly what is there.
static void scan(world *w) {
    uint64_t cursor = 0;
    memset(w->seen, 0, sizeof(w->seen));
    do {
        cursor = fb_store_scan(w->store, cursor, 1 + below(w, 100), w->now_ns, visit, w);
    } while (cursor != 0);
    for (unsigned i = 0; i < w->key_count; i++) {
        peek(w, i);
        assert_int_equal(w->seen[i], w->keys[i].there);
    }
}

static bool pick(void *arg, const fb_item *item) {
    return strtoul(item->key.ptr, NULL, 10) % 16 == *(unsigned *)arg;
}

static void remove_some(world *w) {
    unsigned rest = (unsigned)below(w, 16);
    uint64_t expected = 0;
    for (unsigned i = 0; i < w->key_count; i++) {
        peek(w, i);
        if (i % 16 == rest) {
            expected += w->keys[i].there;
            w->keys[i].there = false;
        }
    }
    assert_int_equal(fb_store_remove_if(w->store, w->now_ns, pick, &rest), expected);
}

static void get_many(world *w) {
    enum { COUNT = 40 };
    static char texts[COUNT][4096];
    fb_str keys[COUNT];
    void *args[COUNT];
    int results[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned number = (unsigned)below(w, w->key_count);
        keys[i] = key_of(number, texts[i]);
        args[i] = &w->keys[number];
        expire(w, &w->keys[number]);
    }
    fb_store_get_many(w->store, keys, COUNT, w->now_ns, compare, args, results);
    for (unsigned i = 0; i < COUNT; i++) {
        learn(w, args[i], results[i]);
    }
}

static void del(world *w, unsigned number) {
    char text[4096];
    known *what = &w->keys[number];
    assert_int_equal(fb_store_del(w->store, key_of(number, text), w->now_ns),
                     what->there ? FB_OK : FB_MISS);
    what->there = false;
}

static void get(world *w, unsigned number) {
    char text[4096];
    known *what = &w->keys[number];
    assert_int_equal(fb_store_get(w->store, key_of(number, text), w->now_ns, compare, what),
                     what->there ? FB_OK : FB_MISS);
}

static void get_copy(world *w, unsigned number) {
    static char copy[sizeof(bytes)];
    char text[4096];
    const known *what = &w->keys[number];
    fb_item item;
    size_t room = below(w, 2) == 0 ? sizeof(copy) : below(w, 500);
    int result = fb_store_get_copy(w->store, key_of(number, text), w->now_ns, copy, room, &item);
    if (!what->there) {
        assert_result(result, FB_MISS);
    } else if (what->value_len + what->extra_len > room) {
        assert_result(result, FB_ETOOBIG);
        assert_int_equal(item.value.len, what->value_len);
        assert_int_equal(item.extra.len, what->extra_len);
    } else {
        assert_ok(result);
        compare((void *)(uintptr_t)what, &item);
    }
}

static void put_if(world *w, unsigned number) {
    char text[4096];
    known *old = &w->keys[number];
    known what = invent(w);
    fb_item item = {.key = key_of(number, text)};
    describe(&what, &item);
    fb_store_if condition = (fb_store_if)below(w, 3);
    uint64_t expected = old->version + (below(w, 3) == 0);
    bool holds = condition == FB_STORE_IF_ABSENT    ? !old->there
                 : condition == FB_STORE_IF_PRESENT ? old->there
                                                    : old->there && expected == old->version;
    assert_result(fb_store_put_if(w->store, &item, condition, expected, w->now_ns, &what.version),
                  holds ? FB_OK : FB_REFUSED);
    if (holds) {
        *old = what;
    }
}

static void touch(world *w, unsigned number) {
    char text[4096];
    known *what = &w->keys[number];
    int64_t expires_ns = 0;
    if (w->may_expire && below(w, 4) > 0) {
        expires_ns = w->now_ns + 1 + (int64_t)below(w, 3000);
    }
    assert_result(fb_store_touch(w->store, key_of(number, text), expires_ns, w->now_ns),
                  what->there ? FB_OK : FB_MISS);
    what->expires_ns = expires_ns;
}

static void restart(world *w) {
    fb_store_adopted adopted;
    fb_store_stats before, after;
    fb_store_stats_read(w->store, &before);
    fb_store_free(w->store);
    assert_ok(fb_store_adopt(&w->options, &w->store, &adopted, NULL));
    fb_store_check(w->store);
    fb_store_stats_read(w->store, &after);
    assert_int_equal(adopted.shards_dropped, 0);
    assert_int_equal(adopted.items, before.items);
    assert_int_equal(after.items, before.items);
    assert_int_equal(after.evictions, before.evictions);
}

static void rare_step(world *w) {
    switch (below(w, 6)) {
        case 3:
            if (w->reader != NULL) {
                restart(w);
            }
            break;
        case 0:
            scan(w);
            break;
        case 1:
            remove_some(w);
            break;
        case 2:
            (void)fb_store_sweep(w->store, w->now_ns, below(w, 3000));
            break;
        default:
            fb_store_check(w->store);
            break;
    }
}

static void step(world *w) {
    unsigned number = (unsigned)below(w, w->key_count);
    w->now_ns += (int64_t)below(w, 3);
    if (below(w, 400) == 0) {
        rare_step(w);
        return;
    }
    peek(w, number);
    switch (below(w, 16)) {
        case 12:
        case 13:
            get_copy(w, number);
            break;
        case 14:
            put_if(w, number);
            break;
        case 15:
            touch(w, number);
            break;
        case 0:
            del(w, number);
            break;
        case 1:
        case 2:
            edit(w, number);
            break;
        case 3:
            get_many(w);
            break;
        case 4:
        case 5:
        case 6:
        case 7:
            get(w, number);
            break;
        default:
            put(w, number);
            break;
    }
}

static void finish(world *w) {
    fb_store_stats stats;
    uint64_t there = 0;
    for (unsigned i = 0; i < w->key_count; i++) {
        peek(w, i);
        there += w->keys[i].there;
    }
    for (unsigned i = 0; i < 10000; i++) {
        (void)fb_store_sweep(w->store, w->now_ns, 10000);
    }
    fb_store_check(w->store);
    fb_store_stats_read(w->store, &stats);
    assert_int_equal(stats.items, there);
    assert_true(stats.used_bytes <= stats.limit_bytes);
    if (w->may_expire) {
        // What was evicted and would have expired before it was missed is not in `lost`.
        assert_true(w->lost <= stats.evictions);
    } else {
        assert_int_equal(w->lost, stats.evictions);
    }
    assert_true(w->may_evict || stats.evictions == 0);
    fb_store_free(w->reader);
    fb_store_free(w->store);
}

static void run(world *w, const fb_store_options *options, unsigned steps) {
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 2654435761U >> 13);
    }
    w->rng = test_rng();
    w->now_ns = 1;
    w->options = *options;
    assert_ok(fb_store_new(options, &w->store));
    if (options->in_file) {
        assert_ok(fb_store_attach(options->fd, 0, 0, &w->reader, NULL));
    }
    w->value_max = fb_store_value_max(w->store) - 4000;
    w->value_max = w->value_max < VALUE_MAX ? w->value_max : VALUE_MAX;
    for (unsigned i = 0; i < steps; i++) {
        step(w);
    }
    finish(w);
}

static void test_store__loses_nothing_while_there_is_room(void **state) {
    (void)state;
    static world w;
    w = (world){.key_count = 2000, .may_expire = true};
    fb_store_options options = {.limit_bytes = UINT64_C(2) << 30, .seed = 5};
    run(&w, &options, 60000);
}

static void test_store__counts_every_item_it_evicts(void **state) {
    (void)state;
    static world w;
    static const uint32_t shards[] = {0, 1, 4, 16};
    for (unsigned i = 0; i < 4; i++) {
        w = (world){.key_count = KEYS_MAX, .may_evict = true};
        fb_store_options options = {
            .limit_bytes = UINT64_C(1) << 20, .seed = i, .shard_count = shards[i]};
        run(&w, &options, 40000);
    }
}

static void test_store__expiry_and_eviction_together_lose_nothing_else(void **state) {
    (void)state;
    static world w;
    for (unsigned i = 0; i < 4; i++) {
        w = (world){.key_count = KEYS_MAX, .may_evict = true, .may_expire = true};
        fb_store_options options = {.limit_bytes = UINT64_C(1) << (20 + i), .seed = i};
        run(&w, &options, 40000);
    }
}

static void test_store__restarts_lose_nothing_either(void **state) {
    (void)state;
    static world w;
    for (unsigned i = 0; i < 4; i++) {
        w = (world){.key_count = KEYS_MAX, .may_evict = i > 0, .may_expire = i % 2 == 0};
        fb_store_options options = {.limit_bytes = UINT64_C(1) << (i == 0 ? 28 : 19 + i),
                                    .seed = i,
                                    .in_file = true,
                                    .fd = memfd_create("region", MFD_CLOEXEC)};
        run(&w, &options, 40000);
        (void)close(options.fd);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__loses_nothing_while_there_is_room),
        cmocka_unit_test(test_store__counts_every_item_it_evicts),
        cmocka_unit_test(test_store__expiry_and_eviction_together_lose_nothing_else),
        cmocka_unit_test(test_store__restarts_lose_nothing_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
