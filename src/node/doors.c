// What the doors keep to, one row each.
//
// CONFIG SET of Redis takes several pairs and changes all or nothing, so each value can be checked
// without being set. Numbers are written as Redis writes them: seconds and bytes alone, and bytes
// also with its units, of which "k" is 1,000 and "kb" 1,024.

#include "node/doors.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/str.h"
#include "base/units.h"
#include "node/tracking.h"

enum { MIB = 1 << 20, WORDS_PER_CLASS = 4, WORDS_MAX = 16 };

typedef enum kind { COUNT, SECONDS, BYTES } kind;

typedef struct row {
    const char *name;  // Redis's; NULL: part of client-output-buffer-limit
    const char *path;  // of the option
    kind kind;
    size_t offset;  // in fb_node, of an _Atomic uint64_t
    uint64_t min, max;
} row;

static const row ROWS[] = {
    {"maxclients", "listen.connections", COUNT, offsetof(fb_node, connections_max), 1, 1000000},
    {"timeout", "listen.idle", SECONDS, offsetof(fb_node, doors.idle_s), 0, INT32_MAX},
    {"tcp-keepalive", "listen.keepalive", SECONDS, offsetof(fb_node, doors.keepalive_s), 0,
     INT16_MAX},
    {"client-query-buffer-limit", "listen.query", BYTES, offsetof(fb_node, doors.query_max), MIB,
     UINT64_C(1) << 40},
    {"proto-max-bulk-len", "listen.bulk", BYTES, offsetof(fb_node, doors.bulk_max), MIB,
     UINT64_C(512) * MIB},
    {"tracking-table-max-keys", "listen.tracking_keys", COUNT,
     offsetof(fb_node, doors.tracking_keys_max), 0, 1000000000},
    {NULL, "listen.output_hard", BYTES, offsetof(fb_node, doors.output_hard), 0,
     UINT64_C(1) << 40},
    {NULL, "listen.output_soft", BYTES, offsetof(fb_node, doors.output_soft), 0,
     UINT64_C(1) << 40},
    {NULL, "listen.output_time", SECONDS, offsetof(fb_node, doors.output_soft_s), 0, INT32_MAX},
};
enum { ROW_COUNT = sizeof ROWS / sizeof ROWS[0], NAMED_COUNT = 6 };
static const char OUTPUT_NAME[] = "client-output-buffer-limit";

static void put(fb_node *node, const row *one, uint64_t number) {
    _Atomic uint64_t *place = (_Atomic uint64_t *)(void *)((char *)node + one->offset);
    atomic_store_explicit(place, number, memory_order_relaxed);
}

static uint64_t get(const fb_node *node, const row *one) {
    const _Atomic uint64_t *place =
        (const _Atomic uint64_t *)(const void *)((const char *)node + one->offset);
    return atomic_load_explicit(place, memory_order_relaxed);
}

// ---- the configuration

// Those of HTTP have no names of Redis.
static void read_http(fb_doors *doors, const fb_config *config) {
    const struct {
        const char *path;
        bool is_time;
        _Atomic uint64_t *place;
    } all[] = {{"http.idle", true, &doors->http_idle_ms},
               {"http.timeout", true, &doors->http_timeout_ms},
               {"http.max_header", false, &doors->http_header_max},
               {"http.max_body", false, &doors->http_body_max},
               {"http.max_bodies", false, &doors->http_bodies_max}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char text[64];
        int64_t ns = 0;
        uint64_t number = 0;
        bool there = fb_config_get(config, fb_str_of(all[i].path), text, sizeof text) == FB_OK &&
                     (all[i].is_time ? fb_units_duration(fb_str_of(text), &ns)
                                     : fb_units_bytes(fb_str_of(text), &number)) == FB_OK;
        if (there) {
            number = all[i].is_time ? (uint64_t)(ns / FB_NS_PER_MS) : number;
            atomic_store_explicit(all[i].place, number, memory_order_relaxed);
        }
    }
}

