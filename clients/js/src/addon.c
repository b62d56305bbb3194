// The addon: what JavaScript calls.
//
// index.js is the interface that people see; this file hands it, for each Client, an object of
// plain functions. Each of them has its client as data, which N-API delivers with the arguments:
// unwrapping an object costs as much as the look-up itself. Every function holds a reference to the
// client, so it may outlive the object it came with.
//
// Reads of memory happen in the call. Everything else becomes an operation of the crew (crew.h) and
// a promise; a thread-safe function brings the environment back to settle what is done. It keeps
// the process alive only while something is under way, so a program ends without close().
//
// To make a Buffer costs more than all the rest of a hit, so short bytes are left in the *scratch*,
// an ArrayBuffer that JavaScript has too, and the answer is how many there are: copying them from
// there into Node's own pool of Buffers is a fifth of that.
//
// All state is of one environment (worker threads have their own); nothing is static.

#include "convert.h"
#include "crew.h"

#include <stdlib.h>
#include <string.h>

typedef struct site {
    fb_crew *crew;
    napi_threadsafe_function wake;
    napi_ref error_class;  // ForebayError
    uint32_t pending;      // operations under way
    char *scratch;         // where values are read into: SCRATCH_ROOM bytes of an ArrayBuffer
    char *large;           // and those that do not fit; malloc'ed
    size_t large_room;
} site;

enum {
    SCRATCH_ROOM = 4096,   // from here on Node does not use its pool either
    PARAMS_MAX = 64,
    ARGS_MAX = 2 * PARAMS_MAX + 5,  // three words and one pair too many
    GROWTHS_MAX = 8,  // a value may grow between two looks
};

// ---- errors

static napi_value make_error(napi_env env, site *it, int result, const char *text) {
    napi_value class, args[2], error = NULL;
    const char *code = fb_code_of(result);
    fb_str message = {text, strlen(text)};
    if (napi_get_reference_value(env, it->error_class, &class) != napi_ok ||
        napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &args[0]) != napi_ok) {
        return NULL;
    }
    args[1] = fb_string_give(env, message);
    napi_new_instance(env, class, 2, args, &error);
    return error;
}

static void throw_error(napi_env env, site *it, int result, const char *text) {
    napi_value error = make_error(env, it, result, text);
    if (error != NULL) {
        napi_throw(env, error);
    }
}

// ---- settling

static napi_value outcome(napi_env env, const fb_op *op) {
    napi_value value = NULL;
    switch (op->kind) {
        case FB_OP_GET:
        case FB_OP_FETCH:
            return op->result == FB_OK ? fb_value_give(env, &op->answer, op->bytes)
                                       : fb_undefined(env);
        case FB_OP_INCR: return fb_integer_give(env, op->count);
        case FB_OP_TTL:
            if (op->result == FB_OK) {
                napi_create_int64(env, op->count, &value);
                return value;
            }
            return fb_undefined(env);
        case FB_OP_SET:
        case FB_OP_INVALIDATE: return fb_undefined(env);
        default: napi_get_boolean(env, op->result == FB_OK, &value); return value;
    }
}

static void finish_close(napi_env env, fb_js_client *client) {
    fb_client_close(client->client);
    client->client = NULL;
    if (client->closing != NULL) {
        napi_resolve_deferred(env, client->closing, fb_undefined(env));
        client->closing = NULL;
    }
}

static void settle(napi_env env, site *it, fb_op *op) {
    fb_js_client *client = op->client;
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_value value = op->result < 0
        ? make_error(env, it, op->result, op->text != NULL ? op->text : "out of memory")
        : outcome(env, op);
    if (value == NULL) {
        // A value that V8 has no room for, or the like: its exception is the outcome.
        napi_get_and_clear_last_exception(env, &value);
        napi_reject_deferred(env, op->promise, value);
    } else if (op->result < 0) {
        napi_reject_deferred(env, op->promise, value);
    } else {
        napi_resolve_deferred(env, op->promise, value);
    }
    it->pending--;
    client->pending--;
    if (fb_op_changes(op)) {
        client->writes[fb_lane_of(op->key)]--;
    }
    if (client->closed && client->pending == 0) {
        finish_close(env, client);
    }
    napi_close_handle_scope(env, scope);
}

