// Opening goes door by door; whatever one of them fails of is said by name and ends the start. So a
// daemon that runs answers at all the addresses it was told. Nobody comes in before all is known that
// could forbid it: who may, and the certificates.

#include "daemon/doors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/activation.h"
#include "daemon/guard.h"
#include "os/group.h"
#include "os/port_owner.h"

enum { ADDRESS_SIZE = 300, FILE_SIZE = 4096 };

static void option(const fb_config *config, const char *path, char *text, size_t text_size) {
    if (fb_config_get(config, fb_str_of(path), text, text_size) != FB_OK) {
        text[0] = '\0';
    }
}

// "127.0.0.1:6380" → 6380; 0 where there is none.
static uint16_t port_of(const char *address) {
    const char *colon = strrchr(address, ':');
    return colon != NULL ? (uint16_t)strtoul(colon + 1, NULL, 10) : 0;
}

static void log_trouble(const char *door, const char *address, const fb_error *error) {
    static const struct {
        const char *door, *variable;
    } variables[] = {{"resp", "RESP"},
                     {"http", "HTTP"},
                     {"resp_tls", "RESP_TLS"},
                     {"http_tls", "HTTP_TLS"}};
    char owner[128] = "";
    fb_port_owner(port_of(address), owner, sizeof owner);
    const char *variable = "";
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        variable = strcmp(door, variables[i].door) == 0 ? variables[i].variable : variable;
    }
    if (owner[0] != '\0') {
        fb_log(FB_LOG_ERROR, "address_taken",
               "door=%s address=%s by=%s hint=\"choose another: --set listen.%s=127.0.0.1:PORT, or "
               "FOREBAY_LISTEN_%s, or listen: in the configuration\"",
               door, address, fb_log_quote(fb_str_of(owner), FB_LOG_TEXT_MAX).text, door,
               variable);
    } else {
        fb_log(FB_LOG_ERROR, "cannot_listen", "door=%s address=%s error=%s", door,
               fb_log_quote(fb_str_of(address), FB_LOG_KEY_MAX).text,
               fb_log_quote(fb_str_of(error->text), FB_LOG_TEXT_MAX).text);
    }
}

static int log_refusal(const fb_error *error) {
    fb_log(FB_LOG_ERROR, "configuration_refused", "error=%s",
           fb_log_quote(fb_str_of(error->text), FB_LOG_TEXT_MAX).text);
    return FB_SERVE_CONFIG;
}

// ---- certificates

typedef struct tls_text {
    char cert[FILE_SIZE], key[FILE_SIZE], ca[FILE_SIZE];
} tls_text;

static fb_door_tls_options tls_options(const fb_config *config, tls_text *text) {
    char auth[16], version[8];
    option(config, "tls.cert", text->cert, sizeof text->cert);
    option(config, "tls.key", text->key, sizeof text->key);
    option(config, "tls.ca", text->ca, sizeof text->ca);
    option(config, "tls.client_auth", auth, sizeof auth);
    option(config, "tls.min_version", version, sizeof version);
    return (fb_door_tls_options){
        .cert = text->cert,
        .key = text->key,
        .ca = text->ca,
        .auth = strcmp(auth, "required") == 0   ? FB_DOOR_TLS_AUTH_REQUIRED
                : strcmp(auth, "optional") == 0 ? FB_DOOR_TLS_AUTH_OPTIONAL
                                                : FB_DOOR_TLS_AUTH_OFF,
        .only_13 = strcmp(version, "1.3") == 0,
    };
}

int fb_daemon_doors_prepare(const fb_daemon_doors *doors, const fb_config *config,
                            fb_door_tls_context **next, fb_error *error) {
    tls_text text;
    *next = NULL;
    if (doors->tls == NULL) {
        return FB_OK;
    }
    fb_door_tls_options options = tls_options(config, &text);
    return fb_door_tls_prepare(doors->tls, &options, next, error);
}

void fb_daemon_doors_publish(fb_daemon_doors *doors, fb_door_tls_context *next) {
    fb_door_tls_publish(doors->tls, next);
}

void fb_daemon_doors_drop(fb_door_tls_context *next) {
    fb_door_tls_drop(next);
}

// ---- each door

static const struct {
    const char *name, *option;
    bool tls;
} DOOR[FB_ACTIVATION_DOORS] = {
    [FB_ACTIVATION_RESP] = {"resp", "listen.resp", false},
    [FB_ACTIVATION_HTTP] = {"http", "listen.http", false},
    [FB_ACTIVATION_RESP_TLS] = {"resp_tls", "listen.resp_tls", true},
    [FB_ACTIVATION_HTTP_TLS] = {"http_tls", "listen.http_tls", true},
};

