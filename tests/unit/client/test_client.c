// The client over its socket, against a daemon that misbehaves: what a caller sees, and what the
// daemon was asked.

#include <forebay/client.h>

#include <sys/wait.h>

#include "fake_daemon.h"

typedef struct heard {
    pthread_mutex_t lock;
    char events[1024];
} heard;

static void hear(void *arg, const char *event, const char *text) {
    heard *to = arg;
    pthread_mutex_lock(&to->lock);
    strncat(to->events, event, sizeof to->events - strlen(to->events) - 1);
    strncat(to->events, ";", sizeof to->events - strlen(to->events) - 1);
    pthread_mutex_unlock(&to->lock);
    assert_true(strlen(text) > 10);
}

typedef struct rig {
    fake_daemon *fake;
    heard heard;
    fb_client *client;
    fb_error error;
} rig;

static void begin(rig *r, const fb_client_options *with) {
    *r = (rig){.fake = fake_new()};
    pthread_mutex_init(&r->heard.lock, NULL);
    fb_client_options options = with != NULL ? *with : (fb_client_options){0};
    options.url = fb_str_of(r->fake->url);
    options.warn = hear;
    options.warn_arg = &r->heard;
    options.timeout_ms = options.timeout_ms > 0 ? options.timeout_ms : 30000;
    options.retry_ms = options.retry_ms > 0 ? options.retry_ms : 3600000;
    assert_ok(fb_client_open(&options, &r->client, &r->error));
}

static void end(rig *r) {
    fb_client_close(r->client);
    fake_free(r->fake);
}

static void assert_get(rig *r, const char *key, const char *expected) {
    fb_value value = {0};
    int result = fb_client_get(r->client, fb_str_of(key), &value, &r->error);
    if (expected == NULL) {
        assert_result(result, FB_MISS);
    } else {
        assert_ok(result);
        assert_str(value.data, expected);
    }
    fb_value_release(&value);
}

static int set(rig *r, const char *key, const char *value) {
    return fb_client_set(r->client, fb_str_of(key), fb_str_of(value), 0, &r->error);
}

// Lets the client try again, whatever its `retry_ms`: as if that had passed.
static void expect_back(rig *r, const char *key) {
    fb_value value = {0};
    for (int i = 0; i < 100000; i++) {
        fb_client_figures figures;
        int result = fb_client_get(r->client, fb_str_of(key), &value, &r->error);
        fb_value_release(&value);
        assert_true(result >= 0);
        fb_client_figures_read(r->client, &figures);
        if (figures.daemon_there) {
            return;
        }
        (void)poll(NULL, 0, 1);
    }
    fail_msg("the daemon was never tried again");
}

// ---- a daemon in good health

static void test_client__calls_do_what_they_say(void **state) {
    rig r;
    begin(&r, NULL);
    int64_t number = 0;
    assert_get(&r, "a", NULL);
    assert_ok(set(&r, "a", "1"));
    assert_get(&r, "a", "1");
    assert_result(fb_client_add(r.client, FB_STR("a"), FB_STR("2"), 0, NULL), FB_REFUSED);
    assert_ok(fb_client_add(r.client, FB_STR("b"), FB_STR("2"), 5000, NULL));
    assert_ok(fb_client_exists(r.client, FB_STR("b"), NULL));
    assert_result(fb_client_exists(r.client, FB_STR("c"), NULL), FB_MISS);
    assert_ok(fb_client_incr(r.client, FB_STR("a"), 41, &number, NULL));
    assert_int_equal(number, 42);
    assert_ok(fb_client_ttl(r.client, FB_STR("a"), &number, NULL));
    assert_int_equal(number, -1);
    assert_result(fb_client_ttl(r.client, FB_STR("c"), &number, NULL), FB_MISS);
    assert_ok(fb_client_expire(r.client, FB_STR("b"), 7, NULL));
    assert_ok(fb_client_del(r.client, FB_STR("a"), NULL));
    assert_result(fb_client_del(r.client, FB_STR("a"), NULL), FB_MISS);
    assert_int_equal(fake_saw(r.fake, "SET b 2 NX PX 5000", 0), 1);
    assert_int_equal(fake_saw(r.fake, "PEXPIRE b 7", 0), 1);
    assert_int_equal(r.fake->accepted, 1);
    fb_client_figures figures;
    fb_client_figures_read(r.client, &figures);
    assert_true(figures.daemon_there && !figures.region_there);
    assert_int_equal(figures.failures, 0);
    end(&r);
}

