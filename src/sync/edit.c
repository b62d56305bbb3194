// Changes that depend on what is there: they read (PEEK), decide, and store on condition that it is
// still there; where somebody was faster, the shared tier says what is there now, and they decide
// anew. Nobody waits for a lock, and of those who meet one gets through each time. Of hundreds that
// meet the last would never: so who was too late some times waits for its turn among those of this
// node.
//
// What the shared tier has may have been overtaken by an invalidation of its tag, its class, or
// everything, of which only the stamps know (sync.h). That counts as not there, but its version is
// still the condition. The shared tier's own addition (FB_SYNC_ADD) knows nothing of stamps: so ADD
// uses it only as long as nothing wide has ever been invalidated, and is an edit otherwise.
//
// An edit that cannot be told is made in memory (away.c). So it decides for the shared tier only
// while nothing is owed, and looks again before it stores.

#include "sync/gate_state.h"

#include <inttypes.h>
#include <stdio.h>

enum { TRIES_MAX = 100, TRIES_OUT_OF_LINE = 4 };

// It could not be done, and nothing was.
static void finish(fb_gate *gate, fb_op *op, int result, const char *error, int64_t now_ns) {
    if (op->is_told) {
        fb_replay_failed(gate, op, NULL, now_ns);
        return;
    }
    fb_outcome outcome = {.result = result, .number = op->adding.number, .error = error};
    fb_change_end(gate, op, &outcome, FB_REACH_SHARED, NULL);
}

static void finished(fb_gate *gate, fb_op *op, int result, const fb_mark *mark, int64_t now_ns) {
    fb_outcome outcome = {.result = result, .number = op->adding.number};
    fb_change_done(gate, op, &outcome, mark, now_ns);
}

static void pass_by(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->is_told) {
        fb_replay_failed(gate, op, NULL, now_ns);
    } else {
        fb_away_do(gate, op, now_ns);
    }
}

// Whether it may decide by what the shared tier has. What is owed itself is told while more is.
static bool may_decide(const fb_gate *gate, const fb_op *op) {
    fb_mark wide;
    fb_sync_wide(gate->sync, &wide);
    return op->is_told ? wide.epoch != 0 : fb_gate_takes(gate, op);
}

// ---- ADD

int fb_add_edit(void *arg, fb_edit *edit) {
    fb_adding *adding = arg;
    int64_t number = 0;
    int result = edit->found ? fb_str_int(edit->value.data, &number) : FB_OK;
    if (result < 0) {
        return FB_ETYPE;
    }
    if (__builtin_add_overflow(number, adding->delta, &number)) {
        return FB_ERANGE;
    }
    (void)snprintf(adding->text, sizeof adding->text, "%" PRId64, number);
    adding->number = number;
    edit->action = FB_EDIT_PUT;
    edit->data = fb_str_of(adding->text);
    return FB_OK;
}

void fb_add_send(fb_gate *gate, fb_op *op, int64_t now_ns) {
    const fb_class_options *options = &op->class_->options;
    fb_sync_wide(gate->sync, &op->request.wide);
    if (op->request.wide.epoch == 0 || op->request.wide.seq != 0) {
        op->kind = FB_OP_EDIT;
        fb_edit_begin(gate, op, now_ns);
        return;
    }
    if (!op->is_told) {
        fb_op_forget(gate, op, now_ns);
    }
    op->request.delta = op->adding.delta;
    op->request.ttl_ns =
        op->class_->id == FB_CLASS_PLAIN || options->ttl_ns <= 0 ? -1 : options->ttl_ns;
    fb_op_send(gate, op, FB_SYNC_ADD, now_ns);
}

void fb_add_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    int result = FB_OK;
    switch (reply->result) {
        case FB_SYNC_DONE:
            op->adding.number = reply->number;
            break;
        case FB_SYNC_WRONG_TYPE:
            result = FB_ETYPE;
            break;
        case FB_SYNC_OUT_OF_RANGE:
            result = FB_ERANGE;
            break;
        default:
            fb_change_failed(gate, op, reply, now_ns);
            return;
    }
    if (result == FB_OK) {
        fb_op_acked(gate, op, reply);
    }
    // Its other tags and the rest of its time are not known here.
    fb_op_forget_again(gate, op, now_ns);
    finished(gate, op, result, result == FB_OK ? &reply->mark : NULL, now_ns);
}

