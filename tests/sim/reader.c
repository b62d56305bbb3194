// Callers, as the engine has them: a look at memory on the caller's own thread; what cannot be
// answered there is handed over to the flights a little later. Some want no answer from the cache,
// bring their own loader, give up, or have little time.

#include <string.h>

#include "base/check.h"
#include "world.h"

// ---- asking

static int never_called(void *arg, const fb_load *load, fb_loaded *loaded) {
    (void)arg, (void)load, (void)loaded;
    return FB_ESOURCE;
}

static void loader_freed(void *arg) {
    world *w = arg;
    w->loaders_freed++;
}

static fb_loader make_loader(world *w) {
    w->loaders_given++;
    w->seen->own_loaders++;
    return (fb_loader){never_called, w, loader_freed};
}

static int ask(world *w, node *at, const fb_ask *question) {
    world_enter(w);
    int result = fb_flights_ask(at->flights, question, node_now(w, at));
    world_leave(w);
    if (result != FB_OK && result != FB_ENOMEM) {
        world_fail(w, "an ask gave %s", fb_result_name(result));
    }
    return result;
}

static void leave(world *w, void *arg) {
    caller *who = arg;
    if (who->state == READ_ASKED) {
        SAY(w, "n%u r%u leaves", who->at->index, who->index);
        who->state = READ_LEFT;
        w->seen->left++;
        fb_flights_leave(who->at->flights, who->index);
        node_drain(w, who->at);
    }
}

static void ask_waiting(world *w, void *arg) {
    caller *who = arg;
    if (who->state != READ_BEGUN) {
        return;  // its node has crashed
    }
    fb_ask question = {
        .class_ = who->at->classes[who->of->class_id],
        .bound = &who->of->bound[who->at->index],
        .waiter = who->index,
        .seq = who->seq,
        .begin_ns = who->begin_ns + who->at->ahead_ns,
        .timeout_ns = who->timeout_ns,
        .priority = FB_PRIORITY_USER,
        .refresh = who->refresh,
        .skip_memory = who->skips_memory,
        .distrust_memory = who->knows == KNOWS_OF_KEY,
        .ttl_ns = who->is_call ? who->window_ns : -1,
    };
    if (who->is_call || world_chance(w, w->is.loaders)) {
        question.loader = make_loader(w);
    }
    int64_t hard_ns = question.class_->options.hard_timeout_ns;
    who->state = READ_ASKED;
    who->ask_ns = w->now_ns;
    who->deadline_ns = who->begin_ns + (who->timeout_ns > 0 ? who->timeout_ns : hard_ns);
    who->versions_at_ask = who->of->version_count;
    w->asks++;
    SAY(w, "n%u r%u asks for %s%s", who->at->index, who->index, who->of->text,
        who->refresh ? " (refresh)" : "");
    if (ask(w, who->at, &question) < 0) {
        who->state = READ_ANSWERED;
        w->asks--;
        oracle_error(w, who, FB_ENOMEM);
    }
    if (who->state == READ_ASKED && world_chance(w, w->is.leaves)) {
        world_at(w, w->now_ns + world_delay(w, w->is.read_ns + w->is.reply_ns), leave, who);
    }
    node_drain(w, who->at);
}

typedef struct chore {  // an ask that nobody waits for
    node *at;
    uint32_t life;
    key *of;
    fb_priority priority;
    bool refresh;
} chore;

static void ask_alone(world *w, void *arg) {
    const chore *job = arg;
    if (!job->at->alive || job->at->life != job->life) {
        return;
    }
    fb_ask question = {
        .class_ = job->at->classes[job->of->class_id],
        .bound = &job->of->bound[job->at->index],
        .seq = fb_cache_seq(job->at->cache),
        .begin_ns = node_now(w, job->at),
        .priority = job->priority,
        .refresh = job->refresh,
        .ttl_ns = -1,
    };
    if (world_chance(w, w->is.loaders)) {
        question.loader = make_loader(w);
    }
    SAY(w, "n%u asks for %s, priority %d", job->at->index, job->of->text, (int)job->priority);
    (void)ask(w, job->at, &question);
    node_drain(w, job->at);
}

