// Several keys in one step: what the shared tier has of each (SNAPSHOT), and a change of all of them on
// condition that it is still so (COMMIT).
//
// A commit is told to memory as another node's change would be: its records name no node, so the
// follower of each node applies them, this one's too, also where nobody hears how it ended. Who issued it
// drops the keys as well when it is answered: so the next read here finds nothing older. (What is read
// before that may be what was there before, as on any other node.) Nothing is kept in memory of what was
// stored; and nothing is owed, because what cannot be done now is not done at all.
//
// The keys need not belong to this lane. Of its lines and of its outbox nothing is concerned, but where any
// lane owes something of a log, that is told later and would undo what came after it: so then it waits for
// nothing, and fails.

#include "sync/gate_state.h"

#include <stdio.h>
#include <string.h>

static const char STILL_OWED[] = "what was changed while it was away is being told";
static const char NO_PLAIN[] = "a key of a class with a plain layout cannot be in a transaction";
static const char CATCHING_UP[] = "this node is catching up with it";

// ---- both

static fb_op *begin(fb_gate *gate, fb_op_kind kind, fb_str key, const fb_want *want,
                    int64_t now_ns) {
    fb_asker *asker = fb_asker_new(want->waiter);
    fb_op *op = asker != NULL ? fb_op_new(gate, kind, key, now_ns) : NULL;
    if (op == NULL) {
        fb_asker_free(asker);
        return NULL;
    }
    fb_list_insert(&op->askers, &asker->list);
    return op;
}

static void end(fb_gate *gate, fb_op *op, int result, const char *error) {
    fb_outcome outcome = {.result = result, .error = error};
    fb_op_answer(gate, op, &outcome);
}

static void end_away(fb_gate *gate, fb_op *op, const char *why) {
    char text[192];
    (void)snprintf(text, sizeof text, "the shared tier is not to be asked just now%s%s",
                   why != NULL && why[0] != '\0' ? ": " : "", why != NULL ? why : "");
    end(gate, op, FB_EIO, text);
}

// Why nothing can be asked or done; NULL: it can.
static const char *why_not(fb_gate *gate, bool owes) {
    fb_mark wide;
    fb_sync_wide(gate->sync, &wide);
    return !gate->link_up || gate->breaker.state != FB_BREAKER_CLOSED ? gate->why
           : wide.epoch == 0                                          ? CATCHING_UP
           : owes                                                     ? STILL_OWED
                                                                      : NULL;
}

static void pass_by(fb_gate *gate, fb_op *op, const char *why) {
    fb_gate_count(gate, FB_SYNC_COUNT_passed_by);
    end_away(gate, op, why);
}

// From memory.
static void drop(fb_gate *gate, fb_str key, int64_t now_ns) {
    fb_invalidation what = {.scope = FB_SCOPE_KEY, .name = key};
    int result = fb_cache_invalidate(gate->cache, &what, now_ns, NULL);
    FB_ASSERT(result == FB_OK);  // by key it takes no memory
}

// ---- SNAPSHOT

int fb_snapshot_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    fb_op *op = begin(gate, FB_OP_SNAPSHOT, want->key, want, now_ns);
    if (op == NULL) {
        return FB_ENOMEM;
    }
    op->snapshot = want->snapshot;
    if (op->request.plain) {
        end(gate, op, FB_EINVAL, NO_PLAIN);
    } else if (!fb_gate_takes(gate, op)) {
        pass_by(gate, op, why_not(gate, true));
    } else {
        fb_gate_count(gate, FB_SYNC_COUNT_gets);
        fb_sync_wide(gate->sync, &op->request.wide);
        fb_op_send(gate, op, FB_SYNC_PEEK, now_ns);
    }
    return FB_OK;
}

// What a wide invalidation has overtaken does not count, but is what is there.
static bool counts(fb_gate *gate, const fb_op *op, const fb_sync_reply *reply) {
    const fb_class *class_ = op->class_->id != FB_CLASS_PLAIN ? op->class_ : NULL;
    const fb_loaded *loaded = &reply->loaded;
    return loaded->result == FB_OK && loaded->value != NULL && reply->fresh_for_ns > 0 &&
           (!FB_RULE(adopt_judge) ||
            fb_sync_judge(gate->sync, &reply->wide, op->key, class_, loaded) == FB_WIDE_VALID);
}

static void take(fb_gate *gate, const fb_op *op, fb_sync_reply *reply) {
    fb_snapshot *to = op->snapshot;
    bool is_there = reply->result == FB_SYNC_VALUE;
    *to = (fb_snapshot){.found = is_there && counts(gate, op, reply),
                        .when = is_there ? FB_WHEN_VERSION : FB_WHEN_ABSENT,
                        .version = is_there ? reply->version : 0,
                        .epoch = reply->mark.epoch,
                        .wide = op->request.wide,
                        .age_ns = reply->age_ns,
                        .left_ns = reply->fresh_for_ns};
    fb_loaded_init(&to->loaded);
    if (to->found) {
        to->loaded = reply->loaded;
        fb_loaded_init(&reply->loaded);
    }
}

// Who watches a key reads it next, from memory: which is to have nothing older than what was watched, or
// the old value would be taken for that of the version seen.
static void catch_up(fb_gate *gate, const fb_op *op, const fb_mark *mark, int64_t now_ns) {
    fb_mark applied;
    fb_cache_mark(gate->cache, op->request.log, &applied);
    if ((mark->epoch != applied.epoch || mark->seq > applied.seq) && FB_RULE(watch_catch_up)) {
        drop(gate, op->key, now_ns);
    }
}

