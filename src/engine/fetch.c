// fb_fetch and its kin: look up on the caller's thread; what that does not answer becomes a call.
//
// The tag sequence is read before the look-up: a reader must not be answered by a load that an
// invalidation overtook before the reader began, and "began" is here.
//
// A caller's loader is his until the call succeeds in handing it on, to a call that waits or to a
// refresh behind an answer from memory; whatever else happens, it is given back here.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/blob.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

// ---- the question

typedef struct question {
    fb_engine *engine;
    const fb_class *class_;
    fb_scratch *scratch;
    uint64_t seq;
    int64_t begin_ns;
    int64_t timeout_ms;
    int64_t ttl_ns;  // as fb_ask.ttl_ns
    bool refresh;
    bool skip_memory, distrust_memory;  // as in fb_ask
    fb_loader loader;  // as long as it is the caller's
    fb_bound *bound;   // points into scratch->bind
} question;

static int say_closed(fb_error *error) {
    return fb_error_set(error, FB_ECLOSED, "shutting down");
}

static int say_no_memory(fb_error *error) {
    return fb_error_set(error, FB_ENOMEM, "out of memory");
}

static void drop_loader(question *q) {
    if (q->loader.free != NULL) {
        q->loader.free(q->loader.arg);
    }
    q->loader = (fb_loader){0};
}

// Since when, and with what.
static int begin(question *q, fb_error *error) {
    q->begin_ns = fb_clock_now_ns();
    if (atomic_load_explicit(&q->engine->closing, memory_order_relaxed)) {
        return say_closed(error);
    }
    q->scratch = fb_scratch_get();
    if (q->scratch == NULL) {
        return say_no_memory(error);
    }
    q->seq = fb_cache_seq(q->engine->cache);
    return FB_OK;
}

// FB_ENOCLASS: there is none of that name.
static int find_class(const fb_engine *engine, fb_str name, const fb_class **class_,
                      fb_error *error) {
    *class_ = fb_catalog_find(fb_cache_catalog(engine->cache), name);
    return *class_ != NULL && (*class_)->id != FB_CLASS_PLAIN
               ? FB_OK
               : fb_error_set(error, FB_ENOCLASS, "there is no class '%.*s'", FB_STR_ARG(name));
}

static int ask_class(question *q, const fb_request *request, fb_error *error) {
    int result = find_class(q->engine, request->class_name, &q->class_, error);
    if (result < 0) {
        return result;
    }
    if (q->class_->source == NULL && request->loader == NULL) {
        return fb_error_set(error, FB_ENOSOURCE,
                            "class '%.*s' has no source and the request brought no loader",
                            FB_STR_ARG(q->class_->name));
    }
    return fb_class_bind(q->class_, request->params, request->param_count, &q->scratch->bind,
                         q->bound, error);
}

// Which tier may answer.
static int ask_tiers(question *q, const fb_request *request, fb_error *error) {
    fb_cover cover;
    bool shared = q->engine->shared != NULL;
    if (!shared && request->after.len == 0) {
        return FB_OK;
    }
    int result = fb_token_cover(q->engine, request->after, q->bound->key, &cover);
    if (result < 0) {
        return fb_error_set(error, result, "'%.*s' is not the token of a change",
                            FB_STR_ARG(request->after));
    }
    q->skip_memory = shared && q->class_->options.order == FB_ORDER_SHARED_FIRST;
    q->distrust_memory = cover == FB_NOT_COVERED;
    q->refresh = q->refresh || cover == FB_NOT_COVERED_WIDE;
    return FB_OK;
}

// `bound` is a kilobyte, and not worth clearing for each question.
static int pose(question *q, fb_bound *bound, fb_engine *engine, const fb_request *request,
                fb_error *error) {
    *q = (question){
        .engine = engine,
        .timeout_ms = request->timeout_ms,
        .ttl_ns = -1,
        .refresh = request->refresh,
        .loader = {request->loader, request->loader_arg, request->loader_free},
        .bound = bound,
    };
    int result = begin(q, error);
    if (result == FB_OK) {
        result = ask_class(q, request, error);
    }
    return result == FB_OK ? ask_tiers(q, request, error) : result;
}

// ---- looking up

