// The report of known samples: its figures, both its forms, and with too little memory.

#include "support.h"

#include "base/json.h"
#include "cli/bench_report.h"

static fb_bench_sample samples[4] = {
    {"name=a", 10, 1, "source", "memory", 100},
    {"name=b", 20, 2, "source", "memory", 200},
    {"name=a", 30, 1, "source", "memory", 100},
    {"name=b", 40, 4, "source", "source", 200},
};

static fb_bench make_bench(size_t sample_count) {
    fb_bench bench = {.time = "2026-01-02T03:04:05.000000Z",
                      .address = "127.0.0.1:6380",
                      .samples = samples,
                      .sample_count = sample_count,
                      .ping_ms = 0.5,
                      .before = {.name = "package", .hits = 90, .misses = 10, .loads = 10},
                      .after = {.name = "package", .hits = 93, .misses = 15, .loads = 15},
                      .server = {.entries = 12, .memory_limit_bytes = 256 << 20}};
    return bench;
}

static void collect(void *arg, const char *text) {
    strcat(arg, text);
    strcat(arg, "\n");
}

static const char *advice_of(const fb_bench *bench) {
    static char all[4000];
    all[0] = '\0';
    fb_bench_advise(bench, collect, all);
    return all;
}

static const char *text_of(const fb_bench *bench) {
    static char text[8000];
    fb_buf out = {0};
    assert_ok(fb_bench_text(bench, &out));
    assert_true(out.len < sizeof text);
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    fb_buf_release(&out);
    return text;
}

static void assert_near(double actual, double expected) {
    if (actual < expected - 1e-9 || actual > expected + 1e-9) {
        fail_msg("%.12g, not %.12g", actual, expected);
    }
}

static void test_bench_report__means_and_deviations_are_those_of_a_sample(void **state) {
    fb_bench bench = make_bench(4);
    fb_bench_summary is = fb_bench_summarise(&bench, FB_BENCH_UNCACHED);
    assert_near(is.mean, 25);
    assert_near(is.deviation * is.deviation, 500.0 / 3);
    assert_near(is.least, 10);
    assert_near(is.most, 40);
    is = fb_bench_summarise(&bench, FB_BENCH_SPEEDUP);
    assert_near(is.mean, (10 + 10 + 30 + 10) / 4.0);
    assert_near(is.deviation, 10);
}

static void test_bench_report__one_sample_deviates_by_nothing(void **state) {
    fb_bench bench = make_bench(1);
    fb_bench_summary is = fb_bench_summarise(&bench, FB_BENCH_CACHED);
    assert_near(is.mean, 1);
    assert_near(is.deviation, 0);
    assert_near(is.least, 1);
    assert_near(is.most, 1);
}

static void test_bench_report__nothing_measured_is_zero(void **state) {
    fb_bench bench = make_bench(0);
    fb_bench_summary is = fb_bench_summarise(&bench, FB_BENCH_SPEEDUP);
    assert_near(is.mean + is.deviation + is.least + is.most, 0);
    fb_bench_sample instant = {"", 1, 0, "source", "memory", 0};
    bench.samples = &instant;
    bench.sample_count = 1;
    assert_near(fb_bench_summarise(&bench, FB_BENCH_SPEEDUP).mean, 0);
    assert_null(strstr(text_of(&bench), "inf"));
    assert_null(strstr(text_of(&bench), "nan"));
}

static void test_bench_report__judges_the_class_by_reads_before_its_own(void **state) {
    fb_bench bench = make_bench(3);
    assert_non_null(strstr(advice_of(&bench), "hit rate 90.0% of 100 reads"));
    bench.before.hits = bench.before.misses = 0;
    assert_non_null(strstr(advice_of(&bench), "Nobody had read the class before"));
}

static void test_bench_report__says_when_cached_reads_came_from_the_source(void **state) {
    fb_bench bench = make_bench(3);
    assert_null(strstr(advice_of(&bench), "went to the source again"));
    bench.sample_count = 4;
    assert_non_null(strstr(advice_of(&bench), "1 of 4 reads after the pause went to the source"));
}

static void test_bench_report__says_when_the_round_trip_is_most_of_it(void **state) {
    fb_bench bench = make_bench(1);
    bench.ping_ms = 0.4;
    assert_null(strstr(advice_of(&bench), "round trip"));
    bench.ping_ms = 0.8;
    assert_non_null(strstr(advice_of(&bench), "80 % of a cached answer is the round trip"));
    bench.ping_ms = 3;
    assert_non_null(strstr(advice_of(&bench), "100 % of a cached answer is the round trip"));
}

static void test_bench_report__counts_how_often_the_source_was_asked(void **state) {
    fb_bench bench = make_bench(4);
    assert_non_null(strstr(text_of(&bench), "source  up: asked 5 times during this report"));
    assert_non_null(strstr(text_of(&bench), "shared  not configured"));
    bench.server.shared.state = FB_SHARED_AWAY;
    assert_non_null(strstr(text_of(&bench), "shared  down"));
    bench.server.shared.state = FB_SHARED_CONNECTED;
    assert_non_null(strstr(text_of(&bench), "shared  up"));
}

static void test_bench_report__as_json_is_one_line_of_json(void **state) {
    fb_bench bench = make_bench(4);
    fb_buf out = {0};
    snprintf(samples[0].params, sizeof samples[0].params, "name=\"quoted\"\n");
    assert_ok(fb_bench_json(&bench, &out));
    assert_true(out.len > 0 && out.ptr[out.len - 1] == '\n');
    assert_true(fb_json_valid(fb_str_make(out.ptr, out.len - 1)));
    assert_null(memchr(out.ptr, '\n', out.len - 1));
    fb_buf_release(&out);
    snprintf(samples[0].params, sizeof samples[0].params, "name=a");
}

static int write_both(void *arg) {
    fb_buf text = {0}, json = {0};
    int result = fb_bench_text(arg, &text);
    if (result == FB_OK) {
        result = fb_bench_json(arg, &json);
    }
    fb_buf_release(&text);
    fb_buf_release(&json);
    return result;
}

static void test_bench_report__lack_of_memory_is_reported(void **state) {
    fb_bench bench = make_bench(4);
    assert_true(test_memory_sweep(write_both, &bench) > 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_report__means_and_deviations_are_those_of_a_sample),
        cmocka_unit_test(test_bench_report__one_sample_deviates_by_nothing),
        cmocka_unit_test(test_bench_report__nothing_measured_is_zero),
        cmocka_unit_test(test_bench_report__judges_the_class_by_reads_before_its_own),
        cmocka_unit_test(test_bench_report__says_when_cached_reads_came_from_the_source),
        cmocka_unit_test(test_bench_report__says_when_the_round_trip_is_most_of_it),
        cmocka_unit_test(test_bench_report__counts_how_often_the_source_was_asked),
        cmocka_unit_test(test_bench_report__as_json_is_one_line_of_json),
        cmocka_unit_test(test_bench_report__lack_of_memory_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
