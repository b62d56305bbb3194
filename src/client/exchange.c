// One request is one connection for its time: taken from those that are idle, or made. A request
// that fails says that the daemon is away, and then nobody asks for `retry_ms`; then one caller
// tries, while the others go on with the private cache.
//
// Coming back. What was written privately is unknown to the daemon, and what it has under those
// keys is older. So before `away` ends, on the one connection of the one caller who tries:
//   1. Writes that went out and were never answered are waited for. Such a write lies in a socket
//      that the daemon may still read. Our end was shut for writing, so the daemon reads what is
//      there, does it, and hangs up: after its end of file nothing of it can come any more. Without
//      that an old SET could overtake the deletion of its key.
//   2. The keys owed are deleted, batch by batch; a key written again meanwhile is owed again. So
//      that many writers do not owe faster than one pays, who is about to write waits until that is
//      over, as long as for an answer.
//   3. When nothing is left, under the lock: the private cache is emptied, the region may be read.
// Whoever writes privately does so under the same lock, and if `away` has ended by then he begins
// it anew: so no private write is forgotten.
//
// Repeating. A daemon may close a connection that was idle, and be as well as ever. So where a
// connection that was used before ends without one byte of a reply, the request is sent once more
// on a fresh one; a request that must not be done twice only if it did not go out whole. Before
// such a one is sent, it is seen whether the other end has hung up already.

#include "client/exchange.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/clock.h"
#include "client/refusal.h"
#include "client/follow.h"

enum { IDLE_MAX = 64, LINGER_MAX = 256, LINGER_POLL_MS = 1000, REPLAY_KEYS = 256 };

struct fb_conn {
    fb_list list, idle;
    fb_link *link;
    bool used;  // an earlier request was answered on it
};

// ---- connections

static void lock(fb_client *client) {
    fb_forked_lock(&client->forked);
}

static void unlock(fb_client *client) {
    fb_forked_unlock(&client->forked);
}

static void free_conn(fb_conn *conn) {
    if (conn != NULL) {
        fb_link_close(conn->link);
        fb_mem_free(conn);
    }
}

// Under the lock. Out of the list first, then closed: what is in the list a child may close.
static void leave_list(fb_conn *conn) {
    fb_list_remove(&conn->list);
    fb_list_remove(&conn->idle);
}

// Under the lock: those that nobody uses, for free_conns() after it.
static void take_idle(fb_client *client, fb_list *to) {
    fb_list_init(to);
    FB_LIST_EACH_SAFE(node, after, &client->idle) {
        fb_conn *conn = FB_LIST_OF(node, fb_conn, idle);
        leave_list(conn);
        fb_list_insert(to, &conn->idle);
    }
}

static void free_conns(fb_list *from) {
    FB_LIST_EACH_SAFE(node, after, from) {
        free_conn(FB_LIST_OF(node, fb_conn, idle));
    }
}

// Under the lock: an idle one that is still ours, or NULL.
static fb_conn *pop_idle(fb_client *client) {
    while (!fb_list_empty(&client->idle)) {
        fb_conn *conn = FB_LIST_OF(client->idle.prev, fb_conn, idle);
        fb_list_remove(&conn->idle);
        if (fb_link_fd(conn->link) >= 0) {
            return conn;
        }
        leave_list(conn);
        free_conn(conn);
    }
    return NULL;
}

void fb_exchange_done(fb_client *client, fb_conn *conn) {
    fb_link_trim(conn->link);
    conn->used = true;
    lock(client);
    // Away: somebody else met with trouble that this connection may have too.
    bool keep = !client->away && fb_link_fd(conn->link) >= 0;
    size_t count = 0;
    FB_LIST_EACH(node, &client->idle) {
        count++;
    }
    keep = keep && count < IDLE_MAX;
    if (keep) {
        fb_list_insert(&client->idle, &conn->idle);
    } else {
        leave_list(conn);
    }
    unlock(client);
    if (!keep) {
        free_conn(conn);
    }
}

