// Commands: where each goes, what its answer means, and when it is to be tried again.
//
// A command is either on a connection (which keeps its deadline and answers it once) or waiting
// here: for its server to be ready, or for a pause to be over, in any case until its deadline. Its
// bytes are kept until it is answered, with "ASKING" in front, so that any of its tries is one
// send.
//
// What may be tried again: whatever cannot have been done. That is what was not sent, and what a
// server refused before it did anything (topology.h). An answer that did not come is final, unless
// the command is repeatable; `perhaps` then remembers that an earlier try may have been done, so
// that the end of the story is UNKNOWN and not NOT_SENT.
//
// The first redirections are followed at once. From the third on there is a pause: in a Cluster
// that is being changed two servers may each take the other for the owner for a while.

#include "redis/route_state.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"
#include "os/clock.h"

#define MS INT64_C(1000000)
static const char asking[] = "*1\r\n$6\r\nASKING\r\n";

enum { ASKING_LEN = sizeof asking - 1, REDIRECTIONS_AT_ONCE = 3, PAUSE_DOUBLINGS_MAX = 7 };

typedef struct route_op {
    fb_list node;  // of route->waiting
    fb_heap_node due;
    fb_route *route;
    fb_route_server *target;  // it alone: of send_to(), or where ASK led; NULL: by its slot
    fb_route_server *on;      // whose connection has it
    fb_conn_reply_fn fn;
    void *arg;
    int64_t begun_ns, deadline_ns, not_before_ns;
    uint32_t tries;
    uint16_t slot;
    bool repeatable, fixed, asks, perhaps;
    char why[128];  // the last refusal
    size_t len;
    char bytes[];  // ASKING, then the command
} route_op;

static void leave_target(route_op *op) {
    if (op->target != NULL) {
        op->target->ops--;
        op->target = NULL;
    }
    op->asks = false;
}

static void end(route_op *op, fb_conn_outcome outcome, const fb_resp_value *value,
                const char *why) {
    FB_ASSERT(op->on == NULL && op->due.place == 0);
    leave_target(op);
    op->fn(op->arg, outcome, value, why);
    fb_mem_free(op);
}

// Without an answer.
static void give_up(route_op *op, const char *why) {
    char text[FB_ROUTE_WHY_MAX + 1] = "";
    if (why == NULL || *why == '\0') {
        why = op->why[0] != '\0' ? op->why : fb_route_why(op->route, text, sizeof text);
    }
    if (*why == '\0') {
        why = "no server that takes writes was found in time";
    }
    end(op, op->perhaps ? FB_CONN_UNKNOWN : FB_CONN_NOT_SENT, NULL, why);
}

// ---- waiting

static void stop_waiting(route_op *op) {
    op->route->waiting_count--;
    op->route->waiting_bytes -= op->len;
    fb_heap_remove(&op->route->due, &op->due);
    fb_list_remove(&op->node);
}

// FB_OK, FB_ENOMEM, FB_EOVERLOAD.
static int wait_until(route_op *op, int64_t due_ns) {
    fb_route *route = op->route;
    if (route->waiting_count >= FB_CONN_WAITING_MAX ||
        (route->waiting_count > 0 && route->waiting_bytes + op->len > FB_CONN_UNSENT_MAX)) {
        return FB_EOVERLOAD;
    }
    due_ns = due_ns < op->deadline_ns ? due_ns : op->deadline_ns;
    int result = fb_heap_put(&route->due, &op->due, due_ns);
    if (result == FB_OK) {
        route->waiting_count++;
        route->waiting_bytes += op->len;
        fb_list_insert(&route->waiting, &op->node);
        fb_route_arm(route, due_ns);
    }
    return result;
}

// ---- who is to get it

static fb_route_server *server_for(const route_op *op) {
    const fb_route *route = op->route;
    if (op->target != NULL) {
        return op->target;
    }
    if (route->kind == FB_REDIS_CLUSTER && op->slot != FB_SLOT_ANY) {
        return route->slots[op->slot];
    }
    for (size_t i = 0; i < route->master_count; i++) {
        if (fb_route_server_ready(route->masters[i])) {
            return route->masters[i];
        }
    }
    return route->master_count > 0 ? route->masters[0] : NULL;
}

// Waiting for it would be in vain: it refuses connections for good, or is alone and a replica.
static bool is_refused_by(const fb_route_server *server) {
    return (server->fatal && !server->up) ||
           (server->up && server->unfit && server->route->kind == FB_REDIS_ALONE);
}