static void test_client__values_of_any_bytes(void **state) {
    rig r;
    begin(&r, NULL);
    fb_value value;
    assert_ok(set(&r, "json", "{\"a\": 1}"));
    assert_ok(set(&r, "text", "plain\r\n$5\r\n"));
    assert_ok(fb_client_get(r.client, FB_STR("json"), &value, NULL));
    assert_int_equal(value.kind, FB_KIND_JSON);
    fb_value_release(&value);
    assert_ok(fb_client_get(r.client, FB_STR("text"), &value, NULL));
    assert_int_equal(value.kind, FB_KIND_BYTES);
    assert_str(value.data, "plain\r\n$5\r\n");
    fb_value_release(&value);
    assert_ok(set(&r, "", ""));
    assert_get(&r, "", "");
    size_t large = 3 << 20;
    char *bytes = malloc(large + 1);
    memset(bytes, 'x', large);
    bytes[large] = '\0';
    assert_ok(set(&r, "large", bytes));
    assert_get(&r, "large", bytes);
    free(bytes);
    end(&r);
}

static void test_client__many_keys_in_one_round_trip(void **state) {
    rig r;
    begin(&r, NULL);
    assert_ok(set(&r, "a", "1"));
    assert_ok(set(&r, "c", "3"));
    const fb_str keys[] = {FB_STR("a"), FB_STR("b"), FB_STR("c")};
    fb_value values[3];
    int results[3];
    assert_ok(fb_client_get_many(r.client, keys, 3, values, results, &r.error));
    assert_ok(results[0]);
    assert_result(results[1], FB_MISS);
    assert_ok(results[2]);
    assert_str(values[2].data, "3");
    for (int i = 0; i < 3; i++) {
        fb_value_release(&values[i]);
    }
    assert_int_equal(fake_saw(r.fake, "MGET a b c", 0), 1);
    assert_ok(fb_client_get_many(r.client, keys, 0, values, results, &r.error));
    end(&r);
}

static void test_client__what_cannot_be_is_refused(void **state) {
    rig r;
    begin(&r, NULL);
    char *key = calloc(1, FB_KEY_LEN_MAX + 1);
    fb_str too_long = {key, FB_KEY_LEN_MAX + 1};
    fb_value value;
    fb_client *other;
    assert_result(fb_client_get(r.client, too_long, &value, &r.error), FB_ETOOBIG);
    assert_result(fb_client_set(r.client, too_long, FB_STR(""), 0, &r.error), FB_ETOOBIG);
    assert_result(fb_client_set(r.client, FB_STR("a"), FB_STR(""), -1, &r.error), FB_EINVAL);
    fb_client_options options = {.url = FB_STR("gopher://x")};
    assert_result(fb_client_open(&options, &other, &r.error), FB_EINVAL);
    assert_int_equal(fake_count(r.fake), 0);
    free(key);
    end(&r);
}

static void test_client__error_replies_are_results(void **state) {
    static const struct {
        const char *reply;
        int result;
    } rows[] = {
        {"NOCLASS there is no class 'x'", FB_ENOCLASS},
        {"TIMEOUT x", FB_ETIMEDOUT},
        {"OVERLOAD x", FB_EOVERLOAD},
        {"SOURCE x", FB_ESOURCE},
        {"DENIED x", FB_EDENIED},
        {"CLOSING x", FB_ECLOSED},
        {"OOM x", FB_ENOMEM},
        {"NOAUTH Authentication required.", FB_EDENIED},
        {"ERR value is not an integer or out of range", FB_ETYPE},
        {"ERR increment or decrement would overflow", FB_ERANGE},
        {"ERR key or value is larger than one entry may be", FB_ETOOBIG},
        {"ERR anything else", FB_EINVAL},
        {"WEIRD", FB_EINVAL},
    };
    rig r;
    begin(&r, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pthread_mutex_lock(&r.fake->lock);
        r.fake->mood = FAKE_REFUSES;
        r.fake->refusal = rows[i].reply;
        pthread_mutex_unlock(&r.fake->lock);
        assert_result(set(&r, "a", "1"), rows[i].result);
        const char *space = strchr(rows[i].reply, ' ');
        assert_string_equal(r.error.text, space != NULL ? space + 1 : rows[i].reply);
    }
    assert_string_equal(r.heard.events, "");
    end(&r);
}

