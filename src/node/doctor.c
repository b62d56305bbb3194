// Findings are said one by one by small functions, each about one area; the map collects them first,
// since its state, the worst of all, comes before them.
//
// Sources have no connection that could be asked how it is: SQLite's are files, and a query of ours would
// be one more in their queue. What the loads of the last minute came to is known, and that is said.

#include "node/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/units.h"
#include "node/command_table.h"
#include "node/later.h"
#include "node/roll.h"
#include "node/say.h"
#include "node/session_state.h"
#include "node/watch.h"

enum { TEXT_SIZE = 400 };
static const int64_t LAG_WARN_NS = 200 * FB_NS_PER_MS, LAG_FAIL_NS = 5 * FB_NS_PER_S;
static const int64_t QUEUE_OLD_MS = 60000;

typedef struct doctor {
    fb_node *node;
    fb_finding_fn fn;
    void *arg;
} doctor;

const char *fb_finding_state_name(fb_finding_state state) {
    static const char *const names[] = {
        [FB_FINDING_OK] = "ok", [FB_FINDING_WARN] = "warn", [FB_FINDING_FAIL] = "fail"};
    return names[state];
}

void fb_finding_say(fb_finding_fn fn, void *arg, const fb_finding *what, const char *format, ...) {
    char text[TEXT_SIZE];
    fb_finding one = *what;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    one.text = text;
    one.change = one.change != NULL ? one.change : "";
    fn(arg, &one);
}

#define SAY(self, area_, name_, state_, change_, ...)                                      \
    fb_finding_say((self)->fn, (self)->arg,                                                \
                   &(fb_finding){.area = (area_), .name = (name_), .state = (state_),      \
                                 .change = (change_)},                                     \
                   __VA_ARGS__)

// ---- the shared tier

static fb_finding_state state_of_shared(const fb_shared_info *shared) {
    switch (shared->state) {
        case FB_SHARED_AWAY:
            return FB_FINDING_FAIL;
        case FB_SHARED_CATCHING_UP:
            return FB_FINDING_WARN;
        default:
            return FB_FINDING_OK;
    }
}

static void look_at_shared(const doctor *self, const fb_shared_info *shared) {
    if (shared->state == FB_SHARED_NONE) {
        SAY(self, "redis", "connection", FB_FINDING_OK, "", "none is configured (redis.url)");
        return;
    }
    bool away = shared->state == FB_SHARED_AWAY;
    SAY(self, "redis", "connection", state_of_shared(shared),
        away ? "start it, or mend the way to it; memory and the sources answer meanwhile" : "",
        "%s at %s%s%s%s%s", fb_say_shared_state(shared->state), shared->address,
        shared->server[0] != '\0' ? " (" : "", shared->server,
        shared->server[0] != '\0' ? ")" : "", shared->why[0] != '\0' && away ? ": " : "");
    if (shared->why[0] != '\0' && state_of_shared(shared) != FB_FINDING_OK) {
        SAY(self, "redis", "reason", state_of_shared(shared), "", "%s", shared->why);
    }
    for (uint32_t i = 0; i < shared->unfit_count; i++) {
        SAY(self, "redis", "settings", FB_FINDING_WARN, "set it on that server", "%s",
            shared->unfit[i]);
    }
    if (shared->owed > 0) {
        SAY(self, "redis", "owed", FB_FINDING_WARN, "they are told as soon as it is there",
            "%llu changes have not been told to it yet", (unsigned long long)shared->owed);
    }
}

// ---- sources

static void look_at_source(const doctor *self, const fb_cache_figures *figures) {
    bool all = figures->load_failures >= figures->loads;
    bool some = figures->load_failures > 0;
    if (figures->loads == 0) {
        return;
    }
    SAY(self, "sources", figures->name,
        all ? FB_FINDING_FAIL : some ? FB_FINDING_WARN : FB_FINDING_OK,
        some ? "look for load_failed in the log" : "",
        "%llu loads in the last minute, %llu failed, p95 %.1f ms",
        (unsigned long long)figures->loads, (unsigned long long)figures->load_failures,
        figures->load.p95_ms);
}

static void look_at_sources(const doctor *self, const fb_stats *minute) {
    size_t count = 0;
    for (size_t i = 0; i < minute->class_count; i++) {
        count += minute->classes[i].has_source;
        look_at_source(self, &minute->classes[i]);
    }
    SAY(self, "sources", "loads", FB_FINDING_OK, "", "%zu classes have one; %llu loads run, %llu wait",
        count, (unsigned long long)minute->loads_running,
        (unsigned long long)minute->loads_waiting);
}

// ---- queues, mail

