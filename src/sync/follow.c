// One track for each log (sync/track.h), and at most one request under way for each.
//
//     what is wanted of a log     is asked with      and ends with
//     open (a new epoch)          EPOCH              the epoch that we, or somebody first, opened
//     look (is it as we know it?) LOG from our place its records, or a flush
//     stamps (the wide one)       STAMPS             the wide stamps known
//
// Whatever is odd about a log leads to a look: LOG's answer says in one step what the epoch is,
// whether our own last record stands where we know it, and what comes behind it. So messages may be
// lost, doubled, late or of another time: they only ever apply the very next record, or cause a
// look.
//
// What answers mean is in answers.c. What is wanted is asked one after the other, a bounded number
// at a time, and again with growing pauses while it fails.

#include "sync/follow.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/units.h"
#include "sync/apply.h"
#include "sync/follow_state.h"

enum {
    UNDER_WAY_MAX = 32,  // requests of logs at a time
    ACK_TRIES = 3,
    // What a request's id says of whom it is for, beside logs.
    SLOT_STATE = FB_LOGS_MAX,
    SLOT_ACK,
    SLOT_BITS = 10
};

_Static_assert(SLOT_ACK < 1 << SLOT_BITS, "a slot fits an id");

static int64_t request_ns(const fb_follower *follower) {
    return follower->options->max_lag_ns / 4;
}

// Shortened by up to a fifth, so that nodes do not ask in step.
static int64_t jittered(fb_follower *follower, int64_t ns) {
    uint64_t part = (uint64_t)ns / 5;
    return ns - (int64_t)fb_rng_below(&follower->rng, part + 1);
}

static uint64_t next_id(fb_follower *follower, uint32_t slot) {
    return ++follower->last_id << SLOT_BITS | slot;
}

// When to try again what failed: 1/32 of max_lag from now, then twice as long each time, up to
// half.
int64_t fb_follow_back_off(fb_follower *follower, int64_t *delay_ns) {
    int64_t least_ns = follower->options->max_lag_ns / 32;
    int64_t most_ns = follower->options->max_lag_ns / 2;
    int64_t twice_ns = *delay_ns * 2 < most_ns ? *delay_ns * 2 : most_ns;
    *delay_ns = *delay_ns == 0 ? least_ns : twice_ns;
    return follower->now_ns + jittered(follower, *delay_ns);
}

// ---- saying how it stands

void fb_follow_say(fb_follower *follower) {
    fb_sync_state state = FB_SYNC_CONNECTED;
    const char *why = "";
    if (!follower->up) {
        state = FB_SYNC_AWAY;
        why = follower->why;
    } else if (follower->why[0] != '\0' || !fb_follower_is_settled(follower)) {
        state = FB_SYNC_CATCHING_UP;
        why = follower->why[0] != '\0' ? follower->why : "the logs are being read";
    }
    fb_sync_say(follower->sync, UINT32_MAX, state, why);
}

static void set_why(fb_follower *follower, const char *why) {
    if (strncmp(follower->why, why, sizeof follower->why - 1) != 0) {
        (void)snprintf(follower->why, sizeof follower->why, "%s", why);
        fb_follow_say(follower);
    }
}

// ---- answers

static bool is_answer(const fb_sync_reply *reply) {
    return reply->result == FB_SYNC_DONE || reply->result == FB_SYNC_GONE ||
           reply->result == FB_SYNC_NO_EPOCH;
}

static void end_log(fb_follower *follower, uint32_t log, fb_sync_reply *reply) {
    fb_follow_log *at = &follower->logs[log];
    at->under_way = false;
    follower->under_way--;
    if (!is_answer(reply)) {
        at->look = at->look || at->verb == FB_SYNC_LOG;
        at->retry_ns = fb_follow_back_off(follower, &at->back_off_ns);
        return;
    }
    if (reply->result == FB_SYNC_NO_EPOCH) {
        reply->mark = (fb_mark){0};
    }
    at->back_off_ns = reply->mark.epoch != 0 ? 0 : at->back_off_ns;
    switch (at->verb) {
        case FB_SYNC_LOG:
            fb_follow_read_log(follower, log, reply);
            break;
        case FB_SYNC_EPOCH:
            fb_follow_take_epoch(follower, log, &reply->mark);
            break;
        default:
            fb_follow_take_stamps(follower, reply);
            break;
    }
}

