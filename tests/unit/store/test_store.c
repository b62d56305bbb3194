// What the store promises call by call.

#include <forebay/store.h>

#include "base/rng.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const int64_t NOW = INT64_C(1000000000);

typedef struct seen {
    unsigned calls;
    char key[64], value[256], extra[64];
    size_t key_len, value_len, extra_len;
    int64_t expires_ns;
    uint64_t version;
    uint16_t class_id;
    uint8_t flags;
} seen;

static void copy(char *to, fb_str bytes, size_t room) {
    if (bytes.len > 0) {
        memcpy(to, bytes.ptr, bytes.len < room ? bytes.len : room);
    }
}

static void see(void *arg, const fb_item *item) {
    seen *what = arg;
    what->calls++;
    what->key_len = item->key.len;
    what->value_len = item->value.len;
    what->extra_len = item->extra.len;
    copy(what->key, item->key, sizeof(what->key));
    copy(what->value, item->value, sizeof(what->value));
    copy(what->extra, item->extra, sizeof(what->extra));
    what->expires_ns = item->expires_ns;
    what->version = item->version;
    what->class_id = item->class_id;
    what->flags = item->flags;
}

static void see_nothing(void *arg, const fb_item *item) {
    (void)arg;
    (void)item;
}

static fb_store *make(uint64_t limit_bytes) {
    fb_store_options options = {.limit_bytes = limit_bytes, .seed = 42};
    fb_store *store = NULL;
    assert_int_equal(fb_store_new(&options, &store), FB_OK);
    return store;
}

static void done(fb_store *store) {
    fb_store_check(store);
    fb_store_free(store);
}

static void put(fb_store *store, const char *key, const char *value, int64_t expires_ns) {
    fb_item item = {.key = fb_str_of(key), .value = fb_str_of(value), .expires_ns = expires_ns};
    assert_int_equal(fb_store_put(store, &item, NOW, NULL), FB_OK);
}

static fb_store_stats stats_of(fb_store *store) {
    fb_store_stats stats;
    fb_store_stats_read(store, &stats);
    return stats;
}

static int number_key(char *text, uint64_t number) {
    return snprintf(text, 32, "key:%llu", (unsigned long long)number);
}

static void test_store__gives_back_all_of_an_item(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    seen what = {0};
    uint64_t version = 0;
    fb_item item = {.key = FB_STR("k"), .value = FB_STR("value"), .extra = FB_STR("more"),
                    .expires_ns = NOW + 5, .class_id = 513, .flags = 7, .version = 99};
    assert_int_equal(fb_store_get(store, item.key, NOW, see, &what), FB_MISS);
    assert_int_equal(fb_store_put(store, &item, NOW, &version), FB_OK);
    assert_int_equal(fb_store_get(store, item.key, NOW, see, &what), FB_OK);
    assert_int_equal(what.calls, 1);
    assert_int_equal(what.key_len, 1);
    assert_int_equal(what.value_len, 5);
    assert_memory_equal(what.value, "value", 5);
    assert_int_equal(what.extra_len, 4);
    assert_memory_equal(what.extra, "more", 4);
    assert_int_equal(what.expires_ns, NOW + 5);
    assert_int_equal(what.class_id, 513);
    assert_int_equal(what.flags, 7);
    assert_int_equal(what.version, version);
    done(store);
}

static void test_store__takes_empty_and_odd_keys_and_values(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    seen what = {0};
    fb_item empty = {.key = {NULL, 0}, .value = {NULL, 0}};
    assert_int_equal(fb_store_put(store, &empty, NOW, NULL), FB_OK);
    assert_int_equal(fb_store_get(store, empty.key, NOW, see, &what), FB_OK);
    assert_int_equal(what.value_len, 0);
    fb_item odd = {.key = fb_str_make("a\0b", 3), .value = fb_str_make("\0", 1)};
    assert_int_equal(fb_store_put(store, &odd, NOW, NULL), FB_OK);
    assert_int_equal(fb_store_get(store, FB_STR("a"), NOW, see, &what), FB_MISS);
    assert_int_equal(fb_store_get(store, odd.key, NOW, see, &what), FB_OK);
    assert_int_equal(what.value_len, 1);
    done(store);
}

