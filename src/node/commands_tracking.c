// CLIENT TRACKING and its kin, and the one channel that there is: in RESP2 nothing can be said unasked
// but a message of a channel, so a client of that keeps a second connection that is subscribed to
// FB_TRACKING_CHANNEL, and has its notices redirected there. forebay has no other publish and subscribe.

#include "node/command_table.h"

#include "base/mem.h"
#include "base/str.h"
#include "node/session_state.h"
#include "node/tracking.h"

enum { SHOWN_MAX = 128 };

static int shown(fb_str text) {
    return (int)(text.len < SHOWN_MAX ? text.len : SHOWN_MAX);
}

// ---- CLIENT TRACKING

typedef struct options {
    fb_tracking_wish wish;
    fb_str *prefixes;  // room for all words
    bool opt_in, opt_out;
} options;

static bool is_there(fb_node *node, int64_t id) {
    bool found = false;
    fb_node_sessions_lock(node);
    for (const fb_session *one = node->sessions; one != NULL && !found; one = one->next) {
        found = (int64_t)one->id == id;
    }
    fb_node_sessions_unlock(node);
    return found;
}

// Whoever is not there is told so before any other mistake, as Redis has it.
static bool read_redirect(fb_command_call *call, size_t at, options *of) {
    int64_t id = 0;
    if (of->wish.redirect != 0) {
        fb_reply_error(call->reply, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!fb_command_int(call, at, &id)) {
        return false;
    }
    if (!is_there(call->node, id)) {
        fb_reply_error(call->reply, "ERR The client ID you want redirect to does not exist");
        return false;
    }
    of->wish.redirect = (uint64_t)id;
    return true;
}

static bool read_options(fb_command_call *call, options *of) {
    for (size_t i = 3; i < call->arg_count; i++) {
        bool more = i + 1 < call->arg_count;
        if (more && fb_command_word(call, i, "REDIRECT")) {
            if (!read_redirect(call, ++i, of)) {
                return false;
            }
        } else if (more && fb_command_word(call, i, "PREFIX")) {
            of->prefixes[of->wish.prefix_count++] = call->args[++i];
        } else if (fb_command_word(call, i, "BCAST")) {
            of->wish.bcast = true;
        } else if (fb_command_word(call, i, "OPTIN")) {
            of->opt_in = true;
        } else if (fb_command_word(call, i, "OPTOUT")) {
            of->opt_out = true;
        } else if (fb_command_word(call, i, "NOLOOP")) {
            of->wish.noloop = true;
        } else {
            fb_command_syntax_error(call);
            return false;
        }
    }
    of->wish.prefixes = of->prefixes;
    return true;
}

// What does not go together, among the options and with what is in force.
static const char *conflict(const fb_session *session, const options *of,
                            const fb_tracking_state *now) {
    if (!of->wish.bcast && of->wish.prefix_count > 0) {
        return "PREFIX option requires BCAST mode to be enabled";
    }
    if (now->on && now->bcast != of->wish.bcast) {
        return "You can't switch BCAST mode on/off before disabling tracking for this client, and "
               "then re-enabling it with a different mode.";
    }
    if (of->wish.bcast && (of->opt_in || of->opt_out)) {
        return "OPTIN and OPTOUT are not compatible with BCAST";
    }
    if (of->opt_in && of->opt_out) {
        return "You can't specify both OPTIN mode and OPTOUT mode";
    }
    if ((of->opt_in && session->opt_out) || (of->opt_out && session->opt_in)) {
        return "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and "
               "then re-enabling it with a different mode.";
    }
    return NULL;
}

static bool overlap(fb_str one, fb_str two) {
    return fb_str_starts(one, two) || fb_str_starts(two, one);
}

typedef struct meeting {
    fb_str prefix;
    fb_str with;
    bool found;
} meeting;

static void meet(void *arg, fb_str prefix) {
    meeting *one = arg;
    if (!one->found && overlap(one->prefix, prefix)) {
        one->found = true;
        one->with = prefix;
    }
}

static bool prefixes_fit(fb_command_call *call, const options *of) {
    for (size_t i = 0; i < of->wish.prefix_count; i++) {
        meeting one = {.prefix = of->prefixes[i]};
        fb_tracking_prefixes(call->session, meet, &one);
        bool existing = one.found;
        for (size_t k = i + 1; k < of->wish.prefix_count && !one.found; k++) {
            meet(&one, of->prefixes[k]);
        }
        if (one.found) {
            fb_reply_error(call->reply,
                           "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. Prefixes for a single "
                           "client must not overlap.",
                           shown(one.prefix), one.prefix.ptr,
                           existing ? "an existing" : "another provided", shown(one.with),
                           one.with.ptr);
            return false;
        }
    }
    return true;
}

static void begin(fb_command_call *call, const options *of) {
    fb_session *session = call->session;
    int result = fb_tracking_begin(session, &of->wish);
    if (result == FB_MISS) {
        fb_reply_error(call->reply, "ERR The client ID you want redirect to does not exist");
    } else if (result < 0) {
        fb_command_failed(call, result, NULL);
    } else {
        session->tracks = !of->wish.bcast;
        session->opt_in = of->opt_in;
        session->opt_out = of->opt_out;
        fb_reply_status(call->reply, "OK");
    }
}

void fb_session_stop_tracking(fb_session *session) {
    fb_tracking_end(session);
    session->tracks = session->opt_in = session->opt_out = session->caching = false;
}

static void switch_on(fb_command_call *call, options *of) {
    fb_tracking_state now;
    fb_tracking_state_read(call->session, &now);
    const char *wrong = conflict(call->session, of, &now);
    if (wrong != NULL) {
        fb_reply_error(call->reply, "ERR %s", wrong);
    } else if (prefixes_fit(call, of)) {
        begin(call, of);
    }
}

void fb_client_tracking(fb_command_call *call) {
    options of = {.prefixes = fb_mem_zero(call->arg_count, sizeof(fb_str))};
    if (of.prefixes == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    if (!read_options(call, &of)) {
        // said
    } else if (fb_command_word(call, 2, "ON")) {
        switch_on(call, &of);
    } else if (fb_command_word(call, 2, "OFF")) {
        fb_session_stop_tracking(call->session);
        fb_reply_status(call->reply, "OK");
    } else {
        fb_command_syntax_error(call);
    }
    fb_mem_free(of.prefixes);
}

// ---- CACHING, GETREDIR, TRACKINGINFO

void fb_client_caching(fb_command_call *call) {
    fb_session *session = call->session;
    bool yes = fb_command_word(call, 2, "YES");
    fb_tracking_state now;
    fb_tracking_state_read(session, &now);
    if (!now.on) {
        fb_reply_error(call->reply,
                       "ERR CLIENT CACHING can be called only when the client is in tracking mode "
                       "with OPTIN or OPTOUT mode enabled");
    } else if (!yes && !fb_command_word(call, 2, "NO")) {
        fb_command_syntax_error(call);
    } else if (yes && !session->opt_in) {
        fb_reply_error(call->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled "
                                    "in OPTIN mode.");
    } else if (!yes && !session->opt_out) {
        fb_reply_error(call->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled "
                                    "in OPTOUT mode.");
    } else {
        session->caching = true;
        fb_reply_status(call->reply, "OK");
    }
}

void fb_client_getredir(fb_command_call *call) {
    fb_tracking_state now;
    fb_tracking_state_read(call->session, &now);
    fb_reply_integer(call->reply, now.on ? (int64_t)now.redirect : -1);
}

static size_t name_flags(const fb_session *session, const fb_tracking_state *now,
                         const char *names[8]) {
    size_t count = 0;
    names[count++] = now->on ? "on" : "off";
    if (now->bcast) {
        names[count++] = "bcast";
    }
    if (session->opt_in) {
        names[count++] = "optin";
        if (session->caching) {
            names[count++] = "caching-yes";
        }
    }
    if (session->opt_out) {
        names[count++] = "optout";
        if (session->caching) {
            names[count++] = "caching-no";
        }
    }
    if (now->noloop) {
        names[count++] = "noloop";
    }
    if (now->broken) {
        names[count++] = "broken_redirect";
    }
    return count;
}

static void write_prefix(void *arg, fb_str prefix) {
    fb_reply_bytes(arg, prefix);
}

void fb_client_trackinginfo(fb_command_call *call) {
    fb_tracking_state now;
    const char *names[8];
    fb_reply *reply = call->reply;
    fb_tracking_state_read(call->session, &now);
    size_t count = name_flags(call->session, &now, names);
    fb_reply_map(reply, 3);
    fb_reply_text(reply, "flags");
    fb_reply_set(reply, count);
    for (size_t i = 0; i < count; i++) {
        fb_reply_text(reply, names[i]);
    }
    fb_reply_text(reply, "redirect");
    fb_reply_integer(reply, now.on ? (int64_t)now.redirect : -1);
    fb_reply_text(reply, "prefixes");
    fb_reply_array(reply, now.prefix_count);
    fb_tracking_prefixes(call->session, write_prefix, reply);
}

// ---- the channel

// One message about it: to RESP3 clients these come as pushes.
static void say(fb_command_call *call, const char *what, const fb_str *channel, bool subscribed) {
    fb_reply_push(call->reply, 3);
    fb_reply_text(call->reply, what);
    if (channel != NULL) {
        fb_reply_bytes(call->reply, *channel);
    } else {
        fb_reply_null(call->reply);
    }
    fb_reply_integer(call->reply, subscribed);
}

static bool is_channel(fb_str name) {
    return fb_str_equal(name, FB_STR(FB_TRACKING_CHANNEL));
}

void fb_pubsub_subscribe(fb_command_call *call) {
    for (size_t i = 1; i < call->arg_count; i++) {
        if (!is_channel(call->args[i])) {
            fb_reply_error(call->reply,
                           "ERR there is no publish and subscribe here but the channel "
                           "'" FB_TRACKING_CHANNEL "'");
            return;
        }
    }
    for (size_t i = 1; i < call->arg_count; i++) {
        atomic_store(&call->session->subscribed, true);
        say(call, "subscribe", &call->args[i], true);
    }
}

void fb_pubsub_unsubscribe(fb_command_call *call) {
    fb_session *session = call->session;
    fb_str channel = FB_STR(FB_TRACKING_CHANNEL);
    bool subscribed = atomic_load(&session->subscribed);
    if (call->arg_count == 1) {
        say(call, "unsubscribe", subscribed ? &channel : NULL, false);
        atomic_store(&session->subscribed, false);
        return;
    }
    for (size_t i = 1; i < call->arg_count; i++) {
        if (is_channel(call->args[i])) {
            atomic_store(&session->subscribed, false);
        }
        say(call, "unsubscribe", &call->args[i], atomic_load(&session->subscribed));
    }
}
