// Keys that were learned, under threads: a key that is found is the one of that request.

#include <pthread.h>

#include "base/check.h"
#include "client/memo.h"
#include "support.h"

enum { THREADS = 3, REQUESTS = 20000, ROUNDS = 30000 };

typedef struct asked {
    char number[16], key[32];
    fb_param param;
    fb_client_request request;
} asked;

static void make(asked *to, int number) {
    snprintf(to->number, sizeof to->number, "%d", number);
    snprintf(to->key, sizeof to->key, "class:%d", number * 7);
    to->param = (fb_param){FB_STR("n"), fb_str_of(to->number)};
    to->request = (fb_client_request){
        .class_name = FB_STR("class"), .params = &to->param, .param_count = 1};
}

static void assert_found(const fb_memo *memo, const fb_client_request *request,
                         uint64_t generation, const char *expected) {
    char key[FB_MEMO_KEY_MAX];
    size_t len = fb_memo_find(memo, request, generation, key);
    assert_str(fb_str_make(key, len), expected);
}

static void test_memo__remembers_until_the_classes_change(void **state) {
    fb_memo memo = {NULL};
    asked one, other;
    make(&one, 1);
    make(&other, 2);
    assert_found(&memo, &one.request, 4, "");
    fb_memo_learn(&memo, &one.request, 4, fb_str_of(one.key));
    assert_found(&memo, &one.request, 4, one.key);
    assert_found(&memo, &one.request, 6, "");
    assert_found(&memo, &other.request, 4, "");
    fb_memo_learn(&memo, &one.request, 6, FB_STR("another"));
    assert_found(&memo, &one.request, 6, "another");
    fb_memo_release(&memo);
}

// Where one ends and the next begins is part of the request.
static void test_memo__requests_are_told_apart(void **state) {
    fb_memo memo = {NULL};
    const fb_param a[] = {{FB_STR("x"), FB_STR("yz")}};
    const fb_param b[] = {{FB_STR("xy"), FB_STR("z")}};
    fb_client_request first = {.class_name = FB_STR("c"), .params = a, .param_count = 1};
    fb_client_request second = {.class_name = FB_STR("c"), .params = b, .param_count = 1};
    fb_client_request third = {.class_name = FB_STR("cxyz")};
    fb_memo_learn(&memo, &first, 2, FB_STR("1"));
    assert_found(&memo, &second, 2, "");
    assert_found(&memo, &third, 2, "");
    assert_found(&memo, &first, 2, "1");
    fb_memo_release(&memo);
}

static void test_memo__what_is_too_long_is_not_remembered(void **state) {
    fb_memo memo = {NULL};
    char *text = malloc(100000);
    memset(text, 'x', 100000);
    const size_t lens[] = {100, 300, 470, 480, 500, 65536 + 3, 100000};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        fb_param param = {FB_STR("p"), fb_str_make(text, lens[i])};
        fb_client_request request = {.class_name = FB_STR("c"), .params = &param, .param_count = 1};
        fb_memo_learn(&memo, &request, 2, FB_STR("the key"));
        assert_found(&memo, &request, 2, lens[i] <= 300 ? "the key" : "");
        asked one;
        make(&one, (int)i);
        fb_memo_learn(&memo, &one.request, 2, fb_str_make(text, lens[i]));
        char key[FB_MEMO_KEY_MAX];
        size_t len = fb_memo_find(&memo, &one.request, 2, key);
        assert_true(len == (lens[i] <= FB_MEMO_KEY_MAX ? lens[i] : 0));
    }
    free(text);
    fb_memo_release(&memo);
}

static void *learn_and_find(void *arg) {
    fb_memo *memo = arg;
    fb_rng rng;
    fb_rng_init(&rng, (uintptr_t)&rng);
    for (int i = 0; i < ROUNDS; i++) {
        asked one;
        char key[FB_MEMO_KEY_MAX];
        make(&one, (int)fb_rng_below(&rng, REQUESTS));
        size_t len = fb_memo_find(memo, &one.request, 2, key);
        FB_ASSERT(len == 0 || fb_str_equal(fb_str_make(key, len), fb_str_of(one.key)));
        if (len == 0) {
            fb_memo_learn(memo, &one.request, 2, fb_str_of(one.key));
        }
    }
    return NULL;
}

static void test_memo__threads_find_what_belongs_together(void **state) {
    fb_memo memo = {NULL};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, learn_and_find, &memo), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    fb_memo_release(&memo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memo__remembers_until_the_classes_change),
        cmocka_unit_test(test_memo__requests_are_told_apart),
        cmocka_unit_test(test_memo__what_is_too_long_is_not_remembered),
        cmocka_unit_test(test_memo__threads_find_what_belongs_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