static void end_state(fb_follower *follower, const fb_sync_reply *reply) {
    follower->state_under_way = false;
    if (reply->result == FB_SYNC_DONE && reply->mark_count > fb_follow_wide(follower)) {
        follower->state_back_off_ns = 0;
        set_why(follower, "");
        fb_follow_take_state(follower, reply);
        return;
    }
    set_why(follower, reply->text != NULL && reply->text[0] != '\0' ? reply->text
                                                                    : "it does not answer in time");
    int64_t retry_ns = fb_follow_back_off(follower, &follower->state_back_off_ns);
    if (retry_ns < follower->state_next_ns) {
        follower->state_next_ns = retry_ns;
    }
}

static void end_ack(fb_follower *follower, const fb_sync_reply *reply) {
    for (size_t i = 0; i < follower->ack_count; i++) {
        fb_follow_ack *at = &follower->acks[i];
        if (at->id == reply->id) {
            at->id = 0;
            if (is_answer(reply) || at->tries == ACK_TRIES) {
                follower->ack_count--;
                memmove(at, at + 1, (follower->ack_count - i) * sizeof(fb_follow_ack));
            }
            return;
        }
    }
}

void fb_follower_reply(fb_follower *follower, fb_sync_reply *reply, int64_t now_ns) {
    uint32_t slot = (uint32_t)(reply->id & ((1 << SLOT_BITS) - 1));
    follower->now_ns = now_ns;
    if (slot == SLOT_ACK) {
        end_ack(follower, reply);
    } else if (slot == SLOT_STATE && follower->state_under_way && follower->state_id == reply->id) {
        end_state(follower, reply);
    } else if (slot <= fb_follow_wide(follower) && follower->logs[slot].under_way &&
               follower->logs[slot].id == reply->id) {
        end_log(follower, slot, reply);
    }  // else it was given up
    if (!is_answer(reply)) {
        fb_sync_count(follower->sync, FB_SYNC_COUNT_failures, 1);
    }
}

// ---- what is to be sent

// What is wanted of a log, and from when on; INT64_MAX: nothing.
static int64_t wish_of(const fb_follower *follower, const fb_follow_log *at, fb_sync_verb *verb) {
    bool wide = at == &follower->logs[fb_follow_wide(follower)];
    if (at->open) {
        *verb = FB_SYNC_EPOCH;
        return at->retry_ns;
    }
    if (fb_follow_is_behind(at)) {
        *verb = FB_SYNC_LOG;
        return at->retry_ns > at->look_ns ? at->retry_ns : at->look_ns;
    }
    *verb = FB_SYNC_STAMPS;
    bool wanted = wide && !follower->stamps_known && at->track.mark.epoch != 0;
    return wanted ? at->retry_ns : INT64_MAX;
}

// Whether something is wanted of a log now.
static bool wants(const fb_follower *follower, uint32_t log, fb_sync_verb *verb) {
    const fb_follow_log *at = &follower->logs[log];
    return !at->under_way && wish_of(follower, at, verb) <= follower->now_ns;
}

static void send_log(fb_follower *follower, uint32_t log, fb_sync_verb verb,
                     fb_sync_request *request) {
    fb_follow_log *at = &follower->logs[log];
    at->under_way = true;
    at->verb = verb;
    at->id = next_id(follower, log);
    at->sent_ns = follower->now_ns;
    fb_follow_remember(follower, log, &at->sent);
    follower->under_way++;
    request->log = log;
    request->mark = at->track.mark;
    if (verb == FB_SYNC_LOG) {
        at->look = false;
        at->heard = at->track.mark.seq;  // what is heard of meanwhile may come after the answer
        // Not in a row: whoever causes looks is not to cause nothing else.
        at->look_ns = follower->now_ns + follower->options->max_lag_ns / 256;
    } else if (verb == FB_SYNC_EPOCH) {
        at->token = at->token != 0 ? at->token : fb_follow_next_epoch(follower, at);
        request->mark = (fb_mark){.epoch = at->expected};
        request->token = at->token;
    }
    request->id = at->id;
}

