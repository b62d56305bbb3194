// Limits by HTTP: /v1/limits and what is below it.
//
//     {"rule": "generation", "key": "user:42", "cost": 2}                → 200 and a verdict
//     {"limits": [{"rule": …, "key": …}, {"rule": …, "key": …}]}         → 200 and all verdicts
//
// A denied question is an answer: 200, unless ?enforce=1 asks for an error, as proxies need it that
// know no JSON. Either way the headers tell of the tightest of the verdicts.
//
// A lease of `slots` is a thing that is made, changed and deleted: so it is 201, 204 or 404 there,
// and 429 where none is free.

#include "node/route.h"

#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/say.h"
#include "node/verdict.h"
#include "node/wishes.h"

// ---- what is asked

typedef struct asking {
    fb_wishes wishes[FB_LIMIT_QUESTIONS_MAX];  // of each question
    fb_wishes of_all;                          // peek, enforce, status
    size_t count;
    bool several;
    fb_limit_question questions[FB_LIMIT_QUESTIONS_MAX];
    fb_verdict verdicts[FB_LIMIT_QUESTIONS_MAX];
} asking;

static bool take_question(fb_http_call *call, asking *one, const fb_wishes *wishes) {
    if (!fb_wishes_have(call, wishes, FB_WISH_RULE | FB_WISH_KEY)) {
        return false;
    }
    one->questions[one->count++] = wishes->question;
    return true;
}

// The key that a proxy has put into a header. Of X-Forwarded-For only what is behind the last comma
// was written by the proxy that asks; what is before it anybody may have sent.
static bool take_key_header(fb_http_call *call, fb_wishes *wishes) {
    fb_str value = call->request->key_header;
    if ((wishes->given & FB_WISH_KEY_HEADER) == 0) {
        return true;
    }
    if ((wishes->given & FB_WISH_KEY) != 0) {
        fb_http_problem(call->response, 400, "expected one of key and key_header");
        return false;
    }
    if (fb_str_same(wishes->key_header, FB_STR("X-Forwarded-For"))) {
        size_t comma = value.len;
        while (comma > 0 && value.ptr[comma - 1] != ',') {
            comma--;
        }
        value = fb_str_make(value.ptr + comma, value.len - comma);
    }
    value = fb_str_trim(value);
    if (value.len == 0) {
        fb_http_problem(call->response, 400, "key_header: the request has no header '%.*s'",
                        FB_STR_ARG(wishes->key_header));
        return false;
    }
    wishes->question.key = value;
    wishes->given |= FB_WISH_KEY;
    return true;
}

static bool take_list(fb_http_call *call, asking *one, const json_t *list) {
    size_t count = json_array_size(list);
    if (count < 1 || count > FB_LIMIT_QUESTIONS_MAX) {
        fb_http_problem(call->response, 400, "limits: expected a list of 1 to %d",
                        FB_LIMIT_QUESTIONS_MAX);
        return false;
    }
    one->several = true;
    for (size_t i = 0; i < count; i++) {
        json_t *object = json_array_get(list, i);
        fb_wishes *wishes = &one->wishes[i];
        fb_wishes_init(wishes);
        wishes->place = i + 1;
        if (!json_is_object(object)) {
            fb_http_problem(call->response, 400, "limits: expected objects with rule and key");
            return false;
        }
        if (!fb_wishes_object(call, object, FB_WISH_QUESTION, NULL, wishes) ||
            !take_question(call, one, wishes)) {
            return false;
        }
    }
    return true;
}

static bool take_object(fb_http_call *call, asking *one, json_t *root) {
    const json_t *list = json_object_get(root, "limits");
    if (list != NULL) {
        return fb_wishes_object(call, root, FB_WISH_PEEK, "limits", &one->of_all) &&
               take_list(call, one, list);
    }
    return fb_wishes_object(call, root, FB_WISH_QUESTION | FB_WISH_PEEK, "limits", &one->of_all) &&
           take_question(call, one, &one->of_all);
}

