// What servers say about where things are.

#include "redis/topology.h"
#include "support.h"

static const fb_resp_value *read_reply(fb_resp_reply **reply, const char *text) {
    const fb_resp_value *value = NULL;
    assert_ok(fb_resp_reply_new(16, 1 << 20, reply));
    assert_true(fb_resp_reply_read(*reply, fb_str_of(text), &value, NULL) > 0);
    return value;
}

static int read_map(const char *text, fb_slot_map **map) {
    fb_resp_reply *reply = NULL;
    int result = fb_slot_map_read(read_reply(&reply, text), "10.1.1.1", map);
    fb_resp_reply_free(reply);
    return result;
}

#define NODE(host, port) "*3\r\n" host ":" port "\r\n$2\r\nid\r\n"

// ---- slots

static void test_slot__is_that_of_the_specification(void **state) {
    // The first is the specification's own example; CLUSTER KEYSLOT says the same of all.
    static const struct {
        const char *key;
        uint16_t slot;
    } known[] = {{"123456789", 12739},
                 {"", 0},
                 {"foo", 12182},
                 {"hello", 866},
                 {"{user1000}.following", 3443},
                 {"{user1000}.followers", 3443},
                 {"foo{}{bar}", 8363},
                 {"foo{{bar}}zap", 4015},
                 {"foo{bar}{zap}", 5061},
                 {"foo{bar", 15278},
                 {"}bar{", 1498}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (fb_slot_of(fb_str_of(known[i].key)) != known[i].slot) {
            fail_msg("%s is in slot %u, not %u", known[i].key,
                     fb_slot_of(fb_str_of(known[i].key)), known[i].slot);
        }
    }
}

// ---- redirections

static fb_redirect redirect_of(const char *text) {
    fb_redirect redirect;
    fb_redirect_read(fb_str_of(text), &redirect);
    return redirect;
}

static void test_redirect__of_a_redirection_is_read(void **state) {
    fb_redirect moved = redirect_of("MOVED 3999 127.0.0.1:6381");
    assert_int_equal(moved.kind, FB_REDIRECT_MOVED);
    assert_int_equal(moved.slot, 3999);
    assert_string_equal(moved.place.host, "127.0.0.1");
    assert_int_equal(moved.place.port, 6381);
    fb_redirect ask = redirect_of("ASK 16383 2001:db8::1:7000");
    assert_int_equal(ask.kind, FB_REDIRECT_ASK);
    assert_string_equal(ask.place.host, "2001:db8::1");
    assert_int_equal(ask.place.port, 7000);
    fb_redirect own = redirect_of("MOVED 0 :7000");
    assert_int_equal(own.kind, FB_REDIRECT_MOVED);
    assert_string_equal(own.place.host, "");
}

static void test_redirect__that_leads_nowhere_is_not_followed(void **state) {
    assert_int_equal(redirect_of("MOVED 3999 ?:6381").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("MOVED 3999 host:0").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("MOVED 3999 host:65536").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("MOVED 3999 a b:1").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("MOVED 16384 host:1").kind, FB_REDIRECT_NONE);
    assert_int_equal(redirect_of("MOVED -1 host:1").kind, FB_REDIRECT_NONE);
    assert_int_equal(redirect_of("MOVED").kind, FB_REDIRECT_NONE);
    assert_int_equal(redirect_of("").kind, FB_REDIRECT_NONE);
}

static void test_redirect__says_whether_to_wait_or_to_look_elsewhere(void **state) {
    assert_int_equal(redirect_of("TRYAGAIN Multiple keys request").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("LOADING Redis is loading").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("BUSY Redis is busy").kind, FB_REDIRECT_LATER);
    assert_int_equal(redirect_of("READONLY You can't write").kind, FB_REDIRECT_ELSEWHERE);
    assert_int_equal(redirect_of("CLUSTERDOWN The cluster is down").kind, FB_REDIRECT_ELSEWHERE);
    assert_int_equal(redirect_of("MASTERDOWN Link with MASTER").kind, FB_REDIRECT_ELSEWHERE);
    assert_int_equal(redirect_of("BUSYKEY Target key name").kind, FB_REDIRECT_NONE);
    assert_int_equal(redirect_of("OOM command not allowed").kind, FB_REDIRECT_NONE);
    assert_int_equal(redirect_of("ERR MOVED 1 a:1").kind, FB_REDIRECT_NONE);
}