static void look_at_queue(const doctor *self, const fb_queue_figures *queue) {
    char age[48];
    const fb_queue_look *look = &queue->look;
    if (!queue->reachable) {
        SAY(self, "queues", queue->name, FB_FINDING_FAIL, "bring its store back",
            "its store does not answer");
        return;
    }
    bool old = look->oldest_ms >= QUEUE_OLD_MS;
    SAY(self, "queues", queue->name, old || look->paused ? FB_FINDING_WARN : FB_FINDING_OK,
        look->paused ? "forebay jobs resume" : old ? "more workers" : "",
        "%llu ready, %llu scheduled, %llu leased, %llu dead%s%s%s",
        (unsigned long long)look->counts[FB_JOB_READY],
        (unsigned long long)look->counts[FB_JOB_SCHEDULED],
        (unsigned long long)look->counts[FB_JOB_LEASED],
        (unsigned long long)look->counts[FB_JOB_DEAD], old ? ", the oldest since " : "",
        old ? fb_units_show_duration(look->oldest_ms / 1000 * FB_NS_PER_S, age, sizeof age) : "",
        look->paused ? ", paused" : "");
}

static void look_at_queues(const doctor *self, const fb_queue_figures *queues, size_t count) {
    char why[256] = "";
    bool healthy = fb_queue_healthy(self->node->engine, NULL, why);
    SAY(self, "queues", "store", healthy ? FB_FINDING_OK : FB_FINDING_FAIL,
        healthy ? "" : "jobs are refused until it is mended", "%s%s%s",
        fb_queue_store_name(self->node->engine), healthy ? ", takes jobs" : ": ",
        healthy ? "" : why);
    for (size_t i = 0; i < count; i++) {
        look_at_queue(self, &queues[i]);
    }
}

static void look_at_relay(void *arg, const fb_mail_figures *relay) {
    const doctor *self = arg;
    SAY(self, "mail", relay->relay, relay->up ? FB_FINDING_OK : FB_FINDING_FAIL,
        relay->up ? "" : "forebay mail test", "%s%s%s; %llu sent, %llu refused",
        relay->up ? "up" : "paused", relay->up ? "" : ": ", relay->why,
        (unsigned long long)relay->sent, (unsigned long long)relay->refused);
}

// ---- the process

static void look_at_memory(const doctor *self, const fb_stats *stats) {
    char used[48];
    char limit[48];
    SAY(self, "memory", "tier", FB_FINDING_OK, "", "%s of %s, %llu entries",
        fb_units_about_bytes(stats->memory_bytes, used, sizeof used),
        fb_units_show_bytes(stats->memory_limit_bytes, limit, sizeof limit),
        (unsigned long long)stats->entries);
    fb_region_info region;
    fb_region_info_read(self->node->engine, &region);
    if (region.file != NULL) {
        SAY(self, "memory", "region", FB_FINDING_OK, "", "shared with other processes in %s",
            region.file);
    }
}

static void look_at_loops(const doctor *self, const fb_stats *stats) {
    int64_t lag_ns = atomic_load_explicit(&self->node->loop_lag_ns, memory_order_relaxed);
    fb_finding_state state = lag_ns >= LAG_FAIL_NS   ? FB_FINDING_FAIL
                             : lag_ns >= LAG_WARN_NS ? FB_FINDING_WARN
                                                     : FB_FINDING_OK;
    SAY(self, "loops", "turning", state,
        state != FB_FINDING_OK ? "something blocks them: a loader of your own, or too few processors"
                               : "",
        "%u loops, %u workers; the slowest sign of life took %lld ms", stats->loops,
        stats->workers, (long long)(lag_ns / FB_NS_PER_MS));
}

// One that is off is worth a line only where it is usually on.
static void look_at_door(const doctor *self, const char *name, const char *address, bool usual) {
    bool open = address != NULL && address[0] != '\0';
    if (open || usual) {
        SAY(self, "doors", name, FB_FINDING_OK, "", "%s", open ? address : "off");
    }
}

static void look_at_doors(const doctor *self) {
    fb_node *node = self->node;
    uint64_t open = node->connections;
    uint64_t max = node->connections_max;
    uint64_t refused = node->connections_refused;
    bool nearly = max > 0 && open >= max - max / 10;
    look_at_door(self, "resp", node->resp_address, true);
    look_at_door(self, "http", node->http_address, true);
    look_at_door(self, "resp_tls", node->resp_tls_address, false);
    look_at_door(self, "http_tls", node->http_tls_address, false);
    look_at_door(self, "socket", node->socket_path, false);
    SAY(self, "doors", "connections", nearly || refused > 0 ? FB_FINDING_WARN : FB_FINDING_OK,
        nearly || refused > 0 ? "raise listen.connections, or have clients share theirs" : "",
        "%llu open of %llu, %llu refused", (unsigned long long)open, (unsigned long long)max,
        (unsigned long long)refused);
}

