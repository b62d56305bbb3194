// The keys of commands, and what is done with each: what rights are asked by. This is the one place that
// tells them, named, computed or neither.
//
// Which words are keys is told by node/command_keys.h. What is done with them is Redis 7.0's, by its key
// specifications: what a command of the table reads, it may read, what it writes, it may write, and
// the rows here are those where that is not all of it. SET is the one whose words decide (GET makes
// it read as well). tests/system asks a Redis server the same questions.
//
// FB.FETCH and its kin name a class and parameters, of which the engine makes the key, here as when it
// fetches. To load is to read: the cache has then what its source has, and the caller chooses no part
// of it; so FB.WARM reads, and REFRESH is no more than FB.FETCH. Where the parameters make no key (there
// is no such class, one is missing), the command reaches none, and runs: its answer is what is wrong.
//
// A reload between the question and the fetch may give the class another key. The two follow each other on
// one thread without a wait, so it has to fall between them, a few microseconds; what is read then is, once,
// a value of the class of that name for those parameters. To rule that out as well, every fetch of every
// user would have to carry the key it was asked by.

#include "node/user.h"

#include <string.h>

#include "base/rule.h"
#include "base/str.h"
#include "node/cache_words.h"
#include "node/command_keys.h"

enum { NONE = FB_ACCESS_NONE, R = FB_ACCESS_READ, W = FB_ACCESS_WRITE };

typedef struct walk walk;

// false: `fn` has ended it.
typedef bool (*walk_fn)(walk *w);

typedef struct access_row {
    const char *name;
    unsigned first, rest;  // of the first key, and of those behind it
    walk_fn walk;          // NULL: along the named keys
} access_row;

struct walk {
    fb_command_call call;  // its reply is heard by nobody
    access_row row;
    fb_user_key_fn fn;
    void *arg;
    bool unknown;
};

// ---- keys that are named

// What is wrong the command says itself, and does nothing.
static bool walk_named(walk *w) {
    fb_key_places keys;
    if (!fb_command_keys(&w->call, &keys)) {
        return true;
    }
    for (size_t i = 0; i < keys.count; i++) {
        fb_str key = w->call.args[keys.first + i * keys.step];
        if (!w->fn(w->arg, key, i == 0 ? w->row.first : w->row.rest)) {
            return false;
        }
    }
    return true;
}

static bool walk_set(walk *w) {
    for (size_t i = 3; i < w->call.arg_count; i++) {
        if (fb_command_word(&w->call, i, "GET")) {
            w->row.first = R | W;
        }
    }
    return walk_named(w);
}

static bool walk_invalidate(walk *w) {
    fb_invalidate_words words;
    if (fb_cache_words_invalidate(&w->call, &words)) {
        w->unknown = words.what.scope != FB_SCOPE_KEY;
    }
    return walk_named(w);
}

// ---- keys that are computed

typedef struct visit {
    unsigned access;
    fb_user_key_fn fn;
    void *arg;
    bool ended;
} visit;

static void visit_key(void *arg, fb_str key) {
    visit *one = arg;
    one->ended = !one->fn(one->arg, key, one->access);
}

bool fb_user_request_key(fb_engine *engine, const fb_request *request, unsigned access,
                         bool *unknown, fb_user_key_fn fn, void *arg) {
    visit one = {.access = access, .fn = fn, .arg = arg};
    if (!FB_RULE(user_computed)) {
        return true;
    }
    int result = fb_fetch_key(engine, request, visit_key, &one, NULL);
    // What failed for another reason than the words (no memory) may succeed when it is fetched.
    if (result < 0 && result != FB_ENOCLASS && result != FB_EINVAL) {
        *unknown = true;
    }
    return !one.ended;
}

static bool walk_request(walk *w, const fb_request *request) {
    return fb_user_request_key(w->call.node->engine, request, w->row.first, &w->unknown, w->fn,
                               w->arg);
}

static bool walk_fetch(walk *w) {
    fb_fetch_words words;
    return !fb_cache_words_fetch(&w->call, &words) || walk_request(w, &words.request);
}

static bool walk_key(walk *w) {
    fb_fetch_words words;
    return !fb_cache_words_key(&w->call, &words) || walk_request(w, &words.request);
}

