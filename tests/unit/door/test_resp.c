// The RESP door with real sockets, on a port that was free.

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "door/resp.h"
#include "node_rig.h"
#include "support.h"

enum { PATIENCE_MS = 120000 };

static rig shared;

// ---- a client

static int port_of(const fb_resp_door *door) {
    return atoi(strrchr(fb_resp_address(door), ':') + 1);
}

static int dial(const fb_resp_door *door) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port_of(door)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, fb_str bytes) {
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes.ptr += sent;
        bytes.len -= (size_t)sent;
    }
}

// Up to `len` bytes; less only where the peer closed. What comes is checked to be `expected`, again
// and again, where that is given.
static size_t hear(int fd, size_t len, fb_str expected) {
    char bytes[65536];
    size_t got = 0;
    while (got < len) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, PATIENCE_MS) != 1) {
            fail_msg("heard %zu bytes of %zu", got, len);
        }
        size_t most = len - got < sizeof bytes ? len - got : sizeof bytes;
        ssize_t count = recv(fd, bytes, most, 0);
        if (count <= 0) {
            break;
        }
        for (ssize_t i = 0; i < count && expected.len > 0; i++) {
            assert_int_equal(bytes[i], expected.ptr[(got + (size_t)i) % expected.len]);
        }
        got += (size_t)count;
    }
    return got;
}

static void expect(int fd, const char *text) {
    assert_int_equal(hear(fd, strlen(text), fb_str_of(text)), strlen(text));
}

static void expect_end(int fd) {
    char byte;
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
}

static fb_resp_door *open_door(void) {
    fb_resp_door *door = NULL;
    fb_error error = {0};
    assert_ok(fb_resp_open(&shared.node, FB_STR("127.0.0.1:0"), &door, &error));
    return door;
}

static void await_connections(const fb_resp_door *door, uint64_t count) {
    for (int tries = 0; fb_resp_connections(door) != count; tries++) {
        assert_true(tries < PATIENCE_MS);
        struct timespec moment = {0, 1000000};
        (void)nanosleep(&moment, NULL);
    }
}

// ---- talking

static void test_resp__answers_pipelines(void **state) {
    fb_resp_door *door = open_door();
    int fd = dial(door);
    fb_buf stream = {0};
    enum { COUNT = 20000 };
    say(fd, FB_STR("SET k 0123456789\r\n"));
    expect(fd, "+OK\r\n");
    for (int i = 0; i < COUNT; i++) {
        assert_ok(fb_buf_append(&stream, FB_STR("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")));
    }
    say(fd, fb_buf_str(&stream));
    fb_str one = FB_STR("$10\r\n0123456789\r\n");
    assert_int_equal(hear(fd, one.len * COUNT, one), one.len * COUNT);
    fb_buf_release(&stream);
    (void)close(fd);
    fb_resp_close(door);
}

static void test_resp__puts_commands_together(void **state) {
    fb_resp_door *door = open_door();
    int fd = dial(door);
    fb_str command = FB_STR("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n");
    for (size_t i = 0; i < command.len; i++) {
        say(fd, fb_str_make(command.ptr + i, 1));
    }
    expect(fd, "+OK\r\n");
    (void)close(fd);
    fb_resp_close(door);
}

