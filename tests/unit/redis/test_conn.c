// One connection to one server that does as the test says, on the same event loop. Real servers:
// test_conn_servers.c.

#include "conn_trial.h"

#include <pthread.h>

// ---- getting up

static void test_conn__greets_and_answers(void **state) {
    rig r;
    rig_init_fake(&r);
    rig_open(&r);
    assert_false(fb_conn_is_up(r.conn));
    send_text(&r, "SET a 1", 10 * SECOND);  // it waits for HELLO
    assert_int_equal(fb_conn_waiting(r.conn), 1);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "OK");
    assert_int_equal(r.ups, 1);
    assert_true(fb_conn_is_up(r.conn));
    assert_int_equal(fb_conn_waiting(r.conn), 0);
    assert_string_equal(fb_conn_server_of(r.conn)->version, "7.9.9");
    assert_string_equal(fb_conn_server_of(r.conn)->software, "redis");
    assert_string_equal(fb_conn_server_of(r.conn)->mode, "standalone");
    assert_string_equal(fb_conn_server_of(r.conn)->role, "master");
    rig_release(&r);
}

static void test_conn__has_a_name_for_people(void **state) {
    static const struct {
        const char *host, *path, *name;
    } cases[] = {{"127.0.0.1", NULL, "127.0.0.1:77"},
                 {"cache.internal", NULL, "cache.internal:77"},
                 {"::1", NULL, "[::1]:77"},
                 {NULL, "/run/redis.sock", "unix:/run/redis.sock"}};
    rig r;
    rig_init(&r);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        r.options.host = cases[i].host;
        r.options.path = cases[i].path;
        r.options.port = 77;
        rig_open(&r);
        assert_string_equal(fb_conn_name(r.conn), cases[i].name);
        fb_conn_close(r.conn);
    }
    r.conn = NULL;
    fb_conn_close(NULL);
    rig_release(&r);
}

static void test_conn__addresses_that_lead_nowhere(void **state) {
    static char path[200];
    rig r;
    rig_init(&r);
    r.options.port = 1;
    r.options.host = "::1";
    rig_open(&r);
    AWAIT(&r, r.downs == 1);
    assert_int_equal(strncmp(r.why, "[::1]:1: ", 9), 0);
    assert_false(r.fatal);
    fb_conn_close(r.conn);
    memset(path, 'p', sizeof path - 1);
    r.options.host = NULL;
    r.options.path = path;
    rig_open(&r);
    AWAIT(&r, r.downs == 2);
    assert_non_null(strstr(r.why, "the path of the socket is too long"));
    assert_true(r.fatal);
    rig_release(&r);
}

// A port whose queue of connections is full: the kernel answers no more of them.
typedef struct tar_pit {
    int listener, fill[4];
} tar_pit;

static void tar_pit_init(tar_pit *pit, uint32_t host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(host)};
    pit->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(pit->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(pit->listener, 0), 0);
    for (int i = 0; i < 4; i++) {
        pit->fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(pit->fill[i], (struct sockaddr *)&address, sizeof address);
    }
}

static void tar_pit_release(tar_pit *pit) {
    for (int i = 0; i < 4; i++) {
        (void)close(pit->fill[i]);
    }
    (void)close(pit->listener);
}

static void test_conn__an_address_that_swallows_packets_has_its_share_of_the_time(void **state) {
    rig r;
    fake_names names;
    tar_pit pit;
    rig_init_fake(&r);
    rig_serve_names(&r, &names);
    tar_pit_init(&pit, 0x7f000002, r.fake.port);
    r.options.connect_timeout_ns = 400 * MS;
    r.options.host = "127.0.0.2";
    rig_open(&r);
    AWAIT(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "no connection in time"));
    fb_conn_close(r.conn);
    r.options.host = "two.test";  // that one first, then the one that answers
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    fb_conn_close(r.conn);
    r.conn = NULL;
    tar_pit_release(&pit);
    rig_release_names(&r, &names);
    rig_release(&r);
}

typedef struct refusal {
    const char *at_once, *hello, *select;
    bool hangs_up, fatal;
    const char *why;
} refusal;

