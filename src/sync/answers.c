// What proves that a partition is in step: an answer (STATE, LOG, EPOCH, STAMPS) that shows the log
// at a place that is ours, or that we had come by. It held at some moment after the request was
// sent, so it is believed from that time on. An answer may be older than what has been applied
// meanwhile; then it counts if its nonce is one that we know for that sequence. What was behind us
// already when the request was sent, or differs where we know better, is another history: the
// server lost what it had said. Others may have taken from it what was invalidated in what is lost.
// So a new epoch is opened, which voids all that the server has of that partition, and everybody
// flushes.
//
// A log of which our last record was trimmed away is no such case, unless changes of ours were ever
// acknowledged in this epoch: then only we are behind, and flush. Otherwise the server may have lost
// one of them, also one that we had come by, and nothing that can still be read would show it.
//
// A new epoch is opened by compare-and-set: of several nodes that see the same, one wins, the
// others take over his. An epoch's number is drawn anew for each state that it replaces: the same
// one twice could bring values of its first life back. (A gate that cannot tell any more what it
// owes opens epochs by itself, replay.c: somebody else's may be older than what is owed.)
//
// Wide records that come while STAMPS is under way are left to the log: so the stamps that arrive
// have all that was applied, and what comes behind them is applied to them.

#include <string.h>

#include "base/check.h"
#include "base/rule.h"
#include "sync/apply.h"
#include "sync/follow_state.h"

static uint64_t draw(fb_follower *follower) {
    uint64_t number = fb_rng_next(&follower->rng);
    return number != 0 ? number : 1;
}

// ---- what an answer says of a log

void fb_follow_remember(const fb_follower *follower, uint32_t log, fb_follow_known *then) {
    *then = (fb_follow_known){.place = follower->logs[log].track.mark};
    if (FB_RULE(follow_acked)) {
        fb_acked_furthest(fb_sync_acks(follower->sync), log, then->acked);
    }
}

// Whether a place that the server shows is behind one that it had come by, or is another's.
static bool is_before(const fb_mark *shown, const fb_mark *place) {
    bool lost = shown->seq < place->seq && FB_RULE(follow_lost);
    bool other = shown->seq == place->seq && shown->nonce != place->nonce && FB_RULE(follow_nonce);
    bool back = fb_epoch_is_older(shown->epoch, place->epoch) && FB_RULE(follow_back);
    return place->epoch != 0 && (place->epoch == shown->epoch ? lost || other : back);
}

static bool has_lost(const fb_mark *shown, const fb_follow_known *then) {
    bool lost = is_before(shown, &then->place);
    for (size_t i = 0; i < FB_ACKED_EPOCHS; i++) {
        lost = lost || is_before(shown, &then->acked[i]);
    }
    return lost;
}

// A number for a new epoch, after all that are known of.
uint64_t fb_follow_next_epoch(fb_follower *follower, const fb_follow_log *at) {
    uint64_t newest = at->expected;
    for (size_t i = 0; i < FB_ACKED_EPOCHS; i++) {
        if (fb_epoch_is_older(newest, at->sent.acked[i].epoch)) {
            newest = at->sent.acked[i].epoch;
        }
    }
    if (fb_epoch_is_older(newest, at->track.mark.epoch)) {
        newest = at->track.mark.epoch;
    }
    return fb_epoch_after(newest, draw(follower));
}

static void look(fb_follower *follower, uint32_t log) {
    follower->logs[log].look = true;
}

static void open_epoch(fb_follower *follower, uint32_t log, uint64_t expected) {
    fb_follow_log *at = &follower->logs[log];
    if (!at->open || at->expected != expected) {
        at->expected = expected;
        at->token = 0;
    }
    at->open = true;
}

// The log was at our place, or one that we had come by, at some time after `sent_ns`.
static void prove(fb_follower *follower, uint32_t log, int64_t sent_ns) {
    fb_follow_log *at = &follower->logs[log];
    const fb_sync_options *options = follower->options;
    if (at->open || (log == fb_follow_wide(follower) && !follower->stamps_known)) {
        return;
    }
    int64_t from_ns = FB_RULE(follow_sent) ? sent_ns : follower->now_ns;
    if (from_ns + options->max_lag_ns > at->until_ns) {
        at->until_ns = from_ns + options->max_lag_ns;
        fb_cache_set_coherent(options->cache, log, at->until_ns);
    }
    if (!at->settled) {
        at->settled = true;
        follower->settled_count++;
        fb_follow_say(follower);
    }
}

