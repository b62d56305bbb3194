// A command's words point into the input, which the door uses again as soon as the command waits: so
// they are copied, in one piece behind the errand. The reply goes into the slot, which outlives the
// session if it must: a handler that has waited must not touch call->session any more (none of those
// that come here does).
//
// An errand that does not wait (the value was in memory) ends before fb_run() returns; then whoever
// began it frees it, else it frees itself.

#include "node/errand.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "node/optimistic.h"

// ---- commands

typedef struct command_errand {
    fb_command_call call;
    fb_slot *slot;
    bool left;  // whoever began it has returned
    fb_str args[];
} command_errand;

bool fb_errand_suits(const fb_command_call *call) {
    unsigned flags = call->command->flags;
    if ((flags & FB_COMMAND_LATER) != 0) {
        return false;
    }
    if (fb_optimistic_waits(call)) {
        return true;
    }
    return (flags & FB_COMMAND_WAITS) != 0 ||
           (call->node->waits && (flags & (FB_COMMAND_WRITE | FB_COMMAND_READONLY)) != 0);
}

static command_errand *new_errand(const fb_command_call *call, fb_slot *slot) {
    size_t bytes = 0;
    for (size_t i = 0; i < call->arg_count; i++) {
        bytes += call->args[i].len;
    }
    command_errand *errand =
        fb_mem_new(sizeof *errand + call->arg_count * sizeof errand->args[0] + bytes);
    if (errand == NULL) {
        return NULL;
    }
    *errand = (command_errand){.call = *call, .slot = slot};
    char *at = (char *)(errand->args + call->arg_count);
    for (size_t i = 0; i < call->arg_count; i++) {
        errand->args[i] = (fb_str){at, call->args[i].len};
        if (call->args[i].len > 0) {
            memcpy(at, call->args[i].ptr, call->args[i].len);
        }
        at += call->args[i].len;
    }
    errand->call.args = errand->args;
    errand->call.reply = &slot->reply;
    return errand;
}

static void run_command(void *arg) {
    command_errand *errand = arg;
    errand->call.command->run(&errand->call);
    FB_ASSERT(errand->call.outcome != FB_PENDING);  // it brings no slot
    if (errand->left) {
        errand->slot->ends = errand->call.outcome == FB_ECLOSED;
        fb_slot_finish(errand->slot);
        fb_mem_free(errand);
    }
}

void fb_errand_command(fb_command_call *call, fb_slot *slot) {
    command_errand *errand = new_errand(call, slot);
    int result = errand != NULL ? fb_run(call->node->engine, run_command, errand) : FB_ENOMEM;
    if (result == FB_PENDING) {
        errand->left = true;
        call->outcome = FB_PENDING;
        return;
    }
    if (result == FB_OK) {
        call->outcome = errand->call.outcome;
    } else {
        fb_reply *reply = call->reply;
        call->reply = &slot->reply;
        fb_command_failed(call, result, NULL);
        fb_optimistic_not_begun(call);
        call->reply = reply;
    }
    fb_mem_free(errand);
}

// ---- requests

typedef struct request_errand {
    fb_node *node;
    fb_http_request request;
    fb_errand_handle_fn handle;
    fb_http_response response;
    int result;
    bool left;
    char bytes[];
} request_errand;

static fb_str copy(char **at, fb_str bytes) {
    fb_str copied = {*at, bytes.len};
    if (bytes.len > 0) {
        memcpy(*at, bytes.ptr, bytes.len);
    }
    *at += bytes.len;
    return copied;
}

static request_errand *new_request(fb_node *node, const fb_http_request *request) {
    size_t bytes = request->method.len + request->path.len + request->query.len +
                   request->body.len + request->key_header.len + request->peer.len;
#define COUNT(field, name) bytes += request->field.len;
    FB_HTTP_REQUEST_HEADERS(COUNT)
#undef COUNT
    request_errand *errand = fb_mem_new(sizeof *errand + bytes);
    if (errand == NULL) {
        return NULL;
    }
    *errand = (request_errand){.node = node, .request = *request};
    char *at = errand->bytes;
    fb_http_request *copied = &errand->request;
    copied->method = copy(&at, request->method);
    copied->path = copy(&at, request->path);
    copied->query = copy(&at, request->query);
    copied->body = copy(&at, request->body);
    copied->peer = copy(&at, request->peer);
    copied->key_header = copy(&at, request->key_header);
#define COPY(field, name) copied->field = copy(&at, request->field);
    FB_HTTP_REQUEST_HEADERS(COPY)
#undef COPY
    return errand;
}

static void run_request(void *arg) {
    request_errand *errand = arg;
    errand->result = errand->handle(errand->node, &errand->request, &errand->response);
    if (!errand->left) {
        return;
    }
    if (errand->result == FB_OK) {  // else a load of its own responds
        errand->request.respond(errand->request.arg, &errand->response);
        fb_http_response_release(&errand->response);
    }
    fb_mem_free(errand);
}

int fb_errand_request(fb_node *node, const fb_http_request *request, fb_errand_handle_fn handle,
                      fb_http_response *response) {
    request_errand *errand = new_request(node, request);
    if (errand == NULL) {
        return FB_ENOMEM;
    }
    errand->handle = handle;
    int result = fb_run(node->engine, run_request, errand);
    if (result == FB_PENDING) {
        errand->left = true;
        return FB_PENDING;
    }
    if (result == FB_OK) {
        result = errand->result;
        *response = errand->response;
    }
    fb_mem_free(errand);
    return result;
}
