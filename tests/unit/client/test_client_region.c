// The client beside a region: what it reads there, and when it must not.

#include <forebay/client.h>

#include <sys/wait.h>

#include "fake_daemon.h"
#include "reader_rig.h"

typedef struct rig {
    fake_daemon *fake;
    home home;
    fb_client *client;
    char events[256];
} rig;

static void hear(void *arg, const char *event, const char *text) {
    rig *r = arg;
    strncat(r->events, event, sizeof r->events - strlen(r->events) - 1);
    strncat(r->events, ";", sizeof r->events - strlen(r->events) - 1);
}

// The fake daemon says that the region is its own.
static void tell(rig *r, uint64_t generation) {
    pthread_mutex_lock(&r->fake->lock);
    r->fake->region = r->home.file;
    r->fake->generation = generation;
    pthread_mutex_unlock(&r->fake->lock);
}

static void begin(rig *r) {
    r->fake = fake_new();
    r->home = open_home();
    r->events[0] = '\0';
    tell(r, fb_cache_generation(r->home.cache));
    fb_client_options options = {.url = fb_str_of(r->fake->url),
                                 .timeout_ms = 30000,
                                 .retry_ms = 1,
                                 .warn = hear,
                                 .warn_arg = r};
    assert_ok(fb_client_open(&options, &r->client, NULL));
}

static void end(rig *r) {
    fb_client_close(r->client);
    fake_free(r->fake);
    close_home(&r->home);
}

static void assert_get(rig *r, const char *key, const char *expected) {
    fb_value value = {0};
    fb_store_beat(fb_cache_store(r->home.cache), now());
    int result = fb_client_get(r->client, fb_str_of(key), &value, NULL);
    assert_result(result, expected != NULL ? FB_OK : FB_MISS);
    if (expected != NULL) {
        assert_str(value.data, expected);
    }
    fb_value_release(&value);
}

static int peek(rig *r, const char *key) {
    char bytes[256];
    fb_value value;
    fb_store_beat(fb_cache_store(r->home.cache), now());
    return fb_client_peek(r->client, fb_str_of(key), bytes, sizeof bytes, &value);
}

static void test_client_region__hits_ask_nobody(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "v", -1);
    assert_result(peek(&r, "k"), FB_MISS);
    // The first request finds the region.
    assert_get(&r, "other", NULL);
    size_t before = fake_count(r.fake);
    for (int i = 0; i < 10; i++) {
        assert_ok(peek(&r, "k"));
        assert_get(&r, "k", "v");
    }
    char *large = malloc(12001);
    memset(large, 'x', 12000);
    large[12000] = '\0';
    put(&r.home, "large", large, -1);
    assert_get(&r, "large", large);
    free(large);
    assert_ok(fb_client_exists(r.client, FB_STR("k"), NULL));
    assert_int_equal(fake_count(r.fake), before);
    const fb_str keys[] = {FB_STR("k"), FB_STR("other")};
    fb_value values[2];
    int results[2];
    assert_ok(fb_client_get_many(r.client, keys, 2, values, results, NULL));
    assert_ok(results[0]);
    assert_str(values[0].data, "v");
    assert_result(results[1], FB_MISS);
    fb_value_release(&values[0]);
    assert_int_equal(fake_saw(r.fake, "MGET other", before), 1);
    fb_client_figures figures;
    fb_client_figures_read(r.client, &figures);
    assert_true(figures.region_hits >= 22 && figures.region_there);
    assert_string_equal(r.events, "");
    end(&r);
}

