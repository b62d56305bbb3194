// Sentinels: who is the master of a service.
//
// One connection to each Sentinel that the URL names: on it the master is asked for, and
// +switch-master is heard. Sentinels may disagree for a while (one was away during a fail-over, or
// is cut off), so all are asked, and of the answers that are fresh the one of the newest
// configuration (config-epoch) counts. An answer is fresh when it was asked for since the
// connection to the master was made: what was said before may be what has just ceased to be true. A
// newer configuration is believed at once; one that is not newer takes the place of what is known
// only when all have answered (it may come from who was away; or Sentinel was set up anew, and
// counts from 0 again).
//
// Other Sentinels of the same service, which are not in the URL, are not looked for.

#include "redis/route_state.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "os/clock.h"

struct fb_sentinel {
    fb_route *route;
    fb_redis_host place;
    fb_conn *conn;
    fb_buf question;
    bool up, asked, again;  // again: a newer answer is wanted than the one that is under way
    int64_t asked_ns;
    int64_t answered_ns;  // when `result` was asked for
    int result;           // FB_OK: `master`; FB_MISS: it knows none; FB_PENDING: none yet; an error
    fb_redis_host master;
    uint64_t epoch;
    char why[FB_ROUTE_WHY_MAX];
};

// ---- what they say

// The best answer that was asked for since since_ns, or NULL.
static const fb_sentinel *best_since(const fb_route *route, int64_t since_ns) {
    const fb_sentinel *best = NULL;
    for (size_t i = 0; i < route->sentinel_count; i++) {
        const fb_sentinel *sentinel = &route->sentinels[i];
        if (sentinel->up && sentinel->result == FB_OK && sentinel->answered_ns >= since_ns &&
            (best == NULL || (FB_RULE(newest) && sentinel->epoch > best->epoch))) {
            best = sentinel;
        }
    }
    return best;
}

// Whether there is nobody left whose answer may still come.
static bool all_heard_since(const fb_route *route, int64_t since_ns) {
    for (size_t i = 0; i < route->sentinel_count; i++) {
        const fb_sentinel *sentinel = &route->sentinels[i];
        if (sentinel->up ? sentinel->result == FB_PENDING || sentinel->answered_ns < since_ns
                         : sentinel->why[0] == '\0') {
            return false;
        }
    }
    return true;
}

// Where nobody named a master: what is known of that.
static void say_why(fb_route *route) {
    size_t knows_none = 0;
    const char *why = "";
    for (size_t i = 0; i < route->sentinel_count; i++) {
        const fb_sentinel *sentinel = &route->sentinels[i];
        knows_none += sentinel->up && sentinel->result == FB_MISS;
        why = sentinel->why[0] != '\0' ? sentinel->why : why;
    }
    if (knows_none > 0) {
        snprintf(route->why, sizeof route->why, "the sentinels know no master of '%.100s'",
                 route->options.url->service);
    } else {
        snprintf(route->why, sizeof route->why, "no sentinel can say who is the master: %.140s",
                 why);
    }
}

static void use_master(fb_route *route, const fb_sentinel *by) {
    fb_route_server *server = fb_route_server_get(route, &by->master);
    bool had = route->master_count > 0;
    if (server == NULL || fb_route_masters_set(route, &server, 1) != FB_OK) {
        fb_route_refresh_in(route, route->options.connect_timeout_ns);
        return;
    }
    route->why[0] = '\0';
    route->changed = route->changed || had;
    route->epoch = by->epoch;
    fb_route_server_open(server);
}

static void decide(fb_route *route) {
    fb_route_server *master = route->master_count > 0 ? route->masters[0] : NULL;
    int64_t since_ns = FB_RULE(named_since) && master != NULL ? master->up_ns : 0;
    const fb_sentinel *best = best_since(route, since_ns);
    bool all_heard = all_heard_since(route, since_ns);
    if (best == NULL) {
        if (all_heard && (master == NULL || !fb_route_server_ready(master))) {
            say_why(route);
        }
    } else if (master != NULL && fb_place_equal(&master->place, &best->master)) {
        route->why[0] = '\0';
        route->epoch = best->epoch;
        master->confirmed = master->up;
    } else if (master == NULL || !FB_RULE(newest) || best->epoch > route->epoch || all_heard) {
        use_master(route, best);
    }
    fb_route_settle(route);
}

// ---- asking

static void ask(fb_sentinel *sentinel);

