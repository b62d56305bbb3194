// daemon/configure.h -- where the configuration comes from: a file, .env beside it, the
// environment. Who comes later wins: defaults, file, .env, environment, command line.

#ifndef FB_DAEMON_CONFIGURE_H
#define FB_DAEMON_CONFIGURE_H

#include <forebay/forebay.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_configure {
    const char *path;  // NULL: FOREBAY_CONFIG, else forebay.yaml where there is one, else none
    const char *const *settings;  // "memory=64MiB" from the command line
    size_t setting_count;
    bool keep_memory;  // region.keep, whatever is set
    bool insecure;     // listen.insecure, likewise
} fb_configure;

enum { FB_CONFIGURE_PATH_SIZE = 4096 };

// FB_OK, or an error with its place. `used` (may be NULL; FB_CONFIGURE_PATH_SIZE bytes) says which
// file was read, "" for none.
FB_CHECK_RESULT int fb_configure_read(const fb_configure *how, fb_config **config, char *used,
                                      size_t used_size, fb_error *error);

// "catalogue.yaml:14:10: classes.package.ttl: …", as compilers say it.
void fb_configure_show_error(const fb_error *error, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif

#endif
