// Commands of keys beyond single reads and writes: LCS against a plain table, COPY and RENAME with
// their times and their rivals, bits, CONFIG SET by what the daemon is asked for. That the replies
// are Redis's is tests/system/redis_replies.py's to prove.

#include "base/rng.h"
#include "node_rig.h"
#include "support.h"

static rig shared;

// What one command line is answered with.
static void say(const char *said, fb_buf *heard) {
    rig_client client;
    rig_client_open(&client, &shared);
    rig_client_say(&client, fb_str_of(said));
    rig_client_say(&client, FB_STR("\r\n"));
    heard->len = 0;
    assert_ok(fb_buf_append(heard, fb_buf_str(&client.out)));
    rig_client_close(&client);
}

static void expect(const char *said, const char *heard) {
    fb_buf got = {0};
    char expected[1024];
    (void)snprintf(expected, sizeof expected, "%s\r\n", heard);
    say(said, &got);
    if (!fb_str_equal(fb_buf_str(&got), fb_str_of(expected))) {
        print_error("%s\n", said);
    }
    assert_str(fb_buf_str(&got), expected);
    fb_buf_release(&got);
}

// ---- LCS

enum { LCS_LEN_MAX = 12, LCS_ROUNDS = 300 };

static size_t common_len(const char *a, const char *b) {
    size_t table[LCS_LEN_MAX + 1][LCS_LEN_MAX + 1] = {{0}};
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t j = 1; j <= b_len; j++) {
            size_t up = table[i - 1][j];
            size_t left = table[i][j - 1];
            table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1 : up > left ? up : left;
        }
    }
    return table[a_len][b_len];
}

static bool is_within(fb_str common, const char *text) {
    size_t found = 0;
    for (const char *at = text; *at != '\0' && found < common.len; at++) {
        found += *at == common.ptr[found];
    }
    return found == common.len;
}

static void draw(fb_rng *rng, char text[LCS_LEN_MAX + 1]) {
    size_t len = 1 + fb_rng_below(rng, LCS_LEN_MAX);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)('a' + fb_rng_below(rng, 3));
    }
    text[len] = '\0';
}

static void test_commands_keys__lcs_is_the_longest_that_both_have(void **state) {
    fb_rng rng;
    uint64_t seed = 20261121;
    fb_buf heard = {0};
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    fb_rng_init(&rng, seed);
    for (int round = 0; round < LCS_ROUNDS; round++) {
        char a[LCS_LEN_MAX + 1], b[LCS_LEN_MAX + 1], line[96];
        int len = -1;
        draw(&rng, a);
        draw(&rng, b);
        (void)snprintf(line, sizeof line, "MSET a %s b %s", a, b);
        expect(line, "+OK");
        (void)snprintf(line, sizeof line, ":%zu", common_len(a, b));
        expect("LCS a b LEN", line);
        say("LCS a b", &heard);
        assert_ok(fb_buf_byte(&heard, '\0'));
        assert_int_equal(sscanf(heard.ptr, "$%d", &len), 1);
        assert_int_equal(len, common_len(a, b));
        fb_str common = {strchr(heard.ptr, '\n') + 1, (size_t)len};
        assert_true(is_within(common, a) && is_within(common, b));
    }
    fb_buf_release(&heard);
}

static void test_commands_keys__lcs_refuses_what_would_take_too_long(void **state) {
    fb_buf value = {0};
    (void)state;
    assert_ok(fb_buf_reserve(&value, 12000));
    memset(value.ptr, 'x', 12000);
    value.len = 12000;
    assert_ok(fb_set(shared.engine, FB_STR("long"), fb_buf_str(&value), NULL));
    expect("LCS long long LEN", "-ERR Insufficient memory, transient memory for LCS exceeds "
                                "proto-max-bulk-len");
    expect("LCS long nothing LEN", ":0");
    expect("DEL long", ":1");
    fb_buf_release(&value);
}

