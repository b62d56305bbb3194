// Many keys, conditions, leases and documents without a socket: what is refused and how, and that a want
// of memory is an answer. What is right of them tests/system/test_http_api.py asks.

#include <jansson.h>

#include "http_rig.h"
#include "node/events.h"
#include "support.h"

static rig shared;
static asking last;  // of ask(); lives until the next

static void ask_by(const char *method, const char *target, const char *body,
                   const fb_http_request *headers) {
    fb_http_response_release(&last.response);
    asking_init(&last, &shared, method, target);
    fb_http_request plain = last.request;
    if (headers != NULL) {
        last.request = *headers;
        last.request.method = plain.method;
        last.request.path = plain.path;
        last.request.query = plain.query;
    }
    last.request.body = fb_str_of(body);
    asking_start(&last);
    asking_await(&last);
}

static void ask(const char *method, const char *target, const char *body) {
    ask_by(method, target, body, NULL);
}

static void post(const char *target, const char *body) {
    ask("POST", target, body);
}

#define assert_status(number) assert_int_equal(last.response.status, number)
#define header(name) asking_header(&last, name)

static void assert_says(int status, const char *words) {
    assert_status(status);
    assert_ok(fb_buf_byte(&last.response.body, '\0'));
    if (strstr(last.response.body.ptr, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", last.response.body.ptr, words);
    }
}

// ---- bodies

static void test_keys__refuse_what_is_no_list_of_keys(void **state) {
    (void)state;
    static const struct {
        const char *target, *body, *words;
    } cases[] = {
        {"/v1/keys/get", "{}", "keys: expected a list of 1 to 1000"},
        {"/v1/keys/get", "{\"keys\": []}", "keys: expected a list"},
        {"/v1/keys/get", "{\"keys\": [1]}", "keys[0]: expected a key"},
        {"/v1/keys/get", "{\"keys\": [\"\"]}", "from 1 to 65535"},
        {"/v1/keys/get", "{\"keys\": [{\"base64\": \"?\"}]}", "no base64"},
        {"/v1/keys/get", "{\"keys\": [\"a\"], \"kyes\": 1}", "'kyes' is unknown here: there are keys"},
        {"/v1/keys/get", "[]", "no object"},
        {"/v1/keys/get", "", "no JSON object"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\"}]}", "items[0]: value: it is missing"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\", \"value\": 1, \"value_encoding\": \"text\"}]}",
         "value: expected a string"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\", \"value\": 1, \"value_encoding\": \"hex\"}]}",
         "json, text or base64"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\", \"value\": \"x\", \"ttl\": 5}]}", "ttl: expected"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\", \"value\": \"x\", \"tags\": [\"\"]}]}",
         "tags: expected"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\", \"value\": \"x\", \"srcver\": 0}]}", "srcver"},
        {"/v1/keys/set", "{\"items\": [{\"key\": \"a\", \"value\": \"x\", \"tll\": 0}]}", "'tll' is unknown"},
        {"/v1/keys/incr", "{\"key\": \"a\", \"by\": \"1\"}", "by: expected a whole number"},
        {"/v1/keys/expire", "{\"key\": \"a\"}", "ttl: expected a time"},
        {"/v1/keys/expire", "{\"key\": \"a\", \"ttl\": \"soon\"}", "ttl: expected a time"},
        {"/v1/keys/lease", "{\"key\": \"a\", \"lease_ms\": -1}", "lease_ms"},
        {"/v1/keys/lease", "{\"key\": \"a\", \"minseq\": \"x\"}", "no token of a change"},
        {"/v1/keys/fill", "{\"key\": \"a\", \"value\": \"x\"}", "token: expected that of a lease"},
        {"/v1/keys/fill", "{\"key\": \"a\", \"value\": \"x\", \"token\": \"99999999999999999999\"}",
         "token: expected that of a lease"},
        {"/v1/keys/hold", "{\"key\": \"a\", \"hold_ms\": 3600001}", "hold_ms"},
        {"/v1/fetch", "{\"requests\": [{}]}", "requests[0]: class"},
        {"/v1/fetch", "{\"requests\": [{\"class\": \"item\", \"id\": 1}]}", "there are class, params"},
        {"/v1/fetch", "{\"requests\": [{\"class\": \"item\", \"params\": {\"id\": 1.5}}]}", "params.id"},
        {"/v1/fetch", "{\"requests\": [{\"class\": \"item\", \"params\": []}]}", "params: expected an object"},
        {"/v1/fetch", "{\"requests\": [{\"class\": \"item\", \"timeout_ms\": 0}]}", "timeout_ms"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        post(cases[i].target, cases[i].body);
        assert_says(400, cases[i].words);
    }
    ask("GET", "/v1/keys/a", "");
    assert_status(404);  // nothing was stored
}

static void test_keys__a_mistake_in_one_item_stores_none(void **state) {
    (void)state;
    post("/v1/keys/set", "{\"items\": [{\"key\": \"first\", \"value\": \"x\"}, {\"key\": \"second\"}]}");
    assert_says(400, "items[1]: value");
    ask("GET", "/v1/keys/first", "");
    assert_status(404);
}

static void test_keys__numbers_add_up_or_say_why_not(void **state) {
    (void)state;
    post("/v1/keys/incr", "{\"key\": \"sum\", \"by\": 9223372036854775807}");
    assert_says(200, "{\"value\":9223372036854775807}");
    post("/v1/keys/incr", "{\"key\": \"sum\"}");
    assert_says(409, "does not fit");
    ask("PUT", "/v1/keys/sum", "five");
    post("/v1/keys/incr", "{\"key\": \"sum\"}");
    assert_says(409, "no whole number");
}

// ---- conditions

static fb_http_request with(const char *if_match, const char *if_none_match, const char *type) {
    return (fb_http_request){.if_match = fb_str_of(if_match),
                             .if_none_match = fb_str_of(if_none_match),
                             .content_type = fb_str_of(type)};
}

static void test_conditions__hold_or_nothing_changes(void **state) {
    (void)state;
    fb_http_request created = with("", "*", "");
    ask_by("PUT", "/v1/keys/once?ttl=1h", "one", &created);
    assert_status(204);
    char tag[64];
    (void)snprintf(tag, sizeof tag, "%s", header("ETag"));
    ask_by("PUT", "/v1/keys/once", "two", &created);
    assert_says(412, "another value");
    assert_string_equal(header("ETag"), tag);
    fb_http_request same = with(tag, "", "");
    ask_by("PUT", "/v1/keys/once?tags=a", "two", &same);
    assert_says(400, "do not go together");
    fb_http_request both = with(tag, "\"other\", *", "");
    ask_by("DELETE", "/v1/keys/once", "", &both);
    assert_says(412, "another value");
    ask_by("DELETE", "/v1/keys/once", "", &same);
    assert_status(204);
    ask_by("DELETE", "/v1/keys/once", "", &same);
    assert_says(412, "no such key");
}

static void test_conditions__are_refused_if_no_tag_could_ever_be_meant(void **state) {
    (void)state;
    static const char *const wrong[] = {"5d9a", "\"a", "\"a\" \"b\"", "W/5d9a", "\"a\", b", "a*"};
    static const char *const right[] = {"\"5d9a\"", "W/\"a,b\"", " , \"a\" ,, W/\"b\" ", "\"\""};
    ask("PUT", "/v1/keys/kept", "one");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fb_http_request none_match = with("", wrong[i], "");
        fb_http_request match = with(wrong[i], "", "");
        ask_by("PUT", "/v1/keys/kept", "two", &none_match);
        assert_says(400, "tags in quotes");
        ask_by("DELETE", "/v1/keys/kept", "", &match);
        assert_says(400, "tags in quotes");
    }
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        fb_http_request match = with(right[i], "", "");
        ask_by("PUT", "/v1/keys/kept", "two", &match);
        assert_status(412);
    }
    ask("GET", "/v1/keys/kept", "");
    assert_says(200, "one");
}

