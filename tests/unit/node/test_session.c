// Sessions: how input is cut does not matter, replies keep their order whenever they come, and who
// leaves while replies are still to come leaves nothing behind.

#include "node_rig.h"
#include "support.h"

static rig shared;

static uint64_t rig_hits(rig *one) {
    fb_stats stats;
    assert_ok(fb_stats_read(one->engine, &stats));
    uint64_t hits = stats.all.hits;
    fb_stats_release(&stats);
    return hits;
}

// ---- without waiting: fed on the test's own thread

static void never_wake(void *arg) {
    (void)arg;
    fail_msg("nothing was to come later");
}

static fb_session *begin(void) {
    fb_session *session = NULL;
    assert_ok(fb_session_new(&shared.node, FB_STR("127.0.0.1:5000"), never_wake, NULL, &session));
    return session;
}

// Feeds `stream` in pieces of `step` bytes; what is not used comes again with the next piece.
static void feed_in_steps(fb_session *session, fb_str stream, size_t step) {
    size_t start = 0;
    size_t there = 0;
    int result = FB_OK;
    while (there < stream.len || result == FB_REFUSED) {
        there = there + step < stream.len ? there + step : stream.len;
        char *copy = malloc(there - start);  // of its own: it moves, and a sanitizer sees its end
        memcpy(copy, stream.ptr + start, there - start);
        size_t used = 0;
        result = fb_session_feed(session, fb_str_make(copy, there - start), &used);
        free(copy);
        start += used;
        if (result == FB_ECLOSED) {
            return;
        }
        assert_true(result == FB_OK || result == FB_REFUSED);  // a slow machine takes breaths
    }
    assert_int_equal(start, stream.len);
}

static const char PIPELINE[] =
    "FLUSHALL\r\n"
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$12\r\nhello\r\nworld\r\n"
    "*2\r\n$3\r\nget\r\n$1\r\na\r\n"
    "\r\n*0\r\n"
    "set b \"x y\"\r\n"
    "*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n"
    "nosuch\r\n"
    "INCR n\r\nINCR n\r\n"
    "HELLO 3 SETNAME me\r\n"
    "GET none\r\n"
    "CLIENT GETNAME\r\n"
    "RESET\r\nGET none\r\n"
    "MULTI\r\nSET b 1\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\nGET none\r\nINCR a\r\nEXEC\r\n"
    "MULTI\r\nnosuch\r\nSET b 1\r\nEXEC\r\nMULTI\r\nEXEC\r\n"
    "CLIENT REPLY SKIP\r\nMULTI\r\nGET b\r\nCLIENT REPLY SKIP\r\nDISCARD\r\n"
    "PING\r\nQUIT\r\nPING\r\n";

static const char *mask_id(fb_buf *out) {
    // HELLO's reply has the connection's number in it.
    assert_ok(fb_buf_byte(out, '\0'));
    char *id = strstr(out->ptr, "$2\r\nid\r\n:");
    assert_non_null(id);
    for (id += 9; *id != '\r'; id++) {
        *id = '#';
    }
    return out->ptr;
}

static void test_session__cutting_does_not_matter(void **state) {
    fb_str stream = {PIPELINE, sizeof PIPELINE - 1};
    char *whole = NULL;
    for (size_t step = stream.len; step >= 1; step--) {
        atomic_store(&shared.node.next_client_id, 100);
        fb_session *session = begin();
        feed_in_steps(session, stream, step);
        const char *heard = mask_id(fb_session_out(session));
        if (whole == NULL) {
            whole = strdup(heard);
            assert_non_null(strstr(heard, "*4\r\n+OK\r\n:2\r\n$-1\r\n-ERR value is not"));
            assert_non_null(strstr(heard, "+PONG\r\n+OK\r\n"));
            assert_null(strstr(heard, "+PONG\r\n+OK\r\n+PONG"));  // nothing after QUIT
        }
        assert_string_equal(heard, whole);
        fb_session_free(session);
    }
    free(whole);
}

