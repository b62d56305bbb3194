// An event loop and the work other threads hand to it.
//
// Posts are pushed on a lock-free stack; the one that finds it empty writes to an eventfd. The loop
// takes the whole stack at once, turns it round and runs it in order. So however many threads post
// however much, there is at most one system call for each time the loop comes by; and none for what
// the loop's own thread posts, which makes the wake-up event active instead.
// Stopping is a post as well: what was posted before it has been run. What comes later stays on the
// stack until the thread that closes takes the place of the loop's: so nothing that was posted is
// ever lost.

#include "os/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/thread.h"

struct fb_loop {
    struct event_base *base;
    struct event *wake;
    int wake_fd;
    uint32_t index;
    bool started;
    pthread_t thread;
    _Atomic(fb_post *) posted;  // newest first
    fb_post stop;
};

static _Thread_local fb_loop *current;

// Takes what is posted, oldest first.
static fb_post *take_posted(fb_loop *loop) {
    fb_post *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    fb_post *oldest = NULL;
    while (newest != NULL) {
        fb_post *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static bool run_posted(fb_loop *loop) {
    fb_post *oldest = take_posted(loop);
    bool any = oldest != NULL;
    while (oldest != NULL) {
        fb_post *post = oldest;
        oldest = post->next;  // before the call: the node may be reused or freed by it
        post->fn(post);
    }
    return any;
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    uint64_t count;
    if ((what & EV_READ) != 0) {
        // The counter is reset before the stack is taken: a post that comes in between wakes us
        // again.
        ssize_t got = read(fd, &count, sizeof count);
        FB_ASSERT(got == (ssize_t)sizeof count || errno == EAGAIN || errno == EINTR);
    }
    (void)run_posted(arg);
}

static void *run_loop(void *arg) {
    current = arg;
    int result = event_base_dispatch(current->base);
    FB_ASSERT(result == 0);  // it was told to stop; else somebody has closed a descriptor of ours
    return NULL;
}

static struct event_base *new_base(void) {
    struct event_config *config = event_config_new();
    if (config == NULL) {
        return NULL;
    }
    // Everything that crosses threads goes through our own queue, so libevent need not lock.
    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

int fb_loop_new(uint32_t index, fb_loop **out) {
    int result = FB_ENOMEM;
    fb_loop *loop = fb_mem_zero(1, sizeof *loop);
    if (loop == NULL) {
        return FB_ENOMEM;
    }
    loop->index = index;
    loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->wake_fd < 0) {
        result = FB_EIO;
        goto fail;
    }
    loop->base = new_base();
    if (loop->base == NULL) {
        goto fail;
    }
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    if (loop->wake == NULL || event_add(loop->wake, NULL) != 0) {
        goto fail;
    }
    char name[16];
    snprintf(name, sizeof name, "forebay-%u", index);
    result = fb_thread_start(&loop->thread, name, run_loop, loop);
    if (result < 0) {
        goto fail;
    }
    loop->started = true;
    *out = loop;
    return FB_OK;
fail:
    fb_loop_free(loop);
    return result;
}

static void stop(fb_post *post) {
    (void)post;
    event_base_loopbreak(current->base);
}

void fb_loop_stop(fb_loop *loop) {
    FB_ASSERT(current != loop);
    if (loop->started) {
        loop->stop.fn = stop;
        fb_loop_submit(loop, &loop->stop);
        pthread_join(loop->thread, NULL);
        loop->started = false;
    }
}

bool fb_loop_run_left(fb_loop *loop) {
    fb_loop *before = current;  // another engine's, perhaps
    FB_ASSERT(!loop->started);
    current = loop;
    bool any = run_posted(loop);
    current = before;
    return any;
}

void fb_loop_free(fb_loop *loop) {
    if (loop == NULL) {
        return;
    }
    fb_loop_stop(loop);
    FB_ASSERT(atomic_load(&loop->posted) == NULL);
    if (loop->wake != NULL) {
        event_free(loop->wake);
    }
    if (loop->base != NULL) {
        event_base_free(loop->base);
    }
    if (loop->wake_fd >= 0) {
        close(loop->wake_fd);
    }
    fb_mem_free(loop);
}

struct event_base *fb_loop_event_base(fb_loop *loop) {
    return loop->base;
}

void fb_loop_submit(fb_loop *loop, fb_post *post) {
    FB_ASSERT(post->fn != NULL);
    fb_post *newest = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do {
        post->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&loop->posted, &newest, post,
                                                    memory_order_release, memory_order_relaxed));
    if (newest == NULL && current == loop) {
        // Where this thread only stands in for the loop's, at the end, nothing comes of that: it
        // looks for itself.
        event_active(loop->wake, EV_TIMEOUT, 0);
    } else if (newest == NULL) {
        uint64_t one = 1;
        ssize_t put;
        do {
            put = write(loop->wake_fd, &one, sizeof one);
        } while (put < 0 && errno == EINTR);
        FB_ASSERT(put == (ssize_t)sizeof one || errno == EAGAIN);
    }
}

fb_loop *fb_loop_here(void) {
    return current;
}

uint32_t fb_loop_index(const fb_loop *loop) {
    return loop->index;
}