static void on_answer(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                      const char *why) {
    fb_sentinel *sentinel = arg;
    fb_route *route = sentinel->route;
    sentinel->asked = false;
    if (route->closing) {
        return;
    }
    sentinel->why[0] = '\0';
    sentinel->answered_ns = sentinel->asked_ns;
    if (outcome == FB_CONN_REPLIED) {
        sentinel->result = fb_sentinel_answer_read(value, &sentinel->master, &sentinel->epoch);
        if (sentinel->result == FB_ESYNTAX) {
            snprintf(sentinel->why, sizeof sentinel->why, "%.160s is no Sentinel",
                     fb_conn_name(sentinel->conn));
        }
    } else {
        sentinel->result = FB_ETIMEDOUT;
        snprintf(sentinel->why, sizeof sentinel->why, "%s", why);
    }
    if (sentinel->again && sentinel->up) {
        ask(sentinel);
    }
    decide(route);
}

static void ask(fb_sentinel *sentinel) {
    sentinel->again = sentinel->asked;
    if (sentinel->asked || !sentinel->up) {
        return;
    }
    sentinel->asked_ns = fb_clock_now_ns();
    int64_t deadline_ns = sentinel->asked_ns + sentinel->route->options.connect_timeout_ns;
    sentinel->asked = fb_conn_send(sentinel->conn, fb_buf_str(&sentinel->question), 1, deadline_ns,
                                   on_answer, sentinel) == FB_OK;
}

void fb_sentinel_ask(fb_route *route) {
    for (size_t i = 0; i < route->sentinel_count; i++) {
        ask(&route->sentinels[i]);
    }
}

// ---- connections

// Without the subscription a switch is noticed at the next refresh, or by the loss of the old
// master.
static void on_subscribed(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                          const char *why) {
}

static void on_up(void *arg) {
    static const fb_str subscribe =
        FB_STR_INIT("*2\r\n$9\r\nSUBSCRIBE\r\n$14\r\n+switch-master\r\n");
    fb_sentinel *sentinel = arg;
    int64_t deadline_ns = fb_clock_now_ns() + sentinel->route->options.connect_timeout_ns;
    sentinel->up = true;
    sentinel->result = FB_PENDING;
    sentinel->why[0] = '\0';
    FB_IGNORE(fb_conn_subscribe(sentinel->conn, subscribe, deadline_ns, on_subscribed, sentinel));
    ask(sentinel);
}

static void on_down(void *arg, const char *why, bool fatal) {
    fb_sentinel *sentinel = arg;
    sentinel->up = false;
    snprintf(sentinel->why, sizeof sentinel->why, "%s", why);
    decide(sentinel->route);
}

static void on_push(void *arg, const fb_resp_value *push) {
    fb_sentinel *sentinel = arg;
    if (fb_sentinel_is_switch(push, sentinel->route->options.url->service)) {
        fb_sentinel_ask(sentinel->route);
    }
}

static void open_one(fb_sentinel *sentinel) {
    const fb_route_options *options = &sentinel->route->options;
    fb_conn_options wanted = {.base = options->base,
                              .dns = options->dns,
                              .host = sentinel->place.host,
                              .port = sentinel->place.port,
                              .user = options->url->sentinel_user,
                              .password = options->url->sentinel_password,
                              .tls = options->url->tls ? options->tls : NULL,
                              .client_name = options->client_name,
                              .connect_timeout_ns = options->connect_timeout_ns,
                              .stall_ns = options->stall_ns,
                              .seed = fb_rng_next(&sentinel->route->rng)};
    fb_conn_events events = {
        .on_up = on_up, .on_down = on_down, .on_push = on_push, .arg = sentinel};
    if (fb_conn_new(&wanted, &events, &sentinel->conn) != FB_OK) {
        sentinel->conn = NULL;
        snprintf(sentinel->why, sizeof sentinel->why, "out of memory");
    }
}

void fb_sentinel_open(fb_route *route) {
    for (size_t i = 0; i < route->sentinel_count; i++) {
        if (route->sentinels[i].conn == NULL) {
            open_one(&route->sentinels[i]);
        }
    }
}

int fb_sentinel_begin(fb_route *route) {
    const fb_redis_url *url = route->options.url;
    fb_str words[] = {FB_STR("SENTINEL"), FB_STR("MASTER"), fb_str_of(url->service)};
    route->sentinels = fb_mem_zero(url->host_count, sizeof *route->sentinels);
    if (route->sentinels == NULL) {
        return FB_ENOMEM;
    }
    route->sentinel_count = url->host_count;
    int result = FB_OK;
    for (size_t i = 0; i < url->host_count && result == FB_OK; i++) {
        fb_sentinel *sentinel = &route->sentinels[i];
        sentinel->route = route;
        sentinel->place = url->hosts[i];
        sentinel->result = FB_PENDING;
        result = fb_resp_write_command(&sentinel->question, words, 3);
    }
    return result;
}

void fb_sentinel_end(fb_route *route) {
    for (size_t i = 0; i < route->sentinel_count; i++) {
        fb_conn_close(route->sentinels[i].conn);
        fb_buf_release(&route->sentinels[i].question);
    }
    fb_mem_free(route->sentinels);
    route->sentinels = NULL;
    route->sentinel_count = 0;
}
