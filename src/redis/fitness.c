// Every server is asked for its INFO when the route comes up, and what of it does not suit a shared
// tier is said in a sentence. What may not be asked (an ACL) is not known, and nothing is said.

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/remote_state.h"

enum { MAJOR_MIN = 7 };

typedef struct check {
    fb_remote *remote;
    char name[192];
} check;

// The value of a line "name:value", or an empty one.
static fb_str field(fb_str info, const char *name) {
    size_t name_len = strlen(name);

    while (info.len > 0) {
        size_t len = fb_str_find(info, '\n');
        fb_str line = fb_str_trim(fb_str_make(info.ptr, len));
        if (line.len > name_len && line.ptr[name_len] == ':' &&
            memcmp(line.ptr, name, name_len) == 0) {
            return fb_str_make(line.ptr + name_len + 1, line.len - name_len - 1);
        }
        size_t used = len < info.len ? len + 1 : len;
        info = fb_str_make(info.ptr + used, info.len - used);
    }
    return FB_STR("");
}

FB_PRINTF(2, 3) static void unfit(fb_redis *redis, const char *format, ...) {
    char text[sizeof redis->status.unfit[0]];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&redis->lock);
    uint32_t count = redis->status.unfit_count;
    bool known = false;
    for (uint32_t i = 0; i < count; i++) {
        known = known || strcmp(redis->status.unfit[i], text) == 0;
    }
    if (!known && count < FB_REDIS_UNFIT_MAX) {
        memcpy(redis->status.unfit[count], text, sizeof text);
        redis->status.unfit_count++;
    }
    pthread_mutex_unlock(&redis->lock);
}

void fb_fitness_judge(fb_redis *redis, const char *name, fb_str info) {
    fb_str valkey = field(info, "valkey_version");
    fb_str version = valkey.len > 0 ? valkey : field(info, "redis_version");
    const char *software = valkey.len > 0 ? "valkey" : "redis";
    fb_str policy = field(info, "maxmemory_policy");
    int64_t major = 0;

    if (fb_str_int(fb_str_make(version.ptr, fb_str_find(version, '.')), &major) == FB_OK &&
        major < MAJOR_MIN) {
        unfit(redis, "%s runs %s %.*s; %d.0 or later is needed", name, software,
              FB_STR_ARG(version), MAJOR_MIN);
    }
    if (fb_str_starts(policy, FB_STR("allkeys-"))) {
        unfit(redis, "%s may evict logs and counters (maxmemory-policy %.*s); volatile-lru or "
              "noeviction would be safe", name, FB_STR_ARG(policy));
    }
    // A Cluster has them on purpose, and a master that hands over is one from then on.
    bool clustered = fb_str_equal(field(info, "cluster_enabled"), FB_STR("1"));
    fb_str role = field(info, "role");
    if (!clustered &&
        (fb_str_equal(role, FB_STR("slave")) || fb_str_equal(role, FB_STR("replica")))) {
        unfit(redis, "%s is a replica and takes no writes", name);
    }
}

static void on_info(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                    const char *why) {
    check *of = arg;
    (void)why;

    if (outcome == FB_CONN_REPLIED &&
        (value->type == FB_RESP_STRING || value->type == FB_RESP_VERBATIM)) {
        fb_fitness_judge(of->remote->redis, of->name, value->text);
    }
    fb_mem_free(of);
}

static void describe(fb_remote *remote) {
    fb_redis *redis = remote->redis;
    fb_route_status status;
    char how[32] = "";

    fb_route_status_read(remote->route, &status);
    if (status.kind == FB_REDIS_CLUSTER) {
        snprintf(how, sizeof how, ", cluster of %u", status.server_count);
    } else if (status.kind == FB_REDIS_SENTINEL) {
        snprintf(how, sizeof how, ", by Sentinel");
    }
    pthread_mutex_lock(&redis->lock);
    snprintf(redis->status.server, sizeof redis->status.server, "%s %s%s", status.server.software,
             status.server.version, how);
    redis->status.unfit_count = 0;
    pthread_mutex_unlock(&redis->lock);
}

void fb_fitness_check(fb_remote *remote) {
    size_t count = fb_route_server_count(remote->route);

    describe(remote);
    for (size_t i = 0; i < count; i++) {
        fb_route_server *server = fb_route_server_at(remote->route, i);
        check *of = fb_mem_zero(1, sizeof *of);
        if (of == NULL) {
            return;
        }
        of->remote = remote;
        snprintf(of->name, sizeof of->name, "%s", fb_route_server_name(server));
        fb_str info = FB_STR("INFO");
        fb_remote_command command = {.args = &info,
                                     .arg_count = 1,
                                     .server = server,
                                     .repeatable = true,
                                     .deadline_ns = fb_clock_now_ns() +
                                                    remote->redis->options.connect_timeout_ns,
                                     .fn = on_info,
                                     .arg = of};
        if (fb_remote_send(remote, &command) < 0) {
            fb_mem_free(of);
        }
    }
}