// ---- edits

void fb_edit_begin(fb_gate *gate, fb_op *op, int64_t now_ns) {
    if (op->tries == 0) {
        fb_line_leave(gate, op);
    }
    if (!may_decide(gate, op)) {
        pass_by(gate, op, now_ns);
        return;
    }
    op->decided = false;
    fb_sync_wide(gate->sync, &op->request.wide);
    fb_op_send(gate, op, FB_SYNC_PEEK, now_ns);
}

static int64_t wall_now_ms(const fb_op *op, int64_t now_ns) {
    return op->wall_ms + (now_ns - op->begun_ns) / FB_NS_PER_MS;
}

static int64_t to_unix_ms(int64_t wall_ms, int64_t left_ns) {
    if (left_ns == INT64_MAX) {
        return -1;
    }
    int64_t left_ms = left_ns > 0 ? (left_ns - 1) / FB_NS_PER_MS + 1 : 0;
    return fb_gate_after(wall_ms, left_ms);
}

static int64_t from_unix_ms(int64_t wall_ms, int64_t at_ms) {
    int64_t left_ns;
    if (at_ms == -1) {
        return INT64_MAX;
    }
    if (at_ms <= wall_ms) {
        return 0;  // also what is too long ago to be reckoned with
    }
    return __builtin_mul_overflow(at_ms - wall_ms, FB_NS_PER_MS, &left_ns) ? INT64_MAX : left_ns;
}

// What is there, as the caller is shown it; false: nothing that counts.
static bool present(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, fb_edit *edit) {
    const fb_loaded *loaded = &reply->loaded;
    const fb_class *class_ = op->class_->id != FB_CLASS_PLAIN ? op->class_ : NULL;
    if (loaded->result != FB_OK || loaded->value == NULL || reply->fresh_for_ns <= 0) {
        return false;
    }
    if (FB_RULE(adopt_judge) &&
        fb_sync_judge(gate->sync, &reply->wide, op->key, class_, loaded) != FB_WIDE_VALID) {
        return false;
    }
    edit->found = true;
    edit->value = (fb_value){.data = fb_blob_str(loaded->value),
                             .kind = loaded->kind,
                             .tier = FB_TIER_SHARED,
                             .freshness = FB_FRESH,
                             .age_ms = reply->age_ns / FB_NS_PER_MS,
                             .ttl_ms = reply->fresh_for_ns == INT64_MAX
                                           ? -1
                                           : reply->fresh_for_ns / FB_NS_PER_MS,
                             .version = reply->version};
    return true;
}

static int64_t class_ttl_ns(const fb_op *op) {
    int64_t ttl_ns = op->class_->options.ttl_ns;
    return op->class_->id == FB_CLASS_PLAIN || ttl_ns <= 0 ? INT64_MAX : ttl_ns;
}

// The new value, with the tags of the one before it.
static int make_value(fb_op *op, fb_loaded *before, bool found, fb_str data) {
    fb_loaded_release(&op->loaded);
    int result = fb_loaded_value(&op->loaded, data);
    for (size_t i = 0; found && i < before->tag_count && result == FB_OK; i++) {
        result = fb_loaded_add_tag(&op->loaded, fb_loaded_tag_at(before, i));
    }
    if (result == FB_OK) {
        result = fb_op_take_key_tags(op);
    }
    op->loaded.result = FB_OK;
    op->loaded.source_version = found ? before->source_version : 0;
    return result;
}

static void set_times(fb_op *op, int64_t left_ns) {
    const fb_class_options *options = &op->class_->options;
    int64_t most_ns = op->class_->id != FB_CLASS_PLAIN && options->memory_ttl_ns > 0
                          ? options->memory_ttl_ns
                          : INT64_MAX;
    op->request.ttl_ns = left_ns == INT64_MAX ? -1 : left_ns;
    op->memory_ns = left_ns < most_ns ? left_ns : most_ns;
}

