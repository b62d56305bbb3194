// The rules of cache, sync and the model of the shared tier (base/rule.h), and what becomes of the
// promise without each: a build with -Dmutations=true takes them out one at a time and looks for a
// seed that goes wrong. Where none can, the reason stands here, and where it is shown instead.

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rule.h"
#include "world.h"

#ifdef FB_MUTATIONS

typedef struct rule {
    const char *name;
    const char *text;
    const char *elsewhere;  // NULL: a seed shows it
} rule;

static const rule rules[] = {
    // the cache
    {"doom", "a load that an invalidation overtook is not stored", NULL},
    {"ticket_first", "a load is registered before its source is asked", NULL},
    {"detach", "nobody joins a flight that an invalidation overtook", NULL},
    {"tag_stamp", "an entry carries the tag sequence of its load's start", NULL},
    {"reader_seq", "who reads after a tag's invalidation is not answered with a load from before",
     NULL},
    {"refresh", "who wants a load of his own time is not answered with one given out before", NULL},
    {"watchdog", "a flight that was given up stores nothing", NULL},
    {"doom_first", "loads are doomed before the store is walked",
     "between threads: `test_cache_rules`"},
    {"fill_lock", "a fill holds the lock under which it could be doomed",
     "between threads: `test_cache_rules`"},
    {"edit_stamp", "what an edit makes of an old value goes with the old value",
     "between threads: `test_cache_rules`"},
    {"late_index", "an index that is declared later does not miss what is there",
     "`test_cache_rules`"},
    {"moved", "what moved to another class or namespace goes", "`test_cache_rules`"},
    {"degraded", "memory of a degraded partition is served as its class says", NULL},
    {"partition_flush", "a flush of a partition makes its entries void", NULL},
    {"hold", "what is loaded under a hold is stored nowhere",
     "`test_lease`: memory itself refuses under a hold too"},
    {"fence", "what is loaded and older than the fence is stored nowhere",
     "`test_lease`: here every node has heard of a fence, and memory itself refuses"},
    {"distrust", "who knows of a change joins no flight from before it", NULL},
    {"holds", "nothing is stored under a held key, nor what a fence forbids", NULL},
    {"put_dooms", "a value stored under a ticket dooms other loads of its key",
     "`test_coherent_rules`: here requests of one connection keep their order"},
    {"unsure", "of a kept region, what was owed is not trusted", NULL},
    {"other_partitions", "a kept region of another number of partitions is not trusted",
     "`test_coherent_rules`: the simulation's nodes agree on it"},
    // the follower and the gate
    {"follow_sent", "an answer proves coherence from when it was asked for, not from when it came",
     "`test_follow_rules`: it takes a reply that is late, and none after it"},
    {"follow_epoch", "another epoch: the partition is flushed", NULL},
    {"follow_flush", "a flush drops what memory has", NULL},
    {"follow_back", "a server that shows an older epoch has gone back: a new epoch", NULL},
    {"follow_lost", "a server that is behind what it had said has lost it: a new epoch", NULL},
    {"follow_acked", "what a change of this node was answered with counts as said", NULL},
    {"follow_state", "only a log that stands where we do proves coherence", NULL},
    {"follow_gap", "no record is applied over a gap", NULL},
    {"follow_nonce", "our last record must be there as we know it", NULL},
    {"own_record_skip", "own records are passed over",
     "without it more is dropped than need be, never less"},
    {"hold_here", "what is held here is taken from nowhere but the source", NULL},
    {"hold_again", "own holds are set again as their records come by",
     "`test_follow`: here a hold that its own node may have forgotten is exempt"},
    {"wide_epoch", "a value stored under another epoch of the wide log is not taken", NULL},
    {"wide_stamps", "a value stored before a wide invalidation of its tags is not taken", NULL},
    {"adopt_epoch", "a value is taken only where the reply's mark goes on from ours",
     "between threads: within one, tickets keep such a value out"},
    {"adopt_judge", "a value is judged by the wide stamps", NULL},
    {"sweep_again", "a pattern is swept and said twice",
     "`test_gate`: it takes a fail-over just between sweep and record"},
    {"owed_first", "nothing is taken from the shared tier while something is owed", NULL},
    {"owed_value", "a plain key's value is kept with what is owed",
     "without it more is lost, nothing is old"},
    {"distrust_read", "who knows of a change joins no READ from before it", NULL},
    {"ticket_before_set", "the ticket of a SET is registered before the shared tier is told", NULL},
    {"bump_epoch", "a wide change in an epoch that this node does not follow stays owed", NULL},
    {"renewed_wide", "a new wide epoch counts as opened when this node follows it",
     "`test_gate_rules`"},
    {"local_first", "what was answered before it was told hides what the shared tier has", NULL},
    {"reapply", "an invalidation is applied again when it is acknowledged", NULL},
    {"drop_on_unknown", "where nobody knows whether an edit was done, memory keeps nothing", NULL},
    {"commit_forget", "memory has nothing of what a transaction has changed", NULL},
    {"commit_node", "every node's follower applies a transaction's records", "`test_gate_rules`"},
    {"commit_owed", "no transaction overtakes what is owed",
     "`test_gate_rules`: it takes two lanes"},
    {"commit_wide", "what a transaction stores is as old as what it read", "`test_gate_rules`"},
    {"watch_catch_up", "memory is not older than what is watched", "`test_gate_rules`"},
    // the shared tier itself
    {"fill_token", "only the holder of the lease fills", NULL},
    {"lease_falls", "a change of a key takes its lease", NULL},
    {"lease_epoch", "a lease of another epoch is void",
     "`port_claims.h`: no seed of the first 16,000 shows it"},
    {"value_epoch", "a value of another epoch is void", NULL},
    {"fence_kept", "a fence stays", NULL},
    {"fence_refuses", "what is older than the fence is refused",
     "`port_claims.h`: nodes refuse by themselves what they know to be older"},
    {"never_back", "what is older than what is there is refused",
     "`port_claims.h`: a source that lags may show it in any case"},
    {"hold_kept", "a hold stays", NULL},
    {"hold_refuses", "a held key is not filled",
     "`port_claims.h`: nodes do not fill what they are told is held"},
    {"condition", "a change on a condition is made only where that holds", NULL},
    {"sweep_leases", "a sweep takes leases, before values", NULL},
};