static void test_bodies__that_are_not_what_they_seem_are_stored_nowhere(void **state) {
    (void)state;
    fb_http_request packed = {.content_encoding = FB_STR("gzip")};
    fb_http_request part = {.content_range = FB_STR("bytes 0-2/10")};
    ask_by("PUT", "/v1/keys/whole", "x", &packed);
    assert_says(415, "Content-Encoding");
    assert_string_equal(header("Accept-Encoding"), "identity");
    ask_by("PUT", "/v1/keys/whole", "x", &part);
    assert_says(400, "Content-Range");
    ask("GET", "/v1/keys/whole", "");
    assert_status(404);
}

static void test_types__are_kept_if_they_are_text(void **state) {
    (void)state;
    fb_http_request image = with("", "", " image/png ");
    fb_http_request broken = with("", "", "a/\x01");
    ask_by("PUT", "/v1/keys/typed?ttl=1h", "x", &image);
    assert_status(204);
    ask("GET", "/v1/keys/typed", "");
    assert_string_equal(header("Content-Type"), "image/png");
    ask_by("PUT", "/v1/keys/typed", "x", &broken);
    assert_says(400, "Content-Type");
    ask("PUT", "/v1/keys/typed?tags=%02x", "x");
    assert_status(400);  // as a tag it is forebay's own
}

// ---- documents

