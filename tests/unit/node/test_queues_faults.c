// Each allocation that a request or a command about jobs takes on its own thread fails in turn: then the
// answer says so, or is whole, and the next one is. (What stores take is tests/unit/journal's and
// redis's.)

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
    const char *method, *target, *body;
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

static void run(request *one) {
    asking_init(&one->asking, &shared, one->method, one->target);
    one->asking.request.body = fb_str_of(one->body);
    rig_on_loop(&shared, handle, one);
    asking_await(&one->asking);
    fb_http_response_release(&one->asking.response);
}

static void sweep_requests(void) {
    static const request requests[] = {
        {.method = "POST", .target = "/v1/queues/work/jobs", .status = 201,
         .body = "{\"payload\": {\"a\": [1, 2]}, \"kind\": \"k\"}"},
        {.method = "POST", .target = "/v1/queues/work/jobs", .status = 201,
         .body = "[{\"payload\": 1}, {\"payload\": \"eA==\", \"payload_encoding\": \"base64\"}]"},
        {.method = "POST", .target = "/v1/queues/work/jobs?raw=1", .body = "x", .status = 201},
        {.method = "POST", .target = "/v1/queues/work/reserve", .body = "{\"count\": 3}", .status = 200},
        {.method = "POST", .target = "/v1/queues/work/ack", .status = 200,
         .body = "{\"jobs\": [{\"id\": \"work.1\", \"token\": 1}], \"reserve\": 1}"},
        {.method = "GET", .target = "/v1/queues/work/jobs?state=leased", .body = "", .status = 200},
        {.method = "GET", .target = "/v1/jobs/work.64", .body = "", .status = 200},
        {.method = "GET", .target = "/v1/queues", .body = "", .status = 200},
        {.method = "GET", .target = "/v1/queues/work", .body = "", .status = 200},
        {.method = "GET", .target = "/metrics", .body = "", .status = 200},
        {.method = "POST", .target = "/v1/mail/otp", .status = 202,
         .body = "{\"to\": \"a@example.test\", \"vars\": {\"code\": \"1\", \"minutes\": 2}}"},
        {.method = "POST", .target = "/v1/mail/otp/preview", .status = 200,
         .body = "{\"to\": \"a@example.test\", \"vars\": {\"code\": \"1\", \"minutes\": 2}}"},
        {.method = "POST", .target = "/v1/otp/verify", .body = "{\"token\": \"x\"}", .status = 200},
        {.method = "GET", .target = "/v1/otp/link/x", .body = "", .status = 404},
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        bool more = true;
        for (long n = 0; more; n++) {
            request one = requests[i];
            one.fails_in = n;
            run(&one);
            more = one.failed;
            int status = one.asking.response.status;
            if (status != one.status && (!more || status != 503)) {
                fail_msg("%s %s, allocation %ld: %d", one.method, one.target, n, status);
            }
        }
    }
}

static void test_http__answers_503_where_memory_is_short(void **state) {
    (void)state;
    request first = {.method = "POST", .target = "/v1/queues/work/jobs?raw=1", .body = "x",
                     .fails_in = -1};
    run(&first);  // work.64
    assert_int_equal(first.asking.response.status, 201);
    sweep_requests();
}

// ---- RESP

typedef struct talk {
    rig_client client;
    const char *said;
    long fails_in;
    bool failed;
} talk;

static void converse(void *arg) {
    talk *one = arg;
    size_t used = 0;
    failed = false;
    fails_in = one->fails_in;
    (void)!fb_session_feed(one->client.session, fb_str_of(one->said), &used);
    fails_in = -1;
    one->failed = failed;
    rig_client_feed(&one->client);
}

static void await_reply(talk *one) {
    rig_client *client = &one->client;
    pthread_mutex_lock(&client->lock);
    while (client->out.len == 0 && client->result != FB_ECLOSED) {
        pthread_cond_wait(&client->changed, &client->lock);
    }
    pthread_mutex_unlock(&client->lock);
}

static void test_resp__says_oom_where_memory_is_short(void **state) {
    static const char *const said[] = {
        "FB.ENQUEUE work x KIND k WITHNEW\r\n",
        "FB.MENQUEUE work PAYLOADS a b c\r\n",
        "FB.RESERVE work COUNT 2\r\n",
        "FB.ACK work work.1 1 work.2 2 RESERVE 1\r\n",
        "FB.CANCEL work.1 work.2\r\n",
        "FB.JOB work.1\r\n",
        "FB.QUEUES\r\n",
        "FB.QUEUE work\r\n",
        "FB.QUEUE work LIST ready COUNT 2\r\n",
        "FB.MAILS\r\n",
        "FB.PREVIEW otp a@example.test code 1 minutes 2\r\n",
        "FB.OTP VERIFY LINK x\r\n",
        "INFO queues\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        bool more = true;
        for (long n = 0; more; n++) {
            talk one = {.said = said[i], .fails_in = n};
            rig_client_open(&one.client, &shared);
            rig_on_loop(&shared, converse, &one);
            await_reply(&one);
            more = one.failed;
            bool error = one.client.out.len > 0 && one.client.out.ptr[0] == '-';
            if (error && (!more || !fb_str_starts(fb_buf_str(&one.client.out), FB_STR("-OOM ")))) {
                fail_msg("%s, allocation %ld: %.*s", said[i], n,
                         FB_STR_ARG(fb_buf_str(&one.client.out)));
            }
            rig_client_close(&one.client);
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
