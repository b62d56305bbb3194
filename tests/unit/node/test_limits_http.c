// Limits by HTTP, without a socket, on a real engine: once on the spot, and once as fibers.

#include <jansson.h>

#include "http_rig.h"
#include "support.h"

static rig shared;
static asking last;  // of ask(); lives until the next
static json_t *root;  // its body, where that is JSON
static const char *said_by_proxy = "";  // the header that key_header names

// ---- asking

static void ask(const char *method, const char *target, const char *said) {
    json_error_t error;
    json_decref(root);
    fb_http_response_release(&last.response);
    asking_init(&last, &shared, method, target);
    last.request.body = fb_str_of(said);
    last.request.if_none_match = FB_STR("");
    last.request.key_header = fb_str_of(said_by_proxy);
    asking_start(&last);
    asking_await(&last);
    root = json_loadb(last.response.body.ptr != NULL ? last.response.body.ptr : "",
                      last.response.body.len, 0, &error);
    if (root == NULL && last.response.body.len > 0 &&
        strstr(asking_header(&last, "Content-Type"), "json") != NULL) {
        fail_msg("%s: %.*s", error.text, FB_STR_ARG(fb_buf_str(&last.response.body)));
    }
}

static void check(const char *said) {
    ask("POST", "/v1/limits/check", said);
}

#define assert_status(number) assert_int_equal(last.response.status, number)
#define header(name) asking_header(&last, name)

static json_int_t number(const char *name) {
    json_t *value = json_object_get(root, name);
    if (!json_is_integer(value)) {
        fail_msg("%s: %.*s", name, FB_STR_ARG(fb_buf_str(&last.response.body)));
    }
    return json_integer_value(value);
}

static bool truth(const char *name) {
    json_t *value = json_object_get(root, name);
    assert_true(json_is_boolean(value));
    return json_is_true(value);
}

static const char *text(const char *name) {
    const char *value = json_string_value(json_object_get(root, name));
    return value != NULL ? value : "";
}

static void assert_problem(int status, const char *words) {
    assert_status(status);
    assert_string_equal(header("Content-Type"), "application/problem+json");
    assert_int_equal(number("status"), status);
    assert_string_equal(text("title"), fb_http_status_text(status));
    if (strstr(text("detail"), words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", text("detail"), words);
    }
}

static void forget(const char *rule, const char *key) {
    char target[100];
    (void)snprintf(target, sizeof target, "/v1/limits/%s/%s", rule, key);
    ask("DELETE", target, "");
    assert_status(204);
}

static long long number_behind(const char *header, const char *mark) {
    const char *at = strstr(header, mark);
    if (at == NULL) {
        fail_msg("'%s' has no '%s'", header, mark);
    }
    return atoll(at + strlen(mark));
}

// ---- check

static void test_check__answers_with_a_verdict_and_headers(void **state) {
    (void)state;
    forget("hourly", "a");
    check("{\"rule\": \"hourly\", \"key\": \"a\", \"cost\": 2}");
    assert_status(200);
    assert_string_equal(header("Content-Type"), "application/json");
    assert_true(truth("allowed"));
    assert_int_equal(number("limit"), 3);
    assert_int_equal(number("remaining"), 1);
    assert_int_equal(number("retry_after"), 0);
    assert_int_equal(number("retry_ms"), 0);
    assert_in_range(number("reset_ms"), 1, 3601000);
    assert_int_equal(number("cost"), 2);
    assert_string_equal(text("rule"), "hourly");
    assert_string_equal(text("source"), "memory");
    assert_false(truth("degraded"));
    assert_non_null(strstr(text("message"), "1 call "));
    assert_string_equal(header("RateLimit-Policy"), "\"hourly\";q=3;w=3600");
    assert_true(fb_str_starts(fb_str_of(header("RateLimit")), FB_STR("\"hourly\";r=1;t=")));
    assert_in_range(number_behind(header("RateLimit"), "t="), 1, 3600);
    assert_string_equal(header("X-RateLimit-Limit"), "3");
    assert_string_equal(header("X-RateLimit-Remaining"), "1");
    assert_in_range(atoll(header("X-RateLimit-Reset")), rig_wall_us() / 1000000 - 60,
                    rig_wall_us() / 1000000 + 3602);
    assert_string_equal(header("Retry-After"), "");
}

static void test_check__denies_with_200_unless_it_is_to_enforce(void **state) {
    static const char *const said = "{\"rule\": \"hourly\", \"key\": \"b\", \"cost\": 2}";
    (void)state;
    forget("hourly", "b");
    check(said);
    check(said);
    assert_status(200);
    assert_false(truth("allowed"));
    assert_true(number("retry_after") >= 1);
    assert_int_equal(atoll(header("Retry-After")), number("retry_after"));
    assert_int_equal(number_behind(header("RateLimit"), "t="), number("retry_after"));
    assert_in_range(number("retry_ms"), 1, 3601000);
    ask("POST", "/v1/limits/check?enforce=1", said);
    assert_problem(429, "Try again in ");
    assert_string_equal(text("type"),
                        "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_false(truth("allowed"));
    assert_true(atoll(header("Retry-After")) >= 1);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(root, "violated-policies"), 0)), "hourly");
    ask("POST", "/v1/limits/check?enforce=true&status=403", said);
    assert_problem(403, "Try again in ");
    ask("POST", "/v1/limits/check?enforce=1", "{\"rule\": \"hourly\", \"key\": \"b\"}");
    assert_status(200);
}

