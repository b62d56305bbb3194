// A server that everybody on the network can reach and nobody has to sign in to is what is found by
// those who look for it, so it is not what a mistyped address or a forgotten variable makes: it has
// to be asked for. Redis turns such clients away one by one ("protected mode"); saying so at the
// start is seen by who can do something about it.

#include "daemon/guard.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

static const char *const ADDRESSES[] = {"listen.resp", "listen.http", "listen.resp_tls",
                                        "listen.http_tls"};

bool fb_guard_is_local(fb_str address) {
    char host[64];
    struct in_addr four;
    struct in6_addr six;
    if (fb_str_equal(address, FB_STR("off")) || fb_str_starts(address, FB_STR("unix:"))) {
        return true;
    }
    bool bracket = address.len > 0 && address.ptr[0] == '[';
    fb_str name = bracket ? fb_str_make(address.ptr + 1, address.len - 1) : address;
    name.len = fb_str_find(name, bracket ? ']' : ':');
    if (name.len >= sizeof host) {
        return false;
    }
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    if (bracket) {
        return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
    }
    if (inet_pton(AF_INET, host, &four) == 1) {
        return ntohl(four.s_addr) >> 24 == 127;
    }
    return fb_str_same(name, FB_STR("localhost"));
}

static bool lets_anybody_in(fb_users *users) {
    fb_node node = {.users = users};
    fb_user *user = fb_user_first(&node);
    fb_user_give(user);
    return user != NULL;
}

static bool is_insecure(const fb_config *config) {
    char insecure[8] = "";
    return fb_config_get(config, FB_STR("listen.insecure"), insecure, sizeof insecure) == FB_OK &&
           strcmp(insecure, "true") == 0;
}

static int refuse(const char *name, const char *address, fb_error *error) {
    return fb_error_set(error, FB_EDENIED,
                        "%s: other hosts can reach %s, and the user `default` needs no "
                        "password: set `password` (FOREBAY_PASSWORD), or switch `default` off "
                        "and declare other `users`, or listen on 127.0.0.1; serve --insecure "
                        "does it all the same",
                        name, address);
}

static int check_addresses(const fb_config *config, fb_error *error) {
    if (is_insecure(config)) {
        return FB_OK;
    }
    for (size_t i = 0; i < sizeof ADDRESSES / sizeof ADDRESSES[0]; i++) {
        char address[300] = "";
        if (fb_config_get(config, fb_str_of(ADDRESSES[i]), address, sizeof address) != FB_OK ||
            fb_guard_is_local(fb_str_of(address))) {
            continue;
        }
        return refuse(ADDRESSES[i], address, error);
    }
    return FB_OK;
}

int fb_guard_passed(const fb_config *config, fb_users *users, const char *name,
                    const char *address, fb_error *error) {
    bool safe = fb_guard_is_local(fb_str_of(address)) || is_insecure(config);
    return safe || !lets_anybody_in(users) ? FB_OK : refuse(name, address, error);
}

int fb_guard_read(const fb_config *config, fb_users **users, fb_error *error) {
    int result = fb_users_read(config, users, error);
    if (result == FB_OK && lets_anybody_in(*users)) {
        result = check_addresses(config, error);
        if (result < 0) {
            fb_users_free(*users);
            *users = NULL;
        }
    }
    return result;
}
