// Commands on keys: whether they are there, for how long, and which.
//
// KEYS and SCAN collect keys while the store shows them (under its lock, so nothing else is done
// then) as lengths and bytes in one buffer, and write the reply from that.

#include "node/command_table.h"

#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "base/str.h"
#include "node/expiry.h"
#include "node/session_state.h"

enum {
    INT_TEXT_LEN_MAX = 20,
    EMBEDDED_LEN_MAX = 44,
    SCAN_STEP = 1024,
    SCAN_TURNS_MAX = 10,
    RANDOM_PART_BITS = 16,
    RANDOM_PLACES = 64,
    RANDOM_SEEN_MAX = 1000
};

void fb_key_del(fb_command_call *call) {
    int64_t count = 0;
    for (size_t i = 1; i < call->arg_count; i++) {
        count += fb_del(call->node->engine, call->args[i]) == FB_OK;
    }
    fb_reply_integer(call->reply, count);
}

void fb_key_exists(fb_command_call *call) {
    int64_t count = 0;
    for (size_t i = 1; i < call->arg_count; i++) {
        count += fb_exists(call->node->engine, call->args[i]) == FB_OK;
    }
    fb_reply_integer(call->reply, count);
}

static void look_at(void *arg, const fb_value *value) {
    (void)arg, (void)value;
}

// A read whose value nobody wants: it counts for what stays in memory.
void fb_key_touch(fb_command_call *call) {
    int64_t count = 0;
    for (size_t i = 1; i < call->arg_count; i++) {
        count += fb_get(call->node->engine, call->args[i], look_at, NULL) == FB_OK;
    }
    fb_reply_integer(call->reply, count);
}

void fb_key_type(fb_command_call *call) {
    bool there = fb_exists(call->node->engine, call->args[1]) == FB_OK;
    fb_reply_status(call->reply, there ? "string" : "none");
}

// ---- how long

enum { IF_ABSENT = 1, IF_PRESENT = 2, IF_LATER = 4, IF_SOONER = 8 };

typedef struct lifetime {
    int64_t expires_ms, now_ms;
    int conditions;
    bool changed;
} lifetime;

static bool conditions_hold(const lifetime *one, int64_t before_ms) {
    bool endless = before_ms < 0;
    if ((one->conditions & IF_ABSENT) != 0 && !endless) {
        return false;
    }
    if ((one->conditions & IF_PRESENT) != 0 && endless) {
        return false;
    }
    if ((one->conditions & IF_LATER) != 0 && (endless || one->expires_ms <= before_ms)) {
        return false;
    }
    return (one->conditions & IF_SOONER) == 0 || endless || one->expires_ms < before_ms;
}

// Called again where somebody was faster: it begins anew then.
static int set_lifetime(void *arg, fb_edit *edit) {
    lifetime *one = arg;
    one->changed = false;
    if (!edit->found) {
        return FB_MISS;
    }
    if (!conditions_hold(one, edit->expires_ms)) {
        return FB_REFUSED;
    }
    one->changed = true;
    if (one->expires_ms <= one->now_ms) {
        edit->action = FB_EDIT_DELETE;
    } else {
        edit->action = FB_EDIT_EXPIRE;
        edit->expires_ms = one->expires_ms;
    }
    return FB_OK;
}

static bool read_conditions(fb_command_call *call, int *conditions) {
    for (size_t i = 3; i < call->arg_count; i++) {
        if (fb_command_word(call, i, "NX")) {
            *conditions |= IF_ABSENT;
        } else if (fb_command_word(call, i, "XX")) {
            *conditions |= IF_PRESENT;
        } else if (fb_command_word(call, i, "GT")) {
            *conditions |= IF_LATER;
        } else if (fb_command_word(call, i, "LT")) {
            *conditions |= IF_SOONER;
        } else {
            fb_reply_error(call->reply, "ERR Unsupported option %.*s", FB_STR_ARG(call->args[i]));
            return false;
        }
    }
    if ((*conditions & IF_ABSENT) != 0 && *conditions != IF_ABSENT) {
        fb_reply_error(call->reply,
                       "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((*conditions & IF_LATER) != 0 && (*conditions & IF_SOONER) != 0) {
        fb_reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    return true;
}

static void expire(fb_command_call *call, fb_expiry_form form) {
    lifetime one = {.now_ms = fb_expiry_now_ms(call->node)};
    if (!read_conditions(call, &one.conditions) ||
        !fb_expiry_read(call, 2, form, false, &one.expires_ms)) {
        return;
    }
    int result = fb_edit_key(call->node->engine, call->args[1], set_lifetime, &one);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, one.changed);
    }
}