static void test_client__fetches(void **state) {
    rig r;
    begin(&r, NULL);
    const fb_param params[] = {{FB_STR("name"), FB_STR("plum")}};
    fb_client_request request = {FB_STR("fruit"), params, 1, 250, true};
    fb_value value;
    assert_ok(fb_client_fetch(r.client, &request, &value, &r.error));
    assert_str(value.data, "{\"name\":\"plum\"}");
    assert_int_equal(value.kind, FB_KIND_JSON);
    assert_int_equal(value.tier, FB_TIER_SOURCE);
    assert_int_equal(value.freshness, FB_STALE);
    assert_int_equal(value.age_ms, 10);
    assert_int_equal(value.ttl_ms, 20);
    assert_int_equal(value.version, 30);
    fb_value_release(&value);
    assert_int_equal(
        fake_saw(r.fake, "FB.FETCH WITHMETA REFRESH TIMEOUT 250 CLASS fruit name plum", 0), 1);
    const fb_param nobody[] = {{FB_STR("name"), FB_STR("nobody")}};
    fb_client_request none = {FB_STR("fruit"), nobody, 1, 0, false};
    assert_result(fb_client_fetch(r.client, &none, &value, &r.error), FB_NEGATIVE);
    char bytes[64];
    assert_result(fb_client_peek_fetch(r.client, &none, bytes, sizeof bytes, &value), FB_MISS);
    fb_invalidation what = {FB_SCOPE_TAG, FB_STR("colour:red"), true};
    assert_ok(fb_client_invalidate(r.client, &what, &r.error));
    assert_int_equal(fake_saw(r.fake, "FB.INVALIDATE SOFT TAG colour:red", 0), 1);
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    assert_ok(fb_client_invalidate(r.client, &all, &r.error));
    assert_int_equal(fake_saw(r.fake, "FB.INVALIDATE ALL", 0), 1);
    end(&r);
}

// ---- connections that end

static void test_client__an_idle_connection_may_end(void **state) {
    rig r;
    int64_t number;
    begin(&r, NULL);
    assert_ok(set(&r, "a", "1"));
    fake_hang_up(r.fake);
    assert_get(&r, "a", "1");
    fake_hang_up(r.fake);
    assert_ok(fb_client_incr(r.client, FB_STR("a"), 1, &number, &r.error));
    assert_int_equal(number, 2);
    fake_hang_up(r.fake);
    assert_ok(fb_client_add(r.client, FB_STR("b"), FB_STR("1"), 0, &r.error));
    assert_string_equal(r.heard.events, "");
    end(&r);
}

// The daemon did it, but never said so.
static void test_client__what_must_not_be_done_twice_is_not(void **state) {
    rig r;
    int64_t number;
    begin(&r, NULL);
    assert_ok(set(&r, "n", "1"));
    fake_set_mood(r.fake, FAKE_MUTE);
    assert_ok(fb_client_incr(r.client, FB_STR("n"), 1, &number, &r.error));
    assert_int_equal(fake_saw(r.fake, "INCRBY", 0), 1);
    end(&r);
    begin(&r, NULL);
    assert_ok(set(&r, "n", "1"));
    fake_set_mood(r.fake, FAKE_MUTE);
    assert_ok(fb_client_add(r.client, FB_STR("a"), FB_STR("1"), 0, &r.error));
    assert_int_equal(fake_saw(r.fake, "SET a", 0), 1);
    end(&r);
}

static void test_client__replies_never_shift(void **state) {
    fb_client_options options = {.timeout_ms = 4000, .retry_ms = 1};  // a daemon may be slow
    rig r;
    begin(&r, &options);
    assert_ok(set(&r, "a", "of a"));
    assert_ok(set(&r, "b", "of b"));
    fake_set_mood(r.fake, FAKE_HUNG);
    assert_get(&r, "a", NULL);
    fake_set_mood(r.fake, FAKE_GOOD);
    expect_back(&r, "b");
    assert_get(&r, "b", "of b");
    assert_get(&r, "a", "of a");
    assert_string_equal(r.heard.events, "daemon_away;daemon_back;");
    end(&r);
}

