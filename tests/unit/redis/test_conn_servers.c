// Connections to real servers: what they refuse, what they say, and what happens to them.

#include "conn_rig.h"
#include "redis_server.h"

static void use(rig *r, const test_redis *server) {
    rig_init(r);
    r->options.port = (uint16_t)server->port;
}

static void await_up(rig *r) {
    r->ups = r->downs = 0;
    rig_open(r);
    AWAIT(r, r->ups > 0 || r->downs > 0);
    assert_string_equal(r->why, "");
}

static void await_refusal(rig *r, const char *why, bool fatal) {
    r->ups = r->downs = 0;
    rig_open(r);
    AWAIT(r, r->downs > 0 || r->ups > 0);
    if (strstr(r->why, why) == NULL || r->fatal != fatal) {
        fail_msg("\"%s\" (fatal: %d), not \"%s\"", r->why, r->fatal, why);
    }
    fb_conn_close(r->conn);
    r->conn = NULL;
    r->why[0] = '\0';
}

// ---- what it says

static void test_conn_servers__a_hundred_thousand_commands_in_one_pipeline(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new(NULL);
    use(&r, server);
    r.options.db = 3;
    rig_open(&r);
    for (int i = 0; i < FB_CONN_WAITING_MAX; i++) {
        send_text(&r, "INCR n", 60 * SECOND);
    }
    AWAIT(&r, r.replied == FB_CONN_WAITING_MAX);
    assert_string_equal(r.value, "100000");
    assert_string_equal(test_redis_ask(server, "GET n"), "(nil)");  // it was another database
    assert_int_equal(r.downs, 0);
    assert_true(strlen(fb_conn_server_of(r.conn)->version) >= 5);
    assert_string_equal(fb_conn_server_of(r.conn)->mode, "standalone");
    assert_string_equal(fb_conn_server_of(r.conn)->role, "master");
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__values_of_any_size_come_whole(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new(NULL);
    use(&r, server);
    rig_open(&r);
    size_t len = 8 * 1024 * 1024;
    char *bytes = malloc(len);
    assert_non_null(bytes);
    memset(bytes, 'b', len);
    fb_buf out = {0};
    const fb_str args[] = {FB_STR("SET"), FB_STR("big"), {bytes, len}};
    assert_ok(fb_resp_write_command(&out, args, 3));
    assert_ok(fb_conn_send(r.conn, fb_buf_str(&out), 1, fb_clock_now_ns() + 60 * SECOND, on_reply,
                           &r));
    fb_buf_release(&out);
    free(bytes);
    send_text(&r, "STRLEN big", 60 * SECOND);
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "8388608");
    send_text(&r, "GET big", 60 * SECOND);
    send_text(&r, "ECHO end", 60 * SECOND);
    AWAIT(&r, r.replied == 4);
    assert_string_equal(r.value, "end");
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__client_name_has_no_blanks(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new(NULL);
    use(&r, server);
    r.options.client_name = "forebay on my machine";
    await_up(&r);
    send_text(&r, "CLIENT GETNAME", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "forebay-on-my-machine");
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__pushes_of_channels_and_of_tracking(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new(NULL);
    use(&r, server);
    await_up(&r);
    fb_buf out = {0};
    encode(&out, "SUBSCRIBE news");
    assert_ok(fb_conn_subscribe(r.conn, fb_buf_str(&out), fb_clock_now_ns() + 10 * SECOND,
                                on_reply, &r));
    fb_buf_release(&out);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "subscribe news 1");
    assert_string_equal(test_redis_ask(server, "PUBLISH news hello"), "1");
    AWAIT(&r, r.pushes == 1);
    assert_string_equal(r.push, "message news hello");
    send_text(&r, "CLIENT TRACKING ON BCAST PREFIX user:", 10 * SECOND);
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "OK");
    assert_string_equal(test_redis_ask(server, "SET user:1 x"), "OK");
    AWAIT(&r, r.pushes == 2);
    assert_string_equal(r.push, "invalidate user:1");
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__a_subscription_that_is_refused_mixes_nothing_up(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new("user bob on >pw ~* +@all resetchannels");
    use(&r, server);
    r.options.user = "bob";
    r.options.password = "pw";
    await_up(&r);
    fb_buf out = {0};
    encode(&out, "SUBSCRIBE news");
    assert_ok(fb_conn_subscribe(r.conn, fb_buf_str(&out), fb_clock_now_ns() + 10 * SECOND,
                                on_reply, &r));
    fb_buf_release(&out);
    AWAIT(&r, r.replied == 1);
    assert_int_equal(strncmp(r.value, "-NOPERM", 7), 0);
    send_text(&r, "ECHO one", 10 * SECOND);
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "one");
    rig_release(&r);
    test_redis_free(server);
}

