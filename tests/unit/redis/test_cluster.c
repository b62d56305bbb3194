// A route to a Cluster: a real one of six, which the tests share and leave whole, and fakes.

#include "route_rig.h"

static test_cluster *shared;

static const char *url_of(int port) {
    static char url[128];
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d", port);
    return url;
}

static test_cluster *cluster_of_six(void) {
    if (shared == NULL) {
        shared = test_cluster_new(NULL);
    }
    return shared;
}

static size_t index_of(const test_redis *server) {
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        if (shared->servers[i] == server) {
            return i;
        }
    }
    fail_msg("no server of the Cluster");
    return 0;
}

static void open_shared(rig *r) {
    rig_open(r, url_of(cluster_of_six()->servers[0]->port));
    RUN_UNTIL(r, r->up);
}

static int teardown(void **state) {
    test_cluster_free(shared);
    return 0;
}

// ---- the map

static void test_cluster__is_found_from_one_server(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    open_shared(&r);
    assert_true(r.downs == 0 && r.changes == 0);
    assert_int_equal(fb_route_server_count(r.route), 3);
    for (int i = 0; i < 30; i++) {
        char text[32];
        snprintf(text, sizeof text, "SET key:%d %d", i, i);
        assert_string_equal(rig_ask(&r, "%s", text), "OK");
    }
    rig_close(&r);
}

static void test_cluster__is_noticed_behind_a_plain_address(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[64];
    fb_route_status status;
    rig r = {0};
    // A replica at that: it knows the rest as well as any.
    snprintf(url, sizeof url, "redis://localhost:%d", cluster_of_six()->servers[4]->port);
    rig_init(&r);
    r.dns = evdns_base_new(r.base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
    rig_open(&r, url);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    RUN_UNTIL(&r, r.up);
    fb_route_status_read(r.route, &status);
    assert_int_equal(status.kind, FB_REDIS_CLUSTER);
    assert_int_equal(status.server_count, 3);
    assert_string_equal(status.server.mode, "cluster");
    assert_int_equal(r.downs, 0);
    rig_close(&r);
}

static void test_cluster__may_be_demanded(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[64];
    test_redis *alone = test_redis_new(NULL);
    rig r = {0};
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", cluster_of_six()->servers[2]->port);
    rig_open_as(&r, url, FB_CLUSTER_YES);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    rig_close(&r);
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", alone->port);
    rig_open_as(&r, url, FB_CLUSTER_YES);
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "is no Cluster"));
    rig_close(&r);
    test_redis_free(alone);
}

static void test_cluster__is_found_where_the_first_server_is_away(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[128];
    rig r = {0};
    snprintf(url, sizeof url, "redis+cluster://127.0.0.1:%d,127.0.0.1:%d", test_redis_free_port(),
             cluster_of_six()->servers[1]->port);
    rig_open(&r, url);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    RUN_UNTIL(&r, r.up);
    assert_int_equal(r.downs, 0);
    rig_close(&r);
}

static void test_cluster__is_found_over_tls(void **state) {
    SKIP_WITHOUT_REDIS();
    char url[64];
    fb_error error = {0};
    // Without tls-cluster, Redis 7.0 names its plain ports to everybody.
    test_redis *server = test_redis_new_with(
        &(test_redis_options){.cluster = true, .tls = true, .config = "tls-cluster yes"});
    fb_redis_tls_options tls = {.ca_file = server->cert_file};
    rig r = {0};
    rig_init(&r);
    (void)test_redis_ask(server, "CLUSTER ADDSLOTSRANGE 0 16383");
    assert_ok(fb_redis_tls_new(&tls, &r.tls, &error));
    snprintf(url, sizeof url, "rediss://127.0.0.1:%d", server->tls_port);
    rig_open(&r, url);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    RUN_UNTIL(&r, r.up);
    // The servers it found are reached by TLS as well.
    const char *name = fb_route_server_name(fb_route_server_at(r.route, 0));
    assert_int_equal(atoi(strrchr(name, ':') + 1), server->tls_port);
    rig_close(&r);
    test_redis_free(server);
}

