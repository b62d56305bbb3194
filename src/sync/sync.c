// The stamps of wide invalidations, told to all lanes by one follower, and the figures.
//
// Whether a value may be taken is asked for each one that comes from the shared tier, so judging
// takes no lock. A slot only ever rises within an epoch, and a slot that is raised while somebody
// judges may be seen or not: the two calls overlap, and either order would be right. Only an epoch
// that changes needs more, since the numbers of two epochs cannot be compared: `turn` is odd while
// all is written anew, and different afterwards; who sees that looks again.
//
// The mark is what was applied, and a value is stamped with it when its load begins. What is
// stamped too low is a miss later on; too high, and an old value outlives an invalidation. So
// raise() moves it by the next record alone, never over a gap.

#include "sync/sync.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "sync/acked.h"

enum {
    SAID_MAX = 257,  // every lane an engine can have, and the follower
    TRIES = 1000,
    DISOWNED_MAX = 4096
};

typedef struct slot {
    _Atomic(uint64_t) hard, soft;
} slot;

typedef struct said {
    uint32_t lane;
    fb_sync_state state;
    char why[sizeof((fb_sync_figures *)0)->why];
} said;

struct fb_sync {
    fb_sync_options options;
    _Atomic(uint64_t) turn;  // odd while mark or epoch are written
    _Atomic(uint64_t) epoch, seq, nonce;
    _Atomic(int) wide_owed;
    _Atomic(int) owed[FB_PARTITIONS_MAX + 1];  // by log: lanes that owe something of it
    _Atomic(uint64_t) wides;
    _Atomic(int64_t) owed_now;
    _Atomic(uint64_t) counters[FB_SYNC_COUNTER_COUNT];
    slot slots[FB_SYNC_STAMP_SLOTS];
    pthread_mutex_t lock;  // of who writes stamps, and of what follows here
    size_t said_count;
    said said[SAID_MAX];
    _Atomic(uint32_t) disowned_count;
    uint64_t disowned[DISOWNED_MAX];
    fb_acked *acked;
};

int fb_sync_new(const fb_sync_options *options, fb_sync **sync) {
    *sync = NULL;
    FB_ASSERT(options->cache != NULL && options->node != 0 && options->partitions > 0 &&
              options->partitions <= FB_PARTITIONS_MAX);
    fb_sync *made = fb_mem_zero(1, sizeof *made);
    if (made == NULL) {
        return FB_ENOMEM;
    }
    made->options = *options;
    fb_cache_forget_unsure(options->cache);
    pthread_mutex_init(&made->lock, NULL);
    if (fb_acked_new(options->partitions + 1, &made->acked) < 0) {
        fb_sync_free(made);
        return FB_ENOMEM;
    }
    *sync = made;
    return FB_OK;
}

void fb_sync_free(fb_sync *sync) {
    if (sync == NULL) {
        return;
    }
    fb_acked_free(sync->acked);
    pthread_mutex_destroy(&sync->lock);
    fb_mem_free(sync);
}

const fb_sync_options *fb_sync_options_of(const fb_sync *sync) {
    return &sync->options;
}

// ---- the wide stamps

void fb_sync_wide(const fb_sync *sync, fb_mark *mark) {
    uint64_t turn;
    do {
        turn = atomic_load(&sync->turn);
        mark->epoch = atomic_load(&sync->epoch);
        mark->seq = atomic_load(&sync->seq);
        mark->nonce = atomic_load(&sync->nonce);
    } while (turn % 2 != 0 || turn != atomic_load(&sync->turn));
}

typedef struct question {
    const fb_sync *sync;
    uint64_t seq;  // of the value
    fb_verdict_wide verdict;
} question;

static void ask(question *asked, fb_record_kind kind, fb_str name) {
    const slot *at = &asked->sync->slots[fb_sync_slot(kind, name)];
    if (atomic_load(&at->hard) > asked->seq) {
        asked->verdict = FB_WIDE_GONE;
    } else if (atomic_load(&at->soft) > asked->seq && asked->verdict == FB_WIDE_VALID) {
        asked->verdict = FB_WIDE_SOFT;
    }
}

static void ask_tags(question *asked, const fb_loaded *loaded) {
    for (size_t i = 0; i < loaded->tag_count; i++) {
        ask(asked, FB_RECORD_TAG, fb_loaded_tag_at(loaded, i));
    }
}

static void ask_key(question *asked, fb_str key) {
    fb_loaded tags;
    fb_loaded_init(&tags);
    if (fb_catalog_key_tags(fb_cache_catalog(asked->sync->options.cache), key, &tags) == FB_OK) {
        ask_tags(asked, &tags);
    } else {
        asked->verdict = FB_WIDE_GONE;  // it cannot be said
    }
    fb_loaded_release(&tags);
}