static void test_check__never_says_when_what_will_never_be(void **state) {
    (void)state;
    ask("POST", "/v1/limits/check?enforce=1", "{\"rule\": \"hourly\", \"key\": \"c\", \"cost\": 4}");
    assert_status(429);
    assert_true(json_is_null(json_object_get(root, "retry_after")));
    assert_int_equal(number("retry_ms"), -1);
    assert_string_equal(header("Retry-After"), "");
}

static void test_check__takes_the_query_for_proxies(void **state) {
    (void)state;
    static const char *const methods[] = {"GET", "HEAD", "POST"};
    forget("hourly", "user%3A1");
    for (int i = 0; i < 3; i++) {
        ask(methods[i], "/v1/limits/check?rule=hourly&key=user%3A1&enforce=1&status=401", "");
        assert_status(200);
        assert_int_equal(number("remaining"), 2 - i);
    }
    ask("GET", "/v1/limits/check?rule=hourly&key=user%3A1&enforce=1&status=401", "");
    assert_problem(401, "Try again in ");
    ask("GET", "/v1/limits/check?rule=hourly&key=user%3A1&tier=premium&cost=3&peek=1", "");
    assert_int_equal(number("limit"), 5);
    assert_int_equal(number("remaining"), 5);
}

static void test_check__takes_the_key_from_a_header(void **state) {
    static const struct {
        const char *name, *value, *key;
    } cases[] = {
        {"X-Real-IP", "203.0.113.7", "203.0.113.7"},
        {"x-user", " Doe, Jane\t", "Doe,%20Jane"},
        {"X-Forwarded-For", "203.0.113.8", "203.0.113.8"},
        {"x-forwarded-for", "192.0.2.1, 10.0.0.1,203.0.113.9 ", "203.0.113.9"},
    };
    char target[100];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        forget("hourly", cases[i].key);
        said_by_proxy = cases[i].value;
        (void)snprintf(target, sizeof target, "/v1/limits/check?rule=hourly&key_header=%s&cost=3",
                       cases[i].name);
        ask("GET", target, "");
        assert_status(200);
        assert_true(truth("allowed"));
        (void)snprintf(target, sizeof target, "/v1/limits/hourly/%s", cases[i].key);
        ask("GET", target, "");
        assert_int_equal(number("remaining"), 0);
    }
    said_by_proxy = "";
    ask("GET", "/v1/limits/check?rule=hourly&key_header=X-Real-IP", "");
    assert_problem(400, "key_header: the request has no header 'X-Real-IP'");
    said_by_proxy = "203.0.113.7, ";
    ask("GET", "/v1/limits/check?rule=hourly&key_header=X-Forwarded-For", "");
    assert_problem(400, "key_header: the request has no header");
    ask("GET", "/v1/limits/check?rule=hourly&key_header=X%20Y", "");
    assert_problem(400, "key_header: expected the name of a header");
    ask("GET", "/v1/limits/check?rule=hourly&key_header=X-Real-IP&key=a", "");
    assert_problem(400, "expected one of key and key_header");
    said_by_proxy = "";
}

