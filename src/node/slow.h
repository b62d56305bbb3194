// node/slow.h -- operations that took long, by name, with what they waited for: in the log, and in a ring
// that SLOWLOG shows.
//
// What counts as long is `log.slow`, as of loads. Commands on single keys that are answered from memory on
// the spot are not timed: two looks at the clock would cost more than some of them do. All others are, from
// the moment the command is read until its reply is written. Commands that wait because they were asked
// to (RESERVE) are not slow.
//
// The log has at most FB_SLOW_LINES of them a second; those beyond are counted, and told as a number.
//
// Threads: any. Memory: all in fb_slow.

#ifndef FB_NODE_SLOW_H
#define FB_NODE_SLOW_H

#include <forebay/base.h>


#ifdef __cplusplus
extern "C" {
#endif

enum { FB_SLOW_KEPT = 128, FB_SLOW_LINES = 5, FB_SLOW_NAME_SIZE = 40, FB_SLOW_WHAT_SIZE = 80 };

struct fb_node;
struct fb_command_call;
struct fb_slot;

typedef struct fb_slow_entry {
    uint64_t id;  // from 0 on
    int64_t wall_s;
    int64_t took_us;
    char name[FB_SLOW_NAME_SIZE];  // "mget", "GET"
    char what[FB_SLOW_WHAT_SIZE];  // its words (of what writes the first alone), or the path; may be cut
    char waited_for[12];           // "memory", "shared", "source", "queue", "mail"
    char peer[64];
} fb_slow_entry;

// One operation that was under way: zeroed it is none.
typedef struct fb_slow_watch {
    int64_t begun_ns;
    char name[FB_SLOW_NAME_SIZE];
    char what[FB_SLOW_WHAT_SIZE];
    const char *waits_for;
} fb_slow_watch;

// From now on: what takes so long is slow; 0: nothing is.
void fb_slow_set(struct fb_node *node, int64_t slow_ns);
// Of a request at the HTTP door: begin and end, with the path and the query.
void fb_slow_request_begin(struct fb_node *node, fb_slow_watch *watch, fb_str method, fb_str path);
void fb_slow_end(struct fb_node *node, const fb_slow_watch *watch, const char *peer);
// Of a command: before its handler and after it. What is pending goes on in its slot, until
// fb_slow_finished().
int64_t fb_slow_begin(const struct fb_command_call *call);
void fb_slow_ran(const struct fb_command_call *call, int64_t begun_ns);
void fb_slow_finished(struct fb_slot *slot);

// Copies up to `count` entries, the newest first; how many.
size_t fb_slow_read(struct fb_node *node, fb_slow_entry *entries, size_t count);
size_t fb_slow_count(struct fb_node *node);
void fb_slow_reset(struct fb_node *node);
// Once a second or so: how many more there were than lines. (More than a second's calls do nothing.)
void fb_slow_tell(struct fb_node *node);

#ifdef __cplusplus
}
#endif

#endif
