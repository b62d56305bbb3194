// redis/queue_step.h -- requests of queue/port.h as commands, one for each partition that they
// touch, and what the answers say. No I/O.

#ifndef FB_REDIS_QUEUE_STEP_H
#define FB_REDIS_QUEUE_STEP_H

#include "queue/port.h"
#include "redis/step.h"
#include "wire/resp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_QUEUE_PARTITIONS_MAX = 64 };

// Of one queue: its keys in one slot.
typedef struct fb_queue_place {
    const char *name_space;
    fb_str queue;
    uint32_t partition;
    uint32_t partitions;  // of the queue
} fb_queue_place;
uint16_t fb_queue_step_slot(const fb_queue_place *place);
// The partition of a unique key: the same on every node.
uint32_t fb_queue_step_partition(fb_str unique, uint32_t partitions);

// Which of the request's jobs or claims go there; of verbs without, none.
typedef struct fb_queue_items {
    uint32_t *at;
    size_t count;
} fb_queue_items;

// `request->policy` is not NULL. FB_OK, FB_ENOMEM.
FB_CHECK_RESULT int fb_queue_step_encode(fb_step *step, const fb_queue_place *place,
                                    const fb_store_request *request, const fb_queue_items *items);

// An answer, taken apart. It points into the value. Nothing of it is trusted.
typedef struct fb_queue_said {
    fb_store_result result;    // DONE, MISS, FULL
    int64_t now_ms;
    int64_t number;            // the verb's: how many, whether, when next (-1: never)
    fb_str items;              // FB_QUEUE_ITEM_BYTES for each
    const fb_resp_value *rest; // jobs and marks, three values each; figures
    size_t rest_count;
} fb_queue_said;
enum { FB_QUEUE_ITEM_BYTES = 10 };
// False: it has another shape.
bool fb_queue_step_read(const fb_resp_value *value, fb_queue_said *said);

typedef struct fb_queue_item {
    int result;                // FB_OK, FB_MISS, FB_REFUSED, FB_LOST
    int end;                   // fb_job_end
    int64_t number;
} fb_queue_item;
bool fb_queue_step_read_item(fb_str items, size_t index, fb_queue_item *item);
// number, head, payload.
bool fb_queue_step_read_job(const fb_resp_value *three, fb_job *job);
// name, value, "".
bool fb_queue_step_read_mark(const fb_resp_value *three, fb_store_mark *mark);
// Adds to *look; oldest_ms is the greater one.
bool fb_queue_step_read_look(const fb_resp_value *figures, fb_queue_look *look);

#ifdef __cplusplus
}
#endif

#endif
