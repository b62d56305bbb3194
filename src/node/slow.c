// One ring under one lock for the process, as sessions have (node.c): slow operations are rare by their
// name, and whoever has just taken 100 ms does not notice the lock.
//
// The command's words are gone when a reply comes later, so the name and the first argument are kept in the
// slot: a copy of some dozen bytes, and only of commands that wait for something.

#include "node/slow.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/units.h"
#include "base/utf8.h"
#include "node/session_state.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    fb_slow_entry kept[FB_SLOW_KEPT];
    uint64_t next_id, first_id;  // first_id: since the last reset
    int64_t second;              // that lines are counted of
    uint32_t lines, more;
} ring;

void fb_slow_set(fb_node *node, int64_t slow_ns) {
    atomic_store_explicit(&node->slow_ns, slow_ns, memory_order_relaxed);
}

static int64_t slow_ns(const fb_node *node) {
    return node->now_ns != NULL ? atomic_load_explicit(&node->slow_ns, memory_order_relaxed) : 0;
}

// As much of it as there is room for, without half a character.
static void copy(char *to, size_t size, fb_str from) {
    size_t len = from.len < size ? from.len : fb_utf8_cut(from.ptr, size - 1);
    if (len > 0) {
        memcpy(to, from.ptr, len);
    }
    to[len] = '\0';
}

// Whether there is a line left for it.
static bool take_line(int64_t now_ns) {
    int64_t second = now_ns / FB_NS_PER_S;
    ring.lines = second == ring.second ? ring.lines : 0;
    ring.second = second;
    bool full = ring.lines >= FB_SLOW_LINES;
    ring.lines += !full;
    ring.more += full;
    return !full;
}

static void note(fb_node *node, const fb_slow_watch *watch, int64_t now_ns, const char *peer) {
    fb_slow_entry one = {.wall_s = node->wall_us() / 1000000,
                         .took_us = (now_ns - watch->begun_ns) / 1000};
    copy(one.name, sizeof one.name, fb_str_of(watch->name));
    copy(one.what, sizeof one.what, fb_str_of(watch->what));
    copy(one.waited_for, sizeof one.waited_for, fb_str_of(watch->waits_for));
    copy(one.peer, sizeof one.peer, fb_str_of(peer));
    pthread_mutex_lock(&lock);
    one.id = ring.next_id++;
    ring.kept[one.id % FB_SLOW_KEPT] = one;
    bool told = take_line(now_ns);
    pthread_mutex_unlock(&lock);
    if (told) {
        fb_log(FB_LOG_WARN, "slow_operation", "name=%s what=%s ms=%lld waited_for=%s peer=%s",
               fb_log_quote(fb_str_of(one.name), FB_LOG_KEY_MAX).text,
               fb_log_quote(fb_str_of(one.what), FB_LOG_KEY_MAX).text,
               (long long)(one.took_us / 1000), one.waited_for,
               fb_log_quote(fb_str_of(one.peer), FB_LOG_KEY_MAX).text);
    }
}

void fb_slow_end(fb_node *node, const fb_slow_watch *watch, const char *peer) {
    int64_t bound_ns = slow_ns(node);
    if (watch->begun_ns == 0 || bound_ns == 0) {
        return;
    }
    int64_t now_ns = node->now_ns();
    if (now_ns - watch->begun_ns >= bound_ns) {
        note(node, watch, now_ns, peer);
    }
}

// ---- requests

static const struct {
    const char *prefix;
    const char *waits_for;
} PATHS[] = {
    {"/v1/fetch", "source"}, {"/v1/queues", "queue"}, {"/v1/jobs", "queue"}, {"/v1/mail", "queue"},
    {"/v1/otp", "queue"},
};

// What follows is as good as a password until it is used up.
static const fb_str LINKS = FB_STR_INIT("/v1/otp/link/");

void fb_slow_request_begin(fb_node *node, fb_slow_watch *watch, fb_str method, fb_str path) {
    watch->begun_ns = 0;
    if (slow_ns(node) == 0) {
        return;
    }
    watch->begun_ns = node->now_ns();
    watch->waits_for = node->waits ? "shared" : "memory";
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) {
        if (fb_str_starts(path, fb_str_of(PATHS[i].prefix))) {
            watch->waits_for = PATHS[i].waits_for;
        }
    }
    copy(watch->name, sizeof watch->name, method);
    copy(watch->what, sizeof watch->what, fb_str_starts(path, LINKS) ? LINKS : path);
}

// ---- commands

// What a command waits for where it waits. A fetch may have found the shared tier slow as well; but what
// is loaded behind it is what usually takes long.
static const char *waits_for(const fb_command_call *call, bool pending) {
    const char *categories = call->command->categories;
    if (!pending) {
        return "memory";
    }
    if (strstr(categories, "queue") != NULL) {
        return "queue";
    }
    if ((call->command->flags & FB_COMMAND_OVERLAP) != 0) {
        return "source";
    }
    return call->node->waits ? "shared" : "queue";
}

