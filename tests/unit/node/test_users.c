// The set of users in force: who gets in, on RESP and on HTTP, and what changes mean for those who
// are in already.

#include "node_rig.h"
#include "support.h"

#include "base/mem.h"
#include "node/command.h"
#include "node/http.h"
#include "node/route.h"
#include "node/users.h"

static rig shared;

static void configure(const char *yaml) {
    fb_error error = {0};
    fb_config *config = NULL;
    fb_users *users = NULL;
    assert_ok(fb_config_new(&config));
    if (fb_config_read(config, fb_str_of(yaml), "users.yaml", &error) < 0 ||
        fb_config_check(config, &error) < 0 || fb_users_read(config, &users, &error) < 0) {
        fail_msg("%u:%u: %s", error.line, error.column, error.text);
    }
    fb_users_put(&shared.node, users);
    fb_config_free(config);
}

static void forget_users(void) {
    fb_users_free(shared.node.users);
    shared.node.users = NULL;
    shared.node.users_version = 0;
}

// ---- RESP

static void never_wake(void *arg) {
    (void)arg;
}

static fb_session *begin(void) {
    fb_session *session = NULL;
    assert_ok(fb_session_new(&shared.node, FB_STR("127.0.0.1:0"), never_wake, NULL, &session));
    return session;
}

// What one command line is answered; *ended where that was the end.
static fb_str ask(fb_session *session, const char *line, bool *ended) {
    static char text[65536];
    char said[1024];
    size_t used;
    snprintf(said, sizeof said, "%s\r\n", line);
    int result = fb_session_feed(session, fb_str_of(said), &used);
    fb_buf *out = fb_session_out(session);
    fb_str reply = fb_str_make(text, out->len);
    assert_true(out->len < sizeof text);
    memcpy(text, out->ptr != NULL ? out->ptr : "", out->len);
    out->len = 0;
    if (ended != NULL) {
        *ended = result == FB_ECLOSED;
    }
    return reply;
}

#define assert_reply(session, line, expected) assert_str(ask(session, line, NULL), expected)

#define WRONG "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
#define NOAUTH "-NOAUTH Authentication required.\r\n"
#define NO_KEY                                                                               \
    "-NOPERM this user has no permissions to access one of the keys used as arguments\r\n"
#define NO_RIGHT(name) "-NOPERM this user has no permissions to run the '" name "' command\r\n"

static void test_users__nobody_is_asked_where_there_are_none(void **state) {
    fb_session *session = begin();
    assert_reply(session, "SET k 1", "+OK\r\n");
    assert_reply(session, "ACL WHOAMI", "$7\r\ndefault\r\n");
    assert_reply(session, "AUTH default anything", "+OK\r\n");
    assert_reply(session, "AUTH someone x", WRONG);
    assert_reply(session, "AUTH x",
                 "-ERR AUTH <password> called without any password configured for the default user. "
                 "Are you sure your configuration is correct?\r\n");
    fb_session_free(session);
}

static void test_users__a_password_is_asked_for(void **state) {
    configure("password: sesame");
    fb_session *session = begin();
    assert_reply(session, "GET k", NOAUTH);
    assert_reply(session, "PING", NOAUTH);
    assert_reply(session, "nosuch", "-ERR unknown command 'nosuch', with args beginning with: \r\n");
    assert_reply(session, "HELLO 3",
                 "-NOAUTH HELLO must be called with the client already authenticated, otherwise the "
                 "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client "
                 "and select the RESP protocol version at the same time\r\n");
    assert_reply(session, "AUTH wrong", WRONG);
    assert_reply(session, "AUTH default wrong", WRONG);
    assert_reply(session, "AUTH sesame", "+OK\r\n");
    assert_reply(session, "PING", "+PONG\r\n");
    assert_reply(session, "RESET", "+RESET\r\n");
    assert_reply(session, "PING", NOAUTH);
    fb_str hello = ask(session, "HELLO 3 AUTH default sesame", NULL);
    assert_true(fb_str_starts(hello, FB_STR("%7\r\n")));
    assert_reply(session, "PING", "+PONG\r\n");
    fb_session_free(session);
    forget_users();
}

