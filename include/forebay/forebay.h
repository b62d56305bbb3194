// forebay/forebay.h -- open and close an engine; everything else in one include.
//
//     fb_config *config = NULL;
//     fb_engine *engine = NULL;
//     fb_error error;
//     if (fb_config_new(&config) || fb_config_set(config, FB_STR("memory"), FB_STR("64MiB"), &error) ||
//         fb_open(config, &engine, &error)) { … error.text … }
//
// Threads: any, at the same time, unless a call says otherwise. Errors: a call that is refused leaves
// everything as it was.
//
// Several engines may live in one process, each with its own configuration, threads, memory and
// figures; they may be closed in any order. The hooks (forebay/base.h) are the process's.
//
// Processes: an engine's threads are the parent's after fork(). A call of the child's into such an
// engine ends in the panic hook, with these words; fb_close() and fb_worker_free() there do nothing, so
// that exit handlers may call them. The child opens an engine of its own; what the parent has open (files,
// sockets) stays open in the child until it ends or execs. Best is to fork first and to open then:
// libraries below have locks, which another thread of the parent may hold at that moment.

#ifndef FOREBAY_FOREBAY_H
#define FOREBAY_FOREBAY_H

#include <forebay/base.h>
#include <forebay/cache.h>
#include <forebay/config.h>
#include <forebay/limit.h>
#include <forebay/mail.h>
#include <forebay/queue.h>
#include <forebay/registry.h>
#include <forebay/stats.h>
#include <forebay/transaction.h>

#ifdef __cplusplus
extern "C" {
#endif

FB_API const char *fb_version(void);  // "0.1.0"

// Starts loops and workers, opens the sources and prepares every declared query. The configuration
// is copied. FB_EINVAL (a query the source does not accept: error says file, line, class and the
// source's own words), FB_ENOMEM, FB_EIO, and what fb_config_check() returns.
FB_API FB_CHECK_RESULT int fb_open(const fb_config *config, fb_engine **engine, fb_error *error);
// The same checks without starting anything: what `forebay check` runs.
FB_API FB_CHECK_RESULT int fb_check(const fb_config *config, fb_error *error);
// Refuses new work (FB_ECLOSED), waits up to `drain_ms` for what is under way, then ends it: queries
// are interrupted, who still waits is told FB_ECLOSED; a loader of a caller's own that runs is waited
// for. Then frees all. NULL is fine. Must not be called on the engine's own threads. Threads that
// wait in fb_fetch() or fb_dedupe() meanwhile are answered; no other call may be under way when it
// returns.
FB_API void fb_close(fb_engine *engine, int64_t drain_ms);

// Takes over what of `config` can change while running. `fn` (may be NULL) hears of every option
// that differs: whether it took effect, or waits for a restart. After an error nothing changed. When
// it returns, no fetch that begins afterwards is answered with what another query gave. Blocks while
// the sources look at the queries. `fn` must not reload.
typedef void (*fb_reload_fn)(void *arg, fb_str path, bool applied);
FB_API FB_CHECK_RESULT int fb_reload(fb_engine *engine, const fb_config *config, fb_reload_fn fn,
                                     void *arg, fb_error *error);

// Where the memory tier lies for other processes (option `region.file`, forebay/reader.h).
typedef struct fb_region_info {
    const char *file;      // absolute, good until the engine closes; NULL: the memory is private
    const char *hints;     // what readers may write; NULL likewise
    uint64_t generation;   // changes with the classes; at most INT64_MAX
    uint64_t limit_bytes;  // of the memory tier
} fb_region_info;
FB_API void fb_region_info_read(fb_engine *engine, fb_region_info *info);

// The engine's event loops, for a program that wants to work on them (libevent).
FB_API uint32_t fb_loop_count(const fb_engine *engine);
// The libevent base of loop `index`; use it only on that loop's thread: get there by fb_loop_post().
FB_API struct event_base *fb_loop_base(const fb_engine *engine, uint32_t index);
// Runs `fn(arg)` soon on that loop's thread; when the engine closes, on the thread that closes it, as
// if it were that. FB_ENOMEM. From any thread.
FB_API FB_CHECK_RESULT int fb_loop_post(fb_engine *engine, uint32_t index, void (*fn)(void *arg),
                                        void *arg);
// The loop whose thread this is, or -1.
FB_API int fb_loop_current(const fb_engine *engine);
// Runs `fn(arg)` on the calling loop's thread as a fiber: where it makes a call of the engine that has
// to wait, the loop goes on with other work, and `fn` goes on later on the same thread. Returns when
// `fn` has returned or waits for the first time. `fn` has 256 KiB of stack, and must hold no lock and
// no thread-local state across such a call. FB_OK: it has returned. FB_PENDING: it waits. FB_ENOMEM,
// FB_EOVERLOAD (too many wait): it was not called. Within a fiber, and on no loop, it is a plain call.
FB_API FB_CHECK_RESULT int fb_run(fb_engine *engine, void (*fn)(void *arg), void *arg);

// How the shared tier stands (forebay/stats.h).
FB_API void fb_shared_info_read(fb_engine *engine, fb_shared_info *info);
// The counters of the shared tier by name, in a fixed order (docs/shared-tier.md has them).
typedef void (*fb_shared_counter_fn)(void *arg, const char *name, const char *help, uint64_t value);
FB_API void fb_shared_counters(fb_engine *engine, fb_shared_counter_fn fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
