// What `forebay bench load` measures: against a server of these tests that stands still, refuses, hangs
// up or says nothing when it is told to; and its schedule, its mix and its reports without one.

#include "support.h"

#include <arpa/inet.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/json.h"
#include "cli/bench_load.h"
#include "cli/bench_load_http.h"
#include "wire/resp.h"

// ---- a server

enum { PEERS_MAX = 64 };

typedef struct script {
    uint64_t stall_at, stall_ms;  // before the answer to that command it stands still once
    uint64_t error_each, null_each;
    uint64_t hang_up_at;   // instead of an answer: all connections
    uint64_t silent_from;  // no more answers
} script;

typedef struct peer {
    int fd;
    fb_buf in;
    fb_resp_command reader;
} peer;

typedef struct server {
    script script;
    int fd, stop[2];
    pthread_t thread;
    char url[64];
    peer peers[PEERS_MAX];
    size_t peer_count;
    uint64_t commands, gets, sets, errors, get_errors, nulls;
    fb_load_plan plan;
} server;

static void say(peer *to, const char *text) {
    (void)!send(to->fd, text, strlen(text), MSG_NOSIGNAL);
}

static void stand_still(uint64_t ms) {
    struct timespec time = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    while (nanosleep(&time, &time) != 0) {
    }
}

static void answer(server *self, peer *to) {
    const script *how = &self->script;
    if (fb_str_same(to->reader.args[0], FB_STR("HELLO"))) {
        say(to, "%1\r\n+server\r\n+test\r\n");
        return;
    }
    uint64_t number = ++self->commands;
    bool get = fb_str_same(to->reader.args[0], FB_STR("GET"));
    self->gets += get;
    self->sets += !get;
    if (number == how->stall_at) {
        stand_still(how->stall_ms);
    }
    if (how->hang_up_at > 0 && number >= how->hang_up_at) {
        for (size_t i = 0; i < self->peer_count; i++) {
            (void)shutdown(self->peers[i].fd, SHUT_RDWR);
        }
    } else if (how->silent_from > 0 && number >= how->silent_from) {
        return;
    } else if (how->error_each > 0 && number % how->error_each == 0) {
        self->errors++;
        self->get_errors += get;
        say(to, number % (2 * how->error_each) == 0 ? "-BUSY now\r\n" : "-ERR no\r\n");
    } else if (get && how->null_each > 0 && number % how->null_each == 0) {
        self->nulls++;
        say(to, "_\r\n");
    } else {
        say(to, get ? "$5\r\nvalue\r\n" : "+OK\r\n");
    }
}

static void hear(server *self, peer *from) {
    fb_error error;
    FB_ASSERT(fb_buf_reserve(&from->in, 65536) == FB_OK);
    ssize_t count = recv(from->fd, from->in.ptr + from->in.len, 65536, 0);
    if (count <= 0) {
        (void)close(from->fd);
        from->fd = -1;
        return;
    }
    from->in.len += (size_t)count;
    ssize_t used;
    while ((used = fb_resp_command_read(&from->reader, fb_buf_str(&from->in),
                                        &FB_RESP_LIMITS_DEFAULT, &error)) > 0) {
        answer(self, from);
        fb_buf_consume(&from->in, (size_t)used);
    }
    FB_ASSERT(used == 0);
}

static void *serve(void *arg) {
    server *self = arg;
    struct pollfd polls[PEERS_MAX + 2];
    for (;;) {
        polls[0] = (struct pollfd){self->stop[0], POLLIN, 0};
        polls[1] = (struct pollfd){self->fd, POLLIN, 0};
        size_t count = self->peer_count;
        for (size_t i = 0; i < count; i++) {
            polls[i + 2] = (struct pollfd){self->peers[i].fd, POLLIN, 0};
        }
        FB_ASSERT(poll(polls, count + 2, -1) > 0);
        if (polls[0].revents != 0) {
            return NULL;
        }
        for (size_t i = 0; i < count; i++) {
            if (polls[i + 2].revents != 0) {
                hear(self, &self->peers[i]);
            }
        }
        if (polls[1].revents != 0) {
            int fd = accept(self->fd, NULL, NULL);
            FB_ASSERT(fd >= 0 && self->peer_count < PEERS_MAX);
            self->peers[self->peer_count++].fd = fd;
        }
    }
}

