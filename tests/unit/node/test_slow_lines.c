// Slow operations: how many are kept, how many become lines of the log, and what was waited for. The clock is
// the test's own.

#include <stdio.h>
#include <string.h>

#include "node/node.h"
#include "node/slow.h"
#include "support.h"

static const int64_t MS = 1000000, SECOND = 1000000000;

static int64_t now_ns;
static fb_node node;

static int64_t now(void) {
    return now_ns;
}

static int64_t wall_us(void) {
    return 1700000000 * INT64_C(1000000);
}

static struct {
    size_t lines, tellings;
    unsigned more;
    char last[1000];
} heard;

static void hear(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg;
    assert_int_equal(level, FB_LOG_WARN);
    if (strcmp(event, "slow_operation") == 0) {
        heard.lines++;
        (void)snprintf(heard.last, sizeof heard.last, "%s", fields);
    } else if (strcmp(event, "more_slow_operations") == 0) {
        heard.tellings++;
        assert_int_equal(sscanf(fields, "count=%u", &heard.more), 1);
    }
}

static int begin(void **state) {
    (void)state;
    static const fb_hooks hooks = {.log = hear};
    fb_hooks_set(&hooks);
    memset(&heard, 0, sizeof heard);
    now_ns += 1000 * SECOND;  // far from what the test before it did
    node.now_ns = now;
    node.wall_us = wall_us;
    node.waits = false;
    fb_slow_tell(&node);
    fb_slow_reset(&node);
    memset(&heard, 0, sizeof heard);
    fb_slow_set(&node, 20 * MS);
    return 0;
}

static void ask(const char *path, int64_t took_ns) {
    fb_slow_watch watch;
    fb_slow_request_begin(&node, &watch, FB_STR("GET"), fb_str_of(path));
    now_ns += took_ns;
    fb_slow_end(&node, &watch, "127.0.0.1:1");
}

static void test_slow_lines__only_what_reaches_the_bound_is_slow(void **state) {
    (void)state;
    ask("/v1/stats", 20 * MS - 1);
    assert_int_equal(fb_slow_count(&node), 0);
    ask("/v1/stats", 20 * MS);
    assert_int_equal(fb_slow_count(&node), 1);
    assert_string_equal(heard.last,
                        "name=\"GET\" what=\"/v1/stats\" ms=20 waited_for=memory peer=\"127.0.0.1:1\"");
    fb_slow_entry one;
    assert_int_equal(fb_slow_read(&node, &one, 1), 1);
    assert_int_equal(one.took_us, 20000);
    assert_int_equal(one.wall_s, 1700000000);
    fb_slow_set(&node, 0);
    ask("/v1/stats", SECOND);
    assert_int_equal(fb_slow_count(&node), 1);
}

static void test_slow_lines__say_what_was_waited_for(void **state) {
    (void)state;
    static const struct {
        const char *path, *alone, *with_redis;
    } rows[] = {{"/v1/keys/a", "memory", "shared"},
                {"/v1/fetch/item?id=1", "source", "source"},
                {"/v1/queues/work/jobs", "queue", "queue"},
                {"/v1/jobs/1", "queue", "queue"},
                {"/v1/otp/verify", "queue", "queue"}};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        fb_slow_entry one;
        node.waits = i % 2 == 1;
        ask(rows[i / 2].path, SECOND);
        assert_int_equal(fb_slow_read(&node, &one, 1), 1);
        assert_string_equal(one.waited_for, node.waits ? rows[i / 2].with_redis : rows[i / 2].alone);
    }
}

static void test_slow_lines__are_five_a_second_and_the_rest_is_a_number(void **state) {
    (void)state;
    fb_slow_watch watch;
    fb_slow_request_begin(&node, &watch, FB_STR("GET"), FB_STR("/a"));
    now_ns += SECOND;
    for (int i = 0; i < 30; i++) {
        fb_slow_end(&node, &watch, "");
    }
    assert_int_equal(heard.lines, FB_SLOW_LINES);
    assert_int_equal(fb_slow_count(&node), 30);
    fb_slow_tell(&node);
    assert_int_equal(heard.tellings, 0);  // the second is not over
    now_ns += SECOND;
    fb_slow_tell(&node);
    assert_int_equal(heard.tellings, 1);
    assert_int_equal(heard.more, 30 - FB_SLOW_LINES);
    now_ns += SECOND;
    fb_slow_tell(&node);
    assert_int_equal(heard.tellings, 1);
    fb_slow_end(&node, &watch, "");
    assert_int_equal(heard.lines, FB_SLOW_LINES + 1);
}

static void test_slow_lines__the_ring_keeps_the_newest(void **state) {
    (void)state;
    static fb_slow_entry all[FB_SLOW_KEPT + 10];
    char path[20];
    for (int i = 0; i < FB_SLOW_KEPT + 5; i++) {
        (void)snprintf(path, sizeof path, "/n/%d", i);
        ask(path, SECOND);
    }
    assert_int_equal(fb_slow_count(&node), FB_SLOW_KEPT);
    assert_int_equal(fb_slow_read(&node, all, sizeof all / sizeof all[0]), FB_SLOW_KEPT);
    for (int i = 0; i < FB_SLOW_KEPT; i++) {
        (void)snprintf(path, sizeof path, "/n/%d", FB_SLOW_KEPT + 4 - i);
        assert_string_equal(all[i].what, path);
        assert_true(i == 0 || all[i].id == all[i - 1].id - 1);
    }
    uint64_t id = all[0].id;
    fb_slow_reset(&node);
    assert_int_equal(fb_slow_count(&node), 0);
    assert_int_equal(fb_slow_read(&node, all, 5), 0);
    ask("/again", SECOND);
    assert_int_equal(fb_slow_read(&node, all, 5), 1);
    assert_int_equal(all[0].id, id + 1);  // as Redis's: a reset gives no number twice
}

static void test_slow_lines__a_long_path_is_cut_between_characters(void **state) {
    (void)state;
    char path[3 * FB_SLOW_WHAT_SIZE];
    fb_slow_entry one;
    size_t len = 0;
    path[len++] = '/';
    while (len + 2 < sizeof path) {
        memcpy(path + len, "\xc3\xa9", 2);
        len += 2;
    }
    path[len] = '\0';
    ask(path, SECOND);
    assert_int_equal(fb_slow_read(&node, &one, 1), 1);
    assert_int_equal(strlen(one.what), FB_SLOW_WHAT_SIZE - 1);  // "/" and whole characters
    assert_memory_equal(one.what, path, FB_SLOW_WHAT_SIZE - 1);
    memmove(path, path + 1, len);
    ask(path, SECOND);
    assert_int_equal(fb_slow_read(&node, &one, 1), 1);
    assert_int_equal(strlen(one.what), FB_SLOW_WHAT_SIZE - 2);  // half a character is none
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_slow_lines__only_what_reaches_the_bound_is_slow, begin),
        cmocka_unit_test_setup(test_slow_lines__say_what_was_waited_for, begin),
        cmocka_unit_test_setup(test_slow_lines__are_five_a_second_and_the_rest_is_a_number, begin),
        cmocka_unit_test_setup(test_slow_lines__the_ring_keeps_the_newest, begin),
        cmocka_unit_test_setup(test_slow_lines__a_long_path_is_cut_between_characters, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