// What the configuration says. It is read before the first door is open: a client there may change
// it, which frees the one that was in force.
typedef struct opening {
    fb_daemon_doors *doors;
    fb_activation sockets;
    char addresses[FB_ACTIVATION_DOORS][ADDRESS_SIZE];
    char own[FILE_SIZE], group[256];
    int own_result;  // of reading `own`
    fb_error error;
} opening;

static bool is_wanted(const opening *one, fb_activation_door door) {
    return one->sockets.counts[door] > 0 || strcmp(one->addresses[door], "off") != 0;
}

// The address of a passed socket stands in no configuration. One that other hosts can reach is
// remembered, since a reload asks again; what is no such socket is told when its door opens.
static void look_at_passed(opening *one, fb_activation_door door) {
    fb_daemon_doors *doors = one->doors;
    for (size_t i = 0; i < one->sockets.counts[door]; i++) {
        fb_listen at;
        fb_error error;
        if (fb_listen_take(&one->sockets.fds[door][i], 1, &at, &error) == FB_OK &&
            !fb_guard_is_local(fb_str_of(at.address))) {
            (void)snprintf(doors->passed_address, sizeof doors->passed_address, "%s", at.address);
            doors->passed_name = DOOR[door].name;
        }
    }
}

static int prepare_tls(opening *one, const fb_config *config) {
    tls_text text;
    fb_door_tls_options options = tls_options(config, &text);
    return fb_door_tls_new(&options, &one->doors->tls, &one->error) < 0 ? log_refusal(&one->error)
                                                                        : FB_SERVE_OK;
}

static int prepare(opening *one, const fb_config *config) {
    bool tls = false;
    if (fb_activation_take(&one->sockets, &one->error) < 0) {
        return log_refusal(&one->error);
    }
    for (fb_activation_door door = 0; door < FB_ACTIVATION_DOORS; door++) {
        option(config, DOOR[door].option, one->addresses[door], ADDRESS_SIZE);
        look_at_passed(one, door);
        tls = tls || (DOOR[door].tls && is_wanted(one, door));
    }
    one->own_result = fb_config_get(config, FB_STR("listen.socket"), one->own, sizeof one->own);
    option(config, "region.group", one->group, sizeof one->group);
    if (fb_daemon_doors_check(one->doors, config, one->doors->node->users, &one->error) < 0) {
        return log_refusal(&one->error);
    }
    return tls ? prepare_tls(one, config) : FB_SERVE_OK;
}

static int open_resp(opening *one, fb_activation_door door, fb_resp_door **out) {
    if (!is_wanted(one, door)) {
        return FB_SERVE_OK;
    }
    fb_resp_options options = {.address = fb_str_of(one->addresses[door]),
                               .fds = one->sockets.fds[door],
                               .fd_count = one->sockets.counts[door],
                               .tls = DOOR[door].tls ? one->doors->tls : NULL};
    if (fb_resp_open_with(one->doors->node, &options, out, &one->error) < 0) {
        log_trouble(DOOR[door].name, one->addresses[door], &one->error);
        return FB_SERVE_ADDRESS;
    }
    return FB_SERVE_OK;
}

static int open_http(opening *one, fb_activation_door door, fb_http **out) {
    if (!is_wanted(one, door)) {
        return FB_SERVE_OK;
    }
    fb_http_options options = {.address = one->addresses[door],
                               .fds = one->sockets.fds[door],
                               .fd_count = one->sockets.counts[door],
                               .tls = DOOR[door].tls ? one->doors->tls : NULL};
    if (fb_http_open_as(one->doors->node, &options, out, &one->error) < 0) {
        log_trouble(DOOR[door].name, one->addresses[door], &one->error);
        return FB_SERVE_ADDRESS;
    }
    fb_http_address(*out, DOOR[door].tls ? one->doors->http_tls_address : one->doors->http_address,
                    ADDRESS_SIZE);
    return FB_SERVE_OK;
}

