// The problem of one result is made as the response of its own that it stands for.

#include "node/http_results.h"

#include "base/str.h"
#include "node/command.h"
#include "node/http_value.h"
#include "node/say.h"

static void say_key(fb_reply *reply, const fb_str *key) {
    if (key != NULL) {
        fb_reply_text(reply, "key");
        fb_reply_bytes(reply, *key);
    }
}

static void say_found(fb_reply *reply, const fb_str *key, const fb_value *value) {
    char tag[FB_HTTP_TAG_SIZE];
    fb_http_tag(value->data, tag);
    fb_reply_map(reply, 8 + (key != NULL ? 1 : 0));
    say_key(reply, key);
    fb_say_integer(reply, "status", 200);
    fb_http_say_value(reply, value);
    fb_say_text(reply, "etag", tag);
    fb_say_text(reply, "tier", fb_tier_name(value->tier));
    fb_say_text(reply, "freshness", fb_freshness_name(value->freshness));
    fb_say_integer(reply, "age_ms", value->age_ms);
    fb_say_integer(reply, "ttl_ms", value->ttl_ms);
}

static void say_problem(fb_reply *reply, const fb_str *key, int status, const char *code,
                        const char *detail) {
    char copy[FB_HTTP_DETAIL_SIZE];
    size_t pair_count = 3;
    pair_count += key != NULL;
    pair_count += code != NULL;
    fb_reply_map(reply, pair_count);
    say_key(reply, key);
    fb_say_integer(reply, "status", status);
    fb_say_text(reply, "title", fb_http_status_text(status));
    fb_reply_text(reply, "detail");
    fb_reply_bytes(reply, fb_http_readable(fb_str_of(detail), copy));
    if (code != NULL) {
        fb_say_text(reply, "code", code);
    }
}

void fb_http_say_result(fb_reply *reply, const fb_str *key, int result, const fb_value *value,
                        const fb_error *error) {
    if (result == FB_OK && value != NULL) {
        say_found(reply, key, value);
    } else if (result == FB_OK) {
        fb_reply_map(reply, 1 + (key != NULL ? 1 : 0));
        say_key(reply, key);
        fb_say_integer(reply, "status", 204);
    } else if (result == FB_MISS) {
        say_problem(reply, key, 404, NULL, "no such key");
    } else if (result == FB_NEGATIVE) {
        say_problem(reply, key, 404, NULL, "known not to exist");
    } else if (result == FB_REFUSED) {
        say_problem(reply, key, 409, NULL, "a newer source version is known");
    } else {
        const char *code = fb_command_code(result);
        bool named = error != NULL && error->text[0] != '\0';
        say_problem(reply, key, fb_http_status_of(result),
                    fb_str_equal(fb_str_of(code), FB_STR("ERR")) ? NULL : code,
                    named ? error->text : fb_result_text(result));
    }
}