void fb_doors_read(fb_node *node, const fb_config *config) {
    char clients[64];
    uint64_t loop_clients;
    if (fb_config_get(config, FB_STR("listen.loop_clients"), clients, sizeof clients) == FB_OK &&
        fb_units_bytes(fb_str_of(clients), &loop_clients) == FB_OK) {
        atomic_store_explicit(&node->doors.loop_clients, loop_clients, memory_order_relaxed);
    }
    read_http(&node->doors, config);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const row *one = &ROWS[i];
        char text[64];
        uint64_t number = 0;
        int64_t ns = 0;
        bool there = fb_config_get(config, fb_str_of(one->path), text, sizeof text) == FB_OK;
        if (!there) {
            continue;
        }
        if (one->kind == SECONDS) {
            there = fb_units_duration(fb_str_of(text), &ns) == FB_OK;
            number = (uint64_t)((ns + FB_NS_PER_S - 1) / FB_NS_PER_S);
        } else {
            there = fb_units_bytes(fb_str_of(text), &number) == FB_OK;
        }
        if (there) {
            put(node, one, number);
        }
    }
    fb_tracking_make_room(node);
}

// ---- Redis's values

int fb_doors_bytes(fb_str text, uint64_t *number) {
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"gb", UINT64_C(1) << 30}, {"mb", UINT64_C(1) << 20}, {"kb", 1024},
                 {"g", 1000000000},         {"m", 1000000},            {"k", 1000},
                 {"b", 1}};
    uint64_t factor = 1;
    int64_t count;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i].unit);
        fb_str end = {text.ptr + text.len - (text.len > len ? len : 0), text.len > len ? len : 0};
        if (fb_str_same(end, fb_str_of(units[i].unit))) {
            text.len -= len;
            factor = units[i].factor;
            break;
        }
    }
    if (fb_str_int(text, &count) != FB_OK || count < 0 || (uint64_t)count > UINT64_MAX / factor) {
        return FB_EINVAL;
    }
    *number = (uint64_t)count * factor;
    return FB_OK;
}

static int read_value(const row *one, fb_str text, uint64_t *number, fb_error *error) {
    int64_t count = 0;
    if (one->kind == BYTES) {
        if (fb_doors_bytes(text, number) < 0) {
            return fb_error_set(error, FB_EINVAL, "argument must be a memory value");
        }
    } else if (fb_str_int(text, &count) != FB_OK) {
        return fb_error_set(error, FB_EINVAL, "argument couldn't be parsed into an integer");
    } else {
        *number = count < 0 ? UINT64_MAX : (uint64_t)count;
    }
    if (*number < one->min || *number > one->max) {
        return fb_error_set(error, FB_EINVAL, "argument must be between %llu and %llu inclusive",
                            (unsigned long long)one->min, (unsigned long long)one->max);
    }
    return FB_OK;
}

// ---- client-output-buffer-limit

static size_t split(fb_str text, fb_str words[WORDS_MAX]) {
    size_t count = 0;
    for (size_t at = 0; at < text.len && count < WORDS_MAX;) {
        size_t begin = at;
        while (at < text.len && text.ptr[at] != ' ') {
            at++;
        }
        if (at > begin) {
            words[count++] = fb_str_make(text.ptr + begin, at - begin);
        }
        at += at < text.len;
    }
    return count;
}

// "normal 1gb 64mb 60"
static int read_output(fb_str text, uint64_t numbers[WORDS_PER_CLASS - 1], fb_error *error) {
    fb_str words[WORDS_MAX];
    size_t count = split(text, words);
    if (count != WORDS_PER_CLASS) {
        return fb_error_set(error, FB_EINVAL, "Wrong number of arguments in buffer limit "
                                              "configuration.");
    }
    if (!fb_str_same(words[0], FB_STR("normal"))) {
        return fb_error_set(error, FB_EINVAL, "Invalid client class specified in buffer limit "
                                              "configuration.");
    }
    for (size_t i = 0; i < WORDS_PER_CLASS - 1; i++) {
        if (read_value(&ROWS[NAMED_COUNT + i], words[i + 1], &numbers[i], error) < 0) {
            return fb_error_set(error, FB_EINVAL, "Error in hard, soft or soft_seconds setting in "
                                                  "buffer limit configuration.");
        }
    }
    return FB_OK;
}