// ---- COPY, RENAME

static void test_commands_keys__move_with_their_time(void **state) {
    (void)state;
    expect("FLUSHALL", "+OK");
    expect("SET old v PXAT 4102444800123", "+OK");
    expect("SET new w EX 100", "+OK");
    expect("COPY old new", ":0");
    expect("COPY old new REPLACE", ":1");
    expect("PEXPIRETIME new", ":4102444800123");
    expect("SET endless x", "+OK");
    expect("RENAME endless new", "+OK");
    expect("TTL new", ":-1");
    expect("EXISTS endless", ":0");
    expect("RENAMENX old new", ":0");
    expect("RENAMENX old newer", ":1");
    expect("PEXPIRETIME newer", ":4102444800123");
    expect("EXISTS old", ":0");
    expect("RENAME old newer", "-ERR no such key");
}

static void test_commands_keys__with_tags_stay_where_they_are(void **state) {
    (void)state;
    expect("FB.SET tagged v TAGS 1 colour", "$0\r\n");
    expect("RENAME tagged other", "-ERR a key with tags cannot be copied or renamed: its tags would "
                                  "not follow it");
    expect("COPY tagged other", "-ERR a key with tags cannot be copied or renamed: its tags would "
                                "not follow it");
    expect("EXISTS tagged other", ":1");
    expect("DEL tagged", ":1");
}

enum { RIVALS = 4, MATCHES = 200 };

typedef struct rival {
    pthread_t thread;
    pthread_barrier_t *barrier;
    int number;
    _Atomic int *winners;
} rival;

static void ignore_wake(void *arg) {
    (void)arg;
}

static void tell(fb_session *session, const char *said, fb_str *heard) {
    size_t used = 0;
    fb_session_out(session)->len = 0;
    assert_ok(fb_session_feed(session, fb_str_of(said), &used));
    *heard = fb_buf_str(fb_session_out(session));
}

static void *compete(void *arg) {
    rival *one = arg;
    fb_session *session = NULL;
    fb_str heard;
    assert_ok(fb_session_new(&shared.node, FB_STR("rival"), ignore_wake, NULL, &session));
    for (int match = 0; match < MATCHES; match++) {
        char text[80];
        if (one->number == 0) {
            tell(session, "SET prize 1\r\n", &heard);
            assert_str(heard, "+OK\r\n");
        }
        (void)snprintf(text, sizeof text, "RENAME prize mine%d\r\n", one->number);
        pthread_barrier_wait(one->barrier);
        tell(session, text, &heard);
        one->winners[match] += fb_str_equal(heard, FB_STR("+OK\r\n"));
        pthread_barrier_wait(one->barrier);
    }
    fb_session_free(session);
    return NULL;
}

static void test_commands_keys__rename_lets_one_of_several_win(void **state) {
    static _Atomic int winners[MATCHES];
    pthread_barrier_t barrier;
    rival rivals[RIVALS];
    (void)state;
    pthread_barrier_init(&barrier, NULL, RIVALS);
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (rival){.barrier = &barrier, .number = i, .winners = winners};
        assert_int_equal(pthread_create(&rivals[i].thread, NULL, compete, &rivals[i]), 0);
    }
    for (int i = 0; i < RIVALS; i++) {
        assert_int_equal(pthread_join(rivals[i].thread, NULL), 0);
    }
    pthread_barrier_destroy(&barrier);
    for (int match = 0; match < MATCHES; match++) {
        assert_int_equal(winners[match], 1);
    }
}

// ---- bits, and what is known of a key