static const char WEB[] =
    "users:\n"
    "  default: {off: true}\n"
    "  web: {password: pw, commands: ['+@read +@write', +multi, +exec, +acl|whoami, -flushall],\n"
    "        keys: ['user:*', '%R~session:*'], tokens: [tok]}\n"
    "  boss: {password_sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad,\n"
    "         commands: +@all, keys: '*'}\n"
    "  gone: {off: true, password: pw, tokens: [tok2]}\n";

static void test_users__rights_are_asked_of_each_command(void **state) {
    configure(WEB);
    fb_session *session = begin();
    assert_reply(session, "AUTH gone pw", WRONG);
    assert_reply(session, "AUTH pw", WRONG);
    assert_reply(session, "AUTH web pw", "+OK\r\n");
    assert_reply(session, "ACL WHOAMI", "$3\r\nweb\r\n");
    assert_reply(session, "SET user:1 a", "+OK\r\n");
    assert_reply(session, "GET user:1", "$1\r\na\r\n");
    assert_reply(session, "GET session:1", "$-1\r\n");
    assert_reply(session, "SET session:1 a", NO_KEY);
    assert_reply(session, "MSET user:1 b other c", NO_KEY);
    assert_reply(session, "GET user:1", "$1\r\na\r\n");
    assert_reply(session, "FLUSHALL", NO_RIGHT("flushall"));
    assert_reply(session, "CONFIG GET x", NO_RIGHT("config|get"));
    assert_reply(session, "FB.FETCH item id 1", NO_KEY);
    assert_reply(session, "AUTH boss abc", "+OK\r\n");
    assert_reply(session, "FLUSHALL", "+OK\r\n");
    assert_reply(session, "AUTH web wrong", WRONG);
    assert_reply(session, "ACL WHOAMI", "$4\r\nboss\r\n");
    fb_session_free(session);
    forget_users();
}