// GETs are read ahead of their turn; what comes among and behind them still comes in its turn.
static void test_session__gets_in_a_row_keep_their_place(void **state) {
    fb_buf stream = {0}, expected = {0};
    for (int i = 0; i < 40; i++) {
        assert_ok(fb_buf_printf(&stream, "SET row:%d v%d\r\n", i, i));
        assert_ok(fb_buf_append(&expected, FB_STR("+OK\r\n")));
    }
    for (int i = 0; i < 40; i++) {
        int len = i < 10 ? 5 : 6;
        assert_ok(fb_buf_printf(&stream, "*2\r\n$3\r\nGET\r\n$%d\r\nrow:%d\r\n", len, i));
        assert_ok(fb_buf_printf(&expected, "$%d\r\nv%d\r\n", len - 3, i));
    }
    assert_ok(fb_buf_append(&stream, FB_STR("get row:1\r\nGET 'row:2'\r\nGET \"row:3\"\r\nGET\r\n"
                                            "GET row:4\r\nGET none\r\nDEL row:5\r\nGET row:5\r\n"
                                            "GET row:6\r\n\r\nGET row:7\r\nnosuch\r\n"
                                            "CLIENT REPLY SKIP\r\nGET row:8\r\nGET row:9\r\n"
                                            "GET row:8\r\n*1\r\n+x\r\n")));
    assert_ok(fb_buf_append(
        &expected,
        FB_STR("$2\r\nv1\r\n$2\r\nv2\r\n$2\r\nv3\r\n"
               "-ERR wrong number of arguments for 'get' command\r\n$2\r\nv4\r\n$-1\r\n:1\r\n$-1\r\n"
               "$2\r\nv6\r\n$2\r\nv7\r\n-ERR unknown command 'nosuch', with args beginning with: \r\n"
               "$2\r\nv9\r\n$2\r\nv8\r\n-ERR Protocol error: expected '$', got '+'\r\n")));
    uint64_t before = rig_hits(&shared);
    size_t rounds = 0;
    for (size_t step = stream.len; step >= 1; step = step > 300 ? step / 2 : step - 1) {
        fb_session *session = begin();
        feed_in_steps(session, fb_buf_str(&stream), step);
        assert_bytes(fb_buf_str(fb_session_out(session)), fb_buf_str(&expected));
        fb_session_free(session);
        rounds++;
    }
    assert_int_equal(rig_hits(&shared) - before, rounds * 49);  // each is one read
    fb_buf_release(&stream);
    fb_buf_release(&expected);
}

static void test_session__protocol_error_ends_it(void **state) {
    fb_session *session = begin();
    size_t used = 0;
    assert_result(fb_session_feed(session, FB_STR("PING\r\n*1\r\n+x\r\nPING\r\n"), &used),
                  FB_ECLOSED);
    assert_str(fb_buf_str(fb_session_out(session)),
               "+PONG\r\n-ERR Protocol error: expected '$', got '+'\r\n");
    assert_result(fb_session_feed(session, FB_STR("PING\r\n"), &used), FB_ECLOSED);
    assert_int_equal(used, 0);
    fb_session_free(session);
}

static void test_session__says_a_bounded_amount_in_one_go(void **state) {
    fb_session *session = begin();
    fb_buf stream = {0};
    fb_buf value = {0};
    size_t used = 0;
    enum { VALUE_LEN = 100000, GETS = 50 };
    assert_ok(fb_buf_reserve(&value, VALUE_LEN));
    memset(value.ptr, 'x', VALUE_LEN);
    assert_ok(fb_buf_printf(&stream, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n%.*s\r\n", VALUE_LEN,
                            VALUE_LEN, value.ptr));
    for (int i = 0; i < GETS; i++) {
        assert_ok(fb_buf_append(&stream, FB_STR("GET big\r\n")));
    }
    size_t said = 0;
    int result;
    do {
        result = fb_session_feed(session, fb_buf_str(&stream), &used);
        fb_buf_consume(&stream, used);
        assert_true(fb_session_out(session)->len < FB_SESSION_PACE_LEN + VALUE_LEN + 100);
        said += fb_session_out(session)->len;
        fb_session_out(session)->len = 0;
    } while (result == FB_REFUSED);
    assert_ok(result);
    assert_int_equal(said, 5 + GETS * (VALUE_LEN + 11));
    fb_buf_release(&stream);
    fb_buf_release(&value);
    fb_session_free(session);
}

