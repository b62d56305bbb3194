// node/user_rules.h -- the words of which users are made, as Redis's ACL SETUSER has them:
//
//   on off                     whether it may sign in (who has, stays)
//   >secret <secret            adds, takes away a password; #hash !hash the same by its SHA-256 in hex
//   nopass resetpass           any password will do; none does
//   +name -name +name|sub      a command, or a subcommand; +name|word: with this first argument
//   +@category -@category      all of one; allcommands, nocommands for +@all, -@all
//   ~pattern                   keys to read and write; %R~pattern to read, %W~pattern to write
//   allkeys resetkeys          "~*"; none
//   &pattern allchannels resetchannels  channels, of which there is one, __redis__:invalidate
//   token>secret token<secret  a bearer token; token#hash token!hash by its SHA-256; resettokens
//   reset                      as a new one: off, no password, no token, no right
//
// Threads: any.

#ifndef FB_NODE_USER_RULES_H
#define FB_NODE_USER_RULES_H

#include "base/buf.h"
#include "node/user_state.h"

#ifdef __cplusplus
extern "C" {
#endif

// Applies one word. FB_EINVAL: `error` has why, in Redis's words, without the word itself (which may
// be a password). FB_ENOMEM. The user may be half changed then: work on a copy.
FB_CHECK_RESULT int fb_user_rule(fb_user *user, fb_str word, fb_error *error);
// Whether a word holds a secret, so that it is not to be shown.
bool fb_user_rule_is_secret(fb_str word);

// "-@all +@read +get". FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_user_show_commands(const fb_user *user, fb_buf *out);
// "~user:* %R~session:*", "~*".
FB_CHECK_RESULT int fb_user_show_keys(const fb_user *user, fb_buf *out);
FB_CHECK_RESULT int fb_user_show_channels(const fb_user *user, fb_buf *out);
// "user web on #… ~user:* resetchannels -@all +get": the words that make it again.
FB_CHECK_RESULT int fb_user_show(const fb_user *user, fb_buf *out);
void fb_user_hash_hex(const fb_user_hash *hash, char text[2 * FB_USER_HASH_LEN + 1]);

// The names of the categories, without '@'; NULL after the last.
const char *fb_user_category(size_t index);
bool fb_user_is_category(fb_str name);
// Without regard to case.
bool fb_user_in_category(const fb_command *command, fb_str category);

#ifdef __cplusplus
}
#endif

#endif