static void test_check__names_the_header_that_it_needs(void **state) {
    char name[FB_HTTP_NAME_SIZE];
    char query[FB_HTTP_NAME_SIZE + 12];
    (void)state;
    assert_true(fb_http_key_header(FB_STR("rule=a&&key_header=X-Real-IP&cost=1"), name));
    assert_string_equal(name, "X-Real-IP");
    assert_false(fb_http_key_header(FB_STR(""), name));
    assert_false(fb_http_key_header(FB_STR("rule=key_header=a&xkey_header=b"), name));
    assert_false(fb_http_key_header(FB_STR("key_header="), name));
    assert_false(fb_http_key_header(FB_STR("key_header=a:b"), name));
    (void)snprintf(query, sizeof query, "key_header=%063d", 0);
    assert_true(fb_http_key_header(fb_str_of(query), name));
    assert_int_equal(strlen(name), FB_HTTP_NAME_SIZE - 1);
    (void)snprintf(query, sizeof query, "key_header=%064d", 0);
    assert_false(fb_http_key_header(fb_str_of(query), name));
}

static void test_check__asks_several_at_once(void **state) {
    static const char *const said =
        "{\"limits\": [{\"rule\": \"daily\", \"key\": 17},"
        " {\"rule\": \"hourly\", \"key\": \"d\", \"tier\": \"premium\", \"cost\": 3}]}";
    (void)state;
    forget("daily", "17");
    forget("hourly", "d");
    check(said);
    assert_status(200);
    assert_true(truth("allowed"));
    assert_int_equal(json_array_size(json_object_get(root, "limits")), 2);
    assert_string_equal(header("RateLimit-Policy"), "\"hourly\";q=5;w=3600");  // has the least left
    ask("POST", "/v1/limits/check?enforce=1", said);
    assert_problem(429, "Try again in ");
    json_t *first = json_array_get(json_object_get(root, "limits"), 0);
    assert_true(json_is_true(json_object_get(first, "allowed")));
    assert_int_equal(json_array_size(json_object_get(root, "violated-policies")), 1);
    ask("GET", "/v1/limits/daily/17", "");
    assert_int_equal(number("remaining"), 3);
}

static void test_check__of_the_exempt_and_the_barred(void **state) {
    (void)state;
    check("{\"rule\": \"hourly\", \"key\": \"staff:1\"}");
    assert_true(truth("allowed"));
    assert_string_equal(text("source"), "exempt");
    assert_string_equal(header("RateLimit"), "");
    ask("POST", "/v1/limits/check?enforce=1", "{\"rule\": \"hourly\", \"key\": \"banned:1\"}");
    assert_status(429);
    assert_string_equal(header("Retry-After"), "");
    assert_string_equal(text("source"), "barred");
    assert_string_equal(header("RateLimit"), "");  // it would say that all is there again at once
}