static bool send_state(fb_follower *follower, fb_sync_request *request) {
    if (follower->state_under_way || follower->state_next_ns > follower->now_ns) {
        return false;
    }
    follower->state_under_way = true;
    follower->state_sent_ns = follower->now_ns;
    follower->state_next_ns = follower->now_ns + jittered(follower, request_ns(follower));
    follower->state_id = next_id(follower, SLOT_STATE);
    for (uint32_t i = 0; i <= fb_follow_wide(follower); i++) {
        fb_follow_remember(follower, i, &follower->logs[i].state);
    }
    request->verb = FB_SYNC_STATE;
    request->id = follower->state_id;
    request->alive_ms = 2 * follower->options->max_lag_ns / FB_NS_PER_MS;
    return true;
}

static bool send_ack(fb_follower *follower, fb_sync_request *request) {
    for (size_t i = 0; i < follower->ack_count; i++) {
        fb_follow_ack *at = &follower->acks[i];
        if (at->id == 0) {
            at->id = next_id(follower, SLOT_ACK);
            at->tries++;
            request->verb = FB_SYNC_ACK;
            request->id = at->id;
            request->token = at->nonce;
            return true;
        }
    }
    return false;
}

static bool send_any_log(fb_follower *follower, fb_sync_request *request) {
    uint32_t count = fb_follow_wide(follower) + 1;
    for (uint32_t i = 0; i < count && follower->under_way < UNDER_WAY_MAX; i++) {
        uint32_t log = (follower->cursor + i) % count;
        if (wants(follower, log, &request->verb)) {
            send_log(follower, log, request->verb, request);
            follower->cursor = log + 1;
            return true;
        }
    }
    return false;
}

bool fb_follower_next(fb_follower *follower, fb_sync_request *request) {
    *request =
        (fb_sync_request){.node = follower->options->node, .timeout_ns = request_ns(follower)};
    return follower->up && (send_ack(follower, request) || send_state(follower, request) ||
                            send_any_log(follower, request));
}

// ---- time

// Long after the port should have answered.
static int64_t give_up_ns(const fb_follower *follower, int64_t sent_ns) {
    return sent_ns + 3 * request_ns(follower);
}

static int64_t due_of(const fb_follower *follower, const fb_follow_log *at) {
    fb_sync_verb verb;
    if (at->under_way) {
        return give_up_ns(follower, at->sent_ns);
    }
    bool may_go = follower->up && follower->under_way < UNDER_WAY_MAX;
    return may_go ? wish_of(follower, at, &verb) : INT64_MAX;
}

int64_t fb_follower_due(const fb_follower *follower) {
    int64_t due_ns = INT64_MAX;
    if (follower->state_under_way) {
        due_ns = give_up_ns(follower, follower->state_sent_ns);
    } else if (follower->up) {
        due_ns = follower->state_next_ns;
    }
    for (uint32_t i = 0; i <= fb_follow_wide(follower); i++) {
        int64_t one_ns = due_of(follower, &follower->logs[i]);
        due_ns = one_ns < due_ns ? one_ns : due_ns;
    }
    return due_ns;
}

void fb_follower_tick(fb_follower *follower, int64_t now_ns) {
    fb_sync_reply none = {.result = FB_SYNC_UNKNOWN, .text = "no answer"};
    follower->now_ns = now_ns;
    if (follower->state_under_way && give_up_ns(follower, follower->state_sent_ns) <= now_ns) {
        end_state(follower, &none);
    }
    for (uint32_t i = 0; i <= fb_follow_wide(follower); i++) {
        const fb_follow_log *at = &follower->logs[i];
        if (at->under_way && give_up_ns(follower, at->sent_ns) <= now_ns) {
            end_log(follower, i, &none);
        }
    }
}