static const refusal refusals[] = {
    {.hello = "-WRONGPASS invalid username-password pair or user is disabled.\r\n", .fatal = true,
     .why = "wrong user or password"},
    {.hello = "-NOAUTH HELLO must be called with the client already authenticated\r\n",
     .fatal = true, .why = "it wants a password"},
    {.hello = "-NOPROTO unsupported protocol version\r\n", .fatal = true, .why = "RESP2 only"},
    // As Redis 5 says it, with all that it was told.
    {.hello = "-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `me`, "
              "`Geheim`, \r\n",
     .fatal = true, .why = "RESP2 only"},
    {.hello = "-XERR strange args `Geheim`\r\n", .why = "it refuses the greeting"},
    {.hello = "-OOPS not today\r\n", .why = "it refuses the greeting: OOPS not today"},
    {.hello = "-NOPERM this user has no permissions\r\n", .fatal = true, .why = "may not do"},
    {.hello = "-LOADING Redis is loading the dataset in memory\r\n", .why = "loading its data"},
    {.at_once = "-ERR max number of clients reached\r\n", .why = "as many clients as it takes"},
    {.at_once = "-DENIED Redis is running in protected mode because protected mode is enabled\r\n",
     .fatal = true, .why = "protected mode"},
    {.hello = "HTTP/1.1 400 Bad Request\r\n\r\n", .fatal = true, .why = "HTTP server"},
    {.at_once = "SSH-2.0-OpenSSH_9.2\r\n", .fatal = true,
     .why = "it does not answer as Redis does: \"SSH-2.0-OpenSSH_9.2??\""},
    {.hello = "\x15\x03\x01\x01\x02\x02\x46", .fatal = true, .why = "rediss://"},
    {.hello = "H", .hangs_up = true, .fatal = true,
     .why = "it does not answer as Redis does: \"H\""},
    {.hangs_up = true, .why = "closed the connection without an answer"},
    {.hello = "%1\r\n+proto\r\n:2\r\n", .fatal = true, .why = "does not answer HELLO"},
    {.hello = "+OK\r\n", .fatal = true, .why = "does not answer HELLO"},
    {.hello = "*1\r\n:x\r\n", .fatal = true, .why = "it does not answer as Redis does"},
    {.select = "-ERR DB index is out of range\r\n", .fatal = true,
     .why = "database 3 is not to be had: ERR DB index is out of range"},
    {.select = "-BUSY Redis is busy running a script.\r\n", .why = "busy running a script"},
};

static void test_conn__says_why_it_is_refused_and_never_the_password(void **state) {
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        rig r;
        rig_init_fake(&r);
        r.options.user = "me";
        r.options.password = "Geheim";
        r.options.db = 3;
        r.fake.at_once = refusals[i].at_once;
        r.fake.hello = refusals[i].hello;
        r.fake.select = refusals[i].select;
        r.fake.hangs_up = refusals[i].hangs_up;
        rig_open(&r);
        AWAIT(&r, r.downs > 0);
        if (strstr(r.why, refusals[i].why) == NULL || strstr(r.why, "Geheim") != NULL ||
            r.fatal != refusals[i].fatal ||
            strncmp(r.why, fb_conn_name(r.conn), strlen(fb_conn_name(r.conn))) != 0) {
            fail_msg("%zu: %s (fatal: %d)", i, r.why, r.fatal);
        }
        assert_int_equal(r.ups, 0);
        assert_false(fb_conn_is_up(r.conn));
        rig_release(&r);
    }
}

