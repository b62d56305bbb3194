// A route: the servers it knows, which of them take writes, and when to ask who they are.
//
// A server is *ready* when it is connected and may be believed to take writes: alone, when HELLO
// says so; behind Sentinel, when HELLO says so and a Sentinel has named it since that connection
// was made (a master that comes back may not know yet that it was replaced); in a Cluster, when it
// is connected, since it redirects what is not its own. Commands are only ever given to connections
// of servers that are ready; all others wait here, under their deadlines (route_send.c), so that
// they can go to whoever takes over.
//
// Of a Cluster that may be up in part, each server has a breaker (sync/breaker.h): one that is
// connected and does not answer in time is not ready either. It is asked PING, with the patience of
// those who gave it up, until it answers.
//
// What is known of the topology is never right for long, so there is one way to mend it: a
// *refresh*, soon after any sign of doubt (a loss, a command without an answer, READONLY, MOVED,
// CLUSTERDOWN), with a back-off while things are bad, and every ten seconds where all seems well.
// Everything that happens ends in fb_route_settle(), the only place that tells the owner and lets
// commands go.
//
// Invariants: a server is in `servers` from its making to its end; `masters` and `slots` point into
// that list; a server that is in neither, and no seed, is retired: it ends when nothing is on it,
// or after GRACE_NS, which is for answers under way of a server that works, and spares those who
// wait for one that hangs.

#include "redis/route_state.h"

#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "os/clock.h"

#define MS INT64_C(1000000)

enum { SERVERS_MAX = 2 * FB_SLOT_HOSTS_MAX };
static const int64_t GRACE_NS = 20 * MS;
static const int64_t CALM_NS = 10000 * MS;     // between refreshes where all is well
static const int64_t PAUSE_MIN_NS = 50 * MS;   // between refreshes while things are bad: doubling
static const int64_t PAUSE_MAX_NS = 1000 * MS;
// Between refreshes, whatever the need: doubling with each that comes soon after the one before.
static const int64_t GAP_NS = 20 * MS;
static const int64_t SOON_NS = 1000 * MS;
enum { GAP_DOUBLINGS_MAX = 4 };

// ---- time

int64_t fb_route_jitter(fb_route *route, int64_t span_ns) {
    return (int64_t)((double)span_ns * (1.0 + fb_rng_unit(&route->rng)) / 2);
}

void fb_route_arm(fb_route *route, int64_t due_ns) {
    if (due_ns >= route->timer_ns || route->closing) {
        return;
    }
    int64_t wait_us = (due_ns - fb_clock_now_ns() + 999) / 1000;
    wait_us = wait_us > 0 ? wait_us : 0;
    struct timeval after = {wait_us / 1000000, wait_us % 1000000};
    route->timer_ns = event_add(route->timer, &after) == 0 ? due_ns : INT64_MAX;
}

void fb_route_refresh_in(fb_route *route, int64_t pause_ns) {
    int64_t due_ns = fb_clock_now_ns() + pause_ns;
    int64_t gap_ns = GAP_NS << route->refreshes_soon;
    if (due_ns < route->refreshed_ns + gap_ns) {
        due_ns = route->refreshed_ns + gap_ns;
    }
    if (due_ns < route->refresh_ns) {
        route->refresh_ns = due_ns;
        fb_route_arm(route, due_ns);
    }
}

// ---- servers

bool fb_route_server_ready(const fb_route_server *server) {
    return server->up && !server->unfit && server->breaker.state == FB_BREAKER_CLOSED &&
           (server->route->kind != FB_REDIS_SENTINEL || server->confirmed);
}

static bool goes_in_parts(const fb_route *route) {
    return route->options.in_parts && route->kind == FB_REDIS_CLUSTER;
}

bool fb_route_server_away(const fb_route_server *server) {
    return goes_in_parts(server->route) && !fb_route_server_ready(server) &&
           server->why[0] != '\0';
}