static void test_session__lists_who_is_connected(void **state) {
    fb_session *one = begin();
    fb_session *two = begin();
    size_t used = 0;
    assert_ok(fb_session_feed(one, FB_STR("CLIENT SETNAME first\r\n"), &used));
    assert_ok(fb_session_feed(two, FB_STR("CLIENT LIST\r\n"), &used));
    assert_ok(fb_buf_byte(fb_session_out(two), '\0'));
    assert_non_null(strstr(fb_session_out(two)->ptr, " name=first "));
    fb_session_free(one);
    fb_session_out(two)->len = 0;
    assert_ok(fb_session_feed(two, FB_STR("CLIENT LIST\r\n"), &used));
    assert_ok(fb_buf_byte(fb_session_out(two), '\0'));
    assert_null(strstr(fb_session_out(two)->ptr, " name=first "));
    fb_session_free(two);
}

enum { GUESTS = 4, VISITS = 100 };

static void *come_and_go(void *arg) {
    fb_str said = FB_STR("CLIENT SETNAME guest\r\nMULTI\r\nPING\r\nCLIENT LIST\r\nEXEC\r\n"
                         "CONFIG GET *\r\nCLIENT SETNAME other\r\nCLIENT LIST\r\n");
    (void)arg;
    for (int i = 0; i < VISITS; i++) {
        fb_session *session = begin();
        size_t start = 0;
        size_t used = 0;
        do {
            fb_str rest = {said.ptr + start, said.len - start};
            FB_ASSERT(fb_session_feed(session, rest, &used) >= FB_OK);
            start += used;
        } while (start < said.len);
        FB_ASSERT(fb_buf_byte(fb_session_out(session), '\0') == FB_OK);
        FB_ASSERT(strstr(fb_session_out(session)->ptr, " cmd=client|list ") != NULL);
        FB_ASSERT(strstr(fb_session_out(session)->ptr, " flags=x ") != NULL);
        fb_session_free(session);
    }
    return NULL;
}

// Under TSan: names, list and configuration are looked at while they change.
static void test_session__lists_while_others_come_and_go(void **state) {
    pthread_t guests[GUESTS];
    fb_config *other = NULL;
    const fb_config *before = shared.node.config;
    assert_ok(fb_config_new(&other));
    for (int i = 0; i < GUESTS; i++) {
        assert_int_equal(pthread_create(&guests[i], NULL, come_and_go, NULL), 0);
    }
    for (int i = 0; i < VISITS; i++) {
        (void)fb_node_config_swap(&shared.node, i % 2 == 0 ? other : before);
    }
    for (int i = 0; i < GUESTS; i++) {
        assert_int_equal(pthread_join(guests[i], NULL), 0);
    }
    (void)fb_node_config_swap(&shared.node, before);
    fb_config_free(other);
}

// In the body of what a browser posts to a port of its own machine there may be anything.
static void test_session__hangs_up_on_http(void **state) {
    static const char *const said[] = {
        "POST / HTTP/1.1\r\nAccept: x\r\n\r\nSET http 1\r\n",
        "GET / HTTP/1.1\r\nhost: 127.0.0.1:6380\r\n\r\nSET http 1\r\n",
    };
    static const char *const heard[] = {"",
                                        "-ERR wrong number of arguments for 'get' command\r\n"};
    for (int i = 0; i < 2; i++) {
        fb_session *session = begin();
        size_t used = 0;
        assert_result(fb_session_feed(session, fb_str_of(said[i]), &used), FB_ECLOSED);
        assert_str(fb_buf_str(fb_session_out(session)), heard[i]);
        fb_session_free(session);
    }
    assert_result(fb_exists(shared.engine, FB_STR("http")), FB_MISS);
}

static int64_t hasty_us;

// A clock on which a millisecond has gone by whenever one looks.
static int64_t hasty_clock(void) {
    return hasty_us += 1000;
}

