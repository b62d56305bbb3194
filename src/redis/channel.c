// A line is a side connection with what it is for. Each time one is up it says again what it wants:
// a new connection knows nothing. A line that was tracking and goes down tells that any key may
// have been written, and so does one that has begun: between the two nobody listened.
//
// The server tells of every write of a tracked key, ours too: they come from scripts, which its
// NOLOOP does not know as ours. What this node itself stored is recognised by its bytes: the key is
// read once more, and is no news if it still has them (redis/plain.h).

#include "redis/channel.h"

#include <event2/event.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "redis/plain.h"

typedef struct line {
    fb_channel *channel;
    fb_conn *conn;
    bool listens;   // to the channel
    bool tracks;    // it has begun to
} line;

struct fb_channel {
    fb_remote *remote;
    int bell;  // an eventfd: classes may change on any thread, and libevent's events know one
    struct event *woken;
    line *lines;
    size_t line_count;
    bool opened, ready;
    fb_str *prefixes;  // that are tracked: copies, none the beginning of another
    size_t prefix_count;
    uint64_t generation;  // of the classes, as prefixes has them
};

// ---- what is told

static void bypassed(const fb_remote *remote, fb_str key) {
    const fb_sync_events *events = &remote->events;
    if (events->on_bypass != NULL && !remote->closing) {
        events->on_bypass(events->arg, key);
    }
}

// 'r' LOG ':' epoch (8 bytes) SEQUENCE ':' record.
static void take_record(fb_remote *remote, fb_str message) {
    size_t colon = fb_str_find(message, ':');
    int64_t log, seq;
    fb_record record;

    if (message.len < colon + 9 || fb_str_int(fb_str_make(message.ptr, colon), &log) != FB_OK ||
        log < 0 || log > remote->redis->options.partitions) {
        return;
    }
    uint64_t epoch = fb_envelope_get64(message.ptr + colon + 1);
    fb_str rest = fb_str_make(message.ptr + colon + 9, message.len - colon - 9);
    colon = fb_str_find(rest, ':');
    if (colon == rest.len || fb_str_int(fb_str_make(rest.ptr, colon), &seq) != FB_OK) {
        return;
    }
    fb_str text = fb_str_make(rest.ptr + colon + 1, rest.len - colon - 1);
    if (fb_sync_record_read(text, (uint64_t)seq, &record) == FB_OK) {
        remote->events.on_record(remote->events.arg, (uint32_t)log, epoch, &record);
    }
}

void fb_channel_message(fb_remote *remote, fb_str message) {
    if (message.len == 0) {
        return;
    }
    fb_str rest = fb_str_make(message.ptr + 1, message.len - 1);
    if (message.ptr[0] == 'r') {
        take_record(remote, rest);
    } else if (message.ptr[0] == 'a' && rest.len == 16 && remote->events.on_ack != NULL) {
        remote->events.on_ack(remote->events.arg, fb_envelope_get64(rest.ptr),
                              fb_envelope_get64(rest.ptr + 8));
    }
}

static bool is_tracked(const fb_channel *channel, fb_str key) {
    const fb_redis *redis = channel->remote->redis;
    fb_str ours = fb_str_of(redis->options.name_space);

    // Our own keys, where a prefix is so short that it has them too.
    if (fb_str_starts(key, ours) && key.len > ours.len && key.ptr[ours.len] == ':') {
        return false;
    }
    for (size_t i = 0; i < channel->prefix_count; i++) {
        if (fb_str_starts(key, channel->prefixes[i])) {
            return true;
        }
    }
    return false;
}

// What is there of a key that this node stored itself a moment ago, and has been told of.
typedef struct echo {
    fb_remote *remote;
    uint64_t version;
    fb_str key;  // behind it
} echo;

static void on_echo(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                    const char *why) {
    echo *of = arg;
    uint64_t version;
    (void)why;

    bool ours = outcome == FB_CONN_REPLIED && value->type == FB_RESP_STRING &&
                fb_plain_version(value->text, &version) && version == of->version;
    if (!ours) {
        bypassed(of->remote, of->key);
    }
    fb_mem_free(of);
}

static bool look_again(fb_remote *remote, fb_str key, uint64_t version) {
    echo *of = fb_mem_new(sizeof *of + key.len + 1);

    if (of == NULL) {
        return false;
    }
    char *copy = (char *)(of + 1);
    memcpy(copy, key.len > 0 ? key.ptr : "", key.len);
    *of = (echo){remote, version, fb_str_make(copy, key.len)};
    fb_str args[] = {FB_STR("GET"), key};
    fb_remote_command command = {.args = args,
                                 .arg_count = 2,
                                 .slot = fb_slot_of(key),
                                 .repeatable = true,
                                 .deadline_ns = fb_clock_now_ns() +
                                                remote->redis->options.connect_timeout_ns,
                                 .fn = on_echo,
                                 .arg = of};
    if (fb_remote_send(remote, &command) < 0) {
        fb_mem_free(of);
        return false;
    }
    return true;
}

