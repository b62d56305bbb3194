// The verbs that are about many nodes, said to a node that is alone: what they mean there, and what
// is refused. (Over several nodes: tests/system/test_shared.py.) All of it once with commands run on
// the spot, and once as fibers, as they run where there is a shared tier.

#include "node_rig.h"
#include "support.h"

static rig shared;
static rig_client client;

static fb_str say(const char *text) {
    char line[600];
    int len = snprintf(line, sizeof line, "%s\r\n", text);
    client.out.len = 0;
    rig_client_say(&client, fb_str_make(line, (size_t)len));
    rig_client_await(&client, 1);
    return fb_buf_str(&client.out);
}

static void assert_heard(const char *said, const char *heard) {
    fb_str got = say(said);
    if (!fb_str_equal(got, fb_str_of(heard))) {
        print_error("%s\n", said);
    }
    assert_str(got, heard);
}

// The second element of an array of two bulk strings.
static void second(fb_str reply, char *text, size_t size) {
    fb_str rest = reply;
    for (int i = 0; i < 4; i++) {
        size_t len = fb_str_find(rest, '\n');
        assert_true(len < rest.len);
        rest = fb_str_make(rest.ptr + len + 1, rest.len - len - 1);
    }
    size_t len = fb_str_find(rest, '\r');
    assert_true(len < size);
    memcpy(text, rest.ptr, len);
    text[len] = '\0';
}

static void take_lease(const char *key, char token[32]) {
    char line[100];
    (void)snprintf(line, sizeof line, "FB.GET %s", key);
    fb_str reply = say(line);
    assert_true(fb_str_starts(reply, FB_STR("*2\r\n$5\r\nlease\r\n")));
    second(reply, token, 32);
}

static void fill(const char *key, const char *token, const char *value, const char *heard) {
    char line[200];
    (void)snprintf(line, sizeof line, "FB.FILL %s %s %s", key, token, value);
    assert_heard(line, heard);
}

static void test_get__gives_one_lease_and_then_the_value(void **state) {
    (void)state;
    char token[32];
    take_lease("lease:1", token);
    assert_heard("FB.GET lease:1", "*1\r\n$4\r\nwait\r\n");
    fill("lease:1", token, "hello", ":1\r\n");
    assert_heard("FB.GET lease:1", "*2\r\n$5\r\nvalue\r\n$5\r\nhello\r\n");
    assert_heard("GET lease:1", "$5\r\nhello\r\n");
    fill("lease:1", token, "again", ":0\r\n");
    (void)say("DEL lease:1");
}

static void test_fill__is_refused_after_an_invalidation(void **state) {
    (void)state;
    char token[32];
    take_lease("lease:2", token);
    (void)say("FB.INVALIDATE KEY lease:2");
    fill("lease:2", token, "old", ":0\r\n");
    assert_heard("GET lease:2", "$-1\r\n");
    take_lease("lease:3", token);
    (void)say("SET lease:3 mine");
    fill("lease:3", token, "old", ":0\r\n");
    assert_heard("GET lease:3", "$4\r\nmine\r\n");
    (void)say("DEL lease:3");
}

static void test_hold__refuses_fills_until_it_is_invalidated(void **state) {
    (void)state;
    char token[32];
    take_lease("held:1", token);
    assert_heard("FB.HOLD held:1 60000", "+OK\r\n");
    fill("held:1", token, "old", ":0\r\n");
    (void)say("FB.INVALIDATE KEY held:1");
    take_lease("held:1", token);
    fill("held:1", token, "new", ":1\r\n");
    assert_heard("GET held:1", "$3\r\nnew\r\n");
    (void)say("DEL held:1");
    assert_heard("FB.HOLD held:1 0", "-ERR a hold lasts from 1 to 3600000 milliseconds\r\n");
}

static void test_set__never_goes_back_to_an_older_source_version(void **state) {
    (void)state;
    assert_true(say("FB.SET version:1 two SRCVER 20").ptr[0] == '$');
    assert_heard("FB.SET version:1 one SRCVER 10", "$-1\r\n");
    assert_heard("GET version:1", "$3\r\ntwo\r\n");
    assert_true(say("FB.SET version:1 three PX 60000 SRCVER 30 TAGS 1 t").ptr[0] == '$');
    assert_heard("GET version:1", "$5\r\nthree\r\n");
    (void)say("FB.INVALIDATE TAG t");
    assert_heard("GET version:1", "$-1\r\n");
    (void)say("FB.INVALIDATE SRCVER 50 KEY version:1");
    assert_heard("FB.SET version:1 four SRCVER 40", "$-1\r\n");
    assert_true(say("FB.SET version:1 five SRCVER 50").ptr[0] == '$');
    (void)say("DEL version:1");
}