static void test_session__takes_a_breath_among_slow_commands(void **state) {
    enum { COUNT = 100 };
    fb_session *session = begin();
    fb_buf stream = {0};
    size_t used = 0;
    size_t feeds = 0;
    for (int i = 0; i < COUNT; i++) {
        assert_ok(fb_buf_append(&stream, FB_STR("KEYS nothing\r\n")));
    }
    shared.node.wall_us = hasty_clock;
    int result;
    do {
        result = fb_session_feed(session, fb_buf_str(&stream), &used);
        fb_buf_consume(&stream, used);
        feeds++;
    } while (result == FB_REFUSED);
    shared.node.wall_us = rig_wall_us;
    assert_ok(result);
    assert_int_equal(stream.len, 0);
    assert_int_equal(fb_session_out(session)->len, COUNT * 4);
    assert_in_range(feeds, COUNT / 10, COUNT / 2);
    fb_buf_release(&stream);
    fb_session_free(session);
}

// ---- replies that come later

static void test_session__fetches_load_at_once_and_keep_their_order(void **state) {
    rig_client client;
    rig_gate slow;
    rig_gate quick;
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("FB.INVALIDATE ALL\r\n"));
    client.out.len = 0;
    rig_hold(&shared, &slow, "10", FB_OK);
    rig_hold(&shared, &quick, "11", FB_ESOURCE);
    // 10 and 11 are held, 1 is not: it loads, and waits behind them.
    rig_client_say(&client, FB_STR("FB.FETCH item id 10\r\nFB.FETCH item id 11\r\n"
                                   "FB.FETCH item id 1\r\nFB.FETCH nosuch\r\nPING\r\n"
                                   "FB.FETCH item id 1\r\n"));
    assert_int_equal(client.result, FB_PENDING);
    assert_int_equal(client.out.len, 0);
    rig_release(&quick);
    rig_client_say(&client, FB_STR("ECHO x\r\n"));
    assert_int_equal(client.out.len, 0);
    rig_release(&slow);
    const char *expected =
        "$4\r\nheld\r\n-SOURCE the well is dry\r\n$14\r\n{\"name\":\"one\"}\r\n"
        "-NOCLASS there is no class 'nosuch'\r\n+PONG\r\n"
        "$14\r\n{\"name\":\"one\"}\r\n$1\r\nx\r\n";
    rig_client_await(&client, strlen(expected));
    assert_str(fb_buf_str(&client.out), expected);
    rig_client_close(&client);
}

static void test_session__quit_and_errors_wait_for_replies_before_them(void **state) {
    static const char *const ends[] = {"QUIT\r\nPING\r\n", "*1\r\n+\r\n"};
    static const char *const heard[] = {"$4\r\nheld\r\n+OK\r\n",
                                        "$4\r\nheld\r\n-ERR Protocol error: expected '$', "
                                        "got '+'\r\n"};
    for (int i = 0; i < 2; i++) {
        rig_client client;
        rig_gate gate;
        rig_client_open(&client, &shared);
        rig_hold(&shared, &gate, i == 0 ? "20" : "21", FB_OK);
        rig_client_say(&client, i == 0 ? FB_STR("FB.FETCH item id 20\r\n")
                                       : FB_STR("FB.FETCH item id 21\r\n"));
        rig_client_say(&client, fb_str_of(ends[i]));
        assert_int_equal(client.result, FB_PENDING);
        rig_release(&gate);
        rig_client_await(&client, strlen(heard[i]));
        assert_str(fb_buf_str(&client.out), heard[i]);
        assert_int_equal(client.result, FB_ECLOSED);
        rig_client_close(&client);
    }
}

static void test_session__muted_fetch_says_nothing(void **state) {
    rig_client client;
    rig_gate gate;
    rig_client_open(&client, &shared);
    rig_hold(&shared, &gate, "30", FB_OK);
    rig_client_say(&client, FB_STR("CLIENT REPLY SKIP\r\nFB.FETCH item id 30\r\nPING\r\n"));
    rig_release(&gate);
    rig_client_await(&client, 7);
    assert_str(fb_buf_str(&client.out), "+PONG\r\n");
    rig_client_close(&client);
}

