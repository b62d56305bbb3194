// Limits as a RESP client sees them: once with commands run on the spot, and once as fibers, as
// they run where there is a shared tier. Quotas are decided elsewhere (tests/unit/limit, engine);
// here it is what is said of them.

#include "node/admit.h"
#include "node_rig.h"
#include "support.h"
#include "wire/resp.h"

static rig shared;
static rig_client client;
static fb_resp_reply *reader;

enum { HOUR_MS = 3600000 };

// ---- asking

static fb_str say(const char *text) {
    char line[600];
    int len = snprintf(line, sizeof line, "%s\r\n", text);
    client.out.len = 0;
    rig_client_say(&client, fb_str_make(line, (size_t)len));
    rig_client_await(&client, 1);
    return fb_buf_str(&client.out);
}

static void assert_heard(const char *said, const char *heard) {
    fb_str got = say(said);
    if (!fb_str_equal(got, fb_str_of(heard))) {
        print_error("%s\n", said);
    }
    assert_str(got, heard);
}

// Its reply, good until the next.
static const fb_resp_value *ask(const char *said) {
    const fb_resp_value *value = NULL;
    fb_error error = {0};
    fb_str heard = say(said);
    ssize_t used = fb_resp_reply_read(reader, heard, &value, &error);
    if (used != (ssize_t)heard.len) {
        fail_msg("%s: %.*s", said, FB_STR_ARG(heard));
    }
    return value;
}

// A member of a map, which RESP2 writes as an array.
static const fb_resp_value *member(const fb_resp_value *map, const char *name) {
    for (size_t i = 0; i + 1 < map->child_count; i += 2) {
        if (fb_str_equal(map->children[i].text, fb_str_of(name))) {
            return &map->children[i + 1];
        }
    }
    fail_msg("there is no '%s'", name);
    return NULL;
}

static int64_t number(const fb_resp_value *map, const char *name) {
    const fb_resp_value *value = member(map, name);
    assert_int_equal(value->type, FB_RESP_INTEGER);
    return value->integer;
}

static fb_str text(const fb_resp_value *map, const char *name) {
    return member(map, name)->text;
}

static bool says(fb_str message, const char *words) {
    fb_str wanted = fb_str_of(words);
    for (size_t i = 0; i + wanted.len <= message.len; i++) {
        if (memcmp(message.ptr + i, wanted.ptr, wanted.len) == 0) {
            return true;
        }
    }
    return false;
}

static void forget(const char *rule, const char *key) {
    char line[100];
    (void)snprintf(line, sizeof line, "FB.RESET %s %s", rule, key);
    assert_heard(line, "+OK\r\n");
}

// ---- FB.LIMIT

static void test_limit__allows_as_many_as_it_may_and_says_when(void **state) {
    (void)state;
    forget("hourly", "a");
    for (int left = 2; left >= 0; left--) {
        const fb_resp_value *is = ask("FB.LIMIT hourly a");
        assert_int_equal(is->child_count, 2 * 11);
        assert_int_equal(number(is, "allowed"), 1);
        assert_int_equal(number(is, "denied"), 0);
        assert_int_equal(number(is, "limit"), 3);
        assert_int_equal(number(is, "remaining"), left);
        assert_int_equal(number(is, "retry_ms"), 0);
        assert_in_range(number(is, "reset_ms"), 1, HOUR_MS + 1000);
        assert_int_equal(number(is, "cost"), 1);
        assert_int_equal(number(is, "degraded"), 0);
        assert_str(text(is, "rule"), "hourly");
        assert_str(text(is, "source"), "memory");
        assert_true(says(text(is, "message"), left == 1 ? "1 call " : "calls "));
    }
    const fb_resp_value *is = ask("FB.LIMIT hourly a");
    assert_int_equal(number(is, "allowed"), 0);
    assert_int_equal(number(is, "denied"), 1);
    assert_int_equal(number(is, "remaining"), 0);
    assert_in_range(number(is, "retry_ms"), 1, HOUR_MS + 1000);
    assert_true(says(text(is, "message"), "Try again in "));
}

