// node/command_stats.h -- how often each command was called, refused and failed, how long it ran, and which
// errors clients were told: `commandstats` and `errorstats` of INFO.
//
// Counts are exact. Times are an estimate: two looks at the clock would cost more than a GET does, so that of
// each command the first call and then one in FB_COMMAND_STATS_EACH is timed, and what all took is the mean
// of these times the calls. What a command waits for once its handler has returned (a load, jobs, the shared
// tier) is not in it, as in Redis.
//
// Threads: any; counting takes no lock and writes to no line of another thread, but for errors. Memory: all
// in fb_command_stats_new().

#ifndef FB_NODE_COMMAND_STATS_H
#define FB_NODE_COMMAND_STATS_H

#include "node/command.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { FB_COMMAND_STATS_EACH = 64 };

struct fb_slot;
typedef struct fb_command_stats fb_command_stats;

FB_CHECK_RESULT int fb_command_stats_new(fb_command_stats **stats);
void fb_command_stats_free(fb_command_stats *stats);

// What follows does nothing where the node has none.

// Around the handler of call->command; the first returns when it began, 0: it is not timed.
int64_t fb_command_stats_begin(const fb_command_call *call);
void fb_command_stats_end(const fb_command_call *call, int64_t begun_ns);
// The reply says why it is not run; call->command NULL: there is no such command.
void fb_command_stats_refuse(const fb_command_call *call);
// The reply that came after its handler had returned is in the slot.
void fb_command_stats_finish(struct fb_slot *slot);

typedef struct fb_command_figures {
    uint64_t calls;     // that were begun
    uint64_t rejected;  // that were not: arity, rights …
    uint64_t failed;    // calls that ended with an error
    double us;          // an estimate, of all calls
} fb_command_figures;

// Of each command that was called or rejected, in the order of the table.
typedef void (*fb_command_figures_fn)(void *arg, const fb_command *command,
                                      const fb_command_figures *figures);
void fb_command_stats_each(fb_node *node, fb_command_figures_fn fn, void *arg);
// Of each code word of errors ("ERR", "WRONGTYPE"), in the order in which they came. Returns how many there
// were in all. `fn` NULL: only that.
typedef void (*fb_error_figures_fn)(void *arg, const char *code, uint64_t count);
uint64_t fb_command_stats_errors(fb_node *node, fb_error_figures_fn fn, void *arg);
void fb_command_stats_reset(fb_node *node);

#ifdef __cplusplus
}
#endif

#endif
