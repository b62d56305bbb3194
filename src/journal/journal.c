// A list under a lock, and a thread that takes it whole: while it writes and syncs, the next
// requests gather, so the more wait the more share a sync. It sleeps until somebody comes, or
// something is due by itself; a checkpoint comes after the answers, when the log has grown to half
// its size, or has something in it and nobody comes for a while.
//
// After a failure the journal is not healthy until something was written, and after one for want of
// room until new jobs could be; while nobody asks it tries by itself, once a second.

#include "journal/journal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "journal/batch.h"
#include "journal/clock.h"
#include "os/thread.h"

enum {
    MEMORY_DEFAULT = 64 << 20,
    TEXT_SIZE = 256,
    LONGEST_MS = 1000,   // between two looks at the clock
    TESTS_MS = 5,        // the same where the clock is a test's
    IDLE_MS = 50,        // nobody comes for so long: time to empty the log
    FAILED_MS = 100,     // after what is due by itself could not be done
    PROBE_MS = 1000
};

struct fb_journal {
    fb_queue_port port;
    fb_journal_options options;
    fb_journal_batch batch;
    uint64_t memory_bytes;
    int64_t offset_ms;            // the journal's time less that since the machine's start
    bool full;                    // not healthy until new jobs could be written
    int64_t probe_ms;             // since the machine's start: when to try again
    int kill_point;               // FB_JOURNAL_KILL; -1
    long kill_after;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;         // of what follows
    pthread_cond_t wake;
    bool has_lock;
    fb_journal_ask *first, **last;
    uint64_t bytes;               // of what is not answered yet
    bool sleeps, closing, healthy;
    char text[TEXT_SIZE];
};

static const char *const point_names[] = {
#define POINT_NAME(name) #name,
    FB_JOURNAL_POINTS(POINT_NAME)
#undef POINT_NAME
};

// ---- points

// FB_JOURNAL_KILL=COMMITTED:7 in the environment: the process ends there, the seventh time.
static void read_kill(fb_journal *journal) {
    const char *text = getenv("FB_JOURNAL_KILL");
    const char *colon = text != NULL ? strchr(text, ':') : NULL;
    journal->kill_point = -1;
    if (colon == NULL) {
        return;
    }
    fb_str name = fb_str_make(text, (size_t)(colon - text));
    for (size_t i = 0; i < sizeof point_names / sizeof point_names[0]; i++) {
        if (fb_str_equal(name, fb_str_of(point_names[i]))) {
            journal->kill_point = (int)i;
            journal->kill_after = strtol(colon + 1, NULL, 10);
        }
    }
}

static void pass(void *arg, fb_journal_point point) {
    fb_journal *journal = arg;
    if (journal->kill_point == (int)point && --journal->kill_after <= 0) {
        (void)raise(SIGKILL);
    }
}

// ---- the clock

static const fb_queue_policy *no_policy(void *arg, fb_str queue) {
    return NULL;
}

static int64_t now_ms(const fb_journal *journal) {
    return journal->options.now_ms != NULL ? journal->options.now_ms(journal->options.now_arg)
                                           : journal->offset_ms + fb_journal_clock_boot_ms();
}

// ---- health

static void set_health(fb_journal *journal, bool healthy, const char *text) {
    pthread_mutex_lock(&journal->lock);
    bool was = journal->healthy;
    journal->healthy = healthy;
    (void)snprintf(journal->text, sizeof journal->text, "%s", text);
    pthread_mutex_unlock(&journal->lock);
    if (was != healthy) {
        fb_log(healthy ? FB_LOG_INFO : FB_LOG_ERROR,
               healthy ? "queue_writes_again" : "queue_write_failed", "error=%s",
               fb_log_quote(fb_str_of(text), FB_LOG_TEXT_MAX).text);
    }
}

// After each run, checkpoint and probe.
static void judge(fb_journal *journal, int result, bool wrote) {
    bool grew = fb_journal_disk_grew(journal->batch.disk);
    if (result == FB_ENOMEM) {
        return;  // that is no fault of the disk
    }
    if (result != FB_OK) {
        journal->full = result == FB_EFULL;
        journal->probe_ms = fb_journal_clock_boot_ms() + PROBE_MS;
        set_health(journal, false, fb_journal_disk_error(journal->batch.disk));
    } else if (!journal->healthy && wrote && (!journal->full || grew)) {
        set_health(journal, true, "");
    }
}

// ---- the thread

static void done(void *arg, size_t bytes) {
    fb_journal *journal = arg;
    pthread_mutex_lock(&journal->lock);
    journal->bytes -= bytes;
    pthread_mutex_unlock(&journal->lock);
}

static void checkpoint(fb_journal *journal) {
    pass(journal, FB_JOURNAL_CHECKPOINT);
    int result = fb_journal_disk_checkpoint(journal->batch.disk);
    pass(journal, FB_JOURNAL_CHECKPOINT);
    if (result != FB_OK) {
        judge(journal, result, false);
    }
}