// The daemon waits for a source, for longer than the caller does. Others are answered.
static void test_client__a_slow_fetch_is_no_outage(void **state) {
    fb_client_options options = {.timeout_ms = 4000};
    rig r;
    begin(&r, &options);
    assert_ok(set(&r, "a", "1"));
    fake_set_mood(r.fake, FAKE_LATE);
    fb_client_request request = {.class_name = FB_STR("fruit"), .timeout_ms = 1};
    fb_value value;
    assert_result(fb_client_fetch(r.client, &request, &value, &r.error), FB_ETIMEDOUT);
    assert_get(&r, "a", "1");
    assert_string_equal(r.heard.events, "");
    end(&r);
}

// ---- without a daemon

static void use_privately(rig *r) {
    int64_t number = 0;
    fb_value value;
    assert_get(r, "k", NULL);
    assert_ok(set(r, "k", "private"));
    assert_get(r, "k", "private");
    assert_result(fb_client_add(r->client, FB_STR("k"), FB_STR("x"), 0, NULL), FB_REFUSED);
    assert_ok(fb_client_add(r->client, FB_STR("added"), FB_STR("x"), 0, NULL));
    assert_ok(fb_client_incr(r->client, FB_STR("n"), 5, &number, NULL));
    assert_ok(fb_client_incr(r->client, FB_STR("n"), -2, &number, NULL));
    assert_int_equal(number, 3);
    assert_result(fb_client_incr(r->client, FB_STR("k"), 1, &number, &r->error), FB_ETYPE);
    assert_ok(fb_client_ttl(r->client, FB_STR("k"), &number, NULL));
    assert_in_range(number, 1, 60000);
    assert_ok(fb_client_expire(r->client, FB_STR("k"), 20000, NULL));
    assert_ok(fb_client_ttl(r->client, FB_STR("k"), &number, NULL));
    assert_in_range(number, 1, 20000);
    assert_ok(fb_client_get(r->client, FB_STR("n"), &value, NULL));
    assert_int_equal(value.kind, FB_KIND_JSON);
    fb_value_release(&value);
    assert_ok(fb_client_exists(r->client, FB_STR("k"), NULL));
    assert_ok(fb_client_expire(r->client, FB_STR("k"), 0, NULL));
    assert_get(r, "k", NULL);
    assert_ok(fb_client_del(r->client, FB_STR("added"), NULL));
    assert_result(fb_client_del(r->client, FB_STR("added"), NULL), FB_MISS);
    fb_client_request request = {.class_name = FB_STR("fruit")};
    assert_result(fb_client_fetch(r->client, &request, &value, &r->error), FB_EIO);
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    assert_result(fb_client_invalidate(r->client, &all, &r->error), FB_EIO);
    assert_get(r, "n", NULL);
    const fb_str keys[] = {FB_STR("a"), FB_STR("m")};
    fb_value values[2];
    int results[2];
    assert_ok(set(r, "m", "many"));
    assert_ok(fb_client_get_many(r->client, keys, 2, values, results, &r->error));
    assert_result(results[0], FB_MISS);
    assert_ok(results[1]);
    fb_value_release(&values[1]);
    fb_client_figures figures;
    fb_client_figures_read(r->client, &figures);
    assert_false(figures.daemon_there);
    assert_true(figures.private_hits >= 3 && figures.failures >= 1);
    assert_string_equal(r->heard.events, "daemon_away;");
}

static void test_client__connection_refused(void **state) {
    rig r;
    begin(&r, NULL);
    fake_stop(r.fake);
    use_privately(&r);
    fake_start(r.fake);
    end(&r);
}

static void test_client__daemon_hangs(void **state) {
    fb_client_options options = {.timeout_ms = 50};
    rig r;
    begin(&r, &options);
    fake_set_mood(r.fake, FAKE_HUNG);
    use_privately(&r);
    end(&r);
}

static void test_client__daemon_dies_in_a_reply(void **state) {
    rig r;
    begin(&r, NULL);
    assert_ok(set(&r, "x", "1"));
    fake_set_mood(r.fake, FAKE_CUT);
    use_privately(&r);
    end(&r);
}

