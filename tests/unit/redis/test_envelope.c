#include "redis/envelope.h"

#include "base/buf.h"
#include "support.h"

static fb_loaded loaded_of(const char *text) {
    fb_loaded loaded;
    fb_loaded_init(&loaded);
    loaded.result = FB_OK;
    assert_ok(fb_loaded_value(&loaded, fb_str_of(text)));
    return loaded;
}

// As a script puts it together.
static void put_together(const fb_envelope *how, const fb_loaded *loaded, fb_buf *bytes) {
    char head[FB_ENVELOPE_HEAD_LEN];
    fb_buf rest = {0};

    assert_ok(fb_envelope_write(how, loaded, head, &rest));
    fb_envelope_put64(head + 4, how->epoch);
    fb_envelope_put64(head + 12, how->version);
    fb_envelope_put64(head + 20, (uint64_t)how->born_ms);
    fb_envelope_put64(head + 28, loaded->source_version);
    bytes->len = 0;
    assert_ok(fb_buf_append(bytes, fb_str_make(head, sizeof head)));
    assert_ok(fb_buf_append(bytes, fb_buf_str(&rest)));
    fb_buf_release(&rest);
}

static fb_envelope full(void) {
    return (fb_envelope){.epoch = UINT64_MAX,
                         .version = 0x0102030405060708,
                         .born_ms = 1700000000000,
                         .wide = {1, UINT64_MAX - 1, 3},
                         .class_name = FB_STR("package"),
                         .payload = FB_STR("[1]")};
}

static void test_envelope__what_is_written_is_read(void **state) {
    (void)state;
    fb_envelope how = full(), read;
    fb_loaded loaded = loaded_of("[1]"), back;
    fb_buf bytes = {0};

    loaded.source_version = 77;
    assert_ok(fb_loaded_tag(&loaded, FB_STR("a")));
    assert_ok(fb_loaded_add_tag(&loaded, FB_STR("\x01own")));
    put_together(&how, &loaded, &bytes);
    assert_ok(fb_envelope_read(fb_buf_str(&bytes), &read));
    assert_true(read.epoch == how.epoch && read.version == how.version);
    assert_true(read.born_ms == how.born_ms && read.source_version == 77);
    assert_memory_equal(&read.wide, &how.wide, sizeof how.wide);
    assert_str(read.class_name, "package");
    assert_str(read.payload, "[1]");
    assert_false(read.compressed);
    fb_loaded_init(&back);
    assert_ok(fb_envelope_load(&read, read.payload, &back));
    assert_int_equal(back.kind, FB_KIND_JSON);
    assert_int_equal(back.tag_count, 2);
    assert_str(fb_loaded_tag_at(&back, 1), "\x01own");
    assert_int_equal(back.source_version, 77);
    assert_str(fb_blob_str(back.value), "[1]");
    fb_loaded_release(&back);
    fb_loaded_release(&loaded);
    fb_buf_release(&bytes);
}

static void test_envelope__a_frame_keeps_its_length_and_dictionary(void **state) {
    (void)state;
    fb_envelope how = full(), read;
    fb_loaded loaded = loaded_of("text");
    fb_buf bytes = {0};

    how.compressed = true;
    how.raw_len = UINT32_MAX;
    how.dictionary = 0x80000001;
    put_together(&how, &loaded, &bytes);
    assert_ok(fb_envelope_read(fb_buf_str(&bytes), &read));
    assert_true(read.compressed);
    assert_true(read.raw_len == UINT32_MAX && read.dictionary == 0x80000001);
    assert_str(read.payload, "[1]");
    fb_loaded_release(&loaded);
    fb_buf_release(&bytes);
}

static void test_envelope__every_end_that_is_missing_is_seen(void **state) {
    (void)state;
    fb_envelope how = full(), read;
    fb_loaded loaded = loaded_of("text");
    fb_buf bytes = {0};

    assert_ok(fb_loaded_tag(&loaded, FB_STR("tag")));
    put_together(&how, &loaded, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        // On the heap and of that length: a sanitizer sees what is read behind it.
        char *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, bytes.ptr, len);
        bool payload_only = len >= bytes.len - 3;
        assert_result(fb_envelope_read(fb_str_make(copy, len), &read),
                      payload_only ? FB_OK : FB_ESYNTAX);
        free(copy);
    }
    fb_loaded_release(&loaded);
    fb_buf_release(&bytes);
}

static void test_envelope__a_head_that_lies_is_refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        char byte;
    } LIES[] = {{0, 1}, {1, 'x'}, {2, 1}, {3, 1}, {60, 2}, {61, 100}};
    fb_envelope how = full(), read;
    fb_loaded loaded = loaded_of("text");
    fb_buf bytes = {0};

    put_together(&how, &loaded, &bytes);
    assert_ok(fb_envelope_read(fb_buf_str(&bytes), &read));
    for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
        char was = bytes.ptr[LIES[i].at];
        bytes.ptr[LIES[i].at] = LIES[i].byte;
        assert_result(fb_envelope_read(fb_buf_str(&bytes), &read), FB_ESYNTAX);
        bytes.ptr[LIES[i].at] = was;
    }
    memset(bytes.ptr + 12, 0, 8);  // a version of 0
    assert_result(fb_envelope_read(fb_buf_str(&bytes), &read), FB_ESYNTAX);
    fb_loaded_release(&loaded);
    fb_buf_release(&bytes);
}

static void test_envelope__tags_that_no_value_can_have_are_refused(void **state) {
    (void)state;
    fb_envelope envelope = {.kind = 'b', .tag_count = 1, .tags = FB_STR("\0")};
    fb_loaded loaded;

    fb_loaded_init(&loaded);
    assert_result(fb_envelope_load(&envelope, FB_STR("v"), &loaded), FB_ESYNTAX);
    fb_loaded_release(&loaded);
}

static int load_and_write(void *arg) {
    fb_envelope how = full();
    fb_loaded loaded, back;
    fb_buf bytes = {0};
    char what[FB_ENVELOPE_WHAT_LEN];
    (void)arg;

    fb_loaded_init(&loaded);
    fb_loaded_init(&back);
    fb_envelope read = {.kind = 'b', .tag_count = 1, .tags = FB_STR("\1t")};
    int result = fb_loaded_value(&loaded, FB_STR("x"));
    if (result == FB_OK) {
        result = fb_envelope_write(&how, &loaded, what, &bytes);
    }
    if (result == FB_OK) {
        result = fb_envelope_load(&read, FB_STR("v"), &back);
    }
    fb_buf_release(&bytes);
    fb_loaded_release(&loaded);
    fb_loaded_release(&back);
    return result;
}

static void test_envelope__every_allocation_may_fail(void **state) {
    (void)state;
    assert_true(test_memory_sweep(load_and_write, NULL) >= 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelope__what_is_written_is_read),
        cmocka_unit_test(test_envelope__a_frame_keeps_its_length_and_dictionary),
        cmocka_unit_test(test_envelope__every_end_that_is_missing_is_seen),
        cmocka_unit_test(test_envelope__a_head_that_lies_is_refused),
        cmocka_unit_test(test_envelope__tags_that_no_value_can_have_are_refused),
        cmocka_unit_test(test_envelope__every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