static void test_cluster__that_is_none_is_said(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new(NULL);
    rig r = {0};
    rig_open(&r, url_of(server->port));
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "is no Cluster"));
    rig_close(&r);
    test_redis_free(server);
}

static void test_cluster__without_slots_is_said(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new_with(&(test_redis_options){.cluster = true});
    rig r = {0};
    rig_open(&r, url_of(server->port));
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "given its slots to nobody"));
    (void)test_redis_ask(server, "CLUSTER ADDSLOTSRANGE 0 16383");
    RUN_UNTIL(&r, r.up);
    (void)test_redis_ask(server, "CLUSTER DELSLOTSRANGE 100 199");
    (void)rig_await_refusal(&r, 300, "GET k", "CLUSTERDOWN");
    RUN_UNTIL(&r, r.downs == 2);
    assert_non_null(strstr(r.why, "slots 100-199 (100 in all)"));
    rig_close(&r);
    test_redis_free(server);
}

static void test_cluster__all_away_comes_back(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_new_with(&(test_redis_options){.cluster = true});
    rig r = {0};
    (void)test_redis_ask(server, "CLUSTER ADDSLOTSRANGE 0 16383");
    test_redis_kill(server);
    rig_open(&r, url_of(server->port));
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "refused"));
    test_redis_start(server);
    assert_string_equal(rig_ask(&r, "SET fruit plum"), "OK");
    assert_true(r.up && r.changes == 0);
    rig_close(&r);
    test_redis_free(server);
}

// ---- slots that move

// The slot of `key`, its owner, and who gets it: always the same one. Each who gets a slot gives
// himself a new epoch without asking; where two do so within the time that gossip takes, they may
// end up each taking the other for the owner.
typedef struct move {
    unsigned slot;
    test_redis *from, *to;
    char from_id[48], to_id[48];
} move;

// False where it has the slot already.
static bool plan_move(move *m, const char *key) {
    *m = (move){.slot = fb_slot_of(fb_str_of(key)), .to = shared->servers[1]};
    m->from = test_cluster_owner(shared, m->slot);
    assert_non_null(m->from);
    snprintf(m->from_id, sizeof m->from_id, "%s", shared->ids[index_of(m->from)]);
    snprintf(m->to_id, sizeof m->to_id, "%s", shared->ids[index_of(m->to)]);
    return m->from != m->to;
}

static void set_slot(test_redis *at, const move *m, const char *how, const char *id) {
    assert_string_equal(test_redis_ask(at, "CLUSTER SETSLOT %u %s %s", m->slot, how, id), "OK");
}

static void begin_move(const move *m) {
    set_slot(m->to, m, "IMPORTING", m->from_id);
    set_slot(m->from, m, "MIGRATING", m->to_id);
}

static void move_key(const move *m, const char *key) {
    (void)test_redis_ask(m->from, "MIGRATE 127.0.0.1 %d %s 0 4000", m->to->port, key);
}

static void move_all_keys(const move *m) {
    char keys[256];
    for (;;) {
        snprintf(keys, sizeof keys, "%s",
                 test_redis_ask(m->from, "CLUSTER GETKEYSINSLOT %u 1", m->slot));
        if (keys[0] == '\0') {
            return;
        }
        move_key(m, keys);
    }
}

static void end_move(const move *m) {
    set_slot(m->to, m, "NODE", m->to_id);
    set_slot(m->from, m, "NODE", m->to_id);
}

static void test_cluster__follows_a_slot_that_moved(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    open_shared(&r);
    assert_string_equal(rig_ask(&r, "SET moved v"), "OK");
    move m;
    assert_true(plan_move(&m, "moved"));
    begin_move(&m);
    move_all_keys(&m);
    end_move(&m);
    assert_string_equal(rig_ask(&r, "GET moved"), "v");
    assert_int_equal(r.changes, 1);
    assert_int_equal(r.downs, 0);
    rig_close(&r);
}

