// Requests without a socket, on a real engine with a real database.

#include <jansson.h>

#include "http_rig.h"
#include "support.h"

static rig shared;

// ---- asking

static asking last;  // of ask(); lives until the next

static void ask_with(const char *method, const char *target, fb_str body, const char *tags) {
    fb_http_response_release(&last.response);
    asking_init(&last, &shared, method, target);
    last.request.body = body;
    last.request.if_none_match = fb_str_of(tags);
    asking_start(&last);
    asking_await(&last);
}

static void ask(const char *method, const char *target, const char *body) {
    ask_with(method, target, fb_str_of(body), "");
}

static void get(const char *target) {
    ask("GET", target, "");
}

#define assert_status(number) assert_int_equal(last.response.status, number)
#define assert_body(text) assert_str(fb_buf_str(&last.response.body), text)
#define assert_header(name, value) assert_string_equal(asking_header(&last, name), value)
#define header(name) asking_header(&last, name)

// The body as JSON; the caller's to drop.
static json_t *body(void) {
    json_error_t error;
    json_t *root =
        json_loadb(last.response.body.ptr, last.response.body.len, JSON_DECODE_ANY, &error);
    if (root == NULL) {
        fail_msg("%s: %.*s", error.text, FB_STR_ARG(fb_buf_str(&last.response.body)));
    }
    return root;
}

