// Changes through the shared tier: a writer commits to the source (or brings the value himself),
// then tells the gate of a node. What was answered is kept for the oracle: from when on whom it
// binds follows from how far it has reached (oracle.c).
//
// Counters: each ADD adds a digit of its own to a number of base 4. So the number says which of
// them were counted, and whether one was twice. Edits do the same by reading, adding and storing.

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "world.h"

int64_t change_digit(uint32_t index) {
    return INT64_C(1) << (2 * index);
}

// ---- what is replaced

static void cover(world *w, change *one) {
    for (uint32_t i = 0; i < w->is.keys; i++) {
        const key *of = &w->keys[i];
        if (one->kind == CHANGE_DROP ? !writer_covers(&one->want.what, one->group, of)
                                     : of != one->of) {
            continue;
        }
        bool from_source = of->kind <= KEY_ASIDE;
        one->below[i] = from_source ? of->version_count - 1 : of->version_count;
        if (one->kind == CHANGE_SET) {
            one->below[i] = one->made;
        }
        if (one->kind == CHANGE_DROP && of->kind >= KEY_COUNT) {
            w->shared.losses++;  // numbers begin anew
        }
    }
}

// ---- readers who come just then

typedef struct probe {
    node *at;
    key *of;
    knowledge knows;
} probe;

static void read_now(world *w, void *arg) {
    const probe *one = arg;
    if (one->at->alive) {
        client_begin(w, one->at, one->of, one->knows);
        node_drain(w, one->at);
    }
}

static void read_at(world *w, node *at, key *of, knowledge knows, int64_t at_ns) {
    probe *one = world_new(w, sizeof *one);
    *one = (probe){at, of, knows};
    world_at(w, at_ns, read_now, one);
}

static void probe_before(world *w, key *of) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        read_at(w, &w->nodes[i], of, KNOWS_NOTHING, w->now_ns - 1);
    }
}

static void probe_after(world *w, const change *one) {
    read_at(w, one->at, one->of, KNOWS_NOTHING, w->now_ns + 1);
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node *at = &w->nodes[i];
        if (at == one->at) {
            continue;
        }
        if (world_chance(w, 40)) {
            knowledge knows = one->reached < FB_REACH_SHARED ? KNOWS_NOTHING
                              : one->kind == CHANGE_DROP && one->want.what.scope != FB_SCOPE_KEY
                                  ? KNOWS_OF_WIDE
                                  : KNOWS_OF_KEY;
            read_at(w, at, one->of, knows, w->now_ns + 1);
        } else if (one->reached == FB_REACH_NODES) {
            read_at(w, at, one->of, KNOWS_NOTHING, w->now_ns + 1);
        }
        int64_t later_ns = world_chance(w, 50) ? 1 : world_delay(w, w->is.max_lag_ns / 4);
        read_at(w, at, one->of, KNOWS_NOTHING, w->now_ns + w->is.max_lag_ns + later_ns);
    }
}

// ---- answers

static bool is_in_force(const change *one) {
    switch (one->kind) {
        case CHANGE_DROP:
            return one->result == FB_OK || one->result == FB_REFUSED;
        case CHANGE_DEL:
            return one->result == FB_OK || one->result == FB_MISS;
        default:
            return one->result == FB_OK;
    }
}

// A deal that was answered so has changed nothing.
static bool is_undone(const change *one) {
    return one->answered && (one->result == FB_ENOMEM ||
                             (one->kind == CHANGE_DEAL &&
                              (one->result == FB_REFUSED || one->result == FB_EIO)));
}

static void check_answer(world *w, const change *one, const fb_gate_action *answer) {
    bool counted = one->kind >= CHANGE_ADD;
    if (one->kind == CHANGE_DEAL && is_undone(one)) {
        return;
    }
    if (is_in_force(one)) {
        if (one->reached < FB_REACH_LOCAL || one->reached > FB_REACH_NODES) {
            world_fail(w, "%s has reached %d", one->text, (int)one->reached);
        }
        if (one->kind == CHANGE_DROP && one->result == FB_OK && one->want.reach > one->reached) {
            world_fail(w, "%s was to reach %d, is FB_OK and has reached %d", one->text,
                       (int)one->want.reach, (int)one->reached);
        }
        if (one->kind == CHANGE_ADD && (answer->number & change_digit(one->made)) == 0) {
            world_fail(w, "an ADD of digit %u gives %" PRId64, one->made, answer->number);
        }
        return;
    }
    if (counted && one->result == FB_ETIMEDOUT) {
        w->seen->ambiguous++;
    } else if (one->result != FB_ENOMEM || w->is.no_memory == 0) {
        world_fail(w, "%s gave %s", one->text, fb_result_name(one->result));
    }
}

