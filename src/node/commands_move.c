// COPY, RENAME, RENAMENX: a value to another key, with the time it has left.
//
// They are one step for everybody (node/one_step.h). Callers of the library in the same process, and where
// the step cannot be one, other connections and nodes, can see what lies between: RENAME takes the value
// away first, which only one of several who rename the same key can do (a key renamed is a key claimed:
// programs count on that), and stores it then under its new name; what cannot be stored there is put back
// under the old one. The other order would let two of them succeed.
//
// Each step is an edit like any other: loads of both keys are overtaken, other nodes hear of both.
// Tags are not the key's to give away: what is invalidated by a tag must not live on under a name
// that the tag does not know, so a key that has any is refused.

#include "node/command_table.h"

#include "base/buf.h"
#include "base/str.h"
#include "node/one_step.h"

enum { LOOKS_MAX = 5 };

typedef struct moving {
    fb_str to;
    uint64_t room;  // for a key and its value
    bool take;      // away
    bool found;
    int64_t expires_ms;  // -1: never
    fb_buf value;
} moving;

// Called again where somebody was faster.
static int pick_up(void *arg, fb_edit *edit) {
    moving *one = arg;
    one->found = edit->found;
    if (!edit->found) {
        return FB_MISS;
    }
    if ((uint64_t)one->to.len + edit->value.data.len > one->room) {
        return FB_ETOOBIG;
    }
    one->value.len = 0;
    int result = fb_buf_append(&one->value, edit->value.data);
    if (result < 0) {
        return result;
    }
    one->expires_ms = edit->expires_ms;
    edit->action = one->take ? FB_EDIT_DELETE : FB_EDIT_KEEP;
    return FB_OK;
}

typedef struct placing {
    const moving *from;
    bool only_absent;
} placing;

static int put_down(void *arg, fb_edit *edit) {
    const placing *one = arg;
    if (one->only_absent && edit->found) {
        return FB_REFUSED;
    }
    edit->action = FB_EDIT_PUT;
    edit->data = fb_buf_str(&one->from->value);
    edit->expires_ms = one->from->expires_ms;
    return FB_OK;
}

static void look_at(void *arg, const fb_value *value) {
    (void)arg, (void)value;
}

// Whether it is there; says so, and that it may not go, where it has tags. (The read brings what is
// in the shared tier alone into memory, which knows its tags; once more where word of a change came
// while it was on its way, and kept it out.) FB_OK, FB_MISS, FB_REFUSED: said.
static int may_go(fb_command_call *call, fb_str key) {
    fb_explanation explanation = {.tier = FB_TIER_NONE};
    int result = FB_OK;
    for (int i = 0; i < LOOKS_MAX && result == FB_OK && explanation.tier == FB_TIER_NONE; i++) {
        if (fb_get(call->node->engine, key, look_at, NULL) != FB_OK) {
            return FB_MISS;
        }
        result = fb_explain(call->node->engine, key, &explanation);
    }
    if (result < 0) {
        fb_command_failed(call, result, NULL);
        return FB_REFUSED;
    }
    if (explanation.tag_count > 0) {
        fb_reply_error(call->reply, "ERR a key with tags cannot be copied or renamed: its tags "
                                    "would not follow it");
        return FB_REFUSED;
    }
    return FB_OK;
}

static moving begin(const fb_command_call *call, bool take) {
    return (moving){
        .to = call->args[2], .room = fb_value_max(call->node->engine), .take = take};
}

// ---- COPY

static bool read_options(fb_command_call *call, bool *replace) {
    for (size_t i = 3; i < call->arg_count; i++) {
        if (fb_command_word(call, i, "REPLACE")) {
            *replace = true;
        } else if (fb_command_word(call, i, "DB") && i + 1 < call->arg_count) {
            if (!fb_command_db(call, ++i)) {
                return false;
            }
        } else {
            fb_command_syntax_error(call);
            return false;
        }
    }
    return true;
}

static void copy_in_step(fb_command_call *call) {
    fb_engine *engine = call->node->engine;
    bool replace = false;
    if (!read_options(call, &replace)) {
        return;
    }
    if (fb_str_equal(call->args[1], call->args[2])) {
        fb_reply_error(call->reply, "ERR source and destination objects are the same");
        return;
    }
    int result = may_go(call, call->args[1]);
    if (result == FB_REFUSED) {
        return;
    }
    moving one = begin(call, false);
    placing place = {&one, !replace};
    if (result == FB_OK) {
        result = fb_edit_key(engine, call->args[1], pick_up, &one);
    }
    if (result == FB_OK) {
        result = fb_edit_key(engine, call->args[2], put_down, &place);
    }
    if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        fb_reply_integer(call->reply, result == FB_OK);
    }
    fb_buf_release(&one.value);
}

void fb_key_copy(fb_command_call *call) {
    fb_command_in_one_step(call, copy_in_step, false);
}

// ---- RENAME

// FB_OK; FB_MISS: nothing is under the old name; FB_REFUSED: something is under the new one.
static int move(fb_command_call *call, moving *one, bool only_absent) {
    fb_engine *engine = call->node->engine;
    if (only_absent && fb_exists(engine, call->args[2]) == FB_OK) {
        return FB_REFUSED;
    }
    int result = fb_edit_key(engine, call->args[1], pick_up, one);
    if (result != FB_OK) {
        return result;
    }
    placing place = {one, only_absent};
    result = fb_edit_key(engine, call->args[2], put_down, &place);
    if (result != FB_OK) {
        placing back = {one, true};
        int undone = fb_edit_key(engine, call->args[1], put_down, &back);
        (void)undone;  // it was there a moment ago; if not even that fits, it is evicted
    }
    return result;
}

static void rename_in_step(fb_command_call *call, bool only_absent) {
    int result = may_go(call, call->args[1]);
    if (result == FB_REFUSED) {
        return;
    }
    moving one = begin(call, true);
    if (result == FB_OK && fb_str_equal(call->args[1], call->args[2])) {
        result = only_absent ? FB_REFUSED : FB_OK;
    } else if (result == FB_OK) {
        result = move(call, &one, only_absent);
    }
    if (result == FB_MISS) {
        fb_reply_error(call->reply, "ERR no such key");
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else if (only_absent) {
        fb_reply_integer(call->reply, result == FB_OK);
    } else {
        fb_reply_status(call->reply, "OK");
    }
    fb_buf_release(&one.value);
}

static void rename_always(fb_command_call *call) {
    rename_in_step(call, false);
}

static void rename_if_absent(fb_command_call *call) {
    rename_in_step(call, true);
}

void fb_key_rename(fb_command_call *call) {
    fb_command_in_one_step(call, rename_always, false);
}

void fb_key_renamenx(fb_command_call *call) {
    fb_command_in_one_step(call, rename_if_absent, false);
}