// Drops everything of the log, and goes on from there. Of another epoch, in which changes of this
// node were acknowledged before: from the first of these, to see that they are all there.
static void adopt(fb_follower *follower, uint32_t log, const fb_mark *shown) {
    fb_follow_log *at = &follower->logs[log];
    fb_acked *acked = fb_sync_acks(follower->sync);
    fb_mark place = *shown;
    const fb_mark *mark = &place;
    if (shown->epoch != at->track.mark.epoch) {
        fb_acked_forget(acked, log, &(fb_mark){.epoch = at->track.mark.epoch, .seq = UINT64_MAX});
        (void)fb_acked_first(acked, log, shown, &place);
    }
    if (place.seq == shown->seq) {
        fb_acked_forget(acked, log, shown);
    }
    if (at->track.mark.epoch != 0) {
        fb_sync_count(follower->sync, FB_SYNC_COUNT_flushes, 1);
    }
    if (log == fb_follow_wide(follower)) {
        follower->stamps_known = false;
    }
    fb_apply_flush(follower->sync, log, mark, follower->now_ns);
    fb_track_go(&at->track, mark);
    at->heard = shown->seq;
    at->look = at->open = false;
}

// The log is read once more from a place that lies before ours.
static void go_back(fb_follower *follower, uint32_t log, const fb_mark *place) {
    fb_follow_log *at = &follower->logs[log];
    uint64_t ours = at->track.mark.seq;
    if (log == fb_follow_wide(follower)) {
        follower->stamps_known = false;
    }
    fb_apply_flush(follower->sync, log, place, follower->now_ns);
    fb_track_go(&at->track, place);
    at->heard = at->heard > ours ? at->heard : ours;
}

// Whether a change that was acknowledged is not in what we have gone by. An acknowledgement may come
// to us late: its lane was busy. What we went by is known to be good; what lies before the place at
// which we began is read from there, to see that it all hangs together.
static bool has_missed(fb_follower *follower, uint32_t log) {
    fb_follow_log *at = &follower->logs[log];
    fb_acked *acked = fb_sync_acks(follower->sync);
    fb_mark which;
    while (fb_acked_missed(acked, log, &at->track.mark, &which)) {
        fb_track_fit fit = fb_track_of_mark(&at->track, &which);
        if (fit == FB_FIT_OLD) {
            go_back(follower, log, &which);
            return false;
        }
        if (fit == FB_FIT_PARTED || !fb_acked_pass(acked, log, &which, false)) {
            return true;
        }
    }
    return false;
}

// Compares a mark that the server shows with ours. Whether it proves that we are in step.
static bool compare(fb_follower *follower, uint32_t log, const fb_mark *mark,
                    const fb_follow_known *then) {
    fb_follow_log *at = &follower->logs[log];
    const fb_mark *ours = &at->track.mark;
    if (mark->epoch == 0) {
        open_epoch(follower, log, 0);
        return false;
    }
    if (has_lost(mark, then)) {
        open_epoch(follower, log, mark->epoch);
        return false;
    }
    if (mark->epoch != ours->epoch) {
        if (ours->epoch != then->place.epoch) {
            look(follower, log);  // one of us is late
            return false;
        }
        if (FB_RULE(follow_epoch)) {
            adopt(follower, log, mark);
        }
        return !fb_follow_is_behind(at);
    }
    bool missed = has_missed(follower, log);
    fb_track_fit fit = fb_track_of_mark(&at->track, mark);
    if (fit == FB_FIT_PARTED || missed) {
        open_epoch(follower, log, mark->epoch);
    } else if (fit == FB_FIT_AHEAD) {
        at->heard = mark->seq > at->heard ? mark->seq : at->heard;
    } else if (fit == FB_FIT_OLD) {
        look(follower, log);
    }
    return fit == FB_FIT_SAME || fit == FB_FIT_KNOWN || !FB_RULE(follow_state);
}

// ---- applying

