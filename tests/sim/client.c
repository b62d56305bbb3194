// Callers of plain keys, and of the shared tier beside the flights: who reads a key (memory, then
// the gate), and cache-aside clients, who get a lease, load the value themselves, and fill it in.

#include <string.h>

#include "base/check.h"
#include "world.h"

// ---- reading

static void got(world *w, void *of, const fb_gate_action *answer) {
    reader_end(w, of, answer);
}

static int64_t patience(const world *w) {
    return 2 * w->is.hard_ns;
}

static void ask_gate(world *w, void *arg) {
    caller *who = arg;
    if (who->state != READ_BEGUN) {
        return;
    }
    fb_want want = {
        .kind = FB_WANT_READ, .key = who->of->name, .distrust = who->knows == KNOWS_OF_KEY};
    who->state = READ_ASKED;
    who->of_shared = true;
    who->deadline_ns = INT64_MAX;
    w->seen->plain_reads++;
    SAY(w, "n%u r%u asks the shared tier for %s", who->at->index, who->index, who->of->text);
    if (node_want(w, who->at, &want, patience(w), got, who) < 0) {
        who->state = READ_LEFT;
    }
    node_drain(w, who->at);
}

static void read_plain(world *w, node *at, key *of, knowledge knows) {
    caller *who = reader_new(w, at, of);
    if (who == NULL) {
        return;
    }
    who->knows = knows;
    if (knows != KNOWS_NOTHING || !reader_look(w, who)) {
        world_at(w, w->now_ns + world_delay(w, w->is.hand_over_ns), ask_gate, who);
    }
}

// ---- leases

typedef struct lease {
    node *at;
    uint32_t life;
    key *of;
    uint64_t token;
    uint32_t version;
} lease;

static void filled(world *w, void *of, const fb_gate_action *answer) {
    const lease *job = of;
    SAY(w, "n%u fill of %s v%u: %s", job->at->index, job->of->text, job->version,
        fb_result_name(answer->result));
    w->seen->fences_refused += w->is.replica && answer->result == FB_REFUSED;
    if (answer->result != FB_OK && answer->result != FB_REFUSED && w->is.no_memory == 0) {
        world_fail(w, "a fill gave %s", fb_result_name(answer->result));
    }
}

static void fill(world *w, void *arg) {
    lease *job = arg;
    if (!job->at->alive || job->at->life != job->life) {
        return;
    }
    char *bytes = world_new(w, w->is.payload);
    fb_str tag = source_group_tag(job->of->versions[job->version].group);
    fb_want want = {.kind = FB_WANT_FILL,
                    .key = job->of->name,
                    .value = source_bytes(w, job->of, job->version, bytes),
                    .ttl_ns = w->is.options.memory_ttl_ns,
                    .tags = &tag,
                    .tag_count = 1,
                    .token = job->token,
                    .source_version = w->is.replica ? job->version + 1 : 0};
    (void)node_want(w, job->at, &want, patience(w), filled, job);
    node_drain(w, job->at);
}

static void load(world *w, void *arg) {
    lease *job = arg;
    job->version = source_newest(w, job->of, source_lag(w));
    SAY(w, "n%u lease client reads %s v%u", job->at->index, job->of->text, job->version);
    if (job->of->versions[job->version].exists) {
        world_at(w, w->now_ns + world_delay(w, w->is.reply_ns), fill, job);
    }
}

static void leased(world *w, void *of, const fb_gate_action *answer) {
    caller *who = of;
    if (answer->result == FB_MISS && answer->token != 0) {
        lease *job = world_new(w, sizeof *job);
        *job = (lease){.at = who->at, .life = who->life, .of = who->of, .token = answer->token};
        world_at(w, w->now_ns + world_delay(w, w->is.read_ns), load, job);
        w->seen->lease_clients++;
    }
    w->seen->lease_waits += answer->result == FB_PENDING;
    reader_end(w, who, answer);
}

static void ask_lease(world *w, void *arg) {
    caller *who = arg;
    if (who->state != READ_BEGUN) {
        return;
    }
    fb_want want = {.kind = FB_WANT_LEASE, .key = who->of->name};
    who->state = READ_ASKED;
    who->of_shared = true;
    who->deadline_ns = INT64_MAX;
    SAY(w, "n%u r%u asks for %s or a lease", who->at->index, who->index, who->of->text);
    if (node_want(w, who->at, &want, patience(w), leased, who) < 0) {
        who->state = READ_LEFT;
    }
    node_drain(w, who->at);
}

static void read_aside(world *w, node *at, key *of, knowledge knows) {
    caller *who = reader_new(w, at, of);
    if (who == NULL) {
        return;
    }
    who->knows = knows;
    if (knows != KNOWS_NOTHING || !reader_look(w, who)) {
        world_at(w, w->now_ns + world_delay(w, w->is.hand_over_ns), ask_lease, who);
    }
}

// ----

// Of a wide change that this node has not applied the shared tier's values say nothing: who knows
// of one wants a load of his own, and a plain key has none. Leases are not asked for with a token.
static bool can_read(const key *of, knowledge knows) {
    switch (of->kind) {
        case KEY_CALL:
        case KEY_ASIDE:
            return knows == KNOWS_NOTHING;
        case KEY_ITEM:
        case KEY_PAGE:
            return true;
        default:
            return knows != KNOWS_OF_WIDE;
    }
}

void client_begin(world *w, node *at, key *of, knowledge knows) {
    if (!can_read(of, knows)) {
        return;
    }
    w->seen->token_reads += knows != KNOWS_NOTHING;
    if (of->kind == KEY_ASIDE) {
        read_aside(w, at, of, knows);
    } else if (of->class_id == FB_CLASS_PLAIN && of->kind != KEY_CALL) {
        read_plain(w, at, of, knows);
    } else if (of->kind != KEY_CALL && w->is.remote && knows != KNOWS_OF_WIDE &&
               world_chance(w, 15)) {
        read_plain(w, at, of, knows);
    } else {
        reader_begin(w, at, of, knows);
    }
}
