// Reading through the cache: FB.FETCH, FB.MFETCH, FB.KEY.
//
//     FB.FETCH [REFRESH] [TIMEOUT ms] [WITHMETA] [CLASS] class [param value ...]
//     FB.MFETCH [REFRESH] [TIMEOUT ms] [WITHMETA] [CLASS] class names name [name ...] value [value
//     ...] FB.KEY [CLASS] class [param value ...]
//
// An answer may come later, from the engine: its place among the session's replies is a slot. The
// parts of an MFETCH come in any order, each into bytes of its own, and the last one puts them
// together.

#include "node/command_table.h"

#include "base/check.h"
#include "base/mem.h"
#include "node/cache_words.h"
#include "node/say.h"
#include "node/session_state.h"

// ---- FB.FETCH

static void write_found(fb_reply *reply, const fb_value *value, bool with_meta) {
    if (!with_meta) {
        fb_reply_bytes(reply, value->data);
        return;
    }
    fb_reply_map(reply, 8);
    fb_reply_text(reply, "value");
    fb_reply_bytes(reply, value->data);
    fb_say_boolean(reply, "negative", false);
    fb_say_text(reply, "kind", fb_kind_name(value->kind));
    fb_say_text(reply, "tier", fb_tier_name(value->tier));
    fb_say_text(reply, "freshness", fb_freshness_name(value->freshness));
    fb_say_integer(reply, "age_ms", value->age_ms);
    fb_say_integer(reply, "ttl_ms", value->ttl_ms);
    fb_say_count(reply, "version", value->version);
}

static void write_known_not_to_exist(fb_reply *reply, bool with_meta) {
    if (!with_meta) {
        fb_reply_null(reply);
        return;
    }
    fb_reply_map(reply, 2);
    fb_reply_text(reply, "value");
    fb_reply_null(reply);
    fb_say_boolean(reply, "negative", true);
}

// One answer, of a reply of its own or of one among many.
static void write_answer(fb_reply *reply, bool with_meta, int result, const fb_value *value,
                         const fb_error *error) {
    if (result == FB_OK) {
        write_found(reply, value, with_meta);
    } else if (result == FB_NEGATIVE) {
        write_known_not_to_exist(reply, with_meta);
    } else {
        fb_reply_error(
            reply, "%s %s", fb_command_code(result),
            error != NULL && error->text[0] != '\0' ? error->text : fb_result_text(result));
    }
}

// What memory did not keep is told to be out of date at once: nobody would hear of its changes. Of what
// is known not to exist no version is known: that is settled with the slot.
static void settle(fb_slot *slot, size_t index, int result, const fb_value *value) {
    if (result != FB_NEGATIVE) {
        fb_session_settle_at(slot, index, result == FB_OK ? value : NULL);
    }
}

static void answer(void *arg, int result, const fb_value *value, const fb_error *error) {
    fb_slot *slot = arg;
    if (slot->session != NULL) {
        write_answer(slot->target, slot->with_meta, result, value, error);
    }
    settle(slot, 0, result, value);
    fb_slot_finish(slot);
}

// A connection that tracks is registered for the key before it is looked for.
typedef struct tracking {
    fb_session *session;
    fb_slot *slot;
} tracking;

static void track_key(void *arg, fb_str key) {
    const tracking *one = arg;
    fb_session_track_key(one->session, one->slot, key);
}

static void track_request(fb_command_call *call, fb_slot *slot, const fb_request *request) {
    tracking one = {call->session, slot};
    if (call->session->tracks) {
        int result = fb_fetch_key(call->node->engine, request, track_key, &one, NULL);
        if (result != FB_OK) {
            fb_session_track_nothing(slot);
        }
    }
}

