// What goes wrong with servers, links and nodes. Each fault begins at a random moment before the
// horizon; what has a duration ends by itself, at the horizon at the latest (faults_end()).

#include "base/check.h"
#include "world.h"

enum { FAIL_OVER = 6 };  // its place among `kinds`

typedef struct replica {
    model is;
    int64_t copied_ns;
    uint64_t logs;  // that it takes over
} replica;

static int64_t duration(world *w) {
    // From a moment to several times max_lag.
    return world_chance(w, 50) ? world_delay(w, w->is.max_lag_ns / 4)
                               : world_delay(w, 4 * w->is.max_lag_ns);
}

static void links(world *w, bool up, const char *why, uint32_t percent) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node *at = &w->nodes[i];
        if ((!up || (!at->cut && !w->server_down)) && world_chance(w, percent)) {
            network_link(w, at, up, why);
        }
    }
}

// ---- one node's network

static void heal(world *w, void *arg) {
    node *at = arg;
    SAY(w, "n%u is reached again", at->index);
    at->cut = false;
    if (!w->server_down) {
        network_link(w, at, true, "");
        network_part(w, at);
    }
}

static void notice_cut(world *w, void *arg) {
    node *at = arg;
    if (at->cut) {
        network_link(w, at, false, "nobody answers");
    }
}

static void cut(world *w, void *arg) {
    (void)arg;
    node *at = node_pick(w);
    if (at == NULL || at->cut || w->calm) {
        return;
    }
    SAY(w, "n%u is cut off", at->index);
    w->seen->cuts++;
    at->cut = true;
    if (world_chance(w, 70)) {
        world_at(w, w->now_ns + world_delay(w, w->is.max_lag_ns), notice_cut, at);
    }
    world_at(w, w->now_ns + duration(w), heal, at);
}

static void link_again(world *w, void *arg) {
    node *at = arg;
    if (!at->cut && !w->server_down) {
        network_link(w, at, true, "");
    }
}

static void bounce(world *w, void *arg) {
    (void)arg;
    node *at = node_pick(w);
    if (at != NULL && !w->calm) {
        w->seen->bounces++;
        network_link(w, at, false, "reset by peer");
        world_at(w, w->now_ns + world_delay(w, w->is.max_lag_ns / 8), link_again, at);
    }
}

// ---- the server

static void resume(world *w, void *arg) {
    (void)arg;
    if (w->server_hangs) {
        SAY(w, "the server goes on");
        w->server_hangs = false;
        int64_t hung_ns = w->now_ns - w->hangs_since_ns;
        w->longest_hang_ns = hung_ns > w->longest_hang_ns ? hung_ns : w->longest_hang_ns;
        network_resume(w);
    }
}

static void hang(world *w, void *arg) {
    (void)arg;
    if (w->server_hangs || w->server_down || w->calm) {
        return;
    }
    SAY(w, "the server hangs");
    w->seen->server_hangs++;
    w->server_hangs = true;
    w->hangs_since_ns = w->now_ns;
    world_at(w, w->now_ns + duration(w), resume, NULL);
}

static void come_back(world *w, void *arg) {
    (void)arg;
    if (w->server_down) {
        SAY(w, "the server is there again");
        w->server_down = false;
        links(w, true, "", 100);
    }
}

// What it has is kept, or not.
static void go_down(world *w, bool empty) {
    if (w->server_down || w->calm) {
        return;
    }
    resume(w, NULL);
    SAY(w, "the server is down%s", empty ? " and will come back empty" : "");
    *(empty ? &w->seen->emptied : &w->seen->server_downs) += 1;
    w->server_down = true;
    links(w, false, "connection refused", 90);
    if (empty) {
        model_flushall(&w->shared);
    }
    world_at(w, w->now_ns + duration(w), come_back, NULL);
}

static void go_down_full(world *w, void *arg) {
    (void)arg;
    go_down(w, false);
}

