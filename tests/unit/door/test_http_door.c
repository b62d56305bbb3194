// The HTTP door with real sockets, on a port that was free.

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "door/http.h"
#include "node_rig.h"
#include "support.h"

enum { PATIENCE_MS = 120000 };

static rig shared;
static _Atomic int accepts_failed;

static void note_log(void *arg, fb_log_level level, const char *event, const char *fields) {
    (void)arg, (void)level;
    accepts_failed += strcmp(event, "accept_failed") == 0;
    (void)fprintf(stderr, "%s %s\n", event, fields);
}

// ---- a client

static fb_http *open_with(const fb_http_limits *limits) {
    fb_http *door = NULL;
    fb_error error = {0};
    if (fb_http_open_with(&shared.node, "127.0.0.1:0", limits, &door, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return door;
}

static int dial(const fb_http *door) {
    char address[128];
    fb_http_address(door, address, sizeof address);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text) {
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);
        assert_true(sent > 0);
        text += sent;
        len -= (size_t)sent;
    }
}

// One response: what comes up to the end of its body, or to the end of the connection.
typedef struct answer {
    int status;
    char head[4096];
    char body[8192];
    size_t body_len;
} answer;

// false: the connection ended, or broke.
static bool hear_byte(int fd, char *byte) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, PATIENCE_MS) != 1) {
        fail_msg("nothing came");
    }
    return recv(fd, byte, 1, 0) == 1;
}