static void look_at_targets(const doctor *self, int64_t now_ns) {
    const fb_watch *watch = self->node->watch;
    fb_stats none = {0};
    fb_target targets[FB_TARGET_COUNT];
    fb_advice_targets(&none, targets);
    for (size_t i = 0; i < FB_TARGET_COUNT && watch != NULL; i++) {
        char since[48];
        fb_watched is = fb_watch_read(watch, i, now_ns);
        bool missed = is.met == FB_MET_NO;
        SAY(self, "targets", targets[i].name, missed ? FB_FINDING_WARN : FB_FINDING_OK,
            missed ? "see the recommendations" : "", "%s%s%s",
            is.met == FB_MET_UNKNOWN ? "too little to judge by yet" : fb_met_name(is.met),
            missed ? " for " : "",
            missed ? fb_units_show_duration(is.for_ms / 1000 * FB_NS_PER_S, since, sizeof since)
                   : "");
    }
}

void fb_doctor_look(fb_node *node, const fb_queue_figures *queues, size_t queue_count,
                    fb_finding_fn fn, void *arg) {
    doctor self = {.node = node, .fn = fn, .arg = arg};
    fb_stats minute;
    if (fb_stats_read_over(node->engine, FB_WINDOW_MINUTE, &minute) < 0) {
        SAY(&self, "memory", "process", FB_FINDING_FAIL, "end something else on this machine",
            "there is no memory left to look at the figures");
        return;
    }
    look_at_shared(&self, &minute.shared);
    look_at_sources(&self, &minute);
    look_at_queues(&self, queues, queue_count);
    if (fb_mail_figures_read(node->engine, look_at_relay, &self) < 0) {
        SAY(&self, "mail", "relays", FB_FINDING_WARN, "", "there is no memory left to look at them");
    }
    look_at_memory(&self, &minute);
    look_at_loops(&self, &minute);
    look_at_doors(&self);
    look_at_targets(&self, node->now_ns != NULL ? node->now_ns() : 0);
    if (node->examine != NULL) {
        const fb_config *config = fb_node_config_take(node);
        node->examine(config, fn, arg);
        fb_node_config_give(node);
    }
    fb_stats_release(&minute);
}

// ---- as a map

enum { NAME_SIZE = 80 };

// Findings and recommendations are kept first: how many there are, and the worst, come before them.
typedef struct kept {
    fb_finding_state state;
    char area[NAME_SIZE], name[NAME_SIZE], text[TEXT_SIZE], change[TEXT_SIZE];
} kept;

typedef struct vector {
    void *items;
    size_t item_size, count, room;
    bool failed;
} vector;

// Room for one more, or NULL.
static void *grow(vector *to) {
    if (to->count == to->room && !to->failed) {
        size_t room = to->room > 0 ? 2 * to->room : 16;
        void *items = fb_mem_resize(to->items, room * to->item_size);
        to->failed = items == NULL;
        to->items = items != NULL ? items : to->items;
        to->room = items != NULL ? room : to->room;
    }
    return to->failed ? NULL : (char *)to->items + to->count++ * to->item_size;
}

static void keep_finding(void *arg, const fb_finding *finding) {
    kept *one = grow(arg);
    if (one != NULL) {
        one->state = finding->state;
        (void)snprintf(one->area, sizeof one->area, "%s", finding->area);
        (void)snprintf(one->name, sizeof one->name, "%s",
                       finding->name[0] != '\0' ? finding->name : "(plain keys)");
        (void)snprintf(one->text, sizeof one->text, "%s", finding->text);
        (void)snprintf(one->change, sizeof one->change, "%s", finding->change);
    }
}

static void keep_advice(void *arg, const fb_advice *advice) {
    fb_advice *one = grow(arg);
    if (one != NULL) {
        *one = *advice;
    }
}

static void keep_limit(void *arg, const fb_limit_figures *figures) {
    fb_limit_figures *one = grow(arg);
    if (one != NULL) {
        *one = *figures;
    }
}

static void say_findings(fb_reply *reply, const vector *findings) {
    fb_reply_text(reply, "findings");
    fb_reply_array(reply, findings->count);
    for (size_t i = 0; i < findings->count; i++) {
        const kept *one = (const kept *)findings->items + i;
        fb_reply_map(reply, 5);
        fb_say_text(reply, "area", one->area);
        fb_say_text(reply, "name", one->name);
        fb_say_text(reply, "state", fb_finding_state_name(one->state));
        fb_say_text(reply, "text", one->text);
        fb_say_text(reply, "change", one->change);
    }
}

