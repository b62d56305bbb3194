// A queue from the other store into this one: jobs and marks, with numbers, states and tokens.
//
//   LIST at the source → IMPORT here, with a mark raised in the same step → CANCEL at the source
//
// A batch at a time, on a thread of its own. The mark says up to which number jobs were taken: so a
// move that was cut off between IMPORT and CANCEL brings none of them twice when it goes on, and
// CANCEL does the rest. When nothing is left at the source the mark goes, too. Numbers ascend within
// a partition only, so each of the source's has a mark of its own: with one for all, a job that came
// after the cut in a partition that lags behind would pass for one that was taken.
//
// Jobs that this store has got in the meantime may have the same numbers: then those that come get
// others.
//
// A job that is finished at the source between LIST and CANCEL (by a worker of another node) is not
// there any more when it is to be cancelled: then it is taken back here, by the number that it has
// here. Only the answer to a first CANCEL says that; where it does not come the move stops, and
// whoever goes on with it finds what is still there.

#include "engine/queues_inside.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"
#include "os/thread.h"
#include "redis/queue.h"

enum { BATCH = 100, MARKS = 500, PARTITIONS = 64, NAME_SIZE = 32 };

typedef struct move {
    fb_queue_trip *trip;  // whose answer it is
    fb_queues *queues;
    fb_journal *journal;  // the source, or
    fb_lane *lane;        // whose connection it is
    const char *mark;     // what marks' names begin with
    uint64_t moved;
    uint64_t here[BATCH]; // of a batch: the numbers that its jobs have here; 0: not taken now
} move;

// ---- asking either store, waiting

typedef struct crossing {
    fb_post post;
    fb_queue_trip *trip;
    fb_lane *lane;
} crossing;

static void transmit_on_lane(fb_post *post) {
    const crossing *one = FB_LIST_OF(post, crossing, post);
    if (one->lane->ended) {
        fb_queue_trip_answer(one->trip, FB_ECLOSED, NULL);
    } else {
        fb_queue_trip_transmit(one->trip, fb_remote_queue_port(one->lane->remote));
    }
}

static void ask_source(const move *one, fb_queue_trip *trip) {
    fb_sleeper sleeper;
    crossing cross = {.post.fn = transmit_on_lane, .trip = trip, .lane = one->lane};
    trip->sleeper = &sleeper;
    trip->quiet = true;
    trip->begin_ns = fb_clock_now_ns();
    trip->until_ns = trip->begin_ns + fb_queues_timeout_ns(one->queues);
    fb_sleeper_begin(&sleeper, 1);
    if (one->journal != NULL) {
        fb_queue_trip_transmit(trip, fb_journal_port(one->journal));
    } else {
        trip->lane = one->lane->index;
        fb_loop_submit(one->lane->loop, &cross.post);
    }
    fb_sleeper_wait(&sleeper);
}

static int new_trip(const move *one, fb_store_verb verb, fb_queue_trip **trip, fb_error *error) {
    int result = fb_queue_trip_new(one->queues, one->trip->terms, verb, true, trip);
    if (result < 0) {
        return fb_error_set(error, result, "%s", fb_result_text(result));
    }
    return FB_OK;
}

static int result_of(const fb_queue_trip *trip, fb_error *error) {
    return trip->result < 0 ? fb_error_set(error, trip->result, "%s", trip->error) : trip->result;
}

// ---- one batch

static fb_str name_mark(const move *one, uint64_t partition, char *name) {
    int len = snprintf(name, NAME_SIZE, "%s:%u", one->mark, (unsigned)partition);
    return fb_str_make(name, (size_t)len);
}

// Those of one of the source's partitions; `places` are theirs in the batch.
static int import_some(move *one, const fb_queue_trip *listed, const size_t *places, size_t count,
                       fb_error *error) {
    char name[NAME_SIZE];
    fb_queue_trip *trip = NULL;
    int result = new_trip(one, FB_STORE_IMPORT, &trip, error);
    if (result < 0) {
        return result;
    }
    fb_store_job *jobs = fb_arena_new(&trip->arena, count * sizeof *jobs);
    if (jobs == NULL) {
        fb_queue_trip_drop(trip);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        jobs[i] = (fb_store_job){.job = listed->reply.jobs[places[i]]};
    }
    trip->request.jobs = jobs;
    trip->request.item_count = count;
    trip->request.flag = true;
    trip->request.mark = name_mark(one, jobs[0].job.number % PARTITIONS, name);
    trip->request.mark_value = (int64_t)jobs[count - 1].job.number;
    fb_queue_trip_wait(trip);
    result = result_of(trip, error);
    one->moved += result == FB_OK ? trip->reply.value : 0;
    for (size_t i = 0; i < count && result == FB_OK && trip->reply.numbers != NULL; i++) {
        one->here[places[i]] = trip->reply.numbers[i];
    }
    fb_queue_trip_end(trip);
    return result;
}

