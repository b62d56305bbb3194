// Connections whose peers do not read: over a pair of sockets, on an event base of the test's own,
// with bounds small enough to be met.

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "door/connection.h"
#include "node_rig.h"
#include "support.h"

enum { VALUE_LEN = 1000, PIECE_LEN = 64 * 1024 };

static rig shared;

// One connection, and the peer's end of it.
typedef struct pair {
    fb_connection_bounds bounds;
    fb_lane_state lane;
    _Atomic uint64_t held_bytes;
    int peer;
    int gone;
} pair;

static void note_gone(void *arg) {
    ((pair *)arg)->gone++;
}

static void on_resume(evutil_socket_t fd, short what, void *arg) {
    (void)fd, (void)what;
    fb_connection_resume_all(arg);
}

static void pair_open(pair *one) {
    int fds[2];
    int buffer_len = PIECE_LEN;
    memset(one, 0, sizeof *one);
    one->bounds = (fb_connection_bounds){.out_soft = 512 * 1024,
                                         .in_soft = 1024 * 1024,
                                         .out_pressed = 256 * 1024,
                                         .in_pressed = 128 * 1024,
                                         .held_max = 64 * 1024 * 1024,
                                         .patience = {60, 0},
                                         .farewell = {3, 0},
                                         .tick = {1, 0},
                                         .shake_ticks = 3,
                                         .slow_ticks = 5,
                                         .slow_len = 100000};
    one->lane.node = &shared.node;
    one->lane.base = event_base_new();
    one->lane.bounds = &one->bounds;
    one->lane.held_bytes = &one->held_bytes;
    one->lane.gone = note_gone;
    one->lane.gone_arg = one;
    one->lane.input = malloc(FB_CONNECTION_READ_LEN);
    one->lane.resume = event_new(one->lane.base, -1, 0, on_resume, &one->lane);
    assert_non_null(one->lane.input);
    assert_non_null(one->lane.resume);
    fb_list_init(&one->lane.connections);
    fb_list_init(&one->lane.ready);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &buffer_len, sizeof buffer_len);
    }
    one->peer = fds[0];
    assert_ok(fb_connection_new(&one->lane, fds[1], FB_STR("peer")));
}

static void pair_close(pair *one) {
    fb_connection_close_all(&one->lane);
    assert_int_equal(one->gone, 1);
    assert_int_equal(one->held_bytes, 0);
    event_free(one->lane.resume);
    event_base_free(one->lane.base);
    fb_buf_release(&one->lane.spare);
    free(one->lane.input);
    (void)close(one->peer);
}

static void turn(pair *one) {
    assert_true(event_base_loop(one->lane.base, EVLOOP_NONBLOCK) >= 0);
}

// As much as the connection takes of it.
static size_t say(pair *one, fb_str bytes) {
    size_t said = 0;
    for (int idle = 0; idle < 10 && said < bytes.len; idle++) {
        ssize_t count = send(one->peer, bytes.ptr + said, bytes.len - said, MSG_NOSIGNAL);
        if (count > 0) {
            said += (size_t)count;
            idle = 0;
        }
        turn(one);
    }
    return said;
}

// Reads until `len` bytes have come, which must be `expected` again and again.
static void hear(pair *one, size_t len, fb_str expected) {
    static char bytes[PIECE_LEN];
    size_t got = 0;
    for (int idle = 0; got < len; idle++) {
        assert_true(idle < 100);
        ssize_t count = recv(one->peer, bytes, sizeof bytes, 0);
        for (ssize_t i = 0; i < count; i++) {
            assert_int_equal(bytes[i], expected.ptr[(got + (size_t)i) % expected.len]);
        }
        if (count > 0) {
            got += (size_t)count;
            idle = 0;
        }
        turn(one);
    }
    assert_int_equal(got, len);
}

// "GET big" so often, and its reply.
static fb_buf pipeline(size_t count) {
    fb_buf text = {0};
    for (size_t i = 0; i < count; i++) {
        assert_ok(fb_buf_append(&text, FB_STR("GET big\r\n")));
    }
    return text;
}

static fb_str reply(void) {
    static char text[VALUE_LEN + 9];
    (void)snprintf(text, sizeof text, "$%d\r\n", VALUE_LEN);
    memset(text + 7, 'x', VALUE_LEN);
    memcpy(text + 7 + VALUE_LEN, "\r\n", 2);
    return fb_str_make(text, sizeof text);
}

static void set_big(void) {
    fb_str value = fb_str_make(reply().ptr + 7, VALUE_LEN);
    assert_ok(fb_set(shared.engine, FB_STR("big"), value, NULL));
}