// The plan: 1,000 requests, one each millisecond, on four connections; tests change it.
static server *start(script how) {
    server *self = calloc(1, sizeof *self);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    fb_error error;
    assert_non_null(self);
    self->script = how;
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(self->fd, PEERS_MAX), 0);
    assert_int_equal(getsockname(self->fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(pipe(self->stop), 0);
    (void)snprintf(self->url, sizeof self->url, "127.0.0.1:%d", ntohs(address.sin_port));
    self->plan = (fb_load_plan){.rate = 1000, .even = true, .connections = 4, .pipeline = 2,
                                .keys = 100, .value_len = 10, .mix_count = 1,
                                .duration_ns = 1000000000, .timeout_ms = 120000, .linger_ms = 120000,
                                .seed = 1};
    self->plan.mix[0] = (fb_load_part){.kind = FB_LOAD_GET, .weight = 1};
    assert_ok(fb_address_read(fb_str_of(self->url), &self->plan.address, &error));
    assert_int_equal(pthread_create(&self->thread, NULL, serve, self), 0);
    return self;
}

// Its counts are good from then on.
static void stop(server *self) {
    assert_int_equal(write(self->stop[1], "x", 1), 1);
    assert_int_equal(pthread_join(self->thread, NULL), 0);
}

static void finish(server *self, fb_load_figures *figures) {
    for (size_t i = 0; i < self->peer_count; i++) {
        if (self->peers[i].fd >= 0) {
            (void)close(self->peers[i].fd);
        }
        fb_buf_release(&self->peers[i].in);
        fb_resp_command_release(&self->peers[i].reader);
    }
    (void)close(self->fd);
    (void)close(self->stop[0]);
    (void)close(self->stop[1]);
    free(self);
    fb_load_figures_release(figures);
}

static volatile int stopped;

static void run(server *self, fb_load_second_fn fn, void *arg, fb_load_figures *figures) {
    fb_error error;
    stopped = 0;
    assert_ok(fb_load_figures_init(figures));
    int result = fb_load_run(&self->plan, &stopped, fn, arg, figures, &error);
    if (result < 0) {
        fail_msg("%s", error.text);
    }
    stop(self);
    assert_int_equal(figures->due, figures->answered + figures->unsent + figures->unanswered);
    assert_int_equal(fb_histogram_count(figures->latency), figures->due);
}

static double quantile_ms(const fb_load_figures *figures, double quantile) {
    return fb_histogram_quantile(figures->latency, quantile) / 1e6;
}

// ---- against it

// Eight requests are under way when it stands still: to a load that waits for answers that is less
// than one in a hundred. In truth 400 of 1,000 were kept waiting.
static void test_bench_load__a_stall_counts_for_all_that_were_due_in_it(void **state) {
    (void)state;
    fb_load_figures figures;
    server *self = start((script){.stall_at = 300, .stall_ms = 400});
    run(self, NULL, NULL, &figures);
    assert_int_equal(figures.due, 1000);
    assert_true(fb_histogram_max(figures.latency) / 1e6 >= 395);
    assert_true(quantile_ms(&figures, 0.99) >= 350);
    assert_true(quantile_ms(&figures, 0.9) >= 250);
    assert_true(quantile_ms(&figures, 0.8) >= 150);
    finish(self, &figures);
}

static void test_bench_load__counts_are_what_the_server_counted(void **state) {
    (void)state;
    fb_load_figures figures;
    server *self = start((script){.error_each = 10, .null_each = 3});
    fb_error error;
    assert_ok(fb_load_mix_read(FB_STR("get=3,set=1"), &self->plan, &error));
    self->plan.zipf = 0.99;
    self->plan.even = false;
    run(self, NULL, NULL, &figures);
    assert_int_equal(figures.unanswered, 0);
    assert_int_equal(figures.answered, self->commands);
    assert_int_equal(figures.per_part[0], self->gets);
    assert_int_equal(figures.per_part[1], self->sets);
    assert_int_equal(figures.refused, self->errors);
    assert_int_equal(figures.misses, self->nulls);
    assert_int_equal(figures.error_count, 2);
    assert_int_equal(figures.errors[0].count + figures.errors[1].count, self->errors);
    assert_string_equal(figures.errors[0].name, "ERR");
    assert_string_equal(figures.errors[1].name, "BUSY");
    assert_int_equal(figures.hits, self->gets - self->nulls - self->get_errors);
    finish(self, &figures);
}

static void test_bench_load__what_is_due_in_the_warm_up_does_not_count(void **state) {
    (void)state;
    fb_load_figures figures;
    server *self = start((script){.stall_at = 1, .stall_ms = 100});
    self->plan.warmup_ns = 500000000;
    self->plan.duration_ns = 250000000;
    run(self, NULL, NULL, &figures);
    assert_int_equal(figures.due, 250);
    assert_true(self->commands > figures.answered);
    finish(self, &figures);
}

static void test_bench_load__fill_sets_each_key_once(void **state) {
    (void)state;
    fb_load_figures figures;
    server *self = start((script){.stall_at = 0});
    self->plan.fill = true;
    self->plan.keys = 5000;
    self->plan.duration_ns = 20000000;
    run(self, NULL, NULL, &figures);
    assert_int_equal(self->sets, 5000);
    assert_int_equal(figures.due, 20);
    finish(self, &figures);
}

static void test_bench_load__without_answers_the_wait_counts(void **state) {
    (void)state;
    fb_load_figures figures;
    server *self = start((script){.silent_from = 21});
    self->plan.duration_ns = 400000000;
    self->plan.linger_ms = 4000;  // enough for those that are answered
    run(self, NULL, NULL, &figures);
    assert_int_equal(figures.due, 400);
    assert_int_equal(figures.answered, 20);
    assert_int_equal(figures.unanswered, 8);
    assert_int_equal(figures.unsent, 372);
    // From when they were due until it was over.
    assert_true(fb_histogram_max(figures.latency) / 1e6 >= 395);
    assert_true(quantile_ms(&figures, 0.5) >= 190);
    finish(self, &figures);
}

static void test_bench_load__a_connection_that_is_lost_is_an_error(void **state) {
    (void)state;
    fb_load_figures figures;
    server *self = start((script){.hang_up_at = 200});
    self->plan.duration_ns = INT64_C(120) * 1000000000;
    run(self, NULL, NULL, &figures);
    assert_int_equal(figures.connections_lost, 4);
    assert_int_equal(figures.error_count, 1);
    assert_string_equal(figures.errors[0].name, "connection lost");
    assert_true(figures.unanswered >= 1);
    assert_true(figures.elapsed_ns < self->plan.duration_ns);
    finish(self, &figures);
}

static void stop_now(void *arg, const fb_load_second *second) {
    unsigned *seconds = arg;
    assert_true(second->rate > 0);
    (*seconds)++;
    stopped = 1;
}

static void test_bench_load__an_interrupt_keeps_what_there_is(void **state) {
    (void)state;
    fb_load_figures figures;
    unsigned seconds = 0;
    server *self = start((script){.stall_at = 0});
    self->plan.duration_ns = INT64_C(3000) * 1000000000;
    run(self, stop_now, &seconds, &figures);
    assert_true(figures.interrupted);
    assert_true(seconds >= 1);
    assert_true(figures.elapsed_ns >= 1000000000 && figures.elapsed_ns < self->plan.duration_ns);
    assert_int_equal(figures.due, (figures.elapsed_ns + 999999) / 1000000);
    finish(self, &figures);
}

static void test_bench_load__says_where_nobody_listens(void **state) {
    (void)state;
    fb_load_figures figures;
    fb_error error;
    server *self = start((script){.stall_at = 0});
    fb_load_plan plan = self->plan;
    stop(self);
    assert_ok(fb_load_figures_init(&figures));
    assert_ok(fb_address_read(FB_STR("unix:/nowhere/at/all"), &plan.address, &error));
    stopped = 0;
    assert_int_equal(fb_load_run(&plan, &stopped, NULL, NULL, &figures, &error), FB_EIO);
    assert_non_null(strstr(error.text, "cannot connect"));
    finish(self, &figures);
}

// ---- the schedule

static void test_bench_load__an_even_schedule_is_a_ruler(void **state) {
    (void)state;
    fb_load_schedule schedule;
    fb_rng rng;
    fb_rng_init(&rng, 1);
    fb_load_schedule_init(&schedule, 2000, true, &rng);
    for (int64_t i = 0; i < 100000; i++) {
        assert_int_equal(fb_load_due_ns(&schedule), i * 500000);
        fb_load_schedule_step(&schedule, &rng);
    }
}

// Gaps of a Poisson process: mean and deviation are the same, and exp(-1) of them are longer.
static void test_bench_load__arrivals_are_poissons(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    fb_load_schedule schedule;
    fb_rng rng;
    double sum = 0, squares = 0;
    int64_t before = 0, longer = 0;
    fb_rng_init(&rng, 7);
    fb_load_schedule_init(&schedule, 1000, false, &rng);
    for (int i = 0; i < COUNT; i++) {
        double gap = (double)(fb_load_due_ns(&schedule) - before) / 1e6;
        assert_true(gap >= 0);
        before = fb_load_due_ns(&schedule);
        sum += gap;
        squares += gap * gap;
        longer += gap > 1;
        fb_load_schedule_step(&schedule, &rng);
    }
    double mean = sum / COUNT;
    assert_true(fabs(mean - 1) < 0.02);
    assert_true(fabs(sqrt(squares / COUNT - mean * mean) - 1) < 0.03);
    assert_true(fabs((double)longer / COUNT - exp(-1)) < 0.01);
}

// ---- the mix

static void test_bench_load__a_mix_is_read_or_refused(void **state) {
    (void)state;
    static const char *const WRONG[] = {"",        "get",        "get=x",         "get=-1",     "get=0",
                                        "gets=1",  "fetch=1",    "get:x=1",       "limit:=1",   "=1",
                                        "get=1,,", "limit:a:b=1", "fetch:a:b:c",   "get=9999999"};
    fb_load_plan plan;
    fb_error error;
    assert_ok(fb_load_mix_read(FB_STR("get=80,set=0,fetch:page:id=5,limit:api=10,enqueue:work=5"), &plan,
                               &error));
    assert_int_equal(plan.mix_count, 4);
    assert_int_equal(plan.mix[1].kind, FB_LOAD_FETCH);
    assert_string_equal(plan.mix[1].name, "page");
    assert_string_equal(plan.mix[1].param, "id");
    assert_int_equal(plan.mix[1].weight, 5);
    assert_string_equal(plan.mix[2].name, "api");
    assert_int_equal(plan.mix[3].kind, FB_LOAD_ENQUEUE);
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        if (fb_load_mix_read(fb_str_of(WRONG[i]), &plan, &error) != FB_EINVAL) {
            fail_msg("'%s' was taken", WRONG[i]);
        }
    }
}