static void test_users__rights_are_asked_when_queued_and_when_run(void **state) {
    configure(WEB);
    fb_session *session = begin();
    fb_session *boss = begin();
    assert_reply(boss, "AUTH boss abc", "+OK\r\n");
    assert_reply(session, "AUTH web pw", "+OK\r\n");
    assert_reply(session, "MULTI", "+OK\r\n");
    assert_reply(session, "GET other", NO_KEY);
    assert_reply(session, "EXEC",
                 "-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert_reply(session, "MULTI", "+OK\r\n");
    assert_reply(session, "GET user:2", "+QUEUED\r\n");
    assert_reply(session, "ACL WHOAMI", "+QUEUED\r\n");
    assert_reply(boss, "ACL SETUSER web -get", "+OK\r\n");
    assert_reply(session, "EXEC",
                 "*2\r\n-NOPERM ACLs rules changed between the moment the transaction was "
                 "accumulated and the EXEC call. This command is no longer allowed for the "
                 "following reason: no permission to execute the command or subcommand\r\n"
                 "$3\r\nweb\r\n");
    assert_reply(session, "MULTI", "+OK\r\n");
    assert_reply(boss, "ACL SETUSER web -exec", "+OK\r\n");
    assert_reply(session, "EXEC",
                 "-EXECABORT Transaction discarded because of: NOPERM this user has no permissions "
                 "to run the 'exec' command\r\n");
    assert_reply(session, "ACL WHOAMI", "$3\r\nweb\r\n");
    fb_session_free(session);
    fb_session_free(boss);
    forget_users();
}

static void test_users__computed_keys_are_asked_when_queued_and_when_run(void **state) {
    configure("users: {web: {password: pw, commands: +@all, keys: 'item:*'},\n"
              "        boss: {password: abc, commands: +@all, keys: '*'}}");
    fb_session *session = begin();
    fb_session *boss = begin();
    assert_reply(boss, "AUTH boss abc", "+OK\r\n");
    assert_reply(session, "AUTH web pw", "+OK\r\n");
    assert_reply(session, "MULTI", "+OK\r\n");
    assert_reply(session, "FB.KEY item id 1", "+QUEUED\r\n");
    assert_reply(session, "FB.KEY item ix 1", "+QUEUED\r\n");
    assert_reply(session, "FB.INVALIDATE KEY item:1", "+QUEUED\r\n");
    assert_reply(boss, "ACL SETUSER web resetkeys ~other", "+OK\r\n");
    static const char REASON[] =
        "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC "
        "call. This command is no longer allowed for the following reason: no permission to touch "
        "the specified keys\r\n";
    char expected[1024];
    snprintf(expected, sizeof expected,
             "*3\r\n%s-ERR class item has no parameter 'ix'; did you mean 'id'?\r\n%s", REASON, REASON);
    assert_reply(session, "EXEC", expected);
    assert_reply(session, "MULTI", "+OK\r\n");
    assert_reply(session, "FB.FETCH item id 1", NO_KEY);
    assert_reply(session, "EXEC",
                 "-EXECABORT Transaction discarded because of previous errors.\r\n");
    assert_reply(boss, "ACL DRYRUN web FB.FETCH item id 1",
                 "$55\r\nThis user has no permissions to access the 'item:1' key\r\n");
    assert_reply(boss, "ACL DRYRUN web FB.INVALIDATE KEY other", "+OK\r\n");
    assert_reply(boss, "ACL DRYRUN web FB.INVALIDATE TAG other",
                 "$83\r\nThis user has no permissions to access all keys, as the 'fb.invalidate' "
                 "command may\r\n");
    fb_users_entry *entries;
    size_t count;
    assert_ok(fb_users_entries(&shared.node, 1, &entries, &count));
    assert_string_equal(entries[0].object, "item:1");
    assert_string_equal(entries[0].context, "multi");
    fb_users_entries_free(entries, count);
    fb_session_free(session);
    fb_session_free(boss);
    forget_users();
}

static void test_users__changes_take_effect_with_the_next_command(void **state) {
    bool ended;
    configure(WEB);
    fb_session *session = begin();
    fb_session *boss = begin();
    assert_reply(boss, "AUTH boss abc", "+OK\r\n");
    assert_reply(session, "AUTH web pw", "+OK\r\n");
    assert_reply(boss, "ACL SETUSER web resetpass >new off ~more:*", "+OK\r\n");
    assert_reply(session, "GET more:1", "$-1\r\n");  // who is in, stays
    configure(WEB);
    assert_reply(session, "GET more:1", NO_KEY);
    assert_reply(boss, "ACL DELUSER web nix", ":1\r\n");
    assert_reply(boss, "ACL SETUSER web on >pw allkeys allcommands", "+OK\r\n");
    assert_str(ask(session, "GET user:1", &ended), "");  // it is another by the same name
    assert_true(ended);
    assert_reply(boss, "ACL SETUSER self on nopass +acl", "+OK\r\n");
    fb_session *self = begin();
    assert_reply(self, "AUTH self x", "+OK\r\n");
    assert_str(ask(self, "ACL DELUSER self", &ended), ":1\r\n");
    assert_true(ended);
    fb_session_free(self);
    assert_reply(boss, "ACL DELUSER default", "-ERR The 'default' user cannot be removed\r\n");
    assert_reply(boss, "ACL SETUSER default on nopass -get", "+OK\r\n");
    fb_session *other = begin();
    assert_reply(other, "GET user:1", NO_RIGHT("get"));
    assert_reply(boss, "ACL SETUSER default reset on >x allcommands allkeys", "+OK\r\n");
    assert_reply(other, "GET user:1", "$-1\r\n");  // it was in already
    fb_session_free(other);
    other = begin();
    assert_reply(other, "GET user:1", NOAUTH);
    assert_reply(boss, "ACL SETUSER default nopass", "+OK\r\n");
    assert_reply(other, "GET user:1", "$-1\r\n");
    fb_session_free(other);
    fb_session_free(session);
    fb_session_free(boss);
    forget_users();
}

static void test_users__acl_tells_of_them(void **state) {
    configure(WEB);
    fb_session *boss = begin();
    assert_reply(boss, "AUTH boss abc", "+OK\r\n");
    assert_reply(boss, "ACL USERS", "*4\r\n$4\r\nboss\r\n$7\r\ndefault\r\n$4\r\ngone\r\n$3\r\nweb\r\n");
    fb_str list = ask(boss, "ACL LIST", NULL);
    assert_non_null(memmem(list.ptr, list.len, "~user:* %R~session:* &* -@all +@read +@write", 44));
    assert_reply(boss, "ACL GETUSER nix", "$-1\r\n");
    assert_reply(boss, "ACL SETUSER small +get ~a", "+OK\r\n");
    assert_reply(boss, "ACL GETUSER small",
                 "*12\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$9\r\npasswords\r\n*0\r\n$8\r\ncommands\r\n"
                 "$10\r\n-@all +get\r\n$4\r\nkeys\r\n$2\r\n~a\r\n$8\r\nchannels\r\n$0\r\n\r\n"
                 "$9\r\nselectors\r\n*0\r\n");
    assert_reply(boss, "ACL DRYRUN small get a", "+OK\r\n");
    assert_reply(boss, "ACL DRYRUN small get b",
                 "$50\r\nThis user has no permissions to access the 'b' key\r\n");
    assert_reply(boss, "ACL DRYRUN small set a 1",
                 "$53\r\nThis user has no permissions to run the 'set' command\r\n");
    assert_reply(boss, "ACL DRYRUN nix get a", "-ERR User 'nix' not found\r\n");
    assert_reply(boss, "ACL DRYRUN small foo", "-ERR Command 'foo' not found\r\n");
    assert_reply(boss, "ACL DRYRUN small get",
                 "-ERR wrong number of arguments for 'get' command\r\n");
    assert_reply(boss, "ACL SETUSER small +foo",
                 "-ERR Error in ACL SETUSER modifier '+foo': Unknown command or category name in "
                 "ACL\r\n");
    assert_reply(boss, "ACL SETUSER \"a b\"",
                 "-ERR Usernames can't contain spaces or null characters\r\n");
    assert_int_equal(ask(boss, "ACL GENPASS 5", NULL).len, strlen("$2\r\nff\r\n"));
    fb_session_free(boss);
    forget_users();
}

static void test_users__the_log_tells_what_was_denied(void **state) {
    fb_users_entry *entries;
    size_t count;
    configure(WEB);
    fb_session *session = begin();
    assert_reply(session, "AUTH web wrong", WRONG);
    assert_reply(session, "AUTH web pw", "+OK\r\n");
    assert_reply(session, "GET a", NO_KEY);
    assert_reply(session, "GET a", NO_KEY);
    assert_reply(session, "FLUSHALL", NO_RIGHT("flushall"));
    assert_ok(fb_users_entries(&shared.node, 10, &entries, &count));
    assert_int_equal(count, 3);
    assert_string_equal(entries[0].reason, "command");
    assert_string_equal(entries[0].object, "flushall");
    assert_string_equal(entries[1].reason, "key");
    assert_string_equal(entries[1].object, "a");
    assert_int_equal(entries[1].count, 2);
    assert_string_equal(entries[2].reason, "auth");
    assert_string_equal(entries[2].user, "web");
    fb_users_entries_free(entries, count);
    for (int i = 0; i < 3 * FB_USERS_LOG_MAX; i++) {
        char line[32];
        snprintf(line, sizeof line, "GET key%d", i);
        assert_reply(session, line, NO_KEY);
    }
    assert_ok(fb_users_entries(&shared.node, 100000, &entries, &count));
    assert_int_equal(count, FB_USERS_LOG_MAX);
    fb_users_entries_free(entries, count);
    fb_users_forget(&shared.node);
    assert_ok(fb_users_entries(&shared.node, 10, &entries, &count));
    assert_int_equal(count, 0);
    fb_session_free(session);
    forget_users();
}

// ---- HTTP

static int status_of(const char *method, const char *path, const char *authorization) {
    fb_http_response response;
    fb_http_request request = {
        .method = fb_str_of(method),
        .path = fb_str_of(path),
        .authorization = fb_str_of(authorization),
    };
    assert_ok(fb_http_handle(&shared.node, &request, &response));
    int status = response.status;
    bool asks = false;
    for (size_t i = 0; i < response.header_count; i++) {
        asks = asks || strcmp(response.headers[i].name, "WWW-Authenticate") == 0;
    }
    assert_int_equal(asks, status == 401);
    fb_http_response_release(&response);
    return status;
}

static void test_users__requests_have_the_same_rights(void **state) {
    configure(WEB);
    static const char TOKEN[] = "Bearer tok";
    static const char BASIC[] = "bAsIc d2ViOnB3";           // web:pw
    static const char BOSS[] = "Basic Ym9zczphYmM=";        // boss:abc
    assert_int_equal(status_of("GET", "/v1/keys/user:9", ""), 401);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", "Bearer wrong"), 401);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", "Bearer tok2"), 401);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", "Bearer pw"), 401);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", "Basic d2ViOndyb25n"), 401);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", "Digest x"), 401);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", TOKEN), 404);
    assert_int_equal(status_of("GET", "/v1/keys/user:9", BASIC), 404);
    assert_int_equal(status_of("GET", "/v1/keys/session:9", TOKEN), 404);
    assert_int_equal(status_of("GET", "/v1/keys/other", TOKEN), 403);
    assert_int_equal(status_of("PUT", "/v1/keys/session:9", TOKEN), 403);
    assert_int_equal(status_of("DELETE", "/v1/keys/user%3a9", TOKEN), 404);
    assert_int_equal(status_of("HEAD", "/v1/keys/other", TOKEN), 403);
    assert_int_equal(status_of("GET", "/v1/fetch/item", TOKEN), 400);  // it reaches nothing
    assert_int_equal(status_of("GET", "/v1/queues", TOKEN), 403);
    assert_int_equal(status_of("GET", "/v1/limits", TOKEN), 403);
    assert_int_equal(status_of("GET", "/v1/limits", BOSS), 200);
    assert_int_equal(status_of("GET", "/v1/stats", TOKEN), 403);
    assert_int_equal(status_of("GET", "/v1/stats", BOSS), 200);
    assert_int_equal(status_of("GET", "/healthz", ""), 200);
    assert_int_equal(status_of("GET", "/readyz", ""), 200);
    assert_int_equal(status_of("GET", "/nothing", ""), 404);
    forget_users();
    assert_int_equal(status_of("GET", "/v1/keys/user:9", ""), 404);
}