static void count_answer(world *w, const change *one) {
    w->seen->sets += one->kind == CHANGE_SET;
    w->seen->dels += one->kind == CHANGE_DEL;
    w->seen->adds += one->kind == CHANGE_ADD;
    w->seen->edits += one->kind == CHANGE_EDIT;
    w->seen->local_only += one->reached == FB_REACH_LOCAL;
    if (one->kind == CHANGE_DROP && one->want.reach == FB_REACH_NODES) {
        *(one->result == FB_OK ? &w->seen->node_acks : &w->seen->node_refusals) += 1;
    }
}

void change_answered(world *w, void *of, const fb_gate_action *answer) {
    change *one = of;
    one->answered = true;
    one->answer_step = w->step;
    one->answer_ns = w->now_ns;
    one->result = answer->result;
    one->reached = answer->receipt.reached;
    one->in_force = is_in_force(one);
    bool wide = one->kind == CHANGE_DROP && one->want.what.scope != FB_SCOPE_KEY;
    bool doubtful = wide && w->now_ns - w->failover_ns < w->is.max_lag_ns;
    if (one->lost_ns != INT64_MAX || doubtful) {
        one->lost_ns = w->now_ns;  // so long ago at the least
        one->found_ns = INT64_MAX;
    }
    SAY(w, "n%u change %u (%s): %s, reached %d, %u of %u nodes", one->at->index,
        (uint32_t)(one - w->changes), one->text, fb_result_name(one->result), (int)one->reached,
        answer->receipt.node_count, answer->receipt.nodes_alive);
    check_answer(w, one, answer);
    if (!one->in_force) {
        return;
    }
    count_answer(w, one);
    if (one->kind == CHANGE_ADD) {
        change_check_number(w, one->of, answer->number, false);
    }
    if (one->want.hold_ns > 0) {
        w->seen->holds++;
        one->held_until_ns = one->call_ns + one->want.hold_ns;
    }
    if (world_chance(w, w->is.probes)) {
        probe_after(w, one);
    }
}

// ---- calling

// Edits are calls back into here: the digit that is to be added.
static int edit(void *arg, fb_edit *what) {
    change *one = arg;
    int64_t number = 0;
    if (what->found && fb_str_int(what->value.data, &number) != FB_OK) {
        return FB_ETYPE;
    }
    int length =
        snprintf(one->text + 16, sizeof one->text - 16, "%" PRId64, number + change_digit(one->made));
    what->action = FB_EDIT_PUT;
    what->data = fb_str_make(one->text + 16, (size_t)length);
    return FB_OK;
}

void change_begins(world *w, change *one) {
    one->life = one->at->life;
    one->call_step = w->step;
    one->call_ns = w->now_ns;
    one->losses = w->shared.losses;
    if (one->kind == CHANGE_DEAL) {
        cover(w, one);
    }
}

static void call(world *w, void *arg) {
    change *one = arg;
    if (!one->at->alive) {
        return;
    }
    change_begins(w, one);
    if (one->kind == CHANGE_SET && one->of->kind == KEY_REGISTER) {
        if (!source_commit(w, one->of)) {
            return;
        }
        one->made = one->of->version_count - 1;
        one->of->versions[one->made].exists = true;
        one->of->versions[one->made].change = (uint32_t)(one - w->changes) + 1;
        char *bytes = world_new(w, w->is.payload);
        one->want.value = source_bytes(w, one->of, one->made, bytes);
    }
    if (one->want.source_version != 0) {
        one->want.source_version = one->of->version_count;
    }
    cover(w, one);
    // Changes of one key wait for each other.
    int64_t patience_ns = 10 * w->is.hard_ns + one->want.timeout_ns;
    if (one->kind == CHANGE_EDIT) {
        patience_ns = 20 * w->is.hard_ns;  // several rounds
    } else if (one->kind == CHANGE_DROP && one->want.what.scope == FB_SCOPE_PATTERN) {
        patience_ns += 35 * FB_NS_PER_S;  // a sweep
    }
    one->want.wall_ms = node_now(w, one->at) / FB_NS_PER_MS + one->at->wall_ahead_ms;
    SAY(w, "n%u change %u (%s) of %s begins, as want %u", one->at->index,
        (uint32_t)(one - w->changes), one->text, one->of->text, w->errand_count + 1);
    if (node_want(w, one->at, &one->want, patience_ns, change_answered, one) < 0) {
        one->answered = true;  // without an effect
        one->result = FB_ENOMEM;
    }
    node_drain(w, one->at);
}

change *change_make(world *w, node *at, key *of, change_kind kind) {
    if (w->change_count == CHANGES_MAX) {
        return NULL;
    }
    change *one = &w->changes[w->change_count++];
    *one = (change){.kind = kind,
                    .at = at,
                    .of = of,
                    .group = -1,
                    .held_until_ns = 0,
                    .lost_ns = INT64_MAX,
                    .found_ns = INT64_MAX};
    one->want.key = of->name;
    return one;
}