static void go_down_empty(world *w, void *arg) {
    (void)arg;
    go_down(w, true);
}

static void flushall(world *w, void *arg) {
    (void)arg;
    if (w->calm) {
        return;
    }
    SAY(w, "FLUSHALL");
    w->seen->flushalls++;
    model_flushall(&w->shared);
    change_soon(w);
}

static void drain_full(world *w, void *arg) {
    (void)arg;
    w->server_full = false;
}

static void fill_up(world *w, void *arg) {
    (void)arg;
    SAY(w, "the server is full");
    w->server_full = !w->calm;
    world_at(w, w->now_ns + duration(w), drain_full, NULL);
}

// ---- fail-over

static void take_over(world *w, void *arg) {
    replica *job = arg;
    if (w->calm) {
        return;
    }
    SAY(w, "a replica takes over, %.3f ms behind", (double)(w->now_ns - job->copied_ns) / 1e6);
    *(job->logs == UINT64_MAX ? &w->seen->failovers : &w->seen->partial_failovers) += 1;
    model_fail_over(&w->shared, &job->is, job->logs);
    oracle_failover(w, job->copied_ns, w->now_ns, job->logs != UINT64_MAX);
    if (world_chance(w, 70)) {
        links(w, false, "fail-over", 80);
        w->server_down = world_chance(w, 30);
        if (w->server_down) {
            world_at(w, w->now_ns + duration(w), come_back, NULL);
        } else {
            links(w, true, "", 100);
        }
    }
}

// NULL: there were enough.
static replica *copy_now(world *w, uint64_t logs) {
    if (w->replica_count == sizeof w->replicas / sizeof w->replicas[0]) {
        return NULL;
    }
    replica *job = world_new(w, sizeof *job);
    job->copied_ns = w->now_ns;
    job->logs = logs;
    model_copy(&w->shared, &job->is);
    w->replicas[w->replica_count++] = &job->is;
    return job;
}

static void copy_for(world *w, int64_t behind_ns) {
    uint64_t logs = world_chance(w, 70) ? UINT64_MAX : fb_rng_next(&w->rng);
    replica *job = copy_now(w, logs);
    if (job != NULL) {
        world_at(w, w->now_ns + behind_ns, take_over, job);
    }
}

static void copy_server(world *w, void *arg) {
    (void)arg;
    copy_for(w, world_chance(w, 50) ? duration(w) : 2 * w->is.network_ns);
}

void faults_aim(world *w) {
    bool may = w->is.faults > 0 && (w->is.fault_kinds >> FAIL_OVER & 1) != 0 && !w->calm;
    if (may && world_chance(w, 10)) {
        copy_for(w, world_delay(w, 4 * w->is.network_ns));
    }
}

// ---- a part of the server: of a Cluster a master is gone, and comes back, or a replica takes over

typedef struct part {
    uint64_t logs;
    replica *by;
} part;

static void notice_part(world *w, void *arg) {
    network_part(w, arg);
}

static void tell_part(world *w) {
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        world_at(w, w->now_ns + world_delay(w, w->is.max_lag_ns / 4), notice_part, &w->nodes[i]);
    }
}

static void part_back(world *w, void *arg) {
    const part *job = arg;
    if (w->calm) {
        return;
    }
    SAY(w, "logs %#llx are there again%s", (unsigned long long)job->logs,
        job->by != NULL ? ", from a replica" : "");
    w->part_away = 0;
    if (job->by != NULL) {
        w->seen->partial_failovers++;
        model_fail_over(&w->shared, &job->by->is, job->logs);
        oracle_failover(w, job->by->copied_ns, w->now_ns, true);
    }
    tell_part(w);
}

static void part_goes(world *w, void *arg) {
    part *job = arg;
    if (w->calm || w->part_away != 0) {
        return;
    }
    SAY(w, "logs %#llx are away", (unsigned long long)job->logs);
    w->seen->parts++;
    w->part_away = job->logs;
    tell_part(w);
    world_at(w, w->now_ns + duration(w), part_back, job);
}