// Its status, and of a problem whether it says `part`.
static void assert_answered(const char *path, const char *query, const char *body, int status,
                            const char *part) {
    fb_http_response response;
    fb_http_request request = {
        .method = body[0] != '\0' ? FB_STR("POST") : FB_STR("GET"),
        .path = fb_str_of(path),
        .query = fb_str_of(query),
        .body = fb_str_of(body),
        .authorization = FB_STR("Bearer tok"),
    };
    assert_ok(fb_http_handle(&shared.node, &request, &response));
    fb_str said = fb_buf_str(&response.body);
    if (response.status != status || memmem(said.ptr, said.len, part, strlen(part)) == NULL) {
        fail_msg("%s?%s %s: %d %.*s", path, query, body, response.status, FB_STR_ARG(said));
    }
    fb_http_response_release(&response);
}

static void test_users__requests_are_asked_by_the_keys_that_they_reach(void **state) {
    configure("users: {web: {password: pw, tokens: [tok], commands: +@all, "
              "keys: ['%R~item:1', '%W~item:2', '%W~item:3']}}");
    static const char ONE[] = "the user 'web' has no right to the key 'item:2'";
    static const char ALL[] = "has no right to all keys, which this request may reach";
    assert_answered("/v1/fetch/item", "id=2", "", 403, ONE);
    assert_answered("/v1/fetch/item", "_refresh=1&id=2&_timeout=5s", "", 403, ONE);
    assert_answered("/v1/fetch/item", "ix=1", "", 400, "ix");
    assert_answered("/v1/fetch/itom", "id=1", "", 404, "did you mean 'item'?");
    assert_answered("/v1/key/item", "id=1", "", 200, "item:1");
    assert_answered("/v1/key/item", "id=2", "", 200, "item:2");
    assert_answered("/v1/key/item", "id=4", "", 403, "the key 'item:4'");
    assert_answered("/v1/fetch", "",
                    "{\"requests\": [{\"class\": \"item\", \"params\": {\"id\": 1}},"
                    "{\"class\": \"itom\"}, {\"class\": \"item\", \"params\": {\"id\": \"2\"}}]}",
                    403, "requests[2]: the user 'web' has no right to the key 'item:2'");
    assert_answered("/v1/warm", "", "{\"class\": \"item\", \"params\": {\"id\": 1}}", 202, "started");
    assert_answered("/v1/warm", "", "{\"class\": \"item\", \"params\": {\"id\": 2}}", 403, ONE);
    assert_answered("/v1/warm", "", "{\"class\": \"item\", \"params\": {\"ix\": 2}}", 400, "ix");
    assert_answered("/v1/warm", "", "{\"class\": \"item\", \"params\": {}}", 403, ALL);
    assert_answered("/v1/warm", "", "{\"class\": \"item\"}", 403, ALL);
    assert_answered("/v1/warm", "", "{\"class\": \"item\", \"top\": 1}", 403, ALL);
    assert_answered("/v1/invalidate", "", "{\"keys\": \"item:2\"}", 200, "\"invalidated\":1");
    assert_answered("/v1/invalidate", "", "{\"keys\": [\"item:2\", \"item:3\"], \"tags\": []}", 200,
                    "\"invalidated\":2");
    assert_answered("/v1/invalidate", "", "{\"keys\": \"item:1\"}", 403, "the key 'item:1'");
    assert_answered("/v1/invalidate", "", "{\"keys\": [\"item:2\", \"x\"]}", 403, "the key 'x'");
    assert_answered("/v1/invalidate", "", "{\"keys\": \"item:2\", \"tags\": \"kind:2\"}", 403, ALL);
    assert_answered("/v1/invalidate", "", "{\"patterns\": [\"item:2\"]}", 403, ALL);
    assert_answered("/v1/invalidate", "", "{\"classes\": \"item\"}", 403, ALL);
    assert_answered("/v1/invalidate", "", "{\"namespaces\": \"default\"}", 403, ALL);
    assert_answered("/v1/invalidate", "", "{\"all\": true}", 403, ALL);
    assert_answered("/v1/invalidate", "", "{\"key\": \"item:2\"}", 400, "'key' is unknown here");
    assert_answered("/v1/explain", "key=item:1", "", 200, "item:1");
    assert_answered("/v1/explain", "key=item:2", "", 403, ONE);
    forget_users();
}