static void test_conn__keeps_nobody_waiting_for_what_will_not_help(void **state) {
    rig r;
    rig_init_fake(&r);
    r.fake.hello = "-WRONGPASS no\r\n";
    rig_open(&r);
    send_text(&r, "GET a", 1000 * SECOND);
    AWAIT(&r, r.not_sent == 1);  // with the loss
    assert_int_equal(r.downs, 1);
    send_text(&r, "GET a", 1000 * SECOND);
    assert_int_equal(r.not_sent, 1);
    AWAIT(&r, r.not_sent == 2);  // and after it
    assert_non_null(strstr(r.last_why, "wrong user or password"));
    r.fake.hello = NULL;
    AWAIT(&r, r.ups == 1);  // the password was set right: slowly, but by itself
    send_text(&r, "GET a", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    rig_release(&r);
}

static void test_conn__waits_for_a_server_that_is_not_there_yet(void **state) {
    rig r;
    rig_init_fake(&r);
    fake_redis_kill(&r.fake);
    rig_open(&r);
    send_text(&r, "GET soon", 10 * MS);
    send_text(&r, "GET late", 100 * SECOND);
    AWAIT(&r, r.downs > 0 && r.not_sent == 1);
    assert_non_null(strstr(r.why, "connection refused"));
    assert_non_null(strstr(r.last_why, "in time"));
    assert_false(r.fatal);
    AWAIT(&r, r.downs > 2);
    fake_redis_listen(&r.fake);
    AWAIT(&r, r.replied == 1);
    assert_str(fb_buf_str(&r.fake.heard), "GET late\n");
    rig_release(&r);
}

static void test_conn__gives_up_a_server_that_takes_it_and_says_nothing(void **state) {
    rig r;
    rig_init_fake(&r);
    r.options.connect_timeout_ns = 50 * MS;
    r.fake.mute = true;
    rig_open(&r);
    AWAIT(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "takes connections, but does not answer"));
    AWAIT(&r, r.downs == 2);
    r.fake.mute = false;
    AWAIT(&r, r.ups == 1);
    rig_release(&r);
}

// ---- names

static void test_conn__tries_the_addresses_of_a_name_in_turn(void **state) {
    rig r;
    fake_names names;
    rig_init_fake(&r);
    rig_serve_names(&r, &names);
    r.options.host = "two.test";
    rig_open(&r);
    send_text(&r, "GET a", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    assert_int_equal(r.downs, 0);
    fb_conn_close(r.conn);
    r.options.host = "none.test";
    rig_open(&r);
    AWAIT(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "no such name: none.test"));
    fb_conn_close(r.conn);
    r.conn = NULL;
    rig_release_names(&r, &names);
    rig_release(&r);
}

static void test_conn__a_name_that_is_not_found_in_time(void **state) {
    rig r;
    fake_names names;
    rig_init_fake(&r);
    rig_serve_names(&r, &names);
    names.mute = true;
    r.options.host = "one.test";
    r.options.connect_timeout_ns = 30 * MS;
    rig_open(&r);
    AWAIT(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "the name is not found in time"));
    AWAIT(&r, names.asked > 1);
    fb_conn_close(r.conn);  // while it is looked up
    r.conn = NULL;
    rig_release_names(&r, &names);
    rig_release(&r);
}

static void test_conn__needs_no_lookup_for_an_address(void **state) {
    rig r;
    rig_init(&r);
    r.options.host = "localhost";
    r.options.port = 1;
    rig_open(&r);
    AWAIT(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "names are not looked up here"));
    rig_release(&r);
}

// ---- pipelines

static void test_conn__answers_in_order_whatever_way_replies_come(void **state) {
    for (int dribbles = 0; dribbles < 2; dribbles++) {
        rig r;
        rig_init_fake(&r);
        r.fake.answer = echo_last;
        r.fake.dribbles = dribbles == 1;
        rig_open(&r);
        for (int i = 0; i < 20; i++) {
            char words[32];
            char value[16];
            snprintf(words, sizeof words, "ECHO %d", i);
            snprintf(value, sizeof value, "%d", i);
            send_text(&r, words, 10 * SECOND);
            if (i % 5 == 0) {
                AWAIT(&r, r.replied == i + 1);
                assert_string_equal(r.value, value);
            }
        }
        AWAIT(&r, r.replied == 20);
        assert_string_equal(r.value, "19");
        rig_release(&r);
    }
}

static void answer_by_name(fake_peer *peer, const fb_str *args, size_t arg_count) {
    (void)arg_count;
    if (fb_str_equal(args[0], FB_STR("BAD"))) {
        fake_redis_say(peer, "-ERR bad\r\n");
    } else if (fb_str_equal(args[0], FB_STR("SUBSCRIBE"))) {
        fake_redis_say(peer, ">3\r\n$7\r\nmessage\r\n+c\r\n+early\r\n"
                             ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    } else {
        assert_ok(fb_resp_write_simple(&peer->out, args[0]));
    }
}

static void send_several(rig *r, const char *const *commands, uint32_t count) {
    fb_buf out = {0};
    for (uint32_t i = 0; i < count; i++) {
        encode(&out, commands[i]);
    }
    assert_ok(fb_conn_send(r->conn, fb_buf_str(&out), count, fb_clock_now_ns() + 10 * SECOND,
                           on_reply, r));
    fb_buf_release(&out);
}

static void test_conn__several_commands_are_one_answer(void **state) {
    rig r;
    rig_init_fake(&r);
    r.fake.answer = answer_by_name;
    rig_open(&r);
    send_several(&r, (const char *const[]){"A", "B", "C"}, 3);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "C");
    send_several(&r, (const char *const[]){"A", "BAD", "C"}, 3);  // the one that failed
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "-ERR bad");
    send_several(&r, (const char *const[]){"D", "E"}, 2);  // and nothing is mixed up by it
    AWAIT(&r, r.replied == 3);
    assert_string_equal(r.value, "E");
    rig_release(&r);
}

