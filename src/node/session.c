// A connection without its socket.
//
// While no reply is owed, a command writes straight into `out`. A command whose answer comes later
// gets a slot, and from then on every command's reply goes to a slot of its own, so that
// replies leave in order: only commands that may overlap begin then, all others stay in the
// input, which the door keeps, until the slots are empty. The first slot in the list is never done:
// whatever makes it so hands its bytes to `out` at once, and those of the done ones behind it.
//
// An answer may come within the call that asked for it, also to a command before it (the engine's
// loop is ours): then `feeding` says that nobody has to be woken.
//
// EXEC announces its array, and what was queued then runs as any other command does, each reply
// behind the one before it, before anything else is read. The replies that come later keep their
// places by the same slots; so an array whose third element is still to come needs no code at all.
//
// Who frees a session does not wait for its slots: they lose their session, and are freed by the
// answer that comes to them. What waits for jobs is told to stop, or that might be never.

#include "node/session_state.h"

#include <limits.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/command_stats.h"
#include "node/command_table.h"
#include "node/errand.h"
#include "node/optimistic.h"
#include "node/session_user.h"
#include "node/tracking.h"
#include "node/turn.h"

enum {
    OUT_KEPT_MAX = 64 * 1024,
    NOTICES_BEHIND_MAX = 1024 * 1024  // behind a late reply; beyond that notices wait for it
};

// ---- slots

static void free_slot(fb_slot *slot) {
    fb_buf_release(&slot->bytes);
    fb_buf_release(&slot->tracked);
    fb_mem_free(slot);
}

// One slot is kept for the next command that needs one: a fetch answered from memory takes no
// memory.
static void recycle_slot(fb_session *session, fb_slot *slot) {
    if (session->spare != NULL || slot->bytes.cap > OUT_KEPT_MAX) {
        free_slot(slot);
        return;
    }
    slot->bytes.len = slot->tracked.len = 0;
    session->spare = slot;
}

static fb_slot *take_slot(fb_session *session) {
    fb_slot *slot = session->spare;
    session->spare = NULL;
    if (slot == NULL) {
        slot = fb_mem_zero(1, sizeof *slot);
        if (slot == NULL) {
            return NULL;
        }
    }
    fb_list_init(&slot->list);
    slot->session = session;
    slot->queued = slot->done = slot->mute = slot->with_meta = false;
    slot->alone = slot->ends = slot->stopped = slot->by_error = slot->in_exec = false;
    slot->wait = NULL;
    slot->command = NULL;
    slot->slow.begun_ns = 0;
    fb_reply_init(&slot->reply, session->encoding, &slot->bytes);
    slot->target = &slot->reply;
    return slot;
}

fb_slot *fb_session_slot(fb_command_call *call) {
    fb_session *session = call->session;
    if (session->current == NULL) {
        session->current = take_slot(session);
        if (session->current != NULL) {
            session->current->target = call->reply;
        }
    }
    return session->current;
}

// A reply for which memory was short becomes an error; without memory even for that, the end.
static void mend_reply(fb_session *session, fb_buf *bytes, size_t start) {
    bytes->len = start;
    if (fb_buf_append(bytes, FB_STR("-OOM out of memory for this reply\r\n")) < 0) {
        session->ending = true;
    }
}

static void hand_over(fb_session *session, fb_slot *slot) {
    if (slot->mute) {
        return;
    }
    if (fb_reply_failed(&slot->reply)) {
        mend_reply(session, &slot->bytes, 0);
    }
    if (session->out.len == 0 && slot->bytes.len > session->out.cap) {
        fb_buf out = session->out;
        session->out = slot->bytes;
        slot->bytes = out;
    } else if (fb_buf_append(&session->out, fb_buf_str(&slot->bytes)) < 0) {
        session->ending = true;
    }
}

static void collect(fb_session *session) {
    while (!fb_list_empty(&session->slots)) {
        fb_slot *slot = FB_LIST_OF(session->slots.next, fb_slot, list);
        if (!slot->done) {
            return;
        }
        fb_list_remove(&slot->list);
        session->slot_count--;
        session->slot_bytes -= slot->bytes.len;
        hand_over(session, slot);
        recycle_slot(session, slot);
    }
    session->held = false;
}

