// A user: its rule words, what they let it do, and how it is shown again.

#include "user_oracle.h"

#include <forebay/forebay.h>

#include "base/buf.h"
#include "base/mem.h"
#include "node/command_table.h"
#include "node/node.h"

static const char *const *all_categories(void) {
    static const char *names[64];
    for (size_t i = 0; fb_user_category(i) != NULL; i++) {
        names[i] = fb_user_category(i);
        names[i + 1] = NULL;
    }
    return names;
}

// Of words with blanks between them.
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

static fb_denial ask(const fb_user *user, const char *line, fb_str *object) {
    static fb_str args[16];
    fb_command_call call = {.args = args};
    size_t count = 0;
    while (*line != '\0') {
        size_t len = strcspn(line, " ");
        args[count++] = fb_str_make(line, len);
        line += len + strspn(line + len, " ");
    }
    const fb_command *command = fb_command_find(args[0]);
    assert_non_null(command);
    if (command->subcommands != NULL) {
        command = fb_command_find_sub(command, args[1]);
        assert_non_null(command);
    }
    call.command = command;
    call.arg_count = count;
    return fb_user_check(user, &call, object);
}

static void assert_asked(const char *words, const char *line, fb_denial expected) {
    fb_user *user = user_of(words);
    fb_denial denial = ask(user, line, NULL);
    if (denial != expected) {
        fail_msg("\"%s\" by \"%s\": %d, not %d", line, words, (int)denial, (int)expected);
    }
    fb_user_give(user);
}

#define assert_may(words, line) assert_asked(words, line, FB_DENIED_NOT)
#define assert_no_command(words, line) assert_asked(words, line, FB_DENIED_COMMAND)
#define assert_no_key(words, line) assert_asked(words, line, FB_DENIED_KEY)

// An engine for commands that ask it for the key of a class; it has none.
static fb_node node;

static int open_engine(void **state) {
    fb_config *config = NULL;
    fb_error error;
    (void)test_memory_get();
    assert_ok(fb_config_new(&config));
    assert_ok(fb_config_read(config, FB_STR("memory: 8MiB\nloops: 1"), "user.yaml", &error));
    int result = fb_open(config, &node.engine, &error);
    fb_config_free(config);
    return result;
}

static int close_engine(void **state) {
    fb_close(node.engine, 10000);
    return 0;
}

static void test_user__words_are_what_they_say_in_any_order(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 4000; round++) {
        oracle_rules rules;
        fb_user *user = oracle_user(&rng, all_categories(), &rules);
        for (int i = 0; i < 60; i++) {
            const fb_command *command = oracle_any_command(&rng);
            char arg[4], key[32];
            snprintf(arg, sizeof arg, "%d", (int)fb_rng_below(&rng, 3));
            fb_str args[] = {fb_str_of(command->name), fb_str_of(arg)};
            fb_command_call call = {
                .node = &node, .command = command, .args = args, .arg_count = 2};
            bool denied = fb_user_check(user, &call, NULL) == FB_DENIED_COMMAND;
            assert_int_equal(denied, !oracle_may_run(&rules, command, arg));
            oracle_key(&rng, key);
            unsigned access = (unsigned)fb_rng_below(&rng, 4);
            assert_int_equal(fb_user_may_key(user, fb_str_of(key), access),
                             oracle_may_key(&rules, key, access));
        }
        fb_user_give(user);
    }
}

static fb_user *made_of(const fb_buf *shown) {
    fb_error error;
    fb_str rest = fb_buf_str(shown);
    fb_user *user = NULL;
    for (int i = 0; rest.len > 0; i++) {
        size_t len = fb_str_find(rest, ' ');
        fb_str word = fb_str_make(rest.ptr, len);
        if (i == 1) {
            user = fb_user_new(word);
            assert_non_null(user);
        } else if (i > 1) {
            assert_ok(fb_user_rule(user, word, &error));
        }
        rest = fb_str_make(rest.ptr + len + (len < rest.len), rest.len - len - (len < rest.len));
    }
    return user;
}

static void test_user__what_is_shown_makes_the_same_user(void **state) {
    fb_rng rng = test_rng();
    for (int round = 0; round < 2000; round++) {
        oracle_rules rules;
        fb_error error;
        fb_buf shown = {0}, again = {0};
        fb_user *user = oracle_user(&rng, all_categories(), &rules);
        static const char *const MORE[] = {"on", ">one", "token>two", "&news.*", "nopass"};
        for (size_t i = 0; i < 5; i++) {
            if (fb_rng_below(&rng, 2) == 0) {
                assert_ok(fb_user_rule(user, fb_str_of(MORE[i]), &error));
            }
        }
        assert_ok(fb_user_show(user, &shown));
        fb_user *other = made_of(&shown);
        assert_ok(fb_user_show(other, &again));
        assert_bytes(fb_buf_str(&again), fb_buf_str(&shown));
        assert_memory_equal(user->commands, other->commands, sizeof user->commands);
        assert_int_equal(user->all_commands, other->all_commands);
        fb_user_give(user);
        fb_user_give(other);
        fb_buf_release(&shown);
        fb_buf_release(&again);
    }
}

