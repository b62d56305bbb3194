// The neutral reply in its three encodings.

#include "node/reply.h"

#include "support.h"

typedef void (*say)(fb_reply *reply);

static void expect_in(say what, fb_encoding encoding, const char *expected) {
    fb_buf out = {0};
    fb_reply reply;
    fb_reply_init(&reply, encoding, &out);
    what(&reply);
    assert_false(fb_reply_failed(&reply));
    assert_str(fb_buf_str(&out), expected);
    fb_buf_release(&out);
}

static void expect(say what, const char *resp2, const char *resp3, const char *json) {
    expect_in(what, FB_ENCODING_RESP2, resp2);
    expect_in(what, FB_ENCODING_RESP3, resp3);
    expect_in(what, FB_ENCODING_JSON, json);
}

static void say_nothing(fb_reply *reply) {
    fb_reply_array(reply, 2);
    fb_reply_null(reply);
    fb_reply_null_array(reply);
}

static void say_scalars(fb_reply *reply) {
    fb_reply_array(reply, 6);
    fb_reply_integer(reply, -7);
    fb_reply_double(reply, 0.1);
    fb_reply_double(reply, 1.0 / 0.0);
    fb_reply_boolean(reply, true);
    fb_reply_status(reply, "OK");
    fb_reply_verbatim(reply, FB_STR("a\nb"));
}

static void test_reply__writes_scalars_in_each_encoding(void **state) {
    expect(say_nothing, "*2\r\n$-1\r\n*-1\r\n", "*2\r\n_\r\n_\r\n", "[null,null]");
    expect(say_scalars, "*6\r\n:-7\r\n$3\r\n0.1\r\n$3\r\ninf\r\n:1\r\n+OK\r\n$3\r\na\nb\r\n",
           "*6\r\n:-7\r\n,0.1\r\n,inf\r\n#t\r\n+OK\r\n=7\r\ntxt:a\nb\r\n",
           "[-7,0.1,null,true,\"OK\",\"a\\nb\"]");
}

static void say_nested(fb_reply *reply) {
    fb_reply_map(reply, 3);
    fb_reply_text(reply, "empty");
    fb_reply_array(reply, 0);
    fb_reply_text(reply, "inner");
    fb_reply_map(reply, 1);
    fb_reply_text(reply, "set");
    fb_reply_set(reply, 1);
    fb_reply_map(reply, 0);
    fb_reply_text(reply, "last");
    fb_reply_json(reply, FB_STR("{\"a\": 1}"));
}

static void test_reply__closes_containers_by_count(void **state) {
    expect(say_nested,
           "*6\r\n$5\r\nempty\r\n*0\r\n$5\r\ninner\r\n*2\r\n$3\r\nset\r\n*1\r\n*0\r\n"
           "$4\r\nlast\r\n$8\r\n{\"a\": 1}\r\n",
           "%3\r\n$5\r\nempty\r\n*0\r\n$5\r\ninner\r\n%1\r\n$3\r\nset\r\n~1\r\n%0\r\n"
           "$4\r\nlast\r\n$8\r\n{\"a\": 1}\r\n",
           "{\"empty\":[],\"inner\":{\"set\":[{}]},\"last\":{\"a\": 1}}");
}

static void say_error(fb_reply *reply) {
    fb_reply_array(reply, 2);
    fb_reply_error(reply, "ERR no class '%s'\r\n", "x\"y");
    fb_reply_integer(reply, 1);
}

static void test_reply__error_stays_one_line_and_one_value(void **state) {
    expect(say_error, "*2\r\n-ERR no class 'x\"y'  \r\n:1\r\n",
           "*2\r\n-ERR no class 'x\"y'  \r\n:1\r\n",
           "[{\"error\":\"ERR no class 'x\\\"y'\\r\\n\"},1]");
}

static void say_long_error(fb_reply *reply) {
    fb_reply_error(reply, "%01024d\xc3\xa9", 0);
}

static void test_reply__long_error_is_cut(void **state) {
    fb_buf out = {0};
    fb_reply reply;
    fb_reply_init(&reply, FB_ENCODING_RESP2, &out);
    say_long_error(&reply);
    assert_int_equal(out.len, 1 + 1023 + 2);
    fb_buf_release(&out);
}

static void say_strange_bytes(fb_reply *reply) {
    fb_reply_array(reply, 4);
    fb_reply_bytes(reply, FB_STR("\x00\x1f\x7f\\\t"));
    fb_reply_bytes(reply, FB_STR("\xff"));
    fb_reply_bytes(reply, FB_STR("\xff\xfe"));
    fb_reply_bytes(reply, FB_STR("\xff\xfe\xfd"));
}

static void test_reply__json_of_any_bytes(void **state) {
    expect_in(say_strange_bytes, FB_ENCODING_JSON,
              "[\"\\u0000\\u001f\x7f\\\\\\t\",{\"base64\":\"/w==\"},{\"base64\":\"//4=\"},"
              "{\"base64\":\"//79\"}]");
}

static void say_strange_keys(fb_reply *reply) {
    fb_reply_map(reply, 3);
    fb_reply_integer(reply, 5);
    fb_reply_integer(reply, 6);
    fb_reply_null(reply);
    fb_reply_boolean(reply, false);
    fb_reply_bytes(reply, FB_STR("\xff"));
    fb_reply_double(reply, 2.5);
}

static void test_reply__json_names_are_strings(void **state) {
    expect_in(say_strange_keys, FB_ENCODING_JSON, "{\"5\":6,\"null\":false,\"base64:/w==\":2.5}");
}

static void say_raw(fb_reply *reply) {
    fb_reply_array(reply, 2);
    fb_reply_raw(reply, FB_STR("1"));
    fb_reply_integer(reply, 2);
}

static void test_reply__raw_counts_as_a_value(void **state) {
    expect_in(say_raw, FB_ENCODING_JSON, "[1,2]");
}

static int say_all_with_little_memory(void *arg) {
    fb_buf out = {0};
    fb_reply reply;
    fb_reply_init(&reply, *(const fb_encoding *)arg, &out);
    fb_reply_array(&reply, 5);
    say_nested(&reply);
    say_scalars(&reply);
    say_strange_bytes(&reply);
    say_error(&reply);
    say_strange_keys(&reply);
    fb_buf_release(&out);
    return fb_reply_failed(&reply) ? FB_ENOMEM : FB_OK;
}

static void test_reply__latches_lack_of_memory(void **state) {
    for (fb_encoding encoding = FB_ENCODING_RESP2; encoding <= FB_ENCODING_JSON; encoding++) {
        assert_true(test_memory_sweep(say_all_with_little_memory, &encoding) > 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply__writes_scalars_in_each_encoding),
        cmocka_unit_test(test_reply__closes_containers_by_count),
        cmocka_unit_test(test_reply__error_stays_one_line_and_one_value),
        cmocka_unit_test(test_reply__long_error_is_cut),
        cmocka_unit_test(test_reply__json_of_any_bytes),
        cmocka_unit_test(test_reply__json_names_are_strings),
        cmocka_unit_test(test_reply__raw_counts_as_a_value),
        cmocka_unit_test(test_reply__latches_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
