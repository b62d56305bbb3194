// The calls of the shared part of the cache, as a reader sees them.

#include "base/mem.h"
#include "cache/shared.h"
#include "cache_rig.h"

// ---- freshness

static void test_cache__plain_key_is_there_until_its_ttl(void **state) {
    fb_cache *cache = rig_cache();
    rig_put(cache, "a", "1", S(2), S(100));
    rig_put(cache, "b", "2", 0, S(100));
    assert_read(cache, "a", S(101.9), "fresh:1");
    assert_read(cache, "a", S(102), "nothing");
    assert_read(cache, "b", S(1e9), "fresh:2");
    assert_read(cache, "c", S(100), "nothing");
    fb_cache_free(cache);
}

static void test_cache__loaded_value_goes_fresh_stale_fallback_gone(void **state) {
    fb_cache *cache = rig_cache();
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "one", NULL, S(100)));
    assert_read(cache, "page:1", S(109.9), "fresh:one");
    assert_read(cache, "page:1", S(110), "stale:one");
    assert_read(cache, "page:1", S(114.9), "stale:one");
    assert_read(cache, "page:1", S(115), "fallback:one");
    assert_read(cache, "page:1", S(134.9), "fallback:one");
    assert_read(cache, "page:1", S(135), "nothing");
    fb_cache_free(cache);
}

static void test_cache__found_tells_times_age_and_kind(void **state) {
    fb_cache *cache = rig_cache();
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    assert_ok(rig_fill(cache, ticket, "{\"a\": 1}", NULL, S(102)));
    fb_found found;
    rig_copy copy = {.text = ""};
    fb_cache_read(cache, FB_STR("page:1"), S(104), NULL, rig_take, &copy, &found);
    assert_int_equal(found.find, FB_FIND_FRESH);
    assert_int_equal(found.fresh_until_ns, S(112));
    assert_int_equal(found.stale_until_ns, S(117));
    assert_int_equal(found.dead_at_ns, S(137));
    assert_int_equal(found.cost_us, 1000);
    assert_int_equal(found.class_id, RIG_PAGE);
    assert_int_equal(found.value.age_ms, 4000);
    assert_int_equal(found.value.ttl_ms, 8000);
    assert_int_equal(found.value.kind, FB_KIND_JSON);
    assert_int_equal(found.value.tier, FB_TIER_MEMORY);
    assert_int_equal(copy.value.version, found.value.version);
    rig_put(cache, "plain", "not json", 0, S(104));
    fb_cache_peek(cache, FB_STR("plain"), S(105), &found);
    assert_int_equal(found.value.kind, FB_KIND_BYTES);
    assert_int_equal(found.value.ttl_ms, -1);
    assert_int_equal(found.fresh_until_ns, INT64_MAX);
    assert_int_equal(found.dead_at_ns, INT64_MAX);
    fb_cache_free(cache);
}

static void test_cache__negative_is_believed_for_its_own_time_and_never_stale(void **state) {
    fb_cache *cache = rig_cache();
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", NULL, NULL, S(100)));
    assert_read(cache, "page:1", S(102.9), "fresh:-");
    assert_read(cache, "page:1", S(103), "nothing");
    // A class that keeps none: what was there goes.
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "one", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", NULL, NULL, S(101)));
    assert_read(cache, "item:1", S(101), "nothing");
    fb_cache_free(cache);
}

static void test_cache__uncacheable_is_known_as_such_for_120_s(void **state) {
    fb_cache *cache = rig_cache();
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_loaded loaded = rig_loaded("one", NULL);
    fb_value info;
    fb_loaded_uncacheable(&loaded);
    assert_ok(fb_cache_fill(cache, ticket, &loaded, 10, 0.5, S(100), &info));
    fb_loaded_release(&loaded);
    fb_cache_end(cache, ticket);
    assert_read(cache, "page:1", S(219.9), "uncacheable");
    assert_read(cache, "page:1", S(220), "nothing");
    fb_cache_free(cache);
}

static void test_cache__loader_s_ttl_replaces_the_class_s(void **state) {
    fb_cache *cache = rig_cache();
    for (int ttl_ms = 0; ttl_ms <= 2000; ttl_ms += 2000) {
        fb_ticket *ticket = rig_begin(cache, RIG_ITEM, "item:1", S(100));
        fb_loaded loaded = rig_loaded("one", NULL);
        fb_value info;
        fb_loaded_ttl(&loaded, ttl_ms);
        assert_ok(fb_cache_fill(cache, ticket, &loaded, 10, 0, S(100), &info));
        assert_int_equal(info.ttl_ms, ttl_ms);
        fb_loaded_release(&loaded);
        fb_cache_end(cache, ticket);
        assert_read(cache, "item:1", S(100.5), ttl_ms == 0 ? "nothing" : "fresh:one");
    }
    assert_read(cache, "item:1", S(102), "nothing");
    fb_cache_free(cache);
}

static void test_cache__jitter_shortens_by_its_share(void **state) {
    fb_class_options options = rig_item();
    options.jitter = 0.5;
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, options)};
    fb_cache *cache = rig_cache_with(rig_catalog_of(classes, 2));
    const double units[] = {0, 0.5, 0.999999999};
    const double ends[] = {10, 7.5, 5};
    for (size_t i = 0; i < 3; i++) {
        fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "item:1", S(100));
        fb_loaded loaded = rig_loaded("one", NULL);
        fb_value info;
        assert_ok(fb_cache_fill(cache, ticket, &loaded, 10, units[i], S(100), &info));
        fb_loaded_release(&loaded);
        fb_cache_end(cache, ticket);
        fb_found found;
        fb_cache_peek(cache, FB_STR("item:1"), S(100), &found);
        assert_true(found.fresh_until_ns - S(100 + ends[i]) < S(0.0001));
        assert_true(found.fresh_until_ns - S(100 + ends[i]) >= 0);
    }
    fb_cache_free(cache);
}

// ---- callers' values

static void test_cache__set_under_a_class_takes_its_times(void **state) {
    fb_cache *cache = rig_cache();
    rig_put(cache, "page:1", "mine", 0, S(100));
    assert_read(cache, "page:1", S(111), "stale:mine");
    // A TTL of the caller's own is meant literally.
    rig_put(cache, "page:2", "mine", S(2), S(100));
    assert_read(cache, "page:2", S(101), "fresh:mine");
    assert_read(cache, "page:2", S(102), "nothing");
    rig_put(cache, "page:3", "mine", -1, S(100));
    assert_read(cache, "page:3", S(1e6), "fresh:mine");
    fb_cache_free(cache);
}