// A problem of that status whose detail holds `words`.
static void assert_problem(int status, const char *words) {
    assert_status(status);
    assert_header("Content-Type", "application/problem+json");
    json_t *root = body();
    assert_int_equal(json_integer_value(json_object_get(root, "status")), status);
    assert_string_equal(json_string_value(json_object_get(root, "title")),
                        fb_http_status_text(status));
    const char *detail = json_string_value(json_object_get(root, "detail"));
    if (detail == NULL || strstr(detail, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", detail, words);
    }
    json_decref(root);
}

static void forget_all(void) {
    fb_invalidation all = {.scope = FB_SCOPE_ALL};
    assert_ok(fb_invalidate(shared.engine, &all, NULL));
}

// ---- routes

static void test_routes__are_listed_and_stand_where_they_are_listed(void **state) {
    (void)state;
    get("/");
    assert_status(200);
    assert_header("Content-Type", "application/json");
    json_t *root = body();
    json_t *routes = json_object_get(root, "routes");
    assert_true(json_array_size(routes) > 15);
    for (size_t i = 0; i < json_array_size(routes); i++) {
        json_t *route = json_array_get(routes, i);
        char path[128];
        const char *pattern = json_string_value(json_object_get(route, "path"));
        const char *brace = strchr(pattern, '{');
        const char *end = brace != NULL ? strchr(brace, '}') + 1 : "";
        (void)snprintf(path, sizeof path, "%.*s%s%s",
                       (int)(brace != NULL ? brace - pattern : (long)strlen(pattern)), pattern,
                       brace != NULL ? "item" : "", strncmp(end, "/{", 2) == 0 ? "/item" : end);
        ask("PATCH", path, "");
        assert_problem(405, "this path takes");
        const char *method = json_string_value(json_object_get(route, "method"));
        assert_non_null(strstr(header("Allow"), method));
    }
    json_decref(root);
}

static void test_routes__say_404_and_405_and_options(void **state) {
    (void)state;
    get("/nothing/here");
    assert_problem(404, "GET / lists");
    get("/v1/keys/");
    assert_problem(404, "nothing at this path");
    get("");
    assert_problem(404, "nothing at this path");
    ask("POST", "/v1/keys/a", "x");
    assert_problem(405, "GET, HEAD, PUT, DELETE, OPTIONS");
    assert_header("Allow", "GET, HEAD, PUT, DELETE, OPTIONS");
    ask("OPTIONS", "/v1/keys/a", "");
    assert_status(204);
    assert_header("Allow", "GET, HEAD, PUT, DELETE, OPTIONS");
    ask("PUT", "/v1/queues/default/jobs", "");  // each method once, however many routes there are
    assert_problem(405, "takes");
    assert_header("Allow", "GET, HEAD, POST, OPTIONS");
    ask("get", "/healthz", "");  // methods are case-sensitive
    assert_status(405);
}

static void test_routes__problems_are_text_whatever_was_asked(void **state) {
    (void)state;
    get("/v1/fetch/%ff%0a?id=1");
    assert_problem(404, "there is no class '?\n'");
    get("/v1/fetch/item?i%c3%a9%c3=1");
    assert_problem(400, "no parameter 'i\xc3\xa9?'");
}

static void test_routes__serve_head_like_get(void **state) {
    (void)state;
    get("/v1/fetch/item?id=1");
    get("/v1/fetch/item?id=1");
    char tag[64];
    (void)snprintf(tag, sizeof tag, "%s", header("ETag"));
    ask("HEAD", "/v1/fetch/item?id=1", "");
    assert_status(200);
    assert_header("ETag", tag);
    assert_body("{\"name\":\"one\"}");  // its length is wanted
    ask("HEAD", "/v1/keys/none", "");
    assert_status(404);
}

static void test_routes__refuse_parameters_they_do_not_know(void **state) {
    (void)state;
    ask("PUT", "/v1/keys/a?tll=5m", "x");
    assert_problem(400, "tll");
    get("/v1/keys/a");
    assert_status(404);
    ask("PUT", "/v1/keys/a?ttl=5m&ttl=1h", "x");
    assert_problem(400, "ttl is given twice");
    get("/v1/keys/a");
    assert_status(404);
    get("/v1/fetch/item?id=1&_timeout=1s&_timeout=2s");
    assert_problem(400, "_timeout is given twice");
    get("/cache/stats?_=12345");  // what defeats caches on the way is no mistake
    assert_status(200);
    char target[4096] = "/v1/fetch/item?";
    for (int i = 0; i < 65; i++) {
        (void)snprintf(target + strlen(target), sizeof target - strlen(target), "&p%d=1", i);
    }
    get(target);
    assert_problem(400, "more than 64");
}

static void test_routes__of_monitoring_stand_under_the_prefix_too(void **state) {
    (void)state;
    static const char *const paths[] = {"/cache/stats", "/cache/metrics", "/cache/status",
                                        "/analytics/dashboard"};
    for (int round = 0; round < 2; round++) {
        shared.node.http_prefix = round == 0 ? "/codette" : "/codette/";
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            char path[64];
            (void)snprintf(path, sizeof path, "/codette%s", paths[i]);
            get(path);
            assert_status(200);
            get(paths[i]);
            assert_status(200);
        }
        get("/codette/v1/stats");
        assert_status(404);
        get("/codettecache/stats");
        assert_status(404);
    }
    shared.node.http_prefix = NULL;
}

// ---- fetch

static void test_fetch__loads_and_then_answers_from_memory(void **state) {
    (void)state;
    forget_all();
    get("/v1/fetch/item?id=1");
    assert_status(200);
    assert_true(last.later);
    assert_body("{\"name\":\"one\"}");
    assert_header("Content-Type", "application/json");
    assert_header("Age", "0");
    assert_non_null(strstr(header("Cache-Status"), "forebay; fwd=miss; stored; ttl="));
    get("/v1/fetch/item?id=1");
    assert_status(200);
    assert_false(last.later);
    assert_body("{\"name\":\"one\"}");
    assert_non_null(strstr(header("Cache-Status"), "forebay; hit; ttl="));
}

static void test_fetch__says_304_to_who_has_it(void **state) {
    (void)state;
    char tags[200];
    get("/v1/fetch/item?id=2");
    (void)snprintf(tags, sizeof tags, "\"other\", W/%s", header("ETag"));
    for (int round = 0; round < 2; round++) {
        ask_with("GET", "/v1/fetch/item?id=2", FB_STR(""), tags);
        assert_status(304);
        assert_int_equal(last.response.body.len, 0);
        assert_non_null(strstr(tags, header("ETag")));
        forget_all();  // the same when it has to be loaded
    }
    ask_with("GET", "/v1/fetch/item?id=2", FB_STR(""), "\"other\"");
    assert_status(200);
    ask_with("GET", "/v1/fetch/item?id=2", FB_STR(""), "*");
    assert_status(304);
    ask_with("GET", "/v1/fetch/item?id=nobody", FB_STR(""), "*");
    assert_status(404);
}

