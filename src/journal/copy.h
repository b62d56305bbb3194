// journal/copy.h -- a request that waits: everything it points to, in one piece of memory.

#ifndef FB_JOURNAL_COPY_H
#define FB_JOURNAL_COPY_H

#include "queue/port.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fb_journal_ask {
    struct fb_journal_ask *next;
    size_t bytes;                // of all of it
    fb_store_request request;    // a payload's ptr is not NULL, however short it is
    fb_queue_policy policy;
    fb_store_reply_fn fn;
    void *arg;
    fb_store_reply reply;
    int failed;                  // FB_OK, or why it could not be done
} fb_journal_ask;

// NULL: no memory. Free it with fb_mem_free().
FB_CHECK_RESULT fb_journal_ask *fb_journal_copy(const fb_store_request *request);
size_t fb_journal_copy_size(const fb_store_request *request);

#ifdef __cplusplus
}
#endif

#endif
