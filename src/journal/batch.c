// One try: step the machine for each request, read the payloads that replies need, write what
// changed, commit. It succeeds for all of its requests, or the machine and the file are as they
// were before.
//
// Where it fails for want of room, requests that bring new jobs are refused and the others tried
// again without taking new room (disk_room.c). Where it fails otherwise each request is tried by
// itself, so that one that cannot be done (a damaged page below one payload) takes no other with
// it. After two commits in a row that failed the rest is not tried any more: this is a broken disk.
//
// Replies point into the machine until what was done is kept, so that comes last.

#include "journal/batch.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rule.h"
#include "base/str.h"

enum { BATCH_MAX = 2048, BATCH_BYTES = 2 << 20, SWEEP_MAX = 1000, COMMITS_FAILED_MAX = 2 };

// Queues in which the sweep made jobs READY.
typedef struct ready {
    struct ready *next;
    fb_str queue;
} ready;

// ---- a try

static int note_ready(fb_journal_batch *batch, fb_str queue, ready **list) {
    for (ready *one = *list; one != NULL; one = one->next) {
        if (fb_str_equal(one->queue, queue)) {
            return FB_OK;
        }
    }
    ready *one = fb_arena_new(&batch->arena, sizeof *one);
    if (one == NULL) {
        return FB_ENOMEM;
    }
    one->queue = fb_arena_copy(&batch->arena, queue);
    one->next = *list;
    *list = one;
    return one->queue.len == queue.len ? FB_OK : FB_ENOMEM;
}

static int sweep(fb_journal_batch *batch, ready **list) {
    size_t place = 0;
    const fb_change *change;
    int result = fb_machine_sweep(batch->machine, batch->options->policy_of,
                                  batch->options->policy_arg, batch->now_ms, SWEEP_MAX,
                                  &batch->next_ms);
    *list = NULL;
    while (result == FB_OK && (change = fb_machine_change(batch->machine, &place)) != NULL) {
        if (change->kind == FB_CHANGE_JOB && change->job.state == FB_JOB_READY) {
            result = note_ready(batch, change->queue, list);
        }
    }
    return result;
}

// Jobs made since the last commit have their payloads already.
static int add_payloads(fb_journal_batch *batch, fb_store_reply *reply, bool told) {
    fb_job *jobs = fb_arena_new(&batch->arena, reply->job_count * sizeof *jobs);
    if (jobs == NULL) {
        return FB_ENOMEM;
    }
    for (size_t i = 0; i < reply->job_count; i++) {
        jobs[i] = reply->jobs[i];
        if (!told) {
            jobs[i].payload = (fb_str){NULL, 0};
            continue;
        }
        int result = jobs[i].payload.ptr != NULL
                         ? FB_OK
                         : fb_journal_disk_payload(batch->disk, jobs[i].queue, jobs[i].number,
                                                   &batch->arena, &jobs[i].payload);
        if (result != FB_OK) {
            return result;
        }
    }
    reply->jobs = jobs;
    return FB_OK;
}

static int step(fb_journal_batch *batch, fb_journal_ask *ask) {
    const fb_store_request *request = &ask->request;
    int64_t now_ms = request->now_ms > 0 ? request->now_ms : batch->now_ms;
    int result = fb_machine_step(batch->machine, request, now_ms, &ask->reply);

    if (result != FB_OK) {
        return result;
    }
    bool told = request->verb != FB_STORE_LIST || request->flag;
    return ask->reply.job_count > 0 ? add_payloads(batch, &ask->reply, told) : FB_OK;
}

static int write_changes(fb_journal_batch *batch, bool lean, bool *any) {
    size_t place = 0;
    const fb_change *change;
    int result = FB_OK;

    while (result == FB_OK && (change = fb_machine_change(batch->machine, &place)) != NULL) {
        *any = true;
        result = fb_journal_disk_put(batch->disk, change, change->job.payload, lean);
    }
    return result;
}

// *any: something changed. *begun: the commit was.
static int try_all(fb_journal_batch *batch, fb_journal_ask *asks, bool lean, ready **list,
                   bool *begun) {
    bool any = false;
    int result = FB_OK;

    fb_arena_reset(&batch->arena);
    *begun = false;
    result = sweep(batch, list);
    for (fb_journal_ask *ask = asks; result == FB_OK && ask != NULL; ask = ask->next) {
        result = step(batch, ask);
    }
    if (result == FB_OK) {
        batch->pass(batch->arg, FB_JOURNAL_STEPPED);
        result = write_changes(batch, lean, &any);
    }
    if (result == FB_OK) {
        batch->pass(batch->arg, FB_JOURNAL_WRITTEN);
        *begun = any;
        result = fb_journal_disk_commit(batch->disk);
    }
    if (result != FB_OK) {
        fb_journal_disk_rollback(batch->disk);
        if (FB_RULE(journal_undo)) {
            fb_machine_undo(batch->machine);
        }
        return result;
    }
    batch->pass(batch->arg, FB_JOURNAL_COMMITTED);
    batch->changed = batch->changed || any;
    return FB_OK;
}

// ---- answers

// Whoever asks again at once finds that there is room for it.
static void answer(fb_journal_batch *batch, const fb_journal_ask *asks) {
    size_t bytes = 0;
    for (const fb_journal_ask *ask = asks; ask != NULL; ask = ask->next) {
        bytes += ask->bytes;
    }
    if (bytes > 0) {
        batch->done(batch->arg, bytes);
    }
    for (const fb_journal_ask *ask = asks; ask != NULL; ask = ask->next) {
        ask->fn(ask->arg, &ask->reply);
    }
}

