// Transcripts: what is said, and what must be heard, byte for byte. That the replies are Redis's is
// tests/system/redis_replies.py's to prove, against a real one; here they are kept as they are, and
// forebay's own verbs are shown.

#include "node/command.h"
#include "node_rig.h"
#include "support.h"

typedef struct line {
    const char *said;   // inline, without its line end
    const char *heard;  // without the last line end; NULL: anything; "": nothing
} line;

static rig shared;

static void converse(const line *lines, size_t count) {
    rig_client client;
    rig_client_open(&client, &shared);
    for (size_t i = 0; i < count; i++) {
        char text[600];
        char expected[2000];
        int len = snprintf(text, sizeof text, "%s\r\n", lines[i].said);
        client.out.len = 0;
        rig_client_say(&client, fb_str_make(text, (size_t)len));
        if (lines[i].heard == NULL) {
            rig_client_await(&client, 1);
        } else if (lines[i].heard[0] == '\0') {
            assert_int_equal(client.out.len, 0);
        } else {
            (void)snprintf(expected, sizeof expected, "%s\r\n", lines[i].heard);
            rig_client_await(&client, strlen(expected));
            if (!fb_str_equal(fb_buf_str(&client.out), fb_str_of(expected))) {
                print_error("%s\n", lines[i].said);
            }
            assert_str(fb_buf_str(&client.out), expected);
        }
    }
    rig_client_close(&client);
}

#define CONVERSE(...)                                     \
    do {                                                  \
        static const line lines[] = {__VA_ARGS__};        \
        converse(lines, sizeof lines / sizeof lines[0]);  \
    } while (0)

static void test_commands__of_connections(void **state) {
    CONVERSE({"PING", "+PONG"},
             {"ping hi", "$2\r\nhi"},
             {"ECHO \"a b\"", "$3\r\na b"},
             {"SELECT 0", "+OK"},
             {"SELECT 1", "-ERR DB index is out of range"},
             {"CLIENT GETNAME", "$-1"},
             {"CLIENT SETNAME me", "+OK"},
             {"CLIENT GETNAME", "$2\r\nme"},
             {"CLIENT SETINFO LIB-NAME redis-py", "+OK"},
             {"CLIENT SETINFO lib-ver 5.0", "+OK"},
             {"CLIENT SETINFO x y", "-ERR Unrecognized option 'x'"},
             {"AUTH default x", "+OK"},
             {"AUTH me x", "-WRONGPASS invalid username-password pair or user is disabled."},
             {"HELLO 9", "-NOPROTO unsupported protocol version"},
             {"CLIENT REPLY SKIP", ""},
             {"PING", ""},
             {"RESET", "+RESET"},
             {"CLIENT GETNAME", "$-1"},
             {"nosuch a", "-ERR unknown command 'nosuch', with args beginning with: 'a' "},
             {"get", "-ERR wrong number of arguments for 'get' command"},
             {"CLIENT nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP."}, );
}

