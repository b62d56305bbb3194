// Queues as a RESP client sees them, without a socket: who waits, who is behind him, and who goes while
// he waits. Over a journal; what jobs are is decided elsewhere (tests/unit/queue, journal, engine).

#include "node_rig.h"
#include "support.h"

static rig shared;
static rig_client client;

// ---- asking

static void tell(rig_client *to, const char *text) {
    char line[900];
    int len = snprintf(line, sizeof line, "%s\r\n", text);
    rig_client_say(to, fb_str_make(line, (size_t)len));
}

static void await_end(rig_client *from, const char *end) {
    pthread_mutex_lock(&from->lock);
    while (!fb_str_ends(fb_buf_str(&from->out), fb_str_of(end))) {
        pthread_cond_wait(&from->changed, &from->lock);
    }
    pthread_mutex_unlock(&from->lock);
}

// Replies of one line each, and of arrays all of them: PING behind says where they end.
static const char *say_to(rig_client *to, const char *text) {
    static char heard[4096];
    char line[900];
    to->out.len = 0;
    (void)snprintf(line, sizeof line, "%s\r\nECHO end-of-it", text);
    tell(to, line);
    await_end(to, "$9\r\nend-of-it\r\n");
    size_t len = to->out.len - strlen("$9\r\nend-of-it\r\n");
    assert_true(len < sizeof heard);
    memcpy(heard, to->out.ptr, len);
    heard[len] = '\0';
    return heard;
}

static const char *say(const char *text) {
    return say_to(&client, text);
}

static void assert_heard(const char *text, const char *wanted) {
    assert_string_equal(say(text), wanted);
}

static void assert_begins(const char *text, const char *wanted) {
    const char *heard = say(text);
    if (strncmp(heard, wanted, strlen(wanted)) != 0) {
        fail_msg("%s: %s", text, heard);
    }
}

// The id of a new job, good until the next but one.
static const char *enqueue(const char *words) {
    static char ids[2][100];
    static unsigned turn;
    char line[300];
    char *id = ids[turn++ % 2];
    (void)snprintf(line, sizeof line, "FB.ENQUEUE work %s", words);
    const char *heard = say(line);
    assert_int_equal(heard[0], '$');
    (void)snprintf(id, sizeof ids[0], "%s", strchr(heard, '\n') + 1);
    *strchr(id, '\r') = '\0';
    return id;
}

static uint64_t blocked(void) {
    return atomic_load(&shared.node.blocked);
}

static void come_round(void *arg) {
    (void)arg;
}

// A job that is on its way to somebody who goes comes before his wait is over.
static void await_nobody_blocked(void) {
    while (blocked() > 0) {
        rig_on_loop(&shared, come_round, NULL);
    }
}

static void nothing_left(void) {
    (void)say("FB.QUEUE work PURGE ready");
    (void)say("FB.QUEUE work PURGE leased");
    assert_heard("FB.RESERVE work", "*0\r\n");
}

// ---- waiting

static void test_reserve__waits_for_the_next_job(void **state) {
    (void)state;
    rig_client waiting;
    nothing_left();
    rig_client_open(&waiting, &shared);
    tell(&waiting, "FB.RESERVE work BLOCK 0");
    assert_int_equal(blocked(), 1);
    assert_int_equal(waiting.out.len, 0);
    (void)enqueue("hello KIND k");
    await_end(&waiting, "$5\r\nhello\r\n");
    assert_true(fb_str_starts(fb_buf_str(&waiting.out), FB_STR("*1\r\n*5\r\n$")));
    assert_int_equal(blocked(), 0);
    rig_client_close(&waiting);
}

static void test_reserve__holds_back_what_is_behind_it(void **state) {
    (void)state;
    rig_client waiting;
    nothing_left();
    rig_client_open(&waiting, &shared);
    tell(&waiting, "PING\r\nFB.RESERVE work BLOCK 0\r\nFB.ENQUEUE small x\r\nPING");
    await_end(&waiting, "+PONG\r\n");
    assert_int_equal(waiting.out.len, strlen("+PONG\r\n"));
    assert_heard("FB.QUEUE small LIST ready", "*0\r\n");
    (void)enqueue("x");
    await_end(&waiting, "\r\n+PONG\r\n");
    assert_begins("FB.QUEUE small PURGE ready", ":1\r\n");
    rig_client_close(&waiting);
}

