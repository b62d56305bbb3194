// flight_rig.h -- flights over a cache of cache_rig.h, driven by hand, their actions as text, for
// tests.
//
// An action reads: "1=one" (the answer to 1; "1=one/stale", "1=one/fallback", "1=one/shared",
// "1=-" negative, "1!FB_ESOURCE"), "load:page:7", "load:page:7,page:8", "get:page:7",
// "lease:page:7" (a GET that wants no value), "fill:page:7", "release:page:7", "invalidate:page:7".
// Several stand with a space between them.

#ifndef FB_TESTS_FLIGHT_RIG_H
#define FB_TESTS_FLIGHT_RIG_H

#include "base/mem.h"
#include "cache/flight.h"
#include "cache_rig.h"

typedef struct rig {
    fb_cache *cache;
    fb_flights *flights;
    int64_t now_ns;
    uint16_t class_id;  // that is asked for
    fb_buf scratch;
    fb_ask ask;          // what asks have beside their key and waiter
    uint64_t loads[64];  // names, in the order they came
    size_t items[64];
    size_t load_count;
    uint64_t remotes[256];
    size_t remote_count;
    fb_priority priority;  // of the last load
    int64_t begin_by_ns, deadline_ns;
    int64_t ttl_ns;  // of the last action for the shared tier
    uint64_t token;
    fb_mark wide;
    char error[256];  // of the last answer
    char text[2048];
} rig;

// A class "page" with these options, and what rig_page() has for those that are 0 and matter.
static inline rig rig_flights(const fb_class_options *page, bool remote) {
    fb_class *classes[] = {NULL, rig_class(RIG_PAGE, *page), rig_class(RIG_ITEM, rig_item()),
                           rig_class(RIG_LIST, rig_list())};
    rig made = {.now_ns = S(100), .class_id = RIG_PAGE, .ask = {.ttl_ns = -1}};
    made.cache = rig_cache_with(rig_catalog_of(classes, 4));
    fb_flights_options options = {.cache = made.cache, .seed = 1, .remote = remote};
    assert_ok(fb_flights_new(&options, &made.flights));
    return made;
}

static inline fb_class_options rig_timed_page(void) {
    fb_class_options options = rig_page();
    options.hard_timeout_ns = S(2);
    options.waiters_max = 1000;
    return options;
}

static inline void rig_done(rig *at) {
    fb_flights_check(at->flights);
    fb_flights_free(at->flights);
    fb_cache_free(at->cache);
    fb_buf_release(&at->scratch);
}

// ---- actions

__attribute__((format(printf, 2, 3))) static inline void rig_say(rig *at, const char *format, ...) {
    size_t len = strlen(at->text);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(at->text + len, sizeof at->text - len, format, arguments);
    va_end(arguments);
}

static inline void rig_answer(rig *at, const fb_action *action) {
    static const char *const how[] = {"", "/stale", "/fallback"};
    const fb_value *value = &action->value;
    if (action->result == FB_NEGATIVE) {
        rig_say(at, "%llu=-", (unsigned long long)action->waiter);
    } else if (action->result < 0) {
        rig_say(at, "%llu!%s", (unsigned long long)action->waiter, fb_result_name(action->result));
        (void)snprintf(at->error, sizeof at->error, "%s", action->error);
    } else {
        rig_say(at, "%llu=%.*s%s%s", (unsigned long long)action->waiter, FB_STR_ARG(value->data),
                how[value->freshness], value->tier == FB_TIER_SHARED ? "/shared" : "");
    }
    fb_blob_drop(value->owner);
}

static inline void rig_load_action(rig *at, const fb_action *action) {
    for (size_t i = 0; i < action->item_count; i++) {
        rig_say(at, "%s%.*s", i == 0 ? "load:" : ",", FB_STR_ARG(action->items[i].bound.key));
    }
    at->items[at->load_count] = action->item_count;
    at->loads[at->load_count++] = action->load;
    at->priority = action->priority;
    at->begin_by_ns = action->begin_by_ns;
    at->deadline_ns = action->deadline_ns;
}

static inline void rig_remote_action(rig *at, const fb_action *action) {
    const char *what = action->type == FB_ACTION_REMOTE_INVALIDATE ? "invalidate"
                       : action->type == FB_ACTION_REMOTE_GET ? (action->refresh ? "lease" : "get")
                       : action->ttl_ns > 0                   ? "fill"
                                                              : "release";
    rig_say(at, "%s:%.*s", what, FB_STR_ARG(action->key));
    at->remotes[at->remote_count++] = action->remote;
    at->ttl_ns = action->ttl_ns;
    at->token = action->token;
    at->wide = action->wide;
}

