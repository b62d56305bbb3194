// The four documents: every field of the shapes with its type, whatever the figures are.

#include <jansson.h>
#include <math.h>

#include "base/buf.h"
#include "node/gain.h"
#include "node/monitor.h"
#include "node/say.h"
#include "support.h"

static const int64_t WALL_US = INT64_C(1764643621451643);  // 2025-12-02T02:47:01.451643Z

// ---- shapes: a path, and what stands there. i: integer, f: a number with a point, s: string,
// b: boolean, S: list of strings.

typedef struct field {
    const char *path;
    char type;
} field;

static const field STATS[] = {
    {"cache_enabled", 'b'},
    {"entries", 'i'},
    {"ttl_seconds", 'i'},
    {"metrics.hits", 'i'},
    {"metrics.misses", 'i'},
    {"metrics.total_requests", 'i'},
    {"metrics.hit_rate_percent", 'f'},
    {"metrics.average_hit_latency_ms", 'f'},
    {"metrics.average_miss_latency_ms", 'f'},
    {"metrics.performance_gain_multiplier", 'f'},
    {"metrics.uptime_seconds", 'f'},
    {"timestamp", 's'},
    {NULL, 0},
};

static const field METRICS[] = {
    {"performance_dashboard.cache_hit_rate", 's'},
    {"performance_dashboard.total_requests", 'i'},
    {"performance_dashboard.successful_hits", 'i'},
    {"performance_dashboard.cache_misses", 'i'},
    {"performance_dashboard.average_latency_comparison.cached_response_ms", 'f'},
    {"performance_dashboard.average_latency_comparison.uncached_response_ms", 'f'},
    {"performance_dashboard.average_latency_comparison.speedup_multiplier", 's'},
    {"performance_dashboard.average_latency_comparison.time_saved_per_hit_ms", 'f'},
    {"performance_dashboard.cumulative_time_saved.total_ms", 'f'},
    {"performance_dashboard.cumulative_time_saved.total_seconds", 'f'},
    {"performance_dashboard.cache_efficiency.memory_entries", 'i'},
    {"performance_dashboard.cache_efficiency.ttl_seconds", 'i'},
    {"performance_dashboard.cache_efficiency.uptime_seconds", 'i'},
    {"performance_dashboard.cache_efficiency.estimated_memory_mb", 'f'},
    {"timestamp", 's'},
    {NULL, 0},
};

static const field STATUS[] = {
    {"cache_backends.memory_cache", 's'},
    {"cache_backends.redis_cache", 's'},
    {"current_mode", 's'},
    {"fallback_chain", 'S'},
    {"timestamp", 's'},
    {NULL, 0},
};

static const field DASHBOARD[] = {
    {"analytics.cache_performance.overall_hit_rate", 's'},
    {"analytics.cache_performance.total_requests_processed", 'i'},
    {"analytics.cache_performance.successful_cache_hits", 'i'},
    {"analytics.cache_performance.cache_misses", 'i'},
    {"analytics.cache_performance.average_response_times.with_cache_ms", 'f'},
    {"analytics.cache_performance.average_response_times.without_cache_ms", 'f'},
    {"analytics.cache_performance.average_response_times.speedup_multiplier", 's'},
    {"analytics.cache_performance.total_time_saved.milliseconds", 'f'},
    {"analytics.cache_performance.total_time_saved.seconds", 'f'},
    {"analytics.cache_performance.total_time_saved.estimated_cost_savings", 's'},
    {"analytics.cache_infrastructure.memory_cache_enabled", 'b'},
    {"analytics.cache_infrastructure.redis_cache_enabled", 'b'},
    {"analytics.cache_infrastructure.redis_connected", 'b'},
    {"analytics.cache_infrastructure.memory_entries", 'i'},
    {"analytics.cache_infrastructure.estimated_memory_usage_mb", 'f'},
    {"analytics.cache_infrastructure.ttl_seconds", 'i'},
    {"analytics.cache_infrastructure.uptime_seconds", 'i'},
    {"analytics.optimization_recommendations", 'S'},
    {"timestamp", 's'},
    {NULL, 0},
};

typedef void (*document_fn)(const fb_stats *stats, int64_t wall_us, fb_reply *reply);