static void test_fetch__knows_what_does_not_exist(void **state) {
    (void)state;
    forget_all();
    get("/v1/fetch/item?id=9");
    assert_problem(404, "class 'item' has nothing for these parameters");
    assert_header("Cache-Status", "forebay; fwd=miss; detail=negative");
    get("/v1/fetch/item?id=9");
    assert_problem(404, "class 'item' has nothing");
    assert_header("Cache-Status", "forebay; hit; detail=negative");
    get("/v1/keys/item:9");
    assert_problem(404, "known not to exist");
}

static void test_fetch__says_what_is_wrong_with_the_question(void **state) {
    (void)state;
    get("/v1/fetch/iten?id=1");
    assert_problem(404, "there is no class 'iten'; did you mean 'item'?");
    get("/v1/fetch/quitedifferent?id=1");
    assert_problem(404, "there is no class 'quitedifferent'");
    get("/v1/fetch/item");
    assert_problem(400, "id");
    get("/v1/fetch/item?id=1&idd=2");
    assert_problem(400, "idd");
    get("/v1/fetch/item?id=1&id=2");
    assert_problem(400, "id");
    get("/v1/fetch/item?id=1&_fresh=1");
    assert_problem(400, "_fresh");
    get("/v1/fetch/item?id=1&_refresh=maybe");
    assert_problem(400, "_refresh");
    get("/v1/fetch/item?id=1&_timeout=5");
    assert_problem(400, "_timeout");
}

static void test_fetch__asks_the_source_again_on_refresh(void **state) {
    (void)state;
    get("/v1/fetch/item?id=3");
    rig_sql(shared.path, "UPDATE item SET name = 'drei' WHERE id = '3'");
    get("/v1/fetch/item?id=3");
    assert_body("{\"name\":\"three\"}");
    get("/v1/fetch/item?id=3&_refresh=1");
    assert_body("{\"name\":\"drei\"}");
    assert_non_null(strstr(header("Cache-Status"), "forebay; fwd=request; stored"));
    get("/v1/fetch/item?id=3&_refresh=0");
    assert_body("{\"name\":\"drei\"}");
    assert_non_null(strstr(header("Cache-Status"), "forebay; hit"));
}

static void test_fetch__waits_as_long_as_it_is_told(void **state) {
    (void)state;
    rig_gate gate;
    rig_hold(&shared, &gate, "slow", FB_OK);
    get("/v1/fetch/item?id=slow&_timeout=5ms");
    assert_problem(504, "");
    asking other;
    asking_init(&other, &shared, "GET", "/v1/fetch/item?id=slow&_timeout=60s");
    asking_start(&other);
    assert_true(other.later);
    rig_release(&gate);
    asking_await(&other);
    assert_int_equal(other.response.status, 200);
    assert_str(fb_buf_str(&other.response.body), "held");
    assert_string_equal(asking_header(&other, "Content-Type"), "application/octet-stream");
    fb_http_response_release(&other.response);
}