void fb_key_expire(fb_command_call *call) {
    expire(call, FB_EXPIRY_SECONDS);
}

void fb_key_pexpire(fb_command_call *call) {
    expire(call, FB_EXPIRY_MS);
}

void fb_key_expireat(fb_command_call *call) {
    expire(call, FB_EXPIRY_UNIX_SECONDS);
}

void fb_key_pexpireat(fb_command_call *call) {
    expire(call, FB_EXPIRY_UNIX_MS);
}

static int make_endless(void *arg, fb_edit *edit) {
    bool *changed = arg;
    *changed = edit->found && edit->expires_ms >= 0;
    if (*changed) {
        edit->action = FB_EDIT_EXPIRE;
        edit->expires_ms = -1;
    }
    return FB_OK;
}

void fb_key_persist(fb_command_call *call) {
    bool changed = false;
    int result = fb_edit_key(call->node->engine, call->args[1], make_endless, &changed);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, changed);
    }
}

// -2: not there; -1: for ever.
static void reply_ttl(fb_command_call *call, bool seconds) {
    int64_t ttl_ms = 0;
    int64_t shown = -2;
    if (fb_ttl(call->node->engine, call->args[1], &ttl_ms) == FB_OK) {
        shown = ttl_ms < 0 ? -1 : ttl_ms;
    }
    if (shown >= 0 && seconds) {
        shown = (shown + 500) / 1000;
    }
    fb_reply_integer(call->reply, shown);
}

void fb_key_ttl(fb_command_call *call) {
    reply_ttl(call, true);
}

void fb_key_pttl(fb_command_call *call) {
    reply_ttl(call, false);
}

static int take_expiry(void *arg, fb_edit *edit) {
    *(int64_t *)arg = edit->found ? edit->expires_ms : -2;
    return FB_OK;
}

// By an edit that changes nothing: it shows the very millisecond that was set.
static int64_t expiry_of(fb_command_call *call) {
    int64_t expires_ms = -2;
    int result = fb_edit_key(call->node->engine, call->args[1], take_expiry, &expires_ms);
    return result < 0 ? -2 : expires_ms;
}

void fb_key_expiretime(fb_command_call *call) {
    int64_t expires_ms = expiry_of(call);
    fb_reply_integer(call->reply, expires_ms < 0 ? expires_ms : (expires_ms + 500) / 1000);
}

void fb_key_pexpiretime(fb_command_call *call) {
    fb_reply_integer(call->reply, expiry_of(call));
}

// ---- which

typedef struct key_list {
    fb_buf packed;  // a uint32_t length, the bytes, and again
    size_t count;
    bool only_empty;  // an empty pattern matches the empty key; to the engine it is none at all
    bool failed;
} key_list;

static void add_key(void *arg, fb_str key) {
    key_list *list = arg;
    uint32_t len = (uint32_t)key.len;
    if (list->only_empty && len > 0) {
        return;
    }
    if (list->failed || fb_buf_reserve(&list->packed, sizeof len + key.len) < 0) {
        list->failed = true;
        return;
    }
    memcpy(list->packed.ptr + list->packed.len, &len, sizeof len);
    if (key.len > 0) {
        memcpy(list->packed.ptr + list->packed.len + sizeof len, key.ptr, key.len);
    }
    list->packed.len += sizeof len + key.len;
    list->count++;
}

static void reply_keys(fb_command_call *call, const key_list *list) {
    fb_reply_array(call->reply, list->count);
    for (size_t at = 0; at < list->packed.len;) {
        uint32_t len;
        memcpy(&len, list->packed.ptr + at, sizeof len);
        fb_reply_bytes(call->reply, fb_str_make(list->packed.ptr + at + sizeof len, len));
        at += sizeof len + len;
    }
}

