// What commands reach by keys that they compute, or name behind words of their own: each is asked for by
// the keys themselves, and by what is done with them.

#include "user_oracle.h"

#include <forebay/forebay.h>

#include "base/mem.h"
#include "node/command_table.h"
#include "node/node.h"
#include "node/session.h"
#include "node/users.h"

static const char CLASSES[] =
    "memory: 8MiB\n"
    "loops: 1\n"
    "classes:\n"
    "  page: {key: 'page:{id}', normalise: [trim, casefold]}\n"
    "  list: {key: 'list:{colour}:{page}',\n"
    "         parameters: {page: {type: integer, default: 1, min: 1}}}\n"
    "  item: {key: 'item:{id}'}\n"
    "  part: {key: 'item:{id}:{part}'}\n"
    "  found: {key: 'found:{kind}:{hash}', namespace: shop}\n";

static fb_config *config;
static fb_node node;

// ---- asking

enum { ARGS_MAX = 32 };

typedef struct line {
    char text[512];
    fb_str args[ARGS_MAX];
    fb_command_call call;
} line;

// Words with blanks between them; '_' stands for a blank.
static const fb_command_call *read_line(line *one, const char *text) {
    size_t count = 0;
    snprintf(one->text, sizeof one->text, "%s", text);
    for (char *word = strtok(one->text, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(count < ARGS_MAX);
        for (char *at = strchr(word, '_'); at != NULL; at = strchr(at, '_')) {
            *at = ' ';
        }
        one->args[count++] = fb_str_of(word);
    }
    one->call = (fb_command_call){.node = &node, .args = one->args, .arg_count = count};
    one->call.command = fb_command_find(one->args[0]);
    assert_non_null(one->call.command);
    assert_true(fb_command_arity_fits(one->call.command, count));
    return &one->call;
}

static fb_user *user_of(const char *words) {
    fb_error error;
    fb_user *user = fb_user_new(FB_STR("web"));
    assert_non_null(user);
    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        assert_ok(fb_user_rule(user, fb_str_make(words, len), &error));
        words += len + strspn(words + len, " ");
    }
    return user;
}

static void assert_asked(const char *keys, const char *text, bool may) {
    char words[256];
    line one;
    snprintf(words, sizeof words, "+@all %s", keys);
    fb_user *user = user_of(words);
    fb_denial denial = fb_user_check(user, read_line(&one, text), NULL);
    if (denial != (may ? FB_DENIED_NOT : FB_DENIED_KEY)) {
        fail_msg("\"%s\" by \"%s\": %d", text, keys, (int)denial);
    }
    fb_user_give(user);
    user = user_of("+@all ~*");
    assert_int_equal(fb_user_check(user, read_line(&one, text), NULL), FB_DENIED_NOT);
    fb_user_give(user);
}

#define assert_may(keys, text) assert_asked(keys, text, true)
#define assert_may_not(keys, text) assert_asked(keys, text, false)

// ---- computed keys

static void test_user_keys__a_fetch_is_asked_by_the_key_that_the_class_makes(void **state) {
    assert_may("%R~page:1", "fb.fetch page id 1");
    assert_may_not("%W~page:1", "fb.fetch page id 1");
    assert_may_not("~page:1", "fb.fetch page id 2");
    assert_may_not("~page:2", "fb.fetch page id 1");
    assert_may_not("", "fb.fetch page id 1");
    assert_may_not("~id ~1 ~page", "fb.fetch page id 1");
    assert_may("~page:1", "fb.fetch REFRESH TIMEOUT 5 MINSEQ x WITHMETA CLASS page id 1");
    assert_may_not("~page:1", "fb.fetch REFRESH TIMEOUT 5 MINSEQ x WITHMETA CLASS page id 2");
    assert_may("~item:1", "fb.fetch item id 1");
    assert_may("~item:1:*", "fb.fetch part id 1 part 2");
    assert_may_not("~item:1", "fb.fetch part id 1 part 2");
}

