// Compression of values over a real server: from which size, with which dictionary, and what becomes
// of a value whose dictionary is not to be had.

#include "redis/dictionary.h"
#include "remote_rig.h"

static test_redis *server;

static void say_classes(remote_rig *rig) {
    static const fb_redis_class CLASSES[] = {
        {.name = FB_STR_INIT("package"), .compress_above = 200},
        {.name = FB_STR_INIT("small"), .compress_above = 0},
    };
    assert_ok(fb_redis_classes(rig->redis, CLASSES, sizeof CLASSES / sizeof *CLASSES));
}

static claims_rig *claims_rig_new(void) {
    remote_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->server = server;
    (void)test_redis_ask(server, "FLUSHALL");
    remote_rig_connect(rig);
    say_classes(rig);
    claims_open_all(&rig->claims);
    return &rig->claims;
}

static void claims_rig_free(claims_rig *claims) {
    remote_rig *rig = (remote_rig *)(void *)claims;
    remote_rig_disconnect(rig);
    free(rig);
}

static int start(void **state) {
    (void)state;
    server = test_redis_new("save \"\"");
    return 0;
}

static int stop(void **state) {
    (void)state;
    test_redis_free(server);
    return 0;
}

// A value like others of its class: a record with names that are always the same.
static const char *value_of(int number, char *text, size_t size) {
    snprintf(text, size,
             "{\"package\":\"lib%d-dev\",\"version\":\"%d.%d-1\",\"maintainer\":\"team%d@example.org\","
             "\"section\":\"libdevel\",\"priority\":\"optional\",\"architecture\":\"any\","
             "\"description\":\"development files of library number %d\",\"installed_size\":%d}",
             number, number % 7, number % 13, number % 5, number, number * 37 % 10007);
    return text;
}

static void set_value(claims_rig *claims, const char *class_name, const char *key,
                      const char *text) {
    fb_sync_request set = {.class_name = fb_str_of(class_name)};
    CLAIMS_IS(claims_set_as(claims, 0, key, text, set), FB_SYNC_DONE);
}

static long stored_len(const char *key) {
    uint32_t log = fb_partition_of(fb_str_of(key), CLAIMS_PARTITIONS);
    return atol(test_redis_ask(server, "STRLEN forebay:{forebay.%u}:v:%s", log, key));
}

// Stores values of the class until there is a dictionary, and one more, which is with it.
static void train(remote_rig *rig) {
    char key[32], text[512];

    for (int i = 0; i < FB_DICTIONARY_SAMPLES + 2; i++) {
        snprintf(key, sizeof key, "p:%d", i);
        set_value(&rig->claims, "package", key, value_of(i, text, sizeof text));
    }
    // It is offered with the next value after the training; that thread's end is nowhere told.
    RIG_UNTIL(rig, (set_value(&rig->claims, "package", "p:next", text),
                    strstr(test_redis_ask(server, "EXISTS forebay:dict:package"), "1") != NULL));
    set_value(&rig->claims, "package", "p:last", value_of(-1, text, sizeof text));
}

static void test_remote_values__large_values_are_compressed(void **state) {
    claims_rig *claims = *state;
    char text[2000];

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    set_value(claims, "package", "large", text);
    assert_true(stored_len("large") < 200);
    CLAIMS_VALUE(claims_peek(claims, 1, "large"), text);
    set_value(claims, "small", "as-it-is", text);
    assert_true(stored_len("as-it-is") > 2000 - 1);
    CLAIMS_VALUE(claims_peek(claims, 1, "as-it-is"), text);
    text[200] = '\0';
    set_value(claims, "package", "not-above", text);
    assert_true(stored_len("not-above") > 200);
    CLAIMS_VALUE(claims_peek(claims, 1, "not-above"), text);
}

static void test_remote_values__what_does_not_shrink_stays(void **state) {
    claims_rig *claims = *state;
    fb_rng rng = test_rng();
    char text[1001];

    for (size_t i = 0; i < sizeof text - 1; i++) {
        text[i] = (char)(1 + fb_rng_below(&rng, 255));
    }
    text[sizeof text - 1] = '\0';
    set_value(claims, "package", "random", text);
    assert_true(stored_len("random") > 1000);
    CLAIMS_VALUE(claims_peek(claims, 1, "random"), text);
}