static void test_fetch__tells_of_a_source_that_failed(void **state) {
    (void)state;
    // Ids of their own: an error is shared for a while by all who ask for the same.
    static const struct {
        const char *id, *target;
        int result, status;
        const char *code;
    } cases[] = {{"dry", "/v1/fetch/item?id=dry", FB_ESOURCE, 502, "SOURCE"},
                 {"shut", "/v1/fetch/item?id=shut", FB_EDENIED, 502, "DENIED"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig_gate gate;
        asking one;
        rig_hold(&shared, &gate, cases[i].id, cases[i].result);
        asking_init(&one, &shared, "GET", cases[i].target);
        asking_start(&one);
        rig_release(&gate);
        asking_await(&one);
        fb_http_response_release(&last.response);
        last = one;
        assert_problem(cases[i].status, "the well is dry");
        json_t *root = body();
        assert_string_equal(json_string_value(json_object_get(root, "code")), cases[i].code);
        json_decref(root);
    }
}

// ---- keys

static void test_keys__keep_bytes_as_they_are(void **state) {
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
    }
    ask_with("PUT", "/v1/keys/a%2Fb%20c%00d", fb_str_make(bytes, sizeof bytes), "");
    assert_status(204);
    assert_int_equal(last.response.body.len, 0);
    get("/v1/keys/a/b%20c%00d");
    assert_status(200);
    assert_header("Content-Type", "application/octet-stream");
    assert_header("Cache-Status", "forebay; hit");
    assert_bytes(fb_buf_str(&last.response.body), fb_str_make(bytes, sizeof bytes));
    ask("DELETE", "/v1/keys/a%2fb%20c%00d", "");
    assert_status(204);
    ask("DELETE", "/v1/keys/a%2fb%20c%00d", "");
    assert_problem(404, "no such key");
    get("/v1/keys/a/b%20c%00d");
    assert_problem(404, "no such key");
}

static void test_keys__keep_json_as_json(void **state) {
    (void)state;
    ask("PUT", "/v1/keys/j", " {\"a\": 1.0} ");
    get("/v1/keys/j");
    assert_header("Content-Type", "application/json");
    assert_body(" {\"a\": 1.0} ");
    ask("PUT", "/v1/keys/j", "");
    assert_status(204);
    get("/v1/keys/j");
    assert_status(200);
    assert_body("");
}

static void test_keys__go_when_their_time_or_tag_says_so(void **state) {
    (void)state;
    ask("PUT", "/v1/keys/t?ttl=1h&tags=red%2Cround,x+y", "v");
    assert_status(204);
    get("/v1/keys/t");
    assert_non_null(strstr(header("Cache-Status"), "forebay; hit; ttl=3"));
    get("/v1/explain?key=t");
    json_t *root = body();
    json_t *tags = json_object_get(root, "tags");
    assert_int_equal(json_array_size(tags), 3);
    json_decref(root);
    ask("POST", "/v1/invalidate", "{\"tags\":\"x y\"}");
    assert_status(200);
    get("/v1/keys/t");
    assert_status(404);
}

static void test_keys__refuse_what_they_cannot_keep(void **state) {
    (void)state;
    static const char *const queries[] = {"ttl=5",
                                          "ttl=0",
                                          "ttl=",
                                          "ttl=1us",
                                          "tags=,",
                                          "tags=a,,b",
                                          "tags=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"};
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        char target[128];
        (void)snprintf(target, sizeof target, "/v1/keys/a?%s", queries[i]);
        ask("PUT", target, "x");
        assert_problem(400, i < 4 ? "ttl is a time" : "tags are at most 16");
    }
    size_t len = 16 << 20;
    char *large = malloc(len);
    memset(large, 'x', len);
    ask_with("PUT", "/v1/keys/large", fb_str_make(large, len), "");
    assert_problem(413, "larger than");
    free(large);
    get("/v1/keys/a");
    assert_status(404);
}

static void test_keys__decode_what_is_an_escape_and_nothing_else(void **state) {
    (void)state;
    ask("PUT", "/v1/keys/100%", "x");
    ask("PUT", "/v1/keys/a+b%4", "y");
    assert_ok(fb_exists(shared.engine, FB_STR("100%")));
    assert_ok(fb_exists(shared.engine, FB_STR("a+b%4")));
    get("/v1/fetch/item?id=a+b%2Bc%zz&");  // '+' is a space in a query
    get("/v1/explain?key=item:a%20b%2Bc%25zz");
    json_t *root = body();
    assert_true(json_is_true(json_object_get(root, "negative")));
    json_decref(root);
}

// ---- invalidate and warm

static bool is_there(const char *key) {
    return fb_exists(shared.engine, fb_str_of(key)) == FB_OK;
}