static void test_limit__peeks_without_charging(void **state) {
    (void)state;
    forget("hourly", "b");
    for (int i = 0; i < 5; i++) {
        const fb_resp_value *is = ask("FB.LIMIT hourly b PEEK");
        assert_int_equal(number(is, "allowed"), 1);
        assert_int_equal(number(is, "remaining"), 3);
    }
    assert_int_equal(number(ask("FB.LIMIT hourly b COST 4 PEEK"), "allowed"), 0);
    assert_int_equal(number(ask("FB.LIMIT jobs b PEEK"), "remaining"), 2);  // slots, too
}

static void test_limit__charges_costs(void **state) {
    (void)state;
    forget("hourly", "c");
    assert_int_equal(number(ask("FB.LIMIT hourly c cost 2"), "remaining"), 1);
    assert_int_equal(number(ask("FB.LIMIT hourly c COST 2"), "allowed"), 0);
    assert_int_equal(number(ask("FB.LIMIT hourly c COST 0"), "allowed"), 1);
    assert_int_equal(number(ask("FB.LIMIT hourly c"), "remaining"), 0);
    const fb_resp_value *is = ask("FB.LIMIT hourly c COST 4");
    assert_int_equal(number(is, "allowed"), 0);
    assert_int_equal(number(is, "retry_ms"), -1);
}

static void test_limit__knows_tiers_exemptions_and_bans(void **state) {
    (void)state;
    assert_int_equal(number(ask("FB.LIMIT hourly d TIER premium"), "limit"), 5);
    assert_int_equal(number(ask("FB.LIMIT hourly d TIER nosuch"), "limit"), 3);
    for (int i = 0; i < 5; i++) {
        const fb_resp_value *is = ask("FB.LIMIT hourly staff:1");
        assert_int_equal(number(is, "allowed"), 1);
        assert_str(text(is, "source"), "exempt");
    }
    const fb_resp_value *is = ask("FB.LIMIT hourly banned:1");
    assert_int_equal(number(is, "allowed"), 0);
    assert_int_equal(number(is, "retry_ms"), -1);
    assert_str(text(is, "source"), "barred");
}

static void test_limit__of_a_shadow_rule_lets_pass_and_says_so(void **state) {
    (void)state;
    forget("watched", "e");
    assert_int_equal(number(ask("FB.LIMIT watched e"), "denied"), 0);
    const fb_resp_value *is = ask("FB.LIMIT watched e");
    assert_int_equal(number(is, "allowed"), 1);
    assert_int_equal(number(is, "denied"), 1);
}

static void test_limit__is_refused_with_what_is_wrong(void **state) {
    (void)state;
    assert_true(fb_str_starts(say("FB.LIMIT nosuch a"), FB_STR("-NOLIMIT ")));
    assert_true(fb_str_starts(say("FB.LIMIT hourly \"\""), FB_STR("-ERR ")));
    assert_true(fb_str_starts(say("FB.LIMIT jobs a"), FB_STR("-ERR ")));
    assert_heard("FB.LIMIT hourly", "-ERR wrong number of arguments for 'fb.limit' command\r\n");
    assert_heard("FB.LIMIT hourly a COST -1", "-ERR COST needs an integer from 0 to 2147483648\r\n");
    assert_heard("FB.LIMIT hourly a COST", "-ERR COST needs an integer from 0 to 2147483648\r\n");
    assert_heard("FB.LIMIT hourly a COST 2147483649",
                 "-ERR COST needs an integer from 0 to 2147483648\r\n");
    assert_heard("FB.LIMIT hourly a TIER", "-ERR TIER needs a name\r\n");
    assert_heard("FB.LIMIT hourly a PEEK PEEK", "-ERR PEEK is given twice\r\n");
    assert_heard("FB.LIMIT hourly a b", "-ERR syntax error\r\n");
}

static void test_limit__is_a_map_in_resp3(void **state) {
    (void)state;
    forget("hourly", "f");
    (void)say("HELLO 3");
    assert_int_equal(ask("FB.LIMIT hourly f")->type, FB_RESP_MAP);
    assert_int_equal(ask("FB.RULES hourly")->type, FB_RESP_MAP);
    (void)say("HELLO 2");
    assert_int_equal(ask("FB.LIMIT hourly f")->type, FB_RESP_ARRAY);
}

