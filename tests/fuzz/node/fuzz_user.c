// The rule words of a user, one a line, as ACL SETUSER gets them: each is taken or refused with a
// reason; what is shown of the user makes the same user again; and no question breaks it.

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"
#include "node/user_rules.h"

// Words with `end` behind each, from `text`; those that are refused are left out.
static fb_user *read(fb_str text, char end, bool all_fit) {
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

static void ask(const fb_user *user, fb_str key) {
    const char *const names[] = {"get", "set", "mset", "fb.limits", "fb.fetch", "select"};
    fb_str args[] = {FB_STR("x"), key, key, key, key, key};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const fb_command *command = fb_command_find(fb_str_of(names[i]));
        fb_str object;
        FB_ASSERT(command != NULL);
        fb_denial denial = fb_user_check(user, command, args, 6, &object);
        if (fb_user_may_all(user)) {
            FB_ASSERT(denial == FB_DENIED_NOT);
        }
        if (denial == FB_DENIED_COMMAND) {
            FB_ASSERT(!fb_user_may_run(user, command));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str text = {(const char *)data, size < 4096 ? size : 4096};
    fb_buf shown = {0};
    fb_buf again = {0};
    fb_user *user = read(text, '\n', false);
    FB_ASSERT(fb_user_show(user, &shown) == FB_OK);
    fb_str words = fb_buf_str(&shown);
    FB_ASSERT(fb_str_starts(words, FB_STR("user u ")));
    fb_user *same = read(fb_str_make(words.ptr + 7, words.len - 7), ' ', true);
    FB_ASSERT(fb_user_show(same, &again) == FB_OK);
    FB_ASSERT(fb_str_equal(fb_buf_str(&again), words));
    FB_ASSERT(memcmp(user->commands, same->commands, sizeof user->commands) == 0);
    ask(user, fb_str_make(text.ptr, text.len < 16 ? text.len : 16));
    fb_user_give(user);
    fb_user_give(same);
    fb_buf_release(&shown);
    fb_buf_release(&again);
    return 0;
}