// ---- the reports

static int by_size(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double number_in(const char *json, const char *name) {
    char wanted[40];
    (void)snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(json, wanted);
    assert_non_null(at);
    return strtod(at + strlen(wanted), NULL);
}

static char *text_of(int (*write)(const fb_load_plan *plan, const fb_load_figures *figures, fb_buf *out),
                     const fb_load_plan *plan, const fb_load_figures *figures) {
    fb_buf out = {0};
    assert_ok(write(plan, figures, &out));
    char *text = malloc(out.len + 1);
    assert_non_null(text);
    memcpy(text, out.ptr, out.len);
    text[out.len] = '\0';
    fb_buf_release(&out);
    return text;
}

// ---- HTTP

static void test_bench_load__an_http_url_has_a_place_and_perhaps_a_path(void **state) {
    (void)state;
    static const struct {
        const char *url, *name, *user, *password, *path;
        bool tls;
    } right[] = {
        {"http://127.0.0.1:81", "127.0.0.1:81", "", "", "", false},
        {"http://cache.internal/", "cache.internal:8080", "", "", "", false},
        {"https://[::1]/v1/keys/a?minseq=", "[::1]:8080", "", "", "/v1/keys/a?minseq=", true},
        {"http://web:p%40@w@[::1]:81/a@b:c", "[::1]:81", "web", "p@@w", "/a@b:c", false},
    };
    static const char *const wrong[] = {"http://a:x", "http://a:0/", "http://[::1", "http://a/b c"};
    fb_address address;
    char path[FB_LOAD_PATH_SIZE];
    fb_error error;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_true(fb_load_http_is(fb_str_of(right[i].url)));
        assert_ok(fb_load_http_url(fb_str_of(right[i].url), &address, path, &error));
        assert_string_equal(address.name, right[i].name);
        assert_string_equal(address.user, right[i].user);
        assert_string_equal(address.password, right[i].password);
        assert_string_equal(path, right[i].path);
        assert_int_equal(address.tls, right[i].tls);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_result(fb_load_http_url(fb_str_of(wrong[i]), &address, path, &error), FB_EINVAL);
    }
    assert_false(fb_load_http_is(FB_STR("127.0.0.1:6380")));
}