static void test_cluster__asks_who_is_getting_a_slot(void **state) {
    SKIP_WITHOUT_REDIS();
    rig_call both;
    rig r = {0};
    open_shared(&r);
    (void)rig_ask(&r, "SET {gone}a 1");
    (void)rig_ask(&r, "SET {gone}b 2");
    move m;
    assert_true(plan_move(&m, "{gone}a"));
    begin_move(&m);
    move_key(&m, "{gone}a");
    // One key is here, the other there.
    assert_string_equal(rig_ask(&r, "GET {gone}a"), "1");
    assert_string_equal(rig_ask(&r, "GET {gone}b"), "2");
    assert_string_equal(rig_ask(&r, "INCR {gone}a"), "2");
    assert_string_equal(rig_ask(&r, "SET {gone}new 3"), "OK");
    assert_string_equal(test_redis_ask(m.to, "CLUSTER COUNTKEYSINSLOT %u", m.slot), "2");
    // Both at once are nowhere, until the slot has moved.
    assert_ok(rig_send(&r, &both, &(rig_how){.once = true}, "MGET {gone}a {gone}b"));
    rig_run_ms(&r, 60);
    assert_int_equal(both.calls, 0);
    move_all_keys(&m);
    end_move(&m);
    rig_await(&r, &both);
    assert_string_equal(both.text, "2 2");
    assert_string_equal(rig_ask(&r, "GET {gone}new"), "3");
    rig_close(&r);
}

static void test_cluster__says_what_stood_in_the_way(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    open_shared(&r);
    (void)rig_ask(&r, "SET {apart}a 1");
    (void)rig_ask(&r, "SET {apart}b 2");
    move m;
    assert_true(plan_move(&m, "{apart}a"));
    begin_move(&m);
    move_key(&m, "{apart}a");
    (void)rig_await_refusal(&r, 50, "MGET {apart}a {apart}b", "TRYAGAIN");
    move_all_keys(&m);
    end_move(&m);
    rig_close(&r);
}

static void test_cluster__loses_nothing_while_slots_move(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    open_shared(&r);
    rig_load *load = rig_load_new(&r);
    for (int i = 0; i < LOAD_KEYS; i += 2) {
        char key[32];
        move m;
        snprintf(key, sizeof key, "counter:%d", i);
        if (!plan_move(&m, key)) {
            continue;
        }
        begin_move(&m);
        rig_load_ms(load, 5);
        move_all_keys(&m);
        rig_load_ms(load, 5);
        end_move(&m);
    }
    assert_int_equal(rig_load_end(load, false), 0);
    assert_true(r.downs == 0 && r.changes > 0);
    rig_close(&r);
}

// ---- masters that go

static void test_cluster__follows_a_planned_fail_over(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    open_shared(&r);
    rig_load *load = rig_load_new(&r);
    assert_ptr_equal(test_cluster_owner(shared, 0), shared->servers[0]);
    assert_string_equal(test_redis_ask(shared->servers[3], "CLUSTER FAILOVER"), "OK");
    LOAD_UNTIL(load, r.changes > 0);
    LOAD_UNTIL(load, r.up);
    rig_load_ms(load, 50);
    // What was on the old master when its clients were cut off may be unknown, nothing else.
    assert_true(rig_load_end(load, true) <= LOAD_KEYS);
    assert_ptr_equal(test_cluster_owner(shared, 0), shared->servers[3]);
    rig_close(&r);
}

static void test_cluster__goes_on_after_a_master_was_killed(void **state) {
    SKIP_WITHOUT_REDIS();
    char lost[32] = "";
    rig r = {0};
    open_shared(&r);
    test_cluster_await_whole(shared);
    test_redis *master = test_cluster_owner(shared, 16383);
    for (int i = 0; lost[0] == '\0'; i++) {
        snprintf(lost, sizeof lost, "lost:%d", i);
        if (test_cluster_owner(shared, fb_slot_of(fb_str_of(lost))) != master) {
            lost[0] = '\0';
        }
    }
    (void)rig_ask(&r, "SET %s 7", lost);
    rig_load *load = rig_load_new(&r);
    rig_load_ms(load, 50);
    int changes = r.changes;
    test_cluster_elect(shared);
    test_redis_kill(master);
    LOAD_UNTIL(load, !r.up);
    LOAD_UNTIL(load, r.up);
    assert_true(r.changes > changes);
    // Only what was on its way to the server when it died is not known.
    assert_true(rig_load_end(load, true) <= LOAD_KEYS);
    assert_string_equal(rig_ask(&r, "SET %s 8", lost), "OK");
    assert_ptr_not_equal(test_cluster_owner(shared, 16383), master);
    test_redis_start(master);
    rig_close(&r);
    test_cluster_calm(shared);
}

