// Rules of what memory knows of the shared tier: each is taken out, and a short history that ends
// well with it shows an old value.

#include "base/rule.h"
#include "region_rig.h"

static fb_cache *make_cache(int fd, uint32_t partitions, bool keep) {
    fb_class_options item = rig_item();
    item.degraded = FB_DEGRADED_BYPASS;
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, rig_page()), rig_class(RIG_ITEM, item)};
    fb_error error = {0};
    fb_cache_region region = {.fd = fd, .boot = RIG_BOOT, .keep = keep, .error = &error};
    fb_cache_options options = {.memory_bytes = 8 << 20,
                                .seed = 7,
                                .catalog = rig_catalog_of(classes, 3),
                                .region = &region,
                                .partitions = partitions,
                                .now_ns = S(100)};
    fb_cache *cache = NULL;
    assert_ok(fb_cache_new(&options, &cache));
    return cache;
}

// Each returns whether something old was seen.
typedef bool (*history_fn)(int fd);

static bool shows(fb_cache *cache, const char *key, const char *old) {
    bool seen = strcmp(rig_read(cache, key, S(101)), old) == 0;
    fb_cache_free(cache);
    return seen;
}

static bool flushed(int fd) {
    fb_cache *cache = make_cache(fd, 4, false);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "old", NULL, S(100)));
    fb_cache_flush(cache, fb_cache_partition_of(cache, FB_STR("page:1")), S(100));
    return shows(cache, "page:1", "fresh:old");
}

static bool held(int fd) {
    fb_cache *cache = make_cache(fd, 4, false);
    fb_cache_hold(cache, FB_STR("page:1"), S(200), S(100));
    int result = rig_load(cache, RIG_PAGE, "page:1", "old", NULL, S(100));
    (void)result;
    return shows(cache, "page:1", "fresh:old");
}

static bool overtaken(int fd) {
    fb_cache *cache = make_cache(fd, 4, false);
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_ticket *load = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_loaded loaded = rig_loaded("new", NULL);
    assert_ok(fb_cache_put_under(cache, ticket, &loaded, S(50), S(100)));
    fb_loaded_release(&loaded);
    fb_cache_end(cache, ticket);
    int result = rig_fill(cache, load, "old", NULL, S(100));
    (void)result;
    return shows(cache, "page:1", "fresh:old");
}

static bool behind(int fd) {
    fb_cache *cache = make_cache(fd, 4, false);  // nobody has proved anything
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "old", NULL, S(100)));
    return shows(cache, "item:1", "fresh:old");
}

static bool partitioned_anew(int fd) {
    fb_cache *cache = make_cache(fd, 4, false);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "old", NULL, S(100)));
    fb_cache_free(cache);
    return shows(make_cache(fd, 8, true), "page:1", "fresh:old");
}

// Its process owed a change of that partition when it was killed.
static bool owed(int fd) {
    fb_cache *cache = make_cache(fd, 4, false);
    fb_mark mark = {7, 8, 9};
    uint32_t log = fb_cache_partition_of(cache, FB_STR("page:1"));
    fb_cache_set_mark(cache, log, &mark);
    fb_cache_unsure(cache, log, 1);
    fb_cache_free(cache);
    cache = make_cache(fd, 4, true);
    fb_cache_forget_unsure(cache);
    fb_cache_mark(cache, log, &mark);
    fb_cache_free(cache);
    return mark.epoch != 0;
}

static void expect_needed(const char *rule, history_fn history) {
    int fd = region_file();
    assert_false(history(fd));
    fb_rule_without(rule);
    bool old = history(fd);
    fb_rule_without(NULL);
    (void)close(fd);
    if (!old) {
        fail_msg("without %s nothing went wrong", rule);
    }
}

static void test_rule__partition_flush(void **state) {
    expect_needed("partition_flush", flushed);
}

static void test_rule__holds(void **state) {
    expect_needed("holds", held);
}

static void test_rule__put_dooms(void **state) {
    expect_needed("put_dooms", overtaken);
}

static void test_rule__degraded(void **state) {
    expect_needed("degraded", behind);
}

static void test_rule__other_partitions(void **state) {
    expect_needed("other_partitions", partitioned_anew);
}

static void test_rule__unsure(void **state) {
    expect_needed("unsure", owed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule__partition_flush),  cmocka_unit_test(test_rule__holds),
        cmocka_unit_test(test_rule__put_dooms),        cmocka_unit_test(test_rule__degraded),
        cmocka_unit_test(test_rule__other_partitions), cmocka_unit_test(test_rule__unsure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