static void test_bench_load__requests_of_http_are_those_of_the_routes(void **state) {
    (void)state;
    static const struct {
        fb_load_part part;
        const char *path, *wanted;
    } cases[] = {
        {{.kind = FB_LOAD_GET}, "", "GET /v1/keys/key:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"},
        {{.kind = FB_LOAD_SET}, "",
         "PUT /v1/keys/key:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\n"
         "Content-Type: application/octet-stream\r\n\r\nvv"},
        {{.kind = FB_LOAD_FETCH, .name = "page"}, "",
         "GET /v1/fetch/page HTTP/1.1\r\nHost: h:1\r\n\r\n"},
        {{.kind = FB_LOAD_FETCH, .name = "a/b", .param = "x y"}, "",
         "GET /v1/fetch/a%2Fb?x%20y=key:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"},
        {{.kind = FB_LOAD_LIMIT, .name = "api"}, "",
         "POST /v1/limits/check?rule=api&key=key:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 0\r\n\r\n"},
        {{.kind = FB_LOAD_ENQUEUE, .name = "work"}, "",
         "POST /v1/queues/work/jobs?raw=1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 2\r\n"
         "Content-Type: application/octet-stream\r\n\r\nvv"},
        {{.kind = FB_LOAD_SET}, "/v1/stats?window=minute",
         "GET /v1/stats?window=minute HTTP/1.1\r\nHost: h:1\r\n\r\n"},
    };
    fb_load_plan plan = {.http = true, .address = {.name = "h:1"}};
    fb_buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        out.len = 0;
        (void)snprintf(plan.path, sizeof plan.path, "%s", cases[i].path);
        assert_ok(fb_load_http_put(&plan, &cases[i].part, FB_STR("key:1"), FB_STR("vv"), &out));
        assert_str(fb_buf_str(&out), cases[i].wanted);
    }
    (void)snprintf(plan.address.user, sizeof plan.address.user, "web");
    (void)snprintf(plan.address.password, sizeof plan.address.password, "pw");
    out.len = 0;
    assert_ok(fb_load_http_put(&plan, &cases[0].part, FB_STR("a"), FB_STR(""), &out));
    assert_ok(fb_buf_byte(&out, '\0'));
    assert_non_null(strstr(out.ptr, "\r\nAuthorization: Basic d2ViOnB3\r\n"));
    fb_buf_release(&out);
}

