// Notices of changes: what a watcher may ask while it is called. (What is told is node/tracking's to show.)

#include "cache_rig.h"
#include "store/bucket.h"
#include "store/look.h"
#include "store/region.h"

typedef struct asking {
    fb_cache *cache;
    unsigned calls;
    fb_key_state state;
} asking;

static void ask(void *arg, const fb_change *change) {
    asking *one = arg;
    (void)change;
    one->calls++;
    fb_cache_key_state(one->cache, FB_STR("k"), S(100), &one->state);
}

static fb_shard *shard_of(fb_store *store, fb_str key) {
    return fb_shard_of(store, fb_store_hash(store, key));
}

static fb_bucket *bucket_of(fb_store *store, fb_str key) {
    const fb_shard *shard = shard_of(store, key);
    uint64_t hash = fb_store_hash(store, key);
    return fb_bucket_at(store, shard, fb_split_address(hash, fb_shard_buckets(shard)));
}

// In the middle of a change: whoever insists on reading waits for the lock.
static void begin_change(fb_store *store, fb_str key) {
    fb_shard_lock(shard_of(store, key));
    fb_bucket_begin(bucket_of(store, key));
}

static void end_change(fb_store *store, fb_str key) {
    fb_bucket_end(bucket_of(store, key));
    fb_shard_unlock(shard_of(store, key));
}

static void see(void *arg, const fb_item *item) {
    (void)item;
    ++*(unsigned *)arg;
}

static void test_watchers__one_who_asks_does_not_wait_for_who_writes(void **state) {
    (void)state;
    fb_cache *cache = rig_cache();
    asking one = {.cache = cache};
    assert_ok(fb_cache_put(cache, FB_STR("k"), FB_STR("v"), 0, NULL, 0, S(100)));
    assert_ok(fb_cache_watch(cache, ask, &one));
    fb_cache_tell_unsure(cache);
    assert_true(one.state.found && one.state.fresh);
    // Who changes it has the lock, and may be waiting for a lock that the watcher holds.
    begin_change(fb_cache_store(cache), FB_STR("k"));
    fb_cache_tell_unsure(cache);
    end_change(fb_cache_store(cache), FB_STR("k"));
    assert_int_equal(one.calls, 2);
    assert_false(one.state.found || one.state.fresh);
    fb_cache_tell_unsure(cache);
    assert_true(one.state.found && one.state.fresh);
    fb_cache_unwatch(cache, ask, &one);
    fb_cache_free(cache);
}

static void test_watchers__a_look_finds_what_nobody_is_changing(void **state) {
    (void)state;
    fb_cache *cache = rig_cache();
    fb_store *store = fb_cache_store(cache);
    unsigned seen = 0;
    assert_ok(fb_cache_put(cache, FB_STR("k"), FB_STR("v"), 0, NULL, 0, S(100)));
    assert_ok(fb_store_look(store, FB_STR("k"), S(100), see, &seen));
    assert_int_equal(seen, 1);
    assert_int_equal(fb_store_look(store, FB_STR("other"), S(100), see, &seen), FB_MISS);
    begin_change(store, FB_STR("k"));
    assert_int_equal(fb_store_look(store, FB_STR("k"), S(100), see, &seen), FB_MISS);
    end_change(store, FB_STR("k"));
    assert_int_equal(seen, 1);
    fb_cache_free(cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watchers__one_who_asks_does_not_wait_for_who_writes),
        cmocka_unit_test(test_watchers__a_look_finds_what_nobody_is_changing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