static void count_hit(const question *q, const fb_found *found) {
    fb_cache *cache = q->engine->cache;
    uint16_t id = q->class_->id;
    fb_cache_count(cache, id, FB_COUNTER_hits, 1);
    if (found->negative) {
        fb_cache_count(cache, id, FB_COUNTER_negative_hits, 1);
    } else if (found->find == FB_FIND_STALE) {
        fb_cache_count(cache, id, FB_COUNTER_stale_hits, 1);
    }
    if (fb_scratch_sample(q->scratch, id)) {
        fb_cache_time(cache, id, FB_TIMING_HIT, fb_clock_now_ns() - q->begin_ns);
        fb_warm_note(q->engine, q->class_, q->bound);
    }
}

// Behind an answer from memory, which stands whether this succeeds or not.
static void load_behind(question *q, fb_priority priority) {
    bool own = q->loader.fn != NULL;
    if ((own || q->class_->source != NULL) &&
        fb_call_background(q->engine, q->class_, q->bound, priority, own ? &q->loader : NULL) ==
            FB_OK) {
        q->loader = (fb_loader){0};  // taken over
    }
}

// FB_OK (*value but its bytes, which `fn` was shown) or FB_NEGATIVE: answered from memory. FB_MISS:
// not, whatever `fn` was shown.
static int look_up(question *q, fb_value_fn fn, void *arg, fb_value *value) {
    if (q->refresh || q->skip_memory || q->distrust_memory || q->ttl_ns == 0) {
        return FB_MISS;
    }
    fb_found found;
    fb_find find = fb_cache_read(q->engine->cache, q->bound->key, q->begin_ns, &q->scratch->rng, fn,
                                 arg, &found);
    bool usable = find == FB_FIND_FRESH || find == FB_FIND_EARLY ||
                  (find == FB_FIND_STALE && q->class_->options.soft_timeout_ns == 0);
    if (find == FB_FIND_NOTHING || find == FB_FIND_FALLBACK) {
        fb_cache_missed(q->engine->cache, q->class_->id, q->bound->key);
    }
    if (!usable) {
        return FB_MISS;
    }
    count_hit(q, &found);
    if (find != FB_FIND_FRESH) {
        load_behind(q, find == FB_FIND_EARLY ? FB_PRIORITY_EARLY : FB_PRIORITY_REFRESH);
    }
    *value = found.value;
    return found.negative ? FB_NEGATIVE : FB_OK;
}

// What memory did not answer. The loader goes with the call.
static int make_call(question *q, fb_call **out, fb_error *error) {
    fb_call *call = NULL;
    int result = fb_call_new(q->engine, q->class_, q->bound, &call);
    if (result < 0) {
        return result == FB_ECLOSED ? say_closed(error) : say_no_memory(error);
    }
    call->ask.seq = q->seq;
    call->ask.begin_ns = q->begin_ns;
    call->ask.timeout_ns = q->timeout_ms > 0 ? fb_engine_ns_of(q->timeout_ms) : 0;
    call->ask.priority = FB_PRIORITY_USER;
    call->ask.refresh = q->refresh;
    call->ask.skip_memory = q->skip_memory;
    call->ask.distrust_memory = q->distrust_memory;
    call->ask.ttl_ns = q->ttl_ns;
    call->ask.loader = q->loader;
    q->loader = (fb_loader){0};
    *out = call;
    return FB_OK;
}

int fb_fetch_key(fb_engine *engine, const fb_request *request, fb_key_fn fn, void *arg,
                 fb_error *error) {
    fb_engine_ours(engine);
    const fb_class *class_ = NULL;
    fb_bound bound;
    fb_scratch *scratch = fb_scratch_get();
    int result = scratch != NULL ? find_class(engine, request->class_name, &class_, error)
                                 : say_no_memory(error);
    if (result == FB_OK) {
        result = fb_class_bind(class_, request->params, request->param_count, &scratch->bind,
                               &bound, error);
    }
    if (result == FB_OK) {
        fn(arg, bound.key);
    }
    return result;
}

// ---- without waiting

static void finish_start(fb_call *call) {
    if (call->result < 0) {
        fb_error error;
        (void)fb_error_set(&error, call->result, "%s",
                           call->error[0] != '\0' ? call->error : fb_result_text(call->result));
        call->done(call->done_arg, call->result, NULL, &error);
    } else {
        call->done(call->done_arg, call->result, call->result == FB_OK ? &call->value : NULL, NULL);
    }
    fb_value_release(&call->value);
    fb_call_free(call);
}

