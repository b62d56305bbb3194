// WATCH, and EXEC alone among all loops: whoever reads, then writes in a transaction on what he has read,
// loses nothing to others who do the same.

#include "near_rig.h"

#include "node/turn.h"

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

static const char *ask(near_client *one, const char *command) {
    near_say(one, "%s", command);
    return near_await_reply(one);
}

// Whether EXEC of one SET runs after a WATCH of k1 and k2 and then what is said by another connection.
static bool runs_after(near_client *one, near_client *other, const char *change) {
    assert_string_equal(ask(one, "WATCH k1 k2"), "OK");
    if (change != NULL) {
        (void)ask(other, change);
    }
    assert_string_equal(ask(one, "MULTI"), "OK");
    assert_string_equal(ask(one, "SET result mine"), "QUEUED");
    return strcmp(ask(one, "EXEC"), "(nil)") != 0;
}

static void test_watch__notices_every_kind_of_change(void **state) {
    (void)state;
    near_client one, other;
    near_open(&one, &shared, 0);
    near_open(&other, &shared, 1);
    static const char *const changes[] = {
        "SET k1 b",      "SET k1 a",       "DEL k1",           "APPEND k1 x",
        "EXPIRE k1 100", "INCR k1",        "GETDEL k1",        "FB.INVALIDATE KEY k1",
        "FLUSHALL",      "FLUSHDB",        "SETEX k1 9 x",     "FB.INVALIDATE PATTERN k*",
        "SET k2 1",      "MSET k1 1 k2 2", "FB.INVALIDATE TAG t",
    };
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fb_str tag = FB_STR("t");
        (void)ask(&other, "DEL k2");
        assert_ok(fb_set(shared.engine, FB_STR("k1"), FB_STR("7"),
                         &(fb_set_options){.tags = &tag, .tag_count = 1}));
        if (runs_after(&one, &other, changes[i])) {
            fail_msg("%s: %s", changes[i], other.reply);
        }
        assert_ok(fb_set(shared.engine, FB_STR("k1"), FB_STR("7"), NULL));
        assert_true(runs_after(&one, &other, NULL));  // it watches no longer
    }
    (void)ask(&other, "DEL k2");
    static const char *const none[] = {"GET k1", "TTL k1", "SET k4 1", "DEL k2", "EXISTS k1"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_true(runs_after(&one, &other, none[i]));
    }
    near_close(&one);
    near_close(&other);
}

static void test_watch__own_changes_count_and_unwatch_forgets(void **state) {
    (void)state;
    near_client one;
    near_open(&one, &shared, 0);
    assert_false(runs_after(&one, &one, "SET k1 mine"));
    (void)ask(&one, "WATCH k1");
    (void)ask(&one, "SET k1 again");
    assert_string_equal(ask(&one, "UNWATCH"), "OK");
    assert_true(runs_after(&one, &one, NULL));
    (void)ask(&one, "WATCH k1");
    (void)ask(&one, "SET k1 again");
    (void)ask(&one, "MULTI");
    assert_string_equal(ask(&one, "WATCH k1"), "ERR WATCH inside MULTI is not allowed");
    assert_string_equal(ask(&one, "DISCARD"), "OK");
    assert_true(runs_after(&one, &one, NULL));
    (void)ask(&one, "WATCH k1");
    (void)ask(&one, "SET k1 again");
    assert_string_equal(ask(&one, "RESET"), "RESET");
    assert_true(runs_after(&one, &one, NULL));
    // An EXEC that is refused ends the transaction, and its watch with it.
    (void)ask(&one, "WATCH k1");
    (void)ask(&one, "SET k1 again");
    (void)ask(&one, "MULTI");
    assert_int_equal(strncmp(ask(&one, "EXEC now"), "EXECABORT", 9), 0);
    assert_true(runs_after(&one, &one, NULL));
    near_close(&one);
}

static void test_watch__what_has_expired_is_changed(void **state) {
    (void)state;
    near_client one;
    fb_key_state now;
    near_open(&one, &shared, 0);
    (void)ask(&one, "SET k1 v PX 20");
    (void)ask(&one, "WATCH k1");
    bool was_there = strcmp(ask(&one, "EXISTS k1"), "1") == 0;  // else this machine is slow today
    do {
        fb_key_state_read(shared.engine, FB_STR("k1"), &now);
    } while (now.found);
    (void)ask(&one, "MULTI");
    (void)ask(&one, "SET result mine");
    const char *reply = ask(&one, "EXEC");
    assert_true(!was_there || strcmp(reply, "(nil)") == 0);
    assert_true(runs_after(&one, &one, NULL));  // was not there, and is not
    near_close(&one);
}

