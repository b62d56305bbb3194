// Each allocation that an answer about limits takes fails in turn: then the answer says so, nothing
// leaks, and the next is whole. (What the quota itself takes is tests/unit/limit's.)

#include "http_rig.h"
#include "support.h"

static rig shared;

// ---- memory that fails, on one thread alone: the engine's others go on

static _Thread_local long fails_in = -1;  // how many more succeed; -1: all do
static _Thread_local bool failed;

static void *resize(void *arg, void *ptr, size_t size) {
    (void)arg;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    if (fails_in == 0) {
        failed = true;
        return NULL;
    }
    fails_in -= fails_in > 0;
    return realloc(ptr, size);
}

// ---- HTTP

typedef struct request {
    const char *method, *path, *query, *body;
    int status;  // where there is memory
    long fails_in;
    bool failed;
    asking asking;
} request;

static void handle(void *arg) {
    request *one = arg;
    failed = false;
    fails_in = one->fails_in;
    asking_handle(&one->asking);
    fails_in = -1;
    one->failed = failed;
}

static void test_http__answers_503_where_memory_is_short(void **state) {
    static const request requests[] = {
        {.method = "GET", .path = "/v1/limits", .query = "", .body = "", .status = 200},
        {.method = "GET", .path = "/metrics", .query = "", .body = "", .status = 200},
        {.method = "GET", .path = "/v1/limits/hourly/a", .query = "", .body = "", .status = 200},
        {.method = "GET", .path = "/v1/limits/check", .query = "rule=hourly&key=a&cost=9&enforce=1",
         .body = "", .status = 429},
        {.method = "GET", .path = "/v1/limits/slots", .query = "rule=jobs&key=a", .body = "",
         .status = 200},
    };
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        bool more = true;
        for (long n = 0; more; n++) {
            request one = requests[i];
            one.fails_in = n;
            asking_init(&one.asking, &shared, one.method, one.path);
            one.asking.request.query = fb_str_of(one.query);
            one.asking.request.body = fb_str_of(one.body);
            rig_on_loop(&shared, handle, &one);
            asking_await(&one.asking);  // /metrics may ask for lengths of queues
            more = one.failed;
            // Some do without: an answer is whole, or says that it is not.
            int status = one.asking.response.status;
            assert_true(status == one.status || (more && status == 503));
            fb_http_response_release(&one.asking.response);
        }
    }
}

// ---- RESP

typedef struct talk {
    fb_session *session;
    const char *said;
    long fails_in;
    bool failed;
    int result;
    fb_buf heard;
} talk;

static void ignore_wake(void *arg) {
    (void)arg;
}

static void converse(void *arg) {
    talk *one = arg;
    size_t used = 0;
    FB_ASSERT(fb_session_new(&shared.node, FB_STR("127.0.0.1:1"), ignore_wake, NULL,
                             &one->session) == FB_OK);
    failed = false;
    fails_in = one->fails_in;
    one->result = fb_session_feed(one->session, fb_str_of(one->said), &used);
    fails_in = -1;
    one->failed = failed;
    FB_ASSERT(fb_buf_append(&one->heard, fb_buf_str(fb_session_out(one->session))) == FB_OK);
    fb_session_free(one->session);
}

static void test_resp__says_oom_where_memory_is_short(void **state) {
    static const char *const said[] = {"FB.RULES\r\n", "FB.RULES hourly\r\n",
                                       "FB.LIMIT hourly b PEEK\r\n",
                                       "FB.LIMITS 2 hourly b daily b PEEK\r\n",
                                       "CL.THROTTLE b 5 1 60 0\r\n", "INFO limits\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        bool more = true;
        for (long n = 0; more; n++) {
            talk one = {.said = said[i], .fails_in = n};
            rig_on_loop(&shared, converse, &one);
            more = one.failed;
            bool ended = one.result == FB_ECLOSED;
            assert_true(one.heard.len > 0 || (more && ended));
            assert_true(more || one.heard.ptr[0] != '-');
            if (one.heard.len > 0 && one.heard.ptr[0] == '-') {
                assert_true(fb_str_starts(fb_buf_str(&one.heard), FB_STR("-OOM ")));
            }
            fb_buf_release(&one.heard);
        }
    }
}

// ---- all

static int open_all(void **state) {
    static const fb_hooks hooks = {.resize = resize};
    (void)state;
    fb_hooks_set(&hooks);
    rig_open(&shared);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http__answers_503_where_memory_is_short),
        cmocka_unit_test(test_resp__says_oom_where_memory_is_short),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