static void test_user__is_shown_as_redis_does(void **state) {
    fb_buf shown = {0};
    fb_user *user = user_of("on >p +get ~x* %R~y +GET +Config|Get -config|set");
    assert_ok(fb_user_show(user, &shown));
    assert_str(fb_buf_str(&shown),
               "user web on #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 ~x* "
               "%R~y resetchannels -@all +get +config|get -config|set");
    fb_user_give(user);
    fb_buf_release(&shown);
}

static void assert_refused(const char *words, const char *word, const char *why) {
    fb_error error = {0};
    fb_user *user = user_of(words);
    assert_result(fb_user_rule(user, fb_str_of(word), &error), FB_EINVAL);
    assert_string_equal(error.text, why);
    fb_user_give(user);
}

static void test_user__refuses_words_as_redis_does(void **state) {
    static const char *const UNKNOWN = "Unknown command or category name in ACL";
    static const char *const HASH = "The password hash must be exactly 64 characters and contain "
                                    "only lowercase hexadecimal characters";
    assert_refused("", "+foo", UNKNOWN);
    assert_refused("", "+@foo", UNKNOWN);
    assert_refused("", "-foo", UNKNOWN);
    assert_refused("", "+", UNKNOWN);
    assert_refused("", "-@", UNKNOWN);
    assert_refused("", "+config|foo", UNKNOWN);
    assert_refused("", "-config|foo", UNKNOWN);
    assert_refused("", "-get|a", UNKNOWN);
    assert_refused("", "+config|get|x", "Allowing first-arg of a subcommand is not supported");
    assert_refused("", "+select|", "Syntax error");
    assert_refused("", "bad", "Syntax error");
    assert_refused("", "%~x", "Syntax error");
    assert_refused("", "%Q~x", "Syntax error");
    assert_refused("", "%R", "Syntax error");
    assert_refused("", "~a b", "Syntax error");
    assert_refused("", "#12", HASH);
    assert_refused("", "!12", HASH);
    assert_refused("", "token#12", HASH);
    assert_refused("", "token>", "A token must not be empty");
    assert_refused("", "<x", "The password you are trying to remove from the user does not exist");
    assert_refused("~*", "~x",
                   "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and "
                   "does not have any effect. Try 'resetkeys' to start with an empty list of "
                   "patterns");
    assert_refused("&*", "&x",
                   "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid "
                   "and does not have any effect. Try 'resetchannels' to start with an empty list "
                   "of channels");
    assert_refused("", "(+get ~x)", "Selectors are not supported");
}

static void test_user__keys_of_a_command_need_what_is_done_with_them(void **state) {
    assert_may("+@all %R~x", "get x");
    assert_no_key("+@all %W~x", "get x");
    assert_may("+@all %W~x", "set x 1");
    assert_no_key("+@all %W~x", "set x 1 GET");
    assert_no_key("+@all %R~x", "set x 1");
    assert_may("+@all %R~x", "exists x");
    assert_may("+@all %W~x", "exists x");
    assert_no_key("+@all %W~x", "exists y");
    assert_no_key("+@all %W~x", "incr x");
    assert_no_key("+@all %R~x %W~x*", "incr xy");
    assert_may("+@all %R~x %W~x", "incr x");
    assert_may("+@all ~x", "mset x 1 x 2");
    assert_no_key("+@all ~x", "mset x 1 y 2");
    assert_no_key("+@all ~x", "mget x x y");
    assert_may("+@all ~x", "object encoding x");
    assert_no_key("+@all ~x", "object encoding y");
    assert_may("+@all ~x", "config set y GET");
}

static void test_user__what_names_no_keys_needs_the_right_to_all(void **state) {
    static const char *const LINES[] = {
        "fb.invalidate TAG t", "fb.invalidate ALL", "fb.warm item",   "fb.warm TOP item 5",
        "fb.enqueue q p",      "fb.reserve q",      "fb.queue q PAUSE", "fb.job 1",
        "fb.cancel 1",         "fb.mail k a@b.c",   "fb.otp issue a", "fb.region",
        "fb.rules",            "fb.queues",         "fb.doctor",      "fb.suppressed a@b.c",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        assert_no_key("+@all ~item:*", LINES[i]);
        assert_may("+@all ~*", LINES[i]);
    }
    assert_may("+@all ~item:*", "fb.get item:1");
    assert_no_key("+@all ~item:*", "fb.get thing:1");
    assert_no_key("+@all %R~item:*", "fb.set item:1 v");
    assert_may("+@all ~user:*", "fb.limit api user:1");
    assert_no_key("+@all ~user:*", "fb.limit api other");
    assert_may("+@all ~user:*", "fb.limits 2 api user:1 other user:2");
    assert_no_key("+@all ~user:*", "fb.limits 2 api user:1 other x");
    assert_may("+@all ~user:*", "fb.stats");
    assert_may("+@all ~user:*", "fb.help");
    assert_may("+@all ~user:*", "fb.slot help");
}

