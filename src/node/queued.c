// Commands that wait for EXEC lie one behind the other in one buffer: how many words, then the
// length and the bytes of each. Pipelines that send MULTI without need of it (redis-py's do) queue
// hundreds of thousands of commands; so there is no allocation for each.
//
// The array of words that the next command is shown by grows while commands come in: running them
// takes no memory, so it cannot fail half-way for lack of it.

#include "node/queued.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { PACKED_CAP_KEPT = 16 * 1024, ARGS_CAP_KEPT = 64 };

void fb_queued_open(fb_queued *queued) {
    FB_ASSERT(!queued->open && queued->packed.len == 0);
    queued->open = true;
}

static int grow_args(fb_queued *queued, size_t arg_count) {
    if (arg_count <= queued->args_cap) {
        return FB_OK;
    }
    size_t cap = arg_count < ARGS_CAP_KEPT ? ARGS_CAP_KEPT : arg_count;
    fb_str *args = fb_mem_resize(queued->args, cap * sizeof *args);
    if (args == NULL) {
        return FB_ENOMEM;
    }
    queued->args = args;
    queued->args_cap = cap;
    return FB_OK;
}

// There is room.
static void put(fb_buf *packed, const void *bytes, size_t len) {
    if (len > 0) {
        memcpy(packed->ptr + packed->len, bytes, len);
        packed->len += len;
    }
}

int fb_queued_add(fb_queued *queued, const fb_str *args, size_t arg_count, size_t len_max) {
    FB_ASSERT(queued->open && arg_count > 0);
    if (queued->spoilt) {
        return FB_OK;
    }
    size_t len = sizeof arg_count;
    for (size_t i = 0; i < arg_count; i++) {
        len += sizeof args[i].len + args[i].len;
    }
    if (len > len_max || queued->packed.len > len_max - len) {
        return FB_ETOOBIG;
    }
    if (grow_args(queued, arg_count) < 0 || fb_buf_reserve(&queued->packed, len) < 0) {
        return FB_ENOMEM;
    }
    put(&queued->packed, &arg_count, sizeof arg_count);
    for (size_t i = 0; i < arg_count; i++) {
        put(&queued->packed, &args[i].len, sizeof args[i].len);
        put(&queued->packed, args[i].ptr, args[i].len);
    }
    queued->count++;
    return FB_OK;
}

static size_t take_size(fb_queued *queued) {
    size_t size;
    memcpy(&size, queued->packed.ptr + queued->at, sizeof size);
    queued->at += sizeof size;
    return size;
}

bool fb_queued_next(fb_queued *queued, const fb_str **args, size_t *arg_count) {
    if (queued->at == queued->packed.len) {
        return false;
    }
    *arg_count = take_size(queued);
    FB_ASSERT(*arg_count <= queued->args_cap);
    for (size_t i = 0; i < *arg_count; i++) {
        queued->args[i].len = take_size(queued);
        queued->args[i].ptr = queued->packed.ptr + queued->at;
        queued->at += queued->args[i].len;
    }
    *args = queued->args;
    return true;
}

void fb_queued_rewind(fb_queued *queued) {
    queued->at = 0;
}

static void forget(fb_queued *queued) {
    queued->count = 0;
    queued->at = 0;
    queued->packed.len = 0;
    if (queued->packed.cap > PACKED_CAP_KEPT) {
        fb_buf_release(&queued->packed);
    }
    if (queued->args_cap > ARGS_CAP_KEPT) {
        fb_mem_free(queued->args);
        queued->args = NULL;
        queued->args_cap = 0;
    }
}

void fb_queued_spoil(fb_queued *queued) {
    if (queued->open) {
        forget(queued);
        queued->spoilt = true;
    }
}

void fb_queued_close(fb_queued *queued) {
    forget(queued);
    queued->open = queued->spoilt = false;
}

void fb_queued_release(fb_queued *queued) {
    fb_buf_release(&queued->packed);
    fb_mem_free(queued->args);
    memset(queued, 0, sizeof *queued);
}
