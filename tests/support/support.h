// support.h -- what every unit test needs: cmocka, results shown by name, a seed, failing memory.
//
// Header-only. It replaces the memory hook for the whole process when the first helper that counts
// memory is called; do that before there are threads.

#ifndef FB_TESTS_SUPPORT_H
#define FB_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include <forebay/base.h>

#include "base/rng.h"
#include "base/str.h"

// Results by name, so that a failure reads "FB_EINVAL, not FB_OK".
#define assert_result(call, expected) test_result_is((call), (expected), #call, __FILE__, __LINE__)
#define assert_ok(call) assert_result(call, FB_OK)

static inline void test_result_is(int result, int expected, const char *call, const char *file,
                                  int line) {
    if (result != expected) {
        print_error("%s gave %s (%d), not %s\n", call, fb_result_name(result), result,
                    fb_result_name(expected));
        _fail(file, line);
    }
}

// Bytes against a NUL-terminated text, or against other bytes.
#define assert_str(actual, text) assert_bytes(actual, fb_str_of(text))
#define assert_bytes(actual, expected) test_bytes_are((actual), (expected), __FILE__, __LINE__)

static inline void test_bytes_are(fb_str actual, fb_str expected, const char *file, int line) {
    if (!fb_str_equal(actual, expected)) {
        print_error("\"%.*s\" (%zu bytes), not \"%.*s\" (%zu bytes)\n", FB_STR_ARG(actual),
                    actual.len, FB_STR_ARG(expected), expected.len);
        _fail(file, line);
    }
}

// The seed of random tests: FB_TEST_SEED of the environment, or a fixed one. It is printed at first
// use; the test runner shows what a test printed when it failed.
static inline uint64_t test_seed(void) {
    static uint64_t seed;
    static bool known;

    if (!known) {
        const char *text = getenv("FB_TEST_SEED");
        seed = text != NULL ? strtoull(text, NULL, 0) : UINT64_C(20240229);
        known = true;
        printf("FB_TEST_SEED=%llu\n", (unsigned long long)seed);
        (void)fflush(stdout);
    }
    return seed;
}

static inline fb_rng test_rng(void) {
    fb_rng rng;

    fb_rng_init(&rng, test_seed());
    return rng;
}

// Memory that counts what is taken and fails once, at a chosen allocation.
typedef struct test_memory {
    atomic_size_t asked;    // allocations and resizes asked for since test_memory_fail()
    atomic_size_t fail_at;  // the one of these that fails, from 1; 0: none does
    atomic_bool failed;     // it has
    atomic_long live;       // pieces taken and not freed
    atomic_bool own_alone;  // of `own`: what other threads do is neither counted nor fails
    pthread_t own;
} test_memory;

static inline void *test_memory_resize(void *arg, void *ptr, size_t size) {
    test_memory *memory = arg;
    bool counts = !memory->own_alone || pthread_equal(memory->own, pthread_self());

    if (size == 0) {
        memory->live -= counts && ptr != NULL;
        free(ptr);
        return NULL;
    }
    if (!counts) {
        return realloc(ptr, size);
    }
    if (++memory->asked == memory->fail_at) {
        memory->failed = true;
        return NULL;
    }
    void *resized = realloc(ptr, size);
    memory->live += ptr == NULL && resized != NULL;
    return resized;
}

// Installs the hook at first use.
static inline test_memory *test_memory_get(void) {
    static test_memory memory;
    static bool installed;

    if (!installed) {
        fb_hooks hooks = {.resize = test_memory_resize, .arg = &memory};
        fb_hooks_set(&hooks);
        installed = true;
    }
    return &memory;
}

// From now on the n-th allocation fails (0: none), that one only.
static inline void test_memory_fail(size_t n) {
    test_memory *memory = test_memory_get();

    memory->asked = 0;
    memory->failed = false;
    memory->fail_at = n;
}

// Runs the scenario with the 1st, then the 2nd, … allocation failing, until none of them is
// reached. The scenario starts and ends with nothing of its own allocated. It returns FB_OK, or
// FB_ENOMEM when it met the failure; what else must hold then it asserts itself. Returns how many
// allocations there are. Objects that live longer (a table made once for the process) must exist
// before.
static inline size_t test_memory_sweep(int (*scenario)(void *arg), void *arg) {
    test_memory *memory = test_memory_get();

    for (size_t n = 1;; n++) {
        long live = memory->live;
        test_memory_fail(n);
        int result = scenario(arg);
        bool failed = memory->failed;
        test_memory_fail(0);
        if (memory->live != live) {
            fail_msg("allocation %zu fails: %ld pieces are left over", n, memory->live - live);
        }
        if (result != FB_OK && (result != FB_ENOMEM || !failed)) {
            fail_msg("allocation %zu fails: %s", n, fb_result_name(result));
        }
        if (!failed) {
            return n - 1;
        }
    }
}

#endif