// Under a sanitizer: nothing is used after it was freed, and nothing is left over.
static void test_session__may_go_while_replies_are_to_come(void **state) {
    rig_client client;
    rig_gate one;
    rig_gate two;
    rig_client_open(&client, &shared);
    rig_hold(&shared, &one, "40", FB_OK);
    rig_hold(&shared, &two, "41", FB_OK);
    rig_client_say(&client, FB_STR("FB.FETCH item id 40\r\nFB.FETCH WITHMETA item id 41\r\n"
                                   "FB.FETCH item id 1\r\nPING\r\n"));
    rig_release(&two);
    rig_client_close(&client);
    rig_release(&one);
}

static void test_session__holds_so_many_fetches_at_once(void **state) {
    rig_client client;
    rig_gate gate;
    fb_buf stream = {0};
    fb_buf expected = {0};
    enum { FETCHES = FB_SESSION_SLOTS_MAX * 2 + 10 };
    rig_client_open(&client, &shared);
    rig_hold(&shared, &gate, "50", FB_OK);
    for (int i = 0; i < FETCHES; i++) {
        assert_ok(fb_buf_append(&stream, FB_STR("FB.FETCH item id 50\r\n")));
        assert_ok(fb_buf_append(&expected, FB_STR("$4\r\nheld\r\n")));
    }
    rig_client_say(&client, fb_buf_str(&stream));
    assert_int_equal(client.in.len, stream.len / FETCHES * (FETCHES - FB_SESSION_SLOTS_MAX));
    rig_release(&gate);
    rig_client_await(&client, expected.len);
    assert_int_equal(client.out.len, expected.len);
    assert_memory_equal(client.out.ptr, expected.ptr, expected.len);
    rig_client_close(&client);
    fb_buf_release(&stream);
    fb_buf_release(&expected);
}

// ---- transactions

// What stands behind a fetch in a transaction does not wait for it; its reply does.
static void test_session__transaction_runs_in_one_turn(void **state) {
    rig_client client;
    rig_gate gate;
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("DEL t\r\n"));
    rig_client_await(&client, 4);
    client.out.len = 0;
    rig_hold(&shared, &gate, "60", FB_OK);
    rig_client_say(&client, FB_STR("MULTI\r\nINCR t\r\nFB.FETCH item id 60\r\nINCR t\r\nGET t\r\n"
                                   "CLIENT GETNAME\r\n"));
    assert_result(fb_exists(shared.engine, FB_STR("t")), FB_MISS);
    rig_client_say(&client, FB_STR("EXEC\r\nECHO x\r\n"));
    assert_int_equal(client.result, FB_PENDING);
    const char *first =
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*5\r\n:1\r\n";
    assert_str(fb_buf_str(&client.out), first);
    int64_t count = 0;
    assert_ok(fb_incr(shared.engine, FB_STR("t"), 0, &count));
    assert_int_equal(count, 2);
    client.out.len = 0;
    rig_release(&gate);
    const char *rest = "$4\r\nheld\r\n:2\r\n$1\r\n2\r\n$-1\r\n$1\r\nx\r\n";
    rig_client_await(&client, strlen(rest));
    assert_str(fb_buf_str(&client.out), rest);
    rig_client_close(&client);
}

// One that nobody is to hear of runs all the same, and leaves no bytes.
static void test_session__muted_transaction_says_nothing(void **state) {
    rig_client client;
    rig_gate gate;
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("DEL m\r\n"));
    rig_client_await(&client, 4);
    client.out.len = 0;
    rig_hold(&shared, &gate, "61", FB_OK);
    rig_client_say(&client, FB_STR("CLIENT REPLY OFF\r\nMULTI\r\nINCR m\r\nFB.FETCH item id 61\r\n"
                                   "INCR m\r\nEXEC\r\nCLIENT REPLY ON\r\nGET m\r\n"));
    rig_release(&gate);
    rig_client_await(&client, 12);
    assert_str(fb_buf_str(&client.out), "+OK\r\n$1\r\n2\r\n");
    rig_client_close(&client);
}