static void say_advice(fb_reply *reply, const vector *advice) {
    fb_reply_text(reply, "advice");
    fb_reply_array(reply, advice->count);
    for (size_t i = 0; i < advice->count; i++) {
        const fb_advice *one = (const fb_advice *)advice->items + i;
        char text[FB_ADVICE_SIZE];
        fb_reply_map(reply, 7);
        fb_say_text(reply, "rule", one->rule);
        fb_say_text(reply, "level", fb_advice_level_name(one->level));
        fb_say_text(reply, "about", one->about);
        fb_say_text(reply, "figure", one->figure);
        fb_say_text(reply, "reason", one->reason);
        fb_say_text(reply, "change", one->change);
        fb_say_text(reply, "text", fb_advice_text(one, text));
    }
}

static fb_finding_state worst_of(const vector *findings) {
    fb_finding_state worst = FB_FINDING_OK;
    for (size_t i = 0; i < findings->count; i++) {
        fb_finding_state state = ((const kept *)findings->items + i)->state;
        worst = state > worst ? state : worst;
    }
    return worst;
}

int fb_doctor_say(fb_node *node, const fb_queue_figures *queues, size_t queue_count,
                  fb_reply *reply) {
    vector findings = {.item_size = sizeof(kept)};
    vector advice = {.item_size = sizeof(fb_advice)};
    vector limits = {.item_size = sizeof(fb_limit_figures)};
    fb_stats stats;
    int result = fb_stats_read(node->engine, &stats);
    if (result < 0) {
        return result;
    }
    fb_doctor_look(node, queues, queue_count, keep_finding, &findings);
    result = fb_limit_figures_read(node->engine, keep_limit, &limits);
    if (result == FB_OK) {
        fb_advice_basis basis = {.stats = &stats,
                                 .queues = queues,
                                 .queue_count = queue_count,
                                 .limits = limits.items,
                                 .limit_count = limits.count};
        fb_advice_each(&basis, keep_advice, &advice);
    }
    if (findings.failed || advice.failed || limits.failed || result < 0) {
        result = FB_ENOMEM;
    } else {
        fb_reply_map(reply, 6);
        fb_say_text(reply, "version", fb_version());
        fb_say_integer(reply, "uptime_ms", stats.uptime_ms);
        fb_say_integer(reply, "process", node->process_id);
        fb_say_text(reply, "state", fb_finding_state_name(worst_of(&findings)));
        say_findings(reply, &findings);
        say_advice(reply, &advice);
    }
    fb_mem_free(findings.items);
    fb_mem_free(advice.items);
    fb_mem_free(limits.items);
    fb_stats_release(&stats);
    return result;
}

// ---- FB.DOCTOR

static void answer(void *arg, int result, const fb_queue_figures *queues, size_t count) {
    fb_slot *slot = arg;
    if (slot->session != NULL) {
        fb_node *node = slot->session->node;
        result = result < 0 ? result : fb_doctor_say(node, queues, count, slot->target);
        if (result < 0) {
            fb_reply_error(slot->target, "%s %s", fb_command_code(result), fb_result_text(result));
        }
    }
    fb_slot_finish(slot);
}

void fb_verb_doctor(fb_command_call *call) {
    fb_slot *slot = fb_session_slot(call);
    if (slot == NULL) {
        fb_command_failed(call, FB_ENOMEM, NULL);
        return;
    }
    slot->alone = true;
    fb_roll_read(call->node->engine, answer, slot);
    call->outcome = slot->done ? FB_OK : FB_PENDING;
}

// ---- GET /v1/doctor

typedef struct visit {
    fb_later later;
    fb_node *node;
} visit;

static void answer_visit(void *arg, int result, const fb_queue_figures *queues, size_t count) {
    visit *one = arg;
    fb_http_response *response = one->later.target;
    if (result == FB_OK) {
        fb_reply reply;
        fb_http_json(response, 200, &reply);
        fb_http_header_add(response, "Cache-Control", "no-store");
        result = fb_doctor_say(one->node, queues, count, &reply);
        result = result == FB_OK ? fb_http_json_end(&reply) : result;
    }
    if (result < 0) {
        fb_http_failure(response, result, NULL);
    }
    if (fb_later_answered(&one->later)) {
        fb_mem_free(one);
    }
}

int fb_route_doctor(fb_http_call *call) {
    visit *one = fb_mem_new(sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->node = call->node;
    fb_later_begin(&one->later, call);
    fb_roll_read(call->node->engine, answer_visit, one);
    int result = fb_later_end(&one->later);
    if (result == FB_OK) {
        fb_mem_free(one);
    }
    return result;
}