// Calls the `warn` of the client's object, where that is still there.
static void tell(napi_env env, const fb_note *note) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    napi_value handle = NULL, warn, args[2];
    if (note->client->handle != NULL &&
        napi_get_reference_value(env, note->client->handle, &handle) == napi_ok &&
        handle != NULL && napi_get_named_property(env, handle, "warn", &warn) == napi_ok) {
        args[0] = fb_string_give(env, (fb_str){note->event, strlen(note->event)});
        args[1] = fb_string_give(env, (fb_str){note->text, strlen(note->text)});
        napi_call_function(env, handle, warn, 2, args, NULL);
    }
    // An exception left behind would keep the promises from being settled.
    bool thrown = false;
    napi_value error;
    if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
        napi_get_and_clear_last_exception(env, &error) == napi_ok) {
        napi_fatal_exception(env, error);
    }
    napi_close_handle_scope(env, scope);
}

static void come_back(napi_env env, napi_value unused, void *context, void *data) {
    site *it = context;
    if (env == NULL) {
        return;
    }
    fb_op *done;
    fb_note *notes;
    fb_crew_collect(it->crew, &done, &notes);
    while (notes != NULL) {
        fb_note *next = notes->next;
        tell(env, notes);
        fb_note_free(notes);
        notes = next;
    }
    while (done != NULL) {
        fb_op *next = done->next;
        settle(env, it, done);
        fb_op_free(done);
        done = next;
    }
    if (it->pending == 0) {
        napi_unref_threadsafe_function(env, it->wake);
    }
}

// On any thread, under the crew's lock.
static void wake_site(void *arg) {
    site *it = arg;
    (void)napi_call_threadsafe_function(it->wake, NULL, napi_tsfn_nonblocking);
}

// ---- calls

// The arguments of a call and the client it is for; NULL, with an exception, where that is closed.
static fb_js_client *begin(napi_env env, napi_callback_info info, size_t *count, napi_value *args) {
    fb_js_client *client = NULL;
    if (napi_get_cb_info(env, info, count, args, NULL, (void **)&client) != napi_ok) {
        return NULL;
    }
    if (client->closed) {
        throw_error(env, client->site, FB_ECLOSED, "the client is closed");
        return NULL;
    }
    return client;
}

static bool key_take(napi_env env, napi_value value, fb_text *key) {
    if (!fb_text_take(env, value, "a key", key)) {
        fb_text_release(key);
        return false;
    }
    if (key->str.len > FB_KEY_LEN_MAX) {
        napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a key has at most 65535 bytes");
        fb_text_release(key);
        return false;
    }
    return true;
}

static bool make_room(site *it, size_t wanted) {
    if (it->large_room >= wanted) {
        return true;
    }
    size_t room = 2 * SCRATCH_ROOM;
    while (room < wanted) {
        room *= 2;
    }
    free(it->large);
    it->large = malloc(room);
    it->large_room = it->large != NULL ? room : 0;
    return it->large != NULL;
}

// A value of any size, into the scratch or what is larger. `request` is NULL for a plain key.
static int peek_any(fb_js_client *client, fb_str key, const fb_client_request *request,
                    fb_value *value) {
    site *it = client->site;
    char *bytes = it->scratch;
    size_t room = SCRATCH_ROOM;
    int result = FB_MISS;
    for (size_t tries = 0; tries < GROWTHS_MAX; tries++) {
        result = request != NULL ? fb_client_peek_fetch(client->client, request, bytes, room, value)
                                 : fb_client_peek(client->client, key, bytes, room, value);
        if (result != FB_ETOOBIG || !make_room(it, value->data.len)) {
            break;
        }
        bytes = it->large;
        room = it->large_room;
    }
    return result;
}

