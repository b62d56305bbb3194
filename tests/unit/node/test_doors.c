// What the doors keep to: from the configuration, and by Redis's names.

#include <forebay/config.h>

#include "node/doors.h"
#include "support.h"

#include "base/str.h"

static void set(fb_node *node, const char *name, const char *value) {
    fb_error error = {0};
    if (fb_doors_set(node, fb_str_of(name), fb_str_of(value), &error) != FB_OK) {
        fail_msg("%s %s: %s", name, value, error.text);
    }
}

static void refused(fb_node *node, const char *name, const char *value, const char *why) {
    fb_error error = {0};
    assert_result(fb_doors_check(node, fb_str_of(name), fb_str_of(value), &error), FB_EINVAL);
    assert_non_null(strstr(error.text, why));
    assert_result(fb_doors_set(node, fb_str_of(name), fb_str_of(value), &error), FB_EINVAL);
}

static void shows(const fb_node *node, const char *name, const char *expected) {
    char text[FB_DOORS_TEXT_SIZE];
    assert_ok(fb_doors_show(node, fb_str_of(name), text));
    assert_string_equal(text, expected);
}

static void test_doors__take_what_the_configuration_says(void **state) {
    (void)state;
    fb_node node = {.engine = NULL};
    fb_config *config = NULL;
    fb_error error = {0};
    assert_ok(fb_config_new(&config));
    fb_doors_read(&node, config);
    shows(&node, "maxclients", "10000");
    shows(&node, "timeout", "0");
    shows(&node, "tcp-keepalive", "300");
    shows(&node, "client-query-buffer-limit", "1073741824");
    shows(&node, "proto-max-bulk-len", "536870912");
    shows(&node, "client-output-buffer-limit", "normal 1073741824 67108864 60");
    assert_ok(fb_config_set(config, FB_STR("listen.idle"), FB_STR("1500ms"), &error));
    assert_ok(fb_config_set(config, FB_STR("listen.output_soft"), FB_STR("1MiB"), &error));
    set(&node, "maxclients", "5");
    fb_doors_read(&node, config);
    shows(&node, "timeout", "2");  // not less than was asked for
    shows(&node, "client-output-buffer-limit", "normal 1073741824 1048576 60");
    shows(&node, "maxclients", "10000");
    fb_config_free(config);
}

static void test_doors__take_redis_values(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"maxclients", "1", "1"},
        {"MaxClients", "500", "500"},
        {"timeout", "2147483647", "2147483647"},
        {"tcp-keepalive", "0", "0"},
        {"client-query-buffer-limit", "1mb", "1048576"},
        {"client-query-buffer-limit", "2GB", "2147483648"},
        {"client-query-buffer-limit", "3m", "3000000"},
        {"client-query-buffer-limit", "1100kb", "1126400"},
        {"client-query-buffer-limit", "1100k", "1100000"},
        {"client-query-buffer-limit", "2000000b", "2000000"},
        {"proto-max-bulk-len", "512mb", "536870912"},
        {"client-output-buffer-limit", "normal 0 0 0", "normal 0 0 0"},
        {"client-output-buffer-limit", "NORMAL  10mb  1g 7", "normal 10485760 1000000000 7"},
    };
    fb_node node = {.engine = NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set(&node, rows[i][0], rows[i][1]);
        shows(&node, rows[i][0], rows[i][2]);
    }
}

static void test_doors__refuse_in_redis_words(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"maxclients", "0", "argument must be between 1 and"},
        {"maxclients", "-1", "argument must be between 1 and"},
        {"maxclients", "many", "argument couldn't be parsed into an integer"},
        {"maxclients", "", "argument couldn't be parsed into an integer"},
        {"timeout", "99999999999", "argument must be between 0 and"},
        {"proto-max-bulk-len", "1000", "argument must be between 1048576 and"},
        {"proto-max-bulk-len", "1gb", "argument must be between 1048576 and"},
        {"proto-max-bulk-len", "mb", "argument must be a memory value"},
        {"proto-max-bulk-len", "", "argument must be a memory value"},
        {"proto-max-bulk-len", "-5mb", "argument must be a memory value"},
        {"proto-max-bulk-len", "18446744073709551615gb", "argument must be a memory value"},
        {"client-output-buffer-limit", "normal 1 2", "Wrong number of arguments"},
        {"client-output-buffer-limit", "", "Wrong number of arguments"},
        {"client-output-buffer-limit", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18", "Wrong number"},
        {"client-output-buffer-limit", "wrong 1 2 3", "Invalid client class"},
        {"client-output-buffer-limit", "normal 1 x 3", "Error in hard, soft or soft_seconds"},
    };
    fb_node node = {.engine = NULL};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refused(&node, rows[i][0], rows[i][1], rows[i][2]);
    }
    shows(&node, "proto-max-bulk-len", "0");  // nothing was changed
    node.connections_possible = 900;
    refused(&node, "maxclients", "901", "The operating system is not able to handle");
    set(&node, "maxclients", "900");
}

static void test_doors__know_their_names(void **state) {
    (void)state;
    fb_node node = {.engine = NULL};
    fb_error error = {0};
    char text[FB_DOORS_TEXT_SIZE];
    size_t count = 0;
    while (fb_doors_name(count) != NULL) {
        assert_ok(fb_doors_show(&node, fb_str_of(fb_doors_name(count)), text));
        count++;
    }
    assert_true(count >= 6);
    assert_result(fb_doors_show(&node, FB_STR("maxmemory"), text), FB_MISS);
    assert_result(fb_doors_set(&node, FB_STR("maxmemory"), FB_STR("1"), &error), FB_MISS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doors__take_what_the_configuration_says),
        cmocka_unit_test(test_doors__take_redis_values),
        cmocka_unit_test(test_doors__refuse_in_redis_words),
        cmocka_unit_test(test_doors__know_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