static void subscribe(rig *r, const char *words) {
    fb_buf out = {0};
    encode(&out, words);
    assert_ok(fb_conn_subscribe(r->conn, fb_buf_str(&out), fb_clock_now_ns() + 10 * SECOND,
                                on_reply, r));
    fb_buf_release(&out);
}

static void test_conn__pushes_are_no_replies_but_confirmations_are(void **state) {
    rig r;
    rig_init_fake(&r);
    r.fake.answer = answer_by_name;
    rig_open(&r);
    subscribe(&r, "SUBSCRIBE c");
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "subscribe c 1");
    assert_int_equal(r.pushes, 1);
    assert_string_equal(r.push, "message c early");
    send_text(&r, "A", 10 * SECOND);
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "A");
    subscribe(&r, "BAD c");  // refused: that is a reply, and the only one
    AWAIT(&r, r.replied == 3);
    assert_string_equal(r.value, "-ERR bad");
    send_text(&r, "B", 10 * SECOND);
    AWAIT(&r, r.replied == 4);
    assert_string_equal(r.value, "B");
    fake_redis_tell(&r.fake, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
    AWAIT(&r, r.pushes == 2);
    assert_string_equal(r.push, "invalidate k");
    fb_conn_close(r.conn);
    r.events.on_push = NULL;  // who does not listen
    rig_open(&r);
    AWAIT(&r, r.ups == 2);
    fake_redis_tell(&r.fake, ">1\r\n+x\r\n");
    send_text(&r, "C", 10 * SECOND);
    AWAIT(&r, r.replied == 5);
    assert_int_equal(r.pushes, 2);
    rig_release(&r);
}

// ---- time

static void test_conn__a_late_reply_is_nobody_s(void **state) {
    rig r;
    rig_init_fake(&r);
    r.fake.answer = echo_last;
    r.options.stall_ns = 1000 * SECOND;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.mute = true;
    int64_t sent_ns = fb_clock_now_ns();
    send_text(&r, "ECHO one", 300 * MS);
    send_text(&r, "ECHO two", 100 * SECOND);
    send_text(&r, "ECHO three", 200 * MS);
    AWAIT(&r, r.unknown == 2);
    assert_true(fb_clock_now_ns() - sent_ns >= 300 * MS);
    assert_non_null(strstr(r.last_why, "no answer in time"));
    assert_int_equal(r.replied, 0);
    r.fake.mute = false;
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "two");
    send_text(&r, "ECHO four", 10 * SECOND);
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "four");
    assert_int_equal(r.unknown, 2);
    assert_int_equal(r.downs, 0);
    rig_release(&r);
}

static void test_conn__a_server_that_hangs_is_given_up(void **state) {
    rig r;
    rig_init_fake(&r);
    r.options.stall_ns = 300 * MS;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.mute = true;
    send_text(&r, "GET soon", 200 * MS);
    send_text(&r, "GET later", 100 * SECOND);
    AWAIT(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "it hangs"));
    assert_int_equal(r.unknown, 2);  // the other one is not held up to its deadline
    r.fake.mute = false;
    AWAIT(&r, r.ups == 2);
    rig_release(&r);
}

