// The rule words of a user, one a line, as ACL SETUSER gets them: each is taken or refused with a
// reason; what is shown of the user makes the same user again; and no question breaks it. What a class
// makes a key of is asked by that key, whatever the words around it.

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"
#include "node/user_rules.h"
#include "node_rig.h"

enum { WORDS = 6 };

static rig shared;

// Words with `end` behind each, from `text`; those that are refused are left out.
static fb_user *read_user(fb_str text, char end, bool all_fit) {
    fb_error error;
    fb_user *user = fb_user_new(FB_STR("u"));
    FB_ASSERT(user != NULL);
    while (text.len > 0) {
        size_t len = fb_str_find(text, end);
        fb_user *copy = fb_user_copy(user);
        FB_ASSERT(copy != NULL);
        error.text[0] = '\0';
        int result = fb_user_rule(copy, fb_str_make(text.ptr, len), &error);
        FB_ASSERT(result == FB_OK || (result == FB_EINVAL && error.text[0] != '\0' && !all_fit));
        if (result == FB_OK) {
            fb_user *before = user;
            user = copy;
            copy = before;
        }
        fb_user_give(copy);
        size_t used = len < text.len ? len + 1 : len;
        text = fb_str_make(text.ptr + used, text.len - used);
    }
    return user;
}

static fb_denial check(const fb_user *user, const char *name, fb_str *args, size_t count) {
    fb_str object;
    args[0] = fb_str_of(name);
    fb_command_call call = {.node = &shared.node,
                            .command = fb_command_find(args[0]),
                            .args = args,
                            .arg_count = count};
    FB_ASSERT(call.command != NULL);
    fb_denial denial = fb_user_check(user, &call, &object);
    FB_ASSERT(denial == FB_DENIED_NOT || !fb_user_may_all(user));
    FB_ASSERT(denial != FB_DENIED_COMMAND || !fb_user_may_run(user, call.command));
    return denial;
}

static void ask(const fb_user *user, fb_str key) {
    const char *const names[] = {"get",       "set",           "mset",    "fb.limits", "fb.fetch",
                                 "fb.mfetch", "fb.invalidate", "fb.warm", "fb.key",    "select"};
    fb_str args[WORDS];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (size_t k = 1; k < WORDS; k++) {
            args[k] = key;
        }
        (void)check(user, names[i], args, WORDS);
    }
}

typedef struct expected {
    const fb_user *user;
    bool may;
} expected;

static void take_key(void *arg, fb_str key) {
    expected *one = arg;
    one->may = fb_user_may_key(one->user, key, FB_ACCESS_READ);
}

// The rig's class makes "item:ID" of any id: who may run FB.FETCH may do so where that key may be read.
static void ask_class(const fb_user *user, fb_str id) {
    fb_param param = {FB_STR("id"), id};
    fb_request request = {.class_name = FB_STR("item"), .params = &param, .param_count = 1};
    fb_str args[] = {FB_STR(""), FB_STR("REFRESH"), FB_STR("item"), FB_STR("id"), id};
    expected one = {user, false};
    FB_ASSERT(fb_fetch_key(shared.engine, &request, take_key, &one, NULL) == FB_OK);
    fb_denial denial = check(user, "fb.fetch", args, 5);
    FB_ASSERT(denial == FB_DENIED_COMMAND || (denial == FB_DENIED_NOT) == one.may);
}

static void end(void) {
    rig_close(&shared);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool opened;
    if (!opened) {
        rig_open_until_exit(&shared, end);
        opened = true;
    }
    fb_str text = {(const char *)data, size < 4096 ? size : 4096};
    fb_buf shown = {0};
    fb_buf again = {0};
    fb_user *user = read_user(text, '\n', false);
    FB_ASSERT(fb_user_show(user, &shown) == FB_OK);
    fb_str words = fb_buf_str(&shown);
    FB_ASSERT(fb_str_starts(words, FB_STR("user u ")));
    fb_user *same = read_user(fb_str_make(words.ptr + 7, words.len - 7), ' ', true);
    FB_ASSERT(fb_user_show(same, &again) == FB_OK);
    FB_ASSERT(fb_str_equal(fb_buf_str(&again), words));
    FB_ASSERT(memcmp(user->commands, same->commands, sizeof user->commands) == 0);
    ask(user, fb_str_make(text.ptr, text.len < 16 ? text.len : 16));
    ask_class(user, fb_str_make(text.ptr, text.len < 16 ? text.len : 16));
    fb_user_give(user);
    fb_user_give(same);
    fb_buf_release(&shown);
    fb_buf_release(&again);
    return 0;
}