static void ask_all(question *asked, fb_str key, const fb_class *class_, const fb_loaded *loaded) {
    ask(asked, FB_RECORD_ALL, (fb_str){NULL, 0});
    if (class_ != NULL && class_->id != FB_CLASS_PLAIN) {
        ask(asked, FB_RECORD_CLASS, class_->name);
        ask(asked, FB_RECORD_NAMESPACE, class_->namespace_name);
    }
    ask_tags(asked, loaded);
    ask_key(asked, key);
}

fb_verdict_wide fb_sync_judge(const fb_sync *sync, const fb_mark *stored, fb_str key,
                              const fb_class *class_, const fb_loaded *loaded) {
    for (int i = 0; i < TRIES; i++) {
        uint64_t turn = atomic_load(&sync->turn);
        question asked = {sync, stored->seq, FB_WIDE_VALID};
        if (FB_RULE(wide_epoch) &&
            (stored->epoch == 0 || stored->epoch != atomic_load(&sync->epoch))) {
            asked.verdict = FB_WIDE_GONE;
        } else if (FB_RULE(wide_stamps)) {
            ask_all(&asked, key, class_, loaded);
        }
        if (turn % 2 == 0 && turn == atomic_load(&sync->turn)) {
            return asked.verdict;
        }
    }
    return FB_WIDE_GONE;
}

// Under the lock.
static void put_mark(fb_sync *sync, const fb_mark *mark) {
    atomic_store(&sync->epoch, mark->epoch);
    atomic_store(&sync->seq, mark->seq);
    atomic_store(&sync->nonce, mark->nonce);
}

void fb_sync_stamps_reset(fb_sync *sync, const fb_mark *wide, const fb_sync_stamp *stamps,
                          size_t stamp_count) {
    pthread_mutex_lock(&sync->lock);
    (void)atomic_fetch_add(&sync->turn, 1);
    for (size_t i = 0; i < FB_SYNC_STAMP_SLOTS; i++) {
        atomic_store_explicit(&sync->slots[i].hard, 0, memory_order_release);
        atomic_store_explicit(&sync->slots[i].soft, 0, memory_order_release);
    }
    for (size_t i = 0; i < stamp_count; i++) {
        slot *at = &sync->slots[stamps[i].slot % FB_SYNC_STAMP_SLOTS];
        atomic_store(&at->hard, stamps[i].hard);
        atomic_store(&at->soft, stamps[i].soft);
    }
    put_mark(sync, wide);
    (void)atomic_fetch_add(&sync->turn, 1);
    pthread_mutex_unlock(&sync->lock);
}

static bool has_slot(fb_record_kind kind) {
    return kind != FB_RECORD_KEY && kind != FB_RECORD_PATTERN;
}

// Under the lock. Whether the stamps are of this epoch; it is raised then.
static bool raise_slot(fb_sync *sync, const fb_record *record, const fb_mark *wide) {
    if (wide->epoch == 0 || wide->epoch != atomic_load(&sync->epoch)) {
        return false;
    }
    if (!has_slot(record->kind)) {
        return true;
    }
    uint64_t seq = record->seq != 0 ? record->seq : wide->seq;
    slot *at = &sync->slots[fb_sync_slot(record->kind, record->name)];
    _Atomic(uint64_t) *number = record->soft ? &at->soft : &at->hard;
    if (atomic_load(number) < seq) {
        atomic_store(number, seq);
    }
    return true;
}

void fb_sync_stamps_warn(fb_sync *sync, const fb_record *record, const fb_mark *wide) {
    pthread_mutex_lock(&sync->lock);
    (void)raise_slot(sync, record, wide);
    pthread_mutex_unlock(&sync->lock);
}

void fb_sync_stamps_raise(fb_sync *sync, const fb_record *record, const fb_mark *wide) {
    pthread_mutex_lock(&sync->lock);
    if (raise_slot(sync, record, wide) && wide->seq == atomic_load(&sync->seq) + 1) {
        (void)atomic_fetch_add(&sync->turn, 1);
        put_mark(sync, wide);
        (void)atomic_fetch_add(&sync->turn, 1);
    }
    pthread_mutex_unlock(&sync->lock);
}

// ---- own records

void fb_sync_disown(fb_sync *sync, uint64_t nonce) {
    pthread_mutex_lock(&sync->lock);
    uint32_t count = atomic_load(&sync->disowned_count);
    if (count < DISOWNED_MAX) {
        sync->disowned[count] = nonce;
    }
    atomic_store(&sync->disowned_count, count <= DISOWNED_MAX ? count + 1 : count);
    pthread_mutex_unlock(&sync->lock);
}

// What was looked for and found is not looked for again: a record comes once.
static bool take_disowned(fb_sync *sync, uint64_t nonce, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (sync->disowned[i] == nonce) {
            sync->disowned[i] = sync->disowned[count - 1];
            atomic_store(&sync->disowned_count, count - 1);
            return true;
        }
    }
    return false;
}