static void queue_slot(fb_session *session, fb_slot *slot) {
    fb_list_insert(&session->slots, &slot->list);
    slot->queued = true;
    slot->in_exec = session->exec == FB_EXEC_RUNS;
    session->slot_count++;
}

void fb_slot_finish(fb_slot *slot) {
    FB_ASSERT(!slot->done);
    fb_session *session = slot->session;
    slot->done = true;
    fb_slow_finished(slot);
    fb_command_stats_finish(slot);
    fb_session_settle(slot);
    if (session == NULL) {
        free_slot(slot);
    } else if (slot->queued) {
        session->slot_bytes += slot->bytes.len;
        session->ending = session->ending || slot->ends;
        collect(session);
        if (!session->feeding) {
            session->wake(session->wake_arg);
        }
    }
}

// ---- running one command

static bool mute_by_mode(fb_session *session) {
    switch (session->replies) {
        case FB_REPLIES_ON:
            return false;
        case FB_REPLIES_OFF:
            return true;
        case FB_REPLIES_SKIP:
            session->replies = FB_REPLIES_ON;
            return true;
        case FB_REPLIES_SKIP_NEXT:
            session->replies = FB_REPLIES_SKIP;
            return true;
    }
    return false;
}

static bool mute_now(fb_session *session) {
    if (session->exec != FB_EXEC_RUNS) {
        session->muted = mute_by_mode(session);
    }
    return session->muted;
}

static void show_queued(fb_session *session) {
    fb_queued *queued = &session->queued;
    int shown = queued->open && queued->count <= INT_MAX ? (int)queued->count : -1;
    atomic_store_explicit(&session->shown_queued, shown, memory_order_relaxed);
}

static void put_by(fb_session *session, fb_command_call *call) {
    if ((call->command->flags & FB_COMMAND_ALONE) != 0) {
        fb_queued_spoil(&session->queued);
        fb_reply_error(call->reply, "ERR Command not allowed inside a transaction");
        fb_command_stats_refuse(call);
        return;
    }
    if (session->optimistic != NULL && !fb_optimistic_fits(call)) {
        fb_queued_spoil(&session->queued);
        return;
    }
    int result =
        fb_queued_add(&session->queued, call->args, call->arg_count, FB_SESSION_QUEUED_LEN_MAX);
    if (result == FB_OK) {
        fb_reply_status(call->reply, "QUEUED");
        return;
    }
    fb_queued_spoil(&session->queued);
    if (result == FB_ETOOBIG) {
        fb_reply_error(call->reply, "ERR transaction is larger than %d bytes",
                       (int)FB_SESSION_QUEUED_LEN_MAX);
    } else {
        fb_command_failed(call, result, NULL);
    }
}

// Where calls of the engine may wait: in a slot, whose bytes go where the reply belongs if it is
// there at once.
static void run_errand(fb_session *session, fb_command_call *call) {
    fb_slot *slot = session->current != NULL ? session->current : take_slot(session);
    if (slot == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        fb_optimistic_not_begun(call);
        return;
    }
    session->current = slot;
    slot->alone = (call->command->flags & FB_COMMAND_WRITE) != 0 || fb_optimistic_waits(call);
    fb_session_track(call, slot);
    fb_errand_command(call, slot);
    if (call->outcome != FB_PENDING) {
        fb_session_settle(slot);
    }
    if (call->outcome == FB_PENDING || call->reply == &slot->reply) {
        return;
    }
    if (fb_reply_failed(&slot->reply)) {
        mend_reply(session, &slot->bytes, 0);
    }
    if (fb_buf_append(&session->out, fb_buf_str(&slot->bytes)) < 0) {
        session->ending = true;
    }
}

// Whether who only listens may say it; says so where not.
static bool may_listen(fb_command_call *call) {
    fb_command_fn run = call->command->run;
    char name[FB_COMMAND_NAME_SIZE];
    if (run == fb_pubsub_subscribe || run == fb_pubsub_unsubscribe || run == fb_connection_ping ||
        run == fb_connection_quit || run == fb_connection_reset) {
        return true;
    }
    fb_reply_error(call->reply,
                   "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                   "RESET are allowed in this context",
                   fb_command_full_name(call->command, name));
    return false;
}

