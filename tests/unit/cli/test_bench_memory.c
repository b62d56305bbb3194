// What `forebay bench memory` makes of what it measured, and what it measures with: medians, goals,
// both forms of the report, keys and their distribution, the circle of reads, a crew at work.

#include "support.h"

#include <math.h>

#include "base/json.h"
#include "cli/bench_crew.h"
#include "cli/bench_memory.h"

static fb_memory_figures figures;

static fb_memory_case *add(fb_memory_work work, uint32_t entries, uint32_t threads, double cpu_ns) {
    fb_memory_case *one = &figures.cases[figures.case_count++];
    *one = (fb_memory_case){.work = work, .entries = entries, .threads = threads};
    for (uint32_t i = 0; i < figures.rounds; i++) {
        one->samples[i] = (fb_memory_sample){.cpu_ns = cpu_ns,
                                             .elapsed_ns = cpu_ns / threads,
                                             .cpus = threads,
                                             .hit_ratio = 1,
                                             .read_ns = 100};
    }
    return one;
}

// Everything as it should be.
static void make_figures(void) {
    figures = (fb_memory_figures){.time = "2026-01-02T03:04:05.000000Z",
                                  .processors = 2,
                                  .rounds = 5,
                                  .space = {.entries_wanted = 1000000,
                                            .entries = 1000000,
                                            .limit_bytes = 160000000,
                                            .used_bytes = 159000000,
                                            .rss_bytes = 161000000,
                                            .payload_bytes = 124}};
    add(FB_MEMORY_READ, 0, 1, 100);
    add(FB_MEMORY_READ, 0, 2, 100);
    for (uint32_t threads = 1; threads <= 2; threads++) {
        add(FB_MEMORY_HIT, 10000, threads, 20);
        add(FB_MEMORY_HIT, 1000000, threads, 80);
        add(FB_MEMORY_BATCH, 1000000, threads, 30);
    }
}

static const char *text_of(int (*write)(const fb_memory_figures *figures, fb_buf *out)) {
    static char text[16000];
    fb_buf out = {0};
    assert_ok(write(&figures, &out));
    assert_true(out.len < sizeof text);
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    fb_buf_release(&out);
    return text;
}

static size_t count_verdicts(fb_memory_verdict verdict) {
    fb_memory_goal goals[FB_MEMORY_GOALS_MAX];
    size_t count = 0, goal_count = fb_memory_judge(&figures, goals);
    for (size_t i = 0; i < goal_count; i++) {
        count += goals[i].verdict == verdict;
    }
    return count;
}

static void test_bench_memory__judges_every_goal_that_was_measured(void **state) {
    make_figures();
    assert_int_equal(count_verdicts(FB_MEMORY_HOLDS), 6);
    figures.case_count = 0;
    figures.space.entries_wanted = 10000;
    assert_int_equal(count_verdicts(FB_MEMORY_HOLDS) + count_verdicts(FB_MEMORY_FAILS), 0);
}

static void test_bench_memory__a_goal_fails_just_above_its_bound(void **state) {
    make_figures();
    add(FB_MEMORY_HIT, 10000, 1, 0);  // not found: an earlier one is
    for (uint32_t i = 0; i < figures.rounds; i++) {
        figures.cases[2].samples[i].cpu_ns = 25.1;
    }
    figures.space.limit_bytes = 164000001;
    assert_int_equal(count_verdicts(FB_MEMORY_FAILS), 2);
    assert_non_null(strstr(text_of(fb_memory_text), "fails       a hit at 10000 entries"));
    assert_non_null(strstr(text_of(fb_memory_text), "fails       an entry takes 40.0 bytes"));
}

static void test_bench_memory__a_ratio_is_the_median_of_the_ratios_of_rounds(void **state) {
    make_figures();
    fb_memory_case *one = add(FB_MEMORY_PUT, 10000, 1, 100);
    static const double COSTS[] = {100, 200, 900, 400, 500}, READS[] = {100, 100, 300, 100, 100};
    for (size_t i = 0; i < 5; i++) {
        one->samples[i].cpu_ns = COSTS[i];
        one->samples[i].read_ns = READS[i];
    }
    fb_memory_row row = fb_memory_summarise(&figures, one);
    assert_float_equal(row.ratio, 3, 1e-9);
    assert_float_equal(row.cpu_ns, 400, 1e-9);
    assert_float_equal(row.speedup, 0, 1e-9);
}

static void test_bench_memory__a_speedup_counts_only_rounds_with_processors_of_ones_own(
    void **state) {
    make_figures();
    fb_memory_case *two = &figures.cases[5];
    assert_int_equal(two->work, FB_MEMORY_HIT);
    assert_int_equal(two->threads, 2);
    for (size_t i = 0; i < 4; i++) {
        two->samples[i].cpus = 1.3;
        two->samples[i].elapsed_ns *= 1.5;
    }
    assert_float_equal(fb_memory_summarise(&figures, two).speedup, 2, 1e-9);
    assert_int_equal(count_verdicts(FB_MEMORY_UNJUDGED), 0);
    two->samples[4].cpus = 1.89;
    assert_float_equal(fb_memory_summarise(&figures, two).speedup, 0, 1e-9);
    assert_float_equal(fb_memory_summarise(&figures, two).speedup_cpu, 2, 1e-9);
    assert_int_equal(count_verdicts(FB_MEMORY_UNJUDGED), 1);
    assert_non_null(strstr(text_of(fb_memory_text), "never gave them two processors"));
}