static void test_cluster__goes_on_after_a_master_hung(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    rig_init(&r);
    r.stall_ms = 500;
    open_shared(&r);
    test_cluster_await_whole(shared);
    rig_load *load = rig_load_new(&r);
    test_redis *master = test_cluster_owner(shared, 8000);
    test_cluster_elect(shared);
    test_redis_stop(master);
    LOAD_UNTIL(load, r.changes > 0 && r.up);
    rig_load_ms(load, 20);
    assert_true(rig_load_end(load, true) <= 2 * LOAD_KEYS);
    test_redis_continue(master);
    rig_close(&r);
    test_cluster_calm(shared);
}

// ---- in parts

static test_redis *replica_of(const test_redis *master) {
    char port[16];
    for (size_t i = 0; i < TEST_CLUSTER_SERVERS; i++) {
        test_redis *server = shared->servers[i];
        if (server != master && server->pid != 0 &&
            atoi(test_redis_field(server, "INFO replication", "master_port:", port,
                                  sizeof port)) == master->port) {
            return server;
        }
    }
    fail_msg("it has no replica");
    return NULL;
}

static void key_of(const test_redis *master, char *key, size_t size) {
    int i = 0;
    do {
        snprintf(key, size, "part:%d", i++);
    } while (test_cluster_owner(shared, fb_slot_of(fb_str_of(key))) != master);
}

static void test_cluster__goes_on_without_a_master(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    char lost[32], kept[32], words[64];
    rig_init(&r);
    r.in_parts = true;
    (void)cluster_of_six();
    test_cluster_await_whole(shared);
    test_redis *vital = test_cluster_owner(shared, r.vital);
    test_redis *master = test_cluster_owner(shared, 16383);
    test_redis *replica = replica_of(master);
    key_of(master, lost, sizeof lost);
    key_of(vital, kept, sizeof kept);
    rig_open(&r, url_of(vital->port));
    RUN_UNTIL(&r, r.up);
    assert_string_equal(r.why, "");
    assert_false(fb_route_lacks(r.route));
    test_redis_kill(master);
    RUN_UNTIL(&r, fb_route_lacks(r.route));
    char port[16];
    snprintf(port, sizeof port, ":%d", master->port);
    assert_non_null(strstr(r.why, port));
    assert_true(fb_route_is_away(r.route, fb_slot_of(fb_str_of(lost))));
    assert_false(fb_route_is_away(r.route, fb_slot_of(fb_str_of(kept))));

    // What it has is refused long before its deadline, and what others have is done.
    rig_call call;
    snprintf(words, sizeof words, "SET %s 1", lost);
    assert_ok(rig_send(&r, &call, &(rig_how){.deadline_ms = 600000}, words));
    rig_await(&r, &call);
    assert_int_equal(call.outcome, FB_CONN_NOT_SENT);
    assert_string_equal(rig_ask(&r, "SET %s 1", kept), "OK");
    assert_true(r.downs == 0 && r.up);

    assert_string_equal(test_redis_ask(replica, "CLUSTER FAILOVER TAKEOVER"), "OK");
    RUN_UNTIL(&r, !fb_route_lacks(r.route));
    assert_string_equal(r.why, "");
    assert_string_equal(rig_ask(&r, "SET %s 2", lost), "OK");
    assert_true(r.downs == 0 && r.parts >= 2 && r.changes > 0);
    rig_close(&r);
    test_redis_start(master);
    test_cluster_await_whole(shared);
}