static void test_cache__del_says_whether_it_was_there_for_a_reader(void **state) {
    fb_cache *cache = rig_cache();
    rig_put(cache, "a", "1", 0, S(1));
    assert_result(fb_cache_del(cache, FB_STR("a"), S(1)), FB_OK);
    assert_result(fb_cache_del(cache, FB_STR("a"), S(1)), FB_MISS);
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", NULL, NULL, S(1)));
    assert_result(fb_cache_del(cache, FB_STR("page:1"), S(1)), FB_MISS);
    assert_read(cache, "page:1", S(1), "nothing");
    rig_put(cache, "item:1", "1", 0, S(1));
    rig_invalidate(cache, FB_SCOPE_CLASS, "item", false, S(1));
    assert_result(fb_cache_del(cache, FB_STR("item:1"), S(1)), FB_MISS);
    fb_cache_free(cache);
}

static void test_cache__put_refuses_tags_it_cannot_keep(void **state) {
    fb_cache *cache = rig_cache();
    char name[FB_TAG_LEN_MAX + 1];
    memset(name, 'x', sizeof name);
    fb_str tags[FB_TAGS_MAX + 1];
    for (size_t i = 0; i <= FB_TAGS_MAX; i++) {
        tags[i] = fb_str_make(name, i + 1);
    }
    fb_str long_tag = fb_str_make(name, sizeof name);
    fb_str own_tag = FB_STR(
        "\x01"
        "list:1:");
    fb_str a = FB_STR("a");
    assert_result(fb_cache_put(cache, a, a, 0, tags, FB_TAGS_MAX + 1, 1), FB_EINVAL);
    assert_result(fb_cache_put(cache, a, a, 0, &long_tag, 1, 1), FB_EINVAL);
    assert_result(fb_cache_put(cache, a, a, 0, &own_tag, 1, 1), FB_EINVAL);
    fb_str empty_tag = {NULL, 0};
    assert_result(fb_cache_put(cache, a, a, 0, &empty_tag, 1, 1), FB_EINVAL);
    assert_read(cache, "a", 1, "nothing");
    // As many as a caller may give, beside those that the class adds.
    assert_ok(fb_cache_put(cache, FB_STR("list:1:p2"), a, 0, tags, FB_TAGS_MAX, 1));
    assert_read(cache, "list:1:p2", 1, "fresh:a");
    fb_cache_free(cache);
}

// ---- edits

typedef struct edit_plan {
    fb_edit_action action;
    const char *data;
    int64_t expires_ms;  // 0: leave as it is
    int result;
    // what was shown
    bool found;
    char text[64];
    int64_t shown_ms;
} edit_plan;

static int run_plan(void *arg, fb_edit *edit) {
    edit_plan *plan = arg;
    plan->found = edit->found;
    plan->shown_ms = edit->expires_ms;
    (void)snprintf(plan->text, sizeof plan->text, "%.*s", FB_STR_ARG(edit->value.data));
    edit->action = plan->action;
    edit->data = fb_str_of(plan->data);
    if (plan->expires_ms != 0) {
        edit->expires_ms = plan->expires_ms;
    }
    return plan->result;
}

static const int64_t WALL_MS = 1700000000000;

static edit_plan edit(fb_cache *cache, const char *key, int64_t now_ns, edit_plan plan) {
    int result = fb_cache_edit(cache, fb_str_of(key), now_ns, WALL_MS, run_plan, &plan);
    assert_int_equal(result, plan.result);
    return plan;
}

static void test_cache__edit_sees_and_changes_value_and_expiry(void **state) {
    fb_cache *cache = rig_cache();
    edit_plan plan = edit(cache, "a", S(10), (edit_plan){.action = FB_EDIT_PUT, .data = "1"});
    assert_false(plan.found);
    assert_int_equal(plan.shown_ms, -1);
    plan = edit(cache, "a", S(10),
                (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = WALL_MS + 5000});
    assert_true(plan.found);
    assert_string_equal(plan.text, "1");
    plan = edit(cache, "a", S(12), (edit_plan){.action = FB_EDIT_PUT, .data = "22"});
    assert_int_equal(plan.shown_ms, WALL_MS + 3000);
    assert_read(cache, "a", S(14.9), "fresh:22");
    assert_read(cache, "a", S(15), "nothing");
    edit(cache, "a", S(20),
         (edit_plan){.action = FB_EDIT_PUT, .data = "3", .expires_ms = WALL_MS + 1});
    edit(cache, "a", S(20), (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = -1});
    assert_read(cache, "a", S(1e6), "fresh:3");
    edit(cache, "a", S(20), (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = WALL_MS - 1});
    assert_read(cache, "a", S(20), "nothing");
    fb_cache_free(cache);
}

static void test_cache__edit_takes_times_of_any_size(void **state) {
    const int64_t gone[] = {INT64_MIN, INT64_MIN + 1, INT64_MIN / 2, -2, 1, WALL_MS};
    const int64_t lasting[] = {INT64_MAX, INT64_MAX - 1, INT64_MAX / 1000000, -1};
    fb_cache *cache = rig_cache();
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        rig_put(cache, "a", "1", 0, S(10));
        edit(cache, "a", S(10), (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = gone[i]});
        assert_read(cache, "a", S(10), "nothing");
    }
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++) {
        rig_put(cache, "a", "1", 0, S(10));
        edit(cache, "a", S(10), (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = lasting[i]});
        assert_read(cache, "a", S(1e6), "fresh:1");
        assert_ok(
            fb_cache_put(cache, FB_STR("b"), FB_STR("1"), INT64_MAX - (int64_t)i, NULL, 0, 0));
        edit_plan plan = edit(cache, "b", 0, (edit_plan){.action = FB_EDIT_KEEP});
        assert_true(plan.found && (plan.shown_ms == -1 || plan.shown_ms > WALL_MS));
    }
    fb_cache_free(cache);
}

static void test_cache__failed_edit_changes_nothing(void **state) {
    fb_cache *cache = rig_cache();
    rig_put(cache, "a", "1", S(5), S(10));
    edit(cache, "a", S(10), (edit_plan){.action = FB_EDIT_PUT, .data = "2", .result = FB_ETYPE});
    edit(cache, "a", S(10), (edit_plan){.action = FB_EDIT_DELETE, .result = FB_ETYPE});
    edit(cache, "a", S(10), (edit_plan){.action = FB_EDIT_KEEP, .data = "2"});
    assert_read(cache, "a", S(14.9), "fresh:1");
    assert_read(cache, "a", S(15), "nothing");
    edit(cache, "b", S(10),
         (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = WALL_MS + 1, .result = FB_MISS});
    edit(cache, "b", S(10), (edit_plan){.action = FB_EDIT_DELETE});
    assert_read(cache, "b", S(10), "nothing");
    fb_cache_free(cache);
}