static void fill(void) {
    static const char *const keys[] = {"/v1/keys/p:1", "/v1/keys/p:2", "/v1/keys/q:1?tags=t"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        ask("PUT", keys[i], "x");
        assert_status(204);
    }
    get("/v1/fetch/item?id=1");
    assert_status(200);
}

static void assert_there(bool p1, bool p2, bool q1, bool item) {
    assert_int_equal(is_there("p:1"), p1);
    assert_int_equal(is_there("p:2"), p2);
    assert_int_equal(is_there("q:1"), q1);
    assert_int_equal(is_there("item:1"), item);
}

static void invalidate(const char *json, const char *answer) {
    fill();
    ask("POST", "/v1/invalidate", json);
    assert_status(200);
    assert_body(answer);
}

static void test_invalidate__takes_every_scope(void **state) {
    (void)state;
    invalidate("{\"keys\":[\"p:1\",\"p:nothing\"]}",
               "{\"removed\":1,\"invalidated\":2,\"soft\":false}\n");
    assert_there(false, true, true, true);
    invalidate("{\"keys\":\"p:1\"}", "{\"removed\":1,\"invalidated\":1,\"soft\":false}\n");
    assert_there(false, true, true, true);
    invalidate("{\"patterns\":[\"p:*\"]}", "{\"removed\":2,\"invalidated\":1,\"soft\":false}\n");
    assert_there(false, false, true, true);
    invalidate("{\"tags\":[\"t\",\"kind:1\"]}",
               "{\"removed\":null,\"invalidated\":2,\"soft\":false}\n");
    assert_there(true, true, false, false);
    invalidate("{\"classes\":[\"item\"],\"keys\":\"p:2\"}",
               "{\"removed\":null,\"invalidated\":2,\"soft\":false}\n");
    assert_there(true, false, true, false);
    invalidate("{\"namespaces\":\"default\"}",
               "{\"removed\":null,\"invalidated\":1,\"soft\":false}\n");
    assert_false(is_there("item:1"));
    fill();
    ask("POST", "/v1/invalidate", "{\"all\":true}");
    assert_status(200);
    assert_there(false, false, false, false);
    fill();
    ask("POST", "/v1/invalidate", "{\"classes\":\"item\",\"soft\":true}");
    assert_status(200);
}

static void test_invalidate__changes_nothing_where_the_body_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *json, *words;
    } cases[] = {
        {"", "no JSON object"},
        {"{\"keys\":", "no JSON object: line 1"},
        {"[\"p:1\"]", "no object"},
        {"{}", "nothing to invalidate"},
        {"{\"keys\":[]}", "nothing to invalidate"},
        {"{\"all\":false}", "nothing to invalidate"},
        {"{\"keis\":[\"p:1\"]}", "'keis' is unknown here"},
        {"{\"keys\":[\"p:1\",7]}", "keys: expected"},
        {"{\"keys\":{\"p:1\":1}}", "keys: expected"},
        {"{\"keys\":\"p:1\",\"soft\":1}", "soft: expected true or false"},
        {"{\"keys\":\"p:1\",\"keys\":\"p:2\"}", "duplicate"},
    };
    fill();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask("POST", "/v1/invalidate", cases[i].json);
        assert_problem(400, cases[i].words);
    }
    ask("POST", "/v1/invalidate", "{\"classes\":\"itm\",\"keys\":\"p:1\"}");
    assert_problem(404, "there is no class 'itm'; did you mean 'item'?");
    ask("POST", "/v1/invalidate", "{\"namespaces\":\"none\",\"keys\":\"p:1\"}");
    assert_problem(404, "there is no namespace 'none'");
    assert_there(true, true, true, true);
}

static void await_key(const char *key) {
    for (int tries = 0; !is_there(key); tries++) {
        struct timespec moment = {0, 1000000};
        assert_true(tries < 20000);
        (void)nanosleep(&moment, NULL);
    }
}