// ---- FB.LIMITS, FB.REFUND

static void test_limits__charge_all_or_none(void **state) {
    (void)state;
    forget("hourly", "g");
    forget("daily", "g");
    for (int i = 0; i < 3; i++) {
        const fb_resp_value *is = ask("FB.LIMITS 2 hourly g daily g");
        assert_int_equal(is->child_count, 3);
        assert_int_equal(is->children[0].integer, 1);
        assert_int_equal(number(&is->children[1], "remaining"), 2 - i);
        assert_int_equal(number(&is->children[2], "remaining"), 3 - i);
    }
    const fb_resp_value *is = ask("FB.LIMITS 2 daily g hourly g");
    assert_int_equal(is->children[0].integer, 0);
    assert_str(text(&is->children[1], "rule"), "daily");
    assert_int_equal(number(&is->children[1], "allowed"), 1);
    assert_int_equal(number(&is->children[2], "allowed"), 0);
    assert_int_equal(number(ask("FB.LIMIT daily g PEEK"), "remaining"), 1);
    is = ask("FB.LIMITS 2 hourly g2 daily g2 COST 2 PEEK");
    assert_int_equal(is->children[0].integer, 1);
    assert_int_equal(number(&is->children[1], "cost"), 2);
    assert_int_equal(number(ask("FB.LIMIT daily g2 PEEK"), "remaining"), 4);
}

static void test_limits__are_refused_with_what_is_wrong(void **state) {
    static const char *const counts =
        "-ERR FB.LIMITS needs a count from 1 to 8, and so many rules with a key each\r\n";
    (void)state;
    assert_heard("FB.LIMITS 0 hourly a", counts);
    assert_heard("FB.LIMITS x hourly a", counts);
    assert_heard("FB.LIMITS 9 hourly a", counts);
    assert_heard("FB.LIMITS 2 hourly a daily", counts);
    assert_heard("FB.LIMITS 1 hourly a daily a", "-ERR syntax error\r\n");
    forget("hourly", "h");
    assert_true(fb_str_starts(say("FB.LIMITS 2 hourly h nosuch h"), FB_STR("-NOLIMIT ")));
    assert_int_equal(number(ask("FB.LIMIT hourly h PEEK"), "remaining"), 3);
}

static void test_refund__gives_back(void **state) {
    (void)state;
    forget("hourly", "i");
    assert_int_equal(number(ask("FB.LIMIT hourly i COST 3"), "remaining"), 0);
    assert_int_equal(number(ask("FB.REFUND hourly i COST 2"), "remaining"), 2);
    assert_int_equal(number(ask("FB.LIMIT hourly i PEEK"), "remaining"), 2);
    assert_int_equal(number(ask("FB.REFUND hourly i COST 5"), "remaining"), 3);
    assert_heard("FB.REFUND hourly i PEEK", "-ERR syntax error\r\n");
}

// ---- FB.SLOT

static void take_token(const fb_resp_value *reply, char token[32]) {
    assert_int_equal(reply->child_count, 2);
    assert_int_equal(reply->children[0].type, FB_RESP_STRING);
    (void)snprintf(token, 32, "%.*s", FB_STR_ARG(reply->children[0].text));
}

static void assert_lease(const char *verb, const char *key, const char *token, const char *heard) {
    char line[200];
    (void)snprintf(line, sizeof line, "FB.SLOT %s jobs %s %s", verb, key, token);
    assert_heard(line, heard);
}

