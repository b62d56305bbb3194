// fb_fetch and its kin: look up on the caller's thread; what that does not answer becomes a call.
//
// The tag sequence is read before the look-up: a reader must not be answered by a load that an
// invalidation overtook before the reader began, and "began" is here.

#include "engine/engine.h"

#include <string.h>

#include "base/check.h"
#include "base/blob.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "os/clock.h"

// ---- calls

static fb_str copy_bytes(char **place, fb_str bytes) {
    fb_str copy = {*place, bytes.len};
    if (bytes.len > 0) {
        memcpy(*place, bytes.ptr, bytes.len);
        *place += bytes.len;
    }
    return copy;
}

fb_call *fb_call_new(fb_engine *engine, const fb_class *class_, const fb_bound *bound) {
    size_t len = bound->key.len;
    for (size_t i = 0; i < bound->param_count; i++) {
        len += bound->params[i].name.len + bound->params[i].value.len;
    }
    fb_call *call = fb_mem_zero(1, sizeof *call + len);
    if (call == NULL) {
        return NULL;
    }
    char *place = (char *)(call + 1);
    call->bound.key = copy_bytes(&place, bound->key);
    call->bound.param_count = bound->param_count;
    for (size_t i = 0; i < bound->param_count; i++) {
        call->bound.params[i].name = copy_bytes(&place, bound->params[i].name);
        call->bound.params[i].value = copy_bytes(&place, bound->params[i].value);
    }
    call->engine = engine;
    call->ask.class_ = class_;
    call->ask.ttl_ns = -1;
    fb_list_init(&call->list);
    fb_engine_busy(engine);
    return call;
}

void fb_call_free(fb_call *call) {
    fb_engine *engine = call->engine;
    if (call->ask.loader.free != NULL) {
        call->ask.loader.free(call->ask.loader.arg);
    }
    fb_mem_free(call);
    fb_engine_idle(engine);
}

static void arrive(fb_post *post) {
    fb_call *call = FB_LIST_OF(post, fb_call, post);
    fb_lane_ask(call->owner, call);
}

void fb_call_send(fb_call *call) {
    call->owner = fb_engine_lane_of(call->engine, call->bound.key);
    if (fb_loop_is_current(call->owner->loop)) {
        fb_lane_ask(call->owner, call);
    } else {
        call->post.fn = arrive;
        fb_loop_submit(call->owner->loop, &call->post);
    }
}

int fb_call_background(fb_engine *engine, const fb_class *class_, const fb_bound *bound,
                       fb_priority priority) {
    fb_call *call = fb_call_new(engine, class_, bound);
    if (call == NULL) {
        return FB_ENOMEM;
    }
    call->ask.seq = fb_cache_seq(engine->cache);
    call->ask.begin_ns = fb_clock_now_ns();
    call->ask.priority = priority;
    call->ask.refresh = priority == FB_PRIORITY_EARLY || priority == FB_PRIORITY_REFRESH;
    fb_call_send(call);
    return FB_OK;
}

// ---- looking up

typedef struct question {
    fb_engine *engine;
    const fb_request *request;
    const fb_class *class_;
    fb_bound bound;
    fb_scratch *scratch;
    uint64_t seq;
    int64_t begin_ns;
} question;

static int ask_class(question *q, fb_error *error) {
    const fb_catalog *catalog = fb_cache_catalog(q->engine->cache);
    q->class_ = fb_catalog_find(catalog, q->request->class_name);
    if (q->class_ == NULL || q->class_->id == FB_CLASS_PLAIN) {
        return fb_error_set(error, FB_ENOCLASS, "there is no class '%.*s'",
                            FB_STR_ARG(q->request->class_name));
    }
    if (q->class_->source == NULL && q->request->loader == NULL) {
        return fb_error_set(error, FB_ENOSOURCE,
                            "class '%.*s' has no source and the request brought no loader",
                            FB_STR_ARG(q->class_->name));
    }
    return fb_class_bind(q->class_, q->request->params, q->request->param_count, &q->scratch->bind,
                         &q->bound, error);
}