static void perform_now(fb_session *session, fb_command_call *call) {
    if (fb_errand_suits(call)) {
        run_errand(session, call);
    } else {
        if (session->tracks) {
            fb_session_track(call, NULL);
        }
        call->command->run(call);
    }
}

// Runs it, or queues it, or says what is wrong with it.
static void perform(fb_session *session, fb_command_call *call, const fb_command *found) {
    bool queueing = session->queued.open && session->exec == FB_EXEC_NONE;
    bool fine = fb_command_prepare(call, found) && fb_session_may(call) &&
                (!fb_session_only_listens(session) || may_listen(call));
    if (!fine) {
        fb_command_stats_refuse(call);
    }
    if (session->exec == FB_EXEC_NONE) {
        atomic_store_explicit(&session->last, call->command, memory_order_relaxed);
    }
    if (!fine && queueing) {
        fb_queued_spoil(&session->queued);
        if (found != NULL && found->run == fb_multi_exec) {
            fb_queued_close(&session->queued);
            fb_session_unwatch(session);
        }
    } else if (!fine) {
        return;
    } else if (queueing && (call->command->flags & FB_COMMAND_AT_ONCE) == 0) {
        put_by(session, call);
    } else {
        int64_t begun_ns = fb_slow_begin(call);
        int64_t timed_ns = fb_command_stats_begin(call);
        perform_now(session, call);
        fb_command_stats_end(call, timed_ns);
        fb_slow_ran(call, begun_ns);
    }
    if (queueing || session->queued.open) {
        show_queued(session);
    }
}

// With replies before it still to come: into a slot of its own.
static void run_behind(fb_session *session, fb_command_call *call, const fb_command *found) {
    fb_slot *slot = take_slot(session);
    if (slot == NULL) {
        session->ending = true;
        return;
    }
    session->current = slot;
    call->reply = &slot->reply;
    perform(session, call, found);
    session->current = NULL;
    slot->mute = mute_now(session);
    slot->done = slot->done || call->outcome != FB_PENDING;
    queue_slot(session, slot);
    if (slot->done) {
        session->slot_bytes += slot->bytes.len;
        collect(session);
    }
}

// With no reply before it to come: straight into `out`, unless its own comes later.
static void run_first(fb_session *session, fb_command_call *call, const fb_command *found) {
    size_t start = session->out.len;
    fb_reply reply;
    fb_reply_init(&reply, session->encoding, &session->out);
    call->reply = &reply;
    perform(session, call, found);
    fb_slot *slot = session->current;
    session->current = NULL;
    bool mute = mute_now(session);
    if (call->outcome == FB_PENDING && !slot->done) {
        slot->mute = mute;
        slot->target = &slot->reply;
        queue_slot(session, slot);
        return;
    }
    if (slot != NULL) {
        recycle_slot(session, slot);
    }
    if (mute) {
        session->out.len = start;
    } else if (fb_reply_failed(&reply)) {
        mend_reply(session, &session->out, start);
    }
}

static void run(fb_session *session, const fb_str *args, size_t arg_count,
                const fb_command *found) {
    fb_command_call call = {
        .node = session->node,
        .session = session,
        .args = args,
        .arg_count = arg_count,
    };
    if (fb_list_empty(&session->slots)) {
        run_first(session, &call, found);
    } else {
        run_behind(session, &call, found);
    }
    session->run_count++;
    if (call.outcome == FB_ECLOSED) {
        session->ending = true;
    }
    // CLIENT CACHING is for the command after it, or for the whole of a transaction.
    if (session->caching && !session->queued.open &&
        (found == NULL || found->subcommands != FB_COMMANDS_CLIENT)) {
        session->caching = false;
    }
}

// ---- transactions

void fb_session_execute(fb_session *session) {
    FB_ASSERT(session->exec == FB_EXEC_NONE && session->queued.open);
    session->exec = FB_EXEC_BEGUN;
}