static void test_check__is_refused_with_what_is_wrong(void **state) {
    static const struct {
        const char *said, *words;
    } cases[] = {
        {"{\"rule\": \"hourly\"}", "key: it is missing"},
        {"{\"key\": \"a\"}", "rule: it is missing"},
        {"{\"rule\": \"hourly\", \"key\": \"a\", \"cots\": 1}", "'cots' is unknown here"},
        {"{\"rule\": \"hourly\", \"key\": \"a\", \"cost\": -1}", "cost: expected a whole number"},
        {"{\"rule\": \"hourly\", \"key\": \"a\", \"cost\": 1.5}", "cost: expected"},
        {"{\"rule\": \"hourly\", \"key\": \"a\", \"cost\": null}", "cost: expected"},
        {"{\"rule\": \"hourly\", \"key\": \"a\", \"peek\": 2}", "peek: expected true or false"},
        {"{\"limits\": []}", "limits: expected a list of 1 to 8"},
        {"{\"limits\": {}}", "limits: expected a list of 1 to 8"},
        {"{\"limits\": [1]}", "limits: expected objects"},
        {"{\"limits\": [{\"rule\": \"hourly\"}]}", "limits[0].key: it is missing in the body"},
        {"{\"limits\": [{\"rule\": \"hourly\", \"key\": \"a\", \"peek\": true}]}", "'peek' is unknown"},
        {"{\"limits\": [], \"rule\": \"hourly\"}", "'rule' is unknown here"},
        {"[]", "no object"},
        {"{", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(cases[i].said);
        assert_problem(400, cases[i].words);
    }
    ask("POST", "/v1/limits/check", "");
    assert_problem(400, "rule: it is missing");
    ask("GET", "/v1/limits/check?rule=hourly&key=a&enforce=1&status=200", "");
    assert_problem(400, "status: expected 401, 403, 429 or 503");
    ask("GET", "/v1/limits/check?rule=hourly&key=a&key=b", "");
    assert_problem(400, "key is given twice");
    ask("GET", "/v1/limits/check?rule=hourly&key=a&nosuch=1", "");
    assert_problem(400, "takes no parameter 'nosuch'");
    check("{\"rule\": \"nosuch\", \"key\": \"a\"}");
    assert_problem(404, "nosuch");
    assert_string_equal(text("code"), "NOLIMIT");
    check("{\"rule\": \"hourly\", \"key\": \"\"}");
    assert_status(400);
}

// ---- one key

static void test_key__is_shown_overridden_and_reset(void **state) {
    (void)state;
    forget("hourly", "e/1");
    ask("GET", "/v1/limits/hourly/e/1", "");
    assert_status(200);
    assert_int_equal(number("remaining"), 3);
    ask("GET", "/v1/limits/hourly/e/1?tier=premium&cost=6", "");
    assert_false(truth("allowed"));
    assert_int_equal(number("limit"), 5);
    ask("PUT", "/v1/limits/hourly/e/1", "{\"limit\": 7, \"for\": \"10m\"}");
    assert_status(204);
    ask("GET", "/v1/limits/hourly/e/1", "");
    assert_int_equal(number("limit"), 7);
    ask("PUT", "/v1/limits/hourly/e/1", "{\"deny\": true, \"for\": \"10m\"}");
    ask("GET", "/v1/limits/hourly/e/1", "");
    assert_string_equal(text("source"), "barred");
    ask("PUT", "/v1/limits/hourly/e/1", "{\"allow\": true, \"for\": \"10m\"}");
    ask("GET", "/v1/limits/hourly/e/1", "");
    assert_string_equal(text("source"), "exempt");
    ask("PUT", "/v1/limits/hourly/e/1", "{\"none\": true}");
    assert_status(204);
    ask("GET", "/v1/limits/hourly/e/1", "");
    assert_int_equal(number("limit"), 3);
    ask("GET", "/v1/limits/jobs/e", "");
    assert_int_equal(number("limit"), 2);
}

static void test_key__is_refused_with_what_is_wrong(void **state) {
    (void)state;
    ask("PUT", "/v1/limits/hourly/e", "{\"limit\": 7}");
    assert_problem(400, "for: it is missing");
    ask("PUT", "/v1/limits/hourly/e", "{\"limit\": 7, \"deny\": true, \"for\": \"1h\"}");
    assert_problem(400, "expected one of");
    ask("PUT", "/v1/limits/hourly/e", "{\"limit\": 0, \"for\": \"1h\"}");
    assert_problem(400, "limit: expected a whole number");
    ask("PUT", "/v1/limits/hourly/e", "{\"deny\": true, \"for\": \"soon\"}");
    assert_problem(400, "for: expected a time");
    ask("PUT", "/v1/limits/nosuch/e", "{\"deny\": true, \"for\": \"1h\"}");
    assert_problem(404, "nosuch");
    ask("GET", "/v1/limits/nosuch/e", "");
    assert_problem(404, "nosuch");
    ask("DELETE", "/v1/limits/nosuch/e", "");
    assert_problem(404, "nosuch");
    ask("GET", "/v1/limits/hourly/", "");
    assert_problem(404, "nothing at this path");
    ask("GET", "/v1/limits/hourly", "");
    assert_problem(404, "nothing at this path");
    ask("POST", "/v1/limits/hourly/e", "");
    assert_problem(405, "GET, HEAD, PUT, DELETE, OPTIONS");
}

static void test_refund__gives_back(void **state) {
    (void)state;
    forget("hourly", "f");
    check("{\"rule\": \"hourly\", \"key\": \"f\", \"cost\": 3}");
    ask("POST", "/v1/limits/refund", "{\"rule\": \"hourly\", \"key\": \"f\", \"cost\": 2}");
    assert_status(200);
    assert_int_equal(number("remaining"), 2);
    ask("POST", "/v1/limits/refund?rule=hourly&key=f", "");
    assert_int_equal(number("remaining"), 3);
    ask("POST", "/v1/limits/refund", "{\"rule\": \"hourly\"}");
    assert_problem(400, "key: it is missing");
}

// ---- slots

static void test_slots__are_made_renewed_and_deleted(void **state) {
    char said[200], target[200], token[32];
    (void)state;
    forget("jobs", "g");
    ask("POST", "/v1/limits/slots", "{\"rule\": \"jobs\", \"key\": \"g\", \"ttl\": \"10m\"}");
    assert_status(201);
    assert_int_equal(number("remaining"), 1);
    assert_true(fb_str_starts(fb_str_of(header("RateLimit-Policy")), FB_STR("\"jobs\";q=2")));
    assert_null(strstr(header("RateLimit-Policy"), "w=0"));
    (void)snprintf(token, sizeof token, "%s", text("token"));
    ask("POST", "/v1/limits/slots", "{\"rule\": \"jobs\", \"key\": \"g\"}");
    assert_status(201);
    ask("POST", "/v1/limits/slots", "{\"rule\": \"jobs\", \"key\": \"g\"}");
    assert_problem(429, "");
    assert_in_range(atoll(header("Retry-After")), 1, 600);
    (void)snprintf(said, sizeof said,
                   "{\"rule\": \"jobs\", \"key\": \"g\", \"token\": \"%s\", \"ttl\": \"20m\"}", token);
    ask("PUT", "/v1/limits/slots", said);
    assert_status(204);
    (void)snprintf(target, sizeof target, "/v1/limits/slots?rule=jobs&key=g&token=%s", token);
    ask("DELETE", target, "");
    assert_status(204);
    ask("DELETE", target, "");
    assert_problem(404, "no such lease");
    ask("PUT", "/v1/limits/slots", said);
    assert_problem(404, "no such lease");
    ask("GET", "/v1/limits/slots?rule=jobs&key=g", "");
    assert_int_equal(number("remaining"), 1);
    forget("jobs", "g");
}

static void test_slots__are_refused_with_what_is_wrong(void **state) {
    (void)state;
    ask("POST", "/v1/limits/slots", "{\"rule\": \"jobs\"}");
    assert_problem(400, "key: it is missing");
    ask("POST", "/v1/limits/slots", "{\"rule\": \"nosuch\", \"key\": \"a\"}");
    assert_problem(404, "nosuch");
    ask("DELETE", "/v1/limits/slots?rule=jobs&key=a&token=x", "");
    assert_problem(400, "token: expected the token of a lease");
    ask("PUT", "/v1/limits/slots", "{\"rule\": \"jobs\", \"key\": \"a\"}");
    assert_problem(400, "token: it is missing");
}

// ---- figures

static const json_t *find_rule(const char *name) {
    const json_t *list = json_object_get(root, "limits");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *rule = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(rule, "name")), name) == 0) {
            return rule;
        }
    }
    fail_msg("there is no rule '%s'", name);
    return NULL;
}

