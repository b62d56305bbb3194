// What a process beside the daemon makes of its entries: fresh ones it answers, with the same bytes
// and times; for all else it asks. Whatever it is shown, it copes.

#include "base/mem.h"
#include "cache/entry.h"
#include "cache/hints.h"
#include "cache/shared.h"
#include "region_rig.h"

typedef struct pair {
    int fd;
    fb_cache *cache;
    outsider one;
} pair;

static pair make_pair(void) {
    pair both = {.fd = region_file()};
    both.cache = region_cache(both.fd, rig_catalog(), NULL, 0);
    both.one = outsider_open(both.fd);
    return both;
}

static void free_pair(pair *both) {
    fb_store_free(both->one.store);
    fb_cache_free(both->cache);
    (void)close(both->fd);
}

static void test_outside__answers_what_is_fresh(void **state) {
    pair both = make_pair();
    rig_put(both.cache, "plain", "1", 0, S(100));
    rig_put(both.cache, "short", "2", S(5), S(100));
    assert_ok(rig_load(both.cache, RIG_PAGE, "page:3", "{\"n\":3}", NULL, S(100)));
    assert_outside(&both.one, "plain", S(101), "fresh:1");
    assert_outside(&both.one, "short", S(101), "fresh:2");
    outside_look look = outside_look_at(&both.one, "page:3", S(103));
    assert_string_equal(look.text, "fresh:{\"n\":3}");
    assert_int_equal(look.value.kind, FB_KIND_JSON);
    assert_int_equal(look.value.tier, FB_TIER_MEMORY);
    assert_int_equal(look.value.freshness, FB_FRESH);
    assert_int_equal(look.value.age_ms, 3000);
    assert_int_equal(look.value.ttl_ms, 7000);
    assert_int_equal(outside_look_at(&both.one, "plain", S(101)).value.ttl_ms, -1);
    assert_outside(&both.one, "short", S(105), "ask");
    assert_outside(&both.one, "page:3", S(110), "ask");  // stale: somebody has to load
    assert_outside(&both.one, "nothing", S(101), "ask");
    free_pair(&both);
}

static void test_outside__asks_for_what_only_the_daemon_can_say(void **state) {
    pair both = make_pair();
    assert_ok(rig_load(both.cache, RIG_PAGE, "page:none", NULL, NULL, S(100)));
    assert_outside(&both.one, "page:none", S(101), "ask");
    fb_ticket *ticket = rig_begin(both.cache, RIG_PAGE, "page:early", S(100));
    fb_ticket_mark_early(ticket);
    assert_ok(rig_fill(both.cache, ticket, "1", NULL, S(100)));
    assert_outside(&both.one, "page:early", S(101), "ask");  // that it was read is still to count
    assert_read(both.cache, "page:early", S(101), "fresh:1");
    assert_outside(&both.one, "page:early", S(101), "fresh:1");
    fb_loaded loaded = rig_loaded("1", NULL);
    fb_loaded_uncacheable(&loaded);
    fb_value info;
    ticket = rig_begin(both.cache, RIG_PAGE, "page:not", S(100));
    assert_ok(fb_cache_fill(both.cache, ticket, &loaded, 1, 0, S(100), &info));
    fb_cache_end(both.cache, ticket);
    fb_loaded_release(&loaded);
    assert_outside(&both.one, "page:not", S(101), "ask");
    free_pair(&both);
}

// A load that took two seconds, of a class that refreshes early: the nearer the end, the more of
// the readers ask.
static void test_outside__asks_early_by_lot(void **state) {
    fb_class_options eager = rig_page();
    eager.early_beta = 1;
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, eager)};
    int fd = region_file();
    fb_cache *cache = region_cache(fd, rig_catalog_of(classes, 2), NULL, 0);
    outsider one = outsider_open(fd);
    fb_rng rng = test_rng();
    fb_loaded loaded = rig_loaded("1", NULL);
    fb_value info;
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    assert_ok(fb_cache_fill(cache, ticket, &loaded, 250000, 0, S(100), &info));
    fb_cache_end(cache, ticket);
    fb_loaded_release(&loaded);
    int asked[2] = {0};
    assert_outside(&one, "page:1", S(109.9), "fresh:1");  // without a lot nobody does
    one.rng = &rng;
    for (int i = 0; i < 1000; i++) {
        asked[0] += outside_look_at(&one, "page:1", S(106)).result == FB_MISS;
        asked[1] += outside_look_at(&one, "page:1", S(109)).result == FB_MISS;
    }
    // exp(-left / (4 x cost)): 1.8 % and 37 %.
    assert_in_range(asked[0], 5, 50);
    assert_in_range(asked[1], 300, 440);
    fb_store_free(one.store);
    fb_cache_free(cache);
    (void)close(fd);
}