static void test_cache__edit_does_not_find_what_is_negative_stale_or_invalid(void **state) {
    fb_cache *cache = rig_cache();
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", NULL, NULL, S(100)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:2", "two", NULL, S(90)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:3", "three", "t", S(100)));
    rig_invalidate(cache, FB_SCOPE_TAG, "t", false, S(100));
    const char *keys[] = {"page:1", "page:2", "page:3"};
    for (size_t i = 0; i < 3; i++) {
        edit_plan plan = edit(cache, keys[i], S(101), (edit_plan){.action = FB_EDIT_KEEP});
        assert_false(plan.found);
        plan = edit(cache, keys[i], S(101), (edit_plan){.action = FB_EDIT_PUT, .data = "new"});
        assert_int_equal(plan.shown_ms, WALL_MS + 15000);  // stale time included, as TTL has it
        assert_read(cache, keys[i], S(110.9), "fresh:new");
        assert_read(cache, keys[i], S(111), "stale:new");
    }
    fb_cache_free(cache);
}

static void test_cache__edit_keeps_times_class_and_tags(void **state) {
    fb_cache *cache = rig_cache();
    fb_str tag = FB_STR("mine");
    assert_ok(fb_cache_put(cache, FB_STR("list:7:p1"), FB_STR("x"), 0, &tag, 1, S(100)));
    edit(cache, "list:7:p1", S(105), (edit_plan){.action = FB_EDIT_PUT, .data = "y"});
    assert_read(cache, "list:7:p1", S(109.9), "fresh:y");
    assert_read(cache, "list:7:p1", S(110), "stale:y");
    for (int i = 0; i < 3; i++) {
        rig_put(cache, "list:7:p1", "x", 0, S(100));
        assert_ok(fb_cache_put(cache, FB_STR("list:7:p1"), FB_STR("x"), 0, &tag, 1, S(100)));
        edit(cache, "list:7:p1", S(101), (edit_plan){.action = FB_EDIT_PUT, .data = "y"});
        assert_read(cache, "list:7:p1", S(102), "fresh:y");
        fb_scope scopes[] = {FB_SCOPE_TAG, FB_SCOPE_PATTERN, FB_SCOPE_NAMESPACE};
        const char *names[] = {"mine", "list:7:*", "shop"};
        assert_int_equal(rig_invalidate(cache, scopes[i], names[i], false, S(102)), -1);
        assert_read(cache, "list:7:p1", S(102), "nothing");
    }
    // EXPIRE is literal here too.
    rig_put(cache, "list:7:p1", "x", 0, S(100));
    edit(cache, "list:7:p1", S(101),
         (edit_plan){.action = FB_EDIT_EXPIRE, .expires_ms = WALL_MS + 2000});
    assert_read(cache, "list:7:p1", S(102.9), "fresh:x");
    assert_read(cache, "list:7:p1", S(103), "nothing");
    fb_cache_free(cache);
}

// What an edit stores is made of what was there. So an invalidation that has its number already,
// but is not to be seen yet, when the edit begins, ends what the edit stores as it ends what was
// there.
static void test_cache__edit_saves_nothing_from_an_invalidation_under_way(void **state) {
    fb_cache *cache = rig_cache();
    fb_tags *tags = cache->tags;
    fb_str tag = FB_STR("mine");
    assert_ok(fb_cache_put(cache, FB_STR("a"), FB_STR("1"), 0, &tag, 1, S(100)));
    uint64_t seq = atomic_fetch_add(&tags->table->seq, 1) + 1;  // as far as fb_tags_bump() had come
    edit_plan plan = edit(cache, "a", S(100), (edit_plan){.action = FB_EDIT_PUT, .data = "1+1"});
    assert_true(plan.found);
    atomic_store(&tags->table->stamps[fb_tags_slot(tags, tag)].hard, seq);
    atomic_store(&tags->table->newest_hard, seq);
    assert_read(cache, "a", S(100), "nothing");
    fb_cache_free(cache);
}

// ---- invalidation

static void test_cache__key_invalidation_hard_and_soft(void **state) {
    fb_cache *cache = rig_cache();
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "one", NULL, S(100)));
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_KEY, "page:1", true, S(101)), 0);
    assert_read(cache, "page:1", S(101), "stale:one");
    // A reader whose clock is a little behind does not see it fresh again.
    assert_read(cache, "page:1", S(100.5), "stale:one");
    assert_read(cache, "page:1", S(105.9), "stale:one");
    assert_read(cache, "page:1", S(106), "fallback:one");
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_KEY, "page:1", false, S(106)), 1);
    assert_read(cache, "page:1", S(106), "nothing");
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_KEY, "page:1", false, S(106)), 0);
    // What may not be served stale goes.
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "one", NULL, S(100)));
    rig_put(cache, "plain", "1", 0, S(100));
    assert_ok(rig_load(cache, RIG_PAGE, "page:2", NULL, NULL, S(100)));
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_KEY, "item:1", true, S(101)), 1);
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_KEY, "plain", true, S(101)), 1);
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_KEY, "page:2", true, S(101)), 1);
    assert_read(cache, "item:1", S(101), "nothing");
    assert_read(cache, "plain", S(101), "nothing");
    assert_read(cache, "page:2", S(101), "nothing");
    fb_cache_free(cache);
}

// Softly invalidated again and again, an entry does not stay stale for longer than its class
// allows.
static void test_cache__softened_again_is_not_stale_for_longer(void **state) {
    const struct {
        fb_scope scope;
        const char *name;
    } ways[] = {{FB_SCOPE_KEY, "list:1:p1"},    {FB_SCOPE_TAG, "mine"},
                {FB_SCOPE_CLASS, "list"},       {FB_SCOPE_NAMESPACE, "shop"},
                {FB_SCOPE_PATTERN, "list:1:*"}, {FB_SCOPE_ALL, ""}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        fb_cache *cache = rig_cache();
        assert_ok(rig_load(cache, RIG_LIST, "list:1:p1", "one", "mine", S(100)));
        rig_invalidate(cache, ways[i].scope, ways[i].name, true, S(101));
        rig_invalidate(cache, ways[i].scope, ways[i].name, true, S(104));
        assert_read(cache, "list:1:p1", S(104), "stale:one");
        assert_read(cache, "list:1:p1", S(106), "nothing");
        rig_invalidate(cache, ways[i].scope, ways[i].name, true, S(107));
        assert_read(cache, "list:1:p1", S(107), "nothing");
        // What is loaded between two knows of the second only.
        assert_ok(rig_load(cache, RIG_LIST, "list:1:p1", "two", "mine", S(107)));
        rig_invalidate(cache, ways[i].scope, ways[i].name, true, S(109));
        assert_read(cache, "list:1:p1", S(113.9), "stale:two");
        assert_read(cache, "list:1:p1", S(114), "nothing");
        fb_cache_free(cache);
    }
}

