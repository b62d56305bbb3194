// http_rig.h -- requests to a rig's node without a socket, asked on its first loop and waited for.

#ifndef FB_TESTS_HTTP_RIG_H
#define FB_TESTS_HTTP_RIG_H

#include "node/http.h"
#include "node_rig.h"

typedef struct asking {
    rig *rig;
    fb_http_request request;
    fb_http_response response;  // once `done`
    bool later;                 // it did not come at once
    bool done;
    void (*gone)(void *arg);    // to be told when the client goes; on the loop
    void *gone_arg;
    pthread_mutex_t lock;
    pthread_cond_t changed;
} asking;

static inline void asking_end(asking *one, fb_http_response *response) {
    pthread_mutex_lock(&one->lock);
    one->response = *response;
    response->body = (fb_buf){0};
    one->gone = NULL;
    one->done = true;
    pthread_cond_signal(&one->changed);
    pthread_mutex_unlock(&one->lock);
}

static inline void asking_respond(void *arg, fb_http_response *response) {
    asking_end(arg, response);
}

static inline void asking_watch(void *arg, void (*gone)(void *gone_arg), void *gone_arg) {
    asking *one = arg;
    one->gone = gone;
    one->gone_arg = gone_arg;
}

static inline void asking_tell_gone(void *arg) {
    asking *one = arg;
    if (one->gone != NULL) {
        one->gone(one->gone_arg);
    }
}

// Its client goes.
static inline void asking_leave(asking *one) {
    rig_on_loop(one->rig, asking_tell_gone, one);
}

// Each part of the request in a block of its exact size, gone when the handler has returned.
static inline fb_str asking_block(fb_str bytes) {
    char *block = malloc(bytes.len > 0 ? bytes.len : 1);
    FB_ASSERT(block != NULL);
    if (bytes.len > 0) {
        memcpy(block, bytes.ptr, bytes.len);
    }
    return fb_str_make(block, bytes.len);
}

static inline void asking_handle(void *arg) {
    asking *one = arg;
    fb_http_response response;
    fb_http_request request = one->request;
    fb_str *parts[] = {
#define PART(field, name) &request.field,
        FB_HTTP_REQUEST_HEADERS(PART)
#undef PART
        &request.method, &request.path, &request.query, &request.body, &request.key_header};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        *parts[i] = asking_block(*parts[i]);
    }
    request.respond = asking_respond;
    request.watch = asking_watch;
    request.arg = one;
    int result = fb_http_handle(&one->rig->node, &request, &response);
    FB_ASSERT(result == FB_OK || result == FB_PENDING);
    one->later = result == FB_PENDING;
    if (result == FB_OK) {
        asking_end(one, &response);
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        free((void *)(uintptr_t)parts[i]->ptr);
    }
}

static inline void asking_init(asking *one, rig *from, const char *method, const char *target) {
    fb_str all = fb_str_of(target);
    size_t mark = fb_str_find(all, '?');
    *one = (asking){
        .rig = from, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    one->request.method = fb_str_of(method);
    one->request.path = fb_str_make(target, mark);
    if (mark < all.len) {
        one->request.query = fb_str_make(target + mark + 1, all.len - mark - 1);
    }
}

static inline void asking_start(asking *one) {
    rig_on_loop(one->rig, asking_handle, one);
}

static inline void asking_await(asking *one) {
    pthread_mutex_lock(&one->lock);
    while (!one->done) {
        pthread_cond_wait(&one->changed, &one->lock);
    }
    pthread_mutex_unlock(&one->lock);
}

// "" where there is none of that name.
static inline const char *asking_header(const asking *one, const char *name) {
    for (size_t i = 0; i < one->response.header_count; i++) {
        if (strcmp(one->response.headers[i].name, name) == 0) {
            return one->response.headers[i].value;
        }
    }
    return "";
}

#endif