static void take_key(fb_channel *channel, fb_str key) {
    uint64_t version;

    if (!is_tracked(channel, key)) {
        return;
    }
    if (!fb_plain_stored(channel->remote->redis, key, &version) ||
        !look_again(channel->remote, key, version)) {
        bypassed(channel->remote, key);
    }
}

static void take_invalidate(fb_channel *channel, const fb_resp_value *keys) {
    if (keys->type != FB_RESP_ARRAY) {
        bypassed(channel->remote, (fb_str){0});  // everything is gone: FLUSHALL
        return;
    }
    for (size_t i = 0; i < keys->child_count; i++) {
        take_key(channel, keys->children[i].text);
    }
}

static void on_push(void *arg, const fb_resp_value *push) {
    line *from = arg;
    const fb_resp_value *kind = fb_reply_item(push, 0);

    if (fb_reply_is(kind, "message")) {
        fb_channel_message(from->channel->remote, fb_reply_item(push, 2)->text);
    } else if (fb_reply_is(kind, "invalidate")) {
        take_invalidate(from->channel, fb_reply_item(push, 1));
    }
}

// ---- lines

static void on_subscribed(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                          const char *why) {
    line *from = arg;
    fb_channel *channel = from->channel;
    (void)outcome;
    (void)value;
    (void)why;

    if (!channel->ready && channel->opened) {
        channel->ready = true;
        fb_remote_tell(channel->remote);
    }
}

static void on_tracking(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                        const char *why) {
    line *from = arg;
    (void)why;

    if (outcome == FB_CONN_REPLIED && value->type != FB_RESP_ERROR) {
        from->tracks = true;
        bypassed(from->channel->remote, (fb_str){0});
    }
}

static void subscribe(line *to) {
    fb_remote *remote = to->channel->remote;
    fb_str args[] = {FB_STR("SUBSCRIBE"), fb_str_of(remote->redis->channel)};
    fb_buf bytes = {0};
    int64_t deadline_ns = fb_clock_now_ns() + remote->redis->options.connect_timeout_ns;

    int result = fb_resp_write_command(&bytes, args, 2);
    if (result == FB_OK) {
        result = fb_conn_subscribe(to->conn, fb_buf_str(&bytes), deadline_ns, on_subscribed, to);
    }
    fb_buf_release(&bytes);
    if (result < 0) {
        on_subscribed(to, FB_CONN_NOT_SENT, NULL, "");
    }
}

static void track(line *to) {
    const fb_channel *channel = to->channel;
    fb_buf bytes = {0};
    int64_t deadline_ns =
        fb_clock_now_ns() + channel->remote->redis->options.connect_timeout_ns;

    int result = fb_buf_printf(&bytes, "*%zu\r\n", 4 + 2 * channel->prefix_count);
    static const char *const WORDS[] = {"CLIENT", "TRACKING", "ON", "BCAST"};
    for (size_t i = 0; i < 4 && result == FB_OK; i++) {
        result = fb_resp_write_bulk(&bytes, fb_str_of(WORDS[i]));
    }
    for (size_t i = 0; i < channel->prefix_count && result == FB_OK; i++) {
        result = fb_resp_write_bulk(&bytes, FB_STR("PREFIX"));
        if (result == FB_OK) {
            result = fb_resp_write_bulk(&bytes, channel->prefixes[i]);
        }
    }
    if (result == FB_OK) {
        result = fb_conn_send(to->conn, fb_buf_str(&bytes), 1, deadline_ns, on_tracking, to);
    }
    fb_buf_release(&bytes);
    FB_IGNORE(result);  // without memory it does not track; the next connection tries again
}

static void on_up(void *arg) {
    line *to = arg;

    if (to->listens) {
        subscribe(to);
    }
    if (to->channel->prefix_count > 0) {
        track(to);
    }
}

static void on_down(void *arg, const char *why, bool fatal) {
    line *from = arg;
    (void)why;
    (void)fatal;

    if (from->tracks) {
        from->tracks = false;
        bypassed(from->channel->remote, (fb_str){0});
    }
}

// The first line listens; on a server that answers, where there is one.
static bool open_line(fb_channel *channel, size_t index) {
    line *new = &channel->lines[index];
    fb_conn_events events = {on_up, on_down, on_push, new};
    fb_route *route = channel->remote->route;

    *new = (line){.channel = channel, .listens = index == 0};
    size_t place = (index + fb_route_server_first(route)) % fb_route_server_count(route);
    return fb_route_side(route, fb_route_server_at(route, place), &events, &new->conn) == FB_OK;
}

