// node_rig.h -- a node on a real engine, and sessions on one of its loops: for unit tests and fuzz
// targets of the node and the door.
//
// The class `item` (key "item:{id}", tag "kind:{id}") reads a table of a SQLite file made for the
// rig: ids "1" to "3" are there, every other one is known not to exist after a fetch. Its loads can
// be held: rig_hold() begins one that waits at a gate, and whoever fetches that id joins it.

#ifndef FB_TESTS_NODE_RIG_H
#define FB_TESTS_NODE_RIG_H

#include <ftw.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <forebay/forebay.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/str.h"
#include "limit_rules.h"
#include "node/node.h"
#include "node/session.h"

typedef struct rig {
    char folder[64];
    char path[96];
    fb_config *config;
    fb_engine *engine;
    fb_node node;
} rig;

static inline int64_t rig_wall_us(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline void rig_sql(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    FB_ASSERT(sqlite3_open(path, &db) == SQLITE_OK);
    FB_ASSERT(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
    FB_ASSERT(sqlite3_close(db) == SQLITE_OK);
}

static inline void rig_open(rig *one) {
    fb_error error = {0};
    char yaml[4096];
    memset(one, 0, sizeof *one);
    (void)snprintf(one->folder, sizeof one->folder, "/tmp/fb-node-XXXXXX");
    FB_ASSERT(mkdtemp(one->folder) != NULL);
    (void)snprintf(one->path, sizeof one->path, "%s/items.db", one->folder);
    rig_sql(one->path,
            "CREATE TABLE item(id TEXT PRIMARY KEY, name TEXT);"
            "INSERT INTO item VALUES('1', 'one'), ('2', 'two'), ('3', 'three');");
    (void)snprintf(yaml, sizeof yaml,
                   "memory: 8MiB\n"
                   "loops: 2\n"
                   "workers: 6\n"
                   "sources: {items: {sqlite: '%s'}}\n"
                   "classes:\n"
                   "  item:\n"
                   "    key: 'item:{id}'\n"
                   "    source: items\n"
                   "    query: 'SELECT name FROM item WHERE id = :id'\n"
                   "    one: true\n"
                   "    ttl: 1h\n"
                   "    memory_ttl: 1h\n"
                   "    negative_ttl: 1h\n"
                   "    hard_timeout: 20s\n"
                   "    tags: ['kind:{id}']\n"
                   "queue: {file: '%s/queue.db', durability: process}\n"
                   "queues: {work: {attempts: 2, retry_delay: 1h, retry_max: 1h}, small: {jobs_max: 1}}\n"
                   "mail: {maildir: '%s/mail', from: 'a@example.test'}\n"
                   "otp: {secret: 'a secret of the tests, of forty-two letters'}\n" LIMIT_RULES,
                   one->path, one->folder, one->folder);
    FB_ASSERT(fb_config_new(&one->config) == FB_OK);
    if (fb_config_read(one->config, fb_str_of(yaml), "rig.yaml", &error) < 0 ||
        fb_open(one->config, &one->engine, &error) < 0) {
        (void)fprintf(stderr, "%s:%u: %s\n", error.file, error.line, error.text);
        abort();
    }
    one->node.engine = one->engine;
    one->node.config = one->config;
    one->node.wall_us = rig_wall_us;
    one->node.resp_address = "127.0.0.1:6380";
    one->node.connections_max = 5000;
    memset(one->node.run_id, 'f', 40);
}

// For a process that has no end of its own, as under libFuzzer: `end` is called when it exits, and
// before OpenSSL's own end, as the engine's threads have something of OpenSSL until they have ended.
static inline void rig_open_until_exit(rig *one, void (*end)(void)) {
    FB_ASSERT(OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) == 1);
    rig_open(one);
    FB_ASSERT(atexit(end) == 0);
}

static inline int rig_remove_one(const char *path, const struct stat *is, int type,
                                 struct FTW *at) {
    (void)is, (void)type, (void)at;
    return remove(path);
}

static inline void rig_close(rig *one) {
    fb_close(one->engine, 10000);
    fb_config_free(one->config);
    FB_ASSERT(nftw(one->folder, rig_remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

// ---- on a loop's thread

typedef struct rig_errand {
    void (*fn)(void *arg);
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} rig_errand;

static inline void rig_run_errand(void *arg) {
    rig_errand *one = arg;
    one->fn(one->arg);
    pthread_mutex_lock(&one->lock);
    one->done = true;
    pthread_cond_signal(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

// Runs fn(arg) there and waits for it.
static inline void rig_on_loop_at(rig *one, uint32_t loop, void (*fn)(void *arg), void *arg) {
    rig_errand errand = {fn, arg, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    FB_ASSERT(fb_loop_post(one->engine, loop, rig_run_errand, &errand) == FB_OK);
    pthread_mutex_lock(&errand.lock);
    while (!errand.done) {
        pthread_cond_wait(&errand.changed, &errand.lock);
    }
    pthread_mutex_unlock(&errand.lock);
}

// The same on the first one.
static inline void rig_on_loop(rig *one, void (*fn)(void *arg), void *arg) {
    rig_on_loop_at(one, 0, fn, arg);
}

// ---- loads that wait

typedef struct rig_gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, ended;
    int at_gate;
    int result;  // of the load: FB_OK, or an error
    fb_param id;
} rig_gate;

static inline int rig_load(void *arg, const fb_load *load, fb_loaded *loaded) {
    rig_gate *gate = arg;
    (void)load;
    pthread_mutex_lock(&gate->lock);
    gate->at_gate++;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
    if (gate->result < 0) {
        fb_loaded_error(loaded, FB_STR("the well is dry"));
        return gate->result;
    }
    return fb_loaded_value(loaded, FB_STR("held"));
}

static inline void rig_load_ended(void *arg, int result, const fb_value *value,
                                  const fb_error *error) {
    rig_gate *gate = arg;
    (void)result, (void)value, (void)error;
    pthread_mutex_lock(&gate->lock);
    gate->ended = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->lock);
}

// Begins a load of item `id` that brings "held" (or `result`, if that is an error) once the gate is
// opened, and waits until it is at the gate.
static inline void rig_hold(rig *one, rig_gate *gate, const char *id, int result) {
    *gate = (rig_gate){.lock = PTHREAD_MUTEX_INITIALIZER,
                       .changed = PTHREAD_COND_INITIALIZER,
                       .result = result,
                       .id = {FB_STR("id"), fb_str_of(id)}};
    fb_request request = {.class_name = FB_STR("item"),
                          .params = &gate->id,
                          .param_count = 1,
                          .loader = rig_load,
                          .loader_arg = gate};
    FB_ASSERT(fb_fetch_start(one->engine, &request, rig_load_ended, gate) == FB_PENDING);
    pthread_mutex_lock(&gate->lock);
    while (gate->at_gate == 0) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

// Lets the load end, and waits until whoever began it has been told.
static inline void rig_release(rig_gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->ended) {
        pthread_cond_wait(&gate->changed, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

// ---- a client of a session without a socket

typedef struct rig_client {
    rig *rig;
    fb_session *session;  // NULL once it ended
    fb_buf in;            // said and not used yet
    _Atomic int result;   // of the last feed
    pthread_mutex_t lock;
    pthread_cond_t changed;
    fb_buf out;  // under the lock
    fb_str saying;
    uint32_t loop;
} rig_client;

static inline void rig_client_feed(rig_client *client) {
    size_t used = 0;
    do {
        client->result = fb_session_feed(client->session, fb_buf_str(&client->in), &used);
        fb_buf_consume(&client->in, used);
    } while (client->result == FB_REFUSED);
    fb_buf *out = fb_session_out(client->session);
    if (out->len > 0) {
        pthread_mutex_lock(&client->lock);
        FB_ASSERT(fb_buf_append(&client->out, fb_buf_str(out)) == FB_OK);
        out->len = 0;
        pthread_cond_broadcast(&client->changed);
        pthread_mutex_unlock(&client->lock);
    }
    if (client->result == FB_ECLOSED) {
        fb_session_free(client->session);
        client->session = NULL;
    }
}

static inline void rig_client_wake(void *arg) {
    rig_client_feed(arg);
}

static inline void rig_client_begin(void *arg) {
    rig_client *client = arg;
    FB_ASSERT(fb_session_new(&client->rig->node, FB_STR("127.0.0.1:5000"), rig_client_wake, client,
                             &client->session) == FB_OK);
}

static inline void rig_client_end(void *arg) {
    rig_client *client = arg;
    fb_session_free(client->session);
    client->session = NULL;
}

static inline void rig_client_take(void *arg) {
    rig_client *client = arg;
    if (client->session != NULL) {
        FB_ASSERT(fb_buf_append(&client->in, client->saying) == FB_OK);
        rig_client_feed(client);
    }
}

static inline void rig_client_open_at(rig_client *client, rig *one, uint32_t loop) {
    *client = (rig_client){.rig = one,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .changed = PTHREAD_COND_INITIALIZER,
                           .loop = loop};
    rig_on_loop_at(one, loop, rig_client_begin, client);
}

static inline void rig_client_open(rig_client *client, rig *one) {
    rig_client_open_at(client, one, 0);
}

static inline void rig_client_close(rig_client *client) {
    rig_on_loop_at(client->rig, client->loop, rig_client_end, client);
    fb_buf_release(&client->in);
    fb_buf_release(&client->out);
}

// Feeds bytes on the loop; returns when the feed is over.
static inline void rig_client_say(rig_client *client, fb_str bytes) {
    client->saying = bytes;
    rig_on_loop_at(client->rig, client->loop, rig_client_take, client);
}

// Waits until `len` bytes of replies are there.
static inline void rig_client_await(rig_client *client, size_t len) {
    pthread_mutex_lock(&client->lock);
    while (client->out.len < len) {
        pthread_cond_wait(&client->changed, &client->lock);
    }
    pthread_mutex_unlock(&client->lock);
}

#endif