// What lies unread in the old connection must not be done after what is sent on the new one.
static void test_conn__the_connection_before_is_ended_first(void **state) {
    rig r;
    rig_init_fake(&r);
    r.options.db = 3;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    assert_string_equal(r.fake.killed, "");
    send_text(&r, "PING", 100 * SECOND);
    AWAIT(&r, r.replied == 1);
    fake_redis_kill(&r.fake);
    AWAIT(&r, r.downs > 0);
    fake_redis_listen(&r.fake);
    AWAIT(&r, r.ups == 2);
    assert_memory_equal(r.fake.killed, "ID 9 ADDR 127.0.0.1:", strlen("ID 9 ADDR 127.0.0.1:"));
    assert_true(strlen(r.fake.killed) > strlen("ID 9 ADDR 127.0.0.1:"));
    rig_release(&r);
}

static void test_conn__who_waits_long_on_purpose_does_not_hang(void **state) {
    rig r;
    rig_init_fake(&r);
    r.options.stall_ns = 10 * MS;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.mute = true;
    send_text(&r, "BLPOP q 1", 150 * MS);
    AWAIT(&r, r.unknown == 1 || r.downs == 1);
    assert_int_equal(r.unknown, 1);  // not before its own deadline
    AWAIT(&r, r.downs == 1);
    rig_release(&r);
}

// ---- losses

static void test_conn__a_loss_leaves_what_has_not_gone_out(void **state) {
    rig r;
    rig_init_fake(&r);
    r.fake.answer = echo_last;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.mute = true;
    send_text(&r, "ECHO out", 100 * SECOND);
    turn(&r);
    fake_redis_kill(&r.fake);
    send_text(&r, "ECHO in", 100 * SECOND);  // in the turn in which the link breaks
    AWAIT(&r, r.downs > 0);
    send_text(&r, "ECHO after", 100 * SECOND);
    assert_int_equal(r.replied, 0);
    r.fake.mute = false;
    fake_redis_listen(&r.fake);
    AWAIT(&r, r.ups == 2 && fb_conn_waiting(r.conn) == 0);
    assert_int_equal(r.not_sent, 0);
    assert_int_equal(r.unknown + r.replied, 3);
    assert_in_range(r.unknown, 1, 2);
    assert_string_equal(r.value, "after");
    rig_release(&r);
}

// A command of which half went out with the old link must not go on in the new one.
static void test_conn__what_went_out_in_part_is_not_continued(void **state) {
    enum { COUNT = 200, LEN = 100000 };
    rig r;
    rig_init_fake(&r);
    r.fake.answer = echo_last;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.deaf = true;
    char *bytes = malloc(LEN);
    assert_non_null(bytes);
    memset(bytes, 'x', LEN);
    for (int i = 0; i < COUNT; i++) {
        fb_buf out = {0};
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        const fb_str args[] = {FB_STR("ECHO"), {bytes, LEN}, fb_str_of(number)};
        assert_ok(fb_resp_write_command(&out, args, 3));
        assert_ok(fb_conn_send(r.conn, fb_buf_str(&out), 1, fb_clock_now_ns() + 60 * SECOND,
                               on_reply, &r));
        fb_buf_release(&out);
    }
    free(bytes);
    turn(&r);
    turn(&r);
    fake_redis_drop_all(&r.fake);
    r.fake.deaf = false;
    AWAIT(&r, r.replied + r.unknown == COUNT);
    assert_true(r.unknown > 0 && r.replied > 0);
    assert_int_equal(r.fake.commands, r.replied);
    assert_string_equal(r.value, "199");
    assert_int_equal(r.downs, 1);
    rig_release(&r);
}

static void answer_kinds(fake_peer *peer, const fb_str *args, size_t arg_count) {
    (void)args, (void)arg_count;
    static const char *const replies[] = {"$5\r\nhello\r\n", ":42\r\n",
                                          "*3\r\n$1\r\na\r\n_\r\n%1\r\n+k\r\n#t\r\n"};
    fake_redis_say(peer, replies[(peer->fake->commands - 1) % 3]);
}