// ---- prefixes

static void forget_prefixes(fb_channel *channel) {
    for (size_t i = 0; i < channel->prefix_count; i++) {
        fb_mem_free((char *)(uintptr_t)channel->prefixes[i].ptr);
    }
    fb_mem_free(channel->prefixes);
    channel->prefixes = NULL;
    channel->prefix_count = 0;
}

// A prefix that begins with another one is in it: the server would refuse the two.
static bool is_within_another(const fb_redis *redis, size_t index) {
    fb_str prefix = redis->classes[index].prefix;
    for (size_t i = 0; i < redis->class_count; i++) {
        fb_str other = redis->classes[i].prefix;
        bool earlier = other.len < prefix.len || (other.len == prefix.len && i < index);
        if (i != index && redis->classes[i].plain && earlier && fb_str_starts(prefix, other)) {
            return true;
        }
    }
    return false;
}

static void learn_prefixes(fb_channel *channel) {
    fb_redis *redis = channel->remote->redis;

    forget_prefixes(channel);
    pthread_mutex_lock(&redis->lock);
    channel->generation = redis->class_generation;
    channel->prefixes = fb_mem_zero(redis->class_count, sizeof *channel->prefixes);
    for (size_t i = 0; i < redis->class_count && channel->prefixes != NULL; i++) {
        const fb_redis_class *class_ = &redis->classes[i];
        if (class_->plain && !is_within_another(redis, i)) {
            char *copy = fb_mem_text(class_->prefix);
            if (copy != NULL) {
                channel->prefixes[channel->prefix_count++] = fb_str_make(copy, class_->prefix.len);
            }
        }
    }
    pthread_mutex_unlock(&redis->lock);
}

// ---- the channel

bool fb_channel_is_ready(const fb_channel *channel) {
    return channel->ready;
}

void fb_channel_close(fb_channel *channel) {
    bool tracked = false;

    channel->opened = false;
    channel->ready = false;
    for (size_t i = 0; i < channel->line_count; i++) {
        tracked = tracked || channel->lines[i].tracks;
        if (channel->lines[i].conn != NULL) {
            fb_route_side_close(channel->remote->route, channel->lines[i].conn);
        }
    }
    fb_mem_free(channel->lines);
    channel->lines = NULL;
    channel->line_count = 0;
    if (tracked) {
        bypassed(channel->remote, (fb_str){0});
    }
}

void fb_channel_open(fb_channel *channel) {
    fb_route *route = channel->remote->route;
    size_t servers = fb_route_server_count(route);

    if (channel->opened || servers == 0) {
        return;
    }
    learn_prefixes(channel);
    channel->opened = true;
    size_t count = channel->prefix_count > 0 ? servers : 1;
    channel->lines = fb_mem_zero(count, sizeof *channel->lines);
    bool listens = false;
    for (size_t i = 0; channel->lines != NULL && i < count; i++) {
        channel->line_count = i + 1;
        listens = open_line(channel, i) || (i > 0 && listens);
    }
    if (!listens) {
        channel->ready = true;  // nobody to wait for
    }
}

void fb_channel_wake(fb_channel *channel) {
    // It fails only where it has been rung so often, and not heard, that it cannot count it.
    (void)eventfd_write(channel->bell, 1);
}

static void on_woken(evutil_socket_t fd, short what, void *arg) {
    fb_channel *channel = arg;
    fb_redis *redis = channel->remote->redis;
    eventfd_t rung;
    (void)what;

    (void)eventfd_read(fd, &rung);
    pthread_mutex_lock(&redis->lock);
    bool changed = channel->generation != redis->class_generation;
    pthread_mutex_unlock(&redis->lock);
    if (changed && channel->opened) {
        fb_channel_close(channel);
        fb_channel_open(channel);
    }
}

int fb_channel_new(fb_remote *remote, fb_channel **channel) {
    fb_channel *new = fb_mem_zero(1, sizeof *new);
    if (new == NULL) {
        return FB_ENOMEM;
    }
    new->remote = remote;
    new->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (new->bell < 0) {
        fb_mem_free(new);
        return FB_EIO;
    }
    new->woken = event_new(remote->base, new->bell, EV_READ | EV_PERSIST, on_woken, new);
    if (new->woken == NULL || event_add(new->woken, NULL) != 0) {
        fb_channel_free(new);
        return FB_ENOMEM;
    }
    *channel = new;
    return FB_OK;
}

void fb_channel_free(fb_channel *channel) {
    if (channel == NULL) {
        return;
    }
    fb_channel_close(channel);
    forget_prefixes(channel);
    if (channel->woken != NULL) {
        event_free(channel->woken);
    }
    (void)close(channel->bell);
    fb_mem_free(channel);
}