static void call_soon(world *w, change *one) {
    if (world_chance(w, w->is.probes)) {
        probe_before(w, one->of);
    }
    int64_t wait_ns = world_chance(w, w->is.tardy) ? world_delay(w, w->is.read_ns) : 0;
    world_at(w, w->now_ns + wait_ns, call, one);
}

// ---- what a writer does

static void add_something(world *w, node *at, key *of) {
    if (of->version_count == DIGITS_MAX) {
        return;
    }
    bool by_edit = of->kind == KEY_EDIT;
    change *one = change_make(w, at, of, by_edit ? CHANGE_EDIT : CHANGE_ADD);
    if (one == NULL) {
        return;
    }
    one->made = of->version_count++;
    (void)snprintf(one->text, sizeof one->text, "%s digit %u", by_edit ? "edit" : "ADD", one->made);
    one->want.kind = by_edit ? FB_WANT_EDIT : FB_WANT_ADD;
    one->want.delta = change_digit(one->made);
    one->want.edit = edit;
    one->want.edit_arg = one;
    one->want.ttl_ns = -1;
    call_soon(w, one);
}

static void set_something(world *w, node *at, key *of) {
    bool removes = of->kind == KEY_REGISTER && world_chance(w, 20);
    change *one = change_make(w, at, of, removes ? CHANGE_DEL : CHANGE_SET);
    if (one == NULL) {
        return;
    }
    (void)snprintf(one->text, sizeof one->text, removes ? "DEL" : "SET");
    one->want.kind = removes ? FB_WANT_DEL : FB_WANT_SET;
    one->want.ttl_ns = of->kind == KEY_REGISTER && world_chance(w, 70) ? -1 : 0;
    call_soon(w, one);
}

// The new version of something that has a source goes there and into the cache at once.
static void set_of_class(world *w, node *at, key *of) {
    if (!source_commit(w, of)) {
        return;
    }
    change *one = change_make(w, at, of, CHANGE_SET);
    if (one == NULL) {
        return;
    }
    one->made = of->version_count - 1;
    version *newest = &of->versions[one->made];
    newest->exists = true;
    newest->change = (uint32_t)(one - w->changes) + 1;
    (void)snprintf(one->text, sizeof one->text, "SET v%u", one->made);
    one->want.kind = FB_WANT_SET;
    one->want.value = source_bytes(w, of, one->made, world_new(w, w->is.payload));
    fb_str *tag = world_new(w, sizeof *tag);
    *tag = source_group_tag(newest->group);
    one->want.tags = tag;
    one->want.tag_count = 1;
    world_at(w, w->now_ns, call, one);
}

static change *make_drop(world *w, node *at, key *of) {
    change *one = change_make(w, at, of, CHANGE_DROP);
    if (one == NULL) {
        return NULL;
    }
    one->want.kind = FB_WANT_INVALIDATE;
    one->want.what.soft = of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.soft);
    writer_choose_scope(w, &one->want.what, one->text, &one->group, of);
    one->want.reach = world_chance(w, w->is.nodes_reach) ? FB_REACH_NODES
                      : world_chance(w, 20)              ? FB_REACH_SHARED
                      : world_chance(w, 10)              ? FB_REACH_LOCAL
                                                         : FB_REACH_DEFAULT;
    if (one->want.reach == FB_REACH_NODES && world_chance(w, 70)) {
        one->want.timeout_ns = w->is.max_lag_ns;
    }
    return one;
}

static void tell_source_version(world *w, change *one) {
    if (w->is.replica) {
        one->want.source_version = one->of->version_count;
        w->seen->fences++;
    }
}

static void drop_something(world *w, node *at, key *of) {
    if (!world_chance(w, w->is.idle)) {
        (void)source_commit(w, of);
    }
    change *one = make_drop(w, at, of);
    if (one != NULL) {
        tell_source_version(w, one);
        writer_count(w, &one->want.what);
        call_soon(w, one);
    }
}

// A transaction: hold, commit, invalidate.
typedef struct transaction {
    node *at;
    key *of;
} transaction;

static void commit_held(world *w, void *arg) {
    const transaction *job = arg;
    if (job->at->alive) {
        drop_something(w, job->at, job->of);
    }
}