bool fb_sync_disowned(fb_sync *sync, uint64_t nonce) {
    if (atomic_load(&sync->disowned_count) == 0) {
        return false;
    }
    pthread_mutex_lock(&sync->lock);
    uint32_t count = atomic_load(&sync->disowned_count);
    bool disowned = count > DISOWNED_MAX || take_disowned(sync, nonce, count);
    pthread_mutex_unlock(&sync->lock);
    return disowned;
}

void fb_sync_acked(fb_sync *sync, uint32_t log, const fb_mark *mark) {
    FB_ASSERT(log <= sync->options.partitions);
    fb_acked_note(sync->acked, log, mark);
}

void fb_sync_saw(fb_sync *sync, uint32_t log, const fb_mark *mark) {
    FB_ASSERT(log <= sync->options.partitions);
    fb_acked_saw(sync->acked, log, mark);
}

fb_acked *fb_sync_acks(fb_sync *sync) {
    return sync->acked;
}

// ---- what is owed

void fb_sync_owe_wide(fb_sync *sync, int delta) {
    int before = atomic_fetch_add(&sync->wide_owed, delta);
    FB_ASSERT(before + delta >= 0);
}

bool fb_sync_owes_wide(const fb_sync *sync) {
    return atomic_load(&sync->wide_owed) > 0;
}

void fb_sync_owe(fb_sync *sync, uint32_t log, int delta) {
    FB_ASSERT(log <= sync->options.partitions);
    int before = atomic_fetch_add(&sync->owed[log], delta);
    FB_ASSERT(before + delta >= 0);
}

bool fb_sync_owes(const fb_sync *sync, uint32_t log) {
    return atomic_load(&sync->owed[log]) > 0;
}

void fb_sync_wide_applied(fb_sync *sync) {
    (void)atomic_fetch_add(&sync->wides, 1);
}

uint64_t fb_sync_wides(const fb_sync *sync) {
    return atomic_load(&sync->wides);
}

void fb_sync_owed_now(fb_sync *sync, int64_t delta) {
    (void)atomic_fetch_add(&sync->owed_now, delta);
}

// ---- figures

void fb_sync_count(fb_sync *sync, fb_sync_counter counter, uint64_t amount) {
    FB_ASSERT((unsigned)counter < FB_SYNC_COUNTER_COUNT);
    (void)atomic_fetch_add_explicit(&sync->counters[counter], amount, memory_order_relaxed);
}

// Under the lock; NULL: nobody of this name has said anything, and there is no more room.
static said *find_said(fb_sync *sync, uint32_t lane) {
    for (size_t i = 0; i < sync->said_count; i++) {
        if (sync->said[i].lane == lane) {
            return &sync->said[i];
        }
    }
    if (sync->said_count == SAID_MAX) {
        return NULL;
    }
    said *made = &sync->said[sync->said_count++];
    *made = (said){.lane = lane};
    return made;
}

void fb_sync_say(fb_sync *sync, uint32_t lane, fb_sync_state state, const char *why) {
    pthread_mutex_lock(&sync->lock);
    said *at = find_said(sync, lane);
    FB_ASSERT(at != NULL);
    at->state = state;
    (void)snprintf(at->why, sizeof at->why, "%s", why != NULL ? why : "");
    pthread_mutex_unlock(&sync->lock);
}

static void read_said(fb_sync *sync, fb_sync_figures *figures) {
    pthread_mutex_lock(&sync->lock);
    for (size_t i = 0; i < sync->said_count; i++) {
        if (sync->said[i].state > figures->state) {
            figures->state = sync->said[i].state;
            memcpy(figures->why, sync->said[i].why, sizeof figures->why);
        }
    }
    pthread_mutex_unlock(&sync->lock);
}

void fb_sync_figures_read(const fb_sync *sync, int64_t now_ns, fb_sync_figures *figures) {
    *figures = (fb_sync_figures){.partitions = sync->options.partitions, .lag_ns = -1};
    // The lock is no part of what const promises.
    read_said((fb_sync *)(uintptr_t)sync, figures);
    for (size_t i = 0; i < FB_SYNC_COUNTER_COUNT; i++) {
        figures->counters[i] = atomic_load_explicit(&sync->counters[i], memory_order_relaxed);
    }
    int64_t owed = atomic_load(&sync->owed_now);
    figures->owed_now = owed > 0 ? (uint64_t)owed : 0;
    figures->degraded = fb_cache_degraded(sync->options.cache, now_ns);
    int64_t until_ns = fb_cache_coherent_until(sync->options.cache);
    if (until_ns != INT64_MIN) {
        int64_t lag_ns = now_ns - (until_ns - sync->options.max_lag_ns);
        figures->lag_ns = lag_ns > 0 ? lag_ns : 0;
    }
    if (figures->state == FB_SYNC_CONNECTED && figures->degraded > 0) {
        figures->state = FB_SYNC_CATCHING_UP;
        (void)snprintf(figures->why, sizeof figures->why,
                       "%u of %u partitions are not known to be up to date", figures->degraded,
                       figures->partitions);
    }
}