static fb_conn_options options_of(const fb_route *route, const fb_redis_host *place) {
    const fb_route_options *options = &route->options;
    const fb_redis_url *url = options->url;
    return (fb_conn_options){.base = options->base,
                             .dns = options->dns,
                             .host = place->host[0] != '\0' ? place->host : NULL,
                             .port = place->port,
                             .path = place->host[0] != '\0' ? NULL : url->path,
                             .user = url->user,
                             .password = url->password,
                             .db = route->kind == FB_REDIS_CLUSTER ? 0 : url->db,
                             .tls = url->tls ? options->tls : NULL,
                             .client_name = options->client_name,
                             .connect_timeout_ns = options->connect_timeout_ns,
                             .stall_ns = options->stall_ns};
}

static void be_unfit(fb_route_server *server, const char *what) {
    server->unfit = true;
    snprintf(server->why, sizeof server->why, "%.110s %.70s", server->name, what);
    fb_route_refresh_in(server->route, PAUSE_MIN_NS);
}

// A Cluster that is not known to be one.
static bool is_news_of_cluster(const fb_route_server *server) {
    return server->route->kind == FB_REDIS_ALONE &&
           server->route->options.cluster == FB_CLUSTER_AUTO &&
           strcmp(fb_conn_server_of(server->conn)->mode, "cluster") == 0;
}

// Whether it may be given commands, by what HELLO said of it and by its role as it is now.
static void judge(fb_route_server *server, const char *role) {
    fb_route *route = server->route;
    server->unfit = false;
    server->why[0] = '\0';
    if (is_news_of_cluster(server) && fb_cluster_begin(route) != FB_OK) {
        be_unfit(server, "is part of a Cluster, and there is no memory for its map");
    } else if (route->kind == FB_REDIS_CLUSTER) {
        if (route->covered < FB_SLOTS) {
            fb_cluster_ask(route);
        }
    } else if (strcmp(fb_conn_server_of(server->conn)->mode, "sentinel") == 0) {
        be_unfit(server, "is a Sentinel: it is reached by redis+sentinel://");
    } else if (FB_RULE(role) && (strcmp(role, "replica") == 0 || strcmp(role, "slave") == 0)) {
        be_unfit(server, "is a read-only replica");
    }
}

static void on_role(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                    const char *why) {
    fb_route_server *server = arg;
    server->polled = false;
    if (outcome == FB_CONN_REPLIED && !server->route->closing && server->unfit &&
        fb_role_is_master(value)) {
        // Promoted while it was connected to: what it has may be older than what its master had.
        server->route->changed = true;
        judge(server, "master");
        fb_route_settle(server->route);
    }
}

// A server that takes no writes is asked again whether it does.
static void poll_role(fb_route_server *server) {
    static const fb_str role = FB_STR_INIT("*1\r\n$4\r\nROLE\r\n");
    if (!server->up || !server->unfit || server->polled) {
        return;
    }
    if (is_news_of_cluster(server)) {
        judge(server, "");
        fb_route_settle(server->route);
        return;
    }
    int64_t deadline_ns = fb_clock_now_ns() + server->route->options.connect_timeout_ns;
    server->polled = fb_conn_send(server->conn, role, 1, deadline_ns, on_role, server) == FB_OK;
}

// ---- its breaker

static void arm_probe(fb_route_server *server) {
    int64_t due_ns = fb_breaker_due(&server->breaker);
    fb_route *route = server->route;
    route->probe_ns = due_ns < route->probe_ns ? due_ns : route->probe_ns;
    fb_route_arm(route, route->probe_ns);
}

static void note_ended(fb_route_server *server, bool answered) {
    // What is not answered in time has taken longer than the limit, and nothing else has.
    bool changed = fb_breaker_ended(&server->breaker, !answered, !answered, fb_clock_now_ns());
    if (!changed) {
        return;
    }
    bool closed = server->breaker.state == FB_BREAKER_CLOSED;
    server->why[0] = '\0';
    if (!closed) {
        snprintf(server->why, sizeof server->why, "%.110s answers too late, or not at all",
                 server->name);
        arm_probe(server);
    }
    fb_route_settle(server->route);
}

