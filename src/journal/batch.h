// journal/batch.h -- requests into the machine, and what changed onto the disk: all of some
// requests or none of it. Threads: the journal's alone.

#ifndef FB_JOURNAL_BATCH_H
#define FB_JOURNAL_BATCH_H

#include "journal/copy.h"
#include "journal/disk.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fb_journal_point {
#define FB_JOURNAL_POINT_ENUM(name) FB_JOURNAL_##name,
    FB_JOURNAL_POINTS(FB_JOURNAL_POINT_ENUM)
#undef FB_JOURNAL_POINT_ENUM
} fb_journal_point;

typedef struct fb_journal_batch {
    fb_journal_disk *disk;
    fb_machine *machine;
    fb_arena arena;
    const fb_journal_options *options;
    fb_queue_port *port;
    void (*pass)(void *arg, fb_journal_point point);
    void (*done)(void *arg, size_t bytes);  // of requests that are about to be answered
    void *arg;
    int64_t now_ms;       // set it before each run
    // After a run:
    int64_t next_ms;      // when something is due by itself
    bool changed;         // something was stored
    int failed;           // FB_OK, or what the last failure of the run was
} fb_journal_batch;

// Does what is due by itself, then the requests (may be none), and answers every one of them.
void fb_journal_batch_run(fb_journal_batch *batch, fb_journal_ask *asks);
// Takes from the front of *asks what is to be one batch.
fb_journal_ask *fb_journal_batch_cut(fb_journal_ask **asks);
void fb_journal_batch_release(fb_journal_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
