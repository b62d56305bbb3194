// Memory fails at each allocation in turn: what is asked then is done, or it is said that it is not
// and it is not. Nothing is left over.

#include "journal_account.h"
#include "journal_disk.h"

typedef struct fixture {
    rig rig;
    test_disk disk;
} fixture;

static int setup(void **state) {
    fixture *own = malloc(sizeof *own);
    (void)test_memory_get();
    disk_init(&own->disk);
    rig_init(&own->rig);
    own->rig.options.vfs = "test-disk";
    own->rig.options.power = false;
    *state = own;
    return 0;
}

static int teardown(void **state) {
    fixture *own = *state;
    rig_release(&own->rig);
    disk_release(&own->disk);
    free(own);
    return 0;
}

static bool run_with(fixture *own, size_t nth) {
    account said = {.count = 0};
    fb_error error = {.text = ""};
    long live = test_memory_get()->live;
    disk_clear(&own->disk);
    test_memory_fail(nth);
    int result = fb_journal_new(&own->rig.options, &own->rig.journal, &error);
    if (result == FB_OK) {
        account_run(&said, &own->rig);
    } else {
        own->rig.journal = NULL;
        assert_result(result, FB_ENOMEM);
        assert_non_null(strstr(error.text, "memory"));
    }
    bool failed = test_memory_get()->failed;
    test_memory_fail(0);
    if (result != FB_OK) {
        assert_true(failed);
        rig_open(&own->rig);
    }
    assert_true(said.failed <= 1);
    (void)account_put(&said, &own->rig);
    assert_int_equal(said.fates[said.count - 1], HERE);
    account_check(&said, &own->rig);
    rig_close(&own->rig);
    assert_int_equal(test_memory_get()->live, live);
    rig_open(&own->rig);
    account_check(&said, &own->rig);
    rig_close(&own->rig);
    return failed;
}

static void test_journal_memory__failure_is_told(void **state) {
    size_t nth = 1;
    while (run_with(*state, nth)) {
        nth += 1 + nth / 20;
    }
    assert_true(nth > 50);
}

// The same while a file is loaded.
static void test_journal_memory__failure_while_loading_is_told(void **state) {
    fixture *own = *state;
    account said = {.count = 0};
    bool failed = true;
    rig_open(&own->rig);
    account_run(&said, &own->rig);
    rig_close(&own->rig);
    for (size_t nth = 1; failed; nth++) {
        fb_error error = {.text = ""};
        long live = test_memory_get()->live;
        test_memory_fail(nth);
        int result = fb_journal_new(&own->rig.options, &own->rig.journal, &error);
        failed = test_memory_get()->failed;
        test_memory_fail(0);
        if (result == FB_OK) {
            account_check(&said, &own->rig);
            rig_close(&own->rig);
        } else {
            own->rig.journal = NULL;
            assert_result(result, FB_ENOMEM);
            assert_non_null(strstr(error.text, own->rig.file));
        }
        assert_int_equal(test_memory_get()->live, live);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal_memory__failure_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_memory__failure_while_loading_is_told, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
