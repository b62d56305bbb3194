// Signing in by the header Authorization: "Bearer TOKEN", or "Basic" with user and password in
// base64. Without the header a request is from "default", where that needs no password. One that is
// wrong is refused even where none would have done: who sends it means to be somebody.

#include "node/http_user.h"

#include <string.h>

#include "base/check.h"
#include "base/rule.h"
#include "base/str.h"
#include "node/admit.h"
#include "node/users.h"

enum { BASIC_MAX = 8192 };

#define REALM "Bearer realm=\"forebay\", Basic realm=\"forebay\", charset=\"UTF-8\""

// ---- the header

// The rest of the header behind a scheme, in any case; false: it has another.
static bool has_scheme(fb_str header, fb_str scheme, fb_str *rest) {
    if (header.len <= scheme.len || header.ptr[scheme.len] != ' ' ||
        !fb_str_same(fb_str_make(header.ptr, scheme.len), scheme)) {
        return false;
    }
    *rest = fb_str_trim(fb_str_make(header.ptr + scheme.len, header.len - scheme.len));
    return true;
}

static int digit_of(char byte) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = byte != '\0' ? strchr(DIGITS, byte) : NULL;
    return found != NULL ? (int)(found - DIGITS) : -1;
}

// Base64; false: it is none, or has no room.
static bool decode(fb_str text, char out[BASIC_MAX], size_t *len) {
    unsigned bits = 0;
    unsigned count = 0;
    *len = 0;
    while (text.len > 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
    }
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.ptr[i]);
        if (digit < 0 || *len == BASIC_MAX) {
            return false;
        }
        bits = bits << 6 | (unsigned)digit;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[(*len)++] = (char)(bits >> count & 0xff);
        }
    }
    return true;
}

static fb_user *sign_in_basic(fb_node *node, fb_str text) {
    char login[BASIC_MAX];
    size_t len;
    if (!decode(text, login, &len)) {
        return NULL;
    }
    size_t colon = fb_str_find(fb_str_make(login, len), ':');
    if (colon == len) {
        return NULL;
    }
    fb_str name = colon > 0 ? fb_str_make(login, colon) : FB_STR("default");
    return fb_user_sign_in(node, name, fb_str_make(login + colon + 1, len - colon - 1));
}

static fb_user *sign_in(fb_node *node, fb_str header) {
    fb_str rest;
    if (has_scheme(header, FB_STR("Bearer"), &rest)) {
        return fb_user_by_token(node, rest);
    }
    return has_scheme(header, FB_STR("Basic"), &rest) ? sign_in_basic(node, rest) : NULL;
}

// ---- who it is

static void note(const fb_http_call *call, const char *reason, fb_str object) {
    fb_users_event event = {
        .reason = reason,
        .context = "http",
        .object = object,
        .user = fb_str_of(fb_user_name(call->user)),
        .client = call->request->peer,
    };
    fb_users_note(call->node, &event);
}

static void ask_for_login(fb_http_response *response, const char *why) {
    fb_http_problem(response, 401, "%s", why);
    fb_http_header_add(response, "WWW-Authenticate", "%s", REALM);
}

static bool is_known(fb_http_call *call) {
    char text[FB_ADMIT_TEXT_SIZE];
    fb_str header = call->request->authorization;
    fb_str peer = call->request->peer;
    if (header.len == 0) {
        call->user = fb_user_first(call->node);
        if (call->user == NULL) {
            ask_for_login(call->response,
                          "sign in: Authorization: Bearer TOKEN, or Basic with user and password");
        }
        return call->user != NULL;
    }
    if (peer.len > 0 && !fb_admit_sign_in(call->node, peer, text)) {
        fb_http_problem(call->response, 429, "too many failed attempts to sign in.%s%s",
                        text[0] != '\0' ? " " : "", text);
        return false;
    }
    call->user = sign_in(call->node, header);
    if (call->user == NULL) {
        if (peer.len > 0) {
            fb_admit_failed(call->node, peer);
        }
        note(call, "auth", call->request->path);
        ask_for_login(call->response, "the token, or user and password, is wrong or switched off");
    }
    return call->user != NULL;
}

// ---- what it may

// "fb.otp", "fb.slot|show".
static const fb_command *command_of(const fb_route *route) {
    fb_str name = fb_str_of(route->command);
    size_t bar = fb_str_find(name, '|');
    const fb_command *command = fb_command_find(fb_str_make(name.ptr, bar));
    if (command != NULL && bar < name.len) {
        command =
            fb_command_find_sub(command, fb_str_make(name.ptr + bar + 1, name.len - bar - 1));
    }
    FB_ASSERT(command != NULL);
    return command;
}

