// redis/topology.h -- what servers say about where things are: errors that redirect, slot maps,
// answers of Sentinels. Pure: from values to facts, whatever a server may send.
//
// Standard: Redis Cluster specification (MOVED, ASK, TRYAGAIN, CLUSTER SLOTS), Sentinel's commands
// and events. Threads: none of its own.

#ifndef FB_REDIS_TOPOLOGY_H
#define FB_REDIS_TOPOLOGY_H

#include "redis/route.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- errors

typedef enum fb_redirect_kind {
    FB_REDIRECT_NONE,       // an answer like any other: for the caller
    FB_REDIRECT_MOVED,      // `slot` belongs to `place`
    FB_REDIRECT_ASK,        // this once, ask `place`
    FB_REDIRECT_LATER,      // the same server, after a pause: LOADING, BUSY, TRYAGAIN …
    FB_REDIRECT_ELSEWHERE   // this one is not who it was taken for: READONLY, CLUSTERDOWN …
} fb_redirect_kind;

typedef struct fb_redirect {
    fb_redirect_kind kind;
    uint16_t slot;
    // Where to. An empty host means that of the server that said so; kind LATER stands where it
    // does not know itself ("?").
    fb_redis_host place;
} fb_redirect;
// `error` is the text of an error reply. All of these mean that nothing was done.
void fb_redirect_read(fb_str error, fb_redirect *redirect);

// ---- the slot map

typedef struct fb_slot_map {
    fb_redis_host *hosts;
    size_t host_count, host_cap;
    uint16_t owners[FB_SLOTS];  // 1 + index into hosts; 0: nobody
    uint32_t covered;           // slots that have an owner
} fb_slot_map;

enum { FB_SLOT_HOSTS_MAX = 1000 };  // the specification's recommended most
// Reads the reply to CLUSTER SLOTS that came from `host`. FB_OK; FB_ESYNTAX: it is none;
// FB_ETOOBIG: more servers than FB_SLOT_HOSTS_MAX; FB_ENOMEM. *map is new, freed by the caller,
// NULL on failure.
FB_CHECK_RESULT int fb_slot_map_read(const fb_resp_value *reply, const char *host,
                                     fb_slot_map **map);
void fb_slot_map_free(fb_slot_map *map);

// ---- Sentinel

// The reply to SENTINEL MASTER. FB_OK; FB_MISS: it does not know the service; FB_ESYNTAX: it is no
// Sentinel's answer. `epoch` is that of the configuration: the greater is the newer.
FB_CHECK_RESULT int fb_sentinel_answer_read(const fb_resp_value *reply, fb_redis_host *master,
                                            uint64_t *epoch);
// Whether a push is +switch-master of the service.
bool fb_sentinel_is_switch(const fb_resp_value *push, const char *service);

// ---- ROLE

// Whether the reply to ROLE is a master's.
bool fb_role_is_master(const fb_resp_value *reply);

// "10.0.0.1:6379", "[::1]:6379" into text (FB_PLACE_TEXT_MAX is enough for any); returns text.
enum { FB_PLACE_TEXT_MAX = FB_REDIS_TEXT_MAX + 10 };
const char *fb_place_show(const fb_redis_host *place, char *text, size_t text_size);
bool fb_place_equal(const fb_redis_host *a, const fb_redis_host *b);

#ifdef __cplusplus
}
#endif

#endif