static void test_users__default_is_who_sends_no_header(void **state) {
    configure("users: {default: {keys: 'open:*', commands: +get}}");
    assert_int_equal(status_of("GET", "/v1/keys/open:1", ""), 404);
    assert_int_equal(status_of("GET", "/v1/keys/user:1", ""), 403);
    assert_int_equal(status_of("GET", "/v1/keys/open:1", "Bearer x"), 401);
    forget_users();
}

// A route that names no command is open to anybody: none is so by mistake.
static void test_users__no_route_is_open_but_these(void **state) {
    static const char *const OPEN[] = {"/", "/openapi.json", "/healthz", "/readyz",
                                       "/v1/otp/link/{token}"};
    for (const fb_route *route = FB_ROUTES; route->method != NULL; route++) {
        bool open = false;
        for (size_t i = 0; i < sizeof OPEN / sizeof OPEN[0]; i++) {
            open = open || strcmp(route->path, OPEN[i]) == 0;
        }
        if ((route->command == NULL) != open) {
            fail_msg("%s %s", route->method, route->path);
        }
        if (!open) {
            fb_str name = fb_str_of(route->command);
            size_t bar = fb_str_find(name, '|');
            const fb_command *command = fb_command_find(fb_str_make(name.ptr, bar));
            assert_non_null(command);
            command = bar == name.len ? command
                                      : fb_command_find_sub(command, fb_str_of(name.ptr + bar + 1));
            assert_non_null(command);
            assert_non_null(command->run);
        }
    }
}