static const char *header_of(const answer *got, const char *name) {
    static char value[256];
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = strstr(got->head, wanted);
    if (at == NULL) {
        return "";
    }
    at += strlen(wanted);
    (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static bool hear_head(int fd, answer *got) {
    size_t len = 0;
    memset(got, 0, sizeof *got);
    while (len < 4 || memcmp(got->head + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len + 1 < sizeof got->head);
        if (!hear_byte(fd, &got->head[len++])) {
            return false;
        }
    }
    assert_int_equal(sscanf(got->head, "HTTP/1.%*d %d ", &got->status), 1);
    return true;
}

static void hear(int fd, answer *got, bool with_body) {
    if (!hear_head(fd, got)) {
        fail_msg("no answer");
    }
    size_t len = with_body ? (size_t)atoi(header_of(got, "Content-Length")) : 0;
    for (; got->body_len < len; got->body_len++) {
        assert_true(got->body_len + 1 < sizeof got->body);
        assert_true(hear_byte(fd, &got->body[got->body_len]));
    }
}

static void expect_end(int fd) {
    char byte;
    assert_false(hear_byte(fd, &byte));
    (void)close(fd);
}

// Asks and hears on a connection that stays.
static answer ask_on(int fd, const char *request) {
    answer got;
    say(fd, request);
    hear(fd, &got, strncmp(request, "HEAD", 4) != 0);
    return got;
}

static answer ask(const fb_http *door, const char *request) {
    int fd = dial(door);
    answer got = ask_on(fd, request);
    (void)close(fd);
    return got;
}

static void await_connections(const fb_http *door, uint64_t count) {
    for (int tries = 0; fb_http_connections(door) != count; tries++) {
        struct timespec moment = {0, 1000000};
        assert_true(tries < PATIENCE_MS);
        (void)nanosleep(&moment, NULL);
    }
}

#define H "\r\nHost: x\r\n\r\n"
#define DATE_LEN strlen("Sun, 06 Nov 1994 08:49:37 GMT")

// ---- talking

static void test_door__answers_with_what_http_asks_for(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    answer got = ask(door, "GET /v1/fetch/item?id=1 HTTP/1.1" H);
    assert_int_equal(got.status, 200);
    assert_string_equal(got.body, "{\"name\":\"one\"}");
    assert_string_equal(header_of(&got, "Content-Type"), "application/json");
    assert_string_equal(header_of(&got, "Server"), "forebay");
    assert_int_equal(strlen(header_of(&got, "Date")), DATE_LEN);
    assert_string_equal(header_of(&got, "Connection"), "");
    got = ask(door, "HEAD /v1/fetch/item?id=1 HTTP/1.1" H);
    assert_int_equal(got.status, 200);
    assert_string_equal(header_of(&got, "Content-Length"), "14");
    char request[256];
    (void)snprintf(request, sizeof request,
                   "GET /v1/fetch/item?id=1 HTTP/1.1\r\nIf-None-Match: %s" H,
                   header_of(&got, "ETag"));
    got = ask(door, request);
    assert_int_equal(got.status, 304);
    assert_string_equal(header_of(&got, "Content-Length"), "");
    got = ask(door, "GET http://proxy.example/healthz HTTP/1.1" H);
    assert_int_equal(got.status, 200);
    got = ask(door, "DELETE /healthz HTTP/1.1" H);
    assert_int_equal(got.status, 405);
    assert_string_equal(header_of(&got, "Allow"), "GET, HEAD, OPTIONS");
    fb_http_close(door);
}

static void test_door__keeps_connections_and_answers_pipelines_in_order(void **state) {
    (void)state;
    enum { COUNT = 50 };
    fb_http *door = open_with(NULL);
    int fd = dial(door);
    for (int i = 0; i < COUNT; i++) {
        char request[160];
        // Loads and hits, in one go: an answer that comes later holds those behind it back.
        (void)snprintf(request, sizeof request,
                       "PUT /v1/keys/k%d HTTP/1.1\r\nContent-Length: 2\r\nHost: x\r\n\r\n%02d"
                       "GET /v1/fetch/item?id=p%d HTTP/1.1" H,
                       i, i, i);
        say(fd, request);
    }
    for (int i = 0; i < COUNT; i++) {
        answer got;
        hear(fd, &got, true);
        assert_int_equal(got.status, 204);
        hear(fd, &got, true);
        assert_int_equal(got.status, 404);
    }
    answer got = ask_on(fd, "GET /v1/keys/k07 HTTP/1.1" H);
    assert_int_equal(got.status, 404);
    got = ask_on(fd, "GET /v1/keys/k7 HTTP/1.1" H);
    assert_string_equal(got.body, "07");
    got = ask_on(fd, "GET /readyz HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n");
    assert_string_equal(header_of(&got, "Connection"), "close");
    expect_end(fd);
    got = ask(door, "GET /readyz HTTP/1.0\r\n\r\n");
    assert_int_equal(got.status, 200);
    fb_http_close(door);
}

static void test_door__takes_bodies_in_any_pieces(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    int fd = dial(door);
    static const char request[] =
        "PUT /v1/keys/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n"
        "\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for (const char *at = request; *at != '\0'; at++) {
        char byte[2] = {*at, '\0'};
        say(fd, byte);
    }
    answer got;
    hear(fd, &got, true);
    assert_int_equal(got.status, 204);
    got = ask_on(fd, "GET /v1/keys/c HTTP/1.1" H);
    assert_string_equal(got.body, "abcde");
    say(fd,
        "PUT /v1/keys/c HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\nHost: x\r\n\r\n");
    assert_true(hear_head(fd, &got));
    assert_int_equal(got.status, 100);
    got = ask_on(fd, "new");
    assert_int_equal(got.status, 204);
    got = ask_on(fd, "GET /v1/keys/c HTTP/1.1" H);
    assert_string_equal(got.body, "new");
    (void)close(fd);
    fb_http_close(door);
}

// A value that is larger than the sockets' buffers comes whole, and its bytes are its own.
static void test_door__sends_large_values(void **state) {
    (void)state;
    enum { LEN = 300000, COUNT = 30 };
    static const char request[] = "GET /v1/keys/large HTTP/1.1" H;
    fb_http *door = open_with(NULL);
    char *value = malloc(LEN);
    for (size_t i = 0; i < LEN; i++) {
        value[i] = (char)('a' + i % 26);
    }
    assert_ok(fb_set(shared.engine, FB_STR("large"), fb_str_make(value, LEN), NULL));
    int fd = dial(door);
    for (int i = 0; i < COUNT; i++) {
        say(fd, request);
    }
    for (int i = 0; i < COUNT; i++) {
        answer got;
        assert_true(hear_head(fd, &got));
        assert_string_equal(header_of(&got, "Content-Length"), "300000");
        for (size_t at = 0; at < LEN;) {
            char bytes[65536];
            size_t most = LEN - at < sizeof bytes ? LEN - at : sizeof bytes;
            ssize_t count = recv(fd, bytes, most, 0);
            assert_true(count > 0);
            assert_memory_equal(bytes, value + at, (size_t)count);
            at += (size_t)count;
        }
    }
    (void)close(fd);
    free(value);
    fb_http_close(door);
}

// ---- what is no good request

static void assert_refused(const fb_http *door, const char *request, int status) {
    int fd = dial(door);
    answer got = ask_on(fd, request);
    assert_int_equal(got.status, status);
    assert_string_equal(header_of(&got, "Content-Type"), "application/problem+json");
    assert_non_null(strstr(got.body, "\"detail\""));
    assert_string_equal(header_of(&got, "Connection"), "close");
    expect_end(fd);
}

static void test_door__says_as_a_problem_what_it_cannot_read(void **state) {
    (void)state;
    fb_http *door = open_with(&(fb_http_limits){.body_len_max = 1000, .header_len_max = 2000});
    assert_refused(door, "nonsense\r\n\r\n", 400);
    assert_refused(door, "GET / HTTP/9.1" H, 400);
    assert_refused(door, "PUT /v1/keys/a HTTP/1.1\r\nContent-Length: 1\r\nExpect: tea" H, 417);
    assert_refused(door, "BREW /pot HTTP/1.1" H, 501);
    assert_refused(door, "PUT /v1/keys/a HTTP/1.1\r\nContent-Length: -1" H, 400);
    assert_refused(door, "PUT /v1/keys/a HTTP/1.1\r\nTransfer-Encoding: chunked" H "xyz\r\n", 413);
    fb_buf request = {0};
    assert_ok(fb_buf_printf(&request, "GET / HTTP/1.1\r\nX: %3000d" H, 1));
    assert_ok(fb_buf_byte(&request, '\0'));
    assert_refused(door, request.ptr, 431);
    request.len = 0;
    assert_ok(fb_buf_printf(&request, "GET /%03000d HTTP/1.1" H, 1));
    assert_ok(fb_buf_byte(&request, '\0'));
    assert_refused(door, request.ptr, 431);
    request.len = 0;
    assert_ok(
        fb_buf_printf(&request, "PUT /v1/keys/a HTTP/1.1\r\nContent-Length: 1001" H "%1001d", 1));
    assert_ok(fb_buf_byte(&request, '\0'));
    assert_refused(door, request.ptr, 413);
    fb_buf_release(&request);
    assert_int_equal(ask(door, "GET /v1/keys/a HTTP/1.1" H).status, 404);
    fb_http_close(door);
}

static void test_door__refuses_what_http_does_not_allow(void **state) {
    (void)state;
    static const struct {
        const char *request;
        int status;
    } all[] = {
        {"GET /readyz HTTP/1.1\r\n\r\n", 400},
        {"GET /readyz HTTP/1.1\r\nHost: y" H, 400},
        {"GET /readyz HTTP/1.0\r\nHost: y" H, 400},
        {"GET /readyz HTTP/1.1\r\nAccept : */*" H, 400},
        {"PUT /v1/keys/no HTTP/1.1\r\nContent-Length : 1" H "x", 400},
        {"PUT /v1/keys/no HTTP/1.1\r\nContent-Length: +1" H "x", 400},
        {"PUT /v1/keys/no HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2" H "xx", 400},
        {"PUT /v1/keys/no HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1" H "x", 400},
        {"PUT /v1/keys/no HTTP/1.1\r\nTransfer-Encoding: gzip, chunked" H "1\r\nx\r\n0\r\n\r\n",
         501},
        {"PUT /v1/keys/no HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip" H
         "1\r\nx\r\n0\r\n\r\n",
         400},
    };
    fb_http *door = open_with(NULL);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_refused(door, all[i].request, all[i].status);
        assert_result(fb_exists(shared.engine, FB_STR("no")), FB_MISS);
    }
    answer got = ask(door, "GET /readyz HTTP/1.0\r\n\r\n");
    assert_int_equal(got.status, 200);
    assert_int_equal(strlen(header_of(&got, "Date")), DATE_LEN);
    fb_http_close(door);
}

