// node/user.h -- who may say what: named users, their rights to commands and keys, as Redis's ACL
// has them, for all doors.
//
// A user is a name, the hashes of its passwords and tokens, and its rights, made of rule words
// (node/user_rules.h). One set of users is in force in a node (node/users.h); a reload or ACL SETUSER
// puts another user of the same name in the place of one. A session and a request hold the user that
// they signed in as by reference; a session looks again when node->users_version has moved
// (node/session_user.h). Rights are worked out when a user is made, so that a question costs a bit
// test for a command, and nothing for keys where a user may use all of them.
//
// NULL stands for who has not signed in and has to: it may run what is flagged NOAUTH, no more.
//
// Threads: any; a user does not change once it is made.

#ifndef FB_NODE_USER_H
#define FB_NODE_USER_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_user fb_user;

// What is done with a key. Nothing of both: only that it is there (EXISTS, TYPE), for which a pattern
// of either kind will do.
enum { FB_ACCESS_NONE = 0, FB_ACCESS_READ = 1, FB_ACCESS_WRITE = 2 };

// Why not. NO_USER: it has to sign in first.
typedef enum fb_denial {
    FB_DENIED_NOT,
    FB_DENIED_NO_USER,
    FB_DENIED_COMMAND,
    FB_DENIED_KEY,
    FB_DENIED_CHANNEL
} fb_denial;

// Of `node`: who has not signed in. With reference. "default" is always there; NULL: it has a password
// or is off. A node without users (node->users NULL) has "default" with all rights.
fb_user *fb_user_first(fb_node *node);
// By name and password, or by a bearer token; with reference. NULL: none such. Takes the same time
// whatever is wrong.
fb_user *fb_user_sign_in(fb_node *node, fb_str name, fb_str password);
fb_user *fb_user_by_token(fb_node *node, fb_str token);
// The user that is in force now in the place of this one, with reference; NULL: it was deleted.
fb_user *fb_user_current(fb_node *node, const fb_user *user);
fb_user *fb_user_take(fb_user *user);
void fb_user_give(fb_user *user);  // NULL: nothing

// "" of NULL.
const char *fb_user_name(const fb_user *user);
// Whether nothing is kept from it: then nobody needs to ask.
bool fb_user_may_all(const fb_user *user);
// Whether it lets anybody in, with any password or none.
bool fb_user_is_open(const fb_user *user);
// By category and name alone; a right to one first argument (+select|0) does not count.
bool fb_user_may_run(const fb_user *user, const fb_command *command);
bool fb_user_may_key(const fb_user *user, fb_str key, unsigned access);
bool fb_user_may_all_keys(const fb_user *user);
// A command that is prepared (fb_command_prepare()); of the call, node, command and arguments are looked
// at. *object: what was denied, the key or channel, or args[0] where it is the command; a key that was
// computed is good until this thread asks the engine for something else. May be NULL.
fb_denial fb_user_check(const fb_user *user, const fb_command_call *call, fb_str *object);

// The keys of such a call, named or computed, and what is done with each. `fn` returns false to end the
// walk, which then returns false too; it must not ask the engine for anything. *unknown: what it reaches
// cannot be told before it runs. Nothing is told of a call whose words are wrong: it reaches nothing.
typedef bool (*fb_user_key_fn)(void *arg, fb_str key, unsigned access);
bool fb_user_keys(const fb_command_call *call, bool *unknown, fb_user_key_fn fn, void *arg);
// The one that a request's parameters make, in the same way. *unknown is set where it may turn out later,
// else left as it is.
bool fb_user_request_key(fb_engine *engine, const fb_request *request, unsigned access,
                         bool *unknown, fb_user_key_fn fn, void *arg);
// Of the command's first key, as a request to it has one key alone.
unsigned fb_user_access(const fb_command *command);
// Whether keys are nothing to it: neither named, nor reached without a name.
bool fb_user_is_keyless(const fb_command *command);

#ifdef __cplusplus
}
#endif

#endif