// ---- the configuration

static void assert_refused(const char *yaml, uint32_t line, const char *text) {
    fb_error error = {0};
    fb_config *config = NULL;
    fb_users *users = NULL;
    assert_ok(fb_config_new(&config));
    int result = fb_config_read(config, fb_str_of(yaml), "users.yaml", &error);
    result = result == FB_OK ? fb_config_check(config, &error) : result;
    result = result == FB_OK ? fb_users_read(config, &users, &error) : result;
    assert_true(result < 0);
    assert_null(users);
    assert_int_equal(error.line, line);
    assert_string_equal(error.file, "users.yaml");
    if (strstr(error.text, text) == NULL || strstr(error.text, "hidden") != NULL) {
        fail_msg("%s", error.text);
    }
    fb_config_free(config);
}

static void test_users__mistakes_are_told_with_their_place(void **state) {
    assert_refused("users:\n  web: {password: x,\n    commands: [+get, +gett]}", 3,
                   "users.web.commands: '+gett': Unknown command or category name in ACL");
    assert_refused("users:\n  web: {password: x,\n    commands: [get]}", 3,
                   "users.web.commands: expected words such as +@read, +get or -flushall");
    assert_refused("users:\n  web:\n    password_sha256: hidden", 3,
                   "users.web.password_sha256: expected the SHA-256");
    assert_refused("users:\n  web: {commands: +get}", 2,
                   "users.web: expected a password, password_sha256 or tokens (or off: true)");
    assert_refused("users:\n  web: {no_password: true, tokens: [hidden]}", 2,
                   "users.web.no_password: but there is a password, or a token");
    assert_refused("users:\n  web: {password: x, keys: '%Q~x'}", 2,
                   "users.web.keys: '%Q~x': Syntax error");
    assert_refused("password: hidden\nusers:\n  default: {password: hidden2}", 3,
                   "users.default.password: there is `password` at the top level already");
    assert_refused("users: {'a b': {}}", 1, "expected a name of at most 64 letters");
    assert_refused("users: {web: {pasword: hidden}}", 1, "did you mean \"password\"?");
    assert_refused("users: {web: {password: [hidden]}}", 1, "users.web.password: expected");
}