void fb_route_server_ended(fb_route_server *server, bool answered, int64_t patience_ns) {
    if (goes_in_parts(server->route) && server->up &&
        server->breaker.state == FB_BREAKER_CLOSED) {
        server->patience_ns = answered ? server->patience_ns : patience_ns;
        note_ended(server, answered);
    }
}

static void on_probed(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                      const char *why) {
    fb_route_server *server = arg;
    (void)value, (void)why;
    server->polled = false;
    if (!server->route->closing && server->breaker.state == FB_BREAKER_HALF_OPEN) {
        note_ended(server, outcome == FB_CONN_REPLIED);
    }
}

static void probe(fb_route_server *server, int64_t now_ns) {
    static const fb_str ping = FB_STR_INIT("*1\r\n$4\r\nPING\r\n");
    if (!server->up || server->polled || !fb_breaker_allows(&server->breaker, now_ns)) {
        return;
    }
    int result =
        fb_conn_send(server->conn, ping, 1, now_ns + server->patience_ns, on_probed, server);
    server->polled = result == FB_OK;
    if (result != FB_OK) {
        note_ended(server, false);
    }
}

static void probe_all(fb_route *route, int64_t now_ns) {
    route->probe_ns = INT64_MAX;
    for (size_t i = 0; i < route->master_count; i++) {
        fb_route_server *server = route->masters[i];
        if (fb_breaker_due(&server->breaker) <= now_ns) {
            probe(server, now_ns);
        }
    }
    for (size_t i = 0; i < route->master_count; i++) {
        if (route->masters[i]->up) {
            arm_probe(route->masters[i]);
        }
    }
}

// ---- its connection

static void on_up(void *arg) {
    fb_route_server *server = arg;
    fb_route *route = server->route;
    server->up = true;
    fb_breaker_init(&server->breaker, 0, fb_rng_next(&route->rng));
    server->fatal = server->confirmed = server->polled = false;
    server->up_ns = fb_clock_now_ns();
    judge(server, fb_conn_server_of(server->conn)->role);
    if (route->kind == FB_REDIS_SENTINEL) {
        fb_sentinel_ask(route);
    }
    if (FB_RULE(back_is_new) && server->is_master && server->was_up) {
        route->changed = true;
    }
    server->was_up = true;
    fb_route_settle(route);
}

static void on_down(void *arg, const char *why, bool fatal) {
    fb_route_server *server = arg;
    server->up = server->confirmed = server->polled = false;
    server->fatal = fatal;
    snprintf(server->why, sizeof server->why, "%s", why);
    fb_route_refresh_in(server->route, 0);
    fb_route_settle(server->route);
}

void fb_route_server_open(fb_route_server *server) {
    if (server->conn != NULL) {
        return;
    }
    fb_route *route = server->route;
    server->retired_ns = 0;
    fb_conn_options options = options_of(route, &server->place);
    fb_conn_events events = {.on_up = on_up, .on_down = on_down, .arg = server};
    options.seed = fb_rng_next(&route->rng);
    if (fb_conn_new(&options, &events, &server->conn) != FB_OK) {
        server->conn = NULL;
        snprintf(server->why, sizeof server->why, "%.160s: out of memory", server->name);
        fb_route_refresh_in(route, PAUSE_MAX_NS);
    }
}

static void close_server(fb_route_server *server) {
    fb_conn *conn = server->conn;
    server->conn = NULL;
    server->up = server->was_up = server->fatal = server->confirmed = server->polled = false;
    server->why[0] = '\0';
    server->breaker.state = FB_BREAKER_CLOSED;
    fb_conn_close(conn);
}