static void test_slot__is_held_until_it_is_released(void **state) {
    (void)state;
    char one[32], other[32];
    forget("jobs", "j");
    take_token(ask("FB.SLOT ACQUIRE jobs j"), one);
    const fb_resp_value *is = ask("FB.SLOT ACQUIRE jobs j TTL 600000");
    assert_int_equal(number(&is->children[1], "remaining"), 0);
    take_token(is, other);
    is = ask("FB.SLOT ACQUIRE jobs j");
    assert_int_equal(is->children[0].type, FB_RESP_NULL);
    assert_int_equal(number(&is->children[1], "allowed"), 0);
    assert_in_range(number(&is->children[1], "retry_ms"), 1, 600000);
    assert_lease("RENEW", "j", other, ":1\r\n");
    assert_lease("RELEASE", "j", one, ":1\r\n");
    assert_lease("RELEASE", "j", one, ":0\r\n");
    assert_lease("RENEW", "j", one, ":0\r\n");
    assert_int_equal(number(ask("FB.SLOT SHOW jobs j"), "remaining"), 1);
    forget("jobs", "j");
    assert_lease("RELEASE", "j", other, ":0\r\n");
}

static void test_slot__is_refused_with_what_is_wrong(void **state) {
    (void)state;
    assert_heard("FB.SLOT RELEASE jobs j 12a",
                 "-ERR the token is not one that FB.SLOT ACQUIRE gave\r\n");
    assert_heard("FB.SLOT RELEASE jobs j 0", ":0\r\n");
    assert_heard("FB.SLOT RENEW jobs j 0", ":0\r\n");
    assert_heard("FB.SLOT RENEW jobs j 18446744073709551615", ":0\r\n");
    assert_heard("FB.SLOT ACQUIRE jobs j TTL 0", "-ERR TTL needs a positive integer\r\n");
    assert_heard("FB.SLOT nosuch", "-ERR unknown subcommand 'nosuch'. Try FB.SLOT HELP.\r\n");
    assert_true(fb_str_starts(say("FB.SLOT ACQUIRE nosuch j"), FB_STR("-NOLIMIT ")));
    assert_true(fb_str_starts(say("FB.SLOT ACQUIRE hourly j"), FB_STR("-ERR ")));
    assert_true(ask("FB.SLOT HELP")->child_count > 5);
}

// ---- FB.OVERRIDE, FB.RESET

static void test_override__holds_for_one_key(void **state) {
    (void)state;
    forget("hourly", "k");
    assert_heard("FB.OVERRIDE hourly k LIMIT 50 FOR 600000", "+OK\r\n");
    assert_int_equal(number(ask("FB.LIMIT hourly k"), "limit"), 50);
    assert_int_equal(number(ask("FB.LIMIT hourly k2"), "limit"), 3);
    assert_heard("FB.OVERRIDE hourly k deny FOR 600000", "+OK\r\n");
    assert_str(text(ask("FB.LIMIT hourly k"), "source"), "barred");
    assert_heard("FB.OVERRIDE hourly k ALLOW FOR 600000", "+OK\r\n");
    assert_str(text(ask("FB.LIMIT hourly k COST 100"), "source"), "exempt");
    assert_heard("FB.OVERRIDE hourly k NONE", "+OK\r\n");
    assert_int_equal(number(ask("FB.LIMIT hourly k PEEK"), "limit"), 3);
    assert_heard("FB.OVERRIDE hourly k DENY FOR 600000", "+OK\r\n");
    forget("hourly", "k");
    assert_int_equal(number(ask("FB.LIMIT hourly k"), "remaining"), 2);
}

static void test_override__is_refused_with_what_is_wrong(void **state) {
    (void)state;
    assert_heard("FB.OVERRIDE hourly k LIMIT 5",
                 "-ERR FOR ms is missing: an override is for a time\r\n");
    assert_heard("FB.OVERRIDE hourly k LIMIT 0 FOR 5",
                 "-ERR LIMIT needs an integer from 1 to 2147483647\r\n");
    assert_heard("FB.OVERRIDE hourly k LIMIT", "-ERR LIMIT needs an integer from 1 to 2147483647\r\n");
    assert_heard("FB.OVERRIDE hourly k MORE", "-ERR an override is LIMIT n, ALLOW, DENY or NONE\r\n");
    assert_heard("FB.OVERRIDE hourly k DENY FOR x", "-ERR FOR needs a positive integer\r\n");
    assert_heard("FB.OVERRIDE hourly k NONE FOR 5", "-ERR syntax error\r\n");
    assert_true(fb_str_starts(say("FB.OVERRIDE nosuch k DENY FOR 5"), FB_STR("-NOLIMIT ")));
    assert_true(fb_str_starts(say("FB.RESET nosuch k"), FB_STR("-NOLIMIT ")));
}