static void test_door__ends_a_connection_that_is_said_to_end(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    int fd = dial(door);
    answer got = ask_on(fd, "GET /readyz HTTP/1.1\r\nConnection: upgrade , Close" H);
    assert_int_equal(got.status, 200);
    assert_string_equal(header_of(&got, "Connection"), "close");
    expect_end(fd);
    fb_http_close(door);
}

static void test_door__knows_all_forms_of_a_target(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    assert_int_equal(ask(door, "HEAD http://proxy.example HTTP/1.1" H).status, 200);
    assert_int_equal(ask(door, "HEAD http://proxy.example?a=/v1 HTTP/1.1" H).status, 200);
    assert_int_equal(ask(door, "GET http://proxy.example/v1/stats?window=minute HTTP/1.1" H).status, 200);
    answer got = ask(door, "OPTIONS * HTTP/1.1" H);
    assert_int_equal(got.status, 204);
    assert_string_equal(header_of(&got, "Allow"), "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    assert_int_equal(ask(door, "GET * HTTP/1.1" H).status, 404);
    int fd = dial(door);  // a host in the target ends no connection
    assert_int_equal(ask_on(fd, "GET http://proxy.example/readyz HTTP/1.1" H).status, 200);
    assert_int_equal(ask_on(fd, "GET /readyz HTTP/1.1" H).status, 200);
    (void)close(fd);
    fb_http_close(door);
}

static void test_door__answers_a_newer_version_in_its_own(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    int fd = dial(door);
    char line[16] = "";
    say(fd, "GET /readyz HTTP/1.7" H);
    assert_int_equal(recv(fd, line, strlen("HTTP/1.1 200"), MSG_WAITALL), strlen("HTTP/1.1 200"));
    assert_string_equal(line, "HTTP/1.1 200");
    (void)close(fd);
    fb_http_close(door);
}

// Without a length: that of a stream is nowhere.
static void test_door__says_what_a_stream_would_begin_with(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    answer got = ask(door, "HEAD /v1/events HTTP/1.1" H);
    assert_int_equal(got.status, 200);
    assert_string_equal(header_of(&got, "Content-Type"), "text/event-stream");
    assert_string_equal(header_of(&got, "Content-Length"), "");
    fb_http_close(door);
}

// There are caches that keep for minutes what says nothing of them.
static void test_door__lets_no_cache_keep_what_is_of_this_moment(void **state) {
    (void)state;
    static const char *const all[] = {
        "HEAD / HTTP/1.1" H, "HEAD /metrics HTTP/1.1" H, "HEAD /v1/classes HTTP/1.1" H,
        "GET /v1/explain?key=a HTTP/1.1" H, "HEAD /v1/limits HTTP/1.1" H,
        "GET /v1/limits/check?rule=api&key=a HTTP/1.1" H, "GET /nothing HTTP/1.1" H,
        "BREW /readyz HTTP/1.1" H,
    };
    fb_http *door = open_with(NULL);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        answer got = ask(door, all[i]);
        assert_string_equal(header_of(&got, "Cache-Control"), "no-store");
        assert_int_equal(strlen(header_of(&got, "Date")), DATE_LEN);
    }
    fb_http_close(door);
}

