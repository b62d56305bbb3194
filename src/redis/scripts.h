// redis/scripts.h -- the scripts of src/redis/lua/, as tools/embed-lua puts them into the program.
//
// Each declares all keys that it touches, and they lie in one slot (but those of `state` outside of
// a Cluster). Threads: constants.

#ifndef FB_REDIS_SCRIPTS_H
#define FB_REDIS_SCRIPTS_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FB_SCRIPTS(X)                                                                              \
    X(add) X(bump) X(commit) X(dictionary) X(drop) X(epoch) X(expire) X(fill) X(get) X(limit) X(limit_slot) \
    X(log) X(mark) X(nodes) X(plain_add) X(plain_drop) X(plain_expire) X(plain_fill) X(plain_get)  \
    X(plain_set) X(queue_add) X(queue_cancel) X(queue_extend) X(queue_fail) X(queue_get)           \
    X(queue_import) X(queue_kick) X(queue_list) X(queue_look) X(queue_mark) X(queue_pause)         \
    X(queue_purge) X(queue_release) X(queue_take) X(set) X(stamps) X(state)

typedef enum fb_script_name {
#define FB_SCRIPT_ENUM(name) FB_SCRIPT_##name,
    FB_SCRIPTS(FB_SCRIPT_ENUM)
#undef FB_SCRIPT_ENUM
    FB_SCRIPT_COUNT
} fb_script_name;

typedef struct fb_script {
    const char *name;
    const char *sha1;  // 40 hex digits, of the text
    fb_str text;
} fb_script;

// A test takes rules out of their texts (as base/rule.h does of code).
#ifdef FB_MUTATIONS
#define FB_SCRIPT_FIXED
#else
#define FB_SCRIPT_FIXED const
#endif
extern FB_SCRIPT_FIXED fb_script fb_scripts[FB_SCRIPT_COUNT];

#ifdef __cplusplus
}
#endif

#endif