static inline const char *rig_actions(rig *at) {
    fb_action action;
    at->text[0] = '\0';
    while (fb_flights_next(at->flights, &action)) {
        if (at->text[0] != '\0') {
            rig_say(at, " ");
        }
        if (action.type == FB_ACTION_ANSWER) {
            rig_answer(at, &action);
        } else if (action.type == FB_ACTION_LOAD) {
            rig_load_action(at, &action);
        } else {
            rig_remote_action(at, &action);
        }
    }
    fb_flights_check(at->flights);
    return at->text;
}

// ---- events; each gives what is to be done then

static inline int rig_try_ask(rig *at, const char *id, uint64_t waiter) {
    const fb_class *class_ = rig_of(at->cache, at->class_id);
    fb_bound bound = {.key = fb_str_of(id)};
    fb_error error;
    if (at->class_id != FB_CLASS_PLAIN) {
        fb_param param = {FB_STR("id"), fb_str_of(id)};
        assert_ok(fb_class_bind(class_, &param, 1, &at->scratch, &bound, &error));
    }
    fb_ask ask = at->ask;
    ask.class_ = class_;
    ask.bound = &bound;
    ask.waiter = waiter;
    ask.begin_ns = at->now_ns;
    ask.seq = fb_cache_seq(at->cache);
    return fb_flights_ask(at->flights, &ask, at->now_ns);
}

static inline const char *rig_ask(rig *at, const char *id, uint64_t waiter) {
    assert_ok(rig_try_ask(at, id, waiter));
    return rig_actions(at);
}

// Nobody waits.
static inline const char *rig_ask_alone(rig *at, const char *id, fb_priority priority) {
    fb_ask kept = at->ask;
    at->ask.priority = priority;
    at->ask.refresh = true;
    const char *actions = rig_ask(at, id, 0);
    at->ask = kept;
    return actions;
}

// The n-th load (from 0) ends. `text`: "one", or "one|tag"; NULL: there is no such thing.
static inline const char *rig_loads(rig *at, size_t n, const char *text) {
    fb_loaded loaded[16];
    for (size_t i = 0; i < at->items[n]; i++) {
        char value[64] = "";
        fb_loaded_init(&loaded[i]);
        loaded[i].result = text != NULL ? FB_OK : FB_NEGATIVE;
        loaded[i].took_ns = S(0.5);
        if (text != NULL) {
            size_t len = strcspn(text, "|");
            memcpy(value, text, len);
            assert_ok(fb_loaded_value(&loaded[i], fb_str_make(value, len)));
            if (text[len] != '\0') {
                assert_ok(fb_loaded_tag(&loaded[i], fb_str_of(text + len + 1)));
            }
        }
    }
    fb_flights_loaded(at->flights, at->loads[n], loaded, at->items[n], at->now_ns);
    return rig_actions(at);
}

static inline const char *rig_fails(rig *at, size_t n, int result) {
    fb_loaded loaded[16];
    for (size_t i = 0; i < at->items[n]; i++) {
        fb_loaded_init(&loaded[i]);
        loaded[i].result = result;
        fb_loaded_error(&loaded[i], FB_STR("it is down"));
    }
    fb_flights_loaded(at->flights, at->loads[n], loaded, at->items[n], at->now_ns);
    return rig_actions(at);
}

// The clock goes on to `at_ns`, with every tick that is due until then.
static inline const char *rig_time(rig *at, int64_t at_ns) {
    while (fb_flights_due(at->flights) <= at_ns) {
        int64_t due_ns = fb_flights_due(at->flights);
        at->now_ns = due_ns > at->now_ns ? due_ns : at->now_ns;
        fb_flights_tick(at->flights, at->now_ns);
        if (strlen(rig_actions(at)) > 0) {
            return at->text;
        }
    }
    at->now_ns = at_ns;
    at->text[0] = '\0';
    return at->text;
}

static inline const char *rig_remote(rig *at, size_t n, fb_remote_result result, const char *text,
                                     int64_t fresh_for_ns) {
    fb_remote_reply reply = {.result = result, .token = 70 + n, .fresh_for_ns = fresh_for_ns};
    if (result == FB_REMOTE_VALUE) {
        reply.loaded = rig_loaded(text, NULL);
    }
    fb_flights_remote(at->flights, at->remotes[n], &reply, at->now_ns);
    return rig_actions(at);
}

static inline void rig_drop(rig *at, fb_scope scope, const char *name) {
    fb_invalidation what = {.scope = scope, .name = fb_str_of(name)};
    assert_ok(fb_cache_invalidate(at->cache, &what, at->now_ns, NULL));
}

static inline fb_cache_figures rig_figures(const rig *at) {
    fb_stats stats = {0};
    assert_ok(fb_cache_stats(at->cache, &stats));
    fb_cache_figures all = stats.all;
    fb_mem_free(stats.classes);
    return all;
}

#endif