static bool slots_full(const fb_session *session) {
    return session->slot_count >= FB_SESSION_SLOTS_MAX ||
           session->slot_bytes >= FB_SESSION_SLOT_BYTES_MAX;
}

// Where commands may wait, one of a transaction runs after the other.
static bool must_pause(const fb_session *session) {
    if (fb_list_empty(&session->slots)) {
        return false;
    }
    return slots_full(session) || session->node->waits ||
           FB_LIST_OF(session->slots.prev, fb_slot, list)->alone;
}

// FB_OK: all has run. FB_PENDING: the rest waits for replies to come.
static int run_queued(fb_session *session) {
    const fb_str *args;
    size_t arg_count;
    session->exec = FB_EXEC_RUNS;
    while (!session->ending && !must_pause(session) &&
           fb_queued_next(&session->queued, &args, &arg_count)) {
        run(session, args, arg_count, fb_command_find(args[0]));
        if (session->out.len > FB_SESSION_REPLY_LEN_MAX) {
            session->ending = true;
        }
    }
    fb_session_release(session);  // also where the rest has to wait
    if (!session->ending && must_pause(session)) {
        session->held = true;
        return FB_PENDING;
    }
    session->exec = FB_EXEC_NONE;
    session->caching = false;
    fb_queued_close(&session->queued);
    show_queued(session);
    return FB_OK;
}

// ---- feeding

// Fetches overlap with each other, but not with a change that waits: they would find what it was to
// take away. (It is the last slot, as nothing has begun behind it.)
static bool must_wait(const fb_session *session, const fb_command *command) {
    return !fb_list_empty(&session->slots) &&
           (command == NULL || (command->flags & FB_COMMAND_OVERLAP) == 0 || slots_full(session) ||
            FB_LIST_OF(session->slots.prev, fb_slot, list)->alone);
}

// The last thing said before the end, behind all replies still to come.
static void say_protocol_error(fb_session *session, const fb_error *error) {
    session->ending = true;
    fb_slot *slot = take_slot(session);
    if (slot == NULL) {
        return;
    }
    fb_reply_error(&slot->reply, "ERR %s", error->text);
    slot->done = true;
    queue_slot(session, slot);
    session->slot_bytes += slot->bytes.len;
    collect(session);
}

// A browser can be made to send any text to a port of its own machine, in the body of a POST; what
// it sends before that is these words. Redis hangs up on them, and so do we.
static bool is_http(const fb_command *found, fb_str name) {
    return found == NULL &&
           (fb_str_same(name, FB_STR("POST")) || fb_str_same(name, FB_STR("Host:")));
}

static void hang_up(fb_session *session) {
    fb_log(FB_LOG_WARN, "http_on_resp_port", "peer=%s hint=\"HTTP has a port of its own\"",
           fb_log_quote(fb_str_of(session->peer), FB_LOG_KEY_MAX).text);
    session->ending = true;
}

// GETs that follow each other in the input: read ahead, so that the waits of all for memory
// overlap, then run one by one. What is not run after all (enough was said) is read again later.
enum { GETS_MAX = 16 };

typedef struct gets {
    fb_str args[GETS_MAX][2];
    size_t ends[GETS_MAX];  // in the input
    size_t count;
    bool cut;  // the input ends within the next command
} gets;

static bool may_gather(const fb_session *session) {
    return fb_list_empty(&session->slots) && !session->queued.open &&
           session->exec == FB_EXEC_NONE && session->replies == FB_REPLIES_ON;
}

// Adds what the reader has; false: it is no GET, or not to be kept while the next is read.
static bool add_get(const fb_session *session, fb_str input, size_t len, gets *list) {
    const fb_resp_command *reader = &session->reader;
    if (reader->arg_count != 2 || !fb_str_same(reader->args[0], FB_STR("GET")) ||
        reader->args[1].ptr < input.ptr || reader->args[1].ptr >= input.ptr + input.len) {
        return false;
    }
    size_t start = list->count > 0 ? list->ends[list->count - 1] : 0;
    list->args[list->count][0] = FB_STR("GET");  // not as it was said: a quoted word does not stay
    list->args[list->count][1] = reader->args[1];
    list->ends[list->count++] = start + len;
    return true;
}

