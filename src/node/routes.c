// The route table, and the index that shows it.

#include "node/route.h"

#include "base/str.h"

static const fb_route_param FETCH_PARAMS[] = {
    {"_refresh", "1: asks the source, whatever is in memory"},
    {"_timeout", "how long to wait, such as 500ms, instead of the class's hard_timeout"},
    {NULL, NULL},
};

static const fb_route_param PUT_PARAMS[] = {
    {"ttl", "how long it is kept, such as 5m; without: as its class says, else until it is evicted"},
    {"tags", "names to invalidate it by, with commas between them"},
    {NULL, NULL},
};


const fb_route FB_ROUTES[] = {
    {"GET", "/", fb_route_index, FB_ROUTE_ANY_QUERY, NULL, "this list"},
    {"GET", "/v1/fetch/{class}", fb_route_fetch, FB_ROUTE_ANY_QUERY, FETCH_PARAMS,
     "a value of a class, from memory or its source; the query has the class's parameters"},
    {"GET", "/v1/keys/{key}", fb_route_key_get, 0, NULL, "the value of a key, from memory alone"},
    {"PUT", "/v1/keys/{key}", fb_route_key_put, 0, PUT_PARAMS, "stores the body under a key"},
    {"DELETE", "/v1/keys/{key}", fb_route_key_delete, 0, NULL, "deletes a key"},
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
    return fb_reply_failed(&reply) ? FB_ENOMEM : FB_OK;
}