// ---- no update is lost

enum { CLIENTS = 6, ROUNDS = 150 };

typedef struct counting {
    pthread_t thread;
    near_client client;
    uint64_t refused;
} counting;

static void *count_up(void *arg) {
    counting *one = arg;
    char set[64];
    for (int done = 0; done < ROUNDS;) {
        (void)ask(&one->client, "WATCH number");
        const char *seen = ask(&one->client, "GET number");
        long number = strcmp(seen, "(nil)") == 0 ? 0 : atol(seen);
        (void)snprintf(set, sizeof set, "SET number %ld", number + 1);
        (void)ask(&one->client, "MULTI");
        (void)ask(&one->client, set);
        if (strcmp(ask(&one->client, "EXEC"), "(nil)") == 0) {
            one->refused++;
        } else {
            done++;
        }
    }
    return NULL;
}

static void test_watch__loses_no_update_over_loops(void **state) {
    (void)state;
    static counting all[CLIENTS];
    uint64_t refused = 0;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        near_open(&all[i].client, &shared, i % 2);
        assert_int_equal(pthread_create(&all[i].thread, NULL, count_up, &all[i]), 0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
        refused += all[i].refused;
    }
    char expected[32];
    (void)snprintf(expected, sizeof expected, "%d", CLIENTS * ROUNDS);
    assert_string_equal(ask(&all[0].client, "GET number"), expected);
    print_message("%llu were refused\n", (unsigned long long)refused);
    for (size_t i = 0; i < CLIENTS; i++) {
        near_close(&all[i].client);
    }
}

// ---- a transaction is alone: two accounts whose sum stays, moved between and read in transactions

typedef struct teller {
    pthread_t thread;
    near_client client;
} teller;

static void *move_often(void *arg) {
    teller *one = arg;
    for (int i = 0; i < 4 * ROUNDS; i++) {
        size_t before = one->client.client.out.len;
        rig_client_say(&one->client.client,
                       FB_STR("MULTI\r\nDECRBY left 3\r\nINCRBY right 3\r\nEXEC\r\n"));
        rig_client_await(&one->client.client, before + 1);
    }
    return NULL;
}

// Both accounts in one transaction: their sum is what it always is.
static void look_at_both(near_client *one) {
    rig_client *client = &one->client;
    long left = 0, right = 0;
    rig_client_say(client, FB_STR("MULTI\r\nGET left\r\nGET right\r\nEXEC\r\n"));
    pthread_mutex_lock(&client->lock);
    assert_ok(fb_buf_byte(&client->out, '\0'));
    const char *array = strstr(client->out.ptr, "*2\r\n$");
    assert_non_null(array);
    assert_int_equal(sscanf(array, "*2 $%*d %ld $%*d %ld", &left, &right), 2);
    client->out.len = 0;
    pthread_mutex_unlock(&client->lock);
    assert_int_equal(left + right, 2000);
}

static void *look_often(void *arg) {
    teller *one = arg;
    for (int i = 0; i < 4 * ROUNDS; i++) {
        look_at_both(&one->client);
    }
    return NULL;
}

static void test_transaction__is_seen_whole(void **state) {
    (void)state;
    static teller all[CLIENTS];
    assert_ok(fb_set(shared.engine, FB_STR("left"), FB_STR("1000"), NULL));
    assert_ok(fb_set(shared.engine, FB_STR("right"), FB_STR("1000"), NULL));
    for (uint32_t i = 0; i < CLIENTS; i++) {
        near_open(&all[i].client, &shared, i % 2);
        assert_int_equal(pthread_create(&all[i].thread, NULL, i < 3 ? look_often : move_often,
                                        &all[i]), 0);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
    }
    look_at_both(&all[0].client);
    for (size_t i = 0; i < CLIENTS; i++) {
        near_close(&all[i].client);
    }
}

// ---- commands of several keys that are alone

