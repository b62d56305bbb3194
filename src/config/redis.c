// Where the shared tier is, and which of its options go together.
//
// There are two ways to say it, as an URL or by its parts, because programs that stand beside us in
// the same environment know one or the other. What both say at once is refused rather than guessed.

#include "base/error.h"
#include "base/str.h"
#include "config/settings.h"

#include <stdio.h>
#include <string.h>

enum { CLUSTER_AUTO, CLUSTER_YES, CLUSTER_NO };  // as the row has them

static bool is_set(const char *text) {
    return text != NULL && text[0] != '\0';
}

static int refuse(fb_error *error, const char **option, const char *at, const char *why) {
    *option = at;
    return fb_error_set(error, FB_ECONFLICT, "%s", why);
}

static void of_parts(const fb_redis_settings *redis, fb_redis_url *url) {
    *url = (fb_redis_url){.kind = FB_REDIS_ALONE, .host_count = 1, .db = redis->db};
    (void)snprintf(url->hosts[0].host, sizeof url->hosts[0].host, "%s", redis->host);
    url->hosts[0].port = (uint16_t)redis->port;
}

static int check_cluster(const fb_redis_settings *redis, fb_redis_url *url, const char **option,
                         fb_error *error) {
    if (redis->cluster == CLUSTER_NO && url->kind == FB_REDIS_CLUSTER) {
        return refuse(error, option, "cluster", "no, but redis.url says redis+cluster");
    }
    if (redis->cluster == CLUSTER_YES && url->kind == FB_REDIS_SENTINEL) {
        return refuse(error, option, "cluster", "yes, but redis.url is behind Sentinel");
    }
    if (redis->cluster == CLUSTER_YES && url->kind == FB_REDIS_ALONE) {
        url->kind = FB_REDIS_CLUSTER;
    }
    if (url->kind == FB_REDIS_CLUSTER && url->db != 0) {
        return refuse(error, option, redis->db != 0 ? "db" : "url",
                      "a cluster has database 0 alone");
    }
    if (url->kind == FB_REDIS_CLUSTER && url->path[0] != '\0') {
        return refuse(error, option, "cluster", "a cluster is not reached by a Unix socket");
    }
    return FB_OK;
}

static int check_tls(const fb_redis_settings *redis, const fb_redis_url *url, const char **option,
                     fb_error *error) {
    const char *first = is_set(redis->tls_ca)     ? "tls.ca"
                        : is_set(redis->tls_cert) ? "tls.cert"
                                                  : "tls.key";
    bool any = is_set(redis->tls_ca) || is_set(redis->tls_cert) || is_set(redis->tls_key);
    if (any && !url->tls) {
        return refuse(error, option, first, "needs a redis.url with TLS: rediss://");
    }
    if (is_set(redis->tls_cert) != is_set(redis->tls_key)) {
        bool has_cert = is_set(redis->tls_cert);
        return refuse(error, option, has_cert ? "tls.cert" : "tls.key",
                      has_cert ? "needs redis.tls.key: its private key"
                               : "needs redis.tls.cert: the certificate it belongs to");
    }
    return FB_OK;
}

static int read_url(const fb_redis_settings *redis, fb_redis_url *url, const char **option,
                    fb_error *error) {
    if (is_set(redis->url) && is_set(redis->host)) {
        return refuse(error, option, "host",
                      "redis.url is set too: one of them says where it is");
    }
    if (is_set(redis->host)) {
        of_parts(redis, url);
        return FB_OK;
    }
    *option = "url";
    int result = fb_redis_url_read(fb_str_of(redis->url), url, error);
    if (result == FB_OK && redis->db != 0) {
        if (url->db != 0 && url->db != redis->db) {
            return refuse(error, option, "db", "redis.url names another database");
        }
        url->db = redis->db;
    }
    return result;
}

int fb_settings_redis_url(const fb_redis_settings *redis, fb_redis_url *url, const char **option,
                          fb_error *error) {
    *option = "url";
    if (!is_set(redis->url) && !is_set(redis->host)) {
        return FB_MISS;
    }
    int result = read_url(redis, url, option, error);
    if (result == FB_OK) {
        result = check_cluster(redis, url, option, error);
    }
    if (result == FB_OK) {
        result = check_tls(redis, url, option, error);
    }
    if (result != FB_OK) {
        return result;
    }
    if (is_set(redis->user)) {
        (void)snprintf(url->user, sizeof url->user, "%s", redis->user);
    }
    if (is_set(redis->password)) {
        (void)snprintf(url->password, sizeof url->password, "%s", redis->password);
    }
    return FB_OK;
}
