// The shared tier on the lanes: each has a connection of its own (fb_remote) and a gate in front of
// it; lane 0 has the follower too, which shares its connection.
//
//   flights ──REMOTE_*──→ gate ──SEND──→ port ──→ Redis
//   wishes ─────want────→  │ ←──reply───  │
//                          └─SUSPECT, RENEW─→ follower (lane 0) ──SEND──→ port of lane 0
//
// Everything here runs on the lane's thread, but the last part. What crosses lanes (suspicions,
// acknowledgements of other nodes) goes as a post; one that finds no memory is dropped: a suspicion
// is found again by the follower's next look at the logs, and who waits for an acknowledgement is
// told how many there were.
//
// On lane 0 two ask by one port: the follower's requests have the highest bit of their id set.

#include "engine/engine.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cache/key_pattern.h"
#include "engine/limits.h"
#include "os/clock.h"

static const uint64_t OF_FOLLOWER = UINT64_C(1) << 63;
enum { TOLD_MAX = 8 };

struct fb_shared {
    fb_redis *redis;
    fb_sync *sync;
    fb_follower *follower;  // lane 0's
    _Atomic(uint32_t) silent;  // lanes whose connection has not said how it is
    fb_sync_state told;        // as it was when it was told last
    int64_t away_since_ns;
    int64_t behind_since_ns;   // 0: it is not
    bool told_behind;
    int64_t max_lag_ns;
    char unfit[TOLD_MAX][192];  // sentences that were told
    uint32_t unfit_count;
};

// ---- between lanes

typedef enum errand_kind { ERRAND_SUSPECT, ERRAND_ACK } errand_kind;

typedef struct errand {
    fb_post post;
    fb_lane *to;
    errand_kind kind;
    uint32_t log;
    fb_mark mark;
    uint64_t nonce, node;
} errand;

static void do_errand(const errand *one) {
    fb_lane *lane = one->to;
    int64_t now_ns = fb_clock_now_ns();
    if (lane->ended) {
        return;
    }
    switch (one->kind) {
        case ERRAND_SUSPECT:
            fb_follower_suspect(lane->engine->shared->follower, one->log, &one->mark, now_ns);
            break;
        case ERRAND_ACK:
            fb_gate_ack(lane->gate, one->nonce, one->node, now_ns);
            break;
    }
}

static void arrive(fb_post *post) {
    errand *one = FB_LIST_OF(post, errand, post);
    fb_lane *lane = one->to;
    do_errand(one);
    fb_mem_free(one);
    fb_lane_drain(lane);
}

static void send_errand(const fb_lane *from, const errand *what) {
    if (from == what->to) {
        do_errand(what);
        return;
    }
    errand *one = fb_mem_new(sizeof *one);
    if (one != NULL) {
        *one = *what;
        one->post.fn = arrive;
        fb_loop_submit(one->to->loop, &one->post);
    }
}

// ---- what the port says

static void on_reply(void *arg, fb_sync_reply *reply) {
    fb_lane *lane = arg;
    if (lane->ended) {
        fb_loaded_release(&reply->loaded);
        return;
    }
    if ((reply->id & OF_FOLLOWER) != 0) {
        reply->id &= ~OF_FOLLOWER;
        fb_follower_reply(lane->engine->shared->follower, reply, fb_clock_now_ns());
    } else {
        fb_gate_reply(lane->gate, reply, fb_clock_now_ns());
    }
    fb_lane_drain(lane);
}

static void on_link(void *arg, bool up, const char *why) {
    fb_lane *lane = arg;
    if (lane->ended) {
        return;
    }
    if (!lane->heard) {
        lane->heard = true;
        atomic_fetch_sub(&lane->engine->shared->silent, 1);
    }
    fb_gate_link(lane->gate, up, why, fb_clock_now_ns());
    fb_limits_link(lane, up);
    if (lane->index == 0) {
        fb_follower_link(lane->engine->shared->follower, up, why, fb_clock_now_ns());
    }
    fb_lane_drain(lane);
}

static void on_record(void *arg, uint32_t log, uint64_t epoch, const fb_record *record) {
    fb_lane *lane = arg;
    if (!lane->ended) {
        fb_follower_record(lane->engine->shared->follower, log, epoch, record, fb_clock_now_ns());
        fb_lane_drain(lane);
    }
}

