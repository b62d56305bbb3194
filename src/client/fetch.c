// Fetching through the daemon, and invalidating there.
//
// Which key a class and its parameters have, only the daemon knows (normalisation, defaults,
// digests). So with the first fetch of them goes the question for the key; from then on they are
// looked for in the region first, like any key. What was learned is void when the classes change,
// which the region tells; the number of that is read before the question is sent, so that a key of
// the classes before is never taken for one of those after.

#include <forebay/client.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/exchange.h"
#include "client/owned.h"

enum {
    PARAMS_MAX = 64,        // of one request, as the daemon has it
    CLASS_WAITS_MS = 30000, // where the request does not say how long: the class's time, up to this
    HEAD_MAX = 6,           // words before the class
    NUMBER_SIZE = 24
};

// The key that was learned, in `key`; length 0: none.
static fb_str find_key(fb_client *client, const fb_client_request *request,
                       char key[FB_MEMO_KEY_MAX]) {
    fb_reader *reader = atomic_load_explicit(&client->reader, memory_order_acquire);
    size_t len = reader != NULL ? fb_memo_find(&client->memo, request,
                                               fb_reader_generation(reader), key)
                                : 0;
    return fb_str_make(key, len);
}

int fb_client_peek_fetch(fb_client *client, const fb_client_request *request, void *bytes,
                         size_t room, fb_value *value) {
    char key[FB_MEMO_KEY_MAX];
    fb_str known = find_key(client, request, key);
    if (known.len == 0 || request->refresh) {
        *value = (fb_value){0};
        return FB_MISS;
    }
    return fb_client_peek(client, known, bytes, room, value);
}

// ---- what is said

typedef struct wording {
    fb_str args[HEAD_MAX + 2 * PARAMS_MAX];
    size_t count;
    char number[NUMBER_SIZE];
} wording;

static void add(wording *to, fb_str word) {
    to->args[to->count++] = word;
}

// "CLASS name", then the parameters: as both commands end.
static void add_what(wording *to, const fb_client_request *request) {
    add(to, FB_STR("CLASS"));
    add(to, request->class_name);
    for (size_t i = 0; i < request->param_count; i++) {
        add(to, request->params[i].name);
        add(to, request->params[i].value);
    }
}

static void say_fetch(wording *to, const fb_client_request *request) {
    add(to, FB_STR("FB.FETCH"));
    add(to, FB_STR("WITHMETA"));
    if (request->refresh) {
        add(to, FB_STR("REFRESH"));
    }
    if (request->timeout_ms > 0) {
        int len = snprintf(to->number, sizeof to->number, "%" PRId64, request->timeout_ms);
        add(to, FB_STR("TIMEOUT"));
        add(to, fb_str_make(to->number, (size_t)len));
    }
    add_what(to, request);
}

// ---- what is answered

static const struct {
    fb_str name;
    fb_tier tier;
} tiers[] = {
    {FB_STR_INIT("memory"), FB_TIER_MEMORY},
    {FB_STR_INIT("shared"), FB_TIER_SHARED},
    {FB_STR_INIT("source"), FB_TIER_SOURCE},
};

static fb_tier read_tier(fb_str name) {
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
        if (fb_str_equal(name, tiers[i].name)) {
            return tiers[i].tier;
        }
    }
    return FB_TIER_NONE;
}

static fb_freshness read_freshness(fb_str name) {
    return fb_str_equal(name, FB_STR("stale"))      ? FB_STALE
           : fb_str_equal(name, FB_STR("fallback")) ? FB_FALLBACK
                                                    : FB_FRESH;
}

static void read_pair(fb_str name, const fb_resp_value *pair, fb_value *value) {
    if (fb_str_equal(name, FB_STR("kind"))) {
        value->kind = fb_str_equal(pair->text, FB_STR("json")) ? FB_KIND_JSON : FB_KIND_BYTES;
    } else if (fb_str_equal(name, FB_STR("tier"))) {
        value->tier = read_tier(pair->text);
    } else if (fb_str_equal(name, FB_STR("freshness"))) {
        value->freshness = read_freshness(pair->text);
    } else if (fb_str_equal(name, FB_STR("age_ms"))) {
        value->age_ms = pair->integer;
    } else if (fb_str_equal(name, FB_STR("ttl_ms"))) {
        value->ttl_ms = pair->integer;
    } else if (fb_str_equal(name, FB_STR("version"))) {
        value->version = (uint64_t)pair->integer;
    }
}

// FB_OK, FB_NEGATIVE, FB_ENOMEM; FB_EIO: it is no such answer.
static int read_answer(const fb_resp_value *reply, fb_value *value) {
    const fb_resp_value *data = NULL;
    if (reply->type != FB_RESP_MAP) {
        return FB_EIO;
    }
    for (size_t i = 0; i + 1 < reply->child_count; i += 2) {
        const fb_resp_value *pair = &reply->children[i + 1];
        if (fb_str_equal(reply->children[i].text, FB_STR("value"))) {
            data = pair;
        } else {
            read_pair(reply->children[i].text, pair, value);
        }
    }
    if (data == NULL || (data->type != FB_RESP_STRING && data->type != FB_RESP_NULL)) {
        return FB_EIO;
    }
    if (data->type == FB_RESP_NULL) {
        return FB_NEGATIVE;
    }
    fb_blob *blob = fb_blob_new(data->text);
    value->owner = blob;
    value->data = blob != NULL ? fb_blob_str(blob) : (fb_str){NULL, 0};
    return blob != NULL ? FB_OK : FB_ENOMEM;
}