static void deny_command(fb_http_call *call, const fb_command *command) {
    char name[FB_COMMAND_NAME_SIZE];
    const char *full = fb_command_full_name(command, name);
    note(call, "command", fb_str_of(full));
    fb_http_problem(call->response, 403,
                    "the user '%.64s' has no right to '%s', which this route takes",
                    fb_user_name(call->user), full);
}

static void deny_key(fb_http_call *call, const char *place, fb_str key) {
    note(call, "key", key);
    fb_http_problem(call->response, 403, "%sthe user '%.64s' has no right to the key '%.*s'", place,
                    fb_user_name(call->user), (int)(key.len < 256 ? key.len : 256), key.ptr);
}

static void deny_reach(fb_http_call *call) {
    note(call, "key", call->request->path);
    fb_http_problem(call->response, 403,
                    "the user '%.64s' has no right to all keys, which this request may reach",
                    fb_user_name(call->user));
}

// Where nobody need be asked.
static bool is_free(const fb_http_call *call) {
    return call->node->users == NULL || call->route->command == NULL ||
           fb_user_may_all_keys(call->user);
}

bool fb_http_may_key(fb_http_call *call, fb_str key) {
    if (is_free(call) ||
        fb_user_may_key(call->user, key, fb_user_access(command_of(call->route)))) {
        return true;
    }
    deny_key(call, "", key);
    return false;
}

typedef struct asking {
    fb_http_call *call;
    const char *place;
} asking;

static bool ask_key(void *arg, fb_str key, unsigned access) {
    const asking *one = arg;
    if (fb_user_may_key(one->call->user, key, access)) {
        return true;
    }
    deny_key(one->call, one->place, key);
    return false;
}

bool fb_http_may_request(fb_http_call *call, const fb_request *request, const char *place) {
    asking one = {call, place};
    bool unknown = false;
    if (is_free(call) || !FB_RULE(http_computed)) {
        return true;
    }
    unsigned access = fb_user_access(command_of(call->route));
    return fb_user_request_key(call->node->engine, request, access, &unknown, ask_key, &one) &&
           (!unknown || fb_http_may_all_keys(call));
}

bool fb_http_may_all_keys(fb_http_call *call) {
    if (is_free(call) || !FB_RULE(http_reach)) {
        return true;
    }
    deny_reach(call);
    return false;
}

static bool has_param(const fb_route *route, const char *name) {
    const fb_route_param *param = route->params;
    while (param != NULL && param->name != NULL && strcmp(param->name, name) != 0) {
        param++;
    }
    return param != NULL && param->name != NULL;
}

// The one key that the path, or a query without a body, names. false: none.
static bool find_key(const fb_http_call *call, fb_str *key) {
    const char *brace = strstr(call->route->path, "{key}");
    if (brace != NULL) {
        size_t slash = strstr(call->route->path, "}/{key}") != NULL ? fb_str_find(call->name, '/') + 1
                                                                    : 0;
        *key = fb_str_make(call->name.ptr + slash, call->name.len - slash);
        return true;
    }
    const fb_param *param = has_param(call->route, "key") ? fb_http_param(call, "key") : NULL;
    if (param != NULL && call->request->body.len == 0) {
        *key = param->value;
    }
    return param != NULL && call->request->body.len == 0;
}

static bool may_keys(fb_http_call *call, const fb_command *command) {
    fb_str key;
    if (fb_user_is_keyless(command) || (call->route->flags & FB_ROUTE_OWN_KEYS) != 0) {
        return true;
    }
    return find_key(call, &key) ? fb_http_may_key(call, key) : fb_http_may_all_keys(call);
}

bool fb_http_may(fb_http_call *call) {
    if (call->route->command == NULL || call->node->users == NULL) {
        return true;
    }
    if (!is_known(call)) {
        return false;
    }
    const fb_command *command = command_of(call->route);
    if (FB_RULE(http_commands) && !fb_user_may_run(call->user, command)) {
        deny_command(call, command);
        return false;
    }
    return !FB_RULE(http_keys) || may_keys(call, command);
}

void fb_http_user_done(fb_http_call *call) {
    fb_user_give(call->user);
    call->user = NULL;
}