static void ask_later(world *w, node *at, key *of, fb_priority priority, bool refresh) {
    chore *job = world_new(w, sizeof *job);
    *job = (chore){at, at->life, of, priority, refresh};
    world_at(w, w->now_ns + world_delay(w, w->is.hand_over_ns), ask_alone, job);
}

// ---- beginning

typedef struct looked {
    uint32_t length;
    char bytes[32];
} looked;

// The bytes are lent; what they say is judged after the call, with what the cache says of them.
static void see(void *arg, const fb_value *value) {
    looked *at = arg;
    at->length = value->data.len < sizeof at->bytes ? (uint32_t)value->data.len : sizeof at->bytes;
    memcpy(at->bytes, value->data.ptr, at->length);
}

static void answer_from_memory(world *w, caller *who, const fb_found *found, const looked *at) {
    who->state = READ_ANSWERED;
    who->deadline_ns = INT64_MAX;
    who->from_memory = true;
    if (found->negative) {
        oracle_negative(w, who);
        return;
    }
    fb_value value = found->value;
    value.data = fb_str_make(at->bytes, at->length);
    oracle_value(w, who, &value);
}

static fb_find look(world *w, caller *who, fb_found *found, looked *at) {
    node *here = who->at;
    fb_find find =
        fb_cache_read(here->cache, who->of->name, node_now(w, here), &here->rng, see, at, found);
    SAY(w, "n%u r%u begins to read %s%s: %s", here->index, who->index, who->of->text,
        who->coherent ? "" : " (degraded)",
        (const char *const[]){"nothing", "fresh", "early", "stale", "fallback",
                              "hit-for-miss"}[find]);
    w->seen->degraded_reads += !who->coherent;
    w->seen->degraded_bypassed +=
        !who->coherent && find == FB_FIND_NOTHING && w->is.options.degraded == FB_DEGRADED_BYPASS;
    return find;
}

bool reader_look(world *w, caller *who) {
    fb_found found;
    looked at;
    fb_find find = look(w, who, &found, &at);
    if (find == FB_FIND_FRESH || find == FB_FIND_EARLY) {
        answer_from_memory(w, who, &found, &at);
        w->seen->hits++;
        return true;
    }
    return false;
}

static void fetch(world *w, caller *who) {
    fb_found found;
    looked at;
    fb_find find = look(w, who, &found, &at);
    if (find == FB_FIND_FRESH || find == FB_FIND_EARLY) {
        answer_from_memory(w, who, &found, &at);
        w->seen->hits++;
        if (find == FB_FIND_EARLY) {
            ask_later(w, who->at, who->of, FB_PRIORITY_EARLY, true);
            w->seen->early++;
        }
    } else if (find == FB_FIND_STALE && who->of->class_id != 0 && world_chance(w, 50)) {
        answer_from_memory(w, who, &found, &at);
        ask_later(w, who->at, who->of, FB_PRIORITY_REFRESH, true);
    } else {
        world_at(w, w->now_ns + world_delay(w, w->is.hand_over_ns), ask_waiting, who);
    }
}

caller *reader_new(world *w, node *at, key *of) {
    if (w->caller_count + 1 == READS_MAX || !at->alive) {
        return NULL;
    }
    uint32_t index = ++w->caller_count;  // 0 is nobody
    caller *who = &w->callers[index];
    *who = (caller){.index = index,
                    .state = READ_BEGUN,
                    .at = at,
                    .life = at->life,
                    .of = of,
                    .begin_step = w->step,
                    .begin_ns = w->now_ns,
                    .deadline_ns = INT64_MAX};
    who->seq = fb_cache_seq(at->cache);
    who->coherent = fb_cache_is_coherent(at->cache, of->name, node_now(w, at));
    return who;
}