static void hold_something(world *w, node *at, key *of) {
    change *one = make_drop(w, at, of);
    if (one == NULL) {
        return;
    }
    one->want.what = (fb_invalidation){.scope = FB_SCOPE_KEY, .name = of->name};
    (void)snprintf(one->text, sizeof one->text, "hold");
    one->group = -1;
    one->want.hold_ns = FB_NS_PER_MS + world_delay(w, w->is.max_lag_ns);
    call_soon(w, one);
    transaction *job = world_new(w, sizeof *job);
    *job = (transaction){at, of};
    world_at(w, w->now_ns + world_delay(w, 2 * one->want.hold_ns), commit_held, job);
    read_at(w, at, of, KNOWS_NOTHING, w->now_ns + one->want.hold_ns / 2);
}

static void change_key(world *w, node *at, key *of) {
    bool number = of->kind == KEY_COUNT || of->kind == KEY_EDIT;
    if (number && w->is.deals > 0 && world_chance(w, w->is.deals)) {
        if (of->version_count < DIGITS_MAX) {
            deal_begin(w, at, of);
        }
    } else if (number) {
        add_something(w, at, of);
    } else if (of->kind == KEY_REGISTER) {
        set_something(w, at, of);
    } else if (of->class_id != FB_CLASS_PLAIN && world_chance(w, w->is.silent)) {
        (void)source_commit(w, of);
    } else if (of->class_id != FB_CLASS_PLAIN && !w->is.replica && world_chance(w, w->is.sets)) {
        set_of_class(w, at, of);
    } else if (world_chance(w, w->is.holds)) {
        hold_something(w, at, of);
    } else {
        drop_something(w, at, of);
    }
}

typedef struct rival {
    node *at;
    key *of;
} rival;

static void change_too(world *w, void *arg) {
    const rival *one = arg;
    if (one->at->alive && !w->calm) {
        change_key(w, one->at, one->of);
    }
}

// Others change the same key at about the same time.
static void change_together(world *w, key *of) {
    for (uint32_t i = 1 + world_pick(w, 3); i > 0; i--) {
        rival *one = world_new(w, sizeof *one);
        *one = (rival){&w->nodes[world_pick(w, w->is.nodes)], of};
        world_at(w, w->now_ns + world_delay(w, 4 * w->is.network_ns), change_too, one);
    }
}

static void change_something(world *w, void *arg) {
    (void)arg;
    node *at = node_pick(w);
    key *of = &w->keys[world_pick(w, w->is.keys)];
    if (at == NULL) {
        return;
    }
    if (world_chance(w, w->is.reloads)) {
        node_reload(w, at);
    }
    if (world_chance(w, w->is.rivals)) {
        change_together(w, of);
    }
    faults_aim(w);
    change_key(w, at, of);
}

void change_soon(world *w) {
    if (world_chance(w, 50)) {
        world_at(w, w->now_ns + world_delay(w, 8 * w->is.network_ns), change_something, NULL);
    }
}

void change_start(world *w) {
    // Who is not in step yet may not have heard of a fence.
    int64_t from_ns = w->now_ns + (w->is.replica ? 2 * w->is.max_lag_ns : 0);
    for (uint32_t i = 0; i < w->is.writes; i++) {
        world_at(w, from_ns + world_delay(w, w->is.horizon_ns), change_something, NULL);
    }
}

void change_crashed(world *w, node *at) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        change *one = &w->changes[i];
        if (one->at == at && one->life == at->life && one->call_step > 0 && !one->answered) {
            SAY(w, "  change %u (%s) was not answered", i, one->text);
        }
    }
}

// ---- counters

static const change *of_digit(const world *w, const key *of, uint32_t index) {
    for (uint32_t i = 0; i < w->change_count; i++) {
        const change *one = &w->changes[i];
        if (one->of == of && one->made == index &&
            one->kind >= CHANGE_ADD) {
            return one;
        }
    }
    return NULL;
}

static bool was_called(const change *one) {
    return one != NULL && one->call_step > 0 && !is_undone(one);
}

void change_check_number(world *w, const key *of, int64_t number, bool final) {
    bool local = false, lossless = w->shared.losses == 0;
    for (uint32_t i = 0; i < of->version_count; i++) {
        const change *one = of_digit(w, of, i);
        local = local || (one != NULL && one->in_force && one->reached == FB_REACH_LOCAL);
    }
    for (uint32_t i = 0; i <= DIGITS_MAX; i++) {
        const change *one = i < of->version_count ? of_digit(w, of, i) : NULL;
        uint32_t times = (uint32_t)(number >> (2 * i)) & 3;
        if (times > 1 || (times == 1 && !was_called(one))) {
            world_fail(w, "%s is %" PRId64 ": digit %u was counted %u times", of->text, number, i,
                       times);
        }
        bool counts = was_called(one) && one->in_force && lossless &&
                      (of->kind == KEY_COUNT || !local) && one->reached >= FB_REACH_SHARED;
        if (final && times == 0 && counts) {
            world_fail(w, "%s is %" PRId64 ": digit %u, acknowledged, was not counted", of->text,
                       number, i);
        }
    }
}