static void test_client__daemon_hangs_up_on_everybody(void **state) {
    rig r;
    begin(&r, NULL);
    assert_ok(set(&r, "x", "1"));
    fake_set_mood(r.fake, FAKE_RUDE);
    use_privately(&r);
    end(&r);
}

static void test_client__something_else_listens_there(void **state) {
    rig r;
    begin(&r, NULL);
    fake_set_mood(r.fake, FAKE_OTHER);
    use_privately(&r);
    end(&r);
}

static void test_client__daemon_has_too_many_clients(void **state) {
    rig r;
    begin(&r, NULL);
    fake_set_mood(r.fake, FAKE_FULL);
    use_privately(&r);
    assert_non_null(strstr(r.error.text, "there is no daemon"));
    end(&r);
}

// ---- coming back

static void test_client__what_is_owed_is_deleted_first(void **state) {
    fb_client_options options = {.retry_ms = 1};
    rig r;
    begin(&r, &options);
    fake_give(r.fake, "set", "old");
    fake_give(r.fake, "deleted", "old");
    fake_give(r.fake, "counted", "7");
    fake_give(r.fake, "other", "kept");
    fake_stop(r.fake);
    int64_t number;
    assert_ok(set(&r, "set", "new"));
    assert_result(fb_client_del(r.client, FB_STR("deleted"), NULL), FB_MISS);
    assert_ok(fb_client_incr(r.client, FB_STR("counted"), 1, &number, NULL));
    assert_int_equal(number, 1);
    size_t before = fake_count(r.fake);
    fake_start(r.fake);
    expect_back(&r, "set");
    assert_get(&r, "set", NULL);
    assert_get(&r, "deleted", NULL);
    assert_get(&r, "counted", NULL);
    assert_get(&r, "other", "kept");
    assert_int_equal(fake_saw(r.fake, "DEL set deleted counted", before), 1);
    // Nothing was read of it before that.
    pthread_mutex_lock(&r.fake->lock);
    for (size_t i = before; i < r.fake->seen_count; i++) {
        if (strncmp(r.fake->seen[i], "DEL", 3) == 0) {
            break;
        }
        assert_false(strncmp(r.fake->seen[i], "GET", 3) == 0);
    }
    pthread_mutex_unlock(&r.fake->lock);
    assert_string_equal(r.heard.events, "daemon_away;daemon_back;");
    end(&r);
}

// A SET that nobody answered lies in the daemon's socket when it wakes, which may see to other
// sockets first. The SET must not come after the deletion that is owed for its key.
static void test_client__late_writes_do_not_overtake(void **state) {
    fb_client_options options = {.timeout_ms = 100, .retry_ms = 1};
    rig r;
    fb_client_figures figures;
    begin(&r, &options);
    do {  // on a busy machine it may not be done in that time
        assert_ok(set(&r, "k", "first"));
        fb_client_figures_read(r.client, &figures);
    } while (!figures.daemon_there || !fake_has(r.fake, "k", "first"));
    size_t before = fake_count(r.fake);
    fake_set_mood(r.fake, FAKE_HUNG);
    assert_ok(set(&r, "k", "late"));
    assert_ok(set(&r, "k", "last"));
    fake_set_mood(r.fake, FAKE_LATE);
    for (int i = 0; i < 5; i++) {
        assert_get(&r, "k", "last");
        (void)poll(NULL, 0, 2);
    }
    assert_int_equal(fake_saw(r.fake, "DEL k", before), 0);
    fake_set_mood(r.fake, FAKE_GOOD);
    expect_back(&r, "k");
    assert_get(&r, "k", NULL);
    assert_int_equal(fake_saw(r.fake, "SET k late", 0), 1);
    assert_false(fake_has(r.fake, "k", "late"));
    end(&r);
}

static void test_client__one_tries_the_others_do_not_wait(void **state) {
    fb_client_options options = {.timeout_ms = 200, .retry_ms = 3600000};
    rig r;
    begin(&r, &options);
    fake_stop(r.fake);
    assert_ok(set(&r, "a", "1"));
    for (int i = 0; i < 1000; i++) {
        assert_get(&r, "a", "1");
    }
    fb_client_figures figures;
    fb_client_figures_read(r.client, &figures);
    assert_int_equal(figures.failures, 1);
    fake_start(r.fake);
    assert_get(&r, "a", "1");
    end(&r);
}

