// The reading calls, one thread at a time: what they give, and what a reader is shown when a writer
// overtakes it.

#include <forebay/store.h>

#include "store/race.h"
#include "store/region.h"
#include "support.h"

#include <pthread.h>

static fb_store *make(void) {
    fb_store_options options = {.limit_bytes = UINT64_C(8) << 20, .seed = 4};
    fb_store *store = NULL;
    assert_ok(fb_store_new(&options, &store));
    return store;
}

static uint64_t put(fb_store *store, const char *key, const char *value) {
    uint64_t version = 0;
    fb_item item = {.key = fb_str_of(key), .value = fb_str_of(value)};
    assert_ok(fb_store_put(store, &item, 1, &version));
    return version;
}

static void expect(fb_store *store, const char *key, const char *value) {
    char bytes[100];
    fb_item item;
    assert_ok(fb_store_get_copy(store, fb_str_of(key), 1, bytes, sizeof(bytes), &item));
    assert_str(item.value, value);
}

// ---- copies

static void test_store__a_copy_has_all_of_the_item(void **state) {
    (void)state;
    fb_store *store = make();
    fb_item item = {.key = FB_STR("key"), .value = FB_STR("value"), .extra = FB_STR("beside")};
    item.expires_ns = 100;
    item.class_id = 7;
    item.flags = 9;
    uint64_t version;
    assert_ok(fb_store_put(store, &item, 1, &version));
    char bytes[11];
    fb_item got;
    assert_ok(fb_store_get_copy(store, FB_STR("key"), 99, bytes, sizeof(bytes), &got));
    assert_str(got.key, "key");
    assert_str(got.value, "value");
    assert_str(got.extra, "beside");
    assert_ptr_equal(got.extra.ptr, bytes);
    assert_int_equal(got.expires_ns, 100);
    assert_int_equal(got.class_id, 7);
    assert_int_equal(got.flags, 9);
    assert_int_equal(got.version, version);
    assert_result(fb_store_get_copy(store, FB_STR("key"), 100, bytes, 11, &got), FB_MISS);
    assert_result(fb_store_get_copy(store, FB_STR("kez"), 99, bytes, 11, &got), FB_MISS);
    fb_store_free(store);
}

static void test_store__a_copy_says_how_much_room_it_takes(void **state) {
    (void)state;
    fb_store *store = make();
    fb_item item = {.key = FB_STR("key"), .value = FB_STR("value"), .extra = FB_STR("beside")};
    assert_ok(fb_store_put(store, &item, 1, NULL));
    char bytes[11] = "untouched.";
    fb_item got;
    for (size_t room = 0; room < 11; room++) {
        assert_result(fb_store_get_copy(store, FB_STR("key"), 1, bytes, room, &got), FB_ETOOBIG);
        assert_null(got.value.ptr);
        assert_null(got.extra.ptr);
        assert_int_equal(got.value.len, 5);
        assert_int_equal(got.extra.len, 6);
    }
    assert_string_equal(bytes, "untouched.");
    put(store, "empty", "");
    assert_ok(fb_store_get_copy(store, FB_STR("empty"), 1, NULL, 0, &got));
    assert_int_equal(got.value.len, 0);
    fb_store_free(store);
}

// ---- conditions

static int put_if(fb_store *store, const char *value, fb_store_if condition, uint64_t expected,
                  uint64_t *version) {
    fb_item item = {.key = FB_STR("key"), .value = fb_str_of(value), .expires_ns = 50};
    return fb_store_put_if(store, &item, condition, expected, 1, version);
}

