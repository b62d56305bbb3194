// One question's way: send() makes an ask, requests.c encodes it, the route carries it, replies.c
// reads the answer, and on_reply hears of it. Between, an ask lies in remote->asks; it is freed
// where it is answered, in one place.
//
// Nothing is answered from within send(): what cannot even be sent (no memory, too much waiting) is
// put into `refused`, which an event of the loop empties. Where there is no memory for the ask
// itself, its id goes into a small array for the same; only when that is full, too, is the answer
// given on the spot.
//
// A server that does not know a script says NOSCRIPT, and has done nothing: the command is sent
// once more with the script's text, whatever the verb.
//
// The link is up when the route is, and, where this remote follows, the channel has been asked for:
// what is told from then on is heard. Losing the channel alone does not take the link down:
// messages only make faster what the marks tell as well.
//
// Of a Cluster, the link hangs on the server that has the wide log. What another one has, while that
// one is away, fails by itself, at once: its logs in STATE, and each question that needs it.

#include <event2/dns.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/channel.h"
#include "redis/dictionary.h"
#include "redis/plain.h"
#include "redis/remote_state.h"

enum { STALL_NS_MIN = 1000000000 };

// ---- what loops share

static void free_classes(fb_redis_class *classes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fb_mem_free((char *)(uintptr_t)classes[i].name.ptr);
        fb_mem_free((char *)(uintptr_t)classes[i].prefix.ptr);
    }
    fb_mem_free(classes);
}

void fb_redis_free(fb_redis *redis) {
    if (redis == NULL) {
        return;
    }
    FB_ASSERT(redis->opened == 0);
    fb_dictionaries_free(redis->dictionaries);
    for (uint32_t i = 0; redis->logs != NULL && i <= redis->options.partitions; i++) {
        fb_mem_free(redis->logs[i].prefix);
    }
    fb_mem_free(redis->logs);
    fb_mem_free(redis->channel);
    free_classes(redis->classes, redis->class_count);
    fb_mem_free((char *)(uintptr_t)redis->options.name_space);
    fb_redis_tls_free(redis->tls);
    pthread_mutex_destroy(&redis->lock);
    fb_mem_free(redis);
}

static char *keep_text(const char *text, int len, size_t size) {
    return len > 0 && (size_t)len < size ? fb_mem_text(fb_str_make(text, (size_t)len)) : NULL;
}

static char *name_channel(const char *name_space) {
    char out[300];
    int len = snprintf(out, sizeof out, "%s:records", name_space);
    return keep_text(out, len, sizeof out);
}

// What the keys of a log begin with; `log` is a number, or "w".
static char *name_log(const char *name_space, const char *log) {
    char out[600];
    int len = snprintf(out, sizeof out, "%s:{%s.%s}:", name_space, name_space, log);
    return keep_text(out, len, sizeof out);
}

static int name_logs(fb_redis *redis) {
    uint32_t wide = redis->options.partitions;
    const char *name = redis->options.name_space;

    redis->logs = fb_mem_zero(wide + 1U, sizeof *redis->logs);
    redis->channel = name_channel(name);
    if (redis->logs == NULL || redis->channel == NULL) {
        return FB_ENOMEM;
    }
    for (uint32_t i = 0; i <= wide; i++) {
        fb_log_name *log = &redis->logs[i];
        char number[16];
        snprintf(number, sizeof number, "%" PRIu32, i);
        log->prefix = name_log(name, i < wide ? number : "w");
        if (log->prefix == NULL) {
            return FB_ENOMEM;
        }
        log->prefix_len = strlen(log->prefix);
        log->slot = fb_slot_of(fb_str_of(log->prefix));
    }
    return FB_OK;
}

static int check_options(const fb_redis_options *options, fb_error *error) {
    if (options->partitions == 0 || options->partitions > FB_PARTITIONS_MAX) {
        return fb_error_set(error, FB_EINVAL, "partitions must be 1 to %d", FB_PARTITIONS_MAX);
    }
    size_t len = options->name_space != NULL ? strlen(options->name_space) : 0;
    if (len == 0 || len > 200 || strpbrk(options->name_space, "{}*?[]\\") != NULL) {
        return fb_error_set(error, FB_EINVAL,
                            "a namespace has 1 to 200 characters, and none of {}*?[]\\");
    }
    return FB_OK;
}