static void test_store__an_item_is_gone_at_its_expiry_exactly(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    seen what = {0};
    put(store, "k", "v", NOW + 10);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW + 9, see, &what), FB_OK);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW + 10, see, &what), FB_MISS);
    assert_int_equal(fb_store_peek(store, FB_STR("k"), NOW + 10, see, &what), FB_MISS);
    assert_int_equal(fb_store_del(store, FB_STR("k"), NOW + 10), FB_MISS);
    assert_int_equal(stats_of(store).expirations, 1);
    assert_int_equal(stats_of(store).dels, 0);
    done(store);
}

static void test_store__versions_rise_with_every_store_of_a_key(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    uint64_t before = 0;
    for (unsigned i = 0; i < 100; i++) {
        char value[128] = {0};
        fb_item item = {.key = FB_STR("k"), .value = fb_str_make(value, i)};
        uint64_t version = 0;
        assert_int_equal(fb_store_put(store, &item, NOW, &version), FB_OK);
        assert_true(version > before);
        before = version;
        if (i % 7 == 0) {
            assert_int_equal(fb_store_del(store, FB_STR("k"), NOW), FB_OK);
        }
    }
    done(store);
}

static void test_store__refuses_what_is_too_big_and_keeps_what_was(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    seen what = {0};
    uint64_t most = fb_store_value_max(store);
    char *bytes = calloc(1, most + FB_STORE_KEY_MAX + 2);
    put(store, "k", "old", 0);
    fb_item item = {.key = FB_STR("k"), .value = {bytes, most}};
    assert_int_equal(fb_store_put(store, &item, NOW, NULL), FB_ETOOBIG);
    item.value.len = 1;
    item.extra = (fb_str){bytes, FB_STORE_EXTRA_MAX + 1};
    assert_int_equal(fb_store_put(store, &item, NOW, NULL), FB_ETOOBIG);
    item.extra.len = FB_STORE_EXTRA_MAX;
    item.key = (fb_str){bytes, FB_STORE_KEY_MAX + 1};
    assert_int_equal(fb_store_put(store, &item, NOW, NULL), FB_ETOOBIG);
    item.key.len = FB_STORE_KEY_MAX;
    assert_int_equal(fb_store_put(store, &item, NOW, NULL), FB_OK);
    assert_int_equal(fb_store_get(store, item.key, NOW, see_nothing, NULL), FB_OK);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW, see, &what), FB_OK);
    assert_memory_equal(what.value, "old", 3);
    fb_item largest = {.key = FB_STR("k"), .value = {bytes, most - 1}};
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(fb_store_put(store, &largest, NOW, NULL), FB_OK);
        fb_store_check(store);
        // Another size, so that it is not written in place.
        largest.value.len -= 8;
        assert_int_equal(fb_store_get(store, FB_STR("k"), NOW, see, &what), FB_OK);
        assert_int_equal(what.value_len, largest.value.len + 8);
    }
    free(bytes);
    done(store);
}

static void test_store__refuses_bad_options(void **state) {
    (void)state;
    fb_store *store = NULL;
    fb_store_options small = {.limit_bytes = FB_STORE_LIMIT_MIN - 1};
    assert_int_equal(fb_store_new(&small, &store), FB_EINVAL);
    fb_store_options three = {.limit_bytes = 1 << 24, .shard_count = 3};
    assert_int_equal(fb_store_new(&three, &store), FB_EINVAL);
    fb_store_options many = {.limit_bytes = 1 << 20, .shard_count = 4096};
    assert_int_equal(fb_store_new(&many, &store), FB_EINVAL);
    assert_null(store);
    fb_store_free(NULL);
}

typedef struct plan {
    fb_store_action action;
    const char *value;
    int64_t expires_ns;
    int outcome;
    bool saw;
} plan;

static int follow(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    plan *to_do = arg;
    to_do->saw = item != NULL;
    *action = to_do->action;
    if (to_do->value != NULL) {
        next->value = fb_str_of(to_do->value);
    }
    next->expires_ns = to_do->expires_ns;
    next->flags = 9;
    return to_do->outcome;
}

