// Whatever the text, it is refused with a column of it, or read; then what is shown of it reads as
// the same place again, without users and passwords.

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "wire/redis_url.h"

static void forget_logins(fb_redis_url *url) {
    memset(url->user, 0, sizeof url->user);
    memset(url->password, 0, sizeof url->password);
    memset(url->sentinel_user, 0, sizeof url->sentinel_user);
    memset(url->sentinel_password, 0, sizeof url->sentinel_password);
}

static void check_same(const fb_redis_url *a, const fb_redis_url *b) {
    FB_ASSERT(a->kind == b->kind && a->tls == b->tls && a->db == b->db);
    FB_ASSERT(strcmp(a->path, b->path) == 0 && strcmp(a->service, b->service) == 0);
    FB_ASSERT(a->host_count == b->host_count);
    for (uint32_t i = 0; i < a->host_count; i++) {
        FB_ASSERT(strcmp(a->hosts[i].host, b->hosts[i].host) == 0);
        FB_ASSERT(a->hosts[i].port == b->hosts[i].port);
    }
    FB_ASSERT(b->user[0] == '\0' && b->password[0] == '\0' && b->sentinel_user[0] == '\0' &&
              b->sentinel_password[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static fb_redis_url url;
    static fb_redis_url again;
    static char text[32 * 3 * FB_REDIS_TEXT_MAX];
    fb_str input = {(const char *)data, size};
    fb_error error = {0};
    if (fb_redis_url_read(input, &url, &error) != FB_OK) {
        FB_ASSERT(error.code == FB_EINVAL && error.text[0] != '\0');
        FB_ASSERT(error.column >= 1 && error.column <= size + 1);
        return 0;
    }
    fb_redis_url_show(&url, text, sizeof text);
    FB_ASSERT(fb_redis_url_read(fb_str_of(text), &again, &error) == FB_OK);
    forget_logins(&url);
    check_same(&url, &again);
    return 0;
}