static void test_store__stores_on_conditions(void **state) {
    (void)state;
    fb_store *store = make();
    uint64_t first = 0;
    uint64_t second = 0;
    uint64_t none = 77;
    assert_result(put_if(store, "a", FB_STORE_IF_PRESENT, 0, &none), FB_REFUSED);
    assert_result(put_if(store, "a", FB_STORE_IF_VERSION, 0, &none), FB_REFUSED);
    assert_result(fb_store_del(store, FB_STR("key"), 1), FB_MISS);
    assert_ok(put_if(store, "a", FB_STORE_IF_ABSENT, 0, &first));
    assert_result(put_if(store, "b", FB_STORE_IF_ABSENT, 0, &none), FB_REFUSED);
    assert_result(put_if(store, "b", FB_STORE_IF_VERSION, first + 1, &none), FB_REFUSED);
    expect(store, "key", "a");
    assert_ok(put_if(store, "b", FB_STORE_IF_VERSION, first, &second));
    assert_true(second > first);
    assert_result(put_if(store, "c", FB_STORE_IF_VERSION, first, &none), FB_REFUSED);
    expect(store, "key", "b");
    assert_ok(put_if(store, "c", FB_STORE_IF_PRESENT, 0, NULL));
    expect(store, "key", "c");
    assert_int_equal(none, 77);
    fb_store_free(store);
}

static void test_store__what_has_expired_is_absent_to_conditions(void **state) {
    (void)state;
    fb_store *store = make();
    uint64_t version = 0;
    assert_ok(put_if(store, "a", FB_STORE_IF_ABSENT, 0, &version));
    fb_item item = {.key = FB_STR("key"), .value = FB_STR("b")};
    assert_result(fb_store_put_if(store, &item, FB_STORE_IF_PRESENT, 0, 50, NULL), FB_REFUSED);
    assert_result(fb_store_put_if(store, &item, FB_STORE_IF_VERSION, version, 50, NULL),
                  FB_REFUSED);
    assert_ok(fb_store_put_if(store, &item, FB_STORE_IF_ABSENT, 0, 50, NULL));
    item.value.len = FB_STORE_LIMIT_MIN * 8;
    assert_result(fb_store_put_if(store, &item, FB_STORE_IF_PRESENT, 0, 50, NULL), FB_ETOOBIG);
    expect(store, "key", "b");
    fb_store_free(store);
}

static int64_t expires(fb_store *store, const char *key, int64_t now_ns) {
    char bytes[100];
    fb_item item;
    int result =
        fb_store_get_copy(store, fb_str_of(key), now_ns, bytes, sizeof(bytes), &item);
    return result == FB_OK ? item.expires_ns : -1;
}

static void test_store__a_touch_changes_the_expiry_alone(void **state) {
    (void)state;
    fb_store *store = make();
    uint64_t version = put(store, "key", "value");
    assert_result(fb_store_touch(store, FB_STR("other"), 10, 1), FB_MISS);
    static char endless[FB_STORE_KEY_MAX + 1];
    assert_result(fb_store_touch(store, fb_str_make(endless, sizeof(endless)), 10, 1), FB_MISS);
    static const int64_t times[] = {10, 5, 0, 20, 0};
    for (unsigned i = 0; i < 5; i++) {
        assert_ok(fb_store_touch(store, FB_STR("key"), times[i], 1));
        assert_int_equal(expires(store, "key", 1), times[i]);
        char bytes[100];
        fb_item item;
        assert_ok(fb_store_get_copy(store, FB_STR("key"), 1, bytes, sizeof(bytes), &item));
        assert_int_equal(item.version, version);
        assert_str(item.value, "value");
        fb_store_check(store);
    }
    assert_ok(fb_store_touch(store, FB_STR("key"), 30, 1));
    assert_int_equal(expires(store, "key", 29), 30);
    assert_int_equal(expires(store, "key", 30), -1);
    assert_result(fb_store_touch(store, FB_STR("key"), 99, 30), FB_MISS);
    fb_store_free(store);
}

// ---- uses

static void forget(void *arg, const fb_item *item) {
}

static void test_store__a_use_by_hash_keeps_an_item(void **state) {
    (void)state;
    // Far more than fits goes by. What is used now and then stays, also by its hash alone; what is
    // only peeked at goes.
    fb_store_options options = {.limit_bytes = FB_STORE_LIMIT_MIN, .seed = 6};
    fb_store *store = NULL;
    assert_ok(fb_store_new(&options, &store));
    uint64_t hash = fb_store_hash(store, FB_STR("used"));
    put(store, "used", "value");
    put(store, "peeked", "value");
    fb_store_use(store, fb_store_hash(store, FB_STR("nobody")));
    int peeked = FB_OK;
    for (unsigned i = 0; i < 20000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "passer-by:%u", i);
        put(store, key, "a value that takes some room, so that others have to go for it");
        fb_store_use(store, hash);
        peeked = fb_store_peek(store, FB_STR("peeked"), 1, forget, NULL);
    }
    assert_result(peeked, FB_MISS);
    expect(store, "used", "value");
    fb_store_free(store);
}