static void test_cache__stamps_hit_exactly_their_scope(void **state) {
    static const struct {
        fb_scope scope;
        const char *name;
        const char *gone;  // one letter each: Page, Item, List, plain with Tag
    } cases[] = {
        {FB_SCOPE_CLASS, "page", "P"},       {FB_SCOPE_CLASS, "item", "I"},
        {FB_SCOPE_NAMESPACE, "shop", "IL"},  {FB_SCOPE_NAMESPACE, "default", "P"},
        {FB_SCOPE_TAG, "red", "PT"},         {FB_SCOPE_TAG, "user:7", "L"},
        {FB_SCOPE_PATTERN, "list:7:*", "L"}, {FB_SCOPE_PATTERN, "list:8:*", ""},
        {FB_SCOPE_TAG, "blue", ""},
    };
    fb_cache *cache = rig_cache();
    fb_str red = FB_STR("red");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int soft = 0; soft < 2; soft++) {
            assert_ok(rig_load(cache, RIG_PAGE, "page:1", "P", "red", S(100)));
            assert_ok(rig_load(cache, RIG_ITEM, "item:1", "I", NULL, S(100)));
            assert_ok(rig_load(cache, RIG_LIST, "list:7:p1", "L", "user:7", S(100)));
            assert_ok(fb_cache_put(cache, FB_STR("plain"), FB_STR("T"), 0, &red, 1, S(100)));
            rig_put(cache, "other", "O", 0, S(100));
            assert_int_equal(
                rig_invalidate(cache, cases[i].scope, cases[i].name, soft == 1, S(101)), -1);
            const char *keys[] = {"page:1", "item:1", "list:7:p1", "plain", "other"};
            for (size_t j = 0; j < 5; j++) {
                char expected[16];
                bool hit = strchr(cases[i].gone, "PILTO"[j]) != NULL;
                bool stale = hit && soft == 1 && strchr("PL", "PILTO"[j]) != NULL;
                (void)snprintf(expected, sizeof expected, "%s:%c", stale ? "stale" : "fresh",
                               "PILTO"[j]);
                assert_read(cache, keys[j], S(101), hit && !stale ? "nothing" : expected);
            }
        }
    }
    fb_cache_free(cache);
}

static void test_cache__unknown_class_and_namespace_are_refused(void **state) {
    fb_cache *cache = rig_cache();
    fb_invalidation what = {.scope = FB_SCOPE_CLASS, .name = FB_STR("pages")};
    assert_result(fb_cache_invalidate(cache, &what, 1, NULL), FB_ENOCLASS);
    what.name = (fb_str){NULL, 0};
    assert_result(fb_cache_invalidate(cache, &what, 1, NULL), FB_ENOCLASS);
    what = (fb_invalidation){.scope = FB_SCOPE_NAMESPACE, .name = FB_STR("none")};
    assert_result(fb_cache_invalidate(cache, &what, 1, NULL), FB_ENOCLASS);
    fb_cache_free(cache);
}

static void test_cache__pattern_removes_and_counts_what_matches(void **state) {
    fb_cache *cache = rig_cache();
    for (int i = 0; i < 100; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "k%d", i);
        rig_put(cache, key, key, 0, S(100));
        (void)snprintf(key, sizeof key, "page:%d", i);
        assert_ok(rig_load(cache, RIG_PAGE, key, "p", NULL, S(100)));
    }
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_PATTERN, "k?", false, S(101)), 10);
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_PATTERN, "*[02468]", true, S(101)), 45);
    assert_read(cache, "k10", S(101), "nothing");
    assert_read(cache, "k11", S(101), "fresh:k11");
    assert_read(cache, "page:10", S(101), "stale:p");
    assert_read(cache, "page:11", S(101), "fresh:p");
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_PATTERN, "page:*", false, S(101)), 100);
    assert_read(cache, "page:11", S(101), "nothing");
    fb_cache_free(cache);
}

static void test_cache__index_pattern_takes_lookalikes_too(void **state) {
    fb_cache *cache = rig_cache();
    // Keys that begin so, though they are not of the class, or loaded without its tags.
    rig_put(cache, "list:7:", "empty page", 0, S(100));
    rig_put(cache, "list:7:a", "plain", 0, S(100));
    assert_ok(rig_load(cache, FB_CLASS_PLAIN, "list:7:x", "dedupe", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_LIST, "list:7:p3", "own loader", NULL, S(100)));
    rig_put(cache, "list:70:p1", "other", 0, S(100));
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_PATTERN, "list:7:*", false, S(101)), -1);
    assert_read(cache, "list:7:", S(101), "nothing");
    assert_read(cache, "list:7:a", S(101), "nothing");
    assert_read(cache, "list:7:x", S(101), "nothing");
    assert_read(cache, "list:7:p3", S(101), "nothing");
    assert_read(cache, "list:70:p1", S(101), "fresh:other");
    fb_cache_free(cache);
}

static void test_cache__all_takes_everything_soft_what_may_be_stale(void **state) {
    fb_cache *cache = rig_cache();
    for (int soft = 0; soft < 2; soft++) {
        assert_ok(rig_load(cache, RIG_PAGE, "page:1", "one", NULL, S(100)));
        assert_ok(rig_load(cache, RIG_ITEM, "item:1", "one", NULL, S(100)));
        rig_put(cache, "plain", "1", 0, S(100));
        rig_invalidate(cache, FB_SCOPE_ALL, "", soft == 1, S(101));
        assert_read(cache, "page:1", S(101), soft == 1 ? "stale:one" : "nothing");
        assert_read(cache, "item:1", S(101), "nothing");
        assert_read(cache, "plain", S(101), "nothing");
    }
    fb_cache_free(cache);
    cache = rig_cache();
    rig_put(cache, "plain", "1", 0, S(102));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "one", NULL, S(102)));
    assert_int_equal(rig_invalidate(cache, FB_SCOPE_ALL, "", false, S(102)), 2);
    fb_cache_free(cache);
}

// ---- loads under way

