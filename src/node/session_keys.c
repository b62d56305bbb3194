// The keys that a session's commands read, for CLIENT TRACKING, and those that it watches.
//
// A command is registered for its keys before it runs. Where its reply may come later, the slot keeps the
// hashes of the keys, and they are settled when the reply is written: see node/tracking.c for what that
// is good for.
//
// WATCH remembers in what state a key is in memory: whether it is there, the version of what is there
// (which no other value of that key ever has), and when it goes, as EXPIRE changes no more than that.
// EXEC compares. So nobody who writes pays anything for it, whatever way a key is changed is noticed
// (also an invalidation that visits no entry, an eviction, or a class's refresh), and what has come back
// to not being there is as it was. In Redis that last one is a change; nobody can tell the difference but
// by being refused.

#include "node/session_state.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "node/optimistic.h"
#include "node/tracking.h"
#include "node/turn.h"

// ---- tracking

void fb_session_track_key(fb_session *session, fb_slot *slot, fb_str key) {
    uint64_t hash = 0;
    if (!session->tracks || (session->opt_in && !session->caching) ||
        (session->opt_out && session->caching)) {
        return;
    }
    bool later = slot != NULL && fb_buf_reserve(&slot->tracked, sizeof hash) == FB_OK;
    fb_tracking_read(session, key, later ? &hash : NULL);
    if (later) {
        memcpy(slot->tracked.ptr + slot->tracked.len, &hash, sizeof hash);
        slot->tracked.len += sizeof hash;
    }
}

void fb_session_track_nothing(fb_slot *slot) {
    static const uint64_t none = 0;
    int result = fb_buf_append(&slot->tracked, fb_str_make((const char *)&none, sizeof none));
    (void)result;  // those behind it are taken for others: too many notices, at worst
}

void fb_session_track(fb_command_call *call, fb_slot *slot) {
    const fb_command *command = call->command;
    fb_session *session = call->session;
    if (!session->tracks || (command->flags & FB_COMMAND_READONLY) == 0 ||
        command->first_key <= 0 || command->key_step <= 0) {
        return;
    }
    int last = command->last_key < 0 ? (int)call->arg_count + command->last_key : command->last_key;
    for (int i = (int)command->first_key; i <= last && i < (int)call->arg_count;
         i += command->key_step) {
        fb_session_track_key(session, slot, call->args[i]);
    }
}

static uint64_t hash_at(const fb_slot *slot, size_t index) {
    uint64_t hash;
    memcpy(&hash, slot->tracked.ptr + index * sizeof hash, sizeof hash);
    return hash;
}

void fb_session_settle_at(fb_slot *slot, size_t index, const fb_value *value) {
    if (slot->session != NULL && index < slot->tracked.len / sizeof(uint64_t)) {
        fb_tracking_settle(slot->session, hash_at(slot, index),
                           value != NULL ? value->version : 0, value != NULL && value->ttl_ms != 0);
    }
}

void fb_session_settle(fb_slot *slot) {
    for (size_t i = 0; slot->session != NULL && i < slot->tracked.len / sizeof(uint64_t); i++) {
        fb_tracking_settle(slot->session, hash_at(slot, i), 0, true);
    }
    slot->tracked.len = 0;
}

// ---- watching

typedef struct fb_watched {
    struct fb_watched *next;
    fb_key_state state;
    fb_str key;
} fb_watched;

int fb_session_watch(fb_session *session, fb_str key) {
    for (const fb_watched *one = session->watched; one != NULL; one = one->next) {
        if (one->key.len == key.len && memcmp(one->key.ptr, key.ptr, key.len) == 0) {
            return FB_OK;  // as of the first time
        }
    }
    fb_watched *made = fb_mem_new(sizeof *made + key.len + 1);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    char *bytes = (char *)(made + 1);
    memcpy(bytes, key.ptr != NULL ? key.ptr : "", key.len);
    *made = (fb_watched){.next = session->watched, .key = {bytes, key.len}};
    fb_key_state_read(session->node->engine, key, &made->state);
    session->watched = made;
    return FB_OK;
}

void fb_session_unwatch(fb_session *session) {
    fb_optimistic_forget(session);
    session->watch_failed = false;
    while (session->watched != NULL) {
        fb_watched *next = session->watched->next;
        fb_mem_free(session->watched);
        session->watched = next;
    }
}

bool fb_session_is_dirty(const fb_session *session) {
    for (const fb_watched *one = session->watched; one != NULL; one = one->next) {
        fb_key_state now;
        fb_key_state_read(session->node->engine, one->key, &now);
        if (now.found != one->state.found ||
            (now.found &&
             (now.version != one->state.version || now.until_ns != one->state.until_ns))) {
            return true;
        }
    }
    return false;
}

// ---- the turn

void fb_session_claim(fb_session *session) {
    fb_turn_claim(session->node, session->lane);
    session->claimed = true;
}

// A command that waits for the shared tier runs on a fiber, and others meanwhile: it cannot be alone.
bool fb_session_claim_for(fb_command_call *call) {
    if (call->node->waits || call->session->claimed) {
        return false;
    }
    fb_session_claim(call->session);
    return true;
}

void fb_session_release(fb_session *session) {
    if (session->claimed) {
        session->claimed = false;
        fb_turn_release(session->node, session->lane);
    }
}