// ---- overtaken readers

// A callback that has another thread do something, and waits for it: a writer overtakes a reader.
typedef struct overtaking {
    fb_store *store;
    unsigned calls, changes;
    bool remove;
    char seen[32];
} overtaking;

static void *change(void *arg) {
    overtaking *race = arg;
    char value[32];
    if (race->remove) {
        assert_ok(fb_store_del(race->store, FB_STR("key"), 1));
    } else {
        snprintf(value, sizeof(value), "value %u", race->calls);
        put(race->store, "key", value);
    }
    return NULL;
}

static void be_overtaken(void *arg, const fb_item *item) {
    overtaking *race = arg;
    race->calls++;
    if (race->calls <= race->changes) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, change, race), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    snprintf(race->seen, sizeof(race->seen), "%.*s", FB_STR_ARG(item->value));
}

static void test_store__an_overtaken_reader_is_shown_the_newer_value(void **state) {
    (void)state;
    overtaking race = {.store = make(), .changes = 5};
    put(race.store, "key", "value 0");
    assert_ok(fb_store_get(race.store, FB_STR("key"), 1, be_overtaken, &race));
    if (FB_RACE_WATCHED) {  // then what is lent was confirmed before
        assert_int_equal(race.calls, 1);
        assert_string_equal(race.seen, "value 0");
    } else {
        assert_int_equal(race.calls, 6);
        assert_string_equal(race.seen, "value 5");
    }
    fb_store_free(race.store);
}

// Changes the item each time, but while the reader has the lock.
static void storm(void *arg, const fb_item *item) {
    overtaking *race = arg;
    fb_str key = FB_STR("key");
    const fb_shard *shard = fb_shard_of(race->store, fb_store_hash(race->store, key));
    if (!shard->busy) {
        race->changes = race->calls + 1;
    }
    be_overtaken(arg, item);
}

static void test_store__a_storm_of_writers_cannot_starve_a_reader(void **state) {
    (void)state;
    overtaking race = {.store = make()};
    char last[32];
    put(race.store, "key", "value 0");
    assert_ok(fb_store_get(race.store, FB_STR("key"), 1, storm, &race));
    if (!FB_RACE_WATCHED) {
        snprintf(last, sizeof(last), "value %u", race.changes);
        assert_string_equal(race.seen, last);
        assert_int_equal(race.calls, race.changes + 1);
    }
    fb_store_free(race.store);
}

static void test_store__what_goes_while_it_is_read_is_a_miss(void **state) {
    (void)state;
    overtaking race = {.store = make(), .changes = 1, .remove = true};
    put(race.store, "key", "value 0");
    int result = fb_store_get(race.store, FB_STR("key"), 1, be_overtaken, &race);
    assert_result(result, FB_RACE_WATCHED ? FB_OK : FB_MISS);
    assert_int_equal(race.calls, 1);
    fb_store_free(race.store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store__a_copy_has_all_of_the_item),
        cmocka_unit_test(test_store__a_copy_says_how_much_room_it_takes),
        cmocka_unit_test(test_store__stores_on_conditions),
        cmocka_unit_test(test_store__what_has_expired_is_absent_to_conditions),
        cmocka_unit_test(test_store__a_touch_changes_the_expiry_alone),
        cmocka_unit_test(test_store__a_use_by_hash_keeps_an_item),
        cmocka_unit_test(test_store__an_overtaken_reader_is_shown_the_newer_value),
        cmocka_unit_test(test_store__a_storm_of_writers_cannot_starve_a_reader),
        cmocka_unit_test(test_store__what_goes_while_it_is_read_is_a_miss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
