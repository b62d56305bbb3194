// What a loader hands over.

#include "support.h"

#include "cache/loaded.h"

static void test_loaded__value_is_copied_once_and_its_kind_is_detected(void **state) {
    static const struct {
        const char *text;
        fb_kind kind;
    } values[] = {{"{\"a\":1}", FB_KIND_JSON}, {" [1, 2]\n", FB_KIND_JSON},
                  {"17", FB_KIND_JSON},        {"hello", FB_KIND_BYTES},
                  {"", FB_KIND_BYTES},         {"{\"a\":}", FB_KIND_BYTES}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        fb_loaded loaded;
        fb_loaded_init(&loaded);
        assert_int_equal(loaded.result, FB_ESOURCE);
        char text[32];
        (void)snprintf(text, sizeof text, "%s", values[i].text);
        assert_ok(fb_loaded_value(&loaded, fb_str_of(text)));
        memset(text, 'x', sizeof text);
        assert_str(fb_blob_str(loaded.value), values[i].text);
        assert_int_equal(loaded.kind, values[i].kind);
        assert_result(fb_loaded_value(&loaded, FB_STR("again")), FB_EINVAL);
        assert_str(fb_blob_str(loaded.value), values[i].text);
        fb_loaded_release(&loaded);
        assert_null(loaded.value);
        fb_loaded_release(&loaded);
    }
}

static void test_loaded__sixteen_tags_and_no_more(void **state) {
    fb_loaded loaded;
    char text[FB_TAG_LEN_MAX + 1];
    fb_loaded_init(&loaded);
    memset(text, 't', sizeof text);
    assert_result(fb_loaded_tag(&loaded, FB_STR("")), FB_EINVAL);
    assert_result(fb_loaded_tag(&loaded, FB_STR("\x01mine")), FB_EINVAL);
    assert_result(fb_loaded_tag(&loaded, fb_str_make(text, sizeof text)), FB_EINVAL);
    assert_int_equal(loaded.tag_count, 0);
    assert_ok(fb_loaded_tag(&loaded, fb_str_make(text, FB_TAG_LEN_MAX)));
    assert_ok(fb_loaded_add_tag(&loaded, FB_STR("\x01own")));
    for (int i = 2; i < FB_TAGS_MAX; i++) {
        int len = snprintf(text, sizeof text, "tag:%d", i);
        assert_ok(fb_loaded_tag(&loaded, fb_str_make(text, (size_t)len)));
        assert_ok(fb_loaded_tag(&loaded, fb_str_make(text, (size_t)len)));
    }
    assert_int_equal(loaded.tag_count, FB_TAGS_MAX);
    assert_result(fb_loaded_tag(&loaded, FB_STR("more")), FB_EINVAL);
    assert_ok(fb_loaded_tag(&loaded, FB_STR("tag:2")));
    assert_int_equal(loaded.tag_count, FB_TAGS_MAX);
    assert_str(fb_loaded_tag_at(&loaded, 1), "\x01own");
    assert_str(fb_loaded_tag_at(&loaded, 2), "tag:2");
    assert_str(fb_loaded_tag_at(&loaded, 15), "tag:15");
    fb_loaded_release(&loaded);
    assert_int_equal(loaded.tag_count, 0);
}

static void test_loaded__may_be_moved(void **state) {
    fb_loaded from, to;
    fb_loaded_init(&from);
    assert_ok(fb_loaded_value(&from, FB_STR("v")));
    assert_ok(fb_loaded_tag(&from, FB_STR("t")));
    to = from;
    fb_loaded_init(&from);
    assert_str(fb_blob_str(to.value), "v");
    assert_str(fb_loaded_tag_at(&to, 0), "t");
    fb_loaded_release(&from);
    fb_loaded_release(&to);
}

static void test_loaded__lifetime_version_and_error_are_kept(void **state) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    assert_int_equal(loaded.ttl_ms, -1);
    fb_loaded_ttl(&loaded, 0);
    assert_int_equal(loaded.ttl_ms, 0);
    fb_loaded_ttl(&loaded, -7);
    assert_int_equal(loaded.ttl_ms, -1);
    fb_loaded_ttl(&loaded, 1500);
    assert_int_equal(loaded.ttl_ms, 1500);
    fb_loaded_version(&loaded, UINT64_MAX);
    assert_true(loaded.source_version == UINT64_MAX);
    fb_loaded_uncacheable(&loaded);
    assert_true(loaded.uncacheable);
    char text[600];
    for (size_t i = 0; i < sizeof text; i += 2) {
        memcpy(text + i, "ß", 2);
    }
    fb_loaded_error(&loaded, fb_str_make(text, sizeof text));
    assert_int_equal(strlen(loaded.error), 254);
    fb_loaded_error(&loaded, FB_STR("short"));
    assert_string_equal(loaded.error, "short");
    fb_loaded_error(&loaded, fb_str_make(NULL, 0));
    assert_string_equal(loaded.error, "");
    fb_loaded_release(&loaded);
}

static int fill(void *arg) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    int result = fb_loaded_value(&loaded, FB_STR("{}"));
    for (int i = 0; result == FB_OK && i < FB_TAGS_MAX; i++) {
        char text[64];
        int len = snprintf(text, sizeof text, "%d: a tag that takes some room of its own", i);
        result = fb_loaded_tag(&loaded, fb_str_make(text, (size_t)len));
        assert_int_equal(loaded.tag_count, result == FB_OK ? i + 1 : i);
    }
    fb_loaded_release(&loaded);
    return result;
}

static void test_loaded__every_failing_allocation_is_reported(void **state) {
    assert_true(test_memory_sweep(fill, NULL) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loaded__value_is_copied_once_and_its_kind_is_detected),
        cmocka_unit_test(test_loaded__sixteen_tags_and_no_more),
        cmocka_unit_test(test_loaded__may_be_moved),
        cmocka_unit_test(test_loaded__lifetime_version_and_error_are_kept),
        cmocka_unit_test(test_loaded__every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
