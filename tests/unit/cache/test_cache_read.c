// Reading takes no lock: what a reader gets when a writer overtakes it while it looks.

#include "cache/shared.h"
#include "cache_rig.h"
#include "store/race.h"

#include <pthread.h>

// Shows what is found, but first has another thread change it (the first time).
typedef struct overtaking {
    fb_cache *cache;
    void (*change)(fb_cache *cache);
    unsigned calls;
    rig_copy copy;
} overtaking;

static void *change(void *arg) {
    const overtaking *race = arg;
    race->change(race->cache);
    return NULL;
}

static void take_overtaken(void *arg, const fb_value *value) {
    overtaking *race = arg;
    if (race->calls++ == 0) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, change, race), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    rig_take(&race->copy, value);
}

static void put_other(fb_cache *cache) {
    rig_put(cache, "page:1", "a longer one", S(7), S(101));
}

static void invalidate(fb_cache *cache) {
    (void)rig_invalidate(cache, FB_SCOPE_KEY, "page:1", false, S(101));
}

static void read_overtaken(overtaking *race, fb_found *found) {
    assert_ok(rig_load(race->cache, RIG_PAGE, "page:1", "one", NULL, S(100)));
    (void)fb_cache_read(race->cache, FB_STR("page:1"), S(101), NULL, take_overtaken, race, found);
}

static void test_cache__an_overtaken_reader_gets_all_of_the_newer_value(void **state) {
    (void)state;
    overtaking race = {.cache = rig_cache(), .change = put_other};
    fb_found found;
    read_overtaken(&race, &found);
    assert_int_equal(found.find, FB_FIND_FRESH);
    assert_int_equal(race.copy.value.version, found.value.version);
    if (FB_RACE_WATCHED) {  // then it is shown what it then keeps
        assert_string_equal(race.copy.text, "one");
        assert_int_equal(found.fresh_until_ns, S(110));
    } else {
        assert_int_equal(race.calls, 2);
        assert_string_equal(race.copy.text, "a longer one");
        assert_int_equal(found.fresh_until_ns, S(108));
    }
    fb_cache_free(race.cache);
}

static void test_cache__what_goes_while_it_is_read_is_found_no_more(void **state) {
    (void)state;
    overtaking race = {.cache = rig_cache(), .change = invalidate};
    fb_found found;
    read_overtaken(&race, &found);
    assert_int_equal(race.calls, 1);
    if (!FB_RACE_WATCHED) {
        fb_found nothing = {.find = FB_FIND_NOTHING};
        assert_memory_equal(&found, &nothing, sizeof found);
    }
    assert_read(race.cache, "page:1", S(101), "nothing");
    fb_cache_free(race.cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache__an_overtaken_reader_gets_all_of_the_newer_value),
        cmocka_unit_test(test_cache__what_goes_while_it_is_read_is_found_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