static void test_user_keys__values_are_taken_in_the_form_that_they_have_in_the_key(void **state) {
    assert_may("~page:ab", "fb.fetch page id __AB_");
    assert_may_not("~page:AB", "fb.fetch page id AB");
    assert_may("~list:red:1", "fb.fetch list colour red");
    assert_may("~list:red:1", "fb.fetch list page 001 colour red");
    assert_may_not("~list:red:1", "fb.fetch list colour red page 2");
    assert_may("~list:red:2", "fb.fetch list colour red page 2");
    assert_may("~found:a:*", "fb.fetch found kind a colour red");
    assert_may_not("~found:a:*", "fb.fetch found kind b colour red");
}

static void test_user_keys__of_many_fetches_each_is_asked(void **state) {
    assert_may("%R~page:*", "fb.mfetch page 1 id 1 2 3");
    assert_may_not("%W~page:*", "fb.mfetch page 1 id 1 2 3");
    assert_may("~page:[123]", "fb.mfetch WITHMETA CLASS page 1 id 1 2 3");
    assert_may_not("~page:[12]", "fb.mfetch page 1 id 1 2 3");
    assert_may_not("~page:[23]", "fb.mfetch page 1 id 1 2 3");
    assert_may("~item:1:* ~item:2:b", "fb.mfetch part 2 part id a 1 b 2");
    assert_may_not("~item:1:* ~item:2:a", "fb.mfetch part 2 part id a 1 b 2");
    assert_may_not("~list:red:1", "fb.mfetch list 2 colour page red x blue 1");
    assert_may("~list:red:1", "fb.mfetch list 2 colour page red x red 1");
}

static void test_user_keys__a_key_is_told_to_who_has_any_right_to_it(void **state) {
    assert_may("%R~page:1", "fb.key page id 1");
    assert_may("%W~page:1", "fb.key CLASS page id 1");
    assert_may_not("~page:1", "fb.key page id 2");
}

static void test_user_keys__to_warm_is_to_read(void **state) {
    assert_may("%R~page:1", "fb.warm page id 1");
    assert_may("%R~page:1", "fb.warm CLASS page id 1");
    assert_may_not("%W~page:1", "fb.warm page id 1");
    assert_may_not("%R~page:1", "fb.warm page id 2");
    assert_may_not("~page:*", "fb.warm page");
    assert_may_not("~page:*", "fb.warm TOP page 5");
    assert_may_not("~page:*", "fb.warm nosuch");
}

// They reach nothing, and are answered by what is wrong with them.
static void test_user_keys__what_makes_no_key_is_let_through_to_its_mistake(void **state) {
    static const char *const LINES[] = {
        "fb.fetch nosuch id 1",
        "fb.fetch page",
        "fb.fetch page id",
        "fb.fetch page ix 1",
        "fb.fetch page id 1 id 1",
        "fb.fetch list colour red page x",
        "fb.fetch list colour red page 0",
        "fb.fetch item id 1:2 part 3",
        "fb.fetch TIMEOUT x page id 1",
        "fb.fetch REFRESH",
        "fb.mfetch page x id 1",
        "fb.mfetch page 2 id 1 2",
        "fb.mfetch nosuch 1 id 1",
        "fb.key page",
        "fb.key nosuch",
        "fb.warm page ix 1",
        "fb.warm TOP page x",
        "fb.invalidate nothing",
        "fb.invalidate KEY",
        "fb.invalidate ALL a",
        "fb.invalidate WAIT x KEY a",
        "fb.invalidate SRCVER 3 TAG t",
        "fb.limits 9 a b",
        "fb.limits x a b",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        assert_may("~none", LINES[i]);
    }
}