static void test_resp__takes_large_values(void **state) {
    fb_resp_door *door = open_door();
    int fd = dial(door);
    fb_buf command = {0};
    enum { LEN = 300000, COUNT = 20 };
    assert_ok(fb_buf_printf(&command, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n", LEN));
    assert_ok(fb_buf_reserve(&command, LEN));
    memset(command.ptr + command.len, 'x', LEN);
    command.len += LEN;
    assert_ok(fb_buf_append(&command, FB_STR("\r\nSTRLEN big\r\n")));
    for (int i = 0; i < COUNT; i++) {
        say(fd, fb_buf_str(&command));
    }
    fb_str one = FB_STR("+OK\r\n:300000\r\n");
    assert_int_equal(hear(fd, one.len * COUNT, one), one.len * COUNT);
    fb_buf_release(&command);
    (void)close(fd);
    fb_resp_close(door);
}

// "printf 'PING\r\n' | nc": all is said, and that nothing more will come, before the first reply.
static void test_resp__answers_who_has_said_all(void **state) {
    fb_resp_door *door = open_door();
    rig_gate gate;
    int fd = dial(door);
    rig_hold(&shared, &gate, "70", FB_OK);
    say(fd, FB_STR("PING\r\nFB.FETCH item id 70\r\nFB.FETCH item id 1\r\nECHO x\r\nGET"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    expect(fd, "+PONG\r\n");
    rig_release(&gate);
    expect(fd, "$4\r\nheld\r\n$14\r\n{\"name\":\"one\"}\r\n$1\r\nx\r\n");
    expect_end(fd);
    await_connections(door, 0);
    fb_resp_close(door);
}

static void test_resp__closes_after_quit_and_nonsense(void **state) {
    fb_resp_door *door = open_door();
    int one = dial(door);
    int two = dial(door);
    say(one, FB_STR("PING\r\nQUIT\r\n"));
    expect(one, "+PONG\r\n+OK\r\n");
    expect_end(one);
    say(two, FB_STR("*1\r\n+\r\n"));
    expect(two, "-ERR Protocol error: expected '$', got '+'\r\n");
    expect_end(two);
    fb_resp_close(door);
}

// Who asks for far more than he reads is held back, then served; others are served meanwhile.
static void test_resp__waits_for_slow_readers(void **state) {
    fb_resp_door *door = open_door();
    int slow = dial(door);
    fb_buf stream = {0};
    enum { LEN = 100000, COUNT = 1000 };
    assert_ok(fb_buf_printf(&stream, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n", LEN));
    assert_ok(fb_buf_reserve(&stream, LEN));
    memset(stream.ptr + stream.len, 'x', LEN);
    stream.len += LEN;
    assert_ok(fb_buf_append(&stream, FB_STR("\r\n")));
    for (int i = 0; i < COUNT; i++) {
        assert_ok(fb_buf_append(&stream, FB_STR("STRLEN big\r\nGET big\r\n")));
    }
    say(slow, fb_buf_str(&stream));
    expect(slow, "+OK\r\n");
    for (int i = 0; i < 20; i++) {  // on both loops
        int fd = dial(door);
        say(fd, FB_STR("PING\r\n"));
        expect(fd, "+PONG\r\n");
        (void)close(fd);
    }
    uint64_t said = atomic_load(&shared.node.bytes_out);
    assert_true(said < (uint64_t)LEN * COUNT / 2);
    stream.len = 0;
    assert_ok(fb_buf_printf(&stream, ":%d\r\n$%d\r\n", LEN, LEN));
    assert_ok(fb_buf_reserve(&stream, LEN));
    memset(stream.ptr + stream.len, 'x', LEN);
    stream.len += LEN;
    assert_ok(fb_buf_append(&stream, FB_STR("\r\n")));
    fb_str one = fb_buf_str(&stream);
    assert_int_equal(hear(slow, one.len * COUNT, one), one.len * COUNT);
    fb_buf_release(&stream);
    (void)close(slow);
    fb_resp_close(door);
}

static void test_resp__survives_peers_that_vanish(void **state) {
    fb_resp_door *door = open_door();
    rig_gate gate;
    rig_hold(&shared, &gate, "71", FB_OK);
    for (int i = 0; i < 50; i++) {
        int fd = dial(door);
        struct linger at_once = {1, 0};
        say(fd, FB_STR("FB.FETCH item id 71\r\nGET big\r\nGET big\r\nGET"));
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
        (void)close(fd);
    }
    rig_release(&gate);
    await_connections(door, 0);
    fb_resp_close(door);
}

// ---- many, and too many

static void test_resp__serves_a_thousand(void **state) {
    enum { COUNT = 1000 };
    struct rlimit limit;
    static int fds[COUNT];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * COUNT + 100) {
        skip();
    }
    fb_resp_door *door = open_door();
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(door);
    }
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            say(fds[i], FB_STR("SET n x\r\nPING\r\n"));
        }
        for (int i = 0; i < COUNT; i++) {
            expect(fds[i], "+OK\r\n+PONG\r\n");
        }
    }
    assert_int_equal(fb_resp_connections(door), COUNT);
    for (int i = 0; i < COUNT; i++) {
        (void)close(fds[i]);
    }
    await_connections(door, 0);
    fb_resp_close(door);
}

static void test_resp__turns_away_too_many(void **state) {
    uint64_t before = shared.node.connections_max;
    shared.node.connections_max = 2;
    fb_resp_door *door = open_door();
    int one = dial(door);
    int two = dial(door);
    say(one, FB_STR("PING\r\n"));
    expect(one, "+PONG\r\n");
    say(two, FB_STR("PING\r\n"));
    expect(two, "+PONG\r\n");
    int three = dial(door);
    expect(three, "-ERR max number of clients reached\r\n");
    expect_end(three);
    (void)close(one);
    await_connections(door, 1);
    int four = dial(door);
    say(four, FB_STR("PING\r\n"));
    expect(four, "+PONG\r\n");
    (void)close(two);
    (void)close(four);
    fb_resp_close(door);
    shared.node.connections_max = before;
}

// Without a free descriptor the listener rests; the connection waits, and is served later.
static void test_resp__lives_through_lack_of_descriptors(void **state) {
    fb_resp_door *door = open_door();
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int fd = dial(door);
    say(fd, FB_STR("PING\r\n"));
    expect(fd, "+PONG\r\n");
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit none = {3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port_of(door)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(waiting, (const struct sockaddr *)&to, sizeof to), 0);
    say(waiting, FB_STR("PING\r\n"));
    say(fd, FB_STR("PING\r\n"));
    expect(fd, "+PONG\r\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect(waiting, "+PONG\r\n");
    (void)close(fd);
    (void)close(waiting);
    fb_resp_close(door);
}

// ---- where it listens

static void test_resp__refuses_a_port_that_is_taken(void **state) {
    fb_resp_door *door = open_door();
    fb_resp_door *other = NULL;
    fb_error error = {0};
    char expected[200];
    fb_str address = fb_str_of(fb_resp_address(door));
    assert_result(fb_resp_open(&shared.node, address, &other, &error), FB_EIO);
    (void)snprintf(expected, sizeof expected, "cannot listen on %.*s: Address already in use",
                   FB_STR_ARG(address));
    assert_string_equal(error.text, expected);
    fb_resp_close(door);
    fb_resp_close(NULL);
}

static void test_resp__refuses_what_is_no_address(void **state) {
    static const char *const wrong[] = {
        "",         "127.0.0.1", "127.0.0.1:",       "127.0.0.1:x",
        "::1:6380", "unix:",     "127.0.0.1:123456", "127.0.0.1:-1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fb_resp_door *door = NULL;
        fb_error error = {0};
        assert_result(fb_resp_open(&shared.node, fb_str_of(wrong[i]), &door, &error), FB_EINVAL);
        assert_true(error.text[0] != '\0');
    }
    fb_resp_door *door = NULL;
    fb_error error = {0};
    assert_result(fb_resp_open(&shared.node, FB_STR("203.0.113.1:0"), &door, &error), FB_EIO);
    assert_non_null(strstr(error.text, "203.0.113.1:0"));
}

static int dial_path(const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(strlen(path) < sizeof to.sun_path);
    memcpy(to.sun_path, path, strlen(path));
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void test_resp__listens_on_a_path(void **state) {
    fb_resp_door *door = NULL;
    fb_resp_door *other = NULL;
    fb_error error = {0};
    char address[160];
    (void)snprintf(address, sizeof address, "unix:%s/resp.sock", shared.folder);
    const char *path = address + strlen("unix:");
    assert_ok(fb_resp_open(&shared.node, fb_str_of(address), &door, &error));
    assert_string_equal(fb_resp_address(door), address);
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = dial_path(path);
        say(fds[i], FB_STR("PING\r\n"));
        expect(fds[i], "+PONG\r\n");
    }
    assert_result(fb_resp_open(&shared.node, fb_str_of(address), &other, &error), FB_EIO);
    for (int i = 0; i < 6; i++) {
        (void)close(fds[i]);
    }
    fb_resp_close(door);
    assert_int_equal(access(path, F_OK), -1);
}

// By the rule that node->connect_limit names; a Unix socket has no address.
static void test_resp__turns_away_who_comes_too_often(void **state) {
    (void)state;
    fb_error error = {0};
    char address[160];
    shared.node.connect_limit = "connecting";
    assert_ok(fb_limit_reset(shared.engine, FB_STR("connecting"), FB_STR("127.0.0.1"), &error));
    fb_resp_door *door = open_door();
    uint64_t refused = shared.node.connections_refused;
    for (int i = 0; i < 2; i++) {
        int fd = dial(door);
        say(fd, FB_STR("PING\r\n"));
        expect(fd, "+PONG\r\n");
        (void)close(fd);
    }
    int fd = dial(door);
    expect(fd, "-ERR max connections rate reached. Try again in ");
    while (hear(fd, 1, FB_STR("")) == 1) {
    }
    expect_end(fd);
    fb_resp_close(door);
    assert_int_equal(shared.node.connections_refused, refused + 1);
    (void)snprintf(address, sizeof address, "unix:%s/limited.sock", shared.folder);
    assert_ok(fb_resp_open(&shared.node, fb_str_of(address), &door, &error));
    for (int i = 0; i < 4; i++) {
        fd = dial_path(address + strlen("unix:"));
        say(fd, FB_STR("PING\r\n"));
        expect(fd, "+PONG\r\n");
        (void)close(fd);
    }
    fb_resp_close(door);
    shared.node.connect_limit = NULL;
}

typedef struct caller {
    struct sockaddr_un to;
    atomic_bool stop;
} caller;

// Calls all the time, also while nobody listens yet.
static void *call_and_call(void *arg) {
    caller *one = arg;
    while (!atomic_load(&one->stop)) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (const struct sockaddr *)&one->to, sizeof one->to) == 0) {
            char reply[16];
            if (send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6) {
                (void)!read(fd, reply, sizeof reply);
            }
        }
        (void)close(fd);
    }
    return NULL;
}