void fb_key_keys(fb_command_call *call) {
    key_list list = {.only_empty = call->args[1].len == 0};
    uint64_t cursor = 0;
    int result = FB_OK;
    do {
        result =
            fb_scan(call->node->engine, cursor, SCAN_STEP, call->args[1], add_key, &list, &cursor);
    } while (result == FB_OK && cursor != 0 && !list.failed);
    if (result < 0 || list.failed) {
        fb_command_failed(call, result < 0 ? result : FB_ENOMEM, NULL);
    } else {
        reply_keys(call, &list);
    }
    fb_buf_release(&list.packed);
}

// As strtoul() reads it for Redis: a sign may stand before it, and nothing at all is 0.
static bool read_cursor(fb_command_call *call, uint64_t *cursor) {
    fb_str text = call->args[1];
    uint64_t number = 0;
    bool fits = true;
    bool negative = text.len > 1 && text.ptr[0] == '-';
    bool sign = negative || (text.len > 1 && text.ptr[0] == '+');
    for (size_t i = sign; i < text.len && fits; i++) {
        uint64_t digit = (uint64_t)(text.ptr[i] - '0');
        fits = text.ptr[i] >= '0' && text.ptr[i] <= '9' &&
               !__builtin_mul_overflow(number, 10, &number) &&
               !__builtin_add_overflow(number, digit, &number);
    }
    if (!fits) {
        fb_reply_error(call->reply, "ERR invalid cursor");
    }
    *cursor = negative ? 0 - number : number;
    return fits;
}

typedef struct scan_options {
    fb_str match;
    int64_t count;
    bool only_empty;  // of key_list
    bool none;        // another TYPE: every value here is a string
} scan_options;

static bool read_scan_options(fb_command_call *call, scan_options *options) {
    for (size_t i = 2; i < call->arg_count; i += 2) {
        bool more = i + 1 < call->arg_count;
        if (more && fb_command_word(call, i, "MATCH")) {
            options->match = call->args[i + 1];
            options->only_empty = options->match.len == 0;
        } else if (more && fb_command_word(call, i, "TYPE")) {
            options->none = !fb_command_word(call, i + 1, "string");
        } else if (more && fb_command_word(call, i, "COUNT")) {
            if (!fb_command_int(call, i + 1, &options->count)) {
                return false;
            }
            if (options->count < 1) {
                fb_command_syntax_error(call);
                return false;
            }
        } else {
            fb_command_syntax_error(call);
            return false;
        }
    }
    return true;
}

// COUNT is how many places of the index are looked at, and in an index that is nearly empty that
// finds nothing, call after call. So, as in Redis, up to ten times as many are looked at while
// fewer keys than that are found.
static int scan_some(fb_command_call *call, const scan_options *options, uint64_t *cursor,
                     key_list *list) {
    uint64_t count = (uint64_t)options->count;
    int result = FB_OK;
    for (int turn = 0; turn < SCAN_TURNS_MAX; turn++) {
        result = fb_scan(call->node->engine, *cursor, count, options->match, add_key, list, cursor);
        if (result < 0 || list->failed || *cursor == 0 || list->count >= count) {
            break;
        }
    }
    return result;
}

void fb_key_scan(fb_command_call *call) {
    uint64_t cursor = 0;
    scan_options options = {.count = 10};
    if (!read_cursor(call, &cursor) || !read_scan_options(call, &options)) {
        return;
    }
    key_list list = {.only_empty = options.only_empty};
    int result = scan_some(call, &options, &cursor, &list);
    if (result < 0 || list.failed) {
        fb_command_failed(call, result < 0 ? result : FB_ENOMEM, NULL);
    } else {
        char text[INT_TEXT_LEN_MAX + 1];
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)cursor);
        if (options.none) {
            list.count = list.packed.len = 0;
        }
        fb_reply_array(call->reply, 2);
        fb_reply_text(call->reply, text);
        reply_keys(call, &list);
    }
    fb_buf_release(&list.packed);
}

// ---- any

typedef struct drawing {
    fb_rng rng;
    uint64_t seen;
    fb_buf key;
    bool failed;
} drawing;

// Each key seen is as likely as every other to be the one that is kept (reservoir sampling).
static void draw(void *arg, fb_str key) {
    drawing *one = arg;
    one->seen++;
    if (fb_rng_below(&one->rng, one->seen) == 0) {
        one->key.len = 0;
        one->failed = fb_buf_append(&one->key, key) < 0;
    }
}