// Of a failed request. `lingers`: what was sent may still be done.
static void drop(fb_client *client, fb_conn *conn, bool lingers) {
    lock(client);
    leave_list(conn);
    if (lingers && client->lingering_count < LINGER_MAX) {
        int *more = fb_mem_resize(client->lingering,
                                  (client->lingering_count + 1) * sizeof *client->lingering);
        if (more != NULL) {
            client->lingering = more;
            int fd = fb_link_take_fd(conn->link);
            (void)shutdown(fd, SHUT_WR);
            client->lingering[client->lingering_count++] = fd;
        }
    }
    unlock(client);
    free_conn(conn);
}

// ---- going away and coming back

void fb_exchange_say(fb_client *client, const char *event, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (client->warn != NULL) {
        client->warn(client->warn_arg, event, text);
    } else {
        fb_log(FB_LOG_WARN, event, "text=%s",
               fb_log_quote(fb_str_of(text), FB_LOG_TEXT_MAX).text);
    }
}

// Under the lock: the next try.
static void put_off(fb_client *client) {
    client->retry_ns = fb_now_ns() + client->retry_ms * 1000000;
}

// The daemon did not answer, or cannot be reached. Returns FB_EIO.
static int go_away(fb_client *client, fb_error *error) {
    fb_list idle;
    lock(client);
    client->away = true;
    put_off(client);
    bool first = !client->warned;
    client->warned = true;
    take_idle(client, &idle);
    unlock(client);
    free_conns(&idle);
    fb_client_count(&fb_client_stripe(client)->failures);
    error->code = FB_EIO;
    if (first) {
        fb_exchange_say(client, "daemon_away",
                        "%s; until it is back this process has a cache of its own", error->text);
    }
    return FB_EIO;
}

// Whether the daemon hung up, having done what it was sent.
static bool worked_off(int fd, int64_t until_ns) {
    for (;;) {
        char bytes[4096];
        ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            return true;
        }
        if (got < 0) {
            int64_t left_ms = (until_ns - fb_now_ns()) / 1000000;
            struct pollfd one = {.fd = fd, .events = POLLIN};
            if (left_ms <= 0) {
                return false;
            }
            (void)poll(&one, 1, left_ms < LINGER_POLL_MS ? (int)left_ms : LINGER_POLL_MS);
        }
    }
}

// Waits for one write that was never answered. FB_MISS: there is none.
static int await_one(fb_client *client, int64_t until_ns, fb_error *error) {
    lock(client);
    int fd = client->lingering_count > 0 ? client->lingering[client->lingering_count - 1] : -1;
    unlock(client);
    if (fd < 0) {
        return FB_MISS;
    }
    // Only who tries takes any away, so it is still there, though perhaps not the last.
    if (!worked_off(fd, until_ns)) {
        return fb_error_set(error, FB_ETIMEDOUT, "%s has not worked off what it was sent",
                            client->address.name);
    }
    lock(client);
    for (size_t i = 0; i < client->lingering_count; i++) {
        if (client->lingering[i] == fd) {
            client->lingering[i] = client->lingering[--client->lingering_count];
            break;
        }
    }
    unlock(client);
    close(fd);
    return FB_OK;
}

// Deletes one batch of what is owed. FB_MISS: nothing is.
static int pay_some(fb_client *client, fb_conn *conn, fb_error *error) {
    fb_debt *debts[REPLAY_KEYS];
    fb_str args[REPLAY_KEYS + 1] = {FB_STR("DEL")};
    const fb_resp_value *reply;
    lock(client);
    size_t count = fb_owed_take(&client->owed, debts, REPLAY_KEYS);
    client->paying |= count > 0;
    unlock(client);
    if (count == 0) {
        return FB_MISS;
    }
    for (size_t i = 0; i < count; i++) {
        args[i + 1] = fb_str_make(debts[i]->key, debts[i]->key_len);
    }
    int result = fb_link_call(conn->link, args, count + 1, &reply, error);
    if (result == FB_OK && reply->type == FB_RESP_ERROR) {
        result = fb_error_set(error, FB_EIO, "%s refuses to delete what is owed: %.*s",
                              client->address.name, FB_STR_ARG(reply->text));
    }
    if (result == FB_OK) {
        lock(client);
        fb_owed_paid(&client->owed, debts, count);
        unlock(client);
    }
    return result;
}

