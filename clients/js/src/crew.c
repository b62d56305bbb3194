// The threads that ask the daemon.
//
// The C client blocks, so it is called on threads. They are the crew's own and not libuv's pool:
// that has four threads for all of the process's files and name look-ups, and four fetches of a
// slow class would stop these.
//
// Operations on plain keys go through one of a client's lanes, by the key's hash. A lane has at
// most one thread, which takes all that has gathered there, runs it in order, and puts what were
// gets in a row into one round trip. So operations on one key keep the order of the program even
// where it does not wait for them, and ten thousand gets at once cost a few hundred round trips and
// as many wake-ups, not ten thousand of each. For the same reason no thread is called before the
// program has come to the end of what it does now (fb_crew_flush), or enough has gathered. What may
// take its time (fetches, invalidations) has a thread to itself; SINGLES_MAX of these at once, the
// rest waits, and THREADS_MAX - SINGLES_MAX threads are always left for the lanes.
//
// An environment ends at any time: a worker is terminated, a process exits in the middle of
// requests. Nobody waits for the threads then: what they use is counted, the last one frees it, and
// `stopped`, looked at under the lock, keeps them from waking an environment that is gone. The
// addon is linked so that its code stays mapped.

#include "crew.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    THREADS_MAX = 32,
    SINGLES_MAX = THREADS_MAX - 4,
    TURN_MAX = 128,  // operations a thread takes from a lane at a time
    ENOUGH = 64,     // operations that are not held back any longer
    IDLE_S = 10,     // after which a thread ends
    STACK_BYTES = 1024 * 1024,
};

struct fb_crew {
    pthread_mutex_t lock;
    pthread_cond_t work;
    fb_lane *lanes_first, *lanes_last;    // with operations and without a thread
    fb_op *singles_first, *singles_last;  // not begun
    fb_op *done_first, *done_last;
    fb_note *notes_first, *notes_last;
    uint32_t singles_running;
    uint32_t calls_due;  // lanes in line that no thread was called for
    uint32_t threads;
    uint32_t idle;
    uint32_t called;  // of the idle ones: told that there is work, not there yet
    bool woken;
    bool stopped;
    _Atomic uint32_t refs;
    void (*wake)(void *arg);
    void *wake_arg;
};

// ---- references

static void crew_hold(fb_crew *crew) {
    atomic_fetch_add_explicit(&crew->refs, 1, memory_order_relaxed);
}

void fb_note_free(fb_note *note) {
    fb_js_client_release(note->client);
    free(note);
}

static void ops_free(fb_op *op) {
    while (op != NULL) {
        fb_op *next = op->next;
        fb_op_free(op);
        op = next;
    }
}

void fb_crew_release(fb_crew *crew) {
    if (crew == NULL || atomic_fetch_sub(&crew->refs, 1) != 1) {
        return;
    }
    pthread_cond_destroy(&crew->work);
    pthread_mutex_destroy(&crew->lock);
    free(crew);
}

void fb_js_client_hold(fb_js_client *client) {
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
}

void fb_js_client_release(fb_js_client *client) {
    if (client == NULL || atomic_fetch_sub(&client->refs, 1) != 1) {
        return;
    }
    fb_client_close(client->client);
    fb_crew_release(client->crew);
    free(client);
}

fb_crew *fb_crew_new(void (*wake)(void *arg), void *arg) {
    fb_crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return NULL;
    }
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->work, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&crew->lock, NULL);
    atomic_init(&crew->refs, 1);
    crew->wake = wake;
    crew->wake_arg = arg;
    return crew;
}

// ---- what the environment is told

// The lock is held.
static void wake_environment(fb_crew *crew) {
    if (!crew->woken && !crew->stopped) {
        crew->woken = true;
        crew->wake(crew->wake_arg);
    }
}

// A client's warning; on any thread, also inside a call of the environment's own.
static void take_note(void *arg, const char *event, const char *text) {
    fb_js_client *client = arg;
    fb_crew *crew = client->crew;
    fb_note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        return;
    }
    strncpy(note->event, event, sizeof note->event - 1);
    strncpy(note->text, text, sizeof note->text - 1);
    pthread_mutex_lock(&crew->lock);
    if (crew->stopped) {
        pthread_mutex_unlock(&crew->lock);
        free(note);
        return;
    }
    fb_js_client_hold(client);
    note->client = client;
    if (crew->notes_last == NULL) {
        crew->notes_first = note;
    } else {
        crew->notes_last->next = note;
    }
    crew->notes_last = note;
    wake_environment(crew);
    pthread_mutex_unlock(&crew->lock);
}

