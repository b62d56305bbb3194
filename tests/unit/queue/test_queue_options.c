// What a queue and a schedule may be told.

#include "support.h"

#include "base/units.h"
#include "queue/options.h"

static fb_queue_options queue(int worker) {
    return (fb_queue_options){.name = (char *)"queue", .enabled = true, .worker = worker,
                              .concurrency = 4, .priority = 5, .attempts = 3,
                              .retry_delay_ns = 10 * FB_NS_PER_S,
                              .retry_max_ns = 600 * FB_NS_PER_S, .lease_ns = 300 * FB_NS_PER_S,
                              .dead_keep_ns = 86400 * FB_NS_PER_S, .dead_max = 10000,
                              .payload_max = 1 << 20, .partitions = 1,
                              .timeout_ns = 30 * FB_NS_PER_S};
}

static void refused(const fb_queue_options *options, int result, const char *option,
                    const char *text) {
    char at[64] = "";
    fb_error error = {0};

    assert_result(fb_queue_options_check(options, at, sizeof(at), &error), result);
    assert_string_equal(at, option);
    assert_int_equal(error.code, result);
    assert_string_equal(error.text, text);
}

static void accepted(const fb_queue_options *options) {
    char at[64] = "";

    assert_ok(fb_queue_options_check(options, at, sizeof(at), NULL));
}

static void test_options__sound_queues_pass(void **state) {
    fb_queue_options options = queue(FB_QUEUE_WORKER_NONE);

    accepted(&options);
    options = queue(FB_QUEUE_WORKER_MAIL);
    options.concurrency = 20;
    accepted(&options);
    options = queue(FB_QUEUE_WORKER_WEBHOOK);
    options.url = (char *)"https://app.example/jobs";
    options.secret = (char *)"secret";
    options.timeout_ns = FB_NS_PER_S;
    accepted(&options);
    options = (fb_queue_options){.enabled = false, .worker = FB_QUEUE_WORKER_WEBHOOK};
    accepted(&options);
}

static void test_options__a_webhook_has_a_url(void **state) {
    fb_queue_options options = queue(FB_QUEUE_WORKER_WEBHOOK);

    refused(&options, FB_EINVAL, "url",
            "required, but not set: a webhook posts its jobs there");
    options.url = (char *)"ftp://app.example/";
    refused(&options, FB_EINVAL, "url", "expected http://… or https://…");
    options = queue(FB_QUEUE_WORKER_NONE);
    options.url = (char *)"http://app.example/";
    refused(&options, FB_ECONFLICT, "url", "only a queue with `worker: webhook` has it");
    options = queue(FB_QUEUE_WORKER_MAIL);
    options.secret = (char *)"secret";
    refused(&options, FB_ECONFLICT, "secret", "only a queue with `worker: webhook` has it");
    options = queue(FB_QUEUE_WORKER_NONE);
    options.timeout_ns = FB_NS_PER_S;
    refused(&options, FB_ECONFLICT, "timeout", "only a queue with `worker: webhook` has it");
}

static void test_options__numbers_that_do_not_go_together(void **state) {
    fb_queue_options options = queue(FB_QUEUE_WORKER_NONE);

    options.retry_max_ns = options.retry_delay_ns - 1;
    refused(&options, FB_ECONFLICT, "retry_max",
            "it is below retry_delay, which it is the most of");
    options = queue(FB_QUEUE_WORKER_NONE);
    options.concurrency = 2;
    refused(&options, FB_ECONFLICT, "concurrency",
            "only a queue with a worker of its own has it");
}

static void test_options__a_policy_is_in_milliseconds(void **state) {
    fb_queue_options options = queue(FB_QUEUE_WORKER_NONE);
    fb_queue_policy policy;

    options.jobs_max = 77;
    options.partitions = 8;
    fb_queue_policy_of(&options, &policy);
    assert_int_equal(policy.retry_delay_ms, 10000);
    assert_int_equal(policy.retry_max_ms, 600000);
    assert_int_equal(policy.dead_keep_ms, 86400000);
    assert_int_equal(policy.dead_max, 10000);
    assert_int_equal(policy.jobs_max, 77);
    assert_int_equal(policy.partitions, 8);
}

static void test_options__a_schedule_has_a_cron_expression(void **state) {
    fb_schedule_options options = {.name = (char *)"nightly", .enabled = true};
    char at[64] = "";
    fb_error error;

    assert_result(fb_schedule_options_check(&options, at, sizeof(at), &error), FB_EINVAL);
    assert_string_equal(at, "cron");
    options.cron = (char *)"0 25 * * *";
    assert_result(fb_schedule_options_check(&options, at, sizeof(at), &error), FB_ERANGE);
    assert_string_equal(error.text, "hour: out of range, at column 3 of it");
    options.cron = (char *)"0 0 30 2 *";
    assert_result(fb_schedule_options_check(&options, at, sizeof(at), &error), FB_ERANGE);
    assert_string_equal(error.text, "it is never due: its months have no such day");
    options.cron = (char *)"0 0 29 2 *";
    assert_ok(fb_schedule_options_check(&options, at, sizeof(at), &error));
    options.cron = (char *)"0 3 * * *";
    assert_ok(fb_schedule_options_check(&options, at, sizeof(at), &error));
    options.kind = (char *)"a\tb";
    assert_result(fb_schedule_options_check(&options, at, sizeof(at), &error), FB_EINVAL);
    assert_string_equal(at, "kind");
    options.enabled = false;
    assert_ok(fb_schedule_options_check(&options, at, sizeof(at), &error));
}

static void test_options__two_queues_are_there_from_the_start(void **state) {
    assert_string_equal(fb_queue_builtins[0].name, "default");
    assert_string_equal(fb_queue_builtins[1].name, "mail");
    assert_non_null(strstr(fb_queue_builtins[1].text, "worker: mail"));
    assert_null(fb_queue_builtins[2].name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__sound_queues_pass),
        cmocka_unit_test(test_options__a_webhook_has_a_url),
        cmocka_unit_test(test_options__numbers_that_do_not_go_together),
        cmocka_unit_test(test_options__a_policy_is_in_milliseconds),
        cmocka_unit_test(test_options__a_schedule_has_a_cron_expression),
        cmocka_unit_test(test_options__two_queues_are_there_from_the_start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