static void test_cache__overtaken_load_is_stored_nowhere(void **state) {
    static const struct {
        fb_scope scope;
        const char *name;
    } cases[] = {
        {FB_SCOPE_KEY, "list:7:p1"}, {FB_SCOPE_PATTERN, "l*:p1"}, {FB_SCOPE_PATTERN, "list:7:*"},
        {FB_SCOPE_TAG, "t"},         {FB_SCOPE_CLASS, "list"},    {FB_SCOPE_NAMESPACE, "shop"},
        {FB_SCOPE_ALL, ""},
    };
    fb_cache *cache = rig_cache();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_ticket *ticket = rig_begin(cache, RIG_LIST, "list:7:p1", S(100));
        fb_ticket *other = rig_begin(cache, RIG_PAGE, "page:1", S(100));
        rig_invalidate(cache, cases[i].scope, cases[i].name, false, S(101));
        // A tag is known to be the load's only when it is there.
        assert_int_equal(fb_ticket_doomed(ticket), cases[i].scope != FB_SCOPE_TAG);
        assert_int_equal(fb_ticket_doomed(other), cases[i].scope == FB_SCOPE_ALL);
        fb_ticket *later = rig_begin(cache, RIG_LIST, "list:7:p1", S(101));
        assert_false(fb_ticket_doomed(later));
        assert_result(rig_fill(cache, ticket, "old", "t", S(101)), FB_DOOMED);
        assert_read(cache, "list:7:p1", S(101), "nothing");
        assert_result(rig_fill(cache, other, "p", NULL, S(101)),
                      cases[i].scope == FB_SCOPE_ALL ? FB_DOOMED : FB_OK);
        assert_ok(rig_fill(cache, later, "new", "t", S(101)));
        assert_read(cache, "list:7:p1", S(101), "fresh:new");
    }
    fb_cache_free(cache);
}

static void test_cache__load_overtaken_softly_is_stale_from_the_start(void **state) {
    fb_cache *cache = rig_cache();
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    rig_invalidate(cache, FB_SCOPE_CLASS, "page", true, S(101));
    assert_true(fb_ticket_doomed(ticket));
    assert_ok(rig_fill(cache, ticket, "old", NULL, S(102)));
    assert_read(cache, "page:1", S(102), "stale:old");
    assert_read(cache, "page:1", S(106), "fallback:old");
    ticket = rig_begin(cache, RIG_ITEM, "item:1", S(100));
    rig_invalidate(cache, FB_SCOPE_CLASS, "item", true, S(101));
    assert_result(rig_fill(cache, ticket, "old", NULL, S(102)), FB_DOOMED);
    ticket = rig_begin(cache, RIG_PAGE, "page:2", S(100));
    rig_invalidate(cache, FB_SCOPE_KEY, "page:2", true, S(101));
    assert_result(rig_fill(cache, ticket, "old", NULL, S(102)), FB_DOOMED);
    fb_cache_free(cache);
}

static void test_cache__writers_overtake_loads_and_win(void **state) {
    fb_cache *cache = rig_cache();
    for (int i = 0; i < 4; i++) {
        fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
        assert_true(fb_cache_loading(cache, FB_STR("page:1")));
        assert_false(fb_cache_loading(cache, FB_STR("page:2")));
        if (i == 0) {
            rig_put(cache, "page:1", "set", 0, S(100));
        } else if (i == 1) {
            edit(cache, "page:1", S(100), (edit_plan){.action = FB_EDIT_PUT, .data = "edit"});
        } else if (i == 2) {
            assert_ok(fb_cache_del(cache, FB_STR("page:1"), S(100)));
        } else {
            edit(cache, "page:1", S(100), (edit_plan){.action = FB_EDIT_KEEP});
        }
        static const char *const after[] = {"fresh:set", "fresh:edit", "nothing", "fresh:load"};
        assert_result(rig_fill(cache, ticket, "load", NULL, S(100)), i < 3 ? FB_DOOMED : FB_OK);
        assert_read(cache, "page:1", S(100), after[i]);
        assert_false(fb_cache_loading(cache, FB_STR("page:1")));
    }
    fb_cache_free(cache);
}

static void test_cache__reader_after_an_invalidation_is_not_answered_by_a_load_before_it(
    void **state) {
    fb_cache *cache = rig_cache();
    const char *tags[] = {"t", "other"};
    for (size_t i = 0; i < 2; i++) {
        for (int soft = 0; soft < 2; soft++) {
            fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
            uint64_t before = fb_cache_seq(cache);
            rig_invalidate(cache, FB_SCOPE_TAG, tags[i], soft == 1, S(101));
            uint64_t after = fb_cache_seq(cache);
            fb_loaded loaded = rig_loaded("old", "t");
            assert_true(fb_cache_answers(cache, ticket, &loaded, before));
            assert_int_equal(fb_cache_answers(cache, ticket, &loaded, after), i == 1);
            assert_true(fb_cache_answers(cache, ticket, &loaded, fb_ticket_seq(ticket)));
            // Never true by mistake: an invalidation after the reader may hide one before it.
            rig_invalidate(cache, FB_SCOPE_TAG, tags[i], soft == 1, S(101));
            assert_int_equal(fb_cache_answers(cache, ticket, &loaded, after), i == 1);
            fb_loaded_release(&loaded);
            fb_cache_end(cache, ticket);
        }
    }
    fb_cache_free(cache);
}

static void test_cache__refused_fill_takes_the_old_value_away(void **state) {
    fb_cache *cache = rig_cache();
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "old", NULL, S(100)));
    size_t len = (size_t)fb_store_value_max(fb_cache_store(cache)) + 1;
    char *big = malloc(len + 1);
    memset(big, 'x', len);
    big[len] = '\0';
    assert_result(rig_load(cache, RIG_PAGE, "page:1", big, NULL, S(101)), FB_ETOOBIG);
    assert_read(cache, "page:1", S(101), "nothing");
    // A caller's own value, though: after an error all is as before.
    rig_put(cache, "a", "1", 0, S(100));
    assert_result(fb_cache_put(cache, FB_STR("a"), fb_str_of(big), 0, NULL, 0, S(100)), FB_ETOOBIG);
    assert_read(cache, "a", S(101), "fresh:1");
    free(big);
    fb_cache_free(cache);
}

// ---- early refresh

static uint32_t count_early(fb_cache *cache, int64_t now_ns, fb_rng *rng) {
    uint32_t early = 0;
    for (int i = 0; i < 10000; i++) {
        fb_found found;
        early += fb_cache_read(cache, FB_STR("page:1"), now_ns, rng, NULL, NULL, &found) ==
                 FB_FIND_EARLY;
    }
    return early;
}

static void test_cache__early_refresh_is_drawn_by_xfetch_and_bounded_by_its_budget(void **state) {
    fb_class_options options = rig_page();
    options.early_beta = 2;
    options.early_budget = 0.1;
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, options)};
    fb_cache *cache = rig_cache_with(rig_catalog_of(classes, 2));
    fb_rng rng = test_rng();
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
    fb_loaded loaded = rig_loaded("one", NULL);
    fb_value info;
    assert_ok(fb_cache_fill(cache, ticket, &loaded, 50000, 0, S(100), &info));
    fb_loaded_release(&loaded);
    fb_cache_end(cache, ticket);
    // No ordinary loads, no budget.
    assert_int_equal(count_early(cache, S(109.99), &rng), 0);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_loads, 10);
    // cost 50 ms, beta 2: at 100 ms before the end one read in e draws it, at 2 s before none does.
    assert_int_equal(count_early(cache, S(108), &rng), 0);
    uint32_t early = count_early(cache, S(109.9), &rng);
    assert_in_range(early, 3500, 3860);
    early = count_early(cache, S(109.8), &rng);
    assert_in_range(early, 1230, 1480);
    assert_int_equal(count_early(cache, S(109.9), NULL), 0);
    // One was begun: for a second there must be ten more ordinary loads.
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_loads, 1);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_early_refreshes, 1);
    assert_int_equal(count_early(cache, S(109.9), &rng), 0);
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_loads, 10);
    assert_in_range(count_early(cache, S(109.9), &rng), 3500, 3860);
    assert_int_equal(count_early(cache, S(110), &rng), 0);
    fb_cache_free(cache);
}