int fb_js_client_open(fb_crew *crew, fb_client_options *options, fb_js_client **client,
                      fb_error *error) {
    fb_js_client *it = calloc(1, sizeof *it);
    if (it == NULL) {
        return FB_ENOMEM;
    }
    atomic_init(&it->refs, 1);
    it->crew = crew;
    crew_hold(crew);
    options->warn = take_note;
    options->warn_arg = it;
    int result = fb_client_open(options, &it->client, error);
    if (result != FB_OK) {
        it->client = NULL;
        fb_js_client_release(it);
        return result;
    }
    *client = it;
    return FB_OK;
}

// ---- operations

// FNV-1a: it only has to spread.
uint32_t fb_lane_of(fb_str key) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ (unsigned char)key.ptr[i]) * 16777619u;
    }
    return (hash ^ hash >> 16) % FB_LANES;
}

bool fb_op_changes(const fb_op *op) {
    return op->kind == FB_OP_SET || op->kind == FB_OP_ADD || op->kind == FB_OP_DEL ||
           op->kind == FB_OP_INCR || op->kind == FB_OP_EXPIRE;
}

static bool takes_lane(const fb_op *op) {
    return op->kind != FB_OP_FETCH && op->kind != FB_OP_INVALIDATE;
}

static fb_str copy_to(char **end, fb_str from) {
    char *to = *end;
    if (from.len > 0) {
        memcpy(to, from.ptr, from.len);
    }
    *end = to + from.len;
    return (fb_str){to, from.len};
}

fb_op *fb_op_new(fb_js_client *client, const fb_op *like) {
    size_t room = sizeof(fb_op) + like->param_count * sizeof(fb_param) + like->key.len +
                  like->value.len;
    for (size_t i = 0; i < like->param_count; i++) {
        room += like->params[i].name.len + like->params[i].value.len;
    }
    fb_op *op = malloc(room);
    if (op == NULL) {
        return NULL;
    }
    *op = *like;
    op->params = (fb_param *)(op + 1);
    char *end = (char *)(op->params + like->param_count);
    op->key = copy_to(&end, like->key);
    op->value = copy_to(&end, like->value);
    for (size_t i = 0; i < like->param_count; i++) {
        op->params[i].name = copy_to(&end, like->params[i].name);
        op->params[i].value = copy_to(&end, like->params[i].value);
    }
    op->client = client;
    fb_js_client_hold(client);
    return op;
}

void fb_op_free(fb_op *op) {
    if (op == NULL) {
        return;
    }
    fb_value_release(&op->answer);
    free(op->text);
    fb_js_client_release(op->client);
    free(op);
}

static void conclude(fb_op *op, int result, const fb_error *error) {
    op->result = result;
    if (result < 0) {
        op->text = strdup(error->text[0] != '\0' ? error->text : fb_result_text(result));
    }
}

static int run_key(fb_op *op, fb_error *error) {
    fb_client *client = op->client->client;
    switch (op->kind) {
        case FB_OP_GET: return fb_client_get(client, op->key, &op->answer, error);
        case FB_OP_SET: return fb_client_set(client, op->key, op->value, op->number, error);
        case FB_OP_ADD: return fb_client_add(client, op->key, op->value, op->number, error);
        case FB_OP_DEL: return fb_client_del(client, op->key, error);
        case FB_OP_EXISTS: return fb_client_exists(client, op->key, error);
        case FB_OP_INCR: return fb_client_incr(client, op->key, op->number, &op->count, error);
        case FB_OP_EXPIRE: return fb_client_expire(client, op->key, op->number, error);
        default: return fb_client_ttl(client, op->key, &op->count, error);
    }
}

static int run_single(fb_op *op, fb_error *error) {
    if (op->kind == FB_OP_INVALIDATE) {
        fb_invalidation what = {(fb_scope)op->number, op->key, op->flag};
        return fb_client_invalidate(op->client->client, &what, error);
    }
    fb_client_request request = {.class_name = op->key, .params = op->params,
                                 .param_count = op->param_count, .timeout_ms = op->number,
                                 .refresh = op->flag};
    return fb_client_fetch(op->client->client, &request, &op->answer, error);
}

static void run(fb_op *op) {
    fb_error error = {0};
    int result = takes_lane(op) ? run_key(op, &error) : run_single(op, &error);
    conclude(op, result, &error);
}