// Bytes of a hit on their way to `done`, in the thread's own buffer: taken out of its scratch,
// since `done` may ask again.
typedef struct lending {
    fb_buf bytes;
    bool failed;  // no memory
} lending;

static void copy_lent(void *arg, const fb_value *value) {
    lending *lent = arg;
    lent->bytes.len = 0;
    lent->failed = fb_buf_append(&lent->bytes, value->data) < 0;
}

static lending lend(question *q) {
    lending lent = {.bytes = q->scratch->copy};
    q->scratch->copy = (fb_buf){0};
    return lent;
}

static void take_back(fb_scratch *scratch, lending *lent) {
    if (scratch->copy.cap == 0 && lent->bytes.cap <= FB_SCRATCH_COPY_MAX) {
        scratch->copy = lent->bytes;
    } else {
        fb_buf_release(&lent->bytes);
    }
}

// From memory, or FB_MISS.
static int start_from_memory(question *q, fb_fetch_fn done, void *arg) {
    fb_value value;
    lending lent = lend(q);
    int result = look_up(q, copy_lent, &lent, &value);
    if (result == FB_OK && lent.failed) {
        result = FB_MISS;  // what comes of a call needs no buffer
    }
    if (result != FB_MISS) {
        value.data = fb_buf_str(&lent.bytes);
        drop_loader(q);
        done(arg, result, result == FB_OK ? &value : NULL, NULL);
    }
    take_back(q->scratch, &lent);
    return result;
}

int fb_fetch_start(fb_engine *engine, const fb_request *request, fb_fetch_fn done, void *arg) {
    fb_engine_ours(engine);
    question q;
    fb_bound bound;
    fb_error error;
    fb_call *call = NULL;
    int result = pose(&q, &bound, engine, request, &error);
    if (result == FB_OK) {
        result = start_from_memory(&q, done, arg);
    }
    if (result == FB_MISS) {
        result = make_call(&q, &call, &error);
    } else if (result >= 0) {
        return result;
    }
    if (result < 0) {
        drop_loader(&q);
        done(arg, result, NULL, &error);
        return result;
    }
    call->answered = finish_start;
    call->done = done;
    call->done_arg = arg;
    call->origin = fb_engine_here(engine);
    fb_call_send(call);
    return FB_PENDING;
}

// ---- many at once

enum { AHEAD = 16, AHEAD_BYTES = 4096 };

// Asks for the memory that the next of them are going to need. What cannot be asked for here (a
// parameter is missing, the keys are long) is simply not asked for.
static void look_ahead(fb_engine *engine, const fb_request *requests, size_t count) {
    char bytes[AHEAD_BYTES];
    fb_str keys[AHEAD];
    size_t key_count = 0;
    size_t used = 0;
    fb_scratch *scratch = fb_scratch_get();
    for (size_t i = 0; scratch != NULL && i < count; i++) {
        const fb_class *class_ = NULL;
        fb_bound bound;
        if (find_class(engine, requests[i].class_name, &class_, NULL) == FB_OK &&
            fb_class_bind(class_, requests[i].params, requests[i].param_count, &scratch->bind,
                          &bound, NULL) == FB_OK &&
            bound.key.len <= sizeof bytes - used) {
            memcpy(bytes + used, bound.key.ptr, bound.key.len);
            keys[key_count++] = fb_str_make(bytes + used, bound.key.len);
            used += bound.key.len;
        }
    }
    fb_prefetch(engine, keys, key_count);
}

void fb_fetch_start_many(fb_engine *engine, const fb_request *requests, size_t count,
                         fb_fetch_fn done, void *const *args) {
    fb_engine_ours(engine);
    for (size_t start = 0; start < count; start += AHEAD) {
        size_t end = count - start < AHEAD ? count : start + AHEAD;
        if (end - start > 1) {
            look_ahead(engine, requests + start, end - start);
        }
        for (size_t i = start; i < end; i++) {
            int result = fb_fetch_start(engine, &requests[i], done, args[i]);
            (void)result;  // `done` hears of it
        }
    }
}

// ---- waiting

// What a caller who waits is answered.
typedef struct fb_waiting {
    fb_sleeper sleeper;
    int result;
    fb_value value;
    char error[256];
} fb_waiting;

static void finish_wait(fb_call *call) {
    fb_waiting *waiting = call->waiting;
    waiting->result = call->result;
    waiting->value = call->value;
    memcpy(waiting->error, call->error, sizeof waiting->error);
    fb_sleeper_wake(&waiting->sleeper);
    fb_call_free(call);
}