static uint64_t count_wasted(fb_cache *cache) {
    fb_stats stats = {0};
    assert_ok(fb_cache_stats(cache, &stats));
    uint64_t wasted = stats.classes[RIG_PAGE].early_wasted;
    fb_mem_free(stats.classes);
    return wasted;
}

static void test_cache__early_refresh_that_nobody_read_counts_as_wasted(void **state) {
    fb_cache *cache = rig_cache();
    const bool reads[] = {true, false, false, true, true};
    const uint64_t wasted[] = {0, 0, 1, 2, 2};
    for (size_t i = 0; i < 5; i++) {
        fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
        fb_ticket_mark_early(ticket);
        assert_ok(rig_fill(cache, ticket, "one", NULL, S(100)));
        assert_int_equal(count_wasted(cache), wasted[i]);
        if (reads[i]) {
            assert_read(cache, "page:1", S(101), "fresh:one");
            assert_read(cache, "page:1", S(101), "fresh:one");
        } else {
            fb_found found;
            fb_cache_peek(cache, FB_STR("page:1"), S(101), &found);
        }
    }
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "two", NULL, S(102)));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "three", NULL, S(102)));
    assert_int_equal(count_wasted(cache), 2);
    fb_cache_free(cache);
}

static void test_cache__cost_is_smoothed_over_loads(void **state) {
    fb_cache *cache = rig_cache();
    const uint32_t costs[] = {1000, 9000, 9000};
    const uint32_t kept[] = {1000, 3000, 4500};
    for (size_t i = 0; i < 3; i++) {
        fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:1", S(100));
        fb_loaded loaded = rig_loaded("one", NULL);
        fb_value info;
        assert_ok(fb_cache_fill(cache, ticket, &loaded, costs[i], 0, S(100), &info));
        fb_loaded_release(&loaded);
        fb_cache_end(cache, ticket);
        fb_found found;
        fb_cache_peek(cache, FB_STR("page:1"), S(100), &found);
        assert_int_equal(found.cost_us, kept[i]);
    }
    fb_cache_free(cache);
}

// ---- sweeping, catalogues

static void test_cache__invalidated_entries_leave_by_sweep(void **state) {
    fb_cache *cache = rig_cache();
    for (int i = 0; i < 50; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "page:%d", i);
        assert_ok(rig_load(cache, RIG_PAGE, key, "p", i % 2 == 0 ? "even" : "odd", S(100)));
    }
    rig_invalidate(cache, FB_SCOPE_TAG, "even", false, S(101));
    uint64_t removed = 0;
    for (int i = 0; i < 3; i++) {
        removed += fb_store_sweep(fb_cache_store(cache), S(101), 100000);
    }
    assert_int_equal(removed, 25);
    fb_store_stats stats;
    fb_store_stats_read(fb_cache_store(cache), &stats);
    assert_int_equal(stats.items, 25);
    fb_cache_free(cache);
}

static void test_cache__swap_keeps_what_still_belongs_and_drops_the_rest(void **state) {
    fb_cache *cache = rig_cache();
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "one", NULL, S(100)));
    assert_ok(rig_load(cache, RIG_ITEM, "item:1", "one", NULL, S(100)));
    rig_put(cache, "new:1", "plain", 0, S(100));
    rig_put(cache, "plain", "plain", 0, S(100));
    fb_ticket *ticket = rig_begin(cache, RIG_PAGE, "page:2", S(100));
    fb_class_options page = rig_page();
    page.stale_ttl_ns = S(1);
    fb_class_options fresh = rig_item();
    fresh.name = "new";
    fresh.key = "new:{id}";
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, page), rig_class(9, fresh)};
    assert_ok(fb_cache_swap(cache, rig_catalog_of(classes, 3)));
    assert_read(cache, "page:1", S(100), "fresh:one");
    assert_read(cache, "page:1", S(111), "fallback:one");  // the new, shorter stale time holds
    assert_read(cache, "item:1", S(100), "nothing");
    assert_read(cache, "new:1", S(100), "nothing");
    assert_read(cache, "plain", S(100), "fresh:plain");
    assert_result(rig_fill(cache, ticket, "old query", NULL, S(100)), FB_DOOMED);
    assert_ok(rig_load(cache, 9, "new:1", "loaded", NULL, S(100)));
    assert_read(cache, "new:1", S(100), "fresh:loaded");
    fb_cache_free(cache);
}

static void count_hot(void *arg, fb_str key, uint64_t reads) {
    assert_true(key.len > 0 && reads > 0);
    ++*(size_t *)arg;
}

static void test_cache__swap_watches_as_many_keys_as_it_now_warms(void **state) {
    fb_cache *cache = rig_cache();
    fb_class_options page = rig_page();
    page.warm_top = 1000;
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, page)};
    assert_ok(fb_cache_swap(cache, rig_catalog_of(classes, 2)));
    char key[32];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "page:%d", i);
        fb_cache_note_read(cache, rig_of(cache, RIG_PAGE), fb_str_of(key));
    }
    size_t count = 0;
    fb_cache_hot(cache, RIG_PAGE, 0, count_hot, &count);
    assert_int_equal(count, 1000);
    fb_cache_free(cache);
}

// Numbers of classes that are gone are given again, but not what was known of these classes.
static void test_cache__swap_gives_a_new_class_no_past(void **state) {
    fb_cache *cache = rig_cache();
    fb_cache_count(cache, RIG_PAGE, FB_COUNTER_hits, 5);
    fb_cache_time(cache, RIG_PAGE, FB_TIMING_HIT, 1000);
    fb_cache_note_read(cache, rig_of(cache, RIG_PAGE), FB_STR("page:1"));
    fb_class *none[] = {NULL};
    assert_ok(fb_cache_swap(cache, rig_catalog_of(none, 1)));
    fb_class_options other = rig_item();
    other.name = "other";
    other.key = "other:{id}";
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, other)};
    assert_ok(fb_cache_swap(cache, rig_catalog_of(classes, 2)));
    fb_stats stats = {0};
    assert_ok(fb_cache_stats(cache, &stats));
    assert_string_equal(stats.classes[1].name, "other");
    assert_int_equal(stats.classes[1].hits, 0);
    assert_int_equal(stats.classes[1].hit.count, 0);
    fb_mem_free(stats.classes);
    size_t count = 0;
    fb_cache_hot(cache, RIG_PAGE, 0, count_hot, &count);
    assert_int_equal(count, 0);
    fb_cache_free(cache);
}

