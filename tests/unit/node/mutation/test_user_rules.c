// Each rule of who may what is needed: without it something is allowed that must not be.

#include "node_rig.h"
#include "support.h"

#include "base/rule.h"
#include "node/http.h"
#include "node/users.h"

static rig shared;

static void never_wake(void *arg) {
    (void)arg;
}

static bool is_denied(const char *login, const char *line) {
    fb_session *session = NULL;
    char said[256];
    size_t used;
    assert_ok(fb_session_new(&shared.node, FB_STR("127.0.0.1:0"), never_wake, NULL, &session));
    snprintf(said, sizeof said, "AUTH web %s\r\n%s\r\n", login, line);
    int result = fb_session_feed(session, fb_str_of(said), &used);
    assert_true(result == FB_OK || result == FB_PENDING);
    fb_str out = fb_buf_str(fb_session_out(session));
    bool denied = memmem(out.ptr, out.len, "-WRONGPASS", 10) != NULL ||
                  memmem(out.ptr, out.len, "-NOPERM", 7) != NULL;
    fb_session_free(session);
    return denied;
}

static bool command_is_denied(void) {
    return is_denied("pw", "FLUSHALL");
}

static bool key_is_denied(void) {
    return is_denied("pw", "GET other");
}

static bool reach_is_denied(void) {
    return is_denied("pw", "FB.WARM item");
}

static bool computed_key_is_denied(void) {
    return is_denied("pw", "FB.KEY item id 1");
}

static bool password_is_asked(void) {
    return is_denied("wrong", "PING");
}

static bool request_is_denied(const char *path, const char *body) {
    fb_http_response response;
    fb_http_request request = {.method = body[0] == '\0' ? FB_STR("GET") : FB_STR("POST"),
                               .path = fb_str_of(path),
                               .body = fb_str_of(body),
                               .authorization = FB_STR("Bearer tok")};
    assert_ok(fb_http_handle(&shared.node, &request, &response));
    bool denied = response.status == 403;
    fb_http_response_release(&response);
    return denied;
}

static bool route_is_denied(void) {
    return request_is_denied("/v1/stats", "");
}

static bool key_of_route_is_denied(void) {
    return request_is_denied("/v1/keys/other", "");
}

static bool computed_key_of_route_is_denied(void) {
    return request_is_denied("/v1/warm", "{\"class\": \"item\", \"params\": {\"id\": \"1\"}}");
}

static bool reach_of_route_is_denied(void) {
    return request_is_denied("/v1/warm", "{\"class\": \"item\"}");
}

static void test_user_rules__each_is_needed(void **state) {
    static const struct {
        const char *rule;
        bool (*holds)(void);
    } promises[] = {
        {"user_commands", command_is_denied}, {"user_keys", key_is_denied},
        {"user_reach", reach_is_denied},      {"user_password", password_is_asked},
        {"http_commands", route_is_denied},   {"http_keys", key_of_route_is_denied},
        {"user_computed", computed_key_is_denied},
        {"http_computed", computed_key_of_route_is_denied},
        {"http_reach", reach_of_route_is_denied},
    };
    for (size_t i = 0; i < sizeof promises / sizeof promises[0]; i++) {
        fb_rule_without(NULL);
        assert_true(promises[i].holds());
        fb_rule_without(promises[i].rule);
        if (promises[i].holds()) {
            fail_msg("nothing shows that %s is needed", promises[i].rule);
        }
    }
    fb_rule_without(NULL);
}

static int open_rig(void **state) {
    static const char *const WORDS[] = {"on",      ">pw",      "token>tok", "+get",
                                        "+fb.key", "+fb.warm", "+ping",     "~user:*"};
    fb_str words[sizeof WORDS / sizeof WORDS[0]];
    size_t wrong;
    fb_error error;
    rig_open(&shared);
    shared.node.http_prefix = "";
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++) {
        words[i] = fb_str_of(WORDS[i]);
    }
    return fb_users_set(&shared.node, FB_STR("web"), words, sizeof WORDS / sizeof WORDS[0], &wrong,
                        &error);
}

static int close_rig(void **state) {
    rig_close(&shared);
    fb_users_free(shared.node.users);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_rules__each_is_needed),
    };
    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