// More fetches than may wait at once: nobody is told of overload, and the order stays.
static void test_session__transaction_of_many_fetches(void **state) {
    rig_client client;
    rig_gate gate;
    fb_buf stream = {0};
    fb_buf expected = {0};
    enum { FETCHES = FB_SESSION_SLOTS_MAX * 2 + 10 };
    rig_client_open(&client, &shared);
    rig_hold(&shared, &gate, "62", FB_OK);
    assert_ok(fb_buf_append(&stream, FB_STR("MULTI\r\n")));
    for (int i = 0; i < FETCHES; i++) {
        assert_ok(fb_buf_append(&stream, FB_STR("FB.FETCH item id 62\r\n")));
    }
    assert_ok(fb_buf_append(&stream, FB_STR("PING\r\n")));
    rig_client_say(&client, fb_buf_str(&stream));
    rig_client_await(&client, 5 + (FETCHES + 1) * 9);
    client.out.len = 0;
    rig_client_say(&client, FB_STR("EXEC\r\nECHO x\r\n"));
    rig_release(&gate);
    assert_ok(fb_buf_printf(&expected, "*%d\r\n", FETCHES + 1));
    for (int i = 0; i < FETCHES; i++) {
        assert_ok(fb_buf_append(&expected, FB_STR("$4\r\nheld\r\n")));
    }
    assert_ok(fb_buf_append(&expected, FB_STR("+PONG\r\n$1\r\nx\r\n")));
    rig_client_await(&client, expected.len);
    assert_int_equal(client.out.len, expected.len);
    assert_memory_equal(client.out.ptr, expected.ptr, expected.len);
    rig_client_close(&client);
    fb_buf_release(&stream);
    fb_buf_release(&expected);
}

// Under a sanitizer: the queue, and replies to come, of somebody who is gone.
static void test_session__may_go_within_a_transaction(void **state) {
    rig_client client;
    rig_gate gate;
    for (int said = 0; said < 2; said++) {
        rig_client_open(&client, &shared);
        rig_hold(&shared, &gate, said == 0 ? "63" : "64", FB_OK);
        rig_client_say(&client, FB_STR("MULTI\r\nFB.FETCH item id 63\r\n"
                                       "FB.FETCH item id 64\r\nPING\r\n"));
        if (said > 0) {
            rig_client_say(&client, FB_STR("EXEC\r\n"));
        }
        rig_client_close(&client);
        rig_release(&gate);
    }
}

// ---- memory that fails

static const char SCENARIO[] =
    "SET a hello\r\nAPPEND a x\r\nGETSET a b\r\nMSETNX z 1 y 2\r\nKEYS *\r\nSCAN 0\r\n"
    "GETEX a PERSIST\r\n"
    // Not INFO queues: that begins looks at the store, which take memory in their own time.
    "INFO server clients memory stats limits keyspace\r\nFB.STATS\r\nFB.EXPLAIN a\r\n"
    "CLIENT SETNAME me\r\nCLIENT LIST\r\nCONFIG GET *\r\n"
    "RANDOMKEY\r\nMULTI\r\nSET b 2\r\nGET b\r\nFB.FETCH item id 1\r\nKEYS *\r\nEXEC\r\n"
    "HELLO 3 SETNAME you\r\nCOMMAND\r\nFB.FETCH item id 1\r\nFB.FETCH item id 1\r\n"
    "CLIENT TRACKING ON\r\nGET a\r\nMGET a b c\r\nFB.FETCH item id 1\r\nSET a 1\r\n"
    "WATCH a b\r\nMULTI\r\nSET a 2\r\nGET b\r\nEXEC\r\nCLIENT TRACKINGINFO\r\nCLIENT LIST\r\n"
    "CLIENT TRACKING OFF\r\nCLIENT TRACKING ON BCAST PREFIX a PREFIX b\r\nMSET a 1 b 2\r\n"
    "SUBSCRIBE __redis__:invalidate\r\nRESET\r\n";