// ---- FB.RULES

static void test_rules__tell_their_figures(void **state) {
    (void)state;
    forget("daily", "l");
    uint64_t allowed = (uint64_t)number(ask("FB.RULES daily"), "allowed");
    uint64_t denied = (uint64_t)number(ask("FB.RULES daily"), "denied");
    (void)ask("FB.LIMIT daily l COST 4");
    (void)ask("FB.LIMIT daily l");
    const fb_resp_value *is = ask("FB.RULES daily");
    assert_int_equal(number(is, "allowed"), allowed + 1);
    assert_int_equal(number(is, "denied"), denied + 1);
    assert_int_equal(number(is, "limit"), 4);
    assert_int_equal(number(is, "window_ms"), 86400000);
    assert_str(text(is, "algorithm"), "sliding");
    assert_str(text(is, "per"), "user");
    assert_str(text(is, "calendar"), "");
    assert_true(number(is, "keys") >= 1);
    assert_true(number(is, "keys_max") > 0 && number(is, "bytes") > 0);
    const fb_resp_value *top = member(is, "top");
    assert_true(top->child_count >= 1);
    assert_int_equal(text(&top->children[0], "key").len, 16);  // a hash, not the key
    assert_true(number(&top->children[0], "denied") >= 1);
    is = ask("FB.RULES");
    assert_true(is->child_count >= 6 + 4);  // the rig's, and those that are always there
    assert_true(says(say("INFO limits"), "\r\nlimit_daily:allowed="));
    assert_heard("FB.RULES nosuch", "-NOLIMIT there is no limit 'nosuch'\r\n");
    assert_heard("FB.RULES dayly", "-NOLIMIT there is no limit 'dayly'; did you mean 'daily'?\r\n");
    assert_heard("FB.LIMIT dayly k",
                 "-NOLIMIT there is no limit 'dayly'; did you mean 'daily'?\r\n");
    assert_heard("FB.RULES a b", "-ERR wrong number of arguments for 'fb.rules' command\r\n");
}

// ---- CL.THROTTLE

static void test_throttle__answers_as_redis_cell_does(void **state) {
    static unsigned round;
    char line[100], key[32];
    (void)state;
    (void)snprintf(key, sizeof key, "m%u", round++);
    (void)snprintf(line, sizeof line, "CL.THROTTLE %s 2 1 3600", key);
    for (int left = 2; left >= 0; left--) {
        const fb_resp_value *is = ask(line);
        assert_int_equal(is->child_count, 5);
        assert_int_equal(is->children[0].integer, 0);
        assert_int_equal(is->children[1].integer, 3);
        assert_int_equal(is->children[2].integer, left);
        assert_int_equal(is->children[3].integer, -1);
        assert_in_range(is->children[4].integer, 1, 3 * 3600);
    }
    const fb_resp_value *is = ask(line);
    assert_int_equal(is->children[0].integer, 1);
    assert_in_range(is->children[3].integer, 1, 3600);
    assert_in_range(is->children[4].integer, 3600, 3 * 3600);
    (void)snprintf(line, sizeof line, "CL.THROTTLE %s 2 1 3600 4", key);
    is = ask(line);
    assert_int_equal(is->children[0].integer, 1);
    assert_int_equal(is->children[3].integer, -1);  // never
    (void)snprintf(line, sizeof line, "CL.THROTTLE %s 2 1 3600 0", key);
    assert_int_equal(ask(line)->children[0].integer, 0);
}

static void test_throttle__complains_as_redis_cell_does(void **state) {
    static const char *const usage =
        "-Cell error: Usage: CL.THROTTLE <key> <max_burst> <count per period> <period> "
        "[<quantity>]\r\n";
    (void)state;
    assert_heard("CL.THROTTLE k", usage);
    assert_heard("CL.THROTTLE k 1 2", usage);
    assert_heard("CL.THROTTLE k 1 2 3 4 5", usage);
    assert_heard("CL.THROTTLE k 15 x 60", "-Cell error: Couldn't parse as integer: x\r\n");
    assert_true(fb_str_starts(say("CL.THROTTLE k 15 30 0"), FB_STR("-Cell error: ")));
    assert_true(fb_str_starts(say("CL.THROTTLE k -1 30 60"), FB_STR("-Cell error: ")));
}