void reader_begin(world *w, node *at, key *of, knowledge knows) {
    caller *who = reader_new(w, at, of);
    if (who == NULL) {
        return;
    }
    who->knows = knows;
    who->refresh = knows == KNOWS_OF_WIDE || world_chance(w, w->is.refreshes);
    who->skips_memory = w->is.remote && world_chance(w, w->is.refreshes);
    who->is_call = of->class_id == FB_CLASS_PLAIN;
    if (who->is_call) {
        who->refresh = false;
        who->window_ns = world_chance(w, 50) ? world_delay(w, w->is.options.memory_ttl_ns) : 0;
        w->seen->calls++;
    }
    if (world_chance(w, w->is.impatient)) {
        who->timeout_ns = 1 + world_delay(w, w->is.read_ns);
    }
    if (who->refresh || knows != KNOWS_NOTHING || who->skips_memory) {
        w->seen->refreshed += who->refresh;
        world_at(w, w->now_ns + world_delay(w, w->is.hand_over_ns), ask_waiting, who);
    } else {
        fetch(w, who);
    }
}

static void arrive(world *w, void *arg) {
    (void)arg;
    node *at = node_pick(w);
    key *of = &w->keys[world_pick(w, w->is.keys)];
    if (at == NULL) {
        return;
    }
    uint32_t crowd = world_chance(w, 20) ? 1 + world_pick(w, 6) : 1;
    for (uint32_t i = 0; i < crowd; i++) {
        client_begin(w, at, of, KNOWS_NOTHING);
    }
    if (of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.warms)) {
        ask_later(w, at, of, FB_PRIORITY_WARM, world_chance(w, 50));
        w->seen->warmed++;
    }
}

void reader_start(world *w) {
    for (uint32_t i = 0; i < w->is.reads; i++) {
        world_at(w, w->now_ns + world_delay(w, w->is.horizon_ns), arrive, NULL);
    }
}

void reader_last(world *w) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        for (uint32_t j = 0; j < w->is.keys; j++) {
            w->step++;
            client_begin(w, &w->nodes[i], &w->keys[j], KNOWS_NOTHING);
        }
        node_drain(w, &w->nodes[i]);
    }
}

void reader_crashed(world *w, node *at) {
    for (uint32_t i = 1; i <= w->caller_count; i++) {
        caller *who = &w->callers[i];
        if (who->at == at && who->life == at->life &&
            (who->state == READ_BEGUN || who->state == READ_ASKED)) {
            w->asks -= who->state == READ_ASKED && !who->of_shared;
            who->state = READ_LEFT;
        }
    }
}

// ---- answers

void reader_answered(world *w, node *at, const fb_action *action) {
    if (action->waiter == 0 || action->waiter > w->caller_count) {
        world_fail(w, "an answer for %llu, who never was", (unsigned long long)action->waiter);
    }
    caller *who = &w->callers[action->waiter];
    if (who->state != READ_ASKED || who->at != at) {
        world_fail(w, "r%u is answered, but does not wait (state %d)", who->index, (int)who->state);
    }
    who->state = READ_ANSWERED;
    if (action->result == FB_OK) {
        fb_value value = action->value;
        oracle_value(w, who, &value);
        fb_blob_drop(value.owner);
    } else if (action->result == FB_NEGATIVE) {
        oracle_negative(w, who);
    } else {
        oracle_error(w, who, action->result);
    }
}

void reader_end(world *w, caller *who, const fb_gate_action *answer) {
    if (who->state != READ_ASKED) {
        return;  // its node has crashed
    }
    who->state = READ_ANSWERED;
    if (answer->result == FB_OK) {
        oracle_value(w, who, &answer->value);
        fb_blob_drop(answer->value.owner);
    } else if (answer->result == FB_NEGATIVE) {
        oracle_negative(w, who);
    } else {
        SAY(w, "n%u r%u gets %s of %s", who->at->index, who->index, fb_result_name(answer->result),
            who->of->text);
        if (answer->result < 0 && (answer->result != FB_ENOMEM || w->is.no_memory == 0)) {
            world_fail(w, "r%u gets %s from the gate", who->index, fb_result_name(answer->result));
        }
    }
}