// ---- maps

static void test_slot_map__names_the_masters_alone(void **state) {
    fb_slot_map *map = NULL;
    assert_ok(read_map("*2\r\n"
                       "*4\r\n:0\r\n:99\r\n" NODE("$9\r\n127.0.0.1\r\n", "7000")
                           NODE("$9\r\n127.0.0.1\r\n", "7003")
                       "*3\r\n:200\r\n:200\r\n" NODE("$9\r\n127.0.0.1\r\n", "7001"),
                       &map));
    assert_int_equal(map->host_count, 2);
    assert_int_equal(map->covered, 101);
    assert_int_equal(map->owners[0], 1);
    assert_int_equal(map->owners[99], 1);
    assert_int_equal(map->owners[100], 0);
    assert_int_equal(map->owners[200], 2);
    assert_int_equal(map->hosts[1].port, 7001);
    fb_slot_map_free(map);
}

static void test_slot_map__takes_a_nameless_server_for_who_answers(void **state) {
    fb_slot_map *map = NULL;
    assert_ok(read_map("*3\r\n*3\r\n:0\r\n:0\r\n" NODE("_\r\n", "7000")
                       "*3\r\n:1\r\n:1\r\n" NODE("$0\r\n\r\n", "7001")
                       "*3\r\n:2\r\n:2\r\n" NODE("$1\r\n?\r\n", "7002"),
                       &map));
    assert_int_equal(map->host_count, 2);
    assert_string_equal(map->hosts[0].host, "10.1.1.1");
    assert_string_equal(map->hosts[1].host, "10.1.1.1");
    assert_int_equal(map->owners[2], 0);  // "?": unknown to the server itself
    fb_slot_map_free(map);
}

static void test_slot_map__that_makes_no_sense_is_none(void **state) {
    static const char *const senseless[] = {
        "+OK\r\n",
        "-ERR unknown\r\n",
        "*1\r\n:5\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:-1\r\n:5\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:6\r\n:5\r\n" NODE("$1\r\na\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:5\r\n" NODE("$1\r\na\r\n", "0"),
        "*1\r\n*3\r\n:0\r\n:5\r\n" NODE("$3\r\na b\r\n", "1"),
        "*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\na\r\n",
        "*2\r\n*3\r\n:0\r\n:5\r\n" NODE("$1\r\na\r\n", "1") "*3\r\n:5\r\n:5\r\n"
            NODE("$1\r\nb\r\n", "1"),
    };
    for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++) {
        fb_slot_map *map = NULL;
        assert_result(read_map(senseless[i], &map), FB_ESYNTAX);
        assert_null(map);
    }
}

static int map_scenario(void *arg) {
    fb_slot_map *map = NULL;
    int result = fb_slot_map_read(arg, "10.1.1.1", &map);
    fb_slot_map_free(map);
    return result;
}

static void test_slot_map__survives_a_lack_of_memory(void **state) {
    fb_buf text = {0};
    fb_resp_reply *reply = NULL;
    (void)test_memory_get();
    assert_ok(fb_buf_printf(&text, "*20\r\n"));
    for (int i = 0; i < 20; i++) {
        assert_ok(fb_buf_printf(&text, "*3\r\n:%d\r\n:%d\r\n*2\r\n$1\r\na\r\n:%d\r\n", i, i,
                                7000 + i));
    }
    assert_ok(fb_buf_byte(&text, '\0'));
    const fb_resp_value *value = read_reply(&reply, text.ptr);
    assert_int_equal(test_memory_sweep(map_scenario, (void *)(uintptr_t)value), 4);
    fb_resp_reply_free(reply);
    fb_buf_release(&text);
}

