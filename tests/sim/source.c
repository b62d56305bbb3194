// The truth, and loads of it. A load is given, reads at some later moment, and replies later still:
// what it brings is what was true at that moment. A batch reads all its keys in the same moment.

#include <string.h>

#include "base/check.h"
#include "world.h"

typedef struct load {
    node *at;
    uint32_t life;
    uint64_t id;
    uint32_t count;
    const fb_class *class_;
    key *keys[16];
    uint32_t versions[16];
    int64_t begun_ns, read_ns;
} load;

typedef struct stamp {  // what a value's bytes begin with
    uint32_t key, version;
} stamp;

static const char *const groups[GROUPS] = {"group:red", "group:green", "group:blue"};

fb_str source_group_tag(uint32_t group) {
    return fb_str_of(groups[group]);
}

fb_str source_bytes(world *w, const key *of, uint32_t version_index, char *bytes) {
    stamp at_front = {(uint32_t)(of - w->keys), version_index};
    memset(bytes, 'x', w->is.payload);
    memcpy(bytes, &at_front, sizeof at_front);
    return fb_str_make(bytes, w->is.payload);
}

bool source_commit(world *w, key *of) {
    if (of->version_count == VERSIONS_MAX) {
        return false;
    }
    version *made = &of->versions[of->version_count++];
    *made = (version){.exists = !world_chance(w, w->is.vanishes),
                      .group = world_pick(w, GROUPS),
                      .committed_ns = w->now_ns};
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        made->hard[i] = made->soft[i] = UINT64_MAX;
    }
    SAY(w, "source: %s is now version %u%s in %s", of->text, of->version_count - 1,
        made->exists ? "" : " (nothing)", groups[made->group]);
    return true;
}

void source_begin(world *w, key *of) {
    bool first = source_commit(w, of);
    FB_ASSERT(first);
}

key *source_key(world *w, fb_str name) {
    for (uint32_t i = 0; i < w->is.keys; i++) {  // there are few
        if (fb_str_equal(w->keys[i].name, name)) {
            return &w->keys[i];
        }
    }
    world_fail(w, "no such key: %.*s", FB_STR_ARG(name));
}

// ---- loads

static void must(world *w, int result) {
    if (result != FB_OK) {
        world_fail(w, "a loader's call gave %s", fb_result_name(result));
    }
}

static void fill_in(world *w, const load *job, uint32_t i, fb_loaded *loaded) {
    const key *of = job->keys[i];
    const version *read = &of->versions[job->versions[i]];
    if (world_chance(w, w->is.own_ttl)) {
        fb_loaded_ttl(loaded, world_delay(w, w->is.options.memory_ttl_ns) / FB_NS_PER_MS);
    }
    if (w->is.replica) {
        fb_loaded_version(loaded, job->versions[i] + 1);
    }
    if (!read->exists) {
        loaded->result = FB_NEGATIVE;
        return;
    }
    char *bytes = world_new(w, w->is.payload);
    must(w, fb_loaded_value(loaded, source_bytes(w, of, job->versions[i], bytes)));
    must(w, fb_loaded_tag(loaded, source_group_tag(read->group)));
    if (world_chance(w, w->is.uncacheable)) {
        fb_loaded_uncacheable(loaded);
        w->seen->uncacheable++;
    }
    loaded->result = FB_OK;
}

static int misfortune(world *w) {
    if (world_chance(w, w->is.fails)) {
        return world_chance(w, 80) ? FB_ESOURCE : FB_ETIMEDOUT;
    }
    return world_chance(w, w->is.denies) ? FB_EDENIED : FB_OK;
}

// By the watchdog, at the latest.
static bool is_given_up(const world *w, const load *job) {
    int64_t patience_ns = 3 * job->class_->options.hard_timeout_ns;
    patience_ns = patience_ns > 30 * FB_NS_PER_S ? patience_ns : 30 * FB_NS_PER_S;
    return w->now_ns - job->begun_ns > patience_ns;
}