static void test_commands__of_values(void **state) {
    CONVERSE({"SET k v", "+OK"},
             {"GET k", "$1\r\nv"},
             {"GET none", "$-1"},
             {"SET k w NX GET", "$1\r\nv"},
             {"SET k w XX", "+OK"},
             {"GETDEL k", "$1\r\nw"},
             {"SET k v EX 100", "+OK"},
             {"TTL k", ":100"},
             {"SET k w KEEPTTL", "+OK"},
             {"TTL k", ":100"},
             {"PERSIST k", ":1"},
             {"TTL k", ":-1"},
             {"TTL none", ":-2"},
             {"PEXPIREAT k 4102444800123", ":1"},
             {"PEXPIRETIME k", ":4102444800123"},
             {"SET k w PXAT 4102444800124", "+OK"},
             {"PEXPIRETIME k", ":4102444800124"},
             {"APPEND k xyz", ":4"},
             {"GETRANGE k 1 2", "$2\r\nxy"},
             {"SETRANGE k 5 !", ":6"},
             {"STRLEN k", ":6"},
             {"MSET a 1 b 2", "+OK"},
             {"MGET a none b", "*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n2"},
             {"MSETNX b 3 c 4", ":0"},
             {"MSETNX c 4 c 5", ":1"},
             {"GET c", "$1\r\n5"},
             {"INCR a", ":2"},
             {"DECRBY a 5", ":-3"},
             {"INCRBYFLOAT a 0.5", "$4\r\n-2.5"},
             {"INCRBYFLOAT far 1e300", NULL},
             {"INCRBYFLOAT far -1e300", "$1\r\n0"},
             {"INCRBYFLOAT far 1e-5000", "-ERR value is not a valid float"},
             {"SET far x EXAT 10 EXAT 4102444800", "+OK"},
             {"EXPIRETIME far", ":4102444800"},
             {"GETEX far PERSIST PERSIST", "$1\r\nx"},
             {"TTL far", ":-1"},
             {"KEYS \"\"", "*0"},
             {"DEL far", ":1"},
             {"INCR k", "-ERR value is not an integer or out of range"},
             {"DEL a b c none", ":3"},
             {"EXISTS k k none", ":2"},
             {"TYPE k", "+string"},
             {"OBJECT ENCODING k", "$6\r\nembstr"},
             {"FLUSHALL", "+OK"},
             {"GET k", "$-1"},
             {"DBSIZE", ":0"},
             {"SCAN 0 COUNT 100000", NULL}, );
}

static void test_commands__in_transactions(void **state) {
    CONVERSE({"MULTI", "+OK"},
             {"MULTI", "-ERR MULTI calls can not be nested"},
             {"SET k 1", "+QUEUED"},
             {"INCR k", "+QUEUED"},
             {"SET s x", "+QUEUED"},
             {"INCR s", "+QUEUED"},
             {"CONFIG GET save", "+QUEUED"},
             {"EXISTS k", "+QUEUED"},
             {"EXEC",
              "*6\r\n+OK\r\n:2\r\n+OK\r\n-ERR value is not an integer or out of range\r\n"
              "*2\r\n$4\r\nsave\r\n$0\r\n\r\n:1"},
             {"EXEC", "-ERR EXEC without MULTI"},
             {"DISCARD", "-ERR DISCARD without MULTI"},
             {"MULTI", "+OK"},
             {"EXEC", "*0"},
             {"MULTI", "+OK"},
             {"SET k 5", "+QUEUED"},
             {"DISCARD", "+OK"},
             {"GET k", "$1\r\n2"},
             {"WATCH k", "+OK"},
             {"SET k 6", "+OK"},
             {"MULTI", "+OK"},
             {"SET k 7", "+QUEUED"},
             {"EXEC", "*-1"},
             {"GET k", "$1\r\n6"},
             {"UNWATCH", "+OK"}, );
}