typedef struct learning {
    fb_client *client;
    const fb_client_request *request;
    uint64_t generation;
} learning;

// Where the daemon has no key to tell (there is no such class, it is too old), the fetch says more.
static void learn(void *arg, const fb_resp_value *reply) {
    const learning *about = arg;
    if (reply->type == FB_RESP_STRING) {
        fb_memo_learn(&about->client->memo, about->request, about->generation, reply->text);
    }
}

// A client's first request brings the region along; its key is asked for when that is there.
static void learn_now(fb_client *client, const fb_client_request *request) {
    wording key;
    fb_conn *conn;
    const fb_resp_value *reply;
    fb_reader *reader = atomic_load_explicit(&client->reader, memory_order_acquire);
    if (reader == NULL) {
        return;
    }
    learning about = {client, request, fb_reader_generation(reader)};
    key.count = 0;
    add(&key, FB_STR("FB.KEY"));
    add_what(&key, request);
    fb_ask question = {
        .args = key.args, .arg_count = key.count, .timeout_ms = client->timeout_ms};
    if (fb_exchange(client, &question, &conn, &reply, NULL) == FB_OK) {
        learn(&about, reply);
        fb_exchange_done(client, conn);
    }
}

// ---- fetching

// Within the daemon's own time a fetch is answered, if with an error. Beyond it the daemon hangs,
// or the class has more time than CLASS_WAITS_MS.
static int64_t patience_ms(const fb_client *client, const fb_client_request *request) {
    int64_t ms = request->timeout_ms > 0 ? request->timeout_ms : CLASS_WAITS_MS;
    return ms < INT64_MAX - client->timeout_ms ? ms + client->timeout_ms : INT64_MAX;
}

static int ask(fb_client *client, const fb_client_request *request, bool known, fb_value *value,
               fb_error *error) {
    wording fetch, key;
    fb_conn *conn;
    const fb_resp_value *reply;
    fb_reader *reader = atomic_load_explicit(&client->reader, memory_order_acquire);
    learning about = {client, request, reader != NULL ? fb_reader_generation(reader) : 0};
    fetch.count = key.count = 0;
    say_fetch(&fetch, request);
    if (reader != NULL && !known) {
        add(&key, FB_STR("FB.KEY"));
        add_what(&key, request);
    }
    fb_ask question = {.args = fetch.args,
                       .arg_count = fetch.count,
                       .first = key.args,
                       .first_count = key.count,
                       .hear = learn,
                       .arg = &about,
                       .timeout_ms = patience_ms(client, request),
                       .slow = true};
    int result = fb_exchange(client, &question, &conn, &reply, error);
    if (result < 0) {
        return result;
    }
    result = read_answer(reply, value);
    fb_exchange_done(client, conn);
    if (reader == NULL) {
        learn_now(client, request);
    }
    if (result == FB_EIO) {
        return fb_error_set(error, result, "%s answered FB.FETCH with something else than a map",
                            client->address.name);
    }
    return result == FB_ENOMEM ? fb_error_set(error, result, "out of memory") : result;
}

int fb_client_fetch(fb_client *client, const fb_client_request *request, fb_value *value,
                    fb_error *error) {
    char key[FB_MEMO_KEY_MAX];
    *value = (fb_value){0};
    if (request->param_count > PARAMS_MAX || request->timeout_ms < 0) {
        return fb_error_set(error, FB_EINVAL, "at most %d parameters, and no negative time-out",
                            PARAMS_MAX);
    }
    fb_str known = find_key(client, request, key);
    if (known.len > 0 && !request->refresh && fb_owned_peek(client, known, value) == FB_OK) {
        return FB_OK;
    }
    return ask(client, request, known.len > 0, value, error);
}

// ---- invalidating

static fb_str scope_word(fb_scope scope) {
    switch (scope) {
        case FB_SCOPE_KEY:
            return FB_STR("KEY");
        case FB_SCOPE_PATTERN:
            return FB_STR("PATTERN");
        case FB_SCOPE_TAG:
            return FB_STR("TAG");
        case FB_SCOPE_CLASS:
            return FB_STR("CLASS");
        case FB_SCOPE_NAMESPACE:
            return FB_STR("NAMESPACE");
        case FB_SCOPE_ALL:
            return FB_STR("ALL");
    }
    return FB_STR("");
}

static void invalidate_private(fb_client *client) {
    fb_forked_lock(&client->forked);
    fb_private_clear(&client->own);
    fb_forked_unlock(&client->forked);
}

int fb_client_invalidate(fb_client *client, const fb_invalidation *what, fb_error *error) {
    fb_str args[4] = {FB_STR("FB.INVALIDATE")};
    size_t count = 1;
    if (what->soft) {
        args[count++] = FB_STR("SOFT");
    }
    args[count++] = scope_word(what->scope);
    if (what->scope != FB_SCOPE_ALL) {
        args[count++] = what->name;
    }
    fb_ask question = {
        .args = args, .arg_count = count, .timeout_ms = client->timeout_ms, .writes = true};
    fb_conn *conn;
    const fb_resp_value *reply;
    int result = fb_exchange(client, &question, &conn, &reply, error);
    if (result == FB_OK) {
        fb_exchange_done(client, conn);
    } else if (result == FB_EIO) {
        invalidate_private(client);
    }
    return result < 0 ? result : FB_OK;
}