static const struct {
    const char *name;
    document_fn write;
    const field *fields;
} DOCUMENTS[] = {
    {"/cache/stats", fb_monitor_stats, STATS},
    {"/cache/metrics", fb_monitor_metrics, METRICS},
    {"/cache/status", fb_monitor_status, STATUS},
    {"/analytics/dashboard", fb_monitor_dashboard, DASHBOARD},
};

static json_t *at(json_t *root, const char *path) {
    char part[80];
    while (root != NULL) {
        size_t len = strcspn(path, ".");
        (void)snprintf(part, sizeof part, "%.*s", (int)len, path);
        root = json_object_get(root, part);
        if (path[len] == '\0') {
            return root;
        }
        path += len + 1;
    }
    return NULL;
}

static bool fits(const json_t *value, char type) {
    switch (type) {
        case 'i':
            return json_is_integer(value);
        case 'f':
            return json_is_real(value);
        case 's':
            return json_is_string(value);
        case 'b':
            return json_is_boolean(value);
        default:
            for (size_t i = 0; i < json_array_size(value); i++) {
                if (!json_is_string(json_array_get(value, i))) {
                    return false;
                }
            }
            return json_array_size(value) > 0;
    }
}

// The document as JSON (jansson refuses NaN and Infinity); the caller's to drop.
static json_t *write(document_fn document, const fb_stats *stats) {
    fb_buf out = {0};
    fb_reply reply;
    json_error_t error;
    fb_reply_init(&reply, FB_ENCODING_JSON, &out);
    document(stats, WALL_US, &reply);
    assert_false(fb_reply_failed(&reply));
    assert_int_equal(reply.depth, 0);
    json_t *root = json_loadb(out.ptr, out.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        fail_msg("%s at %d of %.*s", error.text, error.position, FB_STR_ARG(fb_buf_str(&out)));
    }
    fb_buf_release(&out);
    return root;
}

static void assert_shapes(const fb_stats *stats) {
    for (size_t i = 0; i < sizeof DOCUMENTS / sizeof DOCUMENTS[0]; i++) {
        json_t *root = write(DOCUMENTS[i].write, stats);
        for (const field *one = DOCUMENTS[i].fields; one->path != NULL; one++) {
            if (!fits(at(root, one->path), one->type)) {
                fail_msg("%s: %s is no '%c'", DOCUMENTS[i].name, one->path, one->type);
            }
        }
        assert_string_equal(json_string_value(at(root, "timestamp")),
                            "2025-12-02T02:47:01.451643Z");
        json_decref(root);
    }
}

// ---- figures

static fb_latency latency(uint64_t count, double mean_ms) {
    return (fb_latency){count, mean_ms, mean_ms, mean_ms, mean_ms, mean_ms};
}

static fb_cache_figures figures(const char *name, uint64_t hits, uint64_t misses) {
    fb_cache_figures one = {.hits = hits, .misses = misses, .loads = misses, .ttl_ms = 300000};
    (void)snprintf(one.name, sizeof one.name, "%s", name);
    return one;
}

static fb_stats empty_stats(fb_cache_figures classes[2]) {
    classes[0] = figures("", 0, 0);
    classes[0].ttl_ms = 0;
    classes[1] = figures("item", 0, 0);
    return (fb_stats){.classes = classes, .class_count = 2, .memory_limit_bytes = 64 << 20};
}

// Those of the requirement's example.
static fb_stats example(fb_cache_figures classes[2]) {
    fb_stats stats = empty_stats(classes);
    classes[1] = figures("item", 42, 8);
    classes[1].hit = latency(3, 45.2);
    classes[1].miss = latency(8, 285.6);
    classes[1].has_source = true;
    stats.all = classes[1];
    (void)snprintf(stats.all.name, sizeof stats.all.name, "*");
    stats.entries = 12;
    stats.memory_bytes = 50332;
    stats.uptime_ms = 3600000;
    return stats;
}

