// node/command.h -- the command table: what a RESP client may say, and who answers.
//
// One table drives look-up, arity errors, flags, help and COMMAND. A handler writes one reply to
// call->reply, never protocol bytes. With a shared tier a call of the engine may wait (node/errand.h):
// a handler of a command that reads or writes keys must not touch call->session after one. Threads: the table is constant; handlers run on the loops,
// many at once.

#ifndef FB_NODE_COMMAND_H
#define FB_NODE_COMMAND_H

#include "node/node.h"
#include "node/reply.h"

#ifdef __cplusplus
extern "C" {
#endif

// The Redis whose replies these are; clients choose their features by it.
#define FB_REDIS_VERSION "7.0.15"
// What stays in memory: S3-FIFO, which counts how often each key is read. Redis's word for that.
#define FB_MEMORY_POLICY "allkeys-lfu"

typedef struct fb_command fb_command;

typedef struct fb_command_call {
    fb_node *node;
    struct fb_session *session;
    const fb_command *command;
    const fb_str *args;  // args[0] is the name; of a subcommand args[1] too
    size_t arg_count;
    fb_reply *reply;
    // FB_OK; FB_PENDING: the reply comes later, by the call's slot (session_state.h); FB_ECLOSED:
    // close after this reply.
    int outcome;
} fb_command_call;

typedef void (*fb_command_fn)(fb_command_call *call);

enum {  // flags, in the order in which COMMAND names them
    FB_COMMAND_WRITE = 1,
    FB_COMMAND_READONLY = 2,
    FB_COMMAND_DENYOOM = 4,
    FB_COMMAND_ADMIN = 8,
    FB_COMMAND_NOSCRIPT = 16,
    FB_COMMAND_LOADING = 32,
    FB_COMMAND_STALE = 64,
    FB_COMMAND_FAST = 128,
    FB_COMMAND_NOAUTH = 256,
    FB_COMMAND_MOVABLEKEYS = 512,
    FB_COMMAND_ALLOW_BUSY = 1024,
    FB_COMMAND_SKIP_SLOWLOG = 2048,
    // Not named:
    FB_COMMAND_OVERLAP = 4096,   // may begin while replies before it are still to come
    FB_COMMAND_AT_ONCE = 8192,   // is not queued between MULTI and EXEC
    FB_COMMAND_ALONE = 16384,    // refused between MULTI and EXEC
    FB_COMMAND_LATER = 32768,    // takes a slot of its own, and does not wait
    FB_COMMAND_PUBSUB = 131072,  // this one is named
    FB_COMMAND_WAITS = 65536,    // may wait without a shared tier, too
};

struct fb_command {
    const char *name;   // as COMMAND shows it: small letters, without the parent's
    fb_command_fn run;  // NULL: a word that only subcommands follow
    int16_t arity;      // the name included; < 0: at least so many
    int8_t first_key, last_key, key_step;  // last_key < 0: counted from the end
    uint32_t flags;
    const char *categories;  // "read string": after each an '@' is understood
    const char *group;
    const char *since;
    const char *syntax;  // the arguments as people read them
    const char *summary;
    const fb_command *subcommands;  // ended by one without a name
};

// NULL: no such command. Case does not matter.
const fb_command *fb_command_find(fb_str name);
const fb_command *fb_command_find_sub(const fb_command *parent, fb_str name);
// The table in its order; NULL after the last.
const fb_command *fb_command_at(size_t index);
size_t fb_command_count(void);
bool fb_command_arity_fits(const fb_command *command, size_t arg_count);
// Finds the subcommand, checks the number of arguments and fills in call->command (NULL: unknown),
// which may then be run. false: the reply says what is wrong. `found` is what fb_command_find() gave
// for args[0], which the caller has looked at already.
bool fb_command_prepare(fb_command_call *call, const fb_command *found);
// "client|list".
enum { FB_COMMAND_NAME_SIZE = 40 };
const char *fb_command_full_name(const fb_command *command, char text[FB_COMMAND_NAME_SIZE]);

// ---- what handlers share

bool fb_command_word(const fb_command_call *call, size_t index, const char *word);
// Whether a pattern matches the name of a command or an option, in any case. No name, and so no pattern of
// use, is longer than 256 bytes.
bool fb_command_name_matches(fb_str pattern, fb_str name);
// An argument as an integer; says so and returns false where it is none.
bool fb_command_int(fb_command_call *call, size_t index, int64_t *number);
// Whether it is 0, the one database that there is.
bool fb_command_db(fb_command_call *call, size_t index);
// The longest string that a command may make, in bytes: as long as an argument (listen.bulk).
uint64_t fb_command_string_max(const fb_command_call *call);
// Arguments from `index` on as names and values; says so and returns false where they are no pairs,
// or too many.
enum { FB_COMMAND_PARAMS_MAX = 64 };
bool fb_command_params(fb_command_call *call, size_t index, fb_param params[FB_COMMAND_PARAMS_MAX],
                       size_t *count);
void fb_command_syntax_error(fb_command_call *call);
// Of a subcommand that has too many words, as Redis says it of some.
void fb_command_wrong_form(fb_command_call *call);
// The reply for what a call of the engine returned (< 0).
void fb_command_failed(fb_command_call *call, int result, const fb_error *error);
// The code word of such a reply: "TIMEOUT", "NOCLASS" …
const char *fb_command_code(int result);
// CONFIG HELP and its kin: a title, and two lines a command.
void fb_command_help_lines(fb_reply *reply, const fb_command *command);
void fb_command_help(fb_command_call *call, const char *title, const fb_command *first);

#ifdef __cplusplus
}
#endif

#endif