static bool walk_mfetch(walk *w) {
    fb_mfetch_words words;
    fb_param params[FB_COMMAND_PARAMS_MAX];
    if (!fb_cache_words_mfetch(&w->call, &words)) {
        return true;
    }
    fb_request request = words.request;
    request.params = params;
    request.param_count = words.name_count;
    for (size_t i = 0; i < words.row_count; i++) {
        fb_cache_words_row(&words, i, params);
        if (!walk_request(w, &request)) {
            return false;
        }
    }
    return true;
}

// Without parameters: what its class declares, or what was read most, whose keys nobody knows yet.
static bool walk_warm(walk *w) {
    fb_warm_words words;
    if (!fb_cache_words_warm(&w->call, &words)) {
        return true;
    }
    if (words.top || words.fetch.request.param_count == 0) {
        w->unknown = true;
        return true;
    }
    return walk_request(w, &words.fetch.request);
}

// ---- the rows

static const access_row ROWS[] = {
    {"copy", R, W, NULL},
    {"decr", R | W, NONE, NULL},
    {"decrby", R | W, NONE, NULL},
    {"exists", NONE, NONE, NULL},
    {"fb.fetch", R, NONE, walk_fetch},
    {"fb.invalidate", W, W, walk_invalidate},
    {"fb.key", NONE, NONE, walk_key},
    {"fb.mfetch", R, NONE, walk_mfetch},
    {"fb.warm", R, NONE, walk_warm},
    {"getdel", R | W, NONE, NULL},
    {"getex", R | W, NONE, NULL},
    {"getset", R | W, NONE, NULL},
    {"incr", R | W, NONE, NULL},
    {"incrby", R | W, NONE, NULL},
    {"incrbyfloat", R | W, NONE, NULL},
    {"rename", R | W, W, NULL},
    {"renamenx", R | W, W, NULL},
    {"set", W, NONE, walk_set},
    {"setbit", R | W, NONE, NULL},
    {"strlen", NONE, NONE, NULL},
    {"touch", NONE, NONE, NULL},
    {"type", NONE, NONE, NULL},
    {"watch", NONE, NONE, NULL},
    // Subcommands of OBJECT and MEMORY, which have no other namesakes.
    {"encoding", NONE, NONE, NULL},
    {"freq", NONE, NONE, NULL},
    {"idletime", NONE, NONE, NULL},
    {"refcount", NONE, NONE, NULL},
    {"usage", NONE, NONE, NULL},
};

static access_row row_of(const fb_command *command) {
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (strcmp(ROWS[i].name, command->name) == 0) {
            return ROWS[i];
        }
    }
    bool writes = (command->flags & FB_COMMAND_WRITE) != 0;
    bool reads = (command->flags & FB_COMMAND_READONLY) != 0;
    unsigned access = writes ? W : reads ? R : R | W;
    return (access_row){command->name, access, access, NULL};
}

unsigned fb_user_access(const fb_command *command) {
    return row_of(command).first;
}

static bool is_ours(const fb_command *command) {
    return strcmp(command->group, "forebay") == 0;
}

// Of forebay's own, what neither reads nor writes tells of figures and settings; but where the memory
// of all keys is to be found, and which keys of a rule are denied most, is no such thing.
static bool tells_of_keys(const fb_command *command) {
    return strcmp(command->name, "fb.region") == 0 || strcmp(command->name, "fb.rules") == 0;
}

bool fb_user_is_keyless(const fb_command *command) {
    bool touches = (command->flags & (FB_COMMAND_READONLY | FB_COMMAND_WRITE)) != 0 ||
                   tells_of_keys(command);
    return command->first_key == 0 && (command->flags & FB_COMMAND_MOVABLEKEYS) == 0 &&
           !(is_ours(command) && touches);
}

// ---- all of them

bool fb_user_keys(const fb_command_call *call, bool *unknown, fb_user_key_fn fn, void *arg) {
    const fb_command *command = call->command;
    fb_reply unheard;
    walk w = {.call = *call, .row = row_of(command), .fn = fn, .arg = arg};
    fb_reply_init_unheard(&unheard);
    w.call.reply = &unheard;
    bool named = command->first_key != 0 || (command->flags & FB_COMMAND_MOVABLEKEYS) != 0;
    if (w.row.walk == NULL && !named) {
        *unknown = !fb_user_is_keyless(command);
        return true;
    }
    bool walked = w.row.walk != NULL ? w.row.walk(&w) : walk_named(&w);
    *unknown = w.unknown;
    return walked;
}