// What went with its namespace does not come back when its class moves to another one.
static void test_cache__swap_to_another_namespace_brings_nothing_back(void **state) {
    for (int soft = 0; soft < 2; soft++) {
        fb_cache *cache = rig_cache();
        assert_ok(rig_load(cache, RIG_LIST, "list:1:p1", "one", NULL, S(100)));
        assert_int_equal(rig_invalidate(cache, FB_SCOPE_NAMESPACE, "shop", soft, S(101)), -1);
        assert_read(cache, "list:1:p1", S(101), soft ? "stale:one" : "nothing");
        fb_class_options list = rig_list();
        list.namespace_name = "moved";
        fb_class *classes[] = {NULL, rig_class(RIG_ITEM, rig_item()), rig_class(RIG_LIST, list)};
        assert_ok(fb_cache_swap(cache, rig_catalog_of(classes, 3)));
        assert_read(cache, "list:1:p1", S(101), "nothing");
        assert_ok(rig_load(cache, RIG_LIST, "list:1:p1", "two", NULL, S(101)));
        assert_int_equal(rig_invalidate(cache, FB_SCOPE_NAMESPACE, "shop", false, S(101)), -1);
        assert_read(cache, "list:1:p1", S(101), "fresh:two");
        assert_int_equal(rig_invalidate(cache, FB_SCOPE_NAMESPACE, "moved", false, S(101)), -1);
        assert_read(cache, "list:1:p1", S(101), "nothing");
        fb_cache_free(cache);
    }
}

// A load asked for before a reload and begun after it has the query of before.
static void test_cache__swap_overtakes_loads_that_begin_late(void **state) {
    fb_cache *cache = rig_cache();
    const fb_class *old = rig_of(cache, RIG_PAGE);
    assert_ok(fb_cache_swap(cache, rig_catalog()));
    fb_ticket *ticket = NULL;
    assert_ok(fb_cache_begin(cache, old, FB_STR("page:1"), S(100), &ticket));
    assert_true(fb_ticket_doomed(ticket));
    assert_result(rig_fill(cache, ticket, "old query", NULL, S(100)), FB_DOOMED);
    assert_read(cache, "page:1", S(100), "nothing");
    fb_cache_free(cache);
}

// ---- explaining, figures

static void test_cache__explain_tells_what_is_known(void **state) {
    fb_cache *cache = rig_cache();
    fb_explanation told;
    fb_str key = FB_STR("list:7:p1");
    assert_ok(fb_cache_explain(cache, key, S(100), &told));
    assert_int_equal(told.tier, FB_TIER_NONE);
    assert_string_equal(told.class_name, "list");  // whose it would be
    assert_string_equal(told.last_miss, "");
    assert_read(cache, "list:7:p1", S(100), "nothing");
    fb_cache_note_miss(cache, key, FB_MISS_UNKNOWN);
    fb_ticket *ticket = rig_begin(cache, RIG_LIST, "list:7:p1", S(100));
    assert_ok(fb_cache_explain(cache, key, S(100), &told));
    assert_true(told.loading);
    assert_ok(rig_fill(cache, ticket, "[1]", "user:7", S(101)));
    assert_ok(fb_cache_explain(cache, key, S(103), &told));
    assert_int_equal(told.tier, FB_TIER_MEMORY);
    assert_false(told.loading || told.negative || told.hit_for_miss);
    assert_int_equal(told.freshness, FB_FRESH);
    assert_int_equal(told.kind, FB_KIND_JSON);
    assert_string_equal(told.class_name, "list");
    assert_int_equal(told.age_ms, 3000);
    assert_int_equal(told.fresh_for_ms, 8000);
    assert_int_equal(told.gone_in_ms, 13000);
    assert_int_equal(told.load_cost_us, 1000);
    assert_int_equal(told.value_bytes, 3);
    assert_string_equal(told.last_miss, "never loaded, or pushed out for room");
    assert_int_equal(told.tag_count, 1);  // the index's own tag is not shown
    assert_string_equal(told.tags[0], "user:7");
    fb_cache_free(cache);
}

static void test_cache__explain_says_why_the_last_read_missed(void **state) {
    fb_cache *cache = rig_cache();
    static const struct {
        fb_scope scope;
        const char *name;
        const char *text;
    } cases[] = {
        {FB_SCOPE_KEY, "page:1", "invalidated"},
        {FB_SCOPE_PATTERN, "pa*", "invalidated"},
        {FB_SCOPE_CLASS, "page", "invalidated"},
        {FB_SCOPE_TAG, "t", "one of its tags was invalidated"},
        {FB_SCOPE_ALL, "", "everything was invalidated"},
    };
    fb_str key = FB_STR("page:1");
    fb_explanation told;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(rig_load(cache, RIG_PAGE, "page:1", "p", "t", S(100)));
        rig_invalidate(cache, cases[i].scope, cases[i].name, false, S(100));
        assert_read(cache, "page:1", S(100), "nothing");
        fb_cache_note_miss(cache, key, FB_MISS_UNKNOWN);
        assert_ok(fb_cache_explain(cache, key, S(100), &told));
        assert_string_equal(told.last_miss, cases[i].text);
    }
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", "p", "t", S(100)));
    assert_read(cache, "page:1", S(200), "nothing");
    fb_cache_note_miss(cache, key, FB_MISS_UNKNOWN);
    assert_ok(fb_cache_explain(cache, key, S(200), &told));
    assert_string_equal(told.last_miss, "expired");
    rig_put(cache, "page:1", "x", 0, S(200));
    assert_ok(fb_cache_del(cache, key, S(200)));
    assert_read(cache, "page:1", S(200), "nothing");
    fb_cache_note_miss(cache, key, FB_MISS_UNKNOWN);
    assert_ok(fb_cache_explain(cache, key, S(200), &told));
    assert_string_equal(told.last_miss, "deleted");
    fb_cache_note_miss(cache, key, FB_MISS_SOURCE_FAILED);
    assert_ok(fb_cache_explain(cache, key, S(200), &told));
    assert_string_equal(told.last_miss, "its source failed");
    fb_cache_free(cache);
}

static void keep_key(void *arg, fb_str key) {
    char *text = arg;
    strncat(text, key.ptr, key.len);
    strcat(text, " ");
}