static void read_ahead(fb_session *session, fb_str input, gets *list) {
    ssize_t len = 1;
    while (len > 0 && list->count < GETS_MAX && list->ends[list->count - 1] < input.len) {
        size_t end = list->ends[list->count - 1];
        fb_error error;
        len = fb_resp_command_read(&session->reader, fb_str_make(input.ptr + end, input.len - end),
                                   &session->limits, &error);
        if (len > 0 && !add_get(session, input, (size_t)len, list)) {
            len = -1;
        }
    }
    list->cut = len == 0;
}

// `list` has the first. Returns how many bytes were run.
static size_t run_gets(fb_session *session, fb_str input, gets *list, size_t out_max,
                       const fb_command *found) {
    fb_str keys[GETS_MAX];
    read_ahead(session, input, list);
    for (size_t i = 0; i < list->count; i++) {
        keys[i] = list->args[i][1];
    }
    if (list->count > 1) {
        fb_prefetch(session->node->engine, keys, list->count);
    }
    size_t done = 0;
    do {
        run(session, list->args[done], 2, found);
        done++;
    } while (done < list->count && !session->ending && session->out.len < out_max);
    if (!list->cut || done < list->count) {
        fb_resp_command_reset(&session->reader);  // what it stopped in is read from its start again
    }
    return list->ends[done - 1];
}

// One command, or several GETs: FB_OK (*used grew, or the session ends), FB_MISS (there is no whole
// one), FB_PENDING.
static int step(fb_session *session, fb_str rest, size_t out_max, size_t *used, bool *slow) {
    gets list;
    fb_error error;
    list.count = 0;
    *slow = false;
    ssize_t len = fb_resp_command_read(&session->reader, rest, &session->limits, &error);
    if (len == 0) {
        return FB_MISS;
    }
    if (len < 0) {
        if (len == FB_ETOOBIG) {
            atomic_fetch_add_explicit(&session->node->closed_query, 1, memory_order_relaxed);
        }
        say_protocol_error(session, &error);
        return FB_OK;
    }
    if (session->reader.arg_count > 0) {
        const fb_command *found = fb_command_find(session->reader.args[0]);
        if (must_wait(session, found)) {
            session->held = true;
            return FB_PENDING;
        }
        if (is_http(found, session->reader.args[0])) {
            hang_up(session);
            return FB_OK;
        }
        if ((size_t)len < rest.len && may_gather(session) &&
            add_get(session, rest, (size_t)len, &list)) {
            *used += run_gets(session, rest, &list, out_max, found);
            return FB_OK;
        }
        run(session, session->reader.args, session->reader.arg_count, found);
        *slow = found == NULL ||
                (found->flags & (FB_COMMAND_FAST | FB_COMMAND_DENYOOM | FB_COMMAND_OVERLAP)) == 0;
    }
    *used += (size_t)len;
    return FB_OK;
}

// One command is as long as it is, but thousands of slow ones in a pipeline must not keep the loop
// from the other connections. Asking the clock takes longer than the quick ones do.
static bool took_long(const fb_session *session, int64_t begun_us) {
    int64_t took_us = session->node->wall_us() - begun_us;
    return took_us < 0 || took_us > FB_SESSION_FEED_US;
}

static int feed(fb_session *session, fb_str input, size_t *used, int64_t begun_us) {
    size_t start = session->out.len;
    bool slow = false;
    while (!session->ending) {
        if (session->held) {
            return FB_PENDING;
        }
        if (session->exec != FB_EXEC_NONE) {
            slow = true;
            if (run_queued(session) != FB_OK) {
                return FB_PENDING;
            }
            continue;
        }
        if (*used == input.len) {
            return FB_OK;
        }
        if (session->out.len >= start + FB_SESSION_PACE_LEN ||
            (slow && took_long(session, begun_us))) {
            return FB_REFUSED;
        }
        int result = step(session, fb_str_make(input.ptr + *used, input.len - *used),
                          start + FB_SESSION_PACE_LEN, used, &slow);
        if (result != FB_OK) {
            return result == FB_MISS ? FB_OK : result;
        }
    }
    return fb_list_empty(&session->slots) ? FB_ECLOSED : FB_PENDING;
}