static void test_client__what_is_owed_is_bounded(void **state) {
    rig r;
    begin(&r, NULL);
    fake_stop(r.fake);
    char key[32];
    int result = FB_OK;
    int count = 0;
    while (result == FB_OK) {
        snprintf(key, sizeof key, "key:%d", count);
        result = set(&r, key, "v");
        count += result == FB_OK;
    }
    assert_result(result, FB_EOVERLOAD);
    assert_int_equal(count, 65536);
    assert_non_null(strstr(r.error.text, "away"));
    // A key that is owed already may be written again.
    assert_ok(set(&r, "key:5", "again"));
    assert_get(&r, "key:5", "again");
    fake_start(r.fake);
    end(&r);
}

static void test_client__private_memory_is_bounded(void **state) {
    fb_client_options options = {.private_bytes = 1 << 20, .private_ttl_ms = 1000};
    rig r;
    begin(&r, &options);
    fake_stop(r.fake);
    char *bytes = malloc(1 << 19);
    memset(bytes, 'x', 1 << 19);
    bytes[(1 << 19) - 1] = '\0';
    assert_ok(set(&r, "k", "small"));
    // Too large to be kept: forgotten, and what was there before with it.
    assert_ok(set(&r, "k", bytes));
    assert_get(&r, "k", NULL);
    assert_ok(fb_client_set(r.client, FB_STR("t"), FB_STR("v"), 3600000, NULL));
    int64_t left_ms;
    assert_ok(fb_client_ttl(r.client, FB_STR("t"), &left_ms, NULL));
    assert_in_range(left_ms, 1, 1000);
    free(bytes);
    fake_start(r.fake);
    end(&r);
}

// ---- lack of memory

// Of this thread alone: the daemon of the test has all it wants.
static __thread size_t allocations, fail_at;
static __thread bool failed;

static void *resize(void *arg, void *ptr, size_t size) {
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    if (++allocations == fail_at) {
        failed = true;
        return NULL;
    }
    return realloc(ptr, size);
}

static bool is_fine(int result) {
    return result >= 0 || result == FB_ENOMEM || result == FB_EIO;
}

static void use_all(rig *r) {
    fb_client_options options = {.url = fb_str_of(r->fake->url),
                                 .timeout_ms = 30000,
                                 .retry_ms = 1,
                                 .warn = hear,
                                 .warn_arg = &r->heard};
    fb_client *client = NULL;
    const fb_str keys[] = {FB_STR("a"), FB_STR("b")};
    fb_value value = {0}, values[2];
    int64_t number;
    int results[2];
    int result = fb_client_open(&options, &client, &r->error);
    if (result < 0) {
        assert_result(result, FB_ENOMEM);
        return;
    }
    assert_true(is_fine(fb_client_set(client, FB_STR("a"), FB_STR("1"), 0, &r->error)));
    assert_true(is_fine(fb_client_add(client, FB_STR("b"), FB_STR("1"), 0, &r->error)));
    assert_true(is_fine(fb_client_get(client, FB_STR("a"), &value, &r->error)));
    fb_value_release(&value);
    result = fb_client_get_many(client, keys, 2, values, results, &r->error);
    assert_true(is_fine(result));
    for (int i = 0; i < 2 && result == FB_OK; i++) {
        fb_value_release(&values[i]);
    }
    assert_true(is_fine(fb_client_incr(client, FB_STR("n"), 1, &number, &r->error)));
    assert_true(is_fine(fb_client_del(client, FB_STR("a"), &r->error)));
    fb_client_request request = {.class_name = FB_STR("fruit")};
    assert_true(is_fine(fb_client_fetch(client, &request, &value, &r->error)));
    fb_value_release(&value);
    fb_client_close(client);
}

static void test_client__lack_of_memory_is_told(void **state) {
    rig r;
    begin(&r, NULL);
    fb_hooks hooks = {.resize = resize};
    fb_hooks_set(&hooks);
    for (int daemon = 0; daemon < 2; daemon++) {
        do {
            fail_at++;
            allocations = 0;
            failed = false;
            use_all(&r);
        } while (failed);
        assert_true(fail_at > 5);
        fail_at = 0;
        if (daemon == 0) {
            fake_stop(r.fake);
        }
    }
    fake_start(r.fake);
    end(&r);
}