static void test_openapi__has_every_route_and_refers_to_nothing_missing(void **state) {
    (void)state;
    ask("GET", "/openapi.json", "");
    assert_status(200);
    json_t *root = json_loadb(last.response.body.ptr, last.response.body.len, 0, NULL);
    const json_t *paths = json_object_get(root, "paths");
    size_t operations = 0;
    const char *name;
    json_t *path;
    json_object_foreach((json_t *)(uintptr_t)paths, name, path) {
        operations += json_object_size(path);
    }
    ask("GET", "/", "");
    json_t *index = json_loadb(last.response.body.ptr, last.response.body.len, 0, NULL);
    assert_int_equal(operations, json_array_size(json_object_get(index, "routes")));
    const json_t *schemas = json_object_get(json_object_get(root, "components"), "schemas");
    assert_non_null(json_object_get(schemas, "Problem"));
    json_decref(root);
    json_decref(index);
}

static void test_events__are_lines_with_one_document(void **state) {
    (void)state;
    fb_buf out = {0};
    ask("GET", "/v1/events", "");
    assert_status(200);
    assert_string_equal(header("Content-Type"), "text/event-stream");
    assert_int_equal(last.response.every_ms, 1000);
    ask("GET", "/v1/events?every=30s", "");
    assert_int_equal(last.response.every_ms, 30000);
    ask("GET", "/v1/events?every=2m", "");
    assert_says(400, "every: a time from 1s to 1m");
    assert_ok(fb_events_write(&shared.node, 7, &out));
    assert_ok(fb_buf_byte(&out, '\0'));
    assert_int_equal(strncmp(out.ptr, "id: 7\nevent: figures\ndata: {", 28), 0);
    assert_string_equal(out.ptr + out.len - 4, "}\n\n");
    assert_ptr_equal(strchr(strstr(out.ptr, "data: "), '\n'), out.ptr + out.len - 3);
    fb_buf_release(&out);
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

// Whichever allocation fails, there is an answer: the usual one, or 503.
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
    ask("PUT", "/v1/keys/want", "x");
    assert_answers_in_want("GET", "/openapi.json", "");
    assert_answers_in_want("GET", "/v1/keys", "");
    assert_answers_in_want("GET", "/v1/config", "");
    assert_answers_in_want("GET", "/v1/shared", "");
    assert_answers_in_want("GET", "/v1/events", "");
    assert_answers_in_want("GET", "/v1/key/item?id=1", "");
    assert_answers_in_want("GET", "/v1/stats?window=hour", "");
    assert_answers_in_want("POST", "/v1/keys/get", "{\"keys\": [\"want\", {\"base64\": \"/w==\"}]}");
    assert_answers_in_want("POST", "/v1/keys/set",
                           "{\"items\": [{\"key\": \"want\", \"value\": {\"a\": [1]}, \"ttl\": \"1h\"}]}");
    assert_answers_in_want("POST", "/v1/keys/delete", "{\"keys\": [\"none\"]}");
    assert_answers_in_want("POST", "/v1/keys/incr", "{\"key\": \"counted\"}");
    assert_answers_in_want("POST", "/v1/fetch",
                           "{\"requests\": [{\"class\": \"item\", \"params\": {\"id\": 1}}, {\"class\": \"x\"}]}");
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

static void test_types__what_is_not_wanted_is_not_sent(void **state) {
    (void)state;
    static const struct {
        const char *accept;
        int status;
    } rows[] = {{"*/*;q=0", 406}, {"*/*;q=0.00", 406}, {"text/html, */*; q=0.", 406},
                {"application/json;q=0.1", 200}, {"text/html;q=0, */*", 200}, {"*/*;q=", 200}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask_by("GET", "/v1/classes", "", &(fb_http_request){.accept = fb_str_of(rows[i].accept)});
        assert_status(rows[i].status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys__refuse_what_is_no_list_of_keys),
        cmocka_unit_test(test_keys__a_mistake_in_one_item_stores_none),
        cmocka_unit_test(test_keys__numbers_add_up_or_say_why_not),
        cmocka_unit_test(test_conditions__hold_or_nothing_changes),
        cmocka_unit_test(test_conditions__are_refused_if_no_tag_could_ever_be_meant),
        cmocka_unit_test(test_bodies__that_are_not_what_they_seem_are_stored_nowhere),
        cmocka_unit_test(test_types__are_kept_if_they_are_text),
        cmocka_unit_test(test_openapi__has_every_route_and_refers_to_nothing_missing),
        cmocka_unit_test(test_events__are_lines_with_one_document),
        cmocka_unit_test(test_http__answers_when_memory_is_short),
        cmocka_unit_test(test_types__what_is_not_wanted_is_not_sent),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
