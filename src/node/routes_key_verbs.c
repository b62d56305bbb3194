// What RESP's verbs do with one key, as bodies of JSON: incr, expire, lease, fill, hold.
//
// These change a key in ways that PUT and DELETE cannot say. A key may be any bytes and take all of a
// path that is left, so they stand below /v1/keys, where only words are, and have the key in the body.
//
// A lease is how somebody uses the cache who loads values himself: of all who miss, one is told to load
// (and gives what he has with his token, POST /v1/keys/fill), the others to wait a moment and ask again.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/str.h"
#include "base/units.h"
#include "node/http_body.h"
#include "node/http_value.h"
#include "node/say.h"

enum { TOKEN_SIZE = 24 };
static const int64_t HOLD_MAX_MS = 3600000;

typedef struct asking {
    fb_http_call *call;
    json_t *root;
    fb_buf scratch;
    fb_str key;
} asking;

// false: the response says what is wrong. end() in either case.
static bool begin(fb_http_call *call, const char *known, asking *one) {
    *one = (asking){.call = call, .root = fb_http_object_of(call, known)};
    return one->root != NULL && fb_http_read_key(call, json_object_get(one->root, "key"), "key: ",
                                                 &one->scratch, &one->key);
}

static int end(asking *one, int result) {
    fb_buf_release(&one->scratch);
    json_decref(one->root);
    return result;
}

static fb_str text_at(const asking *one, const char *name) {
    const json_t *value = json_object_get(one->root, name);
    return fb_str_make(json_string_value(value), json_string_length(value));
}

// A whole number, or `normal` where there is none of the name; says so and returns false where it is
// something else.
static bool number_at(const asking *one, const char *name, int64_t normal, int64_t *number) {
    const json_t *value = json_object_get(one->root, name);
    *number = value != NULL ? json_integer_value(value) : normal;
    if (value != NULL && !json_is_integer(value)) {
        fb_http_problem(one->call->response, 400, "%s: expected a whole number", name);
        return false;
    }
    return true;
}

static int no_such_key(fb_http_call *call) {
    fb_http_problem(call->response, 404, "no such key");
    return FB_OK;
}

// ---- incr

static int incr(asking *one) {
    fb_reply reply;
    int64_t by, sum = 0;
    if (!number_at(one, "by", 1, &by)) {
        return FB_OK;
    }
    int result = fb_incr(one->call->node->engine, one->key, by, &sum);
    if (result == FB_ETYPE || result == FB_ERANGE) {
        fb_http_problem(one->call->response, 409, "%s",
                        result == FB_ETYPE ? "the key holds no whole number of 64 bits"
                                           : "the sum does not fit 64 bits");
        return FB_OK;
    }
    if (result < 0) {
        return result;
    }
    fb_http_json(one->call->response, 200, &reply);
    fb_reply_map(&reply, 1);
    fb_say_integer(&reply, "value", sum);
    return fb_http_json_end(&reply);
}

int fb_route_keys_incr(fb_http_call *call) {
    asking one;
    return end(&one, begin(call, " key by ", &one) ? incr(&one) : FB_OK);
}

// ---- expire

static int expire(asking *one) {
    fb_http_call *call = one->call;
    const json_t *ttl = json_object_get(one->root, "ttl");
    int64_t ns = 0;
    if (ttl == NULL || !(json_is_null(ttl) || (json_is_string(ttl) &&
                                               fb_units_duration(text_at(one, "ttl"), &ns) == FB_OK))) {
        fb_http_problem(call->response, 400,
                        "ttl: expected a time such as \"5m\", or null: it does not expire");
        return FB_OK;
    }
    int result = json_is_null(ttl) ? fb_persist(call->node->engine, one->key)
                                   : fb_expire(call->node->engine, one->key, ns / FB_NS_PER_MS);
    if (result == FB_MISS) {
        return no_such_key(call);
    }
    call->response->status = 204;
    return result;
}

int fb_route_keys_expire(fb_http_call *call) {
    asking one;
    return end(&one, begin(call, " key ttl ", &one) ? expire(&one) : FB_OK);
}

// ---- lease

static int say_state(fb_http_call *call, const char *state, uint64_t token) {
    fb_reply reply;
    char text[TOKEN_SIZE];
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, token != 0 ? 2 : 1);
    fb_say_text(&reply, "state", state);
    if (token != 0) {
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)token);
        fb_say_text(&reply, "token", text);
    }
    return fb_http_json_end(&reply);
}