// What is given at opening goes before what the configuration says, which may change meanwhile.
static void test_door__keeps_to_the_limits_in_force(void **state) {
    (void)state;
    fb_doors *doors = &shared.node.doors;
    const char *request = "PUT /v1/keys/a HTTP/1.1\r\nContent-Length: 11" H "12345678901";
    fb_http *door = open_with(NULL);
    assert_int_equal(ask(door, request).status, 204);
    doors->http_body_max = 10;
    assert_refused(door, request, 413);
    doors->http_body_max = 0;
    assert_int_equal(ask(door, request).status, 204);
    doors->http_header_max = 20;
    assert_refused(door, request, 431);
    doors->http_header_max = 0;
    int fd = dial(door);
    await_connections(door, 1);
    doors->http_idle_ms = 10;
    expect_end(fd);
    doors->http_idle_ms = 0;
    fb_http_close(door);
}

// What could be read as a second request by one of two servers in a row is the end of the
// connection.
static void test_door__never_takes_a_body_for_a_request(void **state) {
    (void)state;
    static const char *const requests[] = {
        "GET /v1/keys/none HTTP/1.1\r\nContent-Length: 49" H
        "PUT /v1/keys/evil HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
        "DELETE /v1/keys/none HTTP/1.1\r\nTransfer-Encoding: chunked" H
        "0\r\n\r\nPUT /v1/keys/evil HTTP/1.1\r\n\r\n",
        "POST /v1/invalidate HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4" H
        "0\r\n\r\nPUT /v1/keys/evil HTTP/1.1\r\n\r\n",
        "POST /v1/invalidate HTTP/1.1\r\nTransfer-Encoding: gzip, chunked" H
        "PUT /v1/keys/evil HTTP/1.1\r\n\r\n",
        "POST /v1/invalidate HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 51" H
        "{}PUT /v1/keys/evil HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
    };
    fb_http *door = open_with(NULL);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        int fd = dial(door);
        answer got = ask_on(fd, requests[i]);
        assert_string_equal(header_of(&got, "Connection"), "close");
        expect_end(fd);
        assert_result(fb_exists(shared.engine, FB_STR("evil")), FB_MISS);
    }
    fb_http_close(door);
}