static void test_warm__loads_in_the_background(void **state) {
    (void)state;
    forget_all();
    ask("POST", "/v1/warm", "{\"class\":\"item\",\"params\":{\"id\":\"1\"}}");
    assert_status(202);
    assert_body("{\"started\":1}\n");
    await_key("item:1");
    ask("POST", "/v1/warm", "{\"class\":\"item\",\"params\":{\"id\":2}}");
    assert_status(202);
    await_key("item:2");
    ask("POST", "/v1/warm", "{\"class\":\"item\",\"top\":10}");
    assert_status(202);
}

static void test_warm__says_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *json;
        int status;
        const char *words;
    } cases[] = {
        {"{}", 400, "class: expected"},
        {"{\"class\":7}", 400, "class: expected"},
        {"{\"class\":\"itme\"}", 404, "did you mean 'item'?"},
        {"{\"class\":\"item\"}", 400, "warm"},
        {"{\"class\":\"item\",\"params\":[]}", 400, "params: expected"},
        {"{\"class\":\"item\",\"params\":{\"id\":1.5}}", 400, "params.id: expected"},
        {"{\"class\":\"item\",\"params\":{\"ix\":\"1\"}}", 400, "ix"},
        {"{\"class\":\"item\",\"top\":-1}", 400, "top: expected"},
        {"{\"class\":\"item\",\"top\":1,\"params\":{}}", 400, "top: expected"},
        {"{\"class\":\"item\",\"tops\":1}", 400, "'tops' is unknown"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask("POST", "/v1/warm", cases[i].json);
        assert_problem(cases[i].status, cases[i].words);
    }
}

// ---- looking

static void test_classes__are_shown_as_they_are_configured(void **state) {
    (void)state;
    get("/v1/classes");
    assert_status(200);
    json_t *root = body();
    json_t *classes = json_object_get(root, "classes");
    assert_int_equal(json_array_size(classes), 1);
    json_t *item = json_array_get(classes, 0);
    assert_string_equal(json_string_value(json_object_get(item, "name")), "item");
    assert_string_equal(json_string_value(json_object_get(item, "key")), "item:{id}");
    assert_string_equal(json_string_value(json_object_get(item, "ttl")), "1h");
    assert_string_equal(json_string_value(json_object_get(item, "source")), "items");
    json_decref(root);
}

static void test_explain__knows_a_key(void **state) {
    (void)state;
    get("/v1/fetch/item?id=1");
    get("/v1/explain?key=item%3A1");
    assert_status(200);
    json_t *root = body();
    assert_string_equal(json_string_value(json_object_get(root, "key")), "item:1");
    assert_string_equal(json_string_value(json_object_get(root, "class")), "item");
    assert_string_equal(json_string_value(json_object_get(root, "tier")), "memory");
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "tags"), 0)),
                        "kind:1");
    json_decref(root);
    get("/v1/explain?key=item:no%20such");
    root = body();
    assert_string_equal(json_string_value(json_object_get(root, "class")), "item");
    assert_string_equal(json_string_value(json_object_get(root, "tier")), "none");
    assert_string_equal(json_string_value(json_object_get(root, "freshness")), "none");
    assert_string_equal(json_string_value(json_object_get(root, "kind")), "none");
    json_decref(root);
    get("/v1/explain");
    assert_problem(400, "which key?");
}

