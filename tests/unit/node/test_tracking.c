// CLIENT TRACKING: who keeps what he read is told when it changes, whoever changes it and however; never
// before the reply that he keeps, and never not at all.

#include "near_rig.h"
#include "node/session_state.h"
#include "node/tracking.h"

static rig shared;

static int set_up(void **state) {
    (void)state;
    rig_open(&shared);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

static void set(const char *key, const char *value) {
    assert_ok(fb_set(shared.engine, fb_str_of(key), fb_str_of(value), NULL));
}

static void invalidate(fb_scope scope, const char *name) {
    fb_invalidation what = {.scope = scope, .name = fb_str_of(name)};
    assert_ok(fb_invalidate(shared.engine, &what, NULL));
}

// The last bytes that were said to it.
static void assert_ends(near_client *one, const char *bytes) {
    rig_client *client = &one->client;
    pthread_mutex_lock(&client->lock);
    size_t len = strlen(bytes);
    assert_true(client->out.len >= len);
    assert_memory_equal(client->out.ptr + client->out.len - len, bytes, len);
    pthread_mutex_unlock(&client->lock);
}

static void test_tracking__tells_of_every_kind_of_change(void **state) {
    (void)state;
    near_client near, other;
    near_open(&near, &shared, 0);
    near_open(&other, &shared, 1);
    near_track(&near, "");
    static const char *const changes[] = {
        "SET k1 b",     "DEL k1",           "APPEND k1 x",      "EXPIRE k1 100",
        "PERSIST k1",   "INCR k1",          "GETDEL k1",        "FB.INVALIDATE KEY k1",
        "FLUSHALL",     "FB.INVALIDATE PATTERN k*", "PEXPIRE k1 1", "MSET k0 0 k1 1",
        "RENAME k1 k2", "SETEX k1 100 v",   "SET k1 v PX 1",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        assert_ok(fb_set(shared.engine, FB_STR("k1"), FB_STR("7"),
                         &(fb_set_options){.ttl_ms = 3600 * 1000}));
        assert_string_equal(near_get(&near, 1), "7");
        near_say(&other, "%s", changes[i]);
        (void)near_await_reply(&other);
        while (near.kept[1]) {
            assert_false(near_read(&near));
        }
    }
    near_close(&near);
    near_close(&other);
}

static void test_tracking__tells_once_for_each_read(void **state) {
    (void)state;
    near_client near;
    near_open(&near, &shared, 0);
    near_track(&near, "");
    set("k1", "a");
    set("k2", "a");
    (void)near_get(&near, 1);
    near_settle(&near);
    uint64_t before = near.notices;
    for (int i = 0; i < 10; i++) {
        set("k1", "b");
        set("k2", "b");  // was not read
    }
    near_settle(&near);
    assert_int_equal(near.notices, before + 2);  // k1, and the one that settles
    near_close(&near);
}

// A load's own fill is no change to who waits for it; what comes after it is.
static void test_tracking__load_is_no_change_to_its_reader(void **state) {
    (void)state;
    near_client near;
    rig_gate gate;
    near_open(&near, &shared, 0);
    near_track(&near, "");
    rig_hold(&shared, &gate, "9", FB_OK);
    near_say(&near, "FB.FETCH item id 9");
    rig_release(&gate);
    assert_string_equal(near_await_reply(&near), "held");
    near_settle(&near);
    assert_int_equal(near.notices, 1);
    invalidate(FB_SCOPE_KEY, "item:9");
    near_await_notice(&near);
    assert_ends(&near, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nitem:9\r\n");
    near_close(&near);
}

// What changes while a reply is to come is told behind it (and, as nobody knows whether it concerns that
// reply, before it as well).
static void test_tracking__notice_comes_behind_the_reply(void **state) {
    (void)state;
    near_client near;
    rig_gate gate;
    near_open(&near, &shared, 0);
    near_track(&near, "");
    rig_hold(&shared, &gate, "8", FB_OK);
    near_say(&near, "FB.FETCH item id 8");
    invalidate(FB_SCOPE_KEY, "item:8");
    rig_release(&gate);
    // "held", or, where the invalidation was quicker than the question, what is in the table: nothing.
    (void)near_await_reply(&near);
    near_await_notice(&near);
    assert_ends(&near, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nitem:8\r\n");
    near_close(&near);
}

static void fetch(near_client *one, const char *id, const char *value) {
    near_say(one, "FB.FETCH item id %s", id);
    assert_non_null(strstr(near_await_reply(one), value));
}

static void test_tracking__tags_classes_and_namespaces(void **state) {
    (void)state;
    near_client near;
    near_open(&near, &shared, 1);
    near_track(&near, "");
    fetch(&near, "1", "one");
    fetch(&near, "2", "two");
    near_settle(&near);
    uint64_t before = near.notices;
    invalidate(FB_SCOPE_TAG, "kind:1");
    near_await_notice(&near);
    assert_ends(&near, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nitem:1\r\n");
    near_settle(&near);
    assert_int_equal(near.notices, before + 2);  // item:2 stands
    invalidate(FB_SCOPE_CLASS, "item");
    near_await_notice(&near);
    assert_ends(&near, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nitem:2\r\n");
    near_close(&near);
}

static void test_tracking__own_changes_and_noloop(void **state) {
    (void)state;
    near_client near;
    near_open(&near, &shared, 0);
    near_track(&near, "");
    set("k1", "a");
    (void)near_get(&near, 1);
    near_say(&near, "SET k1 b");
    assert_string_equal(near_await_reply(&near), "OK");
    near_await_notice(&near);
    assert_false(near.kept[1]);
    near_say(&near, "CLIENT TRACKING OFF");
    (void)near_await_reply(&near);
    near_track(&near, "NOLOOP");
    (void)near_get(&near, 1);
    near_say(&near, "SET k1 c");
    assert_string_equal(near_await_reply(&near), "OK");
    near_settle(&near);
    assert_true(near.kept[1]);
    near_close(&near);
}

static void test_tracking__broadcast_by_prefix(void **state) {
    (void)state;
    near_client near;
    near_open(&near, &shared, 0);
    near_track(&near, "BCAST PREFIX k1 PREFIX k6");
    set("k1", "a");
    near_await_notice(&near);
    set("k2", "a");
    set("k15", "a");
    near_await_notice(&near);
    assert_ends(&near, "*1\r\n$3\r\nk15\r\n");
    invalidate(FB_SCOPE_ALL, "");
    near_await_notice(&near);
    assert_int_equal(near.flushes, 1);
    near_close(&near);
}

static void test_tracking__bound_of_keys_is_kept(void **state) {
    (void)state;
    near_client near;
    fb_tracking_figures figures;
    near_open(&near, &shared, 0);
    near_track(&near, "");
    atomic_store(&shared.node.doors.tracking_keys_max, 10);
    for (int i = 0; i < 30; i++) {
        (void)near_get(&near, i);
        fb_tracking_figures_read(&shared.node, &figures);
        assert_true(figures.keys <= 10);
    }
    while (near.notices < 20) {
        assert_false(near_read(&near));
    }
    int kept = 0;
    for (int i = 0; i < 30; i++) {
        kept += near.kept[i];
    }
    assert_int_equal(kept, 10);
    atomic_store(&shared.node.doors.tracking_keys_max, 0);
    near_close(&near);
}

// Of what waits for a connection that does not read there is never more than so much: then it is told
// that everything has changed.
static void test_tracking__notices_that_wait_are_bounded(void **state) {
    (void)state;
    fb_session *session = NULL;
    size_t used = 0;
    fb_str begin = FB_STR("HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n");
    assert_ok(fb_session_new(&shared.node, FB_STR("127.0.0.1:1"), rig_client_wake, NULL, &session));
    assert_int_equal(fb_session_feed(session, begin, &used), FB_OK);
    fb_session_out(session)->len = 0;
    char key[1000];
    memset(key, 'x', sizeof key);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, 8, "%07d", i);
        assert_ok(fb_set(shared.engine, fb_str_make(key, sizeof key), FB_STR("v"), NULL));
    }
    assert_int_equal(fb_session_feed(session, FB_STR(""), &used), FB_OK);
    const fb_buf *out = fb_session_out(session);
    assert_true(out->len < 2 * FB_TRACKING_WAITING_MAX);
    assert_non_null(memmem(out->ptr, out->len, ">2\r\n$10\r\ninvalidate\r\n_\r\n", 24));
    fb_session_free(session);
}

// However much is said before them in the same turn: nobody makes another one for them.
static void test_tracking__notices_come_behind_large_replies(void **state) {
    (void)state;
    static const char large[FB_TRACKING_WAITING_MAX / 8] = {'x'};
    static const char notice[] = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$2\r\nk1\r\n";
    fb_session *session = NULL;
    size_t used = 0;
    fb_str begin = FB_STR("HELLO 3\r\nCLIENT TRACKING ON\r\n");
    fb_str rest = FB_STR("MGET large large large large large large large large large large\r\n"
                         "GET k1\r\nSET k1 mine\r\n");
    assert_ok(fb_set(shared.engine, FB_STR("large"), fb_str_make(large, sizeof large), NULL));
    assert_ok(fb_session_new(&shared.node, FB_STR("127.0.0.1:1"), rig_client_wake, NULL, &session));
    assert_int_equal(fb_session_feed(session, begin, &used), FB_OK);
    while (fb_session_feed(session, rest, &used) == FB_REFUSED) {
        rest = fb_str_make(rest.ptr + used, rest.len - used);
    }
    const fb_buf *out = fb_session_out(session);
    assert_true(out->len > FB_TRACKING_WAITING_MAX);
    assert_non_null(memmem(out->ptr, out->len, notice, sizeof notice - 1));
    fb_session_free(session);
    int deleted = fb_del(shared.engine, FB_STR("large"));
    assert_ok(deleted);
}

typedef struct held {
    const near_client *near;
    size_t bytes;
} held;

static void weigh(void *arg) {
    held *one = arg;
    one->bytes = one->near->client.session->slot_bytes;
}

// They are said at once and once more behind a reply that is late; how late that may be is no matter.
static void test_tracking__notices_behind_a_late_reply_are_bounded(void **state) {
    (void)state;
    near_client near;
    rig_gate gate;
    near_open(&near, &shared, 0);
    near_track(&near, "BCAST");
    rig_hold(&shared, &gate, "7", FB_OK);
    near_say(&near, "FB.FETCH item id 7");
    held one = {.near = &near};
    char key[1000];
    memset(key, 'x', sizeof key);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(key, 8, "%07d", i);
        assert_ok(fb_set(shared.engine, fb_str_make(key, sizeof key), FB_STR("v"), NULL));
        rig_on_loop(&shared, weigh, &one);
        assert_true(one.bytes < 2 * FB_TRACKING_WAITING_MAX);
    }
    rig_release(&gate);
    assert_string_equal(near_await_reply(&near), "held");
    near_settle(&near);
    assert_true(near.flushes > 0);
    near_close(&near);
}

// ---- RESP2

static void test_tracking__redirects_to_a_channel(void **state) {
    (void)state;
    near_client near, listener;
    char channel_id[NEAR_TEXT];
    near_open(&near, &shared, 0);
    near_open(&listener, &shared, 1);
    near_say(&listener, "CLIENT ID");
    (void)snprintf(channel_id, sizeof channel_id, "%s", near_await_reply(&listener));
    near_say(&listener, "SUBSCRIBE __redis__:invalidate");
    (void)near_await_reply(&listener);
    near_say(&listener, "GET k1");
    assert_non_null(strstr(near_await_reply(&listener), "only (P|S)SUBSCRIBE"));
    near_say(&near, "CLIENT TRACKING ON REDIRECT %s", channel_id);
    assert_string_equal(near_await_reply(&near), "OK");
    near_say(&near, "GET k1");
    (void)near_await_reply(&near);
    set("k1", "z");
    (void)near_await_reply(&listener);
    assert_ends(&listener,
                "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$2\r\nk1\r\n");
    near_close(&listener);
    near_say(&near, "CLIENT TRACKING ON REDIRECT %s", channel_id);
    assert_non_null(strstr(near_await_reply(&near), "does not exist"));
    near_say(&near, "CLIENT GETREDIR");
    assert_string_equal(near_await_reply(&near), channel_id);
    near_close(&near);
}

static void test_tracking__nothing_is_left_when_nobody_tracks(void **state) {
    (void)state;
    near_client near;
    fb_tracking_figures figures;
    near_open(&near, &shared, 0);
    near_track(&near, "");
    (void)near_get(&near, 1);
    fb_tracking_figures_read(&shared.node, &figures);
    assert_int_equal(figures.clients, 1);
    assert_int_equal(figures.keys, 1);
    near_say(&near, "RESET");
    (void)near_await_reply(&near);
    fb_tracking_figures_read(&shared.node, &figures);
    assert_int_equal(figures.clients, 0);
    assert_int_equal(figures.keys, 0);
    set("k1", "nobody hears this");
    near_say(&near, "PING");
    assert_string_equal(near_await_reply(&near), "PONG");
    near_close(&near);
    assert_null(atomic_load(&shared.node.tracking));
}

// ---- many at once: near caches on both loops, writers on threads of their own

enum { CLIENTS = 4, WRITERS = 2, KEYS = 24, READS = 4000 };

static _Atomic bool enough;

typedef struct writer {
    pthread_t thread;
    uint64_t seed;
} writer;

static void *write_much(void *arg) {
    writer *one = arg;
    fb_rng rng;
    fb_rng_init(&rng, one->seed);
    for (int i = 0; !atomic_load(&enough); i++) {
        char key[16], value[32];
        (void)snprintf(key, sizeof key, "k%d", (int)(fb_rng_next(&rng) % KEYS));
        (void)snprintf(value, sizeof value, "%llx", (unsigned long long)fb_rng_next(&rng));
        switch (fb_rng_next(&rng) % 16) {
            case 0: {
                int deleted = fb_del(shared.engine, fb_str_of(key));
                assert_true(deleted >= 0);
                break;
            }
            case 1: {
                int expires = fb_expire(shared.engine, fb_str_of(key), 1);
                assert_true(expires >= 0);
                break;
            }
            case 2:
                invalidate(FB_SCOPE_KEY, key);
                break;
            case 3:
                if (i % 64 == 0) {
                    invalidate(FB_SCOPE_PATTERN, "k1*");
                    invalidate(FB_SCOPE_TAG, "t");
                }
                break;
            case 4:
                if (i % 256 == 0) {
                    invalidate(FB_SCOPE_ALL, "");
                }
                break;
            case 5: {
                fb_str tag = FB_STR("t");
                assert_ok(fb_set(shared.engine, fb_str_of(key), fb_str_of(value),
                                 &(fb_set_options){.tags = &tag, .tag_count = 1}));
                break;
            }
            default:
                set(key, value);
        }
    }
    return NULL;
}

typedef struct reader {
    pthread_t thread;
    near_client *near;
    uint64_t seed;
} reader;

static void *read_much(void *arg) {
    reader *one = arg;
    fb_rng rng;
    fb_rng_init(&rng, one->seed);
    for (int i = 0; i < READS; i++) {
        (void)near_get(one->near, (int)(fb_rng_next(&rng) % KEYS));
    }
    return NULL;
}

static void check_near(near_client *one) {
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        fb_value value;
        (void)snprintf(key, sizeof key, "k%d", i);
        int result = fb_get_copy(shared.engine, fb_str_of(key), &value);
        if (one->kept[i] && result == FB_OK) {
            assert_int_equal(value.data.len, strlen(one->values[i]));
            assert_memory_equal(value.data.ptr, one->values[i], value.data.len);
        } else if (one->kept[i]) {
            assert_string_equal(one->values[i], "(nil)");
        }
        fb_value_release(&value);
    }
}

static void test_tracking__near_caches_never_stay_stale(void **state) {
    (void)state;
    static near_client near[CLIENTS];
    writer writers[WRITERS];
    reader readers[CLIENTS];
    uint64_t seed = (uint64_t)rig_wall_us();
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < CLIENTS; i++) {
        near_open(&near[i], &shared, (uint32_t)i % 2);
        near_track(&near[i], "");
        readers[i] = (reader){.near = &near[i], .seed = seed + 100 + (uint64_t)i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_much, &readers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i].seed = seed + (uint64_t)i;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_much, &writers[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    }
    // What has expired is told when it is swept, which is not waited for here.
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i);
        if (fb_persist(shared.engine, fb_str_of(key)) == FB_MISS) {
            invalidate(FB_SCOPE_KEY, key);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        near_settle(&near[i]);
        check_near(&near[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        near_close(&near[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tracking__tells_of_every_kind_of_change),
        cmocka_unit_test(test_tracking__tells_once_for_each_read),
        cmocka_unit_test(test_tracking__load_is_no_change_to_its_reader),
        cmocka_unit_test(test_tracking__notice_comes_behind_the_reply),
        cmocka_unit_test(test_tracking__tags_classes_and_namespaces),
        cmocka_unit_test(test_tracking__own_changes_and_noloop),
        cmocka_unit_test(test_tracking__broadcast_by_prefix),
        cmocka_unit_test(test_tracking__bound_of_keys_is_kept),
        cmocka_unit_test(test_tracking__notices_that_wait_are_bounded),
        cmocka_unit_test(test_tracking__notices_come_behind_large_replies),
        cmocka_unit_test(test_tracking__notices_behind_a_late_reply_are_bounded),
        cmocka_unit_test(test_tracking__redirects_to_a_channel),
        cmocka_unit_test(test_tracking__nothing_is_left_when_nobody_tracks),
        cmocka_unit_test(test_tracking__near_caches_never_stay_stale),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
