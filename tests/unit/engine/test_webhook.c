// The built-in worker that posts jobs, against a server of the test's own.

#include "queues_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/socket.h>

static queues_answer answer;

// ---- an application

enum { REQUEST_MAX = 8192 };
typedef struct app {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *reply;       // what it says, whole; NULL: nothing, ever
    int count;               // requests so far
    char request[REQUEST_MAX];  // the last one
    bool hold;               // it does not answer yet
} app;

// Up to the end of its body; how long it is, or 0: the connection ended.
static size_t hear(int fd, char *text) {
    size_t len = 0, wanted = SIZE_MAX;
    while (len < wanted && len < REQUEST_MAX - 1) {
        ssize_t got = read(fd, text + len, REQUEST_MAX - 1 - len);
        if (got <= 0) {
            return 0;
        }
        len += (size_t)got;
        text[len] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        const char *body = strcasestr(text, "\r\nContent-Length:");
        if (end != NULL) {
            wanted = (size_t)(end - text) + 4 +
                     (body != NULL ? (size_t)strtoul(body + 17, NULL, 10) : 0);
        }
    }
    return len;
}

static void serve(app *one, int fd) {
    char text[REQUEST_MAX];
    while (hear(fd, text) > 0) {
        pthread_mutex_lock(&one->lock);
        memcpy(one->request, text, sizeof text);
        one->count++;
        pthread_cond_broadcast(&one->changed);
        while (one->hold) {
            pthread_cond_wait(&one->changed, &one->lock);
        }
        const char *reply = one->reply;
        pthread_mutex_unlock(&one->lock);
        if (write(fd, reply, strlen(reply)) < 0) {
            break;
        }
    }
    (void)close(fd);
}

static void *accept_all(void *arg) {
    app *one = arg;
    int fd;
    while ((fd = accept(one->fd, NULL, NULL)) >= 0) {
        serve(one, fd);  // one at a time: the tests want no more
    }
    return NULL;
}

static void app_start(app *one, const char *reply) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    memset(one, 0, sizeof *one);
    pthread_mutex_init(&one->lock, NULL);
    pthread_cond_init(&one->changed, NULL);
    one->reply = reply;
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(one->fd >= 0);
    assert_int_equal(bind(one->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(one->fd, 16), 0);
    assert_int_equal(getsockname(one->fd, (struct sockaddr *)&address, &len), 0);
    one->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&one->thread, NULL, accept_all, one), 0);
}

static int app_count(app *one) {
    pthread_mutex_lock(&one->lock);
    int count = one->count;
    pthread_mutex_unlock(&one->lock);
    return count;
}

