// config/settings.h -- the configuration as the rest of the library reads it. The tables in
// settings.c and cache/options.c say what may be written; this is what comes out.

#ifndef FB_CONFIG_SETTINGS_H
#define FB_CONFIG_SETTINGS_H

#include <forebay/config.h>

#include "cache/options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_source_options {
    char *name;
    char *sqlite;          // path of the database
    uint32_t concurrency;  // loads at once; 4
    uint32_t queue;        // loads that may wait for that; 1,024
    char *file;            // where it stands
    uint32_t line, column;
} fb_source_options;

typedef struct fb_settings {
    char *listen_resp;         // "127.0.0.1:6380" unless set; "off"
    char *listen_http;         // "127.0.0.1:8080" unless set; "off"
    char *listen_socket;       // path of a Unix socket beside listen_resp; NULL or "": none
    uint64_t memory_bytes;     // 256MiB
    char *region_file;         // where the memory tier lies for other processes; NULL or "": private
    char *region_group;        // whose members may read it; NULL or "": this user alone
    bool region_keep;          // a start goes on with what is in it
    uint32_t loops;            // event loops; 0: one for each processor
    uint32_t workers;          // threads for what blocks; 0: 4, or as many as the sources'
                               // concurrency in all up to 32
    char *http_prefix;         // the monitoring routes under this prefix as well; NULL or "": none
    uint32_t connections_max;  // 10,000
    int64_t drain_ns;          // 10s: how long a stop waits for what is under way
    int log_level;             // fb_log_level
    int log_format;            // auto (text on a terminal, else JSON), text, json
    int64_t slow_ns;           // loads slower than this are logged by class; 0: none
    fb_source_options *sources;
    size_t source_count;
    fb_class_options *classes;
    size_t class_count;
} fb_settings;

extern const fb_option fb_settings_table[];
extern const fb_option fb_source_options_table[];

// Works out what one option takes from another: a `memory_ttl` that nobody set follows a shorter
// `ttl`. Called after each change.
void fb_settings_finish(fb_config *config);
// What only the whole shows; see fb_config_check().
FB_CHECK_RESULT int fb_settings_check(const fb_config *config, fb_error *error);

// Good until the configuration changes or is freed.
const fb_settings *fb_config_settings(const fb_config *config);
// A copy of its own, to be freed.
FB_CHECK_RESULT int fb_config_copy(const fb_config *config, fb_config **copy);

#ifdef __cplusplus
}
#endif

#endif
