// What the follower's thread writes while lanes read: marks, stamps, flushes, holds. Run under TSan
// too.

#include <pthread.h>
#include <stdatomic.h>

#include "cache_rig.h"
#include "sync/sync.h"

enum { PARTITIONS = 4, ROUNDS = 3000, READERS = 2 };

typedef struct stage {
    fb_cache *cache;
    fb_sync *sync;
    _Atomic(bool) over;
    _Atomic(uint64_t) truth;  // what the source has under "page:1"
    _Atomic(uint64_t) floor;  // what no read that begins now may be below
    _Atomic(uint64_t) epoch;  // of the stamps; older ones must not count any more
    _Atomic(uint64_t) wrong, reads;
} stage;

static stage make_stage(void) {
    stage made = {NULL};
    fb_cache_options options = {
        .memory_bytes = 8 << 20, .seed = 7, .catalog = rig_catalog(), .partitions = PARTITIONS};
    assert_ok(fb_cache_new(&options, &made.cache));
    fb_sync_options how = {
        .cache = made.cache, .partitions = PARTITIONS, .node = 1, .max_lag_ns = S(2)};
    assert_ok(fb_sync_new(&how, &made.sync));
    for (uint32_t log = 0; log <= PARTITIONS; log++) {
        fb_cache_set_coherent(made.cache, log, S(1000));
    }
    return made;
}

static void run(stage *all, void *(*write)(void *), void *(*read)(void *)) {
    pthread_t readers[READERS], writer;
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read, all), 0);
    }
    assert_int_equal(pthread_create(&writer, NULL, write, all), 0);
    (void)pthread_join(writer, NULL);
    atomic_store(&all->over, true);
    for (int i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i], NULL);
    }
    assert_int_equal(all->wrong, 0);
    assert_true(all->reads > 0);
    fb_sync_free(all->sync);
    fb_cache_free(all->cache);
}

// ---- loads against flushes and holds

static void *flush_and_hold(void *arg) {
    stage *all = arg;
    uint32_t log = fb_cache_partition_of(all->cache, FB_STR("page:1"));
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        atomic_store(&all->truth, i);
        if (i % 3 == 0) {
            fb_cache_hold(all->cache, FB_STR("page:1"), S(200), S(100));
        } else if (i % 7 == 0) {
            fb_cache_flush(all->cache, PARTITIONS, S(100));
        } else {
            fb_cache_flush(all->cache, log, S(100));
        }
        atomic_store(&all->floor, i);
        if (i % 3 == 0) {
            fb_cache_hold(all->cache, FB_STR("page:1"), 0, S(100));
        }
    }
    return NULL;
}

static void load(stage *all) {
    fb_ticket *ticket = NULL;
    fb_value info;
    fb_loaded loaded;
    char text[24];
    const fb_class *class_ = fb_catalog_by_id(fb_cache_catalog(all->cache), RIG_PAGE);
    if (fb_cache_begin(all->cache, class_, FB_STR("page:1"), S(100), &ticket) != FB_OK) {
        return;
    }
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)atomic_load(&all->truth));
    fb_loaded_init(&loaded);
    int result = fb_loaded_value(&loaded, fb_str_of(text));
    loaded.result = FB_OK;
    if (result == FB_OK) {
        result = fb_cache_fill(all->cache, ticket, &loaded, 1, 0, S(100), &info);
    }
    fb_loaded_release(&loaded);
    fb_cache_end(all->cache, ticket);
}

static void *read_and_load(void *arg) {
    stage *all = arg;
    while (!atomic_load(&all->over)) {
        rig_copy copy = {.text = ""};
        fb_found found;
        uint64_t floor = atomic_load(&all->floor);
        if (fb_cache_read(all->cache, FB_STR("page:1"), S(100), NULL, rig_take, &copy, &found) ==
            FB_FIND_NOTHING) {
            load(all);
        } else if (strtoull(copy.text, NULL, 10) < floor) {
            all->wrong++;
        }
        all->reads++;
    }
    return NULL;
}

static void test_follow_threads__no_load_outlives_a_flush_or_a_hold(void **state) {
    stage all = make_stage();
    run(&all, flush_and_hold, read_and_load);
}

// ---- marks and stamps

static void *write_marks(void *arg) {
    stage *all = arg;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        fb_mark mark = {i, 2 * i, 3 * i};
        fb_cache_set_mark(all->cache, 2, &mark);
        fb_sync_stamp stamp = {fb_sync_slot(FB_RECORD_TAG, FB_STR("t")), 2 * i, 0};
        if (i % 16 == 0) {
            fb_sync_stamps_reset(all->sync, &mark, &stamp, 1);
            atomic_store(&all->epoch, i);
        }
    }
    return NULL;
}

static void *read_marks(void *arg) {
    stage *all = arg;
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    int result = fb_loaded_tag(&loaded, FB_STR("t"));
    while (!atomic_load(&all->over) && result == FB_OK) {
        fb_mark mark, wide;
        fb_cache_mark(all->cache, 2, &mark);
        all->wrong += mark.seq != 2 * mark.epoch || mark.nonce != 3 * mark.epoch;
        fb_sync_wide(all->sync, &wide);
        all->wrong += wide.seq != 2 * wide.epoch || wide.nonce != 3 * wide.epoch;
        uint64_t epoch = atomic_load(&all->epoch);
        fb_mark before = {epoch - 1, 2 * epoch, 0};
        all->wrong += fb_sync_judge(all->sync, &before, FB_STR("k"), NULL, &loaded) != FB_WIDE_GONE;
        wide.seq -= wide.seq > 0;  // what was stored before the tag's last
        all->wrong += fb_sync_judge(all->sync, &wide, FB_STR("k"), NULL, &loaded) != FB_WIDE_GONE;
        all->reads++;
    }
    fb_loaded_release(&loaded);
    return NULL;
}

static void test_follow_threads__marks_are_whole_and_no_stamps_of_two_epochs_mix(void **state) {
    stage all = make_stage();
    run(&all, write_marks, read_marks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follow_threads__no_load_outlives_a_flush_or_a_hold),
        cmocka_unit_test(test_follow_threads__marks_are_whole_and_no_stamps_of_two_epochs_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
