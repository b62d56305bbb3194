// A request becomes one command on the route's connections, as values do: encoded by limits_step.c,
// kept until it is answered (a server that does not know the script gets its text), and answered
// once.
//
// What may have been done is UNKNOWN: a charge must not be made twice, so nothing that charges is
// sent again after it went out. What was not sent, and what the server refused (its error replies
// come before it has changed anything), is FAILED.
//
// Limits are asked for on the way of every request of an application. So where the server is known
// to be away nobody waits for it: send() says FB_EIO.

#include "redis/limits.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/limits_step.h"
#include "redis/remote_state.h"

typedef struct limit_ask {
    fb_remote *remote;
    fb_limits_question question;
    int64_t deadline_ns;
    fb_step step;
    fb_limit_reply_fn fn;
    void *arg;
} limit_ask;

static void free_ask(limit_ask *ask) {
    fb_step_release(&ask->step);
    fb_mem_free(ask);
}

static void answer(limit_ask *ask, const fb_limit_reply *reply) {
    ask->fn(ask->arg, reply);
    free_ask(ask);
}

static void fail(limit_ask *ask, fb_limit_result result, const char *text) {
    fb_limit_reply reply = {.result = result, .text = text != NULL ? text : ""};
    answer(ask, &reply);
}

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why);

static int send_step(limit_ask *ask) {
    fb_route_command command = {.command = fb_buf_str(&ask->step.command),
                                .slot = ask->step.slot,
                                .repeatable = ask->step.repeatable,
                                .deadline_ns = ask->deadline_ns,
                                .fn = on_reply,
                                .arg = ask};

    ask->remote->redis->commands++;
    return fb_route_send(ask->remote->route, &command);
}

static void send_text(limit_ask *ask) {
    int result = fb_step_with_text(&ask->step);
    if (result == FB_OK) {
        result = send_step(ask);
    }
    if (result < 0) {
        fail(ask, FB_LIMIT_FAILED, fb_result_text(result));
    }
}

static void on_error(limit_ask *ask, fb_str error) {
    char text[192];

    if (fb_str_starts(error, FB_STR("NOSCRIPT")) && !ask->step.loaded) {
        send_text(ask);
        return;
    }
    snprintf(text, sizeof text, "%.*s", (int)(error.len < 190 ? error.len : 190), error.ptr);
    fail(ask, FB_LIMIT_FAILED, text);
}

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why) {
    limit_ask *ask = arg;
    fb_limit_reply reply;

    if (outcome != FB_CONN_REPLIED) {
        fail(ask, outcome == FB_CONN_NOT_SENT ? FB_LIMIT_FAILED : FB_LIMIT_UNKNOWN, why);
        return;
    }
    if (value->type == FB_RESP_ERROR) {
        on_error(ask, value->text);
        return;
    }
    memset(&reply, 0, sizeof reply);
    reply.text = "";
    fb_limits_take(&ask->question, value, &reply);
    answer(ask, &reply);
}

// Known, by an attempt that failed; before the first one nothing is. (Of a Cluster without the
// server that the link hangs on, the others are there.)
static bool is_away(const fb_remote *remote, uint16_t slot) {
    bool is_down = !remote->route_up && remote->why[0] != '\0';
    return is_down ? !fb_route_reaches(remote->route, slot) : fb_route_is_away(remote->route, slot);
}

int fb_limits_send(fb_limit_port *port, const fb_limit_request *request, fb_limit_reply_fn fn,
                   void *arg) {
    fb_remote *remote = FB_LIST_OF(port, fb_remote, limit_port);
    limit_ask *ask;
    int result;

    if (remote->closing) {
        return FB_ECLOSED;
    }
    fb_remote_open(remote);
    ask = fb_mem_zero(1, sizeof *ask);
    if (ask == NULL) {
        return FB_ENOMEM;
    }
    ask->remote = remote;
    ask->question = (fb_limits_question){request->verb, request->part_count};
    ask->deadline_ns = fb_clock_now_ns() + request->timeout_ns;
    ask->fn = fn;
    ask->arg = arg;
    result = fb_limits_encode(&ask->step, remote->redis->options.name_space, request);
    if (result == FB_OK) {
        result = is_away(remote, ask->step.slot) ? FB_EIO : send_step(ask);
    }
    if (result < 0) {
        free_ask(ask);
    }
    return result;
}

fb_limit_port *fb_remote_limit_port(fb_remote *remote) {
    return &remote->limit_port;
}

bool fb_remote_limits_in_parts(const fb_remote *remote) {
    return fb_route_judges(remote->route);
}
