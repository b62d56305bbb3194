// Log lines: what fb_log() writes comes out as JSON that means the same.

#include <fcntl.h>
#include <unistd.h>

#include <jansson.h>

#include "base/hooks.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "daemon/log_sink.h"
#include "support.h"

// What is written to standard error while the test runs.
static int kept_stderr, reading;

static int up(void **state) {
    (void)state;
    int ends[2];
    static const fb_hooks hooks = {.log = fb_log_sink};
    assert_int_equal(pipe(ends), 0);
    kept_stderr = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    (void)close(ends[1]);
    reading = ends[0];
    (void)fcntl(reading, F_SETFL, O_NONBLOCK);
    fb_hooks_set(&hooks);
    fb_log_sink_set(FB_LOG_INFO, FB_LOG_JSON);
    return 0;
}

static int down(void **state) {
    (void)state;
    fb_hooks_set(NULL);
    (void)dup2(kept_stderr, STDERR_FILENO);
    (void)close(kept_stderr);
    return close(reading);
}

static const char *written(void) {
    static char text[16384];
    ssize_t len = read(reading, text, sizeof text - 1);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

static json_t *written_json(void) {
    json_error_t error;
    const char *text = written();
    json_t *json = json_loads(text, 0, &error);
    if (json == NULL) {
        fail_msg("%s: %s", error.text, text);
    }
    return json;
}

static void assert_member(const json_t *json, const char *name, const char *text) {
    const json_t *member = json_object_get(json, name);
    if (!json_is_string(member) || strcmp(json_string_value(member), text) != 0) {
        char *all = json_dumps(json, 0);
        fail_msg("%s is not '%s' in %s", name, text, all);
    }
}

static void test_log_sink__writes_fields_as_members(void **state) {
    (void)state;
    fb_log(FB_LOG_WARN, "load_failed", "class=%s ms=%d key=%s error=%s empty= version=0.1.0",
           "item", -31, fb_log_quote(FB_STR("42"), 10).text,
           fb_log_quote(FB_STR("near \"FROM\": a\\b = c d"), FB_LOG_TEXT_MAX).text);
    json_t *json = written_json();
    assert_member(json, "level", "warn");
    assert_member(json, "event", "load_failed");
    assert_member(json, "class", "item");
    assert_int_equal(json_integer_value(json_object_get(json, "ms")), -31);
    assert_member(json, "key", "42");  // in quotes: a text
    assert_member(json, "error", "near \"FROM\": a\\b = c d");
    assert_member(json, "empty", "");
    assert_member(json, "version", "0.1.0");
    assert_int_equal(json_object_size(json), 9);
    json_decref(json);
}

static void test_log_sink__text_is_for_people(void **state) {
    (void)state;
    fb_log_sink_set(FB_LOG_INFO, FB_LOG_TEXT);
    fb_log(FB_LOG_INFO, "ready", "version=%s", "0.1.0");
    const char *text = written();
    assert_string_equal(text + 20, " info  ready version=0.1.0\n");
    assert_int_equal(text[10], 'T');
}

static void test_log_sink__leaves_out_what_is_below_its_level(void **state) {
    (void)state;
    fb_log_sink_set(FB_LOG_WARN, FB_LOG_JSON);
    fb_log(FB_LOG_INFO, "quiet", "%s", "");
    assert_string_equal(written(), "");
    fb_log_sink_set(fb_log_sink_level("debug"), fb_log_sink_format("json"));
    fb_log(FB_LOG_DEBUG, "heard", "%s", "");
    json_t *json = written_json();
    assert_member(json, "event", "heard");
    json_decref(json);
    assert_int_equal(fb_log_sink_level("no level"), FB_LOG_INFO);
    assert_int_equal(fb_log_sink_format("no format"), FB_LOG_AUTO);
}

// Any bytes in a value: one line of valid JSON, and, where it was text, the same text but for
// control bytes and what was cut.
static void test_log_sink__any_bytes_give_valid_json(void **state) {
    (void)state;
    static const char bytes[] = "\"\\ =\x01\x7f\xc3\xa4\xff{}[]:,\nab\0";
    fb_rng rng = test_rng();
    for (int i = 0; i < 20000; i++) {
        char value[1200], name[16];
        size_t len = fb_rng_below(&rng, i % 50 == 0 ? sizeof value : 40);
        for (size_t k = 0; k < len; k++) {
            value[k] = bytes[fb_rng_below(&rng, sizeof bytes)];
        }
        snprintf(name, sizeof name, "f%d", i % 7);
        fb_str text = fb_str_make(value, len);
        size_t len_max = fb_rng_below(&rng, 900);
        fb_log(FB_LOG_INFO, "any", "%s=%s after=%d", name, fb_log_quote(text, len_max).text, i);
        json_t *json = written_json();
        const char *got = json_string_value(json_object_get(json, name));
        assert_non_null(got);
        assert_int_equal(json_integer_value(json_object_get(json, "after")), i);
        for (size_t k = 0; fb_utf8_valid(text) && got[k] != '\0'; k++) {
            char byte = value[k];
            assert_int_equal(got[k], (unsigned char)byte < 0x20 || byte == 0x7f ? '?' : byte);
        }
        json_decref(json);
    }
}

// As fields come from elsewhere, or cut.
static void test_log_sink__copes_with_fields_that_are_none(void **state) {
    (void)state;
    static const char *const odd[] = {
        "",        " ",     "=",     "a",          "a=",   "a=\"",       "a=\"b",
        "a=\"b\\", "a=b c", "\"=\"", "a=\"b\"c=d", "a==b", " a=1  b=2 ",
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        fb_log_sink(NULL, FB_LOG_INFO, "odd", odd[i]);
        json_decref(written_json());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_log_sink__writes_fields_as_members, up, down),
        cmocka_unit_test_setup_teardown(test_log_sink__text_is_for_people, up, down),
        cmocka_unit_test_setup_teardown(test_log_sink__leaves_out_what_is_below_its_level, up,
                                        down),
        cmocka_unit_test_setup_teardown(test_log_sink__any_bytes_give_valid_json, up, down),
        cmocka_unit_test_setup_teardown(test_log_sink__copes_with_fields_that_are_none, up, down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
