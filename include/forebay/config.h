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

// A configuration with every option at its default. FB_ENOMEM.
FB_API FB_CHECK_RESULT int fb_config_new(fb_config **config);
FB_API void fb_config_free(fb_config *config);

// Reads YAML text over what is set. `file_name` is for messages, and paths in the text are relative
// to its folder. After an error the configuration is unchanged. FB_ESYNTAX, FB_EINVAL, FB_ERANGE.
FB_API FB_CHECK_RESULT int fb_config_read(fb_config *config, fb_str text, const char *file_name,
                                          fb_error *error);
// Sets one option by its path ("memory", "classes.package.ttl"), the value as YAML would have it.
FB_API FB_CHECK_RESULT int fb_config_set(fb_config *config, fb_str path, fb_str value,
                                         fb_error *error);
// Applies FOREBAY_* variables (FOREBAY_MEMORY, FOREBAY_LISTEN_RESP) and those named in the table
// from a NULL-terminated list of "NAME=value". A FOREBAY_ variable that names no option is refused.
FB_API FB_CHECK_RESULT int fb_config_environment(fb_config *config, const char *const *environment,
                                                 fb_error *error);
// What a .env file holds as such a list: comments, blank lines, `export`, quotes. Free it with
// fb_config_free_dotenv().
FB_API FB_CHECK_RESULT int fb_config_parse_dotenv(fb_str text, const char *file_name, char ***list,
                                                  fb_error *error);
FB_API void fb_config_free_dotenv(char **list);

// Checks what only the whole shows (every class has its source, no two classes share a key pattern).
FB_API FB_CHECK_RESULT int fb_config_check(const fb_config *config, fb_error *error);

// The value of one option as text, for CONFIG GET and messages. FB_MISS: no such option.
FB_API FB_CHECK_RESULT int fb_config_get(const fb_config *config, fb_str path, char *text,
                                         size_t text_size);
// Calls `fn` for every option in force, in the order of the tables.
typedef void (*fb_config_fn)(void *arg, fb_str path, fb_str value, fb_str default_value,
                             const char *unit, bool reloadable, const char *help);
FB_API FB_CHECK_RESULT int fb_config_walk(const fb_config *config, fb_config_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