// A cursor is a place in one part of the index, the part in its lowest bits (store/scan.c). How
// many parts there are is the store's own business, but it is a power of two, and where there is no
// such part a scan ends at once: so the range of parts to draw from is halved until one is met.
// Should cursors be made otherwise one day, keys would be less random, and still be keys.
static int draw_somewhere(fb_engine *engine, drawing *one) {
    int result = FB_OK;
    for (int bits = RANDOM_PART_BITS; bits >= 0 && one->seen == 0 && result == FB_OK; bits--) {
        uint64_t parts = (UINT64_C(1) << RANDOM_PART_BITS) - (UINT64_C(1) << bits);
        uint64_t cursor = fb_rng_next(&one->rng) & ~parts;
        result = fb_scan(engine, cursor, RANDOM_PLACES, FB_STR(""), draw, one, &cursor);
    }
    return result;
}

// An index with next to nothing in it: from all of it, or from enough.
static int draw_from_all(fb_engine *engine, drawing *one) {
    uint64_t cursor = 0;
    int result;
    do {
        result = fb_scan(engine, cursor, SCAN_STEP, FB_STR(""), draw, one, &cursor);
    } while (result == FB_OK && cursor != 0 && one->seen < RANDOM_SEEN_MAX);
    return result;
}

void fb_key_random(fb_command_call *call) {
    fb_engine *engine = call->node->engine;
    drawing one = {.seen = 0};
    uint64_t seed = (uint64_t)call->node->wall_us() ^ call->session->run_count << 40;
    fb_rng_init(&one.rng, seed ^ call->session->id << 20);
    int result = draw_somewhere(engine, &one);
    if (result == FB_OK && one.seen == 0) {
        result = draw_from_all(engine, &one);
    }
    if (result < 0 || one.failed) {
        fb_command_failed(call, result < 0 ? result : FB_ENOMEM, NULL);
    } else if (one.seen == 0) {
        fb_reply_null(call->reply);
    } else {
        fb_reply_bytes(call->reply, fb_buf_str(&one.key));
    }
    fb_buf_release(&one.key);
}

// ---- OBJECT

static void take_encoding(void *arg, const fb_value *value) {
    const char **encoding = arg;
    int64_t number;
    if (value->data.len <= INT_TEXT_LEN_MAX && fb_str_int(value->data, &number) == FB_OK) {
        *encoding = "int";
    } else {
        *encoding = value->data.len <= EMBEDDED_LEN_MAX ? "embstr" : "raw";
    }
}

void fb_object_encoding(fb_command_call *call) {
    const char *encoding = NULL;
    if (fb_get(call->node->engine, call->args[2], take_encoding, &encoding) == FB_OK) {
        fb_reply_text(call->reply, encoding);
    } else {
        fb_reply_null(call->reply);
    }
}

void fb_object_freq(fb_command_call *call) {
    fb_explanation explanation;
    if (fb_exists(call->node->engine, call->args[2]) != FB_OK) {
        fb_reply_null(call->reply);
        return;
    }
    int result = fb_explain(call->node->engine, call->args[2], &explanation);
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, explanation.frequency);
    }
}

static void reply_number_of(fb_command_call *call, int64_t number) {
    if (fb_exists(call->node->engine, call->args[2]) == FB_OK) {
        fb_reply_integer(call->reply, number);
    } else {
        fb_reply_null(call->reply);
    }
}

// How often a key was read is known, and not when: Redis's words for that.
void fb_object_idletime(fb_command_call *call) {
    if (fb_exists(call->node->engine, call->args[2]) != FB_OK) {
        fb_reply_null(call->reply);
        return;
    }
    fb_reply_error(call->reply, "ERR An LFU maxmemory policy is selected, idle time not tracked. "
                                "Please note that when switching between policies at runtime LRU "
                                "and LFU data will take some time to adjust.");
}

void fb_object_refcount(fb_command_call *call) {
    reply_number_of(call, 1);
}

void fb_object_help(fb_command_call *call) {
    fb_command_help(call, "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                    FB_COMMANDS_OBJECT);
}