static int say_value(fb_http_call *call, const fb_value *value) {
    fb_reply reply;
    fb_http_json(call->response, 200, &reply);
    fb_http_header_add(call->response, "Cache-Control", "no-store");
    fb_reply_map(&reply, 5);
    fb_say_text(&reply, "state", "value");
    fb_http_say_value(&reply, value);
    fb_say_integer(&reply, "age_ms", value->age_ms);
    fb_say_integer(&reply, "ttl_ms", value->ttl_ms);
    return fb_http_json_end(&reply);
}

static int lease(asking *one) {
    fb_http_call *call = one->call;
    fb_value value = {0};
    uint64_t token = 0;
    int64_t lease_ms;
    int result = FB_MISS;
    fb_str after = text_at(one, "minseq");
    if (!number_at(one, "lease_ms", 0, &lease_ms)) {
        return FB_OK;
    }
    if (lease_ms < 0 || lease_ms > HOLD_MAX_MS) {
        fb_http_problem(call->response, 400, "lease_ms: from 1 to 3600000");
        return FB_OK;
    }
    if (after.len > 0) {
        result = fb_get_after(call->node->engine, one->key, after, &value);
        if (result == FB_EINVAL) {
            fb_http_problem(call->response, 400, "minseq: this is no token of a change");
            return FB_OK;
        }
    }
    if (result == FB_MISS) {
        result = fb_lease_get(call->node->engine, one->key, lease_ms, &value, &token);
    }
    switch (result) {
        case FB_OK:
            result = say_value(call, &value);
            fb_value_release(&value);
            return result;
        case FB_NEGATIVE:
            return say_state(call, "negative", 0);
        case FB_MISS:
            return say_state(call, "lease", token);
        case FB_PENDING:
            return say_state(call, "wait", 0);
        default:
            return result;
    }
}

int fb_route_keys_lease(fb_http_call *call) {
    asking one;
    return end(&one, begin(call, " key lease_ms minseq ", &one) ? lease(&one) : FB_OK);
}

// ---- fill

static bool token_of(fb_str text, uint64_t *token) {
    *token = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(*token, 10, token) ||
            __builtin_add_overflow(*token, digit, token)) {
            return false;
        }
    }
    return text.len > 0;
}

static int fill(asking *one) {
    fb_http_call *call = one->call;
    fb_str tags[FB_TAGS_MAX];
    fb_set_options options;
    fb_buf value = {0};
    uint64_t token;
    int result = FB_OK;
    if (!token_of(text_at(one, "token"), &token)) {
        fb_http_problem(call->response, 400, "token: expected that of a lease");
        return FB_OK;
    }
    if (fb_http_read_value(call, one->root, "", &value) &&
        fb_http_read_options(call, one->root, "", tags, &options)) {
        result =
            fb_lease_fill(call->node->engine, one->key, token, fb_buf_str(&value), &options);
        call->response->status = 204;
        if (result == FB_REFUSED) {
            fb_http_problem(call->response, 409,
                            "the lease is gone: it is over, or the key was invalidated meanwhile");
            result = FB_OK;
        }
    }
    fb_buf_release(&value);
    return result;
}

int fb_route_keys_fill(fb_http_call *call) {
    asking one;
    return end(&one, begin(call, " key token value value_encoding ttl tags srcver ", &one)
                         ? fill(&one)
                         : FB_OK);
}

// ---- hold

static int hold(asking *one) {
    fb_http_call *call = one->call;
    fb_receipt receipt;
    int64_t hold_ms;
    if (!number_at(one, "hold_ms", 0, &hold_ms)) {
        return FB_OK;
    }
    if (hold_ms < 1 || hold_ms > HOLD_MAX_MS) {
        fb_http_problem(call->response, 400, "hold_ms: from 1 to 3600000");
        return FB_OK;
    }
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = one->key};
    fb_invalidate_options options = {.hold_ms = hold_ms};
    int result = fb_invalidate_to(call->node->engine, &what, &options, NULL, &receipt);
    call->response->status = 204;
    return result < 0 ? result : FB_OK;
}

int fb_route_keys_hold(fb_http_call *call) {
    asking one;
    return end(&one, begin(call, " key hold_ms ", &one) ? hold(&one) : FB_OK);
}