// Many commands in one go, so that those of two loops run side by side.
static void say_often(near_client *one, const char *said, char text[], size_t size) {
    rig_client *client = &one->client;
    fb_buf all = {0};
    for (int i = 0; i < 40; i++) {
        assert_ok(fb_buf_append(&all, fb_str_of(said)));
    }
    client->out.len = 0;
    rig_client_say(client, fb_buf_str(&all));
    assert_true(client->out.len < size);
    memcpy(text, client->out.ptr, client->out.len);
    text[client->out.len] = '\0';
    fb_buf_release(&all);
}

static void *move_keys_often(void *arg) {
    static const char replies[] = "+OK\r\n:1\r\n:1\r\n+OK\r\n+QUEUED\r\n*1\r\n:3\r\n";
    teller *one = arg;
    char heard[4096];
    for (int i = 0; i < ROUNDS; i++) {
        say_often(&one->client,
                  "RENAME here there\r\nRENAMENX there here\r\nMSETNX both1 a both2 b both3 c\r\n"
                  "MULTI\r\nDEL both1 both2 both3\r\nEXEC\r\n",
                  heard, sizeof heard);
        for (const char *at = heard; *at != '\0'; at += strlen(replies)) {
            assert_int_equal(strncmp(at, replies, strlen(replies)), 0);
        }
    }
    return NULL;
}

static void *count_keys_often(void *arg) {
    teller *one = arg;
    char heard[512];
    for (int i = 0; i < 4 * ROUNDS; i++) {
        say_often(&one->client, "EXISTS here there\r\nEXISTS both1 both2 both3\r\n", heard,
                  sizeof heard);
        for (const char *at = heard; *at != '\0'; at += 8) {
            assert_true(strncmp(at, ":1\r\n:0\r\n", 8) == 0 || strncmp(at, ":1\r\n:3\r\n", 8) == 0);
        }
    }
    return NULL;
}

static void test_commands__of_several_keys_are_seen_whole(void **state) {
    (void)state;
    static teller all[4];
    assert_ok(fb_set(shared.engine, FB_STR("here"), FB_STR("1"), NULL));
    for (uint32_t i = 0; i < 4; i++) {
        near_open(&all[i].client, &shared, i % 2);
        assert_int_equal(pthread_create(&all[i].thread, NULL,
                                        i == 0 ? move_keys_often : count_keys_often, &all[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
        near_close(&all[i].client);
    }
}

// ---- the turn by itself

enum { TURNS = 2000, CLAIM_EVERY = 7 };

typedef struct turns {
    pthread_t thread;
    unsigned lane;
    uint64_t *counts;  // plain numbers, one a lane: a sanitizer sees a race, and the sum a lost one
} turns;

static void *take_turns(void *arg) {
    turns *one = arg;
    for (int i = 0; i < TURNS; i++) {
        fb_turn_enter(&shared.node, one->lane);
        one->counts[one->lane]++;
        if (i % CLAIM_EVERY == 0) {
            fb_turn_claim(&shared.node, one->lane);
            for (unsigned k = 1; k <= 3; k++) {
                one->counts[k]++;
            }
            fb_turn_release(&shared.node, one->lane);
        }
        fb_turn_leave(&shared.node, one->lane);
    }
    return NULL;
}

static void test_turn__who_claims_it_is_alone(void **state) {
    (void)state;
    uint64_t counts[4] = {0};
    turns all[3];
    for (unsigned i = 0; i < 3; i++) {
        all[i] = (turns){.lane = i + 1, .counts = counts};
        assert_int_equal(pthread_create(&all[i].thread, NULL, take_turns, &all[i]), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(all[i].thread, NULL), 0);
    }
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(counts[i], TURNS + 3 * ((TURNS + CLAIM_EVERY - 1) / CLAIM_EVERY));
    }
    assert_false(atomic_load(&shared.node.turn_claimed));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch__notices_every_kind_of_change),
        cmocka_unit_test(test_watch__own_changes_count_and_unwatch_forgets),
        cmocka_unit_test(test_watch__what_has_expired_is_changed),
        cmocka_unit_test(test_watch__loses_no_update_over_loops),
        cmocka_unit_test(test_transaction__is_seen_whole),
        cmocka_unit_test(test_commands__of_several_keys_are_seen_whole),
        cmocka_unit_test(test_turn__who_claims_it_is_alone),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