static void test_conn__replies_cut_at_any_byte_are_no_replies(void **state) {
    const size_t ends[] = {11, 16, 42};
    for (size_t cut = 1; cut <= ends[2]; cut++) {
        rig r;
        rig_init_fake(&r);
        r.fake.answer = answer_kinds;
        rig_open(&r);
        AWAIT(&r, r.ups == 1);
        r.fake.cut = cut;
        send_text(&r, "GET a", 10 * SECOND);
        send_text(&r, "INCR b", 10 * SECOND);
        send_text(&r, "MGET c d", 10 * SECOND);
        AWAIT(&r, r.downs == 1);
        int whole = (cut >= ends[0]) + (cut >= ends[1]) + (cut >= ends[2]);
        assert_int_equal(r.replied, whole);
        assert_int_equal(r.unknown, 3 - whole);
        assert_non_null(strstr(r.why, "closed the connection"));
        static const char *const values[] = {"", "hello", "42", "a null k 1"};
        assert_string_equal(r.value, values[whole]);
        r.fake.cut = 0;
        r.fake.commands = 0;
        AWAIT(&r, r.ups == 2);
        send_text(&r, "GET a", 10 * SECOND);  // nothing of the half is left
        AWAIT(&r, r.replied == whole + 1);
        assert_string_equal(r.value, "hello");
        rig_release(&r);
    }
}