static void finish(world *w, load *job) {
    if (!job->at->alive || job->at->life != job->life) {
        return;
    }
    fb_loaded loaded[16];
    for (uint32_t i = 0; i < job->count; i++) {
        int failed = misfortune(w);
        fb_loaded_init(&loaded[i]);
        loaded[i].took_ns = w->now_ns - job->begun_ns;
        if (failed < 0) {
            loaded[i].result = failed;
            fb_loaded_error(&loaded[i], FB_STR("the source is down"));
        } else {
            fill_in(w, job, i, &loaded[i]);
        }
        SAY(w, "n%u load %llu of %s ends: %s v%u", job->at->index, (unsigned long long)job->id,
            job->keys[i]->text, fb_result_name(loaded[i].result), job->versions[i]);
    }
    if (!is_given_up(w, job) && w->now_ns - job->read_ns > w->longest_ns) {
        w->longest_ns = w->now_ns - job->read_ns;
    }
    world_enter(w);
    fb_flights_loaded(job->at->flights, job->id, loaded, job->count, node_now(w, job->at));
    world_leave(w);
    for (uint32_t i = 0; i < job->count; i++) {
        fb_loaded_release(&loaded[i]);
    }
}

static void reply(world *w, void *arg) {
    load *job = arg;
    finish(w, job);
    if (job->at->alive) {
        node_drain(w, job->at);
    }
}

int64_t source_lag(world *w) {
    return w->is.replica && !w->calm ? world_delay(w, w->is.replica_lag_ns) : 0;
}

uint32_t source_newest(const world *w, const key *of, int64_t lag_ns) {
    uint32_t index = of->version_count - 1;
    while (index > 0 && of->versions[index].committed_ns > w->now_ns - lag_ns) {
        index--;
    }
    return index;
}

static void read(world *w, void *arg) {
    load *job = arg;
    job->read_ns = w->now_ns;
    int64_t lag_ns = source_lag(w);
    for (uint32_t i = 0; i < job->count; i++) {
        job->versions[i] = source_newest(w, job->keys[i], lag_ns);
        SAY(w, "n%u load %llu reads %s v%u", job->at->index, (unsigned long long)job->id,
            job->keys[i]->text, job->versions[i]);
    }
    int64_t wait_ns = world_delay(w, w->is.reply_ns);
    if (world_chance(w, w->is.hangs)) {
        wait_ns += 20 * FB_NS_PER_S + world_delay(w, 60 * FB_NS_PER_S);
        w->seen->hangs++;
    }
    world_at(w, w->now_ns + wait_ns, reply, job);
}

static void check_load(world *w, const node *at, const fb_action *action) {
    const fb_class_options *options = &action->class_->options;
    if (action->item_count == 0 || action->item_count > 16 ||
        (action->item_count > 1 &&
         (options->batch_query == NULL || action->item_count > options->batch_max))) {
        world_fail(w, "a load of %zu items", action->item_count);
    }
    for (size_t i = 0; i < action->item_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (fb_str_equal(action->items[i].bound.key, action->items[j].bound.key)) {
                world_fail(w, "one load names %.*s twice", FB_STR_ARG(action->items[i].bound.key));
            }
        }
    }
    if (action->deadline_ns < node_now(w, at)) {
        world_fail(w, "a load whose time is over when it is given");
    }
}

void source_load(world *w, node *at, const fb_action *action) {
    check_load(w, at, action);
    load *job = world_new(w, sizeof *job);
    *job = (load){.at = at,
                  .life = at->life,
                  .id = action->load,
                  .count = (uint32_t)action->item_count,
                  .class_ = action->class_,
                  .begun_ns = w->now_ns};
    for (uint32_t i = 0; i < job->count; i++) {
        job->keys[i] = source_key(w, action->items[i].bound.key);
    }
    SAY(w, "n%u load %llu of %s begins, %u items", at->index, (unsigned long long)job->id,
        job->keys[0]->text, job->count);
    w->seen->batches += job->count > 1;
    if (world_chance(
            w, w->is.overloads)) {  // refused by the bulkhead, while the actions are being done
        fb_flights_failed(at->flights, job->id, FB_EOVERLOAD, "too many loads wait",
                          node_now(w, at));
        return;
    }
    w->loads++;
    world_at(w, w->now_ns + world_delay(w, w->is.read_ns), read, job);
}