static int wait_for(fb_call *call, fb_value *value, fb_error *error) {
    fb_waiting waiting = {.result = FB_PENDING};
    fb_sleeper_begin(&waiting.sleeper, 1);
    call->answered = finish_wait;
    call->waiting = &waiting;
    fb_call_send(call);
    fb_sleeper_wait(&waiting.sleeper);
    if (waiting.result == FB_OK) {
        *value = waiting.value;
    } else if (waiting.result < 0) {
        (void)fb_error_set(
            error, waiting.result, "%s",
            waiting.error[0] != '\0' ? waiting.error : fb_result_text(waiting.result));
    }
    return waiting.result;
}

// A thread of the engine that waited for the engine would wait for itself.
static int refuse_own_thread(fb_engine *engine, fb_error *error) {
    if (fb_engine_may_wait(engine) && !fb_workers_is_current(engine->workers)) {
        return FB_OK;
    }
    return fb_error_set(error, FB_EINVAL, "a blocking call on one of the engine's own threads");
}

// From memory, or FB_MISS.
static int copy_from_memory(question *q, fb_value *value, fb_error *error) {
    fb_value copy = {0};
    int result = look_up(q, fb_value_keep, &copy, value);
    if (result == FB_OK && copy.owner != NULL) {
        value->data = copy.data;
        value->owner = copy.owner;
        return FB_OK;
    }
    *value = (fb_value){0};
    fb_value_release(&copy);
    return result == FB_OK ? say_no_memory(error) : result;
}

static int answer(question *q, fb_value *value, fb_error *error) {
    fb_call *call = NULL;
    int result = copy_from_memory(q, value, error);
    if (result == FB_MISS) {
        result = make_call(q, &call, error);
    }
    return call != NULL ? wait_for(call, value, error) : result;
}

int fb_fetch(fb_engine *engine, const fb_request *request, fb_value *value, fb_error *error) {
    fb_engine_ours(engine);
    question q;
    fb_bound bound;
    *value = (fb_value){0};
    int result = pose(&q, &bound, engine, request, error);
    if (result == FB_OK) {
        result = refuse_own_thread(engine, error);
    }
    if (result == FB_OK) {
        result = answer(&q, value, error);
    }
    drop_loader(&q);
    return result;
}

// ---- callers' own work

// Deduplicated calls have keys of their own, beside those of callers' values.
static int bind_once(question *q, fb_str key, fb_error *error) {
    fb_buf *scratch = &q->scratch->bind;
    scratch->len = 0;
    if (fb_buf_append(scratch, FB_STR("dedupe:")) < 0 || fb_buf_append(scratch, key) < 0) {
        return say_no_memory(error);
    }
    q->bound->key = fb_buf_str(scratch);
    q->bound->param_count = 0;
    q->class_ = fb_catalog_at(fb_cache_catalog(q->engine->cache), FB_CLASS_PLAIN);
    return FB_OK;
}

static int check_once(const fb_once *once, fb_error *error) {
    const size_t len_max = FB_KEY_LEN_MAX - (sizeof "dedupe:" - 1);
    if (once->key.len > 0 && once->key.len <= len_max && once->window_ms >= 0 &&
        once->loader != NULL) {
        return FB_OK;
    }
    return fb_error_set(
        error, FB_EINVAL,
        "a deduplicated call needs a loader, a window of at least 0 and a key of 1 to %zu bytes",
        len_max);
}

int fb_dedupe(fb_engine *engine, const fb_once *once, fb_value *value, fb_error *error) {
    fb_engine_ours(engine);
    fb_bound bound;
    question q = {
        .engine = engine,
        .timeout_ms = once->timeout_ms,
        .ttl_ns = fb_engine_ns_of(once->window_ms),
        .bound = &bound,
        .loader = {once->loader, once->loader_arg, once->loader_free},
    };
    *value = (fb_value){0};
    int result = check_once(once, error);
    if (result == FB_OK) {
        result = refuse_own_thread(engine, error);
    }
    if (result == FB_OK) {
        result = begin(&q, error);
    }
    if (result == FB_OK) {
        result = bind_once(&q, once->key, error);
    }
    if (result == FB_OK) {
        result = answer(&q, value, error);
    }
    drop_loader(&q);
    return result;
}