static void test_commands__spoil_transactions(void **state) {
    static const char *const mistakes[][2] = {
        {"nosuch", NULL},
        {"GET", NULL},
        {"CLIENT nosuch", NULL},
        {"DISCARD x", NULL},
        {"CLIENT REPLY OFF", "-ERR Command not allowed inside a transaction"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        line lines[] = {{"DEL k", NULL},
                        {"MULTI", "+OK"},
                        {"SET k 1", "+QUEUED"},
                        {mistakes[i][0], mistakes[i][1]},
                        {"SET k 2", "+QUEUED"},
                        {"EXEC", "-EXECABORT Transaction discarded because of previous errors."},
                        {"EXEC", "-ERR EXEC without MULTI"},
                        {"EXISTS k", ":0"}};
        converse(lines, sizeof lines / sizeof lines[0]);
    }
    CONVERSE({"MULTI", "+OK"},
             {"EXEC x", "-EXECABORT Transaction discarded because of: wrong number of arguments for "
                        "'exec' command"},
             {"EXEC", "-ERR EXEC without MULTI"},
             {"MULTI", "+OK"},
             {"WATCH k", "-ERR WATCH inside MULTI is not allowed"},
             {"RESET", "+RESET"},
             {"EXEC", "-ERR EXEC without MULTI"}, );
}

// What is sure to be refused is refused before anything is done, and not built up first.
static void test_commands__refuse_what_is_too_large(void **state) {
    rig_client client;
    fb_buf said = {0};
    int len = (int)fb_value_max(shared.engine);
    char text[80];
    rig_client_open(&client, &shared);
    (void)snprintf(text, sizeof text, "SETRANGE none %d x\r\n", len);
    rig_client_say(&client, fb_str_of(text));
    assert_ok(fb_buf_printf(&said, "*5\r\n$4\r\nMSET\r\n$2\r\nm1\r\n$1\r\n1\r\n$2\r\nm2\r\n$%d\r\n",
                            len));
    assert_ok(fb_buf_reserve(&said, (size_t)len));
    memset(said.ptr + said.len, 'x', (size_t)len);
    said.len += (size_t)len;
    assert_ok(fb_buf_append(&said, FB_STR("\r\nEXISTS m1 none\r\n")));
    rig_client_say(&client, fb_buf_str(&said));
    assert_str(fb_buf_str(&client.out), "-ERR key or value is larger than one entry may be\r\n"
                                        "-ERR key or value is larger than one entry may be\r\n:0\r\n");
    fb_buf_release(&said);
    rig_client_close(&client);
}

// ---- several who want the same keys

enum { RIVALS = 4, MATCHES = 300 };

typedef struct rival {
    pthread_t thread;
    pthread_barrier_t *barrier;
    int number;
    _Atomic int *winners;
} rival;

static void ignore_wake(void *arg) {
    (void)arg;
}

static void *compete(void *arg) {
    rival *one = arg;
    fb_session *session = NULL;
    assert_ok(fb_session_new(&shared.node, FB_STR("rival"), ignore_wake, NULL, &session));
    for (int match = 0; match < MATCHES; match++) {
        char text[80];
        size_t used = 0;
        // Each in an order of its own.
        (void)snprintf(text, sizeof text, "MSETNX k%d %d k%d %d k%d %d\r\n", one->number % 3,
                       one->number, (one->number + 1) % 3, one->number, (one->number + 2) % 3,
                       one->number);
        pthread_barrier_wait(one->barrier);
        assert_ok(fb_session_feed(session, fb_str_of(text), &used));
        if (fb_str_equal(fb_buf_str(fb_session_out(session)), FB_STR(":1\r\n"))) {
            one->winners[match]++;
        }
        fb_session_out(session)->len = 0;
        pthread_barrier_wait(one->barrier);
        if (one->number == 0) {
            assert_ok(fb_session_feed(session, FB_STR("DEL k0 k1 k2\r\n"), &used));
            assert_str(fb_buf_str(fb_session_out(session)), ":3\r\n");
            fb_session_out(session)->len = 0;
        }
    }
    fb_session_free(session);
    return NULL;
}

static void test_commands__msetnx_lets_one_of_several_win(void **state) {
    static _Atomic int winners[MATCHES];
    pthread_barrier_t barrier;
    rival rivals[RIVALS];
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

// ---- walking through

static void test_commands__scan_of_next_to_nothing_is_short(void **state) {
    rig_client client;
    char cursor[32] = "0";
    int calls = 0;
    bool found = false;
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("FLUSHALL\r\nSET only 1\r\n"));
    do {
        char text[64];
        client.out.len = 0;
        (void)snprintf(text, sizeof text, "SCAN %s\r\n", cursor);
        rig_client_say(&client, fb_str_of(text));
        assert_ok(fb_buf_byte(&client.out, '\0'));
        found = found || strstr(client.out.ptr, "\r\nonly\r\n") != NULL;
        assert_int_equal(sscanf(client.out.ptr, "*2\r\n$%*d\r\n%31s", cursor), 1);
        calls++;
    } while (strcmp(cursor, "0") != 0);
    assert_true(found);
    assert_true(calls < 100);
    rig_client_close(&client);
}

static void test_commands__randomkey_gives_each_a_chance(void **state) {
    enum { KEYS = 20, DRAWS = 2000 };
    rig_client client;
    int seen[KEYS] = {0};
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("FLUSHALL\r\nRANDOMKEY\r\n"));
    assert_str(fb_buf_str(&client.out), "+OK\r\n$-1\r\n");
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        int len = snprintf(key, sizeof key, "key:%02d", i);
        assert_ok(fb_set(shared.engine, fb_str_make(key, (size_t)len), FB_STR("x"), NULL));
    }
    for (int i = 0; i < DRAWS; i++) {
        int number = -1;
        client.out.len = 0;
        rig_client_say(&client, FB_STR("RANDOMKEY\r\n"));
        assert_ok(fb_buf_byte(&client.out, '\0'));
        assert_int_equal(sscanf(client.out.ptr, "$6\r\nkey:%d\r\n", &number), 1);
        assert_in_range(number, 0, KEYS - 1);
        seen[number]++;
    }
    for (int i = 0; i < KEYS; i++) {
        assert_true(seen[i] >= DRAWS / KEYS / 10);
    }
    rig_client_close(&client);
}