static void free_server(fb_route_server *server) {
    close_server(server);
    fb_route_forsake(server);
    FB_ASSERT(server->ops == 0);
    fb_route *route = server->route;
    if (route->asked == server) {
        route->asked = NULL;
    }
    route->server_count--;
    fb_list_remove(&server->node);
    fb_mem_free(server);
}

fb_route_server *fb_route_server_get(fb_route *route, const fb_redis_host *place) {
    FB_LIST_EACH(node, &route->servers) {
        fb_route_server *server = FB_LIST_OF(node, fb_route_server, node);
        if (fb_place_equal(&server->place, place)) {
            return server;
        }
    }
    fb_route_server *server =
        route->server_count < SERVERS_MAX ? fb_mem_zero(1, sizeof *server) : NULL;
    if (server != NULL) {
        server->route = route;
        server->place = *place;
        if (place->host[0] != '\0') {
            fb_place_show(place, server->name, sizeof server->name);
        } else {
            snprintf(server->name, sizeof server->name, "unix:%s", route->options.url->path);
        }
        fb_list_insert(&route->servers, &server->node);
        route->server_count++;
    }
    return server;
}

// With the next turn of the loop: a reply of this server may be what we are in.
static void retire(fb_route_server *server) {
    fb_route *route = server->route;
    server->retired_ns = fb_clock_now_ns();
    int64_t due_ns = server->retired_ns + (server->ops > 0 ? GRACE_NS : 0);
    route->sweep_ns = due_ns < route->sweep_ns ? due_ns : route->sweep_ns;
    fb_route_arm(route, route->sweep_ns);
}

static void sweep(fb_route *route, int64_t now_ns) {
    route->sweep_ns = INT64_MAX;
    FB_LIST_EACH_SAFE(node, after, &route->servers) {
        fb_route_server *server = FB_LIST_OF(node, fb_route_server, node);
        int64_t due_ns = server->retired_ns + (server->ops > 0 ? GRACE_NS : 0);
        if (server->retired_ns == 0) {
            continue;
        }
        if (due_ns > now_ns) {
            route->sweep_ns = due_ns < route->sweep_ns ? due_ns : route->sweep_ns;
        } else if (server->is_seed) {
            server->retired_ns = 0;
            close_server(server);
            fb_route_forsake(server);
        } else {
            free_server(server);
        }
    }
}

// ---- masters

int fb_route_master_add(fb_route *route, fb_route_server *server) {
    if (server->is_master) {
        return FB_OK;
    }
    if (route->master_count == route->master_cap) {
        size_t cap = route->master_cap == 0 ? 4 : route->master_cap * 2;
        fb_route_server **masters = fb_mem_resize(route->masters, cap * sizeof *masters);
        if (masters == NULL) {
            return FB_ENOMEM;
        }
        route->masters = masters;
        route->master_cap = cap;
    }
    route->masters[route->master_count++] = server;
    server->is_master = true;
    server->retired_ns = 0;
    return FB_OK;
}

int fb_route_masters_set(fb_route *route, fb_route_server *const *servers, size_t count) {
    if (count > route->master_cap) {
        fb_route_server **masters = fb_mem_resize(route->masters, count * sizeof *masters);
        if (masters == NULL) {
            return FB_ENOMEM;
        }
        route->masters = masters;
        route->master_cap = count;
    }
    for (size_t i = 0; i < route->master_count; i++) {
        route->masters[i]->is_master = false;
        retire(route->masters[i]);
    }
    route->master_count = 0;
    for (size_t i = 0; i < count; i++) {
        FB_IGNORE(fb_route_master_add(route, servers[i]));  // there is room
    }
    // A server that is none, but was asked (ASK), may just be getting its first slots.
    FB_LIST_EACH(node, &route->servers) {
        fb_route_server *server = FB_LIST_OF(node, fb_route_server, node);
        if (!server->is_master && server->retired_ns == 0 && server->ops == 0 &&
            (!server->is_seed || server->conn != NULL)) {
            retire(server);
        }
    }
    return FB_OK;
}