// Sends what was decided.
static void store(fb_gate *gate, fb_op *op, const fb_edit *edit, int64_t left_ns, int64_t now_ns) {
    bool gone = edit->action == FB_EDIT_DELETE || left_ns <= 0;
    bool puts = edit->action == FB_EDIT_PUT && !gone;
    int result = fb_op_claim(gate, op, now_ns);
    if (result < 0) {
        finish(gate, op, result, NULL, now_ns);
        return;
    }
    fb_op_record(gate, op, FB_RECORD_KEY);
    fb_sync_wide(gate->sync, &op->request.wide);
    op->decided = true;
    op->drops = !puts;
    op->request.loaded = puts ? &op->loaded : NULL;
    set_times(op, left_ns);
    fb_op_send(gate, op, puts ? FB_SYNC_SET : gone ? FB_SYNC_DROP : FB_SYNC_EXPIRE, now_ns);
}

// The reply says what is there.
static void decide(fb_gate *gate, fb_op *op, fb_sync_reply *reply, bool is_there, int64_t now_ns) {
    if (!may_decide(gate, op)) {
        pass_by(gate, op, now_ns);
        return;
    }
    int64_t wall_ms = wall_now_ms(op, now_ns);
    fb_edit edit = {.action = FB_EDIT_KEEP};
    bool found = is_there && present(gate, op, reply, &edit);
    int64_t left_ns = found ? reply->fresh_for_ns : class_ttl_ns(op);
    int64_t shown_ms = to_unix_ms(wall_ms, left_ns);
    edit.expires_ms = shown_ms;
    op->edit_result = op->edit(op->edit_arg, &edit);
    if (edit.expires_ms != shown_ms) {
        left_ns = from_unix_ms(wall_ms, edit.expires_ms);
    }
    bool nothing = edit.action == FB_EDIT_KEEP || (edit.action != FB_EDIT_PUT && !found);
    if (op->edit_result < 0 || nothing) {
        finished(gate, op, op->edit_result, NULL, now_ns);
        return;
    }
    if (edit.action == FB_EDIT_PUT) {
        int result = make_value(op, &reply->loaded, found, edit.data);
        if (result < 0) {
            finish(gate, op, result, NULL, now_ns);
            return;
        }
    }
    op->request.when = is_there ? FB_WHEN_VERSION : FB_WHEN_ABSENT;
    op->request.version = reply->version;
    op->request.mark = reply->mark;
    store(gate, op, &edit, left_ns, now_ns);
}

static void stored(fb_gate *gate, fb_op *op, const fb_sync_reply *reply, int64_t now_ns) {
    if (op->drops) {
        fb_op_forget_again(gate, op, now_ns);
    } else {
        fb_op_keep(gate, op, now_ns);
    }
    finished(gate, op, op->edit_result, &reply->mark, now_ns);
}

// Into its line, where it has to wait: fb_change_begin() goes on with it. Without memory it does not.
static bool waits_in_line(fb_gate *gate, fb_op *op) {
    return op->tries == TRIES_OUT_OF_LINE && !op->is_told && fb_line_join(gate, op) == FB_OK &&
           !fb_line_is_first(op);
}

static void try_again(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (++op->tries >= TRIES_MAX) {
        finish(gate, op, FB_EOVERLOAD, "others changed it again and again", now_ns);
        return;
    }
    if (!waits_in_line(gate, op)) {
        decide(gate, op, reply, reply->has_value, now_ns);
    }
}

void fb_edit_reply(fb_gate *gate, fb_op *op, fb_sync_reply *reply, int64_t now_ns) {
    if (!fb_reply_failed(reply) && !fb_op_fits(gate, op, reply) && !op->decided) {
        pass_by(gate, op, now_ns);  // what is there is not what this node follows
        return;
    }
    switch (reply->result) {
        case FB_SYNC_VALUE:
        case FB_SYNC_NONE:
            if (op->decided) {  // it was gone when its time was to be changed
                try_again(gate, op, reply, now_ns);
            } else {
                decide(gate, op, reply, reply->result == FB_SYNC_VALUE, now_ns);
            }
            break;
        case FB_SYNC_CONFLICT:
            try_again(gate, op, reply, now_ns);
            break;
        case FB_SYNC_DONE:
            fb_sync_acked(gate->sync, op->request.log, &reply->mark);
            stored(gate, op, reply, now_ns);
            break;
        case FB_SYNC_REFUSED:
            fb_op_forget_again(gate, op, now_ns);
            finished(gate, op, FB_REFUSED, NULL, now_ns);
            break;
        default:
            if (!op->decided && reply->result == FB_SYNC_UNKNOWN) {
                reply->result = FB_SYNC_FAILED;  // it only read
            }
            fb_change_failed(gate, op, reply, now_ns);
    }
}