// Seeds of --shared that showed rules which few worlds need: they are tried first.
static const struct {
    const char *name;
    uint64_t seed;
} rare[] = {
    {"follow_back", 43203}, {"ticket_before_set", 24636}, {"unsure", 14297},
    {"follow_acked", 8987}, {"bump_epoch", 6496},         {"follow_state", 4745},
    {"follow_nonce", 4058}, {"hold_kept", 2043},
};

typedef struct finding {
    uint64_t seed;
    world_kind kind;
    bool wrong;
    char what[sizeof((world *)0)->what];
} finding;

// In a process of its own: after a mistake nothing of the machines can be trusted.
static finding search(world *w, const rule *one, uint64_t start, uint64_t seeds) {
    finding found = {0};
    int ends[2];
    (void)fflush(stdout);
    if (pipe(ends) < 0) {
        return found;
    }
    pid_t child = fork();
    if (child == 0) {
        covered seen = {0};
        fb_rule_without(one->name);
        found.kind = w->kind;
        found.wrong = world_search(w, start, seeds, &seen, &found.seed);
        memcpy(found.what, w->what, sizeof found.what);
        _exit(write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
    }
    (void)close(ends[1]);
    if (child > 0) {
        if (read(ends[0], &found, sizeof found) != sizeof found) {
            found = (finding){0};
        }
        (void)waitpid(child, NULL, 0);
    }
    (void)close(ends[0]);
    return found;
}

static finding search_rare(world *w, const rule *one) {
    finding found = {0};
    w->kind = WORLD_SHARED;
    for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++) {
        if (strcmp(rare[i].name, one->name) == 0) {
            found = search(w, one, rare[i].seed, 1);
        }
    }
    return found;
}

// Some rules show in worlds of one kind only: a few of each kind, then more and more.
static finding search_both(world *w, const rule *one, uint64_t start, uint64_t seeds) {
    finding found = search_rare(w, one);
    uint64_t count = 2000;
    for (uint64_t done = 0; done < seeds && !found.wrong; done += count, count *= 4) {
        count = count < seeds - done ? count : seeds - done;
        w->kind = WORLD_SHARED;
        found = search(w, one, start + done, count);
        if (!found.wrong) {
            w->kind = WORLD_ALONE;
            found = search(w, one, start + done, count);
        }
    }
    return found;
}

int rules_show(world *w, uint64_t start, uint64_t seeds) {
    bool all = true;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const rule *one = &rules[i];
        if (one->elsewhere != NULL) {
            printf("| `%s` | %s | %s |\n", one->name, one->text, one->elsewhere);
            continue;
        }
        finding found = search_both(w, one, start, seeds);
        all = all && found.wrong;
        if (found.wrong) {
            printf("| `%s` | %s | seed %llu of `--%s`: %s |\n", one->name, one->text,
                   (unsigned long long)found.seed, found.kind == WORLD_SHARED ? "shared" : "alone",
                   found.what);
        } else {
            printf("| `%s` | %s | NOTHING in %llu seeds |\n", one->name, one->text,
                   (unsigned long long)seeds);
        }
    }
    return all ? 0 : 1;
}

bool rules_without(const char *name) {
    fb_rule_without(name);
    return true;
}

#else

int rules_show(world *w, uint64_t start, uint64_t seeds) {
    (void)w, (void)start, (void)seeds;
    (void)fprintf(stderr, "sim: built without -Dmutations=true\n");
    return 2;
}

bool rules_without(const char *name) {
    (void)name;
    (void)fprintf(stderr, "sim: built without -Dmutations=true\n");
    return false;
}

#endif