// ---- who may

static void test_conn_servers__passwords_and_users(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new_with(&(test_redis_options){
        .password = "Geheim", .config = "user anna on >right ~* &* +@all\n"
                                        "user narrow on >right ~* &* +get +hello"});
    use(&r, server);
    await_refusal(&r, "it wants a password", true);
    r.options.password = "wrong";
    await_refusal(&r, "wrong user or password", true);
    r.options.user = "anna";
    await_refusal(&r, "wrong user or password", true);
    r.options.user = "nobody";
    r.options.password = "right";
    await_refusal(&r, "wrong user or password", true);
    r.options.user = "narrow";
    r.options.db = 1;
    await_refusal(&r, "this user may not do what is needed", true);
    r.options.user = "anna";
    await_up(&r);
    send_text(&r, "ACL WHOAMI", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "anna");
    fb_conn_close(r.conn);
    r.options.user = NULL;
    r.options.password = "Geheim";
    await_up(&r);
    r.replied = 0;
    send_text(&r, "ACL WHOAMI", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "default");
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__databases_that_are_not_there(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new(NULL);
    use(&r, server);
    r.options.db = 16;
    await_refusal(&r, "database 16 is not to be had: ERR DB index is out of range", true);
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__too_many_clients(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    rig first;
    test_redis *server = test_redis_new("maxclients 1");
    use(&first, server);
    rig_open(&first);  // whoever waited for the server to answer may only just be leaving
    AWAIT(&first, first.ups == 1);
    use(&r, server);
    await_refusal(&r, "it has as many clients as it takes", false);
    rig_open(&r);
    AWAIT(&r, r.downs > 1);
    rig_release(&first);
    AWAIT(&r, r.ups == 1);  // as soon as there is room
    rig_release(&r);
    test_redis_free(server);
}

// ---- other ways there

static void test_conn_servers__unix_sockets(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new_with(&(test_redis_options){.unix_socket = true});
    use(&r, server);
    r.options.host = NULL;
    r.options.path = server->socket_path;
    await_up(&r);
    send_text(&r, "PING", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    assert_string_equal(r.value, "PONG");
    fb_conn_close(r.conn);
    char elsewhere[128];
    snprintf(elsewhere, sizeof elsewhere, "%s/none", server->folder);
    r.options.path = elsewhere;
    await_refusal(&r, "there is no such socket", false);
    rig_release(&r);
    test_redis_free(server);
}

static fb_redis_tls *make_tls(const fb_redis_tls_options *options) {
    fb_redis_tls *tls = NULL;
    fb_error error = {0};
    if (fb_redis_tls_new(options, &tls, &error) != FB_OK) {
        fail_msg("%s", error.text);
    }
    return tls;
}

static void exchange_much(rig *r) {
    r->replied = 0;
    for (int i = 0; i < 5000; i++) {
        send_text(r, "SET key 0123456789012345678901234567890123456789", 30 * SECOND);
        send_text(r, "GET key", 30 * SECOND);
    }
    AWAIT(r, r->replied == 10000);
    assert_string_equal(r->value, "0123456789012345678901234567890123456789");
    r->replied = 0;
}

static void test_conn_servers__tls_with_a_certificate_of_ours(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    fake_names names;
    test_redis *server = test_redis_new_with(&(test_redis_options){.tls = true});
    use(&r, server);
    rig_serve_names(&r, &names);
    fb_redis_tls *ours = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
    fb_redis_tls *system = make_tls(&(fb_redis_tls_options){0});
    fb_redis_tls *careless = make_tls(&(fb_redis_tls_options){.insecure = true});
    r.options.port = (uint16_t)server->tls_port;

    r.options.tls = ours;
    await_up(&r);
    exchange_much(&r);
    fb_conn_close(r.conn);

    r.options.tls = system;
    await_refusal(&r, "its certificate is not to be trusted: self-signed certificate", true);
    r.options.tls = ours;
    r.options.host = "one.test";  // the same server, and the certificate is for another name
    await_refusal(&r, "its certificate is not to be trusted: hostname mismatch", true);
    r.options.tls = careless;
    await_up(&r);
    fb_conn_close(r.conn);
    r.conn = NULL;

    rig_release_names(&r, &names);
    rig_release(&r);
    fb_redis_tls_free(ours);
    fb_redis_tls_free(system);
    fb_redis_tls_free(careless);
    fb_redis_tls_free(NULL);
    test_redis_free(server);
}

static void test_conn_servers__tls_where_clients_need_a_certificate(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new_with(
        &(test_redis_options){.tls = true, .config = "tls-auth-clients yes"});
    use(&r, server);
    fb_redis_tls *without = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
    fb_redis_tls *with = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file,
                                                          .cert_file = server->cert_file,
                                                          .key_file = server->key_file});
    r.options.port = (uint16_t)server->tls_port;
    r.options.tls = without;
    await_refusal(&r, "it wants a client certificate", true);
    r.options.tls = with;
    await_up(&r);
    exchange_much(&r);
    rig_release(&r);
    fb_redis_tls_free(without);
    fb_redis_tls_free(with);
    test_redis_free(server);
}

static void test_conn_servers__tls_and_plain_text_met_by_each_other(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new_with(&(test_redis_options){.tls = true});
    use(&r, server);
    fb_redis_tls *tls = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
    r.options.port = (uint16_t)server->tls_port;  // in plain text
    rig_open(&r);
    AWAIT(&r, r.downs > 0);
    assert_non_null(strstr(r.why, "rediss://"));
    fb_conn_close(r.conn);
    r.why[0] = '\0';
    r.options.port = (uint16_t)server->port;
    r.options.tls = tls;
    r.options.connect_timeout_ns = 300 * MS;  // the server may wait for the end of a line
    rig_open(&r);
    AWAIT(&r, strstr(r.why, "TLS") != NULL || strstr(r.why, "closed the connection") != NULL);
    rig_release(&r);
    fb_redis_tls_free(tls);
    test_redis_free(server);
}

static void test_conn_servers__tls_files_that_are_no_good_are_named(void **state) {
    SKIP_WITHOUT_REDIS();
    test_redis *server = test_redis_prepare(&(test_redis_options){.tls = true});
    fb_redis_tls *tls = NULL;
    char locked[128];
    char command[512];
    snprintf(locked, sizeof locked, "%s/locked.pem", server->folder);
    snprintf(command, sizeof command,
             "openssl ec -in '%s' -aes256 -passout pass:x -out '%s' 2>/dev/null", server->key_file,
             locked);
    assert_int_equal(system(command), 0);
    const struct {
        fb_redis_tls_options options;
        const char *why;
    } cases[] = {
        // Nobody is asked for its pass phrase.
        {{.cert_file = server->cert_file, .key_file = locked}, "the private key "},
        {{.ca_file = "/none.pem"}, "the CA certificate /none.pem cannot be used: No such file"},
        {{.ca_file = server->key_file}, "cannot be used"},
        {{.cert_file = server->cert_file}, "come together"},
        {{.key_file = server->key_file}, "come together"},
        {{.cert_file = server->key_file, .key_file = server->key_file}, "the certificate "},
        {{.cert_file = server->cert_file, .key_file = server->cert_file}, "the private key "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fb_error error = {0};
        assert_result(fb_redis_tls_new(&cases[i].options, &tls, &error), FB_EINVAL);
        assert_null(tls);
        if (strstr(error.text, cases[i].why) == NULL) {
            fail_msg("%zu: %s", i, error.text);
        }
    }
    test_redis_free(server);
}

static void test_conn_servers__out_of_memory_with_tls_and_a_login(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new_with(
        &(test_redis_options){.tls = true, .config = "user anna on >right ~* &* +@all"});
    use(&r, server);
    fb_redis_tls *tls = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
    r.options.tls = tls;
    r.options.port = (uint16_t)server->tls_port;
    r.options.user = "anna";
    r.options.password = "right";
    r.options.db = 7;
    assert_true(test_memory_sweep(ping_once, &r) >= 12);
    rig_release(&r);
    fb_redis_tls_free(tls);
    test_redis_free(server);
}

// ---- what happens to it

// To a server that is stopped: what its socket took is done when it goes on, the rest never is.
static void test_conn_servers__what_was_not_sent_in_time_never_is(void **state) {
    SKIP_WITHOUT_REDIS();
    static char value[50000];
    memset(value, 'v', sizeof value);
    for (int with_tls = 0; with_tls < 2; with_tls++) {
        enum { COUNT = 300 };
        rig r;
        test_redis *server = test_redis_new_with(&(test_redis_options){.tls = true});
        fb_redis_tls *tls = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
        use(&r, server);
        r.options.stall_ns = 1000 * SECOND;
        r.options.tls = with_tls == 1 ? tls : NULL;
        r.options.port = (uint16_t)(with_tls == 1 ? server->tls_port : server->port);
        await_up(&r);
        test_redis_stop(server);
        for (int i = 0; i < COUNT; i++) {
            fb_buf out = {0};
            char key[16];
            snprintf(key, sizeof key, "k%d", i);
            const fb_str args[] = {FB_STR("SET"), fb_str_of(key), {value, sizeof value}};
            assert_ok(fb_resp_write_command(&out, args, 3));
            assert_ok(fb_conn_send(r.conn, fb_buf_str(&out), 1, fb_clock_now_ns() + 500 * MS,
                                   on_reply, &r));
            fb_buf_release(&out);
        }
        AWAIT(&r, r.unknown + r.not_sent == COUNT);
        assert_true(r.unknown > 0 && r.not_sent > 0);
        test_redis_continue(server);
        send_text(&r, "DBSIZE", 30 * SECOND);
        AWAIT(&r, r.replied == 1);
        assert_int_equal(strtol(r.value, NULL, 10), r.unknown);
        assert_int_equal(r.downs, 0);
        rig_release(&r);
        fb_redis_tls_free(tls);
        test_redis_free(server);
    }
}

static void test_conn_servers__stopped_it_is_given_up_and_found_again(void **state) {
    SKIP_WITHOUT_REDIS();
    for (int with_tls = 0; with_tls < 2; with_tls++) {
        rig r;
        test_redis *server = test_redis_new_with(&(test_redis_options){.tls = with_tls == 1});
        fb_redis_tls *tls = NULL;
        use(&r, server);
        r.options.connect_timeout_ns = 400 * MS;
        r.options.stall_ns = 400 * MS;
        if (with_tls == 1) {
            tls = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
            r.options.tls = tls;
            r.options.port = (uint16_t)server->tls_port;
        }
        rig_open(&r);
        AWAIT(&r, r.ups == 1);
        test_redis_stop(server);
        int64_t sent_ns = fb_clock_now_ns();
        send_text(&r, "INCR n", 200 * MS);
        AWAIT(&r, r.unknown == 1);
        assert_true(fb_clock_now_ns() - sent_ns >= 200 * MS);
        AWAIT(&r, r.downs >= 1);
        send_text(&r, "INCR n", 50 * MS);
        AWAIT(&r, r.not_sent == 1);
        AWAIT(&r, r.downs >= 2);  // its kernel accepts, nobody answers
        test_redis_continue(server);
        send_text(&r, "GET n", 30 * SECOND);
        AWAIT(&r, r.replied == 1);
        assert_string_equal(r.value, "1");  // the one that was not sent never was
        rig_release(&r);
        fb_redis_tls_free(tls);
        test_redis_free(server);
    }
}

static void test_conn_servers__killed_and_started_again(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new(NULL);
    use(&r, server);
    await_up(&r);
    send_text(&r, "SET a 1", 10 * SECOND);
    AWAIT(&r, r.replied == 1);
    test_redis_kill(server);
    AWAIT(&r, r.downs > 0);
    assert_false(fb_conn_is_up(r.conn));
    send_text(&r, "GET a", 60 * SECOND);  // waits
    AWAIT(&r, r.downs > 2);
    assert_non_null(strstr(r.why, "connection refused"));
    test_redis_start(server);
    AWAIT(&r, r.replied == 2);
    assert_string_equal(r.value, "null");
    assert_int_equal(r.ups, 2);
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__killed_in_the_middle_of_a_pipeline(void **state) {
    SKIP_WITHOUT_REDIS();
    rig r;
    test_redis *server = test_redis_new("appendonly no");
    use(&r, server);
    rig_open(&r);
    for (int i = 0; i < 50000; i++) {
        send_text(&r, "INCR n", 60 * SECOND);
    }
    AWAIT(&r, r.replied > 0);
    test_redis_kill(server);
    test_redis_start(server);
    AWAIT(&r, r.replied + r.unknown + r.not_sent == 50000);
    assert_int_equal(r.not_sent, 0);
    // What was answered after the restart began at 1 again; nothing was done twice.
    if (r.unknown > 0) {
        long n = strtol(test_redis_ask(server, "GET n"), NULL, 10);
        assert_true(n <= 50000 - r.unknown);
    }
    rig_release(&r);
    test_redis_free(server);
}

static void test_conn_servers__a_killed_client_is_back_at_once(void **state) {
    SKIP_WITHOUT_REDIS();
    for (int with_tls = 0; with_tls < 2; with_tls++) {
        rig r;
        test_redis *server = test_redis_new_with(&(test_redis_options){.tls = true});
        fb_redis_tls *tls = make_tls(&(fb_redis_tls_options){.ca_file = server->cert_file});
        use(&r, server);
        r.options.tls = with_tls == 1 ? tls : NULL;
        r.options.port = (uint16_t)(with_tls == 1 ? server->tls_port : server->port);
        await_up(&r);
        for (int i = 1; i <= 10; i++) {
            send_text(&r, "PING", 10 * SECOND);
            AWAIT(&r, r.replied == i);
            (void)test_redis_ask(server, "CLIENT KILL TYPE normal SKIPME yes");
            AWAIT(&r, r.downs == i && r.ups == i + 1);
            assert_non_null(strstr(r.why, "connection"));
        }
        test_redis_kill(server);
        AWAIT(&r, r.downs > 10);
        rig_release(&r);
        fb_redis_tls_free(tls);
        test_redis_free(server);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conn_servers__a_hundred_thousand_commands_in_one_pipeline),
        cmocka_unit_test(test_conn_servers__values_of_any_size_come_whole),
        cmocka_unit_test(test_conn_servers__client_name_has_no_blanks),
        cmocka_unit_test(test_conn_servers__pushes_of_channels_and_of_tracking),
        cmocka_unit_test(test_conn_servers__a_subscription_that_is_refused_mixes_nothing_up),
        cmocka_unit_test(test_conn_servers__passwords_and_users),
        cmocka_unit_test(test_conn_servers__databases_that_are_not_there),
        cmocka_unit_test(test_conn_servers__too_many_clients),
        cmocka_unit_test(test_conn_servers__unix_sockets),
        cmocka_unit_test(test_conn_servers__tls_with_a_certificate_of_ours),
        cmocka_unit_test(test_conn_servers__tls_where_clients_need_a_certificate),
        cmocka_unit_test(test_conn_servers__tls_and_plain_text_met_by_each_other),
        cmocka_unit_test(test_conn_servers__tls_files_that_are_no_good_are_named),
        cmocka_unit_test(test_conn_servers__out_of_memory_with_tls_and_a_login),
        cmocka_unit_test(test_conn_servers__what_was_not_sent_in_time_never_is),
        cmocka_unit_test(test_conn_servers__stopped_it_is_given_up_and_found_again),
        cmocka_unit_test(test_conn_servers__killed_and_started_again),
        cmocka_unit_test(test_conn_servers__killed_in_the_middle_of_a_pipeline),
        cmocka_unit_test(test_conn_servers__a_killed_client_is_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