static void app_say(app *one, const char *reply, bool hold) {
    pthread_mutex_lock(&one->lock);
    one->reply = reply;
    one->hold = hold;
    pthread_cond_broadcast(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

// After the engine was closed, so that it has no connection any more.
static void app_stop(app *one) {
    app_say(one, "", false);
    (void)shutdown(one->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(one->thread, NULL), 0);
    (void)close(one->fd);
}

#define REPLY(status, more, body) \
    "HTTP/1.1 " status "\r\n" more "Content-Length: " body
#define OK_REPLY REPLY("200 OK", "", "0\r\n\r\n")

static fb_engine *open_hook(const app *one, const char *more) {
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "queues: {hook: {worker: webhook, url: 'http://127.0.0.1:%d/jobs?a=b', "
                   "concurrency: 1, attempts: 2, retry_delay: 0%s}}\n",
                   one->port, more);
    return queues_open(text);
}

static bool has_line(const char *request, const char *line) {
    char text[300];
    (void)snprintf(text, sizeof text, "\r\n%s\r\n", line);
    return strcasestr(request, text) != NULL;
}

static void test_webhook__posts_a_job_and_is_told_that_it_is_done(void **state) {
    (void)state;
    app one;
    app_start(&one, OK_REPLY);
    fb_engine *engine = open_hook(&one, "");
    fb_job_spec spec = queues_spec("hook", "{\"user\":42}");
    fb_enqueued job;
    char line[256];
    spec.kind = FB_STR("monthly");
    assert_ok(fb_queue_enqueue(engine, &spec, 1, &job, NULL));
    rig_until(queues_figures(engine, "hook").done == 1);
    fb_close(engine, 100000);

    assert_int_equal(app_count(&one), 1);
    assert_int_equal(strncmp(one.request, "POST /jobs?a=b HTTP/1.1\r\n", 25), 0);
    assert_non_null(strstr(one.request, "\r\n\r\n{\"user\":42}"));
    (void)snprintf(line, sizeof line, "X-Forebay-Id: %s", job.id);
    assert_true(has_line(one.request, line));
    assert_true(has_line(one.request, "X-Forebay-Queue: hook"));
    assert_true(has_line(one.request, "X-Forebay-Kind: monthly"));
    assert_true(has_line(one.request, "X-Forebay-Attempt: 1"));
    assert_true(has_line(one.request, "X-Forebay-Attempts: 2"));
    assert_true(has_line(one.request, "Content-Type: application/json"));
    assert_null(strstr(one.request, "X-Forebay-Signature"));
    app_stop(&one);
}

static void test_webhook__signs_what_it_posts(void **state) {
    (void)state;
    app one;
    app_start(&one, OK_REPLY);
    fb_engine *engine = open_hook(&one, ", secret: 'only we know'");
    (void)queues_put(engine, "hook", "plain");
    rig_until(queues_figures(engine, "hook").done == 1);
    fb_close(engine, 100000);

    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    char text[64], line[256] = "X-Forebay-Signature: sha256=";
    const char *time = strstr(one.request, "X-Forebay-Timestamp: ");
    assert_non_null(time);
    (void)snprintf(text, sizeof text, "%lld.plain", atoll(time + 21));
    assert_non_null(HMAC(EVP_sha256(), "only we know", 12, (const unsigned char *)text,
                         strlen(text), digest, &len));
    for (unsigned int i = 0; i < len; i++) {
        (void)snprintf(line + strlen(line), 3, "%02x", digest[i]);
    }
    assert_true(has_line(one.request, line));
    assert_true(has_line(one.request, "Content-Type: application/octet-stream"));
    app_stop(&one);
}

// What is left of a job, of which there was one.
static void find_job(fb_engine *engine, fb_job_state wanted) {
    fb_queue_call call = {.verb = FB_QUEUE_LIST, .queue = FB_STR("hook"), .state = wanted,
                          .count = 2};
    assert_ok(queues_ask(engine, &call, &answer));
    assert_int_equal(answer.job_count, 1);
}

static void test_webhook__what_is_answered_decides(void **state) {
    (void)state;
    static const struct {
        const char *reply, *error;
        bool again;
    } cases[] = {
        {REPLY("422 No", "", "8\r\n\r\nbad\nuser"), "HTTP 422: bad user", false},
        {REPLY("404 Not Found", "", "0\r\n\r\n"), "HTTP 404", false},
        {REPLY("302 Found", "Location: /elsewhere\r\n", "0\r\n\r\n"), "HTTP 302", true},
        {REPLY("408 Timeout", "", "0\r\n\r\n"), "HTTP 408", true},
        {REPLY("425 Early", "", "0\r\n\r\n"), "HTTP 425", true},
        {REPLY("500 Oh", "", "4\r\n\r\noops"), "HTTP 500: oops", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        app one;
        app_start(&one, cases[i].reply);
        fb_engine *engine = open_hook(&one, "");
        (void)queues_put(engine, "hook", "x");
        rig_until(queues_figures(engine, "hook").died == 1);
        find_job(engine, FB_JOB_DEAD);
        assert_string_equal(answer.jobs[0].error, cases[i].error);
        assert_int_equal(answer.jobs[0].job.end,
                         cases[i].again ? FB_JOB_END_ATTEMPTS : FB_JOB_END_PERMANENT);
        fb_queue_call call = {.verb = FB_QUEUE_PURGE, .queue = FB_STR("hook"),
                              .state = FB_JOB_DEAD};
        assert_ok(queues_ask(engine, &call, &answer));
        fb_close(engine, 100000);
        assert_int_equal(app_count(&one), cases[i].again ? 2 : 1);
        app_stop(&one);
    }
}

static void test_webhook__comes_back_when_it_is_told_to(void **state) {
    (void)state;
    static const char *const replies[] = {
        REPLY("429 Slow", "Retry-After: 3000\r\n", "0\r\n\r\n"),
        REPLY("503 Away", "Retry-After: 3000\r\n", "0\r\n\r\n"),
    };
    for (size_t i = 0; i < 2; i++) {
        app one;
        app_start(&one, replies[i]);
        fb_engine *engine = open_hook(&one, "");
        uint64_t number = queues_put(engine, "hook", "x");
        rig_until(queues_figures(engine, "hook").failed == 1);
        find_job(engine, FB_JOB_SCHEDULED);
        int64_t ahead_ms = answer.jobs[0].job.due_ms - answer.jobs[0].job.enqueued_ms;
        assert_true(ahead_ms >= 3000000);
        assert_true(ahead_ms <= 3000000 + 100000);
        fb_job_claim claim = {.number = number};
        fb_queue_call call = {.verb = FB_QUEUE_CANCEL, .queue = FB_STR("hook"),
                              .claims = &claim, .item_count = 1};
        assert_ok(queues_ask(engine, &call, &answer));
        fb_close(engine, 100000);
        app_stop(&one);
    }
}

static void test_webhook__waits_no_longer_than_its_timeout(void **state) {
    (void)state;
    app one;
    app_start(&one, OK_REPLY);
    app_say(&one, OK_REPLY, true);
    fb_engine *engine = open_hook(&one, ", timeout: 100ms");
    (void)queues_put(engine, "hook", "x");
    rig_until(queues_figures(engine, "hook").died == 1);
    find_job(engine, FB_JOB_DEAD);
    assert_true(answer.jobs[0].error[0] != '\0');
    assert_int_equal(answer.jobs[0].job.end, FB_JOB_END_ATTEMPTS);
    fb_close(engine, 100000);
    app_stop(&one);
}

// A close gives it its time; what outlasts that goes back.
static void test_webhook__what_outlasts_a_close_goes_back(void **state) {
    (void)state;
    app one;
    app_start(&one, OK_REPLY);
    app_say(&one, OK_REPLY, true);
    fb_engine *engine = open_hook(&one, "");
    (void)queues_put(engine, "hook", "x");
    rig_until(app_count(&one) == 1);
    fb_close(engine, 0);
    app_stop(&one);

    engine = queues_open("queues: {hook: {}}\n");
    assert_ok(queues_take(engine, "hook", 1, 0, &answer));
    assert_int_equal(answer.job_count, 1);
    assert_int_equal(answer.jobs[0].job.attempt, 1);
    assert_string_equal(answer.jobs[0].payload, "x");
    fb_close(engine, 1000);
}

static void test_webhook__a_close_lets_it_finish(void **state) {
    (void)state;
    app one;
    app_start(&one, OK_REPLY);
    app_say(&one, OK_REPLY, true);
    fb_engine *engine = open_hook(&one, "");
    (void)queues_put(engine, "hook", "x");
    rig_until(app_count(&one) == 1);
    app_say(&one, OK_REPLY, false);
    fb_close(engine, 100000);
    app_stop(&one);

    engine = queues_open("queues: {hook: {}}\n");
    assert_ok(queues_take(engine, "hook", 1, 0, &answer));
    assert_int_equal(answer.job_count, 0);
    fb_close(engine, 1000);
}

static void test_webhook__takes_up_what_was_there_before(void **state) {
    (void)state;
    fb_engine *engine = queues_open("queues: {hook: {}}\n");
    (void)queues_put(engine, "hook", "from before");
    fb_close(engine, 1000);
    app one;
    app_start(&one, OK_REPLY);
    engine = open_hook(&one, "");
    rig_until(queues_figures(engine, "hook").done == 1);
    assert_string_equal(queues_figures(engine, "hook").worker, "webhook");
    fb_close(engine, 100000);
    app_stop(&one);
}

static void test_webhook__goes_where_a_reload_says(void **state) {
    (void)state;
    app one, two;
    char text[512];
    fb_error error = {0};
    app_start(&one, OK_REPLY);
    app_start(&two, OK_REPLY);
    fb_engine *engine = open_hook(&one, "");
    (void)queues_put(engine, "hook", "a");
    rig_until(queues_figures(engine, "hook").done == 1);
    (void)snprintf(text, sizeof text,
                   QUEUES_YAML "queues: {hook: {worker: webhook, url: 'http://127.0.0.1:%d/', "
                               "concurrency: 3}}\n",
                   two.port);
    assert_ok(rig_reload(engine, text, &error));
    (void)queues_put(engine, "hook", "b");
    rig_until(queues_figures(engine, "hook").done == 2);
    assert_int_equal(app_count(&one), 1);
    assert_int_equal(app_count(&two), 1);
    assert_ok(rig_reload(engine, QUEUES_YAML "queues: {hook: {}}\n", &error));
    (void)queues_put(engine, "hook", "c");  // nobody's now
    assert_ok(queues_take(engine, "hook", 1, 100000, &answer));
    assert_string_equal(answer.jobs[0].payload, "c");
    fb_close(engine, 100000);
    app_stop(&one);
    app_stop(&two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        queues_test(test_webhook__posts_a_job_and_is_told_that_it_is_done),
        queues_test(test_webhook__signs_what_it_posts),
        queues_test(test_webhook__what_is_answered_decides),
        queues_test(test_webhook__comes_back_when_it_is_told_to),
        queues_test(test_webhook__waits_no_longer_than_its_timeout),
        queues_test(test_webhook__what_outlasts_a_close_goes_back),
        queues_test(test_webhook__a_close_lets_it_finish),
        queues_test(test_webhook__takes_up_what_was_there_before),
        queues_test(test_webhook__goes_where_a_reload_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