static void test_figures__are_told_of_each_rule(void **state) {
    (void)state;
    forget("daily", "h");
    check("{\"rule\": \"daily\", \"key\": \"h\", \"cost\": 4}");
    check("{\"rule\": \"daily\", \"key\": \"h\"}");
    ask("GET", "/v1/limits", "");
    assert_status(200);
    const json_t *rule = find_rule("daily");
    assert_true(json_integer_value(json_object_get(rule, "allowed")) >= 1);
    assert_true(json_integer_value(json_object_get(rule, "denied")) >= 1);
    assert_true(json_array_size(json_object_get(rule, "top")) >= 1);
    (void)find_rule("generation");
    assert_true(json_is_true(json_object_get(find_rule("watched"), "shadow")));
    ask("GET", "/metrics", "");
    assert_status(200);
    assert_ok(fb_buf_byte(&last.response.body, '\0'));
    const char *page = last.response.body.ptr;
    assert_non_null(strstr(page, "# TYPE forebay_limit_denied_total counter\n"));
    assert_true(number_behind(page, "\nforebay_limit_denied_total{rule=\"daily\"} ") >= 1);
    assert_true(number_behind(page, "\nforebay_limit_keys{rule=\"daily\"} ") >= 1);
    assert_true(number_behind(page, "\nforebay_limit_bytes{rule=\"daily\"} ") >= 1);
}