static void probe(fb_journal *journal) {
    int result = fb_journal_disk_probe(journal->batch.disk);
    judge(journal, result, true);
}

static void deadline(struct timespec *until, int64_t wait_ms) {
    clock_gettime(CLOCK_MONOTONIC, until);
    until->tv_sec += (time_t)(wait_ms / 1000);
    until->tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until->tv_nsec >= 1000000000) {
        until->tv_sec++;
        until->tv_nsec -= 1000000000;
    }
}

// How long nobody need come; -1: for ever.
static int64_t longest_ms(const fb_journal *journal, int64_t next_ms) {
    int64_t wait_ms = -1;
    if (next_ms != INT64_MAX) {
        int64_t most_ms = journal->options.now_ms != NULL ? TESTS_MS : LONGEST_MS;
        int64_t now = now_ms(journal);
        wait_ms = next_ms > now ? next_ms - now : 1;
        wait_ms = wait_ms < most_ms ? wait_ms : most_ms;
    }
    if (journal->batch.failed != FB_OK) {
        wait_ms = FAILED_MS;
    }
    if (!journal->healthy) {
        int64_t left_ms = journal->probe_ms - fb_journal_clock_boot_ms();
        left_ms = left_ms > 1 ? left_ms : 1;
        wait_ms = wait_ms >= 0 && wait_ms < left_ms ? wait_ms : left_ms;
    }
    return wait_ms;
}

// All that wait; NULL: wait_ms are over, or it is being closed.
static fb_journal_ask *take(fb_journal *journal, int64_t wait_ms, bool *closing) {
    struct timespec until;
    int late = 0;

    pthread_mutex_lock(&journal->lock);
    if (wait_ms > 0) {
        deadline(&until, wait_ms);
    }
    while (journal->first == NULL && !journal->closing && wait_ms != 0 && late == 0) {
        journal->sleeps = true;
        late = wait_ms < 0 ? pthread_cond_wait(&journal->wake, &journal->lock)
                           : pthread_cond_timedwait(&journal->wake, &journal->lock, &until);
        journal->sleeps = false;
    }
    fb_journal_ask *asks = journal->first;
    journal->first = NULL;
    journal->last = &journal->first;
    *closing = journal->closing;
    pthread_mutex_unlock(&journal->lock);
    return asks;
}

// What is due by itself, and all of `asks`. Whether there is more to do at once.
static bool work(fb_journal *journal, fb_journal_ask *asks) {
    fb_journal_batch *batch = &journal->batch;
    do {
        fb_journal_ask *some = fb_journal_batch_cut(&asks);
        batch->now_ms = now_ms(journal);
        if (some != NULL) {
            pass(journal, FB_JOURNAL_TAKEN);
        }
        fb_journal_batch_run(batch, some);
        judge(journal, batch->failed, batch->changed);
        if (fb_journal_disk_log_percent(batch->disk) >= FB_JOURNAL_LOG_DUE) {
            checkpoint(journal);
        }
    } while (asks != NULL);
    return batch->failed == FB_OK && batch->changed;
}

static void *run(void *arg) {
    fb_journal *journal = arg;
    fb_journal_batch *batch = &journal->batch;
    bool closing = false;
    // Nobody is told of what becomes READY before somebody has come: on_ready may be set until
    // then.
    fb_journal_ask *asks = take(journal, -1, &closing);

    // A pass with nothing to do says when something is due: only then it sleeps.
    while (!closing || asks != NULL) {
        bool again = work(journal, asks);
        asks = take(journal, 0, &closing);
        if (asks != NULL || again || closing) {
            continue;
        }
        if (!journal->healthy && fb_journal_clock_boot_ms() >= journal->probe_ms) {
            probe(journal);
        }
        int64_t wait_ms = longest_ms(journal, batch->next_ms);
        bool full = fb_journal_disk_log_percent(batch->disk) >= FB_JOURNAL_LOG_IDLE;
        if (full && (wait_ms < 0 || wait_ms > IDLE_MS)) {
            wait_ms = IDLE_MS;
        }
        asks = take(journal, wait_ms, &closing);
        if (full && asks == NULL && !closing) {
            checkpoint(journal);
        }
    }
    return NULL;
}

// ---- the port

static int push(fb_journal *journal, fb_journal_ask *ask) {
    int result = FB_OK;

    pthread_mutex_lock(&journal->lock);
    if (journal->closing) {
        result = FB_ECLOSED;
    } else if (journal->bytes > 0 && journal->bytes + ask->bytes > journal->memory_bytes) {
        result = FB_EOVERLOAD;
    } else {
        journal->bytes += ask->bytes;
        *journal->last = ask;
        journal->last = &ask->next;
        if (journal->sleeps) {
            journal->sleeps = false;
            pthread_cond_signal(&journal->wake);
        }
    }
    pthread_mutex_unlock(&journal->lock);
    return result;
}