void fb_snapshot_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    bool read = reply->result == FB_SYNC_VALUE || reply->result == FB_SYNC_NONE;
    if (!read || !fb_op_fits(gate, op, reply)) {
        end_away(gate, op, read ? CATCHING_UP : reply->text);
        return;
    }
    catch_up(gate, op, &reply->mark, now_ns);
    take(gate, op, reply);
    end(gate, op, FB_OK, NULL);
}

// ---- COMMIT

// Nothing of them is older than the commit from now on.
static void forget(fb_gate *gate, const fb_op *op, int64_t now_ns) {
    for (size_t i = 0; i < op->request.item_count; i++) {
        const fb_sync_item *item = &op->request.items[i];
        if (item->act != FB_ACT_NONE && FB_RULE(commit_forget)) {
            drop(gate, item->key, now_ns);
        }
    }
}

// FB_EINVAL: a plain layout.
static int prepare(fb_gate *gate, fb_op *op, const fb_commit *commit) {
    int result = FB_OK;
    for (size_t i = 0; i < commit->item_count; i++) {
        fb_sync_item *item = &commit->items[i];
        const fb_class *class_ = fb_catalog_of_key(fb_cache_catalog(gate->cache), item->key);
        bool plain = class_->options.layout == FB_LAYOUT_PLAIN;
        result = plain ? FB_EINVAL : result;
        item->class_name = class_->id != FB_CLASS_PLAIN ? class_->name : FB_STR("");
        item->log = fb_cache_partition_of(gate->cache, item->key);
        item->record = (fb_record){.kind = FB_RECORD_KEY,
                                   .nonce = fb_gate_random(gate),
                                   .node = FB_RULE(commit_node) ? 0 : gate->node,
                                   .name = item->key};
    }
    op->request.items = commit->items;
    op->request.item_count = commit->item_count;
    return result;
}

static bool owes_any(const fb_gate *gate, const fb_op *op) {
    bool owes = fb_sync_owes_wide(gate->sync);
    for (size_t i = 0; i < op->request.item_count; i++) {
        owes = owes || fb_sync_owes(gate->sync, op->request.items[i].log);
    }
    return owes && FB_RULE(commit_owed);
}

static void count_changes(fb_gate *gate, const fb_op *op) {
    for (size_t i = 0; i < op->request.item_count; i++) {
        if (op->request.items[i].act != FB_ACT_NONE) {
            fb_gate_count(gate, FB_SYNC_COUNT_changes);
        }
    }
}

int fb_commit_want(fb_gate *gate, const fb_want *want, int64_t now_ns) {
    const fb_commit *commit = want->commit;
    FB_ASSERT(commit->item_count > 0);
    fb_op *op = begin(gate, FB_OP_COMMIT, commit->items[0].key, want, now_ns);
    if (op == NULL) {
        return FB_ENOMEM;
    }
    fb_mark wide;
    int result = prepare(gate, op, commit);
    fb_sync_wide(gate->sync, &wide);
    const char *why = why_not(gate, owes_any(gate, op));
    op->request.wide = commit->wide.epoch != 0 && FB_RULE(commit_wide) ? commit->wide : wide;
    if (result < 0) {
        end(gate, op, result, NO_PLAIN);
    } else if (why != NULL) {
        pass_by(gate, op, why);
    } else if (op->request.wide.epoch != wide.epoch) {
        end(gate, op, FB_REFUSED, NULL);  // what has overtaken what it is based on, nobody can tell
    } else {
        count_changes(gate, op);
        fb_op_send(gate, op, FB_SYNC_COMMIT, now_ns);
    }
    return FB_OK;
}

// The follower is to see by it that a server lost the change, if one does.
static void saw(fb_gate *gate, uint32_t log, const fb_mark *mark) {
    fb_mark applied;
    fb_cache_mark(gate->cache, log, &applied);
    if (mark->epoch != applied.epoch) {
        fb_gate_suspect(gate, log, mark);
    } else if (mark->seq > applied.seq) {
        fb_sync_saw(gate->sync, log, mark);
    }
}

// Of the items of one log, the last is the furthest.
static void saw_all(fb_gate *gate, const fb_op *op, const fb_sync_reply *reply) {
    bool told[FB_LOGS_MAX] = {false};
    size_t count = op->request.item_count;
    for (size_t i = reply->mark_count < count ? reply->mark_count : count; i-- > 0;) {
        uint32_t log = op->request.items[i].log;
        if (!told[log]) {
            saw(gate, log, &reply->marks[i]);
        }
        told[log] = true;
    }
}

static void suspect_all(fb_gate *gate, const fb_op *op) {
    for (size_t i = 0; i < op->request.item_count; i++) {
        fb_gate_suspect(gate, op->request.items[i].log, &(fb_mark){0});
    }
}

void fb_commit_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (reply->result == FB_SYNC_DONE || reply->result == FB_SYNC_UNKNOWN) {
        forget(gate, op, now_ns);
    }
    switch (reply->result) {
        case FB_SYNC_DONE:
            saw_all(gate, op, reply);
            end(gate, op, FB_OK, NULL);
            break;
        case FB_SYNC_CONFLICT:
            end(gate, op, FB_REFUSED, NULL);
            break;
        case FB_SYNC_UNKNOWN:
            end(gate, op, FB_ETIMEDOUT, "no answer in time: it may have been done, or not");
            break;
        case FB_SYNC_NO_EPOCH:
            suspect_all(gate, op);
            end_away(gate, op, "it was emptied, and is being taken up again");
            break;
        default:
            if (reply->text != NULL && strcmp(reply->text, FB_SYNC_CROSSSLOT) == 0) {
                end(gate, op, FB_ECONFLICT, FB_SYNC_CROSSSLOT);
            } else {
                end_away(gate, op, reply->text);
            }
    }
}