// ---- Sentinel and ROLE

static int read_answer(const char *text, fb_redis_host *master, uint64_t *epoch) {
    fb_resp_reply *reply = NULL;
    int result = fb_sentinel_answer_read(read_reply(&reply, text), master, epoch);
    fb_resp_reply_free(reply);
    return result;
}

static void test_sentinel__names_a_master_or_says_that_it_knows_none(void **state) {
    fb_redis_host master = {0};
    uint64_t epoch = 0;
    assert_ok(read_answer("%4\r\n$4\r\nname\r\n$1\r\nm\r\n$2\r\nip\r\n$8\r\n10.0.0.7\r\n"
                          "$4\r\nport\r\n$4\r\n6379\r\n$12\r\nconfig-epoch\r\n$2\r\n12\r\n",
                          &master, &epoch));
    assert_string_equal(master.host, "10.0.0.7");
    assert_int_equal(master.port, 6379);
    assert_int_equal(epoch, 12);
    assert_result(read_answer("-ERR No such master with that name\r\n", &master, &epoch), FB_MISS);
    assert_result(read_answer("-ERR unknown command 'SENTINEL'\r\n", &master, &epoch), FB_ESYNTAX);
    assert_result(read_answer("*2\r\n$2\r\nip\r\n$1\r\na\r\n", &master, &epoch), FB_ESYNTAX);
    assert_result(read_answer("*3\r\n$2\r\nip\r\n$1\r\na\r\n$4\r\nport\r\n", &master, &epoch),
                  FB_ESYNTAX);
}

static void test_sentinel__hears_of_its_own_service_alone(void **state) {
    fb_resp_reply *reply = NULL;
    const fb_resp_value *push =
        read_reply(&reply, ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n"
                           "$13\r\nmine a 1 b 23\r\n");
    assert_true(fb_sentinel_is_switch(push, "mine"));
    assert_false(fb_sentinel_is_switch(push, "min"));
    assert_false(fb_sentinel_is_switch(push, "mine a"));
    fb_resp_reply_free(reply);
}

static void test_role__of_a_replica_is_no_masters(void **state) {
    static const struct {
        const char *reply;
        bool is_master;
    } known[] = {{"*3\r\n$6\r\nmaster\r\n:5\r\n*0\r\n", true},
                 {"*2\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n", false},
                 {"*2\r\n$8\r\nsentinel\r\n*0\r\n", false},
                 {"*0\r\n", false},
                 {"$6\r\nmaster\r\n", false},
                 {"-ERR\r\n", false}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        fb_resp_reply *reply = NULL;
        const fb_resp_value *value = read_reply(&reply, known[i].reply);
        assert_int_equal(fb_role_is_master(value), known[i].is_master);
        fb_resp_reply_free(reply);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot__is_that_of_the_specification),
        cmocka_unit_test(test_redirect__of_a_redirection_is_read),
        cmocka_unit_test(test_redirect__that_leads_nowhere_is_not_followed),
        cmocka_unit_test(test_redirect__says_whether_to_wait_or_to_look_elsewhere),
        cmocka_unit_test(test_slot_map__names_the_masters_alone),
        cmocka_unit_test(test_slot_map__takes_a_nameless_server_for_who_answers),
        cmocka_unit_test(test_slot_map__that_makes_no_sense_is_none),
        cmocka_unit_test(test_slot_map__survives_a_lack_of_memory),
        cmocka_unit_test(test_sentinel__names_a_master_or_says_that_it_knows_none),
        cmocka_unit_test(test_sentinel__hears_of_its_own_service_alone),
        cmocka_unit_test(test_role__of_a_replica_is_no_masters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