static void test_cache__scan_visits_what_a_read_would_find(void **state) {
    fb_cache *cache = rig_cache();
    rig_put(cache, "a1", "1", 0, S(100));
    rig_put(cache, "b1", "1", 0, S(100));
    rig_put(cache, "a2", "1", S(1), S(100));
    assert_ok(rig_load(cache, RIG_PAGE, "page:1", NULL, NULL, S(100)));
    rig_put(cache, "item:a", "1", 0, S(100));
    rig_invalidate(cache, FB_SCOPE_CLASS, "item", false, S(100));
    char text[128] = "";
    uint64_t cursor = 0;
    do {
        cursor = fb_cache_scan(cache, cursor, 10, FB_STR("*a*"), S(102), keep_key, text);
    } while (cursor != 0);
    assert_string_equal(text, "a1 ");
    fb_cache_free(cache);
}

// ---- memory

static int whole_life(void *arg) {
    fb_class *classes[] = {NULL, NULL};
    fb_catalog *catalog = NULL;
    fb_class_options options = rig_list();
    int result = fb_class_new_plain(&classes[0]);
    if (result == FB_OK) {
        result = fb_class_new(&options, RIG_LIST, NULL, 0, &classes[1], NULL);
    }
    if (result < 0) {
        fb_class_free(classes[0]);
        return result;
    }
    result = fb_catalog_new(classes, 2, &catalog, NULL);
    if (result < 0) {
        return result;
    }
    fb_cache *cache = NULL;
    fb_cache_options cache_options = {.memory_bytes = 1 << 20, .tag_slots = 64, .catalog = catalog};
    result = fb_cache_new(&cache_options, &cache);
    if (result < 0) {
        fb_catalog_free(catalog);
        return result;
    }
    fb_str key = FB_STR("list:7:p1");
    fb_ticket *ticket = NULL;
    result = fb_cache_begin(cache, fb_catalog_by_id(catalog, RIG_LIST), key, S(1), &ticket);
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    loaded.result = FB_NEGATIVE;
    if (result == FB_OK) {
        fb_value info;
        result = fb_cache_fill(cache, ticket, &loaded, 10, 0, S(1), &info);
        fb_cache_end(cache, ticket);
    }
    if (result == FB_OK) {
        result = fb_cache_put(cache, key, FB_STR("1"), 0, &key, 1, S(1));
        assert_read(cache, "list:7:p1", S(1), result == FB_OK ? "fresh:1" : "nothing");
    }
    if (result == FB_OK) {
        fb_cache_note_read(cache, fb_catalog_by_id(catalog, RIG_LIST), key);
        rig_invalidate(cache, FB_SCOPE_PATTERN, "*7:p1", true, S(1));
        // Without memory it is removed instead.
        assert_string_not_equal(rig_read(cache, "list:7:p1", S(1)), "fresh:1");
        fb_stats stats = {0};
        result = fb_cache_stats(cache, &stats);
        if (result == FB_OK) {
            fb_mem_free(stats.classes);
        }
    }
    fb_loaded_release(&loaded);
    fb_cache_free(cache);
    return result;
}

static void test_cache__any_failing_allocation_leaves_nothing_behind(void **state) {
    assert_true(test_memory_sweep(whole_life, NULL) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cache__plain_key_is_there_until_its_ttl),
        cmocka_unit_test(test_cache__loaded_value_goes_fresh_stale_fallback_gone),
        cmocka_unit_test(test_cache__found_tells_times_age_and_kind),
        cmocka_unit_test(test_cache__negative_is_believed_for_its_own_time_and_never_stale),
        cmocka_unit_test(test_cache__uncacheable_is_known_as_such_for_120_s),
        cmocka_unit_test(test_cache__loader_s_ttl_replaces_the_class_s),
        cmocka_unit_test(test_cache__jitter_shortens_by_its_share),
        cmocka_unit_test(test_cache__set_under_a_class_takes_its_times),
        cmocka_unit_test(test_cache__del_says_whether_it_was_there_for_a_reader),
        cmocka_unit_test(test_cache__put_refuses_tags_it_cannot_keep),
        cmocka_unit_test(test_cache__edit_sees_and_changes_value_and_expiry),
        cmocka_unit_test(test_cache__edit_takes_times_of_any_size),
        cmocka_unit_test(test_cache__failed_edit_changes_nothing),
        cmocka_unit_test(test_cache__edit_does_not_find_what_is_negative_stale_or_invalid),
        cmocka_unit_test(test_cache__edit_keeps_times_class_and_tags),
        cmocka_unit_test(test_cache__edit_saves_nothing_from_an_invalidation_under_way),
        cmocka_unit_test(test_cache__key_invalidation_hard_and_soft),
        cmocka_unit_test(test_cache__softened_again_is_not_stale_for_longer),
        cmocka_unit_test(test_cache__stamps_hit_exactly_their_scope),
        cmocka_unit_test(test_cache__unknown_class_and_namespace_are_refused),
        cmocka_unit_test(test_cache__pattern_removes_and_counts_what_matches),
        cmocka_unit_test(test_cache__index_pattern_takes_lookalikes_too),
        cmocka_unit_test(test_cache__all_takes_everything_soft_what_may_be_stale),
        cmocka_unit_test(test_cache__overtaken_load_is_stored_nowhere),
        cmocka_unit_test(test_cache__load_overtaken_softly_is_stale_from_the_start),
        cmocka_unit_test(test_cache__writers_overtake_loads_and_win),
        cmocka_unit_test(
            test_cache__reader_after_an_invalidation_is_not_answered_by_a_load_before_it),
        cmocka_unit_test(test_cache__refused_fill_takes_the_old_value_away),
        cmocka_unit_test(test_cache__early_refresh_is_drawn_by_xfetch_and_bounded_by_its_budget),
        cmocka_unit_test(test_cache__early_refresh_that_nobody_read_counts_as_wasted),
        cmocka_unit_test(test_cache__cost_is_smoothed_over_loads),
        cmocka_unit_test(test_cache__invalidated_entries_leave_by_sweep),
        cmocka_unit_test(test_cache__swap_keeps_what_still_belongs_and_drops_the_rest),
        cmocka_unit_test(test_cache__swap_watches_as_many_keys_as_it_now_warms),
        cmocka_unit_test(test_cache__swap_gives_a_new_class_no_past),
        cmocka_unit_test(test_cache__swap_to_another_namespace_brings_nothing_back),
        cmocka_unit_test(test_cache__swap_overtakes_loads_that_begin_late),
        cmocka_unit_test(test_cache__explain_tells_what_is_known),
        cmocka_unit_test(test_cache__explain_says_why_the_last_read_missed),
        cmocka_unit_test(test_cache__scan_visits_what_a_read_would_find),
        cmocka_unit_test(test_cache__any_failing_allocation_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