static int import(move *one, const fb_queue_trip *listed, fb_error *error) {
    size_t places[BATCH];
    int result = FB_OK;
    memset(one->here, 0, sizeof one->here);
    for (uint64_t partition = 0; partition < PARTITIONS && result == FB_OK; partition++) {
        size_t count = 0;
        for (size_t i = 0; i < listed->reply.job_count; i++) {
            if (listed->reply.jobs[i].number % PARTITIONS == partition) {
                places[count++] = i;
            }
        }
        if (count > 0) {
            result = import_some(one, listed, places, count, error);
        }
    }
    return result;
}

static fb_job_claim *claims_of(fb_arena *arena, const fb_job *jobs, size_t count) {
    fb_job_claim *claims = fb_arena_new(arena, count * sizeof *claims);
    for (size_t i = 0; claims != NULL && i < count; i++) {
        claims[i] = (fb_job_claim){.number = jobs[i].number};
    }
    return claims;
}

// Those that were finished there in the meantime.
static int take_back(const move *one, const fb_queue_trip *cancelled, fb_error *error) {
    fb_queue_trip *trip = NULL;
    size_t count = 0;
    int result = new_trip(one, FB_STORE_CANCEL, &trip, error);
    if (result < 0) {
        return result;
    }
    size_t most = cancelled->request.item_count;
    fb_job_claim *claims = fb_arena_new(&trip->arena, most * sizeof *claims);
    int failed = FB_OK;
    for (size_t i = 0; claims != NULL && i < most; i++) {
        int one_result = cancelled->reply.results[i];
        if (one_result == FB_MISS && one->here[i] > 0) {
            claims[count++] = (fb_job_claim){.number = one->here[i]};
        }
        failed = one_result < 0 ? one_result : failed;
    }
    if (failed < 0) {
        fb_queue_trip_drop(trip);
        return fb_error_set(error, failed, "not all of the source answered: %s",
                            fb_result_text(failed));
    }
    if (count == 0) {
        fb_queue_trip_drop(trip);
        return claims != NULL ? FB_OK : fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    trip->request.claims = claims;
    trip->request.item_count = count;
    fb_queue_trip_wait(trip);
    result = result_of(trip, error);
    fb_queue_trip_end(trip);
    return result;
}

static int cancel(const move *one, const fb_queue_trip *listed, fb_error *error) {
    fb_queue_trip *trip = NULL;
    size_t count = listed->reply.job_count;
    int result = new_trip(one, FB_STORE_CANCEL, &trip, error);
    if (result < 0) {
        return result;
    }
    trip->request.claims = claims_of(&trip->arena, listed->reply.jobs, count);
    trip->request.item_count = count;
    if (trip->request.claims == NULL) {
        fb_queue_trip_drop(trip);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    ask_source(one, trip);
    result = result_of(trip, error);
    if (result == FB_OK) {
        result = take_back(one, trip, error);
    }
    fb_queue_trip_end(trip);
    return result;
}

// So many that what they bring, were all as large as they may be, is no trouble for either store.
static uint32_t batch_of(const move *one) {
    enum { BYTES = 64 << 20 };
    uint64_t count = BYTES / one->trip->terms->options->payload_max;
    return count < 1 ? 1 : count < BATCH ? (uint32_t)count : BATCH;
}

// FB_OK: there may be more; FB_MISS: there was nothing.
static int move_batch(move *one, fb_error *error) {
    fb_queue_trip *trip = NULL;
    int result = new_trip(one, FB_STORE_LIST, &trip, error);
    if (result < 0) {
        return result;
    }
    trip->request.state = -1;
    trip->request.flag = true;
    trip->request.count = batch_of(one);
    ask_source(one, trip);
    result = result_of(trip, error);
    if (result == FB_OK && trip->reply.job_count == 0) {
        result = FB_MISS;
    }
    if (result == FB_OK) {
        result = import(one, trip, error);
    }
    if (result == FB_OK) {
        result = cancel(one, trip, error);
    }
    fb_queue_trip_end(trip);
    return result;
}

// ---- marks

static int ask_mark(const move *one, fb_store_verb verb, fb_str mark, int64_t value, bool source,
                    fb_error *error) {
    fb_queue_trip *trip = NULL;
    int result = new_trip(one, verb, &trip, error);
    if (result < 0) {
        return result;
    }
    trip->request.mark = mark;
    trip->request.mark_value = value;
    if (source) {
        ask_source(one, trip);
    } else {
        fb_queue_trip_wait(trip);
    }
    result = result_of(trip, error);
    fb_queue_trip_end(trip);
    return result;
}

static int move_marks(const move *one, fb_error *error) {
    fb_queue_trip *trip = NULL;
    bool any = true;
    int result = FB_OK;
    while (any && result == FB_OK) {
        result = new_trip(one, FB_STORE_MARK_LIST, &trip, error);
        if (result < 0) {
            return result;
        }
        trip->request.count = MARKS;
        ask_source(one, trip);
        result = result_of(trip, error);
        any = result == FB_OK && trip->reply.mark_count > 0;
        for (size_t i = 0; any && i < trip->reply.mark_count && result == FB_OK; i++) {
            fb_store_mark mark = trip->reply.marks[i];
            bool own = fb_str_starts(mark.name, FB_STR("move:"));
            if (!own) {
                result = ask_mark(one, FB_STORE_MARK_SET, mark.name, mark.value, false, error);
            }
            if (result == FB_OK) {
                result = ask_mark(one, FB_STORE_MARK_DROP, mark.name, 0, true, error);
            }
        }
        fb_queue_trip_end(trip);
    }
    return result < 0 ? result : FB_OK;
}

// ---- the whole

static int open_source(move *one, fb_error *error) {
    fb_queues *queues = one->queues;
    if (!queues->shared) {
        one->lane = &queues->engine->lanes[0];
        return FB_OK;
    }
    if (!fb_queue_store_found(queues)) {
        return FB_MISS;
    }
    fb_journal_options options = fb_queue_journal_options(queues);
    return fb_journal_new(&options, &one->journal, error);
}

static int move_all(move *one, fb_error *error) {
    int result = open_source(one, error);
    if (result != FB_OK) {
        return result == FB_MISS ? FB_OK : result;
    }
    do {
        result = atomic_load(&one->queues->stopped)
                     ? fb_error_set(error, FB_ECLOSED, "shutting down: %llu jobs were moved",
                                    (unsigned long long)one->moved)
                     : move_batch(one, error);
    } while (result == FB_OK);
    if (result == FB_MISS) {
        result = move_marks(one, error);
    }
    for (uint64_t partition = 0; partition < PARTITIONS && result == FB_OK; partition++) {
        char name[NAME_SIZE];
        fb_str mark = name_mark(one, partition, name);
        result = ask_mark(one, FB_STORE_MARK_DROP, mark, 0, false, error);
    }
    fb_journal_free(one->journal);
    return result < 0 ? result : FB_OK;
}

static void *run(void *arg) {
    fb_queue_trip *trip = arg;
    fb_queues *queues = trip->queues;
    move one = {.trip = trip,
                .queues = queues,
                .mark = queues->shared ? "move:journal" : "move:redis"};
    fb_error error = {0};
    int result = move_all(&one, &error);
    fb_log(result < 0 ? FB_LOG_WARN : FB_LOG_INFO, "queue_moved", "queue=%s to=%s jobs=%llu why=%s",
           trip->queue->name, queues->store_name, (unsigned long long)one.moved,
           fb_log_quote(fb_str_of(error.text), FB_LOG_TEXT_MAX).text);
    trip->reply.value = one.moved;
    trip->reply.look.next_ms = INT64_MAX;
    atomic_store(&queues->moving, false);
    fb_queue_trip_answer(trip, result, error.text);
    return NULL;
}

void fb_queue_move_join(fb_queues *queues) {
    if (queues->mover_runs) {
        queues->mover_runs = false;
        pthread_join(queues->mover, NULL);
    }
}

int fb_queue_move_start(fb_queue_trip *trip, fb_error *error) {
    fb_queues *queues = trip->queues;
    if (!queues->shared && queues->engine->shared == NULL) {
        return fb_error_set(error, FB_EINVAL, "there is no shared tier to move jobs from");
    }
    if (atomic_exchange(&queues->moving, true)) {
        return fb_error_set(error, FB_EINVAL, "another queue is being moved: one at a time");
    }
    fb_queue_move_join(queues);  // who moved before is at his last words, if he still is
    int result = fb_thread_start(&queues->mover, "forebay-move", run, trip);
    if (result < 0) {
        atomic_store(&queues->moving, false);
        return fb_error_set(error, result, "cannot start a thread: %s", fb_result_text(result));
    }
    queues->mover_runs = true;
    return FB_OK;
}
