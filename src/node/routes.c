// The route table, and the index that shows it.

#include "node/route.h"

#include "base/str.h"

static const fb_route_param FETCH_PARAMS[] = {
    {"_refresh", "1: asks the source, whatever is in memory"},
    {"_timeout", "how long to wait, such as 500ms, instead of the class's hard_timeout"},
    {NULL, NULL},
};

static const fb_route_param PUT_PARAMS[] = {
    {"ttl",
     "how long it is kept, such as 5m; without: as its class says, else until it is evicted"},
    {"tags", "names to invalidate it by, with commas between them"},
    {NULL, NULL},
};

static const fb_route_param KEY_PARAMS[] = {{"key", "the key"}, {NULL, NULL}};

enum { MONITORING = FB_ROUTE_MONITORING | FB_ROUTE_ANY_QUERY };

const fb_route FB_ROUTES[] = {
    {"GET", "/", fb_route_index, FB_ROUTE_ANY_QUERY, NULL, "this list"},
    {"GET", "/v1/fetch/{class}", fb_route_fetch, FB_ROUTE_ANY_QUERY, FETCH_PARAMS,
     "a value of a class, from memory or its source; the query has the class's parameters"},
    {"GET", "/v1/keys/{key}", fb_route_key_get, 0, NULL, "the value of a key, from memory alone"},
    {"PUT", "/v1/keys/{key}", fb_route_key_put, 0, PUT_PARAMS, "stores the body under a key"},
    {"DELETE", "/v1/keys/{key}", fb_route_key_delete, 0, NULL, "deletes a key"},
    {"POST", "/v1/invalidate", fb_route_invalidate, 0, NULL,
     "body: any of keys, patterns, tags, classes, namespaces (a list, or one), or all: true; soft: "
     "true "
     "makes values stale instead of gone"},
    {"POST", "/v1/warm", fb_route_warm, 0, NULL,
     "loads in the background; body: class, and params, or top: as many of its most-read keys"},
    {"GET", "/v1/explain", fb_route_explain, 0, KEY_PARAMS,
     "what is known of a key, and why it missed"},
    {"GET", "/v1/classes", fb_route_classes, 0, NULL, "the classes and how they are configured"},
    {"GET", "/v1/stats", fb_route_stats, 0, NULL, "every figure, of each class and in all"},
    {"GET", "/cache/stats", fb_route_cache_stats, MONITORING, NULL,
     "hits, misses, latencies, gain"},
    {"GET", "/cache/metrics", fb_route_cache_metrics, MONITORING, NULL,
     "the same as a dashboard shows it, with the time saved"},
    {"GET", "/cache/status", fb_route_cache_status, MONITORING, NULL, "which tiers are up"},
    {"GET", "/analytics/dashboard", fb_route_dashboard, MONITORING, NULL,
     "figures, tiers and recommendations"},
    {"GET", "/metrics", fb_route_metrics, FB_ROUTE_ANY_QUERY, NULL, "every figure, for Prometheus"},
    {"GET", "/healthz", fb_route_healthz, FB_ROUTE_ANY_QUERY, NULL,
     "whether it works, and how well"},
    {"GET", "/readyz", fb_route_readyz, FB_ROUTE_ANY_QUERY, NULL, "503 while it is stopping"},
    {NULL, NULL, NULL, 0, NULL, NULL},
};

static void write_params(fb_reply *reply, const fb_route *route) {
    size_t count = 0;
    while (route->params != NULL && route->params[count].name != NULL) {
        count++;
    }
    fb_reply_map(reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_reply_text(reply, route->params[i].name);
        fb_reply_text(reply, route->params[i].help);
    }
}

static void write_route(fb_reply *reply, const fb_route *route) {
    fb_reply_map(reply, 4);
    fb_reply_text(reply, "method");
    fb_reply_text(reply, route->method);
    fb_reply_text(reply, "path");
    fb_reply_text(reply, route->path);
    fb_reply_text(reply, "summary");
    fb_reply_text(reply, route->summary);
    fb_reply_text(reply, "query");
    write_params(reply, route);
}

int fb_route_index(fb_http_call *call) {
    fb_reply reply;
    size_t count = sizeof FB_ROUTES / sizeof FB_ROUTES[0] - 1;
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 3);
    fb_reply_text(&reply, "name");
    fb_reply_text(&reply, "forebay");
    fb_reply_text(&reply, "version");
    fb_reply_text(&reply, fb_version());
    fb_reply_text(&reply, "routes");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        write_route(&reply, &FB_ROUTES[i]);
    }
    return fb_http_json_end(&reply);
}
