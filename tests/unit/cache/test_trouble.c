// Remembered failures by themselves: how many, for how long, and that nothing is left of them. What
// they mean to callers is test_flight.c's matter.

#include "base/str.h"
#include "cache/shared.h"
#include "cache/trouble.h"
#include "cache_rig.h"

typedef struct table {
    fb_cache *cache;
    fb_trouble_table troubles;
} table;

static void table_init(table *at) {
    at->cache = rig_cache();
    fb_trouble_init(&at->troubles, at->cache, 7);
}

static void table_release(table *at) {
    fb_trouble_release(&at->troubles);
    fb_cache_free(at->cache);
}

static void note(table *at, fb_str key, int64_t now_ns) {
    fb_loaded none;
    fb_loaded_init(&none);
    fb_failure failure = {.key = key, .result = FB_ESOURCE, .tags = &none};
    assert_ok(fb_cache_begin(at->cache, rig_of(at->cache, RIG_PAGE), key, now_ns, &failure.ticket));
    fb_trouble_note(&at->troubles, &failure, now_ns);
}

static bool known(table *at, fb_str key, int64_t now_ns) {
    return fb_trouble_find(&at->troubles, key, now_ns) != NULL;
}

static void test_trouble__long_keys_are_few(void **state) {
    enum { KEYS = 300, LEN = 60000 };
    table at;
    table_init(&at);
    char *bytes = malloc(LEN);
    assert_non_null(bytes);
    memset(bytes, 'k', LEN);
    memcpy(bytes, "page:", 5);
    for (int i = 0; i < KEYS; i++) {
        memcpy(bytes + 5, &i, sizeof i);
        note(&at, fb_str_make(bytes, LEN), S(100));
    }
    assert_true(known(&at, fb_str_make(bytes, LEN), S(100)));  // the newest
    assert_true(at.troubles.map.count * 2 * LEN <= FB_TROUBLE_BYTES_MAX);
    int oldest = 0;
    memcpy(bytes + 5, &oldest, sizeof oldest);
    assert_false(known(&at, fb_str_make(bytes, LEN), S(100)));
    // Failing again and again is no new one.
    for (int i = 0; i < KEYS; i++) {
        note(&at, FB_STR("page:1"), S(100) + i);
    }
    memcpy(bytes + 5, &(int){KEYS - 1}, sizeof(int));
    assert_true(known(&at, fb_str_make(bytes, LEN), S(100)));
    free(bytes);
    table_release(&at);
}

// Writers of a key look at every ticket near it: those of failures long ago must not stay.
static void test_trouble__long_ago_is_forgotten_unasked(void **state) {
    table at;
    table_init(&at);
    char text[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof text, "page:%d", i);
        note(&at, fb_str_of(text), S(100));
    }
    assert_int_equal(at.troubles.map.count, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_false(known(&at, FB_STR("item:1"), S(701)));
    }
    assert_int_equal(at.troubles.map.count, 0);
    assert_null(fb_tickets_lock(at.cache->tickets, FB_STR("page:7")));
    table_release(&at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trouble__long_keys_are_few),
        cmocka_unit_test(test_trouble__long_ago_is_forgotten_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