// ---- by name

static const row *find(fb_str name) {
    for (size_t i = 0; i < NAMED_COUNT; i++) {
        if (fb_str_same(name, fb_str_of(ROWS[i].name))) {
            return &ROWS[i];
        }
    }
    return NULL;
}

static int check(const fb_node *node, const row *one, uint64_t number, fb_error *error) {
    uint64_t most = atomic_load_explicit(&node->connections_possible, memory_order_relaxed);
    if (one == &ROWS[0] && most > 0 && number > most) {
        return fb_error_set(error, FB_EINVAL,
                            "The operating system is not able to handle the specified number of "
                            "clients, try with %llu",
                            (unsigned long long)most);
    }
    return FB_OK;
}

// NULL: only checked.
static int take(const fb_node *node, fb_node *changed, fb_str name, fb_str value,
                fb_error *error) {
    uint64_t numbers[WORDS_PER_CLASS - 1];
    const row *one = find(name);
    bool output = one == NULL && fb_str_same(name, fb_str_of(OUTPUT_NAME));
    if (one == NULL && !output) {
        return FB_MISS;
    }
    int result = output ? read_output(value, numbers, error)
                        : read_value(one, value, &numbers[0], error);
    if (result == FB_OK && !output) {
        result = check(node, one, numbers[0], error);
    }
    if (result < 0 || changed == NULL) {
        return result;
    }
    if (!output) {
        put(changed, one, numbers[0]);
    }
    for (size_t i = 0; output && i < WORDS_PER_CLASS - 1; i++) {
        put(changed, &ROWS[NAMED_COUNT + i], numbers[i]);
    }
    return FB_OK;
}

int fb_doors_set(fb_node *node, fb_str name, fb_str value, fb_error *error) {
    return take(node, node, name, value, error);
}

int fb_doors_check(const fb_node *node, fb_str name, fb_str value, fb_error *error) {
    return take(node, NULL, name, value, error);
}

int fb_doors_show(const fb_node *node, fb_str name, char text[FB_DOORS_TEXT_SIZE]) {
    const row *one = find(name);
    if (one != NULL) {
        (void)snprintf(text, FB_DOORS_TEXT_SIZE, "%llu", (unsigned long long)get(node, one));
        return FB_OK;
    }
    if (!fb_str_same(name, fb_str_of(OUTPUT_NAME))) {
        return FB_MISS;
    }
    (void)snprintf(text, FB_DOORS_TEXT_SIZE, "normal %llu %llu %llu",
                   (unsigned long long)get(node, &ROWS[NAMED_COUNT]),
                   (unsigned long long)get(node, &ROWS[NAMED_COUNT + 1]),
                   (unsigned long long)get(node, &ROWS[NAMED_COUNT + 2]));
    return FB_OK;
}

int fb_doors_options(const fb_node *node, fb_str name, fb_str value, fb_doors_option_fn fn,
                     void *arg, fb_error *error) {
    fb_node changed = {.engine = NULL};
    int result = take(node, NULL, name, value, error);
    if (result != FB_OK) {
        return result;
    }
    result = take(node, &changed, name, value, error);
    FB_ASSERT(result == FB_OK);
    const row *one = find(name);
    const row *last = one != NULL ? one : &ROWS[ROW_COUNT - 1];
    for (one = one != NULL ? one : &ROWS[NAMED_COUNT]; one <= last; one++) {
        char text[FB_DOORS_TEXT_SIZE];
        (void)snprintf(text, sizeof text, "%llu%s", (unsigned long long)get(&changed, one),
                       one->kind == SECONDS ? "s" : "");
        fn(arg, one->path, text);
    }
    return FB_OK;
}

const char *fb_doors_name(size_t index) {
    return index < NAMED_COUNT ? ROWS[index].name : index == NAMED_COUNT ? OUTPUT_NAME : NULL;
}