// ---- notices (node/tracking.h), at the end of a turn

// Whether any reply that is still to come is of something that a notice may be about, or part of an
// array that has been begun.
static bool owes_reads(const fb_session *session, bool *in_exec) {
    bool reads = false;
    FB_LIST_EACH(node, &session->slots) {
        const fb_slot *slot = FB_LIST_OF(node, fb_slot, list);
        reads = reads || slot->wait == NULL;
        *in_exec = *in_exec || slot->in_exec;
    }
    return reads;
}

// Behind all replies that are still to come.
static void push_behind(fb_session *session, fb_str bytes) {
    bool alone = FB_LIST_OF(session->slots.prev, fb_slot, list)->alone;
    fb_slot *slot = take_slot(session);
    if (slot == NULL || fb_buf_append(&slot->bytes, bytes) < 0) {
        session->ending = true;  // without it the client would keep what is old
        if (slot != NULL) {
            recycle_slot(session, slot);
        }
        return;
    }
    slot->done = true;
    slot->alone = alone;  // nothing begins before that one is done, still
    queue_slot(session, slot);
    session->slot_bytes += slot->bytes.len;
}

// What is known to be old must be said now, also where a reply before it waits for hours; where that
// reply may be just as old, it is said once more behind it. However much is unsent: there may be no other
// turn for long, as what is said in one's own turn asks for none. (The door makes none while too much is.)
static void push_notices(fb_session *session) {
    bool in_exec = false;
    bool reads = owes_reads(session, &in_exec);
    size_t start = session->out.len;
    size_t behind = reads || in_exec ? session->slot_bytes : 0;
    if (session->ending || session->exec != FB_EXEC_NONE || behind > NOTICES_BEHIND_MAX ||
        fb_tracking_write(session, &session->out) < 0) {
        return;  // at the next turn
    }
    if ((reads || in_exec) && session->out.len > start) {
        push_behind(session, fb_str_make(session->out.ptr + start, session->out.len - start));
    }
    if (in_exec) {
        session->out.len = start;
    }
}

static int take_turn(fb_session *session, fb_str input, size_t *used, int64_t now_us) {
    fb_node *node = session->node;
    fb_turn_enter(node, session->lane);
    fb_tracking_turn(session);
    session->feeding = true;
    int result = feed(session, input, used, now_us);
    session->feeding = false;
    fb_session_release(session);
    if (fb_tracking_waiting(session)) {
        push_notices(session);
    }
    fb_tracking_turn(NULL);
    fb_turn_leave(node, session->lane);
    if (result == FB_ECLOSED) {
        fb_tracking_retire(session);
    }
    return result;
}

// They may be changed between two turns; a command that has begun goes on by the new ones.
static void set_limits(fb_session *session) {
    const fb_doors *doors = &session->node->doors;
    uint64_t query = atomic_load_explicit(&doors->query_max, memory_order_relaxed);
    uint64_t bulk = atomic_load_explicit(&doors->bulk_max, memory_order_relaxed);
    session->limits = FB_RESP_LIMITS_DEFAULT;
    session->limits.query_len_max = query > 0 ? query : session->limits.query_len_max;
    session->limits.bulk_len_max = bulk > 0 ? bulk : session->limits.bulk_len_max;
}

int fb_session_feed(fb_session *session, fb_str input, size_t *used) {
    FB_ASSERT(!session->feeding);
    *used = 0;
    fb_node *node = session->node;
    uint64_t before = session->run_count;
    int64_t now_us = node->wall_us();
    if (fb_session_is_killed(session)) {
        session->ending = true;
        fb_tracking_retire(session);
        return FB_ECLOSED;
    }
    set_limits(session);
    atomic_store_explicit(&session->shown_input, input.len, memory_order_relaxed);
    int result = take_turn(session, input, used, now_us);
    atomic_store_explicit(&session->shown_input, 0, memory_order_relaxed);
    atomic_store_explicit(&session->shown_blocked, fb_session_is_blocked(session),
                          memory_order_relaxed);
    if (session->run_count != before) {
        atomic_fetch_add_explicit(&node->commands, session->run_count - before,
                                  memory_order_relaxed);
        atomic_store_explicit(&session->used_us, now_us, memory_order_relaxed);
    }
    return result;
}

