// A sweep is two rounds over all servers, one scanning after the other: first the leases whose key
// matches, then the values. A fill under a lease from before is found by one of the two: if its
// lease is still there, by the first, which takes the lease, and the fill is refused; else the
// value is stored already when the second round begins. Keys of plain layouts come in a third and a
// fourth.
//
// The server matches roughly (a pattern for our keys' beginning cannot say "a number"), so every
// key is taken apart and matched again. What matches is unlinked batch by batch: key by key, all at
// once on the way, because a Cluster's keys may lie in several slots.
//
// SCAN gives every key that is there from begin to end, but it goes by server: where slots move to
// another server meanwhile, keys may be passed by. So after the topology changed (a key answers
// from elsewhere, a server is gone) the round fails, and with it the sweep: it is asked for again.

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/glob.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "os/clock.h"
#include "redis/remote_state.h"

enum { SCAN_COUNT = 1000 };
// The whole may take long, but no step of it: a server that is silent for so long is not there.
static const int64_t STEP_NS = FB_NS_PER_S;

typedef enum round_kind { LEASES, VALUES, PLAIN_LEASES, PLAIN_VALUES, ROUNDS } round_kind;

typedef struct sweep {
    fb_ask *ask;
    char *glob;
    size_t glob_len;
    round_kind round;
    size_t server, servers;
    fb_buf cursor;      // where the scan goes on; empty: at its end
    size_t unlinking;   // answers that are waited for
    bool failed;
    fb_str *prefixes;   // of plain classes
    size_t prefix_count;
} sweep;

static void step(sweep *of);

static void free_sweep(sweep *of) {
    for (size_t i = 0; i < of->prefix_count; i++) {
        fb_mem_free((char *)(uintptr_t)of->prefixes[i].ptr);
    }
    fb_mem_free(of->prefixes);
    fb_buf_release(&of->cursor);
    fb_mem_free(of->glob);
    fb_mem_free(of);
}

static void end(sweep *of) {
    fb_ask *ask = of->ask;
    free_sweep(of);
    fb_ask_answer(ask);
}

static void fail(sweep *of, fb_sync_result result, const char *why) {
    if (!of->failed) {
        of->failed = true;
        fb_reply_fail(of->ask, result, why);
    }
}

// ---- keys

static bool take(fb_str *rest, const char *text) {
    fb_str part = fb_str_of(text);
    if (!fb_str_starts(*rest, part)) {
        return false;
    }
    *rest = fb_str_make(rest->ptr + part.len, rest->len - part.len);
    return true;
}

// NAMESPACE:{NAMESPACE.NUMBER}:LETTER:KEY
static bool our_key(const fb_redis *redis, fb_str name, const char *letter, fb_str *key) {
    const char *ns = redis->options.name_space;
    if (!take(&name, ns) || !take(&name, ":{") || !take(&name, ns) || !take(&name, ".")) {
        return false;
    }
    size_t digits = 0;
    while (digits < name.len && name.ptr[digits] >= '0' && name.ptr[digits] <= '9') {
        digits++;
    }
    name = fb_str_make(name.ptr + digits, name.len - digits);
    if (digits == 0 || !take(&name, "}:") || !take(&name, letter)) {
        return false;
    }
    *key = name;
    return true;
}

static bool is_plain(const sweep *of, fb_str key) {
    for (size_t i = 0; i < of->prefix_count; i++) {
        if (fb_str_starts(key, of->prefixes[i])) {
            return true;
        }
    }
    return false;
}

// NAMESPACE:l:{KEY}, or NAMESPACE:l:{PART}:KEY.
static bool plain_lease(const fb_redis *redis, fb_str name, fb_str *key) {
    if (!take(&name, redis->options.name_space) || !take(&name, ":l:{")) {
        return false;
    }
    if (name.len > 0 && name.ptr[name.len - 1] == '}') {
        *key = fb_str_make(name.ptr, name.len - 1);
        return true;
    }
    size_t close = fb_str_find(name, '}');
    if (close + 1 >= name.len || name.ptr[close + 1] != ':') {
        return false;
    }
    *key = fb_str_make(name.ptr + close + 2, name.len - close - 2);
    return true;
}