static void test_cluster__is_down_without_the_vital_master(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r = {0};
    rig_init(&r);
    r.in_parts = true;
    r.vital = 8000;
    open_shared(&r);
    test_redis *master = test_cluster_owner(shared, r.vital);
    test_cluster_elect(shared);
    test_redis_kill(master);
    RUN_UNTIL(&r, !r.up);
    assert_false(fb_route_is_away(r.route, 0));  // all is
    RUN_UNTIL(&r, r.up);  // its replica has taken over
    test_redis_start(master);
    rig_close(&r);
    test_cluster_calm(shared);
}

// ---- fakes: two servers, the second told of by the first

typedef struct pair {
    fake_redis *first, *second;
    const char *of_first, *of_second;  // what they answer to GET; %d: the other's port
    bool map_is_empty, second_has_all;
} pair;

static const char *answer_of_pair(fake_redis *fake, const char *words, char *text,
                                  size_t text_size) {
    const pair *p = fake->arg;
    bool is_first = fake == p->first;
    if (strcmp(words, "CLUSTER SLOTS") == 0) {
        snprintf(text, text_size,
                 "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n",
                 p->second_has_all ? p->second->port : p->first->port);
        return p->map_is_empty ? "+what?\r\n" : text;
    }
    if (strcmp(words, "ASKING") == 0) {
        return "+OK\r\n";
    }
    const char *format = is_first ? p->of_first : p->of_second;
    snprintf(text, text_size, format, is_first ? p->second->port : p->first->port);
    return text;
}

static void open_pair(rig *r, pair *p) {
    p->first = fake_redis_new(r, answer_of_pair, p);
    p->second = fake_redis_new(r, answer_of_pair, p);
    p->first->mode = p->second->mode = "cluster";
    rig_open(r, url_of(p->first->port));
}

static void close_pair(rig *r, pair *p) {
    fake_redis_free(p->first);
    fake_redis_free(p->second);
    rig_close(r);
}

// ---- fakes: each has half of the slots, and the second may be silent

typedef struct halves {
    fake_redis *first, *second;
    bool silent;
    int pings, unanswered;
} halves;

static const char *answer_of_halves(fake_redis *fake, const char *words, char *text,
                                    size_t text_size) {
    halves *both = fake->arg;
    bool is_second = fake == both->second;
    both->pings += is_second && strcmp(words, "PING") == 0;
    both->unanswered += is_second;
    if (is_second && both->silent) {
        return NULL;
    }
    // What it has not answered comes first, whatever it was.
    size_t len = 0;
    for (; both->unanswered > 1 && is_second; both->unanswered--) {
        len += (size_t)snprintf(text + len, text_size - len, "+here\r\n");
    }
    both->unanswered -= is_second;
    if (strcmp(words, "CLUSTER SLOTS") == 0) {
        snprintf(text + len, text_size - len,
                 "*2\r\n*3\r\n:0\r\n:8191\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n"
                 "*3\r\n:8192\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:%d\r\n$2\r\nid\r\n",
                 both->first->port, both->second->port);
    } else {
        snprintf(text + len, text_size - len, "+here\r\n");
    }
    return text;
}