// ---- other events

void fb_follower_link(fb_follower *follower, bool up, const char *why, int64_t now_ns) {
    follower->now_ns = now_ns;
    follower->up = up;
    (void)snprintf(follower->why, sizeof follower->why, "%s", up || why == NULL ? "" : why);
    if (up) {
        follower->state_next_ns = now_ns;
        follower->state_back_off_ns = 0;
        follower->settled_count = 0;
        for (uint32_t i = 0; i <= fb_follow_wide(follower); i++) {
            fb_follow_log *at = &follower->logs[i];
            at->settled = false;
            at->retry_ns = at->look_ns = now_ns;
            at->back_off_ns = 0;
        }
    }
    fb_follow_say(follower);
}

void fb_follower_bypass(fb_follower *follower, fb_str key, int64_t now_ns) {
    follower->now_ns = now_ns;
    fb_apply_bypass(follower->sync, key, now_ns);
}

void fb_follower_suspect(fb_follower *follower, uint32_t log, const fb_mark *mark, int64_t now_ns) {
    FB_ASSERT(log <= fb_follow_wide(follower));
    follower->now_ns = now_ns;
    const fb_track *track = &follower->logs[log].track;
    if (track->mark.epoch == 0 || mark->epoch != track->mark.epoch) {
        follower->logs[log].look = true;
        return;
    }
    fb_track_fit fit = fb_track_of_mark(track, mark);
    if (fit == FB_FIT_PARTED || fit == FB_FIT_OLD) {  // a little late is no reason
        follower->logs[log].look = true;
    }
}

bool fb_follower_is_settled(const fb_follower *follower) {
    return follower->up && follower->settled_count == fb_follow_wide(follower) + 1;
}

// ---- making

int fb_follower_new(fb_sync *sync, uint64_t seed, fb_follower **follower) {
    *follower = NULL;
    const fb_sync_options *options = fb_sync_options_of(sync);
    FB_ASSERT(fb_cache_partitions(options->cache) == options->partitions);
    fb_follower *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->sync = sync;
    made->options = options;
    fb_rng_init(&made->rng, seed);
    made->logs = fb_mem_zero(options->partitions + 1, sizeof *made->logs);
    if (made->logs == NULL) {
        fb_follower_free(made);
        return FB_ENOMEM;
    }
    for (uint32_t i = 0; i <= options->partitions; i++) {
        fb_mark mark;
        fb_cache_mark(options->cache, i, &mark);
        fb_track_go(&made->logs[i].track, &mark);
        made->logs[i].heard = mark.seq;
        made->logs[i].until_ns = INT64_MIN;
    }
    *follower = made;
    return FB_OK;
}

void fb_follower_free(fb_follower *follower) {
    if (follower == NULL) {
        return;
    }
    fb_mem_free(follower->logs);
    fb_mem_free(follower);
}

void fb_follower_check(const fb_follower *follower) {
    uint32_t under_way = 0, settled = 0;
    for (uint32_t i = 0; i <= fb_follow_wide(follower); i++) {
        const fb_follow_log *at = &follower->logs[i];
        fb_mark mark;
        fb_cache_mark(follower->options->cache, i, &mark);
        FB_ASSERT(memcmp(&mark, &at->track.mark, sizeof mark) == 0);
        FB_ASSERT(at->track.first <= at->track.mark.seq);
        FB_ASSERT(!at->under_way || at->verb != FB_SYNC_STAMPS || i == fb_follow_wide(follower));
        under_way += at->under_way;
        settled += at->settled;
    }
    FB_ASSERT(under_way == follower->under_way && settled == follower->settled_count);
    FB_ASSERT(follower->ack_count <= FB_FOLLOW_ACKS_MAX && under_way <= UNDER_WAY_MAX);
}