static void test_commands__in_resp3(void **state) {
    CONVERSE({"HELLO 3", NULL},
             {"GET none", "_"},
             {"SET a 1", "+OK"},
             {"MGET a none", "*2\r\n$1\r\n1\r\n_"},
             {"CONFIG GET save", "%1\r\n$4\r\nsave\r\n$0\r\n"},
             {"COMMAND DOCS nosuch", "%0"},
             {"COMMAND DOCS ttl",
              "%1\r\n$3\r\nttl\r\n%4\r\n$7\r\nsummary\r\n$35\r\nHow many seconds a key still "
              "lives.\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$7\r\ngeneric\r\n"
              "$9\r\narguments\r\n*1\r\n%2\r\n$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n"
              "$6\r\nstring"},
             {"CLIENT LIST TYPE pubsub", "=4\r\ntxt:"},
             {"COMMAND INFO get",
              "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"
              "~3\r\n+@read\r\n+@string\r\n+@fast\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n"
              "+access\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n"
              "%1\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n$5\r\nrange\r\n"
              "$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n~0"},
             {"FLUSHALL", "+OK"},
             {"HELLO 2", NULL},
             {"GET none", "$-1"}, );
}

static void test_commands__fetch_reads_through(void **state) {
    CONVERSE({"FB.FETCH item id 1", "$14\r\n{\"name\":\"one\"}"},
             {"FB.FETCH item id 1", "$14\r\n{\"name\":\"one\"}"},
             {"GET item:1", "$14\r\n{\"name\":\"one\"}"},
             {"FB.FETCH item id 99", "$-1"},
             {"FB.FETCH item id 99", "$-1"},
             {"GET item:99", "$-1"},
             {"EXISTS item:99", ":0"},
             {"FB.FETCH CLASS item id 2", "$14\r\n{\"name\":\"two\"}"},
             {"fb.fetch refresh timeout 5000 item id 2", "$14\r\n{\"name\":\"two\"}"},
             {"FB.FETCH item id", "-ERR parameter 'id' has no value"},
             {"FB.FETCH REFRESH", "-ERR wrong number of arguments for 'fb.fetch' command"},
             {"FB.FETCH TIMEOUT 0 item id 1", "-ERR timeout is not positive"},
             {"FB.FETCH nosuch id 1", "-NOCLASS there is no class 'nosuch'"}, );
}

