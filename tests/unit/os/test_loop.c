// Event loops and what is posted to them.

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/list.h"
#include "os/loop.h"
#include "support.h"

enum { THREADS = 4, POSTS = 5000 };

typedef struct letter {
    fb_post post;
    fb_loop *loop;
    struct sender *from;
    int number;
} letter;

typedef struct sender {
    fb_loop *loop;
    pthread_t thread;
    letter letters[POSTS];
    int next;  // the number that has to come next
    int wrong;
} sender;

static atomic_int read_letters;

static void read_letter(fb_post *post) {
    letter *one = FB_LIST_OF(post, letter, post);
    one->from->wrong += one->number != one->from->next || fb_loop_here() != one->loop;
    one->from->next = one->number + 1;
    atomic_fetch_add(&read_letters, 1);
}

static void *send_all(void *arg) {
    sender *one = arg;
    for (int i = 0; i < POSTS; i++) {
        one->letters[i] =
            (letter){.post.fn = read_letter, .loop = one->loop, .from = one, .number = i};
        fb_loop_submit(one->loop, &one->letters[i].post);
    }
    return NULL;
}

static void test_loop__runs_all_that_was_posted_in_each_sender_s_order(void **state) {
    (void)state;
    static sender senders[THREADS];
    fb_loop *loop = NULL;
    assert_ok(fb_loop_new(3, &loop));
    assert_int_equal(fb_loop_index(loop), 3);
    assert_null(fb_loop_here());
    atomic_store(&read_letters, 0);
    for (int i = 0; i < THREADS; i++) {
        senders[i].loop = loop;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(senders[i].thread, NULL);
    }
    fb_loop_stop(loop);  // what was posted before it has been run
    assert_int_equal(atomic_load(&read_letters), THREADS * POSTS);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(senders[i].wrong, 0);
    }
    fb_loop_stop(loop);
    fb_loop_free(loop);
    fb_loop_free(NULL);
}

static void test_loop__keeps_what_comes_after_the_stop(void **state) {
    (void)state;
    static sender one;
    fb_loop *loop = NULL;
    assert_ok(fb_loop_new(0, &loop));
    fb_loop_stop(loop);
    assert_false(fb_loop_run_left(loop));
    atomic_store(&read_letters, 0);
    one = (sender){.loop = loop};
    send_all(&one);
    assert_int_equal(atomic_load(&read_letters), 0);
    assert_true(fb_loop_run_left(loop));  // here, as if on the loop's thread
    assert_int_equal(atomic_load(&read_letters), POSTS);
    assert_int_equal(one.wrong, 0);
    assert_false(fb_loop_run_left(loop));
    assert_null(fb_loop_here());
    fb_loop_free(loop);
}

typedef struct again {
    fb_post post;
    fb_loop *loop;
    int left;
    atomic_int run;
} again;

static void post_again(fb_post *post) {
    again *one = FB_LIST_OF(post, again, post);
    atomic_fetch_add(&one->run, 1);
    if (one->left-- > 0) {
        fb_loop_submit(one->loop, post);  // the node is free while it is run
    }
}

static void test_loop__a_post_may_post_itself_again(void **state) {
    (void)state;
    again one = {.post.fn = post_again, .left = 1000};
    assert_ok(fb_loop_new(0, &one.loop));
    fb_loop_submit(one.loop, &one.post);
    fb_loop_stop(one.loop);
    while (fb_loop_run_left(one.loop)) {
    }
    assert_int_equal(atomic_load(&one.run), 1001);
    fb_loop_free(one.loop);
}

typedef struct mask {
    fb_post post;
    sigset_t blocked;
} mask;

static void read_mask(fb_post *post) {
    mask *one = FB_LIST_OF(post, mask, post);
    (void)pthread_sigmask(SIG_BLOCK, NULL, &one->blocked);
}

static void test_loop__leaves_signals_to_the_program(void **state) {
    (void)state;
    mask one = {.post.fn = read_mask};
    sigset_t before, after;
    fb_loop *loop = NULL;
    (void)pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_ok(fb_loop_new(0, &loop));
    (void)pthread_sigmask(SIG_BLOCK, NULL, &after);
    fb_loop_submit(loop, &one.post);
    fb_loop_stop(loop);
    fb_loop_free(loop);
    static const int programs[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGPIPE};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        assert_int_equal(sigismember(&one.blocked, programs[i]), 1);
        assert_int_equal(sigismember(&before, programs[i]), sigismember(&after, programs[i]));
    }
    assert_int_equal(sigismember(&one.blocked, SIGSEGV), 0);
}

static int make_loop(void *arg) {
    (void)arg;
    fb_loop *loop = NULL;
    int result = fb_loop_new(0, &loop);
    fb_loop_free(loop);
    return result;
}

static void test_loop__says_when_there_is_no_memory(void **state) {
    (void)state;
    assert_true(test_memory_sweep(make_loop, NULL) >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop__runs_all_that_was_posted_in_each_sender_s_order),
        cmocka_unit_test(test_loop__keeps_what_comes_after_the_stop),
        cmocka_unit_test(test_loop__a_post_may_post_itself_again),
        cmocka_unit_test(test_loop__leaves_signals_to_the_program),
        cmocka_unit_test(test_loop__says_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