static void test_stats__have_every_counter_of_each_class(void **state) {
    (void)state;
    forget_all();
    fb_stats_reset(shared.engine);
    get("/v1/fetch/item?id=1");
    get("/v1/fetch/item?id=1");
    get("/v1/fetch/item?id=1");
    get("/v1/stats");
    assert_status(200);
    json_t *root = body();
    json_t *item = json_array_get(json_object_get(root, "classes"), 1);
    assert_string_equal(json_string_value(json_object_get(item, "name")), "item");
    json_t *rows[] = {item, json_object_get(root, "all")};
    for (size_t i = 0; i < 2; i++) {
#define HAS_COUNTER(field, help) assert_true(json_is_integer(json_object_get(rows[i], #field)));
        FB_CACHE_COUNTERS(HAS_COUNTER)
#undef HAS_COUNTER
        assert_int_equal(json_integer_value(json_object_get(rows[i], "hits")), 2);
        assert_int_equal(json_integer_value(json_object_get(rows[i], "misses")), 1);
        assert_int_equal(json_integer_value(json_object_get(rows[i], "source_requests_avoided")),
                         2);
        assert_true(json_is_real(json_object_get(json_object_get(rows[i], "miss"), "p99_ms")));
        json_t *tiers = json_object_get(rows[i], "tiers");
        json_t *memory = json_object_get(tiers, "memory");
        json_t *source = json_object_get(tiers, "source");
        assert_int_equal(json_integer_value(json_object_get(memory, "hits")), 2);
        assert_int_equal(json_integer_value(json_object_get(source, "requests")), 1);
        assert_int_equal(json_integer_value(json_object_get(source, "hits")), 1);
        assert_true(json_is_object(json_object_get(tiers, "shared")));
    }
    json_decref(root);
}

static void test_health__is_said_and_readiness_ends_with_draining(void **state) {
    (void)state;
    get("/healthz");
    assert_status(200);
    json_t *root = body();
    assert_string_equal(json_string_value(json_object_get(root, "status")), "ok");
    json_t *mail = json_object_get(root, "mail");
    assert_string_equal(json_string_value(json_object_get(mail, "maildir")), "up");
    assert_string_equal(json_string_value(json_object_get(root, "mode")), "memory");
    json_decref(root);
    get("/readyz");
    assert_status(200);
    shared.node.draining = true;
    get("/readyz");
    assert_problem(503, "stopping");
    get("/healthz");
    assert_status(200);
    shared.node.draining = false;
}

// ---- /metrics

// name{label="…",…} number
static const char *check_sample(const char *line, const char *family) {
    const char *at = line;
    size_t len = strlen(family);
    assert_int_equal(strncmp(at, family, len), 0);
    at += len;
    if (strncmp(at, "_sum", 4) == 0) {
        at += 4;
    } else if (strncmp(at, "_count", 6) == 0) {
        at += 6;
    } else if (strncmp(at, "_bucket", 7) == 0) {
        at += 7;
    }
    if (*at == '{') {
        at = strchr(at, '}') + 1;
    }
    assert_int_equal(*at, ' ');
    char *end;
    double value = strtod(at + 1, &end);
    assert_true(end > at + 1 && *end == '\n' && value >= 0 && value < 1e18);
    return end + 1;
}

static void test_metrics__are_families_of_samples(void **state) {
    (void)state;
    get("/v1/fetch/item?id=1");
    get("/metrics");
    assert_status(200);
    assert_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    assert_ok(fb_buf_byte(&last.response.body, '\0'));
    const char *at = last.response.body.ptr;
    size_t families = 0;
    while (*at != '\0') {
        char family[80], again[80], type[16];
        assert_int_equal(sscanf(at, "# HELP %79s ", family), 1);
        at = strchr(at, '\n') + 1;
        assert_int_equal(sscanf(at, "# TYPE %79s %15s", again, type), 2);
        assert_string_equal(family, again);
        bool counts = strcmp(type, "counter") == 0;
        size_t len = strlen(family);
        assert_int_equal(counts, strcmp(family + len - 6, "_total") == 0);
        at = strchr(at, '\n') + 1;
        size_t samples = 0;
        for (; *at != '\0' && *at != '#'; samples++) {
            at = check_sample(at, family);
        }
        assert_true(samples > 0);
        families++;
    }
    assert_true(families > 30);
    assert_non_null(strstr(last.response.body.ptr, "\nforebay_cache_hits_total{class=\"item\"} "));
}

// ---- memory

typedef struct shortage {
    asking *one;
    size_t fail_at;
} shortage;

static void handle_in_want(void *arg) {
    shortage *is = arg;
    test_memory_fail(is->fail_at);
    asking_handle(is->one);
}

