// Traces in their formats, and how a replay is told.

#include "cli/bench_trace.h"

#include "support.h"

static fb_trace parse(fb_str bytes, fb_trace_format format) {
    fb_trace trace;
    fb_error error = {0};
    assert_ok(fb_trace_parse(bytes, format, &trace, &error));
    return trace;
}

static void refuse(fb_str bytes, fb_trace_format format, uint32_t line, const char *text) {
    fb_trace trace;
    fb_error error = {0};
    assert_result(fb_trace_parse(bytes, format, &trace, &error), FB_ETYPE);
    assert_string_equal(error.text, text);
    assert_int_equal(error.line, line);
    fb_trace_release(&trace);
}

static void test_bench_trace__text_is_a_key_a_line(void **state) {
    (void)state;
    fb_trace trace = parse(FB_STR("a\nb b\r\n\na\nc"), FB_TRACE_TEXT);
    assert_int_equal(trace.count, 4);
    assert_int_equal(trace.distinct, 3);
    assert_null(trace.sizes);
    static const uint32_t keys[] = {0, 1, 0, 2};
    assert_memory_equal(trace.keys, keys, sizeof(keys));
    fb_trace_release(&trace);
}

static void test_bench_trace__a_size_may_follow_the_last_comma(void **state) {
    (void)state;
    fb_trace trace = parse(FB_STR("a,5\nb,c,7\na,6\n"), FB_TRACE_TEXT);
    static const uint32_t keys[] = {0, 1, 0};
    static const uint32_t sizes[] = {5, 7, 6};
    assert_int_equal(trace.count, 3);
    assert_memory_equal(trace.keys, keys, sizeof(keys));
    assert_memory_equal(trace.sizes, sizes, sizeof(sizes));
    assert_int_equal(trace.bytes, 12);
    fb_trace_release(&trace);
}

static void test_bench_trace__mistakes_in_text_are_told_with_their_line(void **state) {
    (void)state;
    refuse(FB_STR("a\nb,x\n"), FB_TRACE_TEXT, 2, "what follows the last comma is no size in bytes");
    refuse(FB_STR("a,-1"), FB_TRACE_TEXT, 1, "what follows the last comma is no size in bytes");
    refuse(FB_STR("a,4294967296"), FB_TRACE_TEXT, 1,
           "what follows the last comma is no size in bytes");
    refuse(FB_STR("\n\n,5\n"), FB_TRACE_TEXT, 3, "an empty key");
    refuse(FB_STR("a\n\0\n"), FB_TRACE_TEXT, 2, "a byte of 0: this is no text");
    refuse(FB_STR("\n\r\n"), FB_TRACE_TEXT, 0, "there is no request in it");
}

#define ORACLE_1       \
    "\1\0\0\0"         \
    "\7\0\0\0\0\0\0\1" \
    "\0\2\0\0"         \
    "\2\0\0\0\0\0\0\0"
#define ORACLE_2       \
    "\2\0\0\0"         \
    "\7\0\0\0\0\0\0\2" \
    "\1\0\0\0"         \
    "\377\377\377\377\377\377\377\377"

static void test_bench_trace__oracle_general_is_little_endian_records(void **state) {
    (void)state;
    fb_trace trace = parse(FB_STR(ORACLE_1 ORACLE_2 ORACLE_1), FB_TRACE_ORACLE);
    static const uint32_t keys[] = {0, 1, 0};
    static const uint32_t sizes[] = {512, 1, 512};
    assert_int_equal(trace.count, 3);
    assert_int_equal(trace.distinct, 2);
    assert_memory_equal(trace.keys, keys, sizeof(keys));
    assert_memory_equal(trace.sizes, sizes, sizeof(sizes));
    fb_trace_release(&trace);
    refuse(FB_STR(ORACLE_1 ORACLE_2 "x"), FB_TRACE_ORACLE, 3, "the last record is not whole");
    refuse(FB_STR(""), FB_TRACE_ORACLE, 0, "there is no request in it");
}

static void test_bench_trace__the_format_is_found_by_name_or_bytes(void **state) {
    (void)state;
    fb_str text = FB_STR("a\nb\n");
    fb_str binary = FB_STR(ORACLE_1);
    assert_int_equal(fb_trace_detect("x.txt", text), FB_TRACE_TEXT);
    assert_int_equal(fb_trace_detect("x", binary), FB_TRACE_ORACLE);
    assert_int_equal(fb_trace_detect("a.oracleGeneral", text), FB_TRACE_ORACLE);
    assert_int_equal(fb_trace_detect("a.bin", text), FB_TRACE_ORACLE);
    assert_int_equal(fb_trace_detect("a", FB_STR("")), FB_TRACE_TEXT);
}