static void test_store__edits_in_one_step(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    seen what = {0};
    plan create = {.action = FB_STORE_PUT, .value = "one", .outcome = 5};
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &create), 5);
    assert_false(create.saw);
    plan fail = {.action = FB_STORE_PUT, .value = "two", .outcome = FB_EINVAL};
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &fail), FB_EINVAL);
    assert_true(fail.saw);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW, see, &what), FB_OK);
    assert_memory_equal(what.value, "one", 3);
    uint64_t version = what.version;
    plan touch = {.action = FB_STORE_META, .expires_ns = NOW + 9};
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &touch), 0);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW, see, &what), FB_OK);
    assert_int_equal(what.expires_ns, NOW + 9);
    assert_int_equal(what.flags, 9);
    assert_int_equal(what.version, version);
    assert_memory_equal(what.value, "one", 3);
    plan never = {.action = FB_STORE_META};
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &never), 0);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW + 99, see, &what), FB_OK);
    plan keep = {.action = FB_STORE_KEEP, .outcome = 3};
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &keep), 3);
    plan drop = {.action = FB_STORE_DELETE};
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &drop), 0);
    assert_int_equal(fb_store_get(store, FB_STR("k"), NOW, see, &what), FB_MISS);
    assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, follow, &drop), 0);
    assert_false(drop.saw);
    done(store);
}

// Takes the value's middle: it points into what is about to be replaced.
static int cut(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    (void)arg;
    next->value = fb_str_make(item->value.ptr + 1, item->value.len - 2);
    *action = FB_STORE_PUT;
    return FB_OK;
}

static void test_store__an_edit_may_store_parts_of_the_old_value(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    char value[201];
    for (unsigned i = 0; i < 200; i++) {
        value[i] = (char)('a' + i % 26);
    }
    value[200] = 0;
    put(store, "k", value, NOW + 100);
    for (unsigned i = 1; i < 100; i++) {
        seen what = {0};
        assert_int_equal(fb_store_edit(store, FB_STR("k"), NOW, cut, NULL), FB_OK);
        assert_int_equal(fb_store_get(store, FB_STR("k"), NOW, see, &what), FB_OK);
        assert_int_equal(what.value_len, 200 - 2 * i);
        assert_memory_equal(what.value, value + i, what.value_len);
    }
    done(store);
}

// Extra and value change places: each is written where the other is read from.
static int swap(void *arg, const fb_item *item, fb_item *next, fb_store_action *action) {
    (void)arg;
    next->value = item->extra;
    next->extra = item->value;
    *action = FB_STORE_PUT;
    return FB_OK;
}

static void test_store__an_edit_may_swap_parts_of_the_item(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    seen what = {0};
    fb_item item = {.key = FB_STR("k"), .value = FB_STR("abcdefghijk"), .extra = FB_STR("12345")};
    assert_int_equal(fb_store_put(store, &item, NOW, NULL), FB_OK);
    assert_int_equal(fb_store_edit(store, item.key, NOW, swap, NULL), FB_OK);
    assert_int_equal(fb_store_get(store, item.key, NOW, see, &what), FB_OK);
    assert_int_equal(what.value_len, 5);
    assert_memory_equal(what.value, "12345", 5);
    assert_int_equal(what.extra_len, 11);
    assert_memory_equal(what.extra, "abcdefghijk", 11);
    done(store);
}

static void test_store__gets_many_at_once(void **state) {
    (void)state;
    fb_store *store = make(1 << 20);
    enum { KEYS = 50 };
    static char texts[KEYS][32];
    fb_str keys[KEYS];
    seen what[KEYS] = {0};
    void *args[KEYS];
    int results[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        number_key(texts[i], i);
        keys[i] = fb_str_of(texts[i]);
        args[i] = &what[i];
        if (i % 3 != 0) {
            put(store, texts[i], texts[i], 0);
        }
    }
    fb_store_get_many(store, keys, KEYS, NOW, see, args, results);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(results[i], i % 3 != 0 ? FB_OK : FB_MISS);
        assert_int_equal(what[i].calls, i % 3 != 0);
        assert_memory_equal(what[i].value, texts[i], what[i].value_len);
    }
    done(store);
}