// However memory fails, each command has one reply, or the session ends.
static int with_little_memory(void *arg) {
    fb_session *session = NULL;
    int result = fb_session_new(&shared.node, FB_STR("127.0.0.1:5000"), never_wake, NULL, &session);
    if (result < 0) {
        return result;
    }
    size_t start = 0;
    do {
        size_t used = 0;
        fb_str rest = {SCENARIO + start, sizeof SCENARIO - 1 - start};
        result = fb_session_feed(session, rest, &used);
        start += used;
    } while (result == FB_REFUSED);
    assert_true(result == FB_OK || result == FB_ECLOSED);
    assert_true(result == FB_ECLOSED || start == sizeof SCENARIO - 1);
    fb_session_free(session);
    *(int *)arg += result == FB_OK;
    return FB_OK;
}

static void test_session__survives_lack_of_memory(void **state) {
    rig_client client;
    int lived = 0;
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("FB.FETCH item id 1\r\n"));  // so that it is in memory
    rig_client_await(&client, 1);
    rig_client_close(&client);
    assert_ok(with_little_memory(&lived));  // what a thread keeps for itself is there from now on
    // The engine's threads still free what tests before this have left them.
    test_memory *memory = test_memory_get();
    memory->own = pthread_self();
    memory->own_alone = true;
    size_t count = test_memory_sweep(with_little_memory, &lived);
    memory->own_alone = false;
    assert_true(count > 20 && lived > 1);
}

static void feed_all(fb_session *session, const char *text) {
    size_t used = 0;
    int result = fb_session_feed(session, fb_str_of(text), &used);
    assert_true(result == FB_OK || result == FB_ECLOSED);
}

// EXEC must not act as if nothing was to be watched.
static int watch_with_little_memory(void *arg) {
    fb_session *session = NULL;
    int result = fb_session_new(&shared.node, FB_STR("127.0.0.1:5000"), never_wake, NULL, &session);
    if (result < 0) {
        return result;
    }
    feed_all(session, "SET watched 1\r\nWATCH watched\r\nSET watched 2\r\n"
                      "MULTI\r\nSET watched 3\r\nEXEC\r\n");
    fb_str said = fb_buf_str(fb_session_out(session));
    assert_false(fb_str_ends(said, FB_STR("*1\r\n+OK\r\n")));
    *(int *)arg += fb_str_ends(said, FB_STR("because WATCH failed\r\n"));
    fb_session_free(session);
    return FB_OK;
}

static void test_session__executes_nothing_where_watch_had_no_memory(void **state) {
    int refused = 0;
    assert_ok(watch_with_little_memory(&refused));
    assert_int_equal(refused, 0);
    test_memory *memory = test_memory_get();
    memory->own = pthread_self();
    memory->own_alone = true;
    (void)test_memory_sweep(watch_with_little_memory, &refused);
    memory->own_alone = false;
    assert_true(refused > 0);
}

static int open_rig(void **state) {
    (void)state;
    (void)test_memory_get();
    rig_open(&shared);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session__cutting_does_not_matter),
        cmocka_unit_test(test_session__gets_in_a_row_keep_their_place),
        cmocka_unit_test(test_session__protocol_error_ends_it),
        cmocka_unit_test(test_session__says_a_bounded_amount_in_one_go),
        cmocka_unit_test(test_session__lists_who_is_connected),
        cmocka_unit_test(test_session__lists_while_others_come_and_go),
        cmocka_unit_test(test_session__hangs_up_on_http),
        cmocka_unit_test(test_session__takes_a_breath_among_slow_commands),
        cmocka_unit_test(test_session__fetches_load_at_once_and_keep_their_order),
        cmocka_unit_test(test_session__quit_and_errors_wait_for_replies_before_them),
        cmocka_unit_test(test_session__muted_fetch_says_nothing),
        cmocka_unit_test(test_session__may_go_while_replies_are_to_come),
        cmocka_unit_test(test_session__holds_so_many_fetches_at_once),
        cmocka_unit_test(test_session__transaction_runs_in_one_turn),
        cmocka_unit_test(test_session__muted_transaction_says_nothing),
        cmocka_unit_test(test_session__transaction_of_many_fetches),
        cmocka_unit_test(test_session__may_go_within_a_transaction),
        cmocka_unit_test(test_session__survives_lack_of_memory),
        cmocka_unit_test(test_session__executes_nothing_where_watch_had_no_memory),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