// Connects and asks once, so that it is known to be served.
static int dial_and_ask(const fb_resp_door *door) {
    int fd = dial(door);
    say(fd, FB_STR("PING\r\n"));
    expect(fd, "+PONG\r\n");
    return fd;
}

static void expect_dealt(const fb_resp_door *door, uint64_t first, uint64_t second) {
    assert_int_equal(fb_resp_connections_on(door, 0), first);
    assert_int_equal(fb_resp_connections_on(door, 1), second);
}

static void test_resp__few_clients_share_a_loop_and_many_all_loops(void **state) {
    enum { FILL = 6, COUNT = 40 };
    int fds[COUNT];
    uint64_t before = atomic_load(&shared.node.doors.loop_clients);
    atomic_store(&shared.node.doors.loop_clients, FILL);
    fb_resp_door *door = open_door();
    for (int i = 0; i < FILL; i++) {
        fds[i] = dial_and_ask(door);
        expect_dealt(door, (uint64_t)i + 1, 0);
    }
    // The second loop is used now, and gets all until it has as many.
    for (int i = FILL; i < COUNT; i++) {
        fds[i] = dial_and_ask(door);
        uint64_t count = (uint64_t)i + 1;
        uint64_t second = count < 2 * FILL ? count - FILL : count / 2;
        expect_dealt(door, count - second, second);
    }
    // Those of one loop go: it is where the next ones come to.
    for (int i = 0; i < FILL; i++) {
        (void)close(fds[i]);
    }
    await_connections(door, COUNT - FILL);
    expect_dealt(door, COUNT / 2 - FILL, COUNT / 2);
    fds[0] = dial_and_ask(door);
    expect_dealt(door, COUNT / 2 - FILL + 1, COUNT / 2);
    (void)close(fds[0]);
    for (int i = FILL; i < COUNT; i++) {
        (void)close(fds[i]);
    }
    await_connections(door, 0);
    expect_dealt(door, 0, 0);
    fb_resp_close(door);
    atomic_store(&shared.node.doors.loop_clients, before);
}