// ---- all

static int open_all(void **state) {
    (void)state;
    rig_open(&shared);
    return 0;
}

static int open_waiting(void **state) {
    int result = open_all(state);
    shared.node.waits = true;
    return result;
}

static int close_all(void **state) {
    (void)state;
    json_decref(root);
    root = NULL;
    fb_http_response_release(&last.response);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check__answers_with_a_verdict_and_headers),
        cmocka_unit_test(test_check__denies_with_200_unless_it_is_to_enforce),
        cmocka_unit_test(test_check__never_says_when_what_will_never_be),
        cmocka_unit_test(test_check__takes_the_query_for_proxies),
        cmocka_unit_test(test_check__takes_the_key_from_a_header),
        cmocka_unit_test(test_check__names_the_header_that_it_needs),
        cmocka_unit_test(test_check__asks_several_at_once),
        cmocka_unit_test(test_check__of_the_exempt_and_the_barred),
        cmocka_unit_test(test_check__is_refused_with_what_is_wrong),
        cmocka_unit_test(test_key__is_shown_overridden_and_reset),
        cmocka_unit_test(test_key__is_refused_with_what_is_wrong),
        cmocka_unit_test(test_refund__gives_back),
        cmocka_unit_test(test_slots__are_made_renewed_and_deleted),
        cmocka_unit_test(test_slots__are_refused_with_what_is_wrong),
        cmocka_unit_test(test_figures__are_told_of_each_rule),
    };
    int failed = cmocka_run_group_tests_name("on the spot", tests, open_all, close_all);
    return failed + cmocka_run_group_tests_name("as errands", tests, open_waiting, close_all);
}