static void lose_part(world *w, void *arg) {
    (void)arg;
    part *job = world_new(w, sizeof *job);
    uint64_t all = (UINT64_C(1) << w->is.partitions) - 1;
    job->logs = fb_rng_next(&w->rng) & all;
    job->logs = job->logs != 0 ? job->logs : 1;
    job->by = world_chance(w, 50) ? copy_now(w, job->logs) : NULL;
    world_at(w, w->now_ns + world_delay(w, 4 * w->is.network_ns), part_goes, job);
    change_soon(w);
}

// ---- what is evicted

static model_cell *any_cell(world *w, size_t *place) {
    if (w->shared.cell_count == 0 || w->calm) {
        return NULL;
    }
    *place = world_pick(w, (uint32_t)w->shared.cell_count);
    return &w->shared.cells[*place];
}

static void evict_key(world *w, void *arg) {
    (void)arg;
    size_t place;
    const model_cell *cell = any_cell(w, &place);
    if (cell == NULL) {
        return;
    }
    SAY(w, "the server evicts of %.*s", FB_STR_ARG(cell->key));
    if (world_chance(w, 50)) {
        w->seen->evicted_values++;
        model_evict_value(&w->shared, place);
    }
    if (world_chance(w, 50)) {
        w->seen->evicted_leases++;
        model_evict_lease(&w->shared, place);
    }
}

static void evict_log(world *w, void *arg) {
    (void)arg;
    if (w->calm) {
        return;
    }
    uint32_t log = world_pick(w, w->is.partitions + 1);
    uint32_t what = world_pick(w, 3);
    SAY(w, "the server %s of log %u",
        (const char *const[]){"evicts the counters", "evicts the records", "trims"}[what], log);
    if (what == 0) {
        w->seen->evicted_counters++;
        model_evict_counter(&w->shared, log);
        change_soon(w);
    } else if (what == 1) {
        w->seen->evicted_logs++;
        model_evict_log(&w->shared, log);
    } else {
        w->seen->trims++;
        model_trim(&w->shared, log, world_pick(w, 3));
    }
}

// ---- nodes

static void start_again(world *w, void *arg) {
    node *at = arg;
    if (at->alive) {
        return;
    }
    node_start(w, at);
    if (!at->cut && !w->server_down) {
        network_link(w, at, true, "");
    }
}

static void crash(world *w, void *arg) {
    (void)arg;
    node *at = node_pick(w);
    if (at == NULL || w->calm) {
        return;
    }
    node_crash(w, at, world_chance(w, 50));
    world_at(w, w->now_ns + duration(w) / 2, start_again, at);
}

// ----

typedef void (*fault_fn)(world *w, void *arg);
static const fault_fn kinds[] = {cut,           bounce,   hang,        go_down_full,
                                 go_down_empty, flushall, copy_server, evict_key,
                                 evict_log,     crash,    fill_up,     lose_part};

void faults_start(world *w) {
    uint32_t count = sizeof kinds / sizeof kinds[0];
    for (uint32_t i = 0; i < w->is.faults; i++) {
        uint32_t kind = world_pick(w, count);
        while ((w->is.fault_kinds >> kind & 1) == 0) {
            kind = (kind + 1) % count;
        }
        world_at(w, w->now_ns + world_delay(w, w->is.horizon_ns), kinds[kind], NULL);
    }
}

void faults_end(world *w) {
    SAY(w, "all faults end");
    w->calm = true;
    w->server_full = false;
    resume(w, NULL);
    w->server_down = false;
    w->part_away = 0;
    for (uint32_t i = 0; i < w->is.nodes; i++) {
        node *at = &w->nodes[i];
        at->cut = false;
        start_again(w, at);
        network_link(w, at, true, "");
        network_part(w, at);
    }
}