static void test_invalidate__says_how_far_it_reached(void **state) {
    (void)state;
    (void)say("SET reach:1 x");
    assert_heard("FB.INVALIDATE WAIT LOCAL KEY reach:1",
                 "*10\r\n$7\r\nremoved\r\n:1\r\n$7\r\nreached\r\n$5\r\nlocal\r\n$5\r\nnodes\r\n:0\r\n"
                 "$11\r\nnodes_alive\r\n:0\r\n$5\r\ntoken\r\n$0\r\n\r\n");
    (void)say("SET reach:1 x");
    assert_heard("FB.INVALIDATE KEY reach:1 reach:2", ":1\r\n");
}

static void test_words__are_refused_with_what_is_wrong(void **state) {
    (void)state;
    assert_heard("FB.INVALIDATE WAIT SOON KEY a", "-ERR WAIT needs LOCAL, REDIS or NODES\r\n");
    assert_heard("FB.INVALIDATE SOFT SOFT KEY a", "-ERR SOFT is given twice\r\n");
    assert_heard("FB.INVALIDATE TIMEOUT x KEY a", "-ERR TIMEOUT needs a positive integer\r\n");
    assert_heard("FB.INVALIDATE SRCVER 5 TAG a", "-ERR SRCVER goes with KEY\r\n");
    assert_heard("FB.SET k v EX 0", "-ERR EX needs a positive integer\r\n");
    assert_heard("FB.SET k v EX 9223372036854775807", "-ERR EX is out of range\r\n");
    assert_heard("FB.SET k v EX 5 PX 5", "-ERR PX is given twice\r\n");
    assert_heard("FB.SET k v TAGS 17 a", "-ERR TAGS needs a count of at most 16, and so many tags\r\n");
    assert_heard("FB.SET k v NX", "-ERR syntax error\r\n");
    assert_heard("FB.GET k MINSEQ", "-ERR MINSEQ needs a token\r\n");
    assert_heard("FB.GET k MINSEQ nonsense", "-ERR MINSEQ: this is no token of a change\r\n");
    assert_heard("FB.FILL k 12a v", "-ERR the token is not one that FB.GET gave\r\n");
    assert_heard("FB.FILL k 99999999999999999999999 v",
                 "-ERR the token is not one that FB.GET gave\r\n");
}

static void test_shared__says_that_there_is_none(void **state) {
    (void)state;
    fb_str heard = say("FB.SHARED");
    assert_true(fb_str_starts(fb_str_make(heard.ptr + 4, heard.len - 4),
                              FB_STR("\r\n$5\r\nstate\r\n$4\r\nnone\r\n")) ||
                fb_str_starts(fb_str_make(heard.ptr + 3, heard.len - 3),
                              FB_STR("\r\n$5\r\nstate\r\n$4\r\nnone\r\n")));
}

static void test_transaction__runs_its_commands_in_order(void **state) {
    (void)state;
    (void)say("MULTI");
    (void)say("SET multi:1 a");
    (void)say("APPEND multi:1 b");
    (void)say("GET multi:1");
    (void)say("DEL multi:1");
    assert_heard("EXEC", "*4\r\n+OK\r\n:2\r\n$2\r\nab\r\n:1\r\n");
}

static int open_all(void **state) {
    (void)state;
    rig_open(&shared);
    rig_client_open(&client, &shared);
    return 0;
}

static int open_waiting(void **state) {
    int result = open_all(state);
    shared.node.waits = true;  // fb_run() is a plain call here: what runs behind a slot is the same
    return result;
}

static int close_all(void **state) {
    (void)state;
    rig_client_close(&client);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get__gives_one_lease_and_then_the_value),
        cmocka_unit_test(test_fill__is_refused_after_an_invalidation),
        cmocka_unit_test(test_hold__refuses_fills_until_it_is_invalidated),
        cmocka_unit_test(test_set__never_goes_back_to_an_older_source_version),
        cmocka_unit_test(test_invalidate__says_how_far_it_reached),
        cmocka_unit_test(test_words__are_refused_with_what_is_wrong),
        cmocka_unit_test(test_shared__says_that_there_is_none),
        cmocka_unit_test(test_transaction__runs_its_commands_in_order),
    };
    int failed = cmocka_run_group_tests_name("on the spot", tests, open_all, close_all);
    return failed + cmocka_run_group_tests_name("as errands", tests, open_waiting, close_all);
}
