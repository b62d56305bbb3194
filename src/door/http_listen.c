// Accepting for libevent's server.
//
// Without a free file descriptor accepting would fail at once, again and again: so a listener that
// this happens to rests. (What libevent tells the error's callback is the server, which says nothing
// of us: that is why the lane's next look round ends the rest, and not a timer of the listener's.)

#include "door/http_listen.h"

#include <errno.h>
#include <event2/listener.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "door/notice.h"

static void on_accept_error(struct evconnlistener *events, void *server) {
    static fb_door_notice notice;
    int number = errno;
    char text[128];
    uint64_t more;
    (void)server;
    if (fb_door_notice_due(&notice, &more)) {
        fb_log(FB_LOG_WARN, "accept_failed", "door=http reason=\"%s\" more=%llu",
               strerror_r(number, text, sizeof text), (unsigned long long)more);
    }
    (void)evconnlistener_disable(events);
}

static int add(fb_http_listeners *to, struct event_base *base, int fd) {
    fb_http_listener *one = &to->all[to->count];
    one->events = evconnlistener_new(base, NULL, NULL,
                                     LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (one->events == NULL) {
        (void)close(fd);
        return FB_ENOMEM;
    }
    one->bound = evhttp_bind_listener(to->server, one->events);
    if (one->bound == NULL) {
        evconnlistener_free(one->events);
        return FB_ENOMEM;
    }
    evconnlistener_set_error_cb(one->events, on_accept_error);
    to->count++;
    return FB_OK;
}

int fb_http_listeners_open(fb_http_listeners *listeners, struct event_base *base,
                           struct evhttp *server, const int *fds) {
    int result = server != NULL ? FB_OK : FB_ENOMEM;
    *listeners = (fb_http_listeners){.server = server};
    for (size_t i = 0; i < FB_HTTP_LISTENERS_MAX; i++) {
        if (fds[i] >= 0 && result == FB_OK) {
            result = add(listeners, base, fds[i]);
        } else if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    return result;
}

void fb_http_listeners_resume(fb_http_listeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++) {
        (void)evconnlistener_enable(listeners->all[i].events);
    }
}

void fb_http_listeners_stop(fb_http_listeners *listeners) {
    for (size_t i = 0; i < listeners->count; i++) {
        evhttp_del_accept_socket(listeners->server, listeners->all[i].bound);
    }
    listeners->count = 0;
}