static void on_ack(void *arg, uint64_t nonce, uint64_t node) {
    fb_lane *lane = arg;
    fb_engine *engine = lane->engine;
    for (uint32_t i = 0; i < engine->lane_count && !lane->ended; i++) {
        send_errand(lane, &(errand){.to = &engine->lanes[i],
                                    .kind = ERRAND_ACK,
                                    .nonce = nonce,
                                    .node = node});
    }
    fb_lane_drain(lane);
}

static void on_bypass(void *arg, fb_str key) {
    fb_lane *lane = arg;
    if (!lane->ended) {
        fb_follower_bypass(lane->engine->shared->follower, key, fb_clock_now_ns());
        fb_lane_drain(lane);
    }
}

// ---- what gate and follower want done

static void send(fb_lane *lane, const fb_sync_request *request) {
    fb_sync_port *port = fb_remote_port(lane->remote);
    port->send(port, request);
}

static void do_gate(fb_lane *lane, fb_gate_action *action) {
    fb_lane *first = &lane->engine->lanes[0];
    switch (action->type) {
        case FB_GATE_SEND:
            send(lane, &action->request);
            break;
        case FB_GATE_FLIGHT:
            fb_flights_remote(lane->flights, action->remote, action->reply, fb_clock_now_ns());
            break;
        case FB_GATE_ANSWER:
            fb_wish_answer(action);
            break;
        case FB_GATE_SUSPECT:
            send_errand(lane, &(errand){.to = first,
                                        .kind = ERRAND_SUSPECT,
                                        .log = action->log,
                                        .mark = action->mark});
            break;
    }
}

bool fb_shared_step(fb_lane *lane) {
    fb_gate_action action;
    fb_sync_request request;
    if (lane->gate == NULL) {
        return false;
    }
    if (fb_gate_next(lane->gate, &action)) {
        do_gate(lane, &action);
        return true;
    }
    if (lane->index == 0 && !lane->ended &&
        fb_follower_next(lane->engine->shared->follower, &request)) {
        request.id |= OF_FOLLOWER;
        send(lane, &request);
        return true;
    }
    return false;
}

void fb_shared_flight(fb_lane *lane, const fb_action *action) {
    if (!lane->ended && fb_gate_flight(lane->gate, action, fb_clock_now_ns()) == FB_OK) {
        return;
    }
    fb_remote_reply reply = {.result = FB_REMOTE_FAILED};
    fb_loaded_init(&reply.loaded);
    fb_flights_remote(lane->flights, action->remote, &reply, fb_clock_now_ns());
}

int64_t fb_shared_due(const fb_lane *lane) {
    if (lane->gate == NULL || lane->ended) {
        return INT64_MAX;
    }
    int64_t due_ns = fb_gate_due(lane->gate);
    if (lane->index == 0) {
        int64_t other_ns = fb_follower_due(lane->engine->shared->follower);
        due_ns = other_ns < due_ns ? other_ns : due_ns;
    }
    return due_ns;
}

void fb_shared_tick(fb_lane *lane, int64_t now_ns) {
    if (lane->gate == NULL || lane->ended) {
        return;
    }
    fb_gate_tick(lane->gate, now_ns);
    if (lane->index == 0) {
        fb_follower_tick(lane->engine->shared->follower, now_ns);
    }
}

// ---- classes

static void describe(const fb_class *class_, fb_redis_class *out) {
    *out = (fb_redis_class){
        .name = class_->name,
        .compress_above = class_->options.compress_above,
        .plain = class_->options.layout == FB_LAYOUT_PLAIN,
        .prefix = class_->pattern != NULL ? class_->pattern->prefix : (fb_str){NULL, 0},
    };
}

static int tell_classes(fb_engine *engine, fb_redis *redis) {
    const fb_catalog *catalog = fb_cache_catalog(engine->cache);
    size_t count = fb_catalog_count(catalog);
    fb_redis_class *classes = fb_mem_zero(count + 1, sizeof *classes);
    if (classes == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        describe(fb_catalog_at(catalog, i), &classes[i]);
    }
    int result = fb_redis_classes(redis, classes, count);
    fb_mem_free(classes);
    return result;
}

int fb_shared_reload(fb_engine *engine) {
    return engine->shared != NULL ? tell_classes(engine, engine->shared->redis) : FB_OK;
}

// ---- opening