static void test_user_keys__no_lack_of_memory_lets_anybody_in(void **state) {
    static const char *const KEYS[] = {"+@all ~other", "+@all ~page:*"};
    test_memory *memory = test_memory_get();
    memory->own = pthread_self();
    memory->own_alone = true;  // the engine's threads take and give on their own
    for (size_t len = 1024; len <= 16384; len *= 2) {  // longer than what the engine has room for
        char *value = malloc(len);
        assert_non_null(value);
        memset(value, 'a', len);
        fb_user *user = user_of(KEYS[len / 1024 % 2]);
        fb_str args[] = {FB_STR("fb.fetch"), FB_STR("page"), FB_STR("id"), {value, len}};
        fb_command_call call = {
            .node = &node, .command = fb_command_find(args[0]), .args = args, .arg_count = 4};
        fb_str object;
        test_memory_fail(1);
        fb_denial denial = fb_user_check(user, &call, &object);
        assert_true(memory->failed);
        test_memory_fail(0);
        assert_int_equal(denial, FB_DENIED_KEY);
        assert_str(object, "fb.fetch");
        fb_user_give(user);
        free(value);
    }
    memory->own_alone = false;
}

static void test_user_keys__the_key_that_is_denied_is_named(void **state) {
    line one;
    fb_str object;
    fb_user *user = user_of("+@all ~page:[13]");
    const char *const lines[][2] = {{"fb.fetch page id _B_", "page:b"},
                                    {"fb.mfetch page 1 id 1 2 3 4", "page:2"},
                                    {"fb.invalidate KEY page:1 x page:3", "x"},
                                    {"fb.invalidate TAG x", "fb.invalidate"},
                                    {"fb.warm page", "fb.warm"}};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(fb_user_check(user, read_line(&one, lines[i][0]), &object),
                         FB_DENIED_KEY);
        assert_str(object, lines[i][1]);
    }
    fb_user_give(user);
}

// ---- named keys

static void test_user_keys__an_invalidation_of_keys_writes_them(void **state) {
    assert_may("%W~a", "fb.invalidate KEY a");
    assert_may_not("%R~a", "fb.invalidate KEY a");
    assert_may("%W~a %W~b", "fb.invalidate KEY a b a");
    assert_may_not("~a", "fb.invalidate KEY a b");
    assert_may("~a", "fb.invalidate SOFT WAIT LOCAL TIMEOUT 5 SRCVER 3 KEY a");
    assert_may_not("~a", "fb.invalidate SOFT WAIT LOCAL TIMEOUT 5 SRCVER 3 KEY b");
    assert_may_not("~a ~KEY", "fb.invalidate PATTERN KEY a");
    assert_may_not("~a", "fb.invalidate PATTERN a");
    assert_may_not("~a", "fb.invalidate TAG a");
    assert_may_not("~a", "fb.invalidate CLASS page");
    assert_may_not("~a", "fb.invalidate NAMESPACE shop");
    assert_may_not("~a", "fb.invalidate ALL");
}

static void assert_within(const fb_command *command) {
    int least = command->arity < 0 ? -command->arity : command->arity;
    if (command->last_key >= least) {
        fail_msg("%s: its last key may not be there", command->name);
    }
}

// A command whose keys were not there would reach nothing, and be let through.
static void test_user_keys__every_command_has_room_for_its_keys(void **state) {
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *sub = fb_command_at(i)->subcommands;
        assert_within(fb_command_at(i));
        for (; sub != NULL && sub->name != NULL; sub++) {
            assert_within(sub);
        }
    }
}

// ---- beside GET

static void never_wake(void *arg) {
    (void)arg;
}

static fb_session *sign_in(const char *password) {
    char text[64];
    size_t used;
    fb_session *session = NULL;
    assert_ok(fb_session_new(&node, FB_STR("127.0.0.1:0"), never_wake, NULL, &session));
    snprintf(text, sizeof text, "AUTH %s\r\n", password);
    assert_ok(fb_session_feed(session, fb_str_of(text), &used));
    assert_str(fb_buf_str(fb_session_out(session)), "+OK\r\n");
    fb_session_out(session)->len = 0;
    return session;
}