static void test_conn__what_is_no_answer_ends_it(void **state) {
    static const struct {
        const char *said, *why;
    } cases[] = {{"+OK\r\n", "answers what nobody has asked"},
                 {"-ERR this client is closed\r\n", "ERR this client is closed"},
                 {"!x\r\n", "malformed reply"},
                 {"?\r\n", "malformed reply"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig r;
        rig_init_fake(&r);
        rig_open(&r);
        AWAIT(&r, r.ups == 1);
        fake_redis_tell(&r.fake, cases[i].said);
        AWAIT(&r, r.downs == 1);
        assert_non_null(strstr(r.why, cases[i].why));
        AWAIT(&r, r.ups == 2);
        rig_release(&r);
    }
}

// ---- bounds

static void test_conn__refuses_what_is_too_much(void **state) {
    static char big[16 * 1024 * 1024];
    rig r;
    rig_init(&r);
    r.options.port = 1;
    rig_open(&r);
    fb_buf out = {0};
    encode(&out, "GET a");
    for (int i = 0; i < FB_CONN_WAITING_MAX; i++) {
        assert_ok(fb_conn_send(r.conn, fb_buf_str(&out), 1, INT64_MAX, on_reply, &r));
    }
    assert_result(fb_conn_send(r.conn, fb_buf_str(&out), 1, INT64_MAX, on_reply, &r),
                  FB_EOVERLOAD);
    assert_int_equal(fb_conn_waiting(r.conn), FB_CONN_WAITING_MAX);
    fb_conn_close(r.conn);
    assert_int_equal(r.not_sent, FB_CONN_WAITING_MAX);

    rig_open(&r);
    memset(big, 'x', sizeof big);
    fb_str value = {big, sizeof big};
    int count = 0;
    while (fb_conn_send(r.conn, value, 1, INT64_MAX, on_reply, &r) == FB_OK) {
        count++;
    }
    assert_int_equal(count, 4);  // of 16 MiB in 64 MiB
    assert_result(fb_conn_send(r.conn, value, 1, INT64_MAX, on_reply, &r), FB_EOVERLOAD);
    fb_buf_release(&out);
    rig_release(&r);
    assert_int_equal(r.not_sent, FB_CONN_WAITING_MAX + 4);
}

static void test_conn__one_command_may_be_larger_than_the_bound(void **state) {
    rig r;
    rig_init_fake(&r);
    rig_open(&r);
    size_t len = (size_t)FB_CONN_UNSENT_MAX + 1000;
    char *value = calloc(1, len);
    assert_non_null(value);
    fb_buf out = {0};
    const fb_str args[] = {FB_STR("SET"), FB_STR("k"), {value, len}};
    assert_ok(fb_resp_write_command(&out, args, 3));
    assert_ok(fb_conn_send(r.conn, fb_buf_str(&out), 1, fb_clock_now_ns() + 60 * SECOND, on_reply,
                           &r));
    assert_result(fb_conn_send(r.conn, FB_STR("*1\r\n$4\r\nPING\r\n"), 1, INT64_MAX, on_reply, &r),
                  FB_EOVERLOAD);
    AWAIT(&r, r.replied == 1);
    fb_buf_release(&out);
    free(value);
    rig_release(&r);
}

// Commands to a server that does not read: what its socket took is unknown in the end, the rest is
// not sent, ever.
static void test_conn__what_was_not_sent_in_time_never_is(void **state) {
    enum { COUNT = 400 };
    static char value[65536];
    rig r;
    rig_init_fake(&r);
    r.options.stall_ns = 1000 * SECOND;
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.deaf = true;
    memset(value, 'v', sizeof value);
    for (int i = 0; i < COUNT; i++) {
        fb_buf out = {0};
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        const fb_str args[] = {FB_STR("SET"), fb_str_of(key), {value, sizeof value}};
        assert_ok(fb_resp_write_command(&out, args, 3));
        assert_ok(fb_conn_send(r.conn, fb_buf_str(&out), 1, fb_clock_now_ns() + 500 * MS, on_reply,
                               &r));
        fb_buf_release(&out);
    }
    AWAIT(&r, r.unknown + r.not_sent == COUNT);
    assert_true(r.unknown > 0 && r.not_sent > 0);
    assert_non_null(strstr(r.last_why, "does not take what is sent"));
    r.fake.deaf = false;
    send_text(&r, "GET z", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    assert_int_equal(r.fake.commands, r.unknown + 1);
    rig_release(&r);
}

// ---- closing

static void on_reply_send(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                          const char *why) {
    rig *r = arg;
    on_reply(arg, outcome, value, why);
    if (outcome != FB_CONN_REPLIED) {
        assert_result(fb_conn_send(r->conn, FB_STR("*1\r\n$4\r\nPING\r\n"), 1, INT64_MAX, on_reply,
                                   r),
                      FB_ECLOSED);
    }
}

static void test_conn__closing_answers_what_waits(void **state) {
    rig r;
    rig_init_fake(&r);
    rig_open(&r);
    AWAIT(&r, r.ups == 1);
    r.fake.mute = true;
    send_text(&r, "GET out", 10 * SECOND);
    turn(&r);
    assert_ok(fb_conn_send(r.conn, FB_STR("*1\r\n$4\r\nPING\r\n"), 1, INT64_MAX, on_reply_send,
                           &r));
    fb_conn_close(r.conn);
    r.conn = NULL;
    assert_int_equal(r.unknown, 1);
    assert_int_equal(r.not_sent, 1);
    assert_non_null(strstr(r.last_why, "the connection is closed"));
    assert_int_equal(r.downs, 0);
    rig_release(&r);
}

// From within each callback, with commands that have gone out and commands that have not.
static void test_conn__may_be_closed_from_any_callback(void **state) {
    for (int which = 0; which < 7; which++) {
        rig r;
        rig_init_fake(&r);
        r.close_on_up = which == 0;
        r.close_on_down = which == 1 || which == 2;
        r.close_on_push = which == 3;
        r.fake.hello = which == 1 ? "-WRONGPASS\r\n" : NULL;
        rig_open(&r);
        send_text(&r, "GET a", 10 * SECOND);
        send_text(&r, "GET b", 10 * SECOND);
        if (which >= 2) {
            AWAIT(&r, r.replied == 2);
            r.fake.mute = which != 4;
            r.close_on_answer = which >= 4;
            send_text(&r, "GET c", which == 5 ? 50 * MS : 10 * SECOND);
            send_text(&r, "GET d", which == 5 ? 50 * MS : 10 * SECOND);
            turn(&r);
        }
        if (which == 2 || which == 6) {
            fake_redis_kill(&r.fake);
        }
        if (which == 3) {
            fake_redis_tell(&r.fake, ">1\r\n+x\r\n");
        }
        AWAIT(&r, r.conn == NULL);
        assert_int_equal(r.replied + r.not_sent + r.unknown, which < 2 ? 2 : 4);
        turn(&r);
        rig_release(&r);
    }
    // In the middle of those that are refused together.
    rig r;
    rig_init_fake(&r);
    r.fake.hello = "-WRONGPASS\r\n";
    r.close_on_answer = true;
    rig_open(&r);
    send_text(&r, "GET a", 10 * SECOND);
    send_text(&r, "GET b", 10 * SECOND);
    AWAIT(&r, r.conn == NULL);
    assert_int_equal(r.not_sent, 2);
    rig_release(&r);
}

// ---- chance

static void test_conn__random_trouble_never_misplaces_an_answer(void **state) {
    static trial t;
    trial_run(&t, test_seed());
    if (t.violations > 0) {
        fail_msg("%s (%d violations)", t.first, t.violations);
    }
    printf("replied %d, not sent %d, unknown %d, %d losses\n", t.outcomes[FB_CONN_REPLIED],
           t.outcomes[FB_CONN_NOT_SENT], t.outcomes[FB_CONN_UNKNOWN], t.r.downs);
    for (int i = 0; i < 3; i++) {
        assert_true(t.outcomes[i] > 100);
    }
}

// ---- memory

// A server that needs none of the memory that fails: +OK for each PING.
typedef struct plain_server {
    int listener, port;
    pthread_t thread;
} plain_server;

static void *serve_plainly(void *arg) {
    plain_server *server = arg;
    for (;;) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0) {
            return NULL;
        }
        char bytes[4096];
        ssize_t got;
        while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0) {
            const char *reply = memmem(bytes, (size_t)got, "HELLO", 5) != NULL ? FAKE_HELLO : "";
            (void)send(fd, reply, strlen(reply), MSG_NOSIGNAL);
            for (ssize_t i = 0; i + 3 < got; i++) {
                if (memcmp(bytes + i, "PING", 4) == 0) {
                    (void)send(fd, "+OK\r\n", 5, MSG_NOSIGNAL);
                }
            }
        }
        (void)close(fd);
    }
}