static void test_outside__sees_every_kind_of_invalidation(void **state) {
    static const struct {
        fb_scope scope;
        const char *name;
    } kinds[] = {{FB_SCOPE_KEY, "list:7:p1"}, {FB_SCOPE_PATTERN, "list:7:*"},
                 {FB_SCOPE_PATTERN, "li*p1"}, {FB_SCOPE_TAG, "red"},
                 {FB_SCOPE_CLASS, "list"},    {FB_SCOPE_NAMESPACE, "shop"},
                 {FB_SCOPE_ALL, ""}};
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
        pair both = make_pair();
        assert_ok(rig_load(both.cache, RIG_LIST, "list:7:p1", "[1]", "red", S(100)));
        assert_ok(rig_load(both.cache, RIG_PAGE, "page:1", "1", "blue", S(100)));
        assert_outside(&both.one, "list:7:p1", S(101), "fresh:[1]");
        (void)rig_invalidate(both.cache, kinds[i / 2].scope, kinds[i / 2].name, i % 2 == 0, S(102));
        assert_outside(&both.one, "list:7:p1", S(101), "ask");
        assert_outside(&both.one, "list:7:p1", S(102), "ask");
        assert_outside(&both.one, "page:1", S(102),
                       kinds[i / 2].scope == FB_SCOPE_ALL ? "ask" : "fresh:1");
        free_pair(&both);
    }
}

static void test_outside__classes_change_as_a_whole(void **state) {
    pair both = make_pair();
    uint64_t before = fb_outside_generation(&both.one.outside);
    assert_int_equal(fb_outside_class_id(&both.one.outside, FB_STR("item")), RIG_ITEM);
    assert_int_equal(fb_outside_class_id(&both.one.outside, FB_STR("none")), FB_CLASS_PLAIN);
    assert_ok(rig_load(both.cache, RIG_PAGE, "page:1", "1", NULL, S(100)));
    assert_ok(rig_load(both.cache, RIG_ITEM, "item:1", "2", NULL, S(100)));
    rig_put(both.cache, "plain", "3", 0, S(100));
    fb_outside_close(both.cache->tags->table);
    assert_outside(&both.one, "page:1", S(101), "ask");
    assert_outside(&both.one, "plain", S(101), "ask");
    fb_outside_open(both.cache->tags->table, fb_cache_catalog(both.cache));
    assert_outside(&both.one, "page:1", S(101), "fresh:1");
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, rig_page())};  // `item` goes
    assert_ok(fb_cache_swap(both.cache, rig_catalog_of(classes, 2)));
    assert_outside(&both.one, "page:1", S(101), "fresh:1");
    assert_outside(&both.one, "item:1", S(101), "ask");
    assert_outside(&both.one, "plain", S(101), "fresh:3");
    assert_true(fb_outside_generation(&both.one.outside) != before);
    assert_int_equal(fb_outside_class_id(&both.one.outside, FB_STR("item")), FB_CLASS_PLAIN);
    free_pair(&both);
}

static void test_outside__a_class_that_changed_its_values_is_dropped(void **state) {
    pair both = make_pair();
    fb_class_options changed = rig_page();
    assert_ok(rig_load(both.cache, RIG_PAGE, "page:1", "1", NULL, S(100)));
    changed.ttl_ns = S(90);  // no value follows from that
    fb_class *same[] = {NULL, rig_class(RIG_PAGE, changed)};
    assert_ok(fb_cache_swap(both.cache, rig_catalog_of(same, 2)));
    assert_outside(&both.one, "page:1", S(101), "fresh:1");
    changed.normalise = FB_NORMALISE_TRIM;
    fb_class *other[] = {NULL, rig_class(RIG_PAGE, changed)};
    assert_ok(fb_cache_swap(both.cache, rig_catalog_of(other, 2)));
    assert_outside(&both.one, "page:1", S(101), "ask");
    assert_read(both.cache, "page:1", S(101), "nothing");
    free_pair(&both);
}

// ---- random programs: the daemon and a reader look at the same key at the same time

