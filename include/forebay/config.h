// forebay/config.h -- configuration: one YAML text, the environment, or set option by option.
//
// All of it is checked as it is read: an unknown option, a wrong unit, a value out of range or a
// class without its source is refused with file, line and column. docs/configuration.md lists every
// option; it is made from the same tables. Threads: one thread at a time on one fb_config.

#ifndef FOREBAY_CONFIG_H
#define FOREBAY_CONFIG_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_config fb_config;

// A configuration with every option at its default; rules of limits are in it: generation, api,
// improvement, auth, and those of one-time codes. FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_config_new(fb_config **config);
FB_API void fb_config_free(fb_config *config);
// A copy of its own, to be changed and freed. FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_config_copy(const fb_config *config, fb_config **copy);

// Reads YAML text over what is set: classes and sources of the same name are changed, others added.
// `file_name` is for messages, and paths in the text are relative to its folder; it may be NULL.
// One document; anchors, aliases and merge keys work; tags do not. After an error the configuration
// is unchanged. FB_ESYNTAX, FB_EINVAL, FB_ERANGE, FB_ETOOBIG (more than 1 MiB, nested too deep),
// FB_ENOMEM; `error` has file, line and column beside the text.
FB_API FB_CHECK_RESULT int fb_config_read(fb_config *config, fb_str text, const char *file_name,
                                          fb_error *error);
// Sets one option by its path ("memory", "classes.package.ttl"). A single value is the text itself,
// without quotes; a list is written as in YAML ("[trim, casefold]"), or as its one item; a class or
// a section may be written as a YAML map. Paths in it are relative to the working folder. A class
// or source that is not there yet is made. Errors as above, without a place.
FB_API FB_CHECK_RESULT int fb_config_set(fb_config *config, fb_str path, fb_str value,
                                         fb_error *error);
// Applies the FOREBAY_* variables of a NULL-terminated list of "NAME=value": an option's path in
// capitals with "_" for "." (FOREBAY_MEMORY, FOREBAY_LISTEN_RESP, FOREBAY_CLASSES_PACKAGE_TTL), its
// value as for fb_config_set(). Classes, sources, limits, queues … must be there already. An empty
// value counts as not set. REDIS_URL, or else REDIS_HOST, REDIS_PORT and REDIS_DB, and REDIS_USER and
// REDIS_PASSWORD are taken too, as FOREBAY_REDIS_URL … where those are not set; SMTP_URL makes the
// mail relay "main". A FOREBAY_ variable that names no option is refused, or could name several,
// except those of the program itself (FOREBAY_CONFIG, FOREBAY_URL, FOREBAY_USER). All of the list is applied, or
// nothing.
FB_API FB_CHECK_RESULT int fb_config_environment(fb_config *config, const char *const *environment,
                                                 fb_error *error);
// What a .env file holds as such a list: comments, blank lines, `export`, quotes. Free it with
// fb_config_free_dotenv(). Of two lines for one name the later counts. FB_ESYNTAX with file, line
// and column; FB_ETOOBIG (more than 1 MiB); FB_ENOMEM.
// The order of calls says who wins, and the real environment should: read the file, apply the
// list of the .env file, then the list of the environment, then what the command line says.
FB_API FB_CHECK_RESULT int fb_config_parse_dotenv(fb_str text, const char *file_name, char ***list,
                                                  fb_error *error);
FB_API void fb_config_free_dotenv(char **list);

// Checks what only the whole shows: every class has its key, its source is declared and its query
// is there, times fit each other, no two classes share a key pattern, limits have their numbers.
// Queries themselves, and time zones, are checked by fb_check(). FB_EINVAL, FB_ERANGE, FB_ENOSOURCE,
// FB_ENOLIMIT, FB_ECONFLICT; `error` has the place.
FB_API FB_CHECK_RESULT int fb_config_check(const fb_config *config, fb_error *error);

// The value of one option as text, for CONFIG GET and messages; empty where it is not set. Passwords
// are "***", in an URL with the user ("redis://***@host"), here and in fb_config_walk(). FB_MISS:
// no such option. FB_ETOOBIG: `text` is too short. FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_config_get(const fb_config *config, fb_str path, char *text,
                                         size_t text_size);
// Calls `fn` for every option in force, in the order of the tables. `value` is what fb_config_set()
// takes; its ptr is NULL where the option is not set, and default_value's where it has no default.
// `unit` is what kind of value it is ("duration", "one of xxh128, md5"). The bytes are good until
// `fn` returns.
typedef void (*fb_config_fn)(void *arg, fb_str path, fb_str value, fb_str default_value,
                             const char *unit, bool reloadable, const char *help);
FB_API FB_CHECK_RESULT int fb_config_walk(const fb_config *config, fb_config_fn fn, void *arg);

// The users that it declares, each as the words of which it is made ("on", ">password", "~user:*",
// "+@read": docs/users.md), with the option that each comes from and where that stands (`file` NULL:
// nowhere). Among them are passwords: they are not for people's eyes. `default` is always one. `fn`
// is called for one user after the other; it stops at the first result that is not FB_OK, and returns
// that. FB_ENOMEM.
typedef struct fb_config_rule {
    fb_str word;
    const char *option;  // of the user: "commands"
    const char *file;
    uint32_t line, column;
} fb_config_rule;
typedef int (*fb_config_user_fn)(void *arg, const char *name, const fb_config_rule *rules,
                                 size_t count);
FB_API FB_CHECK_RESULT int fb_config_users(const fb_config *config, fb_config_user_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
