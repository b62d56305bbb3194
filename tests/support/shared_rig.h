// shared_rig.h -- two engines over one real Redis, as two nodes would be.

#ifndef FB_TESTS_SHARED_RIG_H
#define FB_TESTS_SHARED_RIG_H

#include "engine_rig.h"
#include "redis_server.h"

#define SHARED_YAML                                                                               \
    "memory: 8MiB\n"                                                                              \
    "loops: 2\n"                                                                                  \
    "workers: 2\n"                                                                                \
    "sources: {base: {sqlite: a.db}}\n"                                                           \
    "classes:\n"                                                                                  \
    "  item: {key: 'item:{id}', source: base, one: true, ttl: 1h, memory_ttl: 1h, jitter: 0,\n"   \
    "         tags: ['kind:{kind}'], namespace: things,\n"                                        \
    "         query: 'SELECT kind, gate(version) AS version FROM item WHERE id = :id'}\n"         \
    "  mine: {key: 'mine:{id}', ttl: 1h}\n"                                                       \
    "  first: {key: 'first:{id}', ttl: 1h, order: shared-first}\n"                                \
    "  plain: {key: 'plain:{id}', ttl: 1h, layout: plain}\n"

// With a redis at this port; `more`: options of it, "hard_timeout: 1s".
static inline void shared_yaml(char *text, size_t size, int port, const char *more) {
    (void)snprintf(text, size, "redis: {url: 'redis://127.0.0.1:%d', partitions: 8%s%s}\n%s", port,
                   more[0] != '\0' ? ", " : "", more, SHARED_YAML);
}

static inline fb_engine *shared_open(int port, const char *more) {
    char text[4096];
    shared_yaml(text, sizeof text, port, more);
    return rig_open(text);
}

static inline fb_shared_info shared_info(fb_engine *engine) {
    fb_shared_info info;
    fb_shared_info_read(engine, &info);
    return info;
}

static inline void shared_await(fb_engine *engine, fb_shared_state state) {
    for (int turns = 0; shared_info(engine).state != state; turns++) {
        static const struct timespec moment = {0, 1000000};
        if (turns > RIG_PATIENCE_S * 500) {
            fb_shared_info info = shared_info(engine);
            fail_msg("its state is %d, not %d: %s", (int)info.state, (int)state, info.why);
        }
        (void)nanosleep(&moment, NULL);
    }
}

// What a plain read gives, as text: "(miss)", "(negative)", "(error)".
static inline const char *shared_get(fb_engine *engine, const char *key, char *text) {
    fb_value value;
    int result = fb_get_copy(engine, fb_str_of(key), &value);
    if (result == FB_OK) {
        (void)snprintf(text, 256, "%.*s", FB_STR_ARG(value.data));
    } else {
        (void)snprintf(text, 256, "%s", result == FB_MISS       ? "(miss)"
                                        : result == FB_NEGATIVE ? "(negative)"
                                                                : "(error)");
    }
    fb_value_release(&value);
    return text;
}

static inline bool shared_is(fb_engine *engine, const char *key, const char *expected) {
    char text[256];
    return strcmp(shared_get(engine, key, text), expected) == 0;
}

static inline void assert_shared(fb_engine *engine, const char *key, const char *expected) {
    char text[256];
    assert_string_equal(shared_get(engine, key, text), expected);
}

static inline void shared_set(fb_engine *engine, const char *key, const char *value) {
    assert_ok(fb_set(engine, fb_str_of(key), fb_str_of(value), NULL));
}

// A fetch of class item.
static inline void assert_fetched(fb_engine *engine, const char *id, const char *expected) {
    asker one;
    asker_init(&one, engine, NULL, id);
    ask(&one);
    assert_ok(one.result);
    assert_str(one.value.data, expected);
    fb_value_release(&one.value);
}

static inline bool in_memory(fb_engine *engine, const char *key) {
    return rig_explain(engine, key).tier == FB_TIER_MEMORY;
}

#endif