fb_buf *fb_session_out(fb_session *session) {
    return &session->out;
}

bool fb_session_is_killed(const fb_session *session) {
    return (atomic_load_explicit(&session->wanted, memory_order_relaxed) & FB_WANTED_END) != 0;
}

bool fb_session_waits(const fb_session *session) {
    return !fb_list_empty(&session->slots);
}

size_t fb_session_wants(const fb_session *session) {
    return fb_resp_command_wants(&session->reader);
}

static fb_slot *blocked_slot(const fb_session *session) {
    FB_LIST_EACH_SAFE(node, after, &session->slots) {
        fb_slot *slot = FB_LIST_OF(node, fb_slot, list);
        if (slot->wait != NULL && !slot->done) {
            return slot;
        }
    }
    return NULL;
}

bool fb_session_is_blocked(const fb_session *session) {
    return blocked_slot(session) != NULL;
}

static void unblock(fb_node *node, fb_slot *slot) {
    struct fb_queue_wait *wait = slot->wait;
    slot->wait = NULL;
    slot->stopped = true;
    fb_queue_stop(node->engine, wait);
}

void fb_session_unblock(fb_session *session) {
    FB_ASSERT(!session->feeding);
    fb_slot *slot;
    while ((slot = blocked_slot(session)) != NULL) {
        slot->by_error = session->by_error;
        unblock(session->node, slot);
    }
}

const char *fb_session_peer(const fb_session *session) {
    return session->peer;
}

// ---- its life

int fb_session_new(fb_node *node, fb_str peer, fb_session_wake_fn wake, void *arg,
                   fb_session **out) {
    fb_session *session = fb_mem_zero(1, sizeof *session);
    if (session == NULL) {
        return FB_ENOMEM;
    }
    session->peer = fb_mem_text(peer);
    if (session->peer == NULL) {
        fb_mem_free(session);
        return FB_ENOMEM;
    }
    session->node = node;
    session->wake = wake;
    session->wake_arg = arg;
    fb_list_init(&session->slots);
    session->encoding = FB_ENCODING_RESP2;
    atomic_init(&session->shown_encoding, FB_ENCODING_RESP2);
    atomic_init(&session->shown_queued, -1);
    session->id = atomic_fetch_add_explicit(&node->next_client_id, 1, memory_order_relaxed) + 1;
    session->created_us = node->wall_us();
    atomic_init(&session->used_us, session->created_us);
    atomic_init(&session->last, NULL);
    fb_session_be_first(session);
    session->loop = node->engine != NULL ? fb_loop_current(node->engine) : -1;
    session->lane = fb_turn_lane(node);
    fb_session_enter_list(session);
    *out = session;
    return FB_OK;
}

// A slot whose answer is still to come is left to that answer.
static void leave_slots(fb_session *session) {
    FB_LIST_EACH_SAFE(node, after, &session->slots) {
        fb_slot *slot = FB_LIST_OF(node, fb_slot, list);
        fb_list_remove(&slot->list);
        slot->session = NULL;
        if (slot->done) {
            free_slot(slot);
        } else if (slot->wait != NULL) {
            unblock(session->node, slot);
        }
    }
}

void fb_session_free(fb_session *session) {
    if (session == NULL) {
        return;
    }
    FB_ASSERT(!session->feeding);
    fb_session_leave_list(session);
    fb_tracking_leave(session);
    fb_session_unwatch(session);
    leave_slots(session);
    if (session->spare != NULL) {
        free_slot(session->spare);
    }
    fb_queued_release(&session->queued);
    fb_resp_command_release(&session->reader);
    fb_buf_release(&session->out);
    fb_buf_release(&session->name);
    fb_buf_release(&session->library);
    fb_buf_release(&session->library_version);
    fb_user_give(session->user);
    fb_mem_free(session->peer);
    fb_mem_free(session);
}