static void test_reserve__of_a_transaction_does_not_wait(void **state) {
    (void)state;
    nothing_left();
    const char *heard = say("MULTI\r\nFB.RESERVE work BLOCK 0\r\nFB.ENQUEUE work inside\r\n"
                            "FB.RESERVE work BLOCK 0\r\nEXEC");
    assert_non_null(strstr(heard, "*3\r\n*0\r\n$"));
    assert_non_null(strstr(heard, "$6\r\ninside\r\n"));
}

static void test_reserve__does_not_wait_for_a_server_that_stops(void **state) {
    (void)state;
    nothing_left();
    atomic_store(&shared.node.draining, true);
    assert_heard("FB.RESERVE work BLOCK 0", "*0\r\n");
    atomic_store(&shared.node.draining, false);
}

static void unblock(void *arg) {
    rig_client *one = arg;
    assert_true(fb_session_is_blocked(one->session));
    fb_session_unblock(one->session);
    assert_false(fb_session_is_blocked(one->session));
}

static void test_reserve__is_answered_with_nothing_when_it_is_not_to_wait(void **state) {
    (void)state;
    rig_client waiting;
    nothing_left();
    rig_client_open(&waiting, &shared);
    tell(&waiting, "FB.RESERVE work BLOCK 0\r\nPING");
    rig_on_loop(&shared, unblock, &waiting);
    await_end(&waiting, "*0\r\n+PONG\r\n");
    assert_int_equal(blocked(), 0);
    rig_client_close(&waiting);
}

static void test_session__that_ends_takes_no_job_along(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        rig_client waiting;
        bool had_it = false;
        nothing_left();
        rig_client_open(&waiting, &shared);
        tell(&waiting, "FB.RESERVE work BLOCK 0");
        if (i % 2 == 0) {
            rig_client_close(&waiting);
            (void)enqueue("x");
        } else {  // the job may be on its way to him, or he has got it
            rig_client other;
            rig_client_open(&other, &shared);
            tell(&other, "FB.ENQUEUE work x");
            rig_on_loop(&shared, rig_client_end, &waiting);
            had_it = waiting.out.len > 0;
            rig_client_close(&waiting);
            await_end(&other, "\r\n");
            rig_client_close(&other);
        }
        await_nobody_blocked();
        if (!had_it) {
            assert_non_null(strstr(say("FB.RESERVE work BLOCK 60000"), "$1\r\nx\r\n"));
        }
    }
}

static void test_sessions__may_wait_by_hundreds(void **state) {
    (void)state;
    enum { COUNT = 200 };
    static rig_client waiting[COUNT];
    nothing_left();
    for (int i = 0; i < COUNT; i++) {
        rig_client_open(&waiting[i], &shared);
        tell(&waiting[i], "FB.RESERVE work BLOCK 0");
    }
    assert_int_equal(blocked(), COUNT);
    for (int i = 0; i < COUNT; i++) {
        (void)enqueue("x");
    }
    for (int i = 0; i < COUNT; i++) {
        await_end(&waiting[i], "$1\r\nx\r\n");
        rig_client_close(&waiting[i]);
    }
    assert_int_equal(blocked(), 0);
}

// ---- pipelines

static void test_enqueue__of_a_pipeline_keeps_its_order(void **state) {
    (void)state;
    nothing_left();
    (void)say("FB.ENQUEUE work a\r\nFB.ENQUEUE work b\r\nFB.MENQUEUE work PAYLOADS c d\r\nPING\r\n"
              "FB.ENQUEUE work e");
    const char *heard = say("FB.RESERVE work COUNT 9");
    const char *at = heard;
    for (char name = 'a'; name <= 'e'; name++) {
        char bulk[] = "$1\r\nx\r\n";
        bulk[4] = name;
        at = strstr(at, bulk);
        assert_non_null(at);
    }
}