// Who writes everything before he reads anything is heard to the end, and answered.
static void test_connection__takes_a_pipeline_before_its_replies_are_read(void **state) {
    enum { COUNT = 100000 };  // 0.9 MB of commands, 100 MB of replies
    pair one;
    pair_open(&one);
    fb_buf said = pipeline(COUNT);
    assert_int_equal(say(&one, fb_buf_str(&said)), said.len);
    // What is kept is commands, and not their replies.
    assert_true(one.held_bytes < said.len + one.bounds.out_soft + FB_CONNECTION_READ_LEN * 40);
    hear(&one, COUNT * reply().len, reply());
    assert_int_equal(one.held_bytes, 0);
    fb_buf_release(&said);
    pair_close(&one);
}

// The same where the end of what he says comes with it.
static void test_connection__answers_who_has_said_all_and_reads_late(void **state) {
    enum { COUNT = 20000 };
    pair one;
    pair_open(&one);
    fb_buf said = pipeline(COUNT);
    assert_int_equal(say(&one, fb_buf_str(&said)), said.len);
    assert_int_equal(shutdown(one.peer, SHUT_WR), 0);
    hear(&one, COUNT * reply().len, reply());
    turn(&one);
    assert_int_equal(one.gone, 1);
    fb_buf_release(&said);
    pair_close(&one);
}

// Beyond the bounds he is held back, and after a while it is over.
static void test_connection__ends_who_only_writes(void **state) {
    pair one;
    pair_open(&one);
    one.bounds.patience = (struct timeval){0, 50000};
    fb_buf said = pipeline(400000);  // 3.6 MB
    size_t taken = say(&one, fb_buf_str(&said));
    assert_true(taken < said.len);
    assert_true(taken > one.bounds.in_soft);
    assert_true(one.held_bytes < 4 * one.bounds.in_soft);
    while (one.gone == 0) {
        assert_true(event_base_loop(one.lane.base, EVLOOP_ONCE) >= 0);
    }
    fb_buf_release(&said);
    pair_close(&one);
}

// Who reads, however slowly, is waited for.
static void test_connection__waits_for_who_reads_slowly(void **state) {
    pair one;
    pair_open(&one);
    fb_buf said = pipeline(400000);
    size_t taken = say(&one, fb_buf_str(&said));
    assert_true(taken < said.len);
    hear(&one, taken / 9 * reply().len, reply());
    assert_int_equal(one.gone, 0);
    fb_str rest = fb_str_make(said.ptr + taken, 9 - taken % 9);  // to the end of a command
    assert_int_equal(say(&one, rest), rest.len);
    hear(&one, reply().len, reply());
    fb_buf_release(&said);
    pair_close(&one);
}

// While all together hold too much, each may hold less.
static void test_connection__holds_less_under_pressure(void **state) {
    pair one;
    pair_open(&one);
    one.bounds.held_max = 1;
    fb_buf said = pipeline(400000);
    size_t taken = say(&one, fb_buf_str(&said));
    assert_true(taken < one.bounds.in_soft);
    hear(&one, taken / 9 * reply().len, reply());
    fb_buf_release(&said);
    pair_close(&one);
}

// A command that is larger than what may be kept is not what is held back.
static void test_connection__takes_a_large_command(void **state) {
    enum { LEN = 700000 };
    pair one;
    fb_buf said = {0};
    pair_open(&one);
    one.bounds.in_soft = one.bounds.in_pressed = 1000;
    assert_ok(fb_buf_printf(&said, "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n", LEN));
    assert_ok(fb_buf_reserve(&said, LEN + 2));
    memset(said.ptr + said.len, 'y', LEN);
    said.len += LEN;
    assert_ok(fb_buf_append(&said, FB_STR("\r\n")));
    assert_int_equal(say(&one, fb_buf_str(&said)), said.len);
    hear(&one, 5, FB_STR("+OK\r\n"));
    fb_buf_release(&said);
    pair_close(&one);
}

// The last word is heard also by who is in the middle of saying something.
static void test_connection__last_reply_is_not_lost(void **state) {
    pair one;
    char text[64];
    pair_open(&one);
    fb_buf said = {0};
    assert_ok(fb_buf_append(&said, FB_STR("*1\r\n+")));
    assert_ok(fb_buf_reserve(&said, 3000000));
    memset(said.ptr + said.len, 'z', 3000000);
    said.len += 3000000;
    assert_int_equal(say(&one, fb_buf_str(&said)), said.len);
    assert_int_equal(recv(one.peer, text, sizeof text, 0), 44);
    assert_memory_equal(text, "-ERR Protocol error: expected '$', got '+'\r\n", 44);
    fb_buf_release(&said);
    pair_close(&one);
}

// Who does not go by himself is shown out.
static void test_connection__leaves_though_the_peer_stays(void **state) {
    pair one;
    char byte;
    pair_open(&one);
    assert_int_equal(say(&one, FB_STR("QUIT\r\n")), 6);
    hear(&one, 5, FB_STR("+OK\r\n"));
    assert_int_equal(recv(one.peer, &byte, 1, 0), 0);
    assert_int_equal(one.gone, 0);
    while (one.gone == 0) {
        assert_true(event_base_loop(one.lane.base, EVLOOP_ONCE) >= 0);
    }
    pair_close(&one);
}

// ---- what is looked at once a tick