static bool matches(const sweep *of, fb_str name) {
    const fb_redis *redis = of->ask->remote->redis;
    fb_str key;
    bool ours = false;

    switch (of->round) {
    case LEASES:
        ours = our_key(redis, name, "l:", &key);
        break;
    case VALUES:
        ours = our_key(redis, name, "v:", &key);
        break;
    case PLAIN_LEASES:
        ours = plain_lease(redis, name, &key);
        break;
    default:
        key = name;
        ours = is_plain(of, name) && !our_key(redis, name, "v:", &key);
    }
    return ours && fb_glob_match(fb_str_make(of->glob, of->glob_len), key);
}

// ---- taking away

static void on_unlinked(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                        const char *why) {
    sweep *of = arg;

    if (outcome != FB_CONN_REPLIED) {
        fail(of, outcome == FB_CONN_NOT_SENT ? FB_SYNC_FAILED : FB_SYNC_UNKNOWN, why);
    } else if (value->type != FB_RESP_INTEGER) {
        fail(of, FB_SYNC_FAILED, "keys could not be taken away");
    } else if (of->round == VALUES || of->round == PLAIN_VALUES) {
        of->ask->reply.number += value->integer;
    }
    if (--of->unlinking == 0) {
        step(of);
    }
}

static int64_t step_deadline(const sweep *of) {
    int64_t until_ns = fb_clock_now_ns() + STEP_NS;
    return until_ns < of->ask->deadline_ns ? until_ns : of->ask->deadline_ns;
}

static void unlink_key(sweep *of, fb_str key) {
    fb_str args[] = {FB_STR("UNLINK"), key};
    fb_remote_command command = {.args = args,
                                 .arg_count = 2,
                                 .slot = fb_slot_of(key),
                                 .deadline_ns = step_deadline(of),
                                 .fn = on_unlinked,
                                 .arg = of};
    of->unlinking++;
    int result = fb_remote_send(of->ask->remote, &command);
    if (result < 0) {
        of->unlinking--;
        fail(of, FB_SYNC_FAILED, fb_result_text(result));
    }
}

static void on_scanned(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                       const char *why) {
    sweep *of = arg;

    of->unlinking = 1;  // this function's own
    if (outcome != FB_CONN_REPLIED) {
        fail(of, outcome == FB_CONN_NOT_SENT ? FB_SYNC_FAILED : FB_SYNC_UNKNOWN, why);
    } else if (value->type != FB_RESP_ARRAY || value->child_count != 2) {
        fail(of, FB_SYNC_FAILED, "the keys could not be scanned");
    } else {
        const fb_resp_value *keys = &value->children[1];
        fb_str cursor = value->children[0].text;
        of->cursor.len = 0;
        if (!fb_str_equal(cursor, FB_STR("0")) && fb_buf_append(&of->cursor, cursor) < 0) {
            fail(of, FB_SYNC_FAILED, fb_result_text(FB_ENOMEM));
        }
        for (size_t i = 0; i < keys->child_count; i++) {
            if (matches(of, keys->children[i].text)) {
                unlink_key(of, keys->children[i].text);
            }
        }
    }
    if (--of->unlinking == 0) {
        step(of);
    }
}

// ---- rounds

// A pattern of the server's for the keys of this round. The namespace has nothing special in it.
static int write_pattern(const sweep *of, fb_buf *out) {
    const char *ns = of->ask->remote->redis->options.name_space;
    int result = FB_OK;

    switch (of->round) {
    case LEASES:
        result = fb_buf_printf(out, "%s:{%s.*}:l:", ns, ns);
        break;
    case VALUES:
        result = fb_buf_printf(out, "%s:{%s.*}:v:", ns, ns);
        break;
    case PLAIN_LEASES:
        return fb_buf_printf(out, "%s:l:{*", ns);
    default:
        break;
    }
    return result < 0 ? result : fb_buf_append(out, fb_str_make(of->glob, of->glob_len));
}