// Who is asked what, and since when. After an error the request's loader is still the caller's.
static int pose(question *q, fb_engine *engine, const fb_request *request, fb_error *error) {
    *q = (question){.engine = engine, .request = request};
    if (atomic_load_explicit(&engine->closing, memory_order_relaxed)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    q->scratch = fb_scratch_get();
    if (q->scratch == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    int result = ask_class(q, error);
    q->seq = fb_cache_seq(engine->cache);
    q->begin_ns = fb_clock_now_ns();
    return result;
}

static void copy_hit(void *arg, const fb_value *value) {
    fb_buf *copy = arg;
    copy->len = 0;
    if (fb_buf_append(copy, value->data) < 0) {
        copy->len = SIZE_MAX;  // no memory: the look-up counts as a miss
    }
}

static void count_hit(const question *q, const fb_found *found) {
    fb_cache *cache = q->engine->cache;
    uint16_t id = q->class_->id;
    fb_cache_count(cache, id, FB_COUNTER_hits, 1);
    if (found->negative) {
        fb_cache_count(cache, id, FB_COUNTER_negative_hits, 1);
    } else if (found->find == FB_FIND_STALE) {
        fb_cache_count(cache, id, FB_COUNTER_stale_hits, 1);
    }
    if (fb_scratch_sample(q->scratch)) {
        fb_cache_time(cache, id, FB_TIMING_HIT, fb_clock_now_ns() - q->begin_ns);
        fb_warm_note(q->engine, q->class_, &q->bound);
    }
}

// FB_OK (*value lent, from the thread's scratch) or FB_NEGATIVE: answered from memory. FB_MISS.
static int look_up(question *q, fb_value *value) {
    if (q->request->refresh) {
        return FB_MISS;
    }
    fb_found found;
    fb_buf *copy = &q->scratch->copy;
    copy->len = 0;
    fb_find find = fb_cache_read(q->engine->cache, q->bound.key, q->begin_ns, &q->scratch->rng, copy_hit,
                                 copy, &found);
    bool usable = find == FB_FIND_FRESH || find == FB_FIND_EARLY ||
                  (find == FB_FIND_STALE && q->class_->options.soft_timeout_ns == 0);
    if (!usable || copy->len == SIZE_MAX) {
        copy->len = 0;
        return FB_MISS;
    }
    count_hit(q, &found);
    if (find != FB_FIND_FRESH && (q->class_->source != NULL)) {
        fb_priority priority = find == FB_FIND_EARLY ? FB_PRIORITY_EARLY : FB_PRIORITY_REFRESH;
        FB_IGNORE(fb_call_background(q->engine, q->class_, &q->bound, priority));  // the answer stands without
    }
    if (found.negative) {
        return FB_NEGATIVE;
    }
    *value = found.value;
    value->data = fb_buf_str(copy);
    value->owner = NULL;
    return FB_OK;
}

static fb_call *make_call(question *q) {
    fb_call *call = fb_call_new(q->engine, q->class_, &q->bound);
    if (call == NULL) {
        return NULL;
    }
    const fb_request *request = q->request;
    call->ask.seq = q->seq;
    call->ask.begin_ns = q->begin_ns;
    call->ask.timeout_ns = request->timeout_ms > 0 ? request->timeout_ms * 1000000 : 0;
    call->ask.priority = FB_PRIORITY_USER;
    call->ask.refresh = request->refresh;
    call->ask.loader = (fb_loader){request->loader, request->loader_arg, request->loader_free};
    return call;
}

static void drop_loader(const fb_request *request) {
    if (request->loader_free != NULL) {
        request->loader_free(request->loader_arg);
    }
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

int fb_fetch_start(fb_engine *engine, const fb_request *request, fb_fetch_fn done, void *arg) {
    question q;
    fb_error error;
    fb_value value;
    int result = pose(&q, engine, request, &error);
    if (result == FB_OK) {
        result = look_up(&q, &value);
    }
    if (result != FB_MISS) {
        drop_loader(request);
        done(arg, result, result == FB_OK ? &value : NULL, result < 0 ? &error : NULL);
        return result;
    }
    fb_call *call = make_call(&q);
    if (call == NULL) {
        drop_loader(request);
        (void)fb_error_set(&error, FB_ENOMEM, "out of memory");
        done(arg, FB_ENOMEM, NULL, &error);
        return FB_ENOMEM;
    }
    call->answered = finish_start;
    call->done = done;
    call->done_arg = arg;
    call->origin = fb_engine_here(engine);
    fb_call_send(call);
    return FB_PENDING;
}

// ---- waiting

// A caller's thread asleep until its call is answered.
typedef struct fb_waiting {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool answered;
    int result;
    fb_value value;
    char error[256];
} fb_waiting;

static void finish_wait(fb_call *call) {
    fb_waiting *waiting = call->waiting;
    pthread_mutex_lock(&waiting->lock);
    waiting->result = call->result;
    waiting->value = call->value;
    memcpy(waiting->error, call->error, sizeof waiting->error);
    waiting->answered = true;
    pthread_cond_signal(&waiting->wake);
    pthread_mutex_unlock(&waiting->lock);
    fb_call_free(call);
}

static int wait_for(fb_call *call, fb_value *value, fb_error *error) {
    fb_waiting waiting = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    call->answered = finish_wait;
    call->waiting = &waiting;
    fb_call_send(call);
    pthread_mutex_lock(&waiting.lock);
    while (!waiting.answered) {
        pthread_cond_wait(&waiting.wake, &waiting.lock);
    }
    pthread_mutex_unlock(&waiting.lock);
    pthread_cond_destroy(&waiting.wake);
    pthread_mutex_destroy(&waiting.lock);
    if (waiting.result == FB_OK) {
        *value = waiting.value;
    } else if (waiting.result < 0) {
        (void)fb_error_set(error, waiting.result, "%s",
                           waiting.error[0] != '\0' ? waiting.error : fb_result_text(waiting.result));
    }
    return waiting.result;
}

static int own_copy(fb_value *value) {
    fb_blob *blob = fb_blob_new(value->data);
    if (blob == NULL) {
        return FB_ENOMEM;
    }
    value->data = fb_blob_str(blob);
    value->owner = blob;
    return FB_OK;
}

// A thread of the engine that waited for the engine would wait for itself.
static bool may_wait(fb_engine *engine, fb_error *error) {
    if (fb_engine_here(engine) == NULL && !fb_workers_is_current(engine->workers)) {
        return true;
    }
    (void)fb_error_set(error, FB_EINVAL, "a blocking call on one of the engine's own threads");
    return false;
}

int fb_fetch(fb_engine *engine, const fb_request *request, fb_value *value, fb_error *error) {
    question q;
    *value = (fb_value){0};
    int result = may_wait(engine, error) ? pose(&q, engine, request, error) : FB_EINVAL;
    if (result == FB_OK) {
        result = look_up(&q, value);
        if (result == FB_OK && own_copy(value) < 0) {
            *value = (fb_value){0};
            result = fb_error_set(error, FB_ENOMEM, "out of memory");
        }
    }
    if (result != FB_MISS) {
        drop_loader(request);
        return result;
    }
    fb_call *call = make_call(&q);
    if (call == NULL) {
        drop_loader(request);
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    return wait_for(call, value, error);
}

// Deduplicated calls have keys of their own, beside those of callers' values.
static int dedupe_key(fb_scratch *scratch, fb_str key, fb_bound *bound) {
    scratch->bind.len = 0;
    if (fb_buf_append(&scratch->bind, FB_STR("dedupe:")) < 0 || fb_buf_append(&scratch->bind, key) < 0) {
        return FB_ENOMEM;
    }
    bound->key = fb_buf_str(&scratch->bind);
    return FB_OK;
}

int fb_dedupe(fb_engine *engine, fb_str key, int64_t window_ms, fb_load_fn loader, void *loader_arg,
              fb_value *value, fb_error *error) {
    *value = (fb_value){0};
    if (key.len == 0 || key.len > FB_KEY_LEN_MAX - 7 || window_ms < 0 || loader == NULL) {
        return fb_error_set(error, FB_EINVAL, "a deduplicated call needs a key, a window of at least 0 and a loader");
    }
    fb_request request = {.loader = loader, .loader_arg = loader_arg};
    question q = {.engine = engine, .request = &request};
    q.class_ = fb_catalog_at(fb_cache_catalog(engine->cache), FB_CLASS_PLAIN);
    if (!may_wait(engine, error)) {
        return FB_EINVAL;
    }
    if (atomic_load(&engine->closing)) {
        return fb_error_set(error, FB_ECLOSED, "shutting down");
    }
    q.scratch = fb_scratch_get();
    if (q.scratch == NULL || dedupe_key(q.scratch, key, &q.bound) < 0) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    q.seq = fb_cache_seq(engine->cache);
    q.begin_ns = fb_clock_now_ns();
    int result = window_ms > 0 ? look_up(&q, value) : FB_MISS;
    if (result == FB_OK) {
        result = own_copy(value);
    }
    if (result != FB_MISS) {
        return result;
    }
    fb_call *call = make_call(&q);
    if (call == NULL) {
        return fb_error_set(error, FB_ENOMEM, "out of memory");
    }
    call->ask.ttl_ns = window_ms * 1000000;
    return wait_for(call, value, error);
}