static bool even(void *arg, const fb_item *item) {
    (void)arg;
    return (item->key.ptr[item->key.len - 1] - '0') % 2 == 0;
}

static void test_store__removes_what_is_picked(void **state) {
    (void)state;
    fb_store *store = make(1 << 24);
    char text[32];
    for (unsigned i = 0; i < 20000; i++) {
        number_key(text, i);
        put(store, text, "v", 0);
    }
    assert_int_equal(fb_store_remove_if(store, NOW, even, NULL), 10000);
    fb_store_check(store);
    for (unsigned i = 0; i < 20000; i++) {
        fb_str key = fb_str_make(text, (size_t)number_key(text, i));
        assert_int_equal(fb_store_get(store, key, NOW, see_nothing, NULL),
                         i % 2 == 0 ? FB_MISS : FB_OK);
    }
    assert_int_equal(fb_store_clear(store), 10000);
    assert_int_equal(stats_of(store).items, 0);
    done(store);
}

static void test_store__sweeping_gives_back_what_expired(void **state) {
    (void)state;
    fb_store *store = make(1 << 24);
    char text[32];
    uint64_t empty = stats_of(store).used_bytes;
    for (unsigned i = 0; i < 20000; i++) {
        number_key(text, i);
        put(store, text, "some value or other", NOW + 1 + i % 4);
    }
    assert_int_equal(fb_store_sweep(store, NOW, 1000000), 0);
    uint64_t removed = 0;
    for (unsigned i = 0; i < 1000 && removed < 10000; i++) {
        uint64_t some = fb_store_sweep(store, NOW + 2, 1000);
        // A segment is swept whole, so the budget may be overdrawn by one.
        assert_true(some < 2000);
        removed += some;
    }
    assert_int_equal(removed, 10000);
    assert_int_equal(stats_of(store).items, 10000);
    fb_store_check(store);
    assert_int_equal(fb_store_sweep(store, NOW + 9, 1000000), 10000);
    assert_int_equal(stats_of(store).items, 0);
    assert_int_equal(stats_of(store).expirations, 20000);
    assert_true(stats_of(store).used_bytes < empty + (1 << 18));
    done(store);
}

static bool not_odd(void *arg, const fb_item *item) {
    (*(unsigned *)arg)++;
    return even(NULL, item);
}

static void test_store__sweeping_asks_the_layer_above(void **state) {
    (void)state;
    unsigned asked = 0;
    fb_store_options options = {
        .limit_bytes = 1 << 24, .seed = 1, .alive = not_odd, .alive_arg = &asked};
    fb_store *store = NULL;
    assert_int_equal(fb_store_new(&options, &store), FB_OK);
    char text[32];
    for (unsigned i = 0; i < 10000; i++) {
        number_key(text, i);
        put(store, text, "v", 0);
    }
    uint64_t removed = 0;
    for (unsigned i = 0; i < 200; i++) {
        removed += fb_store_sweep(store, NOW, 500);
    }
    assert_int_equal(removed, 5000);
    assert_int_equal(stats_of(store).items, 5000);
    done(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__gives_back_all_of_an_item),
        cmocka_unit_test(test_store__takes_empty_and_odd_keys_and_values),
        cmocka_unit_test(test_store__an_item_is_gone_at_its_expiry_exactly),
        cmocka_unit_test(test_store__versions_rise_with_every_store_of_a_key),
        cmocka_unit_test(test_store__refuses_what_is_too_big_and_keeps_what_was),
        cmocka_unit_test(test_store__refuses_bad_options),
        cmocka_unit_test(test_store__edits_in_one_step),
        cmocka_unit_test(test_store__an_edit_may_store_parts_of_the_old_value),
        cmocka_unit_test(test_store__an_edit_may_swap_parts_of_the_item),
        cmocka_unit_test(test_store__gets_many_at_once),
        cmocka_unit_test(test_store__removes_what_is_picked),
        cmocka_unit_test(test_store__sweeping_gives_back_what_expired),
        cmocka_unit_test(test_store__sweeping_asks_the_layer_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
