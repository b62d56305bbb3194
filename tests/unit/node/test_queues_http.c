// Queues by HTTP without a socket: whose client goes while he waits, what is in the store when nobody had
// looked, requests as fibers, and secrets. What each route says is tests/system/test_queue_doors.py's.

#include <jansson.h>

#include "http_rig.h"
#include "support.h"

static rig shared;
static asking last;  // of ask(); lives until the next

// ---- asking

static void begin(asking *one, const char *method, const char *target, const char *body) {
    asking_init(one, &shared, method, target);
    one->request.body = fb_str_of(body);
    asking_start(one);
}

static void ask(const char *method, const char *target, const char *body) {
    fb_http_response_release(&last.response);
    begin(&last, method, target, body);
    asking_await(&last);
}

static bool says(const asking *one, const char *words) {
    fb_str text = fb_buf_str(&one->response.body);
    fb_str wanted = fb_str_of(words);
    for (size_t i = 0; i + wanted.len <= text.len; i++) {
        if (memcmp(text.ptr + i, wanted.ptr, wanted.len) == 0) {
            return true;
        }
    }
    return false;
}

static void assert_says(const char *words) {
    if (!says(&last, words)) {
        fail_msg("\"%.*s\" does not say \"%s\"", FB_STR_ARG(fb_buf_str(&last.response.body)), words);
    }
}

static uint64_t blocked(void) {
    return atomic_load(&shared.node.blocked);
}

static void nothing_left(void) {
    ask("POST", "/v1/queues/work/purge?state=ready", "");
    assert_int_equal(last.response.status, 200);
    ask("POST", "/v1/queues/work/purge?state=leased", "");
}

// ---- waiting

static void test_reserve__waits_for_the_next_job(void **state) {
    (void)state;
    asking waiting;
    nothing_left();
    begin(&waiting, "POST", "/v1/queues/work/reserve", "{\"wait_ms\": 3600000}");
    assert_true(waiting.later);
    assert_int_equal(blocked(), 1);
    ask("POST", "/v1/queues/work/jobs", "{\"payload\": [1, {\"a\": null}]}");
    assert_int_equal(last.response.status, 201);
    asking_await(&waiting);
    assert_int_equal(waiting.response.status, 200);
    assert_true(says(&waiting, "\"payload\":[1,{\"a\":null}]"));
    assert_int_equal(blocked(), 0);
    fb_http_response_release(&waiting.response);
}

static void test_reserve__of_a_client_that_goes_takes_no_job(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        asking waiting;
        nothing_left();
        begin(&waiting, "POST", "/v1/queues/work/reserve", "{\"wait_ms\": 3600000}");
        assert_true(waiting.later);
        if (i % 2 == 0) {  // else the job may be on its way to him
            asking_leave(&waiting);
            ask("POST", "/v1/queues/work/jobs?raw=1", "x");
        } else {
            asking other;
            begin(&other, "POST", "/v1/queues/work/jobs?raw=1", "x");
            asking_leave(&waiting);
            asking_await(&other);
            fb_http_response_release(&other.response);
        }
        asking_await(&waiting);
        assert_int_equal(waiting.response.status, 200);
        if (!says(&waiting, "\"jobs\":[]")) {  // it was before he went
            fb_http_response_release(&waiting.response);
            continue;
        }
        fb_http_response_release(&waiting.response);
        ask("POST", "/v1/queues/work/reserve", "{\"wait_ms\": 3600000}");
        assert_says("\"payload\":\"eA==\"");
        assert_says("\"payload_encoding\":\"base64\"");
    }
    assert_int_equal(blocked(), 0);
}

// ---- others

static void test_queues__are_counted_though_nobody_looked_before(void **state) {
    (void)state;
    nothing_left();
    ask("POST", "/v1/queues/work/jobs", "[{\"payload\": 1, \"priority\": 0}, {\"payload\": 2}]");
    assert_int_equal(last.response.status, 201);
    ask("GET", "/v1/queues/work", "");
    assert_says("\"ready\":2,");
    assert_says("\"ready_by_priority\":[1,0,0,0,0,1,0,0,0,0]");
    ask("GET", "/v1/queues", "");
    assert_int_equal(last.response.status, 200);
    assert_says("\"name\":\"mail\",\"store\":\"journal\",\"worker\":\"mail\",\"reachable\":true");
    ask("GET", "/metrics", "");
    assert_says("forebay_queue_up{queue=\"work\",store=\"journal\"} 1\n");
}

static void test_codes__are_issued_where_nothing_may_wait_on_a_loop(void **state) {
    (void)state;
    ask("POST", "/v1/otp/issue", "{\"account\": \"ada\", \"to\": \"ada@example.test\"}");
    assert_int_equal(last.response.status, 202);
    assert_says("\"expires_ms\":600000");
    ask("POST", "/v1/otp/issue", "{\"account\": \"ada\", \"to\": \"ada@example.test\"}");
    assert_int_equal(last.response.status, 429);
    ask("POST", "/v1/otp/verify", "{\"account\": \"ada\", \"code\": \"\"}");
    assert_says("\"verified\":false");
    ask("GET", "/v1/otp/link/nothing", "");
    assert_int_equal(last.response.status, 404);
    assert_string_equal(asking_header(&last, "Cache-Control"), "no-store");
    assert_string_equal(asking_header(&last, "Referrer-Policy"), "no-referrer");
}

static void test_pages__are_for_who_accepts_html_first(void **state) {
    static const struct {
        const char *accept;
        bool page;
    } rows[] = {
        {"", false},
        {"*/*", false},
        {"text/html", true},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
        {"application/json", false},
        {"application/json, text/html", false},
        {"text/htm", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fb_http_response_release(&last.response);
        asking_init(&last, &shared, "POST", "/v1/otp/link/nothing");
        last.request.accept = fb_str_of(rows[i].accept);
        asking_start(&last);
        asking_await(&last);
        bool html = strncmp(asking_header(&last, "Content-Type"), "text/html", 9) == 0;
        assert_int_equal(html, rows[i].page);
    }
}

// ---- all of it, on the spot and as fibers

static int open_all(void **state) {
    (void)state;
    rig_open(&shared);
    return 0;
}

static int open_waiting(void **state) {
    (void)open_all(state);
    shared.node.waits = true;
    return 0;
}

static int close_all(void **state) {
    (void)state;
    fb_http_response_release(&last.response);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve__waits_for_the_next_job),
        cmocka_unit_test(test_reserve__of_a_client_that_goes_takes_no_job),
        cmocka_unit_test(test_queues__are_counted_though_nobody_looked_before),
        cmocka_unit_test(test_codes__are_issued_where_nothing_may_wait_on_a_loop),
        cmocka_unit_test(test_pages__are_for_who_accepts_html_first),
    };
    int failed = cmocka_run_group_tests(tests, open_all, close_all);
    return failed + cmocka_run_group_tests(tests, open_waiting, close_all);
}