// A string of JSON text, a Buffer, or how many bytes there are in the scratch.
static napi_value found_give(napi_env env, site *it, const fb_value *value, bool bytes) {
    if ((bytes || value->kind != FB_KIND_JSON) && value->data.ptr == it->scratch) {
        napi_value length = NULL;
        napi_create_uint32(env, (uint32_t)value->data.len, &length);
        return length;
    }
    return fb_value_give(env, value, bytes);
}

static napi_value peek(napi_env env, napi_callback_info info, bool ordered, bool bytes) {
    napi_value args[1];
    size_t count = 1;
    fb_js_client *client = begin(env, info, &count, args);
    fb_text key;
    if (client == NULL || !key_take(env, args[0], &key)) {
        return NULL;
    }
    napi_value found = NULL;
    // A write of this program that is still under way comes first.
    if (!ordered || client->pending == 0 || client->writes[fb_lane_of(key.str)] == 0) {
        fb_value value = {0};
        if (peek_any(client, key.str, NULL, &value) == FB_OK) {
            found = found_give(env, client->site, &value, bytes);
        }
    }
    fb_text_release(&key);
    return found;
}

// N-API takes NULL as undefined, which saves a call on a miss.
static napi_value js_peek(napi_env env, napi_callback_info info) {
    return peek(env, info, false, false);
}

static napi_value js_look(napi_env env, napi_callback_info info) {
    return peek(env, info, true, false);
}

static napi_value js_look_bytes(napi_env env, napi_callback_info info) {
    return peek(env, info, true, true);
}

static napi_value js_peek_into(napi_env env, napi_callback_info info) {
    napi_value args[2], length = NULL;
    size_t count = 2;
    fb_js_client *client = begin(env, info, &count, args);
    fb_text key;
    if (client == NULL || !key_take(env, args[0], &key)) {
        return NULL;
    }
    fb_str room;
    if (!fb_bytes_take(env, args[1], &room)) {
        napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "it fills a Buffer or a Uint8Array");
        fb_text_release(&key);
        return NULL;
    }
    fb_value value = {0};
    int result = fb_client_peek(client->client, key.str, (void *)(uintptr_t)room.ptr, room.len,
                                &value);
    if (result == FB_ETOOBIG) {
        throw_error(env, client->site, FB_ETOOBIG, "the value is longer than the buffer");
    } else {
        napi_create_int32(env, result == FB_OK ? (int32_t)value.data.len : -1, &length);
    }
    fb_text_release(&key);
    return length;
}

// Hands the operation to the crew; the promise that it will settle.
static napi_value submit(napi_env env, fb_js_client *client, const fb_op *like) {
    site *it = client->site;
    fb_op *op = fb_op_new(client, like);
    napi_value promise = NULL;
    if (op == NULL) {
        throw_error(env, it, FB_ENOMEM, "out of memory");
        return NULL;
    }
    if (napi_create_promise(env, (napi_deferred *)&op->promise, &promise) != napi_ok) {
        fb_op_free(op);
        return NULL;
    }
    if (it->pending++ == 0) {
        napi_ref_threadsafe_function(env, it->wake);
    }
    client->pending++;
    if (fb_op_changes(op)) {
        client->writes[fb_lane_of(op->key)]++;
    }
    fb_crew_submit(op);
    return promise;
}

// submit(kind, key, number, value, bytes); it may be held back until flush().
static napi_value js_submit(napi_env env, napi_callback_info info) {
    napi_value args[5];
    size_t count = 5;
    fb_js_client *client = begin(env, info, &count, args);
    if (client == NULL) {
        return NULL;
    }
    fb_op like = {0};
    uint32_t kind = 0;
    fb_text key, value = {.owned = NULL};
    napi_value promise = NULL;
    if (napi_get_value_uint32(env, args[0], &kind) != napi_ok || kind >= FB_OP_FETCH ||
        !fb_integer_take(env, args[2], &like.number) || !key_take(env, args[1], &key)) {
        return NULL;
    }
    like.kind = (fb_op_kind)kind;
    like.key = key.str;
    napi_get_value_bool(env, args[4], &like.bytes);
    bool has_value = like.kind == FB_OP_SET || like.kind == FB_OP_ADD;
    if (!has_value || fb_text_take(env, args[3], "a value", &value)) {
        like.value = value.str;
        promise = submit(env, client, &like);
    }
    fb_text_release(&value);
    fb_text_release(&key);
    return promise;
}