static void test_client_region__is_not_read_while_keys_are_owed(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "old", -1);
    put(&r.home, "other", "v", -1);
    assert_get(&r, "nothing", NULL);
    assert_ok(peek(&r, "k"));
    fake_stop(r.fake);
    // Away, but nothing is owed yet: what the region has is as good as before.
    fb_client_request request = {.class_name = FB_STR("fruit")};
    fb_value value;
    assert_result(fb_client_fetch(r.client, &request, &value, NULL), FB_EIO);
    assert_ok(peek(&r, "k"));
    assert_ok(fb_client_set(r.client, FB_STR("k"), FB_STR("new"), 0, NULL));
    assert_result(peek(&r, "k"), FB_MISS);
    assert_result(peek(&r, "other"), FB_MISS);
    assert_get(&r, "k", "new");
    fake_start(r.fake);
    // As the daemon does when the deletion reaches it.
    assert_ok(fb_cache_del(r.home.cache, FB_STR("k"), now()));
    for (int i = 0; i < 10000 && peek(&r, "other") != FB_OK; i++) {
        assert_result(fb_client_ttl(r.client, FB_STR("nothing"), &(int64_t){0}, NULL), FB_MISS);
        (void)poll(NULL, 0, 1);
    }
    assert_ok(peek(&r, "other"));
    assert_result(peek(&r, "k"), FB_MISS);
    assert_int_equal(fake_saw(r.fake, "DEL k", 0), 1);
    end(&r);
}

static void test_client_region__of_another_daemon_is_not_read(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "v", -1);
    tell(&r, fb_cache_generation(r.home.cache) ^ UINT64_C(1) << 40);
    assert_get(&r, "k", NULL);
    assert_result(peek(&r, "k"), FB_MISS);
    assert_string_equal(r.events, "");
    end(&r);
}

// The daemon's region was retired, and another daemon's lies under the name: only what this daemon
// says of it makes it ours.
static void test_client_region__name_is_not_followed_to_another_daemon(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "ours", -1);
    assert_get(&r, "nothing", NULL);
    assert_ok(peek(&r, "k"));
    fb_cache *ours = r.home.cache;
    make_region(&r.home, 2, 0600);
    put(&r.home, "k", "theirs", -1);
    fb_store_retire(fb_cache_store(ours));
    assert_result(peek(&r, "k"), FB_MISS);
    assert_get(&r, "k", NULL);
    // It was the daemon's own, which was started anew.
    tell(&r, fb_cache_generation(r.home.cache));
    fake_hang_up(r.fake);
    assert_get(&r, "nothing", NULL);
    assert_ok(peek(&r, "k"));
    fb_cache_free(ours);
    end(&r);
}

// Both have a region of that name, in folders of their own: that of the first is alive still.
static void test_client_region__is_left_when_another_daemon_answers(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "v", -1);
    assert_get(&r, "nothing", NULL);
    assert_ok(peek(&r, "k"));
    tell(&r, fb_cache_generation(r.home.cache) ^ UINT64_C(1) << 40);
    fake_hang_up(r.fake);
    assert_get(&r, "nothing", NULL);
    assert_result(peek(&r, "k"), FB_MISS);
    assert_string_equal(r.events, "");
    end(&r);
}

static void test_client_region__refusal_is_told_once(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "v", -1);
    assert_int_equal(chmod(r.home.file, 0660), 0);
    for (int i = 0; i < 3; i++) {
        assert_get(&r, "k", NULL);
        fake_hang_up(r.fake);
    }
    assert_string_equal(r.events, "region_refused;");
    assert_int_equal(chmod(r.home.file, 0600), 0);
    assert_get(&r, "nothing", NULL);
    assert_ok(peek(&r, "k"));
    // A daemon without a region: it is left.
    pthread_mutex_lock(&r.fake->lock);
    r.fake->region = NULL;
    pthread_mutex_unlock(&r.fake->lock);
    fake_hang_up(r.fake);
    assert_get(&r, "nothing", NULL);
    assert_result(peek(&r, "k"), FB_MISS);
    end(&r);
}