static void tick(pair *one, int count) {
    for (int i = 0; i < count && one->gone == 0; i++) {
        fb_connection_watch_all(&one->lane);
    }
}

// Some replies that wait because nobody reads them. Returns how many.
static size_t owe(pair *one, size_t count) {
    fb_buf said = pipeline(count);
    assert_int_equal(say(one, fb_buf_str(&said)), said.len);
    fb_buf_release(&said);
    return count;
}

// Reads so much, whatever it is.
static void take(pair *one, size_t len) {
    static char bytes[PIECE_LEN];
    size_t got = 0;
    for (int idle = 0; got < len; idle++) {
        assert_true(idle < 100);
        size_t most = len - got < sizeof bytes ? len - got : sizeof bytes;
        ssize_t count = recv(one->peer, bytes, most, 0);
        got += count > 0 ? (size_t)count : 0;
        idle = count > 0 ? 0 : idle;
        turn(one);
    }
}

static void test_connection__who_is_silent_is_closed(void **state) {
    (void)state;
    pair one;
    pair_open(&one);
    uint64_t before = shared.node.closed_idle;
    tick(&one, 100);
    assert_int_equal(one.gone, 0);  // there is no such limit
    shared.node.doors.idle_s = 150;
    tick(&one, 40);
    assert_int_equal(say(&one, FB_STR("PING\r\n")), 6);
    hear(&one, 7, FB_STR("+PONG\r\n"));
    tick(&one, 150);
    assert_int_equal(one.gone, 0);
    tick(&one, 2);
    assert_int_equal(one.gone, 1);
    assert_int_equal(shared.node.closed_idle, before + 1);
    shared.node.doors.idle_s = 0;
    pair_close(&one);
}

static void test_connection__who_is_owed_more_than_the_hard_limit_is_closed(void **state) {
    (void)state;
    pair one;
    pair_open(&one);
    uint64_t before = shared.node.closed_output;
    shared.node.doors.output_hard = 300000;
    fb_buf said = pipeline(1000);
    (void)say(&one, fb_buf_str(&said));
    assert_int_equal(one.gone, 1);
    assert_int_equal(shared.node.closed_output, before + 1);
    fb_buf_release(&said);
    pair_close(&one);

    // The limit counts what waits, not what was sent.
    pair_open(&one);
    for (int i = 0; i < 20; i++) {
        hear(&one, owe(&one, 100) * reply().len, reply());
    }
    assert_int_equal(one.gone, 0);
    shared.node.doors.output_hard = 0;
    pair_close(&one);
}

static void test_connection__who_is_owed_too_much_for_too_long_is_closed(void **state) {
    (void)state;
    pair one;
    pair_open(&one);
    shared.node.doors.output_soft = 200000;
    shared.node.doors.output_soft_s = 3;
    size_t owed = owe(&one, 400);
    tick(&one, 3);
    assert_int_equal(one.gone, 0);
    hear(&one, owed * reply().len, reply());
    tick(&one, 3);
    (void)owe(&one, 400);
    tick(&one, 3);
    assert_int_equal(one.gone, 0);  // it began anew
    uint64_t before = shared.node.closed_output;
    tick(&one, 1);
    assert_int_equal(one.gone, 1);
    assert_int_equal(shared.node.closed_output, before + 1);
    shared.node.doors.output_soft = shared.node.doors.output_soft_s = 0;
    pair_close(&one);
}

static void test_connection__who_takes_next_to_nothing_is_closed(void **state) {
    (void)state;
    pair one;
    pair_open(&one);
    uint64_t before = shared.node.closed_stuck;
    (void)owe(&one, 1000);
    for (int i = 0; i < 3; i++) {
        tick(&one, 5);
        take(&one, 150000);  // enough of it
    }
    assert_int_equal(one.gone, 0);
    tick(&one, 11);
    assert_int_equal(one.gone, 1);
    assert_int_equal(shared.node.closed_stuck, before + 1);
    pair_close(&one);
}

static int open_rig(void **state) {
    (void)state;
    rig_open(&shared);
    set_big();
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection__takes_a_pipeline_before_its_replies_are_read),
        cmocka_unit_test(test_connection__answers_who_has_said_all_and_reads_late),
        cmocka_unit_test(test_connection__ends_who_only_writes),
        cmocka_unit_test(test_connection__waits_for_who_reads_slowly),
        cmocka_unit_test(test_connection__holds_less_under_pressure),
        cmocka_unit_test(test_connection__takes_a_large_command),
        cmocka_unit_test(test_connection__last_reply_is_not_lost),
        cmocka_unit_test(test_connection__leaves_though_the_peer_stays),
        cmocka_unit_test(test_connection__who_is_silent_is_closed),
        cmocka_unit_test(test_connection__who_is_owed_more_than_the_hard_limit_is_closed),
        cmocka_unit_test(test_connection__who_is_owed_too_much_for_too_long_is_closed),
        cmocka_unit_test(test_connection__who_takes_next_to_nothing_is_closed),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
