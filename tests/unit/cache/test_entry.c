// The bytes beside a value: small where there is little to keep, the same when read back, and any
// bytes at all can be read.

#include "base/mem.h"
#include "base/units.h"
#include "cache/entry.h"
#include "support.h"

static fb_entry plain(void) {
    return (fb_entry){.born_ms = 1234567890123, .fresh_until_ns = INT64_MAX, .dead_ns = INT64_MAX};
}

static size_t packed_len(const fb_entry *entry) {
    uint8_t bytes[FB_ENTRY_PACKED_MAX];
    fb_item item = {0};
    fb_entry_pack(entry, bytes, &item);
    return item.extra.len;
}

static void test_entry__costs_no_more_than_what_it_keeps(void **state) {
    fb_entry entry = plain();
    assert_int_equal(packed_len(&entry), 5);
    entry.fresh_until_ns = entry.dead_ns = 5000;
    assert_int_equal(packed_len(&entry), 5);
    entry.flags = FB_ENTRY_SEQ | FB_ENTRY_GRACE | FB_ENTRY_COST;
    assert_int_equal(packed_len(&entry), 23);
    assert_true(fb_entry_add_tag(&entry, 7));
    assert_true(fb_entry_add_tag(&entry, 8));
    assert_true(fb_entry_add_tag(&entry, 7));  // once
    assert_int_equal(packed_len(&entry), 29);
}

static void test_entry__takes_a_bounded_number_of_tags(void **state) {
    fb_entry entry = plain();
    for (uint32_t i = 0; i < FB_ENTRY_TAGS_MAX; i++) {
        assert_true(fb_entry_add_tag(&entry, i));
    }
    assert_false(fb_entry_add_tag(&entry, FB_ENTRY_TAGS_MAX));
    assert_true(fb_entry_add_tag(&entry, 3));
    entry.flags = FB_ENTRY_SEQ | FB_ENTRY_GRACE | FB_ENTRY_COST;
    char type[FB_CONTENT_TYPE_LEN_MAX];
    memset(type, 'a', sizeof type);
    entry.type = fb_str_make(type, sizeof type);
    assert_int_equal(packed_len(&entry), FB_ENTRY_PACKED_MAX);
}

static fb_entry random_entry(fb_rng *rng) {
    fb_entry entry = plain();
    entry.flags = (uint8_t)(fb_rng_next(rng) & 0x7f);
    entry.class_id = (uint16_t)fb_rng_next(rng);
    entry.born_ms = (int64_t)fb_rng_below(rng, UINT64_C(1) << 40);
    if (fb_rng_below(rng, 4) != 0) {
        entry.dead_ns = 1 + (int64_t)fb_rng_below(rng, INT64_MAX - 1);
    }
    entry.fresh_until_ns =
        entry.flags & FB_ENTRY_GRACE ? (int64_t)fb_rng_below(rng, INT64_MAX) : entry.dead_ns;
    if (entry.flags & FB_ENTRY_SEQ) {
        entry.seq = fb_rng_below(rng, UINT64_C(1) << 48);
    }
    if (entry.flags & FB_ENTRY_COST) {
        entry.cost_us = (uint32_t)fb_rng_next(rng);
    }
    for (uint64_t i = fb_rng_below(rng, FB_ENTRY_TAGS_MAX + 1); i > 0; i--) {
        (void)fb_entry_add_tag(&entry, (uint32_t)fb_rng_below(rng, (1 << 24) - 1));
    }
    static const char type[] = "multipart/form-data; boundary=\"a long one that has to be 120 bytes\"";
    entry.type = fb_str_make(type, (size_t)fb_rng_below(rng, sizeof type));
    return entry;
}

static void test_entry__is_the_same_when_read_back(void **state) {
    fb_rng rng = test_rng();
    for (int i = 0; i < 20000; i++) {
        fb_entry entry = random_entry(&rng);
        fb_entry back;
        uint8_t bytes[FB_ENTRY_PACKED_MAX];
        fb_item item = {0};
        fb_entry_pack(&entry, bytes, &item);
        memset(&back, 0xee, sizeof back);
        assert_true(fb_entry_unpack(&item, &back));
        assert_int_equal(back.flags, entry.flags);
        assert_int_equal(back.class_id, entry.class_id);
        assert_int_equal(back.born_ms, entry.born_ms);
        assert_int_equal(back.fresh_until_ns, entry.fresh_until_ns);
        assert_int_equal(back.dead_ns, entry.dead_ns);
        assert_int_equal(back.seq, entry.seq);
        assert_int_equal(back.cost_us, entry.cost_us);
        assert_int_equal(back.tag_count, entry.tag_count);
        assert_int_equal(fb_str_compare(back.type, entry.type), 0);
        assert_memory_equal(back.tags, entry.tags, entry.tag_count * sizeof entry.tags[0]);
    }
}

static void test_entry__any_bytes_can_be_read_and_judged(void **state) {
    fb_rng rng = test_rng();
    fb_class class_ = {.id = 3, .options = {.stale_ttl_ns = 5, .fallback_ttl_ns = INT64_MAX}};
    fb_tags *tags = NULL;
    void *room = fb_mem_zero(1, fb_outside_bytes(16));
    assert_ok(fb_tags_new(room, 16, 1, &tags));
    for (int i = 0; i < 200000; i++) {
        size_t len = (size_t)fb_rng_below(&rng, FB_STORE_EXTRA_MAX + 1);
        char *bytes = malloc(len + 1);  // of the exact size, for the sanitizer
        assert_non_null(bytes);
        for (size_t j = 0; j < len; j++) {
            bytes[j] = (char)fb_rng_next(&rng);
        }
        fb_item item = {.extra = {bytes, len},
                        .flags = (uint8_t)fb_rng_next(&rng),
                        .expires_ns = (int64_t)fb_rng_next(&rng)};
        fb_entry entry;
        if (fb_entry_unpack(&item, &entry)) {
            fb_judged judged;
            assert_in_range(entry.tag_count, 0, FB_ENTRY_TAGS_MAX);
            fb_entry_judge(&entry, &class_, tags, (int64_t)(fb_rng_next(&rng) >> 1), &judged);
            assert_int_not_equal(judged.find, FB_FIND_EARLY);
        }
        free(bytes);
        if (i % 1000 == 0) {
            fb_tags_bump(tags, (uint32_t)fb_rng_below(&rng, 16), i % 2000 == 0, i);
        }
    }
    fb_tags_free(tags);
    fb_mem_free(room);
}

static void test_entry__of_a_class_that_is_gone_is_nothing(void **state) {
    fb_tags *tags = NULL;
    void *room = fb_mem_zero(1, fb_outside_bytes(16));
    assert_ok(fb_tags_new(room, 16, 1, &tags));
    fb_entry entry = plain();
    fb_judged judged;
    fb_entry_judge(&entry, NULL, tags, 1, &judged);
    assert_int_equal(judged.find, FB_FIND_NOTHING);
    fb_tags_free(tags);
    fb_mem_free(room);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry__costs_no_more_than_what_it_keeps),
        cmocka_unit_test(test_entry__takes_a_bounded_number_of_tags),
        cmocka_unit_test(test_entry__is_the_same_when_read_back),
        cmocka_unit_test(test_entry__any_bytes_can_be_read_and_judged),
        cmocka_unit_test(test_entry__of_a_class_that_is_gone_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