static void test_bench_load__answers_of_http_are_read_in_any_pieces(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
        const char *body, *error;
        bool none;
    } whole[] = {
        {"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length:  5 \r\n\r\nhello", 200, "hello", "", false},
        {"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", 204, "", "", false},
        {"HTTP/1.0 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, "", "", false},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", 404, "{}", "", true},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n{\"code\":\"NOCLASS\"}", 404,
         "{\"code\":\"NOCLASS\"}", "NOCLASS", false},
        {"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, "", "HTTP 503", false},
    };
    static const char *const broken[] = {
        "HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 abc\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "-ERR no\r\n\r\n",
    };
    fb_load_http_answer answer;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        char text[FB_LOAD_ERROR_SIZE];
        bool none;
        size_t len = strlen(whole[i].text);
        for (size_t part = 0; part < len; part++) {
            assert_int_equal(fb_load_http_read(fb_str_make(whole[i].text, part), &answer), 0);
        }
        assert_int_equal(fb_load_http_read(fb_str_make(whole[i].text, len), &answer), len);
        assert_int_equal(answer.status, whole[i].status);
        assert_str(answer.body, whole[i].body);
        assert_str(fb_load_http_error(&answer, text, &none), whole[i].error);
        assert_int_equal(none, whole[i].none);
    }
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_result((int)fb_load_http_read(fb_str_of(broken[i]), &answer), FB_ESYNTAX);
    }
    assert_result((int)fb_load_http_read(FB_STR("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"),
                                         &answer),
                  FB_ETOOBIG);
}

static void test_bench_load__percentiles_are_those_of_the_sorted_answers(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    static int64_t values[COUNT];
    static const struct {
        const char *name;
        double quantile;
    } rows[] = {{"p50_ms", 0.5}, {"p90_ms", 0.9}, {"p99_ms", 0.99}, {"p999_ms", 0.999}, {"max_ms", 1}};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        fb_load_figures figures;
        fb_load_plan plan = {.rate = 1000, .connections = 1, .pipeline = 1, .keys = 1};
        fb_rng rng;
        fb_rng_init(&rng, seed);
        assert_ok(fb_load_figures_init(&figures));
        for (size_t i = 0; i < COUNT; i++) {
            values[i] = (int64_t)exp(fb_rng_unit(&rng) * 20) + 1;
            fb_histogram_record(figures.latency, values[i]);
        }
        qsort(values, COUNT, sizeof values[0], by_size);
        char *json = text_of(fb_load_json, &plan, &figures);
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            size_t rank = (size_t)ceil(rows[i].quantile * COUNT) - 1;
            double truth = (double)values[rank] / 1e6;
            if (fabs(number_in(json, rows[i].name) - truth) > truth * 0.01 + 2e-6) {
                fail_msg("seed %llu: %s is %g, not %g", (unsigned long long)seed, rows[i].name,
                         number_in(json, rows[i].name), truth);
            }
        }
        free(json);
        fb_load_figures_release(&figures);
    }
}

