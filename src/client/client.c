// The calls on keys. Each is one command to the daemon, or the same on the private cache where
// there is no daemon (exchange.c). What is read is looked for in the region first.
//
// A write that the daemon did not acknowledge, for whatever reason, is done privately, and its key
// is owed: whether or not the daemon did it too, the key is deleted there before anything of it is
// read again, so this process never sees an older value than its own last one.

#include <forebay/client.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/clock.h"
#include "client/exchange.h"
#include "client/owned.h"

enum { TIMEOUT_MS = 1000, RETRY_MS = 500, PRIVATE_BYTES = 16 << 20, PRIVATE_TTL_MS = 60000 };
enum { NUMBER_SIZE = 24 };
static const size_t VALUE_MAX = (size_t)512 << 20;

// ---- opening

static int64_t choose_ms(int64_t ms, int64_t usual_ms) {
    int64_t most_ms = INT64_MAX / 4000000;
    return ms <= 0 ? usual_ms : ms < most_ms ? ms : most_ms;
}

static bool copy_text(char *to, size_t to_size, const char *from) {
    return from == NULL || (size_t)snprintf(to, to_size, "%s", from) < to_size;
}

static int read_address(fb_str url, fb_address *address, fb_error *error) {
    const char *known = url.len == 0 ? getenv("FOREBAY_URL") : NULL;
    int result = fb_address_read(known != NULL ? fb_str_of(known) : url, address, error);
    // As whom, the environment says as well, but not of an address that it does not know.
    bool silent = address->user[0] == '\0' && address->password[0] == '\0';
    if (result == FB_OK && url.len == 0 && silent &&
        (!copy_text(address->user, sizeof address->user, getenv("FOREBAY_USER")) ||
         !copy_text(address->password, sizeof address->password, getenv("FOREBAY_PASSWORD")))) {
        result = fb_error_set(error, FB_EINVAL,
                              "FOREBAY_USER or FOREBAY_PASSWORD: longer than it may be");
    }
    return result;
}