// Whichever allocation fails, there is an answer: the usual one, or 503. What the engine's other
// threads ask for may meet the failure instead.
static void assert_answers_in_want(const char *method, const char *target, const char *text) {
    test_memory *memory = test_memory_get();
    bool failed = true;
    ask(method, target, text);
    int usual = last.response.status;
    for (size_t n = 1; failed; n++) {
        asking one;
        shortage is = {&one, n};
        asking_init(&one, &shared, method, target);
        one.request.body = fb_str_of(text);
        rig_on_loop(&shared, handle_in_want, &is);
        asking_await(&one);
        failed = memory->failed;
        test_memory_fail(0);
        if (one.response.status != usual && one.response.status != 503) {
            fail_msg("%s %s, allocation %zu: %d", method, target, n, one.response.status);
        }
        fb_http_response_release(&one.response);
    }
}

static void test_http__answers_when_memory_is_short(void **state) {
    (void)state;
    static const char *const gets[] = {
        "/",
        "/nothing",
        "/v1/fetch/item?id=1",
        "/v1/fetch/item?id=1&_refresh=1",
        "/v1/fetch/itm?id=1",
        "/v1/keys/item:1",
        "/v1/classes",
        "/v1/stats",
        "/v1/explain?key=item:1",
        "/analytics/dashboard",
        "/cache/metrics",
        "/metrics",
        "/healthz",
    };
    for (size_t i = 0; i < sizeof gets / sizeof gets[0]; i++) {
        assert_answers_in_want("GET", gets[i], "");
    }
    assert_answers_in_want("PUT", "/v1/keys/a?ttl=1h&tags=b", "x");
    assert_answers_in_want("POST", "/v1/invalidate", "{\"keys\":[\"a\",\"b\"]}");
}

// ----

static int open_rig(void **state) {
    (void)state;
    (void)test_memory_get();  // before there are threads
    rig_open(&shared);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    fb_http_response_release(&last.response);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes__are_listed_and_stand_where_they_are_listed),
        cmocka_unit_test(test_routes__say_404_and_405_and_options),
        cmocka_unit_test(test_routes__problems_are_text_whatever_was_asked),
        cmocka_unit_test(test_routes__serve_head_like_get),
        cmocka_unit_test(test_routes__refuse_parameters_they_do_not_know),
        cmocka_unit_test(test_routes__of_monitoring_stand_under_the_prefix_too),
        cmocka_unit_test(test_fetch__loads_and_then_answers_from_memory),
        cmocka_unit_test(test_fetch__says_304_to_who_has_it),
        cmocka_unit_test(test_fetch__knows_what_does_not_exist),
        cmocka_unit_test(test_fetch__says_what_is_wrong_with_the_question),
        cmocka_unit_test(test_fetch__asks_the_source_again_on_refresh),
        cmocka_unit_test(test_fetch__waits_as_long_as_it_is_told),
        cmocka_unit_test(test_fetch__tells_of_a_source_that_failed),
        cmocka_unit_test(test_keys__keep_bytes_as_they_are),
        cmocka_unit_test(test_keys__keep_json_as_json),
        cmocka_unit_test(test_keys__go_when_their_time_or_tag_says_so),
        cmocka_unit_test(test_keys__refuse_what_they_cannot_keep),
        cmocka_unit_test(test_keys__decode_what_is_an_escape_and_nothing_else),
        cmocka_unit_test(test_invalidate__takes_every_scope),
        cmocka_unit_test(test_invalidate__changes_nothing_where_the_body_is_wrong),
        cmocka_unit_test(test_warm__loads_in_the_background),
        cmocka_unit_test(test_warm__says_what_is_wrong),
        cmocka_unit_test(test_classes__are_shown_as_they_are_configured),
        cmocka_unit_test(test_explain__knows_a_key),
        cmocka_unit_test(test_stats__have_every_counter_of_each_class),
        cmocka_unit_test(test_health__is_said_and_readiness_ends_with_draining),
        cmocka_unit_test(test_metrics__are_families_of_samples),
        cmocka_unit_test(test_http__answers_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