// Gets in a row, `count` of them from `op` on, in one round trip. Where that fails for a reason
// that may lie in one of them, each is asked for by itself.
static void run_gets(fb_op *op, size_t count) {
    fb_str keys[TURN_MAX];
    fb_value values[TURN_MAX];
    int results[TURN_MAX];
    fb_error error = {0};
    memset(keys, 0, sizeof keys);
    memset(values, 0, sizeof values);
    fb_op *at = op;
    for (size_t i = 0; i < count; i++, at = at->next) {
        keys[i] = at->key;
    }
    int result = fb_client_get_many(op->client->client, keys, count, values, results, &error);
    for (size_t i = 0; i < count; i++, op = op->next) {
        if (result >= 0) {
            op->answer = values[i];
            conclude(op, results[i], &error);
        } else if (result == FB_EIO || result == FB_ETIMEDOUT) {
            conclude(op, result, &error);
        } else {
            run(op);
        }
    }
}

static void run_turn(fb_op *op) {
    while (op != NULL) {
        size_t gets = 0;
        fb_op *after = op;
        while (after != NULL && after->kind == FB_OP_GET) {
            gets++;
            after = after->next;
        }
        if (gets > 1) {
            run_gets(op, gets);
            op = after;
        } else {
            run(op);
            op = op->next;
        }
    }
}

// ---- threads. The lock is held wherever it is not said otherwise.

static void append(fb_op **first, fb_op **last, fb_op *from, fb_op *to) {
    if (*last == NULL) {
        *first = from;
    } else {
        (*last)->next = from;
    }
    *last = to;
}

static void line_up(fb_crew *crew, fb_lane *lane) {
    lane->busy = true;
    lane->next = NULL;
    if (crew->lanes_last == NULL) {
        crew->lanes_first = lane;
    } else {
        crew->lanes_last->next = lane;
    }
    crew->lanes_last = lane;
}

static bool single_may_run(const fb_crew *crew) {
    return crew->singles_first != NULL && crew->singles_running < SINGLES_MAX;
}

// Takes some of a lane's operations and runs them, without the lock.
static void serve_lane(fb_crew *crew) {
    fb_lane *lane = crew->lanes_first;
    crew->lanes_first = lane->next;
    if (crew->lanes_first == NULL) {
        crew->lanes_last = NULL;
    }
    fb_op *first = lane->first;
    fb_op *last = first;
    lane->length--;
    for (size_t taken = 1; taken < TURN_MAX && last->next != NULL; taken++) {
        last = last->next;
        lane->length--;
    }
    lane->first = last->next;
    if (lane->first == NULL) {
        lane->last = NULL;
    }
    last->next = NULL;
    // The lane lies in the client, and whoever collects the operations may drop that.
    fb_js_client *client = first->client;
    fb_js_client_hold(client);
    pthread_mutex_unlock(&crew->lock);

    run_turn(first);

    pthread_mutex_lock(&crew->lock);
    lane->busy = false;
    if (lane->first != NULL) {
        line_up(crew, lane);
    }
    append(&crew->done_first, &crew->done_last, first, last);
    wake_environment(crew);
    pthread_mutex_unlock(&crew->lock);
    fb_js_client_release(client);
    pthread_mutex_lock(&crew->lock);
}

static void serve_single(fb_crew *crew) {
    fb_op *op = crew->singles_first;
    crew->singles_first = op->next;
    if (crew->singles_first == NULL) {
        crew->singles_last = NULL;
    }
    op->next = NULL;
    crew->singles_running++;
    pthread_mutex_unlock(&crew->lock);

    run(op);

    pthread_mutex_lock(&crew->lock);
    crew->singles_running--;
    append(&crew->done_first, &crew->done_last, op, op);
    wake_environment(crew);
}

// False after IDLE_S without work.
static bool wait_for_work(fb_crew *crew) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_S;
    crew->idle++;
    int status = pthread_cond_timedwait(&crew->work, &crew->lock, &until);
    crew->idle--;
    if (crew->called > 0) {
        crew->called--;
    }
    return status == 0 || crew->lanes_first != NULL || single_may_run(crew);
}

// All operations that no thread has, in whatever state.
static fb_op *take_all(fb_crew *crew) {
    fb_op *first = NULL;
    fb_op *last = NULL;
    for (fb_lane *lane = crew->lanes_first; lane != NULL; lane = lane->next) {
        append(&first, &last, lane->first, lane->last);
        lane->first = lane->last = NULL;
        lane->length = 0;
        lane->busy = false;
    }
    if (crew->singles_first != NULL) {
        append(&first, &last, crew->singles_first, crew->singles_last);
    }
    if (crew->done_first != NULL) {
        append(&first, &last, crew->done_first, crew->done_last);
    }
    crew->lanes_first = crew->lanes_last = NULL;
    crew->singles_first = crew->singles_last = NULL;
    crew->done_first = crew->done_last = NULL;
    return first;
}

