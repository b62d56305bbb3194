// One row for each name: its flag, and who reads its value, which is text: of a query it is text
// already, and numbers and truths of JSON are made so. That a number may stand in quotes, too, does
// no harm, and a key may be a number.

#include "node/wishes.h"

#include <jansson.h>
#include <stdio.h>

#include "base/str.h"
#include "base/units.h"
#include "node/words.h"

enum { SHOWN_LEN = 64, STATUS_COUNT = 4 };

// Each returns NULL, or what it expected.

static const char *read_text(fb_str text, fb_str *value) {
    *value = text;
    return NULL;
}

static const char *read_flag(fb_str text, bool *value) {
    *value = fb_str_equal(text, FB_STR("1")) || fb_str_equal(text, FB_STR("true"));
    bool is = *value || fb_str_equal(text, FB_STR("0")) || fb_str_equal(text, FB_STR("false"));
    return is ? NULL : "true or false";
}

static const char *read_time(fb_str text, int64_t *value_ms) {
    int64_t ns;
    if (fb_units_duration(text, &ns) < 0 || ns < FB_NS_PER_MS) {
        return "a time of at least 1ms, such as 30s or 1h";
    }
    *value_ms = ns / FB_NS_PER_MS;
    return NULL;
}

static const char *read_rule(fb_str text, fb_wishes *wishes) {
    return read_text(text, &wishes->question.rule);
}

static const char *read_key(fb_str text, fb_wishes *wishes) {
    return read_text(text, &wishes->question.key);
}

static const char *read_tier(fb_str text, fb_wishes *wishes) {
    return read_text(text, &wishes->question.tier);
}

static const char *read_cost(fb_str text, fb_wishes *wishes) {
    int64_t cost;
    if (fb_str_int(text, &cost) < 0 || cost < 0 || cost > (int64_t)FB_LIMIT_COST_MAX) {
        return "a whole number from 0 to 2147483648";
    }
    wishes->question.cost = (uint32_t)cost;
    return NULL;
}

static const char *read_peek(fb_str text, fb_wishes *wishes) {
    return read_flag(text, &wishes->peek);
}

static const char *read_ttl(fb_str text, fb_wishes *wishes) {
    return read_time(text, &wishes->ttl_ms);
}

static const char *read_token(fb_str text, fb_wishes *wishes) {
    return fb_words_token(text, &wishes->token) ? NULL : "the token of a lease";
}

static const char *read_limit(fb_str text, fb_wishes *wishes) {
    int64_t limit;
    if (fb_str_int(text, &limit) < 0 || limit < 1 || limit > INT32_MAX) {
        return "a whole number from 1 to 2147483647";
    }
    wishes->limit = (uint32_t)limit;
    return NULL;
}

static const char *read_allow(fb_str text, fb_wishes *wishes) {
    return read_flag(text, &wishes->allow);
}

static const char *read_deny(fb_str text, fb_wishes *wishes) {
    return read_flag(text, &wishes->deny);
}

static const char *read_none(fb_str text, fb_wishes *wishes) {
    return read_flag(text, &wishes->none);
}

static const char *read_for(fb_str text, fb_wishes *wishes) {
    return read_time(text, &wishes->for_ms);
}

static const char *read_enforce(fb_str text, fb_wishes *wishes) {
    return read_flag(text, &wishes->enforce);
}

static const char *read_status(fb_str text, fb_wishes *wishes) {
    static const int known[STATUS_COUNT] = {401, 403, 429, 503};
    int64_t status = 0;
    bool is = false;
    for (size_t i = 0; i < STATUS_COUNT && fb_str_int(text, &status) == FB_OK; i++) {
        is = is || status == known[i];
    }
    wishes->status = (int)status;
    return is ? NULL : "401, 403, 429 or 503";
}

static const char *read_key_header(fb_str text, fb_wishes *wishes) {
    wishes->key_header = text;
    return fb_http_is_header_name(text) ? NULL : "the name of a header, such as X-Real-IP";
}

static const struct wish {
    const char *name;
    unsigned flag;
    const char *(*read)(fb_str text, fb_wishes *wishes);
} WISHES[FB_WISH_COUNT] = {
    {"rule", FB_WISH_RULE, read_rule},       {"key", FB_WISH_KEY, read_key},
    {"cost", FB_WISH_COST, read_cost},       {"tier", FB_WISH_TIER, read_tier},
    {"peek", FB_WISH_PEEK, read_peek},       {"ttl", FB_WISH_TTL, read_ttl},
    {"token", FB_WISH_TOKEN, read_token},    {"limit", FB_WISH_LIMIT, read_limit},
    {"allow", FB_WISH_ALLOW, read_allow},    {"deny", FB_WISH_DENY, read_deny},
    {"none", FB_WISH_NONE, read_none},       {"for", FB_WISH_FOR, read_for},
    {"enforce", FB_WISH_ENFORCE, read_enforce}, {"status", FB_WISH_STATUS, read_status},
    {"key_header", FB_WISH_KEY_HEADER, read_key_header},
};