static int scan(sweep *of) {
    fb_remote *remote = of->ask->remote;
    fb_buf pattern = {0};
    char count[16];
    int result = write_pattern(of, &pattern);

    snprintf(count, sizeof count, "%d", SCAN_COUNT);
    if (result == FB_OK) {
        fb_str args[] = {FB_STR("SCAN"),
                         of->cursor.len > 0 ? fb_buf_str(&of->cursor) : FB_STR("0"),
                         FB_STR("MATCH"), fb_buf_str(&pattern), FB_STR("COUNT"), fb_str_of(count)};
        fb_remote_command command = {.args = args,
                                     .arg_count = 6,
                                     .server = fb_route_server_at(remote->route, of->server),
                                     .repeatable = true,
                                     .deadline_ns = step_deadline(of),
                                     .fn = on_scanned,
                                     .arg = of};
        result = fb_remote_send(remote, &command);
    }
    fb_buf_release(&pattern);
    return result;
}

// What comes next: more of this server, the next server, the next round, or the end.
static void step(sweep *of) {
    fb_remote *remote = of->ask->remote;

    if (!of->failed && of->servers != fb_route_server_count(remote->route)) {
        fail(of, FB_SYNC_FAILED, "servers came or went meanwhile");
    }
    if (!of->failed && fb_route_lacks(remote->route)) {
        fail(of, FB_SYNC_FAILED, remote->part);
    }
    if (of->failed) {
        end(of);
        return;
    }
    if (of->cursor.len == 0 && ++of->server == of->servers) {
        of->server = 0;
        of->round++;
        if (of->round == ROUNDS || (of->round == PLAIN_LEASES && of->prefix_count == 0)) {
            of->ask->reply.result = FB_SYNC_DONE;
            end(of);
            return;
        }
    }
    int result = scan(of);
    if (result < 0) {
        fail(of, FB_SYNC_FAILED, fb_result_text(result));
        end(of);
    }
}

static int learn_prefixes(sweep *of) {
    fb_redis *redis = of->ask->remote->redis;
    int result = FB_OK;

    pthread_mutex_lock(&redis->lock);
    if (redis->class_count > 0) {
        of->prefixes = fb_mem_zero(redis->class_count, sizeof *of->prefixes);
        result = of->prefixes == NULL ? FB_ENOMEM : FB_OK;
    }
    for (size_t i = 0; i < redis->class_count && result == FB_OK; i++) {
        if (redis->classes[i].plain) {
            char *copy = fb_mem_text(redis->classes[i].prefix);
            result = copy == NULL ? FB_ENOMEM : FB_OK;
            if (copy != NULL) {
                of->prefixes[of->prefix_count++] = fb_str_make(copy, redis->classes[i].prefix.len);
            }
        }
    }
    pthread_mutex_unlock(&redis->lock);
    return result;
}

void fb_sweep_start(fb_ask *ask, fb_str glob) {
    sweep *of = fb_mem_zero(1, sizeof *of);
    int result = FB_ENOMEM;

    if (of == NULL) {
        fb_ask_refuse(ask, result);
        return;
    }
    of->ask = ask;
    of->servers = fb_route_server_count(ask->remote->route);
    of->glob = fb_mem_text(glob);
    of->glob_len = glob.len;
    if (of->servers == 0) {
        snprintf(ask->text, sizeof ask->text, "no server is reached");
        result = FB_EINVAL;
    } else if (fb_route_lacks(ask->remote->route)) {
        snprintf(ask->text, sizeof ask->text, "%s", ask->remote->part);
        result = FB_EINVAL;
    } else if (of->glob != NULL) {
        result = learn_prefixes(of);
        result = result == FB_OK ? scan(of) : result;
    }
    if (result < 0) {
        free_sweep(of);
        fb_ask_refuse(ask, result);
    }
}
