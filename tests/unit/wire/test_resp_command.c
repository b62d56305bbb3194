// Commands as a server reads them.

#include "support.h"

#include "resp_feed.h"

// What comes out of a stream fed at once, and so cut everywhere.
typedef struct golden {
    const char *name;
    fb_str stream;
    const char *shown;
} golden;

static const golden goldens[] = {
    {"nothing", FB_STR_INIT(""), ""},
    {"one", FB_STR_INIT("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"), "'GET' 'key'\n"},
    {"pipelined", FB_STR_INIT("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n"),
     "'PING'\n'GET' 'k'\n'PING'\n"},
    {"any byte", FB_STR_INIT("*2\r\n$4\r\nECHO\r\n$6\r\n\0\xff\r\n$1\r\n"),
     "'ECHO' '\\x00\\xff\\x0d\\x0a$1'\n"},
    {"empty argument", FB_STR_INIT("*2\r\n$0\r\n\r\n$1\r\nx\r\n"), "'' 'x'\n"},
    {"more than the first array holds",
     FB_STR_INIT("*9\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n6\r\n"
                 "$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n"),
     "'1' '2' '3' '4' '5' '6' '7' '8' '9'\n"},
    {"of no arguments", FB_STR_INIT("*0\r\n*-1\r\n*-10\r\n\r\n\n*1\r\n$1\r\nx\r\n"),
     "(nothing)\n(nothing)\n(nothing)\n(nothing)\n(nothing)\n'x'\n"},
    {"unfinished count", FB_STR_INIT("*1"), "wants 1\n"},
    {"unfinished length", FB_STR_INIT("*1\r\n$1\r"), "wants 1\n"},
    {"unfinished argument", FB_STR_INIT("*1\r\n$10\r\nabc"), "wants 9\n"},
    {"unfinished end", FB_STR_INIT("*1\r\n$1\r\na\r"), "wants 1\n"},

    {"count without a number", FB_STR_INIT("*\r\n"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"count that is none", FB_STR_INIT("*2x\r\n"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"count with a zero before it", FB_STR_INIT("*02\r\n"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"count out of range", FB_STR_INIT("*3000000000\r\n"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"count over the limit", FB_STR_INIT("*1048577\r\n"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"count that fits nowhere", FB_STR_INIT("*99999999999999999999\r\n"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"count ended by CR alone", FB_STR_INIT("*1\rx"),
     "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
    {"no bulk", FB_STR_INIT("*1\r\n:3\r\n"),
     "FB_ESYNTAX: Protocol error: expected '$', got ':'\n"},
    {"no bulk, but a command before",
     FB_STR_INIT("*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n"),
     "'PING'\nFB_ESYNTAX: Protocol error: expected '$', got 'f'\n"},
    {"no bulk, not printable", FB_STR_INIT("*1\r\n\r\n"),
     "FB_ESYNTAX: Protocol error: expected '$', got '\\x0d'\n"},
    {"length without a number", FB_STR_INIT("*1\r\n$\r\n"),
     "FB_ESYNTAX: Protocol error: invalid bulk length\n"},
    {"negative length", FB_STR_INIT("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$-10\r\n"),
     "FB_ESYNTAX: Protocol error: invalid bulk length\n"},
    {"length that is none", FB_STR_INIT("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$blabla\r\n"),
     "FB_ESYNTAX: Protocol error: invalid bulk length\n"},
    {"length over the limit", FB_STR_INIT("*1\r\n$2000000000\r\n"),
     "FB_ESYNTAX: Protocol error: invalid bulk length\n"},
    {"argument longer than it said", FB_STR_INIT("*1\r\n$3\r\nPING\r\n"),
     "FB_ESYNTAX: Protocol error: expected CRLF after bulk\n"},
    {"argument ended by LF alone", FB_STR_INIT("*1\r\n$3\r\nabcx\n"),
     "FB_ESYNTAX: Protocol error: expected CRLF after bulk\n"},

    {"inline", FB_STR_INIT("GET key\r\n"), "'GET' 'key'\n"},
    {"inline, LF alone", FB_STR_INIT("GET key\nPING\n"), "'GET' 'key'\n'PING'\n"},
    {"inline, white space", FB_STR_INIT(" \t SET\tk  \v\f v  \r\n"), "'SET' 'k' 'v'\n"},
    {"inline, a line of spaces", FB_STR_INIT("   \r\n"), "(nothing)\n"},
    {"inline, double quotes", FB_STR_INIT("SET \"a b\" \"\" \"\\n\\r\\t\\b\\a\\\\\\\"\\x41\\xfF\"\r\n"),
     "'SET' 'a b' '' '\\x0a\\x0d\\x09\\x08\\x07\\x5c\"A\\xff'\n"},
    {"inline, odd escapes", FB_STR_INIT("\"\\x4\" \"\\xg0\" \"\\q\"\r\n"), "'x4' 'xg0' 'q'\n"},
    {"inline, single quotes", FB_STR_INIT("SET 'a \"b\"' 'it\\'s' '\\n'\r\n"),
     "'SET' 'a \"b\"' 'it\\x27s' '\\x5cn'\n"},
    {"inline, quotes within a word", FB_STR_INIT("SET ab\"c d\" x'y z'\r\n"),
     "'SET' 'abc d' 'xy z'\n"},
    {"inline, a quote left open", FB_STR_INIT("set \"\"\"test-key\"\"\" test-value\r\n"),
     "FB_ESYNTAX: Protocol error: unbalanced quotes in request\n"},
    {"inline, open at the end", FB_STR_INIT("set k \"open\r\n"),
     "FB_ESYNTAX: Protocol error: unbalanced quotes in request\n"},
    {"inline, single quote open", FB_STR_INIT("set k 'open\\'\r\n"),
     "FB_ESYNTAX: Protocol error: unbalanced quotes in request\n"},
    {"inline, text behind a quote", FB_STR_INIT("set k 'a'b\r\n"),
     "FB_ESYNTAX: Protocol error: unbalanced quotes in request\n"},
    {"inline, zero bytes", FB_STR_INIT("a\0b \0\r\n"), "'a\\x00b' '\\x00'\n"},
};

static void assert_shown(fb_str stream, const fb_resp_limits *limits, const feed_cut *cut,
                         const char *shown) {
    fb_buf out = {0};
    feed_commands(stream, limits, cut, &out);
    assert_str(fb_buf_str(&out), shown);
    fb_buf_release(&out);
}

// At once, a byte at a time, and in two pieces cut at each place.
static void assert_shown_cut_anywhere(fb_str stream, const fb_resp_limits *limits,
                                      const char *shown) {
    assert_shown(stream, limits, &(feed_cut){0}, shown);
    assert_shown(stream, limits, &(feed_cut){.step = 1}, shown);
    for (size_t first = 1; first < stream.len; first++) {
        assert_shown(stream, limits, &(feed_cut){.first = first}, shown);
    }
}

static void test_resp_command__goldens_whatever_the_cuts(void **state) {
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        assert_shown_cut_anywhere(goldens[i].stream, &FB_RESP_LIMITS_DEFAULT, goldens[i].shown);
    }
}

static void test_resp_command__limits_are_sharp(void **state) {
    const fb_resp_limits limits = {
        .arg_count_max = 2, .bulk_len_max = 4, .query_len_max = 30, .inline_len_max = 10};
    static const golden cases[] = {
        {"", FB_STR_INIT("*2\r\n$1\r\na\r\n$4\r\nabcd\r\n"), "'a' 'abcd'\n"},
        {"", FB_STR_INIT("*3\r\n"), "FB_ESYNTAX: Protocol error: invalid multibulk length\n"},
        {"", FB_STR_INIT("*1\r\n$5\r\n"), "FB_ESYNTAX: Protocol error: invalid bulk length\n"},
        {"", FB_STR_INIT("*2\r\n$4\r\nabcd\r\n$4\r\nabcd\r\n"), "'abcd' 'abcd'\n"},
        {"", FB_STR_INIT("ab defgh\n"), "'ab' 'defgh'\n"},
        {"", FB_STR_INIT("ab defghi\n"), "'ab' 'defghi'\n"},
        {"", FB_STR_INIT("ab defghij\n"),
         "FB_ETOOBIG: Protocol error: too big inline request\n"},
        {"", FB_STR_INIT("ab defghij"), "wants 1\n"},
        {"", FB_STR_INIT("ab defghijk"),
         "FB_ETOOBIG: Protocol error: too big inline request\n"},
        {"", FB_STR_INIT("a b c\n"), "FB_ETOOBIG: Protocol error: too big inline request\n"},
        {"", FB_STR_INIT("*aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
         "FB_ETOOBIG: Protocol error: too big request\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_shown_cut_anywhere(cases[i].stream, &limits, cases[i].shown);
    }
    fb_resp_limits longer = limits;
    longer.query_len_max = 24;
    assert_shown_cut_anywhere(FB_STR("*2\r\n$4\r\nabcd\r\n$4\r\nabcd\r\n"), &longer,
                              "'abcd' 'abcd'\n");
    longer.query_len_max = 23;
    assert_shown_cut_anywhere(FB_STR("*2\r\n$4\r\nabcd\r\n$3\r\n"), &longer, "wants 5\n");
    assert_shown_cut_anywhere(FB_STR("*2\r\n$4\r\nabcd\r\n$4\r\n"), &longer,
                              "FB_ETOOBIG: Protocol error: too big request\n");
    assert_shown_cut_anywhere(FB_STR("*2\r\n$4\r\nabcd\r\n$4\r\nabcd\r\n"), &longer,
                              "FB_ETOOBIG: Protocol error: too big request\n");
}

static void test_resp_command__endless_lines_are_refused(void **state) {
    static char junk[70 * 1024];
    memset(junk, 'x', sizeof junk);
    fb_str stream = {junk, sizeof junk};
    assert_shown(stream, &FB_RESP_LIMITS_DEFAULT, &(feed_cut){.step = 1000},
                 "FB_ETOOBIG: Protocol error: too big inline request\n");
    junk[0] = '*';
    assert_shown(stream, &FB_RESP_LIMITS_DEFAULT, &(feed_cut){.step = 1000},
                 "FB_ETOOBIG: Protocol error: too big mbulk count string\n");
    memcpy(junk, "*1\r\n$", 5);
    assert_shown(stream, &FB_RESP_LIMITS_DEFAULT, &(feed_cut){.step = 1000},
                 "FB_ETOOBIG: Protocol error: too big bulk count string\n");
}

static void test_resp_command__a_failed_call_fails_again(void **state) {
    fb_resp_command command = {0};
    fb_str bad = FB_STR("*2\r\n$1\r\na\r\n$-1\r\n");
    for (int i = 0; i < 3; i++) {
        fb_error error = {0};
        assert_result((int)fb_resp_command_read(&command, bad, &FB_RESP_LIMITS_DEFAULT, &error),
                      FB_ESYNTAX);
        assert_string_equal(error.text, "Protocol error: invalid bulk length");
    }
    fb_resp_command_reset(&command);
    fb_str good = FB_STR("PING\n");
    assert_int_equal(fb_resp_command_read(&command, good, &FB_RESP_LIMITS_DEFAULT, NULL), 5);
    assert_int_equal(command.arg_count, 1);
    fb_resp_command_release(&command);
}

static void test_resp_command__arguments_lie_in_the_input(void **state) {
    fb_resp_command command = {0};
    fb_str input = FB_STR("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n");
    assert_int_equal(fb_resp_command_read(&command, input, &FB_RESP_LIMITS_DEFAULT, NULL),
                     input.len);
    assert_ptr_equal(command.args[0].ptr, input.ptr + 8);
    assert_ptr_equal(command.args[1].ptr, input.ptr + 17);
    fb_resp_command_release(&command);
}

static fb_str random_bytes(fb_rng *rng, size_t len_max, char *bytes) {
    size_t len = (size_t)fb_rng_below(rng, len_max + 1);
    for (size_t i = 0; i < len; i++) {
        // Line ends and marks more often than chance has them.
        bytes[i] = fb_rng_below(rng, 3) == 0 ? "\r\n$*0"[fb_rng_below(rng, 5)]
                                             : (char)fb_rng_below(rng, 256);
    }
    return fb_str_make(bytes, len);
}

static void test_resp_command__reads_what_was_written(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 2000; round++) {
        char bytes[20][64];
        fb_buf stream = {0};
        fb_buf expected = {0};
        for (size_t commands = 1 + fb_rng_below(&rng, 4); commands > 0; commands--) {
            fb_str args[20];
            fb_resp_command shown = {.args = args, .arg_count = fb_rng_below(&rng, 21)};
            for (size_t i = 0; i < shown.arg_count; i++) {
                args[i] = random_bytes(&rng, sizeof bytes[i], bytes[i]);
            }
            assert_ok(fb_resp_write_command(&stream, args, shown.arg_count));
            show_command(&expected, &shown);
        }
        assert_ok(fb_buf_byte(&expected, '\0'));
        assert_shown(fb_buf_str(&stream), &FB_RESP_LIMITS_DEFAULT, &(feed_cut){.rng = &rng},
                     expected.ptr);
        fb_buf_release(&stream);
        fb_buf_release(&expected);
    }
}

// A command of 20,000 arguments, a byte more at each call: were anything done twice, this would take
// minutes.
static void test_resp_command__byte_by_byte_costs_no_more(void **state) {
    static fb_str args[20000];
    for (size_t i = 0; i < 20000; i++) {
        args[i] = FB_STR("0123456789abcdef");
    }
    fb_buf stream = {0};
    assert_ok(fb_resp_write_command(&stream, args, 20000));
    fb_resp_command command = {0};
    for (size_t len = 0; len < stream.len; len++) {
        assert_int_equal(fb_resp_command_read(&command, fb_str_make(stream.ptr, len),
                                              &FB_RESP_LIMITS_DEFAULT, NULL), 0);
    }
    assert_int_equal(fb_resp_command_read(&command, fb_buf_str(&stream), &FB_RESP_LIMITS_DEFAULT,
                                          NULL), stream.len);
    assert_int_equal(command.arg_count, 20000);
    assert_str(command.args[19999], "0123456789abcdef");
    fb_resp_command_release(&command);
    fb_buf_release(&stream);
}

static size_t largest_piece;

static void *watch_resize(void *arg, void *ptr, size_t size) {
    largest_piece = size > largest_piece ? size : largest_piece;
    return test_memory_resize(arg, ptr, size);
}

static void watch_memory(void) {
    fb_hooks hooks = {.resize = watch_resize, .arg = test_memory_get()};
    fb_hooks_set(&hooks);
    largest_piece = 0;
}

static void test_resp_command__announcing_takes_no_memory(void **state) {
    watch_memory();
    assert_shown(FB_STR("*1048576\r\n$536870912\r\nabc"), &FB_RESP_LIMITS_DEFAULT,
                 &(feed_cut){.step = 1}, "wants 536870911\n");
    assert_true(largest_piece < 1024);
}

static void test_resp_command__a_warm_reader_takes_no_memory(void **state) {
    test_memory *memory = test_memory_get();
    fb_resp_command command = {0};
    const fb_str inputs[] = {FB_STR("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"), FB_STR("SET k \"a b\"\r\n")};
    for (int round = 0; round < 3; round++) {
        test_memory_fail(0);
        for (size_t i = 0; i < 2; i++) {
            assert_true(fb_resp_command_read(&command, inputs[i], &FB_RESP_LIMITS_DEFAULT, NULL) >
                        0);
        }
        assert_true(round == 0 || memory->asked == 0);
    }
    fb_resp_command_release(&command);
}

static void test_resp_command__a_large_command_leaves_no_memory_behind(void **state) {
    test_memory *memory = test_memory_get();
    long live = memory->live;
    static fb_str args[5000];
    fb_buf stream = {0};
    assert_ok(fb_resp_write_command(&stream, args, 5000));
    fb_resp_command command = {0};
    assert_int_equal(fb_resp_command_read(&command, fb_buf_str(&stream), &FB_RESP_LIMITS_DEFAULT,
                                          NULL), stream.len);
    fb_buf_release(&stream);
    assert_int_equal(memory->live, live + 1);
    assert_int_equal(fb_resp_command_read(&command, FB_STR("*"), &FB_RESP_LIMITS_DEFAULT, NULL), 0);
    assert_int_equal(memory->live, live);
    fb_resp_command_release(&command);
}

// When memory fails the same call, made again, succeeds.
static int read_with_retry(void *arg) {
    fb_str stream = *(fb_str *)arg;
    fb_resp_command command = {0};
    int result = FB_OK;
    size_t commands = 0;
    for (size_t start = 0; start < stream.len; commands++) {
        fb_str input = fb_str_make(stream.ptr + start, stream.len - start);
        fb_error error = {0};
        ssize_t used = fb_resp_command_read(&command, input, &FB_RESP_LIMITS_DEFAULT, &error);
        if (used == FB_ENOMEM) {
            result = FB_ENOMEM;
            assert_int_equal(error.code, FB_ENOMEM);
            used = fb_resp_command_read(&command, input, &FB_RESP_LIMITS_DEFAULT, &error);
        }
        assert_true(used > 0);
        assert_int_equal(command.arg_count, commands == 0 ? 10 : 3);
        assert_str(command.args[command.arg_count - 1], commands == 0 ? "j" : "x y");
        start += (size_t)used;
    }
    assert_int_equal(commands, 2);
    fb_resp_command_release(&command);
    return result;
}

static void test_resp_command__survives_failing_memory(void **state) {
    fb_str stream =
        FB_STR("*10\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n"
               "$1\r\nh\r\n$1\r\ni\r\n$1\r\nj\r\nSET k 'x y'\r\n");
    assert_int_equal(test_memory_sweep(read_with_retry, &stream), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_command__goldens_whatever_the_cuts),
        cmocka_unit_test(test_resp_command__limits_are_sharp),
        cmocka_unit_test(test_resp_command__endless_lines_are_refused),
        cmocka_unit_test(test_resp_command__a_failed_call_fails_again),
        cmocka_unit_test(test_resp_command__arguments_lie_in_the_input),
        cmocka_unit_test(test_resp_command__reads_what_was_written),
        cmocka_unit_test(test_resp_command__byte_by_byte_costs_no_more),
        cmocka_unit_test(test_resp_command__announcing_takes_no_memory),
        cmocka_unit_test(test_resp_command__a_warm_reader_takes_no_memory),
        cmocka_unit_test(test_resp_command__a_large_command_leaves_no_memory_behind),
        cmocka_unit_test(test_resp_command__survives_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