static void queue_ack(fb_follower *follower, uint64_t nonce) {
    if (follower->ack_count ==
        FB_FOLLOW_ACKS_MAX) {  // who waits for the oldest does not wait any more
        memmove(follower->acks, follower->acks + 1,
                (FB_FOLLOW_ACKS_MAX - 1) * sizeof(fb_follow_ack));
        follower->ack_count--;
    }
    follower->acks[follower->ack_count++] = (fb_follow_ack){.nonce = nonce};
}

// false: in its place a change of this node had been acknowledged.
static bool apply(fb_follower *follower, uint32_t log, const fb_record *record) {
    fb_follow_log *at = &follower->logs[log];
    fb_mark mark = {at->track.mark.epoch, record->seq, record->nonce};
    fb_apply_record(follower->sync, log, record, &mark, follower->now_ns);
    fb_track_step(&at->track, record);
    if (record->wants_ack && record->node != follower->options->node) {
        queue_ack(follower, record->nonce);
    }
    bool own = record->node == follower->options->node;
    if (fb_acked_pass(fb_sync_acks(follower->sync), log, &mark, own)) {
        return true;
    }
    open_epoch(follower, log, mark.epoch);
    return false;
}

void fb_follower_record(fb_follower *follower, uint32_t log, uint64_t epoch,
                        const fb_record *record, int64_t now_ns) {
    FB_ASSERT(log <= fb_follow_wide(follower));
    fb_follow_log *at = &follower->logs[log];
    follower->now_ns = now_ns;
    if (at->track.mark.epoch == 0) {
        return;  // STATE will tell
    }
    if (epoch != at->track.mark.epoch) {
        look(follower, log);
        return;
    }
    fb_track_fit fit = fb_track_of_record(&at->track, record);
    bool stamps_come = at->under_way && at->verb == FB_SYNC_STAMPS;
    if (fit == FB_FIT_AHEAD && !fb_follow_is_behind(at)) {
        fb_sync_count(follower->sync, FB_SYNC_COUNT_gaps, 1);
    }
    if (fit == FB_FIT_NEXT && !stamps_come) {
        (void)apply(follower, log, record);
    } else if (fit == FB_FIT_PARTED) {
        look(follower, log);
    } else if (fit == FB_FIT_AHEAD && !FB_RULE(follow_gap)) {
        at->track.mark.seq = record->seq - 1;
        (void)apply(follower, log, record);
    }
    at->heard = record->seq > at->heard ? record->seq : at->heard;
}

// ---- LOG's answer

// The records that follow our place of when LOG was sent; of those we know, whether they are as we
// know them. false: they are not, or do not hang together.
static bool take_records(fb_follower *follower, uint32_t log, const fb_record *records,
                         size_t count) {
    const fb_follow_log *at = &follower->logs[log];
    fb_mark last = at->sent.place;
    (void)fb_acked_pass(fb_sync_acks(follower->sync), log, &last, false);
    for (size_t i = 0; i < count; i++) {
        const fb_record *record = &records[i];
        if (record->seq != last.seq + 1 ||
            (record->before != last.nonce && FB_RULE(follow_nonce))) {
            return false;
        }
        last.seq = record->seq;
        last.nonce = record->nonce;
        fb_track_fit fit = fb_track_of_record(&at->track, record);
        if (fit == FB_FIT_PARTED || (fit == FB_FIT_NEXT && !apply(follower, log, record))) {
            return false;
        }
    }
    return true;
}

typedef enum log_shape {
    SHAPE_WHOLE,    // it begins with our record
    SHAPE_TRIMMED,  // what comes next is not there any more
    SHAPE_PARTED
} log_shape;

// What an answer begins with; *skip: records of it that are ours already.
static log_shape shape_of(const fb_mark *from, const fb_sync_reply *reply, size_t *skip) {
    const fb_record *first = reply->record_count > 0 ? &reply->records[0] : NULL;
    *skip = 0;
    if (reply->result == FB_SYNC_GONE || first == NULL || first->nonce == 0 ||
        first->seq > from->seq + (from->seq == 0)) {
        bool empty = from->seq == 0 && reply->mark.seq == 0 && reply->result == FB_SYNC_DONE;
        return empty ? SHAPE_WHOLE : SHAPE_TRIMMED;
    }
    if (from->seq == 0) {
        return SHAPE_WHOLE;
    }
    *skip = 1;
    if (reply->record_count == 1 && reply->mark.seq > from->seq) {
        return SHAPE_TRIMMED;
    }
    return first->seq == from->seq && (first->nonce == from->nonce || !FB_RULE(follow_nonce))
               ? SHAPE_WHOLE
               : SHAPE_PARTED;
}