// ---- limits

static void test_door__cuts_off_who_sends_too_slowly(void **state) {
    (void)state;
    fb_http *door = open_with(&(fb_http_limits){.slow_ms = 60, .idle_ms = 60000});
    int fd = dial(door);
    int other = dial(door);
    answer got;
    say(fd, "GET / HT");
    say(other, "PUT /v1/keys/slow HTTP/1.1\r\nContent-Length: 100\r\nHost: x\r\n\r\nhalf");
    hear(fd, &got, true);
    assert_int_equal(got.status, 408);
    assert_string_equal(header_of(&got, "Connection"), "close");
    expect_end(fd);
    hear(other, &got, true);
    assert_int_equal(got.status, 408);
    expect_end(other);
    // A byte now and then does not help.
    fd = dial(door);
    bool open = true;
    for (int i = 0; i < PATIENCE_MS / 5 && open; i++) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        open = send(fd, "G", 1, MSG_NOSIGNAL) == 1 && poll(&wait, 1, 5) == 0;
    }
    assert_false(open);
    (void)close(fd);
    await_connections(door, 0);
    fb_http_close(door);
}

static void test_door__cuts_off_who_takes_too_slowly(void **state) {
    (void)state;
    enum { LEN = 300000, COUNT = 100 };
    fb_http *door = open_with(&(fb_http_limits){.slow_ms = 60, .idle_ms = 60000});
    char *value = calloc(1, LEN);
    assert_ok(fb_set(shared.engine, FB_STR("wide"), fb_str_make(value, LEN), NULL));
    int fd = dial(door);
    for (int i = 0; i < COUNT; i++) {
        say(fd, "GET /v1/keys/wide HTTP/1.1" H);
    }
    await_connections(door, 0);  // we take nothing
    (void)close(fd);
    free(value);
    fb_http_close(door);
}

static void test_door__closes_the_idle(void **state) {
    (void)state;
    fb_http *door = open_with(&(fb_http_limits){.idle_ms = 4000});  // one of them speaks before
    int silent = dial(door);
    int fd = dial(door);
    assert_int_equal(ask_on(fd, "GET /readyz HTTP/1.1" H).status, 200);
    expect_end(fd);
    expect_end(silent);
    await_connections(door, 0);
    fb_http_close(door);
}