static double number(json_t *root, const char *path) {
    json_t *value = at(root, path);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

#define assert_near(actual, expected) assert_true(fabs((actual) - (expected)) < 1e-9)

// ---- tests

static void test_monitor__has_every_field_after_no_request(void **state) {
    (void)state;
    fb_cache_figures classes[2];
    fb_stats stats = empty_stats(classes);
    assert_shapes(&stats);
    json_t *root = write(fb_monitor_stats, &stats);
    assert_near(number(root, "metrics.hit_rate_percent"), 0);
    assert_near(number(root, "metrics.performance_gain_multiplier"), 0);
    assert_int_equal(json_array_size(at(root, "classes")), 0);
    json_decref(root);
}

static void test_monitor__has_every_field_after_one_request(void **state) {
    (void)state;
    fb_cache_figures classes[2];
    fb_stats stats = empty_stats(classes);
    classes[1] = figures("item", 0, 1);
    classes[1].miss = latency(1, 3);
    stats.all = classes[1];
    assert_shapes(&stats);
    classes[1] = figures("item", 1, 0);  // only a hit, as after a SET
    classes[1].hit = latency(1, 0.0004);
    stats.all = classes[1];
    assert_shapes(&stats);
    json_t *root = write(fb_monitor_metrics, &stats);
    assert_near(number(root, "performance_dashboard.average_latency_comparison.cached_response_ms"),
                0.0004);
    assert_near(
        number(root, "performance_dashboard.average_latency_comparison.uncached_response_ms"), 0);
    assert_near(number(root, "performance_dashboard.cumulative_time_saved.total_ms"), 0);
    json_decref(root);
}

static void test_monitor__says_the_figures_of_the_example(void **state) {
    (void)state;
    fb_cache_figures classes[2];
    fb_stats stats = example(classes);
    assert_shapes(&stats);
    json_t *root = write(fb_monitor_stats, &stats);
    assert_near(number(root, "metrics.hit_rate_percent"), 84.0);
    assert_near(number(root, "metrics.average_hit_latency_ms"), 45.2);
    assert_near(number(root, "metrics.average_miss_latency_ms"), 285.6);
    assert_near(number(root, "metrics.performance_gain_multiplier"), 6.32);
    assert_near(number(root, "metrics.uptime_seconds"), 3600.0);
    assert_int_equal(json_integer_value(at(root, "ttl_seconds")), 300);
    json_decref(root);
    root = write(fb_monitor_metrics, &stats);
    const char *board = "performance_dashboard.cache_hit_rate";
    assert_string_equal(json_string_value(at(root, board)), "84.0%");
    assert_near(
        number(root, "performance_dashboard.average_latency_comparison.time_saved_per_hit_ms"),
        240.4);
    assert_near(number(root, "performance_dashboard.cumulative_time_saved.total_ms"), 10096.8);
    assert_near(number(root, "performance_dashboard.cache_efficiency.estimated_memory_mb"), 0.048);
    json_decref(root);
    root = write(fb_monitor_dashboard, &stats);
    assert_string_equal(
        json_string_value(
            at(root, "analytics.cache_performance.total_time_saved.estimated_cost_savings")),
        "10.1 s of waiting and 42 source requests avoided");
    json_decref(root);
}

static void test_monitor__keeps_its_shape_for_any_figures(void **state) {
    (void)state;
    fb_rng rng = test_rng();
    for (int round = 0; round < 2000; round++) {
        fb_cache_figures classes[2];
        fb_stats stats = empty_stats(classes);
        for (size_t i = 0; i < 2; i++) {
            unsigned shift = (unsigned)fb_rng_below(&rng, 64);
#define DRAW(name, help) \
    classes[i].name = fb_rng_below(&rng, 3) == 0 ? 0 : fb_rng_next(&rng) >> shift;
            FB_CACHE_COUNTERS(DRAW)
#undef DRAW
            static const double means[] = {0, 1e-9, 0.00042, 1, 3e5, 1e300, INFINITY, NAN};
            classes[i].hit = latency(fb_rng_below(&rng, 3), means[fb_rng_below(&rng, 8)]);
            classes[i].miss = latency(fb_rng_below(&rng, 3), means[fb_rng_below(&rng, 8)]);
        }
        stats.all = classes[fb_rng_below(&rng, 2)];
        stats.memory_bytes = fb_rng_next(&rng) >> fb_rng_below(&rng, 64);
        stats.uptime_ms = (int64_t)(fb_rng_next(&rng) >> (1 + fb_rng_below(&rng, 63)));
        assert_shapes(&stats);
    }
}

static void test_monitor__adds_up_what_classes_saved(void **state) {
    (void)state;
    fb_cache_figures classes[3];
    fb_stats stats = empty_stats(classes);
    stats.class_count = 3;
    classes[1] = figures("slow", 10, 10);
    classes[1].hit = latency(1, 1);
    classes[1].miss = latency(10, 101);
    classes[2] = figures("quick", 1000, 10);
    classes[2].hit = latency(60, 1);
    classes[2].miss = latency(10, 2);
    stats.all = figures("*", 1010, 20);
    stats.all.hit = latency(61, 1);
    stats.all.miss = latency(20, 51.5);
    fb_gain all = fb_gain_in_all(&stats);
    assert_near(all.saved_ms, 10 * 100 + 1000 * 1);
    assert_int_equal(all.avoided, 1010);
    assert_near(all.multiplier, 51.5);
}

static void test_monitor__does_not_take_an_absent_key_for_a_load(void **state) {
    (void)state;
    fb_cache_figures classes[2];
    fb_stats stats = example(classes);
    classes[0] = figures("", 5, 100000);  // somebody GETs keys that are not there
    classes[0].loads = 0;
    classes[0].hit = latency(1, 45.2);
    classes[0].miss = latency(6000, 0.001);
    stats.all.misses += 100000;
    stats.all.miss = latency(6008, 0.38);
    fb_gain all = fb_gain_in_all(&stats);
    assert_near(all.miss_ms, 285.6);
    assert_near(all.saved_ms, 42 * 240.4);
    assert_int_equal(all.avoided, 42);
}

static void test_monitor__lends_the_mean_hit_to_a_class_without_a_sample(void **state) {
    (void)state;
    fb_cache_figures classes[2];
    fb_stats stats = example(classes);
    classes[1].hit = latency(0, 0);
    fb_gain one = fb_gain_of(&stats, &classes[1]);
    assert_near(one.hit_ms, 45.2);
    assert_near(one.saved_ms, 42 * 240.4);
    assert_near(fb_gain_of(&stats, &classes[0]).hit_ms, 0);  // it had no hit
}

static void test_monitor__says_which_tiers_are_up(void **state) {
    (void)state;
    static const struct {
        fb_shared_state state;
        const char *redis, *mode;
    } cases[] = {{FB_SHARED_NONE, "not configured", "memory"},
                 {FB_SHARED_CONNECTED, "connected", "dual"},
                 {FB_SHARED_CATCHING_UP, "connected", "dual"},
                 {FB_SHARED_AWAY, "unreachable", "fallback"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_cache_figures classes[2];
        fb_stats stats = empty_stats(classes);
        stats.shared.state = cases[i].state;
        assert_shapes(&stats);
        json_t *root = write(fb_monitor_status, &stats);
        assert_string_equal(json_string_value(at(root, "cache_backends.redis_cache")),
                            cases[i].redis);
        assert_string_equal(json_string_value(at(root, "current_mode")), cases[i].mode);
        assert_int_equal(json_array_size(at(root, "fallback_chain")), 3);
        json_decref(root);
    }
}

static void test_say__writes_numbers_with_a_point(void **state) {
    (void)state;
    static const struct {
        double number;
        int decimals;
        const char *text;
    } cases[] = {
        {84, 2, "84.0"},           {0, 3, "0.0"},         {-0.0001, 2, "0.0"},
        {6.318, 2, "6.32"},        {100, 1, "100.0"},     {1e300, 3, "0.0"},
        {NAN, 3, "0.0"},           {-INFINITY, 3, "0.0"}, {0.0004, 6, "0.0004"},
        {999999.5, 1, "999999.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[FB_NUMBER_SIZE];
        assert_string_equal(fb_number_text(cases[i].number, cases[i].decimals, text),
                            cases[i].text);
    }
    char text[FB_NUMBER_SIZE];
    assert_string_equal(fb_ms_text(0.000417, text), "0.000417");
    assert_string_equal(fb_ms_text(45.2, text), "45.2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monitor__has_every_field_after_no_request),
        cmocka_unit_test(test_monitor__has_every_field_after_one_request),
        cmocka_unit_test(test_monitor__says_the_figures_of_the_example),
        cmocka_unit_test(test_monitor__keeps_its_shape_for_any_figures),
        cmocka_unit_test(test_monitor__adds_up_what_classes_saved),
        cmocka_unit_test(test_monitor__does_not_take_an_absent_key_for_a_load),
        cmocka_unit_test(test_monitor__lends_the_mean_hit_to_a_class_without_a_sample),
        cmocka_unit_test(test_monitor__says_which_tiers_are_up),
        cmocka_unit_test(test_say__writes_numbers_with_a_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