// Records that this version cannot read have no nonce.
static size_t readable(const fb_sync_reply *reply) {
    size_t count = 0;
    while (count < reply->record_count && reply->records[count].nonce != 0) {
        count++;
    }
    return count;
}

void fb_follow_read_log(fb_follower *follower, uint32_t log, const fb_sync_reply *reply) {
    fb_follow_log *at = &follower->logs[log];
    const fb_mark from = at->sent.place;
    const fb_mark *mark = &reply->mark;
    if (mark->epoch == 0 || mark->epoch != from.epoch || at->track.mark.epoch != from.epoch ||
        has_lost(mark, &at->sent)) {
        if (compare(follower, log, mark, &at->sent)) {
            prove(follower, log, at->sent_ns);
        }
        return;
    }
    size_t skip;
    log_shape shape = shape_of(&from, reply, &skip);
    size_t count = readable(reply);
    bool left = shape == SHAPE_TRIMMED && mark->seq > at->track.mark.seq;
    if (left && !fb_acked_ever(fb_sync_acks(follower->sync), log, mark->epoch)) {
        adopt(follower, log, mark);
    } else if (left || shape == SHAPE_PARTED ||
               (shape == SHAPE_WHOLE &&
                !take_records(follower, log, reply->records + skip, count - skip))) {
        open_epoch(follower, log, mark->epoch);
        return;
    } else if (count < reply->record_count) {
        adopt(follower, log, mark);
    }
    if (compare(follower, log, mark, &at->sent)) {
        prove(follower, log, at->sent_ns);
    }
}

// ---- EPOCH's answer

void fb_follow_take_epoch(fb_follower *follower, uint32_t log, const fb_mark *mark) {
    fb_follow_log *at = &follower->logs[log];
    bool ours = at->token != 0 && mark->epoch == at->token;
    if (ours) {
        fb_sync_count(follower->sync, FB_SYNC_COUNT_epochs, 1);
    }
    bool back = !ours && has_lost(mark, &at->sent);
    if (mark->epoch == 0 || back) {
        at->expected = mark->epoch;  // not that one: once more
        at->token = 0;
        at->retry_ns =
            mark->epoch == 0 ? fb_follow_back_off(follower, &at->back_off_ns) : at->retry_ns;
        return;
    }
    at->open = false;
    at->token = 0;
    if (mark->epoch != at->track.mark.epoch) {
        adopt(follower, log, mark);
    }
    if (compare(follower, log, mark, &(fb_follow_known){.place = at->track.mark})) {
        prove(follower, log, at->sent_ns);
    }
}

// ---- STAMPS' answer

void fb_follow_take_stamps(fb_follower *follower, const fb_sync_reply *reply) {
    uint32_t log = fb_follow_wide(follower);
    fb_follow_log *at = &follower->logs[log];
    bool in_step = compare(follower, log, &reply->mark, &at->sent);
    const fb_mark *ours = &at->track.mark;
    bool of_ours = reply->mark.epoch == at->sent.place.epoch && ours->epoch == reply->mark.epoch &&
                   reply->mark.seq >= ours->seq && !at->open;
    if (of_ours) {
        fb_sync_stamps_reset(follower->sync, ours, reply->stamps, reply->stamp_count);
        follower->stamps_known = true;
    }
    if (in_step) {
        prove(follower, log, at->sent_ns);
    }
}

// ---- STATE's answer

void fb_follow_take_state(fb_follower *follower, const fb_sync_reply *reply) {
    uint32_t wide = fb_follow_wide(follower);
    for (uint32_t i = 0; i <= wide; i++) {
        uint32_t log = i == 0 ? wide : i - 1;  // the wide one first: it may flush the others
        fb_follow_log *at = &follower->logs[log];
        bool behind = fb_follow_is_behind(at) || at->under_way;
        if (at->open || fb_mark_is_unknown(&reply->marks[log])) {
            continue;
        }
        if (compare(follower, log, &reply->marks[log], &at->state)) {
            prove(follower, log, follower->state_sent_ns);
        } else if (!behind && fb_follow_is_behind(at)) {
            fb_sync_count(follower->sync, FB_SYNC_COUNT_gaps, 1);
        }
    }
}