// Passwords are nobody's to read (AUTH, ACL, CONFIG, and one-time codes and links), nor are values: of what
// only reads all words are shown, of others the first.
static size_t words_shown(const fb_command_call *call, const char *name, size_t first) {
    uint32_t flags = call->command->flags;
    if ((flags & (FB_COMMAND_NOAUTH | FB_COMMAND_ADMIN)) != 0 || first >= call->arg_count ||
        fb_str_starts(fb_str_of(name), FB_STR("fb.otp|"))) {
        return 0;
    }
    bool reads = (flags & (FB_COMMAND_READONLY | FB_COMMAND_WRITE)) == FB_COMMAND_READONLY;
    return reads ? call->arg_count - first : 1;
}

static void describe(const fb_command_call *call, bool pending, fb_slow_watch *watch) {
    (void)fb_command_full_name(call->command, watch->name);
    size_t first = strchr(watch->name, '|') != NULL ? 2 : 1;
    size_t count = words_shown(call, watch->name, first);
    size_t len = 0;
    watch->what[0] = '\0';
    for (size_t i = 0; i < count && len + 2 < sizeof watch->what; i++) {
        if (i > 0) {
            watch->what[len++] = ' ';
        }
        copy(watch->what + len, sizeof watch->what - len, call->args[first + i]);
        len += strlen(watch->what + len);
    }
    watch->waits_for = waits_for(call, pending);
}

_Static_assert((int)FB_SLOW_NAME_SIZE >= (int)FB_COMMAND_NAME_SIZE, "it has room for a name");

static bool is_watched(const fb_command_call *call) {
    return slow_ns(call->node) > 0 && (call->command->flags & FB_COMMAND_SKIP_SLOWLOG) == 0;
}

int64_t fb_slow_begin(const fb_command_call *call) {
    const fb_command *command = call->command;
    bool single = command->first_key == 1 && command->last_key == 1;
    if (single || (command->flags & FB_COMMAND_FAST) != 0 || !is_watched(call)) {
        return 0;
    }
    return call->node->now_ns();
}

void fb_slow_ran(const fb_command_call *call, int64_t begun_ns) {
    fb_slot *slot = call->session->current;
    bool pending = call->outcome == FB_PENDING && slot != NULL && !slot->done;
    if (pending && is_watched(call)) {
        slot->slow.begun_ns = begun_ns > 0 ? begun_ns : call->node->now_ns();
        describe(call, true, &slot->slow);
    } else if (begun_ns > 0) {
        int64_t now_ns = call->node->now_ns();
        if (now_ns - begun_ns >= slow_ns(call->node)) {
            fb_slow_watch watch = {.begun_ns = begun_ns};
            describe(call, false, &watch);
            note(call->node, &watch, now_ns, call->session->peer);
        }
    }
}

void fb_slow_finished(fb_slot *slot) {
    if (slot->slow.begun_ns != 0 && slot->session != NULL) {
        fb_slow_end(slot->session->node, &slot->slow, slot->session->peer);
    }
    slot->slow.begun_ns = 0;
}

// ---- the ring

size_t fb_slow_count(fb_node *node) {
    (void)node;
    pthread_mutex_lock(&lock);
    uint64_t count = ring.next_id - ring.first_id;
    pthread_mutex_unlock(&lock);
    return count < FB_SLOW_KEPT ? (size_t)count : FB_SLOW_KEPT;
}

size_t fb_slow_read(fb_node *node, fb_slow_entry *entries, size_t count) {
    (void)node;
    pthread_mutex_lock(&lock);
    uint64_t there = ring.next_id - ring.first_id;
    there = there < FB_SLOW_KEPT ? there : FB_SLOW_KEPT;
    count = count < there ? count : (size_t)there;
    for (size_t i = 0; i < count; i++) {
        entries[i] = ring.kept[(ring.next_id - 1 - i) % FB_SLOW_KEPT];
    }
    pthread_mutex_unlock(&lock);
    return count;
}

void fb_slow_reset(fb_node *node) {
    (void)node;
    pthread_mutex_lock(&lock);
    ring.first_id = ring.next_id;
    pthread_mutex_unlock(&lock);
}

void fb_slow_tell(fb_node *node) {
    int64_t now_ns = node->now_ns != NULL ? node->now_ns() : 0;
    pthread_mutex_lock(&lock);
    bool over = now_ns / FB_NS_PER_S != ring.second;
    uint32_t more = over ? ring.more : 0;
    ring.more = over ? 0 : ring.more;
    pthread_mutex_unlock(&lock);
    if (more > 0) {
        fb_log(FB_LOG_WARN, "more_slow_operations", "count=%u", more);
    }
}