// ---- together with others

static void test_limits__run_in_transactions_and_pipelines(void **state) {
    (void)state;
    forget("hourly", "n");
    (void)say("MULTI");
    (void)say("FB.LIMIT hourly n COST 2");
    (void)say("FB.LIMIT hourly n COST 2");
    (void)say("SET limited 1");
    const fb_resp_value *is = ask("EXEC");
    assert_int_equal(is->child_count, 3);
    assert_int_equal(number(&is->children[0], "allowed"), 1);
    assert_int_equal(number(&is->children[1], "allowed"), 0);
    (void)say("DEL limited");
    fb_str heard = say("FB.RESET hourly n\r\nFB.LIMIT nosuch n\r\nPING");
    assert_true(fb_str_starts(heard, FB_STR("+OK\r\n-NOLIMIT ")));
    assert_true(fb_str_ends(heard, FB_STR("\r\n+PONG\r\n")));
}

static void test_limits__say_which_of_their_words_are_keys(void **state) {
    (void)state;
    assert_heard("COMMAND GETKEYS FB.LIMIT hourly a PEEK", "*1\r\n$1\r\na\r\n");
    assert_heard("COMMAND GETKEYS FB.LIMITS 2 r a s b TIER t", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_heard("COMMAND GETKEYS FB.LIMITS 3 r a s b",
                 "-ERR Invalid arguments specified for command\r\n");
    assert_heard("COMMAND GETKEYS FB.SLOT ACQUIRE r a", "*1\r\n$1\r\na\r\n");
    assert_heard("COMMAND GETKEYS CL.THROTTLE a 1 2 3", "*1\r\n$1\r\na\r\n");
    assert_heard("COMMAND GETKEYS FB.RULES a", "-ERR The command has no key arguments\r\n");
}

// ---- forebay's own

static void fail_to_sign_in(void) {
    assert_heard("AUTH me x",
                 "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
}

static void test_auth__is_not_listened_to_after_too_many_failures(void **state) {
    (void)state;
    shared.node.auth_limit = "signing_in";
    forget("signing_in", "127.0.0.1");
    for (int i = 0; i < 5; i++) {
        assert_heard("AUTH default x", "+OK\r\n");  // no failure, no charge
    }
    fail_to_sign_in();
    assert_heard("AUTH default x", "+OK\r\n");
    assert_true(fb_str_starts(say("HELLO 2 AUTH me x"), FB_STR("-WRONGPASS ")));
    static const char *const said[] = {"AUTH me x", "AUTH default x", "AUTH x",
                                       "HELLO 2 AUTH default x"};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        fb_str heard = say(said[i]);
        assert_true(fb_str_starts(
            heard, FB_STR("-ERR too many failed authentication attempts. Try again in ")));
    }
    forget("signing_in", "127.0.0.1");
    assert_heard("AUTH default x", "+OK\r\n");
    shared.node.auth_limit = NULL;
    for (int i = 0; i < 5; i++) {
        fail_to_sign_in();
    }
}

static void test_admit__counts_addresses_and_not_ports(void **state) {
    (void)state;
    char words[FB_ADMIT_TEXT_SIZE];
    int64_t retry_s = 0;
    shared.node.connect_limit = "connecting";
    forget("connecting", "192.0.2.1");
    assert_true(fb_admit_connection(&shared.node, FB_STR("192.0.2.1:1"), words, &retry_s));
    assert_true(fb_admit_connection(&shared.node, FB_STR("192.0.2.1:2"), words, &retry_s));
    assert_false(fb_admit_connection(&shared.node, FB_STR("192.0.2.1:3"), words, &retry_s));
    assert_in_range(retry_s, 1, 3601);
    assert_true(fb_str_starts(fb_str_of(words), FB_STR("Try again in ")));
    assert_true(fb_admit_connection(&shared.node, FB_STR("192.0.2.2:3"), words, &retry_s));
    for (int i = 0; i < 9; i++) {  // a Unix socket, and a rule that there is not
        assert_true(fb_admit_connection(&shared.node, FB_STR("/run/a.socket:0"), words, &retry_s));
        shared.node.connect_limit = i % 2 == 0 ? "nosuch" : "connecting";
        assert_true(i % 2 != 0 || fb_admit_connection(&shared.node, FB_STR("192.0.2.1:3"), words,
                                                      &retry_s));
    }
    shared.node.connect_limit = NULL;
    assert_true(fb_admit_connection(&shared.node, FB_STR("192.0.2.1:3"), words, &retry_s));
}

// An IPv6 subject is its network.
static void test_admit__counts_networks_of_ipv6(void **state) {
    (void)state;
    char words[FB_ADMIT_TEXT_SIZE];
    int64_t retry_s = 0;
    shared.node.connect_limit = "connecting";
    forget("connecting", "2001:db8::1");
    assert_true(fb_admit_connection(&shared.node, FB_STR("[2001:db8::1]:1"), words, &retry_s));
    assert_true(fb_admit_connection(&shared.node, FB_STR("[2001:db8::2]:1"), words, &retry_s));
    assert_false(fb_admit_connection(&shared.node, FB_STR("[2001:db8::3]:1"), words, &retry_s));
    assert_true(fb_admit_connection(&shared.node, FB_STR("[2001:db8:0:1::3]:1"), words, &retry_s));
    forget("connecting", "2001:db8:0:1::3");
    forget("connecting", "2001:db8::1");
    shared.node.connect_limit = NULL;
}

// ---- all

static int open_all(void **state) {
    (void)state;
    rig_open(&shared);
    rig_client_open(&client, &shared);
    return fb_resp_reply_new(16, 1 << 20, &reader);
}

static int open_waiting(void **state) {
    int result = open_all(state);
    shared.node.waits = true;  // fb_run() is a plain call here: what runs behind a slot is the same
    return result;
}

static int close_all(void **state) {
    (void)state;
    fb_resp_reply_free(reader);
    rig_client_close(&client);
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit__allows_as_many_as_it_may_and_says_when),
        cmocka_unit_test(test_limit__peeks_without_charging),
        cmocka_unit_test(test_limit__charges_costs),
        cmocka_unit_test(test_limit__knows_tiers_exemptions_and_bans),
        cmocka_unit_test(test_limit__of_a_shadow_rule_lets_pass_and_says_so),
        cmocka_unit_test(test_limit__is_refused_with_what_is_wrong),
        cmocka_unit_test(test_limit__is_a_map_in_resp3),
        cmocka_unit_test(test_limits__charge_all_or_none),
        cmocka_unit_test(test_limits__are_refused_with_what_is_wrong),
        cmocka_unit_test(test_refund__gives_back),
        cmocka_unit_test(test_slot__is_held_until_it_is_released),
        cmocka_unit_test(test_slot__is_refused_with_what_is_wrong),
        cmocka_unit_test(test_override__holds_for_one_key),
        cmocka_unit_test(test_override__is_refused_with_what_is_wrong),
        cmocka_unit_test(test_rules__tell_their_figures),
        cmocka_unit_test(test_throttle__answers_as_redis_cell_does),
        cmocka_unit_test(test_throttle__complains_as_redis_cell_does),
        cmocka_unit_test(test_limits__run_in_transactions_and_pipelines),
        cmocka_unit_test(test_limits__say_which_of_their_words_are_keys),
        cmocka_unit_test(test_auth__is_not_listened_to_after_too_many_failures),
        cmocka_unit_test(test_admit__counts_addresses_and_not_ports),
        cmocka_unit_test(test_admit__counts_networks_of_ipv6),
    };
    int failed = cmocka_run_group_tests_name("on the spot", tests, open_all, close_all);
    return failed + cmocka_run_group_tests_name("as errands", tests, open_waiting, close_all);
}