int fb_redis_new(const fb_redis_options *options, fb_redis **redis, fb_error *error) {
    int result = check_options(options, error);
    if (result < 0) {
        return result;
    }
    fb_redis *new = fb_mem_zero(1, sizeof *new);
    if (new == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    new->options = *options;
    new->options.name_space = fb_mem_text(fb_str_of(options->name_space));
    pthread_mutex_init(&new->lock, NULL);
    result = new->options.name_space == NULL ? FB_ENOMEM : name_logs(new);
    if (result == FB_OK) {
        result = fb_dictionaries_new(options->seed, &new->dictionaries);
    }
    if (result == FB_OK && options->url.tls) {
        result = fb_redis_tls_new(&options->tls, &new->tls, error);
        if (result < 0) {
            goto fail;
        }
    }
    if (result < 0) {
        fb_error_set(error, result, "out of memory");
        goto fail;
    }
    new->options.tls = (fb_redis_tls_options){0};  // its texts are the caller's
    fb_redis_url_show(&options->url, new->status.address, sizeof new->status.address);
    snprintf(new->client_name, sizeof new->client_name, "forebay-%016" PRIx64, options->node);
    *redis = new;
    return FB_OK;

fail:
    fb_redis_free(new);
    return result;
}

int fb_redis_classes(fb_redis *redis, const fb_redis_class *classes, size_t count) {
    fb_redis_class *copies = count > 0 ? fb_mem_zero(count, sizeof *copies) : NULL;
    if (count > 0 && copies == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        copies[i] = classes[i];
        copies[i].name.ptr = fb_mem_text(classes[i].name);
        copies[i].prefix.ptr = fb_mem_text(classes[i].prefix);
        if (copies[i].name.ptr == NULL || copies[i].prefix.ptr == NULL) {
            free_classes(copies, i + 1);
            return FB_ENOMEM;
        }
    }
    pthread_mutex_lock(&redis->lock);
    fb_redis_class *old = redis->classes;
    size_t old_count = redis->class_count;
    redis->classes = copies;
    redis->class_count = count;
    redis->class_generation++;
    if (redis->follower != NULL) {
        fb_channel_wake(redis->follower->channel);
    }
    pthread_mutex_unlock(&redis->lock);
    free_classes(old, old_count);
    return FB_OK;
}

void fb_redis_status_read(fb_redis *redis, fb_redis_status *status) {
    pthread_mutex_lock(&redis->lock);
    *status = redis->status;
    status->up = redis->opened > 0 && redis->up == redis->opened;
    pthread_mutex_unlock(&redis->lock);
    status->commands = redis->commands;
}

// ---- asks

static void free_ask(fb_ask *ask) {
    fb_list_remove(&ask->list);
    fb_step_release(&ask->steps[0]);
    fb_step_release(&ask->steps[1]);
    fb_buf_release(&ask->held_value);
    fb_mem_free(ask->array);
    fb_mem_free(ask->pieces);
    fb_mem_free(ask);
}

// Whether the server may have lost what is in no log. That a log has no epoch is mostly seen by the
// follower's STATE first, and mended before any other request comes to it, here or on another node.
static bool has_lost(const fb_ask *ask) {
    uint64_t epochs = 0;

    if (ask->verb != FB_SYNC_STATE || ask->reply.result != FB_SYNC_DONE) {
        return ask->reply.result == FB_SYNC_NO_EPOCH;
    }
    for (size_t i = 0; i < ask->reply.mark_count; i++) {
        epochs = epochs * 31 + ask->reply.marks[i].epoch;
    }
    return atomic_exchange(&ask->remote->redis->epochs, epochs) != epochs;
}

void fb_ask_answer(fb_ask *ask) {
    fb_remote *remote = ask->remote;

    fb_list_remove(&ask->list);
    if (ask->plain_store != 0 && ask->reply.result != FB_SYNC_DONE) {
        fb_plain_not_stored(remote->redis, ask->plain_store);
    }
    ask->reply.text = ask->text;
    if (has_lost(ask)) {
        fb_dictionaries_doubt(remote->redis->dictionaries);
    }
    remote->events.on_reply(remote->events.arg, &ask->reply);
    free_ask(ask);
}

void fb_ask_refuse(fb_ask *ask, int result) {
    if (ask->text[0] == '\0' || result != FB_EINVAL) {
        snprintf(ask->text, sizeof ask->text, "%s", fb_result_text(result));
    }
    fb_reply_fail(ask, ask->step == 0 ? FB_SYNC_FAILED : FB_SYNC_UNKNOWN, ask->text);
    fb_list_remove(&ask->list);
    fb_list_insert(&ask->remote->refused, &ask->list);
    event_active(ask->remote->late, EV_TIMEOUT, 0);
}

static void on_late(evutil_socket_t fd, short what, void *arg) {
    fb_remote *remote = arg;
    (void)fd;
    (void)what;

    while (!fb_list_empty(&remote->refused)) {
        fb_ask_answer(FB_LIST_OF(remote->refused.next, fb_ask, list));
    }
    while (remote->lost_count > 0) {
        fb_sync_reply reply = {.result = FB_SYNC_FAILED,
                               .id = remote->lost[--remote->lost_count],
                               .text = "out of memory"};
        fb_loaded_init(&reply.loaded);
        remote->events.on_reply(remote->events.arg, &reply);
    }
}

int fb_remote_send(fb_remote *remote, const fb_remote_command *command) {
    fb_buf bytes = {0};
    fb_route_command routed = {.slot = command->slot,
                               .repeatable = command->repeatable,
                               .deadline_ns = command->deadline_ns,
                               .fn = command->fn,
                               .arg = command->arg};

    int result = fb_resp_write_command(&bytes, command->args, command->arg_count);
    if (result == FB_OK) {
        remote->redis->commands++;
        routed.command = fb_buf_str(&bytes);
        result = command->server != NULL ? fb_route_send_to(remote->route, command->server, &routed)
                                         : fb_route_send(remote->route, &routed);
    }
    fb_buf_release(&bytes);
    return result;
}

// ---- the way of an answer

static bool begins(fb_str text, const char *word) {
    return fb_str_starts(text, fb_str_of(word));
}

static void on_step(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                    const char *why);

void fb_ask_send(fb_ask *ask) {
    fb_step *step = &ask->steps[ask->step];
    fb_route_command command = {.command = fb_buf_str(&step->command),
                                .slot = step->slot,
                                .repeatable = step->repeatable,
                                .deadline_ns = ask->deadline_ns,
                                .fn = on_step,
                                .arg = ask};

    ask->remote->redis->commands++;
    int result = fb_route_send(ask->remote->route, &command);
    if (result < 0) {
        fb_ask_refuse(ask, result);
    }
}

static void take_piece(fb_ask *ask) {
    if (--ask->pieces_left > 0) {
        return;
    }
    if (ask->reply.result != FB_SYNC_DONE) {
        ask->reply.marks = NULL;
        ask->reply.mark_count = 0;
    }
    fb_ask_answer(ask);
}

static void on_piece(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                     const char *why) {
    fb_piece *piece = arg;
    fb_ask *ask = piece->ask;
    fb_mark *marks = ask->array;

    if (outcome != FB_CONN_REPLIED) {
        (void)why;
        marks[piece->log] = (fb_mark){.seq = UINT64_MAX};  // fb_mark_is_unknown()
    } else if (value->type == FB_RESP_ERROR || value->type != FB_RESP_ARRAY ||
               !fb_reply_mark(fb_reply_item(value, 0), fb_reply_item(value, 1),
                              fb_reply_item(value, 2), &marks[piece->log])) {
        fb_reply_fail(ask, FB_SYNC_FAILED, "a log's mark cannot be read");
    }
    take_piece(ask);
}

// STATE in a Cluster: the marks of the partitions, each from its own slot.
static void ask_pieces(fb_ask *ask) {
    const fb_redis *redis = ask->remote->redis;
    size_t count = ask->pieces_left;

    ask->pieces = fb_mem_zero(count, sizeof *ask->pieces);
    if (ask->pieces == NULL) {
        fb_ask_refuse(ask, FB_ENOMEM);
        return;
    }
    ask->pieces_left++;  // this function's own
    for (uint32_t log = 0; log < count; log++) {
        char key[512];
        int len = snprintf(key, sizeof key, "%sc", redis->logs[log].prefix);
        fb_str args[] = {FB_STR("HMGET"), fb_str_make(key, (size_t)len), FB_STR("e"), FB_STR("s"),
                         FB_STR("n")};
        ask->pieces[log] = (fb_piece){ask, log};
        fb_remote_command command = {.args = args,
                                     .arg_count = 5,
                                     .slot = redis->logs[log].slot,
                                     .repeatable = true,
                                     .deadline_ns = ask->deadline_ns,
                                     .fn = on_piece,
                                     .arg = &ask->pieces[log]};
        int result = fb_remote_send(ask->remote, &command);
        if (result < 0) {
            fb_reply_fail(ask, FB_SYNC_FAILED, fb_result_text(result));
            ask->pieces_left--;
        }
    }
    take_piece(ask);
}

// The same question for a lease beside the value: what is there cannot be read.
static void ask_lease(fb_ask *ask) {
    fb_step *step = &ask->steps[ask->step_count - 1];
    // The last argument of both scripts: "0", or "1" for a lease beside the value.
    char *last = step->command.ptr + step->command.len - 3;

    if (*last == '1') {
        fb_reply_fail(ask, FB_SYNC_FAILED, "the value that is there cannot be read");
        fb_ask_answer(ask);
        return;
    }
    *last = '1';
    ask->reply = (fb_sync_reply){.id = ask->reply.id};
    fb_loaded_init(&ask->reply.loaded);
    fb_ask_send(ask);
}

void fb_ask_go_on(fb_ask *ask, fb_reply_next next) {
    switch (next) {
    case FB_REPLY_READY:
        if (ask->pieces_left > 0 && ask->reply.result == FB_SYNC_DONE) {
            ask_pieces(ask);
        } else {
            fb_ask_answer(ask);
        }
        return;
    case FB_REPLY_STEP:
        ask->step++;
        fb_ask_send(ask);
        return;
    case FB_REPLY_MARK: {
        ask->step++;
        int result = fb_request_mark(ask, &ask->steps[1], ask->log);
        if (result < 0) {
            fb_ask_refuse(ask, result);
        } else {
            fb_ask_send(ask);
        }
        return;
    }
    case FB_REPLY_DICTIONARY:
        fb_dictionary_fetch(ask);
        return;
    case FB_REPLY_AGAIN:
        ask_lease(ask);
    }
}

static void on_step(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                    const char *why) {
    fb_ask *ask = arg;
    fb_step *step = &ask->steps[ask->step];

    if (outcome != FB_CONN_REPLIED) {
        // A first step that is done and a second that is not leave the change half done.
        bool nothing = outcome == FB_CONN_NOT_SENT && (ask->step == 0 || ask->verb <= FB_SYNC_FILL);
        fb_reply_fail(ask, nothing ? FB_SYNC_FAILED : FB_SYNC_UNKNOWN, why);
        ask->reply.judged = fb_route_judges(ask->remote->route);
        ask->reply.away = nothing && outcome == FB_CONN_NOT_SENT &&
                          fb_route_is_away(ask->remote->route, step->slot);
        fb_ask_answer(ask);
        return;
    }
    if (value->type != FB_RESP_ERROR) {
        fb_ask_go_on(ask, fb_reply_take(ask, value));
        return;
    }
    if (begins(value->text, "NOSCRIPT") && !step->loaded) {
        int result = fb_step_with_text(step);
        if (result < 0) {
            fb_ask_refuse(ask, result);
        } else {
            fb_ask_send(ask);
        }
        return;
    }
    char text[sizeof ask->text];
    snprintf(text, sizeof text, "%.*s", (int)(value->text.len < 190 ? value->text.len : 190),
             value->text.ptr);
    fb_reply_fail(ask, ask->step == 0 || ask->verb <= FB_SYNC_FILL ? FB_SYNC_FAILED
                                                                    : FB_SYNC_UNKNOWN, text);
    fb_ask_answer(ask);
}

// ---- the port

static void on_published(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                         const char *why) {
    fb_ask *ask = arg;

    if (outcome == FB_CONN_REPLIED && value->type == FB_RESP_INTEGER) {
        ask->reply.result = FB_SYNC_DONE;
    } else if (outcome == FB_CONN_REPLIED) {
        char text[sizeof ask->text];
        snprintf(text, sizeof text, "%.*s", (int)(value->text.len < 190 ? value->text.len : 190),
                 value->text.len > 0 ? value->text.ptr : "");
        fb_reply_fail(ask, FB_SYNC_FAILED, text);
    } else {
        fb_reply_fail(ask, outcome == FB_CONN_NOT_SENT ? FB_SYNC_FAILED : FB_SYNC_UNKNOWN, why);
    }
    fb_ask_answer(ask);
}

// 'a', the record's nonce, the node: 8 bytes each.
static void publish_ack(fb_ask *ask, const fb_sync_request *request) {
    const fb_redis *redis = ask->remote->redis;
    char message[17] = {'a'};

    fb_envelope_put64(message + 1, request->token);
    fb_envelope_put64(message + 9, request->node);
    fb_str args[] = {FB_STR("PUBLISH"), fb_str_of(redis->channel),
                     fb_str_make(message, sizeof message)};
    fb_remote_command command = {.args = args,
                                 .arg_count = 3,
                                 .slot = FB_SLOT_ANY,
                                 .repeatable = true,
                                 .deadline_ns = ask->deadline_ns,
                                 .fn = on_published,
                                 .arg = ask};
    int result = fb_remote_send(ask->remote, &command);
    if (result < 0) {
        fb_ask_refuse(ask, result);
    }
}

static void lose(fb_remote *remote, uint64_t id) {
    if (remote->lost_count < FB_REMOTE_LOST_MAX) {
        remote->lost[remote->lost_count++] = id;
        event_active(remote->late, EV_TIMEOUT, 0);
        return;
    }
    fb_sync_reply reply = {.result = FB_SYNC_FAILED, .id = id, .text = "out of memory"};
    fb_loaded_init(&reply.loaded);
    remote->events.on_reply(remote->events.arg, &reply);
}

static void send_request(fb_sync_port *port, const fb_sync_request *request) {
    fb_remote *remote = (fb_remote *)(void *)port;
    fb_ask *ask = fb_mem_zero(1, sizeof *ask);

    if (ask == NULL) {
        lose(remote, request->id);
        return;
    }
    ask->remote = remote;
    ask->verb = request->verb;
    ask->reply.id = request->id;
    fb_loaded_init(&ask->reply.loaded);
    ask->deadline_ns = fb_clock_now_ns() + request->timeout_ns;
    fb_list_init(&ask->list);
    fb_list_insert(&remote->asks, &ask->list);
    if (remote->closing) {
        snprintf(ask->text, sizeof ask->text, "%s", fb_result_text(FB_ECLOSED));
        fb_ask_refuse(ask, FB_ECLOSED);
        return;
    }
    fb_remote_open(remote);
    if (request->verb == FB_SYNC_ACK) {
        publish_ack(ask, request);
        return;
    }
    if (request->verb == FB_SYNC_SWEEP) {
        fb_sweep_start(ask, request->key);
        return;
    }
    int result = fb_request_encode(ask, request);
    if (result < 0) {
        fb_ask_refuse(ask, result);
        return;
    }
    fb_ask_send(ask);
}

// ---- the link

void fb_remote_tell(fb_remote *remote) {
    bool heard = remote->channel == NULL || fb_channel_is_ready(remote->channel);
    bool up = remote->route_up && remote->joined && (remote->told_up || heard);
    fb_redis *redis = remote->redis;

    if (!remote->route_up || remote->barred || up != remote->told_up) {
        pthread_mutex_lock(&redis->lock);
        redis->up += (uint32_t)(up && !remote->told_up);
        redis->up -= (uint32_t)(!up && remote->told_up);
        snprintf(redis->status.why, sizeof redis->status.why, "%s", up ? "" : remote->why);
        pthread_mutex_unlock(&redis->lock);
    }
    if (up == remote->told_up && (up || (remote->route_up && !remote->barred))) {
        return;
    }
    remote->told_up = up;
    remote->events.on_link(remote->events.arg, up, up ? remote->part : remote->why);
}

// It stays up, and another part of it is away than before.
static void take_part(fb_remote *remote, const char *part) {
    snprintf(remote->part, sizeof remote->part, "%s", part);
    if (remote->channel != NULL) {
        fb_channel_close(remote->channel);  // it may have listened to what is away
        fb_channel_open(remote->channel);
    }
    fb_remote_queue_listen_close(remote);
    fb_remote_queue_listen_open(remote);
    if (remote->told_up) {
        remote->events.on_link(remote->events.arg, true, remote->part);
    }
}

// One remote looks at the servers for all.
static bool judges(const fb_remote *remote) {
    fb_redis *redis = remote->redis;
    pthread_mutex_lock(&redis->lock);
    bool does = redis->follower == NULL || redis->follower == remote;
    pthread_mutex_unlock(&redis->lock);
    return does;
}

static void on_route_link(void *arg, bool up, const char *why) {
    fb_remote *remote = arg;

    if (up && remote->route_up && !remote->closing) {
        take_part(remote, why);
        return;
    }
    remote->route_up = up;
    remote->joined = remote->barred = false;
    snprintf(remote->why, sizeof remote->why, "%s", why != NULL && !up ? why : "");
    snprintf(remote->part, sizeof remote->part, "%s", why != NULL && up ? why : "");
    if (remote->closing) {
        return;
    }
    if (up) {
        fb_dictionaries_doubt(remote->redis->dictionaries);
        fb_join_ask(remote);
        if (judges(remote)) {
            fb_fitness_check(remote);
        }
        if (remote->channel != NULL) {
            fb_channel_open(remote->channel);
        }
        fb_remote_queue_listen_open(remote);
    }
    fb_remote_tell(remote);
}

static void on_route_change(void *arg) {
    fb_remote *remote = arg;

    fb_remote_queue_doubt(remote);
    if (remote->closing) {
        return;
    }
    fb_remote_queue_listen_close(remote);
    if (remote->channel != NULL) {
        fb_channel_close(remote->channel);
    }
    if (remote->route_up) {
        fb_remote_queue_listen_open(remote);
        if (remote->channel != NULL) {
            fb_channel_open(remote->channel);
        }
    }
}

// ---- a remote

void fb_remote_free(fb_remote *remote) {
    if (remote == NULL) {
        return;
    }
    fb_redis *redis = remote->redis;
    remote->closing = true;
    pthread_mutex_lock(&redis->lock);
    redis->opened -= remote->opened;
    redis->up -= remote->told_up;
    if (redis->follower == remote) {
        redis->follower = NULL;
    }
    pthread_mutex_unlock(&redis->lock);
    fb_channel_free(remote->channel);
    remote->channel = NULL;
    if (remote->route != NULL) {
        fb_remote_queue_listen_close(remote);
    }
    fb_route_free(remote->route);
    if (remote->late != NULL) {
        on_late(-1, 0, remote);
        event_free(remote->late);
    }
    FB_ASSERT(fb_list_empty(&remote->asks));
    if (remote->dns != NULL) {
        evdns_base_free(remote->dns, 1);
    }
    fb_buf_release(&remote->record);
    fb_buf_release(&remote->value);
    fb_buf_release(&remote->packed);
    fb_dictionary_release(remote);
    fb_mem_free(remote);
}

static int make_route(fb_remote *remote) {
    const fb_redis_options *options = &remote->redis->options;
    fb_route_events events = {on_route_link, on_route_change, remote};

    int64_t stall_ns = 2 * options->connect_timeout_ns;
    fb_route_options route = {.base = remote->base,
                              .dns = remote->dns,
                              .url = &remote->redis->options.url,
                              .tls = remote->redis->tls,
                              .cluster = options->cluster,
                              .client_name = remote->redis->client_name,
                              .connect_timeout_ns = options->connect_timeout_ns,
                              .stall_ns = stall_ns < STALL_NS_MIN ? STALL_NS_MIN : stall_ns,
                              .side_max = options->pool,
                              .in_parts = true,
                              .vital = remote->redis->logs[options->partitions].slot,
                              .seed = options->seed ^ (uintptr_t)remote};
    return fb_route_new(&route, &events, &remote->route);
}

int fb_remote_new(fb_redis *redis, struct event_base *base, bool follows,
                  const fb_sync_events *events, fb_remote **remote) {
    fb_remote *new = fb_mem_zero(1, sizeof *new);
    int result = FB_ENOMEM;

    if (new == NULL) {
        return FB_ENOMEM;
    }
    new->port.send = send_request;
    new->limit_port.send = fb_limits_send;
    fb_remote_queue_init(new);
    new->redis = redis;
    new->events = *events;
    new->base = base;
    new->follows = follows;
    fb_list_init(&new->asks);
    fb_list_init(&new->refused);
    new->late = event_new(base, -1, EV_PERSIST, on_late, new);
    new->dns = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
                                        EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (new->late == NULL) {
        goto fail;
    }
    if (new->dns == NULL) {  // no resolv.conf: then what the hosts file knows
        new->dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    }
    if (new->dns != NULL) {
        (void)evdns_base_set_option(new->dns, "getaddrinfo-allow-skew:", "0.3");
    }
    result = make_route(new);
    if (result == FB_OK && follows) {
        result = fb_channel_new(new, &new->channel);
    }
    if (result < 0) {
        goto fail;
    }
    if (follows) {
        pthread_mutex_lock(&redis->lock);
        redis->follower = new;
        pthread_mutex_unlock(&redis->lock);
    }
    *remote = new;
    return FB_OK;

fail:
    fb_remote_free(new);
    return result;
}

fb_sync_port *fb_remote_port(fb_remote *remote) {
    return &remote->port;
}

void fb_remote_open(fb_remote *remote) {
    if (remote->opened) {
        return;
    }
    remote->opened = true;
    pthread_mutex_lock(&remote->redis->lock);
    remote->redis->opened++;
    pthread_mutex_unlock(&remote->redis->lock);
    fb_route_open(remote->route);
}