void fb_verb_fetch(fb_command_call *call) {
    fb_fetch_words one;
    if (!fb_cache_words_fetch(call, &one)) {
        return;
    }
    fb_slot *slot = fb_session_slot(call);
    if (slot == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->with_meta = one.with_meta;
    track_request(call, slot, &one.request);
    int result = fb_fetch_start(call->node->engine, &one.request, answer, slot);
    FB_ASSERT(result == FB_PENDING || slot->done);
    // It may be FB_PENDING and answered meanwhile: then the reply stands already.
    call->outcome = slot->done ? FB_OK : FB_PENDING;
}

// ---- FB.MFETCH

// Many answers, in the order of the questions whatever order they come in.
typedef struct many many;
typedef struct part {
    many *all;
    fb_buf bytes;
} part;
struct many {
    fb_slot *slot;
    fb_encoding encoding;
    bool failed;         // no memory for one of them
    size_t count, left;  // parts; those not answered, and one until all have been asked
    fb_request *requests;
    fb_param *params;
    void **args;
    part *parts;
};

static void free_many(many *all) {
    if (all != NULL) {
        for (size_t i = 0; all->parts != NULL && i < all->count; i++) {
            fb_buf_release(&all->parts[i].bytes);
        }
        fb_mem_free(all->requests);
        fb_mem_free(all->params);
        fb_mem_free(all->args);
        fb_mem_free(all->parts);
        fb_mem_free(all);
    }
}

static many *make_many(size_t count, size_t param_count) {
    many *all = fb_mem_zero(1, sizeof *all);
    if (all == NULL) {
        return NULL;
    }
    all->count = count;
    all->left = count + 1;
    all->requests = fb_mem_zero(count, sizeof *all->requests);
    all->params = fb_mem_zero(count * param_count, sizeof *all->params);
    all->args = fb_mem_zero(count, sizeof *all->args);
    all->parts = fb_mem_zero(count, sizeof *all->parts);
    if (all->requests == NULL || all->params == NULL || all->args == NULL || all->parts == NULL) {
        free_many(all);
        return NULL;
    }
    return all;
}

static void part_is_there(many *all) {
    if (--all->left > 0) {
        return;
    }
    fb_slot *slot = all->slot;
    if (slot->session != NULL && all->failed) {
        fb_reply_error(slot->target, "OOM out of memory for this reply");
    } else if (slot->session != NULL) {
        fb_reply_array(slot->target, all->count);
        for (size_t i = 0; i < all->count; i++) {
            fb_reply_raw(slot->target, fb_buf_str(&all->parts[i].bytes));
        }
    }
    free_many(all);
    fb_slot_finish(slot);
}

static void answer_part(void *arg, int result, const fb_value *value, const fb_error *error) {
    part *one = arg;
    many *all = one->all;
    settle(all->slot, (size_t)(one - all->parts), result, value);
    if (all->slot->session != NULL && !all->failed) {
        fb_reply reply;
        fb_reply_init(&reply, all->encoding, &one->bytes);
        write_answer(&reply, all->slot->with_meta, result, value, error);
        all->failed = fb_reply_failed(&reply);
    }
    part_is_there(all);
}

void fb_verb_mfetch(fb_command_call *call) {
    fb_mfetch_words words;
    if (!fb_cache_words_mfetch(call, &words)) {
        return;
    }
    many *all = make_many(words.row_count, words.name_count);
    fb_slot *slot = all != NULL ? fb_session_slot(call) : NULL;
    if (slot == NULL) {
        free_many(all);
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->with_meta = words.with_meta;
    all->slot = slot;
    all->encoding = slot->target->encoding;
    for (size_t i = 0; i < all->count; i++) {
        fb_param *params = all->params + i * words.name_count;
        fb_cache_words_row(&words, i, params);
        all->requests[i] = words.request;
        all->requests[i].params = params;
        all->requests[i].param_count = words.name_count;
        all->parts[i].all = all;
        all->args[i] = &all->parts[i];
        track_request(call, slot, &all->requests[i]);
    }
    fb_fetch_start_many(call->node->engine, all->requests, all->count, answer_part, all->args);
    part_is_there(all);
    call->outcome = slot->done ? FB_OK : FB_PENDING;
}

// ---- FB.KEY

static void write_key(void *arg, fb_str key) {
    fb_reply_bytes(arg, key);
}

void fb_verb_key(fb_command_call *call) {
    fb_fetch_words one;
    fb_error error = {0};
    if (!fb_cache_words_key(call, &one)) {
        return;
    }
    int result = fb_fetch_key(call->node->engine, &one.request, write_key, call->reply, &error);
    if (result < 0) {
        fb_command_failed(call, result, &error);
    }
}