static void test_door__refuses_one_connection_too_many(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    uint64_t most = shared.node.connections_max;
    shared.node.connections_max = 2;
    int first = dial(door), second = dial(door);
    assert_int_equal(ask_on(first, "GET /readyz HTTP/1.1" H).status, 200);
    assert_int_equal(ask_on(second, "GET /readyz HTTP/1.1" H).status, 200);
    int third = dial(door);
    answer got;
    hear(third, &got, true);
    assert_int_equal(got.status, 503);
    assert_non_null(strstr(got.body, "listen.connections"));
    expect_end(third);
    (void)close(first);
    await_connections(door, 1);
    first = dial(door);
    assert_int_equal(ask_on(first, "GET /readyz HTTP/1.1" H).status, 200);
    (void)close(first);
    (void)close(second);
    await_connections(door, 0);
    shared.node.connections_max = most;
    fb_http_close(door);
}

// By the rule that node->connect_limit names.
// Without a free descriptor the listener rests; the connection waits, and is served later.
static void test_door__lives_through_lack_of_descriptors(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    char address[128];
    struct rlimit before;
    fb_http_address(door, address, sizeof address);
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = {3, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(waiting, (const struct sockaddr *)&to, sizeof to), 0);
    say(waiting, "GET /healthz HTTP/1.1" H);
    for (int tries = 0; accepts_failed == 0; tries++) {
        struct timespec moment = {0, 1000000};
        assert_true(tries < PATIENCE_MS);
        (void)nanosleep(&moment, NULL);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    answer got;
    hear(waiting, &got, true);
    assert_int_equal(got.status, 200);
    (void)close(waiting);
    fb_http_close(door);
}

static void test_door__refuses_who_comes_too_often(void **state) {
    (void)state;
    fb_error error = {0};
    shared.node.connect_limit = "connecting";
    assert_ok(fb_limit_reset(shared.engine, FB_STR("connecting"), FB_STR("127.0.0.1"), &error));
    fb_http *door = open_with(NULL);
    uint64_t refused = shared.node.connections_refused;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ask(door, "GET /readyz HTTP/1.1" H).status, 200);
    }
    int fd = dial(door);
    answer got;
    hear(fd, &got, true);
    assert_int_equal(got.status, 429);
    assert_non_null(strstr(got.body, "too many connections from this address. Try again in "));
    assert_true(atoi(header_of(&got, "Retry-After")) >= 1);
    expect_end(fd);
    await_connections(door, 0);
    fb_http_close(door);
    assert_int_equal(shared.node.connections_refused, refused + 1);
    shared.node.connect_limit = NULL;
    door = open_with(NULL);
    assert_int_equal(ask(door, "GET /readyz HTTP/1.1" H).status, 200);
    await_connections(door, 0);
    fb_http_close(door);
}

static void test_door__bounds_what_all_requests_hold_together(void **state) {
    (void)state;
    enum { LEN = 60000 };
    fb_http *door = open_with(&(fb_http_limits){.bodies_len_max = 100000, .header_len_max = 2000});
    int first = dial(door), second = dial(door);
    fb_buf request = {0};
    answer got;
    assert_ok(fb_buf_printf(&request, "PUT /v1/keys/held HTTP/1.1\r\nContent-Length: %d" H "%*d",
                            LEN + 1, LEN, 1));
    assert_ok(fb_buf_byte(&request, '\0'));
    uint64_t before = atomic_load(&shared.node.bytes_in);
    say(first, request.ptr);  // whole but for one byte
    while (atomic_load(&shared.node.bytes_in) < before + strlen(request.ptr)) {
        struct timespec moment = {0, 1000000};
        (void)nanosleep(&moment, NULL);
    }
    // All that it sent has been read: so it is the other one that is too much.
    say(second, request.ptr);
    hear(second, &got, true);
    assert_int_equal(got.status, 503);
    (void)close(second);
    got = ask_on(first, "x");
    assert_int_equal(got.status, 204);
    (void)close(first);
    fb_buf_release(&request);
    fb_http_close(door);
}

// ---- answers that come later

