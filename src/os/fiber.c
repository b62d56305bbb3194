// Fibers: stacks, and the switch between them.
//
// A stack is entered once, by makecontext(); from then on it is a loop that runs one function after
// the other, and between two of them it lies in its pool. So the ordinary switch need not know how
// to begin: it is _setjmp() on one side and _longjmp() to the other, which save registers alone
// and, unlike swapcontext(), make no system call for the signal mask. (glibc's fortified longjmp()
// takes the jump to another stack for a mistake, so this file asks for the plain one.)
//
// Sanitizers follow stacks. They are told of each switch; and since theirs of longjmp() believe in
// one stack only, swapcontext() is used with them.
//
// A switch has two ends: the thread's own stack ("outside"), and one fiber. There is no switch from
// fiber to fiber, so nothing here depends on who resumes whom.

#ifdef _FORTIFY_SOURCE
#undef _FORTIFY_SOURCE
#endif

#include "os/fiber.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/mem.h"

#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define WITH_ASAN 1
#include <sanitizer/common_interface_defs.h>
#else
#define WITH_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#define WITH_TSAN 1
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#else
#define WITH_TSAN 0
#endif
#define WITH_SANITIZER (WITH_ASAN || WITH_TSAN)

enum { KEPT_MAX = 64 };  // stacks that lie idle in a pool

// One end of a switch.
typedef struct end {
#if WITH_SANITIZER
    ucontext_t context;
    void *fake_stack;  // ASan's, of this end
    void *tsan;
#else
    jmp_buf jump;
#endif
    const void *bottom;
    size_t size;
} end;

struct fb_fiber {
    fb_list list;  // in pool->kept
    fb_fiber_pool *pool;
    char *mapping;
    size_t mapping_len;
    bool entered;
    bool returned;  // the function has; or there was none yet
    void (*fn)(void *arg);
    void *arg;
    void *local;
    end inside, outside;
};

struct fb_fiber_pool {
    fb_list kept;
    uint32_t kept_count;
    uint32_t most;
    _Atomic(uint32_t) waiting;
};

static _Thread_local fb_fiber *current;

fb_fiber *fb_fiber_here(void) {
    return current;
}

void *fb_fiber_local(const fb_fiber *fiber) {
    return fiber->local;
}

void fb_fiber_set_local(fb_fiber *fiber, void *local) {
    fiber->local = local;
}

// ---- stacks

static void free_fiber(fb_fiber *fiber) {
#if WITH_TSAN
    if (fiber->inside.tsan != NULL) {
        __tsan_destroy_fiber(fiber->inside.tsan);
    }
#endif
    if (fiber->mapping != NULL) {
        munmap(fiber->mapping, fiber->mapping_len);
    }
    fb_mem_free(fiber);
}

static fb_fiber *new_fiber(fb_fiber_pool *pool) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    fb_fiber *fiber = fb_mem_zero(1, sizeof *fiber);
    if (fiber == NULL) {
        return NULL;
    }
    fb_list_init(&fiber->list);
    fiber->pool = pool;
    fiber->returned = true;
    fiber->mapping_len = FB_FIBER_STACK_BYTES + page;
    void *mapping = mmap(NULL, fiber->mapping_len, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (mapping == MAP_FAILED) {
        fb_mem_free(fiber);
        return NULL;
    }
    fiber->mapping = mapping;
    fiber->inside.bottom = fiber->mapping + page;
    fiber->inside.size = FB_FIBER_STACK_BYTES;
    if (mprotect(mapping, page, PROT_NONE) != 0) {
        free_fiber(fiber);
        return NULL;
    }
    return fiber;
}

static fb_fiber *take(fb_fiber_pool *pool) {
    if (fb_list_empty(&pool->kept)) {
        return new_fiber(pool);
    }
    // The one used last: its pages are warm.
    fb_fiber *fiber = FB_LIST_OF(pool->kept.prev, fb_fiber, list);
    fb_list_remove(&fiber->list);
    pool->kept_count--;
    return fiber;
}

static void give_back(fb_fiber *fiber) {
    fb_fiber_pool *pool = fiber->pool;
    if (pool->kept_count >= KEPT_MAX) {
        free_fiber(fiber);
        return;
    }
    fb_list_insert(&pool->kept, &fiber->list);
    pool->kept_count++;
}

// ---- the switch

static void run_forever(void);

#if WITH_SANITIZER