static napi_value js_flush(napi_env env, napi_callback_info info) {
    size_t count = 0;
    fb_js_client *client = NULL;
    napi_get_cb_info(env, info, &count, NULL, NULL, (void **)&client);
    fb_crew_flush(client->crew);
    return NULL;
}

// invalidate(scope, name, soft)
static napi_value js_invalidate(napi_env env, napi_callback_info info) {
    napi_value args[3], promise = NULL;
    size_t count = 3;
    fb_js_client *client = begin(env, info, &count, args);
    fb_text name;
    fb_op like = {.kind = FB_OP_INVALIDATE};
    if (client == NULL || napi_get_value_int64(env, args[0], &like.number) != napi_ok ||
        napi_get_value_bool(env, args[2], &like.flag) != napi_ok) {
        return NULL;
    }
    if (fb_text_take(env, args[1], "a name", &name)) {
        like.key = name.str;
        promise = submit(env, client, &like);
    }
    fb_text_release(&name);
    return promise;
}

// The class and its parameters, from args[0] and pairs of name and value from args[from] on.
typedef struct fetch_texts {
    fb_text *texts;
    size_t count;
    fb_param params[PARAMS_MAX];
    fb_client_request request;
} fetch_texts;

static void fetch_texts_release(fetch_texts *it) {
    for (size_t i = 0; i < it->count; i++) {
        fb_text_release(&it->texts[i]);
    }
    free(it->texts);
}