static void *serve(void *arg) {
    fb_crew *crew = arg;
    pthread_mutex_lock(&crew->lock);
    while (!crew->stopped) {
        if (crew->lanes_first != NULL) {
            serve_lane(crew);
        } else if (single_may_run(crew)) {
            serve_single(crew);
        } else if (!wait_for_work(crew)) {
            break;
        }
    }
    crew->threads--;
    // What ended after the stop is nobody's, and so is what gathered in a lane that was being
    // served.
    fb_op *late = crew->stopped ? take_all(crew) : NULL;
    pthread_mutex_unlock(&crew->lock);
    ops_free(late);
    fb_crew_release(crew);
    return NULL;
}

static bool start_thread(fb_crew *crew) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    // Signals are for the threads of the program.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    crew_hold(crew);
    bool started = pthread_create(&thread, &attributes, serve, crew) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (started) {
        crew->threads++;
    } else {
        atomic_fetch_sub(&crew->refs, 1);  // never the last one: the caller has one
    }
    return started;
}

// Somebody must look after what was just added.
static void call_thread(fb_crew *crew) {
    if (crew->idle > crew->called) {
        crew->called++;
        pthread_cond_signal(&crew->work);
    } else if (crew->threads < THREADS_MAX) {
        // With another thread at work this one may fail: that thread will come to it.
        (void)start_thread(crew);
    }
}

// Without any thread nothing of what waits would ever be done.
static void fail_waiting(fb_crew *crew) {
    fb_error error = {.text = "no thread could be started"};
    fb_op *done = crew->done_first;
    crew->done_first = crew->done_last = NULL;
    fb_op *first = take_all(crew);
    fb_op *last = first;
    for (fb_op *op = first; op != NULL; op = op->next) {
        conclude(op, FB_ENOMEM, &error);
        last = op;
    }
    if (first != NULL) {
        append(&crew->done_first, &crew->done_last, first, last);
        wake_environment(crew);
    }
    while (done != NULL) {
        fb_op *next = done->next;
        done->next = NULL;
        append(&crew->done_first, &crew->done_last, done, done);
        done = next;
    }
}

static void call_due(fb_crew *crew) {
    for (; crew->calls_due > 0; crew->calls_due--) {
        call_thread(crew);
    }
    if (crew->threads == 0) {
        fail_waiting(crew);
    }
}

void fb_crew_submit(fb_op *op) {
    fb_js_client *client = op->client;
    fb_crew *crew = client->crew;
    op->next = NULL;
    pthread_mutex_lock(&crew->lock);
    bool now = true;
    if (takes_lane(op)) {
        fb_lane *lane = &client->lanes[fb_lane_of(op->key)];
        append(&lane->first, &lane->last, op, op);
        now = ++lane->length == ENOUGH;
        if (!lane->busy) {
            line_up(crew, lane);
            crew->calls_due++;
        }
    } else {
        append(&crew->singles_first, &crew->singles_last, op, op);
        crew->calls_due++;
    }
    if (now) {
        call_due(crew);
    }
    pthread_mutex_unlock(&crew->lock);
}

void fb_crew_flush(fb_crew *crew) {
    pthread_mutex_lock(&crew->lock);
    call_due(crew);
    pthread_mutex_unlock(&crew->lock);
}

void fb_crew_collect(fb_crew *crew, fb_op **done, fb_note **notes) {
    pthread_mutex_lock(&crew->lock);
    *done = crew->done_first;
    *notes = crew->notes_first;
    crew->done_first = crew->done_last = NULL;
    crew->notes_first = crew->notes_last = NULL;
    crew->woken = false;
    pthread_mutex_unlock(&crew->lock);
}

void fb_crew_stop(fb_crew *crew) {
    pthread_mutex_lock(&crew->lock);
    crew->stopped = true;
    fb_op *ops = take_all(crew);
    fb_note *notes = crew->notes_first;
    crew->notes_first = crew->notes_last = NULL;
    pthread_cond_broadcast(&crew->work);
    pthread_mutex_unlock(&crew->lock);
    ops_free(ops);
    while (notes != NULL) {
        fb_note *next = notes->next;
        fb_note_free(notes);
        notes = next;
    }
}