static void drop(fb_journal_ask *asks) {
    while (asks != NULL) {
        fb_journal_ask *ask = asks;
        asks = ask->next;
        fb_mem_free(ask);
    }
}

// Stored: they are told, and who waits for jobs. A reply may point into another one's request.
static void conclude(fb_journal_batch *batch, fb_journal_ask *asks, const ready *list) {
    answer(batch, asks);
    fb_machine_keep(batch->machine);
    drop(asks);
    for (; list != NULL && batch->port->on_ready != NULL; list = list->next) {
        batch->port->on_ready(batch->port->on_ready_arg, list->queue);
    }
    batch->pass(batch->arg, FB_JOURNAL_ANSWERED);
}

// Not stored: what failed says how each is told.
static void refuse(fb_journal_batch *batch, fb_journal_ask *asks) {
    for (fb_journal_ask *ask = asks; ask != NULL; ask = ask->next) {
        fb_store_result told = FB_STORE_FAILED;
        if (fb_journal_disk_doubt(batch->disk)) {
            told = FB_STORE_UNKNOWN;
        } else if (ask->failed == FB_EFULL) {
            told = FB_STORE_FULL;
        }
        const char *text =
            ask->failed == FB_ENOMEM ? "out of memory" : fb_journal_disk_error(batch->disk);
        ask->reply = (fb_store_reply){.result = told, .now_ms = batch->now_ms, .text = text};
    }
    answer(batch, asks);
    drop(asks);
}

// ---- tries

static bool grows(const fb_journal_ask *ask) {
    return ask->request.verb == FB_STORE_ENQUEUE || ask->request.verb == FB_STORE_IMPORT ||
           ask->request.verb == FB_STORE_MARK_SET;
}

static void append(fb_journal_ask **list, fb_journal_ask *ask) {
    while (*list != NULL) {
        list = &(*list)->next;
    }
    ask->next = NULL;
    *list = ask;
}

// The log may not become longer than it is: it starts from its beginning.
static int try_lean(fb_journal_batch *batch, fb_journal_ask *asks, ready **list, bool *begun) {
    if (fb_journal_disk_log_percent(batch->disk) > FB_JOURNAL_LOG_DUE / 2) {
        int result = fb_journal_disk_checkpoint(batch->disk);
        if (result != FB_OK) {
            return result;
        }
    }
    return try_all(batch, asks, true, list, begun);
}

// Each by itself. What cannot be done is answered at the end, when it is known whether there is
// doubt.
static void run_each(fb_journal_batch *batch, fb_journal_ask *asks, bool lean) {
    fb_journal_ask *failed = NULL;
    ready *list = NULL;
    int commits = 0;

    while (asks != NULL) {
        fb_journal_ask *ask = asks;
        bool begun = false;
        int result = batch->failed;
        asks = ask->next;
        ask->next = NULL;
        if (commits < COMMITS_FAILED_MAX) {
            result = lean ? try_lean(batch, ask, &list, &begun)
                          : try_all(batch, ask, false, &list, &begun);
            if (result == FB_EFULL && !lean && !grows(ask) && FB_RULE(journal_lean)) {
                result = try_lean(batch, ask, &list, &begun);
            }
        }
        if (result == FB_OK) {
            commits = begun ? 0 : commits;
            conclude(batch, ask, list);
            continue;
        }
        commits += begun ? 1 : 0;
        batch->failed = ask->failed = result;
        append(&failed, ask);
    }
    refuse(batch, failed);
}

// What brings no new jobs goes on; what does is told at the end, when it is known whether there is
// doubt.
static void run_lean(fb_journal_batch *batch, fb_journal_ask *asks) {
    fb_journal_ask *refused = NULL;
    fb_journal_ask *rest = NULL;
    ready *list = NULL;
    bool begun = false;

    while (asks != NULL) {
        fb_journal_ask *ask = asks;
        asks = ask->next;
        ask->failed = FB_EFULL;
        append(grows(ask) ? &refused : &rest, ask);
    }
    int result = try_lean(batch, rest, &list, &begun);
    if (result == FB_OK) {
        conclude(batch, rest, list);
    } else {
        run_each(batch, rest, true);
    }
    refuse(batch, refused);
}

void fb_journal_batch_run(fb_journal_batch *batch, fb_journal_ask *asks) {
    ready *list = NULL;
    bool begun = false;

    batch->changed = false;
    batch->failed = FB_OK;
    batch->next_ms = INT64_MAX;
    int result = try_all(batch, asks, false, &list, &begun);
    if (result == FB_OK) {
        conclude(batch, asks, list);
        return;
    }
    batch->failed = result;
    if (result == FB_EFULL && FB_RULE(journal_lean)) {
        run_lean(batch, asks);
    } else {
        run_each(batch, asks, false);
    }
}

fb_journal_ask *fb_journal_batch_cut(fb_journal_ask **asks) {
    fb_journal_ask *first = *asks;
    fb_journal_ask **end = asks;
    size_t bytes = 0;

    for (size_t count = 0; *end != NULL && count < BATCH_MAX; count++) {
        bytes += (*end)->bytes;
        if (count > 0 && bytes > BATCH_BYTES) {
            break;
        }
        end = &(*end)->next;
    }
    *asks = *end;
    *end = NULL;
    return first;
}

void fb_journal_batch_release(fb_journal_batch *batch) {
    fb_arena_release(&batch->arena);
}