// Why nobody waits for whoever is to get it; NULL: it may wait.
static const char *why_not(const route_op *op, const fb_route_server *server) {
    if (server == NULL) {
        bool nobody = op->target == NULL && fb_route_is_away(op->route, op->slot);
        return nobody ? op->route->why : NULL;
    }
    bool away = fb_route_server_away(server) && op->route->link_up;
    return away || (!op->fixed && is_refused_by(server)) ? server->why : NULL;
}

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why);

// FB_OK: it is on a connection. FB_PENDING: there is none for it now. Errors of fb_conn_send().
static int try_send(route_op *op) {
    fb_route_server *server = server_for(op);
    if (server == NULL) {
        return FB_PENDING;
    }
    fb_route_server_open(server);
    if (server->conn == NULL || (op->fixed ? !server->up : !fb_route_server_ready(server))) {
        return FB_PENDING;
    }
    fb_str bytes = {op->bytes, op->len};
    if (!op->asks) {
        bytes = fb_str_make(op->bytes + ASKING_LEN, op->len - ASKING_LEN);
    }
    int result =
        fb_conn_send(server->conn, bytes, op->asks ? 2 : 1, op->deadline_ns, on_reply, op);
    if (result == FB_OK) {
        op->on = server;
        server->ops++;
    }
    return result;
}

// Once it may end here and now: in a callback, never in a send.
static void go_on(route_op *op) {
    int64_t now_ns = fb_clock_now_ns();
    if (now_ns >= op->deadline_ns) {
        give_up(op, NULL);
        return;
    }
    bool pauses = op->not_before_ns > now_ns;
    if (!pauses) {
        const char *why = why_not(op, server_for(op));
        if (why != NULL) {
            give_up(op, why);
            return;
        }
    }
    int result = pauses ? FB_PENDING : try_send(op);
    if (result == FB_PENDING) {
        result = wait_until(op, pauses ? op->not_before_ns : op->deadline_ns);
    }
    if (result != FB_OK) {
        give_up(op, result == FB_EOVERLOAD ? "too much waits for the server already"
                                           : fb_result_text(result));
    }
}

static void pause_for(route_op *op) {
    uint32_t doublings = op->tries < PAUSE_DOUBLINGS_MAX ? op->tries : PAUSE_DOUBLINGS_MAX;
    op->tries++;
    op->not_before_ns = fb_clock_now_ns() + fb_route_jitter(op->route, (2 * MS) << doublings);
}

// ---- answers

static void redirected(route_op *op, fb_route_server *from, const fb_redirect *redirect) {
    fb_route *route = op->route;
    fb_route_server *server = NULL;
    if (redirect->kind == FB_REDIRECT_MOVED) {
        op->slot = redirect->slot;
        server = fb_cluster_move(from, redirect->slot, &redirect->place);
    } else {
        server = fb_cluster_server(from, &redirect->place);
        op->target = server;
        op->asks = server != NULL;
        if (server != NULL) {
            server->ops++;
        }
    }
    if (server == NULL || ++op->tries > REDIRECTIONS_AT_ONCE) {
        pause_for(op);
    }
    fb_route_settle(route);
}

// Whether the reply is one that the command does not end with.
static bool is_refused(route_op *op, fb_route_server *from, fb_str error) {
    fb_redirect redirect;
    fb_redirect_read(error, &redirect);
    if (redirect.kind == FB_REDIRECT_NONE) {
        return false;
    }
    snprintf(op->why, sizeof op->why, "%.*s", (int)(error.len < 120 ? error.len : 120), error.ptr);
    leave_target(op);
    bool redirects = redirect.kind == FB_REDIRECT_MOVED || redirect.kind == FB_REDIRECT_ASK;
    if (redirects && op->route->kind == FB_REDIS_CLUSTER) {
        redirected(op, from, &redirect);
        return true;
    }
    if (redirect.kind == FB_REDIRECT_ELSEWHERE) {
        bool is_replica = !fb_str_starts(error, FB_STR("CLUSTERDOWN"));
        fb_route_doubt(from, is_replica);
    }
    pause_for(op);
    return true;
}

