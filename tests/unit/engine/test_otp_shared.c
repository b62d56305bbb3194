// One-time codes of two nodes over one real Redis: issued by one, verified by the other.

#include "mails_rig.h"
#include "redis_server.h"

static fb_engine *open_node(const test_redis *server, const char *name) {
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "memory: 4MiB\nloops: 2\nworkers: 2\n"
                   "redis: {url: 'redis://127.0.0.1:%d', partitions: 8, hard_timeout: 60s,"
                   " soft_timeout: 60s}\n"
                   "queue: {store: journal, file: %s.db, durability: process}\n"
                   "otp: {secret: 'a secret of both of them'}\n"
                   "limits: {otp_resend: {limit: 1000, window: 1s},"
                   " otp_account: {limit: 1000, window: 1s}}\n"
                   "mail: {maildir: box, relays: {main: {url: 'smtp://localhost:%d', tls: \"off\","
                   " timeout: 240s, connect_timeout: 240s}}}\n",
                   server->port, name, mails_main.port);
    return rig_open(text);
}

static void await(fb_engine *engine) {
    fb_shared_info info;
    mails_until((fb_shared_info_read(engine, &info), info.state == FB_SHARED_CONNECTED));
}

typedef struct told {
    int result;
    uint32_t attempts_left;
    char account[FB_MAIL_ADDRESS_MAX + 1];
} told;

static void take(void *arg, const fb_otp_answer *answer) {
    told *one = arg;
    one->result = answer->result;
    one->attempts_left = answer->attempts_left;
    (void)snprintf(one->account, sizeof one->account, "%s", answer->account);
}

static int issue(fb_engine *engine, fb_otp_form form) {
    told one = {.result = FB_EIO};
    fb_error error = {0};
    fb_otp_request request = {.form = form, .account = FB_STR("ada@example.org"), .known = true};
    if (fb_otp_issue(engine, &request, take, &one, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return one.result;
}

static told verify(fb_engine *engine, fb_otp_form form, const char *secret) {
    told one = {.result = FB_EIO};
    fb_error error = {0};
    fb_str account = form == FB_OTP_CODE ? FB_STR("ada@example.org") : FB_STR("");
    if (fb_otp_verify(engine, form, account, fb_str_of(secret), take, &one, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return one;
}

static void find_after(uint32_t nth, const char *mark, size_t len, char *text) {
    fake_smtp_await_mails(&mails_main, nth + 1);
    const char *at = strstr(mails_main.mails[nth].data, mark);
    assert_non_null(at);
    memcpy(text, at + strlen(mark), len);
    text[len] = '\0';
}

static void test_otp_shared__what_one_node_issued_the_other_takes(void **state) {
    char code[7], token[44];
    fb_error error;
    (void)state;
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    fb_engine *a = open_node(server, "a"), *b = open_node(server, "b");
    await(a);
    await(b);
    assert_result(issue(a, FB_OTP_CODE), FB_OK);
    find_after(0, "\r\n    ", 6, code);
    told one = verify(b, FB_OTP_CODE, "x");
    assert_result(one.result, FB_MISS);
    assert_int_equal(one.attempts_left, 4);
    one = verify(a, FB_OTP_CODE, "y");
    assert_int_equal(one.attempts_left, 3);
    one = verify(b, FB_OTP_CODE, code);
    assert_result(one.result, FB_OK);
    assert_string_equal(one.account, "ada@example.org");
    assert_result(verify(a, FB_OTP_CODE, code).result, FB_MISS);
    assert_result(issue(b, FB_OTP_LINK), FB_OK);
    find_after(1, "/v1/otp/link/", 43, token);
    assert_ok(fb_otp_peek(a, fb_str_of(token), &error));
    assert_result(verify(a, FB_OTP_LINK, token).result, FB_OK);
    assert_result(verify(b, FB_OTP_LINK, token).result, FB_MISS);
    fb_close(a, 0);
    fb_close(b, 0);
    test_redis_free(server);
}

typedef struct guesser {
    pthread_t thread;
    fb_engine *engine;
    pthread_barrier_t *all;
    int result;
} guesser;

static void *guess(void *arg) {
    guesser *self = arg;
    pthread_barrier_wait(self->all);
    self->result = verify(self->engine, FB_OTP_CODE, "wrong!").result;
    return NULL;
}

static void test_otp_shared__no_more_guesses_on_two_nodes_than_on_one(void **state) {
    enum { GUESSERS = 60 };
    static guesser guessers[GUESSERS];
    pthread_barrier_t all;
    int wrong = 0;
    (void)state;
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    fb_engine *nodes[2] = {open_node(server, "a"), open_node(server, "b")};
    await(nodes[0]);
    await(nodes[1]);
    assert_result(issue(nodes[0], FB_OTP_CODE), FB_OK);
    assert_int_equal(pthread_barrier_init(&all, NULL, GUESSERS), 0);
    for (int i = 0; i < GUESSERS; i++) {
        guessers[i] = (guesser){.engine = nodes[i % 2], .all = &all};
        assert_int_equal(pthread_create(&guessers[i].thread, NULL, guess, &guessers[i]), 0);
    }
    for (int i = 0; i < GUESSERS; i++) {
        pthread_join(guessers[i].thread, NULL);
        wrong += guessers[i].result == FB_MISS;
        // Who came upon the others too often is told that the store could not.
        assert_true(guessers[i].result == FB_MISS || guessers[i].result == FB_LIMITED ||
                    guessers[i].result == FB_EIO);
    }
    pthread_barrier_destroy(&all);
    for (int i = 0; i < 6 && verify(nodes[i % 2], FB_OTP_CODE, "wrong!").result == FB_MISS; i++) {
        wrong++;
    }
    assert_in_range(wrong, 1, 5);
    assert_result(verify(nodes[0], FB_OTP_CODE, "wrong!").result, FB_LIMITED);
    assert_result(verify(nodes[1], FB_OTP_CODE, "wrong!").result, FB_LIMITED);
    fb_close(nodes[0], 0);
    fb_close(nodes[1], 0);
    test_redis_free(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        mails_test(test_otp_shared__what_one_node_issued_the_other_takes),
        mails_test(test_otp_shared__no_more_guesses_on_two_nodes_than_on_one),
    };
    return cmocka_run_group_tests(tests, mails_group_up, NULL);
}