int fb_client_open(const fb_client_options *options, fb_client **out, fb_error *error) {
    static const fb_client_options usual;
    fb_address address;
    *out = NULL;
    options = options != NULL ? options : &usual;
    int result = read_address(options->url, &address, error);
    if (result < 0) {
        return result;
    }
    fb_client *client = fb_mem_zero(1, sizeof *client);
    if (client == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    client->address = address;
    client->timeout_ms = choose_ms(options->timeout_ms, TIMEOUT_MS);
    client->retry_ms = choose_ms(options->retry_ms, RETRY_MS);
    client->own.limit_bytes = options->private_bytes > 0 ? options->private_bytes : PRIVATE_BYTES;
    client->own.ttl_max_ms = choose_ms(options->private_ttl_ms, PRIVATE_TTL_MS);
    client->no_region = options->no_region;
    client->any_owner = options->any_owner;
    client->warn = options->warn;
    client->warn_arg = options->warn_arg;
    fb_list_init(&client->conns);
    fb_list_init(&client->idle);
    fb_owed_init(&client->owed);
    if (fb_forked_init(&client->forked, fb_exchange_in_child) < 0) {
        fb_mem_free(client);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    *out = client;
    return FB_OK;
}

void fb_client_close(fb_client *client) {
    if (client != NULL) {
        fb_forked_release(&client->forked);
        fb_exchange_release(client);
        fb_private_release(&client->own);
        fb_owed_release(&client->owed);
        fb_memo_release(&client->memo);
        fb_mem_free(client);
    }
}

// ---- the private cache

// Takes the lock for work on the private cache. After a fork it is made anew: in the parent's
// memory there may be what the child should not count on.
static void begin_private(fb_client *client) {
    fb_forked_lock(&client->forked);
    if (client->own_is_parents) {
        fb_private_release(&client->own);
        client->own_is_parents = false;
    }
}

static void end_private(fb_client *client) {
    fb_forked_unlock(&client->forked);
}

// The same for a write: the key is owed from now on. FB_OK, and then end_private() must follow.
static int begin_private_write(fb_client *client, fb_str key, fb_error *error) {
    begin_private(client);
    int result = fb_owed_add(&client->owed, key);
    if (result == FB_OK) {
        if (!client->away) {
            // The outage has ended meanwhile; this write begins one, which the next request ends.
            client->away = true;
            client->retry_ns = 0;
        }
        atomic_store_explicit(&client->owing, true, memory_order_release);
        return FB_OK;
    }
    end_private(client);
    if (result == FB_EOVERLOAD) {
        return fb_error_set(error, result,
                            "the daemon at %s is away, and more than %d keys or %d MiB of them "
                            "were written meanwhile",
                            client->address.name, FB_OWED_KEYS_MAX, FB_OWED_BYTES_MAX >> 20);
    }
    return fb_error_set(error, result, "out of memory");
}

static int say_private(int result, fb_error *error) {
    if (result < 0) {
        return fb_error_set(error, result, "%s",
                            result == FB_ETYPE    ? "value is not an integer or out of range"
                            : result == FB_ERANGE ? "increment or decrement would overflow"
                                                  : fb_result_text(result));
    }
    return result;
}

static int get_private(fb_client *client, fb_str key, fb_value *value) {
    begin_private(client);
    int result = fb_private_get(&client->own, key, fb_now_ns(), value);
    end_private(client);
    if (result == FB_OK) {
        fb_client_count(&fb_client_stripe(client)->private_hits);
    }
    return result;
}

static int ttl_private(fb_client *client, fb_str key, int64_t *ttl_ms) {
    begin_private(client);
    int result = fb_private_ttl(&client->own, key, fb_now_ns(), ttl_ms);
    end_private(client);
    return result;
}

// ---- asking

static int check_key(fb_str key, fb_error *error) {
    return key.len <= FB_KEY_LEN_MAX
               ? FB_OK
               : fb_error_set(error, FB_ETOOBIG, "a key has at most %d bytes", FB_KEY_LEN_MAX);
}

static int say_strange(fb_client *client, fb_conn *conn, const char *verb, fb_error *error) {
    fb_exchange_done(client, conn);
    return fb_error_set(error, FB_EIO, "%s answered %s with something else than it should",
                        client->address.name, verb);
}

// A command that is answered with a number.
static int ask_integer(fb_client *client, const fb_ask *ask, int64_t *number, fb_error *error) {
    fb_conn *conn;
    const fb_resp_value *reply;
    int result = fb_exchange(client, ask, &conn, &reply, error);
    if (result < 0) {
        return result;
    }
    if (reply->type != FB_RESP_INTEGER) {
        return say_strange(client, conn, ask->args[0].ptr, error);
    }
    *number = reply->integer;
    fb_exchange_done(client, conn);
    return FB_OK;
}

static fb_ask ask_for(const fb_client *client, const fb_str *args, size_t arg_count) {
    return (fb_ask){.args = args, .arg_count = arg_count, .timeout_ms = client->timeout_ms};
}

static fb_str write_number(char text[NUMBER_SIZE], int64_t number) {
    int len = snprintf(text, NUMBER_SIZE, "%" PRId64, number);
    return fb_str_make(text, (size_t)len);
}

// ---- reading

int fb_client_peek(fb_client *client, fb_str key, void *bytes, size_t room, fb_value *value) {
    fb_reader *reader = atomic_load_explicit(&client->reader, memory_order_acquire);
    if (reader == NULL || atomic_load_explicit(&client->owing, memory_order_acquire)) {
        *value = (fb_value){0};
        return FB_MISS;
    }
    int result = fb_reader_get(reader, key, bytes, room, value);
    if (result == FB_OK) {
        // Threads have stripes of their own, as long as there are no more of them: an addition that
        // is not atomic is exact then, and a tenth of a read cheaper.
        _Atomic uint64_t *hits = &fb_client_stripe(client)->region_hits;
        uint64_t count = atomic_load_explicit(hits, memory_order_relaxed);
        atomic_store_explicit(hits, count + 1, memory_order_relaxed);
    }
    return result;
}

// A reply's bytes as a value. Of age and lifetime GET says nothing.
static int keep_reply(fb_str text, fb_value *value, fb_error *error) {
    fb_blob *blob = fb_blob_new(text);
    if (blob == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    *value = (fb_value){
        .data = fb_blob_str(blob),
        .kind = fb_json_valid(text) ? FB_KIND_JSON : FB_KIND_BYTES,
        .tier = FB_TIER_MEMORY,
        .owner = blob,
    };
    return FB_OK;
}

int fb_client_get(fb_client *client, fb_str key, fb_value *value, fb_error *error) {
    const fb_str args[] = {FB_STR("GET"), key};
    fb_conn *conn;
    const fb_resp_value *reply;
    if (fb_owned_peek(client, key, value) == FB_OK) {
        return FB_OK;
    }
    int result = check_key(key, error);
    if (result < 0) {
        return result;
    }
    fb_ask ask = ask_for(client, args, 2);
    result = fb_exchange(client, &ask, &conn, &reply, error);
    if (result == FB_EIO) {
        return say_private(get_private(client, key, value), error);
    }
    if (result < 0) {
        return result;
    }
    if (reply->type == FB_RESP_NULL) {
        result = FB_MISS;
    } else if (reply->type == FB_RESP_STRING) {
        result = keep_reply(reply->text, value, error);
    } else {
        return say_strange(client, conn, "GET", error);
    }
    fb_exchange_done(client, conn);
    return result;
}

typedef struct many {
    const fb_str *keys;
    size_t count;
    fb_value *values;
    int *results;
} many;

// MGET for the keys whose results are FB_MISS so far, in `ask` behind the verb.
static int get_rest(fb_client *client, const fb_ask *ask, const many *all, fb_error *error) {
    fb_conn *conn;
    const fb_resp_value *reply;
    int result = fb_exchange(client, ask, &conn, &reply, error);
    if (result < 0) {
        return result;
    }
    if (reply->type != FB_RESP_ARRAY || reply->child_count != ask->arg_count - 1) {
        return say_strange(client, conn, "MGET", error);
    }
    size_t place = 0;
    for (size_t i = 0; i < all->count && result == FB_OK; i++) {
        if (all->results[i] == FB_MISS) {
            const fb_resp_value *one = &reply->children[place++];
            if (one->type == FB_RESP_STRING) {
                result = keep_reply(one->text, &all->values[i], error);
                all->results[i] = result == FB_OK ? FB_OK : FB_MISS;
            }
        }
    }
    fb_exchange_done(client, conn);
    return result;
}

// Looks in the region; the keys that are not there follow each other in `args`. Returns how many.
static size_t peek_many(fb_client *client, const many *all, fb_str *args) {
    size_t missing = 0;
    for (size_t i = 0; i < all->count; i++) {
        all->results[i] = fb_owned_peek(client, all->keys[i], &all->values[i]);
        if (all->results[i] != FB_OK) {
            all->results[i] = FB_MISS;
            args[missing++] = all->keys[i];
        }
    }
    return missing;
}

static int get_many_private(fb_client *client, const many *all, fb_error *error) {
    for (size_t i = 0; i < all->count; i++) {
        if (all->results[i] == FB_MISS) {
            all->results[i] = get_private(client, all->keys[i], &all->values[i]);
            if (all->results[i] < 0) {
                return say_private(all->results[i], error);
            }
        }
    }
    return FB_OK;
}

static int get_many(fb_client *client, const many *all, fb_str *args, fb_error *error) {
    for (size_t i = 0; i < all->count; i++) {
        int result = check_key(all->keys[i], error);
        if (result < 0) {
            return result;
        }
    }
    size_t missing = peek_many(client, all, args + 1);
    if (missing == 0) {
        return FB_OK;
    }
    args[0] = FB_STR("MGET");
    fb_ask ask = ask_for(client, args, missing + 1);
    int result = get_rest(client, &ask, all, error);
    return result == FB_EIO ? get_many_private(client, all, error) : result;
}

int fb_client_get_many(fb_client *client, const fb_str *keys, size_t count, fb_value *values,
                       int *results, fb_error *error) {
    many all = {keys, count, values, results};
    for (size_t i = 0; i < count; i++) {
        values[i] = (fb_value){0};
        results[i] = FB_MISS;
    }
    fb_str *args = fb_mem_zero(count + 1, sizeof *args);
    if (args == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = get_many(client, &all, args, error);
    for (size_t i = 0; i < count && result < 0; i++) {
        fb_value_release(&values[i]);
        results[i] = FB_MISS;
    }
    fb_mem_free(args);
    return result;
}

int fb_client_exists(fb_client *client, fb_str key, fb_error *error) {
    const fb_str args[] = {FB_STR("EXISTS"), key};
    int64_t number = 0;
    fb_value value;
    int result = fb_client_peek(client, key, NULL, 0, &value);
    if (result == FB_OK || result == FB_ETOOBIG) {
        return FB_OK;
    }
    result = check_key(key, error);
    if (result == FB_OK) {
        fb_ask ask = ask_for(client, args, 2);
        result = ask_integer(client, &ask, &number, error);
    }
    if (result == FB_EIO) {
        return ttl_private(client, key, &number);
    }
    return result < 0 ? result : number > 0 ? FB_OK : FB_MISS;
}

int fb_client_ttl(fb_client *client, fb_str key, int64_t *ttl_ms, fb_error *error) {
    const fb_str args[] = {FB_STR("PTTL"), key};
    int64_t number = 0;
    int result = check_key(key, error);
    if (result == FB_OK) {
        fb_ask ask = ask_for(client, args, 2);
        result = ask_integer(client, &ask, &number, error);
    }
    if (result == FB_EIO) {
        return ttl_private(client, key, ttl_ms);
    }
    *ttl_ms = number;
    return result < 0 ? result : number == -2 ? FB_MISS : FB_OK;
}

// ---- writing

typedef struct setting {
    fb_str key, value;
    int64_t ttl_ms;
    bool absent;
} setting;

static int set_private(fb_client *client, const setting *what, fb_error *error) {
    int64_t now_ns = fb_now_ns(), left_ms;
    int result = begin_private_write(client, what->key, error);
    if (result < 0) {
        return result;
    }
    if (what->absent && fb_private_ttl(&client->own, what->key, now_ns, &left_ms) == FB_OK) {
        result = FB_REFUSED;
    } else {
        result = fb_private_set(&client->own, what->key, what->value, what->ttl_ms, now_ns);
    }
    end_private(client);
    return say_private(result, error);
}

// FB_OK; FB_REFUSED: the key is there.
static int ask_set(fb_client *client, const setting *what, fb_error *error) {
    char text[NUMBER_SIZE];
    fb_str args[6] = {FB_STR("SET"), what->key, what->value};
    size_t count = 3;
    if (what->absent) {
        args[count++] = FB_STR("NX");
    }
    if (what->ttl_ms > 0) {
        args[count++] = FB_STR("PX");
        args[count++] = write_number(text, what->ttl_ms);
    }
    fb_ask ask = ask_for(client, args, count);
    ask.writes = true;
    ask.once = what->absent;
    fb_conn *conn;
    const fb_resp_value *reply;
    int result = fb_exchange(client, &ask, &conn, &reply, error);
    if (result < 0) {
        return result;
    }
    result = reply->type == FB_RESP_NULL ? FB_REFUSED : FB_OK;
    fb_exchange_done(client, conn);
    return result;
}

static int set(fb_client *client, const setting *what, fb_error *error) {
    int result = check_key(what->key, error);
    if (result == FB_OK && what->value.len > VALUE_MAX) {
        result = fb_error_set(error, FB_ETOOBIG, "a value has at most %zu bytes", VALUE_MAX);
    }
    if (result == FB_OK && what->ttl_ms < 0) {
        result = fb_error_set(error, FB_EINVAL, "a lifetime is not negative");
    }
    if (result == FB_OK) {
        result = ask_set(client, what, error);
    }
    if (result == FB_EIO) {
        result = set_private(client, what, error);
    }
    return result;
}

int fb_client_set(fb_client *client, fb_str key, fb_str value, int64_t ttl_ms, fb_error *error) {
    setting what = {key, value, ttl_ms, false};
    return set(client, &what, error);
}

int fb_client_add(fb_client *client, fb_str key, fb_str value, int64_t ttl_ms, fb_error *error) {
    setting what = {key, value, ttl_ms, true};
    return set(client, &what, error);
}

int fb_client_del(fb_client *client, fb_str key, fb_error *error) {
    const fb_str args[] = {FB_STR("DEL"), key};
    int64_t number = 0;
    int result = check_key(key, error);
    if (result == FB_OK) {
        fb_ask ask = ask_for(client, args, 2);
        ask.writes = true;
        result = ask_integer(client, &ask, &number, error);
    }
    if (result == FB_EIO) {
        result = begin_private_write(client, key, error);
        if (result == FB_OK) {
            result = fb_private_del(&client->own, key, fb_now_ns());
            end_private(client);
        }
        return result;
    }
    return result < 0 ? result : number > 0 ? FB_OK : FB_MISS;
}

int fb_client_expire(fb_client *client, fb_str key, int64_t ttl_ms, fb_error *error) {
    char text[NUMBER_SIZE];
    const fb_str args[] = {FB_STR("PEXPIRE"), key, write_number(text, ttl_ms)};
    int64_t number = 0;
    int result = check_key(key, error);
    if (result == FB_OK) {
        fb_ask ask = ask_for(client, args, 3);
        ask.writes = true;
        result = ask_integer(client, &ask, &number, error);
    }
    if (result == FB_EIO) {
        result = begin_private_write(client, key, error);
        if (result == FB_OK) {
            result = fb_private_expire(&client->own, key, ttl_ms, fb_now_ns());
            end_private(client);
        }
        return result;
    }
    return result < 0 ? result : number > 0 ? FB_OK : FB_MISS;
}

int fb_client_incr(fb_client *client, fb_str key, int64_t delta, int64_t *number,
                   fb_error *error) {
    char text[NUMBER_SIZE];
    const fb_str args[] = {FB_STR("INCRBY"), key, write_number(text, delta)};
    int result = check_key(key, error);
    if (result == FB_OK) {
        fb_ask ask = ask_for(client, args, 3);
        ask.writes = ask.once = true;
        result = ask_integer(client, &ask, number, error);
    }
    if (result == FB_EIO) {
        result = begin_private_write(client, key, error);
        if (result == FB_OK) {
            result = fb_private_incr(&client->own, key, delta, fb_now_ns(), number);
            end_private(client);
        }
        return say_private(result, error);
    }
    return result;
}

// ---- figures

void fb_client_figures_read(fb_client *client, fb_client_figures *figures) {
    *figures = (fb_client_figures){0};
    for (size_t i = 0; i < FB_CALLER_STRIPES; i++) {
        fb_tally_stripe *stripe = &client->stripes[i];
        figures->region_hits += atomic_load_explicit(&stripe->region_hits, memory_order_relaxed);
        figures->requests += atomic_load_explicit(&stripe->requests, memory_order_relaxed);
        figures->failures += atomic_load_explicit(&stripe->failures, memory_order_relaxed);
        figures->private_hits += atomic_load_explicit(&stripe->private_hits, memory_order_relaxed);
    }
    fb_reader *reader = atomic_load_explicit(&client->reader, memory_order_acquire);
    figures->region_there = reader != NULL && fb_reader_alive(reader);
    fb_forked_lock(&client->forked);
    figures->daemon_there = !client->away && client->met;
    fb_forked_unlock(&client->forked);
}