static bool fetch_texts_take(napi_env env, const napi_value *args, size_t count, size_t from,
                             fetch_texts *it) {
    size_t pairs = count > from ? (count - from) / 2 : 0;
    *it = (fetch_texts){.texts = malloc((1 + 2 * pairs) * sizeof *it->texts)};
    if (it->texts == NULL) {
        napi_throw_error(env, "ENOMEM", "out of memory");
        return false;
    }
    if (pairs > PARAMS_MAX) {
        napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "too many parameters");
        return false;
    }
    for (size_t i = 0; i < 1 + 2 * pairs; i++) {
        it->count = i + 1;
        const char *what = i == 0 ? "a class" : "a parameter";
        if (!fb_text_take(env, args[i == 0 ? 0 : from + i - 1], what, &it->texts[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < pairs; i++) {
        it->params[i] = (fb_param){it->texts[1 + 2 * i].str, it->texts[2 + 2 * i].str};
    }
    it->request = (fb_client_request){.class_name = it->texts[0].str, .params = it->params,
                                      .param_count = pairs};
    return true;
}

// peekFetch(class, name, value, …)
static napi_value js_peek_fetch(napi_env env, napi_callback_info info) {
    napi_value args[ARGS_MAX], found = NULL;
    size_t count = ARGS_MAX;
    fb_js_client *client = begin(env, info, &count, args);
    if (client == NULL) {
        return NULL;
    }
    fetch_texts texts;
    if (fetch_texts_take(env, args, count < ARGS_MAX ? count : ARGS_MAX, 1, &texts)) {
        fb_value value = {0};
        if (peek_any(client, (fb_str){0}, &texts.request, &value) == FB_OK) {
            found = found_give(env, client->site, &value, false);
        }
    }
    fetch_texts_release(&texts);
    return found;
}

// fetch(class, timeout_ms, refresh, name, value, …)
static napi_value js_fetch(napi_env env, napi_callback_info info) {
    napi_value args[ARGS_MAX], promise = NULL;
    size_t count = ARGS_MAX;
    fb_js_client *client = begin(env, info, &count, args);
    fb_op like = {.kind = FB_OP_FETCH};
    if (client == NULL || !fb_integer_take(env, args[1], &like.number) ||
        napi_get_value_bool(env, args[2], &like.flag) != napi_ok) {
        return NULL;
    }
    fetch_texts texts;
    if (fetch_texts_take(env, args, count < ARGS_MAX ? count : ARGS_MAX, 3, &texts)) {
        like.key = texts.request.class_name;
        like.params = texts.params;
        like.param_count = texts.request.param_count;
        promise = submit(env, client, &like);
    }
    fetch_texts_release(&texts);
    return promise;
}

static void set_number(napi_env env, napi_value object, const char *name, uint64_t number) {
    napi_value value = NULL;
    napi_create_double(env, (double)number, &value);
    napi_set_named_property(env, object, name, value);
}

static void set_bool(napi_env env, napi_value object, const char *name, bool is) {
    napi_value value = NULL;
    napi_get_boolean(env, is, &value);
    napi_set_named_property(env, object, name, value);
}

static napi_value js_figures(napi_env env, napi_callback_info info) {
    size_t count = 0;
    fb_js_client *client = begin(env, info, &count, NULL);
    napi_value object = NULL;
    if (client == NULL || napi_create_object(env, &object) != napi_ok) {
        return NULL;
    }
    fb_client_figures figures = {0};
    fb_client_figures_read(client->client, &figures);
    set_number(env, object, "regionHits", figures.region_hits);
    set_number(env, object, "requests", figures.requests);
    set_number(env, object, "failures", figures.failures);
    set_number(env, object, "privateHits", figures.private_hits);
    set_bool(env, object, "daemonThere", figures.daemon_there);
    set_bool(env, object, "regionThere", figures.region_there);
    return object;
}

// A promise for when all that is under way has ended and the connections are closed.
static napi_value js_close(napi_env env, napi_callback_info info) {
    size_t count = 0;
    fb_js_client *client = NULL;
    napi_value promise = NULL;
    napi_get_cb_info(env, info, &count, NULL, NULL, (void **)&client);
    napi_deferred deferred;
    if (napi_create_promise(env, &deferred, &promise) != napi_ok) {
        return NULL;
    }
    if (client->closed) {
        napi_resolve_deferred(env, deferred, fb_undefined(env));
        return promise;
    }
    client->closed = true;
    client->closing = deferred;
    if (client->pending == 0) {
        finish_close(env, client);
    }
    return promise;
}

// ---- opening

static void drop_client(napi_env env, void *data, void *hint) {
    fb_js_client_release(data);
}

static void drop_handle(napi_env env, void *data, void *hint) {
    fb_js_client *client = data;
    napi_delete_reference(env, client->handle);
    client->handle = NULL;
    fb_js_client_release(client);
}

static bool add_function(napi_env env, napi_value handle, const char *name, napi_callback callback,
                         fb_js_client *client) {
    napi_value function;
    if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, client, &function) != napi_ok ||
        napi_add_finalizer(env, function, client, drop_client, NULL, NULL) != napi_ok) {
        return false;
    }
    fb_js_client_hold(client);
    return napi_set_named_property(env, handle, name, function) == napi_ok;
}

static napi_value make_handle(napi_env env, fb_js_client *client) {
    static const struct {
        const char *name;
        napi_callback callback;
    } functions[] = {
        {"peek", js_peek},
        {"look", js_look},
        {"lookBytes", js_look_bytes},
        {"peekInto", js_peek_into},
        {"peekFetch", js_peek_fetch},
        {"submit", js_submit},
        {"flush", js_flush},
        {"fetch", js_fetch},
        {"invalidate", js_invalidate},
        {"figures", js_figures},
        {"close", js_close},
    };
    napi_value handle = NULL;
    if (napi_create_object(env, &handle) != napi_ok ||
        napi_create_reference(env, handle, 0, (napi_ref *)&client->handle) != napi_ok ||
        napi_add_finalizer(env, handle, client, drop_handle, NULL, NULL) != napi_ok) {
        fb_js_client_release(client);
        return NULL;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (!add_function(env, handle, functions[i].name, functions[i].callback, client)) {
            return NULL;
        }
    }
    return handle;
}

