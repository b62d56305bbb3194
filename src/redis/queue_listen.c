// One side connection listens to the channel, at any server: messages go to all. It connects again
// by itself; each time it listens, anything may have been missed before, which is told as the empty
// name.

#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/queue.h"
#include "redis/remote_state.h"

static void ring(const fb_remote *remote, fb_str queue) {
    const fb_queue_port *port = &remote->queue.port;
    if (port->on_ready != NULL && !remote->closing) {
        port->on_ready(port->on_ready_arg, queue);
    }
}

static void on_push(void *arg, const fb_resp_value *push) {
    fb_remote *remote = arg;

    if (fb_reply_is(fb_reply_item(push, 0), "message") &&
        fb_reply_item(push, 2)->type == FB_RESP_STRING) {
        ring(remote, fb_reply_item(push, 2)->text);
    }
}

static void on_subscribed(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                          const char *why) {
    fb_remote *remote = arg;
    (void)why;

    if (outcome == FB_CONN_REPLIED && value->type == FB_RESP_ERROR && !remote->queue.said_deaf) {
        remote->queue.said_deaf = true;
        fb_log(FB_LOG_WARN, "queue_listen_failed", "error=%s",
               fb_log_quote(value->text, 300).text);
    }
    ring(remote, FB_STR(""));
}

static void on_up(void *arg) {
    fb_remote *remote = arg;
    char channel[256];
    fb_buf bytes = {0};
    int64_t deadline_ns = fb_clock_now_ns() + remote->redis->options.connect_timeout_ns;

    snprintf(channel, sizeof channel, "%s:q", remote->redis->options.name_space);
    const fb_str args[] = {FB_STR("SUBSCRIBE"), fb_str_of(channel)};
    int result = fb_resp_write_command(&bytes, args, 2);
    if (result == FB_OK) {
        result = fb_conn_subscribe(remote->queue.line, fb_buf_str(&bytes), deadline_ns,
                                   on_subscribed, remote);
    }
    fb_buf_release(&bytes);
    FB_IGNORE(result);  // without memory it hears nothing until the connection is made anew
}

static void on_down(void *arg, const char *why, bool fatal) {
    (void)arg;
    (void)why;
    (void)fatal;
}

void fb_remote_queue_listen_open(fb_remote *remote) {
    fb_route *route = remote->route;
    const fb_conn_events events = {on_up, on_down, on_push, remote};

    if (!remote->queue.listens || remote->queue.line != NULL ||
        fb_route_server_count(route) == 0) {
        return;
    }
    const fb_route_server *server = fb_route_server_at(route, fb_route_server_first(route));
    if (fb_route_side(route, server, &events, &remote->queue.line) < 0) {
        remote->queue.line = NULL;  // tried again when the servers change
    }
}

void fb_remote_queue_listen_close(fb_remote *remote) {
    if (remote->queue.line != NULL) {
        fb_route_side_close(remote->route, remote->queue.line);
        remote->queue.line = NULL;
    }
}

int fb_remote_queue_listen(fb_remote *remote) {
    remote->queue.listens = true;
    fb_remote_open(remote);
    if (remote->route_up) {
        fb_remote_queue_listen_open(remote);
    }
    return FB_OK;
}