static void test_bench_memory__says_that_a_value_was_wrong(void **state) {
    make_figures();
    assert_null(strstr(text_of(fb_memory_text), "WRONG"));
    figures.wrong = 3;
    assert_non_null(strstr(text_of(fb_memory_text), "WRONG: 3 values"));
}

static void test_bench_memory__as_json_is_one_line_of_json(void **state) {
    make_figures();
    const char *text = text_of(fb_memory_json);
    size_t len = strlen(text);
    assert_int_equal(text[len - 1], '\n');
    assert_true(fb_json_valid(fb_str_make(text, len - 1)));
    assert_null(memchr(text, '\n', len - 1));
    figures.rounds = 0;
    figures.space = (fb_memory_space){0};
    assert_null(strstr(text_of(fb_memory_json), "nan"));
}

static void test_bench_memory__churn_is_judged_by_the_most_it_took(void **state) {
    fb_churn_figures churn = {.seconds = 600, .threads = 2, .limit_bytes = 100, .gets = 10};
    fb_buf text = {0}, json = {0};
    churn.rss_max_bytes = 105;
    assert_int_equal(fb_churn_judge(&churn).verdict, FB_MEMORY_HOLDS);
    churn.rss_max_bytes = 106;
    assert_int_equal(fb_churn_judge(&churn).verdict, FB_MEMORY_FAILS);
    assert_ok(fb_churn_text(&churn, &text));
    assert_ok(fb_churn_json(&churn, &json));
    assert_true(fb_json_valid(fb_str_make(json.ptr, json.len - 1)));
    fb_buf_release(&text);
    fb_buf_release(&json);
}

static int write_all(void *arg) {
    fb_buf text = {0}, json = {0};
    fb_churn_figures churn = {.limit_bytes = 1};
    int result = fb_memory_text(&figures, &text);
    result = result == FB_OK ? fb_churn_text(&churn, &text) : result;
    result = result == FB_OK ? fb_memory_json(&figures, &json) : result;
    result = result == FB_OK ? fb_churn_json(&churn, &json) : result;
    fb_buf_release(&text);
    fb_buf_release(&json);
    return result;
}

static void test_bench_memory__lack_of_memory_is_reported(void **state) {
    make_figures();
    assert_true(test_memory_sweep(write_all, NULL) > 1);
}

// ---- the instruments

static void test_bench_memory__keys_differ_and_values_tell_whose_they_are(void **state) {
    char a[FB_KEYS_LEN_MAX], b[FB_KEYS_LEN_MAX], value[FB_KEYS_VALUE_LEN];
    bool seen[FB_KEYS_LEN_MAX + 1] = {false};
    for (uint32_t i = 0; i < 5000; i++) {
        fb_str one = {a, fb_keys_write(i, a)}, other = {b, fb_keys_write(i + 1, b)};
        assert_in_range(one.len, FB_KEYS_LEN_MIN, FB_KEYS_LEN_MAX);
        seen[one.len] = true;
        fb_keys_value(one, value, sizeof value);
        assert_true(fb_keys_match(one, value));
        assert_false(fb_keys_match(other, value));
    }
    for (size_t len = FB_KEYS_LEN_MIN; len <= FB_KEYS_LEN_MAX; len++) {
        assert_true(seen[len]);
    }
}

static void test_bench_memory__ranks_are_drawn_by_zipf(void **state) {
    enum { COUNT = 1000, DRAWN = 400000 };
    static const double EXPONENTS[] = {0.6, 0.99, 1.4};
    for (size_t e = 0; e < 3; e++) {
        static uint32_t drawn[COUNT + 1];
        double norm = 0;
        fb_zipf zipf;
        fb_rng rng;
        memset(drawn, 0, sizeof drawn);
        fb_zipf_init(&zipf, COUNT, EXPONENTS[e]);
        fb_rng_init(&rng, 7);
        for (int i = 0; i < DRAWN; i++) {
            uint64_t rank = fb_zipf_next(&zipf, &rng);
            assert_in_range(rank, 1, COUNT);
            drawn[rank]++;
        }
        for (int rank = 1; rank <= COUNT; rank++) {
            norm += pow(rank, -EXPONENTS[e]);
        }
        for (int rank = 1; rank <= COUNT; rank = rank * 3 + 1) {
            double expected = DRAWN * pow(rank, -EXPONENTS[e]) / norm;
            assert_true(fabs(drawn[rank] - expected) < 6 * sqrt(expected) + 3);
        }
    }
}