static void see(void *arg, fb_str path, fb_str value, fb_str default_value, const char *unit,
                bool reloadable, const char *help) {
    (void)path, (void)default_value, (void)unit, (void)reloadable, (void)help;
    bool *hidden = arg;
    if (value.ptr != NULL && memmem(value.ptr, value.len, "hidden", 6) != NULL) {
        *hidden = false;
    }
}

static void test_users__secrets_are_never_shown(void **state) {
    fb_error error;
    fb_config *config = NULL;
    char text[64];
    bool hidden = true;
    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config,
                             FB_STR("password: hidden\n"
                                    "users: {a: {password: hidden}, b: {password_sha256: hidden,\n"
                                    "  tokens: [hidden, hidden2], tokens_sha256: [hidden]}}"),
                             "users.yaml", &error));
    assert_ok(fb_config_walk(config, see, &hidden));
    assert_true(hidden);
    assert_ok(fb_config_get(config, FB_STR("users.b.tokens"), text, sizeof text));
    assert_string_equal(text, "***");
    assert_ok(fb_config_get(config, FB_STR("users.a.tokens"), text, sizeof text));
    assert_string_equal(text, "[]");
    fb_config_free(config);
}

static int read_and_change(void *arg) {
    fb_error error;
    fb_users *users = NULL;
    fb_node node = {.wall_us = shared.node.wall_us};
    fb_user **list = NULL;
    fb_users_entry *entries = NULL;
    size_t count = 0, wrong;
    fb_str words[] = {FB_STR("+get"), FB_STR("~a")};
    fb_users_event event = {"key", "toplevel", FB_STR("a"), FB_STR("web"), FB_STR("c")};
    int result = fb_users_read(arg, &users, &error);
    if (result < 0) {
        return result;
    }
    fb_users_put(&node, users);
    result = fb_users_set(&node, FB_STR("new"), words, 2, &wrong, &error);
    fb_users_note(&node, &event);
    if (result == FB_OK && (result = fb_users_list(&node, &list, &count)) == FB_OK) {
        for (size_t i = 0; i < count; i++) {
            fb_user_give(list[i]);
        }
        fb_mem_free(list);
    }
    if (result == FB_OK && (result = fb_users_entries(&node, 5, &entries, &count)) == FB_OK) {
        fb_users_entries_free(entries, count);
    }
    fb_users_free(node.users);
    return result;
}