void fb_route_doubt(fb_route_server *server, bool is_replica) {
    fb_route *route = server->route;
    if (route->kind != FB_REDIS_ALONE) {
        fb_route_refresh_in(route, 0);
    }
    if (route->kind != FB_REDIS_CLUSTER && is_replica && !server->unfit) {
        be_unfit(server, "is a read-only replica");
        fb_route_settle(route);
    }
}

// ---- the link

// In parts: the vital slot's server is up, and of all others it is known whether they are; later on
// nobody waits for one that is new.
static bool is_up_in_part(const fb_route *route) {
    const fb_route_server *vital = route->slots[route->options.vital];
    bool up = vital != NULL && fb_route_server_ready(vital);
    for (size_t i = 0; up && !route->link_up && i < route->master_count; i++) {
        up = fb_route_server_ready(route->masters[i]) || fb_route_server_away(route->masters[i]);
    }
    return up;
}

static bool is_link_up(const fb_route *route) {
    if (goes_in_parts(route)) {
        return is_up_in_part(route);
    }
    bool up = route->master_count > 0 &&
              (route->kind != FB_REDIS_CLUSTER || route->covered == FB_SLOTS);
    for (size_t i = 0; up && i < route->master_count; i++) {
        up = fb_route_server_ready(route->masters[i]);
    }
    return up;
}

// Before there is a map: only when nobody that the URL names is left to try.
static void why_no_map(const fb_route *route, char *text, size_t text_size) {
    FB_LIST_EACH(node, &route->servers) {
        const fb_route_server *server = FB_LIST_OF(node, fb_route_server, node);
        if (server->up || server->why[0] == '\0') {
            text[0] = '\0';
            return;
        }
        snprintf(text, text_size, "%s", server->why);
    }
}

const char *fb_route_why(const fb_route *route, char *text, size_t text_size) {
    snprintf(text, text_size, "%s", route->why);
    if (text[0] == '\0' && route->kind == FB_REDIS_CLUSTER && route->master_count == 0) {
        why_no_map(route, text, text_size);
    }
    for (size_t i = 0; text[0] == '\0' && i < route->master_count; i++) {
        if (!fb_route_server_ready(route->masters[i])) {
            snprintf(text, text_size, "%s", route->masters[i]->why);
        }
    }
    return text;
}

bool fb_route_is_away(const fb_route *route, uint16_t slot) {
    if (!goes_in_parts(route) || !route->link_up || slot == FB_SLOT_ANY) {
        return false;
    }
    return route->slots[slot] == NULL || fb_route_server_away(route->slots[slot]);
}

bool fb_route_reaches(const fb_route *route, uint16_t slot) {
    if (route->kind == FB_REDIS_CLUSTER && slot != FB_SLOT_ANY) {
        return route->slots[slot] != NULL && fb_route_server_ready(route->slots[slot]);
    }
    for (size_t i = 0; i < route->master_count; i++) {
        if (fb_route_server_ready(route->masters[i])) {
            return true;
        }
    }
    return false;
}

bool fb_route_judges(const fb_route *route) {
    return goes_in_parts(route);
}

bool fb_route_lacks(const fb_route *route) {
    return route->link_up && route->away != 0;
}

// Which servers are away, and how many slots are nobody's, in one number; 0: all is there.
static uint64_t sum_away(const fb_route *route) {
    uint64_t sum = goes_in_parts(route) ? FB_SLOTS - route->covered : 0;
    for (size_t i = 0; i < route->master_count; i++) {
        if (fb_route_server_away(route->masters[i])) {
            sum += fb_hash64(fb_str_of(route->masters[i]->name), 1) | 1U << 20;
        }
    }
    return sum;
}

// Up in part: `why` says what is away.
static void tell_link(fb_route *route, bool up, const char *why) {
    uint64_t away = up ? sum_away(route) : 0;
    if (route->link_known && up == route->link_up && (!up || away == route->away)) {
        return;
    }
    route->link_known = true;
    route->link_up = up;
    route->away = away;
    if (up && away == 0) {
        route->refresh_tries = 0;
    }
    if (route->events.on_link != NULL) {
        route->events.on_link(route->events.arg, up, why);
    }
}