static int open_own(opening *one) {
    uint32_t number;
    int result = one->own_result;
    if (result == FB_OK && one->own[0] == '\0') {
        return FB_SERVE_OK;
    }
    if (result < 0) {
        one->own[0] = '\0';  // one that does not fit here fits no socket
        (void)fb_error_set(&one->error, result, "listen.socket: %s", fb_result_text(result));
    } else {
        result = fb_group_find(one->group, &number, &one->error);
    }
    if (result == FB_OK) {
        result = fb_resp_open_own(one->doors->node, one->own, number, &one->doors->own,
                                  &one->error);
    }
    if (result < 0) {
        log_trouble("socket", one->own, &one->error);
    }
    return result < 0 ? FB_SERVE_ADDRESS : FB_SERVE_OK;
}

int fb_daemon_doors_open(fb_daemon_doors *doors, fb_node *node, const fb_config *config) {
    opening one = {.doors = doors};
    doors->node = node;
    node->http_address = doors->http_address;
    int status = prepare(&one, config);
    if (status == FB_SERVE_OK) {
        status = open_resp(&one, FB_ACTIVATION_RESP, &doors->resp);
    }
    if (status == FB_SERVE_OK) {
        status = open_http(&one, FB_ACTIVATION_HTTP, &doors->http);
    }
    if (status == FB_SERVE_OK) {
        status = open_resp(&one, FB_ACTIVATION_RESP_TLS, &doors->resp_tls);
    }
    if (status == FB_SERVE_OK) {
        status = open_http(&one, FB_ACTIVATION_HTTP_TLS, &doors->http_tls);
        node->http_tls_address = doors->http_tls != NULL ? doors->http_tls_address : NULL;
    }
    return status == FB_SERVE_OK ? open_own(&one) : status;
}

int fb_daemon_doors_check(const fb_daemon_doors *doors, const fb_config *config, fb_users *users,
                          fb_error *error) {
    return doors->passed_name == NULL ? FB_OK
                                      : fb_guard_passed(config, users, doors->passed_name,
                                                        doors->passed_address, error);
}

const char *fb_daemon_doors_resp(const fb_daemon_doors *doors) {
    return doors->resp != NULL ? fb_resp_address(doors->resp) : "off";
}

const char *fb_daemon_doors_http(const fb_daemon_doors *doors) {
    return doors->http != NULL ? doors->http_address : "off";
}

const char *fb_daemon_doors_resp_tls(const fb_daemon_doors *doors) {
    return doors->resp_tls != NULL ? fb_resp_address(doors->resp_tls) : "off";
}

const char *fb_daemon_doors_http_tls(const fb_daemon_doors *doors) {
    return doors->http_tls != NULL ? doors->http_tls_address : "off";
}

// ---- all

enum { RESP_DOORS = 3, HTTP_DOORS = 2 };

void fb_daemon_doors_stop(fb_daemon_doors *doors) {
    fb_resp_door *resp[RESP_DOORS] = {doors->resp, doors->resp_tls, doors->own};
    fb_http *http[HTTP_DOORS] = {doors->http, doors->http_tls};
    for (size_t i = 0; i < RESP_DOORS; i++) {
        if (resp[i] != NULL) {
            fb_resp_stop_accepting(resp[i]);
        }
    }
    for (size_t i = 0; i < HTTP_DOORS; i++) {
        if (http[i] != NULL) {
            fb_http_stop(http[i]);
        }
    }
}

bool fb_daemon_doors_drain(fb_daemon_doors *doors, int64_t timeout_ms) {
    fb_resp_door *resp[RESP_DOORS] = {doors->resp, doors->resp_tls, doors->own};
    fb_http *http[HTTP_DOORS] = {doors->http, doors->http_tls};
    bool gone = true;
    for (size_t i = 0; i < RESP_DOORS; i++) {
        gone = (resp[i] == NULL || fb_resp_drain(resp[i], timeout_ms) == FB_OK) && gone;
    }
    for (size_t i = 0; i < HTTP_DOORS; i++) {
        gone = (http[i] == NULL || fb_http_drain(http[i], timeout_ms) == FB_OK) && gone;
    }
    return gone;
}

// Whoever is connected to one door may be told the address of another: no address goes before all
// connections have.
void fb_daemon_doors_close(fb_daemon_doors *doors) {
    fb_resp_door *resp[RESP_DOORS] = {doors->resp, doors->resp_tls, doors->own};
    for (size_t i = 0; i < RESP_DOORS; i++) {
        if (resp[i] != NULL) {
            fb_resp_end(resp[i]);
        }
    }
    fb_http_close(doors->http_tls);
    fb_http_close(doors->http);
    for (size_t i = 0; i < RESP_DOORS; i++) {
        fb_resp_close(resp[i]);
    }
    fb_door_tls_free(doors->tls);
    *doors = (fb_daemon_doors){.node = NULL};
}