static void test_remote_values__a_dictionary_is_learned_and_shared(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    char text[512];

    value_of(-1, text, sizeof text);
    set_value(claims, "package", "p:last", text);
    long alone = stored_len("p:last");
    train(rig);
    long with = stored_len("p:last");
    print_message("a value of %zu bytes: %ld without a dictionary, %ld with it, of that 80 of its own\n",
                  strlen(text), alone, with);
    assert_true(with < alone * 2 / 3);
    // Somebody who has just come knows nothing: it is fetched.
    remote_rig_disconnect(rig);
    memset(rig, 0, sizeof *rig);
    rig->server = server;
    remote_rig_connect(rig);
    CLAIMS_VALUE(claims_get(claims, 1, "p:last", 1), text);
    // And it is used from the second value on, without another one being trained.
    say_classes(rig);
    set_value(claims, "package", "p:first", text);
    set_value(claims, "package", "p:second", text);
    assert_int_equal(stored_len("p:second"), with);
    assert_non_null(strstr(test_redis_ask(server, "HLEN forebay:dict:package"), "2"));
}

static void test_remote_values__a_lost_dictionary_makes_a_miss(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    char text[512];

    train(rig);
    value_of(-1, text, sizeof text);
    remote_rig_disconnect(rig);  // who still knows it would give it back
    (void)test_redis_ask(server, "DEL forebay:dict:package");
    memset(rig, 0, sizeof *rig);
    rig->server = server;
    remote_rig_connect(rig);
    CLAIMS_IS(claims_peek(claims, 0, "p:last"), FB_SYNC_NONE);
    CLAIMS_IS(claims_get(claims, 0, "p:last", 1), FB_SYNC_LEASE);
    CLAIMS_IS(claims_get(claims, 1, "p:last", 2), FB_SYNC_HELD);
    fb_sync_request set = {.when = FB_WHEN_ABSENT};
    CLAIMS_IS(claims_set_as(claims, 1, "p:last", "x", set), FB_SYNC_FAILED);
    CLAIMS_IS(claims_fill(claims, 0, "p:last", 1, "loaded anew", 0), FB_SYNC_DONE);
    CLAIMS_VALUE(claims_get(claims, 1, "p:last", 2), "loaded anew");
}

static void test_remote_values__an_emptied_server_gets_it_back(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    char text[512];

    train(rig);
    value_of(-1, text, sizeof text);
    (void)test_redis_ask(server, "FLUSHALL");
    CLAIMS_IS(claims_peek(claims, 0, "p:last"), FB_SYNC_NO_EPOCH);
    claims_open_all(claims);
    set_value(claims, "package", "p:last", text);
    RIG_UNTIL(rig, strstr(test_redis_ask(server, "EXISTS forebay:dict:package"), "1") != NULL);
    set_value(claims, "package", "p:last", text);
    remote_rig_disconnect(rig);
    memset(rig, 0, sizeof *rig);
    rig->server = server;
    remote_rig_connect(rig);
    CLAIMS_VALUE(claims_peek(claims, 0, "p:last"), text);
}

// Whoever follows the logs mends them first: then nobody else is told that they had no epoch.
static void test_remote_values__an_emptied_server_that_was_mended_gets_it_back(void **state) {
    claims_rig *claims = *state;
    remote_rig *rig = *state;
    fb_sync_request state_of = {.verb = FB_SYNC_STATE, .node = 7, .alive_ms = 1000};
    char text[512];

    value_of(-1, text, sizeof text);
    CLAIMS_IS(claims_ask(claims, 0, state_of), FB_SYNC_DONE);
    train(rig);
    (void)test_redis_ask(server, "FLUSHALL");
    CLAIMS_IS(claims_ask(claims, 0, state_of), FB_SYNC_DONE);
    claims_open_all(claims);
    set_value(claims, "package", "p:last", text);
    RIG_UNTIL(rig, strstr(test_redis_ask(server, "EXISTS forebay:dict:package"), "1") != NULL);
}

static void test_remote_values__a_frame_that_is_broken_makes_a_miss(void **state) {
    claims_rig *claims = *state;
    char text[1000];
    uint32_t log = fb_partition_of(FB_STR("k"), CLAIMS_PARTITIONS);

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    set_value(claims, "package", "k", text);
    (void)test_redis_ask(server, "SETRANGE forebay:{forebay.%u}:v:k 85 broken", log);
    CLAIMS_IS(claims_peek(claims, 1, "k"), FB_SYNC_NONE);
    CLAIMS_IS(claims_get(claims, 1, "k", 1), FB_SYNC_LEASE);
}

#define VALUES(name) \
    cmocka_unit_test_setup_teardown(test_remote_values__##name, claims_setup, claims_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        VALUES(large_values_are_compressed),
        VALUES(what_does_not_shrink_stays),
        VALUES(a_dictionary_is_learned_and_shared),
        VALUES(a_lost_dictionary_makes_a_miss),
        VALUES(an_emptied_server_gets_it_back),
        VALUES(an_emptied_server_that_was_mended_gets_it_back),
        VALUES(a_frame_that_is_broken_makes_a_miss),
    };
    if (!test_redis_present()) {
        return 77;  // skipped
    }
    return cmocka_run_group_tests(tests, start, stop);
}
