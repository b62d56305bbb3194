// A question to the rule that the configuration names, with the client's address as its key; ports
// do not count, since whoever comes again comes from another one.

#include "node/admit.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "node/verdict.h"

// "[::1]:5000" → "::1". Empty: a Unix socket.
static fb_str address_of(fb_str peer) {
    size_t len = peer.len;
    while (len > 0 && peer.ptr[len - 1] != ':') {
        len--;
    }
    if (len == 0 || fb_str_equal(fb_str_make(peer.ptr + len, peer.len - len), FB_STR("0"))) {
        return fb_str_make("", 0);
    }
    fb_str host = {peer.ptr, len - 1};
    if (host.len > 1 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        host = fb_str_make(host.ptr + 1, host.len - 2);
    }
    return host;
}

// The part of the message that says when; nothing where that is never.
static void say_when(const fb_verdict *verdict, char text[FB_ADMIT_TEXT_SIZE]) {
    char whole[FB_LIMIT_MESSAGE_SIZE];
    const char *when = strstr(fb_verdict_message(verdict, whole), "Try again");
    (void)snprintf(text, FB_ADMIT_TEXT_SIZE, "%s", when != NULL ? when : "");
}

static bool ask(fb_node *node, const char *rule, fb_str peer, unsigned flags,
                fb_verdict *verdict) {
    fb_limit_question question = {.rule = fb_str_of(rule), .key = address_of(peer), .cost = 1};
    fb_error error;
    if (question.rule.len == 0 || question.key.len == 0) {
        return true;
    }
    return fb_limit_check(node->engine, &question, 1, flags | FB_LIMIT_LOCAL, verdict, &error) !=
           FB_LIMITED;
}

bool fb_admit_connection(fb_node *node, fb_str peer, char text[FB_ADMIT_TEXT_SIZE],
                         int64_t *retry_s) {
    fb_verdict verdict;
    if (ask(node, node->connect_limit, peer, 0, &verdict)) {
        return true;
    }
    say_when(&verdict, text);
    *retry_s = fb_verdict_s(verdict.retry_us);
    return false;
}

bool fb_admit_sign_in(fb_node *node, fb_str peer, char text[FB_ADMIT_TEXT_SIZE]) {
    fb_verdict verdict;
    if (ask(node, node->auth_limit, peer, FB_LIMIT_PEEK, &verdict)) {
        return true;
    }
    say_when(&verdict, text);
    return false;
}

void fb_admit_failed(fb_node *node, fb_str peer) {
    fb_verdict verdict;
    (void)ask(node, node->auth_limit, peer, 0, &verdict);
}