uint32_t fb_shared_partitions(const fb_settings *settings) {
    fb_redis_url url;
    const char *option = NULL;
    return fb_settings_redis_url(&settings->redis, &url, &option, NULL) == FB_OK
               ? settings->redis.partitions
               : 0;
}

static uint64_t new_node(uint64_t seed) {
    uint64_t node = 0;
    if (getrandom(&node, sizeof node, 0) != (ssize_t)sizeof node) {
        node = seed ^ (uint64_t)fb_clock_wall_ms();
    }
    return node != 0 ? node : 1;
}

static fb_redis_tls_options tls_options(const fb_redis_settings *settings) {
    return (fb_redis_tls_options){.ca_file = settings->tls_ca,
                                  .cert_file = settings->tls_cert,
                                  .key_file = settings->tls_key,
                                  .insecure = !settings->tls_verify};
}

int fb_shared_check(const fb_settings *settings, fb_error *error) {
    fb_redis_url url;
    const char *option = NULL;
    fb_redis_tls *tls = NULL;
    if (fb_settings_redis_url(&settings->redis, &url, &option, NULL) != FB_OK || !url.tls) {
        return FB_OK;
    }
    fb_redis_tls_options options = tls_options(&settings->redis);
    int result = fb_redis_tls_new(&options, &tls, error);
    fb_redis_tls_free(tls);
    return result;
}

static int open_redis(fb_engine *engine, const fb_redis_settings *settings,
                      const fb_redis_url *url, uint64_t node, fb_error *error) {
    static const fb_cluster_choice choices[] = {FB_CLUSTER_AUTO, FB_CLUSTER_YES, FB_CLUSTER_NO};
    fb_redis_options options = {
        .url = *url,
        .tls = tls_options(settings),
        .cluster = choices[settings->cluster],
        .name_space = settings->name_space,
        .partitions = settings->partitions,
        .pool = settings->pool,
        .log_max = settings->log_max,
        .connect_timeout_ns = settings->connect_timeout_ns,
        .node = node,
        .seed = engine->seed,
    };
    return fb_redis_new(&options, &engine->shared->redis, error);
}

static int open_sync(fb_engine *engine, const fb_redis_settings *settings, uint64_t node) {
    fb_shared *shared = engine->shared;
    shared->max_lag_ns = settings->max_lag_ns;
    fb_sync_options options = {
        .cache = engine->cache,
        .partitions = settings->partitions,
        .node = node,
        .seed = engine->seed,
        .max_lag_ns = settings->max_lag_ns,
        .soft_ns = settings->soft_timeout_ns,
        .hard_ns = settings->hard_timeout_ns,
        .max_outage_ns = settings->max_outage_ns,
        .outbox_max = settings->outbox_max,
    };
    int result = fb_sync_new(&options, &shared->sync);
    if (result == FB_OK) {
        result = fb_follower_new(shared->sync, engine->seed, &shared->follower);
    }
    return result == FB_OK ? tell_classes(engine, shared->redis) : result;
}