static int send(fb_queue_port *port, const fb_store_request *request, fb_store_reply_fn fn,
                void *arg) {
    fb_journal *journal = (fb_journal *)port;
    // Before the copy is made: what is too much is not even copied.
    if (fb_journal_copy_size(request) > journal->memory_bytes) {
        pthread_mutex_lock(&journal->lock);
        bool others = journal->bytes > 0;
        pthread_mutex_unlock(&journal->lock);
        if (others) {
            return FB_EOVERLOAD;
        }
    }
    fb_journal_ask *ask = fb_journal_copy(request);
    if (ask == NULL) {
        return FB_ENOMEM;
    }
    ask->fn = fn;
    ask->arg = arg;
    int result = push(journal, ask);
    if (result != FB_OK) {
        fb_mem_free(ask);
    }
    return result;
}

fb_queue_port *fb_journal_port(fb_journal *journal) {
    return &journal->port;
}

// ---- beginning and end

static int init_lock(fb_journal *journal) {
    pthread_condattr_t attributes;
    int failed = pthread_condattr_init(&attributes);
    if (failed != 0) {
        return FB_ENOMEM;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    failed = pthread_cond_init(&journal->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (failed == 0 && pthread_mutex_init(&journal->lock, NULL) != 0) {
        (void)pthread_cond_destroy(&journal->wake);
        failed = 1;
    }
    journal->has_lock = failed == 0;
    return failed == 0 ? FB_OK : FB_ENOMEM;
}

static int open_all(fb_journal *journal, fb_error *error) {
    int64_t boot_ms = -1;
    fb_journal_batch *batch = &journal->batch;

    int result = fb_machine_new(&batch->machine);
    if (result == FB_OK) {
        result = init_lock(journal);
    }
    if (result != FB_OK) {
        return fb_error_set(error, result, "%s: out of memory", journal->options.file);
    }
    result = fb_journal_disk_new(&journal->options, &batch->disk, error);
    if (result != FB_OK) {
        return result;
    }
    int64_t start_ms = 0;
    if (journal->options.now_ms == NULL) {
        struct timespec wall;
        clock_gettime(CLOCK_REALTIME, &wall);
        boot_ms = fb_journal_clock_boot_ms();
        start_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
        journal->offset_ms = start_ms - boot_ms;
    } else {
        start_ms = now_ms(journal);
    }
    result = fb_journal_disk_load(batch->disk, batch->machine, start_ms, boot_ms, error);
    if (result != FB_OK) {
        return result;
    }
    pass(journal, FB_JOURNAL_LOADED);
    if (fb_thread_start(&journal->thread, "fb-journal", run, journal) != FB_OK) {
        return fb_error_set(error, FB_EIO, "%s: no thread", journal->options.file);
    }
    journal->started = true;
    return FB_OK;
}

int fb_journal_new(const fb_journal_options *options, fb_journal **out, fb_error *error) {
    fb_journal *journal = fb_mem_zero(1, sizeof *journal);

    if (journal == NULL) {
        return fb_error_set(error, FB_ENOMEM, "%s: out of memory", options->file);
    }
    journal->options = *options;
    if (options->policy_of == NULL) {
        journal->options.policy_of = no_policy;
    }
    journal->memory_bytes = options->memory_bytes > 0 ? options->memory_bytes : MEMORY_DEFAULT;
    journal->port = (fb_queue_port){.name = "journal", .send = send};
    journal->batch = (fb_journal_batch){.options = &journal->options, .port = &journal->port,
                                        .pass = pass, .done = done, .arg = journal,
                                        .next_ms = INT64_MAX};
    journal->last = &journal->first;
    journal->healthy = true;
    read_kill(journal);
    int result = open_all(journal, error);
    if (result != FB_OK) {
        fb_journal_free(journal);
        return result;
    }
    *out = journal;
    return FB_OK;
}

void fb_journal_free(fb_journal *journal) {
    if (journal == NULL) {
        return;
    }
    if (journal->started) {
        pthread_mutex_lock(&journal->lock);
        journal->closing = true;
        pthread_cond_signal(&journal->wake);
        pthread_mutex_unlock(&journal->lock);
        (void)pthread_join(journal->thread, NULL);
    }
    fb_journal_disk_free(journal->batch.disk);
    fb_machine_free(journal->batch.machine);
    fb_journal_batch_release(&journal->batch);
    if (journal->has_lock) {
        (void)pthread_cond_destroy(&journal->wake);
        (void)pthread_mutex_destroy(&journal->lock);
    }
    fb_mem_free(journal);
}

bool fb_journal_healthy(fb_journal *journal, char *text) {
    pthread_mutex_lock(&journal->lock);
    bool healthy = journal->healthy;
    memcpy(text, journal->text, TEXT_SIZE);
    pthread_mutex_unlock(&journal->lock);
    return healthy;
}