static void test_door__lets_many_wait_for_one_load(void **state) {
    (void)state;
    enum { COUNT = 100 };
    fb_http *door = open_with(NULL);
    rig_gate gate;
    int fds[COUNT];
    answer got;
    rig_hold(&shared, &gate, "many", FB_OK);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(door);
        say(fds[i], "GET /v1/fetch/item?id=many HTTP/1.1" H);
    }
    // What another connection asks meanwhile does not wait.
    assert_int_equal(ask(door, "GET /readyz HTTP/1.1" H).status, 200);
    rig_release(&gate);
    for (int i = 0; i < COUNT; i++) {
        hear(fds[i], &got, true);
        assert_int_equal(got.status, 200);
        assert_string_equal(got.body, "held");
        (void)close(fds[i]);
    }
    fb_http_close(door);
}

static void test_door__forgets_who_left_before_the_answer(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    rig_gate gate;
    rig_hold(&shared, &gate, "left", FB_OK);
    uint64_t before = atomic_load(&shared.node.http_requests);
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = dial(door);
        say(fds[i], "GET /v1/fetch/item?id=left HTTP/1.1" H);
        if (i % 2 == 0) {
            say(fds[i], "GET /v1/keys/pipelined HTTP/1.1" H);
        }
    }
    while (atomic_load(&shared.node.http_requests) < before + 20) {
    }
    for (int i = 0; i < 20; i++) {
        // Half of them with a reset, which the server notices at once when it writes.
        struct linger reset = {1, 0};
        assert_int_equal(
            setsockopt(fds[i], SOL_SOCKET, SO_LINGER, &reset, i % 4 < 2 ? sizeof reset : 0) == 0,
            i % 4 < 2);
        (void)close(fds[i]);
    }
    rig_release(&gate);
    await_connections(door, 0);
    fb_http_close(door);
}

static void test_door__closes_while_answers_are_still_to_come(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    rig_gate gate;
    rig_hold(&shared, &gate, "late", FB_OK);
    uint64_t before = atomic_load(&shared.node.http_requests);
    int fd = dial(door);
    int fresh = dial(door);  // perhaps not even known yet
    say(fd, "GET /v1/fetch/item?id=late HTTP/1.1" H);
    while (atomic_load(&shared.node.http_requests) == before) {
    }
    fb_http_close(door);
    expect_end(fd);
    (void)close(fresh);
    rig_release(&gate);  // the answer goes nowhere
}

// ---- stopping

static void test_door__answers_what_is_under_way_while_it_drains(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    rig_gate gate;
    answer got;
    rig_hold(&shared, &gate, "drained", FB_OK);
    int fd = dial(door), other = dial(door);
    uint64_t before = atomic_load(&shared.node.http_requests);
    say(fd, "GET /v1/fetch/item?id=drained HTTP/1.1" H);
    while (atomic_load(&shared.node.http_requests) == before) {
    }
    assert_int_equal(ask_on(other, "GET /healthz HTTP/1.1" H).status, 200);
    atomic_store(&shared.node.draining, true);
    fb_http_stop(door);
    fb_http_stop(door);
    got = ask_on(other, "GET /readyz HTTP/1.1" H);
    assert_int_equal(got.status, 503);
    assert_string_equal(header_of(&got, "Connection"), "close");
    expect_end(other);
    rig_release(&gate);
    hear(fd, &got, true);
    assert_string_equal(got.body, "held");
    assert_string_equal(header_of(&got, "Connection"), "close");
    expect_end(fd);
    await_connections(door, 0);
    fb_http_close(door);
    atomic_store(&shared.node.draining, false);
}

static void *let_go(void *arg) {
    rig_release(arg);
    return NULL;
}

static void test_door__drains_to_the_last_byte(void **state) {
    (void)state;
    enum { COUNT = 20 };
    fb_http *door = open_with(NULL);
    rig_gate gate;
    pthread_t other;
    int fds[COUNT], idle = dial(door);
    answer got;
    assert_int_equal(ask_on(idle, "GET /healthz HTTP/1.1" H).status, 200);
    rig_hold(&shared, &gate, "last", FB_OK);
    uint64_t before = atomic_load(&shared.node.http_requests);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial(door);
        say(fds[i], "GET /v1/fetch/item?id=last HTTP/1.1" H);
    }
    while (atomic_load(&shared.node.http_requests) < before + COUNT) {
    }
    assert_result(fb_http_drain(door, 20), FB_ETIMEDOUT);
    expect_end(idle);
    await_connections(door, COUNT);
    assert_int_equal(pthread_create(&other, NULL, let_go, &gate), 0);
    assert_ok(fb_http_drain(door, PATIENCE_MS));
    fb_http_close(door);
    for (int i = 0; i < COUNT; i++) {
        hear(fds[i], &got, true);
        assert_string_equal(got.body, "held");
        expect_end(fds[i]);
    }
    pthread_join(other, NULL);
}

