// wire/redis_url.h -- where a Redis or Valkey is, as one text.
//
//   redis://[user[:password]@]host[:port][/db]       rediss:// the same with TLS
//   unix://[user[:password]@]/path/to/socket[?db=N]  redis+unix:// is the same
//   redis+sentinel://[user[:password]@]host[:port],host[:port]…/service[/db]
//   redis+cluster://[user[:password]@]host[:port],host[:port]…
// and rediss+sentinel://, rediss+cluster:// with TLS. "valkey" may stand for "redis" in them all.
//
// User, password, service and path may be percent-encoded, and must be where they hold one of
// /?#@:% or a blank. ":password@" and "password@" are the default user's. Host may be an IPv6
// address in brackets. Query parameters: `db`, `user`, `password`, and for Sentinel `sentinel_user`
// and `sentinel_password`; others are refused, and so is what is said twice. redis:// may turn out
// to be a cluster when it is asked (option `redis.cluster: auto`).
//
// Threads: none of its own. Pure.

#ifndef FB_WIRE_REDIS_URL_H
#define FB_WIRE_REDIS_URL_H

#include <forebay/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_redis_kind { FB_REDIS_ALONE, FB_REDIS_SENTINEL, FB_REDIS_CLUSTER } fb_redis_kind;

enum {
    FB_REDIS_HOSTS_MAX = 32,
    FB_REDIS_TEXT_MAX = 256,  // with the NUL
    FB_REDIS_PORT = 6379,
    FB_REDIS_SENTINEL_PORT = 26379
};

typedef struct fb_redis_host {
    char host[FB_REDIS_TEXT_MAX];
    uint16_t port;
} fb_redis_host;

typedef struct fb_redis_url {
    fb_redis_kind kind;
    bool tls;
    char path[FB_REDIS_TEXT_MAX];  // of a Unix socket; else empty
    fb_redis_host hosts[FB_REDIS_HOSTS_MAX];
    uint32_t host_count;
    char user[FB_REDIS_TEXT_MAX];      // empty: the default user
    char password[FB_REDIS_TEXT_MAX];  // empty: none
    char service[FB_REDIS_TEXT_MAX];   // of Sentinel
    char sentinel_user[FB_REDIS_TEXT_MAX], sentinel_password[FB_REDIS_TEXT_MAX];
    uint32_t db;
} fb_redis_url;

// FB_OK; FB_EINVAL: `error` says what is wrong at which column of the text, and shows nothing of
// the text itself, where a password may be anywhere.
FB_CHECK_RESULT int fb_redis_url_read(fb_str text, fb_redis_url *url, fb_error *error);
// The same without users and passwords, for logs and pages: "redis://cache.internal:6379/2". Cut
// where it does not fit; returns `text`.
const char *fb_redis_url_show(const fb_redis_url *url, char *text, size_t text_size);

#ifdef __cplusplus
}
#endif

#endif
