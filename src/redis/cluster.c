// A Cluster: whose each slot is.
//
// The map is asked for by CLUSTER SLOTS of any server that is connected, another one each time,
// since one that was cut off from the rest believes in an old map until it has noticed. While
// nobody is connected, one more of the servers known is tried with each refresh. A map is taken as
// a whole: the servers in it become the masters, the others go. Between two maps MOVED mends single
// slots.
//
// Slots change hands for two reasons that look alike from here: they were moved with all that is in
// them, or their master was replaced by a replica, which may lack the last writes. Both count as a
// change (on_change): to take the second for the first would be a stale hit, to take the first for
// the second costs some misses.

#include "redis/route_state.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

int fb_cluster_begin(fb_route *route) {
    fb_route_server **slots = fb_mem_zero(FB_SLOTS, sizeof *slots);
    if (slots == NULL) {
        return FB_ENOMEM;
    }
    route->slots = slots;
    route->kind = FB_REDIS_CLUSTER;
    for (size_t i = 0; i < route->master_count; i++) {
        route->masters[i]->is_master = false;
    }
    route->master_count = 0;
    route->changed = route->link_known;
    return FB_OK;
}

void fb_cluster_end(fb_route *route) {
    fb_mem_free(route->slots);
    route->slots = NULL;
}

// ---- the map

// The first slot without an owner, and the last of those after it that have none either.
static void say_uncovered(fb_route *route) {
    size_t first = 0;
    while (first < FB_SLOTS && route->slots[first] != NULL) {
        first++;
    }
    size_t last = first;
    while (last + 1 < FB_SLOTS && route->slots[last + 1] == NULL) {
        last++;
    }
    route->why[0] = '\0';
    if (route->covered == 0) {
        snprintf(route->why, sizeof route->why, "the Cluster has given its slots to nobody yet");
    } else if (route->covered < FB_SLOTS) {
        snprintf(route->why, sizeof route->why,
                 "no server of the Cluster has slots %zu-%zu (%u in all)", first, last,
                 FB_SLOTS - route->covered);
    }
}

// owners[i] is the server of map->hosts[i].
static void take_slots(fb_route *route, const fb_slot_map *map, fb_route_server *const *owners) {
    bool had = route->covered > 0;
    for (size_t slot = 0; slot < FB_SLOTS; slot++) {
        fb_route_server *owner = map->owners[slot] != 0 ? owners[map->owners[slot] - 1] : NULL;
        route->changed = route->changed || (had && route->slots[slot] != owner);
        route->slots[slot] = owner;
    }
    route->covered = map->covered;
    say_uncovered(route);
}

static int take_map(fb_route *route, const fb_slot_map *map) {
    fb_route_server **owners = fb_mem_zero(map->host_count + 1, sizeof(fb_route_server *));
    int result = owners != NULL ? FB_OK : FB_ENOMEM;
    for (size_t i = 0; result == FB_OK && i < map->host_count; i++) {
        owners[i] = fb_route_server_get(route, &map->hosts[i]);
        result = owners[i] != NULL ? FB_OK : FB_ENOMEM;
    }
    if (result == FB_OK) {
        result = fb_route_masters_set(route, owners, map->host_count);
    }
    if (result == FB_OK) {
        take_slots(route, map, owners);
        for (size_t i = 0; i < map->host_count; i++) {
            fb_route_server_open(owners[i]);
        }
    }
    fb_mem_free(owners);
    return result;
}

static void say_no_map(fb_route *route, const fb_route_server *server, int result,
                       const fb_resp_value *value) {
    if (result == FB_ENOMEM) {
        snprintf(route->why, sizeof route->why, "out of memory");
    } else if (value->type == FB_RESP_ERROR) {
        bool alone = strcmp(fb_conn_server_of(server->conn)->mode, "standalone") == 0;
        snprintf(route->why, sizeof route->why, "%.100s %s%.*s", server->name,
                 alone ? "is no Cluster: " : "did not say whose the slots are: ",
                 (int)(value->text.len < 60 ? value->text.len : 60), value->text.ptr);
    } else {
        snprintf(route->why, sizeof route->why, "%.100s says nothing sensible of the slots",
                 server->name);
    }
}

static void on_map(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                   const char *why) {
    fb_route_server *server = arg;
    fb_route *route = server->route;
    fb_slot_map *map = NULL;
    route->asking = false;
    if (route->closing) {
        return;
    }
    if (outcome != FB_CONN_REPLIED) {
        fb_route_refresh_in(route, 0);
        return;
    }
    int result = fb_slot_map_read(value, server->place.host, &map);
    if (result == FB_OK) {
        result = take_map(route, map);
    }
    // A map that is there is better than none: only who has none yet says why.
    if (result != FB_OK && route->covered == 0) {
        say_no_map(route, server, result, value);
    }
    fb_slot_map_free(map);
    fb_route_settle(route);
}

// ---- who is asked

// One of those connected, by chance, and another one than last time where there is one.
static fb_route_server *choose_connected(fb_route *route) {
    fb_route_server *chosen = NULL;
    uint64_t count = 0;
    FB_LIST_EACH(node, &route->servers) {
        fb_route_server *server = FB_LIST_OF(node, fb_route_server, node);
        if (server->up && server != route->asked && fb_rng_below(&route->rng, ++count) == 0) {
            chosen = server;
        }
    }
    return chosen != NULL ? chosen : route->asked != NULL && route->asked->up ? route->asked : NULL;
}

static void connect_one_more(fb_route *route) {
    FB_LIST_EACH(node, &route->servers) {
        fb_route_server *server = FB_LIST_OF(node, fb_route_server, node);
        if (server->conn == NULL) {
            fb_route_server_open(server);
            return;
        }
    }
}

void fb_cluster_ask(fb_route *route) {
    static const fb_str slots = FB_STR_INIT("*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n");
    if (route->asking) {
        return;
    }
    fb_route_server *server = choose_connected(route);
    if (server == NULL) {
        connect_one_more(route);
        return;
    }
    route->asked = server;
    int64_t deadline_ns = fb_clock_now_ns() + route->options.connect_timeout_ns;
    route->asking = fb_conn_send(server->conn, slots, 1, deadline_ns, on_map, server) == FB_OK;
}

// ---- redirections

fb_route_server *fb_cluster_server(fb_route_server *from, const fb_redis_host *place) {
    fb_redis_host whole = *place;
    if (whole.host[0] == '\0') {
        memcpy(whole.host, from->place.host, sizeof whole.host);
    }
    return whole.host[0] != '\0' ? fb_route_server_get(from->route, &whole) : NULL;
}

fb_route_server *fb_cluster_move(fb_route_server *from, uint16_t slot, const fb_redis_host *place) {
    fb_route *route = from->route;
    fb_route_server *server = fb_cluster_server(from, place);
    fb_route_refresh_in(route, 0);
    if (server == NULL || fb_route_master_add(route, server) != FB_OK) {
        return NULL;
    }
    if (route->slots[slot] != server) {
        route->covered += route->slots[slot] == NULL;
        route->changed = true;
        route->slots[slot] = server;
    }
    fb_route_server_open(server);
    return server;
}