void fb_wishes_init(fb_wishes *wishes) {
    *wishes = (fb_wishes){.question.cost = 1, .status = 429};
}

static const struct wish *find(unsigned allowed, fb_str name) {
    for (size_t i = 0; i < FB_WISH_COUNT; i++) {
        if ((WISHES[i].flag & allowed) != 0 && fb_str_equal(name, fb_str_of(WISHES[i].name))) {
            return &WISHES[i];
        }
    }
    return NULL;
}

static const char *place_of(const fb_wishes *wishes) {
    static const char *const places[FB_LIMIT_QUESTIONS_MAX + 1] = {
        "",           "limits[0].", "limits[1].", "limits[2].", "limits[3].",
        "limits[4].", "limits[5].", "limits[6].", "limits[7].",
    };
    return places[wishes->place];
}

static bool take(fb_http_call *call, const struct wish *wish, fb_str text, fb_wishes *wishes) {
    const char *expected = wish->read(text, wishes);
    if (expected == NULL && (wishes->given & wish->flag) != 0) {
        fb_http_problem(call->response, 400, "%s%s is given twice", place_of(wishes), wish->name);
        return false;
    }
    wishes->given |= wish->flag;
    if (expected != NULL) {
        fb_http_problem(call->response, 400, "%s%s: expected %s", place_of(wishes), wish->name,
                        expected);
    }
    return expected == NULL;
}

bool fb_wishes_query(fb_http_call *call, unsigned allowed, fb_wishes *wishes) {
    for (size_t i = 0; i < call->query_count; i++) {
        const struct wish *wish = find(allowed, call->query[i].name);
        if (wish != NULL && !take(call, wish, call->query[i].value, wishes)) {
            return false;
        }
    }
    return true;
}

// ---- JSON

static bool refuse_name(fb_http_call *call, const char *name, unsigned allowed,
                        const char *other) {
    char names[200];
    size_t len = 0;
    for (size_t i = 0; i < FB_WISH_COUNT; i++) {
        if ((WISHES[i].flag & allowed) != 0) {
            len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
                                    WISHES[i].name);
        }
    }
    fb_http_problem(call->response, 400, "'%.64s' is unknown here: there are %s%s%s", name, names,
                    other != NULL ? ", " : "", other != NULL ? other : "");
    return false;
}

static bool text_of(const json_t *value, char number[FB_WISH_NUMBER_SIZE], fb_str *text) {
    if (json_is_string(value)) {
        *text = fb_str_make(json_string_value(value), json_string_length(value));
    } else if (json_is_integer(value)) {
        int len = snprintf(number, FB_WISH_NUMBER_SIZE, "%lld",
                           (long long)json_integer_value(value));
        *text = fb_str_make(number, (size_t)len);
    } else {
        *text = json_is_true(value) ? FB_STR("true") : FB_STR("false");
        return json_is_boolean(value);
    }
    return true;
}

bool fb_wishes_object(fb_http_call *call, json_t *object, unsigned allowed, const char *other,
                      fb_wishes *wishes) {
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        const struct wish *wish = find(allowed, fb_str_of(name));
        fb_str text;
        if (wish == NULL && other != NULL && fb_str_equal(fb_str_of(name), fb_str_of(other))) {
            continue;
        }
        if (wish == NULL) {
            return refuse_name(call, name, allowed, other);
        }
        if (!text_of(value, wishes->numbers[wish - WISHES], &text)) {
            fb_http_problem(call->response, 400,
                            "%s%s: expected a string, a whole number, true or false",
                            place_of(wishes), wish->name);
            return false;
        }
        if (!take(call, wish, text, wishes)) {
            return false;
        }
    }
    return true;
}

bool fb_wishes_read(fb_http_call *call, unsigned allowed, json_t **object, fb_wishes *wishes) {
    fb_wishes_init(wishes);
    *object = NULL;
    if (call->request->body.len == 0) {
        return fb_wishes_query(call, allowed, wishes);
    }
    *object = fb_http_object(call);
    return *object != NULL && fb_wishes_object(call, *object, allowed, NULL, wishes);
}

bool fb_wishes_have(fb_http_call *call, const fb_wishes *wishes, unsigned needed) {
    for (size_t i = 0; i < FB_WISH_COUNT; i++) {
        if ((WISHES[i].flag & needed & ~wishes->given) != 0) {
            fb_http_problem(call->response, 400, "%s%s: it is missing%s", place_of(wishes),
                            WISHES[i].name, call->request->body.len > 0 ? " in the body" : "");
            return false;
        }
    }
    return true;
}