static void test_resp__clients_are_dealt_evenly_where_nothing_is_said(void **state) {
    int fds[9];
    fb_resp_door *door = open_door();
    assert_int_equal(atomic_load(&shared.node.doors.loop_clients), 0);
    for (uint64_t i = 0; i < 9; i++) {
        fds[i] = dial_and_ask(door);
        expect_dealt(door, i / 2 + 1, (i + 1) / 2);
    }
    for (int i = 0; i < 9; i++) {
        (void)close(fds[i]);
    }
    fb_resp_close(door);
}

// One loop accepts for all, and may be quick to deal to another.
static void test_resp__may_be_called_before_all_loops_are_ready(void **state) {
    char address[160];
    fb_error error = {0};
    caller one = {.to = {.sun_family = AF_UNIX}};
    pthread_t threads[4];
    (void)snprintf(address, sizeof address, "unix:%s/early.sock", shared.folder);
    const char *path = address + strlen("unix:");
    assert_true(strlen(path) < sizeof one.to.sun_path);
    memcpy(one.to.sun_path, path, strlen(path));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_and_call, &one), 0);
    }
    for (int i = 0; i < 200; i++) {
        fb_resp_door *door = NULL;
        assert_ok(fb_resp_open(&shared.node, fb_str_of(address), &door, &error));
        fb_resp_close(door);
    }
    atomic_store(&one.stop, true);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void test_resp__has_a_socket_of_its_user_beside(void **state) {
    fb_resp_door *door = NULL, *own = NULL;
    fb_error error = {0};
    struct stat info;
    char path[160], group[160];
    (void)snprintf(path, sizeof path, "%s/own.sock", shared.folder);
    (void)snprintf(group, sizeof group, "%s/group.sock", shared.folder);
    assert_ok(fb_resp_open(&shared.node, FB_STR("127.0.0.1:0"), &door, &error));
    const char *address = shared.node.resp_address;
    assert_ok(fb_resp_open_own(&shared.node, path, UINT32_MAX, &own, &error));
    assert_ptr_equal(shared.node.resp_address, address);
    assert_string_equal(shared.node.socket_path, path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    int fd = dial_path(path);
    say(fd, FB_STR("PING\r\nFB.REGION\r\n"));
    expect(fd, "+PONG\r\n*10\r\n$4\r\nfile\r\n$-1\r\n$5\r\nhints\r\n$-1\r\n");
    // At its end whoever is connected goes, and nobody comes; who is at the other door may still be
    // told where it was.
    fb_resp_end(own);
    char rest[256];
    ssize_t count;
    while ((count = recv(fd, rest, sizeof rest, 0)) > 0) {
    }
    assert_int_equal(count, 0);
    (void)close(fd);
    assert_int_equal(fb_resp_connections(own), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_string_equal(shared.node.socket_path, path);
    fb_resp_end(own);
    fb_resp_close(own);
    assert_null(shared.node.socket_path);
    assert_ok(fb_resp_open_own(&shared.node, group, (uint32_t)getegid(), &own, &error));
    assert_int_equal(stat(group, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0660);
    fb_resp_close(own);
    fb_resp_close(door);
    assert_result(fb_resp_open_own(&shared.node, "/no/such/folder/a.sock", UINT32_MAX, &own, &error),
                  FB_EIO);
}

static void test_resp__replaces_a_path_left_over(void **state) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    fb_resp_door *door = NULL;
    fb_error error = {0};
    char address[160];
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s/old.sock", shared.folder);
    (void)snprintf(address, sizeof address, "unix:%s", to.sun_path);
    int left = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(left, (const struct sockaddr *)&to, sizeof to), 0);
    (void)close(left);
    assert_ok(fb_resp_open(&shared.node, fb_str_of(address), &door, &error));
    fb_resp_close(door);
    (void)snprintf(address, sizeof address, "unix:%s", shared.path);  // a file of somebody's
    assert_result(fb_resp_open(&shared.node, fb_str_of(address), &door, &error), FB_EIO);
    assert_int_equal(access(shared.path, F_OK), 0);
}

// ---- the end

static void test_resp__drains(void **state) {
    fb_resp_door *door = open_door();
    rig_gate gate;
    int idle = dial(door);
    int busy = dial(door);
    int halfway = dial(door);
    say(idle, FB_STR("PING\r\n"));
    expect(idle, "+PONG\r\n");
    rig_hold(&shared, &gate, "80", FB_OK);
    say(busy, FB_STR("PING\r\nFB.FETCH item id 80\r\n"));
    expect(busy, "+PONG\r\n");
    say(halfway, FB_STR("PING\r\nGET"));
    expect(halfway, "+PONG\r\n");
    assert_result(fb_resp_drain(door, 50), FB_ETIMEDOUT);
    expect_end(idle);
    await_connections(door, 2);
    say(halfway, FB_STR(" none\r\n"));
    expect(halfway, "$-1\r\n");
    expect_end(halfway);
    rig_release(&gate);
    expect(busy, "$4\r\nheld\r\n");
    expect_end(busy);
    assert_ok(fb_resp_drain(door, 10000));
    fb_resp_close(door);
}

static void test_resp__closes_whoever_is_left(void **state) {
    fb_resp_door *door = open_door();
    rig_gate gate;
    int fd = dial(door);
    rig_hold(&shared, &gate, "81", FB_OK);
    say(fd, FB_STR("PING\r\nFB.FETCH item id 81\r\n"));
    expect(fd, "+PONG\r\n");
    fb_resp_close(door);
    expect_end(fd);
    rig_release(&gate);
    assert_int_equal(atomic_load(&shared.node.connections), 0);
}

static int open_rig(void **state) {
    (void)state;
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
        cmocka_unit_test(test_resp__answers_pipelines),
        cmocka_unit_test(test_resp__puts_commands_together),
        cmocka_unit_test(test_resp__takes_large_values),
        cmocka_unit_test(test_resp__answers_who_has_said_all),
        cmocka_unit_test(test_resp__closes_after_quit_and_nonsense),
        cmocka_unit_test(test_resp__waits_for_slow_readers),
        cmocka_unit_test(test_resp__survives_peers_that_vanish),
        cmocka_unit_test(test_resp__serves_a_thousand),
        cmocka_unit_test(test_resp__turns_away_too_many),
        cmocka_unit_test(test_resp__turns_away_who_comes_too_often),
        cmocka_unit_test(test_resp__lives_through_lack_of_descriptors),
        cmocka_unit_test(test_resp__refuses_a_port_that_is_taken),
        cmocka_unit_test(test_resp__refuses_what_is_no_address),
        cmocka_unit_test(test_resp__listens_on_a_path),
        cmocka_unit_test(test_resp__few_clients_share_a_loop_and_many_all_loops),
        cmocka_unit_test(test_resp__clients_are_dealt_evenly_where_nothing_is_said),
        cmocka_unit_test(test_resp__may_be_called_before_all_loops_are_ready),
        cmocka_unit_test(test_resp__has_a_socket_of_its_user_beside),
        cmocka_unit_test(test_resp__replaces_a_path_left_over),
        cmocka_unit_test(test_resp__drains),
        cmocka_unit_test(test_resp__closes_whoever_is_left),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