// ---- addresses

static void test_door__listens_on_a_unix_socket(void **state) {
    (void)state;
    char address[128];
    fb_http *door = NULL;
    fb_error error = {0};
    (void)snprintf(address, sizeof address, "unix:%s/http.sock", shared.folder);
    assert_ok(fb_http_open(&shared.node, address, &door, &error));
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s/http.sock", shared.folder);
    for (int i = 0; i < 20; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
        answer got = ask_on(fd, "GET /readyz HTTP/1.1" H);
        assert_int_equal(got.status, 200);
        (void)close(fd);
    }
    fb_http_close(door);
    assert_int_not_equal(access(to.sun_path, F_OK), 0);
}

static void test_door__says_why_it_cannot_listen(void **state) {
    (void)state;
    fb_http *door = open_with(NULL);
    fb_http *second = NULL;
    fb_error error = {0};
    char address[128];
    fb_http_address(door, address, sizeof address);
    assert_result(fb_http_open(&shared.node, address, &second, &error), FB_EIO);
    assert_non_null(strstr(error.text, address));
    assert_result(fb_http_open(&shared.node, "nowhere", &second, &error), FB_EINVAL);
    fb_http_close(door);
    fb_http_close(NULL);
}

// ----

static int open_rig(void **state) {
    static const fb_hooks hooks = {.log = note_log};
    (void)state;
    fb_hooks_set(&hooks);
    rig_open(&shared);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    assert_int_equal(atomic_load(&shared.node.connections), 0);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_door__answers_with_what_http_asks_for),
        cmocka_unit_test(test_door__keeps_connections_and_answers_pipelines_in_order),
        cmocka_unit_test(test_door__takes_bodies_in_any_pieces),
        cmocka_unit_test(test_door__sends_large_values),
        cmocka_unit_test(test_door__says_as_a_problem_what_it_cannot_read),
        cmocka_unit_test(test_door__refuses_what_http_does_not_allow),
        cmocka_unit_test(test_door__ends_a_connection_that_is_said_to_end),
        cmocka_unit_test(test_door__knows_all_forms_of_a_target),
        cmocka_unit_test(test_door__answers_a_newer_version_in_its_own),
        cmocka_unit_test(test_door__says_what_a_stream_would_begin_with),
        cmocka_unit_test(test_door__lets_no_cache_keep_what_is_of_this_moment),
        cmocka_unit_test(test_door__keeps_to_the_limits_in_force),
        cmocka_unit_test(test_door__never_takes_a_body_for_a_request),
        cmocka_unit_test(test_door__cuts_off_who_sends_too_slowly),
        cmocka_unit_test(test_door__cuts_off_who_takes_too_slowly),
        cmocka_unit_test(test_door__closes_the_idle),
        cmocka_unit_test(test_door__refuses_one_connection_too_many),
        cmocka_unit_test(test_door__lives_through_lack_of_descriptors),
        cmocka_unit_test(test_door__refuses_who_comes_too_often),
        cmocka_unit_test(test_door__bounds_what_all_requests_hold_together),
        cmocka_unit_test(test_door__lets_many_wait_for_one_load),
        cmocka_unit_test(test_door__forgets_who_left_before_the_answer),
        cmocka_unit_test(test_door__closes_while_answers_are_still_to_come),
        cmocka_unit_test(test_door__answers_what_is_under_way_while_it_drains),
        cmocka_unit_test(test_door__drains_to_the_last_byte),
        cmocka_unit_test(test_door__listens_on_a_unix_socket),
        cmocka_unit_test(test_door__says_why_it_cannot_listen),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
