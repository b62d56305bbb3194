// node/users.h -- the set of users in force, and what it turned away.
//
// Threads: any, under a lock of its own; held briefly.

#ifndef FB_NODE_USERS_H
#define FB_NODE_USERS_H

#include "base/buf.h"
#include "node/user_state.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_users fb_users;

enum { FB_USERS_MAX = 10000, FB_USERS_LOG_MAX = 128, FB_USERS_LOG_OBJECT_MAX = 256 };

// With "default" alone, which may do anything. NULL: no memory.
fb_users *fb_users_new(void);
void fb_users_free(fb_users *users);

// The set that the configuration says: `users` and `password`. FB_EINVAL and others: `error` has the
// place. NULL for `config`: as fb_users_new().
FB_CHECK_RESULT int fb_users_read(const fb_config *config, fb_users **users, fb_error *error);
// Puts what is in `users` in force, and frees it: users of a name that was there before are still who
// they were, and changed or gone for those that signed in as them. The log stays.
void fb_users_put(fb_node *node, fb_users *users);

// By name, with reference; NULL: none.
fb_user *fb_users_find(fb_node *node, fb_str name);
// All of them by name, each with reference: an array of *count, to be given and freed. FB_ENOMEM.
FB_CHECK_RESULT int fb_users_list(fb_node *node, fb_user ***list, size_t *count);
// ACL SETUSER: a new one, or a change, all of it or nothing. FB_EINVAL: *wrong is the place of the
// word at fault in `words`. FB_ETOOBIG: there are too many. FB_ENOMEM.
FB_CHECK_RESULT int fb_users_set(fb_node *node, fb_str name, const fb_str *words, size_t count,
                                 size_t *wrong, fb_error *error);
// FB_OK, FB_MISS. Not for "default".
FB_CHECK_RESULT int fb_users_delete(fb_node *node, fb_str name);

// ---- the log

typedef struct fb_users_event {
    const char *reason;   // "command", "key", "auth"
    const char *context;  // "toplevel", "multi", "http"
    fb_str object;
    fb_str user;
    fb_str client;  // as CLIENT INFO tells of it
} fb_users_event;

typedef struct fb_users_entry {
    uint64_t count;
    const char *reason, *context;
    char *object, *user, *client;
    size_t object_len;
    int64_t at_us;
} fb_users_entry;

// One more; what is the same as an entry of the last minute counts there. Without memory it is left
// out.
void fb_users_note(fb_node *node, const fb_users_event *event);
// The newest first, at most `max`; copies, to be freed by fb_users_entries_free(). FB_ENOMEM.
FB_CHECK_RESULT int fb_users_entries(fb_node *node, size_t max, fb_users_entry **entries,
                                     size_t *count);
void fb_users_entries_free(fb_users_entry *entries, size_t count);
void fb_users_forget(fb_node *node);

#ifdef __cplusplus
}
#endif

#endif
