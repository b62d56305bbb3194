// Values as a client reads them.

#include "support.h"

#include "resp_feed.h"

typedef struct golden {
    fb_str stream;
    const char *shown;
} golden;

static const golden goldens[] = {
    {FB_STR_INIT(""), ""},
    // RESP2
    {FB_STR_INIT("+OK\r\n-ERR no\r\n:42\r\n$5\r\nhello\r\n"),
     "+'OK'\n-'ERR no'\n:42\n'hello'\n"},
    {FB_STR_INIT("+\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n"), "+''\n''\nnull\nnull\n[]\n"},
    {FB_STR_INIT("$8\r\n\0\xff\r\n+a\r\n\r\n"), "'\\x00\\xff\\x0d\\x0a+a\\x0d\\x0a'\n"},
    {FB_STR_INIT(":-9223372036854775808\r\n:9223372036854775807\r\n:+5\r\n:0\r\n"),
     ":-9223372036854775808\n:9223372036854775807\n:5\n:0\n"},
    {FB_STR_INIT("*3\r\n:1\r\n*2\r\n$1\r\na\r\n*1\r\n+x\r\n$-1\r\n+y\r\n"),
     "[:1 ['a' [+'x']] null]\n+'y'\n"},
    {FB_STR_INIT("*2\r\n*0\r\n*2\r\n*1\r\n*0\r\n*1\r\n:1\r\n"), "[[] [[[]] [:1]]]\n"},
    // RESP3
    {FB_STR_INIT("_\r\n#t\r\n#f\r\n,1.5\r\n,-1e3\r\n,inf\r\n,-inf\r\n,nan\r\n,10\r\n"),
     "null\n#1\n#0\n,1.5\n,-1000\n,inf\n,-inf\n,nan\n,10\n"},
    {FB_STR_INIT("(12345678901234567890123\r\n(-1\r\n=7\r\ntxt:abc\r\n=4\r\nmkd:\r\n"),
     "('12345678901234567890123'\n('-1'\n='abc'\n=''\n"},
    {FB_STR_INIT("!8\r\nERR a\r\nb\r\n"), "-'ERR a\\x0d\\x0ab'\n"},
    {FB_STR_INIT("%2\r\n+a\r\n:1\r\n+b\r\n~2\r\n:1\r\n:2\r\n"), "{+'a' :1 +'b' (:1 :2)}\n"},
    {FB_STR_INIT("%0\r\n~0\r\n>0\r\n"), "{}\n()\n<>\n"},
    {FB_STR_INIT(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"), "<'invalidate' ['k']>\n"},
    // attributes
    {FB_STR_INIT("|1\r\n+ttl\r\n:9\r\n+OK\r\n"), "+'OK'\n"},
    {FB_STR_INIT("|0\r\n:1\r\n"), ":1\n"},
    {FB_STR_INIT("*2\r\n:1\r\n|1\r\n+a\r\n*2\r\n:8\r\n%1\r\n:8\r\n:8\r\n:2\r\n:3\r\n"),
     "[:1 :2]\n:3\n"},
    {FB_STR_INIT("|1\r\n|1\r\n+x\r\n+y\r\n+a\r\n+b\r\n|1\r\n+c\r\n+d\r\n*1\r\n:1\r\n"), "[:1]\n"},
    // unfinished
    {FB_STR_INIT("+O"), "more\n"},
    {FB_STR_INIT(":1\r\n*2\r\n:1\r\n"), ":1\nmore\n"},
    {FB_STR_INIT("$5\r\nhello\r"), "more\n"},
    {FB_STR_INIT("|1\r\n+a\r\n+b\r\n"), "more\n"},
    // malformed
    {FB_STR_INIT("hello\r\n"), "FB_ESYNTAX: malformed reply: unknown type\n"},
    {FB_STR_INIT(":1\r\n\r\n"), ":1\nFB_ESYNTAX: malformed reply: unknown type\n"},
    {FB_STR_INIT("*1\r\n\0"), "FB_ESYNTAX: malformed reply: unknown type\n"},
    {FB_STR_INIT("+a\rb\r\n"), "FB_ESYNTAX: malformed reply: CR without LF\n"},
    {FB_STR_INIT(":\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT(":1x\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT(":+-1\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT(":9223372036854775808\r\n"),
     "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT("#x\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT("_x\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT(",1.5.2\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT(",\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT("(12a\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT("(-\r\n"), "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
    {FB_STR_INIT("$-2\r\n"), "FB_ESYNTAX: malformed reply: invalid bulk length\n"},
    {FB_STR_INIT("!-1\r\n"), "FB_ESYNTAX: malformed reply: invalid bulk length\n"},
    {FB_STR_INIT("$?\r\n"), "FB_ESYNTAX: malformed reply: invalid bulk length\n"},
    {FB_STR_INIT("$3\r\nabcde\r\n"), "FB_ESYNTAX: malformed reply: no CRLF after a bulk\n"},
    {FB_STR_INIT("=3\r\nabc\r\n"),
     "FB_ESYNTAX: malformed reply: a verbatim string without its format\n"},
    {FB_STR_INIT("=4\r\nabcd\r\n"),
     "FB_ESYNTAX: malformed reply: a verbatim string without its format\n"},
    {FB_STR_INIT("*-2\r\n"), "FB_ESYNTAX: malformed reply: invalid aggregate length\n"},
    {FB_STR_INIT("%-1\r\n"), "FB_ESYNTAX: malformed reply: invalid aggregate length\n"},
    {FB_STR_INIT("*?\r\n"), "FB_ESYNTAX: malformed reply: invalid aggregate length\n"},
    {FB_STR_INIT("|1\r\n+a\r\n#z\r\n"),
     "FB_ESYNTAX: malformed reply: a value that is not of its type\n"},
};

static fb_resp_reply *make(uint32_t depth_max, uint64_t len_max) {
    fb_resp_reply *reply = NULL;
    assert_ok(fb_resp_reply_new(depth_max, len_max, &reply));
    return reply;
}

static void assert_shown(fb_resp_reply *reply, fb_str stream, const feed_cut *cut,
                         const char *shown) {
    fb_buf out = {0};
    feed_replies(stream, reply, cut, &out);
    assert_str(fb_buf_str(&out), shown);
    fb_buf_release(&out);
}

static void assert_shown_cut_anywhere(fb_resp_reply *reply, fb_str stream, const char *shown) {
    assert_shown(reply, stream, &(feed_cut){0}, shown);
    assert_shown(reply, stream, &(feed_cut){.step = 1}, shown);
    for (size_t first = 1; first < stream.len; first++) {
        assert_shown(reply, stream, &(feed_cut){.first = first}, shown);
    }
}

static void test_resp_reply__goldens_whatever_the_cuts(void **state) {
    fb_resp_reply *reply = make(16, 1 << 20);
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        assert_shown_cut_anywhere(reply, goldens[i].stream, goldens[i].shown);
    }
    fb_resp_reply_free(reply);
}

static void test_resp_reply__nesting_is_bounded(void **state) {
    fb_resp_reply *reply = make(2, 1 << 20);
    assert_shown_cut_anywhere(reply, FB_STR("*1\r\n*1\r\n:1\r\n"), "[[:1]]\n");
    assert_shown_cut_anywhere(reply, FB_STR("*1\r\n*1\r\n*0\r\n"), "[[[]]]\n");
    assert_shown_cut_anywhere(reply, FB_STR("*1\r\n*1\r\n*1\r\n:1\r\n"),
                              "FB_ETOOBIG: reply nested deeper than 2\n");
    assert_shown_cut_anywhere(reply, FB_STR("*1\r\n*1\r\n|1\r\n:1\r\n:1\r\n:1\r\n"),
                              "FB_ETOOBIG: reply nested deeper than 2\n");
    fb_resp_reply_free(reply);
    reply = make(0, 1 << 20);
    assert_shown_cut_anywhere(reply, FB_STR("*0\r\n:1\r\n*1\r\n"),
                              "[]\n:1\nFB_ETOOBIG: reply nested deeper than 0\n");
    fb_resp_reply_free(reply);
}

static void test_resp_reply__size_is_bounded(void **state) {
    fb_resp_reply *reply = make(16, 20);
    assert_shown_cut_anywhere(reply, FB_STR("$13\r\n0123456789abc\r\n"), "'0123456789abc'\n");
    assert_shown_cut_anywhere(reply, FB_STR("$14\r\n"),
                              "FB_ETOOBIG: reply larger than 20 bytes\n");
    assert_shown_cut_anywhere(reply, FB_STR("+0123456789abcdefg\r\n:1\r\n"),
                              "+'0123456789abcdefg'\n:1\n");
    assert_shown_cut_anywhere(reply, FB_STR("+0123456789abcdefgh\r\n:1\r\n"),
                              "FB_ETOOBIG: reply larger than 20 bytes\n");
    assert_shown_cut_anywhere(reply, FB_STR("*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n"),
                              "[:1 :2 :3 :4]\n");
    assert_shown_cut_anywhere(reply, FB_STR("*5\r\n_\r\n_\r\n_\r\n_\r\n_\r\n"),
                              "[null null null null null]\n");
    assert_shown_cut_anywhere(reply, FB_STR("*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n"),
                              "FB_ETOOBIG: reply larger than 20 bytes\n");
    assert_shown_cut_anywhere(reply, FB_STR("*6\r\n"), "FB_ETOOBIG: reply larger than 20 bytes\n");
    assert_shown_cut_anywhere(reply, FB_STR("%3\r\n"), "FB_ETOOBIG: reply larger than 20 bytes\n");
    assert_shown_cut_anywhere(reply, FB_STR("*9223372036854775807\r\n"),
                              "FB_ETOOBIG: reply larger than 20 bytes\n");
    assert_shown_cut_anywhere(reply, FB_STR("|1\r\n:1\r\n:1\r\n|1\r\n:1\r\n:1\r\n:1\r\n"),
                              "FB_ETOOBIG: reply larger than 20 bytes\n");
    fb_resp_reply_free(reply);
}

// ---- random values: written, and written down as they are to be read

typedef struct value_maker {
    fb_rng *rng;
    int proto;
    fb_buf *out;
    fb_buf *shown;
} value_maker;

static fb_str random_bytes(fb_rng *rng, char bytes[24], bool line) {
    size_t len = (size_t)fb_rng_below(rng, 25);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(line ? ' ' + fb_rng_below(rng, 95) : fb_rng_below(rng, 256));
    }
    return fb_str_make(bytes, len);
}

static void expect_bytes(value_maker *to, const char *mark, fb_str bytes) {
    show_text(to->shown, mark);
    show_bytes(to->shown, bytes);
}

static void make_text(value_maker *to, uint64_t which) {
    char bytes[24];
    fb_str text = random_bytes(to->rng, bytes, which == 1 || which == 2);
    switch (which) {
    case 0:
        assert_ok(fb_resp_write_bulk(to->out, text));
        expect_bytes(to, "", text);
        break;
    case 1:
        assert_ok(fb_resp_write_simple(to->out, text));
        expect_bytes(to, "+", text);
        break;
    case 2:
        assert_ok(fb_resp_write_error(to->out, text));
        expect_bytes(to, "-", text);
        break;
    default:
        assert_ok(fb_resp_write_verbatim(to->out, to->proto, text));
        expect_bytes(to, to->proto == 3 ? "=" : "", text);
        break;
    }
}

static void make_number(value_maker *to, uint64_t which) {
    int64_t number = (int64_t)fb_rng_next(to->rng) >> fb_rng_below(to->rng, 64);
    // Eighths of small numbers: 15 digits show them exactly.
    double eighths = (double)(number % 100000) / 8;
    char text[40];
    switch (which) {
    case 0:
        assert_ok(fb_resp_write_integer(to->out, number));
        assert_ok(fb_buf_printf(to->shown, ":%lld", (long long)number));
        break;
    case 1:
        assert_ok(fb_resp_write_double(to->out, to->proto, eighths));
        snprintf(text, sizeof text, to->proto == 3 ? ",%.15g" : "'%.15g'", eighths);
        show_text(to->shown, text);
        break;
    case 2:
        assert_ok(fb_resp_write_boolean(to->out, to->proto, number % 2 != 0));
        assert_ok(fb_buf_printf(to->shown, "%c%d", to->proto == 3 ? '#' : ':',
                                number % 2 != 0));
        break;
    default:
        assert_ok(number % 2 != 0 ? fb_resp_write_null(to->out, to->proto)
                                  : fb_resp_write_null_array(to->out, to->proto));
        show_text(to->shown, "null");
        break;
    }
}

static void make_value(value_maker *to, int depth) {
    uint64_t which = fb_rng_below(to->rng, depth > 0 ? 12 : 8);
    if (which < 4) {
        make_text(to, which);
        return;
    }
    if (which < 8) {
        make_number(to, which - 4);
        return;
    }
    size_t count = (size_t)fb_rng_below(to->rng, 5);
    bool old = to->proto == 2;
    const char *marks = "[]";
    switch (which) {
    case 8:
        assert_ok(fb_resp_write_array(to->out, count));
        break;
    case 9:
        assert_ok(fb_resp_write_map(to->out, to->proto, count));
        marks = old ? marks : "{}";
        count *= 2;
        break;
    case 10:
        assert_ok(fb_resp_write_set(to->out, to->proto, count));
        marks = old ? marks : "()";
        break;
    default:
        assert_ok(fb_resp_write_push(to->out, to->proto, count));
        marks = old ? marks : "<>";
        break;
    }
    assert_ok(fb_buf_byte(to->shown, marks[0]));
    for (size_t i = 0; i < count; i++) {
        show_text(to->shown, i > 0 ? " " : "");
        make_value(to, depth - 1);
    }
    assert_ok(fb_buf_byte(to->shown, marks[1]));
}

static void test_resp_reply__reads_what_was_written(void **state) {
    fb_rng rng = test_rng();
    fb_resp_reply *reply = make(6, 1 << 20);
    for (int round = 0; round < 4000; round++) {
        fb_buf out = {0};
        fb_buf shown = {0};
        value_maker maker = {&rng, round % 2 == 0 ? 2 : 3, &out, &shown};
        for (uint64_t values = 1 + fb_rng_below(&rng, 3); values > 0; values--) {
            make_value(&maker, 6);
            show_text(&shown, "\n");
        }
        assert_ok(fb_buf_byte(&shown, '\0'));
        assert_shown(reply, fb_buf_str(&out), &(feed_cut){0}, shown.ptr);
        assert_shown(reply, fb_buf_str(&out), &(feed_cut){.rng = &rng}, shown.ptr);
        fb_buf_release(&out);
        fb_buf_release(&shown);
    }
    fb_resp_reply_free(reply);
}

static void test_resp_reply__every_double_comes_back(void **state) {
    fb_rng rng = test_rng();
    fb_resp_reply *reply = make(0, 1 << 20);
    fb_buf out = {0};
    for (int round = 0; round < 20000; round++) {
        uint64_t bits = fb_rng_next(&rng);
        double number;
        memcpy(&number, &bits, sizeof number);
        if (round % 3 == 0) {
            number = (double)((int64_t)bits >> fb_rng_below(&rng, 64));
        }
        bool nan = number != number;
        const fb_resp_value *value = NULL;
        out.len = 0;
        assert_ok(fb_resp_write_double(&out, 3, number));
        assert_true(fb_resp_reply_read(reply, fb_buf_str(&out), &value, NULL) == (ssize_t)out.len);
        assert_int_equal(value->type, FB_RESP_DOUBLE);
        assert_true(nan ? value->number != value->number
                        : memcmp(&value->number, &number, sizeof number) == 0);
        out.len = 0;
        assert_ok(fb_resp_write_double(&out, 2, number));
        assert_true(fb_resp_reply_read(reply, fb_buf_str(&out), &value, NULL) == (ssize_t)out.len);
        double back = 0;
        if (!nan) {
            assert_ok(fb_str_double(value->text, &back));
            assert_memory_equal(&back, &number, sizeof number);
        }
    }
    fb_buf_release(&out);
    fb_resp_reply_free(reply);
}

// A reply of 20,000 elements, a byte more at each call: were anything done twice, this would take
// minutes.
static void test_resp_reply__byte_by_byte_costs_no_more(void **state) {
    fb_resp_reply *reply = make(1, 1 << 20);
    fb_buf stream = {0};
    assert_ok(fb_resp_write_array(&stream, 20000));
    for (int i = 0; i < 20000; i++) {
        assert_ok(fb_resp_write_bulk(&stream, FB_STR("0123456789abcdef")));
    }
    const fb_resp_value *value = NULL;
    for (size_t len = 0; len < stream.len; len++) {
        assert_int_equal(fb_resp_reply_read(reply, fb_str_make(stream.ptr, len), &value, NULL), 0);
    }
    assert_int_equal(fb_resp_reply_read(reply, fb_buf_str(&stream), &value, NULL), stream.len);
    assert_int_equal(value->child_count, 20000);
    assert_str(value->children[19999].text, "0123456789abcdef");
    fb_buf_release(&stream);
    fb_resp_reply_free(reply);
}

static void test_resp_reply__announcing_takes_no_memory(void **state) {
    test_memory *memory = test_memory_get();
    fb_resp_reply *reply = make(4, UINT64_C(1) << 40);
    const fb_resp_value *value = NULL;
    test_memory_fail(0);
    fb_str input = FB_STR("*1000000000\r\n%1000000000\r\n*1000000000\r\n$1000000000\r\nabc");
    assert_int_equal(fb_resp_reply_read(reply, input, &value, NULL), 0);
    assert_int_equal(memory->asked, 1);
    fb_resp_reply_free(reply);
}

static void test_resp_reply__a_failed_call_fails_again_until_reset(void **state) {
    fb_resp_reply *reply = make(4, 1 << 20);
    const fb_resp_value *value = NULL;
    fb_str bad = FB_STR("*2\r\n:1\r\n:x\r\n");
    assert_int_equal(fb_resp_reply_read(reply, bad, &value, NULL), FB_ESYNTAX);
    assert_int_equal(fb_resp_reply_read(reply, bad, &value, NULL), FB_ESYNTAX);
    fb_resp_reply_reset(reply);
    assert_int_equal(fb_resp_reply_read(reply, FB_STR(":7\r\n"), &value, NULL), 4);
    assert_int_equal(value->integer, 7);
    fb_resp_reply_free(reply);
}

// When memory fails the same call, made again, succeeds.
static int read_with_retry(void *arg) {
    fb_resp_reply *reply = NULL;
    if (fb_resp_reply_new(4, 1 << 20, &reply) != FB_OK) {
        assert_null(reply);
        return FB_ENOMEM;
    }
    fb_str stream = *(fb_str *)arg;
    const fb_resp_value *value = NULL;
    fb_error error = {0};
    int result = FB_OK;
    ssize_t used = fb_resp_reply_read(reply, stream, &value, &error);
    if (used == FB_ENOMEM) {
        result = FB_ENOMEM;
        assert_null(value);
        assert_int_equal(error.code, FB_ENOMEM);
        used = fb_resp_reply_read(reply, stream, &value, &error);
    }
    assert_int_equal(used, stream.len);
    assert_int_equal(value->child_count, 20);
    assert_str(value->children[0].text, "a");
    assert_int_equal(value->children[19].children[0].type, FB_RESP_NULL);
    fb_resp_reply_free(reply);
    return result;
}

static void test_resp_reply__survives_failing_memory(void **state) {
    fb_str stream = FB_STR("*20\r\n$1\r\na\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n"
                           ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n*1\r\n$-1\r\n");
    assert_int_equal(test_memory_sweep(read_with_retry, &stream), 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_reply__goldens_whatever_the_cuts),
        cmocka_unit_test(test_resp_reply__nesting_is_bounded),
        cmocka_unit_test(test_resp_reply__size_is_bounded),
        cmocka_unit_test(test_resp_reply__reads_what_was_written),
        cmocka_unit_test(test_resp_reply__every_double_comes_back),
        cmocka_unit_test(test_resp_reply__byte_by_byte_costs_no_more),
        cmocka_unit_test(test_resp_reply__announcing_takes_no_memory),
        cmocka_unit_test(test_resp_reply__a_failed_call_fails_again_until_reset),
        cmocka_unit_test(test_resp_reply__survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