void fb_route_settle(fb_route *route) {
    char why[FB_ROUTE_WHY_MAX] = "";
    if (route->closing) {
        return;
    }
    if (route->changed) {
        route->changed = false;
        if (route->events.on_change != NULL) {
            route->events.on_change(route->events.arg);
        }
    }
    bool up = is_link_up(route);
    if (!up && fb_route_why(route, why, sizeof why)[0] == '\0' && route->link_known) {
        snprintf(why, sizeof why, "%.160s is being connected to",
                 route->master_count > 0 ? route->masters[0]->name : "another server");
    }
    if (up && goes_in_parts(route)) {
        fb_route_why(route, why, sizeof why);  // of what is away, if anything is
    }
    if (up || why[0] != '\0') {
        tell_link(route, up, why);
    }
    fb_route_wake(route);
}

// ---- the clock

static int64_t pause_of(fb_route *route) {
    if (route->link_up && route->away == 0) {
        return route->kind == FB_REDIS_ALONE ? INT64_MAX / 2 : fb_route_jitter(route, CALM_NS);
    }
    int64_t pause_ns = PAUSE_MIN_NS << (route->refresh_tries < 8 ? route->refresh_tries : 8);
    route->refresh_tries++;
    return fb_route_jitter(route, pause_ns < PAUSE_MAX_NS ? pause_ns : PAUSE_MAX_NS);
}