// `left_for_good`: nothing of the stack that is left is needed any more.
static void announce(end *from, const end *to, bool left_for_good) {
#if WITH_ASAN
    __sanitizer_start_switch_fiber(left_for_good ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
#if WITH_TSAN
    from->tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    (void)from, (void)to, (void)left_for_good;
}

// On the stack that was switched to; `from`: where it came from, whose place becomes known.
static void arrive(end *to, end *from) {
#if WITH_ASAN
    __sanitizer_finish_switch_fiber(to->fake_stack, &from->bottom, &from->size);
    to->fake_stack = NULL;
#endif
    (void)to, (void)from;
}

static void enter(fb_fiber *fiber) {
    if (!fiber->entered) {
        fiber->entered = true;
        (void)getcontext(&fiber->inside.context);
        fiber->inside.context.uc_stack.ss_sp = (void *)(uintptr_t)fiber->inside.bottom;
        fiber->inside.context.uc_stack.ss_size = fiber->inside.size;
        fiber->inside.context.uc_link = NULL;
        makecontext(&fiber->inside.context, run_forever, 0);
#if WITH_TSAN
        fiber->inside.tsan = __tsan_create_fiber(0);
#endif
    }
    end unused = {.bottom = NULL};
    announce(&fiber->outside, &fiber->inside, false);
    (void)swapcontext(&fiber->outside.context, &fiber->inside.context);
    arrive(&fiber->outside, &unused);
}

static void leave(fb_fiber *fiber, bool for_good) {
    announce(&fiber->inside, &fiber->outside, for_good);
    (void)swapcontext(&fiber->inside.context, &fiber->outside.context);
    arrive(&fiber->inside, &fiber->outside);
}

#else

static void arrive(end *to, end *from) {
    (void)to, (void)from;
}

static void enter_first(fb_fiber *fiber) {
    ucontext_t context;
    fiber->entered = true;
    (void)getcontext(&context);
    context.uc_stack.ss_sp = (void *)(uintptr_t)fiber->inside.bottom;
    context.uc_stack.ss_size = fiber->inside.size;
    context.uc_link = NULL;
    makecontext(&context, run_forever, 0);
    (void)setcontext(&context);
}

static void enter(fb_fiber *fiber) {
    if (_setjmp(fiber->outside.jump) == 0) {
        if (!fiber->entered) {
            enter_first(fiber);
        }
        _longjmp(fiber->inside.jump, 1);
    }
}

static void leave(fb_fiber *fiber, bool for_good) {
    (void)for_good;
    if (_setjmp(fiber->inside.jump) == 0) {
        _longjmp(fiber->outside.jump, 1);
    }
}

#endif

// The lowest frame of each stack. ASan's fake stack goes with each function, so this frame must not
// lie in it.
__attribute__((no_sanitize("address"))) static void run_forever(void) {
    fb_fiber *fiber = current;
    arrive(&fiber->inside, &fiber->outside);
    while (true) {
        fiber->fn(fiber->arg);
        fiber->returned = true;
        leave(fiber, true);
    }
}

// ---- running

static void go(fb_fiber *fiber) {
    current = fiber;
    enter(fiber);
    current = NULL;
}

int fb_fiber_run(fb_fiber_pool *pool, void (*fn)(void *arg), void *arg) {
    FB_ASSERT(current == NULL);
    if (atomic_load_explicit(&pool->waiting, memory_order_relaxed) >= pool->most) {
        return FB_EOVERLOAD;
    }
    fb_fiber *fiber = take(pool);
    if (fiber == NULL) {
        return FB_ENOMEM;
    }
    fiber->fn = fn;
    fiber->arg = arg;
    fiber->returned = false;
    // It counts as waiting from before it runs: a fiber that is begun is seen by who waits for all.
    atomic_fetch_add(&pool->waiting, 1);
    go(fiber);
    if (!fiber->returned) {
        return FB_PENDING;
    }
    give_back(fiber);
    atomic_fetch_sub(&pool->waiting, 1);
    return FB_OK;
}

void fb_fiber_wait(void) {
    FB_ASSERT(current != NULL);
    leave(current, false);
}

void fb_fiber_resume(fb_fiber *fiber) {
    FB_ASSERT(current == NULL && !fiber->returned);
    go(fiber);
    if (fiber->returned) {
        fb_fiber_pool *pool = fiber->pool;
        give_back(fiber);
        atomic_fetch_sub(&pool->waiting, 1);
    }
}

// ---- pools

int fb_fiber_pool_new(uint32_t most, fb_fiber_pool **out) {
    fb_fiber_pool *pool = fb_mem_zero(1, sizeof *pool);
    if (pool == NULL) {
        return FB_ENOMEM;
    }
    fb_list_init(&pool->kept);
    pool->most = most;
    *out = pool;
    return FB_OK;
}

void fb_fiber_pool_free(fb_fiber_pool *pool) {
    if (pool == NULL) {
        return;
    }
    FB_ASSERT(atomic_load(&pool->waiting) == 0);
    while (!fb_list_empty(&pool->kept)) {
        fb_fiber *fiber = FB_LIST_OF(pool->kept.next, fb_fiber, list);
        fb_list_remove(&fiber->list);
        free_fiber(fiber);
    }
    fb_mem_free(pool);
}

uint32_t fb_fiber_waiting(const fb_fiber_pool *pool) {
    return atomic_load(&pool->waiting);
}