static void test_commands_keys__have_bits(void **state) {
    (void)state;
    expect("FLUSHALL", "+OK");
    expect("SETBIT bits 1 1", ":0");
    expect("SETBIT bits 7 1", ":0");
    expect("GET bits", "$1\r\nA");
    expect("SETBIT bits 15 0", ":0");
    expect("STRLEN bits", ":2");
    expect("SETBIT bits 7 0", ":1");
    expect("GETBIT bits 1", ":1");
    expect("GETBIT bits 7", ":0");
    expect("GETBIT bits 4000", ":0");
    expect("SETBIT bits 4294967295 1", "-ERR key or value is larger than one entry may be");
    expect("SETBIT bits 4294967296 1", "-ERR bit offset is not an integer or out of range");
}

static void test_commands_keys__know_how_often_they_are_read(void **state) {
    (void)state;
    expect("SET often v", "+OK");
    expect("OBJECT FREQ often", ":0");
    for (int i = 0; i < 5; i++) {
        expect("GET often", "$1\r\nv");
    }
    expect("OBJECT FREQ often", ":3");
    expect("SET rarely v", "+OK");
    expect("TOUCH rarely none", ":1");
    expect("OBJECT FREQ rarely", ":1");
    expect("OBJECT FREQ none", "$-1");
}

// ---- CONFIG SET

static char asked[512];
static int answer;

static int configure(void *arg, const fb_param *changes, size_t count, size_t *wrong,
                     fb_error *error) {
    size_t len = 0;
    (void)arg;
    asked[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        len += (size_t)snprintf(asked + len, sizeof asked - len, "%.*s=%.*s ",
                                FB_STR_ARG(changes[i].name), FB_STR_ARG(changes[i].value));
    }
    *wrong = count - 1;
    (void)snprintf(error->text, sizeof error->text, "not like that");
    return answer;
}

static void test_commands_keys__config_set_changes_the_configuration(void **state) {
    static const char *const lines[][2] = {
        {"CONFIG SET maxmemory 16mb", "memory=16777216 "},
        {"CONFIG SET MAXMEMORY 1k", "memory=1000 "},
        {"CONFIG SET timeout 30 loglevel warning", "listen.idle=30s log.level=warn "},
        {"CONFIG SET client-output-buffer-limit \"normal 1gb 2mb 3\"",
         "listen.output_hard=1073741824 listen.output_soft=2097152 listen.output_time=3s "},
        {"CONFIG SET memory 9MiB drain 5s", "memory=9MiB drain=5s "},
    };
    (void)state;
    shared.node.configure = configure;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        answer = FB_OK;
        expect(lines[i][0], "+OK");
        assert_string_equal(asked, lines[i][1]);
    }
    answer = FB_EINVAL;
    expect("CONFIG SET maxmemory 16mb timeout 7",
           "-ERR CONFIG SET failed (possibly related to argument 'timeout') - not like that");
    asked[0] = '\0';
    expect("CONFIG SET maxmemory 16mb listen.resp off",
           "-ERR CONFIG SET failed (possibly related to argument 'listen.resp') - can't set immutable "
           "config");
    expect("CONFIG SET maxmemory 16mb maxmemory 17mb",
           "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate parameter");
    expect("CONFIG SET save \"\" loops 2", "+OK");  // it is so already
    assert_string_equal(asked, "");
    shared.node.configure = NULL;
    expect("CONFIG SET maxmemory 16mb",
           "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - can't set immutable "
           "config");
}

static int open_shared(void **state) {
    (void)state;
    rig_open(&shared);
    return 0;
}

static int close_shared(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_keys__lcs_is_the_longest_that_both_have),
        cmocka_unit_test(test_commands_keys__lcs_refuses_what_would_take_too_long),
        cmocka_unit_test(test_commands_keys__move_with_their_time),
        cmocka_unit_test(test_commands_keys__with_tags_stay_where_they_are),
        cmocka_unit_test(test_commands_keys__rename_lets_one_of_several_win),
        cmocka_unit_test(test_commands_keys__have_bits),
        cmocka_unit_test(test_commands_keys__know_how_often_they_are_read),
        cmocka_unit_test(test_commands_keys__config_set_changes_the_configuration),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
