// Before jobs are put into a server it is asked whether it may lose them: once for each server and
// connection, through the same route and in front of the first job, so nobody waits twice. In a
// Cluster that is once for each slot, because which server has a slot is the route's matter.
//
// Evicting is what `allkeys-…` does. `volatile-…` takes only keys that end by themselves, which
// none of a queue does; so a server can be cache and queue in one.
//
// What may not be asked (an ACL, a provider without CONFIG) is read from INFO; what that does not
// say either counts as fit, and is logged once.

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "redis/queue_state.h"

static size_t place_of(const fb_queue_part *part) {
    return fb_route_server_count(part->tour->remote->route) > 1 ? part->slot : 0;
}

bool fb_queue_fit_is_known(const fb_queue_part *part) {
    const fb_queue_side *side = &part->tour->remote->queue;
    size_t place = place_of(part);
    return side->allow_volatile || (side->fit[place / 8] >> place % 8 & 1) != 0;
}

void fb_remote_queue_doubt(fb_remote *remote) {
    memset(remote->queue.fit, 0, sizeof remote->queue.fit);
}

typedef struct traits {
    fb_str policy;  // maxmemory-policy
    fb_str log;     // "yes" or "1": it writes one
} traits;

static void judge(fb_queue_part *part, const traits *of) {
    fb_queue_side *side = &part->tour->remote->queue;
    size_t place = place_of(part);
    char text[192];  // of health, and told to whoever asks: so it says what can be done

    if (fb_str_starts(of->policy, FB_STR("allkeys-"))) {
        snprintf(text, sizeof text, "the server may evict jobs (maxmemory-policy %.*s), which "
                 "queue.allow_volatile would allow",
                 (int)(of->policy.len < 64 ? of->policy.len : 64), of->policy.ptr);
        fb_queue_fit_found(part, FB_STORE_VOLATILE, text);
        return;
    }
    if (fb_str_equal(of->log, FB_STR("no")) || fb_str_equal(of->log, FB_STR("0"))) {
        fb_queue_fit_found(part, FB_STORE_VOLATILE,
                           "the server keeps no log of its own (appendonly no), which "
                           "queue.allow_volatile would allow");
        return;
    }
    if ((of->policy.len == 0 || of->log.len == 0) && !side->said_unknown) {
        side->said_unknown = true;
        fb_log(FB_LOG_WARN, "queue_fitness_unknown", "missing=%s",
               of->policy.len == 0 ? "maxmemory-policy" : "appendonly");
    }
    side->fit[place / 8] |= (uint8_t)(1U << place % 8);
    fb_queue_fit_found(part, FB_STORE_DONE, "");
}

// ---- INFO

static fb_str line_of(fb_str info, const char *name) {
    size_t name_len = strlen(name);

    while (info.len > 0) {
        size_t len = fb_str_find(info, '\n');
        fb_str line = fb_str_trim(fb_str_make(info.ptr, len));
        if (line.len > name_len && fb_str_starts(line, fb_str_of(name)) &&
            line.ptr[name_len] == ':') {
            return fb_str_make(line.ptr + name_len + 1, line.len - name_len - 1);
        }
        size_t used = len < info.len ? len + 1 : len;
        info = fb_str_make(info.ptr + used, info.len - used);
    }
    return FB_STR("");
}

// ---- CONFIG GET

static fb_str setting(const fb_resp_value *value, const char *name) {
    bool is_list = value->type == FB_RESP_MAP || value->type == FB_RESP_ARRAY;

    for (size_t i = 0; is_list && i + 1 < value->child_count; i += 2) {
        const fb_resp_value *said = &value->children[i + 1];
        if (value->children[i].type == FB_RESP_STRING && said->type == FB_RESP_STRING &&
            fb_str_equal(value->children[i].text, fb_str_of(name))) {
            return said->text;
        }
    }
    return FB_STR("");
}

static void on_said(void *arg, fb_conn_outcome outcome, const fb_resp_value *value,
                    const char *why) {
    fb_queue_part *part = arg;
    traits of = {FB_STR(""), FB_STR("")};

    if (outcome != FB_CONN_REPLIED) {
        fb_queue_fit_found(part, FB_STORE_FAILED, why);  // of the job nothing was sent
        return;
    }
    if (part->asked_info) {
        if (value->type == FB_RESP_STRING || value->type == FB_RESP_VERBATIM) {
            of = (traits){line_of(value->text, "maxmemory_policy"),
                          line_of(value->text, "aof_enabled")};
        }
        judge(part, &of);
        return;
    }
    of = (traits){setting(value, "maxmemory-policy"), setting(value, "appendonly")};
    if (of.policy.len > 0 && of.log.len > 0) {
        judge(part, &of);
        return;
    }
    part->asked_info = true;
    int result = fb_queue_fit_ask(part);
    if (result < 0) {
        fb_queue_fit_found(part, FB_STORE_FAILED, fb_result_text(result));
    }
}

int fb_queue_fit_ask(fb_queue_part *part) {
    const fb_str config[] = {FB_STR("CONFIG"), FB_STR("GET"), FB_STR("maxmemory-policy"),
                             FB_STR("appendonly")};
    const fb_str info[] = {FB_STR("INFO")};
    const fb_remote_command command = {.args = part->asked_info ? info : config,
                                       .arg_count = part->asked_info ? 1 : 4,
                                       .slot = part->slot,
                                       .repeatable = true,
                                       .deadline_ns = part->tour->deadline_ns,
                                       .fn = on_said,
                                       .arg = part};
    return fb_remote_send(part->tour->remote, &command);
}