// What the query says of how to answer counts with a body, too; the questions are in one of the
// two.
static bool read_asking(fb_http_call *call, asking *one, json_t **root) {
    unsigned how = FB_WISH_ENFORCE | FB_WISH_STATUS;
    one->count = 0;
    one->several = false;
    *root = NULL;
    fb_wishes_init(&one->of_all);
    if (call->request->body.len == 0) {
        unsigned what = FB_WISH_QUESTION | FB_WISH_KEY_HEADER | FB_WISH_PEEK;
        return fb_wishes_query(call, what | how, &one->of_all) &&
               take_key_header(call, &one->of_all) && take_question(call, one, &one->of_all);
    }
    if (!fb_wishes_query(call, how, &one->of_all)) {
        return false;
    }
    *root = fb_http_object(call);
    return *root != NULL && take_object(call, one, *root);
}

// ---- answers

static void begin_problem(fb_http_call *call, int status, fb_reply *reply) {
    fb_http_json(call->response, status, reply);
    (void)snprintf(call->response->headers[0].value, FB_HTTP_HEADER_SIZE,
                   "application/problem+json");
}

enum { PROBLEM_PAIRS = 5 };

// What a problem says before the verdict; its type is the one that the draft of RateLimit
// registers.
static void say_problem(fb_reply *reply, int status, const fb_verdict *verdicts, size_t count) {
    char text[FB_LIMIT_MESSAGE_SIZE];
    size_t violated = 0;
    fb_say_text(reply, "type", "https://iana.org/assignments/http-problem-types#quota-exceeded");
    fb_say_text(reply, "title", fb_http_status_text(status));
    fb_say_integer(reply, "status", status);
    fb_say_text(reply, "detail", fb_verdict_message(fb_verdict_tightest(verdicts, count), text));
    for (size_t i = 0; i < count; i++) {
        violated += !verdicts[i].allowed;
    }
    fb_reply_text(reply, "violated-policies");
    fb_reply_array(reply, violated);
    for (size_t i = 0; i < count; i++) {
        if (!verdicts[i].allowed) {
            fb_reply_text(reply, verdicts[i].rule);
        }
    }
}

static void say_list(fb_reply *reply, const asking *one, bool allowed) {
    char text[FB_LIMIT_MESSAGE_SIZE];
    const fb_verdict *tightest = fb_verdict_tightest(one->verdicts, one->count);
    fb_say_boolean(reply, "allowed", allowed);
    fb_say_text(reply, "message", fb_verdict_message(tightest, text));
    fb_reply_text(reply, "limits");
    fb_reply_array(reply, one->count);
    for (size_t i = 0; i < one->count; i++) {
        fb_reply_map(reply, FB_VERDICT_PAIRS);
        fb_verdict_pairs(reply, &one->verdicts[i]);
    }
}

static int answer_check(fb_http_call *call, const asking *one, bool allowed) {
    fb_reply reply;
    bool enforced = !allowed && one->of_all.enforce;
    int status = enforced ? one->of_all.status : 200;
    size_t pairs = one->several ? 3 : FB_VERDICT_PAIRS;
    if (enforced) {
        begin_problem(call, status, &reply);
        fb_reply_map(&reply, PROBLEM_PAIRS + pairs);
        say_problem(&reply, status, one->verdicts, one->count);
    } else {
        fb_http_json(call->response, status, &reply);
        fb_reply_map(&reply, pairs);
    }
    if (one->several) {
        say_list(&reply, one, allowed);
    } else {
        fb_verdict_pairs(&reply, &one->verdicts[0]);
    }
    fb_verdict_headers(call->response, fb_verdict_tightest(one->verdicts, one->count),
                       call->node->wall_us());
    return fb_http_json_end(&reply);
}

static int answer_verdict(fb_http_call *call, const fb_verdict *verdict) {
    fb_reply reply;
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, FB_VERDICT_PAIRS);
    fb_verdict_pairs(&reply, verdict);
    fb_verdict_headers(call->response, verdict, call->node->wall_us());
    return fb_http_json_end(&reply);
}

static int answer_failure(fb_http_call *call, int result, const fb_error *error) {
    fb_http_failure(call->response, result, error);
    return FB_OK;
}

// ---- /v1/limits/check, /v1/limits/refund

int fb_route_limits_check(fb_http_call *call) {
    asking one;
    json_t *root;
    fb_error error = {0};
    int result = FB_OK;
    if (read_asking(call, &one, &root)) {
        result = fb_limit_check(call->node->engine, one.questions, one.count,
                                one.of_all.peek ? FB_LIMIT_PEEK : 0, one.verdicts, &error);
        result = result < 0 ? answer_failure(call, result, &error)
                            : answer_check(call, &one, result == FB_OK);
    }
    json_decref(root);
    return result;
}

