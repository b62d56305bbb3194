// config/settings.h -- the configuration as the rest of the library reads it. The tables in
// settings.c and cache/options.c say what may be written; this is what comes out.

#ifndef FB_CONFIG_SETTINGS_H
#define FB_CONFIG_SETTINGS_H

#include <forebay/config.h>

#include "cache/options.h"
#include "limit/options.h"
#include "mail/options.h"
#include "queue/options.h"
#include "wire/redis_url.h"

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

// `redis.*`: the shared tier.
typedef struct fb_redis_settings {
    char *url;             // REDIS_URL too; NULL or "": see host
    char *host;            // REDIS_HOST; NULL or "" beside no url: there is no shared tier
    uint32_t port, db;     // REDIS_PORT 6379, REDIS_DB 0
    char *user, *password; // beside host, or over what the url says (REDIS_USER, REDIS_PASSWORD)
    int cluster;           // auto, yes, no
    char *tls_ca, *tls_cert, *tls_key;  // paths
    bool tls_verify;       // true
    char *name_space;      // `redis.namespace`, "forebay"
    uint32_t partitions;   // 64; the same on all nodes
    uint32_t pool;         // 10
    uint32_t log_max;      // 10,000
    int64_t connect_timeout_ns;            // 2s
    int64_t soft_timeout_ns;               // 5ms
    int64_t hard_timeout_ns;               // 50ms
    int64_t max_lag_ns;                    // 2s
    int64_t max_outage_ns;                 // 10m
    uint32_t outbox_max;                   // 100,000
} fb_redis_settings;

// `users.NAME.*`: who may do what.
typedef struct fb_user_options {
    char *name;
    bool off;
    bool no_password;       // any password will do
    char *password, *password_sha256;
    char **tokens;          // of the HTTP door
    size_t token_count;
    char **tokens_sha256;
    size_t token_sha256_count;
    char **commands;
    size_t command_count;
    char **keys;
    size_t key_count;
    char *file;             // where it stands
    uint32_t line, column;
} fb_user_options;

typedef struct fb_settings {
    char *listen_resp;         // "127.0.0.1:6380" unless set; "off"
    char *listen_http;         // "127.0.0.1:8080" unless set; "off"
    char *listen_socket;       // path of a Unix socket beside listen_resp; NULL or "": none
    char *listen_resp_tls;     // "off" unless set
    char *listen_http_tls;
    char *tls_cert, *tls_key;  // of these two doors: paths
    char *tls_ca;              // whom client certificates are checked by; NULL or "": the system's
    int tls_client_auth;       // off, optional, required
    int tls_min_version;       // 1.2, 1.3
    uint32_t connections_max;  // `listen.connections`, 10,000
    uint32_t loop_clients;     // `listen.loop_clients`, 64
    int64_t idle_ns;           // `listen.idle`, 0: for ever
    int64_t keepalive_ns;      // `listen.keepalive`, 5m
    uint64_t query_max;        // `listen.query`, 1GiB
    uint64_t bulk_max;         // `listen.bulk`, 512MiB
    uint64_t output_hard;      // `listen.output_hard`, 1GiB
    uint32_t tracking_keys_max;  // `listen.tracking_keys`, 1,000,000
    uint64_t output_soft;      // `listen.output_soft`, 64MiB, for `listen.output_time`, 1m
    int64_t output_time_ns;
    char *connect_limit;       // rule that new connections are asked of; NULL or "": none
    char *auth_limit;          // and attempts to sign in; "auth"
    uint64_t memory_bytes;     // 256MiB
    char *region_file;         // where the memory tier lies for other processes; NULL or "": private
    char *region_group;        // whose members may read it; NULL or "": this user alone
    bool region_keep;          // a start goes on with what is in it
    uint32_t loops;            // event loops; 0: one for each processor
    uint32_t workers;          // threads for what blocks; 0: 4, or as many as the sources'
                               // concurrency in all up to 32
    char **http_cors;          // origins
    size_t http_cors_count;
    char *http_prefix;         // the monitoring routes under this prefix as well; NULL or "": none
    int64_t http_idle_ns;      // `http.idle`, 1m
    int64_t http_timeout_ns;   // `http.timeout`, 10s
    uint64_t http_header_max;  // `http.max_header`, 64KiB
    uint64_t http_body_max;    // `http.max_body`, 64MiB
    uint64_t http_bodies_max;  // `http.max_bodies`, 256MiB
    int64_t drain_ns;          // 10s: how long a stop waits for what is under way
    int log_level;             // fb_log_level
    int log_format;            // auto (text on a terminal, else JSON), text, json
    int64_t slow_ns;           // loads slower than this are logged by class; 0: none
    fb_redis_settings redis;
    fb_source_options *sources;
    size_t source_count;
    fb_class_options *classes;
    size_t class_count;
    fb_limit_options *limits;  // those that are switched off, too
    size_t limit_count;
    fb_queue_store_options queue;
    fb_queue_options *queues;  // those that are switched off, too; so are schedules
    size_t queue_count;
    fb_schedule_options *schedules;
    size_t schedule_count;
    fb_mail_options mail;
    fb_otp_options otp;
    char *password;            // of the user `default`, unless that has one
    bool insecure;             // `listen.insecure`
    fb_user_options *users;
    size_t user_count;
} fb_settings;

extern const fb_option fb_settings_table[];
extern const fb_option fb_source_options_table[];
extern const fb_option fb_user_options_table[];

// What is there before anything is declared: rules of limits (the three of one-time codes too),
// queues, kinds of mail. FB_ENOMEM.
FB_CHECK_RESULT int fb_settings_add_builtins(fb_config *config);
// Works out what one option takes from another: a `memory_ttl` that nobody set follows a shorter
// `ttl`. Called after each change.
void fb_settings_finish(fb_config *config);
// Whether it is set: by a file, a variable or a call; not by a default, nor with what is built in.
bool fb_settings_is_set(const fb_config *config, fb_str path);
// What only the whole shows; see fb_config_check().
FB_CHECK_RESULT int fb_settings_check(const fb_config *config, fb_error *error);

// One user of those declared. FB_EINVAL, FB_ECONFLICT: `error` says what is wrong, and *option which
// option of it is (NULL: the whole).
FB_CHECK_RESULT int fb_user_options_check(const fb_user_options *user, const char **option,
                                          fb_error *error);

// Where the shared tier is, of url or host and what stands beside them. FB_MISS: there is none.
// FB_EINVAL, FB_ECONFLICT: `error` says what is wrong, and *option which option of `redis` is.
FB_CHECK_RESULT int fb_settings_redis_url(const fb_redis_settings *redis, fb_redis_url *url,
                                          const char **option, fb_error *error);
// What fb_config_get() does not show: the value of a secret option ("" where it is not set).
// FB_MISS: it is none. Good until the configuration changes.
FB_CHECK_RESULT int fb_config_secret(const fb_config *config, fb_str path, const char **secret);

// An option that was elsewhere in earlier versions: where it is now, or NULL.
const char *fb_settings_moved(fb_str path);

// Good until the configuration changes or is freed.
const fb_settings *fb_config_settings(const fb_config *config);

#ifdef __cplusplus
}
#endif

#endif