static void change(fb_cache *cache, fb_rng *rng, const char *key, uint16_t class_id,
                   int64_t now_ns) {
    static const char *const tags[] = {"red", "green", NULL};
    static const struct {
        fb_scope scope;
        const char *name;
    } kinds[] = {{FB_SCOPE_TAG, "red"},    {FB_SCOPE_TAG, "green"},
                 {FB_SCOPE_CLASS, "list"}, {FB_SCOPE_NAMESPACE, "shop"},
                 {FB_SCOPE_ALL, ""},       {FB_SCOPE_PATTERN, "list:1*"}};
    char value[24];
    (void)snprintf(value, sizeof value, "%u", (unsigned)fb_rng_below(rng, 1000));
    switch (fb_rng_below(rng, 8)) {
        case 0:
            rig_put(cache, key, value, fb_rng_below(rng, 2) == 0 ? 0 : S(3), now_ns);
            break;
        case 1:
            (void)!fb_cache_del(cache, fb_str_of(key), now_ns);
            break;
        case 2: {
            size_t kind = (size_t)fb_rng_below(rng, sizeof kinds / sizeof kinds[0]);
            (void)rig_invalidate(cache, kinds[kind].scope, kinds[kind].name,
                                 fb_rng_below(rng, 2) == 0, now_ns);
            break;
        }
        default:
            if (class_id != FB_CLASS_PLAIN) {
                (void)!rig_load(cache, class_id, key, fb_rng_below(rng, 6) == 0 ? NULL : value,
                                tags[fb_rng_below(rng, 3)], now_ns);
            }
            break;
    }
}

static void test_outside__says_what_the_daemon_says_or_asks(void **state) {
    static const struct {
        const char *key;
        uint16_t class_id;
    } keys[] = {{"page:1", RIG_PAGE},    {"page:2", RIG_PAGE},    {"item:1", RIG_ITEM},
                {"list:1:p1", RIG_LIST}, {"list:2:p1", RIG_LIST}, {"a", FB_CLASS_PLAIN},
                {"b", FB_CLASS_PLAIN}};
    pair both = make_pair();
    fb_rng rng = test_rng();
    int64_t now_ns = S(100);
    uint64_t fresh = 0, asked = 0;
    for (int i = 0; i < 30000; i++) {
        size_t at = (size_t)fb_rng_below(&rng, sizeof keys / sizeof keys[0]);
        if (fb_rng_below(&rng, 4) == 0) {
            change(both.cache, &rng, keys[at].key, keys[at].class_id, now_ns);
        }
        if (fb_rng_below(&rng, 8) == 0) {
            now_ns += (int64_t)fb_rng_below(&rng, (uint64_t)S(2));
        }
        const char *outside = outside_read(&both.one, keys[at].key, now_ns);
        const char *inside = rig_read(both.cache, keys[at].key, now_ns);
        bool answers = strncmp(inside, "fresh:", 6) == 0 && strcmp(inside, "fresh:-") != 0;
        assert_string_equal(outside, answers ? inside : "ask");
        fresh += answers;
        asked += !answers;
    }
    assert_true(fresh > 5000 && asked > 5000);
    free_pair(&both);
}

// ---- what cannot be trusted

static void test_outside__a_table_that_is_none_is_refused(void **state) {
    uint64_t bytes = fb_outside_bytes(16);
    fb_outside_table *table = fb_mem_zero(1, bytes);
    fb_outside outside;
    fb_tags *tags = NULL;
    assert_non_null(table);
    assert_result(fb_outside_view(table, bytes, &outside), FB_EINVAL);
    assert_ok(fb_tags_new(table, 16, 1, &tags));
    assert_ok(fb_outside_view(table, bytes, &outside));
    assert_int_equal(outside.tag_slots, 16);
    assert_result(fb_outside_view(table, bytes - 1, &outside), FB_EINVAL);
    assert_result(fb_outside_view(table, 16, &outside), FB_EINVAL);
    assert_result(fb_outside_view(NULL, 0, &outside), FB_EINVAL);
    assert_result(fb_outside_view((char *)table + 1, bytes, &outside), FB_EINVAL);
    static const uint64_t wrong[] = {0, 15, 32, UINT64_C(1) << 40, UINT64_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        table->tag_slots = wrong[i];
        assert_result(fb_outside_view(table, bytes, &outside), FB_EINVAL);
    }
    fb_tags_free(tags);
    fb_mem_free(table);
}

static void test_outside__any_bytes_are_coped_with(void **state) {
    uint64_t bytes = fb_outside_bytes(2);
    fb_rng rng = test_rng();
    for (int round = 0; round < 20; round++) {
        fb_outside_table *table = malloc(bytes);
        fb_outside outside = {table, 2};
        assert_non_null(table);
        for (uint64_t i = 0; i < bytes / 8; i++) {
            uint64_t word = fb_rng_next(&rng);
            memcpy((char *)table + 8 * i, &word, sizeof word);
        }
        atomic_init(&table->generation, fb_rng_next(&rng) & ~UINT64_C(1));
        for (int i = 0; i < 2000; i++) {
            size_t len = (size_t)fb_rng_below(&rng, FB_STORE_EXTRA_MAX + 1);
            char *extra = malloc(len + 1);
            assert_non_null(extra);
            for (size_t j = 0; j < len; j++) {
                extra[j] = (char)fb_rng_next(&rng);
            }
            fb_item item = {.extra = {extra, len},
                            .flags = (uint8_t)(fb_rng_next(&rng) & 0x79),
                            .class_id = (uint16_t)fb_rng_next(&rng),
                            .expires_ns = (int64_t)fb_rng_next(&rng)};
            fb_value value;
            (void)!fb_outside_judge(&outside, &item, (int64_t)(fb_rng_next(&rng) >> 1), &rng,
                                    &value);
            free(extra);
        }
        free(table);
    }
}