static void test_client_region__keys_of_fetches_are_learned(void **state) {
    rig r;
    begin(&r);
    char bytes[64];
    fb_value value;
    const fb_param plum[] = {{FB_STR("name"), FB_STR("plum")}};
    const fb_param pear[] = {{FB_STR("name"), FB_STR("pear")}};
    fb_client_request request = {.class_name = FB_STR("fruit"), .params = plum, .param_count = 1};
    fb_client_request other = {.class_name = FB_STR("fruit"), .params = pear, .param_count = 1};
    assert_get(&r, "nothing", NULL);
    put(&r.home, "fruit:plum", "\"cached\"", -1);
    assert_result(fb_client_peek_fetch(r.client, &request, bytes, sizeof bytes, &value), FB_MISS);
    assert_ok(fb_client_fetch(r.client, &request, &value, NULL));
    fb_value_release(&value);
    assert_int_equal(fake_saw(r.fake, "FB.KEY CLASS fruit name plum", 0), 1);
    assert_ok(fb_client_peek_fetch(r.client, &request, bytes, sizeof bytes, &value));
    assert_str(value.data, "\"cached\"");
    assert_result(fb_client_peek_fetch(r.client, &other, bytes, sizeof bytes, &value), FB_MISS);
    size_t before = fake_count(r.fake);
    assert_ok(fb_client_fetch(r.client, &request, &value, NULL));
    assert_str(value.data, "\"cached\"");
    fb_value_release(&value);
    assert_int_equal(fake_count(r.fake), before);
    request.refresh = true;
    assert_result(fb_client_peek_fetch(r.client, &request, bytes, sizeof bytes, &value), FB_MISS);
    assert_ok(fb_client_fetch(r.client, &request, &value, NULL));
    fb_value_release(&value);
    assert_int_equal(fake_saw(r.fake, "FB.FETCH WITHMETA REFRESH CLASS fruit name plum", 0), 1);
    request.refresh = false;
    // A reload: what was learned is void.
    assert_ok(fb_cache_swap(r.home.cache, rig_catalog()));
    assert_result(fb_client_peek_fetch(r.client, &request, bytes, sizeof bytes, &value), FB_MISS);
    end(&r);
}

static void test_client_region__the_first_request_is_learned_too(void **state) {
    rig r;
    begin(&r);
    char bytes[64];
    fb_value value;
    const fb_param plum[] = {{FB_STR("name"), FB_STR("plum")}};
    fb_client_request request = {.class_name = FB_STR("fruit"), .params = plum, .param_count = 1};
    put(&r.home, "fruit:plum", "\"cached\"", -1);
    fb_store_beat(fb_cache_store(r.home.cache), now());
    assert_ok(fb_client_fetch(r.client, &request, &value, NULL));
    fb_value_release(&value);
    assert_int_equal(fake_saw(r.fake, "FB.KEY CLASS fruit name plum", 0), 1);
    assert_ok(fb_client_peek_fetch(r.client, &request, bytes, sizeof bytes, &value));
    assert_str(value.data, "\"cached\"");
    end(&r);
}

static void test_client_region__children_read_it(void **state) {
    rig r;
    begin(&r);
    put(&r.home, "k", "v", -1);
    assert_get(&r, "nothing", NULL);
    fb_store_beat(fb_cache_store(r.home.cache), now());
    pid_t child = fork();
    if (child == 0) {
        char bytes[16];
        fb_value value;
        _exit(fb_client_peek(r.client, FB_STR("k"), bytes, sizeof bytes, &value) == FB_OK ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client_region__hits_ask_nobody),
        cmocka_unit_test(test_client_region__is_not_read_while_keys_are_owed),
        cmocka_unit_test(test_client_region__of_another_daemon_is_not_read),
        cmocka_unit_test(test_client_region__name_is_not_followed_to_another_daemon),
        cmocka_unit_test(test_client_region__is_left_when_another_daemon_answers),
        cmocka_unit_test(test_client_region__refusal_is_told_once),
        cmocka_unit_test(test_client_region__keys_of_fetches_are_learned),
        cmocka_unit_test(test_client_region__the_first_request_is_learned_too),
        cmocka_unit_test(test_client_region__children_read_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