static fb_str say(fb_session *session, const char *text) {
    static char reply[1024];
    char said[512];
    size_t used;
    snprintf(said, sizeof said, "%s\r\n", text);
    assert_ok(fb_session_feed(session, fb_str_of(said), &used));
    fb_buf *out = fb_session_out(session);
    fb_str got = {reply, out->len};
    assert_true(out->len > 0 && out->len < sizeof reply);
    memcpy(reply, out->ptr, out->len);
    out->len = 0;
    return got;
}

static bool is_denied(fb_session *session, const char *verb, const char *words) {
    char text[512];
    snprintf(text, sizeof text, "%s %s", verb, words);
    return fb_str_starts(say(session, text), FB_STR("-NOPERM"));
}

// A class with parameters, as FB.FETCH takes it; now and then with a mistake.
static void any_request(fb_rng *rng, char text[128]) {
    static const char *const VALUES[] = {"a", "b", "A", "\" b\"", "a:b", "ab", "1", "01", "2", "0"};
    const char *one = VALUES[fb_rng_below(rng, 10)];
    const char *two = VALUES[fb_rng_below(rng, 10)];
    switch (fb_rng_below(rng, 7)) {
        case 0:
            snprintf(text, 128, "list colour %s", one);
            break;
        case 1:
            snprintf(text, 128, "list page %s colour %s", one, two);
            break;
        case 2:
            snprintf(text, 128, "CLASS item id %s", one);
            break;
        case 3:
            snprintf(text, 128, "part part %s id %s", one, two);
            break;
        case 4:
            snprintf(text, 128, "found kind %s x %s", one, two);
            break;
        default:
            snprintf(text, 128, "page %s %s", fb_rng_below(rng, 8) == 0 ? "ix" : "id", one);
    }
}

static void any_user(fb_rng *rng) {
    static const char *const PATTERNS[] = {"page:*", "page:a", "page:?", "list:*", "list:*:1",
                                           "list:a*", "item:*", "item:[ab]", "item:*:*", "found:a:*",
                                           "*:b", "*a*"};
    static const char *const KINDS[] = {"~", "%R~", "%W~"};
    char words[8][32];
    fb_str rules[8] = {FB_STR("reset"), FB_STR("on"), FB_STR(">pw"), FB_STR("+@all")};
    size_t count = 4;
    size_t more = (size_t)fb_rng_below(rng, 4);
    fb_error error;
    size_t wrong;
    for (size_t i = 0; i < more; i++, count++) {
        snprintf(words[count], sizeof words[count], "%s%s", KINDS[fb_rng_below(rng, 3)],
                 PATTERNS[fb_rng_below(rng, sizeof PATTERNS / sizeof PATTERNS[0])]);
        rules[count] = fb_str_of(words[count]);
    }
    assert_ok(fb_users_set(&node, FB_STR("web"), rules, count, &wrong, &error));
}

// The reply of FB.KEY: a bulk string. false: an error, there is no key.
static bool key_of(fb_session *admin, const char *request, char key[160]) {
    char text[192];
    snprintf(text, sizeof text, "FB.KEY %s", request);
    fb_str reply = say(admin, text);
    if (reply.ptr[0] == '-') {
        return false;
    }
    size_t head = fb_str_find(reply, '\n') + 1;
    snprintf(key, 160, "\"%.*s\"", (int)(reply.len - head - 2), reply.ptr + head);
    return true;
}