// open(url, timeoutMs, retryMs, privateBytes, privateTtlMs, noRegion, anyOwner)
static napi_value js_open(napi_env env, napi_callback_info info) {
    napi_value args[7];
    size_t count = 7;
    site *it = NULL;
    napi_get_cb_info(env, info, &count, args, NULL, (void **)&it);
    fb_text url;
    int64_t numbers[4] = {0};
    bool no_region = false, any_owner = false;
    for (size_t i = 0; i < 4; i++) {
        if (!fb_integer_take(env, args[1 + i], &numbers[i])) {
            return NULL;
        }
    }
    napi_get_value_bool(env, args[5], &no_region);
    napi_get_value_bool(env, args[6], &any_owner);
    if (!fb_text_take(env, args[0], "url", &url)) {
        return NULL;
    }
    fb_client_options options = {.url = url.str, .timeout_ms = numbers[0], .retry_ms = numbers[1],
                                 .private_bytes = (uint64_t)numbers[2],
                                 .private_ttl_ms = numbers[3], .no_region = no_region,
                                 .any_owner = any_owner};
    fb_js_client *client = NULL;
    fb_error error = {0};
    int result = fb_js_client_open(it->crew, &options, &client, &error);
    fb_text_release(&url);
    if (result != FB_OK) {
        throw_error(env, it, result,
                    error.text[0] != '\0' ? error.text : fb_result_text(result));
        return NULL;
    }
    client->site = it;
    return make_handle(env, client);
}

// setErrorClass(ForebayError)
static napi_value js_set_error_class(napi_env env, napi_callback_info info) {
    napi_value args[1];
    size_t count = 1;
    site *it = NULL;
    napi_get_cb_info(env, info, &count, args, NULL, (void **)&it);
    if (it->error_class == NULL) {
        napi_create_reference(env, args[0], 1, &it->error_class);
    }
    return NULL;
}

// ---- the environment

// Before the thread-safe function goes: hooks run in the reverse order of their registration.
static void end_environment(void *arg) {
    site *it = arg;
    fb_crew_stop(it->crew);
}

static void drop_site(napi_env env, void *data, void *hint) {
    site *it = data;
    fb_crew_release(it->crew);
    free(it->large);
    free(it);
}

static bool open_site(napi_env env, napi_value exports, site *it) {
    napi_value name, scratch;
    napi_ref kept;
    it->crew = fb_crew_new(wake_site, it);
    return it->crew != NULL &&
           napi_create_arraybuffer(env, SCRATCH_ROOM, (void **)&it->scratch, &scratch) == napi_ok &&
           napi_create_reference(env, scratch, 1, &kept) == napi_ok &&
           napi_set_named_property(env, exports, "scratch", scratch) == napi_ok &&
           napi_create_string_utf8(env, "forebay", NAPI_AUTO_LENGTH, &name) == napi_ok &&
           napi_create_threadsafe_function(env, NULL, NULL, name, 0, 1, NULL, NULL, it, come_back,
                                           &it->wake) == napi_ok &&
           napi_unref_threadsafe_function(env, it->wake) == napi_ok &&
           napi_add_env_cleanup_hook(env, end_environment, it) == napi_ok;
}

static bool add_export(napi_env env, napi_value exports, const char *name, napi_callback callback,
                       site *it) {
    napi_value function;
    return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, it, &function) == napi_ok &&
           napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
    site *it = calloc(1, sizeof *it);
    if (it == NULL || napi_set_instance_data(env, it, drop_site, NULL) != napi_ok) {
        free(it);
        napi_throw_error(env, "ENOMEM", "out of memory");
        return NULL;
    }
    if (!open_site(env, exports, it) || !add_export(env, exports, "open", js_open, it) ||
        !add_export(env, exports, "setErrorClass", js_set_error_class, it)) {
        napi_throw_error(env, "ENOMEM", "the addon could not be set up");
        return NULL;
    }
    return exports;
}
