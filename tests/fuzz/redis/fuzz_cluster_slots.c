// What servers say about where things are, whatever it is: a slot map is whole in itself, a
// redirection leads to a slot that exists and a host that can be named, a Sentinel's answer names a
// place.

#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "redis/topology.h"

static void check_place(const fb_redis_host *place, bool may_be_empty) {
    size_t len = strnlen(place->host, sizeof place->host);
    char text[FB_PLACE_TEXT_MAX];
    FB_ASSERT(len < sizeof place->host && (len > 0 || may_be_empty) && place->port > 0);
    FB_ASSERT(strpbrk(place->host, " \r\n/@") == NULL);
    FB_ASSERT(strlen(fb_place_show(place, text, sizeof text)) >= len);
}

static void check_map(const fb_resp_value *value) {
    fb_slot_map *map = NULL;
    if (fb_slot_map_read(value, "10.0.0.1", &map) != FB_OK) {
        FB_ASSERT(map == NULL);
        return;
    }
    uint32_t covered = 0;
    for (size_t slot = 0; slot < FB_SLOTS; slot++) {
        FB_ASSERT(map->owners[slot] <= map->host_count);
        covered += map->owners[slot] != 0;
    }
    FB_ASSERT(covered == map->covered && map->host_count <= FB_SLOT_HOSTS_MAX);
    for (size_t i = 0; i < map->host_count; i++) {
        check_place(&map->hosts[i], false);
        for (size_t j = 0; j < i; j++) {
            FB_ASSERT(!fb_place_equal(&map->hosts[i], &map->hosts[j]));
        }
    }
    fb_slot_map_free(map);
}

static void check_redirect(fb_str error) {
    fb_redirect redirect;
    fb_redirect_read(error, &redirect);
    if (redirect.kind == FB_REDIRECT_MOVED || redirect.kind == FB_REDIRECT_ASK) {
        FB_ASSERT(redirect.slot < FB_SLOTS);
        check_place(&redirect.place, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fb_str input = {(const char *)data, size};
    fb_resp_reply *reply = NULL;
    const fb_resp_value *value = NULL;
    check_redirect(input);
    FB_ASSERT(fb_slot_of(input) < FB_SLOTS);
    FB_ASSERT(fb_resp_reply_new(16, 1 << 20, &reply) == FB_OK);
    while (fb_resp_reply_read(reply, input, &value, NULL) > 0) {
        fb_redis_host master = {0};
        uint64_t epoch = 0;
        check_map(value);
        check_redirect(value->text);
        if (fb_sentinel_answer_read(value, &master, &epoch) == FB_OK) {
            check_place(&master, false);
        }
        (void)fb_sentinel_is_switch(value, "mymaster");
        (void)fb_role_is_master(value);
        break;
    }
    fb_resp_reply_free(reply);
    return 0;
}