static void test_conn__out_of_memory_is_survived_anywhere(void **state) {
    rig r;
    rig_init(&r);
    plain_server server = {.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(server.listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server.listener, 16), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(pthread_create(&server.thread, NULL, serve_plainly, &server), 0);
    r.options.port = ntohs(address.sin_port);
    assert_true(test_memory_sweep(ping_once, &r) >= 8);
    fake_names names;
    rig_serve_names(&r, &names);
    r.options.host = "one.test";
    assert_true(test_memory_sweep(ping_once, &r) >= 9);
    rig_release_names(&r, &names);
    (void)shutdown(server.listener, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    (void)close(server.listener);
    rig_release(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn__out_of_memory_is_survived_anywhere),
        cmocka_unit_test(test_conn__greets_and_answers),
        cmocka_unit_test(test_conn__has_a_name_for_people),
        cmocka_unit_test(test_conn__addresses_that_lead_nowhere),
        cmocka_unit_test(
            test_conn__an_address_that_swallows_packets_has_its_share_of_the_time),
        cmocka_unit_test(test_conn__what_went_out_in_part_is_not_continued),
        cmocka_unit_test(test_conn__says_why_it_is_refused_and_never_the_password),
        cmocka_unit_test(test_conn__keeps_nobody_waiting_for_what_will_not_help),
        cmocka_unit_test(test_conn__waits_for_a_server_that_is_not_there_yet),
        cmocka_unit_test(test_conn__gives_up_a_server_that_takes_it_and_says_nothing),
        cmocka_unit_test(test_conn__tries_the_addresses_of_a_name_in_turn),
        cmocka_unit_test(test_conn__a_name_that_is_not_found_in_time),
        cmocka_unit_test(test_conn__needs_no_lookup_for_an_address),
        cmocka_unit_test(test_conn__answers_in_order_whatever_way_replies_come),
        cmocka_unit_test(test_conn__several_commands_are_one_answer),
        cmocka_unit_test(test_conn__pushes_are_no_replies_but_confirmations_are),
        cmocka_unit_test(test_conn__a_late_reply_is_nobody_s),
        cmocka_unit_test(test_conn__a_server_that_hangs_is_given_up),
        cmocka_unit_test(test_conn__the_connection_before_is_ended_first),
        cmocka_unit_test(test_conn__who_waits_long_on_purpose_does_not_hang),
        cmocka_unit_test(test_conn__a_loss_leaves_what_has_not_gone_out),
        cmocka_unit_test(test_conn__replies_cut_at_any_byte_are_no_replies),
        cmocka_unit_test(test_conn__what_is_no_answer_ends_it),
        cmocka_unit_test(test_conn__refuses_what_is_too_much),
        cmocka_unit_test(test_conn__one_command_may_be_larger_than_the_bound),
        cmocka_unit_test(test_conn__what_was_not_sent_in_time_never_is),
        cmocka_unit_test(test_conn__closing_answers_what_waits),
        cmocka_unit_test(test_conn__may_be_closed_from_any_callback),
        cmocka_unit_test(test_conn__random_trouble_never_misplaces_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
