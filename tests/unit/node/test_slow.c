// The slow log: what is written there, and what must never be.

#include "node_rig.h"
#include "support.h"

#include "node/slow.h"

static rig shared;

// Each look at it a second later: everything is slow.
static int64_t pass_ns(void) {
    static _Atomic int64_t now_ns = 1000000000;  // 0 would be: not timed
    return atomic_fetch_add(&now_ns, 1000000000);
}

static int set_up(void **state) {
    (void)state;
    rig_open(&shared);
    shared.node.now_ns = pass_ns;
    fb_slow_set(&shared.node, 1000000);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    fb_slow_reset(&shared.node);
    rig_close(&shared);
    return 0;
}

static void never_wake(void *arg) {
    (void)arg;
}

static void say(const char *line) {
    fb_session *session = NULL;
    size_t used;
    assert_ok(fb_session_new(&shared.node, FB_STR("127.0.0.1:0"), never_wake, NULL, &session));
    int result = fb_session_feed(session, fb_str_of(line), &used);
    assert_true(result >= FB_OK);
    assert_int_equal(used, strlen(line));
    fb_session_free(session);
}

static void request(const char *method, const char *path) {
    fb_slow_watch watch;
    fb_slow_request_begin(&shared.node, &watch, fb_str_of(method), fb_str_of(path));
    fb_slow_end(&shared.node, &watch, "127.0.0.1:0");
}

// The newest entry: its name and what is shown of its words.
static void assert_newest(const char *name, const char *what) {
    fb_slow_entry entry;
    assert_int_equal(fb_slow_read(&shared.node, &entry, 1), 1);
    assert_string_equal(entry.name, name);
    assert_string_equal(entry.what, what);
}

static void test_slow__shows_words_and_no_values(void **state) {
    (void)state;
    say("LCS one two\r\n");
    assert_newest("lcs", "one two");
    say("MSET one secret\r\n");
    assert_newest("mset", "one");
    request("GET", "/v1/keys/one");
    assert_newest("GET", "/v1/keys/one");
}

static void test_slow__shows_nothing_that_signs_somebody_in(void **state) {
    (void)state;
    say("FB.OTP PEEK secret\r\n");
    assert_newest("fb.otp|peek", "");
    say("FB.OTP VERIFY LINK secret\r\n");
    assert_newest("fb.otp|verify", "");
    request("GET", "/v1/otp/link/secret");
    assert_newest("GET", "/v1/otp/link/");
    say("CONFIG GET password\r\n");
    assert_newest("config|get", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow__shows_words_and_no_values),
        cmocka_unit_test(test_slow__shows_nothing_that_signs_somebody_in),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