static void test_cluster__passes_by_a_master_that_answers_too_late(void **state) {
    enum { CALLS = 30 };
    rig r = {0};
    halves both = {0};
    rig_call calls[CALLS];
    rig_init(&r);
    r.in_parts = true;
    r.vital = fb_slot_of(FB_STR("b"));  // 3300, "a" is 15495
    r.stall_ms = 600000;
    both.first = fake_redis_new(&r, answer_of_halves, &both);
    both.second = fake_redis_new(&r, answer_of_halves, &both);
    both.first->mode = both.second->mode = "cluster";
    rig_open(&r, url_of(both.first->port));
    RUN_UNTIL(&r, r.up);
    assert_string_equal(rig_ask(&r, "GET a"), "here");

    both.silent = true;
    for (int i = 0; i < CALLS; i++) {
        assert_ok(rig_send(&r, &calls[i], &(rig_how){.once = true, .deadline_ms = 20}, "GET a"));
    }
    RUN_UNTIL(&r, fb_route_lacks(r.route));
    assert_non_null(strstr(r.why, "too late"));
    for (int i = 0; i < CALLS; i++) {
        rig_await(&r, &calls[i]);
        assert_int_not_equal(calls[i].outcome, FB_CONN_REPLIED);
    }
    assert_ok(rig_send(&r, &calls[0], &(rig_how){.deadline_ms = 600000}, "GET a"));
    rig_await(&r, &calls[0]);
    assert_int_equal(calls[0].outcome, FB_CONN_NOT_SENT);
    assert_string_equal(rig_ask(&r, "GET b"), "here");
    assert_true(r.up && r.downs == 0);

    RUN_UNTIL(&r, both.pings >= 2);  // in vain, more than once
    both.silent = false;
    RUN_UNTIL(&r, !fb_route_lacks(r.route));
    assert_string_equal(rig_ask(&r, "GET a"), "here");
    assert_true(r.up && r.downs == 0 && r.parts == 2);
    fake_redis_free(both.first);
    fake_redis_free(both.second);
    rig_close(&r);
}

static void test_cluster__does_not_run_in_circles(void **state) {
    pair p = {.of_first = "-MOVED 7 127.0.0.1:%d\r\n", .of_second = "-MOVED 7 127.0.0.1:%d\r\n"};
    rig r = {0};
    open_pair(&r, &p);
    int tries = rig_await_refusal(&r, 300, "GET k", "MOVED 7");
    assert_true(p.first->commands + p.second->commands < 40 * tries);
    // They agree at last.
    p.of_second = "+plum\r\n";
    assert_string_equal(rig_ask(&r, "GET k"), "plum");
    close_pair(&r, &p);
}

static void test_cluster__asks_again_where_asking_led_nowhere(void **state) {
    pair p = {.of_first = "-ASK 7 127.0.0.1:1\r\n", .of_second = "+plum\r\n"};
    rig r = {0};
    open_pair(&r, &p);
    (void)rig_await_refusal(&r, 200, "GET k", "");
    p.of_first = "-ASK 7 :%d\r\n";
    assert_string_equal(rig_ask(&r, "GET k"), "plum");
    p.of_first = "-ASK 7 ?:%d\r\n";
    (void)rig_await_refusal(&r, 100, "GET k", "");
    close_pair(&r, &p);
}

static void test_cluster__keeps_its_map_rather_than_nonsense(void **state) {
    pair p = {.of_first = "+plum\r\n", .of_second = "+pear\r\n"};
    rig r = {0};
    open_pair(&r, &p);
    assert_string_equal(rig_ask(&r, "GET k"), "plum");
    p.map_is_empty = true;
    fake_redis_hang_up(p.first);
    RUN_UNTIL(&r, r.ups == 2);
    assert_string_equal(rig_ask(&r, "GET k"), "plum");
    close_pair(&r, &p);
}

static void test_cluster__says_that_a_map_is_nonsense(void **state) {
    pair p = {.of_first = "+plum\r\n", .of_second = "+pear\r\n", .map_is_empty = true};
    rig r = {0};
    open_pair(&r, &p);
    RUN_UNTIL(&r, r.downs == 1);
    assert_non_null(strstr(r.why, "nothing sensible of the slots"));
    p.map_is_empty = false;
    RUN_UNTIL(&r, r.up);
    close_pair(&r, &p);
}