int fb_route_limits_refund(fb_http_call *call) {
    fb_wishes wishes;
    fb_verdict verdict;
    json_t *root;
    fb_error error = {0};
    int result = FB_OK;
    if (fb_wishes_read(call, FB_WISH_QUESTION, &root, &wishes) &&
        fb_wishes_have(call, &wishes, FB_WISH_RULE | FB_WISH_KEY)) {
        result = fb_limit_refund(call->node->engine, &wishes.question, &verdict, &error);
        result = result < 0 ? answer_failure(call, result, &error) : answer_verdict(call, &verdict);
    }
    json_decref(root);
    return result;
}

// ---- /v1/limits

int fb_route_limits(fb_http_call *call) {
    fb_rule_figures *rules = NULL;
    size_t count = 0;
    fb_reply reply;
    int result = fb_rules_read(call->node->engine, &rules, &count);
    if (result < 0) {
        return result;
    }
    fb_http_json(call->response, 200, &reply);
    fb_reply_map(&reply, 1);
    fb_reply_text(&reply, "limits");
    fb_reply_array(&reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_rules_say(&reply, &rules[i].figures);
    }
    fb_mem_free(rules);
    return fb_http_json_end(&reply);
}

// ---- /v1/limits/{rule}/{key}

// The path's two names. A rule has no slash in its name, a key may.
static void split_name(const fb_http_call *call, fb_str *rule, fb_str *key) {
    size_t slash = fb_str_find(call->name, '/');
    size_t behind = slash < call->name.len ? slash + 1 : slash;
    *rule = fb_str_make(call->name.ptr, slash);
    *key = fb_str_make(call->name.ptr + behind, call->name.len - behind);
}

int fb_route_limit_show(fb_http_call *call) {
    fb_wishes wishes;
    fb_verdict verdict;
    fb_error error = {0};
    fb_wishes_init(&wishes);
    split_name(call, &wishes.question.rule, &wishes.question.key);
    if (!fb_wishes_query(call, FB_WISH_TIER | FB_WISH_COST, &wishes)) {
        return FB_OK;
    }
    int result = fb_verdict_peek(call->node->engine, &wishes.question, &verdict, &error);
    return result < 0 ? answer_failure(call, result, &error) : answer_verdict(call, &verdict);
}

int fb_route_limit_reset(fb_http_call *call) {
    fb_error error = {0};
    fb_str rule, key;
    split_name(call, &rule, &key);
    int result = fb_limit_reset(call->node->engine, rule, key, &error);
    if (result < 0) {
        return answer_failure(call, result, &error);
    }
    call->response->status = 204;
    return FB_OK;
}

static bool read_override(fb_http_call *call, const fb_wishes *wishes,
                          fb_limit_override *override) {
    bool limit = (wishes->given & FB_WISH_LIMIT) != 0;
    if (limit + wishes->allow + wishes->deny + wishes->none != 1) {
        fb_http_problem(call->response, 400,
                        "expected one of limit: a number, allow: true, deny: true, none: true");
        return false;
    }
    if (!wishes->none && !fb_wishes_have(call, wishes, FB_WISH_FOR)) {
        return false;
    }
    *override = (fb_limit_override){.limit = wishes->limit, .for_ms = wishes->for_ms};
    override->kind = limit           ? FB_LIMIT_OVERRIDE_LIMIT
                     : wishes->allow ? FB_LIMIT_OVERRIDE_ALLOW
                     : wishes->deny  ? FB_LIMIT_OVERRIDE_DENY
                                     : FB_LIMIT_OVERRIDE_NONE;
    return true;
}

int fb_route_limit_override(fb_http_call *call) {
    unsigned allowed =
        FB_WISH_LIMIT | FB_WISH_ALLOW | FB_WISH_DENY | FB_WISH_NONE | FB_WISH_FOR;
    fb_wishes wishes;
    fb_limit_override override;
    fb_error error = {0};
    fb_str rule, key;
    int result = FB_OK;
    json_t *root = fb_http_object(call);
    fb_wishes_init(&wishes);
    split_name(call, &rule, &key);
    if (root != NULL && fb_wishes_object(call, root, allowed, NULL, &wishes) &&
        read_override(call, &wishes, &override)) {
        result = fb_limit_override_set(call->node->engine, rule, key, &override, &error);
        if (result < 0) {
            result = answer_failure(call, result, &error);
        } else {
            call->response->status = 204;
        }
    }
    json_decref(root);
    return result;
}