static void refresh(fb_route *route, int64_t now_ns) {
    if (now_ns - route->refreshed_ns > SOON_NS) {
        route->refreshes_soon = 0;
    } else if (route->refreshes_soon < GAP_DOUBLINGS_MAX) {
        route->refreshes_soon++;
    }
    route->refreshed_ns = now_ns;
    route->refresh_ns = now_ns + pause_of(route);
    for (size_t i = 0; i < route->master_count; i++) {
        fb_route_server_open(route->masters[i]);
        poll_role(route->masters[i]);
    }
    if (route->kind == FB_REDIS_SENTINEL) {
        fb_sentinel_open(route);
        fb_sentinel_ask(route);
    } else if (route->kind == FB_REDIS_CLUSTER) {
        fb_cluster_ask(route);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg) {
    fb_route *route = arg;
    int64_t now_ns = fb_clock_now_ns();
    route->timer_ns = INT64_MAX;
    int64_t due_ns = fb_route_waiting_due(route, now_ns);
    if (now_ns >= route->sweep_ns) {
        sweep(route, now_ns);
    }
    if (now_ns >= route->refresh_ns) {
        refresh(route, now_ns);
    }
    if (now_ns >= route->probe_ns) {
        probe_all(route, now_ns);
    }
    due_ns = route->probe_ns < due_ns ? route->probe_ns : due_ns;
    due_ns = route->sweep_ns < due_ns ? route->sweep_ns : due_ns;
    due_ns = route->refresh_ns < due_ns ? route->refresh_ns : due_ns;
    fb_route_arm(route, due_ns);
}

// ---- from outside

static int take_seeds(fb_route *route) {
    const fb_redis_url *url = route->options.url;
    static const fb_redis_host socket_place;
    uint32_t count = url->path[0] != '\0' ? 1 : url->host_count;
    for (uint32_t i = 0; i < count; i++) {
        fb_route_server *server =
            fb_route_server_get(route, url->path[0] != '\0' ? &socket_place : &url->hosts[i]);
        if (server == NULL) {
            return FB_ENOMEM;
        }
        server->is_seed = true;
    }
    if (route->kind == FB_REDIS_CLUSTER) {
        return fb_cluster_begin(route);
    }
    return fb_route_master_add(route, FB_LIST_OF(route->servers.next, fb_route_server, node));
}

int fb_route_new(const fb_route_options *options, const fb_route_events *events, fb_route **route) {
    fb_route *made = fb_mem_zero(1, sizeof *made);
    *route = NULL;
    if (made == NULL) {
        return FB_ENOMEM;
    }
    FB_ASSERT(options->url->host_count > 0 || options->url->path[0] != '\0');
    made->options = *options;
    made->events = *events;
    made->kind = options->url->kind;
    if (made->kind == FB_REDIS_ALONE && options->cluster == FB_CLUSTER_YES) {
        made->kind = FB_REDIS_CLUSTER;
    }
    made->timer_ns = made->refresh_ns = made->sweep_ns = made->probe_ns = INT64_MAX;
    made->refreshed_ns = INT64_MIN / 2;
    fb_list_init(&made->servers);
    fb_list_init(&made->waiting);
    fb_rng_init(&made->rng, options->seed);
    made->timer = evtimer_new(options->base, on_timer, made);
    int result = made->timer == NULL              ? FB_ENOMEM
                 : made->kind == FB_REDIS_SENTINEL ? fb_sentinel_begin(made)
                                                   : take_seeds(made);
    if (result != FB_OK) {
        fb_route_free(made);
        return result;
    }
    *route = made;
    return FB_OK;
}

void fb_route_free(fb_route *route) {
    if (route == NULL) {
        return;
    }
    FB_ASSERT(route->side_count == 0);
    route->closing = true;
    fb_sentinel_end(route);
    FB_LIST_EACH(node, &route->servers) {
        close_server(FB_LIST_OF(node, fb_route_server, node));
    }
    fb_route_waiting_end(route);
    while (!fb_list_empty(&route->servers)) {
        free_server(FB_LIST_OF(route->servers.next, fb_route_server, node));
    }
    fb_cluster_end(route);
    fb_heap_release(&route->due);
    if (route->timer != NULL) {
        event_free(route->timer);
    }
    fb_mem_free(route->masters);
    fb_mem_free(route);
}

void fb_route_open(fb_route *route) {
    if (!route->opened && !route->closing) {
        route->opened = true;
        refresh(route, fb_clock_now_ns());
        fb_route_arm(route, route->refresh_ns);
    }
}

size_t fb_route_server_count(const fb_route *route) {
    return route->master_count;
}

fb_route_server *fb_route_server_at(const fb_route *route, size_t index) {
    FB_ASSERT(index < route->master_count);
    return route->masters[index];
}

size_t fb_route_server_first(const fb_route *route) {
    for (size_t i = 0; i < route->master_count; i++) {
        if (fb_route_server_ready(route->masters[i])) {
            return i;
        }
    }
    return 0;
}

const char *fb_route_server_name(const fb_route_server *server) {
    return server->name;
}

int fb_route_side(fb_route *route, const fb_route_server *server, const fb_conn_events *events,
                  fb_conn **conn) {
    *conn = NULL;
    if (route->side_count >= route->options.side_max) {
        return FB_EOVERLOAD;
    }
    fb_conn_options options = options_of(route, &server->place);
    options.seed = fb_rng_next(&route->rng);
    int result = fb_conn_new(&options, events, conn);
    route->side_count += result == FB_OK;
    return result;
}

void fb_route_side_close(fb_route *route, fb_conn *conn) {
    if (conn != NULL) {
        FB_ASSERT(route->side_count > 0);
        route->side_count--;
        fb_conn_close(conn);
    }
}

void fb_route_status_read(const fb_route *route, fb_route_status *status) {
    *status = (fb_route_status){.up = is_link_up(route),
                                .kind = route->kind,
                                .server_count = (uint32_t)route->master_count};
    if (!status->up) {
        fb_route_why(route, status->why, sizeof status->why);
    }
    if (route->master_count > 0 && route->masters[0]->up) {
        status->server = *fb_conn_server_of(route->masters[0]->conn);
    }
}