static void test_bench_memory__a_sequence_begins_again_at_its_end(void **state) {
    enum { DRAWN = 3 * FB_KEYS_STRIDE + 5 };
    fb_keys keys;
    fb_keys_place first, last;
    assert_ok(fb_keys_new(&keys, DRAWN));
    fb_keys_draw(&keys, 100, 1);
    fb_keys_begin(&first, &keys, 0);
    fb_keys_begin(&last, &keys, 0.999);
    for (int i = 0; i < 5; i++) {
        (void)fb_keys_next(&last);
    }
    for (int i = 0; i < 2 * DRAWN; i++) {
        fb_str one = fb_keys_next(&first), other = fb_keys_next(&last);
        assert_in_range(one.len, FB_KEYS_LEN_MIN, FB_KEYS_LEN_MAX);
        assert_ptr_equal(one.ptr, other.ptr);
    }
    fb_keys_release(&keys);
}

static void test_bench_memory__the_ring_is_one_circle_through_every_line(void **state) {
    enum { BYTES = 1 << 20, LINES = BYTES / 64 };
    static bool seen[LINES];
    fb_ring ring;
    size_t count = 0, near = 0;
    assert_ok(fb_ring_new(&ring, BYTES));
    memset(seen, 0, sizeof seen);
    for (char *at = ring.lines, *next; !seen[(size_t)(at - (char *)ring.lines) / 64]; at = next) {
        seen[(size_t)(at - (char *)ring.lines) / 64] = true;
        next = *(char **)(void *)at;
        near += labs(next - at) < 4096;
        count++;
    }
    assert_int_equal(count, LINES);
    assert_true(near < LINES / 20);
    fb_ring_free(&ring);
    fb_ring_free(&ring);
}

static void test_bench_memory__a_crew_hits_what_is_there_and_puts_what_is_not(void **state) {
    enum { ENTRIES = 2000, THREADS = 3 };
    fb_store_options options = {.limit_bytes = 4 << 20, .seed = 1};
    static fb_crew_part parts[THREADS];
    fb_memory_sample sample = {0};
    fb_store *store;
    fb_keys keys;
    assert_ok(fb_store_new(&options, &store));
    assert_ok(fb_keys_new(&keys, 20000));
    fb_keys_draw(&keys, ENTRIES, 1);
    static const struct {
        fb_memory_work work;
        double hits_min, hits_max;
    } STEPS[] = {{FB_MEMORY_HIT, 0, 0}, {FB_MEMORY_BATCH, 0, 0}, {FB_MEMORY_MIX, 0.1, 0.999},
                 {FB_MEMORY_PUT, 0, 0}, {FB_MEMORY_HIT, 1, 1},   {FB_MEMORY_BATCH, 1, 1}};
    for (size_t i = 0; i < sizeof STEPS / sizeof STEPS[0]; i++) {
        for (size_t t = 0; t < THREADS; t++) {
            parts[t] = (fb_crew_part){.work = STEPS[i].work, .store = store, .ops = 16000};
            fb_keys_begin(&parts[t].place, &keys, 0);
        }
        assert_ok(fb_crew_run(parts, THREADS, &sample));
        assert_true(sample.hit_ratio >= STEPS[i].hits_min && sample.hit_ratio <= STEPS[i].hits_max);
        assert_true(sample.cpu_ns > 0 && sample.elapsed_ns > 0 && sample.cpus > 0);
        for (size_t t = 0; t < THREADS; t++) {
            assert_int_equal(parts[t].wrong, 0);
        }
    }
    fb_keys_release(&keys);
    fb_store_free(store);
}

static void test_bench_memory__churn_counts_what_it_did_and_finds_no_wrong_value(void **state) {
    fb_churn_figures churn;
    assert_ok(fb_churn_run(0.2, 2, 16 << 20, &churn));
    assert_true(churn.puts > 0 && churn.gets > 0 && churn.entries > 0);
    assert_true(churn.hits <= churn.gets);
    assert_true(churn.used_max_bytes <= churn.limit_bytes);
    assert_int_equal(churn.wrong, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_memory__judges_every_goal_that_was_measured),
        cmocka_unit_test(test_bench_memory__a_goal_fails_just_above_its_bound),
        cmocka_unit_test(test_bench_memory__a_ratio_is_the_median_of_the_ratios_of_rounds),
        cmocka_unit_test(
            test_bench_memory__a_speedup_counts_only_rounds_with_processors_of_ones_own),
        cmocka_unit_test(test_bench_memory__says_that_a_value_was_wrong),
        cmocka_unit_test(test_bench_memory__as_json_is_one_line_of_json),
        cmocka_unit_test(test_bench_memory__churn_is_judged_by_the_most_it_took),
        cmocka_unit_test(test_bench_memory__lack_of_memory_is_reported),
        cmocka_unit_test(test_bench_memory__keys_differ_and_values_tell_whose_they_are),
        cmocka_unit_test(test_bench_memory__ranks_are_drawn_by_zipf),
        cmocka_unit_test(test_bench_memory__a_sequence_begins_again_at_its_end),
        cmocka_unit_test(test_bench_memory__the_ring_is_one_circle_through_every_line),
        cmocka_unit_test(test_bench_memory__a_crew_hits_what_is_there_and_puts_what_is_not),
        cmocka_unit_test(test_bench_memory__churn_counts_what_it_did_and_finds_no_wrong_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
