// The commands that wait for EXEC come back as they were given, whatever bytes they have.

#include "node/queued.h"
#include "support.h"

static void test_queued__gives_back_what_it_took(void **state) {
    enum { COMMANDS = 200, ARGS_MAX = 100 };
    fb_rng rng = test_rng();
    static char bytes[256];
    static fb_str kept[COMMANDS][ARGS_MAX];
    static size_t counts[COMMANDS];
    fb_queued queued = {0};
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)i;
    }
    for (int round = 0; round < 3; round++) {
        fb_queued_open(&queued);
        for (size_t i = 0; i < COMMANDS; i++) {
            counts[i] = 1 + fb_rng_below(&rng, ARGS_MAX);
            for (size_t k = 0; k < counts[i]; k++) {
                size_t len = fb_rng_below(&rng, sizeof bytes);
                kept[i][k] = fb_str_make(bytes + sizeof bytes - len, len);
            }
            assert_ok(fb_queued_add(&queued, kept[i], counts[i], SIZE_MAX));
        }
        assert_int_equal(queued.count, COMMANDS);
        const fb_str *args;
        size_t arg_count;
        for (size_t i = 0; i < COMMANDS; i++) {
            assert_true(fb_queued_next(&queued, &args, &arg_count));
            assert_int_equal(arg_count, counts[i]);
            for (size_t k = 0; k < arg_count; k++) {
                assert_bytes(args[k], kept[i][k]);
            }
        }
        assert_false(fb_queued_next(&queued, &args, &arg_count));
        fb_queued_close(&queued);
        assert_false(queued.open);
    }
    fb_queued_release(&queued);
}

static void test_queued__keeps_to_its_bound(void **state) {
    fb_queued queued = {0};
    fb_str args[] = {FB_STR("ECHO"), FB_STR("0123456789")};
    fb_queued_open(&queued);
    assert_ok(fb_queued_add(&queued, args, 2, 100));
    assert_ok(fb_queued_add(&queued, args, 2, 100));
    assert_result(fb_queued_add(&queued, args, 2, 100), FB_ETOOBIG);
    assert_int_equal(queued.count, 2);
    fb_queued_release(&queued);
}

static void test_queued__forgets_when_spoilt(void **state) {
    fb_queued queued = {0};
    fb_str word = FB_STR("PING");
    fb_queued_spoil(&queued);
    assert_false(queued.spoilt);  // nothing to spoil
    fb_queued_open(&queued);
    assert_ok(fb_queued_add(&queued, &word, 1, 1000));
    fb_queued_spoil(&queued);
    assert_ok(fb_queued_add(&queued, &word, 1, 1000));
    assert_true(queued.spoilt);
    assert_int_equal(queued.count, 0);
    fb_queued_close(&queued);
    assert_false(queued.spoilt);
    fb_queued_release(&queued);
}

// After a failure it is as it was.
static int fill(void *arg) {
    (void)arg;
    fb_queued queued = {0};
    fb_str args[100];
    size_t arg_count = 0;
    const fb_str *shown;
    for (size_t i = 0; i < 100; i++) {
        args[i] = FB_STR("0123456789");
    }
    fb_queued_open(&queued);
    int result = fb_queued_add(&queued, args, 100, SIZE_MAX);
    assert_int_equal(queued.count, result == FB_OK);
    assert_int_equal(fb_queued_next(&queued, &shown, &arg_count), result == FB_OK);
    fb_queued_release(&queued);
    return result;
}

static void test_queued__survives_lack_of_memory(void **state) {
    assert_true(test_memory_sweep(fill, NULL) >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queued__gives_back_what_it_took),
        cmocka_unit_test(test_queued__keeps_to_its_bound),
        cmocka_unit_test(test_queued__forgets_when_spoilt),
        cmocka_unit_test(test_queued__survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