static void test_commands__mfetch_answers_in_the_order_of_its_rows(void **state) {
    CONVERSE({"FB.INVALIDATE ALL", NULL},
             {"FB.FETCH item id 2", "$14\r\n{\"name\":\"two\"}"},
             {"FB.MFETCH item 1 id 1 2 99 1",
              "*4\r\n$14\r\n{\"name\":\"one\"}\r\n$14\r\n{\"name\":\"two\"}\r\n$-1\r\n"
              "$14\r\n{\"name\":\"one\"}"},
             {"FB.MFETCH item 1 id 2", "*1\r\n$14\r\n{\"name\":\"two\"}"},
             {"FB.MFETCH WITHMETA CLASS item 1 id 99",
              "*1\r\n*4\r\n$5\r\nvalue\r\n$-1\r\n$8\r\nnegative\r\n:1"},
             {"FB.MFETCH item 1 nosuch 1 2", NULL},
             {"FB.MFETCH nosuch 1 id 1 2",
              "*2\r\n-NOCLASS there is no class 'nosuch'\r\n-NOCLASS there is no class 'nosuch'"},
             {"FB.MFETCH item 0 id 1", "-ERR the number of names is from 1 to 64"},
             {"FB.MFETCH item 2 id x 1 2 3",
              "-ERR after the names come rows of as many values, at least one"},
             {"FB.MFETCH item 1 id id2 REFRESH", NULL},
             {"FB.MFETCH REFRESH TIMEOUT 5000 item",
              "-ERR wrong number of arguments for 'fb.mfetch' command"},
             {"MULTI", "+OK"},
             {"FB.MFETCH item 1 id 1 99", "+QUEUED"},
             {"GET item:1", "+QUEUED"},
             {"EXEC", "*2\r\n*2\r\n$14\r\n{\"name\":\"one\"}\r\n$-1\r\n"
                      "$14\r\n{\"name\":\"one\"}"}, );
}

static void test_commands__fetch_with_meta(void **state) {
    rig_client client;
    rig_client_open(&client, &shared);
    rig_client_say(&client, FB_STR("HELLO 3\r\n"));
    client.out.len = 0;
    rig_client_say(&client, FB_STR("FB.FETCH item id 3\r\n"));
    rig_client_await(&client, 10);
    client.out.len = 0;
    rig_client_say(&client, FB_STR("FB.FETCH WITHMETA item id 3\r\n"));
    fb_str start = FB_STR("%8\r\n$5\r\nvalue\r\n$16\r\n{\"name\":\"three\"}\r\n"
                          "$8\r\nnegative\r\n#f\r\n$4\r\nkind\r\n$4\r\njson\r\n$4\r\ntier\r\n$6\r\nmemory\r\n"
                          "$9\r\nfreshness\r\n$5\r\nfresh\r\n$6\r\nage_ms\r\n:");
    assert_true(fb_str_starts(fb_buf_str(&client.out), start));
    rig_client_close(&client);
}

static void test_commands__invalidate_by_each_scope(void **state) {
    CONVERSE({"FB.INVALIDATE ALL", NULL},
             {"FB.FETCH item id 1", NULL},
             {"FB.FETCH item id 2", NULL},
             {"FB.FETCH WITHMETA item id 3", NULL},
             {"FB.INVALIDATE KEY item:1 item:1 none", ":1"},
             {"GET item:1", "$-1"},
             {"FB.INVALIDATE TAG kind:2", ":-1"},
             {"GET item:2", "$-1"},
             {"FB.INVALIDATE PATTERN item:*", NULL},
             {"GET item:3", "$-1"},
             {"FB.FETCH item id 1", NULL},
             {"FB.INVALIDATE CLASS item", ":-1"},
             {"GET item:1", "$-1"},
             {"FB.INVALIDATE CLASS nosuch", "-NOCLASS there is no class 'nosuch'"},
             {"FB.INVALIDATE NAMESPACE nosuch", "-NOCLASS there is no namespace 'nosuch'"},
             {"FB.INVALIDATE KEY", "-ERR wrong number of arguments for 'fb.invalidate' command"},
             {"FB.INVALIDATE ALL x", "-ERR wrong number of arguments for 'fb.invalidate' command"},
             {"FB.INVALIDATE SOFT", "-ERR scope must be KEY, PATTERN, TAG, CLASS, NAMESPACE or ALL"},
             {"FB.INVALIDATE x y", "-ERR scope must be KEY, PATTERN, TAG, CLASS, NAMESPACE or ALL"},
             {"SET SOFT 1", "+OK"},
             {"FB.INVALIDATE KEY SOFT", ":1"}, );
}