static void test_bench_trace__many_keys_keep_their_numbers(void **state) {
    (void)state;
    fb_buf text = {0};
    for (unsigned i = 0; i < 20000; i++) {
        assert_ok(fb_buf_printf(&text, "key%u\n", i % 5000));
    }
    fb_trace trace = parse(fb_buf_str(&text), FB_TRACE_TEXT);
    assert_int_equal(trace.distinct, 5000);
    for (unsigned i = 0; i < 20000; i++) {
        assert_int_equal(trace.keys[i], i % 5000);
    }
    fb_trace_release(&trace);
    fb_buf_release(&text);
}

static void test_bench_trace__shares_are_parts_of_all(void **state) {
    (void)state;
    static fb_trace_figures figures;
    static const char *const wrong[] = {"",  "0",    "1.5", "0.1,",  ",0.1",
                                        "x", "-0.1", "nan", "0.1 ,1"};
    assert_ok(fb_trace_shares(FB_STR("0.001,0.5,1"), &figures));
    assert_int_equal(figures.case_count, 3);
    assert_true(figures.cases[1].share > 0.49 && figures.cases[1].share < 0.51);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_result(fb_trace_shares(fb_str_of(wrong[i]), &figures), FB_ETYPE);
    }
}

static void test_bench_trace__tells_what_it_measured(void **state) {
    (void)state;
    static fb_trace_figures figures;
    uint32_t keys[4000];
    for (uint32_t i = 0; i < 4000; i++) {
        keys[i] = i % 2 == 0 ? i % 20 : i;
    }
    fb_trace trace = {.keys = keys, .count = 4000, .distinct = 4000};
    figures = (fb_trace_figures){.file = "a \"trace\"", .format = FB_TRACE_TEXT};
    assert_ok(fb_trace_shares(FB_STR("0.01,1"), &figures));
    assert_ok(fb_trace_run(&trace, true, &figures));
    fb_buf text = {0}, json = {0};
    assert_ok(fb_trace_text(&figures, &text));
    assert_ok(fb_trace_json(&figures, &json));
    assert_ok(fb_buf_byte(&text, '\0'));
    assert_ok(fb_buf_byte(&json, '\0'));
    assert_non_null(
        strstr(text.ptr, "a \"trace\" (text): 4000 requests for 4000 distinct objects\n"));
    assert_non_null(strstr(text.ptr, "100 %"));
    assert_non_null(strstr(text.ptr, "S3-FIFO"));
    assert_non_null(strstr(json.ptr,
                           "{\"file\":\"a \\u0022trace\\u0022\",\"format\":\"text\","
                           "\"requests\":4000,\"distinct\":4000,"));
    assert_non_null(strstr(json.ptr, "\"objects\":40,"));
    assert_non_null(strstr(json.ptr, "\"lru_miss_ratio\":0."));
    // All fits: everything is missed once.
    assert_int_equal(figures.cases[1].replay.misses, 2010);
    assert_int_equal(figures.cases[1].lru_misses, 2010);
    fb_buf_release(&text);
    fb_buf_release(&json);
}

static int scenario(void *arg) {
    (void)arg;
    fb_trace trace;
    int result = fb_trace_parse(FB_STR("a,1\nb,2\n"), FB_TRACE_TEXT, &trace, NULL);
    fb_trace_release(&trace);
    return result;
}

static void test_bench_trace__survives_every_failing_allocation(void **state) {
    (void)state;
    assert_int_equal(test_memory_sweep(scenario, NULL), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_trace__text_is_a_key_a_line),
        cmocka_unit_test(test_bench_trace__a_size_may_follow_the_last_comma),
        cmocka_unit_test(test_bench_trace__mistakes_in_text_are_told_with_their_line),
        cmocka_unit_test(test_bench_trace__oracle_general_is_little_endian_records),
        cmocka_unit_test(test_bench_trace__the_format_is_found_by_name_or_bytes),
        cmocka_unit_test(test_bench_trace__many_keys_keep_their_numbers),
        cmocka_unit_test(test_bench_trace__shares_are_parts_of_all),
        cmocka_unit_test(test_bench_trace__tells_what_it_measured),
        cmocka_unit_test(test_bench_trace__survives_every_failing_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