// ---- hints

static void note_hits(fb_hints *hints, outsider *one, const char *key, uint16_t class_id,
                      int times) {
    for (int i = 0; i < times; i++) {
        fb_hints_note(hints, fb_store_hash(one->store, fb_str_of(key)), class_id, 3);
    }
}

static uint64_t count_of(fb_cache *cache, const char *name, bool region) {
    fb_stats stats;
    uint64_t count = 0;
    assert_ok(fb_cache_stats(cache, &stats));
    for (size_t i = 0; i < stats.class_count; i++) {
        if (strcmp(stats.classes[i].name, name) == 0) {
            count = region ? stats.classes[i].region_hits : stats.classes[i].hits;
        }
    }
    fb_mem_free(stats.classes);
    return count;
}

static void test_hints__hits_of_readers_count(void **state) {
    pair both = make_pair();
    fb_hints *hints = fb_mem_zero(1, sizeof *hints);
    fb_hints_seen *seen = fb_mem_zero(1, sizeof *seen);
    rig_put(both.cache, "a", "1", 0, S(100));
    note_hits(hints, &both.one, "a", FB_CLASS_PLAIN, 5);
    fb_hints_take(hints, seen, true, both.cache);  // what was there before the start is no news
    assert_int_equal(count_of(both.cache, "", false), 0);
    note_hits(hints, &both.one, "a", FB_CLASS_PLAIN, 3);
    note_hits(hints, &both.one, "page:1", RIG_PAGE, 2);
    fb_hints_take(hints, seen, false, both.cache);
    fb_hints_take(hints, seen, false, both.cache);
    assert_int_equal(count_of(both.cache, "", false), 3);
    assert_int_equal(count_of(both.cache, "", true), 3);
    assert_int_equal(count_of(both.cache, "page", true), 2);
    fb_mem_free(hints);
    fb_mem_free(seen);
    free_pair(&both);
}

static void test_hints__whatever_is_in_them_adds_a_bounded_count(void **state) {
    pair both = make_pair();
    fb_hints *hints = fb_mem_zero(1, sizeof *hints);
    fb_hints_seen *seen = fb_mem_zero(1, sizeof *seen);
    fb_rng rng = test_rng();
    uint64_t before = 0;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < FB_HINTS_KEYS; i++) {
            atomic_store(&hints->keys[i], fb_rng_next(&rng));
        }
        for (size_t stripe = 0; stripe < FB_HINTS_STRIPES; stripe++) {
            for (size_t id = 0; id < FB_CLASS_MAX; id++) {
                atomic_store(&hints->hits[stripe][id], fb_rng_next(&rng));
            }
        }
        fb_hints_take(hints, seen, false, both.cache);
        uint64_t now = count_of(both.cache, "page", false);
        assert_true(now - before <= FB_HINTS_STRIPES * FB_HINTS_HITS_MAX);
        before = now;
    }
    atomic_store(&hints->hits[0][RIG_PAGE], 5);  // backwards
    memset(hints->keys, 0, sizeof hints->keys);
    seen->hits[0][RIG_PAGE] = 6;
    fb_hints_take(hints, seen, true, both.cache);
    assert_int_equal(count_of(both.cache, "page", false), before);
    fb_mem_free(hints);
    fb_mem_free(seen);
    free_pair(&both);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outside__answers_what_is_fresh),
        cmocka_unit_test(test_outside__asks_for_what_only_the_daemon_can_say),
        cmocka_unit_test(test_outside__asks_early_by_lot),
        cmocka_unit_test(test_outside__sees_every_kind_of_invalidation),
        cmocka_unit_test(test_outside__classes_change_as_a_whole),
        cmocka_unit_test(test_outside__a_class_that_changed_its_values_is_dropped),
        cmocka_unit_test(test_outside__says_what_the_daemon_says_or_asks),
        cmocka_unit_test(test_outside__a_table_that_is_none_is_refused),
        cmocka_unit_test(test_outside__any_bytes_are_coped_with),
        cmocka_unit_test(test_hints__hits_of_readers_count),
        cmocka_unit_test(test_hints__whatever_is_in_them_adds_a_bounded_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