// A command for one server ends with that: a server which the map no longer names.
static void test_cluster__lets_go_of_a_server_that_left(void **state) {
    pair p = {.of_first = "+plum\r\n", .of_second = "+pear\r\n"};
    rig_call call;
    rig r = {0};
    open_pair(&r, &p);
    RUN_UNTIL(&r, r.up);
    rig_how how = {.server = fb_route_server_at(r.route, 0)};
    // The first is gone; the second, which MOVED leads to, has everything.
    p.of_first = "-MOVED 7 127.0.0.1:%d\r\n";
    assert_string_equal(rig_ask(&r, "GET k"), "pear");
    evconnlistener_disable(p.first->listener);
    (void)shutdown(evconnlistener_get_fd(p.first->listener), SHUT_RDWR);
    fake_redis_hang_up(p.first);
    RUN_UNTIL(&r, !r.up);
    assert_ok(rig_send(&r, &call, &how, "GET k"));
    p.second_has_all = true;
    rig_await(&r, &call);
    assert_int_equal(call.outcome, FB_CONN_NOT_SENT);
    assert_true(call.answered_ns < call.deadline_ns);
    RUN_UNTIL(&r, r.up);
    assert_string_equal(rig_ask(&r, "GET k"), "pear");
    close_pair(&r, &p);
}

// ---- memory

// Whatever allocation fails, of the route or of its connections: the command is answered, perhaps
// with that it was not done, and later ones are done.
static int scenario(void *arg) {
    rig *r = arg;
    pair p = {.of_first = "-MOVED 7 127.0.0.1:%d\r\n", .of_second = "+plum\r\n"};
    rig_call call = {0};
    fb_route_events events = {0};
    p.first = fake_redis_new(r, answer_of_pair, &p);
    p.second = fake_redis_new(r, answer_of_pair, &p);
    p.first->mode = p.second->mode = "cluster";
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", p.first->port);
    rig_set_url(r, url);
    fb_route_options options = rig_options(r, FB_CLUSTER_AUTO);
    int result = fb_route_new(&options, &events, &r->route);
    if (result == FB_OK) {
        result = rig_send(r, &call, &(rig_how){.deadline_ms = 1000}, "GET k");
        if (result == FB_OK) {
            rig_await(r, &call);
        }
        rig_ask_until_answered(r, "GET k");
    }
    fb_route_free(r->route);
    r->route = NULL;
    fake_redis_free(p.first);
    fake_redis_free(p.second);
    return result;
}

static void test_cluster__heals_from_a_lack_of_memory(void **state) {
    rig r = {0};
    (void)test_memory_get();
    rig_init(&r);
    size_t count = test_memory_sweep(scenario, &r);
    printf("%zu allocations\n", count);
    assert_true(count > 20);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cluster__is_found_from_one_server),
        cmocka_unit_test(test_cluster__is_noticed_behind_a_plain_address),
        cmocka_unit_test(test_cluster__may_be_demanded),
        cmocka_unit_test(test_cluster__is_found_where_the_first_server_is_away),
        cmocka_unit_test(test_cluster__is_found_over_tls),
        cmocka_unit_test(test_cluster__that_is_none_is_said),
        cmocka_unit_test(test_cluster__without_slots_is_said),
        cmocka_unit_test(test_cluster__all_away_comes_back),
        cmocka_unit_test(test_cluster__follows_a_slot_that_moved),
        cmocka_unit_test(test_cluster__asks_who_is_getting_a_slot),
        cmocka_unit_test(test_cluster__says_what_stood_in_the_way),
        cmocka_unit_test(test_cluster__loses_nothing_while_slots_move),
        cmocka_unit_test(test_cluster__follows_a_planned_fail_over),
        cmocka_unit_test(test_cluster__goes_on_after_a_master_was_killed),
        cmocka_unit_test(test_cluster__goes_on_after_a_master_hung),
        cmocka_unit_test(test_cluster__goes_on_without_a_master),
        cmocka_unit_test(test_cluster__is_down_without_the_vital_master),
        cmocka_unit_test(test_cluster__passes_by_a_master_that_answers_too_late),
        cmocka_unit_test(test_cluster__does_not_run_in_circles),
        cmocka_unit_test(test_cluster__asks_again_where_asking_led_nowhere),
        cmocka_unit_test(test_cluster__keeps_its_map_rather_than_nonsense),
        cmocka_unit_test(test_cluster__says_that_a_map_is_nonsense),
        cmocka_unit_test(test_cluster__lets_go_of_a_server_that_left),
        cmocka_unit_test(test_cluster__heals_from_a_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