// Who may GET the key that FB.KEY tells an admin may fetch it, and nobody else may.
static void test_user_keys__a_fetch_is_allowed_where_get_of_its_key_is(void **state) {
    fb_rng rng = test_rng();
    size_t denied = 0, allowed = 0, made = 0;
    fb_session *admin = sign_in("admin pw");
    for (int round = 0; round < 300; round++) {
        any_user(&rng);
        fb_session *web = sign_in("web pw");
        for (int i = 0; i < 20; i++) {
            char request[128], key[160], pair[256];
            any_request(&rng, request);
            bool makes = key_of(admin, request, key);
            bool may_get = !makes || !is_denied(web, "GET", key);
            bool may_exists = !makes || !is_denied(web, "EXISTS", key);
            bool may_delete = !makes || !is_denied(web, "DEL", key);
            if (is_denied(web, "FB.FETCH", request) == may_get ||
                is_denied(web, "FB.WARM", request) == may_get ||
                is_denied(web, "FB.KEY", request) == may_exists) {
                fail_msg("%s, key %s", request, makes ? key : "none");
            }
            if (makes) {
                snprintf(pair, sizeof pair, "KEY %s", key);
                assert_int_equal(is_denied(web, "FB.INVALIDATE", pair), !may_delete);
            }
            made += makes;
            denied += !may_get;
            allowed += may_get && makes;
        }
        fb_session_free(web);
    }
    fb_session_free(admin);
    assert_true(denied > 1000 && allowed > 300 && made < 6000);
}

static void test_user_keys__getkeys_tells_the_keys_of_an_invalidation(void **state) {
    fb_session *admin = sign_in("admin pw");
    assert_str(say(admin, "COMMAND GETKEYS FB.INVALIDATE SOFT KEY a b"),
               "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    assert_str(say(admin, "COMMAND GETKEYSANDFLAGS FB.INVALIDATE KEY a"),
               "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RM\r\n+delete\r\n");
    assert_str(say(admin, "COMMAND GETKEYS FB.INVALIDATE TAG a"), "*0\r\n");
    assert_str(say(admin, "COMMAND GETKEYS FB.INVALIDATE KEY"),
               "-ERR Invalid arguments specified for command\r\n");
    assert_str(say(admin, "COMMAND GETKEYS FB.FETCH page id 1"),
               "-ERR The command has no key arguments\r\n");
    fb_session_free(admin);
}

// ----

static int64_t at_noon(void) {
    return 43200000000;
}

static int open_engine(void **state) {
    static fb_str words[] = {FB_STR("on"), FB_STR(">pw"), FB_STR("allcommands"), FB_STR("allkeys")};
    fb_error error = {0};
    size_t wrong;
    (void)test_memory_get();
    assert_ok(fb_config_new(&config));
    if (fb_config_read(config, fb_str_of(CLASSES), "classes.yaml", &error) < 0 ||
        fb_open(config, &node.engine, &error) < 0) {
        fail_msg("%u: %s", error.line, error.text);
    }
    node.config = config;
    node.wall_us = at_noon;
    node.connections_max = 10;
    return fb_users_set(&node, FB_STR("admin"), words, 4, &wrong, &error);
}

static int close_engine(void **state) {
    fb_close(node.engine, 10000);
    fb_config_free(config);
    fb_users_free(node.users);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user_keys__a_fetch_is_asked_by_the_key_that_the_class_makes),
        cmocka_unit_test(test_user_keys__values_are_taken_in_the_form_that_they_have_in_the_key),
        cmocka_unit_test(test_user_keys__of_many_fetches_each_is_asked),
        cmocka_unit_test(test_user_keys__a_key_is_told_to_who_has_any_right_to_it),
        cmocka_unit_test(test_user_keys__to_warm_is_to_read),
        cmocka_unit_test(test_user_keys__what_makes_no_key_is_let_through_to_its_mistake),
        cmocka_unit_test(test_user_keys__no_lack_of_memory_lets_anybody_in),
        cmocka_unit_test(test_user_keys__the_key_that_is_denied_is_named),
        cmocka_unit_test(test_user_keys__an_invalidation_of_keys_writes_them),
        cmocka_unit_test(test_user_keys__every_command_has_room_for_its_keys),
        cmocka_unit_test(test_user_keys__a_fetch_is_allowed_where_get_of_its_key_is),
        cmocka_unit_test(test_user_keys__getkeys_tells_the_keys_of_an_invalidation),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