static void test_users__survive_any_lack_of_memory(void **state) {
    fb_error error;
    fb_config *config = NULL;
    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config, fb_str_of(WEB), "users.yaml", &error));
    test_memory *memory = test_memory_get();
    memory->own = pthread_self();
    memory->own_alone = true;  // the engine's threads take and give on their own
    assert_true(test_memory_sweep(read_and_change, config) > 30);
    memory->own_alone = false;
    fb_config_free(config);
}

static int open_rig(void **state) {
    (void)test_memory_get();
    rig_open(&shared);
    shared.node.http_prefix = "";
    return 0;
}

static int close_rig(void **state) {
    rig_close(&shared);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users__nobody_is_asked_where_there_are_none),
        cmocka_unit_test(test_users__a_password_is_asked_for),
        cmocka_unit_test(test_users__rights_are_asked_of_each_command),
        cmocka_unit_test(test_users__rights_are_asked_when_queued_and_when_run),
        cmocka_unit_test(test_users__computed_keys_are_asked_when_queued_and_when_run),
        cmocka_unit_test(test_users__changes_take_effect_with_the_next_command),
        cmocka_unit_test(test_users__acl_tells_of_them),
        cmocka_unit_test(test_users__the_log_tells_what_was_denied),
        cmocka_unit_test(test_users__requests_have_the_same_rights),
        cmocka_unit_test(test_users__requests_are_asked_by_the_keys_that_they_reach),
        cmocka_unit_test(test_users__default_is_who_sends_no_header),
        cmocka_unit_test(test_users__no_route_is_open_but_these),
        cmocka_unit_test(test_users__mistakes_are_told_with_their_place),
        cmocka_unit_test(test_users__secrets_are_never_shown),
        cmocka_unit_test(test_users__survive_any_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