int fb_shared_open(fb_engine *engine, const fb_settings *settings, fb_error *error) {
    fb_redis_url url;
    const char *option = NULL;
    int result = fb_settings_redis_url(&settings->redis, &url, &option, error);
    if (result != FB_OK) {
        return result == FB_MISS ? FB_OK : result;
    }
    engine->shared = fb_mem_zero(1, sizeof *engine->shared);
    if (engine->shared == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    uint64_t node = new_node(engine->seed);
    result = open_redis(engine, &settings->redis, &url, node, error);
    if (result < 0) {
        return result;
    }
    result = open_sync(engine, &settings->redis, node);
    return result < 0 ? fb_error_set(error, result, "cannot prepare the shared tier: %s",
                                     fb_result_text(result))
                      : FB_OK;
}

int fb_shared_begin(fb_lane *lane) {
    fb_shared *shared = lane->engine->shared;
    const fb_sync_events events = {.on_reply = on_reply,
                                   .on_link = on_link,
                                   .on_record = on_record,
                                   .on_ack = on_ack,
                                   .on_bypass = on_bypass,
                                   .arg = lane};
    atomic_fetch_add(&shared->silent, 1);
    int result = fb_gate_new(shared->sync, lane->index, &lane->gate);
    if (result == FB_OK) {
        result = fb_remote_new(shared->redis, fb_loop_event_base(lane->loop), lane->index == 0,
                               &events, &lane->remote);
    }
    if (result == FB_OK) {
        fb_remote_open(lane->remote);
        fb_lane_drain(lane);
    }
    return result;
}

void fb_shared_end(fb_lane *lane) {
    if (lane->gate != NULL && !lane->ended) {
        fb_gate_close(lane->gate);
        fb_lane_drain(lane);
        lane->ended = true;
    }
}

void fb_shared_release(fb_lane *lane) {
    lane->ended = true;
    fb_remote_free(lane->remote);
    lane->remote = NULL;
    fb_gate_free(lane->gate);
    lane->gate = NULL;
}

void fb_shared_free(fb_shared *shared) {
    if (shared == NULL) {
        return;
    }
    fb_follower_free(shared->follower);
    fb_sync_free(shared->sync);
    fb_redis_free(shared->redis);
    fb_mem_free(shared);
}

// ---- what people are told

static void tell_state(fb_shared *shared, const fb_sync_figures *figures, int64_t now_ns) {
    fb_redis_status status;
    bool away = figures->state == FB_SYNC_AWAY;
    if (away == (shared->told == FB_SYNC_AWAY) || figures->state == FB_SYNC_UNUSED) {
        return;
    }
    fb_redis_status_read(shared->redis, &status);
    fb_log_text address = fb_log_quote(fb_str_of(status.address), FB_LOG_KEY_MAX);
    if (away) {
        const char *why = figures->why[0] != '\0' ? figures->why : status.why;
        shared->away_since_ns = now_ns;
        // The gates say "Using in-memory fallback: …".
        fb_log(FB_LOG_WARN, "shared_tier_away", "address=%s why=%s", address.text,
               fb_log_quote(fb_str_of(why), FB_LOG_TEXT_MAX).text);
    } else if (shared->away_since_ns != 0) {
        fb_log(FB_LOG_INFO, "shared_tier_back", "address=%s server=%s away_ms=%lld owed=%llu",
               address.text, fb_log_quote(fb_str_of(status.server), FB_LOG_KEY_MAX).text,
               (long long)((now_ns - shared->away_since_ns) / 1000000),
               (unsigned long long)figures->owed_now);
    }
    shared->told = figures->state;
}

// It answers, and yet this node does not get into step: an ACL that refuses the scripts, say. That
// is no outage, and whoever reads the log alone would not hear of it.
static void tell_behind(fb_shared *shared, const fb_sync_figures *figures, int64_t now_ns) {
    if (figures->state != FB_SYNC_CATCHING_UP) {
        if (shared->told_behind && figures->state == FB_SYNC_CONNECTED) {
            fb_log(FB_LOG_INFO, "shared_tier_in_step", "behind_ms=%lld",
                   (long long)((now_ns - shared->behind_since_ns) / 1000000));
        }
        shared->told_behind = false;
        shared->behind_since_ns = 0;
    } else if (shared->behind_since_ns == 0) {
        shared->behind_since_ns = now_ns;
    } else if (!shared->told_behind && figures->degraded > 0 &&
               now_ns - shared->behind_since_ns >= 2 * shared->max_lag_ns) {
        fb_redis_status status;
        fb_redis_status_read(shared->redis, &status);
        shared->told_behind = true;
        fb_log(FB_LOG_WARN, "shared_tier_behind", "address=%s degraded=%u why=%s",
               fb_log_quote(fb_str_of(status.address), FB_LOG_KEY_MAX).text, figures->degraded,
               fb_log_quote(fb_str_of(figures->why), FB_LOG_TEXT_MAX).text);
    }
}

static bool was_told(const fb_shared *shared, const char *sentence) {
    for (uint32_t i = 0; i < shared->unfit_count; i++) {
        if (strcmp(shared->unfit[i], sentence) == 0) {
            return true;
        }
    }
    return false;
}

static void tell_unfit(fb_shared *shared) {
    fb_redis_status status;
    fb_redis_status_read(shared->redis, &status);
    for (uint32_t i = 0; i < status.unfit_count && shared->unfit_count < TOLD_MAX; i++) {
        if (!was_told(shared, status.unfit[i])) {
            memcpy(shared->unfit[shared->unfit_count++], status.unfit[i],
                   sizeof shared->unfit[0]);
            fb_log(FB_LOG_WARN, "shared_tier_unfit", "address=%s why=%s",
                   fb_log_quote(fb_str_of(status.address), FB_LOG_KEY_MAX).text,
                   fb_log_quote(fb_str_of(status.unfit[i]), FB_LOG_TEXT_MAX).text);
        }
    }
}

void fb_shared_upkeep(fb_engine *engine) {
    fb_shared *shared = engine->shared;
    fb_sync_figures figures;
    if (shared == NULL) {
        return;
    }
    int64_t now_ns = fb_clock_now_ns();
    fb_sync_figures_read(shared->sync, now_ns, &figures);
    tell_state(shared, &figures, now_ns);
    tell_behind(shared, &figures, now_ns);
    tell_unfit(shared);
    // Who keeps copies of what he read here must not trust them for longer than this node trusts its
    // own memory: he is told whenever the proof that nothing was missed has run out.
    if (now_ns >= fb_cache_coherent_until(engine->cache)) {
        fb_cache_tell_unsure(engine->cache);
    }
}

void fb_shared_last_chance(fb_engine *engine, int64_t until_ns) {
    static const struct timespec moment = {0, 2000000};
    fb_sync_figures figures;
    if (engine->shared == NULL || engine->shared->sync == NULL) {
        return;  // none, or half open
    }
    while (true) {
        int64_t now_ns = fb_clock_now_ns();
        fb_sync_figures_read(engine->shared->sync, now_ns, &figures);
        if (figures.owed_now == 0 || figures.state == FB_SYNC_AWAY || now_ns >= until_ns) {
            break;
        }
        (void)nanosleep(&moment, NULL);
    }
    if (figures.owed_now > 0) {
        fb_log(FB_LOG_WARN, "shared_tier_not_told", "changes=%llu hint=%s",
               (unsigned long long)figures.owed_now,
               fb_log_quote(FB_STR("other nodes do not hear of them: their entries live on to "
                                   "the end of their TTL"),
                            FB_LOG_TEXT_MAX)
                   .text);
    }
}

// ---- figures, on any thread

void fb_shared_info_read(fb_engine *engine, fb_shared_info *info) {
    fb_engine_ours(engine);
    static const fb_shared_state states[] = {
        [FB_SYNC_UNUSED] = FB_SHARED_UNUSED,
        [FB_SYNC_CONNECTED] = FB_SHARED_CONNECTED,
        [FB_SYNC_CATCHING_UP] = FB_SHARED_CATCHING_UP,
        [FB_SYNC_AWAY] = FB_SHARED_AWAY,
    };
    fb_sync_figures figures;
    fb_redis_status status;
    *info = (fb_shared_info){.state = FB_SHARED_NONE, .lag_ms = -1};
    if (engine->shared == NULL) {
        return;
    }
    fb_sync_figures_read(engine->shared->sync, fb_clock_now_ns(), &figures);
    fb_redis_status_read(engine->shared->redis, &status);
    info->state = states[figures.state];
    memcpy(info->address, status.address, sizeof info->address);
    memcpy(info->server, status.server, sizeof info->server);
    if (info->state != FB_SHARED_CONNECTED) {
        const char *why = figures.why[0] != '\0' ? figures.why : status.why;
        (void)snprintf(info->why, sizeof info->why, "%s", why);
    }
    if (info->state == FB_SHARED_CONNECTED && atomic_load(&engine->shared->silent) > 0) {
        info->state = FB_SHARED_CATCHING_UP;
        (void)snprintf(info->why, sizeof info->why, "not all of its connections are up yet");
    }
    memcpy(info->unfit, status.unfit, sizeof info->unfit);
    info->unfit_count = status.unfit_count;
    info->partitions = figures.partitions;
    info->degraded = figures.degraded;
    info->lag_ms = figures.lag_ns >= 0 ? figures.lag_ns / 1000000 : -1;
    info->owed = figures.owed_now;
}

void fb_shared_counters(fb_engine *engine, fb_shared_counter_fn fn, void *arg) {
    fb_engine_ours(engine);
    static const struct {
        const char *name, *help;
    } texts[] = {
#define TEXTS(name, help) {#name, help},
        FB_SYNC_COUNTERS(TEXTS)
#undef TEXTS
    };
    fb_sync_figures figures = {.state = FB_SYNC_UNUSED};
    if (engine->shared != NULL) {
        fb_sync_figures_read(engine->shared->sync, fb_clock_now_ns(), &figures);
    }
    for (size_t i = 0; i < FB_SYNC_COUNTER_COUNT; i++) {
        fn(arg, texts[i].name, texts[i].help, figures.counters[i]);
    }
}
