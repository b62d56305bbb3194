#include "redis/remote_state.h"

#include "support.h"

// The sentences that an INFO leads to.
static void judge(const char *info, fb_redis_status *status) {
    fb_redis_options options = {.name_space = "x", .partitions = 1};
    fb_redis *redis = NULL;
    fb_error error;

    assert_ok(fb_redis_url_read(FB_STR("redis://user:secret@db:7000/1"), &options.url, &error));
    assert_ok(fb_redis_new(&options, &redis, &error));
    fb_fitness_judge(redis, "db:7000", fb_str_of(info));
    fb_fitness_judge(redis, "db:7000", fb_str_of(info));  // said once
    fb_redis_status_read(redis, status);
    fb_redis_free(redis);
}

static void test_fitness__a_good_server_is_not_talked_of(void **state) {
    (void)state;
    static const char *const GOOD[] = {
        "# Server\r\nredis_version:7.0.15\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n",
        "redis_version:7.2.4\r\nvalkey_version:8.0.1\r\nrole:master\r\n"
        "maxmemory_policy:volatile-lru\r\n",
        "redis_version:10.0.0\nmaxmemory_policy:volatile-ttl\nrole:master",
        "redis_version:7.0.15\r\nrole:slave\r\ncluster_enabled:1\r\n",
        "", "redis_version", ":\r\n\r\n",
    };
    fb_redis_status status;

    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        judge(GOOD[i], &status);
        assert_int_equal(status.unfit_count, 0);
    }
    assert_string_equal(status.address, "redis://db:7000/1");
}

static void test_fitness__what_is_unfit_is_said_once(void **state) {
    (void)state;
    static const struct {
        const char *info, *said;
    } BAD[] = {
        {"redis_version:6.2.14\r\nrole:master\r\n",
         "db:7000 runs redis 6.2.14; 7.0 or later is needed"},
        {"redis_version:7.0.0\r\nvalkey_version:6.9.9\r\n",
         "db:7000 runs valkey 6.9.9; 7.0 or later is needed"},
        {"redis_version:7.0.15\r\nmaxmemory_policy:allkeys-lfu\r\n",
         "db:7000 may evict logs and counters (maxmemory-policy allkeys-lfu); volatile-lru or "
         "noeviction would be safe"},
        {"redis_version:7.0.15\r\nrole:slave\r\n", "db:7000 is a replica and takes no writes"},
    };
    fb_redis_status status;

    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        judge(BAD[i].info, &status);
        assert_int_equal(status.unfit_count, 1);
        assert_string_equal(status.unfit[0], BAD[i].said);
    }
    judge("redis_version:6.0.0\r\nmaxmemory_policy:allkeys-lru\r\nrole:slave\r\n", &status);
    assert_int_equal(status.unfit_count, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fitness__a_good_server_is_not_talked_of),
        cmocka_unit_test(test_fitness__what_is_unfit_is_said_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