static void test_ack__tells_who_was_late(void **state) {
    char line[300];
    (void)state;
    nothing_left();
    const char *id = enqueue("x");
    (void)snprintf(line, sizeof line, "FB.ACK work %s 7", id);
    assert_begins(line, "-LEASELOST ");
    (void)snprintf(line, sizeof line, "FB.ACK work %s 7 %s 8", id, id);
    assert_heard(line, "*2\r\n:0\r\n:0\r\n");
    (void)snprintf(line, sizeof line, "FB.ACK work %s 7 RESERVE 1", id);
    assert_begins(line, "*2\r\n:0\r\n*1\r\n*5\r\n");
}

// ---- what is refused, and secrets

static void test_words__that_are_wrong_are_refused(void **state) {
    (void)state;
    assert_begins("FB.ENQUEUE nosuch x", "-NOQUEUE ");
    assert_begins("FB.ENQUEUE work x PRI 10", "-ERR PRI needs ");
    assert_begins("FB.ENQUEUE work x DELAY 1 AT 1", "-ERR DELAY and AT ");
    assert_begins("FB.RESERVE work COUNT 0", "-ERR COUNT needs ");
    assert_begins("FB.JOB work", "-ERR 'work' is no id ");
    assert_begins("FB.QUEUE work EXPLODE", "-ERR 'EXPLODE' cannot be done ");
    (void)say("FB.ENQUEUE small x");
    assert_begins("FB.ENQUEUE small x", "-FULL ");
    assert_heard("FB.QUEUE small PURGE ready", ":1\r\n");
}

static void test_secrets__of_mails_are_hidden(void **state) {
    (void)state;
    (void)say("FB.QUEUE mail PAUSE");
    const char *heard = say("FB.ENQUEUE mail \"{\\\"vars\\\":{\\\"code\\\":\\\"918273\\\",\\\"name\\\":"
                            "\\\"Ada\\\",\\\"reset_link\\\":\\\"918273\\\",\\\"Password\\\":\\\"918273\\\","
                            "\\\"zip_c\\\\u006fde\\\":\\\"918273\\\"},\\\"token\\\":\\\"918273\\\"}\"");
    char line[200], id[100];
    (void)snprintf(id, sizeof id, "%s", strchr(heard, '\n') + 1);
    *strchr(id, '\r') = '\0';
    (void)snprintf(line, sizeof line, "FB.JOB %s", id);
    heard = say(line);
    assert_null(strstr(heard, "918273"));
    assert_non_null(strstr(heard, "(hidden)"));
    assert_non_null(strstr(heard, "Ada"));
    heard = say("FB.ENQUEUE mail \"code: 918273\"");  // what is no JSON cannot be looked through
    (void)snprintf(id, sizeof id, "%s", strchr(heard, '\n') + 1);
    *strchr(id, '\r') = '\0';
    (void)snprintf(line, sizeof line, "FB.JOB %s", id);
    assert_null(strstr(say(line), "918273"));
    (void)say("FB.QUEUE mail PURGE ready");
    (void)say("FB.QUEUE mail RESUME");
}

// ---- all of it

static int open_all(void **state) {
    (void)state;
    rig_open(&shared);
    rig_client_open(&client, &shared);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    rig_client_close(&client);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve__waits_for_the_next_job),
        cmocka_unit_test(test_reserve__holds_back_what_is_behind_it),
        cmocka_unit_test(test_reserve__of_a_transaction_does_not_wait),
        cmocka_unit_test(test_reserve__does_not_wait_for_a_server_that_stops),
        cmocka_unit_test(test_reserve__is_answered_with_nothing_when_it_is_not_to_wait),
        cmocka_unit_test(test_session__that_ends_takes_no_job_along),
        cmocka_unit_test(test_sessions__may_wait_by_hundreds),
        cmocka_unit_test(test_enqueue__of_a_pipeline_keeps_its_order),
        cmocka_unit_test(test_ack__tells_who_was_late),
        cmocka_unit_test(test_words__that_are_wrong_are_refused),
        cmocka_unit_test(test_secrets__of_mails_are_hidden),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