static void test_user__commands_without_keys_need_the_right_to_them_alone(void **state) {
    assert_may("+keys +scan +dbsize +flushall", "keys *");
    assert_may("+keys +scan +dbsize +flushall", "scan 0");
    assert_may("+keys +scan +dbsize +flushall", "flushall");
    assert_no_command("+keys", "ping");
    assert_may("", "auth x");
    assert_may("", "hello");
    assert_may("+select|0", "select 0");
    assert_no_command("+select|0", "select 1");
    assert_no_command("+select|0 -select", "select 0");
    assert_may("-@all +client -client|list", "client id");
    assert_no_command("-@all +client -client|list", "client list");
}

static void test_user__nobody_may_sign_in_and_no_more(void **state) {
    assert_int_equal(ask(NULL, "get x", NULL), FB_DENIED_NO_USER);
    assert_int_equal(ask(NULL, "ping", NULL), FB_DENIED_NO_USER);
    assert_int_equal(ask(NULL, "auth x", NULL), FB_DENIED_NOT);
    assert_int_equal(ask(NULL, "quit", NULL), FB_DENIED_NOT);
    assert_false(fb_user_may_all(NULL));
    assert_false(fb_user_may_key(NULL, FB_STR("x"), FB_ACCESS_NONE));
    assert_string_equal(fb_user_name(NULL), "");
}

static void test_user__says_what_it_was_denied(void **state) {
    fb_str object;
    fb_user *user = user_of("+mget ~a");
    assert_int_equal(ask(user, "mget a b c", &object), FB_DENIED_KEY);
    assert_str(object, "b");
    assert_int_equal(ask(user, "get a", &object), FB_DENIED_COMMAND);
    assert_str(object, "get");
    fb_user_give(user);
}

static void test_user__every_verb_of_ours_belongs_to_an_engine(void **state) {
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *command = fb_command_at(i);
        bool of_all = strcmp(command->name, "fb.help") == 0 || strcmp(command->name, "fb.doctor") == 0;
        bool ours = strcmp(command->group, "forebay") == 0 && !of_all;
        bool has = fb_user_in_category(command, FB_STR("cache")) ||
                   fb_user_in_category(command, FB_STR("limit")) ||
                   fb_user_in_category(command, FB_STR("queue")) ||
                   fb_user_in_category(command, FB_STR("mail"));
        if (ours != has) {
            fail_msg("%s: \"%s\"", command->name, command->categories);
        }
    }
}

static void test_user__every_category_of_the_table_is_known(void **state) {
    for (size_t i = 0; fb_command_at(i) != NULL; i++) {
        const fb_command *sub = fb_command_at(i)->subcommands;
        char text[128];
        snprintf(text, sizeof text, "%s", fb_command_at(i)->categories);
        for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
            assert_true(fb_user_is_category(fb_str_of(word)));
        }
        for (; sub != NULL && sub->name != NULL; sub++) {
            snprintf(text, sizeof text, "%s", sub->categories);
            for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " ")) {
                assert_true(fb_user_is_category(fb_str_of(word)));
            }
        }
    }
}

static int make_and_copy(void *arg) {
    static const char *const WORDS[] = {"on",     ">p",   "token>t", "+get", "+select|0", "+@read",
                                        "~a*",    "%R~b", "&c",      "-get", "+config",   "+config|get"};
    fb_error error;
    fb_user *user = fb_user_new(FB_STR("web"));
    int result = user != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0] && result == FB_OK; i++) {
        result = fb_user_rule(user, fb_str_of(WORDS[i]), &error);
    }
    fb_user *copy = result == FB_OK ? fb_user_copy(user) : NULL;
    result = result == FB_OK && copy == NULL ? FB_ENOMEM : result;
    fb_user_give(copy);
    fb_user_give(user);
    return result;
}

static void test_user__survives_any_lack_of_memory(void **state) {
    assert_true(test_memory_sweep(make_and_copy, NULL) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_user__words_are_what_they_say_in_any_order,
                                        open_engine, close_engine),
        cmocka_unit_test(test_user__what_is_shown_makes_the_same_user),
        cmocka_unit_test(test_user__is_shown_as_redis_does),
        cmocka_unit_test(test_user__refuses_words_as_redis_does),
        cmocka_unit_test(test_user__keys_of_a_command_need_what_is_done_with_them),
        cmocka_unit_test(test_user__what_names_no_keys_needs_the_right_to_all),
        cmocka_unit_test(test_user__commands_without_keys_need_the_right_to_them_alone),
        cmocka_unit_test(test_user__nobody_may_sign_in_and_no_more),
        cmocka_unit_test(test_user__says_what_it_was_denied),
        cmocka_unit_test(test_user__every_verb_of_ours_belongs_to_an_engine),
        cmocka_unit_test(test_user__every_category_of_the_table_is_known),
        cmocka_unit_test(test_user__survives_any_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