// ---- /v1/limits/slots

static int answer_lease(fb_http_call *call, uint64_t token, const fb_verdict *verdict) {
    char text[24];
    fb_reply reply;
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)token);
    fb_http_json(call->response, 201, &reply);
    fb_reply_map(&reply, 1 + FB_VERDICT_PAIRS);
    fb_say_text(&reply, "token", text);
    fb_verdict_pairs(&reply, verdict);
    fb_verdict_headers(call->response, verdict, call->node->wall_us());
    return fb_http_json_end(&reply);
}

static int answer_taken(fb_http_call *call, const fb_verdict *verdict) {
    fb_reply reply;
    begin_problem(call, 429, &reply);
    fb_reply_map(&reply, PROBLEM_PAIRS + FB_VERDICT_PAIRS);
    say_problem(&reply, 429, verdict, 1);
    fb_verdict_pairs(&reply, verdict);
    fb_verdict_headers(call->response, verdict, call->node->wall_us());
    return fb_http_json_end(&reply);
}

int fb_route_slot_acquire(fb_http_call *call) {
    fb_wishes wishes;
    fb_verdict verdict;
    fb_error error = {0};
    uint64_t token = 0;
    json_t *root = fb_http_object(call);
    int result = FB_OK;
    fb_wishes_init(&wishes);
    if (root != NULL &&
        fb_wishes_object(call, root, FB_WISH_RULE | FB_WISH_KEY | FB_WISH_TIER | FB_WISH_TTL, NULL,
                         &wishes) &&
        fb_wishes_have(call, &wishes, FB_WISH_RULE | FB_WISH_KEY)) {
        result = fb_slot_acquire(call->node->engine, &wishes.question, wishes.ttl_ms, &token,
                                 &verdict, &error);
        result = result < 0         ? answer_failure(call, result, &error)
                 : result == FB_OK ? answer_lease(call, token, &verdict)
                                   : answer_taken(call, &verdict);
    }
    json_decref(root);
    return result;
}

static int answer_found(fb_http_call *call, int result, const fb_error *error) {
    if (result < 0) {
        return answer_failure(call, result, error);
    }
    if (result == FB_OK) {
        call->response->status = 204;
    } else {
        fb_http_problem(call->response, 404, "there is no such lease any more");
    }
    return FB_OK;
}

int fb_route_slot_renew(fb_http_call *call) {
    unsigned needed = FB_WISH_RULE | FB_WISH_KEY | FB_WISH_TOKEN;
    fb_wishes wishes;
    fb_error error = {0};
    json_t *root = fb_http_object(call);
    int result = FB_OK;
    fb_wishes_init(&wishes);
    if (root != NULL && fb_wishes_object(call, root, needed | FB_WISH_TTL, NULL, &wishes) &&
        fb_wishes_have(call, &wishes, needed)) {
        result = answer_found(call,
                              fb_slot_renew(call->node->engine, &wishes.question, wishes.token,
                                            wishes.ttl_ms, &error),
                              &error);
    }
    json_decref(root);
    return result;
}

int fb_route_slot_release(fb_http_call *call) {
    unsigned needed = FB_WISH_RULE | FB_WISH_KEY | FB_WISH_TOKEN;
    fb_wishes wishes;
    fb_error error = {0};
    fb_wishes_init(&wishes);
    if (!fb_wishes_query(call, needed, &wishes) || !fb_wishes_have(call, &wishes, needed)) {
        return FB_OK;
    }
    int result = fb_slot_release(call->node->engine, &wishes.question, wishes.token, &error);
    return answer_found(call, result, &error);
}

int fb_route_slot_show(fb_http_call *call) {
    fb_wishes wishes;
    fb_verdict verdict;
    fb_error error = {0};
    fb_wishes_init(&wishes);
    if (!fb_wishes_query(call, FB_WISH_RULE | FB_WISH_KEY | FB_WISH_TIER, &wishes) ||
        !fb_wishes_have(call, &wishes, FB_WISH_RULE | FB_WISH_KEY)) {
        return FB_OK;
    }
    int result = fb_slot_peek(call->node->engine, &wishes.question, &verdict, &error);
    return result < 0 ? answer_failure(call, result, &error) : answer_verdict(call, &verdict);
}