// The last step: FB_OK, or FB_MISS where there is more to do.
static int end_outage(fb_client *client, bool *warned) {
    lock(client);
    bool done = client->lingering_count == 0 && fb_owed_count(&client->owed) == 0;
    if (done) {
        fb_private_clear(&client->own);
        *warned = client->warned;
        client->warned = client->away = client->trying = client->paying = false;
        atomic_store_explicit(&client->owing, false, memory_order_release);
    }
    unlock(client);
    return done ? FB_OK : FB_MISS;
}

static int come_back(fb_client *client, fb_conn *conn, fb_error *error) {
    bool warned = false;
    int64_t until_ns = fb_now_ns() + client->timeout_ms * 1000000;
    int result;
    do {
        do {
            result = await_one(client, until_ns, error);
        } while (result == FB_OK);
        while (result == FB_MISS && (result = pay_some(client, conn, error)) == FB_OK) {
            result = FB_MISS;
        }
        if (result == FB_MISS) {
            result = end_outage(client, &warned);
        }
    } while (result == FB_MISS);
    if (result == FB_OK && warned) {
        fb_exchange_say(client, "daemon_back", "%s answers again", client->address.name);
    }
    return result;
}

// ---- one request

static int make_conn(fb_client *client, fb_conn **out, fb_error *error) {
    fb_conn *conn = fb_mem_zero(1, sizeof *conn);
    if (conn == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    fb_list_init(&conn->list);
    fb_list_init(&conn->idle);
    int result = fb_link_connect(&client->address, client->timeout_ms, &conn->link, error);
    if (result < 0) {
        fb_mem_free(conn);
        return result;
    }
    lock(client);
    fb_list_insert(&client->conns, &conn->list);
    client->met = true;
    unlock(client);
    if (!client->no_region) {
        result = fb_follow_region(client, conn->link, error);
    }
    if (result < 0) {
        drop(client, conn, false);
        return result;
    }
    *out = conn;
    return FB_OK;
}

static bool is_final(int result) {
    return result == FB_OK || result == FB_ENOMEM || result == FB_EDENIED;
}

// The one caller who tries whether the daemon is back.
static int try_again(fb_client *client, fb_conn **conn, fb_error *error) {
    int result = make_conn(client, conn, error);
    if (result == FB_OK) {
        result = come_back(client, *conn, error);
        if (result < 0) {
            drop(client, *conn, false);
        }
    }
    if (result < 0) {
        lock(client);
        client->trying = client->paying = false;
        if (!is_final(result)) {
            // Together with that, or somebody else would try at once.
            put_off(client);
        }
        unlock(client);
    }
    return result;
}

// FB_OK: a connection to ask on.
static int take(fb_client *client, bool writes, fb_conn **conn, fb_error *error) {
    static const struct timespec rest = {0, 1000000};
    int64_t rests = writes ? client->timeout_ms : 0;
    for (;;) {
        lock(client);
        bool away = client->away, paying = client->paying;
        bool later = away && (client->trying || fb_now_ns() < client->retry_ns);
        client->trying |= away && !later;
        *conn = away ? NULL : pop_idle(client);
        unlock(client);
        if (*conn != NULL) {
            return FB_OK;
        }
        if (later && paying && rests-- > 0) {
            (void)nanosleep(&rest, NULL);
            continue;
        }
        if (later) {
            return fb_error_set(error, FB_EIO, "there is no daemon at %s", client->address.name);
        }
        int result =
            away ? try_again(client, conn, error) : make_conn(client, conn, error);
        if (result != FB_OK) {
            return is_final(result) ? result : go_away(client, error);
        }
        // Somebody else may have found it away since: then what is owed comes first.
        lock(client);
        bool gone = client->away;
        unlock(client);
        if (!gone) {
            return FB_OK;
        }
        drop(client, *conn, false);
    }
}

static int talk(fb_link *link, const fb_ask *ask, const fb_resp_value **reply, fb_error *error) {
    fb_link_begin(link, ask->timeout_ms);
    if ((ask->first_count > 0 && fb_link_put(link, ask->first, ask->first_count) < 0) ||
        fb_link_put(link, ask->args, ask->arg_count) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = fb_link_send(link, error);
    if (result == FB_OK && ask->first_count > 0) {
        result = fb_link_read(link, reply, error);
        if (result == FB_OK) {
            ask->hear(ask->arg, *reply);
        }
    }
    return result == FB_OK ? fb_link_read(link, reply, error) : result;
}

// Whether somebody who comes anew is answered.
static bool answers(fb_client *client) {
    fb_conn *conn = NULL;
    fb_error ignored;
    bool well = make_conn(client, &conn, &ignored) == FB_OK;
    if (well) {
        fb_exchange_done(client, conn);
    }
    return well;
}

// One attempt. FB_PENDING: nothing came of it, and it may be tried on another connection.
static int attempt(fb_client *client, const fb_ask *ask, fb_conn **conn,
                   const fb_resp_value **reply, fb_error *error) {
    int result = take(client, ask->writes, conn, error);
    if (result < 0) {
        return result;
    }
    fb_client_count(&fb_client_stripe(client)->requests);
    fb_link *link = (*conn)->link;
    bool used = (*conn)->used;
    if (used && ask->once && fb_link_stale(link)) {
        drop(client, *conn, false);
        return FB_PENDING;
    }
    result = talk(link, ask, reply, error);
    if (result == FB_OK) {
        return FB_OK;
    }
    bool again = used && result == FB_EIO && !fb_link_heard(link) &&
                 (!ask->once || !fb_link_sent(link));
    drop(client, *conn, ask->writes && result == FB_ETIMEDOUT);
    if (again) {
        return FB_PENDING;
    }
    if (result == FB_ESYNTAX) {
        (void)fb_error_set(error, FB_EIO, "what %s answers is not RESP", client->address.name);
    }
    if (result == FB_ETIMEDOUT && ask->slow && answers(client)) {
        return result;
    }
    return is_final(result) || result == FB_ETOOBIG ? result : go_away(client, error);
}

int fb_exchange(fb_client *client, const fb_ask *ask, fb_conn **conn, const fb_resp_value **reply,
                fb_error *error) {
    fb_error own = {0};
    fb_error *told = error != NULL ? error : &own;
    int result = attempt(client, ask, conn, reply, told);
    while (result == FB_PENDING) {
        // A connection that others left idle may be as dead; in the end there is a fresh one.
        result = attempt(client, ask, conn, reply, told);
    }
    if (result == FB_OK && (*reply)->type == FB_RESP_ERROR) {
        result = fb_refusal_read((*reply)->text, told);
        fb_exchange_done(client, *conn);
    }
    return result;
}

// ---- processes, and the end

// The child has connections of its own. It writes nothing on those of the parent, whose requests
// they may be in the middle of; nobody here uses them. The sockets that are waited for at the end
// of an outage may be waited for by both.
void fb_exchange_in_child(fb_forked *forked) {
    fb_client *client = FB_LIST_OF(forked, fb_client, forked);
    FB_LIST_EACH(node, &client->conns) {
        int fd = fb_link_take_fd(FB_LIST_OF(node, fb_conn, list)->link);
        if (fd >= 0) {
            close(fd);
        }
    }
    client->trying = client->paying = false;
    client->own_is_parents = true;
}

void fb_exchange_release(fb_client *client) {
    FB_LIST_EACH_SAFE(node, after, &client->conns) {
        fb_conn *conn = FB_LIST_OF(node, fb_conn, list);
        leave_list(conn);
        free_conn(conn);
    }
    for (size_t i = 0; i < client->lingering_count; i++) {
        close(client->lingering[i]);
    }
    fb_mem_free(client->lingering);
    fb_follow_release(client);
}