static void test_commands__warm_and_explain(void **state) {
    CONVERSE({"FB.INVALIDATE ALL", NULL},
             {"FB.WARM item id 1", ":1"},
             {"FB.FETCH item id 1", NULL},
             {"FB.WARM TOP item x", "-ERR value is not an integer or out of range"},
             {"FB.WARM TOP item -1", "-ERR count is out of range"},
             {"FB.WARM nosuch", "-NOCLASS there is no class 'nosuch'"},
             {"FB.STATS nosuch", "-NOCLASS there is no class 'nosuch'"},
             {"FB.STATS", NULL},
             {"FB.STATS item", NULL},
             {"FB.EXPLAIN item:1", NULL},
             {"FB.KEY item id 1", "$6\r\nitem:1"},
             {"FB.KEY CLASS item id \" 7 \"", NULL},
             {"FB.KEY item", NULL},
             {"FB.KEY nosuch id 1", "-NOCLASS there is no class 'nosuch'"},
             {"FB.KEY item id", "-ERR parameter 'id' has no value"},
             {"FB.REGION", NULL},
             {"FB.HELP", NULL},
             {"INFO", NULL},
             {"INFO keyspace", NULL}, );
}

static void test_commands__are_found_in_any_case(void **state) {
    size_t count = fb_command_count();
    assert_true(count > 50);
    for (size_t i = 0; i < count; i++) {
        const fb_command *command = fb_command_at(i);
        char name[32];
        size_t len = strlen(command->name);
        for (size_t k = 0; k <= len; k++) {
            char byte = command->name[k];
            bool upper = byte >= 'a' && byte <= 'z' && (i + k) % 3 != 0;
            name[k] = (char)(upper ? byte - 'a' + 'A' : byte);
        }
        assert_ptr_equal(fb_command_find(fb_str_of(name)), command);
        assert_true(fb_command_find(fb_str_make(name, len - 1)) != command);
        name[len / 2] = (char)(name[len / 2] + 1);
        assert_true(fb_command_find(fb_str_of(name)) != command);
    }
    assert_null(fb_command_find(FB_STR("")));
    assert_null(fb_command_find(FB_STR("averyveryverylongname")));
}

// What COMMAND tells clients must fit how commands are checked.
static void test_commands__table_is_sound(void **state) {
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *command = fb_command_at(i);
        assert_true(command->run != NULL || command->subcommands != NULL);
        assert_true(command->summary[strlen(command->summary) - 1] == '.' ||
                    command->subcommands != NULL);
        int least = command->arity < 0 ? -command->arity : command->arity;
        assert_true(least >= 1 && command->first_key < least);
        assert_true((command->first_key == 0) == (command->key_step == 0));
        if (i > 0) {
            assert_true(strcmp(fb_command_at(i - 1)->name, command->name) < 0);
        }
    }
}

static int open_rig(void **state) {
    (void)state;
    rig_open(&shared);
    return 0;
}

static int close_rig(void **state) {
    (void)state;
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands__of_connections),
        cmocka_unit_test(test_commands__of_values),
        cmocka_unit_test(test_commands__in_transactions),
        cmocka_unit_test(test_commands__spoil_transactions),
        cmocka_unit_test(test_commands__refuse_what_is_too_large),
        cmocka_unit_test(test_commands__msetnx_lets_one_of_several_win),
        cmocka_unit_test(test_commands__scan_of_next_to_nothing_is_short),
        cmocka_unit_test(test_commands__randomkey_gives_each_a_chance),
        cmocka_unit_test(test_commands__in_resp3),
        cmocka_unit_test(test_commands__fetch_reads_through),
        cmocka_unit_test(test_commands__mfetch_answers_in_the_order_of_its_rows),
        cmocka_unit_test(test_commands__fetch_with_meta),
        cmocka_unit_test(test_commands__invalidate_by_each_scope),
        cmocka_unit_test(test_commands__warm_and_explain),
        cmocka_unit_test(test_commands__are_found_in_any_case),
        cmocka_unit_test(test_commands__table_is_sound),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