static void test_bench_load__the_reports_say_what_went_wrong(void **state) {
    (void)state;
    fb_load_figures figures;
    fb_load_plan plan = {.rate = 5000, .connections = 3, .pipeline = 2, .keys = 10};
    fb_error error;
    assert_ok(fb_load_figures_init(&figures));
    assert_ok(fb_load_mix_read(FB_STR("get=1,limit:api=1"), &plan, &error));
    figures.due = 100;
    figures.answered = 90;
    figures.unsent = 7;
    figures.unanswered = 3;
    figures.elapsed_ns = 1000000000;
    figures.wall_ns = 1000000000;
    fb_load_count_error(&figures, FB_STR("OOM"));
    assert_null(fb_load_doubt(&figures));
    char *text = text_of(fb_load_text, &plan, &figures);
    assert_non_null(strstr(text, "7 could not begin in time and 3 got no answer"));
    assert_non_null(strstr(text, "errors: OOM 1"));
    assert_non_null(strstr(text, "limit:api"));
    assert_non_null(strstr(text, "the server did not keep up"));
    assert_null(strstr(text, "CAUTION"));
    free(text);
    figures.cpu_ns = 950000000;
    text = text_of(fb_load_text, &plan, &figures);
    assert_non_null(strstr(text, "CAUTION: the generator"));
    free(text);
    char *json = text_of(fb_load_json, &plan, &figures);
    assert_true(fb_json_valid(fb_str_of(json)));
    free(json);
    figures.cpu_ns = 0;
    for (int i = 0; i < 1000; i++) {
        fb_histogram_record(figures.late, 20000000);
    }
    assert_non_null(fb_load_doubt(&figures));
    fb_load_figures_release(&figures);
}

static void test_bench_load__more_errors_than_rows_are_others(void **state) {
    (void)state;
    fb_load_figures figures;
    uint64_t sum = 0;
    assert_ok(fb_load_figures_init(&figures));
    for (int i = 0; i < 100; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "E%d", i % 40);
        fb_load_count_error(&figures, fb_str_of(name));
    }
    assert_int_equal(figures.error_count, FB_LOAD_ERRORS_MAX);
    for (uint32_t i = 0; i < figures.error_count; i++) {
        sum += figures.errors[i].count;
    }
    assert_int_equal(sum, 100);
    assert_string_equal(figures.errors[FB_LOAD_ERRORS_MAX - 1].name, "others");
    fb_load_figures_release(&figures);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bench_load__a_stall_counts_for_all_that_were_due_in_it),
        cmocka_unit_test(test_bench_load__counts_are_what_the_server_counted),
        cmocka_unit_test(test_bench_load__what_is_due_in_the_warm_up_does_not_count),
        cmocka_unit_test(test_bench_load__fill_sets_each_key_once),
        cmocka_unit_test(test_bench_load__without_answers_the_wait_counts),
        cmocka_unit_test(test_bench_load__a_connection_that_is_lost_is_an_error),
        cmocka_unit_test(test_bench_load__an_interrupt_keeps_what_there_is),
        cmocka_unit_test(test_bench_load__says_where_nobody_listens),
        cmocka_unit_test(test_bench_load__an_even_schedule_is_a_ruler),
        cmocka_unit_test(test_bench_load__arrivals_are_poissons),
        cmocka_unit_test(test_bench_load__a_mix_is_read_or_refused),
        cmocka_unit_test(test_bench_load__an_http_url_has_a_place_and_perhaps_a_path),
        cmocka_unit_test(test_bench_load__requests_of_http_are_those_of_the_routes),
        cmocka_unit_test(test_bench_load__answers_of_http_are_read_in_any_pieces),
        cmocka_unit_test(test_bench_load__percentiles_are_those_of_the_sorted_answers),
        cmocka_unit_test(test_bench_load__the_reports_say_what_went_wrong),
        cmocka_unit_test(test_bench_load__more_errors_than_rows_are_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