static void on_reply(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why) {
    route_op *op = arg;
    fb_route_server *from = op->on;
    op->on = NULL;
    from->ops--;
    if (!op->fixed && !op->route->closing && outcome != FB_CONN_NOT_SENT) {
        fb_route_server_ended(from, outcome == FB_CONN_REPLIED, op->deadline_ns - op->begun_ns);
    }
    if (op->route->closing) {
        op->perhaps = op->perhaps || outcome == FB_CONN_UNKNOWN;
        outcome = outcome == FB_CONN_NOT_SENT && op->perhaps ? FB_CONN_UNKNOWN : outcome;
        end(op, outcome, value, why);
        return;
    }
    if (outcome == FB_CONN_REPLIED &&
        (op->fixed || value->type != FB_RESP_ERROR || !is_refused(op, from, value->text))) {
        end(op, outcome, value, why);
        return;
    }
    if (outcome == FB_CONN_UNKNOWN) {
        fb_route_doubt(from, false);
        op->perhaps = true;
        if ((FB_RULE(once) && !op->repeatable) || fb_clock_now_ns() >= op->deadline_ns) {
            end(op, outcome, NULL, why);
            return;
        }
    }
    if (outcome != FB_CONN_REPLIED) {
        snprintf(op->why, sizeof op->why, "%s", why);
        // Where ASK led nobody is: the owner will say so again, or know better.
        if (!op->fixed) {
            leave_target(op);
        }
        pause_for(op);
    }
    go_on(op);
}

// ---- what happens of itself

void fb_route_wake(fb_route *route) {
    int64_t now_ns = fb_clock_now_ns();
    FB_LIST_EACH_SAFE(node, after, &route->waiting) {
        route_op *op = FB_LIST_OF(node, route_op, node);
        const fb_route_server *server = server_for(op);
        bool goes = server != NULL && (fb_route_server_ready(server) || is_refused_by(server) ||
                                       (op->fixed && server->up));
        if (op->not_before_ns <= now_ns && (goes || why_not(op, server) != NULL)) {
            stop_waiting(op);
            go_on(op);
        }
    }
}

int64_t fb_route_waiting_due(fb_route *route, int64_t now_ns) {
    fb_heap_node *first = NULL;
    while ((first = fb_heap_first(&route->due)) != NULL && first->key <= now_ns) {
        route_op *op = FB_LIST_OF(first, route_op, due);
        stop_waiting(op);
        go_on(op);
    }
    return first != NULL ? first->key : INT64_MAX;
}

void fb_route_forsake(fb_route_server *server) {
    FB_LIST_EACH_SAFE(node, after, &server->route->waiting) {
        route_op *op = FB_LIST_OF(node, route_op, node);
        if (op->target == server) {
            stop_waiting(op);
            leave_target(op);
            if (op->fixed) {
                give_up(op, "the server is no longer one that takes writes");
            } else {
                go_on(op);
            }
        }
    }
}

void fb_route_waiting_end(fb_route *route) {
    while (!fb_list_empty(&route->waiting)) {
        route_op *op = FB_LIST_OF(route->waiting.next, route_op, node);
        stop_waiting(op);
        give_up(op, "shutting down");
    }
}

// ---- from outside

static int begin(fb_route *route, fb_route_server *target, const fb_route_command *command) {
    if (route->closing) {
        return FB_ECLOSED;
    }
    fb_route_open(route);
    route_op *op = fb_mem_new(sizeof *op + ASKING_LEN + command->command.len);
    if (op == NULL) {
        return FB_ENOMEM;
    }
    *op = (route_op){.route = route,
                     .target = target,
                     .fn = command->fn,
                     .arg = command->arg,
                     .begun_ns = fb_clock_now_ns(),
                     .deadline_ns = command->deadline_ns,
                     .slot = command->slot,
                     .repeatable = command->repeatable,
                     .fixed = target != NULL,
                     .len = ASKING_LEN + command->command.len};
    memcpy(op->bytes, asking, ASKING_LEN);
    memcpy(op->bytes + ASKING_LEN, command->command.ptr, command->command.len);
    if (target != NULL) {
        target->ops++;
    }
    int result = try_send(op);
    if (result == FB_PENDING) {
        const fb_route_server *server = server_for(op);
        bool refused = server != NULL && is_refused_by(server);
        refused = refused || why_not(op, server) != NULL;
        result = wait_until(op, refused ? fb_clock_now_ns() : op->deadline_ns);
    }
    if (result != FB_OK) {
        leave_target(op);
        fb_mem_free(op);
    }
    return result;
}

int fb_route_send(fb_route *route, const fb_route_command *command) {
    FB_ASSERT(command->slot < FB_SLOTS || command->slot == FB_SLOT_ANY);
    return begin(route, NULL, command);
}

int fb_route_send_to(fb_route *route, fb_route_server *server, const fb_route_command *command) {
    return begin(route, server, command);
}