// Who is told that there was no memory may write again, and be overtaken by nothing.
static void test_client__nothing_is_sent_without_room_for_the_reply(void **state) {
    rig r;
    begin(&r, NULL);
    size_t large = 3 << 20;
    char *bytes = malloc(large + 1);
    memset(bytes, 'x', large);
    bytes[large] = '\0';
    assert_ok(set(&r, "large", bytes));
    fb_hooks hooks = {.resize = resize};
    fb_hooks_set(&hooks);
    int result;
    size_t n = 0;
    do {
        assert_ok(set(&r, "k", "first"));
        assert_get(&r, "large", bytes);  // its room is given back
        size_t before = fake_count(r.fake);
        allocations = 0;
        fail_at = ++n;
        failed = false;
        result = set(&r, "k", "late");
        fail_at = 0;
        assert_ok(set(&r, "k", "last"));
        assert_int_equal(fake_saw(r.fake, "SET k late", before), result == FB_OK ? 1 : 0);
    } while (failed);
    assert_true(n > 1);
    free(bytes);
    end(&r);
}

// ---- processes

static void wait_child(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_client__goes_on_after_fork(void **state) {
    rig r;
    begin(&r, NULL);
    assert_ok(set(&r, "a", "parent"));
    pid_t child = fork();
    if (child == 0) {
        fb_value value;
        bool fine = fb_client_get(r.client, FB_STR("a"), &value, NULL) == FB_OK &&
                    fb_client_set(r.client, FB_STR("b"), FB_STR("child"), 0, NULL) == FB_OK;
        _exit(fine ? 0 : 1);
    }
    assert_get(&r, "a", "parent");
    wait_child(child);
    assert_get(&r, "b", "child");
    assert_int_equal(r.fake->accepted, 2);
    assert_string_equal(r.heard.events, "");
    end(&r);
}

static void test_client__private_cache_is_each_processs_own(void **state) {
    rig r;
    begin(&r, NULL);
    fake_stop(r.fake);
    assert_ok(set(&r, "a", "parent"));
    pid_t child = fork();
    if (child == 0) {
        fb_value value;
        bool fine = fb_client_get(r.client, FB_STR("a"), &value, NULL) == FB_MISS &&
                    fb_client_set(r.client, FB_STR("a"), FB_STR("child"), 0, NULL) == FB_OK &&
                    fb_client_get(r.client, FB_STR("a"), &value, NULL) == FB_OK;
        _exit(fine ? 0 : 1);
    }
    wait_child(child);
    assert_get(&r, "a", "parent");
    fake_start(r.fake);
    end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client__calls_do_what_they_say),
        cmocka_unit_test(test_client__values_of_any_bytes),
        cmocka_unit_test(test_client__many_keys_in_one_round_trip),
        cmocka_unit_test(test_client__what_cannot_be_is_refused),
        cmocka_unit_test(test_client__error_replies_are_results),
        cmocka_unit_test(test_client__fetches),
        cmocka_unit_test(test_client__an_idle_connection_may_end),
        cmocka_unit_test(test_client__what_must_not_be_done_twice_is_not),
        cmocka_unit_test(test_client__replies_never_shift),
        cmocka_unit_test(test_client__a_slow_fetch_is_no_outage),
        cmocka_unit_test(test_client__connection_refused),
        cmocka_unit_test(test_client__daemon_hangs),
        cmocka_unit_test(test_client__daemon_dies_in_a_reply),
        cmocka_unit_test(test_client__daemon_hangs_up_on_everybody),
        cmocka_unit_test(test_client__something_else_listens_there),
        cmocka_unit_test(test_client__daemon_has_too_many_clients),
        cmocka_unit_test(test_client__what_is_owed_is_deleted_first),
        cmocka_unit_test(test_client__late_writes_do_not_overtake),
        cmocka_unit_test(test_client__one_tries_the_others_do_not_wait),
        cmocka_unit_test(test_client__what_is_owed_is_bounded),
        cmocka_unit_test(test_client__private_memory_is_bounded),
        cmocka_unit_test(test_client__lack_of_memory_is_told),
        cmocka_unit_test(test_client__nothing_is_sent_without_room_for_the_reply),
        cmocka_unit_test(test_client__goes_on_after_fork),
        cmocka_unit_test(test_client__private_cache_is_each_processs_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
