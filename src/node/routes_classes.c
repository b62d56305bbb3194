// GET /v1/classes, /v1/config and /v1/explain: what there is, how it is configured, and what is known of
// one key; and what to say where there is no class of a name.

#include "node/route.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/glob.h"
#include "base/str.h"
#include "node/say.h"

// ---- classes

// As they are configured, in the words of the configuration.
static const char *const SHOWN[] = {"namespace", "key",          "source",       "query",
                                    "one",       "ttl",          "memory_ttl",   "negative_ttl",
                                    "stale_ttl", "fallback_ttl", "hard_timeout", "tags"};
enum { SHOWN_COUNT = sizeof SHOWN / sizeof SHOWN[0], PATH_SIZE = 128, OPTION_SIZE = 8192 };

static void say_option(fb_reply *reply, const fb_config *config, const char *class_name,
                       const char *option) {
    char path[PATH_SIZE];
    char text[OPTION_SIZE];
    (void)snprintf(path, sizeof path, "classes.%s.%s", class_name, option);
    int result =
        config != NULL ? fb_config_get(config, fb_str_of(path), text, sizeof text) : FB_MISS;
    fb_reply_text(reply, option);
    if (result == FB_OK && text[0] != '\0') {
        fb_reply_text(reply, text);
    } else {
        fb_reply_null(reply);  // not set, or longer than anyone wants to read here
    }
}

static void write_class(fb_node *node, fb_reply *reply, const fb_cache_figures *figures) {
    fb_reply_map(reply, 1 + SHOWN_COUNT);
    fb_say_text(reply, "name", figures->name);
    const fb_config *config = fb_node_config_take(node);
    for (size_t i = 0; i < SHOWN_COUNT; i++) {
        say_option(reply, config, figures->name, SHOWN[i]);
    }
    fb_node_config_give(node);
}

int fb_route_classes(fb_http_call *call) {
    fb_reply reply;
    fb_stats stats;
    int result = fb_stats_read(call->node->engine, &stats);
    if (result < 0) {
        return result;
    }
    // The first is that of plain keys.
    FB_ASSERT(stats.class_count > 0);
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "classes");
    fb_reply_array(&reply, stats.class_count - 1);
    for (size_t i = 1; i < stats.class_count; i++) {
        write_class(call->node, &reply, &stats.classes[i]);
    }
    fb_stats_release(&stats);
    return fb_http_json_end(&reply);
}

// ---- the configuration

typedef struct walking {
    fb_str match;
    fb_reply *reply;  // NULL: counts alone
    size_t count;
} walking;

static void say_or_null(fb_reply *reply, const char *name, fb_str text) {
    fb_reply_text(reply, name);
    if (text.ptr != NULL) {
        fb_reply_bytes(reply, text);
    } else {
        fb_reply_null(reply);
    }
}

static void visit_option(void *arg, fb_str path, fb_str value, fb_str default_value,
                         const char *unit, bool reloadable, const char *help) {
    walking *one = arg;
    if (one->match.len > 0 && !fb_glob_match(one->match, path)) {
        return;
    }
    one->count++;
    if (one->reply != NULL) {
        fb_reply_map(one->reply, 6);
        say_or_null(one->reply, "path", path);
        say_or_null(one->reply, "value", value);
        say_or_null(one->reply, "default", default_value);
        fb_say_text(one->reply, "unit", unit);
        fb_say_boolean(one->reply, "reloadable", reloadable);
        fb_say_text(one->reply, "help", help);
    }
}

static int write_options(fb_http_call *call, const fb_config *config, fb_str match) {
    fb_reply reply;
    walking counted = {.match = match};
    walking said = {.match = match, .reply = &reply};
    int result = config != NULL ? fb_config_walk(config, visit_option, &counted) : FB_OK;
    if (result < 0) {
        return result;
    }
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "options");
    fb_reply_array(&reply, counted.count);
    result = config != NULL ? fb_config_walk(config, visit_option, &said) : FB_OK;
    return result < 0 ? result : fb_http_json_end(&reply);
}

int fb_route_config(fb_http_call *call) {
    const fb_param *match = fb_http_param(call, "match");
    const fb_config *config = fb_node_config_take(call->node);
    int result = write_options(call, config, match != NULL ? match->value : FB_STR(""));
    fb_node_config_give(call->node);
    return result;
}

// ---- no class

enum { NEAR = 3, NAME_SHOWN = 64 };

static const char *nearest(const fb_stats *stats, fb_str name) {
    const char *near = NULL;
    size_t best = NEAR;
    for (size_t i = 1; i < stats->class_count; i++) {
        fb_str known = fb_str_of(stats->classes[i].name);
        size_t distance = fb_str_distance(name, known, NEAR);
        if (distance < best && distance < known.len) {
            best = distance;
            near = stats->classes[i].name;
        }
    }
    return near;
}

void fb_http_no_class(fb_node *node, fb_http_response *response, fb_str name) {
    fb_error error;
    fb_stats stats = {.class_count = 0};
    int result = fb_stats_read(node->engine, &stats);
    const char *near = result == FB_OK ? nearest(&stats, name) : NULL;
    (void)fb_error_set(&error, FB_ENOCLASS, "there is no class '%.*s'%s%s%s",
                       (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN), name.ptr,
                       near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                       near != NULL ? "'?" : "");
    fb_http_failure(response, FB_ENOCLASS, &error);
    if (result == FB_OK) {
        fb_stats_release(&stats);
    }
}

// ---- explain

int fb_route_explain(fb_http_call *call) {
    const fb_param *key = fb_http_param(call, "key");
    fb_reply reply;
    fb_explanation is;
    if (key == NULL) {
        fb_http_problem(call->response, 400, "which key? GET /v1/explain?key=...");
        return FB_OK;
    }
    int result = fb_explain(call->node->engine, key->value, &is);
    if (result < 0) {
        return result;
    }
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 15);
    fb_reply_text(&reply, "key");
    fb_reply_bytes(&reply, key->value);
    fb_say_text(&reply, "class", is.class_name);
    fb_say_text(&reply, "tier", fb_tier_name(is.tier));
    fb_say_boolean(&reply, "negative", is.negative);
    fb_say_boolean(&reply, "hit_for_miss", is.hit_for_miss);
    bool there = is.tier != FB_TIER_NONE;
    fb_say_text(&reply, "freshness", there ? fb_freshness_name(is.freshness) : "none");
    fb_say_text(&reply, "kind", !there ? "none" : fb_kind_name(is.kind));
    fb_say_integer(&reply, "age_ms", is.age_ms);
    fb_say_integer(&reply, "fresh_for_ms", is.fresh_for_ms);
    fb_say_integer(&reply, "gone_in_ms", is.gone_in_ms);
    fb_say_integer(&reply, "load_cost_us", is.load_cost_us);
    fb_say_count(&reply, "value_bytes", is.value_bytes);
    fb_say_boolean(&reply, "loading", is.loading);
    fb_say_text(&reply, "last_miss", is.last_miss);
    fb_reply_text(&reply, "tags");
    fb_reply_array(&reply, is.tag_count);
    for (size_t i = 0; i < is.tag_count; i++) {
        fb_reply_text(&reply, is.tags[i]);
    }
    return fb_http_json_end(&reply);
}
